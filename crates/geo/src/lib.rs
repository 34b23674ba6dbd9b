//! Geometry on numbers: distances on the sphere, boxes, polygons, simpler tracks, and an index of moving objects.
//! It does no I/O and knows no reports, tenants or time; callers hand in coordinates and dense object numbers.
//!
//! Two forms of a position exist side by side. [`Point`] is what people and formats use (`f64` degrees). [`PointE7`] is
//! what is stored and indexed (whole 1e-7 degrees, about 1.1 cm): integers make differences exact, so that ties,
//! borders and the antimeridian have one answer.

mod bounding_box;
mod index;
mod lattice;
mod noise;
mod point;
mod polygon;
mod simplify;

pub use bounding_box::BoundingBox;
pub use index::{Hit, MovingIndex};
pub use lattice::PointE7;
pub use noise::{Fix, Limits, Noise, Track};
pub use point::{EARTH_RADIUS_M, Point, destination, distance_m, heading_deg};
pub use polygon::{MAX_POLYGON_VERTICES, Polygon, PolygonError};
pub use simplify::simplify;
