//! History in trouble: its catalogue locked by somebody else, its disk full. Reports are taken and read all the while,
//! the trouble can be seen, and afterwards the lake has each of them once.

mod harness;

use drover_objects::s3_server::S3Server;
use harness::{Node, SmallDisk, clients, drover, folder, now_ms, parse, python, report, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LOCKED: Duration = Duration::from_secs(30);
const STORE_AWAY: Duration = Duration::from_secs(60);
const BATCH: usize = 100;
const LAKE_MIB: usize = 4;

/// A node that writes files every second, and what was sent to it.
struct Busy {
    node: Node,
    data: PathBuf,
    start_ms: i64,
    sent: usize,
}

impl Busy {
    fn start(data: &Path) -> Busy {
        Busy::start_with(data, &[])
    }

    fn start_with(data: &Path, settings: &[(&str, &str)]) -> Busy {
        let settings = [&[("DROVER_HISTORY_FLUSH_INTERVAL_S", "1")], settings].concat();
        let node = Node::start_with(data, "127.0.0.1:0", &settings);
        Busy { node, data: data.to_owned(), start_ms: now_ms() - 3_600_000, sent: 0 }
    }

    fn send(&mut self) {
        let one = |number: usize| {
            let id = format!("d-{}", number % 7);
            report("driver", &id, self.start_ms + number as i64, 41.0 + (number % 1000) as f64 / 1e4, -8.0)
        };
        let batch: Vec<Value> = (self.sent..self.sent + BATCH).map(one).collect();
        self.node.report(&batch);
        self.sent += BATCH;
    }

    fn status(&self) -> Value {
        self.node.get("/api/v1/history").expect(200)
    }

    /// Everything is there for readers, in files or not.
    fn check_reads(&self) {
        let count =
            self.node.post("/api/v1/sql", json!({"sql": "SELECT count(*) FROM reports"}).to_string()).expect(200);
        assert_eq!(count["rows"], json!([[self.sent]]));
        let whole = "start_time=2020-01-01T00:00:00Z&end_time=2040-01-01T00:00:00Z&limit=50000";
        let route = self.node.get(&format!("/api/v1/drivers/d-0/route?{whole}")).expect(200);
        assert_eq!(route["count"], self.sent.div_ceil(7));
    }

    fn wait_for_trouble(&self, words: &str) -> String {
        wait_for("visible trouble", || {
            let error = self.status()["error"].as_str()?.to_owned();
            assert!(error.contains(words), "{error}");
            Some(error)
        })
    }

    /// The lake has every report once, says DuckDB, and the doctor finds nothing.
    fn check_caught_up(self) {
        wait_for("catching up", || {
            let status = self.status();
            (status["error"].is_null() && status["flushed_position"] == self.node.log_position()).then_some(())
        });
        self.check_reads();
        let script = clients().join("duckdb_lake.py");
        let sql = "SELECT count(*), count(DISTINCT position), max(position) FROM reports";
        let output = Command::new(python()).arg(script).arg(self.data.join("lake")).arg(sql).output().expect("Python");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(parse(&output.stdout), json!([[self.sent, self.sent, self.sent]]));
        self.node.stop();
        let doctor = drover(&["doctor", "--data", self.data.to_str().expect("UTF-8")]).output().expect("drover starts");
        assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
    }
}

fn lock_catalogue(data: &Path) -> Child {
    let mut command = Command::new(python());
    command.arg(clients().join("lock_catalogue.py")).arg(data.join("lake"));
    let mut locker = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python runs");
    let mut line = String::new();
    BufReader::new(locker.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line, "locked\n");
    locker
}

#[test]
fn a_catalogue_locked_for_half_a_minute_holds_up_nothing_and_is_caught_up_exactly() {
    let folder = folder();
    let mut busy = Busy::start(&folder.path().join("data"));
    busy.send();
    wait_for("first files", || (busy.status()["files"].as_u64() > Some(0)).then_some(()));
    let mut locker = lock_catalogue(&busy.data);
    let locked = Instant::now();
    while locked.elapsed() < LOCKED {
        busy.send();
        busy.check_reads();
        std::thread::sleep(Duration::from_millis(100));
    }
    let error = busy.wait_for_trouble("locked");
    assert!(error.contains("catalog.sqlite"), "it says where: {error}");
    assert!(busy.node.metric(r#"drover_history_errors_total{activity="flush"}"#) > 0.0);
    assert_eq!(busy.node.get("/readyz").status, 200, "reports are taken");
    drop(locker.stdin.take());
    assert!(locker.wait().expect("our child").success());
    busy.check_caught_up();
}

#[test]
fn a_full_disk_below_the_lake_holds_up_nothing_and_is_caught_up_exactly() {
    let folder = folder();
    let data = folder.path().join("data");
    let disk = SmallDisk::mount(&data.join("lake"), LAKE_MIB);
    let mut busy = Busy::start(&data);
    busy.send();
    wait_for("first files", || (busy.status()["files"].as_u64() > Some(0)).then_some(()));
    disk.fill("ballast");
    busy.send();
    let error = busy.wait_for_trouble("");
    assert!(error.contains("space") || error.contains("full"), "it says what is missing: {error}");
    for _ in 0..20 {
        busy.send();
        busy.check_reads();
    }
    fs::remove_file(disk.ballast()).expect("the ballast");
    busy.check_caught_up();
}

/// A store that is away for a minute.
#[test]
fn a_store_that_is_away_for_a_minute_holds_up_nothing_and_is_caught_up_exactly() {
    let (folder, bucket) = (folder(), folder());
    let mut server = S3Server::start(bucket.path(), &["lake"]);
    let secret = folder.path().join("secret");
    let keys = server.s3();
    let [endpoint, key, hidden] = [keys.endpoint, keys.access_key_id, keys.secret_access_key].map(Option::unwrap);
    fs::write(&secret, &hidden).expect("written");
    let settings = [
        ("DROVER_HISTORY_STORE", "s3://lake/here"),
        ("DROVER_S3_ENDPOINT", endpoint.as_str()),
        ("DROVER_S3_ACCESS_KEY_ID", key.as_str()),
        ("DROVER_S3_SECRET_ACCESS_KEY_FILE", secret.to_str().expect("UTF-8")),
    ];
    let mut busy = Busy::start_with(&folder.path().join("data"), &settings);
    busy.send();
    wait_for("first files", || (busy.status()["files"].as_u64() > Some(0)).then_some(()));
    busy.check_reads();
    server.kill();
    let away = Instant::now();
    while away.elapsed() < STORE_AWAY {
        busy.send();
        let newest = format!("/api/v1/drivers/d-{}/location", (busy.sent - 1) % 7);
        let at_least = busy.node.log_position();
        assert_eq!(busy.node.get(&format!("{newest}?at_least={at_least}")).status, 200, "live does not care");
        std::thread::sleep(Duration::from_millis(100));
    }
    let error = busy.wait_for_trouble("s3://lake/here");
    assert!(!error.contains(&hidden), "no secret in it: {error}");
    assert_eq!(busy.node.get("/readyz").status, 200, "reports are taken");
    server.restart();
    wait_for("catching up", || {
        let status = busy.status();
        (status["error"].is_null() && status["flushed_position"] == busy.node.log_position()).then_some(())
    });
    busy.check_reads();

    let sql = "SELECT count(*), count(DISTINCT position), max(position) FROM reports";
    let mut duckdb = Command::new(python());
    duckdb.arg(clients().join("duckdb_lake.py")).arg(busy.data.join("lake")).arg(sql);
    let host = endpoint.trim_start_matches("http://");
    let output =
        duckdb.env("S3_ENDPOINT", host).env("S3_KEY", &key).env("S3_SECRET", &hidden).output().expect("Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(parse(&output.stdout), json!([[busy.sent, busy.sent, busy.sent]]));
    busy.node.stop();
    let mut doctor = drover(&["doctor", "--deep", "--data", busy.data.to_str().expect("UTF-8")]);
    let doctor = doctor.envs(settings).output().expect("drover starts");
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
    let local: Vec<_> = walk(&busy.data.join("lake")).into_iter().filter(|path| path.ends_with(".parquet")).collect();
    assert!(local.is_empty(), "all of it is in the store: {local:?}");
}

/// The paths of all files below a folder.
fn walk(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let below = |path: PathBuf| if path.is_dir() { walk(&path) } else { vec![path.display().to_string()] };
    entries.flat_map(below).collect()
}
