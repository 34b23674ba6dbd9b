//! A person is erased, then everything but the vault is set back to a copy from before: the erased stays erased, in the
//! registry, live, in history and for DuckDB; and nobody else is touched.

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
