//! Faults that tests put into an engine through its settings: failing or torn writes, failing or held syncs, no space.
//! Part of the normal build, so that every layer above can rehearse a bad disk. Without orders it does nothing.

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Handle through which a test gives orders to the engine that was opened with a clone of it.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Orders {
    /// The next write stops after so many bytes and fails.
    tear_write_after_bytes: Option<usize>,
    fail_sync: bool,
    disk_full: bool,
    hold_syncs: bool,
    /// Engines that wait because syncs are held.
    waiting: usize,
}

impl Faults {
    /// The next batch's write fails before its first byte.
    pub fn fail_next_write(&self) {
        self.tear_next_write(0);
    }

    /// The next batch's write fails after `bytes` bytes, which stay in the file.
    pub fn tear_next_write(&self, bytes: usize) {
        self.0.orders.lock().tear_write_after_bytes = Some(bytes);
    }

    /// The next batch's sync fails, after its bytes were written.
    pub fn fail_next_sync(&self) {
        self.0.orders.lock().fail_sync = true;
    }

    /// Whether making room for more batches fails for lack of space. Batches that fit into the current segment are not
    /// concerned, as on a real full disk.
    pub fn set_disk_full(&self, full: bool) {
        self.0.orders.lock().disk_full = full;
    }

    /// Holds every sync until the returned value is dropped, like a disk that takes its time.
    #[must_use]
    pub fn hold_syncs(&self) -> HeldSyncs {
        self.0.orders.lock().hold_syncs = true;
        HeldSyncs(self.clone())
    }

    /// For engines: how many bytes of the coming write still go through before it fails, if it is to fail.
    pub(crate) fn next_write(&self) -> Option<usize> {
        self.0.orders.lock().tear_write_after_bytes.take()
    }

    /// For engines: to be called in place of a sync's beginning.
    pub(crate) fn before_sync(&self) -> io::Result<()> {
        let mut orders = self.0.orders.lock();
        orders.waiting += 1;
        self.0.changed.notify_all();
        self.0.changed.wait_while(&mut orders, |orders| orders.hold_syncs);
        orders.waiting -= 1;
        if std::mem::take(&mut orders.fail_sync) { Err(io::Error::other("injected sync failure")) } else { Ok(()) }
    }

    /// For engines: to be called before making room.
    pub(crate) fn before_making_room(&self) -> io::Result<()> {
        if self.0.orders.lock().disk_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

/// Syncs are held while this lives.
#[derive(Debug)]
pub struct HeldSyncs(Faults);

impl HeldSyncs {
    /// Waits until an engine has written a batch and stands before its sync.
    pub fn wait_reached(&self) {
        let shared = &self.0.0;
        shared.changed.wait_while(&mut shared.orders.lock(), |orders| orders.waiting == 0);
    }
}

impl Drop for HeldSyncs {
    fn drop(&mut self) {
        self.0.0.orders.lock().hold_syncs = false;
        self.0.0.changed.notify_all();
    }
}
