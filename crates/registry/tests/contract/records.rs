//! One record after another: made, read, changed, listed, refused.

use crate::support::{Place, object};
use drover_access::Caller;
use drover_answer::{Problem, ProblemKind};
use drover_registry::resources::{DELIVERIES, FLEETS, MAINTENANCE, ROUTES, STATIONS, VEHICLES};
use drover_registry::{Comparison, Error, Query};
use serde_json::{Value, json};

pub async fn a_record_is_made_read_changed_and_removed(place: Place) {
    let (registry, dev) = (&place.registry, Caller::dev());
    let body = json!({"id": "v-1", "registration_number": "B-XY 12", "class": "van", "capacity_kg": 800,
        "odometer_km": 12.5, "attributes": {"colour": "red"}});
    let made = place.make(&VEHICLES, body).await;
    assert_eq!((made.id.as_str(), made.version), ("v-1", 1));
    assert_eq!(made.fields["status"], "active", "the default");
    assert_eq!(made.fields["capacity_kg"], 800.0);
    assert_eq!(made.fields["attributes"], json!({"colour": "red"}));
    assert_eq!(made.fields["fleet_id"], Value::Null);
    assert_eq!(registry.get(&dev, &VEHICLES, "v-1").await.expect("read"), made);

    let changed = registry.update(&dev, &VEHICLES, "v-1", object(json!({"odometer_km": 13})), Some(1)).await;
    let changed = changed.expect("changed");
    assert_eq!((changed.version, &changed.fields["odometer_km"]), (2, &json!(13.0)));
    assert_eq!(registry.get(&dev, &VEHICLES, "v-1").await.expect("read"), changed);
    let same = registry.update(&dev, &VEHICLES, "v-1", object(json!({"odometer_km": 13})), None).await.expect("same");
    assert_eq!(same.version, 2, "nothing changed");

    registry.remove(&dev, &VEHICLES, "v-1", Some(2)).await.expect("removed");
    let gone = registry.get(&dev, &VEHICLES, "v-1").await.expect_err("gone");
    assert_eq!(Problem::from(gone).kind, ProblemKind::NotFound);
    let unnamed = place.make(&STATIONS, json!({"name": "S", "latitude": 1, "longitude": 2, "capacity": 4})).await;
    assert!(unnamed.id.starts_with("s-") && unnamed.id.len() == 18, "{}", unnamed.id);
    assert_eq!(unnamed.fields["capacity"], 4);
    let route =
        json!({"date": "2026-11-22", "stops": [{"latitude": 1, "longitude": 2, "arrive_at": 1769860800000_i64}]});
    let route = place.make(&ROUTES, route).await;
    assert_eq!(route.fields["stops"][0]["arrive_at"], "2026-01-31T12:00:00Z");
}

pub async fn a_patch_empties_what_is_null_and_a_replacement_empties_what_is_left_out(place: Place) {
    let (registry, dev) = (&place.registry, Caller::dev());
    let body = json!({"id": "v-1", "registration_number": "R", "make": "M", "vin": "VIN", "capacity_kg": 1.5, "status": "idle"});
    place.make(&VEHICLES, body).await;
    let patched =
        registry.update(&dev, &VEHICLES, "v-1", object(json!({"capacity_kg": null})), None).await.expect("ok");
    assert_eq!((&patched.fields["capacity_kg"], &patched.fields["make"]), (&Value::Null, &json!("M")));
    let back = registry.update(&dev, &VEHICLES, "v-1", object(json!({"capacity_kg": 2.5})), None).await.expect("ok");
    assert_eq!(back.fields["capacity_kg"], 2.5, "a column that was empty takes a number again");
    let replaced = registry.replace(&dev, &VEHICLES, "v-1", object(json!({"registration_number": "R"})), None).await;
    let replaced = replaced.expect("replaced");
    assert_eq!((&replaced.fields["make"], &replaced.fields["status"]), (&Value::Null, &json!("active")));
    let refused = registry.replace(&dev, &VEHICLES, "v-1", object(json!({"make": "M"})), None).await;
    assert!(refused.expect_err("refused").to_string().starts_with("registration_number is missing"));
}

pub async fn refusals_name_the_field_the_value_and_what_is_allowed(place: Place) {
    let cases = [
        (json!({"registration_number": "R", "max_speed_kmh": 900}), "max_speed_kmh", "900; a number from 1 to 500"),
        (json!({"registration_number": "R", "class": "ship"}), "class", "allowed are car, van"),
        (json!({"registration_number": "R", "colour": "red"}), "colour", "its fields are registration_number, vin"),
        (json!({"registration_number": 7}), "registration_number", "text is needed"),
        (json!({"registration_number": "a\u{0}b"}), "registration_number", "control character"),
        (json!({}), "registration_number", "is missing"),
        (json!({"registration_number": "R", "id": "a b"}), "id", "letters, digits"),
        (json!({"registration_number": "R", "fleet_id": "nowhere"}), "fleet_id", "there is no fleet \"nowhere\""),
    ];
    for (body, field, said) in cases {
        let problem =
            Problem::from(place.try_make(&Caller::dev(), &VEHICLES, body.clone()).await.expect_err("refused"));
        assert_eq!(problem.kind, ProblemKind::Invalid, "{body}");
        assert_eq!(problem.field.as_deref(), Some(field), "{body}");
        assert!(problem.message.contains(said), "{}", problem.message);
    }
    let half = place.try_make(&Caller::dev(), &DELIVERIES, json!({"pickup_latitude": 1})).await;
    assert!(half.expect_err("refused").to_string().contains("go together"));
    let window = json!({"window_start": "2026-01-02T00:00:00Z", "window_end": "2026-01-01T00:00:00Z"});
    let window = place.try_make(&Caller::dev(), &DELIVERIES, window).await;
    assert!(window.expect_err("refused").to_string().contains("window_end is not after window_start"));
}

pub async fn what_drover_sets_may_be_repeated_but_not_changed(place: Place) {
    let (registry, dev) = (&place.registry, Caller::dev());
    let made = place.make(&DELIVERIES, json!({"id": "del-1", "order_id": 4711})).await;
    assert_eq!(made.fields["order_id"], "4711", "a number is taken for its digits");
    let number = made.text("tracking_number").expect("a tracking number").to_owned();
    assert_eq!(number.len(), 24, "120 bits");
    let whole = made.to_json();
    let put = registry.replace(&dev, &DELIVERIES, "del-1", object(whole), None).await.expect("as it was");
    assert_eq!(put, made);
    for (field, value) in [("status", "delivered"), ("tracking_number", "X"), ("delivered_at", "2026-01-01T00:00:00Z")]
    {
        let refused = registry.update(&dev, &DELIVERIES, "del-1", object(json!({field: value})), None).await;
        assert_eq!(Problem::from(refused.expect_err("refused")).field.as_deref(), Some(field));
    }
    let renamed = registry.update(&dev, &DELIVERIES, "del-1", object(json!({"id": "del-2"})), None).await;
    assert!(matches!(renamed, Err(Error::Invalid { .. })));
}

pub async fn a_list_is_filtered_sorted_and_paged(place: Place) {
    let (registry, dev) = (&place.registry, Caller::dev());
    for at in 0..30 {
        let status = if at % 3 == 0 { "idle" } else { "active" };
        let mut body =
            json!({"id": format!("v-{at:02}"), "registration_number": format!("Reg-{at}"), "status": status});
        if at < 10 {
            body["odometer_km"] = json!(100 - at);
        }
        place.make(&VEHICLES, body).await;
    }
    let ids = async |query: Query| {
        let page = registry.list(&dev, &VEHICLES, &query).await.expect("a page");
        (page.records.into_iter().map(|record| record.id).collect::<Vec<_>>(), page.total)
    };
    let filter = |field: &str, comparison, value: &str| vec![(field.to_owned(), comparison, value.to_owned())];
    let (first, total) = ids(Query::default()).await;
    assert_eq!((first.len(), total, first[0].as_str()), (25, 30, "v-00"));
    let (second, _) = ids(Query { page: 2, ..Query::default() }).await;
    assert_eq!(second, ["v-25", "v-26", "v-27", "v-28", "v-29"]);
    let (idle, total) =
        ids(Query { filters: filter("status", Comparison::Eq, "idle"), limit: 2, ..Query::default() }).await;
    assert_eq!((idle, total), (vec!["v-00".to_owned(), "v-03".to_owned()], 10));
    let (some, _) = ids(Query { filters: filter("id", Comparison::In, "v-07, v-03,v-99"), ..Query::default() }).await;
    assert_eq!(some, ["v-03", "v-07"]);
    let (far, _) = ids(Query { filters: filter("odometer_km", Comparison::Gte, "98"), ..Query::default() }).await;
    assert_eq!(far, ["v-00", "v-01", "v-02"]);
    let sort = vec![("odometer_km".to_owned(), false), ("id".to_owned(), true)];
    let (sorted, _) = ids(Query { sort, limit: 12, ..Query::default() }).await;
    assert_eq!(sorted[..2], ["v-09", "v-08"], "least first");
    assert_eq!(sorted[10..], ["v-29", "v-28"], "nothing comes last");
    let (found, _) = ids(Query { search: Some("rEG-2".into()), limit: 3, ..Query::default() }).await;
    assert_eq!(found, ["v-02", "v-20", "v-21"]);
    let (none, total) = ids(Query { search: Some("%".into()), ..Query::default() }).await;
    assert_eq!((none.len(), total), (0, 0), "a sign that means something in SQL means itself");
    let (empty, total) = ids(Query { filters: filter("odometer_km", Comparison::Eq, ""), ..Query::default() }).await;
    assert_eq!((empty[0].as_str(), total), ("v-10", 20));
    for wrong in [
        Query { filters: filter("colour", Comparison::Eq, "red"), ..Query::default() },
        Query { filters: filter("odometer_km", Comparison::Gte, "far"), ..Query::default() },
        Query { filters: filter("attributes", Comparison::Eq, "x"), ..Query::default() },
        Query { filters: filter("make", Comparison::Eq, "a\0"), ..Query::default() },
        Query { sort: vec![("attributes".into(), false)], ..Query::default() },
        Query { limit: 1001, ..Query::default() },
        Query { page: 0, ..Query::default() },
    ] {
        let refused = registry.list(&dev, &VEHICLES, &wrong).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{wrong:?}: {refused:?}");
    }
    let before = registry.get(&dev, &VEHICLES, "v-00").await.expect("read").created_at.to_string();
    let (all, _) = ids(Query { filters: filter("created_at", Comparison::Gte, &before), ..Query::default() }).await;
    assert_eq!(all.len(), 25);
}

pub async fn a_change_of_another_version_is_refused(place: Place) {
    let (registry, dev) = (&place.registry, Caller::dev());
    place.make(&FLEETS, json!({"id": "f", "name": "F"})).await;
    registry.update(&dev, &FLEETS, "f", object(json!({"name": "G"})), Some(1)).await.expect("version 1");
    let stale = registry.update(&dev, &FLEETS, "f", object(json!({"name": "H"})), Some(1)).await.expect_err("stale");
    assert!(matches!(stale, Error::Stale { current: 2, wanted: 1, .. }));
    let problem = Problem::from(stale);
    assert_eq!((problem.kind.status().as_u16(), problem.code.as_ref()), (412, "changed"), "at every door");
    assert!(problem.message.contains("\"2\""), "the ETag of now: {}", problem.message);
    let stale = registry.remove(&dev, &FLEETS, "f", Some(1)).await;
    assert!(matches!(stale, Err(Error::Stale { .. })));
    assert_eq!(registry.get(&dev, &FLEETS, "f").await.expect("still there").fields["name"], "G");
}

pub async fn unique_values_are_taken_once(place: Place) {
    let (registry, dev) = (&place.registry, Caller::dev());
    place.make(&VEHICLES, json!({"id": "v-1", "registration_number": "R1"})).await;
    place.make(&VEHICLES, json!({"id": "v-2", "registration_number": "R2"})).await;
    for (body, field) in [
        (json!({"id": "v-3", "registration_number": "R1"}), "registration_number"),
        (json!({"id": "v-1", "registration_number": "R3"}), "id"),
    ] {
        let problem = Problem::from(place.try_make(&dev, &VEHICLES, body).await.expect_err("taken"));
        assert_eq!((problem.kind, problem.field.as_deref()), (ProblemKind::Conflict, Some(field)));
    }
    let taken = registry.update(&dev, &VEHICLES, "v-2", object(json!({"registration_number": "R1"})), None).await;
    assert!(matches!(taken, Err(Error::Conflict { code: "already_exists", .. })));
    let unknown =
        place.try_make(&dev, &MAINTENANCE, json!({"vehicle_id": "v-9", "date": "2026-01-01", "kind": "repair"}));
    assert!(unknown.await.expect_err("refused").to_string().contains("there is no vehicle \"v-9\""));
}

pub async fn a_reference_must_exist_and_what_is_referred_to_stays(place: Place) {
    let (registry, dev) = (&place.registry, Caller::dev());
    place.two_fleets().await;
    place
        .make(&MAINTENANCE, json!({"id": "m-1", "vehicle_id": "v-north", "date": "2026-01-01", "kind": "repair"}))
        .await;
    let held = registry.remove(&dev, &VEHICLES, "v-north", None).await.expect_err("held");
    assert_eq!(held.to_string(), "maintenance record \"m-1\" refers to the vehicle \"v-north\"");
    assert_eq!(Problem::from(held).kind, ProblemKind::Conflict);
    registry.remove(&dev, &MAINTENANCE, "m-1", None).await.expect("removed");
    registry.remove(&dev, &VEHICLES, "v-north", None).await.expect("removed now");
    let held = registry.remove(&dev, &FLEETS, "south", None).await;
    assert!(matches!(held, Err(Error::Conflict { code: "in_use", .. })));
}
