//! [`MovingIndex`] against a twin that keeps a plain map and tests every object: same ids, same order, same distances.
//! Worlds mix clusters, poles, the antimeridian, cell borders and duplicates; they move and lose objects before the
//! question is asked.

use drover_geo::{BoundingBox, Hit, MovingIndex, Point, PointE7, Polygon, destination};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Twin = BTreeMap<u32, PointE7>;

/// What happened to an index: `None` removes.
type Changes = Vec<(u32, Option<Point>)>;

fn build(changes: &Changes) -> (MovingIndex, Twin) {
    let (mut index, mut twin) = (MovingIndex::new(), Twin::new());
    for &(id, point) in changes {
        match point {
            Some(point) => {
                index.put(id, point);
                twin.insert(id, point.into());
            }
            None => assert_eq!(index.remove(id), twin.remove(&id).is_some()),
        }
    }
    (index, twin)
}

fn nearest_in_twin(twin: &Twin, from: Point, k: usize, max_m: f64, filter: impl Fn(u32) -> bool) -> Vec<Hit> {
    let from = PointE7::from(from);
    let mut all: Vec<(f64, u32)> = twin.iter().map(|(&id, &at)| (from.haversine(at), id)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.into_iter()
        .map(|(_, id)| Hit { id, distance_m: from.distance_m(twin[&id]) })
        .filter(|hit| hit.distance_m <= max_m && filter(hit.id))
        .take(k)
        .collect()
}

fn sorted(mut ids: Vec<u32>) -> Vec<u32> {
    ids.sort_unstable();
    ids
}

fn anywhere() -> impl Strategy<Value = Point> {
    (-90.0..=90.0, -180.0..=180.0).prop_map(|(lat, lon)| Point::new(lat, lon))
}

/// Points where an index goes wrong first.
fn awkward() -> impl Strategy<Value = Point> {
    let lat = prop::sample::select(vec![-90.0, -89.99, -88.72, -0.02, 0.0, 0.02, 52.52, 89.6, 89.98, 89.9999999, 90.0]);
    let lon = prop::sample::select(vec![-180.0, -179.99, -120.0, -0.0000001, 0.0, 13.4, 60.0, 179.9999999, 180.0]);
    (lat, lon).prop_map(|(lat, lon)| Point::new(lat, lon))
}

fn centre() -> impl Strategy<Value = Point> {
    prop_oneof![anywhere(), awkward()]
}

/// A point at or some metres to some hundred kilometres from one of the centres.
fn near(centres: Vec<Point>) -> impl Strategy<Value = Point> {
    let scatter = prop_oneof![Just(0.0), 0.01..3.0, 1.0..300.0, 100.0..9_000.0, 5_000.0..400_000.0];
    (prop::sample::select(centres), 0.0..360.0, scatter)
        .prop_map(|(centre, heading, way)| if way == 0.0 { centre } else { destination(centre, heading, way) })
}

/// Changes to up to 400 objects around a few centres, and a query point there or anywhere.
fn world() -> impl Strategy<Value = (Changes, Point)> {
    prop::collection::vec(centre(), 1..4).prop_flat_map(|centres| {
        let point = prop_oneof![9 => near(centres.clone()).boxed(), 1 => anywhere().boxed()];
        let change = (0_u32..400, prop::option::weighted(0.9, point));
        let from = prop_oneof![6 => near(centres).boxed(), 1 => awkward().boxed(), 2 => anywhere().boxed()];
        (prop::collection::vec(change, 0..900), from)
    })
}

fn radius() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(f64::INFINITY), 0.01..50.0, 10.0..10_000.0, 5_000.0..500_000.0, 100_000.0..20_100_000.0]
}

fn any_box() -> impl Strategy<Value = BoundingBox> {
    let small = (centre(), 0.0_f64..3.0, 0.0_f64..3.0).prop_map(|(at, height, width)| {
        let east = if at.lon + width > 180.0 { at.lon + width - 360.0 } else { at.lon + width };
        BoundingBox { west: at.lon, south: at.lat, east, north: (at.lat + height).min(90.0) }
    });
    let large = (anywhere(), anywhere()).prop_map(|(a, b)| BoundingBox {
        west: a.lon,
        south: a.lat.min(b.lat),
        east: b.lon,
        north: a.lat.max(b.lat),
    });
    prop_oneof![small, large, Just(BoundingBox::WORLD)]
}

/// A star around a centre; drawn in degrees, so clamped at the poles and wrapped at the antimeridian.
fn any_polygon() -> impl Strategy<Value = Polygon> {
    let spikes = prop::collection::vec(0.1_f64..1.0, 3..40);
    (centre(), spikes, prop_oneof![0.001_f64..0.1, 0.1_f64..4.0, 4.0_f64..60.0]).prop_filter_map(
        "a ring must have an area",
        |(at, spikes, size)| {
            let corner = |(number, length): (usize, &f64)| {
                let angle = std::f64::consts::TAU * number as f64 / spikes.len() as f64;
                let lon = at.lon + size * length * angle.cos();
                let lon = if lon.abs() > 180.0 { lon - 360.0_f64.copysign(lon) } else { lon };
                [lon, (at.lat + size * length * angle.sin()).clamp(-90.0, 90.0)]
            };
            Polygon::from_lon_lat(&[spikes.iter().enumerate().map(corner).collect()]).ok()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn positions_and_count_equal_the_twin((changes, _) in world()) {
        let (index, twin) = build(&changes);
        prop_assert_eq!(index.len(), twin.len());
        for id in 0..401 {
            prop_assert_eq!(index.get(id), twin.get(&id).map(|&at| at.into()));
        }
    }

    #[test]
    fn nearest_equals_the_twin((changes, from) in world(), k in 0_usize..40, max_m in radius(), every in 1_u32..8) {
        let (index, twin) = build(&changes);
        let filter = |id: u32| id.is_multiple_of(every);
        let mut hits = vec![Hit { id: 7, distance_m: 7.0 }];
        index.nearest(from, k, max_m, filter, &mut hits);
        prop_assert_eq!(hits, nearest_in_twin(&twin, from, k, max_m, filter));
    }

    #[test]
    fn within_equals_the_twin((changes, from) in world(), radius_m in radius(), limit in prop::option::of(0_usize..40)) {
        let (index, twin) = build(&changes);
        let mut hits = Vec::new();
        index.within(from, radius_m, limit, |_| true, &mut hits);
        prop_assert_eq!(hits, nearest_in_twin(&twin, from, limit.unwrap_or(usize::MAX), radius_m, |_| true));
    }

    #[test]
    fn a_hit_is_found_again_with_its_own_distance_as_radius((changes, from) in world(), rank in 0_usize..30) {
        let (index, twin) = build(&changes);
        let mut hits = Vec::new();
        index.nearest(from, rank + 1, f64::INFINITY, |_| true, &mut hits);
        if let Some(Hit { distance_m, .. }) = hits.last().copied() {
            index.within(from, distance_m, None, |_| true, &mut hits);
            prop_assert_eq!(hits, nearest_in_twin(&twin, from, usize::MAX, distance_m, |_| true));
        }
    }

    #[test]
    fn in_box_equals_the_twin((changes, _) in world(), area in any_box()) {
        let (index, twin) = build(&changes);
        let mut ids = Vec::new();
        index.in_box(&area, |id, _| ids.push(id));
        let expected: Vec<u32> = twin.iter().filter(|(_, at)| area.contains((**at).into())).map(|(&id, _)| id).collect();
        prop_assert_eq!(sorted(ids), expected);
    }

    #[test]
    fn in_polygon_equals_the_twin((changes, _) in world(), area in any_polygon()) {
        let (index, twin) = build(&changes);
        let mut ids = Vec::new();
        index.in_polygon(&area, |id, _| ids.push(id));
        let expected: Vec<u32> = twin.iter().filter(|(_, at)| area.contains((**at).into())).map(|(&id, _)| id).collect();
        prop_assert_eq!(sorted(ids), expected);
    }
}
