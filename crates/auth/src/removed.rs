//! What goes when something that it was made for goes: the tokens and certificates of an asset that was removed or
//! erased, the logins of a driver or customer, and a removed fleet in what users and keys reach. Another of the same name
//! that comes later gets nothing of it.

use crate::error::Error;
use crate::memory::Memory;
use crate::rows::{Key, Token, User};
use crate::store::{self, What};
use crate::work::Noted;
use crate::{Auth, PersonKind, devices};
use drover_certs::Reason;
use drover_ledger::Entry;
use drover_model::Kind;
use std::sync::Arc;

/// Who does it, in the audit.
const ACTOR: &str = "drover";

impl Auth {
    /// Ends what was made up to `until_ms` for an asset that is no more. Calling it again changes nothing.
    pub async fn forget_device(&self, kind: Kind, device: &str, until_ms: i64) -> Result<(), Error> {
        let is_its = |token: &Token| token.kind == kind && *token.device == *device && token.created_ms <= until_ms;
        let mut work = self.work().await?;
        let tokens: Vec<Arc<Token>> = {
            let memory = self.0.memory.read();
            memory.tokens.values().filter(|token| is_its(token)).cloned().collect()
        };
        for token in &tokens {
            store::delete(work.on(), What::Token, &token.id).await?;
            work.touch(What::Token, &token.id);
            let (id, before) = (&*token.id, Some(token.record()));
            let what = What::Token;
            work.note(Noted { actor: ACTOR, what, id, op: "remove", version: 2, fleets: &[], before, after: None })
                .await?;
        }
        work.commit().await?;
        self.forget_certificates(kind, device, until_ms).await
    }

    /// Removes the users made up to `until_ms` who are a driver or customer that is no more: whoever gets that id next is
    /// somebody else. Calling it again changes nothing.
    pub async fn forget_logins(&self, kind: PersonKind, id: &str, until_ms: i64) -> Result<(), Error> {
        self.remove_users_of(ACTOR, kind, id, until_ms).await.map(drop)
    }

    async fn forget_certificates(&self, kind: Kind, device: &str, until_ms: i64) -> Result<(), Error> {
        for listed in self.0.authority.list() {
            let is_its = devices::device_of(&listed) == Some((kind, device)) && listed.issued_ms <= until_ms;
            if !is_its || listed.revoked.is_some() {
                continue;
            }
            let (authority, serial) = (self.0.authority.clone(), listed.serial.clone());
            devices::blocking(move || authority.revoke(&serial, Reason::CessationOfOperation)).await??;
            let entry = Entry::new(ACTOR, "certificates.revoke", format!("certificates/{}", listed.serial));
            self.0.ledger.append(entry).await?;
        }
        Ok(())
    }

    /// Takes a fleet that is no more since `until_ms` out of what users and keys reach. Their sessions end; a key that is
    /// left without any fleet goes. Users who were changed later, and keys that were made later, have another fleet of that
    /// name. Calling it again changes nothing.
    pub async fn forget_fleet(&self, fleet: &str, until_ms: i64) -> Result<(), Error> {
        let mut work = self.work().await?;
        let (users, keys) = reaching(&self.0.memory.read(), fleet, until_ms);
        for user in users {
            work.end_sessions_of(&user.id, None).await?;
            let after = User { fleets: without(&user.fleets, fleet), ..(*user).clone() };
            self.update_user(&mut work, &user, after, ACTOR).await?;
        }
        for key in keys {
            let fleets = without(&key.fleets, fleet);
            let (id, before) = (&*key.id, Some(key.record()));
            let after = (!fleets.is_empty()).then(|| key.with_fleets(fleets));
            match &after {
                Some(key) => store::put_key(work.on(), key).await?,
                None => store::delete(work.on(), What::Key, id).await?,
            }
            work.touch(What::Key, id);
            let op = if after.is_some() { "update" } else { "remove" };
            let after = after.map(|key| key.record());
            let version = key.version + 1;
            let what = What::Key;
            work.note(Noted { actor: ACTOR, what, id, op, version, fleets: &[], before, after }).await?;
        }
        work.commit().await
    }
}

fn reaching(memory: &Memory, fleet: &str, until_ms: i64) -> (Vec<Arc<User>>, Vec<Arc<Key>>) {
    let names = |fleets: &[Arc<str>]| fleets.iter().any(|reached| **reached == *fleet);
    let users =
        memory.users.values().filter(|user| user.updated_ms <= until_ms && names(&user.fleets)).cloned().collect();
    let keys = memory.keys.values().filter(|key| key.created_ms <= until_ms && names(&key.fleets)).cloned().collect();
    (users, keys)
}

fn without(fleets: &[Arc<str>], gone: &str) -> Vec<Arc<str>> {
    fleets.iter().filter(|fleet| ***fleet != *gone).cloned().collect()
}
