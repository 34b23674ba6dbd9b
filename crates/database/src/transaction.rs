//! A transaction that writes. SQLite: begun as a writer, one at a time, so that none meets a locked file. PostgreSQL: one
//! at a time too, by an advisory lock, so that what is numbered inside is numbered in the order of commits, and a check
//! before a write stays true.

use crate::{Database, Dialect, Error};
use sqlx::{Any, AnyConnection};
use std::ops::{Deref, DerefMut};
use tokio::sync::OwnedMutexGuard;

/// The advisory lock of writers: the word "drover".
const WRITERS_LOCK: &str = "SELECT 1 FROM (SELECT pg_advisory_xact_lock(110429645465970)) AS held";

/// A transaction that writes; derefs to its connection.
#[derive(Debug)]
pub struct Transaction {
    // The order matters: the rollback of a dropped transaction is on its way before the next writer begins.
    inner: sqlx::Transaction<'static, Any>,
    database: Database,
    _writer: Option<OwnedMutexGuard<()>>,
}

impl Transaction {
    pub(crate) async fn begin(database: &Database) -> Result<Transaction, Error> {
        let (writer, inner) = match database.dialect {
            Dialect::Sqlite => {
                let writer = database.writer.clone().lock_owned().await;
                (Some(writer), database.pool.begin_with("BEGIN IMMEDIATE").await?)
            }
            Dialect::Postgres => {
                let mut inner = database.pool.begin().await?;
                sqlx::query(WRITERS_LOCK).execute(&mut *inner).await?;
                (None, inner)
            }
        };
        Ok(Transaction { inner, database: database.clone(), _writer: writer })
    }

    /// Makes it durable. On an error that says the database is away, whether it was is not known.
    pub async fn commit(self) -> Result<(), Error> {
        let Transaction { inner, database, _writer } = self;
        let committed = inner.commit().await;
        committed.map_err(|error| database.noted(error.into()))
    }

    /// Undoes it. Dropping does the same, a little later.
    pub async fn rollback(self) -> Result<(), Error> {
        let Transaction { inner, database, _writer } = self;
        let undone = inner.rollback().await;
        undone.map_err(|error| database.noted(error.into()))
    }
}

impl Deref for Transaction {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.inner
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}
