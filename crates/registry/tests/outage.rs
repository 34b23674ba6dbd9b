//! A PostgreSQL that stands still, dies, and comes back.

mod support;

use drover_access::Caller;
use drover_answer::{Problem, ProblemKind};
use drover_model::Kind;
use drover_registry::resources::{FLEETS, VEHICLES};
use drover_registry::{Query, Registry};
use serde_json::json;
use std::time::{Duration, Instant};
use support::postgres::Postgres;
use support::{Place, object};

/// Every call says within this time that the database is away.
const PATIENCE: Duration = Duration::from_secs(7);

async fn everything_says_away_soon(registry: &Registry) {
    let dev = Caller::dev();
    let begun = Instant::now();
    let read = registry.get(&dev, &VEHICLES, "v-north").await.expect_err("away");
    assert!(read.away(), "{read:?}");
    let list = registry.list(&dev, &VEHICLES, &Query::default()).await.expect_err("away");
    assert!(list.away(), "{list:?}");
    let made = registry.create(&dev, &FLEETS, object(json!({"name": "lost"}))).await.expect_err("away");
    assert!(made.away(), "{made:?}");
    assert!(registry.changes_since(0, 10).await.expect_err("away").away());
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let problem = Problem::from(made);
    assert_eq!((problem.kind, problem.code.as_ref()), (ProblemKind::Unavailable, "registry_away"));
    assert_eq!(problem.retry_after_s, Some(5));
    // What is in memory needs no database.
    assert_eq!(registry.directory().fleet_of(Kind::Vehicle, "v-north").as_deref(), Some("north"));
    assert_eq!(registry.underway().len(), 2);
}

async fn it_works_again(registry: &Registry) {
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        match registry.get(&Caller::dev(), &VEHICLES, "v-north").await {
            Ok(_) => break,
            Err(error) if error.away() && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(100)).await
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    registry.create(&Caller::dev(), &FLEETS, object(json!({"name": "again"}))).await.expect("made");
    registry.look_at_changes().await.expect("followed");
    let fleets = registry.list(&Caller::dev(), &FLEETS, &Query::default()).await.expect("a page");
    assert!(fleets.records.iter().all(|fleet| fleet.fields["name"] != "lost"), "what was refused was not done");
}

#[tokio::test]
async fn calls_fail_soon_while_postgres_stands_still_or_is_dead_and_pass_once_it_is_back() {
    let mut server = tokio::task::spawn_blocking(Postgres::start).await.expect("a server");
    let url = server.new_database();
    let place = Place::open(url.clone(), tempfile::tempdir().expect("a folder"), None).await;
    place.two_fleets().await;
    server.freeze();
    everything_says_away_soon(&place.registry).await;
    server.thaw();
    it_works_again(&place.registry).await;
    server.kill();
    everything_says_away_soon(&place.registry).await;
    let begun = Instant::now();
    let opened = drover_database::Database::open(&url).await.expect_err("nobody is there");
    assert!(opened.away() && begun.elapsed() < PATIENCE, "{opened:?} after {:?}", begun.elapsed());
    server.start_again();
    it_works_again(&place.registry).await;
}
