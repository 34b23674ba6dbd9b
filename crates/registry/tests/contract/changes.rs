//! The outbox, and what is in memory and follows it.

use crate::support::{Place, object};
use drover_access::{Caller, coming_from};
use drover_model::Kind;
use drover_registry::outbox::NewChange;
use drover_registry::resources::{CUSTOMERS, DELIVERIES, DEVICES, FLEETS, VEHICLES};
use drover_registry::{Error, Registry, Transition, outbox};
use serde_json::json;

pub async fn a_change_and_its_outbox_row_are_one_transaction(place: Place) {
    let (registry, dev) = (&place.registry, Caller::dev());
    place.make(&FLEETS, json!({"id": "f", "name": "F"})).await;
    place.make(&CUSTOMERS, json!({"id": "c", "name": "Cleo", "email": "cleo@example.com", "fleet_id": "f"})).await;
    registry.update(&dev, &CUSTOMERS, "c", object(json!({"status": "blocked"})), None).await.expect("changed");
    let address = "192.0.2.7".parse().expect("an address");
    let removed = coming_from(Some(address), registry.remove(&dev, &CUSTOMERS, "c", None)).await;
    removed.expect("removed");
    let changes = registry.changes_since(0, 100).await.expect("changes");
    let told: Vec<_> = changes.iter().map(|c| (c.resource.as_str(), c.id.as_str(), c.op.as_str(), c.version)).collect();
    assert_eq!(
        told,
        [
            ("fleets", "f", "create", 1),
            ("customers", "c", "create", 1),
            ("customers", "c", "update", 2),
            ("customers", "c", "remove", 2)
        ]
    );
    assert!(changes.windows(2).all(|two| two[0].seq < two[1].seq));
    let from: Vec<_> = changes.iter().map(|change| change.address.as_deref()).collect();
    assert_eq!(from, [None, None, None, Some("192.0.2.7")]);
    let update = &changes[2];
    assert_eq!((update.actor.as_str(), update.fleet_id.as_deref()), ("dev", Some("f")));
    let (before, after) = (update.before.as_ref().expect("before"), update.after.as_ref().expect("after"));
    assert_eq!((&before["status"], &after["status"]), (&json!("active"), &json!("blocked")));
    assert_eq!((&after["name"], &after["email"]), (&json!("(sealed)"), &json!("(sealed)")));
    assert!(!format!("{changes:?}").contains("Cleo"), "nothing personal in the clear");
    assert_eq!(registry.changes_since(changes[2].seq, 100).await.expect("changes"), changes[3..]);
    assert_eq!(registry.changes_since(0, 2).await.expect("changes").len(), 2);
}

pub async fn a_change_that_fails_leaves_no_row_in_the_outbox(place: Place) {
    let registry = &place.registry;
    place.make(&VEHICLES, json!({"id": "v-1", "registration_number": "R1"})).await;
    place
        .try_make(&Caller::dev(), &VEHICLES, json!({"id": "v-2", "registration_number": "R1"}))
        .await
        .expect_err("taken");
    assert_eq!(registry.changes_since(0, 10).await.expect("changes").len(), 1);
    // Others' changes: dropped with their transaction, kept with its commit.
    let users =
        |id| NewChange { resource: "users", id, op: "create", version: 1, actor: "dev", ..NewChange::default() };
    let mut transaction = place.database.begin().await.expect("a transaction");
    outbox::write(&mut transaction, users("u-1")).await.expect("written");
    drop(transaction);
    let mut transaction = place.database.begin().await.expect("a transaction");
    outbox::write(&mut transaction, users("u-2")).await.expect("written");
    transaction.commit().await.expect("committed");
    let ids: Vec<String> =
        registry.changes_since(0, 10).await.expect("changes").into_iter().map(|change| change.id).collect();
    assert_eq!(ids, ["v-1", "u-2"]);
    // The other way: where the outbox cannot be written, neither is the record.
    let mut transaction = place.database.begin().await.expect("a transaction");
    sqlx::query("ALTER TABLE outbox RENAME TO outbox_hidden").execute(&mut *transaction).await.expect("renamed");
    transaction.commit().await.expect("committed");
    place
        .try_make(&Caller::dev(), &VEHICLES, json!({"id": "v-3", "registration_number": "R3"}))
        .await
        .expect_err("fails");
    assert!(matches!(registry.get(&Caller::dev(), &VEHICLES, "v-3").await, Err(Error::NotFound { .. })));
    assert_eq!(registry.directory().fleet_of(Kind::Vehicle, "v-3"), None);
}

pub async fn a_trimmed_outbox_goes_on_with_higher_numbers(place: Place) {
    let registry = &place.registry;
    for at in 0..3 {
        place.make(&FLEETS, json!({"id": format!("f-{at}"), "name": "F"})).await;
    }
    let last = registry.changes_since(0, 10).await.expect("changes")[2].seq;
    assert_eq!(registry.trim_outbox(last + 1000).await.expect("trimmed"), 3);
    assert_eq!(registry.changes_since(0, 10).await.expect("changes"), []);
    registry.look_at_changes().await.expect("followed");
    place.make(&FLEETS, json!({"id": "f-3", "name": "F"})).await;
    let changes = registry.changes_since(last, 10).await.expect("changes");
    assert_eq!((changes.len(), changes[0].seq > last), (1, true));
}

pub async fn the_directory_and_deliveries_under_way_follow_this_node_and_others(place: Place) {
    place.two_fleets().await;
    let (here, there) = (place.registry.clone(), place.another_node().await);
    let dev = Caller::dev();
    let fleet = |node: &Registry, kind, id: &str| node.directory().fleet_of(kind, id).map(|fleet| fleet.to_string());
    for node in [&here, &there] {
        assert_eq!(fleet(node, Kind::Vehicle, "v-north").as_deref(), Some("north"));
        assert_eq!(fleet(node, Kind::Driver, "d-south").as_deref(), Some("south"));
        assert_eq!(node.underway().len(), 2);
    }
    let mut heard = there.underway().subscribe();
    here.update(&dev, &VEHICLES, "v-north", object(json!({"fleet_id": "south"})), None).await.expect("moved");
    place.make(&DEVICES, json!({"asset_kind": "rider", "asset_id": "rider-1", "fleet_id": "north"})).await;
    let step = Transition { to: "assigned".into(), driver_id: Some("d-north".into()), ..Transition::default() };
    here.transition(&dev, "del-north", &step, None).await.expect("assigned");
    here.remove(&dev, &VEHICLES, "v-south", None).await.expect("removed");
    assert_eq!(fleet(&here, Kind::Vehicle, "v-north").as_deref(), Some("south"), "at once on this node");
    assert_eq!(fleet(&there, Kind::Vehicle, "v-north").as_deref(), Some("north"), "not yet on the other");
    there.look_at_changes().await.expect("followed");
    for node in [&here, &there] {
        assert_eq!(fleet(node, Kind::Vehicle, "v-north").as_deref(), Some("south"));
        assert_eq!(fleet(node, Kind::Vehicle, "v-south"), None);
        assert_eq!(fleet(node, Kind::Rider, "rider-1").as_deref(), Some("north"));
        let passage = node.underway().by_order("order-north").expect("under way");
        assert_eq!((passage.driver_id.as_deref(), &*passage.status), (Some("d-north"), "assigned"));
        assert_eq!(node.underway().of_driver("d-north"), std::slice::from_ref(&passage));
        assert_eq!(node.underway().of_customer("c-north"), std::slice::from_ref(&passage));
        assert_eq!(node.underway().by_tracking(&passage.tracking_number), Some(passage.clone()));
        assert_eq!(node.underway().by_order("del-north"), None, "it goes by its order's number");
    }
    let change = heard.try_recv().expect("a change");
    assert_eq!((&*change.delivery_id, change.status.as_deref()), ("del-north", Some("assigned")));
    assert_eq!(&*change.before.expect("it was under way").status, "created");
    for to in ["picked_up", "out_for_delivery", "delivered"] {
        let step = Transition { to: to.into(), ..Transition::default() };
        there.transition(&dev, "del-north", &step, None).await.expect("moved on");
    }
    here.look_at_changes().await.expect("followed");
    for node in [&here, &there] {
        assert_eq!(node.underway().by_order("order-north"), None);
        assert_eq!(node.underway().of_driver("d-north"), []);
        assert_eq!(node.underway().len(), 1);
    }
    let last = std::iter::from_fn(|| heard.try_recv().ok()).last().expect("changes");
    assert_eq!((last.after, last.status.as_deref()), (None, Some("delivered")));
}

pub async fn what_was_trimmed_before_another_node_heard_of_it_is_read_from_the_tables(place: Place) {
    place.two_fleets().await;
    let (here, there) = (place.registry.clone(), place.another_node().await);
    let dev = Caller::dev();
    here.remove(&dev, &VEHICLES, "v-south", None).await.expect("removed");
    here.remove(&dev, &DELIVERIES, "del-south", None).await.expect("removed");
    here.update(&dev, &VEHICLES, "v-north", object(json!({"fleet_id": "south"})), None).await.expect("moved");
    here.trim_outbox(i64::MAX).await.expect("trimmed");
    there.look_at_changes().await.expect("followed");
    assert_eq!(there.directory().fleet_of(Kind::Vehicle, "v-south"), None);
    assert_eq!(there.directory().fleet_of(Kind::Vehicle, "v-north").as_deref(), Some("south"));
    assert_eq!(there.underway().by_id("del-south"), None);
    assert_eq!(there.underway().len(), 1);
}

async fn moves(node: &Registry, to: &str) {
    let driver_id = (to == "assigned").then(|| "d-north".to_owned());
    let step = Transition { to: to.into(), driver_id, ..Transition::default() };
    node.transition(&Caller::dev(), "del-north", &step, None).await.expect(to);
    // So that no two steps are of the same millisecond.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
}

fn out_since(node: &Registry) -> Option<i64> {
    node.underway().by_id("del-north").expect("under way").out_since
}

/// When the delivery came to a status the last time, by its history; `nth` from the end.
async fn came_to(node: &Registry, status: &str, nth: usize) -> i64 {
    let events = node.events_of(&Caller::dev(), "del-north").await.expect("events");
    let event = events.iter().rev().filter(|event| event.event_type == status).nth(nth).expect("an event");
    drover_model::parse_time(&event.time).expect("a time")
}

pub async fn since_when_a_delivery_is_out_is_known_here_there_and_after_a_restart(place: Place) {
    place.two_fleets().await;
    let (here, there) = (place.registry.clone(), place.another_node().await);
    // The outbox is written a moment after the row: another node may say a little later, and never earlier.
    let is_since = async |since: i64| {
        there.look_at_changes().await.expect("followed");
        let restarted = place.another_node().await;
        assert_eq!((out_since(&here), out_since(&restarted)), (Some(since), Some(since)));
        let later = out_since(&there).expect("it is out") - since;
        assert!((0..1_000).contains(&later), "{later} ms later");
    };
    for before in ["assigned", "picked_up"] {
        moves(&here, before).await;
        there.look_at_changes().await.expect("followed");
        assert_eq!((out_since(&here), out_since(&there)), (None, None), "{before}");
        assert_eq!(out_since(&place.another_node().await), None, "{before}");
    }
    moves(&here, "out_for_delivery").await;
    let first = came_to(&here, "out_for_delivery", 0).await;
    is_since(first).await;
    for to in ["arrived", "out_for_delivery", "arrived"] {
        moves(&here, to).await;
        is_since(first).await;
    }
    let patch = object(json!({"instructions": "ring twice"}));
    here.update(&Caller::dev(), &DELIVERIES, "del-north", patch, None).await.expect("changed");
    is_since(first).await;
    moves(&here, "failed").await;
    there.look_at_changes().await.expect("followed");
    assert_eq!((out_since(&here), out_since(&there)), (None, None));
    moves(&here, "out_for_delivery").await;
    let second = came_to(&here, "out_for_delivery", 0).await;
    assert!(second > first);
    is_since(second).await;
}

pub async fn a_way_out_that_a_node_missed_is_never_taken_for_an_earlier_one(place: Place) {
    place.two_fleets().await;
    let (here, there) = (place.registry.clone(), place.another_node().await);
    for to in ["assigned", "picked_up", "out_for_delivery"] {
        moves(&there, to).await;
    }
    here.look_at_changes().await.expect("followed");
    // It comes back and goes out again by the other node; before this one hears of it, it moves the delivery on.
    for to in ["failed", "out_for_delivery"] {
        moves(&there, to).await;
    }
    let second = came_to(&here, "out_for_delivery", 0).await;
    moves(&here, "arrived").await;
    for _ in 0..2 {
        let since = out_since(&here).expect("it is out");
        assert!(since >= second, "{since} is before {second}");
        here.look_at_changes().await.expect("followed");
    }
}

pub async fn writers_at_once_wait_for_each_other(place: Place) {
    let there = place.another_node().await;
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..40 {
        let registry = if at % 2 == 0 { place.registry.clone() } else { there.clone() };
        tasks.spawn(async move {
            // All want the same number plate: one gets it.
            let body = object(json!({"id": format!("v-{at}"), "registration_number": format!("R-{}", at / 2)}));
            registry.create(&Caller::dev(), &VEHICLES, body).await
        });
    }
    let (mut made, mut refused) = (0, 0);
    while let Some(result) = tasks.join_next().await {
        match result.expect("no panic") {
            Ok(_) => made += 1,
            Err(Error::Conflict { code: "already_exists", .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!((made, refused), (20, 20));
    assert_eq!(place.registry.changes_since(0, 100).await.expect("changes").len(), 20);
}
