//! What readers get: one consistent picture of history. Files of one snapshot and everything durable in the log after
//! them, so that a report is in it exactly once. A view is taken without waiting and never changes; the files that it
//! names are not deleted while it is held.

use crate::{Stored, Tail};
use arrow::datatypes::SchemaRef;
use drover_model::Kind;
use std::cmp::Ordering;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A picture of history at one moment; see the module.
#[derive(Debug, Clone)]
pub struct View {
    /// Snapshot of the catalogue whose files these are.
    pub snapshot: i64,
    /// The files, oldest day first, within a day in the order of their ids. None is empty.
    pub files: Arc<[Arc<LakeFile>]>,
    /// The reports after `cursor`.
    pub tail: Tail,
    /// Last position on the log whose report is in `files`.
    pub cursor: u64,
    /// Last position on the log whose report is visible here.
    pub position: u64,
    /// The newest schema. Files may be older and lack its last columns, which then read as NULL.
    pub schema: SchemaRef,
    /// The folder of all files.
    pub data_path: Arc<Path>,
}

/// One Parquet file of the lake: reports of one day, sorted by kind, id, event_time, position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeFile {
    /// Number in the catalogue; never given twice.
    pub id: i64,
    /// Where it is: an absolute path, or the address of an object.
    pub path: PathBuf,
    /// The object, if it is one.
    pub stored: Option<Stored>,
    /// Rows in it; at least one.
    pub rows: u64,
    /// Its size, bytes.
    pub bytes: u64,
    /// Size of the footer's metadata, bytes: the file's last 8 bytes, not counted here, repeat it and end the file.
    pub footer_bytes: u64,
    /// Day of the event times, days since 1970-01-01 UTC.
    pub day: i32,
    /// No row's key is smaller. A bound: it need not be the key of a row.
    pub first: Key,
    /// No row's key is greater. A bound: it need not be the key of a row.
    pub last: Key,
    /// Smallest and greatest event time, ms UTC.
    pub event_time: RangeInclusive<i64>,
    /// Smallest and greatest position on the log.
    pub position: RangeInclusive<u64>,
}

impl LakeFile {
    /// Whether a row of this asset within these event times may be in the file.
    pub fn may_hold(&self, kind: Kind, id: &str, event_time: &RangeInclusive<i64>) -> bool {
        self.first.cmp_parts(kind, id) != Ordering::Greater
            && self.last.cmp_parts(kind, id) != Ordering::Less
            && self.event_time.start() <= event_time.end()
            && self.event_time.end() >= event_time.start()
    }
}

/// An asset as files sort it: by the bytes of the kind's name, then by the bytes of the id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The kind.
    pub kind: Kind,
    /// The id within the kind.
    pub id: Box<str>,
}

impl Key {
    /// Order of this key and that of the given asset.
    pub fn cmp_parts(&self, kind: Kind, id: &str) -> Ordering {
        self.kind.name().cmp(kind.name()).then_with(|| self.id.as_bytes().cmp(id.as_bytes()))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        self.cmp_parts(other.kind, &other.id)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
