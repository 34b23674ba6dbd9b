//! The handle to the live state: reads, read-your-write waiting, freshness.

use crate::interest::Interest;
use crate::owners::Owners;
use crate::snapshot;
use crate::state::{Fix, Seen, State, point};
use crate::watch::EncodedOnce;
use drover_log::Position as LogPosition;
use drover_model::{AssetRef, Erasures, Kind, Report};
use parking_lot::RwLock;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// What an operator may change.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Up to this age an asset is live, ms.
    pub live_ms: i64,
    /// Up to this age it is stale, beyond it offline, ms.
    pub offline_ms: i64,
    /// Watchers at once.
    pub max_watchers: usize,
    /// Of these, watchers of one owner.
    pub max_watchers_of_owner: usize,
    /// How often the state is written to disk.
    pub snapshot_interval: Duration,
    /// What was erased: it is passed over, and leaves the state.
    pub erasures: Erasures,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            live_ms: 60_000,
            offline_ms: 300_000,
            max_watchers: 20_000,
            max_watchers_of_owner: 100,
            snapshot_interval: Duration::from_secs(60),
            erasures: Erasures::default(),
        }
    }
}

/// How long ago an asset was heard, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Heard lately.
    Live,
    /// Missed a report or two.
    Stale,
    /// Silent; last known place only.
    Offline,
}

impl Freshness {
    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Freshness::Live => "live",
            Freshness::Stale => "stale",
            Freshness::Offline => "offline",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Freshness> {
        [Freshness::Live, Freshness::Stale, Freshness::Offline].into_iter().find(|f| f.name() == word)
    }
}

/// Writes an asset in the form that watchers get. Given from outside: live knows no wire format.
pub type Encode = Box<dyn Fn(&Seen<'_>, &mut Vec<u8>) + Send + Sync>;

/// The live state of a node. Cheap to clone.
#[derive(Clone)]
pub struct Live(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub state: RwLock<State>,
    pub applied: watch::Sender<LogPosition>,
    pub settings: Settings,
    pub encoded: EncodedOnce,
    pub interest: Interest,
    pub watchers: AtomicUsize,
    pub owners: Owners,
    pub closing: AtomicBool,
    /// The state has forgotten something that snapshots still have.
    pub forgot: AtomicBool,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("applied", &self.applied()).finish_non_exhaustive()
    }
}

impl Live {
    /// A live state that nothing follows yet; [`Live::follow`] starts that.
    pub(crate) fn new(state: State, settings: Settings, encode: Encode) -> Live {
        let applied = watch::Sender::new(state.applied());
        Live(Arc::new(Shared {
            state: RwLock::new(state),
            applied,
            settings,
            encoded: EncodedOnce::new(encode),
            interest: Interest::default(),
            watchers: AtomicUsize::new(0),
            owners: Owners::default(),
            closing: AtomicBool::new(false),
            forgot: AtomicBool::new(false),
        }))
    }

    /// The last log position that every read includes.
    pub fn applied(&self) -> LogPosition {
        *self.0.applied.borrow()
    }

    /// Waits until `position` is applied. False when it did not happen within `patience`.
    pub async fn wait_applied(&self, position: LogPosition, patience: Duration) -> bool {
        let mut applied = self.0.applied.subscribe();
        let wait = applied.wait_for(|&at| at >= position);
        matches!(tokio::time::timeout(patience, wait).await, Ok(Ok(_)))
    }

    /// Forgets what was erased, in the state at once and in the snapshots on disk soon.
    pub fn forget_erased(&self) {
        let erasures = &self.0.settings.erasures;
        let covers = |report: &Report<'_>| erasures.covers(report.kind, &report.id, report.receive_time);
        if !erasures.is_empty() && self.0.state.write().forget(covers) {
            self.0.forgot.store(true, Ordering::Release);
        }
    }

    /// Ends every watcher: the node is stopping.
    pub fn end_watchers(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
        self.0.applied.send_modify(|_| {}); // wakes them without moving the position
        self.0.interest.wake_all();
    }

    /// Assets known.
    pub fn len(&self) -> usize {
        self.0.state.read().entries().len()
    }

    /// True before the first report.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives one asset to `read`, if it is known. The state is locked meanwhile: only shape an answer.
    pub fn get<T>(&self, kind: Kind, id: &str, read: impl FnOnce(&Seen<'_>) -> T) -> Option<T> {
        let state = self.0.state.read();
        let asset = state.find(kind, id)?;
        Some(read(&state.seen(asset)))
    }

    /// Where an asset was last known to be; `None` for an unknown asset, `Some(None)` without a fix.
    pub fn fix(&self, asset: &AssetRef) -> Option<Option<Fix>> {
        self.get(asset.kind, &asset.id, |seen| seen.fix)
    }

    /// Distance on the sphere between two fixes, metres.
    pub fn distance_m(from: Fix, to: Fix) -> f64 {
        drover_geo::distance_m(point(from.at), point(to.at))
    }

    /// Looks at up to `max` assets from number `from` on, in the order in which they became known. Gives
    /// the number to go on with, or none at the end.
    pub fn page(&self, from: u32, max: u32, mut visit: impl FnMut(&Seen<'_>)) -> Option<u32> {
        let state = self.0.state.read();
        let end = state.entries().len() as u32;
        let to = end.min(from.saturating_add(max));
        for asset in from..to {
            visit(&state.seen(asset));
        }
        (to < end).then_some(to)
    }

    /// Gives every asset's kind, id, newest event time and place to `visit`.
    pub fn each_newest(&self, mut visit: impl FnMut(Kind, &str, i64, Option<Fix>)) {
        let state = self.0.state.read();
        for asset in 0..state.entries().len() as u32 {
            let seen = state.seen(asset);
            visit(seen.report.kind, &seen.report.id, seen.report.event_time, seen.fix);
        }
    }

    /// How fresh a report received at `receive_time` is at `now_ms`.
    pub fn freshness(&self, receive_time: i64, now_ms: i64) -> Freshness {
        let age = now_ms - receive_time;
        if age <= self.0.settings.live_ms {
            Freshness::Live
        } else if age <= self.0.settings.offline_ms {
            Freshness::Stale
        } else {
            Freshness::Offline
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Applied position and a hash of the whole state: equal on every node that applied as much.
    pub fn checksum(&self) -> (LogPosition, u128) {
        let state = self.0.state.read();
        (state.applied(), snapshot::checksum(&state))
    }

    /// Bytes that the moving-object index takes, and the objects in it.
    pub fn index_size(&self) -> (usize, usize) {
        let state = self.0.state.read();
        (state.index().memory_bytes(), state.index().len())
    }

    /// Watchers at the moment.
    pub fn watchers(&self) -> usize {
        self.0.watchers.load(Ordering::Relaxed)
    }
}
