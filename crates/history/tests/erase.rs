//! What was erased of an asset is in no answer, no file and no older snapshot; not after a restart, and not in a lake
//! that was restored from a copy made before.

mod harness;

use drover_history::{History, Settings};
use drover_model::{Erased, Erasures, Kind};
use harness::{MORNING, Node, PATIENCE, driver, patient};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn erased(id: &str, until_ms: i64) -> Erased {
    Erased { kind: Kind::Driver, id: id.into(), until_ms }
}

fn settings(folder: &Path, erasures: &Erasures) -> Settings {
    Settings { erasures: erasures.clone(), snapshot_keep: Duration::from_secs(3600), ..patient(folder) }
}

fn erase(history: &History, erasures: &Erasures, erased: Erased) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(history.erase(erasures, erased, PATIENCE)), "it goes on for longer than it may");
}

/// Reports of two drivers on three days, each a minute after the last.
fn reports(id: &str, count: i64) -> Vec<Vec<u8>> {
    (0..count).map(|n| driver(id, MORNING + (n % 3) * harness::DAY + n * 60_000, 30.0)).collect()
}

fn all_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all_files(&path, found),
            false => found.extend(path.extension().is_some_and(|end| end == "parquet").then_some(path)),
        }
    }
}

/// Rows of the driver in whatever Parquet file lies below the lake, known to a snapshot or not.
fn rows_on_disk(node: &Node, id: &str) -> u64 {
    let mut files = Vec::new();
    all_files(&node.lake(), &mut files);
    let count = |path: &PathBuf| -> u64 {
        let sql = format!("SELECT count(*) FROM read_parquet('{}') WHERE id = '{id}'", path.display());
        node.duckdb_value(&sql).parse().unwrap()
    };
    files.iter().map(count).sum()
}

/// Waits until only files of the newest snapshot are there.
fn old_files_are_gone(node: &Node) {
    node.wait("old files are deleted", |status| {
        let mut files = Vec::new();
        all_files(&node.lake(), &mut files);
        files.len() == status.files
    });
}

#[test]
fn an_erased_asset_is_in_no_file_and_no_snapshot_while_its_neighbours_stay() {
    let folder = tempfile::tempdir().unwrap();
    let erasures = Erasures::default();
    let node = Node::start_with(folder.path(), settings(folder.path(), &erasures));
    node.append(&reports("d-1", 30));
    node.append(&reports("d-2", 30));
    node.flush();
    // Some are only in memory when it is asked for.
    node.append(&[driver("d-1", MORNING + 7_000, 31.0), driver("d-2", MORNING + 7_000, 31.0)]);
    assert_eq!(rows_on_disk(&node, "d-1"), 30);
    erase(&node.history, &erasures, erased("d-1", i64::MAX));
    assert_eq!(node.duckdb_count("id = 'd-1'"), 0);
    assert_eq!(node.duckdb_count("id = 'd-2'"), 31);
    old_files_are_gone(&node);
    assert_eq!((rows_on_disk(&node, "d-1"), rows_on_disk(&node, "d-2")), (0, 31));
    node.stop();
    let node = Node::start_with(folder.path(), settings(folder.path(), &erasures));
    assert_eq!(node.duckdb_count("id = 'd-1'"), 0);
    node.append(&[driver("d-2", MORNING + 8_000, 31.0)]);
    assert_eq!(harness::positions(&node.history.view()).len(), 32);
    node.stop();
}

#[test]
fn what_is_received_later_is_of_somebody_who_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let erasures = Erasures::default();
    let node = Node::start_with(folder.path(), settings(folder.path(), &erasures));
    node.append(&reports("d-1", 9));
    // Every report here is received half a second after its time.
    let received = MORNING + 2 * harness::DAY + 8 * 60_000 + 500;
    erase(&node.history, &erasures, erased("d-1", received));
    assert_eq!(harness::positions(&node.history.view()).len(), 0);
    node.append(&[driver("d-1", MORNING + 5 * harness::DAY, 30.0)]);
    assert_eq!(harness::positions(&node.history.view()).len(), 1);
    node.stop();
}

#[test]
fn a_lake_and_a_log_restored_from_before_forget_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let erasures = Erasures::default();
    let node = Node::start_with(folder.path(), settings(folder.path(), &erasures));
    node.append(&reports("d-1", 12));
    node.append(&reports("d-2", 12));
    node.flush();
    node.append(&[driver("d-1", MORNING + 9_000, 31.0)]);
    node.stop();
    let copy = tempfile::tempdir().unwrap();
    let taken = std::process::Command::new("cp").args(["-a"]).arg(folder.path().join(".")).arg(copy.path()).status();
    assert!(taken.unwrap().success());
    // Erased after the copy was made; the list of erasures is kept elsewhere.
    erasures.add(erased("d-1", i64::MAX));
    let node = Node::start_with(copy.path(), settings(copy.path(), &erasures));
    node.wait("the restored lake forgets", |status| status.erasing == 0);
    old_files_are_gone(&node);
    assert_eq!(rows_on_disk(&node, "d-1"), 0);
    assert_eq!(node.duckdb_count("id = 'd-1'"), 0);
    assert_eq!(node.duckdb_count("id = 'd-2'"), 12);
    assert_eq!(harness::positions(&node.history.view()).len(), 12, "nothing of it came out of the log again");
    node.stop();
}
