//! A file system that is really full. Needs the right to mount a tmpfs, and fails without it.

#[path = "support/disk.rs"]
mod disk;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use disk::SmallDisk;
use drover_log::{AppendError, CommitError, EngineError, Log, SegmentEngine, SegmentSettings, Settings};

const SEGMENT_BYTES: u64 = 128 << 10;
const RECORD_BYTES: usize = 1000;

#[test]
fn a_full_disk_refuses_appends_keeps_reads_and_resumes_by_itself() {
    let disk = SmallDisk::mount("1m");
    let log = open(disk.path());
    commit(&log).unwrap();
    // The spare first, then no room for anything else.
    wait_until(|| disk.path().join("log/spare").exists());
    let ballast = disk.fill();

    let last = loop {
        let position = log.append(&record(log.next_position())).unwrap();
        match log.wait_durable(position) {
            Ok(()) => {}
            Err(CommitError::Full(_)) => break position,
            Err(error) => panic!("{error}"),
        }
    };
    let room = 2 * (SEGMENT_BYTES - 8192) / (RECORD_BYTES as u64 + 36);
    assert!((room - 2..=room + 1).contains(&last), "segment and spare were used up first: {last} of {room}");

    assert!(matches!(log.append(b"refused"), Err(AppendError::Full(_))));
    assert!(log.stats().full);
    check_records(&log, last - 1);
    assert!(!disk.path().join("log/spare.tmp").exists(), "no half-made spare takes up space");

    fs::remove_file(ballast).unwrap();
    wait_until(|| !log.stats().full);
    assert_eq!(log.wait_durable(last), Ok(()), "what was buffered became durable");
    commit(&log).unwrap();
    check_records(&log, last + 1);
    drop(log);
    check_records(&open(disk.path()), last + 1);
}

#[test]
fn opening_on_a_full_disk_reads_and_uses_up_what_there_is() {
    let disk = SmallDisk::mount("1m");
    let log = open(disk.path());
    (0..10).for_each(|_| commit(&log).unwrap());
    drop(log);
    let _ = fs::remove_file(disk.path().join("log/spare"));
    let ballast = disk.fill();
    let log = open(disk.path());
    check_records(&log, 10);
    commit(&log).unwrap();
    while commit(&log).is_ok() {}
    assert!(log.stats().full);
    fs::remove_file(ballast).unwrap();
    wait_until(|| !log.stats().full);
    commit(&log).unwrap();
    check_records(&log, log.durable_position());
}

fn open(disk: &Path) -> Log {
    let settings =
        SegmentSettings { segment_bytes: SEGMENT_BYTES, spare_retry_ms: 10, ..SegmentSettings::new(disk.join("log")) };
    // A process that the other test starts has our lock too, between its fork and its exec.
    let mut tries = 0..100;
    let engine = loop {
        match SegmentEngine::open(settings.clone()) {
            Err(EngineError::Locked(_)) if tries.next().is_some() => std::thread::sleep(Duration::from_millis(10)),
            opened => break opened.unwrap(),
        }
    };
    Log::open(engine, Settings { full_retry_ms: 10, ring_bytes: 1, ..Settings::default() })
}

fn commit(log: &Log) -> Result<(), CommitError> {
    log.wait_durable(log.append(&record(log.next_position())).unwrap())
}

fn record(at: u64) -> Vec<u8> {
    let mut record = at.to_le_bytes().to_vec();
    record.resize(RECORD_BYTES, at as u8);
    record
}

fn check_records(log: &Log, last: u64) {
    let mut follower = log.follow("checking", 1);
    while follower.position() < last {
        let batch = follower.next(Duration::from_secs(10)).unwrap().unwrap();
        batch.records().for_each(|(at, found)| assert_eq!(found, record(at)));
    }
    assert_eq!(follower.position(), last);
}

fn wait_until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "it did not happen");
        std::thread::yield_now();
    }
}
