//! The fleet document's events over a plain WebSocket: `{"event":…,"data":…}` both ways.

use crate::hub::{End, News};
use crate::outlet::{self, Gone, Outlet};
use crate::session::{Out, Session};
use crate::{Tracking, problems, wire};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use drover_access::{Caller, Watching};
use drover_answer::{Problem, ReadProblems};
use serde::Deserialize;
use serde_json::Value;

/// What a client sends.
#[derive(Debug, Deserialize)]
struct Said {
    event: String,
    #[serde(default)]
    data: Value,
}

/// Follow vehicles, drivers, stations and deliveries by events, over a WebSocket. The same events go over Socket.IO at
/// `/socket.io/`.
///
/// Frames are `{"event":…,"data":…}`. The server begins with `authenticated` `{user, role}`, and says it again to `connect`.
/// Send `subscribe:vehicle:{id}` (also `driver`, `station`, `rider`, `other`, `delivery`, and `order` with the order's number)
/// and get `subscribed`, then `vehicle:location:updated`
/// `{vehicle_id, latitude, longitude, speed, heading, timestamp, status}` now and with each new place or status;
/// `unsubscribe:…` ends it. A delivery's followers get `delivery:status:updated` `{delivery_id, status, updated_at}`, and
/// `driver:location:updated` while it is out; when it is over, `unsubscribed` with the name that they gave it last. Send
/// `delivery:status:update` `{delivery_id, status, latitude?, longitude?}` to move a delivery on. What is wrong is said as
/// `error` `{code, message, event}`, with the `channel` or the `delivery_id` that the event named. By Socket.IO, the callback of
/// an `emit` gets the answer, too, as `{event, data}`.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "following",
    responses((status = 101, description = "a WebSocket"), ReadProblems)
)]
pub(crate) async fn events(
    State(tracking): State<Tracking>,
    caller: Caller,
    watching: Watching,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let no_upgrade = |_| problems::malformed("events need a WebSocket", "connect by WebSocket, or by Socket.IO");
    let upgrade = wire::small(upgrade.map_err(no_upgrade)?);
    let session = Session::open(&tracking, caller, watching)?;
    Ok(upgrade.on_upgrade(move |socket| serve(session, socket)))
}

/// A WebSocket waits by itself until an event is taken.
struct Frames<'a>(&'a mut WebSocket);

impl Outlet for Frames<'_> {
    async fn offer(&mut self, out: &Out) -> Result<bool, Gone> {
        wire::send_json(self.0, &out.frame()).await.map_err(|_| Gone)?;
        Ok(true)
    }
}

async fn serve(mut session: Session, mut socket: WebSocket) {
    if let Ok(Some((code, reason))) = run(&mut session, &mut socket).await {
        wire::close(socket, code, reason).await;
    }
}

/// Serves until the client leaves, or gives how to close.
async fn run(session: &mut Session, socket: &mut WebSocket) -> Result<Option<(u16, &'static str)>, Gone> {
    outlet::send(&mut Frames(socket), &session.greeting()).await?;
    let mut heartbeat = wire::heartbeat();
    let mut pings_unanswered = 0;
    loop {
        tokio::select! {
            biased;
            received = socket.recv() => {
                pings_unanswered = 0;
                match received {
                    Some(Ok(Message::Text(text))) => {
                        let out = hear(session, &text).await;
                        outlet::send(&mut Frames(socket), &out).await?;
                    }
                    Some(Ok(Message::Binary(_))) => {
                        let out = hear(session, "").await;
                        outlet::send(&mut Frames(socket), &out).await?;
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
                }
            }
            news = session.listener.news() => match news {
                News::Changed(changed) => outlet::tell(session, &mut Frames(socket), changed, &mut None).await?,
                News::End(End::LoginOver) => {
                    outlet::send(&mut Frames(socket), &Out::unauthenticated()).await?;
                    return Ok(Some((close_code::POLICY, "the login is over")));
                }
                News::End(End::NodeStops) => return Ok(Some((close_code::AWAY, "the node stops"))),
                News::End(End::Left) => return Ok(None),
            },
            _ = heartbeat.tick() => {
                pings_unanswered += 1;
                if pings_unanswered > 3 {
                    return Ok(None);
                }
                wire::ping(socket).await.map_err(|_| Gone)?;
            }
        }
    }
}

async fn hear(session: &mut Session, text: &str) -> Out {
    match serde_json::from_str::<Said>(text) {
        Ok(said) => session.handle(&said.event, said.data).await,
        // Counts as a message, and is answered as one that means nothing.
        Err(_) => session.handle("", Value::Null).await,
    }
}
