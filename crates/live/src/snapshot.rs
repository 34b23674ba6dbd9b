//! The live state on disk, so that a start replays minutes of the log instead of days. Written beside
//! the old one and renamed when whole; a snapshot that is not whole is passed over for the one before
//! it, and without any the log is replayed from its oldest record.

use crate::state::{Entry, Fix, State};
use drover_model::{Position, Report};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8; 8] = b"DRVLIVE1";
/// Snapshots kept: the newest and one to fall back on.
const KEPT: usize = 2;
/// No fix: a latitude that does not exist.
const NO_FIX: i32 = i32::MIN;

/// Why a snapshot could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The disk said no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is not whole, or of another version.
    #[error("{0} is not a whole snapshot")]
    Damaged(PathBuf),
}

/// Writes the state in its one canonical form.
pub(crate) fn write(state: &State, out: &mut impl Write) -> io::Result<()> {
    let mut out = Hashing { inner: out, hash: Xxh3::new() };
    out.write_all(MAGIC)?;
    out.write_all(&state.applied().to_le_bytes())?;
    out.write_all(&(state.entries().len() as u64).to_le_bytes())?;
    for entry in state.entries() {
        write_entry(entry, &mut out)?;
    }
    let check = out.hash.digest();
    out.inner.write_all(&check.to_le_bytes())
}

fn write_entry(entry: &Entry, out: &mut impl Write) -> io::Result<()> {
    let (lat, lon, time) = entry.fix.map_or((NO_FIX, 0, 0), |fix| (fix.at.lat_e7, fix.at.lon_e7, fix.time));
    out.write_all(&entry.position.to_le_bytes())?;
    out.write_all(&lat.to_le_bytes())?;
    out.write_all(&lon.to_le_bytes())?;
    out.write_all(&time.to_le_bytes())?;
    out.write_all(&(entry.record.len() as u32).to_le_bytes())?;
    out.write_all(&entry.record)
}

/// A hash of the canonical form: equal states have equal checksums on every node.
pub(crate) fn checksum(state: &State) -> u128 {
    let mut out = Hashing { inner: &mut io::sink(), hash: Xxh3::new() };
    write_all(state, &mut out);
    out.hash.digest128()
}

fn write_all(state: &State, out: &mut Hashing<'_, io::Sink>) {
    out.hash.update(&state.applied().to_le_bytes());
    for entry in state.entries() {
        write_entry(entry, out).expect("a sink takes everything");
    }
}

/// Writes a snapshot file and returns it unsynced, so that the caller may go on while another thread
/// calls [`finish`].
pub(crate) fn start(state: &State, folder: &Path) -> io::Result<(File, PathBuf)> {
    let path = folder.join(format!("{:020}.live", state.applied()));
    let file = File::create(path.with_extension("partial"))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(state, &mut out)?;
    Ok((out.into_inner()?, path))
}

/// Makes a started snapshot durable and removes those that are no longer needed.
pub(crate) fn finish(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(path.with_extension("partial"), path)?;
    let folder = path.parent().expect("snapshots lie in a folder");
    File::open(folder)?.sync_all()?;
    let mut all = list(folder)?;
    let old = all.len().saturating_sub(KEPT);
    all.drain(..old).try_for_each(fs::remove_file)
}

/// Removes all but the newest: they have what was erased. One that cannot be removed goes with the next snapshots.
pub(crate) fn only_newest(folder: &Path) {
    let Ok(mut all) = list(folder) else { return };
    all.pop();
    for old in all {
        if let Err(error) = fs::remove_file(&old) {
            tracing::warn!(path = %old.display(), %error, "an old live snapshot cannot be removed");
        }
    }
}

/// The newest whole snapshot of the folder, or an empty state.
pub(crate) fn newest(folder: &Path) -> io::Result<State> {
    fs::create_dir_all(folder)?;
    for path in list(folder)?.into_iter().rev() {
        match read(&path) {
            Ok(state) => return Ok(state),
            Err(error) => tracing::error!(%error, "passing over a snapshot; an older one or the log takes its place"),
        }
    }
    Ok(State::default())
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "live"));
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<State, SnapshotError> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut input = Checked { inner: BufReader::with_capacity(1 << 20, file), hash: Xxh3::new() };
    let damaged = || SnapshotError::Damaged(path.to_owned());
    let [magic, applied, count] = [input.word()?, input.word()?, input.word()?];
    if magic != u64::from_le_bytes(*MAGIC) || count > size / 32 {
        return Err(damaged());
    }
    let mut entries = Vec::with_capacity(count as usize);
    for _ in 0..count {
        entries.push(input.entry(size).map_err(|_| damaged())?);
    }
    let expected = input.hash.digest();
    if input.word()? != expected || entries.iter().any(|entry| Report::decode(&entry.record).is_err()) {
        return Err(damaged());
    }
    Ok(State::restored(entries, applied))
}

struct Hashing<'a, W> {
    inner: &'a mut W,
    hash: Xxh3,
}

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Checked<R> {
    inner: R,
    hash: Xxh3,
}

impl<R: Read> Checked<R> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn word(&mut self) -> io::Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn entry(&mut self, file_bytes: u64) -> io::Result<Entry> {
        let position = self.word()?;
        let (lat_e7, lon_e7) = (i32::from_le_bytes(self.take()?), i32::from_le_bytes(self.take()?));
        let time = i64::from_le_bytes(self.take()?);
        let len = u32::from_le_bytes(self.take()?);
        if u64::from(len) > file_bytes {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut record = vec![0; len as usize].into_boxed_slice();
        self.inner.read_exact(&mut record)?;
        self.hash.update(&record);
        let fix = (lat_e7 != NO_FIX).then_some(Fix { at: Position { lat_e7, lon_e7 }, time });
        Ok(Entry { record, position, fix })
    }
}
