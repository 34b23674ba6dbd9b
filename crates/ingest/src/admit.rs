//! Admission: the only way from a draft into the log. Decides under one short lock per asset whether
//! a report is new, late, a duplicate or a conflict, and appends it inside the same lock, so that the
//! log has each asset's reports in the order in which they were judged.
//!
//! Must always hold:
//! - a key is only ever remembered together with a position in the log;
//! - a duplicate is answered only after everything appended before the answer is durable, because
//!   the first copy may still be on its way to the disk;
//! - an asset's newest event time never goes back.

use crate::seen::{Key, Runs, Seen, Span};
use drover_log::{AppendError, Log, Position};
use drover_model::{Draft, Flags, Kind, RecordMut, RecordRef, Reject, RejectCode, Report, Rules};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

/// More locks than any machine has cores; a power of two.
const SHARDS: usize = 64;
/// So many keys are held in memory before they become a run on disk (24 bytes each).
const SEEN_IN_MEMORY: usize = 262_144;

/// How often one device may report. A burst passes, so that a buffer filled while offline is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceRate {
    /// Sustained reports per second.
    pub per_second: f32,
    /// Reports at once.
    pub burst: f32,
}

/// A report that is in the log or was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// New, at this position.
    New {
        /// Where it stands in the log.
        position: Position,
        /// Older than the asset's newest report: kept, but not shown as live.
        late: bool,
    },
    /// Seen before with the same content. Durable once the log is durable up to here.
    Duplicate {
        /// What to wait for.
        wait: Position,
    },
}

/// Why a report did not get in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The report itself is at fault; another try would fail again.
    #[error("{}", .0.message)]
    Reject(Reject),
    /// Drover is at fault; another try later may pass.
    #[error("the log takes no reports now: {0}")]
    Log(#[from] AppendError),
    /// The index of seen reports cannot be read, so nobody knows whether this one is new.
    #[error("cannot look up earlier reports: {0}")]
    Lookup(#[from] io::Error),
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Refusal {
        Refusal::Reject(reject)
    }
}

/// What admission remembers of one asset.
#[derive(Debug, Clone, Copy)]
struct Asset {
    hash: u64,
    newest: i64,
    /// Reports that it may send at once, as of `counted_ms`.
    allowance: f32,
    counted_ms: u32,
}

#[derive(Debug, Default)]
struct Shard {
    assets: HashTable<Asset>,
    recent: HashTable<Seen>,
    /// Keys on their way into a run; still consulted until the run is there.
    leaving: HashTable<Seen>,
    /// Event times of `recent`.
    events: Option<(i64, i64)>,
}

/// Admission for one node's log of reports.
#[derive(Debug)]
pub struct Admission {
    shards: Vec<Mutex<Shard>>,
    log: Log,
    rules: Rules,
    rate: Option<DeviceRate>,
    runs: Runs,
    in_memory: AtomicUsize,
}

impl Admission {
    /// Opens admission over `log`, with the keys of earlier reports in `folder`. Every key that the
    /// log holds and no run covers is read back from the log.
    pub fn open(log: Log, folder: &Path, rules: Rules, rate: Option<DeviceRate>) -> io::Result<Admission> {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let runs = Runs::open(folder)?;
        Ok(Admission { shards, log, rules, rate, runs, in_memory: AtomicUsize::new(0) })
    }

    /// The first log position that [`Admission::remember`] must be given after opening.
    pub fn recover_from(&self) -> Position {
        (self.runs.covered() + 1).max(self.log.oldest())
    }

    /// Takes back one record of the log at start.
    pub fn remember(&self, record: RecordRef<'_>) {
        let names = Names::of(record);
        let mut shard = self.shard(names.asset).lock();
        shard.asset(names.asset, 0.0).raise(record.event_time());
        self.insert(&mut shard, names.seen(), record.event_time());
    }

    /// Takes back an asset's newest event time at start.
    pub fn remember_newest(&self, kind: Kind, id: &str, event_time: i64) {
        let hash = asset_hash(kind, id);
        self.shard(hash).lock().asset(hash, 0.0).raise(event_time);
    }

    /// Judges a draft and, if it is new, appends it to the log. On `Ok` the report is in the log's
    /// order but not yet durable: the caller must wait for the position before it acknowledges. On
    /// `Err` nothing was remembered.
    pub fn admit(&self, draft: Draft<'_>, receive_time: i64, scratch: &mut Vec<u8>) -> Result<Admitted, Refusal> {
        let report = draft.check(&self.rules, receive_time)?;
        scratch.clear();
        report.encode(scratch);
        let record = RecordMut::new(scratch);
        let hash = asset_hash(report.kind, &report.id);
        let mut shard = self.shard(hash).lock();
        self.judge(&mut shard, hash, &report, record)
    }

    fn judge(
        &self,
        shard: &mut Shard,
        hash: u64,
        report: &Report<'_>,
        mut record: RecordMut<'_>,
    ) -> Result<Admitted, Refusal> {
        let burst = self.rate.map_or(0.0, |rate| rate.burst);
        let newest = {
            let asset = shard.asset(hash, burst);
            if let Some(rate) = self.rate {
                asset.spend(rate, report)?;
            }
            asset.newest
        };
        if report.flags.has(Flags::NO_EVENT_TIME) {
            record.set_event_time(report.event_time.max(newest.saturating_add(1)));
        }
        let event_time = record.view().event_time();
        let seen = Names::of(record.view()).seen();
        let late = event_time <= newest;
        if late {
            if let Some(content) = self.find(shard, seen.key, event_time)? {
                return if content == seen.content {
                    Ok(self.duplicate())
                } else {
                    Err(conflict(report, event_time).into())
                };
            }
            record.set_flag(Flags::LATE);
        }
        let position = self.log.append(record.bytes())?;
        self.insert(shard, seen, event_time);
        shard.asset(hash, burst).raise(event_time);
        Ok(Admitted::New { position, late })
    }

    fn duplicate(&self) -> Admitted {
        Admitted::Duplicate { wait: self.log.next_position() - 1 }
    }

    fn find(&self, shard: &Shard, key: Key, event_time: i64) -> io::Result<Option<u64>> {
        for table in [&shard.recent, &shard.leaving] {
            if let Some(seen) = table.find(key[0], |seen| seen.key == key) {
                return Ok(Some(seen.content));
            }
        }
        self.runs.find(key, event_time)
    }

    fn insert(&self, shard: &mut Shard, seen: Seen, event_time: i64) {
        shard.recent.insert_unique(seen.key[0], seen, |seen| seen.key[0]);
        let (min, max) = shard.events.unwrap_or((event_time, event_time));
        shard.events = Some((min.min(event_time), max.max(event_time)));
        self.in_memory.fetch_add(1, Ordering::Relaxed);
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> 58) as usize % SHARDS]
    }

    /// Whether [`Admission::flush`] has work.
    pub fn is_full(&self) -> bool {
        self.in_memory.load(Ordering::Relaxed) >= SEEN_IN_MEMORY
    }

    /// Moves the keys in memory to a run on disk, and drops runs that the log has outlived. Blocks on
    /// the disk, but admission goes on beside it. On error the keys stay in memory.
    pub fn flush(&self) -> io::Result<()> {
        // Whatever stands before this position was inserted under a lock that we now take after it.
        let to_position = self.log.next_position() - 1;
        let (seen, events) = self.start_leaving();
        let Some((min_event, max_event)) = events else { return Ok(()) };
        let written = self.write_run(seen, Span { min_event, max_event, to_position });
        self.end_leaving(written.is_ok());
        written?;
        self.runs.tidy(self.log.oldest())
    }

    fn write_run(&self, seen: Vec<Seen>, span: Span) -> io::Result<()> {
        self.log.wait_durable(self.log.next_position() - 1).map_err(io::Error::other)?;
        self.runs.add(seen, span)
    }

    fn start_leaving(&self) -> (Vec<Seen>, Option<(i64, i64)>) {
        let mut all = Vec::with_capacity(self.in_memory.load(Ordering::Relaxed));
        let mut events: Option<(i64, i64)> = None;
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.leaving = std::mem::take(&mut shard.recent);
            all.extend(shard.leaving.iter());
            if let Some((min, max)) = shard.events.take() {
                let known = events.unwrap_or((min, max));
                events = Some((known.0.min(min), known.1.max(max)));
            }
        }
        self.in_memory.fetch_sub(all.len(), Ordering::Relaxed);
        (all, events)
    }

    fn end_leaving(&self, written: bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let leaving = std::mem::take(&mut shard.leaving);
            if !written {
                self.in_memory.fetch_add(leaving.len(), Ordering::Relaxed);
                // The event times of what comes back are unknown here: let the next run span all.
                shard.events = Some((i64::MIN, i64::MAX)).filter(|_| !leaving.is_empty()).or(shard.events);
                for seen in leaving {
                    shard.recent.insert_unique(seen.key[0], seen, |seen| seen.key[0]);
                }
            }
        }
    }

    /// Runs [`Admission::flush`] whenever it is due, until `stop` says so.
    pub fn keep_tidy(&self, stop: impl Fn() -> bool) {
        while !stop() {
            if self.is_full()
                && let Err(error) = self.flush()
            {
                tracing::error!(%error, "cannot write the index of seen reports; keeping it in memory");
            }
            thread::park_timeout(std::time::Duration::from_millis(200));
        }
    }
}

impl Shard {
    fn asset(&mut self, hash: u64, burst: f32) -> &mut Asset {
        match self.assets.entry(hash, |asset| asset.hash == hash, |asset| asset.hash) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(Asset { hash, newest: i64::MIN, allowance: burst, counted_ms: 0 }).into_mut()
            }
        }
    }
}

impl Asset {
    fn raise(&mut self, event_time: i64) {
        self.newest = self.newest.max(event_time);
    }

    /// Takes one report from the allowance, which refills with time.
    fn spend(&mut self, rate: DeviceRate, report: &Report<'_>) -> Result<(), Reject> {
        let now_ms = report.receive_time as u32; // wraps; only differences count
        let passed_ms = now_ms.wrapping_sub(self.counted_ms);
        self.counted_ms = now_ms;
        self.allowance = (self.allowance + passed_ms as f32 / 1000.0 * rate.per_second).min(rate.burst);
        if self.allowance < 1.0 {
            let message = format!(
                "{}/{} sends more than {} reports/s; send fewer, or in smaller bursts",
                report.kind, report.id, rate.per_second
            );
            return Err(Reject::new(RejectCode::RateLimited, "id", message));
        }
        self.allowance -= 1.0;
        Ok(())
    }
}

/// The hashes of a record.
struct Names {
    asset: u64,
    key: u128,
    content: u64,
}

impl Names {
    fn of(record: RecordRef<'_>) -> Names {
        Names {
            asset: xxh3_64_with_seed(record.id(), u64::from(record.kind_number())),
            key: xxh3_128(record.key()),
            content: xxh3_64(record.content()),
        }
    }

    fn seen(&self) -> Seen {
        Seen { key: [(self.key >> 64) as u64, self.key as u64], content: self.content }
    }
}

fn asset_hash(kind: Kind, id: &str) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), kind as u64)
}

fn conflict(report: &Report<'_>, event_time: i64) -> Reject {
    Reject::new(
        RejectCode::Conflict,
        "timestamp",
        format!("{}/{} already has another report at {event_time}; the first one stays", report.kind, report.id),
    )
}
