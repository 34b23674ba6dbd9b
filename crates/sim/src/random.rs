//! A small seeded source of randomness (SplitMix64), so that a scenario can be replayed from its seed on any machine
//! and after any upgrade of a dependency. Not for secrets.

/// The same seed gives the same numbers, always.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A source of its own for each seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A source for one member of a group, independent of how often the others draw.
    pub fn member(seed: u64, member: u64) -> Random {
        let mut mixer = Random(seed ^ member.wrapping_mul(0xA24B_AED4_963E_E407));
        Random(mixer.next_u64())
    }

    /// 64 even bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from `low` (included) to `high` (excluded).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        low + unit * (high - low)
    }

    /// Evenly from 0 to `bound` (excluded, must not be 0).
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias of a plain remainder is bound / 2^64: far below anything that a simulation could show.
        (self.next_u64() % bound as u64) as usize
    }

    /// About normal with mean 0 and deviation 1, never beyond 6: the sum of twelve even draws.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.between(0.0, 1.0)).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let draw = |seed| (0..100).map(|_| Random::new(seed).next_u64()).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn normal_draws_have_mean_zero_and_deviation_one() {
        let mut random = Random::new(1);
        let draws: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
