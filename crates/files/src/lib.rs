//! Databases whose files are there whole or not at all, whenever a process is killed or the power goes.

use redb::{Database, Error};
use std::fs::{self, File};
use std::path::Path;

/// Opens a database, making it if it is not there; it uses at most `cache_bytes` of memory for its pages.
///
/// # Errors
/// The file cannot be made, read or written, is no database, or is open elsewhere.
pub fn open_database(path: &Path, cache_bytes: usize) -> Result<Database, Error> {
    let open = |path: &Path| redb::Builder::new().set_cache_size(cache_bytes).create(path);
    if !path.try_exists().map_err(Error::Io)? {
        // A file whose making was cut off is no database and never becomes one. Under this name it is only in the way.
        let unfinished = path.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_file(&unfinished).map_err(Error::Io)?;
        }
        drop(open(&unfinished)?);
        fs::rename(&unfinished, path).map_err(Error::Io)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Only now will a power cut not take the file's name away.
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(Error::Io)?;
    }
    Ok(open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_whose_making_was_cut_off_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.redb");
        fs::write(folder.path().join("some.unfinished"), [0; 4096]).unwrap();
        drop(open_database(&path, 1 << 20).unwrap());
        assert!(path.exists() && !folder.path().join("some.unfinished").exists());
        drop(open_database(&path, 1 << 20).expect("the same again"));
    }

    #[test]
    fn what_is_no_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.redb");
        fs::write(&path, b"a letter to somebody").unwrap();
        assert!(open_database(&path, 1 << 20).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"a letter to somebody");
    }
}
