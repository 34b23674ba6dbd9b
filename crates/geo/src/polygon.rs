//! Polygons with holes in degrees, as GeoJSON draws them: zones, geofences, map selections.
//! Validation happens once, here; afterwards `contains` cannot fail. Point-in-ring itself lives in `ring`.

mod ring;

use self::ring::Ring;
use crate::{BoundingBox, Point};
use std::fmt;

/// Most vertices that a polygon may have, all rings together.
pub const MAX_POLYGON_VERTICES: usize = 10_000;

/// An area with an outer ring and perhaps holes.
///
/// Edges are straight in degrees (as on the map and in GeoJSON), not great circles, and take the shorter way round the
/// earth; so a ring may cross the antimeridian, and no edge may be longer than 180 degrees of longitude. Rings that go
/// around a pole or around the whole earth are refused: in degrees they have no inside. To reach a pole, draw along
/// the parallel of 90 degrees.
#[derive(Clone, Debug)]
pub struct Polygon {
    outer: Ring,
    holes: Vec<Ring>,
}

/// Why a polygon was refused. Rings are counted from 0, the outer ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolygonError {
    /// There is no ring at all.
    NoRing,
    /// There are more than [`MAX_POLYGON_VERTICES`] vertices.
    TooManyVertices {
        /// Vertices in all rings together.
        vertices: usize,
    },
    /// A ring has fewer than three distinct points.
    TooFewPoints {
        /// The ring.
        ring: usize,
    },
    /// A coordinate is NaN or infinite.
    NotFinite {
        /// The ring.
        ring: usize,
        /// The vertex in it.
        vertex: usize,
    },
    /// A longitude is not in -180..=180 or a latitude not in -90..=90.
    OutOfRange {
        /// The ring.
        ring: usize,
        /// The vertex in it.
        vertex: usize,
    },
    /// All points of a ring lie on one parallel or one meridian.
    NoArea {
        /// The ring.
        ring: usize,
    },
    /// A ring goes around a pole or is as wide as the earth.
    AroundTheEarth {
        /// The ring.
        ring: usize,
    },
}

impl Polygon {
    /// A polygon from GeoJSON coordinates: rings of `[longitude, latitude]` in degrees, the outer ring first. Rings may
    /// repeat their first point at the end or not, and may turn either way.
    pub fn from_lon_lat(rings: &[Vec<[f64; 2]>]) -> Result<Self, PolygonError> {
        let vertices = rings.iter().map(Vec::len).sum();
        if vertices > MAX_POLYGON_VERTICES {
            return Err(PolygonError::TooManyVertices { vertices });
        }
        let mut rings = rings.iter().enumerate().map(|(number, points)| Ring::new(number, points));
        let outer = rings.next().ok_or(PolygonError::NoRing)??;
        Ok(Self { outer, holes: rings.collect::<Result<_, _>>()? })
    }

    /// Whether the point lies inside the outer ring and in no hole.
    ///
    /// Western and southern borders belong to a ring, eastern and northern ones do not: of two areas that share a
    /// border, each point on it lies in exactly one.
    #[must_use]
    pub fn contains(&self, point: Point) -> bool {
        self.outer.contains(point) && !self.holes.iter().any(|hole| hole.contains(point))
    }

    /// The smallest box around the outer ring.
    #[must_use]
    pub fn bounding_box(&self) -> BoundingBox {
        self.outer.bounding_box()
    }
}

impl fmt::Display for PolygonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRing => write!(f, "the polygon has no ring"),
            Self::TooManyVertices { vertices } => {
                write!(f, "the polygon has {vertices} vertices; {MAX_POLYGON_VERTICES} are allowed")
            }
            Self::TooFewPoints { ring } => write!(f, "ring {ring} has fewer than 3 distinct points"),
            Self::NotFinite { ring, vertex } => write!(f, "vertex {vertex} of ring {ring} is not a finite number"),
            Self::OutOfRange { ring, vertex } => write!(
                f,
                "vertex {vertex} of ring {ring} is out of range (longitude -180 to 180, latitude -90 to 90; longitude comes first)"
            ),
            Self::NoArea { ring } => write!(f, "all points of ring {ring} lie on one parallel or one meridian"),
            Self::AroundTheEarth { ring } => {
                write!(f, "ring {ring} goes around a pole or around the earth, which is not supported")
            }
        }
    }
}

impl std::error::Error for PolygonError {}
