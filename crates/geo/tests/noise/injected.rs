//! Known noise in clean traces: how much of it is found, and how much else is flagged.

use crate::traces::{self, Fleet};
use crate::{Rng, fix, judge, moved};
use drover_geo::{Fix, Noise, PointE7};

const HOME: PointE7 = PointE7 { lat: 411_500_000, lon: -86_100_000 };
const FAR: [Noise; 2] = [Noise::Jump, Noise::Teleport];

/// Fixes with noise among them.
#[derive(Default)]
struct Spoilt {
    fixes: Vec<Fix>,
    /// Which fixes are noise.
    is_noise: Vec<bool>,
}

impl Spoilt {
    fn of(fixes: &[Fix]) -> Spoilt {
        Spoilt { fixes: fixes.to_vec(), is_noise: vec![false; fixes.len()] }
    }

    fn push(&mut self, fix: Fix, is_noise: bool) {
        self.fixes.push(fix);
        self.is_noise.push(is_noise);
    }
}

/// What was found of the noise.
#[derive(Debug, Default)]
struct Score {
    noise: usize,
    found: usize,
    clean: usize,
    /// Flagged by these rules though it is no noise.
    wrong: usize,
}

impl Score {
    fn add(&mut self, spoilt: &Spoilt, rules: &[Noise]) {
        for (verdict, is_noise) in judge(&spoilt.fixes).iter().zip(&spoilt.is_noise) {
            let is_flagged = verdict.is_some_and(|noise| rules.contains(&noise));
            let (all, flagged) = match is_noise {
                true => (&mut self.noise, &mut self.found),
                false => (&mut self.clean, &mut self.wrong),
            };
            *all += 1;
            *flagged += usize::from(is_flagged);
        }
    }

    fn recall(&self) -> f64 {
        self.found as f64 / self.noise as f64
    }

    fn precision(&self) -> f64 {
        self.found as f64 / (self.found + self.wrong) as f64
    }

    fn must_reach(&self, what: &str, recall: f64, precision: f64) {
        println!("{what}: recall {:.3}, precision {:.3}, {self:?}", self.recall(), self.precision());
        assert!(self.noise > 0 && self.recall() >= recall, "{what}: {self:?}");
        assert!(self.precision() >= precision, "{what}: {self:?}");
    }
}

/// Runs of fixes moved together.
struct Runs {
    most_fixes: usize,
    /// The shortest and the longest way off.
    metres: (f64, f64),
    /// Whether so much is added that no car at top speed could go there and back.
    is_impossible: bool,
}

impl Runs {
    /// A run every 30 to 90 fixes.
    fn spoil(&self, fixes: &[Fix], rng: &mut Rng) -> Spoilt {
        let mut spoilt = Spoilt::of(fixes);
        let mut next = 20;
        while next + self.most_fixes < fixes.len() {
            let (heading, end) = (rng.heading(), next + 1 + rng.between(0.0, self.most_fixes as f64) as usize);
            let metres = self.distance_m(fixes[end].time_ms - fixes[next - 1].time_ms, rng);
            spoilt.is_noise[next..end].fill(true);
            for fix in &mut spoilt.fixes[next..end] {
                fix.at = moved(fix.at, heading, metres + 5.0 * rng.gauss());
            }
            next = end + rng.between(30.0, 90.0) as usize;
        }
        spoilt
    }

    /// In the ratio of the distances, so that short ones are as frequent as long ones.
    fn distance_m(&self, passed_ms: i64, rng: &mut Rng) -> f64 {
        let metres = self.metres.0 * (self.metres.1 / self.metres.0).powf(rng.unit());
        if self.is_impossible { metres + 60.0 + 2.0 * 55.6 * passed_ms as f64 / 1_000.0 } else { metres }
    }

    fn score(&self, fleet: &Fleet) -> Score {
        let (mut score, mut rng) = (Score::default(), Rng(7));
        for fixes in flawless(fleet) {
            score.add(&self.spoil(fixes, &mut rng), &FAR);
        }
        score
    }
}

/// What is bad in a trace itself is no measure of what is put in.
fn flawless(fleet: &Fleet) -> impl Iterator<Item = &Vec<Fix>> {
    fleet.values().filter(|fixes| judge(fixes).iter().all(Option::is_none))
}

fn bases() -> Vec<(&'static str, Fleet)> {
    let mut fleets = traces::clean();
    fleets.push(("osm-gps-berlin", traces::berlin()));
    fleets
}

#[test]
fn impossible_jumps_are_found() {
    for (name, fleet) in bases() {
        let runs = Runs { most_fixes: 3, metres: (50.0, 5_000.0), is_impossible: true };
        runs.score(&fleet).must_reach(&format!("jumps in {name}"), 0.985, 0.98);
    }
}

#[test]
fn teleports_are_found() {
    for (name, fleet) in bases() {
        let runs = Runs { most_fixes: 4, metres: (30_000.0, 8_000_000.0), is_impossible: true };
        runs.score(&fleet).must_reach(&format!("teleports in {name}"), 0.99, 0.99);
    }
}

/// What can be driven in the time between two fixes is believed, and then the way back may be what cannot.
#[test]
fn jumps_of_100_m_to_1_km_are_found_where_fixes_are_frequent() {
    let least = [(0.70, 0.62), (0.88, 0.91), (0.62, 0.72), (0.20, 0.55), (0.32, 0.60), (0.83, 0.83), (0.74, 0.85)];
    for ((name, fleet), (recall, precision)) in bases().into_iter().zip(least) {
        let runs = Runs { most_fixes: 3, metres: (100.0, 1_000.0), is_impossible: false };
        runs.score(&fleet).must_reach(&format!("short jumps in {name}"), recall, precision);
    }
}

/// A vehicle is parked for 800 fixes and drives off at 30 km/h. From the time on when it counts as parked, its receiver
/// is 30 to 90 m wrong in one of ten fixes.
fn parked(interval_ms: i64, speed_kmh: Option<f32>, rng: &mut Rng) -> Spoilt {
    let mut spoilt = Spoilt::default();
    for number in 0..830 {
        let time_ms = number * interval_ms;
        let is_star = number < 800 && number > 20 && time_ms > 200_000 && rng.unit() < 0.1;
        let driven_m = (number - 799).max(0) as f64 * 8.33 * interval_ms as f64 / 1_000.0;
        let error_m = if is_star { rng.between(30.0, 90.0) } else { (4.0 * rng.gauss()).abs() };
        let at = moved(moved(HOME, 77.0, driven_m), rng.heading(), error_m);
        spoilt.push(Fix { speed_kmh, ..fix(time_ms, at) }, is_star);
    }
    spoilt
}

#[test]
fn stars_of_parked_vehicles_are_found_and_departures_are_doubted_for_three_fixes_at_most() {
    let cases = [
        (1, None, 0.88, 0.96),
        (10, None, 0.97, 0.97),
        (10, Some(0.0), 0.97, 0.97),
        (60, None, 0.97, 0.99),
        (300, Some(0.0), 0.97, 0.99),
        (3_600, None, 0.97, 0.99),
    ];
    for (interval_s, speed_kmh, recall, precision) in cases {
        let (mut score, mut rng, mut doubted) = (Score::default(), Rng(11), 0);
        for _ in 0..200 {
            let spoilt = parked(interval_s * 1_000, speed_kmh, &mut rng);
            score.add(&spoilt, &[Noise::ParkedDrift]);
            doubted = doubted.max(judge(&spoilt.fixes)[800..].iter().flatten().count());
        }
        score.must_reach(&format!("stars every {interval_s} s, speed {speed_kmh:?}"), recall, precision);
        println!("    departures doubted for {doubted} fixes");
        assert!(doubted <= 3, "{doubted}");
    }
}

/// Drift that comes and goes within minutes, at a fix a second: it cannot be told from creeping and is followed.
#[test]
fn slow_drift_is_followed_and_not_flagged() {
    for sigma_m in [5.0, 10.0, 15.0, 20.0] {
        let (mut rng, mut flagged) = (Rng(13), 0);
        let (mut north, mut east) = (0.0, 0.0);
        let keep: f64 = 1.0 - 1.0 / 120.0;
        let fresh = sigma_m * (1.0 - keep * keep).sqrt();
        let wander = (0..50_000).map(|number| {
            (north, east) = (keep * north + fresh * rng.gauss(), keep * east + fresh * rng.gauss());
            fix(number * 1_000, moved(moved(HOME, 0.0, north), 90.0, east))
        });
        flagged += judge(&wander.collect::<Vec<_>>()).iter().flatten().count();
        println!("drift of {sigma_m} m: {flagged} of 50000 flagged");
        assert!(flagged < 50, "{sigma_m}: {flagged}");
    }
}

/// From a fix on, sixty have a clock that goes on by so many milliseconds each; then it is right again.
fn with_slow_clock(fixes: &[Fix], start: usize, step_ms: i64) -> Spoilt {
    let mut spoilt = Spoilt::of(fixes);
    for number in start..start + 60 {
        spoilt.fixes[number].time_ms = fixes[start - 1].time_ms + (number - start + 1) as i64 * step_ms;
        spoilt.is_noise[number] = true;
    }
    spoilt
}

/// The first sixty fixes that go 300 m together.
fn drive(fixes: &[Fix]) -> Option<usize> {
    let driven_m =
        |from: usize| -> f64 { fixes[from..from + 60].windows(2).map(|pair| pair[0].at.distance_m(pair[1].at)).sum() };
    (20..fixes.len().saturating_sub(70)).find(|from| driven_m(*from) > 300.0)
}

#[test]
fn a_stuck_clock_is_found_once_the_places_have_gone_on() {
    let least = [0.55, 0.75, 0.90, 0.95, 0.97, 0.80, 0.90];
    for ((name, fleet), recall) in bases().into_iter().zip(least) {
        let mut score = Score::default();
        for fixes in flawless(&fleet) {
            if let Some(start) = drive(fixes) {
                score.add(&with_slow_clock(fixes, start, 1), &[Noise::StuckClock]);
            }
        }
        score.must_reach(&format!("stuck clocks in {name}"), recall, 0.99);
    }
}
