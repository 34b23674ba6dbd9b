//! Who waits for a position to become durable, and the future that does the waiting. Runtime-free: a waiter is a
//! [`Waker`], and threads wait by parking. One short lock and one pass over the list per commit.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use parking_lot::Mutex;

use crate::{CommitError, Position};

/// The durable position and the wakers of those who wait for it to move.
#[derive(Debug)]
pub(crate) struct Waiters {
    durable: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    wakers: Vec<(Position, Waker)>,
    /// What waiters beyond the durable position are told at present.
    trouble: Option<CommitError>,
    /// Counts the times that all wakers were taken because of trouble: a future whose waker was taken, and which finds
    /// the trouble over, has to register again.
    troubles: u64,
}

impl Waiters {
    pub(crate) fn new(durable: Position) -> Self {
        Self { durable: AtomicU64::new(durable), waiting: Mutex::default() }
    }

    pub(crate) fn durable(&self) -> Position {
        self.durable.load(Ordering::Acquire)
    }

    /// Moves the durable position without waking anyone; [`Self::wake`] has to follow.
    pub(crate) fn publish(&self, durable: Position) {
        self.durable.store(durable, Ordering::Release);
    }

    /// Wakes everyone up to the durable position. `woken` is scratch space that saves allocations.
    pub(crate) fn wake(&self, woken: &mut Vec<Waker>) {
        let mut waiting = self.waiting.lock();
        let durable = self.durable();
        woken.extend(waiting.wakers.extract_if(.., |(position, _)| *position <= durable).map(|(_, waker)| waker));
        drop(waiting);
        woken.drain(..).for_each(Waker::wake);
    }

    /// From now on everyone beyond the durable position gets this error, those who wait already included.
    pub(crate) fn fail(&self, trouble: CommitError) {
        let mut waiting = self.waiting.lock();
        waiting.trouble = Some(trouble);
        waiting.troubles += 1;
        let woken = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Waiting works again.
    pub(crate) fn recover(&self) {
        self.waiting.lock().trouble = None;
    }
}

/// Resolves when a position is durable; see [`crate::Log::durable`]. May be dropped at any time.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Durable {
    waiters: Arc<Waiters>,
    position: Position,
    registered: Option<(Waker, u64)>,
}

impl Durable {
    pub(crate) fn new(waiters: Arc<Waiters>, position: Position) -> Self {
        Self { waiters, position, registered: None }
    }

    /// The position that is waited for.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Waits in this thread, without a runtime. Same outcome as awaiting.
    pub fn wait(self) -> Result<(), CommitError> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut this = pin!(self);
        loop {
            match this.as_mut().poll(&mut context) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl Future for Durable {
    type Output = Result<(), CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.waiters.durable() >= this.position {
            return Poll::Ready(Ok(()));
        }
        let mut waiting = this.waiters.waiting.lock();
        // Looked at again under the lock: the writer publishes before it takes the lock to collect the wakers.
        if this.waiters.durable() >= this.position {
            return Poll::Ready(Ok(()));
        }
        if let Some(trouble) = &waiting.trouble {
            return Poll::Ready(Err(trouble.clone()));
        }
        let troubles = waiting.troubles;
        let still_registered = |(waker, since): &(Waker, u64)| *since == troubles && waker.will_wake(context.waker());
        if !this.registered.as_ref().is_some_and(still_registered) {
            waiting.wakers.push((this.position, context.waker().clone()));
            this.registered = Some((context.waker().clone(), troubles));
        }
        Poll::Pending
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
