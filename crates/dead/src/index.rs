//! What is asked of the letters as a whole, in memory: keys, ages, sizes. It is a function of the store's letters and
//! made anew whenever that is opened.

use crate::letter::{Filter, Letter, LetterId, Source};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: BTreeMap<LetterId, Entry>,
    by_key: HashMap<(Source, Box<str>), LetterId>,
    /// By the last failure: the order in which letters leave that are too old or too many.
    by_age: BTreeSet<(i64, LetterId)>,
    kept_bytes: u64,
}

/// What is known of a letter without reading it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) source: Source,
    pub(crate) key: Box<str>,
    pub(crate) first_failed_ms: i64,
    pub(crate) last_failed_ms: i64,
    pub(crate) kept_bytes: u64,
}

impl Index {
    /// Enters a letter as it is now.
    pub(crate) fn set(&mut self, letter: &Letter) {
        self.remove(letter.id);
        let entry = Entry {
            source: letter.source.clone(),
            key: letter.key.as_str().into(),
            first_failed_ms: letter.first_failed_ms,
            last_failed_ms: letter.last_failed_ms,
            kept_bytes: letter.kept_bytes(),
        };
        self.by_key.insert((entry.source.clone(), entry.key.clone()), letter.id);
        self.by_age.insert((entry.last_failed_ms, letter.id));
        self.kept_bytes += entry.kept_bytes;
        self.entries.insert(letter.id, entry);
    }

    /// Forgets a letter.
    pub(crate) fn remove(&mut self, id: LetterId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.by_key.remove(&(entry.source.clone(), entry.key.clone()));
        self.by_age.remove(&(entry.last_failed_ms, id));
        self.kept_bytes -= entry.kept_bytes;
        Some(entry)
    }

    pub(crate) fn find(&self, source: &Source, key: &str) -> Option<LetterId> {
        self.by_key.get(&(source.clone(), key.into())).copied()
    }

    pub(crate) fn get(&self, id: LetterId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all originals that are kept.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    /// Those of a filter, in the order of their numbers.
    pub(crate) fn ids(&self, filter: &Filter) -> impl DoubleEndedIterator<Item = LetterId> {
        let first = filter.after.map_or(0, |after| after.saturating_add(1));
        let end = filter.before.unwrap_or(LetterId::MAX).max(first);
        let wanted = |entry: &Entry| filter.source.as_ref().is_none_or(|source| *source == entry.source);
        self.entries.range(first..end).filter(move |(_, entry)| wanted(entry)).map(|(id, _)| *id)
    }

    /// Those that failed last before this moment.
    pub(crate) fn older_than(&self, ms: i64) -> Vec<LetterId> {
        self.by_age.range(..(ms, 0)).map(|(_, id)| *id).collect()
    }

    /// The oldest that must leave so that `room` others can be, without `spared`.
    pub(crate) fn beyond(&self, room: usize, spared: Option<LetterId>) -> Vec<LetterId> {
        let others = self.len() - usize::from(spared.is_some());
        let oldest_first = self.by_age.iter().map(|(_, id)| *id).filter(|id| Some(*id) != spared);
        oldest_first.take(others.saturating_sub(room)).collect()
    }
}
