//! `kill -9` during flushes, merges and expiries, while reports come in all the time: afterwards every
//! position of the log is in the live files exactly once, and nothing is left over.

mod harness;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use drover_history::{History, Settings};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use harness::{DAY, MORNING, Node, driver, open_log};

const THIS_TEST: &str = "every_position_is_there_once_after_kill_9";
const FOLDER_OF_CHILD: &str = "DROVER_HISTORY_KILL_TEST_FOLDER";
const PHASE_OF_CHILD: &str = "DROVER_HISTORY_KILL_TEST_PHASE";
/// Kills in each phase.
const ROUNDS: u64 = 20;

#[test]
fn every_position_is_there_once_after_kill_9() {
    if let Some(folder) = std::env::var_os(FOLDER_OF_CHILD) {
        work_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    for phase in ["flush", "merge", "expiry"] {
        let mut cut_off = 0;
        for round in 0..ROUNDS {
            run_and_kill(folder.path(), phase, Duration::from_micros(round * 7919 % 20 * 300));
            cut_off += left_over(folder.path());
        }
        println!("{ROUNDS} kills during {phase}: {cut_off} files were left that no snapshot names");
        // Expiry deletes what is noted for deletion, so it leaves nothing unknown by itself.
        assert!(cut_off > 0 || phase == "expiry", "no kill hit a {phase} before its commit");
    }

    let node = Node::start_with(folder.path(), busy(folder.path()));
    let end = node.log.durable_position();
    assert!(end > ROUNDS * 100, "the rounds did something: {end}");
    node.wait("caught up", |status| status.cursor == end);
    let counts =
        &node.duckdb(&["SELECT count(*) AS n, count(DISTINCT position) AS d, max(position) AS m FROM reports"])[0];
    assert_eq!(counts[0], [end, end, end].map(|count| Some(count.to_string())));
    assert_eq!(node.history.status().gap, 0);
    let lake = node.lake();
    node.stop();
    assert_eq!(drover_history::check(&lake, Some(1..end + 1), true, &drover_objects::S3::default()).unwrap(), []);
}

/// Everything often.
fn busy(folder: &Path) -> Settings {
    Settings {
        flush_rows: 300,
        flush_interval: Duration::from_millis(20),
        snapshot_keep: Duration::from_millis(40),
        ..Settings::new(folder.join("lake"))
    }
}

/// This test's binary once more, killed a moment after it said that it begins with `phase`.
fn run_and_kill(folder: &Path, phase: &str, after: Duration) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([THIS_TEST, "--exact", "--nocapture"]).stdout(Stdio::piped());
    let mut child = command.env(FOLDER_OF_CHILD, folder).env(PHASE_OF_CHILD, phase).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let wanted = format!("begins: {phase}");
    assert!(lines.any(|line| line.unwrap() == wanted), "the child ended by itself");
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// How many files the kill has left that no snapshot knows or that were still to be deleted.
fn left_over(folder: &Path) -> usize {
    match drover_history::check(&folder.join("lake"), None, false, &drover_objects::S3::default()) {
        Ok(findings) => {
            let unknown = |problem: &str| problem.contains("is in no snapshot");
            let (orphans, damaged): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| unknown(&finding.problem));
            assert!(damaged.is_empty(), "{damaged:?}");
            orphans.len()
        }
        // The kill came before there was a lake.
        Err(error) => {
            assert!(
                error.to_string().contains("no catalogue") || error.to_string().contains("no such table"),
                "{error}"
            );
            0
        }
    }
}

fn work_until_killed(folder: &Path) -> ! {
    tracing::subscriber::set_global_default(Phases(std::env::var(PHASE_OF_CHILD).unwrap())).unwrap();
    let log = open_log(folder);
    let (history, _running) = drover_history::follow(&log, busy(folder)).unwrap();
    for at in log.durable_position() as i64.. {
        let some: Vec<Vec<u8>> = (0..50).map(|asset| driver(&format!("d-{asset}"), time(at), 10.0)).collect();
        log.wait_durable(log.append_all(some).unwrap()).unwrap();
        hold_a_view(&history, at);
    }
    unreachable!("the parent kills this process")
}

/// Three days at once, so that each flush makes several files.
fn time(at: i64) -> i64 {
    MORNING + at % 3 * DAY + at * 10
}

/// Now and then somebody looks for a while.
fn hold_a_view(history: &History, at: i64) {
    if at % 16 == 0 {
        let view = history.view();
        let in_files: u64 = view.files.iter().map(|file| file.rows).sum();
        assert_eq!(in_files + view.tail.rows() as u64, view.position);
    }
}

/// Says on the standard output when the wanted phase begins.
struct Phases(String);

impl Subscriber for Phases {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("drover_history")
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        if message.0 == self.0 {
            std::io::stdout().write_all(format!("begins: {}\n", self.0).as_bytes()).unwrap();
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The text of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
