//! What is known of vehicles beforehand, and what Drover adds to a report: each vehicle's own top speed, the way from its
//! depot, speed and heading that its device left out. The source may go away, hang or talk nonsense: reports do not care.

mod harness;

use harness::{Node, PATIENCE, folder, report, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// 2 May 2026, 10:00 UTC.
const MORNING_MS: i64 = 1_777_716_000_000;

/// Two vans of a depot in Porto; the second is slow.
fn fleet(slow_kmh: u32) -> Value {
    let depot = json!({"id": "north", "latitude": 41.0, "longitude": -8.6});
    json!({"vehicles": [
        {"vehicle_id": "van", "depot": depot, "class": "van"},
        {"vehicle_id": "slow", "depot": depot, "max_speed": slow_kmh},
    ]})
}

fn node_of(data: &Path, source: &str) -> Node {
    let settings =
        [("DROVER_METADATA_SOURCE", source), ("DROVER_HISTORY_READINGS", "[\"distance_from_depot_m:number\"]")];
    Node::start_with(data, "127.0.0.1:0", &settings)
}

fn wait_until_known(node: &Node, entries: u64) {
    wait_for("metadata", || (node.get("/api/v1/metadata").expect(200)["entries"] == entries).then_some(()));
}

/// Sends reports, whatever becomes of them.
fn send(node: &Node, reports: &[Value]) -> Value {
    node.post("/api/v1/reports", json!(reports).to_string()).json()
}

fn speeding(id: &str, n: i64, kmh: f64) -> Value {
    let mut report = report("vehicle", id, MORNING_MS + n * 10_000, 41.0, -8.6);
    report["speed"] = json!(kmh);
    report
}

#[test]
fn each_vehicle_has_its_own_top_speed_and_a_new_table_counts_at_once() {
    let folder = folder();
    let source = folder.path().join("fleet.json");
    fs::write(&source, fleet(30).to_string()).expect("written");
    let node = node_of(&folder.path().join("data"), source.to_str().expect("UTF-8"));
    wait_until_known(&node, 2);
    let receipt = send(&node, &[speeding("slow", 0, 30.0), speeding("slow", 1, 31.0), speeding("van", 0, 190.0)]);
    assert_eq!((&receipt["accepted"], &receipt["rejected_total"]), (&json!(2), &json!(1)), "{receipt}");
    assert_eq!(receipt["rejected"][0]["message"], "speed is 31; allowed is 0 to 30");

    // A row of a file goes by the same table.
    let rows = "vehicle_id,timestamp,latitude,longitude,speed\nslow,2026-05-03T10:00:00Z,41,-8.6,31\n";
    let job = node.post("/api/v1/imports?name=a.csv&dry_run=true", rows).expect(202);
    let job = wait_for("the job", || {
        let job = node.get(&format!("/api/v1/imports/{}", job["id"])).expect(200);
        (job["state"] != "waiting" && job["state"] != "running").then_some(job)
    });
    assert_eq!(job["rejected_total"], 1, "{job}");

    // Replaced by renaming, as the operator is told to do.
    let next = folder.path().join("fleet.next");
    fs::write(&next, fleet(50).to_string()).expect("written");
    fs::rename(&next, &source).expect("renamed");
    let mut n = 2;
    wait_for("the new top speed", || {
        n += 1;
        (send(&node, &[speeding("slow", n, 45.0)])["accepted"] == 1).then_some(())
    });
}

#[test]
fn the_way_from_the_depot_and_a_derived_motion_are_told_and_flagged_everywhere() {
    let folder = folder();
    let source = folder.path().join("fleet.json");
    fs::write(&source, fleet(200).to_string()).expect("written");
    let node = node_of(&folder.path().join("data"), source.to_str().expect("UTF-8"));
    wait_until_known(&node, 2);
    // Due north, 0.0009 degrees or 100 m each 10 s: 36 km/h.
    let drive: Vec<Value> =
        (0..10).map(|n| report("vehicle", "van", MORNING_MS + n * 10_000, 41.0 + n as f64 * 0.0009, -8.6)).collect();
    let receipt = send(&node, &drive);
    let live = node.get(&format!("/api/v1/vehicles/van/location?at_least={}", receipt["position"])).expect(200);
    assert_eq!(live["flags"], json!(["derived_speed", "derived_heading"]), "{live}");
    let near = |value: &Value, wanted: f64, by: f64| (value.as_f64().expect("a number") - wanted).abs() < by;
    assert!(near(&live["speed"], 36.0, 0.1) && near(&live["heading"], 0.0, 0.01), "{live}");
    assert!(near(&live["readings"]["distance_from_depot_m"], 900.7, 1.0), "{live}");

    let route = node.get(&format!("/api/v1/vehicles/van/route?start_time={MORNING_MS}")).expect(200);
    let points = route["points"].as_array().expect("points");
    assert_eq!(points[0]["flags"], Value::Null, "the first has nothing before it: {}", points[0]);
    assert_eq!(points[9]["flags"], json!(["derived_speed", "derived_heading"]), "{}", points[9]);
    let sql = json!({"sql": "SELECT max(distance_from_depot_m), min(speed_kmh), bool_and(readings LIKE '%depot%') \
                             FROM reports WHERE flags & 128 > 0"});
    let row = &node.post("/api/v1/sql", sql.to_string()).expect(200)["rows"][0];
    assert!(near(&row[0], 900.7, 1.0) && near(&row[1], 36.0, 0.1) && row[2] == true, "{row}");

    // The same again is a duplicate, now and after a restart, though the first ones hold more than was sent.
    assert_eq!(send(&node, &drive)["duplicates"], 10);
    node.stop();
    let node = node_of(&folder.path().join("data"), source.to_str().expect("UTF-8"));
    assert_eq!(send(&node, &drive)["duplicates"], 10);

    // Who says how fast it is, or was heard of too long ago, is told nothing.
    let mut slower = report("vehicle", "van", MORNING_MS + 110_000, 41.0085, -8.6);
    slower["speed"] = json!(20);
    let after = [slower, report("vehicle", "van", MORNING_MS + 3_600_000, 41.1, -8.6)];
    for said in after {
        let receipt = send(&node, &[said]);
        let live = node.get(&format!("/api/v1/vehicles/van/location?at_least={}", receipt["position"])).expect(200);
        assert_eq!(live["flags"], Value::Null, "{live}");
    }
}

#[test]
fn a_source_that_goes_away_or_talks_nonsense_is_survived_and_visible() {
    let folder = folder();
    let (source, data) = (folder.path().join("fleet.json"), folder.path().join("data"));
    fs::write(&source, fleet(30).to_string()).expect("written");
    let node = node_of(&data, source.to_str().expect("UTF-8"));
    wait_until_known(&node, 2);
    fs::write(&source, "<html>502 Bad Gateway</html>").expect("written");
    let status = wait_for("the error", || {
        let status = node.get("/api/v1/metadata").expect(200);
        status["last_error"].is_string().then_some(status)
    });
    assert_eq!((&status["entries"], &status["fresh"]), (&json!(2), &json!(true)), "the last good table: {status}");
    fs::remove_file(&source).expect("removed");
    assert_eq!(send(&node, &[speeding("slow", 0, 31.0)])["rejected_total"], 1);
    assert_eq!(send(&node, &[speeding("slow", 0, 29.0), speeding("nobody", 0, 29.0)])["accepted"], 2);
    let lookups = |found: &str| node.metric(&format!("drover_metadata_lookups_total{{found=\"{found}\"}}"));
    assert_eq!((lookups("yes"), lookups("no")), (2.0, 1.0));
    assert_eq!(node.metric("drover_metadata_entries"), 2.0);
    assert!(node.metric("drover_metadata_age_seconds") > 0.0);
    assert!(node.metric("drover_metadata_refresh_failures_total") > 0.0);

    // Started while the source is gone, the node knows what it knew.
    node.stop();
    let node = node_of(&data, source.to_str().expect("UTF-8"));
    wait_until_known(&node, 2);
    assert_eq!(node.get("/api/v1/metadata").expect(200)["kept"], true);
    assert_eq!(send(&node, &[speeding("slow", 1, 31.0)])["rejected_total"], 1);
}

#[test]
fn an_address_that_never_answers_holds_nothing_up() {
    let folder = folder();
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let source = format!("http://{}/metadata_api.json", silent.local_addr().expect("an address"));
    let started = Instant::now();
    let node = node_of(&folder.path().join("data"), &source);
    assert_eq!(send(&node, &[speeding("slow", 0, 100.0)])["accepted"], 1);
    assert!(started.elapsed() < PATIENCE / 3, "{:?}", started.elapsed());
    let status = node.get("/api/v1/metadata").expect(200);
    assert_eq!((&status["entries"], &status["fresh"]), (&json!(0), &json!(false)), "{status}");
    let stopping = Instant::now();
    node.stop();
    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
}

#[test]
fn a_node_without_a_source_says_so_and_a_wrong_one_is_refused_at_start() {
    let folder = folder();
    let node = Node::start(folder.path());
    let answer = node.get("/api/v1/metadata").expect(404);
    assert!(answer.to_string().contains("metadata_source"), "{answer}");
    let wrong = harness::drover(&["serve", "--dev", "--data", folder.path().to_str().expect("UTF-8")])
        .env("DROVER_METADATA_SOURCE", "ftp://fleet")
        .output()
        .expect("drover starts");
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && said.contains("metadata_source starts with ftp://"), "{said}");
}
