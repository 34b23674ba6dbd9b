//! The one way in, whatever the door: decoded items are admitted, the answer waits until they are
//! durable, refused ones are kept. Doors only turn their wire format into items and answers.

use crate::admit::{Admission, Admitted, Refusal};
use crate::lanes::{Entered, Lane, Lanes, TurnedAway};
use crate::rejects::{Door, RejectedItem, Rejects};
use drover_answer::{Problem, ProblemKind, now_ms};
use drover_formats::{Parsed, parse_report, parse_reports};
use drover_log::{AppendError, CommitError, Durable, Log, Position, ReadError};
use drover_model::{Kind, Reject, RejectCode, Sight};
use metrics::{Counter, Histogram};
use serde::Serialize;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;
use utoipa::ToSchema;

/// Most reports in one request or frame.
pub const BATCH_MAX_REPORTS: usize = 100_000;
/// Rejects listed in one answer; all are counted and kept.
const REJECTS_LISTED: usize = 1_000;
/// A body of so many bytes is not read while too many wait.
const LARGE_BODY_BYTES: usize = 16 << 10;
/// Other tasks get a turn after so many reports of one batch.
const REPORTS_PER_TURN: usize = 512;

/// What became of a request's reports.
#[derive(Debug, Default, Clone, PartialEq, Serialize, ToSchema)]
pub struct Receipt {
    /// New reports, durable in the log. Late ones are counted here too.
    pub accepted: usize,
    /// Reports that were there before with the same content.
    pub duplicates: usize,
    /// Accepted reports older than their asset's newest: kept, not shown live.
    pub late: usize,
    /// Refused items; at most 1,000 are listed, `rejected_total` counts all.
    pub rejected: Vec<RejectedAt>,
    /// All refused items.
    pub rejected_total: usize,
    /// A log position that covers every accepted report and every duplicate. A read with
    /// `?at_least=<position>` sees them.
    pub position: Position,
}

/// One refused item of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RejectedAt {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Reason.
    pub code: &'static str,
    /// Offending field, or empty.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Receipt {
    /// True when there were items and every one was refused.
    pub fn is_all_refused(&self) -> bool {
        self.rejected_total > 0 && self.accepted + self.duplicates == 0
    }
}

/// Why a request got no receipt. Nothing of it was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The request, or its only report, is at fault.
    #[error("{}", .0.message)]
    Reject(Reject),
    /// The log refuses for now (full disk, too much waiting) or for good (failed disk).
    #[error("reports cannot be taken now: {0}")]
    Append(AppendError),
    /// Some reports may become durable later: the sender must send again, and gets a duplicate then.
    #[error("reports could not be made durable: {0}")]
    Commit(#[from] CommitError),
    /// More comes than can be taken; nothing of the request was.
    #[error("{0}")]
    TurnedAway(#[from] TurnedAway),
    /// The index of earlier reports cannot be read.
    #[error("earlier reports cannot be looked up: {0}")]
    Lookup(std::io::Error),
}

impl IntakeError {
    /// True when this node takes nothing more, because it was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        matches!(self, IntakeError::Append(AppendError::Closed) | IntakeError::Commit(CommitError::Closed))
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Problem {
        let message = error.to_string();
        let is_stopping = error.is_stopping();
        let unavailable =
            |code, help| Problem::new(ProblemKind::Unavailable, code, message.clone(), help).retry_after(1);
        match error {
            IntakeError::Reject(reject) => reject.into(),
            IntakeError::Append(AppendError::TooLarge { .. }) => {
                Problem::new(ProblemKind::TooLarge, "too_large", message, "send fewer readings in one report")
            }
            IntakeError::TurnedAway(_) | IntakeError::Append(AppendError::Overloaded { .. }) => {
                unavailable("overloaded", "wait as Retry-After says and send again")
            }
            IntakeError::Append(AppendError::Full(_)) | IntakeError::Commit(CommitError::Full(_)) => {
                unavailable("disk_full", "free space on the node's data disk; it resumes by itself. Send again later")
                    .retry_after(5)
            }
            _ if is_stopping => {
                unavailable("stopping", "the node is stopping: connect again, and send again what was not acknowledged")
            }
            IntakeError::Append(_) | IntakeError::Commit(_) | IntakeError::Lookup(_) => {
                unavailable("storage_failed", "look at the node's log and disk, then restart it. Send again later")
                    .retry_after(30)
            }
        }
    }
}

/// Kind and id that the address of a request gives, over whatever the body says.
#[derive(Debug, Clone, Copy)]
pub struct Addressed<'a> {
    /// Kind from the path.
    pub kind: Kind,
    /// Id from the path.
    pub id: &'a str,
}

/// The way into one node's log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    admission: Arc<Admission>,
    log: Log,
    rejects: Rejects,
    lanes: Lanes,
    meters: [Meters; Door::ALL.len()],
}

#[derive(Debug)]
struct Meters {
    accepted: Counter,
    duplicates: Counter,
    late: Counter,
    ack_seconds: Histogram,
}

impl Meters {
    fn new(door: Door) -> Meters {
        let counter = |name| metrics::counter!(name, "door" => door.name());
        Meters {
            accepted: counter("drover_reports_accepted_total"),
            duplicates: counter("drover_reports_duplicate_total"),
            late: counter("drover_reports_late_total"),
            ack_seconds: metrics::histogram!("drover_ack_seconds", "door" => door.name()),
        }
    }
}

/// A request whose items are judged: what its answer will say once the disk has them.
#[derive(Debug)]
pub struct Judged {
    door: Door,
    started: Instant,
    receipt: Receipt,
    rejects_wait: Option<Position>,
}

impl Judged {
    fn new(door: Door) -> Judged {
        Judged { door, started: Instant::now(), receipt: Receipt::default(), rejects_wait: None }
    }

    /// The position that must be durable before [`Intake::settle`] can answer at once.
    pub fn position(&self) -> Position {
        self.receipt.position
    }
}

thread_local! {
    /// Where records are encoded before they are appended: one buffer per thread, so that taking a
    /// report allocates nothing.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Intake {
    /// Joins admission and the reject store. `live_position` gives the last position that the live state has applied;
    /// `per_second` is how many reports are taken in a second at most, 0 without a ceiling.
    pub fn new(
        admission: Arc<Admission>,
        log: Log,
        rejects: Rejects,
        live_position: impl Fn() -> Position + Send + Sync + 'static,
        per_second: u32,
    ) -> Intake {
        let meters = Door::ALL.map(Meters::new);
        let end = log.clone();
        let lanes = Lanes::new(move || (end.next_position() - 1, live_position()), per_second);
        Intake(Arc::new(Inner { admission, log, rejects, lanes, meters }))
    }

    /// Takes a body with one report whose kind and id the address gives. On `Ok` it is durable (or was
    /// already). On `Err` it was not acknowledged; a refused one is kept.
    pub async fn take_one(
        &self,
        door: Door,
        sight: &Sight,
        address: Addressed<'_>,
        body: &[u8],
    ) -> Result<Receipt, IntakeError> {
        let parsed = parse_report(body);
        let passing = self.0.lanes.turn(Lane::of([&parsed]), 1).await?;
        let judged = self.judge_one(door, sight, address, parsed);
        drop(passing);
        match judged {
            Ok(judged) => self.settle(judged).await,
            Err(error) => {
                if let Some(kept) = self.keep_refused(door, &error, body) {
                    self.rejects_durable(kept).await;
                }
                Err(error)
            }
        }
    }

    /// Joins the lane of one report, or lets it pass at once.
    pub(crate) fn enter(&self, parsed: &Parsed<'_>) -> Result<Entered, TurnedAway> {
        self.0.lanes.enter(Lane::of([parsed]), 1)
    }

    /// The second half of [`Intake::take_one`], after its turn has come: on `Ok` the report is in the log's order, and may
    /// be acknowledged after [`Intake::settle`]. On `Err` nothing is kept yet ([`Intake::keep_refused`]).
    pub fn judge_one(
        &self,
        door: Door,
        sight: &Sight,
        address: Addressed<'_>,
        parsed: Parsed<'_>,
    ) -> Result<Judged, IntakeError> {
        let mut judged = Judged::new(door);
        self.judge(sight, parsed.and_then(|draft| at_address(draft, address)), &mut judged.receipt)?;
        Ok(judged)
    }

    /// Counts and keeps a refused body, if it is the sender's fault. Returns what
    /// [`Intake::rejects_durable`] waits for.
    pub fn keep_refused(&self, door: Door, error: &IntakeError, body: &[u8]) -> Option<Position> {
        match error {
            IntakeError::Reject(reject) => self.0.rejects.keep(door, reject, body, now_ms()),
            _ => None,
        }
    }

    /// Resolves when the kept refusal at `position` is on disk, or can never be.
    pub async fn rejects_durable(&self, position: Position) {
        self.0.rejects.durable(position).await;
    }

    /// Takes a body with any number of reports. On `Ok` every accepted one is durable and every
    /// refused one is kept and listed by its place. On `Err` nothing was acknowledged.
    pub async fn take_many(&self, door: Door, sight: &Sight, body: &[u8]) -> Result<Receipt, IntakeError> {
        self.settle(self.judge_many(door, sight, body).await?).await
    }

    /// The first half of [`Intake::take_many`]: waits for its turn; then everything is in the log's order, and nothing may
    /// be acknowledged yet. Waits for the disk only to keep a body that could not be read at all.
    pub async fn judge_many(&self, door: Door, sight: &Sight, body: &[u8]) -> Result<Judged, IntakeError> {
        let mut judged = Judged::new(door);
        if body.len() >= LARGE_BODY_BYTES {
            self.0.lanes.look_in().await?;
        }
        let items = match parse_reports(body).and_then(check_count) {
            Ok(items) => items,
            Err(reject) => {
                self.keep(door, &reject, body).await;
                return Err(IntakeError::Reject(reject));
            }
        };
        let _passing = self.0.lanes.turn(Lane::of(&items), items.len()).await?;
        let mut refused = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            match self.judge(sight, item, &mut judged.receipt) {
                Ok(()) => {}
                Err(IntakeError::Reject(reject)) => refused.push((index, reject)),
                Err(other) => return Err(other),
            }
            if index % REPORTS_PER_TURN == REPORTS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.list_refused(refused, body, &mut judged);
        Ok(judged)
    }

    /// Admits one item, if its sender may report for its asset, and counts it.
    fn judge(&self, sight: &Sight, parsed: Parsed<'_>, receipt: &mut Receipt) -> Result<(), IntakeError> {
        let draft = parsed.and_then(|draft| from_sender(draft, sight)).map_err(IntakeError::Reject)?;
        let admitted = SCRATCH.with_borrow_mut(|scratch| self.0.admission.admit(draft, now_ms(), scratch));
        let position = match admitted {
            Ok(Admitted::New { position, late }) => {
                receipt.accepted += 1;
                receipt.late += usize::from(late);
                position
            }
            Ok(Admitted::Duplicate { wait }) => {
                receipt.duplicates += 1;
                wait
            }
            Err(Refusal::Reject(reject)) => return Err(IntakeError::Reject(reject)),
            Err(Refusal::Log(error)) => return Err(IntakeError::Append(error)),
            Err(Refusal::Lookup(error)) => return Err(IntakeError::Lookup(error)),
        };
        receipt.position = receipt.position.max(position);
        Ok(())
    }

    fn list_refused(&self, refused: Vec<(usize, Reject)>, body: &[u8], judged: &mut Judged) {
        if refused.is_empty() {
            return;
        }
        let raw = raw_items(body);
        judged.receipt.rejected_total = refused.len();
        for (index, reject) in refused {
            let payload = raw.get(index).map_or(body, |item| item.as_bytes());
            judged.rejects_wait = self.0.rejects.keep(judged.door, &reject, payload, now_ms()).or(judged.rejects_wait);
            if judged.receipt.rejected.len() < REJECTS_LISTED {
                let Reject { code, field, message, .. } = reject;
                judged.receipt.rejected.push(RejectedAt {
                    index,
                    code: code.name(),
                    field: field.into_owned(),
                    message,
                });
            }
        }
    }

    /// The log position up to which everything is durable.
    pub fn durable_position(&self) -> Position {
        self.0.log.durable_position()
    }

    /// Resolves when `position` is durable.
    pub fn durable(&self, position: Position) -> Durable {
        self.0.log.durable(position)
    }

    /// The second half of [`Intake::take_many`]: waits for the disk and counts what is now certain.
    pub async fn settle(&self, judged: Judged) -> Result<Receipt, IntakeError> {
        let Judged { door, started, receipt, rejects_wait } = judged;
        if receipt.position > 0 {
            self.0.log.durable(receipt.position).await?;
        }
        if let Some(position) = rejects_wait {
            self.0.rejects.durable(position).await;
        }
        let meters = &self.0.meters[door as usize];
        meters.accepted.increment(receipt.accepted as u64);
        if receipt.duplicates > 0 {
            meters.duplicates.increment(receipt.duplicates as u64);
        }
        if receipt.late > 0 {
            meters.late.increment(receipt.late as u64);
        }
        meters.ack_seconds.record(started.elapsed().as_secs_f64());
        Ok(receipt)
    }

    /// Up to `limit` kept refusals from position `from` on, oldest first.
    pub fn list_rejects(&self, from: Position, limit: usize) -> Result<Vec<RejectedItem>, ReadError> {
        self.0.rejects.list(from, limit)
    }

    /// Counts and keeps a refusal of a whole body.
    pub async fn keep(&self, door: Door, reject: &Reject, body: &[u8]) {
        if let Some(position) = self.0.rejects.keep(door, reject, body, now_ms()) {
            self.0.rejects.durable(position).await;
        }
    }
}

fn check_count(items: Vec<Parsed<'_>>) -> Result<Vec<Parsed<'_>>, Reject> {
    if items.len() > BATCH_MAX_REPORTS {
        let message = format!(
            "the body holds {} reports; at most {BATCH_MAX_REPORTS} are allowed, send several requests",
            items.len()
        );
        return Err(Reject::new(RejectCode::TooLong, "", message));
    }
    Ok(items)
}

/// The address says who reports. A body that names somebody else is a mistake worth an answer.
fn at_address<'a>(mut draft: drover_model::Draft<'a>, address: Addressed<'a>) -> Parsed<'a> {
    if let Some(kind) = draft.kind.filter(|kind| *kind != address.kind) {
        let message = format!("the body says {kind}, the address says {}", address.kind);
        return Err(Reject::new(RejectCode::OutOfRange, "kind", message));
    }
    if let Some(id) = draft.id.as_deref().filter(|id| *id != address.id) {
        let message = format!(
            "the body says id {:?}, the address says {:?}",
            id.chars().take(64).collect::<String>(),
            address.id
        );
        return Err(Reject::new(RejectCode::OutOfRange, "id", message));
    }
    if address.kind != Kind::Station {
        // A place to look at is the point of a location report; a station's telemetry needs none.
        draft.latitude.ok_or_else(|| Reject::missing("latitude"))?;
        draft.longitude.ok_or_else(|| Reject::missing("longitude"))?;
    }
    draft.kind = Some(address.kind);
    draft.id = Some(address.id.into());
    Ok(draft)
}

/// Refuses a report of an asset that its sender may not report for. One without kind or id is refused for that later.
fn from_sender<'a>(draft: drover_model::Draft<'a>, sight: &Sight) -> Parsed<'a> {
    let (Some(kind), Some(id)) = (draft.kind, draft.id.as_deref()) else { return Ok(draft) };
    if sight.sees(kind, id) {
        return Ok(draft);
    }
    let named: String = id.chars().take(64).collect();
    let message = format!("these credentials may not report for {kind}/{named}");
    Err(Reject::new(RejectCode::NotAllowed, "id", message))
}

/// The items of a body as they were sent. Only looked for when one of them was refused.
fn raw_items(body: &[u8]) -> Vec<&str> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
        return items.into_iter().map(RawValue::get).collect();
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_stops_asks_to_come_back_soon_and_blames_no_disk() {
        let errors = [IntakeError::Append(AppendError::Closed), IntakeError::Commit(CommitError::Closed)];
        for problem in errors.map(Problem::from) {
            assert_eq!((&*problem.code, problem.retry_after_s), ("stopping", Some(1)), "{}", problem.message);
        }
    }
}
