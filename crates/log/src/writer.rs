//! The writer thread: takes whatever is pending, makes it durable as one batch (or several, if it is much), then
//! publishes. Group commit comes from natural batching: while one sync runs, the next batch collects. Where syncs are
//! quick and senders many, that alone makes small batches, so the writer also gathers: see [`Gathering`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::MutexGuard;

use crate::batch::{RECORD_OVERHEAD_BYTES, split_record};
use crate::log::{Pending, Shared};
use crate::{Batch, Commit, CommitError, Engine, EngineError, Position, priority};

/// Longest time that a pending record waits for company before its sync begins.
const GATHER_MAX: Duration = Duration::from_micros(500);
/// So many bytes are company enough.
const GATHER_ENOUGH_BYTES: usize = 64 << 10;

/// How many records the next batch should wait for: about as many as were under way lately, because senders that were
/// just acknowledged are about to send again. A lone sender does not wait, once the memory of a busier time has faded.
#[derive(Debug, Default)]
struct Gathering {
    under_way: u64,
}

impl Gathering {
    /// Learns from a commit of `records` after which `pending` were already waiting.
    fn learn(&mut self, records: u64, pending: u64) {
        self.under_way = (records + pending).max(self.under_way - self.under_way.div_ceil(8).min(self.under_way));
    }

    fn wanted(&self) -> u64 {
        self.under_way.max(1)
    }
}

pub(crate) struct Writer<E> {
    engine: E,
    log: Arc<Shared>,
    last_appended_at_ms: i64,
    /// Largest take of late: the next buffer starts with this capacity.
    usual_bytes: usize,
    gathering: Gathering,
    woken: Vec<Waker>,
}

/// The writer has to stop, and everyone was told why.
struct Stop;

/// What the writer took out of the pending buffer.
struct Taken {
    base: Position,
    payload: Bytes,
}

impl<E: Engine> Writer<E> {
    pub(crate) fn new(engine: E, log: Arc<Shared>) -> Self {
        let last_appended_at_ms = log.archive.bounds().last_appended_at_ms;
        Self { engine, log, last_appended_at_ms, usual_bytes: 0, gathering: Gathering::default(), woken: Vec::new() }
    }

    /// Commits until the log is closed or poisoned.
    pub(crate) fn run(mut self) {
        priority::raise();
        let _ending = Ending(self.log.clone());
        while let Some(taken) = self.take() {
            if self.commit_all(taken).is_err() {
                break;
            }
        }
    }

    /// Waits for something to write; `None` when the log is closing and nothing is left.
    fn take(&mut self) -> Option<Taken> {
        // The old buffer lives on as the batch's payload. The new one is allocated before the lock is taken.
        let empty = Vec::with_capacity(self.usual_bytes);
        let mut pending = self.log.pending.lock();
        pending.wake_writer_at = 1;
        while pending.buffer.is_empty() {
            if pending.closing {
                return None;
            }
            pending.writer_sleeps = true;
            self.log.work.wait(&mut pending);
        }
        self.gather(&mut pending);
        pending.writer_sleeps = false;
        let buffer = std::mem::replace(&mut pending.buffer, empty);
        let base = pending.base;
        pending.base = pending.next;
        pending.in_flight_bytes = buffer.len();
        drop(pending);
        // Decays, so that one burst does not make every later buffer big.
        self.usual_bytes = buffer.len().max(self.usual_bytes - self.usual_bytes / 8);
        Some(Taken { base, payload: Bytes::from(buffer) })
    }

    /// Waits a little for the records that are probably on their way. Senders are not disturbed meanwhile: the writer
    /// is woken once, when all are there.
    fn gather(&self, pending: &mut MutexGuard<'_, Pending>) {
        let deadline = Instant::now() + GATHER_MAX;
        pending.wake_writer_at = self.gathering.wanted();
        while pending.records() < pending.wake_writer_at
            && pending.buffer.len() < GATHER_ENOUGH_BYTES
            && !pending.closing
        {
            pending.writer_sleeps = true;
            if self.log.work.wait_until(pending, deadline).timed_out() {
                return;
            }
        }
    }

    fn commit_all(&mut self, taken: Taken) -> Result<(), Stop> {
        let Taken { mut base, mut payload } = taken;
        while !payload.is_empty() {
            let (bytes, count) = first_records(&payload, self.log.settings.max_batch_bytes);
            self.last_appended_at_ms = self.last_appended_at_ms.max((self.log.settings.clock)());
            let batch = Batch::new(base, count, self.last_appended_at_ms, payload.split_to(bytes));
            base = batch.last() + 1;
            self.commit(batch)?;
        }
        Ok(())
    }

    fn commit(&mut self, batch: Batch) -> Result<(), Stop> {
        let mut started = Instant::now();
        let mut full = false;
        loop {
            match self.engine.append(&batch) {
                Ok(()) => break,
                Err(EngineError::Full(reason)) => {
                    self.wait_for_space(&reason, !std::mem::replace(&mut full, true))?;
                    started = Instant::now();
                }
                Err(error) => return Err(self.poison(&error)),
            }
        }
        self.publish(batch, started.elapsed());
        if full {
            tracing::info!(log = self.log.settings.name, "there is space for the log again");
            self.log.recover();
        }
        Ok(())
    }

    /// Shares a batch that has become durable. Acknowledgements first, then followers.
    fn publish(&mut self, batch: Batch, duration: Duration) {
        let commit = Commit { records: batch.count(), bytes: batch.payload().len(), duration };
        let last = batch.last();
        // Counted before anyone is woken, so that whoever sees a record also sees it counted.
        self.count(commit);
        self.log.ring.push(Arc::new(batch));
        self.log.waiters.publish(last);
        self.log.waiters.wake(&mut self.woken);
        self.log.ring.notify();
        let mut pending = self.log.pending.lock();
        pending.in_flight_bytes -= commit.bytes;
        self.gathering.learn(commit.records.into(), pending.records());
        drop(pending);
        if let Some(hook) = &self.log.settings.on_commit {
            hook(commit);
        }
    }

    fn count(&self, commit: Commit) {
        let counters = &self.log.counters;
        counters.records.fetch_add(u64::from(commit.records), Ordering::Relaxed);
        counters.bytes.fetch_add(commit.bytes as u64, Ordering::Relaxed);
        counters.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells everyone that there is no space, and waits until it is time to try again.
    fn wait_for_space(&self, reason: &std::io::Error, first: bool) -> Result<(), Stop> {
        if first {
            tracing::error!(log = self.log.settings.name, %reason, "no space for the log; appends are refused");
            self.log.fail(CommitError::Full(reason.to_string().into()));
        }
        let until = Instant::now() + Duration::from_millis(self.log.settings.full_retry_ms);
        let mut pending = self.log.pending.lock();
        while !pending.closing {
            if self.log.work.wait_until(&mut pending, until).timed_out() {
                return Ok(());
            }
        }
        Err(Stop)
    }

    /// Stops for good: after a failed write or sync nobody knows what the file holds until it is read again.
    fn poison(&self, error: &EngineError) -> Stop {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        tracing::error!(log = self.log.settings.name, reason, "the log stops; open it again to recover");
        self.log.fail(CommitError::Poisoned(reason.into()));
        Stop
    }
}

/// Tells everyone that no commit will come any more, however the writer thread ends.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(CommitError::Poisoned("the writer thread panicked".into()));
        } else if !self.0.is_poisoned() {
            self.0.fail(CommitError::Closed);
        }
    }
}

/// Length and number of the first records that fit into `max_bytes` together (one at least).
fn first_records(payload: &[u8], max_bytes: usize) -> (usize, u32) {
    let (mut rest, mut count) = (payload, 0);
    while let Some((record, after)) = split_record(rest) {
        let taken = payload.len() - rest.len();
        if count > 0 && taken + RECORD_OVERHEAD_BYTES + record.len() > max_bytes {
            break;
        }
        count += 1;
        rest = after;
    }
    (payload.len() - rest.len(), count)
}
