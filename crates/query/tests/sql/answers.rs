//! Answers equal a walk over the same reports, whether they are in files of one schema or another or in no file yet,
//! and files that cannot matter are not opened.

use crate::lake::{DAY, Lake, MS_PER_DAY, Sent, ask, engine};
use drover_history::{ReadingColumn, ReadingType};
use drover_model::{Kind, Reading};
use drover_query::{Asker, Limits};
use proptest::prelude::*;
use std::collections::BTreeMap;

const HOUR: i64 = 3_600_000;

fn sent_strategy() -> impl Strategy<Value = (usize, usize, i64, Option<u32>, Option<usize>, Option<f64>)> {
    let speed = proptest::option::of(0_u32..15_000);
    let city = proptest::option::of(0_usize..3);
    let reading = proptest::option::of(-50.0..50.0);
    (0_usize..3, 0_usize..8, 0_i64..3 * MS_PER_DAY, speed, city, reading)
}

const KINDS: [Kind; 3] = [Kind::Driver, Kind::Vehicle, Kind::Station];
const IDS: [&str; 8] =
    ["1", "10", "2", "a", "bus-1", "bus-10", "a-much-longer-identifier-0001", "a-much-longer-identifier-0002"];
const CITIES: [&str; 3] = ["Lisboa", "Porto", "Évora"];

fn made(position: usize, of: &(usize, usize, i64, Option<u32>, Option<usize>, Option<f64>)) -> Sent {
    let (kind, id, time, speed, city, reading) = *of;
    let mut sent = Sent::new(position as u64 + 1, KINDS[kind], IDS[id], DAY + time);
    sent.speed = speed.map(|hundredths| f64::from(hundredths) / 100.0);
    sent.city = city.map(|city| CITIES[city]);
    if let Some(value) = reading {
        sent.readings.push("temperature", Reading::Number(value)).unwrap();
    }
    sent
}

/// Splits the reports into files of one day each, the later of them with a column more, and a tail.
fn lake_of(sent: &[Sent], files: usize, tail: usize) -> Lake {
    let mut lake = Lake::new();
    let (filed, rest) = sent.split_at(sent.len() - tail.min(sent.len()));
    for (number, part) in filed.chunks(filed.len().div_ceil(files).max(1)).enumerate() {
        if number == 1 {
            lake.add_columns(&[ReadingColumn { name: "temperature".into(), kind: ReadingType::Number }]);
        }
        let mut days: BTreeMap<i64, Vec<Sent>> = BTreeMap::new();
        for sent in part {
            days.entry(sent.event_time.div_euclid(MS_PER_DAY)).or_default().push(sent.clone());
        }
        days.values().for_each(|day| {
            lake.file(day);
        });
    }
    lake.tail(rest);
    lake
}

/// Speed as the table has it: hundredths of km/h.
fn hundredths(sent: &Sent) -> Option<i64> {
    sent.report().speed_kmh.map(|speed| (f64::from(speed) * 100.0).round() as i64)
}

type Sums = (usize, usize, i64, Option<i64>);

fn summed<K: Ord>(sent: &[Sent], key: impl Fn(&Sent) -> Option<K>) -> BTreeMap<K, Sums> {
    let mut groups: BTreeMap<K, Sums> = BTreeMap::new();
    for sent in sent {
        let Some(key) = key(sent) else { continue };
        let group = groups.entry(key).or_default();
        group.0 += 1;
        if let Some(speed) = hundredths(sent) {
            group.1 += 1;
            group.2 += speed;
            group.3 = group.3.max(Some(speed));
        }
    }
    groups
}

fn decimal(hundredths: i64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn shown(sums: &Sums) -> Vec<String> {
    let (rows, speeds, sum, max) = *sums;
    let sum = if speeds == 0 { "∅".to_owned() } else { decimal(sum) };
    vec![rows.to_string(), speeds.to_string(), sum, max.map_or("∅".to_owned(), decimal)]
}

const SUMS: &str = "count(*), count(speed_kmh), sum(speed_kmh), max(speed_kmh)";

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn groups_over_files_and_tail_equal_a_walk_over_the_reports(
        of in proptest::collection::vec(sent_strategy(), 1..300),
        files in 1_usize..6,
        tail in 0_usize..60,
        from in 0_i64..3 * MS_PER_DAY,
        width in 1_i64..2 * MS_PER_DAY,
    ) {
        let sent: Vec<Sent> = of.iter().enumerate().map(|(at, of)| made(at, of)).collect();
        let lake = lake_of(&sent, files, tail);
        let engine = engine(&lake);
        let (from, to) = (DAY + from, DAY + from + width);
        let within = |sent: &Sent| (from..to).contains(&sent.event_time);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();

        let time = |ms: i64| { let mut text = String::new(); drover_model::format_time(ms, &mut text); text };
        let range = format!("event_time >= '{}' AND event_time < '{}'", time(from), time(to));
        let sql = format!("SELECT kind, id, extract(epoch FROM date_trunc('hour', event_time))::BIGINT AS h, {SUMS} \
            FROM reports WHERE {range} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3");
        let expected: Vec<Vec<String>> = summed(&sent, |sent| within(sent).then(|| {
            (sent.kind.name(), sent.id.clone(), sent.event_time.div_euclid(HOUR) * 3600)
        })).iter().map(|((kind, id, hour), sums)| {
            [vec![kind.to_string(), id.clone(), hour.to_string()], shown(sums)].concat()
        }).collect();
        prop_assert_eq!(runtime.block_on(ask(&engine, &sql)), expected);

        let sql = format!("SELECT city, {SUMS} FROM reports WHERE kind = 'vehicle' AND id >= '2' GROUP BY 1 ORDER BY 1 NULLS FIRST");
        let expected: Vec<Vec<String>> = summed(&sent, |sent| {
            (sent.kind == Kind::Vehicle && sent.id.as_str() >= "2").then_some(sent.city)
        }).iter().map(|(city, sums)| [vec![city.unwrap_or("∅").to_owned()], shown(sums)].concat()).collect();
        prop_assert_eq!(runtime.block_on(ask(&engine, &sql)), expected);

        let sql = format!("SELECT position FROM reports WHERE speed_kmh > 60 AND {range} ORDER BY position");
        let expected: Vec<Vec<String>> = sent.iter()
            .filter(|sent| within(sent) && hundredths(sent).is_some_and(|speed| speed > 6000))
            .map(|sent| vec![sent.position.to_string()]).collect();
        prop_assert_eq!(runtime.block_on(ask(&engine, &sql)), expected);

        let sql = "SELECT position FROM reports ORDER BY kind, id, event_time, position";
        let mut sorted = sent.clone();
        sorted.sort_by_key(|sent| (sent.kind.name(), sent.id.clone(), sent.event_time, sent.position));
        let expected: Vec<Vec<String>> = sorted.iter().map(|sent| vec![sent.position.to_string()]).collect();
        prop_assert_eq!(runtime.block_on(ask(&engine, sql)), expected);
    }
}

#[tokio::test]
async fn a_column_that_was_added_later_is_null_in_older_files() {
    let mut lake = Lake::new();
    let reading = |position, value| {
        let mut sent = Sent::new(position, Kind::Vehicle, "bus-1", DAY + position as i64);
        sent.readings.push("soc_pct", Reading::Number(value)).unwrap();
        sent
    };
    lake.file(&[reading(1, 80.0), reading(2, 79.5)]);
    lake.add_columns(&[ReadingColumn { name: "soc_pct".into(), kind: ReadingType::Number }]);
    lake.file(&[reading(3, 79.0)]);
    lake.tail(&[reading(4, 78.5)]);
    let rows =
        ask(&engine(&lake), "SELECT position, soc_pct, reading_number(readings, 'soc_pct') FROM reports ORDER BY 1")
            .await;
    assert_eq!(rows, [["1", "∅", "80.0"], ["2", "∅", "79.5"], ["3", "79.0", "79.0"], ["4", "78.5", "78.5"]]);
    let rows = ask(&engine(&lake), "SELECT position FROM reports WHERE soc_pct < 79.5 ORDER BY 1").await;
    assert_eq!(rows, [["3"], ["4"]]);
    let rows = ask(&engine(&lake), "SELECT count(*) FROM reports WHERE soc_pct IS NULL").await;
    assert_eq!(rows, [["2"]]);
}

#[tokio::test]
async fn files_that_cannot_matter_are_not_opened() {
    let mut lake = Lake::new();
    let hourly = |day: i64, id: &'static str, first: u64| -> Vec<Sent> {
        (0..24)
            .map(|hour| Sent::new(first + hour, Kind::Driver, id, DAY + day * MS_PER_DAY + hour as i64 * HOUR))
            .collect()
    };
    for (day, first) in (0_i64..5).zip((1_u64..).step_by(48)) {
        lake.file(&hourly(day, "a", first));
        lake.file(&hourly(day, "b", first + 24));
    }
    let engine = engine(&lake);
    for (condition, files, rows) in [
        ("event_time >= '2026-05-29' AND event_time < '2026-05-30'", 2, "48"),
        ("event_time >= TIMESTAMP '2026-05-29 12:00:00' AND event_time < '2026-05-29T18:00:00Z'", 2, "12"),
        ("id = 'b'", 5, "120"),
        ("id IN ('b', 'x') AND event_time < '2026-05-28T01:00:00+00:00'", 1, "1"),
        ("kind = 'vehicle'", 0, "0"),
        ("position > 239", 1, "1"),
        ("id > 'b'", 0, "0"),
        ("id = 'a' OR position <= 48", 6, "144"),
        ("city IS NULL", 10, "240"),
    ] {
        let mut answer = engine
            .run(
                &format!("SELECT count(city), count(*) FROM reports WHERE {condition}"),
                Asker::default(),
                Limits::default(),
            )
            .await
            .unwrap();
        let counted = crate::lake::texts(&answer.collect().await.unwrap());
        assert_eq!(counted[0][1], rows, "{condition}");
        assert_eq!((answer.progress().files_total, answer.progress().files_selected), (10, files), "{condition}");
    }
}

#[tokio::test]
async fn a_report_is_visible_before_it_is_in_a_file() {
    let mut lake = Lake::new();
    lake.tail(&[Sent::new(1, Kind::Driver, "d-1", DAY)]);
    assert_eq!(ask(&engine(&lake), "SELECT id FROM main.reports").await, [["d-1"]]);
}

#[tokio::test]
async fn nothing_is_an_answer_too() {
    let engine = engine(&Lake::new());
    assert_eq!(ask(&engine, "SELECT count(*), max(event_time) FROM reports").await, [["0", "∅"]]);
    assert!(ask(&engine, "SELECT * FROM reports").await.is_empty());
    assert!(ask(&engine, "SELECT id, avg(speed_kmh) FROM reports GROUP BY 1").await.is_empty());
}

#[tokio::test]
async fn a_whole_files_time_range_is_not_checked_row_by_row() {
    let mut lake = Lake::new();
    let hours: Vec<Sent> =
        (0..24).map(|hour| Sent::new(hour + 1, Kind::Driver, "a", DAY + hour as i64 * HOUR)).collect();
    lake.file(&hours);
    let engine = engine(&lake);
    let plan = |condition: &str| format!("EXPLAIN SELECT id FROM reports WHERE {condition}");
    let whole = ask(&engine, &plan("event_time >= '2026-05-28' AND event_time < '2026-05-29'")).await;
    assert!(!whole[1][1].contains("predicate="), "{}", whole[1][1]);
    let part = ask(&engine, &plan("event_time >= '2026-05-28' AND event_time < '2026-05-28T23:00:00Z'")).await;
    assert!(part[1][1].contains("predicate=event_time@2 <"), "{}", part[1][1]);
}

#[tokio::test]
async fn grouping_reads_runs_when_rows_come_sorted() {
    let mut lake = Lake::new();
    let hours: Vec<Sent> =
        (0..24).map(|hour| Sent::new(hour + 1, Kind::Driver, "a", DAY + hour as i64 * HOUR)).collect();
    lake.file(&hours);
    lake.tail(&[Sent::new(25, Kind::Driver, "b", DAY)]);
    let engine = engine(&lake);
    let plan = ask(&engine, "EXPLAIN SELECT id, avg(speed_kmh) FROM reports GROUP BY id").await;
    assert!(plan[1][1].contains("RunsExec"), "{}", plan[1][1]);
    let plan =
        ask(&engine, "EXPLAIN SELECT id, array_agg(speed_kmh ORDER BY event_time) FROM reports GROUP BY id").await;
    assert!(!plan[1][1].contains("RunsExec"), "{}", plan[1][1]);
}
