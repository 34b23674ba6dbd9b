//! Which days have reports.

use super::file::Wanted;
use super::route::days;
use super::{Footers, ReadError};
use crate::View;
use drover_model::Kind;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

const DAY_MS: i64 = 86_400_000;

/// A day with reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoveredDay {
    /// Days since 1970-01-01 UTC.
    pub day: i64,
    /// Reports whose event time lies in it.
    pub reports: u64,
    /// First event time, ms UTC.
    pub first: i64,
    /// Last event time, ms UTC.
    pub last: i64,
}

impl CoveredDay {
    fn add(&mut self, reports: u64, first: i64, last: i64) {
        self.reports += reports;
        self.first = self.first.min(first);
        self.last = self.last.max(last);
    }
}

fn add(days: &mut BTreeMap<i64, CoveredDay>, day: i64, reports: u64, first: i64, last: i64) {
    days.entry(day).or_insert(CoveredDay { day, reports: 0, first, last }).add(reports, first, last);
}

/// Days of all assets together, whole days only, oldest first. Reads no file: the catalogue knows.
pub fn coverage(view: &View, event_time: RangeInclusive<i64>) -> Vec<CoveredDay> {
    let wanted = event_time.start().div_euclid(DAY_MS)..=event_time.end().div_euclid(DAY_MS);
    let mut days = BTreeMap::new();
    for file in view.files.iter().filter(|file| wanted.contains(&i64::from(file.day))) {
        add(&mut days, file.day.into(), file.rows, *file.event_time.start(), *file.event_time.end());
    }
    view.tail.each(&mut |_, report| {
        let day = report.event_time.div_euclid(DAY_MS);
        if wanted.contains(&day) {
            add(&mut days, day, 1, report.event_time, report.event_time);
        }
    });
    days.into_values().collect()
}

/// Days of one asset, oldest first, counting what lies within the event times.
pub fn coverage_of(
    view: &View,
    footers: &Footers,
    kind: Kind,
    id: &str,
    event_time: RangeInclusive<i64>,
) -> Result<Vec<CoveredDay>, ReadError> {
    let wanted = Wanted { kind, id, event_time };
    let mut covered = BTreeMap::new();
    for (day, source) in days(view, &wanted) {
        let fixes = source.read(view, footers, &wanted)?;
        if let (Some(first), Some(last)) = (fixes.first(), fixes.last()) {
            add(&mut covered, day, fixes.len() as u64, first.event_time, last.event_time);
        }
    }
    Ok(covered.into_values().collect())
}
