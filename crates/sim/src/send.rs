//! Reliable sending: a batch goes out, its answer comes back, and what stands in between (a busy server, a broken
//! connection) is waited out. At least once: after a break the batch is sent again as it was, and the server says
//! `duplicate` for what it had already.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::random::Random;
use crate::report::Report;
use crate::wire::answer::{Answer, Rejection, Trouble};
use crate::wire::http::HttpConnection;
use crate::wire::mqtt::{Mqtt, Refusal};
use crate::wire::target::Target;
use crate::wire::websocket::WebSocket;

/// Where batches go.
pub(crate) const REPORTS_PATH: &str = "/api/v1/reports";
/// Where WebSockets for sending are opened.
pub(crate) const INGEST_PATH: &str = "/api/v1/ingest";
/// The usual MQTT door.
pub const MQTT: &str = "127.0.0.1:1883";
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// The public door to send through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// `POST /api/v1/reports` on kept-alive connections.
    Http,
    /// `/api/v1/ingest`.
    WebSocket,
    /// One publish a report, QoS 1. Says taken or not; does not tell new reports from known ones.
    Mqtt,
}

/// How long to keep trying one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts for one batch, at least 1.
    pub attempts: u32,
    /// Pause after the first failure; it doubles with each further one, with a random part.
    pub first_wait: Duration,
    /// Longest pause, also where the server asks for more.
    pub longest_wait: Duration,
}

impl Default for Patience {
    /// About a minute and a half.
    fn default() -> Self {
        Patience { attempts: 25, first_wait: Duration::from_millis(50), longest_wait: Duration::from_secs(5) }
    }
}

/// Reports that go out together, one JSON object per line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    body: Vec<u8>,
    count: u64,
}

impl Batch {
    /// Adds a report.
    pub fn push(&mut self, report: &Report) {
        self.push_with(|line| report.append_json(line));
    }

    /// Adds what `write` appends, which must be one JSON object without a line end.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.count > 0 {
            self.body.push(b'\n');
        }
        write(&mut self.body);
        self.count += 1;
    }

    /// Takes everything out, keeping the memory.
    pub fn clear(&mut self) {
        self.body.clear();
        self.count = 0;
    }

    /// Reports inside.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The lines.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Growing pauses between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    patience: Patience,
    attempts: u32,
    random: Random,
}

impl Backoff {
    pub(crate) fn new(patience: Patience) -> Backoff {
        // Clients that lost the same server must not come back in step; which of them comes when need not be
        // repeatable.
        let seed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
        Backoff { patience, attempts: 0, random: Random::new(seed) }
    }

    /// Pauses, for as long as the server asked or else a little longer than the last time.
    ///
    /// # Errors
    /// When all attempts are used up; `last` is named.
    pub(crate) async fn pause(&mut self, asked: Option<Duration>, last: impl ToString) -> Result<()> {
        self.attempts += 1;
        if self.attempts >= self.patience.attempts {
            return Err(Error::GivenUp { attempts: self.attempts, last: last.to_string() });
        }
        tokio::time::sleep(asked.unwrap_or_else(|| self.next_wait()).min(self.patience.longest_wait)).await;
        Ok(())
    }

    fn next_wait(&mut self) -> Duration {
        let doubled = self.patience.first_wait * 2_u32.pow((self.attempts - 1).min(10));
        doubled.min(self.patience.longest_wait).mul_f64(self.random.between(0.5, 1.0))
    }
}

/// What one attempt came to.
enum Outcome {
    Settled(Answer),
    Later { wait: Duration, why: String },
}

/// An open connection of either sort.
enum Link {
    Http(HttpConnection),
    WebSocket { socket: WebSocket, frames: u64 },
    Mqtt(Mqtt),
}

/// Sends batches one after the other over one connection, made when first needed.
pub struct Sender {
    target: Target,
    via: Via,
    patience: Patience,
    link: Option<Link>,
    losses: u64,
}

impl Sender {
    /// A sender to this server; nothing is connected yet.
    pub fn new(target: Target, via: Via, patience: Patience) -> Sender {
        Sender { target, via, patience, link: None, losses: 0 }
    }

    /// Connections lost, or not made, so far.
    pub fn losses(&self) -> u64 {
        self.losses
    }

    /// Sends a batch and waits for its answer. On return, the server has settled every report of the batch: taken it
    /// durably, known it already, or refused it. On an error (or when the future is dropped) any part of the batch
    /// may have been taken; sending it again is safe.
    ///
    /// # Errors
    /// When the server refuses the request as a whole, is not understood, or patience ends.
    pub async fn send(&mut self, batch: &Batch) -> Result<Answer> {
        let mut backoff = Backoff::new(self.patience);
        loop {
            match self.attempt(batch).await {
                Ok(Outcome::Settled(answer)) => return Ok(answer),
                Ok(Outcome::Later { wait, why }) => backoff.pause(Some(wait), why).await?,
                Err(error) if error.is_connection_loss() => {
                    self.losses += 1;
                    backoff.pause(None, error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The connection is put back only when it is in step again, so that neither an error nor a dropped future can
    /// leave an answer behind for the next batch.
    async fn attempt(&mut self, batch: &Batch) -> Result<Outcome> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.connect().await?,
        };
        let answer = match &mut link {
            Link::Http(http) => Answer::from_http(&http.post(REPORTS_PATH, NDJSON, &batch.body).await?)?,
            Link::WebSocket { socket, frames } => {
                *frames += 1;
                socket.say(&batch.body);
                socket.flush()?;
                let answer =
                    Answer::parse(&socket.next_message().await?).map_err(|reason| odd(&self.target, reason))?;
                in_turn(answer, *frames, &self.target)?
            }
            Link::Mqtt(mqtt) => publish_all(mqtt, &batch.body, &self.target).await?,
        };
        self.link = Some(link);
        self.outcome(batch, answer)
    }

    fn outcome(&self, batch: &Batch, answer: Answer) -> Result<Outcome> {
        if let Some(trouble) = &answer.error {
            return Ok(Outcome::Later { wait: trouble.wait()?, why: trouble.to_string() });
        }
        if answer.settled() != batch.count {
            return Err(odd(&self.target, format!("{} reports answered of {}", answer.settled(), batch.count)));
        }
        Ok(Outcome::Settled(answer))
    }

    async fn connect(&self) -> Result<Link> {
        Ok(match self.via {
            Via::Http => Link::Http(HttpConnection::connect(&self.target).await?),
            Via::WebSocket => {
                Link::WebSocket { socket: WebSocket::connect(&self.target, INGEST_PATH).await?, frames: 0 }
            }
            Via::Mqtt => Link::Mqtt(Mqtt::connect(&self.target, &client_id()).await?),
        })
    }
}

/// A client id that no other connection of any generator has.
pub(crate) fn client_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("drover-sim-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Publishes every line of a batch and waits for all acknowledgements.
async fn publish_all(mqtt: &mut Mqtt, lines: &[u8], target: &Target) -> Result<Answer> {
    let mut under_way = VecDeque::new();
    for line in lines.split(|byte| *byte == b'\n') {
        under_way.push_back(mqtt.publish(&topic_of(line, target)?, line));
    }
    mqtt.flush()?;
    let mut answer = Answer::default();
    let mut index = 0;
    while !under_way.is_empty() {
        mqtt.receive().await?;
        while let Some(ack) = mqtt.ack()? {
            if under_way.pop_front() != Some(ack.id) {
                return Err(odd(target, format!("publish {} acknowledged out of turn", ack.id)));
            }
            book(&mut answer, index, ack.refusal);
            index += 1;
        }
    }
    Ok(answer)
}

/// Adds what one acknowledgement says to the answer about all.
pub(crate) fn book(answer: &mut Answer, index: usize, refusal: Option<Refusal>) {
    match refusal {
        None => answer.accepted += 1,
        Some(Refusal { later: true, reason }) => {
            answer.error = Some(Trouble { code: "later".into(), message: reason, retry_after_s: Some(1.0) });
        }
        Some(Refusal { later: false, reason }) => {
            // The reason begins with the word for programs.
            let (code, message) = reason.split_once(": ").unwrap_or((&reason, ""));
            let (code, message) = (code.to_owned(), message.to_owned());
            answer.rejected.push(Rejection { index, code, field: None, message });
        }
    }
}

/// The topic that a report goes to, from its own name.
pub(crate) fn topic_of(line: &[u8], target: &Target) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Named<'a> {
        kind: &'a str,
        id: std::borrow::Cow<'a, str>,
    }
    let Named { kind, id } = serde_json::from_slice(line).map_err(|error| odd(target, error.to_string()))?;
    Ok(topic(kind, &id))
}

/// The topic of an asset's reports.
pub(crate) fn topic(kind: &str, id: &str) -> String {
    match kind {
        "station" => format!("ev/station/{id}/telemetry"),
        _ => format!("{kind}s/{id}/location"),
    }
}

fn in_turn(answer: Answer, frame: u64, target: &Target) -> Result<Answer> {
    if answer.ack == frame {
        return Ok(answer);
    }
    Err(odd(target, format!("an answer to frame {} instead of {frame}", answer.ack)))
}

pub(crate) fn odd(target: &Target, reason: String) -> Error {
    Error::Protocol { peer: target.authority(), reason }
}
