//! Files of telemetry: any bytes under any name are rows, rejects or an error, and each row is drafted or refused. The
//! first byte chooses the name.
#![no_main]

use drover_formats::{Profile, Telemetry};
use std::io::{Seek, Write};

const NAMES: [&str; 6] = ["a.csv", "a.ndjson", "a.gpx", "a.track", "a.pb", "a.parquet"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let mut file = tempfile::tempfile_in("/dev/shm").expect("a file in memory");
    file.write_all(bytes).and_then(|()| file.rewind()).expect("memory takes every byte");
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let Ok(mut rows) = Telemetry::open(file, name, &Profile::default()) else { return };
    while let Ok(Some(row)) = rows.next_row() {
        let _checked = row.draft.map(|draft| draft.check(&drover_model::Rules::default(), 1_800_000_000_000).is_ok());
    }
});
