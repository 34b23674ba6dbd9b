//! The store and its index as one: whatever changes letters changes both, or neither. Without locks; who may touch it
//! when is decided above.

use crate::index::{Entry, Index};
use crate::letter::{Filter, Letter, LetterId, NewLetter};
use crate::store::{Change, Original, Store};
use crate::{Error, ORIGINAL_MAX_BYTES, Settings};
use std::path::Path;

/// Letters on the disk and what is known of them in memory.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// None after it failed and could not be opened anew. What is known of the letters stays.
    store: Option<Store>,
    index: Index,
    next: LetterId,
}

/// What came of a failure that was told.
pub(crate) struct Put {
    pub(crate) letter: Letter,
    pub(crate) is_new: bool,
    /// Letters that had to leave for it.
    pub(crate) left: Vec<(LetterId, Entry)>,
}

impl Shelf {
    pub(crate) fn open(folder: &Path) -> Result<Shelf, Error> {
        let store = Store::open(folder)?;
        let mut index = Index::default();
        store.each(|letter| index.set(&letter))?;
        let next = store.next()?;
        Ok(Shelf { store: Some(store), index, next })
    }

    /// Whether it is of no use until it is opened anew.
    pub(crate) fn has_failed(&self) -> bool {
        self.store.as_ref().is_none_or(Store::has_failed)
    }

    /// On `Err` it can be tried again.
    pub(crate) fn open_anew(&mut self, folder: &Path) -> Result<(), Error> {
        self.store = None; // its file is locked until then
        *self = Shelf::open(folder)?;
        Ok(())
    }

    fn store(&self) -> Result<&Store, Error> {
        self.store.as_ref().ok_or(Error::Database(redb::Error::PreviousIo))
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Keeps a failure. On `Ok` it is durable. On `Err` the shelf is as before, or the store has failed.
    pub(crate) fn put(&mut self, new: NewLetter<'_>, now_ms: i64, bounds: &Settings) -> Result<Put, Error> {
        new.check()?;
        let known = self.index.find(&new.source, &new.key);
        let before = known.map(|id| self.store()?.letter(id)).transpose()?.flatten();
        let id = known.unwrap_or(self.next);
        let gone = self.index.beyond(bounds.max_letters.max(1) - 1, known);
        let original = self.place_for(new.original, known, &gone, bounds.max_bytes);
        let letter = new.into_letter(id, before.as_ref(), now_ms, matches!(original, Original::Kept(_)));
        self.store()?.commit(&Change { letter: Some(&letter), original: Some(original), gone: &gone })?;
        self.next = self.next.max(id + 1);
        self.index.set(&letter);
        Ok(Put { letter, is_new: known.is_none(), left: self.forget(&gone) })
    }

    /// An original is kept if there is room for it, or if it takes no more than the one that it replaces.
    fn place_for<'a>(&self, bytes: &'a [u8], known: Option<LetterId>, gone: &[LetterId], most: u64) -> Original<'a> {
        let held = |id: &LetterId| self.index.get(*id).map_or(0, |entry| entry.kept_bytes);
        let (size, replaced) = (bytes.len() as u64, known.as_ref().map_or(0, held));
        let others = self.index.kept_bytes() - replaced - gone.iter().map(held).sum::<u64>();
        let fits = size <= ORIGINAL_MAX_BYTES && (others + size <= most || size <= replaced);
        if fits { Original::Kept(bytes) } else { Original::Cut }
    }

    /// Keeps a letter as it is now; its original stays.
    pub(crate) fn update(&mut self, letter: &Letter) -> Result<(), Error> {
        self.store()?.commit(&Change { letter: Some(letter), ..Change::default() })?;
        self.index.set(letter);
        Ok(())
    }

    /// Takes letters away; gives those that were there.
    pub(crate) fn remove(&mut self, ids: &[LetterId]) -> Result<Vec<(LetterId, Entry)>, Error> {
        if !ids.iter().any(|id| self.index.get(*id).is_some()) {
            return Ok(Vec::new());
        }
        self.store()?.commit(&Change { gone: ids, ..Change::default() })?;
        Ok(self.forget(ids))
    }

    fn forget(&mut self, ids: &[LetterId]) -> Vec<(LetterId, Entry)> {
        ids.iter().filter_map(|id| Some((*id, self.index.remove(*id)?))).collect()
    }

    pub(crate) fn get(&self, id: LetterId) -> Result<Option<Letter>, Error> {
        match self.index.get(id) {
            Some(_) => self.store()?.letter(id),
            None => Ok(None),
        }
    }

    pub(crate) fn original(&self, id: LetterId) -> Result<Option<Vec<u8>>, Error> {
        self.store()?.original(id)
    }

    /// Newest first.
    pub(crate) fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Letter>, Error> {
        let ids: Vec<LetterId> = self.index.ids(filter).rev().take(limit).collect();
        self.store()?.letters(&ids)
    }
}
