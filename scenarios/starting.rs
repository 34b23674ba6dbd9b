//! How a node starts and ends, with the settings that it understands and those that it does not.

mod harness;

use harness::{Node, drover, folder, now_ms, report};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A node that must not start: what it says instead.
fn refusal(data: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let data = data.to_str().expect("a path in UTF-8");
    let mut command = drover(&["serve", "--data", data, "--http", "127.0.0.1:0"]);
    let output = command.args(arguments).envs(settings.iter().copied()).output().expect("drover starts");
    assert!(!output.status.success(), "the node has started and ended well");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_variable_that_sets_the_level_of_messages_is_no_unknown_setting() {
    let folder = folder();
    let node = Node::start_with(&folder.path().join("data"), "127.0.0.1:0", &[("DROVER_LOG", "debug")]);
    assert_eq!(node.get("/readyz").status, 200);
}

#[test]
fn an_unknown_setting_is_refused_and_the_nearest_is_named() {
    let folder = folder();
    let file = folder.path().join("drover.toml");
    std::fs::write(&file, "max_speed_kph = 120\n").expect("a file");
    let said =
        refusal(&folder.path().join("data"), &["--dev", "--config", file.to_str().expect("a path in UTF-8")], &[]);
    assert!(said.contains("max_speed_kph") && said.contains("max_speed_kmh"), "{said}");
    let said = refusal(&folder.path().join("data"), &["--dev"], &[("DROVER_LIVE_SECONDS", "1")]);
    assert!(said.contains("live_s"), "{said}");
    let said = refusal(&folder.path().join("data"), &["--dev"], &[("DROVER_LIVE_S", "0")]);
    assert!(said.contains("live_s") && said.contains('0') && said.contains("86400"), "{said}");
}

#[test]
fn a_setting_in_the_environment_goes_before_the_file() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = Node::start_with(&data, "127.0.0.1:0", &[("DROVER_MAX_SPEED_KMH", "50"), ("DROVER_REGION", "north")]);
    assert_eq!(node.get("/api/v1/info").expect(200)["region"], "north");
    let fast = r#"{"latitude": 1, "longitude": 1, "speed": 51}"#;
    let error = node.post("/api/v1/drivers/d-1/location", fast).expect(422);
    assert!(error["error"]["message"].as_str().is_some_and(|message| message.contains("0 to 50")), "{error}");
}

#[test]
fn without_credentials_a_node_listens_on_loopback_only() {
    let folder = folder();
    let data = folder.path().join("data");
    let open_to_all =
        drover(&["serve", "--dev", "--data", data.to_str().expect("a path in UTF-8"), "--http", "0.0.0.0:0"]).output();
    let output = open_to_all.expect("drover starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("loopback"), "{said}");
    let said = refusal(&data, &["--mqtt", "0.0.0.0:0"], &[]);
    assert!(said.contains("in the clear") && said.contains("allow_plain"), "{said}");
}

#[test]
fn a_new_data_folder_is_for_its_owner_alone() {
    let folder = folder();
    let data = folder.path().join("data");
    drop(Node::start(&data));
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let given = folder.path().join("given");
    std::fs::DirBuilder::new().mode(0o750).create(&given).expect("a folder");
    drop(Node::start(&given));
    assert_eq!(mode(&given), 0o750, "one that is there is as its owner wants it");
}

#[test]
fn the_doctor_finds_what_was_changed_in_the_audit() {
    let folder = folder();
    let data = folder.path().join("data");
    let (node, _) = Node::secured(&data, &[], &[]);
    node.stop();
    let look = || drover(&["doctor", "--data", data.to_str().expect("a path")]).output().expect("the doctor ends");
    let sound = look();
    assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stdout));
    let file = data.join("audit.db");
    let mut bytes = std::fs::read(&file).expect("the audit");
    let at = bytes.windows(10).position(|word| word == b"users.upda").expect("a change of a user");
    bytes[at..at + 10].copy_from_slice(b"users.upsa");
    std::fs::write(&file, bytes).expect("written");
    let found = look();
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(!found.status.success() && said.contains("audit.db") && said.contains("entry "), "{said}");
    let registry = data.join("registry.db");
    let mut pages = std::fs::read(&registry).expect("the registry");
    pages[4096..5 * 4096].fill(0);
    std::fs::write(&registry, pages).expect("written");
    std::fs::remove_file(data.join("vault/keys.json")).expect("removed");
    let found = look();
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(!found.status.success() && said.contains("registry.db") && said.contains("keys.json"), "{said}");
    let nothing = drover(&["doctor", "--data", "/usr"]).output().expect("the doctor ends");
    assert!(!nothing.status.success(), "{}", String::from_utf8_lossy(&nothing.stdout));
    std::fs::remove_file(&file).expect("removed");
    let found = look();
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(!found.status.success() && said.contains("audit.db") && said.contains("is not there"), "{said}");
}

#[test]
fn pages_of_named_origins_may_ask_with_a_token_and_no_others() {
    let folder = folder();
    let data = folder.path().join("data");
    let settings = [("DROVER_CORS_ORIGINS", r#"["https://shop.example.com"]"#)];
    let (node, admin) = Node::secured(&data, &[], &settings);
    let asked = |method: &str, origin: &str, more: &str| {
        let mut stream = node.connect();
        let request = format!(
            "{method} /api/v1/vehicles HTTP/1.1\r\nhost: x\r\norigin: {origin}\r\n{more}connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.to_ascii_lowercase()
    };
    let preflight = "access-control-request-method: PATCH\r\naccess-control-request-headers: authorization\r\n";
    let bearer = format!("authorization: Bearer {admin}\r\n");
    let allowed = asked("OPTIONS", "https://shop.example.com", preflight);
    assert!(allowed.starts_with("http/1.1 204"), "{allowed}");
    for line in ["access-control-allow-origin: https://shop.example.com", "patch", "authorization, x-api-key"] {
        assert!(allowed.contains(line), "{line}: {allowed}");
    }
    let read = asked("GET", "https://shop.example.com", &bearer);
    assert!(read.starts_with("http/1.1 200") && read.contains("access-control-expose-headers: etag"), "{read}");
    assert!(!read.contains("allow-credentials"), "no cookie goes along: {read}");
    for answer in [asked("OPTIONS", "https://evil.example", preflight), asked("GET", "https://evil.example", &bearer)] {
        assert!(!answer.contains("access-control-allow"), "{answer}");
        assert!(answer.contains("vary: origin"), "{answer}");
    }
    assert!(asked("GET", "https://shop.example.com", "").starts_with("http/1.1 401"), "a page is nobody by itself");
    node.stop();
    let mut wrong = drover(&["serve", "--data"]);
    wrong.arg(&data).env("DROVER_CORS_ORIGINS", r#"["shop.example.com"]"#).stdout(Stdio::null());
    let output = wrong.output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("cors_origins"), "{said}");
}

#[test]
fn a_folder_that_another_node_has_open_is_refused_by_name() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = Node::start(&data);
    let said = refusal(&data, &["--dev"], &[]);
    assert!(said.contains("in use by another process") && said.contains("data"), "{said}");
    node.report(&[report("driver", "d-1", now_ms(), 1.0, 1.0)]);
}

#[test]
fn a_node_that_is_told_to_stop_ends_in_seconds_whoever_is_connected() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = Node::start(&data);
    node.report(&[report("driver", "d-1", now_ms(), 1.0, 1.0)]);
    let _watcher = node.socket("/api/v1/live");
    let _sender = node.socket("/api/v1/ingest");
    let mut events = node.connect();
    events.write_all(b"GET /api/v1/live HTTP/1.1\r\nhost: x\r\n\r\n").expect("a request");
    let before = node.checksum();
    let told = Instant::now();
    node.stop();
    assert!(told.elapsed() < Duration::from_secs(10), "it took {:?}", told.elapsed());
    assert_eq!(Node::start(&data).checksum(), before);
}
