//! Austin's buses, with real noise in them, against a judgement that looks ahead.

use crate::traces::{self, BUS_DAYS, Fleet};
use crate::{count, judge};
use drover_geo::{Fix, Noise, PointE7};

fn is_nowhere(fix: &Fix) -> bool {
    fix.at == PointE7 { lat: 0, lon: 0 }
}

/// A way of more than 500 m at more than 200 km/h between two fixes of the file, whatever the filter thinks of them.
fn is_impossible(from: &Fix, to: &Fix) -> bool {
    let (metres, seconds) = (from.at.distance_m(to.at), (to.time_ms - from.time_ms) as f64 / 1_000.0);
    metres > 500.0 && metres / seconds.max(1.0) > 200.0 / 3.6
}

/// Impossible from the fix before and to the fix after, though from that to this there is a way.
fn is_spike(fixes: &[Fix], number: usize) -> bool {
    let Some([before, fix, after]) = number.checked_sub(1).and_then(|start| fixes.get(start..start + 3)) else {
        return false;
    };
    is_impossible(before, fix) && is_impossible(fix, after) && !is_impossible(before, after)
}

/// Within five fixes after an impossible step of the file: the places before and after it cannot both be right.
fn is_after_a_break(fixes: &[Fix], number: usize) -> bool {
    fixes[number.saturating_sub(5)..=number].windows(2).any(|pair| is_impossible(&pair[0], &pair[1]))
}

/// Of one day.
#[derive(Debug, Default)]
struct Found {
    spikes: usize,
    spikes_missed: usize,
    /// Jumps and teleports, and those of them that neighbours on both sides, or an impossible step, bear out.
    far: usize,
    far_borne_out: usize,
}

impl Found {
    fn of(fleet: &Fleet) -> Found {
        let mut found = Found::default();
        for fixes in fleet.values() {
            // Exactly 0, 0 is its own rule; to look ahead past it is to leave it out.
            let places: Vec<Fix> = fixes.iter().filter(|fix| !is_nowhere(fix)).copied().collect();
            for (number, verdict) in judge(&places).into_iter().enumerate() {
                found.add(is_spike(&places, number), is_after_a_break(&places, number), verdict);
            }
        }
        found
    }

    fn add(&mut self, is_spike: bool, is_after_a_break: bool, verdict: Option<Noise>) {
        let is_far = matches!(verdict, Some(Noise::Jump | Noise::Teleport));
        self.spikes += usize::from(is_spike);
        self.spikes_missed += usize::from(is_spike && verdict.is_none());
        self.far += usize::from(is_far);
        self.far_borne_out += usize::from(is_far && (is_spike || is_after_a_break));
    }
}

#[test]
fn what_is_flagged_among_buses_is_really_bad_and_no_spike_is_missed() {
    let (mut spikes, mut far) = (0, 0);
    for day in BUS_DAYS {
        let fleet = traces::austin(day);
        let fixes: usize = fleet.values().map(Vec::len).sum();
        let counts = count(fleet.values().flat_map(|fixes| judge(fixes)));
        let found = Found::of(&fleet);
        println!("{day}: {} buses, {fixes} fixes, {counts:?}; {found:?}", fleet.len());
        assert_eq!(found.spikes_missed, 0, "{day}: {found:?}");
        assert_eq!(found.far, found.far_borne_out, "{day}: {found:?}");
        // Departures after a long stop, at a report every two minutes; most leave, so more of them would be wrong.
        assert!(counts.get("parked_drift").copied().unwrap_or(0) <= 6, "{day}: {counts:?}");
        assert_eq!(counts.get("stuck_clock"), None, "{day}");
        (spikes, far) = (spikes + found.spikes, far + found.far);
    }
    assert!(spikes == 2 && (spikes..=39).contains(&far), "{spikes} spikes, {far} far");
}

#[test]
fn no_fix_is_exactly_the_place_that_does_not_exist() {
    let mut nowhere = 0;
    for day in BUS_DAYS {
        for fixes in traces::austin(day).values() {
            for (fix, verdict) in fixes.iter().zip(judge(fixes)) {
                assert_eq!(is_nowhere(fix), verdict == Some(Noise::NoFix));
                nowhere += usize::from(is_nowhere(fix));
            }
        }
    }
    assert_eq!(nowhere, 58);
}

/// Whether the next good fix is nearer to this one than to the last good one: then this one was right.
fn was_right(places: &[Fix], verdicts: &[Option<Noise>], number: usize) -> bool {
    let before = places[(0..number).rfind(|at| verdicts[*at].is_none()).unwrap()];
    let after = places[(number + 1..places.len()).find(|at| verdicts[*at].is_none()).unwrap()];
    places[number].at.distance_m(after.at) < before.at.distance_m(after.at)
}

/// The price of not looking ahead. The feed had frozen: it said old places with new times, and then went on far away.
#[test]
fn most_jumps_of_buses_are_the_first_right_fixes_after_wrong_ones() {
    let (mut right, mut wrong) = (0, 0);
    for (_, fixes) in BUS_DAYS.into_iter().flat_map(traces::austin) {
        let places: Vec<Fix> = fixes.into_iter().filter(|fix| !is_nowhere(fix)).collect();
        let verdicts = judge(&places);
        for number in (0..places.len()).filter(|at| verdicts[*at] == Some(Noise::Jump)) {
            let tally = if was_right(&places, &verdicts, number) { &mut right } else { &mut wrong };
            *tally += 1;
        }
    }
    assert_eq!((right, wrong), (36, 2));
}
