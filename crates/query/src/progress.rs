//! How far a query is, and what it took: counters that the plan's operators keep anyway, looked at from outside.

use datafusion::execution::memory_pool::PeakRecordingPool;
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Work of one query so far. Read it at any time; it stays when the query has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files that history has. This and the other counts of what was read are 0 for an asker who does not see all assets.
    pub files_total: u64,
    /// Files that the query's conditions leave to be read.
    pub files_selected: u64,
    /// Rows of those files and of the reports in memory.
    pub rows_total: u64,
    /// Rows of them that were looked at or passed over so far.
    pub rows_scanned: u64,
    /// Bytes read from files.
    pub bytes_read: u64,
    /// Most memory that sorting, grouping and joining held at one time, bytes.
    pub memory_peak_bytes: u64,
}

/// Where the counters of one query are found.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) files_total: AtomicU64,
    pub(crate) files_selected: AtomicU64,
    pub(crate) rows_total: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    /// What was read is not told, but for time and memory.
    hides_counts: bool,
    run: Mutex<Run>,
}

#[derive(Debug, Default)]
enum Run {
    #[default]
    NotYet,
    /// The plan holds these counters too, so that neither would ever go: it is let go when the query ends.
    Now {
        plan: Arc<dyn ExecutionPlan>,
        memory: Arc<PeakRecordingPool>,
    },
    Over {
        rows_scanned: u64,
        memory_peak_bytes: u64,
    },
}

impl Run {
    /// Rows scanned, and the most bytes held.
    fn counted(&self) -> (u64, u64) {
        match self {
            Run::NotYet => (0, 0),
            Run::Now { plan, memory } => (scanned(plan.as_ref()), memory.max_reserved() as u64),
            Run::Over { rows_scanned, memory_peak_bytes } => (*rows_scanned, *memory_peak_bytes),
        }
    }
}

impl Watch {
    pub(crate) fn new(hides_counts: bool) -> Watch {
        Watch { hides_counts, ..Watch::default() }
    }

    /// The plan that runs from now on.
    pub(crate) fn runs(&self, plan: Arc<dyn ExecutionPlan>, memory: Arc<PeakRecordingPool>) {
        *self.run.lock() = Run::Now { plan, memory };
    }

    /// The query is over: its figures stay, its plan goes, and with it the view and its files.
    pub(crate) fn ended(&self) {
        let mut run = self.run.lock();
        let (rows_scanned, memory_peak_bytes) = run.counted();
        *run = Run::Over { rows_scanned, memory_peak_bytes };
    }

    pub(crate) fn progress(&self) -> Progress {
        let (rows_scanned, memory_peak_bytes) = self.run.lock().counted();
        if self.hides_counts {
            return Progress { memory_peak_bytes, ..Progress::default() };
        }
        let rows_total = self.rows_total.load(Relaxed);
        Progress {
            files_total: self.files_total.load(Relaxed),
            files_selected: self.files_selected.load(Relaxed),
            rows_total,
            rows_scanned: rows_scanned.min(rows_total),
            bytes_read: self.bytes_read.load(Relaxed),
            memory_peak_bytes,
        }
    }
}

/// Rows that the plan's leaves gave or left out.
fn scanned(plan: &dyn ExecutionPlan) -> u64 {
    let children = plan.children();
    if !children.is_empty() {
        return children.into_iter().map(|child| scanned(child.as_ref())).sum();
    }
    let Some(metrics) = plan.metrics() else { return 0 };
    let pruned = metrics.sum_by_name("pushdown_rows_pruned").map_or(0, |pruned| pruned.as_usize());
    (metrics.output_rows().unwrap_or(0) + pruned) as u64
}
