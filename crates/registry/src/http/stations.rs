//! Stations in their own short shape, without the envelope: what the registry knows and what the station reported last,
//! in one object.

use super::asked::{Pairs, number, once_each, only};
use super::envelope::is_tag_known;
use super::operation::{Described, Op, named, text, whole};
use super::records::AWAY;
use super::shapes::{id, moment, object};
use super::{Door, id_in, problem};
use crate::resources::STATIONS;
use crate::{Error, LIMIT_MAX, Query as Asked, Record};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State as Here};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use drover_access::{Caller, Reach};
use drover_answer::{Problem, ProblemKind};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::schema::{AdditionalProperties, Type};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, RefOr, Schema};

/// Stations of one answer.
const STATIONS_MAX: u32 = 10_000;
/// What a record has for the registry's own use.
const LEFT_OUT: [&str; 4] = ["id", "version", "created_at", "attributes"];
/// So long whoever asked may show the same again, s: stations report every five. Nobody else may: what is in it goes by who
/// asks.
const CACHED: &str = "private, max-age=2";
/// What an answer depends on, beside its address.
const VARIES: &str = "authorization, cookie, x-api-key";
/// Whole numbers up to here are exact as they come, 2^53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The routes.
pub(super) fn routes(door: &Door) -> Vec<Described> {
    let schemas = vec![("StationNow".to_owned(), station_schema()), ("StationList".to_owned(), list_schema())];
    vec![
        list_op().at(HttpMethod::Get, "/stations", schemas, get(list).with_state(door.clone())),
        read_op().at(HttpMethod::Get, "/stations/{station_id}", Vec::new(), get(read).with_state(door.clone())),
    ]
}

async fn list(
    Here(door): Here<Door>,
    caller: Caller,
    headers: HeaderMap,
    query: Result<Query<Pairs>, QueryRejection>,
) -> Result<Response, Problem> {
    let pairs = once_each(query?.0)?;
    only(&pairs, &["limit"])?;
    let limit = pairs.first().map_or(Ok(STATIONS_MAX), |(name, value)| number(name, value, STATIONS_MAX))? as usize;
    let mut stations: Vec<Value> = Vec::new();
    let mut known = BTreeSet::new();
    let mut asked = Asked { sort: vec![("id".into(), false)], limit: LIMIT_MAX, ..Asked::default() };
    while stations.len() < limit {
        let page = door.registry.list(&caller, &STATIONS, &asked).await.map_err(problem)?;
        for record in &page.records {
            stations.push(station(&record.id, Some(record), (door.hooks.latest_station)(&record.id)));
            known.insert(record.id.clone());
        }
        if page.records.len() < LIMIT_MAX as usize {
            break;
        }
        asked.page += 1;
    }
    // What reports without a record is in no fleet: for who reaches all.
    if caller.reach == Reach::All && stations.len() < limit {
        let mut others = (door.hooks.reporting_stations)();
        others.retain(|id| !known.contains(id));
        others.sort_unstable();
        stations.extend(others.iter().map(|id| station(id, None, (door.hooks.latest_station)(id))));
    }
    stations.truncate(limit);
    Ok(kept_shortly(&headers, &json!({"count": stations.len(), "stations": stations})))
}

async fn read(
    Here(door): Here<Door>,
    caller: Caller,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = id_in(path, STATIONS.singular)?;
    let latest = (door.hooks.latest_station)(&id);
    match door.registry.get(&caller, &STATIONS, &id).await {
        Ok(record) => Ok(kept_shortly(&headers, &station(&id, Some(&record), latest))),
        Err(Error::NotFound { .. }) if caller.reach == Reach::All && latest.is_some() => {
            Ok(kept_shortly(&headers, &station(&id, None, latest)))
        }
        Err(Error::NotFound { .. }) => {
            let message = format!("there is no station {id:?}");
            Err(Problem::new(ProblemKind::NotFound, "not_found", message, "GET /stations lists them"))
        }
        Err(error) => Err(problem(error)),
    }
}

/// An answer that may be shown again for a moment, with a tag made of what is in it.
fn kept_shortly(headers: &HeaderMap, body: &Value) -> Response {
    let body = body.to_string();
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let own = format!("\"{:016x}\"", hasher.finish());
    let mut response = if is_tag_known(headers, &own) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&format!("W/{own}")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    for (name, value) in [(header::CACHE_CONTROL, CACHED), (header::VARY, VARIES)] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What the station itself said last goes before what was written down about it. Its readings stand beside that under their
/// own names, and take the place of nothing.
fn station(id: &str, record: Option<&Record>, latest: Option<Value>) -> Value {
    let shown = |name: &str| !LEFT_OUT.contains(&name) && !matches!(name, "kind" | "station_id");
    let mut station = Map::new();
    station.insert("station_id".into(), id.into());
    let mut readings = Map::new();
    let parts = [record.map(Record::to_json), latest];
    for part in parts.into_iter().flatten() {
        let Value::Object(mut fields) = part else { continue };
        if let Some(Value::Object(said)) = fields.remove("readings") {
            readings = said;
        }
        station.extend(fields.into_iter().filter(|(name, value)| shown(name) && !value.is_null()));
    }
    // Which fleet it belongs to is not a station's to say.
    let readings = readings.into_iter().filter(|(name, value)| shown(name) && name != "fleet_id" && !value.is_null());
    for (name, value) in readings {
        station.entry(name).or_insert_with(|| whole_if_it_is(value));
    }
    station.into()
}

/// Telemetry keeps every number as a float; one that counts something is shown as it was sent.
fn whole_if_it_is(value: Value) -> Value {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 && number.abs() <= EXACT_MAX => (number as i64).into(),
        _ => value,
    }
}

fn example() -> Value {
    json!({
        "station_id": "station-01", "name": "Central", "latitude": 38.7223, "longitude": -9.1393, "capacity": 20,
        "battery_available": 12, "battery_charging": 4, "temperature": 28.5, "humidity": 42.0,
        "status": "operational", "timestamp": "2026-01-31T12:00:00Z"
    })
}

const CACHING: &[(&str, &str)] =
    &[("ETag", "Of what is in the answer."), ("Cache-Control", "Who asked may show it again for two seconds.")];

fn list_op() -> Op {
    Op::new("list_stations_now", STATIONS.name, "All stations within reach, with what each reported last.")
        .query("limit", "At most so many.", whole(1, STATIONS_MAX.into(), STATIONS_MAX.into()))
        .header("If-None-Match", "Answer 304 if that is still what there is.", "W/\"0f3c5a7e9b1d2468\"")
        .gives(200, "the stations, by id", named("StationList"), json!({"count": 1, "stations": [example()]}), CACHING)
        .gives_nothing(304, "nothing has changed", CACHING)
        .fails(&[(422, "a parameter is not known or a value is not allowed"), AWAY])
}

fn read_op() -> Op {
    Op::new("read_station_now", STATIONS.name, "One station, with what it reported last.")
        .path("station_id", "The station.", "station-01")
        .header("If-None-Match", "Answer 304 if that is still what there is.", "W/\"0f3c5a7e9b1d2468\"")
        .gives(200, "the station", named("StationNow"), example(), CACHING)
        .gives_nothing(304, "nothing has changed", CACHING)
        .fails(&[(400, "the address cannot be read"), (404, "there is no such station within reach"), AWAY])
}

fn station_schema() -> RefOr<Schema> {
    let number = |doc: &str| ObjectBuilder::new().schema_type(Type::Number).description(Some(doc));
    object()
        .description(Some(
            "What is known of a station and what it reported last; fields without a value are not there.",
        ))
        .property("station_id", id())
        .required("station_id")
        .property("name", text())
        .property("latitude", number("Degrees north."))
        .property("longitude", number("Degrees east."))
        .property("region", text())
        .property("fleet_id", id())
        .property("capacity", number("How many batteries or vehicles it holds."))
        .property("low_stock_threshold", number("At or below it, its stock is low."))
        .property("battery_available", number("Charged batteries ready."))
        .property("battery_charging", number("Batteries on charge."))
        .property("temperature", number("°C."))
        .property("humidity", number("%."))
        .property("status", text())
        .property("timestamp", moment().description(Some("Time of its newest report.")))
        .property("updated_at", moment().description(Some("When its record changed last.")))
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .into()
}

fn list_schema() -> RefOr<Schema> {
    let count = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0_isize));
    object()
        .property("count", count)
        .required("count")
        .property("stations", ArrayBuilder::new().items(named("StationNow")))
        .required("stations")
        .into()
}
