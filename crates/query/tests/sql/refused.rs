//! Everything but reading is refused, nothing outside of history is reachable, and errors help.

use crate::lake::{DAY, Lake, Sent, ask, engine, error};
use drover_model::Kind;
use drover_query::{Limits, SqlError, TextPosition};

fn some_lake() -> Lake {
    let mut lake = Lake::new();
    let mut sent = Sent::new(1, Kind::Driver, "d-1", DAY);
    (sent.latitude, sent.longitude) = (Some(41.15), Some(-8.61));
    lake.file(&[sent]);
    lake
}

#[tokio::test]
async fn statements_that_write_are_refused() {
    let engine = engine(&some_lake());
    let file = std::env::temp_dir().join("drover-query-must-not-exist.csv");
    for sql in [
        "DELETE FROM reports".to_owned(),
        "DROP TABLE reports".to_owned(),
        "INSERT INTO reports SELECT * FROM reports".to_owned(),
        "UPDATE reports SET id = 'x'".to_owned(),
        "TRUNCATE TABLE reports".to_owned(),
        "CREATE TABLE x AS SELECT * FROM reports".to_owned(),
        "CREATE VIEW x AS SELECT 1".to_owned(),
        "CREATE FUNCTION f() RETURNS INT RETURN 1".to_owned(),
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'".to_owned(),
        format!("COPY reports TO '{}'", file.display()),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "SELECT 1; DROP TABLE reports".to_owned(),
        "EXPLAIN ANALYZE INSERT INTO reports SELECT * FROM reports".to_owned(),
        "WITH x AS (DELETE FROM reports) SELECT 1".to_owned(),
        "SELECT * FROM reports FOR UPDATE".to_owned(),
    ] {
        let refused = error(&engine, &sql, Limits::default()).await;
        assert!(matches!(refused, SqlError::Refused { .. } | SqlError::Syntax { .. }), "{sql}: {refused:?}");
    }
    assert!(!file.exists());
    assert_eq!(ask(&engine, "SELECT count(*) FROM reports").await, [["1"]]);
}

#[tokio::test]
async fn files_settings_and_the_environment_cannot_be_reached() {
    let engine = engine(&some_lake());
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM \"passwd.csv\"",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('x')",
        "SELECT * FROM parquet_metadata('x')",
        "SELECT read_text('/etc/passwd')",
        "SELECT getenv('HOME')",
        "SELECT @@version",
        "SELECT @home",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM generate_series(1, 10000000000)",
        "SELECT range(0, 10000000000)",
        "SELECT repeat('x', 1000000000)",
        "SELECT lpad('x', 1000000000, 'y')",
        "SELECT array_repeat('x', 1000000000)",
    ] {
        let refused = error(&engine, sql, Limits::default()).await;
        let expected = matches!(
            refused,
            SqlError::Refused { .. }
                | SqlError::UnknownTable { .. }
                | SqlError::Invalid { .. }
                | SqlError::Syntax { .. }
        );
        assert!(expected, "{sql}: {refused:?}");
    }
}

#[tokio::test]
async fn an_unknown_column_names_the_nearest_and_where() {
    let engine = engine(&some_lake());
    let unknown = error(&engine, "SELECT id,\n  sped_kmh FROM reports", Limits::default()).await;
    let expected = SqlError::UnknownColumn {
        name: "sped_kmh".into(),
        nearest: Some("speed_kmh".into()),
        position: Some(TextPosition { line: 2, column: 3 }),
    };
    assert_eq!(unknown, expected);
    assert_eq!(unknown.to_string(), "there is no column \"sped_kmh\"; did you mean \"speed_kmh\"? (line 2, column 3)");
}

#[tokio::test]
async fn an_unknown_table_names_the_nearest() {
    let engine = engine(&some_lake());
    let unknown = error(&engine, "SELECT id FROM report", Limits::default()).await;
    assert_eq!(unknown, SqlError::UnknownTable { name: "report".into(), nearest: Some("reports".into()) });
    let unknown = error(&engine, "SELECT id FROM trees", Limits::default()).await;
    assert_eq!(unknown, SqlError::UnknownTable { name: "trees".into(), nearest: None });
}

#[tokio::test]
async fn nonsense_is_explained() {
    let engine = engine(&some_lake());
    for (sql, code, part) in [
        ("SELEC id FROM reports", "sql_syntax", "SELEC"),
        ("SELECT id, count(*) FROM reports", "sql_invalid", "GROUP BY"),
        ("SELECT sqroot(4)", "sql_invalid", "sqrt"),
        ("SELECT 1 / 0 FROM reports", "query_failed", "zero"),
        ("SELECT id::BIGINT FROM reports", "query_failed", "d-1"),
        ("SELECT haversine_m(1, 2, 3)", "sql_invalid", "haversine_m"),
        ("SELECT time_bucket('15 moons', event_time) FROM reports", "query_failed", "15 moons"),
        ("SELECT count(*) FROM reports WHERE in_polygon(latitude, longitude, 'POINT(1 2)')", "query_failed", "POLYGON"),
        ("SELECT event_time FROM reports WHERE event_time > 'yesterday'", "query_failed", "yesterday"),
    ] {
        let error = error(&engine, sql, Limits::default()).await;
        assert_eq!(error.code(), code, "{sql}: {error}");
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
}

#[tokio::test]
async fn tables_and_columns_can_be_asked_for() {
    let engine = engine(&some_lake());
    assert_eq!(ask(&engine, "SHOW TABLES").await[0][0], "reports");
    let columns = ask(&engine, "DESCRIBE reports").await;
    assert_eq!(columns.len(), 17);
    assert_eq!(columns[7][..2], ["speed_kmh", "DECIMAL(6,2)"]);
    assert_eq!(columns[2][..2], ["event_time", "TIMESTAMP WITH TIME ZONE"]);
}
