//! How large the lake is and how fast it is written, with a day of 9,999,360 driver reports.
//!
//! `cargo run --release -p drover-history --example rows -- lake [folder] [drivers]`: from a full log on disk to
//! committed files, then merged; rows/s, bytes/row, peak memory.
//! `… -- merge [folder] [drivers]`: what merging alone does with what a filled lake has left to merge.
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
    let folder = || arguments.get(1).map_or_else(|| std::env::temp_dir().join("drover-rows"), PathBuf::from);
    match arguments.first().map(String::as_str) {
        Some("lake") => lake(&folder(), number(2)),
        Some("merge") => merge(&folder(), number(2)),
        Some("sizes") => sizes::run(number(1)),
        _ => eprintln!("usage: rows lake [folder] [drivers] | rows merge [folder] [drivers] | rows sizes [drivers]"),
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
    let (merged, took, _) = wait_merged(&history, started);
    report("and merged", &merged, took);
    println!("peak memory while merging only {} MiB; load after: {}", peak_memory_mib(), load());
    running.stop();
    println!("doctor: {:?}", drover_history::check(&lake, Some(1..end + 1), true).expect("the catalogue is readable"));
}

fn merge(folder: &Path, drivers: usize) {
    println!("load before: {}", load());
    let log = filled_log(&folder.join("log"), drivers);
    let lake = folder.join("lake");
    let _ = std::fs::remove_dir_all(&lake);
    let end = log.durable_position();
    let small = Settings { flush_rows: 50_000, tail_max_bytes: 8 << 20, ..Settings::new(&lake) };
    let (history, running) = drover_history::follow(&log, small).expect("the lake opens");
    wait(&history, "flushed", |status| status.cursor + 50_000 > end);
    running.stop();
    report("to be merged", &history.status(), Duration::from_secs(1));
    drop(history);
    forget_peak();
    println!("memory before {} MiB", peak_memory_mib());
    let (history, running) = drover_history::follow(&log, Settings::new(&lake)).expect("the lake opens");
    let (merged, took, rows) = wait_merged(&history, Instant::now());
    println!("{rows} rows merged in {:.2} s, of which up to 1 s waiting", took.as_secs_f64());
    report("merged", &merged, took);
    println!("peak memory {} MiB; load after: {}", peak_memory_mib(), load());
    running.stop();
}

/// Waits until no file has come for a while. Gives the time from `since` to the last one, and the rows in new files.
fn wait_merged(history: &History, since: Instant) -> (Status, Duration, u64) {
    let newest = |history: &History| history.view().files.iter().map(|file| file.id).max().unwrap_or(0);
    let (mut known, mut last, mut rows) = (newest(history), Instant::now(), 0);
    let status = wait(history, "merged", |_| {
        let view = history.view();
        let new: Vec<_> = view.files.iter().filter(|file| file.id > known).collect();
        if !new.is_empty() {
            rows += new.iter().map(|file| file.rows).sum::<u64>();
            (known, last) = (newest(history), Instant::now());
        }
        last.elapsed() > Duration::from_secs(10)
    });
    (status, last - since, rows)
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
