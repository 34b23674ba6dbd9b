//! From sorted chunks of the tail to one sorted file for each day of event times. A late report goes to its own day's
//! file, however old that is; one day is written after the other, so that a hundred years of late reports need no more
//! memory than one day.

use super::Error;
use super::calendar::day_of;
use super::writer::{FileWriter, Layout, Written};
use crate::chunk::{Chunk, compare, sort_key};
use crate::rows::Rows;
use arrow::datatypes::SchemaRef;
use drover_model::{RecordRef, Report};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;
use std::sync::Arc;

/// Rows that are turned into columns at once.
const BATCH_ROWS: usize = 8_192;

/// Writes all rows of the chunks below the table's folder. On Ok the files are on stable storage and no catalogue knows
/// them yet; on Err there is none.
pub(crate) fn write(
    table: &Path,
    schema: &SchemaRef,
    chunks: &[Arc<Chunk>],
    layout: &Layout,
) -> Result<Vec<Written>, Error> {
    let mut files = Vec::new();
    for (day, sources) in by_day(chunks) {
        match write_day(table, schema, day, sources, layout) {
            Ok(file) => files.push(file),
            Err(error) => {
                remove(&files);
                return Err(error);
            }
        }
    }
    Ok(files)
}

/// Removes files that no catalogue knows. What cannot be removed is an orphan, which the next start removes.
pub(crate) fn remove(files: &[Written]) {
    for file in files {
        let _ = std::fs::remove_file(&file.path);
    }
}

/// Rows of one chunk, in its order.
struct Source<'a> {
    chunk: &'a Chunk,
    rows: Vec<u32>,
}

fn by_day(chunks: &[Arc<Chunk>]) -> BTreeMap<i32, Vec<Source<'_>>> {
    let mut days: BTreeMap<i32, Vec<Source<'_>>> = BTreeMap::new();
    for chunk in chunks {
        let mut of_chunk: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
        for row in 0..chunk.rows() {
            let day = day_of(look(chunk.record(row).1).event_time());
            of_chunk.entry(day).or_default().push(row as u32);
        }
        for (day, rows) in of_chunk {
            days.entry(day).or_default().push(Source { chunk, rows });
        }
    }
    days
}

fn look(record: &[u8]) -> RecordRef<'_> {
    RecordRef::new(record).expect("only reports get into a chunk")
}

fn write_day(
    table: &Path,
    schema: &SchemaRef,
    day: i32,
    sources: Vec<Source<'_>>,
    layout: &Layout,
) -> Result<Written, Error> {
    let mut file = FileWriter::create(table, day, schema, layout)?;
    let mut rows = Rows::new(schema.clone());
    for (position, record, region) in Merged::of(sources) {
        let report = Report::decode(record).expect("only reports get into a chunk");
        rows.push(position, &report, region);
        if rows.len() == BATCH_ROWS {
            file.write(&rows.finish())?;
        }
    }
    file.write(&rows.finish())?;
    file.finish()
}

/// The rows of several chunks in the order of the table.
struct Merged<'a> {
    sources: Vec<Source<'a>>,
    heads: BinaryHeap<Reverse<Head<'a>>>,
}

/// The next row of a source.
struct Head<'a> {
    key: u128,
    record: &'a [u8],
    position: u64,
    source: usize,
    at: usize,
}

impl<'a> Merged<'a> {
    fn of(sources: Vec<Source<'a>>) -> Merged<'a> {
        let heads = (0..sources.len()).filter_map(|source| head(&sources, source, 0)).map(Reverse).collect();
        Merged { sources, heads }
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = (u64, &'a [u8], &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let mut top = self.heads.peek_mut()?;
        let Head { record, position, source, at, .. } = top.0;
        match head(&self.sources, source, at + 1) {
            Some(next) => top.0 = next,
            None => drop(std::collections::binary_heap::PeekMut::pop(top)),
        }
        Some((position, record, &self.sources[source].chunk.shape().region))
    }
}

fn head<'a>(sources: &[Source<'a>], source: usize, at: usize) -> Option<Head<'a>> {
    let Source { chunk, rows } = &sources[source];
    let (position, record) = chunk.record(*rows.get(at)? as usize);
    Some(Head { key: sort_key(look(record)), record, position, source, at })
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_record = || compare(look(self.record), look(other.record));
        self.key.cmp(&other.key).then_with(by_record).then(self.position.cmp(&other.position))
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head<'_> {}
