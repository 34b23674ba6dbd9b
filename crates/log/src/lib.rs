//! The durable order of records: what was appended, in which order, and since when it is safe on disk.
//! The log never looks inside a record; it knows no reports, no JSON, no tokio. Admission decides what comes in,
//! followers decide what to make of it.
//!
//! The way of a record: [`Log::append`] assigns its position in a pending buffer; the writer thread turns everything
//! that is pending into one [`Batch`], hands it to the [`Engine`] (one write, one `fdatasync`), and then resolves
//! [`Log::durable`] and serves the batch to [`Follower`]s.
//!
//! What always holds:
//! - Positions are dense and in the order of the append calls.
//! - What `durable` confirmed can be read again after any crash, unless retention removed it.
//! - A follower sees every record once and in order, or an error that names the positions it cannot have. Never wrong data.
//! - After a failed write or sync nothing more is written to that file by this process (the log is poisoned).
//! - Pending bytes and the ring are bounded; a follower cannot hold up the writer.

mod batch;
pub mod contract;
mod cursors;
mod engine;
mod faults;
mod follower;
mod log;
mod memory;
mod priority;
mod ring;
mod segments;
mod waiters;
mod writer;

pub use batch::{Batch, Position, Records};
pub use cursors::Cursors;
pub use engine::{Archive, Bounds, Damage, DamageReason, Engine, EngineError, ReadError, Retention};
pub use faults::{Faults, HeldSyncs};
pub use follower::{Follower, FollowerLag};
pub use log::{AppendError, Clock, Commit, CommitError, CommitHook, Log, Settings, Stats};
pub use memory::MemoryEngine;
pub use segments::{SegmentEngine, SegmentSettings, verify};
pub use waiters::Durable;

use std::path::{Path, PathBuf};

/// The streams of a node. Each is a [`Log`] of its own, in its own folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// What devices said and admission let in.
    Reports,
    /// What Drover derived.
    Events,
    /// Edits of the registry.
    Changes,
    /// What admission refused, with its reason.
    Rejects,
}

impl Stream {
    /// All streams, in the order in which a node opens them.
    pub const ALL: [Self; 4] = [Self::Reports, Self::Events, Self::Changes, Self::Rejects];

    /// The stream's name in folders, metrics and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reports => "reports",
            Self::Events => "events",
            Self::Changes => "changes",
            Self::Rejects => "rejects",
        }
    }

    /// The stream's folder below the node's log folder.
    #[must_use]
    pub fn folder(self, logs: &Path) -> PathBuf {
        logs.join(self.name())
    }
}
