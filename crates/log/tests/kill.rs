//! `kill -9` in the middle of appends: no acknowledged record is missing afterwards.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use drover_log::{Log, SegmentEngine, SegmentSettings, Settings};

const THIS_TEST: &str = "acknowledged_records_survive_kill_9";
const FOLDER_OF_CHILD: &str = "DROVER_LOG_KILL_TEST_FOLDER";
const ROUNDS: usize = 8;

#[test]
fn acknowledged_records_survive_kill_9() {
    if let Some(folder) = std::env::var_os(FOLDER_OF_CHILD) {
        append_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let before = acknowledged.len();
        acknowledged.extend(run_and_kill(folder.path(), 100 + round * 151));
        assert!(acknowledged.len() >= before + 100, "positions are not given twice");
        check(&open(folder.path()), &acknowledged);
    }
    assert_eq!(drover_log::verify(folder.path()).unwrap(), []);
}

/// This test's binary once more, killed after so many acknowledgements. Returns all that it gave.
fn run_and_kill(folder: &Path, acknowledgements: usize) -> Vec<(u64, String)> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([THIS_TEST, "--exact", "--nocapture"]).env(FOLDER_OF_CHILD, folder).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    let mut seen = 0;
    while seen < acknowledgements {
        let start = text.len();
        assert_ne!(output.read_line(&mut text).unwrap(), 0, "the child ended by itself");
        seen += usize::from(text[start..].starts_with("ack "));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    output.read_to_string(&mut text).unwrap();
    let whole_lines = text.rsplit_once('\n').unwrap().0;
    whole_lines.lines().filter_map(|line| line.strip_prefix("ack ")).map(acknowledgement).collect()
}

fn acknowledgement(line: &str) -> (u64, String) {
    let (position, record) = line.split_once(' ').unwrap();
    (position.parse().unwrap(), record.to_owned())
}

fn append_until_killed(folder: &Path) -> ! {
    let log = open(folder);
    std::thread::scope(|scope| {
        for appender in 0..6 {
            let log = &log;
            scope.spawn(move || {
                for at in 0.. {
                    let record = format!("{}/{appender}/{at}/{}", std::process::id(), "x".repeat(at % 300));
                    let position = log.append(record.as_bytes()).unwrap();
                    log.wait_durable(position).unwrap();
                    let line = format!("ack {position} {record}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
    unreachable!("the parent kills this process")
}

/// Small segments, so that some kills hit a change of segments.
fn open(folder: &Path) -> Log {
    let settings = SegmentSettings { segment_bytes: 64 << 10, ..SegmentSettings::new(folder) };
    Log::open(SegmentEngine::open(settings).unwrap(), Settings::default())
}

fn check(log: &Log, acknowledged: &BTreeMap<u64, String>) {
    let mut follower = log.follow("checking", 1);
    let mut found = BTreeMap::new();
    while follower.position() < log.durable_position() {
        let batch = follower.next(Duration::ZERO).unwrap().unwrap();
        found.extend(batch.records().map(|(at, record)| (at, String::from_utf8(record.to_vec()).unwrap())));
    }
    for (position, record) in acknowledged {
        assert_eq!(found.get(position), Some(record), "position {position} was acknowledged");
    }
}
