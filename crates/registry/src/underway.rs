//! Deliveries that are not at an end, in memory: who brings what to whom, so that whoever follows positions decides
//! without a database.

use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Changes that a slow subscriber may be behind; beyond, it is told that it missed some.
const CHANGES_KEPT: usize = 4096;

/// One delivery under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The delivery's id.
    pub delivery_id: Arc<str>,
    /// The order's number in the shop.
    pub order_id: Option<Arc<str>>,
    /// What a customer follows it by.
    pub tracking_number: Arc<str>,
    /// Who brings it.
    pub driver_id: Option<Arc<str>>,
    /// What it is brought with.
    pub vehicle_id: Option<Arc<str>>,
    /// Who waits for it.
    pub customer_id: Option<Arc<str>>,
    /// The fleet it belongs to.
    pub fleet_id: Option<Arc<str>>,
    /// How far it is.
    pub status: Arc<str>,
    /// Since when it is out for delivery, ms UTC: its last way out of the door. None while it is not out. Never earlier
    /// than the truth: where this node missed how it went out, it is the moment of what it heard next.
    pub out_since: Option<i64>,
}

/// Statuses in which a delivery is out: its driver is on the way with it, or at the door.
pub(crate) const OUT: [&str; 2] = ["out_for_delivery", "arrived"];

impl Passage {
    /// True while it is out for delivery, or its driver is at the door.
    pub fn is_out(&self) -> bool {
        OUT.contains(&&*self.status)
    }
}

/// A delivery came under way, moved on, or left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassageChange {
    /// The delivery's id.
    pub delivery_id: Arc<str>,
    /// What was known of it.
    pub before: Option<Arc<Passage>>,
    /// What is now; none once it is at an end, or gone.
    pub after: Option<Arc<Passage>>,
    /// Its status now, the last one too; none for a delivery that was removed.
    pub status: Option<Arc<str>>,
}

/// The deliveries under way. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Underway(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: RwLock<Table>,
    changes: broadcast::Sender<PassageChange>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<Arc<str>, Arc<Passage>>,
    by_order: HashMap<Arc<str>, HashSet<Arc<str>>>,
    by_tracking: HashMap<Arc<str>, Arc<str>>,
    by_driver: HashMap<Arc<str>, HashSet<Arc<str>>>,
    by_customer: HashMap<Arc<str>, HashSet<Arc<str>>>,
}

impl Default for Underway {
    fn default() -> Underway {
        let table = RwLock::default();
        Underway(Arc::new(Shared { table, changes: broadcast::Sender::new(CHANGES_KEPT) }))
    }
}

impl Underway {
    /// The delivery of this id.
    pub fn by_id(&self, delivery: &str) -> Option<Arc<Passage>> {
        self.0.table.read().by_id.get(delivery).cloned()
    }

    /// A delivery of this order, of whichever fleet; one without an order's number goes by its id.
    pub fn by_order(&self, order: &str) -> Option<Arc<Passage>> {
        let nameless = || self.by_id(order).filter(|found| found.order_id.is_none());
        self.of_order(order).pop().or_else(nameless)
    }

    /// The deliveries of orders of this number, at most one of each fleet; in no order.
    pub fn of_order(&self, order: &str) -> Vec<Arc<Passage>> {
        let table = self.0.table.read();
        table.all(table.by_order.get(order))
    }

    /// The delivery of this tracking number.
    pub fn by_tracking(&self, number: &str) -> Option<Arc<Passage>> {
        let table = self.0.table.read();
        table.by_tracking.get(number).and_then(|id| table.by_id.get(id)).cloned()
    }

    /// What a driver has with him, or before him; in no order.
    pub fn of_driver(&self, driver: &str) -> Vec<Arc<Passage>> {
        let table = self.0.table.read();
        table.all(table.by_driver.get(driver))
    }

    /// What a customer waits for; in no order.
    pub fn of_customer(&self, customer: &str) -> Vec<Arc<Passage>> {
        let table = self.0.table.read();
        table.all(table.by_customer.get(customer))
    }

    /// Every change from now on. Who lags behind by more than 4,096 is told so, and reads what it needs anew.
    pub fn subscribe(&self) -> broadcast::Receiver<PassageChange> {
        self.0.changes.subscribe()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.table.read().by_id.len()
    }

    /// True if nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn ids(&self) -> Vec<Arc<str>> {
        self.0.table.read().by_id.keys().cloned().collect()
    }

    /// What is true of a delivery now; `after` is none once it is at an end.
    pub(crate) fn put(&self, delivery: &str, after: Option<Passage>, status: Option<&str>) {
        let after = after.map(Arc::new);
        let mut table = self.0.table.write();
        let before = table.remove(delivery);
        if before == after {
            if let Some(before) = before {
                table.insert(before);
            }
            return;
        }
        if let Some(after) = after.clone() {
            table.insert(after);
        }
        let change = PassageChange { delivery_id: delivery.into(), before, after, status: status.map(Arc::from) };
        // Under the lock, so that changes are told in the order in which they are made. Nobody may be listening.
        let _listeners = self.0.changes.send(change);
    }
}

impl Table {
    fn all(&self, ids: Option<&HashSet<Arc<str>>>) -> Vec<Arc<Passage>> {
        ids.into_iter().flatten().filter_map(|id| self.by_id.get(id)).cloned().collect()
    }

    fn insert(&mut self, passage: Arc<Passage>) {
        let id = &passage.delivery_id;
        if let Some(order) = &passage.order_id {
            self.by_order.entry(order.clone()).or_default().insert(id.clone());
        }
        self.by_tracking.insert(passage.tracking_number.clone(), id.clone());
        if let Some(driver) = &passage.driver_id {
            self.by_driver.entry(driver.clone()).or_default().insert(id.clone());
        }
        if let Some(customer) = &passage.customer_id {
            self.by_customer.entry(customer.clone()).or_default().insert(id.clone());
        }
        self.by_id.insert(id.clone(), passage.clone());
    }

    fn remove(&mut self, delivery: &str) -> Option<Arc<Passage>> {
        let passage = self.by_id.remove(delivery)?;
        leave(&mut self.by_order, passage.order_id.as_ref(), delivery);
        self.by_tracking.remove(&passage.tracking_number);
        leave(&mut self.by_driver, passage.driver_id.as_ref(), delivery);
        leave(&mut self.by_customer, passage.customer_id.as_ref(), delivery);
        Some(passage)
    }
}

fn leave(of: &mut HashMap<Arc<str>, HashSet<Arc<str>>>, who: Option<&Arc<str>>, delivery: &str) {
    let Some(who) = who else { return };
    if let Some(ids) = of.get_mut(who) {
        ids.remove(delivery);
        if ids.is_empty() {
            of.remove(who);
        }
    }
}
