//! How fast somebody may ask: one bucket for each device, key, user, or address without credentials. One number is
//! kept for each (the time at which its bucket is full again), and the table is bounded. And how many connections of an
//! address may be open that have not said yet who they are.

use crate::credentials::now_us;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use drover_access::Stranger;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

/// Buckets that are remembered, in all shards together.
const BUCKETS_MAX: usize = 262_144;
const SHARDS: usize = 16;
/// Requests, frames and connections that were refused because too many came.
const TOO_FAST: &str = "drover_too_fast_total";
/// Open connections of one address that have not said yet who they are. (They have ten seconds for that.)
const STRANGERS_OF_ADDRESS_MAX: usize = 50;

/// A rate that is kept up, and what may come at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second; 0 turns the limit off.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

/// The rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests with reports, of one device.
    pub device: Rate,
    /// All other requests of a user, a key or a device.
    pub caller: Rate,
    /// Requests without credentials, from one address.
    pub address: Rate,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            device: Rate { per_second: 2, burst: 10 },
            caller: Rate { per_second: 50, burst: 200 },
            address: Rate { per_second: 20, burst: 100 },
        }
    }
}

/// What became of a request at its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The size of the bucket.
    pub limit: u32,
    /// How many more would pass now.
    pub remaining: u32,
    /// Seconds until the bucket is full again.
    pub reset_s: u32,
    /// None if the request may pass; else the seconds to wait.
    pub wait_s: Option<u32>,
}

impl Taken {
    /// Says it in the headers of an answer.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
        const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
        const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset_s));
    }
}

/// All buckets.
pub(crate) struct Buckets {
    seed: RandomState,
    shards: [Mutex<HashMap<u64, i64>>; SHARDS],
}

impl Buckets {
    pub(crate) fn new() -> Buckets {
        Buckets { seed: RandomState::new(), shards: Default::default() }
    }

    /// Takes one out of the bucket of the `name` among those of a kind (`device`, `caller`, `address`), and counts where
    /// there was none left.
    pub(crate) fn turn(&self, kind: &'static str, name: &(impl Hash + ?Sized), rate: Rate) -> Option<Taken> {
        let taken = self.take(&(kind, name), rate, now_us())?;
        if taken.wait_s.is_some() {
            metrics::counter!(TOO_FAST, "who" => kind).increment(1);
        }
        Some(taken)
    }

    /// Takes one out of the bucket of `who`; none where the rate is no limit.
    pub(crate) fn take(&self, who: &impl Hash, rate: Rate, now_us: i64) -> Option<Taken> {
        if rate.per_second == 0 {
            return None;
        }
        let one_us = (1_000_000 / i64::from(rate.per_second)).max(1);
        let whole_us = one_us * i64::from(rate.burst.max(1));
        let key = self.seed.hash_one(who);
        let mut shard = self.shards[key as usize % SHARDS].lock();
        if shard.len() >= BUCKETS_MAX / SHARDS {
            make_room(&mut shard, now_us);
        }
        let full_at = shard.entry(key).or_insert(now_us);
        // No bucket is further from full than empty, also where the clock was set back meanwhile.
        *full_at = (*full_at).clamp(now_us, now_us + whole_us);
        let after = *full_at + one_us;
        let too_soon_us = after - now_us - whole_us;
        let wait_s = (too_soon_us > 0).then(|| seconds(too_soon_us));
        if wait_s.is_none() {
            *full_at = after;
        }
        let missing_us = (*full_at - now_us).max(0);
        let remaining = u32::try_from((whole_us - missing_us).max(0) / one_us).unwrap_or(u32::MAX);
        Some(Taken { limit: rate.burst.max(1), remaining, reset_s: seconds(missing_us), wait_s })
    }
}

/// Open connections that have not said yet who they are, by address.
#[derive(Clone, Default)]
pub(crate) struct Strangers(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Strangers {
    /// Takes a place for one more connection from there; none where all are taken. It is given back when the connection
    /// has said who it is, and when it is gone.
    pub(crate) fn enter(&self, from: IpAddr) -> Option<Stranger> {
        let mut open = self.0.lock();
        let count = open.entry(from).or_insert(0);
        if *count >= STRANGERS_OF_ADDRESS_MAX {
            metrics::counter!(TOO_FAST, "who" => "stranger").increment(1);
            return None;
        }
        *count += 1;
        let open = self.0.clone();
        Some(Stranger::new(move || leave(&mut open.lock(), from)))
    }
}

fn leave(open: &mut HashMap<IpAddr, usize>, from: IpAddr) {
    if let Some(count) = open.get_mut(&from) {
        *count -= 1;
        if *count == 0 {
            open.remove(&from);
        }
    }
}

/// Whole seconds, rounded up.
fn seconds(us: i64) -> u32 {
    u32::try_from((us + 999_999) / 1_000_000).unwrap_or(u32::MAX)
}

/// Full buckets are worth nothing; if all are in use, some leave.
fn make_room(shard: &mut HashMap<u64, i64>, now_us: i64) {
    shard.retain(|_, full_at| *full_at > now_us);
    let mut beyond = shard.len().saturating_sub(BUCKETS_MAX / SHARDS * 7 / 8);
    shard.retain(|_, _| {
        let leaves = beyond > 0;
        beyond -= usize::from(leaves);
        !leaves
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: Rate = Rate { per_second: 2, burst: 10 };

    #[test]
    fn a_burst_passes_then_two_a_second() {
        let buckets = Buckets::new();
        for left in (0..10).rev() {
            let taken = buckets.take(&"d-1", DEVICE, 0).expect("a limit");
            assert_eq!((taken.wait_s, taken.remaining, taken.limit), (None, left, 10));
        }
        let refused = buckets.take(&"d-1", DEVICE, 0).expect("a limit");
        assert_eq!((refused.wait_s, refused.remaining, refused.reset_s), (Some(1), 0, 5));
        assert_eq!(buckets.take(&"d-2", DEVICE, 0).and_then(|taken| taken.wait_s), None);
        assert_eq!(buckets.take(&"d-1", DEVICE, 500_000).and_then(|taken| taken.wait_s), None);
        assert_eq!(buckets.take(&"d-1", DEVICE, 500_000).and_then(|taken| taken.wait_s), Some(1));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nobody_up_for_longer_than_an_empty_bucket() {
        let buckets = Buckets::new();
        let wait = |now_us: i64| buckets.take(&"d-1", DEVICE, now_us).and_then(|taken| taken.wait_s);
        assert_eq!(wait(3_600_000_000), None);
        assert_eq!(wait(0), Some(1), "as if it were empty");
        assert_eq!(wait(500_000), None);
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        assert_eq!(Buckets::new().take(&"anybody", Rate { per_second: 0, burst: 0 }, 0), None);
    }

    #[test]
    fn an_address_has_so_many_places_for_strangers_and_no_more() {
        let (strangers, here): (Strangers, IpAddr) = (Strangers::default(), [192, 0, 2, 7].into());
        let mut open: Vec<Stranger> =
            (0..STRANGERS_OF_ADDRESS_MAX).map(|_| strangers.enter(here).expect("a place")).collect();
        assert!(strangers.enter(here).is_none());
        assert!(strangers.enter([192, 0, 2, 8].into()).is_some());
        open.pop();
        let known = strangers.enter(here).expect("one has left");
        known.is_known();
        assert!(strangers.enter(here).is_some(), "who has said who he is takes no place");
        drop((open, known));
        assert!(strangers.0.lock().is_empty());
    }

    #[test]
    fn the_table_stays_bounded_whoever_comes() {
        let buckets = Buckets::new();
        for who in 0..BUCKETS_MAX * 2 {
            buckets.take(&who, DEVICE, 0);
        }
        assert!(buckets.shards.iter().map(|shard| shard.lock().len()).sum::<usize>() <= BUCKETS_MAX);
    }
}
