//! From fixes to legs that stand or move. A fix that begins a standing window is sought only where the standing legs
//! known so far end, the latest one first: windows end in the order in which they begin, so that those between need
//! no look. Each fix is looked at once at most, however long a window is.

use super::TripRules;
use super::outliers::Sighting;
use super::places::{PlaceTime, east_of, is_within, moved, north_of};
use std::collections::VecDeque;

/// What comes after a fix.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    /// The way to another one.
    Leg(Leg),
    /// Nothing that anybody knows of.
    Break,
}

/// The way from one fix to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leg {
    pub(super) from: Sighting,
    pub(super) to: Sighting,
    pub(super) stands: bool,
}

#[derive(Debug)]
pub(super) struct Legs {
    rules: TripRules,
    /// Fixes since the last break, as far as they are still needed.
    fixes: VecDeque<Placed>,
    /// Number of the first of these since the break. All numbers below count from the break too.
    first: usize,
    /// The fix whose leg is given next.
    next: usize,
    /// The first fix of which it is open whether it begins a standing window that ends later than those known.
    unjudged: usize,
    /// The last fix of the standing windows known.
    stands_to: usize,
}

/// A fix with its steps from the first one after the break, and the places until it.
#[derive(Debug, Clone, Copy)]
struct Placed {
    seen: Sighting,
    steps: (i64, i64),
    until: PlaceTime,
}

impl Placed {
    fn after(last: &Placed, seen: Sighting) -> Placed {
        let (from, to) = (last.seen.fix, seen.fix);
        let steps = (last.steps.0 + north_of(from.at, to.at), last.steps.1 + east_of(from.at, to.at));
        Placed { seen, steps, until: last.until.plus(last.steps, steps, to.time_ms - from.time_ms) }
    }
}

impl Legs {
    pub(super) fn new(rules: TripRules) -> Legs {
        Legs { rules, fixes: VecDeque::new(), first: 0, next: 0, unjudged: 0, stands_to: 0 }
    }

    /// Takes the next fix, and gives what is known now.
    pub(super) fn push(&mut self, seen: Sighting, give: &mut impl FnMut(Next)) {
        if self.fixes.back().is_some_and(|last| self.rules.is_break(&last.seen, &seen)) {
            self.finish(give);
        }
        let first = Placed { seen, steps: (0, 0), until: PlaceTime::default() };
        let placed = self.fixes.back().map_or(first, |last| Placed::after(last, seen));
        self.fixes.push_back(placed);
        while self.end(self.next).is_some() {
            self.give_next(give);
        }
    }

    /// Gives what is left. No fix after this is joined to those before.
    pub(super) fn finish(&mut self, give: &mut impl FnMut(Next)) {
        while self.next + 1 < self.count() {
            self.give_next(give);
        }
        give(Next::Break);
        *self = Legs::new(self.rules);
    }

    fn give_next(&mut self, give: &mut impl FnMut(Next)) {
        let stands = self.next < self.stands_to || self.extend();
        let leg = Leg { from: self.placed(self.next).seen, to: self.placed(self.next + 1).seen, stands };
        self.next += 1;
        let needed = self.unjudged.min(self.next);
        self.fixes.drain(..needed - self.first);
        self.first = needed;
        give(Next::Leg(leg));
    }

    /// Seeks a standing window with the next leg in it, when those known end before.
    fn extend(&mut self) -> bool {
        let found = (self.unjudged..=self.next).rev().find_map(|begin| {
            let end = self.end(begin).filter(|end| *end > self.next && self.stand(begin, *end))?;
            Some((begin, end))
        });
        let (begin, end) = found.unwrap_or((self.next, self.stands_to));
        (self.unjudged, self.stands_to) = (begin + 1, end);
        found.is_some()
    }

    /// Fixes since the break.
    fn count(&self) -> usize {
        self.first + self.fixes.len()
    }

    fn placed(&self, number: usize) -> &Placed {
        &self.fixes[number - self.first]
    }

    /// The first fix late enough to end a window from this one; `None` while there is none.
    fn end(&self, begin: usize) -> Option<usize> {
        let begin = self.fixes.get(begin.checked_sub(self.first)?)?;
        let late = begin.seen.fix.time_ms.checked_add(self.rules.min_stop_ms())?;
        let end = self.first + self.fixes.partition_point(|placed| placed.seen.fix.time_ms < late);
        (end < self.count()).then_some(end)
    }

    /// Whether the fixes from one to another stand.
    fn stand(&self, begin: usize, end: usize) -> bool {
        let (from, to) = (self.placed(begin), self.placed(end));
        let rim = self.rules.rim_m();
        // Who is on the way is known by this alone, mostly.
        if !is_within(from.seen.fix.at, to.seen.fix.at, 2.0 * rim) {
            return false;
        }
        let Some((north, east)) = to.until.since(from.until).mean() else { return false };
        let middle = moved(from.seen.fix.at, north - from.steps.0, east - from.steps.1);
        let within = |placed: &Placed, metres: f64| is_within(middle, placed.seen.fix.at, metres);
        within(from, rim)
            && within(to, rim)
            && self.fixes.range(begin - self.first..=end - self.first).all(|p| within(p, self.rules.stop_radius_m))
    }
}
