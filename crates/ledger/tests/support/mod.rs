//! Ledgers to try things on.
#![allow(dead_code, reason = "not every test uses everything")]

use drover_database::Database;
use drover_ledger::{Entry, Filter, Ledger, Recorded};
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

pub fn file_in(folder: &TempDir) -> PathBuf {
    folder.path().join("audit.db")
}

pub async fn new_ledger() -> (TempDir, Ledger) {
    let folder = tempdir().unwrap();
    let ledger = Ledger::open(&file_in(&folder)).await.unwrap();
    (folder, ledger)
}

pub fn entry(n: u64) -> Entry {
    Entry {
        fleet: Some("north".to_owned()),
        address: Some([192, 0, 2, 7].into()),
        before: Some(json!({"n": n - 1, "ratio": 0.1})),
        after: Some(json!({"n": n, "text": "a \"quoted\"\nline"})),
        origin: Some(("registry", i64::try_from(n).unwrap())),
        ..Entry::new("user/u-1", "vehicles.update", format!("vehicles/v-{n}"))
    }
}

/// A closed ledger with so many entries.
pub async fn closed_ledger(entries: u64) -> TempDir {
    let (folder, ledger) = new_ledger().await;
    assert_eq!(ledger.append_all((1..=entries).map(entry).collect()).await.unwrap(), entries);
    ledger.close().await;
    folder
}

/// Runs statements on the file, as somebody who has it may.
pub async fn raw(path: &Path, statements: &str) -> Result<(), sqlx::Error> {
    let database = Database::open_file(path).await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(database.pool()).await;
    database.close().await;
    done.map(drop)
}

/// The same after the table no longer refuses it.
pub async fn tamper(path: &Path, statements: &str) {
    let triggers =
        "DROP TRIGGER entries_stay_as_they_are; DROP TRIGGER entries_stay; DROP TRIGGER entries_come_at_the_end;";
    raw(path, &format!("{triggers}{statements}")).await.unwrap();
}

pub async fn all(ledger: &Ledger) -> Vec<Recorded> {
    let (mut entries, mut cursor) = (Vec::new(), None);
    loop {
        let page = ledger.query(&Filter { cursor, limit: 1000, ..Filter::default() }).await.unwrap();
        entries.extend(page.entries);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return entries,
        }
    }
}

pub async fn exported(ledger: &Ledger, filter: Filter) -> String {
    let mut export = ledger.export(filter);
    let mut text = Vec::new();
    while let Some(lines) = export.next().await.unwrap() {
        text.extend_from_slice(&lines);
    }
    String::from_utf8(text).unwrap()
}
