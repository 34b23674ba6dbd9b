//! A watched folder: every file that somebody puts there becomes a job, once, across restarts. The file stays where it
//! is; what is worked on is the copy that landed.

use crate::job::Options;
use crate::{Imports, LandingError};
use std::collections::HashMap;
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// How often the folder is looked at. A file is taken when it looks the same twice.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Folders in folders.
const DEPTH_MAX: usize = 8;
/// Ends of names of files that are not finished yet.
const UNFINISHED: [&str; 5] = [".tmp", ".part", ".partial", ".crdownload", "~"];
const PART_BYTES: usize = 256 << 10;

/// A file of the folder as it looked.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Look {
    bytes: u64,
    changed_ns: u128,
    /// Nothing more is to be done about it.
    settled: bool,
}

/// The folder, and what is known of its files.
pub(crate) struct Watched {
    folder: PathBuf,
    profile: Option<String>,
    seen: HashMap<String, Look>,
}

impl Watched {
    pub(crate) fn new(folder: PathBuf, profile: Option<String>) -> Watched {
        Watched { folder, profile, seen: HashMap::new() }
    }

    /// Looks again and again until the node stops.
    pub(crate) fn run(mut self, imports: &Imports) {
        while imports.0.wait(LOOK_INTERVAL) {
            if let Err(error) = self.look(imports) {
                tracing::warn!(folder = %self.folder.display(), %error, "the watched folder cannot be read");
            }
        }
    }

    fn look(&mut self, imports: &Imports) -> io::Result<()> {
        let mut files = Vec::new();
        list(&self.folder, DEPTH_MAX, &mut files)?;
        let mut seen = HashMap::with_capacity(files.len());
        for (path, facts) in files {
            let name = path.strip_prefix(&self.folder).unwrap_or(&path).to_string_lossy().into_owned();
            let now = look_of(&facts, false);
            let before = self.seen.get(&name);
            let same = before.is_some_and(|before| (before.bytes, before.changed_ns) == (now.bytes, now.changed_ns));
            let settled =
                same && (before.is_some_and(|before| before.settled) || self.take(imports, &path, &name, now));
            seen.insert(name, Look { settled, ..now });
        }
        self.seen = seen;
        Ok(())
    }

    /// Makes a job of a file that has not been taken yet; true when nothing more is to be done.
    fn take(&self, imports: &Imports, path: &Path, name: &str, look: Look) -> bool {
        let mark = format!("folder:{name}:{}:{}", look.bytes, look.changed_ns);
        match imports.0.store.taken(&mark) {
            Ok(Some(_)) => true,
            Ok(None) if look.bytes == 0 => true,
            Ok(None) => match self.copy(imports, path, name, look, &mark) {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(file = name, %error, "a file of the watched folder cannot be taken; trying again");
                    false
                }
            },
            Err(error) => {
                tracing::error!(%error, "the store of imports cannot be read");
                false
            }
        }
    }

    fn copy(&self, imports: &Imports, path: &Path, name: &str, look: Look, mark: &str) -> Result<bool, LandingError> {
        let mut coming = imports.begin()?;
        let mut file = File::open(path)?;
        let mut part = vec![0; PART_BYTES];
        loop {
            match file.read(&mut part)? {
                0 => break,
                read => imports.more(&mut coming, &part[..read])?,
            }
        }
        if coming.bytes() != look.bytes || look_of(&file.metadata()?, false) != look {
            return Ok(false); // somebody wrote to it meanwhile
        }
        let mut options = Options::default();
        options.profile.profile.clone_from(&self.profile);
        imports.land_watched(coming, name, options, mark)?;
        Ok(true)
    }
}

/// Whether a file or folder of this name is hidden or unfinished.
pub(crate) fn is_left_alone(name: &str) -> bool {
    name.starts_with('.') || UNFINISHED.iter().any(|end| name.ends_with(end))
}

fn look_of(facts: &Metadata, settled: bool) -> Look {
    let changed = facts.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Look { bytes: facts.len(), changed_ns: changed.unwrap_or_default().as_nanos(), settled }
}

/// Regular files below a folder, hidden and unfinished ones aside. Links are not followed: they could lead anywhere.
fn list(folder: &Path, depth: usize, files: &mut Vec<(PathBuf, Metadata)>) -> io::Result<()> {
    let mut entries: Vec<DirEntry> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_left_alone(&name) {
            continue;
        }
        // A file may be gone again.
        let Ok(facts) = entry.metadata() else { continue };
        if facts.is_dir() && depth > 0 {
            list(&entry.path(), depth - 1, files)?;
        } else if facts.is_file() {
            files.push((entry.path(), facts));
        }
    }
    Ok(())
}
