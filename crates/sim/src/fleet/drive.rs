//! Sends the demo fleet to a server as it moves, until told to stop, and says which orders are under way.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::{Fleet, Job};
use crate::error::Result;
use crate::send::{Batch, Patience, Sender, Via};
use crate::wire::answer::Answer;
use crate::wire::target::Target;

/// After a long absence of the server, only what is at most this old is still sent.
const OLDEST_MS: i64 = 60_000;
/// Devices do not give up.
const ENDLESS: Patience =
    Patience { attempts: u32::MAX, first_wait: Duration::from_millis(50), longest_wait: Duration::from_secs(2) };

/// Where the reports of a fleet go.
#[derive(Debug, Clone)]
pub struct DriveOptions {
    /// The server, `http://` or `ws://`.
    pub url: String,
    /// Bearer token, if the server asks for one.
    pub token: Option<String>,
    /// The door.
    pub via: Via,
    /// How often reports that are ready are sent together.
    pub step: Duration,
    /// Who is told of the orders under way, whenever they change.
    pub jobs: watch::Sender<Vec<Job>>,
}

impl DriveOptions {
    /// Over WebSocket, twice a second.
    pub fn new(url: impl Into<String>) -> DriveOptions {
        DriveOptions {
            url: url.into(),
            token: None,
            via: Via::WebSocket,
            step: Duration::from_millis(500),
            jobs: watch::Sender::default(),
        }
    }
}

/// What became of the reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DriveSummary {
    /// Reports answered by the server.
    pub sent: u64,
    /// Taken.
    pub accepted: u64,
    /// Known before.
    pub duplicates: u64,
    /// Refused, by code.
    pub rejected: BTreeMap<String, u64>,
    /// Not sent, since the server was away for too long.
    pub skipped: u64,
}

/// The fleet drives on from where it is until `stop` is ready. A server that is away is waited for.
///
/// # Errors
/// When the address cannot be used or the server refuses whole requests.
pub async fn drive(mut fleet: Fleet, options: DriveOptions, stop: impl Future<Output = ()>) -> Result<DriveSummary> {
    let DriveOptions { url, token, via, step, jobs } = options;
    let mut summary = DriveSummary::default();
    let mut sender = Sender::new(Target::parse(&url, token, None)?, via, ENDLESS);
    tokio::select! {
        outcome = keep_sending(&mut fleet, &mut sender, step, &jobs, &mut summary) => {
            outcome.map(|never| match never {})
        }
        () = stop => Ok(summary.clone()),
    }
}

async fn keep_sending(
    fleet: &mut Fleet,
    sender: &mut Sender,
    step: Duration,
    jobs: &watch::Sender<Vec<Job>>,
    summary: &mut DriveSummary,
) -> Result<std::convert::Infallible> {
    let mut ticks = tokio::time::interval(step);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut batch = Batch::default();
    loop {
        ticks.tick().await;
        batch.clear();
        let now_ms = now_ms();
        for report in fleet.step(now_ms) {
            if report.event_time_ms.is_some_and(|time_ms| now_ms - time_ms <= OLDEST_MS) {
                batch.push(&report);
            } else {
                summary.skipped += 1;
            }
        }
        tell(jobs, fleet.jobs());
        if batch.count() > 0 {
            count(summary, batch.count(), &sender.send(&batch).await?);
        }
    }
}

/// Places move all the time; whoever listens is woken when an order comes, goes or gets further.
fn tell(jobs: &watch::Sender<Vec<Job>>, now: Vec<Job>) {
    jobs.send_if_modified(|known| {
        let same = |(one, other): (&Job, &Job)| one.order_id == other.order_id && one.stage == other.stage;
        let is_new = known.len() != now.len() || !known.iter().zip(&now).all(same);
        *known = now;
        is_new
    });
}

fn count(summary: &mut DriveSummary, sent: u64, answer: &Answer) {
    summary.sent += sent;
    summary.accepted += answer.accepted;
    summary.duplicates += answer.duplicates;
    for rejection in &answer.rejected {
        *summary.rejected.entry(rejection.code.clone()).or_default() += 1;
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
