//! What people expect of trips and stops, one thing at a time, with the default rules.

use crate::{Diary, MORNING};
use drover_geo::{Point, PointE7, destination, distance_m};
use drover_history::trips::{Segments, TripFix, TripRules, segment};
use std::ops::RangeInclusive;

const EVER: RangeInclusive<i64> = i64::MIN..=i64::MAX;

fn of(diary: &Diary) -> Segments {
    segment(diary.fixes.iter().copied(), TripRules::default(), EVER)
}

fn counts(diary: &Diary) -> (usize, usize) {
    let Segments { trips, stops } = of(diary);
    (trips.len(), stops.len())
}

fn close(found: f64, expected: f64, off: f64) -> bool {
    (found - expected).abs() <= off
}

/// Ten minutes at the depot, a drive of 10 km to the east, ten minutes there.
fn delivery() -> Diary {
    Diary::at(41.15, -8.61).stand(600, 5, 8.0).go(900, 5, 90.0, 40.0).stand(600, 5, 8.0)
}

#[test]
fn a_delivery_is_a_stop_a_trip_and_a_stop() {
    let Segments { trips, stops } = of(&delivery());
    let ([trip], [depot, customer]) = (&trips[..], &stops[..]) else { panic!("{trips:?} {stops:?}") };
    // Who leaves still stands within the rim of 50 m, and who comes already does.
    assert!(close(trip.distance_m, 10_000.0, 110.0), "{trip:?}");
    assert!(close(trip.duration_ms() as f64, 900_000.0, 20_000.0), "{trip:?}");
    assert!(close(trip.avg_speed_kmh(), 40.0, 1.0) && close(trip.max_speed_kmh.unwrap(), 40.0, 8.0), "{trip:?}");
    assert_eq!((depot.start_ms, customer.end_ms), (MORNING, MORNING + 2_100_000));
    assert_eq!((depot.end_ms, customer.start_ms), (trip.start_ms, trip.end_ms));
    assert_eq!((trip.points as i64 - 1) * 5_000, trip.duration_ms());
    let depot_place = Point::new(41.15, -8.61);
    assert!(distance_m(depot.at.into(), depot_place) < 5.0);
    assert!(close(distance_m(customer.at.into(), depot_place), 10_000.0, 5.0));
    assert!(!trip.open_start && !trip.open_end && !depot.open_start && !customer.open_end);
}

#[test]
fn a_red_light_is_no_stop() {
    let drive = Diary::at(41.15, -8.61).go(300, 5, 90.0, 40.0).stand(120, 5, 5.0).go(300, 5, 90.0, 40.0);
    assert_eq!(counts(&drive), (1, 0));
}

#[test]
fn a_walk_across_the_yard_is_no_trip() {
    let yard = Diary::at(41.15, -8.61).stand(600, 5, 5.0).go(100, 5, 0.0, 5.0).stand(600, 5, 5.0);
    let Segments { trips, stops } = of(&yard);
    assert!(trips.is_empty(), "{trips:?}");
    assert_eq!(stops.iter().map(|stop| stop.duration_ms()).sum::<i64>() / 100_000, 12, "{stops:?}");
}

#[test]
fn a_gap_ends_a_trip_and_the_next_fix_begins_another() {
    let tunnel = Diary::at(41.15, -8.61).go(600, 10, 90.0, 60.0).silent(901).go(600, 10, 90.0, 60.0);
    let Segments { trips, .. } = of(&tunnel);
    assert_eq!(trips.len(), 2);
    assert!(trips.iter().all(|trip| close(trip.distance_m, 10_000.0, 170.0)), "{trips:?}");
    assert_eq!(counts(&Diary::at(41.15, -8.61).go(600, 10, 90.0, 60.0).silent(890).go(600, 10, 90.0, 60.0)), (1, 0));
}

#[test]
fn nobody_knows_of_a_night_without_fixes() {
    let night = Diary::at(41.15, -8.61).stand(400, 20, 3.0).silent(8 * 3_600).stand(400, 20, 3.0);
    let Segments { stops, .. } = of(&night);
    let durations: Vec<i64> = stops.iter().map(|stop| stop.duration_ms()).collect();
    assert_eq!(durations, [400_000, 380_000]);
}

#[test]
fn up_to_three_fixes_astray_change_neither_trip_nor_stop() {
    for count in 1..=3 {
        let astray = |diary: Diary| diary.moved(20.0, 3_000.0).go(count, 1, 90.0, 5.0).moved(200.0, 3_000.0);
        let drive = astray(Diary::at(41.15, -8.61).go(600, 1, 90.0, 40.0)).go(600, 1, 90.0, 40.0);
        let Segments { trips, stops } = of(&drive);
        assert_eq!((trips.len(), stops.len()), (1, 0), "{count}");
        assert!(close(trips[0].distance_m, 13_333.0, 60.0), "{count}: {trips:?}");
        assert!(trips[0].max_speed_kmh.unwrap() < 60.0, "{count}: {trips:?}");
        let stay = astray(Diary::at(41.15, -8.61).stand(600, 1, 5.0)).stand(600, 1, 5.0);
        assert_eq!(counts(&stay), (0, 1), "{count}");
    }
}

#[test]
fn a_leap_that_stays_is_not_driven() {
    let ferried = Diary::at(41.15, -8.61).go(600, 5, 90.0, 40.0).moved(0.0, 50_000.0).go(600, 5, 90.0, 40.0);
    let Segments { trips, .. } = of(&ferried);
    assert_eq!(trips.len(), 2);
    assert!(trips.iter().map(|trip| trip.distance_m).sum::<f64>() < 13_400.0);
}

/// As the Twizy data has it: a report each second, a new place only every 20 s.
#[test]
fn a_place_repeated_until_the_next_is_one_drive() {
    let mut drive = Diary::at(41.15, -8.61);
    for _ in 0..60 {
        drive = drive.moved(90.0, 400.0).stand(20, 1, 0.0);
    }
    let Segments { trips, stops } = of(&drive);
    assert_eq!((trips.len(), stops.len()), (1, 0));
    assert!(close(trips[0].distance_m, 24_000.0, 450.0), "{trips:?}");
    assert!(trips[0].max_speed_kmh.unwrap() < 80.0, "{trips:?}");
}

#[test]
fn reports_every_ten_minutes_are_enough_for_both() {
    let slow = Diary::at(41.15, -8.61).stand(3_600, 600, 20.0).go(3_600, 600, 45.0, 30.0).stand(3_600, 600, 20.0);
    let Segments { trips, stops } = of(&slow);
    assert_eq!((trips.len(), stops.len()), (1, 2));
    assert!(close(trips[0].distance_m, 30_000.0, 100.0), "{trips:?}");
}

#[test]
fn the_antimeridian_is_no_jump() {
    let ferry = Diary::at(-16.8, 179.95).stand(600, 5, 5.0).go(1_200, 5, 90.0, 40.0).stand(600, 5, 5.0);
    let Segments { trips, stops } = of(&ferry);
    assert_eq!((trips.len(), stops.len()), (1, 2));
    assert!(close(trips[0].distance_m, 13_333.0, 110.0), "{trips:?}");
    let on_it = Diary::at(10.0, 180.0).stand(600, 5, 10.0);
    let place = of(&on_it).stops[0].at;
    assert!(place.distance_m(Point::new(10.0, 180.0).into()) < 5.0, "{place:?}");
}

#[test]
fn what_a_window_cuts_is_marked_open() {
    let fixes = delivery().fixes;
    let Segments { trips, stops } = segment(fixes, TripRules::default(), MORNING + 900_000..=MORNING + 1_002_500);
    let ([trip], []) = (&trips[..], &stops[..]) else { panic!("{trips:?} {stops:?}") };
    assert!(trip.open_start && trip.open_end);
    assert_eq!((trip.start_ms, trip.end_ms, trip.points), (MORNING + 900_000, MORNING + 1_002_500, 21));
    // 102.5 s at 40 km/h, the last half leg by its share.
    assert!(close(trip.distance_m, 1_138.9, 0.5), "{trip:?}");
    let end = destination(Point::new(41.15, -8.61), 90.0, 402.5 / 3.6 * 40.0);
    // The drive follows the parallel, the expectation a great circle.
    assert!(trip.end.distance_m(PointE7::from(end)) < 3.0);
}

#[test]
fn a_stop_that_goes_on_counts_within_the_window_only() {
    let fixes = delivery().fixes;
    let found = segment(fixes, TripRules::default(), MORNING + 60_000..=MORNING + 120_000);
    let ([], [stop]) = (&found.trips[..], &found.stops[..]) else { panic!("{found:?}") };
    assert!(stop.open_start && stop.open_end);
    assert_eq!((stop.duration_ms(), stop.points), (60_000, 13));
}

#[test]
fn nothing_and_one_fix_are_neither_trip_nor_stop() {
    assert_eq!(segment([], TripRules::default(), EVER), Segments::default());
    assert_eq!(of(&Diary::at(41.15, -8.61)), Segments::default());
}

#[test]
fn said_speeds_beyond_belief_do_not_become_the_maximum() {
    let mut drive = Diary::at(41.15, -8.61).go(600, 5, 90.0, 40.0);
    for (number, fix) in drive.fixes.iter_mut().enumerate() {
        fix.speed_kmh = Some(if number == 50 { 410.0 } else { 38.0 + (number % 7) as f32 });
    }
    assert_eq!(of(&drive).trips[0].max_speed_kmh, Some(44.0));
}

#[test]
fn fixes_of_the_same_moment_and_steps_back_in_time_harm_nothing() {
    let mut fixes = delivery().fixes;
    let doubled: Vec<TripFix> = fixes.iter().flat_map(|fix| [*fix, *fix]).collect();
    let (single, double) =
        (segment(fixes.clone(), TripRules::default(), EVER), segment(doubled, TripRules::default(), EVER));
    assert_eq!((double.trips.len(), double.stops.len()), (1, 2));
    assert!(close(double.trips[0].distance_m, single.trips[0].distance_m, 1e-6));
    // Two histories one after the other: their order in time is the caller's to keep, and a break if not.
    fixes.extend(delivery().fixes);
    let twice = segment(fixes, TripRules::default(), EVER);
    assert_eq!((twice.trips.len(), twice.stops.len()), (2, 4));
}

#[test]
fn times_at_the_ends_of_their_range_do_not_overflow() {
    let fix = |time_ms| TripFix { time_ms, at: PointE7 { lat: 1, lon: 2 }, speed_kmh: None };
    let fixes = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX].map(fix);
    assert_eq!(segment(fixes, TripRules::default(), EVER), Segments::default());
    assert_eq!(TripRules::default().reading_range(&EVER), EVER);
}

#[test]
fn rules_out_of_range_are_refused_by_name() {
    let default = TripRules::default();
    assert_eq!(default.check(), Ok(default));
    assert_eq!(default.margin_ms(), 10_140_000);
    let refused = |rules: TripRules| rules.check().unwrap_err();
    assert_eq!(refused(TripRules { stop_radius_m: f64::NAN, ..default }).name, "stop_radius_m");
    assert_eq!(refused(TripRules { min_stop_s: 9, ..default }).name, "min_stop_s");
    assert_eq!(refused(TripRules { max_gap_s: 86_401, ..default }).name, "max_gap_s");
    assert_eq!(refused(TripRules { max_speed_kmh: 0.0, ..default }).name, "max_speed_kmh");
    let error = refused(TripRules { min_trip_m: 2_001.0, ..default });
    assert_eq!(error.to_string(), "min_trip_m must be 0 to 2000");
}
