//! Who waits for which single assets. A watcher that named a few is woken when one of them has changed, not whenever
//! anything has: ten thousand people who each follow one courier cost what their couriers report, not the whole city.

use drover_model::{AssetRef, Kind, RecordRef};
use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Most assets of one watcher that are waited for one by one. Who names more is served from the ring of all changes,
/// so that what this table holds is bounded by the watchers.
pub(crate) const NAMED_MAX: usize = 64;

/// Waiting watchers by asset.
#[derive(Default)]
pub(crate) struct Interest {
    waiting: RwLock<HashMap<AssetRef, Vec<Arc<Notify>>>>,
    /// Names in the table, so that nobody looks while there are none.
    names: AtomicUsize,
}

/// An asset by name, for looking it up without copying the id. Hashes like [`AssetRef`].
#[derive(Hash)]
pub(crate) struct Named<'a> {
    pub kind: Kind,
    pub id: &'a str,
}

impl Equivalent<AssetRef> for Named<'_> {
    fn equivalent(&self, asset: &AssetRef) -> bool {
        self.kind == asset.kind && *self.id == *asset.id
    }
}

impl Interest {
    /// From now on `waiter` is told of each of these assets.
    pub fn add<'a>(&self, assets: impl Iterator<Item = &'a AssetRef>, waiter: &Arc<Notify>) {
        let mut waiting = self.waiting.write();
        for asset in assets {
            waiting.entry(asset.clone()).or_default().push(waiter.clone());
        }
        self.names.store(waiting.len(), Ordering::Relaxed);
    }

    /// No longer.
    pub fn remove<'a>(&self, assets: impl Iterator<Item = &'a AssetRef>, waiter: &Arc<Notify>) {
        let mut waiting = self.waiting.write();
        for asset in assets {
            if let Some(waiters) = waiting.get_mut(asset) {
                waiters.retain(|other| !Arc::ptr_eq(other, waiter));
                if waiters.is_empty() {
                    waiting.remove(asset);
                }
            }
        }
        self.names.store(waiting.len(), Ordering::Relaxed);
    }

    /// Wakes who waits for the assets of these records, which have been applied.
    pub fn wake<'a>(&self, records: impl Iterator<Item = &'a [u8]>) {
        if self.names.load(Ordering::Relaxed) == 0 {
            return;
        }
        let waiting = self.waiting.read();
        for view in records.filter_map(RecordRef::new) {
            let (Some(kind), Ok(id)) = (Kind::from_number(view.kind_number()), std::str::from_utf8(view.id())) else {
                continue;
            };
            if let Some(waiters) = waiting.get(&Named { kind, id }) {
                waiters.iter().for_each(|waiter| waiter.notify_one());
            }
        }
    }

    /// Wakes everybody: the node stops.
    pub fn wake_all(&self) {
        self.waiting.read().values().flatten().for_each(|waiter| waiter.notify_one());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_leaves_nothing_behind() {
        let interest = Interest::default();
        let assets: Vec<AssetRef> =
            ["driver/1", "driver/2"].iter().map(|name| AssetRef::parse(name).expect("a name")).collect();
        let waiters = [Arc::new(Notify::new()), Arc::new(Notify::new())];
        waiters.iter().for_each(|waiter| interest.add(assets.iter(), waiter));
        interest.remove(assets.iter(), &waiters[0]);
        assert_eq!(interest.names.load(Ordering::Relaxed), 2);
        assert_eq!(Arc::strong_count(&waiters[0]), 1);
        interest.remove(assets.iter(), &waiters[1]);
        assert_eq!((interest.names.load(Ordering::Relaxed), interest.waiting.read().len()), (0, 0));
    }
}
