//! Old days move on: from where new files are written to the warm place, and from there to the cold one. A file is
//! copied as it is, and exchanged for its copy in one step of the catalogue; the old one goes when nobody reads it any
//! more. A crash in between leaves at most a copy that the next try writes over.

use super::Error;
use super::calendar::{DAY_MS, day_of};
use super::catalog::now_ms;
use super::commit::Moved;
use super::store::{Step, Store};
use super::stores::{Stores, Tier, key};
use crate::LakeFile;
use drover_objects::Objects;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// What is due for the age of its days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// `warm`, `cold` or `expire`.
    pub action: &'static str,
    /// From this age on, days.
    pub after_days: u32,
    /// Where it goes; none: it leaves.
    pub place: Option<String>,
    /// Files that are due.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The oldest day of them, days since 1970-01-01 UTC.
    pub oldest_day: Option<i32>,
}

/// A file that belongs elsewhere by now.
pub(crate) struct Move {
    pub(crate) file: Arc<LakeFile>,
    tier: usize,
}

impl Store {
    /// Files that belong into another place by the age of their day, the oldest first.
    pub(crate) fn moves(&self, quiet: impl Fn(i32) -> bool) -> Vec<Move> {
        let files = self.shared.state.lock().files.clone();
        let due = files.iter().filter(|file| quiet(file.day)).filter_map(|file| {
            let tier = self.tier_of(file)?;
            let name = file.path.file_name()?.to_string_lossy();
            let there = file.path == Stores::address(&self.stores.tiers[tier].1, file.day, &name);
            (!there).then(|| Move { file: file.clone(), tier })
        });
        due.collect()
    }

    fn tier_of(&self, file: &LakeFile) -> Option<usize> {
        let tier = self.stores.tier_of_age(age_days(file.day))?;
        self.stores.tiers.iter().position(|known| std::ptr::eq(known, tier))
    }

    /// What would be done now, by what.
    pub(crate) fn due(&self) -> Vec<Due> {
        let mut due: Vec<Due> = self.stores.tiers.iter().map(|(tier, _)| Due::of(tier)).collect();
        for wanted in self.moves(|_| true) {
            due[wanted.tier].add(&wanted.file);
        }
        if let Some(keep_days) = self.settings.keep_days {
            let mut expired = Due { action: "expire", after_days: keep_days, ..Due::default() };
            let old = self.first_kept_day();
            let files = self.shared.state.lock().files.clone();
            files.iter().filter(|file| Some(file.day) < old).for_each(|file| expired.add(file));
            due.push(expired);
        }
        due
    }

    /// The first day that stays, if days leave at all.
    pub(crate) fn first_kept_day(&self) -> Option<i32> {
        let keep_days = self.settings.keep_days?;
        Some(day_of(now_ms().saturating_sub(i64::from(keep_days) * DAY_MS)))
    }

    /// Moves one file. On Err it is where it was.
    pub(crate) fn move_on(&self, wanted: &Move) -> Result<(), Error> {
        let (tier, objects) = &self.stores.tiers[wanted.tier];
        let file = &wanted.file;
        let name = file.path.file_name().expect("files have names").to_string_lossy().into_owned();
        let path = Stores::address(objects, file.day, &name);
        tracing::debug!(from = %file.path.display(), to = %path.display(), tier = tier.name, "a file moves on");
        self.copy(file, objects, &key(file.day, &name))?;
        let stored = self.stores.locate(&path)?;
        let moved = [Moved { from: file.clone(), path, stored }];
        let step = Step { moved: &moved, message: tier.name, ..Step::default() };
        self.commit(&step, |_| ())?;
        metrics::counter!("drover_history_moved_bytes_total", "tier" => tier.name).increment(file.bytes);
        Ok(())
    }

    fn copy(&self, file: &LakeFile, to: &Objects, key: &str) -> Result<(), Error> {
        let failed = Error::objects(&file.path);
        let copied = match &file.stored {
            None => to.put_file(key, &file.path),
            Some(stored) => {
                let staged = self.staging().join(format!("{}.moving", file.id));
                let fetched = fetch(file, stored.objects(), stored.key(), &staged);
                let put = fetched.and_then(|()| to.put_file(key, &staged).map_err(Error::objects(&file.path)));
                let _ = std::fs::remove_file(&staged);
                return check(file, put?.bytes);
            }
        };
        check(file, copied.map_err(failed)?.bytes)
    }
}

fn fetch(file: &LakeFile, from: &Objects, key: &str, staged: &PathBuf) -> Result<(), Error> {
    let meta = from.head(key).map_err(Error::objects(&file.path))?;
    let meta = meta.ok_or_else(|| Error::unusable(&file.path, "is not there any more; run `drover doctor`"))?;
    check(file, meta.bytes)?;
    let mut out = File::create(staged).map_err(Error::file(staged, "making the file"))?;
    from.get_to_file(&meta, &mut out).map_err(Error::objects(&file.path))?;
    Ok(())
}

fn check(file: &LakeFile, bytes: u64) -> Result<(), Error> {
    if bytes == file.bytes {
        return Ok(());
    }
    let problem = format!("has {bytes} bytes where the catalogue says {}; it stays where it is", file.bytes);
    Err(Error::unusable(&file.path, problem))
}

/// Whole days since the last moment of a day.
fn age_days(day: i32) -> i64 {
    (i64::from(day_of(now_ms())) - i64::from(day) - 1).max(-1)
}

impl Due {
    fn of(tier: &Tier) -> Due {
        let place = Some(tier.place.to_string());
        Due { action: tier.name, after_days: tier.after_days, place, ..Due::default() }
    }

    fn add(&mut self, file: &LakeFile) {
        self.files += 1;
        self.rows += file.rows;
        self.bytes += file.bytes;
        self.oldest_day = Some(self.oldest_day.map_or(file.day, |day| day.min(file.day)));
    }
}
