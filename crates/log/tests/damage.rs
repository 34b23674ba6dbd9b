//! Segment files after crashes, flipped bits and lost files: never wrong data, and every loss is named.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_log::{
    Damage, DamageReason, EngineError, Log, Position, ReadError, SegmentEngine, SegmentSettings, Settings, verify,
};
use proptest::prelude::*;
use tempfile::TempDir;

const SEGMENT_BYTES: u64 = 32 << 10;

/// What a follower that skips damage gets to see.
#[derive(Debug, Default)]
struct Seen {
    records: Vec<(Position, Vec<u8>)>,
    damages: Vec<Damage>,
}

#[test]
fn a_torn_tail_is_cut_wherever_the_write_stopped() {
    let folder = folder();
    let log = open(folder.path());
    commit(&log, 1..=2, 40);
    let path = newest_segment(folder.path());
    let before = fs::read(&path).unwrap();
    commit_together(&log, 3..=6, 40);
    drop(log);
    let after = fs::read(&path).unwrap();
    let changed: Vec<usize> = (0..after.len()).filter(|at| before[*at] != after[*at]).collect();
    let frame = changed[0]..changed[changed.len() - 1] + 1;
    for written in 0..frame.len() {
        for rest in [0x00, 0xa5] {
            let mut torn = after.clone();
            torn[frame.start + written..frame.end].fill(rest);
            fs::write(&path, &torn).unwrap();
            assert_eq!(verify(folder.path()).unwrap(), [], "a torn tail is no damage");
            let kept = if torn == after { 6 } else { 2 };
            check_torn_tail(folder.path(), kept);
        }
    }
}

/// The kept records are there, the log goes on after them, and what it appends survives the next opening.
fn check_torn_tail(folder: &Path, kept: Position) {
    let log = open(folder);
    assert_eq!(log.durable_position(), kept);
    commit(&log, kept + 1..=kept + 1, 500);
    drop(log);
    let seen = follow_all(&open(folder));
    assert_eq!(seen.damages, []);
    assert_eq!(seen.records.len() as u64, kept + 1);
    check_records(&seen.records[..kept as usize], 40);
    check_records(&seen.records[kept as usize..], 500);
}

#[test]
fn a_write_that_stopped_half_way_is_cut_at_the_next_opening() {
    let folder = folder();
    let faults = drover_log::Faults::default();
    let settings = SegmentSettings { faults: faults.clone(), ..settings(folder.path()) };
    let log = Log::open(SegmentEngine::open(settings).unwrap(), Settings::default());
    commit(&log, 1..=5, 40);
    faults.tear_next_write(60);
    log.wait_durable(log.append(&record(6, 40)).unwrap()).unwrap_err();
    drop(log);
    let log = open(folder.path());
    assert_eq!(log.next_position(), 6);
    commit(&log, 6..=8, 40);
    assert_eq!(follow_all(&log).records, expected(1..=8, 40));
}

#[test]
fn a_bad_frame_before_a_good_one_is_damage_and_not_a_tail() {
    let folder = folder();
    commit(&open(folder.path()), 1..=10, 100);
    flip(&newest_segment(folder.path()), offset_of(folder.path(), 4) * 8);
    let log = open(folder.path());
    assert_eq!(log.next_position(), 11);
    let seen = follow_all(&log);
    let [damage] = &seen.damages[..] else { panic!("{seen:?}") };
    assert_eq!((damage.from, damage.to, damage.reason), (4, 4, DamageReason::Checksum));
    assert_eq!(damage.path, newest_segment(folder.path()));
    assert_eq!(damage.offset, 8192 + 3 * 136, "frames of 32 + 4 + 100 bytes");
    assert_eq!(verify(folder.path()).unwrap(), seen.damages);
    commit(&log, 11..=12, 100);
    let good = expected(1..=3, 100).into_iter().chain(expected(5..=12, 100));
    assert_eq!(follow_all(&log).records, good.collect::<Vec<_>>());
}

#[test]
fn a_damaged_range_stays_an_error_until_it_is_skipped() {
    let folder = folder();
    commit(&open(folder.path()), 1..=10, 100);
    flip(&newest_segment(folder.path()), offset_of(folder.path(), 1) * 8);
    let log = open(folder.path());
    let mut follower = log.follow("stubborn", 1);
    for _ in 0..3 {
        assert!(matches!(follower.next(Duration::ZERO), Err(ReadError::Damaged(Damage { from: 1, to: 1, .. }))));
        assert_eq!(follower.position(), 0);
    }
    follower.skip_to(2);
    assert_eq!(follower.next(Duration::ZERO).unwrap().unwrap().base(), 2);
}

#[test]
fn a_missing_segment_in_the_middle_is_damage_and_at_the_start_retention() {
    let folder = folder();
    commit(&open(folder.path()), 1..=100, 2000);
    let segments = segments(folder.path());
    let bases: Vec<Position> = segments.iter().map(|path| base(path)).collect();
    fs::remove_file(&segments[2]).unwrap();
    let seen = follow_all(&open(folder.path()));
    let [damage] = &seen.damages[..] else { panic!("{seen:?}") };
    assert_eq!((damage.from, damage.to, damage.reason), (bases[2], bases[3] - 1, DamageReason::Missing));
    assert_eq!(verify(folder.path()).unwrap(), seen.damages);
    check_complete(&seen, 1..=100, 2000);

    fs::remove_file(&segments[0]).unwrap();
    let log = open(folder.path());
    assert_eq!(log.oldest(), bases[1]);
    let trimmed = log.follow("first", 1).next(Duration::ZERO);
    assert!(matches!(trimmed, Err(ReadError::Trimmed { oldest }) if oldest == bases[1]));
}

#[test]
fn a_segment_that_vanishes_while_the_log_runs_is_damage() {
    let folder = folder();
    let log = open(folder.path());
    commit(&log, 1..=100, 2000);
    fs::remove_file(&segments(folder.path())[1]).unwrap();
    let seen = follow_all(&log);
    assert_eq!(seen.damages.len(), 1);
    assert_eq!(seen.damages[0].reason, DamageReason::Missing);
    check_complete(&seen, 1..=100, 2000);
}

#[test]
fn one_damaged_header_copy_harms_nothing() {
    for offset in [0, 20, 4096, 4120] {
        let folder = folder();
        commit(&open(folder.path()), 1..=100, 2000);
        segments(folder.path()).iter().for_each(|path| flip(path, offset * 8));
        let seen = follow_all(&open(folder.path()));
        assert_eq!((seen.damages, seen.records), (vec![], expected(1..=100, 2000)));
    }
}

#[test]
fn without_any_header_a_segment_is_lost_and_no_position_is_given_twice() {
    let folder = folder();
    commit(&open(folder.path()), 1..=100, 2000);
    let newest = newest_segment(folder.path());
    [0, 4096].iter().for_each(|offset| flip(&newest, offset * 8));
    let log = open(folder.path());
    let next = log.next_position();
    assert!(next > 100);
    commit(&log, next..=next + 10, 40);
    for log in [log.clone(), {
        log.close();
        open(folder.path())
    }] {
        let seen = follow_all(&log);
        let [damage] = &seen.damages[..] else { panic!("{seen:?}") };
        assert_eq!((damage.from, damage.to, damage.reason), (base(&newest), next - 1, DamageReason::Header));
        assert_eq!(seen.records[seen.records.len() - 11..], expected(next..=next + 10, 40));
        log.close();
    }
}

#[test]
fn a_second_process_is_refused() {
    let folder = folder();
    let log = open(folder.path());
    let refused = SegmentEngine::open(settings(folder.path())).unwrap_err();
    assert!(matches!(&refused, EngineError::Locked(path) if path == folder.path()));
    assert!(refused.to_string().contains("another process"));
    log.close();
    SegmentEngine::open(settings(folder.path())).unwrap();
}

#[test]
fn a_later_format_version_is_refused_and_not_taken_for_damage() {
    let folder = folder();
    commit(&open(folder.path()), 1..=3, 40);
    let path = newest_segment(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    [8, 4096 + 8].iter().for_each(|version| bytes[*version] = 2);
    fs::write(&path, bytes).unwrap();
    let refused = SegmentEngine::open(settings(folder.path())).unwrap_err();
    assert!(refused.to_string().contains("format version 2 is unknown"), "{refused}");
}

#[test]
fn a_frame_of_another_segment_inside_a_record_is_not_taken_for_one() {
    let (source, target) = (folder(), folder());
    commit_together(&open(source.path()), 1..=9, 40);
    let foreign = fs::read(newest_segment(source.path())).unwrap()[8192..9192].to_vec();
    let log = open(target.path());
    log.wait_durable(log.append(b"first").unwrap()).unwrap();
    // All alignments, so that one of them has the foreign frames at a multiple of eight.
    let last = log.append_all((0..8).map(|shift| [&vec![1; shift][..], &foreign].concat())).unwrap();
    log.wait_durable(last).unwrap();
    log.wait_durable(log.append(b"last").unwrap()).unwrap();
    drop(log);
    let bytes = fs::read(newest_segment(target.path())).unwrap();
    let first_of_second_frame = (8192 + 48) * 8;
    assert_eq!(&bytes[8192 + 48..8192 + 52], b"DrvF");
    flip(&newest_segment(target.path()), first_of_second_frame);
    let seen = follow_all(&open(target.path()));
    assert!(seen.records == [(1, b"first".to_vec()), (last + 1, b"last".to_vec())], "nothing of the foreign frames");
    assert_eq!((seen.damages[0].from, seen.damages[0].to), (2, last));
}

#[test]
fn followers_find_their_place_in_large_segments() {
    let folder = folder();
    let engine = SegmentEngine::open(SegmentSettings { segment_bytes: 4 << 20, ..settings(folder.path()) }).unwrap();
    let log = Log::open(engine, Settings { ring_bytes: 1, max_batch_bytes: 3000, ..Settings::default() });
    let last = log.append_all((1..=60_000).map(|at| record(at, 100))).unwrap();
    log.wait_durable(last).unwrap();
    for from in (1..=last).step_by(7777).chain([last]) {
        let batches = log.read(from, 1).unwrap();
        assert_eq!(batches[0].base(), from);
        assert_eq!(batches[0].records().next(), Some((from, &record(from, 100)[..])));
    }
    assert_eq!(follow_all(&log).records, expected(1..=last, 100));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Up to three flipped bits, while the log is closed or open.
    #[test]
    fn flipped_bits_never_give_wrong_data(
        flips in prop::collection::vec(any::<(prop::sample::Index, bool, u32)>(), 1..4),
        running in any::<bool>(),
    ) {
        let folder = folder();
        let log = open(folder.path());
        commit(&log, 1..=60, 1500);
        let log = running.then_some(log);
        let flipped = flips.len() as u64;
        let segments = segments(folder.path());
        for (segment, used, bit) in flips {
            // Half of them surely into bytes that hold something.
            let bits = if used { (8192 + 3 * 1536) * 8 } else { SEGMENT_BYTES as u32 * 8 };
            flip(&segments[segment.index(segments.len())], u64::from(bit % bits));
        }
        let log = log.unwrap_or_else(|| open(folder.path()));
        let next = log.next_position();
        prop_assert!(next + flipped >= 61, "at most the last frames were taken for torn");
        commit(&log, next..=next + 2, 1500);
        let seen = follow_all(&log);
        check_complete(&seen, 1..=next + 2, 1500);
        prop_assert_eq!(verify(folder.path()).unwrap(), seen.damages);
    }
}

/// Folders in memory if possible: these tests open logs a thousand times, and what a sync does is not their subject.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn settings(folder: &Path) -> SegmentSettings {
    SegmentSettings { segment_bytes: SEGMENT_BYTES, spare_retry_ms: 5, ..SegmentSettings::new(folder) }
}

fn open(folder: &Path) -> Log {
    // A ring that keeps next to nothing: everything is read from the files.
    let settings_of_log = Settings { ring_bytes: 1, ..Settings::default() };
    Log::open(SegmentEngine::open(settings(folder)).unwrap(), settings_of_log)
}

/// Appends the records and waits for each, so that each is a frame of its own.
fn commit(log: &Log, positions: RangeInclusive<Position>, bytes: usize) {
    for at in positions {
        assert_eq!(log.append(&record(at, bytes)).unwrap(), at);
        log.wait_durable(at).unwrap();
    }
}

/// Appends the records as one frame.
fn commit_together(log: &Log, positions: RangeInclusive<Position>, bytes: usize) {
    let last = log.append_all(positions.map(|at| record(at, bytes))).unwrap();
    log.wait_durable(last).unwrap();
}

fn record(at: Position, bytes: usize) -> Vec<u8> {
    let mut record = format!("{at:06} ").repeat(bytes / 7 + 1).into_bytes();
    record.truncate(bytes);
    record
}

fn expected(positions: RangeInclusive<Position>, bytes: usize) -> Vec<(Position, Vec<u8>)> {
    positions.map(|at| (at, record(at, bytes))).collect()
}

fn check_records(records: &[(Position, Vec<u8>)], bytes: usize) {
    for (at, found) in records {
        assert_eq!(*found, record(*at, bytes), "record {at}");
    }
}

/// Every position is there once and right, or in a named damage.
fn check_complete(seen: &Seen, positions: RangeInclusive<Position>, bytes: usize) {
    check_records(&seen.records, bytes);
    let lost = seen.damages.iter().flat_map(|damage| damage.from..=damage.to);
    let mut found: Vec<Position> = seen.records.iter().map(|(at, _)| *at).chain(lost).collect();
    found.sort_unstable();
    assert_eq!(found, positions.collect::<Vec<_>>());
}

fn follow_all(log: &Log) -> Seen {
    let mut seen = Seen::default();
    let mut follower = log.follow("all", 1);
    while follower.position() < log.durable_position() {
        match follower.next(Duration::ZERO) {
            Ok(batch) => {
                seen.records.extend(batch.unwrap().records().map(|(at, record)| (at, record.to_vec())));
            }
            Err(ReadError::Damaged(damage)) => {
                follower.skip_to(damage.to + 1);
                seen.damages.push(damage);
            }
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
    segments.sort();
    segments
}

fn newest_segment(folder: &Path) -> PathBuf {
    segments(folder).pop().unwrap()
}

fn base(path: &Path) -> Position {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// Where the record's own bytes are in the newest segment.
fn offset_of(folder: &Path, position: Position) -> u64 {
    let bytes = fs::read(newest_segment(folder)).unwrap();
    let wanted = record(position, 100);
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap() as u64
}

fn flip(path: &Path, bit: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
    // In place, as a disk does it.
    let file = fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
}
