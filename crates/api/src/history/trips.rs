//! Trips and stops of an asset: what it did, in words of a driver's day. Found when asked for; the definition stands in
//! the history crate and in every answer.

use super::{PastState, span, text_of};
use crate::reads::as_seen;
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use drover_access::Seeing;
use drover_answer::{Problem, ReadProblems, kind_in_path, now_ms};
use drover_geo::PointE7;
use drover_history::read::each_fix;
use drover_history::trips::{Segmenter, Segments, Stop, Trip, TripFix, TripRules};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TripParams {
    /// From when, RFC 3339 or epoch ms.
    start_time: String,
    /// Until when; default: now.
    end_time: Option<String>,
    /// A stop keeps within so many metres of its middle: 10 to 5,000, default 100.
    stop_radius_m: Option<f64>,
    /// A stop is at least so long, seconds: 10 to 14,400, default 180.
    min_stop_s: Option<u32>,
    /// Without a report for longer than this, nobody knows, seconds: 10 to 86,400, default 900.
    max_gap_s: Option<u32>,
    /// A trip is at least so long, metres: up to ten times `stop_radius_m`, default 200.
    min_trip_m: Option<f64>,
}

/// The numbers by which trips and stops were told apart.
#[derive(Debug, Serialize, ToSchema)]
struct Definition {
    stop_radius_m: f64,
    min_stop_s: u32,
    max_gap_s: u32,
    min_trip_m: f64,
}

/// A place in degrees WGS 84.
#[derive(Debug, Serialize, ToSchema)]
struct Place {
    latitude: f64,
    longitude: f64,
}

/// A way between stops, gaps or the ends of the time asked for.
#[derive(Debug, Serialize, ToSchema)]
struct TripAnswer {
    start_time: String,
    end_time: String,
    start: Place,
    end: Place,
    /// Metres along its points.
    distance_m: f64,
    duration_s: f64,
    /// Distance by duration, km/h.
    avg_speed: f64,
    /// km/h.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_speed: Option<f64>,
    /// Reports in it.
    points: u64,
    /// It began before the time asked for.
    open_start: bool,
    /// It went on after it.
    open_end: bool,
}

/// A stay in one place.
#[derive(Debug, Serialize, ToSchema)]
struct StopAnswer {
    start_time: String,
    end_time: String,
    latitude: f64,
    longitude: f64,
    duration_s: f64,
    points: u64,
    open_start: bool,
    open_end: bool,
}

/// All of it together.
#[derive(Debug, Serialize, ToSchema)]
struct Summary {
    trips: usize,
    stops: usize,
    distance_m: f64,
    driving_s: f64,
    stopped_s: f64,
}

/// Trips and stops, each in order of time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TripsAnswer {
    kind: &'static str,
    id: String,
    start_time: String,
    end_time: String,
    definition: Definition,
    trips: Vec<TripAnswer>,
    stops: Vec<StopAnswer>,
    summary: Summary,
}

/// What an asset did: trips and stops, the same for an hour as for a year.
#[utoipa::path(
    get, path = "/api/v1/{kinds}/{id}/trips", tag = "history",
    params(("kinds" = String, Path, description = "drivers, vehicles, stations, riders or others"),
           ("id" = String, Path, description = "the asset's id"), TripParams),
    responses((status = 200, body = TripsAnswer, description = "trips and stops"), ReadProblems)
)]
pub(super) async fn asset_trips(
    State(past): State<PastState>,
    Seeing(sight): Seeing,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<TripParams>, QueryRejection>,
) -> Result<Json<TripsAnswer>, Problem> {
    let Path((kinds, id)) = path?;
    let Query(params) = query?;
    let kind = kind_in_path(&kinds)?;
    let end_time = params.end_time.clone().unwrap_or_else(|| now_ms().to_string());
    let window = span(Some(&params.start_time), Some(&end_time))?;
    let rules = rules(&params)?;
    let (named, asked) = (as_seen(&sight, kind, &id), window.clone());
    let segments = past
        .read(move |view, footers| {
            let mut segmenter = Segmenter::new(rules, asked.clone());
            each_fix(view, footers, kind, &named, rules.reading_range(&asked), &mut |fix| {
                if let Some(at) = fix.place_in_time() {
                    let at = PointE7 { lat: at.lat_e7, lon: at.lon_e7 };
                    segmenter.push(TripFix { time_ms: fix.event_time, at, speed_kmh: fix.speed_kmh });
                }
                ControlFlow::Continue(())
            })?;
            Ok(segmenter.finish())
        })
        .await?;
    let TripRules { stop_radius_m, min_stop_s, max_gap_s, min_trip_m, .. } = rules;
    Ok(Json(TripsAnswer {
        kind: kind.name(),
        id,
        start_time: text_of(*window.start()),
        end_time: text_of(*window.end()),
        definition: Definition { stop_radius_m, min_stop_s, max_gap_s, min_trip_m },
        summary: summary(&segments),
        trips: segments.trips.iter().map(trip).collect(),
        stops: segments.stops.iter().map(stop).collect(),
    }))
}

fn rules(params: &TripParams) -> Result<TripRules, Problem> {
    let usual = TripRules::default();
    let rules = TripRules {
        stop_radius_m: params.stop_radius_m.unwrap_or(usual.stop_radius_m),
        min_stop_s: params.min_stop_s.unwrap_or(usual.min_stop_s),
        max_gap_s: params.max_gap_s.unwrap_or(usual.max_gap_s),
        min_trip_m: params.min_trip_m.unwrap_or(usual.min_trip_m),
        ..usual
    };
    rules.check().map_err(|error| Problem::invalid(error.name, error.to_string()))
}

fn summary(segments: &Segments) -> Summary {
    let Segments { trips, stops } = segments;
    Summary {
        trips: trips.len(),
        stops: stops.len(),
        distance_m: tenths(trips.iter().map(|trip| trip.distance_m).sum::<f64>() + 0.0),
        driving_s: seconds(trips.iter().map(Trip::duration_ms).sum()),
        stopped_s: seconds(stops.iter().map(Stop::duration_ms).sum()),
    }
}

fn trip(trip: &Trip) -> TripAnswer {
    TripAnswer {
        start_time: text_of(trip.start_ms),
        end_time: text_of(trip.end_ms),
        start: place(trip.start),
        end: place(trip.end),
        distance_m: tenths(trip.distance_m),
        duration_s: seconds(trip.duration_ms()),
        avg_speed: tenths(trip.avg_speed_kmh()),
        max_speed: trip.max_speed_kmh.map(tenths),
        points: trip.points,
        open_start: trip.open_start,
        open_end: trip.open_end,
    }
}

fn stop(stop: &Stop) -> StopAnswer {
    let Place { latitude, longitude } = place(stop.at);
    StopAnswer {
        start_time: text_of(stop.start_ms),
        end_time: text_of(stop.end_ms),
        latitude,
        longitude,
        duration_s: seconds(stop.duration_ms()),
        points: stop.points,
        open_start: stop.open_start,
        open_end: stop.open_end,
    }
}

fn place(at: PointE7) -> Place {
    Place { latitude: f64::from(at.lat) / 1e7, longitude: f64::from(at.lon) / 1e7 }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Decimetres and tenths of km/h are finer than any device measures.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
