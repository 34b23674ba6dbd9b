//! The audit: who did what to what, when, from where, with which outcome, as a chain in which every entry holds the hash
//! of the one before. One SQLite file, one writer, which takes what waits into one transaction.
//! Who may read it, and what is worth an entry, is decided elsewhere.
//!
//! Must always hold:
//! - an entry that was acknowledged is durable, and no entry is changed; none leaves but the oldest by age, of which an
//!   entry keeps the last one's number and hash;
//! - an entry that does not fit the chain is found and named by [`Ledger::verify`]: changed, missing, exchanged, or cut
//!   off at the end (for which `audit.head` beside the file keeps the newest entry's number and hash);
//! - what waits to be written is bounded; what found no room is counted and becomes an entry itself.

mod chain;
mod entry;
mod export;
mod head;
mod http;
mod store;
mod verify;
mod writer;

pub use entry::{Entry, Origin, Outcome, Recorded};
pub use export::Export;
pub use http::routes;
pub use store::{Filter, LIMIT_MAX, Page};
pub use verify::{Fault, FaultKind, Verdict, verify_export, verify_file};
pub use writer::describe;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use tokio::sync::{Mutex, oneshot};
use writer::{Message, Queue, Writer};

/// So many noted entries wait at most.
pub const NOTES_MAX: usize = 65_536;
/// So many bytes they have together at most.
pub const NOTES_MAX_BYTES: usize = 64 << 20;

/// Why the ledger does not do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database says so.
    #[error("audit: {0}")]
    Database(#[from] drover_database::Error),
    /// A file beside the database.
    #[error("audit: {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The entry was not written, with others of its transaction.
    #[error("audit: the entry was not written: {0}")]
    NotWritten(Arc<Error>),
    /// An entry cannot be read.
    #[error("audit: entry {seq} cannot be read: {why}")]
    Entry {
        /// Which.
        seq: u64,
        /// Why.
        why: String,
    },
    /// Another process writes this ledger.
    #[error("audit: {} is open in another process", .0.display())]
    InUse(PathBuf),
    /// There is no ledger.
    #[error("audit: there is no ledger at {}", .0.display())]
    NotThere(PathBuf),
    /// The ledger was closed.
    #[error("audit: the ledger is closed")]
    Closed,
    /// An exported file cannot be read.
    #[error("the exported audit cannot be read: {0}")]
    Export(#[from] io::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        Error::Database(error.into())
    }
}

/// The ledger of a node. Cheap to clone. Only one process writes a ledger.
#[derive(Clone)]
pub struct Ledger(Arc<Shared>);

struct Shared {
    path: PathBuf,
    store: Store,
    queue: Queue,
    verifying: Mutex<()>,
}

impl Ledger {
    /// Opens the ledger in this file, making it if it is not there, and starts its writer on the current runtime. A ledger
    /// that lost entries at its end since it was written goes on, and says so in an entry of its own.
    ///
    /// # Errors
    /// The file or `audit.head` beside it cannot be read or written; another process has it open.
    pub async fn open(path: &Path) -> Result<Ledger, Error> {
        let lock = head::lock(path)?;
        let store = Store::open(path).await?;
        let (mut writer, queue) = Writer::new(path, store.clone(), store.head().await?, lock);
        writer.compare_with_file().await?;
        tokio::spawn(writer.run());
        Ok(Ledger(Arc::new(Shared { path: path.to_owned(), store, queue, verifying: Mutex::default() })))
    }

    /// Adds an entry and says its number. On `Ok` it is durable; an entry whose origin is there already adds nothing, and
    /// the number is that of the first. On `Err` the caller still owes it. Dropping the future does not take it back.
    pub async fn append(&self, entry: Entry) -> Result<u64, Error> {
        let appended = self.append_page(vec![entry]).await?;
        appended.first().map(|(seq, _)| *seq).ok_or(Error::Closed)
    }

    /// Adds a page of entries in one transaction, and says how many are new. Entries whose origin is there already add
    /// nothing: a follower that comes again after a crash gives the same page.
    pub async fn append_all(&self, entries: Vec<Entry>) -> Result<u64, Error> {
        if entries.is_empty() {
            return Ok(0);
        }
        let appended = self.append_page(entries).await?;
        Ok(appended.iter().filter(|(_, new)| *new).count() as u64)
    }

    async fn append_page(&self, entries: Vec<Entry>) -> Result<Vec<(u64, bool)>, Error> {
        let (reply, answer) = oneshot::channel();
        let rows = entries.into_iter().map(Entry::draft).collect();
        self.0.queue.send(Message::Append(rows, reply))?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Adds an entry soon, without anybody waiting. Where too many wait it is lost: counted in
    /// `drover_audit_lost_total`, and told by an entry `audit.lost`.
    pub fn note(&self, entry: Entry) {
        self.0.queue.note(entry.draft());
    }

    /// Lets the oldest entries from before that moment leave, some at once; says how many did. Ask again until none does. An
    /// entry with the number and the hash of the last of them is written with it: the chain is verified from there.
    pub async fn let_leave(&self, before_ms: i64) -> Result<u64, Error> {
        let (reply, answer) = oneshot::channel();
        self.0.queue.send(Message::Leave(before_ms, reply))?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// The greatest number of a source that has an entry, or had one that left by age: a follower of that source goes on after it.
    pub async fn last_origin(&self, source: &str) -> Result<Option<i64>, Error> {
        self.0.store.last_origin(source).await
    }

    /// Entries, newest first.
    pub async fn query(&self, filter: &Filter) -> Result<Page, Error> {
        self.0.store.newest_first(filter).await
    }

    /// All entries of a filter, oldest first, as lines of JSON that [`verify_export`] checks.
    pub fn export(&self, filter: Filter) -> Export {
        Export::new(self.0.store.clone(), self.0.queue.head(), filter)
    }

    /// Walks the whole chain. One walk at a time; others wait.
    pub async fn verify(&self) -> Result<Verdict, Error> {
        let _one = self.0.verifying.lock().await;
        verify::verify_store(&self.0.store, &self.0.path).await
    }

    /// As [`Ledger::verify`]; none where a walk is under way.
    async fn verify_unless_busy(&self) -> Option<Result<Verdict, Error>> {
        let _one = self.0.verifying.try_lock().ok()?;
        Some(verify::verify_store(&self.0.store, &self.0.path).await)
    }

    /// Writes what waits, then `audit.head`, and ends. Entries that come later are refused.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.0.queue.send(Message::Close(reply)).is_ok() {
            // An error is that the writer ended before.
            let _ended = answer.await;
        }
    }

    /// The newest entry's number; 0 while there is none.
    pub fn newest(&self) -> u64 {
        self.0.queue.head().seq
    }
}
