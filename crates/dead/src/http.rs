//! The HTTP door of dead letters: look at them, retry them, drop them.

use crate::{Dead, Error, Filter, Letter, LetterId, Retried, RetrySummary, Source};
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State as Here};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use drover_answer::{ErrorEnvelope, Problem, ProblemKind, ReadProblems};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Letters in an answer, or retried by one request.
const LIMIT_USUAL: usize = 100;
const LIMIT_MAX: usize = 1000;
const LISTED: &str = "GET /api/v1/dead-letters lists them";

/// The routes of this door.
pub fn routes(dead: Dead) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list_dead_letters, drop_dead_letters))
        .routes(routes!(retry_dead_letters))
        .routes(routes!(show_dead_letter, drop_dead_letter))
        .routes(routes!(dead_letter_original))
        .routes(routes!(retry_dead_letter))
        .with_state(dead)
}

/// Which letters to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those of this source, as `import`.
    #[param(example = "import")]
    source: Option<String>,
    /// Only those with a smaller number.
    before: Option<LetterId>,
    /// At most so many, up to 1,000; default 100.
    limit: Option<usize>,
}

/// Dead letters, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct DeadLettersPage {
    /// The letters.
    dead_letters: Vec<Letter>,
    /// Give this as `before` for the next page; none at the end.
    next: Option<LetterId>,
}

/// List dead letters: accepted work whose processing failed for good, with the reason.
#[utoipa::path(
    get, path = "/api/v1/dead-letters", tag = "dead letters", params(ListQuery),
    responses((status = 200, body = DeadLettersPage, description = "a page of letters"), ReadProblems)
)]
async fn list_dead_letters(
    Here(dead): Here<Dead>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<DeadLettersPage>, Problem> {
    let Query(ListQuery { source, before, limit }) = query?;
    let filter = Filter { source: source_of(source)?, before, after: None };
    let limit = limit_of(limit)?;
    // One more says whether there is another page.
    let mut dead_letters = blocking(move || dead.list(&filter, limit + 1)).await??;
    let more = dead_letters.len() > limit;
    dead_letters.truncate(limit);
    let next = dead_letters.last().filter(|_| more).map(|letter| letter.id);
    Ok(Json(DeadLettersPage { dead_letters, next }))
}

/// See a dead letter.
#[utoipa::path(
    get, path = "/api/v1/dead-letters/{id}", tag = "dead letters",
    params(("id" = u64, Path, description = "the letter's number")),
    responses((status = 200, body = Letter, description = "the letter as it is now"), ReadProblems)
)]
async fn show_dead_letter(
    Here(dead): Here<Dead>,
    path: Result<Path<LetterId>, PathRejection>,
) -> Result<Json<Letter>, Problem> {
    let id = letter_id(path)?;
    blocking(move || dead.get(id)).await??.map(Json).ok_or_else(|| not_found(id))
}

/// Get what was being processed, byte by byte as it was.
#[utoipa::path(
    get, path = "/api/v1/dead-letters/{id}/original", tag = "dead letters",
    params(("id" = u64, Path, description = "the letter's number")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "the original"),
        ReadProblems
    )
)]
async fn dead_letter_original(
    Here(dead): Here<Dead>,
    path: Result<Path<LetterId>, PathRejection>,
) -> Result<Response, Problem> {
    let id = letter_id(path)?;
    let (letter, original) = blocking(move || Ok::<_, Error>((dead.get(id)?, dead.original(id)?))).await??;
    let original = match (letter, original) {
        (_, Some(original)) => original,
        (Some(_), None) => return Err(not_kept(id)),
        (None, None) => return Err(not_found(id)),
    };
    let file = format!("attachment; filename=\"dead-letter-{id}.bin\"");
    let headers = [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_DISPOSITION, file)];
    Ok((headers, original).into_response())
}

/// What came of a retry.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"done": true, "what": "job 12 begins anew; see GET /api/v1/imports/12", "attempts": 5}))]
struct RetryResult {
    /// Whether it succeeded. The letter has left then; otherwise it stays, with this failure.
    done: bool,
    /// What became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    /// Why it failed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Tries so far, this one included.
    attempts: u32,
}

/// Retry a dead letter. To retry what was mended already does no harm.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/{id}/retry", tag = "dead letters",
    params(("id" = u64, Path, description = "the letter's number")),
    responses(
        (status = 200, body = RetryResult, description = "it was tried"),
        (status = 409, body = ErrorEnvelope, description = "it is being retried, or nothing here retries its source"),
        ReadProblems
    )
)]
async fn retry_dead_letter(
    Here(dead): Here<Dead>,
    path: Result<Path<LetterId>, PathRejection>,
) -> Result<Json<RetryResult>, Problem> {
    let id = letter_id(path)?;
    match blocking(move || dead.retry(id)).await?? {
        Retried::Done { what, attempts } => {
            Ok(Json(RetryResult { done: true, what: Some(what), error: None, attempts }))
        }
        Retried::Failed { error, attempts } => {
            Ok(Json(RetryResult { done: false, what: None, error: Some(error), attempts }))
        }
        Retried::Busy => {
            let message = format!("dead letter {id} is being retried at this moment");
            Err(Problem::new(ProblemKind::Conflict, "busy", message, "wait, then look what became of it"))
        }
        Retried::NoHandler(source) => {
            let message = format!("nothing on this node retries letters of {source}");
            let help = "retry it with a version and a configuration that has this source, or drop it";
            Err(Problem::new(ProblemKind::Conflict, "no_handler", message, help))
        }
        Retried::NotFound => Err(not_found(id)),
    }
}

/// Which letters to retry.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RetryQuery {
    /// Only those of this source, as `import`.
    #[param(example = "import")]
    source: Option<String>,
    /// Only those with a greater number: `next` of the answer before.
    after: Option<LetterId>,
    /// Only those with a smaller number. It keeps a series of requests from letters that come meanwhile.
    before: Option<LetterId>,
    /// At most so many, up to 1,000; default 100. The request ends earlier when it takes long.
    limit: Option<usize>,
}

/// Retry dead letters one after the other, oldest first. One that fails again holds up no other. `next` says where to go
/// on.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/retry", tag = "dead letters", params(RetryQuery),
    responses((status = 200, body = RetrySummary, description = "what came of it"), ReadProblems)
)]
async fn retry_dead_letters(
    Here(dead): Here<Dead>,
    query: Result<Query<RetryQuery>, QueryRejection>,
) -> Result<Json<RetrySummary>, Problem> {
    let Query(RetryQuery { source, after, before, limit }) = query?;
    let filter = Filter { source: source_of(source)?, after, before };
    let limit = limit_of(limit)?;
    Ok(Json(blocking(move || dead.retry_all(&filter, limit)).await??))
}

/// Drop a dead letter for good.
#[utoipa::path(
    delete, path = "/api/v1/dead-letters/{id}", tag = "dead letters",
    params(("id" = u64, Path, description = "the letter's number")),
    responses((status = 204, description = "it has left"), ReadProblems)
)]
async fn drop_dead_letter(
    Here(dead): Here<Dead>,
    path: Result<Path<LetterId>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let id = letter_id(path)?;
    match blocking(move || dead.drop_letter(id)).await?? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(not_found(id)),
    }
}

/// Which letters to drop.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DropQuery {
    /// All letters of this source, as `import`.
    #[param(required = true, example = "import")]
    source: Option<String>,
}

/// How many letters have left.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"dropped": 12}))]
struct DroppedLetters {
    /// Letters that have left.
    dropped: u64,
}

/// Drop all dead letters of a source for good.
#[utoipa::path(
    delete, path = "/api/v1/dead-letters", tag = "dead letters", params(DropQuery),
    responses((status = 200, body = DroppedLetters, description = "they have left"), ReadProblems)
)]
async fn drop_dead_letters(
    Here(dead): Here<Dead>,
    query: Result<Query<DropQuery>, QueryRejection>,
) -> Result<Json<DroppedLetters>, Problem> {
    let Query(DropQuery { source }) = query?;
    let missing = || Problem::invalid("source", "source is missing; it says whose letters are dropped");
    let filter = Filter::of(source_of(source)?.ok_or_else(missing)?);
    let dropped = blocking(move || dead.drop_all(&filter)).await??;
    Ok(Json(DroppedLetters { dropped }))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let help = "look at the node's log and disk";
        Problem::new(ProblemKind::Unavailable, "storage_failed", error.to_string(), help).retry_after(30)
    }
}

fn source_of(name: Option<String>) -> Result<Option<Source>, Problem> {
    let source = name.map(|name| Source::parse(&name)).transpose();
    source.map_err(|error| Problem::invalid("source", error.to_string()))
}

fn limit_of(limit: Option<usize>) -> Result<usize, Problem> {
    Problem::page_limit(limit, LIMIT_USUAL, LIMIT_MAX)
}

fn letter_id(path: Result<Path<LetterId>, PathRejection>) -> Result<LetterId, Problem> {
    // What is no number names no letter.
    path.map(|Path(id)| id)
        .map_err(|_| Problem::new(ProblemKind::NotFound, "not_found", "dead letters have numbers", LISTED))
}

fn not_found(id: LetterId) -> Problem {
    let message = format!("there is no dead letter {id}; it may have been retried or dropped");
    Problem::new(ProblemKind::NotFound, "not_found", message, LISTED)
}

fn not_kept(id: LetterId) -> Problem {
    let message = format!("the original of dead letter {id} was too large to be kept, or came when there was no room");
    Problem::new(ProblemKind::NotFound, "original_not_kept", message, "the letter's context says where it came from")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::new(ProblemKind::Internal, "internal", error.to_string(), "look at the node's log"))
}
