//! Asking the source once: a file by its stamp, an address with `If-None-Match`. Every answer has a bound in bytes and,
//! from an address, in time; what was refused once in a file is not read again before the file changes.

use crate::document::{self, Document};
use crate::settings::Place;
use crate::{LoadError, Settings};
use std::fs::{self, File, Metadata as FileMetadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use ureq::http::{HeaderMap, Response, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Longest chain of redirects.
const REDIRECTS_MAX: u32 = 5;
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Longest validator that is kept, bytes.
const VALIDATOR_MAX_BYTES: usize = 1024;

/// What the source says.
pub(crate) enum Answer {
    /// The table is still right.
    Same,
    /// Another table.
    New(Box<Document>),
}

/// What is remembered of the source between tries.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The file that the table was read from.
    file: Option<Stamp>,
    /// The file that was refused, and why.
    refused: Option<(Stamp, String)>,
    etag: Option<String>,
    modified: Option<String>,
}

/// Changes whenever a file is written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &FileMetadata) -> Stamp {
        Stamp {
            bytes: file.len(),
            inode: file.ino(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// Asks the source. On error nothing of its answer is used.
pub(crate) fn ask(settings: &Settings, known: &mut Known, stopping: &AtomicBool) -> Result<Answer, LoadError> {
    match &settings.source.0 {
        Place::File(path) => ask_file(path, settings, known, stopping),
        Place::Address { url, authorization, .. } => {
            ask_address(url, authorization.as_deref(), settings, known, stopping)
        }
    }
}

fn ask_file(path: &Path, settings: &Settings, known: &mut Known, stop: &AtomicBool) -> Result<Answer, LoadError> {
    // Before opening: to open a pipe waits for its other end.
    let stamp = Stamp::of(&regular(fs::metadata(path)?)?);
    if known.file == Some(stamp) {
        return Ok(Answer::Same);
    }
    if let Some((refused, why)) = &known.refused
        && *refused == stamp
    {
        return Err(LoadError::Unchanged(why.clone()));
    }
    let file = File::open(path)?;
    let stamp = Stamp::of(&regular(file.metadata()?)?);
    let read = match stamp.bytes > settings.max_bytes {
        true => Err(LoadError::TooLarge(settings.max_bytes)),
        false => document::read(Bounded::new(&file, settings, stop), settings.max_entries).map_err(unwrap),
    };
    if Stamp::of(&file.metadata()?) != stamp {
        return Err(LoadError::Changed);
    }
    if let Err(error @ (LoadError::NotJson(_) | LoadError::TooMany(_) | LoadError::NothingUsable { .. })) = &read {
        known.refused = Some((stamp, error.to_string()));
    }
    let document = read?;
    *known = Known { file: Some(stamp), ..Known::default() };
    Ok(Answer::New(document.into()))
}

fn regular(file: FileMetadata) -> Result<FileMetadata, LoadError> {
    if file.is_file() { Ok(file) } else { Err(LoadError::NotAFile) }
}

fn ask_address(
    url: &str,
    authorization: Option<&str>,
    settings: &Settings,
    known: &mut Known,
    stop: &AtomicBool,
) -> Result<Answer, LoadError> {
    let mut request = agent(url, settings.timeout).get(url).header(header::ACCEPT, "application/json");
    let validators = [(header::IF_NONE_MATCH, &known.etag), (header::IF_MODIFIED_SINCE, &known.modified)];
    let authorization = [(header::AUTHORIZATION, authorization)];
    let validators = validators.into_iter().map(|(name, value)| (name, value.as_deref()));
    for (name, value) in authorization.into_iter().chain(validators) {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let answer = request.call().map_err(|error| failed(error, settings.timeout))?;
    match answer.status().as_u16() {
        200 => take(answer, settings, known, stop),
        304 if known.etag.is_some() || known.modified.is_some() => Ok(Answer::Same),
        status => Err(LoadError::Status(status)),
    }
}

fn take(
    answer: Response<Body>,
    settings: &Settings,
    known: &mut Known,
    stop: &AtomicBool,
) -> Result<Answer, LoadError> {
    let (head, body) = answer.into_parts();
    let validator = |name| text(&head.headers, name).filter(|value| value.len() <= VALIDATOR_MAX_BYTES);
    if let Some(packed) = text(&head.headers, header::CONTENT_ENCODING).filter(|how| how != "identity") {
        return Err(LoadError::Packed(packed));
    }
    if body.content_length().is_some_and(|bytes| bytes > settings.max_bytes) {
        return Err(LoadError::TooLarge(settings.max_bytes));
    }
    let read = document::read(Bounded::new(body.into_reader(), settings, stop), settings.max_entries);
    let document = read.map_err(|error| match error {
        LoadError::Io(error) => failed(ureq::Error::from(error), settings.timeout),
        LoadError::NotJson(why) => not_json(&why, text(&head.headers, header::CONTENT_TYPE)),
        other => other,
    })?;
    // Only now: what was refused must not come back as "not modified".
    *known = Known { etag: validator(header::ETAG), modified: validator(header::LAST_MODIFIED), ..Known::default() };
    Ok(Answer::New(document.into()))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn not_json(why: &str, kind: Option<String>) -> LoadError {
    match kind.filter(|kind| !kind.contains("json")) {
        Some(kind) => LoadError::NotJson(format!("{why} ({})", kind.chars().take(60).collect::<String>())),
        None => LoadError::NotJson(why.into()),
    }
}

/// One for each try: an hour lies between two, and the system's authorities may have changed.
fn agent(url: &str, timeout: Duration) -> Agent {
    let is_secret = url.starts_with("https:");
    let settings = Agent::config_builder()
        .http_status_as_error(false)
        .https_only(is_secret) // no redirect to plain HTTP
        .max_redirects(REDIRECTS_MAX)
        .user_agent(concat!("drover/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(timeout))
        .timeout_connect(Some(timeout.min(CONNECT_MAX)))
        .max_idle_connections(0);
    let settings = if is_local(url) { settings.proxy(None) } else { settings };
    let settings = if is_secret { settings.tls_config(tls()) } else { settings };
    settings.build().new_agent()
}

fn tls() -> TlsConfig {
    let authorities = rustls_native_certs::load_native_certs().certs;
    let authorities: Vec<_> = authorities.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(authorities)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build()
}

/// A proxy of the environment has no business with this machine.
fn is_local(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    host == "localhost" || host.starts_with("127.") || host == "[::1]"
}

/// In our words, and without the addresses that some of these errors hold.
fn failed(error: ureq::Error, timeout: Duration) -> LoadError {
    match error {
        ureq::Error::Io(error) => unwrap(LoadError::Io(error)),
        ureq::Error::Timeout(_) => LoadError::Timeout(timeout),
        ureq::Error::TooManyRedirects => LoadError::Http(format!("more than {REDIRECTS_MAX} redirects")),
        ureq::Error::RequireHttpsOnly(_) => LoadError::Http("redirected from https to http".into()),
        ureq::Error::BadUri(_) => LoadError::Http("redirected to what is no address".into()),
        ureq::Error::HostNotFound => LoadError::Http("the host's name is not known".into()),
        ureq::Error::ConnectProxyFailed(_) => LoadError::Http("the proxy refuses".into()),
        other => LoadError::Http(other.to_string()),
    }
}

/// A reader of JSON passes errors on as I/O errors.
fn unwrap(error: LoadError) -> LoadError {
    match error {
        LoadError::Io(error) => match error.downcast::<LoadError>() {
            Ok(own) => own,
            Err(error) => LoadError::Io(error),
        },
        other => other,
    }
}

/// Reads no more than allowed, and nothing once the node goes down.
struct Bounded<'a, R> {
    input: R,
    left_bytes: u64,
    max_bytes: u64,
    stopping: &'a AtomicBool,
}

impl<'a, R: Read> Bounded<'a, R> {
    fn new(input: R, settings: &Settings, stopping: &'a AtomicBool) -> Bounded<'a, R> {
        Bounded { input, left_bytes: settings.max_bytes, max_bytes: settings.max_bytes, stopping }
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(io::Error::other(LoadError::Stopped));
        }
        let bytes = self.input.read(out)?;
        self.left_bytes = self
            .left_bytes
            .checked_sub(bytes as u64)
            .ok_or_else(|| io::Error::other(LoadError::TooLarge(self.max_bytes)))?;
        Ok(bytes)
    }
}
