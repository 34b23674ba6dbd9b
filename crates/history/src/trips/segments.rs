//! What is found: trips and stops.

use drover_geo::PointE7;

/// The trips and stops within a window, each in order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segments {
    /// Ways.
    pub trips: Vec<Trip>,
    /// Stays.
    pub stops: Vec<Stop>,
}

/// A way between stops, gaps or the ends of the window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trip {
    /// When it begins, ms UTC.
    pub start_ms: i64,
    /// When it ends, ms UTC; later than the start.
    pub end_ms: i64,
    /// Where it begins.
    pub start: PointE7,
    /// Where it ends.
    pub end: PointE7,
    /// Metres along its fixes.
    pub distance_m: f64,
    /// The fastest that the asset said at its fixes, or that a leg to one took where it said nothing, km/h. Without
    /// what is beyond `max_speed_kmh`.
    pub max_speed_kmh: Option<f64>,
    /// Its fixes, with those that begin and end it.
    pub points: u64,
    /// It began before the window.
    pub open_start: bool,
    /// It went on after the window.
    pub open_end: bool,
}

/// A stay in one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stop {
    /// When it begins, ms UTC.
    pub start_ms: i64,
    /// When it ends, ms UTC; later than the start.
    pub end_ms: i64,
    /// The mean place, by time.
    pub at: PointE7,
    /// Its fixes, with those that begin and end it.
    pub points: u64,
    /// It began before the window.
    pub open_start: bool,
    /// It went on after the window.
    pub open_end: bool,
}

impl Trip {
    /// How long it takes, ms.
    #[must_use]
    pub fn duration_ms(&self) -> i64 {
        self.end_ms - self.start_ms
    }

    /// Its distance by its duration, km/h.
    #[must_use]
    pub fn avg_speed_kmh(&self) -> f64 {
        self.distance_m / self.duration_ms() as f64 * 3_600.0
    }
}

impl Stop {
    /// How long it takes, ms.
    #[must_use]
    pub fn duration_ms(&self) -> i64 {
        self.end_ms - self.start_ms
    }
}
