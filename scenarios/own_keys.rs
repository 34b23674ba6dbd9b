//! The node's own keys change under load and under `kill -9`: nothing that is sealed is lost, the background work goes on
//! where it was, and an operator changes his root key without a stop.

mod harness;
#[path = "../crates/registry/tests/support/postgres.rs"]
mod postgres;

use harness::{As, Node, drover, folder, wait_for};
use postgres::Postgres;
use serde_json::{Value, json};
use std::fs;

/// Drivers whose names are sealed: enough for the work to be cut off in the middle.
const DRIVERS: usize = 6_000;
/// Of one import.
const AT_ONCE: usize = 2_000;

fn keys(node: &As<'_>) -> Value {
    node.get("/api/v1/vault").expect(200)["data"].clone()
}

/// How many texts each data key seals; none while that is not known.
fn texts(keys: &Value) -> Vec<(u64, Option<u64>)> {
    let keys = keys["data"].as_array().expect("data keys").iter();
    keys.map(|key| (key["number"].as_u64().expect("a number"), key["texts"].as_u64())).collect()
}

/// A fleet, and drivers whose names tell who they are.
fn a_world(admin: &As<'_>) {
    admin.make("fleets", &json!({"id": "north", "name": "North"}));
    for first in (0..DRIVERS).step_by(AT_ONCE) {
        let rows: String = (first..first + AT_ONCE).map(|at| format!("d-{at},north,Name {at}\n")).collect();
        let made = admin.ask("POST", "/api/v1/drivers/import", format!("id,fleet_id,name\n{rows}"));
        assert_eq!(made.expect(200)["data"]["created"], AT_ONCE, "{}", made.text());
    }
}

/// Every driver has the name that he had, and is the version that he was.
fn every_name_is_right(admin: &As<'_>) {
    let mut seen = 0;
    for page in 1..=DRIVERS / 1000 {
        let list = admin.get(&format!("/api/v1/drivers?page={page}&limit=1000&sort=id")).expect(200);
        for driver in list["data"].as_array().expect("drivers") {
            let id = driver["id"].as_str().expect("an id");
            assert_eq!(driver["name"], format!("Name {}", id.trim_start_matches("d-")), "{driver}");
            assert_eq!(driver["version"], 1, "{driver}");
            seen += 1;
        }
    }
    assert_eq!(seen, DRIVERS);
}

/// The newest changes of drivers that the outbox tells of.
fn changes(admin: &As<'_>) -> Vec<Value> {
    let changes = admin.get(&format!("/api/v1/changes?limit=1000&since={}", DRIVERS - 100)).expect(200);
    let all = changes["data"]["changes"].as_array().or(changes["data"].as_array()).expect("changes").clone();
    let of_drivers: Vec<Value> = all.into_iter().filter(|change| change["resource"] == "drivers").collect();
    assert!(!of_drivers.is_empty());
    of_drivers
}

fn killed_in_the_middle(registry: Option<&str>) {
    let folder = folder();
    let data = folder.path().join("data");
    let mut settings = vec![("DROVER_CALLER_REQUESTS_PER_S", "0"), ("DROVER_ADDRESS_REQUESTS_PER_S", "0")];
    settings.extend(registry.map(|url| ("DROVER_REGISTRY", url)));
    let (node, admin) = Node::secured(&data, &[], &settings);
    let by_admin = node.asked_by(&admin);
    a_world(&by_admin);
    let told = changes(&by_admin);
    by_admin.post("/api/v1/vault/rotate", r#"{"key":"data"}"#).expect(200);
    let half_way = wait_for("half of the work", || {
        let keys = keys(&by_admin);
        let resealed = keys["resealing"]["resealed"].as_u64().expect("a number") as usize;
        assert!(resealed < DRIVERS, "it must be cut off before its end: {keys}");
        (resealed > DRIVERS / 10).then_some(resealed)
    });
    node.kill();

    let (node, admin) = Node::secured_again(&data, &[], &settings);
    let by_admin = node.asked_by(&admin);
    every_name_is_right(&by_admin);
    let done = wait_for("the rest of the work", || {
        let keys = keys(&by_admin);
        matches!(texts(&keys)[..], [(1, Some(0)), (2, Some(_))]).then_some(keys)
    });
    let rest = done["resealing"]["resealed"].as_u64().expect("a number") as usize;
    assert!(rest > 0 && rest <= DRIVERS + 1 - half_way, "only the rest: {half_way} before, {done}");
    assert_eq!((&done["resealing"]["unreadable"], &done["resealing"]["error"]), (&json!(0), &Value::Null));
    assert_eq!(changes(&by_admin), told, "the outbox tells of nothing");
    let retired = by_admin.post("/api/v1/vault/retire", "").expect(200);
    assert_eq!(retired["data"], json!({"retired": [1], "in_use": [2]}), "{retired}");
    node.kill();

    let (node, admin) = Node::secured_again(&data, &[], &settings);
    every_name_is_right(&node.asked_by(&admin));
    assert_eq!(node.asked_by(&admin).get("/api/v1/audit/verify").expect(200)["data"]["sound"], true);
    node.stop();
}

#[test]
fn sealing_anew_goes_on_after_kill_9_and_nothing_is_lost() {
    killed_in_the_middle(None);
}

#[test]
fn sealing_anew_goes_on_after_kill_9_on_postgres() {
    let server = Postgres::start();
    killed_in_the_middle(Some(&server.new_database()));
}

/// `drover vault …`, by somebody who logs in; what it prints.
fn vault(node: &Node, token: &str, args: &[&str]) -> Result<String, String> {
    let output = drover(&[&["vault"], args, &["--url", &node.url()]].concat());
    let output = { output }.env("DROVER_TOKEN", token).output().expect("drover starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn an_operator_changes_all_keys_by_the_command_line_without_a_stop() {
    let folder = folder();
    let (data, root) = (folder.path().join("data"), folder.path().join("root-key"));
    let new_root = folder.path().join("root-key.new");
    fs::write(&root, "01".repeat(32)).expect("a root key");
    let file = root.display().to_string();
    let settings = [("DROVER_ROOT_KEY_FILE", file.as_str()), ("DROVER_CALLER_REQUESTS_PER_S", "0")];
    let (node, admin) = Node::secured(&data, &[], &settings);
    let by_admin = node.asked_by(&admin);
    by_admin.make("fleets", &json!({"id": "north", "name": "North"}));
    by_admin.make("drivers", &json!({"id": "d-1", "fleet_id": "north", "name": "Ada Byron"}));

    let said = vault(&node, &admin, &["rotate", "data", "--wait"]).expect("rotated");
    assert_eq!(said, "data key 2 seals; everything is sealed by it");
    assert_eq!(vault(&node, &admin, &["retire"]).expect("retired"), "retired: 1; in use: 2");

    let refused = vault(&node, &admin, &["rotate", "root"]).expect_err("there is no new one");
    assert!(refused.contains("root-key.new") && refused.contains("no_new_root_key"), "{refused}");
    fs::write(&new_root, "02".repeat(32)).expect("a new root key");
    let said = vault(&node, &admin, &["rotate", "root"]).expect("rotated");
    assert!(said.contains(&format!("mv {} {}", new_root.display(), root.display())), "{said}");
    // Between the two steps either opens: also after a crash.
    node.kill();
    let (node, admin) = Node::secured_again(&data, &[], &settings);
    let pending = vault(&node, &admin, &["rotate", "data"]).expect_err("it would shut the new one out");
    assert!(pending.contains("root_key_pending"), "{pending}");
    fs::rename(&new_root, &root).expect("put in place");
    wait_for("the node has seen it", || (keys(&node.asked_by(&admin))["root"]["pending"] == false).then_some(()));
    let written = fs::read_to_string(data.join("vault/keys.json")).expect("keys");
    assert_eq!(written.matches("\"root\"").count(), 1, "the old one opens nothing any more");

    let said = vault(&node, &admin, &["rotate", "tokens"]).expect("rotated");
    assert!(said.contains("stay good"), "{said}");
    assert_eq!(node.asked_by(&admin).get("/api/v1/drivers/d-1").expect(200)["data"]["name"], "Ada Byron");
    let status = vault(&node, &admin, &["status"]).expect("told");
    assert!(status.contains("data key 2") && status.contains(&format!("root key: {file}")), "{status}");
    let metrics = node.asked_by(&admin).get("/metrics").text();
    assert!(
        metrics.contains("drover_vault_data_key 2") && metrics.contains("drover_vault_root_pending 0"),
        "{metrics}"
    );
    for action in ["vault.rotate", "vault.retire"] {
        let audit = node.asked_by(&admin).get(&format!("/api/v1/audit?action={action}")).expect(200).to_string();
        assert!(audit.contains("vault/") && audit.contains("127.0.0.1"), "{audit}");
    }
    node.stop();
    let (node, admin) = Node::secured_again(&data, &[], &settings);
    assert_eq!(node.asked_by(&admin).get("/api/v1/drivers/d-1").expect(200)["data"]["name"], "Ada Byron");
    node.stop();
}
