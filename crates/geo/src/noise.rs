//! Noise among the fixes of one asset: what a receiver says that cannot be, or is not worth moving for.
//! Nothing is deleted: [`Track::judge`] names the rule that a fix breaks, and the caller decides what that means.
//! It sees fixes in the order of their times, once, without looking ahead; [`Track`] is all that it remembers.
//! What it knows is numbers: no reports, no kinds of assets, no receive times.

mod far;
mod parked;
mod plane;
mod track;

use crate::PointE7;
pub use track::Track;

/// What one report says of where its asset was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fix {
    /// When, ms UTC by the device's clock. Not before the fix judged last; an earlier time counts as no time passed.
    pub time_ms: i64,
    /// Where.
    pub at: PointE7,
    /// How wrong the device believes the place may be, metres. What is no number or below 0 counts as not said.
    pub accuracy_m: Option<f32>,
    /// How fast the device says it is, km/h. What is no number counts as not said.
    pub speed_kmh: Option<f32>,
}

/// Why a fix is noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Noise {
    /// Too far to have been reached in the time since the last good fix.
    Jump,
    /// The same, by tens of kilometres.
    Teleport,
    /// Away from where the asset is parked, without a sign that it drives.
    ParkedDrift,
    /// Near the fix before, but the way of the last fixes together needs more time than their clock passed.
    StuckClock,
    /// Exactly latitude 0, longitude 0.
    NoFix,
}

impl Noise {
    /// Every rule.
    pub const ALL: [Noise; 5] = [Noise::Jump, Noise::Teleport, Noise::ParkedDrift, Noise::StuckClock, Noise::NoFix];

    /// Its name in snake_case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Noise::Jump => "jump",
            Noise::Teleport => "teleport",
            Noise::ParkedDrift => "parked_drift",
            Noise::StuckClock => "stuck_clock",
            Noise::NoFix => "no_fix",
        }
    }

    /// What is wrong with such a fix, in a sentence.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Noise::Jump => "From the last good place it cannot be reached in the time between, not even at top speed.",
            Noise::Teleport => "It is tens of kilometres away and cannot be reached in the time between.",
            Noise::ParkedDrift => "The asset is parked close by and nothing says that it has left.",
            Noise::StuckClock => "The places move on but the device's clock hardly does, so the time is wrong.",
            Noise::NoFix => "Exactly 0, 0 is what a receiver says that does not know where it is.",
        }
    }
}

/// The numbers of the rules. A limit that is no number, or out of all reason, is taken as the nearest that is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Nothing of this kind moves faster, km/h; 1 to 5,000.
    pub max_speed_kmh: f64,
    /// So much farther than top speed allows a good fix may seem to be, metres, 1 to 5,000: two fixes err, clocks are
    /// rounded.
    pub slack_m: f64,
    /// A fix that admits to be inaccurate gets so much more slack at most, metres.
    pub accuracy_max_m: f64,
    /// An impossible distance from here on is a teleport, below it a jump, metres.
    pub teleport_m: f64,
    /// A place is defended when so many fixes in a row agree on it; before that, what contradicts it is believed at once:
    /// of two places that nothing else speaks for, the newer is the better guess. 1 to 250.
    pub defended_fixes: u8,
    /// So many fixes that agree with each other are believed against everything before; 2 to 250.
    pub recovery_fixes: u8,
    /// An asset is parked when it has stood for so long, seconds …
    pub parked_after_s: u32,
    /// … and for so many fixes: of those that report every two minutes, one fix away after a short stop is a departure.
    pub parked_fixes: u8,
    /// Who stands seems to be within so many metres of the middle of its fixes: the usual jitter, which nobody flags.
    pub jitter_m: f64,
    /// Drift goes so far from where the asset is parked, metres. A second fix beyond it has left.
    pub drift_radius_m: f64,
    /// What stays away from where it was parked for so long has moved, seconds.
    pub drift_max_s: u32,
    /// Who says that it is so fast drives, km/h.
    pub moving_kmh: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_speed_kmh: 200.0,
            slack_m: 50.0,
            accuracy_max_m: 100.0,
            teleport_m: 20_000.0,
            defended_fixes: 3,
            recovery_fixes: 5,
            parked_after_s: 180,
            parked_fixes: 16,
            jitter_m: 25.0,
            drift_radius_m: 100.0,
            drift_max_s: 60,
            moving_kmh: 5.0,
        }
    }
}

impl Limits {
    /// Metres per millisecond at top speed.
    fn metres_per_ms(&self) -> f64 {
        within(self.max_speed_kmh, 1.0, 5_000.0) / 3_600.0
    }

    /// Slack for a fix of this accuracy, metres.
    fn slack(&self, accuracy_m: Option<f32>) -> f64 {
        let inaccurate_m = within(accuracy_m.unwrap_or(0.0).into(), 0.0, self.accuracy_max_m.max(0.0));
        within(self.slack_m, 1.0, 5_000.0) + inaccurate_m
    }

    /// Whether a device that says this speed drives. A speed that cannot be says nothing.
    fn is_moving(&self, speed_kmh: Option<f32>) -> bool {
        speed_kmh.is_some_and(|kmh| kmh >= self.moving_kmh && f64::from(kmh) <= self.max_speed_kmh)
    }
}

/// The nearest number of a range; for NaN its least, where `clamp` would give NaN.
fn within(number: f64, least: f64, most: f64) -> f64 {
    number.max(least).min(most)
}
