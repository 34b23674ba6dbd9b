//! A person is erased, then everything but the vault is set back to a copy from before: the erased stays erased, in the
//! registry, live, in history and for DuckDB; and nobody else is touched. And what is private is in no file of a data
//! folder in the clear.

mod harness;

use harness::{Node, clients, folder, now_ms, python, report, wait_for};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().expect("cp runs");
    assert!(copied.success());
}

/// Rows of a driver in history, newest reports included.
fn rows(node: &Node, token: &str, id: &str) -> u64 {
    let sql = json!({"sql": format!("SELECT count(*) FROM reports WHERE id = '{id}'")}).to_string();
    node.asked_by(token).post("/api/v1/sql", sql).expect(200)["rows"][0][0].as_u64().expect("a count")
}

fn rows_for_duckdb(data: &Path, id: &str) -> u64 {
    let script = clients().join("duckdb_lake.py");
    let sql = format!("SELECT count(*) FROM reports WHERE id = '{id}'");
    let output = Command::new(python()).arg(script).arg(data.join("lake")).arg(&sql).output().expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let digits: String = said.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("a count: {said}"))
}

#[track_caller]
fn is_erased(node: &Node, token: &str) {
    let by_admin = node.asked_by(token);
    let driver = by_admin.get("/api/v1/drivers/d-1").expect(200);
    assert!(driver["data"]["name"].is_null(), "{driver}");
    assert_eq!(by_admin.get("/api/v1/drivers/d-1/location").status, 404);
    wait_for("history without the driver", || (rows(node, token, "d-1") == 0).then_some(()));
    let neighbour = by_admin.get("/api/v1/drivers/d-2").expect(200);
    assert_eq!(neighbour["data"]["name"], "Grace Hopper");
    assert_eq!(by_admin.get("/api/v1/drivers/d-2/location").status, 200);
    assert_eq!(rows(node, token, "d-2"), 20);
}

#[test]
fn the_erased_stays_erased_when_a_copy_from_before_is_restored() {
    let folder = folder();
    let data = folder.path().join("data");
    let settings = [("DROVER_HISTORY_FLUSH_INTERVAL_S", "1"), ("DROVER_CALLER_REQUESTS_PER_S", "0")];
    let (node, admin) = Node::secured(&data, &[], &settings);
    let by_admin = node.asked_by(&admin);
    by_admin.make("fleets", &json!({"id": "north", "name": "North"}));
    for (id, name) in [("d-1", "Ada Byron"), ("d-2", "Grace Hopper")] {
        by_admin.make("drivers", &json!({"id": id, "fleet_id": "north", "name": name, "phone": "+351 910 000 000"}));
    }
    let start = now_ms() - 100_000;
    let of =
        |id: &str| -> Vec<Value> { (0..20).map(|n| report("driver", id, start + n * 1000, 41.15, -8.61)).collect() };
    let sent = [of("d-1"), of("d-2")].concat();
    assert_eq!(by_admin.post("/api/v1/reports", Value::from(sent).to_string()).expect(202)["accepted"], 40);
    wait_for("files of history", || (rows(&node, &admin, "d-1") == 20).then_some(()));
    node.stop();
    let backup = folder.path().join("backup");
    std::fs::create_dir(&backup).expect("a folder");
    copy(&data, &backup);

    let (node, admin) = Node::secured_again(&data, &[], &settings);
    let known = node.asked_by(&admin).get("/api/v1/drivers/d-1/export").expect(200).to_string();
    assert!(known.contains("Ada Byron"), "{known}");
    let erased = node.asked_by(&admin).post("/api/v1/drivers/d-1/erase", "{}").expect(200);
    assert_eq!(erased["data"]["erased"]["elsewhere"]["history"], "erased", "{erased}");
    is_erased(&node, &admin);
    node.stop();
    assert_eq!((rows_for_duckdb(&data, "d-1"), rows_for_duckdb(&data, "d-2")), (0, 20));

    // Everything is set back but the vault, which is kept apart.
    let vault = folder.path().join("vault");
    std::fs::rename(data.join("vault"), &vault).expect("the vault");
    std::fs::remove_dir_all(&data).expect("the data");
    std::fs::remove_dir_all(backup.join("vault")).expect("the older vault");
    std::fs::rename(&backup, &data).expect("the copy");
    std::fs::rename(&vault, data.join("vault")).expect("the vault again");
    let (node, admin) = Node::secured_again(&data, &[], &settings);
    is_erased(&node, &admin);
    // A device that goes on is somebody new.
    let again = report("driver", "d-1", now_ms(), 41.2, -8.6);
    node.asked_by(&admin).post("/api/v1/reports", json!([again]).to_string()).expect(202);
    wait_for("the new report", || (rows(&node, &admin, "d-1") == 1).then_some(()));
    node.stop();
    wait_for("files without the driver's past", || (rows_for_duckdb(&data, "d-1") <= 1).then_some(()));
}

/// What is sealed wherever it is kept.
const PRIVATE: [&str; 12] = [
    "Ada Byron",
    "ada.byron@example.com",
    "+351 910 123 456",
    "Rua do Teste 7",
    "ring twice, there is a dog",
    "likes it early",
    "signed by her son",
    "Grace Hopper",
    "LIC-778899",
    "bad knee",
    "Uma User",
    "uma@example.com",
];
/// Where she lives, and where the parcel was handed over.
const PLACES: [f64; 2] = [38.712345678, 38.798765432];

/// Files below a folder that hold these bytes.
fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if path.is_file() {
            let content = std::fs::read(&path).expect("a file");
            if content.windows(bytes.len()).any(|window| window == bytes) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Files with one of the places, as text or as a number of SQLite.
fn files_with_places(data: &Path) -> Vec<String> {
    let ways = PLACES.iter().flat_map(|place| [place.to_string().into_bytes(), place.to_be_bytes().to_vec()]);
    let mut found: Vec<String> = ways.flat_map(|bytes| files_with(data, &bytes)).collect();
    found.sort();
    found.dedup();
    found
}

/// Everything that a customer, a driver and a user leave.
fn people(node: &Node, token: &str) {
    let by_admin = node.asked_by(token);
    let [home, door] = PLACES;
    by_admin.make("fleets", &json!({"id": "north", "name": "North"}));
    let customer = json!({"id": "c-1", "fleet_id": "north", "name": "Ada Byron", "email": "ada.byron@example.com",
        "phone": "+351 910 123 456", "address": "Rua do Teste 7", "attributes": {"note": "likes it early"}});
    let kept = [("idempotency-key", "made-once"), ("content-type", "application/json")];
    let authorization = format!("Bearer {token}");
    let headers = [&kept[..], &[("authorization", authorization.as_str())]].concat();
    node.post_with("/api/v1/customers", &headers, customer.to_string()).expect(201);
    by_admin.make(
        "drivers",
        &json!({"id": "d-1", "fleet_id": "north", "name": "Grace Hopper",
        "license_number": "LIC-778899", "attributes": {"note": "bad knee"}}),
    );
    by_admin.make(
        "users",
        &json!({"email": "uma@example.com", "name": "Uma User", "role": "customer",
        "customer_id": "c-1", "fleets": ["north"]}),
    );
    by_admin.make(
        "deliveries",
        &json!({"id": "del-1", "fleet_id": "north", "customer_id": "c-1", "driver_id": "d-1",
        "dropoff_address": "Rua do Teste 7", "dropoff_latitude": home, "dropoff_longitude": -9.1,
        "instructions": "ring twice, there is a dog"}),
    );
    by_admin.make(
        "routes",
        &json!({"id": "r-1", "fleet_id": "north", "date": "2026-11-22",
        "stops": [{"latitude": home, "longitude": -9.1, "delivery_id": "del-1"}]}),
    );
    for (status, more) in [
        ("assigned", json!({})),
        ("picked_up", json!({})),
        ("out_for_delivery", json!({})),
        ("delivered", json!({"latitude": door, "longitude": -9.1, "data": {"proof": "signed by her son"}})),
    ] {
        let mut step = json!({"status": status});
        step.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        by_admin.ask("PUT", "/api/v1/deliveries/del-1/status", step.to_string()).expect(200);
    }
    by_admin.ask("PATCH", "/api/v1/customers/c-1", r#"{"phone": "+351 910 123 456 7"}"#).expect(200);
    let stranger = json!({"email": "ada.byron@example.com", "password": "not a password"}).to_string();
    node.post_with("/api/v1/auth/login", &kept[1..], stranger).expect(401);
}

#[test]
fn what_is_private_is_in_no_file_in_the_clear_and_places_are_in_none_after_an_erasure() {
    let folder = folder();
    let data = folder.path().join("data");
    let settings = [("DROVER_CALLER_REQUESTS_PER_S", "0")];
    let (node, admin) = Node::secured(&data, &[], &settings);
    people(&node, &admin);
    let by_admin = node.asked_by(&admin);
    let audited =
        || by_admin.get("/api/v1/audit?subject=deliveries/del-1").expect(200)["data"].as_array().map(Vec::len);
    wait_for("the audit of the delivery", || (audited() == Some(5)).then_some(()));
    let changes = by_admin.get("/api/v1/changes?limit=1000").expect(200).to_string();
    assert!(changes.contains("(sealed, changed)"), "{changes}");
    node.stop();
    for word in PRIVATE {
        assert_eq!(files_with(folder.path(), word.as_bytes()), Vec::<String>::new(), "{word}");
    }
    let places = files_with_places(&data);
    assert!(!places.is_empty(), "the table of deliveries has places");
    assert!(places.iter().all(|file| file.contains("registry.db")), "no log, no audit: {places:?}");

    let (node, admin) = Node::secured_again(&data, &[], &settings);
    let by_admin = node.asked_by(&admin);
    let erased = by_admin.post("/api/v1/customers/c-1/erase", "{}").expect(200);
    let said = &erased["data"]["erased"];
    assert!(said["deliveries"].to_string().contains("dropoff_latitude"), "{erased}");
    assert_eq!(said["related"]["deliveries.events"], json!(["latitude", "longitude", "data"]));
    let delivery = by_admin.get("/api/v1/deliveries/del-1").expect(200);
    assert_eq!(
        (&delivery["data"]["status"], &delivery["data"]["dropoff_latitude"]),
        (&json!("delivered"), &Value::Null)
    );
    wait_for("the audit of the erasure", || {
        let entries = by_admin.get("/api/v1/audit?action=customers.erase").expect(200);
        (entries["data"].as_array().map(Vec::len) >= Some(1)).then_some(())
    });
    assert_eq!(by_admin.get("/api/v1/audit/verify").expect(200)["data"]["sound"], true);
    node.stop();
    assert_eq!(files_with_places(&data), Vec::<String>::new());
}
