//! The commands as somebody at a terminal gives them: to a node that speaks TLS and asks who is there, with one set of
//! options for all; what they say when something is wrong; and what they leave behind when they fail.

mod harness;

use harness::{ADMIN_PASSWORD, Node, drover, folder, parse, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

const ADMIN: &str = "admin@localhost";
/// Three places of one vehicle, the last of them nowhere.
const DAY: &str = "vehicle_id,time,lat,lon\n\
    7,2026-05-02T10:00:00Z,41.15,-8.61\n\
    7,2026-05-02T10:00:10Z,41.151,-8.61\n\
    7,2026-05-02T10:00:20Z,95,-8.61\n";

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// A node whose doors for everybody speak TLS with a certificate that nobody knows yet.
struct Secured {
    node: Node,
    folder: tempfile::TempDir,
}

impl Secured {
    fn start() -> Secured {
        let folder = folder();
        let data = folder.path().join("data");
        // The first start makes the administrator, whose password is chosen over plain HTTP on loopback.
        let (node, _) = Node::secured(&data, &[], &[]);
        node.stop();
        let node = Node::asking(&data, &[("--http", "0.0.0.0:0"), ("--mqtts", "127.0.0.1:0")], &[]);
        Secured { node, folder }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}", self.node.address().port())
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("data/tls/certificate.pem")
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("a file");
        path
    }

    /// The command as the administrator gives it.
    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        let output = self.try_run(args);
        assert!(output.status.success(), "drover {args:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn try_run(&self, args: &[&str]) -> Output {
        let (url, ca) = (self.url("https"), self.ca());
        let mut command = drover(args);
        command.args(["--url", &url, "--ca", text(&ca), "--as", ADMIN]).env("DROVER_PASSWORD", ADMIN_PASSWORD);
        command.output().expect("drover starts")
    }

    fn json(&self, args: &[&str]) -> Value {
        parse(self.run(args).as_bytes())
    }
}

#[test]
fn every_command_that_asks_a_node_speaks_tls_and_logs_in() {
    let secured = Secured::start();
    let day = secured.file("day.csv", DAY);
    let rejects = secured.folder.path().join("rejects.csv");
    let imported = secured.json(&["import", text(&day), "--rejects", text(&rejects), "--json"]);
    assert_eq!((&imported["accepted"], &imported["rejected_total"]), (&json!(2), &json!(1)), "{imported}");
    assert_eq!(fs::read_to_string(&rejects).expect("the rejected rows").lines().count(), 2);

    let count = ["sql", "SELECT count(*) AS n FROM reports WHERE id = '7'", "--format", "csv"];
    assert_eq!(secured.run(&count).replace("\r\n", "\n"), "n\n2\n");
    assert!(secured.run(&["dlq", "list"]).contains("no dead letters"));

    let mqtts = format!("mqtts://localhost:{}", secured.node.door("mqtts").port());
    for door in [&["--via", "http"][..], &["--via", "websocket"], &["--via", "mqtt", "--mqtt", &mqtts]] {
        let played = secured.json(&[&["replay", text(&day), "--speed", "0", "--json"], door].concat());
        assert_eq!((&played["accepted"], &played["rejected"]["out_of_range"]), (&json!(2), &json!(1)), "{played}");
    }
    assert!(secured.run(&["rejects", "list"]).contains("out_of_range"));
    let export = secured.run(&["rejects", "export"]);
    assert_eq!(parse(export.lines().next().expect("a line").as_bytes())["code"], "out_of_range");

    let load = ["--drivers", "4", "--interval", "0.2", "--duration", "1", "--connections", "2", "--watchers", "1"];
    let loaded = secured.json(&[&["simulate", "--json"][..], &load].concat());
    assert!(loaded["acknowledged"].as_u64() > Some(8) && loaded["watch"]["updates"].as_u64() > Some(8), "{loaded}");
    assert!(secured.run(&["user", "list"]).contains(ADMIN));
}

#[test]
fn whoever_cannot_be_let_in_is_told_what_to_do_in_the_commands_words() {
    let secured = Secured::start();
    let day = secured.file("day.csv", DAY);
    let (url, plain, ca) = (secured.url("https"), secured.url("http"), secured.ca());
    let commands: [&[&str]; 6] = [
        &["sql", "SELECT 1"],
        &["import", text(&day)],
        &["rejects", "list"],
        &["dlq", "list"],
        &["replay", text(&day), "--speed", "0"],
        &["user", "list"],
    ];
    for command in commands {
        let refused = |more: &[&str]| {
            let output = drover(command).args(more).output().expect("drover starts");
            assert!(!output.status.success(), "{command:?} {more:?}");
            said(&output)
        };
        let stranger = refused(&["--url", &url, "--ca", text(&ca)]);
        assert!(stranger.contains("--as EMAIL") && stranger.contains("DROVER_TOKEN"), "{command:?}: {stranger}");
        assert!(!stranger.contains("POST /") && !stranger.contains('{'), "{command:?}: {stranger}");
        let unknown = refused(&["--url", &url]);
        assert!(unknown.contains("--ca FILE"), "{command:?}: {unknown}");
        // A replay is patient with a node that hangs up.
        if command[0] != "replay" {
            let other_door = refused(&["--url", &plain]);
            assert!(other_door.contains("https://"), "{command:?}: {other_door}");
        }
    }
    for command in ["sql", "import", "rejects list", "dlq list", "replay", "simulate", "user list"] {
        let args: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = said(&drover(&args).output().expect("drover starts"));
        for option in ["--token", "DROVER_TOKEN", "--as", "--ca", "--url"] {
            assert!(help.contains(option), "{command} --help does not name {option}: {help}");
        }
    }
}

#[test]
fn users_are_named_by_the_address_that_they_log_in_by() {
    let secured = Secured::start();
    let help = said(&drover(&["user", "add", "--help"]).output().expect("drover starts"));
    assert!(help.contains("integration") && !help.contains("device"), "{help}");
    secured.run(&["user", "add", "shop@example.com", "--role", "integration", "--all-fleets"]);
    let user = |field: &str| {
        let users = secured.run(&["user", "list", "--json"]);
        let mut users = users.lines().map(|line| parse(line.as_bytes()));
        users.find(|user| user["email"] == "shop@example.com").map(|user| user[field].clone())
    };
    secured.run(&["user", "disable", "Shop@example.com"]);
    assert_eq!(user("disabled"), Some(json!(true)));
    let id = user("id").expect("the user").as_str().expect("an id").to_owned();
    secured.run(&["user", "enable", &id]);
    assert_eq!(user("disabled"), Some(json!(false)));
    assert!(secured.run(&["user", "reset-password", "shop@example.com"]).contains("password, good once: "));
    secured.run(&["user", "remove", "shop@example.com"]);
    assert_eq!(user("id"), None);
    let gone = secured.try_run(&["user", "remove", "shop@example.com"]);
    assert!(!gone.status.success() && said(&gone).contains("drover user list"), "{}", said(&gone));
    // Nor is a name that is no id taken for the list of all.
    assert!(!secured.try_run(&["user", "remove", "../users"]).status.success());
}

#[test]
fn no_certificate_is_made_that_cannot_be_kept_and_no_file_stays_for_one_that_was_not_made() {
    let secured = Secured::start();
    let out = secured.folder.path().join("out");
    fs::create_dir(&out).expect("a folder");
    let made = || secured.run(&["cert", "list"]).lines().count();
    let left = || fs::read_dir(&out).expect("the folder").count();
    let issue = |out: &Path| secured.try_run(&["cert", "issue", "station/s-1", "--out", text(out)]);

    assert!(!issue(&out.join("missing")).status.success());
    fs::write(out.join("station-s-1.key"), "older").expect("a file");
    let refused = issue(&out);
    assert!(!refused.status.success() && said(&refused).contains("station-s-1.key"), "{}", said(&refused));
    assert_eq!((made(), left()), (0, 1), "nothing was made, and what was there is there");
    assert_eq!(fs::read_to_string(out.join("station-s-1.key")).expect("the file"), "older");

    fs::remove_file(out.join("station-s-1.key")).expect("removed");
    let (url, ca) = (secured.url("https"), secured.ca());
    let mut nobody = drover(&["cert", "issue", "station/s-1", "--out", text(&out), "--url", &url, "--ca", text(&ca)]);
    assert!(!nobody.output().expect("drover starts").status.success());
    assert_eq!((made(), left()), (0, 0), "who may not ask leaves no files");

    assert!(issue(&out).status.success());
    assert_eq!((made(), left()), (1, 2));
    let key = fs::read_to_string(out.join("station-s-1.key")).expect("the key");
    assert!(key.contains("PRIVATE KEY"), "the key is whole");
}

#[test]
fn an_import_without_a_node_names_no_address_of_one() {
    let folder = folder();
    let day = folder.path().join("day.csv");
    fs::write(&day, DAY).expect("a file");
    let data = folder.path().join("data");
    let output = drover(&["import", text(&day), "--data", text(&data)]).output().expect("drover starts");
    let said = said(&output);
    assert!(output.status.success() && said.contains("1 rejected") && said.contains("--rejects FILE"), "{said}");
    assert!(!said.contains("GET ") && !said.contains("/api/"), "{said}");
}

#[test]
fn a_demo_whose_port_is_taken_says_that_and_nothing_else() {
    let folder = folder();
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = busy.local_addr().expect("its address").to_string();
    for door in ["--mqtt", "--http"] {
        let other = if door == "--mqtt" { "--http" } else { "--mqtt" };
        let data = folder.path().join(door);
        let mut demo = drover(&["demo", "--data", text(&data), door, &address, other, "127.0.0.1:0"]);
        let mut demo = demo.stderr(std::process::Stdio::piped()).spawn().expect("drover starts");
        let ended = wait_for("the end of the demo", || demo.try_wait().expect("our child"));
        let mut said = String::new();
        std::io::Read::read_to_string(&mut demo.stderr.take().expect("piped"), &mut said).expect("UTF-8");
        assert!(!ended.success() && said.contains(&format!("cannot listen on {address}")), "{said}");
        assert!(!said.contains("ERROR"), "{said}");
    }
}
