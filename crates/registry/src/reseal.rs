//! Sealing anew: texts that an older data key of the vault sealed are rewritten by the one in use, a few rows at a time,
//! while everything goes on. When, and how often, is left to others; they also bring tables of their own.
//!
//! Must always hold:
//! - a text is replaced only if it still is the one that was read: whoever changes a record meanwhile wins;
//! - nothing but the sealed columns changes: no version, no time, no row of the outbox;
//! - what cannot be opened stays as it is; what is sealed for somebody who was erased goes;
//! - there is no place to be remembered: the texts themselves say by which key they are sealed, so that whoever begins
//!   again after a crash has only the rest to do.

use crate::check::Cell;
use crate::deliveries::DATA_PLACE;
use crate::error::Error;
use crate::resources::RESOURCES;
use crate::rows::Sql;
use crate::schema::{PersonOf, Personal, Resource};
use drover_database::Database;
use drover_vault::Vault;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use std::collections::BTreeMap;

/// Rows that are looked at at once.
const LOOKED_AT_ONCE: u32 = 1_000;
/// Rows that one transaction rewrites: others who write wait for it.
const REWRITTEN_AT_ONCE: usize = 50;

/// A table with sealed columns. Its rows have a text `id`, unique.
#[derive(Debug, Clone)]
pub struct SealedTable {
    /// Its name.
    pub table: &'static str,
    /// For whom its texts are sealed.
    pub person: SealedFor,
    /// The sealed columns.
    pub columns: Vec<SealedColumn>,
}

/// For whom the texts of a row are sealed.
#[derive(Debug, Clone, Copy)]
pub enum SealedFor {
    /// For `<word>/<id of the row>`.
    Itself(&'static str),
    /// For the customer whom the column names; for `<word>/<id of the row>` where it names none.
    CustomerIn(&'static str, &'static str),
    /// For the person whom the column names as the vault does.
    PersonIn(&'static str),
}

/// A sealed column.
#[derive(Debug, Clone)]
pub struct SealedColumn {
    /// Its name.
    pub name: &'static str,
    /// The place that the vault knows it by.
    pub place: String,
    /// True if it may be NULL; an empty text otherwise stands for nothing.
    pub nullable: bool,
    /// A column that must be emptied with it.
    pub index: Option<String>,
}

/// What one step came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Go on after this row; none at the end of the table.
    pub next: Option<String>,
    /// Rows that were looked at.
    pub looked_at: u64,
    /// Rows that were sealed anew.
    pub resealed: u64,
    /// Rows that somebody else changed meanwhile.
    pub passed_over: u64,
    /// Texts that cannot be opened.
    pub unreadable: u64,
    /// How many texts each data key seals, as it was left.
    pub texts: BTreeMap<u32, u64>,
}

/// The registry's tables with sealed columns.
pub fn tables() -> Vec<SealedTable> {
    let mut tables: Vec<SealedTable> = RESOURCES.into_iter().filter_map(sealed_table).collect();
    tables.push(SealedTable {
        table: "delivery_events",
        person: SealedFor::PersonIn("person"),
        columns: vec![SealedColumn { name: "data", place: DATA_PLACE.into(), nullable: true, index: None }],
    });
    tables
}

fn sealed_table(resource: &'static Resource) -> Option<SealedTable> {
    let person = match resource.person {
        PersonOf::Nobody => return None,
        PersonOf::Itself => SealedFor::Itself(resource.name),
        PersonOf::Customer => SealedFor::CustomerIn("customer_id", resource.name),
    };
    let columns = resource.fields.iter().filter(|field| field.is_sealed()).map(|field| SealedColumn {
        name: field.name,
        place: format!("{}.{}", resource.name, field.name),
        nullable: true,
        index: (field.personal == Personal::SealedIndexed).then(|| format!("{}_blind", field.name)),
    });
    Some(SealedTable { table: resource.table, person, columns: columns.collect() })
}

/// How many rows a table has.
pub async fn count(database: &Database, table: &SealedTable) -> Result<u64, Error> {
    let mut connection = database.read().await?;
    let mut sql = Sql::new("SELECT count(*) FROM ");
    sql.push(table.table);
    let row = sql.one(&mut connection).await?;
    let rows = row.map(|row| row.try_get::<i64, _>(0)).transpose()?;
    Ok(rows.and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0))
}

/// Waits until every transaction that may still seal by an older key has ended: whoever seals does it in one that writes.
/// Gives the key that seals from here on.
pub async fn barrier(database: &Database, vault: &Vault) -> Result<u32, Error> {
    let transaction = database.begin().await?;
    let current = vault.current_key();
    transaction.rollback().await?;
    Ok(current)
}

/// Looks at the rows that follow `after`, some at once, and seals anew what an older key sealed.
pub async fn step(database: &Database, vault: &Vault, table: &SealedTable, after: Option<&str>) -> Result<Step, Error> {
    let current = vault.current_key();
    let rows = table.rows_after(database, after.unwrap_or_default()).await?;
    let mut step = Step { looked_at: rows.len() as u64, ..Step::default() };
    if rows.len() == LOOKED_AT_ONCE as usize {
        step.next = rows.last().map(|row| row.id.clone());
    }
    let is_old = |text: &Option<String>| text.as_deref().is_some_and(|text| Vault::key_of(text) != Some(current));
    let (old, new): (Vec<Found>, Vec<Found>) = rows.into_iter().partition(|row| row.texts.iter().any(is_old));
    new.iter().for_each(|row| step.note(&row.texts));
    for some in old.chunks(REWRITTEN_AT_ONCE) {
        let mut transaction = database.begin().await?;
        let mut done = Vec::with_capacity(some.len());
        for row in some {
            let after = row.sealed_anew(vault, table, current)?;
            done.push((row, table.rewrite(&mut transaction, row, &after).await?, after));
        }
        transaction.commit().await?;
        done.iter().for_each(|(row, rewritten, after)| step.note_rewritten(row, *rewritten, after));
    }
    Ok(step)
}

/// A row as it was read: texts in the order of the columns, none where there is nothing.
struct Found {
    id: String,
    person: String,
    texts: Vec<Option<String>>,
}

/// What becomes of a text.
#[derive(Debug, Clone, PartialEq)]
enum After {
    Stays,
    Becomes(String),
    Goes,
    /// It stays, too: nobody can open it.
    Unreadable,
}

impl Found {
    /// Seals within the transaction that writes: see [`barrier`].
    fn sealed_anew(&self, vault: &Vault, table: &SealedTable, current: u32) -> Result<Vec<After>, Error> {
        let seal = |(column, text): (&SealedColumn, &Option<String>)| {
            let Some(text) = text.as_deref().filter(|text| Vault::key_of(text) != Some(current)) else {
                return Ok(After::Stays);
            };
            match sealed_anew(vault, &self.person, &column.place, text) {
                Ok(Some(new)) => Ok(After::Becomes(new)),
                Ok(None) | Err(drover_vault::Error::Erased) => Ok(After::Goes),
                Err(error) => unreadable(error, table, &self.id, column),
            }
        };
        table.columns.iter().zip(&self.texts).map(seal).collect()
    }
}

fn sealed_anew(vault: &Vault, person: &str, place: &str, text: &str) -> Result<Option<String>, drover_vault::Error> {
    let Some(plain) = vault.open_sealed(person, place, text)? else { return Ok(None) };
    vault.seal(person, place, &plain).map(Some)
}

fn unreadable(
    error: drover_vault::Error,
    table: &SealedTable,
    id: &str,
    column: &SealedColumn,
) -> Result<After, Error> {
    use drover_vault::Error as Why;
    match error {
        Why::Malformed | Why::Tampered | Why::UnknownKey(_) => {
            tracing::debug!(table = table.table, id, column = column.name, %error, "a sealed text cannot be opened");
            Ok(After::Unreadable)
        }
        other => Err(other.into()),
    }
}

impl Step {
    fn note(&mut self, texts: &[Option<String>]) {
        for key in texts.iter().flatten().filter_map(|text| Vault::key_of(text)) {
            *self.texts.entry(key).or_default() += 1;
        }
    }

    fn note_rewritten(&mut self, row: &Found, rewritten: Option<bool>, after: &[After]) {
        self.unreadable += after.iter().filter(|after| **after == After::Unreadable).count() as u64;
        match rewritten {
            Some(true) => self.resealed += 1,
            Some(false) => self.passed_over += 1,
            None => {}
        }
        let left = row.texts.iter().zip(after).map(|(text, after)| match after {
            After::Becomes(new) if rewritten == Some(true) => Some(new.clone()),
            After::Goes if rewritten == Some(true) => None,
            _ => text.clone(),
        });
        self.note(&left.collect::<Vec<_>>());
    }
}

impl SealedTable {
    async fn rows_after(&self, database: &Database, after: &str) -> Result<Vec<Found>, Error> {
        let mut sql = Sql::new("SELECT id, ");
        match self.person {
            SealedFor::Itself(_) => sql.push("id"),
            SealedFor::CustomerIn(column, _) | SealedFor::PersonIn(column) => sql.push(column),
        };
        for column in &self.columns {
            sql.push(", ").push(column.name);
        }
        sql.push(" FROM ").push(self.table).push(" WHERE id > ").text(after);
        sql.push(&format!(" ORDER BY id LIMIT {LOOKED_AT_ONCE}"));
        let mut connection = database.read().await?;
        sql.all(&mut connection).await?.iter().map(|row| self.found(row)).collect()
    }

    fn found(&self, row: &AnyRow) -> Result<Found, Error> {
        let id: String = row.try_get(0)?;
        let named = row.try_get::<Option<String>, _>(1)?;
        let person = match (self.person, named) {
            (SealedFor::PersonIn(_), named) => named.unwrap_or_default(),
            (SealedFor::CustomerIn(..), Some(customer)) => format!("customers/{customer}"),
            (SealedFor::CustomerIn(_, word) | SealedFor::Itself(word), _) => format!("{word}/{id}"),
        };
        let text = |at: usize| Ok(row.try_get::<Option<String>, _>(2 + at)?.filter(|text| !text.is_empty()));
        Ok(Found { id, person, texts: (0..self.columns.len()).map(text).collect::<Result<_, Error>>()? })
    }

    /// Puts new texts in the place of those that were read. False: one of them is another by now, and all stay; none:
    /// there is nothing to be done.
    async fn rewrite(&self, to: &mut AnyConnection, row: &Found, after: &[After]) -> Result<Option<bool>, Error> {
        let changed = || {
            let all = self.columns.iter().zip(&row.texts).zip(after);
            all.filter(|(_, after)| matches!(after, After::Becomes(_) | After::Goes))
        };
        if changed().next().is_none() {
            return Ok(None);
        }
        let mut sql = Sql::new("UPDATE ");
        sql.push(self.table).push(" SET ");
        for (at, ((column, _), after)) in changed().enumerate() {
            sql.push(if at == 0 { "" } else { ", " }).push(column.name).push(" = ");
            match (after, column.nullable) {
                (After::Becomes(text), _) => sql.text(text.as_str()),
                (_, true) => sql.bind(Cell::Null),
                (_, false) => sql.text(""),
            };
            if let (After::Goes, Some(index)) = (after, &column.index) {
                sql.push(", ").push(index).push(" = NULL");
            }
        }
        sql.push(" WHERE id = ").text(row.id.as_str());
        for ((column, text), _) in changed() {
            sql.push(" AND ").push(column.name).push(" = ").text(text.as_deref().unwrap_or_default());
        }
        Ok(Some(sql.run(to).await? == 1))
    }
}
