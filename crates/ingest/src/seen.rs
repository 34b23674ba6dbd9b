//! Which reports are already in the log, by (asset, event time): sorted runs on disk that take over
//! from the tables in memory (`admit`). Exact, because a duplicate dropped by mistake is a lost
//! report: keys are 128-bit hashes, and every key of the log's retention is kept.
//!
//! A run never covers a report that is not durable, so a crash cannot make a report look seen that
//! the log lost. A run file that is missing or torn is rebuilt from the log.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Hash of (kind, event time, id), uniformly spread: the runs rely on it.
pub type Key = [u64; 2];

/// One report that was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// What makes it unique.
    pub key: Key,
    /// Hash of everything that a resend repeats.
    pub content: u64,
}

const ENTRY_BYTES: u64 = 24;
const HEADER_BYTES: u64 = 64;
const MAGIC: &[u8; 8] = b"DRVSEEN1";
/// Entries read at once around the place where a key should stand.
const PROBE_ENTRIES: u64 = 170;
/// So many runs of about one size are merged into one.
const MERGE_FAN_IN: usize = 8;

impl Seen {
    fn to_bytes(self) -> [u8; ENTRY_BYTES as usize] {
        let mut bytes = [0; ENTRY_BYTES as usize];
        bytes[..8].copy_from_slice(&self.key[0].to_le_bytes());
        bytes[8..16].copy_from_slice(&self.key[1].to_le_bytes());
        bytes[16..].copy_from_slice(&self.content.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Seen {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Seen { key: [word(0), word(8)], content: word(16) }
    }
}

/// What a run says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Earliest event time inside, ms.
    pub min_event: i64,
    /// Latest event time inside, ms.
    pub max_event: i64,
    /// With the runs before it, everything up to this log position is covered.
    pub to_position: u64,
}

/// One sorted file of keys.
#[derive(Debug)]
struct Run {
    file: File,
    path: PathBuf,
    count: u64,
    span: Span,
}

/// The runs of a folder.
#[derive(Debug)]
pub struct Runs {
    folder: PathBuf,
    runs: parking_lot::RwLock<Vec<Arc<Run>>>,
}

impl Runs {
    /// Opens the folder, making it if needed. Files that are not whole are removed: the log still
    /// has what they held.
    pub fn open(folder: &Path) -> io::Result<Runs> {
        fs::create_dir_all(folder)?;
        let mut runs = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match Run::open(&path) {
                Ok(run) => runs.push(Arc::new(run)),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "removing an unreadable run of seen reports; it is rebuilt from the log");
                    fs::remove_file(&path)?;
                }
            }
        }
        runs.sort_by_key(|run| run.span.to_position);
        Ok(Runs { folder: folder.to_owned(), runs: parking_lot::RwLock::new(runs) })
    }

    /// Everything up to this log position is in a run.
    pub fn covered(&self) -> u64 {
        self.runs.read().last().map_or(0, |run| run.span.to_position)
    }

    /// The content hash of `key`, if a run has it. An error means "cannot tell".
    pub fn find(&self, key: Key, event_time: i64) -> io::Result<Option<u64>> {
        let runs: Vec<Arc<Run>> = self
            .runs
            .read()
            .iter()
            .rev()
            .filter(|run| (run.span.min_event..=run.span.max_event).contains(&event_time))
            .cloned()
            .collect();
        for run in runs {
            if let Some(content) = run.find(key)? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    /// Writes a run and makes it visible. On error nothing changed.
    pub fn add(&self, mut seen: Vec<Seen>, span: Span) -> io::Result<()> {
        seen.sort_unstable();
        seen.dedup_by_key(|s| s.key);
        let run = self.write(seen.len() as u64, span, seen.into_iter().map(Ok))?;
        self.runs.write().push(Arc::new(run));
        Ok(())
    }

    /// Removes runs whose reports have all left the log, then merges runs of about one size so that
    /// a look-up touches few files.
    pub fn tidy(&self, oldest_position: u64) -> io::Result<()> {
        let old: Vec<_> = {
            let mut runs = self.runs.write();
            let (gone, kept) = runs.drain(..).partition(|run| run.span.to_position < oldest_position);
            *runs = kept;
            gone
        };
        for run in old {
            fs::remove_file(&run.path)?;
        }
        while let Some(group) = self.mergeable() {
            self.merge(group)?;
        }
        Ok(())
    }

    fn mergeable(&self) -> Option<Vec<Arc<Run>>> {
        let runs = self.runs.read();
        runs.windows(MERGE_FAN_IN)
            .find(|group| group.iter().all(|run| run.count / 4 <= group[MERGE_FAN_IN - 1].count))
            .map(<[_]>::to_vec)
    }

    fn merge(&self, group: Vec<Arc<Run>>) -> io::Result<()> {
        let span = Span {
            min_event: group.iter().map(|run| run.span.min_event).min().expect("a group has runs"),
            max_event: group.iter().map(|run| run.span.max_event).max().expect("a group has runs"),
            to_position: group[group.len() - 1].span.to_position,
        };
        let count = group.iter().map(|run| run.count).sum();
        // The merged file takes the place of the newest one, whose name it would share.
        let run = Arc::new(self.write(count, span, Merge::new(&group)?)?);
        let mut runs = self.runs.write();
        let at = runs.iter().position(|run| Arc::ptr_eq(run, &group[0])).expect("only this thread removes runs");
        runs.splice(at..at + group.len(), [run]);
        drop(runs);
        for old in &group[..group.len() - 1] {
            fs::remove_file(&old.path)?;
        }
        Ok(())
    }

    fn write(&self, count: u64, span: Span, seen: impl Iterator<Item = io::Result<Seen>>) -> io::Result<Run> {
        let path = self.folder.join(format!("{:020}.seen", span.to_position));
        let partial = path.with_extension("partial");
        let mut out = BufWriter::with_capacity(1 << 18, File::create(&partial)?);
        out.write_all(&header(count, span))?;
        for seen in seen {
            out.write_all(&seen?.to_bytes())?;
        }
        out.into_inner()?.sync_all()?;
        fs::rename(&partial, &path)?;
        File::open(&self.folder)?.sync_all()?;
        Run::open(&path)
    }
}

fn header(count: u64, span: Span) -> [u8; HEADER_BYTES as usize] {
    let mut bytes = [0; HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&count.to_le_bytes());
    bytes[16..24].copy_from_slice(&span.min_event.to_le_bytes());
    bytes[24..32].copy_from_slice(&span.max_event.to_le_bytes());
    bytes[32..40].copy_from_slice(&span.to_position.to_le_bytes());
    let check = xxhash_rust::xxh3::xxh3_64(&bytes[..56]);
    bytes[56..].copy_from_slice(&check.to_le_bytes());
    bytes
}

impl Run {
    fn open(path: &Path) -> io::Result<Run> {
        let file = File::open(path)?;
        let mut bytes = [0; HEADER_BYTES as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let count = word(8);
        let span = Span { min_event: word(16) as i64, max_event: word(24) as i64, to_position: word(32) };
        let whole = file.metadata()?.len() == HEADER_BYTES + count * ENTRY_BYTES;
        if header(count, span) != bytes || !whole {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a whole run file"));
        }
        Ok(Run { file, path: path.to_owned(), count, span })
    }

    /// Interpolation search: the keys are hashes, so the place of a key is known to within a few
    /// hundred entries, and one or two reads find it.
    fn find(&self, key: Key) -> io::Result<Option<u64>> {
        let (mut low, mut high) = (0, self.count);
        let mut guess = ((u128::from(key[0]) * u128::from(self.count)) >> 64) as u64;
        let mut buffer = [0; (PROBE_ENTRIES * ENTRY_BYTES) as usize];
        while low < high {
            let start = guess.saturating_sub(PROBE_ENTRIES / 2).clamp(low, high - 1);
            let len = PROBE_ENTRIES.min(high - start);
            let bytes = &mut buffer[..(len * ENTRY_BYTES) as usize];
            self.file.read_exact_at(bytes, HEADER_BYTES + start * ENTRY_BYTES)?;
            let entry = |i: u64| Seen::from_bytes(&bytes[(i * ENTRY_BYTES) as usize..((i + 1) * ENTRY_BYTES) as usize]);
            if key < entry(0).key {
                high = start;
            } else if key > entry(len - 1).key {
                low = start + len;
            } else {
                return Ok((0..len).map(entry).find(|seen| seen.key == key).map(|seen| seen.content));
            }
            guess = low + (high - low) / 2;
        }
        Ok(None)
    }
}

/// The entries of several runs in order.
struct Merge(Vec<(Seen, BufReader<File>, u64)>);

impl Merge {
    fn new(group: &[Arc<Run>]) -> io::Result<Merge> {
        let mut sources = Vec::new();
        for run in group {
            let mut reader = BufReader::with_capacity(1 << 16, File::open(&run.path)?);
            reader.read_exact(&mut [0; HEADER_BYTES as usize])?;
            if let Some(first) = next_entry(&mut reader, run.count)? {
                sources.push((first, reader, run.count - 1));
            }
        }
        Ok(Merge(sources))
    }
}

impl Iterator for Merge {
    type Item = io::Result<Seen>;

    fn next(&mut self) -> Option<io::Result<Seen>> {
        let at = (0..self.0.len()).min_by_key(|i| self.0[*i].0)?;
        let (seen, reader, left) = &mut self.0[at];
        let out = *seen;
        match next_entry(reader, *left) {
            Err(error) => return Some(Err(error)),
            Ok(Some(next)) => {
                *seen = next;
                *left -= 1;
            }
            Ok(None) => drop(self.0.swap_remove(at)),
        }
        Some(Ok(out))
    }
}

fn next_entry(reader: &mut impl Read, left: u64) -> io::Result<Option<Seen>> {
    if left == 0 {
        return Ok(None);
    }
    let mut bytes = [0; ENTRY_BYTES as usize];
    reader.read_exact(&mut bytes)?;
    Ok(Some(Seen::from_bytes(&bytes)))
}
