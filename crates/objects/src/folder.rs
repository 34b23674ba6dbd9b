//! Objects as files of a folder, with the promises that a bucket makes: what was put is durable and appears whole or
//! not at all, lists come in the order of the keys' bytes, and folders exist only as long as something is in them.
//!
//! One thing a bucket can and a folder cannot: have both `a` and `a/b`. Writing the second of them is refused.

mod list;
mod unfinished;

use crate::error::{At, Error};
use crate::{Meta, Place};
use bytes::Bytes;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use unfinished::Unfinished;

/// How much is copied at a time, bytes.
const STEP_BYTES: usize = 1 << 20;

/// A folder with objects in it.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens the folder, making it if it is not there.
    pub(crate) fn open(root: &Path) -> Result<Folder, Error> {
        let failed = |error: io::Error| match Error::of_folder("open", root.display().to_string(), &error) {
            Error::Missing(at) => Error::NoPlace(at),
            failed => failed,
        };
        // A relative path would mean another folder if the process changed its own.
        let root = std::path::absolute(root).map_err(failed)?;
        unfinished::make_folders(Path::new("/"), &root).map_err(failed)?;
        Ok(Folder { root })
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) -> Result<Meta, Error> {
        self.write(key, |file| file.write_all(bytes).map_err(|error| self.failed("write", key, &error)))
    }

    pub(crate) fn put_file(&self, key: &str, from: &Path) -> Result<Meta, Error> {
        let unreadable = |error| Error::local("read", from.display().to_string(), error);
        let mut source = File::open(from).map_err(unreadable)?;
        let mut left = source.metadata().map_err(unreadable)?.len();
        self.write(key, |file| {
            let mut step = vec![0; STEP_BYTES];
            while left > 0 {
                let part = &mut step[..usize::try_from(left).map_or(STEP_BYTES, |left| left.min(STEP_BYTES))];
                source.read_exact(part).map_err(unreadable)?;
                file.write_all(part).map_err(|error| self.failed("write", key, &error))?;
                left -= part.len() as u64;
            }
            Ok(())
        })
    }

    /// On success the object is durable. On error what was under the key before is there still, except when the disk
    /// failed to confirm the very last step: then it may be the new object, whole.
    fn write(&self, key: &str, fill: impl FnOnce(&mut File) -> Result<(), Error>) -> Result<Meta, Error> {
        let path = self.path(key);
        let mut unfinished = Unfinished::create(&self.root, &path).map_err(|error| self.not_written(key, &error))?;
        fill(unfinished.file())?;
        let metadata = unfinished.finish().map_err(|error| self.not_written(key, &error))?;
        Ok(meta(key.to_owned(), &metadata))
    }

    /// When writing, "not found" is about the folders, and "exists" or "not a folder" about another object in the way.
    fn not_written(&self, key: &str, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::DirectoryNotEmpty => {
                let said = "another object is in the way: a folder cannot have both x and x/y";
                Error::Refused(At::new("write", self.address(key), said))
            }
            _ => match self.failed("write", key, error) {
                // The place is there, and its folders come and go under this.
                Error::Missing(at) => Error::Trouble(at),
                failed => failed,
            },
        }
    }

    pub(crate) fn get(&self, key: &str, max_bytes: u64) -> Result<Bytes, Error> {
        let (file, meta) = self.open_object("read", key)?;
        if meta.bytes > max_bytes {
            let said = format!("it has {} bytes, more than the {max_bytes} that are taken", meta.bytes);
            return Err(Error::TooLarge(At::new("read", self.address(key), said)));
        }
        self.read_exactly(&file, key, 0..meta.bytes)
    }

    pub(crate) fn read_at(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let (file, _) = self.open_object("read", key)?;
        self.read_exactly(&file, key, range)
    }

    pub(crate) fn read_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let (file, _) = self.open_object("read", key)?;
        ranges.iter().map(|range| self.read_exactly(&file, key, range.clone())).collect()
    }

    fn read_exactly(&self, file: &File, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        // Before the memory is taken: a wrong end must not take all there is.
        let bytes = file.metadata().map_err(|error| self.failed("read", key, &error))?.len();
        let length = range.end.saturating_sub(range.start);
        match usize::try_from(length) {
            Ok(length) if range.end <= bytes => {
                let mut read = vec![0; length];
                file.read_exact_at(&mut read, range.start).map_err(|error| self.not_read(key, &error))?;
                Ok(read.into())
            }
            _ => {
                let said = format!("it has {bytes} bytes, not the {} that were asked for", range.end);
                Err(Error::Short(At::new("read", self.address(key), said)))
            }
        }
    }

    pub(crate) fn get_to(&self, meta: &Meta, to: &mut dyn Write) -> Result<u64, Error> {
        let (mut file, found) = self.open_object("read", &meta.key)?;
        self.refuse_other(meta, &found)?;
        let mut step = vec![0; STEP_BYTES];
        let mut left = meta.bytes;
        while left > 0 {
            let part = &mut step[..usize::try_from(left).map_or(STEP_BYTES, |left| left.min(STEP_BYTES))];
            file.read_exact(part).map_err(|error| self.not_read(&meta.key, &error))?;
            to.write_all(part)
                .map_err(|error| Error::local("keep what was read of", self.address(&meta.key), error))?;
            left -= part.len() as u64;
        }
        // Who writes to the file in its place changes it under the reader.
        let now = file.metadata().map_err(|error| self.failed("read", &meta.key, &error))?;
        self.refuse_other(meta, &self::meta(meta.key.clone(), &now))?;
        Ok(meta.bytes)
    }

    fn refuse_other(&self, expected: &Meta, found: &Meta) -> Result<(), Error> {
        if found.is_same_as(expected) {
            return Ok(());
        }
        Err(Error::Replaced(At::new("read", self.address(&expected.key), "it was replaced by another object")))
    }

    pub(crate) fn head(&self, key: &str) -> Result<Option<Meta>, Error> {
        match fs::metadata(self.path(key)) {
            Ok(metadata) if metadata.is_file() => Ok(Some(meta(key.to_owned(), &metadata))),
            Ok(_) => Ok(None),
            Err(error) => match self.failed("look for", key, &error) {
                Error::Missing(_) => Ok(None),
                failed => Err(failed),
            },
        }
    }

    pub(crate) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Meta>, Error> {
        list::list(&self.root, prefix, after.unwrap_or(""), limit).map_err(|error| {
            let address = self.root.display().to_string();
            match Error::of_folder("list", address, &error) {
                Error::Missing(at) => Error::NoPlace(at),
                failed => failed,
            }
        })
    }

    /// The folders that are left empty go too.
    pub(crate) fn delete(&self, key: &str) -> Result<(), Error> {
        let path = self.path(key);
        match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => return Ok(()),
            _ => {}
        }
        if let Err(error) = fs::remove_file(&path) {
            return match self.failed("delete", key, &error) {
                Error::Missing(_) => Ok(()),
                failed => Err(failed),
            };
        }
        self.remove_empty(path.parent());
        Ok(())
    }

    /// Nothing depends on this: an empty folder that stays is not seen by anyone.
    fn remove_empty(&self, folder: Option<&Path>) {
        let below = |folder: &&Path| *folder != self.root && folder.starts_with(&self.root);
        let mut folder = folder;
        while let Some(empty) = folder.filter(below) {
            if fs::remove_dir(empty).is_err() {
                break;
            }
            folder = empty.parent();
        }
        // Makes what is gone durable, as a bucket does.
        if let Some(kept) = folder {
            let _ = unfinished::sync(kept);
        }
    }

    fn open_object(&self, doing: &'static str, key: &str) -> Result<(File, Meta), Error> {
        let failed = |error: io::Error| self.failed(doing, key, &error);
        let file = File::open(self.path(key)).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::Missing(At::new(doing, self.address(key), "it is no file")));
        }
        Ok((file, meta(key.to_owned(), &metadata)))
    }

    /// "Not found" means the object, as long as the place is there.
    fn failed(&self, doing: &'static str, key: &str, error: &io::Error) -> Error {
        match Error::of_folder(doing, self.address(key), error) {
            Error::Missing(_) if !self.root.is_dir() => {
                let said = format!("the folder {} is not there", self.root.display());
                Error::NoPlace(At::new(doing, self.address(key), said))
            }
            failed => failed,
        }
    }

    fn not_read(&self, key: &str, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Error::Short(At::new("read", self.address(key), "it became shorter while it was read"))
            }
            _ => self.failed("read", key, error),
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn address(&self, key: &str) -> String {
        Place::Folder(self.root.clone()).of_key(key)
    }
}

/// A file's mark changes whenever it is written or replaced.
fn meta(key: String, metadata: &Metadata) -> Meta {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let etag = format!("{:x}-{:x}-{:x}", metadata.ino(), modified.as_nanos(), metadata.len());
    let modified_ms = i64::try_from(modified.as_millis()).unwrap_or(i64::MAX);
    Meta { key, bytes: metadata.len(), etag: Some(etag), modified_ms }
}
