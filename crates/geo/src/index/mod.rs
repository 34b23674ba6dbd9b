//! The index of moving objects: where each one is, and which ones are near, in a box or in a polygon.
//! This file holds the objects and keeps the invariants; `query` and `nearest` only read.
//!
//! Objects lie in cells of about 3.3 km, found by a hash of the cell number; empty cells do not exist. 64 x 64 cells
//! form a tile, and tiles list their non-empty cells, so that far queries step over oceans. An object costs 12 bytes in
//! its cell and 8 bytes in the table that finds it by id; most moves change eight bytes in place.
//!
//! What costs time here is not arithmetic but memory: millions of objects do not fit the caches. Hence small items, no
//! table between key and cell, and the two passes in `query`.
//!
//! Invariants:
//! 1. `slots[id]` names the one cell and index whose item has this id, or no cell.
//! 2. An item lies in the cell whose key is `grid.key(item.at)`.
//! 3. Every cell holds at least one item and stands in its tile at `place_in_tile`.
//! 4. Every tile holds at least one cell, and `Tiles::numbers` points at it.

mod grid;
mod nearest;
mod query;
mod tiles;
mod window;

use self::grid::Grid;
use self::tiles::Tiles;
use crate::{Point, PointE7};
use hashbrown::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// An object found by a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The number that the object was put under.
    pub id: u32,
    /// Great-circle distance from the query point, in metres.
    pub distance_m: f64,
}

/// Where many moving objects are, for nearest, radius, box and polygon queries.
///
/// Ids are dense: a table as long as the greatest id is kept. Positions and query points are rounded to 1e-7 degrees
/// ([`PointE7`]). Results with equal distance are ordered by id, so equal contents give equal answers.
#[derive(Debug)]
pub struct MovingIndex {
    grid: Grid,
    slots: Vec<Slot>,
    cells: HashMap<u32, Cell, BuildHasherDefault<KeyHasher>>,
    tiles: Tiles,
    len: usize,
}

/// Where an object is: the key of its cell and its index there.
#[derive(Clone, Copy, Debug)]
struct Slot {
    key: u32,
    index: u32,
}

const NOWHERE: Slot = Slot { key: u32::MAX, index: 0 };

#[derive(Clone, Copy, Debug)]
struct Item {
    at: PointE7,
    id: u32,
}

#[derive(Debug)]
struct Cell {
    items: Vec<Item>,
    place_in_tile: u32,
}

impl Default for MovingIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl MovingIndex {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        let grid = Grid::new();
        let tiles = Tiles::new(&grid);
        Self { grid, tiles, slots: vec![], cells: HashMap::default(), len: 0 }
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the object is, rounded to 1e-7 degrees.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<Point> {
        let slot = self.slot(id)?;
        Some(self.cells.get(&slot.key)?.items[slot.index as usize].at.into())
    }

    /// Inserts or moves the object. On return it is at `point`, rounded to 1e-7 degrees, and nowhere else.
    pub fn put(&mut self, id: u32, point: Point) {
        let at = PointE7::from(point);
        let key = self.grid.key(at);
        match self.slot(id) {
            Some(slot) if slot.key == key => return self.move_inside(slot, at),
            Some(slot) => self.take_out(slot),
            None => {
                self.make_room_for(id);
                self.len += 1;
            }
        }
        self.put_in(key, Item { at, id });
    }

    /// Removes the object; returns whether it was there.
    pub fn remove(&mut self, id: u32) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        self.take_out(slot);
        self.slots[id as usize] = NOWHERE;
        self.len -= 1;
        true
    }

    /// Heap memory in bytes, counted by capacity. Takes time in the number of cells.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let items: usize = self.cells.values().map(|cell| cell.items.capacity() * size_of::<Item>()).sum();
        items
            + self.cells.allocation_size()
            + self.slots.capacity() * size_of::<Slot>()
            + self.tiles.memory_bytes()
            + self.grid.memory_bytes()
    }

    fn slot(&self, id: u32) -> Option<Slot> {
        self.slots.get(id as usize).copied().filter(|slot| slot.key != NOWHERE.key)
    }

    /// Grows by a quarter, not twofold: at a million objects the doubling would waste up to 8 MB.
    fn make_room_for(&mut self, id: u32) {
        let needed = id as usize + 1;
        if needed > self.slots.capacity() {
            let spare = (self.slots.len() / 4).max(256);
            self.slots.reserve_exact(needed - self.slots.len() + spare);
        }
        if needed > self.slots.len() {
            self.slots.resize(needed, NOWHERE);
        }
    }

    fn move_inside(&mut self, slot: Slot, at: PointE7) {
        if let Some(cell) = self.cells.get_mut(&slot.key) {
            cell.items[slot.index as usize].at = at;
        }
    }

    fn put_in(&mut self, key: u32, item: Item) {
        let cell = self.cells.entry(key).or_insert_with(|| {
            let place_in_tile = self.tiles.add(&self.grid, key);
            Cell { items: Vec::new(), place_in_tile }
        });
        self.slots[item.id as usize] = Slot { key, index: cell.items.len() as u32 };
        cell.push(item);
    }

    fn take_out(&mut self, slot: Slot) {
        let Some(cell) = self.cells.get_mut(&slot.key) else { return };
        if let Some(moved) = cell.swap_remove(slot.index) {
            self.slots[moved.id as usize] = slot;
        }
        if cell.items.is_empty() {
            self.close_cell(slot.key);
        }
    }

    fn close_cell(&mut self, key: u32) {
        let Some(Cell { place_in_tile, .. }) = self.cells.remove(&key) else { return };
        if let Some(moved) = self.tiles.drop_cell(key, place_in_tile)
            && let Some(cell) = self.cells.get_mut(&moved)
        {
            cell.place_in_tile = place_in_tile;
        }
    }
}

impl Cell {
    /// Grows by half, where `Vec` would double.
    fn push(&mut self, item: Item) {
        if self.items.len() == self.items.capacity() {
            self.items.reserve_exact((self.items.len() / 2).max(2));
        }
        self.items.push(item);
    }

    /// Removes an item; returns the one that now has its index.
    fn swap_remove(&mut self, index: u32) -> Option<Item> {
        self.items.swap_remove(index as usize);
        if self.items.len() * 4 < self.items.capacity() {
            // A crowd has left (a stadium, a ferry): give its memory back, but keep room for the next few.
            self.items.shrink_to(self.items.len() * 2);
        }
        self.items.get(index as usize).copied()
    }
}

/// Spreads cell keys, which are dense and not chosen by an attacker, by one multiplication (Fibonacci hashing). Eight
/// neighbouring columns keep neighbouring buckets, since queries look them up together: fewer cache lines.
#[derive(Clone, Copy, Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("cell keys are hashed as u32");
    }

    fn write_u32(&mut self, key: u32) {
        // hashbrown takes the bucket from the low bits and a tag from the seven highest.
        let spread = |bits: u32| u64::from(bits).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let bucket = (spread(key / 8) >> 32) * 8 + u64::from(key % 8);
        self.0 = bucket | (spread(key) & TAG_BITS);
    }
}

const TAG_BITS: u64 = 0x7F << 57;
