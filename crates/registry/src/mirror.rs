//! What of the registry is in memory: the fleets of assets, deliveries under way. Told by each commit of this process,
//! and by the outbox of what others commit; a change that was already heard of, or is older, does nothing.

use crate::Shared;
use crate::deliveries::is_end;
use crate::error::Error;
use crate::outbox;
use crate::resources::{DELIVERIES, DEVICES, DRIVERS, STATIONS, VEHICLES, resource as resource_named};
use crate::rows::select;
use crate::schema::Resource;
use crate::underway::{Passage, Underway};
use drover_access::Directory;
use drover_model::Kind;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use serde_json::{Map, Value};
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

    /// Hears of change `seq`: what the record is after it, or that it is gone.
    pub(crate) fn apply(&self, seq: i64, resource: &str, id: &str, after: Option<&Value>) {
        let Some(resource) = resource_named(resource).filter(|resource| MIRRORED.contains(resource)) else { return };
        let mut known = self.known.lock();
        if seq <= known.filled {
            return;
        }
        let newest = known.newest.entry((resource.name.into(), id.into())).or_insert(i64::MIN);
        if *newest >= seq {
            return;
        }
        *newest = seq;
        self.put(&mut known, resource, id, after.and_then(Value::as_object));
    }

    fn put(&self, known: &mut Known, resource: &Resource, id: &str, after: Option<&Map<String, Value>>) {
        match (resource.asset, resource.name) {
            (Some(kind), _) => self.place(known, kind, id, after.and_then(|after| text(after, "fleet_id"))),
            (None, "devices") => self.put_device(known, id, after),
            _ => {
                let status = after.and_then(|after| text(after, "status"));
                let passage = after.filter(|_| !status.is_none_or(is_end)).map(|after| passage(id, after));
                self.underway.put(id, passage, status);
            }
        }
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
    fn fill(&self, cursor: i64, rows: Vec<(&'static Resource, String, Value)>) {
        let mut known = self.known.lock();
        let mut gone = std::mem::take(&mut known.placed);
        let mut ended: HashSet<Arc<str>> = self.underway.ids().into_iter().collect();
        *known = Known { cursor, filled: cursor, ..Known::default() };
        for (resource, id, after) in rows {
            self.put(&mut known, resource, &id, after.as_object());
            ended.remove(&*id);
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
        let mut rows = Vec::new();
        for resource in MIRRORED {
            let mut sql = select(resource);
            if *resource == DELIVERIES {
                sql.push(" WHERE status NOT IN ('delivered', 'returned', 'cancelled')");
            }
            for row in sql.all(&mut transaction).await? {
                let row = self.opened(resource, &row)?;
                let after = row.change_json(resource, None);
                rows.push((resource, row.id, after));
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
                self.mirror.apply(change.seq, &change.resource, &change.id, change.after.as_ref());
            }
            self.mirror.heard(last);
        }
    }
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
    }
}

fn reported(after: &Map<String, Value>) -> Option<Reported> {
    let kind = text(after, "asset_kind").and_then(Kind::parse)?;
    let asset = text(after, "asset_id")?.into();
    let own_record = matches!(kind, Kind::Vehicle | Kind::Driver | Kind::Station);
    (!own_record).then(|| Reported { kind, asset, fleet: text(after, "fleet_id").map(Box::from) })
}
