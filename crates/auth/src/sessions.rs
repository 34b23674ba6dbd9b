//! The sessions of a user, for himself: where he is logged in, and ending that.

use crate::error::Error;
use crate::people::time_text;
use crate::rows::{certificate_of, some};
use crate::{Auth, memory::Login};
use drover_access::{Caller, Until};
use drover_answer::now_ms;
use serde::Serialize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

/// How often it is looked whether access has run out by itself.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// A login that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionView {
    /// The id.
    #[schema(example = "s-7kq2m9x4c5v8b3n6")]
    pub id: String,
    /// Since when, RFC 3339.
    pub created_at: String,
    /// When it was used last, as far as this node knows, RFC 3339.
    pub seen_at: String,
    /// When it ends if it is not refreshed, RFC 3339.
    pub ends_at: String,
    /// From where the login came.
    pub address: Option<String>,
    /// What the program called itself.
    pub agent: Option<String>,
    /// True for the one that asks.
    pub current: bool,
}

impl Auth {
    /// Where the caller is logged in, newest first.
    pub fn sessions(&self, caller: &Caller) -> Result<Vec<SessionView>, Error> {
        let user = self.self_of(caller)?;
        let (memory, now) = (self.0.memory.read(), now_ms());
        let goes_on = |login: &&Login| login.session.ends_ms > now;
        let mut sessions: Vec<&Login> = memory.logins_of(&user.id).filter(goes_on).collect();
        sessions.sort_by_key(|login| std::cmp::Reverse(login.session.created_ms));
        let current = caller.session.as_deref();
        Ok(sessions.into_iter().map(|login| view(login, current)).collect())
    }

    /// Ends one of the caller's own sessions.
    pub async fn end_session(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let mut work = self.work().await?;
        let user = self.self_of(caller)?;
        let is_his = self.0.memory.read().logins.get(id).is_some_and(|login| login.session.user == user.id);
        if !is_his {
            return Err(Error::not_found("session", id));
        }
        work.end_session(id).await?;
        work.commit().await
    }

    /// True while the access by which somebody came is good: for connections that stay open.
    pub fn is_live(&self, caller: &Caller) -> bool {
        if self.0.settings.dev && caller.subject == "dev" {
            return true;
        }
        let session = caller.session.as_deref().unwrap_or_default();
        let now = now_ms();
        if caller.ends_ms().is_some_and(|ends_ms| ends_ms <= now) {
            return false;
        }
        if let Some((serial, expires_ms)) = certificate_of(session) {
            return expires_ms > now && !self.0.authority.revoked(serial);
        }
        let memory = self.0.memory.read();
        if let Some(token) = session.strip_prefix(crate::rows::BY_TOKEN) {
            return memory.tokens.get(token).is_some_and(|token| !token.is_over(now));
        }
        if let Some(key) = caller.subject.strip_prefix("key/") {
            return memory.by_key(key, now).is_some_and(|(_, by_key)| **by_key == **caller);
        }
        memory.login(session, now).is_some_and(|login| *login.caller == **caller)
    }

    /// What resolves when the access by which somebody came ends.
    pub fn until(&self, caller: &Caller) -> Until {
        if self.0.settings.dev {
            return Until::default();
        }
        let (auth, caller) = (self.clone(), caller.clone());
        Until::new(move || Box::pin(wait_for_end(auth.clone(), caller.clone())))
    }
}

fn view(login: &Login, current: Option<&str>) -> SessionView {
    let session = &login.session;
    SessionView {
        id: session.id.to_string(),
        created_at: time_text(session.created_ms),
        seen_at: time_text(session.seen_ms.load(Ordering::Relaxed)),
        ends_at: time_text(session.ends_ms),
        address: some(&session.address).map(Into::into),
        agent: some(&session.agent).map(Into::into),
        current: current == Some(&*session.id),
    }
}

/// Resolves when the caller's access ends: told of, or by its time. Whatever ends for others puts the next look off no
/// further.
async fn wait_for_end(auth: Auth, caller: Caller) {
    let mut ended = auth.ended();
    while auth.is_live(&caller) {
        let look_at = Instant::now() + look_after(&caller);
        while Instant::now() < look_at {
            match timeout_at(look_at, ended.recv()).await {
                Ok(Ok(other)) if other.subject != caller.subject => {}
                // His own, or some that were missed; or it may have run out by itself.
                Ok(Ok(_) | Err(RecvError::Lagged(_))) | Err(_) => break,
                Ok(Err(RecvError::Closed)) => return,
            }
        }
    }
}

/// Whatever runs out in memory is told of. Of a cookie and a certificate nothing but the clock says so: it is looked for
/// then.
fn look_after(caller: &Caller) -> Duration {
    let of_certificate = || caller.session.as_deref().and_then(certificate_of).map(|(_, expires_ms)| expires_ms);
    let left_ms = caller.ends_ms().or_else(of_certificate).map(|expires_ms| expires_ms.saturating_sub(now_ms()).max(1));
    left_ms.map_or(LOOK_EVERY, |ms| Duration::from_millis(ms.unsigned_abs()).min(LOOK_EVERY))
}
