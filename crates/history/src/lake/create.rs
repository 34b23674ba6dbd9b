//! A new catalogue, and new columns in an old one. The numbers are those that DuckDB gives for the same statements:
//! schema 0, table 1, partition 2, columns from 1.

use super::calendar::time_text;
use super::catalog::now_ms;
use crate::ReadingColumn;
use crate::schema::report_schema;
use arrow::datatypes::{DataType, Field, SchemaRef};
use sqlx::{AssertSqlSafe, Row, SqliteConnection};
use uuid::Uuid;

/// The table's number in every catalogue that Drover makes.
pub(crate) const TABLE_ID: i64 = 1;
/// The number of its partitioning.
pub(crate) const PARTITION_ID: i64 = 2;

const TABLES: &str = include_str!("tables.sql");

/// Makes tables, schema, table and partitions. To be called in a transaction.
pub(crate) async fn make(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(TABLES).execute(&mut *connection).await?;
    let now = time_text(now_ms());
    for (snapshot, next_catalog_id) in [(0, 1), (1, 2), (2, 3)] {
        sqlx::query("INSERT INTO ducklake_snapshot VALUES (?, ?, ?, ?, 0)")
            .bind(snapshot)
            .bind(&now)
            .bind(snapshot)
            .bind(next_catalog_id)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("INSERT INTO ducklake_schema VALUES (0, ?, 0, NULL, 'main', 'main/', 1)")
        .bind(Uuid::now_v7().to_string())
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO ducklake_table VALUES (1, ?, 1, NULL, 0, 'reports', 'reports/', 1)")
        .bind(Uuid::now_v7().to_string())
        .execute(&mut *connection)
        .await?;
    for (at, field) in report_schema(&[]).fields().iter().enumerate() {
        add_column(connection, 1, at, field).await?;
    }
    Ok(())
}

/// Adds columns in a snapshot of their own, which the caller has made. `schema` is the new one.
pub(crate) async fn add_columns(
    connection: &mut SqliteConnection,
    snapshot: i64,
    schema: &SchemaRef,
    known: usize,
) -> Result<(), sqlx::Error> {
    for (at, field) in schema.fields().iter().enumerate().skip(known) {
        add_column(connection, snapshot, at, field).await?;
    }
    Ok(())
}

async fn add_column(
    connection: &mut SqliteConnection,
    snapshot: i64,
    at: usize,
    field: &Field,
) -> Result<(), sqlx::Error> {
    let id = at as i64 + 1;
    sqlx::query(
        "INSERT INTO ducklake_column VALUES (?, ?, NULL, ?, ?, ?, ?, NULL, 'NULL', 1, NULL, 'literal', 'duckdb')",
    )
    .bind(id)
    .bind(snapshot)
    .bind(TABLE_ID)
    .bind(id)
    .bind(field.name())
    .bind(type_name(field.data_type()))
    .execute(connection)
    .await?;
    Ok(())
}

/// DuckLake's word for a column type.
fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 => "varchar".into(),
        DataType::Timestamp(..) => "timestamptz".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Int32 => "int32".into(),
        DataType::Int64 => "int64".into(),
        DataType::Float64 => "float64".into(),
        DataType::Boolean => "boolean".into(),
        other => unreachable!("{other} is not a type of the table"),
    }
}

/// What the table's columns are, if Drover can use them: the base columns, then promoted readings.
pub(crate) async fn columns(connection: &mut SqliteConnection) -> Result<Result<SchemaRef, String>, sqlx::Error> {
    let sql = "SELECT column_id, column_name, column_type FROM ducklake_column \
               WHERE table_id = ? AND end_snapshot IS NULL AND parent_column IS NULL ORDER BY column_order";
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(TABLE_ID).fetch_all(connection).await?;
    let mut found = Vec::new();
    for row in &rows {
        found.push((row.try_get::<i64, _>(0)?, row.try_get::<String, _>(1)?, row.try_get::<String, _>(2)?));
    }
    Ok(schema_of(&found))
}

fn schema_of(found: &[(i64, String, String)]) -> Result<SchemaRef, String> {
    let base = report_schema(&[]).fields().len();
    let extra: Vec<ReadingColumn> = found.iter().skip(base).filter_map(|(_, name, kind)| reading(name, kind)).collect();
    let schema = report_schema(&extra);
    let wanted: Vec<_> =
        schema.fields().iter().map(|field| (field.name().clone(), type_name(field.data_type()))).collect();
    let same = wanted.len() == found.len()
        && found
            .iter()
            .zip(&wanted)
            .enumerate()
            .all(|(at, ((id, name, kind), wanted))| *id == at as i64 + 1 && (name, kind) == (&wanted.0, &wanted.1));
    let problem = "the table `reports` was altered by another program; restore the catalogue from before that, \
                   or move the lake's folder away so that Drover makes a new one from the log";
    if same { Ok(schema) } else { Err(problem.into()) }
}

fn reading(name: &str, kind: &str) -> Option<ReadingColumn> {
    let word = match kind {
        "float64" => "number",
        "varchar" => "text",
        "boolean" => "bool",
        _ => return None,
    };
    ReadingColumn::parse(&format!("{name}:{word}")).ok()
}
