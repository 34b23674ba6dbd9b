//! Standing and parked assets. Who is parked stays shown where it is until something says that it has left: its speed,
//! a way beyond where drift goes, or time. None of these takes longer than the limits say.

use super::Limits;
use super::track::{Look, Rival, Track};
use crate::PointE7;
use crate::lattice::shorter_way;

/// The anchor is the mean of about so many fixes: it follows who creeps, and a few odd fixes do not move it much.
const ANCHOR_FIXES: u8 = 8;
/// Time outside the jitter weighs so much more than time inside, before the asset counts as parked.
const OUTSIDE_WEIGHT: u32 = 2;
/// So many fixes away from the anchor are believed even if they lie in all directions.
const AWAY_FIXES: u8 = 4;
/// A way leads out if so much of each step does; 1 is straight.
const STRAIGHT: f64 = 0.7;

impl Track {
    pub(super) fn is_parked(&self, limits: &Limits) -> bool {
        self.stood_fixes >= limits.parked_fixes && self.stood_ms >= limits.parked_after_s.saturating_mul(1_000)
    }

    /// A good fix comes: does the asset stand around the anchor? A good one outside means that who was parked has left.
    pub(super) fn stand(&mut self, look: &Look, passed_ms: i64) {
        let distance_m = look.distance_m(self.anchor);
        let passed_ms = u32::try_from(passed_ms).unwrap_or(u32::MAX);
        let is_inside = distance_m <= look.limits.jitter_m;
        let has_left = distance_m > look.limits.drift_radius_m || !is_inside && self.is_parked(look.limits);
        if look.is_moving() || has_left {
            self.stand_anew(look.fix.at);
        } else if is_inside {
            self.stood_ms = self.stood_ms.saturating_add(passed_ms);
            self.stood_fixes = self.stood_fixes.saturating_add(1);
            self.anchor = towards(self.anchor, look.fix.at, self.stood_fixes);
        } else {
            self.stood_ms = self.stood_ms.saturating_sub(passed_ms.saturating_mul(OUTSIDE_WEIGHT));
            if self.stood_ms == 0 {
                self.stand_anew(look.fix.at);
            }
        }
    }

    fn stand_anew(&mut self, at: PointE7) {
        (self.anchor, self.stood_ms, self.stood_fixes) = (at, 0, 1);
    }

    /// Whether a fix of a parked asset is drift.
    pub(super) fn drifts(&mut self, look: &Look, passed_ms: i64) -> bool {
        let distance_m = look.distance_m(self.anchor);
        if distance_m <= look.limits.jitter_m {
            return false;
        }
        let is_beyond = distance_m > look.limits.drift_radius_m;
        if look.is_moving()
            || if is_beyond { self.stays_beyond(look, passed_ms) } else { self.stays_away(look, distance_m) }
        {
            return false;
        }
        self.go_away(look, is_beyond);
        true
    }

    /// Two fixes in a row, or one after a pause in which anybody could have driven off.
    fn stays_beyond(&self, look: &Look, passed_ms: i64) -> bool {
        matches!(self.rival, Rival::Beyond(_) | Rival::Far(_)) || passed_ms >= drift_max_ms(look.limits)
    }

    /// On its way, or long enough away and at one place: noise of rare fixes lies once here, once there.
    fn stays_away(&self, look: &Look, distance_m: f64) -> bool {
        let (Rival::Away(fixes) | Rival::Beyond(fixes)) = self.rival else { return false };
        let (away_ms, step_m) = (self.since_rival_ms(look), look.distance_m(self.rival_at));
        let is_settled = fixes >= AWAY_FIXES || step_m <= look.limits.jitter_m;
        away_ms >= drift_max_ms(look.limits) && is_settled || self.goes_out(look, distance_m, step_m, away_ms)
    }

    /// Farther out than the first fix away, in the same direction, and as fast as who drives.
    fn goes_out(&self, look: &Look, distance_m: f64, step_m: f64, away_ms: i64) -> bool {
        let gain_m = distance_m - self.rival_at.distance_m(self.anchor);
        let driven_m = f64::from(look.limits.moving_kmh) / 3_600.0 * away_ms as f64;
        gain_m >= (look.limits.jitter_m / 2.0).max(STRAIGHT * step_m).max(driven_m)
    }

    /// The first fix away stays the rival's place and time.
    fn go_away(&mut self, look: &Look, is_beyond: bool) {
        let fixes = match self.rival {
            Rival::Away(fixes) | Rival::Beyond(fixes) => fixes.saturating_add(1),
            _ => 1,
        };
        let rival = if is_beyond { Rival::Beyond(fixes) } else { Rival::Away(fixes) };
        if fixes == 1 { self.contradict(look, rival) } else { self.rival = rival }
    }
}

fn drift_max_ms(limits: &Limits) -> i64 {
    i64::from(limits.drift_max_s) * 1_000
}

/// One step of `fixes` from a place to another, the shorter way round.
fn towards(from: PointE7, to: PointE7, fixes: u8) -> PointE7 {
    // A constant divisor is a shift; other divisions of 64 bits are slow, and rare here.
    let share = |change: i64| {
        if fixes >= ANCHOR_FIXES { change / i64::from(ANCHOR_FIXES) } else { change / i64::from(fixes.max(1)) }
    };
    let lat = i64::from(from.lat) + share(i64::from(to.lat) - i64::from(from.lat));
    let lon = i64::from(from.lon) + share(shorter_way(i64::from(to.lon) - i64::from(from.lon)));
    PointE7 { lat: lat as i32, lon: shorter_way(lon) as i32 }
}
