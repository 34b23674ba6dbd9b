//! One small runtime of this crate's own, so that plain threads can use the store without knowing of futures, and
//! tasks of any runtime too. Nothing here blocks a thread of that runtime; callers wait on a channel, which is allowed
//! anywhere, also inside a task (where it holds up the task's thread, as every synchronous call does).

use std::future::Future;
use std::sync::OnceLock;
use std::sync::mpsc;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{AbortHandle, JoinHandle};

/// Threads for what blocks: looking up names, reading folders for tasks.
const BLOCKING_THREADS_MAX: usize = 32;

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("objects")
            .enable_all()
            .build()
            .expect("a process can start one thread more")
    })
}

/// Work that is under way. Dropping it ends the work.
pub(crate) struct Started<T> {
    answer: mpsc::Receiver<T>,
    _task: EndOnDrop,
}

impl<T> Started<T> {
    /// Blocks until the work is done.
    pub(crate) fn wait(self) -> T {
        self.answer.recv().expect("a request to the store panicked")
    }
}

struct EndOnDrop(AbortHandle);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts work without waiting for it.
pub(crate) fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Started<T> {
    let (sender, answer) = mpsc::sync_channel(1);
    let task = runtime().spawn(async move {
        // Nobody waits any more: then nobody wants the answer.
        let _ = sender.send(work.await);
    });
    Started { answer, _task: EndOnDrop(task.abort_handle()) }
}

/// Does the work and blocks until it is done.
pub(crate) fn wait<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    start(work).wait()
}

/// Does the work for a task of any runtime, or of none. Ends with the task.
pub(crate) async fn join<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    joined(runtime().spawn(work)).await
}

/// Does blocking work for a task of any runtime, or of none.
pub(crate) async fn join_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    joined(runtime().spawn_blocking(work)).await
}

async fn joined<T>(task: JoinHandle<T>) -> T {
    let _end = EndOnDrop(task.abort_handle());
    task.await.expect("a request to the store panicked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn waiting_works_on_a_thread_and_inside_a_task() {
        assert_eq!(wait(async { 1 }), 1);
        let other = Builder::new_current_thread().build().unwrap();
        assert_eq!(other.block_on(async { wait(async { 2 }) }), 2);
        assert_eq!(other.block_on(join(async { 3 })), 3);
        assert_eq!(other.block_on(join_blocking(|| 4)), 4);
    }

    #[test]
    fn work_that_nobody_waits_for_ends() {
        let held = Arc::new(());
        let inside = held.clone();
        let started = start(async move {
            let _inside = inside;
            tokio::time::sleep(Duration::from_secs(600)).await;
        });
        drop(started);
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while Arc::strong_count(&held) > 1 {
            assert!(std::time::Instant::now() < until, "the work goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
