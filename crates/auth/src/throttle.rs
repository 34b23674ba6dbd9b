//! How often somebody may be wrong: some quick failures, then a wait that doubles with each further one. Kept in
//! memory only, and bounded. What counts as a failure, its callers know.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::hash::{BuildHasher, Hash, RandomState};

/// Wait after the first failure that is not quick any more, ms; doubles from there.
const FIRST_WAIT_MS: i64 = 5_000;
/// The longest wait.
const LONGEST_WAIT_MS: i64 = 15 * 60_000;
/// Failures are forgotten so long after the last.
const FORGOTTEN_MS: i64 = 60 * 60_000;
/// Accounts and addresses that are remembered.
const ENTRIES_MAX: usize = 65_536;

/// Failures by whoever failed.
pub(crate) struct Throttle {
    quick: u32,
    /// One failure is forgotten each time so many ms have passed without another; none, if all are at once, after an hour.
    drains_ms: Option<i64>,
    seed: RandomState,
    entries: Mutex<HashMap<u64, Entry>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    last_ms: i64,
    /// The failure before the last attempt, which may turn out to be none.
    before_ms: i64,
}

impl Throttle {
    /// One that lets `quick` failures pass before it asks to wait.
    pub(crate) fn new(quick: u32) -> Throttle {
        Throttle { quick, drains_ms: None, seed: RandomState::new(), entries: Mutex::default() }
    }

    /// One for an address that many share: what some of them mistyped does not add up over a day.
    pub(crate) fn draining(quick: u32, one_ms: i64) -> Throttle {
        Throttle { drains_ms: Some(one_ms), ..Throttle::new(quick) }
    }

    /// Begins an attempt, counted as a failure until [`Throttle::forgive`] takes it back: so attempts at the same
    /// time cannot pass together. On error nothing may be tried; the value says for how many seconds.
    pub(crate) fn begin(&self, who: &impl Hash, now_ms: i64) -> Result<(), u32> {
        let mut entries = self.entries.lock();
        if entries.len() >= ENTRIES_MAX {
            make_room(&mut entries);
        }
        let new = Entry { failures: 0, last_ms: now_ms, before_ms: now_ms };
        let entry = entries.entry(self.seed.hash_one(who)).or_insert(new);
        // A clock that was set back prolongs no wait.
        (entry.last_ms, entry.before_ms) = (entry.last_ms.min(now_ms), entry.before_ms.min(now_ms));
        let failures = self.left_of(entry, now_ms);
        let wait_ms = entry.last_ms + self.wait_ms(failures) - now_ms;
        if wait_ms > 0 {
            return Err(u32::try_from((wait_ms + 999) / 1000).unwrap_or(u32::MAX));
        }
        *entry = Entry { failures: failures.saturating_add(1), last_ms: now_ms, before_ms: entry.last_ms };
        Ok(())
    }

    /// The attempt was right after all: it is no failure.
    pub(crate) fn forgive(&self, who: &impl Hash) {
        if let Some(entry) = self.entries.lock().get_mut(&self.seed.hash_one(who)) {
            entry.failures = entry.failures.saturating_sub(1);
            entry.last_ms = entry.before_ms;
        }
    }

    /// Forgets all failures.
    pub(crate) fn clear(&self, who: &impl Hash) {
        self.entries.lock().remove(&self.seed.hash_one(who));
    }

    /// The failures that count by now.
    fn left_of(&self, entry: &Entry, now_ms: i64) -> u32 {
        let quiet_ms = now_ms - entry.last_ms;
        match self.drains_ms {
            _ if quiet_ms > FORGOTTEN_MS => 0,
            Some(one_ms) => entry.failures.saturating_sub(u32::try_from(quiet_ms / one_ms).unwrap_or(u32::MAX)),
            None => entry.failures,
        }
    }

    fn wait_ms(&self, failures: u32) -> i64 {
        match failures.checked_sub(self.quick) {
            None => 0,
            Some(beyond) => (FIRST_WAIT_MS << beyond.min(16)).min(LONGEST_WAIT_MS),
        }
    }
}

/// The half that failed longest ago leaves.
fn make_room(entries: &mut HashMap<u64, Entry>) {
    let mut times: Vec<i64> = entries.values().map(|entry| entry.last_ms).collect();
    let middle = times.len() / 2;
    let median = *times.select_nth_unstable(middle).1;
    let mut spared = 0;
    entries.retain(|_, entry| {
        let stays = entry.last_ms >= median && spared < ENTRIES_MAX / 2;
        spared += usize::from(stays);
        stays
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_five_quick_failures_the_wait_grows_up_to_a_quarter_of_an_hour() {
        let throttle = Throttle::new(5);
        for _ in 0..5 {
            assert_eq!(throttle.begin(&"alice", 0), Ok(()));
        }
        assert_eq!(throttle.begin(&"alice", 0), Err(5));
        assert_eq!(throttle.begin(&"bob", 0), Ok(()), "others are not held up");
        assert_eq!(throttle.begin(&"alice", 5_000), Ok(()));
        assert_eq!(throttle.begin(&"alice", 5_000), Err(10));
        let mut now = 5_000;
        for _ in 0..20 {
            while let Err(seconds) = throttle.begin(&"alice", now) {
                assert!(seconds <= 900);
                now += i64::from(seconds) * 1000;
            }
        }
        assert_eq!(throttle.begin(&"alice", now), Err(900));
    }

    #[test]
    fn a_clock_that_is_set_back_prolongs_no_wait() {
        let throttle = Throttle::new(5);
        for _ in 0..5 {
            throttle.begin(&"alice", 3_600_000_000).expect("quick");
        }
        assert_eq!(throttle.begin(&"alice", 0), Err(5));
        assert_eq!(throttle.begin(&"alice", 5_000), Ok(()));
    }

    #[test]
    fn a_right_password_clears_the_failures_before_it() {
        let throttle = Throttle::new(5);
        for _ in 0..5 {
            throttle.begin(&"alice", 0).expect("quick");
        }
        throttle.clear(&"alice");
        assert_eq!(throttle.begin(&"alice", 1), Ok(()));
    }

    #[test]
    fn an_address_that_many_share_is_not_shut_out_by_what_was_mistyped_over_a_day() {
        let throttle = Throttle::draining(20, 15_000);
        let mut now = 0;
        for _ in 0..500 {
            // One of them mistypes each half minute, another logs in right after.
            now += 30_000;
            assert_eq!(throttle.begin(&"office", now), Ok(()));
            assert_eq!(throttle.begin(&"office", now + 1_000), Ok(()));
            throttle.forgive(&"office");
        }
        // Somebody who only guesses is slowed down, whatever lies in between.
        let guesses = (0..1_000).filter(|at| throttle.begin(&"guesser", at * 100).is_ok()).count();
        assert!((20..30).contains(&guesses), "{guesses} in 100 s");
    }

    #[test]
    fn the_table_stays_bounded_whoever_comes() {
        let throttle = Throttle::new(5);
        for who in 0..(ENTRIES_MAX + 10) {
            throttle.begin(&who, who as i64).expect("first time");
        }
        assert!(throttle.entries.lock().len() <= ENTRIES_MAX);
    }
}
