//! How long to keep trying: growing pauses between attempts, with chance in them.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::random::Random;

/// How long to keep trying one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts for one batch, at least 1.
    pub attempts: u32,
    /// Pause after the first failure; it doubles with each further one, with a random part.
    pub first_wait: Duration,
    /// Longest pause, also where the server asks for more.
    pub longest_wait: Duration,
}

impl Default for Patience {
    /// About a minute and a half.
    fn default() -> Self {
        Patience { attempts: 25, first_wait: Duration::from_millis(50), longest_wait: Duration::from_secs(5) }
    }
}

/// Growing pauses between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    patience: Patience,
    attempts: u32,
    random: Random,
}

impl Backoff {
    pub(crate) fn new(patience: Patience) -> Backoff {
        // Clients that lost the same server must not come back in step; which of them comes when need not be
        // repeatable.
        let seed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
        Backoff { patience, attempts: 0, random: Random::new(seed) }
    }

    /// Pauses, for as long as the server asked or else a little longer than the last time.
    ///
    /// # Errors
    /// When all attempts are used up; `last` is named.
    pub(crate) async fn pause(&mut self, asked: Option<Duration>, last: impl ToString) -> Result<()> {
        self.attempts += 1;
        if self.attempts >= self.patience.attempts {
            return Err(Error::GivenUp { attempts: self.attempts, last: last.to_string() });
        }
        tokio::time::sleep(asked.unwrap_or_else(|| self.next_wait()).min(self.patience.longest_wait)).await;
        Ok(())
    }

    fn next_wait(&mut self) -> Duration {
        let doubled = self.patience.first_wait * 2_u32.pow((self.attempts - 1).min(10));
        doubled.min(self.patience.longest_wait).mul_f64(self.random.between(0.5, 1.0))
    }
}
