//! The queries that run now: what they are, how far they are, and how to stop one.

use crate::progress::{Progress, Watch};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A query that has its turn and has not ended.
#[derive(Debug, Clone)]
pub struct RunningQuery {
    /// Its number, by which it is stopped. Never given twice while the node runs.
    pub id: u64,
    /// Whose it is.
    pub asker: Arc<str>,
    /// Its text.
    pub sql: Arc<str>,
    /// Time since it got its turn.
    pub elapsed: Duration,
    /// Work so far.
    pub progress: Progress,
}

/// The list of them.
#[derive(Debug, Default)]
pub(crate) struct Current {
    last: AtomicU64,
    queries: Mutex<BTreeMap<u64, Query>>,
}

#[derive(Debug)]
struct Query {
    asker: Arc<str>,
    sql: Arc<str>,
    started: Instant,
    watch: Arc<Watch>,
    stop: Arc<Notify>,
}

impl Current {
    pub(crate) fn enter(
        self: &Arc<Current>,
        sql: &str,
        asker: &Arc<str>,
        started: Instant,
        watch: &Arc<Watch>,
    ) -> Entry {
        let id = self.last.fetch_add(1, Relaxed) + 1;
        let stop = Arc::new(Notify::new());
        let query = Query { asker: asker.clone(), sql: sql.into(), started, watch: watch.clone(), stop: stop.clone() };
        self.queries.lock().insert(id, query);
        Entry { current: self.clone(), id, stop }
    }

    pub(crate) fn list(&self) -> Vec<RunningQuery> {
        let running = |(id, query): (&u64, &Query)| RunningQuery {
            id: *id,
            asker: query.asker.clone(),
            sql: query.sql.clone(),
            elapsed: query.started.elapsed(),
            progress: query.watch.progress(),
        };
        self.queries.lock().iter().map(running).collect()
    }

    /// Whether there was such a query.
    pub(crate) fn stop(&self, id: u64) -> bool {
        self.queries.lock().get(&id).map(|query| query.stop.notify_one()).is_some()
    }
}

/// A query's place in the list, which it leaves when this is dropped.
pub(crate) struct Entry {
    current: Arc<Current>,
    id: u64,
    stop: Arc<Notify>,
}

impl Entry {
    /// Waits until somebody wants the query stopped.
    pub(crate) async fn stopped(&self) {
        self.stop.notified().await;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(query) = self.current.queries.lock().remove(&self.id) {
            query.watch.ended();
        }
    }
}
