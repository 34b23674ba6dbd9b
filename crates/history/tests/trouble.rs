//! When something is in the way: a locked catalogue, another writer, a full disk, damaged files, holes in the log.
//! Reports go on being taken and seen, what failed says so, and history catches up exactly.

#[path = "../../log/tests/support/disk.rs"]
mod disk;
mod harness;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use disk::SmallDisk;
use drover_history::Settings;
use drover_log::{Log, Retention, SegmentEngine, SegmentSettings};
use harness::{DAY, MORNING, Node, drive, driver, duckdb, open_log, patient, positions, python};

/// Another program that holds the catalogue's write lock.
struct Lock(Child);

impl Lock {
    fn hold(catalog: &Path) -> Lock {
        let script = "import sqlite3, sys\n\
                      connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                      connection.execute('BEGIN EXCLUSIVE')\n\
                      print('held', flush=True)\n\
                      sys.stdin.readline()\n\
                      connection.execute('ROLLBACK')\n";
        let mut python = Command::new(python());
        python.args(["-c", script]).arg(catalog).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Lock(child)
    }

    fn release(mut self) {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn a_locked_catalogue_holds_up_nothing_but_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    node.append(&drive(MORNING, 1_000, 5));
    node.flush();
    let lock = Lock::hold(&node.lake().join("catalog.sqlite"));
    let locked = Instant::now();
    node.append(&drive(MORNING + DAY, 1_000, 5));
    node.history.flush_now();
    while locked.elapsed() < Duration::from_secs(3) {
        let last = node.append(&drive(MORNING + 2 * DAY, 10, 5));
        let view = node.history.view();
        assert_eq!((view.cursor, view.position), (1_000, last), "new reports are visible, and in no file yet");
    }
    assert_eq!(node.duckdb_count("true"), 1_000, "others read while the catalogue is locked");
    lock.release();
    let status = node.flush();
    assert_eq!((status.cursor, status.last_error), (status.position, None));
    assert_eq!(node.duckdb_count("true"), status.cursor);
    node.stop();
}

#[test]
fn a_long_lock_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    node.append(&drive(MORNING, 10, 5));
    let lock = Lock::hold(&node.lake().join("catalog.sqlite"));
    node.history.flush_now();
    let status = node.wait("told", |status| status.last_error.is_some());
    let error = status.last_error.unwrap();
    assert!(error.contains("catalog.sqlite") && error.contains("locked"), "{error}");
    lock.release();
    let status = node.wait("flushed", |status| status.cursor == 10);
    assert_eq!(node.wait("well", |status| status.last_error.is_none()).rows, status.rows);
    node.stop();
}

#[test]
fn another_writer_of_the_catalogue_is_noticed_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    node.append(&drive(MORNING, 100, 5));
    node.flush();
    let before = node.history.status().snapshot;
    duckdb(&node.lake(), "write", &["CREATE TABLE notes (x INTEGER)"]);
    node.append(&drive(MORNING + DAY, 100, 5));
    let status = node.flush();
    assert_eq!((status.snapshot, status.rows, status.last_error), (before + 2, 200, None), "theirs, then ours");
    assert_eq!(node.duckdb_count("true"), 200);
    assert_eq!(node.duckdb_value("SELECT count(*) AS n FROM notes"), "0");
    node.stop();
    let node = Node::start(folder.path());
    assert_eq!(node.history.status().cursor, 200);
    node.stop();
}

#[test]
fn rows_of_others_are_not_shown_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    node.append(&drive(MORNING, 100, 5));
    node.flush();
    duckdb(
        &node.lake(),
        "write",
        &[
            "CALL lake.set_option('data_inlining_row_limit', 0)",
            "INSERT INTO reports SELECT * REPLACE (1000 + position AS position) FROM reports",
        ],
    );
    node.append(&drive(MORNING + DAY, 100, 5));
    let status = node.flush();
    assert_eq!(status.rows, 200);
    assert!(status.last_error.unwrap().contains("READ_ONLY"));
    assert_eq!(node.duckdb_count("true"), 300);
    let findings = drover_history::check(&node.lake(), None, true, &drover_objects::S3::default()).unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].problem.contains("not written by Drover"));
    node.stop();
}

#[test]
fn a_full_disk_is_told_and_history_catches_up_exactly() {
    let disk = SmallDisk::mount("8m");
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { folder: disk.path().join("lake"), ..patient(folder.path()) };
    let node = Node { folder: disk.path().to_owned(), ..Node::start_with(folder.path(), settings) };
    node.append(&drive(MORNING, 1_000, 5));
    node.flush();
    let ballast = disk.fill();
    node.append(&drive(MORNING + DAY, 20_000, 5));
    node.history.flush_now();
    let status = node.wait("told", |status| status.last_error.is_some());
    assert!(status.last_error.as_ref().unwrap().contains("No space left"), "{status:?}");
    node.append(&drive(MORNING + 2 * DAY, 1_000, 5));
    let view = node.history.view();
    assert_eq!((view.cursor, view.position), (1_000, 22_000), "reports go on being taken and seen");
    fs::remove_file(ballast).unwrap();
    let status = node.wait("caught up", |status| status.cursor == 22_000 && status.last_error.is_none());
    assert_eq!(status.rows, 22_000);
    assert_eq!(positions(&node.history.view()), (1..=22_000).collect::<Vec<u64>>());
    assert_eq!(node.duckdb_value("SELECT count(DISTINCT position) AS n FROM reports"), "22000");
    let (lake, end) = (node.lake(), node.log.durable_position() + 1);
    node.stop();
    assert_eq!(
        drover_history::check(&lake, Some(1..end), true, &drover_objects::S3::default()).unwrap(),
        [],
        "failed tries leave nothing"
    );
}

#[test]
fn a_full_tail_waits_and_the_log_does_not() {
    let disk = SmallDisk::mount("4m");
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { folder: disk.path().join("lake"), tail_max_bytes: 64 << 10, ..patient(folder.path()) };
    let node = Node { folder: disk.path().to_owned(), ..Node::start_with(folder.path(), settings) };
    let ballast = disk.fill();
    let mut last = 0;
    for some in drive(MORNING, 20_000, 50).chunks(100) {
        last = node.log.append_all(some).unwrap();
        node.log.wait_durable(last).unwrap();
    }
    let status = node.wait("waiting", |status| status.last_error.is_some());
    assert!(status.position < last && status.tail_bytes < 128 << 10, "{status:?}");
    fs::remove_file(ballast).unwrap();
    node.wait("caught up", |status| status.position == last);
    assert_eq!(positions(&node.history.view()), (1..=last).collect::<Vec<u64>>());
    node.stop();
}

#[test]
fn a_file_cut_short_is_found_and_everything_else_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    for some in drive(MORNING, 700, 5).chunks(100) {
        node.append(some);
        node.flush();
    }
    let cut = node.history.view().files[3].clone();
    File::options().write(true).open(&cut.path).unwrap().set_len(cut.bytes / 2).unwrap();
    // The eighth file starts a merge, which leaves the damaged one as it is and goes on without it.
    node.append(&drive(MORNING + 3_600_000, 100, 5));
    node.flush();
    let status = node.wait("told", |status| status.last_error.is_some());
    let name = cut.path.display().to_string();
    assert!(status.last_error.as_ref().unwrap().contains(&name), "{status:?}");
    assert_eq!((status.files, status.rows), (8, 800));
    node.append(&drive(MORNING + 7_200_000, 100, 5));
    node.flush();
    let status = node.wait("merged", |status| status.files == 2);
    assert_eq!(status.rows, 900);

    let end = node.log.durable_position() + 1;
    let findings = drover_history::check(&node.lake(), Some(1..end), false, &drover_objects::S3::default()).unwrap();
    let about: Vec<_> = findings.iter().filter(|finding| finding.path == cut.path).collect();
    assert_eq!(about.len(), 1, "{findings:?}");
    assert!(about[0].problem.contains("bytes where the catalogue says"), "{about:?}");
    assert!(about[0].advice.contains("between positions 301 and 400"), "{about:?}");

    fs::remove_file(&cut.path).unwrap();
    let findings = drover_history::check(&node.lake(), Some(1..end), true, &drover_objects::S3::default()).unwrap();
    assert!(findings.iter().any(|finding| finding.path == cut.path && finding.problem.contains("cannot be opened")));
    node.stop();
}

#[test]
fn a_flipped_byte_in_a_page_is_found_by_a_deep_check() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    node.append(&drive(MORNING, 1_000, 5));
    node.flush();
    let file = node.history.view().files[0].clone();
    let mut bytes = fs::read(&file.path).unwrap();
    bytes[8] ^= 0x55;
    fs::write(&file.path, bytes).unwrap();
    assert_eq!(
        drover_history::check(&node.lake(), None, false, &drover_objects::S3::default()).unwrap(),
        [],
        "size and footer are right"
    );
    let findings = drover_history::check(&node.lake(), None, true, &drover_objects::S3::default()).unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].path, file.path);
    node.stop();
}

fn open_small_segments(folder: &Path) -> Log {
    let settings = SegmentSettings { segment_bytes: 64 << 10, ..SegmentSettings::new(folder.join("log")) };
    Log::open(SegmentEngine::open(settings).unwrap(), drover_log::Settings::default())
}

#[test]
fn what_the_log_has_lost_is_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_small_segments(folder.path());
    for some in drive(MORNING, 5_000, 5).chunks(100) {
        log.wait_durable(log.append_all(some).unwrap()).unwrap();
    }
    let oldest = log.retain(&Retention { max_age_ms: None, max_bytes: Some(128 << 10) }).unwrap();
    assert!(oldest > 1, "retention has removed something");
    log.close();
    drop(log);
    // Opened again, the log has nothing of it in memory either.
    let log = open_small_segments(folder.path());
    let (history, running) = drover_history::follow(&log, patient(folder.path())).unwrap();
    let node = Node { folder: folder.path().to_owned(), log, history, running };
    let status = node.wait("at the end", |status| status.position == 5_000);
    assert_eq!(status.gap, oldest - 1);
    assert!(status.last_error.unwrap().contains("retention has removed"));
    assert_eq!(node.flush().rows, 5_000 - (oldest - 1));
    node.stop();
    let node = Node::start(folder.path());
    assert_eq!(node.history.status().gap, oldest - 1, "it is remembered");
    let findings =
        drover_history::check(&node.lake(), Some(oldest..5_001), true, &drover_objects::S3::default()).unwrap();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].problem.contains(&format!("{} positions", oldest - 1)), "{findings:?}");
    node.stop();
}

#[test]
fn a_record_that_is_no_report_is_counted_and_passed() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let records = [driver("d-1", MORNING, 1.0), b"nonsense".to_vec(), driver("d-1", MORNING + 1_000, 2.0)];
    node.append(&records);
    let status = node.flush();
    assert_eq!((status.unreadable, status.cursor, status.rows), (1, 3, 2));
    assert_eq!(positions(&node.history.view()), [1, 3]);
    node.stop();
}

#[test]
fn the_lake_of_another_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    node.append(&drive(MORNING, 50, 5));
    node.flush();
    node.stop();
    fs::remove_dir_all(folder.path().join("log")).unwrap();
    let log = open_log(folder.path());
    let refused = drover_history::follow(&log, patient(folder.path())).unwrap_err().to_string();
    assert!(refused.contains("position 50") && refused.contains("ends at 0"), "{refused}");
}

#[test]
fn a_lake_that_was_moved_is_found_by_others_at_its_new_place() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let node = Node::start(&old);
    node.append(&drive(MORNING, 50, 5));
    node.flush();
    node.stop();
    fs::rename(&old, &new).unwrap();
    let node = Node::start(&new);
    assert_eq!(node.duckdb_count("true"), 50);
    assert_eq!(positions(&node.history.view()), (1..=50).collect::<Vec<u64>>());
    node.stop();
}
