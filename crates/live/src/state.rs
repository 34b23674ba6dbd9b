//! The live state and the one way it changes: applying a record of the log.
//!
//! Must always hold:
//! - an asset's shown report has the newest event time of all its applied reports;
//! - assets are numbered in the order in which the log first names them, so equal logs give equal
//!   states, byte for byte;
//! - the index holds exactly the assets that have a fix.

use drover_geo::{MovingIndex, Point};
use drover_log::Position as LogPosition;
use drover_model::{DecodeError, Kind, Position, RecordRef, Report};
use hashbrown::HashTable;
use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Changes remembered for watchers; one that is further behind reads the state instead.
const CHANGES_KEPT: usize = 65_536;

/// Where an asset was last known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fix {
    /// The place.
    pub at: Position,
    /// Event time of the report that gave it, ms.
    pub time: i64,
}

/// One asset. The record is kept as it stands in the log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub record: Box<[u8]>,
    /// Where in the log the shown report stands.
    pub position: LogPosition,
    /// The shown report may have no place of its own (a heartbeat, a station's stock).
    pub fix: Option<Fix>,
}

/// An asset as shown to readers.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Its latest report.
    pub report: Report<'a>,
    /// Where the report stands in the log.
    pub position: LogPosition,
    /// Where the asset was last known to be.
    pub fix: Option<Fix>,
}

/// One change, as far as a watcher needs it to decide whether it cares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub position: LogPosition,
    pub asset: u32,
    pub kind: Kind,
    /// Where it was before: a watcher of an area must also hear of those who leave it.
    pub before: Option<Position>,
    pub now: Option<Position>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    table: HashTable<u32>,
    entries: Vec<Entry>,
    index: MovingIndex,
    applied: LogPosition,
    changes: VecDeque<Change>,
    /// Every change after this position is in `changes`.
    changes_after: LogPosition,
}

impl State {
    /// A state without history, as if everything up to `applied` had been applied to `entries`.
    pub fn restored(entries: Vec<Entry>, applied: LogPosition) -> State {
        let mut state = State { applied, changes_after: applied, ..State::default() };
        for entry in entries {
            state.add(entry);
        }
        state
    }

    /// Applies the record at `position`. A late report changes nothing but `applied`. On error the
    /// record is not a report and was passed over.
    pub fn apply(&mut self, position: LogPosition, record: &[u8]) -> Result<(), DecodeError> {
        self.applied = position;
        let report = Report::decode(record)?;
        let fix = report.place().map(|at| Fix { at, time: report.event_time });
        let (asset, before) = match self.find(report.kind, &report.id) {
            None => (self.add(Entry { record: record.into(), position, fix }), None),
            Some(asset) => {
                let entry = &self.entries[asset as usize];
                if report.event_time <= entry.event_time() {
                    return Ok(());
                }
                let before = entry.fix.map(|fix| fix.at);
                self.replace(asset, record, position, fix);
                (asset, before)
            }
        };
        let now = self.entries[asset as usize].fix.map(|fix| fix.at);
        self.remember(Change { position, asset, kind: report.kind, before, now });
        Ok(())
    }

    fn replace(&mut self, asset: u32, record: &[u8], position: LogPosition, fix: Option<Fix>) {
        let entry = &mut self.entries[asset as usize];
        if entry.record.len() == record.len() {
            entry.record.copy_from_slice(record); // the usual case: no allocation
        } else {
            entry.record = record.into();
        }
        entry.position = position;
        if let Some(fix) = fix {
            entry.fix = Some(fix);
            self.index.put(asset, point(fix.at));
        }
    }

    fn add(&mut self, entry: Entry) -> u32 {
        let asset = u32::try_from(self.entries.len()).expect("fewer than 2^32 assets");
        if let Some(fix) = entry.fix {
            self.index.put(asset, point(fix.at));
        }
        let entries = &mut self.entries;
        entries.push(entry);
        self.table.insert_unique(entries[asset as usize].hash(), asset, |&a| entries[a as usize].hash());
        asset
    }

    fn remember(&mut self, change: Change) {
        if self.changes.len() == CHANGES_KEPT
            && let Some(gone) = self.changes.pop_front()
        {
            self.changes_after = gone.position;
        }
        self.changes.push_back(change);
    }

    /// The number of an asset.
    pub fn find(&self, kind: Kind, id: &str) -> Option<u32> {
        let hash = hash(kind as u8, id.as_bytes());
        self.table.find(hash, |&asset| self.entries[asset as usize].is(kind, id)).copied()
    }

    /// An asset by number. Panics on a number that this state never gave.
    pub fn seen(&self, asset: u32) -> Seen<'_> {
        let entry = &self.entries[asset as usize];
        let report = Report::decode(&entry.record).expect("only records that decode are kept");
        Seen { report, position: entry.position, fix: entry.fix }
    }

    /// A look at an asset's record, without decoding it.
    pub fn view(&self, asset: u32) -> RecordRef<'_> {
        self.entries[asset as usize].view()
    }

    /// An asset's id, without decoding its report.
    pub fn id(&self, asset: u32) -> &str {
        std::str::from_utf8(self.entries[asset as usize].view().id()).expect("only records that decode are kept")
    }

    /// All assets in the order of their numbers.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The index of those that have a fix.
    pub fn index(&self) -> &MovingIndex {
        &self.index
    }

    /// The last log position that was applied.
    pub fn applied(&self) -> LogPosition {
        self.applied
    }

    /// Forgets every asset whose shown report is covered, as if it had never been heard. Others get new numbers, and
    /// watchers read the state again. False if there was none.
    pub fn forget(&mut self, covers: impl Fn(&Report<'_>) -> bool) -> bool {
        let (gone, kept): (Vec<Entry>, Vec<Entry>) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|entry| Report::decode(&entry.record).is_ok_and(|report| covers(&report)));
        *self = State::restored(kept, self.applied);
        !gone.is_empty()
    }

    /// Notes that positions up to `position` are gone for good (damage in the log).
    pub fn pass_over(&mut self, position: LogPosition) {
        self.applied = self.applied.max(position);
    }

    /// The changes after `position`, oldest first, or none if they are no longer all remembered.
    pub fn changes_since(&self, position: LogPosition) -> Option<impl Iterator<Item = &Change>> {
        if position < self.changes_after {
            return None;
        }
        let start = self.changes.partition_point(|change| change.position <= position);
        Some(self.changes.range(start..))
    }
}

impl Entry {
    fn view(&self) -> RecordRef<'_> {
        RecordRef::new(&self.record).expect("only records that decode are kept")
    }

    pub fn event_time(&self) -> i64 {
        self.view().event_time()
    }

    fn is(&self, kind: Kind, id: &str) -> bool {
        let view = self.view();
        view.kind_number() == kind as u8 && view.id() == id.as_bytes()
    }

    fn hash(&self) -> u64 {
        let view = self.view();
        hash(view.kind_number(), view.id())
    }
}

fn hash(kind: u8, id: &[u8]) -> u64 {
    xxh3_64_with_seed(id, u64::from(kind))
}

/// The same place as the geometry knows it.
pub(crate) fn point(at: Position) -> Point {
    Point { lat: at.lat(), lon: at.lon() }
}
