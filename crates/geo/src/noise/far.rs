//! Fixes too far from the head, and when they are right against it.
//! The head may be the wrong one itself, or the asset was carried: then the new fixes agree with each other and go on.
//! A short run of wrong fixes agrees too; the more fixes stand behind the head, the more it takes.

use super::track::{Look, Rival, Track};
use super::{Limits, Noise};

impl Track {
    pub(super) fn far(&mut self, look: &Look, distance_m: f64) -> Option<Noise> {
        if self.is_undefended(look.limits) {
            self.restart(&look.fix, 1);
            return None;
        }
        let agreeing = self.agreeing(look).saturating_add(1);
        if agreeing >= self.needed(look.limits) {
            self.restart(&look.fix, agreeing);
            return None;
        }
        self.contradict(look, Rival::Far(agreeing));
        Some(if distance_m < look.limits.teleport_m { Noise::Jump } else { Noise::Teleport })
    }

    /// Fixes of the rival from which this one can be reached.
    fn agreeing(&self, look: &Look) -> u8 {
        let Rival::Far(fixes) = self.rival else { return 0 };
        let excess_m = look.excess_m(look.distance_m(self.rival_at), self.since_rival_ms(look));
        if excess_m > look.slack_m { 0 } else { fixes }
    }

    /// A rival needs one fix more than the head has, and two at least: one fix alone is no witness for itself.
    fn needed(&self, limits: &Limits) -> u8 {
        self.witnesses.saturating_add(1).min(limits.recovery_fixes).max(2)
    }
}
