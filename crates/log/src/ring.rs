//! The newest batches, shared in memory, so that followers that keep up never read the disk. Bounded by bytes;
//! what falls out is read from the engine's archive instead.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{Batch, Position};

#[derive(Debug)]
pub(crate) struct Ring {
    inner: Mutex<Inner>,
    changed: Condvar,
    max_bytes: usize,
}

#[derive(Debug)]
struct Inner {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// Position after the newest batch, whether it is still in the ring or not.
    next: Position,
    closed: bool,
}

/// What the ring knows about a wanted position.
pub(crate) enum Found {
    /// The batch that holds it.
    Batch(Arc<Batch>),
    /// It is durable, but older than the ring.
    Older,
    /// It did not become durable in time.
    TimedOut,
    /// It will never become durable here: the log is closed.
    Closed,
}

impl Ring {
    pub(crate) fn new(next: Position, max_bytes: usize) -> Self {
        let inner = Inner { batches: VecDeque::new(), bytes: 0, next, closed: false };
        Self { inner: Mutex::new(inner), changed: Condvar::new(), max_bytes }
    }

    /// Takes in the newest batch and drops the oldest beyond the limit. The newest always stays.
    pub(crate) fn push(&self, batch: Arc<Batch>) {
        let mut inner = self.inner.lock();
        inner.next = batch.last() + 1;
        inner.bytes += batch.payload().len();
        inner.batches.push_back(batch);
        while inner.bytes > self.max_bytes && inner.batches.len() > 1 {
            let gone = inner.batches.pop_front().expect("more than one batch");
            inner.bytes -= gone.payload().len();
        }
    }

    /// Wakes the followers that wait. Apart from `push`, so that acknowledgements can go first.
    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.changed.notify_all();
    }

    /// Looks for a position, and waits for it until the deadline if it is not durable yet.
    pub(crate) fn find(&self, wanted: Position, deadline: Instant) -> Found {
        let mut inner = self.inner.lock();
        loop {
            if wanted < inner.next {
                return inner.find(wanted).map_or(Found::Older, Found::Batch);
            }
            if inner.closed {
                return Found::Closed;
            }
            if self.timed_out(&mut inner, deadline) {
                return Found::TimedOut;
            }
        }
    }

    fn timed_out(&self, inner: &mut MutexGuard<'_, Inner>, deadline: Instant) -> bool {
        self.changed.wait_until(inner, deadline).timed_out() && Instant::now() >= deadline
    }
}

impl Inner {
    fn find(&self, wanted: Position) -> Option<Arc<Batch>> {
        let index = self.batches.partition_point(|batch| batch.last() < wanted);
        self.batches.get(index).filter(|batch| batch.base() <= wanted).cloned()
    }
}
