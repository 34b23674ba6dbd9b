//! Files that are there whole or not at all, for their owner alone. What is in them is others'.

use crate::Error;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Says which file an error is about.
pub(crate) fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|error| Error::File { path: path.to_owned(), error })
}

pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    if !is_there(folder)? {
        at(folder, DirBuilder::new().recursive(true).mode(0o700).create(folder))?;
        sync_parent(folder)?;
    }
    at(folder, fs::set_permissions(folder, Permissions::from_mode(0o700)))
}

/// Keeps other processes out for as long as the file is open.
pub(crate) fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let file = at(&path, OpenOptions::new().create(true).append(true).mode(0o600).open(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(Error::File { path, error }),
    }
}

/// Puts a file in the place of the one that may be there. On `Ok` it is durable; on `Err` one of the two is there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = Path::new(&unfinished);
    remove(unfinished)?; // of a crash
    let mut file = at(unfinished, OpenOptions::new().create_new(true).write(true).mode(0o600).open(unfinished))?;
    at(unfinished, file.write_all(bytes).and_then(|()| file.sync_all()))?;
    at(path, fs::rename(unfinished, path))?;
    sync_parent(path)
}

/// Takes a file away; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::File { path: path.to_owned(), error }),
        _ => Ok(()),
    }
}

pub(crate) fn is_there(path: &Path) -> Result<bool, Error> {
    at(path, path.try_exists())
}

/// A new file's name survives a power cut only after this.
fn sync_parent(path: &Path) -> Result<(), Error> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    at(parent, File::open(parent).and_then(|folder| folder.sync_all()))
}
