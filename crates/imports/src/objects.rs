//! A watched place of objects: everything that appears under it becomes a job, once, across restarts and crashes. The
//! place is listed again and again, and an announced object is looked at at once. Objects stay where they are; what is
//! worked on is the copy that landed.
//!
//! What makes an object be taken once is the mark that is kept with its job. What was seen in the list is remembered
//! beside it only so that objects which are known cost no request.

use crate::folder::is_left_alone;
use crate::job::Options;
use crate::landing::Coming;
use crate::store::Seen;
use crate::{Imports, LandingError, Wake};
use drover_answer::now_ms;
use drover_objects::{Error, Meta, Objects};
use metrics::Counter;
use std::collections::HashSet;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Objects that are in memory at a time.
const PAGE_OBJECTS: usize = 1000;
/// A list tells times in seconds: what was put so short a time ago may be replaced without looking different in a list
/// that shows no marks, so it is looked at once more.
const FRESH_MS: i64 = 2000;
/// Problems that were told and are not told again until all is well. With more they begin anew.
const TOLD_MAX: usize = 1000;

/// The place, and what it suffers from.
pub(crate) struct Watched {
    objects: Objects,
    profile: Option<String>,
    interval: Duration,
    told: HashSet<String>,
    errors: Counter,
}

/// What became of looking at an object.
enum Outcome {
    /// Nothing more is to be done about it until it changes.
    Settled { refused: bool },
    /// It is looked at again next time.
    Later,
}

impl Watched {
    pub(crate) fn new(objects: Objects, profile: Option<String>, interval: Duration) -> Watched {
        let errors = metrics::counter!("drover_import_store_errors_total");
        Watched { objects, profile, interval, told: HashSet::new(), errors }
    }

    /// Looks again and again until the node stops.
    pub(crate) fn run(mut self, imports: &Imports) {
        let mut due = Instant::now();
        loop {
            match imports.0.wait_announced(due) {
                Wake::Closing => return,
                Wake::Announced(key) => self.look_at_announced(imports, &key),
                Wake::Due => {
                    self.look(imports);
                    due = Instant::now() + self.interval;
                }
            }
        }
    }

    /// Looks at everything.
    fn look(&mut self, imports: &Imports) {
        match self.pages(imports) {
            Ok(true) if !self.told.is_empty() => {
                tracing::info!(place = %self.objects.place(), "the watched place is well again");
                self.told.clear();
            }
            Ok(_) => {}
            Err(error) => self.tell(imports, &error),
        }
    }

    /// Whether all was well. An error is one that every object would meet.
    fn pages(&mut self, imports: &Imports) -> Result<bool, LandingError> {
        let (mut after, mut well) = (None, true);
        loop {
            let page = self.objects.list("", after.as_deref(), PAGE_OBJECTS)?;
            let last = page.last().filter(|_| page.len() == PAGE_OBJECTS).map(|meta| meta.key.clone());
            well &= self.page(imports, page)?;
            match last {
                Some(last) if !imports.0.is_closing() => after = Some(last),
                _ => return Ok(well),
            }
        }
    }

    fn page(&mut self, imports: &Imports, mut page: Vec<Meta>) -> Result<bool, LandingError> {
        page.retain(|meta| meta.bytes > 0 && is_wanted(&meta.key));
        let unseen = imports.0.store.unseen(self.objects.place(), page, imports.0.settings.file_max_bytes)?;
        let mut settled = Vec::new();
        let end = self.unseen(imports, unseen, &mut settled);
        // Together, because each commit waits for the disk. Lost in a crash, they are asked for once more.
        if !settled.is_empty() {
            imports.0.store.see(self.objects.place(), &settled)?;
        }
        end
    }

    fn unseen(&mut self, imports: &Imports, unseen: Vec<Meta>, settled: &mut Vec<Seen>) -> Result<bool, LandingError> {
        let mut well = true;
        for meta in unseen {
            while let Some(key) = imports.0.pop_announced() {
                self.look_at_announced(imports, &key);
            }
            if imports.0.is_closing() {
                break;
            }
            match self.look_at(imports, &meta.key, meta.etag.is_some()) {
                Ok(Outcome::Settled { refused }) => settled.push(Seen { meta, refused }),
                Ok(Outcome::Later) => {}
                Err(LandingError::Place(error)) if is_of_one_object(&error) => {
                    well = false;
                    self.tell(imports, &LandingError::Place(error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(well)
    }

    /// Looks at an object whatever is remembered of the list. What it becomes is remembered when a list shows it.
    fn look_at_announced(&mut self, imports: &Imports, key: &str) {
        if is_wanted(key)
            && let Err(error) = self.look_at(imports, key, true)
        {
            self.tell(imports, &error);
        }
    }

    /// Takes an object that was not taken. `shown` says whether lists tell it from any that may replace it.
    fn look_at(&self, imports: &Imports, key: &str, shown: bool) -> Result<Outcome, LandingError> {
        let asked_ms = now_ms();
        let meta = match self.objects.head(key) {
            Ok(Some(meta)) if meta.bytes > 0 => meta,
            Ok(_) | Err(Error::Key { .. }) => return Ok(Outcome::Later),
            Err(error) => return Err(error.into()),
        };
        let mark = self.mark(&meta);
        if imports.0.store.taken(&mark)?.is_none() {
            if meta.bytes > imports.0.settings.file_max_bytes {
                self.refuse(imports, &meta);
                return Ok(Outcome::Settled { refused: true });
            }
            if !self.take(imports, &meta, &mark)? {
                return Ok(Outcome::Later);
            }
        }
        let fresh = !shown && meta.modified_ms > asked_ms - FRESH_MS;
        Ok(if fresh { Outcome::Later } else { Outcome::Settled { refused: false } })
    }

    /// What this object has, and none that replaces it.
    fn mark(&self, meta: &Meta) -> String {
        let address = self.objects.place().of_key(&meta.key);
        match &meta.etag {
            Some(etag) => format!("object:{address}:{etag}"),
            None => format!("object:{address}:{}:{}", meta.bytes, meta.modified_ms),
        }
    }

    fn refuse(&self, imports: &Imports, meta: &Meta) {
        let object = self.objects.place().of_key(&meta.key);
        let max_mib = imports.0.settings.file_max_bytes >> 20;
        let said = "an object is larger than what is taken; cut it, or raise import_max_mib";
        tracing::warn!(object, bytes = meta.bytes, max_mib, "{said}");
    }

    /// Makes a job of an object; false when it was replaced or removed meanwhile.
    fn take(&self, imports: &Imports, meta: &Meta, mark: &str) -> Result<bool, LandingError> {
        let mut coming = imports.begin()?;
        match self.objects.get_to_file(meta, &mut Fetching { imports, coming: &mut coming }) {
            Ok(_) => {}
            Err(Error::Replaced(_) | Error::Missing(_) | Error::Short(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let mut options = Options::default();
        options.profile.profile.clone_from(&self.profile);
        let source = format!("object {}", self.objects.place().of_key(&meta.key));
        let name = meta.key.rsplit('/').next().unwrap_or(&meta.key);
        imports.land_from(coming, &source, name, options, Some(mark))?;
        Ok(true)
    }

    fn tell(&mut self, imports: &Imports, error: &LandingError) {
        // That a fetch was ended by the end of the node is no error; that too many jobs wait will pass.
        if imports.0.is_closing() || matches!(error, LandingError::Busy) {
            return;
        }
        self.errors.increment(1);
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        if self.told.insert(error.to_string()) {
            let place = self.objects.place();
            tracing::warn!(%place, %error, "objects of the watched place cannot be taken; trying again");
        }
    }
}

/// Whether it is a file's name, and neither hidden nor unfinished, nor in a folder that is.
fn is_wanted(key: &str) -> bool {
    key.split('/').all(|name| !name.is_empty() && !is_left_alone(name))
}

/// Whether other objects may still be had. A store that is in trouble is asked for them, because it may be in trouble
/// with this one alone, for ever.
fn is_of_one_object(error: &Error) -> bool {
    matches!(error, Error::Trouble(_) | Error::Denied(_) | Error::Refused(_) | Error::TooLarge(_))
}

/// Where a fetched object goes. Ends when the node does.
struct Fetching<'a> {
    imports: &'a Imports,
    coming: &'a mut Coming,
}

impl Write for Fetching<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.imports.0.is_closing() {
            return Err(io::Error::other("the node stops"));
        }
        self.coming.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_wanted;

    #[test]
    fn hidden_and_unfinished_names_are_left_alone() {
        assert!(is_wanted("a.csv") && is_wanted("2026/05/a b.csv"));
        for other in ["", "a/", ".a.csv", "x/.hidden/a.csv", "a.csv.part", "x~/a.csv"] {
            assert!(!is_wanted(other), "{other}");
        }
    }
}
