//! The log: positions and the pending buffer in front, the writer thread behind, and the handle that joins them.
//! What is written where is the engine's business; how a commit goes is in `writer`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use crate::batch::RECORD_OVERHEAD_BYTES;
use crate::follower::Progress;
use crate::ring::Ring;
use crate::waiters::Waiters;
use crate::writer::Writer;
use crate::{Archive, Batch, Durable, Engine, Follower, FollowerLag, Position, ReadError, Retention};

/// Where the log gets the time from, ms UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Called by the writer thread after each commit; must be quick, as the next commit waits for it.
pub type CommitHook = Arc<dyn Fn(Commit) + Send + Sync>;

/// What one commit made durable, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Records in the batch.
    pub records: u32,
    /// Payload bytes of the batch.
    pub bytes: usize,
    /// From handing the batch to the engine until it was durable.
    pub duration: Duration,
}

/// Limits and connections of a log. The defaults suit a busy stream.
#[derive(Clone)]
pub struct Settings {
    /// Names the writer thread and the log's messages; by habit the stream's name.
    pub name: String,
    /// A longer record is refused. Never more than a batch can hold.
    pub max_record_bytes: usize,
    /// With so many bytes waiting for the disk, further appends are refused as overloaded.
    pub max_pending_bytes: usize,
    /// What is pending beyond this becomes durable in several batches, so that the first need not wait for the last.
    /// Never more than the engine stores at once.
    pub max_batch_bytes: usize,
    /// Newest batches kept in memory for followers.
    pub ring_bytes: usize,
    /// When the engine is full: time until the next attempt.
    pub full_retry_ms: u64,
    /// Time of append.
    pub clock: Clock,
    /// Told about each commit.
    pub on_commit: Option<CommitHook>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "log".into(),
            max_record_bytes: 1 << 20,
            max_pending_bytes: 32 << 20,
            max_batch_bytes: 4 << 20,
            ring_bytes: 8 << 20,
            full_retry_ms: 500,
            clock: Arc::new(system_time_ms),
            on_commit: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a record was not taken. It has no position, and nothing of it stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// More arrives than the disk takes; try again later.
    #[error("{pending_bytes} bytes already wait for the disk")]
    Overloaded {
        /// Bytes that wait.
        pending_bytes: usize,
    },
    /// No space; the log resumes by itself when there is space again.
    #[error("no space for the log: {0}")]
    Full(Arc<str>),
    /// A write or sync failed; the log has to be opened again.
    #[error("the log stopped after a failed write: {0}")]
    Poisoned(Arc<str>),
    /// The record is longer than `max_record_bytes`.
    #[error("a record of {bytes} bytes is longer than the limit of {max_bytes}")]
    TooLarge {
        /// The record's length.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why a position was not confirmed. It may be durable or become so later: it must be neither acknowledged nor taken for lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// No space at present. The record is still buffered and becomes durable when there is space again.
    #[error("no space for the log: {0}")]
    Full(Arc<str>),
    /// A write or sync failed. Whether the record survived shows when the log is opened again.
    #[error("the log stopped after a failed write: {0}")]
    Poisoned(Arc<str>),
    /// The log was closed before the position became durable.
    #[error("the log is closed")]
    Closed,
}

impl From<CommitError> for AppendError {
    fn from(trouble: CommitError) -> Self {
        match trouble {
            CommitError::Full(reason) => Self::Full(reason),
            CommitError::Poisoned(reason) => Self::Poisoned(reason),
            CommitError::Closed => Self::Closed,
        }
    }
}

/// What a log has done since it was opened, and how it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that became durable.
    pub records: u64,
    /// Payload bytes that became durable.
    pub bytes: u64,
    /// Batches, hence syncs.
    pub commits: u64,
    /// Bytes that wait for the disk now.
    pub pending_bytes: usize,
    /// Whether appends are refused for lack of space.
    pub full: bool,
    /// Whether the log stopped after a failed write.
    pub poisoned: bool,
}

/// Handle to a stream's log. Clones are cheap and share it; the last one to be dropped closes it.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

impl Log {
    /// Starts a log on top of an engine; positions continue after what the engine holds.
    #[must_use]
    pub fn open(engine: impl Engine, settings: Settings) -> Self {
        let shared = Arc::new(Shared::new(&engine, settings));
        let writer = Writer::new(engine, shared.clone());
        let thread = std::thread::Builder::new()
            .name(format!("log-{}", shared.settings.name))
            .spawn(move || writer.run())
            .expect("the system can start a thread");
        let owner = Owner { shared: shared.clone(), thread: Mutex::new(Some(thread)) };
        Self { shared, _owner: Arc::new(owner) }
    }

    /// Buffers a record and gives it its position; the order of calls is the order of the log.
    ///
    /// On success the record is *not* durable yet: acknowledge only after [`Self::durable`]. On error nothing of it stays.
    pub fn append(&self, record: &[u8]) -> Result<Position, AppendError> {
        let max_bytes = self.shared.settings.max_record_bytes;
        if record.len() > max_bytes {
            return Err(AppendError::TooLarge { bytes: record.len(), max_bytes });
        }
        self.append_with(|buffer| buffer.extend_from_slice(record))
    }

    /// As [`Self::append`], for a caller that encodes straight into the log's buffer. `encode` may only add to the end of
    /// the buffer (other records stand before it), and must be quick: other appends wait.
    pub fn append_with(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<Position, AppendError> {
        let mut pending = self.shared.pending.lock();
        pending.check(&self.shared.settings)?;
        let position = pending.push(encode, self.shared.settings.max_record_bytes)?;
        let writer_sleeps = pending.should_wake_writer();
        drop(pending);
        if writer_sleeps {
            self.shared.work.notify_one();
        }
        Ok(position)
    }

    /// Buffers several records under one lock: consecutive positions, of which the last is returned (and
    /// [`Self::next_position`] - 1 when there are none). On error none of them stays.
    pub fn append_all<R: AsRef<[u8]>>(&self, records: impl IntoIterator<Item = R>) -> Result<Position, AppendError> {
        let mut pending = self.shared.pending.lock();
        pending.check(&self.shared.settings)?;
        let (length, next) = (pending.buffer.len(), pending.next);
        for record in records {
            let pushed =
                pending.push(|buffer| buffer.extend_from_slice(record.as_ref()), self.shared.settings.max_record_bytes);
            if let Err(error) = pushed {
                pending.buffer.truncate(length);
                pending.next = next;
                return Err(error);
            }
        }
        let last = pending.next - 1;
        let writer_sleeps = last >= next && pending.should_wake_writer();
        drop(pending);
        if writer_sleeps {
            self.shared.work.notify_one();
        }
        Ok(last)
    }

    /// Resolves once everything up to `position` is on stable storage, whoever appended it; on error see [`CommitError`].
    pub fn durable(&self, position: Position) -> Durable {
        Durable::new(self.shared.waiters.clone(), position)
    }

    /// As [`Self::durable`], blocking this thread.
    pub fn wait_durable(&self, position: Position) -> Result<(), CommitError> {
        self.durable(position).wait()
    }

    /// Everything up to here survives a crash.
    #[must_use]
    pub fn durable_position(&self) -> Position {
        self.shared.waiters.durable()
    }

    /// The position that the next append gets.
    #[must_use]
    pub fn next_position(&self) -> Position {
        self.shared.pending.lock().next
    }

    /// The oldest position that retention has left.
    #[must_use]
    pub fn oldest(&self) -> Position {
        self.shared.archive.bounds().oldest
    }

    /// The first position appended at `time_ms` or later, to follow from; the next position if there is none.
    pub fn position_at_time(&self, time_ms: i64) -> Result<Position, ReadError> {
        self.shared.archive.position_at_time(time_ms)
    }

    /// Starts reading with the record at `from` (0 and 1 both mean the first ever). `name` shows up in metrics only.
    #[must_use]
    pub fn follow(&self, name: &str, from: Position) -> Follower {
        Follower::new(self.shared.clone(), name, from)
    }

    /// Durable records from `from` on, for a look without following; see [`Archive::read`].
    pub fn read(&self, from: Position, max_bytes: usize) -> Result<Vec<Arc<Batch>>, ReadError> {
        self.shared.archive.read(from.max(1), max_bytes)
    }

    /// Removes the oldest records beyond the limits (whole segments, never the newest) and returns the oldest position
    /// left. Followers that needed them get [`ReadError::Trimmed`].
    pub fn retain(&self, retention: &Retention) -> std::io::Result<Position> {
        self.shared.archive.retain(retention, (self.shared.settings.clock)())
    }

    /// How far the living followers are.
    #[must_use]
    pub fn followers(&self) -> Vec<FollowerLag> {
        let durable = self.durable_position();
        let followers = self.shared.followers.lock();
        followers.iter().filter_map(Weak::upgrade).map(|progress| progress.lag(durable)).collect()
    }

    /// Counters and state.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Makes durable what is pending, stops the writer and releases the engine. Returns when that is done. What could
    /// not be made durable (no space, failed disk) is left, and those who wait for it are told.
    pub fn close(&self) {
        self._owner.close();
    }
}

/// Closes the log when the last handle goes.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Owner {
    fn close(&self) {
        self.shared.pending.lock().closing = true;
        self.shared.work.notify_one();
        let Some(thread) = self.thread.lock().take() else { return };
        // A waker that holds the last handle may drop it on the writer thread itself, which cannot wait for its own end.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            tracing::error!(log = self.shared.settings.name, "the log's writer thread panicked");
        }
        self.shared.ring.close();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

/// What handles, followers and the writer thread share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) pending: Mutex<Pending>,
    /// Signalled when the sleeping writer has something to do.
    pub(crate) work: Condvar,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) ring: Ring,
    pub(crate) archive: Arc<dyn Archive>,
    pub(crate) counters: Counters,
    followers: Mutex<Vec<Weak<Progress>>>,
}

/// Counters behind [`Stats`]; only the writer thread adds.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) commits: AtomicU64,
}

/// Records that have a position but were not taken by the writer yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) buffer: Vec<u8>,
    /// Position of the first record in the buffer.
    pub(crate) base: Position,
    /// Position of the record after the buffer's last.
    pub(crate) next: Position,
    /// Bytes that the writer took and has not made durable yet.
    pub(crate) in_flight_bytes: usize,
    pub(crate) writer_sleeps: bool,
    /// The sleeping writer wants to be woken when so many records are pending.
    pub(crate) wake_writer_at: u64,
    pub(crate) closing: bool,
    /// Why appends are refused at present.
    pub(crate) trouble: Option<CommitError>,
}

impl Pending {
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len() + self.in_flight_bytes
    }

    /// Records in the buffer.
    pub(crate) fn records(&self) -> u64 {
        self.next - self.base
    }

    /// Whether the writer sleeps and has something to do now. Says so once.
    fn should_wake_writer(&mut self) -> bool {
        self.writer_sleeps && self.records() >= self.wake_writer_at && std::mem::take(&mut self.writer_sleeps)
    }

    /// Whether the log takes records now.
    fn check(&self, settings: &Settings) -> Result<(), AppendError> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.clone().into());
        }
        if self.closing {
            return Err(AppendError::Closed);
        }
        let pending_bytes = self.bytes();
        if pending_bytes >= settings.max_pending_bytes {
            return Err(AppendError::Overloaded { pending_bytes });
        }
        Ok(())
    }

    /// Adds one record. If `encode` panics or the record is too long, the buffer is as before.
    fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>), max_bytes: usize) -> Result<Position, AppendError> {
        let mut record = OpenRecord::begin(&mut self.buffer);
        encode(record.buffer);
        record.finish(max_bytes)?;
        self.next += 1;
        Ok(self.next - 1)
    }
}

/// A record that is being written to the end of the pending buffer, and is cut off again unless it gets finished.
struct OpenRecord<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
    finished: bool,
}

impl<'a> OpenRecord<'a> {
    fn begin(buffer: &'a mut Vec<u8>) -> Self {
        let start = buffer.len();
        buffer.extend_from_slice(&[0; RECORD_OVERHEAD_BYTES]);
        Self { buffer, start, finished: false }
    }

    fn finish(&mut self, max_bytes: usize) -> Result<(), AppendError> {
        let body = self.start + RECORD_OVERHEAD_BYTES;
        let bytes = self.buffer.len().checked_sub(body).expect("encode only adds to the buffer");
        if bytes > max_bytes {
            return Err(AppendError::TooLarge { bytes, max_bytes });
        }
        self.buffer[self.start..body].copy_from_slice(&(bytes as u32).to_le_bytes());
        self.finished = true;
        Ok(())
    }
}

impl Drop for OpenRecord<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.buffer.truncate(self.start);
        }
    }
}

impl Shared {
    fn new(engine: &impl Engine, mut settings: Settings) -> Self {
        let archive = engine.archive();
        let next = archive.bounds().next;
        settings.max_batch_bytes = settings.max_batch_bytes.min(engine.max_payload_bytes());
        // A record never spans batches, and its length is a u32.
        let longest = settings.max_batch_bytes.min(u32::MAX as usize).saturating_sub(RECORD_OVERHEAD_BYTES);
        settings.max_record_bytes = settings.max_record_bytes.min(longest);
        let pending = Pending {
            buffer: Vec::new(),
            base: next,
            next,
            in_flight_bytes: 0,
            writer_sleeps: false,
            wake_writer_at: 1,
            closing: false,
            trouble: None,
        };
        Self {
            pending: Mutex::new(pending),
            work: Condvar::new(),
            waiters: Arc::new(Waiters::new(next - 1)),
            ring: Ring::new(next, settings.ring_bytes),
            archive,
            counters: Counters::default(),
            followers: Mutex::default(),
            settings,
        }
    }

    pub(crate) fn register(&self, follower: &Arc<Progress>) {
        let mut followers = self.followers.lock();
        followers.retain(|known| known.strong_count() > 0);
        followers.push(Arc::downgrade(follower));
    }

    /// Refuses appends and fails those who wait, until [`Self::recover`].
    pub(crate) fn fail(&self, trouble: CommitError) {
        self.pending.lock().trouble = Some(trouble.clone());
        self.waiters.fail(trouble);
    }

    pub(crate) fn recover(&self) {
        self.waiters.recover();
        self.pending.lock().trouble = None;
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        matches!(self.pending.lock().trouble, Some(CommitError::Poisoned(_)))
    }

    fn stats(&self) -> Stats {
        let pending = self.pending.lock();
        Stats {
            records: self.counters.records.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            commits: self.counters.commits.load(Ordering::Relaxed),
            pending_bytes: pending.bytes(),
            full: matches!(pending.trouble, Some(CommitError::Full(_))),
            poisoned: matches!(pending.trouble, Some(CommitError::Poisoned(_))),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Log");
        shown.field("name", &self.settings.name).field("durable", &self.waiters.durable()).finish_non_exhaustive()
    }
}

fn system_time_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
