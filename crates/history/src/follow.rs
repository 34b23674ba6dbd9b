//! The lake's threads. `history` reads the log into the tail, `history-flush` writes the tail to files, `history-merge`
//! merges files and forgets old ones at low priority. None of them can hold up the log: at its bound the tail waits,
//! and what fails is tried again, told in [`Status::last_error`](crate::Status::last_error) and counted.

use crate::chunk::{CHUNK_ROWS, Chunk};
use crate::flushing::Flushing;
use crate::history::{History, Refused, Settings, Shared};
use crate::lake::Error;
use crate::lake::store::Store;
use crate::upkeep;
use drover_log::{Batch, Follower, Log, ReadError};
use drover_model::{DecodeError, Erasures, Report};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the follower sleeps in the log before it looks at its other duties.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// Wait after a failed read of the log, before it is tried again.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// The running lake; ends when told.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Ends the threads and waits for them. What is in memory is not written: the log has it, and the cursor says from
    /// where.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.news.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of history ended badly");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Opens the lake, making it if it is not there, and follows `log` from where the lake ends. On Err nothing runs.
pub fn follow(log: &Log, settings: Settings) -> Result<(History, Running), Error> {
    let store = Arc::new(open(settings)?);
    let shared = store.shared.clone();
    let cursor = shared.state.lock().cursor;
    let end = log.durable_position();
    if cursor > end {
        let problem = format!(
            "the lake holds reports up to position {cursor} of a log, but this log ends at {end}; bring back the log \
             that belongs to it, or move the lake's folder away"
        );
        return Err(Error::unusable(&store.settings.folder, problem));
    }
    let mut running = Running { shared: shared.clone(), threads: Vec::new() };
    let follower = log.follow("history", cursor + 1);
    let reading = Reading {
        follower,
        shared: shared.clone(),
        tail_max_bytes: store.settings.tail_max_bytes,
        refused: store.settings.refused.clone(),
        erasures: store.settings.erasures.clone(),
    };
    running.start("history", move || reading.run())?;
    let flushing = store.clone();
    running.start("history-flush", move || Flushing(&flushing).run())?;
    running.start("history-merge", move || upkeep::run(&store))?;
    Ok((History(shared), running))
}

/// The catalogue has an executor of its own, which must not be started on a thread that belongs to another one.
fn open(settings: Settings) -> Result<Store, Error> {
    let folder = settings.folder.clone();
    let opening = std::thread::Builder::new().name("history-open".into()).spawn(|| Store::open(settings));
    let opening = opening.map_err(Error::file(&folder, "starting a thread"))?;
    opening.join().unwrap_or_else(|_| Err(Error::unusable(&folder, "opening the lake ended badly")))
}

impl Running {
    fn start(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        self.threads.push(thread.map_err(Error::file(name.as_ref(), "starting a thread"))?);
        Ok(())
    }
}

/// The tail may pass its bound by this part of it, or by one batch of the log.
const OVERSHOOT: usize = 16;

/// From the log to the tail.
struct Reading {
    follower: Follower,
    shared: Arc<Shared>,
    tail_max_bytes: usize,
    refused: Option<Refused>,
    erasures: Erasures,
}

impl Reading {
    fn run(mut self) {
        let lag = metrics::gauge!("drover_follower_lag_records", "follower" => "history");
        while self.wait_for_room() {
            match self.follower.next(IDLE_WAIT) {
                Ok(Some(batch)) => {
                    let batches = self.with_what_is_there(batch);
                    self.take(&batches);
                }
                Ok(None) => {}
                Err(ReadError::Closed) => return,
                Err(error) => self.pass_over(&error),
            }
            lag.set(self.follower.lag() as f64);
            self.shared.state.lock().status.lag = self.follower.lag();
        }
    }

    /// False at the end.
    fn wait_for_room(&self) -> bool {
        let mut state = self.shared.state.lock();
        while !state.stopping && state.tail.bytes() >= self.tail_max_bytes {
            self.shared.news.wait_for(&mut state, IDLE_WAIT);
        }
        !state.stopping
    }

    /// The batch and those that follow it already, up to a chunk: one that is behind sorts once, not batch by batch.
    fn with_what_is_there(&mut self, batch: Arc<Batch>) -> Vec<Arc<Batch>> {
        let (mut rows, mut bytes) = (batch.count() as usize, batch.payload().len());
        let mut batches = vec![batch];
        while rows < CHUNK_ROWS
            && bytes < self.tail_max_bytes / OVERSHOOT
            // An error comes again with the next read.
            && let Ok(Some(next)) = self.follower.next(Duration::ZERO)
        {
            rows += next.count() as usize;
            bytes += next.payload().len();
            batches.push(next);
        }
        batches
    }

    fn take(&self, batches: &[Arc<Batch>]) {
        let (first, last) = (batches[0].base(), batches[batches.len() - 1].last());
        let shape = self.shared.state.lock().shape.clone();
        let mut unreadable = 0;
        let records = batches.iter().flat_map(|batch| batch.records()).filter(|(_, record)| !self.is_erased(record));
        let chunks = Chunk::of_records(&shape, records, &mut |position, record, error| {
            unreadable += 1;
            self.leave_out(position, record, &error);
        });
        if unreadable > 0 {
            tracing::error!(from = first, to = last, unreadable, "records in the log are not reports");
            metrics::counter!("drover_history_unreadable_total").increment(unreadable);
        }
        self.shared.change(|state| {
            chunks.into_iter().for_each(|chunk| state.tail.push(Arc::new(chunk)));
            state.position = last;
            state.status.unreadable += unreadable;
            if state.tail.rows() > 0 {
                state.tail_since.get_or_insert_with(Instant::now);
            }
        });
        self.merge_small_chunks();
        self.shared.visible.send_replace(last);
    }

    /// A log that is read again, or that was restored, may still have what was erased.
    fn is_erased(&self, record: &[u8]) -> bool {
        !self.erasures.is_empty()
            && Report::decode(record)
                .is_ok_and(|report| self.erasures.covers(report.kind, &report.id, report.receive_time))
    }

    /// Hands over a record that history cannot take, and waits where even that fails: it must not be passed over, and the
    /// log keeps what comes behind it.
    fn leave_out(&self, position: u64, record: &[u8], error: &DecodeError) {
        let Some(refused) = &self.refused else { return };
        while let Err(problem) = refused(position, record, &error.to_string()) {
            tracing::error!(position, problem, "a record that is no report cannot be kept elsewhere; trying again");
            self.shared.set_problem("refused", Some(format!("keeping a record that is no report: {problem}")));
            if !self.shared.wait(RETRY_WAIT) {
                return;
            }
        }
        self.shared.set_problem("refused", None);
    }

    /// Readers do not wait for this: only the exchange is under the lock.
    fn merge_small_chunks(&self) {
        loop {
            let pair = self.shared.state.lock().tail.mergeable();
            let Some((before, last)) = pair else { return };
            let merged = Arc::new(before.merged(&last));
            self.shared.change(|state| state.tail.exchange(&before, &last, merged));
        }
    }

    /// Damage and retention leave gaps that nobody can fill: say so, count them, and go on behind them.
    fn pass_over(&mut self, error: &ReadError) {
        let next = match error {
            ReadError::Damaged(damage) => damage.to + 1,
            ReadError::Trimmed { oldest } => *oldest,
            _ => {
                tracing::error!(%error, "history cannot read the log; trying again");
                self.shared.set_problem("log", Some(format!("the log cannot be read: {error}")));
                self.shared.wait(RETRY_WAIT);
                return;
            }
        };
        let lost = next.saturating_sub(self.follower.position() + 1);
        tracing::error!(%error, lost, next, "history passes over records that are gone");
        metrics::counter!("drover_follower_gaps_total", "follower" => "history").increment(1);
        self.follower.skip_to(next);
        self.shared.change(|state| {
            state.status.gap += lost;
            state.position = next - 1;
        });
        let problem = format!("{error}; {lost} reports before position {next} are not in the lake");
        self.shared.set_problem("gap", Some(problem));
        self.shared.visible.send_replace(next - 1);
    }
}
