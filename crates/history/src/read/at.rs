//! The past at one moment: where one asset was, and the whole map.

use super::file::{Wanted, all};
use super::fix::{COLUMNS, Columns};
use super::footers::guarded;
use super::route::days;
use super::{Fix, Footers, ReadError};
use crate::{Key, LakeFile, View};
use drover_model::{Kind, Sight};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// The asset's last fix with a place that is no noise, at or before a moment (ms UTC).
pub fn latest_before(
    view: &View,
    footers: &Footers,
    kind: Kind,
    id: &str,
    at_ms: i64,
) -> Result<Option<Fix>, ReadError> {
    let wanted = Wanted { kind, id, event_time: i64::MIN..=at_ms };
    for (_, day) in days(view, &wanted).into_iter().rev() {
        let fixes = day.read(view, footers, &wanted)?;
        if let Some(last) = fixes.into_iter().rfind(|fix| fix.place().is_some()) {
            return Ok(Some(last));
        }
    }
    Ok(None)
}

/// Which map.
#[derive(Debug, Clone)]
pub struct MapAt {
    /// The moment, ms UTC.
    pub at_ms: i64,
    /// Assets whose last fix is older are left out, ms.
    pub max_age_ms: i64,
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only what the asker may see.
    pub sight: Sight,
    /// Assets at most.
    pub limit: usize,
}

/// Where every asset was at a moment: its last fix with a place, noise aside, at or before it. Also whether the limit left some out.
pub fn map_at(view: &View, footers: &Footers, map: &MapAt) -> Result<(Vec<(Key, Fix)>, bool), ReadError> {
    let time = map.at_ms.saturating_sub(map.max_age_ms)..=map.at_ms;
    let mut newest = Newest { kind: map.kind, sight: map.sight.clone(), fixes: HashMap::new() };
    for file in view.files.iter().filter(|file| overlaps(&file.event_time, &time)) {
        of_file(view, footers, file, &time, &mut newest)?;
    }
    view.tail.each(&mut |position, report| {
        if time.contains(&report.event_time) && report.place().is_some() {
            newest.see(report.kind, &report.id, Fix::of_report(position, &report));
        }
    });
    let mut assets: Vec<_> = newest.fixes.into_iter().collect();
    assets.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let truncated = assets.len() > map.limit;
    assets.truncate(map.limit);
    Ok((assets, truncated))
}

fn overlaps(a: &RangeInclusive<i64>, b: &RangeInclusive<i64>) -> bool {
    a.start() <= b.end() && b.start() <= a.end()
}

struct Newest {
    kind: Option<Kind>,
    sight: Sight,
    fixes: HashMap<Key, Fix>,
}

impl Newest {
    fn see(&mut self, kind: Kind, id: &str, fix: Fix) {
        if self.kind.is_some_and(|wanted| wanted != kind) || !self.sight.sees(kind, id) {
            return;
        }
        let known = self.fixes.entry(Key { kind, id: id.into() }).or_insert_with(|| fix.clone());
        if known.key() < fix.key() {
            *known = fix;
        }
    }
}

/// Looks for the last row of each asset with little decoded, then reads those rows whole.
fn of_file(
    view: &View,
    footers: &Footers,
    file: &LakeFile,
    time: &RangeInclusive<i64>,
    newest: &mut Newest,
) -> Result<(), ReadError> {
    let opened = footers.open(view, file)?;
    guarded(file, || {
        let last = last_rows(all(&opened, &["kind", "id", "event_time", "latitude", "flags"], None)?, time)?;
        for batch in all(&opened, &COLUMNS, Some(selection(&last, file.rows as usize)))? {
            let batch = batch?;
            let columns = Columns::of(&batch);
            for row in 0..batch.num_rows() {
                if let Some(kind) = columns.kind(row) {
                    newest.see(kind, columns.id(row), columns.fix(row));
                }
            }
        }
        Ok(())
    })
}

/// Numbers of the rows that are the last of their asset within the time, ascending: rows are sorted by asset and time.
fn last_rows(
    batches: impl Iterator<Item = Result<arrow::array::RecordBatch, parquet::errors::ParquetError>>,
    time: &RangeInclusive<i64>,
) -> Result<Vec<usize>, parquet::errors::ParquetError> {
    let mut last: Vec<usize> = Vec::new();
    let mut current = (String::new(), String::new());
    let mut has_row = false;
    let mut number = 0;
    for batch in batches {
        let batch = batch?;
        let columns = Columns::of(&batch);
        for row in 0..batch.num_rows() {
            let (kind, id) = (columns.kind_name(row), columns.id(row));
            if current.1 != id || current.0 != kind {
                current = (kind.into(), id.into());
                has_row = false;
            }
            if time.contains(&columns.event_time(row)) && columns.has_place(row) {
                if has_row {
                    last.pop();
                }
                last.push(number);
                has_row = true;
            }
            number += 1;
        }
    }
    Ok(last)
}

fn selection(rows: &[usize], all: usize) -> RowSelection {
    let mut selectors = Vec::with_capacity(2 * rows.len() + 1);
    let mut next = 0;
    for &row in rows {
        selectors.push(RowSelector::skip(row - next));
        selectors.push(RowSelector::select(1));
        next = row + 1;
    }
    selectors.push(RowSelector::skip(all - next));
    RowSelection::from(selectors)
}
