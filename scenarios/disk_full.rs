//! A data disk that fills up and gets space again: reports are refused meanwhile and nothing else
//! stops, and what was acknowledged is there afterwards. The disk is a small tmpfs, so this scenario
//! needs the right to mount.

mod harness;

use harness::{Answer, Node, SmallDisk, folder, now_ms, read_log, wait_for};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

const DISK_MIB: usize = 20;
/// A file that stands for other users of the disk.
const BALLAST_MIB: usize = 8;
const SETTINGS: [(&str, &str); 1] = [("DROVER_LOG_SEGMENT_MIB", "1")];
const BATCH: usize = 100;

/// Reports with event times of their own and a kilobyte of readings each.
struct Source {
    start_ms: i64,
    next: i64,
    note: String,
}

impl Source {
    fn new() -> Source {
        Source { start_ms: now_ms() - 3_600_000, next: 0, note: "x".repeat(1000) }
    }

    fn batch(&mut self) -> Vec<Value> {
        let batch = (0..BATCH as i64).map(|i| self.report(self.next + i)).collect();
        self.next += BATCH as i64;
        batch
    }

    fn report(&self, number: i64) -> Value {
        json!({"kind": "driver", "id": format!("d{}", number % 50), "timestamp": self.start_ms + number,
            "latitude": 41.0, "longitude": -8.0, "readings": {"note": self.note}})
    }
}

fn send(node: &Node, batch: &[Value]) -> Answer {
    node.post("/api/v1/reports", Value::from(batch).to_string())
}

/// Sends until the disk is full; gives what was acknowledged, the batch that was not, and the refusal.
fn fill(node: &Node, source: &mut Source) -> (Vec<Value>, Vec<Value>, Answer) {
    let mut acknowledged = Vec::new();
    loop {
        let batch = source.batch();
        let answer = send(node, &batch);
        if answer.status != 202 {
            return (acknowledged, batch, answer);
        }
        assert_eq!(answer.json()["accepted"], BATCH);
        acknowledged.extend(batch);
        assert!(acknowledged.len() < DISK_MIB * 2000, "the disk does not fill");
    }
}

fn check_refusal(answer: &Answer) {
    let error = answer.expect(503);
    assert_eq!(
        (&error["status"], &error["code"], &error["error"]["code"]),
        (&json!("error"), &json!(503), &json!("disk_full"))
    );
    assert!(error["error"]["help"].as_str().is_some_and(|help| help.contains("free space")), "{error}");
    assert!(answer.retry_after_s.is_some_and(|seconds| seconds > 0), "Retry-After says when to come back");
}

fn check_that_reads_go_on(node: &Node) {
    assert_eq!(node.get("/api/v1/drivers/d1/location").expect(200)["id"], "d1");
    assert_eq!(node.get("/api/v1/drivers/nearby?lat=41&lng=-8&radius=10").expect(200)["count"], 50);
    assert_eq!(node.get("/healthz").status, 200, "the process is well");
    let ready = node.get("/readyz");
    assert_eq!(ready.expect(503)["error"]["code"], "not_ready");
    assert!(ready.text().contains("disk is full"), "{}", ready.text());
    assert_eq!(node.metric(r#"drover_log_refusing{stream="reports"}"#), 1.0);
}

fn check_that_the_websocket_says_so(node: &Node, batch: &[Value]) {
    let ack = node.socket("/api/v1/ingest").ask(Value::from(batch));
    assert_eq!(ack["error"]["code"], "disk_full", "{ack}");
    assert!(ack["error"]["retry_after_s"].as_u64() > Some(0), "{ack}");
}

/// Every report of these is in the log once.
fn check_log(data: &Path, acknowledged: &[Value]) {
    let mut times: HashMap<(String, i64), u32> = HashMap::new();
    for report in read_log(data) {
        *times.entry((report.id, report.time_ms)).or_default() += 1;
    }
    for report in acknowledged {
        let key = (report["id"].as_str().expect("an id").to_owned(), report["timestamp"].as_i64().expect("a time"));
        assert_eq!(times.get(&key), Some(&1), "{key:?} was acknowledged");
    }
}

#[test]
fn a_full_disk_refuses_reports_keeps_answering_and_resumes_by_itself() {
    let folder = folder();
    let data = folder.path().join("data");
    let disk = SmallDisk::mount(&data, DISK_MIB);
    fs::write(disk.ballast(), vec![0; BALLAST_MIB << 20]).expect("room for the ballast");
    let mut source = Source::new();

    let node = Node::start_with(&data, "127.0.0.1:0", &SETTINGS);
    let (mut acknowledged, refused, refusal) = fill(&node, &mut source);
    assert!(!acknowledged.is_empty());
    check_refusal(&refusal);
    check_refusal(&send(&node, &refused));
    check_that_the_websocket_says_so(&node, &refused);
    check_that_reads_go_on(&node);

    fs::remove_file(disk.ballast()).expect("the ballast");
    let receipt =
        wait_for("room for reports", || Some(send(&node, &refused)).filter(|answer| answer.status == 202)).json();
    let (accepted, duplicates) = (receipt["accepted"].as_u64(), receipt["duplicates"].as_u64());
    assert_eq!(accepted.zip(duplicates).map(|(a, d)| a + d), Some(BATCH as u64), "{receipt}");
    acknowledged.extend(refused);
    wait_for("readiness", || Some(()).filter(|()| node.get("/readyz").status == 200));
    let more = source.batch();
    assert_eq!(send(&node, &more).expect(202)["accepted"], BATCH);
    acknowledged.extend(more);
    let before = node.checksum();
    node.stop();

    check_log(&data, &acknowledged);
    let node = Node::start_with(&data, "127.0.0.1:0", &SETTINGS);
    assert_eq!(node.checksum(), before);
    assert_eq!(send(&node, &acknowledged).expect(202)["duplicates"], acknowledged.len(), "all are known");
}

#[test]
fn a_node_that_is_killed_and_started_on_a_full_disk_reads_and_recovers() {
    let folder = folder();
    let data = folder.path().join("data");
    let disk = SmallDisk::mount(&data, DISK_MIB);
    fs::write(disk.ballast(), vec![0; BALLAST_MIB << 20]).expect("room for the ballast");
    let mut source = Source::new();
    let node = Node::start_with(&data, "127.0.0.1:0", &SETTINGS);
    let (mut acknowledged, refused, _) = fill(&node, &mut source);
    node.kill();
    // What the kill has left, so that not even an empty spare finds room.
    disk.fill("rest");

    let node = Node::start_with(&data, "127.0.0.1:0", &SETTINGS);
    assert_eq!(node.get("/api/v1/drivers/d1/location").expect(200)["id"], "d1");
    // What was torn off may have left room for a batch or two.
    let (also, _, refusal) = fill(&node, &mut source);
    acknowledged.extend(also);
    check_refusal(&refusal);
    fs::remove_file(disk.ballast()).expect("the ballast");
    wait_for("room for reports", || Some(()).filter(|()| send(&node, &refused).status == 202));
    acknowledged.extend(refused);
    node.stop();
    check_log(&data, &acknowledged);
}

#[test]
fn records_and_the_audit_go_on_by_themselves_after_a_full_disk() {
    let folder = folder();
    let data = folder.path().join("data");
    let disk = SmallDisk::mount(&data, DISK_MIB);
    fs::write(disk.ballast(), vec![0; BALLAST_MIB << 20]).expect("room for the ballast");
    let node = Node::start_with(&data, "127.0.0.1:0", &SETTINGS);
    let make = |name: &str| node.post("/api/v1/fleets", json!({"id": name, "name": name}).to_string());
    make("before").expect(201);
    disk.fill("rest");
    // What the registry had room for before may still take some.
    let (made, refused) = (0..5_000)
        .find_map(|n| Some(make(&format!("f-{n}"))).filter(|answer| answer.status != 201).map(|answer| (n, answer)))
        .expect("the disk does not fill");
    check_refusal(&refused);
    check_refusal(&make("again"));
    assert_eq!(node.get("/api/v1/fleets/before").status, 200, "records are read");

    fs::remove_file(disk.ballast()).expect("the ballast");
    wait_for("room for records", || Some(()).filter(|()| make("after").status == 201));
    for name in ["before".to_owned(), "after".to_owned()].into_iter().chain((0..made).map(|n| format!("f-{n}")).take(3))
    {
        let entries = format!("/api/v1/audit?action=fleets.create&subject=fleets/{name}");
        let entries = || node.get(&entries).expect(200)["data"].as_array().map(Vec::len);
        wait_for("the audit", || Some(()).filter(|()| entries() == Some(1)));
    }
    assert_eq!(node.get("/api/v1/audit/verify").expect(200)["data"]["sound"], true);
}
