//! Reading: one record, a page of many.

use crate::Shared;
use crate::check::Cell;
use crate::error::Error;
use crate::record::{Comparison, LIMIT_MAX, Page, Query, Record};
use crate::rows::{Row, Sql, blind, select};
use crate::schema::{Field, FieldKind, Personal, Resource};
use crate::scope;
use drover_access::Caller;
use drover_database::Dialect;
use serde_json::Value;
use sqlx::{AnyConnection, Row as _};

/// Most filters of one list, most values of one filter.
const FILTERS_MAX: usize = 20;
const VALUES_MAX: usize = 200;
/// Longest text that is searched for.
const SEARCH_MAX_BYTES: usize = 200;

/// A column that a list can be filtered and sorted by.
enum Column {
    Field(&'static Field),
    Id,
    Moment(&'static str),
}

impl Column {
    fn of(resource: &Resource, name: &str) -> Option<Column> {
        match name {
            "id" => Some(Column::Id),
            "created_at" => Some(Column::Moment("created_at")),
            "updated_at" => Some(Column::Moment("updated_at")),
            _ => resource.field(name).map(Column::Field),
        }
    }

    fn is_text(&self) -> bool {
        let numbers = |field: &Field| {
            matches!(field.kind, FieldKind::Integer { .. } | FieldKind::Real { .. } | FieldKind::Flag | FieldKind::Time)
        };
        match self {
            Column::Id => true,
            Column::Moment(_) => false,
            Column::Field(field) => !numbers(field),
        }
    }

    fn is_plain(&self) -> bool {
        match self {
            Column::Field(field) => {
                !field.is_sealed() && !matches!(field.kind, FieldKind::Object { .. } | FieldKind::List { .. })
            }
            _ => true,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Column::Field(field) => field.name,
            Column::Id => "id",
            Column::Moment(name) => name,
        }
    }

    fn cell(&self, text: &str) -> Result<Cell, Error> {
        match self {
            Column::Field(field) => field.cell_from_text(text),
            Column::Id => Ok(Cell::Text(text.to_owned())),
            Column::Moment(name) => Field::new(name, FieldKind::Time, "").cell(&Value::from(text)),
        }
    }
}

impl Shared {
    pub(crate) async fn get(&self, caller: &Caller, resource: &'static Resource, id: &str) -> Result<Record, Error> {
        let mut connection = self.database.read().await?;
        Ok(self.row(&mut connection, caller, resource, id).await?.record(resource))
    }

    /// The row of this id, if the caller reaches it.
    pub(crate) async fn row(
        &self,
        from: &mut AnyConnection,
        caller: &Caller,
        resource: &'static Resource,
        id: &str,
    ) -> Result<Row, Error> {
        let not_found = || Error::NotFound { singular: resource.singular, id: id.chars().take(64).collect() };
        // PostgreSQL knows no text with a zero byte, and no id has one.
        if drover_model::check_id(id).is_err() {
            return Err(not_found());
        }
        let mut sql = select(resource);
        sql.push(" WHERE id = ").text(id).push(" AND ");
        scope::push(&mut sql, caller, resource);
        let row = sql.one(from).await?.ok_or_else(not_found)?;
        self.opened(resource, &row)
    }

    pub(crate) async fn find_by(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        field: &str,
        value: &str,
    ) -> Result<Record, Error> {
        let filters = vec![(field.to_owned(), Comparison::Eq, value.to_owned())];
        let sort = vec![("created_at".to_owned(), false)];
        let query = Query { filters, sort, limit: 1, ..Query::default() };
        let mut connection = self.database.read().await?;
        let mut sql = select(resource);
        // A value that the field cannot hold is a value that no record has.
        let found = match self.push_where(&mut sql, caller, resource, &query) {
            Ok(()) => {
                self.push_order(&mut sql, resource, &query)?;
                sql.push(" LIMIT 1");
                sql.one(&mut connection).await?
            }
            Err(Error::Invalid { .. }) if resource.field(field).is_some() => None,
            Err(error) => return Err(error),
        };
        let not_found = || Error::NotFound { singular: resource.singular, id: value.chars().take(64).collect() };
        Ok(self.opened(resource, &found.ok_or_else(not_found)?)?.record(resource))
    }

    pub(crate) async fn list(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        query: &Query,
    ) -> Result<Page, Error> {
        if query.page == 0 || !(1..=LIMIT_MAX).contains(&query.limit) {
            let (field, allowed) = if query.page == 0 { ("page", "1 or more") } else { ("limit", "1 to 1000") };
            let given = if query.page == 0 { query.page } else { query.limit };
            return Err(Error::invalid(field, format!("{field} is {given}; allowed is {allowed}")));
        }
        let mut count = Sql::new("SELECT count(*) FROM ");
        count.push(resource.table);
        self.push_where(&mut count, caller, resource, query)?;
        let mut sql = select(resource);
        self.push_where(&mut sql, caller, resource, query)?;
        self.push_order(&mut sql, resource, query)?;
        let skipped = u64::from(query.page - 1) * u64::from(query.limit);
        sql.push(&format!(" LIMIT {} OFFSET {skipped}", query.limit));
        let mut connection = self.database.read().await?;
        let counted = count.one(&mut connection).await?;
        let total: i64 = counted.map_or(Ok(0), |row| row.try_get(0))?;
        let rows = sql.all(&mut connection).await?;
        let records = rows.iter().map(|row| Ok(self.opened(resource, row)?.record(resource)));
        Ok(Page { records: records.collect::<Result<_, Error>>()?, total: total as u64 })
    }

    fn push_where(
        &self,
        sql: &mut Sql,
        caller: &Caller,
        resource: &'static Resource,
        query: &Query,
    ) -> Result<(), Error> {
        sql.push(" WHERE ");
        scope::push(sql, caller, resource);
        if query.filters.len() > FILTERS_MAX {
            let message = format!("{} filters; at most {FILTERS_MAX} are allowed", query.filters.len());
            return Err(Error::invalid("filter", message));
        }
        for (name, comparison, value) in &query.filters {
            sql.push(" AND ");
            self.push_filter(sql, resource, name, *comparison, value)?;
        }
        if let Some(search) = &query.search {
            sql.push(" AND ");
            self.push_search(sql, resource, search)?;
        }
        Ok(())
    }

    fn push_filter(
        &self,
        sql: &mut Sql,
        resource: &'static Resource,
        name: &str,
        comparison: Comparison,
        value: &str,
    ) -> Result<(), Error> {
        let column = Column::of(resource, name).ok_or_else(|| unknown(resource, name, "filtered"))?;
        no_zero(name, value)?;
        if let Column::Field(field) = column
            && field.personal == Personal::SealedIndexed
            && matches!(comparison, Comparison::Eq | Comparison::In)
        {
            let values: Vec<&str> = values(comparison, value);
            at_most(name, values.len())?;
            let index = values.into_iter().map(|plain| blind(&self.vault, resource, field, plain));
            sql.push(field.name).push("_blind IN ").any_of(index);
            return Ok(());
        }
        if !column.is_plain() {
            return Err(unknown(resource, name, "filtered"));
        }
        let compared = collated(&column, self.database.dialect());
        if value.is_empty() {
            sql.push(column.name()).push(" IS NULL");
            return Ok(());
        }
        match comparison {
            Comparison::Eq => {
                sql.push(column.name()).push(" = ").bind(column.cell(value)?);
            }
            Comparison::Gte => {
                sql.push(&compared).push(" >= ").bind(column.cell(value)?);
            }
            Comparison::Lte => {
                sql.push(&compared).push(" <= ").bind(column.cell(value)?);
            }
            Comparison::In => {
                let cells: Result<Vec<Cell>, Error> =
                    values(comparison, value).into_iter().map(|value| column.cell(value)).collect();
                let cells = cells?;
                at_most(name, cells.len())?;
                sql.push(column.name()).push(" IN ").any_of(cells);
            }
        }
        Ok(())
    }

    fn push_search(&self, sql: &mut Sql, resource: &'static Resource, search: &str) -> Result<(), Error> {
        if search.len() > SEARCH_MAX_BYTES {
            let message = format!("search has {} bytes; at most {SEARCH_MAX_BYTES} are allowed", search.len());
            return Err(Error::invalid("search", message));
        }
        no_zero("search", search)?;
        let mut pattern = String::from("%");
        for char in search.to_lowercase().chars() {
            if matches!(char, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(char);
        }
        pattern.push('%');
        sql.push("(LOWER(id) LIKE ").text(&pattern).push(" ESCAPE '\\'");
        for field in resource.fields {
            match (field.personal, field.kind) {
                (Personal::No, FieldKind::Text { .. } | FieldKind::Id) => {
                    sql.push(" OR LOWER(").push(field.name).push(") LIKE ").text(&pattern).push(" ESCAPE '\\'");
                }
                (Personal::SealedIndexed, _) => {
                    let index = blind(&self.vault, resource, field, search);
                    sql.push(" OR ").push(field.name).push("_blind = ").bind(index);
                }
                _ => {}
            }
        }
        sql.push(")");
        Ok(())
    }

    fn push_order(&self, sql: &mut Sql, resource: &'static Resource, query: &Query) -> Result<(), Error> {
        at_most("sort", query.sort.len())?;
        sql.push(" ORDER BY ");
        for (name, descending) in &query.sort {
            let column = Column::of(resource, name).filter(Column::is_plain);
            let column = column.ok_or_else(|| unknown(resource, name, "sorted"))?;
            let direction = if *descending { " DESC, " } else { ", " };
            // Both databases: nothing comes last.
            sql.push(&format!("({} IS NULL), ", column.name()));
            sql.push(&collated(&column, self.database.dialect())).push(direction);
        }
        sql.push(&collated(&Column::Id, self.database.dialect()));
        Ok(())
    }
}

/// The column, compared by bytes on both databases.
fn collated(column: &Column, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres if column.is_text() => format!("{} COLLATE \"C\"", column.name()),
        _ => column.name().to_owned(),
    }
}

fn values(comparison: Comparison, value: &str) -> Vec<&str> {
    match comparison {
        Comparison::In => value.split(',').map(str::trim).filter(|value| !value.is_empty()).collect(),
        _ => vec![value],
    }
}

fn at_most(name: &str, count: usize) -> Result<(), Error> {
    if count <= VALUES_MAX {
        return Ok(());
    }
    Err(Error::invalid(name.to_owned(), format!("{name} has {count} values; at most {VALUES_MAX} are allowed")))
}

/// PostgreSQL knows no text with a zero byte.
fn no_zero(name: &str, value: &str) -> Result<(), Error> {
    if value.contains('\0') {
        return Err(Error::invalid(name.to_owned(), format!("{name} contains a zero byte")));
    }
    Ok(())
}

fn unknown(resource: &Resource, name: &str, done: &str) -> Error {
    let name: String = name.chars().take(60).collect();
    let plain = |field: &&Field| {
        let indexed = done == "filtered" && field.personal == Personal::SealedIndexed;
        indexed || !field.is_sealed() && !matches!(field.kind, FieldKind::Object { .. } | FieldKind::List { .. })
    };
    let names: Vec<&str> = resource.fields.iter().filter(plain).map(|field| field.name).collect();
    let message = format!(
        "{} cannot be {done} by {name:?}; they can by id, created_at, updated_at, {}",
        resource.name,
        names.join(", ")
    );
    Error::invalid(name, message)
}
