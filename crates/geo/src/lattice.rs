//! Positions on the storage lattice of 1e-7 degrees, and the haversine between them.
//! This is the inner loop of every query, hence the polynomial sine and no trigonometry on the stored side.

use crate::{EARTH_RADIUS_M, Point};

/// Lattice steps per degree.
pub(crate) const TICKS_PER_DEGREE: f64 = 1e7;
/// Lattice steps of a full turn of longitude.
pub(crate) const TURN: i64 = 3_600_000_000;
/// Lattice steps from the equator to a pole.
pub(crate) const POLE: i32 = 900_000_000;

const RADIANS_PER_TICK: f64 = std::f64::consts::PI / 180.0 / TICKS_PER_DEGREE;

/// A position in whole 1e-7 degrees (1.1 cm of latitude), as it is stored and indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PointE7 {
    /// Latitude, -900,000,000 to 900,000,000.
    pub lat: i32,
    /// Longitude, -1,800,000,000 to 1,800,000,000.
    pub lon: i32,
}

impl From<Point> for PointE7 {
    /// The nearest lattice point. Latitudes beyond a pole become the pole, longitudes are wrapped into range and NaN
    /// becomes 0: admission has refused such points long before, and an index must never fail on them.
    fn from(point: Point) -> Self {
        let lat = nearest_tick(point.lat).clamp(-i64::from(POLE), i64::from(POLE));
        let lon = shorter_way(nearest_tick(point.lon) % TURN);
        Self { lat: lat as i32, lon: lon as i32 }
    }
}

impl From<PointE7> for Point {
    fn from(point: PointE7) -> Self {
        Self { lat: f64::from(point.lat) / TICKS_PER_DEGREE, lon: f64::from(point.lon) / TICKS_PER_DEGREE }
    }
}

impl PointE7 {
    /// Haversine of the angle to `other`: 0 for equal points, 1 for antipodes. It orders as the distance does and
    /// [`MovingIndex`](crate::MovingIndex) orders by exactly this number.
    #[must_use]
    pub fn haversine(self, other: Self) -> f64 {
        Origin::new(self).haversine(other)
    }

    /// Great-circle distance in metres, from [`PointE7::haversine`].
    #[must_use]
    pub fn distance_m(self, other: Self) -> f64 {
        metres(self.haversine(other))
    }
}

/// Rounds half away from zero. A cast and a copysign, because `f64::round` is a library call on plain x86-64.
fn nearest_tick(degrees: f64) -> i64 {
    let ticks = degrees * TICKS_PER_DEGREE;
    (ticks + 0.5_f64.copysign(ticks)) as i64
}

/// Distance in metres of a haversine.
pub(crate) fn metres(haversine: f64) -> f64 {
    2.0 * EARTH_RADIUS_M * haversine.sqrt().min(1.0).asin()
}

/// Angle in radians of so many lattice steps.
pub(crate) fn ticks_to_radians(ticks: i64) -> f64 {
    ticks as f64 * RADIANS_PER_TICK
}

/// Lattice steps of an angle in radians, rounded up.
pub(crate) fn radians_to_ticks(radians: f64) -> i64 {
    (radians / RADIANS_PER_TICK).ceil() as i64
}

/// The point that a query measures from, with what can be computed once per query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub at: PointE7,
    pub sin_lat: f64,
    pub cos_lat: f64,
}

impl Origin {
    pub fn new(at: PointE7) -> Self {
        let (sin_lat, cos_lat) = ticks_to_radians(i64::from(at.lat)).sin_cos();
        // The cosine of the rounded right angle is 6e-17; with 0 all longitudes of a pole are one point.
        let cos_lat = if at.lat.abs() == POLE { 0.0 } else { cos_lat };
        Self { at, sin_lat, cos_lat }
    }

    /// `sin²(dlat/2) + cos a cos b sin²(dlon/2)`, where `cos b` comes from the addition theorem, as `a` and the half
    /// difference are known. The differences are exact integers, so tiny distances keep all their digits.
    #[inline]
    pub fn haversine(&self, to: PointE7) -> f64 {
        let half_lat = half_sine(i64::from(to.lat) - i64::from(self.at.lat));
        let half_lon = half_sine(shorter_way(i64::from(to.lon) - i64::from(self.at.lon)));
        let square_lat = half_lat * half_lat;
        let sin_change = 2.0 * half_lat * (1.0 - square_lat).max(0.0).sqrt();
        let cos_to = self.cos_lat * (1.0 - 2.0 * square_lat) - self.sin_lat * sin_change;
        square_lat + self.cos_lat * cos_to.max(0.0) * half_lon * half_lon
    }

    /// The point as a vector of length 1; x goes to (0, 0), z to the north pole.
    pub fn unit_vector(&self) -> [f64; 3] {
        let (sin_lon, cos_lon) = ticks_to_radians(i64::from(self.at.lon)).sin_cos();
        [self.cos_lat * cos_lon, self.cos_lat * sin_lon, self.sin_lat]
    }
}

/// A difference of longitudes the shorter way round.
#[inline]
pub(crate) fn shorter_way(ticks: i64) -> i64 {
    if ticks > TURN / 2 {
        ticks - TURN
    } else if ticks < -TURN / 2 {
        ticks + TURN
    } else {
        ticks
    }
}

/// Sine of half the angle. Below 0.5 rad (differences up to 57 degrees) the Taylor series to the 13th power is exact
/// to 1e-16 and three times as fast as the library.
#[inline]
fn half_sine(ticks: i64) -> f64 {
    let x = ticks as f64 * (RADIANS_PER_TICK / 2.0);
    if x.abs() > 0.5 {
        return x.sin();
    }
    let y = x * x;
    let high = 1.0 / 362_880.0 + y * (-1.0 / 39_916_800.0 + y * (1.0 / 6_227_020_800.0));
    let low = -1.0 / 6.0 + y * (1.0 / 120.0 + y * (-1.0 / 5_040.0 + y * high));
    x + x * y * low
}
