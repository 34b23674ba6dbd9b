//! The handle that readers hold, and the state behind it: the files of the newest snapshot and the tail after them,
//! which change together under one short lock.

use crate::chunk::Shape;
use crate::read::Footers;
use crate::tail::Growing;
use crate::{Due, LakeFile, ReadingColumn, Tier, View};
use drover_model::{Erased, Erasures};
use drover_objects::{Place, S3};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Takes a record of the log that is no report: its position, its bytes, and why. On Err it is given again.
#[derive(Clone)]
pub struct Refused(pub Arc<RefusedFn>);

/// How often it is looked whether an erasure is done.
const ERASING_LOOK: Duration = Duration::from_millis(50);

/// What a [`Refused`] calls.
pub type RefusedFn = dyn Fn(u64, &[u8], &str) -> Result<(), String> + Send + Sync;

impl std::ops::Deref for Refused {
    type Target = RefusedFn;

    fn deref(&self) -> &RefusedFn {
        &*self.0
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused")
    }
}

/// What to keep, and when to write.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The lake's folder: `catalog.sqlite` and `data/` are in it.
    pub folder: PathBuf,
    /// Name of this node's region, for the column `region`.
    pub region: String,
    /// Readings with a column of their own. A column once made stays and goes on being filled.
    pub reading_columns: Vec<ReadingColumn>,
    /// The tail is written to files at the latest with so many rows.
    pub flush_rows: usize,
    /// The tail is written to files at the latest when its oldest report is in it for so long.
    pub flush_interval: Duration,
    /// Most memory of the tail, bytes; half of it starts a flush.
    pub tail_max_bytes: usize,
    /// Days whose event times are all older leave the lake, days; `None` keeps them for ever.
    pub keep_days: Option<u32>,
    /// So long other readers of the lake may use a snapshot that was replaced.
    pub snapshot_keep: Duration,
    /// Where new files go; none: the lake's folder.
    pub store: Option<Place>,
    /// Where old days go.
    pub tiers: Vec<Tier>,
    /// Only tell what would move on or leave for its age, and leave it.
    pub dry_run: bool,
    /// Who takes records that are no reports; none: they are only counted.
    pub refused: Option<Refused>,
    /// What was erased: it is not taken in any more, and leaves the tail and the files.
    pub erasures: Erasures,
    /// How object stores are reached.
    pub s3: S3,
    /// Memory for pieces of objects that were read lately, bytes.
    pub store_cache_bytes: usize,
}

impl Settings {
    /// The defaults for a lake in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Settings {
        Settings {
            folder: folder.into(),
            region: "local".into(),
            reading_columns: Vec::new(),
            flush_rows: 250_000,
            flush_interval: Duration::from_secs(60),
            tail_max_bytes: 48 << 20,
            keep_days: None,
            snapshot_keep: Duration::from_secs(3600),
            store: None,
            tiers: Vec::new(),
            dry_run: false,
            refused: None,
            erasures: Erasures::default(),
            s3: S3::default(),
            store_cache_bytes: 32 << 20,
        }
    }
}

/// How history is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Newest snapshot of the catalogue.
    pub snapshot: i64,
    /// Files of that snapshot.
    pub files: usize,
    /// Rows in files.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Rows in memory, in no file yet.
    pub tail_rows: usize,
    /// Memory that these take, bytes.
    pub tail_bytes: usize,
    /// Last position whose report is in a file.
    pub cursor: u64,
    /// Last position whose report is visible.
    pub position: u64,
    /// Durable records of the log that are not visible yet.
    pub lag: u64,
    /// Event time of the oldest and the newest report in files, ms UTC.
    pub event_time: Option<(i64, i64)>,
    /// When files were last added, ms UTC; 0 when not since the start.
    pub last_flush_ms: i64,
    /// Positions that the log could not deliver any more, since the lake was made.
    pub gap: u64,
    /// Records that are no reports, since the start.
    pub unreadable: u64,
    /// Erasures that are under way.
    pub erasing: usize,
    /// What fails at present, and what to do about it.
    pub last_error: Option<String>,
    /// What was due for its age when it was last looked: moving on, and leaving. With a dry run it stays due.
    pub due: Vec<Due>,
}

/// History for those who read it. Clones are cheap and share it.
#[derive(Debug, Clone)]
pub struct History(pub(crate) Arc<Shared>);

/// What the handle and the lake's threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    /// Signalled when a thread of the lake has something to look at: more rows, fewer rows, a wish, the end.
    pub(crate) news: Condvar,
    pub(crate) visible: watch::Sender<u64>,
    pub(crate) data_path: Arc<Path>,
    footers: Arc<Footers>,
}

/// What is true now; every change is one step for readers.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) snapshot: i64,
    pub(crate) files: Arc<[Arc<LakeFile>]>,
    pub(crate) tail: Growing,
    pub(crate) shape: Arc<Shape>,
    pub(crate) cursor: u64,
    pub(crate) position: u64,
    /// Since when the oldest row of the tail is there.
    pub(crate) tail_since: Option<Instant>,
    pub(crate) flush_wanted: bool,
    pub(crate) stopping: bool,
    pub(crate) status: Status,
    /// What fails at present, by activity.
    problems: BTreeMap<&'static str, String>,
    view: Option<Arc<View>>,
}

impl Shared {
    pub(crate) fn new(state: State, data_path: Arc<Path>) -> Shared {
        let visible = watch::Sender::new(state.position);
        Shared { state: Mutex::new(state), news: Condvar::new(), visible, data_path, footers: Arc::default() }
    }

    /// Changes what readers see, in one step.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.view = None;
        drop(state);
        self.news.notify_all();
    }

    /// Notes what fails in an activity, or that nothing fails there any more.
    pub(crate) fn set_problem(&self, activity: &'static str, problem: Option<String>) {
        let mut state = self.state.lock();
        match problem {
            Some(problem) => drop(state.problems.insert(activity, problem)),
            None => drop(state.problems.remove(activity)),
        }
    }

    /// Waits for so long, or for the end; false at the end.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        while !state.stopping && !self.news.wait_until(&mut state, until).timed_out() {}
        !state.stopping
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }
}

impl State {
    pub(crate) fn new(snapshot: i64, files: Vec<Arc<LakeFile>>, shape: Arc<Shape>, cursor: u64) -> State {
        State {
            snapshot,
            files: files.into(),
            tail: Growing::default(),
            shape,
            cursor,
            position: cursor,
            tail_since: None,
            flush_wanted: false,
            stopping: false,
            status: Status::default(),
            problems: BTreeMap::new(),
            view: None,
        }
    }

    fn last_error(&self) -> Option<String> {
        let problems: Vec<&str> = self.problems.values().map(String::as_str).collect();
        (!problems.is_empty()).then(|| problems.join("; "))
    }

    fn view(&mut self, data_path: &Arc<Path>) -> Arc<View> {
        let make = || View {
            snapshot: self.snapshot,
            files: self.files.clone(),
            tail: self.tail.tail(),
            cursor: self.cursor,
            position: self.position,
            schema: self.shape.schema.clone(),
            data_path: data_path.clone(),
        };
        self.view.get_or_insert_with(|| Arc::new(make())).clone()
    }
}

impl History {
    /// What all who read single assets of this lake keep of its files.
    pub fn footers(&self) -> Arc<Footers> {
        self.0.footers.clone()
    }

    /// The newest picture. Takes a few microseconds, and the same one comes back while nothing changes.
    pub fn view(&self) -> Arc<View> {
        self.0.state.lock().view(&self.0.data_path)
    }

    /// How it is going.
    pub fn status(&self) -> Status {
        let state = self.0.state.lock();
        let times = state.files.iter().map(|file| (*file.event_time.start(), *file.event_time.end()));
        Status {
            snapshot: state.snapshot,
            files: state.files.len(),
            rows: state.files.iter().map(|file| file.rows).sum(),
            bytes: state.files.iter().map(|file| file.bytes).sum(),
            tail_rows: state.tail.rows(),
            tail_bytes: state.tail.bytes(),
            cursor: state.cursor,
            position: state.position,
            event_time: times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
            last_error: state.last_error(),
            ..state.status.clone()
        }
    }

    /// Waits until the report at `position` is visible; false when it is not after `timeout`.
    pub async fn wait_visible(&self, position: u64, timeout: Duration) -> bool {
        let mut visible = self.0.visible.subscribe();
        let there = visible.wait_for(|visible| *visible >= position);
        matches!(tokio::time::timeout(timeout, there).await, Ok(Ok(_)))
    }

    /// Erases what was received of an asset up to a moment (ms UTC): reads and new files do not have it from the next look
    /// of the lake's upkeep on, and old files are deleted once nobody reads them. True when that is done; false when it
    /// goes on beyond `timeout`. The list of erasures that was given at the start has to be kept by whoever gave it.
    pub async fn erase(&self, erasures: &Erasures, erased: Erased, timeout: Duration) -> bool {
        self.0.state.lock().status.erasing += 1;
        erasures.add(erased);
        let until = Instant::now() + timeout;
        while Instant::now() < until {
            if self.0.state.lock().status.erasing == 0 {
                return true;
            }
            tokio::time::sleep(ERASING_LOOK).await;
        }
        false
    }

    /// Asks for the tail to be written to files now; returns at once.
    pub fn flush_now(&self) {
        self.0.state.lock().flush_wanted = true;
        self.0.news.notify_all();
    }
}
