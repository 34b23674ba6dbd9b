//! The way of every change from the registry's outbox to the log's `changes` stream and to the audit: in order, each once,
//! the log first. What is in both may leave the outbox, but for the newest, which other systems read.
//!
//! Must always hold: a change leaves the outbox only after this node has it in the log and in the audit; where an older
//! copy of the audit has missed some, an entry says which; after an older copy of the registry, no change has a number that
//! one before it had.

use anyhow::Context;
use drover_auth::{Auth, PersonKind};
use drover_ledger::{Entry, Ledger, Outcome};
use drover_log::{Log, Position};
use drover_model::Kind;
use drover_registry::resources::{CUSTOMERS, DRIVERS, FLEETS, resource};
use drover_registry::{Change, Registry};
use serde_json::{Value, json};
use std::time::Duration;

/// Where the outbox's changes come from, in the audit.
const OUTBOX: &str = "registry";
/// How often the outbox is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// Changes taken from it at once.
pub const PAGE_CHANGES: u32 = 500;
/// Changes that usually stay in the outbox for `GET /api/v1/changes`.
pub const KEPT_CHANGES: u32 = 100_000;

/// Brings changes from the outbox to the log and to the audit.
#[derive(Clone)]
pub struct Follower {
    /// Whose outbox it is.
    pub registry: Registry,
    /// The audit.
    pub ledger: Ledger,
    /// The stream of changes.
    pub changes: Log,
    /// Where access by what is gone ends; without it nothing does.
    pub auth: Option<Auth>,
    /// So many of the newest changes stay in the outbox, and at most two pages more.
    pub kept_changes: u32,
}

impl Follower {
    /// Follows for ever; what fails is tried again.
    pub async fn run(self) {
        let mut failing = false;
        loop {
            match self.catch_up().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    tracing::warn!(error = format!("{error:#}"), "changes of the registry wait to be written down");
                    failing = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    }

    /// Takes everything that is there. The log first: the audit's last number says what is in both.
    ///
    /// # Errors
    /// The database, the log or the audit does not take it. Nothing is lost: the next call goes on.
    pub async fn catch_up(&self) -> anyhow::Result<()> {
        loop {
            let audited = self.ledger.last_origin(OUTBOX).await?.unwrap_or(0);
            // The database may have been put back to an older state under a running node.
            self.registry.continue_after(audited).await?;
            let forgotten = self.registry.forgotten_through().await?;
            if forgotten > audited {
                self.ledger.append(missed(audited, forgotten)).await?;
                continue;
            }
            let changes = self.registry.changes_since(audited, PAGE_CHANGES).await?;
            let Some(last) = changes.last().map(|change| change.seq) else { return Ok(()) };
            for change in &changes {
                self.end_access(change).await?;
            }
            self.to_log(&changes).await?;
            self.ledger.append_all(changes.into_iter().map(entry).collect()).await?;
            // Once a page of numbers, however few come at a time.
            let page = i64::from(PAGE_CHANGES);
            if audited / page != last / page {
                self.registry.trim_outbox(last - i64::from(self.kept_changes)).await?;
            }
        }
    }

    /// Ends what was made for an asset, a person or a fleet that is gone. The audit has the change afterwards: a crash in
    /// between does it once more, which changes nothing.
    async fn end_access(&self, change: &Change) -> anyhow::Result<()> {
        let Some(auth) = self.auth.as_ref().filter(|_| matches!(&*change.op, "remove" | "erase")) else {
            return Ok(());
        };
        if change.resource == FLEETS.name {
            return Ok(auth.forget_fleet(&change.id, change.time_ms).await?);
        }
        // An erasure ends the logins by itself, and for good: it must find them.
        if let Some(person) = person_of(change).filter(|_| change.op == "remove") {
            auth.forget_logins(person, &change.id, change.time_ms).await?;
        }
        match self.asset_of(change) {
            Some((kind, id)) => Ok(auth.forget_device(kind, &id, change.time_ms).await?),
            None => Ok(()),
        }
    }

    /// Whose tokens and certificates were for what is gone. An asset that still has a record of its own loses nothing with
    /// one of its devices.
    fn asset_of(&self, change: &Change) -> Option<(Kind, String)> {
        if let Some(kind) = resource(&change.resource)?.asset {
            return Some((kind, change.id.clone()));
        }
        let word = |name: &str| change.before.as_ref()?[name].as_str();
        let (kind, id) = (Kind::parse(word("asset_kind")?)?, word("asset_id")?);
        let is_gone = self.registry.directory().fleet_of(kind, id).is_none();
        is_gone.then(|| (kind, id.to_owned()))
    }

    /// Appends what the log does not have yet: a crash may have come between the log and the audit.
    async fn to_log(&self, changes: &[Change]) -> anyhow::Result<()> {
        let known = newest_in_log(&self.changes)?;
        let records = changes.iter().filter(|change| change.seq > known).map(record);
        let records: Vec<Vec<u8>> = records.collect();
        if records.is_empty() {
            return Ok(());
        }
        let position = self.changes.append_all(&records)?;
        Ok(self.changes.durable(position).await?)
    }
}

/// The newest change that the audit or the log has heard of: a registry that goes on after it gives no number twice.
pub async fn newest_heard(ledger: &Ledger, changes: &Log) -> anyhow::Result<i64> {
    let audited = ledger.last_origin(OUTBOX).await?.unwrap_or(0);
    Ok(audited.max(newest_in_log(changes)?))
}

/// The number of the last change in the log.
fn newest_in_log(changes: &Log) -> anyhow::Result<i64> {
    let end: Position = changes.durable_position();
    if end == 0 {
        return Ok(0);
    }
    let batches = changes.read(end, 1)?;
    let last = batches.iter().flat_map(|batch| batch.records()).last();
    let Some((_, record)) = last else { return Ok(0) };
    let record: Value = serde_json::from_slice(record).context("the last record of the changes")?;
    Ok(record["seq"].as_i64().unwrap_or(0))
}

/// Who users can be that a record is about.
fn person_of(change: &Change) -> Option<PersonKind> {
    match &*change.resource {
        name if name == CUSTOMERS.name => Some(PersonKind::Customer),
        name if name == DRIVERS.name => Some(PersonKind::Driver),
        _ => None,
    }
}

/// A change as the log keeps it: JSON.
fn record(change: &Change) -> Vec<u8> {
    let Change { seq, resource, id, op, version, time_ms, actor, fleet_id, after, .. } = change;
    json!({
        "seq": seq, "resource": resource, "id": id, "op": op, "version": version, "time_ms": time_ms,
        "actor": actor, "fleet_id": fleet_id, "record": after,
    })
    .to_string()
    .into_bytes()
}

fn entry(change: Change) -> Entry {
    let Change { seq, resource, id, op, time_ms, actor, fleet_id, before, after, address, .. } = change;
    let address = address.and_then(|address| address.parse().ok());
    let subject = format!("{resource}/{id}");
    let entry = Entry::new(actor, format!("{resource}.{op}"), subject);
    let (time_ms, origin) = (Some(time_ms), Some((OUTBOX, seq)));
    Entry { time_ms, fleet: fleet_id, address, before, after, origin, ..entry }
}

/// Changes that left the outbox before this node had them.
fn missed(audited: i64, forgotten: i64) -> Entry {
    tracing::warn!(from = audited + 1, to = forgotten, "changes left the outbox before this node followed");
    let after = Some(json!({"from": audited + 1, "to": forgotten}));
    let entry = Entry::new("drover", "registry.missed", "registry");
    Entry { after, outcome: Outcome::Failed, origin: Some((OUTBOX, forgotten)), ..entry }
}
