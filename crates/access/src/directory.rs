//! Which fleet an asset belongs to, in memory. The registry writes it; every read that is scoped asks it, for
//! each asset that it would show.

use drover_model::Kind;
use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use std::sync::Arc;

/// Fleets of assets. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Directory(Arc<RwLock<HashMap<Asset, Arc<str>>>>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Asset {
    kind: Kind,
    id: Box<str>,
}

/// An asset by name, looked up without copying the id. Hashes like [`Asset`].
#[derive(Hash)]
struct Named<'a> {
    kind: Kind,
    id: &'a str,
}

impl Equivalent<Asset> for Named<'_> {
    fn equivalent(&self, asset: &Asset) -> bool {
        self.kind == asset.kind && *self.id == *asset.id
    }
}

impl Directory {
    /// The fleet of an asset; none for one that is in no fleet, or that the registry does not know.
    pub fn fleet_of(&self, kind: Kind, id: &str) -> Option<Arc<str>> {
        self.0.read().get(&Named { kind, id }).cloned()
    }

    /// True if the asset belongs to one of `fleets`.
    pub fn is_in(&self, kind: Kind, id: &str, fleets: &[Arc<str>]) -> bool {
        self.0.read().get(&Named { kind, id }).is_some_and(|fleet| fleets.contains(fleet))
    }

    /// Puts an asset into a fleet, or into none.
    pub fn place(&self, kind: Kind, id: &str, fleet: Option<&str>) {
        let mut assets = self.0.write();
        match fleet {
            Some(fleet) => drop(assets.insert(Asset { kind, id: id.into() }, fleet.into())),
            None => drop(assets.remove(&Named { kind, id })),
        }
    }

    /// Forgets an asset.
    pub fn remove(&self, kind: Kind, id: &str) {
        self.place(kind, id, None);
    }

    /// Assets that are in a fleet.
    pub fn len(&self) -> usize {
        self.0.read().len()
    }

    /// True if no asset is in a fleet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
