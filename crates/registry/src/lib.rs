//! What the business knows: organisations, fleets, vehicles, drivers, stations, customers, deliveries … on SQLite or
//! PostgreSQL. Definitions (`resources`) say what a record may hold; one store serves them all.
//!
//! Must always hold:
//! - a change and its row in the outbox are one transaction; rows of the outbox are numbered in the order of commits;
//! - whatever is outside of a caller's reach is not found, whichever way it is asked for;
//! - personal fields are in no table and in no row of the outbox in the clear;
//! - a delivery's status moves only as `deliveries::TRANSITIONS` allows, and each move leaves an event;
//! - what is in memory (the directory, deliveries under way) needs no database to be read.
//!
//! Permissions are checked by whoever takes the request; reach is checked here.

mod assignments;
mod check;
mod deliveries;
mod error;
mod http;
mod list;
mod migrations;
mod mirror;
pub mod outbox;
mod persons;
mod record;
pub mod resources;
mod rows;
pub mod schema;
mod scope;
mod underway;
mod writes;

pub use check::Cell;
pub use deliveries::{TRANSITIONS, next_statuses};
pub use error::Error;
pub use http::{ErasePerson, Hooks, Later, LatestStation, ReportingStations, routes};
pub use migrations::STEPS;
pub use record::{
    Change, Comparison, DeliveryEvent, LIMIT_DEFAULT, LIMIT_MAX, Page, Query, Record, SET_BY_DROVER, Transition,
};
pub use resources::{RESOURCES, resource};
pub use schema::{Field, FieldKind, FleetOf, PersonOf, Personal, Resource};
pub use underway::{Passage, PassageChange, Underway};

use drover_access::{Caller, Directory};
use drover_database::Database;
use drover_vault::Vault;
use mirror::Mirror;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

/// So long a call waits for the database, then it is away.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often [`Registry::follow_changes`] looks what other nodes changed.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// The registry. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

pub(crate) struct Shared {
    database: Database,
    vault: Vault,
    mirror: Mirror,
    /// Until when `drivers.vehicle_id` follows the assignments, ms UTC.
    settled_until: AtomicI64,
}

impl Registry {
    /// Opens the registry: brings the tables to the newest step and fills the directory and the deliveries under way.
    /// Records of `directory` are written by this registry from now on.
    pub async fn open(database: Database, vault: Vault, directory: Directory) -> Result<Registry, Error> {
        database.migrate("registry", STEPS).await?;
        let mirror = Mirror::new(directory);
        let registry = Registry(Arc::new(Shared { database, vault, mirror, settled_until: AtomicI64::new(0) }));
        registry.0.fill_mirror().await?;
        Ok(registry)
    }

    /// Makes a record. `body` may name its `id`; without, one is made. Fields that are not the resource's are refused.
    /// On `Ok` the record is durable and its change is in the outbox; on `Err` nothing is.
    pub async fn create(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        body: Map<String, Value>,
    ) -> Result<Record, Error> {
        self.timed(self.0.create(caller, resource, body)).await
    }

    /// The record of this id.
    pub async fn get(&self, caller: &Caller, resource: &'static Resource, id: &str) -> Result<Record, Error> {
        self.timed(self.0.get(caller, resource, id)).await
    }

    /// The record whose `field` is `value`: a delivery by `order_id` or `tracking_number`, a customer by `email`. Of
    /// several (two customers may share an address) it is the one made first.
    pub async fn find_by(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        field: &str,
        value: &str,
    ) -> Result<Record, Error> {
        self.timed(self.0.find_by(caller, resource, field, value)).await
    }

    /// A page of the records within reach.
    pub async fn list(&self, caller: &Caller, resource: &'static Resource, query: &Query) -> Result<Page, Error> {
        self.timed(self.0.list(caller, resource, query)).await
    }

    /// Changes what `patch` names (JSON merge patch: null empties a field), if the record still has the version `if_match`.
    /// A patch that changes nothing leaves the version as it is.
    pub async fn update(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        id: &str,
        patch: Map<String, Value>,
        if_match: Option<i64>,
    ) -> Result<Record, Error> {
        self.timed(self.0.update(caller, resource, id, patch, if_match, false)).await
    }

    /// Puts `body` in place of all fields (those that Drover sets stay), if the record still has the version `if_match`.
    pub async fn replace(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        id: &str,
        body: Map<String, Value>,
        if_match: Option<i64>,
    ) -> Result<Record, Error> {
        self.timed(self.0.update(caller, resource, id, body, if_match, true)).await
    }

    /// Removes the record, unless others refer to it.
    pub async fn remove(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        id: &str,
        if_match: Option<i64>,
    ) -> Result<(), Error> {
        self.timed(self.0.remove(caller, resource, id, if_match)).await
    }

    /// Moves a delivery to another status; `delivery` is its id. Writes its event in the same transaction.
    pub async fn transition(
        &self,
        caller: &Caller,
        delivery: &str,
        transition: &Transition,
        if_match: Option<i64>,
    ) -> Result<Record, Error> {
        self.timed(self.0.transition(caller, delivery, transition, if_match)).await
    }

    /// A delivery's history, oldest first.
    pub async fn events_of(&self, caller: &Caller, delivery: &str) -> Result<Vec<DeliveryEvent>, Error> {
        self.timed(self.0.events_of(caller, delivery)).await
    }

    /// A driver's assignments, newest first, at most [`LIMIT_MAX`].
    pub async fn assignments_of(&self, caller: &Caller, driver: &str) -> Result<Vec<Record>, Error> {
        self.timed(self.0.assignments_of(caller, driver)).await
    }

    /// Changes after `seq`, in order, at most `limit`.
    pub async fn changes_since(&self, seq: i64, limit: u32) -> Result<Vec<Change>, Error> {
        self.timed(outbox::since(&self.0.database, seq, limit)).await
    }

    /// Forgets changes up to and with `seq`; says how many.
    pub async fn trim_outbox(&self, seq: i64) -> Result<u64, Error> {
        self.timed(outbox::trim(&self.0.database, seq)).await
    }

    /// Erases a person, a customer or a driver: what was sealed for that person can never be read again, here or from a
    /// backup, and the sealed columns and indexes are emptied. What the business must keep (ids, times, statuses) stays.
    pub async fn erase_person(&self, caller: &Caller, resource: &'static Resource, id: &str) -> Result<(), Error> {
        self.timed(self.0.erase_person(caller, resource, id)).await
    }

    /// Everything that the registry has on a person: the record, deliveries with their events, assignments.
    pub async fn export_person(&self, caller: &Caller, resource: &'static Resource, id: &str) -> Result<Value, Error> {
        self.timed(self.0.export_person(caller, resource, id)).await
    }

    /// The deliveries that are not at an end, in memory.
    pub fn underway(&self) -> &Underway {
        self.0.mirror.underway()
    }

    /// The fleets of assets, in memory.
    pub fn directory(&self) -> &Directory {
        self.0.mirror.directory()
    }

    /// The database, for others that keep tables in it.
    pub fn database(&self) -> &Database {
        &self.0.database
    }

    /// Keeps what is in memory true to what other nodes change, and `drivers.vehicle_id` to assignments that begin or end.
    /// Never returns; a database that is away is asked again.
    pub async fn follow_changes(&self) {
        let mut every = tokio::time::interval(FOLLOW_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            if let Err(error) = self.look_at_changes().await {
                tracing::warn!(%error, "the registry cannot be followed; trying again");
            }
        }
    }

    /// What [`Registry::follow_changes`] does once a second.
    pub async fn look_at_changes(&self) -> Result<(), Error> {
        self.timed(self.0.follow_once()).await?;
        self.timed(self.0.settle_assignments()).await
    }

    async fn timed<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(result) => result,
            Err(_) => Err(drover_database::Error::TimedOut { waited: PATIENCE }.into()),
        }
    }
}
