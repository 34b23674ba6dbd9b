//! What the tests of the lake share: a log and a lake in one folder, reports, and DuckDB as the independent reader.
#![allow(dead_code, reason = "each test uses its part")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use drover_history::{History, Running, Settings, Status, View};
use drover_log::{Log, SegmentEngine, SegmentSettings};
use drover_model::{Draft, Kind, Reading, Readings, Report, Rules};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// 2026-05-28T10:00:00Z, ms.
pub const MORNING: i64 = 1_779_962_400_000;
/// Milliseconds of a day.
pub const DAY: i64 = 86_400_000;
/// No wait in a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A log and, while it runs, the lake that follows it.
pub struct Node {
    pub folder: PathBuf,
    pub log: Log,
    pub history: History,
    pub running: Running,
}

/// Only what the test asks for gets flushed.
pub fn patient(folder: &Path) -> Settings {
    Settings { flush_interval: Duration::from_secs(3600), ..Settings::new(folder.join("lake")) }
}

pub fn open_log(folder: &Path) -> Log {
    let settings = SegmentSettings { segment_bytes: 1 << 20, ..SegmentSettings::new(folder.join("log")) };
    Log::open(SegmentEngine::open(settings).unwrap(), drover_log::Settings::default())
}

impl Node {
    pub fn start(folder: &Path) -> Node {
        Node::start_with(folder, patient(folder))
    }

    pub fn start_with(folder: &Path, settings: Settings) -> Node {
        let log = open_log(folder);
        let (history, running) = drover_history::follow(&log, settings).unwrap();
        Node { folder: folder.to_owned(), log, history, running }
    }

    pub fn stop(self) {
        self.running.stop();
        self.log.close();
    }

    /// Makes the records durable and waits until they can be seen.
    pub fn append(&self, records: &[Vec<u8>]) -> u64 {
        let last = self.log.append_all(records).unwrap();
        self.log.wait_durable(last).unwrap();
        self.wait("visible", |status| status.position >= last);
        last
    }

    /// Writes everything visible to files.
    pub fn flush(&self) -> Status {
        let position = self.history.status().position;
        self.wait("flushed", |status| {
            self.history.flush_now();
            status.cursor >= position
        })
    }

    pub fn wait(&self, what: &str, mut done: impl FnMut(&Status) -> bool) -> Status {
        let since = Instant::now();
        loop {
            let status = self.history.status();
            if done(&status) {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "not {what} in time: {status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    /// One row set for each statement, all of one snapshot.
    pub fn duckdb(&self, statements: &[&str]) -> Vec<Vec<Vec<Option<String>>>> {
        duckdb(&self.lake(), "read", statements)
    }

    /// The one value of a statement.
    pub fn duckdb_value(&self, statement: &str) -> String {
        self.duckdb(&[statement])[0][0][0].clone().unwrap_or_else(|| "NULL".into())
    }

    pub fn duckdb_count(&self, condition: &str) -> u64 {
        self.duckdb_value(&format!("SELECT count(*) AS n FROM reports WHERE {condition}")).parse().unwrap()
    }
}

/// The interpreter with DuckDB; made on first use.
pub fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/test-python");
        let output = Command::new(&script).output().unwrap();
        assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}

pub fn duckdb(lake: &Path, mode: &str, statements: &[&str]) -> Vec<Vec<Vec<Option<String>>>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/ask_duckdb.py");
    let output = Command::new(python()).arg(script).arg(lake).arg(mode).args(statements).output().unwrap();
    assert!(output.status.success(), "DuckDB: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| rows(&serde_json::from_str(line).unwrap())).collect()
}

fn rows(answer: &serde_json::Value) -> Vec<Vec<Option<String>>> {
    let cell = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    answer.as_array().unwrap().iter().map(|row| row.as_array().unwrap().iter().map(cell).collect()).collect()
}

/// A driver's report at a time, received half a second later.
pub fn driver(id: &str, event_time: i64, speed_kmh: f64) -> Vec<u8> {
    with_readings(Kind::Driver, id, event_time, speed_kmh, &[])
}

pub fn with_readings(
    kind: Kind,
    id: &str,
    event_time: i64,
    speed_kmh: f64,
    readings: &[(&str, Reading<'_>)],
) -> Vec<u8> {
    let mut kept = Readings::default();
    readings.iter().for_each(|(name, value)| kept.push(name, *value).unwrap());
    let draft = Draft {
        kind: Some(kind),
        id: Some(id.into()),
        event_time: Some(event_time),
        latitude: Some(41.15 + speed_kmh / 1000.0),
        longitude: Some(-8.61),
        speed_kmh: Some(speed_kmh),
        readings: kept,
        ..Draft::default()
    };
    let mut record = Vec::new();
    draft.check(&Rules::default(), event_time + 500).unwrap().encode(&mut record);
    record
}

/// `count` reports of `assets` drivers, one each second from `start`, speeds 0 to 99.
pub fn drive(start: i64, count: usize, assets: usize) -> Vec<Vec<u8>> {
    let report = |at: usize| driver(&format!("d-{}", at % assets), start + at as i64 * 1000, (at % 100) as f64);
    (0..count).map(report).collect()
}

/// Every row that the view has, from files and tail.
pub fn all_rows(view: &View) -> Vec<RecordBatch> {
    let mut batches = view.tail.batches();
    for file in view.files.iter() {
        let opened = drover_history::FileBytes::open(file).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened).unwrap().build().unwrap();
        batches.extend(reader.map(Result::unwrap));
    }
    batches
}

/// The positions of every row of the view, sorted.
pub fn positions(view: &View) -> Vec<u64> {
    let mut positions = Vec::new();
    for batch in all_rows(view) {
        let column = batch.column_by_name("position").unwrap().as_primitive::<Int64Type>();
        positions.extend(column.values().iter().map(|position| *position as u64));
    }
    positions.sort_unstable();
    positions
}

/// Reports as they are in the log.
pub fn decoded(records: &[Vec<u8>]) -> Vec<Report<'_>> {
    records.iter().map(|record| Report::decode(record).unwrap()).collect()
}
