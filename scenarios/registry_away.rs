//! The registry on PostgreSQL, which stands still for half a minute and is then killed: reports are taken and places are
//! read all the while, records say that they are away, and come back by themselves. And a node that starts meanwhile.

mod harness;
#[path = "../crates/registry/tests/support/postgres.rs"]
mod postgres;

use harness::{Node, drover, folder, now_ms, wait_for};
use postgres::Postgres;
use serde_json::json;
use std::time::{Duration, Instant};

/// How long PostgreSQL stands still.
const AWAY: Duration = Duration::from_secs(30);

#[test]
fn reports_are_taken_and_places_read_while_postgres_is_away() {
    let folder = folder();
    let mut server = Postgres::start();
    let url = server.new_database();
    let settings = [("DROVER_REGISTRY", url.as_str()), ("DROVER_CALLER_REQUESTS_PER_S", "0")];
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &settings);
    let by_admin = node.asked_by(&admin);
    by_admin.make("fleets", &json!({"id": "north", "name": "North"}));
    by_admin.make("vehicles", &json!({"id": "v-1", "fleet_id": "north", "registration_number": "AA-01"}));
    let made = by_admin.make("device-tokens", &json!({"kind": "vehicle", "id": "v-1"}));
    let token = made["token"].as_str().expect("a token").to_owned();
    let dispatcher = by_admin.user("ann@example.com", &json!({"role": "dispatcher", "fleets": ["north"]}));
    let device = node.asked_by(&token);

    server.freeze();
    let began = Instant::now();
    let (mut sent, mut slowest, mut told) = (0, Duration::ZERO, 0);
    while began.elapsed() < AWAY {
        let body = json!({"latitude": 41.0, "longitude": -8.0, "timestamp": now_ms()}).to_string();
        let asked = Instant::now();
        device.post("/api/v1/vehicles/v-1/location", body).expect(202);
        slowest = slowest.max(asked.elapsed());
        sent += 1;
        let seen = node.asked_by(&dispatcher).get("/api/v1/vehicles/v-1/location");
        assert_eq!(seen.status, 200, "{}", seen.text());
        if sent % 20 == 0 {
            let records = by_admin.get("/api/v1/vehicles");
            assert_eq!(records.status, 503, "{}", records.text());
            assert!(records.text().contains("registry_away") && records.retry_after_s.is_some(), "{}", records.text());
            told += 1;
        }
        std::thread::sleep(Duration::from_millis(550));
    }
    assert!(sent > 40 && told > 1, "{sent} reports, {told} answers of records");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    server.thaw();
    wait_for("records again", || (by_admin.get("/api/v1/vehicles").status == 200).then_some(()));
    server.kill();
    device.post("/api/v1/vehicles/v-1/location", r#"{"latitude":41,"longitude":-8}"#).expect(202);
    assert_eq!(by_admin.get("/api/v1/vehicles").status, 503);
    server.start_again();
    wait_for("records again", || (by_admin.get("/api/v1/vehicles").status == 200).then_some(()));
    by_admin.make("vehicles", &json!({"id": "v-2", "fleet_id": "north", "registration_number": "AA-02"}));
    let changes = wait_for("the audit of what was made since", || {
        let audit = by_admin.get("/api/v1/audit?action=vehicles.create").expect(200).to_string();
        audit.contains("v-2").then_some(audit)
    });
    assert!(changes.contains("v-1"), "{changes}");
}

#[test]
fn a_node_that_starts_while_postgres_is_away_waits_and_says_so() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut server = Postgres::start();
    let url = server.new_database();
    let settings = [("DROVER_REGISTRY", url.as_str())];
    let (node, admin) = Node::secured(&data, &[], &settings);
    node.asked_by(&admin).make("fleets", &json!({"id": "north", "name": "North"}));
    node.stop();
    server.kill();

    let messages = data.with_extension("messages");
    let waiting = || {
        let said = std::fs::read_to_string(&messages).unwrap_or_default();
        said.matches("waiting for the registry's database").count()
    };
    let (node, admin) = std::thread::scope(|scope| {
        let starting = scope.spawn(|| Node::secured_again(&data, &[], &settings));
        // Told more than once, so longer than one attempt lasts.
        wait_for("a node that waits", || (waiting() >= 2).then_some(()));
        server.start_again();
        starting.join().expect("the node starts once the server is there")
    });
    let fleet = node.asked_by(&admin).get("/api/v1/fleets/north").expect(200);
    assert_eq!(fleet["data"]["name"], "North");
    node.stop();

    server.kill();
    let began = Instant::now();
    let mut command = drover(&["serve", "--data", data.to_str().expect("UTF-8"), "--http", "127.0.0.1:0"]);
    let ended = command.envs(settings).env("DROVER_REGISTRY_WAIT_S", "5").output().expect("drover starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && began.elapsed() >= Duration::from_secs(5), "{said}");
    for word in ["did not answer for", "start it, or correct `registry`", "registry_wait_s"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
}
