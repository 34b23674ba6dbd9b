//! Tables are brought forward step by step. What was applied is written down with a checksum, in the same transaction as
//! the step itself (both databases can take back a change of tables).

use crate::{Database, Dialect, Error, Transaction};
use sqlx::{Executor, Row};
use std::time::{SystemTime, UNIX_EPOCH};

/// One step of an area's tables. Never changed once it was released.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// From 1, without gaps.
    pub number: u32,
    /// What it brings.
    pub name: &'static str,
    /// The statements for SQLite.
    pub sqlite: &'static str,
    /// The statements for PostgreSQL.
    pub postgres: &'static str,
}

impl Step {
    fn sql(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }

    fn checksum(&self, dialect: Dialect) -> i64 {
        i64::from(crc32c::crc32c(self.sql(dialect).as_bytes()))
    }
}

const APPLIED: &str = "CREATE TABLE IF NOT EXISTS drover_migrations (area TEXT NOT NULL, number BIGINT NOT NULL, \
                       name TEXT NOT NULL, checksum BIGINT NOT NULL, applied_at BIGINT NOT NULL, \
                       PRIMARY KEY (area, number))";

pub(crate) async fn migrate(database: &Database, area: &'static str, steps: &'static [Step]) -> Result<(), Error> {
    // One transaction that writes is open at a time, on all nodes: others wait here and then find everything done.
    let mut transaction = database.begin().await?;
    if database.dialect == Dialect::Postgres {
        // A step over a large table takes its time.
        transaction.execute("SET LOCAL statement_timeout = 0").await?;
    }
    transaction.execute(APPLIED).await?;
    let done = applied(&mut transaction, area).await?;
    let known = steps.last().map_or(0, |step| step.number);
    if let Some((found, _)) = done.last().filter(|(number, _)| *number > known) {
        return Err(Error::Newer { area, found: *found, known });
    }
    for step in steps {
        let checksum = step.checksum(database.dialect);
        match done.iter().find(|(number, _)| *number == step.number) {
            Some((_, applied)) if *applied == checksum => {}
            Some(_) => return Err(Error::Changed { area, number: step.number, name: step.name }),
            None => apply(&mut transaction, database.dialect, area, step).await?,
        }
    }
    transaction.commit().await
}

async fn applied(transaction: &mut Transaction, area: &str) -> Result<Vec<(u32, i64)>, Error> {
    let sql = "SELECT number, checksum FROM drover_migrations WHERE area = $1 ORDER BY number";
    let rows = sqlx::query(sql).bind(area).fetch_all(&mut **transaction).await?;
    let read = |row: &sqlx::any::AnyRow| {
        let number: i64 = row.try_get(0)?;
        Ok((number as u32, row.try_get(1)?))
    };
    rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(Error::from)
}

async fn apply(
    transaction: &mut Transaction,
    dialect: Dialect,
    area: &'static str,
    step: &'static Step,
) -> Result<(), Error> {
    let failed = |error| Error::Step { area, number: step.number, name: step.name, error };
    // Without placeholders several statements go at once.
    transaction.execute(step.sql(dialect)).await.map_err(failed)?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let sql = "INSERT INTO drover_migrations (area, number, name, checksum, applied_at) VALUES ($1, $2, $3, $4, $5)";
    sqlx::query(sql)
        .bind(area)
        .bind(i64::from(step.number))
        .bind(step.name)
        .bind(step.checksum(dialect))
        .bind(now_ms)
        .execute(&mut **transaction)
        .await
        .map_err(failed)?;
    tracing::info!(area, number = step.number, name = step.name, "the tables were brought forward");
    Ok(())
}
