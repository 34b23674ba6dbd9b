//! The table that is asked: 20 bytes an entry and the bytes of its id; what vehicles share stands there once.
//! It is built whole and never changed afterwards. A lookup copies a number and a pointer: every further shared pointer
//! would cost as much as the search itself.

use drover_geo::{Point, PointE7, distance_m};
use drover_model::Kind;
use hashbrown::hash_table::Entry as Slot;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// In place of a number in a list: there is none.
const NONE: u32 = u32::MAX;

/// What is known of an asset.
#[derive(Debug, Clone, PartialEq)]
pub struct Vehicle {
    /// Faster than this it does not go, km/h.
    pub max_speed_kmh: Option<f32>,
    group: Option<Arc<Group>>,
}

/// Where vehicles start and end.
#[derive(Debug, Clone, PartialEq)]
pub struct Depot {
    /// Its id or name.
    pub name: Option<Box<str>>,
    /// Where it is, on the lattice of 1e-7 degrees.
    pub at: Point,
}

/// What many vehicles share.
#[derive(Debug, PartialEq)]
struct Group {
    depot: Option<Depot>,
    class: Option<Box<str>>,
}

impl Vehicle {
    /// Where it belongs.
    pub fn depot(&self) -> Option<&Depot> {
        self.group.as_ref()?.depot.as_ref()
    }

    /// The operator's word for what it is: `bus`, `e-scooter`.
    pub fn class(&self) -> Option<&str> {
        self.group.as_ref()?.class.as_deref()
    }

    /// Metres from its depot to `place` along the great circle.
    pub fn distance_from_depot_m(&self, place: Point) -> Option<f64> {
        self.depot().map(|depot| distance_m(depot.at, place))
    }
}

/// One believed entry of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry<'a> {
    pub kind: Kind,
    pub id: &'a str,
    pub max_speed_kmh: Option<f32>,
    pub depot: Option<(Option<&'a str>, Point)>,
    pub class: Option<&'a str>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    id_at: u32,
    group: u32,
    max_speed_kmh: Option<f32>,
    id_bytes: u8,
    kind: Kind,
}

/// Every asset that the source names.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: HashTable<Row>,
    hasher: DefaultHashBuilder,
    /// All ids, one behind the other.
    ids: String,
    groups: Listed<Arc<Group>>,
}

impl Table {
    #[inline]
    pub(crate) fn get(&self, kind: Kind, id: &str) -> Option<Vehicle> {
        let is = |row: &Row| row.kind == kind && row.id(&self.ids) == id.as_bytes();
        let row = self.rows.find(hash(&self.hasher, kind, id.as_bytes()), is)?;
        Some(Vehicle { max_speed_kmh: row.max_speed_kmh, group: self.groups.get(row.group).cloned() })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        // Each group has its counts, and two short texts.
        let group_bytes = size_of::<Group>() + 16 + 8 + 32;
        self.rows.allocation_size() + self.ids.capacity() + self.groups.all.len() * group_bytes
    }

    /// Adds an entry; one of the same name is replaced. Tells whether there was one.
    pub(crate) fn insert(&mut self, entry: &Entry<'_>) -> bool {
        let group = self.group(entry);
        let Table { rows, hasher, ids, .. } = self;
        let is = |row: &Row| row.kind == entry.kind && row.id(ids) == entry.id.as_bytes();
        let hash_of = |row: &Row| hash(hasher, row.kind, row.id(ids));
        match rows.entry(hash(hasher, entry.kind, entry.id.as_bytes()), is, hash_of) {
            Slot::Occupied(mut slot) => {
                let row = slot.get_mut();
                *row = Row { max_speed_kmh: entry.max_speed_kmh, group, ..*row };
                true
            }
            Slot::Vacant(slot) => {
                // Documents are far below 4 GiB and ids at most 64 bytes.
                let (id_at, id_bytes) = (ids.len() as u32, entry.id.len() as u8);
                let (kind, max_speed_kmh) = (entry.kind, entry.max_speed_kmh);
                slot.insert(Row { id_at, id_bytes, kind, max_speed_kmh, group });
                ids.push_str(entry.id);
                false
            }
        }
    }

    /// Gives back what growing has left over, and what only building needs.
    pub(crate) fn finish(&mut self) {
        let Table { rows, hasher, ids, groups } = self;
        rows.shrink_to_fit(|row| hash(hasher, row.kind, row.id(ids)));
        ids.shrink_to_fit();
        groups.finish();
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.rows.iter().map(|row| {
            let group = self.groups.get(row.group);
            let depot = group.and_then(|group| group.depot.as_ref());
            Entry {
                kind: row.kind,
                id: &self.ids[row.id_at as usize..][..usize::from(row.id_bytes)],
                max_speed_kmh: row.max_speed_kmh,
                depot: depot.map(|depot| (depot.name.as_deref(), depot.at)),
                class: group.and_then(|group| group.class.as_deref()),
            }
        })
    }

    fn group(&mut self, entry: &Entry<'_>) -> u32 {
        if entry.depot.is_none() && entry.class.is_none() {
            return NONE;
        }
        // The lattice makes equal what is equal to a centimetre, and what is kept on disk equal to what was read.
        let depot = entry.depot.map(|(name, at)| (name, PointE7::from(at)));
        let hash = self.hasher.hash_one((depot, entry.class));
        let depot = depot.map(|(name, at)| (name, Point::from(at)));
        let is = |group: &Arc<Group>| {
            group.class.as_deref() == entry.class
                && group.depot.as_ref().map(|depot| (depot.name.as_deref(), depot.at)) == depot
        };
        self.groups.number(hash, is, || {
            let depot = depot.map(|(name, at)| Depot { name: name.map(Into::into), at });
            Arc::new(Group { depot, class: entry.class.map(Into::into) })
        })
    }
}

impl Row {
    fn id<'a>(&self, ids: &'a str) -> &'a [u8] {
        &ids.as_bytes()[self.id_at as usize..][..usize::from(self.id_bytes)]
    }
}

fn hash(hasher: &DefaultHashBuilder, kind: Kind, id: &[u8]) -> u64 {
    let mut hash = hasher.build_hasher();
    hash.write(id);
    hash.write_u8(kind as u8);
    hash.finish()
}

/// Values that stand there once, by number.
#[derive(Debug)]
struct Listed<T> {
    all: Vec<T>,
    /// Hash and number of each, while the table is built.
    numbers: HashTable<(u64, u32)>,
}

impl<T> Default for Listed<T> {
    fn default() -> Listed<T> {
        Listed { all: Vec::new(), numbers: HashTable::new() }
    }
}

impl<T> Listed<T> {
    fn get(&self, number: u32) -> Option<&T> {
        self.all.get(number as usize)
    }

    fn number(&mut self, hash: u64, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> u32 {
        let Listed { all, numbers } = self;
        let known = numbers.entry(hash, |(_, number)| is(&all[*number as usize]), |(hash, _)| *hash);
        match known {
            Slot::Occupied(slot) => slot.get().1,
            Slot::Vacant(slot) => {
                let number = all.len() as u32;
                all.push(make());
                slot.insert((hash, number));
                number
            }
        }
    }

    fn finish(&mut self) {
        self.numbers = HashTable::new();
        self.all.shrink_to_fit();
    }
}
