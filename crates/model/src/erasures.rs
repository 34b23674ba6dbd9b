//! Assets whose past is to be nowhere any more: what was received of them up to a moment. Whoever keeps reports asks
//! before it takes one in, and looks now and then for what it has to let go.

use crate::Kind;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What was erased of one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: Box<str>,
    /// Everything received up to here, ms UTC. What comes later is of somebody who goes on.
    pub until_ms: i64,
}

/// The list of them. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Erasures(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// So that nobody waits for the lock while there is nothing, as nearly always.
    count: AtomicUsize,
    assets: RwLock<BTreeMap<(Kind, Box<str>), i64>>,
}

impl Erasures {
    /// Adds one; a later moment goes before an earlier one.
    pub fn add(&self, erased: Erased) {
        let mut assets = self.0.assets.write();
        let until = assets.entry((erased.kind, erased.id)).or_insert(erased.until_ms);
        *until = (*until).max(erased.until_ms);
        self.0.count.store(assets.len(), Ordering::Release);
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.count.load(Ordering::Acquire) == 0
    }

    /// True if a report of this asset, received at this time, was erased.
    pub fn covers(&self, kind: Kind, id: &str, receive_time: i64) -> bool {
        !self.is_empty() && self.0.assets.read().get(&(kind, Box::from(id))).is_some_and(|until| receive_time <= *until)
    }

    /// All of them.
    pub fn list(&self) -> Vec<Erased> {
        let assets = self.0.assets.read();
        assets
            .iter()
            .map(|((kind, id), until_ms)| Erased { kind: *kind, id: id.clone(), until_ms: *until_ms })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_an_erasure_is_of_somebody_who_goes_on() {
        let erasures = Erasures::default();
        assert!(!erasures.covers(Kind::Driver, "d-1", 0));
        erasures.add(Erased { kind: Kind::Driver, id: "d-1".into(), until_ms: 100 });
        assert!(erasures.covers(Kind::Driver, "d-1", 100));
        assert!(!erasures.covers(Kind::Driver, "d-1", 101));
        assert!(!erasures.covers(Kind::Vehicle, "d-1", 100));
        erasures.add(Erased { kind: Kind::Driver, id: "d-1".into(), until_ms: 50 });
        assert!(erasures.covers(Kind::Driver, "d-1", 100), "an earlier moment takes nothing back");
    }
}
