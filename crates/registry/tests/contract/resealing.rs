//! Sealing anew after a new data key: everything, nothing else, and never over somebody's change.

use crate::support::{Place, object};
use drover_access::Caller;
use drover_registry::reseal::{SealedTable, Step, barrier, count, step, tables};
use drover_registry::resources::{CUSTOMERS, DELIVERIES, DRIVERS, FLEETS};
use drover_registry::{RESOURCES, Transition};
use drover_vault::Vault;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// All rows of the tables with sealed columns, but these columns themselves; and all sealed texts.
async fn everything(place: &Place) -> (Vec<String>, Vec<String>) {
    let (mut others, mut sealed) = (Vec::new(), Vec::new());
    for table in tables() {
        let sql = format!("SELECT * FROM {} ORDER BY id", table.table);
        for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(place.database.pool()).await.expect("rows") {
            for column in row.columns() {
                use sqlx::Column;
                let at = column.ordinal();
                let text = row.try_get::<Option<String>, _>(at).ok().flatten();
                let number = row.try_get::<Option<i64>, _>(at).ok().flatten();
                match (table.columns.iter().any(|known| known.name == column.name()), text) {
                    (true, Some(text)) => sealed.push(text),
                    (_, text) => others.push(format!("{}.{} {text:?} {number:?}", table.table, column.name())),
                }
            }
        }
    }
    (others, sealed)
}

async fn all_tables(place: &Place) -> Step {
    let mut all = Step::default();
    for table in tables() {
        add(&mut all, whole(place, &table).await);
    }
    all
}

async fn whole(place: &Place, table: &SealedTable) -> Step {
    let (mut all, mut after) = (Step::default(), None);
    loop {
        let done = step(&place.database, &place.vault, table, after.as_deref()).await.expect("a step");
        after = done.next.clone();
        add(&mut all, done);
        if after.is_none() {
            return all;
        }
    }
}

fn add(all: &mut Step, one: Step) {
    all.looked_at += one.looked_at;
    all.resealed += one.resealed;
    all.passed_over += one.passed_over;
    all.unreadable += one.unreadable;
    for (key, texts) in one.texts {
        *all.texts.entry(key).or_default() += texts;
    }
}

/// Two fleets, and an event with something kept: every table with sealed columns has rows.
async fn a_world(place: &Place) {
    place.two_fleets().await;
    let data = Some(object(json!({"proof": "signed"})));
    let moved = Transition { to: "assigned".into(), driver_id: Some("d-north".into()), data, ..Transition::default() };
    place.registry.transition(&Caller::dev(), "del-north", &moved, None).await.expect("moved");
}

pub async fn every_sealed_text_is_sealed_anew_and_nothing_else_changes(place: Place) {
    a_world(&place).await;
    let known: usize = RESOURCES.iter().flat_map(|resource| resource.fields).filter(|field| field.is_sealed()).count();
    assert_eq!(tables().iter().map(|table| table.columns.len()).sum::<usize>(), known + 1, "and the events'");
    let first = all_tables(&place).await;
    assert_eq!((first.resealed, first.texts.keys().copied().collect::<Vec<_>>()), (0, vec![1]), "nothing to be done");
    let (others, before) = everything(&place).await;
    let changes = place.registry.changes_since(0, 1000).await.expect("changes").len();

    place.vault.rotate().expect("a new key");
    assert_eq!(barrier(&place.database, &place.vault).await.expect("a barrier"), 2);
    let done = all_tables(&place).await;
    // Two drivers, two customers, two deliveries, one event.
    assert_eq!((done.resealed, done.passed_over, done.unreadable), (7, 0, 0), "{done:?}");
    assert_eq!(done.texts, BTreeMap::from([(2, before.len() as u64)]));
    let (same, after) = everything(&place).await;
    assert_eq!(same, others, "versions, times, indexes and all else");
    assert_eq!(after.len(), before.len());
    assert!(after.iter().all(|text| Vault::key_of(text) == Some(2)), "{after:?}");
    assert_eq!(place.registry.changes_since(0, 1000).await.expect("changes").len(), changes, "no row of the outbox");
    assert_eq!(all_tables(&place).await.resealed, 0, "once is enough");

    assert_eq!(place.vault.retire(&[1]).expect("retired"), [1]);
    let registry = place.another_node().await;
    let driver = registry.get(&Caller::dev(), &DRIVERS, "d-south").await.expect("read");
    assert_eq!((driver.fields["name"].as_str(), driver.version), (Some("Dana-south"), 1));
    let customer = registry.find_by(&Caller::dev(), &CUSTOMERS, "email", "north@example.com").await.expect("found");
    assert_eq!(customer.id, "c-north");
    let delivery = registry.get(&Caller::dev(), &DELIVERIES, "del-north").await.expect("read");
    assert_eq!(delivery.fields["dropoff_address"], "Hauptstr. 1");
    let events = registry.events_of(&Caller::dev(), "del-north").await.expect("events");
    assert_eq!(events[1].data, Some(json!({"proof": "signed"})));
}

pub async fn what_somebody_changes_meanwhile_is_not_overwritten(place: Place) {
    place.make(&FLEETS, json!({"id": "f", "name": "F"})).await;
    for at in 0..40 {
        place.make(&DRIVERS, json!({"id": format!("d-{at:02}"), "name": "before", "fleet_id": "f"})).await;
    }
    let drivers = tables().into_iter().find(|table| table.table == "drivers").expect("drivers");
    let stop = Arc::new(AtomicBool::new(false));
    let (registry, stopped) = (place.registry.clone(), stop.clone());
    let writer = tokio::spawn(async move {
        let mut written = 0;
        while !stopped.load(Ordering::Relaxed) {
            let id = format!("d-{:02}", written % 40);
            let name = object(json!({"name": format!("name {written}")}));
            registry.update(&Caller::dev(), &DRIVERS, &id, name, None).await.expect("written");
            written += 1;
        }
        written
    });
    let mut passed_over = 0;
    for round in 0..60 {
        place.vault.rotate().expect("a new key");
        let done = whole(&place, &drivers).await;
        assert_eq!(done.unreadable, 0, "round {round}");
        passed_over += done.passed_over;
    }
    stop.store(true, Ordering::Relaxed);
    let written: usize = writer.await.expect("the writer");
    assert!(written > 40, "{written} changes, {passed_over} passed over");
    for at in 0..40 {
        let last = (0..written).rev().find(|change| change % 40 == at).expect("changed once");
        let driver = place.registry.get(&Caller::dev(), &DRIVERS, &format!("d-{at:02}")).await.expect("read");
        assert_eq!(driver.fields["name"], format!("name {last}"), "the last change of d-{at:02} stands");
    }
    let end = whole(&place, &drivers).await;
    assert_eq!((end.passed_over, end.texts.len()), (0, 1), "{end:?}");
}

pub async fn what_cannot_be_opened_stays_and_what_is_the_erased_ones_goes(place: Place) {
    a_world(&place).await;
    let pool = place.database.pool();
    let foreign = "v1.1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let put = sqlx::query("UPDATE drivers SET name = $1 WHERE id = 'd-north'").bind(foreign);
    put.execute(pool).await.expect("put there");
    // As after a restored older database: the vault knows better.
    place.vault.erase("customers/c-north").expect("erased");
    place.vault.rotate().expect("a new key");
    let done = all_tables(&place).await;
    assert_eq!((done.unreadable, done.texts.get(&1)), (1, Some(&1)), "{done:?}");
    let kept: String =
        sqlx::query("SELECT name FROM drivers WHERE id = 'd-north'").fetch_one(pool).await.expect("").get(0);
    assert_eq!(kept, foreign);
    for (column, table, id) in [
        ("name", "customers", "c-north"),
        ("email", "customers", "c-north"),
        ("email_blind", "customers", "c-north"),
        ("dropoff_address", "deliveries", "del-north"),
    ] {
        let sql = AssertSqlSafe(format!("SELECT {column} FROM {table} WHERE id = '{id}'"));
        let kept: Option<String> = sqlx::query(sql).fetch_one(pool).await.expect("a row").get(0);
        assert_eq!(kept, None, "{table}.{column}");
    }
    let events = place.registry.events_of(&Caller::dev(), "del-north").await.expect("events");
    assert_eq!((events.len(), &events[1].data), (2, &None));
    let other = place.registry.get(&Caller::dev(), &CUSTOMERS, "c-south").await.expect("read");
    assert_eq!((other.fields["name"].as_str(), other.version), (Some("Cleo-south"), 1));
}

pub async fn an_event_changes_by_resealing_only(place: Place) {
    a_world(&place).await;
    for sql in [
        "UPDATE delivery_events SET actor = 'nobody'",
        "UPDATE delivery_events SET data = '{\"in\": \"the clear\"}' WHERE data IS NOT NULL",
        "UPDATE delivery_events SET data = 'v1.1.AAAA' WHERE data IS NULL",
        "DELETE FROM delivery_events",
    ] {
        let error = sqlx::query(sql).execute(place.database.pool()).await.expect_err(sql);
        assert!(error.to_string().contains("the history of a delivery is kept"), "{sql}: {error}");
    }
}

pub async fn large_tables_are_sealed_anew_in_steps_that_leave_nothing_out(place: Place) {
    const ROWS: u64 = 2_345;
    place.make(&FLEETS, json!({"id": "f", "name": "F"})).await;
    let mut transaction = place.database.begin().await.expect("a transaction");
    for at in 0..ROWS {
        let id = format!("d-{at}");
        let name = place.vault.seal(&format!("drivers/{id}"), "drivers.name", &id).expect("sealed");
        sqlx::query(
            "INSERT INTO drivers (id, version, created_at, updated_at, name, fleet_id) VALUES ($1, 1, 5, 5, $2, 'f')",
        )
        .bind(&id)
        .bind(name)
        .execute(&mut *transaction)
        .await
        .expect("a row");
    }
    transaction.commit().await.expect("rows");
    let drivers = tables().into_iter().find(|table| table.table == "drivers").expect("drivers");
    assert_eq!(count(&place.database, &drivers).await.expect("a count"), ROWS);
    place.vault.rotate().expect("a new key");
    // Begun, and given up in the middle.
    let begun = step(&place.database, &place.vault, &drivers, None).await.expect("a step");
    assert!(begun.next.is_some() && begun.resealed > 0 && begun.resealed < ROWS, "{begun:?}");
    let rest = whole(&place, &drivers).await;
    assert_eq!((rest.looked_at, rest.resealed), (ROWS, ROWS - begun.resealed), "only the rest was to be done");
    assert_eq!(rest.texts, BTreeMap::from([(2, ROWS)]));
}
