//! Which files the newest snapshot has, and what the catalogue knows of each without opening it.

use super::catalog::Catalog;
use super::create::TABLE_ID;
use super::stats::{Bound, at};
use super::{Error, OURS, TABLE};
use crate::{Key, LakeFile};
use arrow::datatypes::SchemaRef;
use drover_model::Kind;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A live file as the catalogue has it.
pub(crate) enum Found {
    Ours(Arc<LakeFile>),
    /// Not written by Drover, or without the statistics that Drover writes.
    Foreign(PathBuf),
}

impl Catalog {
    /// The files of the newest snapshot, ordered by day and number.
    pub(crate) fn files(&mut self) -> Result<Vec<Found>, Error> {
        let failed = self.failed("reading the files");
        let (files, bounds) = self.runtime.block_on(live_files(&mut self.connection)).map_err(failed)?;
        let mut found = Vec::with_capacity(files.len());
        for row in &files {
            found.push(self.lake_file(row, &bounds).map_err(self.failed("reading a file's row"))?);
        }
        found.sort_by_key(|found| match found {
            Found::Ours(file) => (file.day, file.id),
            Found::Foreign(_) => (i32::MAX, 0),
        });
        Ok(found)
    }

    fn lake_file(&self, row: &SqliteRow, bounds: &Bounds) -> Result<Found, sqlx::Error> {
        let id: i64 = row.try_get(0)?;
        let path = self.absolute(row.try_get(1)?, row.try_get(2)?);
        let stored = self.stores.locate(&path).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(OURS));
        let known = ours.then(|| file_bounds(bounds, id, &self.schema)).flatten();
        let Some((first, last, event_time, position)) = known else { return Ok(Found::Foreign(path)) };
        Ok(Found::Ours(Arc::new(LakeFile {
            id,
            path,
            stored,
            rows: row.try_get::<i64, _>(3)? as u64,
            bytes: row.try_get::<i64, _>(4)? as u64,
            footer_bytes: row.try_get::<i64, _>(5)? as u64,
            day: super::calendar::day_of(event_time.0),
            first,
            last,
            event_time: event_time.0..=event_time.1,
            position: position.0..=position.1,
        })))
    }

    /// A data file's path is relative to the table's folder, as a rule.
    fn absolute(&self, path: String, relative: i64) -> PathBuf {
        if relative != 0 { self.data.join(TABLE).join(path) } else { path.into() }
    }
}

/// Least and greatest value by file and column, as texts.
type Bounds = HashMap<(i64, i64), (Option<String>, Option<String>)>;

async fn live_files(connection: &mut SqliteConnection) -> Result<(Vec<SqliteRow>, Bounds), sqlx::Error> {
    // One transaction, so that both tables are seen at the same moment.
    let mut transaction = connection.begin().await?;
    let sql = "SELECT data_file_id, path, path_is_relative, record_count, file_size_bytes, footer_size \
               FROM ducklake_data_file WHERE table_id = ? AND end_snapshot IS NULL";
    let files = sqlx::query(sql).bind(TABLE_ID).fetch_all(&mut *transaction).await?;
    let columns = [at::KIND, at::ID, at::EVENT_TIME, at::POSITION].map(|column| (column + 1).to_string()).join(",");
    let sql = format!(
        "SELECT data_file_id, column_id, min_value, max_value FROM ducklake_file_column_stats \
         WHERE table_id = {TABLE_ID} AND column_id IN ({columns})"
    );
    let mut bounds = HashMap::new();
    for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *transaction).await? {
        bounds.insert((row.try_get(0)?, row.try_get(1)?), (row.try_get(2)?, row.try_get(3)?));
    }
    transaction.commit().await?;
    Ok((files, bounds))
}

/// Least and greatest value.
type Pair = (Bound, Bound);

/// First and last key, event times, positions.
type FileBounds = (Key, Key, (i64, i64), (u64, u64));

fn file_bounds(bounds: &Bounds, file: i64, schema: &SchemaRef) -> Option<FileBounds> {
    let of = |column: usize| {
        let (least, greatest) = bounds.get(&(file, column as i64 + 1))?;
        let kind = schema.field(column).data_type();
        Some((Bound::parse(least.as_deref()?, kind)?, Bound::parse(greatest.as_deref()?, kind)?))
    };
    let of_columns = (of(at::KIND)?, of(at::ID)?, of(at::EVENT_TIME)?, of(at::POSITION)?);
    keys_and_ranges(of_columns)
}

/// The four pairs of bounds that a [`LakeFile`] names; `None` if they are of other types.
pub(super) fn keys_and_ranges((kind, id, event_time, position): (Pair, Pair, Pair, Pair)) -> Option<FileBounds> {
    let (Bound::Text(first_kind), Bound::Text(last_kind)) = kind else { return None };
    let (Bound::Text(first_id), Bound::Text(last_id)) = id else { return None };
    let (Bound::Whole(first_time), Bound::Whole(last_time)) = event_time else { return None };
    let (Bound::Whole(first_position), Bound::Whole(last_position)) = position else { return None };
    let first = Key { kind: Kind::parse(&first_kind)?, id: first_id.into() };
    let last = Key { kind: Kind::parse(&last_kind)?, id: last_id.into() };
    Some((first, last, (first_time as i64, last_time as i64), (first_position as u64, last_position as u64)))
}
