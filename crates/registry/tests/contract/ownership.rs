//! Whose things are: what one fleet has neither tells anything to another nor stands in its way, and nobody gets at what is
//! another's by naming it.

use crate::support::postgres::Postgres;
use crate::support::{Place, dispatcher, object};
use drover_access::{Caller, Directory};
use drover_answer::{Problem, ProblemKind};
use drover_database::Database;
use drover_model::Kind;
use drover_registry::resources::{
    CUSTOMERS, DELIVERIES, DEVICES, DRIVERS, FLEETS, MAINTENANCE, ROUTES, STATIONS, VEHICLES,
};
use drover_registry::{Error, Made, Query, Record, Registry, Repeatable, Resource, STEPS, Transition};
use serde_json::{Value, json};
use std::sync::Arc;

fn code(refused: Error) -> String {
    Problem::from(refused).code.into_owned()
}

fn step(to: &str, driver: Option<&str>) -> Transition {
    Transition { to: to.into(), driver_id: driver.map(str::to_owned), ..Transition::default() }
}

pub async fn two_fleets_have_the_same_plate_and_order_and_one_fleet_has_them_once(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let (north, south) = (dispatcher(&["north"]), dispatcher(&["south"]));
    let bodies: [(&'static Resource, Value, &str); 4] = [
        (&VEHICLES, json!({"registration_number": "1001"}), "registration_number"),
        (&VEHICLES, json!({"registration_number": "1002", "vin": "WVW1"}), "vin"),
        (&DELIVERIES, json!({"order_id": "1001"}), "order_id"),
        (&DEVICES, json!({"asset_kind": "other", "asset_id": "crate", "serial": "S-1"}), "serial"),
    ];
    for (resource, body, field) in &bodies {
        let mut of_south = body.clone();
        if *field == "serial" {
            of_south["asset_id"] = "box".into();
        }
        place.try_make(&north, resource, body.clone()).await.expect(field);
        place.try_make(&south, resource, of_south).await.unwrap_or_else(|error| panic!("{field} of south: {error}"));
        let again = place.try_make(&north, resource, body.clone()).await.expect_err(field);
        let problem = Problem::from(again);
        assert_eq!((problem.kind, problem.code.as_ref()), (ProblemKind::Conflict, "already_exists"), "{field}");
    }
    for number in ["none-1", "none-2"] {
        let made = place.try_make(&dev, &VEHICLES, json!({"registration_number": number})).await;
        assert_eq!(made.expect("of no fleet").fields["fleet_id"], Value::Null);
    }
    let again = place.try_make(&dev, &VEHICLES, json!({"registration_number": "none-1"})).await;
    assert_eq!(code(again.expect_err("those of no fleet are a group, too")), "already_exists");
    // Moving into the fleet of the other is looked at as well.
    let made = place.try_make(&dev, &VEHICLES, json!({"registration_number": "1001"})).await.expect("of no fleet");
    let moved = registry.update(&dev, &VEHICLES, &made.id, object(json!({"fleet_id": "south"})), None).await;
    assert_eq!(code(moved.expect_err("south has it")), "already_exists");
}

pub async fn a_refusal_tells_nothing_of_what_a_foreign_fleet_has(place: Place) {
    place.two_fleets().await;
    let north = dispatcher(&["north"]);
    let mut told = Vec::new();
    for number in ["REG-south", "FREE"] {
        let body = json!({"registration_number": number, "fleet_id": "south"});
        told.push(place.try_make(&north, &VEHICLES, body).await.expect_err("not his fleet").to_string());
    }
    assert_eq!(told[0], told[1], "taken there or not");
    place.try_make(&north, &VEHICLES, json!({"registration_number": "REG-south"})).await.expect("free in his own");
    place.try_make(&north, &DELIVERIES, json!({"order_id": "order-south"})).await.expect("free in his own");
}

pub async fn an_order_goes_by_its_number_and_its_id_within_reach(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let (north, south) = (dispatcher(&["north"]), dispatcher(&["south"]));
    let id = async |caller: &Caller, name: &str| registry.order(caller, name).await.map(|found| found.id);
    // North takes the names of south's order for its own.
    for (id, order) in [("thief-1", "del-south"), ("thief-2", "order-south")] {
        place.try_make(&north, &DELIVERIES, json!({"id": id, "order_id": order})).await.expect("made");
    }
    for name in ["del-south", "order-south"] {
        assert_eq!(id(&south, name).await.expect(name), "del-south");
    }
    assert_eq!(id(&north, "del-south").await.expect("its own"), "thief-1");
    assert_eq!(id(&north, "order-south").await.expect("its own"), "thief-2");
    assert_eq!(id(&dev, "del-south").await.expect("a number goes before an id"), "thief-1");
    let both = id(&dev, "order-south").await.expect_err("two fleets have it");
    assert_eq!(code(both), "ambiguous_order");
    registry.transition(&dev, "thief-2", &step("cancelled", None), None).await.expect("over");
    assert_eq!(id(&dev, "order-south").await.expect("one under way goes first"), "del-south");
    for unknown in ["no-such", "no such", ""] {
        assert!(matches!(id(&dev, unknown).await, Err(Error::NotFound { .. })), "{unknown:?}");
    }
    let under_way: Vec<String> =
        registry.underway().of_order("del-south").iter().map(|passage| passage.delivery_id.to_string()).collect();
    assert_eq!(under_way, ["thief-1"]);
    assert_eq!(registry.underway().of_order("order-south").len(), 1, "the other one is over");
}

pub async fn stops_name_what_is_there_and_within_reach(place: Place) {
    place.two_fleets().await;
    let (registry, north) = (&place.registry, dispatcher(&["north"]));
    for fleet in ["north", "south"] {
        let station =
            json!({"id": format!("s-{fleet}"), "fleet_id": fleet, "name": fleet, "latitude": 1, "longitude": 2});
        place.make(&STATIONS, station).await;
    }
    let stop = |field: &str, id: &str| json!({"latitude": 1, "longitude": 2, field: id});
    let route = |stops: Value| json!({"id": "r-1", "date": "2026-01-01", "stops": stops});
    for (field, id, singular) in [
        ("station_id", "nope", "station"),
        ("station_id", "s-south", "station"),
        ("delivery_id", "nope", "delivery"),
        ("delivery_id", "del-south", "delivery"),
    ] {
        let stops = json!([stop("delivery_id", "del-north"), stop(field, id)]);
        let Err(Error::Invalid { field: told, message }) = place.try_make(&north, &ROUTES, route(stops)).await else {
            panic!("{field} {id} must be refused")
        };
        assert_eq!(told, format!("stops[1].{field}"));
        assert_eq!(message, format!("stops[1].{field}: there is no {singular} {id:?}"));
    }
    let stops = json!([stop("delivery_id", "del-north"), stop("station_id", "s-north"), stop("name", "a gate")]);
    let made = place.try_make(&north, &ROUTES, route(stops.clone())).await.expect("all there");
    registry.remove(&Caller::dev(), &STATIONS, "s-north", None).await.expect("removed");
    let mut later = made.fields["stops"].clone();
    later[2]["done"] = true.into();
    let patch = object(json!({"stops": later}));
    let changed = registry.update(&north, &ROUTES, "r-1", patch, None).await.expect("what it named before may stay");
    assert_eq!(changed.fields["stops"][2]["done"], true);
    later[2]["station_id"] = "s-south".into();
    let refused = registry.update(&north, &ROUTES, "r-1", object(json!({"stops": later})), None).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })));
}

pub async fn an_id_with_a_past_is_for_who_reaches_all_fleets(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let (north, both) = (dispatcher(&["north"]), dispatcher(&["north", "south"]));
    let reported =
        [(Kind::Vehicle, "v-seen"), (Kind::Driver, "d-seen"), (Kind::Station, "s-seen"), (Kind::Rider, "r-seen")];
    registry.ask_before_claims(Arc::new(move |kind, id| reported.contains(&(kind, id))));
    let vehicle = |id: &str| json!({"id": id, "registration_number": id});
    let rider = |id: &str| json!({"asset_kind": "rider", "asset_id": id});
    let place_of = |id: &str| json!({"id": id, "name": id, "latitude": 1, "longitude": 2});
    let seen: [(&'static Resource, Value); 4] = [
        (&VEHICLES, vehicle("v-seen")),
        (&DRIVERS, json!({"id": "d-seen", "name": "D"})),
        (&STATIONS, place_of("s-seen")),
        (&DEVICES, rider("r-seen")),
    ];
    for (resource, body) in seen {
        let problem = Problem::from(place.try_make(&north, resource, body.clone()).await.expect_err(resource.name));
        assert_eq!(
            (problem.kind, problem.code.as_ref()),
            (ProblemKind::Conflict, "id_has_a_past"),
            "{}",
            resource.name
        );
        assert!(problem.help.contains("an administrator of all fleets"), "{}", problem.help);
        assert_eq!(
            code(registry.would_create(&north, resource, object(body.clone())).await.expect_err("too")),
            "id_has_a_past"
        );
        let mut body = body;
        body["fleet_id"] = "north".into();
        place.try_make(&dev, resource, body).await.expect("an administrator of all fleets");
    }
    let second = place.try_make(&north, &DEVICES, rider("r-seen")).await.expect("the rider is his by now");
    place
        .try_make(&north, &VEHICLES, json!({"id": "d-seen", "registration_number": "another kind"}))
        .await
        .expect("new");
    let device = place.try_make(&north, &DEVICES, rider("r-new")).await.expect("made");
    registry.remove(&north, &DEVICES, &second.id, None).await.expect("removed");
    let moved = registry.update(&north, &DEVICES, &device.id, object(json!({"asset_id": "d-seen"})), None).await;
    moved.expect("no rider of that id has reported");

    // Registered elsewhere once, and never heard of.
    registry.remove(&dev, &DELIVERIES, "del-south", None).await.expect("removed");
    for (resource, id) in [(&VEHICLES, "v-south"), (&DRIVERS, "d-south"), (&CUSTOMERS, "c-south")] {
        registry.remove(&dev, resource, id, None).await.expect("removed");
    }
    let devices = place.try_make(&dispatcher(&["south"]), &DEVICES, rider("r-south")).await.expect("made");
    registry.remove(&dev, &DEVICES, &devices.id, None).await.expect("removed");
    for (resource, body) in [
        (&VEHICLES, vehicle("v-south")),
        (&DRIVERS, json!({"id": "d-south", "name": "D"})),
        (&CUSTOMERS, json!({"id": "c-south", "name": "C"})),
        (&DEVICES, rider("r-south")),
    ] {
        let refused = place.try_make(&north, resource, body.clone()).await.expect_err(resource.name);
        assert_eq!(code(refused), "id_has_a_past");
        let mut body = body;
        body["fleet_id"] = "north".into();
        place.try_make(&both, resource, body).await.expect("who reaches the fleet where it was");
    }
    // One that went to another fleet belongs to the past of both.
    registry.update(&dev, &VEHICLES, "v-north", object(json!({"fleet_id": "south"})), None).await.expect("moved");
    registry.remove(&dev, &VEHICLES, "v-north", None).await.expect("removed");
    assert_eq!(
        code(place.try_make(&north, &VEHICLES, vehicle("v-north")).await.expect_err("of both")),
        "id_has_a_past"
    );
}

pub async fn a_delivery_is_given_to_nobody_who_was_erased_or_removed(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    place.make(&DRIVERS, json!({"id": "d-gone", "name": "Gone", "fleet_id": "north"})).await;
    place.make(&DRIVERS, json!({"id": "d-removed", "name": "Gone", "fleet_id": "north"})).await;
    registry.transition(&dev, "del-north", &step("assigned", Some("d-gone")), None).await.expect("assigned");
    registry.transition(&dev, "del-north", &step("failed", None), None).await.expect("failed");
    registry.erase_person(&dev, &DRIVERS, "d-gone").await.expect("erased");
    registry.remove(&dev, &DRIVERS, "d-removed", None).await.expect("removed");
    for driver in ["d-gone", "d-removed"] {
        let body = json!({"order_id": "x", "driver_id": driver});
        assert!(matches!(place.try_make(&dev, &DELIVERIES, body).await, Err(Error::Invalid { .. })), "{driver}");
        let patch = object(json!({"driver_id": driver}));
        let changed = registry.update(&dev, &DELIVERIES, "del-south", patch, None).await;
        assert!(matches!(changed, Err(Error::Invalid { .. })), "{driver}");
        let moved = registry.transition(&dev, "del-south", &step("assigned", Some(driver)), None).await;
        assert!(matches!(moved, Err(Error::Invalid { .. })), "{driver}");
    }
    let again = registry.transition(&dev, "del-north", &step("assigned", None), None).await;
    assert!(matches!(again, Err(Error::Invalid { .. })), "also one who is named already: {again:?}");
    registry.transition(&dev, "del-north", &step("returned", None), None).await.expect("what is out comes to its end");
}

pub async fn what_would_be_is_checked_as_what_is_and_leaves_nothing(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let newest = async || registry.changes_since(0, 1000).await.expect("changes").len();
    let before = newest().await;
    for (body, code_is) in [
        (json!({"id": "v-south", "registration_number": "NEW"}), "already_exists"),
        (json!({"registration_number": "REG-north", "fleet_id": "north"}), "already_exists"),
        (json!({"registration_number": "NEW", "depot_id": "nope"}), "invalid_field"),
    ] {
        let would = registry.would_create(&dev, &VEHICLES, object(body.clone())).await.expect_err("refused");
        assert_eq!((code(would).as_str(), &body), (code_is, &body));
    }
    registry
        .would_create(&dev, &VEHICLES, object(json!({"id": "v-1", "registration_number": "N"})))
        .await
        .expect("new");
    let would = async |patch: Value| registry.would_update(&dev, &VEHICLES, "v-north", object(patch)).await;
    assert!(would(json!({"make": "Fiat"})).await.expect("a change"));
    assert!(!would(json!({"registration_number": "REG-north"})).await.expect("none"));
    assert!(would(json!({"class": "ship"})).await.is_err());
    assert_eq!(newest().await, before);
    assert!(registry.get(&dev, &VEHICLES, "v-1").await.is_err());
    let page = registry.list(&dev, &VEHICLES, &Query::default()).await.expect("a page");
    assert!(page.records.iter().all(|record| record.fields["make"].is_null() && record.version == 1));
}

pub async fn a_move_that_comes_again_moves_nothing_twice(place: Place) {
    place.two_fleets().await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let request = Repeatable { word: "w", body: br#"{"status":"cancelled"}"# };
    let cancelled = step("cancelled", None);
    let once =
        async |registry: &Registry, id: &str| registry.transition_once(&dev, id, &cancelled, None, request).await;
    assert!(registry.moved_before(&dev, "del-north", request).await.expect("none").is_none());
    let Made::Now(first) = once(registry, "del-north").await.expect("moved") else { panic!("the first") };
    assert_eq!(once(registry, "del-north").await.expect("known"), Made::Before(first.clone()));
    let other_node = place.another_node().await;
    assert_eq!(once(&other_node, "del-north").await.expect("known there"), Made::Before(first.clone()));
    assert_eq!(registry.moved_before(&dev, "del-north", request).await.expect("known"), Some(first));
    assert!(matches!(once(registry, "del-south").await, Err(Error::WordReused)), "another delivery");
    let refused = registry.moved_before(&dev, "del-south", request).await;
    assert!(matches!(refused, Err(Error::WordReused)));
    assert_eq!(registry.events_of(&dev, "del-north").await.expect("events").len(), 2);
}

pub async fn an_erased_customer_takes_nothing_from_a_foreign_rider_of_that_id(place: Place) {
    place.two_fleets().await;
    let (registry, north) = (&place.registry, dispatcher(&["north"]));
    place.make(&CUSTOMERS, json!({"id": "r-1", "name": "Rita", "fleet_id": "north"})).await;
    let foreign = json!({"id": "dev-s", "asset_kind": "rider", "asset_id": "r-1", "name": "Sam", "fleet_id": "south"});
    place.make(&DEVICES, foreign).await;
    registry.erase_person(&north, &CUSTOMERS, "r-1").await.expect("erased");
    let device = async || registry.get(&Caller::dev(), &DEVICES, "dev-s").await.expect("there");
    assert_eq!(device().await.fields["name"], "Sam");
    registry.erase_person(&Caller::dev(), &CUSTOMERS, "r-1").await.expect("erased again");
    assert_eq!(device().await.fields["name"], Value::Null, "who reaches it erases it");
}

/// Tables as they were when plates were unique over all fleets, with records that refer to each other.
async fn what_refers_to_a_vehicle_stays_when_its_table_is_made_anew(url: String) {
    let database = Database::open(&url).await.expect("opens");
    database.migrate("registry", &STEPS[..5]).await.expect("as it was released");
    for sql in [
        "INSERT INTO fleets (id, version, created_at, updated_at, name) VALUES ('f', 1, 5, 5, 'F'), ('g', 1, 5, 5, 'G')",
        "INSERT INTO vehicles (id, version, created_at, updated_at, registration_number, fleet_id, capacity_kg) \
         VALUES ('v', 1, 5, 5, 'P-1', 'f', 2.5)",
        "INSERT INTO drivers (id, version, created_at, updated_at, fleet_id, vehicle_id) VALUES ('d', 1, 5, 5, 'f', 'v')",
        "INSERT INTO maintenance_records (id, version, created_at, updated_at, vehicle_id, date, kind) \
         VALUES ('m', 1, 5, 5, 'v', '2026-01-01', 'repair')",
        "INSERT INTO deliveries (id, version, created_at, updated_at, order_id, tracking_number, vehicle_id, driver_id, \
         fleet_id, status) VALUES ('del', 1, 5, 5, '1001', 'T', 'v', 'd', 'f', 'created')",
        "INSERT INTO devices (id, version, created_at, updated_at, asset_kind, asset_id, serial, fleet_id) \
         VALUES ('dev', 1, 5, 5, 'vehicle', 'v', 'S-1', 'f')",
        "INSERT INTO outbox (resource, id, op, version, time_ms, actor, fleet_id) \
         VALUES ('vehicles', 'v-old', 'remove', 1, 5, 'x', 'f')",
    ] {
        sqlx::query(sql).execute(database.pool()).await.expect(sql);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let vault = drover_vault::Vault::open(folder.path()).expect("a vault");
    let registry = Registry::open(database, vault, Directory::default()).await.expect("brought forward");
    let dev = Caller::dev();
    let get =
        async |resource: &'static Resource, id: &str| -> Record { registry.get(&dev, resource, id).await.expect(id) };
    let vehicle = get(&VEHICLES, "v").await;
    assert_eq!((&vehicle.fields["capacity_kg"], &vehicle.fields["registration_number"]), (&json!(2.5), &json!("P-1")));
    for (resource, id) in [(&DRIVERS, "d"), (&MAINTENANCE, "m"), (&DELIVERIES, "del")] {
        assert_eq!(get(resource, id).await.fields["vehicle_id"], "v", "{id}");
    }
    assert_eq!(get(&DEVICES, "dev").await.fields["serial"], "S-1");
    let held = registry.remove(&dev, &VEHICLES, "v", None).await;
    assert!(matches!(held, Err(Error::Conflict { code: "in_use", .. })));
    let dangling =
        "INSERT INTO drivers (id, version, created_at, updated_at, vehicle_id) VALUES ('e', 1, 5, 5, 'nope')";
    assert!(sqlx::query(dangling).execute(registry.database().pool()).await.is_err(), "references are still kept");
    let make = async |caller: &Caller, body: Value| registry.create(caller, &VEHICLES, object(body)).await;
    make(&dev, json!({"registration_number": "P-1", "fleet_id": "g"})).await.expect("another fleet");
    make(&dev, json!({"registration_number": "P-1", "fleet_id": "f"})).await.expect_err("the same fleet");
    let of_g = dispatcher(&["g"]);
    let claimed = make(&of_g, json!({"id": "v-old", "registration_number": "P-2"})).await.expect_err("removed in f");
    assert_eq!(code(claimed), "id_has_a_past");
    assert_eq!(registry.list(&dev, &FLEETS, &Query::default()).await.expect("a page").total, 2);
}

#[tokio::test]
async fn on_sqlite_what_refers_to_a_vehicle_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    what_refers_to_a_vehicle_stays_when_its_table_is_made_anew(format!("sqlite://{}/r.db", folder.path().display()))
        .await;
}

#[tokio::test]
async fn on_postgres_what_refers_to_a_vehicle_stays() {
    let server = tokio::task::spawn_blocking(Postgres::shared).await.expect("a server");
    what_refers_to_a_vehicle_stays_when_its_table_is_made_anew(server.new_database()).await;
}
