//! What a database's errors mean to a caller: it is away, its disk is full, a unique value is taken, or something is
//! wrong.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the database did nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be understood. It may hold a password, so it is not repeated.
    #[error("the address of the database: {problem}")]
    Address {
        /// Why.
        problem: String,
    },
    /// The folder of the file cannot be made.
    #[error("folder of the database {}: {error}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The database says so.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// A moment ago it could not be reached.
    #[error("the database cannot be reached")]
    Away,
    /// It does not answer.
    #[error("the database did not answer within {} s", waited.as_secs())]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// Another node has it.
    #[error(
        "another node uses this database, and one database serves one node: stop that node, or give this one a \
             database of its own"
    )]
    InUse,
    /// A newer program made the tables.
    #[error("the tables of {area} are at step {found}, this program knows {known}; use a newer program")]
    Newer {
        /// Whose tables.
        area: &'static str,
        /// Their step.
        found: u32,
        /// The newest step that is known here.
        known: u32,
    },
    /// A step was changed after it was applied.
    #[error("step {number} ({name}) of the tables of {area} is not the one that was applied")]
    Changed {
        /// Whose tables.
        area: &'static str,
        /// Which step.
        number: u32,
        /// Its name.
        name: &'static str,
    },
    /// A step failed; nothing of it was done.
    #[error("step {number} ({name}) of the tables of {area}: {error}")]
    Step {
        /// Whose tables.
        area: &'static str,
        /// Which step.
        number: u32,
        /// Its name.
        name: &'static str,
        /// Why.
        error: sqlx::Error,
    },
}

impl Error {
    /// True if the database cannot be reached or does not answer: the same call may pass later.
    pub fn away(&self) -> bool {
        match self {
            Error::Away | Error::TimedOut { .. } => true,
            Error::Sql(error) | Error::Step { error, .. } => is_away(error),
            _ => false,
        }
    }

    /// True if the database has no room for what was to be written: nothing of it was. What is there can be read.
    pub fn full(&self) -> bool {
        match self {
            Error::Sql(sqlx::Error::Database(error)) | Error::Step { error: sqlx::Error::Database(error), .. } => {
                error.code().is_some_and(|code| is_full_code(&code))
            }
            _ => false,
        }
    }

    /// True if a unique value is already taken.
    pub fn conflict(&self) -> bool {
        matches!(self, Error::Sql(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_away_code(&code)),
        _ => false,
    }
}

/// PostgreSQL: the connection broke (08…), the server stops or starts (57P0…), has no room for more connections, memory and
/// the like (53…), or somebody held a lock for too long (55P03, 57014, 25P03). SQLite: locked by another program (5, 6),
/// with or without the extended part.
fn is_away_code(code: &str) -> bool {
    match sqlite_code(code) {
        Some(code) => matches!(code & 0xff, 5 | 6),
        None => {
            let classes = ["08", "57P0", "53", "55P03", "57014", "25P03"];
            classes.iter().any(|class| code.starts_with(class)) && !is_full_code(code)
        }
    }
}

/// PostgreSQL: `disk_full`. SQLite: the same (13), or no room to make the file larger that readers and writers share (4874).
fn is_full_code(code: &str) -> bool {
    match sqlite_code(code) {
        Some(code) => code & 0xff == 13 || code == 4874,
        None => code == "53100",
    }
}

/// SQLite's numbers have four digits at most, with their extended part; PostgreSQL's codes have five characters.
fn sqlite_code(code: &str) -> Option<u32> {
    code.parse().ok().filter(|_| code.len() < 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_database_that_is_away() {
        for full in ["13", "4874", "53100"] {
            assert!(is_full_code(full) && !is_away_code(full), "{full}");
        }
        for away in ["5", "6", "517", "08006", "57P01", "53300", "57014"] {
            assert!(is_away_code(away) && !is_full_code(away), "{away}");
        }
        for neither in ["1", "10", "2067", "23505", "42601"] {
            assert!(!is_away_code(neither) && !is_full_code(neither), "{neither}");
        }
    }
}
