//! DuckDB opens the lake in place and sees what Drover wrote, while Drover goes on.

mod harness;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drover_history::{ReadingColumn, Settings};
use drover_model::{Kind, Reading};
use harness::{DAY, MORNING, Node, all_rows, decoded, drive, driver, patient, positions, with_readings};

#[test]
fn duckdb_and_the_log_agree_while_the_follower_is_running() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { flush_rows: 3_000, ..patient(folder.path()) };
    let node = Node::start_with(folder.path(), settings);
    let records = drive(MORNING, 60_000, 40);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for some in records.chunks(500) {
                node.append(some);
            }
            done.store(true, Ordering::Release);
        });
        node.wait("in a file", |status| status.cursor > 0);
        let mut looks = 0;
        while !done.load(Ordering::Acquire) || looks < 3 {
            compare(&node, &records);
            looks += 1;
        }
    });
    node.flush();
    assert_eq!(compare(&node, &records), records.len());
    node.stop();
}

/// One look of DuckDB against the same part of the log. Returns how many rows it saw.
fn compare(node: &Node, records: &[Vec<u8>]) -> usize {
    let answers = node.duckdb(&[
        "SELECT json_extract(commit_extra_info, '$.cursor') AS c FROM ducklake_snapshots('lake') \
         ORDER BY snapshot_id DESC LIMIT 1",
        "SELECT count(*) AS n, count(DISTINCT position) AS d, max(position) AS m, sum(speed_kmh) AS s FROM reports",
        "SELECT id, avg(speed_kmh) AS a FROM reports GROUP BY id ORDER BY id",
        "SELECT epoch_ms(event_time) AS t, latitude AS l FROM reports WHERE kind = 'driver' AND id = 'd-7' \
         ORDER BY event_time",
    ]);
    let cursor: usize = answers[0][0][0].as_deref().unwrap().parse().unwrap();
    let seen = decoded(&records[..cursor]);
    let text = |answer: usize, row: usize, column: usize| answers[answer][row][column].clone().unwrap();
    assert_eq!(
        (text(1, 0, 0), text(1, 0, 1), text(1, 0, 2)),
        (cursor.to_string(), cursor.to_string(), cursor.to_string())
    );
    let sum: f64 = seen.iter().map(|report| f64::from(report.speed_kmh.unwrap())).sum();
    assert_eq!(text(1, 0, 3).parse::<f64>().unwrap(), sum);

    let mut speeds: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for report in &seen {
        let (sum, count) = speeds.entry(&report.id).or_default();
        *sum += f64::from(report.speed_kmh.unwrap());
        *count += 1.0;
    }
    assert_eq!(answers[2].len(), speeds.len());
    for (row, (id, (sum, count))) in speeds.iter().enumerate() {
        assert_eq!(text(2, row, 0), *id);
        assert!((text(2, row, 1).parse::<f64>().unwrap() - sum / count).abs() < 1e-9);
    }

    let route: Vec<(String, String)> = seen
        .iter()
        .filter(|report| report.id == "d-7")
        .map(|report| (report.event_time.to_string(), format!("{:.7}", report.position.unwrap().lat())))
        .collect();
    let found: Vec<_> = (0..answers[3].len()).map(|row| (text(3, row, 0), text(3, row, 1))).collect();
    assert_eq!(found, route);
    cursor
}

#[test]
fn late_report_goes_to_its_own_day() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let years_ago = MORNING - 4_000 * DAY;
    let records =
        [driver("d-1", MORNING, 10.0), driver("d-1", MORNING + 20 * 3_600_000, 20.0), driver("d-1", years_ago, 30.0)];
    node.append(&records);
    let status = node.flush();
    assert_eq!(status.files, 3, "one file for each day");
    let days: Vec<String> = node.history.view().files.iter().map(|file| file.path.display().to_string()).collect();
    for (path, day) in
        days.iter().zip(["year=2015/month=6/day=15/", "year=2026/month=5/day=28/", "year=2026/month=5/day=29/"])
    {
        assert!(path.contains(day), "{path} lies in {day}");
    }
    assert_eq!(node.duckdb_count("event_time < '2016-01-01'"), 1);
    assert_eq!(node.duckdb_count("event_time >= '2026-05-29' AND event_time < '2026-05-30'"), 1);
    node.stop();
}

#[test]
fn rows_beyond_the_first_statistics_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    node.append(&[driver("d-5", MORNING, 9.0)]);
    node.flush();
    node.append(&[driver("a-1", MORNING - DAY, 100.0), driver("z-9", MORNING + DAY, 0.5)]);
    node.append(&[with_readings(Kind::Vehicle, "bus", MORNING, 7.0, &[("doors", Reading::Number(2.0))])]);
    node.flush();
    for condition in [
        "id = 'a-1'",
        "id = 'z-9'",
        "kind = 'vehicle'",
        "speed_kmh = 100",
        "speed_kmh = 0.5",
        "event_time = '2026-05-27 10:00:00+00'",
        "event_time = '2026-05-29 10:00:00+00'",
        "position = 4",
        "readings IS NOT NULL",
        "readings ->> 'doors' = '2'",
    ] {
        assert_eq!(node.duckdb_count(condition), 1, "{condition}");
    }
    assert_eq!(node.duckdb_count("readings IS NULL"), 3);
    node.stop();
}

#[test]
fn every_column_arrives_as_it_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let readings = [
        ("temperature_c", Reading::Number(-3.5)),
        ("note", Reading::Text("say \"hé\"\n")),
        ("charging", Reading::Bool(true)),
    ];
    node.append(&[with_readings(Kind::Station, "s:1", MORNING + 123, 12.25, &readings)]);
    node.flush();
    let row = &node
        .duckdb(&["SELECT * EXCLUDE (status, order_id, city, battery_pct, heading_deg, accuracy_m) FROM reports"])[0]
        [0];
    let row: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap()).collect();
    assert_eq!(
        row,
        [
            "station",
            "s:1",
            "2026-05-28 10:00:00.123+00",
            "2026-05-28 10:00:00.623+00",
            "41.1622500",
            "-8.6100000",
            "12.25",
            "0",
            r#"{"temperature_c":-3.5,"note":"say \"hé\"\n","charging":true}"#,
            "local",
            "1",
        ]
    );
    node.stop();
}

#[test]
fn a_promoted_reading_becomes_a_column_and_old_rows_are_null() {
    let folder = tempfile::tempdir().unwrap();
    let charge =
        |at: i64| with_readings(Kind::Vehicle, "v-1", MORNING + at, 5.0, &[("soc_pct", Reading::Number(at as f64))]);
    let node = Node::start(folder.path());
    node.append(&[charge(1)]);
    node.flush();
    node.stop();

    let columns = ["soc_pct:number", "driver_note:text", "charging:bool"];
    let reading_columns = columns.map(|text| ReadingColumn::parse(text).unwrap()).to_vec();
    let node = Node::start_with(folder.path(), Settings { reading_columns, ..patient(folder.path()) });
    node.append(&[charge(2)]);
    node.flush();
    let told = &node.duckdb(&["SELECT position, soc_pct, charging, readings FROM reports ORDER BY position"])[0];
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(told[0], [text("1"), None, None, text(r#"{"soc_pct":1}"#)]);
    assert_eq!(told[1], [text("2"), text("2.0"), None, text(r#"{"soc_pct":2}"#)]);
    assert_eq!(node.duckdb_count("soc_pct > 1.5"), 1);
    assert_eq!(node.duckdb_count("soc_pct IS NULL"), 1);
    node.stop();

    // A column once made stays, without the setting as well, and merged files have it.
    let node = Node::start(folder.path());
    for at in 3..9 {
        node.append(&[charge(at)]);
        node.flush();
    }
    node.wait("merged", |status| status.files == 1);
    assert_eq!(node.duckdb_value("SELECT sum(soc_pct) AS s FROM reports"), "35.0");
    assert_eq!(node.duckdb_count("soc_pct IS NULL"), 1);
    let wrong = vec![ReadingColumn::parse("soc_pct:text").unwrap()];
    node.stop();
    let log = harness::open_log(folder.path());
    let refused = drover_history::follow(&log, Settings { reading_columns: wrong, ..patient(folder.path()) });
    assert!(refused.unwrap_err().to_string().contains("soc_pct"));
}

#[test]
fn merged_files_hold_the_same_rows_and_the_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { snapshot_keep: Duration::from_millis(200), ..patient(folder.path()) };
    let node = Node::start_with(folder.path(), settings);
    let records = drive(MORNING, 4_000, 17);
    for some in records.chunks(500) {
        node.append(some);
        node.flush();
    }
    let merged = node.wait("merged", |status| status.files == 1);
    assert_eq!(merged.rows, 4_000);
    assert_eq!(compare(&node, &records), 4_000);
    wait_for_files(&node, 1);
    assert_eq!(node.duckdb_value("SELECT count(*) AS n FROM ducklake_snapshots('lake')"), "1");
    assert_eq!(compare(&node, &records), 4_000);
    assert_eq!(drover_history::check(&node.lake(), Some(1..4_001), true, &drover_objects::S3::default()).unwrap(), []);
    node.stop();
}

#[test]
fn a_held_view_keeps_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { snapshot_keep: Duration::from_millis(1), ..patient(folder.path()) };
    let node = Node::start_with(folder.path(), settings);
    for some in drive(MORNING, 700, 3).chunks(100) {
        node.append(some);
        node.flush();
    }
    let held = node.history.view();
    node.append(&drive(MORNING + DAY / 4, 100, 3));
    node.flush();
    node.wait("merged", |status| status.files == 1);
    // The eighth file of before is in no view and may go; the seven that are held stay.
    wait_for_files(&node, 1 + 7);
    assert_eq!(positions(&held), (1..=700).collect::<Vec<u64>>());
    drop(held);
    wait_for_files(&node, 1);
    node.stop();
}

/// Waits until so many data files are on disk.
fn wait_for_files(node: &Node, wanted: usize) {
    let table = node.lake().join("data/main/reports");
    node.wait("down to the wanted files", |_| count_files(&table) == wanted);
}

fn count_files(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |entry: std::fs::DirEntry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 };
    entries.map(|entry| entry.map_or(0, count)).sum()
}

#[test]
fn days_beyond_the_retention_leave_the_lake() {
    let folder = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let settings = Settings { keep_days: Some(3), snapshot_keep: Duration::from_millis(50), ..patient(folder.path()) };
    let node = Node::start_with(folder.path(), settings);
    node.append(&[driver("d-1", now - 10 * DAY, 1.0), driver("d-1", now - 2 * DAY, 2.0), driver("d-1", now, 3.0)]);
    node.flush();
    let status = node.wait("without the old day", |status| status.files == 2);
    assert_eq!((status.rows, status.cursor), (2, 3));
    wait_for_files(&node, 2);
    assert_eq!(node.duckdb_value("SELECT sum(speed_kmh) AS s FROM reports"), "5.00");
    node.stop();
}

#[test]
fn a_report_is_seen_once_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { flush_rows: 700, ..patient(folder.path()) };
    let node = Node::start_with(folder.path(), settings);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            drive(MORNING, 30_000, 11).chunks(97).for_each(|some| _ = node.append(some));
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let view = node.history.view();
            let in_files: u64 = view.files.iter().map(|file| file.rows).sum();
            assert_eq!(in_files, view.cursor);
            assert_eq!(in_files + view.tail.rows() as u64, view.position);
        }
    });
    let view = node.history.view();
    assert_eq!(positions(&view), (1..=30_000).collect::<Vec<u64>>());
    assert!(
        all_rows(&view).iter().all(|batch| drover_history::sort_by_key(batch) == *batch),
        "files and chunks are sorted"
    );
    node.stop();
}
