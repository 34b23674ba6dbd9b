//! How long a read of the live state takes while reports are applied: 156,000 assets around 45 city centres, as in
//! `bench/`, and 5,200 reports a second behind the reader's back.
//! `cargo run --release -p drover-live --example read_latency -- [SECONDS]`; prints `name=value` lines, in microseconds.
//!
//! Reads are due every 100 us, so that a long wait for the state's lock is met by as many reads as a caller would make.
//! `get` and `nearest` count from the call; `…_from_due` counts from the moment at which the read was due, which adds
//! the time in which the scheduler ran something else: the reader spins, so it needs a core of its own.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use drover_geo::Point;
use drover_live::{Area, Filter, Freshness, Live, Settings};
use drover_log::{Log, MemoryEngine, Position};
use drover_model::{Draft, Kind, Rules};

const MEMBERS: u32 = 156_000;
const CITIES: u32 = 45;
const SIGMA_DEG: f64 = 0.1;
const REPORTS_PER_S: f64 = 5200.0;
const READ_INTERVAL: Duration = Duration::from_micros(100);
const RADIUS_M: f64 = 5000.0;
const LOG_BYTES: usize = 1 << 30;

fn main() {
    let seconds = std::env::args().nth(1).map_or(5.0, |seconds| seconds.parse().expect("seconds"));
    let time = Duration::from_secs_f64(seconds);
    let log = Log::open(MemoryEngine::new(LOG_BYTES), drover_log::Settings::default());
    let snapshots = tempfile::tempdir().expect("a folder for snapshots");
    let (live, running) =
        Live::follow(&log, snapshots.path(), Settings::default(), Box::new(|_, _| {})).expect("live follows the log");
    let mut fleet = Fleet::new();
    let last = (0..MEMBERS).map(|member| fleet.report(member, &log)).last().expect("members");
    while live.applied() < last {
        std::thread::sleep(Duration::from_millis(1));
    }

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reporter = scope.spawn(|| report_at_a_pace(&mut fleet, &log, &stop));
        let mut reader = Reader { random: Random(0x2545_F491_4F6C_DD1D), live: &live };
        measure("get", time, || reader.get());
        measure("nearest", time, || reader.nearest());
        stop.store(true, Ordering::Relaxed);
        println!("reports_per_s={:.0}", reporter.join().expect("the reporter does not panic"));
    });
    running.stop();
    log.close();
}

/// Appends what is due every millisecond. Returns reports per second.
fn report_at_a_pace(fleet: &mut Fleet, log: &Log, stop: &AtomicBool) -> f64 {
    let (started, mut sent) = (Instant::now(), 0_u32);
    while !stop.load(Ordering::Relaxed) {
        let due = (started.elapsed().as_secs_f64() * REPORTS_PER_S) as u32;
        while sent < due {
            let member = fleet.random.below(MEMBERS);
            fleet.report(member, log);
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    f64::from(sent) / started.elapsed().as_secs_f64()
}

struct Reader<'a> {
    random: Random,
    live: &'a Live,
}

impl Reader<'_> {
    fn get(&mut self) {
        let id = name(self.random.below(MEMBERS));
        black_box(self.live.get(Kind::Driver, &id, |seen| (seen.report.event_time, seen.fix)).expect("a member"));
    }

    /// The ten nearest drivers that are not offline, as the HTTP door asks for them.
    fn nearest(&mut self) {
        let city = self.random.below(CITIES);
        let area = Area::Circle { centre: member_point(&mut self.random, city), radius_m: RADIUS_M };
        let freshness = vec![Freshness::Live, Freshness::Stale];
        let filter = Filter { kinds: vec![Kind::Driver], freshness, ..Filter::default() };
        black_box(
            self.live.search(&area, &filter, 10, now_ms(), |found| (found.seen.report.event_time, found.distance_m)),
        );
    }
}

/// Reads at a pace and prints percentiles from due and from call to answer.
fn measure(name: &str, time: Duration, mut read: impl FnMut()) {
    let (mut from_due, mut from_call) = (Vec::new(), Vec::new());
    let started = Instant::now();
    let mut due = started;
    while due.duration_since(started) < time {
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let called = Instant::now();
        read();
        let answered = Instant::now();
        from_due.push(answered.duration_since(due));
        from_call.push(answered.duration_since(called));
        due += READ_INTERVAL;
    }
    print_percentiles(name, from_call);
    print_percentiles(&format!("{name}_from_due"), from_due);
}

fn print_percentiles(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    for (label, part) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
        let time = times[((times.len() - 1) as f64 * part) as usize];
        println!("{name}_{label}_us={:.2}", time.as_secs_f64() * 1e6);
    }
}

/// Members about their city centres.
struct Fleet {
    random: Random,
    record: Vec<u8>,
}

impl Fleet {
    fn new() -> Fleet {
        Fleet { random: Random(0x9E37_79B9_7F4A_7C15), record: Vec::new() }
    }

    fn report(&mut self, member: u32, log: &Log) -> Position {
        let (now, point) = (now_ms(), member_point(&mut self.random, member % CITIES));
        let draft = Draft {
            kind: Some(Kind::Driver),
            id: Some(name(member).into()),
            event_time: Some(now),
            latitude: Some(point.lat),
            longitude: Some(point.lon),
            ..Draft::default()
        };
        self.record.clear();
        draft.check(&Rules::default(), now).expect("a good report").encode(&mut self.record);
        log.append(&self.record).expect("there is room in memory")
    }
}

fn name(member: u32) -> String {
    format!("d{member:012}")
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

/// City centres on a lattice of 9 x 5 (longitude -120..120, latitude -34..54), far enough apart never to mix.
fn member_point(random: &mut Random, city: u32) -> Point {
    let (column, row) = (f64::from(city % 9), f64::from(city / 9));
    let lat = -34.0 + 22.0 * row + 0.9 * column + random.gauss() * SIGMA_DEG;
    Point::new(lat, -120.0 + 30.0 * column + 1.7 * row + random.gauss() * SIGMA_DEG)
}

/// xorshift64*: small, and the same data on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n)) as u32
    }

    fn gauss(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().max(1e-12).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
