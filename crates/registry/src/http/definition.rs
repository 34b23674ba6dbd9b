//! What a definition says beyond JSON Schema, as extensions of the OpenAPI document: the order of fields, what they refer
//! to, which are personal, what a list is found and sorted by, who may read and write, how a delivery moves. Pages and
//! tools that show records are made from it, so that they keep no copy of their own.

use super::asked::{can_filter, sortable};
use super::persons::{REMAINS, related, sealed, sealed_of_deliveries};
use crate::deliveries::{BY_DRIVER, TRANSITIONS};
use crate::resources::DELIVERIES;
use crate::schema::{Field, FieldKind, FleetOf, PersonOf, Resource};
use serde_json::{Map, Value, json};
use utoipa::openapi::extensions::Extensions;

/// `x-resource`, of the schema of a record.
pub(super) fn of_resource(resource: &'static Resource) -> Extensions {
    let writable = || resource.fields.iter().filter(|field| !field.read_only);
    let required = writable().filter(|field| field.required).map(|field| field.name);
    let defaults: Map<String, Value> =
        writable().filter_map(|field| Some((field.name.to_owned(), field.default?.into()))).collect();
    let filterable = resource.fields.iter().filter(|field| can_filter(field)).map(|field| field.name);
    let mut said = json!({
        "name": resource.name,
        "singular": resource.singular,
        "asset": resource.asset.map(|kind| kind.name()),
        "read": resource.read.name(),
        "write": resource.write.name(),
        "fields": names(resource.fields),
        "writable": writable().map(|field| field.name).collect::<Vec<_>>(),
        "required": required.collect::<Vec<_>>(),
        "defaults": defaults,
        "filterable": filterable.collect::<Vec<_>>(),
        "sortable": sortable(resource).collect::<Vec<_>>(),
        // Made and removed, or also changed, only by who reaches all fleets.
        "make_needs_all_fleets": matches!(resource.fleet, FleetOf::SelfId | FleetOf::Organisation),
        "change_needs_all_fleets": resource.fleet == FleetOf::Organisation,
    });
    if resource.person == PersonOf::Itself {
        let deliveries = sealed_of_deliveries(resource);
        said["erasure"] = json!({
            "fields": sealed(resource), "deliveries": deliveries, "related": related(resource), "remains": REMAINS
        });
    }
    if *resource == DELIVERIES {
        let next: Map<String, Value> = TRANSITIONS.iter().map(|(from, to)| ((*from).to_owned(), json!(to))).collect();
        said["transitions"] = json!({"next": next, "by_driver": BY_DRIVER});
    }
    [("x-resource", said)].into_iter().collect()
}

/// Of the schema of a field: `x-references` names the resource whose ids it holds, `x-personal` says that it is sealed,
/// `x-fields` is the order of an item's fields that can be written, and `x-required` what a new one must have: an answer may
/// lack what an erasure emptied, and have what Drover sets.
pub(super) fn of_field(field: &Field) -> Option<Extensions> {
    let mut said: Vec<(&str, Value)> = Vec::new();
    match field.kind {
        FieldKind::Ref(resource) => said.push(("x-references", resource.into())),
        FieldKind::List { item, .. } => {
            let required = item.iter().filter(|field| field.required).map(|field| field.name);
            let writable = item.iter().filter(|field| !field.read_only).map(|field| field.name);
            said.extend([("x-fields", writable.collect()), ("x-required", required.collect())]);
        }
        _ => {}
    }
    if field.is_sealed() {
        said.push(("x-personal", true.into()));
    }
    (!said.is_empty()).then(|| said.into_iter().collect())
}

fn names(fields: &[Field]) -> Value {
    fields.iter().map(|field| field.name).collect()
}
