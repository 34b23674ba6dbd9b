//! Requests that come again: a caller gives a request a word (`Idempotency-Key`), and what it made is remembered by that
//! word in the transaction that makes it. So a repetition makes nothing twice, also after a crash, or when
//! both come at the same time: there is one transaction that writes at a time.
//!
//! Only which record was made is kept, not the answer, which would be a second copy of somebody's address: a repetition is
//! answered with the record as it is by then.

use crate::Shared;
use crate::error::Error;
use crate::record::Record;
use crate::rows::{Row, Sql};
use crate::schema::Resource;
use drover_access::Caller;
use drover_answer::now_ms;
use drover_vault::Vault;
use sqlx::{AnyConnection, Row as _};
use std::fmt::Write as _;

/// How long a word is remembered.
const KEPT_MS: i64 = 24 * 3_600_000;
/// Words of one caller that are remembered; the oldest make room.
const WORDS_OF_CALLER_MAX: i64 = 10_000;
/// Words that are over leave with each new one, at most so many.
const SWEPT_AT_ONCE: u32 = 100;
/// Where fingerprints belong, to the vault: they are keyed, so that nobody finds out a body by trying.
const PLACE: &str = "idempotency_keys.fingerprint";

/// What tells a repetition from another request.
#[derive(Debug, Clone, Copy)]
pub struct Repeatable<'a> {
    /// The caller's word for the request.
    pub word: &'a str,
    /// The body as it came, whole.
    pub body: &'a [u8],
}

/// What became of a request that may come again.
#[derive(Debug, Clone, PartialEq)]
pub enum Made {
    /// It made this record.
    Now(Record),
    /// It had come before and made this record, which is as it is now.
    Before(Record),
}

impl Made {
    /// The record.
    pub fn into_record(self) -> Record {
        match self {
            Made::Now(record) | Made::Before(record) => record,
        }
    }
}

impl Shared {
    /// What the request made when it came before; none if it did not. Refuses another request by the same word.
    pub(crate) async fn made_before(
        &self,
        from: &mut AnyConnection,
        caller: &Caller,
        resource: &'static Resource,
        request: &Repeatable<'_>,
    ) -> Result<Option<Record>, Error> {
        let before = look_up(from, &self.vault, &caller.subject, resource.name, request).await?;
        let Some((id, made_at)) = before else { return Ok(None) };
        match self.row(from, caller, resource, &id).await {
            // Another record may have come to that id since.
            Ok(row) if row.created_at == made_at => Ok(Some(row.record(resource))),
            Ok(_) | Err(Error::NotFound { .. }) => Err(gone(resource.singular, &id)),
            Err(error) => Err(error),
        }
    }

    /// Remembers what the request makes, in the transaction that makes it.
    pub(crate) async fn remember(
        &self,
        to: &mut AnyConnection,
        caller: &Caller,
        resource: &'static Resource,
        request: &Repeatable<'_>,
        made: &Row,
    ) -> Result<(), Error> {
        keep(to, &self.vault, &caller.subject, resource.name, request, (&made.id, made.created_at)).await
    }
}

/// The id of what the request did something to when it came before, and when that was; none if it did not. Refuses another
/// request by the same word. `what` is what requests of this sort do; words of one sort are apart from those of another.
pub async fn look_up(
    from: &mut AnyConnection,
    vault: &Vault,
    subject: &str,
    what: &str,
    request: &Repeatable<'_>,
) -> Result<Option<(String, i64)>, Error> {
    let mut sql = Sql::new("SELECT fingerprint, record_id, made_at FROM idempotency_keys WHERE subject = ");
    sql.text(subject).push(" AND resource = ").text(what);
    sql.push(" AND word = ").text(request.word).push(" AND made_at > ").integer(now_ms() - KEPT_MS);
    let Some(kept) = sql.one(from).await? else { return Ok(None) };
    if kept.try_get::<String, _>(0)? != fingerprint(vault, request) {
        return Err(Error::WordReused);
    }
    Ok(Some((kept.try_get(1)?, kept.try_get(2)?)))
}

/// Remembers what the request does, in the transaction that does it: to which record, and when.
pub async fn keep(
    to: &mut AnyConnection,
    vault: &Vault,
    subject: &str,
    what: &str,
    request: &Repeatable<'_>,
    (id, at_ms): (&str, i64),
) -> Result<(), Error> {
    sweep(to).await?;
    let mut sql = Sql::new("DELETE FROM idempotency_keys WHERE subject = ");
    sql.text(subject).push(" AND resource = ").text(what).push(" AND word = ").text(request.word);
    sql.run(to).await?;
    let mut sql = Sql::new(
        "INSERT INTO idempotency_keys (subject, resource, word, fingerprint, record_id, made_at, number) VALUES (",
    );
    sql.text(subject).push(", ").text(what).push(", ").text(request.word).push(", ");
    sql.text(fingerprint(vault, request)).push(", ").text(id).push(", ").integer(at_ms);
    sql.push(", COALESCE((SELECT max(number) FROM idempotency_keys WHERE subject = ").text(subject);
    sql.push("), 0) + 1) RETURNING number");
    let row = sql.one(to).await?;
    let row = row.ok_or_else(|| Error::damaged("idempotency_keys", "a row was written and has no number"))?;
    let mut sql = Sql::new("DELETE FROM idempotency_keys WHERE subject = ");
    sql.text(subject).push(" AND number <= ").integer(row.try_get::<i64, _>(0)? - WORDS_OF_CALLER_MAX);
    sql.run(to).await.map(drop)
}

/// Each byte counts, as the vault takes capital and small letters for the same.
fn fingerprint(vault: &Vault, request: &Repeatable<'_>) -> String {
    let mut hex = String::with_capacity(request.body.len() * 2);
    for byte in request.body {
        let _written = write!(hex, "{byte:02x}");
    }
    vault.blind(PLACE, &hex)
}

/// What is over leaves, some at a time: more than can have come since the last time.
async fn sweep(to: &mut AnyConnection) -> Result<(), Error> {
    let mut sql = Sql::new("DELETE FROM idempotency_keys WHERE (subject, number) IN (");
    sql.push("SELECT subject, number FROM idempotency_keys WHERE made_at <= ").integer(now_ms() - KEPT_MS);
    sql.push(&format!(" ORDER BY made_at LIMIT {SWEPT_AT_ONCE})"));
    sql.run(to).await.map(drop)
}

/// What a request made when it came before is not there any more.
pub fn gone(singular: &str, id: &str) -> Error {
    Error::Conflict {
        code: "idempotency_key_spent",
        field: Some("Idempotency-Key".into()),
        message: format!("this request came before and made the {singular} {id:?}, which is gone"),
        help: "give a new request a key of its own",
    }
}
