//! One unbroken chain, however entries come, and whatever is done to it is found and named.

mod support;

use drover_ledger::{Entry, Error, FaultKind, Filter, Ledger, NOTES_MAX, Verdict, verify_export, verify_file};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;
use support::{all, closed_ledger, entry, exported, file_in, new_ledger, raw, tamper};

#[track_caller]
fn finds(verdict: &Verdict, seq: u64, kind: FaultKind) {
    let fault = verdict.fault.as_ref().expect("this is found");
    assert_eq!((fault.seq, fault.kind, verdict.sound), (seq, kind, false), "{verdict:?}");
    assert!(fault.message.contains(&seq.to_string()) || kind == FaultKind::NoHead, "{fault:?}");
}

/// What is found after somebody did this to a ledger of twenty entries.
async fn after(statements: &str) -> Verdict {
    let folder = closed_ledger(20).await;
    tamper(&file_in(&folder), statements).await;
    verify_file(&file_in(&folder)).await.unwrap()
}

#[tokio::test]
async fn the_chain_goes_on_after_a_restart() {
    let (folder, ledger) = new_ledger().await;
    for n in 1..=1500 {
        ledger.note(entry(n));
    }
    assert_eq!(ledger.append(entry(1501)).await.unwrap(), 1501);
    ledger.close().await;
    assert!(matches!(ledger.append(entry(1)).await, Err(Error::Closed)));
    let ledger = Ledger::open(&file_in(&folder)).await.unwrap();
    assert_eq!(ledger.newest(), 1501);
    assert_eq!(ledger.append(Entry::new("user/\0\u{1}ä\u{10ffff}", "auth.login", "")).await.unwrap(), 1502);
    let entries = all(&ledger).await;
    assert_eq!((entries[0].actor.as_str(), entries[0].subject.as_str()), ("user/\0\u{1}ä\u{10ffff}", ""));
    assert!(entries.windows(2).all(|two| two[0].previous_hash == two[1].hash), "newest first");
    let verdict = ledger.verify().await.unwrap();
    assert_eq!((verdict.fault, verdict.entries, verdict.hash), (None, 1502, entries[0].hash.clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_append_at_once_is_one_unbroken_chain() {
    let (_folder, ledger) = new_ledger().await;
    let tasks = (0..32).map(|task| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for n in 0..50 {
                numbers.push(ledger.append(Entry::new(format!("user/{task}"), "a", format!("{n}"))).await.unwrap());
            }
            assert!(numbers.is_sorted(), "each one's own entries stay in order");
            numbers
        })
    });
    let mut numbers = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        numbers.extend(task.await.unwrap());
    }
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=1600));
    let verdict = ledger.verify().await.unwrap();
    assert_eq!((verdict.fault, verdict.entries), (None, 1600));
}

#[tokio::test]
async fn an_entry_is_of_the_moment_in_which_it_was_done_however_late_it_comes() {
    let (_folder, ledger) = new_ledger().await;
    let before = drover_answer::now_ms();
    ledger.append(Entry::new("user/u-1", "auth.login", "user/u-1")).await.unwrap();
    ledger.append(Entry { time_ms: Some(1_795_305_600_000), ..entry(1) }).await.unwrap();
    let entries = all(&ledger).await;
    assert_eq!(entries[0].time_ms, 1_795_305_600_000, "it came later, and says when it was");
    assert!((before..=drover_answer::now_ms()).contains(&entries[1].time_ms), "nothing said: now");
    let then = Filter { until_ms: Some(1_795_305_600_001), since_ms: Some(1_795_305_600_000), ..Filter::default() };
    assert_eq!(ledger.query(&then).await.unwrap().entries.len(), 1, "and is found by it");
    let verdict = ledger.verify().await.unwrap();
    assert_eq!((verdict.fault, verdict.entries), (None, 2));
}

#[tokio::test]
async fn a_page_that_comes_again_adds_nothing_twice() {
    let (_folder, ledger) = new_ledger().await;
    assert_eq!(ledger.last_origin("registry").await.unwrap(), None);
    assert_eq!(ledger.append_all((1..=10).map(entry).collect()).await.unwrap(), 10);
    assert_eq!(ledger.append_all((6..=15).map(entry).collect()).await.unwrap(), 5);
    assert_eq!(ledger.append_all(vec![entry(16), entry(16)]).await.unwrap(), 1, "within a page too");
    assert_eq!(ledger.append(entry(3)).await.unwrap(), 3, "the number of the first");
    let of_another_source = Entry { origin: Some(("auth", 3)), ..entry(3) };
    assert_eq!(ledger.append(of_another_source).await.unwrap(), 17);
    assert_eq!(ledger.last_origin("registry").await.unwrap(), Some(16));
    assert_eq!(ledger.append_all(Vec::new()).await.unwrap(), 0);
    assert!(ledger.verify().await.unwrap().sound);
}

#[tokio::test]
async fn notes_that_find_no_room_are_counted_in_an_entry() {
    let (_folder, ledger) = new_ledger().await;
    // The writer shares this thread, so that nothing leaves the queue meanwhile.
    for n in 0..NOTES_MAX + 7 {
        ledger.note(Entry::new("user/u-1", "location.read", format!("drivers/{n}")));
    }
    let number = ledger.append(Entry::new("user/u-1", "a", "b")).await.unwrap();
    let lost = ledger.query(&Filter { action: Some("audit.lost".into()), ..Filter::default() }).await.unwrap();
    assert_eq!(lost.entries.len(), 1);
    let after: Value = serde_json::from_str(lost.entries[0].after.as_ref().unwrap().get()).unwrap();
    assert_eq!(after, json!({"entries": 7}));
    assert_eq!(number, NOTES_MAX as u64 + 2, "all that found room, what was lost, and this one");
    ledger.note(Entry::new("user/u-1", "location.read", "there is room again"));
    assert_eq!(ledger.append(Entry::new("user/u-1", "a", "b")).await.unwrap(), number + 2);
    assert!(ledger.verify().await.unwrap().sound);
}

#[tokio::test]
async fn notes_are_bounded_by_their_bytes_too() {
    let (_folder, ledger) = new_ledger().await;
    let large = Value::from("x".repeat(60_000));
    for n in 0..1300 {
        ledger.note(Entry { after: Some(large.clone()), ..entry(n + 1) });
    }
    ledger.append(entry(2000)).await.unwrap();
    let lost = ledger.query(&Filter { action: Some("audit.lost".into()), ..Filter::default() }).await.unwrap();
    assert_eq!(lost.entries.len(), 1);
    assert!((1100..1150).contains(&ledger.newest()), "{}", ledger.newest());
}

#[tokio::test]
async fn while_nothing_can_be_written_who_waits_is_told_and_notes_are_kept() {
    let (folder, ledger) = new_ledger().await;
    ledger.append(entry(1)).await.unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    raw(&file_in(&folder), full).await.unwrap();
    ledger.note(entry(2));
    let error = ledger.append(entry(3)).await.unwrap_err();
    assert!(matches!(error, Error::NotWritten(_)) && error.to_string().contains("the disk is full"), "{error}");
    raw(&file_in(&folder), "DROP TRIGGER full").await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), async {
        while ledger.newest() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the note is written without anybody sending more");
    assert_eq!(ledger.append(entry(3)).await.unwrap(), 3);
    assert_eq!(all(&ledger).await[1].subject, "vehicles/v-2");
    assert!(ledger.verify().await.unwrap().sound);
}

#[tokio::test]
async fn the_table_takes_no_change() {
    let folder = closed_ledger(20).await;
    for statement in [
        "UPDATE entries SET actor = 'x' WHERE seq = 7",
        "DELETE FROM entries WHERE seq = 7",
        "DELETE FROM entries",
        "INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE seq = 7",
        "UPDATE ledger SET id = 'x'",
        "DELETE FROM ledger",
    ] {
        let error = raw(&file_in(&folder), statement).await.expect_err(statement);
        assert!(
            error.to_string().contains("entries of the audit") || error.to_string().contains("a ledger"),
            "{error}"
        );
    }
    assert!(verify_file(&file_in(&folder)).await.unwrap().sound);
}

#[tokio::test]
async fn a_changed_field_is_found_whichever_it_is() {
    for change in [
        "time_ms = time_ms + 1",
        "actor = 'user/u-2'",
        "action = 'vehicles.create'",
        "subject = 'vehicles/v-8'",
        "fleet = 'south'",
        "fleet = NULL",
        "address = '192.0.2.8'",
        "value_before = '{\"n\":7,\"ratio\":0.1}'",
        "value_after = NULL",
        "value_after = 'no JSON'",
        "value_after = x'00ff'",
        "outcome = 'refused'",
        "origin_source = 'registrz'",
        "origin_seq = 700",
        "previous_hash = 'x'",
        "hash = previous_hash",
        "seq = 1000",
    ] {
        let verdict = after(&format!("UPDATE entries SET {change} WHERE seq = 7")).await;
        let kind = if change.starts_with("seq") { FaultKind::Missing } else { FaultKind::Changed };
        finds(&verdict, 7, kind);
        assert_eq!(verdict.entries, 6);
    }
}

#[tokio::test]
async fn missing_entries_are_found_in_the_middle_at_the_beginning_and_at_the_end() {
    finds(&after("DELETE FROM entries WHERE seq = 7").await, 7, FaultKind::Missing);
    finds(&after("DELETE FROM entries WHERE seq BETWEEN 7 AND 9").await, 7, FaultKind::Missing);
    finds(&after("DELETE FROM entries WHERE seq = 1").await, 1, FaultKind::Missing);
    finds(&after("DELETE FROM entries WHERE seq > 15").await, 16, FaultKind::Cut);
    finds(&after("DELETE FROM entries").await, 1, FaultKind::Cut);
}

#[tokio::test]
async fn exchanged_entries_are_found() {
    let swap = "UPDATE entries SET seq = 1000 WHERE seq = 7; UPDATE entries SET seq = 7 WHERE seq = 12; \
                UPDATE entries SET seq = 12 WHERE seq = 1000";
    finds(&after(swap).await, 7, FaultKind::Changed);
    let renumbered = "DELETE FROM entries WHERE seq = 7; UPDATE entries SET seq = seq - 1 WHERE seq > 7";
    finds(&after(renumbered).await, 7, FaultKind::Changed);
}

/// Another history of the same ledger, sound in itself: ten entries are the same, ten are others.
async fn with_another_history() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = closed_ledger(10).await;
    let (path, other) = (file_in(&folder), folder.path().join("other.db"));
    fs::copy(&path, &other).unwrap();
    fs::copy(folder.path().join("audit.head"), folder.path().join("other.head")).unwrap();
    for (path, actor) in [(&path, "user/u-1"), (&other, "user/u-2")] {
        let ledger = Ledger::open(path).await.unwrap();
        ledger.append_all((11..=20).map(|n| Entry::new(actor, "a", format!("{n}"))).collect()).await.unwrap();
        assert!(ledger.verify().await.unwrap().sound);
        ledger.close().await;
    }
    (folder, other)
}

#[tokio::test]
async fn a_chain_made_anew_is_found_by_the_end_that_was_kept() {
    let (folder, other) = with_another_history().await;
    fs::copy(&other, file_in(&folder)).unwrap();
    finds(&verify_file(&file_in(&folder)).await.unwrap(), 20, FaultKind::Exchanged);
}

#[tokio::test]
async fn an_entry_with_a_right_hash_from_another_history_is_found() {
    let (folder, other) = with_another_history().await;
    let take = format!(
        "ATTACH '{}' AS other; DELETE FROM entries WHERE seq = 15; \
         INSERT INTO entries SELECT * FROM other.entries WHERE seq = 15;",
        other.display()
    );
    tamper(&file_in(&folder), &take).await;
    finds(&verify_file(&file_in(&folder)).await.unwrap(), 15, FaultKind::Exchanged);
}

#[tokio::test]
async fn a_missing_or_foreign_head_is_told() {
    let folder = closed_ledger(20).await;
    let head = folder.path().join("audit.head");
    let right = fs::read(&head).unwrap();
    fs::write(&head, "x").unwrap();
    finds(&verify_file(&file_in(&folder)).await.unwrap(), 20, FaultKind::NoHead);
    fs::copy(closed_ledger(20).await.path().join("audit.head"), &head).unwrap();
    finds(&verify_file(&file_in(&folder)).await.unwrap(), 20, FaultKind::NoHead);
    fs::remove_file(&head).unwrap();
    finds(&verify_file(&file_in(&folder)).await.unwrap(), 20, FaultKind::NoHead);
    fs::write(&head, right).unwrap();
    assert!(verify_file(&file_in(&folder)).await.unwrap().sound);
    assert!(matches!(verify_file(Path::new("/nowhere/audit.db")).await, Err(Error::NotThere(_))));
}

#[tokio::test]
async fn a_ledger_that_lost_its_end_goes_on_and_never_conceals_it() {
    let folder = closed_ledger(20).await;
    tamper(&file_in(&folder), "DELETE FROM entries WHERE seq > 15").await;
    for _ in 0..2 {
        let ledger = Ledger::open(&file_in(&folder)).await.unwrap();
        ledger.append(Entry::new("user/u-1", "a", "b")).await.unwrap();
        finds(&ledger.verify().await.unwrap(), 16, FaultKind::Cut);
        ledger.close().await;
    }
    let ledger = Ledger::open(&file_in(&folder)).await.unwrap();
    let told = ledger.query(&Filter { action: Some("audit.cut".into()), ..Filter::default() }).await.unwrap();
    assert_eq!(told.entries.len(), 1, "it is told once");
    let before: Value = serde_json::from_str(told.entries[0].before.as_ref().unwrap().get()).unwrap();
    assert_eq!(before["seq"], 20);
}

#[tokio::test]
async fn only_one_process_writes_a_ledger() {
    let (folder, ledger) = new_ledger().await;
    assert!(matches!(Ledger::open(&file_in(&folder)).await, Err(Error::InUse(_))));
    ledger.append(entry(1)).await.unwrap();
    assert!(verify_file(&file_in(&folder)).await.unwrap().sound, "to verify one that is open does no harm");
    ledger.close().await;
    Ledger::open(&file_in(&folder)).await.unwrap();
}

#[tokio::test]
async fn an_export_is_checked_without_the_ledger_and_an_edited_one_is_found() {
    let (_folder, ledger) = new_ledger().await;
    ledger.append_all((1..=1200).map(entry).collect()).await.unwrap();
    let text = exported(&ledger, Filter::default()).await;
    let verdict = verify_export(text.as_bytes()).unwrap();
    let of_the_ledger = ledger.verify().await.unwrap();
    assert_eq!((verdict.sound, verdict.complete, verdict.entries), (true, true, 1200));
    assert_eq!((verdict.hash, verdict.ledger), (of_the_ledger.hash, of_the_ledger.ledger));

    let lines: Vec<_> = text.lines().collect();
    let check = |lines: &[&str]| verify_export(lines.join("\n").as_bytes()).unwrap();
    let edited = lines[700].replace("\"ratio\":0.1", "\"ratio\":0.10");
    let mut with_edited = lines.clone();
    with_edited[700] = &edited;
    finds(&check(&with_edited), 700, FaultKind::Changed);
    let mut swapped = lines.clone();
    swapped.swap(700, 701);
    finds(&check(&swapped), 700, FaultKind::Missing);
    let mut twice = lines.clone();
    twice.insert(700, lines[700]);
    finds(&check(&twice), 700, FaultKind::Exchanged);
    let mut without_one = lines.clone();
    without_one.remove(700);
    finds(&check(&without_one), 700, FaultKind::Missing);
    finds(&check(&lines[..1000]), 1000, FaultKind::Cut);
    let half_a_line = [&lines[..700], &[&lines[700][..50]]].concat();
    finds(&check(&half_a_line), 700, FaultKind::Changed);
    assert!(matches!(verify_export(lines[1..].join("\n").as_bytes()), Err(Error::Export(_))));
}

#[tokio::test]
async fn an_export_of_some_entries_says_so_and_each_of_them_is_checked() {
    let (_folder, ledger) = new_ledger().await;
    for n in 1..=20 {
        let actor = format!("user/u-{}", n % 2);
        ledger.append(Entry { actor, ..entry(n) }).await.unwrap();
    }
    let text = exported(&ledger, Filter { actor: Some("user/u-1".into()), ..Filter::default() }).await;
    let verdict = verify_export(text.as_bytes()).unwrap();
    assert_eq!((verdict.sound, verdict.complete, verdict.entries), (true, false, 10));
    let changed = verify_export(text.replace("vehicles/v-7", "vehicles/v-8").as_bytes()).unwrap();
    finds(&changed, 7, FaultKind::Changed);
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn the_oldest_entries_leave_by_age_and_the_chain_is_verified_from_there() {
    let (folder, ledger) = new_ledger().await;
    ledger.append_all((1..=20).map(entry).collect()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let later = now_ms();
    ledger.append_all((21..=30).map(entry).collect()).await.unwrap();
    assert_eq!(ledger.let_leave(0).await.unwrap(), 0, "nothing is that old");
    assert_eq!(ledger.let_leave(later).await.unwrap(), 20);
    assert_eq!(ledger.let_leave(later).await.unwrap(), 0, "once");
    let verdict = ledger.verify().await.unwrap();
    assert_eq!((verdict.fault, verdict.first, verdict.entries), (None, 21, 11), "ten and the one that tells of it");
    let whole = verify_export(exported(&ledger, Filter::default()).await.as_bytes()).unwrap();
    assert_eq!((whole.fault, whole.complete, whole.first), (None, true, 21));
    assert_eq!(ledger.append_all((15..=30).map(entry).collect()).await.unwrap(), 0, "what left is not taken again");
    ledger.close().await;
    let ledger = Ledger::open(&file_in(&folder)).await.unwrap();
    assert_eq!(ledger.append(entry(31)).await.unwrap(), 32);
    assert!(ledger.verify().await.unwrap().sound, "nothing was cut");
    ledger.close().await;

    // Whoever takes more away than left is found.
    tamper(&file_in(&folder), "DELETE FROM entries WHERE seq = 21").await;
    finds(&verify_file(&file_in(&folder)).await.unwrap(), 1, FaultKind::Missing);
    raw(&file_in(&folder), "DELETE FROM entries WHERE seq <= 31").await.unwrap();
    finds(&verify_file(&file_in(&folder)).await.unwrap(), 1, FaultKind::Missing);
}

#[tokio::test]
async fn a_ledger_in_which_everything_is_old_keeps_its_newest_entry_and_its_followers_places() {
    let (folder, ledger) = new_ledger().await;
    ledger.append_all((1..=10_050).map(entry).collect()).await.unwrap();
    let tomorrow = now_ms() + 86_400_000;
    assert_eq!(ledger.let_leave(tomorrow).await.unwrap(), 10_000, "some at once");
    assert_eq!(
        ledger.let_leave(tomorrow).await.unwrap(),
        50,
        "all but the entry that tells of it, which came meanwhile"
    );
    assert_eq!(ledger.last_origin("registry").await.unwrap(), Some(10_050));
    ledger.close().await;
    let ledger = Ledger::open(&file_in(&folder)).await.unwrap();
    assert_eq!(ledger.append_all((9_990..=10_050).map(entry).collect()).await.unwrap(), 0);
    let verdict = ledger.verify().await.unwrap();
    assert_eq!((verdict.fault, verdict.first), (None, 10_051));
}
