//! A report is a draft that was admitted. It borrows its texts either from the message that it came
//! in or from the log's bytes, so that passing a report on copies nothing.

use crate::{Kind, Readings, Status};
use std::borrow::Cow;

/// A position on the Earth in units of 1e-7 degree (about 1 cm), the resolution in which positions
/// are kept and compared everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Latitude × 10⁷.
    pub lat_e7: i32,
    /// Longitude × 10⁷.
    pub lon_e7: i32,
}

impl Position {
    /// Rounds to the nearest 1e-7 degree. The caller has checked the ranges.
    pub fn from_degrees(lat: f64, lon: f64) -> Position {
        Position { lat_e7: (lat * 1e7).round() as i32, lon_e7: (lon * 1e7).round() as i32 }
    }

    /// Latitude in degrees.
    pub fn lat(self) -> f64 {
        f64::from(self.lat_e7) / 1e7
    }

    /// Longitude in degrees.
    pub fn lon(self) -> f64 {
        f64::from(self.lon_e7) / 1e7
    }
}

/// What admission found out about a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// The device sent no event time: the receive time stands in, made strictly increasing.
    pub const NO_EVENT_TIME: u16 = 1;
    /// Older than the newest report of the asset when it came: history only, never live.
    pub const LATE: u16 = 2;
    /// The place cannot have been reached since the last good one.
    pub const JUMP: u16 = 4;
    /// The same, by tens of kilometres.
    pub const TELEPORT: u16 = 8;
    /// The asset stands, and only its receiver wanders.
    pub const PARKED_DRIFT: u16 = 16;
    /// The place moves on but the device's clock hardly does.
    pub const STUCK_CLOCK: u16 = 32;
    /// Exactly 0, 0: the receiver knows no place.
    pub const NO_FIX: u16 = 64;
    /// The device said neither speed nor heading: the speed is that from the fix before to this one.
    pub const DERIVED_SPEED: u16 = 128;
    /// The same of the heading.
    pub const DERIVED_HEADING: u16 = 256;
    /// Drover measured the way from the depot. Of interest to readers of records only, so that it has no word.
    pub(crate) const DEPOT: u16 = 512;
    /// Any of the flags that say that the asset was not at this place at this time.
    pub const NOISE: u16 = 4 | 8 | 16 | 32 | 64;
    /// Those of them that say that it was not at this place at all.
    pub const NO_PLACE: u16 = Flags::NOISE & !Flags::STUCK_CLOCK;

    /// Whether `flag`, or one of several, is set.
    pub fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    /// Sets or clears `flag`.
    pub fn set(&mut self, flag: u16, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
    }

    /// The words of the set flags.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(u16, &str); 9] = [
            (Flags::NO_EVENT_TIME, "no_event_time"),
            (Flags::LATE, "late"),
            (Flags::JUMP, "jump"),
            (Flags::TELEPORT, "teleport"),
            (Flags::PARKED_DRIFT, "parked_drift"),
            (Flags::STUCK_CLOCK, "stuck_clock"),
            (Flags::NO_FIX, "no_fix"),
            (Flags::DERIVED_SPEED, "derived_speed"),
            (Flags::DERIVED_HEADING, "derived_heading"),
        ];
        NAMES.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }
}

impl Report<'_> {
    /// Where, if that is to be believed: a place that admission flagged as noise stays in history and moves nothing.
    /// Where only the clock stands, the place is the best that anybody knows.
    pub fn place(&self) -> Option<Position> {
        self.position.filter(|_| !self.flags.has(Flags::NO_PLACE))
    }
}

/// An admitted report. Units as in [`crate::Draft`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive] // only `Draft::check` and the record reader make one
pub struct Report<'a> {
    /// What reported.
    pub kind: Kind,
    /// Its id within the kind.
    pub id: Cow<'a, str>,
    /// When it happened, ms UTC.
    pub event_time: i64,
    /// When Drover received it, ms UTC.
    pub receive_time: i64,
    /// Where.
    pub position: Option<Position>,
    /// Radius of uncertainty, metres.
    pub accuracy_m: Option<f32>,
    /// Speed over ground, km/h.
    pub speed_kmh: Option<f32>,
    /// Direction of travel, 0 up to but not including 360.
    pub heading_deg: Option<f32>,
    /// Battery charge, percent.
    pub battery_pct: Option<f32>,
    /// What the asset says of itself.
    pub status: Option<Status>,
    /// The order being served, a hint.
    pub order_id: Option<Cow<'a, str>>,
    /// City label.
    pub city: Option<Cow<'a, str>>,
    /// What admission found out.
    pub flags: Flags,
    /// Named extra values.
    pub readings: Readings<'a>,
}
