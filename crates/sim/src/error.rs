//! What can go wrong outside: the file, the address, the network, the server's answer.

use std::io;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used.
    #[error("cannot use the address '{url}': {reason}")]
    Address {
        /// As given.
        url: String,
        /// Why not, and what would do.
        reason: &'static str,
    },
    /// The connection could not be made or broke.
    #[error("connection to {peer}: {source}")]
    Connection {
        /// Host and port.
        peer: String,
        /// From the operating system.
        source: io::Error,
    },
    /// The other side cannot be trusted, or speaks no TLS. Trying again would not help.
    #[error("TLS with {peer}: {source}")]
    Tls {
        /// Host and port.
        peer: String,
        /// What is wrong with its certificate or its words.
        source: io::Error,
    },
    /// The other side does not speak the protocol as expected.
    #[error("{peer} answers unexpectedly: {reason}")]
    Protocol {
        /// Host and port.
        peer: String,
        /// What was seen.
        reason: String,
    },
    /// The server refused a whole request for good; trying again would not help.
    #[error("the server refuses: {status} {message}")]
    Refused {
        /// HTTP status, reason code of an MQTT connection, or 0 if a WebSocket frame was refused.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The server asked to wait, or was away, for as many attempts as were allowed.
    #[error("given up after {attempts} attempts: {last}")]
    GivenUp {
        /// Attempts made.
        attempts: u32,
        /// What the last one met.
        last: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// From the operating system.
        source: io::Error,
    },
    /// What was asked for does not fit together.
    #[error("{0}")]
    Unfit(String),
    /// More input than can be held.
    #[error("{0}")]
    TooLarge(String),
}

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// True if the connection is of no use any more, but a new one may be.
    pub(crate) fn is_connection_loss(&self) -> bool {
        matches!(self, Error::Connection { .. })
    }
}
