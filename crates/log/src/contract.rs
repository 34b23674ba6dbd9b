//! The tests that every engine passes, under a [`Log`] as the rest of Drover uses it. An engine's own tests call
//! [`crate::contract_tests`] with a [`Fixture`]; what only files can suffer is tested beside the segment engine.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::{AppendError, Batch, CommitError, Engine, Faults, Follower, Log, Position, ReadError, Retention, Settings};

/// Longer than anything here takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// An engine under test. It should keep little per unit of retention (32 KiB), so that a short test sees several.
pub trait Fixture {
    /// Opens the engine, with what an engine opened before (and dropped) has kept.
    fn open(&self) -> Box<dyn Engine>;

    /// Whether records outlive the engine.
    fn survives_reopening(&self) -> bool;

    /// Through which the test gives orders to the engine.
    fn faults(&self) -> &Faults;
}

/// Makes one `#[test]` per check, each with a fresh fixture from the given expression.
#[macro_export]
macro_rules! contract_tests {
    ($fixture:expr) => {
        $crate::contract_tests!($fixture;
            positions_are_dense_and_in_the_order_of_appends,
            several_records_are_appended_all_or_none,
            a_record_is_not_durable_before_its_sync,
            what_comes_during_a_sync_shares_the_next_batch,
            a_burst_larger_than_a_batch_is_split_and_complete,
            everyone_who_waits_is_woken,
            a_follower_waits_for_news,
            a_follower_resumes_in_the_middle_of_a_batch,
            a_follower_reads_what_left_the_ring,
            a_slow_follower_does_not_hold_up_the_writer,
            replay_starts_at_a_time,
            append_times_never_go_back,
            retention_removes_the_oldest_and_says_so,
            concurrent_appenders_lose_nothing,
            too_much_pending_is_refused,
            a_too_long_record_leaves_nothing,
            a_panic_while_encoding_leaves_nothing,
            a_failed_sync_poisons,
            a_failed_write_poisons,
            a_full_disk_is_said_at_once_and_resumes,
            closing_commits_what_is_pending,
            closing_while_full_tells_who_waits,
            what_was_durable_is_there_after_reopening,
        );
    };
    ($fixture:expr; $($check:ident,)*) => {
        $(
            #[test]
            fn $check() {
                $crate::contract::$check(&$fixture);
            }
        )*
    };
}

/// Positions count from 1 without gaps, and records come back as they went in.
pub fn positions_are_dense_and_in_the_order_of_appends(fixture: &dyn Fixture) {
    let log = open(fixture);
    for expected in 1..=500 {
        assert_eq!(log.append(&record(expected)), Ok(expected));
    }
    log.wait_durable(500).unwrap();
    assert_eq!((log.durable_position(), log.next_position(), log.oldest()), (500, 501, 1));
    assert_eq!(follow_to(&log, 1, 500), (1..=500).map(|at| (at, record(at))).collect::<Vec<_>>());
    assert_eq!(log.stats().records, 500);
}

/// `append_all` gives consecutive positions, and nothing at all if one record is refused.
pub fn several_records_are_appended_all_or_none(fixture: &dyn Fixture) {
    let log = open_with(fixture, |settings| settings.max_record_bytes = 100);
    let none: [&[u8]; 0] = [];
    assert_eq!(log.append_all(none), Ok(0));
    assert_eq!(log.append_all((1..=3).map(record)), Ok(3));
    let refused = log.append_all([vec![1; 100], vec![2; 101]]);
    assert_eq!(refused, Err(AppendError::TooLarge { bytes: 101, max_bytes: 100 }));
    assert_eq!(log.append(&record(4)), Ok(4));
    log.wait_durable(4).unwrap();
    assert_eq!(follow_to(&log, 1, 4), (1..=4).map(|at| (at, record(at))).collect::<Vec<_>>());
}

/// The future resolves after the sync that covers the position, not before.
pub fn a_record_is_not_durable_before_its_sync(fixture: &dyn Fixture) {
    let log = open(fixture);
    let held = fixture.faults().hold_syncs();
    let position = log.append(b"one").unwrap();
    held.wait_reached();
    let mut durable = pin!(log.durable(position));
    assert_eq!(durable.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
    assert_eq!(log.durable_position(), 0);
    assert!(log.follow("early", 1).next(Duration::ZERO).unwrap().is_none());
    drop(held);
    log.wait_durable(position).unwrap();
    assert_eq!(durable.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
}

/// Group commit: one sync for all that came during the one before.
pub fn what_comes_during_a_sync_shares_the_next_batch(fixture: &dyn Fixture) {
    let log = open(fixture);
    let held = fixture.faults().hold_syncs();
    log.append(b"first").unwrap();
    held.wait_reached();
    append_each(&log, 2..=11);
    drop(held);
    log.wait_durable(11).unwrap();
    let mut follower = log.follow("batches", 1);
    let sizes = [next(&mut follower).count(), next(&mut follower).count()];
    assert_eq!(sizes, [1, 10]);
    log.close();
    assert_eq!(log.stats().commits, 2);
}

/// What is pending may be more than a batch can hold.
pub fn a_burst_larger_than_a_batch_is_split_and_complete(fixture: &dyn Fixture) {
    let log = open_with(fixture, |settings| settings.max_batch_bytes = 1000);
    let held = fixture.faults().hold_syncs();
    log.append(&record(1)).unwrap();
    held.wait_reached();
    append_each(&log, 2..=2000);
    drop(held);
    log.wait_durable(2000).unwrap();
    let batches = read_all(&log);
    assert!(batches.iter().all(|batch| batch.payload().len() <= 1000));
    assert_eq!(records(&batches), (1..=2000).map(|at| (at, record(at))).collect::<Vec<_>>());
}

/// Also those who wait for positions that others appended, or that were not even appended yet.
pub fn everyone_who_waits_is_woken(fixture: &dyn Fixture) {
    let log = open(fixture);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (1..=100)
            .map(|position| {
                scope.spawn({
                    let log = &log;
                    move || log.wait_durable(position)
                })
            })
            .collect();
        append_each(&log, 1..=100);
        waiting.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), Ok(())));
    });
}

/// A follower at the end gets `None` in time, and news as soon as there are some.
pub fn a_follower_waits_for_news(fixture: &dyn Fixture) {
    let log = open(fixture);
    let mut follower = log.follow("eager", 0);
    assert!(follower.next(Duration::from_millis(1)).unwrap().is_none());
    std::thread::scope(|scope| {
        let news = scope.spawn(|| (next(&mut follower), follower.position(), follower.lag()));
        let position = log.append(b"news").unwrap();
        let (batch, at, lag) = news.join().unwrap();
        assert_eq!((records(&[batch]), at, lag), (vec![(position, b"news".to_vec())], position, 0));
    });
}

/// From its saved position + 1 on: nothing twice, nothing left out, even within a batch.
pub fn a_follower_resumes_in_the_middle_of_a_batch(fixture: &dyn Fixture) {
    let log = open(fixture);
    let last = log.append_all((1..=20).map(record)).unwrap();
    log.wait_durable(last).unwrap();
    assert_eq!(follow_to(&log, 8, 20), (8..=20).map(|at| (at, record(at))).collect::<Vec<_>>());
    assert_eq!(records(&log.read(8, 1).unwrap()), (8..=20).map(|at| (at, record(at))).collect::<Vec<_>>());
    let mut follower = log.follow("skipping", 1);
    follower.skip_to(15);
    assert_eq!((follower.position(), follower.lag()), (14, 6));
    assert_eq!(next(&mut follower).base(), 15);
    assert_eq!(log.followers()[0].lag, 0);
    drop(follower);
    assert!(log.followers().is_empty());
}

/// The ring is an optimization only.
pub fn a_follower_reads_what_left_the_ring(fixture: &dyn Fixture) {
    let log = open_with(fixture, |settings| settings.ring_bytes = 2000);
    commit_each(&log, 1..=300);
    assert_eq!(follow_to(&log, 1, 300), (1..=300).map(|at| (at, record(at))).collect::<Vec<_>>());
}

/// Nothing that a follower does or leaves undone delays an acknowledgement.
pub fn a_slow_follower_does_not_hold_up_the_writer(fixture: &dyn Fixture) {
    let log = open_with(fixture, |settings| settings.ring_bytes = 1000);
    let mut slow = log.follow("slow", 1);
    commit_each(&log, 1..=3);
    let first = next(&mut slow);
    commit_each(&log, 4..=1000);
    assert_eq!(slow.lag(), 1000 - first.last());
    assert_eq!(follow_to(&log, slow.position() + 1, 1000).len() as u64, slow.lag());
}

/// The first record that was appended at a time or later.
pub fn replay_starts_at_a_time(fixture: &dyn Fixture) {
    let clock = Arc::new(AtomicI64::new(0));
    let log = open_at(fixture, &clock);
    for at in 1..=200 {
        clock.store(at as i64 * 1000, Ordering::Relaxed);
        log.wait_durable(log.append(&long_record(at)).unwrap()).unwrap();
    }
    for at in [1, 2, 3, 57, 58, 199, 200] {
        assert_eq!(log.position_at_time(at as i64 * 1000).unwrap(), at, "exactly at its time");
        assert_eq!(log.position_at_time(at as i64 * 1000 - 999).unwrap(), at, "just after the one before");
    }
    assert_eq!(log.position_at_time(200_001).unwrap(), 201, "nothing so late");
    assert_eq!(log.position_at_time(i64::MIN).unwrap(), 1);
}

/// A clock that is set back does not disorder the log, also not over a restart.
pub fn append_times_never_go_back(fixture: &dyn Fixture) {
    let clock = Arc::new(AtomicI64::new(5000));
    let log = open_at(fixture, &clock);
    log.wait_durable(log.append(b"later").unwrap()).unwrap();
    clock.store(4000, Ordering::Relaxed);
    let log = if fixture.survives_reopening() {
        log.close();
        open_at(fixture, &clock)
    } else {
        log
    };
    log.wait_durable(log.append(b"earlier").unwrap()).unwrap();
    assert!(read_all(&log).iter().all(|batch| batch.appended_at_ms() == 5000));
}

/// By bytes and by age; the newest always stays; who comes too late is told where to continue.
pub fn retention_removes_the_oldest_and_says_so(fixture: &dyn Fixture) {
    let clock = Arc::new(AtomicI64::new(0));
    let log = open_at(fixture, &clock);
    for at in 1..=200 {
        clock.store(at as i64, Ordering::Relaxed);
        log.wait_durable(log.append(&long_record(at)).unwrap()).unwrap();
    }
    assert_eq!(log.retain(&Retention::default()).unwrap(), 1, "without limits all stays");
    let oldest = log.retain(&Retention { max_bytes: Some(200_000), max_age_ms: None }).unwrap();
    assert!(oldest > 1 && oldest < 200);
    let young = log.retain(&Retention { max_bytes: None, max_age_ms: Some(20) }).unwrap();
    assert!(young > oldest && young <= 180, "all that is young enough stays: {young}");
    let last = log.retain(&Retention { max_bytes: Some(0), max_age_ms: Some(0) }).unwrap();
    assert!(last >= young && last <= 200);
    assert_eq!(log.oldest(), last);
    let mut late = log.follow("late", 0);
    assert!(matches!(late.next(PATIENCE), Err(ReadError::Trimmed { oldest }) if oldest == last));
    late.skip_to(last);
    assert_eq!(next(&mut late).base(), last);
}

/// Each appender's records are there, in its order, at the positions it was told.
pub fn concurrent_appenders_lose_nothing(fixture: &dyn Fixture) {
    const APPENDERS: usize = 4;
    let log = open(fixture);
    let appended: Vec<Vec<(Position, Vec<u8>)>> = std::thread::scope(|scope| {
        let appender = |name: usize| {
            let log = &log;
            move || -> Vec<_> {
                let append = |at: usize| {
                    let record = format!("{name}/{at}").into_bytes();
                    let position = log.append_with(|buffer| buffer.extend_from_slice(&record)).unwrap();
                    if at % 10 == name {
                        log.wait_durable(position).unwrap();
                    }
                    (position, record)
                };
                (0..500).map(append).collect()
            }
        };
        let threads: Vec<_> = (0..APPENDERS).map(|name| scope.spawn(appender(name))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(appended.iter().all(|records| records.is_sorted_by_key(|(position, _)| *position)));
    let mut expected: Vec<_> = appended.into_iter().flatten().collect();
    expected.sort();
    assert_eq!(follow_to(&log, 1, expected.len() as u64), expected);
}

/// Memory is bounded while the disk is slow, and nothing that was taken is lost.
pub fn too_much_pending_is_refused(fixture: &dyn Fixture) {
    let log = open_with(fixture, |settings| settings.max_pending_bytes = 10_000);
    let held = fixture.faults().hold_syncs();
    let refused = (1..).find_map(|at| log.append(&record(at)).err()).unwrap();
    assert!(matches!(refused, AppendError::Overloaded { pending_bytes } if pending_bytes >= 10_000));
    assert!(log.stats().pending_bytes < 10_100);
    drop(held);
    let last = log.next_position() - 1;
    log.wait_durable(last).unwrap();
    assert_eq!(follow_to(&log, 1, last), (1..=last).map(|at| (at, record(at))).collect::<Vec<_>>());
}

/// The limit is exact, and a refused record takes no position.
pub fn a_too_long_record_leaves_nothing(fixture: &dyn Fixture) {
    let log = open_with(fixture, |settings| settings.max_record_bytes = 50);
    let refused = AppendError::TooLarge { bytes: 51, max_bytes: 50 };
    assert_eq!(log.append(&[1; 51]), Err(refused.clone()));
    assert_eq!(log.append_with(|buffer| buffer.resize(buffer.len() + 51, 1)), Err(refused));
    assert_eq!(log.append(&[1; 50]), Ok(1));
    assert_eq!(log.append(&[]), Ok(2));
    log.wait_durable(2).unwrap();
    assert_eq!(follow_to(&log, 1, 2), vec![(1, vec![1; 50]), (2, vec![])]);
}

/// A caller that panics half way does not spoil the others' records.
pub fn a_panic_while_encoding_leaves_nothing(fixture: &dyn Fixture) {
    let log = open(fixture);
    let panicking = || {
        log.append_with(|buffer| {
            buffer.extend_from_slice(b"half a rec");
            std::panic::resume_unwind(Box::new("expected"));
        })
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).unwrap_err();
    assert_eq!(log.append(b"whole"), Ok(1));
    log.wait_durable(1).unwrap();
    assert_eq!(follow_to(&log, 1, 1), vec![(1, b"whole".to_vec())]);
}

/// After a failed sync nothing is acknowledged any more; what was durable can still be read.
pub fn a_failed_sync_poisons(fixture: &dyn Fixture) {
    poisons(fixture, Faults::fail_next_sync);
}

/// The same after a failed write.
pub fn a_failed_write_poisons(fixture: &dyn Fixture) {
    poisons(fixture, Faults::fail_next_write);
}

fn poisons(fixture: &dyn Fixture, fail: impl Fn(&Faults)) {
    let log = open(fixture);
    commit_each(&log, 1..=10);
    fail(fixture.faults());
    let position = log.append(&record(11)).unwrap();
    assert!(matches!(log.wait_durable(position), Err(CommitError::Poisoned(_))));
    assert!(matches!(log.wait_durable(position + 1), Err(CommitError::Poisoned(_))), "later waits, too");
    assert!(matches!(log.append(b"no"), Err(AppendError::Poisoned(_))));
    assert_eq!((log.durable_position(), log.stats().poisoned), (10, true));
    assert_eq!(log.wait_durable(10), Ok(()));
    assert_eq!(follow_to(&log, 1, 10).len(), 10);
    assert_eq!(records(&read_all(&log)).len(), 10);
    if fixture.survives_reopening() {
        log.close();
        let log = open(fixture);
        let next = log.next_position();
        assert!(next == 11 || next == 12, "the record in question is there or not");
        commit_each(&log, next..=20);
        assert_eq!(follow_to(&log, 1, 20), (1..=20).map(|at| (at, record(at))).collect::<Vec<_>>());
    }
}

/// No space: refused at once, reads go on, and the log resumes by itself without losing what was buffered.
pub fn a_full_disk_is_said_at_once_and_resumes(fixture: &dyn Fixture) {
    let log = open_with(fixture, |settings| settings.full_retry_ms = 5);
    let last = fill(&log, fixture.faults());
    assert!(matches!(log.append(b"no"), Err(AppendError::Full(_))));
    assert!(matches!(log.wait_durable(last), Err(CommitError::Full(_))), "who asks later is told as well");
    assert!(log.stats().full);
    assert_eq!(records(&read_all(&log)).len() as u64, last - 1);
    fixture.faults().set_disk_full(false);
    let position = loop {
        match log.append(&long_record(last + 1)) {
            Err(AppendError::Full(_)) => std::thread::yield_now(),
            appended => break appended.unwrap(),
        }
    };
    assert_eq!(position, last + 1);
    log.wait_durable(position).unwrap();
    assert!(!log.stats().full);
    assert_eq!(follow_to(&log, 1, position), (1..=position).map(|at| (at, long_record(at))).collect::<Vec<_>>());
}

/// A clean end loses nothing; afterwards the log says that it is closed.
pub fn closing_commits_what_is_pending(fixture: &dyn Fixture) {
    let log = open(fixture);
    let mut follower = log.follow("last", 1);
    append_each(&log, 1..=100);
    let last = 100;
    log.close();
    assert_eq!(log.wait_durable(last), Ok(()));
    assert_eq!(log.wait_durable(last + 1), Err(CommitError::Closed));
    assert_eq!(log.append(b"no"), Err(AppendError::Closed));
    while follower.position() < last {
        next(&mut follower);
    }
    assert!(matches!(follower.next(PATIENCE), Err(ReadError::Closed)));
}

/// Closing does not wait for space.
pub fn closing_while_full_tells_who_waits(fixture: &dyn Fixture) {
    let log = open_with(fixture, |settings| settings.full_retry_ms = 60_000);
    let last = fill(&log, fixture.faults());
    log.close();
    assert_eq!(log.wait_durable(last), Err(CommitError::Closed));
}

/// Records, positions and order outlive the process, and appending continues after them.
pub fn what_was_durable_is_there_after_reopening(fixture: &dyn Fixture) {
    if !fixture.survives_reopening() {
        return;
    }
    for round in 0..5 {
        let log = open(fixture);
        assert_eq!((log.next_position(), log.durable_position()), (round * 50 + 1, round * 50));
        for at in 1..=50 {
            log.append(&long_record(round * 50 + at)).unwrap();
        }
    }
    let log = open(fixture);
    assert_eq!(follow_to(&log, 1, 250), (1..=250).map(|at| (at, long_record(at))).collect::<Vec<_>>());
}

fn open(fixture: &dyn Fixture) -> Log {
    open_with(fixture, |_| {})
}

fn open_with(fixture: &dyn Fixture, change: impl FnOnce(&mut Settings)) -> Log {
    let mut settings = Settings { name: "contract".into(), ..Settings::default() };
    change(&mut settings);
    Log::open(fixture.open(), settings)
}

fn open_at(fixture: &dyn Fixture, clock: &Arc<AtomicI64>) -> Log {
    let clock = clock.clone();
    open_with(fixture, |settings| {
        settings.clock = Arc::new(move || clock.load(Ordering::Relaxed));
        settings.ring_bytes = 1;
    })
}

/// Appends until there is no space. Returns the position that did not become durable.
fn fill(log: &Log, faults: &Faults) -> Position {
    faults.set_disk_full(true);
    loop {
        let position = log.append(&long_record(log.next_position())).unwrap();
        match log.wait_durable(position) {
            Ok(()) => {}
            Err(CommitError::Full(_)) => return position,
            Err(error) => panic!("{error}"),
        }
    }
}

fn record(at: u64) -> Vec<u8> {
    format!("record {at}").into_bytes()
}

/// Some 2 KiB, so that a few of them fill a unit of retention.
fn long_record(at: u64) -> Vec<u8> {
    format!("{at} ").repeat(2000 / (at.to_string().len() + 1)).into_bytes()
}

fn append_each(log: &Log, positions: std::ops::RangeInclusive<u64>) {
    for at in positions {
        assert_eq!(log.append(&record(at)), Ok(at));
    }
}

fn commit_each(log: &Log, positions: std::ops::RangeInclusive<u64>) {
    for at in positions {
        let position = log.append(&record(at)).unwrap();
        log.wait_durable(position).unwrap();
    }
}

fn next(follower: &mut Follower) -> Arc<Batch> {
    follower.next(PATIENCE).unwrap().expect("there is more")
}

fn follow_to(log: &Log, from: Position, last: Position) -> Vec<(Position, Vec<u8>)> {
    let mut follower = log.follow("checking", from);
    let mut batches = Vec::new();
    while follower.position() < last {
        batches.push(next(&mut follower));
    }
    records(&batches)
}

/// Everything durable, past the ring.
fn read_all(log: &Log) -> Vec<Arc<Batch>> {
    let mut all: Vec<Arc<Batch>> = Vec::new();
    loop {
        let more = log.read(all.last().map_or(1, |last| last.last() + 1), 10_000).unwrap();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

fn records(batches: &[Arc<Batch>]) -> Vec<(Position, Vec<u8>)> {
    batches.iter().flat_map(|batch| batch.records()).map(|(at, record)| (at, record.to_vec())).collect()
}
