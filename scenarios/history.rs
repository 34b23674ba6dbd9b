//! The past, asked through every door that it has: routes, moments, coverage, SQL, and DuckDB on the lake's own files
//! while the node runs. The material is a recorded day of Austin's buses.

mod harness;

use harness::{Answer, Node, clients, drover, folder, now_ms, parse, python, report, shared, summary, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files every second, so that a test sees some.
const OFTEN: [(&str, &str); 1] = [("DROVER_HISTORY_FLUSH_INTERVAL_S", "1")];
/// Files never: what is seen comes from memory.
const NEVER: [(&str, &str); 1] = [("DROVER_HISTORY_FLUSH_INTERVAL_S", "86400")];

fn play(node: &Node) -> u64 {
    let file = shared("data/traces/austin-buses/2015-03-07.csv.gz");
    let file = file.to_str().expect("a path in UTF-8");
    let summary = summary(&["replay", file, "--url", &node.url(), "--keep-times", "--speed", "0", "--json"]);
    summary["accepted"].as_u64().expect("a number")
}

fn ask(node: &Node, sql: &str) -> Answer {
    node.post("/api/v1/sql", json!({ "sql": sql }).to_string())
}

#[track_caller]
fn rows(node: &Node, sql: &str) -> Vec<Vec<Value>> {
    let answer = ask(node, sql).expect(200);
    assert_eq!(answer["error"], Value::Null, "{answer}");
    serde_json::from_value(answer["rows"].clone()).expect("rows")
}

fn one(node: &Node, sql: &str) -> Value {
    rows(node, sql)[0][0].clone()
}

fn all_flushed(node: &Node) {
    wait_for("flush", || {
        let status = node.get("/api/v1/history").expect(200);
        assert_eq!(status["error"], Value::Null, "{status}");
        (status["flushed_position"] == node.log_position()).then_some(())
    });
}

fn lake(data: &Path) -> PathBuf {
    data.join("lake")
}

/// What DuckDB makes of the lake.
fn duckdb(data: &Path, sql: &str) -> Value {
    let script = clients().join("duckdb_lake.py");
    let output = Command::new(python()).arg(script).arg(lake(data)).arg(sql).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parse(&output.stdout)
}

const PER_BUS: &str = "SELECT id, count(*) AS n, round(CAST(avg(CAST(speed_kmh AS DOUBLE)) AS DOUBLE), 6) AS speed, \
                       min(position) AS first, max(position) AS last FROM reports GROUP BY id ORDER BY id";

#[test]
fn every_reader_gives_the_same_day_while_the_node_runs() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = Node::start_with(&data, "127.0.0.1:0", &OFTEN);
    let accepted = play(&node);
    assert_eq!(one(&node, "SELECT count(*) FROM reports"), accepted, "visible at once, in files or not");
    all_flushed(&node);
    let ours = rows(&node, PER_BUS);
    assert!(ours.len() > 100);
    let theirs: Vec<Vec<Value>> = serde_json::from_value(duckdb(&data, PER_BUS)).expect("rows");
    assert_eq!(ours, theirs);

    let (bus, count) = (ours[0][0].as_str().expect("an id"), ours[0][1].as_u64().expect("a number"));
    let route = node
        .get(&format!("/api/v1/vehicles/{bus}/route?start_time=2015-03-07T00:00:00Z&end_time=2015-03-09T00:00:00Z"))
        .expect(200);
    assert_eq!(route["count"], count);
    let theirs = duckdb(
        &data,
        &format!(
            "SELECT epoch_ms(event_time), CAST(latitude AS DOUBLE), position FROM reports WHERE id = '{bus}' ORDER BY event_time, position"
        ),
    );
    let point = |point: &Value| {
        let time = drover_model::parse_time(point["timestamp"].as_str().expect("a time")).expect("RFC 3339");
        json!([time, point["latitude"], point["position"]])
    };
    let ours: Vec<Value> = route["points"].as_array().expect("a list").iter().map(point).collect();
    assert_eq!(Value::from(ours), theirs);
    node.stop();

    let node = Node::start_with(&data, "127.0.0.1:0", &OFTEN);
    assert_eq!(one(&node, "SELECT count(*) FROM reports"), accepted, "a restart adds nothing and loses nothing");
    assert_eq!(one(&node, "SELECT count(DISTINCT position) FROM reports"), accepted);
}

#[test]
fn a_route_comes_in_pages_simplified_and_as_other_formats() {
    let folder = folder();
    let node = Node::start_with(&folder.path().join("data"), "127.0.0.1:0", &NEVER);
    play(&node);
    let bus = one(&node, "SELECT id FROM reports GROUP BY id ORDER BY count(*) DESC, id LIMIT 1");
    let base = format!(
        "/api/v1/vehicles/{}/route?start_time=2015-03-07T00:00:00Z&end_time=2015-03-09T00:00:00Z",
        bus.as_str().expect("an id")
    );
    let whole = node.get(&base).expect(200);
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = node.get(&format!("{base}&limit=50{cursor}")).expect(200);
        paged.extend(page["points"].as_array().expect("a list").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(Value::from(paged), whole["points"]);

    let simple = node.get(&format!("{base}&tolerance=50")).expect(200);
    assert_eq!(simple["simplified_from"], whole["count"]);
    assert!(simple["count"].as_u64() < whole["count"].as_u64(), "{} of {}", simple["count"], whole["count"]);
    let geojson = node.get(&format!("{base}&format=geojson")).expect(200);
    let line = &geojson["features"][0]["geometry"];
    assert_eq!(
        (&line["type"], line["coordinates"].as_array().map(Vec::len)),
        (&json!("LineString"), whole["count"].as_u64().map(|n| n as usize))
    );
    let gpx = node.get(&format!("{base}&format=gpx"));
    assert_eq!(gpx.content_type, "application/gpx+xml");
    assert_eq!(gpx.text().matches("<trkpt ").count() as u64, whole["count"].as_u64().expect("a number"));

    for (query, field) in
        [("&limit=0", "limit"), ("&cursor=x", "cursor"), ("&tolerance=-1", "tolerance"), ("&format=kml", "format")]
    {
        let refused = node.get(&format!("{base}{query}")).expect(422);
        assert_eq!(refused["error"]["details"]["field"], field, "{refused}");
    }
}

#[test]
fn the_map_and_a_place_as_they_were() {
    let folder = folder();
    let node = Node::start_with(&folder.path().join("data"), "127.0.0.1:0", &NEVER);
    let noon = now_ms() - 6 * 3_600_000;
    let minute = 60_000;
    for (id, minutes, latitude) in
        [("a", 0, 41.0), ("a", 10, 41.1), ("a", 20, 41.2), ("b", 5, 42.0), ("old", -90, 43.0)]
    {
        node.report(&[report("vehicle", id, noon + minutes * minute, latitude, -8.0)]);
    }
    let at = |minutes: i64| node.get(&format!("/api/v1/history/at?time={}", noon + minutes * minute)).expect(200);
    let places = |map: &Value| -> BTreeMap<String, f64> {
        let assets = map["assets"].as_array().expect("a list").iter();
        assets
            .map(|asset| (asset["id"].as_str().expect("an id").into(), asset["latitude"].as_f64().expect("degrees")))
            .collect()
    };
    let is =
        |pairs: &[(&str, f64)]| -> BTreeMap<String, f64> { pairs.iter().map(|(id, at)| ((*id).into(), *at)).collect() };
    assert_eq!(places(&at(-95)), is(&[]));
    assert_eq!(places(&at(2)), is(&[("a", 41.0)]), "what is older than an hour is left out");
    assert_eq!(places(&at(15)), is(&[("a", 41.1), ("b", 42.0)]));
    let then = |minutes: i64| node.get(&format!("/api/v1/vehicles/a/location?at={}", noon + minutes * minute));
    assert_eq!(then(12).expect(200)["latitude"], 41.1);
    assert_eq!(then(-1).expect(404)["error"]["code"], "not_found");
    assert_eq!(node.get("/api/v1/vehicles/a/location").expect(200)["latitude"], 41.2);
}

#[test]
fn late_reports_of_other_days_land_in_their_own_and_show_in_the_coverage() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = Node::start_with(&data, "127.0.0.1:0", &OFTEN);
    let day = |text: &str| drover_model::parse_time(text).expect("a time");
    for time in ["2026-05-28T10:00:00Z", "2026-05-28T11:00:00Z", "2024-02-29T23:59:59Z"] {
        node.report(&[report("driver", "d", day(time), 41.0, -8.0)]);
    }
    let check = || {
        let coverage = node.get("/api/v1/drivers/d/coverage").expect(200);
        let days: Vec<_> = coverage["days"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|day| (day["day"].clone(), day["reports"].clone()))
            .collect();
        assert_eq!(days, [(json!("2024-02-29"), json!(1)), (json!("2026-05-28"), json!(2))]);
        assert_eq!(node.get("/api/v1/history/coverage").expect(200)["reports"], 3);
    };
    check();
    all_flushed(&node);
    check();
    assert!(lake(&data).join("data/main/reports/year=2024/month=2/day=29").is_dir());
}

#[test]
fn sql_only_reads_says_what_is_wrong_and_gives_other_shapes() {
    let folder = folder();
    let node = Node::start_with(&folder.path().join("data"), "127.0.0.1:0", &NEVER);
    node.report(&[json!({"kind": "driver", "id": "d", "timestamp": now_ms(), "latitude": 41.5, "longitude": -8.25,
        "speed": 32.5, "readings": {"soc": 81.5}})]);
    for (sql, code) in [
        ("DROP TABLE reports", "only_reading"),
        ("SELECT spede FROM reports", "unknown_column"),
        ("SELEC 1", "sql_syntax"),
        ("COPY reports TO '/tmp/x'", "only_reading"),
    ] {
        let refused = ask(&node, sql).expect(422);
        assert_eq!(refused["error"]["code"], code, "{sql}: {refused}");
    }
    let answer =
        ask(&node, "SELECT id, latitude, speed_kmh, reading_number(readings, 'soc') AS soc FROM reports").expect(200);
    assert_eq!(answer["columns"], json!(["id", "latitude", "speed_kmh", "soc"]));
    assert_eq!(answer["rows"], json!([["d", 41.5, 32.5, 81.5]]));
    let sql = |format: &str| {
        let url = node.url();
        let output = drover(&["sql", "SELECT id, speed_kmh FROM reports", "--url", &url, "--format", format])
            .output()
            .expect("drover starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    assert_eq!(String::from_utf8_lossy(&sql("csv")).replace("\r\n", "\n"), "id,speed_kmh\nd,32.50\n");
    assert!(String::from_utf8_lossy(&sql("table")).contains("speed_kmh"));
    assert_eq!(parse(&sql("json"))["rows"], json!([["d", 32.5]]));
    assert!(sql("parquet").starts_with(b"PAR1"));
}

#[test]
fn a_long_query_shows_its_progress_and_is_stopped() {
    let folder = folder();
    let node = Node::start_with(&folder.path().join("data"), "127.0.0.1:0", &NEVER);
    play(&node);
    let endless = "SELECT count(*) FROM reports a, reports b, reports c WHERE a.position + b.position < c.position * 2";
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| ask(&node, endless));
        let running = wait_for("a running query", || {
            let running = node.get("/api/v1/sql").expect(200)["queries"][0].clone();
            running["rows_total"].as_u64().filter(|rows| *rows > 0).map(|_| running)
        });
        assert_eq!((running["sql"].as_str(), running["files_total"].as_u64()), (Some(endless), Some(0)));
        assert_eq!(node.delete("/api/v1/sql/9999").expect(404)["error"]["code"], "not_found");
        assert_eq!(node.delete(&format!("/api/v1/sql/{}", running["id"])).status, 204);
        assert_eq!(asked.join().expect("an answer").expect(422)["error"]["code"], "query_stopped");
    });
    assert_eq!(node.get("/api/v1/sql").expect(200)["queries"], json!([]));
}

#[test]
fn a_damaged_file_fails_what_needs_it_by_name_and_nothing_else() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = Node::start_with(&data, "127.0.0.1:0", &OFTEN);
    let time = |day: i64| drover_model::parse_time("2026-05-28T10:00:00Z").expect("a time") + day * 86_400_000;
    for day in [0, 1] {
        node.report(&[report("driver", "d", time(day), 41.0, -8.0)]);
    }
    all_flushed(&node);
    let doctor = || {
        let output = drover(&["doctor", "--data", data.to_str().expect("UTF-8")]).output().expect("drover starts");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(doctor().0, "{}", doctor().1);
    let day = lake(&data).join("data/main/reports/year=2026/month=5/day=28");
    let file = fs::read_dir(day).expect("a folder").next().expect("a file").expect("an entry").path();
    let bytes = fs::read(&file).expect("a file");
    fs::write(&file, &bytes[..bytes.len() / 2]).expect("a torn file");

    let route = |day: i64| {
        node.get(&format!("/api/v1/drivers/d/route?start_time={}&end_time={}", time(day) - 1000, time(day) + 1000))
    };
    let name = file.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    let refused = route(0).expect(503);
    let message = refused["error"]["message"].as_str().expect("a message");
    assert!(message.contains(name) && message.contains("doctor"), "{message}");
    assert_eq!(route(1).expect(200)["count"], 1);
    let refused = ask(&node, "SELECT sum(position) FROM reports").expect(503);
    assert!(refused["error"]["message"].as_str().expect("a message").contains(name), "{refused}");
    node.report(&[report("driver", "d", now_ms(), 41.0, -8.0)]);
    let (well, said) = doctor();
    assert!(!well && said.contains(name), "{said}");
}
