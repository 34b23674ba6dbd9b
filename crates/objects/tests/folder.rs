//! What only a folder has: files that are being written, folders that get empty, and a disk that is not mounted.

mod support;

use bytes::Bytes;
use drover_objects::{Error, Objects, Place, S3};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread;
use support::folder;

fn put(objects: &Objects, key: &str) {
    objects.put(key, Bytes::copy_from_slice(key.as_bytes())).unwrap();
}

#[test]
fn folders_that_get_empty_go_and_the_place_stays() {
    let world = folder();
    put(&world.objects, "a/b/c/1");
    put(&world.objects, "a/2");
    world.objects.delete("a/b/c/1").unwrap();
    assert!(!world.root.join("a/b").exists() && world.root.join("a/2").exists());
    world.objects.delete("a/2").unwrap();
    assert_eq!(fs::read_dir(&world.root).unwrap().count(), 0);
    world.objects.delete("a/2").unwrap();
    assert!(world.root.is_dir());
}

#[test]
fn what_a_crash_left_is_overwritten() {
    let world = folder();
    fs::create_dir(world.root.join("a")).unwrap();
    fs::write(world.root.join("a/b.tmp"), "much longer than what comes").unwrap();
    assert_eq!(world.objects.head("a/b").unwrap(), None);
    put(&world.objects, "a/b");
    assert_eq!(world.objects.get("a/b", 99).unwrap(), "a/b");
    assert!(!world.root.join("a/b.tmp").exists());
}

#[test]
fn a_folder_that_is_gone_is_not_made_again() {
    let world = folder();
    fs::remove_dir_all(&world.root).unwrap();
    let refused = [
        world.objects.put("a/b", Bytes::new()).err(),
        world.objects.get("a/b", 1).err(),
        world.objects.list("", None, 1).err(),
        world.objects.head("a/b").err(),
        world.objects.delete("a/b").err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(Error::NoPlace(_))), "{error:?}");
    }
    assert!(!world.root.exists());
}

#[test]
fn an_object_in_the_way_is_refused_and_nothing_stays() {
    let world = folder();
    put(&world.objects, "a/b");
    for key in ["a", "a/b/c"] {
        let error = world.objects.put(key, Bytes::new()).unwrap_err();
        assert!(matches!(error, Error::Refused(_)) && error.to_string().contains("in the way"), "{error}");
    }
    assert_eq!(world.list("", None, 9), ["a/b"]);
    assert!(!world.root.join("a.tmp").exists());
}

#[test]
fn links_are_not_followed_by_lists() {
    let world = folder();
    put(&world.objects, "a/b");
    symlink(&world.root, world.root.join("a/circle")).unwrap();
    assert_eq!(world.list("", None, 9), ["a/b"]);
}

#[test]
fn a_file_written_to_in_its_place_is_another_object() {
    let world = folder();
    put(&world.objects, "a");
    let seen = world.objects.head("a").unwrap().unwrap();
    fs::write(world.root.join("a"), "b").unwrap();
    assert!(world.objects.get_to_file(&seen, &mut Vec::new()).unwrap_err().is_replaced());
}

#[test]
fn writers_and_deleters_in_one_folder_do_not_trip() {
    let world = folder();
    thread::scope(|scope| {
        for writer in 0..4 {
            let objects = &world.objects;
            scope.spawn(move || {
                let key = format!("a/b/{writer}");
                for _ in 0..100 {
                    put(objects, &key);
                    assert_eq!(objects.get(&key, 99).unwrap(), key.as_bytes());
                    objects.delete(&key).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_dir(&world.root).unwrap().count(), 0);
}

#[test]
fn a_place_is_made_and_a_file_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &str| Objects::open(&Place::Folder(folder.path().join(path)), &S3::default());
    put(&open("a/b/c").unwrap(), "x/y");
    assert!(folder.path().join("a/b/c/x/y").is_file());
    let error = open("a/b/c/x/y").unwrap_err();
    assert!(!error.is_passing(), "{error}");
    assert!(open("a/b/c/x/y/z").is_err());
}

#[test]
fn a_relative_folder_has_a_full_address() {
    // `tempdir_in` the current folder, which a test must not change.
    let here = tempfile::tempdir_in(".").unwrap();
    let relative = here.path().file_name().unwrap().to_str().unwrap();
    let objects = Objects::open(&Place::parse(relative).unwrap(), &S3::default()).unwrap();
    let error = objects.get("none", 1).unwrap_err().to_string();
    assert!(error.contains(here.path().canonicalize().unwrap().to_str().unwrap()), "{error}");
}

#[test]
fn rights_that_are_missing_are_said() {
    let world = folder();
    put(&world.objects, "a");
    fs::set_permissions(&world.root, fs::Permissions::from_mode(0o500)).unwrap();
    let put = world.objects.put("b", Bytes::new());
    fs::set_permissions(&world.root, fs::Permissions::from_mode(0o700)).unwrap();
    // Root may write everywhere.
    if let Err(error) = put {
        assert!(matches!(error, Error::Denied(_)) && !error.is_passing(), "{error}");
    }
}
