//! Positions in degrees, and the three questions of spherical navigation: how far, which way, and where to.
//! The earth is a sphere here. The error against the ellipsoid stays below 0.6 %, as in every geo database that
//! answers "within 5 km"; geodesics on the ellipsoid cost 50 times as much and change no dispatch decision.

use std::f64::consts::TAU;

/// Mean earth radius in metres, as defined by the IUGG: (2a + b) / 3 of the ellipsoid, rounded to 0.1 m.
pub const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A position on WGS 84, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Latitude, -90 (south pole) to 90.
    pub lat: f64,
    /// Longitude, -180 to 180; both ends are the same meridian.
    pub lon: f64,
}

impl Point {
    /// A position from latitude and longitude in degrees. It is not checked; see [`Point::is_valid`].
    #[must_use]
    pub const fn new(lat: f64, lon: f64) -> Self {
        Self { lat, lon }
    }

    /// Whether both coordinates are finite and in range (-90..=90, -180..=180).
    #[must_use]
    pub fn is_valid(self) -> bool {
        // Comparisons with NaN are false, so this refuses it too.
        self.lat.abs() <= 90.0 && self.lon.abs() <= 180.0
    }
}

/// Great-circle distance in metres.
///
/// The haversine formula loses half its digits near the antipode. The haversine of the distance to the *antipode* is
/// exact just there, so the angle is taken from both: `2 atan2(sqrt(h), sqrt(h'))`.
#[must_use]
pub fn distance_m(a: Point, b: Point) -> f64 {
    let (lat_a, lat_b) = (a.lat.to_radians(), b.lat.to_radians());
    let half_lat = ((b.lat - a.lat) / 2.0).to_radians();
    let half_lon = ((b.lon - a.lon) / 2.0).to_radians();
    let cosines = lat_a.cos() * lat_b.cos();
    let near = half_lat.sin().powi(2) + cosines * half_lon.sin().powi(2);
    let far = ((lat_a + lat_b) / 2.0).sin().powi(2) + cosines * half_lon.cos().powi(2);
    2.0 * EARTH_RADIUS_M * near.sqrt().atan2(far.sqrt())
}

/// Initial bearing of the great circle from `a` to `b`, in degrees clockwise from north, 0 <= bearing < 360.
/// Equal points give 0.
///
/// The textbook form `cos a sin b - sin a cos b cos dlon` cancels for close points; here it is written as
/// `sin(b - a) + 2 sin a cos b sin²(dlon / 2)`, which does not.
#[must_use]
pub fn heading_deg(a: Point, b: Point) -> f64 {
    let (lat_a, lat_b) = (a.lat.to_radians(), b.lat.to_radians());
    let lat_change = (b.lat - a.lat).to_radians();
    let lon_change = (b.lon - a.lon).to_radians();
    let east = lon_change.sin() * lat_b.cos();
    let north = lat_change.sin() + 2.0 * lat_a.sin() * lat_b.cos() * (lon_change / 2.0).sin().powi(2);
    let bearing = east.atan2(north).to_degrees().rem_euclid(360.0);
    // rem_euclid rounds a tiny negative angle up to 360 itself.
    if bearing < 360.0 { bearing } else { 0.0 }
}

/// The point reached from `from` after `metres` along the great circle that leaves with `heading` (degrees clockwise
/// from north). The longitude of the result lies in -180..=180.
///
/// The latitude comes from `atan2` rather than the usual `asin`, which is blunt near the poles.
#[must_use]
pub fn destination(from: Point, heading: f64, metres: f64) -> Point {
    let (sin_lat, cos_lat) = from.lat.to_radians().sin_cos();
    let (sin_way, cos_way) = (metres / EARTH_RADIUS_M).sin_cos();
    let (sin_heading, cos_heading) = heading.to_radians().sin_cos();
    let up = sin_lat * cos_way + cos_lat * sin_way * cos_heading;
    let ahead = cos_lat * cos_way - sin_lat * sin_way * cos_heading;
    let aside = sin_way * sin_heading;
    let lon = from.lon.to_radians() + aside.atan2(ahead);
    Point { lat: up.atan2(ahead.hypot(aside)).to_degrees(), lon: (lon - TAU * (lon / TAU).round()).to_degrees() }
}
