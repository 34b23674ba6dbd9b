//! Where things were: routes, the last known place before a moment, the map as it was, the days that have reports, and
//! SQL. Each answer comes from one consistent view of history, newest reports included.

mod points;
mod sql;
mod trips;

use crate::reads::as_seen;
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use drover_access::Seeing;
use drover_answer::{Problem, ProblemKind, ReadProblems, kind_in_path, now_ms};
use drover_geo::{PointE7, simplify};
use drover_history::read::{
    Cursor, Fix, Footers, MapAt, ReadError, RouteQuery, coverage, coverage_of, latest_before, map_at, route,
};
use drover_history::{Due, History, View};
use drover_model::{Kind, format_time, parse_time};
use points::{Point, Track, write_geojson, write_gpx};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use sql::SqlState;

/// Fixes in an answer that names no limit.
const LIMIT_DEFAULT: usize = 10_000;
/// Most fixes or assets in one answer.
const LIMIT_MAX: usize = 50_000;
/// Largest tolerance of a simplified route, metres.
const TOLERANCE_MAX_M: f64 = 100_000.0;
/// On the map of a moment, assets whose last place is older are left out, seconds.
const MAX_AGE_S: u32 = 3600;
const DAY_MS: i64 = 86_400_000;
/// How long an answer waits for reports that were acknowledged just before.
const CATCH_UP: Duration = Duration::from_secs(1);

/// What these routes read. Cheap to clone.
#[derive(Clone)]
pub struct PastState {
    history: History,
    footers: Arc<Footers>,
    durable: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl PastState {
    /// Reads of this history. `durable` gives the last position of the log that is on disk: every answer includes what
    /// was acknowledged before it was asked for.
    pub fn new(history: History, durable: impl Fn() -> u64 + Send + Sync + 'static) -> PastState {
        PastState { footers: history.footers(), history, durable: Arc::new(durable) }
    }

    /// Waits until everything that was acknowledged by now is visible. Where history is behind, for longer than anybody
    /// would wait, the answer is of what is there.
    pub(crate) async fn catch_up(&self) {
        let end = (self.durable)();
        if !self.history.wait_visible(end, CATCH_UP).await {
            tracing::warn!(end, "history is behind; an answer does not include the newest reports");
        }
    }

    /// Runs a read where it may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View, &Footers) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.catch_up().await;
        let (view, footers) = (self.history.view(), self.footers.clone());
        let done = tokio::task::spawn_blocking(move || read(&view, &footers)).await;
        let done = done.map_err(|_| {
            Problem::new(ProblemKind::Internal, "internal", "the read ended unexpectedly", "look at the node's log")
        })?;
        done.map_err(|error| {
            let help = "run `drover doctor` on the data folder; it says what can be done about the file";
            Problem::new(ProblemKind::Unavailable, "file_damaged", error.to_string(), help).retry_after(60)
        })
    }

    /// The asset's last place at or before a moment.
    pub(crate) async fn place_at(&self, kind: Kind, id: String, at_ms: i64) -> Result<Option<Response>, Problem> {
        let named = id.clone();
        let fix = self.read(move |view, footers| latest_before(view, footers, kind, &named, at_ms)).await?;
        Ok(fix.map(|fix| Json(AssetThen::new(kind, &id, &fix)).into_response()))
    }
}

/// The routes that look back.
pub fn routes(past: PastState, sql: SqlState) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(asset_route))
        .routes(routes!(trips::asset_trips))
        .routes(routes!(asset_coverage))
        .routes(routes!(all_coverage))
        .routes(routes!(map))
        .with_state(past)
        .merge(sql::routes(sql))
}

/// Reads a time of a query.
pub(crate) fn time(field: &'static str, text: &str) -> Result<i64, Problem> {
    parse_time(text).map_err(|error| Problem::invalid(field, format!("{field}: {error}")))
}

fn span(start: Option<&str>, end: Option<&str>) -> Result<RangeInclusive<i64>, Problem> {
    let start = start.map(|text| time("start_time", text)).transpose()?.unwrap_or(i64::MIN / 2);
    let end = end.map(|text| time("end_time", text)).transpose()?.unwrap_or(i64::MAX / 2);
    if start > end {
        return Err(Problem::invalid("start_time", "start_time lies after end_time"));
    }
    Ok(start..=end)
}

pub(crate) fn text_of(ms: i64) -> String {
    let mut text = String::new();
    format_time(ms, &mut text);
    text
}

fn limit(given: Option<usize>) -> Result<usize, Problem> {
    match given.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        limit => Err(Problem::invalid("limit", format!("limit is {limit}; allowed is 1 to {LIMIT_MAX}"))),
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RouteParams {
    /// From when, RFC 3339 or epoch ms.
    start_time: String,
    /// Until when; default: now.
    end_time: Option<String>,
    /// Points at most: 1 to 50,000, default 10,000.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Leave out points that lie within so many metres of the line through the others.
    tolerance: Option<f64>,
    /// With the points whose place was flagged as noise (jump, teleport, parked_drift, stuck_clock, no_fix).
    noise: Option<bool>,
    /// `json`, `geojson` or `gpx`; default `json`.
    format: Option<String>,
}

/// A part of an asset's route.
#[derive(Debug, Serialize, ToSchema)]
struct RouteAnswer {
    kind: &'static str,
    id: String,
    /// As asked for.
    start_time: String,
    /// As asked for.
    end_time: String,
    /// Oldest first.
    points: Vec<Point>,
    /// Points in the answer.
    count: usize,
    /// Points before `tolerance` left some out.
    simplified_from: Option<usize>,
    /// Give this as `cursor` for the next page; null at the end.
    next_cursor: Option<String>,
    as_of: AsOf,
}

/// Which reports an answer includes.
#[derive(Debug, Serialize, ToSchema)]
struct AsOf {
    /// Every report up to this log position.
    position: u64,
}

/// Where an asset was: its points over any time, oldest first, page by page.
#[utoipa::path(
    get, path = "/api/v1/{kinds}/{id}/route", tag = "history",
    params(("kinds" = String, Path, description = "drivers, vehicles, stations, riders or others"),
           ("id" = String, Path, description = "the asset's id"), RouteParams),
    responses((status = 200, body = RouteAnswer, description = "the route; GeoJSON or GPX where asked for"), ReadProblems)
)]
async fn asset_route(
    State(past): State<PastState>,
    Seeing(sight): Seeing,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<RouteParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path((kinds, id)) = path?;
    let Query(params) = query?;
    let kind = kind_in_path(&kinds)?;
    let end_time = params.end_time.unwrap_or_else(|| now_ms().to_string());
    let event_time = span(Some(&params.start_time), Some(&end_time))?;
    let limit = limit(params.limit)?;
    let cursor = params
        .cursor
        .as_deref()
        .map(|text| text.parse::<Cursor>().map_err(|e| Problem::invalid("cursor", e.to_string())));
    let after = cursor.transpose()?;
    let tolerance = params.tolerance.filter(|tolerance| *tolerance != 0.0);
    if let Some(metres) = tolerance.filter(|metres| !(0.0..=TOLERANCE_MAX_M).contains(metres)) {
        let message = format!("tolerance is {metres}; allowed is 0 to {TOLERANCE_MAX_M} metres");
        return Err(Problem::invalid("tolerance", message));
    }
    let format = params.format.unwrap_or_else(|| "json".into());
    if !["json", "geojson", "gpx"].contains(&&*format) {
        return Err(Problem::invalid("format", format!("format is {format:?}; json, geojson or gpx is expected")));
    }
    let (named, times, noise) = (as_seen(&sight, kind, &id), event_time.clone(), params.noise.unwrap_or(false));
    let (page, position) = past
        .read(move |view, footers| {
            let query = RouteQuery { kind, id: &named, event_time: times, limit, after, noise };
            Ok((route(view, footers, &query)?, view.position))
        })
        .await?;
    let all = page.fixes.len();
    let fixes = match tolerance {
        Some(metres) => simplified(page.fixes, metres),
        None => page.fixes,
    };
    let track = Track { kind, id: &id, fixes: &fixes };
    match &*format {
        "geojson" => Ok(([(header::CONTENT_TYPE, "application/geo+json")], write_geojson(&track)).into_response()),
        "gpx" => Ok(gpx(&track)),
        _ => Ok(Json(RouteAnswer {
            kind: kind.name(),
            points: fixes.iter().map(Point::of).collect(),
            id,
            start_time: text_of(*event_time.start()),
            end_time: text_of(*event_time.end()),
            count: fixes.len(),
            simplified_from: tolerance.map(|_| all),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
            as_of: AsOf { position },
        })
        .into_response()),
    }
}

fn gpx(track: &Track<'_>) -> Response {
    // Ids have no characters that a header or a file name could mind.
    let name = format!("attachment; filename=\"{}-{}.gpx\"", track.kind.name(), track.id.replace(':', "_"));
    let headers = [(header::CONTENT_TYPE, "application/gpx+xml".to_owned()), (header::CONTENT_DISPOSITION, name)];
    (headers, write_gpx(track)).into_response()
}

/// Fixes without a place say nothing about the line, and stay out.
fn simplified(fixes: Vec<Fix>, tolerance_m: f64) -> Vec<Fix> {
    let fixes: Vec<Fix> = fixes.into_iter().filter(|fix| fix.at.is_some()).collect();
    let points: Vec<PointE7> =
        fixes.iter().filter_map(|fix| fix.at).map(|at| PointE7 { lat: at.lat_e7, lon: at.lon_e7 }).collect();
    let kept = simplify(&points, tolerance_m);
    let mut kept = kept.into_iter().peekable();
    let wanted = |(at, fix): (usize, Fix)| kept.next_if_eq(&at).map(|_| fix);
    fixes.into_iter().enumerate().filter_map(wanted).collect()
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SpanParams {
    /// From when, RFC 3339 or epoch ms; default: the beginning.
    start_time: Option<String>,
    /// Until when; default: the end.
    end_time: Option<String>,
}

/// A day (UTC) with reports.
#[derive(Debug, Serialize, ToSchema)]
struct Day {
    /// `2026-05-28`.
    day: String,
    /// Reports on it. Of all assets together, this and what follows: only for who sees all of them.
    reports: Option<u64>,
    /// First event time.
    first: Option<String>,
    /// Last event time.
    last: Option<String>,
}

/// The days on which an asset reported.
#[derive(Debug, Serialize, ToSchema)]
struct AssetCoverage {
    kind: &'static str,
    id: String,
    /// Oldest first.
    days: Vec<Day>,
}

/// The days on which anything reported.
#[derive(Debug, Serialize, ToSchema)]
struct Coverage {
    /// Oldest first.
    days: Vec<Day>,
    /// All of them together, for who sees all assets.
    reports: Option<u64>,
}

fn listed(days: Vec<drover_history::read::CoveredDay>) -> Vec<Day> {
    let day = |day: drover_history::read::CoveredDay| Day {
        day: text_of(day.day * DAY_MS).chars().take(10).collect(),
        reports: Some(day.reports),
        first: Some(text_of(day.first)),
        last: Some(text_of(day.last)),
    };
    days.into_iter().map(day).collect()
}

/// The days on which an asset reported, and how often.
#[utoipa::path(
    get, path = "/api/v1/{kinds}/{id}/coverage", tag = "history",
    params(("kinds" = String, Path, description = "drivers, vehicles, stations, riders or others"),
           ("id" = String, Path, description = "the asset's id"), SpanParams),
    responses((status = 200, body = AssetCoverage, description = "the days"), ReadProblems)
)]
async fn asset_coverage(
    State(past): State<PastState>,
    Seeing(sight): Seeing,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<SpanParams>, QueryRejection>,
) -> Result<Json<AssetCoverage>, Problem> {
    let Path((kinds, id)) = path?;
    let Query(params) = query?;
    let kind = kind_in_path(&kinds)?;
    let times = span(params.start_time.as_deref(), params.end_time.as_deref())?;
    let named = as_seen(&sight, kind, &id);
    let days = past.read(move |view, footers| coverage_of(view, footers, kind, &named, times)).await?;
    Ok(Json(AssetCoverage { kind: kind.name(), id, days: listed(days) }))
}

/// The days (UTC, whole) on which anything reported, and how often.
#[utoipa::path(
    get, path = "/api/v1/history/coverage", tag = "history", params(SpanParams),
    responses((status = 200, body = Coverage, description = "the days"), ReadProblems)
)]
async fn all_coverage(
    State(past): State<PastState>,
    Seeing(sight): Seeing,
    query: Result<Query<SpanParams>, QueryRejection>,
) -> Result<Json<Coverage>, Problem> {
    let Query(params) = query?;
    let times = span(params.start_time.as_deref(), params.end_time.as_deref())?;
    let days = past.read(move |view, _| Ok(coverage(view, times))).await?;
    let mut days = listed(days);
    if !sight.is_all() {
        days.iter_mut().for_each(|day| (day.reports, day.first, day.last) = (None, None, None));
    }
    let reports = days.iter().map(|day| day.reports).sum();
    Ok(Json(Coverage { days, reports }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct MapParams {
    /// The moment, RFC 3339 or epoch ms.
    time: String,
    /// Only this kind.
    kind: Option<String>,
    /// Assets at most: 1 to 50,000, default 10,000.
    limit: Option<usize>,
    /// Leave out assets whose last place is older than so many seconds; default 3,600.
    max_age_s: Option<u32>,
}

/// Where an asset was.
#[derive(Debug, Serialize, ToSchema)]
struct AssetThen {
    kind: &'static str,
    id: String,
    #[serde(flatten)]
    point: Point,
}

impl AssetThen {
    fn new(kind: Kind, id: &str, fix: &Fix) -> AssetThen {
        AssetThen { kind: kind.name(), id: id.to_owned(), point: Point::of(fix) }
    }
}

/// The map as it was.
#[derive(Debug, Serialize, ToSchema)]
struct MapThen {
    time: String,
    max_age_s: u32,
    /// Sorted by kind and id.
    assets: Vec<AssetThen>,
    /// Assets in the answer.
    count: usize,
    /// The limit left some out.
    truncated: bool,
}

/// Where everything was at a moment: each asset's last place at or before it.
#[utoipa::path(
    get, path = "/api/v1/history/at", tag = "history", params(MapParams),
    responses((status = 200, body = MapThen, description = "the map"), ReadProblems)
)]
async fn map(
    State(past): State<PastState>,
    Seeing(sight): Seeing,
    query: Result<Query<MapParams>, QueryRejection>,
) -> Result<Json<MapThen>, Problem> {
    let Query(params) = query?;
    let at_ms = time("time", &params.time)?;
    let kind = params
        .kind
        .as_deref()
        .map(|word| Kind::parse(word).ok_or_else(|| Problem::from(drover_model::Reject::unknown_kind(word))));
    let max_age_s = params.max_age_s.unwrap_or(MAX_AGE_S);
    let map = MapAt {
        at_ms,
        max_age_ms: i64::from(max_age_s) * 1000,
        kind: kind.transpose()?,
        sight,
        limit: limit(params.limit)?,
    };
    let (assets, truncated) = past.read(move |view, footers| map_at(view, footers, &map)).await?;
    let assets: Vec<_> = assets.iter().map(|(key, fix)| AssetThen::new(key.kind, &key.id, fix)).collect();
    Ok(Json(MapThen { time: text_of(at_ms), max_age_s, count: assets.len(), assets, truncated }))
}

/// How history is.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryStatus {
    /// Newest snapshot of the lake's catalogue.
    snapshot: i64,
    files: Option<usize>,
    /// Rows in files. This, and what is null for the same reason: only for who sees all assets.
    rows: Option<u64>,
    /// Bytes of the files.
    bytes: Option<u64>,
    /// Rows in memory, in no file yet.
    unflushed: Option<usize>,
    /// Every report up to this log position is in a file.
    flushed_position: u64,
    /// Every report up to this log position is visible to reads.
    visible_position: u64,
    /// Durable reports that are not visible yet.
    lag: u64,
    /// When files were last added.
    last_flush: Option<String>,
    /// Oldest event time in files.
    oldest: Option<String>,
    /// Newest event time in files.
    newest: Option<String>,
    /// Log positions that were lost before history had read them.
    gap: u64,
    /// What is due for the age of its days: moving to the warm or cold place, or leaving. With `tiers_dry_run` it stays.
    due: Vec<DueDays>,
    /// What fails at present, and what to do about it.
    error: Option<String>,
}

/// Files that are due for the age of their days.
#[derive(Debug, Serialize, ToSchema)]
struct DueDays {
    /// `warm`, `cold` or `expire`.
    action: &'static str,
    /// From this age on, days.
    after_days: u32,
    /// Where they go; none: they leave.
    place: Option<String>,
    /// Files that are due now.
    files: u64,
    /// Their rows.
    rows: u64,
    /// Their bytes.
    bytes: u64,
    /// The first moment of the oldest day of them.
    oldest: Option<String>,
}

impl From<Due> for DueDays {
    fn from(due: Due) -> DueDays {
        let Due { action, after_days, place, files, rows, bytes, oldest_day } = due;
        let oldest = oldest_day.map(|day| text_of(i64::from(day) * 86_400_000));
        DueDays { action, after_days, place, files, rows, bytes, oldest }
    }
}

/// How history is: what is in files, what is not yet, what fails.
#[utoipa::path(
    get, path = "/api/v1/history", tag = "history",
    responses((status = 200, body = HistoryStatus, description = "the state of the lake"))
)]
async fn status(State(past): State<PastState>, Seeing(sight): Seeing) -> Json<HistoryStatus> {
    let status = past.history.status();
    let (all, no_time) = (sight.is_all(), (None, None));
    let (oldest, newest) = status.event_time.filter(|_| all).map_or(no_time, |(first, last)| (Some(first), Some(last)));
    Json(HistoryStatus {
        snapshot: status.snapshot,
        files: all.then_some(status.files),
        rows: all.then_some(status.rows),
        bytes: all.then_some(status.bytes),
        unflushed: all.then_some(status.tail_rows),
        flushed_position: status.cursor,
        visible_position: status.position,
        lag: status.lag,
        last_flush: (status.last_flush_ms > 0).then(|| text_of(status.last_flush_ms)),
        oldest: oldest.map(text_of),
        newest: newest.map(text_of),
        gap: status.gap,
        due: status.due.into_iter().filter(|_| all).map(DueDays::from).collect(),
        error: status.last_error,
    })
}
