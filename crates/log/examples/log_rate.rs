//! How many records per second become durable, and how fast single ones are acknowledged.
//! `cargo run --release -p drover-log --example log_rate -- [FOLDER] [SECONDS]`; the folder has to be on the disk to be
//! measured, not on tmpfs.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use drover_log::{AppendError, Commit, Log, SegmentEngine, SegmentSettings, Settings};

const RECORD_BYTES: usize = 110;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(|| std::env::temp_dir().join("log_rate"), PathBuf::from);
    let time = Duration::from_secs_f64(arguments.next().map_or(5.0, |seconds| seconds.parse().expect("seconds")));
    for producers in [1, 2, 4] {
        bulk(&folder, producers, time);
    }
    for tasks in [1, 50, 1000] {
        closed_loop_tasks(&folder, tasks, time);
    }
    closed_loop_threads(&folder, 50, time);
}

/// Commits' sizes and durations, collected by the log's hook.
#[derive(Default)]
struct Commits(Mutex<Vec<Commit>>);

impl Commits {
    fn summary(&self) -> String {
        let mut commits = std::mem::take(&mut *self.0.lock().unwrap());
        commits.sort_by_key(|commit| commit.duration);
        let at = |part: f64| commits[((commits.len() - 1) as f64 * part) as usize].duration.as_secs_f64() * 1e3;
        let records: u64 = commits.iter().map(|commit| u64::from(commit.records)).sum();
        format!(
            "{} commits of {:.0} records; commit ms p50 {:.2} p99 {:.2} max {:.2}",
            commits.len(),
            records as f64 / commits.len() as f64,
            at(0.5),
            at(0.99),
            at(1.0)
        )
    }
}

fn open(folder: &Path) -> (Log, Arc<Commits>) {
    let _ = std::fs::remove_dir_all(folder);
    let commits = Arc::new(Commits::default());
    let hook = commits.clone();
    let on_commit = move |commit| hook.0.lock().unwrap().push(commit);
    let settings = Settings { on_commit: Some(Arc::new(on_commit)), ..Settings::default() };
    let engine = SegmentEngine::open(SegmentSettings::new(folder)).expect("the folder can be used");
    let log = Log::open(engine, settings);
    let first = log.append(&[0; RECORD_BYTES]).unwrap();
    log.wait_durable(first).unwrap();
    commits.0.lock().unwrap().clear();
    (log, commits)
}

/// Producers that append 1,000 records at a time and only wait when the log is overloaded.
fn bulk(folder: &Path, producers: usize, time: Duration) {
    let (log, commits) = open(folder);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..producers {
            scope.spawn(|| {
                let record = [7; RECORD_BYTES];
                while started.elapsed() < time {
                    match log.append_all((0..1000).map(|_| &record)) {
                        Ok(_) => {}
                        Err(AppendError::Overloaded { .. }) => {
                            // As an ingest would: lets the oldest quarter of the backlog go first.
                            let backlog = log.next_position() - 1 - log.durable_position();
                            log.wait_durable(log.durable_position() + backlog / 4).unwrap();
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    log.wait_durable(log.next_position() - 1).unwrap();
    report(&format!("{producers} producers in bulk"), log.durable_position(), started, &commits);
}

fn closed_loop_threads(folder: &Path, threads: usize, time: Duration) {
    let (log, commits) = open(folder);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while started.elapsed() < time {
                    log.wait_durable(log.append(&[7; RECORD_BYTES]).unwrap()).unwrap();
                }
            });
        }
    });
    report(&format!("{threads} threads, one record each"), log.durable_position(), started, &commits);
}

/// Tasks on one executor thread, each with one record at a time.
fn closed_loop_tasks(folder: &Path, tasks: usize, time: Duration) {
    let (log, commits) = open(folder);
    let started = Instant::now();
    let running = Arc::new(AtomicBool::new(true));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (queue, ready) = mpsc::channel();
    for _ in 0..tasks {
        let (log, running, acknowledged) = (log.clone(), running.clone(), acknowledged.clone());
        let future = async move {
            while running.load(Ordering::Relaxed) {
                log.durable(log.append(&[7; RECORD_BYTES]).unwrap()).await.unwrap();
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        };
        let task = Task { future: Mutex::new(Some(Box::pin(future))), queue: queue.clone() };
        queue.send(Arc::new(task)).unwrap();
    }
    drop(queue);
    // Ends when the last task is done, as each holds a sender.
    while let Ok(task) = ready.recv() {
        running.store(started.elapsed() < time, Ordering::Relaxed);
        task.poll();
    }
    report(&format!("{tasks} tasks, one record each"), acknowledged.load(Ordering::Relaxed), started, &commits);
}

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    future: Mutex<Option<BoxFuture>>,
    queue: mpsc::Sender<Arc<Task>>,
}

impl Task {
    fn poll(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut future = self.future.lock().unwrap();
        let Some(running) = &mut *future else { return };
        if let Poll::Ready(()) = running.as_mut().poll(&mut Context::from_waker(&waker)) {
            *future = None;
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let queue = self.queue.clone();
        let _ = queue.send(self);
    }
}

fn report(what: &str, records: u64, started: Instant, commits: &Commits) {
    let rate = records as f64 / started.elapsed().as_secs_f64();
    println!("{what:28} {rate:>10.0} records/s   {}", commits.summary());
}
