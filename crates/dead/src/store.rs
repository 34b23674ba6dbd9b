//! Letters, their originals and the next number, in one redb file. A commit is durable when it returns.

use crate::Error;
use crate::letter::{Letter, LetterId};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Letter → JSON.
const LETTERS: TableDefinition<'_, LetterId, &[u8]> = TableDefinition::new("letters");
/// Letter → what was being processed.
const ORIGINALS: TableDefinition<'_, LetterId, &[u8]> = TableDefinition::new("originals");
/// The number of the next letter, so that none is given twice, even when the last one has left.
const NEXT: TableDefinition<'_, (), LetterId> = TableDefinition::new("next");
const FILE: &str = "dead.redb";
const CACHE_BYTES: usize = 4 << 20;

/// The store.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    failed: AtomicBool,
}

/// What one transaction does.
#[derive(Debug, Default)]
pub(crate) struct Change<'a> {
    /// A letter that is new or not as before.
    pub(crate) letter: Option<&'a Letter>,
    /// Its original, where that is new.
    pub(crate) original: Option<Original<'a>>,
    /// Letters that leave.
    pub(crate) gone: &'a [LetterId],
}

/// What becomes of an original.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Original<'a> {
    /// It is kept.
    Kept(&'a [u8]),
    /// There is no room for it.
    Cut,
}

impl Store {
    /// Opens the file in this folder, making it if it is not there.
    pub(crate) fn open(folder: &Path) -> Result<Store, Error> {
        let database = open(&folder.join(FILE)).map_err(|error| error.0)?;
        Ok(Store { database, failed: AtomicBool::new(false) })
    }

    /// Whether something went wrong. After a failed write, as on a full disk, redb refuses everything until the file is
    /// opened anew.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// The number of the next letter.
    pub(crate) fn next(&self) -> Result<LetterId, Error> {
        self.read(|read| Ok(read.open_table(NEXT)?.get(())?.map_or(1, |next| next.value())))
    }

    /// Shows every letter. One that cannot be read stays where it is and hides no other.
    pub(crate) fn each(&self, mut visit: impl FnMut(Letter)) -> Result<(), Error> {
        self.read(|read| {
            for entry in read.open_table(LETTERS)?.range::<LetterId>(..)? {
                let (id, json) = entry?;
                match serde_json::from_slice(json.value()) {
                    Ok(letter) => visit(letter),
                    Err(error) => tracing::error!(letter = id.value(), %error, "a dead letter cannot be read"),
                }
            }
            Ok(())
        })
    }

    /// The letters of these numbers, in this order; missing ones are left out.
    pub(crate) fn letters(&self, ids: &[LetterId]) -> Result<Vec<Letter>, Error> {
        let entries = self.read(|read| {
            let letters = read.open_table(LETTERS)?;
            let entry = |id: &LetterId| Ok(letters.get(id)?.map(|json| (*id, json.value().to_vec())));
            ids.iter().filter_map(|id| entry(id).transpose()).collect::<Result<Vec<_>, AnyRedb>>()
        })?;
        let letter = |(id, json): (LetterId, Vec<u8>)| {
            serde_json::from_slice(&json).map_err(|error| Error::Entry { letter: id, error })
        };
        entries.into_iter().map(letter).collect()
    }

    /// The letter of this number.
    pub(crate) fn letter(&self, id: LetterId) -> Result<Option<Letter>, Error> {
        Ok(self.letters(&[id])?.pop())
    }

    /// The original of a letter.
    pub(crate) fn original(&self, id: LetterId) -> Result<Option<Vec<u8>>, Error> {
        self.read(|read| Ok(read.open_table(ORIGINALS)?.get(id)?.map(|bytes| bytes.value().to_vec())))
    }

    /// On `Ok` all of it is durable. On `Err` all of it or nothing is; opened anew, the store says which.
    pub(crate) fn commit(&self, change: &Change<'_>) -> Result<(), Error> {
        self.noted(|| {
            let write = self.database.begin_write()?;
            {
                let mut letters = write.open_table(LETTERS)?;
                let mut originals = write.open_table(ORIGINALS)?;
                for id in change.gone {
                    letters.remove(id)?;
                    originals.remove(id)?;
                }
                if let Some(letter) = change.letter {
                    let json = serde_json::to_vec(letter).expect("a letter is plain text and numbers");
                    letters.insert(letter.id, json.as_slice())?;
                    match change.original {
                        Some(Original::Kept(bytes)) => drop(originals.insert(letter.id, bytes)?),
                        Some(Original::Cut) => drop(originals.remove(letter.id)?),
                        None => {}
                    }
                    let mut next = write.open_table(NEXT)?;
                    let given = next.get(())?.map_or(1, |next| next.value());
                    next.insert((), given.max(letter.id + 1))?;
                }
            }
            Ok(write.commit()?)
        })
    }

    fn read<T>(&self, work: impl FnOnce(ReadTransaction) -> Result<T, AnyRedb>) -> Result<T, Error> {
        self.noted(|| work(self.database.begin_read()?))
    }

    fn noted<T>(&self, work: impl FnOnce() -> Result<T, AnyRedb>) -> Result<T, Error> {
        work().map_err(|error| {
            self.failed.store(true, Ordering::Relaxed);
            Error::Database(error.0)
        })
    }
}

/// Any of redb's errors.
struct AnyRedb(redb::Error);

impl<E: Into<redb::Error>> From<E> for AnyRedb {
    fn from(error: E) -> AnyRedb {
        AnyRedb(error.into())
    }
}

fn open(path: &Path) -> Result<Database, AnyRedb> {
    let database = drover_files::open_database(path, CACHE_BYTES)?;
    let write = database.begin_write()?;
    write.open_table(LETTERS)?;
    write.open_table(ORIGINALS)?;
    write.open_table(NEXT)?;
    write.commit()?;
    Ok(database)
}
