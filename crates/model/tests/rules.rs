//! What makes a draft a report: ranges, words, clocks.

use drover_model::{Draft, Flags, Kind, RejectCode, Rules, Status, format_time, parse_time};

const NOW: i64 = 1_790_000_000_000;

fn draft() -> Draft<'static> {
    Draft { kind: Some(Kind::Driver), id: Some("d1".into()), event_time: Some(NOW), ..Draft::default() }
}

/// The code and the field of the reject, or `ok`.
fn outcome(draft: Draft<'_>) -> String {
    match draft.check(&Rules::default(), NOW) {
        Ok(_) => "ok".into(),
        Err(reject) => format!("{} {}", reject.code.name(), reject.field),
    }
}

fn at(lat: f64, lon: f64) -> Draft<'static> {
    Draft { latitude: Some(lat), longitude: Some(lon), ..draft() }
}

#[test]
fn borders_of_the_earth_are_allowed_and_anything_beyond_is_refused() {
    for (lat, lon) in [(90.0, 180.0), (-90.0, -180.0), (0.0, 0.0)] {
        assert_eq!(outcome(at(lat, lon)), "ok");
    }
    assert_eq!(outcome(at(90.000_000_1, 0.0)), "out_of_range latitude");
    assert_eq!(outcome(at(f64::NAN, 0.0)), "out_of_range latitude");
    assert_eq!(outcome(at(0.0, -180.1)), "out_of_range longitude");
    assert_eq!(outcome(at(0.0, f64::INFINITY)), "out_of_range longitude");
}

#[test]
fn half_a_position_names_the_missing_half() {
    assert_eq!(outcome(Draft { latitude: Some(1.0), ..draft() }), "missing_field longitude");
    assert_eq!(outcome(Draft { longitude: Some(1.0), ..draft() }), "missing_field latitude");
}

#[test]
fn a_message_names_field_value_and_range() {
    let reject = Draft { speed_kmh: Some(250.5), ..draft() }.check(&Rules::default(), NOW).unwrap_err();
    assert_eq!(reject.message, "speed is 250.5; allowed is 0 to 200");
}

#[test]
fn heading_360_is_north() {
    let report = Draft { heading_deg: Some(360.0), ..draft() }.check(&Rules::default(), NOW).unwrap();
    assert_eq!(report.heading_deg, Some(0.0));
    assert_eq!(outcome(Draft { heading_deg: Some(360.1), ..draft() }), "out_of_range heading");
}

#[test]
fn clocks_may_run_ahead_a_little_and_never_before_2000() {
    let timed = |time| Draft { event_time: Some(time), ..draft() };
    assert_eq!(outcome(timed(NOW + 60_000)), "ok");
    assert_eq!(outcome(timed(NOW + 60_001)), "clock_ahead timestamp");
    assert_eq!(outcome(timed(i64::MAX)), "clock_ahead timestamp");
    assert_eq!(outcome(timed(946_684_799_999)), "clock_behind timestamp");
    assert_eq!(outcome(timed(i64::MIN)), "clock_behind timestamp");
    let seconds = timed(NOW / 1000).check(&Rules::default(), NOW).unwrap_err();
    assert!(seconds.message.contains("looks like seconds"), "{}", seconds.message);
}

#[test]
fn a_report_without_event_time_gets_the_receive_time_and_says_so() {
    let report = Draft { event_time: None, ..draft() }.check(&Rules::default(), NOW).unwrap();
    assert_eq!(report.event_time, NOW);
    assert!(report.flags.has(Flags::NO_EVENT_TIME));
}

#[test]
fn words_of_other_systems_become_the_status_of_the_kind() {
    assert_eq!(Status::parse(Kind::Driver, "Moving"), Ok(Status::Active));
    assert_eq!(Status::parse(Kind::Station, "OPERATIONAL"), Ok(Status::Operational));
    let reject = Status::parse(Kind::Driver, "operational").unwrap_err();
    assert_eq!(reject.code, RejectCode::UnknownValue);
    assert!(reject.message.contains("active, idle, offline"), "{}", reject.message);
}

#[test]
fn ids_are_short_and_plain() {
    let named = |id: &str| outcome(Draft { id: Some(id.to_owned().into()), ..draft() });
    assert_eq!(named(&"x".repeat(64)), "ok");
    assert_eq!(named(&"x".repeat(65)), "too_long id");
    assert_eq!(named("a/b"), "out_of_range id");
    assert_eq!(named("é"), "out_of_range id");
    assert_eq!(named(""), "missing_field id");
}

#[test]
fn order_ids_end_at_a_hundred_bytes() {
    let ordered = |n: usize| outcome(Draft { order_id: Some("o".repeat(n).into()), ..draft() });
    assert_eq!(ordered(100), "ok");
    assert_eq!(ordered(101), "too_long order_id");
}

#[test]
fn times_are_read_with_an_offset_or_as_milliseconds() {
    assert_eq!(parse_time("2015-03-07T10:03:34-06:00"), Ok(1_425_744_214_000));
    assert_eq!(parse_time("2015-03-07T16:03:34.250Z"), Ok(1_425_744_214_250));
    assert_eq!(parse_time("1425744214000"), Ok(1_425_744_214_000));
    for wrong in ["2015-03-07T10:03:34", "yesterday", "", "2015-13-07T10:03:34Z"] {
        assert!(parse_time(wrong).is_err(), "{wrong:?} was read as a time");
    }
    let mut text = String::new();
    format_time(1_425_744_214_250, &mut text);
    assert_eq!(text, "2015-03-07T16:03:34.250Z");
}
