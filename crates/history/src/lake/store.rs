//! The lake as its threads write it: the catalogue under one lock, and each commit published to readers before the
//! lock is given back, so that snapshots and views have one order.

use super::catalog::{Catalog, Head};
use super::commit::{Change, Moved};
use super::expire::Scheduled;
use super::live::Found;
use super::stores::{self, Stores, key};
use super::writer::{Layout, Written};
use super::{DATA, Error, STAGING, TABLE, orphans};
use crate::LakeFile;
use crate::chunk::Shape;
use crate::history::{Settings, Shared, State};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Commits are tried so often when another program writes at the same moments.
const CONFLICTS_MAX: usize = 5;

/// The open lake.
#[derive(Debug)]
pub(crate) struct Store {
    catalog: Mutex<Catalog>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: Settings,
    /// The folder in which new files are written: the table's, or that from where they are taken to a store.
    pub(crate) table: PathBuf,
    pub(crate) stores: Arc<Stores>,
    pub(crate) layout: Layout,
    /// Files that a commit of this process ended; views may still hold them.
    ended: Mutex<HashMap<i64, Weak<LakeFile>>>,
    /// When a day last got a file.
    grown: Mutex<HashMap<i32, Instant>>,
    /// Files that were on their way to a store when the lake was closed or crashed.
    stranded: Mutex<Vec<Stranded>>,
}

/// A file on its way to a store, of which nobody knows whether it came there.
#[derive(Debug)]
struct Stranded {
    staged: PathBuf,
    key: String,
}

/// Files that are to come and to go in one step.
#[derive(Default)]
pub(crate) struct Step<'a> {
    pub(crate) add: &'a [Written],
    pub(crate) end: &'a [Arc<LakeFile>],
    /// Files that end, and begin again elsewhere.
    pub(crate) moved: &'a [Moved],
    /// Cursor and gap after the step; `None` leaves them.
    pub(crate) progress: Option<(u64, u64)>,
    pub(crate) message: &'static str,
}

impl Step<'_> {
    fn ending(&self) -> impl Iterator<Item = &Arc<LakeFile>> {
        self.end.iter().chain(self.moved.iter().map(|moved| &moved.from))
    }

    fn on(&self, head: &Head) -> Change<'_> {
        let (cursor, gap) = self.progress.unwrap_or((head.cursor, head.gap));
        Change { add: self.add, end: self.end, moved: self.moved, cursor, gap, message: self.message }
    }
}

impl Store {
    /// Opens or makes the lake, removes what a crash has left, and reads which files there are.
    pub(crate) fn open(settings: Settings) -> Result<Store, Error> {
        let stores = Arc::new(Stores::open(&settings)?);
        let mut catalog = Catalog::open(&settings.folder, &settings.reading_columns, stores.clone())?;
        orphans::sweep(&mut catalog)?;
        let stranded = stranded(&mut catalog, &settings.folder)?;
        let (files, foreign) = split(catalog.files()?);
        let shape = Shape { schema: catalog.schema.clone(), region: settings.region.as_str().into() };
        let mut state = State::new(catalog.head.snapshot, files, Arc::new(shape), catalog.head.cursor);
        state.status.gap = catalog.head.gap;
        state.status.erasing = settings.erasures.list().len();
        let shared = Arc::new(Shared::new(state, catalog.data.clone()));
        let table = settings.folder.join(if stores.new.is_some() { STAGING } else { DATA }).join(TABLE);
        std::fs::create_dir_all(&table).map_err(Error::file(&table, "making the folder"))?;
        let table = table.canonicalize().map_err(Error::file(&table, "finding the folder"))?;
        let store = Store {
            catalog: Mutex::new(catalog),
            shared,
            settings,
            table,
            stores,
            stranded: Mutex::new(stranded),
            layout: Layout::default(),
            ended: Mutex::default(),
            grown: Mutex::default(),
        };
        store.warn_of_foreign(&foreign);
        Ok(store)
    }

    /// Commits the step and shows it to readers, together with what `then` changes. If somebody else wrote in between,
    /// looks again and retries; [`Error::Conflict`] when a file that is to end has ended already. On Err readers see
    /// nothing of it, and the same step may be tried again.
    pub(crate) fn commit(&self, step: &Step<'_>, then: impl FnOnce(&mut State)) -> Result<(), Error> {
        let mut catalog = self.catalog.lock();
        for _ in 0..CONFLICTS_MAX {
            let change = step.on(&catalog.head);
            match catalog.commit(&change) {
                Ok(added) => {
                    self.publish(&catalog.head, step, added, then);
                    unstage(step.add);
                    return Ok(());
                }
                Err(Error::Conflict { .. }) => {
                    let files = self.look_again(&mut catalog)?;
                    if landed(step, &files) {
                        self.shared.change(then);
                        unstage(step.add);
                        return Ok(());
                    }
                    if !step.ending().all(|ended| files.iter().any(|file| file.id == ended.id)) {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict { path: catalog.path.clone() })
    }

    fn publish(&self, head: &Head, step: &Step<'_>, added: Vec<Arc<LakeFile>>, then: impl FnOnce(&mut State)) {
        let mut ended = self.ended.lock();
        ended.extend(step.ending().map(|file| (file.id, Arc::downgrade(file))));
        drop(ended);
        if step.progress.is_some() {
            self.grown.lock().extend(added.iter().map(|file| (file.day, Instant::now())));
        }
        let gone: HashSet<i64> = step.ending().map(|file| file.id).collect();
        self.shared.change(|state| {
            let kept = state.files.iter().filter(|file| !gone.contains(&file.id)).cloned();
            let mut files: Vec<Arc<LakeFile>> = kept.chain(added).collect();
            files.sort_by_key(|file| (file.day, file.id));
            state.files = files.into();
            state.snapshot = head.snapshot;
            then(state);
        });
    }

    /// Takes over what another writer, or a commit of ours whose answer was lost, has made of the catalogue.
    fn look_again(&self, catalog: &mut Catalog) -> Result<Vec<Arc<LakeFile>>, Error> {
        catalog.look()?;
        let (found, foreign) = split(catalog.files()?);
        self.warn_of_foreign(&foreign);
        let mut files = Vec::with_capacity(found.len());
        self.shared.change(|state| {
            // The same file stays the same to those who hold it.
            let known: HashMap<i64, Arc<LakeFile>> = state.files.iter().map(|file| (file.id, file.clone())).collect();
            files.extend(found.into_iter().map(|file| known.get(&file.id).cloned().unwrap_or(file)));
            let live: HashSet<i64> = files.iter().map(|file| file.id).collect();
            let gone = state.files.iter().filter(|file| !live.contains(&file.id));
            self.ended.lock().extend(gone.map(|file| (file.id, Arc::downgrade(file))));
            state.files = files.as_slice().into();
            state.snapshot = catalog.head.snapshot;
        });
        Ok(files)
    }

    /// Takes a finished file to where new files are kept, and says where it is then. On Err it is where it was, and may be
    /// taken again.
    pub(crate) fn bring(&self, file: &Written) -> Result<Written, Error> {
        let Some(objects) = &self.stores.new else { return Ok(file.clone()) };
        let name = file.path.file_name().expect("files have names").to_string_lossy();
        let address = Stores::address(objects, file.day, &name);
        objects.put_file(&key(file.day, &name), &file.path).map_err(Error::objects(&address))?;
        let stored = self.stores.locate(&address)?;
        Ok(Written { staged: Some(file.path.clone()), path: address, stored, ..file.clone() })
    }

    /// Removes written files that were never committed; those that the catalogue does know stay. One that cannot be
    /// removed from a store now is removed after the next start, for which its staged copy stays.
    pub(crate) fn withdraw(&self, files: &[Written]) {
        let Ok(known) = self.catalog.lock().known_paths() else { return };
        for file in files.iter().filter(|file| !known.contains(&file.path)) {
            if stores::delete(&self.stores, &file.path).is_ok()
                && let Some(staged) = &file.staged
            {
                let _ = std::fs::remove_file(staged);
            }
        }
    }

    /// The folder of files that are on their way.
    pub(crate) fn staging(&self) -> PathBuf {
        self.settings.folder.join(STAGING)
    }

    /// Removes what was on its way to a store when the lake was closed, there and here. What cannot be removed now is
    /// tried again.
    pub(crate) fn remove_stranded(&self) -> Result<(), Error> {
        let mut stranded = self.stranded.lock();
        while let Some(Stranded { staged, key }) = stranded.last() {
            if let Some(objects) = &self.stores.new {
                objects.delete(key).map_err(Error::objects(staged))?;
            }
            tracing::info!(path = %staged.display(), "removing a file that no snapshot knows");
            std::fs::remove_file(staged).map_err(Error::file(staged, "removing a file that no snapshot knows"))?;
            stranded.pop();
        }
        Ok(())
    }

    /// Whether this process has not added to the day for a while.
    pub(crate) fn is_quiet(&self, day: i32, quiet: std::time::Duration) -> bool {
        self.grown.lock().get(&day).is_none_or(|grown| grown.elapsed() >= quiet)
    }

    /// Forgets snapshots that were replaced before the time, then deletes files that no snapshot and no view needs.
    /// Returns how many files went.
    pub(crate) fn expire(&self, replaced_before_ms: i64) -> Result<usize, Error> {
        let scheduled = {
            let mut catalog = self.catalog.lock();
            catalog.expire(replaced_before_ms)?;
            catalog.scheduled()?
        };
        // By path: a file that came back to a place has another number than before.
        let held = scheduled.iter().filter(|scheduled| self.is_held(scheduled.file));
        let held: HashSet<PathBuf> = held.map(|scheduled| scheduled.path.clone()).collect();
        let free: Vec<Scheduled> = scheduled.into_iter().filter(|scheduled| !held.contains(&scheduled.path)).collect();
        if free.is_empty() {
            return Ok(0);
        }
        tracing::debug!(files = free.len(), "expiry");
        free.iter().try_for_each(|scheduled| stores::delete(&self.stores, &scheduled.path))?;
        let ids: Vec<i64> = free.iter().map(|scheduled| scheduled.file).collect();
        self.catalog.lock().deleted(&ids)?;
        self.ended.lock().retain(|id, _| !ids.contains(id));
        Ok(ids.len())
    }

    fn is_held(&self, file: i64) -> bool {
        self.ended.lock().get(&file).is_some_and(|file| file.strong_count() > 0)
    }

    fn warn_of_foreign(&self, foreign: &[PathBuf]) {
        let problem = foreign.first().map(|path| {
            format!(
                "{} data files of the lake were not written by Drover and are not shown, such as {}; let other \
                 programs attach the lake READ_ONLY, and run `drover doctor`",
                foreign.len(),
                path.display()
            )
        });
        self.shared.set_problem("catalog", problem);
    }
}

fn split(found: Vec<Found>) -> (Vec<Arc<LakeFile>>, Vec<PathBuf>) {
    let (mut ours, mut foreign) = (Vec::new(), Vec::new());
    for found in found {
        match found {
            Found::Ours(file) => ours.push(file),
            Found::Foreign(path) => foreign.push(path),
        }
    }
    (ours, foreign)
}

/// Whether an earlier try of the step did go through.
fn landed(step: &Step<'_>, files: &[Arc<LakeFile>]) -> bool {
    let first = step.add.first().map(|added| &added.path).or(step.moved.first().map(|moved| &moved.path));
    first.is_some_and(|first| files.iter().any(|file| file.path == *first))
}

/// Removes what was only needed until the catalogue knew the objects.
fn unstage(added: &[Written]) {
    for staged in added.iter().filter_map(|file| file.staged.as_deref()) {
        if let Err(error) = std::fs::remove_file(staged) {
            tracing::warn!(path = %staged.display(), %error, "a staged file cannot be removed");
        }
    }
}

/// What is staged: files that the catalogue knows go now, others later, when the store can be asked to forget them.
fn stranded(catalog: &mut Catalog, folder: &Path) -> Result<Vec<Stranded>, Error> {
    let staging = folder.join(STAGING);
    if !staging.is_dir() {
        return Ok(Vec::new());
    }
    let known = catalog.known_paths()?;
    let is_known = |staged: &Path| known.iter().any(|path| path.file_name() == staged.file_name());
    let mut stranded = Vec::new();
    for staged in orphans::all_files(&staging)? {
        if is_known(&staged) || !orphans::is_finished(&staged) {
            std::fs::remove_file(&staged).map_err(Error::file(&staged, "removing what is left of a crash"))?;
        } else {
            let within = staged.strip_prefix(&staging).unwrap_or(&staged);
            let key = within.to_string_lossy().into_owned();
            stranded.push(Stranded { staged, key });
        }
    }
    Ok(stranded)
}
