//! Changes, written in the transaction of the change itself and read in the order of commits: whatever follows the
//! registry (audit, the log) reads them here. Other crates that change tables of the same database write
//! theirs here too.

use crate::check::Cell;
use crate::error::Error;
use crate::record::Change;
use crate::rows::Sql;
use drover_access::request_address;
use drover_answer::now_ms;
use drover_database::{Database, Dialect, Transaction};
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;

/// Of what the change is that tells of an older copy, and its word.
const REGISTRY: &str = "registry";
const SET_BACK: &str = "set_back";

/// What changed; the rest of a [`Change`] is known when it is written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewChange<'a> {
    /// The resource: `vehicles`, `users` …
    pub resource: &'a str,
    /// The record.
    pub id: &'a str,
    /// `create`, `update`, `remove` or a word of the resource.
    pub op: &'a str,
    /// The record's version after it.
    pub version: i64,
    /// Who did it.
    pub actor: &'a str,
    /// The record's fleet.
    pub fleet_id: Option<&'a str>,
    /// The record before it. No secret and nothing personal in the clear.
    pub before: Option<Value>,
    /// The record after it. No secret and nothing personal in the clear.
    pub after: Option<Value>,
}

/// Writes a change in the transaction that makes it, with the address that the request comes from, and says its number.
/// Numbers grow in the order of commits, because [`Database::begin`] gives out one transaction at a time.
pub async fn write(transaction: &mut Transaction, change: NewChange<'_>) -> Result<i64, Error> {
    let json = |value: Option<Value>| value.map_or(Cell::Null, |value| Cell::Text(value.to_string()));
    let mut sql = Sql::new(
        "INSERT INTO outbox (resource, id, op, version, time_ms, actor, fleet_id, before_json, after_json, address) VALUES (",
    );
    sql.text(change.resource).push(", ").text(change.id).push(", ").text(change.op).push(", ");
    sql.integer(change.version).push(", ").integer(now_ms()).push(", ").text(change.actor).push(", ");
    sql.bind(change.fleet_id.map_or(Cell::Null, |fleet| Cell::Text(fleet.to_owned()))).push(", ");
    sql.bind(json(change.before)).push(", ").bind(json(change.after)).push(", ");
    let address = request_address().map_or(Cell::Null, |address| Cell::Text(address.to_string()));
    sql.bind(address).push(") RETURNING seq");
    let row = sql.one(transaction).await?;
    row.map_or_else(|| Err(Error::damaged("outbox", "a row was written and has no number")), |row| Ok(row.try_get(0)?))
}

/// Goes on after `seq`, which some change had that was heard of elsewhere. Where this database does not know it, it was put
/// back to an older copy: the next numbers are greater, and a change `registry.set_back` says from where to where. On `Ok`
/// no further change has a number up to `seq`.
pub(crate) async fn continue_after(database: &Database, seq: i64) -> Result<(), Error> {
    let mut connection = database.read().await?;
    let (newest, _) = bounds(&mut connection).await?;
    drop(connection);
    if newest >= seq {
        return Ok(());
    }
    let mut transaction = database.begin().await?;
    let (newest, _) = bounds(&mut transaction).await?;
    if newest >= seq {
        return Ok(());
    }
    let mut sql = match database.dialect() {
        Dialect::Sqlite => {
            Sql::new("DELETE FROM sqlite_sequence WHERE name = 'outbox'").run(&mut transaction).await?;
            Sql::new("INSERT INTO sqlite_sequence (name, seq) SELECT 'outbox', (")
        }
        Dialect::Postgres => Sql::new("SELECT setval(pg_get_serial_sequence('outbox', 'seq'), "),
    };
    sql.integer(seq).push(")");
    sql.run(&mut transaction).await?;
    let after = Some(json!({"newest": newest, "heard_of": seq}));
    let change =
        NewChange { resource: REGISTRY, id: "outbox", op: SET_BACK, actor: "drover", after, ..NewChange::default() };
    write(&mut transaction, change).await?;
    transaction.commit().await?;
    tracing::warn!(
        newest,
        heard_of = seq,
        "the registry was put back to an older copy; what came after it is not in it"
    );
    Ok(())
}

/// Changes after `seq`, in order, at most `limit`.
pub(crate) async fn since(database: &Database, seq: i64, limit: u32) -> Result<Vec<Change>, Error> {
    let mut sql = Sql::new(
        "SELECT seq, resource, id, op, version, time_ms, actor, fleet_id, before_json, after_json, address FROM outbox",
    );
    sql.push(" WHERE seq > ").integer(seq).push(&format!(" ORDER BY seq LIMIT {limit}"));
    let mut connection = database.read().await?;
    sql.all(&mut connection).await?.iter().map(change).collect()
}

/// Forgets changes up to and with `seq`.
pub(crate) async fn trim(database: &Database, seq: i64) -> Result<u64, Error> {
    let mut transaction = database.begin().await?;
    let (newest, _) = bounds(&mut transaction).await?;
    let seq = seq.min(newest);
    let mut sql = Sql::new("DELETE FROM outbox WHERE seq <= ");
    sql.integer(seq);
    let gone = sql.run(&mut transaction).await?;
    let mut sql = Sql::new("UPDATE outbox_trimmed SET seq = ");
    sql.integer(seq).push(" WHERE seq < ").integer(seq);
    sql.run(&mut transaction).await?;
    transaction.commit().await?;
    Ok(gone)
}

/// The newest number, and the one up to which changes were forgotten.
pub(crate) async fn bounds(connection: &mut sqlx::AnyConnection) -> Result<(i64, i64), Error> {
    let sql = Sql::new("SELECT (SELECT max(seq) FROM outbox), (SELECT max(seq) FROM outbox_trimmed)");
    let Some(row) = sql.one(connection).await? else { return Ok((0, 0)) };
    let newest: Option<i64> = row.try_get(0)?;
    let trimmed: Option<i64> = row.try_get(1)?;
    let trimmed = trimmed.unwrap_or(0);
    Ok((newest.unwrap_or(trimmed), trimmed))
}

fn change(row: &AnyRow) -> Result<Change, Error> {
    let seq: i64 = row.try_get(0)?;
    let json = |text: Option<String>| {
        let read = |text: String| serde_json::from_str(&text);
        text.map(read).transpose().map_err(|error| Error::damaged(format!("change {seq}"), error))
    };
    Ok(Change {
        seq,
        resource: row.try_get(1)?,
        id: row.try_get(2)?,
        op: row.try_get(3)?,
        version: row.try_get(4)?,
        time_ms: row.try_get(5)?,
        actor: row.try_get(6)?,
        fleet_id: row.try_get(7)?,
        before: json(row.try_get(8)?)?,
        after: json(row.try_get(9)?)?,
        address: row.try_get(10)?,
    })
}
