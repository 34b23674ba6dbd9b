//! What each rule says, and how it lets go again.

use crate::{Rng, fix, judge, moved};
use drover_geo::{Fix, Limits, Noise, PointE7, Track};

const HOME: PointE7 = PointE7 { lat: 411_500_000, lon: -86_100_000 };

/// Fixes every so many seconds, so many metres east of home.
fn line(interval_s: i64, metres: impl IntoIterator<Item = f64>) -> Vec<Fix> {
    let fixes = metres.into_iter().enumerate();
    fixes.map(|(number, metres)| fix(number as i64 * interval_s * 1_000, moved(HOME, 90.0, metres))).collect()
}

/// Parked for `fixes` fixes with the usual jitter, then away from home by these metres.
fn parked_then(interval_s: i64, fixes: usize, then: impl IntoIterator<Item = f64>) -> Vec<Fix> {
    let mut rng = Rng(3);
    let jitter: Vec<f64> = (0..fixes).map(|_| 5.0 * rng.gauss()).collect();
    line(interval_s, jitter.into_iter().chain(then))
}

/// The verdicts after the vehicle was parked.
fn verdicts(fixes: &[Fix], parked: usize) -> Vec<Option<Noise>> {
    let mut verdicts = judge(fixes);
    assert_eq!(verdicts[..parked], vec![None; parked]);
    verdicts.split_off(parked)
}

#[test]
fn names_and_reasons_are_different() {
    let names: Vec<&str> = Noise::ALL.iter().map(|noise| noise.name()).collect();
    assert_eq!(names, ["jump", "teleport", "parked_drift", "stuck_clock", "no_fix"]);
    assert!(Noise::ALL.iter().all(|noise| noise.why().ends_with('.')));
}

#[test]
fn what_is_remembered_is_small() {
    assert!(size_of::<Track>() <= 48);
}

#[test]
fn a_fix_off_the_way_is_a_jump_and_the_next_good_one_is_believed() {
    let found = judge(&line(5, [0.0, 60.0, 120.0, 1_500.0, 240.0, 300.0]));
    assert_eq!(found, [None, None, None, Some(Noise::Jump), None, None]);
}

#[test]
fn the_head_is_the_last_good_fix() {
    let fixes = line(5, [0.0, 60.0, 120.0, 1_500.0]);
    let mut track = Track::default();
    assert_eq!(track.head(), None);
    for fix in &fixes {
        track.judge(*fix, &Limits::default());
    }
    assert_eq!(track.head(), Some((fixes[2].time_ms, fixes[2].at)));
}

#[test]
fn a_carried_device_is_believed_with_its_fifth_fix() {
    let way = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0].into_iter().chain((0..6).map(|n| 400_000.0 + f64::from(n)));
    let found = judge(&line(10, way));
    assert_eq!(found[6..], [[Some(Noise::Teleport); 4].as_slice(), &[None, None]].concat());
}

#[test]
fn a_wrong_first_fix_costs_no_good_one() {
    assert_eq!(judge(&line(10, [400_000.0, 0.0, 10.0, 20.0])), [None; 4]);
}

#[test]
fn places_that_nothing_else_speaks_for_contradict_nobody() {
    let found = judge(&line(1, (0..40).map(|n| f64::from(n * n) * 5_000.0)));
    assert_eq!(found, vec![None; 40]);
}

#[test]
fn a_gap_makes_any_distance_plausible_that_top_speed_allows() {
    let mut fixes = line(10, [0.0, 10.0, 20.0, 100_000.0]);
    fixes[3].time_ms += 29 * 60_000;
    assert_eq!(judge(&fixes)[3], Some(Noise::Teleport));
    fixes[3].time_ms += 2 * 60_000;
    assert_eq!(judge(&fixes)[3], None);
}

#[test]
fn two_devices_under_one_name_do_not_drive_to_and_fro() {
    let to_and_fro = (0..40).map(|n| if n < 3 || n % 2 == 0 { 0.0 } else { 50_000.0 });
    let found = judge(&line(10, to_and_fro));
    assert!(found.iter().skip(3).step_by(2).all(|noise| *noise == Some(Noise::Teleport)), "{found:?}");
    assert!(found.iter().skip(2).step_by(2).all(Option::is_none), "{found:?}");
}

#[test]
fn a_place_said_again_and_again_by_a_driver_is_old() {
    let mut fixes = line(1, [0.0; 30].into_iter().chain([600.0]));
    assert_eq!(judge(&fixes)[30], None);
    // By its own word it stood.
    fixes.iter_mut().for_each(|fix| fix.speed_kmh = Some(0.0));
    assert_eq!(judge(&fixes)[30], Some(Noise::Jump));
}

#[test]
fn a_star_of_a_parked_vehicle_is_drift_and_does_not_move_it() {
    let found = verdicts(&parked_then(30, 40, [60.0, 2.0, -70.0, -80.0, 1.0]), 40);
    let drift = Some(Noise::ParkedDrift);
    assert_eq!(found, [drift, None, drift, drift, None]);
}

#[test]
fn who_says_that_he_drives_has_left_at_once() {
    let mut fixes = parked_then(10, 40, [40.0, 90.0, 150.0]);
    fixes[40..].iter_mut().for_each(|fix| fix.speed_kmh = Some(18.0));
    assert_eq!(verdicts(&fixes, 40), [None; 3]);
}

#[test]
fn a_departure_without_speeds_is_believed_with_its_second_fix() {
    for interval_s in [3, 5, 10, 30] {
        let way = (1..20).map(|n| 8.0 * f64::from(n) * interval_s as f64).filter(|metres| *metres > 25.0);
        let found = verdicts(&parked_then(interval_s, 100, way), 100);
        assert!(found.iter().flatten().count() <= 2, "{interval_s}: {found:?}");
    }
}

#[test]
fn a_bicycle_at_walking_pace_is_never_more_than_a_minute_late() {
    for interval_s in [1, 2, 5, 10, 20, 30] {
        let way = (1..200).map(|n| 6.0 / 3.6 * f64::from(n) * interval_s as f64);
        let found = verdicts(&parked_then(interval_s, 250, way), 250);
        let doubted_s = found.iter().flatten().count() as i64 * interval_s;
        println!("6 km/h, every {interval_s} s: doubted for {doubted_s} s");
        assert!(doubted_s <= 60, "{interval_s}: {found:?}");
    }
}

#[test]
fn a_queue_that_creeps_is_never_more_than_a_minute_and_a_report_late() {
    for interval_s in [1, 5, 15, 60] {
        // Thirty metres, then three minutes of standing.
        let way = (1..900 / interval_s).map(|n| 30.0 * (n * interval_s / 180 + 1) as f64);
        let found = verdicts(&parked_then(interval_s, 250, way), 250);
        let doubted = found.split(Option::is_none).map(<[_]>::len).max().unwrap() as i64;
        println!("queue, every {interval_s} s: doubted for {} s", doubted * interval_s);
        assert!((doubted - 1) * interval_s < 60, "{interval_s}: {found:?}");
    }
}

#[test]
fn a_vehicle_moved_a_few_metres_while_parked_is_believed_there() {
    let found = verdicts(&parked_then(300, 40, [50.0; 4]), 40);
    assert_eq!(found, [Some(Noise::ParkedDrift), None, None, None]);
}

#[test]
fn a_clock_that_stands_is_found_and_believed_again_when_it_goes() {
    let mut fixes = line(1, (0..60).map(|n| 12.0 * f64::from(n)));
    for number in 20..40 {
        fixes[number].time_ms = fixes[19].time_ms + number as i64 - 19;
    }
    let found = judge(&fixes);
    assert!(found[24..40].iter().all(|noise| *noise == Some(Noise::StuckClock)), "{found:?}");
    assert!(found[40..].iter().all(Option::is_none), "{found:?}");
}

#[test]
fn a_wrong_place_a_few_milliseconds_later_does_not_cost_the_next_good_ones() {
    let mut fixes = line(1, (0..30).map(|n| if n == 20 { 3_000.0 } else { 12.0 * f64::from(n) }));
    fixes[20].time_ms = fixes[19].time_ms + 5;
    let found = judge(&fixes);
    assert_eq!(found[20], Some(Noise::StuckClock));
    assert_eq!(found.iter().flatten().count(), 1, "{found:?}");
}

#[test]
fn exactly_zero_is_no_place_however_often_it_is_said() {
    let nowhere = PointE7 { lat: 0, lon: 0 };
    let mut fixes: Vec<Fix> = (0..10).map(|n| fix(n * 10_000, nowhere)).collect();
    assert!(judge(&fixes).iter().all(|noise| *noise == Some(Noise::NoFix)));
    fixes.push(fix(100_000, HOME));
    assert_eq!(judge(&fixes)[10], None);
}

#[test]
fn a_fix_that_admits_to_be_inaccurate_has_more_slack() {
    let mut fixes = line(1, [0.0, 10.0, 20.0, 190.0]);
    assert_eq!(judge(&fixes)[3], Some(Noise::Jump));
    fixes[3].accuracy_m = Some(80.0);
    assert_eq!(judge(&fixes)[3], None);
}

#[test]
fn the_antimeridian_and_the_poles_are_places_like_others() {
    let over = |lat: i32, lon: i64| PointE7 {
        lat,
        lon: ((lon + 1_800_000_000).rem_euclid(3_600_000_000) - 1_800_000_000) as i32,
    };
    let east: Vec<Fix> = (0..40).map(|n| fix(n * 1_000, over(-170_000_000, 1_799_999_000 + n * 100))).collect();
    assert!(judge(&east).iter().all(Option::is_none));
    let pole: Vec<Fix> = (0..40).map(|n| fix(n * 1_000, over(900_000_000 - 10, n * 311_000_000))).collect();
    assert!(judge(&pole).iter().all(Option::is_none));
    let parked: Vec<Fix> = (0..99).map(|n| fix(n * 10_000, over(10, 1_800_000_000 + (n % 3 - 1) * 500))).collect();
    assert!(judge(&parked).iter().all(Option::is_none));
}
