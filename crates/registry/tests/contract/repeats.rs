//! Requests that come again by the word that their caller gave them.

use crate::support::{Place, dispatcher, object};
use drover_access::{Caller, Directory};
use drover_database::Database;
use drover_registry::resources::{CUSTOMERS, FLEETS, VEHICLES};
use drover_registry::{Error, Made, Registry, Repeatable};
use serde_json::{Value, json};
use sqlx::Row;

const NORTH: &str = r#"{"name":"North"}"#;

async fn ask(registry: &Registry, caller: &Caller, word: &str, body: &str) -> Result<Made, Error> {
    let fields: Value = serde_json::from_str(body).expect("JSON");
    let request = Repeatable { word, body: body.as_bytes() };
    registry.create_once(caller, &FLEETS, object(fields), request).await
}

async fn count(place: &Place, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(place.database.pool()).await.expect("a count").get(0)
}

async fn fleets(place: &Place) -> i64 {
    count(place, "SELECT count(*) FROM fleets").await
}

pub async fn a_request_that_comes_again_makes_nothing_twice(place: Place) {
    let dev = Caller::dev();
    let Made::Now(first) = ask(&place.registry, &dev, "w", NORTH).await.expect("made") else { panic!("the first") };
    let again = ask(&place.registry, &dev, "w", NORTH).await.expect("known");
    assert_eq!(again, Made::Before(first.clone()));
    let on_another = ask(&place.another_node().await, &dev, "w", NORTH).await.expect("known there too");
    assert_eq!(on_another, Made::Before(first.clone()));
    // After a restart: nothing of the process that made it is left.
    let database = Database::open(&place.url).await.expect("opens");
    place.database.close().await;
    let restarted = Registry::open(database.clone(), place.vault.clone(), Directory::default()).await.expect("opens");
    assert_eq!(ask(&restarted, &dev, "w", NORTH).await.expect("known still"), Made::Before(first));
    let rows = sqlx::query("SELECT count(*) FROM fleets").fetch_one(database.pool()).await.expect("a count");
    assert_eq!(rows.get::<i64, _>(0), 1);
}

pub async fn a_word_is_its_callers_and_its_resources_and_stands_for_one_body(place: Place) {
    let dev = Caller::dev();
    ask(&place.registry, &dev, "w", NORTH).await.expect("made");
    for other in [r#"{"name":"north"}"#, r#"{"name":"North" }"#, r#"{"name":"South"}"#] {
        let refused = ask(&place.registry, &dev, "w", other).await;
        assert!(matches!(refused, Err(Error::WordReused)), "{other}: {refused:?}");
    }
    let plate = r#"{"registration_number":"P-1","fleet_id":"north"}"#;
    place.make(&FLEETS, json!({"id": "north", "name": "n"})).await;
    for caller in [dev.clone(), dispatcher(&["north"])] {
        let plate = plate.replace("P-1", &caller.subject.replace('/', "-"));
        let request = Repeatable { word: "w", body: plate.as_bytes() };
        let fields = object(serde_json::from_str(&plate).expect("JSON"));
        let made = place.registry.create_once(&caller, &VEHICLES, fields, request).await.expect("made");
        assert!(matches!(made, Made::Now(_)), "{}", caller.subject);
    }
}

pub async fn a_request_that_failed_leaves_its_word_free(place: Place) {
    let dev = Caller::dev();
    let refused = ask(&place.registry, &dev, "w", r#"{"name":""}"#).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    place.make(&FLEETS, json!({"id": "f", "name": "f"})).await;
    let taken = ask(&place.registry, &dev, "w", r#"{"id":"f","name":"g"}"#).await;
    assert!(matches!(taken, Err(Error::Conflict { code: "already_exists", .. })), "{taken:?}");
    assert!(matches!(ask(&place.registry, &dev, "w", NORTH).await, Ok(Made::Now(_))));
}

pub async fn of_two_that_come_at_once_one_makes_it(place: Place) {
    let (dev, other) = (Caller::dev(), place.another_node().await);
    let nodes = [&place.registry, &other, &place.registry, &other];
    let made = futures_util::future::join_all(nodes.map(|node| ask(node, &dev, "w", NORTH))).await;
    let made: Vec<Made> = made.into_iter().map(|made| made.expect("an answer")).collect();
    assert_eq!(made.iter().filter(|made| matches!(made, Made::Now(_))).count(), 1);
    let ids: std::collections::HashSet<_> = made.into_iter().map(|made| made.into_record().id).collect();
    assert_eq!((ids.len(), fleets(&place).await), (1, 1));
}

pub async fn a_repetition_shows_the_record_as_it_is_and_not_one_that_is_gone(place: Place) {
    let dev = Caller::dev();
    let made = ask(&place.registry, &dev, "w", r#"{"id":"f","name":"North"}"#).await.expect("made").into_record();
    place.registry.update(&dev, &FLEETS, "f", object(json!({"name": "Nord"})), None).await.expect("changed");
    let again = ask(&place.registry, &dev, "w", r#"{"id":"f","name":"North"}"#).await.expect("known");
    assert!(matches!(&again, Made::Before(record) if record.version == made.version + 1));
    place.registry.remove(&dev, &FLEETS, "f", None).await.expect("removed");
    for _ in 0..2 {
        let gone = ask(&place.registry, &dev, "w", r#"{"id":"f","name":"North"}"#).await;
        assert!(matches!(gone, Err(Error::Conflict { code: "idempotency_key_spent", .. })), "{gone:?}");
        // Another one of that id is not what the request made.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let _there = place.try_make(&dev, &FLEETS, json!({"id": "f", "name": "Other"})).await;
    }
}

pub async fn words_are_forgotten_after_a_day_and_beyond_ten_thousand_of_a_caller(place: Place) {
    const DAY_MS: i64 = 24 * 3_600_000;
    let dev = Caller::dev();
    ask(&place.registry, &dev, "w", NORTH).await.expect("made");
    let age = async |ms: i64| {
        let sql = "UPDATE idempotency_keys SET made_at = made_at - $1";
        sqlx::query(sql).bind(ms).execute(place.database.pool()).await.expect("older");
    };
    // A minute is left.
    age(DAY_MS - 60_000).await;
    let known = ask(&place.registry, &dev, "w", NORTH).await;
    // It does not know the record of that time, but it knows the word.
    assert!(matches!(known, Err(Error::Conflict { code: "idempotency_key_spent", .. })), "{known:?}");
    age(60_001).await;
    assert!(matches!(ask(&place.registry, &dev, "w", NORTH).await, Ok(Made::Now(_))));
    assert_eq!((fleets(&place).await, count(&place, "SELECT count(*) FROM idempotency_keys").await), (2, 1));
    // As if ten thousand had come since.
    let sql = "UPDATE idempotency_keys SET number = number + 9998";
    sqlx::query(sql).execute(place.database.pool()).await.expect("a higher number");
    let first = "UPDATE idempotency_keys SET number = 1 WHERE word = 'w'";
    ask(&place.registry, &dev, "v", NORTH).await.expect("made");
    sqlx::query(first).execute(place.database.pool()).await.expect("the oldest");
    assert!(matches!(ask(&place.registry, &dev, "w", NORTH).await, Ok(Made::Before(_))), "among the newest still");
    ask(&place.registry, &dev, "x", NORTH).await.expect("made");
    assert!(matches!(ask(&place.registry, &dev, "w", NORTH).await, Ok(Made::Now(_))), "it made room");
    assert!(matches!(ask(&place.registry, &dev, "v", NORTH).await, Ok(Made::Before(_))));
}

pub async fn what_is_remembered_of_a_request_holds_nothing_of_a_person(place: Place) {
    let body = r#"{"id":"c-1","name":"Grace Hopper","email":"grace@example.com"}"#;
    let request = Repeatable { word: "w", body: body.as_bytes() };
    let fields = object(serde_json::from_str(body).expect("JSON"));
    place.registry.create_once(&Caller::dev(), &CUSTOMERS, fields, request).await.expect("made");
    let sql = "SELECT subject || resource || word || fingerprint || record_id FROM idempotency_keys";
    let row: String = sqlx::query(sql).fetch_one(place.database.pool()).await.expect("a row").get(0);
    assert!(row.contains("c-1") && !row.contains("Grace") && !row.contains("grace"), "{row}");
}
