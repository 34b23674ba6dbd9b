//! A large object goes up and down with little memory. Alone in its program, because it looks at the whole process.

mod support;

use std::fs;
use std::io;
use support::bucket;

/// Three parts of 8 MiB, one step of a download, and what else a process needs.
const GROWTH_MAX_KIB: u64 = 48 << 10;

/// The most memory that this process ever had.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_large_object_takes_little_memory() {
    let world = bucket();
    let path = world.folder.path().join("large");
    fs::File::create(&path).unwrap().set_len(200 << 20).unwrap();
    world.objects.check().unwrap();
    let before = peak_kib();
    let meta = world.objects.put_file("large", &path).unwrap();
    assert_eq!(meta.bytes, 200 << 20);
    assert_eq!(world.objects.get_to_file(&meta, &mut io::sink()).unwrap(), 200 << 20);
    let growth = peak_kib() - before;
    assert!(growth < GROWTH_MAX_KIB, "{growth} KiB");
}
