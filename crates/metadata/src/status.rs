//! How the source and the table are, for the operator's page and the metrics.

use crate::document::Document;
use crate::table::Table;
use crate::{LoadError, Shared, now_ms};
use metrics::{Counter, Gauge};
use serde::Serialize;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// A table that has lost more than this part of its entries is taken, but not silently.
const SHRUNK: f64 = 0.9;

/// How the source and the table are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Status {
    /// File or address, without password and query.
    pub source: String,
    /// Assets known.
    pub entries: u64,
    /// About how much memory the table takes.
    pub table_bytes: u64,
    /// Wrong entries of the document that the table comes from.
    pub skipped: u64,
    /// The first 20 of them.
    pub examples: Vec<Skipped>,
    /// When the table was read from its source, ms UTC.
    pub loaded_ms: Option<i64>,
    /// How long ago the source confirmed that the table is right (read, not changed), seconds.
    pub age_s: Option<u64>,
    /// Whether that is within the TTL.
    pub fresh: bool,
    /// Whether the table comes from the disk and the source has not confirmed it since the start.
    pub kept: bool,
    /// Lookups that found something.
    pub hits: u64,
    /// Lookups that found nothing.
    pub misses: u64,
    /// Refreshes that failed since the start.
    pub failures: u64,
    /// What was wrong with the last try; None: nothing.
    pub last_error: Option<String>,
    /// When the source is asked next, ms UTC; None: it is being asked now, or never again.
    pub next_try_ms: Option<i64>,
}

/// An entry that was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Skipped {
    /// Its id, or its number in the document from 1.
    pub entry: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.entry, self.reason)
    }
}

/// What changes with each try.
pub(crate) struct State {
    started: Instant,
    confirmed: Option<Confirmed>,
    loaded_ms: Option<i64>,
    kept: bool,
    skipped: u64,
    examples: Vec<Skipped>,
    failures: u64,
    last_error: Option<String>,
    next_try_ms: Option<i64>,
}

/// When the source last said that the table is right; possibly before this process.
#[derive(Clone, Copy)]
struct Confirmed {
    at: Instant,
    age_then: Duration,
}

impl Confirmed {
    fn now() -> Confirmed {
        Confirmed { at: Instant::now(), age_then: Duration::ZERO }
    }

    fn age(self) -> Duration {
        self.age_then.saturating_add(self.at.elapsed())
    }
}

impl State {
    pub(crate) fn new() -> State {
        State {
            started: Instant::now(),
            confirmed: None,
            loaded_ms: None,
            kept: false,
            skipped: 0,
            examples: Vec::new(),
            failures: 0,
            last_error: None,
            next_try_ms: None,
        }
    }
}

pub(crate) struct Meters {
    found: Counter,
    not_found: Counter,
    failures: Counter,
    age_s: Gauge,
    entries: Gauge,
}

impl Meters {
    pub(crate) fn new() -> Meters {
        let lookups = |found| metrics::counter!("drover_metadata_lookups_total", "found" => found);
        Meters {
            found: lookups("yes"),
            not_found: lookups("no"),
            failures: metrics::counter!("drover_metadata_refresh_failures_total"),
            age_s: metrics::gauge!("drover_metadata_age_seconds"),
            entries: metrics::gauge!("drover_metadata_entries"),
        }
    }
}

impl Shared {
    /// Puts a new table in place of the old one.
    pub(crate) fn take(&self, document: Document) {
        let entries = document.table.len();
        let before = self.replace(document.table);
        if (entries as f64) < before as f64 * (1.0 - SHRUNK) {
            tracing::warn!(before, entries, "the new metadata has lost most of its entries; it is used all the same");
        }
        let mut state = self.state.lock();
        (state.skipped, state.examples) = (document.skipped, document.examples);
        (state.loaded_ms, state.kept, state.last_error) = (Some(now_ms()), false, None);
        state.confirmed = Some(Confirmed::now());
    }

    /// Puts the table of an earlier process in place.
    pub(crate) fn take_kept(&self, table: Table, loaded_ms: i64) {
        self.replace(table);
        let age_then = Duration::from_millis(now_ms().saturating_sub(loaded_ms).try_into().unwrap_or(0));
        let mut state = self.state.lock();
        (state.loaded_ms, state.kept) = (Some(loaded_ms), true);
        state.confirmed = Some(Confirmed { at: Instant::now(), age_then });
    }

    /// The source says that the table is still right.
    pub(crate) fn confirm(&self) {
        let mut state = self.state.lock();
        state.confirmed = Some(Confirmed::now());
        state.last_error = None;
    }

    /// Notes a failure. Tells whether it is another one than the last.
    pub(crate) fn fail(&self, error: &LoadError) -> bool {
        let text = error.to_string();
        let mut state = self.state.lock();
        state.failures += 1;
        let is_new = state.last_error.as_ref() != Some(&text);
        state.last_error = Some(text);
        is_new
    }

    /// When the source is asked next; None: now.
    pub(crate) fn plan(&self, pause: Option<Duration>) {
        let ms = pause.map(|pause| now_ms().saturating_add(pause.as_millis().try_into().unwrap_or(i64::MAX)));
        self.state.lock().next_try_ms = ms;
    }

    /// Tells how many entries the old table had. It is dropped outside the lock: lookups wait for the swap only.
    fn replace(&self, table: Table) -> usize {
        let old = std::mem::replace(&mut *self.table.write(), table);
        old.len()
    }

    pub(crate) fn status(&self) -> Status {
        let (entries, bytes) = {
            let table = self.table.read();
            (table.len(), table.bytes())
        };
        let state = self.state.lock();
        let age = state.confirmed.map(Confirmed::age);
        Status {
            source: self.source.clone(),
            entries: entries as u64,
            table_bytes: bytes as u64,
            skipped: state.skipped,
            examples: state.examples.clone(),
            loaded_ms: state.loaded_ms,
            age_s: age.map(|age| age.as_secs()),
            fresh: age.is_some_and(|age| age <= self.ttl),
            kept: state.kept,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            failures: state.failures,
            last_error: state.last_error.clone(),
            next_try_ms: state.next_try_ms,
        }
    }

    pub(crate) fn publish(&self) {
        let meters = &self.meters;
        meters.found.absolute(self.hits.load(Ordering::Relaxed));
        meters.not_found.absolute(self.misses.load(Ordering::Relaxed));
        meters.entries.set(self.table.read().len() as f64);
        let state = self.state.lock();
        meters.failures.absolute(state.failures);
        // Without any table the age counts from the start, so that one alarm covers both.
        let age = state.confirmed.map_or_else(|| state.started.elapsed(), Confirmed::age);
        meters.age_s.set(age.as_secs_f64());
    }
}
