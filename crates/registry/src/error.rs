//! What can go wrong with a record, and how a door says it.

use drover_answer::{Problem, ProblemKind};
use std::borrow::Cow;

/// So long a caller waits before it asks a database again that was away, s.
const RETRY_AFTER_S: u32 = 5;
/// The same of a file that cannot be written, s.
const STORAGE_RETRY_AFTER_S: u32 = 30;

/// Why a call did nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database says so.
    #[error(transparent)]
    Database(#[from] drover_database::Error),
    /// Personal fields cannot be sealed or opened.
    #[error("personal fields: {0}")]
    Vault(#[from] drover_vault::Error),
    /// There is no such record within the caller's reach.
    #[error("there is no {singular} {id:?}")]
    NotFound {
        /// What was looked for.
        singular: &'static str,
        /// By what.
        id: String,
    },
    /// A value is not allowed.
    #[error("{message}")]
    Invalid {
        /// The field.
        field: Cow<'static, str>,
        /// What is wrong, and what is allowed.
        message: String,
    },
    /// It contradicts what is there.
    #[error("{message}")]
    Conflict {
        /// A word for programs.
        code: &'static str,
        /// The field, where there is one.
        field: Option<Cow<'static, str>>,
        /// What is there, and what is possible.
        message: String,
        /// What to do.
        help: &'static str,
    },
    /// Another request came by the same `Idempotency-Key`.
    #[error("this Idempotency-Key came with another body before")]
    WordReused,
    /// The record has another version than the caller knows.
    #[error("the {singular} {id:?} has version {current} now, not {wanted}")]
    Stale {
        /// What it is.
        singular: &'static str,
        /// Which.
        id: String,
        /// Its version.
        current: i64,
        /// The one the caller named.
        wanted: i64,
    },
    /// The caller may not do it, whichever record it is.
    #[error("{message}")]
    Forbidden {
        /// Why.
        message: String,
    },
    /// What a table or an outbox row holds cannot be read.
    #[error("{what} cannot be read: {why}")]
    Damaged {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
}

impl Error {
    /// True if the database cannot be reached: the same call may pass later.
    pub fn away(&self) -> bool {
        matches!(self, Error::Database(error) if error.away())
    }

    pub(crate) fn invalid(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Error {
        Error::Invalid { field: field.into(), message: message.into() }
    }

    /// Orders of several fleets within reach have this number.
    pub fn ambiguous_order(number: &str) -> Error {
        let number: String = number.chars().take(64).collect();
        Error::Conflict {
            code: "ambiguous_order",
            field: Some("order_id".into()),
            message: format!("orders of several fleets have the number {number:?}"),
            help: "ask by the id of the delivery",
        }
    }

    pub(crate) fn damaged(what: impl Into<String>, why: impl ToString) -> Error {
        Error::Damaged { what: what.into(), why: why.to_string() }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        Error::Database(error.into())
    }
}

/// There is no room for what was to be written: nothing of it was. Reads go on, and so do writes, once there is.
pub fn disk_full() -> Problem {
    let message = "the disk of the registry's database is full: nothing was written";
    let help =
        "free space on the node's data disk, or on the disk of PostgreSQL; it resumes by itself. Send again later";
    Problem::new(ProblemKind::Unavailable, "disk_full", message, help).retry_after(RETRY_AFTER_S)
}

/// A file of the node cannot be read or written.
pub fn storage_failed(message: String) -> Problem {
    tracing::error!(error = message, "a file of the node could not be read or written");
    let help = "check the disk of the node's data folder, then send the request again";
    Problem::new(ProblemKind::Unavailable, "storage_failed", message, help).retry_after(STORAGE_RETRY_AFTER_S)
}

/// The record is not what the caller read.
pub(crate) fn changed(version: i64) -> Problem {
    let message = format!("the record has changed since it was read; its ETag is \"{version}\" now");
    Problem::new(ProblemKind::Changed, "changed", message, "read the record again, then send the change with its ETag")
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let message = error.to_string();
        match error {
            Error::Database(database) if database.away() => {
                tracing::warn!(error = %database, "the registry's database is away");
                let message = "the registry's database cannot be reached now";
                let help = "send the request again in a few seconds";
                Problem::new(ProblemKind::Unavailable, "registry_away", message, help).retry_after(RETRY_AFTER_S)
            }
            Error::Database(database) if database.full() => {
                tracing::error!(error = %database, "the disk of the registry's database is full");
                disk_full()
            }
            Error::Vault(drover_vault::Error::File { .. }) => storage_failed(message),
            Error::Database(database) if database.conflict() => {
                let message = "another record already has this id or one of these unique values";
                let help = "choose another value, or change the record that has it";
                Problem::new(ProblemKind::Conflict, "already_exists", message, help)
            }
            Error::NotFound { .. } => {
                Problem::new(ProblemKind::NotFound, "not_found", message, "check the id; see the list of what there is")
            }
            Error::Invalid { field, message } => {
                let help = "correct the field and send the request again; see /docs";
                let problem = Problem::new(ProblemKind::Invalid, "invalid_field", message, help);
                Problem { field: Some(field), ..problem }
            }
            Error::WordReused => {
                let help = "give each new request a key of its own; a repetition sends the same bytes";
                let problem = Problem::new(ProblemKind::Invalid, "idempotency_key_reused", message, help);
                Problem { field: Some("Idempotency-Key".into()), ..problem }
            }
            Error::Conflict { code, field, message, help } => {
                Problem { field, ..Problem::new(ProblemKind::Conflict, code, message, help) }
            }
            // Only who names a version hears of another: it is a condition that does not hold, whichever door it came by.
            Error::Stale { current, .. } => changed(current),
            Error::Forbidden { message } => {
                Problem::new(ProblemKind::Forbidden, "forbidden", message, "ask an administrator")
            }
            Error::Database(_) | Error::Vault(_) | Error::Damaged { .. } => {
                tracing::error!(error = message, "the registry failed");
                let message = "the registry failed; the log says why";
                Problem::new(ProblemKind::Internal, "internal", message, "report this as a fault")
            }
        }
    }
}
