//! Where files are kept: a folder, or a bucket of an S3-compatible store. This is the one way to object storage; what
//! the files are, and which of them belong together, is for those who use it.
//!
//! The calls are plain synchronous functions, for threads that wait anyway; they may be made inside a task too. Two
//! have an asynchronous twin. A folder and a bucket keep the same promises, and the same tests hold them to it.
//!
//! What always holds:
//! - What was put is durable when the call returns, and an object appears whole or not at all.
//! - Nobody reads the mixture of two objects, or the beginning of one: that is an error.
//! - Memory has a bound whatever the size of the object, except where the caller asks for bytes in memory.
//! - Every call ends. A store that cannot be reached is said within seconds, and [`Error::is_passing`] tells it from
//!   what needs somebody.
//! - No secret is in a message.

mod bucket;
mod error;
mod folder;
mod key;
mod place;
mod runtime;
pub mod s3_server;
mod settings;

use bucket::Bucket;
use bytes::Bytes;
pub use error::{At, Error};
use folder::Folder;
pub use key::KeyError;
pub use place::{Place, PlaceError};
pub use settings::{REGION, S3};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Its key, relative to the place.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// The store's mark for this content; another object under the same key has another. Without quotes. Some stores
    /// do not give it in lists.
    pub etag: Option<String>,
    /// When it was put, ms UTC. Of a bucket: whole seconds, since that is all that every request shows. What a put
    /// returns is what the store's clock said then, which may differ by a little.
    pub modified_ms: i64,
}

impl Meta {
    /// Whether both can be the same object under the same key, as far as both know.
    #[must_use]
    pub fn is_same_as(&self, other: &Meta) -> bool {
        let marks = match (&self.etag, &other.etag) {
            (Some(one), Some(other)) => one == other,
            _ => self.modified_ms == other.modified_ms,
        };
        marks && self.bytes == other.bytes
    }
}

/// The objects of a place. Clones are cheap and share their connections.
#[derive(Clone, Debug)]
pub struct Objects {
    place: Place,
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    Folder(Arc<Folder>),
    Bucket(Arc<Bucket>),
}

impl Objects {
    /// Opens a place. Makes a folder that is not there; asks no store anything, so that a node starts without it.
    ///
    /// # Errors
    /// The settings cannot be right, or the folder cannot be made.
    pub fn open(place: &Place, s3: &S3) -> Result<Objects, Error> {
        place.check().map_err(|error| Error::Settings(error.to_string()))?;
        let kept = match place {
            Place::Folder(root) => Kept::Folder(Arc::new(Folder::open(root)?)),
            Place::Bucket { bucket, prefix } => Kept::Bucket(Arc::new(Bucket::open(bucket, prefix, s3)?)),
        };
        Ok(Objects { place: place.clone(), kept })
    }

    /// Where this is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Tries everything that is ever done here on a small object, and removes it: for saying at once what is wrong with
    /// the settings.
    ///
    /// # Errors
    /// The first thing that does not work.
    pub fn check(&self) -> Result<(), Error> {
        // First, because some stores make a bucket that is missing as soon as something is put there.
        self.list("", None, 1)?;
        let key = format!("{}{:016x}", key::CHECK, random());
        let wrote = Bytes::copy_from_slice(key.as_bytes());
        self.put(&key, wrote.clone())?;
        let read = self.get(&key, wrote.len() as u64);
        self.delete(&key)?;
        if read? == wrote {
            return Ok(());
        }
        Err(Error::Refused(At::new("use", self.place.to_string(), "it gives back something else than was put")))
    }

    /// Puts a file's content under the key, replacing what is there. A large file goes in parts, of which at most
    /// three are in memory.
    ///
    /// On success the object is durable. On error it does not appear, and what was there before is there still; only
    /// if the very last answer of the store was lost may the new object be there, whole. Putting it again is right in
    /// any case.
    ///
    /// # Errors
    /// Of the store, or [`Error::Local`] if the file cannot be read.
    pub fn put_file(&self, key: &str, from: &Path) -> Result<Meta, Error> {
        check_key("write", key)?;
        match &self.kept {
            Kept::Folder(folder) => folder.put_file(key, from),
            Kept::Bucket(bucket) => bucket.put_file(key, from),
        }
    }

    /// Puts bytes under the key; like [`Self::put_file`].
    ///
    /// # Errors
    /// Of the store.
    pub fn put(&self, key: &str, bytes: Bytes) -> Result<Meta, Error> {
        check_key("write", key)?;
        match &self.kept {
            Kept::Folder(folder) => folder.put(key, &bytes),
            Kept::Bucket(bucket) => bucket.put(key, bytes),
        }
    }

    /// The whole object, if it is not larger than that.
    ///
    /// # Errors
    /// Of the store, among them [`Error::Missing`], and [`Error::TooLarge`].
    pub fn get(&self, key: &str, max_bytes: u64) -> Result<Bytes, Error> {
        check_key("read", key)?;
        match &self.kept {
            Kept::Folder(folder) => folder.get(key, max_bytes),
            Kept::Bucket(bucket) => runtime::wait(bucket.clone().get(key.to_owned(), max_bytes)),
        }
    }

    /// A part of an object: all of these bytes. Two calls may see two objects if it is replaced in between; that is
    /// for objects that are not.
    ///
    /// # Errors
    /// Of the store, among them [`Error::Missing`], and [`Error::Short`] if the object ends before the range does.
    pub fn read_at(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        check_key("read", key)?;
        match &self.kept {
            _ if range.is_empty() => Ok(Bytes::new()),
            Kept::Folder(folder) => folder.read_at(key, range),
            Kept::Bucket(bucket) => runtime::wait(bucket.clone().read_at(key.to_owned(), range)),
        }
    }

    /// [`Self::read_at`] for a task.
    ///
    /// # Errors
    /// As there.
    pub async fn read_at_async(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        check_key("read", key)?;
        let key = key.to_owned();
        match self.kept.clone() {
            _ if range.is_empty() => Ok(Bytes::new()),
            Kept::Folder(folder) => runtime::join_blocking(move || folder.read_at(&key, range)).await,
            Kept::Bucket(bucket) => runtime::join(bucket.read_at(key, range)).await,
        }
    }

    /// Several parts of an object, in the order in which they were asked for. Of a bucket, parts that are near each
    /// other come with one request, and several requests are under way at a time.
    ///
    /// # Errors
    /// As [`Self::read_at`].
    pub async fn read_ranges_async(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        check_key("read", key)?;
        let (key, ranges) = (key.to_owned(), ranges.to_vec());
        match self.kept.clone() {
            Kept::Folder(folder) => runtime::join_blocking(move || folder.read_ranges(&key, &ranges)).await,
            Kept::Bucket(bucket) => runtime::join(bucket.read_ranges(key, ranges)).await,
        }
    }

    /// Writes the object that a list or a head showed to `to`, a piece at a time, and says how many bytes that were.
    /// When a connection breaks it goes on from there. On error something may have been written to `to`.
    ///
    /// # Errors
    /// Of the store, among them [`Error::Missing`] and, if it is another object by now, [`Error::Replaced`];
    /// [`Error::Local`] if `to` does not take it.
    pub fn get_to_file(&self, meta: &Meta, to: &mut dyn Write) -> Result<u64, Error> {
        check_key("read", &meta.key)?;
        match &self.kept {
            Kept::Folder(folder) => folder.get_to(meta, to),
            Kept::Bucket(bucket) => bucket.get_to(meta, to),
        }
    }

    /// What is known of an object, or `None` if it is not there. Of a bucket, that is also the answer if the bucket is
    /// not there: a store does not tell the two apart here.
    ///
    /// # Errors
    /// Of the store.
    pub fn head(&self, key: &str) -> Result<Option<Meta>, Error> {
        check_key("look for", key)?;
        match &self.kept {
            Kept::Folder(folder) => folder.head(key),
            Kept::Bucket(bucket) => runtime::wait(bucket.clone().head(key.to_owned())),
        }
    }

    /// At most `limit` objects whose keys begin with `prefix`, which need not end at a slash, and come after the key
    /// `after`; in the order of the keys' bytes. For the next page give the last key as `after`. What others put there
    /// under a name that is no key is left out.
    ///
    /// # Errors
    /// Of the store.
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Meta>, Error> {
        match &self.kept {
            Kept::Folder(folder) => folder.list(prefix, after, limit),
            Kept::Bucket(bucket) => {
                runtime::wait(bucket.clone().list(prefix.to_owned(), after.map(str::to_owned), limit))
            }
        }
    }

    /// Removes an object. It is well if there is none.
    ///
    /// # Errors
    /// Of the store.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        check_key("delete", key)?;
        match &self.kept {
            Kept::Folder(folder) => folder.delete(key),
            Kept::Bucket(bucket) => runtime::wait(bucket.clone().delete(key.to_owned())),
        }
    }
}

fn check_key(doing: &'static str, key: &str) -> Result<(), Error> {
    key::check(key).map_err(|why| Error::Key { doing, key: key.chars().take(100).collect(), why })
}

/// Different in every call and every process.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
