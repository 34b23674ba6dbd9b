//! Runs of seen keys: always what a map would say, whatever the filters, merges, restarts and bad bytes do in between.

#[path = "../src/seen/mod.rs"]
#[allow(dead_code)]
mod seen;

use proptest::prelude::*;
use seen::bloom::{LINE_BYTES, Line, Probe, build, lines_for};
use seen::format::{BLOCK_ENTRIES, PAGE_BYTES};
use seen::{Key, Positions, Runs, Seen, Settings, key};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 1_790_000_000_000;

/// Four blocks a segment, so that small runs have several; no room for filters in memory unless a test makes some.
fn small() -> Settings {
    Settings { max_run_entries: 4000, segment_blocks: 4, filter_bytes: 0, cached_blocks: 2, ..Settings::default() }
}

fn key_of(asset: u32, minute: i64) -> Key {
    key(xxh3_128(&asset.to_le_bytes()), START_MS + minute * 60_000)
}

fn seen_at(asset: u32, minute: i64) -> Seen {
    let key = key_of(asset, minute);
    Seen { key, content: key[0] ^ key[1] }
}

/// `n` keys of ten assets from a minute on.
fn keys(from_minute: i64, n: i64) -> Vec<Seen> {
    (0..n).map(|i| seen_at((i % 10) as u32, from_minute + i / 10)).collect()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    paths
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    // In place, as a bad disk does it: a reader that has the file open sees it.
    fs::write(path, bytes).unwrap();
}

fn assert_all_known(runs: &Runs, all: &[Seen]) {
    for seen in all {
        assert_eq!(runs.find(seen.key).unwrap(), Some(seen.content));
    }
}

fn known(runs: &Runs, all: &[Seen]) -> usize {
    all.iter().filter(|seen| runs.find(seen.key).unwrap().is_some()).count()
}

/// Share of keys that were never added and that a filter of 10,000 others does not rule out.
fn false_maybes(bits_per_key: u64) -> f64 {
    let probe = |i: i64| Probe::of(key_of(7, i));
    let filter = build(&(0..10_000).map(probe).collect::<Vec<_>>(), bits_per_key);
    let lines = lines_for(10_000, bits_per_key);
    let maybe = |i: i64| {
        lines == 0 || {
            let number = probe(i).line(lines);
            let line: &[u8; LINE_BYTES] = &filter.as_chunks().0[number as usize];
            Line::read(line, number).may_hold(probe(i))
        }
    };
    assert!((0..10_000).all(maybe), "a filter never rules out what was added");
    (10_000..30_000).filter(|i| maybe(*i)).count() as f64 / 20_000.0
}

#[test]
fn filters_lie_as_often_as_the_other_tests_want_them_to() {
    assert!(false_maybes(10) < 0.02, "{}", false_maybes(10));
    assert!((0.4..0.6).contains(&false_maybes(3)), "{}", false_maybes(3));
    assert_eq!(false_maybes(0), 1.0);
}

#[derive(Debug, Clone)]
enum Step {
    Write { asset: u32, minute: i64, n: i64, stride: i64 },
    Tidy,
    Reopen,
    Ask { asset: u32, minute: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6u32, 0..3000i64, 1..700i64, 1..40i64)
            .prop_map(|(asset, minute, n, stride)| Step::Write { asset, minute, n, stride }),
        1 => Just(Step::Tidy),
        1 => Just(Step::Reopen),
        6 => (0..7u32, 0..4000i64).prop_map(|(asset, minute)| Step::Ask { asset, minute }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The twin is a map. Filters are good (10 bits a key), wrong for half of what they are asked (3) or say "maybe" to
    /// everything (0); they stand in memory, partly, or not at all.
    #[test]
    fn runs_agree_with_their_twin_however_bad_the_filters_are(
        bits_per_key in prop_oneof![Just(10u64), Just(3), Just(0)],
        filter_bytes in prop_oneof![Just(64u64 << 20), Just(500), Just(0)],
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { bits_per_key, filter_bytes, ..small() };
        let mut runs = Runs::open(folder.path(), 1, settings).unwrap();
        let mut twin: HashMap<Key, u64> = HashMap::new();
        let mut next_position = 1;
        for step in steps {
            match step {
                Step::Write { asset, minute, n, stride } => {
                    // As admission does it: the first content of a key stays, another one is a conflict.
                    let first = |i: i64| {
                        let Seen { key, content } = seen_at(asset, minute + i * stride);
                        Seen { key, content: *twin.entry(key).or_insert(content ^ (i as u64 & 1)) }
                    };
                    let new: Vec<_> = (0..n).map(first).collect();
                    runs.add(new, Positions { from: next_position, to: next_position + n as u64 - 1 }).unwrap();
                    next_position += n as u64;
                }
                Step::Tidy => runs.tidy(next_position, None).unwrap(),
                Step::Reopen => runs = Runs::open(folder.path(), 1, settings).unwrap(),
                Step::Ask { asset, minute } => {
                    let key = key_of(asset, minute);
                    prop_assert_eq!(runs.find(key).unwrap(), twin.get(&key).copied());
                }
            }
            prop_assert_eq!(runs.recover_from(1), next_position);
        }
        for (key, content) in &twin {
            prop_assert_eq!(runs.find(*key).unwrap(), Some(*content));
            let neighbour = [key[0], key[1] + 1];
            prop_assert_eq!(runs.find(neighbour).unwrap(), twin.get(&neighbour).copied());
        }
    }

    /// While the node runs, a flipped byte makes an answer "cannot tell" at worst. After a restart a key may be unknown
    /// only if the log will be asked for its position.
    #[test]
    fn no_damaged_byte_makes_a_seen_key_new(at in 0.0..1.0f64, in_memory: bool, restart: bool) {
        let folder = tempfile::tempdir().unwrap();
        let filter_bytes = if in_memory { 1 << 20 } else { 0 };
        let settings = Settings { filter_bytes, ..small() };
        let runs = Runs::open(folder.path(), 1, settings).unwrap();
        let all = keys(0, 800);
        runs.add(all.clone(), Positions { from: 1, to: 800 }).unwrap();
        let path = files(folder.path(), "seen").remove(0);
        flip(&path, (at * fs::metadata(&path).unwrap().len() as f64) as usize);
        let runs = if restart { Runs::open(folder.path(), 1, settings).unwrap() } else { runs };
        for seen in all {
            match runs.find(seen.key) {
                Ok(Some(content)) => prop_assert_eq!(content, seen.content),
                Ok(None) => prop_assert!(restart && runs.recover_from(1) == 1),
                Err(_) => {}
            }
        }
    }
}

/// Every byte of the filters, in memory (read with the damage) and on disk.
#[test]
fn no_damaged_filter_rules_out_a_seen_key() {
    let folder = tempfile::tempdir().unwrap();
    let all = keys(0, 300);
    Runs::open(folder.path(), 1, small()).unwrap().add(all.clone(), Positions { from: 1, to: 300 }).unwrap();
    let path = files(folder.path(), "seen").remove(0);
    let (filter_at, lines) = ((1 + 300usize.div_ceil(BLOCK_ENTRIES)) * PAGE_BYTES, lines_for(300, 10) as usize);
    for at in filter_at..filter_at + lines * LINE_BYTES {
        flip(&path, at);
        for filter_bytes in [0, 1 << 20] {
            let runs = Runs::open(folder.path(), 1, Settings { filter_bytes, ..small() }).unwrap();
            assert_all_known(&runs, &all);
        }
        flip(&path, at);
    }
}

#[test]
fn a_run_found_damaged_is_repaired_and_the_rest_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Runs::open(folder.path(), 1, small()).unwrap();
    let mut all = keys(0, 510);
    runs.add(all.clone(), Positions { from: 1, to: 510 }).unwrap();
    all.sort();
    flip(&files(folder.path(), "seen")[0], 2 * PAGE_BYTES + 100);
    assert!(runs.find(all[BLOCK_ENTRIES + 30].key).is_err(), "nobody knows what stood there");
    runs.tidy(1000, None).unwrap();
    assert_eq!(known(&runs, &all), 510 - BLOCK_ENTRIES);
    assert_eq!(runs.find(all[BLOCK_ENTRIES + 30].key).unwrap(), None);
    assert_eq!((files(folder.path(), "seen").len(), files(folder.path(), "damaged").len()), (1, 1));
    assert_eq!(runs.recover_from(1), 1, "it no longer claims what it lost");
}

/// Cuts or overwrites the only run of 510 keys, opens it with a log that begins at a position, and tells what is known.
fn after_damage(oldest_position: u64, damage: impl Fn(&Path)) -> (usize, u64, usize) {
    let folder = tempfile::tempdir().unwrap();
    let all = keys(0, 510);
    let runs = Runs::open(folder.path(), 1, small()).unwrap();
    runs.add(all.clone(), Positions { from: 1, to: 510 }).unwrap();
    damage(&files(folder.path(), "seen")[0]);
    let runs = Runs::open(folder.path(), oldest_position, small()).unwrap();
    (known(&runs, &all), runs.recover_from(oldest_position), files(folder.path(), "damaged").len())
}

#[test]
fn a_damaged_file_gives_what_it_has_and_the_log_the_rest() {
    let cut = |bytes: usize| move |path: &Path| fs::write(path, &fs::read(path).unwrap()[..bytes]).unwrap();
    assert_eq!(after_damage(1, |path| flip(path, 20)), (510, 1, 0), "header");
    assert_eq!(
        after_damage(1, |path| flip(path, fs::metadata(path).unwrap().len() as usize - 1)),
        (510, 511, 0),
        "footer"
    );
    assert_eq!(after_damage(1, cut(3 * PAGE_BYTES)), (2 * BLOCK_ENTRIES, 1, 0), "end");
    assert_eq!(after_damage(1, cut(0)), (0, 1, 0), "all");
    assert_eq!(after_damage(100, cut(3 * PAGE_BYTES)), (2 * BLOCK_ENTRIES, 100, 1), "end, and the log begins later");
    assert_eq!(after_damage(600, |path| flip(path, 20)), (510, 600, 1), "header, and the log begins later");
}

#[test]
fn a_file_of_an_older_version_is_rebuilt_from_the_log_or_kept_aside() {
    for (oldest_position, aside) in [(1, 0), (50, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let mut old = vec![0; 64 + 24 * 1000];
        old[..8].copy_from_slice(b"DRVSEEN1");
        fs::write(folder.path().join(format!("{:020}.seen", 1000)), old).unwrap();
        let runs = Runs::open(folder.path(), oldest_position, small()).unwrap();
        assert_eq!(runs.recover_from(oldest_position), oldest_position);
        assert_eq!(runs.counts(), (0, 0));
        assert_eq!(files(folder.path(), "damaged").len(), aside);
    }
}

#[test]
fn an_unfinished_file_of_a_crash_is_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let all = keys(0, 510);
    let runs = Runs::open(folder.path(), 1, small()).unwrap();
    runs.add(all.clone(), Positions { from: 1, to: 510 }).unwrap();
    let whole = fs::read(&files(folder.path(), "seen")[0]).unwrap();
    fs::write(folder.path().join("000000000002.partial"), &whole[..whole.len() / 2]).unwrap();
    let runs = Runs::open(folder.path(), 1, small()).unwrap();
    assert_all_known(&runs, &all);
    assert_eq!((runs.recover_from(1), files(folder.path(), "partial").len()), (511, 0));
}

/// Eight runs of 80 keys after each other, not yet merged.
fn eight_runs(folder: &Path) -> (Runs, Vec<Seen>) {
    let runs = Runs::open(folder, 1, small()).unwrap();
    let all: Vec<_> = (0..8).flat_map(|i| keys(i * 8, 80)).collect();
    for (i, keys) in all.chunks(80).enumerate() {
        runs.add(keys.to_vec(), Positions { from: i as u64 * 80 + 1, to: i as u64 * 80 + 80 }).unwrap();
    }
    (runs, all)
}

#[test]
fn runs_that_a_crash_left_beside_their_merged_run_go() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, all) = eight_runs(folder.path());
    let before: Vec<_> =
        files(folder.path(), "seen").into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    runs.tidy(1, None).unwrap();
    let merged = files(folder.path(), "seen");
    assert_eq!(merged.len(), 1);
    for (path, bytes) in before {
        fs::write(path, bytes).unwrap();
    }
    let runs = Runs::open(folder.path(), 1, small()).unwrap();
    assert_eq!(files(folder.path(), "seen"), merged);
    assert_all_known(&runs, &all);
    assert_eq!(runs.recover_from(1), 641);
}

#[test]
fn a_missing_run_in_the_middle_is_read_back_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    drop(eight_runs(folder.path()));
    fs::remove_file(&files(folder.path(), "seen")[3]).unwrap();
    let runs = Runs::open(folder.path(), 1, small()).unwrap();
    assert_eq!(runs.recover_from(1), 241);
    runs.tidy(1, None).unwrap();
    assert_eq!(runs.recover_from(400), 641, "what follows the hole is still claimed");
}

#[test]
fn a_run_goes_only_when_log_and_history_have_both_outlived_it() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Runs::open(folder.path(), 1, small()).unwrap();
    let old = keys(0, 100);
    let new = keys(10_000, 100);
    runs.add(old.clone(), Positions { from: 1, to: 100 }).unwrap();
    runs.add(new.clone(), Positions { from: 101, to: 200 }).unwrap();
    let newest_old = old.iter().map(Seen::event_ms).max().unwrap();
    let horizons = [(500, None), (500, Some(newest_old)), (100, Some(newest_old + 1)), (1, Some(i64::MAX))];
    for (oldest_position, forget_before_ms) in horizons {
        runs.tidy(oldest_position, forget_before_ms).unwrap();
        assert_eq!(known(&runs, &old) + known(&runs, &new), 200, "{oldest_position} {forget_before_ms:?}");
    }
    runs.tidy(101, Some(newest_old + 1)).unwrap();
    assert_eq!((known(&runs, &old), known(&runs, &new)), (0, 100));
    assert_eq!(files(folder.path(), "seen").len(), 1);
}

#[test]
fn merging_forgets_what_is_older_than_the_horizon() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, all) = eight_runs(folder.path());
    let horizon_ms = START_MS + 12 * 60_000; // in the middle of the second run
    runs.tidy(81, Some(horizon_ms)).unwrap();
    for seen in &all {
        let gone = seen.event_ms() < START_MS + 8 * 60_000;
        assert_eq!(runs.find(seen.key).unwrap().is_none(), gone, "the log still has the second run");
    }
    let folder = tempfile::tempdir().unwrap();
    let (runs, all) = eight_runs(folder.path());
    runs.tidy(1000, Some(START_MS + 4 * 60_000)).unwrap();
    for seen in &all {
        assert_eq!(runs.find(seen.key).unwrap().is_none(), seen.event_ms() < START_MS + 4 * 60_000);
    }
}

#[test]
fn runs_stay_few_and_none_grows_beyond_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Runs::open(folder.path(), 1, Settings { segment_blocks: 64, ..small() }).unwrap();
    for i in 0..400u64 {
        runs.add(keys(i as i64 * 5, 50), Positions { from: i * 50 + 1, to: i * 50 + 50 }).unwrap();
        runs.tidy(1, None).unwrap();
        let most = 20 + i as usize * 50 / 3000;
        assert!(runs.counts().0 <= most, "{} runs after {i}", runs.counts().0);
    }
    let most_bytes = 4000 * 30; // 24 an entry, then header, filter, footer
    let sizes = files(folder.path(), "seen").into_iter().map(|path| fs::metadata(path).unwrap().len());
    assert!(sizes.into_iter().all(|bytes| bytes < most_bytes));
}

/// One device whose clock is a year behind must not make its run look as if it spanned the year.
#[test]
fn an_hour_without_events_is_ruled_out_even_without_a_filter() {
    let mut hours = seen::format::Hours::none();
    hours.add(START_MS);
    hours.add(START_MS - 365 * 24 * HOUR_MS);
    assert!(hours.may_have(START_MS) && hours.may_have(START_MS - 365 * 24 * HOUR_MS));
    assert!((1..365 * 24).all(|hour| !hours.may_have(START_MS - hour * HOUR_MS)));
}

#[test]
fn keys_stay_known_while_others_write_and_merge() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Runs::open(folder.path(), 1, Settings { filter_bytes: 2000, ..small() }).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                runs.tidy(1, None).unwrap();
            }
        });
        for i in 0..300u64 {
            let all = keys(i as i64 * 5, 50);
            runs.add(all.clone(), Positions { from: i * 50 + 1, to: i * 50 + 50 }).unwrap();
            assert_all_known(&runs, &all);
            assert_all_known(&runs, &keys((xxh3_64(&i.to_le_bytes()) % (i + 1)) as i64 * 5, 50));
        }
        done.store(true, Ordering::Relaxed);
    });
}
