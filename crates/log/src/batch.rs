//! A batch: consecutive records that became durable together. Only the log makes one.
//! The payload layout (`u32` little-endian length + bytes per record) is the same in memory and on disk.

use bytes::Bytes;

/// Sequence number of a record in its stream, from 1. 0 stands for "before the first".
pub type Position = u64;

/// Bytes that a record costs in a payload besides its own.
pub(crate) const RECORD_OVERHEAD_BYTES: usize = 4;

/// Consecutive durable records of one stream. Cloning shares the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    base: Position,
    count: u32,
    appended_at_ms: i64,
    payload: Bytes,
}

impl Batch {
    /// The caller vouches that `payload` holds exactly `count` records, and at least one.
    pub(crate) fn new(base: Position, count: u32, appended_at_ms: i64, payload: Bytes) -> Self {
        debug_assert!(count > 0, "a batch holds at least one record");
        debug_assert_eq!(Records { next: base, rest: &payload }.count(), count as usize);
        Self { base, count, appended_at_ms, payload }
    }

    /// Position of the first record.
    #[must_use]
    pub fn base(&self) -> Position {
        self.base
    }

    /// Position of the last record.
    #[must_use]
    pub fn last(&self) -> Position {
        self.base + u64::from(self.count) - 1
    }

    /// Number of records; never 0.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// When the batch was handed to the engine, ms UTC. Never goes back within a stream, even if the clock does.
    #[must_use]
    pub fn appended_at_ms(&self) -> i64 {
        self.appended_at_ms
    }

    /// All records, each as `u32` little-endian length + bytes.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The records with their positions, in order.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records { next: self.base, rest: &self.payload }
    }

    /// The same batch without the records before `from`, which must be one of its positions.
    pub(crate) fn starting_at(&self, from: Position) -> Self {
        assert!((self.base..=self.last()).contains(&from), "position {from} is not in the batch");
        let skipped = (from - self.base) as u32;
        let mut records = self.records();
        if let Some(before) = skipped.checked_sub(1) {
            records.nth(before as usize);
        }
        let payload = self.payload.slice(self.payload.len() - records.rest.len()..);
        Self { base: from, count: self.count - skipped, appended_at_ms: self.appended_at_ms, payload }
    }
}

/// Iterator over the records of a batch; see [`Batch::records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    next: Position,
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = (Position, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (record, rest) = split_record(self.rest)?;
        let position = self.next;
        self.next += 1;
        self.rest = rest;
        Some((position, record))
    }
}

/// First record of a payload and what follows it; `None` at the end.
pub(crate) fn split_record(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = payload.split_first_chunk::<RECORD_OVERHEAD_BYTES>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}
