//! `kill -9` while entries are appended: every acknowledged one is there as it was, and the chain holds.

mod support;

use drover_ledger::{Entry, Ledger};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use support::{all, file_in};

const THIS_TEST: &str = "acknowledged_entries_survive_kill_9";
const FOLDER_OF_CHILD: &str = "DROVER_LEDGER_KILL_TEST_FILE";
const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_entries_survive_kill_9() {
    if let Some(file) = std::env::var_os(FOLDER_OF_CHILD) {
        append_until_killed(Path::new(&file)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let before = acknowledged.len();
        acknowledged.extend(run_and_kill(&file_in(&folder), 1 + round * 83));
        assert!(acknowledged.len() > before + round * 83, "numbers are not given twice");
        let ledger = Ledger::open(&file_in(&folder)).await.unwrap();
        let found: BTreeMap<_, _> = all(&ledger).await.into_iter().map(|entry| (entry.seq, entry.subject)).collect();
        for (seq, subject) in &acknowledged {
            assert_eq!(found.get(seq), Some(subject), "entry {seq} was acknowledged");
        }
        let verdict = ledger.verify().await.unwrap();
        assert_eq!((verdict.fault, verdict.entries), (None, found.len() as u64));
        ledger.close().await;
    }
}

/// This binary once more, killed after so many acknowledgements. All that it gave.
fn run_and_kill(file: &Path, acknowledgements: usize) -> Vec<(u64, String)> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([THIS_TEST, "--exact", "--nocapture"]).env(FOLDER_OF_CHILD, file).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    let mut seen = 0;
    while seen < acknowledgements {
        let start = text.len();
        assert_ne!(output.read_line(&mut text).unwrap(), 0, "the child ended by itself");
        seen += usize::from(text[start..].starts_with("ack "));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    output.read_to_string(&mut text).unwrap();
    let whole_lines = text.rsplit_once('\n').unwrap().0.lines();
    let acknowledged = whole_lines.filter_map(|line| line.strip_prefix("ack ")?.split_once(' '));
    acknowledged.map(|(seq, subject)| (seq.parse().unwrap(), subject.to_owned())).collect()
}

async fn append_until_killed(file: &Path) -> ! {
    let ledger = Ledger::open(file).await.unwrap();
    let tasks = (0..6).map(|task| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            for n in 0u64.. {
                let subject = format!("{}/{task}/{n}", std::process::id());
                ledger.note(Entry::new("user/u-1", "noted", "beside it"));
                let seq = ledger.append(Entry::new("user/u-1", "appended", subject.as_str())).await.unwrap();
                std::io::stdout().lock().write_all(format!("ack {seq} {subject}\n").as_bytes()).unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    unreachable!("the parent kills this process")
}
