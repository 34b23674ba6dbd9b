//! How often something is tried before it is a dead letter, and how long to wait in between.

use std::time::Duration;

/// One try, and so many more.
const RETRIES: u32 = 3;

/// The tries of one piece of work: the first and three more, each after a wait that doubles. A wait is between half and
/// the whole of what the doubling says, so that what failed together does not come back together.
///
/// ```
/// # use drover_dead::Tries;
/// # use std::time::Duration;
/// # fn work() -> Result<(), String> { Ok(()) }
/// let mut tries = Tries::new(Duration::from_millis(500), Duration::from_secs(30));
/// let outcome = loop {
///     match (work(), tries.attempts()) {
///         (Ok(done), _) => break Ok(done),
///         (Err(error), attempts) => match tries.next() {
///             Some(wait) => std::thread::sleep(wait),
///             None => break Err((error, attempts)), // put a letter
///         },
///     }
/// };
/// # outcome.unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Tries {
    first: Duration,
    longest: Duration,
    retries: u32,
    random: fastrand::Rng,
}

impl Tries {
    /// The wait before the second try, and the most that one may become.
    pub fn new(first: Duration, longest: Duration) -> Tries {
        Tries { first, longest, retries: 0, random: fastrand::Rng::new() }
    }

    /// As [`Tries::new`]; the same seed gives the same waits.
    pub fn seeded(first: Duration, longest: Duration, seed: u64) -> Tries {
        Tries { random: fastrand::Rng::with_seed(seed), ..Tries::new(first, longest) }
    }

    /// Tries so far, with the one that is under way.
    pub fn attempts(&self) -> u32 {
        1 + self.retries
    }
}

/// After a try failed: the wait before the next one. None: give up.
impl Iterator for Tries {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.retries == RETRIES {
            return None;
        }
        let whole = self.first.saturating_mul(1 << self.retries).min(self.longest);
        self.retries += 1;
        Some(whole.mul_f64(0.5 + 0.5 * self.random.f64()))
    }
}
