//! A disk that is really full under a database in a file. Needs the right to mount a tmpfs, and fails without it.

#[path = "../../log/tests/support/disk.rs"]
mod disk;

use disk::SmallDisk;
use drover_database::{Database, Error, Step};
use sqlx::Row;
use std::fs;

const THINGS: Step =
    Step { number: 1, name: "things", sqlite: "CREATE TABLE things (id INTEGER PRIMARY KEY, what TEXT)", postgres: "" };

async fn things(database: &Database) -> i64 {
    let mut connection = database.read().await.expect("what is there is read");
    let counted = sqlx::query("SELECT count(*) FROM things").fetch_one(&mut *connection).await;
    counted.expect("the table is there").get(0)
}

/// One transaction with so many rows of 1,000 bytes.
async fn put(database: &Database, rows: usize) -> Result<(), Error> {
    let mut transaction = database.begin().await?;
    for _ in 0..rows {
        let row = sqlx::query("INSERT INTO things (what) VALUES ($1)").bind("x".repeat(1_000));
        row.execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

#[tokio::test]
async fn a_database_whose_disk_was_full_is_written_again_without_a_restart() {
    let disk = SmallDisk::mount("4m");
    let database = Database::open_file(&disk.path().join("x.db")).await.expect("opens");
    database.migrate("test", &[THINGS]).await.expect("migrates");
    let mut there = 0;
    for round in 0..3 {
        let ballast = disk.fill();
        // More than SQLite's cache holds, so that it fails in the middle; and one row, which fails at the commit.
        for rows in [4_000, 1, 4_000, 1] {
            while let Ok(()) = put(&database, rows).await {
                there += rows as i64;
            }
            let refused = put(&database, rows).await.expect_err("there is no room");
            assert!(refused.full() && !refused.away(), "round {round}, {rows} rows: {refused:?}");
        }
        assert_eq!(things(&database).await, there, "nothing of what was refused is there, and reads go on");
        fs::remove_file(ballast).expect("there is room again");
        for _ in 0..20 {
            put(&database, 1).await.expect("it goes on by itself");
            there += 1;
        }
        assert_eq!(things(&database).await, there);
    }
}
