//! One connection of the load generator: takes what is due from its crowd, sends it, and books what the
//! acknowledgements say. Over WebSocket and MQTT many frames may be under way; over HTTP one request is. When the
//! connection breaks, what was under way goes first on the next one, as it was. What the server refuses for now is held
//! back for as long as it asks, all of it together, while other acknowledgements are read.

mod publish;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::SimulateOptions;
use super::clock::Clock;
use super::crowd::{Crowd, Sample};
use super::ledger::Ledger;
use super::schedule::Schedule;
use super::summary::Tally;
use super::tokens::Tokens;
use super::watch::Sightings;
use crate::error::Result;
use crate::send::{Backoff, Batch, INGEST_PATH, NDJSON, Patience, REPORTS_PATH, Via, odd};
use crate::wire::answer::Answer;
use crate::wire::http::HttpConnection;
use crate::wire::target::Target;
use crate::wire::websocket::WebSocket;

/// Frames or publishes under way on one connection at a pace, if nothing else is said.
const USUALLY_UNDER_WAY: usize = 256;
/// The most that can be asked for.
const MAX_UNDER_WAY: usize = 10_000;
/// After the end, how long to wait for outstanding acknowledgements.
const DRAIN: Duration = Duration::from_secs(10);
/// Time to open connections before sending begins.
const HEAD_START_US: u64 = 20_000;
const HEAD_START_PER_CONNECTION_US: u64 = 1000;
/// Pauses between attempts to reconnect; attempts end with the run, not before.
const RECONNECT: Patience =
    Patience { attempts: u32::MAX, first_wait: Duration::from_millis(20), longest_wait: Duration::from_secs(1) };

/// What all sessions of a run have in common.
pub(super) struct Shared {
    target: Target,
    tokens: Tokens,
    via: Via,
    batch: usize,
    closed_loop: bool,
    /// Frames or publishes under way on one connection.
    most_under_way: usize,
    interval: Duration,
    start_us: u64,
    end_us: u64,
    devices: usize,
    clock: Clock,
    ledger: Option<Ledger>,
    sightings: Arc<Sightings>,
    pub(super) acknowledged: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        target: Target,
        tokens: Tokens,
        options: &SimulateOptions,
        clock: Clock,
        ledger: Option<Ledger>,
        sightings: Arc<Sightings>,
    ) -> Shared {
        // Connections come first, so that opening them is not measured as latency.
        let start_us = clock.now_us() + HEAD_START_US + HEAD_START_PER_CONNECTION_US * options.connections as u64;
        Shared {
            target,
            tokens,
            via: options.via,
            batch: options.reports_per_frame(),
            closed_loop: options.closed_loop,
            most_under_way: options
                .in_flight
                .unwrap_or(if options.closed_loop { 1 } else { USUALLY_UNDER_WAY })
                .clamp(1, MAX_UNDER_WAY),
            interval: options.interval,
            start_us,
            end_us: start_us + options.duration.as_micros() as u64,
            devices: options.drivers + options.stations,
            clock,
            ledger,
            sightings,
            acknowledged: AtomicU64::new(0),
        }
    }

    /// Since the start of sending.
    pub(super) fn seconds(&self) -> f64 {
        self.clock.now_us().saturating_sub(self.start_us) as f64 / 1e6
    }

    /// Waits for the common start of sending.
    async fn begin(&self) {
        tokio::time::sleep_until(self.clock.instant(self.start_us)).await;
    }
}

/// One connection with its devices.
pub(super) struct Session {
    shared: Arc<Shared>,
    /// The server, with the credential of this connection's device.
    target: Target,
    crowd: Crowd,
    schedule: Schedule,
    /// Frames sent and not acknowledged, oldest first.
    under_way: VecDeque<Vec<Sample>>,
    /// Frames to send again, before anything new.
    again: VecDeque<Vec<Sample>>,
    /// Nothing is sent before, because the server asked to come back later.
    held_until: Instant,
    lines: Batch,
    tally: Tally,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, crowd: Crowd) -> Session {
        let Shared { start_us, interval, devices, .. } = *shared;
        let schedule = Schedule::new(start_us, interval, crowd.connection, crowd.connections, devices);
        let target = match crowd.token(&shared.tokens) {
            Some(token) => shared.target.with_token(token),
            None => shared.target.clone(),
        };
        Session {
            shared,
            target,
            crowd,
            schedule,
            under_way: VecDeque::new(),
            again: VecDeque::new(),
            held_until: Instant::now(),
            lines: Batch::default(),
            tally: Tally::default(),
        }
    }

    /// Sends until the end of the run, then waits a little for what is under way.
    ///
    /// # Errors
    /// When the server refuses whole requests, is not understood, or the ledger cannot be written.
    pub(super) async fn run(mut self) -> Result<Tally> {
        if self.crowd.len() == 0 {
            return Ok(self.tally);
        }
        let limit = self.shared.clock.instant(self.shared.end_us) + DRAIN;
        // A peer that has fallen silent must not hold the run up.
        if let Ok(outcome) = tokio::time::timeout_at(limit, self.keep_connected()).await {
            outcome?;
        }
        let outstanding = self.under_way.iter().chain(&self.again).map(Vec::len).sum::<usize>();
        self.tally.unanswered = outstanding as u64;
        if !self.shared.closed_loop {
            self.tally.unsent = self.schedule.left_before(self.shared.end_us);
        }
        Ok(self.tally)
    }

    async fn keep_connected(&mut self) -> Result<()> {
        let mut backoff = Backoff::new(RECONNECT);
        loop {
            let acknowledged = self.tally.acknowledged;
            let outcome = match self.shared.via {
                Via::WebSocket => self.over_websocket().await,
                Via::Http => self.over_http().await,
                Via::Mqtt(version) => self.over_mqtt(version).await,
            };
            let Err(error) = outcome else { return Ok(()) };
            if !error.is_connection_loss() {
                return Err(error);
            }
            self.tally.errors += 1;
            self.requeue();
            if !self.has_more() {
                return Ok(());
            }
            if self.tally.acknowledged > acknowledged {
                backoff = Backoff::new(RECONNECT);
            }
            backoff.pause(None, error).await?;
        }
    }

    async fn over_websocket(&mut self) -> Result<()> {
        let mut socket = WebSocket::connect(&self.target, INGEST_PATH).await?;
        self.shared.begin().await;
        let most = self.shared.most_under_way;
        let mut acknowledged_frames = 0;
        loop {
            while self.under_way.len() < most {
                let Some(frame) = self.next_frame() else { break };
                self.write(&frame);
                socket.say(self.lines.body());
                self.under_way.push_back(frame);
            }
            socket.flush()?;
            if self.is_done() {
                socket.close();
                return Ok(());
            }
            let may_send = self.under_way.len() < most && self.has_more();
            tokio::select! {
                outcome = socket.receive() => outcome?,
                () = tokio::time::sleep_until(self.next_send()), if may_send => {}
            }
            while let Some(message) = socket.message()? {
                acknowledged_frames += 1;
                let answer = Answer::parse(&message).map_err(|reason| odd(&self.target, reason))?;
                if answer.ack != acknowledged_frames {
                    return Err(odd(&self.target, format!("frame {} acknowledged out of turn", answer.ack)));
                }
                self.settle(&answer)?;
            }
        }
    }

    async fn over_http(&mut self) -> Result<()> {
        let mut http = HttpConnection::connect(&self.target).await?;
        self.shared.begin().await;
        loop {
            let Some(frame) = self.next_frame() else {
                if self.is_done() {
                    return Ok(());
                }
                tokio::time::sleep_until(self.next_send()).await;
                continue;
            };
            self.write(&frame);
            let single = self.shared.batch == 1;
            let device = frame[0].device;
            self.under_way.push_back(frame);
            let answer = if single {
                let path = self.crowd.path(device);
                Answer::from_single_http(&http.post(&path, "application/json", self.lines.body()).await?)?
            } else {
                Answer::from_http(&http.post(REPORTS_PATH, NDJSON, self.lines.body()).await?)?
            };
            self.settle(&answer)?;
        }
    }

    /// What to send now, if anything.
    fn next_frame(&mut self) -> Option<Vec<Sample>> {
        if Instant::now() < self.held_until {
            return None;
        }
        if let Some(frame) = self.again.pop_front() {
            return Some(frame);
        }
        let now_us = self.shared.clock.now_us();
        if now_us >= self.shared.end_us {
            return None;
        }
        let mut frame = Vec::new();
        while frame.len() < self.shared.batch && (self.shared.closed_loop || self.schedule.due_us() <= now_us) {
            let due_us = if self.shared.closed_loop { now_us } else { self.schedule.due_us() };
            frame.push(self.crowd.sample(self.schedule.device(), due_us));
            self.schedule.advance();
            self.tally.lag(now_us - due_us);
        }
        self.tally.sent += frame.len() as u64;
        (!frame.is_empty()).then_some(frame)
    }

    /// Writes the frame's text into `lines`, and notes when its devices spoke for the watchers.
    fn write(&mut self, frame: &[Sample]) {
        self.lines.clear();
        for sample in frame {
            self.lines.push_with(|line| self.crowd.append(sample, line));
            self.shared.sightings.spoke(sample.device, sample.due_us);
        }
    }

    fn next_due_us(&self) -> u64 {
        if self.shared.closed_loop { self.shared.end_us } else { self.schedule.due_us().min(self.shared.end_us) }
    }

    /// When the next frame may go out, if there is one.
    fn next_send(&self) -> Instant {
        let due = if self.again.is_empty() { self.shared.clock.instant(self.next_due_us()) } else { Instant::now() };
        due.max(self.held_until)
    }

    fn is_over(&self) -> bool {
        self.shared.clock.now_us() >= self.shared.end_us
    }

    fn has_more(&self) -> bool {
        !self.is_over() || !self.again.is_empty()
    }

    /// Everything was sent and has its answer.
    fn is_done(&self) -> bool {
        !self.has_more() && self.under_way.is_empty()
    }

    fn requeue(&mut self) {
        while let Some(frame) = self.under_way.pop_back() {
            self.again.push_front(frame);
        }
    }

    /// Books the answer to the oldest frame under way.
    fn settle(&mut self, answer: &Answer) -> Result<()> {
        let Some(frame) = self.under_way.pop_front() else {
            return Err(odd(&self.target, "an acknowledgement for nothing".into()));
        };
        if let Some(trouble) = &answer.error {
            return self.put_off(frame, trouble.wait()?);
        }
        if answer.settled() != frame.len() as u64 {
            return Err(odd(&self.target, format!("{} reports answered of {}", answer.settled(), frame.len())));
        }
        self.tally.settle(answer);
        let now_us = self.shared.clock.now_us();
        let mut ledger = Vec::new();
        for (_, sample) in frame.iter().enumerate().filter(|(index, _)| answer.has_taken(*index)) {
            self.tally.acknowledged(now_us.saturating_sub(sample.due_us));
            self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            if self.shared.ledger.is_some() {
                self.crowd.append_ledger(sample, &mut ledger);
            }
        }
        self.shared.ledger.as_ref().map_or(Ok(()), |file| file.append(&ledger))
    }

    /// Nothing of it was taken: it goes again when the server asked to, and other answers are read meanwhile.
    fn put_off(&mut self, frame: Vec<Sample>, wait: Duration) -> Result<()> {
        self.tally.errors += 1;
        self.again.push_back(frame);
        self.held_until = Instant::now() + wait.min(DRAIN);
        Ok(())
    }
}
