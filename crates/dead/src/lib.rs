//! Dead letters: accepted work whose processing failed for good, kept with its reason until it is retried or dropped.
//! Whoever processes something tries it 1 + 3 times ([`Tries`]), then puts a letter here and goes on with the next.
//! Input that was refused is none of this.
//!
//! Must always hold:
//! - a letter that was put is durable; it leaves when its retry succeeded, when somebody drops it, when it is too old, or
//!   when there are too many, and each of the four is counted;
//! - the same failure met twice is one letter;
//! - a letter is retried once at a time, and one that fails again holds up no other;
//! - letters, their originals and every part of them are bounded. At the bounds a letter loses its original, and the
//!   oldest letters leave; a new failure is always kept.

mod http;
mod index;
mod letter;
mod meters;
mod retry;
mod shelf;
mod store;
mod tries;

pub use http::routes;
pub use letter::{Filter, Letter, LetterId, LetterState, NewLetter, Source, WrongSource};
pub use meters::{SourceStatus, Status, describe};
pub use retry::{Retried, Retry, RetrySummary};
pub use tries::Tries;

use drover_answer::now_ms;
use index::Entry;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use retry::Desk;
use shelf::Shelf;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A larger original is not kept: it is read into memory for a retry.
pub const ORIGINAL_MAX_BYTES: u64 = 16 << 20;

/// How much is kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A letter leaves so long after it failed last.
    pub keep: Duration,
    /// Beyond so many letters the oldest leave.
    pub max_letters: usize,
    /// Originals of all letters together; beyond, letters are kept without.
    pub max_bytes: u64,
    /// [`Dead::retry_all`] begins no further letter after so long, so that its answer still finds somebody waiting.
    pub retry_time: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            keep: Duration::from_secs(14 * 86_400),
            max_letters: 100_000,
            max_bytes: 256 << 20,
            retry_time: Duration::from_secs(10),
        }
    }
}

/// The dead letters of a node. Cheap to clone. Every call but [`Dead::status`] and [`Dead::publish`] reads or writes the
/// disk.
#[derive(Clone)]
pub struct Dead(Arc<Shared>);

pub(crate) struct Shared {
    settings: Settings,
    folder: PathBuf,
    shelf: RwLock<Shelf>,
    desk: Mutex<Desk>,
}

/// The store cannot do what is asked. Every later call tries to open it anew first, so that it goes on by itself when the
/// cause is gone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be made.
    #[error("folder of dead letters {}: {error}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The database says so.
    #[error("store of dead letters: {0}")]
    Database(#[from] redb::Error),
    /// An entry of another version, or damaged.
    #[error("store of dead letters: letter {letter} cannot be read: {error}")]
    Entry {
        /// Which.
        letter: LetterId,
        /// Why.
        error: serde_json::Error,
    },
    /// The key of a new letter has no allowed length.
    #[error("the key of a dead letter has {bytes} bytes; allowed are 1 to {}", letter::KEY_MAX_BYTES)]
    Key {
        /// Its length.
        bytes: usize,
    },
}

impl Dead {
    /// Opens the letters in this folder, making it if it is not there. One process can have it open.
    pub fn open(folder: &Path, settings: Settings) -> Result<Dead, Error> {
        fs::create_dir_all(folder).map_err(|error| Error::Folder { folder: folder.to_owned(), error })?;
        let shelf = Shelf::open(folder)?;
        let (folder, shelf) = (folder.to_owned(), RwLock::new(shelf));
        Ok(Dead(Arc::new(Shared { settings, folder, shelf, desk: Mutex::default() })))
    }

    /// Keeps a failure. A letter of the same source and key becomes this one: it keeps its number and the time of its
    /// first failure, its attempts are added up, the rest is as told now.
    ///
    /// On `Ok` the letter is durable; whether its original is too, `original_kept` says. On `Err` the caller still owes
    /// the letter: what failed must not be passed over.
    pub fn put(&self, new: NewLetter<'_>) -> Result<LetterId, Error> {
        self.put_at(new, now_ms())
    }

    /// As [`Dead::put`], for a failure of this moment, ms UTC.
    pub fn put_at(&self, new: NewLetter<'_>, failed_ms: i64) -> Result<LetterId, Error> {
        let put = self.0.write()?.put(new, failed_ms, &self.0.settings)?;
        let Letter { id, source, key, stage, error, attempts, .. } = &put.letter;
        tracing::warn!(letter = id, %source, key, stage, error, attempts, "a dead letter");
        meters::count_put(&put);
        for (id, Entry { source, key, .. }) in &put.left {
            // This line is all that is left of it.
            tracing::error!(letter = id, %source, key, "there are too many dead letters: the oldest has left");
        }
        Ok(*id)
    }

    /// Up to `limit` letters, newest first.
    pub fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Letter>, Error> {
        let letters = self.0.read()?.list(filter, limit)?;
        Ok(self.0.desk.lock().marked(letters))
    }

    /// The letter of this number.
    pub fn get(&self, id: LetterId) -> Result<Option<Letter>, Error> {
        let letter = self.0.read()?.get(id)?;
        Ok(self.0.desk.lock().marked(letter.into_iter().collect()).pop())
    }

    /// What was being processed; none where the letter is not there or its original was not kept.
    pub fn original(&self, id: LetterId) -> Result<Option<Vec<u8>>, Error> {
        self.0.read()?.original(id)
    }

    /// Takes a letter away for good; false where it is not there. One that is being retried at this moment does not come
    /// back, whatever becomes of the retry.
    pub fn drop_letter(&self, id: LetterId) -> Result<bool, Error> {
        Ok(self.0.dropped(|_| vec![id])? > 0)
    }

    /// Takes all letters of a filter away for good; says how many.
    pub fn drop_all(&self, filter: &Filter) -> Result<u64, Error> {
        self.0.dropped(|shelf| shelf.index().ids(filter).collect())
    }

    /// Takes letters away that failed last longer ago than they are kept; says how many.
    pub fn tidy(&self, now_ms: i64) -> Result<u64, Error> {
        let keep_ms = i64::try_from(self.0.settings.keep.as_millis()).unwrap_or(i64::MAX);
        let expired = {
            let mut shelf = self.0.write()?;
            let old = shelf.index().older_than(now_ms.saturating_sub(keep_ms));
            shelf.remove(&old)?
        };
        for (id, Entry { source, key, .. }) in &expired {
            tracing::warn!(letter = id, %source, key, "nobody retried or dropped this dead letter: its time is over");
        }
        meters::count_expired(&expired);
        Ok(expired.len() as u64)
    }
}

impl Shared {
    fn dropped(&self, which: impl FnOnce(&Shelf) -> Vec<LetterId>) -> Result<u64, Error> {
        let dropped = {
            let mut shelf = self.write()?;
            let ids = which(&shelf);
            shelf.remove(&ids)?
        };
        for (id, Entry { source, key, .. }) in &dropped {
            tracing::info!(letter = id, %source, key, "a dead letter was dropped");
        }
        meters::count_dropped(&dropped);
        Ok(dropped.len() as u64)
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, Shelf>, Error> {
        let shelf = self.shelf.read();
        if !shelf.has_failed() {
            return Ok(shelf);
        }
        drop(shelf);
        Ok(RwLockWriteGuard::downgrade(self.write()?))
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Shelf>, Error> {
        let mut shelf = self.shelf.write();
        if shelf.has_failed() {
            shelf.open_anew(&self.folder)?;
            tracing::info!("the store of dead letters failed and is open again");
        }
        Ok(shelf)
    }
}
