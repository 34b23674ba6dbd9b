//! Rows of assets that the asker may not see do not exist for him, whatever he asks; and a query that is over holds
//! nothing of the lake.

use crate::lake::{DAY, Lake, Sent, engine, texts};
use drover_model::{Kind, Reading, Sees, Sight};
use drover_query::{Asker, Engine, Limits, Settings};
use proptest::prelude::*;
use std::sync::{Arc, Weak};

/// Sees the assets of a list.
struct Listed(Vec<(Kind, String)>);

impl Sees for Listed {
    fn sees(&self, kind: Kind, id: &str) -> bool {
        self.0.iter().any(|(known, name)| *known == kind && name == id)
    }
}

fn seeing(assets: &[(Kind, &str)]) -> Asker {
    let listed = assets.iter().map(|(kind, id)| (*kind, (*id).to_owned())).collect();
    Asker { name: "somebody".into(), sight: Sight::Some(Arc::new(Listed(listed))), ..Asker::default() }
}

async fn ask_as(engine: &Engine, asker: &Asker, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let mut answer = engine.run(sql, asker.clone(), Limits::default()).await.map_err(|error| error.to_string())?;
    let batches = answer.collect().await.map_err(|error| error.to_string())?;
    Ok(texts(&batches))
}

/// Rows of `d-1` to `d-4`, in two files and in memory; `d-4` has an id that is no number to stumble over.
fn lake() -> Lake {
    let sent = |position: u64, id: &str| {
        let mut sent = Sent::new(position, Kind::Driver, id, DAY + position as i64 * 1000);
        (sent.latitude, sent.longitude) = (Some(41.0), Some(-8.0));
        sent.readings.push("note", Reading::Text("secret")).unwrap();
        sent
    };
    let mut lake = Lake::new();
    lake.file(&[sent(1, "1"), sent(2, "2"), sent(3, "no-number")]);
    lake.file(&[sent(4, "1"), sent(5, "no-number")]);
    lake.tail(&[sent(6, "1"), sent(7, "2"), sent(8, "no-number")]);
    lake
}

#[tokio::test]
async fn neither_plans_nor_counts_tell_of_rows_that_are_not_seen() {
    let engine = engine(&lake());
    let one = seeing(&[(Kind::Driver, "1")]);
    for sql in ["EXPLAIN SELECT id FROM reports", "EXPLAIN ANALYZE SELECT id FROM reports WHERE latitude > 40.5"] {
        let refused = ask_as(&engine, &one, sql).await.expect_err("a plan");
        assert!(refused.contains("does not reach all assets"), "{refused}");
        let everything = Asker { name: "somebody".into(), sight: Sight::All, ..Asker::default() };
        assert!(ask_as(&engine, &everything, sql).await.is_ok(), "{sql}");
    }
    let mut counted = Vec::new();
    for asker in [one, Asker { name: "somebody".into(), sight: Sight::All, ..Asker::default() }] {
        let sql = "SELECT count(*) FROM reports";
        let mut answer = engine.run(sql, asker, Limits::default()).await.expect("an answer");
        answer.collect().await.expect("rows");
        counted.push(answer.progress());
    }
    assert_eq!(
        (counted[0].rows_total, counted[0].rows_scanned, counted[0].bytes_read, counted[0].files_total),
        (0, 0, 0, 0)
    );
    assert_eq!((counted[1].rows_total, counted[1].files_total), (8, 2));
}

#[tokio::test]
async fn counts_joins_and_subqueries_see_the_same_rows() {
    let engine = engine(&lake());
    let one = seeing(&[(Kind::Driver, "1")]);
    for (sql, expected) in [
        ("SELECT count(*) FROM reports", "3"),
        ("SELECT count(*) FROM (SELECT DISTINCT id FROM reports)", "1"),
        ("SELECT max(position) FROM reports", "6"),
        ("SELECT count(*) FROM reports WHERE id <> '1'", "0"),
        ("SELECT count(*) FROM reports WHERE id = '2' OR 1 = 1", "3"),
        ("SELECT count(*) FROM reports a JOIN reports b ON a.id <> b.id", "0"),
        ("WITH r AS (SELECT * FROM reports) SELECT count(*) FROM r", "3"),
        ("SELECT count(*) FROM reports WHERE event_time >= '2026-05-28'", "3"),
        ("SELECT count(*) FROM trips('driver', '2', '2026-05-28', '2026-05-29')", "0"),
    ] {
        assert_eq!(ask_as(&engine, &one, sql).await, Ok(vec![vec![expected.to_owned()]]), "{sql}");
    }
}

#[tokio::test]
async fn an_error_about_a_hidden_value_cannot_be_had() {
    let engine = engine(&lake());
    let numbers = seeing(&[(Kind::Driver, "1"), (Kind::Driver, "2")]);
    for sql in [
        "SELECT count(*) FROM reports WHERE id::BIGINT > 0",
        "SELECT sum(id::BIGINT) > 0, count(*) FROM reports WHERE position > 0 AND id::BIGINT > 0",
    ] {
        let rows = ask_as(&engine, &numbers, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(rows[0].last().map(String::as_str), Some("5"), "{sql}");
        let error = ask_as(&engine, &Asker::default(), sql).await.expect_err("who sees all stumbles");
        assert!(error.contains("no-number"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nobody_gets_a_row_of_an_asset_that_he_may_not_see(
        rows in proptest::collection::vec((0_usize..6, 0_i64..3), 1..60),
        seen in proptest::collection::vec(0_usize..6, 0..4),
        tail in 0_usize..20,
    ) {
        let name = |id: usize| format!("a-{id}");
        let sent: Vec<Sent> = rows
            .iter()
            .enumerate()
            .map(|(at, (id, day))| Sent::new(at as u64 + 1, Kind::Vehicle, &name(*id), DAY + day * 86_400_000))
            .collect();
        let (filed, rest) = sent.split_at(sent.len() - tail.min(sent.len()));
        let mut lake = Lake::new();
        for day in 0..3 {
            let of_day: Vec<Sent> = filed.iter().filter(|s| s.event_time == DAY + day * 86_400_000).cloned().collect();
            if !of_day.is_empty() {
                lake.file(&of_day);
            }
        }
        lake.tail(rest);
        let expected = rows.iter().filter(|(id, _)| seen.contains(id)).count().to_string();
        let names: Vec<String> = seen.iter().map(|id| name(*id)).collect();
        let listed: Vec<(Kind, &str)> = names.iter().map(|id| (Kind::Vehicle, id.as_str())).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (count, ids) = runtime.block_on(async {
            let (engine, asker) = (engine(&lake), seeing(&listed));
            let count = ask_as(&engine, &asker, "SELECT count(*) FROM reports").await.unwrap();
            (count, ask_as(&engine, &asker, "SELECT id FROM reports ORDER BY 1").await.unwrap())
        });
        prop_assert_eq!(&count[0][0], &expected);
        prop_assert!(ids.iter().all(|row| names.contains(&row[0])), "{:?} of {:?}", ids, names);
    }
}

#[tokio::test]
async fn a_query_that_is_over_holds_no_view() {
    let lake = lake();
    let views: Arc<parking_lot::Mutex<Vec<Weak<drover_history::View>>>> = Arc::default();
    let given = views.clone();
    let look = move || {
        let view = lake.view();
        given.lock().push(Arc::downgrade(&view));
        view
    };
    let engine = Engine::over(look, Settings { threads: 2, ..Settings::default() }).unwrap();
    for sql in ["SELECT id, count(*) FROM reports WHERE position <> 7 GROUP BY 1 ORDER BY 2", "SELECT * FROM reports"] {
        assert!(!ask_as(&engine, &Asker::default(), sql).await.unwrap().is_empty());
    }
    // An answer that is dropped half read lets go too.
    drop(engine.run("SELECT a.id FROM reports a, reports b", Asker::default(), Limits::default()).await.unwrap());
    let held = || views.lock().iter().filter(|view| view.strong_count() > 0).count();
    for _ in 0..500 {
        if held() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{} of {} views are still held", held(), views.lock().len());
}
