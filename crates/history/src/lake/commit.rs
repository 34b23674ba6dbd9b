//! One step of the catalogue: files that come, files that go, the cursor, and statistics that hold for all of it, in
//! one transaction. It is refused if the newest snapshot is not the expected one, since all numbers were taken from
//! that.

use super::calendar::{civil, time_text};
use super::catalog::{Catalog, Head, IDS, head, keys_and_ranges, now_ms};
use super::create;
use super::stats::{Bound, ColumnStats, at, widen};
use super::writer::Written;
use super::{Error, TABLE};
use crate::LakeFile;
use crate::schema::BASE_COLUMNS;
use arrow::datatypes::{Schema, SchemaRef};
use sqlx::{Connection, QueryBuilder, Row, Sqlite, SqliteConnection};
use std::path::Path;
use std::sync::Arc;

/// What is to change.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    pub(crate) add: &'a [Written],
    /// Files that end: numbers with their rows and bytes.
    pub(crate) end: &'a [Arc<LakeFile>],
    pub(crate) cursor: u64,
    pub(crate) gap: u64,
    /// Why, for people who look at the snapshots.
    pub(crate) message: &'static str,
}

impl Catalog {
    /// Makes the change on top of `self.head`, which is then the new snapshot, and returns the added files. On
    /// [`Error::Conflict`] and every other error nothing has changed.
    pub(crate) fn commit(&mut self, change: &Change<'_>) -> Result<Vec<Arc<LakeFile>>, Error> {
        let failed = self.failed("committing a snapshot");
        let (expected, schema, data) = (self.head, self.schema.clone(), self.data.clone());
        let committed = self.runtime.block_on(async {
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            if head(&mut transaction).await?.snapshot != expected.snapshot {
                return Ok(None);
            }
            if !end_files(&mut transaction, expected.snapshot + 1, change.end).await? {
                return Ok(None);
            }
            add_files(&mut transaction, &expected, change.add, &schema, &data).await?;
            widen_table(&mut transaction, change, &schema).await?;
            let next = after(&expected, change);
            add_snapshot(&mut transaction, &next, &changes_made(change), change.message).await?;
            transaction.commit().await?;
            sqlx::Result::Ok(Some(next))
        });
        let next = committed.map_err(failed)?.ok_or_else(|| Error::Conflict { path: self.path.clone() })?;
        let first_id = self.head.next_file_id;
        self.head = next;
        Ok(change.add.iter().zip(first_id..).map(|(written, id)| Arc::new(lake_file(written, id))).collect())
    }

    /// Adds the columns of `schema` behind the `known` first ones in a snapshot of their own.
    pub(super) fn commit_columns(&mut self, schema: &SchemaRef, known: usize) -> Result<(), Error> {
        let failed = self.failed("adding columns");
        let expected = self.head;
        let next = Head { snapshot: expected.snapshot + 1, schema_version: expected.schema_version + 1, ..expected };
        let committed = self.runtime.block_on(async {
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            if head(&mut transaction).await?.snapshot != expected.snapshot {
                return Ok(false);
            }
            create::add_columns(&mut transaction, next.snapshot, schema, known).await?;
            sqlx::query("INSERT INTO ducklake_schema_versions VALUES (?, ?, ?)")
                .bind(next.snapshot)
                .bind(next.schema_version)
                .bind(IDS.0)
                .execute(&mut *transaction)
                .await?;
            let made = format!("altered_table:{}", IDS.0);
            add_snapshot(&mut transaction, &next, &made, "promoted readings").await?;
            transaction.commit().await?;
            sqlx::Result::Ok(true)
        });
        if !committed.map_err(failed)? {
            return Err(Error::Conflict { path: self.path.clone() });
        }
        self.head = next;
        self.schema = schema.clone();
        Ok(())
    }
}

fn after(expected: &Head, change: &Change<'_>) -> Head {
    Head {
        snapshot: expected.snapshot + 1,
        next_file_id: expected.next_file_id + change.add.len() as i64,
        cursor: change.cursor,
        gap: change.gap,
        ..*expected
    }
}

/// In the words that other readers of the catalogue know.
fn changes_made(change: &Change<'_>) -> String {
    let added = (!change.add.is_empty()).then(|| format!("inserted_into_table:{}", IDS.0));
    let ended = (!change.end.is_empty()).then(|| format!("deleted_from_table:{}", IDS.0));
    added.into_iter().chain(ended).collect::<Vec<_>>().join(",")
}

/// The file as readers see it.
fn lake_file(written: &Written, id: i64) -> LakeFile {
    let bounds = |column: usize| written.columns[column].bounds.clone().expect("every row has these columns");
    let of = (bounds(at::KIND), bounds(at::ID), bounds(at::EVENT_TIME), bounds(at::POSITION));
    let (first, last, event_time, position) = keys_and_ranges(of).expect("the writer keeps the columns' types");
    LakeFile {
        id,
        path: written.path.clone(),
        rows: written.rows,
        bytes: written.bytes,
        footer_bytes: written.footer_bytes,
        day: written.day,
        first,
        last,
        event_time: event_time.0..=event_time.1,
        position: position.0..=position.1,
    }
}

/// False if one of them is not live any more.
async fn end_files(
    connection: &mut SqliteConnection,
    snapshot: i64,
    files: &[Arc<LakeFile>],
) -> Result<bool, sqlx::Error> {
    for file in files {
        let sql = "UPDATE ducklake_data_file SET end_snapshot = ? WHERE data_file_id = ? AND end_snapshot IS NULL";
        let ended = sqlx::query(sql).bind(snapshot).bind(file.id).execute(&mut *connection).await?;
        if ended.rows_affected() != 1 {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn add_files(
    connection: &mut SqliteConnection,
    expected: &Head,
    files: &[Written],
    schema: &Schema,
    data: &Path,
) -> Result<(), sqlx::Error> {
    let sql = "SELECT next_row_id FROM ducklake_table_stats WHERE table_id = ?";
    let mut row_id: i64 = sqlx::query_scalar(sql).bind(IDS.0).fetch_one(&mut *connection).await?;
    for (file, id) in files.iter().zip(expected.next_file_id..) {
        let path = file.path.strip_prefix(data.join(TABLE)).unwrap_or(&file.path);
        sqlx::query(
            "INSERT INTO ducklake_data_file VALUES \
             (?, ?, ?, NULL, NULL, ?, ?, 'parquet', ?, ?, ?, ?, ?, NULL, NULL, NULL)",
        )
        .bind(id)
        .bind(IDS.0)
        .bind(expected.snapshot + 1)
        .bind(path.to_string_lossy().into_owned())
        .bind(i64::from(path.is_relative()))
        .bind(file.rows as i64)
        .bind(file.bytes as i64)
        .bind(file.footer_bytes as i64)
        .bind(row_id)
        .bind(IDS.1)
        .execute(&mut *connection)
        .await?;
        row_id += file.rows as i64;
        add_partition(connection, id, file.day).await?;
        add_column_stats(connection, id, &file.columns, schema).await?;
    }
    Ok(())
}

async fn add_partition(connection: &mut SqliteConnection, file: i64, day: i32) -> Result<(), sqlx::Error> {
    let (year, month, day) = civil(day);
    for (key, value) in [year.to_string(), month.to_string(), day.to_string()].into_iter().enumerate() {
        sqlx::query("INSERT INTO ducklake_file_partition_value VALUES (?, ?, ?, ?)")
            .bind(file)
            .bind(IDS.0)
            .bind(key as i64)
            .bind(value)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn add_column_stats(
    connection: &mut SqliteConnection,
    file: i64,
    columns: &[ColumnStats],
    schema: &Schema,
) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO ducklake_file_column_stats ");
    query.push_values(columns.iter().enumerate(), |mut row, (at, stats)| {
        let kind = schema.field(at).data_type();
        let text = |bound: &Bound| bound.text(kind);
        row.push_bind(file).push_bind(IDS.0).push_bind(at as i64 + 1).push_bind(stats.bytes as i64);
        row.push_bind(stats.values as i64).push_bind(stats.nulls as i64);
        row.push_bind(stats.bounds.as_ref().map(|(least, _)| text(least)));
        row.push_bind(stats.bounds.as_ref().map(|(_, greatest)| text(greatest)));
        row.push_bind(contains_nan(stats)).push_bind(None::<String>);
    });
    query.build().execute(connection).await?;
    Ok(())
}

/// Readings are finite; for other columns the question makes no sense.
fn contains_nan(stats: &ColumnStats) -> Option<i64> {
    matches!(stats.bounds, Some((Bound::Double(_), _))).then_some(0)
}

async fn widen_table(
    connection: &mut SqliteConnection,
    change: &Change<'_>,
    schema: &Schema,
) -> Result<(), sqlx::Error> {
    let of_added = |value: fn(&Written) -> u64| change.add.iter().map(value).sum::<u64>() as i64;
    let of_ended = |value: fn(&LakeFile) -> u64| change.end.iter().map(|file| value(file)).sum::<u64>() as i64;
    let added_rows = of_added(|file| file.rows);
    sqlx::query(
        "UPDATE ducklake_table_stats SET record_count = record_count + ?, next_row_id = next_row_id + ?, \
         file_size_bytes = file_size_bytes + ? WHERE table_id = ?",
    )
    .bind(added_rows - of_ended(|file| file.rows))
    .bind(added_rows)
    .bind(of_added(|file| file.bytes) - of_ended(|file| file.bytes))
    .bind(IDS.0)
    .execute(&mut *connection)
    .await?;
    // Like DuckDB, nothing for added columns: files from before have no statistics of them.
    for (column, field) in schema.fields().iter().enumerate().take(BASE_COLUMNS) {
        let of_column = change.add.iter().map(|file| &file.columns[column]).cloned().reduce(together);
        if let Some(stats) = of_column {
            widen_column(connection, column as i64 + 1, &stats, field.data_type()).await?;
        }
    }
    Ok(())
}

fn together(a: ColumnStats, b: ColumnStats) -> ColumnStats {
    let bounds = match (a.bounds, b.bounds) {
        // Values without bounds could be anything, also for the whole.
        (None, _) if a.values > 0 => None,
        (_, None) if b.values > 0 => None,
        (Some(a), Some(b)) => Some(widen(a, b)),
        (a, b) => a.or(b),
    };
    ColumnStats { bytes: a.bytes + b.bytes, values: a.values + b.values, nulls: a.nulls + b.nulls, bounds }
}

async fn widen_column(
    connection: &mut SqliteConnection,
    column: i64,
    stats: &ColumnStats,
    kind: &arrow::datatypes::DataType,
) -> Result<(), sqlx::Error> {
    let sql = "SELECT contains_null, min_value, max_value FROM ducklake_table_column_stats \
               WHERE table_id = ? AND column_id = ?";
    let known = sqlx::query(sql).bind(IDS.0).bind(column).fetch_optional(&mut *connection).await?;
    let parse = |text: Option<String>| text.and_then(|text| Bound::parse(&text, kind));
    let (mut nulls, mut known_bounds, is_known) = (stats.nulls > 0, None, known.is_some());
    if let Some(row) = known {
        nulls |= row.try_get::<Option<i64>, _>(0)?.unwrap_or(1) != 0;
        known_bounds = parse(row.try_get(1)?).zip(parse(row.try_get(2)?));
    }
    let bounds = match (known_bounds, stats.bounds.clone()) {
        (Some(a), Some(b)) => Some(widen(a, b)),
        (_, None) if stats.values > 0 => None,
        (a, b) => a.or(b),
    };
    let (least, greatest) = bounds.map(|(a, b)| (a.text(kind), b.text(kind))).unzip();
    let sql = match is_known {
        true => {
            "UPDATE ducklake_table_column_stats SET contains_null = ?, contains_nan = ?, min_value = ?, \
                 max_value = ? WHERE table_id = ? AND column_id = ?"
        }
        false => {
            "INSERT INTO ducklake_table_column_stats \
                  (contains_null, contains_nan, min_value, max_value, table_id, column_id) VALUES (?, ?, ?, ?, ?, ?)"
        }
    };
    sqlx::query(sql)
        .bind(i64::from(nulls))
        .bind(contains_nan(stats))
        .bind(least)
        .bind(greatest)
        .bind(IDS.0)
        .bind(column)
        .execute(connection)
        .await?;
    Ok(())
}

async fn add_snapshot(
    connection: &mut SqliteConnection,
    next: &Head,
    changes: &str,
    message: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO ducklake_snapshot VALUES (?, ?, ?, ?, ?)")
        .bind(next.snapshot)
        .bind(time_text(now_ms()))
        .bind(next.schema_version)
        .bind(next.next_catalog_id)
        .bind(next.next_file_id)
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO ducklake_snapshot_changes VALUES (?, ?, 'drover', ?, ?)")
        .bind(next.snapshot)
        .bind(changes)
        .bind(message)
        .bind(format!("{{\"cursor\":{},\"gap\":{}}}", next.cursor, next.gap))
        .execute(connection)
        .await?;
    Ok(())
}
