//! Where metadata comes from and the limits of reading it. Sources are parsed once, at start, so that a wrong one is a
//! configuration error and not a failing refresh.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Most bytes of one document.
pub(crate) const MAX_BYTES: u64 = 64 << 20;
/// Most entries of one document.
pub(crate) const MAX_ENTRIES: usize = 1_000_000;

/// What is loaded, how often, and how much of it is taken at most.
#[derive(Debug, Clone)]
pub struct Settings {
    /// File or address.
    pub source: Source,
    /// A table that was not confirmed for so long is no longer fresh. It is served all the same. An address is asked
    /// again when nine tenths of it have passed.
    pub ttl: Duration,
    /// Longest wait for one whole answer of an address, from the first look-up to the last byte.
    pub timeout: Duration,
    /// Where the last good table is kept for the next start; None: nowhere.
    pub keep: Option<PathBuf>,
    /// How often a file is looked at.
    pub check: Duration,
    /// Wait after the first failure; it doubles with each further one …
    pub retry_first: Duration,
    /// … up to this. For a file, never longer than five checks.
    pub retry_longest: Duration,
    /// Most bytes of a document.
    pub max_bytes: u64,
    /// Most entries of a document.
    pub max_entries: usize,
}

impl Settings {
    /// The usual numbers for a source.
    pub fn new(source: Source) -> Settings {
        Settings {
            source,
            ttl: Duration::from_secs(3600),
            timeout: Duration::from_secs(30),
            keep: None,
            check: Duration::from_secs(2),
            retry_first: Duration::from_secs(1),
            retry_longest: Duration::from_secs(300),
            max_bytes: MAX_BYTES,
            max_entries: MAX_ENTRIES,
        }
    }
}

/// Where metadata comes from. Shows neither password nor query: both hold secrets often enough.
#[derive(Clone, PartialEq, Eq)]
pub struct Source(pub(crate) Place);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    Address {
        /// Without user and password.
        url: String,
        /// Value of the Authorization header.
        authorization: Option<String>,
        shown: String,
    },
}

/// Why a text names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nothing there.
    #[error("metadata_source is empty; give a file or an http(s) address")]
    Empty,
    /// Starts like an address of a kind that is not known.
    #[error("metadata_source starts with {0}://; a file, http:// and https:// are understood")]
    Scheme(String),
    /// An address that cannot be read. It is not shown, because it may hold a password.
    #[error("metadata_source is not a valid http(s) address; write special characters as %XX")]
    Address,
}

impl Source {
    /// Reads a path, `file://` path or `http(s)://[user:password@]host…` address.
    pub fn parse(text: &str) -> Result<Source, SourceError> {
        let text = text.trim();
        match text.split_once("://") {
            _ if text.is_empty() => Err(SourceError::Empty),
            None => Ok(Source(Place::File(text.into()))),
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "file" => Ok(Source(Place::File(rest.into()))),
                scheme @ ("http" | "https") => address(scheme, rest),
                _ => Err(SourceError::Scheme(scheme.into())),
            },
        }
    }

    /// The source as it may be shown.
    pub fn shown(&self) -> String {
        match &self.0 {
            Place::File(path) => path.display().to_string(),
            Place::Address { shown, .. } => shown.clone(),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

fn address(scheme: &str, rest: &str) -> Result<Source, SourceError> {
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let url = format!("{scheme}://{host}{path}");
    let parsed: ureq::http::Uri = url.parse().map_err(|_| SourceError::Address)?;
    // An @ behind the host is a password with a / in it, more often than not.
    let is_odd = path.split('?').next().is_some_and(|path| path.contains('@'));
    if parsed.host().is_none_or(str::is_empty) || is_odd {
        return Err(SourceError::Address);
    }
    let shown = shown(scheme, user.is_some(), host, path);
    Ok(Source(Place::Address { url, authorization: user.map(authorization), shown }))
}

fn shown(scheme: &str, has_user: bool, host: &str, path: &str) -> String {
    let user = if has_user { "***@" } else { "" };
    match path.split_once('?') {
        Some((path, _)) => format!("{scheme}://{user}{host}{path}?***"),
        None => format!("{scheme}://{user}{host}{path}"),
    }
}

/// The HTTP client would send `%40` as it stands.
fn authorization(user: &str) -> String {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut both: Vec<u8> = percent_decode_str(name).collect();
    both.push(b':');
    both.extend(percent_decode_str(password));
    format!("Basic {}", BASE64_STANDARD.encode(both))
}
