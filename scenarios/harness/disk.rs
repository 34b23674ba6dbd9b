//! A disk of the test's own, small enough to be filled.

use super::tool;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A tmpfs, which needs the right to mount; unmounted however the test ends.
pub struct SmallDisk {
    at: PathBuf,
    mib: usize,
}

impl SmallDisk {
    pub fn mount(at: &Path, mib: usize) -> SmallDisk {
        fs::create_dir_all(at).expect("a folder to mount on");
        let place = at.to_str().expect("a path in UTF-8");
        let mounted = tool("mount", &["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs", place]);
        mounted.unwrap_or_else(|why| panic!("this test mounts a tmpfs and needs the right to (root): {why}"));
        SmallDisk { at: at.to_owned(), mib }
    }

    /// A file that stands for other users of the disk.
    pub fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Takes all that is left into the file `name`, so that nothing else finds room.
    pub fn fill(&self, name: &str) {
        let mut file = fs::File::create(self.at.join(name)).expect("a file, however small");
        let error = file.write_all(&vec![0; self.mib << 20]).expect_err("more than the disk holds");
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, as a panicking test may leave a process that still ends.
        if let Err(why) = tool("umount", &["-l", self.at.to_str().expect("a path in UTF-8")]) {
            eprintln!("{} stays mounted: {why}", self.at.display());
        }
    }
}
