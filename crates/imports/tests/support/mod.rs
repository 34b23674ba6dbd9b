//! A node's imports over a log in memory, and the waiting that tests of threads need.
#![allow(dead_code, reason = "each test file uses some of it")]

use drover_dead::Dead;
use drover_imports::{Imports, Job, LandingError, RawTier, Running, Settings, State, WatchedStore};
use drover_ingest::Admission;
use drover_log::{Log, MemoryEngine};
use drover_model::Rules;
use drover_objects::{Objects, Place};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(180);

/// What stays when imports are opened again.
pub struct Node {
    pub data: TempDir,
    admission: Arc<Admission>,
    _log: Log,
}

pub struct Open {
    pub imports: Imports,
    pub running: Running,
    pub dead: Dead,
}

impl Node {
    pub fn new() -> Node {
        let data = tempfile::tempdir().unwrap();
        let log = Log::open(MemoryEngine::new(1 << 30), drover_log::Settings::default());
        let admission = Admission::open(log.clone(), &data.path().join("seen"), Rules::default(), None).unwrap();
        Node { data, admission: Arc::new(admission), _log: log }
    }

    pub fn settings(&self) -> Settings {
        settings(self.data.path())
    }

    pub fn open(&self, settings: Settings) -> Open {
        let dead = Dead::open(&settings.data.join("dead"), drover_dead::Settings::default()).unwrap();
        let opened = self.try_open(settings, dead.clone());
        let (imports, running) = opened.unwrap_or_else(|error| panic!("{error}"));
        Open { imports, running, dead }
    }

    pub fn try_open(&self, settings: Settings, dead: Dead) -> Result<(Imports, Running), LandingError> {
        drover_imports::start(settings, self.admission.clone(), dead, || 0)
    }
}

pub fn settings(data: &Path) -> Settings {
    Settings {
        data: data.to_owned(),
        at_once: 1,
        file_max_bytes: 1 << 30,
        profiles: BTreeMap::new(),
        watched: None,
        watched_store: None,
        raw: RawTier::default(),
    }
}

pub fn watch(objects: &Objects, s3: &drover_objects::S3, interval: Duration) -> Option<WatchedStore> {
    Some(WatchedStore { place: objects.place().clone(), s3: s3.clone(), profile: None, interval })
}

pub fn place(text: &str) -> Place {
    Place::parse(text).unwrap()
}

/// A CSV of so many rows of one vehicle.
pub fn csv(vehicle: &str, rows: usize) -> String {
    let row = |row: usize| format!("{vehicle},{},38.7,-9.1,{}\n", 1_760_000_000 + row, row % 100);
    let rows: String = (0..rows).map(row).collect();
    format!("vehicle_id,timestamp,latitude,longitude,speed\n{rows}")
}

#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// All jobs, oldest first.
pub fn jobs(imports: &Imports) -> Vec<Job> {
    let mut jobs = imports.list(None, 100_000).unwrap();
    jobs.reverse();
    jobs
}

/// Waits for so many jobs that are done, and that no more come.
#[track_caller]
pub fn all_done(imports: &Imports, count: usize) -> Vec<Job> {
    wait_until(&format!("{count} jobs are done"), || {
        let jobs = jobs(imports);
        jobs.len() >= count && jobs.iter().all(|job| job.state.is_over())
    });
    std::thread::sleep(Duration::from_millis(500));
    let jobs = jobs(imports);
    assert_eq!(jobs.len(), count);
    assert!(jobs.iter().all(|job| job.state == State::Done), "{jobs:?}");
    jobs
}
