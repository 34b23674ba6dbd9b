//! Distances from one fix to places near it, in the plane that touches the earth there.
//! Most places are near, and the plane costs a tenth of the haversine, which measures the others.

use crate::lattice::{TICKS_PER_DEGREE, shorter_way, ticks_to_radians};
use crate::{EARTH_RADIUS_M, PointE7};

/// Places within so many lattice steps, 0.1 degrees, are near: the plane is wrong by 0.5 % at most.
const NEAR: i64 = (TICKS_PER_DEGREE / 10.0) as i64;
/// Closer to a pole the meridians run together too fast for a plane; lattice steps of 80 degrees.
const POLAR: i32 = (TICKS_PER_DEGREE * 80.0) as i32;

#[derive(Clone, Copy, Debug)]
pub(super) struct Plane {
    at: PointE7,
    metres_per_tick: f64,
    east_scale: f64,
}

impl Plane {
    pub(super) fn new(at: PointE7) -> Plane {
        Plane { at, metres_per_tick: EARTH_RADIUS_M * ticks_to_radians(1), east_scale: cosine(at.lat) }
    }

    pub(super) fn distance_m(&self, to: PointE7) -> f64 {
        let north = i64::from(to.lat) - i64::from(self.at.lat);
        let east = shorter_way(i64::from(to.lon) - i64::from(self.at.lon));
        if north.abs() > NEAR || east.abs() > NEAR || self.at.lat.abs() > POLAR {
            return self.at.distance_m(to);
        }
        let (north, east) = (north as f64, east as f64 * self.east_scale);
        (north * north + east * east).sqrt() * self.metres_per_tick
    }
}

/// Cosine of a latitude, by Taylor's series to the 12th power: exact to 1e-8, without a call into the library.
fn cosine(lat: i32) -> f64 {
    let x = ticks_to_radians(lat.into());
    let y = x * x;
    let high = -1.0 / 3_628_800.0 + y / 479_001_600.0;
    let low = -1.0 / 720.0 + y * (1.0 / 40_320.0 + y * high);
    1.0 + y * (-0.5 + y * (1.0 / 24.0 + y * low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Point, destination};

    #[test]
    fn the_plane_agrees_with_the_sphere_wherever_it_is_used() {
        for lat in [-79.9, -41.0, 0.0, 30.0, 60.0, 79.9] {
            for lon in [-180.0, 8.0, 179.999] {
                for heading in 0..36 {
                    for metres in [0.5, 40.0, 900.0, 10_900.0, 20_000.0] {
                        let from = Point::new(lat, lon);
                        let to = PointE7::from(destination(from, f64::from(heading) * 10.0, metres));
                        let found = Plane::new(from.into()).distance_m(to);
                        assert!((found - metres).abs() < 0.02 + 0.005 * metres, "{from:?} {heading} {metres}: {found}");
                    }
                }
            }
        }
    }
}
