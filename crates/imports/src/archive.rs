//! The files as they came, when they are old: they move to a colder place, and leave when their time is over. A job says
//! where its file is, and a retry of a failed one has it brought back.
//!
//! Must always hold:
//! - a file is deleted here only when the job says, durably, that it is whole in the other place;
//! - what a crash left half done is done again, and harms nothing;
//! - a job that is not over keeps its file here.

use crate::job::{Job, JobId, State};
use crate::landing::{RAW, sums_line, sums_of};
use crate::{Imports, LandingError, Shared};
use drover_answer::now_ms;
use drover_objects::{Error, Objects, Place, S3};
use metrics::Counter;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DAY_MS: i64 = 86_400_000;
/// Jobs that are in memory at a time.
const PAGE_JOBS: usize = 1000;
/// The folder of a day is not removed before no file can be about to land in it.
const FOLDER_MIN_MS: i64 = 2 * DAY_MS;

/// What becomes of the files as they came when they are old. By default they stay.
#[derive(Debug, Clone)]
pub struct RawTier {
    /// After so many days a file moves to this place, under its path below the data folder.
    pub cold: Option<(u32, Place)>,
    /// After so many days it leaves wherever it is.
    pub keep_days: Option<u32>,
    /// How buckets are reached.
    pub s3: S3,
    /// Only say what would go.
    pub dry_run: bool,
    /// How often files are looked at.
    pub interval: Duration,
}

impl Default for RawTier {
    fn default() -> RawTier {
        let interval = Duration::from_secs(3600);
        RawTier { cold: None, keep_days: None, s3: S3::default(), dry_run: false, interval }
    }
}

impl RawTier {
    /// Refuses a cold place that is the data folder itself: moving there would be deleting.
    fn check(&self, data: &Path) -> Result<(), LandingError> {
        let Some((_, Place::Folder(cold))) = &self.cold else { return Ok(()) };
        for below in ["", RAW] {
            let same = match (fs::metadata(data.join(below)), fs::metadata(cold.join(below))) {
                (Ok(data), Ok(cold)) => (data.dev(), data.ino()) == (cold.dev(), cold.ino()),
                _ => false,
            };
            if same {
                let cold = cold.display();
                return Err(LandingError::Options(format!("raw_cold_store {cold} is where the files are already")));
            }
        }
        Ok(())
    }
}

/// What is to be done with a file.
enum Due {
    Move,
    Leave,
}

/// Moves and removes files.
pub(crate) struct Archive {
    shared: Arc<Shared>,
    cold: Option<Objects>,
    moved: Counter,
    expired: Counter,
}

impl Archive {
    pub(crate) fn open(shared: Arc<Shared>) -> Result<Archive, LandingError> {
        let tier = &shared.settings.raw;
        let open = |(_, place): &(u32, Place)| -> Result<Objects, LandingError> {
            Ok(Objects::open(&absolute(place)?, &tier.s3)?)
        };
        let cold = tier.cold.as_ref().map(open).transpose()?;
        tier.check(&shared.settings.data)?;
        let moved = metrics::counter!("drover_raw_files_moved_total");
        let expired = metrics::counter!("drover_raw_files_expired_total");
        Ok(Archive { shared, cold, moved, expired })
    }

    /// Looks again and again until the node stops.
    pub(crate) fn run(self) {
        loop {
            if let Err(error) = self.look() {
                tracing::warn!(%error, "old files cannot be moved or removed; trying again with the next look");
            }
            if !self.shared.wait(self.shared.settings.raw.interval) {
                return;
            }
        }
    }

    /// Looks at every job, newest first. An error is one that the other files would meet too.
    fn look(&self) -> Result<(), LandingError> {
        let now = now_ms();
        let mut from = None;
        loop {
            let page = self.shared.store.list(from, PAGE_JOBS)?;
            for job in page.iter().filter(|job| job.state.is_over() && !job.raw.is_empty()) {
                if self.shared.is_closing() {
                    return Ok(());
                }
                self.tend(job.id, now)?;
            }
            match page.last() {
                Some(last) if page.len() == PAGE_JOBS && last.id > 1 => from = Some(last.id - 1),
                _ => return Ok(()),
            }
        }
    }

    fn tend(&self, id: JobId, now: i64) -> Result<(), LandingError> {
        let Some(_held) = self.shared.hold(id) else { return Ok(()) };
        // As it is while nobody else can begin it anew.
        let Some(job) = self.shared.store.get(id)?.filter(|job| job.state.is_over() && !job.raw.is_empty()) else {
            return Ok(());
        };
        let dry_run = self.shared.settings.raw.dry_run;
        match self.due(&job, now) {
            Some(Due::Leave) if dry_run => tracing::info!(job = id, raw = job.raw, "dry run: this file would leave"),
            Some(Due::Move) if dry_run => tracing::info!(job = id, raw = job.raw, "dry run: this file would move"),
            Some(Due::Leave) => self.leave(job)?,
            Some(Due::Move) => self.move_away(job)?,
            // A crash came between the last two steps of moving it, or the last of bringing it back.
            None if !dry_run && !is_here(&job) => self.remove_here(&job, now)?,
            None => {}
        }
        Ok(())
    }

    fn due(&self, job: &Job, now: i64) -> Option<Due> {
        let tier = &self.shared.settings.raw;
        let is_older = |days: u32| now.saturating_sub(job.created) >= i64::from(days) * DAY_MS;
        if tier.keep_days.is_some_and(is_older) {
            return Some(Due::Leave);
        }
        let moves = is_here(job) && tier.cold.as_ref().is_some_and(|(days, _)| is_older(*days));
        moves.then_some(Due::Move)
    }

    fn move_away(&self, job: Job) -> Result<(), LandingError> {
        let Some(cold) = &self.cold else { return Ok(()) };
        let key = job.raw.clone();
        let file = self.shared.settings.data.join(&key);
        let bytes = match fs::metadata(&file) {
            Ok(facts) => facts.len(),
            Err(error) => {
                // Of one file; the others may be there.
                tracing::warn!(job = job.id, raw = key, %error, "a file as it came cannot be read, and does not move");
                return Ok(());
            }
        };
        let sums = sums_line(&key, &job.sha256);
        cold.put_file(&key, &file)?;
        cold.put(&sums_of(&key), sums.clone().into())?;
        expect(cold, &key, bytes)?;
        expect(cold, &sums_of(&key), sums.len() as u64)?;
        let job = Job { raw: cold.place().of_key(&key), ..job };
        self.shared.store.put(&job)?;
        self.moved.increment(1);
        tracing::info!(job = job.id, raw = job.raw, "a file as it came has moved");
        self.remove_here(&job, now_ms())
    }

    /// Removes first and says so then, so that a crash leaves nothing that nobody knows of.
    fn leave(&self, job: Job) -> Result<(), LandingError> {
        let tier = &self.shared.settings.raw;
        match split(&job.raw) {
            Some((place, key)) => remove(&Objects::open(&place, &tier.s3)?, key)?,
            // It may have been moved, and brought back since.
            None => self.cold.as_ref().map_or(Ok(()), |cold| remove(cold, &job.raw))?,
        }
        self.remove_here(&job, now_ms())?;
        tracing::info!(job = job.id, raw = job.raw, "the time of a file as it came is over");
        self.shared.store.put(&Job { raw: String::new(), ..job })?;
        self.expired.increment(1);
        Ok(())
    }

    fn remove_here(&self, job: &Job, now: i64) -> Result<(), LandingError> {
        let key = split(&job.raw).map_or(job.raw.as_str(), |(_, key)| key);
        let file = self.shared.settings.data.join(key);
        remove_file(&file)?;
        remove_file(&self.shared.settings.data.join(sums_of(key)))?;
        if let Some(folder) = file.parent().filter(|_| now - job.created > FOLDER_MIN_MS) {
            // It goes with the last file in it.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }
}

/// Jobs say where their files are for years: whatever folder a node is started in then.
fn absolute(place: &Place) -> io::Result<Place> {
    match place {
        Place::Folder(folder) => Ok(Place::Folder(std::path::absolute(folder)?)),
        Place::Bucket { .. } => Ok(place.clone()),
    }
}

/// Whether the job's file is in the data folder.
fn is_here(job: &Job) -> bool {
    split(&job.raw).is_none()
}

/// Place and key of a file that was moved away; nothing for one that is here. The place is that of the day on which it
/// was moved, whatever is configured now.
fn split(raw: &str) -> Option<(Place, &str)> {
    let at = raw.rfind(&format!("/{RAW}/year="))?;
    let place = Place::parse(&raw[..at]).ok()?;
    Some((place, &raw[at + 1..]))
}

fn expect(cold: &Objects, key: &str, bytes: u64) -> Result<(), LandingError> {
    let there = cold.head(key)?.map(|meta| meta.bytes);
    if there == Some(bytes) {
        return Ok(());
    }
    let at = cold.place().of_key(key);
    Err(io::Error::other(format!("{at} has {there:?} bytes where {bytes} were put; the file stays here")).into())
}

fn remove(objects: &Objects, key: &str) -> Result<(), Error> {
    objects.delete(key)?;
    objects.delete(&sums_of(key))
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A job whose file nobody else moves, removes or brings back.
pub(crate) struct Held<'a> {
    shared: &'a Shared,
    id: JobId,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shared.held.lock().remove(&self.id);
    }
}

impl Shared {
    /// Nothing while somebody else holds it.
    pub(crate) fn hold(&self, id: JobId) -> Option<Held<'_>> {
        self.held.lock().insert(id).then_some(Held { shared: self, id })
    }
}

impl Imports {
    /// Has the file of a job, which is held and over, here; says where below the data folder. The job has yet to be told.
    pub(crate) fn bring_back(&self, job: &Job) -> Result<String, String> {
        debug_assert!(job.state == State::Failed, "only what failed begins anew");
        if job.raw.is_empty() {
            return Err("the file left when its time was over (raw_keep_days): send it again".into());
        }
        let Some((place, key)) = split(&job.raw) else {
            let here = self.0.raw(job);
            return fs::metadata(here).map(|_| job.raw.clone()).map_err(|error| format!("{}: {error}", job.raw));
        };
        self.fetch(&place, key, job).map_err(|error| format!("{}: {error}", job.raw))?;
        Ok(key.to_owned())
    }

    fn fetch(&self, place: &Place, key: &str, job: &Job) -> Result<(), LandingError> {
        let objects = Objects::open(place, &self.0.settings.raw.s3)?;
        let gone = || io::Error::new(io::ErrorKind::NotFound, "it is not there any more");
        let meta = objects.head(key)?.ok_or_else(gone)?;
        let mut coming = self.begin()?;
        objects.get_to_file(&meta, &mut coming)?;
        Ok(coming.land_again(&self.0.settings.data, key, &job.sha256)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_the_place_and_the_key() {
        let key = "raw/year=2026/month=05/day=28/000007-a.csv";
        assert_eq!(split(key), None);
        for place in ["s3://lake", "s3://lake/raw/cold", "/srv/raw/year=2026"] {
            let place = Place::parse(place).unwrap();
            assert_eq!(split(&place.of_key(key)), Some((place, key)));
        }
    }
}
