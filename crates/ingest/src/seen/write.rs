//! Writes a run from entries that come in order, in memory that does not grow with their number except for one fence a
//! block. The file has its name only once it is durable in whole.

use super::bloom::{self, Probe};
use super::format::{Block, Footer, Header, Hours, Layout, PAGE_BYTES, REPLACES_MAX, footer_check};
use super::{Positions, Seen, Span};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// So much is handed to the disk at once while a run is written, so that the last sync, and the log's beside it, need
/// not wait for gigabytes.
const SYNC_EVERY_BYTES: u64 = 32 << 20;

/// A run on its way to the disk.
pub struct RunWriter {
    out: BufWriter<File>,
    partial: PathBuf,
    layout: Layout,
    block: Block,
    /// Of the segment that is being written.
    probes: Vec<Probe>,
    footer: Footer,
    events: Option<(i64, i64)>,
    last: Option<Seen>,
    count: u64,
    unsynced_bytes: u64,
}

/// What the writer cannot know of a run.
#[derive(Debug, Clone, Copy)]
pub struct Naming {
    /// The run's number.
    pub id: u64,
    /// What it claims of the log.
    pub positions: Positions,
    /// Runs whose place it takes.
    pub replaces: [u64; REPLACES_MAX],
}

impl Naming {
    /// `replaces` has at most [`REPLACES_MAX`] runs.
    pub fn new(id: u64, positions: Positions, replaces: &[u64]) -> Naming {
        let mut all = [0; REPLACES_MAX];
        all[..replaces.len()].copy_from_slice(replaces);
        Naming { id, positions, replaces: all }
    }
}

impl RunWriter {
    /// Begins a file that no reader takes for a run.
    pub fn create(partial: PathBuf, layout: Layout) -> io::Result<RunWriter> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
        out.write_all(&[0; PAGE_BYTES])?;
        let footer = Footer { fences: Vec::new(), hours: Hours::none() };
        let (block, probes) = (Block::empty(), Vec::new());
        let (events, last) = (None, None);
        Ok(RunWriter { out, partial, layout, block, probes, footer, events, last, count: 0, unsynced_bytes: 0 })
    }

    /// Entries so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds an entry; keys must not go back, and of equal ones the first stays.
    pub fn push(&mut self, seen: Seen) -> io::Result<()> {
        match self.last.map(|last| last.key.cmp(&seen.key)) {
            Some(std::cmp::Ordering::Equal) => return Ok(()),
            Some(std::cmp::Ordering::Greater) => return Err(io::Error::other("keys of a run are out of order")),
            _ => self.last = Some(seen),
        }
        if self.block.is_empty() {
            self.footer.fences.push(seen.key);
        }
        self.block.push(seen);
        self.probes.push(Probe::of(seen.key));
        self.count_event(seen.event_ms());
        if self.block.is_full() { self.end_block() } else { Ok(()) }
    }

    fn count_event(&mut self, event_ms: i64) {
        self.count += 1;
        self.footer.hours.add(event_ms);
        let (min, max) = self.events.unwrap_or((event_ms, event_ms));
        self.events = Some((min.min(event_ms), max.max(event_ms)));
    }

    fn end_block(&mut self) -> io::Result<()> {
        let blocks = self.footer.fences.len() as u64;
        self.out.write_all(&self.block.seal(blocks - 1))?;
        self.unsynced_bytes += PAGE_BYTES as u64;
        if blocks.is_multiple_of(self.layout.segment_blocks) { self.end_segment() } else { Ok(()) }
    }

    fn end_segment(&mut self) -> io::Result<()> {
        let mut filter = bloom::build(&self.probes, self.layout.bits_per_key);
        filter.resize(filter.len().next_multiple_of(PAGE_BYTES), 0);
        self.out.write_all(&filter)?;
        self.probes.clear();
        if self.unsynced_bytes >= SYNC_EVERY_BYTES {
            self.out.flush()?;
            self.out.get_ref().sync_data()?;
            self.unsynced_bytes = 0;
        }
        Ok(())
    }

    /// Makes the run durable, then gives it its name. None if nothing was pushed; then there is no file.
    pub fn finish(mut self, naming: Naming) -> io::Result<Option<PathBuf>> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        if !self.probes.is_empty() {
            self.end_segment()?;
        }
        let Some((min_event, max_event)) = self.events else {
            return fs::remove_file(&self.partial).map(|()| None);
        };
        let Positions { from, to } = naming.positions;
        let span = Span { min_event, max_event, from_position: from, to_position: to };
        let partial = self.partial.clone();
        let path = partial.with_file_name(file_name(naming.id, naming.positions));
        self.end_file(naming, span)?;
        fs::rename(partial, &path)?;
        sync_folder(&path)?;
        Ok(Some(path))
    }

    fn end_file(mut self, naming: Naming, span: Span) -> io::Result<()> {
        let footer = self.footer.to_bytes();
        self.out.write_all(&footer)?;
        let header = Header {
            id: naming.id,
            count: self.count,
            span,
            layout: self.layout,
            replaces: naming.replaces,
            footer_check: footer_check(&footer),
        };
        let file = self.out.into_inner()?;
        file.write_all_at(&header.to_page(), 0)?;
        file.sync_all()
    }
}

/// A run's name says what its header says of the log: when the header is damaged, that must still be known.
fn file_name(id: u64, positions: Positions) -> String {
    format!("{id:012}-{:020}-{:020}.seen", positions.from, positions.to)
}

/// The number and positions in a file name; None for a name that no run of this version has.
pub fn read_name(path: &Path) -> Option<(u64, Positions)> {
    let mut parts = path.file_stem()?.to_str()?.split('-').map(|part| part.parse().ok());
    let (id, from, to) = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some((id, Positions { from, to }))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().ok_or_else(|| io::Error::other("a run has a folder"))?)?.sync_all()
}
