//! The usual routes of a resource: list, make, read, change, replace, remove.

use super::asked::{self, Pairs, can_filter, is_ordered, sortable};
use super::body::{RECORD_MAX_BYTES, fields, whole, wrong};
use super::envelope::{Pagination, check_condition, has_condition, is_known, not_modified, page, record};
use super::kept::{HEADER, REPLAYED, key_in};
use super::operation::{Described, Op, text, whole as number};
use super::shapes::{change_example, envelope_example, id_example, new_example, page_example, record_example};
use super::shapes::{moment, of, schemas};
use super::{Place, id_in, known_only, not_reserved, problem};
use crate::schema::{FieldKind, Resource};
use crate::{LIMIT_DEFAULT, LIMIT_MAX, Made, Record, Repeatable};
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State as Here};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{delete, get, patch, post, put};
use drover_access::Caller;
use drover_answer::Problem;
use serde_json::{Map, Value};
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder};

/// What the store may answer to any route.
pub(super) const AWAY: (u16, &str) = (503, "the registry's database is away; Retry-After says when to try again");
const NOT_FOUND: (u16, &str) = (404, "there is no such record within reach");
const MALFORMED: (u16, &str) = (400, "the address or the body cannot be read");
const CONFLICT: (u16, &str) =
    (409, "it contradicts what is there: an id, a unique value, a reference, an overlap in time");
const CHANGED: (u16, &str) = (412, "the record is not the one that If-Match names");
const TOO_LARGE: (u16, &str) = (413, "the body is longer than 1 MiB");
const INVALID: (u16, &str) = (422, "a value is not allowed; the answer names the field");
const IF_MATCH: &str = "Change it only if it still has this ETag.";
const ETAG: (&str, &str) = ("ETag", "The record's version, for If-Match and If-None-Match.");

/// The usual routes.
pub(super) fn routes(place: &Place) -> Vec<Described> {
    let resource = place.resource;
    let (all, one) = (path(resource), format!("{}/{{id}}", path(resource)));
    let named = |described: Op, method, path: &str, handler| described.at(method, path, Vec::new(), handler);
    vec![
        list_op(resource).at(HttpMethod::Get, &all, schemas(resource), get(list).with_state(place.clone())),
        named(create_op(resource), HttpMethod::Post, &all, post(create).with_state(place.clone())),
        named(read_op(resource), HttpMethod::Get, &one, get(read).with_state(place.clone())),
        named(patch_op(resource), HttpMethod::Patch, &one, patch(change).with_state(place.clone())),
        named(put_op(resource), HttpMethod::Put, &one, put(replace).with_state(place.clone())),
        named(delete_op(resource), HttpMethod::Delete, &one, delete(remove).with_state(place.clone())),
    ]
}

/// Where the records of a resource are.
pub(super) fn path(resource: &Resource) -> String {
    format!("/api/v1/{}", resource.name)
}

async fn list(
    Here(Place { door, resource }): Here<Place>,
    caller: Caller,
    query: Result<Query<Pairs>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(pairs) = query?;
    let query = asked::list(resource, pairs)?;
    let found = door.registry.list(&caller, resource, &query).await.map_err(problem)?;
    let pagination = Pagination { page: query.page.into(), limit: query.limit.into(), total: found.total };
    Ok(page(found.records.iter().map(Record::to_json).collect(), pagination))
}

async fn read(
    Here(Place { door, resource }): Here<Place>,
    caller: Caller,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = id_in(path, resource.singular)?;
    let found = door.registry.get(&caller, resource, &id).await.map_err(problem)?;
    Ok(shown(&headers, &found))
}

/// A record, or the word that the caller has it already.
pub(super) fn shown(headers: &HeaderMap, found: &Record) -> Response {
    if is_known(headers, found.version) {
        return not_modified(found.version);
    }
    record(StatusCode::OK, found.to_json(), found.version)
}

async fn create(
    Here(Place { door, resource }): Here<Place>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = key_in(&headers)?;
    let bytes = whole(body, RECORD_MAX_BYTES).await?;
    let body = fields(&bytes)?;
    known_only(resource, &body)?;
    not_reserved(&body)?;
    let made = match &key {
        Some(word) => door.registry.create_once(&caller, resource, body, Repeatable { word, body: &bytes }).await,
        None => door.registry.create(&caller, resource, body).await.map(Made::Now),
    };
    let made = made.map_err(problem)?;
    let is_repeated = matches!(made, Made::Before(_));
    let made = made.into_record();
    let mut response = record(StatusCode::CREATED, made.to_json(), made.version);
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{}", path(resource), made.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if is_repeated {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

async fn change(
    Here(place): Here<Place>,
    caller: Caller,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let id = id_in(path, place.resource.singular)?;
    let patch = without_id(fields(&whole(body, RECORD_MAX_BYTES).await?)?, &id)?;
    known_only(place.resource, &patch)?;
    let version = wanted(&place, &caller, &headers, &id).await?;
    let changed = place.door.registry.update(&caller, place.resource, &id, patch, version).await.map_err(problem)?;
    Ok(record(StatusCode::OK, changed.to_json(), changed.version))
}

async fn replace(
    Here(place): Here<Place>,
    caller: Caller,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let id = id_in(path, place.resource.singular)?;
    let body = without_id(fields(&whole(body, RECORD_MAX_BYTES).await?)?, &id)?;
    known_only(place.resource, &body)?;
    let version = wanted(&place, &caller, &headers, &id).await?;
    let changed = place.door.registry.replace(&caller, place.resource, &id, body, version).await.map_err(problem)?;
    Ok(record(StatusCode::OK, changed.to_json(), changed.version))
}

async fn remove(
    Here(place): Here<Place>,
    caller: Caller,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let id = id_in(path, place.resource.singular)?;
    let version = wanted(&place, &caller, &headers, &id).await?;
    place.door.registry.remove(&caller, place.resource, &id, version).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The version that must still be there when the change is made; none if any will do.
async fn wanted(place: &Place, caller: &Caller, headers: &HeaderMap, id: &str) -> Result<Option<i64>, Problem> {
    if !has_condition(headers) {
        return Ok(None);
    }
    let version = place.door.registry.get(caller, place.resource, id).await.map_err(problem)?.version;
    check_condition(headers, version)?;
    Ok(Some(version))
}

/// A body may repeat the id of its record, not name another.
fn without_id(mut fields: Map<String, Value>, id: &str) -> Result<Map<String, Value>, Problem> {
    match fields.remove("id") {
        Some(said) if said != *id => {
            Err(wrong("id", "out_of_range", format!("the id of a record cannot change; it is {id:?}")))
        }
        _ => Ok(fields),
    }
}

/// `list_vehicles`, `create_vehicle`.
fn list_op(resource: &'static Resource) -> Op {
    let name = resource.name;
    let op = Op::new(format!("list_{name}"), name, format!("List {name}."))
        .about(format!("{} Those within the caller's reach.", resource.doc))
        .query("page", "Which page, from 1.", number(1, asked::PAGE_MAX.into(), 1))
        .query("limit", "Records on a page.", number(1, LIMIT_MAX.into(), LIMIT_DEFAULT.into()))
        .query("sort", &sort_doc(resource), text())
        .query("q", "Text that the id or some text field contains, in any case.", text());
    filter_parameters(op, resource)
        .gives(200, "a page of records", of(resource, "Page"), page_example(record_example(resource)), &[])
        .fails(&[INVALID, AWAY])
}

fn sort_doc(resource: &'static Resource) -> String {
    let fields: Vec<_> = sortable(resource).collect();
    format!("Fields to sort by, separated by commas, with - for descending: {}.", fields.join(", "))
}

/// A query parameter for each way that a field can be compared.
pub(super) fn filter_parameters(mut op: Op, resource: &'static Resource) -> Op {
    op = op.query("id", "Only the record of this id.", text()).query("id[in]", "Only these ids.", listed());
    for field in resource.fields.iter().filter(|field| can_filter(field)) {
        let schema = || match field.kind {
            FieldKind::Word(words) => text().enum_values(Some(words.iter().copied())),
            FieldKind::Integer { .. } => ObjectBuilder::new().schema_type(Type::Integer),
            FieldKind::Real { .. } => ObjectBuilder::new().schema_type(Type::Number),
            FieldKind::Flag => ObjectBuilder::new().schema_type(Type::Boolean),
            FieldKind::Time => moment(),
            _ => text(),
        };
        op = op.query(field.name, &format!("Only where it is equal. {}", field.doc), schema());
        op = op.query(&format!("{}[in]", field.name), "Only where it is one of these, separated by commas.", listed());
        if is_ordered(field) {
            op = op.query(&format!("{}[gte]", field.name), "Only where it is not less.", schema());
            op = op.query(&format!("{}[lte]", field.name), "Only where it is not more.", schema());
        }
    }
    for name in ["created_at", "updated_at"] {
        op = op.query(&format!("{name}[gte]"), "Not before.", moment());
        op = op.query(&format!("{name}[lte]"), "Not after.", moment());
    }
    op
}

fn listed() -> ArrayBuilder {
    ArrayBuilder::new().items(text())
}

fn create_op(resource: &'static Resource) -> Op {
    let about = "With an Idempotency-Key, the same request makes nothing twice for 24 hours, among the newest 10,000 of its \
                 caller: it is answered with the record that the first one made, as it is by then, and \
                 Idempotency-Replayed: true. Another body with that key is refused.";
    Op::new(format!("create_{}", word(resource)), resource.name, format!("Make {}.", resource.one()))
        .about(about)
        .header(HEADER, "A word of the caller's for this request: 1 to 200 characters.", "3f0c2a9e")
        .takes("application/json", of(resource, "New"), new_example(resource))
        .gives(
            201,
            "it was made",
            of(resource, "Envelope"),
            envelope_example(201, record_example(resource)),
            &[("Location", "Where it is."), ETAG],
        )
        .fails(&[MALFORMED, CONFLICT, TOO_LARGE, INVALID, AWAY])
}

fn read_op(resource: &'static Resource) -> Op {
    one(resource, "read", "See")
        .header("If-None-Match", "Answer 304 if it still has this ETag.", "\"1\"")
        .gives(200, "the record", of(resource, "Envelope"), envelope_example(200, record_example(resource)), &[ETAG])
        .gives_nothing(304, "it has not changed", &[ETAG])
        .fails(&[MALFORMED, NOT_FOUND, AWAY])
}

fn patch_op(resource: &'static Resource) -> Op {
    one(resource, "update", "Change")
        .about("Fields that are not named stay, null empties a field; a list or an object (`attributes`) is replaced as a whole.")
        .header("If-Match", IF_MATCH, "\"1\"")
        .takes("application/json", of(resource, "Change"), change_example(resource))
        .gives(200, "as it is now", of(resource, "Envelope"), envelope_example(200, record_example(resource)), &[ETAG])
        .fails(&[MALFORMED, NOT_FOUND, CONFLICT, CHANGED, TOO_LARGE, INVALID, AWAY])
}

fn put_op(resource: &'static Resource) -> Op {
    one(resource, "replace", "Replace")
        .about("Fields that are not named are emptied, or get their default. What Drover sets stays.")
        .header("If-Match", IF_MATCH, "\"1\"")
        .takes("application/json", of(resource, "New"), new_example(resource))
        .gives(200, "as it is now", of(resource, "Envelope"), envelope_example(200, record_example(resource)), &[ETAG])
        .fails(&[MALFORMED, NOT_FOUND, CONFLICT, CHANGED, TOO_LARGE, INVALID, AWAY])
}

fn delete_op(resource: &'static Resource) -> Op {
    one(resource, "delete", "Remove")
        .header("If-Match", "Remove it only if it still has this ETag.", "\"1\"")
        .gives_nothing(204, "it was removed", &[])
        .fails(&[MALFORMED, NOT_FOUND, (409, "other records refer to it"), CHANGED, AWAY])
}

fn one(resource: &'static Resource, verb: &str, does: &str) -> Op {
    let summary = format!("{does} a {}.", resource.singular);
    Op::new(format!("{verb}_{}", word(resource)), resource.name, summary).path("id", "Its id.", &id_example(resource))
}

/// The word of one record in operation ids: `vehicle`, `maintenance_record`.
pub(super) fn word(resource: &Resource) -> String {
    resource.singular.replace(' ', "_")
}
