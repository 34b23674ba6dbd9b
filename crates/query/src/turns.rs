//! Turns: so many queries run at once, others wait for a while. An asker who is bounded has fewer turns than there are,
//! so that somebody else's query finds one however many he sends; his further ones wait for his own.

use crate::error::SqlError;
use crate::limits::{Asker, Settings};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub(crate) struct Turns {
    all: Arc<Semaphore>,
    of_asker: usize,
    queries: usize,
    wait: Duration,
    /// Of those who have a query that runs or waits; others leave with the next one who comes.
    askers: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

/// A query may run as long as this lives.
pub(crate) struct Turn {
    _of_asker: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    pub(crate) fn new(settings: &Settings) -> Turns {
        let queries = settings.queries.max(1);
        Turns {
            all: Arc::new(Semaphore::new(queries)),
            of_asker: settings.queries_of_asker.clamp(1, queries),
            queries,
            wait: settings.queue_wait,
            askers: Mutex::default(),
        }
    }

    /// Waits for a turn: of the asker's own first, so that what waits for one of all is no more than he may have.
    pub(crate) async fn take(&self, asker: &Asker) -> Result<Turn, SqlError> {
        let of_asker = asker.is_bounded.then(|| self.of(&asker.name));
        let running = if asker.is_bounded { self.of_asker } else { self.queries };
        let taken = timeout(self.wait, async {
            let own = match of_asker {
                Some(own) => Some(own.acquire_owned().await?),
                None => None,
            };
            Ok(Turn { _of_asker: own, _of_all: self.all.clone().acquire_owned().await? })
        });
        let taken = taken.await.map_err(|_| SqlError::Busy { running, waited: self.wait })?;
        taken.map_err(|_closed: tokio::sync::AcquireError| SqlError::Internal {
            message: "the engine has stopped".into(),
        })
    }

    fn of(&self, name: &Arc<str>) -> Arc<Semaphore> {
        let mut askers = self.askers.lock();
        // Whoever runs or waits holds one more.
        askers.retain(|_, turns| Arc::strong_count(turns) > 1);
        askers.entry(name.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.of_asker))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(queries: usize, queries_of_asker: usize) -> Turns {
        let queue_wait = Duration::from_millis(50);
        Turns::new(&Settings { queries, queries_of_asker, queue_wait, ..Settings::default() })
    }

    fn bounded(name: &str) -> Asker {
        Asker { name: name.into(), is_bounded: true, ..Asker::default() }
    }

    #[tokio::test]
    async fn a_bounded_asker_leaves_a_turn_for_others_however_many_queries_he_sends() {
        let turns = turns(2, 1);
        let first = turns.take(&bounded("driver")).await.expect("his turn");
        let (driver, manager) = (bounded("driver"), bounded("manager"));
        let crowd = (0..50).map(|_| turns.take(&driver));
        let (crowd, other) = tokio::join!(futures_util::future::join_all(crowd), turns.take(&manager));
        assert!(crowd.iter().all(Result::is_err), "all others of his wait for his own turn");
        let other = other.expect("somebody else has one meanwhile");
        drop(first);
        turns.take(&bounded("driver")).await.expect("his turn is free again");
        drop(other);
        assert_eq!(turns.all.available_permits(), 2);
        turns.take(&bounded("auditor")).await.expect("a turn");
        assert_eq!(turns.askers.lock().len(), 1, "nobody is remembered who asks nothing");
    }

    #[tokio::test]
    async fn who_is_not_bounded_may_have_all_turns_and_one_turn_is_for_everybody() {
        let both = turns(2, 1);
        let _first = both.take(&Asker::default()).await.expect("a turn");
        let _second = both.take(&Asker::default()).await.expect("the other");
        assert!(both.take(&bounded("driver")).await.is_err());
        let one = turns(1, 0);
        let _only = one.take(&bounded("driver")).await.expect("the only turn");
        assert!(one.take(&bounded("manager")).await.is_err());
    }
}
