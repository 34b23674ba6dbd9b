//! The catalogue: a connection to the SQLite file, and what it said when it was last looked at. Commits are in
//! `commit`, what is forgotten in `expire`. Everything here waits for the disk; call it from the lake's threads only.

use super::create::{self, PARTITION_ID, TABLE_ID};
use super::stores::Stores;
use super::{CATALOG, DATA, Error, TABLE};
use crate::ReadingColumn;
use crate::schema::{READING_COLUMNS_MAX, reading_columns, report_schema};
use arrow::datatypes::SchemaRef;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;

/// So long a statement waits for another program that holds the catalogue locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The open catalogue of one lake.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(super) runtime: Runtime,
    pub(super) connection: SqliteConnection,
    pub(crate) path: PathBuf,
    /// The folder of all data, absolute.
    pub(crate) data: Arc<Path>,
    pub(crate) schema: SchemaRef,
    pub(crate) head: Head,
    pub(crate) stores: Arc<Stores>,
}

/// The newest snapshot, as last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    pub(crate) snapshot: i64,
    pub(crate) schema_version: i64,
    pub(crate) next_catalog_id: i64,
    pub(crate) next_file_id: i64,
    /// Last position of the log that is in files.
    pub(crate) cursor: u64,
    /// Positions that could not be had from the log so far.
    pub(crate) gap: u64,
}

/// Now, ms UTC.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl Catalog {
    /// Opens the lake in `folder` and makes it if it is not there. Afterwards the table has at least the columns of
    /// `readings`, and the catalogue knows where it lies now (it may have been moved).
    pub(crate) fn open(folder: &Path, readings: &[ReadingColumn], stores: Arc<Stores>) -> Result<Catalog, Error> {
        let data = folder.join(DATA);
        let table = data.join(TABLE);
        std::fs::create_dir_all(&table).map_err(Error::file(&table, "making the folder"))?;
        let data = data.canonicalize().map_err(Error::file(&data, "finding the folder"))?;
        let mut catalog = Catalog::connect(&folder.join(CATALOG), data, stores, false)?;
        catalog.make_if_new()?;
        catalog.check_version()?;
        catalog.note_data_path()?;
        catalog.look()?;
        catalog.add_readings(readings)?;
        Ok(catalog)
    }

    /// Opens a lake that is there, for reading only.
    pub(crate) fn open_to_read(folder: &Path, stores: Arc<Stores>) -> Result<Catalog, Error> {
        let data = folder.join(DATA);
        let data = data.canonicalize().map_err(Error::file(&data, "finding the folder"))?;
        let mut catalog = Catalog::connect(&folder.join(CATALOG), data, stores, true)?;
        catalog.check_version()?;
        catalog.look()?;
        Ok(catalog)
    }

    fn connect(path: &Path, data: PathBuf, stores: Arc<Stores>, read_only: bool) -> Result<Catalog, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::file(path, "starting"))?;
        let mut options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT);
        options = match read_only {
            true => options.read_only(true),
            false => options
                .create_if_missing(true)
                // Others read while Drover writes.
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full),
        };
        let connection = runtime.block_on(options.connect());
        let connection =
            connection.map_err(|source| Error::Catalog { path: path.into(), action: "opening", source })?;
        let (data, schema) = (data.into(), report_schema(&[]));
        Ok(Catalog { runtime, connection, path: path.into(), data, schema, head: Head::default(), stores })
    }

    pub(super) fn failed(&self, action: &'static str) -> impl FnOnce(sqlx::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Catalog { path, action, source }
    }

    fn make_if_new(&mut self) -> Result<(), Error> {
        let failed = self.failed("making the tables");
        let made = self.runtime.block_on(async {
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "SELECT count(*) FROM sqlite_master WHERE name = 'ducklake_metadata'";
            if sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *transaction).await? == 0 {
                create::make(&mut transaction).await?;
            }
            transaction.commit().await
        });
        made.map_err(failed)
    }

    fn check_version(&mut self) -> Result<(), Error> {
        match self.metadata("version")?.as_deref() {
            Some("1.0") => Ok(()),
            found => {
                let found = found.unwrap_or("no version");
                let problem = format!("the catalogue has DuckLake format {found}, this build reads and writes 1.0");
                Err(Error::unusable(&self.path, problem))
            }
        }
    }

    fn metadata(&mut self, key: &str) -> Result<Option<String>, Error> {
        let failed = self.failed("reading its settings");
        let sql = "SELECT \"value\" FROM ducklake_metadata WHERE \"key\" = ? AND \"scope\" IS NULL";
        let value = sqlx::query_scalar(sql).bind(key).fetch_optional(&mut self.connection);
        self.runtime.block_on(value).map_err(failed)
    }

    /// Other readers go by this path; all others in the catalogue are relative to it.
    fn note_data_path(&mut self) -> Result<(), Error> {
        let path = format!("{}/", self.data.display());
        if self.metadata("data_path")?.as_deref() == Some(path.as_str()) {
            return Ok(());
        }
        let failed = self.failed("writing the data path");
        let written = self.runtime.block_on(async {
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "DELETE FROM ducklake_metadata WHERE \"key\" = 'data_path' AND \"scope\" IS NULL";
            sqlx::query(sql).execute(&mut *transaction).await?;
            let sql = "INSERT INTO ducklake_metadata VALUES ('data_path', ?, NULL, NULL)";
            sqlx::query(sql).bind(&path).execute(&mut *transaction).await?;
            transaction.commit().await
        });
        written.map_err(failed)
    }

    /// Reads the newest snapshot and the columns.
    pub(crate) fn look(&mut self) -> Result<(), Error> {
        let failed = self.failed("reading the newest snapshot");
        let found = self.runtime.block_on(async {
            let head = head(&mut self.connection).await?;
            sqlx::Result::Ok((head, create::columns(&mut self.connection).await?))
        });
        let (head, schema) = found.map_err(failed)?;
        self.head = head;
        self.schema = schema.map_err(|problem| Error::unusable(&self.path, problem))?;
        Ok(())
    }

    fn add_readings(&mut self, wanted: &[ReadingColumn]) -> Result<(), Error> {
        let mut columns = reading_columns(&self.schema);
        let known = self.schema.fields().len();
        for column in wanted {
            match columns.iter().find(|known| known.name == column.name) {
                Some(known) if known.kind == column.kind => {}
                Some(_) => {
                    let problem = format!("the column {} exists with another type; give the reading that", column.name);
                    return Err(Error::unusable(&self.path, problem));
                }
                None => columns.push(column.clone()),
            }
        }
        if columns.len() > READING_COLUMNS_MAX {
            let problem = format!("{} promoted readings; at most {READING_COLUMNS_MAX} are allowed", columns.len());
            return Err(Error::unusable(&self.path, problem));
        }
        let schema = report_schema(&columns);
        if schema.fields().len() > known {
            self.commit_columns(&schema, known)?;
        }
        Ok(())
    }
}

/// The newest snapshot. The cursor is that of the newest one that Drover made.
pub(super) async fn head(connection: &mut SqliteConnection) -> Result<Head, sqlx::Error> {
    let sql = "SELECT snapshot_id, schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot \
               ORDER BY snapshot_id DESC LIMIT 1";
    let row = sqlx::query(sql).fetch_one(&mut *connection).await?;
    let sql = "SELECT json_extract(commit_extra_info, '$.cursor'), json_extract(commit_extra_info, '$.gap') \
               FROM ducklake_snapshot_changes WHERE commit_extra_info LIKE '{\"cursor\":%' \
               ORDER BY snapshot_id DESC LIMIT 1";
    let extra = sqlx::query(sql).fetch_optional(&mut *connection).await?;
    let (cursor, gap): (i64, i64) = match &extra {
        Some(row) => (row.try_get(0)?, row.try_get(1)?),
        None => (0, 0),
    };
    Ok(Head {
        snapshot: row.try_get(0)?,
        schema_version: row.try_get(1)?,
        next_catalog_id: row.try_get(2)?,
        next_file_id: row.try_get(3)?,
        cursor: cursor as u64,
        gap: gap as u64,
    })
}

/// What a commit of columns or files needs to know of the table.
pub(super) const IDS: (i64, i64) = (TABLE_ID, PARTITION_ID);
