//! Keeping letters: what is there after what, and what happens at the bounds.

mod support;

use drover_dead::{Dead, Error, Filter, LetterState, NewLetter, ORIGINAL_MAX_BYTES, Settings, SourceStatus};
use std::time::Duration;
use support::{DAY, HISTORY, IMPORT, NOON, failure, keys, letter, open, put, put_at};
use tempfile::tempdir;

fn bounded(max_letters: usize, max_bytes: u64) -> (tempfile::TempDir, Dead) {
    let folder = tempdir().unwrap();
    let settings = Settings { max_letters, max_bytes, ..Settings::default() };
    let dead = Dead::open(folder.path(), settings).unwrap();
    (folder, dead)
}

#[test]
fn a_letter_is_as_it_was_put_also_after_a_reopen() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let id = dead.put_at(failure(&IMPORT, "job 12", b"{\"id\":12}"), NOON).unwrap();
    let before = letter(&dead, id);
    assert_eq!((before.id, before.source.name(), before.key.as_str()), (1, "import", "job 12"));
    assert_eq!((before.stage.as_str(), before.error.as_str()), ("read file", "job 12 cannot be read"));
    assert_eq!((&before.context["file"], &before.context["row"]), (&"day.csv".into(), &17.into()));
    assert_eq!((before.attempts, before.first_failed_ms, before.last_failed_ms), (4, NOON, NOON));
    assert_eq!((before.original_bytes, before.original_kept, before.state), (9, true, LetterState::Waiting));
    drop(dead);
    let dead = open(folder.path());
    assert_eq!(letter(&dead, id), before);
    assert_eq!(dead.original(id).unwrap().as_deref(), Some(&b"{\"id\":12}"[..]));
}

#[test]
fn the_same_key_again_is_the_same_letter_as_told_now() {
    let folder = tempdir().unwrap();
    let mut dead = open(folder.path());
    let id = dead.put_at(failure(&HISTORY, "position 881", b"before"), NOON).unwrap();
    for again in 1..=2 {
        let told = NewLetter {
            stage: "write history".into(),
            error: "no such column".into(),
            context: [("position".to_owned(), 881.into())].into(),
            ..failure(&HISTORY, "position 881", b"now")
        };
        assert_eq!(dead.put_at(told, NOON + again).unwrap(), id);
        let letter = letter(&dead, id);
        assert_eq!((letter.stage.as_str(), letter.error.as_str()), ("write history", "no such column"));
        assert_eq!(letter.context.len(), 1);
        assert_eq!(letter.attempts as i64, 4 + 4 * again, "each round of tries counts");
        assert_eq!((letter.first_failed_ms, letter.last_failed_ms), (NOON, NOON + again));
        assert_eq!(dead.original(id).unwrap().unwrap(), b"now");
        assert_eq!(dead.status().letters, 1);
        drop(dead);
        dead = open(folder.path());
    }
}

#[test]
fn the_same_key_of_another_source_is_another_letter() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    assert_ne!(put(&dead, &IMPORT, "12"), put(&dead, &HISTORY, "12"));
    assert_eq!(dead.status().letters, 2);
}

#[test]
fn a_clock_that_is_set_back_does_not_make_the_last_failure_precede_the_first() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    put_at(&dead, "a", NOON);
    let letter = letter(&dead, put_at(&dead, "a", NOON - DAY));
    assert_eq!((letter.first_failed_ms, letter.last_failed_ms), (NOON, NOON));
}

#[test]
fn a_key_without_an_allowed_length_is_refused_rather_than_cut() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    for wrong in ["", &"x".repeat(201)] {
        assert!(matches!(dead.put(failure(&IMPORT, wrong, b"")), Err(Error::Key { .. })));
    }
    put(&dead, &IMPORT, &"x".repeat(200));
    assert_eq!(dead.status().letters, 1);
}

#[test]
fn long_texts_and_large_contexts_are_cut() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let context = (0..100).map(|n| (format!("{n:03}"), "ä".repeat(50).into())).collect();
    let (stage, error) = ("s".repeat(10_000), "é".repeat(10_000));
    let id = dead.put(NewLetter { stage, error, context, ..failure(&IMPORT, "a", b"") }).unwrap();
    let letter = letter(&dead, id);
    assert!(letter.stage.len() <= 100 && letter.stage.ends_with('…'));
    assert!(letter.error.len() <= 2048 && letter.error.ends_with("é…"));
    let left_out = letter.context["left_out"].as_u64().unwrap();
    assert_eq!(letter.context.len() as u64 - 1 + left_out, 100);
    assert!(serde_json::to_vec(&letter.context).unwrap().len() < 5000);
}

#[test]
fn lists_go_page_by_page_from_the_newest_and_only_through_what_is_asked_for() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    for n in 1..=10 {
        put(&dead, &if n % 3 == 0 { HISTORY } else { IMPORT }, &format!("{n}"));
    }
    let page = |filter: Filter, limit| -> Vec<u64> {
        dead.list(&filter, limit).unwrap().into_iter().map(|letter| letter.id).collect()
    };
    assert_eq!(page(Filter::default(), 4), [10, 9, 8, 7]);
    assert_eq!(page(Filter { before: Some(7), ..Filter::default() }, 4), [6, 5, 4, 3]);
    assert_eq!(page(Filter { before: Some(3), ..Filter::default() }, 4), [2, 1]);
    assert_eq!(page(Filter { before: Some(1), ..Filter::default() }, 4), [0; 0]);
    assert_eq!(page(Filter::of(HISTORY), 100), [9, 6, 3]);
    assert_eq!(page(Filter { before: Some(9), ..Filter::of(HISTORY) }, 1), [6]);
    assert_eq!(page(Filter { after: Some(3), before: Some(9), ..Filter::of(HISTORY) }, 100), [6]);
    assert_eq!(page(Filter { after: Some(9), before: Some(3), source: None }, 100), [0; 0], "a range of nothing");
    assert_eq!(page(Filter { after: Some(u64::MAX), ..Filter::default() }, 100), [0; 0]);
}

#[test]
fn a_dropped_letter_is_gone_with_its_original_and_its_number() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let (first, last) = (put(&dead, &IMPORT, "a"), put(&dead, &IMPORT, "b"));
    assert!(dead.drop_letter(last).unwrap());
    assert!(!dead.drop_letter(last).unwrap(), "once");
    assert_eq!((dead.get(last).unwrap(), dead.original(last).unwrap()), (None, None));
    drop(dead);
    let dead = open(folder.path());
    assert_eq!(keys(&dead), ["a"]);
    let anew = put(&dead, &IMPORT, "b");
    assert!(anew > last && last > first, "a number is not given twice");
    assert_eq!(letter(&dead, anew).attempts, 4, "nothing of the dropped one is left");
}

#[test]
fn all_letters_of_a_source_are_dropped_and_no_other() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    for n in 0..5 {
        put(&dead, &IMPORT, &format!("import {n}"));
        put(&dead, &HISTORY, &format!("history {n}"));
    }
    assert_eq!(dead.drop_all(&Filter::of(IMPORT)).unwrap(), 5);
    assert_eq!(dead.drop_all(&Filter::of(IMPORT)).unwrap(), 0);
    assert!(keys(&dead).iter().all(|key| key.starts_with("history")));
    assert_eq!(dead.status().letters, 5);
}

#[test]
fn beyond_the_most_letters_the_one_that_failed_longest_ago_leaves_and_the_new_one_stays() {
    let (_folder, dead) = bounded(3, 1000);
    for (key, at) in [("a", 1), ("b", 2), ("c", 3), ("a", 4)] {
        put_at(&dead, key, NOON + at);
    }
    put_at(&dead, "d", NOON + 5);
    assert_eq!(keys(&dead), ["d", "c", "a"], "a has failed again since b");
    put_at(&dead, "e", NOON - DAY);
    assert_eq!(keys(&dead), ["e", "d", "a"], "what is told now stays, whenever it failed");
}

#[test]
fn a_lower_bound_than_before_holds_from_the_next_letter_on() {
    let (folder, dead) = bounded(100, 1000);
    for n in 0..10 {
        put_at(&dead, &n.to_string(), NOON + n);
    }
    drop(dead);
    let dead = Dead::open(folder.path(), Settings { max_letters: 2, ..Settings::default() }).unwrap();
    assert_eq!(dead.status().letters, 10);
    put_at(&dead, "0", NOON + 10);
    assert_eq!(keys(&dead), ["9", "0"], "the oldest stays when it is the one that is told again");
    put_at(&dead, "10", NOON + 11);
    assert_eq!(keys(&dead), ["10", "0"]);
}

#[test]
fn without_room_for_its_original_a_letter_is_kept_without() {
    let (folder, dead) = bounded(100, 100);
    let first = dead.put(failure(&IMPORT, "a", &[1; 60])).unwrap();
    let second = dead.put(failure(&IMPORT, "b", &[2; 60])).unwrap();
    let third = dead.put(failure(&IMPORT, "c", &[3; 40])).unwrap();
    assert_eq!(dead.status().bytes, 100);
    let cut = letter(&dead, second);
    assert_eq!((cut.original_kept, cut.original_bytes), (false, 60), "the fact and the size stay");
    assert_eq!(dead.original(second).unwrap(), None);
    assert_eq!(dead.original(third).unwrap().unwrap(), [3; 40], "what fits is kept all the same");
    drop(dead);
    let dead = Dead::open(folder.path(), Settings { max_bytes: 100, ..Settings::default() }).unwrap();
    assert_eq!(dead.status().bytes, 100, "it is counted again from the disk");
    dead.drop_letter(first).unwrap();
    dead.put(failure(&IMPORT, "b", &[2; 60])).unwrap();
    assert_eq!(dead.original(second).unwrap().unwrap(), [2; 60], "told again when there is room");
    assert_eq!(dead.status().bytes, 100);
}

#[test]
fn an_original_is_replaced_by_one_of_its_size_even_where_there_is_no_room() {
    let (folder, dead) = bounded(100, 100);
    let id = dead.put(failure(&IMPORT, "a", &[1; 80])).unwrap();
    drop(dead);
    let dead = Dead::open(folder.path(), Settings { max_bytes: 10, ..Settings::default() }).unwrap();
    dead.put(failure(&IMPORT, "a", &[2; 80])).unwrap();
    assert_eq!(dead.original(id).unwrap().unwrap(), [2; 80]);
    dead.put(failure(&IMPORT, "a", &[3; 81])).unwrap();
    assert_eq!(dead.original(id).unwrap(), None, "an older original would not be what failed now");
    assert_eq!((letter(&dead, id).original_bytes, dead.status().bytes), (81, 0));
}

#[test]
fn letters_that_must_leave_make_room_for_the_original_of_the_new_one() {
    let (_folder, dead) = bounded(1, 100);
    dead.put(failure(&IMPORT, "a", &[1; 100])).unwrap();
    let id = dead.put(failure(&IMPORT, "b", &[2; 100])).unwrap();
    assert_eq!(dead.original(id).unwrap().unwrap(), [2; 100]);
    assert_eq!((dead.status().letters, dead.status().bytes), (1, 100));
}

#[test]
fn an_original_that_is_too_large_for_memory_is_not_kept() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let large = vec![7; ORIGINAL_MAX_BYTES as usize + 1];
    let id = dead.put(failure(&IMPORT, "a", &large)).unwrap();
    assert!(!letter(&dead, id).original_kept);
    let id = dead.put(failure(&IMPORT, "b", &large[1..])).unwrap();
    assert_eq!(dead.original(id).unwrap().unwrap().len() as u64, ORIGINAL_MAX_BYTES);
}

#[test]
fn an_empty_original_is_kept_as_such() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let id = dead.put(failure(&IMPORT, "a", b"")).unwrap();
    assert!(letter(&dead, id).original_kept);
    assert_eq!(dead.original(id).unwrap(), Some(Vec::new()));
}

#[test]
fn a_letter_leaves_fourteen_days_after_it_failed_last() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    put_at(&dead, "a", NOON);
    put_at(&dead, "b", NOON);
    put_at(&dead, "b", NOON + DAY);
    assert_eq!(dead.tidy(NOON + 14 * DAY).unwrap(), 0);
    assert_eq!(dead.tidy(NOON + 14 * DAY + 1).unwrap(), 1);
    assert_eq!(keys(&dead), ["b"], "it has failed again since");
    assert_eq!(dead.tidy(NOON + 15 * DAY + 1).unwrap(), 1);
    assert_eq!(dead.tidy(NOON + 15 * DAY + 1).unwrap(), 0);
    drop(dead);
    assert_eq!(open(folder.path()).status().letters, 0);
}

#[test]
fn a_time_to_keep_without_end_keeps() {
    let folder = tempdir().unwrap();
    let dead = Dead::open(folder.path(), Settings { keep: Duration::MAX, ..Settings::default() }).unwrap();
    put_at(&dead, "a", NOON);
    assert_eq!(dead.tidy(i64::MAX - 1).unwrap(), 0);
}

#[test]
fn the_status_counts_by_source_and_names_the_oldest_failure() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    assert_eq!(dead.status().by_source, []);
    put_at(&dead, "later", NOON + 5);
    put_at(&dead, "first", NOON);
    put_at(&dead, "first", NOON + 9);
    dead.put_at(failure(&HISTORY, "position 1", b"1234"), NOON + 7).unwrap();
    let status = dead.status();
    assert_eq!((status.letters, status.bytes), (3, 5 + 5 + 4));
    assert_eq!(
        status.by_source,
        [
            SourceStatus { source: HISTORY, letters: 1, oldest_ms: NOON + 7 },
            SourceStatus { source: IMPORT, letters: 2, oldest_ms: NOON }
        ]
    );
}

#[test]
fn a_second_process_or_handle_cannot_open_the_same_letters() {
    let folder = tempdir().unwrap();
    let _dead = open(folder.path());
    let refused = Dead::open(folder.path(), Settings::default()).err().unwrap();
    assert!(refused.to_string().contains("store of dead letters"), "{refused}");
}

#[test]
fn letters_put_by_many_threads_at_once_are_all_there_once() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let dead = &dead;
            scope.spawn(move || {
                for n in 0..20 {
                    put(dead, &IMPORT, &format!("of all {n}"));
                    put(dead, &IMPORT, &format!("{thread}/{n}"));
                }
            });
        }
    });
    let letters = dead.list(&Filter::default(), 1000).unwrap();
    assert_eq!(letters.len(), 20 + 80);
    assert!(letters.iter().filter(|letter| letter.key.starts_with("of all")).all(|letter| letter.attempts == 16));
}

#[test]
fn the_file_does_not_grow_with_letters_that_have_left() {
    let (folder, dead) = bounded(10, 1 << 20);
    for n in 0..300 {
        dead.put(failure(&IMPORT, &n.to_string(), &[7; 64 << 10])).unwrap();
    }
    let bytes = folder.path().join("dead.redb").metadata().unwrap().len();
    assert!(bytes <= 4 << 20, "{bytes} bytes for 10 letters");
}
