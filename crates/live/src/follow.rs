//! The follower that builds the live state: one thread reads batches of the log, applies them under a
//! short lock, and writes a snapshot now and then. It can be as far behind as it likes without
//! holding up the log.

use crate::live::{Encode, Live, Settings};
use crate::snapshot;
use drover_log::{Batch, Follower, Log, Position, ReadError};
use drover_model::Report;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records applied under one lock, so that readers are never held up for long.
const RECORDS_PER_LOCK: usize = 256;
/// How long the follower sleeps in the log before it looks at its other duties.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// Wait after a failed read of the log, before it is tried again.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Why following could not start.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The folder of snapshots.
    #[error("live snapshots in {folder}: {source}")]
    Snapshots {
        /// Which folder.
        folder: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}

/// The running follower; ends when told.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Stops following after a last snapshot, and waits for it.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the live follower ended badly");
        }
    }
}

impl Live {
    /// Starts a live state from the newest snapshot in `folder` and follows `log` from there.
    pub fn follow(
        log: &Log,
        folder: &Path,
        settings: Settings,
        encode: Encode,
    ) -> Result<(Live, Running), FollowError> {
        let state =
            snapshot::newest(folder).map_err(|source| FollowError::Snapshots { folder: folder.to_owned(), source })?;
        let follower = log.follow("live", state.applied() + 1);
        let live = Live::new(state, settings, encode);
        // A snapshot from before an erasure, or restored from a copy.
        live.forget_erased();
        let stop = Arc::new(AtomicBool::new(false));
        let mut worker = Worker {
            live: live.clone(),
            follower,
            folder: folder.to_owned(),
            last_snapshot: (Instant::now(), live.applied()),
            lag: metrics::gauge!("drover_follower_lag_records", "follower" => "live"),
        };
        let thread = std::thread::Builder::new().name("live".into()).spawn({
            let stop = stop.clone();
            move || worker.run(&stop)
        });
        let thread = thread.map_err(|source| FollowError::Snapshots { folder: folder.to_owned(), source })?;
        Ok((live, Running { stop, thread: Some(thread) }))
    }
}

struct Worker {
    live: Live,
    follower: Follower,
    folder: PathBuf,
    last_snapshot: (Instant, Position),
    lag: metrics::Gauge,
}

impl Worker {
    fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            match self.follower.next(IDLE_WAIT) {
                Ok(Some(batch)) => self.apply(&batch),
                Ok(None) => {}
                // Nothing more can come: the node ends, or did not come up.
                Err(ReadError::Closed) => break,
                Err(error) => self.recover(&error),
            }
            self.lag.set(self.follower.lag() as f64);
            let forgot = self.live.0.forgot.swap(false, Ordering::AcqRel);
            if forgot {
                self.last_snapshot.1 = Position::MAX;
                self.snapshot();
                snapshot::only_newest(&self.folder);
            }
            if self.last_snapshot.0.elapsed() >= self.live.0.settings.snapshot_interval {
                self.snapshot();
            }
        }
        self.snapshot();
    }

    fn apply(&self, batch: &Batch) {
        let mut records = batch.records().peekable();
        while records.peek().is_some() {
            let these = records.clone().take(RECORDS_PER_LOCK);
            let applied = {
                let mut state = self.live.0.state.write();
                for (position, record) in records.by_ref().take(RECORDS_PER_LOCK) {
                    if position <= state.applied() {
                        continue;
                    }
                    if self.is_erased(record) {
                        state.pass_over(position);
                    } else if let Err(error) = state.apply(position, record) {
                        tracing::error!(position, %error, "a record in the log is not a report; live passes over it");
                    }
                }
                state.applied()
            };
            self.live.0.applied.send_replace(applied);
            self.live.0.interest.wake(these.map(|(_, record)| record));
        }
    }

    fn is_erased(&self, record: &[u8]) -> bool {
        let erasures = &self.live.0.settings.erasures;
        !erasures.is_empty()
            && Report::decode(record).is_ok_and(|report| erasures.covers(report.kind, &report.id, report.receive_time))
    }

    /// Damage and retention leave gaps that nobody can fill: say so and go on behind them.
    fn recover(&mut self, error: &ReadError) {
        let next = match error {
            ReadError::Damaged(damage) => damage.to + 1,
            ReadError::Trimmed { oldest } => *oldest,
            _ => {
                tracing::error!(%error, "the live follower cannot read the log; trying again");
                std::thread::sleep(RETRY_WAIT);
                return;
            }
        };
        tracing::error!(%error, next, "the live follower passes over records that are gone");
        metrics::counter!("drover_follower_gaps_total", "follower" => "live").increment(1);
        self.follower.skip_to(next);
        self.live.0.state.write().pass_over(next - 1);
        self.live.0.applied.send_replace(next - 1);
    }

    /// Writes a snapshot if anything changed. This thread is the only writer of the state, so readers
    /// go on meanwhile; the slow part, the sync, is left to another thread.
    fn snapshot(&mut self) {
        let applied = self.live.applied();
        let changed = applied != self.last_snapshot.1;
        self.last_snapshot = (Instant::now(), applied);
        if !changed {
            return;
        }
        let started = snapshot::start(&self.live.0.state.read(), &self.folder);
        let finish = started.and_then(|(file, path)| {
            std::thread::Builder::new().name("live-snapshot".into()).spawn(move || snapshot::finish(&file, &path))
        });
        match finish.map(JoinHandle::join) {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) | Err(error) => {
                tracing::error!(%error, "no live snapshot could be written; the next start replays more of the log")
            }
            Ok(Err(_)) => tracing::error!("writing a live snapshot ended badly"),
        }
    }
}
