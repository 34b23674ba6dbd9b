//! What is known of vehicles (and any other asset) beforehand: top speed, depot, class. It comes from a file or an
//! address that the operator names, is refreshed in the background and asked on the way of every report.
//!
//! Must always hold:
//! - a lookup never waits for the source or the disk, and never fails;
//! - a good table is only ever replaced by another whole one: the last good one is served for ever, its age is visible;
//! - nothing that a source sends makes memory grow beyond the limits in [`Settings`].

mod document;
mod entry;
mod error;
mod kept;
mod refresh;
mod settings;
mod source;
mod status;
mod table;

pub use error::LoadError;
pub use refresh::Running;
pub use settings::{Settings, Source, SourceError};
pub use status::{Skipped, Status};
pub use table::{Depot, Vehicle};

use drover_model::Kind;
use parking_lot::{Mutex, RwLock};
use status::{Meters, State};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use std::{fmt, io};
use table::Table;

/// The metadata of a node. Cheap to clone.
#[derive(Clone)]
pub struct Metadata(Arc<Shared>);

pub(crate) struct Shared {
    table: RwLock<Table>,
    hits: AtomicU64,
    misses: AtomicU64,
    state: Mutex<State>,
    meters: Meters,
    /// The source as it may be shown: without password and query.
    source: String,
    ttl: Duration,
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({})", self.0.source)
    }
}

impl Metadata {
    /// Reads the table kept on disk, if there is one, and starts the thread that loads and refreshes. Does not wait for
    /// the source. Fails only if the thread cannot be started. Dropping [`Running`] ends the refreshing.
    pub fn start(settings: Settings) -> io::Result<(Metadata, Running)> {
        let metadata = Metadata::empty(settings.source.shown(), settings.ttl);
        let running = refresh::start(metadata.0.clone(), settings)?;
        Ok((metadata, running))
    }

    /// A table that never changes, for tests and tools.
    pub fn fixed(document: impl io::Read) -> Result<Metadata, LoadError> {
        let metadata = Metadata::empty("fixed".into(), Duration::MAX);
        let read = document::read(document, settings::MAX_ENTRIES)?;
        metadata.0.take(read);
        Ok(metadata)
    }

    fn empty(source: String, ttl: Duration) -> Metadata {
        Metadata(Arc::new(Shared {
            table: RwLock::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            state: Mutex::new(State::new()),
            meters: Meters::new(),
            source,
            ttl,
        }))
    }

    /// What is known of an asset.
    #[inline]
    pub fn get(&self, kind: Kind, id: &str) -> Option<Vehicle> {
        let found = self.0.table.read().get(kind, id);
        let count = if found.is_some() { &self.0.hits } else { &self.0.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// How the source and the table are.
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// Brings the metrics up to date. The refreshing thread does it every second while it is idle; a scrape that must
    /// be exact while a source hangs calls it itself.
    pub fn publish(&self) {
        self.0.publish();
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
