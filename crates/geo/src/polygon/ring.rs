//! One closed ring: checks its points, unrolls it over the antimeridian, and answers point-in-ring.
//! Edges are sorted into bands of latitude, so that a test reads a few edges of a large polygon and not 10,000.

use super::PolygonError;
use crate::{BoundingBox, Point};

/// A closed ring. Longitudes are unrolled: they run on beyond ±180 where the ring crosses the antimeridian.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    west: f64,
    east: f64,
    south: f64,
    north: f64,
    /// The edges of band `b` are `edges[starts[b]..starts[b + 1]]`; an edge stands in every band that it touches.
    starts: Vec<u32>,
    edges: Vec<Edge>,
}

/// An edge that is not horizontal, from south to north whichever way it was drawn: two areas that share it must compute
/// the same numbers.
#[derive(Clone, Copy, Debug)]
struct Edge {
    south: f64,
    north: f64,
    lon_at_south: f64,
    lon_per_lat: f64,
}

impl Ring {
    /// The ring through `[longitude, latitude]` points; `number` is only for errors.
    pub fn new(number: usize, points: &[[f64; 2]]) -> Result<Self, PolygonError> {
        check_coordinates(number, points)?;
        let corners = unroll(points).ok_or(PolygonError::AroundTheEarth { ring: number })?;
        if !has_three_distinct(&corners) {
            return Err(PolygonError::TooFewPoints { ring: number });
        }
        let (west, east) = extent(corners.iter().map(|corner| corner.lon));
        let (south, north) = extent(corners.iter().map(|corner| corner.lat));
        if east - west >= 360.0 {
            return Err(PolygonError::AroundTheEarth { ring: number });
        }
        if west == east || south == north {
            return Err(PolygonError::NoArea { ring: number });
        }
        let mut ring = Self { west, east, south, north, starts: vec![], edges: vec![] };
        ring.fill_bands(&edges(&corners));
        Ok(ring)
    }

    /// Even-odd rule: how many edges lie east of the point.
    pub fn contains(&self, point: Point) -> bool {
        let lon = self.unrolled(point.lon);
        let in_extent = self.south <= point.lat && point.lat < self.north && lon <= self.east;
        if !in_extent {
            return false;
        }
        let band = self.band(point.lat, self.starts.len() - 1);
        let edges = &self.edges[self.starts[band] as usize..self.starts[band + 1] as usize];
        edges.iter().filter(|edge| edge.is_east_of(lon, point.lat)).count() % 2 == 1
    }

    pub fn bounding_box(&self) -> BoundingBox {
        let (west, east) = (rolled(self.west), rolled(self.east));
        BoundingBox { west, south: self.south, east, north: self.north }
    }

    /// The longitude at or east of the western border that names the same meridian.
    fn unrolled(&self, lon: f64) -> f64 {
        if lon < self.west {
            lon + 360.0
        } else if lon - 360.0 >= self.west {
            lon - 360.0
        } else {
            lon
        }
    }

    fn band(&self, lat: f64, bands: usize) -> usize {
        (((lat - self.south) / (self.north - self.south) * bands as f64) as usize).min(bands - 1)
    }

    /// Takes as many bands as keep the copies of edges below four per edge; long zigzags get fewer bands.
    fn fill_bands(&mut self, edges: &[Edge]) {
        let mut bands = (edges.len() / 2).max(1);
        while bands > 1 && self.copies(edges, bands) > 4 * edges.len() {
            bands /= 2;
        }
        let mut by_band: Vec<Vec<Edge>> = vec![vec![]; bands];
        for edge in edges {
            let touched = self.band(edge.south, bands)..=self.band(edge.north, bands);
            by_band[touched].iter_mut().for_each(|band| band.push(*edge));
        }
        self.starts.push(0);
        for band in by_band {
            self.edges.extend(band);
            self.starts.push(self.edges.len() as u32);
        }
    }

    fn copies(&self, edges: &[Edge], bands: usize) -> usize {
        edges.iter().map(|edge| self.band(edge.north, bands) - self.band(edge.south, bands) + 1).sum()
    }
}

impl Edge {
    fn is_east_of(&self, lon: f64, lat: f64) -> bool {
        self.south <= lat && lat < self.north && lon < self.lon_at_south + (lat - self.south) * self.lon_per_lat
    }
}

fn check_coordinates(ring: usize, points: &[[f64; 2]]) -> Result<(), PolygonError> {
    for (vertex, [lon, lat]) in points.iter().enumerate() {
        if !lon.is_finite() || !lat.is_finite() {
            return Err(PolygonError::NotFinite { ring, vertex });
        }
        if !Point::new(*lat, *lon).is_valid() {
            return Err(PolygonError::OutOfRange { ring, vertex });
        }
    }
    Ok(())
}

/// The corners with longitudes that run on over the antimeridian; nothing if the ring does not come back to where it
/// began, that is, if it goes around a pole. A step of exactly 180 degrees is taken as drawn.
fn unroll(points: &[[f64; 2]]) -> Option<Vec<Point>> {
    let mut turns = 0.0;
    let mut corners = Vec::with_capacity(points.len());
    let mut before = points.first().map_or(0.0, |[lon, _]| *lon);
    for &[lon, lat] in points.iter().chain(points.first()) {
        turns -= turn_of_step(lon - before);
        corners.push(Point::new(lat, lon + 360.0 * turns));
        before = lon;
    }
    corners.pop();
    (turns == 0.0).then_some(corners)
}

/// 1 for a step that leads eastwards over the long way, -1 westwards, else 0.
fn turn_of_step(step: f64) -> f64 {
    if step > 180.0 {
        1.0
    } else if step < -180.0 {
        -1.0
    } else {
        0.0
    }
}

fn has_three_distinct(corners: &[Point]) -> bool {
    let Some(first) = corners.first() else { return false };
    let Some(second) = corners.iter().find(|corner| *corner != first) else { return false };
    corners.iter().any(|corner| corner != first && corner != second)
}

fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)))
}

fn edges(corners: &[Point]) -> Vec<Edge> {
    let ends = corners.iter().skip(1).chain(corners.first());
    corners.iter().zip(ends).filter_map(|(from, to)| edge(*from, *to)).collect()
}

fn edge(from: Point, to: Point) -> Option<Edge> {
    let (low, high) = if from.lat <= to.lat { (from, to) } else { (to, from) };
    (low.lat < high.lat).then(|| Edge {
        south: low.lat,
        north: high.lat,
        lon_at_south: low.lon,
        lon_per_lat: (high.lon - low.lon) / (high.lat - low.lat),
    })
}

/// A longitude in -180..=180 that names the same meridian.
fn rolled(lon: f64) -> f64 {
    if lon > 180.0 {
        lon - 360.0
    } else if lon < -180.0 {
        lon + 360.0
    } else {
        lon
    }
}
