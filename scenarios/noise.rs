//! Places that cannot be: kept as they came, flagged with the rule, and moving nothing on the map or in a trip.

mod harness;

use harness::{Node, folder, report, shared, summary};
use serde_json::{Value, json};

/// 2 May 2026, 10:00 UTC.
const MORNING_MS: i64 = 1_777_716_000_000;

/// A van that drives north at 36 km/h and says so every ten seconds.
fn drive(reports: i64) -> Vec<Value> {
    let at = |n: i64| {
        let mut report = report("vehicle", "van", MORNING_MS + n * 10_000, 41.0 + n as f64 * 0.0009, -8.6);
        report["speed"] = json!(36);
        report
    };
    (0..reports).map(at).collect()
}

/// Sends, and gives what is shown afterwards.
fn shown_after(node: &Node, reports: &[Value]) -> Value {
    let receipt = node.report(reports);
    node.get(&format!("/api/v1/vehicles/van/location?at_least={}", receipt["position"])).expect(200)
}

fn route(node: &Node, more: &str) -> Vec<Value> {
    let answer = node.get(&format!("/api/v1/vehicles/van/route?start_time={MORNING_MS}{more}")).expect(200);
    answer["points"].as_array().expect("points").clone()
}

#[test]
fn a_place_that_cannot_be_reached_is_kept_flagged_and_not_shown() {
    let folder = folder();
    let node = Node::start(folder.path());
    node.report(&drive(20));
    let van = shown_after(&node, &[report("vehicle", "van", MORNING_MS + 200_000, 48.85, 2.35)]);
    assert_eq!((&van["flags"], &van["latitude"]), (&json!(["teleport"]), &json!(41.0171)), "{van}");
    assert_eq!(van["timestamp"], "2026-05-02T10:03:20Z", "it did report");
    assert_eq!(van["located_at"], "2026-05-02T10:03:10Z", "from where it was before");
    assert_eq!(route(&node, "").len(), 20, "its way is that of the others");
    let whole = route(&node, "&noise=true");
    assert_eq!((whole.len(), &whole[20]["latitude"], &whole[20]["flags"]), (21, &json!(48.85), &json!(["teleport"])));
    let trips = node.get(&format!("/api/v1/vehicles/van/trips?start_time={MORNING_MS}")).expect(200);
    assert!(trips["summary"]["distance_m"].as_f64() < Some(3000.0), "{trips}");
    let then = node.get(&format!("/api/v1/history/at?time={}", MORNING_MS + 300_000));
    assert!(then.text().contains("41.0171") && !then.text().contains("48.85"), "{}", then.text());
    assert_eq!(node.metric("drover_fixes_flagged_total{rule=\"teleport\"}"), 1.0);

    // What is flagged stays so, and the last good place is known, after a restart.
    node.stop();
    let node = Node::start(folder.path());
    assert_eq!(node.get("/api/v1/vehicles/van/location").expect(200)["latitude"], 41.0171);
    let van = shown_after(&node, &[report("vehicle", "van", MORNING_MS + 210_000, 48.85, 2.35)]);
    assert_eq!((&van["flags"], &van["latitude"]), (&json!(["teleport"]), &json!(41.0171)), "{van}");
}

#[test]
fn who_was_really_carried_away_is_believed_after_a_few_reports() {
    let folder = folder();
    let node = Node::start(folder.path());
    node.report(&drive(20));
    let paris = |n: i64| report("vehicle", "van", MORNING_MS + 200_000 + n * 20_000, 48.85 + n as f64 * 1e-4, 2.35);
    let van = shown_after(&node, &(0..6).map(paris).collect::<Vec<_>>());
    let derived = json!(["derived_speed", "derived_heading"]);
    assert_eq!((&van["flags"], &van["latitude"]), (&derived, &json!(48.8505)), "{van}");
}

#[test]
fn the_filter_can_be_turned_off() {
    let folder = folder();
    let node = Node::start_with(folder.path(), "127.0.0.1:0", &[("DROVER_NOISE_FILTER", "false")]);
    node.report(&drive(20));
    let van = shown_after(&node, &[report("vehicle", "van", MORNING_MS + 200_000, 48.85, 2.35)]);
    assert_eq!((&van["flags"], &van["latitude"]), (&Value::Null, &json!(48.85)), "{van}");
}

#[test]
fn of_a_real_day_of_buses_little_is_flagged_and_nothing_is_lost() {
    let folder = folder();
    let node = Node::start(folder.path());
    let day = shared("data/traces/austin-buses/2015-06-07.csv.gz");
    let imported = summary(&["import", day.to_str().expect("UTF-8"), "--url", &node.url(), "--json"]);
    assert_eq!(imported["accepted"], 45_134, "{imported}");
    let counted = node.post(
        "/api/v1/sql",
        json!({"sql": "SELECT count(*), sum(CASE WHEN flags & 124 > 0 THEN 1 ELSE 0 END) FROM reports"}).to_string(),
    );
    let counted = counted.expect(200)["rows"][0].clone();
    assert_eq!(counted[0], 45_134);
    let flagged = counted[1].as_u64().expect("a number");
    assert!((1..200).contains(&flagged), "{flagged} of 45,134");
}
