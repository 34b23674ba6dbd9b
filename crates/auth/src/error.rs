//! Why something about identities did not happen, and how a door says it.

use drover_answer::{Problem, ProblemKind};
use std::io;
use std::path::PathBuf;

/// So long a caller waits before he asks a database again that was away, s.
const RETRY_AFTER_S: u32 = 5;

/// Why a call did nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database says so.
    #[error(transparent)]
    Database(#[from] drover_database::Error),
    /// A row that this program does not understand.
    #[error("a record cannot be read: {0}")]
    Row(String),
    /// Personal fields cannot be sealed or opened.
    #[error("personal fields: {0}")]
    Vault(#[from] drover_vault::Error),
    /// A certificate cannot be made or taken back.
    #[error("certificates: {0}")]
    Certificates(#[from] drover_certs::Error),
    /// The audit cannot be written.
    #[error("audit: {0}")]
    Ledger(#[from] drover_ledger::Error),
    /// The outbox of changes cannot be written.
    #[error("changes: {0}")]
    Changes(#[from] drover_registry::Error),
    /// The signing keys cannot be read or written.
    #[error("signing keys in {}: {error}", folder.display())]
    Keys {
        /// Where.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A password cannot be hashed.
    #[error("a password cannot be hashed: {0}")]
    Password(String),
    /// The settings of the OpenID provider are wrong.
    #[error("OpenID provider: {0}")]
    Provider(#[from] drover_oidc::Error),
    /// There is no such thing within the caller's reach.
    #[error("there is no {what} {id:?}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By what.
        id: String,
    },
    /// A value is not allowed.
    #[error("{message}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong, and what is allowed.
        message: String,
    },
    /// It contradicts what is there.
    #[error("{message}")]
    Conflict {
        /// A word for programs.
        code: &'static str,
        /// What is there.
        message: String,
        /// What to do.
        help: &'static str,
    },
    /// The record has another version than the caller knows.
    #[error("it has version {current} now")]
    Stale {
        /// Its version.
        current: i64,
    },
    /// More than the caller may give, or somebody whom he may not touch.
    #[error("{0}")]
    Forbidden(String),
    /// E-mail address, password or code are wrong; which, is not said.
    #[error("e-mail address, password or code are wrong")]
    WrongCredentials,
    /// The password is right; a code is asked for too.
    #[error("a code is needed too: of the authenticator, or a recovery code")]
    TotpRequired,
    /// A credential that is not good any more, or never was.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// Too many failures.
    #[error("too many failures; wait {seconds} s")]
    Throttled {
        /// For how long.
        seconds: u32,
    },
}

impl Error {
    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Error {
        Error::Invalid { field, message: message.into() }
    }

    pub(crate) fn not_found(what: &'static str, id: &str) -> Error {
        Error::NotFound { what, id: id.chars().take(80).collect() }
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
            Error::Database(error) => of_database(&error),
            Error::Changes(error) => error.into(),
            Error::Ledger(_) => {
                let help = "try again; if it goes on, look at the node's log and disk";
                Problem::new(ProblemKind::Unavailable, "audit_failed", message, help).retry_after(RETRY_AFTER_S)
            }
            Error::NotFound { what, .. } => {
                let help = match what {
                    "user" => "GET /api/v1/users lists them",
                    "API key" => "GET /api/v1/api-keys lists them",
                    "device token" => "GET /api/v1/device-tokens lists them",
                    "certificate" => "GET /api/v1/certificates lists them",
                    _ => "GET /api/v1/auth/sessions lists them",
                };
                Problem::new(ProblemKind::NotFound, "not_found", message, help)
            }
            Error::Invalid { field, message } => Problem::invalid(field, message),
            Error::Conflict { code, message, help } => Problem::new(ProblemKind::Conflict, code, message, help),
            Error::Stale { .. } => {
                Problem::new(ProblemKind::Changed, "changed", message, "read it again, then change that")
            }
            Error::Forbidden(message) => {
                Problem::new(ProblemKind::Forbidden, "escalation", message, "ask somebody who has these rights")
            }
            Error::WrongCredentials => {
                let help = "check all three; who forgot his password asks an administrator for a new one";
                Problem::new(ProblemKind::Unauthorized, "wrong_credentials", message, help)
            }
            Error::TotpRequired => {
                let help = "send the same request with `totp`, or with `recovery_code`";
                Problem::new(ProblemKind::Unauthorized, "totp_required", message, help)
            }
            Error::Unauthorized(_) => Problem::new(ProblemKind::Unauthorized, "unauthorized", message, "log in anew"),
            Error::Throttled { seconds } => {
                let help = "wait as long as Retry-After says";
                Problem::new(ProblemKind::TooMany, "too_many_failures", message, help).retry_after(seconds)
            }
            Error::Vault(drover_vault::Error::File { .. })
            | Error::Certificates(drover_certs::Error::File { .. })
            | Error::Keys { .. } => drover_registry::storage_failed(message),
            other => {
                tracing::error!(error = %other, "a request about identities failed");
                let help = "look at the node's log";
                Problem::new(ProblemKind::Internal, "internal", "identities cannot be read or written", help)
            }
        }
    }
}

fn of_database(error: &drover_database::Error) -> Problem {
    if error.away() {
        let message = "the database cannot be reached; who is logged in stays so";
        return Problem::new(ProblemKind::Unavailable, "registry_away", message, "try again later")
            .retry_after(RETRY_AFTER_S);
    }
    if error.full() {
        tracing::error!(%error, "the disk of the registry's database is full");
        return drover_registry::disk_full();
    }
    if error.conflict() {
        let message = "another record has this value already";
        return Problem::new(ProblemKind::Conflict, "conflict", message, "give another value, or change that record");
    }
    tracing::error!(%error, "a request about identities failed");
    Problem::new(ProblemKind::Internal, "internal", "identities cannot be read or written", "look at the node's log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_or_certificate_that_the_disk_does_not_take_may_be_asked_for_again() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let path = || PathBuf::from("data/vault/keys");
        for error in [
            Error::Vault(drover_vault::Error::File { path: path(), error: full() }),
            Error::Certificates(drover_certs::Error::File { path: path(), error: full() }),
            Error::Keys { folder: path(), error: full() },
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.kind, problem.code.as_ref()), (ProblemKind::Unavailable, "storage_failed"));
            assert!(problem.retry_after_s.is_some() && problem.message.contains("data/vault/keys"), "{problem:?}");
        }
    }
}
