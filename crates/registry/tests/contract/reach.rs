//! Who reaches what: what is outside is not there.

use crate::support::{Place, customer, dispatcher, driver, object};
use drover_access::Caller;
use drover_model::Kind;
use drover_registry::resources::{
    ASSIGNMENTS, CUSTOMERS, DELIVERIES, DEVICES, DRIVERS, FLEETS, MAINTENANCE, ORGANISATIONS, VEHICLES,
};
use drover_registry::{Error, Query, RESOURCES, Transition};
use serde_json::json;

pub async fn what_is_outside_of_reach_is_not_there(place: Place) {
    place.two_fleets().await;
    place.make(&ORGANISATIONS, json!({"id": "o", "name": "O"})).await;
    place.make(&VEHICLES, json!({"id": "v-none", "registration_number": "NONE"})).await;
    let (registry, north) = (&place.registry, dispatcher(&["north"]));
    let starts = "2026-01-01T00:00:00Z";
    for fleet in ["north", "south"] {
        let body = json!({"id": format!("as-{fleet}"), "driver_id": format!("d-{fleet}"),
            "vehicle_id": format!("v-{fleet}"), "starts_at": starts});
        place.make(&ASSIGNMENTS, body).await;
        place
            .make(
                &MAINTENANCE,
                json!({"id": format!("m-{fleet}"), "vehicle_id": format!("v-{fleet}"),
            "date": "2026-01-01", "kind": "repair"}),
            )
            .await;
    }
    for (resource, prefix) in [
        (&VEHICLES, "v-"),
        (&DRIVERS, "d-"),
        (&CUSTOMERS, "c-"),
        (&DELIVERIES, "del-"),
        (&FLEETS, ""),
        (&ASSIGNMENTS, "as-"),
        (&MAINTENANCE, "m-"),
    ] {
        let (own, foreign) = (format!("{prefix}north"), format!("{prefix}south"));
        registry.get(&north, resource, &own).await.expect(resource.name);
        let page = registry.list(&north, resource, &Query::default()).await.expect("a page");
        let ids: Vec<&str> = page.records.iter().map(|record| record.id.as_str()).collect();
        assert_eq!((ids, page.total), (vec![own.as_str()], 1), "{}", resource.name);
        let patch = || object(json!({}));
        for refused in [
            registry.get(&north, resource, &foreign).await.err(),
            registry.update(&north, resource, &foreign, patch(), None).await.err(),
            registry.replace(&north, resource, &foreign, patch(), None).await.err(),
        ] {
            assert!(matches!(refused, Some(Error::NotFound { .. })), "{}: {refused:?}", resource.name);
        }
        let removed = registry.remove(&north, resource, &foreign, None).await;
        let hidden = matches!(removed, Err(Error::NotFound { .. } | Error::Forbidden { .. }));
        assert!(hidden, "{}: {removed:?}", resource.name);
    }
    registry.get(&north, &ORGANISATIONS, "o").await.expect("everybody's");
    let changed = registry.update(&north, &ORGANISATIONS, "o", object(json!({"name": "P"})), None).await;
    assert!(matches!(changed, Err(Error::Forbidden { .. })));
    assert!(matches!(place.try_make(&north, &FLEETS, json!({"name": "west"})).await, Err(Error::Forbidden { .. })));
    let hidden = registry.find_by(&north, &DELIVERIES, "order_id", "order-south").await;
    assert!(matches!(hidden, Err(Error::NotFound { .. })));
    let moved = Transition { to: "cancelled".into(), ..Transition::default() };
    let hidden = registry.transition(&north, "del-south", &moved, None).await;
    assert!(matches!(hidden, Err(Error::NotFound { .. })));
    assert!(matches!(registry.events_of(&north, "del-south").await, Err(Error::NotFound { .. })));
    assert!(matches!(registry.assignments_of(&north, "d-south").await, Err(Error::NotFound { .. })));
    assert!(matches!(registry.export_person(&north, &CUSTOMERS, "c-south").await, Err(Error::NotFound { .. })));
    assert!(matches!(registry.erase_person(&north, &CUSTOMERS, "c-south").await, Err(Error::NotFound { .. })));
    assert!(!place.vault.is_erased("customers/c-south"));
}

pub async fn a_record_cannot_be_moved_into_a_foreign_fleet(place: Place) {
    place.two_fleets().await;
    let (registry, north) = (&place.registry, dispatcher(&["north"]));
    let text = |fleet: &str| format!("fleet_id: there is no fleet {fleet:?}");
    for fleet in ["south", "nowhere"] {
        let patch = object(json!({"fleet_id": fleet}));
        let moved = registry.update(&north, &VEHICLES, "v-north", patch, None).await.expect_err("refused");
        assert_eq!(moved.to_string(), text(fleet));
        let body = json!({"registration_number": "NEW", "fleet_id": fleet});
        assert_eq!(place.try_make(&north, &VEHICLES, body).await.expect_err("refused").to_string(), text(fleet));
    }
    let patch = object(json!({"fleet_id": null}));
    let lost = registry.update(&north, &VEHICLES, "v-north", patch, None).await.expect_err("refused");
    assert!(lost.to_string().contains("name one of the fleets within your reach"));
    let made = place.try_make(&north, &VEHICLES, json!({"registration_number": "NEW"})).await.expect("made");
    assert_eq!(made.fields["fleet_id"], "north", "who reaches one fleet need not say which");
    let foreign = object(json!({"driver_id": "d-south"}));
    let foreign = registry.update(&north, &DELIVERIES, "del-north", foreign, None).await.expect_err("refused");
    assert_eq!(foreign.to_string(), "driver_id: there is no driver \"d-south\"");
}

pub async fn drivers_and_customers_reach_what_is_theirs(place: Place) {
    place.two_fleets().await;
    let registry = &place.registry;
    let assigned = Transition { to: "assigned".into(), driver_id: Some("d-north".into()), ..Transition::default() };
    registry.transition(&Caller::dev(), "del-north", &assigned, None).await.expect("assigned");
    let body = json!({"driver_id": "d-north", "vehicle_id": "v-north", "starts_at": "2026-01-01T00:00:00Z"});
    place.make(&ASSIGNMENTS, body).await;
    let sees = async |caller: &Caller| {
        let mut seen = Vec::new();
        for resource in RESOURCES {
            let page = registry.list(caller, resource, &Query::default()).await.expect("a page");
            seen.extend(page.records.into_iter().map(|record| format!("{}/{}", resource.name, record.id)));
        }
        seen.retain(|name| !name.starts_with("assignments/"));
        seen
    };
    assert_eq!(sees(&driver("d-north")).await, ["vehicles/v-north", "drivers/d-north", "deliveries/del-north"]);
    assert_eq!(sees(&driver("d-south")).await, ["drivers/d-south"]);
    assert_eq!(sees(&customer("c-south")).await, ["customers/c-south", "deliveries/del-south"]);
    assert_eq!(registry.assignments_of(&driver("d-north"), "d-north").await.expect("his").len(), 1);
    assert!(registry.assignments_of(&driver("d-south"), "d-north").await.is_err());
}

pub async fn a_device_of_a_rider_belongs_to_one_fleet(place: Place) {
    place.two_fleets().await;
    let (north, south) = (dispatcher(&["north"]), dispatcher(&["south"]));
    let device = |kind: &str, id: &str| json!({"asset_kind": kind, "asset_id": id});
    let first = place.try_make(&north, &DEVICES, device("rider", "r-1")).await.expect("made");
    place.try_make(&north, &DEVICES, device("rider", "r-1")).await.expect("a second one of the same fleet");
    let foreign = place.try_make(&south, &DEVICES, device("rider", "r-1")).await.expect_err("refused");
    assert_eq!(foreign.to_string(), "asset_id: there is no rider \"r-1\"");
    assert!(place.try_make(&south, &DEVICES, device("vehicle", "v-north")).await.is_err());
    place.try_make(&south, &DEVICES, device("vehicle", "v-south")).await.expect("its own");
    let fleet = || place.registry.directory().fleet_of(Kind::Rider, "r-1");
    place.registry.remove(&north, &DEVICES, &first.id, None).await.expect("removed");
    assert_eq!(fleet().as_deref(), Some("north"), "another device reports for it");
    let held = place.registry.remove(&Caller::dev(), &VEHICLES, "v-south", None).await;
    assert!(matches!(held, Err(Error::Conflict { code: "in_use", .. })));
}
