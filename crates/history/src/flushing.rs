//! When the tail is written to files, and what happens when that fails: the tail stays, the log keeps everything, and
//! it is tried again. How files are written is in `lake::flush`.

use crate::chunk::Chunk;
use crate::history::State;
use crate::lake::catalog::now_ms;
use crate::lake::store::{Step, Store};
use crate::lake::writer::Written;
use crate::lake::{Error, flush};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Wait after a failure, before it is tried again; doubled each time up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(250);
/// Longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(15);
/// The same where a store is away: a try costs little there, and history should be whole soon after it is back.
const STORE_RETRY_MAX: Duration = Duration::from_secs(4);

/// From the tail to files.
pub(crate) struct Flushing<'a>(pub(crate) &'a Store);

/// What one flush writes.
struct Due {
    chunks: Vec<Arc<Chunk>>,
    cursor: u64,
    gap: u64,
    since: Instant,
}

impl Flushing<'_> {
    /// Goes on until the end.
    pub(crate) fn run(&self) {
        let mut retry = RETRY_MIN;
        while let Some(due) = self.wait_until_due() {
            match self.flush(&due) {
                Ok(()) => {
                    retry = RETRY_MIN;
                    self.0.shared.set_problem("flush", None);
                }
                Err(error) => {
                    self.failed(&error);
                    self.0.shared.wait(retry);
                    retry = (retry * 2).min(RETRY_MAX);
                    self.0.shared.state.lock().flush_wanted = true;
                }
            }
        }
    }

    fn failed(&self, error: &Error) {
        tracing::error!(%error, "history could not be written; trying again, the log keeps the reports");
        metrics::counter!("drover_history_errors_total", "activity" => "flush").increment(1);
        self.0.shared.set_problem("flush", Some(format!("writing history: {error}; the log keeps the reports")));
    }

    /// Waits for a full, an old or a wanted tail; `None` at the end.
    fn wait_until_due(&self) -> Option<Due> {
        let mut state = self.0.shared.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            if self.is_due(&state) {
                return Some(take(&mut state));
            }
            state.flush_wanted = false;
            let interval = self.0.settings.flush_interval;
            let left = state.tail_since.map_or(interval, |since| interval.saturating_sub(since.elapsed()));
            self.0.shared.news.wait_for(&mut state, left.min(RETRY_MAX));
        }
    }

    fn is_due(&self, state: &State) -> bool {
        let settings = &self.0.settings;
        let full = || state.tail.rows() >= settings.flush_rows || state.tail.bytes() >= settings.tail_max_bytes / 2;
        let old = || state.tail_since.is_some_and(|since| since.elapsed() >= settings.flush_interval);
        state.tail.rows() > 0 && (state.flush_wanted || full() || old())
    }

    /// On Err the tail is as before, and no file of this try is in the catalogue.
    fn flush(&self, due: &Due) -> Result<(), Error> {
        tracing::debug!(chunks = due.chunks.len(), cursor = due.cursor, "flush");
        let started = Instant::now();
        let schema = self.0.shared.state.lock().shape.schema.clone();
        let files = flush::write(&self.0.table, &schema, &due.chunks, &self.0.layout)?;
        let files = self.bring(&files)?;
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        let step = Step { add: &files, progress: Some((due.cursor, due.gap)), message: "reports", ..Step::default() };
        let committed = self.commit(&step, due);
        if committed.is_err() {
            self.0.withdraw(&files);
        }
        committed?;
        metrics::histogram!("drover_history_flush_seconds").record(started.elapsed().as_secs_f64());
        metrics::counter!("drover_history_rows_total").increment(rows);
        self.0.shared.news.notify_all();
        Ok(())
    }

    /// Files that are written are worth some patience with a store that is away. On Err none of them is left.
    fn bring(&self, files: &[Written]) -> Result<Vec<Written>, Error> {
        let (mut brought, mut retry) = (Vec::with_capacity(files.len()), RETRY_MIN);
        while let Some(file) = files.get(brought.len()) {
            match self.0.bring(file) {
                Ok(file) => {
                    retry = RETRY_MIN;
                    brought.push(file);
                }
                Err(error) if self.0.shared.is_stopping() => {
                    brought.extend_from_slice(&files[brought.len()..]);
                    self.0.withdraw(&brought);
                    return Err(error);
                }
                Err(error) => {
                    self.failed(&error);
                    self.0.shared.wait(retry);
                    retry = (retry * 2).min(STORE_RETRY_MAX);
                }
            }
        }
        Ok(brought)
    }

    /// Files that are written are worth some patience with a locked catalogue.
    fn commit(&self, step: &Step<'_>, due: &Due) -> Result<(), Error> {
        let mut retry = RETRY_MIN;
        loop {
            match self.0.commit(step, |state| flushed(state, due)) {
                Err(error) if !self.0.shared.is_stopping() => self.failed(&error),
                other => return other,
            }
            self.0.shared.wait(retry);
            retry = (retry * 2).min(RETRY_MAX);
        }
    }
}

fn take(state: &mut State) -> Due {
    state.flush_wanted = false;
    Due { chunks: state.tail.freeze(), cursor: state.position, gap: state.status.gap, since: Instant::now() }
}

fn flushed(state: &mut State, due: &Due) {
    state.tail.forget(due.chunks.len());
    state.cursor = due.cursor;
    state.tail_since = (state.tail.rows() > 0).then_some(due.since);
    state.status.last_flush_ms = now_ms();
}
