//! Distances, bearings, boxes and polygons against known values and textbook formulas.

use drover_geo::{
    BoundingBox, EARTH_RADIUS_M, MAX_POLYGON_VERTICES, Point, PointE7, Polygon, PolygonError, destination, distance_m,
    heading_deg,
};
use proptest::prelude::*;
use std::f64::consts::PI;

fn close(a: f64, b: f64, relative: f64, absolute: f64) -> bool {
    (a - b).abs() <= absolute + relative * a.abs().max(b.abs())
}

/// The angle from unit vectors, `atan2(|a x b|, a . b)`: exact at every angle and independent of haversines.
fn vector_distance_m(a: Point, b: Point) -> f64 {
    let vector = |point: Point| {
        let ((sin_lat, cos_lat), (sin_lon, cos_lon)) =
            (point.lat.to_radians().sin_cos(), point.lon.to_radians().sin_cos());
        [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
    };
    let ([ax, ay, az], [bx, by, bz]) = (vector(a), vector(b));
    let cross = (ay * bz - az * by).hypot(az * bx - ax * bz).hypot(ax * by - ay * bx);
    EARTH_RADIUS_M * cross.atan2(ax * bx + ay * by + az * bz)
}

fn square(west: f64, south: f64, east: f64, north: f64) -> Vec<[f64; 2]> {
    vec![[west, south], [east, south], [east, north], [west, north]]
}

fn polygon(rings: &[Vec<[f64; 2]>]) -> Polygon {
    Polygon::from_lon_lat(rings).unwrap()
}

fn refusal(ring: Vec<[f64; 2]>) -> PolygonError {
    Polygon::from_lon_lat(&[ring]).unwrap_err()
}

/// The example that Rosetta Code and many libraries use: 2887.2599506 km on a sphere of 6372.8 km.
#[test]
fn nashville_to_los_angeles_is_the_published_distance() {
    let (nashville, los_angeles) = (Point::new(36.12, -86.67), Point::new(33.94, -118.40));
    let expected = 2_887_259.950_6 / 6_372_800.0 * EARTH_RADIUS_M;
    assert!(close(distance_m(nashville, los_angeles), expected, 1e-9, 0.0));
}

#[test]
fn a_degree_of_the_equator_is_a_360th_of_the_great_circle() {
    let degree = distance_m(Point::new(0.0, 179.5), Point::new(0.0, -179.5));
    assert!(close(degree, PI * EARTH_RADIUS_M / 180.0, 1e-12, 0.0));
}

#[test]
fn antipodes_are_half_a_great_circle_apart() {
    let half = PI * EARTH_RADIUS_M;
    assert!(close(distance_m(Point::new(90.0, 0.0), Point::new(-90.0, 77.0)), half, 1e-15, 0.0));
    assert!(close(distance_m(Point::new(12.5, 30.0), Point::new(-12.5, -150.0)), half, 1e-15, 0.0));
    let nearly = distance_m(Point::new(0.0, 0.0), Point::new(0.0, 179.999_999));
    assert!(close(half - nearly, 1e-6 * PI / 180.0 * EARTH_RADIUS_M, 1e-6, 0.0));
}

#[test]
fn a_hundredth_of_a_micrometre_is_still_measured() {
    let way = distance_m(Point::new(0.0, 0.0), Point::new(0.0, 1e-13));
    assert!(close(way, 1e-13 * PI / 180.0 * EARTH_RADIUS_M, 1e-9, 0.0));
}

#[test]
fn headings_of_the_four_directions() {
    let from = Point::new(0.0, 0.0);
    assert_eq!(heading_deg(from, Point::new(1.0, 0.0)), 0.0);
    assert_eq!(heading_deg(from, Point::new(0.0, 1.0)), 90.0);
    assert_eq!(heading_deg(from, Point::new(-1.0, 0.0)), 180.0);
    assert_eq!(heading_deg(from, Point::new(0.0, -1.0)), 270.0);
    assert_eq!(heading_deg(from, from), 0.0);
    assert_eq!(heading_deg(Point::new(0.0, 179.0), Point::new(0.0, -179.0)).round(), 90.0);
}

#[test]
fn a_heading_just_west_of_north_stays_below_360() {
    assert!(heading_deg(Point::new(0.0, 0.0), Point::new(80.0, -1e-300)) < 360.0);
}

#[test]
fn a_box_over_the_antimeridian_holds_both_sides() {
    let fiji = BoundingBox { west: 177.0, south: -20.0, east: -178.0, north: -12.0 };
    assert!(fiji.crosses_antimeridian());
    for lon in [177.0, 180.0, -180.0, -178.0] {
        assert!(fiji.contains(Point::new(-12.0, lon)));
    }
    assert!(!fiji.contains(Point::new(-15.0, 0.0)));
    assert!(!fiji.contains(Point::new(-11.0, 179.0)));
}

#[test]
fn a_box_that_ends_at_the_antimeridian_holds_it_under_both_names() {
    let east_end = BoundingBox { west: 170.0, south: 0.0, east: 180.0, north: 1.0 };
    assert!(east_end.contains(Point::new(0.5, 180.0)) && east_end.contains(Point::new(0.5, -180.0)));
}

#[test]
fn a_hole_is_not_inside() {
    let ring = polygon(&[square(0.0, 0.0, 10.0, 10.0), square(4.0, 4.0, 6.0, 6.0)]);
    assert!(ring.contains(Point::new(2.0, 2.0)));
    assert!(!ring.contains(Point::new(5.0, 5.0)));
    assert!(!ring.contains(Point::new(2.0, 12.0)));
}

#[test]
fn closed_and_open_rings_of_either_turn_are_the_same() {
    let open = square(-3.0, -3.0, 3.0, 3.0);
    let mut closed = open.clone();
    closed.push(open[0]);
    let reversed: Vec<_> = open.iter().rev().copied().collect();
    for ring in [open, closed, reversed] {
        assert!(polygon(std::slice::from_ref(&ring)).contains(Point::new(0.0, 0.0)));
        assert!(!polygon(&[ring]).contains(Point::new(0.0, 3.5)));
    }
}

#[test]
fn a_point_on_a_shared_border_lies_in_exactly_one_area() {
    let (left, right) = (polygon(&[square(0.0, 0.0, 1.0, 1.0)]), polygon(&[square(1.0, 0.0, 2.0, 1.0)]));
    for lat in [0.0, 0.3, 0.999] {
        let point = Point::new(lat, 1.0);
        assert!(left.contains(point) != right.contains(point));
    }
    assert!(left.contains(Point::new(0.0, 0.0)) && !left.contains(Point::new(1.0, 0.5)));
}

#[test]
fn a_polygon_over_the_antimeridian_has_both_sides_and_a_crossing_box() {
    let chukotka = polygon(&[square(170.0, 60.0, -170.0, 70.0), square(179.0, 64.0, -179.0, 66.0)]);
    assert!(chukotka.contains(Point::new(61.0, 179.0)) && chukotka.contains(Point::new(61.0, -179.0)));
    assert!(chukotka.contains(Point::new(61.0, 180.0)) && chukotka.contains(Point::new(61.0, -180.0)));
    assert!(!chukotka.contains(Point::new(65.0, 180.0)) && !chukotka.contains(Point::new(65.0, -179.5)));
    assert!(!chukotka.contains(Point::new(61.0, 0.0)));
    assert_eq!(chukotka.bounding_box(), BoundingBox { west: 170.0, south: 60.0, east: -170.0, north: 70.0 });
}

#[test]
fn bad_rings_are_refused_with_a_reason() {
    let nan = vec![[0.0, 0.0], [f64::NAN, 1.0], [1.0, 1.0]];
    let swapped = vec![[52.0, 13.0], [13.0, 95.0], [53.0, 13.0]];
    assert_eq!(Polygon::from_lon_lat(&[]).unwrap_err(), PolygonError::NoRing);
    assert_eq!(refusal(vec![]), PolygonError::TooFewPoints { ring: 0 });
    assert_eq!(refusal(vec![[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), PolygonError::TooFewPoints { ring: 0 });
    assert_eq!(refusal(nan), PolygonError::NotFinite { ring: 0, vertex: 1 });
    assert_eq!(refusal(swapped), PolygonError::OutOfRange { ring: 0, vertex: 1 });
    assert_eq!(refusal(vec![[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), PolygonError::NoArea { ring: 0 });
    let many = vec![[0.0, 0.0]; MAX_POLYGON_VERTICES + 1];
    assert_eq!(refusal(many).to_string(), "the polygon has 10001 vertices; 10000 are allowed");
}

#[test]
fn rings_around_a_pole_or_the_earth_are_refused() {
    let cap = vec![[0.0, 80.0], [120.0, 80.0], [-120.0, 80.0]];
    assert_eq!(refusal(cap), PolygonError::AroundTheEarth { ring: 0 });
    let belt = vec![
        [-180.0, -10.0],
        [-60.0, -10.0],
        [60.0, -10.0],
        [180.0, -10.0],
        [180.0, 10.0],
        [60.0, 10.0],
        [-60.0, 10.0],
        [-180.0, 10.0],
    ];
    assert!(matches!(refusal(belt), PolygonError::AroundTheEarth { ring: 0 }));
    assert!(Polygon::from_lon_lat(&[square(-180.0, -90.0, 180.0, 90.0)]).is_err());
}

#[test]
fn the_largest_polygon_is_tested_in_a_few_edges() {
    let corner = |number: usize| {
        let angle = 2.0 * PI * number as f64 / MAX_POLYGON_VERTICES as f64;
        [10.0 * angle.cos(), 10.0 * angle.sin()]
    };
    let circle = polygon(&[(0..MAX_POLYGON_VERTICES).map(corner).collect()]);
    for way in [0.0, 5.0, 9.99, 10.01, 20.0] {
        for angle in 0..720 {
            let (lat, lon) = f64::from(angle).to_radians().sin_cos();
            assert_eq!(circle.contains(Point::new(way * lat, way * lon)), way < 10.0);
        }
    }
}

/// Even-odd rule, straight from the textbook, over all edges and all names of the meridian.
fn naive_contains(ring: &[[f64; 2]], point: Point) -> bool {
    let mut unrolled = ring.to_vec();
    for i in 1..unrolled.len() {
        while unrolled[i][0] - unrolled[i - 1][0] > 180.0 {
            unrolled[i][0] -= 360.0;
        }
        while unrolled[i][0] - unrolled[i - 1][0] < -180.0 {
            unrolled[i][0] += 360.0;
        }
    }
    [-360.0, 0.0, 360.0].iter().any(|shift| {
        let lon = point.lon + shift;
        let crossings = (0..unrolled.len()).filter(|&i| {
            let ([ax, ay], [bx, by]) = (unrolled[i], unrolled[(i + 1) % unrolled.len()]);
            (ay > point.lat) != (by > point.lat) && lon < ax + (point.lat - ay) / (by - ay) * (bx - ax)
        });
        crossings.count() % 2 == 1
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn distances_agree_with_unit_vectors(
        lat_a in -90.0..=90.0, lon_a in -180.0..=180.0, lat_b in -90.0..=90.0, lon_b in -180.0..=180.0
    ) {
        let (a, b) = (Point::new(lat_a, lon_a), Point::new(lat_b, lon_b));
        prop_assert!(close(distance_m(a, b), vector_distance_m(a, b), 1e-9, 1e-6));
        // Two positions rounded by up to 8 mm each; the haversine alone loses 6 cm at the antipode.
        prop_assert!(close(PointE7::from(a).distance_m(b.into()), vector_distance_m(a, b), 1e-8, 0.02));
    }

    #[test]
    fn lattice_distances_agree_from_a_centimetre_to_half_the_globe(
        lat in -90.0..=90.0, lon in -180.0..=180.0, heading in 0.0..360.0, power in -1.0_f64..7.3
    ) {
        let a = PointE7::from(Point::new(lat, lon));
        let b = PointE7::from(destination(a.into(), heading, 10_f64.powf(power)));
        prop_assert!(close(a.distance_m(b), distance_m(a.into(), b.into()), 1e-6, 1e-9));
    }

    #[test]
    fn destination_lies_in_the_given_distance_and_direction(
        lat in -89.9..89.9, lon in -180.0..=180.0, heading in 0.0..360.0, metres in 1.0..20_000_000.0
    ) {
        let from = Point::new(lat, lon);
        let to = destination(from, heading, metres);
        prop_assert!(to.is_valid());
        prop_assert!(close(distance_m(from, to), metres, 1e-9, 1e-6));
        let turn = (heading_deg(from, to) - heading).rem_euclid(360.0);
        prop_assert!(turn.min(360.0 - turn) < 1e-3);
    }

    #[test]
    fn lattice_points_survive_the_way_through_degrees(lat in -900_000_000..=900_000_000, lon in -1_800_000_000..=1_800_000_000) {
        let at = PointE7 { lat, lon };
        prop_assert_eq!(PointE7::from(Point::from(at)), at);
    }

    #[test]
    fn polygons_agree_with_the_naive_rule(
        start in -180.0..180.0,
        corners in prop::collection::vec((-20.0..20.0, -40.0..40.0), 3..60),
        points in prop::collection::vec((-25.0..25.0, -45.0..45.0), 50)
    ) {
        let name = |lon: f64| if lon > 180.0 { lon - 360.0 } else if lon < -180.0 { lon + 360.0 } else { lon };
        let ring: Vec<[f64; 2]> = corners.iter().map(|(lon, lat)| [name(start + lon), *lat]).collect();
        let area = polygon(std::slice::from_ref(&ring));
        for (lon, lat) in points {
            let point = Point::new(lat, name(start + lon));
            prop_assert_eq!(area.contains(point), naive_contains(&ring, point));
            prop_assert!(!area.contains(point) || area.bounding_box().contains(point));
        }
    }
}
