//! The noise filter on real traces, on traces with known noise put in, and on anything at all. `--nocapture` prints the
//! figures of `docs/noise.md`.

mod buses;
mod clean;
mod injected;
mod properties;
mod rules;
mod traces;

use drover_geo::{Fix, Limits, Noise, PointE7, Track, destination};
use std::collections::BTreeMap;

/// What the filter says of each fix of one asset.
fn judge(fixes: &[Fix]) -> Vec<Option<Noise>> {
    let (mut track, limits) = (Track::default(), Limits::default());
    fixes.iter().map(|fix| track.judge(*fix, &limits)).collect()
}

/// Flags by rule.
fn count(verdicts: impl IntoIterator<Item = Option<Noise>>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    verdicts.into_iter().flatten().for_each(|noise| *counts.entry(noise.name()).or_default() += 1);
    counts
}

fn moved(at: PointE7, heading: f64, metres: f64) -> PointE7 {
    destination(at.into(), heading, metres).into()
}

fn fix(time_ms: i64, at: PointE7) -> Fix {
    Fix { time_ms, at, accuracy_m: None, speed_kmh: None }
}

/// xorshift64*: small, and the same noise on every run.
struct Rng(u64);

impl Rng {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn heading(&mut self) -> f64 {
        360.0 * self.unit()
    }

    fn gauss(&mut self) -> f64 {
        (-2.0 * self.unit().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}
