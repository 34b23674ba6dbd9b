//! What can go wrong: where, while doing what, what the store said, and what whoever runs it can do about it.
//! Nothing here ever holds a secret.

use crate::key::KeyError;
use std::fmt;
use std::io;

/// What was being done, to what, and what came of it. Reads like "cannot read s3://lake/x: no answer within 15 s".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    doing: &'static str,
    address: String,
    said: String,
}

impl At {
    pub(crate) fn new(doing: &'static str, address: impl Into<String>, said: impl fmt::Display) -> At {
        At { doing, address: address.into(), said: said.to_string() }
    }

    /// The full address of the object or the place.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What the store, the network or the disk said.
    #[must_use]
    pub fn said(&self) -> &str {
        &self.said
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, self.address, self.said)
    }
}

/// Why a place, or an object in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be right, whatever the store says.
    #[error("{0}")]
    Settings(String),
    /// No object can have this key.
    #[error("cannot {doing} {key:?}: {why}")]
    Key {
        /// What was to be done.
        doing: &'static str,
        /// What was given as a key.
        key: String,
        /// Why it is none.
        why: KeyError,
    },
    /// There is no such object.
    #[error("{0}")]
    Missing(At),
    /// There is no such bucket, or the folder is gone.
    #[error("{0}; create it, or name another place")]
    NoPlace(At),
    /// The store knows who asks and does not let them, or the folder's permissions do not.
    #[error("{0}; allow listing, reading, writing and deleting there")]
    Denied(At),
    /// The store does not know who asks.
    #[error("{0}; check the access key, its secret and the session token")]
    Credentials(At),
    /// The bucket is in another region than the settings say, or the request is signed for another one.
    #[error("{0}; set the region of the bucket")]
    Region(At),
    /// The object is another one than was asked for: list again.
    #[error("{0}")]
    Replaced(At),
    /// The object ends before what was asked for.
    #[error("{0}")]
    Short(At),
    /// The object has more bytes than the caller takes.
    #[error("{0}")]
    TooLarge(At),
    /// Nobody answers, or not in time, or the connection broke.
    #[error("{0}; is the store running, and is its address right?")]
    Unreachable(At),
    /// The store or the disk is there and cannot do it now: overloaded, full, restarting.
    #[error("{0}")]
    Trouble(At),
    /// The store or the disk will not do it, now or later.
    #[error("{0}")]
    Refused(At),
    /// What was to be put could not be read, or what was read could not be kept: nothing of the store's.
    #[error("{at}")]
    Local {
        /// What was being done.
        at: At,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Whether the same may work later without anybody changing anything here: the store is not reached or is in
    /// trouble. What is not passing needs somebody, or another question.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Unreachable(_) | Error::Trouble(_) => true,
            Error::Local { source, .. } => is_passing(source),
            _ => false,
        }
    }

    /// Whether this says that there is no such object.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Error::Missing(_))
    }

    /// Whether this says that the object is another one than the list showed.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        matches!(self, Error::Replaced(_))
    }

    /// For a file of the caller's.
    pub(crate) fn local(doing: &'static str, address: impl Into<String>, source: io::Error) -> Error {
        Error::Local { at: At::new(doing, address, &source), source }
    }

    /// For a file of a folder's place.
    pub(crate) fn of_folder(doing: &'static str, address: impl Into<String>, error: &io::Error) -> Error {
        let at = At::new(doing, address, error);
        match error.kind() {
            // What leads to it is a file: then it is not there either.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::Missing(at),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::Denied(at),
            _ if is_passing(error) => Error::Trouble(at),
            _ => Error::Refused(at),
        }
    }
}

/// A disk fills and is emptied, a network file system goes and comes: only what is surely about the names or the
/// rights is not passing.
fn is_passing(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Unsupported
            | io::ErrorKind::FileTooLarge
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_passes_and_a_read_only_one_does_not() {
        let error = |kind| Error::of_folder("write", "/srv/x", &io::Error::from(kind));
        assert!(error(io::ErrorKind::StorageFull).is_passing());
        assert!(error(io::ErrorKind::StaleNetworkFileHandle).is_passing());
        assert!(!error(io::ErrorKind::ReadOnlyFilesystem).is_passing());
        assert!(matches!(error(io::ErrorKind::PermissionDenied), Error::Denied(_)));
        assert!(error(io::ErrorKind::NotFound).is_missing());
        assert!(!Error::local("read", "/tmp/x", io::ErrorKind::NotFound.into()).is_missing());
    }

    #[test]
    fn an_error_says_where_and_what_to_do() {
        let error = Error::NoPlace(At::new("list", "s3://lake/cold", "404 NoSuchBucket"));
        assert_eq!(error.to_string(), "cannot list s3://lake/cold: 404 NoSuchBucket; create it, or name another place");
    }
}
