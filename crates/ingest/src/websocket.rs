//! The WebSocket door: each text or binary frame holds what an HTTP body would, and is answered in
//! order, after its reports are durable, by `{"ack":<frame number>, …receipt}`.
//!
//! A sender may have many frames under way: they share a sync of the disk. At the bound the socket is
//! not read until answers have gone out, so that TCP slows the sender down. A device's frames have the limit
//! of its requests; one too many is refused and kept, and the connection goes on.

use crate::intake::{Intake, IntakeError, Judged, Receipt};
use crate::rejects::Door;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use bytes::Bytes;
use drover_access::{ReportLimit, Seeing, Until};
use drover_answer::{Problem, ProblemKind};
use drover_log::Durable;
use drover_model::{Reject, RejectCode, Sight};
use futures_util::SinkExt;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// Frames of one connection that may wait for the disk.
const FRAMES_UNDER_WAY: usize = 256;
/// Largest message.
const MESSAGE_MAX_BYTES: usize = 8 * 1024 * 1024;
/// What a device is told whose frames come too fast.
const TOO_FAST: &str = "the device sends frames faster than it may; nothing of this one was taken";
/// How often a silent sender is pinged; after three pings without a sound it is gone.
const HEARTBEAT: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Ack {
    ack: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<AckError>,
}

#[derive(Serialize)]
struct AckError {
    code: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u32>,
}

/// Send reports over a WebSocket; each frame is acknowledged after it is durable.
#[utoipa::path(
    get, path = "/api/v1/ingest", tag = "sending",
    responses((status = 101, description = "frames in: as the body of POST /api/v1/reports; frames out: {\"ack\":<frame number>, …}"),
              (status = 400, description = "not a WebSocket request"))
)]
pub async fn ingest(
    State(intake): State<Intake>,
    Seeing(sight): Seeing,
    until: Until,
    limit: ReportLimit,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|error| {
        Problem::new(ProblemKind::Malformed, "malformed", error.body_text(), "open this address as a WebSocket")
    })?;
    let upgrade = upgrade
        .read_buffer_size(4096)
        .write_buffer_size(4096)
        .max_message_size(MESSAGE_MAX_BYTES)
        .max_frame_size(MESSAGE_MAX_BYTES);
    Ok(upgrade.on_upgrade(move |socket| serve(Sender { intake, sight, limit }, until, socket)))
}

/// Who sends, and where it goes.
struct Sender {
    intake: Intake,
    sight: Sight,
    limit: ReportLimit,
}

async fn serve(sender: Sender, until: Until, mut socket: WebSocket) {
    let gauge = metrics::gauge!("drover_senders", "door" => "websocket");
    gauge.increment(1.0);
    if let Err(error) = exchange(&sender, &until, &mut socket).await {
        tracing::debug!(%error, "a sender's WebSocket ended");
        say_why(&error, &mut socket).await;
    }
    gauge.decrement(1.0);
}

/// Tells a sender whose message was too big, as far as it still listens.
async fn say_why(error: &axum::Error, socket: &mut WebSocket) {
    // axum wraps the error of its WebSocket library; its text is all that tells the reasons apart.
    if error.to_string().contains("too long") || error.to_string().contains("too large") {
        let reason = format!("at most {MESSAGE_MAX_BYTES} bytes in one message").into();
        let close = Message::Close(Some(CloseFrame { code: close_code::SIZE, reason }));
        if let Err(error) = socket.send(close).await {
            tracing::debug!(%error, "a sender left before it was told why");
        }
    }
}

/// Why a frame gets no receipt.
enum Refused {
    /// By what it holds, or by the log.
    Intake(IntakeError),
    /// Its device is too fast; so many seconds it has to wait.
    TooFast(u32),
}

impl Refused {
    fn is_stopping(&self) -> bool {
        matches!(self, Refused::Intake(error) if error.is_stopping())
    }
}

impl Sender {
    /// A frame counts as a request does: once, however many reports it holds.
    async fn judge(&self, bytes: &Bytes) -> Result<Judged, Refused> {
        if let Some(seconds) = self.limit.take() {
            let reject = Reject::new(RejectCode::RateLimited, "", TOO_FAST.into());
            self.intake.keep(Door::WebSocket, &reject, bytes).await;
            return Err(Refused::TooFast(seconds));
        }
        self.intake.judge_many(Door::WebSocket, &self.sight, bytes).await.map_err(Refused::Intake)
    }
}

/// Answers that are not sent yet, in the order of their frames.
#[derive(Default)]
struct UnderWay {
    frames: u64,
    answers: VecDeque<(u64, Result<Judged, Refused>)>,
    /// Resolves when the first answer can be given.
    first: Option<Durable>,
    /// The node takes nothing more.
    stopping: bool,
}

impl UnderWay {
    async fn take(&mut self, sender: &Sender, bytes: Bytes) {
        self.frames += 1;
        let judged = sender.judge(&bytes).await;
        self.answers.push_back((self.frames, judged));
        self.wait_for_first(&sender.intake);
    }

    fn wait_for_first(&mut self, intake: &Intake) {
        let first = self.answers.front().map(|(_, judged)| judged.as_ref().map_or(0, Judged::position));
        self.first = match (first, self.first.take()) {
            (Some(position), Some(durable)) if durable.position() == position => Some(durable),
            (Some(position), _) => Some(intake.durable(position)),
            (None, _) => None,
        };
    }

    /// Waits until the first answer can be given, or the log says that it cannot.
    async fn ready(&mut self) {
        match &mut self.first {
            // The outcome is asked for again when the answer is made.
            Some(durable) => drop(durable.await),
            None => std::future::pending().await,
        }
    }

    /// Sends the first answer and all others that are ready with it, in one flush.
    async fn answer(&mut self, intake: &Intake, socket: &mut WebSocket) -> Result<(), axum::Error> {
        let mut is_first = true;
        let durable = intake.durable_position();
        let is_ready = |judged: &Result<Judged, Refused>| judged.as_ref().map_or(0, Judged::position) <= durable;
        while let Some((frame, judged)) = self.answers.pop_front_if(|(_, judged)| is_first || is_ready(judged)) {
            is_first = false;
            let taken = match judged {
                Ok(judged) => intake.settle(judged).await.map_err(Refused::Intake),
                Err(refused) => Err(refused),
            };
            self.stopping |= taken.as_ref().is_err_and(Refused::is_stopping);
            socket.feed(ack(frame, taken)).await?;
        }
        self.first = None;
        self.wait_for_first(intake);
        socket.flush().await
    }
}

/// Reads frames and answers them until the sender leaves.
async fn exchange(sender: &Sender, until: &Until, socket: &mut WebSocket) -> Result<(), axum::Error> {
    let mut ended = until.ended();
    let mut under_way = UnderWay::default();
    let mut silence = Silence::default();
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            biased;
            () = under_way.ready() => {
                under_way.answer(&sender.intake, socket).await?;
                if under_way.stopping {
                    // What is still unanswered was not acknowledged: its sender sends it again.
                    let reason = "the node is stopping: connect again".into();
                    return socket.send(Message::Close(Some(CloseFrame { code: close_code::AWAY, reason }))).await;
                }
            }
            // What was not answered was not acknowledged.
            () = &mut ended => {
                let reason = "access has ended".into();
                return socket.send(Message::Close(Some(CloseFrame { code: close_code::POLICY, reason }))).await;
            }
            message = socket.recv(), if under_way.answers.len() < FRAMES_UNDER_WAY => {
                silence.heard();
                match message.transpose()? {
                    Some(Message::Text(text)) => under_way.take(sender, text.into()).await,
                    Some(Message::Binary(bytes)) => under_way.take(sender, bytes).await,
                    Some(Message::Ping(_) | Message::Pong(_)) => {}
                    Some(Message::Close(_)) | None => return Ok(()),
                }
            }
            _ = heartbeat.tick() => {
                if silence.is_too_long() {
                    return Ok(());
                }
                socket.send(Message::Ping(Bytes::new())).await?;
            }
        }
    }
}

/// Counts heartbeats since the peer was last heard; a live peer answers pings.
#[derive(Default)]
struct Silence(u32);

impl Silence {
    fn heard(&mut self) {
        self.0 = 0;
    }

    fn is_too_long(&mut self) -> bool {
        self.0 += 1;
        self.0 > 3
    }
}

fn ack(frame: u64, taken: Result<Receipt, Refused>) -> Message {
    let ack = match taken {
        Ok(receipt) => Ack { ack: frame, receipt: Some(receipt), error: None },
        Err(error) => Ack { ack: frame, receipt: None, error: Some(error.into()) },
    };
    Message::text(serde_json::to_string(&ack).expect("an acknowledgement is plain data"))
}

impl From<Refused> for AckError {
    fn from(refused: Refused) -> AckError {
        match refused {
            Refused::Intake(error) => {
                let Problem { code, message, retry_after_s, .. } = Problem::from(error);
                AckError { code: code.into_owned(), message, retry_after_s }
            }
            Refused::TooFast(seconds) => {
                let code = RejectCode::RateLimited.name().into();
                AckError { code, message: TOO_FAST.into(), retry_after_s: Some(seconds) }
            }
        }
    }
}
