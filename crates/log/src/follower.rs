//! A follower reads the log in order at its own pace: from the ring while it keeps up, from the archive when it is
//! behind. It blocks nobody. Keeping its cursor across restarts is its owner's business (see [`crate::Cursors`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::log::Shared;
use crate::ring::Found;
use crate::{Batch, Position, ReadError};

/// Payload bytes that a follower that is behind reads at once.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// Reads the log from a position on; made by [`crate::Log::follow`].
#[derive(Debug)]
pub struct Follower {
    log: Arc<Shared>,
    progress: Arc<Progress>,
    read_ahead: VecDeque<Arc<Batch>>,
}

/// What the log can tell about a follower without asking it.
#[derive(Debug)]
pub(crate) struct Progress {
    name: String,
    /// First position that was not delivered yet.
    next: AtomicU64,
}

/// A follower's name and how far it is, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerLag {
    /// As given to [`crate::Log::follow`].
    pub name: String,
    /// Last position that was delivered or skipped.
    pub position: Position,
    /// Durable records after that.
    pub lag: u64,
}

impl Progress {
    pub(crate) fn lag(&self, durable: Position) -> FollowerLag {
        let position = self.next.load(Ordering::Relaxed) - 1;
        FollowerLag { name: self.name.clone(), position, lag: durable.saturating_sub(position) }
    }
}

impl Follower {
    pub(crate) fn new(log: Arc<Shared>, name: &str, from: Position) -> Self {
        let progress = Arc::new(Progress { name: name.to_owned(), next: AtomicU64::new(from.max(1)) });
        log.register(&progress);
        Self { log, progress, read_ahead: VecDeque::new() }
    }

    /// The next durable records, waiting up to `timeout` for them; `None` when there were none in that time.
    ///
    /// The batch begins right after [`Self::position`], which then moves to its end. On an error the position stays:
    /// after [`ReadError::Damaged`] and [`ReadError::Trimmed`] the caller decides whether to [`Self::skip_to`] what can
    /// still be read; until then the same error comes again.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Arc<Batch>>, ReadError> {
        let deadline = Instant::now() + timeout;
        let wanted = self.wanted();
        let batch = match self.read_ahead.pop_front() {
            Some(batch) => batch,
            None => match self.log.ring.find(wanted, deadline) {
                Found::Batch(batch) if batch.base() < wanted => Arc::new(batch.starting_at(wanted)),
                Found::Batch(batch) => batch,
                Found::Older => self.read_older(wanted)?,
                Found::TimedOut => return Ok(None),
                Found::Closed => return Err(ReadError::Closed),
            },
        };
        self.progress.next.store(batch.last() + 1, Ordering::Relaxed);
        Ok(Some(batch))
    }

    /// Continues with the record at `from`, forward or backward. Records in between are not delivered.
    pub fn skip_to(&mut self, from: Position) {
        self.read_ahead.clear();
        self.progress.next.store(from.max(1), Ordering::Relaxed);
    }

    /// The last position that was delivered or skipped; 0 at the start. To be saved as the cursor once it is dealt with;
    /// following again from the saved position + 1 continues without loss or repetition.
    #[must_use]
    pub fn position(&self) -> Position {
        self.wanted() - 1
    }

    /// How many durable records were not delivered yet.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.log.waiters.durable().saturating_sub(self.position())
    }

    fn wanted(&self) -> Position {
        self.progress.next.load(Ordering::Relaxed)
    }

    fn read_older(&mut self, wanted: Position) -> Result<Arc<Batch>, ReadError> {
        self.read_ahead = self.log.archive.read(wanted, READ_AHEAD_BYTES)?.into();
        Ok(self.read_ahead.pop_front().expect("a durable position is either read or an error"))
    }
}
