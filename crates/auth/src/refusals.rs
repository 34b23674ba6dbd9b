//! Which refusals were noted in the audit within the last minute: a sender that is refused a hundred times a second is
//! one entry a minute.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::hash::{BuildHasher, Hash, RandomState};

const QUIET_MS: i64 = 60_000;
const ENTRIES_MAX: usize = 65_536;

/// When a refusal was noted last.
#[derive(Default)]
pub(crate) struct Refusals {
    seed: RandomState,
    noted: Mutex<HashMap<u64, i64>>,
}

impl Refusals {
    /// True if this one is to be noted.
    pub(crate) fn is_due(&self, what: &impl Hash, now_ms: i64) -> bool {
        let mut noted = self.noted.lock();
        if noted.len() >= ENTRIES_MAX {
            noted.retain(|_, at| now_ms - *at < QUIET_MS);
            if noted.len() >= ENTRIES_MAX {
                noted.clear();
            }
        }
        let at = noted.entry(self.seed.hash_one(what)).or_insert(i64::MIN / 2);
        let is_due = now_ms - *at >= QUIET_MS;
        if is_due {
            *at = now_ms;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_refusal_is_noted_once_a_minute() {
        let refusals = Refusals::default();
        assert!(refusals.is_due(&("key/k-1", "GET /api/v1/users"), 0));
        assert!(!refusals.is_due(&("key/k-1", "GET /api/v1/users"), 59_999));
        assert!(refusals.is_due(&("key/k-1", "GET /api/v1/audit"), 59_999));
        assert!(refusals.is_due(&("key/k-1", "GET /api/v1/users"), 60_000));
    }
}
