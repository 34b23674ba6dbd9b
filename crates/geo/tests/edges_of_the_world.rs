//! [`MovingIndex`] where coordinates have seams, and with questions at the limits of their range.

use drover_geo::{BoundingBox, EARTH_RADIUS_M, Hit, MovingIndex, Point, Polygon};

fn index_of(points: &[(f64, f64)]) -> MovingIndex {
    let mut index = MovingIndex::new();
    for (id, &(lat, lon)) in points.iter().enumerate() {
        index.put(id as u32, Point::new(lat, lon));
    }
    index
}

fn nearest(index: &MovingIndex, lat: f64, lon: f64, k: usize, max_m: f64) -> Vec<u32> {
    let mut hits = Vec::new();
    index.nearest(Point::new(lat, lon), k, max_m, |_| true, &mut hits);
    hits.iter().map(|hit| hit.id).collect()
}

fn within(index: &MovingIndex, lat: f64, lon: f64, radius_m: f64) -> Vec<Hit> {
    let mut hits = Vec::new();
    index.within(Point::new(lat, lon), radius_m, None, |_| true, &mut hits);
    hits
}

#[test]
fn all_longitudes_meet_at_the_poles() {
    for pole in [90.0, -90.0] {
        let index = index_of(&[(pole, 0.0), (pole, 123.0), (pole, -180.0), (pole * 0.999, 45.0)]);
        assert_eq!(nearest(&index, pole, -77.0, 3, 1.0), [0, 1, 2]);
        let hits = within(&index, pole, 10.0, 0.0);
        assert_eq!(hits.len(), 3);
        assert!(hits.iter().all(|hit| hit.distance_m == 0.0));
    }
}

#[test]
fn the_nearest_may_lie_across_the_pole() {
    let index = index_of(&[(89.99, 180.0), (89.9, 0.0)]);
    assert_eq!(nearest(&index, 89.99, 0.0, 1, f64::INFINITY), [0]);
    assert_eq!(nearest(&index, 89.99, 0.0, 1, 3_000.0), [0]);
}

#[test]
fn the_antimeridian_has_no_two_sides() {
    let index = index_of(&[(10.0, 180.0), (10.0, -180.0), (10.0, 179.9999), (10.0, -179.9999)]);
    assert_eq!(nearest(&index, 10.0, 180.0, 9, 5.0), [0, 1]);
    assert_eq!(nearest(&index, 10.0, -180.0, 9, 100.0), [0, 1, 2, 3]);
    assert_eq!(within(&index, 10.0, -179.9999, 0.0).len(), 1);
}

#[test]
fn more_asked_than_there_are_gives_all() {
    let index = index_of(&[(0.0, 0.0), (0.0, 180.0), (90.0, 0.0)]);
    assert_eq!(nearest(&index, 0.0, 1.0, 100, f64::INFINITY), [0, 2, 1]);
    assert_eq!(nearest(&index, 0.0, 1.0, usize::MAX, f64::INFINITY), [0, 2, 1]);
}

#[test]
fn none_asked_gives_none() {
    let index = index_of(&[(0.0, 0.0)]);
    assert!(nearest(&index, 0.0, 0.0, 0, f64::INFINITY).is_empty());
    assert!(nearest(&MovingIndex::new(), 0.0, 0.0, 5, f64::INFINITY).is_empty());
}

#[test]
fn radius_zero_finds_what_is_exactly_there() {
    let index = index_of(&[(52.5200001, 13.4), (52.52, 13.4), (52.52, 13.4), (52.52, 13.4000001)]);
    let ids: Vec<u32> = within(&index, 52.52, 13.4, 0.0).iter().map(|hit| hit.id).collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn a_radius_beyond_half_the_globe_finds_everything() {
    let index = index_of(&[(0.0, 0.0), (0.0, 180.0), (-90.0, 0.0), (1.0, -179.0)]);
    for radius_m in [EARTH_RADIUS_M * std::f64::consts::PI, 20_100_000.0, 1e12, f64::INFINITY] {
        assert_eq!(within(&index, 0.0, 0.0, radius_m).len(), 4);
    }
}

#[test]
fn a_radius_that_is_none_finds_nothing() {
    let index = index_of(&[(0.0, 0.0)]);
    for radius_m in [-1.0, f64::NAN, f64::NEG_INFINITY] {
        assert!(within(&index, 0.0, 0.0, radius_m).is_empty());
        assert!(nearest(&index, 0.0, 0.0, 1, radius_m).is_empty());
    }
}

#[test]
fn equal_distances_come_in_the_order_of_ids() {
    let index = index_of(&[(0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0)]);
    assert_eq!(nearest(&index, 0.0, 0.0, 2, f64::INFINITY), [0, 1]);
    assert_eq!(nearest(&index, 0.0, 0.0, 5, f64::INFINITY), [0, 1, 2, 3, 4]);
}

#[test]
fn a_refused_object_leaves_its_place_to_the_next() {
    let index = index_of(&[(0.0, 0.001), (0.0, 0.002), (0.0, 50.0)]);
    let mut hits = Vec::new();
    index.nearest(Point::new(0.0, 0.0), 2, f64::INFINITY, |id| id != 0, &mut hits);
    assert_eq!(hits.iter().map(|hit| hit.id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn an_emptied_index_gives_its_cells_back() {
    let mut index = MovingIndex::new();
    for round in 0..20 {
        for id in 0..1_000 {
            index.put(id, Point::new(f64::from(id) / 20.0, f64::from(round) * 9.0 - 90.0));
        }
    }
    let full = index.memory_bytes();
    (0..1_000).for_each(|id| assert!(index.remove(id)));
    assert!(index.is_empty() && !index.remove(3) && index.get(3).is_none());
    assert!(index.memory_bytes() < full);
    assert!(within(&index, 0.0, 0.0, f64::INFINITY).is_empty());
}

#[test]
fn points_out_of_range_are_brought_into_it() {
    let index = index_of(&[(91.0, 0.0), (0.0, 190.0), (f64::NAN, f64::INFINITY)]);
    assert_eq!(index.get(0), Some(Point::new(90.0, 0.0)));
    assert_eq!(index.get(1), Some(Point::new(0.0, -170.0)));
    assert_eq!(nearest(&index, 0.0, 0.0, 9, f64::INFINITY).len(), 3);
}

#[test]
fn boxes_and_polygons_that_touch_the_seams_find_what_is_on_them() {
    let index = index_of(&[(0.0, 180.0), (0.0, -180.0), (90.0, 5.0), (-90.0, 5.0)]);
    let mut ids = Vec::new();
    index.in_box(&BoundingBox { west: 180.0, south: -90.0, east: -180.0, north: 90.0 }, |id, _| ids.push(id));
    ids.sort_unstable();
    assert_eq!(ids, [0, 1]);
    let strip = Polygon::from_lon_lat(&[vec![[179.0, -1.0], [-179.0, -1.0], [-179.0, 1.0], [179.0, 1.0]]]).unwrap();
    let mut ids = Vec::new();
    index.in_polygon(&strip, |id, _| ids.push(id));
    ids.sort_unstable();
    assert_eq!(ids, [0, 1]);
}

#[test]
fn a_box_beyond_the_world_is_all_of_it_and_one_without_numbers_is_empty() {
    let index = index_of(&[(0.0, 180.0), (90.0, 5.0)]);
    let count = |area: BoundingBox| {
        let mut count = 0;
        index.in_box(&area, |_, _| count += 1);
        count
    };
    assert_eq!(count(BoundingBox { west: -1e300, south: -1e300, east: 1e300, north: 1e300 }), 2);
    assert_eq!(count(BoundingBox { south: f64::NAN, ..BoundingBox::WORLD }), 0);
    assert_eq!(count(BoundingBox { south: 10.0, north: -10.0, ..BoundingBox::WORLD }), 0);
}
