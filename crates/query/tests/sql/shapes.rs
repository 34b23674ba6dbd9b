//! Answers as JSON, CSV, table and Parquet: exact digits, proper escapes, and nothing that passes for whole when it is
//! not.

use crate::lake::{DAY, Lake, Sent, engine};
use drover_model::Kind;
use drover_query::{Asker, Engine, Limits, Shape};
use serde_json::{Value, json};

fn some_lake() -> Lake {
    let mut lake = Lake::new();
    let mut first = Sent::new(9_007_199_254_740_993, Kind::Driver, "d-1", DAY + 123);
    (first.latitude, first.longitude, first.speed) = (Some(41.15), Some(-8.6100001), Some(32.1));
    first.city = Some("São \"J\", sul\nnorte");
    lake.file(&[first, Sent::new(9_007_199_254_740_994, Kind::Driver, "d-2", DAY)]);
    lake
}

async fn written(engine: &Engine, sql: &str, shape: Shape, limits: Limits) -> String {
    let mut out = Vec::new();
    let mut answer = engine.run(sql, Asker::default(), limits).await.unwrap();
    answer.write(shape, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

const SQL: &str = "SELECT id, event_time, latitude, longitude, speed_kmh, city, position, position > 0 AS yes, \
    speed_kmh::DOUBLE / 0 AS endless FROM reports ORDER BY id";

#[tokio::test]
async fn json_keeps_digits_and_times() {
    let engine = engine(&some_lake());
    let mut out = Vec::new();
    engine.run(SQL, Asker::default(), Limits::default()).await.unwrap().to_json(&mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(r#"["d-1","2026-05-28T00:00:00.123Z",41.1500000,-8.6100001,32.10,"São \"J\", sul\nnorte",9007199254740993,true,null]"#), "{text}");
    assert!(
        text.contains(r#"["d-2","2026-05-28T00:00:00.000Z",null,null,null,null,9007199254740994,true,null]"#),
        "{text}"
    );
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["columns"][1], "event_time");
    assert_eq!(
        value["types"],
        json!([
            "VARCHAR",
            "TIMESTAMP WITH TIME ZONE",
            "DECIMAL(9,7)",
            "DECIMAL(10,7)",
            "DECIMAL(6,2)",
            "VARCHAR",
            "BIGINT",
            "BOOLEAN",
            "DOUBLE"
        ])
    );
    assert_eq!(value["truncated"], false);
    assert!(value["elapsed_ms"].is_u64());
}

#[tokio::test]
async fn json_tells_what_was_left_out() {
    let text = written(
        &engine(&some_lake()),
        "SELECT id FROM reports ORDER BY 1",
        Shape::Json,
        Limits { rows: 1, ..Limits::default() },
    )
    .await;
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["rows"], &value["truncated"]), (&json!([["d-1"]]), &json!(true)));
}

#[tokio::test]
async fn json_of_a_query_that_fails_half_way_says_so() {
    let mut lake = some_lake();
    lake.file(&[Sent::new(1, Kind::Driver, "7", DAY)]);
    let mut answer =
        engine(&lake).run("SELECT id::BIGINT FROM reports", Asker::default(), Limits::default()).await.unwrap();
    let mut out = Vec::new();
    let error = answer.write(Shape::Json, &mut out).await.unwrap_err().to_string();
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["error"]["code"], "query_failed");
    assert_eq!(value["error"]["message"], error);
}

#[tokio::test]
async fn csv_follows_rfc_4180() {
    let text = written(
        &engine(&some_lake()),
        "SELECT id, city, '' AS empty, speed_kmh FROM reports ORDER BY id",
        Shape::Csv,
        Limits::default(),
    )
    .await;
    assert_eq!(text, "id,city,empty,speed_kmh\r\nd-1,\"São \"\"J\"\", sul\nnorte\",\"\",32.10\r\nd-2,,\"\",\r\n");
}

#[tokio::test]
async fn a_table_is_aligned_and_not_wider_than_asked() {
    let sql = "SELECT id, speed_kmh, city FROM reports ORDER BY id";
    let text = written(&engine(&some_lake()), sql, Shape::Table { width: 28 }, Limits::default()).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "id   speed_kmh  city");
    assert_eq!(lines[2], "d-1      32.10  São \"J\", su…");
    assert_eq!(lines[3], "d-2");
    assert!(lines[4].starts_with("(2 rows, "), "{text}");
    assert!(lines[..4].iter().all(|line| line.chars().count() <= 28), "{text}");
}

#[tokio::test]
async fn parquet_reads_back() {
    let mut out = Vec::new();
    let mut answer = engine(&some_lake()).run(SQL, Asker::default(), Limits::default()).await.unwrap();
    answer.write(Shape::Parquet, &mut out).await.unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes::Bytes::from(out), 100).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    let rows = crate::lake::texts(&batches);
    assert_eq!(rows[0][..5], ["d-1", "2026-05-28T00:00:00.123Z", "41.1500000", "-8.6100001", "32.10"]);
    assert_eq!(rows[1][4], "∅");
}

#[tokio::test]
async fn an_empty_answer_still_has_its_columns() {
    let engine = engine(&some_lake());
    let sql = "SELECT id, speed_kmh FROM reports WHERE id = 'none'";
    let json = written(&engine, sql, Shape::Json, Limits::default()).await;
    assert!(
        json.starts_with(
            r#"{"columns":["id","speed_kmh"],"types":["VARCHAR","DECIMAL(6,2)"],"rows":[],"truncated":false"#
        ),
        "{json}"
    );
    assert_eq!(written(&engine, sql, Shape::Csv, Limits::default()).await, "id,speed_kmh\r\n");
    assert!(written(&engine, sql, Shape::Table { width: 80 }, Limits::default()).await.starts_with("id  speed_kmh\n"));
}
