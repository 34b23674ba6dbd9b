//! What is known of one import, from the moment its file is on disk.

use drover_formats::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Numbers of jobs, from 1.
pub type JobId = u64;

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The file is here; other jobs come first.
    Waiting,
    /// Rows are being taken.
    Running,
    /// Every row is accepted, a duplicate or rejected.
    Done,
    /// It cannot go on; `error` says why. What was accepted stays.
    Failed,
    /// Somebody stopped it. What was accepted stays.
    Stopped,
}

impl State {
    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        !matches!(self, State::Waiting | State::Running)
    }
}

/// What may be said with a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// What the file does not say itself.
    pub profile: Profile,
    /// Only report what would be rejected.
    pub dry_run: bool,
    /// Stop when more than so many of a hundred rows are rejected, as soon as a thousand were read.
    pub max_bad_percent: Option<f64>,
    /// The sender's mark of the file, by which it finds an unfinished job again.
    pub fingerprint: Option<String>,
}

/// What became of the rows so far: `rows = accepted + duplicates + rejected_total`, in a dry run
/// `rows = valid + rejected_total`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Counts {
    /// Data rows read.
    pub rows: u64,
    /// New reports, durable in the log. Late ones are counted here too.
    pub accepted: u64,
    /// Rows that were there before with the same content.
    pub duplicates: u64,
    /// Accepted rows older than their asset's newest report: kept, not shown live.
    pub late: u64,
    /// In a dry run: rows that satisfy every rule. Duplicates are not looked for then.
    pub valid: u64,
    /// Rejected rows.
    pub rejected_total: u64,
    /// Rejected rows by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Bytes of the file that were read.
    pub bytes_read: u64,
    /// A read with `at_least` of this log position sees every accepted row.
    pub position: u64,
    /// Time spent on it, waiting for other jobs aside.
    pub seconds: f64,
}

/// An import. Times are ms UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Name of the file.
    pub name: String,
    /// Where the file came from: `upload`, `folder` and the path below the watched folder, or `object` and its address.
    pub source: String,
    /// How far it is.
    pub state: State,
    /// What the file was recognised as.
    #[serde(default)]
    pub format: Option<String>,
    /// Size of the file as it came.
    pub bytes: u64,
    /// SHA-256 of the file as it came.
    pub sha256: String,
    /// The file as it came: its path below the node's data folder or, when it was moved away, its full address. Its
    /// checksum lies beside it. Empty when its time was over.
    pub raw: String,
    /// What was said with it.
    #[schema(value_type = Object)]
    pub options: Options,
    /// When the file was on disk.
    pub created: i64,
    /// When it was over.
    #[serde(default)]
    pub finished: Option<i64>,
    /// What became of the rows.
    #[serde(flatten)]
    pub counts: Counts,
    /// What is in its way at the moment; it goes on by itself.
    #[serde(default)]
    pub problem: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// Bytes of the list of rejected rows that belong to the rows counted.
    #[serde(default)]
    pub rejects_bytes: u64,
}
