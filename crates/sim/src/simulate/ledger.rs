//! What was acknowledged, on file: one line `kind id timestamp` per report, written after its acknowledgement
//! arrived. A crash test compares it with what the server knows after a `kill -9`. Lines are handed to the operating
//! system at once, so they survive the end of this process too; they are not synced, since this machine is not the
//! one that fails.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::error::{Error, Result};

/// A file that only grows, shared by all connections.
pub(super) struct Ledger {
    path: PathBuf,
    file: Mutex<File>,
}

impl Ledger {
    pub(super) fn open(path: &Path) -> Result<Ledger> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|source| Error::File { path: path.to_owned(), source })?;
        Ok(Ledger { path: path.to_owned(), file: Mutex::new(file) })
    }

    /// Appends whole lines.
    pub(super) fn append(&self, lines: &[u8]) -> Result<()> {
        let mut file = self.file.lock().expect("no writer panics");
        file.write_all(lines).map_err(|source| Error::File { path: self.path.clone(), source })
    }
}
