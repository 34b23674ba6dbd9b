//! Some reports of the tail as the records that the log has, sorted, so that an asset's are found by binary search.
//! Columns are made of a chunk only when somebody asks for them, once.

use crate::rows::Rows;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use drover_model::{DecodeError, Kind, RecordRef, Report};
use std::cmp::Ordering as Order;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A chunk of so many rows takes no more.
pub(crate) const CHUNK_ROWS: usize = 8_192;

/// A chunk of so many bytes takes no more; a longest record of the log still fits behind them within 32-bit offsets.
const RECORDS_MAX_BYTES: usize = 1 << 30;
/// Each record stands behind its length, as in the log.
const LENGTH_BYTES: usize = 4;

/// What every row of a chunk has in common.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) schema: SchemaRef,
    pub(crate) region: Box<str>,
}

/// Some sorted reports of the tail.
#[derive(Debug)]
pub struct Chunk {
    shape: Arc<Shape>,
    records: Box<[u8]>,
    rows: Box<[Row]>,
    first: u64,
    last: u64,
    columns: OnceLock<RecordBatch>,
    columns_bytes: AtomicUsize,
}

/// Where a record is.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Offset of the record in the chunk's bytes.
    at: u32,
    /// Its position minus the chunk's first.
    after: u32,
}

impl Chunk {
    /// Records with ascending positions as chunks. Those that are no reports are left out, and told.
    pub(crate) fn of_records<'a>(
        shape: &Arc<Shape>,
        records: impl Iterator<Item = (u64, &'a [u8])>,
        unreadable: &mut dyn FnMut(u64, &'a [u8], DecodeError),
    ) -> Vec<Chunk> {
        let (mut chunks, mut making) = (Vec::new(), None::<Making>);
        for (position, record) in records {
            if let Err(error) = Report::decode(record) {
                unreadable(position, record, error);
                continue;
            }
            if let Some(full) = making.take_if(|making| making.is_full(position)) {
                chunks.extend(full.finish(shape.clone()));
            }
            making.get_or_insert_with(|| Making::after(position)).push(position, record);
        }
        chunks.extend(making.and_then(|making| making.finish(shape.clone())));
        chunks
    }

    /// Rows in it; at least one.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Smallest and greatest position in it.
    pub fn positions(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }

    /// Its rows as columns, sorted.
    pub fn batch(&self) -> RecordBatch {
        let made = self.columns.get_or_init(|| {
            let mut rows = Rows::new(self.shape.schema.clone());
            self.each(&mut |position, report| rows.push(position, &report, &self.shape.region));
            let batch = rows.finish();
            self.columns_bytes.store(batch.get_array_memory_size(), Ordering::Relaxed);
            batch
        });
        made.clone()
    }

    /// Memory that it takes, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.records.len() + size_of_val(&*self.rows) + self.columns_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Position and record of a row.
    pub(crate) fn record(&self, row: usize) -> (u64, &[u8]) {
        let row = self.rows[row];
        (self.first + u64::from(row.after), record_at(&self.records, row.at))
    }

    /// Position and report of a row.
    pub(crate) fn report(&self, row: usize) -> (u64, Report<'_>) {
        let (position, record) = self.record(row);
        (position, Report::decode(record).expect("only reports get into a chunk"))
    }

    pub(crate) fn each(&self, f: &mut dyn FnMut(u64, Report<'_>)) {
        for row in 0..self.rows.len() {
            let (position, report) = self.report(row);
            f(position, report);
        }
    }

    pub(crate) fn of_asset(
        &self,
        kind: Kind,
        id: &str,
        event_time: &RangeInclusive<i64>,
        f: &mut dyn FnMut(u64, Report<'_>),
    ) {
        let wanted = (kind.name().as_bytes(), id.as_bytes());
        let before = |row: &Row| {
            let record = self.look(*row);
            asset(record).cmp(&wanted).then(record.event_time().cmp(event_time.start())) == Order::Less
        };
        for row in self.rows.partition_point(before)..self.rows.len() {
            let record = self.look(self.rows[row]);
            if asset(record) != wanted || record.event_time() > *event_time.end() {
                return;
            }
            let (position, report) = self.report(row);
            f(position, report);
        }
    }

    fn look(&self, row: Row) -> RecordRef<'_> {
        look(record_at(&self.records, row.at))
    }

    /// Whether `later` is to be merged into it: neighbours of like size, so that each record is moved a few times only.
    pub(crate) fn may_take(&self, later: &Chunk) -> bool {
        self.rows() < CHUNK_ROWS
            && self.rows() <= 2 * later.rows()
            && self.rows() + later.rows() <= 2 * CHUNK_ROWS
            && self.records.len() + later.records.len() <= RECORDS_MAX_BYTES
            && later.last - self.first <= u64::from(u32::MAX)
            && Arc::ptr_eq(&self.shape, &later.shape)
    }

    /// Both, where the positions of `self` all come before those of `later`.
    pub(crate) fn merged(&self, later: &Chunk) -> Chunk {
        let mut rows = Vec::with_capacity(self.rows.len() + later.rows.len());
        let (moved_at, moved_after) = (self.records.len() as u32, (later.first - self.first) as u32);
        let moved = |row: &Row| Row { at: row.at + moved_at, after: row.after + moved_after };
        let mut before = self.rows.iter().peekable();
        for row in &later.rows {
            // Of two rows alike in everything the one with the smaller position comes first.
            while let Some(earlier) =
                before.next_if(|earlier| order(self.look(**earlier), later.look(*row)) != Order::Greater)
            {
                rows.push(*earlier);
            }
            rows.push(moved(row));
        }
        rows.extend(before);
        Chunk {
            shape: self.shape.clone(),
            records: [&*self.records, &*later.records].concat().into(),
            rows: rows.into(),
            first: self.first,
            last: later.last,
            columns: OnceLock::new(),
            columns_bytes: AtomicUsize::new(0),
        }
    }
}

/// A chunk that is being filled.
struct Making {
    records: Vec<u8>,
    rows: Vec<(SortKey, Row)>,
    first: u64,
    last: u64,
}

/// The first bytes of the sort order in one number: kind, then as much of the id as fits.
type SortKey = u128;

impl Making {
    fn after(first: u64) -> Making {
        Making { records: Vec::new(), rows: Vec::new(), first, last: first }
    }

    /// Whether the record at `position` belongs into another chunk.
    fn is_full(&self, position: u64) -> bool {
        self.rows.len() >= 2 * CHUNK_ROWS
            || self.records.len() >= RECORDS_MAX_BYTES
            || position - self.first > u64::from(u32::MAX)
    }

    fn push(&mut self, position: u64, record: &[u8]) {
        self.records.extend_from_slice(&(record.len() as u32).to_le_bytes());
        let row = Row { at: self.records.len() as u32, after: (position - self.first) as u32 };
        self.records.extend_from_slice(record);
        self.rows.push((sort_key(look(record)), row));
        self.last = self.last.max(position);
    }

    fn finish(mut self, shape: Arc<Shape>) -> Option<Chunk> {
        let records = self.records.into_boxed_slice();
        let record = |row: Row| look(record_at(&records, row.at));
        self.rows.sort_unstable_by(|(a_key, a), (b_key, b)| {
            a_key.cmp(b_key).then_with(|| compare(record(*a), record(*b))).then(a.after.cmp(&b.after))
        });
        let rows: Box<[Row]> = self.rows.into_iter().map(|(_, row)| row).collect();
        (!rows.is_empty()).then_some(Chunk {
            shape,
            records,
            rows,
            first: self.first,
            last: self.last,
            columns: OnceLock::new(),
            columns_bytes: AtomicUsize::new(0),
        })
    }
}

fn record_at(records: &[u8], at: u32) -> &[u8] {
    let at = at as usize;
    let length = records[at - LENGTH_BYTES..at].try_into().expect("four bytes");
    &records[at..at + u32::from_le_bytes(length) as usize]
}

fn look(record: &[u8]) -> RecordRef<'_> {
    RecordRef::new(record).expect("only reports get into a chunk")
}

/// The order of the table, but for the position.
fn order(a: RecordRef<'_>, b: RecordRef<'_>) -> Order {
    asset(a).cmp(&asset(b)).then_with(|| a.event_time().cmp(&b.event_time()))
}

/// What files sort by first.
fn asset(record: RecordRef<'_>) -> (&[u8], &[u8]) {
    let kind = Kind::from_number(record.kind_number()).map_or("", Kind::name);
    (kind.as_bytes(), record.id())
}

/// A number in whose order records lie that differ in it.
pub(crate) fn sort_key(record: RecordRef<'_>) -> SortKey {
    let kind = Kind::from_number(record.kind_number()).map_or("", Kind::name);
    let mut bytes = [0; 16];
    bytes[0] = kind.as_bytes().first().copied().unwrap_or(0);
    let id = record.id();
    let length = id.len().min(15);
    bytes[1..=length].copy_from_slice(&id[..length]);
    u128::from_be_bytes(bytes)
}

/// Order of records whose [`sort_key`] is the same; equal ones lie in the order of their positions.
pub(crate) fn compare(a: RecordRef<'_>, b: RecordRef<'_>) -> Order {
    a.id().cmp(b.id()).then_with(|| a.event_time().cmp(&b.event_time()))
}
