//! Watchers on `/api/v1/live`: how long from the moment at which a driver's report was meant to be sent until its
//! change has arrived here. Changes are found in the text by scanning, not by parsing JSON: a watcher of thousands of
//! reports a second would otherwise measure its own parser.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memchr::memmem;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::SimulateOptions;
use super::clock::Clock;
use super::summary::{WatchTally, microseconds};
use super::tokens::Tokens;
use crate::error::{Error, Result};
use crate::send::{Backoff, Patience};
use crate::wire::target::Target;
use crate::wire::websocket::WebSocket;

const LIVE_PATH: &str = "/api/v1/live";
/// How long changes may take to arrive after the last acknowledgement.
const GRACE: Duration = Duration::from_secs(1);
const FIRST_WORD: Duration = Duration::from_secs(10);
const RECONNECT: Patience =
    Patience { attempts: u32::MAX, first_wait: Duration::from_millis(20), longest_wait: Duration::from_secs(1) };

/// When each driver last spoke, in microseconds. Event times have whole milliseconds only; this gives the rest.
pub(super) struct Sightings(Vec<AtomicU64>);

impl Sightings {
    pub(super) fn new(drivers: usize) -> Sightings {
        Sightings((0..drivers).map(|_| AtomicU64::new(0)).collect())
    }

    /// A device is about to speak; stations are not followed.
    pub(super) fn spoke(&self, device: usize, due_us: u64) {
        if let Some(last) = self.0.get(device) {
            last.store(due_us, Ordering::Relaxed);
        }
    }

    /// When the report of this event time was meant to be sent, if such a driver is ours.
    fn spoken_us(&self, device: usize, time_ms: u64) -> Option<u64> {
        let last_us = self.0.get(device)?.load(Ordering::Relaxed);
        // An older report than the last one: to the millisecond is all that is known.
        Some(if last_us / 1000 == time_ms { last_us } else { time_ms * 1000 })
    }
}

/// Running watchers.
pub(super) struct Watchers {
    tasks: Vec<JoinHandle<WatchTally>>,
    stop: watch::Sender<bool>,
}

/// Opens all watchers and waits until each is subscribed.
pub(super) async fn start(
    options: &SimulateOptions,
    tokens: &Tokens,
    clock: Clock,
    sightings: &Arc<Sightings>,
) -> Result<Watchers> {
    let (stop, stopped) = watch::channel(false);
    let anybody = options.watch_target()?;
    let mut tasks = Vec::with_capacity(options.watchers);
    for at in 0..options.watchers {
        let target = tokens.of_watcher(at).map_or_else(|| anybody.clone(), |token| anybody.with_token(token));
        let wish = match options.watch_one {
            true => format!(r#"{{"action":"subscribe","assets":["driver/d{:06}"]}}"#, at + 1),
            false => r#"{"action":"subscribe"}"#.into(),
        };
        let socket = subscribe(&target, &wish).await?;
        let watcher = Watcher { target, wish, clock, sightings: sightings.clone(), tally: WatchTally::default() };
        tasks.push(tokio::spawn(watcher.run(socket, stopped.clone())));
    }
    Ok(Watchers { tasks, stop })
}

/// Gives the last changes a moment to arrive, then adds up what was seen.
pub(super) async fn finish(watchers: Watchers) -> Option<(usize, WatchTally)> {
    let count = watchers.tasks.len();
    if count == 0 {
        return None;
    }
    tokio::time::sleep(GRACE).await;
    watchers.stop.send_replace(true);
    let mut sum = WatchTally::default();
    for task in watchers.tasks {
        sum.add(&task.await.expect("a watcher does not panic"));
    }
    Some((count, sum))
}

/// Subscribed: the server has said its first word.
async fn subscribe(target: &Target, wish: &str) -> Result<WebSocket> {
    let mut socket = WebSocket::connect(target, LIVE_PATH).await?;
    socket.say(wish.as_bytes());
    let silent = || Error::Protocol { peer: target.authority(), reason: "no word on the live door for 10 s".into() };
    tokio::time::timeout(FIRST_WORD, socket.next_message()).await.map_err(|_| silent())??;
    Ok(socket)
}

struct Watcher {
    target: Target,
    /// What it subscribes to.
    wish: String,
    clock: Clock,
    sightings: Arc<Sightings>,
    tally: WatchTally,
}

impl Watcher {
    async fn run(mut self, socket: WebSocket, mut stopped: watch::Receiver<bool>) -> WatchTally {
        tokio::select! {
            () = self.follow(socket) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
        self.tally
    }

    /// Watches for ever, coming back after each loss.
    async fn follow(&mut self, mut socket: WebSocket) {
        loop {
            while self.take_what_arrives(&mut socket).await.is_ok() {}
            let mut backoff = Backoff::new(RECONNECT);
            socket = loop {
                self.tally.errors += 1;
                match subscribe(&self.target, &self.wish).await {
                    Ok(socket) => break socket,
                    Err(error) if backoff.pause(None, &error).await.is_ok() => {}
                    Err(_) => return,
                }
            };
        }
    }

    async fn take_what_arrives(&mut self, socket: &mut WebSocket) -> Result<()> {
        socket.receive().await?;
        let now_us = self.clock.now_us();
        while let Some(message) = socket.message()? {
            self.tally.bytes += message.len() as u64;
            // A snapshot repeats what happened before; only changes are news.
            if memmem::find(&message[..message.len().min(64)], b"\"changes\"").is_some() {
                self.note(&message, now_us);
            }
        }
        Ok(())
    }

    fn note(&mut self, message: &[u8], now_us: u64) {
        for (device, time_ms) in changes(message) {
            if let Some(spoken_us) = self.sightings.spoken_us(device, time_ms) {
                self.tally.updates += 1;
                self.tally.latency.saturating_record(microseconds(now_us.saturating_sub(spoken_us)));
            }
        }
    }
}

/// Drivers of ours and event times in a message: each `"id":"d…"` with the next `"timestamp":"…"` after it.
fn changes(message: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    const ID: &[u8] = b"\"id\":\"d";
    const TIME: &[u8] = b"\"timestamp\":\"";
    memmem::find_iter(message, ID).filter_map(move |at| {
        let rest = &message[at + ID.len()..];
        let time = memmem::find(rest, TIME)? + TIME.len();
        Some((number(rest.get(..6)?)?.checked_sub(1)? as usize, rfc3339_ms(&rest[time..])?))
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    let digit = |sum: u64, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'));
    digits.iter().try_fold(0, digit)
}

/// `2026-01-31T12:00:00.5Z"…` as milliseconds since 1970: UTC, with any number of decimals up to nine, ended by `Z`.
fn rfc3339_ms(text: &[u8]) -> Option<u64> {
    let field = |from: usize, to: usize| number(text.get(from..to)?);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let seconds = field(11, 13)? * 3600 + field(14, 16)? * 60 + field(17, 19)?;
    let end = memchr::memchr(b'Z', text.get(..30).unwrap_or(text))?;
    let decimals = text.get(20..end).unwrap_or_default();
    let ms = decimals.iter().chain(b"000").take(3).copied().collect::<Vec<u8>>();
    Some((days_since_1970(year, month, day) * 86_400 + seconds) * 1000 + number(&ms)?)
}

/// Days of the Gregorian calendar for years from 1970 on: years start in March, so that the leap day comes last.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_server_prints_them() {
        for (text, ms) in [
            ("1970-01-01T00:00:00.001Z", 1),
            ("2024-02-29T23:59:59.999Z", 1_709_251_199_999),
            ("2026-11-21T03:15:00.250Z", 1_795_230_900_250),
            ("2026-11-21T03:15:00.25Z", 1_795_230_900_250),
            ("2026-11-21T03:15:00Z", 1_795_230_900_000),
        ] {
            assert_eq!(text.parse::<jiff::Timestamp>().unwrap().as_millisecond(), ms as i64);
            assert_eq!(rfc3339_ms(text.as_bytes()), Some(ms));
        }
        assert_eq!(rfc3339_ms(b"2026-11-21T03:15:00.250+01:00"), None);
    }

    #[test]
    fn changes_are_found_among_other_fields_and_other_assets() {
        let message = br#"{"type":"changes","position":9,"assets":[
            {"kind":"driver","id":"d000007","order_id":"d1","timestamp":"1970-01-01T00:00:01.000Z"},
            {"kind":"vehicle","id":"van-1","timestamp":"1970-01-01T00:00:02.000Z"},
            {"kind":"driver","id":"d000001","latitude":1,"timestamp":"1970-01-01T00:00:03.000Z"}]}"#;
        assert_eq!(changes(message).collect::<Vec<_>>(), [(6, 1000), (0, 3000)]);
    }
}
