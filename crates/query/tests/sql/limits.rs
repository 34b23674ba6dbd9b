//! Limits limit: rows, time, memory, queries at once, the text itself; and a dropped answer stops its query.

use crate::lake::{DAY, Lake, Sent, ask, engine, engine_with, error};
use drover_model::Kind;
use drover_query::{Asker, Limits, Settings, SqlError};
use std::time::{Duration, Instant};

/// Some thousand reports; joined with itself often enough it keeps any machine busy for longer than a test may take.
fn busy_lake() -> Lake {
    let mut lake = Lake::new();
    let reports = |first: u64| -> Vec<Sent> {
        (first..first + 4_000).map(|at| Sent::new(at, Kind::Driver, &format!("d-{at}"), DAY + at as i64)).collect()
    };
    lake.file(&reports(1));
    lake.file(&reports(4_001));
    lake
}

const ENDLESS: &str =
    "SELECT count(*) FROM reports a, reports b, reports c WHERE a.position + b.position < c.position * 2";

fn within(time: Duration) -> Limits {
    Limits { time, ..Limits::default() }
}

#[tokio::test]
async fn rows_beyond_the_limit_are_left_out_and_told() {
    let engine = engine(&busy_lake());
    for (sql, limit, rows, truncated) in [
        ("SELECT id FROM reports", 100, 100, true),
        ("SELECT id FROM reports", 8_000, 8_000, false),
        ("SELECT id FROM reports", 7_999, 7_999, true),
        ("SELECT id FROM reports ORDER BY position DESC LIMIT 5", 5, 5, false),
        ("SELECT id FROM reports ORDER BY position DESC LIMIT 6", 5, 5, true),
        ("SELECT id FROM reports", 0, 1, true),
    ] {
        let limits = Limits { rows: limit, ..Limits::default() };
        let mut answer = engine.run(sql, Asker::default(), limits).await.unwrap();
        let found: usize = answer.collect().await.unwrap().iter().map(|batch| batch.num_rows()).sum();
        assert_eq!((found, answer.truncated(), answer.rows()), (rows, truncated, rows as u64), "{sql} {limit}");
    }
}

#[tokio::test]
async fn the_time_limit_stops_a_query_for_real() {
    let engine = engine_with(&busy_lake(), Settings { threads: 2, queries: 1, ..Settings::default() });
    let began = Instant::now();
    let limit = Duration::from_millis(300);
    assert_eq!(error(&engine, ENDLESS, within(limit)).await, SqlError::OutOfTime { limit });
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // The only turn is free again, and the threads compute for others.
    let began = Instant::now();
    assert_eq!(ask(&engine, "SELECT count(*) FROM reports").await, [["8000"]]);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_a_query_no_longer_than_its_time() {
    let engine = engine_with(&busy_lake(), Settings { threads: 2, queries: 1, ..Settings::default() });
    let idle = engine.run(
        "SELECT a.id FROM reports a, reports b",
        Asker::default(),
        Limits { rows: 1_000_000, ..within(Duration::from_millis(300)) },
    );
    let mut idle = idle.await.unwrap();
    // Waits for its turn, which comes when the other query's time is over.
    assert_eq!(ask(&engine, "SELECT count(*) FROM reports").await, [["8000"]]);
    let limit = Duration::from_millis(300);
    assert_eq!(idle.collect().await.unwrap_err(), SqlError::OutOfTime { limit });
}

#[tokio::test]
async fn the_memory_limit_stops_a_query() {
    let engine = engine(&busy_lake());
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    for sql in [
        "SELECT a.id, b.id, count(*) FROM reports a, reports b GROUP BY 1, 2",
        "SELECT a.id FROM reports a, reports b ORDER BY a.id || b.id, a.position * b.position OFFSET 100000",
        "SELECT array_agg(a.id || b.id) FROM reports a, reports b",
    ] {
        assert_eq!(error(&engine, sql, limits.clone()).await, SqlError::OutOfMemory { limit_bytes: 1 << 20 }, "{sql}");
    }
    assert_eq!(ask(&engine, "SELECT count(DISTINCT id) FROM reports").await, [["8000"]]);
}

#[tokio::test]
async fn more_queries_than_turns_wait_and_are_then_refused() {
    let settings = Settings { threads: 2, queries: 2, queue_wait: Duration::from_millis(100), ..Settings::default() };
    let engine = engine_with(&busy_lake(), settings.clone());
    let first = engine.run("SELECT a.id FROM reports a, reports b", Asker::default(), Limits::default()).await.unwrap();
    let _second =
        engine.run("SELECT a.id FROM reports a, reports b", Asker::default(), Limits::default()).await.unwrap();
    let refused = error(&engine, "SELECT 1", Limits::default()).await;
    assert_eq!(refused, SqlError::Busy { running: 2, waited: settings.queue_wait });
    drop(first);
    // A dropped answer gives its turn back, if not within the wait, then soon.
    let began = Instant::now();
    while let Err(error) = engine.run("SELECT 1", Asker::default(), Limits::default()).await {
        assert!(matches!(error, SqlError::Busy { .. }) && began.elapsed() < Duration::from_secs(5), "{error}");
    }
}

#[tokio::test]
async fn a_dropped_future_stops_its_query() {
    let engine = engine_with(&busy_lake(), Settings { threads: 2, queries: 1, ..Settings::default() });
    let mut endless = engine.run(ENDLESS, Asker::default(), Limits::default()).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(200), endless.next()).await;
    assert!(waited.is_err(), "an endless query has an answer: {waited:?}");
    drop(endless);
    assert_eq!(ask(&engine, "SELECT count(*) FROM reports").await, [["8000"]]);
}

#[tokio::test]
async fn a_running_query_is_listed_and_stopped_by_its_number() {
    let engine = engine(&busy_lake());
    let asked = tokio::spawn({
        let engine = engine.clone();
        async move { error(&engine, ENDLESS, Limits::default()).await }
    });
    let began = Instant::now();
    let running = loop {
        // Listed, and at work.
        if let Some(running) = engine.running().pop().filter(|running| running.progress.rows_scanned > 0) {
            break running;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it never ran");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!((&*running.sql, running.progress.rows_total), (ENDLESS, 24_000));
    assert!(!engine.stop(running.id + 1), "there is no other");
    assert!(engine.stop(running.id));
    assert_eq!(asked.await.unwrap(), SqlError::Stopped);
    assert!(engine.running().is_empty());
}

#[tokio::test]
async fn nested_texts_fail_and_leave_the_engine_whole() {
    let engine = engine(&busy_lake());
    let parentheses = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let subqueries = (0..45).fold("SELECT 1 AS x".to_owned(), |inner, _| format!("SELECT x FROM ({inner})"));
    let nots = format!("SELECT {}true", "NOT ".repeat(1_900));
    let casts = format!("SELECT 1{}", "::BIGINT".repeat(900));
    let many = format!("SELECT count(*) FROM reports WHERE {}", vec!["id = 'd-1'"; 900].join(" OR "));
    let unions = vec!["SELECT 1"; 40].join(" UNION ALL ");
    for sql in [&parentheses, &subqueries, &nots, &casts, &many, &unions] {
        match engine.run(sql, Asker::default(), Limits::default()).await {
            Ok(mut answer) => drop(answer.collect().await.unwrap()),
            // The parser's own bound of depth looks like a fault of syntax.
            Err(error) => assert!(["sql_too_complex", "sql_syntax"].contains(&error.code()), "{error}"),
        }
    }
    let list = (0..5_000).map(|number| format!("'d-{number}'")).collect::<Vec<_>>().join(",");
    assert_eq!(ask(&engine, &format!("SELECT count(*) FROM reports WHERE id IN ({list})")).await, [["4999"]]);
}

#[tokio::test]
async fn progress_reaches_the_end() {
    let engine = engine(&busy_lake());
    let mut answer = engine
        .run("SELECT id, count(*) FROM reports WHERE position <> 7 GROUP BY 1", Asker::default(), Limits::default())
        .await
        .unwrap();
    answer.collect().await.unwrap();
    let progress = answer.progress();
    assert_eq!((progress.files_total, progress.files_selected), (2, 2));
    assert_eq!((progress.rows_total, progress.rows_scanned), (8_000, 8_000));
    assert!(progress.bytes_read > 0 && progress.memory_peak_bytes > 0, "{progress:?}");
}
