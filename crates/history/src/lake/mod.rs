//! The lake on disk: a catalogue after the DuckLake 1.0 specification in SQLite, and Parquet files in a folder per day.
//! `<lake>/catalog.sqlite` and `<lake>/data/main/reports/year=2026/month=5/day=28/drover-….parquet`, so that DuckDB
//! opens it in place. Only one process writes; any number may read meanwhile, with `ATTACH … (READ_ONLY)`.

#[cfg(test)]
mod any_order;
pub(crate) mod calendar;
pub(crate) mod catalog;
mod commit;
mod create;
pub(crate) mod doctor;
pub(crate) mod expire;
pub(crate) mod flush;
mod live;
pub(crate) mod merge;
pub(crate) mod orphans;
pub(crate) mod sources;
pub(crate) mod stats;
pub(crate) mod store;
pub(crate) mod stores;
pub(crate) mod tiers;
mod widen;
pub(crate) mod writer;

use std::io;
use std::path::{Path, PathBuf};

/// The catalogue's file in the lake's folder.
pub(crate) const CATALOG: &str = "catalog.sqlite";
/// The folder of all data in the lake's folder.
pub(crate) const DATA: &str = "data";
/// The folder of files that are on their way to a store, in the lake's folder.
pub(crate) const STAGING: &str = "staging";
/// The table's folder in the data folder.
pub(crate) const TABLE: &str = "main/reports";
/// How the names of files that Drover wrote begin. Files of others in the table are not read: they may not be sorted.
pub(crate) const OURS: &str = "drover-";
/// End of the name of a file that is being written.
pub(crate) const UNFINISHED: &str = ".tmp";

/// What can go wrong with the lake. The text says which file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalogue refused; locked by another program, no space, damaged.
    #[error("catalogue {path}: {action}: {source}")]
    Catalog {
        /// The catalogue's file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The operating system refused something with a file or folder.
    #[error("{path}: {action}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A data file cannot be written, or what is in it makes no sense.
    #[error("{path}: {source}; if the file was there before, run `drover doctor`")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet library said.
        source: parquet::errors::ParquetError,
    },
    /// A place for files outside the lake's folder refused, or cannot be reached.
    #[error("{source}")]
    Objects {
        /// The file, or the place.
        path: PathBuf,
        /// What went wrong there.
        source: Box<drover_objects::Error>,
    },
    /// The lake cannot be used as it is; the text says why and what to do.
    #[error("{path}: {problem}")]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Somebody else committed to the catalogue in between; look again and retry.
    #[error("catalogue {path}: another program wrote to it at the same time (only Drover may write; attach READ_ONLY)")]
    Conflict {
        /// The catalogue's file.
        path: PathBuf,
    },
}

impl Error {
    /// The file or folder that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Error::Catalog { path, .. }
            | Error::File { path, .. }
            | Error::Objects { path, .. }
            | Error::Parquet { path, .. }
            | Error::Unusable { path, .. }
            | Error::Conflict { path } => path,
        }
    }

    pub(crate) fn file(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::File { path: path.to_owned(), action, source }
    }

    pub(crate) fn objects(path: &Path) -> impl FnOnce(drover_objects::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::Objects { path, source: Box::new(source) }
    }

    pub(crate) fn parquet<E: Into<parquet::errors::ParquetError>>(path: &Path) -> impl FnOnce(E) -> Error {
        move |source| Error::Parquet { path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn unusable(path: &Path, problem: impl Into<String>) -> Error {
        Error::Unusable { path: path.to_owned(), problem: problem.into() }
    }
}
