//! The list of the erased: one line for each, the time and a keyed hash of the person. It only grows, and a line is
//! durable before anybody is told that it is there.

use crate::Error;
use crate::cipher::{decode, encode};
use crate::files;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const HEADER: &str = "drover erased v1";

pub(crate) struct ErasedFile {
    path: PathBuf,
    file: File,
    /// A write failed: nobody knows how the file ends.
    torn: bool,
}

impl ErasedFile {
    pub(crate) fn is_there(folder: &Path) -> Result<bool, Error> {
        files::is_there(&path(folder))
    }

    /// Makes an empty list in place of one that may be there.
    pub(crate) fn make(folder: &Path) -> Result<(), Error> {
        files::replace(&path(folder), format!("{HEADER}\n").as_bytes())
    }

    /// The list, and who is in it.
    pub(crate) fn open(folder: &Path) -> Result<(ErasedFile, HashSet<[u8; 32]>), Error> {
        let path = path(folder);
        if !files::is_there(&path)? {
            let why =
                "the list of the erased is missing; bring back its newest copy, or persons that were erased return";
            return Err(Error::Damaged { path, why: why.to_owned() });
        }
        let bytes = files::at(&path, fs::read(&path))?;
        // A last line without an end was never acknowledged.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let erased = read(&bytes[..whole]).map_err(|why| Error::Damaged { path: path.clone(), why })?;
        if whole < bytes.len() {
            files::replace(&path, &bytes[..whole])?;
        }
        let file = append_to(&path)?;
        Ok((ErasedFile { path, file, torn: false }, erased))
    }

    /// Adds a line. On `Ok` it is durable. After a failure the whole list is written anew, from `before`.
    pub(crate) fn append(&mut self, mark: &[u8; 32], before: impl Fn() -> HashSet<[u8; 32]>) -> Result<(), Error> {
        if self.torn {
            let lines: String = before().iter().map(line).collect();
            files::replace(&self.path, format!("{HEADER}\n{lines}").as_bytes())?;
            self.file = append_to(&self.path)?;
            self.torn = false;
        }
        let written = self.file.write_all(line(mark).as_bytes()).and_then(|()| self.file.sync_data());
        self.torn = written.is_err();
        files::at(&self.path, written)
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("erased")
}

fn append_to(path: &Path) -> Result<File, Error> {
    files::at(path, OpenOptions::new().append(true).open(path))
}

/// The time is for people who look into the file.
fn line(mark: &[u8; 32]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("{now} {}\n", encode(mark))
}

fn read(bytes: &[u8]) -> Result<HashSet<[u8; 32]>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err("this is no list of the erased that this version knows".to_owned());
    }
    let marks = lines.enumerate().map(|(at, line)| {
        let mark = line.split_once(' ').and_then(|(_, mark)| decode(mark)?.try_into().ok());
        mark.ok_or_else(|| format!("line {} is damaged; bring the file back from its newest copy", at + 2))
    });
    marks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failed_write_the_list_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        ErasedFile::make(folder.path()).unwrap();
        let (mut list, mut erased) = ErasedFile::open(folder.path()).unwrap();
        list.append(&[1; 32], || unreachable!("nothing failed")).unwrap();
        erased.insert([1; 32]);
        list.file = File::open(&list.path).unwrap(); // it cannot be written to
        list.append(&[2; 32], || unreachable!("nothing failed yet")).unwrap_err();
        fs::write(&list.path, "what a failed write may leave").unwrap();
        list.append(&[2; 32], || erased.clone()).unwrap();
        drop(list);
        assert_eq!(ErasedFile::open(folder.path()).unwrap().1, [[1; 32], [2; 32]].into());
    }
}
