//! The state of one asset, and the order in which the rules are asked.
//! The *head* is the last good fix. The *rival* is what contradicts it; if it goes on, it becomes the head.

use super::plane::Plane;
use super::{Fix, Limits, Noise, within};
use crate::PointE7;
use crate::lattice::{POLE, shorter_way};

/// A place that is said again may be so old, ms: receivers repeat their last place in tunnels and when busy.
const STALE_MAX_MS: i64 = 35_000;
/// Meanwhile it goes so much faster than it says, at most.
const SPEED_MARGIN: f64 = 1.5;
/// After so long without a good fix the head has no witnesses any more, ms.
const WITNESSES_MAX_MS: i64 = 300_000;
/// No receiver has two fixes within so many ms: places that differ too much are the clock's fault, not theirs.
const CLOCK_STEP_MIN_MS: i64 = 20;
/// So long the clock has to run before what it owes is forgotten, ms.
const CLOCK_OWES_MAX_MS: f64 = 3_000.0;

/// What is remembered of one asset: 48 bytes. The default knows nothing.
#[derive(Clone, Copy, Debug)]
pub struct Track {
    pub(super) head_ms: i64,
    pub(super) head: PointE7,
    /// The place of the rival's newest fix; of drift, its first.
    pub(super) rival_at: PointE7,
    /// The middle of the fixes while the asset stands.
    pub(super) anchor: PointE7,
    /// The time of the fix at `rival_at`, ms after the head.
    pub(super) rival_after_ms: u32,
    /// How long it has stood around the anchor.
    pub(super) stood_ms: u32,
    /// So much farther than possible the fixes up to the newest have gone together, decimetres.
    excess_dm: u16,
    /// How long before `head_ms` the head was already there by its own words.
    stale_ms: u16,
    /// Fixes that agree with the head, itself among them; 0 knows nothing.
    pub(super) witnesses: u8,
    pub(super) stood_fixes: u8,
    pub(super) rival: Rival,
}

/// What contradicts the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rival {
    Nothing,
    /// So many fixes too far from the head, near each other.
    Far(u8),
    /// So many fixes away from where the asset is parked.
    Away(u8),
    /// The same, and the newest is farther than drift goes.
    Beyond(u8),
    /// Fixes whose clock stands; the newest is the rival's place.
    Stuck,
}

/// The fix to be judged, with what is computed once.
pub(super) struct Look<'a> {
    pub(super) fix: Fix,
    pub(super) limits: &'a Limits,
    pub(super) slack_m: f64,
    metres_per_ms: f64,
    from: Plane,
}

impl<'a> Look<'a> {
    fn new(fix: Fix, limits: &'a Limits) -> Self {
        let slack_m = limits.slack(fix.accuracy_m);
        Look { fix, limits, slack_m, metres_per_ms: limits.metres_per_ms(), from: Plane::new(fix.at) }
    }

    pub(super) fn distance_m(&self, to: PointE7) -> f64 {
        self.from.distance_m(to)
    }

    /// Farther than top speed goes in this time, by so many metres; negative if it is not.
    pub(super) fn excess_m(&self, distance_m: f64, passed_ms: i64) -> f64 {
        distance_m - passed_ms as f64 * self.metres_per_ms
    }

    /// How fast the device says that it drives at most, in parts of top speed; a silent one may drive that fast.
    fn share_of_top_speed(&self) -> f64 {
        let said = self.fix.speed_kmh.filter(|kmh| !kmh.is_nan());
        let said = said.map(|kmh| f64::from(kmh) * SPEED_MARGIN / 3_600.0 / self.metres_per_ms);
        within(said.unwrap_or(1.0), 0.0, 1.0)
    }

    pub(super) fn is_moving(&self) -> bool {
        self.limits.is_moving(self.fix.speed_kmh)
    }
}

impl Default for Track {
    fn default() -> Self {
        let nowhere = PointE7 { lat: 0, lon: 0 };
        Self {
            head_ms: 0,
            head: nowhere,
            rival_at: nowhere,
            anchor: nowhere,
            rival_after_ms: 0,
            stood_ms: 0,
            excess_dm: 0,
            stale_ms: 0,
            witnesses: 0,
            stood_fixes: 0,
            rival: Rival::Nothing,
        }
    }
}

impl Track {
    /// A track that goes on from a good fix which is known from elsewhere, such as from before a restart; its place is
    /// defended as if several fixes agreed on it.
    #[must_use]
    pub fn after(time_ms: i64, at: PointE7, limits: &Limits) -> Track {
        let mut track = Track::default();
        let fix = Fix { time_ms, at: on_earth(at), accuracy_m: None, speed_kmh: None };
        track.restart(&fix, limits.defended_fixes.max(1));
        track
    }

    /// The last fix that is not noise: its time, ms UTC, and its place.
    #[must_use]
    pub fn head(&self) -> Option<(i64, PointE7)> {
        (self.witnesses > 0).then_some((self.head_ms, self.head))
    }

    /// Takes the next fix and says which rule it breaks; `None` is a good fix, which is the head from now on.
    pub fn judge(&mut self, mut fix: Fix, limits: &Limits) -> Option<Noise> {
        fix.at = on_earth(fix.at);
        if fix.at == (PointE7 { lat: 0, lon: 0 }) {
            return Some(Noise::NoFix);
        }
        if self.witnesses == 0 {
            self.restart(&fix, 1);
            return None;
        }
        let look = Look::new(fix, limits);
        if self.rival == Rival::Stuck { self.after_a_stuck_clock(&look) } else { self.after_the_head(&look) }
    }

    fn after_the_head(&mut self, look: &Look) -> Option<Noise> {
        let distance_m = look.distance_m(self.head);
        let passed_ms = self.since_head_ms(look);
        let excess_m = look.excess_m(distance_m, passed_ms.saturating_add(self.stale_ms.into()));
        if excess_m > look.slack_m && passed_ms >= CLOCK_STEP_MIN_MS {
            return self.far(look, distance_m);
        }
        if self.is_parked(look.limits) && self.drifts(look, passed_ms) {
            return Some(Noise::ParkedDrift);
        }
        self.step(look, excess_m)
    }

    /// The head stays where the clock stopped; the way goes on from the newest fix.
    fn after_a_stuck_clock(&mut self, look: &Look) -> Option<Noise> {
        let excess_m = look.excess_m(look.distance_m(self.rival_at), self.since_rival_ms(look));
        let is_still_stuck = self.since_rival_ms(look) < CLOCK_STEP_MIN_MS;
        if excess_m <= look.slack_m || is_still_stuck {
            return self.step(look, excess_m);
        }
        // The newest fix was a wrong one, and not only its time.
        (self.rival, self.excess_dm) = (Rival::Nothing, 0);
        self.after_the_head(look)
    }

    /// A step that may be. What it is too long adds up, though: that many steps together are too long is the clock's
    /// fault. After far fixes the step is not one step of the device, so it starts the sum anew.
    fn step(&mut self, look: &Look, excess_m: f64) -> Option<Noise> {
        let most_m = look.slack_m + CLOCK_OWES_MAX_MS * look.metres_per_ms;
        let before_m = if matches!(self.rival, Rival::Far(_)) { 0.0 } else { f64::from(self.excess_dm) / 10.0 };
        let excess_m = within(before_m + excess_m, 0.0, most_m);
        self.excess_dm = (excess_m * 10.0) as u16;
        if excess_m > look.slack_m && self.is_undefended(look.limits) {
            self.restart(&look.fix, 1);
            return None;
        }
        if excess_m > look.slack_m {
            self.contradict(look, Rival::Stuck);
            return Some(Noise::StuckClock);
        }
        self.believe(look);
        None
    }

    /// The fix follows the head and becomes it.
    fn believe(&mut self, look: &Look) {
        let passed_ms = self.since_head_ms(look);
        let old = if passed_ms > WITNESSES_MAX_MS { 0 } else { self.witnesses };
        self.witnesses = old.saturating_add(1);
        self.stale_ms = self.staleness_ms(look, passed_ms);
        self.stand(look, passed_ms);
        (self.head_ms, self.head, self.rival) = (look.fix.time_ms, look.fix.at, Rival::Nothing);
    }

    /// Who drives and says one place again and again is somewhere else by now; who stands is not.
    fn staleness_ms(&self, look: &Look, passed_ms: i64) -> u16 {
        if look.fix.at != self.head || self.is_parked(look.limits) {
            return 0;
        }
        let more_ms = passed_ms.min(STALE_MAX_MS) as f64 * look.share_of_top_speed();
        (f64::from(self.stale_ms) + more_ms).min(STALE_MAX_MS as f64) as u16
    }

    /// Too few fixes agree on the head to call others wrong.
    pub(super) fn is_undefended(&self, limits: &Limits) -> bool {
        self.witnesses < limits.defended_fixes
    }

    /// Everything before is forgotten.
    pub(super) fn restart(&mut self, fix: &Fix, witnesses: u8) {
        let (head_ms, head) = (fix.time_ms, fix.at);
        *self = Self { head_ms, head, anchor: head, witnesses, stood_fixes: 1, ..Self::default() };
    }

    /// The fix is the rival's newest.
    pub(super) fn contradict(&mut self, look: &Look, rival: Rival) {
        self.rival_at = look.fix.at;
        self.rival_after_ms = u32::try_from(self.since_head_ms(look)).unwrap_or(u32::MAX);
        self.rival = rival;
    }

    pub(super) fn since_head_ms(&self, look: &Look) -> i64 {
        look.fix.time_ms.saturating_sub(self.head_ms).max(0)
    }

    pub(super) fn since_rival_ms(&self, look: &Look) -> i64 {
        (self.since_head_ms(look) - i64::from(self.rival_after_ms)).max(0)
    }
}

/// Latitudes beyond a pole become the pole and longitudes are wrapped: admission refuses them, this must not fail.
fn on_earth(at: PointE7) -> PointE7 {
    PointE7 { lat: at.lat.clamp(-POLE, POLE), lon: shorter_way(at.lon.into()) as i32 }
}
