//! One database serves one node, on a real PostgreSQL.

#[path = "../../registry/tests/support/postgres.rs"]
mod postgres;

use drover_database::{Database, Error};
use postgres::Postgres;
use sqlx::{AssertSqlSafe, Row};
use std::time::{Duration, Instant};

/// Whose lock of this database it is; the server shows those of all.
const HELD: &str = "FROM pg_locks WHERE locktype = 'advisory' AND objid = 1852793957 AND granted \
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

async fn ask(database: &Database, what: &str) -> i32 {
    let sql = AssertSqlSafe(format!("SELECT {what} {HELD}"));
    sqlx::query(sql).fetch_one(database.pool()).await.expect("an answer").get(0)
}

#[tokio::test]
async fn a_second_node_is_refused_and_whoever_claims_nothing_is_not() {
    let server = Postgres::shared();
    let url = server.new_database();
    let first = Database::open(&url).await.expect("opens");
    first.claim().await.expect("nobody else has it");
    let second = Database::open(&url).await.expect("opens beside it");
    second.begin().await.expect("writes beside it").commit().await.expect("durable");
    let waiting = tokio::spawn({
        let second = second.clone();
        async move { second.claim().await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!waiting.is_finished(), "the first may be about to end");
    first.close().await;
    waiting.await.expect("no panic").expect("the first let go");
    let third = Database::open(&url).await.expect("opens");
    let refused = third.claim().await.expect_err("the second has it, and keeps it");
    assert!(matches!(refused, Error::InUse) && !refused.away(), "{refused:?}");
    assert!(refused.to_string().contains("one database serves one node"), "{refused}");
}

#[tokio::test]
async fn a_lost_lock_is_taken_again() {
    let server = Postgres::shared();
    let url = server.new_database();
    let (node, other) = (Database::open(&url).await.expect("opens"), Database::open(&url).await.expect("opens"));
    node.claim().await.expect("nobody else has it");
    let session = ask(&other, "max(pid)").await;
    ask(&other, "max(CASE WHEN pg_terminate_backend(pid) THEN pid END)").await;
    let began = Instant::now();
    while [0, session].contains(&ask(&other, "coalesce(max(pid), 0)").await) {
        assert!(began.elapsed() < Duration::from_secs(20), "the lock was not taken again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
