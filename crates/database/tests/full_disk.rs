//! A disk that is really full under a database in a file. Needs the right to mount a tmpfs, and fails without it.

use drover_database::{Database, Error, Step};
use sqlx::Row;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const THINGS: Step =
    Step { number: 1, name: "things", sqlite: "CREATE TABLE things (id INTEGER PRIMARY KEY, what TEXT)", postgres: "" };

/// A small file system in memory, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=4m", "drover-database-test"]).arg(folder.path()).status();
        assert!(mounted.is_ok_and(|status| status.success()), "this test has to mount a tmpfs: run it as root");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills what is left of the space with a file, which is returned.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut ballast = File::create(&path).expect("a file");
        while ballast.write_all(&[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, so that a file still open after a panic does not keep it mounted.
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()), "unmounting failed");
    }
}

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
    let disk = SmallDisk::mount();
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
