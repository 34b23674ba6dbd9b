//! Files of telemetry. A file lands, is archived as it came, and becomes a job: its rows go the way of every report,
//! through admission into the log, and each rejected one is listed with its reason. Jobs outlive the node: after a
//! crash they go on where they were.
//!
//! Must always hold:
//! - a file is acknowledged when it and its job are durable;
//! - rows = accepted + duplicates + rejected, at every checkpoint;
//! - an import waits where it would delay a report from a device.

mod announced;
mod archive;
mod buried;
mod folder;
mod http;
mod job;
mod landing;
mod objects;
mod rejected;
mod run;
mod store;

pub use announced::AnnounceError;
pub use archive::RawTier;
pub use http::routes;
pub use job::{Counts, Job, JobId, Options, State};
pub use store::StoreError;

use drover_answer::now_ms;
use drover_dead::Dead;
use drover_formats::Profile;
use drover_ingest::Admission;
use drover_objects::{Objects, Place, S3};
use landing::{Coming, Landed};
use metrics::Counter;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use store::Store;

/// Jobs that may wait; further files are refused until some are over.
const WAITING_MAX_JOBS: usize = 10_000;

/// Where files go and how many are worked on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's data folder.
    pub data: PathBuf,
    /// Jobs at once.
    pub at_once: usize,
    /// Largest file.
    pub file_max_bytes: u64,
    /// The operator's profiles by name.
    pub profiles: BTreeMap<String, Profile>,
    /// Files that are put into this folder are taken, read by the profile of this name.
    pub watched: Option<(PathBuf, Option<String>)>,
    /// Objects that appear in this place are taken too.
    pub watched_store: Option<WatchedStore>,
    /// What becomes of the files as they came.
    pub raw: RawTier,
}

/// A place whose objects are imported.
#[derive(Debug, Clone)]
pub struct WatchedStore {
    /// Which.
    pub place: Place,
    /// How it is reached if it is a bucket.
    pub s3: S3,
    /// The profile by which its files are read.
    pub profile: Option<String>,
    /// How often it is looked at; usually [`WatchedStore::INTERVAL`].
    pub interval: Duration,
}

impl WatchedStore {
    /// How often a place is looked at if nobody says otherwise.
    pub const INTERVAL: Duration = Duration::from_secs(5);
}

/// The imports of a node. Cheap to clone.
#[derive(Clone)]
pub struct Imports(Arc<Shared>);

pub(crate) struct Shared {
    settings: Settings,
    admission: Arc<Admission>,
    /// Records that the live state has yet to apply.
    live_lag: Box<dyn Fn() -> u64 + Send + Sync>,
    store: Store,
    dead: Dead,
    jobs: Mutex<Jobs>,
    news: Condvar,
    coming: AtomicU64,
    /// Jobs whose files are being moved, removed or brought back.
    held: Mutex<HashSet<JobId>>,
    meters: Meters,
}

#[derive(Debug, Default)]
struct Jobs {
    next: JobId,
    waiting: VecDeque<JobId>,
    /// As last shown, and whether it is to stop.
    running: HashMap<JobId, (Job, bool)>,
    /// Keys of objects that are to be looked at now.
    announced: BTreeSet<String>,
    closing: bool,
}

/// Why the watcher of objects wakes.
enum Wake {
    Announced(String),
    Due,
    Closing,
}

struct Meters {
    accepted: Counter,
    duplicates: Counter,
    late: Counter,
}

/// The threads that work on jobs; they end when told.
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LandingError {
    /// What was said with it cannot be understood.
    #[error("{0}")]
    Options(String),
    /// It is larger than allowed.
    #[error("the file is larger than {max_mib} MiB, which is the most that is taken at once; send it in parts")]
    TooLarge {
        /// The limit.
        max_mib: u64,
    },
    /// Too many wait.
    #[error("{WAITING_MAX_JOBS} imports wait already")]
    Busy,
    /// The disk refuses.
    #[error("the file cannot be kept: {0}")]
    Disk(#[from] io::Error),
    /// The store refuses.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A place of objects does.
    #[error("{0}")]
    Place(#[from] drover_objects::Error),
}

/// Opens the imports of a data folder and goes on with those that are not over. `live_lag` gives the records that the
/// live state has yet to apply. A job that fails becomes a letter of `dead`, which can have it begin anew.
pub fn start(
    settings: Settings,
    admission: Arc<Admission>,
    dead: Dead,
    live_lag: impl Fn() -> u64 + Send + Sync + 'static,
) -> Result<(Imports, Running), LandingError> {
    let folder = settings.data.join("imports");
    std::fs::create_dir_all(folder.join("rejected"))?;
    landing::prepare(&folder)?;
    let store = Store::open(&folder.join("jobs.redb"))?;
    let jobs = unfinished(&store)?;
    let workers = settings.at_once.max(1);
    let counter = |name| metrics::counter!(name, "door" => "import");
    let meters = Meters {
        accepted: counter("drover_reports_accepted_total"),
        duplicates: counter("drover_reports_duplicate_total"),
        late: counter("drover_reports_late_total"),
    };
    let shared = Arc::new(Shared {
        settings,
        admission,
        live_lag: Box::new(live_lag),
        store,
        dead,
        jobs: Mutex::new(jobs),
        news: Condvar::new(),
        coming: AtomicU64::new(0),
        held: Mutex::default(),
        meters,
    });
    let mut running = Running { shared: shared.clone(), threads: Vec::new() };
    for _ in 0..workers {
        let shared = shared.clone();
        running.spawn("import", move || shared.work())?;
    }
    let imports = Imports(shared);
    imports.0.dead.register(buried::SOURCE, Arc::new(buried::Again(Arc::downgrade(&imports.0))));
    watch_folder(&imports, &mut running)?;
    watch_store(&imports, &mut running)?;
    tend_raw(&imports, &mut running)?;
    Ok((imports, running))
}

fn watch_folder(imports: &Imports, running: &mut Running) -> Result<(), LandingError> {
    let Some((folder, profile)) = imports.0.settings.watched.clone() else { return Ok(()) };
    imports.check_profile(profile.as_ref())?;
    std::fs::create_dir_all(&folder)?;
    let (watched, imports) = (folder::Watched::new(folder, profile), imports.clone());
    Ok(running.spawn("import-folder", move || watched.run(&imports))?)
}

fn watch_store(imports: &Imports, running: &mut Running) -> Result<(), LandingError> {
    let Some(WatchedStore { place, s3, profile, interval }) = imports.0.settings.watched_store.clone() else {
        return Ok(());
    };
    imports.check_profile(profile.as_ref())?;
    imports.0.settings.check_no_circle(&place, &s3).map_err(LandingError::Options)?;
    let watched = objects::Watched::new(Objects::open(&place, &s3)?, profile, interval);
    let imports = imports.clone();
    Ok(running.spawn("import-store", move || watched.run(&imports))?)
}

impl Settings {
    /// Refuses to watch a place where files go that came: each would be imported again, for ever.
    fn check_no_circle(&self, watched: &Place, s3: &S3) -> Result<(), String> {
        let kept = Place::Folder(self.data.clone());
        let cold = self.raw.cold.as_ref().map(|(_, cold)| cold).filter(|_| s3.endpoint == self.raw.s3.endpoint);
        for (name, place) in [("the data folder", Some(&kept)), ("raw_cold_store", cold)] {
            // An empty key leaves what every address there begins with.
            if let Some(place) = place.filter(|place| place.of_key("raw/").starts_with(&watched.of_key(""))) {
                return Err(format!("{name} {place} is under the watched store {watched}"));
            }
        }
        Ok(())
    }
}

fn tend_raw(imports: &Imports, running: &mut Running) -> Result<(), LandingError> {
    let tier = &imports.0.settings.raw;
    if tier.cold.is_none() && tier.keep_days.is_none() {
        return Ok(());
    }
    let archive = archive::Archive::open(imports.0.clone())?;
    Ok(running.spawn("import-archive", move || archive.run())?)
}

/// The numbers of jobs that are not over, oldest first.
fn unfinished(store: &Store) -> Result<Jobs, StoreError> {
    const PAGE_JOBS: usize = 1000;
    let mut jobs = Jobs { next: 1, ..Jobs::default() };
    let mut from = None;
    loop {
        let page = store.list(from, PAGE_JOBS)?;
        jobs.next = jobs.next.max(page.first().map_or(0, |job| job.id) + 1);
        for job in page.iter().filter(|job| !job.state.is_over()) {
            jobs.waiting.push_front(job.id);
        }
        match page.last() {
            Some(last) if page.len() == PAGE_JOBS && last.id > 1 => from = Some(last.id - 1),
            _ => return Ok(jobs),
        }
    }
}

impl Running {
    /// Ends the threads and waits for them. Jobs that are not over go on at the next start.
    pub fn stop(mut self) {
        self.end();
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name.into()).spawn(work)?);
        Ok(())
    }

    fn end(&mut self) {
        self.shared.jobs.lock().closing = true;
        self.shared.news.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of imports ended badly");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl Imports {
    /// Starts to take a file.
    pub(crate) fn begin(&self) -> Result<Coming, LandingError> {
        if self.0.jobs.lock().waiting.len() >= WAITING_MAX_JOBS {
            return Err(LandingError::Busy);
        }
        let number = self.0.coming.fetch_add(1, Ordering::Relaxed);
        Ok(Coming::start(&self.0.settings.data.join("imports"), number)?)
    }

    /// Adds to a file that is coming.
    pub(crate) fn more(&self, coming: &mut Coming, bytes: &[u8]) -> Result<(), LandingError> {
        if coming.bytes() + bytes.len() as u64 > self.0.settings.file_max_bytes {
            return Err(LandingError::TooLarge { max_mib: self.0.settings.file_max_bytes >> 20 });
        }
        Ok(coming.write_all(bytes)?)
    }

    /// Whether these options can be understood.
    pub(crate) fn check(&self, options: &Options) -> Result<(), LandingError> {
        let profile = self.0.profile(&options.profile).map_err(LandingError::Options)?;
        profile.check().map_err(|error| LandingError::Options(error.to_string()))?;
        match options.max_bad_percent {
            Some(percent) if !(0.0..=100.0).contains(&percent) => {
                Err(LandingError::Options(format!("max_bad_percent is {percent}; allowed is 0 to 100")))
            }
            _ => Ok(()),
        }
    }

    fn check_profile(&self, profile: Option<&String>) -> Result<(), LandingError> {
        let profile = Profile { profile: profile.cloned(), ..Profile::default() };
        self.check(&Options { profile, ..Options::default() })
    }

    /// Makes a job of a file that came whole. On `Ok` both are durable.
    pub(crate) fn land(&self, coming: Coming, name: &str, options: Options) -> Result<Job, LandingError> {
        self.land_from(coming, "upload", name, options, None)
    }

    /// The same for a file of the watched folder, which is taken with it.
    pub(crate) fn land_watched(
        &self,
        coming: Coming,
        name: &str,
        options: Options,
        mark: &str,
    ) -> Result<Job, LandingError> {
        let file = name.rsplit('/').next().unwrap_or(name);
        self.land_from(coming, &format!("folder {name}"), file, options, Some(mark))
    }

    fn land_from(
        &self,
        coming: Coming,
        source: &str,
        name: &str,
        options: Options,
        mark: Option<&str>,
    ) -> Result<Job, LandingError> {
        let id = {
            let mut jobs = self.0.jobs.lock();
            jobs.next += 1;
            jobs.next - 1
        };
        let created = now_ms();
        let Landed { raw, bytes, sha256 } = coming.land(&self.0.settings.data, id, name, created)?;
        let job = Job {
            id,
            name: name.to_owned(),
            source: source.into(),
            state: State::Waiting,
            format: None,
            bytes,
            sha256,
            raw,
            options,
            created,
            finished: None,
            counts: Counts::default(),
            problem: None,
            error: None,
            rejects_bytes: 0,
        };
        self.0.store.add(&job, mark)?;
        self.0.jobs.lock().waiting.push_back(id);
        self.0.news.notify_all();
        Ok(job)
    }

    /// A job as it is now.
    pub fn get(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let running = self.0.jobs.lock().running.get(&id).map(|(job, _)| job.clone());
        running.map_or_else(|| self.0.store.get(id), |job| Ok(Some(job)))
    }

    /// Up to `limit` jobs, newest first, from number `from` down.
    pub fn list(&self, from: Option<JobId>, limit: usize) -> Result<Vec<Job>, StoreError> {
        let mut jobs = self.0.store.list(from, limit)?;
        let running = &self.0.jobs.lock().running;
        for job in &mut jobs {
            if let Some((now, _)) = running.get(&job.id) {
                *job = now.clone();
            }
        }
        Ok(jobs)
    }

    /// Stops a job. What it accepted stays. Gives the job, or nothing where there is none; one that is over stays as
    /// it is.
    pub fn stop(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let waiting = {
            let mut jobs = self.0.jobs.lock();
            if let Some((_, stop)) = jobs.running.get_mut(&id) {
                *stop = true;
            }
            let before = jobs.waiting.len();
            jobs.waiting.retain(|waiting| *waiting != id);
            before > jobs.waiting.len()
        };
        self.0.news.notify_all();
        if waiting && let Some(job) = self.0.store.get(id)? {
            self.0.finish(job, State::Stopped, None);
        }
        self.wait_over(id, Duration::from_secs(5));
        self.get(id)
    }

    fn wait_over(&self, id: JobId, patience: Duration) {
        let end = Instant::now() + patience;
        let mut jobs = self.0.jobs.lock();
        while jobs.running.contains_key(&id) && !self.0.news.wait_until(&mut jobs, end).timed_out() {}
    }

    /// The file that lists a job's rejected rows. It may not be there yet.
    pub(crate) fn list_of_rejected(&self, id: JobId) -> PathBuf {
        self.0.list_of_rejected(id)
    }
}

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            let id = job.id;
            // A row that a reader stumbles over must not take the thread, and with it all other files, away.
            if catch_unwind(AssertUnwindSafe(|| run::run(self, job))).is_err() {
                self.give_up(id);
            }
            self.jobs.lock().running.remove(&id);
            self.news.notify_all();
        }
    }

    /// Ends a job that a fault of Drover's ended. Its counts are those of the last checkpoint.
    fn give_up(&self, id: JobId) {
        let error = "a fault in Drover ended this import; its log has more. What was accepted stays";
        match self.store.get(id) {
            Ok(Some(job)) => self.fail(job, error.into(), 1),
            Ok(None) => {}
            Err(error) => tracing::error!(job = id, %error, "an import that failed cannot be read"),
        }
    }

    /// Waits for the next job; none when the node stops.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock();
        loop {
            if jobs.closing {
                return None;
            }
            if let Some(id) = jobs.waiting.pop_front() {
                match self.store.get(id) {
                    Ok(Some(mut job)) => {
                        job.state = State::Running;
                        jobs.running.insert(id, (job.clone(), false));
                        return Some(job);
                    }
                    Ok(None) => tracing::error!(job = id, "a waiting import is not in the store"),
                    Err(error) => tracing::error!(job = id, %error, "a waiting import cannot be read"),
                }
            } else {
                self.news.wait(&mut jobs);
            }
        }
    }

    fn is_closing(&self) -> bool {
        self.jobs.lock().closing
    }

    fn is_to_stop(&self, id: JobId) -> bool {
        let jobs = self.jobs.lock();
        jobs.closing || jobs.running.get(&id).is_some_and(|(_, stop)| *stop)
    }

    /// Waits; false when the node stops.
    fn wait(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        let mut jobs = self.jobs.lock();
        while !jobs.closing && !self.news.wait_until(&mut jobs, end).timed_out() {}
        !jobs.closing
    }

    /// Waits, unless the job or the node is told to stop.
    fn pause(&self, id: JobId, pause: Duration) {
        let end = Instant::now() + pause;
        let mut jobs = self.jobs.lock();
        while !jobs.closing && !jobs.running.get(&id).is_some_and(|(_, stop)| *stop) {
            if self.news.wait_until(&mut jobs, end).timed_out() {
                return;
            }
        }
    }

    /// Lets others see a job that is running.
    fn show(&self, job: &Job) {
        if let Some((shown, _)) = self.jobs.lock().running.get_mut(&job.id) {
            *shown = job.clone();
        }
    }

    fn keep(&self, job: &Job) -> Result<(), StoreError> {
        self.store.put(job)?;
        self.show(job);
        Ok(())
    }

    /// Ends a job that cannot go on.
    fn fail(&self, job: Job, error: String, attempts: u32) {
        self.bury(&job, &error, attempts);
        self.finish(job, State::Failed, Some(error));
    }

    fn finish(&self, mut job: Job, state: State, error: Option<String>) {
        tracing::info!(job = job.id, ?state, error, rows = job.counts.rows, "an import is over");
        (job.state, job.error, job.problem) = (state, error, None);
        job.finished = Some(now_ms());
        if let Err(error) = self.keep(&job) {
            // It is worked on again after the next start, and found to be over then.
            tracing::error!(job = job.id, %error, "that an import is over could not be kept");
        }
    }

    /// Counts in the metrics what came since the last checkpoint.
    fn count(&self, before: &Counts, now: &Counts) {
        self.meters.accepted.increment(now.accepted - before.accepted);
        self.meters.duplicates.increment(now.duplicates - before.duplicates);
        self.meters.late.increment(now.late - before.late);
        for (reason, count) in &now.rejected {
            let more = count - before.rejected.get(reason).unwrap_or(&0);
            metrics::counter!("drover_reports_rejected_total", "reason" => reason.clone()).increment(more);
        }
    }

    /// A profile with what the one says that it starts from.
    fn profile(&self, profile: &Profile) -> Result<Profile, String> {
        let Some(name) = profile.profile.as_deref() else { return Ok(profile.clone()) };
        match self.settings.profiles.get(name) {
            Some(base) => Ok(Profile { profile: base.profile.clone(), ..profile.clone().over(base) }),
            None if Profile::KNOWN.contains(&name) => Ok(profile.clone()),
            None => {
                let own = self.settings.profiles.keys().map(String::as_str);
                let all: Vec<&str> = Profile::KNOWN.into_iter().chain(own).collect();
                Err(format!("profile: there is none of the name {name:?}; there are {}", all.join(", ")))
            }
        }
    }

    fn raw(&self, job: &Job) -> PathBuf {
        self.settings.data.join(&job.raw)
    }

    fn list_of_rejected(&self, id: JobId) -> PathBuf {
        self.settings.data.join("imports/rejected").join(format!("{id:06}.csv"))
    }
}
