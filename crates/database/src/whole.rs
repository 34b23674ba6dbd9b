//! Is a database's file whole? Looked at without changing it, also beside a node that has it open.

use crate::{Error, sqlite_url};
use sqlx::any::AnyConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};
use std::path::Path;
use std::str::FromStr;

/// Tells of 20 faults of one file at most.
const CHECK: &str = "PRAGMA quick_check(20)";

/// What SQLite finds wrong with the file, a sentence each; nothing where all is well.
///
/// # Errors
/// The file cannot be opened or read at all.
pub async fn check_file(path: &Path) -> Result<Vec<String>, Error> {
    sqlx::any::install_default_drivers();
    let url = sqlite_url(path)?.replace("?mode=rwc", "?mode=ro");
    let mut connection = AnyConnectOptions::from_str(&url)?.connect().await?;
    let rows = sqlx::query(CHECK).fetch_all(&mut connection).await;
    let closed = connection.close().await;
    let said: Result<Vec<String>, sqlx::Error> = rows?.iter().map(|row| row.try_get(0)).collect();
    closed?;
    Ok(said?.into_iter().filter(|line| line != "ok").collect())
}
