//! Input that is wrong in every way that a sender can think of. Each gets an answer that says what is
//! wrong, is counted and kept, and leaves the node and its neighbours in the same request unharmed.

mod harness;

use flate2::Compression;
use flate2::write::GzEncoder;
use harness::{Answer, Node, folder, now_ms, report};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicI64, Ordering};

const BODY_MAX_BYTES: usize = 32 << 20;
const MESSAGE_MAX_BYTES: usize = 8 << 20;
/// So much of a refused item is kept.
const PAYLOAD_KEPT_BYTES: usize = 4096;

/// A report of driver `d-1` in which one thing is wrong, and what has to be said about it.
struct Case {
    body: Vec<u8>,
    code: &'static str,
    field: &'static str,
    says: &'static [&'static str],
}

impl Case {
    fn new(body: impl Into<Vec<u8>>, code: &'static str, field: &'static str, says: &'static [&'static str]) -> Case {
        Case { body: body.into(), code, field, says }
    }

    fn is_unreadable(&self) -> bool {
        self.code == "malformed"
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(200)]).into_owned()
    }
}

/// A good report with `field` set to the JSON text `value`, which need not be valid.
fn with(field: &str, value: &str) -> String {
    // Two reports of one moment would be one, or contradict each other.
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = now_ms();
    let time = LAST.fetch_max(now, Ordering::Relaxed).max(now - 1) + 1;
    LAST.fetch_max(time, Ordering::Relaxed);
    let good = report("driver", "d-1", time, 41.0, -8.0);
    let mut fields: Vec<(String, String)> =
        good.as_object().expect("an object").iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    fields.retain(|(name, _)| name != field);
    fields.push((field.to_owned(), value.to_owned()));
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn out_of_range() -> Vec<Case> {
    let case = |field, value, target, says| Case::new(with(field, value), "out_of_range", target, says);
    vec![
        case("latitude", "90.0001", "latitude", &["latitude", "90.0001", "-90 to 90"]),
        case("latitude", "-91", "latitude", &["latitude", "-91", "-90 to 90"]),
        case("latitude", "1e308", "latitude", &["latitude", "-90 to 90"]),
        case("longitude", "180.5", "longitude", &["longitude", "180.5", "-180 to 180"]),
        case("longitude", "-181", "longitude", &["longitude", "-181", "-180 to 180"]),
        case("speed", "-0.1", "speed", &["speed", "-0.1", "0 to 200"]),
        case("speed", "200.5", "speed", &["speed", "200.5", "0 to 200"]),
        case("speed_mps", "60", "speed", &["speed", "216", "0 to 200"]),
        case("heading", "-1", "heading", &["heading", "-1", "0 to 360"]),
        case("heading", "360.5", "heading", &["heading", "360.5", "0 to 360"]),
        case("accuracy", "-5", "accuracy", &["accuracy", "-5", "0 to 1000000"]),
        case("accuracy", "2000000", "accuracy", &["accuracy", "2000000", "0 to 1000000"]),
        case("battery_pct", "-1", "battery_pct", &["battery_pct", "-1", "0 to 100"]),
        case("battery_pct", "100.5", "battery_pct", &["battery_pct", "100.5", "0 to 100"]),
    ]
}

fn wrong_types() -> Vec<Case> {
    let case = |field, value, says| Case::new(with(field, value), "wrong_type", field, says);
    vec![
        case("latitude", "\"north\"", &["latitude", "north", "a number is expected"]),
        case("latitude", "true", &["latitude", "a boolean", "a number is expected"]),
        case("longitude", "[1]", &["longitude", "an array", "a number is expected"]),
        case("longitude", "{\"deg\":1}", &["longitude", "an object", "a number is expected"]),
        case("speed", "\"fast\"", &["speed", "fast", "a number is expected"]),
        case("heading", "\"N\"", &["heading", "N", "a number is expected"]),
        case("accuracy", "false", &["accuracy", "a boolean", "a number is expected"]),
        case("battery_pct", "\"full\"", &["battery_pct", "full", "a number is expected"]),
        case("timestamp", "\"yesterday\"", &["yesterday", "RFC 3339"]),
        case("timestamp", "\"2026-01-31T12:00:00\"", &["2026-01-31T12:00:00", "offset"]),
        case("timestamp", "true", &["timestamp", "a boolean", "RFC 3339"]),
        case("status", "7", &["status", "a number", "a text is expected"]),
        case("kind", "7", &["kind", "a number", "a text is expected"]),
        case("id", "true", &["id", "a boolean", "a text or an integer is expected"]),
        case("city", "1", &["city", "a number", "a text is expected"]),
        case("readings", "\"warm\"", &["readings", "warm", "an object is expected"]),
        case("location", "\"here\"", &["location", "here", "an object or"]),
    ]
}

fn bad_words_and_lengths() -> Vec<Case> {
    let long = format!("\"{}\"", "x".repeat(101));
    let readings = format!("{{\"note\":\"{}\"}}", "x".repeat(5000));
    let reading_name = format!("{{\"{}\":1}}", "x".repeat(65));
    vec![
        Case::new(
            with("status", "\"flying\""),
            "unknown_value",
            "status",
            &["status", "flying", "active, idle, offline"],
        ),
        Case::new(
            with("status", "\"degraded\""),
            "unknown_value",
            "status",
            &["status", "degraded", "driver", "active, idle, offline"],
        ),
        Case::new(
            with("kind", "\"spaceship\""),
            "unknown_value",
            "kind",
            &["kind", "spaceship", "driver, vehicle, station"],
        ),
        Case::new(with("order_id", &long), "too_long", "order_id", &["order_id", "101", "100"]),
        Case::new(with("city", &long), "too_long", "city", &["city", "101", "100"]),
        Case::new(with("readings", &readings), "too_long", "readings", &["readings", "4096"]),
        Case::new(with("readings", &reading_name), "too_long", "readings", &["65", "1 to 64"]),
        Case::new(with("latitude", "null"), "missing_field", "latitude", &["latitude"]),
        Case::new(with("longitude", "null"), "missing_field", "longitude", &["longitude"]),
    ]
}

fn bad_times() -> Vec<Case> {
    let ahead = (now_ms() + 600_000).to_string();
    let seconds = (now_ms() / 1000).to_string();
    let behind = |value: &str, says| Case::new(with("timestamp", value), "clock_behind", "timestamp", says);
    vec![
        Case::new(with("timestamp", &ahead), "clock_ahead", "timestamp", &["timestamp", "ahead", "60 s"]),
        Case::new(
            with("timestamp", "\"2099-01-01T00:00:00Z\""),
            "clock_ahead",
            "timestamp",
            &["4070908800000", "60 s"],
        ),
        Case::new(with("timestamp", "9e14"), "clock_ahead", "timestamp", &["60 s"]),
        Case::new(with("timestamp", &i64::MAX.to_string()), "clock_ahead", "timestamp", &["60 s"]),
        behind("0", &["timestamp", "2000-01-01"]),
        behind("\"1970-01-01T00:00:10Z\"", &["timestamp 10000", "2000-01-01"]),
        behind("-1", &["timestamp -1", "2000-01-01"]),
        behind(&i64::MIN.to_string(), &["2000-01-01"]),
        behind(&seconds, &["seconds", "milliseconds"]),
    ]
}

/// Bodies that are no JSON: nothing in them can be told apart.
fn unreadable() -> Vec<Case> {
    let case = |body: &[u8], says| Case::new(body, "malformed", "", says);
    let deep = format!("{{\"location\":{}1{}}}", "{\"coordinates\":".repeat(100_000), "}".repeat(100_000));
    vec![
        case(with("latitude", "NaN").as_bytes(), &["JSON"]),
        case(with("latitude", "Infinity").as_bytes(), &["JSON"]),
        case(with("speed", "-Infinity").as_bytes(), &["JSON"]),
        case(with("speed", "1e999").as_bytes(), &["JSON"]),
        case(with("speed", "01").as_bytes(), &["JSON"]),
        case(b"{\"latitude\": 1", &["JSON"]),
        case(b"{\"latitude\": 1}}", &["JSON"]),
        case(b"{'latitude': 1}", &["JSON"]),
        case(b"{\"kind\":\"driver\",\"id\":\"\\ud800\",\"latitude\":1,\"longitude\":1}", &["JSON"]),
        case(b"{\"city\":\"\xff\xfe\",\"latitude\":1,\"longitude\":1}", &["UTF-8", "byte 9"]),
        case(b"\x00\x01\x02", &[]),
        case(b"", &[]),
        case(b" \n\t ", &[]),
        case(deep.as_bytes(), &["JSON"]),
    ]
}

fn all_cases() -> Vec<Case> {
    [out_of_range(), wrong_types(), bad_words_and_lengths(), bad_times(), unreadable()].into_iter().flatten().collect()
}

/// A node, with a look at what it has refused so far.
struct Refusals {
    node: Node,
    kept: usize,
    _folder: tempfile::TempDir,
}

impl Refusals {
    fn start() -> Refusals {
        Refusals::start_with(&[])
    }

    fn start_with(settings: &[(&str, &str)]) -> Refusals {
        let folder = folder();
        Refusals {
            node: Node::start_with(&folder.path().join("data"), "127.0.0.1:0", settings),
            kept: 0,
            _folder: folder,
        }
    }

    fn counted(&self, code: &str) -> f64 {
        self.node.metric(&format!("drover_reports_rejected_total{{reason=\"{code}\"}}"))
    }

    /// Kept refusals since the last look.
    fn new_kept(&mut self) -> Vec<Value> {
        let page = self.node.get(&format!("/api/v1/rejects?from={}", self.kept + 1)).expect(200);
        let rejects = page["rejects"].as_array().expect("a list").clone();
        self.kept += rejects.len();
        rejects
    }

    /// Runs `refuse`, which must lead to exactly one refusal that is counted and kept with its payload.
    fn one<T>(&mut self, door: &str, case: &Case, refuse: impl FnOnce(&Node) -> T) -> T {
        let before = self.counted(case.code);
        let answer = refuse(&self.node);
        assert_eq!(self.counted(case.code), before + 1.0, "one more {} is counted for {}", case.code, case.shown());
        let kept = self.new_kept();
        assert_eq!(kept.len(), 1, "one refusal is kept for {}: {kept:?}", case.shown());
        let first = &case.body[..case.body.len().min(PAYLOAD_KEPT_BYTES)];
        assert_eq!(kept[0]["payload"], String::from_utf8_lossy(first).into_owned());
        assert_eq!((&kept[0]["source"], &kept[0]["code"]), (&json!(door), &json!(case.code)), "{}", kept[0]);
        assert_eq!(
            (&kept[0]["field"], &kept[0]["payload_bytes"]),
            (&json!(case.field), &json!(case.body.len())),
            "{}",
            kept[0]
        );
        answer
    }

    /// The node is as good as new: it takes a report and shows it.
    fn check_that_it_serves(&self) {
        let receipt = self.node.report(&[report("vehicle", "still-here", now_ms(), 1.0, 2.0)]);
        let path = format!("/api/v1/vehicles/still-here/location?at_least={}", receipt["position"]);
        assert_eq!(self.node.get(&path).expect(200)["longitude"], 2.0);
        assert_eq!(self.node.get("/readyz").status, 200);
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check_that_it_serves();
            assert!(!self.node.messages().contains("panicked"), "{}", self.node.messages());
        }
    }
}

fn check_message(message: &Value, case: &Case) {
    let message = message.as_str().expect("a message");
    assert!(case.says.iter().all(|word| message.contains(word)), "{message:?} does not name {:?}", case.says);
}

#[track_caller]
fn check_envelope(answer: &Answer, status: u16, case: &Case) {
    let body = answer.expect(status);
    assert_eq!(
        (&body["status"], &body["code"], &body["error"]["code"]),
        (&json!("error"), &json!(status), &json!(case.code)),
        "{body}"
    );
    assert!(body["meta"]["timestamp"].is_string() && body["meta"]["version"].is_string(), "{body}");
    assert!(body["error"]["help"].as_str().is_some_and(|help| !help.is_empty()), "{body}");
    if !case.field.is_empty() {
        assert_eq!(body["error"]["details"]["field"], case.field, "{body}");
    }
    check_message(&body["error"]["message"], case);
}

#[track_caller]
fn check_listed(receipt: &Value, case: &Case, index: usize) {
    assert_eq!(receipt["rejected_total"], 1, "{receipt}");
    let rejected = &receipt["rejected"][0];
    assert_eq!(
        (&rejected["index"], &rejected["code"], &rejected["field"]),
        (&json!(index), &json!(case.code), &json!(case.field)),
        "{receipt}"
    );
    check_message(&rejected["message"], case);
}

#[test]
fn a_bad_report_at_an_address_is_refused_with_its_reason_counted_and_kept() {
    let mut refusals = Refusals::start();
    for case in all_cases() {
        let answer = refusals.one("http", &case, |node| node.post("/api/v1/drivers/d-1/location", &case.body));
        check_envelope(&answer, if case.is_unreadable() { 400 } else { 422 }, &case);
    }
    assert_eq!(refusals.node.get("/api/v1/drivers/d-1/location").status, 404, "nothing of it got in");
}

#[test]
fn a_bad_report_alone_in_a_request_is_refused_with_its_reason_counted_and_kept() {
    let mut refusals = Refusals::start();
    for case in all_cases() {
        let answer = refusals.one("http", &case, |node| node.post("/api/v1/reports", &case.body));
        if case.is_unreadable() {
            check_envelope(&answer, 400, &case);
        } else {
            check_listed(&answer.expect(422), &case, 0);
        }
    }
    assert_eq!(refusals.node.get("/api/v1/drivers/d-1/location").status, 404, "nothing of it got in");
}

#[test]
fn a_bad_frame_is_refused_with_its_reason_counted_and_kept_and_the_socket_goes_on() {
    let mut refusals = Refusals::start();
    let mut socket = refusals.node.socket("/api/v1/ingest");
    for (number, case) in all_cases().iter().enumerate() {
        let ack = refusals.one("websocket", case, |_| {
            socket.send_binary(case.body.clone()).expect("the node takes a frame");
            socket.next()
        });
        assert_eq!(ack["ack"], number + 1, "{ack}");
        if case.is_unreadable() {
            assert_eq!(ack["error"]["code"], case.code, "{ack}");
            check_message(&ack["error"]["message"], case);
        } else {
            check_listed(&ack, case, 0);
        }
    }
    assert_eq!(socket.ask(report("driver", "good", now_ms(), 1.0, 1.0))["accepted"], 1);
}

#[test]
fn a_bad_item_does_not_touch_its_neighbours() {
    let mut refusals = Refusals::start();
    for (number, case) in all_cases().iter().filter(|case| !case.is_unreadable()).enumerate() {
        let good =
            |i: i64| report("vehicle", "v", now_ms() - 100_000_000 + 2 * number as i64 + i, 1.0, 2.0).to_string();
        let item = String::from_utf8_lossy(&case.body);
        let array = format!("[{}, {item}, {}]", good(0), good(1));
        let receipt = refusals.one("http", case, |node| node.post("/api/v1/reports", array)).expect(202);
        assert_eq!(receipt["accepted"], 2, "{receipt}");
        check_listed(&receipt, case, 1);
    }
}

#[test]
fn items_of_an_array_that_are_no_objects_do_not_touch_their_neighbours() {
    let refusals = Refusals::start();
    let good = report("vehicle", "v", now_ms(), 1.0, 2.0);
    let receipt =
        refusals.node.post("/api/v1/reports", json!([7, null, "x", [], {}, true, good]).to_string()).expect(202);
    assert_eq!((&receipt["accepted"], &receipt["rejected_total"]), (&json!(1), &json!(6)), "{receipt}");
    let codes: Vec<&str> =
        receipt["rejected"].as_array().expect("a list").iter().filter_map(|item| item["code"].as_str()).collect();
    assert_eq!(codes, ["wrong_type", "wrong_type", "wrong_type", "wrong_type", "missing_field", "wrong_type"]);
}

#[test]
fn a_wrong_order_id_is_not_mistaken_for_a_wrong_id() {
    let mut refusals = Refusals::start();
    let case = Case::new(with("order_id", "[]"), "wrong_type", "order_id", &["order_id", "an array"]);
    let answer = refusals.one("http", &case, |node| node.post("/api/v1/drivers/d-1/location", &case.body));
    check_envelope(&answer, 422, &case);
}

/// JSON that is well formed but for a number that no float holds.
#[test]
fn a_number_beyond_all_floats_does_not_touch_its_neighbours() {
    let refusals = Refusals::start();
    let good = |i| report("vehicle", "v", now_ms() + i, 1.0, 2.0).to_string();
    let array = format!("[{}, {}, {}]", good(0), with("speed", "1e999"), good(1));
    let receipt = refusals.node.post("/api/v1/reports", array).expect(202);
    assert_eq!((&receipt["accepted"], &receipt["rejected_total"]), (&json!(2), &json!(1)), "{receipt}");
}

#[test]
fn a_broken_line_does_not_touch_its_neighbours() {
    let mut refusals = Refusals::start();
    let good = |i| report("vehicle", "v", now_ms() + i, 1.0, 2.0).to_string();
    for (number, broken) in ["{\"latitude\": 1", "not json", "[1]", "{\"latitude\": NaN}"].into_iter().enumerate() {
        let case = Case::new(
            broken,
            if broken == "[1]" { "wrong_type" } else { "malformed" },
            if broken == "[1]" { "report" } else { "" },
            &[],
        );
        let at = 10 * number as i64;
        let lines = format!("{}\n{broken}\r\n\n{}\n", good(at), good(at + 1));
        let receipt = refusals.one("http", &case, |node| node.post("/api/v1/reports", lines)).expect(202);
        assert_eq!(receipt["accepted"], 2, "{receipt}");
        check_listed(&receipt, &case, 1);
    }
}

/// A file cut at the front begins in the middle of a line.
#[test]
fn a_broken_first_line_does_not_touch_the_lines_after_it() {
    let refusals = Refusals::start();
    let good = report("vehicle", "v", now_ms(), 1.0, 2.0).to_string();
    for broken in ["{\"latitude\": 1", "tude\": 1}", "not json"] {
        let receipt = refusals.node.post("/api/v1/reports", format!("{broken}\n{good}\n")).expect(202);
        assert_eq!(
            (
                &receipt["accepted"].as_u64().zip(receipt["duplicates"].as_u64()).map(|(a, d)| a + d),
                &receipt["rejected_total"]
            ),
            (&Some(1), &json!(1)),
            "{receipt}"
        );
    }
}

#[test]
fn an_empty_array_holds_no_reports_and_is_no_error() {
    let refusals = Refusals::start();
    let receipt = refusals.node.post("/api/v1/reports", "[]").expect(202);
    assert_eq!((&receipt["accepted"], &receipt["rejected_total"]), (&json!(0), &json!(0)));
}

#[test]
fn a_report_that_lacks_what_makes_it_one_is_told_so() {
    let mut refusals = Refusals::start();
    let missing = |body: &str, field| Case::new(body, "missing_field", field, &[]);
    for case in [
        missing("{}", "kind"),
        missing("{\"kind\":\"driver\"}", "id"),
        missing("{\"id\":\"d-1\",\"latitude\":1,\"longitude\":1}", "kind"),
    ] {
        let answer = refusals.one("http", &case, |node| node.post("/api/v1/reports", &case.body));
        check_listed(&answer.expect(422), &case, 0);
    }
    for case in [missing("{}", "latitude"), missing("{\"latitude\":1}", "longitude")] {
        let answer = refusals.one("http", &case, |node| node.post("/api/v1/drivers/d-1/location", &case.body));
        check_envelope(&answer, 422, &case);
    }
    for body in ["7", "null", "\"x\"", "[]"] {
        let case = Case::new(body, "wrong_type", "report", &["an object is expected"]);
        let answer = refusals.one("http", &case, |node| node.post("/api/v1/drivers/d-1/location", body));
        check_envelope(&answer, 422, &case);
    }
}

#[test]
fn a_bad_id_is_refused_in_a_body_and_in_an_address() {
    let mut refusals = Refusals::start();
    let long = "x".repeat(65);
    let cases = [
        ("a b", "a%20b", "out_of_range", &["id", "' '", "letters"][..]),
        ("a/b", "a%2Fb", "out_of_range", &["id", "'/'"]),
        ("zoë", "zo%C3%AB", "out_of_range", &["id", "'ë'"]),
        ("a\u{0}b", "a%00b", "out_of_range", &["id"]),
        ("../../etc", "..%2F..%2Fetc", "out_of_range", &["id", "'/'"]),
        (&long, &long, "too_long", &["id", "65", "64"]),
    ];
    for (id, in_address, code, says) in cases {
        let body = report("driver", id, now_ms(), 1.0, 1.0).to_string();
        let case = Case { body: body.into_bytes(), code, field: "id", says };
        let answer = refusals.one("http", &case, |node| node.post("/api/v1/reports", &case.body));
        check_listed(&answer.expect(422), &case, 0);
        let body = json!({"latitude": 1, "longitude": 1}).to_string();
        let case = Case { body: body.into_bytes(), code, field: "id", says };
        let answer = refusals
            .one("http", &case, |node| node.post(&format!("/api/v1/drivers/{in_address}/location"), &case.body));
        check_envelope(&answer, 422, &case);
    }
    let case = Case::new(with("id", "\"\""), "missing_field", "id", &["id", "empty", "1 to 64"]);
    let answer = refusals.one("http", &case, |node| node.post("/api/v1/reports", &case.body));
    check_listed(&answer.expect(422), &case, 0);
}

#[test]
fn a_body_that_contradicts_its_address_is_refused() {
    let mut refusals = Refusals::start();
    let id = Case::new(with("id", "\"d-2\""), "out_of_range", "id", &["d-2", "d-1"]);
    let kind = Case::new(with("kind", "\"vehicle\""), "out_of_range", "kind", &["vehicle", "driver"]);
    for case in [id, kind] {
        let answer = refusals.one("http", &case, |node| node.post("/api/v1/drivers/d-1/location", &case.body));
        check_envelope(&answer, 422, &case);
    }
    let answer = refusals.node.post("/api/v1/spaceships/d-1/location", "{}");
    assert_eq!(answer.expect(404)["error"]["code"], "not_found");
}

#[test]
fn a_second_payload_under_the_same_key_is_a_conflict_and_the_first_stays() {
    let mut refusals = Refusals::start();
    let time = now_ms();
    let (first, second) = (report("driver", "d-1", time, 1.0, 1.0), report("driver", "d-1", time, 2.0, 2.0));
    assert_eq!(refusals.node.post("/api/v1/drivers/d-1/location", first.to_string()).expect(202)["accepted"], 1);
    let again = refusals.node.post("/api/v1/drivers/d-1/location", first.to_string()).expect(202);
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(1)), "the same again is no error");
    let case = Case::new(second.to_string(), "conflict", "timestamp", &["driver/d-1", "the first one stays"]);
    let answer = refusals.one("http", &case, |node| node.post("/api/v1/drivers/d-1/location", &case.body));
    check_envelope(&answer, 409, &case);
    let answer = refusals.one("http", &case, |node| node.post("/api/v1/reports", &case.body));
    check_listed(&answer.expect(422), &case, 0);
    let ack = refusals.one("websocket", &case, |node| node.socket("/api/v1/ingest").ask(&second));
    check_listed(&ack, &case, 0);
    let receipt = refusals.node.post("/api/v1/reports", json!([first, second, first]).to_string()).expect(202);
    assert_eq!((&receipt["duplicates"], &receipt["rejected"][0]["index"]), (&json!(2), &json!(1)), "{receipt}");
    let path = format!("/api/v1/drivers/d-1/location?at_least={}", receipt["position"]);
    assert_eq!(refusals.node.get(&path).expect(200)["latitude"], 1.0);
}

#[test]
fn a_reading_that_is_named_twice_is_shown_once() {
    let refusals = Refusals::start();
    let body = r#"{"latitude": 1, "longitude": 1, "readings": {"temperature": 1, "temperature": 2}, "temperature": 3}"#;
    let receipt = refusals.node.post("/api/v1/drivers/d-1/location", body).expect(202);
    let shown = refusals.node.get(&format!("/api/v1/drivers/d-1/location?at_least={}", receipt["position"]));
    assert_eq!(shown.text().matches("temperature").count(), 1, "{}", shown.text());
}

#[test]
fn a_device_that_sends_too_fast_is_told_to_wait_and_others_are_not() {
    let mut refusals =
        Refusals::start_with(&[("DROVER_DEVICE_REPORTS_PER_S", "0.001"), ("DROVER_DEVICE_BURST_REPORTS", "3")]);
    let reports: Vec<Value> = (0..4).map(|i| report("driver", "d-1", now_ms() + i, 1.0, 1.0)).collect();
    refusals.node.report(&reports[..3]);
    let case = Case::new(reports[3].to_string(), "rate_limited", "id", &["driver/d-1", "0.001 reports/s"]);
    let answer = refusals.one("http", &case, |node| node.post("/api/v1/drivers/d-1/location", &case.body));
    check_envelope(&answer, 429, &case);
    assert!(answer.retry_after_s.is_some_and(|seconds| seconds > 0));
    refusals.node.report(&[report("driver", "d-2", now_ms(), 1.0, 1.0)]);
}

#[test]
fn depth_in_fields_that_nobody_reads_does_no_harm() {
    let refusals = Refusals::start();
    let arrays = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    for junk in [&arrays, &objects] {
        let receipt = refusals.node.post("/api/v1/drivers/d-1/location", with("junk", junk)).expect(202);
        assert_eq!(receipt["accepted"], 1);
        let receipt = refusals.node.post("/api/v1/reports", format!("[{}]", with("junk", junk))).expect(202);
        assert_eq!(receipt["accepted"], 1);
        let readings = format!("{{\"x\":{junk},\"y\":1}}");
        assert_eq!(refusals.node.post("/api/v1/reports", with("readings", &readings)).expect(202)["accepted"], 1);
        assert_eq!(refusals.node.socket("/api/v1/ingest").ask(with("junk", junk))["accepted"], 1);
    }
}

#[test]
fn a_report_made_of_nothing_but_depth_is_refused() {
    let mut refusals = Refusals::start();
    let arrays = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let case = Case::new(arrays.clone(), "wrong_type", "report", &["an array", "an object is expected"]);
    check_envelope(&refusals.one("http", &case, |node| node.post("/api/v1/drivers/d-1/location", &arrays)), 422, &case);
    let inner = Case::new(&arrays[1..arrays.len() - 1], "wrong_type", "report", &["an array", "an object is expected"]);
    check_listed(&refusals.one("http", &inner, |node| node.post("/api/v1/reports", &arrays)).expect(422), &inner, 0);
    let open = Case::new("[".repeat(100_000), "malformed", "", &["JSON"]);
    check_envelope(&refusals.one("http", &open, |node| node.post("/api/v1/reports", &open.body)), 400, &open);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a Vec takes everything")
}

/// Zeros, gzipped without holding them all.
fn gzipped_zeros(mib: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let chunk = vec![0; 1 << 20];
    (0..mib).try_for_each(|_| encoder.write_all(&chunk)).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

/// A zstd frame of one uncompressed block (RFC 8878): magic, single segment with a content size of
/// four bytes, block header, block.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let size = u32::try_from(bytes.len()).expect("a small frame");
    let block = (size << 3) | 1; // raw, and the last one
    let head = [&[0x28, 0xB5, 0x2F, 0xFD, 0xA0][..], &size.to_le_bytes(), &block.to_le_bytes()[..3]];
    [head.concat().as_slice(), bytes].concat()
}

fn encoded(node: &Node, coding: &str, body: &[u8]) -> Answer {
    node.post_with("/api/v1/reports", &[("content-encoding", coding)], body)
}

#[test]
fn a_packed_body_that_is_not_whole_is_refused_counted_and_kept() {
    let mut refusals = Refusals::start();
    let good = |i| report("driver", "d-1", now_ms() + i, 1.0, 1.0).to_string().into_bytes();
    assert_eq!(encoded(&refusals.node, "gzip", &gzip(&good(0))).expect(202)["accepted"], 1);
    assert_eq!(encoded(&refusals.node, "zstd", &zstd(&good(1))).expect(202)["accepted"], 1);
    let (gzipped, zstd) = (gzip(&good(2)), zstd(&good(2)));
    for (coding, body) in [
        ("gzip", &gzipped[..gzipped.len() / 2]),
        ("gzip", &gzipped[..gzipped.len() - 1]),
        ("gzip", b"not gzip at all"),
        ("gzip", b""),
        ("zstd", &zstd[..zstd.len() / 2]),
        ("zstd", &zstd[..3]),
        ("zstd", b"not zstd at all"),
    ] {
        let says: &[&str] = if coding == "gzip" { &["gzip"] } else { &["zstd"] };
        let case = Case::new(body, "malformed", "", says);
        let answer = refusals.one("http", &case, |node| encoded(node, coding, body));
        check_envelope(&answer, 400, &case);
    }
}

#[test]
fn a_packed_bomb_is_refused_and_takes_little_memory() {
    let mut refusals = Refusals::start();
    for mib in [33, 1024] {
        let bomb = gzipped_zeros(mib);
        let case = Case::new(bomb.clone(), "too_long", "", &[]);
        let answer = refusals.one("http", &case, |node| encoded(node, "gzip", &bomb));
        assert_eq!(answer.expect(413)["error"]["code"], "too_large");
    }
    assert!(refusals.node.memory_mib() < 300, "{} MiB", refusals.node.memory_mib());
}

/// RFC 9110, 8.4.1: names of codings are case-insensitive.
#[test]
fn the_name_of_a_coding_may_be_in_any_case() {
    let refusals = Refusals::start();
    let body = gzip(report("driver", "d-1", now_ms(), 1.0, 1.0).to_string().as_bytes());
    assert_eq!(encoded(&refusals.node, "GZIP", &body).expect(202)["accepted"], 1);
}

#[test]
fn an_unknown_coding_is_refused_with_415_counted_and_kept() {
    let mut refusals = Refusals::start();
    for coding in ["br", "gzip, gzip", "rot13"] {
        let answer = encoded(&refusals.node, coding, b"{}");
        let body = answer.expect(415);
        assert_eq!(body["error"]["code"], "unsupported_encoding");
        assert!(body["error"]["message"].as_str().is_some_and(|message| message.contains(coding)), "{body}");
        assert!(body["error"]["help"].as_str().is_some_and(|help| help.contains("gzip")), "{body}");
        assert_eq!(refusals.new_kept().len(), 1, "a refusal for {coding} is kept");
    }
}

/// A request written by hand. A node that refuses early may close before it has read all; its answer counts.
fn raw(node: &Node, head: &str, body: &[u8]) -> String {
    let mut stream = node.connect();
    let mut sending = stream.try_clone().expect("a second handle");
    let head = format!("{head}\r\nhost: {}\r\nconnection: close\r\n\r\n", node.address());
    std::thread::scope(|scope| {
        scope.spawn(move || sending.write_all(head.as_bytes()).and_then(|()| sending.write_all(body)));
        read_all(&mut stream)
    })
}

fn read_all(mut stream: impl Read) -> String {
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_body_of_33_mib_is_refused_with_413_counted_and_kept() {
    let mut refusals = Refusals::start();
    let body = vec![b' '; BODY_MAX_BYTES + (1 << 20)];
    let head = format!("POST /api/v1/reports HTTP/1.1\r\ncontent-length: {}", body.len());
    let answer = raw(&refusals.node, &head, &body);
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("\"too_large\"") && answer.contains("32 MiB"),
        "{answer}"
    );
    assert_eq!(refusals.counted("too_long"), 1.0);
    assert_eq!(refusals.new_kept().len(), 1, "a refusal is kept");
}

#[test]
fn a_body_of_exactly_32_mib_is_taken() {
    let refusals = Refusals::start();
    let mut body = report("driver", "d-1", now_ms(), 1.0, 1.0).to_string().into_bytes();
    body.resize(BODY_MAX_BYTES, b' ');
    assert_eq!(refusals.node.post("/api/v1/reports", &body).expect(202)["accepted"], 1);
}

#[test]
fn more_reports_than_a_batch_may_hold_are_refused_as_a_whole() {
    let mut refusals = Refusals::start();
    let body = format!("[{}{{}}]", "{},".repeat(100_000));
    let case = Case::new(body, "too_long", "", &["100001", "100000"]);
    let answer = refusals.one("http", &case, |node| node.post("/api/v1/reports", &case.body));
    check_envelope(&answer, 422, &case);
}

#[test]
fn a_request_that_is_not_http_is_refused_and_harms_nobody() {
    let refusals = Refusals::start();
    let garbage: Vec<u8> = (0..64 * 1024_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for bytes in
        [&garbage[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\n\r\nX"]
    {
        let mut stream = refusals.node.connect();
        let _cut_off = stream.write_all(bytes);
        let _closed = stream.shutdown(std::net::Shutdown::Write);
        let answer = read_all(stream);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    for head in [
        "POST /api/v1/reports HTTP/1.1\r\ncontent-length: -1",
        "POST /api/v1/reports HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6",
        "POST /api/v1/reports HTTP/1.1\r\ntransfer-encoding: chunked",
    ] {
        let answer = raw(&refusals.node, head, b"zzz\r\n");
        assert!(answer.starts_with("HTTP/1.1 400"), "{head}: {answer}");
    }
}

#[test]
fn a_body_that_breaks_off_leaves_nothing_behind() {
    let refusals = Refusals::start();
    let body = report("driver", "d-1", now_ms(), 1.0, 1.0).to_string();
    let mut stream = refusals.node.connect();
    let head =
        format!("POST /api/v1/reports HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len() + 10);
    stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body.as_bytes()))
        .expect("half a request is taken");
    stream.shutdown(std::net::Shutdown::Write).expect("an open connection");
    let answer = read_all(stream);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    refusals.check_that_it_serves();
    assert_eq!(refusals.node.get("/api/v1/drivers/d-1/location").status, 404);
}

#[test]
fn half_a_frame_and_a_close_leave_nothing_behind() {
    let refusals = Refusals::start();
    let mut stream = refusals.node.connect();
    let handshake = format!(
        "GET /api/v1/ingest HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        refusals.node.address()
    );
    stream.write_all(handshake.as_bytes()).expect("a handshake");
    let mut start = [0; 12];
    stream.read_exact(&mut start).expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 101");
    // A masked text frame that promises 100 bytes (RFC 6455) and holds four.
    stream.write_all(&[0x81, 0x80 | 100, 1, 2, 3, 4, b'{' ^ 1, b'"' ^ 2, b'k' ^ 3, b'i' ^ 4]).expect("half a frame");
    stream.shutdown(std::net::Shutdown::Both).expect("an open connection");
    let gone = || Some(()).filter(|()| refusals.node.metric("drover_senders{door=\"websocket\"}") == 0.0);
    harness::wait_for("end of the sender", gone);
}

#[test]
fn a_frame_that_is_too_large_ends_its_socket_with_code_1009_and_no_other() {
    let refusals = Refusals::start();
    let mut other = refusals.node.socket("/api/v1/ingest");
    let mut socket = refusals.node.socket("/api/v1/ingest");
    let mut exact = report("driver", "d-1", now_ms(), 1.0, 1.0).to_string().into_bytes();
    exact.resize(MESSAGE_MAX_BYTES, b' ');
    socket.send_binary(exact).expect("a frame at the limit");
    assert_eq!(socket.next()["accepted"], 1);
    // The node may close before it has read all.
    let _cut_off = socket.send_binary(vec![b' '; MESSAGE_MAX_BYTES + 1]);
    assert_eq!(socket.await_end(), Some(1009), "the sender is told that its message is too big");
    assert_eq!(other.ask(report("driver", "d-2", now_ms(), 1.0, 1.0))["accepted"], 1);
}

#[test]
fn an_ingest_address_asked_without_a_websocket_says_what_it_wants() {
    let refusals = Refusals::start();
    let body = refusals.node.get("/api/v1/ingest").expect(400);
    assert!(body["error"]["help"].as_str().is_some_and(|help| help.contains("WebSocket")), "{body}");
}

#[test]
fn an_answer_to_a_body_that_was_not_read_arrives_and_says_that_the_connection_ends() {
    let folder = folder();
    let node = Node::start(folder.path());
    for _ in 0..20 {
        let mut stream = node.connect();
        let head = format!("POST /nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", 8 << 20);
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![b'x'; 8 << 20]).expect("the whole body is taken from the sender");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer, then an orderly end");
        assert!(answer.starts_with("HTTP/1.1 404") && answer.ends_with('}'), "{answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    }
}

#[test]
fn a_connection_whose_bodies_were_read_stays() {
    let folder = folder();
    let node = Node::start(folder.path());
    let mut stream = node.connect();
    for connection in ["keep-alive", "close"] {
        let body = report("driver", "d-1", now_ms(), 41.0, -8.0).to_string();
        let head = format!("POST /api/v1/reports HTTP/1.1\r\nhost: localhost\r\nconnection: {connection}\r\n");
        stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    }
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("two answers, then an orderly end");
    assert_eq!(answers.matches("HTTP/1.1 202").count(), 2, "{answers}");
    assert_eq!(answers.to_lowercase().matches("connection: close").count(), 1, "{answers}");
}

#[test]
fn a_sender_that_asks_first_is_not_told_to_send_what_is_refused() {
    let folder = folder();
    let node = Node::start(folder.path());
    let mut stream = node.connect();
    let head = "POST /nothing HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 8388608\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer, then an orderly end");
    assert!(answer.starts_with("HTTP/1.1 404") && answer.ends_with('}'), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
}
