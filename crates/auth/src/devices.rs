//! Devices: their tokens and their certificates. Each is good for one asset.

use crate::error::Error;
use crate::keys::{expires_ms, some_time};
use crate::memory::Ended;
use crate::people::time_text;
use crate::rows::{self, BY_TOKEN, Token, by_certificate, device_caller};
use crate::store::{self, What};
use crate::work::Noted;
use crate::{Auth, Shared, secrets};
use drover_access::{Caller, Reach};
use drover_answer::now_ms;
use drover_certs::{DeviceName, Issued, Listed, Reason};
use drover_ledger::Entry;
use drover_model::{Kind, check_id};
use serde::Serialize;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;

/// Begins every device token.
pub(crate) const PREFIX: &str = "dt_";
const TOKENS_MAX: usize = 1_000_000;
const TOKENS_OF_DEVICE_MAX: usize = 20;
const CERTIFICATE_DAYS_MAX: u32 = 3_650;

/// A device token, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenView {
    /// The id; the token begins with it.
    #[schema(example = "7kq2m9x4c5v8b3n6")]
    pub id: String,
    /// The kind of asset.
    #[schema(example = "driver")]
    pub kind: String,
    /// The asset's id.
    #[schema(example = "d-1")]
    pub device_id: String,
    /// Who made it.
    pub created_by: String,
    /// Since when there is this token, RFC 3339.
    pub created_at: String,
    /// Until when it is good, RFC 3339.
    pub expires_at: Option<String>,
    /// When it was used last, within a minute, RFC 3339.
    pub last_used_at: Option<String>,
}

/// A device token with its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MadeToken {
    /// What it is.
    pub device_token: TokenView,
    /// Shown once. For the header `Authorization: Bearer`, or as MQTT password.
    #[schema(example = "dt_7kq2m9x4c5v8b3n6_Zx…")]
    pub token: String,
}

impl From<&Token> for TokenView {
    fn from(token: &Token) -> TokenView {
        TokenView {
            id: token.id.to_string(),
            kind: token.kind.name().into(),
            device_id: token.device.to_string(),
            created_by: token.created_by.clone(),
            created_at: time_text(token.created_ms),
            expires_at: some_time(token.expires_ms),
            last_used_at: some_time(token.used_ms.load(Ordering::Relaxed)),
        }
    }
}

impl Auth {
    /// The device tokens whom the caller sees, by device. `of`: only those of one device.
    pub fn device_tokens(&self, caller: &Caller, of: Option<(Kind, &str)>) -> Vec<TokenView> {
        let memory = self.0.memory.read();
        let is_of = |token: &Token| of.is_none_or(|(kind, id)| token.kind == kind && *token.device == *id);
        let seen = |token: &&Arc<Token>| is_of(token) && self.reaches_device(caller, token.kind, &token.device);
        let mut tokens: Vec<&Arc<Token>> = memory.tokens.values().filter(seen).collect();
        tokens.sort_by(|a, b| (a.kind, &a.device, a.created_ms, &a.id).cmp(&(b.kind, &b.device, b.created_ms, &b.id)));
        tokens.into_iter().map(|token| TokenView::from(&**token)).collect()
    }

    /// Makes a token of a device.
    pub async fn create_device_token(
        &self,
        caller: &Caller,
        kind: Kind,
        device: &str,
        expires_in_days: Option<u32>,
    ) -> Result<MadeToken, Error> {
        self.check_device(caller, kind, device)?;
        let (now, id, secret) = (now_ms(), secrets::name(""), secrets::secret());
        let token = Token {
            caller: device_caller(kind, device, format!("{BY_TOKEN}{id}")),
            id: id.as_str().into(),
            kind,
            device: device.into(),
            secret: secrets::digest_of(&secret),
            created_by: caller.subject.clone(),
            created_ms: now,
            expires_ms: expires_ms(expires_in_days, now)?,
            used_ms: AtomicI64::new(0),
        };
        let mut work = self.work().await?;
        self.has_room(kind, device)?;
        store::put_token(work.on(), &token).await?;
        work.touch(What::Token, &id);
        let fleet = self.fleet_of(kind, device);
        let noted = Noted { after: Some(token.record()), ..noted(&token, &caller.subject, "create", &fleet) };
        work.note(noted).await?;
        work.commit().await?;
        Ok(MadeToken { device_token: TokenView::from(&token), token: format!("{PREFIX}{id}_{secret}") })
    }

    /// Removes a device token: from now on it opens nothing.
    pub async fn remove_device_token(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let mut work = self.work().await?;
        let token = self.0.memory.read().tokens.get(id).cloned();
        let token = token.filter(|token| self.reaches_device(caller, token.kind, &token.device));
        let token = token.ok_or_else(|| Error::not_found("device token", id))?;
        store::delete(work.on(), What::Token, id).await?;
        work.touch(What::Token, id);
        let fleet = self.fleet_of(token.kind, &token.device);
        let change =
            Noted { before: Some(token.record()), version: 2, ..noted(&token, &caller.subject, "remove", &fleet) };
        work.note(change).await?;
        work.commit().await
    }

    /// The certificates whom the caller sees, oldest first.
    pub fn certificates(&self, caller: &Caller) -> Vec<Listed> {
        let mut all = self.0.authority.list();
        all.retain(|listed| self.sees_certificate(caller, listed));
        all
    }

    /// Issues a certificate to a device. With a signing request its key stays with the device.
    pub async fn issue_certificate(
        &self,
        caller: &Caller,
        kind: Kind,
        device: &str,
        days: u32,
        csr_pem: Option<String>,
    ) -> Result<Issued, Error> {
        self.check_device(caller, kind, device)?;
        if !(1..=CERTIFICATE_DAYS_MAX).contains(&days) {
            return Err(Error::invalid("days", format!("days is 1 to {CERTIFICATE_DAYS_MAX}")));
        }
        let name = DeviceName::new(kind.name(), device).map_err(|error| Error::invalid("id", error.to_string()))?;
        let authority = self.0.authority.clone();
        let issued = blocking(move || match csr_pem {
            Some(csr) => authority.sign_csr(&csr, &name, days),
            None => authority.issue(&name, days),
        });
        let issued = issued.await?.map_err(wrong_request)?;
        let record = serde_json::json!({
            "serial": &*issued.serial, "kind": kind.name(), "device_id": device, "expires_ms": issued.expires_ms,
        });
        let entry =
            Entry { after: Some(record), ..self.certificate_entry(caller, "certificates.create", &issued.serial) };
        self.0.ledger.append(Entry { fleet: self.fleet_text(kind, device), ..entry }).await?;
        Ok(issued)
    }

    /// Takes a certificate back: from now on it opens nothing, and its connections are cut.
    pub async fn revoke_certificate(&self, caller: &Caller, serial: &str, reason: Reason) -> Result<(), Error> {
        let listed = self.0.authority.list().into_iter().find(|listed| *listed.serial == *serial);
        let listed = listed.filter(|listed| self.sees_certificate(caller, listed));
        let listed = listed.ok_or_else(|| Error::not_found("certificate", serial))?;
        let (authority, name) = (self.0.authority.clone(), listed.serial.clone());
        blocking(move || authority.revoke(&name, reason)).await??;
        let fleet = device_of(&listed).and_then(|(kind, id)| self.fleet_text(kind, id));
        let after = Some(serde_json::json!({"reason": reason.name(), "name": listed.name}));
        let entry = self.certificate_entry(caller, "certificates.revoke", serial);
        self.0.ledger.append(Entry { fleet, after, ..entry }).await?;
        Ok(())
    }

    fn certificate_entry(&self, caller: &Caller, action: &'static str, serial: &str) -> Entry {
        Entry::new(caller.subject.clone(), action, format!("certificates/{serial}"))
    }

    fn check_device(&self, caller: &Caller, kind: Kind, device: &str) -> Result<(), Error> {
        check_id(device).map_err(|reject| Error::invalid("id", reject.message))?;
        match self.reaches_device(caller, kind, device) {
            true => Ok(()),
            // Whether there is such a device is not said.
            false => Err(Error::not_found("device", &format!("{kind}/{device}"))),
        }
    }

    /// Own records are not enough: who is a device makes no further tokens of it.
    fn reaches_device(&self, caller: &Caller, kind: Kind, device: &str) -> bool {
        caller.reach != Reach::Own && caller.reaches_asset(&self.0.directory, kind, device)
    }

    fn sees_certificate(&self, caller: &Caller, listed: &Listed) -> bool {
        match device_of(listed) {
            Some((kind, id)) => self.reaches_device(caller, kind, id),
            None => caller.reach == Reach::All,
        }
    }

    fn has_room(&self, kind: Kind, device: &str) -> Result<(), Error> {
        let memory = self.0.memory.read();
        if memory.tokens.len() >= TOKENS_MAX {
            return Err(Error::invalid(
                "id",
                format!("there are {TOKENS_MAX} device tokens already, which is the most"),
            ));
        }
        match memory.tokens_of(kind, device) >= TOKENS_OF_DEVICE_MAX {
            true => {
                Err(Error::invalid("id", format!("this device has {TOKENS_OF_DEVICE_MAX} tokens, which is the most")))
            }
            false => Ok(()),
        }
    }

    fn fleet_of(&self, kind: Kind, device: &str) -> Vec<Arc<str>> {
        self.0.directory.fleet_of(kind, device).into_iter().collect()
    }

    fn fleet_text(&self, kind: Kind, device: &str) -> Option<String> {
        self.0.directory.fleet_of(kind, device).map(|fleet| fleet.to_string())
    }
}

fn noted<'a>(token: &'a Token, actor: &'a str, op: &'static str, fleets: &'a [Arc<str>]) -> Noted<'a> {
    Noted { actor, what: What::Token, id: &token.id, op, version: 1, fleets, before: None, after: None }
}

/// Whose certificate it is.
pub(crate) fn device_of(listed: &Listed) -> Option<(Kind, &str)> {
    let (kind, id) = listed.name.as_deref()?.split_once('/')?;
    Some((Kind::parse(kind)?, id))
}

fn wrong_request(error: drover_certs::Error) -> Error {
    match error {
        drover_certs::Error::Request(message) => Error::invalid("csr", message),
        other => other.into(),
    }
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Row(error.to_string()))
}

/// Says of revoked certificates whose access ended.
pub(crate) async fn follow_revocations(mut revoked: broadcast::Receiver<Arc<str>>, shared: Weak<Shared>) {
    loop {
        let told = revoked.recv().await;
        let Some(shared) = shared.upgrade() else { return };
        let is_meant = |listed: &Listed| match &told {
            Ok(serial) => listed.serial == *serial,
            // Some were missed: all that are revoked are said once more.
            Err(_) => listed.revoked.is_some(),
        };
        if matches!(told, Err(RecvError::Closed)) {
            return;
        }
        let all = shared.authority.list();
        let ended = all.iter().filter(|listed| is_meant(listed)).filter_map(|listed| {
            let (kind, id) = device_of(listed)?;
            let session = by_certificate(&listed.serial, listed.expires_ms);
            let caller = rows::device_caller(kind, id, session);
            Some(Ended { subject: caller.subject.clone(), session: caller.session.clone() })
        });
        shared.tell(ended.collect());
    }
}
