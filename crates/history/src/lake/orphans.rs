//! Data files that no catalogue knows: a crash leaves them between the end of writing and the commit, or between the
//! forgetting and the deletion. Only names that Drover gives are looked at.

use super::catalog::Catalog;
use super::{Error, OURS, TABLE, UNFINISHED};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Files of Drover below the table's folder that the catalogue does not name.
pub(crate) fn find(catalog: &mut Catalog) -> Result<Vec<PathBuf>, Error> {
    // The folder first: a file that is written meanwhile must not look like an orphan.
    let mut found = Vec::new();
    walk(&catalog.data.join(TABLE), &is_ours, &mut found)?;
    let known: HashSet<PathBuf> = catalog.known_paths()?.into_iter().collect();
    found.retain(|path| !known.contains(path));
    Ok(found)
}

/// Removes them, before anything is being written. Returns how many there were.
pub(crate) fn sweep(catalog: &mut Catalog) -> Result<usize, Error> {
    let orphans = find(catalog)?;
    for path in &orphans {
        tracing::info!(path = %path.display(), "removing a file that no snapshot knows");
        std::fs::remove_file(path).map_err(Error::file(path, "removing a file that no snapshot knows"))?;
    }
    Ok(orphans.len())
}

/// Every file below a folder.
pub(crate) fn all_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    walk(folder, &|_| true, &mut found)?;
    Ok(found)
}

/// Whether a file of Drover has its own name.
pub(crate) fn is_finished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

fn walk(folder: &Path, wanted: &dyn Fn(&OsStr) -> bool, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let entries = std::fs::read_dir(folder).map_err(Error::file(folder, "listing the folder"))?;
    for entry in entries {
        let entry = entry.map_err(Error::file(folder, "listing the folder"))?;
        let path = entry.path();
        if entry.file_type().map_err(Error::file(&path, "looking at it"))?.is_dir() {
            walk(&path, wanted, found)?;
        } else if path.file_name().is_some_and(wanted) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_ours(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let name = name.strip_suffix(UNFINISHED).unwrap_or(&name);
    name.starts_with(OURS) && name.ends_with(".parquet")
}
