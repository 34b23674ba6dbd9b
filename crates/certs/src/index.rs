//! The authority's index: what was issued and what was taken back, one JSON line each, only ever added
//! to. Another process may add to it (the command line beside a running node): whoever adds holds the
//! file's lock, and whoever reads takes up whole lines from where it was. Keys are never in it.

use crate::error::Error;
use crate::files::sync_folder_of;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a certificate is taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not said.
    #[default]
    Unspecified,
    /// Somebody else may have the key.
    KeyCompromise,
    /// Another certificate takes its place.
    Superseded,
    /// The device is in use no more.
    CessationOfOperation,
    /// The device may not do any more what it could.
    PrivilegeWithdrawn,
}

impl Reason {
    /// Every reason there is.
    pub const ALL: [Reason; 5] = [
        Reason::Unspecified,
        Reason::KeyCompromise,
        Reason::Superseded,
        Reason::CessationOfOperation,
        Reason::PrivilegeWithdrawn,
    ];

    /// As a word.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Unspecified => "unspecified",
            Reason::KeyCompromise => "key_compromise",
            Reason::Superseded => "superseded",
            Reason::CessationOfOperation => "cessation_of_operation",
            Reason::PrivilegeWithdrawn => "privilege_withdrawn",
        }
    }

    /// From the word.
    pub fn parse(name: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// A certificate that was issued, or only revoked, here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Serial number, hexadecimal.
    pub serial: Arc<str>,
    /// Whose it is, `driver/d-1`; none for a revoked one of the operator's own authority.
    pub name: Option<Box<str>>,
    /// Since when, ms UTC.
    pub issued_ms: i64,
    /// Until when it is valid, ms UTC.
    pub expires_ms: i64,
    /// When it was taken back, and why.
    pub revoked: Option<(i64, Reason)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Issued { serial: Box<str>, name: Box<str>, at_ms: i64, expires_ms: i64 },
    Revoked { serial: Box<str>, reason: Reason, at_ms: i64 },
}

/// What the index says, in memory.
#[derive(Debug, Default)]
pub(crate) struct Known(pub(crate) HashMap<Arc<str>, Listed>);

impl Known {
    pub(crate) fn revoked(&self, serial: &str) -> bool {
        self.0.get(serial).is_some_and(|listed| listed.revoked.is_some())
    }

    /// Takes up a line; gives the serial if it is revoked by it.
    pub(crate) fn take_up(&mut self, line: Line) -> Option<Arc<str>> {
        match line {
            Line::Issued { serial, name, at_ms, expires_ms } => {
                let listed = self.entry(&serial);
                (listed.name, listed.issued_ms, listed.expires_ms) = (Some(name), at_ms, expires_ms);
                None
            }
            Line::Revoked { serial, reason, at_ms } => {
                let listed = self.entry(&serial);
                let is_new = listed.revoked.is_none();
                listed.revoked.get_or_insert((at_ms, reason));
                is_new.then(|| listed.serial.clone())
            }
        }
    }

    fn entry(&mut self, serial: &str) -> &mut Listed {
        let serial: Arc<str> = serial.into();
        let empty = Listed { serial: serial.clone(), name: None, issued_ms: 0, expires_ms: 0, revoked: None };
        self.0.entry(serial).or_insert(empty)
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    file: File,
    /// Everything before it was taken up.
    read_to: u64,
}

impl Index {
    pub(crate) fn open(path: &Path) -> Result<Index, Error> {
        let open = || {
            let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
            sync_folder_of(path)?;
            Ok(file)
        };
        Ok(Index { path: path.into(), file: open().map_err(Error::file(path))?, read_to: 0 })
    }

    /// Whether lines are there that were not taken up.
    pub(crate) fn has_grown(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.len() != self.read_to)
    }

    /// Lines that were added since, with everybody else held off meanwhile.
    pub(crate) fn catch_up(&mut self) -> Result<Vec<Line>, Error> {
        self.locked(Index::read_new)
    }

    /// Adds a line; on return it is on disk. Gives it back, after those that others added before.
    pub(crate) fn add(&mut self, line: Line) -> Result<Vec<Line>, Error> {
        let read_to = self.read_to;
        let added = self.locked(|index| {
            let mut lines = index.read_new()?;
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            index.file.write_all(&text)?;
            index.file.sync_all()?;
            index.read_to += text.len() as u64;
            lines.push(line);
            Ok(lines)
        });
        added.inspect_err(|_| self.read_to = read_to)
    }

    /// A line that a crash cut is thrown away: nobody was told that it is there.
    fn read_new(&mut self) -> std::io::Result<Vec<Line>> {
        self.file.seek(SeekFrom::Start(self.read_to))?;
        let mut text = Vec::new();
        self.file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            self.file.set_len(self.read_to + whole as u64)?;
        }
        let lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(serde_json::from_slice).collect::<Result<Vec<Line>, _>>()?;
        self.read_to += whole as u64;
        Ok(lines)
    }

    /// Does something beside the file that no other process may do at the same time.
    pub(crate) fn alone<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.file.lock().map_err(Error::file(&self.path))?;
        let done = work();
        self.file.unlock().map_err(Error::file(&self.path))?;
        done
    }

    fn locked<T>(&mut self, work: impl FnOnce(&mut Index) -> std::io::Result<T>) -> Result<T, Error> {
        self.file.lock().map_err(Error::file(&self.path))?;
        let done = work(self);
        let unlocked = self.file.unlock();
        done.and_then(|done| unlocked.map(|()| done)).map_err(Error::file(&self.path))
    }
}
