//! From any body to records: whatever passes the checks is written down and read back unchanged.
#![no_main]

use drover_model::{Report, Rules};

const NOW_MS: i64 = 1_790_000_000_000;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for draft in drover_formats::parse_reports(bytes).into_iter().flatten().flatten() {
        let Ok(report) = draft.check(&Rules::default(), NOW_MS) else { continue };
        let mut record = Vec::new();
        report.encode(&mut record);
        assert_eq!(Report::decode(&record).expect("an admitted report"), report);
    }
});
