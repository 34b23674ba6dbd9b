//! [`simplify`] against the sphere: whatever is dropped lies within the tolerance of the line that stands for it, and
//! what is kept is needed.

use drover_geo::{Point, PointE7, destination, distance_m, simplify};
use proptest::prelude::*;

fn track(points: &[(f64, f64)]) -> Vec<PointE7> {
    points.iter().map(|&(lat, lon)| Point::new(lat, lon).into()).collect()
}

/// Points that follow one another by heading and metres.
fn walk(start: Point, steps: &[(f64, f64)]) -> Vec<PointE7> {
    let mut at = start;
    let next = steps.iter().map(|&(heading, metres)| {
        at = destination(at, heading, metres);
        at
    });
    std::iter::once(start).chain(next).map(PointE7::from).collect()
}

/// The point's distance from the line between two others, by great circles to places of the line. Along the line the
/// distance falls and rises once, so that thirds find the least.
fn distance_from_line_m(point: PointE7, from: PointE7, to: PointE7) -> f64 {
    let (point, from, mut to) = (Point::from(point), Point::from(from), Point::from(to));
    to.lon += ((from.lon - to.lon) / 360.0).round() * 360.0;
    let distance = |share: f64| {
        let place = Point::new(from.lat + share * (to.lat - from.lat), from.lon + share * (to.lon - from.lon));
        distance_m(point, place)
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..100 {
        let third = (high - low) / 3.0;
        if distance(low + third) < distance(high - third) { high -= third } else { low += third }
    }
    distance(low).min(distance(0.0)).min(distance(1.0))
}

fn worst_distance_m(points: &[PointE7], kept: &[usize]) -> f64 {
    let dropped = kept.windows(2).flat_map(|ends| {
        let line = (points[ends[0]], points[ends[1]]);
        (ends[0] + 1..ends[1]).map(move |at| distance_from_line_m(points[at], line.0, line.1))
    });
    dropped.fold(0.0, f64::max)
}

#[test]
fn no_points_and_one_point_stay_as_they_are() {
    assert_eq!(simplify(&[], 10.0), [0; 0]);
    assert_eq!(simplify(&track(&[(1.0, 2.0)]), 10.0), [0]);
    assert_eq!(simplify(&track(&[(1.0, 2.0), (1.0, 2.0)]), 10.0), [0, 1]);
}

#[test]
fn a_straight_street_is_its_two_ends() {
    let street: Vec<(f64, f64)> = (0..1_000).map(|at| (41.15, -8.61 + f64::from(at) * 1e-4)).collect();
    assert_eq!(simplify(&track(&street), 1.0), [0, 999]);
}

#[test]
fn a_corner_stays_and_noise_below_the_tolerance_goes() {
    let mut steps: Vec<(f64, f64)> = (0..50).map(|at| (90.0 + f64::from(at % 2) * 10.0 - 5.0, 20.0)).collect();
    steps.extend((0..50).map(|at| (f64::from(at % 2) * 10.0 - 5.0, 20.0)));
    assert_eq!(simplify(&walk(Point::new(52.5, 13.4), &steps), 5.0), [0, 50, 100]);
}

#[test]
fn a_way_there_and_back_keeps_its_far_end() {
    let there_and_back = track(&[(10.0, 10.0), (10.0, 10.01), (10.0, 10.02), (10.0, 10.01), (10.0, 10.0)]);
    assert_eq!(simplify(&there_and_back, 100.0), [0, 2, 4]);
}

#[test]
fn the_tolerance_is_in_metres_at_every_latitude() {
    for lat in [-84.0, -60.0, 0.0, 45.0, 84.0] {
        let start = Point::new(lat, 25.0);
        let aside = destination(destination(start, 90.0, 500.0), 0.0, 30.0);
        let bump = [start, aside, destination(start, 90.0, 1_000.0)].map(PointE7::from);
        assert_eq!(simplify(&bump, 32.0), [0, 2], "{lat}");
        assert_eq!(simplify(&bump, 28.0), [0, 1, 2], "{lat}");
    }
}

#[test]
fn a_track_over_the_antimeridian_is_like_any_other() {
    let shape: Vec<(f64, f64)> =
        (0..400).map(|at| (-17.0 + (f64::from(at) / 30.0).sin() * 0.02, f64::from(at) * 2e-3 - 0.4)).collect();
    let moved = |by: f64| {
        let points: Vec<(f64, f64)> =
            shape.iter().map(|&(lat, lon)| (lat, (lon + by + 180.0).rem_euclid(360.0) - 180.0)).collect();
        simplify(&track(&points), 50.0)
    };
    assert!(moved(0.0).len() < 100);
    assert_eq!(moved(180.0), moved(0.0));
}

#[test]
fn without_a_tolerance_only_points_on_the_line_go() {
    let points = track(&[(0.0, 0.0), (0.0, 0.1), (0.0, 0.1), (0.0, 0.2), (0.000_000_1, 0.3), (0.0, 0.4)]);
    for tolerance in [0.0, -5.0, f64::NAN] {
        assert_eq!(simplify(&points, tolerance), [0, 3, 4, 5], "{tolerance}");
    }
}

/// The teeth of this saw shrink, so that every cut takes off one point: the plain algorithm would take 5 x 10^9
/// distances here.
#[test]
fn a_track_made_to_be_slow_takes_bounded_work() {
    let count = 100_000;
    let saw: Vec<PointE7> = (0..count)
        .map(|at| PointE7 { lat: if at % 2 == 0 { 0 } else { (count - at) * 1_000 }, lon: at * 10 })
        .collect();
    assert_eq!(simplify(&saw, 0.01).len(), saw.len());
}

fn anywhere() -> impl Strategy<Value = Point> {
    let lat = -75.0..75.0;
    let lon = prop_oneof![-180.0..180.0, Just(179.99), Just(-179.99)];
    (lat, lon).prop_map(|(lat, lon)| Point::new(lat, lon))
}

/// Drives with bends, halts and leaps.
fn drive() -> impl Strategy<Value = Vec<PointE7>> {
    let step = prop_oneof![
        6 => (-30.0..30.0, 0.0..60.0),
        1 => (-180.0..180.0, 0.0..200.0),
        1 => Just((0.0, 0.0)),
    ];
    (anywhere(), prop::collection::vec(step, 0..400)).prop_map(|(start, turns)| {
        let mut heading = 0.0_f64;
        let steps: Vec<(f64, f64)> = turns
            .into_iter()
            .map(|(turn, metres)| {
                heading += turn;
                (heading.rem_euclid(360.0), metres)
            })
            .collect();
        walk(start, &steps)
    })
}

proptest! {
    #[test]
    fn every_dropped_point_is_within_the_tolerance_of_its_line(points in drive(), tolerance in 0.5..200.0) {
        let kept = simplify(&points, tolerance);
        prop_assert_eq!((kept.first(), kept.last()), (Some(&0), Some(&(points.len() - 1))));
        prop_assert!(kept.windows(2).all(|ends| ends[0] < ends[1]));
        let worst = worst_distance_m(&points, &kept);
        prop_assert!(worst <= tolerance * 1.01 + 0.02, "{worst} m with {tolerance} m");
    }

    #[test]
    fn a_drive_within_the_tolerance_of_one_line_is_that_line(points in drive(), share in 0.0..2.0) {
        let worst = worst_distance_m(&points, &[0, points.len() - 1]);
        let kept = simplify(&points, worst * share);
        prop_assert!(share < 1.01 || worst < 2.0 || kept.len() <= 2, "{worst} m, {} kept", kept.len());
        prop_assert!(share > 0.99 || worst < 2.0 || kept.len() > 2, "{worst} m, none kept");
    }
}
