//! `audit.head`: the newest entry's number and hash in a small file beside the ledger. It may be a second behind, and is
//! never ahead, so that a ledger that lost its end is noticed.

use crate::Error;
use crate::chain::Hash;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The end of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The ledger's random name.
    pub(crate) ledger: String,
    /// The newest entry; 0 while there is none.
    pub(crate) seq: u64,
    /// Its hash.
    pub(crate) hash: Hash,
}

/// A head as text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) ledger: String,
    pub(crate) seq: u64,
    pub(crate) hash: String,
}

impl Head {
    /// Of a ledger without entries.
    pub(crate) fn of_nothing(ledger: String) -> Head {
        Head { hash: Hash::before_the_first(&ledger), ledger, seq: 0 }
    }

    pub(crate) fn written(&self) -> Written {
        Written { ledger: self.ledger.clone(), seq: self.seq, hash: self.hash.to_string() }
    }

    /// Puts it in the place of the one before. On `Ok` it is durable; on `Err` one of the two is there.
    pub(crate) fn write(&self, ledger: &Path) -> Result<(), Error> {
        let path = path(ledger);
        let unfinished = path.with_extension("head.unfinished");
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(&serde_json::to_vec(&self.written())?)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        };
        at(&path, write())
    }
}

/// What the file says; none where it is missing.
pub(crate) fn read(ledger: &Path) -> Result<Option<Result<Head, String>>, Error> {
    let path = path(ledger);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(Some(parse(&at(&path, read)?))),
    }
}

fn parse(bytes: &[u8]) -> Result<Head, String> {
    serde_json::from_slice::<Written>(bytes).map_err(|error| error.to_string())?.head()
}

impl Written {
    pub(crate) fn head(self) -> Result<Head, String> {
        let hash = Hash::parse(&self.hash).ok_or("its hash is no hash")?;
        Ok(Head { ledger: self.ledger, seq: self.seq, hash })
    }
}

/// Keeps other processes from writing the ledger, for as long as the file is open.
pub(crate) fn lock(ledger: &Path) -> Result<File, Error> {
    let path = ledger.with_extension("lock");
    if let Some(folder) = path.parent() {
        at(folder, fs::create_dir_all(folder))?;
    }
    let file = at(&path, OpenOptions::new().create(true).append(true).open(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(ledger.to_owned())),
        Err(TryLockError::Error(error)) => Err(Error::File { path, error }),
    }
}

fn path(ledger: &Path) -> PathBuf {
    ledger.with_extension("head")
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|error| Error::File { path: path.to_owned(), error })
}
