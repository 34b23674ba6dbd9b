//! What a document may look like, and what becomes of odd entries.

use drover_geo::Point;
use drover_metadata::{LoadError, Metadata, Source, SourceError, Vehicle};
use drover_model::Kind;

fn read(document: &str) -> Metadata {
    Metadata::fixed(document.as_bytes()).unwrap()
}

fn refusal(document: &str) -> String {
    Metadata::fixed(document.as_bytes()).expect_err("a refusal").to_string()
}

fn vehicle(metadata: &Metadata, id: &str) -> Vehicle {
    metadata.get(Kind::Vehicle, id).unwrap_or_else(|| panic!("{id} is not known: {:?}", metadata.status()))
}

/// Names and reasons of what was skipped.
fn skipped(document: &str) -> Vec<String> {
    read(document).status().examples.iter().map(ToString::to_string).collect()
}

const FIELDS: &str = r#""max_speed": 80, "class": "bus",
    "depot": {"id": "north", "latitude": 52.5, "longitude": 13.4}"#;

#[test]
fn a_list_an_object_with_vehicles_and_an_object_by_id_say_the_same() {
    let list = format!(r#"[{{"vehicle_id": "BUS-1", {FIELDS}}}]"#);
    let inner = format!(r#"{{"updated": "today", "about": {{}}, "vehicles": {list}, "count": 1}}"#);
    let by_id = format!(r#"{{"BUS-1": {{{FIELDS}}}}}"#);
    let both = format!(r#"{{"vehicles": {by_id}}}"#);
    let marked = format!("\u{feff}{list}");
    for document in [list, inner, by_id, both, marked] {
        let metadata = read(&document);
        let bus = vehicle(&metadata, "BUS-1");
        assert_eq!(bus.max_speed_kmh, Some(80.0), "{document}");
        assert_eq!(bus.class(), Some("bus"));
        let depot = bus.depot().unwrap();
        assert_eq!((depot.name.as_deref(), depot.at), (Some("north"), Point::new(52.5, 13.4)));
        let status = metadata.status();
        assert_eq!((status.entries, status.skipped), (1, 0), "{document}");
    }
}

#[test]
fn every_spelling_of_a_field_is_understood() {
    let bus = |fields: &str| vehicle(&read(&format!(r#"[{{"vehicle_id": "B", {fields}}}]"#)), "B");
    for speed in [r#""max_speed": 80"#, r#""max_speed_kmh": 80.0"#, r#""max_speed": " 80 ""#] {
        assert_eq!(bus(speed).max_speed_kmh, Some(80.0), "{speed}");
    }
    for class in ["class", "vehicle_class", "type"] {
        assert_eq!(bus(&format!(r#""{class}": "van""#)).class(), Some("van"));
    }
    for depot in [
        r#""depot": {"name": "N", "lat": 1.5, "lng": 2.5}"#,
        r#""depot": {"id": 7, "latitude": "1.5", "lon": 2.5}"#,
        r#""depot_lat": 1.5, "depot_lon": 2.5"#,
        r#""depot": "north", "depot_lat": 1.5, "depot_long": 2.5"#,
        r#""depot": null, "depot_latitude": 1.5, "depot_longitude": 2.5"#,
    ] {
        assert_eq!(bus(depot).depot().expect(depot).at, Point::new(1.5, 2.5), "{depot}");
    }
    assert!(vehicle(&read(r#"[{"id": 12}]"#), "12").max_speed_kmh.is_none());
}

#[test]
fn an_entry_is_a_vehicle_unless_it_names_another_kind() {
    let metadata = read(r#"[{"id": "1", "max_speed": 50}, {"id": "1", "kind": "station", "class": "swap"}]"#);
    assert_eq!(vehicle(&metadata, "1").max_speed_kmh, Some(50.0));
    assert_eq!(metadata.get(Kind::Station, "1").unwrap().class(), Some("swap"));
    assert!(metadata.get(Kind::Driver, "1").is_none());
}

#[test]
fn odd_entries_are_skipped_and_named_and_harm_no_other() {
    let document = r#"[
        {"vehicle_id": "good-1", "max_speed": 80, "wheels": [4, {"more": null}]},
        {"max_speed": 80}, 17, null, ["a"],
        {"vehicle_id": "", "max_speed": 80},
        {"vehicle_id": "a/b"},
        {"vehicle_id": {"is": "an object"}},
        {"vehicle_id": "slow", "max_speed": -3},
        {"vehicle_id": "fast", "max_speed": 1e9},
        {"vehicle_id": "nan", "max_speed": "NaN"},
        {"vehicle_id": "list", "max_speed": [80]},
        {"vehicle_id": "pole", "depot": {"lat": 95, "lng": 0}},
        {"vehicle_id": "half", "depot": {"lat": 5}},
        {"vehicle_id": "flat", "depot_lon": 190, "depot_lat": 1},
        {"vehicle_id": "pair", "depot": [1, 2]},
        {"vehicle_id": "tram", "kind": "tram"},
        {"vehicle_id": "good-2"}
    ]"#;
    let metadata = read(document);
    let status = metadata.status();
    assert_eq!((status.entries, status.skipped), (2, 16));
    assert_eq!(vehicle(&metadata, "good-1").max_speed_kmh, Some(80.0));
    let bare = vehicle(&metadata, "good-2");
    assert_eq!((bare.max_speed_kmh, bare.depot(), bare.class()), (None, None, None));
    let named = skipped(document);
    for expected in [
        "entry 2: no vehicle_id",
        "entry 3: a number, not an object",
        "slow: max_speed -3 is not within 1 to 5000 km/h",
        "fast: max_speed 1000000000 is not within 1 to 5000 km/h",
        "list: max_speed is a list, not a number",
        "pole: depot latitude 95 is not within -90 to 90",
        "half: depot latitude without depot longitude",
        "pair: depot is a list, not an object",
        "tram: kind \"tram\" is not known",
    ] {
        assert!(named.iter().any(|name| name == expected), "{expected} is not among {named:#?}");
    }
}

#[test]
fn only_the_first_twenty_skipped_entries_are_named_and_briefly() {
    let long = "x".repeat(10_000);
    let odd: Vec<String> = (0..100).map(|n| format!(r#"{{"id": "odd {n} {long}"}}"#)).collect();
    let status = read(&format!(r#"[{{"id": "a"}}, {}]"#, odd.join(","))).status();
    assert_eq!((status.skipped, status.examples.len()), (100, 20));
    assert!(status.examples.iter().all(|one| one.entry.len() <= 160 && one.reason.len() <= 160));
}

#[test]
fn of_two_entries_with_one_name_the_last_one_counts() {
    let document = r#"[{"id": "a", "max_speed": 10, "class": "van"}, {"id": "a", "max_speed": 20}]"#;
    let metadata = read(document);
    assert_eq!(vehicle(&metadata, "a").max_speed_kmh, Some(20.0));
    assert_eq!(vehicle(&metadata, "a").class(), None);
    assert_eq!(skipped(document), ["a: there twice; the last one counts"]);
}

#[test]
fn what_is_not_one_whole_json_document_of_entries_is_refused() {
    for document in [
        "",
        "   ",
        "<html>502</html>",
        r#"[{"id": "a"}"#,
        r#"[{"id": "a"}] x"#,
        r#"[{"id": "a"} {"id": "b"}]"#,
        "42",
        "null",
        r#""text""#,
        r#"{"vehicles": null}"#,
        r#"{"vehicles": [{"id": "a"}]"#,
        "[{\"id\": \"a\", \"class\": \"\u{1}\"}]",
    ] {
        assert!(refusal(document).starts_with("not a JSON list of vehicles"), "{document}: {}", refusal(document));
    }
    assert!(Metadata::fixed(&b"[{\"id\": \"\xff\"}]"[..]).is_err());
}

#[test]
fn an_empty_list_is_taken_but_an_excuse_is_not() {
    for empty in ["[]", "{}", r#"{"vehicles": []}"#] {
        assert_eq!(read(empty).status().entries, 0);
    }
    assert_eq!(refusal(r#"{"error": "no access"}"#), "none of 1 entries can be used; error: a text, not an object");
}

#[test]
fn depth_and_length_end_in_an_error_and_not_in_a_crash() {
    let deep = "[".repeat(200_000);
    assert!(refusal(&deep).contains("JSON"));
    let inside = format!(r#"[{{"id": "a", "x": {}{}}}]"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(read(&inside).status().entries, 1, "what is not looked at may be as deep as it likes");
    let in_field = format!(r#"[{{"id": {}{}}}]"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(Metadata::fixed(in_field.as_bytes()), Err(LoadError::NothingUsable { .. })));
}

#[test]
fn the_distance_from_the_depot_is_measured_on_the_sphere() {
    let metadata = read(r#"[{"id": "a", "depot": {"lat": 52.0, "lng": 13.0}}, {"id": "b"}]"#);
    let metres = vehicle(&metadata, "a").distance_from_depot_m(Point::new(53.0, 13.0)).unwrap();
    assert!((metres - 111_195.0).abs() < 1.0, "{metres}");
    assert_eq!(vehicle(&metadata, "b").distance_from_depot_m(Point::new(53.0, 13.0)), None);
}

#[test]
fn depots_and_classes_stand_there_once() {
    let entries: Vec<String> = (0..1000).map(|n| format!(r#"{{"id": "{n}", {FIELDS}}}"#)).collect();
    let metadata = read(&format!("[{}]", entries.join(",")));
    let (a, b) = (vehicle(&metadata, "1"), vehicle(&metadata, "999"));
    assert!(std::ptr::eq(a.depot().unwrap(), b.depot().unwrap()));
    assert!(std::ptr::eq(a.class().unwrap(), b.class().unwrap()));
}

#[test]
fn hits_and_misses_are_counted() {
    let metadata = read(r#"[{"id": "a"}]"#);
    metadata.get(Kind::Vehicle, "a");
    metadata.clone().get(Kind::Vehicle, "b");
    metadata.get(Kind::Vehicle, "b");
    let status = metadata.status();
    assert_eq!((status.hits, status.misses), (1, 2));
}

#[test]
fn a_source_is_shown_without_password_and_query() {
    let shown = |text| Source::parse(text).unwrap().shown();
    assert_eq!(
        shown("https://me:s3cret@fleet.example:8443/v1/x?key=s3cret#y"),
        "https://***@fleet.example:8443/v1/x?***"
    );
    assert_eq!(shown("HTTP://fleet.example?key=s3cret"), "http://fleet.example?***");
    assert_eq!(shown("data/metadata_api.json"), "data/metadata_api.json");
    assert_eq!(shown("file:///srv/metadata_api.json"), "/srv/metadata_api.json");
    assert_eq!(format!("{:?}", Source::parse("http://a:s3cret@b/").unwrap()), "http://***@b/");
}

#[test]
fn what_is_no_source_is_told_without_showing_it() {
    assert_eq!(Source::parse(" "), Err(SourceError::Empty));
    assert_eq!(Source::parse("ftp://host/x"), Err(SourceError::Scheme("ftp".into())));
    for wrong in ["http://", "https://?x", "http://me:a b@host/ x", "http://me:12/s3cret@host/", "http:///x"] {
        let error = Source::parse(wrong).expect_err(wrong);
        assert_eq!(error, SourceError::Address, "{wrong}");
    }
}
