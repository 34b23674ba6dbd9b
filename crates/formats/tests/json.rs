//! The JSON that devices send: names, shapes, and what is wrong with it.

use drover_formats::{parse_report, parse_reports};
use drover_model::{Draft, Kind, Reading};
use proptest::prelude::*;

fn read(text: &str) -> Draft<'_> {
    parse_report(text.as_bytes()).unwrap_or_else(|reject| panic!("{text}: {reject:?}"))
}

/// `code field` of the reject.
fn refused(text: &str) -> String {
    let reject = parse_report(text.as_bytes()).unwrap_err();
    format!("{} {}", reject.code.name(), reject.field).trim_end().to_owned()
}

#[test]
fn every_documents_names_mean_the_same_report() {
    let canonical = read(r#"{"kind":"driver","id":"12","latitude":41.5,"longitude":-8.25,"timestamp":1698765432000}"#);
    for other in [
        r#"{"driverId":"12","latitude":41.5,"longitude":-8.25,"timestamp":1698765432000}"#,
        r#"{"driver_id":12,"lat":41.5,"lng":-8.25,"timestamp":"2023-10-31T15:17:12Z"}"#,
        r#"{"kind":"drivers","id":12,"lat":41.5,"lon":-8.25,"timestamp":"2023-10-31T16:17:12+01:00"}"#,
        r#"{"driver_id":"12","location":{"type":"Point","coordinates":[-8.25,41.5]},"timestamp":1698765432000}"#,
        r#"{"driver_id":"12","location":{"lat":41.5,"lng":-8.25},"timestamp":1698765432000.0}"#,
        r#"{"driver_id":"12","location":[-8.25,41.5],"timestamp":1698765432000,"unknown":{"deep":[1,{"x":null}]}}"#,
        "{\"driver_id\":\"12\",\"l\\u0061t\":41.5,\"lng\":-8.25,\"time\":\"1698765432000\"}",
    ] {
        assert_eq!(read(other), canonical, "{other}");
    }
}

#[test]
fn speeds_in_other_units_become_kilometres_per_hour() {
    assert_eq!(read(r#"{"speed":36}"#).speed_kmh, Some(36.0));
    assert_eq!(read(r#"{"speed_mps":10}"#).speed_kmh, Some(36.0));
    assert_eq!(read(r#"{"speed_knots":10}"#).speed_kmh, Some(18.52));
}

#[test]
fn null_is_the_same_as_leaving_the_field_out() {
    assert_eq!(
        read(r#"{"id":"1","latitude":null,"speed":null,"location":null,"readings":null}"#),
        read(r#"{"id":"1"}"#)
    );
}

#[test]
fn a_stations_stock_and_extra_values_become_readings() {
    let draft = read(
        r#"{"station_id":"s1","battery_available":12,"temperature":28.5,"metadata":{"door":true,"fw":"1.2","list":[1]}}"#,
    );
    let readings: Vec<_> = draft.readings.iter().collect();
    assert_eq!(
        readings,
        [
            ("battery_available", Reading::Number(12.0)),
            ("temperature", Reading::Number(28.5)),
            ("door", Reading::Bool(true)),
            ("fw", Reading::Text("1.2")),
        ]
    );
    assert_eq!(draft.kind, Some(Kind::Station));
}

#[test]
fn a_wrong_type_names_its_field() {
    assert_eq!(refused(r#"{"latitude":"41.5"}"#), "wrong_type latitude");
    assert_eq!(refused(r#"{"speed":[1]}"#), "wrong_type speed");
    assert_eq!(refused(r#"{"timestamp":"tomorrow"}"#), "wrong_type timestamp");
    assert_eq!(refused(r#"{"timestamp":true}"#), "wrong_type timestamp");
    assert_eq!(refused(r#"{"kind":"boat"}"#), "unknown_value kind");
    assert_eq!(refused(r#"{"id":{"a":1}}"#), "wrong_type id");
    assert_eq!(refused(r#"{"location":5}"#), "wrong_type location");
    assert_eq!(refused(r#"{"readings":"hot"}"#), "wrong_type readings");
    assert_eq!(refused("5"), "wrong_type report");
}

#[test]
fn broken_json_is_malformed() {
    for text in ["", "{", r#"{"latitude":NaN}"#, r#"{"latitude":1e999}"#, r#"{"a":1}}"#, "{\"a\":\"\u{1}\"}", "nul"] {
        assert_eq!(refused(text), "malformed", "{text:?}");
    }
    assert!(parse_report(b"{\"id\":\"\xff\"}").unwrap_err().message.contains("UTF-8"));
}

#[test]
fn depth_is_no_danger() {
    let deep = |n: usize| format!(r#"{{"id":"1","x":{}1{}}}"#, "[".repeat(n), "]".repeat(n));
    assert_eq!(read(&deep(100)).id.as_deref(), Some("1"));
    // Deeper than any device sends: refused, or skipped, but never a crash.
    let _outcome = parse_report(deep(1_000_000).as_bytes());
    assert_eq!(refused(&"[".repeat(1_000_000)), "malformed");
}

#[test]
fn one_bad_item_leaves_its_neighbours_alone() {
    let array = parse_reports(br#"[{"id":"1"},5,{"id":"2","speed":"x"},{"id":"3"}]"#).unwrap();
    assert_eq!(array.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
    let lines = parse_reports(b"{\"id\":\"1\"}\n\n{\"id\":\n{\"id\":\"3\"}\r\n").unwrap();
    assert_eq!(lines.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn one_object_over_several_lines_is_one_report() {
    assert_eq!(parse_reports(b"{\n  \"id\": \"1\",\n  \"lat\": 2\n}\n").unwrap().len(), 1);
}

#[test]
fn a_cut_array_is_refused_whole() {
    assert!(parse_reports(br#"[{"id":"1"},{"id":"2"}"#).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _outcome = parse_reports(&bytes);
    }

    #[test]
    fn any_json_is_read_or_refused(text in r#"[\[\{]("(lat|id|location|readings|timestamp|x)":)?[\[\]\{\}0-9a-z",:.\-]{0,60}"#) {
        let _outcome = parse_reports(text.as_bytes());
    }
}
