//! Drivers whose reports name an order that is not assigned to them: what they say decides nothing, but somebody should
//! look. Each driver and order is logged once, however often it is said.

use hashbrown::{Equivalent, HashSet};
use parking_lot::Mutex;

/// Most pairs that are remembered; then all are forgotten, and what goes on is logged once more.
const PAIRS_MAX: usize = 10_000;

/// The pairs that were logged.
#[derive(Debug, Default)]
pub(crate) struct Mismatches(Mutex<HashSet<Pair>>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Pair {
    driver: Box<str>,
    order: Box<str>,
}

/// A pair by name, looked up without copying. Hashes like [`Pair`].
#[derive(Hash)]
struct Named<'a> {
    driver: &'a str,
    order: &'a str,
}

impl Equivalent<Pair> for Named<'_> {
    fn equivalent(&self, pair: &Pair) -> bool {
        *self.driver == *pair.driver && *self.order == *pair.order
    }
}

impl Mismatches {
    /// Counts it; logs it if it is new.
    pub fn note(&self, driver: &str, order: &str) {
        metrics::counter!("drover_tracking_order_mismatches_total").increment(1);
        if self.is_new(driver, order) {
            tracing::info!(order, driver, "a driver's report names an order that is not assigned to him");
        }
    }

    fn is_new(&self, driver: &str, order: &str) -> bool {
        let mut pairs = self.0.lock();
        if pairs.contains(&Named { driver, order }) {
            return false;
        }
        if pairs.len() >= PAIRS_MAX {
            pairs.clear();
        }
        pairs.insert(Pair { driver: driver.into(), order: order.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_driver_and_order_is_new_once_and_memory_has_a_bound() {
        let mismatches = Mismatches::default();
        assert!(mismatches.is_new("d-1", "o-1"));
        assert!(mismatches.is_new("d-1", "o-2"));
        assert!(mismatches.is_new("d-2", "o-1"));
        assert!(!mismatches.is_new("d-1", "o-1"));
        for order in 0..3 * PAIRS_MAX {
            mismatches.is_new("d-3", &order.to_string());
        }
        assert!(mismatches.0.lock().len() <= PAIRS_MAX);
        assert!(mismatches.is_new("d-1", "o-1"), "forgotten meanwhile");
    }
}
