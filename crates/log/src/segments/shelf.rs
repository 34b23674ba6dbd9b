//! The segments that exist and how to read them, while one of them is still written to.
//! Readers take short locks only; the writer never waits for a reader's disk.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::format::{Frame, SegmentHeader, frame_bytes};
use super::scan::{Hole, Index, scan};
use super::sync_folder;
use crate::{Archive, Batch, Bounds, Damage, DamageReason, Position, ReadError, Retention};

/// Bytes that one read of frames asks for at least.
const READ_BYTES: usize = 256 << 10;

/// All segments of a folder.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    /// By base; the last one is written to.
    segments: Vec<Arc<Segment>>,
    next: Position,
    last_appended_at_ms: i64,
}

/// One segment file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) base: Position,
    pub(super) bytes: u64,
    /// `None` if it is damaged, and with it all of the segment.
    pub(super) header: Option<SegmentHeader>,
    /// Made when first needed; that of the newest segment grows with every append.
    index: Mutex<Option<Arc<Index>>>,
}

/// What a read found in one segment.
enum Frames {
    Good(Vec<Arc<Batch>>),
    /// The index did not foresee what is in the file.
    Unexpected,
}

impl Segment {
    pub(super) fn new(path: PathBuf, base: Position, bytes: u64, header: Option<SegmentHeader>) -> Self {
        Self { path, base, bytes, header, index: Mutex::new(None) }
    }

    pub(super) fn with_index(self, index: Index) -> Self {
        Self { index: Mutex::new(Some(Arc::new(index))), ..self }
    }

    /// Goes through the file, given the position after the segment's last record.
    pub(super) fn scan(&self, next: Position) -> io::Result<Index> {
        let Some(header) = self.header else { return Ok(Index::lost(self.base, next, DamageReason::Header)) };
        let bytes = read_tolerant(&self.path, self.bytes)?;
        Ok(scan(&bytes, header.id, self.base, Some(next)))
    }

    /// Replaces what is known of the segment. Frames that were appended meanwhile stay as they were noted.
    fn set_index(&self, found: Index) -> Arc<Index> {
        let mut current = self.index.lock();
        let known = current.as_ref().map_or(&[][..], |index| index.holes());
        for hole in found.holes().iter().filter(|hole| !known.contains(hole)) {
            report(&self.damage(hole));
        }
        let merged =
            Arc::new(current.as_ref().map_or_else(|| found.clone(), |current| found.clone().extended_by(current)));
        *current = Some(merged.clone());
        merged
    }

    pub(super) fn damage(&self, hole: &Hole) -> Damage {
        let Hole { from, to, offset, reason } = *hole;
        Damage { from, to, path: self.path.clone(), offset, reason }
    }

    /// The batches from `from` on, as far as the index says that all is well.
    fn read(&self, index: &Index, from: Position, max_bytes: usize) -> io::Result<Frames> {
        let Some(header) = self.header else { return Ok(Frames::Unexpected) };
        let file = File::open(&self.path)?;
        let mut reading = Reading { wanted: from, offset: index.offset_before(from), bytes: 0, batches: Vec::new() };
        while reading.wanted < index.next && reading.bytes < max_bytes && index.hole_at(reading.wanted).is_none() {
            let offset = reading.offset;
            reading.take_frames(read_window(&file, offset, index.end)?, header.id, max_bytes);
            if reading.offset == offset {
                break;
            }
        }
        Ok(if reading.batches.is_empty() { Frames::Unexpected } else { Frames::Good(reading.batches) })
    }
}

/// A read that goes from frame to frame.
struct Reading {
    wanted: Position,
    offset: u64,
    bytes: usize,
    batches: Vec<Arc<Batch>>,
}

impl Reading {
    /// Takes the good frames of a window that begins at `offset`, until one does not continue the order.
    fn take_frames(&mut self, mut window: Bytes, segment_id: u64, max_bytes: usize) {
        while let Some(frame) = Frame::check(&window, segment_id) {
            if frame.base > self.wanted || self.bytes >= max_bytes {
                break;
            }
            if frame.last() >= self.wanted {
                self.take(&frame, &window);
            }
            self.offset += frame.stride() as u64;
            window = window.slice(frame.stride().min(window.len())..);
        }
    }

    fn take(&mut self, frame: &Frame, bytes: &Bytes) {
        let batch = frame.batch(bytes);
        let batch = if batch.base() < self.wanted { batch.starting_at(self.wanted) } else { batch };
        self.bytes += batch.payload().len();
        self.wanted = batch.last() + 1;
        self.batches.push(Arc::new(batch));
    }
}

impl Shelf {
    pub(super) fn new(folder: PathBuf, segments: Vec<Segment>, next: Position, last_appended_at_ms: i64) -> Self {
        let segments = segments.into_iter().map(Arc::new).collect();
        Self { folder, state: RwLock::new(State { segments, next, last_appended_at_ms }) }
    }

    /// Takes in a new, still empty segment; the former newest is sealed from now on.
    pub(super) fn add(&self, segment: Segment) {
        self.state.write().segments.push(Arc::new(segment));
    }

    /// Notes a frame that has become durable at the end of the newest segment.
    pub(super) fn appended(&self, frame: &Frame, offset: u64) {
        let mut state = self.state.write();
        let newest = state.segments.last().expect("a frame was written into the newest segment");
        let mut index = newest.index.lock();
        Arc::make_mut(index.as_mut().expect("the newest segment has an index")).push(frame, offset);
        drop(index);
        state.next = frame.last() + 1;
        state.last_appended_at_ms = frame.appended_at_ms;
    }

    /// The segment that holds `position` and the position after its last record; `None` if it is not durable yet.
    fn find(&self, position: Position) -> Result<Option<(Arc<Segment>, Position)>, ReadError> {
        let state = self.state.read();
        let oldest = state.oldest();
        if position < oldest {
            return Err(ReadError::Trimmed { oldest });
        }
        if position >= state.next {
            return Ok(None);
        }
        let after = state.segments.partition_point(|segment| segment.base <= position);
        let next = state.segments.get(after).map_or(state.next, |segment| segment.base);
        Ok(Some((state.segments[after - 1].clone(), next)))
    }

    /// The segment's index; the file is read if there is none yet. No lock is held meanwhile.
    fn index(&self, segment: &Segment, next: Position) -> Result<Arc<Index>, ReadError> {
        let known = segment.index.lock().clone();
        known.map_or_else(|| self.examine(segment, next), Ok)
    }

    /// Reads the segment's file from end to end and replaces what is known of it.
    fn examine(&self, segment: &Segment, next: Position) -> Result<Arc<Index>, ReadError> {
        let found = match segment.scan(next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Retention takes a segment off the shelf before it removes the file.
                self.find(segment.base)?;
                Index::lost(segment.base, next, DamageReason::Missing)
            }
            scanned => scanned.map_err(|source| ReadError::Io { path: segment.path.clone(), source })?,
        };
        Ok(segment.set_index(found))
    }

    fn take_oldest(&self, retention: &Retention, oldest_ms: i64) -> Option<Arc<Segment>> {
        let mut state = self.state.write();
        let second = state.segments.get(1)?;
        let bytes: u64 = state.segments.iter().map(|segment| segment.bytes).sum();
        // Times never go back: everything here is as old as the next segment's beginning, or older.
        let too_old = second.header.is_some_and(|header| header.first_appended_at_ms < oldest_ms);
        (too_old || retention.max_bytes.is_some_and(|max| bytes > max)).then(|| state.segments.remove(0))
    }
}

impl State {
    fn oldest(&self) -> Position {
        self.segments.first().map_or(self.next, |segment| segment.base)
    }
}

impl Archive for Shelf {
    fn read(&self, from: Position, max_bytes: usize) -> Result<Vec<Arc<Batch>>, ReadError> {
        let Some((segment, next)) = self.find(from)? else { return Ok(Vec::new()) };
        let mut index = self.index(&segment, next)?;
        for attempt in 0.. {
            if let Some(hole) = index.hole_at(from) {
                return Err(ReadError::Damaged(segment.damage(hole)));
            }
            match segment.read(&index, from, max_bytes) {
                Ok(Frames::Good(batches)) => return Ok(batches),
                Ok(Frames::Unexpected) if attempt == 0 => index = self.examine(&segment, index.next)?,
                Ok(Frames::Unexpected) => break,
                Err(error) if attempt == 0 && is_unreadable(&error) => index = self.examine(&segment, index.next)?,
                Err(source) => return Err(ReadError::Io { path: segment.path.clone(), source }),
            }
        }
        let source = io::Error::other("the file gives different bytes each time it is read");
        Err(ReadError::Io { path: segment.path.clone(), source })
    }

    fn bounds(&self) -> Bounds {
        let state = self.state.read();
        Bounds { oldest: state.oldest(), next: state.next, last_appended_at_ms: state.last_appended_at_ms }
    }

    fn position_at_time(&self, time_ms: i64) -> Result<Position, ReadError> {
        // Damaged headers have no time; such segments are passed over.
        let (start, oldest) = {
            let state = self.state.read();
            let earlier =
                |segment: &&Arc<Segment>| segment.header.is_some_and(|header| header.first_appended_at_ms < time_ms);
            (state.segments.iter().rev().find(earlier).map(|segment| segment.base), state.oldest())
        };
        let Some(start) = start else { return Ok(oldest) };
        let Some((segment, next)) = self.find(start)? else { return Ok(start) };
        let index = self.index(&segment, next)?;
        let mut position = index.position_before_time(time_ms).unwrap_or(start);
        while position < next {
            match self.read(position, READ_BYTES) {
                Ok(batches) => {
                    let Some(last) = batches.last() else { break };
                    let reached = batches.iter().find(|batch| batch.appended_at_ms() >= time_ms);
                    if let Some(batch) = reached {
                        return Ok(batch.base());
                    }
                    position = last.last() + 1;
                }
                Err(ReadError::Damaged(damage)) => position = damage.to + 1,
                Err(error) => return Err(error),
            }
        }
        Ok(position)
    }

    fn retain(&self, retention: &Retention, now_ms: i64) -> io::Result<Position> {
        let oldest_ms = retention.max_age_ms.map_or(i64::MIN, |age| now_ms.saturating_sub(age));
        let mut removed = false;
        while let Some(segment) = self.take_oldest(retention, oldest_ms) {
            fs::remove_file(&segment.path)?;
            removed = true;
        }
        if removed {
            sync_folder(&self.folder)?;
        }
        Ok(self.bounds().oldest)
    }
}

/// Whether the error is one that looking at every block by itself can get around.
fn is_unreadable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::EIO)
}

/// The bytes of a segment file from `offset`, at least one whole frame if one is there, and not beyond `end`.
fn read_window(file: &File, offset: u64, end: u64) -> io::Result<Bytes> {
    let left = end.saturating_sub(offset) as usize;
    let window = read_up_to(file, offset, left.min(READ_BYTES))?;
    match Frame::decode(&window).map(|frame| frame_bytes(frame.payload_bytes)) {
        Some(frame) if frame > window.len() && frame <= left => Ok(read_up_to(file, offset, frame)?.into()),
        _ => Ok(window.into()),
    }
}

/// Reads `length` bytes, or fewer where the file ends earlier than it should.
pub(super) fn read_up_to(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// A whole segment file. Blocks that the disk cannot read come as zeros, so that the others can be used.
fn read_tolerant(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    match read_up_to(&file, 0, bytes as usize) {
        Err(error) if error.raw_os_error() == Some(libc::EIO) => {}
        read => return read,
    }
    let mut whole = vec![0; bytes as usize];
    for (block, bytes) in whole.chunks_mut(4096).enumerate() {
        if let Ok(read) = read_up_to(&file, block as u64 * 4096, bytes.len()) {
            bytes[..read.len()].copy_from_slice(&read);
        }
    }
    Ok(whole)
}

pub(super) fn report(damage: &Damage) {
    let Damage { from, to, path, offset, reason } = damage;
    tracing::error!(from, to, path = %path.display(), offset, %reason, "records are lost");
}
