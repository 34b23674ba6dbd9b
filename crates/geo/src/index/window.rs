//! Windows are rectangles of lattice positions; they decide which cells a query visits and refuse most candidates by
//! integer comparisons. Boxes and circles become windows that are a few lattice steps too wide, never too narrow.

use crate::lattice::{Origin, POLE, TICKS_PER_DEGREE, TURN, metres, radians_to_ticks};
use crate::{BoundingBox, EARTH_RADIUS_M, Point, PointE7};

/// Steps that are added on every side; they absorb rounding in the trigonometry (2 steps are 2 cm).
const MARGIN: i64 = 2;
/// A circle that comes this close to a pole (1e-4 degrees or 11 m) is taken to contain it: just before that, the
/// arc sine for its width loses its digits.
const POLE_MARGIN: i64 = 1_000;

/// All positions between two parallels and `width` steps east of a meridian.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub south: i32,
    pub north: i32,
    pub west: i32,
    pub width: i64,
}

impl Window {
    pub const WORLD: Self = Self { south: -POLE, north: POLE, west: (-TURN / 2) as i32, width: TURN };

    /// The window of a circle: `angle` is its radius in radians.
    pub fn around(origin: &Origin, angle: f64) -> Self {
        if angle >= std::f64::consts::PI {
            return Self::WORLD;
        }
        let height = radians_to_ticks(angle) + MARGIN;
        let lat = i64::from(origin.at.lat);
        let window = Self::WORLD.between(lat - height, lat + height);
        if lat.abs() + height + POLE_MARGIN >= i64::from(POLE) {
            return window;
        }
        // The meridians that touch the circle: sin(width) = sin(angle) / cos(lat).
        let half = radians_to_ticks((angle.sin() / origin.cos_lat).min(1.0).asin()) + MARGIN;
        window.from(i64::from(origin.at.lon) - half, 2 * half)
    }

    /// The window of a box, or nothing if the box is empty or not a number.
    pub fn over(area: &BoundingBox) -> Option<Self> {
        let is_number = [area.west, area.south, area.east, area.north].iter().all(|border| border.is_finite());
        if !is_number || area.south > area.north {
            return None;
        }
        // Borders far out of range, which no caller should send, must not overflow.
        let ticks = |degrees: f64| (degrees.clamp(-720.0, 720.0) * TICKS_PER_DEGREE).round() as i64;
        let turn = if area.crosses_antimeridian() { TURN } else { 0 };
        let width = ticks(area.east) + turn - ticks(area.west) + 2 * MARGIN;
        let window = Self::WORLD.between(ticks(area.south) - MARGIN, ticks(area.north) + MARGIN);
        Some(window.from(ticks(area.west) - MARGIN, width.max(0)))
    }

    fn between(self, south: i64, north: i64) -> Self {
        let clamp = |lat: i64| lat.clamp(-i64::from(POLE), i64::from(POLE)) as i32;
        Self { south: clamp(south), north: clamp(north), ..self }
    }

    fn from(self, west: i64, width: i64) -> Self {
        if width >= TURN { self } else { Self { west: wrap(west) as i32, width, ..self } }
    }

    /// The last meridian of the window.
    pub fn east(&self) -> i32 {
        wrap(i64::from(self.west) + self.width) as i32
    }

    /// Whether the position lies in the window.
    #[inline]
    pub fn covers(&self, at: PointE7) -> bool {
        let east = i64::from(at.lon) - i64::from(self.west);
        let east = if east < 0 {
            east + TURN
        } else if east >= TURN {
            east - TURN
        } else {
            east
        };
        self.south <= at.lat && at.lat <= self.north && east <= self.width
    }

    /// The middle of the window, and the chord from there to its farthest corner (on a sphere of radius 1).
    pub fn centre_and_reach(&self) -> ([f64; 3], f64) {
        let degrees = |ticks: i64| ticks as f64 / TICKS_PER_DEGREE;
        let lat = (i64::from(self.south) + i64::from(self.north)) / 2;
        let centre = PointE7::from(Point::new(degrees(lat), degrees(i64::from(self.west) + self.width / 2)));
        let corners = [self.south, self.north].map(|lat| centre.haversine(PointE7 { lat, lon: self.west }));
        let reach = 2.0 * corners[0].max(corners[1]).sqrt();
        (Origin::new(centre).unit_vector(), reach)
    }

    /// Whether the two windows share a position. Both are windows of the grid or wider.
    pub fn overlaps(&self, other: &Self) -> bool {
        let apart = |from: &Self, to: &Self| (i64::from(to.west) - i64::from(from.west)).rem_euclid(TURN) > from.width;
        self.south <= other.north && other.south <= self.north && !(apart(self, other) && apart(other, self))
    }
}

/// A longitude in -180..180, in steps.
fn wrap(lon: i64) -> i64 {
    (lon + TURN / 2).rem_euclid(TURN) - TURN / 2
}

/// A circle on the sphere: what a radius query asks about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cap {
    pub origin: Origin,
    pub window: Window,
    radius_m: f64,
    surely_inside: f64,
    surely_outside: f64,
}

impl Cap {
    /// The circle of `radius_m` metres, or nothing if the radius is negative or not a number.
    pub fn new(origin: Origin, radius_m: f64) -> Option<Self> {
        if radius_m.is_nan() || radius_m < 0.0 {
            return None;
        }
        let angle = radius_m / EARTH_RADIUS_M;
        let whole = angle >= std::f64::consts::PI;
        let haversine = if whole { 2.0 } else { (angle / 2.0).sin().powi(2) };
        let window = Window::around(&origin, angle);
        let (surely_inside, surely_outside) = (haversine * (1.0 - 1e-12), haversine * (1.0 + 1e-12) + 1e-300);
        Some(Self { origin, window, radius_m, surely_inside, surely_outside })
    }

    /// Haversine to the position if its distance is at most the radius. Only in the last 1e-12 is it converted to
    /// metres, so that a radius taken from a hit's `distance_m` finds that hit again.
    #[inline]
    pub fn measure(&self, at: PointE7) -> Option<f64> {
        if !self.window.covers(at) {
            return None;
        }
        let haversine = self.origin.haversine(at);
        let inside =
            haversine < self.surely_inside || (haversine <= self.surely_outside && metres(haversine) <= self.radius_m);
        inside.then_some(haversine)
    }
}
