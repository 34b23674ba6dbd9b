//! What keeps the lake small and quick to read: merging, retention, expiry. Runs at low priority on a thread of its
//! own; whatever fails here is tried again later and costs nothing but room.

use crate::LakeFile;
use crate::erasing::Erasing;
use crate::history::Shared;
use crate::lake::calendar::day_of;
use crate::lake::catalog::now_ms;
use crate::lake::store::{Step, Store};
use crate::lake::{Error, merge};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often to look for something to merge.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often to look for something to forget, unless snapshots are kept for less than four times that.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(30);
/// A past day that got nothing for so long is merged to its end.
const QUIET: Duration = Duration::from_secs(3600);
/// Wait after a failed merge that no single file is to blame for.
const RETRY: Duration = Duration::from_secs(30);
/// So long old days are moved at a time; merging must not wait for a year of them.
const MOVING_MAX: Duration = Duration::from_secs(30);
/// Niceness of the thread.
const NICE: i32 = 19;

pub(crate) fn run(store: &Store) {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "merging keeps the normal scheduling priority");
    }
    store.stores.try_out();
    let mut erasing = Erasing::default();
    let mut upkeep = Upkeep { store, damaged: HashSet::new(), merge_after: Instant::now() };
    let expiry_interval = EXPIRY_INTERVAL.min(store.settings.snapshot_keep / 4);
    let mut expiry_due = Instant::now();
    while store.shared.wait(INTERVAL.min(expiry_interval.max(Duration::from_millis(20)))) {
        erasing.look(store);
        upkeep.merge_all();
        if Instant::now() >= expiry_due {
            upkeep.move_on();
            upkeep.expire();
            expiry_due = Instant::now() + expiry_interval;
        }
    }
}

struct Upkeep<'a> {
    store: &'a Store,
    /// Files that could not be read. They stay as they are, for `drover doctor`.
    damaged: HashSet<i64>,
    merge_after: Instant,
}

impl Upkeep<'_> {
    fn merge_all(&mut self) {
        while Instant::now() >= self.merge_after && !self.shared().is_stopping() {
            let Some(files) = self.plan() else { return };
            match self.merge(&files) {
                Ok(()) if self.damaged.is_empty() => self.shared().set_problem("merge", None),
                Ok(()) => {}
                Err(error) => self.failed(&files, &error),
            }
        }
    }

    fn shared(&self) -> &Shared {
        &self.store.shared
    }

    fn plan(&self) -> Option<Vec<Arc<LakeFile>>> {
        let files = self.shared().state.lock().files.clone();
        // What has moved on is not written again.
        let may = |file: &&Arc<LakeFile>| !self.damaged.contains(&file.id) && self.store.stores.is_new_place(file);
        let sound: Vec<_> = files.iter().filter(may).cloned().collect();
        let today = day_of(now_ms());
        merge::plan(&sound, |day| day < today && self.store.is_quiet(day, QUIET))
    }

    fn merge(&self, files: &[Arc<LakeFile>]) -> Result<(), Error> {
        tracing::debug!(files = files.len(), day = files[0].day, "merge");
        let started = Instant::now();
        let schema = self.shared().state.lock().shape.schema.clone();
        let store = self.store;
        let merged = merge::run(&store.table, &schema, files, &store.layout, &|| !self.shared().is_stopping())?;
        let Some(merged) = merged else { return Ok(()) };
        let rows = merged.rows;
        let brought = store.bring(&merged);
        if brought.is_err() {
            store.withdraw(&[merged]);
        }
        let add = [brought?];
        let step = Step { add: &add, end: files, message: "merged files", ..Step::default() };
        if let Err(error) = store.commit(&step, |_| ()) {
            store.withdraw(&add);
            return Err(error);
        }
        metrics::histogram!("drover_history_merge_seconds").record(started.elapsed().as_secs_f64());
        metrics::counter!("drover_history_merged_rows_total").increment(rows);
        Ok(())
    }

    /// A file that cannot be read is left out from now on; anything else may pass.
    fn failed(&mut self, files: &[Arc<LakeFile>], error: &Error) {
        tracing::error!(%error, "files of history could not be merged");
        metrics::counter!("drover_history_errors_total", "activity" => "merge").increment(1);
        match files.iter().find(|file| file.path == error.path()) {
            Some(file) => drop(self.damaged.insert(file.id)),
            None => self.merge_after = Instant::now() + RETRY,
        }
        self.shared().set_problem("merge", Some(format!("merging history: {error}")));
    }

    fn expire(&self) {
        self.shared().set_problem("staging", self.store.remove_stranded().err().map(|error| error.to_string()));
        let keep_ms = self.store.settings.snapshot_keep.as_millis() as i64;
        let due = self.store.due();
        self.shared().state.lock().status.due = due;
        let done = self.end_old_days().and_then(|()| self.store.expire(now_ms() - keep_ms));
        let problem = done.err().map(|error| {
            tracing::error!(%error, "old files of history could not be removed");
            metrics::counter!("drover_history_errors_total", "activity" => "expiry").increment(1);
            format!("removing old history: {error}")
        });
        self.shared().set_problem("expiry", problem);
    }

    /// Takes old days where they belong by their age; what fails is tried again at the next look.
    fn move_on(&self) {
        if self.store.settings.dry_run || self.store.stores.tiers.is_empty() {
            return;
        }
        let today = day_of(now_ms());
        let (mut problem, until) = (None, Instant::now() + MOVING_MAX);
        for wanted in self.store.moves(|day| day < today && self.store.is_quiet(day, QUIET)) {
            if self.shared().is_stopping() || Instant::now() >= until {
                break;
            }
            if let Err(error) = self.store.move_on(&wanted) {
                tracing::error!(%error, "a file of history could not move on");
                metrics::counter!("drover_history_errors_total", "activity" => "tiers").increment(1);
                problem = Some(format!("moving old days: {error}"));
                if matches!(&error, Error::Objects { source, .. } if source.is_passing()) {
                    break;
                }
            }
        }
        self.shared().set_problem("tiers", problem);
    }

    /// Whole days only: a day goes once its last moment is too old.
    fn end_old_days(&self) -> Result<(), Error> {
        let Some(first_kept) = self.store.first_kept_day() else { return Ok(()) };
        if self.store.settings.dry_run {
            return Ok(());
        }
        let files = self.shared().state.lock().files.clone();
        let old: Vec<_> = files.iter().filter(|file| file.day < first_kept).cloned().collect();
        if old.is_empty() {
            return Ok(());
        }
        let rows: u64 = old.iter().map(|file| file.rows).sum();
        tracing::info!(files = old.len(), rows, first_kept, "old days leave the lake");
        self.store.commit(&Step { end: &old, message: "retention", ..Step::default() }, |_| ())
    }
}
