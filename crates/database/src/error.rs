//! What a database's errors mean to a caller: it is away, a unique value is taken, or something is wrong.

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

/// PostgreSQL: the connection broke (08…), the server stops or starts (57P0…), has no room (53…), or somebody held a lock
/// for too long (55P03, 57014, 25P03). SQLite: locked by another program (5, 6), or the disk is full (13), with or without
/// the extended part.
fn is_away_code(code: &str) -> bool {
    // SQLite's numbers have four digits at most, with their extended part.
    if code.len() == 5 {
        return ["08", "57P0", "53", "55P03", "57014", "25P03"].iter().any(|class| code.starts_with(class));
    }
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 13))
}
