//! Other people's programs beside the node, in Node.js: a provider of logins, a Socket.IO client. They say one thing a
//! line, and hear one thing a line.

use super::PATIENCE;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

/// A running program. It is killed when the test ends, however that happens.
pub struct Script {
    process: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Script {
    /// Starts a program of a folder of this repository, with the npm package that it is about.
    pub fn start(folder: &str, package: &str, file: &str, args: &[&str]) -> Script {
        let mut process = Command::new("node")
            .arg(file)
            .args(args)
            .current_dir(installed(folder, package))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("node does not start: {error}; these tests need Node 20 or newer"));
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Script { input: process.stdin.take().expect("piped"), process, lines }
    }

    pub fn say(&mut self, line: impl std::fmt::Display) {
        writeln!(self.input, "{line}").expect("the program listens");
    }

    /// The next line, which must come.
    #[track_caller]
    pub fn next(&self) -> String {
        self.next_within(PATIENCE).expect("a line in time")
    }

    /// The next line if one comes in this time.
    pub fn next_within(&self, time: Duration) -> Option<String> {
        match self.lines.recv_timeout(time) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => panic!("the program has ended"),
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// The folder, with its packages as its lock file says.
fn installed(folder: &str, package: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _installing = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    if !folder.join("node_modules").join(package).is_dir() {
        let arguments = ["install", "--no-save", "--no-audit", "--no-fund", "--silent"];
        let npm = Command::new("npm").args(arguments).current_dir(&folder).status();
        let is_done = npm.unwrap_or_else(|error| panic!("npm does not start: {error}")).success();
        assert!(is_done, "npm install fails in {}", folder.display());
    }
    folder
}
