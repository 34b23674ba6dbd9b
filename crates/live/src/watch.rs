//! Watchers: first the present state in pages, then changes, as fast as the watcher reads them.
//!
//! A watcher holds no queue. It remembers the log position up to which it has been served and takes
//! the newest state of whatever changed since, from a ring of changes that all watchers share. So a
//! slow watcher gets fewer, coalesced changes; one that is further behind than the ring reads the
//! state again from its position; and a dead one costs its own few kilobytes. Who named a few assets is
//! woken by them alone (see `interest`). Items are encoded once for all watchers.

use crate::interest::{NAMED_MAX, Named};
use crate::live::{Encode, Live};
use crate::state::{Change, State};
use bytes::Bytes;
use drover_geo::BoundingBox;
use drover_log::Position as LogPosition;
use drover_model::{AssetRef, Kind, Position, Sight};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Assets in one page of a snapshot.
const PAGE_ASSETS: usize = 1_000;
/// Encoded items kept for sharing; beyond that they are made anew.
const ENCODED_KEPT: usize = 16_384;
/// Shortest time between two frames of one watcher.
const FRAME_INTERVAL: Duration = Duration::from_millis(4);
/// Every watcher makes the interval longer for all, so that waking ten thousand of them leaves time
/// for other work (10,000 watchers: 5 frames/s each).
const FRAME_INTERVAL_PER_WATCHER: Duration = Duration::from_micros(20);

/// Hasher of small maps that outsiders cannot fill.
type Hasher = hashbrown::DefaultHashBuilder;

/// What a watcher wants to see. Empty lists allow all.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Kinds.
    pub kinds: Vec<Kind>,
    /// Single assets.
    pub assets: HashSet<AssetRef, std::hash::RandomState>,
    /// A part of the map. Assets that leave it are shown once more, outside.
    pub viewport: Option<BoundingBox>,
    /// Only what changed after this log position (a watcher that comes back).
    pub since: Option<LogPosition>,
    /// What the watcher may see: everything else is as if it were not there.
    pub sight: Sight,
}

/// What a watcher gets next.
#[derive(Debug)]
pub enum Frame {
    /// A page of the present state.
    Snapshot {
        /// From 1.
        page: usize,
        /// No page follows; changes do.
        last: bool,
        /// Assets that the watcher may see; where he named a few, those of them. The rest of a wish does not change it.
        total: usize,
        /// True when only what changed since the wished position is shown.
        resumed: bool,
        /// Everything up to here is included.
        position: LogPosition,
        /// Encoded assets.
        assets: Vec<Bytes>,
    },
    /// The newest state of what changed.
    Changes {
        /// Everything up to here is included.
        position: LogPosition,
        /// Encoded assets, each once.
        assets: Vec<Bytes>,
    },
}

/// There are as many watchers as the settings allow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooManyWatchers {
    /// In all.
    #[error("{0} watchers are connected, as many as allowed")]
    InAll(usize),
    /// Of this owner.
    #[error("{0} watchers are connected with these credentials, as many as allowed")]
    OfOwner(usize),
}

/// One watcher's place in the stream of changes.
#[derive(Debug)]
pub struct Watcher {
    live: Live,
    /// Whose it is, where those are counted.
    owner: Option<Arc<str>>,
    wish: Wish,
    applied: watch::Receiver<LogPosition>,
    served: LogPosition,
    /// Wakes a watcher of a few named assets; all others look at every change.
    named: Option<Arc<Notify>>,
    /// The page to make next, with the first asset that it looks at.
    paging: Option<(usize, u32)>,
}

impl Live {
    /// Starts watching. Fails at `max_watchers`.
    pub fn watch(&self, wish: Wish) -> Result<Watcher, TooManyWatchers> {
        self.watch_as(None, wish)
    }

    /// The same for an owner, who has a bound of his own (`max_watchers_of_owner`).
    pub fn watch_as(&self, owner: Option<&str>, wish: Wish) -> Result<Watcher, TooManyWatchers> {
        let (max, max_of_owner) = (self.0.settings.max_watchers, self.0.settings.max_watchers_of_owner);
        let counted =
            self.0.watchers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1));
        counted.map_err(TooManyWatchers::InAll)?;
        let applied = self.0.applied.subscribe();
        let wish_of_nothing = Wish::default();
        // From here on dropping it gives back what is counted.
        let mut watcher = Watcher {
            live: self.clone(),
            owner: None,
            wish: wish_of_nothing,
            applied,
            served: 0,
            named: None,
            paging: None,
        };
        if let Some(owner) = owner {
            let counted = self.0.owners.enter(owner, max_of_owner);
            watcher.owner = Some(counted.ok_or(TooManyWatchers::OfOwner(max_of_owner))?);
        }
        watcher.change_wish(wish);
        Ok(watcher)
    }

    /// How many assets somebody may see.
    fn seen_by(&self, state: &State, sight: &Sight) -> usize {
        let end = state.entries().len();
        if sight.is_all() {
            return end;
        }
        (0..end as u32).filter(|&asset| sight.sees(state.seen(asset).report.kind, state.id(asset))).count()
    }

    fn frame_interval(&self) -> Duration {
        FRAME_INTERVAL + FRAME_INTERVAL_PER_WATCHER * self.watchers() as u32
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.forget_names();
        if let Some(owner) = &self.owner {
            self.live.0.owners.leave(owner);
        }
        self.live.0.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Watcher {
    /// Starts over with another wish.
    pub fn change_wish(&mut self, mut wish: Wish) {
        let applied = self.live.applied();
        // A position from another life of the node, or a viewport whose leavers nobody remembers:
        // only a full snapshot is right.
        wish.since = wish.since.filter(|since| *since <= applied && wish.viewport.is_none());
        self.served = applied;
        self.paging = Some((1, 0));
        self.forget_names();
        self.wish = wish;
        if self.wish.names_a_few() {
            let waiter = Arc::new(Notify::new());
            self.live.0.interest.add(self.wish.assets.iter(), &waiter);
            self.named = Some(waiter);
        }
    }

    fn forget_names(&mut self) {
        if let Some(waiter) = self.named.take() {
            self.live.0.interest.remove(self.wish.assets.iter(), &waiter);
        }
    }

    /// Waits for the next frame; none follows when the node stops. Cancel-safe: a frame that was not
    /// returned is made again.
    pub async fn next(&mut self) -> Option<Frame> {
        if let Some((page, from)) = self.paging {
            return Some(self.page(page, from));
        }
        while !self.live.0.closing.load(Ordering::Relaxed) {
            if let Some(waiter) = self.named.clone() {
                if let Some(frame) = self.changes_of_named() {
                    return Some(frame);
                }
                // What has changed since that look has left a permit here.
                waiter.notified().await;
                continue;
            }
            if *self.applied.borrow_and_update() <= self.served {
                let changed = self.applied.changed().await;
                changed.expect("this watcher's own handle keeps the live state alive");
            }
            if let Some(frame) = self.changes() {
                return Some(frame);
            }
            // It does not look again at once, or many who want little would look at each of many changes.
            tokio::time::sleep(self.pause()).await;
        }
        None
    }

    /// The pause that a door should make after each frame of changes.
    pub fn pause(&self) -> Duration {
        self.live.frame_interval()
    }

    /// One page of the state. What changes while pages are read is served as changes afterwards,
    /// because `served` stays where it was when paging began.
    fn page(&mut self, page: usize, from: u32) -> Frame {
        let state = self.live.0.state.read();
        if self.named.is_some() {
            let assets = self.page_of_named(&state);
            self.paging = None;
            return self.snapshot(page, true, assets.0, assets.1);
        }
        let end = state.entries().len();
        let total = self.live.seen_by(&state, &self.wish.sight);
        let mut assets = Vec::new();
        let mut at = from;
        while (at as usize) < end && assets.len() < PAGE_ASSETS {
            if self.wants_now(&state, at) {
                assets.push(self.live.0.encoded.of(&state, at));
            }
            at += 1;
        }
        let last = at as usize >= end;
        self.paging = (!last).then_some((page + 1, at));
        self.snapshot(page, last, total, assets)
    }

    /// How many of the named assets the watcher may see, and those of them that are new to him.
    fn page_of_named(&self, state: &State) -> (usize, Vec<Bytes>) {
        let sees = |asset| self.wish.sight.sees(state.seen(asset).report.kind, state.id(asset));
        let visible = self.named_assets(state, sees);
        let wanted = visible.iter().filter(|&&asset| self.wants_now(state, asset));
        (visible.len(), wanted.map(|&asset| self.live.0.encoded.of(state, asset)).collect())
    }

    fn snapshot(&self, page: usize, last: bool, total: usize, assets: Vec<Bytes>) -> Frame {
        Frame::Snapshot { page, last, total, resumed: self.wish.since.is_some(), position: self.served, assets }
    }

    /// What changed since the last frame, or nothing that this watcher wants.
    fn changes(&mut self) -> Option<Frame> {
        let state = self.live.0.state.read();
        let position = state.applied();
        let Some(changes) = state.changes_since(self.served) else {
            // Further behind than the ring: read the state from there.
            self.wish.since = Some(self.served);
            self.served = position;
            drop(state);
            return Some(self.page(1, 0));
        };
        let mut wanted: Vec<u32> =
            changes.filter(|change| self.wants(&state, change)).map(|change| change.asset).collect();
        self.served = position;
        if wanted.is_empty() {
            return None;
        }
        wanted.sort_unstable();
        wanted.dedup();
        let assets = self.live.0.encoded.all_of(&state, &wanted);
        Some(Frame::Changes { position, assets })
    }

    /// What changed of the named assets since the last frame, or nothing.
    fn changes_of_named(&mut self) -> Option<Frame> {
        let state = self.live.0.state.read();
        let position = state.applied();
        let changed = self.named_assets(&state, |asset| {
            state.entries()[asset as usize].position > self.served && self.wants_now(&state, asset)
        });
        self.served = position;
        let is_any = !changed.is_empty();
        is_any.then(|| Frame::Changes { position, assets: self.live.0.encoded.all_of(&state, &changed) })
    }

    /// The numbers of the named assets that are known and pass, in order.
    fn named_assets(&self, state: &State, passes: impl Fn(u32) -> bool) -> Vec<u32> {
        let known = self.wish.assets.iter().filter_map(|asset| state.find(asset.kind, &asset.id));
        let mut assets: Vec<u32> = known.filter(|&asset| passes(asset)).collect();
        assets.sort_unstable();
        assets
    }

    /// What costs least is asked first.
    fn wants(&self, state: &State, change: &Change) -> bool {
        let place = |at: Option<Position>| at.is_some_and(|at| self.wish.shows(at));
        (self.wish.viewport.is_none() || place(change.before) || place(change.now))
            && self.wish.names(change.kind, || state.id(change.asset))
            && self.wish.sight.sees(change.kind, state.id(change.asset))
    }

    fn wants_now(&self, state: &State, asset: u32) -> bool {
        let seen = state.seen(asset);
        self.wish.since.is_none_or(|since| seen.position > since)
            && self.wish.names(seen.report.kind, || state.id(asset))
            && self.wish.sight.sees(seen.report.kind, state.id(asset))
            && (self.wish.viewport.is_none() || seen.fix.is_some_and(|fix| self.wish.shows(fix.at)))
    }
}

impl Wish {
    /// True if its assets are better looked up than looked for among all changes. A viewport also asks where they were.
    fn names_a_few(&self) -> bool {
        (1..=NAMED_MAX).contains(&self.assets.len()) && self.viewport.is_none()
    }

    fn names<'a>(&self, kind: Kind, id: impl FnOnce() -> &'a str) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && (self.assets.is_empty() || self.assets.contains(&Named { kind, id: id() }))
    }

    fn shows(&self, at: Position) -> bool {
        self.viewport.is_none_or(|viewport| viewport.contains(crate::state::point(at)))
    }
}

/// The encoded form of assets, made once per change however many watchers want it.
pub(crate) struct EncodedOnce {
    encode: Encode,
    kept: Mutex<HashMap<u32, (LogPosition, Bytes), Hasher>>,
}

impl EncodedOnce {
    pub fn new(encode: Encode) -> EncodedOnce {
        EncodedOnce { encode, kept: Mutex::default() }
    }

    /// One asset, without keeping it: snapshots would only push out what changes share.
    fn of(&self, state: &State, asset: u32) -> Bytes {
        let mut out = Vec::with_capacity(320);
        (self.encode)(&state.seen(asset), &mut out);
        out.into()
    }

    fn all_of(&self, state: &State, assets: &[u32]) -> Vec<Bytes> {
        let mut kept = self.kept.lock();
        if kept.len() + assets.len() > ENCODED_KEPT {
            *kept = HashMap::default();
        }
        assets.iter().map(|&asset| self.shared(&mut kept, state, asset)).collect()
    }

    fn shared(&self, kept: &mut HashMap<u32, (LogPosition, Bytes), Hasher>, state: &State, asset: u32) -> Bytes {
        let position = state.entries()[asset as usize].position;
        match kept.get(&asset) {
            Some((at, bytes)) if *at == position => bytes.clone(),
            _ => {
                let bytes = self.of(state, asset);
                kept.insert(asset, (position, bytes.clone()));
                bytes
            }
        }
    }
}
