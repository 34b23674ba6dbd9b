//! `kill -9` while letters are put and dropped: what was acknowledged is as it was, and what was being done is done
//! whole or not at all. And while one is retried.

mod support;

use drover_dead::{Dead, Filter, LetterState, Retried};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::{IMPORT, failure, letter, open, put, retried_by};

const THIS_TEST: &str = "acknowledged_letters_survive_kill_9";
const FOLDER_OF_CHILD: &str = "DROVER_DEAD_KILL_TEST_FOLDER";
const OTHER_TEST: &str = "a_letter_whose_retry_is_cut_off_by_kill_9_waits_to_be_retried_again";
const ROUNDS: usize = 8;
/// Keys that come again and again.
const KEYS: u64 = 40;

#[test]
fn acknowledged_letters_survive_kill_9() {
    if let Some(folder) = std::env::var_os(FOLDER_OF_CHILD) {
        work_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut known = BTreeMap::new();
    for round in 0..ROUNDS {
        let under_way = run_and_kill(folder.path(), 20 + round * 13, &mut known);
        check(&open(folder.path()), &mut known, under_way);
    }
    assert!(known.len() > 5, "the rounds did something: {known:?}");
}

#[test]
fn a_letter_whose_retry_is_cut_off_by_kill_9_waits_to_be_retried_again() {
    if let Some(folder) = std::env::var_os(FOLDER_OF_CHILD) {
        retry_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = again(OTHER_TEST, folder.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "mended, not answered"), "the child ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    let dead = open(folder.path());
    let letter = letter(&dead, 1);
    assert_eq!((letter.state, letter.attempts), (LetterState::Waiting, 4));
    retried_by(&dead, &IMPORT, |_, _| Ok("it was mended already".into()));
    assert!(matches!(dead.retry(1).unwrap(), Retried::Done { .. }));
}

fn retry_until_killed(folder: &Path) -> ! {
    let dead = open(folder);
    retried_by(&dead, &IMPORT, |_, _| {
        println!("mended, not answered");
        loop {
            std::thread::park();
        }
    });
    dead.retry(put(&dead, &IMPORT, "a")).unwrap();
    unreachable!("the parent kills this process")
}

/// This binary once more, for one of its tests.
fn again(test: &str, folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(FOLDER_OF_CHILD, folder).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// What had begun when the kill came, and was not acknowledged: a key, and its attempts if it was done all the same.
type UnderWay = Option<(String, Option<u32>)>;

/// A child that is killed after so many lines. Takes what they say into `known`, attempts by key.
fn run_and_kill(folder: &Path, lines: usize, known: &mut BTreeMap<String, u32>) -> UnderWay {
    let mut child = again(THIS_TEST, folder);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    for _ in 0..lines {
        assert_ne!(output.read_line(&mut text).unwrap(), 0, "the child ended by itself");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    output.read_to_string(&mut text).unwrap();
    let mut under_way = None;
    for line in text.rsplit_once('\n').unwrap().0.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["putting", key] => under_way = Some((key.to_owned(), Some(known.get(key).unwrap_or(&0) + 4))),
            ["dropping", key] => under_way = Some((key.to_owned(), None)),
            ["done"] => set(known, under_way.take().unwrap()),
            _ => {} // of the test harness
        }
    }
    under_way
}

fn set(known: &mut BTreeMap<String, u32>, (key, attempts): (String, Option<u32>)) {
    match attempts {
        Some(attempts) => drop(known.insert(key, attempts)),
        None => drop(known.remove(&key)),
    }
}

fn check(dead: &Dead, known: &mut BTreeMap<String, u32>, under_way: UnderWay) {
    let letters = dead.list(&Filter::default(), 1000).unwrap();
    let mut found = BTreeMap::new();
    for letter in letters {
        assert_eq!(dead.original(letter.id).unwrap().unwrap(), original(&letter.key), "{}", letter.key);
        assert!(found.insert(letter.key.clone(), letter.attempts).is_none(), "{} is there twice", letter.key);
    }
    if let Some((key, attempts)) = under_way
        && found.get(&key).copied() == attempts
    {
        set(known, (key, attempts));
    }
    assert_eq!(&found, known);
}

fn original(key: &str) -> Vec<u8> {
    key.bytes().cycle().take(3000).collect()
}

fn work_until_killed(folder: &Path) -> ! {
    let dead = open(folder);
    let say = |line: &str| std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    let mut random = u64::from(std::process::id());
    loop {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = format!("{}", (random >> 33) % KEYS);
        say(&format!("putting {key}\n"));
        let id = dead.put(failure(&IMPORT, &key, &original(&key))).unwrap();
        say("done\n");
        if (random >> 50).is_multiple_of(4) {
            say(&format!("dropping {key}\n"));
            assert!(dead.drop_letter(id).unwrap());
            say("done\n");
        }
    }
}
