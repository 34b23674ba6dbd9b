//! Where an asset was: its fixes over any time, oldest first, each once, from files and tail together.

use super::file::{Wanted, of_asset};
use super::{Fix, Footers, ReadError};
use crate::{LakeFile, View};
use drover_model::{Flags, Kind};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{ControlFlow, RangeInclusive};
use std::str::FromStr;
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

/// A part of a route.
#[derive(Debug, Clone)]
pub struct RouteQuery<'a> {
    /// Whose.
    pub kind: Kind,
    /// Whose.
    pub id: &'a str,
    /// From when to when, ms UTC.
    pub event_time: RangeInclusive<i64>,
    /// Fixes at most, at least 1.
    pub limit: usize,
    /// Go on after this, as the page before gave it.
    pub after: Option<Cursor>,
    /// With the fixes whose place admission flagged as noise.
    pub noise: bool,
}

/// A place in a route: the fix that was given last. As text: `event time-position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    event_time: i64,
    position: u64,
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor; give back next_cursor of the page before as it was")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.event_time, self.position)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Cursor, CursorError> {
        let (time, position) = text.split_once('_').ok_or(CursorError)?;
        let event_time = time.parse().map_err(|_| CursorError)?;
        Ok(Cursor { event_time, position: position.parse().map_err(|_| CursorError)? })
    }
}

/// Fixes of a route, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutePage {
    /// The fixes.
    pub fixes: Vec<Fix>,
    /// Where the next page goes on; none at the end.
    pub next: Option<Cursor>,
}

/// One page of a route.
pub fn route(view: &View, footers: &Footers, query: &RouteQuery<'_>) -> Result<RoutePage, ReadError> {
    let limit = query.limit.max(1);
    let start =
        query.after.map_or(*query.event_time.start(), |cursor| cursor.event_time.max(*query.event_time.start()));
    let mut fixes = Vec::new();
    each_fix(view, footers, query.kind, query.id, start..=*query.event_time.end(), &mut |fix| {
        let wanted = query.noise || !fix.flags.has(Flags::NOISE);
        if wanted && query.after.is_none_or(|after| (after.event_time, after.position) < fix.key()) {
            fixes.push(fix);
        }
        // One more than asked for tells that there is a next page.
        if fixes.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let more = fixes.len() > limit;
    fixes.truncate(limit);
    let last = fixes.last().map(|fix| Cursor { event_time: fix.event_time, position: fix.position });
    Ok(RoutePage { fixes, next: last.filter(|_| more) })
}

/// Calls `f` with every fix of an asset within the event times, oldest first, until it breaks. Holds one day of the
/// asset's fixes in memory.
pub fn each_fix(
    view: &View,
    footers: &Footers,
    kind: Kind,
    id: &str,
    event_time: RangeInclusive<i64>,
    f: &mut dyn FnMut(Fix) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let wanted = Wanted { kind, id, event_time };
    for (_, day) in days(view, &wanted) {
        for fix in day.read(view, footers, &wanted)? {
            if f(fix).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What may hold an asset's fixes of one day.
#[derive(Debug, Default)]
pub(super) struct Day {
    files: Vec<Arc<LakeFile>>,
    tail: Vec<Fix>,
}

/// The days that may hold something, by their number.
pub(super) fn days(view: &View, wanted: &Wanted<'_>) -> BTreeMap<i64, Day> {
    let mut days: BTreeMap<i64, Day> = BTreeMap::new();
    for file in view.files.iter().filter(|file| file.may_hold(wanted.kind, wanted.id, &wanted.event_time)) {
        days.entry(i64::from(file.day)).or_default().files.push(file.clone());
    }
    view.tail.of_asset(wanted.kind, wanted.id, wanted.event_time.clone(), &mut |position, report| {
        let fix = Fix::of_report(position, &report);
        days.entry(fix.event_time.div_euclid(DAY_MS)).or_default().tail.push(fix);
    });
    days
}

impl Day {
    /// The day's fixes, oldest first.
    pub(super) fn read(self, view: &View, footers: &Footers, wanted: &Wanted<'_>) -> Result<Vec<Fix>, ReadError> {
        let is_sorted = self.files.len() == 1 && self.tail.is_empty();
        let mut fixes = self.tail;
        for file in &self.files {
            of_asset(view, footers, file, wanted, &mut fixes)?;
        }
        if !is_sorted {
            fixes.sort_unstable_by_key(Fix::key);
        }
        Ok(fixes)
    }
}
