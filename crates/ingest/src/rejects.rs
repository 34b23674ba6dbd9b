//! Refused input is kept: who sent it, why it was refused, and the first bytes of what was sent, in a
//! log of its own with short retention. One JSON object per record, so that it can be read by hand.

use drover_log::{Log, Position, ReadError};
use drover_model::{Reject, RejectCode};
use metrics::Counter;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// So many bytes of a refused item are kept.
const PAYLOAD_KEPT_BYTES: usize = 4096;

/// One refused item as it is kept and listed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RejectedItem {
    /// Its number in the reject log.
    #[serde(default)]
    pub position: Position,
    /// When it was refused, ms UTC.
    pub time: i64,
    /// Through which door it came: `http`, `websocket` or `mqtt`.
    pub source: String,
    /// Reason.
    pub code: String,
    /// Offending field, or empty.
    pub field: String,
    /// Reason in words.
    pub message: String,
    /// The first bytes of what was sent; bytes that are not UTF-8 are replaced.
    pub payload: String,
    /// Bytes that were sent.
    pub payload_bytes: usize,
}

/// The doors. Names of metrics' labels and of kept rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// HTTP requests.
    Http,
    /// Frames on a WebSocket.
    WebSocket,
    /// Publishes on MQTT.
    Mqtt,
}

impl Door {
    /// Every door, in the order of their numbers.
    pub const ALL: [Door; 3] = [Door::Http, Door::WebSocket, Door::Mqtt];

    /// The word in metrics and rejects.
    pub const fn name(self) -> &'static str {
        match self {
            Door::Http => "http",
            Door::WebSocket => "websocket",
            Door::Mqtt => "mqtt",
        }
    }
}

/// The store of refused input.
#[derive(Debug, Clone)]
pub struct Rejects {
    log: Log,
    counters: [Counter; RejectCode::ALL.len()],
    not_kept: Counter,
}

impl Rejects {
    /// Keeps rejects in `log`.
    pub fn new(log: Log) -> Rejects {
        let counters =
            RejectCode::ALL.map(|code| metrics::counter!("drover_reports_rejected_total", "reason" => code.name()));
        Rejects { log, counters, not_kept: metrics::counter!("drover_rejects_not_kept_total") }
    }

    /// Counts and keeps one refusal. Returns the position to wait for, or none where the store is
    /// full or broken: then the refusal is still counted, and `drover_rejects_not_kept_total` too.
    pub fn keep(&self, door: Door, reject: &Reject, payload: &[u8], now_ms: i64) -> Option<Position> {
        self.counters[reject.code as usize].increment(1);
        let kept = &payload[..payload.len().min(PAYLOAD_KEPT_BYTES)];
        let item = RejectedItem {
            position: 0,
            time: now_ms,
            source: door.name().into(),
            code: reject.code.name().into(),
            field: reject.field.to_string(),
            message: reject.message.clone(),
            payload: String::from_utf8_lossy(kept).into_owned(),
            payload_bytes: payload.len(),
        };
        let record = serde_json::to_vec(&item).expect("a reject is plain text and numbers");
        match self.log.append(&record) {
            Ok(position) => Some(position),
            Err(error) => {
                self.not_kept.increment(1);
                tracing::warn!(%error, code = reject.code.name(), "a refused report could not be kept");
                None
            }
        }
    }

    /// Waits until the kept refusals up to `position` are on disk. A failure is counted, not raised:
    /// the answer to the sender is the same.
    pub async fn durable(&self, position: Position) {
        if let Err(error) = self.log.durable(position).await {
            self.not_kept.increment(1);
            tracing::warn!(%error, "refused reports could not be written");
        }
    }

    /// Up to `limit` kept items from `from` on, oldest first.
    pub fn list(&self, from: Position, limit: usize) -> Result<Vec<RejectedItem>, ReadError> {
        let mut items = Vec::new();
        let mut follower = self.log.follow("rejects-list", from.max(self.log.oldest()));
        while items.len() < limit {
            let Some(batch) = follower.next(std::time::Duration::ZERO)? else { break };
            let records = batch.records().filter(|(position, _)| *position >= from);
            items.extend(records.take(limit - items.len()).filter_map(|(position, bytes)| read_item(position, bytes)));
        }
        Ok(items)
    }
}

fn read_item(position: Position, bytes: &[u8]) -> Option<RejectedItem> {
    let item: RejectedItem = serde_json::from_slice(bytes).ok()?;
    Some(RejectedItem { position, ..item })
}
