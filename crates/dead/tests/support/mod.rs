//! What the tests of this crate share. Not every test uses all of it.
#![allow(dead_code)]

use drover_dead::{Dead, Filter, Letter, LetterId, NewLetter, Retry, Settings, Source};
use std::path::Path;
use std::sync::Arc;

pub const IMPORT: Source = Source::new("import");
pub const HISTORY: Source = Source::new("history");

/// Some moment, ms UTC.
pub const NOON: i64 = 1_763_726_400_000;
pub const DAY: i64 = 86_400_000;

pub fn open(folder: &Path) -> Dead {
    Dead::open(folder, Settings::default()).unwrap()
}

/// A failure of this source and key; the original says whose it is.
pub fn failure<'a>(source: &Source, key: &str, original: &'a [u8]) -> NewLetter<'a> {
    NewLetter {
        source: source.clone(),
        key: key.to_owned(),
        stage: "read file".into(),
        error: format!("{key} cannot be read"),
        context: [("file".to_owned(), "day.csv".into()), ("row".to_owned(), 17.into())].into(),
        attempts: 4,
        original,
    }
}

pub fn put(dead: &Dead, source: &Source, key: &str) -> LetterId {
    dead.put(failure(source, key, format!("original of {key}").as_bytes())).unwrap()
}

pub fn put_at(dead: &Dead, key: &str, at_ms: i64) -> LetterId {
    dead.put_at(failure(&IMPORT, key, key.as_bytes()), at_ms).unwrap()
}

pub fn letter(dead: &Dead, id: LetterId) -> Letter {
    dead.get(id).unwrap().expect("the letter is there")
}

/// Keys of all letters, newest first.
pub fn keys(dead: &Dead) -> Vec<String> {
    dead.list(&Filter::default(), usize::MAX).unwrap().into_iter().map(|letter| letter.key).collect()
}

/// A way to retry, as a function.
pub struct By<F>(pub F);

impl<F: Fn(&Letter, Option<&[u8]>) -> Result<String, String> + Send + Sync> Retry for By<F> {
    fn retry(&self, letter: &Letter, original: Option<&[u8]>) -> Result<String, String> {
        self.0(letter, original)
    }
}

pub fn retried_by(
    dead: &Dead,
    source: &Source,
    way: impl Fn(&Letter, Option<&[u8]>) -> Result<String, String> + Send + Sync + 'static,
) {
    dead.register(source.clone(), Arc::new(By(way)));
}
