//! The HTTP door: one report at an asset's address, or many at once.

use crate::body::read_body;
use crate::intake::{Addressed, Intake, Receipt};
use crate::rejects::{Door, RejectedItem};
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use drover_access::Seeing;
use drover_answer::{Problem, ProblemKind, ReadProblems, SendProblems, kind_in_path};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this door and of the WebSocket door.
pub fn routes(intake: Intake) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(report_location))
        .routes(routes!(report_telemetry))
        .routes(routes!(report_many))
        .routes(routes!(list_rejects))
        .routes(routes!(crate::websocket::ingest))
        .with_state(intake)
}

/// A report as the JSON doors take it. Many field names of other systems are understood as well
/// (`lat`, `lng`, `lon`, `driverId`, `speed_mps`, GeoJSON `location` …); unknown fields are ignored.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"kind": "vehicle", "id": "bus-2010", "latitude": 41.1496, "longitude": -8.6109,
    "speed": 32.4, "heading": 180, "accuracy": 5, "timestamp": "2026-01-31T12:00:00Z"}))]
pub struct ReportBody {
    /// `driver`, `vehicle`, `station`, `rider` or `other`. Not needed where the address says it.
    #[schema(example = "vehicle")]
    pub kind: Option<String>,
    /// 1 to 64 letters, digits or `. _ : @ + -`. Not needed where the address says it.
    pub id: Option<String>,
    /// Degrees WGS 84.
    #[schema(minimum = -90, maximum = 90)]
    pub latitude: Option<f64>,
    /// Degrees WGS 84.
    #[schema(minimum = -180, maximum = 180)]
    pub longitude: Option<f64>,
    /// Radius of uncertainty, metres.
    #[schema(minimum = 0)]
    pub accuracy: Option<f64>,
    /// Speed over ground, km/h.
    #[schema(minimum = 0, maximum = 200)]
    pub speed: Option<f64>,
    /// Direction of travel, degrees from north.
    #[schema(minimum = 0, maximum = 360)]
    pub heading: Option<f64>,
    /// Battery charge, percent.
    #[schema(minimum = 0, maximum = 100)]
    pub battery_pct: Option<f64>,
    /// `active`, `idle`, `offline`; stations: `operational`, `degraded`, `maintenance`, `offline`.
    pub status: Option<String>,
    /// The order being served.
    #[schema(max_length = 100)]
    pub order_id: Option<String>,
    /// City label.
    #[schema(max_length = 100)]
    pub city: Option<String>,
    /// When it happened: RFC 3339 with an offset, or epoch milliseconds. Absent: when it is received.
    pub timestamp: Option<String>,
    /// Extra values by name: numbers, texts, booleans; 4 KiB in all.
    pub readings: Option<std::collections::BTreeMap<String, serde_json::Value>>,
}

/// Report one asset's position. Answered after the report is durable.
#[utoipa::path(
    post, path = "/api/v1/{kinds}/{id}/location", tag = "sending", request_body = ReportBody,
    params(("kinds" = String, Path, description = "drivers, vehicles, stations, riders or others"),
           ("id" = String, Path, description = "the asset's id")),
    responses((status = 202, body = Receipt, description = "durable"), SendProblems)
)]
async fn report_location(
    State(intake): State<Intake>,
    Seeing(sight): Seeing,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Path((kinds, id)) = path?;
    let kind = kind_in_path(&kinds)?;
    let body = read_body(&intake, request).await?;
    let receipt = intake.take_one(Door::Http, &sight, Addressed { kind, id: &id }, &body).await?;
    Ok((StatusCode::ACCEPTED, Json(receipt)).into_response())
}

/// Report one asset's telemetry; the same as `location`, under the name that stations use.
#[utoipa::path(
    post, path = "/api/v1/{kinds}/{id}/telemetry", tag = "sending", request_body = ReportBody,
    params(("kinds" = String, Path, description = "drivers, vehicles, stations, riders or others"),
           ("id" = String, Path, description = "the asset's id")),
    responses((status = 202, body = Receipt, description = "durable"), SendProblems)
)]
async fn report_telemetry(
    intake: State<Intake>,
    sight: Seeing,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    report_location(intake, sight, path, request).await
}

/// Send one report, a JSON array of reports, or one report per line. A bad item never blocks a good
/// one; 422 is answered only when every item is refused.
#[utoipa::path(
    post, path = "/api/v1/reports", tag = "sending", request_body = Vec<ReportBody>,
    responses((status = 202, body = Receipt, description = "durable, but for the rejected ones"), SendProblems,
              (status = 422, body = Receipt, description = "every item was refused"))
)]
async fn report_many(
    State(intake): State<Intake>,
    Seeing(sight): Seeing,
    request: Request,
) -> Result<Response, Problem> {
    let body = read_body(&intake, request).await?;
    let receipt = intake.take_many(Door::Http, &sight, &body).await?;
    let status = if receipt.is_all_refused() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::ACCEPTED };
    Ok((status, Json(receipt)).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    from: Option<u64>,
    limit: Option<usize>,
}

/// Refused input, oldest first.
#[derive(Debug, Serialize, ToSchema)]
struct RejectsPage {
    /// Refused items.
    rejects: Vec<RejectedItem>,
    /// Give this as `from` for the next page.
    next: u64,
}

/// List refused input with its reasons.
#[utoipa::path(
    get, path = "/api/v1/rejects", tag = "operating",
    params(("from" = Option<u64>, Query, description = "first position to list"),
           ("limit" = Option<usize>, Query, description = "at most so many, up to 1,000; default 100")),
    responses((status = 200, body = RejectsPage, description = "a page of refused input"), ReadProblems)
)]
async fn list_rejects(
    State(intake): State<Intake>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<RejectsPage>, Problem> {
    let Query(page) = page?;
    let (from, limit) = (page.from.unwrap_or(1), Problem::page_limit(page.limit, 100, 1000)?);
    let rejects = intake.list_rejects(from, limit).map_err(|error| {
        Problem::new(
            ProblemKind::Unavailable,
            "storage_failed",
            error.to_string(),
            "run `drover doctor` on the data folder",
        )
    })?;
    let next = rejects.last().map_or(from, |item| item.position + 1);
    Ok(Json(RejectsPage { rejects, next }))
}
