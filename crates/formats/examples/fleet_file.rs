//! Writes a CSV of a delivery fleet's day for benchmarks: `fleet_file rows=1000000 vehicles=50000 out=fleet.csv`.
//! Vehicles report in turn, in the order of time; every report is a new one. The same arguments give the same file.

use std::fs::File;
use std::io::{BufWriter, Write};

/// 2026-05-04 00:00 UTC.
const START_MS: i64 = 1_777_852_800_000;
const DAY_MS: i64 = 86_400_000;

fn main() -> std::io::Result<()> {
    let (mut rows, mut vehicles, mut path) = (1_000_000_u64, 50_000_u64, String::from("fleet.csv"));
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("rows", value)) => rows = value.parse().expect("rows=N"),
            Some(("vehicles", value)) => vehicles = value.parse().expect("vehicles=N"),
            Some(("out", value)) => path = value.into(),
            _ => panic!("arguments are rows=N vehicles=N out=FILE"),
        }
    }
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(out, "vehicle_id,timestamp,latitude,longitude,speed_kmh,heading,engine_status")?;
    let rounds = rows.div_ceil(vehicles) as i64;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for row in 0..rows {
        let (vehicle, round) = (row % vehicles, (row / vehicles) as i64);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let noise = (random >> 33) as i64;
        // Each vehicle drives round its own depot, a degree or less away from it.
        let turn = round as f64 / rounds as f64 * std::f64::consts::TAU + vehicle as f64;
        let time = START_MS + round * DAY_MS / rounds + (vehicle % 1000) as i64;
        let (lat, lon) = (
            41.0 + (vehicle % 200) as f64 * 0.05 + turn.sin() * 0.2,
            -8.0 + (vehicle / 200) as f64 * 0.05 + turn.cos() * 0.2,
        );
        let moving = noise % 4 != 0;
        writeln!(
            out,
            "van-{vehicle:05},{},{lat:.6},{lon:.6},{:.1},{},{}",
            rfc3339(time),
            if moving { (noise % 900) as f64 / 10.0 } else { 0.0 },
            noise % 360,
            if moving { "moving" } else { "idle" },
        )?;
    }
    out.flush()
}

/// Within the one day of the file.
fn rfc3339(ms: i64) -> String {
    let of_day = ms - START_MS;
    let (seconds, ms) = (of_day / 1000, of_day % 1000);
    format!("2026-05-04T{:02}:{:02}:{:02}.{ms:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
