//! Where files land: written, checksummed and synced before anybody is told that they are here. What landed stays as
//! it came, by the day on which it came, with its checksum beside it in the form that `sha256sum -c` reads.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The folder of files that came, in the data folder.
pub(crate) const RAW: &str = "raw";
/// The folder of files that are still coming, in the folder of imports.
const COMING: &str = "coming";

/// A file that is coming in. Dropped before it landed, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Coming {
    file: File,
    path: PathBuf,
    hash: Sha256,
    bytes: u64,
    landed: bool,
}

/// A file that is here to stay.
#[derive(Debug)]
pub(crate) struct Landed {
    /// Below the data folder.
    pub(crate) raw: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Makes the folders and removes what never landed.
pub(crate) fn prepare(imports: &Path) -> io::Result<()> {
    let coming = imports.join(COMING);
    fs::create_dir_all(&coming)?;
    for entry in fs::read_dir(&coming)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

impl Coming {
    /// Starts a file; `number` tells it from others that are coming at the same time.
    pub(crate) fn start(imports: &Path, number: u64) -> io::Result<Coming> {
        let path = imports.join(COMING).join(number.to_string());
        let file = File::create(&path)?;
        Ok(Coming { file, path, hash: Sha256::new(), bytes: 0, landed: false })
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts the file in its place. On `Ok` it is durable; on `Err` it is gone.
    pub(crate) fn land(mut self, data: &Path, id: u64, name: &str, now_ms: i64) -> io::Result<Landed> {
        let raw = format!("{RAW}/{}/{id:06}-{}", day_folder(now_ms), file_name(name));
        let sha256 = hex(&self.hash.finalize_reset());
        self.settle(data, &raw, &sha256)?;
        Ok(Landed { raw, bytes: self.bytes, sha256 })
    }

    /// Puts a file that landed before, and was away, where it was then. Refuses one that is not the same any more. On
    /// `Ok` it is durable; on `Err` it is gone.
    pub(crate) fn land_again(mut self, data: &Path, raw: &str, sha256: &str) -> io::Result<()> {
        let now = hex(&self.hash.finalize_reset());
        if now != sha256 {
            let error = format!("its SHA-256 is {now}, and was {sha256} when it came");
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        self.settle(data, raw, sha256)
    }

    fn settle(&mut self, data: &Path, raw: &str, sha256: &str) -> io::Result<()> {
        self.file.sync_all()?;
        let folder = Path::new(raw).parent().unwrap_or(Path::new(RAW));
        make_folder(data, folder)?;
        fs::rename(&self.path, data.join(raw))?;
        self.landed = true;
        let mut sums = File::create(data.join(sums_of(raw)))?;
        sums.write_all(sums_line(raw, sha256).as_bytes())?;
        sums.sync_all()?;
        File::open(data.join(folder))?.sync_all()
    }
}

/// Takes all bytes or none.
impl Write for Coming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if !self.landed {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The name of the file with the checksum of another.
pub(crate) fn sums_of(raw: &str) -> String {
    format!("{raw}.sha256")
}

/// What is in it.
pub(crate) fn sums_line(raw: &str, sha256: &str) -> String {
    format!("{sha256}  {}\n", raw.rsplit('/').next().unwrap_or(raw))
}

/// `year=2026/month=11/day=21`, UTC.
fn day_folder(ms: i64) -> String {
    let day = Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(TimeZone::UTC).date();
    format!("year={}/month={:02}/day={:02}", day.year(), day.month(), day.day())
}

/// Makes a folder below `data`, durably: each new name is synced in the folder above it.
fn make_folder(data: &Path, folder: &Path) -> io::Result<()> {
    let mut path = data.to_owned();
    for part in folder {
        let above = path.clone();
        path.push(part);
        if !path.is_dir() {
            fs::create_dir_all(&path)?;
            File::open(&above)?.sync_all()?;
        }
    }
    Ok(())
}

/// The name in letters that every file system and shell takes; its end is kept, since it says what the file is.
fn file_name(name: &str) -> String {
    const NAME_MAX_BYTES: usize = 120;
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().map(safe).collect();
    name[name.len().saturating_sub(NAME_MAX_BYTES)..].to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lands_whole_with_its_checksum_and_leaves_nothing_otherwise() {
        let data = tempfile::tempdir().unwrap();
        let imports = data.path().join("imports");
        prepare(&imports).unwrap();
        let mut coming = Coming::start(&imports, 1).unwrap();
        coming.write_all(b"abc").unwrap();
        drop(Coming::start(&imports, 2).unwrap());
        let landed = coming.land(data.path(), 7, "../etc/päss wd.csv", 1_779_962_400_000).unwrap();
        assert_eq!(landed.raw, "raw/year=2026/month=05/day=28/000007-p_ss_wd.csv");
        // FIPS 180-2, appendix B.1.
        assert_eq!(landed.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let sums = fs::read_to_string(data.path().join(format!("{}.sha256", landed.raw))).unwrap();
        assert_eq!(sums, format!("{}  000007-p_ss_wd.csv\n", landed.sha256));
        assert_eq!(fs::read_dir(imports.join(COMING)).unwrap().count(), 0);
        let again = |bytes: &[u8]| {
            let mut coming = Coming::start(&imports, 3).unwrap();
            coming.write_all(bytes).unwrap();
            coming.land_again(data.path(), &landed.raw, &landed.sha256)
        };
        fs::remove_dir_all(data.path().join(RAW)).unwrap();
        assert_eq!(again(b"abd").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(!data.path().join(RAW).exists());
        again(b"abc").unwrap();
        assert_eq!(fs::read(data.path().join(&landed.raw)).unwrap(), b"abc");
    }
}
