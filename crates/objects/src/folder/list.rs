//! Lists a folder's objects in the order of their keys' bytes without reading folders that cannot have any of them.

use crate::{Meta, key};
use std::fs;
use std::io;
use std::path::Path;

struct List<'a> {
    root: &'a Path,
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    found: Vec<Meta>,
}

pub(super) fn list(root: &Path, prefix: &str, after: &str, limit: usize) -> io::Result<Vec<Meta>> {
    let mut list = List { root, prefix, after, limit, found: Vec::new() };
    list.walk("")?;
    Ok(list.found)
}

impl List<'_> {
    /// `folder` is the root's "" or ends with a slash.
    fn walk(&mut self, folder: &str) -> io::Result<()> {
        for name in self.names(folder)? {
            if self.found.len() >= self.limit {
                break;
            }
            let key = format!("{folder}{name}");
            if key.ends_with('/') {
                match self.walk(&key) {
                    // Removed since it was seen.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    done => done?,
                }
            } else {
                self.add(key)?;
            }
        }
        Ok(())
    }

    /// The names in a folder that may matter, those of folders with a slash. Sorted so, they are in the order of the
    /// keys: `a-b` before `a/b` before `a0`. Links are not followed, so there are no circles.
    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            let key = format!("{folder}{name}");
            if kind.is_dir() && key::check(&key).is_ok() && self.may_have(&format!("{key}/")) {
                name.push('/');
                names.push(name);
            } else if kind.is_file() && self.wants(&key) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn wants(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && key > self.after && key::is_listed(key)
    }

    /// Whether some key that begins with this can be wanted.
    fn may_have(&self, folder: &str) -> bool {
        let on_the_way = folder.starts_with(self.prefix) || self.prefix.starts_with(folder);
        on_the_way && (folder > self.after || self.after.starts_with(folder))
    }

    fn add(&mut self, key: String) -> io::Result<()> {
        match fs::metadata(self.root.join(&key)) {
            Ok(metadata) if metadata.is_file() => self.found.push(super::meta(key, &metadata)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
