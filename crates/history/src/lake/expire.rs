//! What the catalogue forgets, and when files really go. Three steps, each safe to be cut off by a crash: snapshots
//! that were replaced long enough ago go, and with them the rows of files that no snapshot is left to name, which are
//! noted for deletion in the same transaction; then those files are deleted; then the notes.

use super::calendar::{parse_time_text, time_text};
use super::catalog::{Catalog, IDS, now_ms};
use super::{Error, OURS, TABLE};
use sqlx::{Connection, Row, SqliteConnection};
use std::io;
use std::path::{Path, PathBuf};

/// A file to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scheduled {
    pub(crate) file: i64,
    pub(crate) path: PathBuf,
}

impl Catalog {
    /// Forgets snapshots that were replaced before `replaced_before_ms`. The newest one stays, and the newest that says
    /// how far Drover was. Returns how many went.
    pub(crate) fn expire(&mut self, replaced_before_ms: i64) -> Result<u64, Error> {
        let failed = self.failed("expiring snapshots");
        let expired = self.runtime.block_on(async {
            let until = last_expired(&mut self.connection, replaced_before_ms).await?;
            let Some(until) = until else { return Ok(0) };
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            let expired = forget(&mut transaction, until).await?;
            transaction.commit().await?;
            sqlx::Result::Ok(expired)
        });
        expired.map_err(failed)
    }

    /// Files of Drover that are noted for deletion. One that moved away and came back has its old place again: while any
    /// file of the catalogue has the place, nothing there is to be deleted.
    pub(crate) fn scheduled(&mut self) -> Result<Vec<Scheduled>, Error> {
        let failed = self.failed("reading what is to be deleted");
        let sql = "SELECT data_file_id, path, path_is_relative FROM ducklake_files_scheduled_for_deletion s \
                   WHERE path_is_relative <> 0 OR NOT EXISTS (SELECT 1 FROM ducklake_data_file f \
                   WHERE f.path = s.path AND f.path_is_relative = 0)";
        let rows = self.runtime.block_on(sqlx::query(sql).fetch_all(&mut self.connection)).map_err(failed)?;
        let mut scheduled = Vec::new();
        for row in rows {
            let read = || sqlx::Result::Ok((row.try_get(0)?, row.try_get::<String, _>(1)?, row.try_get::<i64, _>(2)?));
            let (file, path, relative) = read().map_err(self.failed("reading what is to be deleted"))?;
            let path = if relative != 0 { self.data.join(path) } else { PathBuf::from(path) };
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(OURS)) {
                scheduled.push(Scheduled { file, path });
            }
        }
        Ok(scheduled)
    }

    /// Takes the notes of deleted files away.
    pub(crate) fn deleted(&mut self, files: &[i64]) -> Result<(), Error> {
        let failed = self.failed("noting deleted files");
        let done = self.runtime.block_on(async {
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            for file in files {
                let sql = "DELETE FROM ducklake_files_scheduled_for_deletion WHERE data_file_id = ?";
                sqlx::query(sql).bind(file).execute(&mut *transaction).await?;
            }
            transaction.commit().await
        });
        done.map_err(failed)
    }

    /// Every path of a data file in the catalogue, whether live, ended or noted for deletion.
    pub(crate) fn known_paths(&mut self) -> Result<Vec<PathBuf>, Error> {
        let failed = self.failed("reading the paths");
        let sql = "SELECT path, path_is_relative FROM ducklake_data_file WHERE table_id = ?";
        let rows = self.runtime.block_on(sqlx::query(sql).bind(IDS.0).fetch_all(&mut self.connection));
        let table = self.data.join(TABLE);
        let read = |row: sqlx::sqlite::SqliteRow| {
            let (path, relative): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            sqlx::Result::Ok(if relative != 0 { table.join(path) } else { PathBuf::from(path) })
        };
        let paths: Result<Vec<PathBuf>, _> = rows.map_err(failed)?.into_iter().map(read).collect();
        let mut paths = paths.map_err(self.failed("reading the paths"))?;
        paths.extend(self.scheduled()?.into_iter().map(|scheduled| scheduled.path));
        Ok(paths)
    }
}

/// The last of the snapshots that may go; they go from the oldest on.
async fn last_expired(connection: &mut SqliteConnection, replaced_before_ms: i64) -> Result<Option<i64>, sqlx::Error> {
    let sql = "SELECT s.snapshot_id, s.snapshot_time, coalesce(c.commit_extra_info LIKE '{\"cursor\":%', 0) \
               FROM ducklake_snapshot s LEFT JOIN ducklake_snapshot_changes c USING (snapshot_id) \
               ORDER BY s.snapshot_id";
    let rows = sqlx::query(sql).fetch_all(connection).await?;
    let mut snapshots: Vec<(i64, String, bool)> = Vec::with_capacity(rows.len());
    for row in &rows {
        snapshots.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    }
    let newest_of_drover = snapshots.iter().rev().find(|(_, _, ours)| *ours).map(|(id, ..)| *id);
    let replaced = |next: &str| parse_time_text(next).is_some_and(|time| time < replaced_before_ms);
    let pairs = snapshots.iter().zip(snapshots.iter().skip(1));
    let expired = pairs.take_while(|((id, ..), (_, next, _))| replaced(next) && Some(*id) != newest_of_drover);
    Ok(expired.last().map(|((id, ..), _)| *id))
}

/// Removes the snapshots up to `until` and the rows of files that only they named. As DuckLake's `expire_snapshots`.
async fn forget(connection: &mut SqliteConnection, until: i64) -> Result<u64, sqlx::Error> {
    let sql = "DELETE FROM ducklake_snapshot WHERE snapshot_id <= ?";
    let expired = sqlx::query(sql).bind(until).execute(&mut *connection).await?.rows_affected();
    let sql = "DELETE FROM ducklake_snapshot_changes WHERE snapshot_id <= ?";
    sqlx::query(sql).bind(until).execute(&mut *connection).await?;
    let sql = "CREATE TEMP TABLE IF NOT EXISTS drover_forgotten(file BIGINT PRIMARY KEY)";
    sqlx::query(sql).execute(&mut *connection).await?;
    sqlx::query("DELETE FROM drover_forgotten").execute(&mut *connection).await?;
    let sql = "INSERT INTO drover_forgotten SELECT data_file_id FROM ducklake_data_file f \
               WHERE table_id = ? AND end_snapshot IS NOT NULL AND NOT EXISTS (SELECT 1 FROM ducklake_snapshot s \
               WHERE s.snapshot_id >= f.begin_snapshot AND s.snapshot_id < f.end_snapshot)";
    sqlx::query(sql).bind(IDS.0).execute(&mut *connection).await?;
    let sql = "INSERT INTO ducklake_files_scheduled_for_deletion \
               SELECT data_file_id, CASE WHEN path_is_relative THEN ? || path ELSE path END, path_is_relative, ? \
               FROM ducklake_data_file WHERE data_file_id IN (SELECT file FROM drover_forgotten)";
    sqlx::query(sql).bind(format!("{TABLE}/")).bind(time_text(now_ms())).execute(&mut *connection).await?;
    for sql in [
        "DELETE FROM ducklake_data_file WHERE data_file_id IN (SELECT file FROM drover_forgotten)",
        "DELETE FROM ducklake_file_column_stats WHERE data_file_id IN (SELECT file FROM drover_forgotten)",
        "DELETE FROM ducklake_file_partition_value WHERE data_file_id IN (SELECT file FROM drover_forgotten)",
    ] {
        sqlx::query(sql).execute(&mut *connection).await?;
    }
    Ok(expired)
}

/// Deletes a file; one that is gone already counts as deleted. Folders that are empty then go too.
pub(crate) fn delete_file(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::file(path, "deleting the file")(error));
        }
        _ => {}
    }
    // Day, month, year; a folder with anything in it refuses.
    for folder in path.ancestors().skip(1).take(3) {
        if std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}
