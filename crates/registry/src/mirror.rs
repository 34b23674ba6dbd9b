//! What of the registry is in memory: the fleets of assets, deliveries under way. Told by each commit of this process,
//! and by the outbox of what others commit; a change that was already heard of, or is older, does nothing.

use crate::Shared;
use crate::deliveries::is_end;
use crate::error::Error;
use crate::outbox;
use crate::resources::{DELIVERIES, DEVICES, DRIVERS, STATIONS, VEHICLES, resource as resource_named};
use crate::rows::{Row, Sql, select};
use crate::schema::Resource;
use crate::underway::{OUT, Passage, Underway};
use drover_access::Directory;
use drover_database::Transaction;
use drover_model::Kind;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use sqlx::Row as _;
use std::sync::Arc;

/// What is mirrored.
const MIRRORED: [&Resource; 5] = [&VEHICLES, &DRIVERS, &STATIONS, &DEVICES, &DELIVERIES];
/// Changes read at once.
const BATCH: u32 = 1000;
/// Numbers of so many of the newest changes are kept: a commit of this process may be told of a little late.
const NUMBERS_KEPT: i64 = 65_536;

pub(crate) struct Mirror {
    directory: Directory,
    underway: Underway,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Everything up to this change was heard of.
    cursor: i64,
    /// What is here was filled from tables that had everything up to this change.
    filled: i64,
    /// The newest change heard of each record, for changes that may still be told of twice.
    newest: HashMap<(Box<str>, Box<str>), i64>,
    /// Assets that the directory has from here.
    placed: HashSet<(Kind, Box<str>)>,
    /// What devices report for, where the registry has no record of it.
    devices: HashMap<Box<str>, Reported>,
    /// The version of each delivery under way: one that skips a number tells that a change was missed.
    versions: HashMap<Box<str>, i64>,
}

/// What a record is after a change, or that it is gone.
pub(crate) struct Heard<'a> {
    pub(crate) seq: i64,
    pub(crate) resource: &'a str,
    pub(crate) id: &'a str,
    /// The record's version after it.
    pub(crate) version: i64,
    /// When, ms UTC.
    pub(crate) time_ms: i64,
    pub(crate) after: Option<&'a Value>,
}

/// A row of a mirrored table.
struct Filled {
    resource: &'static Resource,
    id: String,
    version: i64,
    after: Value,
    /// Of a delivery that is out: since when.
    out_since: Option<i64>,
}

#[derive(Clone, PartialEq)]
struct Reported {
    kind: Kind,
    asset: Box<str>,
    fleet: Option<Box<str>>,
}

impl Mirror {
    pub(crate) fn new(directory: Directory) -> Mirror {
        Mirror { directory, underway: Underway::default(), known: Mutex::default() }
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn underway(&self) -> &Underway {
        &self.underway
    }

    /// Hears of a change.
    pub(crate) fn apply(&self, change: &Heard<'_>) {
        let named = resource_named(change.resource).filter(|resource| MIRRORED.contains(resource));
        let Some(resource) = named else { return };
        let mut known = self.known.lock();
        if change.seq <= known.filled {
            return;
        }
        let newest = known.newest.entry((resource.name.into(), change.id.into())).or_insert(i64::MIN);
        if *newest >= change.seq {
            return;
        }
        *newest = change.seq;
        let after = change.after.and_then(Value::as_object);
        if *resource == DELIVERIES {
            let out_since = self.out_since(&known, change);
            return self.put_delivery(&mut known, change.id, change.version, after, out_since);
        }
        self.put(&mut known, resource, change.id, after);
    }

    fn put(&self, known: &mut Known, resource: &Resource, id: &str, after: Option<&Map<String, Value>>) {
        match resource.asset {
            Some(kind) => self.place(known, kind, id, after.and_then(|after| text(after, "fleet_id"))),
            None => self.put_device(known, id, after),
        }
    }

    /// `out_since` is of one that is out.
    fn put_delivery(
        &self,
        known: &mut Known,
        id: &str,
        version: i64,
        after: Option<&Map<String, Value>>,
        out_since: Option<i64>,
    ) {
        let status = after.and_then(|after| text(after, "status"));
        let passage = after.filter(|_| !status.is_none_or(is_end)).map(|after| passage(id, after));
        match &passage {
            Some(_) => known.versions.insert(id.into(), version),
            None => known.versions.remove(id),
        };
        let passage = passage.map(|passage| Passage { out_since: out_since.filter(|_| passage.is_out()), ..passage });
        self.underway.put(id, passage, status);
    }

    /// Since when a delivery is out, if it is out after this change. It may have come back and gone out again in changes
    /// that were not heard of, another node's: then since this change, and never earlier.
    fn out_since(&self, known: &Known, change: &Heard<'_>) -> Option<i64> {
        let follows = known.versions.get(change.id).is_some_and(|version| change.version <= version + 1);
        let before = self.underway.by_id(change.id).filter(|before| follows && before.is_out());
        before.and_then(|before| before.out_since).or(Some(change.time_ms))
    }

    fn place(&self, known: &mut Known, kind: Kind, id: &str, fleet: Option<&str>) {
        self.directory.place(kind, id, fleet);
        match fleet {
            Some(_) => known.placed.insert((kind, id.into())),
            None => known.placed.remove(&(kind, Box::from(id))),
        };
    }

    /// Riders and others have no record of their own: a device says whose they are.
    fn put_device(&self, known: &mut Known, id: &str, after: Option<&Map<String, Value>>) {
        let before = known.devices.remove(id);
        if let Some(now) = after.and_then(reported) {
            known.devices.insert(id.into(), now.clone());
            self.place(known, now.kind, &now.asset, now.fleet.as_deref());
        }
        let Some(before) = before else { return };
        // Another device may report for the same.
        let same = |other: &&Reported| other.kind == before.kind && other.asset == before.asset;
        let other = known.devices.values().find(same).cloned();
        self.place(known, before.kind, &before.asset, other.and_then(|other| other.fleet).as_deref());
    }

    /// Takes what a table holds, all of it, for what is true at `cursor`.
    fn fill(&self, cursor: i64, rows: Vec<Filled>) {
        let mut known = self.known.lock();
        let mut gone = std::mem::take(&mut known.placed);
        let mut ended: HashSet<Arc<str>> = self.underway.ids().into_iter().collect();
        *known = Known { cursor, filled: cursor, ..Known::default() };
        for Filled { resource, id, version, after, out_since } in rows {
            if *resource == DELIVERIES {
                self.put_delivery(&mut known, &id, version, after.as_object(), out_since);
                ended.remove(&*id);
            } else {
                self.put(&mut known, resource, &id, after.as_object());
            }
        }
        for (kind, id) in gone.drain().filter(|asset| !known.placed.contains(asset)) {
            self.directory.remove(kind, &id);
        }
        for id in ended {
            self.underway.put(&id, None, None);
        }
    }

    /// Everything up to `cursor` was heard of.
    fn heard(&self, cursor: i64) {
        let mut known = self.known.lock();
        known.cursor = known.cursor.max(cursor);
        let oldest = known.cursor - NUMBERS_KEPT;
        if known.newest.len() as i64 > 2 * NUMBERS_KEPT {
            known.newest.retain(|_, seq| *seq > oldest);
        }
    }
}

impl Shared {
    /// Fills the directory and the deliveries under way from the tables. Nobody writes meanwhile.
    pub(crate) async fn fill_mirror(&self) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        let (cursor, _) = outbox::bounds(&mut transaction).await?;
        let out_since = out_since(&mut transaction).await?;
        let mut rows = Vec::new();
        for resource in MIRRORED {
            let mut sql = select(resource);
            if *resource == DELIVERIES {
                sql.push(" WHERE status NOT IN ('delivered', 'returned', 'cancelled')");
            }
            for row in sql.all(&mut transaction).await? {
                // What is sealed is not needed here, and one damaged text must not keep a node from starting.
                let row = Row::unopened(resource, &row)?;
                let after = row.change_json(resource, None);
                let out_since = out_since.get(&row.id).copied().filter(|_| *resource == DELIVERIES);
                rows.push(Filled { resource, version: row.version, id: row.id, after, out_since });
            }
        }
        // Before the end of the transaction: no commit of this process comes in between.
        self.mirror.fill(cursor, rows);
        transaction.rollback().await?;
        Ok(())
    }

    /// Hears of everything in the outbox that is new.
    pub(crate) async fn follow_once(&self) -> Result<(), Error> {
        loop {
            let mut connection = self.database.read().await?;
            let (newest, trimmed) = outbox::bounds(&mut connection).await?;
            drop(connection);
            let cursor = self.mirror.known.lock().cursor;
            if trimmed > cursor || newest < cursor {
                // Forgotten before it was heard of, or the database was put back to an older state.
                return self.fill_mirror().await;
            }
            let changes = outbox::since(&self.database, cursor, BATCH).await?;
            let Some(last) = changes.last().map(|change| change.seq) else { return Ok(()) };
            for change in &changes {
                self.mirror.apply(&Heard {
                    seq: change.seq,
                    resource: &change.resource,
                    id: &change.id,
                    version: change.version,
                    time_ms: change.time_ms,
                    after: change.after.as_ref(),
                });
            }
            self.mirror.heard(last);
        }
    }
}

/// Since when each delivery is out that is: by its history, from the first step out after the last one that was none.
async fn out_since(transaction: &mut Transaction) -> Result<HashMap<String, i64>, Error> {
    let out = format!("('{}')", OUT.join("', '"));
    let mut sql = Sql::new("SELECT delivery_id, time FROM delivery_events AS step WHERE event_type IN ");
    sql.push(&out).push(" AND delivery_id IN (SELECT id FROM deliveries WHERE status IN ").push(&out);
    sql.push(") AND seq > (SELECT COALESCE(MAX(seq), 0) FROM delivery_events AS other ");
    sql.push("WHERE other.delivery_id = step.delivery_id AND other.event_type NOT IN ").push(&out);
    sql.push(") ORDER BY seq");
    let mut since = HashMap::new();
    for row in sql.all(transaction).await? {
        since.entry(row.try_get(0)?).or_insert(row.try_get(1)?);
    }
    Ok(since)
}

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

fn passage(id: &str, after: &Map<String, Value>) -> Passage {
    let word = |field| text(after, field).map(Arc::from);
    Passage {
        delivery_id: id.into(),
        order_id: word("order_id"),
        tracking_number: word("tracking_number").unwrap_or_default(),
        driver_id: word("driver_id"),
        vehicle_id: word("vehicle_id"),
        customer_id: word("customer_id"),
        fleet_id: word("fleet_id"),
        status: word("status").unwrap_or_default(),
        out_since: None,
    }
}

fn reported(after: &Map<String, Value>) -> Option<Reported> {
    let kind = text(after, "asset_kind").and_then(Kind::parse)?;
    let asset = text(after, "asset_id")?.into();
    let own_record = matches!(kind, Kind::Vehicle | Kind::Driver | Kind::Station);
    (!own_record).then(|| Reported { kind, asset, fleet: text(after, "fleet_id").map(Box::from) })
}
