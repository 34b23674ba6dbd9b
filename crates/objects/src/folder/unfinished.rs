//! A file that is being written: beside its place, locked, and moved there in one step when it is durable.

use crate::key::UNFINISHED;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How often somebody else may remove the folder, or finish the file, that was just about to be used.
const TRIES_MAX: usize = 100;

pub(super) struct Unfinished {
    file: File,
    path: PathBuf,
    to: PathBuf,
    finished: bool,
}

impl Unfinished {
    /// An empty file for what is to be at `to`. What a crash left of it is overwritten. If another writer, in whatever
    /// process, is at the same object, this waits until that one is done.
    pub(super) fn create(root: &Path, to: &Path) -> io::Result<Unfinished> {
        let mut path = to.as_os_str().to_owned();
        path.push(UNFINISHED);
        let path = PathBuf::from(path);
        let mut tries = 0..TRIES_MAX;
        loop {
            match open_locked(root, &path) {
                Ok(Some(file)) => {
                    let unfinished = Unfinished { file, path, to: to.to_owned(), finished: false };
                    unfinished.file.set_len(0)?;
                    return Ok(unfinished);
                }
                Ok(None) if tries.next().is_some() => {}
                Ok(None) => return Err(io::Error::new(io::ErrorKind::ResourceBusy, "others are writing it")),
                // The folder was empty and went with the last object in it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && root.is_dir() && tries.next().is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Durable when it returns.
    pub(super) fn finish(mut self) -> io::Result<Metadata> {
        self.file.sync_all()?;
        let metadata = self.file.metadata()?;
        fs::rename(&self.path, &self.to)?;
        self.finished = true;
        sync(self.to.parent().unwrap_or(Path::new("/")))?;
        Ok(metadata)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a folder's entries durable.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// `None` if the file under that name is another one by the time it is locked: whoever held it has moved it.
fn open_locked(root: &Path, path: &Path) -> io::Result<Option<File>> {
    make_folders(root, path.parent().unwrap_or(root))?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    match file.lock() {
        // Some network file systems have no locks; then two writers of one object must not be.
        Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
        _ => {}
    }
    match fs::metadata(path) {
        Ok(now) if is_same(&now, &file.metadata()?) => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Makes the folders below `root` and makes them durable. An object's root is its place, which is not made again: a disk
/// that is not mounted must be noticed, not written beside.
pub(super) fn make_folders(root: &Path, folder: &Path) -> io::Result<()> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(root);
    make_folders(root, above)?;
    match fs::create_dir(folder) {
        Ok(()) => sync(above),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}
