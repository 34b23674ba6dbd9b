//! Questions about single assets and single moments: a route, the last fix before a time, the map as it was, the days
//! that have reports. They read Parquet directly, because planning a query would cost more than answering it: files
//! are pruned by the view, row groups and pages by their bounds, and of what is left only the wanted rows are kept.
//!
//! Everything here blocks: callers on an async runtime use their blocking threads.

mod at;
mod coverage;
mod file;
mod fix;
mod footers;
mod route;

pub use at::{MapAt, latest_before, map_at};
pub use coverage::{CoveredDay, coverage, coverage_of};
pub use fix::Fix;
pub use footers::Footers;
pub use route::{Cursor, CursorError, RoutePage, RouteQuery, each_fix, route};

use std::path::PathBuf;

/// A read that could not be answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// A file of the lake is not there any more, or is not what was written. Reads that do not need it go on.
    #[error("the history file {} cannot be read: {why}; run `drover doctor` on the data folder", file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}
