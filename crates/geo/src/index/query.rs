//! Queries that return all of an area: circle, box, polygon.
//! They enumerate cells by a window and test each item exactly.

use super::window::{Cap, Window};
use super::{Hit, Item, MovingIndex};
use crate::lattice::{Origin, metres};
use crate::{BoundingBox, Point, Polygon};
use std::hint::black_box;

impl MovingIndex {
    /// Objects at most `radius_m` metres away, nearest first, equal distances by id; at most `limit` of them.
    ///
    /// `filter` may refuse objects by id. `out` is cleared first. A negative or NaN radius finds nothing, an infinite
    /// one everything.
    pub fn within(
        &self,
        point: Point,
        radius_m: f64,
        limit: Option<usize>,
        filter: impl FnMut(u32) -> bool,
        out: &mut Vec<Hit>,
    ) {
        if let Some(limit) = limit {
            return self.nearest(point, limit, radius_m, filter, out);
        }
        out.clear();
        if let Some(cap) = Cap::new(Origin::new(point.into()), radius_m) {
            self.collect(&cap, filter, out);
            finish(out);
        }
    }

    /// Calls `visit` with every object in the box, in no particular order.
    pub fn in_box(&self, area: &BoundingBox, visit: impl FnMut(u32, Point)) {
        self.in_area(area, |point| area.contains(point), visit);
    }

    /// Calls `visit` with every object in the polygon, in no particular order. See [`Polygon::contains`] for borders.
    pub fn in_polygon(&self, area: &Polygon, visit: impl FnMut(u32, Point)) {
        self.in_area(&area.bounding_box(), |point| area.contains(point), visit);
    }

    /// The box only chooses candidates, a little generously: that of a polygon over the antimeridian is rounded.
    fn in_area(&self, around: &BoundingBox, contains: impl Fn(Point) -> bool, mut visit: impl FnMut(u32, Point)) {
        let Some(window) = Window::over(around) else { return };
        self.each_cell(&window, |items| {
            for item in items.iter().filter(|item| window.covers(item.at)) {
                let point = item.at.into();
                if contains(point) {
                    visit(item.id, point);
                }
            }
        });
    }

    /// Adds the objects of the circle to `out`, unordered, with the haversine in place of metres; see [`finish`].
    pub(super) fn collect(&self, cap: &Cap, mut filter: impl FnMut(u32) -> bool, out: &mut Vec<Hit>) {
        self.each_cell(&cap.window, |items| {
            for item in items {
                if let Some(haversine) = cap.measure(item.at)
                    && filter(item.id)
                {
                    out.push(Hit { id: item.id, distance_m: haversine });
                }
            }
        });
    }

    /// Visits the items of every non-empty cell that overlaps the window, and perhaps of others. Small windows ask the
    /// hash map for each of their cells; windows with many more cells than there are walk the lists of the tiles.
    fn each_cell(&self, window: &Window, visit: impl FnMut(&[Item])) {
        let mut batch = Batch { cells: [&[]; BATCH], len: 0, visit };
        if self.is_small(window) {
            self.grid.each_cell(window, |key| batch.add(self.items(key)));
        } else {
            self.tiles.each(&self.grid, window, |tile| {
                tile.cells.iter().for_each(|member| batch.add(self.items(member.key)));
            });
        }
        batch.flush();
    }

    #[inline]
    pub(super) fn items(&self, key: u32) -> &[Item] {
        self.cells.get(&key).map_or(&[], |cell| &cell.items)
    }

    /// A look-up costs about a quarter of a visit to a cell.
    pub(super) fn is_small(&self, window: &Window) -> bool {
        self.grid.cells_in(window) <= 64 + self.cells.len() as u64 / 4
    }
}

const BATCH: usize = 32;

/// Cells on their way to a visit. Finding a cell and reading its items wait for memory, 50 to 200 ns each. Done one
/// cell after the other they wait in turn; done for a batch, first finding all, then touching all, they wait together.
struct Batch<'a, V> {
    cells: [&'a [Item]; BATCH],
    len: usize,
    visit: V,
}

impl<'a, V: FnMut(&[Item])> Batch<'a, V> {
    #[inline]
    fn add(&mut self, items: &'a [Item]) {
        if items.is_empty() {
            return;
        }
        self.cells[self.len] = items;
        self.len += 1;
        if self.len == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let cells = &self.cells[..self.len];
        // The loads do not depend on each other, so the processor has many of them under way at once.
        let touched = cells.iter().fold(0, |sum, items| sum ^ items[0].id ^ items[items.len() / 2].id);
        black_box(touched);
        cells.iter().for_each(|items| (self.visit)(items));
        self.len = 0;
    }
}

/// Orders by haversine, then id.
pub(super) fn by_distance(a: &Hit, b: &Hit) -> std::cmp::Ordering {
    a.distance_m.total_cmp(&b.distance_m).then(a.id.cmp(&b.id))
}

/// Sorts hits that still carry haversines, and turns these into metres.
pub(super) fn finish(out: &mut [Hit]) {
    out.sort_unstable_by(by_distance);
    out.iter_mut().for_each(|hit| hit.distance_m = metres(hit.distance_m));
}
