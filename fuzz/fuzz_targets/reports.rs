//! Bodies of `POST /api/v1/reports` and WebSocket frames: any bytes are read or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _outcome = drover_formats::parse_reports(bytes);
    let _outcome = drover_formats::parse_report(bytes);
});
