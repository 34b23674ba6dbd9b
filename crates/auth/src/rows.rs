//! The records that identities are made of, as they stand in memory, and the principals that follow from them.

use crate::secrets::Digest;
use drover_access::{Caller, Permission, Permissions, Principal, Reach, Role};
use drover_model::Kind;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A person who logs in.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: Arc<str>,
    pub(crate) email: String,
    pub(crate) email_blind: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) fleets: Vec<Arc<str>>,
    pub(crate) all_fleets: bool,
    pub(crate) driver_id: String,
    pub(crate) customer_id: String,
    /// Empty for who logs in elsewhere only.
    pub(crate) password_hash: String,
    pub(crate) must_change_password: bool,
    /// In base32; empty without.
    pub(crate) totp_secret: String,
    /// False while it is being set up.
    pub(crate) totp_on: bool,
    /// The time step of the last code that was taken: none is taken twice.
    pub(crate) totp_last_step: i64,
    /// Digests of the recovery codes that are left.
    pub(crate) recovery: Vec<String>,
    pub(crate) disabled: bool,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) version: i64,
    pub(crate) unread: Unread,
}

/// Sealed texts of a user that the vault does not open: they stay in the table as they are, and the user is disabled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unread {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) totp_secret: String,
}

impl User {
    /// For the audit and the vault: `user/u-…`.
    pub(crate) fn subject(&self) -> String {
        subject_of_user(&self.id)
    }

    pub(crate) fn reach(&self) -> Reach {
        match (self.role.only_own(), self.all_fleets) {
            (true, _) => Reach::Own,
            (false, true) => Reach::All,
            (false, false) => Reach::Fleets(self.fleets.clone().into()),
        }
    }

    /// The caller of one of his sessions.
    pub(crate) fn caller(&self, session: Arc<str>) -> Caller {
        let driver = (self.role == Role::Driver && !self.driver_id.is_empty()).then_some(&self.driver_id);
        let customer = (self.role == Role::Customer && !self.customer_id.is_empty()).then_some(&self.customer_id);
        Caller::new(Principal {
            subject: self.subject(),
            name: self.email.clone(),
            role: self.role,
            may: self.role.permissions(),
            reach: self.reach(),
            asset: driver.map(|id| (Kind::Driver, id.as_str().into())),
            customer_id: customer.map(|id| id.as_str().into()),
            session: Some(session),
        })
    }

    /// For the outbox: nothing personal, nothing secret.
    pub(crate) fn record(&self) -> Value {
        json!({
            "id": &*self.id, "role": self.role, "fleets": texts(&self.fleets), "all_fleets": self.all_fleets,
            "driver_id": some(&self.driver_id), "customer_id": some(&self.customer_id),
            "must_change_password": self.must_change_password, "totp": self.totp_on, "disabled": self.disabled,
        })
    }
}

/// Begins the subject of a user.
pub(crate) const BY_USER: &str = "user/";
/// Begins the subject of a key.
pub(crate) const BY_KEY: &str = "key/";

/// `user/u-…`.
pub(crate) fn subject_of_user(id: &str) -> String {
    format!("{BY_USER}{id}")
}

/// A login that goes on.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: Arc<str>,
    pub(crate) user: Arc<str>,
    /// Of the cookie's secret.
    pub(crate) cookie: Digest,
    pub(crate) created_ms: i64,
    /// The cookie is good until then, whatever happens.
    pub(crate) cookie_ends_ms: i64,
    /// The session is good until then; refreshing moves it on.
    pub(crate) ends_ms: i64,
    pub(crate) address: String,
    pub(crate) agent: String,
    /// Another provider vouched for him: that he has to change a password here does not hold him up.
    pub(crate) elsewhere: bool,
    /// When it was used last; in memory only.
    pub(crate) seen_ms: AtomicI64,
}

/// Another system's key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: Arc<str>,
    pub(crate) name: String,
    pub(crate) secret: Digest,
    /// The secret before a rotation, and until when it is good.
    pub(crate) old_secret: Option<(Digest, i64)>,
    pub(crate) scopes: Permissions,
    pub(crate) fleets: Vec<Arc<str>>,
    pub(crate) all_fleets: bool,
    pub(crate) created_by: String,
    pub(crate) created_ms: i64,
    /// 0 for never.
    pub(crate) expires_ms: i64,
    pub(crate) used_ms: AtomicI64,
    pub(crate) version: i64,
}

impl Key {
    /// For the audit: `key/k-…`.
    pub(crate) fn subject(&self) -> String {
        format!("{BY_KEY}{}", self.id)
    }

    /// The caller that it is within `rights`, those that its maker has by now; none where nothing of it is left.
    pub(crate) fn caller(&self, rights: &Rights) -> Option<Caller> {
        let may = self.scopes.intersection(rights.may);
        let reach = match (self.all_fleets, &rights.reach) {
            (_, Reach::Own) => return None,
            (true, reach) => reach.clone(),
            (false, Reach::All) => Reach::Fleets(self.fleets.as_slice().into()),
            (false, Reach::Fleets(his)) => {
                Reach::Fleets(self.fleets.iter().filter(|fleet| his.contains(fleet)).cloned().collect())
            }
        };
        let is_empty = may == Permissions::NONE || matches!(&reach, Reach::Fleets(fleets) if fleets.is_empty());
        (!is_empty).then(|| {
            Caller::new(Principal {
                subject: self.subject(),
                name: self.name.clone(),
                role: Role::Integration,
                may,
                reach,
                asset: None,
                customer_id: None,
                session: None,
            })
        })
    }

    /// The same key about other fleets, as its next version.
    pub(crate) fn with_fleets(&self, fleets: Vec<Arc<str>>) -> Key {
        Key {
            id: self.id.clone(),
            name: self.name.clone(),
            fleets,
            created_by: self.created_by.clone(),
            used_ms: AtomicI64::new(self.used_ms.load(Ordering::Relaxed)),
            version: self.version + 1,
            ..*self
        }
    }

    pub(crate) fn is_over(&self, now_ms: i64) -> bool {
        self.expires_ms > 0 && self.expires_ms <= now_ms
    }

    /// For the outbox.
    pub(crate) fn record(&self) -> Value {
        json!({
            "id": &*self.id, "name": self.name, "scopes": names_of(self.scopes), "fleets": texts(&self.fleets),
            "all_fleets": self.all_fleets, "created_by": self.created_by, "expires_ms": self.expires_ms,
        })
    }
}

/// What somebody may give, by what he has himself.
#[derive(Debug, Clone)]
pub(crate) struct Rights {
    pub(crate) may: Permissions,
    pub(crate) reach: Reach,
}

impl Rights {
    /// No bound: of who is no user and no key, but the node itself.
    pub(crate) const ALL: Rights = Rights { may: Permissions::ALL, reach: Reach::All };

    /// Those of a user; none of one who may not log in, and none that a key could have of one whose role is about one kind
    /// of asset: a key is about all.
    pub(crate) fn of_user(user: &User) -> Option<Rights> {
        let gives = !user.disabled && user.role.only_kind().is_none();
        gives.then(|| Rights { may: user.role.permissions(), reach: user.reach() })
    }

    /// Those of a key.
    pub(crate) fn of_key(caller: &Caller) -> Rights {
        Rights { may: caller.may, reach: caller.reach.clone() }
    }
}

/// A device's token.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) id: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) device: Box<str>,
    pub(crate) secret: Digest,
    pub(crate) created_by: String,
    pub(crate) created_ms: i64,
    /// 0 for never.
    pub(crate) expires_ms: i64,
    pub(crate) used_ms: AtomicI64,
    pub(crate) caller: Caller,
}

/// Begins [`Principal::session`] of who came with a device token; its id follows.
pub(crate) const BY_TOKEN: &str = "token/";
/// Begins [`Principal::session`] of who came with a certificate.
const BY_CERTIFICATE: &str = "certificate/";

/// [`Principal::session`] of who came with a certificate: its serial number, and when it runs out.
pub(crate) fn by_certificate(serial: &str, expires_ms: i64) -> String {
    format!("{BY_CERTIFICATE}{serial}/{expires_ms}")
}

/// The serial number of the certificate that somebody came with, and when it runs out, ms UTC.
pub(crate) fn certificate_of(session: &str) -> Option<(&str, i64)> {
    let (serial, expires_ms) = session.strip_prefix(BY_CERTIFICATE)?.split_once('/')?;
    Some((serial, expires_ms.parse().ok()?))
}

/// The caller that a device is. `credential` is kept as its session, so that it can be told when it is good no more.
pub(crate) fn device_caller(kind: Kind, id: &str, credential: String) -> Caller {
    Caller::new(Principal {
        subject: format!("device/{kind}/{id}"),
        name: format!("{kind}/{id}"),
        role: Role::Device,
        may: Role::Device.permissions(),
        reach: Reach::Own,
        asset: Some((kind, id.into())),
        customer_id: None,
        session: Some(credential.into()),
    })
}

impl Token {
    pub(crate) fn is_over(&self, now_ms: i64) -> bool {
        self.expires_ms > 0 && self.expires_ms <= now_ms
    }

    /// For the outbox.
    pub(crate) fn record(&self) -> Value {
        json!({
            "id": &*self.id, "kind": self.kind.name(), "device_id": self.device, "created_by": self.created_by,
            "expires_ms": self.expires_ms,
        })
    }
}

/// Notes the time of use; false if it was noted within the last minute already.
pub(crate) fn note_use(used_ms: &AtomicI64, now_ms: i64) -> bool {
    let last = used_ms.load(Ordering::Relaxed);
    now_ms - last >= 60_000 && used_ms.compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// The words of permissions.
pub(crate) fn names_of(permissions: Permissions) -> Vec<&'static str> {
    permissions.iter().map(Permission::name).collect()
}

/// Shared texts, as JSON takes them.
pub(crate) fn texts(list: &[Arc<str>]) -> Vec<&str> {
    list.iter().map(|text| &**text).collect()
}

/// Empty text means none.
pub(crate) fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
