//! A real S3 server for the tests of this and other crates: somebody else's program (`s3s-fs`), on a free port of this
//! machine, over a folder of the test's. It dies with the value, and with the test's process however that ends.

use crate::{S3, random};
use std::env;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Names the program, for a machine that has it elsewhere.
const PROGRAM_VARIABLE: &str = "DROVER_S3_SERVER";
/// Where `make tools` puts it, below the target folder.
const PROGRAM: &str = "tools/bin/s3s-fs";
/// Where the server writes what it says, in the folder that it serves.
const LOG: &str = ".s3-server.log";
/// Longest wait until a server answers.
const START_MAX: Duration = Duration::from_secs(20);
/// How often another program may take the port in between.
const PORTS_MAX: usize = 20;

/// A running server, or a killed one.
#[derive(Debug)]
pub struct S3Server {
    folder: PathBuf,
    port: u16,
    keys: S3,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    server: Child,
    /// Kills the server when this process is gone: its standard input ends then.
    watchdog: Child,
}

impl S3Server {
    /// Starts a server that keeps its buckets in `folder`, and makes these buckets.
    ///
    /// # Panics
    /// If the program is not there or does not start.
    #[must_use]
    pub fn start(folder: &Path, buckets: &[&str]) -> S3Server {
        for bucket in buckets {
            fs::create_dir_all(folder.join(bucket)).expect("a bucket's folder can be made");
        }
        let keys = S3 {
            access_key_id: Some(format!("KEY{:016x}", random())),
            secret_access_key: Some(format!("{:016x}{:016x}", random(), random())),
            ..S3::default()
        };
        let mut server = S3Server { folder: folder.to_owned(), port: 0, keys, running: None };
        for _ in 0..PORTS_MAX {
            server.port = free_port();
            server.running = server.spawn();
            if server.running.is_some() {
                return server;
            }
        }
        panic!("the S3 server does not start: {}", server.said());
    }

    /// How this server is reached.
    #[must_use]
    pub fn s3(&self) -> S3 {
        S3 { endpoint: Some(format!("http://{}", self.address())), ..self.keys.clone() }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Ends it as a crash would (SIGKILL). It is dead when this returns.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again, on the same port and folder and with the same keys.
    ///
    /// # Panics
    /// If it does not start within some seconds.
    pub fn restart(&mut self) {
        self.kill();
        let until = Instant::now() + START_MAX;
        while self.running.is_none() {
            assert!(Instant::now() < until, "the S3 server does not start again: {}", self.said());
            self.running = self.spawn();
        }
    }

    /// `None` if it ended at once, as it does when the port is taken.
    fn spawn(&self) -> Option<Running> {
        let log = File::create(self.folder.join(LOG)).expect("the server's folder can be written");
        let server = Command::new(program())
            .args(["--host", "127.0.0.1", "--port", &self.port.to_string()])
            .arg("--access-key")
            .args(&self.keys.access_key_id)
            .arg("--secret-key")
            .args(&self.keys.secret_access_key)
            .arg(&self.folder)
            // It says at this level that it listens.
            .env("RUST_LOG", "s3s_fs=info")
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a file can be opened twice"))
            .stdout(log)
            .spawn()
            .expect("the S3 server can be started");
        let watchdog = watch(server.id());
        let mut running = Running { server, watchdog };
        self.is_up(&mut running).then_some(running)
    }

    /// Waits until it listens. That somebody listens on the port does not do: it might be somebody else.
    fn is_up(&self, running: &mut Running) -> bool {
        let until = Instant::now() + START_MAX;
        loop {
            if running.server.try_wait().expect("a child can be asked").is_some() || Instant::now() > until {
                return false;
            }
            if self.said().contains("server is running") && TcpStream::connect(self.address()).is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.join(LOG)).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The watchdog first, while the server's number is surely the server's.
        for child in [&mut self.watchdog, &mut self.server] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn watch(server: u32) -> Child {
    let script = format!("read nothing; kill -9 {server}");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().expect("a shell can be started")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("a listener has an address").port()
}

fn program() -> PathBuf {
    if let Some(named) = env::var_os(PROGRAM_VARIABLE) {
        return PathBuf::from(named);
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(PROGRAM);
    let target = env::var_os("CARGO_TARGET_DIR").map(|target| Path::new(&target).join(PROGRAM));
    let found = [Some(workspace), target].into_iter().flatten().find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("these tests need an S3 server: run `make tools`, or name an s3s-fs in {PROGRAM_VARIABLE}")
    })
}
