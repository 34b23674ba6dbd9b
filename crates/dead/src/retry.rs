//! Doing again what a letter stands for, by whoever knows how: each source registers its own way.

use crate::letter::{Filter, Letter, LetterId, LetterState, Source};
use crate::{Dead, Error, meters, now_ms};
use serde::Serialize;
use std::any::Any;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use utoipa::ToSchema;

/// How the letters of one source are retried.
pub trait Retry: Send + Sync {
    /// Does the letter's work again. `original` is what was being processed, or none where it was not kept.
    ///
    /// On `Ok`, with what became of it, the work is done or is in other hands that will not lose it: the letter leaves.
    /// Idempotent: it may be called again for a letter whose first call's answer was lost, as by a crash.
    ///
    /// # Errors
    /// Why it failed again; the letter stays.
    fn retry(&self, letter: &Letter, original: Option<&[u8]>) -> Result<String, String>;
}

/// What came of one retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// It succeeded; the letter has left.
    Done {
        /// What became of it.
        what: String,
        /// Tries in all.
        attempts: u32,
    },
    /// It failed again; the letter says so.
    Failed {
        /// Why.
        error: String,
        /// Tries so far.
        attempts: u32,
    },
    /// Nobody here retries letters of this source. Nothing was tried.
    NoHandler(Source),
    /// It is being retried at this moment. Nothing was tried.
    Busy,
    /// There is no such letter.
    NotFound,
}

/// What came of retrying one letter after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"tried": 100, "done": 97, "failed": 3, "skipped": 0, "next": 412}))]
pub struct RetrySummary {
    /// Letters that were retried: `done + failed`.
    pub tried: u64,
    /// Those that have left.
    pub done: u64,
    /// Those that failed again.
    pub failed: u64,
    /// Letters that were passed over: they are being retried already, or nobody here retries their source.
    pub skipped: u64,
    /// There are more: give this as `after` to go on.
    pub next: Option<LetterId>,
}

impl RetrySummary {
    fn add(&mut self, retried: &Retried) {
        match retried {
            Retried::Done { .. } => self.done += 1,
            Retried::Failed { .. } => self.failed += 1,
            Retried::NoHandler(_) | Retried::Busy => self.skipped += 1,
            Retried::NotFound => {}
        }
        self.tried = self.done + self.failed;
    }
}

/// Who retries what, and what is being retried.
#[derive(Default)]
pub(crate) struct Desk {
    handlers: HashMap<Source, Arc<dyn Retry>>,
    under_way: HashSet<LetterId>,
    /// Sources that were ever seen.
    known: BTreeSet<Source>,
}

impl Desk {
    /// Letters with what is being done about them.
    pub(crate) fn marked(&self, mut letters: Vec<Letter>) -> Vec<Letter> {
        for letter in letters.iter_mut().filter(|letter| self.under_way.contains(&letter.id)) {
            letter.state = LetterState::Retrying;
        }
        letters
    }

    /// All sources that were ever seen, these among them.
    pub(crate) fn know(&mut self, sources: impl Iterator<Item = Source>) -> Vec<Source> {
        self.known.extend(sources);
        self.known.iter().cloned().collect()
    }
}

/// The right to retry a letter, for as long as it lives.
struct Turn<'d> {
    dead: &'d Dead,
    id: LetterId,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.dead.0.desk.lock().under_way.remove(&self.id);
    }
}

impl Dead {
    /// Says how letters of a source are retried; a second handler takes the place of the first.
    pub fn register(&self, source: Source, handler: Arc<dyn Retry>) {
        meters::begin(&source);
        let mut desk = self.0.desk.lock();
        desk.known.insert(source.clone());
        desk.handlers.insert(source, handler);
    }

    /// Forgets how letters are retried. A handler usually holds what holds these letters: until it is forgotten, neither
    /// ends, and the file stays open. For a node that stops.
    pub fn forget_handlers(&self) {
        // They end outside the lock: the last of them may be what holds something else up.
        let handlers = std::mem::take(&mut self.0.desk.lock().handlers);
        drop(handlers);
    }

    /// Retries a letter. On `Ok` what came of it is durable. On `Err` the letter is as it was or has left, whatever its
    /// handler did; to retry it again does no harm.
    pub fn retry(&self, id: LetterId) -> Result<Retried, Error> {
        let Some(_turn) = self.take_turn(id) else { return Ok(Retried::Busy) };
        let (letter, original) = {
            let shelf = self.0.read()?;
            let Some(letter) = shelf.get(id)? else { return Ok(Retried::NotFound) };
            let original = if letter.original_kept { shelf.original(id)? } else { None };
            (Letter { state: LetterState::Retrying, ..letter }, original)
        };
        let handler = self.0.desk.lock().handlers.get(&letter.source).cloned();
        let Some(handler) = handler else { return Ok(Retried::NoHandler(letter.source)) };
        let answer = attempt(&*handler, &letter, original.as_deref());
        self.settle(letter, answer)
    }

    /// Retries letters of a filter, oldest first, whatever becomes of those before: at most `limit` of them, and only
    /// for so long as the settings say. Letters that come meanwhile are not tried.
    pub fn retry_all(&self, filter: &Filter, limit: usize) -> Result<RetrySummary, Error> {
        let limit = limit.max(1);
        let mut ids: Vec<LetterId> = self.0.read()?.index().ids(filter).take(limit.saturating_add(1)).collect();
        let mut more = ids.len() > limit;
        ids.truncate(limit);
        let (began, mut last, mut summary) = (Instant::now(), None, RetrySummary::default());
        for id in ids {
            if last.is_some() && began.elapsed() >= self.0.settings.retry_time {
                more = true;
                break;
            }
            summary.add(&self.retry(id)?);
            last = Some(id);
        }
        summary.next = last.filter(|_| more);
        Ok(summary)
    }

    fn take_turn(&self, id: LetterId) -> Option<Turn<'_>> {
        // A turn that is not given must not be made either: it would end the other's.
        self.0.desk.lock().under_way.insert(id).then(|| Turn { dead: self, id })
    }

    fn settle(&self, tried: Letter, answer: Result<String, String>) -> Result<Retried, Error> {
        let Letter { id, source, key, attempts, .. } = tried;
        let mut shelf = self.0.write()?;
        let now = shelf.get(id)?;
        let retried = match answer {
            Ok(what) => {
                // A letter that was put anew meanwhile tells of a failure after the one that has just been mended.
                if now.is_some_and(|now| now.attempts == attempts) {
                    shelf.remove(&[id])?;
                }
                Retried::Done { what, attempts: attempts.saturating_add(1) }
            }
            Err(error) => {
                let failed = now.map(|now| now.failed_again(error.clone(), now_ms()));
                if let Some(letter) = &failed {
                    shelf.update(letter)?;
                }
                Retried::Failed { error, attempts: failed.map_or(attempts.saturating_add(1), |letter| letter.attempts) }
            }
        };
        drop(shelf);
        meters::count_retried(&source, matches!(retried, Retried::Done { .. }));
        tracing::info!(letter = id, %source, key, ?retried, "a dead letter was retried");
        Ok(retried)
    }
}

/// A fault in a handler is an answer like any other: it must not take the thread, or the turn, away.
fn attempt(handler: &dyn Retry, letter: &Letter, original: Option<&[u8]>) -> Result<String, String> {
    catch_unwind(AssertUnwindSafe(|| handler.retry(letter, original)))
        .unwrap_or_else(|panic| Err(format!("a fault in Drover: {}", said(&*panic))))
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}
