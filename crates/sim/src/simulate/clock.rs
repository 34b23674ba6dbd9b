//! One clock for all measurements of a run: wall time at its start, then the monotonic clock, so that stepping the
//! machine's clock during a run disturbs nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Microseconds since 1970, never going back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start_us: u64,
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Clock {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { start_us: since.as_micros() as u64, start: Instant::now() }
    }

    pub(super) fn now_us(self) -> u64 {
        self.start_us + self.start.elapsed().as_micros() as u64
    }

    pub(super) fn instant(self, at_us: u64) -> Instant {
        self.start + Duration::from_micros(at_us.saturating_sub(self.start_us))
    }
}
