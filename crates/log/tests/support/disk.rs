//! A disk of the test's own, small enough to be filled. Needs the right to mount a tmpfs, and fails loudly without it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in memory, unmounted when dropped.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `size` as `mount` reads it: `4m`.
    pub fn mount(size: &str) -> SmallDisk {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "drover-test"]).arg(folder.path());
        let mounted = mount.status();
        assert!(mounted.is_ok_and(|status| status.success()), "this test has to mount a tmpfs: run it as root");
        SmallDisk(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills what is left of the space with a file, which is returned.
    pub fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut ballast = File::create(&path).expect("a file");
        while ballast.write_all(&[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, so that a file still open after a panic does not keep it mounted.
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()), "unmounting failed");
    }
}
