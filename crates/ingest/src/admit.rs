//! Admission: the only way from a draft into the log. Decides under one short lock per asset whether
//! a report is new, late, a duplicate or a conflict, and appends it inside the same lock, so that the
//! log has each asset's reports in the order in which they were judged.
//!
//! Must always hold:
//! - a key is only ever remembered together with a position in the log;
//! - a duplicate is answered only after everything appended before the answer is durable, because
//!   the first copy may still be on its way to the disk;
//! - an asset's newest event time never goes back.

use crate::enrich::{self, Known};
use crate::noise::{self, Judged, Tracks};
use crate::seen::{self, Key, Positions, Runs, Seen};
use drover_geo::{Limits, Noise, PointE7, Track};
use drover_log::{AppendError, Log, Position};
use drover_metadata::Metadata;
use drover_model::{Draft, Flags, Kind, RecordMut, RecordRef, Reject, RejectCode, Report, Rules};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use metrics::Counter;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, thread};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128_with_seed};

/// More locks than any machine has cores; a power of two.
const SHARDS: usize = 64;
/// So many keys are held in memory before they become a run on disk (24 bytes each).
const SEEN_IN_MEMORY: usize = 262_144;
/// At so many, whoever admits writes the run, and others wait for it: memory stays bounded when the disk is slower than
/// what arrives. What is being written comes on top.
const SEEN_IN_MEMORY_MAX: usize = 1_048_576;
/// How often upkeep looks for work.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(50);
/// After trouble with the disk, time until the next attempt.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How often one device may report. A burst passes, so that a buffer filled while offline is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceRate {
    /// Sustained reports per second.
    pub per_second: f32,
    /// Reports at once.
    pub burst: f32,
}

/// Assets of one shard whose late reports are judged by each other.
const LATE_TRACKS: usize = 1024;

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
    track: Track,
}

/// A report that asks to be admitted.
struct Asked<'a> {
    /// Of its asset.
    hash: u64,
    report: &'a Report<'a>,
    known: &'a Known,
}

#[derive(Debug)]
struct Shard {
    assets: HashTable<Asset>,
    /// Of late reports, which come in an order of their own.
    late_tracks: Tracks,
    recent: Keys,
    /// Keys on their way into a run; still consulted until the run is there.
    leaving: Keys,
}

/// Keys in memory. Most are never looked for, since a report that is newer than its asset's newest is surely new: they
/// only line up, and get a place in the table when somebody looks.
#[derive(Debug, Default)]
struct Keys {
    lined_up: Vec<Seen>,
    table: HashTable<Seen>,
}

impl Keys {
    fn with_room(keys: usize) -> Keys {
        Keys { lined_up: Vec::with_capacity(keys), table: HashTable::new() }
    }

    fn len(&self) -> usize {
        self.lined_up.len() + self.table.len()
    }

    fn push(&mut self, seen: Seen) {
        self.lined_up.push(seen);
    }

    /// The content under a key.
    fn find(&mut self, key: Key) -> Option<u64> {
        for seen in self.lined_up.drain(..) {
            self.table.insert_unique(table_hash(seen.key), seen, |seen| table_hash(seen.key));
        }
        self.table.find(table_hash(key), |seen| seen.key == key).map(|seen| seen.content)
    }

    fn iter(&self) -> impl Iterator<Item = Seen> {
        self.lined_up.iter().chain(&self.table).copied()
    }
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
    /// Keys are forgotten when they are so much older than the newest receive time; None: never.
    keep_ms: Option<i64>,
    now_ms: AtomicI64,
    /// Of the noise filter; None: no place is flagged.
    limits: Option<Limits>,
    metadata: Option<Metadata>,
    flagged: [Counter; Noise::ALL.len()],
    /// First log position that no run claims and whose keys are in memory. Held by whoever moves them to disk.
    unclaimed: Mutex<Position>,
}

impl Admission {
    /// Opens admission over `log`, with the keys of earlier reports in `folder`. Every key that the
    /// log holds and no run covers is read back from the log.
    pub fn open(log: Log, folder: &Path, rules: Rules, rate: Option<DeviceRate>) -> io::Result<Admission> {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect();
        let runs = Runs::open(folder, log.oldest(), seen::Settings::default())?;
        let unclaimed = Mutex::new(runs.recover_from(log.oldest()));
        let (in_memory, now_ms) = (AtomicUsize::new(0), AtomicI64::new(i64::MIN));
        let flagged = Noise::ALL.map(|noise| metrics::counter!("drover_fixes_flagged_total", "rule" => noise.name()));
        Ok(Admission {
            flagged,
            shards,
            log,
            rules,
            rate,
            runs,
            in_memory,
            keep_ms: None,
            limits: None,
            metadata: None,
            now_ms,
            unclaimed,
        })
    }

    /// Flags places that are noise, or not, as after opening.
    pub fn flagging_noise(self, on: bool) -> Admission {
        Admission { limits: on.then(Limits::default), ..self }
    }

    /// Goes by what is known of each asset beforehand; after opening nothing is.
    pub fn knowing(self, metadata: Option<Metadata>) -> Admission {
        Admission { metadata, ..self }
    }

    /// Forgets reports whose event time is more than `keep_ms` before now and which have left the log: sent again, they
    /// are new. None, as after opening: never.
    pub fn keeping(self, keep_ms: Option<i64>) -> Admission {
        Admission { keep_ms, ..self }
    }

    /// The first log position that [`Admission::remember`] must be given after opening.
    pub fn recover_from(&self) -> Position {
        *self.unclaimed.lock()
    }

    /// Takes back one record of the log at start.
    pub fn remember(&self, record: RecordRef<'_>) {
        let names = Names::of(record);
        let in_memory = {
            let mut shard = self.shard(names.asset).lock();
            shard.asset(names.asset, 0.0).raise(record.event_time());
            self.insert(&mut shard, names.seen())
        };
        if in_memory.is_multiple_of(SEEN_IN_MEMORY)
            && let Err(error) = self.move_to_disk(false)
        {
            tracing::error!(%error, "cannot write the index of seen reports; keeping it in memory");
        }
    }

    /// Takes back an asset's newest event time at start, and the place and time of its last good fix.
    pub fn remember_newest(&self, kind: Kind, id: &str, event_time: i64, fix: Option<(drover_model::Position, i64)>) {
        let hash = asset_hash(kind, id);
        let mut shard = self.shard(hash).lock();
        let asset = shard.asset(hash, 0.0);
        asset.raise(event_time);
        if let (Some((at, time_ms)), Some(limits)) = (fix, &self.limits) {
            let at = PointE7 { lat: at.lat_e7, lon: at.lon_e7 };
            asset.track = Track::after(time_ms, at, limits);
        }
    }

    /// Judges a draft and, if it is new, appends it to the log. On `Ok` the report is in the log's
    /// order but not yet durable: the caller must wait for the position before it acknowledges. On
    /// `Err` nothing was remembered.
    pub fn admit(&self, draft: Draft<'_>, receive_time: i64, scratch: &mut Vec<u8>) -> Result<Admitted, Refusal> {
        self.admit_at(self.rate, None, draft, receive_time, scratch)
    }

    /// The same for a row of a file, which no device sent just now: how often a device may report does not matter, and
    /// what is noise is judged by the rows of the file before it.
    pub fn admit_row(
        &self,
        draft: Draft<'_>,
        receive_time: i64,
        tracks: &mut Tracks,
        scratch: &mut Vec<u8>,
    ) -> Result<Admitted, Refusal> {
        self.admit_at(None, Some(tracks), draft, receive_time, scratch)
    }

    /// Lets the tracks of a file see a row that was admitted before.
    pub fn see_row(&self, draft: Draft<'_>, receive_time: i64, tracks: &mut Tracks) {
        let known = self.known(&draft);
        if let Ok(report) = draft.check(&known.rules, receive_time) {
            self.track_of_file(tracks, asset_hash(report.kind, &report.id), &report, &known.rules);
        }
    }

    /// Whether a draft could be admitted, duplicates and conflicts aside.
    pub fn check(&self, draft: Draft<'_>, receive_time: i64) -> Result<(), Reject> {
        let known = self.known(&draft);
        draft.check(&known.rules, receive_time).map(drop)
    }

    fn known(&self, draft: &Draft<'_>) -> Known {
        let asset = draft.kind.zip(draft.id.as_deref());
        let vehicle = self.metadata.as_ref().zip(asset).and_then(|(metadata, (kind, id))| metadata.get(kind, id));
        Known::new(vehicle, &self.rules)
    }

    /// The log that admitted reports go to.
    pub fn log(&self) -> &Log {
        &self.log
    }

    fn admit_at(
        &self,
        rate: Option<DeviceRate>,
        tracks: Option<&mut Tracks>,
        draft: Draft<'_>,
        receive_time: i64,
        scratch: &mut Vec<u8>,
    ) -> Result<Admitted, Refusal> {
        let known = self.known(&draft);
        let report = draft.check(&known.rules, receive_time)?;
        self.make_room()?;
        if receive_time > self.now_ms.load(Ordering::Relaxed) {
            self.now_ms.store(receive_time, Ordering::Relaxed);
        }
        scratch.clear();
        report.encode(scratch);
        let record = RecordMut::new(scratch);
        let hash = asset_hash(report.kind, &report.id);
        let of_file = tracks.map(|tracks| self.track_of_file(tracks, hash, &report, &known.rules));
        let mut shard = self.shard(hash).lock();
        self.judge(&mut shard, &Asked { hash, report: &report, known: &known }, rate, of_file, record)
    }

    fn judge(
        &self,
        shard: &mut Shard,
        asked: &Asked<'_>,
        rate: Option<DeviceRate>,
        of_file: Option<Judged>,
        mut record: RecordMut<'_>,
    ) -> Result<Admitted, Refusal> {
        let Asked { hash, report, known } = *asked;
        let burst = self.rate.map_or(0.0, |rate| rate.burst);
        let newest = {
            let asset = shard.asset(hash, burst);
            if let Some(rate) = rate {
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
            if let Some(content) = self.find(shard, seen.key)? {
                return if content == seen.content {
                    Ok(self.duplicate())
                } else {
                    Err(conflict(report, event_time).into())
                };
            }
            record.set_flag(Flags::LATE);
        }
        let judged = of_file.unwrap_or_else(|| self.track_of(shard, asked, late));
        if let Some(noise) = judged.noise {
            record.set_flag(noise::flag(noise));
            self.flagged[noise as usize].increment(1);
        }
        enrich::add(&mut record, report, &judged, known);
        let position = self.log.append(record.bytes())?;
        self.insert(shard, seen);
        if late && of_file.is_none() {
            *shard.late_tracks.of(hash) = judged.track;
        }
        let asset = shard.asset(hash, burst);
        asset.raise(event_time);
        if !late {
            asset.track = judged.track;
        }
        Ok(Admitted::New { position, late })
    }

    /// What the asset's track in its file says of this row, which the track then has seen.
    fn track_of_file(&self, tracks: &mut Tracks, hash: u64, report: &Report<'_>, rules: &Rules) -> Judged {
        let Some(limits) = &self.limits else { return Judged::default() };
        let track = tracks.of(hash);
        let judged = noise::judge(*track, report, &noise::limits(limits, rules));
        *track = judged.track;
        judged
    }

    /// The same of a device's reports. Nothing is changed: the report may still be refused.
    fn track_of(&self, shard: &mut Shard, asked: &Asked<'_>, late: bool) -> Judged {
        let Some(limits) = &self.limits else { return Judged::default() };
        let Asked { hash, report, known } = *asked;
        let track = if late { *shard.late_tracks.of(hash) } else { shard.asset(hash, 0.0).track };
        noise::judge(track, report, &noise::limits(limits, &known.rules))
    }

    fn duplicate(&self) -> Admitted {
        Admitted::Duplicate { wait: self.log.next_position() - 1 }
    }

    fn find(&self, shard: &mut Shard, key: Key) -> io::Result<Option<u64>> {
        match shard.recent.find(key).or_else(|| shard.leaving.find(key)) {
            Some(content) => Ok(Some(content)),
            None => self.runs.find(key),
        }
    }

    /// Tells how many keys are in memory now.
    fn insert(&self, shard: &mut Shard, seen: Seen) -> usize {
        shard.recent.push(seen);
        self.in_memory.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> 58) as usize % SHARDS]
    }

    /// Whether [`Admission::flush`] has work.
    pub fn is_full(&self) -> bool {
        self.in_memory.load(Ordering::Relaxed) >= SEEN_IN_MEMORY
    }

    /// Moves the keys in memory to a run on disk, then drops and merges runs. Blocks on the disk, but admission goes on
    /// beside it. On error the keys stay in memory.
    pub fn flush(&self) -> io::Result<()> {
        self.move_to_disk(true)?;
        self.tidy()
    }

    fn tidy(&self) -> io::Result<()> {
        let now_ms = Some(self.now_ms.load(Ordering::Relaxed)).filter(|now_ms| *now_ms > i64::MIN);
        let forget_before_ms = self.keep_ms.zip(now_ms).map(|(keep_ms, now_ms)| now_ms.saturating_sub(keep_ms));
        self.runs.tidy(self.log.oldest(), forget_before_ms)
    }

    /// Backpressure: with too many keys in memory, nobody admits before they are on disk.
    fn make_room(&self) -> io::Result<()> {
        if self.in_memory.load(Ordering::Relaxed) < SEEN_IN_MEMORY_MAX {
            return Ok(());
        }
        let mut unclaimed = self.unclaimed.lock();
        if self.in_memory.load(Ordering::Relaxed) < SEEN_IN_MEMORY_MAX {
            return Ok(()); // whoever had the lock did it
        }
        self.write_run(&mut unclaimed, true)
    }

    /// `claim`: everything up to the log's end is in memory or in a run. Not so while the log is read back.
    fn move_to_disk(&self, claim: bool) -> io::Result<()> {
        self.write_run(&mut self.unclaimed.lock(), claim)
    }

    fn write_run(&self, unclaimed: &mut Position, claim: bool) -> io::Result<()> {
        // A log in trouble is told before any table is moved: at the bound every report comes here.
        self.log.wait_durable(self.log.next_position() - 1).map_err(io::Error::other)?;
        // Whatever stands before this position was inserted under a lock that we now take after it.
        let to = self.log.next_position() - 1;
        let seen = self.start_leaving();
        if seen.is_empty() {
            return Ok(());
        }
        let positions = if claim { Positions { from: *unclaimed, to } } else { Positions::unclaimed(to) };
        let durable = self.log.wait_durable(self.log.next_position() - 1).map_err(io::Error::other);
        let written = durable.and_then(|()| self.runs.add(seen, positions));
        self.end_leaving(written.is_ok());
        if claim && written.is_ok() {
            *unclaimed = to + 1;
        }
        written
    }

    fn start_leaving(&self) -> Vec<Seen> {
        let mut all = Vec::with_capacity(self.in_memory.load(Ordering::Relaxed));
        for shard in &self.shards {
            let mut shard = shard.lock();
            let room = Keys::with_room(shard.recent.len());
            shard.leaving = std::mem::replace(&mut shard.recent, room);
            all.extend(shard.leaving.iter());
        }
        self.in_memory.fetch_sub(all.len(), Ordering::Relaxed);
        all
    }

    fn end_leaving(&self, written: bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let leaving = std::mem::take(&mut shard.leaving);
            if !written {
                self.in_memory.fetch_add(leaving.len(), Ordering::Relaxed);
                leaving.iter().for_each(|seen| shard.recent.push(seen));
            }
        }
    }

    /// Writes keys to disk and tidies the runs whenever it is due, until `stop` says so. Merging has its own thread: it
    /// may take seconds, and keys must not pile up meanwhile.
    pub fn keep_tidy(&self, stop: impl Fn() -> bool) {
        let stopped = AtomicBool::new(false);
        thread::scope(|scope| {
            let merging = thread::Builder::new().name("seen-merge".into());
            let merging = merging.spawn_scoped(scope, || self.keep_merged(&stopped));
            if let Err(error) = &merging {
                tracing::error!(%error, "runs of seen reports will not be merged");
            }
            while !stop() {
                if self.is_full()
                    && let Err(error) = self.move_to_disk(true)
                {
                    tracing::error!(%error, "cannot write the index of seen reports; keeping it in memory");
                }
                thread::park_timeout(UPKEEP_INTERVAL);
            }
            stopped.store(true, Ordering::Relaxed);
            self.runs.stop_merging();
            if let Ok(merging) = &merging {
                merging.thread().unpark();
            }
        });
    }

    fn keep_merged(&self, stopped: &AtomicBool) {
        while !stopped.load(Ordering::Relaxed) {
            let tidied = self.tidy();
            if let Err(error) = &tidied {
                tracing::error!(%error, "cannot merge or remove runs of seen reports; they stay as they are");
            }
            thread::park_timeout(if tidied.is_ok() { UPKEEP_INTERVAL } else { RETRY_INTERVAL });
        }
    }
}

impl Shard {
    fn new() -> Shard {
        Shard {
            assets: HashTable::new(),
            late_tracks: Tracks::new(LATE_TRACKS),
            recent: Keys::default(),
            leaving: Keys::default(),
        }
    }

    fn asset(&mut self, hash: u64, burst: f32) -> &mut Asset {
        match self.assets.entry(hash, |asset| asset.hash == hash, |asset| asset.hash) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let track = Track::default();
                entry.insert(Asset { hash, newest: i64::MIN, allowance: burst, counted_ms: 0, track }).into_mut()
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
    key: Key,
    content: u64,
}

impl Names {
    fn of(record: RecordRef<'_>) -> Names {
        Names {
            asset: xxh3_64_with_seed(record.id(), u64::from(record.kind_number())),
            key: seen::key(xxh3_128_with_seed(record.id(), u64::from(record.kind_number())), record.event_time()),
            content: xxh3_64(record.content()),
        }
    }

    fn seen(&self) -> Seen {
        Seen { key: self.key, content: self.content }
    }
}

/// Neighbours in time differ in few bits of their keys, so the words are mixed.
fn table_hash(key: Key) -> u64 {
    let product = u128::from(key[0] ^ 0x9e37_79b9_7f4a_7c15) * u128::from(key[1] ^ 0xd1b5_4a32_d192_ed03);
    (product >> 64) as u64 ^ product as u64
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
    .with_value(event_time.to_string())
}
