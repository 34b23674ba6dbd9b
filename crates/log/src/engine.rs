//! The seam between the log and where its batches are kept: segment files, memory, later NATS JetStream.
//! An engine stores batches in order and finds them again; positions, group commit, waiting and followers are the
//! log's. [`crate::contract`] holds the tests that every engine passes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Batch, Position};

/// The writing side of an engine. One writer thread owns it.
pub trait Engine: Send + 'static {
    /// Stores a batch whose base is [`Bounds::next`].
    ///
    /// On success the batch is on stable storage and [`Archive::read`] returns it. After [`EngineError::Full`] nothing
    /// was stored and the same batch may be offered again. After [`EngineError::Failed`] it is unknown whether the batch
    /// survives a restart; the engine must not be used for another append.
    fn append(&mut self, batch: &Batch) -> Result<(), EngineError>;

    /// The longest payload that one batch may have.
    fn max_payload_bytes(&self) -> usize;

    /// The reading side, usable from any thread while appends go on.
    fn archive(&self) -> Arc<dyn Archive>;
}

/// The reading side of an engine: everything that is durable.
pub trait Archive: Send + Sync + 'static {
    /// Batches that begin with the record at `from`, in order and without gaps: at least one, and no more once
    /// `max_bytes` of payload are reached. Empty when `from` is not durable yet.
    ///
    /// The first batch begins exactly at `from`. A damaged range ends the answer before it, or is the error when `from`
    /// lies in it.
    fn read(&self, from: Position, max_bytes: usize) -> Result<Vec<Arc<Batch>>, ReadError>;

    /// What is stored now.
    fn bounds(&self) -> Bounds;

    /// The first position that was appended at `time_ms` or later; [`Bounds::next`] if there is none yet.
    fn position_at_time(&self, time_ms: i64) -> Result<Position, ReadError>;

    /// Removes the oldest batches beyond the given limits, in the engine's own units (whole segments) and never the newest
    /// unit. Returns the oldest position that is left. On an error some may have been removed; bounds say which.
    fn retain(&self, retention: &Retention, now_ms: i64) -> io::Result<Position>;
}

/// What an engine holds: positions from `oldest` up to, but without, `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// First position that retention has left; equal to `next` when there is none.
    pub oldest: Position,
    /// Position that the next record gets.
    pub next: Position,
    /// Append time of the newest batch, ms UTC; `i64::MIN` when there is none.
    pub last_appended_at_ms: i64,
}

/// How long to keep records. `None` means without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Remove what was appended longer ago than this.
    pub max_age_ms: Option<i64>,
    /// Remove the oldest until no more than this is occupied.
    pub max_bytes: Option<u64>,
}

/// Why an engine did not store a batch or could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No room for the batch, and nothing was written. It may be offered again.
    #[error("no space for the log: {0}")]
    Full(#[source] io::Error),
    /// A write or sync failed; what is on disk is unknown until the log is opened again.
    #[error("{action} failed")]
    Failed {
        /// What was being done, with the file.
        action: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process has the folder open.
    #[error(
        "{0} is in use by another process (its lock file is held); stop that process or choose another data folder"
    )]
    Locked(PathBuf),
    /// The files cannot be used as they are; the text says why and what to do.
    #[error("{path}: {problem}")]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Records that were durable are not readable any more. A follower may go on with `skip_to(damage.to + 1)`.
    #[error("{0}")]
    Damaged(Damage),
    /// Retention has removed the wanted position.
    #[error("retention has removed the wanted records; the oldest is {oldest}")]
    Trimmed {
        /// First position that can still be read.
        oldest: Position,
    },
    /// The log was closed, and everything durable has been delivered.
    #[error("the log is closed")]
    Closed,
    /// The operating system refused; trying again may help.
    #[error("reading {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A range of positions that cannot be read, and where that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// First lost position.
    pub from: Position,
    /// Last lost position.
    pub to: Position,
    /// File in which the records are, or after which they should be.
    pub path: PathBuf,
    /// Byte offset in that file at which the first lost record's frame begins or should begin.
    pub offset: u64,
    /// What was found.
    pub reason: DamageReason,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to, path, offset, reason } = self;
        write!(f, "records {from} to {to} are lost: {reason} at offset {offset} of {}", path.display())
    }
}

/// What was found where records should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageReason {
    /// Bytes whose checksum is wrong.
    Checksum,
    /// The segment's header is unreadable in both copies, so nothing in the file can be checked.
    Header,
    /// Nothing at all: a segment file is gone.
    Missing,
}

impl std::fmt::Display for DamageReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Checksum => "checksum mismatch",
            Self::Header => "both copies of the segment header unreadable",
            Self::Missing => "file missing",
        })
    }
}

impl Engine for Box<dyn Engine> {
    fn append(&mut self, batch: &Batch) -> Result<(), EngineError> {
        (**self).append(batch)
    }

    fn max_payload_bytes(&self) -> usize {
        (**self).max_payload_bytes()
    }

    fn archive(&self) -> Arc<dyn Archive> {
        (**self).archive()
    }
}
