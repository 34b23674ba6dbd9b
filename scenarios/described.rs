//! The served description against the node that serves it: Schemathesis makes requests from it, sensible and senseless,
//! and looks whether every answer is one that the description knows. With a login, and without one.

mod harness;

use harness::{Node, folder, now_ms, python, report};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// No limits on requests, or every answer would be 429.
const QUICK: [(&str, &str); 3] = [
    ("DROVER_CALLER_REQUESTS_PER_S", "0"),
    ("DROVER_DEVICE_REQUESTS_PER_S", "0"),
    ("DROVER_ADDRESS_REQUESTS_PER_S", "0"),
];
/// Requests made of each operation, beside those that the description's examples and limits ask for.
const RANDOM: &str = "10";

/// Left out: streams that do not end by themselves, and what would log this very user out or wait for a person.
const LEFT_OUT: &str = "^/api/v1/(live|ingest|events|auth/.*|track/.*/live|orders/.*/driver-location|users.*|sql/.*)$";

#[test]
fn answers_are_as_described() {
    let folder = folder();
    let (node, token) = Node::secured(&folder.path().join("data"), &[], &QUICK);
    let admin = node.asked_by(&token);
    admin.make("fleets", &json!({"id": "north", "name": "North"}));
    admin.make("vehicles", &json!({"id": "v-1", "fleet_id": "north", "registration_number": "AA-01"}));
    let sent = json!([report("vehicle", "v-1", now_ms(), 41.0, -8.0), report("driver", "d-1", now_ms(), 41.0, -8.0)]);
    admin.post("/api/v1/reports", sent.to_string()).expect(202);
    let made = explore(&node, folder.path(), Some(&token));
    assert!(made > 3_000, "only {made} requests were made");
    assert_eq!(admin.get("/api/v1/auth/me").status, 200, "the login held to the end");
    assert_eq!(node.get("/readyz").status, 200);
}

#[test]
fn without_a_login_nothing_more_than_that_is_answered() {
    let folder = folder();
    let (node, _) = Node::secured(&folder.path().join("data"), &[], &QUICK);
    let described: Value = node.get("/api/v1/openapi.json").expect(200);
    let mut walked = 0;
    for (path, operations) in described["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys().filter(|key| *key != "parameters") {
            let concrete = path.replace(['{', '}'], "");
            let answer = node.asked_by("nobody").ask(&method.to_uppercase(), &concrete, "{}");
            let public = operations[method]["security"] == json!([]);
            assert_eq!(answer.status == 401, !public, "{method} {path}: {} {}", answer.status, answer.text());
            walked += 1;
        }
    }
    assert!(walked > 100, "{walked}");
}

/// Runs Schemathesis; gives the number of requests that it made.
fn explore(node: &Node, folder: &Path, token: Option<&str>) -> u64 {
    // By the interpreter: the program beside it names the place where it was installed.
    let program = "from schemathesis.cli import schemathesis; schemathesis()";
    let report = folder.join("har.json");
    let mut command = Command::new(python());
    command.current_dir(folder).args(["-c", program, "run", &format!("{}/api/v1/openapi.json", node.url())]);
    command.args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"]);
    command.args(["--checks", "response_schema_conformance"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", RANDOM, "--workers", "1"]);
    command.args(["--exclude-path-regex", LEFT_OUT, "--seed", "20261122", "--request-timeout", "30"]);
    command.args(["--report", "har", "--report-har-path"]).arg(&report).args([
        "--no-color",
        "--suppress-health-check",
        "all",
    ]);
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    let output = command.output().expect("schemathesis is installed by scripts/test-python");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let har: Value = serde_json::from_slice(&std::fs::read(&report).expect("the record of requests")).expect("JSON");
    har["log"]["entries"].as_array().map_or(0, Vec::len) as u64
}

/// `DROVER_WRITE_DOCS=1 cargo test --release --workspace --test described types` makes them anew.
#[test]
fn the_types_of_the_page_are_made_of_what_is_served() {
    let folder = folder();
    let node = Node::start(&folder.path().join("data"));
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web");
    let made = folder.path().join("api.ts");
    let output = Command::new(web.join("node_modules/.bin/openapi-typescript"))
        .current_dir(&web)
        .arg(format!("{}/api/v1/openapi.json", node.url()))
        .arg("--output")
        .arg(&made)
        .output()
        .expect("openapi-typescript is installed with the page");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = std::fs::read_to_string(&made).expect("the types");
    let path = web.join("shared/api.ts");
    if std::env::var_os("DROVER_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(web.join("shared")).and_then(|()| std::fs::write(&path, &made)).expect("the file");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let how = "DROVER_WRITE_DOCS=1 cargo test --release --workspace --test described types";
    assert!(kept == made, "web/shared/api.ts is stale: {how}");
}
