//! Pages that were read last. A re-import asks for neighbours: one asset's reports stand side by side in a run, so
//! that one read serves up to 84 of them.

use super::format::{PAGE_BYTES, Page};
use parking_lot::Mutex;
use std::io;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Run, and where in its file the page begins.
pub type Place = (u64, u64);

/// A table in which every page has one place; who comes later takes it. Memory is taken when it is first used.
#[derive(Debug)]
pub struct Cache {
    slots: Vec<Mutex<Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    of: Option<Place>,
    len: usize,
    page: Option<Box<Page>>,
}

impl Cache {
    /// Of so many pages.
    pub fn new(blocks: usize) -> Cache {
        Cache { slots: (0..blocks.max(1)).map(|_| Mutex::default()).collect() }
    }

    /// Gives a page to `look`, and the number of its entries if it has any. `read` fills the page if it is not here,
    /// and tells that number.
    pub fn with<R>(
        &self,
        place: Place,
        read: impl FnOnce(&mut Page) -> io::Result<usize>,
        look: impl FnOnce(&Page, usize) -> R,
    ) -> io::Result<R> {
        let hash = xxh3_64_with_seed(&place.1.to_le_bytes(), place.0);
        let mut slot = self.slots[(hash % self.slots.len() as u64) as usize].lock();
        let Slot { of, len, page } = &mut *slot;
        let page = page.get_or_insert_with(|| Box::new([0; PAGE_BYTES]));
        if *of != Some(place) {
            *of = None;
            *len = read(page)?;
            *of = Some(place);
        }
        Ok(look(page, *len))
    }
}
