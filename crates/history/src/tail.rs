//! The reports that are durable in the log and not in a file yet, kept as the records that the log has. They lie in
//! sorted chunks: what arrives becomes a small chunk, and small neighbours are merged until they hold
//! [`CHUNK_ROWS`], so that there are few at any time and each is binary-searched. Columns are made of a chunk only when
//! somebody asks for them, once.

use crate::schema::Rows;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use drover_model::{Kind, RecordRef, Report};
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

/// The reports of a view that are in no file. Clones share them.
#[derive(Debug, Clone)]
pub struct Tail {
    /// Oldest first; each sorted by kind, id, event_time, position.
    pub chunks: Arc<[Arc<Chunk>]>,
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

impl Tail {
    /// A tail of these records, as for a lake without a follower. Records that are no reports are left out.
    pub fn of_records<'a>(
        schema: &SchemaRef,
        region: &str,
        records: impl IntoIterator<Item = (u64, &'a [u8])>,
    ) -> Tail {
        let shape = Arc::new(Shape { schema: schema.clone(), region: region.into() });
        let (chunks, _) = Chunk::of_records(&shape, records.into_iter());
        Tail { chunks: chunks.into_iter().map(Arc::new).collect() }
    }

    /// Calls `f` with position and report of each row of one asset within the event times: in order within a chunk,
    /// chunk after chunk.
    pub fn of_asset(&self, kind: Kind, id: &str, event_time: RangeInclusive<i64>, f: &mut dyn FnMut(u64, Report<'_>)) {
        self.chunks.iter().for_each(|chunk| chunk.of_asset(kind, id, &event_time, f));
    }

    /// Calls `f` with position and report of every row, chunk after chunk.
    pub fn each(&self, f: &mut dyn FnMut(u64, Report<'_>)) {
        self.chunks.iter().for_each(|chunk| chunk.each(f));
    }

    /// Every row as columns: one sorted batch for each chunk. Made once per chunk, whoever asks.
    pub fn batches(&self) -> Vec<RecordBatch> {
        self.chunks.iter().map(|chunk| chunk.batch()).collect()
    }

    /// Rows in it.
    pub fn rows(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.rows()).sum()
    }
}

impl Chunk {
    /// Records with ascending positions as chunks, and how many of them are no reports; these are left out.
    pub(crate) fn of_records<'a>(
        shape: &Arc<Shape>,
        records: impl Iterator<Item = (u64, &'a [u8])>,
    ) -> (Vec<Chunk>, u64) {
        let (mut chunks, mut making, mut unreadable) = (Vec::new(), None::<Making>, 0);
        for (position, record) in records {
            if Report::decode(record).is_err() {
                unreadable += 1;
                continue;
            }
            if let Some(full) = making.take_if(|making| making.is_full(position)) {
                chunks.extend(full.finish(shape.clone()));
            }
            making.get_or_insert_with(|| Making::after(position)).push(position, record);
        }
        chunks.extend(making.and_then(|making| making.finish(shape.clone())));
        (chunks, unreadable)
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

    fn each(&self, f: &mut dyn FnMut(u64, Report<'_>)) {
        for row in 0..self.rows.len() {
            let (position, report) = self.report(row);
            f(position, report);
        }
    }

    fn of_asset(&self, kind: Kind, id: &str, event_time: &RangeInclusive<i64>, f: &mut dyn FnMut(u64, Report<'_>)) {
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
    fn may_take(&self, later: &Chunk) -> bool {
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

/// The tail as its follower builds it.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    chunks: Vec<Arc<Chunk>>,
    /// The first chunks, which are being written to files and must stay as they are.
    frozen: usize,
}

impl Growing {
    /// Adds a chunk whose positions come after all others.
    pub(crate) fn push(&mut self, chunk: Arc<Chunk>) {
        self.chunks.push(chunk);
    }

    /// The last two chunks, if they should be one.
    pub(crate) fn mergeable(&self) -> Option<(Arc<Chunk>, Arc<Chunk>)> {
        match &self.chunks[self.frozen..] {
            [.., before, last] if before.may_take(last) => Some((before.clone(), last.clone())),
            _ => None,
        }
    }

    /// Puts `merged` in the place of the last two chunks, if these are still there and not being written.
    pub(crate) fn exchange(&mut self, before: &Arc<Chunk>, last: &Arc<Chunk>, merged: Arc<Chunk>) {
        if let [.., a, b] = &self.chunks[self.frozen..]
            && Arc::ptr_eq(a, before)
            && Arc::ptr_eq(b, last)
        {
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(merged);
        }
    }

    /// Everything, to be written; it stays as it is until it is forgotten.
    pub(crate) fn freeze(&mut self) -> Vec<Arc<Chunk>> {
        self.frozen = self.chunks.len();
        self.chunks.clone()
    }

    /// Takes the first chunks away, which are in a file now.
    pub(crate) fn forget(&mut self, first: usize) {
        self.chunks.drain(..first);
        self.frozen = 0;
    }

    pub(crate) fn tail(&self) -> Tail {
        Tail { chunks: self.chunks.as_slice().into() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.rows()).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes()).sum()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{report_schema, sort_by_key};
    use drover_model::{Draft, Rules};
    use proptest::prelude::*;

    const START_MS: i64 = 1_779_962_400_000;

    fn record(kind: usize, id: &str, event_time: i64) -> Vec<u8> {
        let kind = Some(Kind::ALL[kind]);
        let draft = Draft { kind, id: Some(id.into()), event_time: Some(START_MS + event_time), ..Draft::default() };
        let mut record = Vec::new();
        draft.check(&Rules::default(), START_MS + event_time).unwrap().encode(&mut record);
        record
    }

    fn shape() -> Arc<Shape> {
        Arc::new(Shape { schema: report_schema(&[]), region: "local".into() })
    }

    /// Pushes the records batch by batch, as the follower does.
    fn grown(records: &[Vec<u8>], batch: usize) -> Growing {
        let (shape, mut growing, mut position) = (shape(), Growing::default(), 0);
        for some in records.chunks(batch) {
            let numbered = some.iter().map(|record| {
                position += 1;
                (position, record.as_slice())
            });
            let (chunks, unreadable) = Chunk::of_records(&shape, numbered);
            assert_eq!(unreadable, 0);
            chunks.into_iter().for_each(|chunk| growing.push(Arc::new(chunk)));
            while let Some((before, last)) = growing.mergeable() {
                growing.exchange(&before, &last, Arc::new(before.merged(&last)));
            }
        }
        growing
    }

    proptest! {
        #[test]
        fn an_asset_is_found_as_by_looking_at_everything(
            reports in prop::collection::vec((0..5_usize, "[a-c]{1,2}|the-same-first-fifteen-[a-c]", 0..100_i64), 0..400),
            batch in 1..50_usize,
            (kind, id) in (0..5_usize, "[a-c]{1,2}|the-same-first-fifteen-[a-c]"),
            (from, length) in (0..100_i64, 0..100_i64),
        ) {
            let records: Vec<_> = reports.iter().map(|(kind, id, time)| record(*kind, id, *time)).collect();
            let tail = grown(&records, batch).tail();
            let times = START_MS + from..=START_MS + from + length;
            let mut found = Vec::new();
            tail.of_asset(Kind::ALL[kind], &id, times.clone(), &mut |position, report| {
                found.push((position, report.event_time));
            });
            found.sort_unstable();
            let wanted: Vec<_> = reports.iter().zip(1_u64..)
                .filter(|((k, i, time), _)| *k == kind && *i == id && times.contains(&(START_MS + time)))
                .map(|((_, _, time), position)| (position, START_MS + time))
                .collect();
            prop_assert_eq!(found, wanted);
            prop_assert_eq!(tail.rows(), records.len());
            prop_assert!(tail.batches().iter().all(|batch| sort_by_key(batch) == *batch));
        }
    }

    #[test]
    fn single_records_end_in_few_chunks() {
        let records: Vec<_> = (0..20_000).map(|at| record(0, &format!("d-{}", at % 90), at)).collect();
        let growing = grown(&records, 1);
        assert_eq!(growing.rows(), 20_000);
        assert!(growing.tail().chunks.len() < 20, "{} chunks", growing.tail().chunks.len());
    }

    #[test]
    fn chunks_that_are_being_written_stay_as_they_are() {
        let records: Vec<_> = (0..10).map(|at| record(0, "d-1", at)).collect();
        let mut growing = grown(&records, 3);
        let frozen = growing.freeze();
        let shape = shape();
        let (chunks, _) = Chunk::of_records(&shape, [(11, records[0].as_slice())].into_iter());
        chunks.into_iter().for_each(|chunk| growing.push(Arc::new(chunk)));
        assert!(growing.mergeable().is_none());
        growing.forget(frozen.len());
        assert_eq!((growing.rows(), growing.tail().chunks[0].positions()), (1, 11..=11));
    }
}
