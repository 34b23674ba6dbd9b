//! How fast a file becomes checked records: `read_rate FILE…`. One thread; nothing is kept.

use drover_formats::{Profile, Telemetry};
use drover_model::Rules;
use std::path::Path;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let rules = Rules::default();
    let now = 1_800_000_000_000;
    for path in std::env::args().skip(1) {
        let started = Instant::now();
        let mut rows = Telemetry::open_path(Path::new(&path), &Profile::default())?;
        let (mut good, mut bad, mut bytes, mut record) = (0_u64, 0_u64, 0_usize, Vec::new());
        while let Some(row) = rows.next_row()? {
            match row.draft.and_then(|draft| draft.check(&rules, now)) {
                Ok(report) => {
                    record.clear();
                    report.encode(&mut record);
                    bytes += record.len();
                    good += 1;
                }
                Err(_) => bad += 1,
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let rate = (good + bad) as f64 / seconds;
        println!("{path}: {good} good, {bad} bad rows, {bytes} bytes of records, {seconds:.2} s, {rate:.0} rows/s");
    }
    Ok(())
}
