//! Geometry for moving about a city: a few kilometres are flat enough for metres east and north of a point. Long
//! distances are the server's business.

/// Metres in one degree of latitude on the mean sphere (radius 6,371,008.8 m).
pub const METRES_PER_DEGREE: f64 = 111_195.08;

/// A place in degrees, WGS 84.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

impl Place {
    /// Metres east and north from here to `other`.
    pub fn metres_to(self, other: Place) -> (f64, f64) {
        let parallel = (self.latitude + other.latitude) / 2.0;
        let east = (other.longitude - self.longitude) * METRES_PER_DEGREE * parallel.to_radians().cos();
        (east, (other.latitude - self.latitude) * METRES_PER_DEGREE)
    }

    /// Metres as the crow flies.
    pub fn distance_m(self, other: Place) -> f64 {
        let (east, north) = self.metres_to(other);
        east.hypot(north)
    }

    /// Degrees clockwise from north, 0 to 360.
    pub fn bearing_deg(self, other: Place) -> f64 {
        let (east, north) = self.metres_to(other);
        east.atan2(north).to_degrees().rem_euclid(360.0)
    }

    /// The place so many metres east and north of here.
    pub fn moved(self, east_m: f64, north_m: f64) -> Place {
        let degrees_of_parallel = METRES_PER_DEGREE * self.latitude.to_radians().cos().max(0.01);
        Place {
            latitude: self.latitude + north_m / METRES_PER_DEGREE,
            longitude: self.longitude + east_m / degrees_of_parallel,
        }
    }

    /// The place at `part` (0 to 1) of the straight way to `other`.
    pub fn towards(self, other: Place, part: f64) -> Place {
        Place {
            latitude: self.latitude + (other.latitude - self.latitude) * part,
            longitude: self.longitude + (other.longitude - self.longitude) * part,
        }
    }

    /// Metres from here to the nearest point of the straight line from `a` to `b`.
    pub fn distance_to_line_m(self, a: Place, b: Place) -> f64 {
        let (along_east, along_north) = a.metres_to(b);
        let (east, north) = a.metres_to(self);
        let length_squared = along_east * along_east + along_north * along_north;
        let part = if length_squared > 0.0 { (east * along_east + north * along_north) / length_squared } else { 0.0 };
        let part = part.clamp(0.0, 1.0);
        (east - part * along_east).hypot(north - part * along_north)
    }
}

/// The smaller angle between two headings, 0 to 180 degrees.
pub fn turn_deg(from: f64, to: f64) -> f64 {
    let turn = (to - from).rem_euclid(360.0);
    turn.min(360.0 - turn)
}

/// Rounded to 1e-7 degrees (about 1 cm), as finely as a coordinate is worth sending.
pub fn seven_decimals(degrees: f64) -> f64 {
    (degrees * 1e7).round() / 1e7
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTO: Place = Place { latitude: 41.15, longitude: -8.62 };

    #[test]
    fn moving_and_measuring_agree() {
        let there = PORTO.moved(300.0, -400.0);
        assert!((PORTO.distance_m(there) - 500.0).abs() < 0.1);
        assert!((PORTO.bearing_deg(there) - 143.13).abs() < 0.1);
        assert!((PORTO.moved(150.0, 10.0).distance_to_line_m(PORTO, PORTO.moved(300.0, 0.0)) - 10.0).abs() < 0.1);
    }

    #[test]
    fn a_turn_is_the_short_way_round() {
        assert_eq!(turn_deg(350.0, 10.0), 20.0);
        assert_eq!(turn_deg(10.0, 190.0), 180.0);
    }
}
