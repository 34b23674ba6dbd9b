//! Where is it, what is near, how far apart: questions to the live state, one each.

use crate::asset::{Asset, Extra, write_asset};
use crate::history::PastState;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use drover_access::{Seeing, Shown, is_person};
use drover_answer::{Problem, ProblemKind, ReadProblems, kind_in_path, now_ms};
use drover_geo::{BoundingBox, Point, Polygon};
use drover_live::{Area, Filter, Freshness, Live};
use drover_model::{AssetRef, Kind, Sight, Status};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Most assets in one answer.
const LIMIT_MAX: usize = 10_000;
/// Assets in an answer that names no limit.
const LIMIT_DEFAULT: usize = 100;
/// Half the Earth's circumference: nothing is farther.
const RADIUS_MAX_M: f64 = 20_037_508.0;
/// How long a read waits for the position that it names.
const AT_LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// The routes that read.
pub fn routes(live: Live, past: PastState) -> OpenApiRouter {
    let located = OpenApiRouter::new().routes(routes!(location)).with_state(Located { live: live.clone(), past });
    OpenApiRouter::new()
        .routes(routes!(nearby))
        .route("/api/v1/drivers/nearby", nearby_of("drivers"))
        .route("/api/v1/vehicles/nearby", nearby_of("vehicles"))
        .route("/api/v1/stations/nearby", nearby_of("stations"))
        .routes(routes!(search))
        .routes(routes!(distance))
        .with_state(live)
        .merge(located)
}

/// Where an asset is, or was.
#[derive(Clone)]
struct Located {
    live: Live,
    past: PastState,
}

fn not_found(message: String, help: &'static str) -> Problem {
    Problem::new(ProblemKind::NotFound, "not_found", message, help)
}

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Now or then.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Moment {
    /// Wait until the answer includes this log position.
    at_least: Option<u64>,
    /// The last known place at or before this time (RFC 3339 or epoch ms) instead of the present one.
    at: Option<String>,
}

async fn wait(live: &Live, at_least: Option<u64>) -> Result<(), Problem> {
    let Some(position) = at_least else { return Ok(()) };
    if live.wait_applied(position, AT_LEAST_PATIENCE).await {
        return Ok(());
    }
    let message = format!("position {position} is not applied yet; the live state is at {}", live.applied());
    Err(Problem::new(ProblemKind::Unavailable, "not_applied_yet", message, "ask again, or leave at_least out")
        .retry_after(1))
}

/// Where an asset is now, with its latest report; or where it was last seen at some time.
#[utoipa::path(
    get, path = "/api/v1/{kinds}/{id}/location", tag = "reading",
    params(("kinds" = String, Path, description = "drivers, vehicles, stations, riders or others"),
           ("id" = String, Path, description = "the asset's id"), Moment),
    responses((status = 200, body = Asset, description = "found"), ReadProblems)
)]
async fn location(
    State(Located { live, past }): State<Located>,
    Seeing(sight): Seeing,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<Moment>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path((kinds, id)) = path?;
    let Query(Moment { at_least, at }) = query?;
    let kind = kind_in_path(&kinds)?;
    let looked_up = as_seen(&sight, kind, &id);
    if let Some(at) = at {
        let found = past.place_at(kind, looked_up, crate::history::time("at", &at)?).await?;
        let help = "ask for a later time, or look at the asset's coverage";
        return found.ok_or_else(|| not_found(format!("no place of {kind}/{id} is known at or before {at}"), help));
    }
    wait(&live, at_least).await?;
    let now = now_ms();
    let body = live.get(kind, &looked_up, |seen| {
        let mut body = Vec::with_capacity(512);
        let freshness = Some(live.freshness(seen.report.receive_time, now));
        write_asset(seen, Extra { freshness, named_id: true, distance_m: None }, &mut body);
        body
    });
    let help = "check the id; an asset is known from its first report on";
    body.map(json).ok_or_else(|| not_found(format!("no report of {kind}/{id} has been received"), help))
}

/// The id to look up: of what the asker may not see, one that no asset has, so that it is as unknown.
pub(crate) fn as_seen(sight: &Sight, kind: Kind, id: &str) -> String {
    if sight.sees(kind, id) { id.to_owned() } else { String::new() }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Nearby {
    /// Latitude of the centre, −90 to 90.
    #[serde(alias = "latitude")]
    lat: f64,
    /// Longitude of the centre, −180 to 180 (`lon` and `longitude` are understood too).
    #[serde(alias = "lon", alias = "longitude")]
    lng: f64,
    /// Metres, 0 to 20,037,508; default 1,000.
    radius: Option<f64>,
    /// At most so many, nearest first: 1 to 10,000, default 100.
    limit: Option<usize>,
    /// Look for this kind instead of the path's; `any` for all.
    kind: Option<String>,
    /// Only with this reported status.
    status: Option<String>,
    /// `live`, `stale`, `offline`, several separated by commas; default `live,stale`.
    freshness: Option<String>,
    /// Wait until the answer includes this log position.
    at_least: Option<u64>,
}

/// The list under the name of the kind that was asked for, nearest first; one of the five is there.
#[derive(Debug, Serialize, ToSchema)]
struct NearbyAnswer {
    /// Assets in the answer.
    count: usize,
    /// The answer includes every report up to this log position.
    position: u64,
    /// The assets, with `distance_m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    drivers: Option<Vec<Asset>>,
    /// The same of vehicles.
    #[serde(skip_serializing_if = "Option::is_none")]
    vehicles: Option<Vec<Asset>>,
    /// The same of stations.
    #[serde(skip_serializing_if = "Option::is_none")]
    stations: Option<Vec<Asset>>,
    /// The same of riders.
    #[serde(skip_serializing_if = "Option::is_none")]
    riders: Option<Vec<Asset>>,
    /// The same of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    others: Option<Vec<Asset>>,
}

/// Assets within a radius, nearest first. Those that are offline are left out unless asked for.
#[utoipa::path(
    get, path = "/api/v1/{kinds}/nearby", tag = "reading",
    params(("kinds" = String, Path, description = "drivers, vehicles, stations, riders or others"), Nearby),
    responses((status = 200, body = NearbyAnswer, description = "found"), ReadProblems)
)]
async fn nearby(
    State(live): State<Live>,
    Seeing(sight): Seeing,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Nearby>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path(kinds) = path?;
    near(live, sight, &kinds, query?.0).await
}

/// The same for kinds whose records have addresses of their own: there, `nearby` would look like the id of a record.
fn nearby_of(kinds: &'static str) -> MethodRouter<Live> {
    get(
        move |State(live): State<Live>, Seeing(sight): Seeing, query: Result<Query<Nearby>, QueryRejection>| async move {
            near(live, sight, kinds, query?.0).await
        },
    )
}

async fn near(live: Live, sight: Sight, kinds: &str, query: Nearby) -> Result<Response, Problem> {
    let mut kind = Some(kind_in_path(kinds)?);
    if let Some(word) = &query.kind {
        kind = if word == "any" {
            None
        } else {
            Some(Kind::parse(word).ok_or_else(|| unknown("kind", word, "a kind or `any`"))?)
        };
    }
    let filter = Filter {
        kinds: kind.into_iter().collect(),
        statuses: query.status.iter().map(|word| status(word)).collect::<Result<_, _>>()?,
        freshness: freshness_list(query.freshness.as_deref().unwrap_or("live,stale"))?,
        city: None,
        sight,
    };
    let centre =
        Point { lat: in_range("lat", query.lat, -90.0, 90.0)?, lon: in_range("lng", query.lng, -180.0, 180.0)? };
    let radius_m = in_range("radius", query.radius.unwrap_or(1000.0), 0.0, RADIUS_MAX_M)?;
    let limit = check_limit(query.limit)?;
    wait(&live, query.at_least).await?;
    let (body, _) = list(&live, &Area::Circle { centre, radius_m }, &filter, limit, kinds);
    Ok(json(body))
}

/// What to look for, and where: exactly one of `near`, `box`, `polygon`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SearchBody {
    /// Nearest first, from a point.
    near: Option<Near>,
    /// `[west, south, east, north]`; west > east crosses the antimeridian.
    r#box: Option<[f64; 4]>,
    /// Rings of `[longitude, latitude]`, the outer one first, as in a GeoJSON polygon.
    polygon: Option<Vec<Vec<[f64; 2]>>>,
    /// Kinds; all when absent.
    #[serde(default)]
    kinds: Vec<String>,
    /// Reported status; all when absent.
    #[serde(default)]
    statuses: Vec<String>,
    /// Freshness; all when absent.
    #[serde(default)]
    freshness: Vec<String>,
    /// City label.
    city: Option<String>,
    /// At most so many: 1 to 10,000, default 100.
    limit: Option<usize>,
    /// Wait until the answer includes this log position.
    at_least: Option<u64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Near {
    latitude: f64,
    longitude: f64,
    /// Metres; without it the nearest are found however far they are.
    radius_m: Option<f64>,
}

/// Found assets.
#[derive(Debug, Serialize, ToSchema)]
struct SearchAnswer {
    /// Assets in the answer.
    count: usize,
    /// The answer includes every report up to this log position.
    position: u64,
    /// Assets that `limit` left out of a box or polygon.
    left_out: usize,
    /// The assets; with `distance_m` for `near`.
    assets: Vec<Asset>,
}

/// Assets in an area: nearest k, radius, box or polygon.
#[utoipa::path(
    post, path = "/api/v1/search", tag = "reading", request_body = SearchBody,
    responses((status = 200, body = SearchAnswer, description = "found"), ReadProblems)
)]
async fn search(
    State(live): State<Live>,
    Seeing(sight): Seeing,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|error| {
        let kind = if error.status() == 413 { ProblemKind::TooLarge } else { ProblemKind::Malformed };
        Problem::new(kind, "malformed", error.body_text(), "send a smaller body")
    })?;
    let query: SearchBody = serde_json::from_slice(&body).map_err(|error| search_problem(&error))?;
    let filter = Filter {
        kinds: query
            .kinds
            .iter()
            .map(|word| Kind::parse(word).ok_or_else(|| unknown("kinds", word, "a kind")))
            .collect::<Result<_, _>>()?,
        statuses: query.statuses.iter().map(|word| status(word)).collect::<Result<_, _>>()?,
        freshness: query.freshness.iter().map(|word| freshness(word)).collect::<Result<_, _>>()?,
        city: query.city.clone(),
        sight,
    };
    let area = area(&query)?;
    let limit = check_limit(query.limit)?;
    wait(&live, query.at_least).await?;
    let (mut body, left_out) = list(&live, &area, &filter, limit, "assets");
    body.pop();
    body.extend_from_slice(format!(",\"left_out\":{left_out}}}").as_bytes());
    Ok(json(body))
}

fn search_problem(error: &serde_json::Error) -> Problem {
    if error.is_data() {
        Problem::unread("body", &error.to_string())
    } else {
        Problem::new(
            ProblemKind::Malformed,
            "malformed",
            format!("not valid JSON: {error}"),
            "send a JSON object; see /docs",
        )
    }
}

fn area(query: &SearchBody) -> Result<Area, Problem> {
    match (&query.near, &query.r#box, &query.polygon) {
        (Some(near), None, None) => Ok(Area::Circle {
            centre: Point {
                lat: in_range("near.latitude", near.latitude, -90.0, 90.0)?,
                lon: in_range("near.longitude", near.longitude, -180.0, 180.0)?,
            },
            radius_m: near.radius_m.map_or(Ok(f64::INFINITY), |r| in_range("near.radius_m", r, 0.0, RADIUS_MAX_M))?,
        }),
        (None, Some(corners), None) => bounding_box("box", *corners).map(Area::Box),
        (None, None, Some(rings)) => {
            let polygon =
                Polygon::from_lon_lat(rings).map_err(|error| Problem::invalid("polygon", error.to_string()))?;
            Ok(Area::Polygon(Box::new(polygon)))
        }
        _ => Err(Problem::invalid("body", "give exactly one of near, box, polygon")),
    }
}

/// Checks `[west, south, east, north]`.
pub(crate) fn bounding_box(field: &'static str, [west, south, east, north]: [f64; 4]) -> Result<BoundingBox, Problem> {
    for lon in [west, east] {
        in_range(field, lon, -180.0, 180.0)?;
    }
    for lat in [south, north] {
        in_range(field, lat, -90.0, 90.0)?;
    }
    if south > north {
        return Err(Problem::invalid(
            field,
            format!("{field}: south {south} lies north of north {north}; the order is west, south, east, north"),
        ));
    }
    Ok(BoundingBox { west, south, east, north })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DistanceQuery {
    /// `kind/id`, such as `driver/1`.
    from: String,
    /// `kind/id`, such as `rider/2`.
    to: String,
}

/// Distance between the last known places of two assets.
#[derive(Debug, Serialize, ToSchema)]
struct Distance {
    from: String,
    to: String,
    /// On the sphere, metres.
    distance_m: f64,
}

/// How far two assets are apart.
#[utoipa::path(
    get, path = "/api/v1/distance", tag = "reading", params(DistanceQuery),
    responses((status = 200, body = Distance, description = "found"), ReadProblems)
)]
async fn distance(
    State(live): State<Live>,
    Seeing(sight): Seeing,
    query: Result<Query<DistanceQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query?;
    let assets = [AssetRef::parse(&query.from)?, AssetRef::parse(&query.to)?];
    let fix = |asset: &AssetRef| {
        let help = "a place is known from the first report with latitude and longitude on";
        let fix = if sight.sees(asset.kind, &asset.id) { live.fix(asset).flatten() } else { None };
        fix.ok_or_else(|| not_found(format!("no place of {asset} is known"), help))
    };
    let distance_m = Live::distance_m(fix(&assets[0])?, fix(&assets[1])?);
    let asked = serde_json::json!({"distance": [query.from, query.to]});
    let mut response = Json(Distance { from: query.from, to: query.to, distance_m }).into_response();
    // How far somebody is from a known place tells where he is.
    let persons = assets.into_iter().filter(|asset| is_person(asset.kind)).collect();
    response.extensions_mut().insert(Shown { persons, asked });
    Ok(response)
}

/// `{"count":…,"position":…,"<name>":[…]}` and how many were left out.
fn list(live: &Live, area: &Area, filter: &Filter, limit: usize, name: &str) -> (Vec<u8>, usize) {
    let now = now_ms();
    let mut items = Vec::with_capacity(2048);
    let (position, left_out, found) = live.search(area, filter, limit, now, |found| {
        let freshness = Some(live.freshness(found.seen.report.receive_time, now));
        write_asset(&found.seen, Extra { freshness, distance_m: found.distance_m, named_id: false }, &mut items);
        items.push(b',');
    });
    items.pop();
    let mut body = Vec::with_capacity(items.len() + 64);
    body.extend_from_slice(format!("{{\"count\":{},\"position\":{position},\"{name}\":[", found.len()).as_bytes());
    body.extend_from_slice(&items);
    body.extend_from_slice(b"]}");
    (body, left_out)
}

fn in_range(field: &'static str, value: f64, min: f64, max: f64) -> Result<f64, Problem> {
    let inside = value >= min && value <= max; // false for NaN
    inside
        .then_some(value)
        .ok_or_else(|| Problem::invalid(field, format!("{field} is {value}; allowed is {min} to {max}")))
}

fn check_limit(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        limit => Err(Problem::invalid("limit", format!("limit is {limit}; allowed is 1 to {LIMIT_MAX}"))),
    }
}

fn unknown(field: &'static str, word: &str, expected: &str) -> Problem {
    Problem::invalid(
        field,
        format!("{field} is {:?}; {expected} is expected", word.chars().take(40).collect::<String>()),
    )
}

fn status(word: &str) -> Result<Status, Problem> {
    Status::parse_any(word)
        .ok_or_else(|| unknown("status", word, "active, idle, offline, operational, degraded or maintenance"))
}

fn freshness(word: &str) -> Result<Freshness, Problem> {
    Freshness::parse(word).ok_or_else(|| unknown("freshness", word, "live, stale or offline"))
}

fn freshness_list(words: &str) -> Result<Vec<Freshness>, Problem> {
    words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(freshness).collect()
}
