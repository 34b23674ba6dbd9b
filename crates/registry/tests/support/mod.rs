//! A registry to test: on a new file, or on a new database of a real PostgreSQL.
#![allow(dead_code)]

pub mod postgres;

use drover_access::{Caller, Directory, Principal, Reach, Role};
use drover_database::Database;
use drover_model::Kind;
use drover_registry::{Error, Record, Registry, Resource};
use drover_vault::Vault;
use postgres::Postgres;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tempfile::TempDir;

/// A registry and what it stands on.
pub struct Place {
    pub registry: Registry,
    pub database: Database,
    pub vault: Vault,
    pub url: String,
    pub folder: TempDir,
    _server: Option<Arc<Postgres>>,
}

impl Place {
    pub async fn sqlite() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("registry.db").display());
        Place::open(url, folder, None).await
    }

    pub async fn postgres() -> Place {
        let server = tokio::task::spawn_blocking(Postgres::shared).await.expect("a server");
        let url = server.new_database();
        Place::open(url, tempfile::tempdir().expect("a folder"), Some(server)).await
    }

    pub async fn open(url: String, folder: TempDir, server: Option<Arc<Postgres>>) -> Place {
        let database = Database::open(&url).await.expect("the database opens");
        let vault = Vault::open(&folder.path().join("vault")).expect("the vault opens");
        let registry = Registry::open(database.clone(), vault.clone(), Directory::default()).await;
        Place { registry: registry.expect("the registry opens"), database, vault, url, folder, _server: server }
    }

    /// Another node on the same database.
    pub async fn another_node(&self) -> Registry {
        let database = Database::open(&self.url).await.expect("the database opens");
        Registry::open(database, self.vault.clone(), Directory::default()).await.expect("the registry opens")
    }

    pub async fn make(&self, resource: &'static Resource, body: Value) -> Record {
        self.try_make(&Caller::dev(), resource, body).await.expect("made")
    }

    pub async fn try_make(&self, caller: &Caller, resource: &'static Resource, body: Value) -> Result<Record, Error> {
        self.registry.create(caller, resource, object(body)).await
    }

    /// Two fleets with a vehicle and a driver each: `v-north`, `d-north`, `v-south`, `d-south`; a customer and a delivery each.
    pub async fn two_fleets(&self) {
        use drover_registry::resources::{CUSTOMERS, DELIVERIES, DRIVERS, FLEETS, VEHICLES};
        for fleet in ["north", "south"] {
            self.make(&FLEETS, json!({"id": fleet, "name": fleet})).await;
            let id = |prefix: &str| format!("{prefix}-{fleet}");
            let vehicle = json!({"id": id("v"), "registration_number": id("REG"), "fleet_id": fleet});
            self.make(&VEHICLES, vehicle).await;
            self.make(&DRIVERS, json!({"id": id("d"), "name": id("Dana"), "fleet_id": fleet})).await;
            let email = format!("{fleet}@example.com");
            self.make(&CUSTOMERS, json!({"id": id("c"), "name": id("Cleo"), "email": email, "fleet_id": fleet})).await;
            let delivery = json!({"id": id("del"), "order_id": id("order"), "customer_id": id("c"), "fleet_id": fleet,
                "dropoff_address": "Hauptstr. 1"});
            self.make(&DELIVERIES, delivery).await;
        }
    }
}

pub fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn principal(role: Role, reach: Reach) -> Principal {
    let subject = format!("user/{}", role.name());
    Principal { subject, role, may: role.permissions(), reach, ..(*Caller::dev()).clone() }
}

/// A dispatcher of some fleets.
pub fn dispatcher(fleets: &[&str]) -> Caller {
    let fleets: Vec<Arc<str>> = fleets.iter().map(|fleet| Arc::from(*fleet)).collect();
    Caller::new(principal(Role::Dispatcher, Reach::Fleets(fleets.into())))
}

/// A driver.
pub fn driver(id: &str) -> Caller {
    Caller::new(Principal { asset: Some((Kind::Driver, id.into())), ..principal(Role::Driver, Reach::Own) })
}

/// A customer.
pub fn customer(id: &str) -> Caller {
    Caller::new(Principal { customer_id: Some(id.into()), ..principal(Role::Customer, Reach::Own) })
}
