//! The definition, word by word: every fix against every other that has a say, with whole lists in memory.

use drover_geo::PointE7;
use drover_history::trips::{Segments, Stop, Trip, TripFix, TripRules};
use std::ops::RangeInclusive;

const TURN: i64 = 3_600_000_000;

/// A fix, and since when it was there.
type Seen = (TripFix, i64);

/// What the definition says of all these fixes, cut to a window.
pub fn segment(fixes: &[TripFix], rules: &TripRules, window: &RangeInclusive<i64>) -> Segments {
    let seen: Vec<Seen> = (0..fixes.len()).map(|at| (fixes[at], since(fixes, at))).collect();
    let kept: Vec<Seen> = (0..seen.len()).filter(|at| is_believed(&seen, *at, rules)).map(|at| seen[at]).collect();
    let breaks: Vec<bool> = kept.windows(2).map(|pair| is_break(&pair[0], &pair[1], rules)).collect();
    let legs: Vec<Option<bool>> = (0..breaks.len()).map(|from| leg(&kept, &breaks, from, rules)).collect();
    let mut found = Segments::default();
    let mut start = 0;
    for end in 1..=legs.len() {
        if end == legs.len() || legs[end] != legs[start] {
            match legs[start] {
                Some(true) => found.stops.extend(stop(&kept[start..=end], window)),
                Some(false) => found.trips.extend(trip(&kept[start..=end], rules, window)),
                None => {}
            }
            start = end;
        }
    }
    found
}

fn since(fixes: &[TripFix], at: usize) -> i64 {
    let repeats = fixes[..=at].iter().rev().take_while(|fix| fix.at == fixes[at].at);
    repeats.last().expect("the fix itself").time_ms.max(fixes[at].time_ms - 60_000)
}

fn is_gap(from: &Seen, to: &Seen, rules: &TripRules) -> bool {
    to.0.time_ms - from.0.time_ms > i64::from(rules.max_gap_s) * 1_000
}

fn is_near(from: &Seen, to: &Seen, rules: &TripRules) -> bool {
    let seconds = (to.0.time_ms - from.1) as f64 / 1_000.0;
    from.0.at.distance_m(to.0.at) <= rules.stop_radius_m + rules.max_speed_kmh / 3.6 * seconds
}

fn is_believed(seen: &[Seen], at: usize, rules: &TripRules) -> bool {
    let joined = |low: usize, high: usize| (low..high).all(|from| !is_gap(&seen[from], &seen[from + 1], rules));
    let before = (at.saturating_sub(3)..at).filter(|other| joined(*other, at));
    let after = (at + 1..seen.len().min(at + 4)).filter(|other| joined(at, *other));
    let votes: Vec<bool> = before
        .map(|other| is_near(&seen[other], &seen[at], rules))
        .chain(after.map(|other| is_near(&seen[at], &seen[other], rules)))
        .collect();
    let against = votes.iter().filter(|is_near| !**is_near).count();
    votes.is_empty() || 2 * against < votes.len()
}

fn is_break(from: &Seen, to: &Seen, rules: &TripRules) -> bool {
    is_gap(from, to, rules) || !is_near(from, to, rules)
}

/// Whether the leg from a fix stands; `None` for a break.
fn leg(kept: &[Seen], breaks: &[bool], from: usize, rules: &TripRules) -> Option<bool> {
    let is_whole = |begin: usize, end: usize| !breaks[begin..end].contains(&true);
    let stands = |begin: usize| {
        let late = kept[begin].0.time_ms + i64::from(rules.min_stop_s) * 1_000;
        let end = (begin..kept.len()).find(|end| kept[*end].0.time_ms >= late);
        end.is_some_and(|end| end > from && is_whole(begin, end) && stand(&kept[begin..=end], rules))
    };
    (!breaks[from]).then(|| (0..=from).any(stands))
}

fn stand(kept: &[Seen], rules: &TripRules) -> bool {
    let middle = mean(&kept.iter().map(|seen| (seen.0.time_ms, seen.0.at)).collect::<Vec<_>>());
    let metres = |seen: &Seen| middle.distance_m(seen.0.at);
    let (first, last) = (&kept[0], &kept[kept.len() - 1]);
    let rim = rules.stop_radius_m / 2.0;
    kept.iter().all(|seen| metres(seen) <= rules.stop_radius_m) && metres(first) <= rim && metres(last) <= rim
}

fn wrapped(steps: i64) -> i64 {
    (steps + TURN / 2).rem_euclid(TURN) - TURN / 2
}

/// The mean place by time.
fn mean(way: &[(i64, PointE7)]) -> PointE7 {
    let first = way[0].1;
    let (mut east, mut sum, mut ms) = (0, (0_i128, 0_i128), 0_i128);
    for pair in way.windows(2) {
        let ((from_ms, from), (to_ms, to)) = (pair[0], pair[1]);
        let passed = i128::from(to_ms - from_ms);
        let further = wrapped(i64::from(to.lon) - i64::from(from.lon));
        sum.0 += i128::from(i64::from(from.lat) + i64::from(to.lat)) * passed;
        sum.1 += i128::from(2 * east + further) * passed;
        (east, ms) = (east + further, ms + 2 * passed);
    }
    let lon = i64::from(first.lon) + sum.1.div_euclid(ms) as i64;
    PointE7 { lat: sum.0.div_euclid(ms) as i32, lon: wrapped(lon) as i32 }
}

/// What of a way is within the window: the moments and places that bound it and the fixes between, and its length.
fn cut(kept: &[Seen], window: &RangeInclusive<i64>) -> Option<(Vec<(i64, PointE7)>, f64)> {
    let (mut way, mut metres) = (Vec::new(), 0.0);
    for pair in kept.windows(2) {
        let (from, to) = (pair[0].0, pair[1].0);
        let start = from.time_ms.max(*window.start());
        let end = to.time_ms.min(*window.end());
        let passed = to.time_ms - from.time_ms;
        if start > end || (start == end && passed > 0) {
            continue;
        }
        let place = |ms: i64| {
            let share = (ms - from.time_ms) as f64 / passed as f64;
            let part = |steps: i64| (steps as f64 * share).round() as i64;
            let lat = i64::from(from.at.lat) + part(i64::from(to.at.lat) - i64::from(from.at.lat));
            let lon = i64::from(from.at.lon) + part(wrapped(i64::from(to.at.lon) - i64::from(from.at.lon)));
            PointE7 { lat: lat as i32, lon: wrapped(lon) as i32 }
        };
        if way.is_empty() {
            way.push((start, if start == from.time_ms { from.at } else { place(start) }));
        }
        way.push((end, if end == to.time_ms { to.at } else { place(end) }));
        let share = if passed == 0 { 1.0 } else { (end - start) as f64 / passed as f64 };
        metres += from.at.distance_m(to.at) * share;
    }
    (way.last()?.0 > way[0].0).then_some((way, metres))
}

fn stop(kept: &[Seen], window: &RangeInclusive<i64>) -> Option<Stop> {
    let (way, _) = cut(kept, window)?;
    Some(Stop {
        start_ms: way[0].0,
        end_ms: way[way.len() - 1].0,
        at: mean(&way),
        points: points(kept, window),
        open_start: kept[0].0.time_ms < *window.start(),
        open_end: kept[kept.len() - 1].0.time_ms > *window.end(),
    })
}

fn trip(kept: &[Seen], rules: &TripRules, window: &RangeInclusive<i64>) -> Option<Trip> {
    let whole: f64 = kept.windows(2).map(|pair| pair[0].0.at.distance_m(pair[1].0.at)).fold(0.0, |sum, m| sum + m);
    let (way, distance_m) = cut(kept, window).filter(|_| whole >= rules.min_trip_m)?;
    Some(Trip {
        start_ms: way[0].0,
        end_ms: way[way.len() - 1].0,
        start: way[0].1,
        end: way[way.len() - 1].1,
        distance_m,
        max_speed_kmh: max_speed(kept, rules, window),
        points: points(kept, window),
        open_start: kept[0].0.time_ms < *window.start(),
        open_end: kept[kept.len() - 1].0.time_ms > *window.end(),
    })
}

fn points(kept: &[Seen], window: &RangeInclusive<i64>) -> u64 {
    kept.iter().filter(|seen| window.contains(&seen.0.time_ms)).count() as u64
}

fn max_speed(kept: &[Seen], rules: &TripRules, window: &RangeInclusive<i64>) -> Option<f64> {
    let speeds = (0..kept.len()).filter(|at| window.contains(&kept[*at].0.time_ms)).filter_map(|at| {
        let by_leg = || {
            let from = kept.get(at.checked_sub(1)?)?;
            let passed = kept[at].0.time_ms - from.1;
            (passed > 0).then(|| from.0.at.distance_m(kept[at].0.at) / passed as f64 * 3_600.0)
        };
        kept[at].0.speed_kmh.map(f64::from).or_else(by_leg)
    });
    speeds.filter(|speed| *speed <= rules.max_speed_kmh).reduce(f64::max)
}
