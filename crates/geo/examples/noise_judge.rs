//! How long [`Track::judge`] takes for a fix, on one core: assets that drive, that are parked, and that jump.
//! Each round judges one fix of each asset, so that states come from memory as in admission.
//! `cargo run --release -p drover-geo --example noise_judge`; prints `name=value` lines.

use drover_geo::{Fix, Limits, Point, PointE7, Track, destination};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: i64 = 200;

fn main() {
    println!("bytes_per_asset={}", size_of::<Track>());
    for assets in [1_000, 150_000] {
        measure("driving", assets, |asset, round| (asset as f64, 15.0 * round as f64));
        measure("parked", assets, |asset, round| (37.0 * asset as f64, (asset as i64 * 7 + round * 13) as f64 % 9.0));
        measure("parked_drift", assets, |asset, round| {
            let metres = if round > 100 && (round + asset as i64) % 3 == 0 { 60.0 } else { 3.0 };
            (41.0 * round as f64, metres)
        });
        measure("jumping", assets, |asset, round| {
            (asset as f64, if (round + asset as i64) % 4 == 0 { 5_000.0 } else { 10.0 * round as f64 })
        });
    }
}

/// `place` gives the heading and the metres from the asset's start. Fixes are made before the clock starts.
fn measure(name: &str, assets: usize, place: impl Fn(usize, i64) -> (f64, f64)) {
    let limits = black_box(Limits::default());
    let mut tracks = vec![Track::default(); assets];
    let (mut busy_s, mut flagged) = (0.0, 0_usize);
    for round in 0..ROUNDS {
        let fixes: Vec<Fix> = (0..assets).map(|asset| fix(asset, round, &place)).collect();
        let start = Instant::now();
        for (track, fix) in tracks.iter_mut().zip(&fixes) {
            flagged += usize::from(track.judge(*fix, &limits).is_some());
        }
        busy_s += start.elapsed().as_secs_f64();
    }
    let fixes = assets as f64 * ROUNDS as f64;
    println!("{name}_{assets}_ns={:.1}", busy_s * 1e9 / fixes);
    println!("{name}_{assets}_flagged_pct={:.1}", 100.0 * flagged as f64 / fixes);
}

fn fix(asset: usize, round: i64, place: impl Fn(usize, i64) -> (f64, f64)) -> Fix {
    let start = Point::new(41.0 + 1e-5 * (asset % 9_973) as f64, -8.6 + 1e-5 * (asset % 7_919) as f64);
    let (heading, metres) = place(asset, round);
    let at = PointE7::from(destination(start, heading % 360.0, metres));
    Fix { time_ms: 1_700_000_000_000 + round * 2_000, at, accuracy_m: None, speed_kmh: None }
}
