//! What the scenarios share: a node started from the real binary, the ways to talk to it that any
//! client has, and a look into its log after it has ended. Nothing sleeps for a fixed time: whatever
//! takes time is waited for, up to a deadline.

// Every scenario is a crate of its own and uses some of this.
#![allow(dead_code, unused_imports)]

mod browser;
mod disk;
mod log;
mod node;
mod numbers;
mod packet;
mod script;
mod socket;

pub use browser::{Browser, Page, next_of};
pub use disk::SmallDisk;
pub use log::{Logged, read_log};
pub use node::{ADMIN_PASSWORD, Answer, As, Node};
pub use numbers::Numbers;
pub use packet::{packet, text};
pub use script::Script;
pub use socket::Socket;

use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Whatever takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(5);

/// The binary with these arguments. Settings of whoever runs the tests do not reach it.
pub fn drover(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drover"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DROVER_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// Runs a client to its end and gives the JSON that it prints.
pub fn summary(args: &[&str]) -> Value {
    let output = drover(args).output().expect("drover starts");
    assert!(output.status.success(), "drover {args:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    parse(&output.stdout)
}

/// Runs a tool of the system that must be there and must succeed.
pub fn tool(name: &str, args: &[&str]) -> Result<Output, String> {
    let output = Command::new(name).args(args).output().map_err(|error| format!("{name} does not start: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{name} {args:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Tries until `look` gives something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}");
        std::thread::sleep(POLL);
    }
}

/// A file of the shared data. It must be there: a test without its data has failed.
pub fn shared(path: &str) -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DROVER_SHARED").map_or(default, PathBuf::from);
    let file = shared.join(path);
    assert!(file.exists(), "{} is missing; set DROVER_SHARED to the folder that holds {path}", file.display());
    file
}

/// The programs of other people's clients.
pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/clients")
}

/// The Python that has them.
pub fn python() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/test-python");
        let output = tool(script.to_str().expect("UTF-8"), &[]).expect("a Python for the tests");
        PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
    };
    PYTHON.get_or_init(make).clone()
}

/// A port for all lives of a server, outside the range that the system gives to outgoing connections:
/// a sender that knocks while the server is away could otherwise be given the port itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let mine = 20_000 + (std::process::id() % 10_000) as u16;
    let first = mine + 100 * NEXT.fetch_add(1, Ordering::Relaxed);
    (first..32_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// A folder that goes away with the test.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("drover-scenario-").tempdir().expect("a temporary folder")
}

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

pub fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(bytes)))
}

/// A report of an asset.
pub fn report(kind: &str, id: &str, time_ms: i64, latitude: f64, longitude: f64) -> Value {
    json!({"kind": kind, "id": id, "timestamp": time_ms, "latitude": latitude, "longitude": longitude})
}

/// The strings at `field` of every item.
pub fn texts(items: &Value, field: &str) -> Vec<String> {
    let items = items.as_array().expect("a list");
    items.iter().map(|item| item[field].as_str().expect("a text").to_owned()).collect()
}
