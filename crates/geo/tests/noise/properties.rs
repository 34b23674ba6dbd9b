//! What holds whatever comes in.

use crate::moved;
use drover_geo::{Fix, Limits, Point, PointE7, Track};
use proptest::prelude::*;

/// Numbers of fixes and seconds between them, from which on a new place is believed whatever was before.
const RECOVERY_FIXES: usize = 5;
const RECOVERY_INTERVAL_S: i64 = 15;

fn any_fix() -> impl Strategy<Value = Fix> {
    let speed = prop_oneof![any::<f32>(), Just(f32::NAN), Just(f32::INFINITY), Just(0.0), Just(50.0)];
    (any::<i64>(), any::<(i32, i32)>(), proptest::option::of(any::<f32>()), proptest::option::of(speed)).prop_map(
        |(time_ms, (lat, lon), accuracy_m, speed_kmh)| Fix { time_ms, at: PointE7 { lat, lon }, accuracy_m, speed_kmh },
    )
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (any::<[f64; 6]>(), any::<[u8; 3]>(), any::<[u32; 2]>(), any::<f32>()).prop_map(
        |(numbers, counts, seconds, moving_kmh)| {
            let [max_speed_kmh, slack_m, accuracy_max_m, teleport_m, jitter_m, drift_radius_m] = numbers;
            Limits {
                max_speed_kmh,
                slack_m,
                accuracy_max_m,
                teleport_m,
                defended_fixes: counts[2],
                recovery_fixes: counts[0],
                parked_after_s: seconds[0],
                parked_fixes: counts[1],
                jitter_m,
                drift_radius_m,
                drift_max_s: seconds[1],
                moving_kmh,
            }
        },
    )
}

/// Steps of milliseconds, metres and heading, from fractions of a second to hours and from standing to far away.
fn any_way() -> impl Strategy<Value = Vec<(i64, f64, f64, Option<f32>)>> {
    let passed = prop_oneof![1_i64..30, 1_i64..20_000, 1_000_i64..10_000_000];
    let metres = prop_oneof![Just(0.0), 0.0..15.0, 0.0..150.0, 0.0..5_000.0, 0.0..10_000_000.0];
    let speed = proptest::option::of(prop_oneof![Just(0.0_f32), 0.0_f32..120.0]);
    proptest::collection::vec((passed, metres, 0.0..360.0, speed), 0..80)
}

/// Half of all ways begin parked.
fn after(way: &[(i64, f64, f64, Option<f32>)], parked_fixes: i64, start: PointE7) -> (Track, i64, PointE7) {
    let (mut track, limits) = (Track::default(), Limits::default());
    let mut time_ms = 1_700_000_000_000;
    for _ in 0..parked_fixes {
        time_ms += 10_000;
        track.judge(Fix { time_ms, at: start, accuracy_m: None, speed_kmh: None }, &limits);
    }
    let mut at = start;
    for &(passed_ms, metres, heading, speed_kmh) in way {
        (time_ms, at) = (time_ms + passed_ms, moved(at, heading, metres));
        track.judge(Fix { time_ms, at, accuracy_m: None, speed_kmh }, &limits);
    }
    (track, time_ms, at)
}

fn any_start() -> impl Strategy<Value = PointE7> {
    let lon = prop_oneof![-180.0..180.0, Just(180.0), Just(-179.9999)];
    let lat = prop_oneof![-80.0..80.0, Just(89.9999), Just(-90.0)];
    (lat, lon).prop_map(|(lat, lon)| Point::new(lat, lon).into())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_makes_it_fail(fixes in proptest::collection::vec(any_fix(), 0..50), limits in any_limits()) {
        let mut track = Track::default();
        for fix in fixes {
            let before = track.head();
            match track.judge(fix, &limits) {
                Some(_) => prop_assert_eq!(track.head(), before),
                None => prop_assert_eq!(track.head().map(|(time_ms, _)| time_ms), Some(fix.time_ms)),
            }
        }
    }

    #[test]
    fn a_new_place_is_believed_with_the_fifth_fix_whatever_was_before(
        way in any_way(),
        parked_fixes in prop_oneof![Just(0_i64), 16_i64..60],
        start in any_start(),
        (metres, heading) in (prop_oneof![0.0..200.0, 0.0..20_000.0, 0.0..15_000_000.0], 0.0..360.0),
        interval_s in RECOVERY_INTERVAL_S..600,
        errors in proptest::collection::vec((0.0..10.0, 0.0..360.0), RECOVERY_FIXES),
    ) {
        let (mut track, time_ms, at) = after(&way, parked_fixes, start);
        let place = moved(at, heading, metres);
        let mut believed = false;
        for (number, (error_m, heading)) in (1..).zip(errors) {
            let at = moved(place, heading, error_m);
            let fix = Fix { time_ms: time_ms + number * interval_s * 1_000, at, accuracy_m: None, speed_kmh: None };
            believed = track.judge(fix, &Limits::default()).is_none();
        }
        prop_assert!(believed, "{track:?}");
    }

    #[test]
    fn a_drive_at_legal_speed_is_never_a_jump(
        start in any_start(),
        steps in proptest::collection::vec((1_i64..120_000, 0.0..1.0, 0.0..360.0), 1..100),
    ) {
        let (mut track, limits) = (Track::default(), Limits::default());
        let (mut time_ms, mut at) = (0, start);
        for (passed_ms, share, heading) in steps {
            time_ms += passed_ms;
            at = moved(at, heading, share * passed_ms as f64 * 190.0 / 3_600.0);
            let found = track.judge(Fix { time_ms, at, accuracy_m: None, speed_kmh: Some(100.0) }, &limits);
            prop_assert_eq!(found, None);
        }
    }
}
