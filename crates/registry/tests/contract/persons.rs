//! Personal fields: sealed, found, exported, erased.

use crate::support::{Place, object};
use drover_access::Caller;
use drover_registry::resources::{ASSIGNMENTS, CUSTOMERS, DELIVERIES, DEVICES, DRIVERS, FLEETS, ROUTES, VEHICLES};
use drover_registry::{Comparison, Error, Query, RESOURCES, Transition};
use serde_json::{Value, json};
use sqlx::Row;

/// Every text in every table.
async fn everything(place: &Place) -> String {
    let mut all = String::new();
    let mut tables: Vec<&str> = RESOURCES.iter().map(|resource| resource.table).collect();
    tables.extend(["outbox", "delivery_events"]);
    for table in tables {
        let sql = sqlx::AssertSqlSafe(format!("SELECT * FROM {table}"));
        for row in sqlx::query(sql).fetch_all(place.database.pool()).await.expect("rows") {
            for at in 0..row.len() {
                if let Ok(Some(text)) = row.try_get::<Option<String>, _>(at) {
                    all.push_str(&text);
                    all.push('\n');
                }
            }
        }
    }
    all
}

const PERSONAL: [&str; 9] =
    ["Cleo", "cleo@example.com", "+49 30 1234", "Gasse 7", "ring twice", "vip", "Dana", "L-4711", "signed by Cleo"];

async fn a_person(place: &Place) {
    place.make(&FLEETS, json!({"id": "f", "name": "F"})).await;
    let body = json!({"id": "c-1", "name": "Cleo", "email": "cleo@example.com", "phone": "+49 30 1234",
        "address": "Gasse 7", "fleet_id": "f", "attributes": {"note": "vip"}});
    place.make(&CUSTOMERS, body).await;
    let body = json!({"id": "d-1", "name": "Dana", "license_number": "L-4711", "fleet_id": "f"});
    place.make(&DRIVERS, body).await;
    let body = json!({"id": "del-1", "order_id": "o-1", "customer_id": "c-1", "dropoff_address": "Gasse 7",
        "dropoff_latitude": 52.512345, "dropoff_longitude": 13.4, "instructions": "ring twice", "fleet_id": "f"});
    place.make(&DELIVERIES, body).await;
    let data = Some(object(json!({"proof": "signed by Cleo"})));
    let step = Transition { to: "assigned".into(), driver_id: Some("d-1".into()), data, ..Transition::default() };
    place.registry.transition(&Caller::dev(), "del-1", &step, None).await.expect("moved");
}

pub async fn personal_fields_cannot_be_read_in_the_tables(place: Place) {
    a_person(&place).await;
    let all = everything(&place).await;
    assert!(all.contains("o-1"), "the tables were read");
    for word in PERSONAL {
        assert!(!all.contains(word), "{word} is in the clear");
    }
    let record = place.registry.get(&Caller::dev(), &DELIVERIES, "del-1").await.expect("read");
    assert_eq!((&record.fields["instructions"], record.erased), (&json!("ring twice"), false));
}

pub async fn a_customer_is_found_by_the_whole_address(place: Place) {
    a_person(&place).await;
    let (registry, dev) = (&place.registry, Caller::dev());
    for (field, value) in [("email", " CLEO@example.com "), ("phone", "+49301234")] {
        let found = registry.find_by(&dev, &CUSTOMERS, field, value).await.expect("found");
        assert_eq!(found.id, "c-1", "{field}");
    }
    assert!(matches!(
        registry.find_by(&dev, &CUSTOMERS, "email", "leo@example.com").await,
        Err(Error::NotFound { .. })
    ));
    let search = Query { search: Some("cleo@example.com".into()), ..Query::default() };
    assert_eq!(registry.list(&dev, &CUSTOMERS, &search).await.expect("a page").total, 1);
    let sealed = Query { filters: vec![("name".into(), Comparison::Eq, "Cleo".into())], ..Query::default() };
    assert!(matches!(registry.list(&dev, &CUSTOMERS, &sealed).await, Err(Error::Invalid { .. })));
    let by_order = registry.find_by(&dev, &DELIVERIES, "order_id", "o-1").await.expect("found");
    let number = by_order.text("tracking_number").expect("a number");
    assert_eq!(registry.find_by(&dev, &DELIVERIES, "tracking_number", number).await.expect("found"), by_order);
    assert!(matches!(registry.find_by(&dev, &DELIVERIES, "order_id", "no id").await, Err(Error::NotFound { .. })));
}

pub async fn who_was_erased_is_nowhere(place: Place) {
    a_person(&place).await;
    let (registry, dev) = (&place.registry, Caller::dev());
    let kept =
        sqlx::query("SELECT name, email_blind FROM customers").fetch_one(place.database.pool()).await.expect("a row");
    let (sealed, index): (String, String) = (kept.get(0), kept.get(1));
    registry.erase_person(&dev, &CUSTOMERS, "c-1").await.expect("erased");
    let record = registry.get(&dev, &CUSTOMERS, "c-1").await.expect("read");
    assert!(record.erased);
    for field in ["name", "email", "phone", "address", "attributes"] {
        assert_eq!(record.fields[field], Value::Null, "{field}");
    }
    assert_eq!(record.to_json()["erased"], true);
    let delivery = registry.get(&dev, &DELIVERIES, "del-1").await.expect("read");
    assert_eq!((delivery.erased, &delivery.fields["dropoff_address"]), (true, &Value::Null));
    assert_eq!(delivery.fields["dropoff_latitude"], Value::Null, "where somebody lives is about the person too");
    let events = registry.events_of(&dev, "del-1").await.expect("events");
    assert_eq!((events.len(), &events[1].data), (2, &None), "the history stays, without what was about the person");
    let gone = registry.find_by(&dev, &CUSTOMERS, "email", "cleo@example.com").await;
    assert!(matches!(gone, Err(Error::NotFound { .. })));
    let all = everything(&place).await;
    assert!(!all.contains(&sealed) && !all.contains(&index), "sealed text and index are gone");
    let last = registry.changes_since(0, 100).await.expect("changes").pop().expect("a change");
    assert_eq!((last.op.as_str(), last.id.as_str()), ("erase", "c-1"));

    let blocked = registry.update(&dev, &CUSTOMERS, "c-1", object(json!({"status": "blocked"})), None).await;
    assert!(blocked.expect("other fields change").erased);
    let named = registry.update(&dev, &CUSTOMERS, "c-1", object(json!({"name": "Cleo"})), None).await;
    assert!(matches!(named, Err(Error::Conflict { code: "person_erased", .. })));
    registry.erase_person(&dev, &CUSTOMERS, "c-1").await.expect("twice does no harm");
    assert!(matches!(registry.erase_person(&dev, &VEHICLES, "v").await, Err(Error::Invalid { .. })));

    // A restored older table: what was sealed for the person cannot be opened.
    let put_back = sqlx::query("UPDATE customers SET name = $1, email_blind = $2, erased = 0").bind(sealed).bind(index);
    put_back.execute(place.database.pool()).await.expect("put back");
    let record = registry.get(&dev, &CUSTOMERS, "c-1").await.expect("read");
    assert_eq!((record.erased, &record.fields["name"]), (true, &Value::Null));
    let other = registry.get(&dev, &DRIVERS, "d-1").await.expect("read");
    assert_eq!((other.erased, &other.fields["name"]), (false, &json!("Dana")));
}

/// What is about `c-1` and `d-1` beside their records: a route, an assignment, devices, a place where something happened.
async fn what_is_about_them(place: &Place) {
    let (registry, dev) = (&place.registry, Caller::dev());
    place.make(&VEHICLES, json!({"id": "v-1", "registration_number": "R1", "fleet_id": "f"})).await;
    let note =
        json!({"id": "as-1", "driver_id": "d-1", "vehicle_id": "v-1", "starts_at": 1, "note": "Dana is on leave"});
    place.make(&ASSIGNMENTS, note).await;
    let stops = json!([{"sequence": 1, "latitude": 52.512345, "longitude": 13.41, "name": "at Cleo", "delivery_id": "del-1"},
        {"sequence": 2, "latitude": 48.25, "longitude": 11.5, "name": "the depot"}]);
    let route = json!({"id": "r-1", "date": "2026-11-22", "driver_id": "d-1", "name": "tour of Dana", "fleet_id": "f",
        "stops": stops, "attributes": {"for": "Dana"}});
    place.make(&ROUTES, route).await;
    for (id, kind, asset) in [("dev-1", "driver", "d-1"), ("dev-2", "rider", "c-1")] {
        let device = json!({"id": id, "asset_kind": kind, "asset_id": asset, "fleet_id": "f", "serial": id,
            "name": "phone of Dana", "attributes": {"case": "Cleo"}});
        place.make(&DEVICES, device).await;
    }
    let step = Transition { to: "picked_up".into(), place: Some((52.598765, 13.4)), ..Transition::default() };
    registry.transition(&dev, "del-1", &step, None).await.expect("moved");
    let moved = object(json!({"dropoff_latitude": 52.534567, "instructions": "ring three times"}));
    registry.update(&dev, &DELIVERIES, "del-1", moved, None).await.expect("changed");
}

async fn outbox(place: &Place) -> String {
    let rows = sqlx::query("SELECT COALESCE(before_json, '') || COALESCE(after_json, '') FROM outbox");
    let rows = rows.fetch_all(place.database.pool()).await.expect("rows");
    rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect()
}

pub async fn changes_tell_that_something_private_changed_and_not_what(place: Place) {
    a_person(&place).await;
    what_is_about_them(&place).await;
    let told = outbox(&place).await;
    for word in
        PERSONAL.iter().chain(&["Dana", "ring three times", "depot", "52.51", "52.53", "52.59", "13.4", "48.25"])
    {
        assert!(!told.contains(word), "{word} is in {told}");
    }
    let changes = place.registry.changes_since(0, 100).await.expect("changes");
    let last = changes.last().and_then(|change| change.after.clone()).expect("a record");
    let sealed = |field: &str| last[field].as_str().expect("told").to_owned();
    assert_eq!(sealed("dropoff_latitude"), "(sealed, changed)");
    assert_eq!((sealed("dropoff_longitude"), sealed("dropoff_address")), ("(sealed)".into(), "(sealed)".into()));
    let route = changes.iter().find(|change| change.resource == "routes").and_then(|change| change.after.clone());
    let stop = &route.expect("a route")["stops"][0];
    assert_eq!((&stop["delivery_id"], &stop["latitude"]), (&json!("del-1"), &json!("(sealed)")));
}

pub async fn an_erasure_empties_places_notes_and_free_text_about_the_person(place: Place) {
    a_person(&place).await;
    what_is_about_them(&place).await;
    let (registry, dev) = (&place.registry, Caller::dev());
    // As a program before this one told it.
    let older = "UPDATE outbox SET after_json = '{\"dropoff_latitude\": 52.577777, \"status\": \"created\"}' \
                 WHERE id = 'del-1' AND op = 'create'";
    sqlx::query(older).execute(place.database.pool()).await.expect("an older row");
    assert!(outbox(&place).await.contains("52.577777"));
    registry.erase_person(&dev, &CUSTOMERS, "c-1").await.expect("erased");
    let delivery = registry.get(&dev, &DELIVERIES, "del-1").await.expect("read");
    for field in ["dropoff_latitude", "dropoff_longitude", "instructions"] {
        assert_eq!(delivery.fields[field], Value::Null, "{field}");
    }
    assert_eq!((&delivery.fields["order_id"], &delivery.fields["status"]), (&json!("o-1"), &json!("picked_up")));
    let events = registry.events_of(&dev, "del-1").await.expect("events");
    assert_eq!(events.len(), 3, "what happened, and when, stays");
    assert!(events.iter().all(|event| event.latitude.is_none() && event.longitude.is_none() && event.data.is_none()));
    let route = registry.get(&dev, &ROUTES, "r-1").await.expect("read");
    assert_eq!(route.fields["stops"][0], json!({"sequence": 1, "delivery_id": "del-1"}));
    assert_eq!(route.fields["stops"][1]["latitude"], 48.25, "another's stop stays");
    let whole = route.fields.clone();
    registry.replace(&dev, &ROUTES, "r-1", whole, None).await.expect("what was read may be written");
    let device = registry.get(&dev, &DEVICES, "dev-2").await.expect("read");
    assert_eq!((&device.fields["name"], &device.fields["serial"]), (&Value::Null, &json!("dev-2")));
    let told = outbox(&place).await;
    assert!(!told.contains("52.577777") && told.contains("created"), "{told}");
    let again = object(json!({"dropoff_latitude": 1.0, "dropoff_longitude": 2.0}));
    let again = registry.update(&dev, &DELIVERIES, "del-1", again, None).await;
    assert!(matches!(again, Err(Error::Conflict { code: "person_erased", .. })));
    let step = Transition { to: "out_for_delivery".into(), place: Some((52.5, 13.4)), ..Transition::default() };
    registry.transition(&dev, "del-1", &step, None).await.expect("it goes on");
    assert_eq!(registry.events_of(&dev, "del-1").await.expect("events")[3].latitude, None);

    registry.erase_person(&dev, &DRIVERS, "d-1").await.expect("erased");
    let note = registry.get(&dev, &ASSIGNMENTS, "as-1").await.expect("read");
    assert_eq!((&note.fields["note"], note.version), (&Value::Null, 2));
    let route = registry.get(&dev, &ROUTES, "r-1").await.expect("read");
    assert_eq!((&route.fields["name"], &route.fields["attributes"]), (&Value::Null, &Value::Null));
    assert_eq!(route.fields["stops"][1]["name"], "the depot", "it is no driver's");
    assert_eq!(registry.get(&dev, &DEVICES, "dev-1").await.expect("read").fields["name"], Value::Null);
    let all = everything(&place).await;
    for word in ["Dana", "Cleo", "52.51", "52.53", "52.59"] {
        assert!(!all.contains(word), "{word} is left");
    }
}

pub async fn who_was_erased_and_comes_back_with_a_copy_is_erased_again_at_the_start(place: Place) {
    a_person(&place).await;
    what_is_about_them(&place).await;
    place.registry.erase_person(&Caller::dev(), &CUSTOMERS, "c-1").await.expect("erased");
    for sql in [
        "UPDATE customers SET erased = 0",
        "UPDATE deliveries SET erased = 0, dropoff_latitude = 52.5, dropoff_longitude = 13.4",
        "UPDATE routes SET stops = '[{\"latitude\": 52.5, \"longitude\": 13.4, \"delivery_id\": \"del-1\"}]'",
    ] {
        sqlx::query(sql).execute(place.database.pool()).await.expect("put back");
    }
    let restarted = place.another_node().await;
    let row = sqlx::query("SELECT count(*) FROM deliveries WHERE dropoff_latitude IS NOT NULL OR erased = 0");
    let left: i64 = row.fetch_one(place.database.pool()).await.expect("a row").get(0);
    assert_eq!(left, 0);
    let route = restarted.get(&Caller::dev(), &ROUTES, "r-1").await.expect("read");
    assert_eq!(route.fields["stops"], json!([{"delivery_id": "del-1"}]));
    let last = restarted.changes_since(0, 100).await.expect("changes").pop().expect("a change");
    assert_eq!((last.op.as_str(), last.actor.as_str()), ("erase", "drover"));
}

pub async fn an_export_holds_everything_of_a_person(place: Place) {
    a_person(&place).await;
    let export = place.registry.export_person(&Caller::dev(), &CUSTOMERS, "c-1").await.expect("exported");
    let text = export.to_string();
    for word in PERSONAL.iter().filter(|word| !["Dana", "L-4711"].contains(word)) {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    assert_eq!(export["deliveries"][0]["events"][1]["event_type"], "assigned");
    assert_eq!(export["customer"]["id"], "c-1");
    let export = place.registry.export_person(&Caller::dev(), &DRIVERS, "d-1").await.expect("exported");
    assert_eq!((&export["driver"]["name"], &export["deliveries"][0]["id"]), (&json!("Dana"), &json!("del-1")));
    let text = export.to_string();
    for word in ["ring twice", "Gasse 7", "signed by Cleo", "52.512345"] {
        assert!(!text.contains(word), "a driver's export holds nothing of the customer: {text}");
    }
}
