//! An entry, as somebody has it to say and as it is kept. Nothing is refused for its length: what is too long is
//! shortened, or stands for itself by size and hash.

use crate::chain::Hash;
use drover_answer::now_ms;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::net::IpAddr;
use utoipa::ToSchema;

const ACTOR_MAX_BYTES: usize = 256;
const ACTION_MAX_BYTES: usize = 64;
const SUBJECT_MAX_BYTES: usize = 512;
const FLEET_MAX_BYTES: usize = 256;
/// Of `before` and of `after`.
const VALUE_MAX_BYTES: usize = 64 << 10;

/// What somebody did, or tried to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Who: `user/u-1`, `key/k-1`, `device/driver/d-1`.
    pub actor: String,
    /// What was done: `vehicles.update`, `location.read`.
    pub action: Cow<'static, str>,
    /// When it was done, ms UTC; none for the moment in which it comes here.
    pub time_ms: Option<i64>,
    /// To what: `vehicles/v-1`.
    pub subject: String,
    /// The fleet that it belongs to; entries of no fleet are for who reaches all.
    pub fleet: Option<String>,
    /// From where.
    pub address: Option<IpAddr>,
    /// The record before, without personal fields.
    pub before: Option<Value>,
    /// The record after, without personal fields.
    pub after: Option<Value>,
    /// What came of it.
    pub outcome: Outcome,
    /// Where the entry comes from, if it must not be there twice: a source, and a number in it.
    pub origin: Option<(&'static str, i64)>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// It was done.
    #[default]
    Ok,
    /// It was not allowed.
    Refused,
    /// It was allowed and did not work.
    Failed,
}

impl Outcome {
    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

impl Entry {
    /// An entry of something that was done, without particulars.
    pub fn new(actor: impl Into<String>, action: impl Into<Cow<'static, str>>, subject: impl Into<String>) -> Entry {
        Entry {
            actor: actor.into(),
            action: action.into(),
            subject: subject.into(),
            time_ms: None,
            fleet: None,
            address: None,
            before: None,
            after: None,
            outcome: Outcome::Ok,
            origin: None,
        }
    }

    /// As it will be kept; its place in the chain is still to come.
    pub(crate) fn draft(self) -> Recorded {
        Recorded {
            seq: 0,
            time_ms: self.time_ms.unwrap_or_else(now_ms),
            actor: shortened(self.actor, ACTOR_MAX_BYTES),
            action: shortened(self.action.into_owned(), ACTION_MAX_BYTES),
            subject: shortened(self.subject, SUBJECT_MAX_BYTES),
            fleet: self.fleet.map(|fleet| shortened(fleet, FLEET_MAX_BYTES)),
            address: self.address.map(|address| address.to_string()),
            before: self.before.as_ref().and_then(kept),
            after: self.after.as_ref().and_then(kept),
            outcome: self.outcome.name().to_owned(),
            origin: self.origin.map(|(source, seq)| Origin { source: source.to_owned(), seq }),
            previous_hash: String::new(),
            hash: String::new(),
        }
    }
}

/// Cuts at a character, and says so.
fn shortened(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// The text of a value, which is what is hashed; nothing stands for null.
fn kept(value: &Value) -> Option<Box<RawValue>> {
    // Values have only text as keys, so that each has a text.
    let raw = to_raw_value(value).ok().filter(|_| !value.is_null())?;
    let text = raw.get();
    if text.len() <= VALUE_MAX_BYTES {
        return Some(raw);
    }
    to_raw_value(&json!({"too_large": text.len(), "sha256": Hash::of(text.as_bytes()).to_string()})).ok()
}

/// An entry of the chain.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AuditEntry, example = json!({
    "seq": 17, "time_ms": 1_795_305_600_000_i64, "actor": "user/u-1", "action": "vehicles.update",
    "subject": "vehicles/v-1", "fleet": "north", "address": "192.0.2.7", "before": {"depot": "d-1"},
    "after": {"depot": "d-2"}, "outcome": "ok", "origin": {"source": "registry", "seq": 12},
    "previous_hash": "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
    "hash": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
}))]
pub struct Recorded {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When it was done, ms UTC. Entries are in the order in which they came, and a change may come a little later.
    pub time_ms: i64,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The fleet that it belongs to.
    pub fleet: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// The record before.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Box<RawValue>>,
    /// The record after.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Box<RawValue>>,
    /// `ok`, `refused` or `failed`.
    pub outcome: String,
    /// Where the entry comes from, if it was taken from somewhere.
    pub origin: Option<Origin>,
    /// Hash of the entry before, SHA-256.
    pub previous_hash: String,
    /// Hash of this entry and the one before, SHA-256.
    pub hash: String,
}

/// A place in a source of entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AuditOrigin)]
pub struct Origin {
    /// Which source.
    pub source: String,
    /// The number in it.
    pub seq: i64,
}

impl Recorded {
    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let value = |value: &Option<Box<RawValue>>| value.as_ref().map_or(0, |value| value.get().len());
        200 + self.actor.len() + self.action.len() + self.subject.len() + value(&self.before) + value(&self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_shortened_or_stands_for_itself_by_size_and_hash() {
        let long = Value::from("ä".repeat(40_000));
        let entry = Entry {
            before: Some(long),
            after: Some(Value::Null),
            ..Entry::new("ä".repeat(300), "a".repeat(64), "s".repeat(513))
        };
        let draft = entry.draft();
        assert_eq!(draft.actor, format!("{}…", "ä".repeat(126)));
        assert_eq!(draft.action, "a".repeat(64));
        assert_eq!(draft.subject, format!("{}…", "s".repeat(509)));
        let text = format!("\"{}\"", "ä".repeat(40_000));
        let stands: Value = serde_json::from_str(draft.before.unwrap().get()).unwrap();
        assert_eq!(stands, json!({"too_large": 80_002, "sha256": Hash::of(text.as_bytes()).to_string()}));
        assert!(draft.after.is_none());
    }
}
