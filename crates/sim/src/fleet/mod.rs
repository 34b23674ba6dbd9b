//! A demo city: delivery vans, couriers on e-scooters and battery-swap stations on the real streets of Porto. A fleet
//! is a plain function of its seed and of time; `drive` is the only part that touches the network.

mod drive;
mod job;
mod motion;
mod route;
mod station;
mod streets;
mod vehicle;

use std::sync::Arc;

use crate::ground::Place;
use crate::random::Random;
use crate::report::{Kind, Report};
pub use drive::{DriveOptions, DriveSummary, drive};
pub use job::{Job, Stage};
use station::Station;
pub use streets::Streets;
use vehicle::{Model, Vehicle};

/// The world moves in steps of this length, whatever the calls, so that the reports do not depend on how often it is
/// asked.
const TICK_MS: i64 = 250;
/// Sent as the city of every asset.
const CITY: &str = "Porto";

/// How large a fleet is and from which seed it grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetPlan {
    /// Same seed, same reports.
    pub seed: u64,
    /// Delivery vans, `van-01` and on, of kind vehicle.
    pub vans: usize,
    /// Couriers on e-scooters, `courier-01` and on, of kind driver.
    pub couriers: usize,
    /// Battery-swap stations, `station-01` and on.
    pub stations: usize,
}

impl Default for FleetPlan {
    fn default() -> Self {
        FleetPlan { seed: 1, vans: 60, couriers: 20, stations: 12 }
    }
}

/// A fleet at one moment.
pub struct Fleet {
    streets: Arc<Streets>,
    vehicles: Vec<Vehicle>,
    stations: Vec<Station>,
    now_ms: i64,
}

impl Fleet {
    /// The fleet of a plan at its start, in milliseconds since 1970 UTC.
    pub fn new(plan: &FleetPlan, start_ms: i64) -> Fleet {
        let streets = Arc::new(Streets::porto());
        let mut random = Random::new(plan.seed);
        let now_ms = start_ms - start_ms.rem_euclid(TICK_MS);
        let sites = streets.spread(plan.stations, &mut random);
        let station = |(number, node)| Station::new(number + 1, node, streets.place(node), plan.seed, now_ms);
        let stations = sites.into_iter().enumerate().map(station).collect();
        let models =
            (1..=plan.vans).map(|van| (Model::Van, van)).chain((1..=plan.couriers).map(|one| (Model::Scooter, one)));
        let vehicle = |(member, (model, number))| {
            Vehicle::new(model, number, Random::member(plan.seed, member), &streets, now_ms)
        };
        let vehicles = (1..).zip(models).map(vehicle).collect();
        Fleet { streets, vehicles, stations, now_ms }
    }

    /// Moves the world on to `now_ms` and gives the reports made on the way, in the order of their times. Only the
    /// moment counts, not the number of calls: two steps give what one step over both gives.
    pub fn step(&mut self, now_ms: i64) -> Vec<Report> {
        let mut reports = Vec::new();
        while self.now_ms + TICK_MS <= now_ms {
            self.now_ms += TICK_MS;
            self.tick(&mut reports);
        }
        reports
    }

    fn tick(&mut self, reports: &mut Vec<Report>) {
        for vehicle in &mut self.vehicles {
            vehicle.tick(self.now_ms, &self.streets, &mut self.stations);
            reports.extend(vehicle.report(self.now_ms, &self.streets));
        }
        for station in &mut self.stations {
            station.tick(self.now_ms);
            reports.extend(station.report(self.now_ms));
        }
    }

    /// Orders of each member are numbered from here; for a fleet that has reported none yet.
    pub fn count_orders_from(&mut self, first: u64) {
        self.vehicles.iter_mut().for_each(|vehicle| vehicle.count_orders_from(first));
    }

    /// The orders under way.
    pub fn jobs(&self) -> Vec<Job> {
        self.vehicles.iter().filter_map(|vehicle| vehicle.job(&self.streets)).collect()
    }

    /// Everything that reports.
    pub fn assets(&self) -> impl Iterator<Item = (Kind, &str)> {
        let vehicles = self.vehicles.iter().map(|vehicle| (vehicle.kind(), vehicle.id()));
        vehicles.chain(self.stations.iter().map(|station| (Kind::Station, station.id())))
    }

    /// The stations with their places.
    pub fn stations(&self) -> impl Iterator<Item = (&str, Place)> {
        self.stations.iter().map(|station| (station.id(), station.place()))
    }

    /// The streets they all use.
    pub fn streets(&self) -> &Streets {
        &self.streets
    }
}
