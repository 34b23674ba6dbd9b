//! Stations in their own short shape: record and newest report in one object, and how long it may be shown.

use super::site::{Site, caller};
use drover_access::{Reach, Role};
use serde_json::json;

#[tokio::test]
async fn a_station_shows_its_record_and_what_it_reported_last() {
    let site = Site::open().await;
    let body = json!({
        "id": "station-01", "name": "Central", "latitude": 38.7, "longitude": -9.1, "region": "Lisboa",
        "attributes": {"owner": "x"}
    });
    let record = site.post("/api/v1/stations", &body).await.data(201);
    let answer = site.get("/stations/station-01").await;
    for whole in [r#""battery_available":12,"#, r#""battery_charging":4,"#, r#""humidity":42,"#] {
        assert!(answer.body().contains(whole), "{whole} in {}", answer.body());
    }
    let one = answer.json(200);
    assert_eq!(
        one,
        json!({
            "station_id": "station-01", "name": "Central", "latitude": 38.7, "longitude": -9.1, "region": "Lisboa",
            "status": "degraded", "timestamp": "2026-01-31T12:00:00Z", "received_at": "2026-01-31T12:00:01Z",
            "position": 7, "battery_available": 12, "battery_charging": 4, "temperature": 28.5, "humidity": 42,
            "door": "open", "updated_at": record["updated_at"]
        })
    );
    assert_eq!(
        (&one["station_id"], &one["name"], &one["battery_available"]),
        (&json!("station-01"), &json!("Central"), &json!(12))
    );
    assert_eq!(
        (&one["status"], one.get("id"), one.get("readings")),
        (&json!("degraded"), None, None),
        "its own word goes first"
    );
    let all = site.get("/stations").await.json(200);
    assert_eq!((&all["count"], &all["stations"][0]), (&json!(2), &one));
    assert_eq!(
        all["stations"][1],
        json!({"station_id": "station-99", "temperature": 20.5, "timestamp": "2026-01-31T12:00:00Z", "position": 8})
    );
    assert_eq!(site.get("/stations/station-99").await.json(200), all["stations"][1]);
    assert_eq!(site.get("/stations?limit=1").await.json(200)["count"], 1);
    site.get("/stations/station-02").await.is_problem(404, "not_found", None);
    site.get("/stations?city=x").await.is_problem(422, "unknown_field", Some("city"));
    assert_eq!(site.get("/api/v1/stations").await.json(200)["meta"]["pagination"]["total"], 1);

    let manager = caller(Role::FleetManager, Reach::Fleets(["f-1".into()].into()));
    assert_eq!(site.by(&manager, "GET", "/stations", "").await.json(200), json!({"count": 0, "stations": []}));
    site.by(&manager, "GET", "/stations/station-99", "").await.is_problem(404, "not_found", None);
}

#[tokio::test]
async fn stations_may_be_shown_again_for_a_moment_by_who_asked() {
    let site = Site::open().await;
    let body = json!({"id": "station-01", "name": "Central", "latitude": 38.7, "longitude": -9.1});
    site.post("/api/v1/stations", &body).await.data(201);
    for path in ["/stations", "/stations/station-01", "/stations/station-99"] {
        let answer = site.get(path).await;
        let tag = answer.header("etag").to_owned();
        assert_eq!(answer.header("cache-control"), "private, max-age=2", "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(site.get(path).await.header("etag"), tag, "{path}");
        for known in [tag.as_str(), tag.trim_start_matches("W/"), "\"x\", *"] {
            let again = site.with("GET", path, &[("if-none-match", known)], "").await;
            assert_eq!((again.status, again.header("etag"), again.body().len()), (304, &*tag, 0), "{path} {known}");
            assert_eq!(again.header("cache-control"), "private, max-age=2");
        }
        let other = site.with("GET", path, &[("if-none-match", "W/\"1\"")], "").await;
        assert_eq!((other.status, other.body()), (200, answer.body()));
    }
    let old = site.get("/stations").await.header("etag").to_owned();
    site.patch("/api/v1/stations/station-01", &json!({"name": "North"})).await.data(200);
    let changed = site.with("GET", "/stations", &[("if-none-match", &old)], "").await;
    assert_eq!(changed.json(200)["stations"][0]["name"], "North");
    let manager = caller(Role::FleetManager, Reach::Fleets(["f-1".into()].into()));
    assert_ne!(site.by(&manager, "GET", "/stations", "").await.header("etag"), old, "another sees something else");
}
