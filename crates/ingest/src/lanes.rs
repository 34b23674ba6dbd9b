//! Who goes first when more comes than the node can show live in time, or than it was told to take in a second. Reports
//! pass at once while few records are under way to the live state and the ceiling, if there is one, is not reached. Beyond that they wait here in two lanes, each in the order in which they came: those of assets
//! that move, and those that only say that an asset is idle. Moving ones go first, idle ones keep a share.
//!
//! Must always hold:
//! - at most [`WAITING_MAX_REPORTS`] wait in a lane, none longer than [`PATIENCE`]; whoever finds no room is told so
//!   after a short pause, and nothing of theirs was taken;
//! - the records under way stay below [`UNDER_WAY_MAX`] and what passes at the same moment, as long as the live state
//!   goes on at all: one that stands still for [`STILL`] holds nobody up, since the log keeps everything for it;
//! - no more than the ceiling passes in a second, but for one request's reports and what [`CREDIT`] allows at once;
//! - while both lanes wait, one report in [`IDLE_SHARE`] that passes is idle.

use drover_formats::Parsed;
use drover_log::Position;
use drover_model::{Kind, Status};
use metrics::{Counter, Histogram};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Records that are in the log's order and not live yet, beyond which reports wait: at the rate of a loaded node less
/// than a tenth of a second.
pub const UNDER_WAY_MAX: u64 = 24_576;
/// Reports that may wait in one lane; a request that is larger waits alone.
pub const WAITING_MAX_REPORTS: usize = 131_072;
/// The longest wait.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// While both lanes wait, of so many reports that pass one is idle.
pub const IDLE_SHARE: i64 = 5;
/// With so many waiting in both lanes, large bodies are not even read: that work would be missing for those who wait.
const CROWDED_REPORTS: usize = WAITING_MAX_REPORTS / 4 * 3;
/// Whoever is turned away is told so after this, so that senders who do not heed `Retry-After` cost little.
const PAUSE: Duration = Duration::from_millis(250);
/// A live state that has applied nothing for so long is not waited for.
pub const STILL: Duration = Duration::from_secs(3);
/// What did not pass for so long may pass at once.
const CREDIT: Duration = Duration::from_millis(100);
/// How often those who wait are looked at.
const LOOK: Duration = Duration::from_millis(1);

/// A lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Something moves, or does not say.
    Moving,
    /// Every report says that its asset is idle.
    Idle,
}

impl Lane {
    const ALL: [Lane; 2] = [Lane::Moving, Lane::Idle];

    const fn name(self) -> &'static str {
        match self {
            Lane::Moving => "moving",
            Lane::Idle => "idle",
        }
    }

    /// The lane of a request: idle, if all of its reports are.
    pub(crate) fn of<'a, 'b: 'a>(items: impl IntoIterator<Item = &'a Parsed<'b>>) -> Lane {
        let is_idle = |item: &Parsed<'_>| {
            let Ok(draft) = item else { return false };
            let kind = draft.kind.unwrap_or(Kind::Vehicle);
            draft.status.as_deref().is_some_and(|word| Status::parse(kind, word) == Ok(Status::Idle))
        };
        let mut items = items.into_iter().peekable();
        if items.peek().is_some() && items.all(is_idle) { Lane::Idle } else { Lane::Moving }
    }
}

/// Told to whoever finds no room, or waited too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "more reports come than the node can show live in time or may take in a second; those of idle assets wait longest"
)]
pub struct TurnedAway;

/// The lanes of a node.
#[derive(Clone)]
pub(crate) struct Lanes(Arc<Inner>);

struct Inner {
    /// The last position in the log's order, and the last one that is live.
    positions: Box<dyn Fn() -> (Position, Position) + Send + Sync>,
    /// The last one that was seen to be live while others waited, and since when.
    live: Mutex<(Position, Instant)>,
    /// Reports that passed and are not in the log's order yet.
    passing: AtomicU64,
    ceiling: Option<Ceiling>,
    queues: Mutex<Queues>,
    meters: [Meters; 2],
    unread: Counter,
}

/// How many reports may pass in a second.
struct Ceiling {
    per_second: u32,
    began: Instant,
    /// When what has passed so far is paid for, ns after it began.
    paid_at_ns: AtomicU64,
}

impl Ceiling {
    fn new(per_second: u32) -> Ceiling {
        Ceiling { per_second, began: Instant::now(), paid_at_ns: AtomicU64::new(0) }
    }

    fn is_reached(&self) -> bool {
        self.paid_at_ns.load(Ordering::Relaxed) > self.now_ns()
    }

    fn pass(&self, reports: usize) {
        let (now_ns, cost_ns) = (self.now_ns(), 1_000_000_000 * reports as u64 / u64::from(self.per_second));
        let oldest = now_ns.saturating_sub(CREDIT.as_nanos() as u64);
        let paid = |paid_at: u64| Some(paid_at.max(oldest) + cost_ns);
        let _before = self.paid_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, paid);
    }

    fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
}

#[derive(Default)]
struct Queues {
    lanes: [VecDeque<Waiting>; 2],
    reports: [usize; 2],
    /// What idle reports are owed: grows with moving ones that pass, sinks with idle ones.
    owed: i64,
    looked_after: bool,
}

struct Waiting {
    reports: usize,
    go: oneshot::Sender<Passing>,
}

struct Meters {
    waited: Histogram,
    turned_away: Counter,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lanes")
    }
}

/// The right to be judged now; given back when the reports are in the log's order.
pub(crate) struct Passing {
    lanes: Lanes,
    reports: u64,
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.lanes.0.passing.fetch_sub(self.reports, Ordering::Relaxed);
    }
}

impl Lanes {
    /// `positions` gives the last position in the log's order, and the last one that is live. `per_second` is the ceiling; 0
    /// sets none.
    pub(crate) fn new(positions: impl Fn() -> (Position, Position) + Send + Sync + 'static, per_second: u32) -> Lanes {
        let meters = Lane::ALL.map(|lane| Meters {
            waited: metrics::histogram!("drover_lane_wait_seconds", "lane" => lane.name()),
            turned_away: metrics::counter!("drover_lane_turned_away_total", "lane" => lane.name()),
        });
        let (positions, live) = (Box::new(positions), Mutex::new((0, Instant::now())));
        let unread = metrics::counter!("drover_lane_unread_bodies_total");
        let (passing, queues) = (AtomicU64::new(0), Mutex::default());
        let ceiling = (per_second > 0).then(|| Ceiling::new(per_second));
        Lanes(Arc::new(Inner { positions, live, passing, ceiling, queues, meters, unread }))
    }

    /// Waits for the turn of so many reports. On Err nothing may be taken of them.
    pub(crate) async fn turn(&self, lane: Lane, reports: usize) -> Result<Passing, TurnedAway> {
        match self.enter(lane, reports) {
            Ok(Entered::Pass(passing)) => Ok(passing),
            Ok(Entered::Wait(place)) => place.turn().await,
            Err(TurnedAway) => {
                tokio::time::sleep(PAUSE).await;
                Err(TurnedAway)
            }
        }
    }

    /// Err while so many wait that a large body is not worth reading.
    pub(crate) async fn look_in(&self) -> Result<(), TurnedAway> {
        if self.0.queues.lock().reports.iter().any(|waiting| *waiting < CROWDED_REPORTS) {
            return Ok(());
        }
        self.0.unread.increment(1);
        tokio::time::sleep(PAUSE).await;
        Err(TurnedAway)
    }

    /// Passes at once, or joins the end of a lane.
    pub(crate) fn enter(&self, lane: Lane, reports: usize) -> Result<Entered, TurnedAway> {
        let mut queues = self.0.queues.lock();
        if queues.lanes.iter().all(VecDeque::is_empty) && self.is_open() {
            return Ok(Entered::Pass(self.pass(reports)));
        }
        let waiting = &mut queues.reports[lane as usize];
        if *waiting > 0 && *waiting + reports > WAITING_MAX_REPORTS {
            self.0.meters[lane as usize].turned_away.increment(reports as u64);
            return Err(TurnedAway);
        }
        *waiting += reports;
        let (go, gone) = oneshot::channel();
        queues.lanes[lane as usize].push_back(Waiting { reports, go });
        if !queues.looked_after {
            queues.looked_after = true;
            let lanes = self.clone();
            tokio::spawn(async move { lanes.look_after().await });
        }
        Ok(Entered::Wait(PlaceInLane { lanes: self.clone(), lane, reports, since: Instant::now(), turn: gone }))
    }

    fn is_open(&self) -> bool {
        if self.0.ceiling.as_ref().is_some_and(Ceiling::is_reached) {
            return false;
        }
        let (end, live) = (self.0.positions)();
        end.saturating_sub(live) + self.0.passing.load(Ordering::Relaxed) < UNDER_WAY_MAX || self.stands_still(live)
    }

    fn stands_still(&self, live: Position) -> bool {
        let mut seen = self.0.live.lock();
        if seen.0 != live {
            *seen = (live, Instant::now());
        }
        seen.1.elapsed() >= STILL
    }

    fn pass(&self, reports: usize) -> Passing {
        self.0.passing.fetch_add(reports as u64, Ordering::Relaxed);
        if let Some(ceiling) = &self.0.ceiling {
            ceiling.pass(reports);
        }
        Passing { lanes: self.clone(), reports: reports as u64 }
    }

    /// Lets those who wait pass as there is room, until nobody waits.
    async fn look_after(&self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if !self.let_pass() {
                return;
            }
        }
    }

    /// False when nobody waits any more.
    fn let_pass(&self) -> bool {
        let mut queues = self.0.queues.lock();
        while self.is_open() {
            let Some((lane, waiting)) = queues.next() else {
                queues.looked_after = false;
                return false;
            };
            queues.reports[lane as usize] -= waiting.reports;
            // Whoever lost patience meanwhile gives it back by being dropped.
            if !waiting.go.is_closed() {
                queues.count(lane, waiting.reports);
                drop(waiting.go.send(self.pass(waiting.reports)));
            }
        }
        true
    }
}

/// What became of a wish to pass.
pub(crate) enum Entered {
    Pass(Passing),
    Wait(PlaceInLane),
}

/// Somebody who waits; gone when dropped.
pub(crate) struct PlaceInLane {
    lanes: Lanes,
    lane: Lane,
    reports: usize,
    since: Instant,
    turn: oneshot::Receiver<Passing>,
}

impl PlaceInLane {
    /// Waits for the turn.
    pub(crate) async fn turn(self) -> Result<Passing, TurnedAway> {
        let meters = &self.lanes.0.meters[self.lane as usize];
        let turn = tokio::time::timeout(PATIENCE, self.turn).await;
        meters.waited.record(self.since.elapsed().as_secs_f64());
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            meters.turned_away.increment(self.reports as u64);
            TurnedAway
        })
    }
}

impl Queues {
    /// Who goes next.
    fn next(&mut self) -> Option<(Lane, Waiting)> {
        let idle_first = self.owed >= IDLE_SHARE - 1;
        let order = if idle_first { [Lane::Idle, Lane::Moving] } else { Lane::ALL };
        order.into_iter().find_map(|lane| Some((lane, self.lanes[lane as usize].pop_front()?)))
    }

    /// Keeps the account of what idle reports are owed. Nothing is owed where nobody of the other lane waits.
    fn count(&mut self, lane: Lane, reports: usize) {
        let reports = reports as i64;
        self.owed = match lane {
            _ if self.lanes[1 - lane as usize].is_empty() => 0,
            Lane::Moving => self.owed + reports,
            Lane::Idle => self.owed - reports * (IDLE_SHARE - 1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drover_model::Draft;
    use std::sync::atomic::AtomicU64;

    /// Lanes over a number of records under way that the test sets, before a live state that has begun.
    fn lanes(under_way: u64) -> (Lanes, Arc<AtomicU64>) {
        let records = Arc::new(AtomicU64::new(under_way));
        let seen = records.clone();
        (Lanes::new(move || (1 + seen.load(Ordering::Relaxed), 1), 0), records)
    }

    fn draft(status: Option<&'static str>) -> Parsed<'static> {
        Ok(Draft { kind: Some(Kind::Driver), status: status.map(Into::into), ..Draft::default() })
    }

    #[test]
    fn a_request_is_idle_if_all_of_its_reports_are() {
        let of = |words: &[Option<&'static str>]| Lane::of(&words.iter().map(|word| draft(*word)).collect::<Vec<_>>());
        assert_eq!(of(&[Some("idle"), Some("IDLE")]), Lane::Idle);
        assert_eq!(of(&[Some("idle"), Some("moving")]), Lane::Moving);
        assert_eq!(of(&[Some("idle"), None]), Lane::Moving);
        assert_eq!(of(&[]), Lane::Moving);
    }

    #[tokio::test]
    async fn while_there_is_room_nobody_waits() {
        let (lanes, _) = lanes(UNDER_WAY_MAX - 1);
        let since = Instant::now();
        drop(lanes.turn(Lane::Idle, 1).await.unwrap());
        drop(lanes.turn(Lane::Idle, 1).await.unwrap());
        assert!(since.elapsed() < PATIENCE / 2, "what was given back is there for the next");
    }

    #[tokio::test]
    async fn no_more_than_the_ceiling_passes_in_a_second_and_the_rest_waits_or_is_turned_away() {
        let (lanes, began) = (Lanes::new(|| (1, 1), 1_000), Instant::now());
        let turns = (0..300).map(|_| {
            let lanes = lanes.clone();
            tokio::spawn(async move { lanes.turn(Lane::Moving, 10).await.is_ok().then(Instant::now) })
        });
        let mut passed = Vec::new();
        for turn in turns.collect::<Vec<_>>() {
            passed.extend(turn.await.unwrap());
        }
        let took_s = passed.iter().max().expect("some pass").duration_since(began).as_secs_f64();
        let reports = passed.len() as f64 * 10.0;
        // What may pass at once, what one request has beyond, and no more than the rate.
        assert!(reports <= 100.0 + 10.0 + 1_000.0 * took_s, "{reports} in {took_s} s");
        assert!(reports >= 300.0, "{reports} in {took_s} s");
        assert!(passed.len() < 300, "nobody waits for longer than {PATIENCE:?}");
    }

    #[tokio::test]
    async fn who_waits_too_long_is_turned_away_and_leaves_the_lane() {
        let (lanes, records) = lanes(UNDER_WAY_MAX);
        assert!(lanes.turn(Lane::Moving, 10).await.is_err());
        records.store(0, Ordering::Relaxed);
        drop(lanes.turn(Lane::Moving, 10).await.unwrap());
        tokio::time::sleep(LOOK * 5).await;
        let queues = lanes.0.queues.lock();
        assert_eq!((queues.reports, queues.looked_after), ([0, 0], false));
        assert_eq!(lanes.0.passing.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_live_state_that_stands_still_holds_nobody_up_for_long() {
        let (lanes, _) = lanes(UNDER_WAY_MAX);
        let since = Instant::now();
        while lanes.turn(Lane::Moving, 1).await.is_err() {
            assert!(since.elapsed() < STILL + 2 * PATIENCE, "reports are still turned away");
        }
        assert!(since.elapsed() + LOOK >= STILL, "one that is slow is waited for: {:?}", since.elapsed());
        drop(lanes.turn(Lane::Idle, 1).await.unwrap());
    }

    #[tokio::test]
    async fn a_full_lane_turns_away_at_once_and_the_other_still_takes() {
        let (lanes, _) = lanes(UNDER_WAY_MAX);
        let waiting = lanes.clone();
        let first = tokio::spawn(async move { waiting.turn(Lane::Idle, WAITING_MAX_REPORTS).await.is_err() });
        tokio::task::yield_now().await;
        let since = Instant::now();
        assert!(lanes.look_in().await.is_ok(), "there is room in the other");
        assert!(lanes.turn(Lane::Idle, 1).await.is_err());
        assert!(since.elapsed() < PATIENCE / 2);
        assert!(lanes.turn(Lane::Moving, 1).await.is_err());
        assert!(since.elapsed() >= PATIENCE, "it waited");
        assert!(first.await.unwrap());
    }

    #[tokio::test]
    async fn moving_reports_go_first_and_idle_ones_keep_their_share_in_order() {
        let (lanes, records) = lanes(UNDER_WAY_MAX);
        let (passed, mut order) = tokio::sync::mpsc::unbounded_channel();
        for n in 0..50 {
            for lane in Lane::ALL {
                let (lanes, passed, records) = (lanes.clone(), passed.clone(), records.clone());
                tokio::spawn(async move {
                    let passing = lanes.turn(lane, 1).await.unwrap();
                    passed.send((lane, n)).unwrap();
                    // Each takes the place of one record: they come one after the other.
                    records.fetch_add(1, Ordering::Relaxed);
                    drop(passing);
                });
                tokio::task::yield_now().await;
            }
        }
        let mut all = Vec::new();
        while all.len() < 100 {
            records.store(UNDER_WAY_MAX - 1, Ordering::Relaxed);
            all.push(order.recv().await.unwrap());
        }
        let of = |lane: Lane| all.iter().filter(|(of, _)| *of == lane).map(|(_, n)| *n).collect::<Vec<u32>>();
        assert_eq!(of(Lane::Moving), (0..50).collect::<Vec<_>>(), "in order");
        assert_eq!(of(Lane::Idle), (0..50).collect::<Vec<_>>(), "in order");
        let idle_among = |n: usize| all[..n].iter().filter(|(lane, _)| *lane == Lane::Idle).count();
        assert_eq!((idle_among(20), idle_among(50)), (4, 10), "one in five while both wait: {all:?}");
    }
}
