//! The functions beside the engine's own, on rows of history and on constants.

use crate::lake::{DAY, Lake, Sent, ask, engine};
use drover_model::{Kind, Reading};

fn bus(position: u64, minute: i64, latitude: f64, longitude: f64) -> Sent {
    let mut sent = Sent::new(position, Kind::Vehicle, "bus-1", DAY + minute * 60_000);
    (sent.latitude, sent.longitude, sent.speed) = (Some(latitude), Some(longitude), Some(30.0 + position as f64));
    sent.readings.push("doors", Reading::Number(2.0)).unwrap();
    sent.readings.push("driver", Reading::Text("Zoë \"Z\"")).unwrap();
    sent.readings.push("wet", Reading::Bool(true)).unwrap();
    sent
}

fn some_lake() -> Lake {
    let mut lake = Lake::new();
    lake.file(&[bus(1, 600, 41.15, -8.61), bus(2, 607, 41.16, -8.61), bus(3, 661, 41.30, -8.61)]);
    lake.tail(&[Sent::new(4, Kind::Vehicle, "bus-2", DAY + 700 * 60_000)]);
    lake
}

#[tokio::test]
async fn haversine_gives_metres_and_null_without_a_place() {
    let engine = engine(&some_lake());
    let rows =
        ask(&engine, "SELECT round(haversine_m(latitude, longitude, 41.15, -8.61)) FROM reports ORDER BY position")
            .await;
    assert_eq!(rows, [["0.0"], ["1112.0"], ["16679.0"], ["∅"]]);
    let rows = ask(&engine, "SELECT haversine_m(0, 0, 0, 180) / 1000 > 20015").await;
    assert_eq!(rows, [["true"]]);
}

#[tokio::test]
async fn places_are_found_in_polygons_of_both_notations() {
    let engine = engine(&some_lake());
    for area in [
        "POLYGON((-8.7 41.1, -8.5 41.1, -8.5 41.2, -8.7 41.2, -8.7 41.1))",
        "MULTIPOLYGON(((-8.7 41.1, -8.5 41.1, -8.5 41.155, -8.7 41.155)), ((-8.7 41.155, -8.5 41.155, -8.5 41.2, -8.7 41.2)))",
        r#"{"type":"Polygon","coordinates":[[[-8.7,41.1],[-8.5,41.1],[-8.5,41.2],[-8.7,41.2]]]}"#,
    ] {
        let sql = format!("SELECT position FROM reports WHERE in_polygon(latitude, longitude, '{area}') ORDER BY 1");
        assert_eq!(ask(&engine, &sql).await, [["1"], ["2"]], "{area}");
    }
    let area = "POLYGON((-8.7 41.1, -8.5 41.1, -8.5 41.2, -8.7 41.2))";
    let sql = format!("SELECT in_polygon(latitude, longitude, '{area}') FROM reports ORDER BY position");
    assert_eq!(ask(&engine, &sql).await, [["true"], ["true"], ["false"], ["∅"]]);
}

#[tokio::test]
async fn time_buckets_count_as_documented() {
    let engine = engine(&some_lake());
    let rows =
        ask(&engine, "SELECT time_bucket('15 minutes', event_time) AS t, count(*) FROM reports GROUP BY t ORDER BY t")
            .await;
    let expected = [["2026-05-28T10:00:00Z", "2"], ["2026-05-28T11:00:00Z", "1"], ["2026-05-28T11:30:00Z", "1"]];
    assert_eq!(rows, expected);
    for (width, start) in [
        ("'1 day'", "2026-05-28T00:00:00"),
        ("'1 week'", "2026-05-25T00:00:00"),
        ("INTERVAL '1 month'", "2026-05-01T00:00:00"),
        ("INTERVAL '1 year'", "2026-01-01T00:00:00"),
        ("INTERVAL '90 seconds'", "2026-05-28T10:10:30"),
    ] {
        let rows = ask(&engine, &format!("SELECT time_bucket({width}, '2026-05-28T10:11:12Z')")).await;
        assert_eq!(rows, [[start]], "{width}");
    }
}

#[tokio::test]
async fn readings_come_out_as_text_and_as_numbers() {
    let engine = engine(&some_lake());
    let sql = "SELECT reading(readings, 'doors'), reading_number(readings, 'doors'), reading(readings, 'driver'), \
        reading_number(readings, 'driver'), reading(readings, 'wet'), reading(readings, 'none') FROM reports ORDER BY position";
    let rows = ask(&engine, sql).await;
    assert_eq!(rows[0], ["2", "2.0", "Zoë \"Z\"", "∅", "true", "∅"]);
    assert_eq!(rows[3], ["∅"; 6]);
}

#[tokio::test]
async fn times_are_compared_with_texts() {
    let engine = engine(&some_lake());
    for (condition, rows) in [
        ("event_time >= '2026-05-28T10:07:00Z'", 3),
        ("event_time > '2026-05-28T12:07:00+02:00'", 2),
        ("event_time BETWEEN '2026-05-28 10:00:00' AND '2026-05-28 10:30:00'", 2),
        ("event_time < TIMESTAMP '2026-05-28T10:07:00'", 1),
        ("event_time >= '2026-05-28'", 4),
        ("event_time::DATE = '2026-05-28'", 4),
        ("date_trunc('hour', event_time) = '2026-05-28T10:00:00Z'", 2),
        ("event_time > now() - INTERVAL '100 years'", 4),
    ] {
        let found = ask(&engine, &format!("SELECT count(*) FROM reports WHERE {condition}")).await;
        assert_eq!(found, [[rows.to_string()]], "{condition}");
    }
}

#[tokio::test]
async fn date_trunc_in_utc_equals_the_calendar() {
    let mut lake = Lake::new();
    let times = [-1, 0, 1, 86_399_999, 86_400_000, 951_782_400_000, 1_779_963_072_123, 4_102_444_799_999];
    let sent: Vec<Sent> = (1..)
        .zip(times)
        .filter(|(_, time)| *time > 946_684_800_000 && *time < 1_900_000_000_000)
        .map(|(position, time)| Sent::new(position, Kind::Other, "x", time))
        .collect();
    lake.tail(&sent);
    let engine = engine(&lake);
    for unit in ["second", "minute", "hour", "day", "week", "month", "quarter", "year"] {
        let sql = format!(
            "SELECT count(*) FROM reports WHERE date_trunc('{unit}', event_time)::TIMESTAMP \
            <> date_trunc('{unit}', event_time::TIMESTAMP)"
        );
        assert_eq!(ask(&engine, &sql).await, [["0"]], "{unit}");
    }
    assert_eq!(
        ask(&engine, "SELECT date_trunc('hour', event_time) FROM reports ORDER BY 1 DESC LIMIT 1").await,
        [["2026-05-28T10:00:00Z"]]
    );
}

/// A bus that stands ten minutes, drives 4.4 km in ten minutes, and stands again.
fn drive() -> Lake {
    let mut lake = Lake::new();
    let at = |number: i64| {
        let moved = (number - 60).clamp(0, 60) as f64;
        let mut sent = Sent::new(number as u64 + 1, Kind::Vehicle, "bus-1", DAY + number * 10_000);
        (sent.latitude, sent.longitude) = (Some(41.15 + moved * 0.000_66), Some(-8.61));
        sent
    };
    let sent: Vec<Sent> = (0..=180).map(at).collect();
    lake.file(&sent[..100]);
    lake.tail(&sent[100..]);
    lake
}

#[tokio::test]
async fn trips_and_stops_are_tables() {
    let engine = engine(&drive());
    let day = "'vehicle', 'bus-1', '2026-05-28', '2026-05-29T00:00:00Z'";
    let rows = ask(
        &engine,
        &format!("SELECT round(distance_m), start_time < '2026-05-28T00:11:00Z', open_end FROM trips({day})"),
    )
    .await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let metres: f64 = row[0].parse().unwrap();
    assert!((4_000.0..=4_500.0).contains(&metres), "{metres}");
    assert_eq!(row[1..], ["true", "false"]);
    let rows =
        ask(&engine, &format!("SELECT round(latitude, 2), duration_s > 500 FROM stops({day}) ORDER BY start_time"))
            .await;
    assert_eq!(rows, [["41.15", "true"], ["41.19", "true"]]);
    let cut = "SELECT open_start, open_end FROM trips('vehicles', 'bus-1', TIMESTAMP '2026-05-28 00:12:00', '2026-05-28'::TIMESTAMP + INTERVAL '14 minutes')";
    assert_eq!(ask(&engine, cut).await, [["true", "true"]]);
    assert!(ask(&engine, "SELECT * FROM trips('driver', 'nobody', '2026-05-28', now())").await.is_empty());
}

#[tokio::test]
async fn trips_of_nonsense_say_what_is_wrong() {
    let engine = engine(&drive());
    for (call, part) in [
        ("trips('bus', 'bus-1', '2026-05-28', '2026-05-29')", "no kind"),
        ("trips('vehicle', 'bus-1')", "two times"),
        ("stops('vehicle', 'bus-1', 'soon', '2026-05-29')", "soon"),
    ] {
        let error =
            crate::lake::error(&engine, &format!("SELECT * FROM {call}"), drover_query::Limits::default()).await;
        assert!(error.to_string().contains(part), "{call}: {error}");
    }
}
