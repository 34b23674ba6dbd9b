//! A real PostgreSQL for tests: started on a free port with an empty folder, stopped when the last test that uses it is
//! done. It fails loudly where PostgreSQL is not installed (Debian: `apt-get install postgresql-15`).
#![allow(dead_code)]

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// A running server.
pub struct Postgres {
    server: Child,
    port: u16,
    folder: tempfile::TempDir,
    made: AtomicU32,
}

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

impl Postgres {
    /// The server that tests of one program share.
    pub fn shared() -> Arc<Postgres> {
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Postgres::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A server of one's own, to be stopped and killed.
    pub fn start() -> Postgres {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let data = folder.path().join("data");
        run(as_postgres(&binary("initdb"))
            .args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "-D"])
            .arg(&data));
        let port = free_port();
        let server = serve(&data, port);
        let postgres = Postgres { server, port, folder, made: AtomicU32::new(0) };
        postgres.wait_until_it_answers();
        postgres
    }

    /// The address of a new, empty database.
    pub fn new_database(&self) -> String {
        let name = format!("test_{}", self.made.fetch_add(1, Ordering::Relaxed));
        let port = self.port.to_string();
        run(Command::new(binary("createdb")).args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", &name]));
        format!("postgres://postgres@127.0.0.1:{port}/{name}")
    }

    /// Every process of the server stands still; connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Kills every process of the server at once.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        self.server.wait().expect("the server ends");
    }

    /// Starts it again after [`Postgres::kill`], on the same port and folder.
    pub fn start_again(&mut self) {
        let data = self.folder.path().join("data");
        let _gone = std::fs::remove_file(data.join("postmaster.pid"));
        self.server = serve(&data, self.port);
        self.wait_until_it_answers();
    }

    /// Backends have groups of their own, so they are found by their parent.
    fn signal(&self, signal: &str) {
        let server = self.server.id().to_string();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &server]).output().expect("ps runs");
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        let mut kill = Command::new("kill");
        kill.arg(signal).arg(&server).args(children.split_whitespace()).stderr(Stdio::null());
        kill.status().expect("kill runs");
    }

    fn wait_until_it_answers(&self) {
        let port = self.port.to_string();
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            let mut asked = Command::new(binary("pg_isready"));
            asked.args(["-q", "-h", "127.0.0.1", "-p", &port, "-U", "postgres"]);
            if asked.status().is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("PostgreSQL did not answer on port {port} within 30 s");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.signal("-CONT");
        // Told to quit, the server buries its own processes; killed, it would leave them to others.
        let server = self.server.id().to_string();
        let _told = Command::new("kill").args(["-QUIT", &server]).status();
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            if self.server.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.signal("-KILL");
        let _ended = self.server.wait();
    }
}

fn serve(data: &Path, port: u16) -> Child {
    let mut command = as_postgres(&binary("postgres"));
    command.arg("-D").arg(data).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", "", "-F"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().expect("PostgreSQL starts")
}

/// The server refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program).current_dir("/");
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout.trim_ascii() == b"0"
}

fn binary(name: &str) -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        folders.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("{name} is not installed; on Debian: apt-get install postgresql-15"))
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the port {port} is free");
    port
}
