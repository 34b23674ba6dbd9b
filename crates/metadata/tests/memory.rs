//! How much memory a huge table takes. A process of its own, because the peak is the process's.

mod support;

use drover_model::Kind;
use std::fmt::Write;
use std::time::Instant;
use support::{settings, start, wait};

/// So many vehicles.
const ENTRIES: usize = 200_000;
/// The table, and while it is replaced, two of it and what reading needs.
const MEMORY_MAX_BYTES: u64 = 32 << 20;

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn write(path: &std::path::Path, max_speed: usize) {
    let mut text = String::from("[");
    for n in 0..ENTRIES {
        let depot = n % 500;
        write!(
            text,
            r#"{}{{"vehicle_id":"vehicle-{n:07}","max_speed":{max_speed},"class":"class-{}","note":"{:40}",
            "depot":{{"id":"depot-{depot}","latitude":{depot}e-1,"longitude":{depot}.5e-1}}}}"#,
            if n == 0 { "" } else { "," },
            n % 20,
            "",
        )
        .unwrap();
    }
    text.push(']');
    std::fs::write(path, text).unwrap();
}

#[test]
fn two_hundred_thousand_vehicles_take_few_megabytes_also_while_they_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let [path, next] = ["now.json", "next.json"].map(|name| folder.path().join(name));
    write(&path, 80);
    write(&next, 90);
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes > 30 << 20, "{bytes} bytes");
    // What writing the documents took does not count.
    let reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = peak_bytes();

    let (metadata, running) = start(settings(path.to_str().unwrap()));
    let status = wait(&metadata, |status| status.entries == ENTRIES as u64);
    assert!(status.table_bytes < 16 << 20, "{} bytes", status.table_bytes);
    std::fs::rename(&next, &path).unwrap();
    wait(&metadata, |_| support::max_speed(&metadata, "vehicle-0199999") == Some(90.0));
    let after = peak_bytes();
    println!("{ENTRIES} entries: {} bytes, peak {} bytes more", status.table_bytes, after - before);
    assert!(!reset || after - before < MEMORY_MAX_BYTES, "{} bytes", after - before);

    let ids: Vec<String> = (0..1000).map(|n| format!("vehicle-{:07}", n * 199)).collect();
    let began = Instant::now();
    for _ in 0..200 {
        for id in &ids {
            assert!(metadata.get(Kind::Vehicle, id).is_some());
        }
    }
    println!("{} ns for a lookup", began.elapsed().as_nanos() / 200_000);
    running.stop();
}
