//! The load: a day of drivers as a fleet has it. 1,736 drivers × 5,760 reports (one eight-hour shift, a report every
//! 5 s with up to 1 s of jitter) are 9,999,360 reports of one day, the same every time: smooth speed and heading, the
//! position integrated from them with 3 m of GPS noise and 6 decimals, received up to 2 s later.

use drover_model::{Draft, Kind, Rules};

/// Drivers of the full day.
pub const DRIVERS: usize = 1_736;
/// 2026-01-05T00:00:00Z, ms.
pub const DAY_START_MS: i64 = 1_767_571_200_000;
const CITIES: usize = 45;
const TICKS: u32 = 17_280;
const SHIFT_TICKS: u32 = 5_760;

struct Driver {
    start: u32,
    lat: f64,
    lon: f64,
    speed: f64,
    heading: f64,
    target: f64,
    order: u64,
    order_left: u32,
}

/// Calls `take` with the encoded reports of each 5 s of the day, in the order in which they are received.
pub fn day(drivers: usize, take: &mut dyn FnMut(Vec<Vec<u8>>)) {
    let mut rng = Rng::new(42);
    let mut next_order = 1;
    let mut fleet: Vec<Driver> = (0..drivers).map(|at| Driver::new(&mut rng, at)).collect();
    for tick in 0..TICKS {
        let mut reports = Vec::new();
        for (at, driver) in fleet.iter_mut().enumerate() {
            if (driver.start..driver.start + SHIFT_TICKS).contains(&tick) {
                driver.step(&mut rng, &mut next_order);
                reports.push(driver.report(&mut rng, tick, at));
            }
        }
        reports.sort_by_key(|(received, _)| *received);
        take(reports.into_iter().map(|(_, report)| report).collect());
    }
}

impl Driver {
    fn new(rng: &mut Rng, at: usize) -> Driver {
        let city = at % CITIES;
        let (col, row) = ((city % 9) as f64, (city / 9 % 5) as f64);
        let lon = -120.0 + 30.0 * col + 1.7 * row + rng.gauss() * 0.1;
        let lat = -34.0 + 22.0 * row + 0.9 * col + rng.gauss() * 0.1;
        let start = rng.below(11_520) as u32;
        let heading = rng.unit() * 360.0;
        Driver { start, lat, lon, speed: 0.0, heading, target: 8.0, order: 0, order_left: 60 }
    }

    fn step(&mut self, rng: &mut Rng, next_order: &mut u64) {
        if rng.unit() < 0.05 {
            self.target = if rng.unit() < 0.25 { 0.0 } else { 3.0 + 14.0 * rng.unit() };
            self.heading += if rng.unit() < 0.5 { 90.0 } else { -90.0 } * rng.below(2) as f64;
        }
        self.speed = (self.speed + 0.4 * (self.target - self.speed) + 0.3 * rng.gauss()).clamp(0.0, 30.0);
        self.heading = (self.heading + 2.0 * rng.gauss()).rem_euclid(360.0);
        let step = 5.0 * self.speed / 111_320.0;
        self.lat += step * self.heading.to_radians().cos();
        self.lon += step * self.heading.to_radians().sin() / self.lat.to_radians().cos().max(0.1);
        if self.order_left == 0 {
            self.order = if self.order == 0 { *next_order + 1 } else { 0 };
            *next_order += u64::from(self.order != 0);
            self.order_left = 60 + rng.below(300) as u32;
        }
        self.order_left -= 1;
    }

    /// When it is received, and the record.
    fn report(&self, rng: &mut Rng, tick: u32, at: usize) -> (i64, Vec<u8>) {
        let noise = 3.0 / 111_320.0;
        let event_time = DAY_START_MS + i64::from(tick) * 5_000 + rng.below(1_000) as i64;
        let accuracy = 3.0 + 4.0 * rng.unit() * rng.unit();
        let received = event_time + rng.below(2_000) as i64;
        let draft = Draft {
            kind: Some(Kind::Driver),
            id: Some((at + 1).to_string().into()),
            event_time: Some(event_time),
            latitude: Some(rounded(self.lat + noise * rng.gauss(), 1e6)),
            longitude: Some(rounded(self.lon + noise * rng.gauss(), 1e6)),
            accuracy_m: Some(rounded(accuracy, 10.0)),
            speed_kmh: Some(rounded(self.speed, 10.0)),
            heading_deg: Some(self.heading.floor()),
            order_id: (self.order != 0).then(|| self.order.to_string().into()),
            ..Draft::default()
        };
        let report = draft.check(&Rules::default(), received).expect("the load is within the rules");
        let mut record = Vec::new();
        report.encode(&mut record);
        (received, record)
    }
}

fn rounded(value: f64, unit: f64) -> f64 {
    (value * unit).round() / unit
}

/// xorshift64*: every run has the same data.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn gauss(&mut self) -> f64 {
        let u = self.unit().max(1e-12);
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}
