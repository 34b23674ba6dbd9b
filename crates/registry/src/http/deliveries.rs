//! What only deliveries and drivers have: moving to the next status, the history of a delivery, the delivery of an order,
//! the assignments of a driver.

use super::asked::{Pairs, only};
use super::body::{Fields, RECORD_MAX_BYTES, fields, whole, wrong};
use super::envelope::{check_condition, etag, has_condition, success};
use super::kept::{HEADER, REPLAYED, key_in};
use super::operation::{Described, Op, named, text};
use super::records::{AWAY, shown};
use super::shapes::{envelope, envelope_example, id, id_example, moment, object, of, page_example, record_example};
use super::{Door, id_in, problem};
use crate::resources::{ASSIGNMENTS, DELIVERIES, DELIVERY_STATUSES, DRIVERS};
use crate::{DeliveryEvent, Made, Record, Repeatable, Transition, next_statuses};
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State as Here};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, put};
use drover_access::{Caller, Permission, Role};
use drover_answer::{Problem, now_ms};
use drover_model::parse_time;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::schema::{AdditionalProperties, Type};
use utoipa::openapi::{Array, ArrayBuilder, ObjectBuilder, RefOr, Schema};

/// Longest note.
const NOTE_MAX_BYTES: usize = 2000;
/// What a request for a status may say.
const STATUS_FIELDS: [&str; 6] = ["status", "latitude", "longitude", "note", "data", "driver_id"];
const NOT_FOUND: (u16, &str) = (404, "there is no such record within reach");
const MALFORMED: (u16, &str) = (400, "the address or the body cannot be read");

/// The routes.
pub(super) fn routes(door: &Door) -> Vec<Described> {
    let status = put(set_status).with_state(door.clone());
    let events = get(events).with_state(door.clone());
    let order = get(order).with_state(door.clone());
    let assignments = get(assignments).with_state(door.clone());
    let mut event_schemas = vec![("DeliveryEvent".into(), <DeliveryEvent as utoipa::PartialSchema>::schema())];
    <DeliveryEvent as ToSchema>::schemas(&mut event_schemas);
    let status_schemas =
        vec![("DeliveryStatusChange".to_owned(), status_change()), ("DeliveryStatus".to_owned(), status_schema())];
    vec![
        status_op().at(HttpMethod::Put, "/api/v1/deliveries/{id}/status", status_schemas, status),
        events_op().at(HttpMethod::Get, "/api/v1/deliveries/{id}/events", event_schemas, events),
        order_op().at(HttpMethod::Get, "/api/v1/orders/{order_id}", Vec::new(), order),
        assignments_op().at(HttpMethod::Get, "/api/v1/drivers/{id}/assignments", Vec::new(), assignments),
    ]
}

async fn set_status(
    Here(door): Here<Door>,
    caller: Caller,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let id = id_in(path, DELIVERIES.singular)?;
    let key = key_in(&headers)?;
    let bytes = whole(body, RECORD_MAX_BYTES).await?;
    let transition = transition(fields(&bytes)?)?;
    if transition.driver_id.is_some() {
        // Who moves a delivery on does not choose who brings it.
        caller.require(Permission::OrdersWrite)?;
    }
    let request = key.as_deref().map(|word| Repeatable { word, body: &bytes });
    if let Some(request) = request
        && let Some(moved) = door.registry.moved_before(&caller, &id, request).await.map_err(problem)?
    {
        // Before If-Match is looked at: the first of the two has changed the version.
        return Ok(moved_to(&Made::Before(moved)));
    }
    let mut version = None;
    if has_condition(&headers) {
        let now = door.registry.get(&caller, &DELIVERIES, &id).await.map_err(problem)?.version;
        check_condition(&headers, now)?;
        version = Some(now);
    }
    let moved = match request {
        Some(request) => door.registry.transition_once(&caller, &id, &transition, version, request).await,
        None => door.registry.transition(&caller, &id, &transition, version).await.map(Made::Now),
    };
    Ok(moved_to(&moved.map_err(problem)?))
}

fn moved_to(made: &Made) -> Response {
    let (Made::Now(moved) | Made::Before(moved)) = made;
    let mut response = success(StatusCode::OK, status_of(moved));
    response.headers_mut().insert(header::ETAG, etag(moved.version));
    if matches!(made, Made::Before(_)) {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn transition(mut said: Fields) -> Result<Transition, Problem> {
    if let Some(unknown) = said.keys().find(|name| !STATUS_FIELDS.contains(&name.as_str())) {
        let shown: String = unknown.chars().take(64).collect();
        let near = STATUS_FIELDS.iter().max_by(|a, b| strsim::jaro(a, &shown).total_cmp(&strsim::jaro(b, &shown)));
        let message = format!("a status has no field {shown:?}; the nearest is {:?}", near.unwrap_or(&"status"));
        return Err(wrong(shown, "unknown_field", message));
    }
    said.retain(|_, value| !value.is_null());
    let Some(to) = said.get("status").and_then(Value::as_str).filter(|to| DELIVERY_STATUSES.contains(to)) else {
        return Err(wrong("status", "invalid_field", format!("status is one of {}", DELIVERY_STATUSES.join(", "))));
    };
    let degrees = |name: &'static str, most: f64| match said.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .filter(|degrees| degrees.abs() <= most)
            .map(Some)
            .ok_or_else(|| wrong(name, "invalid_field", format!("{name} is a number from -{most} to {most}"))),
    };
    let place = match (degrees("latitude", 90.0)?, degrees("longitude", 180.0)?) {
        (None, None) => None,
        (Some(latitude), Some(longitude)) => Some((latitude, longitude)),
        (None, _) => return Err(wrong("latitude", "invalid_field", "latitude is missing; a place has both")),
        (_, None) => return Err(wrong("longitude", "invalid_field", "longitude is missing; a place has both")),
    };
    let driver_id = match said.get("driver_id") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(_) => return Err(wrong("driver_id", "invalid_field", "driver_id is the id of a driver, as text")),
    };
    Ok(Transition { to: to.to_owned(), driver_id, place, data: data(&said)? })
}

/// What is kept with the event: the data, and the note among it.
fn data(said: &Fields) -> Result<Option<Map<String, Value>>, Problem> {
    let mut data = match said.get("data") {
        None => Map::new(),
        Some(Value::Object(data)) => data.clone(),
        Some(_) => return Err(wrong("data", "invalid_field", "data is a JSON object")),
    };
    match said.get("note") {
        None => {}
        Some(Value::String(note)) if note.len() <= NOTE_MAX_BYTES => {
            data.insert("note".into(), note.as_str().into());
        }
        Some(_) => {
            return Err(wrong("note", "invalid_field", format!("note is text of at most {NOTE_MAX_BYTES} bytes")));
        }
    }
    Ok(Some(data).filter(|data| !data.is_empty()))
}

fn status_of(delivery: &Record) -> Value {
    let record = delivery.to_json();
    let status = delivery.text("status").unwrap_or_default();
    json!({
        "delivery_id": delivery.id,
        "order_id": record["order_id"],
        "tracking_number": record["tracking_number"],
        "driver_id": record["driver_id"],
        "status": status,
        "next_statuses": next_statuses(status),
        "delivered_at": record["delivered_at"],
        "updated_at": record["updated_at"],
        "version": delivery.version,
    })
}

async fn events(
    Here(door): Here<Door>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = id_in(path, DELIVERIES.singular)?;
    let events = door.registry.events_of(&caller, &id).await.map_err(problem)?;
    if caller.role == Role::Customer {
        return Ok(success(StatusCode::OK, events.iter().map(for_customer).collect::<Vec<_>>()));
    }
    Ok(success(StatusCode::OK, events))
}

/// How far it came and when. Where its driver was, what he noted and who did what are the fleet's own.
fn for_customer(event: &DeliveryEvent) -> Value {
    json!({
        "id": event.id, "delivery_id": event.delivery_id, "event_type": event.event_type, "time": event.time
    })
}

async fn order(
    Here(door): Here<Door>,
    caller: Caller,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = id_in(path, "order")?;
    let found = door.registry.order(&caller, &id).await.map_err(problem)?;
    Ok(shown(&headers, &found))
}

async fn assignments(
    Here(door): Here<Door>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Pairs>, QueryRejection>,
) -> Result<Response, Problem> {
    let id = id_in(path, DRIVERS.singular)?;
    only(&query?.0, &[])?;
    let mut found = door.registry.assignments_of(&caller, &id).await.map_err(problem)?;
    let now = now_ms();
    // Stable: those that are not current stay newest first.
    found.sort_by_key(|assignment| !is_current(assignment, now));
    Ok(success(StatusCode::OK, found.iter().map(Record::to_json).collect::<Vec<_>>()))
}

fn is_current(assignment: &Record, now: i64) -> bool {
    let at = |field: &str| assignment.text(field).and_then(|text| parse_time(text).ok());
    at("starts_at").is_some_and(|starts| starts <= now) && at("ends_at").is_none_or(|ends| now < ends)
}

fn status_op() -> Op {
    let example = json!({
        "delivery_id": "del-1", "order_id": "A-1001", "tracking_number": "mJ8…", "driver_id": "d-1",
        "status": "out_for_delivery", "next_statuses": next_statuses("out_for_delivery"), "delivered_at": null,
        "updated_at": "2026-01-31T12:00:00Z", "version": 4
    });
    let said = json!({"status": "out_for_delivery", "latitude": 38.7223, "longitude": -9.1393, "note": "on its way"});
    Op::new("set_delivery_status", DELIVERIES.name, "Move a delivery to another status.")
        .about(
            "Only along the ways that statuses have: created, assigned, picked_up, out_for_delivery, arrived, \
                delivered; failed, returned and cancelled beside them. Each move leaves an event. A driver moves the \
                deliveries that are assigned to him. With an Idempotency-Key, a request that comes again moves nothing a \
                second time: it is answered with the status as it is by then, and Idempotency-Replayed: true.",
        )
        .path("id", "The delivery.", &id_example(&DELIVERIES))
        .header("If-Match", "Move it only if it still has this ETag.", "\"3\"")
        .header(HEADER, "A word of the caller's for this request: 1 to 200 characters.", "3f0c2a9e")
        .takes("application/json", named("DeliveryStatusChange"), said)
        .gives(
            200,
            "the status that it has now",
            envelope(named("DeliveryStatus"), "RecordMeta"),
            envelope_example(200, example),
            &[("ETag", "The delivery's version.")],
        )
        .fails(&[
            MALFORMED,
            NOT_FOUND,
            (409, "the delivery cannot move from where it is to there"),
            (412, "the delivery is not the one that If-Match names"),
            (413, "the body is longer than 1 MiB"),
            (422, "a value is not allowed; the answer names the field"),
            AWAY,
        ])
}

fn events_op() -> Op {
    let event = json!({
        "id": "ev-1", "delivery_id": "del-1", "event_type": "created", "time": "2026-01-31T12:00:00Z",
        "latitude": null, "longitude": null, "data": null, "actor": "user/u-1"
    });
    Op::new("list_delivery_events", DELIVERIES.name, "What became of a delivery, oldest first.")
        .about("A customer is told id, delivery_id, event_type and time of each event, and nothing else.")
        .path("id", "The delivery.", &id_example(&DELIVERIES))
        .gives(
            200,
            "its events",
            envelope(Array::new(named("DeliveryEvent")), "RecordMeta"),
            envelope_example(200, json!([event])),
            &[],
        )
        .fails(&[MALFORMED, NOT_FOUND, AWAY])
}

fn order_op() -> Op {
    Op::new("read_order", DELIVERIES.name, "The delivery of an order.")
        .about(
            "Within the caller's reach: a delivery under way goes before one at its end, an order's number before an id. \
                Orders of two fleets that have the same number are asked for by the delivery's id.",
        )
        .path("order_id", "The order's number in the shop, or the delivery's id.", "A-1001")
        .header("If-None-Match", "Answer 304 if it still has this ETag.", "\"1\"")
        .gives(
            200,
            "the delivery",
            of(&DELIVERIES, "Envelope"),
            envelope_example(200, record_example(&DELIVERIES)),
            &[("ETag", "The delivery's version.")],
        )
        .gives_nothing(304, "it has not changed", &[("ETag", "The delivery's version.")])
        .fails(&[MALFORMED, NOT_FOUND, (409, "orders of several fleets within reach have this number"), AWAY])
}

fn assignments_op() -> Op {
    let mut example = page_example(record_example(&ASSIGNMENTS));
    if let Some(meta) = example["meta"].as_object_mut() {
        meta.remove("pagination");
    }
    Op::new(
        "list_driver_assignments",
        DRIVERS.name,
        "The assignments of a driver: the current one first, then newest first.",
    )
    .path("id", "The driver.", &id_example(&DRIVERS))
    .gives(200, "at most 1,000 assignments", envelope(Array::new(of(&ASSIGNMENTS, "")), "RecordMeta"), example, &[])
    .fails(&[MALFORMED, NOT_FOUND, (422, "a parameter is not known"), AWAY])
}

fn status_change() -> RefOr<Schema> {
    let degrees = |most: f64| ObjectBuilder::new().schema_type(Type::Number).minimum(Some(-most)).maximum(Some(most));
    object()
        .description(Some("Where to move a delivery. A place has both latitude and longitude."))
        .property("status", text().enum_values(Some(DELIVERY_STATUSES.iter().copied())))
        .required("status")
        .property("latitude", degrees(90.0).description(Some("Where it happened, degrees north.")))
        .property("longitude", degrees(180.0).description(Some("Where it happened, degrees east.")))
        .property("note", text().max_length(Some(NOTE_MAX_BYTES)).description(Some("Kept with the event.")))
        .property(
            "data",
            object()
                .additional_properties(Some(AdditionalProperties::FreeForm(true)))
                .description(Some("Anything to keep with the event, at most 8 KiB as JSON.")),
        )
        .property("driver_id", id().description(Some("Names the driver with it; needs orders.write.")))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .into()
}

fn status_schema() -> RefOr<Schema> {
    let maybe = || text().schema_type(utoipa::openapi::schema::SchemaType::Array(vec![Type::String, Type::Null]));
    let whole = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1_isize));
    let mut status = object().property("delivery_id", id()).required("delivery_id");
    for name in ["order_id", "tracking_number", "driver_id", "delivered_at"] {
        status = status.property(name, maybe()).required(name);
    }
    status
        .property("status", text().enum_values(Some(DELIVERY_STATUSES.iter().copied())))
        .required("status")
        .property("next_statuses", ArrayBuilder::new().items(text()).description(Some("Where it can move from here.")))
        .required("next_statuses")
        .property("updated_at", moment())
        .required("updated_at")
        .property("version", whole)
        .required("version")
        .into()
}
