//! How a run stands on disk, and nothing that reads or writes a file. Pages of 2 KiB throughout:
//!
//! ```text
//! header | (block* filter)* | footer      block  = up to 84 sorted entries, their number, check
//!          one pair a segment             filter = lines of 64 bytes (see `bloom`)
//!                                         footer = first key of every block, hours
//! ```
//!
//! Blocks and lines carry their own checks and their places follow from the layout, so whatever is left of a damaged
//! file can be read without its header.

use super::bloom::{LINE_BYTES, lines_for};
use super::{Key, Seen, Span};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bytes of a page: the header, a block. Half of what the kernel keeps together: copying and checking it costs less
/// than the call, and a fence a block is still little memory (0.2 bytes a key).
pub const PAGE_BYTES: usize = 2048;
/// Entries of a full block.
pub const BLOCK_ENTRIES: usize = (PAGE_BYTES - 16) / ENTRY_BYTES;
/// A merged run names so many runs at most whose place it takes.
pub const REPLACES_MAX: usize = 8;
const ENTRY_BYTES: usize = 24;
const ENTRIES_END: usize = CHECK_AT - 8;
const CHECK_AT: usize = PAGE_BYTES - 8;
const MAGIC: u64 = u64::from_le_bytes(*b"DRVSEEN2");
const HOUR_MS: i64 = 3_600_000;
/// 65,536 hours, then they repeat: seven and a half years.
const HOUR_WORDS: usize = 1024;

/// One page of a file.
pub type Page = [u8; PAGE_BYTES];

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn put(bytes: &mut [u8], at: usize, word: u64) {
    bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

/// Where things are in a run file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bits that a filter spends on a key.
    pub bits_per_key: u64,
    /// Blocks that share a filter: a filter is built in memory while its segment is written.
    pub segment_blocks: u64,
}

impl Layout {
    /// Blocks of a run of so many entries.
    pub fn blocks(self, count: u64) -> u64 {
        count.div_ceil(BLOCK_ENTRIES as u64)
    }

    /// Segments of a run of so many entries.
    pub fn segments(self, count: u64) -> u64 {
        self.blocks(count).div_ceil(self.segment_blocks)
    }

    /// Where a block begins.
    pub fn block_at(self, block: u64) -> u64 {
        let in_segment = block % self.segment_blocks;
        self.segment_at(block / self.segment_blocks) + in_segment * PAGE_BYTES as u64
    }

    /// Lines of a segment's filter.
    pub fn lines(self, segment: u64, count: u64) -> u64 {
        lines_for(self.entries(segment, count), self.bits_per_key)
    }

    /// Where a segment's filter begins.
    pub fn filter_at(self, segment: u64, count: u64) -> u64 {
        self.segment_at(segment) + self.blocks(self.entries(segment, count)) * PAGE_BYTES as u64
    }

    /// Where the footer begins.
    pub fn footer_at(self, count: u64) -> u64 {
        match self.segments(count) {
            0 => PAGE_BYTES as u64,
            n => self.filter_at(n - 1, count) + self.filter_bytes(self.entries(n - 1, count)),
        }
    }

    /// Bytes on disk of a filter for so many keys: whole pages, so that blocks stay on page boundaries.
    pub fn filter_bytes(self, keys: u64) -> u64 {
        (lines_for(keys, self.bits_per_key) * LINE_BYTES as u64).next_multiple_of(PAGE_BYTES as u64)
    }

    fn segment_at(self, segment: u64) -> u64 {
        let full = self.segment_blocks * PAGE_BYTES as u64 + self.filter_bytes(self.full());
        PAGE_BYTES as u64 + segment * full
    }

    fn entries(self, segment: u64, count: u64) -> u64 {
        (count - segment * self.full()).min(self.full())
    }

    fn full(self) -> u64 {
        self.segment_blocks * BLOCK_ENTRIES as u64
    }
}

/// What a run says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Never used twice in a folder while anything names it.
    pub id: u64,
    /// Entries.
    pub count: u64,
    /// Times and positions.
    pub span: Span,
    /// Where things are.
    pub layout: Layout,
    /// Runs whose entries are all in this one; 0 is none.
    pub replaces: [u64; REPLACES_MAX],
    /// Of the footer.
    pub footer_check: u64,
}

impl Header {
    /// As a page.
    pub fn to_page(&self) -> Page {
        let span = &self.span;
        let mut words = vec![MAGIC, self.id, self.count, span.min_event as u64, span.max_event as u64];
        words.extend([span.from_position, span.to_position, self.layout.bits_per_key, self.layout.segment_blocks]);
        words.push(self.footer_check);
        words.extend(self.replaces);
        let mut page = [0; PAGE_BYTES];
        for (i, word) in words.into_iter().enumerate() {
            put(&mut page, i * 8, word);
        }
        let check = xxh3_64(&page[..CHECK_AT]);
        put(&mut page, CHECK_AT, check);
        page
    }

    /// None if the page is not a header of this version, or damaged.
    pub fn read(page: &Page) -> Option<Header> {
        let at = |i: usize| word(page, i * 8);
        if at(0) != MAGIC || word(page, CHECK_AT) != xxh3_64(&page[..CHECK_AT]) {
            return None;
        }
        let span = Span { min_event: at(3) as i64, max_event: at(4) as i64, from_position: at(5), to_position: at(6) };
        let layout = Layout { bits_per_key: at(7), segment_blocks: at(8) };
        let replaces = std::array::from_fn(|i| at(10 + i));
        Some(Header { id: at(1), count: at(2), span, layout, replaces, footer_check: at(9) })
    }

    /// Bytes of the footer.
    pub fn footer_bytes(&self) -> u64 {
        self.layout.blocks(self.count) * 16 + HOUR_WORDS as u64 * 8
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.layout.footer_at(self.count) + self.footer_bytes()
    }
}

/// Up to 84 sorted entries.
#[derive(Debug)]
pub struct Block {
    page: Box<Page>,
    len: usize,
}

impl Block {
    /// With nothing in it.
    pub fn empty() -> Block {
        Block { page: Box::new([0; PAGE_BYTES]), len: 0 }
    }

    /// Whether anything is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether nothing more fits.
    pub fn is_full(&self) -> bool {
        self.len == BLOCK_ENTRIES
    }

    /// Adds an entry behind the others.
    pub fn push(&mut self, seen: Seen) {
        let entry = &mut self.page[self.len * ENTRY_BYTES..][..ENTRY_BYTES];
        put(entry, 0, seen.key[0]);
        put(entry, 8, seen.key[1]);
        put(entry, 16, seen.content);
        self.len += 1;
    }

    /// Ends the block, which is the run's `number`th, and begins an empty one.
    pub fn seal(&mut self, number: u64) -> Page {
        put(&mut self.page[..], ENTRIES_END, self.len as u64);
        let check = xxh3_64_with_seed(&self.page[..CHECK_AT], number);
        put(&mut self.page[..], CHECK_AT, check);
        self.len = 0;
        std::mem::replace(&mut *self.page, [0; PAGE_BYTES])
    }
}

/// Entries of a block that is whole and the run's `number`th; None if it is damaged.
pub fn block_len(page: &Page, number: u64) -> Option<usize> {
    let len = word(page, ENTRIES_END) as usize;
    let whole = word(page, CHECK_AT) == xxh3_64_with_seed(&page[..CHECK_AT], number);
    (whole && len <= BLOCK_ENTRIES).then_some(len)
}

/// An entry of a block.
pub fn entry(page: &Page, i: usize) -> Seen {
    let at = i * ENTRY_BYTES;
    Seen { key: [word(page, at), word(page, at + 8)], content: word(page, at + 16) }
}

/// The content hash that a block of `len` entries has for a key.
pub fn find_in_block(page: &Page, len: usize, key: Key) -> Option<u64> {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = (low + high) / 2;
        let seen = entry(page, middle);
        match seen.key.cmp(&key) {
            std::cmp::Ordering::Equal => return Some(seen.content),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

/// The hours in which a run has events: one clock that runs wrong must not make a run look as if it spanned years.
#[derive(Debug, Clone)]
pub struct Hours(Box<[u64; HOUR_WORDS]>);

impl Hours {
    /// No hour.
    pub fn none() -> Hours {
        Hours(Box::new([0; HOUR_WORDS]))
    }

    /// Adds the hour of an event.
    pub fn add(&mut self, event_ms: i64) {
        let (word, bit) = Hours::place(event_ms);
        self.0[word] |= bit;
    }

    /// `false`: there is surely no event in this hour.
    pub fn may_have(&self, event_ms: i64) -> bool {
        let (word, bit) = Hours::place(event_ms);
        self.0[word] & bit != 0
    }

    fn place(event_ms: i64) -> (usize, u64) {
        let hour = event_ms.div_euclid(HOUR_MS) as usize % (HOUR_WORDS * 64);
        (hour / 64, 1 << (hour % 64))
    }
}

/// What stands at the end of a run.
#[derive(Debug)]
pub struct Footer {
    /// First key of every block.
    pub fences: Vec<Key>,
    /// Hours with events.
    pub hours: Hours,
}

impl Footer {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let words = self.fences.iter().flatten().chain(self.hours.0.iter());
        words.flat_map(|word| word.to_le_bytes()).collect()
    }

    /// From bytes of the length that the header gives.
    pub fn read(bytes: &[u8]) -> Footer {
        let (fences, hours) = bytes.split_at(bytes.len() - HOUR_WORDS * 8);
        let fences = fences.chunks_exact(16).map(|key| [word(key, 0), word(key, 8)]).collect();
        let hours = Hours(Box::new(std::array::from_fn(|i| word(hours, i * 8))));
        Footer { fences, hours }
    }
}

/// Of a footer's bytes.
pub fn footer_check(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}
