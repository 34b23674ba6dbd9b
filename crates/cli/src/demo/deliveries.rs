//! Deliveries of the demo, which follow what the couriers do: made when a courier sets off for an order, moved on as he
//! does, delivered when he leaves. There is at most one under way for each courier, and no queue: whoever is late looks
//! at what is true by then, and moves each delivery there step by step.

use super::records::{CUSTOMER, customer, fleet_of, scooter};
use drover_access::Caller;
use drover_registry::resources::DELIVERIES;
use drover_registry::{Comparison, Error, LIMIT_MAX, Query, Registry, Transition};
use drover_sim::fleet::{Job, Stage};
use drover_sim::ground::Place;
use drover_sim::report::Kind;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;

/// The way of a delivery that goes well.
const WAY: [&str; 6] = ["created", "assigned", "picked_up", "out_for_delivery", "arrived", "delivered"];
const OUT: usize = 3;
const DELIVERED: usize = 5;
/// Orders that are on their way to the demo's customer.
const ORDERS_OF_CUSTOMER: usize = 2;
/// Changes come at most so often.
const PAUSE: Duration = Duration::from_millis(500);
/// Couriers of the demo, for the fleet of each.
const COURIERS: usize = 20;

/// A delivery that is not at its end.
struct Open {
    id: String,
    /// Where on its way it is.
    at: usize,
    customer: String,
    place: Place,
}

/// Keeps the deliveries true to what the couriers do.
pub struct Deliveries {
    registry: Registry,
    caller: Caller,
    next_number: u64,
    next_customer: usize,
    /// By courier.
    open: HashMap<String, Open>,
}

impl Deliveries {
    /// Brings to an end what an earlier run left on its way: nobody has it any more.
    pub async fn open(registry: Registry, caller: Caller) -> anyhow::Result<Deliveries> {
        let mut deliveries = Deliveries { registry, caller, next_number: 1, next_customer: 0, open: HashMap::new() };
        let newest = Query { sort: vec![("created_at".into(), true)], limit: LIMIT_MAX, ..Query::default() };
        let newest = deliveries.registry.list(&deliveries.caller, &DELIVERIES, &newest).await?;
        let highest = newest.records.iter().filter_map(|record| number_of(&record.id)).max();
        deliveries.next_number = highest.unwrap_or(0) + 1;
        let left = "assigned,picked_up,out_for_delivery,arrived";
        let filters = vec![("status".to_owned(), Comparison::In, left.to_owned())];
        let left = Query { filters, limit: LIMIT_MAX, ..Query::default() };
        for record in deliveries.registry.list(&deliveries.caller, &DELIVERIES, &left).await?.records {
            let end = match record.text("status") {
                Some("assigned") => "cancelled",
                Some("picked_up") => "returned",
                _ => "delivered",
            };
            if number_of(&record.id).is_some() {
                deliveries.transition(&record.id, Transition { to: end.into(), ..Transition::default() }).await?;
            }
        }
        Ok(deliveries)
    }

    /// A number that no order of this folder has.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Follows the couriers until `stopped`. A registry that is away is waited for.
    pub async fn run(mut self, mut jobs: watch::Receiver<Vec<Job>>, mut stopped: watch::Receiver<()>) {
        let mut failing = false;
        loop {
            tokio::select! {
                changed = jobs.changed(), if !failing => if changed.is_err() { return },
                _ = stopped.changed() => return,
                () = tokio::time::sleep(PAUSE), if failing => {}
            }
            let now = jobs.borrow_and_update().clone();
            match self.follow(&now).await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "the demo's deliveries wait");
                    }
                    failing = true;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Brings every delivery to where its courier is with it.
    pub async fn follow(&mut self, jobs: &[Job]) -> Result<(), Error> {
        let mut jobs: Vec<&Job> = jobs.iter().filter(|job| job.kind == Kind::Driver).collect();
        let has_left =
            |courier: &str, open: &Open| !jobs.iter().any(|job| job.id == courier && job.order_id == open.id);
        let left: Vec<String> = self
            .open
            .iter()
            .filter(|(courier, open)| has_left(courier, open))
            .map(|(courier, _)| courier.clone())
            .collect();
        for courier in left {
            self.move_to(&courier, DELIVERED).await?;
            self.open.remove(&courier);
        }
        // Who has the longest way before him first: the demo's customer gets his order, and sees him for a while.
        jobs.sort_by(|one, other| left_m(other).total_cmp(&left_m(one)));
        for job in jobs {
            self.take_up(job).await?;
        }
        Ok(())
    }

    async fn take_up(&mut self, job: &Job) -> Result<(), Error> {
        if !self.open.contains_key(&job.id) {
            let made = self.make(job).await?;
            self.open.insert(job.id.clone(), made);
        }
        if let Some(open) = self.open.get_mut(&job.id) {
            open.place = job.place;
        }
        let goal = match job.stage {
            Stage::Collecting => 1,
            Stage::PickedUp => 2,
            Stage::Delivering => OUT,
            Stage::Arrived => 4,
        };
        if job.stage == Stage::Delivering && self.open.get(&job.id).is_some_and(|open| open.at < OUT) {
            self.set_out(job).await?;
        }
        self.move_to(&job.id, goal).await
    }

    async fn make(&mut self, job: &Job) -> Result<Open, Error> {
        self.next_customer += 1;
        let number = job.id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(1);
        let fleet = fleet_of(number, COURIERS);
        let customer = customer(fleet, self.next_customer);
        let mut record = json!({
            "id": job.order_id, "order_id": job.order_id, "fleet_id": fleet,
            "customer_id": customer, "vehicle_id": scooter(number), "weight_kg": 0.5 + (self.next_customer % 8) as f64,
        });
        if job.stage <= Stage::PickedUp {
            record["pickup_latitude"] = job.goal.latitude.into();
            record["pickup_longitude"] = job.goal.longitude.into();
        }
        let made = tolerated(self.registry.create(&self.caller, &DELIVERIES, object(record)).await)?;
        let at = if made.is_some() { 0 } else { DELIVERED };
        Ok(Open { id: job.order_id.clone(), at, customer, place: job.place })
    }

    /// Where it goes is known when the courier sets out. The demo's customer waits for it if little else is on its way
    /// to him: with two he has hardly ever none.
    async fn set_out(&mut self, job: &Job) -> Result<(), Error> {
        let is_his = |open: &&Open| open.customer == CUSTOMER && open.at == OUT;
        let wants_more = self.open.values().filter(is_his).count() < ORDERS_OF_CUSTOMER;
        let mut patch = json!({"dropoff_latitude": job.goal.latitude, "dropoff_longitude": job.goal.longitude});
        if wants_more {
            patch["customer_id"] = CUSTOMER.into();
        }
        let changed = self.registry.update(&self.caller, &DELIVERIES, &job.order_id, object(patch), None).await;
        if tolerated(changed)?.is_some()
            && wants_more
            && let Some(open) = self.open.get_mut(&job.id)
        {
            open.customer = CUSTOMER.into();
        }
        Ok(())
    }

    /// Step by step. What somebody else moved elsewhere stays there.
    async fn move_to(&mut self, courier: &str, goal: usize) -> Result<(), Error> {
        while let Some(open) = self.open.get(courier).filter(|open| open.at < goal) {
            let to = open.at + 1;
            let step = Transition {
                to: WAY[to].into(),
                driver_id: (to == 1).then(|| courier.to_owned()),
                place: Some((open.place.latitude, open.place.longitude)),
                data: None,
            };
            let id = open.id.clone();
            let moved = tolerated(self.transition(&id, step).await)?.is_some();
            if let Some(open) = self.open.get_mut(courier) {
                open.at = if moved { to } else { DELIVERED };
            }
        }
        Ok(())
    }

    async fn transition(&self, id: &str, step: Transition) -> Result<(), Error> {
        self.registry.transition(&self.caller, id, &step, None).await.map(drop)
    }
}

/// Whoever tries the demo may move, change or remove its deliveries: then they are his.
fn tolerated<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(Error::NotFound { .. } | Error::Conflict { .. } | Error::Invalid { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn left_m(job: &Job) -> f64 {
    job.place.distance_m(job.goal)
}

/// The number in the id of an order of a courier, `C07-0042`.
fn number_of(id: &str) -> Option<u64> {
    let (courier, number) = id.strip_prefix('C')?.split_once('-')?;
    let is_courier = courier.len() >= 2 && courier.bytes().all(|byte| byte.is_ascii_digit());
    is_courier.then(|| number.parse().ok())?
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_orders_of_couriers_have_a_number() {
        assert_eq!(number_of("C07-0042"), Some(42));
        assert_eq!(number_of("C07-12345"), Some(12_345));
        for other in ["over-1", "waiting-2", "Cxx-1", "C07", "V07-0042"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
