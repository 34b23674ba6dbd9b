//! Objects of a watched place: each is imported once, whatever ends or is replaced meanwhile. The store is a real one.

mod support;

use axum::body::Body;
use axum::http::Request;
use drover_imports::{AnnounceError, Imports};
use drover_objects::s3_server::S3Server;
use drover_objects::{Objects, S3};
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::{Node, all_done, csv, jobs, place, settings, wait_until, watch};
use tower::ServiceExt;

const OFTEN: Duration = Duration::from_millis(100);
const NEVER: Duration = Duration::from_secs(3600);

struct Store {
    folder: tempfile::TempDir,
    server: S3Server,
    s3: S3,
    objects: Objects,
}

fn store() -> Store {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start(folder.path(), &["lake"]);
    let s3 = server.s3();
    let objects = Objects::open(&place("s3://lake/in"), &s3).unwrap();
    Store { folder, server, s3, objects }
}

impl Store {
    fn put(&self, key: &str, text: impl Into<Vec<u8>>) {
        self.objects.put(key, text.into().into()).unwrap();
    }

    /// Many at once, past the server.
    fn fill(&self, count: usize) {
        let folder = self.folder.path().join("lake/in/day");
        fs::create_dir_all(&folder).unwrap();
        for number in 0..count {
            fs::write(folder.join(format!("{number:04}.csv")), csv(&format!("v{number}"), 2)).unwrap();
        }
    }
}

fn sources(imports: &Imports) -> BTreeSet<String> {
    jobs(imports).into_iter().map(|job| job.source).collect()
}

#[test]
fn each_object_of_many_pages_is_taken_once_over_restarts() {
    const OBJECTS: usize = 1500;
    let (node, store) = (Node::new(), store());
    store.fill(OBJECTS);
    let mut settings = node.settings();
    settings.watched_store = watch(&store.objects, &store.s3, OFTEN);
    let first = node.open(settings.clone());
    wait_until("some are taken", || jobs(&first.imports).len() > 300);
    first.running.stop();
    drop((first.imports, first.dead));
    let second = node.open(settings.clone());
    all_done(&second.imports, OBJECTS);
    assert_eq!(sources(&second.imports).len(), OBJECTS);
    second.running.stop();
    drop((second.imports, second.dead));
    let third = node.open(settings);
    store.put("last.csv", csv("last", 3));
    let jobs = all_done(&third.imports, OBJECTS + 1);
    let last = jobs.last().unwrap();
    assert_eq!((last.name.as_str(), last.source.as_str()), ("last.csv", "object s3://lake/in/last.csv"));
    assert_eq!((last.counts.rows, last.counts.accepted), (3, 3));
    assert!(store.objects.head("last.csv").unwrap().is_some(), "it stays where it is");
}

#[test]
fn a_replaced_object_is_taken_again_once_and_what_is_no_file_is_not() {
    let (node, store) = (Node::new(), store());
    store.put("a.csv", csv("a", 2));
    store.put("empty.csv", "");
    store.put(".hidden/a.csv", csv("a", 2));
    store.put("a.csv.part", csv("a", 2));
    let mut settings = node.settings();
    settings.watched_store = watch(&store.objects, &store.s3, OFTEN);
    let open = node.open(settings);
    all_done(&open.imports, 1);
    store.put("a.csv", csv("a", 5));
    let jobs = all_done(&open.imports, 2);
    assert_eq!((jobs[1].counts.rows, jobs[1].counts.accepted, jobs[1].counts.duplicates), (5, 3, 2));
}

#[test]
fn an_object_that_is_too_large_is_refused_until_that_is_allowed() {
    let (node, store) = (Node::new(), store());
    store.put("large.csv", csv("a", 100));
    store.put("small.csv", csv("b", 1));
    let mut settings = node.settings();
    settings.file_max_bytes = 1000;
    settings.watched_store = watch(&store.objects, &store.s3, OFTEN);
    let open = node.open(settings.clone());
    assert_eq!(all_done(&open.imports, 1)[0].name, "small.csv");
    open.running.stop();
    drop((open.imports, open.dead));
    settings.file_max_bytes = 100_000;
    assert_eq!(all_done(&node.open(settings).imports, 2)[1].counts.rows, 100);
}

async fn announce(imports: &Imports, body: &str) -> u16 {
    let (router, _) = drover_imports::routes(imports.clone()).split_for_parts();
    let request = Request::post("/api/v1/imports/announced").body(Body::from(body.to_owned())).unwrap();
    router.oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_object_is_taken_at_once() {
    let (node, store) = (Node::new(), store());
    let mut settings = node.settings();
    settings.watched_store = watch(&store.objects, &store.s3, NEVER);
    let open = node.open(settings);
    std::thread::sleep(Duration::from_millis(500)); // the look at the start
    store.put("a b.csv", csv("a", 2));
    store.put("c.csv", csv("c", 2));
    assert_eq!(announce(&open.imports, r#"{"Records": [{"s3": {"object": {"key": "in%2Fa+b.csv"}}}]}"#).await, 202);
    assert_eq!(all_done(&open.imports, 1)[0].name, "a b.csv");
    for _ in 0..2 {
        assert_eq!(announce(&open.imports, r#"{"key": "in/c.csv"}"#).await, 202);
        all_done(&open.imports, 2);
    }
    assert_eq!(announce(&open.imports, r#"{"key": "in/not-there.csv"}"#).await, 202);
    assert_eq!(announce(&open.imports, r#"{"key": "other/c.csv"}"#).await, 422);
    assert_eq!(announce(&open.imports, r#"{"key": "inner"}"#).await, 422);
    assert_eq!(announce(&open.imports, r#"{"else": 1}"#).await, 400);
    all_done(&open.imports, 2);
    let unwatched = Node::new();
    let open = unwatched.open(unwatched.settings());
    assert_eq!(open.imports.announce("in/c.csv"), Err(AnnounceError::NotWatched));
    assert_eq!(announce(&open.imports, r#"{"key": "in/c.csv"}"#).await, 404);
}

/// Bytes of the largest file that is coming.
fn coming(data: &Path) -> u64 {
    let files = fs::read_dir(data.join("imports/coming")).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|facts| facts.len()).max().unwrap_or(0)
}

#[test]
fn an_object_whose_store_dies_while_it_comes_is_taken_once_in_the_end() {
    const ROWS: usize = 20_000;
    let (node, mut store) = (Node::new(), store());
    let padding = " ".repeat(10_000);
    let row = |row: usize| {
        format!(
            r#"{{"vehicle_id":"v","timestamp":{},"latitude":1,"longitude":2}}{padding}"#,
            1_760_000_000_000_usize + row
        )
    };
    let text: Vec<String> = (0..ROWS).map(row).collect();
    store.put("large.ndjson", text.join("\n"));
    let mut settings = node.settings();
    settings.watched_store = watch(&store.objects, &store.s3, OFTEN);
    let open = node.open(settings);
    wait_until("it comes", || coming(node.data.path()) > 0);
    store.server.kill();
    assert!(jobs(&open.imports).is_empty(), "it came before the store died");
    std::thread::sleep(Duration::from_secs(1));
    store.server.restart();
    let jobs = all_done(&open.imports, 1);
    assert_eq!((jobs[0].counts.rows, jobs[0].counts.accepted), (ROWS as u64, ROWS as u64));
}

const CHILD: &str = "DROVER_TEST_IMPORTS_DATA";

/// Not a test of its own: the process that the next test kills.
#[test]
#[ignore = "is started by another test"]
fn child_that_imports_until_it_is_killed() {
    let Some(data) = env::var_os(CHILD) else { return };
    let value = |name: &str| env::var(format!("{CHILD}_{name}")).ok();
    let s3 = S3 {
        endpoint: value("ENDPOINT"),
        access_key_id: value("ID"),
        secret_access_key: value("SECRET"),
        ..S3::default()
    };
    let objects = Objects::open(&place("s3://lake/in"), &s3).unwrap();
    let node = Node::new();
    let mut settings = settings(Path::new(&data));
    settings.watched_store = watch(&objects, &s3, OFTEN);
    let _open = node.open(settings);
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn each_object_is_taken_once_over_crashes() {
    const OBJECTS: usize = 120;
    let (node, store) = (Node::new(), store());
    store.fill(OBJECTS);
    let raw = node.data.path().join("raw");
    let landed = || {
        let find = Command::new("find").arg(&raw).args(["-name", "*.csv"]).output().unwrap();
        find.stdout.split(|byte| *byte == b'\n').count() - 1
    };
    for crash in 1..=3 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child_that_imports_until_it_is_killed", "--ignored"])
            .env(CHILD, node.data.path())
            .env(format!("{CHILD}_ENDPOINT"), store.s3.endpoint.as_ref().unwrap())
            .env(format!("{CHILD}_ID"), store.s3.access_key_id.as_ref().unwrap())
            .env(format!("{CHILD}_SECRET"), store.s3.secret_access_key.as_ref().unwrap())
            .spawn()
            .unwrap();
        wait_until("some have landed", || landed() >= crash * 20);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut settings = node.settings();
    settings.watched_store = watch(&store.objects, &store.s3, OFTEN);
    let open = node.open(settings);
    let jobs = all_done(&open.imports, OBJECTS);
    assert_eq!(sources(&open.imports).len(), OBJECTS);
    assert!(jobs.iter().all(|job| job.counts.rows == 2));
}
