//! Trips and stops of one asset, from its fixes in order of event time. Pure: nothing is read or kept here, and what an
//! asset is and where its fixes come from is for the caller.
//!
//! # Definition
//! Settings are in [`TripRules`]. A fix is *near* a later one when `max_speed_kmh` takes it there, with `stop_radius_m`
//! of allowance. Some devices report more often than they look, and repeat a place to the last digit until they jump to
//! the next: the way counts from the first of such repeats, up to a minute before.
//! 1. **Outliers** are left out: a fix that is not near at least half of its neighbours, up to three before and three
//!    after it, as far as no two of them in a row are more than `max_gap_s` apart.
//! 2. A **leg** goes from one of the other fixes to the next. It is a **break**, and belongs to nothing, if it takes
//!    longer than `max_gap_s` or if its ends are not near.
//! 3. Fixes without a break, from any fix to the first one at least `min_stop_s` later, **stand** if all are within
//!    `stop_radius_m` of their mean place (by time), and the first and the last within half of that: so somebody who
//!    arrives or leaves does not stand yet, or any more. All legs between standing fixes stand, the others move.
//! 4. A **stop** is a run of standing legs that is as long as can be. A **trip** is such a run of moving legs, if they
//!    add up to `min_trip_m`; a shorter run is neither. Breaks end both.
//! 5. Asked for a **window** of time, the answer is what the whole history has, cut at the window's ends. What goes on
//!    beyond is marked `open_start` or `open_end`; the place and distance at a cut come from its share of the leg.
//!
//! Each of these looks only so far around, never at where reading began. Whoever reads [`TripRules::margin_ms`] more
//! on both sides of a window gets the same as from a year, to the last bit. Times of day do not matter either.

mod items;
mod legs;
mod outliers;
mod places;
mod rules;
mod segments;

pub use rules::{TripRules, TripRulesError};
pub use segments::{Segments, Stop, Trip};

use drover_geo::PointE7;
use items::Items;
use legs::Legs;
use outliers::{Outliers, Sighting};
use std::ops::RangeInclusive;

/// Where an asset was, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripFix {
    /// Event time, ms UTC.
    pub time_ms: i64,
    /// Where.
    pub at: PointE7,
    /// Speed over ground that the asset said, km/h. Without it the speed of the leg to here stands in.
    pub speed_kmh: Option<f32>,
}

/// Finds trips and stops in fixes that come one by one. It holds the fixes of about `min_stop_s + max_gap_s` and what
/// it found, however long the history is.
#[derive(Debug)]
pub struct Segmenter {
    outliers: Outliers,
    legs: Legs,
    items: Items,
}

impl Segmenter {
    /// For the trips and stops within a window, ms UTC. The rules have passed [`TripRules::check`].
    #[must_use]
    pub fn new(rules: TripRules, window: RangeInclusive<i64>) -> Segmenter {
        Segmenter { outliers: Outliers::new(rules), legs: Legs::new(rules), items: Items::new(rules, window) }
    }

    /// Takes the next fix: those of the window and of [`TripRules::margin_ms`] around it, in order of event time. A
    /// step back in time is a break.
    pub fn push(&mut self, fix: TripFix) {
        if let Some(sighting) = self.outliers.push(fix) {
            self.take(sighting);
        }
    }

    /// What was found, after the last fix.
    #[must_use]
    pub fn finish(mut self) -> Segments {
        while let Some(judged) = self.outliers.last() {
            judged.into_iter().for_each(|sighting| self.take(sighting));
        }
        self.legs.finish(&mut |next| self.items.take(next));
        self.items.finish()
    }

    fn take(&mut self, sighting: Sighting) {
        self.legs.push(sighting, &mut |next| self.items.take(next));
    }
}

/// Trips and stops within a window, of fixes as [`Segmenter::push`] wants them.
#[must_use]
pub fn segment(fixes: impl IntoIterator<Item = TripFix>, rules: TripRules, window: RangeInclusive<i64>) -> Segments {
    let mut segmenter = Segmenter::new(rules, window);
    fixes.into_iter().for_each(|fix| segmenter.push(fix));
    segmenter.finish()
}
