//! Files of the lake outside its folder: new ones in an object store, old days in the warm and the cold place. A real S3
//! server, which is killed on the way.

mod harness;

use drover_history::read::{RouteQuery, route};
use drover_history::{Settings, Tier, check};
use drover_model::Kind;
use drover_objects::s3_server::S3Server;
use drover_objects::{Objects, Place};
use harness::{DAY, MORNING, Node, drive, patient, positions};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Replaced files go soon, and old days are looked for often.
const SOON: Duration = Duration::from_millis(200);

fn in_store(folder: &Path, server: &S3Server) -> Settings {
    let store = Some(Place::parse("s3://lake/here").unwrap());
    Settings { store, s3: server.s3(), snapshot_keep: SOON, ..patient(folder) }
}

fn tier(name: &'static str, after_days: u32, place: &str) -> Tier {
    Tier { name, after_days, place: Place::parse(place).unwrap() }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Every Parquet file below a folder.
fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.to_string_lossy().contains(".parquet") => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

fn paths(node: &Node) -> Vec<String> {
    node.history.view().files.iter().map(|file| file.path.display().to_string()).collect()
}

/// Everything of a driver within these times.
fn all_of(id: &str, event_time: RangeInclusive<i64>) -> RouteQuery<'_> {
    RouteQuery { kind: Kind::Driver, id, event_time, limit: 10_000, after: None, noise: true }
}

/// Event times of a driver, as the reader of single assets finds them.
fn times(node: &Node, id: &str) -> Vec<i64> {
    let (view, footers) = (node.history.view(), node.history.footers());
    let found = route(&view, &footers, &all_of(id, i64::MIN..=i64::MAX)).unwrap();
    found.fixes.iter().map(|fix| fix.event_time).collect()
}

#[test]
fn new_files_go_to_the_store_and_every_read_finds_them_there() {
    let (folder, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = S3Server::start(bucket.path(), &["lake"]);
    let node = Node::start_with(folder.path(), in_store(folder.path(), &server));
    for round in 0..8 {
        node.append(&drive(MORNING + round * 1_000_000, 1_000, 5));
        node.flush();
    }
    // Eight files of like size become one, in the store as well, and the eight go.
    node.wait("merged", |status| status.files == 1);
    let path = paths(&node).remove(0);
    assert!(path.starts_with("s3://lake/here/main/reports/year=2026/month=5/day=28/drover-"), "{path}");
    let since = Instant::now();
    while parquet_files(bucket.path()).len() != 1 {
        assert!(since.elapsed() < harness::PATIENCE, "{:?}", parquet_files(bucket.path()));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(parquet_files(&node.lake()), Vec::<PathBuf>::new(), "nothing stays here");
    let wanted: Vec<i64> = (0..8)
        .flat_map(|round| (0..1_000).filter(|at| at % 5 == 3).map(move |at| MORNING + round * 1_000_000 + at * 1000))
        .collect();
    assert_eq!(times(&node, "d-3"), wanted);
    assert_eq!(check(&node.lake(), None, true, &server.s3()).unwrap(), []);

    let node = {
        node.stop();
        Node::start_with(folder.path(), in_store(folder.path(), &server))
    };
    assert_eq!(times(&node, "d-3"), wanted, "after a restart too");
    // Back to the lake's own folder: what is in the store stays readable.
    node.stop();
    let node = Node::start_with(folder.path(), Settings { store: None, ..in_store(folder.path(), &server) });
    node.append(&drive(MORNING + DAY, 1_000, 5));
    node.flush();
    assert_eq!(times(&node, "d-3").len(), wanted.len() + 200);
    assert_eq!(parquet_files(&node.lake()).len(), 1);
    node.stop();
}

#[test]
fn a_store_that_is_away_holds_up_nothing_but_the_files() {
    let (folder, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut server = S3Server::start(bucket.path(), &["lake"]);
    let node = Node::start_with(folder.path(), in_store(folder.path(), &server));
    node.append(&drive(MORNING, 1_000, 5));
    node.flush();
    server.kill();
    let away = Instant::now();
    node.append(&drive(MORNING + DAY, 1_000, 5));
    node.history.flush_now();
    while away.elapsed() < Duration::from_secs(8) {
        let last = node.append(&drive(MORNING + 2 * DAY + away.elapsed().as_millis() as i64, 10, 5));
        let view = node.history.view();
        assert_eq!((view.cursor, view.position), (1_000, last), "new reports are visible, and in no file yet");
    }
    let status = node.wait("told", |status| status.last_error.is_some());
    assert!(status.last_error.as_ref().unwrap().contains("s3://lake/here"), "{status:?}");
    // What is in the store cannot be read now, and says so.
    let (view, footers) = (node.history.view(), drover_history::read::Footers::new(1 << 20));
    let query = all_of("d-3", MORNING..=MORNING + 3_600_000);
    let refused = route(&view, &footers, &query).unwrap_err().to_string();
    assert!(refused.contains("s3://lake/here"), "{refused}");

    server.restart();
    let status = node.flush();
    assert_eq!((status.cursor, status.last_error), (status.position, None));
    let all = positions(&node.history.view());
    assert_eq!(all, (1..=status.position).collect::<Vec<_>>(), "each report once");
    assert_eq!(parquet_files(&node.lake()), Vec::<PathBuf>::new());
    assert_eq!(check(&node.lake(), None, true, &server.s3()).unwrap(), []);
    node.stop();
}

#[test]
fn a_node_that_ends_while_the_store_is_away_loses_nothing_and_leaves_nothing() {
    let (folder, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut server = S3Server::start(bucket.path(), &["lake"]);
    let node = Node::start_with(folder.path(), in_store(folder.path(), &server));
    node.append(&drive(MORNING, 1_000, 5));
    node.flush();
    server.kill();
    node.append(&drive(MORNING + DAY, 1_000, 5));
    node.history.flush_now();
    node.wait("told", |status| status.last_error.is_some());
    let stopping = Instant::now();
    node.stop();
    assert!(stopping.elapsed() < Duration::from_secs(25), "{:?}", stopping.elapsed());

    // As a crash between the upload and the commit leaves it: the object, and its copy here.
    server.restart();
    let name = "main/reports/year=2026/month=5/day=29/drover-00000000-0000-7000-8000-000000000000.parquet";
    let left = folder.path().join("lake/staging").join(name);
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::write(&left, b"PAR1").unwrap();
    let objects = Objects::open(&Place::parse("s3://lake/here").unwrap(), &server.s3()).unwrap();
    objects.put_file(name, &left).unwrap();

    let node = Node::start_with(folder.path(), in_store(folder.path(), &server));
    let status = node.flush();
    assert_eq!(positions(&node.history.view()), (1..=status.position).collect::<Vec<_>>());
    let since = Instant::now();
    while objects.head(name).unwrap().is_some() || left.exists() {
        assert!(since.elapsed() < harness::PATIENCE, "what no snapshot knows is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(check(&node.lake(), None, true, &server.s3()).unwrap(), []);
    node.stop();
}

/// Reports of today and of days so long ago, in files.
fn aged(folder: &Path, ages: &[i64]) -> i64 {
    let noon = now_ms().div_euclid(DAY) * DAY + DAY / 2;
    let node = Node::start(folder);
    for age in ages {
        // The newest one is not in the future.
        node.append(&drive((noon - age * DAY).min(now_ms() - 1_000_000), 100, 5));
    }
    node.flush();
    node.stop();
    noon
}

#[test]
fn old_days_move_to_the_warm_place_then_to_the_cold_one_and_then_leave() {
    let (folder, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = S3Server::start(bucket.path(), &["cold"]);
    aged(folder.path(), &[0, 40, 100, 400]);
    let warm = folder.path().join("other-disk");
    let settings = |dry_run| Settings {
        tiers: vec![tier("warm", 30, warm.to_str().unwrap()), tier("cold", 90, "s3://cold/deep")],
        keep_days: Some(365),
        s3: server.s3(),
        snapshot_keep: SOON,
        dry_run,
        ..patient(folder.path())
    };
    let before = times(&Node::start(folder.path()), "d-3");
    assert_eq!(before.len(), 80);

    // First only told.
    let node = Node::start_with(folder.path(), settings(true));
    let status = node.wait("looked", |status| !status.due.is_empty());
    let told: Vec<_> = status.due.iter().map(|due| (due.action, due.files, due.rows)).collect();
    assert_eq!(told, [("warm", 1, 100), ("cold", 2, 200), ("expire", 1, 100)]);
    std::thread::sleep(3 * SOON);
    assert_eq!(times(&node, "d-3"), before);
    assert!(paths(&node).iter().all(|path| path.contains("/lake/data/")), "{:?}", paths(&node));
    node.stop();

    let node = Node::start_with(folder.path(), settings(false));
    let is_in = |path: &String, part: &str| path.contains(part);
    node.wait("moved", |status| {
        status.files == 3 && !status.due.is_empty() && status.due.iter().all(|due| due.files == 0)
    });
    let now = paths(&node);
    assert!(is_in(&now[0], "s3://cold/deep/main/reports/year="), "{now:?}");
    assert!(is_in(&now[1], "other-disk/main/reports/year="), "{now:?}");
    assert!(is_in(&now[2], "/lake/data/main/reports/year="), "{now:?}");
    assert_eq!(times(&node, "d-3"), before[20..], "the oldest day has left, the others are read where they are");
    let since = Instant::now();
    let files = |place: &Path| parquet_files(place).len();
    while (files(&node.lake()), files(&warm), files(bucket.path())) != (1, 1, 1) {
        assert!(since.elapsed() < harness::PATIENCE, "what was replaced does not go");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(node.duckdb_count(&format!("event_time > to_timestamp({})", (now_ms() - 90 * DAY) / 1000)), 200);
    assert_eq!(check(&node.lake(), None, true, &server.s3()).unwrap(), []);

    // A report that comes so late joins the others of its day in the end, and reads see it all the while.
    node.append(&drive(before[20] - 3_000, 100, 5));
    node.flush();
    assert_eq!(times(&node, "d-3").len(), 80);
    node.stop();
    let node = Node::start_with(folder.path(), settings(false));
    node.wait("moved", |status| {
        status.files == 4 && !status.due.is_empty() && status.due.iter().all(|due| due.files == 0)
    });
    assert_eq!(paths(&node).iter().filter(|path| is_in(path, "s3://cold/deep")).count(), 2);
    assert_eq!(times(&node, "d-3").len(), 80);
    node.stop();
}

#[test]
fn a_cold_place_that_cannot_be_reached_keeps_the_days_where_they_are() {
    let (folder, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut server = S3Server::start(bucket.path(), &["cold"]);
    aged(folder.path(), &[0, 100]);
    server.kill();
    let settings = Settings {
        tiers: vec![tier("cold", 90, "s3://cold/deep")],
        s3: server.s3(),
        snapshot_keep: SOON,
        ..patient(folder.path())
    };
    let node = Node::start_with(folder.path(), settings);
    let status = node.wait("told", |status| status.last_error.is_some());
    assert!(status.last_error.as_ref().unwrap().contains("s3://cold/deep"), "{status:?}");
    assert_eq!(times(&node, "d-3").len(), 40);
    server.restart();
    node.wait("moved", |status| {
        status.last_error.is_none() && !status.due.is_empty() && status.due.iter().all(|due| due.files == 0)
    });
    assert!(paths(&node)[0].starts_with("s3://cold/deep"), "{:?}", paths(&node));
    assert_eq!(times(&node, "d-3").len(), 40);
    node.stop();
}

/// A file that comes back has the place that it had, and what was to be deleted there is the file itself.
#[test]
fn a_day_that_moves_away_and_back_before_its_old_file_was_deleted_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    aged(folder.path(), &[0, 100]);
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let settings = |name: &str, snapshot_keep| Settings {
        tiers: vec![tier("cold", 90, &place(name))],
        snapshot_keep,
        ..patient(folder.path())
    };
    let moved = |name: &str, snapshot_keep: Duration| {
        let node = Node::start_with(folder.path(), settings(name, snapshot_keep));
        node.wait("moved", |status| !status.due.is_empty() && status.due.iter().all(|due| due.files == 0));
        node
    };
    // So short that places are looked at at once, too long for anything to be deleted between.
    let while_it_lasts = Duration::from_secs(100);
    for name in ["one", "other", "one"] {
        moved(name, while_it_lasts).stop();
    }
    assert_eq!(parquet_files(&folder.path().join("other")).len(), 1, "nothing was deleted yet");
    let node = moved("one", SOON);
    let since = Instant::now();
    while !parquet_files(&folder.path().join("other")).is_empty() {
        assert!(since.elapsed() < harness::PATIENCE, "what was replaced does not go");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(paths(&node)[0].contains("/one/main/reports/"), "{:?}", paths(&node));
    assert_eq!(times(&node, "d-3").len(), 40);
    assert_eq!(check(&node.lake(), None, true, &drover_objects::S3::default()).unwrap(), []);
    node.stop();
}
