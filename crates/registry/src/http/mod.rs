//! The HTTP door of the registry: the usual routes of every resource, made from its definition, and the routes that only
//! deliveries, drivers, stations and people have. What a record may hold, and who reaches it, is the store's to say;
//! who may use which route is checked before a request comes here.

mod asked;
mod body;
mod changes;
mod definition;
mod deliveries;
mod envelope;
mod handover;
pub mod kept;
mod operation;
mod persons;
mod records;
mod shapes;
mod sheet;
mod stations;
mod transfer;

use crate::{Error, HasReported, RESOURCES, Registry, Resource, SET_BY_DROVER};
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use drover_access::Caller;
use drover_answer::{Problem, ProblemKind};
use drover_model::check_id;
use operation::Described;
use serde_json::Value;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// What a hook answers later.
pub type Later<T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send>>;
/// The newest telemetry of a station, by its id, as one JSON object.
pub type LatestStation = Arc<dyn Fn(&str) -> Option<Value> + Send + Sync>;
/// The ids of all stations that report, in no order.
pub type ReportingStations = Arc<dyn Fn() -> Vec<String> + Send + Sync>;
/// Erases a person outside of the registry: history, live, as far as the caller reaches. Says what was erased there and what
/// remains. It may be called again for the same person.
pub type ErasePerson = Arc<dyn Fn(Caller, &'static Resource, String) -> Later<Value> + Send + Sync>;

/// What the door asks of the rest of the node.
#[derive(Clone)]
pub struct Hooks {
    /// The newest telemetry of a station.
    pub latest_station: LatestStation,
    /// Stations that report; those that the registry does not know are shown to who reaches everything.
    pub reporting_stations: ReportingStations,
    /// Erases a person outside of the registry.
    pub erase: ErasePerson,
    /// Whether an asset has reported, for [`Registry::ask_before_claims`].
    pub has_reported: HasReported,
}

impl Default for Hooks {
    /// A registry alone: no telemetry, and nothing to erase elsewhere.
    fn default() -> Hooks {
        Hooks {
            latest_station: Arc::new(|_| None),
            reporting_stations: Arc::new(Vec::new),
            erase: Arc::new(|_, _, _| Box::pin(async { Ok(Value::Null) })),
            has_reported: Arc::new(|_, _| false),
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// What every handler has.
#[derive(Clone)]
struct Door {
    registry: Registry,
    hooks: Hooks,
}

/// What the handlers of one resource have.
#[derive(Clone)]
struct Place {
    door: Door,
    resource: &'static Resource,
}

/// The routes of this door. A guard before them puts the [`drover_access::Caller`] into each request.
pub fn routes(registry: Registry, hooks: Hooks) -> OpenApiRouter {
    registry.ask_before_claims(hooks.has_reported.clone());
    let door = Door { registry, hooks };
    let mut described: Vec<Described> = Vec::new();
    for resource in RESOURCES {
        let place = Place { door: door.clone(), resource };
        described.extend(records::routes(&place));
        described.extend(transfer::routes(&place));
    }
    described.extend(deliveries::routes(&door));
    described.extend(handover::routes(&door));
    described.extend(stations::routes(&door));
    described.extend(persons::routes(&door));
    described.extend(changes::routes(&door));
    let mut router = described.into_iter().fold(OpenApiRouter::new(), OpenApiRouter::routes);
    let components = router.get_openapi_mut().components.get_or_insert_default();
    components.schemas.extend(operation::error_schemas());
    components.schemas.extend(shapes::shared_schemas());
    router
}

/// What stands in addresses where ids do: a record of such an id could not be asked for.
const RESERVED: [&str; 3] = ["export", "import", "nearby"];

/// How an error of the store is answered.
fn problem(error: Error) -> Problem {
    error.into()
}

/// The id in the path. What cannot be an id names nothing.
fn id_in(path: Result<Path<String>, PathRejection>, singular: &str) -> Result<String, Problem> {
    let Path(id) = path?;
    match check_id(&id) {
        Ok(()) => Ok(id),
        Err(_) => {
            let message = format!("there is no {singular} of that id: ids have letters, digits and . _ : @ + -");
            Err(Problem::new(
                ProblemKind::NotFound,
                "not_found",
                message,
                "check the id; see the list of what there is",
            ))
        }
    }
}

/// The field of the resource whose name is most like `name`.
fn nearest(resource: &'static Resource, name: &str) -> &'static str {
    let fields = resource.fields.iter().map(|field| field.name).chain(["id"]);
    fields.max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name))).unwrap_or("id")
}

/// Refuses a field that the resource does not have, naming the nearest one.
fn known_only(resource: &'static Resource, fields: &body::Fields) -> Result<(), Problem> {
    let known = |name: &str| name == "id" || SET_BY_DROVER.contains(&name) || resource.field(name).is_some();
    match fields.keys().find(|name| !known(name)) {
        Some(name) => {
            let shown: String = name.chars().take(64).collect();
            let near = nearest(resource, name);
            let message = format!("{} has no field {shown:?}; the nearest is {near:?}", resource.one());
            Err(body::wrong(shown, "unknown_field", message))
        }
        None => Ok(()),
    }
}

/// Refuses an id for a new record that its address could not carry.
fn not_reserved(fields: &body::Fields) -> Result<(), Problem> {
    match fields.get("id").and_then(Value::as_str) {
        Some(id) if RESERVED.contains(&id) => Err(body::wrong(
            "id",
            "out_of_range",
            format!("the id {id:?} means something else in addresses; choose another"),
        )),
        _ => Ok(()),
    }
}
