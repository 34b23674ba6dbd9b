//! The list of erased assets on disk: in the vault's folder, which is kept apart from what it lets be forgotten. A line for
//! each, synced before an erasure begins, so that a restart, and a restored copy of everything else, forgets again.

use anyhow::{Context, ensure};
use drover_model::{Erased, Erasures, Kind};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file and the list. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Forgotten {
    path: Arc<PathBuf>,
    pub list: Erasures,
}

impl Forgotten {
    /// Reads the list; a last line that a crash has torn never began an erasure.
    pub fn open(folder: &Path) -> anyhow::Result<Forgotten> {
        let path = folder.join("erased-assets");
        let list = Erasures::default();
        let mut text = String::new();
        if path.try_exists().with_context(|| format!("looking for {}", path.display()))? {
            File::open(&path)
                .and_then(|mut file| file.read_to_string(&mut text))
                .with_context(|| path.display().to_string())?;
        }
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        for (number, line) in whole.lines().enumerate() {
            let erased = read(line).with_context(|| format!("{}, line {}", path.display(), number + 1))?;
            list.add(erased);
        }
        Ok(Forgotten { path: Arc::new(path), list })
    }

    /// Puts an asset on the list. On `Ok` it is on disk.
    pub fn add(&self, erased: &Erased) -> anyhow::Result<()> {
        let path = &*self.path;
        let open = || OpenOptions::new().create(true).read(true).append(true).open(path);
        let mut file = open().with_context(|| format!("opening {}", path.display()))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let torn = !text.is_empty() && !text.ends_with('\n');
        let line = json!({"kind": erased.kind.name(), "id": erased.id, "until_ms": erased.until_ms});
        if torn {
            file.set_len(text.rfind('\n').map_or(0, |end| end as u64 + 1))?;
        }
        writeln!(file, "{line}")
            .and_then(|()| file.sync_all())
            .with_context(|| format!("writing {}", path.display()))?;
        let folder = path.parent().context("the file is in a folder")?;
        File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| format!("syncing {}", folder.display()))
    }
}

fn read(line: &str) -> anyhow::Result<Erased> {
    let value: Value = serde_json::from_str(line)?;
    let kind = value["kind"].as_str().and_then(Kind::parse).context("no kind")?;
    let id = value["id"].as_str().context("no id")?;
    ensure!(!id.is_empty(), "an empty id");
    Ok(Erased { kind, id: id.into(), until_ms: value["until_ms"].as_i64().context("no moment")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_passed_over_and_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let erased = |id: &str| Erased { kind: Kind::Driver, id: id.into(), until_ms: 7 };
        Forgotten::open(folder.path()).unwrap().add(&erased("d-1")).unwrap();
        let path = folder.path().join("erased-assets");
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"kind\":\"dri");
        std::fs::write(&path, text).unwrap();
        let forgotten = Forgotten::open(folder.path()).unwrap();
        assert_eq!(forgotten.list.list(), [erased("d-1")]);
        forgotten.add(&erased("d-2")).unwrap();
        assert_eq!(Forgotten::open(folder.path()).unwrap().list.list(), [erased("d-1"), erased("d-2")]);
    }
}
