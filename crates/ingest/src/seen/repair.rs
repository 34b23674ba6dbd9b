//! Files that are not as they were written: leftovers of a crash go, damaged runs are read as far as they can be. A
//! run that lost keys which the log cannot give back is kept aside, and the message says what that means.

use super::format::BLOCK_ENTRIES;
use super::merge::{self, Source};
use super::run::{OpenError, Run, read_header};
use super::write::read_name;
use super::{Positions, Runs};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What a folder holds.
pub struct Found {
    /// Runs that can be used.
    pub whole: Vec<Run>,
    /// Files that were runs.
    pub damaged: Vec<PathBuf>,
    /// No file has a higher number.
    pub last_id: u64,
}

/// Looks at every file, and removes what a crash left: unfinished runs, and runs whose entries are in a merged one.
pub fn scan(folder: &Path) -> io::Result<Found> {
    let mut found = Found { whole: Vec::new(), damaged: Vec::new(), last_id: 0 };
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("partial") => fs::remove_file(&path)?,
            Some("seen") => found.sort(path)?,
            _ => {}
        }
    }
    found.remove_replaced()?;
    Ok(found)
}

impl Found {
    fn sort(&mut self, path: PathBuf) -> io::Result<()> {
        self.last_id = self.last_id.max(id_of(&path));
        match Run::open(&path) {
            Ok(run) => self.whole.push(run),
            Err(OpenError::Damaged) => self.damaged.push(path),
            Err(OpenError::Io(error)) => return Err(error),
        }
        Ok(())
    }

    fn remove_replaced(&mut self) -> io::Result<()> {
        let ids = self.whole.iter().flat_map(|run| run.header.replaces).filter(|id| *id > 0);
        let replaced: HashSet<u64> = ids.collect();
        self.last_id = replaced.iter().copied().max().unwrap_or(0).max(self.last_id);
        let stays = |path: &Path| !replaced.contains(&id_of(path));
        let (whole, gone): (Vec<_>, _) = self.whole.drain(..).partition(|run| stays(&run.path));
        let (damaged, torn): (Vec<_>, _) = self.damaged.drain(..).partition(|path| stays(path));
        (self.whole, self.damaged) = (whole, damaged);
        gone.into_iter().map(|run| run.path).chain(torn).try_for_each(fs::remove_file)
    }
}

fn id_of(path: &Path) -> u64 {
    read_name(path).map_or(0, |(id, _)| id)
}

impl Runs {
    /// Writes what is left of a damaged file as a new run. It claims the file's positions only if nothing is missing.
    pub(super) fn repair_file(&self, path: &Path, oldest_position: u64) -> io::Result<Option<Run>> {
        let file = File::open(path)?;
        let header = read_header(&file)?;
        let layout = header.as_ref().map_or(self.settings.layout(), |header| header.layout);
        let positions = match &header {
            Some(header) => header.span.positions(),
            // With no name either, any key of the log may have been inside.
            None => read_name(path).map_or(Positions { from: 1, to: u64::MAX - 1 }, |(_, positions)| positions),
        };
        let (mut kept, mut whole) = (0, false);
        let saved = self.write_run(|out| {
            merge::merge(&mut [Source::of_damaged(&file, layout)?], out, &self.stopped)?;
            kept = out.count();
            whole = header.is_some_and(|header| header.count == kept);
            Ok((if whole { positions } else { Positions::unclaimed(positions.to) }, Vec::new()))
        })?;
        let log_has = positions.claim() && positions.from >= oldest_position;
        let loss = if whole { Loss::Nothing } else { Loss::Some { log_has } };
        set_aside(path, loss, &format!("{kept} keys were saved"))?;
        Ok(saved)
    }
}

/// Removes a run that was merged, or keeps it aside if `lost_blocks` of it could not be read.
pub fn retire(run: &Run, lost_blocks: u64, oldest_position: u64) -> io::Result<()> {
    let span = &run.header.span;
    let loss = match lost_blocks {
        0 => Loss::Nothing,
        _ => Loss::Some { log_has: span.positions().claim() && span.from_position >= oldest_position },
    };
    let what = format!(
        "{lost_blocks} blocks of up to {BLOCK_ENTRIES} keys were lost, event times {} to {} ms",
        span.min_event, span.max_event
    );
    set_aside(&run.path, loss, &what)
}

/// What became of a run's keys.
enum Loss {
    Nothing,
    Some { log_has: bool },
}

fn set_aside(path: &Path, loss: Loss, what: &str) -> io::Result<()> {
    let message = match loss {
        Loss::Nothing => return fs::remove_file(path),
        Loss::Some { log_has: true } => {
            tracing::warn!(
                path = %path.display(),
                "damaged run of seen reports: {what}; the log has the rest for the next start"
            );
            return fs::remove_file(path);
        }
        Loss::Some { log_has: false } => {
            "reports of that span may be taken twice if they are sent again, for the log no longer has all of them"
        }
    };
    let aside = path.with_extension("damaged");
    fs::rename(path, &aside)?;
    tracing::error!(path = %aside.display(), "damaged run of seen reports: {what}; {message}; the file is kept aside");
    Ok(())
}
