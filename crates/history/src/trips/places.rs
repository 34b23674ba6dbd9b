//! Places between places, over the antimeridian too. Steps are those of [`PointE7`].

use drover_geo::PointE7;

const TURN: i64 = 3_600_000_000;
/// More than a step of latitude, or of longitude anywhere, is long.
const STEP_MAX_M: f64 = 0.0112;

/// Whether two places are at most so far apart. Most that are need no trigonometry to tell: the way along the meridian
/// and the parallel is longer than the straight one.
pub(super) fn is_within(a: PointE7, b: PointE7, metres: f64) -> bool {
    let steps = north_of(a, b).abs() + east_of(a, b).abs();
    steps as f64 * STEP_MAX_M <= metres || a.distance_m(b) <= metres
}

/// Longitudes from one place to another the shorter way.
pub(super) fn east_of(from: PointE7, to: PointE7) -> i64 {
    wrapped(i64::from(to.lon) - i64::from(from.lon))
}

/// Latitudes from one place to another.
pub(super) fn north_of(from: PointE7, to: PointE7) -> i64 {
    i64::from(to.lat) - i64::from(from.lat)
}

/// The place so many steps away. The steps lead to a mean of places, so that the latitude stays in range.
pub(super) fn moved(from: PointE7, north: i64, east: i64) -> PointE7 {
    let lon = wrapped(i64::from(from.lon) + east);
    PointE7 { lat: (i64::from(from.lat) + north) as i32, lon: lon as i32 }
}

/// The place after a share of the way, 0 to 1.
pub(super) fn between(from: PointE7, to: PointE7, share: f64) -> PointE7 {
    let part = |steps: i64| (steps as f64 * share).round() as i64;
    moved(from, part(north_of(from, to)), part(east_of(from, to)))
}

fn wrapped(steps: i64) -> i64 {
    (steps + TURN / 2).rem_euclid(TURN) - TURN / 2
}

/// Sum of places by the time spent on the way between them, as steps from a first one. Whole numbers, so that a
/// difference of two sums is as exact as a sum of its own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PlaceTime {
    /// Twice the sum of steps times ms.
    north: i128,
    east: i128,
    ms: i128,
}

impl PlaceTime {
    /// With the way between two places added, both as steps north and east from the first one.
    pub(super) fn plus(self, from: (i64, i64), to: (i64, i64), ms: i64) -> PlaceTime {
        let ms = i128::from(ms);
        PlaceTime {
            north: self.north + i128::from(from.0 + to.0) * ms,
            east: self.east + i128::from(from.1 + to.1) * ms,
            ms: self.ms + ms,
        }
    }

    /// What was added since this was the sum.
    pub(super) fn since(self, earlier: PlaceTime) -> PlaceTime {
        PlaceTime { north: self.north - earlier.north, east: self.east - earlier.east, ms: self.ms - earlier.ms }
    }

    /// The mean place as steps from the first one; `None` if no time was spent. Rounded down, not to zero: then it is
    /// the same place whichever the first one is.
    pub(super) fn mean(self) -> Option<(i64, i64)> {
        let mean = |sum: i128| sum.checked_div_euclid(2 * self.ms).map(|steps| steps as i64);
        Some((mean(self.north)?, mean(self.east)?))
    }
}
