//! The entries of several runs in order, read in large pieces. Blocks that are damaged are left out and counted:
//! merging one run alone is how a damaged one is repaired.

use super::Seen;
use super::format::{Layout, PAGE_BYTES, Page, block_len, entry};
use super::run::Run;
use super::write::RunWriter;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Blocks that are read at once from each run.
const CHUNK_BLOCKS: u64 = 64;

/// One run that is read from its start to its end.
pub struct Source<'a> {
    file: &'a File,
    layout: Layout,
    next_block: u64,
    blocks: u64,
    /// Entries with an earlier event time are left out.
    forget_before_ms: i64,
    /// Decoded and not yet taken, from `at`.
    entries: Vec<Seen>,
    at: usize,
    bytes: Vec<u8>,
    /// Blocks that could not be read.
    pub lost_blocks: u64,
}

impl<'a> Source<'a> {
    /// All of a run but what is older than `forget_before_ms`.
    pub fn of(run: &'a Run, forget_before_ms: i64) -> Source<'a> {
        let header = &run.header;
        Source::new(&run.file, header.layout, header.layout.blocks(header.count), forget_before_ms)
    }

    /// Whatever whole blocks a damaged file still has.
    pub fn of_damaged(file: &'a File, layout: Layout) -> io::Result<Source<'a>> {
        let blocks = file.metadata()?.len() / PAGE_BYTES as u64;
        Ok(Source::new(file, layout, blocks, i64::MIN))
    }

    fn new(file: &'a File, layout: Layout, blocks: u64, forget_before_ms: i64) -> Source<'a> {
        let (entries, bytes) = (Vec::new(), Vec::new());
        Source { file, layout, next_block: 0, blocks, forget_before_ms, entries, at: 0, bytes, lost_blocks: 0 }
    }

    /// The next entry; None at the end.
    fn head(&mut self) -> io::Result<Option<Seen>> {
        while self.at == self.entries.len() && self.next_block < self.blocks {
            self.fill()?;
        }
        Ok(self.entries.get(self.at).copied())
    }

    fn fill(&mut self) -> io::Result<()> {
        let left_in_segment = self.layout.segment_blocks - self.next_block % self.layout.segment_blocks;
        let blocks = CHUNK_BLOCKS.min(left_in_segment).min(self.blocks - self.next_block);
        self.bytes.resize(blocks as usize * PAGE_BYTES, 0);
        let read = read_what_is_there(self.file, &mut self.bytes, self.layout.block_at(self.next_block))?;
        self.entries.clear();
        self.at = 0;
        let pages: &[Page] = self.bytes[..read].as_chunks().0;
        self.lost_blocks += blocks - pages.len() as u64;
        for (page, number) in pages.iter().zip(self.next_block..) {
            match block_len(page, number) {
                Some(len) => self.entries.extend((0..len).map(|i| entry(page, i))),
                None => self.lost_blocks += 1,
            }
        }
        if self.forget_before_ms > i64::MIN {
            self.entries.retain(|seen| seen.event_ms() >= self.forget_before_ms);
        }
        self.next_block += blocks;
        Ok(())
    }

    /// Writes everything at hand that does not go beyond `bound`.
    fn write_up_to(&mut self, bound: Option<Seen>, out: &mut RunWriter) -> io::Result<()> {
        while let Some(seen) = self.entries.get(self.at)
            && bound.is_none_or(|bound| seen.key <= bound.key)
        {
            out.push(*seen)?;
            self.at += 1;
        }
        Ok(())
    }
}

fn read_what_is_there(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], at + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Writes all entries in order. One source is followed up to the next one's head: one asset's reports stand together
/// and runs follow each other in time, so that such stretches are long and the heads are seldom compared.
pub fn merge(sources: &mut [Source<'_>], out: &mut RunWriter, stop: &AtomicBool) -> io::Result<()> {
    let mut heads = sources.iter_mut().map(Source::head).collect::<io::Result<Vec<_>>>()?;
    while let Some((least, bound)) = least(&heads) {
        if sources[least].at == 0 && stop.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "merging was stopped"));
        }
        sources[least].write_up_to(bound, out)?;
        heads[least] = sources[least].head()?;
    }
    Ok(())
}

/// Which head comes first, and the one after it.
fn least(heads: &[Option<Seen>]) -> Option<(usize, Option<Seen>)> {
    let mut first: Option<(usize, Seen)> = None;
    let mut second: Option<Seen> = None;
    for (i, head) in heads.iter().enumerate() {
        let Some(head) = *head else { continue };
        match first {
            Some((_, seen)) if head.key >= seen.key => {
                second = Some(second.filter(|second| second.key <= head.key).unwrap_or(head));
            }
            _ => {
                second = first.map(|(_, seen)| seen);
                first = Some((i, head));
            }
        }
    }
    first.map(|(i, _)| (i, second))
}
