//! One run: a sorted file of keys that never changes. Knows how to say "surely new", and how to find a key with one
//! read.

use super::bloom::{LINE_BYTES, Line, Probe};
use super::cache::Cache;
use super::format::{Footer, Header, PAGE_BYTES, Page, block_len, find_in_block, footer_check};
use super::write::read_name;
use super::{Key, event_ms};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// One sorted file of keys.
#[derive(Debug)]
pub struct Run {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) header: Header,
    footer: Footer,
    /// First key of every segment: a short search before the filter, which is one segment's.
    segments: Vec<Key>,
    /// A block of it was found damaged.
    suspect: AtomicBool,
}

/// Why a file cannot be used as it is.
#[derive(Debug)]
pub enum OpenError {
    /// Not what was written.
    Damaged,
    /// The disk does not answer: nobody knows.
    Io(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => OpenError::Damaged,
            _ => OpenError::Io(error),
        }
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> io::Error {
        match error {
            OpenError::Damaged => io::Error::new(io::ErrorKind::InvalidData, "not a whole run file"),
            OpenError::Io(error) => error,
        }
    }
}

impl Run {
    /// Reads header and footer, not the entries: they are checked block by block when they are used.
    pub fn open(path: &Path) -> Result<Run, OpenError> {
        let file = File::open(path)?;
        let header = read_header(&file)?.ok_or(OpenError::Damaged)?;
        let named =
            read_name(path).is_some_and(|(id, positions)| id == header.id && positions == header.span.positions());
        if !named || file.metadata()?.len() != header.file_bytes() {
            return Err(OpenError::Damaged);
        }
        let mut bytes = vec![0; header.footer_bytes() as usize];
        file.read_exact_at(&mut bytes, header.layout.footer_at(header.count))?;
        if footer_check(&bytes) != header.footer_check {
            return Err(OpenError::Damaged);
        }
        let footer = Footer::read(&bytes);
        let segments = footer.fences.iter().step_by(header.layout.segment_blocks as usize).copied().collect();
        Ok(Run { file, path: path.to_owned(), header, footer, segments, suspect: AtomicBool::new(false) })
    }

    /// Whether a block was found damaged: the run wants to be written anew from what is left.
    pub fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    /// Bytes that the filter takes in memory.
    pub fn filter_bytes(&self) -> u64 {
        let lines = |segment| self.header.layout.lines(segment, self.header.count);
        (0..self.segments.len() as u64).map(lines).sum::<u64>() * LINE_BYTES as u64
    }

    /// Reads the filter into memory; damaged lines become "maybe".
    pub fn read_filter(&self) -> io::Result<Filter> {
        let mut lines = Vec::with_capacity((self.filter_bytes() / LINE_BYTES as u64) as usize);
        for segment in 0..self.segments.len() as u64 {
            let mut bytes = vec![0; self.header.layout.lines(segment, self.header.count) as usize * LINE_BYTES];
            self.file.read_exact_at(&mut bytes, self.header.layout.filter_at(segment, self.header.count))?;
            lines.extend(bytes.as_chunks().0.iter().zip(0..).map(|(line, number)| Line::read(line, number)));
        }
        Ok(Filter { lines, full: self.header.layout.lines(0, self.header.count) })
    }

    /// `false`: the key is surely not in this run. `filter` is this run's, if it is held in memory.
    pub fn may_hold(&self, key: Key, probe: Probe, filter: Option<&Filter>, cache: &Cache) -> bool {
        let event = event_ms(key);
        let span = &self.header.span;
        if event < span.min_event || event > span.max_event || !self.footer.hours.may_have(event) {
            return false;
        }
        // Before the first key there is no segment.
        let Some(segment) = self.segments.partition_point(|first| *first <= key).checked_sub(1) else { return false };
        match filter {
            Some(filter) => filter.may_hold(segment, probe),
            None => self.line_on_disk(segment as u64, probe, cache).may_hold(probe),
        }
    }

    fn line_on_disk(&self, segment: u64, probe: Probe, cache: &Cache) -> Line {
        let lines = self.header.layout.lines(segment, self.header.count);
        if lines == 0 {
            return Line::MAYBE;
        }
        let number = probe.line(lines);
        let in_filter = number as usize * LINE_BYTES;
        let page =
            self.header.layout.filter_at(segment, self.header.count) + (in_filter / PAGE_BYTES * PAGE_BYTES) as u64;
        let read = |bytes: &mut Page| self.file.read_exact_at(bytes, page).map(|()| 0);
        let line = |bytes: &Page, _| Line::read(&bytes.as_chunks().0[in_filter % PAGE_BYTES / LINE_BYTES], number);
        // The entries will be asked if this cannot be read, and they tell the error.
        cache.with((self.header.id, page), read, line).unwrap_or(Line::MAYBE)
    }

    /// The content hash of `key`, if it is here. An error means "cannot tell".
    pub fn find(&self, key: Key, cache: &Cache) -> io::Result<Option<u64>> {
        let Some(block) = self.footer.fences.partition_point(|first| *first <= key).checked_sub(1) else {
            return Ok(None);
        };
        let block = block as u64;
        let at = self.header.layout.block_at(block);
        let read = |page: &mut Page| {
            self.file.read_exact_at(page, at)?;
            block_len(page, block).ok_or_else(|| self.damaged(block))
        };
        cache.with((self.header.id, at), read, |page, len| find_in_block(page, len, key))
    }

    fn damaged(&self, block: u64) -> io::Error {
        self.suspect.store(true, Ordering::Relaxed);
        let message = format!("block {block} of {} is damaged", self.path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    }
}

/// The header of a file; None if it is damaged or of another version.
pub fn read_header(file: &File) -> io::Result<Option<Header>> {
    let mut page = [0; PAGE_BYTES];
    match file.read_exact_at(&mut page, 0) {
        Ok(()) => Ok(Header::read(&page)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The filters of a run's segments, in memory.
#[derive(Debug)]
pub struct Filter {
    lines: Vec<Line>,
    /// Lines of every segment but the last.
    full: u64,
}

impl Filter {
    fn may_hold(&self, segment: usize, probe: Probe) -> bool {
        let start = segment as u64 * self.full;
        let lines = self.full.min(self.lines.len() as u64 - start);
        lines == 0 || self.lines[(start + probe.line(lines)) as usize].may_hold(probe)
    }
}
