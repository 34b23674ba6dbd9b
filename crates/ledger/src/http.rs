//! The HTTP door of the audit: list, export, verify. Who does not reach all fleets sees the entries of his own.

use crate::{Error, Export, Filter, LIMIT_MAX, Ledger, Recorded, Verdict};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Here};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use drover_access::{Caller, Permission, Reach};
use drover_answer::{ErrorEnvelope, INTERFACE_VERSION, Meta, Problem, ProblemKind};
use drover_model::parse_time;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const LIMIT_USUAL: usize = 100;

/// The routes of this door.
pub fn routes(ledger: Ledger) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list_audit))
        .routes(routes!(export_audit))
        .routes(routes!(verify_audit))
        .with_state(ledger)
}

/// What may be wrong.
#[derive(Debug, IntoResponses)]
#[expect(dead_code, reason = "it is for the documentation")]
enum AuditProblems {
    /// A value is not allowed.
    #[response(status = 422)]
    Invalid(#[to_schema] ErrorEnvelope),
    /// Not now; `Retry-After` says when to try again.
    #[response(status = 503)]
    Unavailable(#[to_schema] ErrorEnvelope),
}

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Only of this actor.
    #[param(example = "user/u-1")]
    actor: Option<String>,
    /// Only of this action, or of all that begin so: `location.*`.
    #[param(example = "vehicles.*")]
    action: Option<String>,
    /// Only about this subject.
    #[param(example = "vehicles/v-1")]
    subject: Option<String>,
    /// Only of this fleet.
    fleet: Option<String>,
    /// Not before: RFC 3339, or epoch milliseconds.
    #[param(example = "2026-11-01T00:00:00Z")]
    since: Option<String>,
    /// Before: RFC 3339, or epoch milliseconds.
    #[param(example = "2026-12-01T00:00:00Z")]
    until: Option<String>,
    /// Only entries with a smaller number: `next` of the page before.
    cursor: Option<u64>,
    /// At most so many, up to 1,000; default 100. A page of large entries ends earlier.
    limit: Option<usize>,
}

impl AuditQuery {
    /// What this caller may see of it.
    fn filter(self, caller: &Caller) -> Result<Filter, Problem> {
        let fleets = match &caller.reach {
            Reach::All => None,
            Reach::Fleets(fleets) => Some(fleets.iter().map(ToString::to_string).collect()),
            Reach::Own => Some(Vec::new()),
        };
        Ok(Filter {
            actor: self.actor,
            action: self.action,
            subject: self.subject,
            fleet: self.fleet,
            fleets,
            since_ms: time("since", self.since)?,
            until_ms: time("until", self.until)?,
            cursor: self.cursor,
            limit: Problem::page_limit(self.limit, LIMIT_USUAL, LIMIT_MAX)?,
        })
    }
}

fn time(field: &'static str, text: Option<String>) -> Result<Option<i64>, Problem> {
    text.map(|text| parse_time(&text)).transpose().map_err(|error| Problem::invalid(field, error.to_string()))
}

/// Entries of the audit, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct AuditPage {
    /// Always `success`.
    status: &'static str,
    /// The HTTP status code.
    code: u16,
    /// The entries.
    data: Vec<Recorded>,
    /// Facts about the answer itself.
    meta: AuditPageMeta,
}

/// Facts about a page of the audit.
#[derive(Debug, Serialize, ToSchema)]
struct AuditPageMeta {
    /// Time of the answer, RFC 3339.
    timestamp: String,
    /// Version of the interface.
    version: &'static str,
    /// How to go on.
    pagination: AuditPagination,
}

/// How to go on.
#[derive(Debug, Serialize, ToSchema)]
struct AuditPagination {
    /// Entries of this page at most.
    limit: usize,
    /// Give this as `cursor` for the next page; null at the end.
    next: Option<u64>,
}

/// List the audit: who did what to what, when, from where.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = AuditPage, description = "a page of entries, newest first"), AuditProblems)
)]
async fn list_audit(
    Here(ledger): Here<Ledger>,
    caller: Caller,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<AuditPage>, Problem> {
    caller.require(Permission::AuditRead)?;
    let Query(query) = query?;
    let filter = query.filter(&caller)?;
    let page = ledger.query(&filter).await?;
    let pagination = AuditPagination { limit: filter.limit, next: page.next };
    let meta = AuditPageMeta { timestamp: Meta::now().timestamp, version: INTERFACE_VERSION, pagination };
    Ok(Json(AuditPage { status: "success", code: 200, data: page.entries, meta }))
}

/// Export the audit, oldest first: a line that says what follows, then an entry in each line, with its hashes. `cursor`
/// and all filters hold, `limit` does not. An export without filters can be checked for completeness without the node.
#[utoipa::path(
    get, path = "/api/v1/audit/export", tag = "audit", params(AuditQuery),
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson", description = "lines of JSON"),
        AuditProblems
    )
)]
async fn export_audit(
    Here(ledger): Here<Ledger>,
    caller: Caller,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    caller.require(Permission::AuditRead)?;
    let Query(query) = query?;
    let mut export = ledger.export(query.filter(&caller)?);
    // What is wrong from the beginning is answered as a problem; later the connection is cut.
    let first = export.next().await?.unwrap_or_default();
    let rest = stream::unfold(Some(export), |export| async {
        let mut export: Export = export?;
        match export.next().await {
            Ok(lines) => lines.map(|lines| (Ok(lines), Some(export))),
            Err(error) => {
                tracing::error!(%error, "an export of the audit is cut off");
                Some((Err(error), None))
            }
        }
    });
    let body = Body::from_stream(stream::once(async { Ok::<_, Error>(first) }).chain(rest));
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.ndjson\""),
    ];
    Ok((headers, body).into_response())
}

/// What a walk over the audit found.
#[derive(Debug, Serialize, ToSchema)]
struct AuditVerdictAnswer {
    /// Always `success`: the walk was made, whatever it found.
    status: &'static str,
    /// The HTTP status code.
    code: u16,
    /// What it found.
    data: Verdict,
    /// Facts about the answer itself.
    meta: AuditVerdictMeta,
}

/// Facts about the answer.
#[derive(Debug, Serialize, ToSchema)]
struct AuditVerdictMeta {
    /// Time of the answer, RFC 3339.
    timestamp: String,
    /// Version of the interface.
    version: &'static str,
}

/// Verify the audit: walk the whole chain, and name the first entry that does not fit.
#[utoipa::path(
    get, path = "/api/v1/audit/verify", tag = "audit",
    responses(
        (status = 200, body = AuditVerdictAnswer, description = "what the walk found"),
        (status = 503, body = ErrorEnvelope, description = "not now; `Retry-After` says when to try again")
    )
)]
async fn verify_audit(Here(ledger): Here<Ledger>, caller: Caller) -> Result<Json<AuditVerdictAnswer>, Problem> {
    caller.require(Permission::AuditRead)?;
    let Some(walked) = ledger.verify_unless_busy().await else {
        let message = "the audit is being verified at this moment";
        let busy = Problem::new(ProblemKind::Unavailable, "busy", message, "try again when it is done");
        return Err(busy.retry_after(5));
    };
    let meta = AuditVerdictMeta { timestamp: Meta::now().timestamp, version: INTERFACE_VERSION };
    Ok(Json(AuditVerdictAnswer { status: "success", code: 200, data: walked?, meta }))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let help = "look at the node's log and disk";
        Problem::new(ProblemKind::Unavailable, "storage_failed", error.to_string(), help).retry_after(30)
    }
}
