//! Records as they stand in the log: any bytes are read or refused, and what is read is written again
//! as a record with the same meaning.
#![no_main]

use drover_model::{RecordRef, Report};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _view = RecordRef::new(bytes);
    let Ok(report) = Report::decode(bytes) else { return };
    let _names = report.readings.iter().count();
    let mut again = Vec::new();
    report.encode(&mut again);
    let mut twice = Vec::new();
    Report::decode(&again).expect("what was just written").encode(&mut twice);
    assert_eq!(again, twice);
});
