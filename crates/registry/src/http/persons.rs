//! What people may ask: everything that is known of them, and that it be erased. The registry erases its own; history and
//! live follow through a hook.

use super::operation::{Described, Op, text};
use super::records::{AWAY, path, word};
use super::shapes::{envelope, envelope_example, id_example, object, record_example};
use super::{Door, Place, envelope as answer, id_in, problem};
use crate::Resource;
use crate::erasing::emptied_elsewhere;
use crate::resources::{CUSTOMERS, DELIVERIES, DRIVERS};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Here};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use drover_access::Caller;
use drover_answer::Problem;
use serde_json::{Value, json};
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::schema::{AdditionalProperties, SchemaType};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, RefOr, Schema};

/// What stays in the registry, whoever is erased.
pub(super) const REMAINS: &[&str] = &[
    "the id, the fields that are not personal, and the times of the record",
    "ids, statuses, times and weights of deliveries and their history, for the books",
    "changes and the audit, which name records by their ids and hold nothing private in the clear",
    "names in free text about other things: vehicles, their maintenance, stations, fleets, stops without a delivery",
];

/// The routes.
pub(super) fn routes(door: &Door) -> Vec<Described> {
    [&CUSTOMERS, &DRIVERS]
        .into_iter()
        .flat_map(|resource| {
            let place = Place { door: door.clone(), resource };
            let at = |what: &str| format!("{}/{{id}}/{what}", path(resource));
            let schemas = vec![("ErasureReport".to_owned(), erasure_schema())];
            [
                export_op(resource).at(
                    HttpMethod::Get,
                    &at("export"),
                    Vec::new(),
                    get(export).with_state(place.clone()),
                ),
                erase_op(resource).at(HttpMethod::Post, &at("erase"), schemas, post(erase).with_state(place)),
            ]
        })
        .collect()
}

async fn export(
    Here(Place { door, resource }): Here<Place>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = id_in(path, resource.singular)?;
    let known = door.registry.export_person(&caller, resource, &id).await.map_err(problem)?;
    let mut response = answer::success(StatusCode::OK, known);
    let file = format!("attachment; filename=\"{}-{}.json\"", word(resource), id.replace([':', '@', '+'], "_"));
    if let Ok(file) = HeaderValue::from_str(&file) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, file);
    }
    Ok(response)
}

/// The registry first: what is sealed there can never be read again from then on. If what follows fails, the same request
/// may be sent again.
async fn erase(
    Here(Place { door, resource }): Here<Place>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = id_in(path, resource.singular)?;
    // To its end, even if the caller leaves meanwhile.
    let work = tokio::spawn(async move {
        door.registry.erase_person(&caller, resource, &id).await.map_err(problem)?;
        let elsewhere = (door.hooks.erase)(caller, resource, id.clone()).await?;
        Ok::<_, Problem>(report(resource, &id, elsewhere))
    });
    let failed = |error: tokio::task::JoinError| {
        tracing::error!(%error, "erasing a person failed");
        let help = "send the request again; look at the node's log";
        Problem::new(drover_answer::ProblemKind::Internal, "internal", "erasing did not come to its end", help)
    };
    Ok(answer::success(StatusCode::OK, work.await.map_err(failed)??))
}

fn report(resource: &'static Resource, id: &str, elsewhere: Value) -> Value {
    json!({
        "resource": resource.name,
        "id": id,
        "erased": {"fields": sealed(resource), "deliveries": sealed_of_deliveries(resource),
            "related": related(resource), "elsewhere": elsewhere},
        "remains": REMAINS,
    })
}

/// What an erasure makes unreadable in the person's deliveries.
pub(super) fn sealed_of_deliveries(resource: &Resource) -> Vec<&'static str> {
    if *resource == CUSTOMERS { sealed(&DELIVERIES) } else { Vec::new() }
}

/// What an erasure empties in other records that are about the person.
pub(super) fn related(resource: &Resource) -> Value {
    emptied_elsewhere(resource).into_iter().map(|(name, fields)| (name.to_owned(), json!(fields))).collect()
}

/// What an erasure makes unreadable.
pub(super) fn sealed(resource: &Resource) -> Vec<&'static str> {
    resource.fields.iter().filter(|field| field.is_private()).map(|field| field.name).collect()
}

fn export_op(resource: &'static Resource) -> Op {
    let word = word(resource);
    Op::new(format!("export_{word}"), resource.name, format!("Everything that the registry has on a {word}."))
        .path("id", "The person.", &id_example(resource))
        .gives(
            200,
            "the record and what belongs to it",
            envelope(object().additional_properties(Some(AdditionalProperties::FreeForm(true))), "RecordMeta"),
            envelope_example(200, json!({ resource.singular: record_example(resource), "deliveries": [] })),
            &[("Content-Disposition", "A name for the file.")],
        )
        .fails(&[(400, "the address cannot be read"), (404, "there is no such record within reach"), AWAY])
}

fn erase_op(resource: &'static Resource) -> Op {
    let word = word(resource);
    Op::new(format!("erase_{word}"), resource.name, format!("Erase what is known of a {word}."))
        .about(
            "For good: personal fields can never be read again, nor from a backup that was made before. The record \
                stays, marked as erased; places, notes and free attributes of deliveries, assignments, devices and \
                stops that are about the person are emptied. The request may be repeated.",
        )
        .path("id", "The person.", &id_example(resource))
        .gives(
            200,
            "what was erased, and what remains",
            envelope(super::operation::named("ErasureReport"), "RecordMeta"),
            envelope_example(200, report(resource, &id_example(resource), Value::Null)),
            &[],
        )
        .fails(&[
            (400, "the address cannot be read"),
            (404, "there is no such record within reach"),
            (409, "the person cannot be erased now; the answer says why"),
            AWAY,
        ])
}

fn erasure_schema() -> RefOr<Schema> {
    let words = || ArrayBuilder::new().items(text());
    let erased = object()
        .property("fields", words().description(Some("Fields of the record.")))
        .required("fields")
        .property("deliveries", words().description(Some("Fields of the person's deliveries.")))
        .required("deliveries")
        .property(
            "related",
            object()
                .additional_properties(Some(RefOr::T(Schema::from(words()))))
                .description(Some("Fields of other records that are about the person.")),
        )
        .required("related")
        .property(
            "elsewhere",
            ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some("In history and live.")),
        )
        .required("elsewhere");
    object()
        .property("resource", text())
        .required("resource")
        .property("id", text())
        .required("id")
        .property("erased", erased)
        .required("erased")
        .property("remains", words().description(Some("What stays, and why.")))
        .required("remains")
        .into()
}
