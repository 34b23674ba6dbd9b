//! The bytes of a lake file, wherever it is kept: in a folder, or in an object store. Reads of an object go through a
//! cache of blocks, because a point read asks for many small pieces that lie near each other.

use crate::LakeFile;
use bytes::{Bytes, BytesMut};
use drover_objects::Objects;
use parking_lot::Mutex;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// What is fetched at once and kept: about a row group of all columns.
const BLOCK_BYTES: u64 = 1 << 20;
/// A read of more blocks is a scan, which has no use for the cache.
const BLOCKS_MAX: u64 = 8;

/// A file as an object store has it.
#[derive(Clone)]
pub struct Stored {
    objects: Objects,
    key: Arc<str>,
    blocks: Arc<Blocks>,
}

impl Stored {
    pub(crate) fn new(objects: Objects, key: &str, blocks: Arc<Blocks>) -> Stored {
        Stored { objects, key: key.into(), blocks }
    }

    /// Where it is: `s3://bucket/key`.
    pub(crate) fn address(&self) -> PathBuf {
        self.objects.place().of_key(&self.key).into()
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address().display())
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Stored) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Stored {}

/// The open bytes of a file. Clones are cheap, and any thread may read: every read says where.
#[derive(Debug, Clone)]
pub struct FileBytes {
    place: Place,
    bytes: u64,
}

#[derive(Debug, Clone)]
enum Place {
    File(Arc<File>),
    Object(i64, Stored),
}

impl FileBytes {
    /// Opens a file of the lake. An object is not asked for before it is read.
    pub fn open(file: &LakeFile) -> io::Result<FileBytes> {
        let Some(stored) = &file.stored else {
            let opened = File::open(&file.path)?;
            let bytes = opened.metadata()?.len();
            return Ok(FileBytes { place: Place::File(Arc::new(opened)), bytes });
        };
        Ok(FileBytes { place: Place::Object(file.id, stored.clone()), bytes: file.bytes })
    }

    /// Its size as it is, bytes; that of an object is what was written.
    pub fn size(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the file. Blocks, on a store for its answer.
    pub fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.check(&range)?;
        match &self.place {
            Place::File(file) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                file.read_exact_at(&mut bytes, range.start)?;
                Ok(bytes.into())
            }
            Place::Object(id, stored) => stored.blocks.read(*id, stored, self.bytes, range),
        }
    }

    /// Several pieces of the file, in order. Blocks for a file; waits for a store.
    pub async fn read_ranges(&self, ranges: Vec<Range<u64>>) -> io::Result<Vec<Bytes>> {
        let scan = ranges.iter().any(|range| range.end.saturating_sub(range.start) > BLOCKS_MAX * BLOCK_BYTES);
        match &self.place {
            Place::Object(_, stored) if scan => {
                ranges.iter().try_for_each(|range| self.check(range))?;
                stored.objects.read_ranges_async(&stored.key, &ranges).await.map_err(io::Error::other)
            }
            _ => ranges.into_iter().map(|range| self.read(range)).collect(),
        }
    }

    /// A damaged footer can ask for anything; what lies behind the end is not worth allocating for.
    fn check(&self, range: &Range<u64>) -> io::Result<()> {
        if range.start <= range.end && range.end <= self.bytes {
            return Ok(());
        }
        let problem = format!("bytes {}..{} lie outside it; it has {}", range.start, range.end, self.bytes);
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem))
    }
}

impl Length for FileBytes {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for FileBytes {
    type T = Reading;

    fn get_read(&self, start: u64) -> Result<Reading, ParquetError> {
        Ok(Reading { file: self.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.read(start..start.saturating_add(length as u64))?)
    }
}

/// Reads on from a place.
#[derive(Debug)]
pub struct Reading {
    file: FileBytes,
    at: u64,
}

impl Read for Reading {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = match &self.file.place {
            Place::File(file) => file.read_at(into, self.at)?,
            Place::Object(..) => {
                let end = self.file.bytes.min(self.at.saturating_add(into.len() as u64));
                let bytes = self.file.read(self.at.min(end)..end)?;
                into[..bytes.len()].copy_from_slice(&bytes);
                bytes.len()
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}

/// Pieces of objects that were read lately, within a bound of bytes.
#[derive(Debug)]
pub(crate) struct Blocks {
    max_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By file and number of the block, with the last use.
    blocks: HashMap<(i64, u64), (Bytes, u64)>,
    bytes: usize,
    clock: u64,
}

impl Blocks {
    pub(crate) fn new(max_bytes: usize) -> Blocks {
        Blocks { max_bytes, kept: Mutex::default() }
    }

    fn read(&self, file: i64, stored: &Stored, size: u64, range: Range<u64>) -> io::Result<Bytes> {
        let fetch = |range| stored.objects.read_at(&stored.key, range).map_err(io::Error::other);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let (first, last) = (range.start / BLOCK_BYTES, (range.end - 1) / BLOCK_BYTES);
        if last - first >= BLOCKS_MAX {
            return fetch(range);
        }
        let mut found: Vec<Option<Bytes>> = (first..=last).map(|number| self.find((file, number))).collect();
        // What is missing between is fetched in one piece, with what lies between it.
        let missing = |block: &Option<Bytes>| block.is_none();
        if let Some(from) = found.iter().position(missing) {
            let to = found.iter().rposition(missing).unwrap_or(from);
            let start = (first + from as u64) * BLOCK_BYTES;
            let end = size.min((first + to as u64 + 1) * BLOCK_BYTES);
            let fetched = fetch(start..end)?;
            for (number, block) in found.iter_mut().enumerate().take(to + 1).skip(from) {
                let at = (number - from) * BLOCK_BYTES as usize;
                let piece = fetched.slice(at..fetched.len().min(at + BLOCK_BYTES as usize));
                self.keep((file, first + number as u64), &piece);
                *block = Some(piece);
            }
        }
        Ok(cut(first * BLOCK_BYTES, found.into_iter().flatten(), range))
    }

    fn find(&self, block: (i64, u64)) -> Option<Bytes> {
        let mut kept = self.kept.lock();
        kept.clock += 1;
        let clock = kept.clock;
        let (bytes, used) = kept.blocks.get_mut(&block)?;
        *used = clock;
        Some(bytes.clone())
    }

    fn keep(&self, block: (i64, u64), piece: &Bytes) {
        let mut kept = self.kept.lock();
        kept.clock += 1;
        let used = kept.clock;
        // A copy of its own: a piece would hold on to all that was fetched with it.
        let own = Bytes::copy_from_slice(piece);
        kept.bytes += own.len();
        if let Some((twice, _)) = kept.blocks.insert(block, (own, used)) {
            kept.bytes -= twice.len();
        }
        while kept.bytes > self.max_bytes {
            let oldest = kept.blocks.iter().min_by_key(|(_, (_, used))| *used).map(|(block, _)| *block);
            let Some((gone, _)) = oldest.and_then(|block| kept.blocks.remove(&block)) else { break };
            kept.bytes -= gone.len();
        }
    }
}

/// The range out of neighbouring blocks, the first of which begins at `start`.
fn cut(start: u64, blocks: impl Iterator<Item = Bytes>, range: Range<u64>) -> Bytes {
    let (mut at, mut pieces) = (start, Vec::new());
    for block in blocks {
        let end = at + block.len() as u64;
        let (from, to) = (range.start.max(at), range.end.min(end));
        if from < to {
            pieces.push(block.slice((from - at) as usize..(to - at) as usize));
        }
        at = end;
    }
    if pieces.len() == 1 {
        return pieces.remove(0);
    }
    let mut all = BytesMut::with_capacity((range.end - range.start) as usize);
    pieces.iter().for_each(|piece| all.extend_from_slice(piece));
    all.freeze()
}
