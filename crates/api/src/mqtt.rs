//! What MQTT subscribers get from the node: the live state as topics `live/{kind}/{id}`, and commands to
//! devices as `commands/{kind}/{id}`.
//!
//! A new subscription gets the present state first, as retained messages, page by page as it reads; then
//! changes. Nothing is stored for that: the live state itself is what is retained. Changes are sent once
//! (QoS 0): whoever comes back subscribes again and gets the state as it is by then.

use crate::asset::{Extra, name_in, write_asset};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use drover_access::Seeing;
use drover_answer::{Problem, ProblemKind, SendProblems, kind_in_path};
use drover_live::{Frame, Live, Seen, Wish};
use drover_model::{Kind, Sight, check_id};
use drover_mqtt::{Broker, Message, QoS, matches};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// First level of the topics that only the node itself publishes.
pub const LIVE: &str = "live";
/// Assets looked at for one page of a subscription.
const PAGE_ASSETS: u32 = 1_000;
/// How often it is looked whether anybody listens, while nobody does.
const NOBODY: Duration = Duration::from_millis(20);
/// Largest command.
const COMMAND_MAX_BYTES: usize = 64 * 1024;

/// One page of the live state for a subscription to `filter`; the cursor begins with 0.
pub fn live_page(live: &Live, sight: &Sight, filter: &str, cursor: u64, sink: &mut dyn FnMut(Message)) -> Option<u64> {
    if let Some((kind, id)) = exact(filter) {
        if sight.sees(kind, id) {
            live.get(kind, id, |seen| sink(message(seen)));
        }
        return None;
    }
    if !filter.starts_with(['+', '#']) && filter.split('/').next() != Some(LIVE) {
        return None;
    }
    let next = live.page(cursor as u32, PAGE_ASSETS, |seen| {
        let (kind, id) = (seen.report.kind, &seen.report.id);
        if sight.sees(kind, id) && matches(filter, &topic(kind.name(), id)) {
            sink(message(seen));
        }
    });
    next.map(u64::from)
}

/// A filter that names one asset.
fn exact(filter: &str) -> Option<(Kind, &str)> {
    let (kind, id) = filter.strip_prefix("live/")?.split_once('/')?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
    (!id.contains(['+', '#', '/'])).then_some((kind, id))
}

fn topic(kind: &str, id: &str) -> String {
    format!("{LIVE}/{kind}/{id}")
}

fn message(seen: &Seen<'_>) -> Message {
    let mut body = Vec::with_capacity(320);
    write_asset(seen, Extra::default(), &mut body);
    Message::new(topic(seen.report.kind.name(), &seen.report.id), body, QoS::AtLeastOnce).retained()
}

/// Publishes every change of the live state while anybody subscribes, until the node stops.
pub async fn publish_changes(live: Live, broker: Broker) {
    // Everything up to here was told, or nobody wanted it. Always taken before the look that says so: a
    // subscription that comes in between misses nothing.
    let mut told = live.applied();
    loop {
        let now = live.applied();
        if !broker.reaches(LIVE) {
            told = now;
            tokio::time::sleep(NOBODY).await;
            continue;
        }
        let Ok(mut watcher) = live.watch(Wish { since: Some(told), ..Wish::default() }) else {
            tokio::time::sleep(NOBODY).await;
            continue;
        };
        while broker.reaches(LIVE) {
            let Some(frame) = watcher.next().await else { return };
            let (Frame::Snapshot { assets, position, .. } | Frame::Changes { assets, position }) = frame;
            for asset in assets {
                publish_change(&broker, asset);
            }
            told = position;
            tokio::time::sleep(watcher.pause()).await;
        }
    }
}

fn publish_change(broker: &Broker, asset: Bytes) {
    let topic = name_in(&asset).map(|(kind, id)| topic(kind, id)).expect("an asset begins with its name");
    // QoS 0 is never stored: there is nothing to wait for.
    let _told = broker.publish(Message::new(topic, asset, QoS::AtMostOnce));
}

/// The routes that send to devices.
pub fn routes(broker: Broker) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(command)).with_state(broker)
}

/// A command on its way.
#[derive(Debug, Serialize, ToSchema)]
struct CommandReceipt {
    /// The MQTT topic that it was published on.
    topic: String,
    /// Sessions that get it: devices that are connected, and those whose session waits for them. 0:
    /// nobody has subscribed, and the command is lost.
    subscribers: usize,
}

/// Send a command to a device: any JSON, published with QoS 1 on `commands/{kind}/{id}`. A device with a
/// persistent session gets it when it comes back.
#[utoipa::path(
    post, path = "/api/v1/{kinds}/{id}/commands", tag = "sending", request_body = serde_json::Value,
    params(("kinds" = String, Path, description = "drivers, vehicles, stations, riders or others"),
           ("id" = String, Path, description = "the asset's id")),
    responses((status = 202, body = CommandReceipt, description = "published"), SendProblems)
)]
async fn command(
    State(broker): State<Broker>,
    Seeing(sight): Seeing,
    path: Result<Path<(String, String)>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path((kinds, id)) = path?;
    let kind = kind_in_path(&kinds)?;
    check_id(&id)?;
    if !sight.sees(kind, &id) {
        let help = "check the id; a command goes to an asset of the fleets within reach";
        return Err(Problem::new(ProblemKind::NotFound, "not_found", format!("there is no {kind}/{id}"), help));
    }
    let too_large = || {
        let message = format!("a command has at most {COMMAND_MAX_BYTES} bytes");
        Problem::new(ProblemKind::TooLarge, "too_large", message, "send a link to what does not fit")
    };
    let body = body.map_err(|_| too_large())?;
    if body.len() > COMMAND_MAX_BYTES {
        return Err(too_large());
    }
    // As deep as JSON is read here at all: a device gets what it can read, too.
    serde_json::from_slice::<Value>(&body).map_err(|error| {
        Problem::new(ProblemKind::Malformed, "malformed", format!("not valid JSON: {error}"), "send any JSON value")
    })?;
    let topic = format!("commands/{}/{id}", kind.name());
    let (subscribers, written) = broker.publish(Message::new(topic.clone(), body, QoS::AtLeastOnce));
    if !written.await {
        let help = "check the node's disk and send the command again; a device may get it twice";
        let message = "the command could not be written down for a device that is away";
        return Err(Problem::new(ProblemKind::Unavailable, "storage_failed", message, help).retry_after(5));
    }
    Ok((StatusCode::ACCEPTED, Json(CommandReceipt { topic, subscribers })).into_response())
}
