//! Trips and stops: the written definition against a twin that follows it word by word, windows against the whole, and
//! real traces.

mod examples;
mod real;
mod twin;
mod windows;

use drover_geo::{Point, PointE7, destination};
use drover_history::trips::TripFix;

/// 2026-01-05T08:00:00Z, ms.
const MORNING: i64 = 1_767_600_000_000;

/// Writes down what an asset did, one fix after another.
#[derive(Debug, Clone)]
struct Diary {
    at: Point,
    time_ms: i64,
    fixes: Vec<TripFix>,
}

impl Diary {
    /// Begins at a place, with a fix there.
    fn at(lat: f64, lon: f64) -> Diary {
        let mut diary = Diary { at: Point::new(lat, lon), time_ms: MORNING, fixes: Vec::new() };
        diary.fix(diary.at);
        diary
    }

    fn fix(&mut self, at: Point) {
        self.fixes.push(TripFix { time_ms: self.time_ms, at: PointE7::from(at), speed_kmh: None });
    }

    /// Goes on with a heading and a speed, with a fix every so many seconds.
    fn go(mut self, seconds: i64, every_s: i64, heading: f64, kmh: f64) -> Diary {
        for _ in 0..seconds / every_s {
            self.at = destination(self.at, heading, kmh / 3.6 * every_s as f64);
            self.time_ms += every_s * 1_000;
            self.fix(self.at);
        }
        self
    }

    /// Stands, with a fix every so many seconds that is off by some metres in all directions in turn.
    fn stand(mut self, seconds: i64, every_s: i64, noise_m: f64) -> Diary {
        for number in 1..=seconds / every_s {
            self.time_ms += every_s * 1_000;
            self.fix(destination(self.at, (number * 100 % 360) as f64, noise_m));
        }
        self
    }

    /// Says nothing for so long.
    fn silent(mut self, seconds: i64) -> Diary {
        self.time_ms += seconds * 1_000;
        self
    }

    /// Is elsewhere from the next fix on.
    fn moved(mut self, heading: f64, metres: f64) -> Diary {
        self.at = destination(self.at, heading, metres);
        self
    }
}
