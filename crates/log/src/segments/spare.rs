//! The spare: the next segment file, written full of zeros ahead of time by a background thread.
//! Overwriting written blocks needs no change of the file system's own records, which nearly doubles the sync rate, and
//! a full disk shows here, before a record is concerned.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::fs::FallocateFlags;

use super::sync_folder;
use crate::Faults;

/// Zeros per write.
const CHUNK_BYTES: usize = 1 << 20;
/// After so many zeros a sync, so that the log's own syncs never queue behind more than that.
const SYNC_EVERY_BYTES: u64 = 8 << 20;

/// Makes spares, one at a time, in a thread of its own.
#[derive(Debug)]
pub(super) struct SpareMaker {
    bench: Arc<Bench>,
    thread: Option<JoinHandle<()>>,
}

/// How and where spares are made.
#[derive(Clone, Debug)]
pub(super) struct SparePlan {
    pub(super) folder: PathBuf,
    pub(super) bytes: u64,
    /// After a failed attempt, time until the next.
    pub(super) retry_ms: u64,
    pub(super) faults: Faults,
}

#[derive(Debug)]
struct Bench {
    plan: SparePlan,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
enum State {
    Making,
    Ready,
    Failed(io::Error),
    Closing,
}

impl SpareMaker {
    /// Begins to make the first spare.
    pub(super) fn start(plan: SparePlan) -> io::Result<Self> {
        let bench = Arc::new(Bench { plan, state: Mutex::new(State::Making), changed: Condvar::new() });
        let worker = bench.clone();
        let thread = std::thread::Builder::new().name("log-spare".into()).spawn(move || worker.run())?;
        Ok(Self { bench, thread: Some(thread) })
    }

    /// Path of a finished spare, which the caller has to move away before it calls [`Self::make_next`]. Waits while one is
    /// being made. After a failure one more attempt is made; if that fails too, there is no room now.
    pub(super) fn wait(&self) -> io::Result<PathBuf> {
        let mut state = self.bench.state.lock();
        if matches!(*state, State::Failed(_)) {
            self.bench.set(&mut state, State::Making);
        }
        self.bench.changed.wait_while(&mut state, |state| matches!(state, State::Making));
        match &*state {
            State::Failed(error) => Err(io::Error::new(error.kind(), error.to_string())),
            _ => Ok(self.bench.plan.path()),
        }
    }

    /// Begins to make another spare.
    pub(super) fn make_next(&self) {
        self.bench.set(&mut self.bench.state.lock(), State::Making);
    }
}

impl Drop for SpareMaker {
    fn drop(&mut self) {
        self.bench.set(&mut self.bench.state.lock(), State::Closing);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the thread itself, and nothing depends on it any more.
            let _ = thread.join();
        }
    }
}

impl Bench {
    fn set(&self, state: &mut State, to: State) {
        *state = to;
        self.changed.notify_all();
    }

    fn run(&self) {
        // An append may wait for the spare, and making one is mostly waiting for syncs, as writing is.
        crate::priority::raise();
        while self.wait_for_work() {
            let made = self.plan.make(|| matches!(*self.state.lock(), State::Closing));
            let mut state = self.state.lock();
            if !matches!(*state, State::Closing) {
                self.set(&mut state, made.map_or_else(State::Failed, |()| State::Ready));
            }
        }
    }

    /// Whether there is something to do; `false` once the maker is closing.
    fn wait_for_work(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            match *state {
                State::Making => return true,
                State::Closing => return false,
                State::Ready => self.changed.wait(&mut state),
                State::Failed(_) => {
                    let retry = Duration::from_millis(self.plan.retry_ms);
                    if self.changed.wait_for(&mut state, retry).timed_out() {
                        self.set(&mut state, State::Making);
                    }
                }
            }
        }
    }
}

impl SparePlan {
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("spare")
    }

    /// Leaves a spare of the right size, all zeros and on stable storage; on error none.
    fn make(&self, stop: impl Fn() -> bool) -> io::Result<()> {
        self.faults.before_making_room()?;
        if is_whole(&self.path(), self.bytes) {
            return Ok(());
        }
        let unfinished = self.folder.join("spare.tmp");
        self.fill(&unfinished, stop)
            .and_then(|()| fs::rename(&unfinished, self.path()))
            .and_then(|()| sync_folder(&self.folder))
            .inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }

    fn fill(&self, path: &Path, stop: impl Fn() -> bool) -> io::Result<()> {
        let file = File::options().write(true).create(true).truncate(true).open(path)?;
        // Asks for all of the space first: a disk that is too full says so at once, instead of being filled to the brim.
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, self.bytes)?;
        let zeros = vec![0; CHUNK_BYTES];
        for offset in (0..self.bytes).step_by(CHUNK_BYTES) {
            if stop() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = (self.bytes - offset).min(CHUNK_BYTES as u64) as usize;
            file.write_all_at(&zeros[..length], offset)?;
            if (offset + length as u64).is_multiple_of(SYNC_EVERY_BYTES) {
                file.sync_data()?;
            }
        }
        file.sync_all()
    }
}

/// A spare left by a former run is good: it got its name only after it was complete. The header that a crash during its
/// use may have left is overwritten at the next.
fn is_whole(path: &Path, bytes: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() == bytes)
}
