//! One order's driver: the answer to a plain GET, and the door to the WebSocket of the same path.

use crate::delivery::Delivery;
use crate::place::{DriverLocation, NO_STORE};
use crate::{Tracking, order_socket, problems};
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use drover_access::{Caller, Shown, Watching};
use drover_answer::{ErrorEnvelope, Problem, ProblemKind, ReadProblems};
use drover_model::{AssetRef, Kind};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrderQuery {
    /// `1`: a WebSocket is subscribed from the start, without a message.
    subscribe: Option<String>,
}

/// Where the driver of an order is, while it is out for delivery. A customer gets places that the driver reports after it
/// went out, and none from before.
///
/// As a WebSocket: send `{"action":"subscribe","order_id":…}`, or connect with `?subscribe=1`. You get
/// `{"type":"status","status":…}` whenever the delivery's status changes, `{"driver_id","latitude","longitude","timestamp","speed","heading"}`
/// whenever the driver moves while the order is out for delivery, and `{"type":"ended","status":…}` before the server
/// closes because the delivery is over. An `order_id` other than that of the path is an error, and closes with 1008.
#[utoipa::path(
    get, path = "/api/v1/orders/{order_id}/driver-location", tag = "following",
    params(("order_id" = String, Path, description = "the order's number, or the delivery's id", example = "order-1001"), OrderQuery),
    responses((status = 200, body = DriverLocation, description = "where the driver is"),
              (status = 101, description = "a WebSocket"),
              (status = 409, body = ErrorEnvelope, description = "orders of several fleets within reach have this number"), ReadProblems)
)]
pub(crate) async fn driver_location(
    State(tracking): State<Tracking>,
    caller: Caller,
    watching: Watching,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<OrderQuery>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let (Path(order_id), Query(query)) = (path?, query?);
    match upgrade {
        // What is not there yet is not kept by caches either: a moment later it may be.
        Err(_) => Ok((NO_STORE, location(&tracking, &caller, &order_id).await).into_response()),
        Ok(upgrade) => {
            let delivery = tracking.delivery_for(&caller, &order_id).await?;
            let listener = tracking.0.hub.join(Some(caller.clone())).map_err(problems::full)?;
            let subscribed = query.subscribe.is_some_and(|word| word == "1" || word == "true");
            let follower = order_socket::Follower::new(tracking, caller, order_id, delivery, listener, watching);
            Ok(crate::wire::small(upgrade).on_upgrade(move |socket| follower.serve(socket, subscribed)))
        }
    }
}

async fn location(tracking: &Tracking, caller: &Caller, order_id: &str) -> Result<Response, Problem> {
    let delivery = tracking.delivery_for(caller, order_id).await?;
    let found = tracking.driver_place_for(caller, &delivery);
    let (driver, place) = found.ok_or_else(|| not_there(order_id, &delivery))?;
    let mut response = Json(DriverLocation::new(&driver, &place, delivery.status)).into_response();
    response.extensions_mut().insert(shown(&delivery, &driver));
    Ok(response)
}

/// For the audit: whose place the answer tells.
pub(crate) fn shown(delivery: &Delivery, driver: &str) -> Shown {
    let person = AssetRef { kind: Kind::Driver, id: driver.into() };
    Shown { persons: vec![person], asked: json!({"delivery_id": &*delivery.id}) }
}

/// Only for those who may know that the order exists.
fn not_there(order_id: &str, delivery: &Delivery) -> Problem {
    if delivery.is_out() {
        let message =
            format!("order {order_id} is {}, but its driver has no position that you may see", delivery.status);
        return Problem::new(
            ProblemKind::NotFound,
            "no_location",
            message,
            "ask again in a moment, or ask the driver's fleet",
        );
    }
    let message =
        format!("order {order_id} is {}; its driver can be followed while it is out for delivery", delivery.status);
    Problem::new(ProblemKind::NotFound, "not_out_for_delivery", message, "ask again when it is out for delivery")
}
