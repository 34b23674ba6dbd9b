//! Every example of docs/sql.md runs.

use crate::lake::{DAY, Lake, Sent, engine};
use drover_model::{Kind, Reading};
use drover_query::Asker;
use drover_query::Limits;

fn examples() -> Vec<String> {
    let page = include_str!("../../../../docs/sql.md");
    let blocks = page.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks
        .flat_map(|block| block.split(";\n"))
        .map(str::trim)
        .filter(|sql| !sql.is_empty())
        .map(str::to_owned)
        .collect()
}

fn a_day() -> Lake {
    let mut lake = Lake::new();
    let sent: Vec<Sent> = (1..=720)
        .map(|number| {
            let mut sent = Sent::new(number, Kind::Vehicle, "bus-1", DAY + number as i64 * 60_000);
            (sent.latitude, sent.longitude) = (Some(41.15 + number as f64 / 1e3), Some(-8.61));
            sent.speed = Some((number % 60) as f64);
            sent.readings.push("soc_pct", Reading::Number(80.0 - number as f64 / 100.0)).unwrap();
            sent
        })
        .collect();
    lake.file(&sent);
    lake
}

#[tokio::test]
async fn every_example_of_the_page_runs() {
    let engine = engine(&a_day());
    let examples = examples();
    assert!(examples.len() >= 10, "{}", examples.len());
    for sql in examples {
        let mut answer = engine
            .run(&sql, Asker::default(), Limits::default())
            .await
            .unwrap_or_else(|error| panic!("{sql}\n{error}"));
        let batches = answer.collect().await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
        assert!(batches.iter().any(|batch| batch.num_rows() > 0), "no rows: {sql}");
    }
}
