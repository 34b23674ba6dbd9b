//! Questions about places: what is near, within a circle, a box, a polygon.

use crate::live::{Freshness, Live};
use crate::state::{Seen, State};
use drover_geo::{BoundingBox, Hit, Point, Polygon};
use drover_model::{Kind, Report, Sight, Status};

/// Where to look.
#[derive(Debug, Clone)]
pub enum Area {
    /// Within `radius_m` of a point, nearest first.
    Circle {
        /// The centre.
        centre: Point,
        /// Metres; infinite looks everywhere.
        radius_m: f64,
    },
    /// Between two parallels and two meridians.
    Box(BoundingBox),
    /// Inside a polygon.
    Polygon(Box<Polygon>),
}

/// Which assets count. An empty list allows all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Kinds.
    pub kinds: Vec<Kind>,
    /// Reported status.
    pub statuses: Vec<Status>,
    /// Freshness.
    pub freshness: Vec<Freshness>,
    /// City label.
    pub city: Option<String>,
    /// What the searcher may see.
    pub sight: Sight,
}

/// One answer of a search.
#[derive(Debug)]
pub struct Found<'a> {
    /// The asset.
    pub seen: Seen<'a>,
    /// Metres from the centre, where the area has one.
    pub distance_m: Option<f64>,
}

impl Filter {
    /// Asked of every candidate near a point, so what stands in a record's head is looked at first, and
    /// the rest is decoded only for filters that need it.
    fn allows(&self, live: &Live, state: &State, asset: u32, now_ms: i64) -> bool {
        let view = state.view(asset);
        let head_allows = (self.kinds.is_empty() || self.kinds.iter().any(|kind| *kind as u8 == view.kind_number()))
            && (self.freshness.is_empty() || self.freshness.contains(&live.freshness(view.receive_time(), now_ms)));
        let needs_rest = !self.statuses.is_empty() || self.city.is_some();
        head_allows && self.shows(state, asset) && (!needs_rest || self.rest_allows(&state.seen(asset).report))
    }

    fn shows(&self, state: &State, asset: u32) -> bool {
        self.sight.is_all() || self.sight.sees(state.seen(asset).report.kind, state.id(asset))
    }

    fn rest_allows(&self, report: &Report<'_>) -> bool {
        (self.statuses.is_empty() || report.status.is_some_and(|status| self.statuses.contains(&status)))
            && (self.city.is_none() || self.city.as_deref() == report.city.as_deref())
    }
}

impl Live {
    /// Gives up to `limit` assets of the area to `read`: by distance where there is a centre, else in
    /// the order in which they were first heard. Returns the applied log position and how many were
    /// left out by `limit` (0 for circles, where the search stops at the limit).
    pub fn search<T>(
        &self,
        area: &Area,
        filter: &Filter,
        limit: usize,
        now_ms: i64,
        mut read: impl FnMut(Found<'_>) -> T,
    ) -> (u64, usize, Vec<T>) {
        let state = self.0.state.read();
        let allows = |id: u32| filter.allows(self, &state, id, now_ms);
        let mut hits = Vec::new();
        match area {
            Area::Circle { centre, radius_m } => {
                state.index().within(*centre, *radius_m, Some(limit), allows, &mut hits)
            }
            Area::Box(area) => state.index().in_box(area, |id, _| push_if(id, &allows, &mut hits)),
            Area::Polygon(area) => state.index().in_polygon(area, |id, _| push_if(id, &allows, &mut hits)),
        }
        let left_out = hits.len().saturating_sub(limit);
        if !matches!(area, Area::Circle { .. }) {
            hits.sort_unstable_by_key(|hit| hit.id);
            hits.truncate(limit);
        }
        let found = hits.iter().map(|hit| read(found(&state, hit))).collect();
        (state.applied(), left_out, found)
    }
}

fn push_if(id: u32, allows: &impl Fn(u32) -> bool, hits: &mut Vec<Hit>) {
    if allows(id) {
        hits.push(Hit { id, distance_m: f64::NAN });
    }
}

fn found<'a>(state: &'a State, hit: &Hit) -> Found<'a> {
    Found { seen: state.seen(hit.id), distance_m: Some(hit.distance_m).filter(|d| !d.is_nan()) }
}
