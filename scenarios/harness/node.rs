//! A running node and HTTP to it.

use super::{PATIENCE, Socket, drover, parse};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;

/// Lines of a node's own messages shown when a test fails.
const MESSAGES_SHOWN: usize = 30;
/// What users of the tests choose.
pub const ADMIN_PASSWORD: &str = "correct horse battery staple";
/// Largest answer that a test reads.
const ANSWER_MAX_BYTES: u64 = 256 << 20;

/// A node. It is killed when the test ends, however that happens.
pub struct Node {
    process: Child,
    doors: HashMap<String, SocketAddr>,
    http: ureq::Agent,
    messages: PathBuf,
}

/// What a node answered over HTTP.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub retry_after_s: Option<u64>,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        parse(&self.body)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON of an answer that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }
}

impl Node {
    /// A node on a port of its own.
    pub fn start(data: &Path) -> Node {
        Node::start_with(data, "127.0.0.1:0", &[])
    }

    /// A node with settings. Log segments are small unless told otherwise, so that a test sees more than
    /// one and a node does not write much ahead.
    pub fn start_with(data: &Path, http: &str, settings: &[(&str, &str)]) -> Node {
        Node::start_at(data, &[("--http", http), ("--mqtt", "127.0.0.1:0")], settings)
    }

    /// A node with these doors and settings.
    pub fn start_at(data: &Path, doors: &[(&str, &str)], settings: &[(&str, &str)]) -> Node {
        Node::start_as(true, data, doors, settings)
    }

    /// A node that asks for credentials, at its first start, and its administrator, logged in with a password of his own.
    pub fn secured(data: &Path, doors: &[(&str, &str)], settings: &[(&str, &str)]) -> (Node, String) {
        let node = Node::start_as(false, data, &and_usual(doors), settings);
        let messages = node.messages();
        let said = messages.lines().find_map(|line| line.trim().strip_prefix("first administrator: "));
        let (email, once) = said.and_then(|said| said.split_once(' ')).expect("the first administrator is told");
        let token = node.log_in(email, once);
        let change = serde_json::json!({"current_password": once, "new_password": ADMIN_PASSWORD}).to_string();
        let changed = node.asked_by(&token).post("/api/v1/auth/password", change);
        assert!((200..300).contains(&changed.status), "{}", changed.text());
        let token = node.log_in(email, ADMIN_PASSWORD);
        (node, token)
    }

    /// The same folder again, with the administrator that it has by now.
    pub fn secured_again(data: &Path, doors: &[(&str, &str)], settings: &[(&str, &str)]) -> (Node, String) {
        let node = Node::start_as(false, data, &and_usual(doors), settings);
        let token = node.log_in("admin@localhost", ADMIN_PASSWORD);
        (node, token)
    }

    /// A node that asks for credentials, left to clients that speak what its doors do: with `--http 0.0.0.0:0` that is TLS.
    pub fn asking(data: &Path, doors: &[(&str, &str)], settings: &[(&str, &str)]) -> Node {
        Node::start_as(false, data, &and_usual(doors), settings)
    }

    /// An access token for a user.
    #[track_caller]
    pub fn log_in(&self, email: &str, password: &str) -> String {
        let proof = serde_json::json!({"email": email, "password": password}).to_string();
        let json = [("content-type", "application/json")];
        let answer = self.post_with("/api/v1/auth/login", &json, proof).expect(200);
        answer["access_token"].as_str().expect("an access token").to_owned()
    }

    /// The node as somebody with this token sees it.
    pub fn asked_by<'a>(&'a self, token: &'a str) -> As<'a> {
        As { node: self, token }
    }

    fn start_as(dev: bool, data: &Path, doors: &[(&str, &str)], settings: &[(&str, &str)]) -> Node {
        let mut command = drover(&["serve"]);
        command.args(dev.then_some("--dev"));
        Node::run(command, data, doors, settings)
    }

    /// The demo, which has a node in it.
    pub fn demo(data: &Path) -> Node {
        Node::run(drover(&["demo"]), data, &and_usual(&[]), &[])
    }

    fn run(mut command: Command, data: &Path, doors: &[(&str, &str)], settings: &[(&str, &str)]) -> Node {
        let messages = data.with_extension("messages");
        let stderr = File::options().create(true).append(true).open(&messages).expect("a file for messages");
        let process = command
            .arg("--data")
            .arg(data)
            .args(doors.iter().flat_map(|(flag, address)| [flag, address]))
            .env("DROVER_LOG_SEGMENT_MIB", "4")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the node starts");
        let mut node = Node { process, doors: HashMap::new(), http: agent(), messages };
        node.doors = ready_line(node.process.stdout.take().expect("piped"));
        node
    }

    /// The address of HTTP.
    pub fn address(&self) -> SocketAddr {
        self.door("http")
    }

    pub fn door(&self, name: &str) -> SocketAddr {
        *self.doors.get(name).unwrap_or_else(|| panic!("the door {name} is open: {:?}", self.doors))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn get(&self, path: &str) -> Answer {
        let url = self.url() + path;
        answer(self.http.get(&url).call().unwrap_or_else(|error| panic!("GET {path}: {error}")))
    }

    pub fn delete(&self, path: &str) -> Answer {
        let url = self.url() + path;
        answer(self.http.delete(&url).call().unwrap_or_else(|error| panic!("DELETE {path}: {error}")))
    }

    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.post_with(path, &[], body)
    }

    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        self.try_post(path, headers, body).unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// For a node that may go away meanwhile.
    pub fn try_post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let request = self.http.post(self.url() + path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send(body.as_ref()).map(answer)
    }

    /// Sends reports that must all be taken, and gives the receipt.
    #[track_caller]
    pub fn report(&self, reports: &[Value]) -> Value {
        let receipt = self.post("/api/v1/reports", Value::from(reports).to_string()).expect(202);
        assert_eq!(receipt["accepted"], reports.len(), "{receipt}");
        receipt
    }

    /// A connection without any protocol.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).expect("the node accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    pub fn socket(&self, path: &str) -> Socket {
        Socket::open(self.connect(), &format!("ws://{}{path}", self.address()))
    }

    /// The last position of the log of reports that is on disk.
    pub fn log_position(&self) -> u64 {
        self.metric(r#"drover_log_position{stream="reports"}"#) as u64
    }

    /// Position, number of assets and hash of the live state, once it includes the whole log.
    pub fn checksum(&self) -> Value {
        let end = self.log_position();
        super::wait_for("live state of the whole log", || {
            let checksum = self.get("/api/v1/checksum").expect(200);
            (checksum["position"] == end).then_some(checksum)
        })
    }

    /// A line of `/metrics`, such as `drover_reports_rejected_total{reason="conflict"}`; 0 if it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a metric is a number"))
    }

    /// Memory that the process occupies.
    pub fn memory_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the node runs");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        kib.expect("VmRSS in kB").trim().parse::<u64>().expect("a number") / 1024
    }

    /// SIGTERM, and waits until the node has closed everything.
    pub fn stop(self) {
        self.signal("TERM");
    }

    /// Ctrl-C, and waits as well.
    pub fn interrupt(self) {
        self.signal("INT");
    }

    fn signal(mut self, name: &str) {
        let id = self.process.id().to_string();
        // The shell's own `kill`: a system without procps has no other.
        let kill = format!("kill -{name} \"$0\"");
        let status = Command::new("sh").args(["-c", &kill, &id]).status().expect("sh runs");
        assert!(status.success(), "the node was not there to be stopped");
        let ended = super::wait_for("end of the node", || self.process.try_wait().expect("the node is our child"));
        assert!(ended.success(), "the node ended with {ended}");
    }

    /// SIGKILL, at once.
    pub fn kill(mut self) {
        self.process.kill().expect("the node runs");
        self.process.wait().expect("the node is our child");
    }

    /// What the node wrote to standard error so far, with that of earlier nodes on the same folder.
    pub fn messages(&self) -> String {
        fs::read_to_string(&self.messages).unwrap_or_default()
    }
}

/// A node as somebody with a token sees it.
#[derive(Clone, Copy)]
pub struct As<'a> {
    node: &'a Node,
    token: &'a str,
}

impl As<'_> {
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask("POST", path, body)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, "")
    }

    /// Any method, with JSON.
    pub fn ask(&self, method: &str, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask_with(method, path, &[], body)
    }

    /// The same with more headers.
    pub fn ask_with(&self, method: &str, path: &str, more: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(self.node.url() + path)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.token));
        let request = more.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(body.as_ref().to_vec()).expect("a request");
        answer(self.node.http.run(request).unwrap_or_else(|error| panic!("{method} {path}: {error}")))
    }

    /// Makes a record; gives what the node says of it.
    #[track_caller]
    pub fn make(&self, resource: &str, record: &Value) -> Value {
        self.post(&format!("/api/v1/{resource}"), record.to_string()).expect(201)["data"].clone()
    }

    /// Makes a user with this role and a password of his own, logged in: his token.
    #[track_caller]
    pub fn user(&self, email: &str, more: &Value) -> String {
        let mut user = serde_json::json!({"email": email, "name": email});
        user.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let once = self.make("users", &user)["one_time_password"].as_str().expect("a password").to_owned();
        let token = self.node.log_in(email, &once);
        let change = serde_json::json!({"current_password": once, "new_password": ADMIN_PASSWORD}).to_string();
        let changed = self.node.asked_by(&token).post("/api/v1/auth/password", change);
        assert!((200..300).contains(&changed.status), "{}", changed.text());
        self.node.log_in(email, ADMIN_PASSWORD)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
        if std::thread::panicking() {
            let messages = self.messages();
            let lines: Vec<&str> = messages.lines().collect();
            eprintln!("the node's last messages:\n{}", lines[lines.len().saturating_sub(MESSAGES_SHOWN)..].join("\n"));
        }
    }
}

/// These doors, and those that every node has, each on a port of its own.
fn and_usual<'a>(doors: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [("--http", "127.0.0.1:0"), ("--mqtt", "127.0.0.1:0")].into_iter();
    let not_told = usual.filter(|(flag, _)| doors.iter().all(|(told, _)| told != flag));
    not_told.chain(doors.iter().copied()).collect()
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
    ureq::Agent::new_with_config(config)
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let retry_after_s = header("retry-after").map(|value| value.parse().expect("Retry-After in seconds"));
    let content_type = header("content-type").unwrap_or_default();
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_MAX_BYTES).read_to_vec().expect("a whole answer");
    Answer { status, retry_after_s, content_type, body }
}

/// Waits for `ready http=HOST:PORT mqtt=HOST:PORT …` and gives the addresses.
fn ready_line(stdout: ChildStdout) -> HashMap<String, SocketAddr> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Read on after the first line, or the node could block on a full pipe.
            let _nobody_listens = tell.send(line);
        }
    });
    let line = told.recv_timeout(PATIENCE).expect("the node says that it is ready");
    let words = line.strip_prefix("ready ").expect("the line begins with ready").split_whitespace();
    let doors = words.map(|word| word.split_once('=').expect("name=address"));
    doors.map(|(name, address)| (name.to_owned(), address.parse().expect("an address"))).collect()
}
