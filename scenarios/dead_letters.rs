//! Work that was accepted and could not be done: it ends as a dead letter with its reason, holds up nothing behind it, and
//! is done once the cause is mended, without repeating anything.

mod harness;

use harness::{Node, drover, folder, report, summary, wait_for};
use serde_json::{Value, json};
use std::path::Path;

/// 2 May 2026, 10:00 UTC.
const MORNING_MS: i64 = 1_777_716_000_000;

fn letters(node: &Node) -> Vec<Value> {
    let page = node.get("/api/v1/dead-letters").expect(200);
    page["dead_letters"].as_array().expect("a list").clone()
}

fn over(node: &Node, job: u64) -> Value {
    wait_for("the job's end", || {
        let job = node.get(&format!("/api/v1/imports/{job}")).expect(200);
        (job["state"] != "waiting" && job["state"] != "running").then_some(job)
    })
}

fn rows(count: i64) -> String {
    let row = |n: i64| format!("7;02.05.2026 08:{:02}:{:02};41,{:04};-8,6100\n", n / 60, n % 60, 1500 + n);
    format!("Wagen;Zeit;Breite;Laenge\n{}", (0..count).map(row).collect::<String>())
}

/// A node whose profile for these files reads times in this way.
fn node_with(data: &Path, time_format: &str) -> Node {
    let profile = format!(
        "{{depot={{kind=\"vehicle\",time_zone=\"Europe/Lisbon\",time_format=\"{time_format}\",\
         columns={{id=\"Wagen\",time=\"Zeit\",latitude=\"Breite\",longitude=\"Laenge\"}}}}}}"
    );
    Node::start_with(data, "127.0.0.1:0", &[("DROVER_IMPORT_PROFILES", &profile)])
}

#[test]
fn a_file_that_cannot_be_read_is_a_dead_letter_and_is_imported_after_the_fix() {
    let folder = folder();
    // Month and day the wrong way round: no row has a time.
    let node = node_with(folder.path(), "%m/%d/%Y %H:%M:%S");
    let sent = node.post("/api/v1/imports?name=depot.csv&profile=depot&max_bad_percent=5", rows(1_100)).expect(202);
    let id = sent["id"].as_u64().expect("a number");
    let job = over(&node, id);
    assert_eq!(job["state"], "failed", "{job}");
    // What comes behind it is not held up.
    node.report(&[report("vehicle", "8", MORNING_MS, 41.0, -8.6)]);

    let all = letters(&node);
    assert_eq!(all.len(), 1, "{all:?}");
    let letter = &all[0];
    assert_eq!((&letter["source"], &letter["key"]), (&json!("import"), &json!(format!("job {id}"))));
    assert!(letter["error"].as_str().expect("a text").contains("rows are rejected, more than 5 of a hundred"));
    assert_eq!((&letter["context"]["file"], &letter["attempts"]), (&json!("depot.csv"), &json!(1)));
    assert_eq!(node.metric("drover_dead_letters{source=\"import\"}"), 1.0);

    // Tried again before anything is mended, it fails again and is a letter again.
    let url = node.url();
    let list = || summary(&["dlq", "list", "--url", &url, "--json"]);
    let number = list()["id"].as_u64().expect("a number").to_string();
    assert!(drover(&["dlq", "retry", &number, "--url", &url]).output().expect("starts").status.success());
    let failed_ms = &letter["last_failed_ms"];
    wait_for("the second failure", || letters(&node).into_iter().find(|again| again["last_failed_ms"] != *failed_ms));
    node.stop();

    let node = node_with(folder.path(), "%d.%m.%Y %H:%M:%S");
    let url = node.url();
    assert_eq!(letters(&node).len(), 1, "letters outlive the node");
    let number = letters(&node)[0]["id"].to_string();
    let shown = drover(&["dlq", "show", &number, "--url", &url]).output().expect("starts");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("depot.csv"), "{shown:?}");
    let retried = drover(&["dlq", "retry", &number, "--url", &url]).output().expect("starts");
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    let job = over(&node, id);
    assert_eq!(
        (&job["state"], &job["accepted"], &job["rejected_total"]),
        (&json!("done"), &json!(1_100), &json!(0)),
        "{job}"
    );
    assert!(letters(&node).is_empty());
    // Asked for again, nothing is there twice.
    let sql = json!({"sql": "SELECT count(*) FROM reports WHERE id = '7'"}).to_string();
    assert_eq!(node.post("/api/v1/sql", sql).expect(200)["rows"][0][0], 1_100);
    assert_eq!(node.post(&format!("/api/v1/dead-letters/{number}/retry"), "").status, 404);
}

#[test]
fn a_record_that_this_build_cannot_read_is_a_dead_letter_and_holds_up_nothing() {
    let folder = folder();
    let node = Node::start(folder.path());
    node.report(&[report("vehicle", "van", MORNING_MS, 41.0, -8.6)]);
    node.stop();
    // As a later build would have written it, and somebody went back to this one.
    let mut record = Vec::new();
    let draft = drover_model::Draft {
        kind: Some(drover_model::Kind::Vehicle),
        id: Some("van".into()),
        event_time: Some(MORNING_MS + 1_000),
        latitude: Some(41.0),
        longitude: Some(-8.6),
        ..drover_model::Draft::default()
    };
    let checked = draft.check(&drover_model::Rules::default(), MORNING_MS + 2_000).expect("a report");
    checked.encode(&mut record);
    record[0] = drover_model::RECORD_VERSION + 1;
    append(folder.path(), &record);

    let node = Node::start(folder.path());
    node.report(&[report("vehicle", "van", MORNING_MS + 5_000, 41.001, -8.6)]);
    let letter = wait_for("the letter", || letters(&node).pop());
    assert_eq!((&letter["source"], &letter["key"]), (&json!("history"), &json!("position 2")), "{letter}");
    assert_eq!(letter["error"], "record version 2 is newer than this build reads (1)");
    let original = node.get(&format!("/api/v1/dead-letters/{}/original", letter["id"]));
    assert_eq!(original.body, record, "as it lay in the log");
    let retried = node.post(&format!("/api/v1/dead-letters/{}/retry", letter["id"]), "").expect(200);
    assert_eq!((&retried["done"], &retried["attempts"]), (&json!(false), &json!(2)), "{retried}");
    let sql = json!({"sql": "SELECT count(*) FROM reports"}).to_string();
    assert_eq!(node.post("/api/v1/sql", sql).expect(200)["rows"][0][0], 2, "what stands around it is there");
    assert_eq!(node.delete(&format!("/api/v1/dead-letters/{}", letter["id"])).status, 204);
    assert!(letters(&node).is_empty());
}

/// Writes a record to the log of a node that does not run.
fn append(data: &Path, record: &[u8]) {
    use drover_log::{Log, SegmentEngine, SegmentSettings, Settings, Stream};
    let settings = SegmentSettings::new(Stream::Reports.folder(&data.join("log")));
    let log = Log::open(SegmentEngine::open(settings).expect("the log"), Settings::default());
    let position = log.append(record).expect("room");
    log.wait_durable(position).expect("durable");
    log.close();
}
