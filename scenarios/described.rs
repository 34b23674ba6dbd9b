//! The served description against the node that serves it: Schemathesis makes requests from it, sensible and senseless,
//! and looks whether every answer is one that the description knows. With a login, and without one. What ends a login is
//! tried on users who are there for that.

mod harness;

use harness::{ADMIN_PASSWORD, Node, folder, now_ms, python, report};
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

/// Left out: streams that do not end by themselves; identities have a test of their own below.
const LEFT_OUT: &str = "^/api/v1/(live|ingest|events|auth/.*|track/.*/live|orders/.*/driver-location|users.*)$";

#[test]
fn answers_are_as_described() {
    let folder = folder();
    let (node, token) = Node::secured(&folder.path().join("data"), &[], &QUICK);
    let admin = node.asked_by(&token);
    admin.make("fleets", &json!({"id": "north", "name": "North"}));
    admin.make("vehicles", &json!({"id": "v-1", "fleet_id": "north", "registration_number": "AA-01"}));
    let sent = json!([report("vehicle", "v-1", now_ms(), 41.0, -8.0), report("driver", "d-1", now_ms(), 41.0, -8.0)]);
    admin.post("/api/v1/reports", sent.to_string()).expect(202);
    let made = explore(&node, folder.path(), &token, &["--exclude-path-regex", LEFT_OUT], None);
    assert!(made.len() > 3_000, "only {} requests were made", made.len());
    assert!(
        made.iter().any(|made| made.method == "DELETE" && made.path.starts_with("/api/v1/sql/")),
        "queries are stopped"
    );
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

#[test]
fn identities_answer_as_described() {
    let folder = folder();
    let (node, token) = Node::secured(&folder.path().join("data"), &[], &QUICK);
    let admin = node.asked_by(&token);
    // The last two are in the examples of the description.
    for id in ["north", "f-north", "f-south"] {
        admin.make("fleets", &json!({"id": id, "name": id}));
    }
    let only = |path: &'static str| ["--include-path-regex", path];
    // Managed by a second administrator: first somebody who is there, then whoever comes.
    let second = admin.user("second@example.com", &json!({"role": "system_admin"}));
    let victim = |email: &str| {
        admin.user(email, &json!({"role": "dispatcher", "fleets": ["north"]}));
        let found = admin.get(&format!("/api/v1/users?q={email}")).expect(200);
        found["data"][0]["id"].as_str().expect("an id").to_owned()
    };
    for (name, path) in
        [("ann", "^/api/v1/users/[^/]*$"), ("ben", "^/api/v1/users/.*/password$"), ("cid", "^/api/v1/users/.*/totp$")]
    {
        let id = victim(&format!("{name}@example.com"));
        let made = explore(&node, folder.path(), &second, &only(path), Some(&id));
        let done: Vec<&Made> = made.iter().filter(|made| made.status < 300).collect();
        let removed = done.iter().any(|made| made.method == "DELETE" && made.status == 204);
        assert!(removed || name == "ben" && !done.is_empty(), "{path}: {made:?}");
    }
    let made = explore(&node, folder.path(), &second, &only("^/api/v1/users"), None);
    assert!(made.iter().any(|made| made.method == "POST" && made.status == 201), "somebody was made: {made:?}");

    // One's own account. Logins first: guesses make everybody at this address wait.
    let own = admin.user("own@example.com", &json!({"role": "dispatcher", "fleets": ["north"]}));
    let logged_in = || node.log_in("own@example.com", ADMIN_PASSWORD);
    let (one, two) = (logged_in(), logged_in());
    let sessions = node.asked_by(&own).get("/api/v1/auth/sessions").expect(200);
    let sessions = sessions["sessions"].as_array().expect("a list").clone();
    let others: Vec<&str> = sessions
        .iter()
        .filter(|session| session["current"] == false)
        .map(|session| session["id"].as_str().expect("an id"))
        .collect();
    let other = others.first().expect("another session");
    let made = explore(&node, folder.path(), &own, &only("^/api/v1/auth/sessions"), Some(other));
    assert!(made.iter().any(|made| made.method == "DELETE" && made.status == 204), "{made:?}");
    let is_left = |token: &&String| node.asked_by(token).get("/api/v1/auth/me").status == 200;
    let left = [&one, &two].into_iter().find(is_left).expect("the other was ended, this one not").clone();
    let made = explore(&node, folder.path(), &own, &only("^/api/v1/auth/(?!logout)"), None);
    assert!(made.iter().any(|made| made.path == "/api/v1/auth/me" && made.status == 200), "{made:?}");
    assert!(made.iter().any(|made| made.path == "/api/v1/auth/login" && made.status == 401), "{made:?}");
    let made = explore(&node, folder.path(), &left, &only("^/api/v1/auth/logout"), None);
    assert!(made.iter().any(|made| made.status == 204) && made.iter().any(|made| made.status == 401), "{made:?}");
    assert_eq!(admin.get("/api/v1/auth/me").status, 200, "nobody else was logged out");
    assert_eq!(node.get("/readyz").status, 200);
}

/// A request that was made, and how it was answered.
#[derive(Debug)]
struct Made {
    method: String,
    path: String,
    status: u64,
}

/// Runs Schemathesis; gives the requests that it made. `id` goes into every address that has one.
fn explore(node: &Node, folder: &Path, token: &str, which: &[&str], id: Option<&str>) -> Vec<Made> {
    // By the interpreter: the program beside it names the place where it was installed.
    let program = "from schemathesis.cli import schemathesis; schemathesis()";
    let report = folder.join("har.json");
    let parameters = id.map_or_else(String::new, |id| format!("[parameters]\n\"path.id\" = \"{id}\"\n"));
    std::fs::write(folder.join("schemathesis.toml"), parameters).expect("its settings");
    let mut command = Command::new(python());
    command.current_dir(folder).args(["-c", program, "run", &format!("{}/api/v1/openapi.json", node.url())]);
    command.args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"]);
    command.args(["--checks", "response_schema_conformance"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", RANDOM, "--workers", "1"]);
    command.args(which).args(["--seed", "20261122", "--request-timeout", "30"]);
    command.args(["--report", "har", "--report-har-path"]).arg(&report);
    command.args(["--no-color", "--suppress-health-check", "all"]);
    command.args(["--header", &format!("Authorization: Bearer {token}")]);
    let output = command.output().expect("schemathesis is installed by scripts/test-python");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let har: Value = serde_json::from_slice(&std::fs::read(&report).expect("the record of requests")).expect("JSON");
    let entries = har["log"]["entries"].as_array().expect("entries");
    let made = |entry: &Value| {
        let url = entry["request"]["url"].as_str().expect("an address");
        let path = url.strip_prefix(&node.url()).unwrap_or(url).split('?').next().unwrap_or_default();
        let method = entry["request"]["method"].as_str().expect("a method");
        Made { method: method.into(), path: path.into(), status: entry["response"]["status"].as_u64().unwrap_or(0) }
    };
    entries.iter().map(made).collect()
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
