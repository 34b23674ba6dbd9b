//! What whoever checks credentials puts beside a request, besides its caller: from where it comes, how fast reports may go
//! on over a connection that stays open, whether it still is a stranger's. And what an answer says back for the audit.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use drover_model::AssetRef;
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// From where a request comes, seen past the proxies that are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientOrigin {
    /// The address.
    pub address: Option<IpAddr>,
    /// Nobody on the way to the client can read along, as far as is known here.
    pub is_secured: bool,
}

/// How fast reports may go on over a connection that stays open. Without a guard, and for whoever is no device, as fast as
/// they come.
#[derive(Clone, Default)]
pub struct ReportLimit(Option<Arc<dyn Fn() -> Option<u32> + Send + Sync>>);

impl ReportLimit {
    /// A limit that `take` keeps: it takes a turn and gives nothing, or gives the seconds to wait.
    pub fn new(take: impl Fn() -> Option<u32> + Send + Sync + 'static) -> ReportLimit {
        ReportLimit(Some(Arc::new(take)))
    }

    /// Takes a turn: none if it may go on, else the seconds to wait.
    pub fn take(&self) -> Option<u32> {
        self.0.as_ref().and_then(|take| take())
    }
}

impl fmt::Debug for ReportLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "ReportLimit::Some" } else { "ReportLimit::None" })
    }
}

/// The place of a connection that has not said yet who it is. Given back when it has said so, or when it is gone.
#[derive(Clone)]
pub struct Stranger(Arc<StrangersPlace>);

struct StrangersPlace {
    is_back: AtomicBool,
    give_back: Box<dyn Fn() + Send + Sync>,
}

impl Stranger {
    /// A place; `give_back` is called once.
    pub fn new(give_back: impl Fn() + Send + Sync + 'static) -> Stranger {
        Stranger(Arc::new(StrangersPlace { is_back: AtomicBool::new(false), give_back: Box::new(give_back) }))
    }

    /// The connection has said who it is.
    pub fn is_known(&self) {
        self.0.give_back();
    }
}

impl StrangersPlace {
    fn give_back(&self) {
        if !self.is_back.swap(true, Ordering::Relaxed) {
            (self.give_back)();
        }
    }
}

impl Drop for StrangersPlace {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stranger")
    }
}

/// What an answer shows, where the address of its request does not tell: a handler puts it into the extensions of its
/// answer, and the guard notes it in the audit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    /// Drivers and riders whose place it tells.
    pub persons: Vec<AssetRef>,
    /// How it was asked for: `{"order_id":…}`, `{"sql":…}`.
    pub asked: serde_json::Value,
}

impl<S: Sync> FromRequestParts<S> for ClientOrigin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ClientOrigin, Infallible> {
        Ok(parts.extensions.get::<ClientOrigin>().copied().unwrap_or_default())
    }
}

impl<S: Sync> FromRequestParts<S> for ReportLimit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ReportLimit, Infallible> {
        Ok(parts.extensions.get::<ReportLimit>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_strangers_place_is_given_back_once_whether_he_says_who_he_is_or_leaves() {
        let back = Arc::new(AtomicUsize::new(0));
        let place = || {
            let back = back.clone();
            Stranger::new(move || {
                back.fetch_add(1, Ordering::Relaxed);
            })
        };
        let (known, gone) = (place(), place());
        known.is_known();
        known.is_known();
        drop((known.clone(), known));
        assert_eq!(back.load(Ordering::Relaxed), 1);
        let copy = gone.clone();
        drop(gone);
        assert_eq!(back.load(Ordering::Relaxed), 1, "a copy is still there");
        drop(copy);
        assert_eq!(back.load(Ordering::Relaxed), 2);
    }
}
