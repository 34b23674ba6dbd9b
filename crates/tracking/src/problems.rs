//! What may be wrong, in the words that all doors of this crate use.

use crate::hub::Full;
use drover_answer::{Problem, ProblemKind};

/// The same for what does not exist and for what the caller has no right to.
pub(crate) fn not_found(what: &str, id: &str) -> Problem {
    let id: String = id.chars().take(64).collect();
    let message = format!("there is no {what} {id:?} among those that you see");
    Problem::new(ProblemKind::NotFound, "not_found", message, "check the id; ask for access if it is not yours")
}

/// A bound was met.
pub(crate) fn full(full: Full) -> Problem {
    let (code, message, help) = match full {
        Full::Connections => {
            ("too_many_connections", "as many followers as allowed are connected", "try again later, or poll")
        }
        Full::Subscriptions => {
            ("too_many_subscriptions", "there are as many subscriptions as allowed", "unsubscribe from something first")
        }
    };
    Problem::new(ProblemKind::Unavailable, code, message, help).retry_after(10)
}

/// The connection sends faster than allowed.
pub(crate) fn too_fast() -> Problem {
    let message = "more than 20 messages a second; this one was not read";
    Problem::new(ProblemKind::TooMany, "rate_limited", message, "send fewer messages").retry_after(1)
}

/// A message that cannot be read.
pub(crate) fn malformed(message: impl Into<String>, help: &'static str) -> Problem {
    Problem::new(ProblemKind::Malformed, "malformed", message, help)
}
