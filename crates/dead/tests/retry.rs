//! Retrying: what leaves, what stays, and what nobody can hold up.

mod support;

use drover_dead::{Dead, Filter, LetterState, Retried, RetrySummary, Settings};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use support::{HISTORY, IMPORT, NOON, failure, keys, letter, open, put, put_at, retried_by};
use tempfile::tempdir;

fn failed(error: &str, attempts: u32) -> Retried {
    Retried::Failed { error: error.into(), attempts }
}

#[test]
fn a_letter_leaves_when_its_retry_succeeds_and_not_before() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let id = put(&dead, &IMPORT, "job 12");
    let seen = dead.clone();
    retried_by(&dead, &IMPORT, move |letter, original| {
        assert_eq!((letter.key.as_str(), letter.attempts), ("job 12", 4));
        assert_eq!(original.unwrap(), b"original of job 12");
        assert!(seen.get(letter.id).unwrap().is_some(), "it is still there");
        Ok("it goes on".into())
    });
    assert_eq!(dead.retry(id).unwrap(), Retried::Done { what: "it goes on".into(), attempts: 5 });
    assert_eq!(dead.retry(id).unwrap(), Retried::NotFound);
    drop(dead);
}

#[test]
fn that_a_letter_has_left_is_durable() {
    let folder = tempdir().unwrap();
    {
        let dead = open(folder.path());
        let id = put(&dead, &IMPORT, "a");
        retried_by(&dead, &IMPORT, |_, _| Ok(String::new()));
        dead.retry(id).unwrap();
    }
    assert_eq!(open(folder.path()).status().letters, 0);
}

#[test]
fn a_letter_that_fails_again_stays_and_says_so() {
    let folder = tempdir().unwrap();
    let mut dead = open(folder.path());
    let id = put_at(&dead, "a", NOON);
    for attempts in 5..7 {
        retried_by(&dead, &IMPORT, |_, _| Err("still broken".into()));
        assert_eq!(dead.retry(id).unwrap(), failed("still broken", attempts));
        drop(dead);
        dead = open(folder.path());
        let now = letter(&dead, id);
        assert_eq!((now.error.as_str(), now.attempts), ("still broken", attempts));
        assert_eq!((now.first_failed_ms, now.stage.as_str()), (NOON, "read file"));
        assert!(now.last_failed_ms > NOON);
        assert_eq!(dead.original(id).unwrap().unwrap(), b"a");
    }
}

#[test]
fn a_failed_retry_begins_the_time_to_keep_anew() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let (tried, other) = (put_at(&dead, "tried", NOON), put_at(&dead, "other", NOON));
    retried_by(&dead, &IMPORT, |_, _| Err("no".into()));
    dead.retry(tried).unwrap();
    dead.tidy(letter(&dead, tried).last_failed_ms).unwrap();
    assert_eq!(dead.get(other).unwrap(), None);
    assert_eq!(keys(&dead), ["tried"]);
}

#[test]
fn a_fault_in_a_handler_is_a_failed_attempt() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let id = put(&dead, &IMPORT, "a");
    retried_by(&dead, &IMPORT, |letter, _| panic!("row {} is odd", letter.context["row"]));
    assert_eq!(dead.retry(id).unwrap(), failed("a fault in Drover: row 17 is odd", 5));
    assert_eq!(letter(&dead, id).state, LetterState::Waiting);
    retried_by(&dead, &IMPORT, |_, _| panic!("odd"));
    assert_eq!(dead.retry(id).unwrap(), failed("a fault in Drover: odd", 6));
    retried_by(&dead, &IMPORT, |_, _| Ok("mended".into()));
    assert_eq!(dead.retry(id).unwrap(), Retried::Done { what: "mended".into(), attempts: 7 });
}

#[test]
fn without_anybody_who_knows_how_nothing_is_tried() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let id = put(&dead, &HISTORY, "a");
    retried_by(&dead, &IMPORT, |_, _| panic!("not mine"));
    assert_eq!(dead.retry(id).unwrap(), Retried::NoHandler(HISTORY));
    assert_eq!(letter(&dead, id).attempts, 4);
    assert_eq!(dead.retry(4711).unwrap(), Retried::NotFound);
}

#[test]
fn of_many_who_retry_a_letter_at_once_one_does() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let id = put(&dead, &IMPORT, "a");
    let (began, has_begun) = channel();
    let (go_on, may_go_on) = channel();
    let may_go_on = Mutex::new(may_go_on);
    retried_by(&dead, &IMPORT, move |_, _| {
        began.send(()).unwrap();
        may_go_on.lock().recv_timeout(Duration::from_secs(10)).unwrap();
        Ok("done".into())
    });
    std::thread::scope(|scope| {
        let first = scope.spawn(|| dead.retry(id).unwrap());
        has_begun.recv_timeout(Duration::from_secs(10)).unwrap();
        let others: Vec<_> = (0..8).map(|_| scope.spawn(|| dead.retry(id).unwrap())).collect();
        assert!(others.into_iter().all(|other| other.join().unwrap() == Retried::Busy));
        assert_eq!(dead.retry(id).unwrap(), Retried::Busy, "a refused one does not end the turn of the first");
        assert_eq!(letter(&dead, id).state, LetterState::Retrying);
        assert_eq!(dead.list(&Filter::default(), 1).unwrap()[0].state, LetterState::Retrying);
        let summary = dead.retry_all(&Filter::default(), 10).unwrap();
        assert_eq!(summary, RetrySummary { skipped: 1, ..RetrySummary::default() });
        go_on.send(()).unwrap();
        assert_eq!(first.join().unwrap(), Retried::Done { what: "done".into(), attempts: 5 });
    });
    assert_eq!(dead.retry(id).unwrap(), Retried::NotFound);
}

#[test]
fn letters_of_others_are_retried_and_put_while_one_is_under_way() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let id = put(&dead, &IMPORT, "slow");
    let inner = dead.clone();
    retried_by(&dead, &HISTORY, |_, _| Ok("quick".into()));
    retried_by(&dead, &IMPORT, move |_, _| {
        let other = put(&inner, &HISTORY, "other");
        assert!(matches!(inner.retry(other).unwrap(), Retried::Done { .. }));
        Ok("slow".into())
    });
    assert!(matches!(dead.retry(id).unwrap(), Retried::Done { .. }));
}

#[test]
fn a_failure_told_anew_while_its_letter_is_retried_stays_a_letter() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let id = put(&dead, &IMPORT, "job 12");
    let inner = dead.clone();
    retried_by(&dead, &IMPORT, move |_, _| {
        inner.put(failure(&IMPORT, "job 12", b"as it is now")).unwrap();
        Ok("the job goes on".into())
    });
    assert!(matches!(dead.retry(id).unwrap(), Retried::Done { .. }));
    assert_eq!(dead.original(id).unwrap().unwrap(), b"as it is now");
    assert_eq!(letter(&dead, id).attempts, 8);
}

#[test]
fn a_letter_dropped_while_it_is_retried_does_not_come_back() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let id = put(&dead, &IMPORT, "a");
    let inner = dead.clone();
    retried_by(&dead, &IMPORT, move |letter, _| {
        assert!(inner.drop_letter(letter.id).unwrap());
        Err("too late".into())
    });
    assert_eq!(dead.retry(id).unwrap(), failed("too late", 5));
    assert_eq!(dead.get(id).unwrap(), None);
}

#[test]
fn a_handler_learns_that_the_original_was_not_kept() {
    let folder = tempdir().unwrap();
    let dead = Dead::open(folder.path(), Settings { max_bytes: 3, ..Settings::default() }).unwrap();
    let id = put(&dead, &IMPORT, "a");
    retried_by(&dead, &IMPORT, |letter, original| {
        assert_eq!((original, letter.original_kept), (None, false));
        Err("nothing to go on with".into())
    });
    assert_eq!(dead.retry(id).unwrap(), failed("nothing to go on with", 5));
}

/// Six letters; the handler takes all but those whose key has an x, one of them by panicking. Gives what it was asked.
fn six_with_poison(dead: &Dead) -> Arc<Mutex<Vec<String>>> {
    for key in ["a", "bx", "c", "dxx", "e", "f"] {
        put(dead, &IMPORT, key);
    }
    let asked = Arc::new(Mutex::new(Vec::new()));
    let note = asked.clone();
    retried_by(dead, &IMPORT, move |letter, _| {
        note.lock().push(letter.key.clone());
        match letter.key.matches('x').count() {
            0 => Ok("taken".into()),
            1 => Err("poison".into()),
            _ => panic!("worse"),
        }
    });
    asked
}

#[test]
fn retrying_all_goes_oldest_first_past_those_that_fail_again() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let asked = six_with_poison(&dead);
    put(&dead, &HISTORY, "nobody's");
    let summary = dead.retry_all(&Filter::default(), 100).unwrap();
    assert_eq!(summary, RetrySummary { tried: 6, done: 4, failed: 2, skipped: 1, next: None });
    assert_eq!(asked.lock().join(" "), "a bx c dxx e f");
    assert_eq!(keys(&dead), ["nobody's", "dxx", "bx"]);
}

#[test]
fn a_batch_is_bounded_and_says_where_to_go_on_so_that_poison_blocks_nobody() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let asked = six_with_poison(&dead);
    let mut filter = Filter::of(IMPORT);
    let mut batches = Vec::new();
    loop {
        let summary = dead.retry_all(&filter, 2).unwrap();
        batches.push((summary.done, summary.failed));
        match summary.next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    assert_eq!(batches, [(1, 1), (1, 1), (2, 0)]);
    assert_eq!(asked.lock().join(" "), "a bx c dxx e f");
}

#[test]
fn a_batch_that_takes_long_ends_behind_the_letter_under_way() {
    let folder = tempdir().unwrap();
    let dead = Dead::open(folder.path(), Settings { retry_time: Duration::ZERO, ..Settings::default() }).unwrap();
    six_with_poison(&dead);
    let summary = dead.retry_all(&Filter::default(), 100).unwrap();
    assert_eq!(summary, RetrySummary { tried: 1, done: 1, next: Some(1), ..RetrySummary::default() });
    let summary = dead.retry_all(&Filter { after: Some(5), ..Filter::default() }, 100).unwrap();
    assert_eq!(summary, RetrySummary { tried: 1, done: 1, ..RetrySummary::default() }, "the last one");
}

#[test]
fn letters_that_come_while_all_are_retried_wait_for_the_next_time() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let inner = dead.clone();
    put(&dead, &IMPORT, "a");
    retried_by(&dead, &IMPORT, move |letter, _| {
        put(&inner, &IMPORT, &format!("{}a", letter.key));
        Ok("it will fail again".into())
    });
    let summary = dead.retry_all(&Filter::default(), 100).unwrap();
    assert_eq!((summary.tried, summary.next), (1, None));
    assert_eq!(keys(&dead), ["aa"]);
}

#[test]
fn retrying_all_of_nothing_is_nothing() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    assert_eq!(dead.retry_all(&Filter::default(), 100).unwrap(), RetrySummary::default());
}

#[test]
fn letters_can_be_opened_again_once_their_handlers_are_forgotten() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let inner = dead.clone();
    retried_by(&dead, &IMPORT, move |letter, _| Ok(format!("{:?}", inner.get(letter.id))));
    let id = put(&dead, &IMPORT, "a");
    dead.forget_handlers();
    assert_eq!(dead.retry(id).unwrap(), Retried::NoHandler(IMPORT));
    drop(dead);
    assert_eq!(keys(&open(folder.path())), ["a"]);
}
