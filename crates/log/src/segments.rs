//! The engine that keeps batches in segment files: opening and recovery, appending, rolling over.
//! The layout of bytes is in `format`, finding damage in `scan`, reading in `shelf`, new files come from `spare`.
//!
//! A folder holds `<first position>.seg` files, the `spare`, and a `lock`. Invariants:
//! - One process has the folder open for writing.
//! - At most one frame is written but not synced, hence only the last frame can be torn by a crash.
//! - A segment file gets its name when its header is on stable storage; only the newest is written to.
//! - After a failed write or sync this engine writes nothing any more.
//!
//! What recovery cannot know: bytes that went bad in the *last* frame of the newest segment look exactly like a torn
//! write, so that frame is cut off, although it may have been acknowledged. And a newest segment file that was removed
//! leaves no trace here (followers' cursors beyond the end give it away).

mod format;
mod scan;
mod shelf;
mod spare;

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::format::{FRAME_ALIGN, FRAME_HEADER_BYTES, Frame, HEADER_BYTES, HeaderFound, SegmentHeader, frame_bytes};
use self::scan::{Index, Mark, scan};
use self::shelf::{Segment, Shelf};
use self::spare::{SpareMaker, SparePlan};
use crate::{Archive, Batch, Damage, DamageReason, Engine, EngineError, Faults, Position};

/// Shortest payload a record can have: its length alone.
const MIN_RECORD_BYTES: u64 = crate::batch::RECORD_OVERHEAD_BYTES as u64;

/// Where and how segment files are kept.
#[derive(Clone, Debug)]
pub struct SegmentSettings {
    /// The stream's folder; made if needed. Nothing else should be in it but `cursors`.
    pub folder: PathBuf,
    /// Size of each segment file, and of the spare. A batch has to fit into one.
    pub segment_bytes: u64,
    /// When there is no space for a spare: time until the background thread tries again.
    pub spare_retry_ms: u64,
    /// Faults that a test controls.
    pub faults: Faults,
}

impl SegmentSettings {
    /// 64 MiB segments in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let faults = Faults::default();
        Self { folder: folder.into(), segment_bytes: 64 << 20, spare_retry_ms: 500, faults }
    }
}

/// Keeps batches in segment files; see [`SegmentEngine::open`].
#[derive(Debug)]
pub struct SegmentEngine {
    folder: PathBuf,
    segment_bytes: u64,
    faults: Faults,
    shelf: Arc<Shelf>,
    active: Option<Active>,
    failed: bool,
    // Before the lock: fields drop in order, and the maker must be done when another process may come in.
    spare: SpareMaker,
    _lock: File,
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    file: File,
    path: PathBuf,
    id: u64,
    /// Where the next frame goes.
    offset: u64,
    bytes: u64,
}

impl SegmentEngine {
    /// Opens the folder for writing and recovers from whatever the last run left.
    ///
    /// On success a torn last write is cut off, everything that can be read is on stable storage, and positions continue
    /// after it. Damage is reported and kept; reads give it as an error. On error nothing was changed, but for files
    /// that recovery was in the middle of: opening again continues.
    pub fn open(settings: SegmentSettings) -> Result<Self, EngineError> {
        let SegmentSettings { folder, segment_bytes, spare_retry_ms, faults } = settings;
        check_segment_bytes(&folder, segment_bytes)?;
        fs::create_dir_all(&folder).map_err(failed("making", &folder))?;
        let lock = lock(&folder)?;
        let recovered = Recovered::new(find_segments(&folder)?)?;
        sync_folder(&folder).map_err(failed("syncing", &folder))?;
        let plan = SparePlan {
            folder: folder.clone(),
            bytes: segment_bytes,
            retry_ms: spare_retry_ms,
            faults: faults.clone(),
        };
        let spare = SpareMaker::start(plan).map_err(failed("starting the spare maker for", &folder))?;
        let Recovered { segments, active, next, last_appended_at_ms } = recovered;
        let shelf = Arc::new(Shelf::new(folder.clone(), segments, next, last_appended_at_ms));
        Ok(Self { folder, segment_bytes, faults, shelf, active, failed: false, spare, _lock: lock })
    }

    fn write(&mut self, batch: &Batch) -> Result<(), EngineError> {
        let active = self.active.as_mut().expect("a segment with room");
        let header = Frame::encode(batch, active.id);
        let written = active.write_frame(&header, batch.payload(), self.faults.next_write());
        written.map_err(failed("writing", &active.path))?;
        self.faults.before_sync().and_then(|()| active.file.sync_data()).map_err(failed("syncing", &active.path))?;
        let frame = Frame::decode(&header).expect("just encoded");
        self.shelf.appended(&frame, active.offset);
        active.offset += frame.stride() as u64;
        Ok(())
    }

    /// Makes sure that the newest segment has room for the batch.
    fn make_room(&mut self, batch: &Batch) -> Result<(), EngineError> {
        let needed = frame_bytes(batch.payload().len()) as u64;
        if self.active.as_ref().is_some_and(|active| active.offset + needed <= active.bytes) {
            return Ok(());
        }
        let spare = self.spare.wait().map_err(EngineError::Full)?;
        self.roll(&spare, batch)
    }

    /// Makes the spare the newest segment, beginning with this batch. On success the file has its name and header on
    /// stable storage.
    fn roll(&mut self, spare: &Path, batch: &Batch) -> Result<(), EngineError> {
        let header =
            SegmentHeader { id: random_id(), base: batch.base(), first_appended_at_ms: batch.appended_at_ms() };
        let path = segment_path(&self.folder, header.base);
        let file = File::options().write(true).open(spare).map_err(failed("opening", spare))?;
        file.write_all_at(&header.encode(), 0)
            .and_then(|()| file.sync_data())
            .and_then(|()| fs::rename(spare, &path))
            .and_then(|()| sync_folder(&self.folder))
            .map_err(failed("starting the segment", &path))?;
        self.spare.make_next();
        let segment = Segment::new(path.clone(), header.base, self.segment_bytes, Some(header));
        self.shelf.add(segment.with_index(Index::empty(header.base)));
        self.active = Some(Active { file, path, id: header.id, offset: HEADER_BYTES, bytes: self.segment_bytes });
        Ok(())
    }
}

impl Engine for SegmentEngine {
    fn append(&mut self, batch: &Batch) -> Result<(), EngineError> {
        assert!(!self.failed, "a failed engine gets no more batches");
        let outcome = self.make_room(batch).and_then(|()| self.write(batch));
        self.failed = matches!(outcome, Err(EngineError::Failed { .. }));
        outcome
    }

    fn max_payload_bytes(&self) -> usize {
        (self.segment_bytes - HEADER_BYTES) as usize - FRAME_HEADER_BYTES - FRAME_ALIGN
    }

    fn archive(&self) -> Arc<dyn Archive> {
        self.shelf.clone()
    }
}

impl Active {
    /// Header and payload in one system call. `tear_after` is a fault's order to fail after so many bytes.
    fn write_frame(&mut self, header: &[u8], payload: &[u8], tear_after: Option<usize>) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        if let Some(bytes) = tear_after {
            let frame = [header, payload].concat();
            self.file.write_all(&frame[..bytes.min(frame.len())])?;
            return Err(io::Error::other("injected write failure"));
        }
        write_all_vectored(&mut self.file, &mut [IoSlice::new(header), IoSlice::new(payload)])
    }
}

/// What opening found, after repairs.
struct Recovered {
    segments: Vec<Segment>,
    active: Option<Active>,
    next: Position,
    last_appended_at_ms: i64,
}

impl Recovered {
    fn new(mut segments: Vec<Segment>) -> Result<Self, EngineError> {
        let Some(newest) = segments.pop() else {
            return Ok(Self { segments, active: None, next: 1, last_appended_at_ms: i64::MIN });
        };
        let Some(header) = newest.header else { return Ok(Self::without_newest_header(segments, newest)) };
        let (active, index) = recover_newest(&newest, header.id).map_err(failed("recovering", &newest.path))?;
        let next = index.next;
        // A segment is named before its first frame: then the header's time is that of a batch that never came to be.
        let last_appended_at_ms = index.last.map_or(header.first_appended_at_ms, |last| last.appended_at_ms);
        segments.push(newest.with_index(index));
        Ok(Self { segments, active: Some(active), next, last_appended_at_ms })
    }

    /// Nothing in the newest segment can be checked, so its last position is unknown. No record is shorter than its
    /// length field: going on after as many records as the file could hold never gives a position twice.
    fn without_newest_header(mut segments: Vec<Segment>, newest: Segment) -> Self {
        let next = newest.base + newest.bytes / MIN_RECORD_BYTES + 1;
        let times = segments.iter().rev().find_map(|segment| segment.header);
        segments.push(newest);
        let last_appended_at_ms = times.map_or(i64::MIN, |header| header.first_appended_at_ms);
        Self { segments, active: None, next, last_appended_at_ms }
    }
}

/// Cuts a torn write off the newest segment and makes sure that what is left is on stable storage.
fn recover_newest(segment: &Segment, id: u64) -> io::Result<(Active, Index)> {
    let bytes = fs::read(&segment.path)?;
    let index = scan(&bytes, id, segment.base, None);
    for hole in index.holes() {
        shelf::report(&segment.damage(hole));
    }
    let file = File::options().write(true).open(&segment.path)?;
    let end = index.end as usize;
    if let Some(garbage) = bytes.get(end..).and_then(|rest| rest.iter().rposition(|byte| *byte != 0)) {
        tracing::warn!(path = %segment.path.display(), offset = end, bytes = garbage + 1, "cutting off a torn write");
        file.write_all_at(&vec![0; garbage + 1], end as u64)?;
    }
    // The last frame may have been read from the page cache only: its sync may have been pending at a kill, or have failed,
    // and after a failed sync the kernel takes the pages for clean. Writing it again makes the sync below cover it.
    if let Some(Mark { offset, .. }) = index.last {
        file.write_all_at(&bytes[offset as usize..end.min(bytes.len())], offset)?;
    }
    file.sync_all()?;
    let active = Active { file, path: segment.path.clone(), id, offset: index.end, bytes: segment.bytes };
    Ok((active, index))
}

/// Everything in a stream's folder that cannot be read, oldest first. Changes nothing, takes no lock, and a torn last
/// write is no damage. While a process appends to the folder, its newest records may not be looked at.
pub fn verify(folder: &Path) -> Result<Vec<Damage>, EngineError> {
    let segments = find_segments(folder)?;
    let mut damages = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        let next = segments.get(at + 1).map(|next| next.base);
        let index = verify_segment(segment, next).map_err(failed("reading", &segment.path))?;
        damages.extend(index.holes().iter().map(|hole| segment.damage(hole)));
    }
    Ok(damages)
}

fn verify_segment(segment: &Segment, next: Option<Position>) -> io::Result<Index> {
    match (segment.header, next) {
        (Some(header), None) => Ok(scan(&fs::read(&segment.path)?, header.id, segment.base, None)),
        (_, Some(next)) => segment.scan(next),
        (None, None) => {
            let next = segment.base + segment.bytes / MIN_RECORD_BYTES + 1;
            Ok(Index::lost(segment.base, next, DamageReason::Header))
        }
    }
}

/// All segment files of a folder by base, with their headers read.
fn find_segments(folder: &Path) -> Result<Vec<Segment>, EngineError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("listing", folder))? {
        let path = entry.map_err(failed("listing", folder))?.path();
        if let Some(base) = base_of(&path) {
            segments.push(open_segment(path, base)?);
        }
    }
    segments.sort_by_key(|segment| segment.base);
    Ok(segments)
}

fn open_segment(path: PathBuf, base: Position) -> Result<Segment, EngineError> {
    let read = || -> io::Result<(u64, Vec<u8>)> {
        let file = File::open(&path)?;
        Ok((file.metadata()?.len(), shelf::read_up_to(&file, 0, HEADER_BYTES as usize)?))
    };
    let (bytes, start) = read().map_err(failed("reading", &path))?;
    let header = match SegmentHeader::decode(&start) {
        HeaderFound::Valid(header) if header.base == base => Some(header),
        HeaderFound::Valid(header) => {
            let problem =
                format!("the file says that it begins with record {}; give it its old name back", header.base);
            return Err(EngineError::Unusable { path, problem });
        }
        HeaderFound::OtherVersion(version) => {
            let problem = format!("format version {version} is unknown; use the Drover version that wrote it");
            return Err(EngineError::Unusable { path, problem });
        }
        HeaderFound::Damaged => None,
    };
    Ok(Segment::new(path, base, bytes, header))
}

fn base_of(path: &Path) -> Option<Position> {
    path.extension().filter(|extension| *extension == "seg")?;
    path.file_stem()?.to_str()?.parse().ok().filter(|base| *base > 0)
}

fn segment_path(folder: &Path, base: Position) -> PathBuf {
    folder.join(format!("{base:020}.seg"))
}

fn lock(folder: &Path) -> Result<File, EngineError> {
    let path = folder.join("lock");
    let file =
        File::options().write(true).create(true).truncate(false).open(&path).map_err(failed("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(EngineError::Locked(folder.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(failed("locking", &path)(error)),
    }
}

fn check_segment_bytes(folder: &Path, bytes: u64) -> Result<(), EngineError> {
    let limits = 4 * HEADER_BYTES..=u64::from(u32::MAX);
    if limits.contains(&bytes) {
        return Ok(());
    }
    let (min, max) = limits.into_inner();
    let problem = format!("segment_bytes is {bytes}, and has to be between {min} and {max}");
    Err(EngineError::Unusable { path: folder.to_owned(), problem })
}

fn failed(action: &str, path: &Path) -> impl FnOnce(io::Error) -> EngineError {
    let action = format!("{action} {}", path.display());
    move |source| EngineError::Failed { action, source }
}

/// Makes names that were added to or removed from the folder survive a crash.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Different for each segment with all but certainty; needs no protection against guessing.
fn random_id() -> u64 {
    RandomState::new().hash_one(std::time::SystemTime::now())
}

fn write_all_vectored(file: &mut File, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !parts.is_empty() {
        match file.write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut parts, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
