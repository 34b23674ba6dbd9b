//! What the two ends of a delivery need of each other: its driver asks who waits, its customer says how it is to be handed
//! over. What each may see and until when is the store's to say.

use super::body::{RECORD_MAX_BYTES, fields, whole, wrong};
use super::envelope::{check_condition, etag, has_condition, success};
use super::operation::{Described, Op, named, text};
use super::records::AWAY;
use super::shapes::{envelope, envelope_example, id, id_example, moment, object};
use super::{Door, id_in, problem};
use crate::Contact;
use crate::resources::DELIVERIES;
use crate::schema::FieldKind;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Here};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, put};
use drover_access::{Caller, Permission, Reach};
use drover_answer::Problem;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::schema::{AdditionalProperties, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

const NOT_FOUND: (u16, &str) = (404, "there is no such delivery within reach, or its customer is not");
const MALFORMED: (u16, &str) = (400, "the address or the body cannot be read");

/// The routes.
pub(super) fn routes(door: &Door) -> Vec<Described> {
    let mut schemas = vec![("Contact".to_owned(), <Contact as utoipa::PartialSchema>::schema())];
    <Contact as ToSchema>::schemas(&mut schemas);
    let instructing =
        vec![("InstructionsChange".to_owned(), asked_schema()), ("Instructions".to_owned(), answered_schema())];
    let (contact, instruct) = (get(contact).with_state(door.clone()), put(instruct).with_state(door.clone()));
    vec![
        contact_op().at(HttpMethod::Get, "/api/v1/deliveries/{id}/customer", schemas, contact),
        instruct_op().at(HttpMethod::Put, "/api/v1/deliveries/{id}/instructions", instructing, instruct),
    ]
}

async fn contact(
    Here(door): Here<Door>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = id_in(path, DELIVERIES.singular)?;
    if caller.reach != Reach::Own {
        // Only the delivery's own driver needs no more than the delivery to see its customer.
        caller.require(Permission::CustomersRead)?;
    }
    let mut response = success(StatusCode::OK, door.registry.contact_of(&caller, &id).await.map_err(problem)?);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn instruct(
    Here(door): Here<Door>,
    caller: Caller,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let id = id_in(path, DELIVERIES.singular)?;
    let mut said = fields(&whole(body, RECORD_MAX_BYTES).await?)?;
    let Some(instructions) = said.remove("instructions") else {
        return Err(wrong("instructions", "invalid_field", "instructions are missing; give text, or null for none"));
    };
    if let Some(unknown) = said.keys().next() {
        let shown: String = unknown.chars().take(64).collect();
        let message = format!("there is no field {shown:?}; the only one is \"instructions\"");
        return Err(wrong(shown, "unknown_field", message));
    }
    let mut version = None;
    if has_condition(&headers) {
        let now = door.registry.get(&caller, &DELIVERIES, &id).await.map_err(problem)?.version;
        check_condition(&headers, now)?;
        version = Some(now);
    }
    let changed = door.registry.instruct(&caller, &id, &instructions, version).await.map_err(problem)?;
    let record = changed.to_json();
    let mut response = success(
        StatusCode::OK,
        json!({
            "delivery_id": changed.id, "instructions": record["instructions"], "updated_at": record["updated_at"],
            "version": changed.version,
        }),
    );
    response.headers_mut().insert(header::ETAG, etag(changed.version));
    Ok(response)
}

fn contact_op() -> Op {
    let example = json!({"delivery_id": "del-1", "customer_id": "c-1", "name": "Alice", "phone": "+351 210 000 000"});
    Op::new("read_delivery_customer", DELIVERIES.name, "Whom a delivery is for: name and telephone number.")
        .about(
            "Its driver is told while the delivery is his and not at its end, and nothing else of the customer; others \
                need customers.read, and the customer within their reach. Nulls where there is no customer, or he was \
                erased. Where to is in the delivery.",
        )
        .path("id", "The delivery.", &id_example(&DELIVERIES))
        .gives(
            200,
            "the customer",
            envelope(named("Contact"), "RecordMeta"),
            envelope_example(200, example),
            &[("Cache-Control", "no-store")],
        )
        .fails(&[MALFORMED, NOT_FOUND, AWAY])
}

fn instruct_op() -> Op {
    let example = json!({
        "delivery_id": "del-1", "instructions": "Ring twice.", "updated_at": "2026-01-31T12:00:00Z", "version": 3
    });
    Op::new("instruct_delivery", DELIVERIES.name, "Say how a delivery is to be handed over.")
        .about("For its customer, until it is picked up; they take the place of what was said before.")
        .path("id", "The delivery.", &id_example(&DELIVERIES))
        .header("If-Match", "Change it only if it still has this ETag.", "\"2\"")
        .takes("application/json", named("InstructionsChange"), json!({"instructions": "Ring twice."}))
        .gives(
            200,
            "as they are now",
            envelope(named("Instructions"), "RecordMeta"),
            envelope_example(200, example),
            &[("ETag", "The delivery's version.")],
        )
        .fails(&[
            MALFORMED,
            NOT_FOUND,
            (409, "the delivery was picked up, or its customer was erased"),
            (412, "the delivery is not the one that If-Match names"),
            (413, "the body is longer than 1 MiB"),
            (422, "a value is not allowed; the answer names the field"),
            AWAY,
        ])
}

fn instructions() -> ObjectBuilder {
    let max = match DELIVERIES.field("instructions").map(|field| field.kind) {
        Some(FieldKind::Text { max }) => Some(max),
        _ => None,
    };
    text()
        .schema_type(SchemaType::Array(vec![Type::String, Type::Null]))
        .max_length(max)
        .description(Some("What the driver should know; null for nothing."))
}

fn asked_schema() -> RefOr<Schema> {
    let closed = AdditionalProperties::FreeForm(false);
    object()
        .property("instructions", instructions())
        .required("instructions")
        .additional_properties(Some(closed))
        .into()
}

fn answered_schema() -> RefOr<Schema> {
    let version = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1_isize));
    object()
        .property("delivery_id", id())
        .required("delivery_id")
        .property("instructions", instructions())
        .required("instructions")
        .property("updated_at", moment())
        .required("updated_at")
        .property("version", version)
        .required("version")
        .into()
}
