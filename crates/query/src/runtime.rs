//! The threads that queries run on: their own, so that a query never holds up a socket, and at low priority, so that
//! on a busy machine ingest goes first.

use tokio::runtime::{Builder, Runtime};

/// Niceness of the threads: under contention they get about a tenth of what a normal thread gets.
const NICENESS: i32 = 10;
/// Planning walks expressions recursively. Address space only; pages are taken when they are touched.
const STACK_BYTES: usize = 64 << 20;

/// Starts the runtime. On error nothing was started.
pub(crate) fn start(threads: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .max_blocking_threads(threads.max(1))
        .thread_name("query")
        .thread_stack_size(STACK_BYTES)
        .on_thread_start(lower_priority)
        .enable_time()
        .build()
}

/// Lowers the calling thread's priority. Lowering needs no permission, so a failure is only worth a line.
#[allow(unsafe_code, reason = "setpriority has no safe binding")]
fn lower_priority() {
    // SAFETY: setpriority takes numbers only. On Linux PRIO_PROCESS with 0 means the calling thread.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) } != 0 {
        tracing::debug!("a query thread keeps the normal scheduling priority");
    }
}
