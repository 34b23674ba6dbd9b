//! `kill -9` while persons are erased and keys rotate: the vault opens, what was acknowledged is so, and everything that
//! was sealed before still opens.

use drover_vault::{Settings, Vault};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const THIS_TEST: &str = "what_the_vault_acknowledged_survives_kill_9";
const ROOT_TEST: &str = "whatever_moment_a_change_of_the_operators_root_key_is_cut_off_at_the_one_in_place_opens";
const FOLDER_OF_CHILD: &str = "DROVER_VAULT_KILL_TEST_FOLDER";
const ROUNDS: u64 = 12;

#[test]
fn what_the_vault_acknowledged_survives_kill_9() {
    if let Some(folder) = std::env::var_os(FOLDER_OF_CHILD) {
        work_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    // The first round may be cut off while the vault is made.
    let (mut erased, mut newest_key, mut sealed) = (Vec::new(), 0, Vec::new());
    for round in 0..ROUNDS {
        let lines =
            run_and_kill(THIS_TEST, folder.path(), 1 + 7 * round as usize, Duration::from_micros(round * 437 % 3000));
        for line in &lines {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["erased", person] => erased.push(person.to_owned()),
                ["key", number] => newest_key = number.parse().unwrap(),
                ["sealed", person, text] => sealed.push((person.to_owned(), text.to_owned())),
                _ => {} // of the test harness
            }
        }
        let vault = Vault::open(folder.path()).unwrap();
        assert!(vault.current_key() >= newest_key, "key {newest_key} was acknowledged");
        for person in &erased {
            assert!(vault.is_erased(person), "{person} was erased");
        }
        for (person, text) in &sealed {
            match vault.open_sealed(person, "place", text).unwrap() {
                Some(plain) => assert_eq!(&plain, person),
                None => assert!(vault.is_erased(person)),
            }
        }
    }
    assert!(erased.len() > 50 && newest_key > 20, "the rounds did something: {} {newest_key}", erased.len());
}

#[test]
fn whatever_moment_a_change_of_the_operators_root_key_is_cut_off_at_the_one_in_place_opens() {
    if let Some(folder) = std::env::var_os(FOLDER_OF_CHILD) {
        change_root_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(root_of(folder.path()), [1; 32]).unwrap();
    let (mut sealed, mut changes) = (Vec::new(), 0);
    for round in 0..4 * ROUNDS {
        let then = Duration::from_micros(round * 437 % 5000);
        for line in run_and_kill(ROOT_TEST, folder.path(), 3 + round as usize % 5, then) {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["sealed", person, text] => sealed.push((person.to_owned(), text.to_owned())),
                ["changed"] => changes += 1,
                _ => {} // of the test harness
            }
        }
        let vault = Vault::open_with(&by_operator(folder.path())).unwrap();
        for (person, text) in &sealed {
            assert_eq!(vault.open_sealed(person, "place", text).unwrap().as_ref(), Some(person));
        }
    }
    assert!(changes > 20 && sealed.len() > 50, "the rounds did something: {changes} {}", sealed.len());
}

fn root_of(folder: &Path) -> std::path::PathBuf {
    folder.join("root-key")
}

fn by_operator(folder: &Path) -> Settings {
    Settings { folder: folder.join("vault"), root_key_file: Some(root_of(folder)) }
}

/// The vault and its operator in one process: both may be cut off at any moment.
fn change_root_until_killed(folder: &Path) -> ! {
    let say = |line: String| std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    say("begins\n".to_owned());
    let vault = Vault::open_with(&by_operator(folder)).unwrap();
    let (process, root) = (std::process::id(), root_of(folder));
    let (unfinished, next) = (folder.join("unfinished"), folder.join("root-key.new"));
    for at in 0u32.. {
        let person = format!("{process}/{at}");
        say(format!("sealed {person} {}\n", vault.seal(&person, "place", &person).unwrap()));
        let mut key = [7; 32];
        key[..4].copy_from_slice(&process.to_le_bytes());
        key[4..8].copy_from_slice(&at.to_le_bytes());
        fs::write(&unfinished, key).unwrap();
        fs::rename(&unfinished, &next).unwrap();
        vault.rotate_root_in_place().unwrap();
        say("changed\n".to_owned());
        if at % 4 == 3 {
            continue; // the operator thought better of it, and makes another
        }
        fs::rename(&next, &root).unwrap();
        if at % 2 == 0 {
            vault.settle_root().unwrap();
            vault.rotate().unwrap();
        }
    }
    unreachable!("the parent kills this process")
}

/// This binary once more, killed some time after so many lines. What it said.
fn run_and_kill(test: &str, folder: &Path, lines: usize, then: Duration) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(FOLDER_OF_CHILD, folder).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    for _ in 0..lines {
        assert_ne!(output.read_line(&mut text).unwrap(), 0, "the child ended by itself");
    }
    std::thread::sleep(then);
    child.kill().unwrap();
    child.wait().unwrap();
    output.read_to_string(&mut text).unwrap();
    text.rsplit_once('\n').map_or(Vec::new(), |(whole, _)| whole.lines().map(str::to_owned).collect())
}

fn work_until_killed(folder: &Path) -> ! {
    let say = |line: String| std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    say("begins\n".to_owned());
    let vault = Vault::open(folder).unwrap();
    let process = std::process::id();
    for at in 0u64.. {
        let person = format!("{process}/{at}");
        say(format!("sealed {person} {}\n", vault.seal(&person, "place", &person).unwrap()));
        match at % 3 {
            0 => say(format!("key {}\n", vault.rotate().unwrap())),
            1 => vault.rotate_root(&[at.to_le_bytes()[0] ^ 0x5a; 32]).unwrap(),
            _ => {}
        }
        let person = format!("{process}/{}", at / 2);
        vault.erase(&person).unwrap();
        say(format!("erased {person}\n"));
    }
    unreachable!("the parent kills this process")
}
