//! What can go wrong with a record, and how a door says it.

use drover_answer::{Problem, ProblemKind};
use std::borrow::Cow;

/// So long a caller waits before it asks a database again that was away, s.
const RETRY_AFTER_S: u32 = 5;

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

    pub(crate) fn damaged(what: impl Into<String>, why: impl ToString) -> Error {
        Error::Damaged { what: what.into(), why: why.to_string() }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        Error::Database(error.into())
    }
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
            Error::Conflict { code, field, message, help } => {
                Problem { field, ..Problem::new(ProblemKind::Conflict, code, message, help) }
            }
            Error::Stale { .. } => {
                let help = "read the record again, and repeat the change with its ETag";
                Problem::new(ProblemKind::Conflict, "stale_version", message, help)
            }
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
