//! The reports that are durable in the log and not in a file yet. They lie in sorted chunks: what arrives becomes a small
//! chunk, and small neighbours are merged until they hold [`CHUNK_ROWS`](crate::chunk::CHUNK_ROWS), so that there are
//! few at any time.

use crate::chunk::{Chunk, Shape};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use drover_model::{Kind, Report};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The reports of a view that are in no file. Clones share them.
#[derive(Debug, Clone)]
pub struct Tail {
    /// Oldest first; each sorted by kind, id, event_time, position.
    pub chunks: Arc<[Arc<Chunk>]>,
}

impl Tail {
    /// A tail of these records, as for a lake without a follower. Records that are no reports are left out.
    pub fn of_records<'a>(
        schema: &SchemaRef,
        region: &str,
        records: impl IntoIterator<Item = (u64, &'a [u8])>,
    ) -> Tail {
        let shape = Arc::new(Shape { schema: schema.clone(), region: region.into() });
        let chunks = Chunk::of_records(&shape, records.into_iter(), &mut |_, _, _| ());
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
            let chunks = Chunk::of_records(&shape, numbered, &mut |_, _, error| panic!("{error}"));
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
        let numbered = [(11, records[0].as_slice())].into_iter();
        let chunks = Chunk::of_records(&shape, numbered, &mut |_, _, error| panic!("{error}"));
        chunks.into_iter().for_each(|chunk| growing.push(Arc::new(chunk)));
        assert!(growing.mergeable().is_none());
        growing.forget(frozen.len());
        assert_eq!((growing.rows(), growing.tail().chunks[0].positions()), (1, 11..=11));
    }
}
