//! The ledger's table, in a SQLite file: what is in it can be added to, not changed. What an entry means is not known here.

use crate::Error;
use crate::chain::Hash;
use crate::entry::{Origin, Recorded};
use crate::head::Head;
use drover_database::{Database, Step, Transaction};
use futures_util::TryStreamExt;
use serde_json::value::RawValue;
use sqlx::any::AnyRow;
use sqlx::{Any, QueryBuilder, Row};
use std::path::Path;

/// Entries in an answer at most.
pub const LIMIT_MAX: usize = 1000;
/// A page ends after so many bytes, whatever its limit.
const PAGE_MAX_BYTES: usize = 8 << 20;

const STEPS: &[Step] = &[ENTRIES, RETENTION];

const ENTRIES: Step = Step {
    number: 1,
    name: "entries",
    sqlite: "
        CREATE TABLE ledger (id TEXT NOT NULL);
        INSERT INTO ledger VALUES (lower(hex(randomblob(16))));
        CREATE TABLE entries (
            seq INTEGER PRIMARY KEY CHECK (seq > 0), time_ms BIGINT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
            subject TEXT NOT NULL, fleet TEXT, address TEXT, value_before TEXT, value_after TEXT, outcome TEXT NOT NULL,
            origin_source TEXT, origin_seq BIGINT, previous_hash TEXT NOT NULL, hash TEXT NOT NULL
        );
        CREATE INDEX entries_by_time ON entries (time_ms);
        CREATE INDEX entries_by_actor ON entries (actor, seq);
        CREATE INDEX entries_by_action ON entries (action, seq);
        CREATE INDEX entries_by_subject ON entries (subject, seq);
        CREATE INDEX entries_by_fleet ON entries (fleet, seq) WHERE fleet IS NOT NULL;
        CREATE UNIQUE INDEX entries_by_origin ON entries (origin_source, origin_seq) WHERE origin_source IS NOT NULL;
        CREATE TRIGGER entries_stay_as_they_are BEFORE UPDATE ON entries
            BEGIN SELECT RAISE(ABORT, 'entries of the audit do not change'); END;
        CREATE TRIGGER entries_stay BEFORE DELETE ON entries
            BEGIN SELECT RAISE(ABORT, 'entries of the audit do not leave'); END;
        CREATE TRIGGER entries_come_at_the_end BEFORE INSERT ON entries
            WHEN NEW.seq <= (SELECT coalesce(max(seq), 0) FROM entries)
            BEGIN SELECT RAISE(ABORT, 'entries of the audit come at the end'); END;
        CREATE TRIGGER ledger_stays_as_it_is BEFORE UPDATE ON ledger
            BEGIN SELECT RAISE(ABORT, 'a ledger keeps its name'); END;
        CREATE TRIGGER ledger_stays BEFORE DELETE ON ledger
            BEGIN SELECT RAISE(ABORT, 'a ledger keeps its name'); END;
    ",
    postgres: "",
};

/// What left by age: up to which entry, and the greatest number of each source, so that none is taken twice.
const RETENTION: Step = Step {
    number: 2,
    name: "retention",
    sqlite: "
        CREATE TABLE left_by_age (through BIGINT NOT NULL);
        INSERT INTO left_by_age VALUES (0);
        CREATE TABLE origins_left (source TEXT PRIMARY KEY, seq BIGINT NOT NULL);
        DROP TRIGGER entries_stay;
        CREATE TRIGGER entries_stay BEFORE DELETE ON entries WHEN OLD.seq > (SELECT through FROM left_by_age)
            BEGIN SELECT RAISE(ABORT, 'entries of the audit do not leave'); END;
    ",
    postgres: "",
};

const COLUMNS: &str = "seq, time_ms, actor, action, subject, fleet, address, value_before, value_after, outcome, \
                       origin_source, origin_seq, previous_hash, hash";

/// Which entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this actor.
    pub actor: Option<String>,
    /// Of this action, or of all that begin so: `location.*`.
    pub action: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
    /// Of this fleet.
    pub fleet: Option<String>,
    /// Only of these fleets, for who does not reach all; entries of no fleet are left out then.
    pub fleets: Option<Vec<String>>,
    /// Not before, ms UTC.
    pub since_ms: Option<i64>,
    /// Before, ms UTC.
    pub until_ms: Option<i64>,
    /// Only those with a smaller number: [`Page::next`] of the page before.
    pub cursor: Option<u64>,
    /// At most so many, up to [`LIMIT_MAX`]; 0 stands for 100.
    pub limit: usize,
}

/// Entries, newest first.
#[derive(Debug, Clone)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Recorded>,
    /// The cursor of the next page; none at the end.
    pub next: Option<u64>,
}

/// A row, and what it says if it can be read.
pub(crate) type Found = (u64, Result<Recorded, String>);

#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) database: Database,
    /// The ledger's random name.
    pub(crate) ledger: String,
}

impl Store {
    /// Opens the file, making it if it is not there.
    pub(crate) async fn open(path: &Path) -> Result<Store, Error> {
        let database = Database::open_file(path).await?;
        database.migrate("ledger", STEPS).await?;
        Store::of(database).await
    }

    /// Opens a file that is there, and makes nothing in it.
    pub(crate) async fn open_there(path: &Path) -> Result<Store, Error> {
        if !path.is_file() {
            return Err(Error::NotThere(path.to_owned()));
        }
        Store::of(Database::open_file(path).await?).await
    }

    async fn of(database: Database) -> Result<Store, Error> {
        let mut connection = database.read().await?;
        let row = sqlx::query("SELECT id FROM ledger").fetch_one(&mut *connection).await?;
        Ok(Store { ledger: row.try_get(0)?, database })
    }

    /// The newest entry.
    pub(crate) async fn head(&self) -> Result<Head, Error> {
        let mut connection = self.database.read().await?;
        let newest = sqlx::query("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1");
        let Some(row) = newest.fetch_optional(&mut *connection).await? else {
            return Ok(Head::of_nothing(self.ledger.clone()));
        };
        let (seq, hash) = (number(row.try_get(0)?), row.try_get::<String, _>(1)?);
        let hash = Hash::parse(&hash).ok_or_else(|| Error::Entry { seq, why: "its hash is no hash".to_owned() })?;
        Ok(Head { ledger: self.ledger.clone(), seq, hash })
    }

    /// The newest entry's number; 0 while there is none.
    pub(crate) async fn newest_seq(&self) -> Result<u64, Error> {
        let mut connection = self.database.read().await?;
        let row = sqlx::query("SELECT coalesce(max(seq), 0) FROM entries").fetch_one(&mut *connection).await?;
        Ok(number(row.try_get(0)?))
    }

    /// The hash of an entry as it is written there.
    pub(crate) async fn hash_of(&self, seq: u64) -> Result<Option<String>, Error> {
        let mut connection = self.database.read().await?;
        let query = sqlx::query("SELECT hash FROM entries WHERE seq = $1").bind(signed(seq));
        let row = query.fetch_optional(&mut *connection).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    pub(crate) async fn last_origin(&self, source: &str) -> Result<Option<i64>, Error> {
        let mut connection = self.database.read().await?;
        let sql = "SELECT coalesce((SELECT origin_seq FROM entries WHERE origin_source = $1 ORDER BY origin_seq DESC \
                   LIMIT 1), (SELECT seq FROM origins_left WHERE source = $1))";
        Ok(sqlx::query(sql).bind(source).fetch_one(&mut *connection).await?.try_get(0)?)
    }

    pub(crate) async fn newest_first(&self, filter: &Filter) -> Result<Page, Error> {
        let mut query = select(filter);
        query.push(" ORDER BY seq DESC");
        let limit = if filter.limit == 0 { 100 } else { filter.limit.min(LIMIT_MAX) };
        let (found, more) = self.page(query, limit).await?;
        let entries = readable(found)?;
        let next = entries.last().filter(|_| more).map(|entry| entry.seq);
        Ok(Page { entries, next })
    }

    /// Entries of a filter after `seq`, oldest first; none where there are no more.
    pub(crate) async fn oldest_first(&self, filter: &Filter, after: u64) -> Result<Vec<Found>, Error> {
        let mut query = select(filter);
        query.push(" AND seq > ").push_bind(signed(after)).push(" ORDER BY seq");
        Ok(self.page(query, LIMIT_MAX).await?.0)
    }

    /// Up to so many rows, and whether there are more.
    async fn page(&self, mut query: QueryBuilder<Any>, limit: usize) -> Result<(Vec<Found>, bool), Error> {
        query.push(" LIMIT ").push_bind(signed(limit as u64 + 1));
        let mut connection = self.database.read().await?;
        let mut rows = query.build().fetch(&mut *connection);
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await? {
            if found.len() == limit || bytes > PAGE_MAX_BYTES {
                return Ok((found, true));
            }
            let seq = number(row.try_get(0)?);
            let entry = read(seq, &row);
            bytes += entry.as_ref().map_or(0, Recorded::bytes);
            found.push((seq, entry));
        }
        Ok((found, false))
    }
}

/// All of them, if all can be read.
pub(crate) fn readable(found: Vec<Found>) -> Result<Vec<Recorded>, Error> {
    found.into_iter().map(|(seq, entry)| entry.map_err(|why| Error::Entry { seq, why })).collect()
}

/// The oldest entries that are over: up to which, how many, and the hash of the last of them.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) through: u64,
    pub(crate) entries: u64,
    pub(crate) hash: String,
}

/// The oldest entries from before that moment, at most so many. The newest of all stays.
pub(crate) async fn leaving(
    transaction: &mut Transaction,
    before_ms: i64,
    most: u64,
) -> Result<Option<Leaving>, Error> {
    let sql = "SELECT min(seq), max(seq), (SELECT min(seq) FROM entries WHERE time_ms >= $1) FROM entries";
    let row = sqlx::query(sql).bind(before_ms).fetch_one(&mut **transaction).await?;
    let (first, newest): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    let (Some(first), Some(newest)) = (first.map(number), newest.map(number)) else { return Ok(None) };
    let staying = row.try_get::<Option<i64>, _>(2)?.map_or(newest, number).min(newest);
    if staying <= first {
        return Ok(None);
    }
    let through = (staying - 1).min(first + most - 1);
    let sql = "SELECT hash FROM entries WHERE seq = $1";
    let row = sqlx::query(sql).bind(signed(through)).fetch_one(&mut **transaction).await?;
    Ok(Some(Leaving { through, entries: through - first + 1, hash: row.try_get(0)? }))
}

/// Takes entries out, up to and with one.
pub(crate) async fn leave(transaction: &mut Transaction, through: u64) -> Result<(), Error> {
    for sql in [
        "UPDATE left_by_age SET through = $1",
        "INSERT INTO origins_left (source, seq) SELECT origin_source, max(origin_seq) FROM entries \
         WHERE seq <= $1 AND origin_source IS NOT NULL GROUP BY origin_source \
         ON CONFLICT (source) DO UPDATE SET seq = max(seq, excluded.seq)",
        "DELETE FROM entries WHERE seq <= $1",
    ] {
        sqlx::query(sql).bind(signed(through)).execute(&mut **transaction).await?;
    }
    Ok(())
}

/// The entry with this origin, if it is there already; 0 for one that left by age.
pub(crate) async fn seq_of_origin(transaction: &mut Transaction, origin: &Origin) -> Result<Option<u64>, Error> {
    let sql = "SELECT seq FROM entries WHERE origin_source = $1 AND origin_seq = $2 \
               UNION ALL SELECT 0 FROM origins_left WHERE source = $1 AND seq >= $2 LIMIT 1";
    let row = sqlx::query(sql).bind(&origin.source).bind(origin.seq).fetch_optional(&mut **transaction).await?;
    Ok(row.map(|row| row.try_get(0).map(number)).transpose()?)
}

pub(crate) async fn insert(transaction: &mut Transaction, entry: &Recorded) -> Result<(), Error> {
    let sql = "INSERT INTO entries (seq, time_ms, actor, action, subject, fleet, address, value_before, value_after, \
               outcome, origin_source, origin_seq, previous_hash, hash) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let origin = entry.origin.as_ref();
    sqlx::query(sql)
        .bind(signed(entry.seq))
        .bind(entry.time_ms)
        .bind(&entry.actor)
        .bind(&entry.action)
        .bind(&entry.subject)
        .bind(entry.fleet.as_ref())
        .bind(entry.address.as_ref())
        .bind(entry.before.as_ref().map(|value| value.get()))
        .bind(entry.after.as_ref().map(|value| value.get()))
        .bind(&entry.outcome)
        .bind(origin.map(|origin| &origin.source))
        .bind(origin.map(|origin| origin.seq))
        .bind(&entry.previous_hash)
        .bind(&entry.hash)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn select(filter: &Filter) -> QueryBuilder<Any> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(COLUMNS).push(" FROM entries WHERE 1 = 1");
    let exact = [("actor", &filter.actor), ("subject", &filter.subject), ("fleet", &filter.fleet)];
    for (column, value) in exact {
        if let Some(value) = value {
            query.push(format_args!(" AND {column} = ")).push_bind(value.clone());
        }
    }
    match filter.action.as_deref().map(|action| action.strip_suffix('*').ok_or(action)) {
        None => {}
        Some(Err(action)) => {
            query.push(" AND action = ").push_bind(action.to_owned());
        }
        Some(Ok(begin)) => {
            // No character is greater than the last one.
            query.push(" AND action >= ").push_bind(begin.to_owned());
            query.push(" AND action < ").push_bind(format!("{begin}{}", char::MAX));
        }
    }
    if let Some(fleets) = &filter.fleets {
        query.push(" AND fleet IN (");
        let mut list = query.separated(", ");
        for fleet in fleets {
            list.push_bind(fleet.clone());
        }
        query.push(")");
    }
    if let Some(since) = filter.since_ms {
        query.push(" AND time_ms >= ").push_bind(since);
    }
    if let Some(until) = filter.until_ms {
        query.push(" AND time_ms < ").push_bind(until);
    }
    if let Some(cursor) = filter.cursor {
        query.push(" AND seq < ").push_bind(signed(cursor));
    }
    query
}

fn read(seq: u64, row: &AnyRow) -> Result<Recorded, String> {
    let broken = |error: sqlx::Error| error.to_string();
    let text = |at: usize| row.try_get::<String, _>(at).map_err(broken);
    let maybe = |at: usize| row.try_get::<Option<String>, _>(at).map_err(broken);
    let value = |at: usize| maybe(at)?.map(RawValue::from_string).transpose().map_err(|error| error.to_string());
    let origin_seq = row.try_get::<Option<i64>, _>(11).map_err(broken)?;
    Ok(Recorded {
        seq,
        time_ms: row.try_get(1).map_err(broken)?,
        actor: text(2)?,
        action: text(3)?,
        subject: text(4)?,
        fleet: maybe(5)?,
        address: maybe(6)?,
        before: value(7)?,
        after: value(8)?,
        outcome: text(9)?,
        origin: maybe(10)?.zip(origin_seq).map(|(source, seq)| Origin { source, seq }),
        previous_hash: text(12)?,
        hash: text(13)?,
    })
}

/// SQLite's numbers have a sign; ours do not.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(signed: i64) -> u64 {
    u64::try_from(signed).unwrap_or(0)
}
