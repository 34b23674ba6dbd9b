//! Sources that are files: written again, replaced, gone, torn, and what is no file at all.

mod support;

use drover_metadata::Settings;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use support::{ONE_BUS, TWO_BUSES, max_speed, settings, start, wait};

fn file(text: &str) -> (tempfile::TempDir, PathBuf, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata_api.json");
    fs::write(&path, text).unwrap();
    let settings = settings(path.to_str().unwrap());
    (folder, path, settings)
}

#[test]
fn a_file_written_again_is_noticed() {
    let (_folder, path, settings) = file(ONE_BUS);
    let (metadata, running) = start(settings);
    wait(&metadata, |status| status.entries == 1);
    fs::write(&path, TWO_BUSES).unwrap();
    wait(&metadata, |status| status.entries == 2);
    running.stop();
}

#[test]
fn a_file_replaced_by_renaming_is_noticed_even_with_the_same_size_and_time() {
    let (folder, path, settings) = file(ONE_BUS);
    let (metadata, running) = start(settings);
    wait(&metadata, |status| status.entries == 1);
    let next = folder.path().join("next");
    fs::write(&next, ONE_BUS.replace("80", "90")).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::File::options().write(true).open(&next).unwrap().set_modified(modified).unwrap();
    fs::rename(&next, &path).unwrap();
    wait(&metadata, |_| max_speed(&metadata, "BUS-1") == Some(90.0));
    running.stop();
}

#[test]
fn a_file_that_does_not_change_stays_fresh_and_is_not_read_again() {
    let (_folder, _path, settings) = file(ONE_BUS);
    let (metadata, running) = start(settings);
    let first = wait(&metadata, |status| status.entries == 1);
    std::thread::sleep(Duration::from_millis(300)); // three times the TTL
    let status = wait(&metadata, |status| status.fresh);
    assert_eq!((status.failures, status.loaded_ms), (0, first.loaded_ms));
    running.stop();
}

#[test]
fn a_file_that_is_gone_half_written_or_wrong_leaves_the_good_table() {
    let (_folder, path, settings) = file(ONE_BUS);
    let (metadata, running) = start(settings);
    wait(&metadata, |status| status.entries == 1);
    let mut failures = 0;
    for wrong in [Some(&TWO_BUSES[..40]), Some(""), Some("<html>"), None] {
        match wrong {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let status = wait(&metadata, |status| status.failures > failures + 1);
        assert_eq!((status.entries, max_speed(&metadata, "BUS-1")), (1, Some(80.0)), "{wrong:?}");
        failures = status.failures;
    }
    assert!(!wait(&metadata, |status| !status.fresh).fresh);
    fs::write(&path, TWO_BUSES).unwrap();
    assert!(wait(&metadata, |status| status.entries == 2).fresh);
    running.stop();
}

#[test]
fn a_refused_file_that_becomes_good_is_taken() {
    let (_folder, path, settings) = file("[");
    let (metadata, running) = start(settings);
    wait(&metadata, |status| status.failures > 2);
    fs::write(&path, ONE_BUS).unwrap();
    let status = wait(&metadata, |status| status.entries == 1);
    assert!(status.last_error.is_none());
    running.stop();
}

#[test]
fn a_folder_a_device_and_a_huge_file_are_refused() {
    for odd in ["/", "/dev/zero"] {
        let (metadata, running) = start(settings(odd));
        let status = wait(&metadata, |status| status.failures > 0);
        assert_eq!(status.last_error.as_deref(), Some("not a regular file"));
        running.stop();
    }
    let (_folder, path, settings) = file(ONE_BUS);
    fs::File::options().write(true).open(&path).unwrap().set_len(200 << 20).unwrap();
    let (metadata, running) = start(settings);
    let status = wait(&metadata, |status| status.failures > 0);
    assert_eq!(status.last_error.as_deref(), Some("more than 67108864 bytes"));
    running.stop();
}
