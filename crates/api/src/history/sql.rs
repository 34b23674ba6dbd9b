//! SQL over history: one read-only statement in, rows out as they come.

use super::PastState;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use drover_access::{Caller, Reach, Seeing, Shown};
use drover_answer::{Problem, ProblemKind, ReadProblems};
use drover_query::{
    Answer, Asker, Encoder, Engine, Limits, MAX_ROWS, MAX_SQL_BYTES, MAX_TIME, RecordBatch, Shape, SqlError,
};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// So much of a query is noted in the audit.
const SQL_AUDITED_CHARS: usize = 8_192;
/// Width of a table for a terminal that does not say its own.
const WIDTH: usize = 160;

/// The engine, and what a query may use that names no limits of its own.
#[derive(Clone)]
pub struct SqlState {
    /// Waits until what was acknowledged is visible.
    pub past: PastState,
    /// Runs queries.
    pub engine: Engine,
    /// Limits; a query may ask for more rows and less time.
    pub limits: Limits,
}

/// The route of queries.
pub fn routes(state: SqlState) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(query, running)).routes(routes!(stop)).with_state(state)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"sql": "SELECT kind, count(*) AS reports FROM reports GROUP BY kind"}))]
struct SqlBody {
    /// One SELECT, WITH, EXPLAIN, SHOW TABLES or DESCRIBE.
    sql: String,
    /// Rows at most: 1 to 1,000,000, default 10,000.
    limit: Option<usize>,
    /// Seconds at most; the node's own limit is the most.
    timeout_s: Option<f64>,
    /// Characters in a line of a table.
    width: Option<usize>,
}

/// The answer as JSON.
#[derive(Debug, Serialize, ToSchema)]
struct SqlAnswer {
    /// Names of the columns.
    columns: Vec<String>,
    /// Their SQL types.
    types: Vec<String>,
    /// Rows of values in the order of the columns. Decimals are numbers with all their digits, times RFC 3339.
    rows: Vec<Vec<serde_json::Value>>,
    /// There were more rows than `limit`.
    truncated: bool,
    /// Milliseconds since the query got its turn.
    elapsed_ms: u64,
    /// Only where the query failed after its first rows: what went wrong. The rows are then a part of the answer.
    error: Option<serde_json::Value>,
}

/// Ask history in SQL. Read-only; limited in rows, time and memory; includes reports of this very moment. The header
/// `Accept` chooses JSON (the default), `text/csv`, `text/plain` (a table) or `application/vnd.apache.parquet`.
#[utoipa::path(
    post, path = "/api/v1/sql", tag = "history", request_body = SqlBody,
    responses((status = 200, body = SqlAnswer, description = "the rows"), ReadProblems)
)]
async fn query(
    State(state): State<SqlState>,
    caller: Caller,
    Seeing(sight): Seeing,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let too_large = || {
        let message = format!("a query has at most {MAX_SQL_BYTES} bytes");
        Problem::new(ProblemKind::TooLarge, "too_large", message, "send a shorter query")
    };
    let body = body.map_err(|_| too_large())?;
    let query: SqlBody = serde_json::from_slice(&body).map_err(|error| {
        let kind = if error.is_data() { ProblemKind::Invalid } else { ProblemKind::Malformed };
        Problem::new(kind, "malformed", error.to_string(), "send {\"sql\": \"SELECT …\"}; see /docs")
    })?;
    let asked = asked(&query.sql);
    let is_bounded = !caller.reaches_whole_node();
    let asker = Asker { name: caller.subject.as_str().into(), sight, is_bounded };
    let answered = ask(&state, &query, asker, &headers).await;
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    response.extensions_mut().insert(asked);
    Ok(response)
}

/// For the audit: which persons a query is about cannot be told from it, so it is kept itself, whoever asks.
fn asked(sql: &str) -> Shown {
    let kept: String = sql.chars().take(SQL_AUDITED_CHARS).collect();
    Shown { persons: Vec::new(), asked: serde_json::json!({"sql": kept}) }
}

async fn ask(state: &SqlState, query: &SqlBody, asker: Asker, headers: &HeaderMap) -> Result<Response, Problem> {
    let limits = limits(&state.limits, query)?;
    let (shape, content_type) = shape(headers, query.width);
    state.past.catch_up().await;
    let mut answer = state.engine.run(&query.sql, asker, limits).await.map_err(problem)?;
    // Waiting for the first rows lets most failures have a status of their own.
    let first = answer.next().await.transpose().map_err(problem)?;
    let encoder = Encoder::new(shape, answer.schema()).map_err(|error| {
        Problem::new(ProblemKind::Invalid, "no_such_shape", error.to_string(), "ask for JSON or CSV")
    })?;
    let rows = stream(answer, encoder, first.map(Ok));
    Ok(([(header::CONTENT_TYPE, content_type)], Body::from_stream(rows)).into_response())
}

/// The queries that run now.
#[derive(Debug, Serialize, ToSchema)]
struct RunningQueries {
    /// Oldest first.
    queries: Vec<RunningQuery>,
}

/// A query and how far it is.
#[derive(Debug, Serialize, ToSchema)]
struct RunningQuery {
    /// Its number, by which it is stopped.
    id: u64,
    /// Its text.
    sql: String,
    /// Milliseconds since it got its turn.
    elapsed_ms: u64,
    /// Files that history has.
    files_total: u64,
    /// Files that the query's conditions leave to be read.
    files_selected: u64,
    /// Rows in them and in memory.
    rows_total: u64,
    /// Rows of them looked at or passed over so far.
    rows_scanned: u64,
    /// Bytes read from files.
    bytes_read: u64,
    /// Most memory that it held at one time.
    memory_peak_bytes: u64,
}

impl From<drover_query::RunningQuery> for RunningQuery {
    fn from(running: drover_query::RunningQuery) -> RunningQuery {
        let progress = running.progress;
        RunningQuery {
            id: running.id,
            sql: running.sql.to_string(),
            elapsed_ms: running.elapsed.as_millis() as u64,
            files_total: progress.files_total,
            files_selected: progress.files_selected,
            rows_total: progress.rows_total,
            rows_scanned: progress.rows_scanned,
            bytes_read: progress.bytes_read,
            memory_peak_bytes: progress.memory_peak_bytes,
        }
    }
}

/// The queries that run now, with their progress.
#[utoipa::path(
    get, path = "/api/v1/sql", tag = "history",
    responses((status = 200, body = RunningQueries, description = "queries that have not ended"))
)]
async fn running(State(state): State<SqlState>, caller: Caller) -> Json<RunningQueries> {
    let queries = state.engine.running().into_iter().filter(|query| is_for(query, &caller));
    Json(RunningQueries { queries: queries.map(RunningQuery::from).collect() })
}

/// A query's text may tell of more than its asker's neighbour may know.
fn is_for(query: &drover_query::RunningQuery, caller: &Caller) -> bool {
    caller.reach == Reach::All || *query.asker == *caller.subject
}

/// Stop a running query. Whoever asked it gets the error `query_stopped`. (A client that closes its connection stops
/// its query as well.)
#[utoipa::path(
    delete, path = "/api/v1/sql/{id}", tag = "history",
    params(("id" = u64, Path, description = "the query's number from GET /api/v1/sql")),
    responses((status = 204, description = "it is told to stop"), ReadProblems)
)]
async fn stop(
    State(state): State<SqlState>,
    caller: Caller,
    id: Result<Path<u64>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id?;
    let known = state.engine.running().iter().any(|query| query.id == id && is_for(query, &caller));
    if known && state.engine.stop(id) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let message = format!("no query has the number {id}");
    Err(Problem::new(ProblemKind::NotFound, "not_found", message, "it may have ended; GET /api/v1/sql lists what runs"))
}

fn limits(node: &Limits, query: &SqlBody) -> Result<Limits, Problem> {
    let rows = query.limit.unwrap_or(node.rows);
    if !(1..=MAX_ROWS).contains(&rows) {
        return Err(Problem::invalid("limit", format!("limit is {rows}; allowed is 1 to {MAX_ROWS}")));
    }
    let most = node.time.min(MAX_TIME);
    let time = match query.timeout_s.map(Duration::try_from_secs_f64) {
        None => most,
        Some(Ok(time)) if !time.is_zero() && time <= most => time,
        Some(_) => {
            let message = format!("timeout_s must lie above 0 and up to {}", most.as_secs_f64());
            return Err(Problem::invalid("timeout_s", message));
        }
    };
    Ok(Limits { rows, time, memory_bytes: node.memory_bytes })
}

fn shape(headers: &HeaderMap, width: Option<usize>) -> (Shape, &'static str) {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match accept.split([',', ';']).next().map(str::trim) {
        Some("text/csv") => (Shape::Csv, "text/csv; charset=utf-8"),
        Some("text/plain") => {
            (Shape::Table { width: width.unwrap_or(WIDTH).clamp(20, 10_000) }, "text/plain; charset=utf-8")
        }
        Some("application/vnd.apache.parquet") => (Shape::Parquet, "application/vnd.apache.parquet"),
        _ => (Shape::Json, "application/json"),
    }
}

/// The encoded answer, batch by batch. A client that goes away ends the query.
fn stream(
    answer: Answer,
    encoder: Encoder,
    first: Option<Result<RecordBatch, SqlError>>,
) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    futures_util::stream::unfold(Some((answer, encoder, first)), |state| async move {
        let (mut answer, mut encoder, first) = state?;
        let next = match first {
            Some(first) => Some(first),
            None => answer.next().await,
        };
        let (bytes, goes_on) = match next {
            Some(Ok(batch)) => {
                let written = encoder.rows(&batch);
                if let Err(error) = &written {
                    tracing::warn!(%error, "an answer could not be written to its end");
                }
                (encoder.take(), written.is_ok())
            }
            Some(Err(error)) => {
                encoder.fail(&error);
                (encoder.take(), false)
            }
            None => {
                if let Err(error) = encoder.end(&answer) {
                    tracing::warn!(%error, "an answer could not be written to its end");
                }
                (encoder.take(), false)
            }
        };
        Some((Ok(Bytes::from(bytes)), goes_on.then_some((answer, encoder, None))))
    })
}

fn problem(error: SqlError) -> Problem {
    let (kind, help, retry_after_s) = match &error {
        SqlError::Busy { .. } => (ProblemKind::Unavailable, "wait for other queries to end", Some(5)),
        SqlError::Damaged { .. } => (ProblemKind::Unavailable, "run `drover doctor` on the data folder", Some(60)),
        SqlError::Internal { .. } => (ProblemKind::Internal, "look at the node's log", None),
        SqlError::OutOfTime { .. } => (ProblemKind::Invalid, "narrow the time range", None),
        SqlError::OutOfMemory { .. } => (ProblemKind::Invalid, "group or sort fewer rows", None),
        SqlError::Stopped => (ProblemKind::Invalid, "send it again if it should run", None),
        SqlError::Refused { .. } => (ProblemKind::Invalid, "only reading is offered here", None),
        _ => (ProblemKind::Invalid, "correct the query; SHOW TABLES and DESCRIBE reports help", None),
    };
    let problem = Problem::new(kind, error.code(), error.to_string(), help);
    match retry_after_s {
        Some(seconds) => problem.retry_after(seconds),
        None => problem,
    }
}
