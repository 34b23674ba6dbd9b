//! Jobs and what they were made of, in one redb file. A commit is durable when it returns.

use crate::job::{Job, JobId};
use drover_objects::{Meta, Place};
use redb::{Database, ReadableDatabase, TableDefinition};
use std::path::Path;

/// Job → JSON.
const JOBS: TableDefinition<'_, JobId, &[u8]> = TableDefinition::new("jobs");
/// Mark of a watched file → the job that took it. Never forgotten, so that a file is taken once.
const TAKEN: TableDefinition<'_, &str, JobId> = TableDefinition::new("taken");
/// Address of a watched object with which nothing more is to be done → how it looked in the list: bytes, when it was put,
/// the store's mark or nothing; and whether it was too large. Only spares requests: what is missing here is looked up.
const SEEN: TableDefinition<'_, &str, (u64, i64, &str, bool)> = TableDefinition::new("seen_objects");
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

/// A watched object with which nothing more is to be done.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) meta: Meta,
    /// It is larger than what was allowed.
    pub(crate) refused: bool,
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

    /// Remembers objects of a place.
    pub(crate) fn see(&self, place: &Place, objects: &[Seen]) -> Result<(), StoreError> {
        let write = || -> Result<(), AnyRedb> {
            let write = self.0.begin_write()?;
            let mut seen = write.open_table(SEEN)?;
            for Seen { meta, refused } in objects {
                let look = (meta.bytes, meta.modified_ms, meta.etag.as_deref().unwrap_or(""), *refused);
                seen.insert(place.of_key(&meta.key).as_str(), look)?;
            }
            drop(seen);
            Ok(write.commit()?)
        };
        Ok(write().map_err(|error| error.0)?)
    }

    /// Those of the listed objects of a place that are new or changed, or were too large and are not any more.
    pub(crate) fn unseen(&self, place: &Place, listed: Vec<Meta>, max_bytes: u64) -> Result<Vec<Meta>, StoreError> {
        let read = || -> Result<Vec<Meta>, AnyRedb> {
            let seen = self.0.begin_read()?.open_table(SEEN)?;
            let mut unseen = Vec::new();
            for meta in listed {
                let settled = seen.get(place.of_key(&meta.key).as_str())?.is_some_and(|look| {
                    let (bytes, modified_ms, etag, refused) = look.value();
                    let etag = (!etag.is_empty()).then(|| etag.to_owned());
                    let before = Meta { key: String::new(), bytes, etag, modified_ms };
                    before.is_same_as(&meta) && (!refused || bytes > max_bytes)
                });
                if !settled {
                    unseen.push(meta);
                }
            }
            Ok(unseen)
        };
        Ok(read().map_err(|error| error.0)?)
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
    let database = drover_files::open_database(path, CACHE_BYTES)?;
    let write = database.begin_write()?;
    write.open_table(JOBS)?;
    write.open_table(TAKEN)?;
    write.open_table(SEEN)?;
    write.commit()?;
    Ok(database)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(key: &str, bytes: u64, modified_ms: i64, etag: Option<&str>) -> Meta {
        Meta { key: key.into(), bytes, etag: etag.map(str::to_owned), modified_ms }
    }

    #[test]
    fn an_object_is_unseen_until_it_is_settled_and_again_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("jobs.redb")).unwrap();
        let place = Place::parse("s3://lake/in").unwrap();
        let unseen = |meta: &Meta, max| !store.unseen(&place, vec![meta.clone()], max).unwrap().is_empty();
        let (bare, marked) = (meta("a", 5, 1000, None), meta("b", 50, 1000, Some("x")));
        assert!(unseen(&bare, 10) && unseen(&marked, 10));
        let settled = [(&bare, false), (&marked, true)];
        store.see(&place, &settled.map(|(meta, refused)| Seen { meta: meta.clone(), refused })).unwrap();
        assert!(!unseen(&bare, 10) && !unseen(&marked, 10));
        assert!(unseen(&meta("a", 6, 1000, None), 10) && unseen(&meta("a", 5, 2000, None), 10));
        assert!(unseen(&meta("b", 50, 1000, Some("y")), 10));
        assert!(!unseen(&meta("b", 50, 2000, Some("x")), 10), "the same content was put again");
        assert!(unseen(&marked, 50), "it is not too large any more");
        let elsewhere = Place::parse("s3://lake/out").unwrap();
        assert_eq!(store.unseen(&elsewhere, vec![bare], 10).unwrap().len(), 1);
    }
}
