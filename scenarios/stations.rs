//! Stations as their own short address shows them, by the whole node: what came by a device's door stands flat beside what
//! the registry knows, with whole numbers whole.

mod harness;

use harness::{Node, folder, now_ms};
use serde_json::json;

#[test]
fn a_station_is_one_flat_object_with_whole_counts() {
    let folder = folder();
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &[]);
    let admin = node.asked_by(&admin);
    admin.make("fleets", &json!({"id": "north", "name": "North"}));
    let record = json!({
        "id": "station-01", "name": "Central", "latitude": 38.7223, "longitude": -9.1393, "capacity": 20,
        "fleet_id": "north"
    });
    admin.make("stations", &record);
    let told = json!({
        "station_id": "station-01", "battery_available": 12, "battery_charging": 4, "temperature": 28.5,
        "humidity": 42.0, "status": "operational", "timestamp": now_ms()
    });
    for id in ["station-01", "station-99"] {
        let mut told = told.clone();
        told["station_id"] = id.into();
        admin.post(&format!("/api/v1/stations/{id}/telemetry"), told.to_string()).expect(202);
    }

    let answer = admin.get("/stations/station-01");
    let station = answer.expect(200);
    for (name, value) in [
        ("station_id", json!("station-01")),
        ("name", json!("Central")),
        ("capacity", json!(20)),
        ("fleet_id", json!("north")),
        ("battery_available", json!(12)),
        ("battery_charging", json!(4)),
        ("temperature", json!(28.5)),
        ("humidity", json!(42)),
        ("status", json!("operational")),
    ] {
        assert_eq!(station[name], value, "{name} in {station}");
    }
    assert!(station.get("readings").is_none() && station["timestamp"].is_string(), "{station}");
    assert!(answer.text().contains("\"battery_available\":12,"), "a whole number: {}", answer.text());

    let all = admin.get("/stations").expect(200);
    assert_eq!((&all["count"], &all["stations"][0]), (&json!(2), &station));
    assert_eq!(
        (&all["stations"][1]["station_id"], &all["stations"][1]["battery_available"]),
        (&json!("station-99"), &json!(12))
    );
    let known = admin.ask_with("GET", "/stations/station-01", &[("if-none-match", "*")], "");
    assert_eq!((known.status, known.body.len()), (304, 0), "{}", known.text());
}
