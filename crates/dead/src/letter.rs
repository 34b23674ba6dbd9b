//! What a dead letter is, and the bounds of its parts. Where letters are kept and how they are retried is not known here.

use crate::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use utoipa::ToSchema;

/// Numbers of letters, from 1; none is given twice.
pub type LetterId = u64;

const SOURCE_MAX_BYTES: usize = 40;
/// A longer key is refused: cut, it could be another letter's.
pub(crate) const KEY_MAX_BYTES: usize = 200;
/// A longer text is cut.
const STAGE_MAX_BYTES: usize = 100;
const ERROR_MAX_BYTES: usize = 2 << 10;
/// Entries of a context that find no room are only counted, under this name.
const CONTEXT_MAX_BYTES: usize = 4 << 10;
const LEFT_OUT: &str = "left_out";

/// Which part of Drover a letter comes from, as `import`; a word of small letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Source(Cow<'static, str>);

/// What cannot be a source's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no source; a name has up to {SOURCE_MAX_BYTES} small letters, digits, - and _")]
pub struct WrongSource(String);

impl Source {
    /// A name that is known when Drover is built. In a `const`, a wrong one does not compile.
    ///
    /// # Panics
    /// On a wrong name.
    pub const fn new(name: &'static str) -> Source {
        assert!(is_name(name), "a source's name has up to 40 small letters, digits, - and _");
        Source(Cow::Borrowed(name))
    }

    /// A name that somebody says.
    pub fn parse(name: &str) -> Result<Source, WrongSource> {
        match is_name(name) {
            true => Ok(Source(Cow::Owned(name.to_owned()))),
            false => Err(WrongSource(name.chars().take(SOURCE_MAX_BYTES).collect())),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') {
            return false;
        }
        at += 1;
    }
    at > 0 && at <= SOURCE_MAX_BYTES
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Source {
    type Error = WrongSource;

    fn try_from(name: String) -> Result<Source, WrongSource> {
        Source::parse(&name)
    }
}

impl From<Source> for String {
    fn from(source: Source) -> String {
        source.0.into_owned()
    }
}

/// Whether something is being done about a letter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DeadLetterState)]
pub enum LetterState {
    /// It waits for somebody to retry or drop it.
    #[default]
    Waiting,
    /// It is being retried at this moment.
    Retrying,
}

/// Work whose processing failed for good. Times are ms UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetter, example = json!({
    "id": 17, "source": "import", "key": "job 12", "stage": "read file",
    "error": "the file cannot be read, after 4 tries: Input/output error (os error 5)",
    "context": {"job": 12, "file": "day.csv", "rows": 48113}, "attempts": 4,
    "first_failed_ms": 1_763_741_000_000_i64, "last_failed_ms": 1_763_741_000_000_i64,
    "original_bytes": 612, "original_kept": true, "state": "waiting"
}))]
pub struct Letter {
    /// Its number.
    pub id: LetterId,
    /// Which part of Drover it comes from.
    #[schema(value_type = String)]
    pub source: Source,
    /// What it stands for within the source. The same failure met twice is one letter, by its key.
    pub key: String,
    /// What was being done.
    pub stage: String,
    /// Why it failed, the last time.
    pub error: String,
    /// File, row, asset, position: whatever helps to understand the failure.
    #[schema(value_type = Object)]
    pub context: BTreeMap<String, Value>,
    /// Tries so far, retries included.
    pub attempts: u32,
    /// When it failed for good the first time.
    pub first_failed_ms: i64,
    /// When it failed the last time.
    pub last_failed_ms: i64,
    /// Size of what was being processed.
    pub original_bytes: u64,
    /// Whether that is kept with the letter; what was too large, or came when there was no room, is not.
    pub original_kept: bool,
    /// Whether it is being retried.
    #[serde(default)]
    pub state: LetterState,
}

/// A failure as its source tells it.
#[derive(Debug, Clone)]
pub struct NewLetter<'a> {
    /// Who tells it.
    pub source: Source,
    /// What it stands for within the source, up to 200 bytes: the same key again is the same letter.
    pub key: String,
    /// What was being done; cut behind 100 bytes.
    pub stage: String,
    /// Why it failed; cut behind 2 KiB.
    pub error: String,
    /// Whatever helps to understand it; up to 4 KiB as JSON, further entries are only counted.
    pub context: BTreeMap<String, Value>,
    /// Tries that this failure took, at least one.
    pub attempts: u32,
    /// What was being processed, as it came.
    pub original: &'a [u8],
}

impl NewLetter<'_> {
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.key.len() {
            1..=KEY_MAX_BYTES => Ok(()),
            bytes => Err(Error::Key { bytes }),
        }
    }

    /// The letter of this number; `before` is what was known of it until now.
    pub(crate) fn into_letter(self, id: LetterId, before: Option<&Letter>, now_ms: i64, kept: bool) -> Letter {
        let (attempts, first_failed_ms) =
            before.map_or((0, now_ms), |letter| (letter.attempts, letter.first_failed_ms));
        Letter {
            id,
            source: self.source,
            key: self.key,
            stage: cut(self.stage, STAGE_MAX_BYTES),
            error: cut(self.error, ERROR_MAX_BYTES),
            context: bounded(self.context),
            attempts: attempts.saturating_add(self.attempts.max(1)),
            first_failed_ms,
            last_failed_ms: now_ms.max(first_failed_ms),
            original_bytes: self.original.len() as u64,
            original_kept: kept,
            state: LetterState::Waiting,
        }
    }
}

impl Letter {
    /// Bytes of its original in the store.
    pub(crate) fn kept_bytes(&self) -> u64 {
        if self.original_kept { self.original_bytes } else { 0 }
    }

    /// As it is after one more try that failed.
    pub(crate) fn failed_again(self, error: String, now_ms: i64) -> Letter {
        Letter {
            error: cut(error, ERROR_MAX_BYTES),
            attempts: self.attempts.saturating_add(1),
            last_failed_ms: now_ms.max(self.last_failed_ms),
            ..self
        }
    }
}

/// Which letters are meant. The default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this source.
    pub source: Option<Source>,
    /// Only those behind this number.
    pub after: Option<LetterId>,
    /// Only those before this number.
    pub before: Option<LetterId>,
}

impl Filter {
    /// All letters of one source.
    pub fn of(source: Source) -> Filter {
        Filter { source: Some(source), ..Filter::default() }
    }
}

fn cut(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// Entries in their order while there is room, and how many had none.
fn bounded(context: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut room = CONTEXT_MAX_BYTES;
    let (mut kept, left_out): (BTreeMap<_, _>, BTreeMap<_, _>) = context.into_iter().partition(|(name, value)| {
        let bytes = name.len() + value.to_string().len();
        let fits = bytes <= room;
        room -= if fits { bytes } else { 0 };
        fits
    });
    if !left_out.is_empty() {
        kept.insert(LEFT_OUT.into(), left_out.len().into());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("abc".into(), 3), "abc");
        assert_eq!(cut("abcdef".into(), 5), "ab…");
        assert_eq!(cut("aéééé".into(), 5), "a…");
    }

    #[test]
    fn a_context_keeps_what_has_room_and_counts_the_rest() {
        let entry = |name: &str, bytes: usize| (name.to_owned(), Value::from("x".repeat(bytes)));
        let context = bounded([entry("a", 100), entry("b", 5000), entry("c", 100)].into());
        let names: Vec<&str> = context.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "c", LEFT_OUT]);
        assert_eq!(context[LEFT_OUT], 1);
    }

    #[test]
    fn names_of_sources_are_words() {
        let long = "x".repeat(SOURCE_MAX_BYTES + 1);
        for wrong in ["", "Import", "im port", "imp\u{f6}rt", "a/b", &long] {
            assert!(Source::parse(wrong).is_err(), "{wrong}");
        }
        for right in ["import", "history", "a-b_2", &long[1..]] {
            assert_eq!(Source::parse(right).unwrap().name(), right);
        }
    }
}
