//! The coarse level: tiles of 64 x 64 cells (about 213 km) that list their non-empty cells.
//! Wide and far queries go through these lists, so that their cost follows the objects and not the area.

use super::grid::{CELL_TICKS, Grid, tile_of};
use super::window::Window;
use crate::PointE7;

const NO_TILE: u32 = u32::MAX;

/// The tiles that hold cells.
#[derive(Debug)]
pub(super) struct Tiles {
    /// For every tile of the world, where it stands in `occupied`; 45 KB that spare a second hash map.
    numbers: Vec<u32>,
    occupied: Vec<Tile>,
}

/// A tile with at least one cell. Distances here are chords of the sphere with radius 1.
#[derive(Debug)]
pub(super) struct Tile {
    pub cells: Vec<Member>,
    tile: u32,
    window: Window,
    centre: [f64; 3],
    /// No position in the tile is farther from `centre`.
    reach: f64,
    /// No position in any cell of the tile is farther from the centre of that cell.
    cell_reach: f64,
}

/// A non-empty cell of a tile. The centre is `f32`, as there are as many of these as cells; `cell_reach` pays for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub key: u32,
    centre: [f32; 3],
}

impl Tiles {
    pub fn new(grid: &Grid) -> Self {
        Self { numbers: vec![NO_TILE; grid.tile_count() as usize], occupied: vec![] }
    }

    pub fn memory_bytes(&self) -> usize {
        let members: usize = self.occupied.iter().map(|tile| tile.cells.capacity() * size_of::<Member>()).sum();
        members + self.numbers.capacity() * size_of::<u32>() + self.occupied.capacity() * size_of::<Tile>()
    }

    /// Lists a cell in its tile; returns its place there.
    pub fn add(&mut self, grid: &Grid, key: u32) -> u32 {
        let number = &mut self.numbers[tile_of(key) as usize];
        if *number == NO_TILE {
            *number = self.occupied.len() as u32;
            self.occupied.push(Tile::new(grid, tile_of(key)));
        }
        let cells = &mut self.occupied[*number as usize].cells;
        let (centre, _) = grid.cell_window(key).centre_and_reach();
        cells.push(Member { key, centre: centre.map(|x| x as f32) });
        cells.len() as u32 - 1
    }

    /// Takes the cell at `place` out of the list of its tile; returns the cell that now stands there.
    pub fn drop_cell(&mut self, key: u32, place: u32) -> Option<u32> {
        let number = self.numbers[tile_of(key) as usize];
        let cells = &mut self.occupied[number as usize].cells;
        cells.swap_remove(place as usize);
        let moved = cells.get(place as usize).map(|member| member.key);
        if cells.is_empty() {
            self.drop_tile(number);
        }
        moved
    }

    fn drop_tile(&mut self, number: u32) {
        let gone = self.occupied.swap_remove(number as usize);
        self.numbers[gone.tile as usize] = NO_TILE;
        if let Some(moved) = self.occupied.get(number as usize) {
            self.numbers[moved.tile as usize] = number;
        }
    }

    /// Calls `visit` with every non-empty tile that overlaps the window.
    pub fn each<'a>(&'a self, grid: &Grid, window: &Window, mut visit: impl FnMut(&'a Tile)) {
        if grid.tiles_in(window) > self.occupied.len() as u64 {
            return self.occupied.iter().filter(|tile| tile.window.overlaps(window)).for_each(visit);
        }
        grid.each_tile(window, |tile| {
            let number = self.numbers[tile as usize];
            if number != NO_TILE {
                visit(&self.occupied[number as usize]);
            }
        });
    }

    /// Non-empty tiles that overlap the window, each with a lower bound for the haversine from `from`, nearest first.
    pub fn by_distance(&self, grid: &Grid, window: &Window, from: [f64; 3]) -> Vec<(f64, &Tile)> {
        let mut tiles = Vec::new();
        self.each(grid, window, |tile| tiles.push((nearest_haversine(tile.centre, tile.reach, from), tile)));
        tiles.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
        tiles
    }
}

impl Tile {
    fn new(grid: &Grid, tile: u32) -> Self {
        let window = grid.tile_window(tile);
        let (centre, reach) = window.centre_and_reach();
        let cell_reach = cell_reach(grid, &window);
        Self { cells: vec![], tile, window, centre, reach: reach + 1e-9, cell_reach }
    }

    /// Fills `out` with the keys of cells that may hold something at most `worst` away, each with a lower bound for the
    /// haversine from `from`, nearest first.
    pub fn cells_by_distance(&self, from: [f64; 3], worst: f64, out: &mut Vec<(f64, u32)>) {
        let least = |member: &Member| nearest_haversine(member.centre.map(f64::from), self.cell_reach, from);
        out.clear();
        out.extend(self.cells.iter().map(|member| (least(member), member.key)).filter(|(least, _)| *least <= worst));
        out.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
    }
}

/// By the triangle inequality on chords; a haversine is a quarter of the squared chord.
#[inline]
fn nearest_haversine(centre: [f64; 3], reach: f64, from: [f64; 3]) -> f64 {
    let [x, y, z] = [0, 1, 2].map(|axis| centre[axis] - from[axis]);
    let gap = ((x * x + y * y + z * z).sqrt() - reach).max(0.0);
    gap * gap / 4.0
}

/// The widest cells of a tile lie in its first or last row, but for the equator, where 1 % more covers the middle.
/// 1e-6 covers the `f32` centres.
fn cell_reach(grid: &Grid, tile: &Window) -> f64 {
    let reach = |lat| grid.cell_window(grid.key(PointE7 { lat, lon: 0 })).centre_and_reach().1;
    reach(tile.south).max(reach(tile.north - CELL_TICKS as i32)) * 1.01 + 1e-6
}
