//! One step of the catalogue: files that come, files that go, the cursor, and statistics that hold for all of it, in
//! one transaction. It is refused if the newest snapshot is not the expected one, since all numbers were taken from
//! that.

use super::calendar::{civil, time_text};
use super::catalog::{Catalog, Head, IDS, head, now_ms};
use super::create;
use super::live::keys_and_ranges;
use super::stats::at;
use super::widen::{add_column_stats, widen_table};
use super::writer::Written;
use super::{Error, TABLE};
use crate::{LakeFile, Stored};
use arrow::datatypes::{Schema, SchemaRef};
use sqlx::{Connection, SqliteConnection};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is to change.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    pub(crate) add: &'a [Written],
    /// Files that end: numbers with their rows and bytes.
    pub(crate) end: &'a [Arc<LakeFile>],
    /// Files that end, and begin again elsewhere.
    pub(crate) moved: &'a [Moved],
    pub(crate) cursor: u64,
    pub(crate) gap: u64,
    /// Why, for people who look at the snapshots.
    pub(crate) message: &'static str,
}

/// A file whose bytes are in another place now.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) from: Arc<LakeFile>,
    /// Where its copy is.
    pub(crate) path: PathBuf,
    pub(crate) stored: Option<Stored>,
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
            let ended = change.end.iter().chain(change.moved.iter().map(|moved| &moved.from));
            if !end_files(&mut transaction, expected.snapshot + 1, ended).await? {
                return Ok(None);
            }
            add_files(&mut transaction, &expected, change.add, &schema, &data).await?;
            add_moved(&mut transaction, &expected, change, &data).await?;
            widen_table(&mut transaction, change, &schema).await?;
            let next = after(&expected, change);
            add_snapshot(&mut transaction, &next, &changes_made(change), change.message).await?;
            transaction.commit().await?;
            sqlx::Result::Ok(Some(next))
        });
        let next = committed.map_err(failed)?.ok_or_else(|| Error::Conflict { path: self.path.clone() })?;
        let first_id = self.head.next_file_id;
        self.head = next;
        let added = change.add.iter().zip(first_id..).map(|(written, id)| Arc::new(lake_file(written, id)));
        let moved = change.moved.iter().zip(first_id + change.add.len() as i64..);
        let moved = moved.map(|(moved, id)| {
            let Moved { from, path, stored } = moved;
            Arc::new(LakeFile { id, path: path.clone(), stored: stored.clone(), ..LakeFile::clone(from) })
        });
        Ok(added.chain(moved).collect())
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
        next_file_id: expected.next_file_id + (change.add.len() + change.moved.len()) as i64,
        cursor: change.cursor,
        gap: change.gap,
        ..*expected
    }
}

/// In the words that other readers of the catalogue know.
fn changes_made(change: &Change<'_>) -> String {
    let moves = !change.moved.is_empty();
    let added = (!change.add.is_empty() || moves).then(|| format!("inserted_into_table:{}", IDS.0));
    let ended = (!change.end.is_empty() || moves).then(|| format!("deleted_from_table:{}", IDS.0));
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
        stored: written.stored.clone(),
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
    files: impl Iterator<Item = &Arc<LakeFile>>,
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
        let (path, relative) = named(&file.path, data);
        sqlx::query(
            "INSERT INTO ducklake_data_file VALUES \
             (?, ?, ?, NULL, NULL, ?, ?, 'parquet', ?, ?, ?, ?, ?, NULL, NULL, NULL)",
        )
        .bind(id)
        .bind(IDS.0)
        .bind(expected.snapshot + 1)
        .bind(path)
        .bind(relative)
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

/// How the catalogue names a file, and whether that is relative to the table's folder.
fn named(path: &Path, data: &Path) -> (String, i64) {
    match path.strip_prefix(data.join(TABLE)) {
        Ok(within) => (within.to_string_lossy().into_owned(), 1),
        Err(_) => (path.to_string_lossy().into_owned(), 0),
    }
}

/// The rows of moved files again, but for number, snapshot and place.
async fn add_moved(
    connection: &mut SqliteConnection,
    expected: &Head,
    change: &Change<'_>,
    data: &Path,
) -> Result<(), sqlx::Error> {
    let first_id = expected.next_file_id + change.add.len() as i64;
    for (moved, id) in change.moved.iter().zip(first_id..) {
        let (path, relative) = named(&moved.path, data);
        sqlx::query(
            "INSERT INTO ducklake_data_file SELECT ?, table_id, ?, NULL, file_order, ?, ?, file_format, record_count, \
             file_size_bytes, footer_size, row_id_start, partition_id, encryption_key, mapping_id, partial_max \
             FROM ducklake_data_file WHERE data_file_id = ?",
        )
        .bind(id)
        .bind(expected.snapshot + 1)
        .bind(path)
        .bind(relative)
        .bind(moved.from.id)
        .execute(&mut *connection)
        .await?;
        for sql in [
            "INSERT INTO ducklake_file_column_stats SELECT ?, table_id, column_id, column_size_bytes, value_count, \
             null_count, min_value, max_value, contains_nan, extra_stats \
             FROM ducklake_file_column_stats WHERE data_file_id = ?",
            "INSERT INTO ducklake_file_partition_value SELECT ?, table_id, partition_key_index, partition_value \
             FROM ducklake_file_partition_value WHERE data_file_id = ?",
        ] {
            sqlx::query(sql).bind(id).bind(moved.from.id).execute(&mut *connection).await?;
        }
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
