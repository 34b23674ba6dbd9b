//! Leaves out fixes that their neighbours contradict: a satellite reflected by a house front, a cell tower in the next
//! town. Looking at few neighbours on both sides, unlike comparing with the last fix believed, does not depend on where
//! reading began and cannot go on refusing the truth.

use super::{TripFix, TripRules};
use std::collections::VecDeque;

/// Fixes on each side that have a vote.
pub(super) const NEIGHBOURS: usize = 3;
/// A place that is said again may be this old. Seen: up to 35 s, at 1 report/s from a car that drove 77 km/h.
pub(super) const STALE_MAX_MS: i64 = 60_000;

/// A fix, and since when the asset may have been there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    pub(super) fix: TripFix,
    /// When this very place was said first, ms UTC; at most [`STALE_MAX_MS`] before the fix.
    pub(super) since_ms: i64,
}

impl Sighting {
    fn after(last: Option<&Sighting>, fix: TripFix) -> Sighting {
        let repeated = last.filter(|last| last.fix.at == fix.at && last.fix.time_ms <= fix.time_ms);
        let oldest = fix.time_ms.saturating_sub(STALE_MAX_MS);
        Sighting { fix, since_ms: repeated.map_or(fix.time_ms, |last| last.since_ms.max(oldest)) }
    }
}

#[derive(Debug)]
pub(super) struct Outliers {
    rules: TripRules,
    /// The fix to judge next, with its neighbours.
    near: VecDeque<Sighting>,
    /// Its place there.
    next: usize,
}

impl Outliers {
    pub(super) fn new(rules: TripRules) -> Outliers {
        Outliers { rules, near: VecDeque::with_capacity(2 * NEIGHBOURS + 1), next: 0 }
    }

    /// Takes a fix, and gives the one that now has all its neighbours, unless it is an outlier.
    pub(super) fn push(&mut self, fix: TripFix) -> Option<Sighting> {
        self.near.push_back(Sighting::after(self.near.back(), fix));
        if self.near.len() > self.next + NEIGHBOURS { self.judge() } else { None }
    }

    /// The next of those that still wait when no more fixes come; `Some(None)` is an outlier.
    pub(super) fn last(&mut self) -> Option<Option<Sighting>> {
        (self.next < self.near.len()).then(|| self.judge())
    }

    fn judge(&mut self) -> Option<Sighting> {
        let sighting = self.near[self.next];
        let (mut votes, mut against) = (0, 0);
        for is_near in self.before().chain(self.after()) {
            votes += 1;
            against += usize::from(!is_near);
        }
        if self.next == NEIGHBOURS {
            self.near.pop_front();
        } else {
            self.next += 1;
        }
        (votes == 0 || 2 * against < votes).then_some(sighting)
    }

    fn before(&self) -> impl Iterator<Item = bool> {
        let joined = (0..self.next).rev().take_while(|at| !self.rules.is_gap(&self.near[*at], &self.near[*at + 1]));
        joined.map(|at| self.rules.is_near(&self.near[at], &self.near[self.next]))
    }

    fn after(&self) -> impl Iterator<Item = bool> {
        let all = self.next + 1..self.near.len();
        let joined = all.take_while(|at| !self.rules.is_gap(&self.near[*at - 1], &self.near[*at]));
        joined.map(|at| self.rules.is_near(&self.near[self.next], &self.near[at]))
    }
}
