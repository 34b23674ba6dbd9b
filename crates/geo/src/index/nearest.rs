//! The nearest k. Near: guess a circle that holds k objects, collect it, widen it if it held fewer; a circle with k
//! objects holds the k nearest. Far: tiles by their least distance, until no tile or cell can hold a nearer object.
//!
//! The guess comes from the population of the query point's own cell. Compared with rings of cells around the point it
//! reads fewer cells where objects are dense, and has no rules of its own for poles and the antimeridian.

use super::grid::CELL_M;
use super::query::{by_distance, finish};
use super::window::Cap;
use super::{Hit, MovingIndex};
use crate::lattice::Origin;
use crate::{Point, PointE7};

/// The widest circle that is tried by guessing.
const WIDEST_GUESS_M: f64 = 20_000.0;
/// Radii up to this are collected whole when guessing has not found enough.
const WIDEST_NEAR_M: f64 = 40_000.0;
/// A guessed circle should hold this many times k: a second try costs more than a few candidates.
const AIM: f64 = 2.0;

impl MovingIndex {
    /// The `k` nearest objects at most `max_m` metres away, nearest first, equal distances by id.
    ///
    /// `filter` may refuse objects by id; it can be asked about the same object more than once and must then say the
    /// same. `out` is cleared first. A negative or NaN `max_m` finds nothing, an infinite one sets no limit.
    pub fn nearest(&self, point: Point, k: usize, max_m: f64, mut filter: impl FnMut(u32) -> bool, out: &mut Vec<Hit>) {
        out.clear();
        let origin = Origin::new(point.into());
        let Some(widest) = Cap::new(origin, max_m) else { return };
        if k == 0 || self.is_empty() {
            return;
        }
        if !self.guess(origin, k, max_m, &mut filter, out) {
            out.clear();
            if max_m <= WIDEST_NEAR_M && self.is_small(&widest.window) {
                self.collect(&widest, filter, out);
            } else {
                self.search_tiles(&widest, k, filter, out);
            }
        }
        keep_nearest(out, k);
        finish(out);
    }

    /// Collects circles of growing size, up to [`WIDEST_GUESS_M`] and smaller than `max_m`, until one holds k objects.
    fn guess(
        &self,
        origin: Origin,
        k: usize,
        max_m: f64,
        filter: &mut impl FnMut(u32) -> bool,
        out: &mut Vec<Hit>,
    ) -> bool {
        let mut radius_m = self.first_guess_m(origin.at, k);
        while radius_m < max_m.min(WIDEST_GUESS_M) {
            out.clear();
            let Some(cap) = Cap::new(origin, radius_m).filter(|cap| self.is_small(&cap.window)) else { return false };
            self.collect(&cap, &mut *filter, out);
            if out.len() >= k {
                return true;
            }
            radius_m *= (AIM * k as f64 / out.len().max(1) as f64).sqrt().clamp(1.4, 3.0);
        }
        false
    }

    /// The circle that holds [`AIM`] times k objects, if they are as dense around as in this cell.
    fn first_guess_m(&self, at: PointE7, k: usize) -> f64 {
        let here = self.cells.get(&self.grid.key(at)).map_or(0, |cell| cell.items.len());
        CELL_M * (AIM * k as f64 / (here.max(1) as f64 * std::f64::consts::PI)).sqrt()
    }

    /// Visits tiles in the order of their least distance, and the cells of a tile likewise.
    fn search_tiles(&self, cap: &Cap, k: usize, mut filter: impl FnMut(u32) -> bool, out: &mut Vec<Hit>) {
        let from = cap.origin.unit_vector();
        let mut best = Best { k, worst: f64::INFINITY, out };
        let mut cells = Vec::new();
        for (least, tile) in self.tiles.by_distance(&self.grid, &cap.window, from) {
            if least > best.worst {
                break;
            }
            tile.cells_by_distance(from, best.worst, &mut cells);
            for &(least, key) in &cells {
                if least > best.worst {
                    break;
                }
                for item in self.items(key) {
                    if let Some(haversine) = cap.measure(item.at)
                        && haversine <= best.worst
                        && filter(item.id)
                    {
                        best.push(Hit { id: item.id, distance_m: haversine });
                    }
                }
            }
        }
    }
}

/// Keeps the k nearest and some more; cuts back to k now and then, which costs less than a heap.
struct Best<'a> {
    k: usize,
    worst: f64,
    out: &'a mut Vec<Hit>,
}

impl Best<'_> {
    fn push(&mut self, hit: Hit) {
        self.out.push(hit);
        if self.out.len() >= self.k.saturating_mul(2).max(16) {
            keep_nearest(self.out, self.k);
            self.worst = self.out.last().map_or(self.worst, |hit| hit.distance_m);
        }
    }
}

/// Cuts `out` to the k nearest; the farthest of them is the last.
fn keep_nearest(out: &mut Vec<Hit>, k: usize) {
    if out.len() > k {
        out.select_nth_unstable_by(k - 1, by_distance);
        out.truncate(k);
    }
}
