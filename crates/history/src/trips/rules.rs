//! What counts as a stop, a trip and a gap, and how far around a window these depend on fixes.

use super::outliers::{NEIGHBOURS, STALE_MAX_MS, Sighting};
use super::places::is_within;
use std::ops::RangeInclusive;

/// Numbers of the definition in [`super`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripRules {
    /// A stop keeps within so many metres of its middle; 10 to 5,000.
    pub stop_radius_m: f64,
    /// A stop is at least so long, seconds; 10 to 14,400.
    pub min_stop_s: u32,
    /// Without a fix for longer than this, nobody knows; seconds, 10 to 86,400.
    pub max_gap_s: u32,
    /// A trip is at least so long, metres; at most twenty times `stop_radius_m`.
    pub min_trip_m: f64,
    /// Nothing moves faster, km/h; 1 to 2,000.
    pub max_speed_kmh: f64,
}

impl Default for TripRules {
    fn default() -> TripRules {
        TripRules { stop_radius_m: 100.0, min_stop_s: 180, max_gap_s: 900, min_trip_m: 200.0, max_speed_kmh: 250.0 }
    }
}

/// A number out of its range.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{name} must be {least} to {most}")]
pub struct TripRulesError {
    /// Which.
    pub name: &'static str,
    /// The least that is allowed.
    pub least: f64,
    /// The most that is allowed.
    pub most: f64,
}

impl TripRules {
    /// The rules, if every number is in its range. The ranges keep what has to be read around a window bounded.
    pub fn check(self) -> Result<TripRules, TripRulesError> {
        let check = |name, value: f64, least: f64, most: f64| {
            let fits = (least..=most).contains(&value);
            if fits { Ok(()) } else { Err(TripRulesError { name, least, most }) }
        };
        check("stop_radius_m", self.stop_radius_m, 10.0, 5_000.0)?;
        check("min_stop_s", self.min_stop_s.into(), 10.0, 14_400.0)?;
        check("max_gap_s", self.max_gap_s.into(), 10.0, 86_400.0)?;
        check("min_trip_m", self.min_trip_m, 0.0, 20.0 * self.stop_radius_m)?;
        check("max_speed_kmh", self.max_speed_kmh, 1.0, 2_000.0)?;
        Ok(self)
    }

    /// So far before and after a window fixes have a say in what is within it, ms; 2 h 49 min with the defaults.
    ///
    /// Whether a leg stands depends on the fixes within `min_stop_s + max_gap_s` of it. Whether a run of moving legs is
    /// a trip depends on so much of it as makes `min_trip_m`: fixes for that time that do not stand go farther than the
    /// rim. Each fix in turn depends on its neighbours.
    #[must_use]
    pub fn margin_ms(&self) -> i64 {
        let standing_s = i64::from(self.min_stop_s) + i64::from(self.max_gap_s);
        let moving = (self.min_trip_m / self.rim_m()).ceil() as i64 + 1;
        let neighbours_s = (NEIGHBOURS as i64 + 1) * i64::from(self.max_gap_s);
        ((moving + 1) * standing_s + neighbours_s) * 1_000 + STALE_MAX_MS
    }

    /// The event times to read for a window, both ms UTC.
    #[must_use]
    pub fn reading_range(&self, window: &RangeInclusive<i64>) -> RangeInclusive<i64> {
        window.start().saturating_sub(self.margin_ms())..=window.end().saturating_add(self.margin_ms())
    }

    /// So far from the middle those who stand come and go.
    pub(super) fn rim_m(&self) -> f64 {
        self.stop_radius_m / 2.0
    }

    pub(super) fn min_stop_ms(&self) -> i64 {
        i64::from(self.min_stop_s) * 1_000
    }

    /// Whether there is a gap from one fix to the next.
    pub(super) fn is_gap(&self, from: &Sighting, to: &Sighting) -> bool {
        let passed = to.fix.time_ms.saturating_sub(from.fix.time_ms);
        passed < 0 || passed > i64::from(self.max_gap_s) * 1_000
    }

    /// Whether the way from one fix to a later one can be gone in the time between them.
    pub(super) fn is_near(&self, from: &Sighting, to: &Sighting) -> bool {
        let seconds = to.fix.time_ms.abs_diff(from.since_ms) as f64 / 1_000.0;
        is_within(from.fix.at, to.fix.at, self.stop_radius_m + self.max_speed_kmh / 3.6 * seconds)
    }

    pub(super) fn is_break(&self, from: &Sighting, to: &Sighting) -> bool {
        self.is_gap(from, to) || !self.is_near(from, to)
    }
}
