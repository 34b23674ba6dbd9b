//! A database in a file: where it lies, who writes when, how its tables are brought forward.

use drover_database::{Database, Error, Step, check_file};
use sqlx::Row;
use std::time::Duration;

const FIRST: Step = Step {
    number: 1,
    name: "things",
    sqlite: "CREATE TABLE things (id TEXT PRIMARY KEY, size DOUBLE PRECISION); INSERT INTO things (id) VALUES ('a')",
    postgres: "",
};
const BROKEN: Step = Step {
    number: 2,
    name: "broken",
    sqlite: "CREATE TABLE more (id TEXT); CREATE TABLE things (id TEXT)",
    postgres: "",
};

async fn things(database: &Database) -> i64 {
    let counted = sqlx::query("SELECT count(*) FROM things").fetch_one(database.pool()).await;
    counted.expect("the table is there").get(0)
}

#[tokio::test]
async fn a_file_with_an_odd_name_is_made_with_its_folder_and_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a b/100% ü?#.db");
    let database = Database::open_file(&path).await.expect("opens");
    database.migrate("test", &[FIRST]).await.expect("migrates");
    database.close().await;
    assert!(path.is_file());
    let again = Database::open(&format!("sqlite://{}", path.display())).await.expect("opens again");
    assert_eq!(things(&again).await, 1);
}

#[tokio::test]
async fn a_step_is_applied_once_and_a_broken_one_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::open_file(&folder.path().join("x.db")).await.expect("opens");
    for _ in 0..2 {
        database.migrate("test", &[FIRST]).await.expect("migrates");
    }
    assert_eq!(things(&database).await, 1);
    let broken = database.migrate("test", &[FIRST, BROKEN]).await;
    assert!(matches!(broken, Err(Error::Step { number: 2, .. })), "{broken:?}");
    sqlx::query("SELECT id FROM more").execute(database.pool()).await.expect_err("its first half was taken back");
    database.migrate("test", &[FIRST]).await.expect("as before");
}

#[tokio::test]
async fn a_changed_step_and_tables_of_a_newer_program_are_refused() {
    const CHANGED: Step = Step { sqlite: "CREATE TABLE things (id TEXT)", ..FIRST };
    const SECOND: Step = Step { number: 2, name: "more", sqlite: "CREATE TABLE more (id TEXT)", postgres: "" };
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::open_file(&folder.path().join("x.db")).await.expect("opens");
    database.migrate("test", &[FIRST, SECOND]).await.expect("migrates");
    let older = database.migrate("test", &[FIRST]).await;
    assert!(matches!(older, Err(Error::Newer { found: 2, known: 1, .. })), "{older:?}");
    let changed = database.migrate("test", &[CHANGED, SECOND]).await;
    assert!(matches!(changed, Err(Error::Changed { number: 1, .. })), "{changed:?}");
    database
        .migrate("another", &[Step { sqlite: "CREATE TABLE other (id TEXT)", ..FIRST }])
        .await
        .expect("its own area");
}

#[tokio::test]
async fn writers_wait_for_each_other_readers_do_not_and_a_dropped_transaction_did_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::open_file(&folder.path().join("x.db")).await.expect("opens");
    database.migrate("test", &[FIRST]).await.expect("migrates");
    let mut first = database.begin().await.expect("the writer");
    sqlx::query("INSERT INTO things (id, size) VALUES ($1, $2)")
        .bind("b")
        .bind(1.5)
        .execute(&mut *first)
        .await
        .expect("written");
    assert_eq!(things(&database).await, 1, "a reader sees what is committed, at once");
    let second = tokio::spawn({
        let database = database.clone();
        async move { database.begin().await.expect("the next writer").commit().await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished());
    drop(first);
    second.await.expect("no panic").expect("committed");
    assert_eq!(things(&database).await, 1);
    let mut taken = database.begin().await.expect("a writer");
    let twice = sqlx::query("INSERT INTO things (id) VALUES ('a')").execute(&mut *taken).await.expect_err("taken");
    let twice = Error::from(twice);
    assert!(twice.conflict() && !twice.away());
}

#[tokio::test]
async fn an_address_of_no_known_database_is_refused_without_repeating_its_password() {
    let refused = Database::open("mysql://root:secret@localhost/x").await.expect_err("refused");
    assert!(!refused.to_string().contains("secret"), "{refused}");
    assert!(!refused.away());
}

#[tokio::test]
async fn nothing_of_what_was_taken_out_stays_in_a_compacted_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.db");
    let database = Database::open_file(&path).await.expect("opens");
    database.migrate("test", &[FIRST]).await.expect("migrates");
    let place = |row: u32| 38.0 + f64::from(row) / 7_919.0;
    let mut written = database.begin().await.expect("begins");
    for row in 0..3_000_u32 {
        // Keys of all lengths in no order, so that pages are split and rows are moved from one to another.
        let key = format!("{:x<1$}", row.wrapping_mul(2_654_435_761), 10 + row as usize * 37 % 180);
        let row = sqlx::query("INSERT INTO things (id, size) VALUES ($1, $2)").bind(key).bind(place(row));
        row.execute(&mut *written).await.expect("written");
    }
    written.commit().await.expect("durable");
    sqlx::query("UPDATE things SET size = NULL").execute(database.pool()).await.expect("taken out");
    let left = || {
        let mut bytes = std::fs::read(&path).expect("the file");
        bytes.extend(std::fs::read(folder.path().join("x.db-wal")).expect("its log"));
        (0..3_000).filter(|row| bytes.windows(8).any(|window| window == place(*row).to_be_bytes())).count()
    };
    assert!(left() > 0, "without it, something stays");
    database.compact().await.expect("compacted");
    assert_eq!(left(), 0);
    assert_eq!(things(&database).await, 3_001);
}

#[tokio::test]
async fn a_file_is_looked_through_while_it_is_open_and_what_is_damaged_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.db");
    let database = Database::open_file(&path).await.expect("opens");
    database.migrate("test", &[FIRST]).await.expect("migrates");
    for key in 0..200 {
        let row = sqlx::query("INSERT INTO things (id) VALUES ($1)").bind(format!("{key:x<100}"));
        row.execute(database.pool()).await.expect("written");
    }
    assert_eq!(check_file(&path).await.expect("looked at"), Vec::<String>::new());
    database.close().await;
    let mut bytes = std::fs::read(&path).expect("the file");
    let page = bytes.len() / 2 / 4096 * 4096;
    bytes[page..page + 2048].fill(0xff);
    std::fs::write(&path, bytes).expect("damaged");
    let found = check_file(&path).await;
    assert!(!found.as_ref().is_ok_and(Vec::is_empty), "{found:?}");
    check_file(&folder.path().join("y.db")).await.expect_err("there is none");
}
