//! What operators and probes ask: is it up, is it ready, what does it measure, what is it.

use crate::watch::FreshnessLimits;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use drover_access::{Caller, Permission, Reach};
use drover_answer::{ErrorEnvelope, Meta, Problem, ProblemKind};
use drover_live::Live;
use drover_metadata::Metadata;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What the node tells these routes.
#[derive(Clone)]
pub struct Ops {
    /// The live state.
    pub live: Live,
    /// Facts that do not change while the node runs.
    pub node: Arc<NodeFacts>,
    /// `Err` says why the node cannot take reports or answer now.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Metrics in Prometheus' text form.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What is known of assets beforehand, if anything.
    pub metadata: Option<Metadata>,
}

/// Facts that do not change while the node runs.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// Name of the node's region.
    pub region: String,
    /// `dev` without credentials, else `secured`.
    pub mode: &'static str,
    /// Identity of the node's log.
    pub epoch: Arc<str>,
    /// Where the demo takes place, if it runs.
    pub demo: Option<DemoPlace>,
}

/// Where the demo takes place.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DemoPlace {
    /// Name of the city.
    pub title: String,
    /// Longitude and latitude.
    pub center: [f64; 2],
    /// Zoom of the map.
    pub zoom: f64,
}

/// The routes of operators and probes.
pub fn routes(ops: Ops) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(info))
        .routes(routes!(checksum))
        .routes(routes!(metadata))
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .with_state(ops)
}

/// What runs here.
#[derive(Debug, Serialize, ToSchema)]
struct Info {
    /// `drover`.
    name: &'static str,
    version: &'static str,
    region: String,
    /// `dev`: no credentials are asked, on loopback only.
    mode: &'static str,
    /// RFC 3339.
    server_time: String,
    /// Identity of the log: positions of another epoch mean nothing here.
    epoch: String,
    /// Assets known; for who is logged in and sees all of them.
    assets: Option<usize>,
    /// Log position that reads include; for the same.
    position: Option<u64>,
    freshness: FreshnessLimits,
    demo: Option<DemoPlace>,
}

/// What runs here.
#[utoipa::path(get, path = "/api/v1/info", tag = "operating", responses((status = 200, body = Info, description = "facts")))]
async fn info(State(ops): State<Ops>, caller: Option<Extension<Caller>>) -> Json<Info> {
    let sees_all =
        caller.is_some_and(|Extension(caller)| caller.reach == Reach::All && caller.may(Permission::LiveRead));
    Json(Info {
        name: "drover",
        version: env!("CARGO_PKG_VERSION"),
        region: ops.node.region.clone(),
        mode: ops.node.mode,
        server_time: Meta::now().timestamp,
        epoch: ops.node.epoch.to_string(),
        assets: sees_all.then(|| ops.live.len()),
        position: sees_all.then(|| ops.live.applied()),
        freshness: FreshnessLimits::of(&ops.live),
        demo: ops.node.demo.clone(),
    })
}

/// A hash of the whole live state: equal wherever the same log was applied as far.
#[derive(Debug, Serialize, ToSchema)]
struct Checksum {
    /// Applied log position.
    position: u64,
    assets: usize,
    /// 128 bits, hexadecimal.
    checksum: String,
}

/// Compare live states.
#[utoipa::path(get, path = "/api/v1/checksum", tag = "operating", responses((status = 200, body = Checksum, description = "position and hash")))]
async fn checksum(State(ops): State<Ops>) -> Json<Checksum> {
    let assets = ops.live.len();
    let (position, checksum) = ops.live.checksum();
    Json(Checksum { position, assets, checksum: format!("{checksum:032x}") })
}

/// How the source of vehicle metadata is: entries, age, hits and misses, what is wrong.
#[utoipa::path(get, path = "/api/v1/metadata", tag = "operating", responses((status = 200, body = drover_metadata::Status, description = "the table and its source"),
        (status = 404, body = ErrorEnvelope, description = "no source is configured")))]
async fn metadata(State(ops): State<Ops>) -> Result<Json<drover_metadata::Status>, Problem> {
    let metadata = ops.metadata.ok_or_else(|| {
        let message = "this node has no source of vehicle metadata";
        Problem::new(ProblemKind::NotFound, "no_metadata", message, "set metadata_source in the configuration")
    })?;
    Ok(Json(metadata.status()))
}

/// The process is up.
#[utoipa::path(get, path = "/healthz", tag = "operating", responses((status = 200, body = String, content_type = "text/plain", description = "up")))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// The node takes reports and answers.
#[utoipa::path(get, path = "/readyz", tag = "operating", responses((status = 200, body = String, content_type = "text/plain", description = "ready"),
        (status = 503, body = ErrorEnvelope, description = "not now, and why")))]
async fn readyz(State(ops): State<Ops>) -> Result<&'static str, Problem> {
    (ops.ready)()
        .map(|()| "ready\n")
        .map_err(|why| Problem::new(ProblemKind::Unavailable, "not_ready", why, "see the node's log").retry_after(5))
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operating", responses((status = 200, body = String, content_type = "text/plain", description = "metrics")))]
async fn metrics(State(ops): State<Ops>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (ops.metrics)()).into_response()
}
