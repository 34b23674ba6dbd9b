//! Files as they came: they move when they are old, come back for a retry, and leave. No crash loses one.

mod support;

use drover_dead::{Filter, Retried};
use drover_imports::{Job, RawTier, Settings, State};
use drover_objects::s3_server::S3Server;
use drover_objects::{Objects, Place, S3};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::fs;
use std::path::Path;
use std::time::Duration;
use support::{Node, Open, csv, jobs, place, wait_until};
use tempfile::TempDir;

const JOBS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("jobs");
const DAY_MS: i64 = 86_400_000;

/// A node with one file that was imported through its watched folder, well or not, so many days ago.
fn imported(name: &str, text: &str, days: i64) -> (Node, Job) {
    let node = Node::new();
    let folder = node.data.path().join("watched");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
    let open = node.open(Settings { watched: Some((folder, None)), ..node.settings() });
    wait_until("the job is over", || jobs(&open.imports).first().is_some_and(|job| job.state.is_over()));
    let job = jobs(&open.imports).remove(0);
    close(open);
    let job = Job { created: job.created - days * DAY_MS, ..job };
    keep(&node, &job);
    (node, job)
}

fn close(open: Open) {
    open.running.stop();
}

/// Changes what the store says of a job.
fn keep(node: &Node, job: &Job) {
    let database = Database::open(node.data.path().join("imports/jobs.redb")).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(JOBS).unwrap().insert(job.id, serde_json::to_vec(job).unwrap().as_slice()).unwrap();
    write.commit().unwrap();
}

/// What the store says of the job durably.
fn kept(node: &Node) -> Job {
    let database = Database::open(node.data.path().join("imports/jobs.redb")).unwrap();
    let table = database.begin_read().unwrap().open_table(JOBS).unwrap();
    let entry = table.last().unwrap().unwrap();
    serde_json::from_slice(entry.1.value()).unwrap()
}

fn tier(cold: Option<(u32, &Place)>, keep_days: Option<u32>, s3: &S3) -> RawTier {
    let cold = cold.map(|(days, place)| (days, place.clone()));
    RawTier { cold, keep_days, s3: s3.clone(), dry_run: false, interval: Duration::from_millis(50) }
}

fn open(node: &Node, raw: RawTier) -> Open {
    node.open(Settings { raw, ..node.settings() })
}

fn is_here(node: &Node, raw: &str) -> (bool, bool) {
    let file = |name: String| node.data.path().join(name).exists();
    (file(raw.to_owned()), file(format!("{raw}.sha256")))
}

fn cold_store() -> (TempDir, S3Server, Objects) {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start(folder.path(), &["cold"]);
    let objects = Objects::open(&place("s3://cold/t"), &server.s3()).unwrap();
    (folder, server, objects)
}

#[test]
fn an_old_file_moves_with_its_checksum_and_leaves_when_its_time_is_over() {
    let (node, job) = imported("a.csv", &csv("a", 3), 10);
    let (_folder, server, cold) = cold_store();
    let (place, s3) = (cold.place(), server.s3());
    let moving = open(&node, tier(Some((10, place)), Some(11), &s3));
    let address = place.of_key(&job.raw);
    wait_until("it moved", || !is_here(&node, &job.raw).1);
    assert_eq!(moving.imports.get(job.id).unwrap().unwrap().raw, address);
    assert_eq!(is_here(&node, &job.raw), (false, false));
    assert_eq!(cold.get(&job.raw, 1 << 20).unwrap(), csv("a", 3));
    let sums = cold.get(&format!("{}.sha256", job.raw), 1000).unwrap();
    assert_eq!(sums, format!("{}  {}\n", job.sha256, job.raw.rsplit('/').next().unwrap()));
    close(moving);
    keep(&node, &Job { created: job.created - DAY_MS, ..kept(&node) });
    // It leaves the place where it is, whatever is configured now.
    let leaving = open(&node, tier(None, Some(11), &s3));
    wait_until("it left", || leaving.imports.get(job.id).unwrap().unwrap().raw.is_empty());
    assert!(cold.list("", None, 10).unwrap().is_empty());
}

#[test]
fn a_young_file_stays_and_a_dry_run_touches_nothing() {
    let (node, job) = imported("a.csv", &csv("a", 3), 9);
    let (_folder, server, cold) = cold_store();
    let young = open(&node, tier(Some((10, cold.place())), Some(10), &server.s3()));
    std::thread::sleep(Duration::from_millis(300));
    close(young);
    let dry = RawTier { dry_run: true, ..tier(Some((1, cold.place())), None, &server.s3()) };
    let dry = open(&node, dry);
    std::thread::sleep(Duration::from_millis(300));
    close(dry);
    let dry = RawTier { dry_run: true, ..tier(None, Some(1), &server.s3()) };
    let dry = open(&node, dry);
    std::thread::sleep(Duration::from_millis(300));
    close(dry);
    assert_eq!((kept(&node), is_here(&node, &job.raw)), (job, (true, true)));
    assert!(cold.list("", None, 10).unwrap().is_empty());
}

#[test]
fn a_crash_between_any_two_steps_loses_nothing_and_is_made_good() {
    let (node, job) = imported("a.csv", &csv("a", 3), 10);
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().join("cold"));
    let cold = Objects::open(&place, &S3::default()).unwrap();
    let all_well = |node: &Node| {
        let again = open(node, tier(Some((1, &place)), None, &S3::default()));
        wait_until("it moved", || !is_here(node, &job.raw).0 && !is_here(node, &job.raw).1);
        close(again);
        assert_eq!(kept(node).raw, place.of_key(&job.raw));
        assert_eq!(cold.get(&job.raw, 1 << 20).unwrap(), csv("a", 3));
    };
    let restore = || {
        fs::create_dir_all(node.data.path().join(&job.raw).parent().unwrap()).unwrap();
        fs::write(node.data.path().join(&job.raw), csv("a", 3)).unwrap();
        fs::write(node.data.path().join(format!("{}.sha256", job.raw)), "x").unwrap();
    };
    // After the put of half of it.
    cold.put(&job.raw, "half".into()).unwrap();
    all_well(&node);
    // After both puts, before the job said so.
    restore();
    keep(&node, &job);
    all_well(&node);
    // After the job said so, before or between the deletions.
    restore();
    all_well(&node);
    fs::create_dir_all(node.data.path().join(&job.raw).parent().unwrap()).unwrap();
    fs::write(node.data.path().join(format!("{}.sha256", job.raw)), "x").unwrap();
    all_well(&node);
}

#[test]
fn a_retry_brings_the_file_back_and_refuses_one_that_is_not_the_same() {
    // Begins like Parquet and is none.
    let text = "this is no telemetry".repeat(1000);
    let (node, job) = imported("a.parquet", &format!("PAR1{text}"), 10);
    assert_eq!(job.state, State::Failed, "{job:?}");
    let (_folder, server, cold) = cold_store();
    let moving = open(&node, tier(Some((1, cold.place())), None, &server.s3()));
    wait_until("it moved", || !is_here(&node, &job.raw).1);
    close(moving);
    // As configured before there was a tier: what was moved is found by its address.
    let retrying = open(&node, tier(None, None, &server.s3()));
    let letter = retrying.dead.list(&Filter::default(), 1).unwrap().remove(0).id;
    let whole = cold.get(&job.raw, 1 << 20).unwrap();
    cold.put(&job.raw, "something else".into()).unwrap();
    let Retried::Failed { error, .. } = retrying.dead.retry(letter).unwrap() else { panic!("it is not the same") };
    assert!(error.contains("SHA-256"), "{error}");
    assert_eq!(is_here(&node, &job.raw), (false, false));
    cold.put(&job.raw, whole.clone()).unwrap();
    assert!(matches!(retrying.dead.retry(letter).unwrap(), Retried::Done { .. }));
    let now = || retrying.imports.get(job.id).unwrap().unwrap();
    wait_until("it fails again", || now().state == State::Failed);
    assert_eq!((now().raw, now().error), (job.raw.clone(), job.error.clone()));
    assert_eq!(fs::read(node.data.path().join(&job.raw)).unwrap(), whole);
    close(retrying);
    let moving = open(&node, tier(Some((1, cold.place())), None, &server.s3()));
    wait_until("it moved again", || !is_here(&node, &job.raw).1);
    close(moving);
    cold.delete(&job.raw).unwrap();
    let retrying = open(&node, tier(None, None, &server.s3()));
    let letter = retrying.dead.list(&Filter::default(), 1).unwrap().remove(0).id;
    assert!(matches!(retrying.dead.retry(letter).unwrap(), Retried::Failed { .. }));
}

#[test]
fn places_that_would_lose_or_repeat_files_are_refused() {
    let node = Node::new();
    let refused = |settings: Settings| {
        let dead = drover_dead::Dead::open(&node.data.path().join("dead"), drover_dead::Settings::default()).unwrap();
        node.try_open(settings, dead).err().expect("it is refused").to_string()
    };
    let link = node.data.path().join("link");
    std::os::unix::fs::symlink(node.data.path(), &link).unwrap();
    for cold in [node.data.path(), Path::new(&link)] {
        let raw = tier(Some((1, &Place::Folder(cold.to_owned()))), None, &S3::default());
        let said = refused(Settings { raw, ..node.settings() });
        assert!(said.contains("raw_cold_store"), "{said}");
    }
    let raw = tier(Some((1, &place("s3://lake"))), None, &S3::default());
    let watched = Objects::open(&place("s3://lake/raw"), &S3::default()).unwrap();
    let watched_store = support::watch(&watched, &S3::default(), Duration::from_secs(5));
    let said = refused(Settings { raw, watched_store, ..node.settings() });
    assert!(said.contains("under the watched store"), "{said}");
}
