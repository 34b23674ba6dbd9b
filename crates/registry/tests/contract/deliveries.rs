//! How deliveries move, and who drives what.

use crate::support::{Place, customer, driver, object};
use drover_access::Caller;
use drover_answer::{Problem, ProblemKind};
use drover_registry::resources::{ASSIGNMENTS, DELIVERIES, DRIVERS, ROUTES};
use drover_registry::{Comparison, Error, Query, TRANSITIONS, Transition, next_statuses};
use serde_json::{Value, json};

pub async fn assignments_of_one_driver_or_one_vehicle_do_not_overlap(place: Place) {
    place.two_fleets().await;
    let day = |day: u32| format!("2026-03-{day:02}T00:00:00Z");
    let make = async |driver: &str, vehicle: &str, from: u32, until: Option<u32>| {
        let mut body = json!({"driver_id": driver, "vehicle_id": vehicle, "starts_at": day(from)});
        if let Some(until) = until {
            body["ends_at"] = day(until).into();
        }
        place.try_make(&Caller::dev(), &ASSIGNMENTS, body).await
    };
    let first = make("d-north", "v-north", 10, Some(20)).await.expect("the first");
    make("d-north", "v-north", 20, Some(25)).await.expect("one begins as the other ends");
    make("d-south", "v-south", 10, None).await.expect("others");
    for (driver, vehicle, from, until, field) in [
        ("d-north", "v-south", 5, Some(8), None),
        ("d-north", "v-south", 15, Some(16), Some("driver_id")),
        ("d-south", "v-north", 5, Some(9), None),
        ("d-north", "v-north", 1, Some(11), Some("driver_id")),
        ("d-north", "v-south", 1, None, Some("driver_id")),
        ("d-south", "v-north", 26, Some(27), Some("driver_id")),
    ] {
        let made = make(driver, vehicle, from, until).await;
        match (made, field) {
            (Ok(made), None) => place.registry.remove(&Caller::dev(), &ASSIGNMENTS, &made.id, None).await.expect("ok"),
            (Err(Error::Conflict { code: "overlap", field: told, .. }), Some(field)) => {
                assert_eq!(told.as_deref(), Some(field));
            }
            (made, _) => panic!("{driver} {vehicle} {from} {until:?}: {made:?}"),
        }
    }
    let patch = object(json!({"ends_at": day(21)}));
    let grown = place.registry.update(&Caller::dev(), &ASSIGNMENTS, &first.id, patch, None).await;
    let problem = Problem::from(grown.expect_err("overlaps"));
    assert_eq!((problem.kind, problem.code.as_ref()), (ProblemKind::Conflict, "overlap"));
    assert!(problem.message.contains("from 2026-03-20T00:00:00Z until 2026-03-25T00:00:00Z"), "{}", problem.message);
    let never = make("d-north", "v-north", 9, Some(9)).await;
    assert!(never.expect_err("refused").to_string().contains("ends_at is not after starts_at"));
}

pub async fn the_drivers_vehicle_follows_the_current_assignment(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let vehicle = async || registry.get(&dev, &DRIVERS, "d-north").await.expect("read").fields["vehicle_id"].clone();
    let now = drover_answer::now_ms();
    let body =
        json!({"driver_id": "d-north", "vehicle_id": "v-north", "starts_at": now - 60_000, "ends_at": now + 700});
    let current = place.make(&ASSIGNMENTS, body).await;
    assert_eq!(vehicle().await, "v-north");
    let body = json!({"driver_id": "d-north", "vehicle_id": "v-south", "starts_at": now + 700});
    let next = place.make(&ASSIGNMENTS, body).await;
    assert_eq!(vehicle().await, "v-north", "the other has not begun");
    registry.look_at_changes().await.expect("settled");
    tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    registry.look_at_changes().await.expect("settled");
    assert_eq!(vehicle().await, "v-south", "time has passed");
    registry.remove(&dev, &ASSIGNMENTS, &next.id, None).await.expect("removed");
    assert_eq!(vehicle().await, Value::Null);
    let longer = object(json!({"ends_at": null}));
    registry.update(&dev, &ASSIGNMENTS, &current.id, longer, None).await.expect("changed");
    assert_eq!(vehicle().await, "v-north");
    let record = registry.get(&dev, &DRIVERS, "d-north").await.expect("read");
    assert_eq!(record.fields["name"], "Dana-north", "what is sealed stays");
    let refused = registry.update(&dev, &DRIVERS, "d-north", object(json!({"vehicle_id": "v-south"})), None).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })));
}

/// Brings a new delivery to a status by allowed steps.
async fn delivery_at(place: &Place, status: &str, id: &str) {
    place.make(&DELIVERIES, json!({"id": id, "driver_id": "d-north"})).await;
    let way: &[&str] = match status {
        "created" => &[],
        "assigned" => &["assigned"],
        "picked_up" => &["assigned", "picked_up"],
        "out_for_delivery" => &["assigned", "picked_up", "out_for_delivery"],
        "arrived" => &["assigned", "picked_up", "out_for_delivery", "arrived"],
        "delivered" => &["assigned", "picked_up", "out_for_delivery", "delivered"],
        "failed" => &["assigned", "failed"],
        "returned" => &["assigned", "failed", "returned"],
        "cancelled" => &["cancelled"],
        other => panic!("{other}"),
    };
    for to in way {
        let step = Transition { to: (*to).into(), ..Transition::default() };
        place.registry.transition(&Caller::dev(), id, &step, None).await.expect("an allowed step");
    }
}

pub async fn a_delivery_moves_only_as_the_table_allows(place: Place) {
    place.two_fleets().await;
    let expected = [
        ("created", "assigned cancelled"),
        ("assigned", "created picked_up failed cancelled"),
        ("picked_up", "out_for_delivery failed returned"),
        ("out_for_delivery", "arrived delivered failed"),
        ("arrived", "out_for_delivery delivered failed"),
        ("delivered", ""),
        ("failed", "assigned out_for_delivery returned cancelled"),
        ("returned", ""),
        ("cancelled", ""),
    ];
    assert_eq!(TRANSITIONS.len(), expected.len());
    for (from, allowed) in expected {
        for (to, _) in expected {
            let id = format!("{from}.{to}");
            delivery_at(&place, from, &id).await;
            let step = Transition { to: to.into(), driver_id: Some("d-north".into()), ..Transition::default() };
            let step = if to == "created" { Transition { driver_id: None, ..step } } else { step };
            let moved = place.registry.transition(&Caller::dev(), &id, &step, None).await;
            if allowed.split(' ').any(|word| word == to) {
                assert_eq!(moved.expect("allowed").fields["status"], to, "{id}");
                continue;
            }
            let problem = Problem::from(moved.expect_err("illegal"));
            assert_eq!((problem.kind, problem.code.as_ref()), (ProblemKind::Conflict, "illegal_transition"), "{id}");
            assert!(problem.message.contains(&format!("is {from} and cannot be moved to {to}")), "{}", problem.message);
            for next in next_statuses(from) {
                assert!(problem.message.contains(next), "{}", problem.message);
            }
        }
    }
    let unknown = Transition { to: "lost".into(), ..Transition::default() };
    let unknown = place.registry.transition(&Caller::dev(), "del-north", &unknown, None).await;
    assert!(matches!(unknown, Err(Error::Invalid { .. })));
}

pub async fn a_transition_leaves_an_event_that_stays(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let data = object(json!({"recipient": "Mrs Smith"}));
    let step = Transition {
        to: "assigned".into(),
        driver_id: Some("d-north".into()),
        place: Some((52.5, 13.4)),
        data: Some(data),
    };
    let moved = registry.transition(&dev, "del-north", &step, Some(1)).await.expect("moved");
    assert_eq!((moved.version, &moved.fields["driver_id"]), (2, &json!("d-north")));
    let events = registry.events_of(&dev, "del-north").await.expect("events");
    let told: Vec<_> =
        events.iter().map(|event| (event.event_type.as_str(), event.latitude, event.longitude)).collect();
    assert_eq!(told, [("created", None, None), ("assigned", Some(52.5), Some(13.4))]);
    assert_eq!((events[1].data.as_ref(), events[1].actor.as_str()), (Some(&json!({"recipient": "Mrs Smith"})), "dev"));
    let on = Transition { to: "picked_up".into(), ..Transition::default() };
    let stale = registry.transition(&dev, "del-north", &on, Some(1)).await;
    assert!(matches!(stale, Err(Error::Stale { .. })));
    assert_eq!(registry.events_of(&dev, "del-north").await.expect("events").len(), 2, "a refusal leaves none");
    for sql in ["DELETE FROM delivery_events", "UPDATE delivery_events SET event_type = 'delivered'"] {
        sqlx::query(sql).execute(place.database.pool()).await.expect_err("events stay as they are");
    }
    let held = registry.remove(&dev, &DELIVERIES, "del-north", None).await;
    assert!(matches!(held, Err(Error::Conflict { code: "has_history", .. })));
    registry.remove(&dev, &DELIVERIES, "del-south", None).await.expect("nothing happened to it yet");
    let again = place.try_make(&dev, &DELIVERIES, json!({"id": "del-south"})).await;
    assert!(matches!(again, Err(Error::Conflict { .. })), "its history is kept");
    let far = Transition { to: "picked_up".into(), place: Some((91.0, 0.0)), ..Transition::default() };
    assert!(matches!(registry.transition(&dev, "del-north", &far, None).await, Err(Error::Invalid { .. })));
}

pub async fn a_customer_has_many_deliveries_and_so_has_a_route(place: Place) {
    place.two_fleets().await;
    place.make(&ROUTES, json!({"id": "r-1", "date": "2026-11-22", "fleet_id": "north"})).await;
    for at in 0..3 {
        let body = json!({"id": format!("d-{at}"), "customer_id": "c-north", "route_id": "r-1", "fleet_id": "north"});
        place.make(&DELIVERIES, body).await;
    }
    let of_customer =
        Query { filters: vec![("customer_id".into(), Comparison::Eq, "c-north".into())], ..Query::default() };
    let page = place.registry.list(&Caller::dev(), &DELIVERIES, &of_customer).await.expect("a page");
    assert_eq!(page.total, 4);
}

pub async fn a_delivery_needs_a_driver_from_assigned_on(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let step = |to: &str| Transition { to: to.into(), ..Transition::default() };
    let nobody = registry.transition(&dev, "del-north", &step("assigned"), None).await.expect_err("nobody");
    assert_eq!(Problem::from(nobody).field.as_deref(), Some("driver_id"));
    registry
        .update(&dev, &DELIVERIES, "del-north", object(json!({"driver_id": "d-north"})), None)
        .await
        .expect("named");
    registry.transition(&dev, "del-north", &step("assigned"), None).await.expect("assigned");
    let lost = registry.update(&dev, &DELIVERIES, "del-north", object(json!({"driver_id": null})), None).await;
    assert!(matches!(lost, Err(Error::Invalid { .. })));
    let back = registry.transition(&dev, "del-north", &step("created"), None).await.expect("taken back");
    assert_eq!(back.fields["driver_id"], Value::Null);
    let done = object(json!({"driver_id": "d-north"}));
    registry.update(&dev, &DELIVERIES, "del-north", done, None).await.expect("named");
    for to in ["assigned", "picked_up", "out_for_delivery", "delivered"] {
        let moved = registry.transition(&dev, "del-north", &step(to), None).await.expect(to);
        assert_eq!(moved.fields["delivered_at"] == Value::Null, to != "delivered");
    }
}

pub async fn a_driver_moves_his_own_deliveries_on_and_cancels_none(place: Place) {
    place.two_fleets().await;
    let registry = &place.registry;
    delivery_at(&place, "assigned", "del-1").await;
    let step = |to: &str| Transition { to: to.into(), ..Transition::default() };
    let foreign = registry.transition(&driver("d-south"), "del-1", &step("picked_up"), None).await;
    assert!(matches!(foreign, Err(Error::NotFound { .. })));
    let cancelled = registry.transition(&driver("d-north"), "del-1", &step("cancelled"), None).await;
    assert!(matches!(cancelled, Err(Error::Forbidden { .. })));
    let moved = registry.transition(&driver("d-north"), "del-1", &step("picked_up"), None).await.expect("moved");
    assert_eq!(moved.fields["status"], "picked_up");
    let customers = registry.transition(&customer("c-south"), "del-south", &step("delivered"), None).await;
    assert!(matches!(customers, Err(Error::Forbidden { .. })));
}
