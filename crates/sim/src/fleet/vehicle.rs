//! A van or a scooter: collects an order, delivers it, stands a while at each end, swaps its battery when that runs
//! low, and reports all along.

use std::borrow::Cow;

use super::job::{Job, Stage};
use super::motion::Drive;
use super::route::quickest;
use super::station::Station;
use super::streets::{Node, Streets};
use super::{CITY, TICK_MS};
use crate::ground::seven_decimals;
use crate::random::Random;
use crate::report::{Kind, Report};

/// Deviation of the reported from the true position on each axis, metres, and its largest value.
const NOISE_M: f64 = 2.0;
const MAX_NOISE_M: f64 = 6.0;
/// How much of its error a receiver keeps from one tick to the next: errors wander over a minute, they do not jump.
const NOISE_KEPT: f64 = 0.995;
/// At this charge no further order is taken, but a station sought. Enough for a scooter's longest order and the way
/// there.
const LOW_PCT: f64 = 32.0;
/// Trips are about this far as the crow flies, metres.
const TRIP_M: std::ops::Range<f64> = 400.0..4500.0;

/// What sort of vehicle it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    Van,
    Scooter,
}

impl Model {
    fn drain_pct_per_km(self) -> f64 {
        match self {
            Model::Van => 0.5,
            Model::Scooter => 1.4,
        }
    }

    fn report_interval_ms(self) -> i64 {
        match self {
            Model::Van => 2000,
            Model::Scooter => 1000,
        }
    }
}

/// Why the vehicle is on its way, and what it does at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    Collect,
    Deliver,
    /// The number of the station.
    Swap(usize),
}

/// One vehicle with its driver.
pub(super) struct Vehicle {
    model: Model,
    id: String,
    number: usize,
    random: Random,
    drive: Drive,
    style: f64,
    errand: Errand,
    orders: u64,
    /// The number of its first order.
    first_order: u64,
    /// Standing until then; driving if it is past.
    stands_until_ms: i64,
    charge_pct: f64,
    heading_deg: f64,
    noise_m: (f64, f64),
    /// Ticks at which it reports, so that not all report at once.
    report_phase_ms: i64,
}

impl Vehicle {
    pub(super) fn new(model: Model, number: usize, mut random: Random, streets: &Streets, now_ms: i64) -> Vehicle {
        let name = if model == Model::Van { "van" } else { "courier" };
        let style = random.between(0.85, 1.02);
        let drive = Drive::new(vec![streets.any_node(&mut random)], style, streets);
        let interval_ms = model.report_interval_ms();
        let phases = (interval_ms / TICK_MS) as usize;
        Vehicle {
            model,
            id: format!("{name}-{number:02}"),
            number,
            drive,
            style,
            errand: Errand::Collect,
            orders: 0,
            first_order: 1,
            stands_until_ms: now_ms + if random.below(4) == 0 { random.between(0.0, 60_000.0) as i64 } else { 0 },
            charge_pct: random.between(30.0, 100.0),
            heading_deg: random.between(0.0, 360.0),
            noise_m: (random.normal() * NOISE_M, random.normal() * NOISE_M),
            report_phase_ms: random.below(phases) as i64 * TICK_MS,
            random,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        if self.model == Model::Van { Kind::Vehicle } else { Kind::Driver }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// One step of the world.
    pub(super) fn tick(&mut self, now_ms: i64, streets: &Streets, stations: &mut [Station]) {
        self.noise_m = (wander(self.noise_m.0, &mut self.random), wander(self.noise_m.1, &mut self.random));
        if now_ms < self.stands_until_ms {
            return;
        }
        if self.drive.has_arrived() {
            self.set_off(now_ms, streets, stations);
        } else {
            self.roll(now_ms, streets);
        }
    }

    fn roll(&mut self, now_ms: i64, streets: &Streets) {
        let metres = self.drive.advance(TICK_MS as f64 / 1000.0, streets);
        self.charge_pct = (self.charge_pct - metres / 1000.0 * self.model.drain_pct_per_km()).max(1.0);
        self.heading_deg = self.drive.pose(streets).1.unwrap_or(self.heading_deg);
        if self.drive.has_arrived() {
            let seconds = if self.errand == Errand::Deliver { (40.0, 150.0) } else { (20.0, 90.0) };
            self.stands_until_ms = now_ms + (self.random.between(seconds.0, seconds.1) * 1000.0) as i64;
        }
    }

    /// The stop is over: what comes next?
    fn set_off(&mut self, now_ms: i64, streets: &Streets, stations: &mut [Station]) {
        if let Errand::Swap(station) = self.errand {
            if !stations[station].swap(now_ms) {
                self.stands_until_ms = now_ms + 30_000;
                return;
            }
            self.charge_pct = 100.0;
        }
        let here = self.drive.node();
        let goal = self.next_goal(here, streets, stations);
        self.drive = Drive::new(quickest(streets, here, goal), self.style, streets);
    }

    /// A collected order is delivered before anything else; then the battery counts; then the next order.
    fn next_goal(&mut self, here: Node, streets: &Streets, stations: &[Station]) -> Node {
        if self.errand == Errand::Collect && self.orders > 0 {
            self.errand = Errand::Deliver;
        } else if self.charge_pct < LOW_PCT && !stations.is_empty() {
            let distance = |station: &Station| streets.place(here).distance_m(station.place());
            let near = (0..stations.len()).min_by(|&a, &b| distance(&stations[a]).total_cmp(&distance(&stations[b])));
            let near = near.expect("there are stations");
            self.errand = Errand::Swap(near);
            return stations[near].node();
        } else {
            self.errand = Errand::Collect;
            self.orders += 1;
        }
        self.somewhere(here, streets)
    }

    fn somewhere(&mut self, here: Node, streets: &Streets) -> Node {
        loop {
            let node = streets.any_node(&mut self.random);
            if TRIP_M.contains(&streets.place(here).distance_m(streets.place(node))) {
                return node;
            }
        }
    }

    /// What it says at this moment, if it is its turn.
    pub(super) fn report(&mut self, now_ms: i64, streets: &Streets) -> Option<Report> {
        if (now_ms - self.report_phase_ms).rem_euclid(self.model.report_interval_ms()) != 0 {
            return None;
        }
        let place = self.drive.pose(streets).0.moved(self.noise_m.0, self.noise_m.1);
        let is_standing = self.drive.has_arrived();
        let mut report = Report::new(self.kind(), self.id.clone());
        report.event_time_ms = Some(now_ms);
        report.latitude = Some(seven_decimals(place.latitude));
        report.longitude = Some(seven_decimals(place.longitude));
        report.speed_kmh = Some(tenths(self.drive.speed_kmh()));
        report.heading_deg = Some(tenths(self.heading_deg).rem_euclid(360.0));
        report.accuracy_m = Some(tenths(self.random.between(3.0, 7.0)));
        report.battery_pct = Some(tenths(self.charge_pct));
        report.status = Some(Cow::Borrowed(if is_standing { "idle" } else { "active" }));
        report.city = Some(Cow::Borrowed(CITY));
        report.order_id = self.order_id().map(Cow::Owned);
        Some(report)
    }

    /// The order on board, until the stop at the customer's is over.
    fn order_id(&self) -> Option<String> {
        (self.errand == Errand::Deliver).then(|| self.order())
    }

    /// The order that is being collected or delivered.
    fn order(&self) -> String {
        let initial = if self.model == Model::Van { 'V' } else { 'C' };
        format!("{initial}{:02}-{:04}", self.number, self.first_order + self.orders - 1)
    }

    pub(super) fn count_orders_from(&mut self, first: u64) {
        self.first_order = first;
    }

    /// The order that it is about, if there is one.
    pub(super) fn job(&self, streets: &Streets) -> Option<Job> {
        let stage = match (self.errand, self.drive.has_arrived()) {
            (Errand::Swap(_), _) => return None,
            // Nothing was asked of it yet.
            (Errand::Collect, _) if self.orders == 0 => return None,
            (Errand::Collect, false) => Stage::Collecting,
            (Errand::Collect, true) => Stage::PickedUp,
            (Errand::Deliver, false) => Stage::Delivering,
            (Errand::Deliver, true) => Stage::Arrived,
        };
        let (place, goal) = (self.drive.pose(streets).0, streets.place(self.drive.goal()));
        Some(Job { kind: self.kind(), id: self.id.clone(), order_id: self.order(), stage, place, goal })
    }
}

/// The next value of an error that drifts about 0.
fn wander(noise_m: f64, random: &mut Random) -> f64 {
    let fresh = NOISE_M * (1.0 - NOISE_KEPT * NOISE_KEPT).sqrt() * random.normal();
    (noise_m * NOISE_KEPT + fresh).clamp(-MAX_NOISE_M, MAX_NOISE_M)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
