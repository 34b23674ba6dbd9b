//! How the world is cut into cells and tiles: pure arithmetic on lattice positions, no contents.
//! Rows have equal height. The number of columns shrinks with the cosine of the latitude, once per band of 64 rows, so
//! that cells are about square everywhere below 85 degrees and tiles nest: a cell belongs to exactly one tile.

use super::window::Window;
use crate::PointE7;
use crate::lattice::{POLE, TICKS_PER_DEGREE, TURN};

/// Height of a cell: 0.03 degrees or 3.3 km. Measured with `examples/index_rate.rs` against 0.02 and 0.04: smaller cells
/// answer the nearest 10 among a million objects up to 13 % faster, but halve the rate of far queries and cost moves.
pub(super) const CELL_TICKS: u32 = 300_000;
/// Height of a cell in metres, for guesses only.
pub(super) const CELL_M: f64 = 3_336.0;
/// Cells along the side of a tile.
const SIDE: u32 = 64;
const CELLS_PER_TILE: u32 = SIDE * SIDE;
const TILE_TICKS: u32 = CELL_TICKS * SIDE;
const BANDS: u32 = 2 * POLE as u32 / TILE_TICKS + 1;

/// The table of bands, from south to north.
#[derive(Debug)]
pub(super) struct Grid {
    bands: Vec<Band>,
}

#[derive(Clone, Copy, Debug)]
struct Band {
    first_tile: u32,
    tile_columns: u32,
}

impl Grid {
    pub fn new() -> Self {
        let mut first_tile = 0;
        let bands = (0..BANDS).map(|band| {
            let tile_columns = tile_columns(band);
            first_tile += tile_columns;
            Band { first_tile: first_tile - tile_columns, tile_columns }
        });
        Self { bands: bands.collect() }
    }

    pub fn memory_bytes(&self) -> usize {
        self.bands.capacity() * size_of::<Band>()
    }

    pub fn tile_count(&self) -> u32 {
        self.bands.last().map_or(0, |band| band.first_tile + band.tile_columns)
    }

    /// Number of the cell that holds the position: tile, row in the tile, column in the tile.
    #[inline]
    pub fn key(&self, at: PointE7) -> u32 {
        let row = row(at.lat);
        let band = self.bands[(row / SIDE) as usize];
        band.key(row, column(at.lon, band.tile_columns * SIDE))
    }

    /// About how many cells, empty or not, a window overlaps: as many in each row as in the middle.
    pub fn cells_in(&self, window: &Window) -> u64 {
        let (south, north) = (row(window.south), row(window.north));
        let columns = self.bands[(south.midpoint(north) / SIDE) as usize].tile_columns * SIDE;
        u64::from(north - south + 1) * u64::from(column_range(window, columns).1)
    }

    /// About how many tiles, empty or not, a window overlaps.
    pub fn tiles_in(&self, window: &Window) -> u64 {
        let (south, north) = (row(window.south) / SIDE, row(window.north) / SIDE);
        let columns = self.bands[south.midpoint(north) as usize].tile_columns;
        u64::from(north - south + 1) * u64::from(column_range(window, columns).1)
    }

    /// Calls `visit` with the key of every cell that overlaps the window, empty or not.
    #[inline]
    pub fn each_cell(&self, window: &Window, mut visit: impl FnMut(u32)) {
        for row in row(window.south)..=row(window.north) {
            let band = self.bands[(row / SIDE) as usize];
            each_column(window, band.tile_columns * SIDE, |column| visit(band.key(row, column)));
        }
    }

    /// Calls `visit` with the number of every tile that overlaps the window, empty or not.
    pub fn each_tile(&self, window: &Window, mut visit: impl FnMut(u32)) {
        for band in row(window.south) / SIDE..=row(window.north) / SIDE {
            let band = self.bands[band as usize];
            each_column(window, band.tile_columns, |column| visit(band.first_tile + column));
        }
    }

    /// The area of a tile.
    pub fn tile_window(&self, tile: u32) -> Window {
        let band = self.bands.partition_point(|band| band.first_tile <= tile) - 1;
        let Band { first_tile, tile_columns } = self.bands[band];
        rectangle(band as u32, TILE_TICKS, tile - first_tile, tile_columns)
    }

    /// The area of a cell.
    pub fn cell_window(&self, key: u32) -> Window {
        let tile = tile_of(key);
        let band = self.bands.partition_point(|band| band.first_tile <= tile) - 1;
        let Band { first_tile, tile_columns } = self.bands[band];
        let row = band as u32 * SIDE + key % CELLS_PER_TILE / SIDE;
        rectangle(row, CELL_TICKS, (tile - first_tile) * SIDE + key % SIDE, tile_columns * SIDE)
    }
}

impl Band {
    #[inline]
    fn key(&self, row: u32, column: u32) -> u32 {
        (self.first_tile + column / SIDE) * CELLS_PER_TILE + row % SIDE * SIDE + column % SIDE
    }
}

/// The tile of a cell.
pub(super) fn tile_of(key: u32) -> u32 {
    key / CELLS_PER_TILE
}

/// As many columns as make the tiles of the band about square at its middle, and at least one.
fn tile_columns(band: u32) -> u32 {
    let middle = f64::from(band * TILE_TICKS + TILE_TICKS / 2) / TICKS_PER_DEGREE - 90.0;
    let columns = TURN as f64 / f64::from(TILE_TICKS) * middle.to_radians().cos();
    columns.round().max(1.0) as u32
}

#[inline]
fn row(lat: i32) -> u32 {
    (lat + POLE) as u32 / CELL_TICKS
}

/// The column of a longitude among `columns` of equal width; 180 falls into the same one as -180.
#[inline]
fn column(lon: i32, columns: u32) -> u32 {
    let east = i64::from(lon) + TURN / 2;
    let east = if east < TURN { east } else { east - TURN };
    (east as u64 * u64::from(columns) / TURN as u64) as u32
}

#[inline]
fn each_column(window: &Window, columns: u32, mut visit: impl FnMut(u32)) {
    let (first, count) = column_range(window, columns);
    for step in 0..count {
        let column = first + step;
        visit(if column < columns { column } else { column - columns });
    }
}

/// First column and number of columns of a window. When less than a column is missing to the full turn, both ends may
/// lie in the same column: then it is all of them.
#[inline]
fn column_range(window: &Window, columns: u32) -> (u32, u32) {
    if window.width + TURN / i64::from(columns) + 1 >= TURN {
        return (0, columns);
    }
    let (first, last) = (column(window.west, columns), column(window.east(), columns));
    let count = if last >= first { last - first } else { last + columns - first } + 1;
    (first, count)
}

fn rectangle(row: u32, height: u32, column: u32, columns: u32) -> Window {
    let border = |column: u32| i64::from(column) * TURN / i64::from(columns) - TURN / 2;
    let south = i64::from(row) * i64::from(height) - i64::from(POLE);
    let north = (south + i64::from(height)).min(i64::from(POLE));
    let (west, east) = (border(column), border(column + 1) + 1);
    Window { south: south as i32, north: north as i32, west: west as i32, width: (east - west).min(TURN) }
}
