//! A disk that refuses for a while: letters are refused with it, and taken again by the same process when it is well.
//! The refusal is the kernel's, by a limit on the size of files that is lifted later.

mod support;

use drover_dead::Filter;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use support::{IMPORT, failure, keys, open};

const THIS_TEST: &str = "letters_are_taken_again_when_the_disk_is_well_again";
const FOLDER_OF_CHILD: &str = "DROVER_DEAD_DISK_TEST_FOLDER";
/// In blocks of 512 bytes: 4 MiB.
const LIMITED: &str = "trap '' XFSZ; ulimit -S -f 8192; exec \"$0\" \"$@\"";
static ORIGINAL: [u8; 100_000] = [7; 100_000];

#[test]
fn letters_are_taken_again_when_the_disk_is_well_again() {
    if let Some(folder) = std::env::var_os(FOLDER_OF_CHILD) {
        return fill_and_go_on(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", LIMITED]).arg(std::env::current_exe().unwrap()).args([THIS_TEST, "--exact", "--nocapture"]);
    command.env(FOLDER_OF_CHILD, folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "refused"), "the child ended by itself");
    let lift = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &child.id().to_string()]).status();
    assert!(lift.expect("prlimit of util-linux runs").success());
    child.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    assert_eq!(keys(&open(folder.path()))[0], "after");
}

fn fill_and_go_on(folder: &Path) {
    let dead = open(folder);
    let mut put = Vec::new();
    let error = loop {
        let key = format!("{}", put.len());
        match dead.put(failure(&IMPORT, &key, &ORIGINAL)) {
            Ok(_) => put.insert(0, key),
            Err(error) => break error,
        }
        assert!(put.len() < 1000, "the limit does not hold");
    };
    println!("{} were taken, then: {error}", put.len());
    assert_eq!(dead.status().letters as usize, put.len(), "what is there is known meanwhile");
    assert!(dead.put(failure(&IMPORT, "still", &ORIGINAL)).is_err());
    println!("refused");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    assert_eq!(keys(&dead), put, "exactly what was acknowledged is there");
    dead.put(failure(&IMPORT, "after", &ORIGINAL)).unwrap();
    assert_eq!(dead.list(&Filter::default(), 1).unwrap()[0].key, "after");
    assert_eq!(dead.status().letters as usize, put.len() + 1);
}
