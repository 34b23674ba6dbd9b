//! Any sequence of calls, against a twin that is a plain list in memory.

mod support;

use drover_dead::{Dead, Filter, Letter, LetterId, Retried, Settings, Source};
use proptest::collection::vec;
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;
use support::{DAY, HISTORY, IMPORT, failure, retried_by};

const MAX_LETTERS: usize = 6;
const MAX_BYTES: u64 = 60;
const KEEP_MS: i64 = 1000;

#[derive(Debug, Clone)]
enum Call {
    Put {
        source: usize,
        key: u8,
        bytes: usize,
    },
    Drop(usize),
    DropAll(Option<usize>),
    Retry {
        letter: usize,
        succeeds: bool,
    },
    /// Letters with an even number of bytes succeed.
    RetryAll {
        source: Option<usize>,
        limit: usize,
    },
    Tidy,
    Wait(i64),
    Reopen,
}

fn call() -> impl Strategy<Value = Call> {
    let source = || proptest::option::of(0..2_usize);
    prop_oneof![
        8 => (0..2_usize, 0..6_u8, 0..30_usize).prop_map(|(source, key, bytes)| Call::Put { source, key, bytes }),
        2 => (0..8_usize).prop_map(Call::Drop),
        1 => source().prop_map(Call::DropAll),
        2 => (0..8_usize, any::<bool>()).prop_map(|(letter, succeeds)| Call::Retry { letter, succeeds }),
        1 => (source(), 1..6_usize).prop_map(|(source, limit)| Call::RetryAll { source, limit }),
        2 => Just(Call::Tidy),
        3 => (1..700_i64).prop_map(Call::Wait),
        1 => Just(Call::Reopen),
    ]
}

/// What a letter should be.
#[derive(Debug, Clone, PartialEq)]
struct Twin {
    id: LetterId,
    source: usize,
    key: String,
    error: String,
    attempts: u32,
    first_ms: i64,
    last_ms: i64,
    bytes: usize,
    kept: bool,
}

#[derive(Debug, Default)]
struct Twins {
    letters: Vec<Twin>,
    given: LetterId,
}

impl Twins {
    fn put(&mut self, source: usize, key: &str, bytes: usize, now: i64) {
        let known = self.letters.iter().position(|letter| (letter.source, letter.key.as_str()) == (source, key));
        let before = known.map(|at| self.letters.remove(at));
        self.letters.sort_by_key(|letter| (letter.last_ms, letter.id));
        while self.letters.len() >= MAX_LETTERS {
            self.letters.remove(0);
        }
        let held: usize = self.letters.iter().filter(|letter| letter.kept).map(|letter| letter.bytes).sum();
        let replaced = before.as_ref().filter(|letter| letter.kept).map_or(0, |letter| letter.bytes);
        self.given += u64::from(before.is_none());
        self.letters.push(Twin {
            id: before.as_ref().map_or(self.given, |letter| letter.id),
            source,
            key: key.to_owned(),
            error: format!("{key} cannot be read"),
            attempts: before.as_ref().map_or(0, |letter| letter.attempts) + 4,
            first_ms: before.as_ref().map_or(now, |letter| letter.first_ms),
            last_ms: now,
            bytes,
            kept: (held + bytes) as u64 <= MAX_BYTES || bytes <= replaced,
        });
        self.letters.sort_by_key(|letter| letter.id);
    }

    fn of(&self, source: Option<usize>) -> Vec<Twin> {
        self.letters.iter().filter(|letter| source.is_none_or(|source| source == letter.source)).cloned().collect()
    }

    fn remove(&mut self, id: LetterId) {
        self.letters.retain(|letter| letter.id != id);
    }

    fn retried(&mut self, id: LetterId, succeeds: bool) {
        if succeeds {
            return self.remove(id);
        }
        let letter = self.letters.iter_mut().find(|letter| letter.id == id).unwrap();
        letter.attempts += 1;
        letter.error = "no".into();
    }
}

fn source(which: usize) -> Source {
    [IMPORT, HISTORY][which].clone()
}

fn filter(which: Option<usize>) -> Filter {
    Filter { source: which.map(source), ..Filter::default() }
}

fn open(folder: &Path) -> Dead {
    let settings = Settings {
        keep: Duration::from_millis(KEEP_MS as u64),
        max_letters: MAX_LETTERS,
        max_bytes: MAX_BYTES,
        ..Settings::default()
    };
    let dead = Dead::open(folder, settings).unwrap();
    answer(&dead, |letter| letter.original_bytes % 2 == 0);
    dead
}

fn answer(dead: &Dead, succeeds: impl Fn(&Letter) -> bool + Clone + Send + Sync + 'static) {
    for which in [IMPORT, HISTORY] {
        let succeeds = succeeds.clone();
        retried_by(dead, &which, move |letter, _| if succeeds(letter) { Ok("yes".into()) } else { Err("no".into()) });
    }
}

fn twin(letter: &Letter) -> Twin {
    Twin {
        id: letter.id,
        source: usize::from(letter.source == HISTORY),
        key: letter.key.clone(),
        error: letter.error.clone(),
        attempts: letter.attempts,
        first_ms: letter.first_failed_ms,
        last_ms: letter.last_failed_ms,
        bytes: letter.original_bytes as usize,
        kept: letter.original_kept,
    }
}

fn check(dead: &Dead, twins: &Twins) {
    let mut letters = dead.list(&Filter::default(), 1000).unwrap();
    letters.reverse();
    assert_eq!(letters.iter().map(twin).collect::<Vec<_>>(), twins.letters);
    for letter in &letters {
        let original = letter.original_kept.then(|| vec![letter.key.as_bytes()[0]; letter.original_bytes as usize]);
        assert_eq!(dead.original(letter.id).unwrap(), original);
    }
    let status = dead.status();
    let kept: usize = twins.letters.iter().filter(|letter| letter.kept).map(|letter| letter.bytes).sum();
    assert_eq!((status.letters, status.bytes), (twins.letters.len() as u64, kept as u64));
    assert!(status.letters <= MAX_LETTERS as u64 && status.bytes <= MAX_BYTES);
    for of in status.by_source {
        let twins = twins.of(Some(usize::from(of.source == HISTORY)));
        assert_eq!(of.letters, twins.len() as u64);
        assert_eq!(Some(of.oldest_ms), twins.iter().map(|letter| letter.first_ms).min());
    }
}

fn play(calls: Vec<Call>) {
    let folder = tempfile::tempdir().unwrap();
    let mut dead = open(folder.path());
    let mut twins = Twins::default();
    // Ahead of the wall clock, so that a failed retry leaves the time of the last failure as it is.
    let mut now = drover_answer::now_ms() + DAY;
    for call in calls {
        match call {
            Call::Put { source: which, key, bytes } => {
                let key = format!("{key}");
                let original = vec![key.as_bytes()[0]; bytes];
                dead.put_at(failure(&source(which), &key, &original), now).unwrap();
                twins.put(which, &key, bytes, now);
            }
            Call::Drop(at) => {
                let id = twins.letters.get(at).map_or(twins.given + 1, |letter| letter.id);
                assert_eq!(dead.drop_letter(id).unwrap(), at < twins.letters.len());
                twins.remove(id);
            }
            Call::DropAll(which) => {
                let dropped = twins.of(which);
                assert_eq!(dead.drop_all(&filter(which)).unwrap(), dropped.len() as u64);
                dropped.iter().for_each(|letter| twins.remove(letter.id));
            }
            Call::Retry { letter, succeeds } => {
                answer(&dead, move |_| succeeds);
                let Some(letter) = twins.letters.get(letter).cloned() else { continue };
                let done = matches!(dead.retry(letter.id).unwrap(), Retried::Done { .. });
                assert_eq!(done, succeeds);
                twins.retried(letter.id, succeeds);
            }
            Call::RetryAll { source, limit } => {
                answer(&dead, |letter| letter.original_bytes % 2 == 0);
                let all = twins.of(source);
                let tried = &all[..limit.min(all.len())];
                let summary = dead.retry_all(&filter(source), limit).unwrap();
                let done = tried.iter().filter(|letter| letter.bytes % 2 == 0).count();
                assert_eq!((summary.tried, summary.done), (tried.len() as u64, done as u64));
                assert_eq!(summary.next, (all.len() > limit).then(|| tried[limit - 1].id));
                tried.iter().for_each(|letter| twins.retried(letter.id, letter.bytes % 2 == 0));
            }
            Call::Tidy => {
                let before = twins.letters.len();
                twins.letters.retain(|letter| letter.last_ms >= now - KEEP_MS);
                assert_eq!(dead.tidy(now).unwrap(), (before - twins.letters.len()) as u64);
            }
            Call::Wait(ms) => now += ms,
            Call::Reopen => {
                drop(dead);
                dead = open(folder.path());
            }
        }
        check(&dead, &twins);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_gives_what_a_plain_list_gives(calls in vec(call(), 1..40)) {
        play(calls);
    }
}
