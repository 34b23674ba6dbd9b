//! Rates and memory of [`MovingIndex`] on one core: 156,000 objects around 45 city centres, as in `bench/`.
//! Rates are per second of processor time of this thread (Linux), so that other load disturbs them only through caches.
//! `cargo run --release -p drover-geo --example index_rate`; prints `name=value` lines.

use drover_geo::{Hit, MovingIndex, Point, destination};
use std::time::Instant;

const MEMBERS: u32 = 156_000;
const CITIES: u32 = 45;
const SIGMA_DEG: f64 = 0.1;
const MOVES: usize = 2_000_000;
const EACH_S: f64 = 2.0;

fn main() {
    let mut rng = Rng(0x9E37_79B9_7F4A_7C15);
    let mut index = MovingIndex::new();
    let mut points: Vec<Point> = (0..MEMBERS).map(|id| member_point(&mut rng, id % CITIES)).collect();
    let clock = Clock::start();
    (0..).zip(&points).for_each(|(id, point)| index.put(id, *point));
    println!("inserts_per_s={:.0}", f64::from(MEMBERS) / clock.seconds());
    print_memory("bytes_per_object", &index);
    moves(&mut index, &mut points, &mut rng);
    print_memory("bytes_per_object_after_moves", &index);

    let members: Vec<Point> = (0..1 << 16).map(|_| index.get(rng.below(MEMBERS)).unwrap()).collect();
    let anywhere: Vec<Point> = (0..1 << 16).map(|_| world_point(&mut rng)).collect();
    rate("nearest_10_within_5_km", &members, |at, out| index.nearest(at, 10, 5_000.0, |_| true, out));
    rate("nearest_10_within_5_km_every_tenth", &members, |at, out| {
        index.nearest(at, 10, 5_000.0, |id| id % 10 == 0, out);
    });
    rate("nearest_10_unlimited_at_members", &members, |at, out| index.nearest(at, 10, f64::INFINITY, |_| true, out));
    rate("nearest_100_within_5_km", &members, |at, out| index.nearest(at, 100, 5_000.0, |_| true, out));
    rate("within_1_km", &members, |at, out| index.within(at, 1_000.0, None, |_| true, out));
    rate("within_5_km", &members, |at, out| index.within(at, 5_000.0, None, |_| true, out));
    rate("within_50_km", &members, |at, out| index.within(at, 50_000.0, None, |_| true, out));
    rate("within_500_km", &members, |at, out| index.within(at, 500_000.0, None, |_| true, out));
    rate("nearest_10_unlimited_anywhere", &anywhere, |at, out| index.nearest(at, 10, f64::INFINITY, |_| true, out));
}

/// Moves of 100 m in random directions, objects in random order. The way is computed before the clock starts.
fn moves(index: &mut MovingIndex, points: &mut [Point], rng: &mut Rng) {
    let mut step = |_| {
        let id = rng.below(MEMBERS);
        let point = &mut points[id as usize];
        *point = destination(*point, 360.0 * rng.unit(), 100.0);
        (id, *point)
    };
    let steps: Vec<(u32, Point)> = (0..MOVES).map(&mut step).collect();
    let clock = Clock::start();
    steps.iter().for_each(|(id, point)| index.put(*id, *point));
    println!("moves_per_s={:.0}", MOVES as f64 / clock.seconds());
}

fn rate(name: &str, points: &[Point], mut query: impl FnMut(Point, &mut Vec<Hit>)) {
    let (mut out, mut queries, mut hits) = (Vec::new(), 0_usize, 0_usize);
    let clock = Clock::start();
    while clock.seconds() < EACH_S {
        for step in 0..512 {
            query(points[(queries + step) % points.len()], &mut out);
            hits += out.len();
        }
        queries += 512;
    }
    println!("{name}_per_s={:.0}", queries as f64 / clock.seconds());
    println!("{name}_hits={:.1}", hits as f64 / queries as f64);
}

/// Processor time of this thread; the time of day where Linux' `schedstat` does not exist.
struct Clock {
    day: Instant,
    busy_s: Option<f64>,
}

impl Clock {
    fn start() -> Self {
        Self { day: Instant::now(), busy_s: Self::busy_s() }
    }

    fn seconds(&self) -> f64 {
        match (self.busy_s, Self::busy_s()) {
            (Some(start), Some(now)) => now - start,
            _ => self.day.elapsed().as_secs_f64(),
        }
    }

    fn busy_s() -> Option<f64> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let nanoseconds: f64 = text.split(' ').next()?.parse().ok()?;
        Some(nanoseconds / 1e9)
    }
}

fn print_memory(name: &str, index: &MovingIndex) {
    println!("{name}={:.1}", index.memory_bytes() as f64 / index.len() as f64);
}

/// City centres on a lattice of 9 x 5 (longitude -120..120, latitude -34..54), far enough apart never to mix.
fn member_point(rng: &mut Rng, city: u32) -> Point {
    let (column, row) = (f64::from(city % 9), f64::from(city / 9));
    let lat = -34.0 + 22.0 * row + 0.9 * column + rng.gauss() * SIGMA_DEG;
    Point::new(lat, -120.0 + 30.0 * column + 1.7 * row + rng.gauss() * SIGMA_DEG)
}

/// Evenly spread over the sphere.
fn world_point(rng: &mut Rng) -> Point {
    Point::new((2.0 * rng.unit() - 1.0).asin().to_degrees(), 360.0 * rng.unit() - 180.0)
}

/// xorshift64*: small, and the same figures on every run.
struct Rng(u64);

impl Rng {
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
