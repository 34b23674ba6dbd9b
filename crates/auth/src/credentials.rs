//! From a credential to a caller, all in memory: access tokens, API keys, device tokens, cookies, certificates. What the
//! caller then may do is not decided here.

use crate::memory::Login;
use crate::rows::{by_certificate, device_caller, note_use};
use crate::secrets::{self, Digest};
use crate::store::What;
use crate::{Auth, devices, keys};
use drover_access::{Caller, Role};
use drover_answer::now_ms;
use drover_model::Kind;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;

/// Certificates whose device is remembered: reading one takes longer than everything else here.
const CERTIFICATES_MAX: usize = 16_384;
/// Times of use that wait to be written; while the database is away, later ones are left out.
const USES_MAX: usize = 100_000;

/// How a credential came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// A browser sends it by itself, whoever made it ask.
    Cookie,
    /// Somebody had to put it there.
    Other,
}

/// Whose credential it is.
pub(crate) struct Found {
    pub(crate) caller: Caller,
    pub(crate) via: Via,
    /// He may only change his password.
    pub(crate) must_change_password: bool,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It showed nothing.
    #[error("no credentials")]
    None,
    /// What it showed is not good, or not good any more.
    #[error("the credentials are not good")]
    Bad,
}

/// Devices by the digest of their certificates.
#[derive(Default)]
pub(crate) struct Certificates(Mutex<HashMap<Digest, Known>>);

#[derive(Clone)]
struct Known {
    caller: Caller,
    serial: Arc<str>,
    expires_ms: i64,
}

impl Auth {
    /// Who connects, by MQTT: with a certificate that the handshake verified, or a device token, API key or access token
    /// as password. The user name decides nothing, except that `kind/id` must not name another device.
    pub fn connect(
        &self,
        username: Option<&str>,
        password: Option<&[u8]>,
        certificate_der: Option<&[u8]>,
    ) -> Result<Caller, Refused> {
        if self.0.settings.dev {
            return Ok(Caller::dev());
        }
        let caller = match (password, certificate_der) {
            (Some(password), _) if !password.is_empty() => {
                let secret = std::str::from_utf8(password).map_err(|_| Refused::Bad)?;
                self.by_secret(secret).filter(|found| !found.must_change_password).ok_or(Refused::Bad)?.caller
            }
            (_, Some(der)) => self.by_certificate(der).ok_or(Refused::Bad)?.caller,
            (_, None) => return Err(Refused::None),
        };
        match names_another(username, &caller) {
            true => Err(Refused::Bad),
            false => Ok(caller),
        }
    }

    /// Takes a turn of a device that reports over an open connection, from the bucket of its requests with reports: none if
    /// it may go on, else the seconds to wait. Whoever is no device has no such limit.
    pub fn take_report(&self, caller: &Caller) -> Option<u32> {
        let limits = self.0.settings.limits.filter(|_| caller.role == Role::Device)?;
        self.0.buckets.turn("device", &*caller.subject, limits.device)?.wait_s
    }

    /// Takes a turn of somebody who opens a connection that is no HTTP, from the bucket of his requests: none if he may,
    /// else the seconds to wait.
    pub fn take_connect(&self, caller: &Caller) -> Option<u32> {
        self.0.buckets.turn("caller", &*caller.subject, self.0.settings.limits?.caller)?.wait_s
    }

    /// Whose secret it is: an API key, a device token, or an access token.
    pub(crate) fn by_secret(&self, secret: &str) -> Option<Found> {
        if let Some(rest) = secret.strip_prefix(keys::PREFIX) {
            return self.by_key(rest);
        }
        match secret.strip_prefix(devices::PREFIX) {
            Some(rest) => self.by_device_token(rest),
            None => self.by_access_token(secret),
        }
    }

    fn by_key(&self, text: &str) -> Option<Found> {
        let (id, secret) = text.split_once('_')?;
        let (digest, now) = (secrets::digest_of(secret), now_ms());
        let memory = self.0.memory.read();
        let (key, caller) = memory.by_key(id, now)?;
        let is_old = key.old_secret.is_some_and(|(old, until)| until > now && secrets::same(&old, &digest));
        if !secrets::same(&key.secret, &digest) && !is_old {
            return None;
        }
        if note_use(&key.used_ms, now) {
            self.note_use(What::Key, &key.id);
        }
        Some(other(caller.clone()))
    }

    fn by_device_token(&self, text: &str) -> Option<Found> {
        let (id, secret) = text.split_once('_')?;
        let (digest, now) = (secrets::digest_of(secret), now_ms());
        let memory = self.0.memory.read();
        let token = memory.tokens.get(id).filter(|token| !token.is_over(now))?;
        if !secrets::same(&token.secret, &digest) {
            return None;
        }
        if note_use(&token.used_ms, now) {
            self.note_use(What::Token, &token.id);
        }
        Some(other(token.caller.clone()))
    }

    fn by_access_token(&self, token: &str) -> Option<Found> {
        let now = now_ms();
        let claims = self.0.signer.verify(token, now)?;
        let memory = self.0.memory.read();
        let login = memory.login(&claims.sid, now).filter(|login| login.caller.subject == claims.sub)?;
        self.of_login(login, &memory, Via::Other, now)
    }

    /// Whose cookie it is.
    pub(crate) fn by_cookie(&self, secret: &str) -> Option<Found> {
        let (digest, now) = (secrets::digest_of(secret), now_ms());
        let memory = self.0.memory.read();
        let login = memory.by_cookie(&digest, now)?;
        self.of_login(login, &memory, Via::Cookie, now)
    }

    fn of_login(&self, login: &Login, memory: &crate::memory::Memory, via: Via, now: i64) -> Option<Found> {
        let user = memory.users.get(&login.session.user).filter(|user| !user.disabled)?;
        note_use(&login.session.seen_ms, now);
        let must_change_password = user.must_change_password && !login.session.elsewhere;
        let caller = login.caller.clone();
        let caller = match via {
            // The session may go on by its refresh token; what was opened by the cookie does not.
            Via::Cookie => caller.ending(login.session.cookie_ends_ms),
            Via::Other => caller,
        };
        Some(Found { caller, via, must_change_password })
    }

    /// Whose certificate it is, which the handshake has verified.
    pub(crate) fn by_certificate(&self, der: &[u8]) -> Option<Found> {
        let (digest, now) = (digest_of_der(der), now_ms());
        let known = self.0.certificates.0.lock().get(&digest).cloned();
        let known = match known {
            Some(known) => known,
            None => self.read_certificate(der, digest)?,
        };
        let is_good = known.expires_ms > now && !self.0.authority.revoked(&known.serial);
        is_good.then(|| other(known.caller))
    }

    fn read_certificate(&self, der: &[u8], digest: Digest) -> Option<Known> {
        let device = self.0.authority.identify(der).ok()?;
        let kind = Kind::parse(device.name.kind())?;
        let caller = device_caller(kind, device.name.id(), by_certificate(&device.serial, device.expires_ms));
        let known = Known { caller, serial: device.serial, expires_ms: device.expires_ms };
        let mut certificates = self.0.certificates.0.lock();
        if certificates.len() >= CERTIFICATES_MAX {
            certificates.clear();
        }
        certificates.insert(digest, known.clone());
        Some(known)
    }

    fn note_use(&self, what: What, id: &Arc<str>) {
        let mut uses = self.0.uses.lock();
        if uses.len() < USES_MAX {
            uses.push((what, id.clone()));
        }
    }
}

fn other(caller: Caller) -> Found {
    Found { caller, via: Via::Other, must_change_password: false }
}

fn digest_of_der(der: &[u8]) -> Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

fn names_another(username: Option<&str>, caller: &Caller) -> bool {
    let named = username.and_then(|name| name.split_once('/'));
    match (named.and_then(|(kind, id)| Some((Kind::parse(kind)?, id))), &caller.asset) {
        (Some((kind, id)), Some((own_kind, own_id))) => kind != *own_kind || *id != **own_id,
        _ => false,
    }
}

/// The wall clock, µs.
pub(crate) fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as i64)
}
