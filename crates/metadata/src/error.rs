//! Why a source gave no table. The texts are for operators: they say what came and never hold a password or an address.

use std::io;
use std::time::Duration;

/// Why a source gave no table; the last good one stays.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file or the connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The HTTP exchange failed.
    #[error("{0}")]
    Http(String),
    /// Not whole after the time allowed.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// Another status than 200, or 304 where nothing was asked that way.
    #[error("the source answers {0}; 200 is expected")]
    Status(u16),
    /// Packed although nobody asked for it.
    #[error("the answer is packed ({0}); send it as it is")]
    Packed(String),
    /// More bytes than allowed.
    #[error("more than {0} bytes")]
    TooLarge(u64),
    /// More entries than allowed.
    #[error("more than {0} entries")]
    TooMany(usize),
    /// Not one whole JSON document of a known shape.
    #[error("not a JSON list of vehicles: {0}")]
    NotJson(String),
    /// Whole JSON, but not one entry can be used.
    #[error("none of {count} entries can be used; {first}")]
    NothingUsable {
        /// How many there are.
        count: u64,
        /// The first one and its reason.
        first: String,
    },
    /// Refused before, and not changed since.
    #[error("{0}")]
    Unchanged(String),
    /// A pipe, a folder, a device.
    #[error("not a regular file")]
    NotAFile,
    /// Written while it was read.
    #[error("the file changed while it was read")]
    Changed,
    /// The kept table holds another number of entries than it says, or belongs to another source.
    #[error("the kept table does not fit: {0}")]
    Kept(&'static str),
    /// The node is going down.
    #[error("stopped")]
    Stopped,
}
