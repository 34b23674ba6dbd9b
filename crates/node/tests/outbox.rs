//! The outbox of the registry: nothing leaves it that is not in the log and in the audit, and it stays bounded.

use drover_access::{Caller, Directory};
use drover_database::Database;
use drover_ledger::{Filter, Ledger};
use drover_log::{Log, MemoryEngine, Settings};
use drover_node::outbox::{Follower, PAGE_CHANGES, newest_heard};
use drover_registry::outbox::{NewChange, write};
use drover_registry::resources::FLEETS;
use drover_registry::{Change, Registry};
use drover_vault::Vault;
use serde_json::json;
use std::path::Path;
use tempfile::TempDir;

/// So many changes are to stay.
const KEPT: u32 = 20;

struct House {
    registry: Registry,
    folder: TempDir,
}

impl House {
    async fn new() -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open_file(&folder.path().join("registry.db")).await.expect("a database");
        let vault = Vault::open(&folder.path().join("vault")).expect("a vault");
        let registry = Registry::open(database, vault, Directory::default()).await.expect("a registry");
        House { registry, folder }
    }

    async fn follower(&self, audit: &str) -> Follower {
        let ledger = Ledger::open(&self.folder.path().join(audit)).await.expect("a ledger");
        let changes = Log::open(MemoryEngine::new(64 << 20), Settings::default());
        Follower { registry: self.registry.clone(), ledger, changes, auth: None, kept_changes: KEPT }
    }

    /// Makes so many changes, in one transaction.
    async fn change(&self, count: u32) {
        let mut transaction = self.registry.database().begin().await.expect("a transaction");
        for at in 0..count {
            let id = format!("u-{at}");
            let change = NewChange { resource: "users", id: &id, op: "update", actor: "dev", ..NewChange::default() };
            write(&mut transaction, change).await.expect("written");
        }
        transaction.commit().await.expect("committed");
    }

    /// What is in the outbox.
    async fn there(&self) -> Vec<Change> {
        self.registry.changes_since(0, 1_000_000).await.expect("the outbox")
    }
}

/// How many entries about changes the audit has.
async fn audited(ledger: &Ledger) -> u64 {
    let mut count = 0;
    let mut cursor = None;
    loop {
        let filter = Filter { action: Some("users.update".into()), cursor, limit: 1_000, ..Filter::default() };
        let page = ledger.query(&filter).await.expect("the audit");
        count += page.entries.len() as u64;
        match page.next {
            Some(next) => cursor = Some(next),
            None => return count,
        }
    }
}

fn logged(log: &Log) -> u64 {
    log.durable_position()
}

#[tokio::test]
async fn the_outbox_stays_bounded_and_everything_is_in_the_log_and_in_the_audit_once() {
    let house = House::new().await;
    let follower = house.follower("audit.db").await;
    for many in [1, 7, 1_700, 600, 600] {
        house.change(many).await;
        follower.catch_up().await.expect("caught up");
        let there = house.there().await.len() as u32;
        assert!(there <= KEPT + 2 * PAGE_CHANGES, "{there} are left");
        assert!(there >= KEPT.min(many), "the newest stay: {there}");
    }
    assert_eq!((audited(&follower.ledger).await, logged(&follower.changes)), (2_908, 2_908));
    assert!(house.there().await.len() < 2_908, "some left");
    let newest = house.there().await.pop().expect("a change").seq;
    assert_eq!(newest, 2_908, "the newest is there");
    follower.catch_up().await.expect("nothing to do");
    assert_eq!((audited(&follower.ledger).await, logged(&follower.changes)), (2_908, 2_908));
}

#[tokio::test]
async fn what_the_audit_or_the_log_does_not_take_stays_in_the_outbox() {
    let house = House::new().await;
    house.change(1_200).await;
    let follower = house.follower("audit.db").await;
    follower.ledger.close().await;
    follower.catch_up().await.expect_err("the audit is closed");
    assert_eq!(house.there().await.len(), 1_200, "in the log, not in the audit: it stays");
    let follower = house.follower("audit.db").await;
    follower.changes.close();
    follower.catch_up().await.expect_err("the log is closed");
    assert_eq!((house.there().await.len(), audited(&follower.ledger).await), (1_200, 0), "the log goes first");
    follower.ledger.close().await;
    let follower = house.follower("audit.db").await;
    follower.catch_up().await.expect("caught up");
    assert_eq!((audited(&follower.ledger).await, logged(&follower.changes)), (1_200, 1_200));
    assert!(house.there().await.len() as u32 <= KEPT + 2 * PAGE_CHANGES);
}

#[tokio::test]
async fn what_left_the_outbox_before_a_node_followed_is_told_in_its_audit_once() {
    let house = House::new().await;
    let (here, there) = (house.follower("audit.db").await, house.follower("other.db").await);
    house.change(2_000).await;
    here.catch_up().await.expect("caught up");
    let first = house.there().await[0].seq;
    assert!(first > 1, "some left");
    for _ in 0..2 {
        there.catch_up().await.expect("caught up");
    }
    let filter = Filter { action: Some("registry.missed".into()), ..Filter::default() };
    let missed = there.ledger.query(&filter).await.expect("the audit").entries;
    let after = missed.first().and_then(|entry| entry.after.as_ref()).expect("told").get().to_owned();
    assert_eq!((missed.len(), after), (1, json!({"from": 1, "to": first - 1}).to_string()));
    assert_eq!(audited(&there.ledger).await, 2_000 - (first as u64 - 1));
    assert!(here.ledger.query(&filter).await.expect("the audit").entries.is_empty());
}

#[tokio::test]
async fn an_older_copy_of_the_registry_gives_no_number_twice_and_says_what_it_is() {
    let house = House::new().await;
    let follower = house.follower("audit.db").await;
    house.change(3).await;
    follower.catch_up().await.expect("caught up");
    let (file, copy) = (house.folder.path().join("registry.db"), house.folder.path().join("copy.db"));
    // Everything is in the file then.
    house.registry.database().compact().await.expect("written anew");
    std::fs::copy(&file, &copy).expect("copied");
    house.change(7).await;
    follower.catch_up().await.expect("caught up");
    assert_eq!((audited(&follower.ledger).await, logged(&follower.changes)), (10, 10));
    // The copy takes the place of the file, and the node starts again with it.
    let heard = newest_heard(&follower.ledger, &follower.changes).await.expect("known");
    assert_eq!(heard, 10);
    let database = Database::open_file(&copy).await.expect("a database");
    let vault = Vault::open(&house.folder.path().join("vault-of-the-copy")).expect("a vault");
    let registry = Registry::open_after(heard, database, vault, Directory::default()).await.expect("a registry");
    let house = House { registry: registry.clone(), ..house };
    let follower = Follower { registry, ..follower };
    house.change(4).await;
    for _ in 0..2 {
        follower.catch_up().await.expect("caught up");
    }
    assert_eq!(audited(&follower.ledger).await, 14, "each change is in the audit");
    assert_eq!(logged(&follower.changes), 15, "and in the log, beside the one that tells of it");
    let filter = Filter { action: Some("registry.set_back".into()), ..Filter::default() };
    let told = follower.ledger.query(&filter).await.expect("the audit").entries;
    let after = told[0].after.as_ref().expect("both numbers").get().to_owned();
    assert_eq!((told.len(), after), (1, json!({"newest": 3, "heard_of": 10}).to_string()));
}

#[tokio::test]
async fn the_audit_says_when_a_change_was_made_not_when_it_was_written_there() {
    let house = House::new().await;
    house.change(1).await;
    let made_ms = house.there().await[0].time_ms;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let follower = house.follower("audit.db").await;
    follower.catch_up().await.expect("caught up");
    let entries = follower.ledger.query(&Filter::default()).await.expect("the audit").entries;
    assert_eq!((entries.len(), entries[0].time_ms), (1, made_ms));
    assert!(follower.ledger.verify().await.expect("walked").sound);
}

#[tokio::test]
async fn a_change_is_in_the_log_as_the_outbox_has_it() {
    let house = House::new().await;
    let follower = house.follower("audit.db").await;
    let fleet = json!({"id": "north", "name": "North"}).as_object().expect("an object").clone();
    house.registry.create(&Caller::dev(), &FLEETS, fleet).await.expect("made");
    follower.catch_up().await.expect("caught up");
    let batches = follower.changes.read(1, 1).expect("read");
    let (_, record) = batches.iter().flat_map(|batch| batch.records()).next().expect("a record");
    let record: serde_json::Value = serde_json::from_slice(record).expect("JSON");
    assert_eq!((&record["op"], &record["record"]["name"]), (&json!("create"), &json!("North")));
    assert!(Path::new(house.folder.path()).join("audit.db").exists());
}
