//! Jobs and what they were made of, in one redb file. A commit is durable when it returns.

use crate::job::{Job, JobId};
use redb::{Database, ReadableDatabase, TableDefinition};
use std::path::Path;

/// Job → JSON.
const JOBS: TableDefinition<'_, JobId, &[u8]> = TableDefinition::new("jobs");
/// Mark of a watched file → the job that took it. Never forgotten, so that a file is taken once.
const TAKEN: TableDefinition<'_, &str, JobId> = TableDefinition::new("taken");
const CACHE_BYTES: usize = 4 << 20;

/// The store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database says so.
    #[error("store of imports: {0}")]
    Database(#[from] redb::Error),
    /// An entry of another version, or damaged.
    #[error("store of imports: job {0} cannot be read: {1}")]
    Entry(JobId, serde_json::Error),
}

/// The store.
#[derive(Debug)]
pub(crate) struct Store(Database);

impl Store {
    /// Opens the file, making it if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Store, StoreError> {
        Ok(Store(open(path)?))
    }

    /// Keeps a job as it is now.
    pub(crate) fn put(&self, job: &Job) -> Result<(), StoreError> {
        Ok(self.write(job, None)?)
    }

    /// Keeps a new job, and that the watched file of this mark is taken with it.
    pub(crate) fn add(&self, job: &Job, mark: Option<&str>) -> Result<(), StoreError> {
        Ok(self.write(job, mark)?)
    }

    /// The job that took the watched file of this mark.
    pub(crate) fn taken(&self, mark: &str) -> Result<Option<JobId>, StoreError> {
        let taken = || Ok(self.0.begin_read()?.open_table(TAKEN)?.get(mark)?.map(|job| job.value()));
        Ok(taken().map_err(|error: AnyRedb| error.0)?)
    }

    fn write(&self, job: &Job, mark: Option<&str>) -> Result<(), redb::Error> {
        let json = serde_json::to_vec(job).expect("a job is plain text and numbers");
        let write = self.0.begin_write()?;
        write.open_table(JOBS)?.insert(job.id, json.as_slice())?;
        if let Some(mark) = mark {
            write.open_table(TAKEN)?.insert(mark, job.id)?;
        }
        Ok(write.commit()?)
    }

    /// The job of this number.
    pub(crate) fn get(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        Ok(self.list(Some(id), 1)?.into_iter().find(|job| job.id == id))
    }

    /// Up to `limit` jobs, newest first, from number `from` down.
    pub(crate) fn list(&self, from: Option<JobId>, limit: usize) -> Result<Vec<Job>, StoreError> {
        let read = || -> Result<Vec<(JobId, Vec<u8>)>, AnyRedb> {
            let jobs = self.0.begin_read()?.open_table(JOBS)?;
            let newest_first = jobs.range(..=from.unwrap_or(JobId::MAX))?.rev();
            newest_first
                .take(limit)
                .map(|entry| entry.map(|(id, json)| (id.value(), json.value().to_vec())).map_err(Into::into))
                .collect()
        };
        let entries = read().map_err(|error| error.0)?;
        let job =
            |(id, json): (JobId, Vec<u8>)| serde_json::from_slice(&json).map_err(|error| StoreError::Entry(id, error));
        entries.into_iter().map(job).collect()
    }
}

/// Any of redb's errors.
struct AnyRedb(redb::Error);

impl<E: Into<redb::Error>> From<E> for AnyRedb {
    fn from(error: E) -> AnyRedb {
        AnyRedb(error.into())
    }
}

fn open(path: &Path) -> Result<Database, redb::Error> {
    let database = redb::Builder::new().set_cache_size(CACHE_BYTES).create(path)?;
    let write = database.begin_write()?;
    write.open_table(JOBS)?;
    write.open_table(TAKEN)?;
    write.commit()?;
    Ok(database)
}
