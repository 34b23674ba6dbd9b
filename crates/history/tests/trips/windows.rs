//! Any history, any rules, any window: what is read for the window gives what the whole gives there.

use crate::{MORNING, twin};
use drover_geo::{Point, PointE7, destination};
use drover_history::trips::{Segments, TripFix, TripRules, segment};
use proptest::prelude::*;
use std::ops::RangeInclusive;

/// What an asset does for a while: how many fixes, every how many ms, and how it goes.
#[derive(Debug, Clone)]
enum Spell {
    Stand { fixes: usize, every_ms: i64, noise_m: f64 },
    Go { fixes: usize, every_ms: i64, heading: f64, turn: f64, metres: f64, repeats: usize, speed: Option<f32> },
    Leap { heading: f64, metres: f64 },
    Stray { fixes: usize, every_ms: i64, metres: f64 },
    Silence { ms: i64 },
}

fn spell() -> impl Strategy<Value = Spell> {
    let every_ms = || prop_oneof![1 => Just(0_i64), 6 => 1_000_i64..20_000, 3 => 20_000_i64..400_000];
    prop_oneof![
        4 => (1_usize..40, every_ms(), prop_oneof![Just(0.0), 0.0..60.0])
            .prop_map(|(fixes, every_ms, noise_m)| Spell::Stand { fixes, every_ms, noise_m }),
        4 => (1_usize..40, every_ms(), 0.0..360.0, -30.0..30.0, 0.0..150.0, 1_usize..12, prop::option::of(0.0_f32..300.0))
            .prop_map(|(fixes, every_ms, heading, turn, metres, repeats, speed)| {
                Spell::Go { fixes, every_ms, heading, turn, metres, repeats, speed }
            }),
        1 => (0.0..360.0, 0.0..20_000.0).prop_map(|(heading, metres)| Spell::Leap { heading, metres }),
        2 => (1_usize..5, every_ms(), 50.0..30_000.0)
            .prop_map(|(fixes, every_ms, metres)| Spell::Stray { fixes, every_ms, metres }),
        1 => (1_000_i64..2_000_000).prop_map(|ms| Spell::Silence { ms }),
    ]
}

/// The fixes of spells one after another. Directions of noise follow from the number of the fix.
fn lived(start: Point, spells: &[Spell]) -> Vec<TripFix> {
    let (mut at, mut time_ms, mut fixes) = (start, MORNING, Vec::new());
    for spell in spells {
        let mut say = |time_ms: i64, at: Point, speed_kmh: Option<f32>| {
            fixes.push(TripFix { time_ms, at: PointE7::from(at), speed_kmh });
        };
        match *spell {
            Spell::Stand { fixes, every_ms, noise_m } => {
                for number in 0..fixes {
                    time_ms += every_ms;
                    let off = noise_m * (number * 7 % 11) as f64 / 10.0;
                    say(time_ms, destination(at, (number * 131 % 360) as f64, off), None);
                }
            }
            Spell::Go { fixes, every_ms, heading, turn, metres, repeats, speed } => {
                for number in 1..=fixes {
                    time_ms += every_ms;
                    if number % repeats == 0 {
                        let heading = (heading + turn * number as f64).rem_euclid(360.0);
                        at = destination(at, heading, metres * repeats as f64);
                    }
                    say(time_ms, at, speed);
                }
            }
            Spell::Leap { heading, metres } => at = destination(at, heading, metres),
            Spell::Stray { fixes, every_ms, metres } => {
                for number in 0..fixes {
                    time_ms += every_ms;
                    say(time_ms, destination(at, 45.0, metres + number as f64), None);
                }
            }
            Spell::Silence { ms } => time_ms += ms,
        }
    }
    fixes
}

fn history() -> impl Strategy<Value = Vec<TripFix>> {
    let start = prop::sample::select(vec![(41.15, -8.61), (0.0, 0.0), (-16.8, 179.999), (69.6, 18.9)]);
    (start, prop::collection::vec(spell(), 0..14)).prop_map(|((lat, lon), spells)| lived(Point::new(lat, lon), &spells))
}

fn rules() -> impl Strategy<Value = TripRules> {
    let any = (10.0..300.0, 10_u32..600, 20_u32..1_200, 0.0..20.0, 10.0..300.0).prop_map(
        |(radius, stop, gap, trip, speed)| {
            let rules = TripRules {
                stop_radius_m: radius,
                min_stop_s: stop,
                max_gap_s: gap,
                min_trip_m: radius * trip,
                max_speed_kmh: speed,
            };
            rules.check().unwrap()
        },
    );
    prop_oneof![Just(TripRules::default()), any]
}

/// A part of the time of a history, in thousandths of it, which may begin before or end after it.
fn part() -> impl Strategy<Value = (i64, i64)> {
    (-100_i64..1_100, -100_i64..1_100).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn window(fixes: &[TripFix], (start, end): (i64, i64)) -> RangeInclusive<i64> {
    let (Some(first), Some(last)) = (fixes.first(), fixes.last()) else { return MORNING..=MORNING };
    let moment = |share: i64| first.time_ms + (last.time_ms - first.time_ms) / 1_000 * share;
    moment(start)..=moment(end)
}

fn read(fixes: &[TripFix], time: &RangeInclusive<i64>) -> Vec<TripFix> {
    fixes.iter().copied().filter(|fix| time.contains(&fix.time_ms)).collect()
}

fn of_window(fixes: &[TripFix], rules: TripRules, window: &RangeInclusive<i64>) -> Segments {
    segment(read(fixes, &rules.reading_range(window)), rules, window.clone())
}

/// A history made long by much the same on both sides, so that a window's surroundings are really cut off.
fn long(fixes: &[TripFix]) -> Vec<TripFix> {
    let span = fixes.last().map_or(0, |last| last.time_ms - fixes[0].time_ms);
    let copy =
        |number: i64| fixes.iter().map(move |fix| TripFix { time_ms: fix.time_ms + number * (span + 5_000), ..*fix });
    (0..6).flat_map(copy).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn trips_and_stops_are_what_the_definition_says(fixes in history(), rules in rules(), part in part()) {
        let everything = i64::MIN..=i64::MAX;
        prop_assert_eq!(segment(fixes.iter().copied(), rules, everything.clone()), twin::segment(&fixes, &rules, &everything));
        let window = window(&fixes, part);
        prop_assert_eq!(segment(fixes.iter().copied(), rules, window.clone()), twin::segment(&fixes, &rules, &window));
    }

    #[test]
    fn a_window_read_alone_equals_the_whole_cut_to_it(fixes in history(), rules in rules(), part in part()) {
        let fixes = long(&fixes);
        let window = window(&fixes, part);
        let whole = segment(fixes.iter().copied(), rules, window.clone());
        prop_assert_eq!(of_window(&fixes, rules, &window), whole);
    }

    #[test]
    fn windows_one_after_another_add_up_to_the_whole(fixes in history(), rules in rules(), count in 2_i64..9) {
        let mut fixes = fixes;
        // A leg that takes no time would be in both windows that it lies between.
        fixes.dedup_by_key(|fix| fix.time_ms);
        let all = window(&fixes, (-10, 1_010));
        let end = |number: i64| all.start() + (all.end() - all.start()) * number / count;
        let parts: Vec<Segments> = (1..=count).map(|n| of_window(&fixes, rules, &(end(n - 1)..=end(n)))).collect();
        let whole = segment(fixes.iter().copied(), rules, all.clone());
        let metres = |found: &Segments| found.trips.iter().map(|trip| trip.distance_m).sum::<f64>();
        let driven_ms = |found: &Segments| found.trips.iter().map(|trip| trip.duration_ms()).sum::<i64>();
        let stood_ms = |found: &Segments| found.stops.iter().map(|stop| stop.duration_ms()).sum::<i64>();
        prop_assert!((parts.iter().map(metres).sum::<f64>() - metres(&whole)).abs() < 0.01);
        prop_assert_eq!(parts.iter().map(driven_ms).sum::<i64>(), driven_ms(&whole));
        prop_assert_eq!(parts.iter().map(stood_ms).sum::<i64>(), stood_ms(&whole));
    }
}
