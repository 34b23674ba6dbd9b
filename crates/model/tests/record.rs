//! The written form of a report: whatever is written is read back, and records of other builds are
//! read as far as they can be.

use drover_model::{
    DISTANCE_FROM_DEPOT, DecodeError, Draft, Flags, Kind, Reading, Readings, RecordMut, RecordRef, Report, Rules,
};
use proptest::prelude::*;

const NOW: i64 = 1_790_000_000_000;

/// The record of [`full`] as the first build wrote it. Never change it: data folders hold such records.
const STORED_V1: &str = include_str!("record_v1.hex");

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn full() -> Draft<'static> {
    let mut readings = Readings::default();
    readings.push("temp", Reading::Number(25.0)).unwrap();
    readings.push("door", Reading::Bool(true)).unwrap();
    readings.push("note", Reading::Text("hi")).unwrap();
    Draft {
        kind: Some(Kind::Vehicle),
        id: Some("bus1".into()),
        event_time: Some(NOW - 1000),
        latitude: Some(41.1794),
        longitude: Some(-8.6),
        accuracy_m: Some(5.0),
        speed_kmh: Some(32.6),
        heading_deg: Some(180.0),
        battery_pct: Some(73.0),
        status: Some("active".into()),
        order_id: Some("o1".into()),
        city: Some("porto".into()),
        readings,
    }
}

fn encode(report: &Report<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    report.encode(&mut bytes);
    bytes
}

#[test]
fn a_record_of_the_first_build_is_still_read() {
    let bytes = hex(STORED_V1);
    let report = Report::decode(&bytes).unwrap();
    assert_eq!(report, full().check(&Rules::default(), NOW).unwrap());
    assert_eq!(encode(&report), bytes, "this build writes the same record for the same report");
}

#[test]
fn a_field_of_a_later_build_is_skipped() {
    let report = full().check(&Rules::default(), NOW).unwrap();
    let mut bytes = encode(&report);
    for unknown in [
        &[30 << 3, 7][..],
        &[30 << 3 | 1, 1, 2, 3, 4],
        &[30 << 3 | 2, 1, 2, 3, 4, 5, 6, 7, 8],
        &[30 << 3 | 3, 2, 0, 9, 9],
    ] {
        bytes.extend_from_slice(unknown);
    }
    assert_eq!(Report::decode(&bytes).unwrap(), report);
}

#[test]
fn a_later_version_is_refused_by_name() {
    let mut bytes = encode(&full().check(&Rules::default(), NOW).unwrap());
    bytes[0] = 2;
    assert_eq!(Report::decode(&bytes), Err(DecodeError::Version(2)));
}

#[test]
fn stamping_changes_flags_and_time_and_nothing_else() {
    let report = full().check(&Rules::default(), NOW).unwrap();
    let mut bytes = encode(&report);
    let mut record = RecordMut::new(&mut bytes);
    let content = record.view().content().to_vec();
    record.set_flag(Flags::LATE);
    assert_eq!(record.view().content(), content, "a resend that is late has the same content");
    record.set_event_time(NOW);
    let stamped = Report::decode(&bytes).unwrap();
    assert!(stamped.flags.has(Flags::LATE));
    assert_eq!((stamped.event_time, stamped.position), (NOW, report.position));
}

#[test]
fn what_is_derived_is_read_back_and_is_no_part_of_what_a_resend_repeats() {
    let sent = Draft { speed_kmh: None, heading_deg: None, ..full() };
    let mut bytes = encode(&sent.check(&Rules::default(), NOW).unwrap());
    let mut record = RecordMut::new(&mut bytes);
    let content = record.view().content().to_vec();
    record.derive_speed(36.5);
    record.derive_heading(90.0);
    record.derive_distance_from_depot(1234.5);
    assert_eq!(record.view().content(), content);
    let read = Report::decode(&bytes).unwrap();
    assert_eq!((read.speed_kmh, read.heading_deg), (Some(36.5), Some(90.0)));
    let flags: Vec<&str> = read.flags.names().collect();
    assert_eq!(flags, ["derived_speed", "derived_heading"]);
    let readings: Vec<_> = read.readings.iter().collect();
    assert_eq!(readings.last(), Some(&(DISTANCE_FROM_DEPOT, Reading::Number(1234.5))));
    assert_eq!(readings.len(), read.readings.sent().count() + 1, "what was sent is there as before");
}

#[test]
fn flags_of_derived_fields_that_are_not_there_make_no_reader_fall() {
    let mut bytes = encode(&full().check(&Rules::default(), NOW).unwrap());
    RecordMut::new(&mut bytes).set_flag(u16::MAX);
    for length in 21 + usize::from(bytes[20])..=bytes.len() {
        RecordRef::new(&bytes[..length]).unwrap().content();
    }
}

#[test]
fn readings_end_at_four_kilobytes_and_take_no_infinite_number() {
    let mut readings = Readings::default();
    assert!(readings.push("x", Reading::Number(f64::NAN)).is_err());
    assert!(readings.push("", Reading::Bool(true)).is_err());
    assert!(readings.push("long", Reading::Text(&"x".repeat(5000))).is_err());
    assert!(readings.is_empty(), "a refused reading leaves nothing behind");
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        id in "[a-zA-Z0-9._:@+-]{1,64}",
        place in proptest::option::of((-90.0f64..=90.0, -180.0f64..=180.0)),
        speed in proptest::option::of(0.0f64..=200.0),
        heading in proptest::option::of(0.0f64..=360.0),
        city in proptest::option::of("[^\\x00]{1,20}"),
        number in proptest::num::f64::NORMAL,
    ) {
        let mut draft = Draft { id: Some(id.into()), latitude: place.map(|p| p.0), longitude: place.map(|p| p.1), ..full() };
        (draft.speed_kmh, draft.heading_deg, draft.city) = (speed, heading, city.map(Into::into));
        draft.readings.push("n", Reading::Number(number)).unwrap();
        let report = draft.check(&Rules::default(), NOW).unwrap();
        let bytes = encode(&report);
        prop_assert_eq!(Report::decode(&bytes).unwrap(), report);
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), first in 0u8..3) {
        if let Some(version) = bytes.first_mut() {
            *version = first;
        }
        if let Ok(report) = Report::decode(&bytes) {
            let _walked = report.readings.iter().count();
        }
        let _view = RecordRef::new(&bytes);
    }

    #[test]
    fn a_cut_record_is_never_read_as_whole(cut in 0usize..100) {
        let bytes = encode(&full().check(&Rules::default(), NOW).unwrap());
        let cut = cut.min(bytes.len() - 1);
        if let Ok(report) = Report::decode(&bytes[..cut]) {
            // Cutting between two fields leaves a shorter record; the log's checksum guards against that.
            prop_assert_eq!(report.id, "bus1");
        }
    }
}
