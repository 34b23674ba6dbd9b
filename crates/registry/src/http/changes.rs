//! What changed in the registry, in the order of commits, for systems that keep a copy. Personal fields are never among
//! it: who may read them asks for the record.

use super::asked::{Pairs, number, once_each, only};
use super::body::wrong;
use super::envelope::success;
use super::operation::{Described, Op, named, text, whole};
use super::records::AWAY;
use super::shapes::{envelope, envelope_example, moment, object};
use super::{Door, problem};
use crate::record::time;
use crate::{Change, LIMIT_MAX, resource};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Here};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use drover_access::{Caller, Permission};
use drover_answer::Problem;
use serde_json::{Value, json};
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, RefOr, Schema};

const NDJSON: &str = "application/x-ndjson";
/// Changes of one answer, where nothing is asked.
const LIMIT_USUAL: u32 = 100;
/// Where to go on, for who takes lines.
const NEXT: &str = "drover-next-since";

/// The route.
pub(super) fn routes(door: &Door) -> Vec<Described> {
    let schemas = vec![("Change".to_owned(), change_schema()), ("Changes".to_owned(), changes_schema())];
    vec![changes_op().at(HttpMethod::Get, "/api/v1/changes", schemas, get(changes).with_state(door.clone()))]
}

async fn changes(
    Here(door): Here<Door>,
    caller: Caller,
    headers: HeaderMap,
    query: Result<Query<Pairs>, QueryRejection>,
) -> Result<Response, Problem> {
    let pairs = once_each(query?.0)?;
    only(&pairs, &["since", "limit"])?;
    let (mut since, mut limit) = (0, LIMIT_USUAL);
    for (name, value) in &pairs {
        match name.as_str() {
            "since" => since = sequence(value)?,
            _ => limit = number(name, value, LIMIT_MAX)?,
        }
    }
    let found = door.registry.changes_since(since, limit).await.map_err(problem)?;
    // Changes outside of the caller's reach are passed over, but count: `next` goes behind them.
    let next = found.last().map_or(since, |change| change.seq);
    let more = found.len() == limit as usize;
    let shown = found.into_iter().filter(|change| sees(&caller, change)).map(shown);
    let asks_for_lines = |accept: &str| accept.to_ascii_lowercase().contains(NDJSON);
    if headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(asks_for_lines) {
        let lines: String = shown.map(|change| format!("{change}\n")).collect();
        return Ok(
            ([(header::CONTENT_TYPE.as_str(), NDJSON.to_owned()), (NEXT, next.to_string())], lines).into_response()
        );
    }
    let forgotten = door.registry.forgotten_through().await.map_err(problem)?;
    let data = json!({
        "changes": shown.collect::<Vec<_>>(), "next": next, "more": more, "forgotten_through": forgotten
    });
    Ok(success(StatusCode::OK, data))
}

fn sequence(value: &str) -> Result<i64, Problem> {
    let number = value.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| wrong("since", "out_of_range", "since is a whole number from 0: `next` of the answer before"))
}

/// True if the caller may read such records, and reaches the fleet of this one. What belongs to no fleet is for who
/// reaches all.
fn sees(caller: &Caller, change: &Change) -> bool {
    let read = resource(&change.resource).map_or(Permission::UsersRead, |resource| resource.read);
    caller.may(read) && caller.reaches_fleet(change.fleet_id.as_deref())
}

fn shown(change: Change) -> Value {
    json!({
        "seq": change.seq, "resource": change.resource, "id": change.id, "op": change.op, "version": change.version,
        "time": time(change.time_ms), "actor": change.actor, "fleet_id": change.fleet_id, "before": change.before,
        "after": change.after,
    })
}

fn changes_op() -> Op {
    let change = json!({
        "seq": 17, "resource": "vehicles", "id": "v-1", "op": "update", "version": 2, "time": "2026-01-31T12:00:00Z",
        "actor": "user/u-1", "fleet_id": "f-1", "before": {"status": "active"}, "after": {"status": "maintenance"}
    });
    let line = json!(format!("{change}\n"));
    let page = json!({"changes": [change], "next": 17, "more": false, "forgotten_through": 0});
    let since = whole(0, i64::MAX, 0);
    Op::new("list_changes", "changes", "What changed in the registry, in order.")
        .about(
            "Ask again with since = next. Changes of what the caller may not read are passed over; personal fields \
                show as (sealed), or (sealed, changed). With Accept: application/x-ndjson, one change a line, and next in a header.",
        )
        .query("since", "Only changes with a greater number.", since)
        .query("limit", "Look at no more than so many.", whole(1, LIMIT_MAX.into(), LIMIT_USUAL.into()))
        .gives(
            200,
            "changes within reach",
            envelope(named("Changes"), "RecordMeta"),
            envelope_example(200, page),
            &[(NEXT, "With lines: ask for what is after this number.")],
        )
        .or_as(NDJSON, 200, text(), line)
        .fails(&[(422, "a parameter is not known or a value is not allowed"), AWAY])
}

fn change_schema() -> RefOr<Schema> {
    let any = || ObjectBuilder::new().schema_type(SchemaType::Array(vec![Type::Object, Type::Null]));
    let fleet = ObjectBuilder::new().schema_type(SchemaType::Array(vec![Type::String, Type::Null]));
    let mut change = object();
    for name in ["seq", "version"] {
        change = change.property(name, ObjectBuilder::new().schema_type(Type::Integer)).required(name);
    }
    for name in ["resource", "id", "op", "actor"] {
        change = change.property(name, text()).required(name);
    }
    change = change.property("time", moment()).required("time").property("fleet_id", fleet).required("fleet_id");
    for name in ["before", "after"] {
        change = change.property(name, any()).required(name);
    }
    change.into()
}

fn changes_schema() -> RefOr<Schema> {
    let number = |doc: &str| ObjectBuilder::new().schema_type(Type::Integer).description(Some(doc));
    object()
        .property("changes", ArrayBuilder::new().items(named("Change")))
        .required("changes")
        .property("next", number("Ask for what is after this number."))
        .required("next")
        .property("more", ObjectBuilder::new().schema_type(Type::Boolean).description(Some("Whether to ask at once.")))
        .required("more")
        .property("forgotten_through", number("Changes up to this number are not kept any more."))
        .required("forgotten_through")
        .into()
}
