//! Which reports are known, by (asset, event time): sorted runs on disk that take over from the tables in memory
//! (`admit`). Exact, because a duplicate dropped by mistake is a lost report: a filter only ever says "surely new",
//! and what it does not rule out is looked up.
//!
//! A run never covers a report that is not durable, so a crash cannot make a report look seen that the log lost.
//! Positions of the log that no run claims are read back from the log at start. Writing (`add`) and merging (`tidy`)
//! may go on beside each other and beside look-ups.

pub mod bloom;
pub mod cache;
pub mod format;
mod merge;
mod repair;
mod run;
mod write;

use bloom::Probe;
use cache::Cache;
use format::{Layout, REPLACES_MAX};
use merge::Source;
use parking_lot::{Mutex, RwLock};
use run::{Filter, Run};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use write::{Naming, RunWriter};

/// 80 bits of hash of (kind, id), then 48 bits of event time: one asset's reports stand together in the order of
/// time, and a run knows the times of its keys.
pub type Key = [u64; 2];

const EVENT_BITS: u32 = 48;
/// So many runs of about one size are merged into one.
const MERGE_FAN_IN: usize = REPLACES_MAX;
/// Fewer are merged only where eight would be more than a run may hold.
const MERGE_FAN_IN_MIN: usize = 3;

/// The key of an asset's report.
pub fn key(asset: u128, event_ms: i64) -> Key {
    let event = event_ms as u64 & ((1 << EVENT_BITS) - 1);
    [(asset >> 64) as u64, (asset as u64 >> EVENT_BITS << EVENT_BITS) | event]
}

/// The event time in a key.
pub fn event_ms(key: Key) -> i64 {
    (key[1] & ((1 << EVENT_BITS) - 1)) as i64
}

/// One report that was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// What makes it unique.
    pub key: Key,
    /// Hash of everything that a resend repeats.
    pub content: u64,
}

impl Seen {
    /// Its event time.
    pub fn event_ms(&self) -> i64 {
        event_ms(self.key)
    }
}

/// Log positions of which a run, with others that claim the same, has every key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// First one.
    pub from: u64,
    /// Last one; no key of the run comes from a later one. Before `from` if the run claims nothing.
    pub to: u64,
}

impl Positions {
    /// No claim, but keys from up to this position.
    pub fn unclaimed(to: u64) -> Positions {
        Positions { from: to + 1, to }
    }

    fn claim(self) -> bool {
        self.from <= self.to
    }
}

/// Times and positions of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Earliest event time inside, ms.
    pub min_event: i64,
    /// Latest event time inside, ms.
    pub max_event: i64,
    /// See [`Positions`].
    pub from_position: u64,
    /// See [`Positions`].
    pub to_position: u64,
}

impl Span {
    fn positions(&self) -> Positions {
        Positions { from: self.from_position, to: self.to_position }
    }
}

/// Limits. Tests make them small, or the filters bad.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A merged run never has more: merging needs this much room on disk once more (26 bytes an
    /// entry).
    pub max_run_entries: u64,
    /// Bits that a filter spends on a key: 10 give about one false "maybe" in a hundred; 0 rules nothing out.
    pub bits_per_key: u64,
    /// Blocks that share a filter. Few, so that one asset's keys, which stand together, ask the same 4 KiB of each
    /// run's filters: a file that comes asset by asset finds them in the processor's cache.
    pub segment_blocks: u64,
    /// Memory for filters. Those of the largest runs that find no room are asked on disk, a page of 2 KiB at a time.
    pub filter_bytes: u64,
    /// Pages of 2 KiB kept in memory: blocks and pages of filters that were read last.
    pub cached_blocks: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_run_entries: 72 << 20,
            bits_per_key: 10,
            segment_blocks: 32,
            filter_bytes: 64 << 20,
            cached_blocks: 16_384,
        }
    }
}

/// The runs of a folder.
#[derive(Debug)]
pub struct Runs {
    folder: PathBuf,
    settings: Settings,
    /// In the order of their positions.
    list: RwLock<Arc<Vec<Held>>>,
    /// Held by whoever changes the list, from reading to replacing it.
    changing: Mutex<()>,
    /// Held by whoever removes runs.
    tidying: Mutex<()>,
    cache: Cache,
    next_id: AtomicU64,
    stopped: AtomicBool,
}

/// A run and its filter, if there is room for it.
#[derive(Debug, Clone)]
struct Held {
    run: Arc<Run>,
    filter: Option<Arc<Filter>>,
}

impl Runs {
    /// Opens the folder, making it if needed. Of a damaged file the whole blocks are kept; what it lost is read back
    /// from the log where the log, which begins at `oldest_position`, still has it. If not, the file is kept aside.
    pub fn open(folder: &Path, oldest_position: u64, settings: Settings) -> io::Result<Runs> {
        fs::create_dir_all(folder)?;
        let found = repair::scan(folder)?;
        let runs = Runs {
            folder: folder.to_owned(),
            settings,
            list: RwLock::default(),
            changing: Mutex::new(()),
            tidying: Mutex::new(()),
            cache: Cache::new(settings.cached_blocks),
            next_id: AtomicU64::new(found.last_id + 1),
            stopped: AtomicBool::new(false),
        };
        let mut list = found.whole;
        for path in found.damaged {
            list.extend(runs.repair_file(&path, oldest_position)?);
        }
        list.sort_by_key(|run| (run.header.span.to_position, run.header.id));
        runs.change(|held| held.extend(list.into_iter().map(Held::new)));
        let (count, filters_in_memory) = runs.counts();
        tracing::debug!(runs = count, filters_in_memory, "opened the index of seen reports");
        Ok(runs)
    }

    /// The first position from `oldest_position` on that no run claims.
    pub fn recover_from(&self, oldest_position: u64) -> u64 {
        let list = self.list();
        let claims = |position: u64| {
            let claiming = list.iter().map(|held| held.run.header.span.positions()).filter(|p| p.claim());
            claiming.filter(|p| (p.from..=p.to).contains(&position)).map(|p| p.to).max()
        };
        let mut position = oldest_position;
        while let Some(to) = claims(position) {
            position = to + 1;
        }
        position
    }

    /// The content hash of `key`, if a run has it. An error means "cannot tell".
    pub fn find(&self, key: Key) -> io::Result<Option<u64>> {
        let probe = Probe::of(key);
        let mut trouble = None;
        for Held { run, filter } in self.list().iter().rev() {
            if run.may_hold(key, probe, filter.as_deref(), &self.cache) {
                match run.find(key, &self.cache) {
                    Ok(None) => {}
                    Ok(found) => return Ok(found),
                    // Another run may know it.
                    Err(error) => trouble = Some(error),
                }
            }
        }
        trouble.map_or(Ok(None), Err)
    }

    /// Writes a run and makes it visible. On error nothing changed.
    pub fn add(&self, mut seen: Vec<Seen>, positions: Positions) -> io::Result<()> {
        // As one number: twice as fast as word by word, where keys come in the order of time.
        seen.sort_unstable_by_key(|seen| (u128::from(seen.key[0]) << 64) | u128::from(seen.key[1]));
        let run = self.write_run(|out| {
            seen.into_iter().try_for_each(|seen| out.push(seen))?;
            Ok((positions, Vec::new()))
        })?;
        self.change(|list| list.extend(run.map(Held::new)));
        Ok(())
    }

    /// Removes runs that the log has outlived and whose newest event is before the horizon (None: keys are kept for
    /// good), then merges runs of about one size, so that a look-up touches few, and repairs damaged ones.
    pub fn tidy(&self, oldest_position: u64, forget_before_event_ms: Option<i64>) -> io::Result<()> {
        let _alone = self.tidying.lock();
        let horizon = Horizon { oldest_position, forget_before_ms: forget_before_event_ms.unwrap_or(i64::MIN) };
        self.forget(horizon)?;
        while !self.stopped.load(Ordering::Relaxed)
            && let Some(group) = self.mergeable()
        {
            match self.merge(&group, horizon) {
                Err(_) if self.stopped.load(Ordering::Relaxed) => {}
                merged => merged?,
            }
        }
        Ok(())
    }

    /// Ends a merge that is under way (its inputs stay) and lets no other begin.
    pub fn stop_merging(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// How many runs there are, and how many of them have their filters in memory.
    pub fn counts(&self) -> (usize, usize) {
        let list = self.list();
        (list.len(), list.iter().filter(|held| held.filter.is_some()).count())
    }

    fn list(&self) -> Arc<Vec<Held>> {
        self.list.read().clone()
    }

    fn forget(&self, horizon: Horizon) -> io::Result<()> {
        let list = self.list();
        let gone: Vec<_> = list.iter().filter(|held| horizon.is_past(&held.run.header.span)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.change(|list| list.retain(|held| !horizon.is_past(&held.run.header.span)));
        gone.into_iter().try_for_each(|held| fs::remove_file(&held.run.path))
    }

    /// A damaged run alone, or neighbours of about one size: the newest, hence smallest, first.
    fn mergeable(&self) -> Option<Vec<Arc<Run>>> {
        let list = self.list();
        if let Some(suspect) = list.iter().find(|held| held.run.is_suspect()) {
            return Some(vec![suspect.run.clone()]);
        }
        let counts: Vec<u64> = list.iter().map(|held| held.run.header.count).collect();
        let max = self.settings.max_run_entries;
        let (start, n) = (0..counts.len()).rev().find_map(|at| Some((at, group(&counts[at..], max)?)))?;
        Some(list[start..start + n].iter().map(|held| held.run.clone()).collect())
    }

    fn merge(&self, group: &[Arc<Run>], horizon: Horizon) -> io::Result<()> {
        let mut sources: Vec<_> =
            group.iter().map(|run| Source::of(run, horizon.forget_of(&run.header.span))).collect();
        let mut lost = Vec::new();
        let merged = self.write_run(|out| {
            merge::merge(&mut sources, out, &self.stopped)?;
            lost = sources.iter().map(|source| source.lost_blocks).collect();
            let positions = claim_of(group, lost.iter().all(|blocks| *blocks == 0));
            Ok((positions, group.iter().map(|run| run.header.id).collect()))
        })?;
        self.change(|list| {
            let at = list.iter().position(|held| Arc::ptr_eq(&held.run, &group[0])).expect("only tidying removes runs");
            list.splice(at..at + group.len(), merged.map(Held::new));
        });
        group.iter().zip(lost).try_for_each(|(run, lost)| repair::retire(run, lost, horizon.oldest_position))
    }

    /// Writes a run from what `fill` pushes; `fill` also tells what the run claims and which runs it replaces. None if
    /// nothing was pushed. On error no file stays.
    fn write_run(
        &self,
        fill: impl FnOnce(&mut RunWriter) -> io::Result<(Positions, Vec<u64>)>,
    ) -> io::Result<Option<Run>> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let partial = self.folder.join(format!("{id:012}.partial"));
        let mut out = RunWriter::create(partial.clone(), self.settings.layout())?;
        let path = fill(&mut out).and_then(|(positions, replaces)| out.finish(Naming::new(id, positions, &replaces)));
        match path {
            Ok(path) => path.map(|path| Run::open(&path).map_err(io::Error::from)).transpose(),
            Err(error) => {
                // What stays here is removed at the next start.
                let _ = fs::remove_file(partial);
                Err(error)
            }
        }
    }

    /// Replaces the list, with the filters of the smallest runs in memory as far as there is room.
    fn change(&self, change: impl FnOnce(&mut Vec<Held>)) {
        let _alone = self.changing.lock();
        let mut list = self.list().to_vec();
        change(&mut list);
        let mut by_size: Vec<&mut Held> = list.iter_mut().collect();
        by_size.sort_by_key(|held| held.run.header.count);
        let mut room = self.settings.filter_bytes;
        for held in by_size {
            let bytes = held.run.filter_bytes();
            room = room.saturating_sub(bytes);
            held.hold(room > 0);
        }
        *self.list.write() = Arc::new(list);
    }
}

impl Held {
    fn new(run: Run) -> Held {
        Held { run: Arc::new(run), filter: None }
    }

    /// Reads or lets go of the filter. One that cannot be read is asked on disk, where trouble means "maybe".
    fn hold(&mut self, hold: bool) {
        if !hold {
            self.filter = None;
        } else if self.filter.is_none() {
            self.filter = self.run.read_filter().ok().map(Arc::new);
        }
    }
}

impl Settings {
    fn layout(&self) -> Layout {
        Layout { bits_per_key: self.bits_per_key, segment_blocks: self.segment_blocks }
    }
}

/// What may be forgotten: keys of an earlier time that the log no longer has either.
#[derive(Debug, Clone, Copy)]
struct Horizon {
    oldest_position: u64,
    forget_before_ms: i64,
}

impl Horizon {
    fn is_past(self, span: &Span) -> bool {
        span.max_event < self.forget_of(span)
    }

    /// Entries of a run before this time may go.
    fn forget_of(self, span: &Span) -> i64 {
        if span.to_position < self.oldest_position { self.forget_before_ms } else { i64::MIN }
    }
}

/// How many runs from the first on are to be merged: eight of about one size, or as many as a run may hold. Older
/// ones may be smaller than the newest, or up to four times larger.
fn group(counts: &[u64], max_entries: u64) -> Option<usize> {
    let mut sum = 0;
    let fits = |count: &&u64| {
        sum += **count;
        sum <= max_entries
    };
    let n = counts.iter().take(MERGE_FAN_IN).take_while(fits).count();
    let full = n == MERGE_FAN_IN || (n >= MERGE_FAN_IN_MIN && n < counts.len());
    (full && counts[..n].iter().all(|count| count / 4 <= counts[n - 1])).then_some(n)
}

/// What a merged run may claim: the newest claims as far as they follow each other. Less is safe: it is read back.
fn claim_of(group: &[Arc<Run>], whole: bool) -> Positions {
    let mut claims: Vec<_> = group.iter().map(|run| run.header.span.positions()).collect();
    claims.sort_by_key(|claim| std::cmp::Reverse((claim.to, claim.claim())));
    let newest = claims[0];
    if !whole || !newest.claim() {
        return Positions::unclaimed(newest.to);
    }
    let claims = claims.into_iter().filter(|claim| claim.claim());
    let from = claims.fold(newest.from, |from, claim| if claim.to + 1 >= from { from.min(claim.from) } else { from });
    Positions { from, to: newest.to }
}
