//! The node's own keys, for system administrators: what there is, and changing them while everything goes on. The data
//! keys seal personal fields, the root key wraps the data keys, the signing key signs access tokens.

use crate::Auth;
use crate::error::Error;
use crate::people::time_text;
use crate::reseal::Resealing;
use drover_access::Caller;
use drover_answer::now_ms;
use drover_ledger::Entry;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::IpAddr;
use utoipa::ToSchema;

/// One of the node's own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OwnKey {
    /// The one that seals personal fields. What older ones sealed is sealed anew in the background.
    Data,
    /// The one that wraps the data keys.
    Root,
    /// The one that signs access tokens. Those that are out stay good until they end.
    Tokens,
}

/// The node's own keys, without their secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnKeys {
    /// Data keys, oldest first; the last one seals.
    pub data: Vec<DataKeyView>,
    /// How far the sealing by the last one is.
    pub resealing: Resealing,
    /// The root key.
    pub root: RootKeyView,
    /// The signing key of access tokens.
    pub tokens: SigningKeyView,
}

/// A data key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DataKeyView {
    /// Its number.
    #[schema(example = 2)]
    pub number: u32,
    /// Since when there is this key, RFC 3339.
    pub created_at: String,
    /// Texts that it sealed, when all were looked at last; null before that.
    #[schema(example = 48_000)]
    pub texts: Option<u64>,
}

/// The root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RootKeyView {
    /// The operator's file that holds it; null where the node keeps its own.
    #[schema(example = "/etc/drover/root-key")]
    pub file: Option<String>,
    /// Where the operator puts the one that is to follow.
    #[schema(example = "/etc/drover/root-key.new")]
    pub new_file: Option<String>,
    /// True while the new one opens the vault too, and has yet to be put in the place of the old one.
    pub pending: bool,
}

/// The signing key of access tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SigningKeyView {
    /// The id of the one that signs.
    #[schema(example = "7kq2m9x4c5v8b3n6")]
    pub id: String,
    /// Older ones whose tokens may still be good.
    pub older: usize,
}

/// Data keys that are no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RetiredKeys {
    /// Their numbers.
    pub retired: Vec<u32>,
    /// Those that stay, since something is sealed by them.
    pub in_use: Vec<u32>,
}

impl Auth {
    /// The node's own keys.
    pub fn own_keys(&self) -> OwnKeys {
        let (vault, progress) = (&self.0.vault, &self.0.resealing);
        let data = vault.data_keys().into_iter().map(|key| DataKeyView {
            number: key.number,
            created_at: time_text(i64::try_from(key.made_at_ms).unwrap_or(0)),
            texts: progress.texts_of(key.number),
        });
        let (root, (id, older)) = (vault.root_state(), self.0.signer.in_use(now_ms()));
        let name = |path: std::path::PathBuf| path.display().to_string();
        OwnKeys {
            data: data.collect(),
            resealing: progress.now(),
            root: RootKeyView {
                file: root.held_in.map(name),
                new_file: root.next_in.map(name),
                pending: root.is_pending,
            },
            tokens: SigningKeyView { id, older },
        }
    }

    /// Changes one of the node's own keys; nothing stops meanwhile. On `Ok` the new one is durable and in use.
    pub async fn rotate_own_key(
        &self,
        caller: &Caller,
        address: Option<IpAddr>,
        key: OwnKey,
    ) -> Result<OwnKeys, Error> {
        let (subject, before) = (subject_of(key), self.told(key));
        let auth = self.clone();
        // Files are written: not on the threads that serve.
        let changed = tokio::task::spawn_blocking(move || auth.change(key)).await;
        changed.map_err(|error| Error::Row(error.to_string()))??;
        let (before, after) = (Some(before), Some(self.told(key)));
        let entry = Entry { address, before, after, ..Entry::new(caller.subject.clone(), "vault.rotate", subject) };
        self.0.ledger.append(entry).await?;
        Ok(self.own_keys())
    }

    /// Forgets the data keys that nothing is sealed by any more, after looking at everything. What a backup holds that they
    /// sealed cannot be read again.
    pub async fn retire_data_keys(&self, caller: &Caller, address: Option<IpAddr>) -> Result<RetiredKeys, Error> {
        let Some(looked) = self.0.look_through_now().await? else {
            let message = "personal fields are being sealed anew".to_owned();
            let help = "wait until GET /api/v1/vault says that it is done, then ask again";
            return Err(Error::Conflict { code: "resealing", message, help });
        };
        let is_unused = |number: &u32| *number < looked.current && !looked.texts.contains_key(number);
        let all = self.0.vault.data_keys().into_iter().map(|key| key.number);
        let unused: Vec<u32> = all.filter(is_unused).collect();
        let vault = self.0.vault.clone();
        let retired = tokio::task::spawn_blocking(move || vault.retire(&unused)).await;
        let retired = retired.map_err(|error| Error::Row(error.to_string()))?.map_err(conflict)?;
        let in_use: Vec<u32> = self.0.vault.data_keys().into_iter().map(|key| key.number).collect();
        let after = Some(json!({"retired": retired, "in_use": in_use}));
        let entry = Entry { address, after, ..Entry::new(caller.subject.clone(), "vault.retire", "vault/data") };
        self.0.ledger.append(entry).await?;
        Ok(RetiredKeys { retired, in_use })
    }

    fn change(&self, key: OwnKey) -> Result<(), Error> {
        match key {
            OwnKey::Data => {
                self.0.vault.rotate().map_err(conflict)?;
                self.0.resealing.wake();
            }
            OwnKey::Root => drop(self.0.vault.rotate_root_in_place().map_err(conflict)?),
            OwnKey::Tokens => drop(self.rotate_signing_key()?),
        }
        Ok(())
    }

    /// What the audit says of a key: nothing secret.
    fn told(&self, key: OwnKey) -> Value {
        match key {
            OwnKey::Data => json!({"number": self.0.vault.current_key()}),
            OwnKey::Root => json!({"pending": self.0.vault.root_state().is_pending}),
            OwnKey::Tokens => json!({"id": self.0.signer.in_use(now_ms()).0}),
        }
    }
}

fn subject_of(key: OwnKey) -> &'static str {
    match key {
        OwnKey::Data => "vault/data",
        OwnKey::Root => "vault/root",
        OwnKey::Tokens => "vault/tokens",
    }
}

/// What the operator has to do first is told to whoever asks.
fn conflict(error: drover_vault::Error) -> Error {
    use drover_vault::Error as Why;
    let (code, help) = match &error {
        Why::NoNextRoot(_) => ("no_new_root_key", "openssl rand -hex 32 makes one; then ask again"),
        Why::SameRoot(_) | Why::NoRootKey(_) => ("wrong_root_key", "put another there: openssl rand -hex 32 makes one"),
        Why::RootPending => ("root_key_pending", "put the new root key in the place of the old one, then ask again"),
        Why::WrongRoot { .. } | Why::RootMissing(_) => {
            ("wrong_root_key", "put the root key back that the node was started with, then ask again")
        }
        _ => return error.into(),
    };
    Error::Conflict { code, message: error.to_string(), help }
}
