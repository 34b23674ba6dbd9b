//! Reliable sending: a batch goes out, its answer comes back, and what stands in between (a busy server, a broken
//! connection) is waited out. At least once: after a break the batch is sent again as it was, and the server says
//! `duplicate` for what it had already. Over MQTT, where each report has its own answer, only what has none yet goes again.

mod patience;
mod publish;

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::report::Report;
use crate::wire::answer::Answer;
use crate::wire::http::HttpConnection;
use crate::wire::mqtt::{Mqtt, Version};
use crate::wire::target::Target;
use crate::wire::websocket::WebSocket;
pub(crate) use patience::Backoff;
pub use patience::Patience;
use publish::Publishing;
pub(crate) use publish::{book, client_id, topic};

/// Where batches go.
pub(crate) const REPORTS_PATH: &str = "/api/v1/reports";
/// Where WebSockets for sending are opened.
pub(crate) const INGEST_PATH: &str = "/api/v1/ingest";
/// The usual MQTT door.
pub const MQTT: &str = "127.0.0.1:1883";
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// The public door to send through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(into = "&'static str")]
pub enum Via {
    /// `POST /api/v1/reports` on kept-alive connections.
    Http,
    /// `/api/v1/ingest`.
    WebSocket,
    /// One publish a report, QoS 1. Says taken or not; does not tell new reports from known ones.
    Mqtt(Version),
}

impl Via {
    /// True if answers through this door tell duplicates and late reports from other accepted ones.
    pub fn tells_duplicates(self) -> bool {
        !matches!(self, Via::Mqtt(_))
    }
}

impl From<Via> for &'static str {
    fn from(via: Via) -> &'static str {
        match via {
            Via::Http => "http",
            Via::WebSocket => "websocket",
            Via::Mqtt(Version::V5) => "mqtt",
            Via::Mqtt(Version::V3) => "mqtt-3.1.1",
        }
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

/// What one attempt came to.
enum Outcome {
    Settled(Answer),
    Later { wait: Duration, why: String },
}

/// An open connection of any sort.
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
        let mut publishing = Publishing::default();
        let mut backoff = Backoff::new(self.patience);
        loop {
            let settled = publishing.settled();
            let outcome = self.attempt(batch, &mut publishing).await;
            if publishing.settled() > settled {
                backoff = Backoff::new(self.patience);
            }
            match outcome {
                Ok(Outcome::Settled(answer)) => return Ok(answer),
                Ok(Outcome::Later { wait, why }) => backoff.pause(Some(wait), why).await?,
                Err(error) if error.is_connection_loss() => {
                    self.losses += 1;
                    backoff.pause(None, self.explained(&error)).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits while there is nothing to send, without being taken for dead. A connection that breaks meanwhile is made
    /// anew with the next batch.
    pub async fn idle_until(&mut self, end: Instant) {
        if let Some(Link::Mqtt(mqtt)) = &mut self.link
            && mqtt.idle_until(end).await.is_err()
        {
            self.losses += 1;
            self.link = None;
        }
        tokio::time::sleep_until(end).await;
    }

    /// The connection is put back only when it is in step again, so that neither an error nor a dropped future can
    /// leave an answer behind for the next batch.
    async fn attempt(&mut self, batch: &Batch, publishing: &mut Publishing) -> Result<Outcome> {
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
            Link::Mqtt(mqtt) => publishing.run(mqtt, &batch.body, &self.target).await?,
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

    fn explained(&self, loss: &Error) -> String {
        match self.via {
            Via::Mqtt(Version::V3) => {
                format!("{loss}; MQTT 3.1.1 has no other word for a refused report, version 5 would say why")
            }
            _ => loss.to_string(),
        }
    }

    async fn connect(&self) -> Result<Link> {
        Ok(match self.via {
            Via::Http => Link::Http(HttpConnection::connect(&self.target).await?),
            Via::WebSocket => {
                Link::WebSocket { socket: WebSocket::connect(&self.target, INGEST_PATH).await?, frames: 0 }
            }
            Via::Mqtt(version) => Link::Mqtt(Mqtt::connect(&self.target, &client_id(), version).await?),
        })
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
