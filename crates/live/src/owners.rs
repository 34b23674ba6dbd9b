//! How many watchers each owner has. Whoever opens a page a hundred times takes no place of others.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::hash::RandomState;
use std::sync::Arc;

/// Watchers by owner.
#[derive(Default)]
pub struct Owners(Mutex<HashMap<Arc<str>, usize, RandomState>>);

impl Owners {
    /// Counts one more of an owner, unless he has `max`. Gives his name, to be given back when that one leaves.
    pub fn enter(&self, owner: &str, max: usize) -> Option<Arc<str>> {
        let mut watching = self.0.lock();
        if let Some((name, count)) = watching.get_key_value(owner).map(|(name, count)| (name.clone(), *count)) {
            return (count < max).then(|| {
                watching.insert(name.clone(), count + 1);
                name
            });
        }
        let name = (max > 0).then(|| Arc::<str>::from(owner))?;
        watching.insert(name.clone(), 1);
        Some(name)
    }

    /// One of his watchers has left.
    pub fn leave(&self, owner: &str) {
        let mut watching = self.0.lock();
        if let Some(count) = watching.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                watching.remove(owner);
            }
        }
    }
}
