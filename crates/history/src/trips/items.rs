//! From legs to trips and stops, and the cut at the window's ends.

use super::legs::{Leg, Next};
use super::places::{PlaceTime, between, east_of, moved, north_of};
use super::{Segments, Stop, Trip, TripFix, TripRules};
use drover_geo::PointE7;
use std::ops::RangeInclusive;

#[derive(Debug)]
pub(super) struct Items {
    rules: TripRules,
    window: RangeInclusive<i64>,
    current: Option<Run>,
    found: Segments,
}

impl Items {
    pub(super) fn new(rules: TripRules, window: RangeInclusive<i64>) -> Items {
        Items { rules, window, current: None, found: Segments::default() }
    }

    pub(super) fn take(&mut self, next: Next) {
        let leg = match next {
            Next::Leg(leg) => Some(leg),
            Next::Break => None,
        };
        if self.current.as_ref().map(|run| run.stands) != leg.map(|leg| leg.stands) {
            self.end_run();
        }
        if let Some(leg) = leg {
            let run = self.current.get_or_insert_with(|| Run::from(&leg, &self.window, &self.rules));
            run.add(&leg, &self.window, &self.rules);
        }
    }

    pub(super) fn finish(mut self) -> Segments {
        self.end_run();
        self.found
    }

    fn end_run(&mut self) {
        let Some(run) = self.current.take() else { return };
        if run.stands {
            self.found.stops.extend(run.stop());
        } else if run.whole_m >= self.rules.min_trip_m {
            self.found.trips.extend(run.trip());
        }
    }
}

/// Legs that all stand or all move.
#[derive(Debug)]
struct Run {
    stands: bool,
    /// Distance within the window and beyond.
    whole_m: f64,
    points: u64,
    max_speed_kmh: Option<f64>,
    open_start: bool,
    open_end: bool,
    within: Option<Within>,
}

/// The part of a run within the window.
#[derive(Debug)]
struct Within {
    start: (i64, PointE7),
    end: (i64, PointE7),
    distance_m: f64,
    /// Where the end is, as steps from the start.
    steps: (i64, i64),
    places: PlaceTime,
}

impl Run {
    /// Begins with the fix from which the leg comes; the leg is still to be added.
    fn from(leg: &Leg, window: &RangeInclusive<i64>, rules: &TripRules) -> Run {
        let mut run = Run {
            stands: leg.stands,
            whole_m: 0.0,
            points: 0,
            max_speed_kmh: None,
            open_start: false,
            open_end: false,
            within: None,
        };
        run.see(&leg.from.fix, None, window, rules);
        run
    }

    /// Counts a fix.
    fn see(&mut self, fix: &TripFix, leg_kmh: Option<f64>, window: &RangeInclusive<i64>, rules: &TripRules) {
        if window.contains(&fix.time_ms) {
            let speed = fix.speed_kmh.map(f64::from).or(leg_kmh).filter(|speed| *speed <= rules.max_speed_kmh);
            self.points += 1;
            self.max_speed_kmh = [self.max_speed_kmh, speed].into_iter().flatten().reduce(f64::max);
        }
    }

    fn add(&mut self, leg: &Leg, window: &RangeInclusive<i64>, rules: &TripRules) {
        let (from, to) = (&leg.from.fix, &leg.to.fix);
        let metres = from.at.distance_m(to.at);
        let ms = to.time_ms - leg.from.since_ms;
        self.whole_m += metres;
        self.see(to, (ms > 0).then(|| metres / ms as f64 * 3_600.0), window, rules);
        self.open_start |= from.time_ms < *window.start();
        self.open_end |= to.time_ms > *window.end();
        if let Some(cut) = Cut::of(leg, window) {
            self.within.get_or_insert_with(|| Within::at(cut.start)).add(&cut, metres);
        }
    }

    fn stop(&self) -> Option<Stop> {
        let Within { start, end, places, .. } = self.within.as_ref()?;
        let (north, east) = places.mean()?;
        Some(Stop {
            start_ms: start.0,
            end_ms: end.0,
            at: moved(start.1, north, east),
            points: self.points,
            open_start: self.open_start,
            open_end: self.open_end,
        })
    }

    fn trip(&self) -> Option<Trip> {
        let Within { start, end, distance_m, .. } =
            self.within.as_ref().filter(|within| within.end.0 > within.start.0)?;
        Some(Trip {
            start_ms: start.0,
            end_ms: end.0,
            start: start.1,
            end: end.1,
            distance_m: *distance_m,
            max_speed_kmh: self.max_speed_kmh,
            points: self.points,
            open_start: self.open_start,
            open_end: self.open_end,
        })
    }
}

impl Within {
    fn at(start: (i64, PointE7)) -> Within {
        Within { start, end: start, distance_m: 0.0, steps: (0, 0), places: PlaceTime::default() }
    }

    fn add(&mut self, cut: &Cut, metres: f64) {
        let (north, east) = (north_of(cut.start.1, cut.end.1), east_of(cut.start.1, cut.end.1));
        let steps = (self.steps.0 + north, self.steps.1 + east);
        self.places = self.places.plus(self.steps, steps, cut.end.0 - cut.start.0);
        self.steps = steps;
        self.distance_m += metres * cut.share;
        self.end = cut.end;
    }
}

/// The part of a leg within the window: times and places of its ends, and its share of the leg.
struct Cut {
    start: (i64, PointE7),
    end: (i64, PointE7),
    share: f64,
}

impl Cut {
    /// `None` for a leg outside, also when it only touches the window. A leg that takes no time is in or out.
    fn of(leg: &Leg, window: &RangeInclusive<i64>) -> Option<Cut> {
        let (from_at, to_at) = (leg.from.fix.at, leg.to.fix.at);
        let (from, to) = (leg.from.fix.time_ms, leg.to.fix.time_ms);
        let (start, end) = (from.max(*window.start()), to.min(*window.end()));
        if start > end || (start == end && from != to) {
            return None;
        }
        let ms = (to - from).max(1) as f64;
        let place = |at: i64| match at {
            _ if at == from => from_at,
            _ if at == to => to_at,
            _ => between(from_at, to_at, (at - from) as f64 / ms),
        };
        let share = if from == to { 1.0 } else { (end - start) as f64 / ms };
        // Both ends of a leg without time are at the same moment, so that the moment does not tell the place.
        let end_place = if end == to { to_at } else { place(end) };
        Some(Cut { start: (start, place(start)), end: (end, end_place), share })
    }
}
