//! Over a real log and lake: while reports come in and are flushed and merged, every query sees each report up to one
//! position of the log once.

use crate::lake::{DAY, Sent, ask};
use drover_history::{History, Running, Settings, follow};
use drover_log::{Log, SegmentEngine, SegmentSettings};
use drover_model::Kind;
use drover_query::Engine;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const REPORTS: u64 = 60_000;

fn start(folder: &Path) -> (Log, History, Running) {
    let segments = SegmentSettings { segment_bytes: 8 << 20, ..SegmentSettings::new(folder.join("log")) };
    let log = Log::open(SegmentEngine::open(segments).unwrap(), drover_log::Settings::default());
    let settings = Settings { flush_rows: 2_000, ..Settings::new(folder.join("lake")) };
    let (history, running) = follow(&log, settings).unwrap();
    (log, history, running)
}

fn record(number: u64) -> Vec<u8> {
    let id = format!("bus-{}", number % 97);
    let mut sent = Sent::new(
        number,
        if number.is_multiple_of(3) { Kind::Driver } else { Kind::Vehicle },
        &id,
        DAY + number as i64 * 3_000,
    );
    sent.speed = Some((number % 90) as f64);
    let mut bytes = Vec::new();
    sent.report().encode(&mut bytes);
    bytes
}

#[test]
fn queries_are_right_while_reports_are_written_flushed_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    let (log, history, running) = start(folder.path());
    let engine = Engine::new(history.clone(), drover_query::Settings { threads: 2, ..Default::default() }).unwrap();
    let done = AtomicBool::new(false);
    let (log, done) = (&log, &done);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for first in (1..=REPORTS).step_by(500) {
                let records: Vec<Vec<u8>> = (first..first + 500).map(record).collect();
                let last = log.append_all(&records).unwrap();
                log.wait_durable(last).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut before, mut looks) = (0, 0);
            while !done.load(Ordering::Acquire) || looks < 5 {
                before = look(&engine, before).await;
                looks += 1;
            }
            assert!(history.wait_visible(REPORTS, Duration::from_secs(60)).await);
            assert_eq!(look(&engine, before).await, REPORTS);
            assert!(history.status().files > 0);
        });
    });
    running.stop();
}

/// What one query sees must be positions 1 to some number, each once, and no fewer than the query before saw.
async fn look(engine: &Engine, before: u64) -> u64 {
    let sql = "SELECT count(*), count(DISTINCT position), coalesce(max(position), 0), coalesce(sum(speed_kmh), 0), \
        count(*) FILTER (WHERE kind = 'driver') FROM reports";
    let row = &ask(engine, sql).await[0];
    let number = |at: usize| row[at].parse::<u64>().unwrap();
    let seen = number(0);
    assert_eq!((number(1), number(2)), (seen, seen), "{row:?}");
    let speeds: u64 = (1..=seen).map(|number| number % 90).sum();
    assert_eq!(row[3].parse::<f64>().unwrap(), speeds as f64);
    assert_eq!(number(4), seen / 3);
    assert!(seen >= before, "{before} then {seen}");
    let asset = "SELECT count(*) FROM reports WHERE kind = 'driver' AND id = 'bus-7' AND position <= ";
    let of_asset = (1..=seen).filter(|number| number % 3 == 0 && number % 97 == 7).count();
    assert_eq!(ask(engine, &format!("{asset}{seen}")).await, [[of_asset.to_string()]]);
    seen
}
