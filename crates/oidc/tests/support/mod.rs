//! Providers as processes of their own, and a browser that needs no screen.

use drover_oidc::{Begun, Provider, Settings};
use openidconnect::url::Url;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use ureq::Agent;

/// Where the provider sends the browser back to; nobody listens there.
pub const RETURN: &str = "http://127.0.0.1:1/return";
/// What the test providers know as our secret.
pub const SECRET: &str = "a-secret-of-the-tests";
const START_MAX: Duration = Duration::from_secs(30);

/// A provider that runs until dropped.
pub struct Process {
    child: Child,
    lines: Mutex<Receiver<String>>,
    /// Where it listens.
    pub port: u16,
}

impl Process {
    /// Starts `tests/provider/<script>`; panics with what to do if that cannot be.
    pub fn start(script: &str, arguments: &[&str]) -> Process {
        let mut child = Command::new("node")
            .arg(script)
            .args(arguments)
            .current_dir(installed())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("these tests need node 20 or newer");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let said = lines.recv_timeout(START_MAX).unwrap_or_else(|_| panic!("{script} does not start"));
        let port = said.strip_prefix("ready ").and_then(|port| port.parse().ok());
        Process { child, lines: Mutex::new(lines), port: port.unwrap_or_else(|| panic!("{script} says {said}")) }
    }

    /// How often this path was asked for since the last look.
    #[allow(dead_code)] // not every test binary counts
    pub fn asked_for(&self, path: &str) -> usize {
        std::thread::sleep(Duration::from_millis(200)); // for what it said and nobody read yet
        self.lines.lock().expect("no test panics with it").try_iter().filter(|line| line == path).count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of the providers, with their packages.
fn installed() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider");
        if !folder.join("node_modules/oidc-provider").is_dir() {
            let arguments = ["install", "--no-save", "--no-audit", "--no-fund", "--silent"];
            let npm = Command::new("npm").args(arguments).current_dir(&folder).status();
            let is_done = npm.expect("these tests need npm").success();
            assert!(is_done, "npm install fails in {}", folder.display());
        }
        folder
    })
}

/// Settings for a provider on this machine.
pub fn settings(issuer: String) -> Settings {
    Settings {
        issuer,
        client_id: "drover".into(),
        client_secret: Some(SECRET.into()),
        redirect_url: RETURN.into(),
        scopes: ["openid", "email", "profile", "groups"].map(String::from).into(),
        ca: None,
        allow_http: true,
    }
}

/// The parameters of an address.
pub fn parameters(url: &str) -> HashMap<String, String> {
    Url::parse(url).expect("an address").query_pairs().into_owned().collect()
}

/// Goes where the login leads, with cookies, as far as back to us, and gives what the provider sent along.
#[allow(dead_code)] // not every test binary browses
pub async fn browse(begun: &Begun) -> HashMap<String, String> {
    let start = begun.redirect.clone();
    tokio::task::spawn_blocking(move || follow(&start)).await.expect("the browser works")
}

fn follow(start: &str) -> HashMap<String, String> {
    let config = Agent::config_builder().http_status_as_error(false).max_redirects(0).max_redirects_will_error(false);
    let agent = config.proxy(None).timeout_global(Some(Duration::from_secs(20))).build().new_agent();
    let mut cookies = HashMap::new();
    let mut here = Url::parse(start).expect("an address");
    for _ in 0..10 {
        let jar: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut answer =
            agent.get(here.as_str()).header("cookie", jar.join("; ")).call().expect("the provider answers");
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().expect("a cookie").split(';').next().unwrap_or_default();
            let (name, value) = cookie.split_once('=').expect("a cookie");
            cookies.insert(name.to_owned(), value.to_owned());
        }
        let Some(place) = answer.headers().get("location").map(|place| place.to_str().expect("a place").to_owned())
        else {
            panic!("{here} answers {}: {:?}", answer.status(), answer.body_mut().read_to_string());
        };
        here = here.join(&place).expect("a place");
        if here.as_str().starts_with(RETURN) {
            return parameters(here.as_str());
        }
    }
    panic!("redirected without end, at last to {here}");
}

/// Begins a login that must begin.
pub async fn begin(provider: &Provider) -> Begun {
    provider.begin(Some("/map")).await.expect("the provider is there")
}
