//! Files with certificates and keys: written whole or not at all, keys for their owner's eyes only.

use crate::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Who may read a new file.
#[derive(Clone, Copy)]
pub(crate) enum For {
    Owner = 0o600,
    Everybody = 0o644,
}

/// Writes a file so that it is there whole, on disk, or as it was before.
pub(crate) fn write(path: &Path, text: &str, readers: For) -> Result<(), Error> {
    let new = path.with_extension("new");
    let written = || {
        // What a crash left behind may be open to others.
        let _absent = std::fs::remove_file(&new);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(readers as u32).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        sync_folder_of(path)
    };
    written().map_err(Error::file(path))
}

/// Makes a new name in a folder durable.
pub(crate) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The text of a file, or none if it is not there.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file(path)(error)),
    }
}

/// Now, ms UTC.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
