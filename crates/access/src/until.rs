//! How long a connection may stay: until its caller's access ends. Whoever checks credentials puts it beside the
//! caller; connections that stay open wait for it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// Resolves when access ends.
pub type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes futures that resolve when a caller's access ends: logged out, disabled, revoked, or given other rights.
#[derive(Clone, Default)]
pub struct Until(Option<Arc<dyn Fn() -> Ended + Send + Sync>>);

impl Until {
    /// Access that ends when the made future resolves.
    pub fn new(ended: impl Fn() -> Ended + Send + Sync + 'static) -> Until {
        Until(Some(Arc::new(ended)))
    }

    /// Resolves when access ends; never, where nobody checks credentials.
    pub fn ended(&self) -> Ended {
        match &self.0 {
            Some(ended) => ended(),
            None => Box::pin(std::future::pending()),
        }
    }
}

impl fmt::Debug for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Until::Ended" } else { "Until::Never" })
    }
}

impl<S: Sync> FromRequestParts<S> for Until {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Until, Infallible> {
        Ok(parts.extensions.get::<Until>().cloned().unwrap_or_default())
    }
}
