//! Tracks with fewer points: Douglas and Peucker's choice of the points that a line of a given tolerance needs.
//! Distances are taken in the plane, in metres at the middle latitude of each line between two kept points; for lines
//! up to 60 km long below 65 degrees that differs from the sphere by less than 1 %. It knows places only, not when or
//! how fast.

use crate::lattice::{TURN, shorter_way, ticks_to_radians};
use crate::{EARTH_RADIUS_M, PointE7};

/// Every so many points one is kept whatever it adds, since the time grows with the square of a span in the worst case:
/// at most `points x SPAN_POINTS` distances are taken, and the stack holds no more entries than a span has points.
const SPAN_POINTS: usize = 4_096;

/// The numbers of the points to keep, ascending, with the first and the last point among them. Every other point is
/// within `tolerance_m` metres of the line between the kept points before and after it. Zero, a negative number or NaN
/// drop only what lies exactly on the line. Any number of points will do, and none gives none; a track may cross the
/// antimeridian.
#[must_use]
pub fn simplify(points: &[PointE7], tolerance_m: f64) -> Vec<usize> {
    let track = Track::new(points);
    // NaN is no maximum, so this makes it 0 too.
    let tolerance = tolerance_m.max(0.0) / (EARTH_RADIUS_M * ticks_to_radians(1));
    let mut is_kept = vec![false; points.len()];
    for first in (0..points.len()).step_by(SPAN_POINTS) {
        let last = (first + SPAN_POINTS).min(points.len() - 1);
        track.keep(first, last, tolerance * tolerance, &mut is_kept);
    }
    (0..points.len()).filter(|&number| is_kept[number]).collect()
}

/// Positions in lattice steps; longitudes go on beyond 180 degrees instead of jumping.
struct Track(Vec<(f64, f64)>);

impl Track {
    fn new(points: &[PointE7]) -> Track {
        let mut east = points.first().map_or(0, |point| i64::from(point.lon));
        let unwrapped = points.iter().map(|point| {
            east += shorter_way((i64::from(point.lon) - east) % TURN);
            (f64::from(point.lat), east as f64)
        });
        Track(unwrapped.collect())
    }

    /// Marks what is needed from `first` to `last`. A stack of its own: recursion could go as deep as a span is long.
    fn keep(&self, first: usize, last: usize, tolerance_squared: f64, is_kept: &mut [bool]) {
        (is_kept[first], is_kept[last]) = (true, true);
        let mut open = vec![(first, last)];
        while let Some((first, last)) = open.pop() {
            let Some((far, squared)) = self.farthest(first, last) else { continue };
            if squared > tolerance_squared {
                is_kept[far] = true;
                open.extend([(first, far), (far, last)]);
            }
        }
    }

    /// The point between two that is farthest from the line between them, and the square of its distance.
    fn farthest(&self, first: usize, last: usize) -> Option<(usize, f64)> {
        let line = Line::new(self.0[first], self.0[last]);
        let between = self.0.get(first + 1..last)?;
        let distances = between.iter().map(|point| line.distance_squared(*point));
        // Of equals the first, so that the choice does not depend on how maxima are sought.
        (first + 1..last).zip(distances).reduce(|most, next| if next.1 > most.1 { next } else { most })
    }
}

/// From one point to another, in the plane that is true to scale at their middle latitude; lattice steps of latitude.
struct Line {
    start: (f64, f64),
    east_scale: f64,
    north: f64,
    east: f64,
    length_squared: f64,
}

impl Line {
    fn new(start: (f64, f64), end: (f64, f64)) -> Line {
        let middle = (start.0 + end.0) / 2.0;
        let east_scale = ticks_to_radians(middle as i64).cos().max(0.0);
        let (north, east) = (end.0 - start.0, (end.1 - start.1) * east_scale);
        Line { start, east_scale, north, east, length_squared: north * north + east * east }
    }

    fn distance_squared(&self, point: (f64, f64)) -> f64 {
        let (north, east) = (point.0 - self.start.0, (point.1 - self.start.1) * self.east_scale);
        let along = north * self.north + east * self.east;
        // The nearest place of the line: its start, its end, or the foot of the perpendicular.
        let share = if self.length_squared > 0.0 { (along / self.length_squared).clamp(0.0, 1.0) } else { 0.0 };
        let (north, east) = (north - share * self.north, east - share * self.east);
        north * north + east * east
    }
}
