//! SQLite or PostgreSQL behind one type: opening, reading, transactions that write, migrations, what errors mean. What
//! is in the tables is left to the crates that own them.
//!
//! SQL has `$1` placeholders and the types TEXT, BIGINT and DOUBLE PRECISION only. Two rules follow from how one driver
//! stands for both databases:
//! - write NULL into the statement instead of binding `None` for a number: PostgreSQL fixes a placeholder's type when it
//!   first sees a statement, and a NULL does not tell it the right one;
//! - every write that another may wait for goes through [`Database::begin`].
//!
//! Must always hold: nobody gets a connection that is still in somebody else's transaction.

mod claim;
mod error;
mod migrate;
mod transaction;
mod whole;

pub use error::Error;
pub use migrate::Step;
pub use transaction::Transaction;
pub use whole::check_file;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Executor, Row};
use sqlx_core::any::AnyTransactionManager;
use sqlx_core::transaction::TransactionManager;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// After the database was found away, callers are told so at once for this long, instead of each waiting.
const AWAY_FOR: Duration = Duration::from_millis(500);
/// So often a file that was written anew waits for those who still read the old pages.
const COMPACT_TRIES: usize = 4;
/// Connections of a node.
const CONNECTIONS_MAX: u32 = 16;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

/// An open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: AnyPool,
    dialect: Dialect,
    /// SQLite has one writer: whoever writes waits here, fairly, and never meets a locked file.
    writer: Arc<tokio::sync::Mutex<()>>,
    /// When a server was last found away. A file never is: each call may find it differently.
    away_since: Arc<parking_lot::Mutex<Option<Instant>>>,
}

impl Database {
    /// Opens `sqlite:///path/of/file.db` (made if missing, with its folder) or `postgres://user@host/name`. On `Ok` it
    /// answered; a server that cannot be reached is an error after about 3 s.
    pub async fn open(url: &str) -> Result<Database, Error> {
        sqlx::any::install_default_drivers();
        match url.split_once(':') {
            Some(("sqlite", rest)) => open_sqlite(Path::new(rest.strip_prefix("//").unwrap_or(rest))).await,
            Some(("postgres" | "postgresql", _)) => open_postgres(url).await,
            _ => Err(Error::Address { problem: "it begins neither with sqlite: nor with postgres:".into() }),
        }
    }

    /// Opens a SQLite file, made if missing, with its folder.
    pub async fn open_file(path: &Path) -> Result<Database, Error> {
        sqlx::any::install_default_drivers();
        open_sqlite(path).await
    }

    /// All connections. [`Database::read`] and [`Database::begin`] are better: they fail at once while the database is away.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<PoolConnection<Any>, Error> {
        self.not_away()?;
        let acquired = self.pool.acquire().await;
        acquired.map_err(|error| self.noted(error.into()))
    }

    /// A transaction that writes. There is one at a time, on all nodes: what it reads, nobody changes before its commit.
    /// Dropped without a commit, it changed nothing.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        self.not_away()?;
        let begun = Transaction::begin(self).await;
        begun.map_err(|error| self.noted(error))
    }

    /// Keeps other nodes out for as long as this database, or a clone, is open: on `Ok` nobody else has claimed it. One that
    /// is claimed already is waited for, for some seconds: a node that was killed lets go when its connection ends. Who
    /// claims nothing is not held up, nor is anybody by SQLite, whose file is in a node's own folder.
    pub async fn claim(&self) -> Result<(), Error> {
        match self.dialect {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => claim::claim(self).await,
        }
    }

    /// Brings the tables of `area` to the newest of `steps`. Several nodes may call it at once. Refuses tables that a newer
    /// program made, and steps that were changed after they were applied.
    pub async fn migrate(&self, area: &'static str, steps: &'static [Step]) -> Result<(), Error> {
        migrate::migrate(self, area, steps).await
    }

    /// Writes a SQLite file anew from what its tables hold, and empties its log: nothing that was taken out before stays in
    /// either. `secure_delete` alone leaves what SQLite had moved between pages (measured: 3 of 1,000 values). Writers wait
    /// meanwhile. PostgreSQL: nothing, its own `VACUUM` comes in its own time.
    pub async fn compact(&self) -> Result<(), Error> {
        if self.dialect == Dialect::Postgres {
            return Ok(());
        }
        let _writer = self.writer.clone().lock_owned().await;
        let (began, mut connection) = (Instant::now(), self.read().await?);
        connection.execute("VACUUM").await?;
        for _ in 0..COMPACT_TRIES {
            // It waits for readers of the old pages, `busy_timeout` at most, and then says that it has not come to its end.
            let row = connection.fetch_one("PRAGMA wal_checkpoint(TRUNCATE)").await?;
            if row.try_get::<i64, _>(0)? == 0 {
                return Ok(());
            }
        }
        Err(Error::TimedOut { waited: began.elapsed() })
    }

    /// Closes all connections, after what runs in them.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    fn not_away(&self) -> Result<(), Error> {
        let since = *self.away_since.lock();
        match since {
            Some(since) if since.elapsed() < AWAY_FOR => Err(Error::Away),
            _ => Ok(()),
        }
    }

    fn noted(&self, error: Error) -> Error {
        if error.away() && self.dialect == Dialect::Postgres {
            *self.away_since.lock() = Some(Instant::now());
        }
        error
    }
}

async fn open_sqlite(path: &Path) -> Result<Database, Error> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| Error::Folder { folder: folder.into(), error })?;
    }
    let url = sqlite_url(path)?;
    let options = AnyConnectOptions::from_str(&url)?;
    let pool = AnyPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .before_acquire(|connection, _| Box::pin(async move { Ok(is_free(connection).await) }))
        .after_connect(|connection, _| {
            Box::pin(async move {
                // FULL: a commit is on the disk when it returns. What is taken out is overwritten, not only let go of.
                let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                                PRAGMA secure_delete = ON; PRAGMA busy_timeout = 5000";
                connection.execute(settings).await.map(drop)
            })
        })
        .connect_with(options)
        .await?;
    Ok(Database::new(pool, Dialect::Sqlite))
}

async fn open_postgres(url: &str) -> Result<Database, Error> {
    let options = AnyConnectOptions::from_str(url)?;
    let pool = AnyPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .after_connect(|connection, _| {
            Box::pin(async move {
                // A node that vanished in a transaction must not hold up the others for long.
                let settings = "SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
                                SET idle_in_transaction_session_timeout = '15s'";
                connection.execute(settings).await.map(drop)
            })
        })
        .connect_with(options)
        .await?;
    Ok(Database::new(pool, Dialect::Postgres))
}

impl Database {
    fn new(pool: AnyPool, dialect: Dialect) -> Database {
        Database { pool, dialect, writer: Arc::default(), away_since: Arc::default() }
    }
}

/// Makes a connection good again whose driver believes that a transaction is open; false for one that is to be closed.
/// SQLite takes a transaction back by itself when the disk is full, the `ROLLBACK` after it fails, and the driver would
/// count on that transaction for ever. The pool asks after a ping, so that a rollback on its way has been done. It is not just
/// closed: with the last connection SQLite's log would go, and a full disk may have no room for another.
async fn is_free(connection: &mut AnyConnection) -> bool {
    if !connection.is_in_transaction() {
        return true;
    }
    // An error says that there is a transaction after all.
    let _begun = connection.execute("BEGIN").await;
    AnyTransactionManager::rollback(connection).await.is_ok() && !connection.is_in_transaction()
}

/// The file as an address: bytes that mean something in addresses are escaped.
fn sqlite_url(path: &Path) -> Result<String, Error> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    let text = absolute.to_str().ok_or_else(|| Error::Address { problem: format!("{path:?} is not UTF-8") })?;
    let mut url = String::from("sqlite://");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-') {
            url.push(byte as char);
        } else {
            let _written = write!(url, "%{byte:02X}");
        }
    }
    url.push_str("?mode=rwc");
    Ok(url)
}
