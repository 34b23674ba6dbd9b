//! The engine that keeps batches in memory: for tests and for streams that need not outlive the process.
//! Same contract as the segment files, except that nothing survives a restart.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::{Archive, Batch, Bounds, Engine, EngineError, Faults, Position, ReadError, Retention};

/// Keeps batches in memory, up to a number of bytes.
#[derive(Debug)]
pub struct MemoryEngine {
    kept: Arc<Kept>,
    max_bytes: usize,
    faults: Faults,
}

/// What is stored; its own type so that readers do not need the writing side.
#[derive(Debug)]
struct Kept(RwLock<Batches>);

#[derive(Debug)]
struct Batches {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    bounds: Bounds,
}

impl MemoryEngine {
    /// An empty engine that is full at `max_bytes` of payload.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self::with_faults(max_bytes, Faults::default())
    }

    /// The same, with faults that a test controls.
    #[must_use]
    pub fn with_faults(max_bytes: usize, faults: Faults) -> Self {
        let bounds = Bounds { oldest: 1, next: 1, last_appended_at_ms: i64::MIN };
        let kept = Kept(RwLock::new(Batches { batches: VecDeque::new(), bytes: 0, bounds }));
        Self { kept: Arc::new(kept), max_bytes, faults }
    }

    fn check_room(&self, bytes: usize) -> io::Result<()> {
        self.faults.before_making_room()?;
        let fits = self.kept.0.read().bytes + bytes <= self.max_bytes;
        if fits { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn check_faults(&self) -> io::Result<()> {
        match self.faults.next_write() {
            Some(_) => Err(io::Error::other("injected write failure")),
            None => self.faults.before_sync(),
        }
    }
}

impl Engine for MemoryEngine {
    fn append(&mut self, batch: &Batch) -> Result<(), EngineError> {
        self.check_room(batch.payload().len()).map_err(EngineError::Full)?;
        self.check_faults().map_err(|source| EngineError::Failed { action: "keeping a batch".into(), source })?;
        let mut kept = self.kept.0.write();
        assert_eq!(batch.base(), kept.bounds.next, "batches come in order");
        kept.bytes += batch.payload().len();
        kept.bounds.next = batch.last() + 1;
        kept.bounds.last_appended_at_ms = batch.appended_at_ms();
        kept.batches.push_back(Arc::new(batch.clone()));
        Ok(())
    }

    fn max_payload_bytes(&self) -> usize {
        self.max_bytes
    }

    fn archive(&self) -> Arc<dyn Archive> {
        self.kept.clone()
    }
}

impl Archive for Kept {
    fn read(&self, from: Position, max_bytes: usize) -> Result<Vec<Arc<Batch>>, ReadError> {
        let kept = self.0.read();
        if from < kept.bounds.oldest {
            return Err(ReadError::Trimmed { oldest: kept.bounds.oldest });
        }
        let start = kept.batches.partition_point(|batch| batch.last() < from);
        let mut bytes = 0;
        let mut read: Vec<Arc<Batch>> = kept.batches.range(start..).cloned().collect();
        read.truncate(
            read.iter()
                .take_while(|batch| {
                    let wanted = bytes == 0 || bytes < max_bytes;
                    bytes += batch.payload().len();
                    wanted
                })
                .count(),
        );
        if let Some(first) = read.first_mut().filter(|first| first.base() < from) {
            *first = Arc::new(first.starting_at(from));
        }
        Ok(read)
    }

    fn bounds(&self) -> Bounds {
        self.0.read().bounds
    }

    fn position_at_time(&self, time_ms: i64) -> Result<Position, ReadError> {
        let kept = self.0.read();
        let index = kept.batches.partition_point(|batch| batch.appended_at_ms() < time_ms);
        Ok(kept.batches.get(index).map_or(kept.bounds.next, |batch| batch.base()))
    }

    fn retain(&self, retention: &Retention, now_ms: i64) -> io::Result<Position> {
        let mut kept = self.0.write();
        let oldest_ms = retention.max_age_ms.map_or(i64::MIN, |age| now_ms.saturating_sub(age));
        let max_bytes = retention.max_bytes.unwrap_or(u64::MAX);
        while kept.batches.len() > 1 && (kept.batches[0].appended_at_ms() < oldest_ms || kept.bytes as u64 > max_bytes)
        {
            let gone = kept.batches.pop_front().expect("more than one batch");
            kept.bytes -= gone.payload().len();
            kept.bounds.oldest = gone.last() + 1;
        }
        Ok(kept.bounds.oldest)
    }
}
