//! Deliveries as far as following them needs: who may follow one, and where its driver is. The driver is who the delivery
//! is assigned to; the order that a driver's report names is a hint and decides nothing.

use crate::place::{Place, place};
use crate::{Tracking, problems};
use drover_access::{Caller, Permission, Reach};
use drover_answer::{Problem, ProblemKind, now_ms};
use drover_model::Kind;
use drover_registry::resources::{DELIVERIES, DELIVERY_STATUSES};
use drover_registry::{Passage, Record};
use std::sync::Arc;

/// One delivery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delivery {
    pub id: Arc<str>,
    pub driver: Option<Arc<str>>,
    pub customer: Option<Arc<str>>,
    pub fleet: Option<Arc<str>>,
    pub status: &'static str,
    /// Since when it is out, ms UTC, where that is known.
    pub out_since: Option<i64>,
}

/// The status of that name; one that nobody knows is none of those that show anything.
pub(crate) fn known(status: &str) -> &'static str {
    DELIVERY_STATUSES.iter().find(|known| **known == status).copied().unwrap_or("unknown")
}

/// A status for people.
pub(crate) fn words(status: &str) -> &'static str {
    match status {
        "created" => "Order received",
        "assigned" => "A driver is assigned",
        "picked_up" => "Picked up",
        "out_for_delivery" => "Out for delivery",
        "arrived" => "The driver has arrived",
        "delivered" => "Delivered",
        "failed" => "Delivery was not possible",
        "returned" => "Returned to the sender",
        "cancelled" => "Cancelled",
        _ => "On its way",
    }
}

/// True of a status after which nobody follows the driver any more.
pub(crate) fn is_end(status: &str) -> bool {
    matches!(status, "delivered" | "returned" | "cancelled")
}

impl Delivery {
    /// True while its driver may be seen.
    pub fn is_out(&self) -> bool {
        matches!(self.status, "out_for_delivery" | "arrived")
    }

    /// True when nothing more is to come for its followers.
    pub fn is_over(&self) -> bool {
        is_end(self.status)
    }

    /// True if a place is from the driver's way with this delivery. What he did before is not for those who wait for it.
    /// Where nobody can say when it went out, no place is.
    fn is_on_the_way(&self, place: &Place) -> bool {
        self.out_since.is_some_and(|since| place.fix.time >= since)
    }

    fn of_passage(passage: &Passage) -> Delivery {
        Delivery {
            id: passage.delivery_id.clone(),
            driver: passage.driver_id.clone(),
            customer: passage.customer_id.clone(),
            fleet: passage.fleet_id.clone(),
            status: known(&passage.status),
            out_since: passage.out_since,
        }
    }

    fn of_record(record: &Record) -> Delivery {
        let text = |field| record.text(field).map(Arc::from);
        Delivery {
            id: record.id.as_str().into(),
            driver: text("driver_id"),
            customer: text("customer_id"),
            fleet: text("fleet_id"),
            status: known(record.text("status").unwrap_or_default()),
            out_since: None,
        }
    }
}

impl Tracking {
    /// The delivery of this id, while it is under way. From memory.
    pub(crate) fn under_way(&self, id: &str) -> Option<Delivery> {
        self.0.registry.underway().by_id(id).map(|passage| Delivery::of_passage(&passage))
    }

    /// The delivery of an order (or of this id) that the caller may follow; whatever is not his is not found, and takes no
    /// name from what is. One under way goes before one at its end, an order's number before an id.
    pub(crate) async fn delivery_for(&self, caller: &Caller, order: &str) -> Result<Delivery, Problem> {
        caller.require(Permission::OrdersWatch)?;
        let hidden = || problems::not_found("order", order);
        let underway = self.0.registry.underway();
        let his = |passage: &Arc<Passage>| {
            Some(Delivery::of_passage(passage)).filter(|delivery| self.may_follow(caller, delivery))
        };
        let mut named: Vec<Delivery> = underway.of_order(order).iter().filter_map(his).collect();
        match named.pop() {
            Some(delivery) if named.is_empty() => return Ok(delivery),
            Some(_) => return Err(drover_registry::Error::ambiguous_order(order).into()),
            None => {}
        }
        if let Some(delivery) = underway.by_id(order).as_ref().and_then(his) {
            return Ok(delivery);
        }
        match self.0.registry.order(caller, order).await.map_err(Problem::from) {
            Ok(record) => {
                Some(Delivery::of_record(&record)).filter(|it| self.may_follow(caller, it)).ok_or_else(hidden)
            }
            Err(problem) if problem.kind == ProblemKind::NotFound => Err(hidden()),
            Err(problem) => Err(problem),
        }
    }

    /// A delivery as it is now: from memory while it is under way, else from the registry. None when it is gone, or when
    /// nobody can say.
    pub(crate) async fn newest(&self, id: &str) -> Option<Delivery> {
        if let Some(delivery) = self.under_way(id) {
            return Some(delivery);
        }
        match self.0.registry.get(&self.node(), &DELIVERIES, id).await {
            Ok(record) => Some(Delivery::of_record(&record)),
            Err(error) => {
                tracing::debug!(%error, delivery = id, "a delivery that is followed cannot be read");
                None
            }
        }
    }

    /// When a delivery came to its status, ms UTC; now, where nobody can say.
    pub(crate) async fn changed_at(&self, delivery: &Delivery) -> i64 {
        let record = self.0.registry.get(&self.node(), &DELIVERIES, &delivery.id).await.ok();
        let same = record.filter(|record| record.text("status") == Some(delivery.status));
        same.map_or_else(now_ms, |record| record.updated_at)
    }

    /// True if the caller may follow the delivery: its customer, its driver, or staff who reach its fleet.
    pub(crate) fn may_follow(&self, caller: &Caller, delivery: &Delivery) -> bool {
        let same = |own: &Option<Arc<str>>, other: &Option<Arc<str>>| own.is_some() && own == other;
        let is_driver = |driver: &Arc<str>| caller.owns(Kind::Driver, driver);
        caller.may(Permission::OrdersWatch)
            && (same(&caller.customer_id, &delivery.customer)
                || delivery.driver.as_ref().is_some_and(is_driver)
                || (caller.may(Permission::LiveRead) && caller.reaches_fleet(delivery.fleet.as_deref())))
    }

    /// True if who may follow the delivery may see its driver: the customer and the driver himself always; staff, while the
    /// driver is within reach. A delivery stays in its fleet when its driver goes to another one.
    fn may_see_driver(&self, caller: &Caller, delivery: &Delivery) -> bool {
        let Some(driver) = &delivery.driver else { return false };
        caller.reach == Reach::Own || caller.reaches_asset(&self.0.directory, Kind::Driver, driver)
    }

    /// Where the delivery's driver is, for a caller who may follow the delivery; only while it is out. The customer is
    /// told nothing of where the driver was before it went out; the driver himself and staff may see that.
    pub(crate) fn driver_place_for(&self, caller: &Caller, delivery: &Delivery) -> Option<(Arc<str>, Place)> {
        if !self.may_see_driver(caller, delivery) {
            return None;
        }
        let (driver, place) = self.newest_place(delivery)?;
        let is_staff =
            || caller.may(Permission::LiveRead) && caller.reaches_asset(&self.0.directory, Kind::Driver, &driver);
        let may_see = delivery.is_on_the_way(&place) || caller.owns(Kind::Driver, &driver) || is_staff();
        may_see.then_some((driver, place))
    }

    /// The same for who was told the tracking number.
    pub(crate) fn driver_place(&self, delivery: &Delivery) -> Option<(Arc<str>, Place)> {
        self.newest_place(delivery).filter(|(_, place)| delivery.is_on_the_way(place))
    }

    fn newest_place(&self, delivery: &Delivery) -> Option<(Arc<str>, Place)> {
        let driver = delivery.driver.clone().filter(|_| delivery.is_out())?;
        let place = place(&self.0.live, Kind::Driver, &driver)?;
        if let Some(hint) = place.order_hint.as_deref() {
            self.note_mismatch(hint, &driver);
        }
        Some((driver, place))
    }

    /// The order that a driver's report names decides nothing; one that is not his is worth a look.
    fn note_mismatch(&self, hint: &str, driver: &str) {
        let underway = self.0.registry.underway();
        let mut named = underway.of_order(hint).into_iter().chain(underway.by_id(hint));
        if !named.any(|named| named.driver_id.as_deref() == Some(driver)) {
            self.0.mismatches.note(driver, hint);
        }
    }
}
