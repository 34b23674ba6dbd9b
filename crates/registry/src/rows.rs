//! Rows of the tables: statements made from definitions, personal fields sealed on the way in and opened on the way out.

use crate::Shared;
use crate::check::Cell;
use crate::error::Error;
use crate::record::Record;
use crate::schema::{Field, FieldKind, PersonOf, Personal, Resource};
use drover_vault::Vault;
use serde_json::{Map, Value};
use sqlx::any::{Any, AnyRow};
use sqlx::query::Query;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use std::borrow::Cow;
use std::fmt::Write;

/// A statement as it grows. Only words from definitions become text; every value is a placeholder.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sql {
    text: String,
    values: Vec<Cell>,
}

impl Sql {
    pub(crate) fn new(text: &str) -> Sql {
        Sql { text: text.to_owned(), values: Vec::new() }
    }

    pub(crate) fn push(&mut self, text: &str) -> &mut Sql {
        self.text.push_str(text);
        self
    }

    /// A placeholder. Nothing is written as NULL: a NULL does not tell PostgreSQL which type the placeholder has.
    pub(crate) fn bind(&mut self, cell: Cell) -> &mut Sql {
        if cell == Cell::Null {
            return self.push("NULL");
        }
        self.values.push(cell);
        let _written = write!(self.text, "${}", self.values.len());
        self
    }

    pub(crate) fn text(&mut self, text: impl Into<String>) -> &mut Sql {
        self.bind(Cell::Text(text.into()))
    }

    pub(crate) fn integer(&mut self, number: i64) -> &mut Sql {
        self.bind(Cell::Integer(number))
    }

    /// Values separated by commas, in brackets; never empty.
    pub(crate) fn any_of(&mut self, cells: impl IntoIterator<Item = Cell>) -> &mut Sql {
        self.push("(");
        let mut first = true;
        for cell in cells {
            if !std::mem::take(&mut first) {
                self.push(", ");
            }
            self.bind(cell);
        }
        if first {
            self.push("NULL");
        }
        self.push(")")
    }

    fn query(self) -> Query<'static, Any, sqlx::any::AnyArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.text));
        for value in self.values {
            query = match value {
                Cell::Text(text) => query.bind(text),
                Cell::Integer(number) => query.bind(number),
                Cell::Real(number) => query.bind(number),
                Cell::Null => query,
            };
        }
        query
    }

    pub(crate) async fn run(self, connection: &mut AnyConnection) -> Result<u64, Error> {
        Ok(self.query().execute(connection).await?.rows_affected())
    }

    pub(crate) async fn all(self, connection: &mut AnyConnection) -> Result<Vec<AnyRow>, Error> {
        Ok(self.query().fetch_all(connection).await?)
    }

    pub(crate) async fn one(self, connection: &mut AnyConnection) -> Result<Option<AnyRow>, Error> {
        Ok(self.query().fetch_optional(connection).await?)
    }
}

/// A record in memory, opened. Cells are in the order of the definition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) erased: bool,
    pub(crate) cells: Vec<Cell>,
}

impl Row {
    /// A row of [`select`] as the table has it: what is sealed stays so.
    pub(crate) fn unopened(resource: &Resource, row: &AnyRow) -> Result<Row, Error> {
        let first = 4 + usize::from(resource.is_personal());
        let erased = resource.is_personal() && row.try_get::<i64, _>(4)? != 0;
        let cells = resource.fields.iter().enumerate().map(|(at, field)| raw_cell(field, row, first + at));
        Ok(Row {
            id: row.try_get(0)?,
            version: row.try_get(1)?,
            created_at: row.try_get(2)?,
            updated_at: row.try_get(3)?,
            erased,
            cells: cells.collect::<Result<_, sqlx::Error>>()?,
        })
    }

    /// The cell of a field of `resource`, whose row this is.
    pub(crate) fn cell(&self, resource: &Resource, field: &str) -> &Cell {
        let at = resource.fields.iter().position(|known| known.name == field);
        at.map_or(&Cell::Null, |at| &self.cells[at])
    }

    pub(crate) fn text(&self, resource: &Resource, field: &str) -> Option<&str> {
        self.cell(resource, field).text()
    }

    pub(crate) fn set(&mut self, resource: &Resource, field: &str, cell: Cell) {
        if let Some(at) = resource.fields.iter().position(|known| known.name == field) {
            self.cells[at] = cell;
        }
    }

    /// Empties what is about a person.
    pub(crate) fn empty_private(&mut self, resource: &Resource) {
        for (_, cell) in resource.fields.iter().zip(&mut self.cells).filter(|(field, _)| field.is_private()) {
            *cell = Cell::Null;
        }
    }

    /// Whose personal data it holds, as the vault knows the person.
    pub(crate) fn person(&self, resource: &Resource) -> Option<String> {
        match resource.person {
            PersonOf::Nobody => None,
            PersonOf::Itself => Some(person(resource, &self.id)),
            PersonOf::Customer => Some(match self.text(resource, "customer_id") {
                Some(customer) => format!("customers/{customer}"),
                None => person(resource, &self.id),
            }),
        }
    }

    pub(crate) fn record(&self, resource: &Resource) -> Record {
        let show = |(field, cell): (&Field, &Cell)| (field.name.to_owned(), field.json(cell));
        Record {
            id: self.id.clone(),
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            erased: self.erased,
            fields: resource.fields.iter().zip(&self.cells).map(show).collect(),
        }
    }

    /// As the outbox shows it, after a `before`: private fields are there, but cannot be read.
    pub(crate) fn change_json(&self, resource: &Resource, before: Option<&Row>) -> Value {
        let mut object = Map::new();
        for (at, (field, cell)) in resource.fields.iter().zip(&self.cells).enumerate() {
            let before = before.map_or(cell, |before| &before.cells[at]);
            let value = match (field.is_private(), cell) {
                (_, Cell::Null) => continue,
                (true, _) => told(before == cell),
                (false, cell) => listed_after(field, field.json(cell), &field.json(before)),
            };
            object.insert(field.name.to_owned(), value);
        }
        Value::Object(object)
    }
}

/// Begins what stands for a private value in a change.
const SEALED: &str = "(sealed";

pub(crate) fn told(is_same: bool) -> Value {
    format!("{SEALED}{}", if is_same { ")" } else { ", changed)" }).into()
}

/// The value of a field; of a list, without the private fields of its items.
pub(crate) fn listed(field: &Field, value: Value) -> Value {
    let before = value.clone();
    listed_after(field, value, &before)
}

fn listed_after(field: &Field, mut value: Value, before: &Value) -> Value {
    let FieldKind::List { item, .. } = field.kind else { return value };
    for (at, object) in value.as_array_mut().into_iter().flatten().enumerate() {
        for field in item.iter().filter(|field| field.is_private()) {
            match object.get_mut(field.name) {
                Some(value) if !is_told(value) => *value = told(before[at][field.name] == *value),
                _ => {}
            }
        }
    }
    value
}

/// True for what stands for a private value.
pub(crate) fn is_told(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(SEALED))
}

/// A person as the vault knows it.
pub(crate) fn person(resource: &Resource, id: &str) -> String {
    format!("{}/{id}", resource.name)
}

fn place(resource: &Resource, field: &Field) -> String {
    format!("{}.{}", resource.name, field.name)
}

/// What equal values of a field have in common, for searching.
pub(crate) fn blind(vault: &Vault, resource: &Resource, field: &Field, plain: &str) -> Cell {
    Cell::Text(vault.blind(&place(resource, field), plain))
}

/// `SELECT` of all columns, up to and with the table.
pub(crate) fn select(resource: &Resource) -> Sql {
    let mut sql = Sql::new("SELECT id, version, created_at, updated_at");
    if resource.is_personal() {
        sql.push(", erased");
    }
    for field in resource.fields {
        sql.push(", ").push(field.name);
    }
    sql.push(" FROM ").push(resource.table);
    sql
}

impl Shared {
    /// A row of [`select`], opened.
    pub(crate) fn opened(&self, resource: &Resource, row: &AnyRow) -> Result<Row, Error> {
        let mut read = Row::unopened(resource, row)?;
        if let Some(person) = read.person(resource) {
            let is_erased = self.vault.is_erased(&person);
            read.erased |= is_erased;
            self.open_cells(resource, &person, &mut read)?;
            if is_erased {
                read.empty_private(resource);
            }
        }
        Ok(read)
    }

    fn open_cells(&self, resource: &Resource, person: &str, row: &mut Row) -> Result<(), Error> {
        for (field, cell) in resource.fields.iter().zip(&mut row.cells).filter(|(field, _)| field.is_sealed()) {
            if let Cell::Text(sealed) = &*cell {
                let place = place(resource, field);
                let opened = self.vault.open_sealed(person, &place, sealed);
                let opened = opened.map_err(|why| Error::damaged(format!("{place} of {:?}", row.id), why))?;
                *cell = opened.map_or(Cell::Null, Cell::Text);
            }
        }
        Ok(())
    }

    /// The columns of a row with what they are to hold, sealed.
    fn columns(&self, resource: &Resource, row: &Row) -> Result<Vec<(Cow<'static, str>, Cell)>, Error> {
        let mut columns: Vec<(Cow<'static, str>, Cell)> = vec![
            ("version".into(), Cell::Integer(row.version)),
            ("created_at".into(), Cell::Integer(row.created_at)),
            ("updated_at".into(), Cell::Integer(row.updated_at)),
        ];
        if resource.is_personal() {
            columns.push(("erased".into(), Cell::Integer(i64::from(row.erased))));
        }
        let person = row.person(resource).unwrap_or_default();
        for (field, cell) in resource.fields.iter().zip(&row.cells) {
            let kept = match (field.is_sealed(), cell) {
                (true, Cell::Text(plain)) => Cell::Text(self.sealed(resource, field, &person, plain)?),
                (false, cell) if field.untold && *cell != Cell::Null && self.vault.is_erased(&person) => {
                    return Err(erased(field, &person));
                }
                _ => cell.clone(),
            };
            columns.push((field.name.into(), kept));
            if field.personal == Personal::SealedIndexed {
                let index = cell.text().map_or(Cell::Null, |plain| blind(&self.vault, resource, field, plain));
                columns.push((format!("{}_blind", field.name).into(), index));
            }
        }
        Ok(columns)
    }

    fn sealed(&self, resource: &Resource, field: &Field, person: &str, plain: &str) -> Result<String, Error> {
        match self.vault.seal(person, &place(resource, field), plain) {
            Err(drover_vault::Error::Erased) => Err(erased(field, person)),
            sealed => Ok(sealed?),
        }
    }

    pub(crate) async fn insert(&self, to: &mut AnyConnection, resource: &Resource, row: &Row) -> Result<(), Error> {
        let columns = self.columns(resource, row)?;
        let mut sql = Sql::new("INSERT INTO ");
        sql.push(resource.table).push(" (id");
        for (name, _) in &columns {
            sql.push(", ").push(name);
        }
        sql.push(") VALUES (").text(&row.id);
        for (_, cell) in columns {
            sql.push(", ").bind(cell);
        }
        sql.push(")");
        sql.run(to).await.map(drop)
    }

    pub(crate) async fn overwrite(&self, to: &mut AnyConnection, resource: &Resource, row: &Row) -> Result<(), Error> {
        let mut sql = Sql::new("UPDATE ");
        sql.push(resource.table).push(" SET ");
        for (at, (name, cell)) in self.columns(resource, row)?.into_iter().enumerate() {
            sql.push(if at == 0 { "" } else { ", " }).push(&name).push(" = ").bind(cell);
        }
        sql.push(" WHERE id = ").text(&row.id);
        sql.run(to).await.map(drop)
    }
}

fn erased(field: &Field, person: &str) -> Error {
    Error::Conflict {
        code: "person_erased",
        field: Some(field.name.into()),
        message: format!("{person} was erased; {} of that person is not kept any more", field.name),
        help: "leave the personal fields empty, or use another id for another person",
    }
}

/// A column as it is in the table: personal fields sealed.
fn raw_cell(field: &Field, row: &AnyRow, at: usize) -> Result<Cell, sqlx::Error> {
    Ok(match field.kind {
        _ if field.is_sealed() => row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text),
        FieldKind::Integer { .. } | FieldKind::Flag | FieldKind::Time => {
            row.try_get::<Option<i64>, _>(at)?.map_or(Cell::Null, Cell::Integer)
        }
        FieldKind::Real { .. } => row.try_get::<Option<f64>, _>(at)?.map_or(Cell::Null, Cell::Real),
        _ => row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text),
    })
}
