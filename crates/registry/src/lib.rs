//! What the business knows: organisations, fleets, vehicles, drivers, stations, customers, deliveries … on SQLite or
//! PostgreSQL. Definitions (`resources`) say what a record may hold; one store serves them all.
//!
//! Must always hold:
//! - a change and its row in the outbox are one transaction; rows of the outbox are numbered in the order of commits;
//! - whatever is outside of a caller's reach is not found, whichever way it is asked for;
//! - personal fields are in no table in the clear, and neither they nor places of deliveries nor notes in the outbox;
//! - a delivery's status moves only as `deliveries::TRANSITIONS` allows, and each move leaves an event;
//! - what is in memory (the directory, deliveries under way) needs no database to be read.
//!
//! Permissions are checked by whoever takes the request; reach is checked here.

mod assignments;
mod check;
mod claims;
mod deliveries;
mod erasing;
mod error;
mod handover;
mod http;
mod list;
mod migrations;
mod mirror;
pub mod outbox;
mod persons;
mod progress;
mod record;
mod references;
pub mod repeats;
pub mod reseal;
pub mod resources;
mod rows;
pub mod schema;
mod scope;
mod underway;
mod writes;

pub use check::Cell;
pub use claims::HasReported;
pub use deliveries::{TRANSITIONS, next_statuses};
pub use error::{Error, disk_full, storage_failed};
pub use http::kept as idempotency;
pub use http::{ErasePerson, Hooks, Later, LatestStation, ReportingStations, routes};
pub use migrations::STEPS;
pub use record::{
    Change, Comparison, Contact, DeliveryEvent, LIMIT_DEFAULT, LIMIT_MAX, Page, Query, Record, SET_BY_DROVER,
    Transition,
};
pub use repeats::{Made, Repeatable};
pub use resources::{RESOURCES, resource};
pub use schema::{Field, FieldKind, FleetOf, PersonOf, Personal, Resource, Unique};
pub use underway::{Passage, PassageChange, Underway};

use drover_access::{Caller, Directory};
use drover_database::Database;
use drover_vault::Vault;
use mirror::Mirror;
use serde_json::{Map, Value};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// So long a call waits for the database, then it is away.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long an erasure may take: it looks at all routes.
const ERASE_PATIENCE: Duration = Duration::from_secs(60);
/// How often [`Registry::follow_changes`] looks what others changed.
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
    /// Asks the live state, where there is one.
    has_reported: OnceLock<HasReported>,
}

impl Registry {
    /// Opens the registry: brings the tables to the newest step and fills the directory and the deliveries under way.
    /// Records of `directory` are written by this registry from now on.
    pub async fn open(database: Database, vault: Vault, directory: Directory) -> Result<Registry, Error> {
        Registry::open_after(0, database, vault, directory).await
    }

    /// The same for a registry whose changes were followed elsewhere up to `heard`: where it does not know that change, it is
    /// an older copy, and goes on with greater numbers. A change `registry.set_back` tells it.
    pub async fn open_after(
        heard: i64,
        database: Database,
        vault: Vault,
        directory: Directory,
    ) -> Result<Registry, Error> {
        database.migrate("registry", STEPS).await?;
        // Before anything is changed: what erases those who came back with the copy is heard of, too.
        outbox::continue_after(&database, heard).await?;
        let mirror = Mirror::new(directory);
        let (settled_until, has_reported) = (AtomicI64::new(0), OnceLock::new());
        let registry = Registry(Arc::new(Shared { database, vault, mirror, settled_until, has_reported }));
        registry.0.erase_restored().await?;
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
        self.timed(self.0.create(caller, resource, body, None)).await.map(Made::into_record)
    }

    /// The same for a request that may come again: for a day, and among the newest 10,000 of its caller, a repetition makes
    /// nothing and is answered with what the first one made, also after a restart. The same word with another
    /// body is refused.
    pub async fn create_once(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        body: Map<String, Value>,
        request: Repeatable<'_>,
    ) -> Result<Made, Error> {
        self.timed(self.0.create(caller, resource, body, Some(request))).await
    }

    /// Checks what [`Registry::create`] would check, and makes nothing.
    pub async fn would_create(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        body: Map<String, Value>,
    ) -> Result<(), Error> {
        self.timed(self.0.would_create(caller, resource, body)).await
    }

    /// Checks what [`Registry::update`] would check, and changes nothing; says whether it would change anything.
    pub async fn would_update(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        id: &str,
        patch: Map<String, Value>,
    ) -> Result<bool, Error> {
        self.timed(self.0.would_update(caller, resource, id, patch)).await
    }

    /// Asks `has_reported` before a caller who does not reach all fleets makes a record for an id that may have a past. The
    /// first call counts.
    pub fn ask_before_claims(&self, has_reported: HasReported) {
        self.0.has_reported.get_or_init(|| has_reported);
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

    /// The delivery of an order, by the order's number or by its own id. Of several within reach, one under way goes before
    /// one at its end, then the number before the id; two of the same rank (of two fleets) are a conflict.
    pub async fn order(&self, caller: &Caller, name: &str) -> Result<Record, Error> {
        self.timed(self.0.order(caller, name)).await
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

    /// The same for a request that may come again, as [`Registry::create_once`] has it.
    pub async fn transition_once(
        &self,
        caller: &Caller,
        delivery: &str,
        transition: &Transition,
        if_match: Option<i64>,
        request: Repeatable<'_>,
    ) -> Result<Made, Error> {
        self.timed(self.0.transition_once(caller, delivery, transition, if_match, Some(request))).await
    }

    /// The delivery as it is now, if the request came before and moved it.
    pub async fn moved_before(
        &self,
        caller: &Caller,
        delivery: &str,
        request: Repeatable<'_>,
    ) -> Result<Option<Record>, Error> {
        self.timed(self.0.moved_before(caller, delivery, request)).await
    }

    /// A delivery's history, oldest first.
    pub async fn events_of(&self, caller: &Caller, delivery: &str) -> Result<Vec<DeliveryEvent>, Error> {
        self.timed(self.0.events_of(caller, delivery)).await
    }

    /// Whom a delivery is for: to its own driver while it is not at its end, to others if the customer is within reach.
    pub async fn contact_of(&self, caller: &Caller, delivery: &str) -> Result<Contact, Error> {
        self.timed(self.0.contact_of(caller, delivery)).await
    }

    /// Says how a delivery is to be handed over; a null takes it back. Only until it is picked up.
    pub async fn instruct(
        &self,
        caller: &Caller,
        delivery: &str,
        instructions: &Value,
        if_match: Option<i64>,
    ) -> Result<Record, Error> {
        self.timed(self.0.instruct(caller, delivery, instructions, if_match)).await
    }

    /// A driver's assignments, newest first, at most [`LIMIT_MAX`].
    pub async fn assignments_of(&self, caller: &Caller, driver: &str) -> Result<Vec<Record>, Error> {
        self.timed(self.0.assignments_of(caller, driver)).await
    }

    /// Changes after `seq`, in order, at most `limit`.
    pub async fn changes_since(&self, seq: i64, limit: u32) -> Result<Vec<Change>, Error> {
        self.timed(outbox::since(&self.0.database, seq, limit)).await
    }

    /// Gives changes greater numbers than `seq` from now on, if it does not yet: see [`Registry::open_after`].
    pub async fn continue_after(&self, seq: i64) -> Result<(), Error> {
        self.timed(outbox::continue_after(&self.0.database, seq)).await
    }

    /// The number up to which changes were forgotten; 0 while all are there.
    pub async fn forgotten_through(&self) -> Result<i64, Error> {
        let bounds = async {
            let mut connection = self.0.database.read().await?;
            outbox::bounds(&mut connection).await
        };
        self.timed(bounds).await.map(|(_, forgotten)| forgotten)
    }

    /// Forgets changes up to and with `seq`; says how many.
    pub async fn trim_outbox(&self, seq: i64) -> Result<u64, Error> {
        self.timed(outbox::trim(&self.0.database, seq)).await
    }

    /// Erases a person, a customer or a driver: what was sealed for that person can never be read again, here or from a
    /// backup, and what is about the person is emptied: sealed columns and indexes, places, notes, free attributes, in the
    /// record and in deliveries, assignments, devices and stops of routes. Ids, times, statuses and amounts stay.
    pub async fn erase_person(&self, caller: &Caller, resource: &'static Resource, id: &str) -> Result<(), Error> {
        within(ERASE_PATIENCE, self.0.erase_person(caller, resource, id)).await
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

    /// Keeps what is in memory true to what other hands change in the tables, and `drivers.vehicle_id` to assignments that begin or end.
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
        within(PATIENCE, call).await
    }
}

async fn within<T>(patience: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(patience, call).await {
        Ok(result) => result,
        Err(_) => Err(drover_database::Error::TimedOut { waited: patience }.into()),
    }
}
