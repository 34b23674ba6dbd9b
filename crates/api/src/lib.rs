//! Reading and watching over HTTP, the documentation of all routes, and the web page. Each handler
//! asks one engine one question and shapes the answer; it never touches the disk.

mod asset;
mod history;
pub mod mqtt;
mod ops;
mod reads;
mod watch;
mod web;

pub use asset::{Asset, Extra, write_asset};
pub use history::{PastState, SqlState};
pub use ops::{DemoPlace, NodeFacts, Ops};
pub use watch::FreshnessLimits;

use axum::Router;
use axum::middleware::map_response;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::Server;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

#[derive(OpenApi)]
#[openapi(info(
    title = "Drover",
    description = "Real-time location platform: where everything is now, and what just changed. \
        Every error has the same envelope: what is wrong, where, and what to do.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

/// What the routes that look back need.
#[derive(Clone)]
pub struct Past {
    /// Routes, moments, coverage.
    pub reads: PastState,
    /// SQL.
    pub sql: SqlState,
}

/// All routes of a node: those given (the doors that take reports) and those that read, watch and
/// operate, with their documentation (which `finish` has the last word on) at `/docs` and `/api/v1/openapi.json` and the page at `/`.
pub fn router(
    doors: OpenApiRouter,
    broker: drover_mqtt::Broker,
    past: Past,
    ops: Ops,
    finish: impl FnOnce(&mut utoipa::openapi::OpenApi),
) -> Router {
    let watch_state = watch::WatchState { live: ops.live.clone(), epoch: ops.node.epoch.clone() };
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(doors)
        .merge(mqtt::routes(broker))
        .merge(reads::routes(ops.live.clone(), past.reads.clone()))
        .merge(history::routes(past.reads, past.sql))
        .merge(watch::routes(watch_state))
        .merge(ops::routes(ops))
        .split_for_parts();
    document.info.version = env!("CARGO_PKG_VERSION").into();
    document.servers = Some(vec![Server::new("/")]);
    finish(&mut document);
    let docs = Router::new().merge(SwaggerUi::new("/docs").url("/api/v1/openapi.json", document));
    router
        .merge(docs.layer(map_response(web::guard_page)))
        .route("/favicon.ico", get(web::fallback))
        .fallback(web::fallback)
        .method_not_allowed_fallback(web::method_not_allowed)
}
