//! A database that was put back to an older copy, or damaged.

use crate::support::Place;
use drover_access::{Caller, Directory};
use drover_model::Kind;
use drover_registry::Registry;
use drover_registry::resources::{DELIVERIES, DRIVERS, FLEETS};
use serde_json::json;

/// The numbers that changes have, and what they are.
async fn changes(registry: &Registry) -> Vec<(i64, String, String)> {
    let changes = registry.changes_since(0, 100).await.expect("the outbox");
    changes.into_iter().map(|change| (change.seq, change.resource, change.op)).collect()
}

fn change(seq: i64, resource: &str, op: &str) -> (i64, String, String) {
    (seq, resource.to_owned(), op.to_owned())
}

pub async fn an_older_copy_goes_on_with_numbers_that_nobody_has_heard_of(place: Place) {
    let open = async |heard| {
        let (database, vault) = (place.database.clone(), place.vault.clone());
        Registry::open_after(heard, database, vault, Directory::default()).await.expect("the registry opens")
    };
    // Of an outbox that never had a change, too.
    let registry = open(20).await;
    place.make(&FLEETS, json!({"id": "north", "name": "North"})).await;
    let expected = vec![change(21, "registry", "set_back"), change(22, "fleets", "create")];
    assert_eq!(changes(&registry).await, expected);
    for known in [0, 21, 22] {
        assert_eq!(changes(&open(known).await).await, expected, "it knows {known}");
    }
    registry.continue_after(30).await.expect("set back under a running node");
    place.make(&FLEETS, json!({"id": "south", "name": "South"})).await;
    let more = vec![change(31, "registry", "set_back"), change(32, "fleets", "create")];
    assert_eq!(changes(&registry).await[2..], more);
    let told = registry.changes_since(30, 1).await.expect("the outbox").pop().and_then(|change| change.after);
    assert_eq!(told, Some(json!({"newest": 22, "heard_of": 30})));
}

pub async fn a_damaged_sealed_text_keeps_no_node_from_starting_and_is_named(place: Place) {
    place.two_fleets().await;
    for sql in [
        "UPDATE drivers SET name = 'damaged' WHERE id = 'd-north'",
        "UPDATE deliveries SET dropoff_address = 'damaged' WHERE id = 'del-north'",
    ] {
        sqlx::query(sql).execute(place.database.pool()).await.expect("damaged");
    }
    let registry = place.another_node().await;
    assert_eq!(registry.directory().fleet_of(Kind::Driver, "d-north").as_deref(), Some("north"));
    assert!(registry.underway().by_id("del-north").is_some() && registry.underway().by_id("del-south").is_some());
    registry.get(&Caller::dev(), &DRIVERS, "d-south").await.expect("others are read");
    let driver = registry.get(&Caller::dev(), &DRIVERS, "d-north").await.expect_err("damaged").to_string();
    assert!(driver.contains("drivers.name") && driver.contains("d-north"), "{driver}");
    let delivery = registry.get(&Caller::dev(), &DELIVERIES, "del-north").await.expect_err("damaged").to_string();
    assert!(delivery.contains("deliveries.dropoff_address") && delivery.contains("del-north"), "{delivery}");
}
