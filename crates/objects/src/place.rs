//! Where objects are kept, as an operator writes it: a folder's path or `s3://bucket/prefix`.

use crate::key;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Longest prefix in a bucket, bytes: with the longest key and the slash it makes the 1,024 that S3 takes.
const PREFIX_MAX_BYTES: usize = 120;
const SCHEME: &str = "s3://";

/// A folder, or a prefix in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder of a file system.
    Folder(PathBuf),
    /// A bucket of an S3-compatible store.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// What all keys begin with, without the slash after it. May be empty.
        prefix: String,
    },
}

/// Why a text names no place. Does not repeat the text: it might have a secret in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Nothing at all.
    #[error("a place may not be empty: give a folder's path or s3://bucket/prefix")]
    Empty,
    /// Some other address.
    #[error("a place is a folder's path or s3://bucket/prefix, no other address")]
    Scheme,
    /// No bucket's name between the slashes.
    #[error("after s3:// comes a bucket's name: 3 to 63 letters, digits, '.', '-' or '_'")]
    Bucket,
    /// The rest of the address cannot be what keys begin with.
    #[error("what follows the bucket's name cannot begin a key: {0}")]
    Prefix(key::KeyError),
    /// The rest of the address is too long.
    #[error("what follows the bucket's name may have at most {PREFIX_MAX_BYTES} bytes")]
    PrefixLong,
}

impl Place {
    /// Understands `s3://bucket`, `s3://bucket/prefix` and a folder's path.
    ///
    /// # Errors
    /// The text names neither.
    pub fn parse(text: &str) -> Result<Place, PlaceError> {
        if let Some(address) = text.strip_prefix(SCHEME) {
            let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
            let place = Place::Bucket { bucket: bucket.to_owned(), prefix: prefix.trim_end_matches('/').to_owned() };
            return place.check().map(|()| place);
        }
        match text {
            "" => Err(PlaceError::Empty),
            _ if text.contains("://") || text.starts_with("s3:") => Err(PlaceError::Scheme),
            _ => Ok(Place::Folder(PathBuf::from(text))),
        }
    }

    /// The object's full address, as any other program would be told: `/folder/key` or `s3://bucket/prefix/key`.
    #[must_use]
    pub fn of_key(&self, key: &str) -> String {
        match self {
            Place::Folder(folder) => folder.join(key).display().to_string(),
            Place::Bucket { .. } => format!("{self}/{key}"),
        }
    }

    /// Refuses what no text could have named.
    pub(crate) fn check(&self) -> Result<(), PlaceError> {
        match self {
            Place::Folder(folder) if folder.as_os_str().is_empty() => Err(PlaceError::Empty),
            Place::Folder(_) => Ok(()),
            Place::Bucket { bucket, .. } if !is_bucket(bucket) => Err(PlaceError::Bucket),
            Place::Bucket { prefix, .. } if prefix.len() > PREFIX_MAX_BYTES => Err(PlaceError::PrefixLong),
            Place::Bucket { prefix, .. } if prefix.is_empty() => Ok(()),
            Place::Bucket { prefix, .. } => key::check(prefix).map_err(PlaceError::Prefix),
        }
    }
}

fn is_bucket(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (3..=63).contains(&name.len()) && name.bytes().all(fits) && name.as_bytes()[0].is_ascii_alphanumeric()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Folder(folder) => write!(f, "{}", folder.display()),
            Place::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "{SCHEME}{bucket}"),
            Place::Bucket { bucket, prefix } => write!(f, "{SCHEME}{bucket}/{prefix}"),
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Place, PlaceError> {
        Place::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(bucket: &str, prefix: &str) -> Place {
        Place::Bucket { bucket: bucket.into(), prefix: prefix.into() }
    }

    #[test]
    fn addresses_and_paths_are_told_apart() {
        assert_eq!(Place::parse("s3://lake"), Ok(bucket("lake", "")));
        assert_eq!(Place::parse("s3://lake/"), Ok(bucket("lake", "")));
        assert_eq!(Place::parse("s3://lake/cold/drover/"), Ok(bucket("lake", "cold/drover")));
        assert_eq!(Place::parse("/srv/cold"), Ok(Place::Folder("/srv/cold".into())));
        assert_eq!(Place::parse("data/cold"), Ok(Place::Folder("data/cold".into())));
    }

    #[test]
    fn what_is_no_place_is_refused_and_not_repeated() {
        assert_eq!(Place::parse(""), Err(PlaceError::Empty));
        for other in ["https://lake.example.org/x", "s3:/lake", "s3:lake", "file:///srv"] {
            assert_eq!(Place::parse(other), Err(PlaceError::Scheme), "{other}");
        }
        for wrong in ["s3://", "s3:///x", "s3://ab", "s3://key:s3cret@lake/x", "s3://-lake"] {
            let error = Place::parse(wrong).unwrap_err();
            assert_eq!(error, PlaceError::Bucket, "{wrong}");
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
        assert_eq!(Place::parse("s3://lake/a//b"), Err(PlaceError::Prefix(key::KeyError::Segment)));
        assert_eq!(Place::parse(&format!("s3://lake/{}", "x".repeat(121))), Err(PlaceError::PrefixLong));
    }

    #[test]
    fn a_key_has_a_full_address() {
        assert_eq!(Place::parse("/srv/cold/").unwrap().of_key("a/b c"), "/srv/cold/a/b c");
        assert_eq!(bucket("lake", "").of_key("a/b"), "s3://lake/a/b");
        assert_eq!(bucket("lake", "cold").of_key("year=2026/ü"), "s3://lake/cold/year=2026/ü");
        for text in ["s3://lake", "s3://lake/cold", "/srv/cold"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
    }
}
