//! How large the lake is and how fast it is written, with a day of 9,999,360 driver reports.
//!
//! `cargo run --release -p drover-history --example rows -- lake [folder] [drivers]`: from a full log on disk to
//! committed files, then merged; rows/s, bytes/row, peak memory.
//! `… -- sizes [drivers]`: bytes/row and column for layouts and types, as one file of the whole day and as one flush.

mod city;
mod sizes;

use drover_history::{History, Settings, Status};
use drover_log::{Log, SegmentEngine, SegmentSettings};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).map_or(city::DRIVERS, |text| text.parse().expect("a number of drivers"));
    match arguments.first().map(String::as_str) {
        Some("lake") => {
            let folder = arguments.get(1).map_or_else(|| std::env::temp_dir().join("drover-rows"), PathBuf::from);
            lake(&folder, number(2));
        }
        Some("sizes") => sizes::run(number(1)),
        _ => eprintln!("usage: rows lake [folder] [drivers] | rows sizes [drivers]"),
    }
}

fn lake(folder: &Path, drivers: usize) {
    println!("load before: {}", load());
    let log = filled_log(&folder.join("log"), drivers);
    let lake = folder.join("lake");
    let _ = std::fs::remove_dir_all(&lake);
    let end = log.durable_position();
    let started = Instant::now();
    let (history, running) = drover_history::follow(&log, Settings::new(&lake)).expect("the lake opens");
    let flushed = wait(&history, "flushed", |status| {
        // What is left at the end does not wait for its minute.
        if status.position == end {
            history.flush_now();
        }
        status.cursor == end
    });
    report("log to lake", &flushed, started.elapsed());
    println!("peak memory {} MiB", peak_memory_mib());
    forget_peak();
    // Merging went on meanwhile; it is done when nothing changes for a while.
    let mut last = (flushed.snapshot, Instant::now());
    let merged = wait(&history, "merged", |status| {
        if status.snapshot != last.0 {
            last = (status.snapshot, Instant::now());
        }
        last.1.elapsed() > Duration::from_secs(20)
    });
    report("and merged", &merged, last.1 - started);
    println!("peak memory while merging only {} MiB; load after: {}", peak_memory_mib(), load());
    running.stop();
    println!("doctor: {:?}", drover_history::check(&lake, Some(1..end + 1), true).expect("the catalogue is readable"));
}

fn report(what: &str, status: &Status, took: Duration) {
    let Status { rows, bytes, files, .. } = status;
    println!(
        "{what}: {rows} rows in {:.2} s ({:.0} rows/s), {files} files, {:.2} bytes/row, {:?}",
        took.as_secs_f64(),
        *rows as f64 / took.as_secs_f64(),
        *bytes as f64 / *rows as f64,
        status.last_error
    );
}

fn wait(history: &History, what: &str, mut done: impl FnMut(&Status) -> bool) -> Status {
    let mut told = Instant::now();
    loop {
        let status = history.status();
        if done(&status) {
            return status;
        }
        if told.elapsed() > Duration::from_secs(10) {
            println!("  not {what} yet: cursor {} files {} tail {}", status.cursor, status.files, status.tail_rows);
            told = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The log with the day in it; made if it is not there, since that takes longer than what is measured.
fn filled_log(folder: &Path, drivers: usize) -> Log {
    let engine = SegmentEngine::open(SegmentSettings::new(folder)).expect("the log opens");
    let log = Log::open(engine, drover_log::Settings::default());
    if log.durable_position() > 0 {
        println!("the log in {} has {} records already", folder.display(), log.durable_position());
        return log;
    }
    let mut bytes = 0;
    city::day(drivers, &mut |records| {
        bytes += records.iter().map(Vec::len).sum::<usize>();
        let last = log.append_all(&records).expect("the log takes the load");
        log.wait_durable(last).expect("the log is written");
    });
    println!("log: {} records, {bytes} bytes", log.durable_position());
    log
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

/// From here on the peak counts anew.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
