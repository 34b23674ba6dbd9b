//! Questions to the live state over HTTP, and the pages that describe and operate a node.

mod harness;

use harness::{Answer, Node, folder, now_ms, report, texts, wait_for};
use serde_json::{Value, json};
use std::collections::HashSet;

const EARTH_RADIUS_M: f64 = 6_371_008.8;
const CENTRE: (f64, f64) = (41.15, -8.61);

/// A node that knows 40 drivers on a line to the north of the centre, a bit under 112 m apart, and a few others.
struct City {
    node: Node,
    _folder: tempfile::TempDir,
}

impl City {
    fn start() -> City {
        City::start_with(&[])
    }

    fn start_with(settings: &[(&str, &str)]) -> City {
        let folder = folder();
        let node = Node::start_with(&folder.path().join("data"), "127.0.0.1:0", settings);
        let now = now_ms();
        let mut reports: Vec<Value> = (0..40).map(|i| driver(i, now)).collect();
        reports.push(report("vehicle", "van", now, CENTRE.0, CENTRE.1 + 0.0005));
        reports.push(report("rider", "rita", now, CENTRE.0, CENTRE.1 + 0.01));
        reports.push(report("vehicle", "fiji-east", now, -17.0, 179.9));
        reports.push(report("vehicle", "fiji-west", now, -17.0, -179.9));
        reports.push(json!({"kind": "station", "id": "placeless", "status": "operational"}));
        let receipt = node.report(&reports);
        let city = City { node, _folder: folder };
        city.node.get(&format!("/api/v1/drivers/d0/location?at_least={}", receipt["position"])).expect(200);
        city
    }

    fn search(&self, query: Value) -> Answer {
        self.node.post("/api/v1/search", query.to_string())
    }

    fn found(&self, query: Value) -> Vec<String> {
        texts(&self.search(query).expect(200)["assets"], "id")
    }

    /// Ids of drivers, unless the query asks for another kind.
    fn nearby(&self, query: &str) -> Vec<String> {
        let answer = self.node.get(&format!("/api/v1/drivers/nearby?lat=41.15&lng=-8.61&{query}")).expect(200);
        assert_eq!(answer["count"], answer["drivers"].as_array().map_or(0, Vec::len), "{answer}");
        texts(&answer["drivers"], "id")
    }

    /// The error of an answer that must be one.
    #[track_caller]
    fn problem(answer: &Answer, status: u16, code: &str, says: &[&str]) {
        let body = answer.expect(status);
        assert_eq!((&body["status"], &body["code"]), (&json!("error"), &json!(status)), "{body}");
        assert_eq!(body["error"]["code"], code, "{body}");
        assert!(body["meta"]["timestamp"].is_string() && body["error"]["help"].is_string(), "{body}");
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(says.iter().all(|word| message.contains(word)), "{message:?} does not name {says:?}");
    }
}

fn driver(number: i64, now: i64) -> Value {
    let mut report = report("driver", &format!("d{number}"), now, CENTRE.0 + number as f64 * 0.001, CENTRE.1);
    report["status"] = if number % 2 == 0 { "active" } else { "idle" }.into();
    report["city"] = if number < 20 { "Porto" } else { "Maia" }.into();
    report
}

fn ids(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("d{number}")).collect()
}

/// Great-circle distance by the haversine formula.
fn haversine_m(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (lat1, lat2) = (from.0.to_radians(), to.0.to_radians());
    let (dlat, dlon) = (lat2 - lat1, (to.1 - from.1).to_radians());
    let h = (dlat / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * (dlon / 2.0).sin().powi(2);
    2.0 * EARTH_RADIUS_M * h.sqrt().asin()
}

#[test]
fn a_location_says_everything_of_the_latest_report() {
    let city = City::start();
    let time = "2026-01-31T12:00:00.250Z";
    let body = json!({"latitude": 41.5, "longitude": -8.5, "accuracy": 5, "speed": 32.5, "heading": 360, "battery_pct": 80,
        "status": "busy", "order_id": "o-7", "city": "Porto", "timestamp": time, "readings": {"door_open": true, "load_kg": 12.5, "note": "say \"hi\""}});
    let receipt = city.node.post("/api/v1/drivers/full/location", body.to_string()).expect(202);
    let position = &receipt["position"];
    let shown = city.node.get(&format!("/api/v1/drivers/full/location?at_least={position}")).expect(200);
    let received = shown["received_at"].as_str().expect("a time").to_owned();
    assert_eq!(
        shown,
        json!({"kind": "driver", "id": "full", "driver_id": "full", "latitude": 41.5, "longitude": -8.5, "accuracy": 5.0, "speed": 32.5,
            "heading": 0.0, "battery_pct": 80.0, "status": "active", "order_id": "o-7", "city": "Porto", "timestamp": time,
            "received_at": received, "position": position, "freshness": "live",
            "readings": {"door_open": true, "load_kg": 12.5, "note": "say \"hi\""}})
    );
}

#[test]
fn a_late_report_is_taken_but_does_not_move_the_asset() {
    let city = City::start();
    let receipt = city.node.report(&[report("driver", "d3", now_ms() - 60_000, 10.0, 10.0)]);
    assert_eq!(receipt["late"], 1);
    let shown = city.node.get(&format!("/api/v1/drivers/d3/location?at_least={}", receipt["position"])).expect(200);
    assert_eq!(shown["latitude"], 41.153);
}

#[test]
fn a_report_without_a_place_keeps_the_last_known_one() {
    let city = City::start();
    let receipt = city.node.report(&[json!({"kind": "driver", "id": "d3", "battery_pct": 9})]);
    let shown = city.node.get(&format!("/api/v1/drivers/d3/location?at_least={}", receipt["position"])).expect(200);
    assert_eq!((&shown["latitude"], &shown["battery_pct"]), (&json!(41.153), &json!(9.0)));
    assert!(shown["located_at"].is_string(), "the place is older than the report: {shown}");
    assert_eq!(shown["flags"], json!(["no_event_time"]));
}

#[test]
fn nearby_is_nearest_first_with_true_distances() {
    let city = City::start();
    let answer = city.node.get("/api/v1/drivers/nearby?lat=41.15&lng=-8.61&radius=20000").expect(200);
    assert_eq!(texts(&answer["drivers"], "id"), ids(0..40));
    for driver in answer["drivers"].as_array().expect("drivers") {
        let at = (driver["latitude"].as_f64().expect("degrees"), driver["longitude"].as_f64().expect("degrees"));
        let (told, expected) = (driver["distance_m"].as_f64().expect("metres"), haversine_m(CENTRE, at));
        assert!((told - expected).abs() < 0.5, "{told} m is told, {expected} m are right");
    }
}

#[test]
fn nearby_keeps_to_radius_limit_kind_and_status() {
    let city = City::start();
    assert_eq!(city.nearby("radius=500"), ids(0..5), "444.8 m to the fifth, 556 m to the sixth");
    assert_eq!(city.nearby(""), ids(0..9), "1,000 m unless told otherwise");
    assert_eq!(city.nearby("radius=20000&limit=3"), ids(0..3));
    assert_eq!(city.nearby("radius=500&status=idle"), ids([1, 3]));
    assert_eq!(city.nearby("radius=100&kind=vehicle"), ["van"]);
    assert_eq!(city.nearby("radius=100&kind=any"), ["d0", "van"]);
    assert_eq!(city.nearby("radius=0"), ["d0"]);
    let vans = city.node.get("/api/v1/vehicles/nearby?latitude=41.15&longitude=-8.61&radius=100").expect(200);
    assert_eq!(texts(&vans["vehicles"], "id"), ["van"], "the list has the name of the kind");
}

#[test]
fn nearby_leaves_out_who_is_offline_unless_asked() {
    let city = City::start_with(&[("DROVER_LIVE_S", "1"), ("DROVER_OFFLINE_S", "2")]);
    wait_for("silence of two seconds", || Some(()).filter(|()| city.nearby("radius=500").is_empty()));
    assert_eq!(city.nearby("radius=500&freshness=offline"), ids(0..5));
    assert_eq!(city.nearby("radius=500&freshness=live"), ids([]));
    assert_eq!(city.nearby("radius=500&freshness=live,stale,offline"), ids(0..5));
    city.node.report(&[report("driver", "d2", now_ms(), CENTRE.0, CENTRE.1)]);
    wait_for("the driver that spoke again", || Some(()).filter(|()| city.nearby("radius=500") == ids([2])));
    assert_eq!(city.node.get("/api/v1/drivers/d1/location").expect(200)["freshness"], "offline");
}

#[test]
fn search_finds_the_nearest_however_far() {
    let city = City::start();
    let near = json!({"latitude": 41.15, "longitude": -8.61});
    assert_eq!(city.found(json!({"near": near, "kinds": ["driver"], "limit": 4})), ids(0..4));
    assert_eq!(city.found(json!({"near": {"latitude": 80, "longitude": 100}, "kinds": ["rider"]})), ["rita"]);
    assert_eq!(
        city.found(json!({"near": {"latitude": 41.15, "longitude": -8.61, "radius_m": 500}, "kinds": ["driver"]})),
        ids(0..5)
    );
}

#[test]
fn search_finds_what_lies_in_a_box_also_across_the_date_line() {
    let city = City::start();
    assert_eq!(city.found(json!({"box": [-8.62, 41.1495, -8.60, 41.1525], "kinds": ["driver"]})), ids(0..3));
    let everywhere = json!({"box": [-180, -90, 180, 90], "kinds": ["driver"], "limit": 10});
    let answer = city.search(everywhere).expect(200);
    assert_eq!((&answer["count"], &answer["left_out"]), (&json!(10), &json!(30)));
    assert_eq!(city.found(json!({"box": [179, -18, -179, -16]})), ["fiji-east", "fiji-west"]);
    assert_eq!(
        city.found(json!({"box": [-8.62, 41.1495, -8.60, 41.1525], "kinds": ["driver"], "statuses": ["idle"]})),
        ids([1])
    );
    assert_eq!(city.found(json!({"box": [-9, 41, -8, 42], "city": "Maia", "limit": 3})), ids(20..23));
}

#[test]
fn search_finds_what_lies_in_a_polygon_and_not_in_its_hole() {
    let city = City::start();
    let outer = [[-8.62, 41.1495], [-8.60, 41.1495], [-8.60, 41.1555], [-8.62, 41.1555], [-8.62, 41.1495]];
    let hole = [[-8.611, 41.1515], [-8.609, 41.1515], [-8.609, 41.1535], [-8.611, 41.1535], [-8.611, 41.1515]];
    assert_eq!(city.found(json!({"polygon": [outer], "kinds": ["driver"]})), ids(0..6));
    assert_eq!(city.found(json!({"polygon": [outer, hole], "kinds": ["driver"]})), ids([0, 1, 4, 5]));
}

#[test]
fn distance_is_measured_between_the_last_known_places() {
    let city = City::start();
    let answer = city.node.get("/api/v1/distance?from=driver/d39&to=rider/rita").expect(200);
    let expected = haversine_m((41.189, -8.61), (41.15, -8.60));
    let told = answer["distance_m"].as_f64().expect("metres");
    assert!((told - expected).abs() < 0.5, "{told} m is told, {expected} m are right");
    let over_the_date_line = city.node.get("/api/v1/distance?from=vehicle/fiji-east&to=vehicle/fiji-west").expect(200);
    assert!(
        (over_the_date_line["distance_m"].as_f64().expect("metres") - haversine_m((-17.0, 179.9), (-17.0, -179.9)))
            .abs()
            < 0.5
    );
    City::problem(
        &city.node.get("/api/v1/distance?from=driver/d1&to=station/placeless"),
        404,
        "not_found",
        &["station/placeless"],
    );
    City::problem(
        &city.node.get("/api/v1/distance?from=driver/d1&to=driver/nobody"),
        404,
        "not_found",
        &["driver/nobody"],
    );
    City::problem(
        &city.node.get("/api/v1/distance?from=driver/d1&to=ship/1"),
        422,
        "unknown_value",
        &["ship", "driver"],
    );
    City::problem(&city.node.get("/api/v1/distance?from=driver/d1"), 422, "missing_field", &["to"]);
}

#[test]
fn a_question_that_makes_no_sense_is_told_why() {
    let City { node, .. } = &City::start();
    for (path, status, code, says) in [
        ("/api/v1/drivers/nobody/location", 404, "not_found", &["driver/nobody"][..]),
        ("/api/v1/ships/1/location", 404, "not_found", &["ships"]),
        ("/api/v1/no/such/address", 404, "not_found", &["/api/v1/no/such/address"]),
        ("/api/v1/drivers/nearby?lng=1", 422, "missing_field", &["lat"]),
        ("/api/v1/drivers/nearby?lat=91&lng=1", 422, "out_of_range", &["lat", "91", "-90 to 90"]),
        ("/api/v1/drivers/nearby?lat=1&lng=-180.5", 422, "out_of_range", &["lng", "-180.5", "-180 to 180"]),
        ("/api/v1/drivers/nearby?lat=NaN&lng=1", 422, "out_of_range", &["lat", "NaN"]),
        ("/api/v1/drivers/nearby?lat=1&lng=1&radius=-1", 422, "out_of_range", &["radius", "-1", "0 to 20037508"]),
        ("/api/v1/drivers/nearby?lat=1&lng=1&radius=inf", 422, "out_of_range", &["radius", "inf"]),
        ("/api/v1/drivers/nearby?lat=1&lng=1&limit=0", 422, "out_of_range", &["limit", "0", "1 to 10000"]),
        ("/api/v1/drivers/nearby?lat=1&lng=1&limit=10001", 422, "out_of_range", &["limit", "10001"]),
        ("/api/v1/drivers/nearby?lat=1&lng=1&kind=ship", 422, "out_of_range", &["kind", "ship"]),
        ("/api/v1/drivers/nearby?lat=1&lng=1&status=flying", 422, "out_of_range", &["status", "flying", "active"]),
        ("/api/v1/drivers/nearby?lat=1&lng=1&freshness=new", 422, "out_of_range", &["freshness", "new", "stale"]),
        ("/api/v1/drivers/d1/location?at_least=soon", 422, "wrong_type", &["at_least"]),
    ] {
        City::problem(&node.get(path), status, code, says);
    }
}

#[test]
fn a_search_that_makes_no_sense_is_told_why() {
    let city = City::start();
    for (query, status, code, says) in [
        (json!({}), 422, "out_of_range", &["near", "box", "polygon"][..]),
        (json!({"box": [0, 0, 1, 1], "near": {"latitude": 0, "longitude": 0}}), 422, "out_of_range", &["exactly one"]),
        (json!({"box": [0, 2, 1, 1]}), 422, "out_of_range", &["south", "north"]),
        (json!({"box": [0, 0, 181, 1]}), 422, "out_of_range", &["box", "181", "-180 to 180"]),
        (json!({"box": [0, 0, 1]}), 422, "out_of_range", &["3"]),
        (
            json!({"near": {"latitude": 100, "longitude": 0}}),
            422,
            "out_of_range",
            &["near.latitude", "100", "-90 to 90"],
        ),
        (json!({"near": {"latitude": "x", "longitude": 0}}), 422, "out_of_range", &["x"]),
        (json!({"near": {"latitude": 0, "longitude": 0}, "radius": 5}), 422, "unknown_field", &["radius"]),
        (json!({"near": {"latitude": 0, "longitude": 0}, "kinds": ["ship"]}), 422, "out_of_range", &["kinds", "ship"]),
        (json!({"near": {"latitude": 0, "longitude": 0}, "limit": 0}), 422, "out_of_range", &["limit"]),
        (json!({"polygon": [[[0, 0], [1, 1]]]}), 422, "out_of_range", &[]),
        (json!({"polygon": []}), 422, "out_of_range", &[]),
        (json!({"polygon": [[[0, 0], [1, 0], [1, 91], [0, 0]]]}), 422, "out_of_range", &[]),
    ] {
        City::problem(&city.search(query), status, code, says);
    }
    City::problem(&city.node.post("/api/v1/search", "{"), 400, "malformed", &["JSON"]);
    City::problem(&city.node.post("/api/v1/search", ""), 400, "malformed", &["JSON"]);
    City::problem(&city.node.post("/api/v1/search", vec![b' '; 3 << 20]), 413, "malformed", &[]);
}

#[test]
fn a_read_that_names_a_position_sees_everything_up_to_it() {
    let city = City::start();
    for number in 0..200 {
        let latitude = 50.0 + f64::from(number) / 1000.0;
        let receipt = city.node.report(&[report("driver", "me", now_ms() + i64::from(number), latitude, 5.0)]);
        let position = &receipt["position"];
        let shown = city.node.get(&format!("/api/v1/drivers/me/location?at_least={position}")).expect(200);
        assert_eq!(shown["latitude"], latitude);
        let near = city
            .node
            .get(&format!("/api/v1/drivers/nearby?lat={latitude}&lng=5&radius=1&at_least={position}"))
            .expect(200);
        assert_eq!(texts(&near["drivers"], "id"), ["me"]);
        let query = json!({"box": [4.9, latitude - 0.0001, 5.1, latitude + 0.0001], "at_least": position});
        assert_eq!(city.found(query), ["me"]);
    }
}

#[test]
fn a_position_that_is_not_there_yet_is_waited_for_and_then_refused() {
    let city = City::start();
    let answer = city.node.get("/api/v1/drivers/d1/location?at_least=1000000");
    City::problem(&answer, 503, "not_applied_yet", &["1000000"]);
    assert!(answer.retry_after_s.is_some());
}

#[test]
fn an_address_that_cannot_be_decoded_gets_the_envelope_too() {
    let city = City::start();
    City::problem(&city.node.get("/api/v1/drivers/%FF/location"), 400, "malformed", &[]);
}

#[test]
fn a_known_address_with_another_method_says_so() {
    let city = City::start();
    City::problem(&city.node.get("/api/v1/search"), 405, "method_not_allowed", &["GET", "/api/v1/search"]);
    City::problem(&city.node.post("/healthz", ""), 405, "method_not_allowed", &["POST"]);
    City::problem(&city.node.post("/no/such/place", ""), 404, "not_found", &["POST"]);
}

#[test]
fn operators_and_probes_get_their_answers() {
    let City { node, .. } = &City::start();
    assert_eq!((node.get("/healthz").status, node.get("/readyz").status), (200, 200));
    let metrics = node.get("/metrics");
    assert!(metrics.content_type.starts_with("text/plain"), "{}", metrics.content_type);
    assert_eq!(node.metric(r#"drover_reports_accepted_total{door="http"}"#), 45.0);
    assert_eq!(node.metric("drover_live_assets"), 45.0);
    let info = node.get("/api/v1/info").expect(200);
    assert_eq!((&info["name"], &info["assets"], &info["mode"]), (&json!("drover"), &json!(45), &json!("dev")));
    for page in ["/", "/docs", "/docs/"] {
        let answer = node.get(page);
        assert_eq!(answer.status, 200, "{page}");
        assert!(answer.content_type.starts_with("text/html"), "{page} is {}", answer.content_type);
    }
}

/// The operations of the document: path, method, operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().expect("a path item").clone();
        let path = path.clone();
        methods.into_iter().map(move |(method, operation)| (path.clone(), method, operation))
    };
    paths.iter().flat_map(of_path).collect()
}

/// Every `$ref` below a value.
fn references(value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn check_operation(path: &str, method: &str, operation: &Value) {
    let name = format!("{method} {path}");
    assert!(["get", "post", "put", "patch", "delete"].contains(&method), "{name}");
    assert!(operation["summary"].is_string() || operation["description"].is_string(), "{name} says nothing of itself");
    let responses = operation["responses"].as_object().unwrap_or_else(|| panic!("{name} has responses"));
    assert!(!responses.is_empty(), "{name}");
    for (status, response) in responses {
        assert!(
            status == "default" || status.parse::<u16>().is_ok_and(|s| (100..600).contains(&s)),
            "{name}: {status}"
        );
        assert!(response["description"].is_string(), "{name}: {status} needs a description");
    }
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in &parameters {
        let place = parameter["in"].as_str().unwrap_or_default();
        assert!(["path", "query", "header", "cookie"].contains(&place), "{name}: {parameter}");
        assert!(parameter["name"].is_string() && parameter["schema"].is_object(), "{name}: {parameter}");
        assert!(place != "path" || parameter["required"] == true, "{name}: {parameter}");
    }
    let declared: HashSet<&str> =
        parameters.iter().filter(|p| p["in"] == "path").filter_map(|p| p["name"].as_str()).collect();
    let used: HashSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
    assert_eq!(declared, used, "{name}: path parameters");
}

#[test]
fn the_openapi_document_has_the_shape_of_version_3_1() {
    let City { node, .. } = &City::start();
    let document = node.get("/api/v1/openapi.json").expect(200);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let operations = operations(&document);
    let mut names = HashSet::new();
    for (path, method, operation) in &operations {
        assert!(path.starts_with('/'), "{path}");
        check_operation(path, method, operation);
        if let Some(name) = operation["operationId"].as_str() {
            assert!(names.insert(name.to_owned()), "operationId {name} is there twice");
        }
    }
    let mut wanted = HashSet::new();
    references(&document, &mut wanted);
    for reference in wanted {
        let place = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(place).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn every_documented_address_is_served() {
    let City { node, .. } = &City::start();
    let document = node.get("/api/v1/openapi.json").expect(200);
    let operations = operations(&document);
    assert!(operations.len() >= 14, "{} operations", operations.len());
    for (path, method, _) in operations {
        let mut address = path.replace("{kinds}", "drivers");
        for parameter in ["{id}", "{order_id}", "{station_id}", "{tracking_number}", "{serial}"] {
            address = address.replace(parameter, "d1");
        }
        assert!(!address.contains('{'), "{address}: this test knows no such parameter");
        if address == "/api/v1/live" {
            continue; // answers without end: see watching.rs
        }
        let answer = match method.as_str() {
            "get" => node.get(&address),
            "delete" => node.delete(&address),
            // Nobody asks for a token here.
            method => node.asked_by("").ask(&method.to_uppercase(), &address, "{}"),
        };
        let fell_through = answer.status == 404 && answer.text().contains("there is nothing at");
        assert!(
            answer.status < 500 && answer.status != 405 && !fell_through,
            "{method} {address}: {} {}",
            answer.status,
            answer.text()
        );
    }
}
