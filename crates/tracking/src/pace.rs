//! How fast one connection may send messages.

use tokio::time::Instant;

/// Messages a second that go on for ever.
const PER_SECOND: f64 = 20.0;
/// Messages at once: one for each subscription that a connection may have.
const BURST: f64 = 1_000.0;

/// What is left of one connection's allowance.
#[derive(Debug)]
pub(crate) struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    /// A full allowance.
    pub fn new() -> Pace {
        Pace { left: BURST, at: Instant::now() }
    }

    /// Takes one message off; false where the connection is too fast.
    pub fn take(&mut self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + since * PER_SECOND).min(BURST);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_then_twenty_a_second() {
        let start = Instant::now();
        let mut pace = Pace { left: BURST, at: start };
        assert!((0..1_000).all(|_| pace.take_at(start)));
        assert!(!pace.take_at(start));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| pace.take_at(later)).count(), 20);
    }
}
