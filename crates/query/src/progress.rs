//! How far a query is, and what it took: counters that the plan's operators keep anyway, looked at from outside.

use datafusion::execution::memory_pool::PeakRecordingPool;
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Work of one query so far. Read it at any time; it stays when the query has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files that history has.
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
    run: Mutex<Option<Run>>,
}

#[derive(Debug)]
struct Run {
    plan: Arc<dyn ExecutionPlan>,
    memory: Arc<PeakRecordingPool>,
}

impl Watch {
    /// The plan that runs from now on.
    pub(crate) fn runs(&self, plan: Arc<dyn ExecutionPlan>, memory: Arc<PeakRecordingPool>) {
        *self.run.lock() = Some(Run { plan, memory });
    }

    pub(crate) fn progress(&self) -> Progress {
        let run = self.run.lock();
        let rows_total = self.rows_total.load(Relaxed);
        Progress {
            files_total: self.files_total.load(Relaxed),
            files_selected: self.files_selected.load(Relaxed),
            rows_total,
            rows_scanned: run.as_ref().map_or(0, |run| scanned(run.plan.as_ref())).min(rows_total),
            bytes_read: self.bytes_read.load(Relaxed),
            memory_peak_bytes: run.as_ref().map_or(0, |run| run.memory.max_reserved() as u64),
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
