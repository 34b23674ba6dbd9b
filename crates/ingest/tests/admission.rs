//! Admission: what is new, late, a duplicate, a conflict, and that it stays so over restarts.

use drover_ingest::{Admission, Admitted, DeviceRate, Refusal};
use drover_log::{Log, MemoryEngine, Retention, Settings};
use drover_model::{Draft, Flags, Kind, RecordRef, RejectCode, Report, Rules};
use proptest::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

const NOW: i64 = 1_790_000_000_000;
/// Of more reports than memory holds keys.
const FIRST: i64 = NOW - 2_000_000;

fn log() -> Log {
    Log::open(MemoryEngine::new(1 << 30), Settings::default())
}

fn open(log: &Log, folder: &Path, rate: Option<DeviceRate>) -> Admission {
    Admission::open(log.clone(), folder, Rules::default(), rate).unwrap()
}

fn draft(id: &str, time: Option<i64>, speed: f64) -> Draft<'_> {
    Draft {
        kind: Some(Kind::Driver),
        id: Some(id.into()),
        event_time: time,
        speed_kmh: Some(speed),
        ..Draft::default()
    }
}

fn admit(admission: &Admission, draft: Draft<'_>) -> String {
    match admission.admit(draft, NOW, &mut Vec::new()) {
        Ok(Admitted::New { late: false, .. }) => "new".into(),
        Ok(Admitted::New { late: true, .. }) => "late".into(),
        Ok(Admitted::Duplicate { .. }) => "duplicate".into(),
        Err(Refusal::Reject(reject)) => reject.code.name().into(),
        Err(other) => panic!("{other}"),
    }
}

/// Everything in the log, as a start reads it back.
fn records(log: &Log, from: u64) -> Vec<Vec<u8>> {
    log.wait_durable(log.next_position() - 1).unwrap();
    let mut follower = log.follow("test", from);
    let mut all = Vec::new();
    while let Some(batch) = follower.next(Duration::ZERO).unwrap() {
        all.extend(batch.records().filter(|(position, _)| *position >= from).map(|(_, record)| record.to_vec()));
    }
    all
}

/// As a node starts: keys that no run covers from the log, newest times from the live state.
fn reopen(log: &Log, folder: &Path) -> Admission {
    let admission = open(log, folder, None);
    for record in records(log, admission.recover_from()) {
        admission.remember(RecordRef::new(&record).unwrap());
    }
    for record in records(log, 1) {
        let report = Report::decode(&record).unwrap();
        admission.remember_newest(report.kind, &report.id, report.event_time, None);
    }
    admission
}

#[test]
fn a_resend_is_a_duplicate_and_other_content_a_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let log = log();
    let admission = open(&log, folder.path(), None);
    assert_eq!(admit(&admission, draft("1", Some(NOW), 5.0)), "new");
    assert_eq!(admit(&admission, draft("1", Some(NOW), 5.0)), "duplicate");
    assert_eq!(admit(&admission, draft("1", Some(NOW), 6.0)), "conflict");
    assert_eq!(admit(&admission, draft("2", Some(NOW), 5.0)), "new");
    assert_eq!(admit(&admission, draft("1", Some(NOW - 1), 5.0)), "late");
    assert_eq!(admit(&admission, draft("1", Some(NOW - 1), 5.0)), "duplicate");
    assert_eq!(records(&log, 1).len(), 3);
}

#[test]
fn reports_without_event_time_get_strictly_increasing_times() {
    let folder = tempfile::tempdir().unwrap();
    let log = log();
    let admission = open(&log, folder.path(), None);
    for _ in 0..3 {
        assert_eq!(admit(&admission, draft("1", None, 5.0)), "new");
    }
    let records = records(&log, 1);
    let reports: Vec<_> = records.iter().map(|r| Report::decode(r).unwrap()).collect();
    assert_eq!(reports.iter().map(|r| r.event_time).collect::<Vec<_>>(), [NOW, NOW + 1, NOW + 2]);
    assert!(reports.iter().all(|r| r.flags.has(Flags::NO_EVENT_TIME)));
}

#[test]
fn a_device_that_floods_is_held_back_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let admission = open(&log(), folder.path(), Some(DeviceRate { per_second: 1.0, burst: 3.0 }));
    let outcomes: Vec<_> = (0..5).map(|i| admit(&admission, draft("1", Some(NOW + i), 5.0))).collect();
    assert_eq!(outcomes, ["new", "new", "new", RejectCode::RateLimited.name(), RejectCode::RateLimited.name()]);
    assert_eq!(admit(&admission, draft("2", Some(NOW), 5.0)), "new");
}

#[test]
fn duplicates_are_known_after_keys_went_to_disk_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log = log();
    let admission = open(&log, folder.path(), None);
    for round in 0..20 {
        for i in 0..50 {
            assert_eq!(admit(&admission, draft("1", Some(NOW - 10_000 + round * 50 + i), 5.0)), "new");
        }
        admission.flush().unwrap();
    }
    assert_eq!(admit(&admission, draft("1", Some(NOW), 5.0)), "new");
    expect_all_known(&admission);
    drop(admission);
    expect_all_known(&reopen(&log, folder.path()));
}

/// The reports of the test above are duplicates; one in a gap is late, one on a known time conflicts.
fn expect_all_known(admission: &Admission) {
    for i in 0..1000 {
        assert_eq!(admit(admission, draft("1", Some(NOW - 10_000 + i), 5.0)), "duplicate", "report {i}");
    }
    assert_eq!(admit(admission, draft("1", Some(NOW), 5.0)), "duplicate");
    assert_eq!(admit(admission, draft("1", Some(NOW - 9_500), 6.0)), "conflict");
}

#[test]
fn a_torn_run_is_rebuilt_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = log();
    let admission = open(&log, folder.path(), None);
    for i in 0..500 {
        admit(&admission, draft("1", Some(NOW - 1000 + i), 5.0));
    }
    admission.flush().unwrap();
    drop(admission);
    let run = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&run).unwrap();
    std::fs::write(&run, &bytes[..bytes.len() - 7]).unwrap();
    let admission = reopen(&log, folder.path());
    for i in 0..500 {
        assert_eq!(admit(&admission, draft("1", Some(NOW - 1000 + i), 5.0)), "duplicate");
    }
}

fn run_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "seen")).collect();
    paths.sort();
    paths
}

#[test]
fn a_run_lost_from_the_middle_is_rebuilt_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = log();
    let admission = open(&log, folder.path(), None);
    for i in 0..500 {
        admit(&admission, draft("1", Some(NOW - 1000 + i), 5.0));
        if i % 100 == 99 {
            admission.flush().unwrap();
        }
    }
    drop(admission);
    std::fs::remove_file(&run_files(folder.path())[2]).unwrap();
    // A crash before the keys are on disk again must not lose them either.
    for _ in 0..2 {
        let admission = reopen(&log, folder.path());
        assert_eq!(admission.recover_from(), 201);
        for i in 0..500 {
            assert_eq!(admit(&admission, draft("1", Some(NOW - 1000 + i), 5.0)), "duplicate");
        }
    }
    reopen(&log, folder.path()).flush().unwrap();
    assert_eq!(open(&log, folder.path(), None).recover_from(), 501);
}

#[test]
fn keys_are_forgotten_only_beyond_the_horizon() {
    for (keep_ms, expected) in [(None, "duplicate"), (Some(2000), "duplicate"), (Some(500), "late")] {
        let folder = tempfile::tempdir().unwrap();
        let log = log();
        let admission = open(&log, folder.path(), None).keeping(keep_ms);
        for time in [NOW - 1000, NOW] {
            admit(&admission, draft("1", Some(time), 5.0));
            admission.flush().unwrap();
        }
        assert_eq!(admit(&admission, draft("1", Some(NOW - 1000), 5.0)), "duplicate", "the log still has it");
        log.retain(&Retention { max_bytes: Some(0), max_age_ms: None }).unwrap();
        assert_eq!(log.oldest(), 2);
        admission.flush().unwrap();
        assert_eq!(admit(&admission, draft("1", Some(NOW - 1000), 5.0)), expected, "kept for {keep_ms:?} ms");
        assert_eq!(admit(&admission, draft("1", Some(NOW), 5.0)), "duplicate");
    }
}

/// Reads back more keys than memory may hold: they go to disk, claim nothing until all are read, and a crash on the way
/// loses none.
#[test]
fn reading_back_a_long_log_is_bounded_and_may_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let log = log();
    let admission = open(&log, folder.path(), None);
    for i in 0..600_000 {
        admit_patiently(&log, &admission, i);
    }
    drop(admission);
    run_files(folder.path()).iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let all = records(&log, 1);
    let admission = open(&log, folder.path(), None);
    all[..550_000].iter().for_each(|record| admission.remember(RecordRef::new(record).unwrap()));
    assert_eq!(run_files(folder.path()).len(), 2);
    assert_eq!(open(&log, folder.path(), None).recover_from(), 1, "nothing is claimed yet");
    let admission = reopen(&log, folder.path());
    for i in (0..600_000).step_by(997) {
        assert_eq!(admit(&admission, draft("1", Some(FIRST + i), 5.0)), "duplicate");
    }
}

/// Nobody moves keys to disk here but admission itself.
#[test]
fn admission_never_holds_more_keys_than_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let log = log();
    let admission = open(&log, folder.path(), None);
    for i in 0..1_048_576 {
        admit_patiently(&log, &admission, i);
    }
    assert!(admission.is_full() && run_files(folder.path()).is_empty());
    admit_patiently(&log, &admission, 1_048_576);
    assert!(!admission.is_full());
    assert_eq!(run_files(folder.path()).len(), 1);
    assert_eq!(admit(&admission, draft("1", Some(FIRST), 5.0)), "duplicate");
}

/// One after another, waiting for the disk now and then as every door does.
fn admit_patiently(log: &Log, admission: &Admission, i: i64) {
    assert_eq!(admit(admission, draft("1", Some(FIRST + i), 5.0)), "new");
    if i % 50_000 == 0 {
        log.wait_durable(log.next_position() - 1).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The twin is a map from (id, time) to content; flushes and restarts may come at any moment.
    #[test]
    fn admission_agrees_with_its_twin(steps in proptest::collection::vec((0u8..12, 0i64..20, 0u8..2), 1..200)) {
        let folder = tempfile::tempdir().unwrap();
        let log = log();
        let mut admission = open(&log, folder.path(), None);
        let mut twin: HashMap<(u8, i64), u8> = HashMap::new();
        let mut newest: HashMap<u8, i64> = HashMap::new();
        for (what, time, content) in steps {
            match what {
                10 => admission.flush().unwrap(),
                11 => admission = reopen(&log, folder.path()),
                id => {
                    let late = newest.get(&id).is_some_and(|n| time <= *n);
                    let expected = match twin.get(&(id, time)) {
                        Some(c) if *c == content => "duplicate",
                        Some(_) => "conflict",
                        None if late => "late",
                        None => "new",
                    };
                    let name = id.to_string();
                    prop_assert_eq!(admit(&admission, draft(&name, Some(NOW + time), f64::from(content))), expected);
                    twin.entry((id, time)).or_insert(content);
                    let newest = newest.entry(id).or_insert(time);
                    *newest = time.max(*newest);
                }
            }
        }
        prop_assert_eq!(records(&log, 1).len(), twin.len());
    }
}
