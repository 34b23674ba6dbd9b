//! How fast known reports are told from new ones, with so many million keys on disk:
//!
//! `cargo run --release -p drover-ingest --example seen_rate -- [million keys] [time|vehicles] [folder] [keep|cold]`
//!
//! `time`: as live reports come, 10,000 assets side by side. `vehicles`: as an old file comes, one asset's 50,000
//! reports after another's. Needs 26 bytes a key on disk, for a while twice that, and removes them at the end unless
//! told to `keep` them; a folder with keys in it is used as it is. One thread asks; every measurement ends after
//! about five seconds.

#[path = "../src/seen/mod.rs"]
#[allow(dead_code)]
mod seen;

use drover_ingest::Admission;
use drover_log::{Log, MemoryEngine, Settings};
use drover_model::{Draft, Kind, Rules};
use seen::{Key, Positions, Runs, Seen, key};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_128_with_seed;

const START_MS: i64 = 1_790_000_000_000;
const NOW_MS: i64 = 1_900_000_000_000;
const RUN: u64 = 262_144;
const LIMIT: Duration = Duration::from_secs(5);
const ADMISSIONS: u64 = 3_000_000;

/// Which report comes as the `i`th.
#[derive(Clone, Copy)]
enum Order {
    Time,
    Vehicles,
}

impl Order {
    fn report(self, i: u64) -> (u64, i64) {
        match self {
            Order::Time => (i % 10_000, START_MS + (i / 10_000) as i64 * 10_000),
            Order::Vehicles => (i / 50_000, START_MS + (i % 50_000) as i64 * 10_000),
        }
    }

    fn key(self, i: u64, later_ms: i64) -> Key {
        let (asset, event_ms) = self.report(i);
        key(xxh3_128_with_seed(id(asset, &mut [0; 20]).as_bytes(), Kind::Vehicle as u64), event_ms + later_ms)
    }
}

/// `v` and the number.
fn id(asset: u64, bytes: &mut [u8; 20]) -> &str {
    use std::io::Write;
    let mut rest = &mut bytes[..];
    write!(rest, "v{asset}").expect("a number has less than 20 digits");
    let len = 20 - rest.len();
    std::str::from_utf8(&bytes[..len]).expect("digits")
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |i: usize| args.get(i).map(String::as_str);
    let keys = arg(0).map_or(1, |millions| millions.parse().expect("a number of millions")) * 1_000_000;
    let order = if arg(1) == Some("vehicles") { Order::Vehicles } else { Order::Time };
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = arg(2).map_or(temporary.path(), Path::new);
    let runs = Runs::open(folder, 1, seen::Settings::default()).expect("the folder opens");
    if runs.counts().0 == 0 {
        fill(&runs, order, keys);
    }
    drop(runs);
    let opening = Instant::now();
    let runs = Runs::open(folder, 1, seen::Settings::default()).expect("the folder opens");
    println!("opened in {:.0} ms: {:?} runs, filters in memory", opening.elapsed().as_secs_f64() * 1e3, runs.counts());
    if arg(3) == Some("cold") {
        return ask("present, in file order, cold", keys, |i| runs.find(order.key(i, 0)), true);
    }
    if arg(3) == Some("new") {
        return ask("new, in file order", keys, |i| runs.find(order.key(i, 1)), false);
    }
    let scattered = |i: u64| (i * 0x9e37_79b9) % keys;
    ask("new, in file order", keys, |i| runs.find(order.key(i, 1)), false);
    ask("new, scattered", keys, |i| runs.find(order.key(scattered(i), 1)), false);
    ask("present, in file order", keys, |i| runs.find(order.key(i, 0)), true);
    ask("present, scattered", keys, |i| runs.find(order.key(scattered(i), 0)), true);
    drop(runs);
    admissions(folder, order, keys);
    if arg(2).is_some() && arg(3) != Some("keep") {
        std::fs::remove_dir_all(folder).expect("the folder can be removed");
    }
}

fn fill(runs: &Runs, order: Order, keys: u64) {
    let started = Instant::now();
    let (mut adding, done) = (Duration::ZERO, AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                runs.tidy(1, None).expect("runs can be merged");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        for from in (0..keys).step_by(RUN as usize) {
            let to = keys.min(from + RUN);
            let seen = (from..to).map(|i| Seen { key: order.key(i, 0), content: i }).collect();
            let adds = Instant::now();
            runs.add(seen, Positions { from: from + 1, to }).expect("a run can be written");
            adding += adds.elapsed();
        }
        done.store(true, Ordering::Relaxed);
    });
    runs.tidy(1, None).expect("runs can be merged");
    let (seconds, adding) = (started.elapsed().as_secs_f64(), adding.as_secs_f64());
    println!(
        "{keys} keys written and merged in {seconds:.1} s ({:.0}/s; adding alone {:.0}/s)",
        keys as f64 / seconds,
        keys as f64 / adding
    );
}

fn ask(what: &str, keys: u64, find: impl Fn(u64) -> std::io::Result<Option<u64>>, expected: bool) {
    let (started, cpu) = (Instant::now(), cpu_s());
    let mut asked = 0;
    while asked < keys && (asked % 4096 != 0 || started.elapsed() < LIMIT) {
        assert_eq!(find(asked).expect("runs can be read").is_some(), expected);
        asked += 1;
    }
    print_rate(what, asked, started, cpu);
}

fn print_rate(what: &str, n: u64, started: Instant, cpu_before_s: f64) {
    let (wall, cpu) = (n as f64 / started.elapsed().as_secs_f64(), n as f64 / (cpu_s() - cpu_before_s));
    println!("{what:>32}: {wall:>10.0}/s, {cpu:>10.0} a second of this thread's CPU");
}

/// Seconds of CPU that this thread has had: the machine may have other work.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}

/// The whole of admission, log in memory: reports of one year before what is known, then the same again.
fn admissions(folder: &Path, order: Order, keys: u64) {
    let log = Log::open(MemoryEngine::new(4 << 30), Settings { max_pending_bytes: 1 << 30, ..Settings::default() });
    let admission = Admission::open(log, folder, Rules::default(), None).expect("the folder opens");
    (0..keys.min(100_000)).for_each(|asset| {
        admission.remember_newest(Kind::Vehicle, id(asset, &mut [0; 20]), NOW_MS, None);
    });
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| admission.keep_tidy(|| done.load(Ordering::Relaxed)));
        for what in ["admitted, new but late", "admitted again, all duplicates"] {
            let (started, cpu) = (Instant::now(), cpu_s());
            admit_all(&admission, order);
            print_rate(what, ADMISSIONS, started, cpu);
        }
        done.store(true, Ordering::Relaxed);
    });
}

fn admit_all(admission: &Admission, order: Order) {
    let (mut scratch, mut bytes) = (Vec::new(), [0; 20]);
    for i in 0..ADMISSIONS {
        let (asset, event_ms) = order.report(i);
        let draft = Draft {
            kind: Some(Kind::Vehicle),
            id: Some(id(asset, &mut bytes).into()),
            // In the same hours as what is known, so that nothing but the filters can tell.
            event_time: Some(event_ms + 5),
            speed_kmh: Some(50.0),
            ..Draft::default()
        };
        admission.admit(draft, NOW_MS, &mut scratch).expect("a report is admitted");
    }
}
