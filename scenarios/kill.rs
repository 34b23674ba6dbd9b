//! A node that is killed, or told to stop, again and again in the middle of a load, on one data folder:
//! what it acknowledged is there afterwards, once, and the live state is what the log says.

mod harness;

use harness::{Node, drover, folder, free_port, parse, read_log, wait_for};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// Twenty for each of the three doors.
const KILLS: u64 = 60;
const STOPS: u64 = 4;
const DRIVERS: usize = 200;
/// When a node is ended, counted from the start of its load.
const ENDED_AFTER_MS: std::ops::Range<u64> = 250..1350;
/// How a node is ended, and how many seconds its load lasts. One that is told to stop takes its time, and serves the
/// connections that are open to the last.
struct End {
    end: fn(Node),
    load_s: &'static str,
}
const KILL: End = End { end: Node::kill, load_s: "1.5" };
const STOP: End = End { end: Node::stop, load_s: "4" };
/// Snapshots of the live state every second, so that kills hit their writing too.
/// Files of history every second, for the same reason.
const SETTINGS: [(&str, &str); 2] = [("DROVER_SNAPSHOT_INTERVAL_S", "1"), ("DROVER_HISTORY_FLUSH_INTERVAL_S", "1")];

/// Kind, id and event time, as a line of the ledger has them.
type Key = (String, String, i64);

/// The same moments in every run.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let span = ENDED_AFTER_MS.end - ENDED_AFTER_MS.start;
        Duration::from_millis(ENDED_AFTER_MS.start + (self.0 >> 33) % span)
    }
}

fn load(node: &Node, ledger: &Path, round: u64, seconds: &str) -> Child {
    let via = ["websocket", "http", "mqtt"][(round % 3) as usize];
    let batch = if round % 4 < 2 { "1" } else { "10" };
    let (url, mqtt) = (node.url(), node.door("mqtt").to_string());
    let drivers = DRIVERS.to_string();
    let seed = round.to_string();
    let mut command =
        drover(&["simulate", "--url", &url, "--mqtt", &mqtt, "--via", via, "--batch", batch, "--drivers", &drivers]);
    command.args([
        "--interval",
        "0.05",
        "--duration",
        seconds,
        "--connections",
        "20",
        "--seed",
        &seed,
        "--json",
        "--ledger",
    ]);
    command.arg(ledger).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the load starts")
}

/// Waits until the load has had an answer for everything that it sent.
fn settle(load: Child) -> Value {
    let output = load.wait_with_output().expect("the load is our child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = parse(&output.stdout);
    assert_eq!(summary["rejected"], Value::Object(Default::default()), "sending again is no conflict: {summary}");
    assert_eq!(summary["unanswered"], 0, "{summary}");
    assert!(summary["errors"].as_u64() > Some(0), "the end of the node hit the load: {summary}");
    summary
}

/// Ends the node under load, starts it again while the senders knock, and lets them finish.
fn round(node: Node, end: &End, data: &Path, ledger: &Path, number: u64, moment: Duration) -> Node {
    let doors = [("--http", node.address().to_string()), ("--mqtt", node.door("mqtt").to_string())];
    let load = load(&node, ledger, number, end.load_s);
    std::thread::sleep(moment);
    (end.end)(node);
    let node = Node::start_at(data, &doors.each_ref().map(|(flag, address)| (*flag, &**address)), &SETTINGS);
    settle(load);
    node
}

fn acknowledged(ledger: &Path) -> HashSet<Key> {
    let text = fs::read_to_string(ledger).expect("the ledger was written");
    let lines = text.lines().map(|line| {
        let [kind, id, time] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("not a line of a ledger: {line}")
        };
        (kind.to_owned(), id.to_owned(), time.parse().expect("a time"))
    });
    lines.collect()
}

fn newest_by_id<'a>(keys: impl Iterator<Item = &'a Key>) -> HashMap<String, i64> {
    let mut newest: HashMap<String, i64> = HashMap::new();
    for (_, id, time) in keys {
        let known = newest.entry(id.clone()).or_insert(*time);
        *known = (*known).max(*time);
    }
    newest
}

fn shown_ms(node: &Node, id: &str) -> i64 {
    let answer = node.get(&format!("/api/v1/drivers/{id}/location")).expect(200);
    drover_model::parse_time(answer["timestamp"].as_str().expect("a time")).expect("RFC 3339")
}

/// A copy of the data folder in which `spoil` may do damage.
fn copy(data: &Path, to: &Path, spoil: impl FnOnce(&Path)) -> PathBuf {
    copy_folder(data, to);
    spoil(to);
    to.to_owned()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("room for a copy");
        }
    }
}

fn snapshots(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("live")).expect("the folder of snapshots");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "live"));
    paths.sort();
    paths
}

fn tear_newest_snapshot(data: &Path) {
    let newest = snapshots(data).pop().expect("a snapshot");
    let bytes = fs::read(&newest).expect("a file");
    fs::write(newest, &bytes[..bytes.len() / 2]).expect("a torn file");
}

/// What a node makes of a folder.
fn checksum_of(data: &Path) -> Value {
    let node = Node::start_with(data, "127.0.0.1:0", &SETTINGS);
    let checksum = node.checksum();
    node.kill();
    checksum
}

fn check_log(data: &Path, acknowledged: &HashSet<Key>) -> HashSet<Key> {
    let mut logged = HashSet::new();
    for report in read_log(data) {
        let key = (report.kind.name().to_owned(), report.id, report.time_ms);
        assert!(!logged.contains(&key), "{key:?} is in the log twice");
        logged.insert(key);
    }
    let lost: Vec<_> = acknowledged.difference(&logged).collect();
    assert!(lost.is_empty(), "{} acknowledged reports are not in the log, such as {:?}", lost.len(), lost[0]);
    logged
}

/// History has every report of the log once, however often its writing was cut off.
fn check_history(node: &Node) {
    let sql = r#"{"sql": "SELECT count(*), count(DISTINCT position), max(position) FROM reports"}"#;
    let end = node.log_position();
    wait_for("history of the whole log", || {
        let answer = node.post("/api/v1/sql", sql).expect(200);
        assert_eq!(answer["rows"][0][0], answer["rows"][0][1], "no report twice: {answer}");
        (answer["rows"][0] == serde_json::json!([end, end, end])).then_some(())
    });
    let status = node.get("/api/v1/history").expect(200);
    assert!(status["files"].as_u64() > Some(0), "some of it went through files: {status}");
    assert_eq!(status["gap"], 0, "{status}");
}

/// Ends a node so many times under load; gives the last node and what was acknowledged in all.
fn rounds(data: &Path, ledger: &Path, count: u64, end: &End) -> (Node, HashSet<Key>) {
    let mut moments = Moments(20_261_121);
    let [http, mqtt] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let mut node = Node::start_at(data, &[("--http", &http), ("--mqtt", &mqtt)], &SETTINGS);
    for number in 0..count {
        node = round(node, end, data, ledger, number, moments.next());
    }
    let acknowledged = acknowledged(ledger);
    let enough = count as usize * 1000;
    assert!(acknowledged.len() > enough, "{} reports: too small a load to prove anything", acknowledged.len());
    (node, acknowledged)
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_twenty_kills_at_each_door() {
    let folder = folder();
    let (data, ledger) = (folder.path().join("data"), folder.path().join("ledger"));
    let (node, acknowledged) = rounds(&data, &ledger, KILLS, &KILL);
    let before = node.checksum();
    let shown: HashMap<String, i64> =
        newest_by_id(acknowledged.iter()).into_keys().map(|id| (id.clone(), shown_ms(&node, &id))).collect();
    assert_eq!(shown.len(), DRIVERS);
    check_history(&node);
    node.kill();

    assert!(!snapshots(&data).is_empty(), "the load was long enough for a snapshot");
    assert_eq!(checksum_of(&data), before, "live after a replay is live before the kill");
    let without =
        copy(&data, &folder.path().join("without"), |data| fs::remove_dir_all(data.join("live")).expect("snapshots"));
    assert_eq!(checksum_of(&without), before, "and the same without any snapshot");
    let torn = copy(&data, &folder.path().join("torn"), tear_newest_snapshot);
    assert_eq!(checksum_of(&torn), before, "and the same with a torn one");

    let logged = check_log(&data, &acknowledged);
    assert_eq!(shown, newest_by_id(logged.iter()), "each driver is shown at its newest report");
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_stops_under_load() {
    let folder = folder();
    let (data, ledger) = (folder.path().join("data"), folder.path().join("ledger"));
    let (node, acknowledged) = rounds(&data, &ledger, STOPS, &STOP);
    let before = node.checksum();
    node.stop();
    assert_eq!(checksum_of(&data), before);
    check_log(&data, &acknowledged);
}
