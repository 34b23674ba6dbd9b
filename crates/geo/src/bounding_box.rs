//! Boxes between two parallels and two meridians, as maps and queries send them.
//! A box may cross the antimeridian; it says so by a west border that is greater than its east border.

use crate::Point;

/// An area between two parallels and two meridians, in degrees; all borders belong to it.
///
/// `west > east` means that the box crosses the antimeridian. -180 and 180 are the same meridian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundingBox {
    /// Western border, -180 to 180.
    pub west: f64,
    /// Southern border, -90 to 90.
    pub south: f64,
    /// Eastern border, -180 to 180.
    pub east: f64,
    /// Northern border, -90 to 90.
    pub north: f64,
}

impl BoundingBox {
    /// The whole world.
    pub const WORLD: Self = Self { west: -180.0, south: -90.0, east: 180.0, north: 90.0 };

    /// Whether the point lies in the box or on its border.
    #[must_use]
    pub fn contains(&self, point: Point) -> bool {
        let on_antimeridian = point.lon.abs() == 180.0;
        self.south <= point.lat
            && point.lat <= self.north
            && (self.spans(point.lon) || (on_antimeridian && self.spans(-point.lon)))
    }

    /// Whether the box crosses the antimeridian.
    #[must_use]
    pub fn crosses_antimeridian(&self) -> bool {
        self.west > self.east
    }

    fn spans(&self, lon: f64) -> bool {
        let (after_west, before_east) = (self.west <= lon, lon <= self.east);
        if self.crosses_antimeridian() { after_west || before_east } else { after_west && before_east }
    }
}
