//! Plays recorded traces into a server as if they happened now. Every row of every file ends up in exactly one count:
//! accepted, duplicate, rejected by the server with its code, or not understood (`row_errors`).

mod tape;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;

use crate::error::Result;
use crate::send::{Batch, MQTT, Patience, Sender, Via};
use crate::wire::answer::Answer;
use crate::wire::target::Target;
pub use tape::MAX_TAPE_BYTES;
use tape::Tape;

/// How many messages of rows that were not understood a summary keeps.
const MAX_EXAMPLES: usize = 5;

/// What to play, where to and how.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Trace files; they are merged by event time and held in memory, up to [`MAX_TAPE_BYTES`] of report text.
    pub files: Vec<PathBuf>,
    /// The server, `http://`, `https://` or the same with `ws`.
    pub url: String,
    /// Its MQTT door, `HOST:PORT` or `mqtts://HOST:PORT`, for [`Via::Mqtt`].
    pub mqtt: String,
    /// Bearer token, if the server asks for one.
    pub token: Option<String>,
    /// PEM file of who vouches for a server with TLS, besides the system's authorities.
    pub ca: Option<PathBuf>,
    /// The door.
    pub via: Via,
    /// Trace seconds per real second; 0 sends as fast as the server takes.
    pub speed: f64,
    /// Send event times as recorded. Otherwise they are shifted: with a speed, the first fix is now and the others
    /// follow in proportion; as fast as possible, the last fix is now, so that nothing lies in the future.
    pub keep_times: bool,
    /// Most reports in one request or frame.
    pub batch: usize,
    /// How long to keep trying one batch.
    pub patience: Patience,
}

impl ReplayOptions {
    /// Real time over HTTP, in batches of at most 500.
    pub fn new(files: Vec<PathBuf>, url: impl Into<String>) -> ReplayOptions {
        ReplayOptions {
            files,
            url: url.into(),
            mqtt: MQTT.into(),
            token: None,
            ca: None,
            via: Via::Http,
            speed: 1.0,
            keep_times: false,
            batch: 500,
            patience: Patience::default(),
        }
    }
}

/// What became of the rows: `rows = accepted + duplicates + all rejected + row_errors`, where over MQTT the accepted
/// include the duplicates.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ReplaySummary {
    /// Data rows in the files.
    pub rows: u64,
    /// Reports sent (each counted once, however often it had to be sent).
    pub sent: u64,
    /// Taken by the server; over MQTT acknowledged, new or not.
    pub accepted: u64,
    /// Known to the server before. MQTT does not tell.
    pub duplicates: Option<u64>,
    /// Of the accepted, those older than what was known. MQTT does not tell.
    pub late: Option<u64>,
    /// Refused by the server, by code.
    pub rejected: BTreeMap<String, u64>,
    /// Rows that were not understood and so not sent.
    pub row_errors: u64,
    /// The first few of them.
    pub row_error_examples: Vec<String>,
    /// Connections lost or not made on the way.
    pub connection_losses: u64,
    /// Wall-clock time from the first to the last batch.
    pub seconds: f64,
}

/// Reads the files, then sends every fix at its time. On success every row is settled and counted.
///
/// # Errors
/// When a file cannot be opened, the files hold more than can be kept, or the server refuses for good or stays away.
/// What was sent by then stays sent; replaying again with `keep_times` gives duplicates for it.
pub async fn replay(options: ReplayOptions) -> Result<ReplaySummary> {
    let target = match options.via {
        Via::Mqtt(_) => Target::parse_mqtt(&options.mqtt, options.token.clone(), options.ca.as_deref())?,
        Via::Http | Via::WebSocket => Target::parse(&options.url, options.token.clone(), options.ca.as_deref())?,
    };
    let mut summary = ReplaySummary::of(options.via);
    let tape = load(&options, &mut summary)?;
    let mut player = Player::new(&options, &tape, Sender::new(target, options.via, options.patience));
    let bar = progress(tape.len());
    let started = Instant::now();
    let mut position = 0;
    while position < tape.len() {
        position = player.send_next(position, &mut summary).await?;
        bar.set_position(position as u64);
    }
    summary.seconds = started.elapsed().as_secs_f64();
    summary.connection_losses = player.sender.losses();
    bar.finish_and_clear();
    Ok(summary)
}

fn load(options: &ReplayOptions, summary: &mut ReplaySummary) -> Result<Tape> {
    let mut note = |error: String| {
        summary.row_errors += 1;
        if summary.row_error_examples.len() < MAX_EXAMPLES {
            summary.row_error_examples.push(error);
        }
    };
    let tape = Tape::read(&options.files, options.keep_times, &mut note)?;
    summary.rows = tape.len() as u64 + summary.row_errors;
    Ok(tape)
}

/// The state of one playing.
struct Player<'t> {
    tape: &'t Tape,
    sender: Sender,
    batch: Batch,
    most: usize,
    speed: f64,
    started: Instant,
    /// Event time on the tape that stands for `zero_ms`, unless times are kept.
    first_ms: i64,
    zero_ms: Option<i64>,
}

impl<'t> Player<'t> {
    fn new(options: &ReplayOptions, tape: &'t Tape, sender: Sender) -> Player<'t> {
        let (first_ms, last_ms) = tape.span_ms();
        let paced = options.speed > 0.0;
        let zero_ms = if paced { now_ms() } else { now_ms() - (last_ms - first_ms) };
        Player {
            tape,
            sender,
            batch: Batch::default(),
            most: options.batch.max(1),
            speed: options.speed.max(0.0),
            started: Instant::now(),
            first_ms,
            zero_ms: (!options.keep_times).then_some(zero_ms),
        }
    }

    /// Sends the fixes that are due from `position` on, waiting for the first of them; gives the next position.
    async fn send_next(&mut self, position: usize, summary: &mut ReplaySummary) -> Result<usize> {
        self.sender.idle_until(self.due(position)).await;
        let now = Instant::now();
        let due = (position..self.tape.len()).take(self.most).take_while(|&at| at == position || self.due(at) <= now);
        let end = position + due.count();
        self.batch.clear();
        for at in position..end {
            let time_ms = self.time_ms(at);
            self.batch.push_with(|line| self.tape.append(at, time_ms, line));
        }
        let answer = self.sender.send(&self.batch).await?;
        count(summary, self.batch.count(), &answer);
        Ok(end)
    }

    fn due(&self, at: usize) -> Instant {
        if self.speed == 0.0 {
            return self.started;
        }
        let offset_ms = self.tape.order_ms(at) - self.first_ms;
        self.started + Duration::from_secs_f64(offset_ms.max(0) as f64 / 1000.0 / self.speed)
    }

    /// The event time to send instead of the recorded one, if it is to be another.
    fn time_ms(&self, at: usize) -> Option<i64> {
        let offset_ms = self.tape.event_time_ms(at)? - self.first_ms;
        let divisor = if self.speed > 0.0 { self.speed } else { 1.0 };
        self.zero_ms.map(|zero| zero + (offset_ms as f64 / divisor).round() as i64)
    }
}

fn count(summary: &mut ReplaySummary, sent: u64, answer: &Answer) {
    summary.sent += sent;
    summary.accepted += answer.accepted;
    summary.duplicates = summary.duplicates.map(|sum| sum + answer.duplicates);
    summary.late = summary.late.map(|sum| sum + answer.late);
    for rejection in &answer.rejected {
        *summary.rejected.entry(rejection.code.clone()).or_default() += 1;
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// On standard error, and only if that is a terminal.
fn progress(fixes: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} fixes {per_sec} {eta}");
    ProgressBar::new(fixes as u64).with_style(style.expect("the template is constant and valid"))
}

impl ReplaySummary {
    /// Nothing counted yet, and no place to count what the door does not tell.
    fn of(via: Via) -> ReplaySummary {
        let counted = via.tells_duplicates().then_some(0);
        ReplaySummary { duplicates: counted, late: counted, ..ReplaySummary::default() }
    }

    fn yes(&self) -> String {
        let ReplaySummary { accepted, duplicates, late, .. } = self;
        match (duplicates, late) {
            (Some(duplicates), Some(late)) => format!("{accepted} accepted ({late} late), {duplicates} duplicates"),
            _ => format!("{accepted} acknowledged (MQTT does not tell duplicates and late ones)"),
        }
    }
}

impl fmt::Display for ReplaySummary {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let ReplaySummary { rows, row_errors, seconds, .. } = self;
        let rejected: u64 = self.rejected.values().sum();
        writeln!(
            out,
            "{rows} rows in {seconds:.1} s: {}, {rejected} rejected, {row_errors} not understood",
            self.yes()
        )?;
        for (code, count) in &self.rejected {
            writeln!(out, "  rejected {code}: {count}")?;
        }
        for example in &self.row_error_examples {
            writeln!(out, "  {example}")?;
        }
        if self.connection_losses > 0 {
            writeln!(out, "  {} connections lost and made again", self.connection_losses)?;
        }
        Ok(())
    }
}
