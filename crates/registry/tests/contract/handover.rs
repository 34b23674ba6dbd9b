//! What holds between the people of a delivery: with whom it stays, what each is told of the other, and how its route hears
//! of it.

use crate::support::{Place, customer, dispatcher, driver, object};
use drover_access::Caller;
use drover_answer::Problem;
use drover_registry::resources::{CUSTOMERS, DELIVERIES, DRIVERS, ROUTES, VEHICLES};
use drover_registry::{Error, Transition};
use serde_json::{Value, json};

fn step(to: &str) -> Transition {
    Transition { to: to.into(), ..Transition::default() }
}

async fn moved(place: &Place, id: &str, way: &[&str]) {
    for to in way {
        place.registry.transition(&Caller::dev(), id, &step(to), None).await.expect(to);
    }
}

fn code(refused: Error) -> (String, Option<String>) {
    let problem = Problem::from(refused);
    (problem.code.into_owned(), problem.field.map(|field| field.into_owned()))
}

pub async fn a_delivery_stays_with_whom_it_is_once_it_was_picked_up(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let change = async |id: &str, patch: Value| registry.update(&dev, &DELIVERIES, id, object(patch), None).await;
    let others = [("driver_id", "d-south"), ("customer_id", "c-south"), ("vehicle_id", "v-south")];
    for (status, way, refused) in [
        ("created", &[][..], None),
        ("assigned", &["assigned"][..], None),
        ("picked_up", &["assigned", "picked_up"], Some("under_way")),
        ("out_for_delivery", &["assigned", "picked_up", "out_for_delivery"], Some("under_way")),
        ("arrived", &["assigned", "picked_up", "out_for_delivery", "arrived"], Some("under_way")),
        ("failed", &["assigned", "failed"], None),
        ("delivered", &["assigned", "picked_up", "out_for_delivery", "delivered"], Some("at_its_end")),
        ("returned", &["assigned", "failed", "returned"], Some("at_its_end")),
        ("cancelled", &["assigned", "cancelled"], Some("at_its_end")),
    ] {
        let of = json!({"id": status, "driver_id": "d-north", "customer_id": "c-north", "vehicle_id": "v-north"});
        let made = place.make(&DELIVERIES, of).await;
        moved(&place, status, way).await;
        for (field, id) in others {
            match (change(status, json!({field: id})).await, refused) {
                (Ok(changed), None) => assert_eq!(changed.fields[field], id, "{status}"),
                (Err(error), Some(expected)) => {
                    assert_eq!(code(error), (expected.to_owned(), Some(field.to_owned())), "{status}");
                }
                (other, _) => panic!("{status} {field}: {other:?}"),
            }
        }
        let now = registry.get(&dev, &DELIVERIES, status).await.expect("there");
        assert_eq!(now.fields["driver_id"] == made.fields["driver_id"], refused.is_some(), "{status}");
        change(status, json!({"weight_kg": 2})).await.expect("the rest may change");
    }
    // Nor by the way of a transition that names somebody.
    let to_another = Transition { driver_id: Some("d-south".into()), ..step("arrived") };
    let refused = registry.transition(&dev, "out_for_delivery", &to_another, None).await.expect_err("out with another");
    assert_eq!(code(refused).0, "under_way");
    moved(&place, "out_for_delivery", &["failed"]).await;
    let again = Transition { driver_id: Some("d-south".into()), ..step("assigned") };
    registry.transition(&dev, "out_for_delivery", &again, None).await.expect("failed first, then assigned again");
}

pub async fn another_driver_of_an_assigned_delivery_leaves_an_event(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let change = async |patch: Value| {
        registry.update(&dev, &DELIVERIES, "del-north", object(patch), None).await.expect("changed");
        let events = registry.events_of(&dev, "del-north").await.expect("events");
        events.into_iter().map(|event| event.event_type).collect::<Vec<_>>()
    };
    assert_eq!(change(json!({"driver_id": "d-north"})).await, ["created"], "nobody was sent yet");
    moved(&place, "del-north", &["assigned"]).await;
    assert_eq!(change(json!({"weight_kg": 2})).await, ["created", "assigned"]);
    assert_eq!(change(json!({"driver_id": "d-south"})).await, ["created", "assigned", "assigned"]);
    assert_eq!(change(json!({"driver_id": "d-south"})).await.len(), 3, "the same");
    moved(&place, "del-north", &["failed"]).await;
    assert_eq!(change(json!({"driver_id": "d-north"})).await.len(), 4, "it is assigned by a transition");
}

pub async fn a_stop_of_a_route_shows_what_became_of_its_delivery(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let stop = |delivery: &str| json!({"latitude": 52.5, "longitude": 13.4, "delivery_id": delivery});
    for id in ["del_1", "delx1", "del-3"] {
        place.make(&DELIVERIES, json!({"id": id, "driver_id": "d-north", "fleet_id": "north"})).await;
    }
    let route = |id: &str, status: &str| {
        let stops = json!([stop("del_1"), stop("delx1"), {"latitude": 1.0, "longitude": 2.0, "done": true}]);
        json!({"id": id, "date": "2026-11-22", "fleet_id": "north", "status": status, "stops": stops})
    };
    place.make(&ROUTES, route("r-1", "active")).await;
    place.make(&ROUTES, route("r-over", "completed")).await;
    let stops = async |id: &str| registry.get(&dev, &ROUTES, id).await.expect("there").fields["stops"].clone();
    let shown = async || {
        let stops = stops("r-1").await;
        let told = |stop: &Value| (stop["outcome"].as_str().map(str::to_owned), stop["done"].as_bool());
        stops.as_array().expect("stops").iter().map(told).collect::<Vec<_>>()
    };
    let one = |outcome: Option<&str>| {
        vec![(outcome.map(str::to_owned), outcome.map(|_| true)), (None, None), (None, Some(true))]
    };
    moved(&place, "del_1", &["assigned", "picked_up", "out_for_delivery"]).await;
    assert_eq!(shown().await, one(None));
    assert_eq!(registry.get(&dev, &ROUTES, "r-1").await.expect("there").version, 1);
    registry.transition(&driver("d-north"), "del_1", &step("failed"), None).await.expect("by its driver");
    assert_eq!(shown().await, one(Some("failed")), "this delivery's only, though names are alike");
    let changes = registry.changes_since(0, 1000).await.expect("changes");
    let last = changes.last().expect("one");
    assert_eq!((&*last.resource, &*last.id, &*last.op, last.version), ("routes", "r-1", "update", 2));
    assert_eq!(last.actor, "user/driver");
    assert_eq!(last.after.as_ref().expect("after")["stops"][0]["outcome"], "failed");
    moved(&place, "del_1", &["assigned"]).await;
    assert_eq!(shown().await, one(None), "it is brought again");
    moved(&place, "del_1", &["picked_up", "out_for_delivery", "delivered"]).await;
    assert_eq!(shown().await, one(Some("delivered")));
    assert_eq!(stops("r-over").await[0].get("outcome"), None, "a route that is over stays as it is");

    // Whoever writes the route makes nothing up, and takes nothing away.
    let mut written = stops("r-1").await;
    let version = registry.get(&dev, &ROUTES, "r-1").await.expect("there").version;
    let same = registry.update(&dev, &ROUTES, "r-1", object(json!({"stops": written})), None).await.expect("sent back");
    assert_eq!(same.version, version);
    written[0].as_object_mut().expect("a stop").retain(|name, _| !matches!(name.as_str(), "outcome" | "done"));
    written[1]["outcome"] = "delivered".into();
    registry.update(&dev, &ROUTES, "r-1", object(json!({"stops": written})), None).await.expect("changed");
    assert_eq!(shown().await, one(Some("delivered")));
    let late = json!({"id": "r-2", "date": "2026-11-22", "fleet_id": "north", "stops": [stop("del_1")]});
    assert_eq!(place.make(&ROUTES, late).await.fields["stops"][0]["outcome"], "delivered");
    // The route that a delivery itself names hears of it also when it is over.
    let over = json!({"id": "r-3", "date": "2026-11-22", "status": "completed", "stops": [stop("del-3")]});
    place.make(&ROUTES, over).await;
    registry.update(&dev, &DELIVERIES, "del-3", object(json!({"route_id": "r-3"})), None).await.expect("on it");
    moved(&place, "del-3", &["cancelled"]).await;
    assert_eq!(stops("r-3").await[0]["outcome"], "cancelled");
}

pub async fn a_driver_is_told_who_waits_until_the_delivery_is_at_its_end(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let phone = object(json!({"phone": "+49 30 1", "address": "Gasse 7"}));
    registry.update(&dev, &CUSTOMERS, "c-north", phone, None).await.expect("changed");
    let assigned = Transition { driver_id: Some("d-north".into()), ..step("assigned") };
    registry.transition(&dev, "del-north", &assigned, None).await.expect("assigned");
    let (north, south) = (driver("d-north"), driver("d-south"));
    let told = registry.contact_of(&north, "del-north").await.expect("his delivery");
    assert_eq!(
        serde_json::to_value(&told).expect("JSON"),
        json!({"delivery_id": "del-north", "customer_id": "c-north", "name": "Cleo-north", "phone": "+49 30 1"})
    );
    assert!(matches!(registry.get(&north, &CUSTOMERS, "c-north").await, Err(Error::NotFound { .. })), "and no more");
    for other in [&south, &customer("c-south"), &dispatcher(&["south"])] {
        let hidden = registry.contact_of(other, "del-north").await;
        assert!(matches!(hidden, Err(Error::NotFound { .. })), "{other:?}");
    }
    assert_eq!(registry.contact_of(&customer("c-north"), "del-north").await.expect("himself"), told);
    assert_eq!(registry.contact_of(&dispatcher(&["north"]), "del-north").await.expect("in reach"), told);
    // One whose customer is another fleet's: its driver needs him, a dispatcher does not reach him.
    let body = json!({"id": "del-x", "fleet_id": "north", "customer_id": "c-south", "driver_id": "d-north"});
    place.make(&DELIVERIES, body).await;
    assert_eq!(registry.contact_of(&north, "del-x").await.expect("his").name.as_deref(), Some("Cleo-south"));
    let out_of_reach = registry.contact_of(&dispatcher(&["north"]), "del-x").await;
    assert!(matches!(out_of_reach, Err(Error::NotFound { .. })));
    registry.erase_person(&dev, &CUSTOMERS, "c-south").await.expect("erased");
    let erased = registry.contact_of(&north, "del-x").await.expect("his still");
    assert_eq!((erased.name, erased.phone), (None, None));
    moved(&place, "del-north", &["failed"]).await;
    registry.contact_of(&north, "del-north").await.expect("it is still his");
    moved(&place, "del-north", &["returned"]).await;
    let over = registry.contact_of(&north, "del-north").await;
    assert!(matches!(over, Err(Error::Forbidden { .. })), "{over:?}");
    registry.contact_of(&dispatcher(&["north"]), "del-north").await.expect("others go by their reach");
    let nobody = place.make(&DELIVERIES, json!({"id": "del-nobody", "driver_id": "d-north"})).await;
    assert_eq!(registry.contact_of(&north, &nobody.id).await.expect("his").customer_id, None);
}

pub async fn a_customer_says_how_a_delivery_is_handed_over_until_it_is_picked_up(place: Place) {
    place.two_fleets().await;
    let (registry, dev, waiting) = (&place.registry, Caller::dev(), customer("c-north"));
    let say =
        async |caller: &Caller, text: Value, version| registry.instruct(caller, "del-north", &text, version).await;
    let said = say(&waiting, json!("Ring twice."), None).await.expect("said");
    assert_eq!((&said.fields["instructions"], said.version), (&json!("Ring twice."), 2));
    assert_eq!(say(&waiting, json!("Ring twice."), None).await.expect("the same").version, 2);
    assert!(matches!(say(&waiting, json!("Knock."), Some(1)).await, Err(Error::Stale { .. })));
    assert!(matches!(say(&customer("c-south"), json!("x"), None).await, Err(Error::NotFound { .. })));
    for wrong in [json!(""), json!(5), json!("x".repeat(2001))] {
        assert!(matches!(say(&waiting, wrong, None).await, Err(Error::Invalid { .. })));
    }
    let changes = registry.changes_since(0, 1000).await.expect("changes");
    let last = changes.last().expect("one");
    assert_eq!((&*last.resource, &*last.id, &*last.actor), ("deliveries", "del-north", "user/customer"));
    assert!(!serde_json::to_string(&changes).expect("JSON").contains("Ring twice"));
    let assigned = Transition { driver_id: Some("d-north".into()), ..step("assigned") };
    registry.transition(&dev, "del-north", &assigned, None).await.expect("assigned");
    assert_eq!(say(&waiting, Value::Null, None).await.expect("taken back").fields["instructions"], Value::Null);
    say(&waiting, json!("Ring once."), None).await.expect("said");
    let read = registry.get(&driver("d-north"), &DELIVERIES, "del-north").await.expect("his");
    assert_eq!(read.fields["instructions"], "Ring once.");
    moved(&place, "del-north", &["picked_up"]).await;
    assert_eq!(code(say(&waiting, json!("Wait."), None).await.expect_err("too late")).0, "too_late");
}

pub async fn a_refusal_names_nothing_that_is_out_of_reach(place: Place) {
    use drover_registry::resources::{ASSIGNMENTS, DEPOTS};
    place.two_fleets().await;
    let (registry, dev, north) = (&place.registry, Caller::dev(), dispatcher(&["north"]));
    // A driver of the other fleet has a vehicle of this one.
    let foreign = json!({"id": "as-secret", "driver_id": "d-south", "vehicle_id": "v-north",
        "starts_at": "2026-03-10T00:00:00Z", "ends_at": "2026-03-20T00:00:00Z"});
    place.make(&ASSIGNMENTS, foreign).await;
    let overlapping = json!({"driver_id": "d-north", "vehicle_id": "v-north",
        "starts_at": "2026-03-15T00:00:00Z", "ends_at": "2026-03-16T00:00:00Z"});
    let told = async |caller: &Caller| {
        let refused = place.try_make(caller, &ASSIGNMENTS, overlapping.clone()).await.expect_err("overlaps");
        assert!(matches!(refused, Error::Conflict { code: "overlap", .. }), "{refused:?}");
        refused.to_string()
    };
    let (all, some) = (told(&dev).await, told(&north).await);
    assert!(all.contains("\"as-secret\" from 2026-03-10T00:00:00Z until 2026-03-20T00:00:00Z"), "{all}");
    assert_eq!(some, "vehicle_id \"v-north\" is taken for a part of that time");

    let removed = async |caller: &Caller| {
        let refused = registry.remove(caller, &VEHICLES, "v-north", None).await.expect_err("named");
        assert!(matches!(refused, Error::Conflict { code: "in_use", .. }), "{refused:?}");
        refused.to_string()
    };
    assert!(removed(&dev).await.contains("refers to the vehicle \"v-north\""));
    let some = removed(&north).await;
    assert_eq!(some, "something that is not within your reach refers to the vehicle \"v-north\"");
    // What is within reach is named, though something foreign refers to it as well.
    let own = json!({"id": "as-own", "driver_id": "d-north", "vehicle_id": "v-north",
        "starts_at": "2026-04-10T00:00:00Z", "ends_at": "2026-04-20T00:00:00Z"});
    place.try_make(&north, &ASSIGNMENTS, own).await.expect("made");
    assert!(removed(&north).await.contains("assignment \"as-own\""), "{}", removed(&north).await);
    let refused = registry.remove(&north, &DRIVERS, "d-north", None).await.expect_err("named").to_string();
    assert!(refused.contains("as-own"), "{refused}");
    // Nor what the caller may not read, wherever it is.
    place.make(&DEPOTS, json!({"id": "dep-1", "name": "D", "latitude": 1, "longitude": 2, "fleet_id": "north"})).await;
    let patch = object(json!({"depot_id": "dep-1"}));
    registry.update(&dev, &VEHICLES, "v-north", patch, None).await.expect("changed");
    let narrow = drover_access::Permissions::of(&[drover_access::Permission::StationsWrite]);
    let narrow = Caller::new(drover_access::Principal { may: narrow, ..(*north).clone() });
    let refused = registry.remove(&narrow, &DEPOTS, "dep-1", None).await.expect_err("named").to_string();
    assert!(!refused.contains("v-north"), "{refused}");
}
