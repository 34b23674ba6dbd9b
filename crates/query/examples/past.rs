//! The past of a day, measured: 1,736 drivers report every 5 s for 8 h (9,999,360 reports).
//!
//! `cargo run --release --workspace --example past -- load folder=DIR [drivers=1736]`: from a full log on disk to
//! committed files, then merged: rows/s, bytes a row, peak memory. The log is made by the first run.
//! `… -- reads folder=DIR [routes=2000] [averages=15]`: of that lake, in process: routes of one driver's hour, the map
//! at a moment, the average speed by driver and hour of the whole day in SQL.
//!
//! Prints `name=value` lines; times are milliseconds.

#[path = "../../history/examples/sizes/city.rs"]
mod city;

use drover_history::read::{Footers, MapAt, RouteQuery, map_at, route};
use drover_history::{History, Settings, Status, View};
use drover_log::{Log, SegmentEngine, SegmentSettings};
use drover_model::{Kind, Sight};
use drover_query::{Asker, Engine, Limits};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const HOUR_MS: i64 = 3_600_000;
/// A driver's shift, and its reports.
const SHIFT_MS: i64 = 8 * HOUR_MS;
const SHIFT_REPORTS: u64 = 5_760;
const AVERAGES: &str = "SELECT id, date_trunc('hour', event_time) AS hour, avg(speed_kmh) AS speed FROM reports \
    WHERE event_time >= '2026-01-05T00:00:00Z' AND event_time < '2026-01-06T00:00:00Z' GROUP BY 1, 2";

fn argument(name: &str) -> Option<String> {
    std::env::args().find_map(|given| given.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

fn number(name: &str, usual: usize) -> usize {
    argument(name).map_or(usual, |given| given.parse().expect("a number"))
}

fn main() {
    let folder = argument("folder").map(PathBuf::from);
    match (std::env::args().nth(1).as_deref(), folder) {
        (Some("load"), Some(folder)) => load(&folder),
        (Some("reads"), Some(folder)) => reads(&folder),
        _ => eprintln!("usage: past load folder=DIR [drivers=N] | past reads folder=DIR [routes=N] [averages=N]"),
    }
}

fn load(folder: &Path) {
    let log = filled_log(&folder.join("log"), number("drivers", city::DRIVERS));
    let lake = folder.join("lake");
    let _not_there = std::fs::remove_dir_all(&lake);
    let end = log.durable_position();
    forget_peak();
    let started = Instant::now();
    let (history, running) = drover_history::follow(&log, Settings::new(&lake)).expect("the lake opens");
    wait(&history, |status| {
        // What is left at the end does not wait for its minute.
        if status.position == end {
            history.flush_now();
        }
        status.cursor == end
    });
    println!("log_to_lake_rows_per_s={:.0}", end as f64 / started.elapsed().as_secs_f64());
    println!("log_to_lake_peak_mib={}", peak_memory_mib());
    forget_peak();
    let merged = wait_merged(&history);
    println!("merge_peak_mib={}", peak_memory_mib());
    println!("rows={}", merged.rows);
    println!("files={}", merged.files);
    println!("bytes_per_row={:.3}", merged.bytes as f64 / merged.rows as f64);
    running.stop();
    let findings = drover_history::check(&lake, Some(1..end + 1), true, &Settings::new(&lake).s3)
        .expect("the catalogue is readable");
    assert!(findings.is_empty() && merged.rows == end, "{findings:?}");
}

fn reads(folder: &Path) {
    let log = filled_log(&folder.join("log"), 0);
    let (history, running) = drover_history::follow(&log, Settings::new(folder.join("lake"))).expect("the lake opens");
    wait(&history, |status| status.position == log.durable_position());
    let footers = Footers::default();
    routes(&history.view(), &footers);
    maps(&history.view(), &footers);
    averages(history);
    running.stop();
}

/// Hours inside the shifts of two hundred drivers.
fn routes(view: &View, footers: &Footers) {
    let drivers = (view.files.iter().map(|file| file.rows).sum::<u64>() / SHIFT_REPORTS) as usize;
    let mut dice = city::Rng::new(9);
    let ask = |id: &str, event_time, limit| {
        let query = RouteQuery { kind: Kind::Driver, id, event_time, limit, after: None, noise: true };
        route(view, footers, &query).expect("a route").fixes
    };
    let shift = |number: usize| {
        let id = number.to_string();
        let first = ask(&id, 0..=i64::MAX, 1)[0].event_time;
        (id, first)
    };
    let shifts: Vec<_> = (0..200).map(|_| shift(1 + dice.below(drivers))).collect();
    let (mut times, mut rows) = (Vec::new(), 0);
    for _ in 0..number("routes", 2_000) {
        let (id, first) = &shifts[dice.below(shifts.len())];
        let from = first + dice.below((SHIFT_MS - HOUR_MS) as usize) as i64;
        let began = Instant::now();
        rows += ask(id, from..=from + HOUR_MS - 1, 10_000).len();
        times.push(began.elapsed());
    }
    println!("route_rows={}", rows / times.len());
    print_times("route", times);
}

/// Where everybody was, at moments of the day.
fn maps(view: &View, footers: &Footers) {
    let mut times = Vec::new();
    for hour in 2..22 {
        let at_ms = city::DAY_START_MS + hour * HOUR_MS;
        let map = MapAt { at_ms, max_age_ms: HOUR_MS, kind: None, sight: Sight::All, limit: 1_000_000 };
        let began = Instant::now();
        let (assets, _) = map_at(view, footers, &map).expect("a map");
        times.push(began.elapsed());
        assert!(!assets.is_empty(), "somebody drives at {hour}");
    }
    print_times("map", times);
}

fn averages(history: History) {
    let engine = Engine::new(history, drover_query::Settings::default()).expect("the engine");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let limits = Limits { rows: 1_000_000, time: Duration::from_secs(120), ..Limits::default() };
    let mut times = Vec::new();
    for _ in 0..number("averages", 15) {
        let began = Instant::now();
        let rows = runtime.block_on(async {
            let mut answer = engine.run(AVERAGES, Asker::default(), limits.clone()).await.expect("an answer");
            answer.collect().await.expect("rows").iter().map(|batch| batch.num_rows()).sum::<usize>()
        });
        times.push(began.elapsed());
        assert!(rows > 1_000, "{rows}");
    }
    print_times("average", times);
}

fn print_times(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
    println!("{name}_p50_ms={:.3}\n{name}_p99_ms={:.3}", ms(0.5), ms(0.99));
}

/// Waits until no file has come for a while, longer for larger ones.
fn wait_merged(history: &History) -> Status {
    let patience = Duration::from_secs(10 + history.status().rows / 2_000_000);
    let newest = || history.view().files.iter().map(|file| file.id).max().unwrap_or(0);
    let (mut known, mut last) = (newest(), Instant::now());
    wait(history, |_| {
        if newest() > known {
            (known, last) = (newest(), Instant::now());
        }
        last.elapsed() > patience
    })
}

fn wait(history: &History, mut done: impl FnMut(&Status) -> bool) -> Status {
    let mut told = Instant::now();
    loop {
        let status = history.status();
        if done(&status) {
            return status;
        }
        if told.elapsed() > Duration::from_secs(10) {
            eprintln!("cursor {} files {} tail {}", status.cursor, status.files, status.tail_rows);
            told = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The log with the day in it; made if it is not there, since that takes longer than what is measured.
fn filled_log(folder: &Path, drivers: usize) -> Log {
    let engine = SegmentEngine::open(SegmentSettings::new(folder)).expect("the log opens");
    let log = Log::open(engine, drover_log::Settings::default());
    if log.durable_position() == 0 {
        city::day(drivers, &mut |records| {
            let last = log.append_all(&records).expect("the log takes the load");
            log.wait_durable(last).expect("the log is written");
        });
    }
    log
}

/// From here on the peak counts anew.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux counts peaks");
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("kB") / 1024
}
