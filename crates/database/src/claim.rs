//! One database serves one node: a session of its own holds an advisory lock for as long as the database is open. A lost
//! session is made again; a node that was killed lets go with its connection.

use crate::{Database, Error};
use sqlx::any::AnyConnectOptions;
use sqlx::pool::CloseEvent;
use sqlx::{AnyConnection, Connection, Executor, Row};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The advisory lock of the node: the word "node".
const NODES_LOCK: &str = "SELECT CASE WHEN pg_try_advisory_lock(1852793957) THEN 1 ELSE 0 END";
/// The server gives up a node whose machine is gone after about 25 s; its usual is two hours.
const SETTINGS: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";
/// So long a node that ends, or was killed, has to let go.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often a lock that another has is asked for.
const RETRY: Duration = Duration::from_millis(500);
/// How often the session is looked at, and how long it has to answer.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How often it is told that the lock is not to be had.
const TOLD_EVERY: Duration = Duration::from_secs(60);

pub(crate) async fn claim(database: &Database) -> Result<(), Error> {
    let options = database.pool.connect_options();
    let (began, mut told) = (Instant::now(), false);
    let session = loop {
        match take(&options).await {
            Err(Error::InUse) if began.elapsed() < PATIENCE => {
                if !std::mem::replace(&mut told, true) {
                    let wait_s = PATIENCE.as_secs();
                    tracing::warn!(wait_s, "another node has the registry's database; waiting for it to end");
                }
                tokio::time::sleep(RETRY).await;
            }
            taken => break taken?,
        }
    };
    tokio::spawn(hold(options, session, database.pool.close_event()));
    Ok(())
}

/// A session that has the lock.
async fn take(options: &AnyConnectOptions) -> Result<AnyConnection, Error> {
    let taken = tokio::time::timeout(ANSWER_WITHIN, async {
        let mut session = AnyConnection::connect_with(options).await?;
        session.execute(SETTINGS).await?;
        let is_taken = session.fetch_one(NODES_LOCK).await?.try_get::<i32, _>(0)? == 1;
        Ok::<_, sqlx::Error>((session, is_taken))
    });
    let (session, is_taken) = taken.await.map_err(|_| Error::TimedOut { waited: ANSWER_WITHIN })??;
    if is_taken { Ok(session) } else { Err(Error::InUse) }
}

/// Keeps the lock until the database is closed.
async fn hold(options: Arc<AnyConnectOptions>, session: AnyConnection, closed: CloseEvent) {
    let mut closed = pin!(closed);
    let (mut session, mut told) = (Some(session), None::<Instant>);
    loop {
        let wait = if session.is_some() { LOOK_EVERY } else { RETRY };
        tokio::select! {
            () = &mut closed => break,
            () = tokio::time::sleep(wait) => {}
        }
        if let Some(held) = &mut session {
            let answers = tokio::time::timeout(ANSWER_WITHIN, held.ping()).await;
            if matches!(answers, Ok(Ok(()))) {
                continue;
            }
            session = None;
        }
        match take(&options).await {
            Ok(taken) => (session, told) = (Some(taken), None),
            Err(error) if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) => {
                tracing::error!(%error, "the lock of the registry's database was lost and cannot be taken again yet");
                told = Some(Instant::now());
            }
            Err(_) => {}
        }
    }
    if let Some(session) = session {
        // The server lets go of the lock with the connection, however it ends.
        let _closed = tokio::time::timeout(ANSWER_WITHIN, session.close()).await;
    }
}
