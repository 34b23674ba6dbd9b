//! Answers to requests that carried an `Idempotency-Key`, so that a request sent again makes nothing twice. Kept in
//! memory, within bounds: a restart forgets them, and the oldest make room.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use drover_answer::{Problem, ProblemKind};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Name of the header, as HTTP libraries write it.
pub(super) const HEADER: &str = "idempotency-key";
/// How long an answer is given again.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// Answers in memory.
const ANSWERS_MAX: usize = 10_000;
/// Bytes of answers in memory.
const ANSWERS_MAX_BYTES: usize = 64 << 20;
/// Longest key.
const KEY_MAX_BYTES: usize = 200;

/// Whose key, for which resource: `user/u-1`, `vehicles`, `3f0c…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Who sent it. One caller's keys tell another nothing.
    pub subject: String,
    /// What it makes.
    pub resource: &'static str,
    /// The header's value.
    pub key: String,
}

/// A successful answer, whole.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// 201.
    pub status: StatusCode,
    /// Location and ETag among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

/// The key that came with a request.
pub(super) fn key_in(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get(HEADER) else { return Ok(None) };
    let key = key.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > KEY_MAX_BYTES {
        let message = format!("Idempotency-Key has 1 to {KEY_MAX_BYTES} visible ASCII characters");
        return Err(Problem::invalid("Idempotency-Key", message));
    }
    Ok(Some(key.to_owned()))
}

/// The answers kept.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    by_key: HashMap<Key, Entry>,
    /// Oldest first.
    order: VecDeque<(Key, u64)>,
    bytes: usize,
    next: u64,
    hasher: RandomState,
}

struct Entry {
    number: u64,
    since: Instant,
    body_hash: u64,
    /// None while the first request is worked on.
    answer: Option<Answer>,
}

/// What a key means at this moment.
pub(super) enum Claim {
    /// Nobody used it: do the work, then settle.
    First(Ticket),
    /// It was answered so.
    Again(Answer),
}

/// The right to answer for a key. Dropped unsettled, the key is free again.
pub(super) struct Ticket {
    kept: Kept,
    key: Key,
    number: u64,
    settled: bool,
}

impl Kept {
    /// Takes the key for a request with this body, or says what became of the first one.
    pub(super) fn claim(&self, key: Key, body: &[u8], now: Instant) -> Result<Claim, Problem> {
        let mut answers = self.0.lock();
        answers.forget(now);
        let body_hash = answers.hasher.hash_one(body);
        if let Some(entry) = answers.by_key.get(&key) {
            return match &entry.answer {
                _ if entry.body_hash != body_hash => Err(reused()),
                None => Err(running()),
                Some(answer) => Ok(Claim::Again(answer.clone())),
            };
        }
        let number = answers.next;
        answers.next += 1;
        answers.by_key.insert(key.clone(), Entry { number, since: now, body_hash, answer: None });
        answers.order.push_back((key.clone(), number));
        Ok(Claim::First(Ticket { kept: self.clone(), key, number, settled: false }))
    }
}

impl Answers {
    /// Drops what is too old or too much.
    fn forget(&mut self, now: Instant) {
        while let Some((key, number)) = self.order.front() {
            let entry = self.by_key.get(key).filter(|entry| entry.number == *number);
            let crowded = self.by_key.len() >= ANSWERS_MAX || self.bytes > ANSWERS_MAX_BYTES;
            if entry.is_some_and(|entry| !crowded && now.duration_since(entry.since) < KEPT_FOR) {
                return;
            }
            let gone = entry.and_then(|entry| entry.answer.as_ref()).map_or(0, |answer| answer.body.len());
            self.bytes -= gone;
            self.by_key.remove(key);
            self.order.pop_front();
        }
    }
}

impl Ticket {
    /// Keeps the answer for those who ask again.
    pub(super) fn settle(mut self, answer: &Answer) {
        self.settled = true;
        let mut answers = self.kept.0.lock();
        let Some(entry) = answers.by_key.get_mut(&self.key).filter(|entry| entry.number == self.number) else { return };
        let mut kept = answer.clone();
        kept.headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        kept.headers.remove(header::DATE);
        entry.answer = Some(kept);
        answers.bytes += answer.body.len();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut answers = self.kept.0.lock();
        if answers.by_key.get(&self.key).is_some_and(|entry| entry.number == self.number) {
            answers.by_key.remove(&self.key);
            // It is among the newest, as a rule the last.
            if let Some(place) = answers.order.iter().rposition(|(_, number)| *number == self.number) {
                answers.order.remove(place);
            }
        }
    }
}

fn reused() -> Problem {
    let message = "this Idempotency-Key came with another body before";
    let help = "give each new request a key of its own; a repetition sends the same bytes";
    Problem {
        field: Some("Idempotency-Key".into()),
        ..Problem::new(ProblemKind::Invalid, "idempotency_key_reused", message, help)
    }
}

fn running() -> Problem {
    let message = "a request with this Idempotency-Key is being worked on";
    Problem::new(ProblemKind::Conflict, "idempotency_key_in_use", message, "wait a second and send it again")
        .retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> Key {
        Key { subject: "user/u-1".into(), resource: "vehicles", key: key.into() }
    }

    fn answer() -> Answer {
        Answer { status: StatusCode::CREATED, headers: HeaderMap::new(), body: Bytes::from_static(b"{}") }
    }

    fn first(kept: &Kept, name: &str, now: Instant) -> Ticket {
        match kept.claim(key(name), b"a", now) {
            Ok(Claim::First(ticket)) => ticket,
            _ => panic!("{name} is taken"),
        }
    }

    #[test]
    fn a_key_is_answered_again_for_a_day_and_then_free() {
        let (kept, now) = (Kept::default(), Instant::now());
        first(&kept, "k", now).settle(&answer());
        let later = now + KEPT_FOR - Duration::from_secs(1);
        assert!(matches!(kept.claim(key("k"), b"a", later), Ok(Claim::Again(_))));
        assert!(matches!(kept.claim(key("k"), b"b", later), Err(problem) if problem.code == "idempotency_key_reused"));
        first(&kept, "k", now + KEPT_FOR);
    }

    #[test]
    fn a_request_that_failed_or_was_given_up_leaves_its_key_free() {
        let (kept, now) = (Kept::default(), Instant::now());
        let ticket = first(&kept, "k", now);
        assert!(matches!(kept.claim(key("k"), b"a", now), Err(problem) if problem.code == "idempotency_key_in_use"));
        drop(ticket);
        first(&kept, "k", now);
    }

    #[test]
    fn the_oldest_answers_make_room() {
        let (kept, now) = (Kept::default(), Instant::now());
        for n in 0..=ANSWERS_MAX {
            first(&kept, &n.to_string(), now).settle(&answer());
        }
        assert_eq!(kept.0.lock().by_key.len(), ANSWERS_MAX);
        first(&kept, "0", now);
        assert!(matches!(kept.claim(key("10000"), b"a", now), Ok(Claim::Again(_))));
        let answers = kept.0.lock();
        let bytes: usize =
            answers.by_key.values().filter_map(|entry| entry.answer.as_ref()).map(|a| a.body.len()).sum();
        assert_eq!(answers.bytes, bytes);
        assert_eq!(answers.order.len(), answers.by_key.len());
    }
}
