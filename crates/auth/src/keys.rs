//! API keys: for other systems. Each has scopes, fleets, and may have an end; a rotation gives it a new secret while the
//! old one stays good for a while. What is left of a key when its maker has less than he had, `memory` knows.

use crate::error::Error;
use crate::memory::Memory;
use crate::people::{checked_fleets, time_text};
use crate::rows::{Key, names_of};
use crate::store::{self, What};
use crate::users::{fleets_exist, may_give_fleets, sees_fleets};
use crate::work::Noted;
use crate::{Auth, secrets};
use drover_access::{Caller, Permission, Permissions, Reach, Role};
use drover_answer::now_ms;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use utoipa::ToSchema;

const NAME_MAX_BYTES: usize = 200;
const DAYS_MAX: u32 = 3_650;
const GRACE_MAX_S: u32 = 30 * 86_400;
const KEYS_MAX: usize = 10_000;
const DAY_MS: i64 = 86_400_000;

/// Begins every API key.
pub(crate) const PREFIX: &str = "dk_";

/// A key to be made.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "ERP", "scopes": ["orders.read", "orders.write"], "fleets": ["f-north"], "expires_in_days": 365
}))]
pub struct NewKey {
    /// What it is for.
    #[schema(max_length = 200)]
    pub name: String,
    /// What it may do, as permissions: a part of what its maker may. Left out: what the role `integration` may, as far as
    /// its maker may it.
    pub scopes: Option<Vec<String>>,
    /// The fleets that it is about.
    #[serde(default)]
    pub fleets: Vec<String>,
    /// True if it is about all fleets.
    #[serde(default)]
    pub all_fleets: bool,
    /// After so many days it is good no more; without, it is until it is removed.
    #[schema(minimum = 1, maximum = 3650)]
    pub expires_in_days: Option<u32>,
}

/// A key, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeyView {
    /// The id; its secret begins with it.
    #[schema(example = "7kq2m9x4c5v8b3n6")]
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do by now, within what its maker may; empty when it opens nothing since he is gone or disabled.
    pub scopes: Vec<String>,
    /// The fleets that it is about, within those that its maker reaches by now.
    pub fleets: Vec<String>,
    /// True if it is about all fleets.
    pub all_fleets: bool,
    /// Who made it. It ends with him.
    pub created_by: String,
    /// Since when there is this key, RFC 3339.
    pub created_at: String,
    /// Until when it is good, RFC 3339.
    pub expires_at: Option<String>,
    /// When it was used last, within a minute, RFC 3339.
    pub last_used_at: Option<String>,
    /// Until when the secret before the last rotation is good, RFC 3339.
    pub old_secret_until: Option<String>,
}

/// A key with its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MadeKey {
    /// The key.
    pub key: KeyView,
    /// Shown once. For the header `Authorization: Bearer`, or `X-API-Key`.
    #[schema(example = "dk_7kq2m9x4c5v8b3n6_Zx…")]
    pub secret: String,
}

/// A time, unless it is 0.
pub(crate) fn some_time(ms: i64) -> Option<String> {
    (ms > 0).then(|| time_text(ms))
}

impl KeyView {
    /// A key, with what is left of it.
    fn new(key: &Key, memory: &Memory) -> KeyView {
        let caller = memory.caller_of_key(&key.id);
        let fleets = match caller.map(|caller| &caller.reach) {
            Some(Reach::Fleets(fleets)) => fleets.iter().map(|fleet| fleet.to_string()).collect(),
            _ => Vec::new(),
        };
        KeyView {
            id: key.id.to_string(),
            name: key.name.clone(),
            scopes: caller.map_or_else(Vec::new, |caller| names_of(caller.may).into_iter().map(Into::into).collect()),
            fleets,
            all_fleets: caller.is_some_and(|caller| caller.reach == Reach::All),
            created_by: key.created_by.clone(),
            created_at: time_text(key.created_ms),
            expires_at: some_time(key.expires_ms),
            last_used_at: some_time(key.used_ms.load(Ordering::Relaxed)),
            old_secret_until: key.old_secret.filter(|(_, until)| *until > now_ms()).map(|(_, until)| time_text(until)),
        }
    }
}

impl Auth {
    /// The keys whom the caller sees, newest first.
    pub fn keys(&self, caller: &Caller) -> Vec<KeyView> {
        let memory = self.0.memory.read();
        let mut keys: Vec<&Arc<Key>> = memory.keys.values().filter(|key| sees(caller, key)).collect();
        keys.sort_by(|a, b| (b.created_ms, &b.id).cmp(&(a.created_ms, &a.id)));
        keys.into_iter().map(|key| KeyView::new(key, &memory)).collect()
    }

    /// One of them.
    pub fn key(&self, caller: &Caller, id: &str) -> Result<KeyView, Error> {
        Ok(self.view_of(&*self.seen_key(caller, id)?))
    }

    /// Makes a key.
    pub async fn create_key(&self, caller: &Caller, new: NewKey) -> Result<MadeKey, Error> {
        if new.name.trim().is_empty() || new.name.len() > NAME_MAX_BYTES || new.name.chars().any(char::is_control) {
            return Err(Error::invalid("name", format!("name has 1 to {NAME_MAX_BYTES} bytes, in one line")));
        }
        let scopes = scopes_of(caller, new.scopes)?;
        let fleets = checked_fleets(new.fleets)?;
        may_give_fleets(caller, &fleets, new.all_fleets)?;
        let (now, id, secret) = (now_ms(), secrets::name(""), secrets::secret());
        let key = Key {
            id: id.as_str().into(),
            name: new.name,
            secret: secrets::digest_of(&secret),
            old_secret: None,
            scopes,
            fleets,
            all_fleets: new.all_fleets,
            created_by: caller.subject.clone(),
            created_ms: now,
            expires_ms: expires_ms(new.expires_in_days, now)?,
            used_ms: AtomicI64::new(0),
            version: 1,
        };
        let mut work = self.work().await?;
        if self.0.memory.read().keys.len() >= KEYS_MAX {
            return Err(Error::invalid("name", format!("there are {KEYS_MAX} keys already, which is the most")));
        }
        fleets_exist(&mut work, &key.fleets).await?;
        store::put_key(work.on(), &key).await?;
        work.touch(What::Key, &id);
        work.note(Noted { after: Some(key.record()), ..noted(&key, &caller.subject, "create") }).await?;
        work.commit().await?;
        Ok(MadeKey { key: self.view_of(&key), secret: format!("{PREFIX}{id}_{secret}") })
    }

    /// Gives a key a new secret; the old one is good for `grace_s` seconds more.
    pub async fn rotate_key(&self, caller: &Caller, id: &str, grace_s: u32) -> Result<MadeKey, Error> {
        if grace_s > GRACE_MAX_S {
            return Err(Error::invalid("grace_s", format!("grace_s is at most {GRACE_MAX_S} (30 days)")));
        }
        let mut work = self.work().await?;
        let before = self.seen_key(caller, id)?;
        // Who sees the new secret has what the key has.
        if !before.scopes.within(caller.may) {
            return Err(Error::Forbidden("this key may do more than you may yourself".into()));
        }
        let secret = secrets::secret();
        let until = now_ms() + i64::from(grace_s) * 1000;
        let key = Key {
            id: before.id.clone(),
            name: before.name.clone(),
            secret: secrets::digest_of(&secret),
            old_secret: (grace_s > 0).then_some((before.secret, until)),
            fleets: before.fleets.clone(),
            created_by: before.created_by.clone(),
            used_ms: AtomicI64::new(before.used_ms.load(Ordering::Relaxed)),
            version: before.version + 1,
            ..*before
        };
        store::put_key(work.on(), &key).await?;
        work.touch(What::Key, id);
        let records = (Some(before.record()), Some(key.record()));
        work.note(Noted { before: records.0, after: records.1, ..noted(&key, &caller.subject, "rotate") }).await?;
        work.commit().await?;
        Ok(MadeKey { key: self.view_of(&key), secret: format!("{PREFIX}{id}_{secret}") })
    }

    /// Removes a key: from now on it opens nothing.
    pub async fn remove_key(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let mut work = self.work().await?;
        let key = self.seen_key(caller, id)?;
        store::delete(work.on(), What::Key, id).await?;
        work.touch(What::Key, id);
        let version = key.version + 1;
        work.note(Noted { before: Some(key.record()), version, ..noted(&key, &caller.subject, "remove") }).await?;
        work.commit().await
    }

    fn view_of(&self, key: &Key) -> KeyView {
        KeyView::new(key, &self.0.memory.read())
    }

    fn seen_key(&self, caller: &Caller, id: &str) -> Result<Arc<Key>, Error> {
        let key = self.0.memory.read().keys.get(id).cloned();
        key.filter(|key| sees(caller, key)).ok_or_else(|| Error::not_found("API key", id))
    }
}

fn sees(caller: &Caller, key: &Key) -> bool {
    sees_fleets(caller, &key.fleets, key.all_fleets)
}

fn noted<'a>(key: &'a Key, actor: &'a str, op: &'static str) -> Noted<'a> {
    let (id, version, fleets) = (&*key.id, key.version, &*key.fleets);
    Noted { actor, what: What::Key, id, op, version, fleets, before: None, after: None }
}

/// Nobody gives scopes that he does not have.
fn scopes_of(caller: &Caller, scopes: Option<Vec<String>>) -> Result<Permissions, Error> {
    let Some(words) = scopes else { return Ok(Role::Integration.permissions().intersection(caller.may)) };
    let mut scopes = Permissions::NONE;
    for word in words {
        let unknown = || {
            let message = format!("there is no permission {:?}", word.chars().take(40).collect::<String>());
            Error::invalid("scopes", message)
        };
        let permission = Permission::parse(&word).ok_or_else(unknown)?;
        if !caller.may(permission) {
            return Err(Error::Forbidden(format!("you do not have the permission {word} yourself")));
        }
        scopes = scopes.with(permission);
    }
    match scopes == Permissions::NONE {
        true => Err(Error::invalid("scopes", "a key needs one scope at least")),
        false => Ok(scopes),
    }
}

/// When something ends that is good for so many days; 0 for never.
pub(crate) fn expires_ms(days: Option<u32>, now_ms: i64) -> Result<i64, Error> {
    match days {
        None => Ok(0),
        Some(days @ 1..=DAYS_MAX) => Ok(now_ms + i64::from(days) * DAY_MS),
        Some(_) => Err(Error::invalid("expires_in_days", format!("expires_in_days is 1 to {DAYS_MAX}"))),
    }
}
