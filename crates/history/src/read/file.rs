//! The rows of one asset in one file: row groups and pages that may hold it, then a binary search in what was decoded.

use super::fix::{COLUMNS, Columns, Fix};
use super::footers::{Opened, guarded};
use super::{Footers, ReadError};
use crate::{LakeFile, View};
use arrow::array::RecordBatch;
use drover_model::Kind;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use std::ops::{Range, RangeInclusive};

/// Rows decoded at once.
const BATCH_ROWS: usize = 8_192;

/// Whose rows, and when.
#[derive(Debug, Clone)]
pub(super) struct Wanted<'a> {
    pub(super) kind: Kind,
    pub(super) id: &'a str,
    /// ms UTC.
    pub(super) event_time: RangeInclusive<i64>,
}

/// Adds the asset's rows of this file to `fixes`, in the file's order: event time, then position.
pub(super) fn of_asset(
    view: &View,
    footers: &Footers,
    file: &LakeFile,
    wanted: &Wanted<'_>,
    fixes: &mut Vec<Fix>,
) -> Result<(), ReadError> {
    let opened = footers.open(view, file)?;
    let before = fixes.len();
    let read = guarded(file, || {
        for batch in batches(&opened, wanted, &COLUMNS)? {
            let batch = batch?;
            let columns = Columns::of(&batch);
            fixes.extend(rows(&batch, &columns, wanted).map(|row| columns.fix(row)));
        }
        Ok(())
    });
    if read.is_err() {
        fixes.truncate(before);
    }
    read
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ParquetError>>>;

fn batches(opened: &Opened, wanted: &Wanted<'_>, columns: &[&str]) -> Result<Batches, ParquetError> {
    let metadata = opened.metadata.metadata();
    let (mut groups, mut selectors) = (Vec::new(), Vec::new());
    for group in 0..metadata.num_row_groups() {
        if let Some(rows) = candidates(metadata, group, wanted) {
            let all = metadata.row_group(group).num_rows() as usize;
            groups.push(group);
            selectors.extend([
                RowSelector::skip(rows.start),
                RowSelector::select(rows.len()),
                RowSelector::skip(all - rows.end),
            ]);
        }
    }
    if groups.is_empty() {
        return Ok(Box::new(std::iter::empty()));
    }
    let mask = ProjectionMask::columns(metadata.file_metadata().schema_descr(), columns.iter().copied());
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(opened.reader.clone(), opened.metadata.clone())
        .with_projection(mask)
        .with_row_groups(groups)
        .with_row_selection(RowSelection::from(selectors))
        .with_batch_size(BATCH_ROWS)
        .build()?;
    Ok(Box::new(reader.map(|batch| batch.map_err(|error| ParquetError::ArrowError(error.to_string())))))
}

/// The rows of the group from its first to its last page that may hold what is wanted; none, if no page may. Rows are
/// sorted by kind, then id, so what lies between two such pages may hold it too.
fn candidates(metadata: &ParquetMetaData, group: usize, wanted: &Wanted<'_>) -> Option<Range<usize>> {
    let columns = metadata.row_group(group);
    let place = |name: &str| columns.columns().iter().position(|column| column.column_path().string() == name);
    let (kind, id, time) = (place("kind")?, place("id")?, place("event_time")?);
    let outside = |at: usize, word: &[u8]| match columns.column(at).statistics() {
        Some(Statistics::ByteArray(bounds)) => {
            bounds.min_bytes_opt().is_some_and(|min| min > word) || bounds.max_bytes_opt().is_some_and(|max| max < word)
        }
        _ => false,
    };
    if outside(kind, wanted.kind.name().as_bytes()) || outside(id, wanted.id.as_bytes()) {
        return None;
    }
    if let Some(Statistics::Int64(bounds)) = columns.column(time).statistics()
        && (bounds.min_opt().is_some_and(|min| min > wanted.event_time.end())
            || bounds.max_opt().is_some_and(|max| max < wanted.event_time.start()))
    {
        return None;
    }
    let all = 0..columns.num_rows() as usize;
    let (Some(bounds), Some(offsets)) = (metadata.column_index(), metadata.offset_index()) else { return Some(all) };
    let words = [(kind, wanted.kind.name()), (id, wanted.id)];
    let mut rows = all;
    for (column, word) in words {
        let pages = offsets[group][column].page_locations();
        let may = |page: usize| may_hold_word(&bounds[group][column], page, word.as_bytes());
        rows = narrowed(rows, pages.iter().map(|page| page.first_row_index as usize), may)?;
    }
    // Within one asset rows are sorted by time, so that pages of the asset can be told apart by it.
    let pages = offsets[group][time].page_locations();
    let may = |page: usize| may_hold_time(&bounds[group][time], page, &wanted.event_time);
    narrowed(rows, pages.iter().map(|page| page.first_row_index as usize), may)
}

/// Cuts `rows` to those from the first to the last page that may hold something.
fn narrowed(
    rows: Range<usize>,
    starts: impl Iterator<Item = usize>,
    may: impl Fn(usize) -> bool,
) -> Option<Range<usize>> {
    let starts: Vec<usize> = starts.collect();
    let end_of = |page: usize| starts.get(page + 1).copied().unwrap_or(usize::MAX);
    let holds = |page: &usize| starts[*page] < rows.end && end_of(*page) > rows.start && may(*page);
    let first = (0..starts.len()).find(holds)?;
    let last = (0..starts.len()).rev().find(holds)?;
    Some(rows.start.max(starts[first])..rows.end.min(end_of(last)))
}

fn may_hold_word(index: &ColumnIndexMetaData, page: usize, word: &[u8]) -> bool {
    match index {
        ColumnIndexMetaData::BYTE_ARRAY(bounds) => {
            bounds.min_value(page).is_none_or(|min| min <= word) && bounds.max_value(page).is_none_or(|max| max >= word)
        }
        _ => true,
    }
}

fn may_hold_time(index: &ColumnIndexMetaData, page: usize, time: &RangeInclusive<i64>) -> bool {
    match index {
        ColumnIndexMetaData::INT64(bounds) => {
            bounds.min_value(page).is_none_or(|min| min <= time.end())
                && bounds.max_value(page).is_none_or(|max| max >= time.start())
        }
        _ => true,
    }
}

/// The wanted rows of a sorted batch.
fn rows(batch: &RecordBatch, columns: &Columns<'_>, wanted: &Wanted<'_>) -> Range<usize> {
    let key = |row: usize| (columns.kind_name(row), columns.id(row), columns.event_time(row));
    let (start, end) = (*wanted.event_time.start(), *wanted.event_time.end());
    let from = first_row(batch.num_rows(), |row| key(row) >= (wanted.kind.name(), wanted.id, start));
    let to = first_row(batch.num_rows(), |row| key(row) > (wanted.kind.name(), wanted.id, end));
    from..to.max(from)
}

/// The first row for which `is_there` holds, as it does for all that follow.
fn first_row(rows: usize, is_there: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_there(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// Every row of a file, batch by batch, with these columns.
pub(super) fn all(opened: &Opened, columns: &[&str], selection: Option<RowSelection>) -> Result<Batches, ParquetError> {
    let metadata = opened.metadata.metadata();
    let mask = ProjectionMask::columns(metadata.file_metadata().schema_descr(), columns.iter().copied());
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(opened.reader.clone(), opened.metadata.clone());
    let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    let builder = match selection {
        Some(selection) => builder.with_row_selection(selection),
        None => builder,
    };
    Ok(Box::new(builder.build()?.map(|batch| batch.map_err(|error| ParquetError::ArrowError(error.to_string())))))
}
