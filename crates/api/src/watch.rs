//! Watching over WebSocket and over server-sent events: the same messages on both.

use crate::asset::Asset;
use crate::reads::bounding_box;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use drover_access::{Caller, Seeing, Until, Watching};
use drover_answer::{Meta, Problem, ProblemKind, ReadProblems};
use drover_live::{Frame, Live, TooManyWatchers, Watcher, Wish};
use drover_model::{AssetRef, Kind, Sight};
use futures_util::stream::Stream;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest message that a watcher may send.
const MESSAGE_MAX_BYTES: usize = 256 * 1024;
/// A watcher that takes no bytes for so long is dead.
const SEND_PATIENCE: Duration = Duration::from_secs(30);
/// How often a silent watcher is pinged; after three pings without a sound it is gone.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Wishes that one watcher may send at once, and then a second.
const WISHES_AT_ONCE: f64 = 200.0;
const WISHES_PER_S: f64 = 20.0;
/// Most single assets in one wish.
const ASSETS_MAX: usize = 10_000;

/// What the watching routes need.
#[derive(Debug, Clone)]
pub struct WatchState {
    /// The live state.
    pub live: Live,
    /// Identity of this node's log: positions of another epoch mean nothing here.
    pub epoch: std::sync::Arc<str>,
}

/// The routes that watch.
pub fn routes(state: WatchState) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(watch)).with_state(state)
}

/// A wish in the address: lists are separated by commas.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct WishQuery {
    /// Kinds, separated by commas.
    kinds: Option<String>,
    /// Assets as `kind/id`, separated by commas.
    assets: Option<String>,
    /// `west,south,east,north`.
    viewport: Option<String>,
    /// Only what changed after this log position.
    since: Option<u64>,
}

/// What a WebSocket watcher sends.
#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Subscribe {
        #[serde(default)]
        kinds: Vec<String>,
        #[serde(default)]
        assets: Vec<String>,
        viewport: Option<[f64; 4]>,
        since: Option<u64>,
    },
}

impl Request {
    fn wish(self, sight: Sight) -> Result<Wish, Problem> {
        let Request::Subscribe { kinds, assets, viewport, since } = self;
        wish(kinds.iter().map(String::as_str), assets.iter().map(String::as_str), viewport, since, sight)
    }
}

impl WishQuery {
    fn wish(&self, sight: Sight) -> Result<Wish, Problem> {
        let list = |text: &Option<String>| -> Vec<String> {
            text.iter().flat_map(|t| t.split(',')).map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect()
        };
        let viewport = self.viewport.as_deref().map(corners).transpose()?;
        let (kinds, assets) = (list(&self.kinds), list(&self.assets));
        wish(kinds.iter().map(String::as_str), assets.iter().map(String::as_str), viewport, self.since, sight)
    }
}

fn corners(text: &str) -> Result<[f64; 4], Problem> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    let four = numbers.ok().and_then(|numbers| <[f64; 4]>::try_from(numbers).ok());
    four.ok_or_else(|| Problem::invalid("viewport", format!("viewport is {text:?}; west,south,east,north is expected")))
}

fn wish<'a>(
    kinds: impl Iterator<Item = &'a str>,
    assets: impl ExactSizeIterator<Item = &'a str>,
    viewport: Option<[f64; 4]>,
    since: Option<u64>,
    sight: Sight,
) -> Result<Wish, Problem> {
    if assets.len() > ASSETS_MAX {
        return Err(Problem::invalid(
            "assets",
            format!("{} assets are named; at most {ASSETS_MAX} are allowed", assets.len()),
        ));
    }
    let kind = |word: &str| Kind::parse(word).ok_or_else(|| Problem::from(drover_model::Reject::unknown_kind(word)));
    Ok(Wish {
        kinds: kinds.map(kind).collect::<Result<_, _>>()?,
        assets: assets.map(AssetRef::parse).collect::<Result<_, _>>()?,
        viewport: viewport.map(|corners| bounding_box("viewport", corners)).transpose()?,
        since,
        sight,
    })
}

/// Watch assets move: first the present state in pages, then changes. WebSocket, or server-sent
/// events for a plain GET.
///
/// Messages: `{"type":"hello",…}`, `{"type":"snapshot","page":1,"last":false,"resumed":false,"total":…,"position":…,"assets":[…]}`,
/// `{"type":"changes","position":…,"assets":[…]}`, `{"type":"error","error":{…}}`. A WebSocket watcher may send
/// `{"action":"subscribe","kinds":[…],"assets":["driver/1"],"viewport":[w,s,e,n],"since":…}` at any time; the new wish replaces the old one.
/// A wish that names drivers or riders is noted in the audit.
#[utoipa::path(
    get, path = "/api/v1/live", tag = "watching", params(WishQuery),
    responses((status = 200, body = Asset, content_type = "text/event-stream", description = "events whose data are the messages; `assets` holds objects of this form"),
              (status = 101, description = "a WebSocket"), ReadProblems)
)]
async fn watch(
    State(state): State<WatchState>,
    caller: Caller,
    Seeing(sight): Seeing,
    until: Until,
    mut watching: Watching,
    query: Result<Query<WishQuery>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query?;
    let wish = query.wish(sight.clone())?;
    let named = named_in(&wish);
    let owner = (!caller.reaches_whole_node()).then_some(caller.subject.as_str());
    let watcher = state.live.watch_as(owner, wish).map_err(|error| too_many(&error))?;
    watching.change(named.iter(), |asset| sight.sees(asset.kind, &asset.id));
    match upgrade {
        Ok(upgrade) => {
            let upgrade = upgrade
                .read_buffer_size(1024)
                .write_buffer_size(0)
                .max_message_size(MESSAGE_MAX_BYTES)
                .max_frame_size(MESSAGE_MAX_BYTES);
            Ok(upgrade.on_upgrade(move |socket| serve(state, Watch { watcher, sight, watching }, until, socket)))
        }
        Err(_) => {
            let events = events(state, watcher, watching, until);
            Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
        }
    }
}

fn too_many(error: &TooManyWatchers) -> Problem {
    let (kind, help) = match error {
        TooManyWatchers::InAll(_) => (ProblemKind::Unavailable, "try again later, or raise max_watchers"),
        TooManyWatchers::OfOwner(_) => (ProblemKind::TooMany, "close one of them, or raise max_watchers_per_caller"),
    };
    Problem::new(kind, "too_many_watchers", error.to_string(), help).retry_after(10)
}

#[derive(Serialize)]
struct Hello<'a> {
    r#type: &'static str,
    server_time: String,
    epoch: &'a str,
    freshness: FreshnessLimits,
}

/// Ages up to which an asset is live or stale.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct FreshnessLimits {
    /// Live up to this age, seconds.
    pub live_s: i64,
    /// Stale up to this age, seconds; offline beyond.
    pub offline_s: i64,
}

impl FreshnessLimits {
    /// The limits of a live state.
    pub fn of(live: &Live) -> FreshnessLimits {
        let settings = live.settings();
        FreshnessLimits { live_s: settings.live_ms / 1000, offline_s: settings.offline_ms / 1000 }
    }
}

fn hello(state: &WatchState) -> String {
    let Meta { timestamp, .. } = Meta::now();
    let hello = Hello {
        r#type: "hello",
        server_time: timestamp,
        epoch: &state.epoch,
        freshness: FreshnessLimits::of(&state.live),
    };
    serde_json::to_string(&hello).expect("plain data")
}

/// One message; the items are copied in as they were encoded for everybody.
fn message(frame: &Frame) -> Vec<u8> {
    let (head, assets) = match frame {
        Frame::Snapshot { page, last, total, resumed, position, assets } => {
            let head = format!(
                r#"{{"type":"snapshot","page":{page},"last":{last},"resumed":{resumed},"total":{total},"position":{position},"assets":["#
            );
            (head, assets)
        }
        Frame::Changes { position, assets } => {
            (format!(r#"{{"type":"changes","position":{position},"assets":["#), assets)
        }
    };
    let mut out = Vec::with_capacity(head.len() + 2 + assets.iter().map(|asset| asset.len() + 1).sum::<usize>());
    out.extend_from_slice(head.as_bytes());
    for (i, asset) in assets.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(asset);
    }
    out.extend_from_slice(b"]}");
    out
}

fn text(frame: &Frame) -> Utf8Bytes {
    Utf8Bytes::try_from(Bytes::from(message(frame))).expect("JSON made of UTF-8 parts is UTF-8")
}

fn error_text(problem: &Problem) -> Utf8Bytes {
    serde_json::json!({"type": "error", "error": {"code": problem.code, "message": problem.message, "help": problem.help}}).to_string().into()
}

/// One WebSocket's watch.
struct Watch {
    watcher: Watcher,
    sight: Sight,
    watching: Watching,
}

impl Watch {
    /// Puts another wish in place of the one before.
    fn change(&mut self, text: &str, pace: &mut Pace) -> Result<(), Problem> {
        if !pace.take() {
            return Err(too_fast());
        }
        let request = serde_json::from_str::<Request>(text).map_err(|error| bad_request(&error))?;
        let wish = request.wish(self.sight.clone())?;
        self.watching.change(named_in(&wish).iter(), |asset| self.sight.sees(asset.kind, &asset.id));
        self.watcher.change_wish(wish);
        Ok(())
    }
}

/// The assets that a wish names and that its kinds let through.
fn named_in(wish: &Wish) -> Vec<AssetRef> {
    let passes = |asset: &&AssetRef| wish.kinds.is_empty() || wish.kinds.contains(&asset.kind);
    wish.assets.iter().filter(passes).cloned().collect()
}

/// How many more wishes a watcher may send.
struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    fn new() -> Pace {
        Pace { left: WISHES_AT_ONCE, at: Instant::now() }
    }

    fn take(&mut self) -> bool {
        let now = Instant::now();
        self.left = (self.left + (now - self.at).as_secs_f64() * WISHES_PER_S).min(WISHES_AT_ONCE);
        self.at = now;
        let may = self.left >= 1.0;
        self.left -= f64::from(u8::from(may));
        may
    }
}

async fn serve(state: WatchState, watch: Watch, until: Until, mut socket: WebSocket) {
    if let Err(error) = stream(&state, watch, until, &mut socket).await {
        tracing::debug!(%error, "a watcher's WebSocket ended");
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), axum::Error> {
    timeout(SEND_PATIENCE, socket.send(message)).await.map_err(axum::Error::new)?
}

/// Sends frames until the watcher leaves. Between frames of changes it pauses, so that what changes
/// meanwhile travels together.
async fn stream(state: &WatchState, mut watch: Watch, until: Until, socket: &mut WebSocket) -> Result<(), axum::Error> {
    let mut ended = until.ended();
    send(socket, Message::Text(hello(state).into())).await?;
    let mut pace = Pace::new();
    let mut not_before = Instant::now();
    let mut pings_unanswered = 0;
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.reset();
    loop {
        tokio::select! {
            biased;
            () = &mut ended => return no_more(socket).await,
            received = socket.recv() => {
                pings_unanswered = 0;
                match received.transpose()? {
                    Some(Message::Text(text)) => {
                        if let Err(problem) = watch.change(&text, &mut pace) {
                            send(socket, Message::Text(error_text(&problem))).await?;
                        }
                    }
                    Some(Message::Binary(_)) => send(socket, Message::Text(error_text(&not_text()))).await?,
                    Some(Message::Ping(_) | Message::Pong(_)) => {}
                    Some(Message::Close(_)) | None => return Ok(()),
                }
            }
            frame = async { sleep_until(not_before).await; watch.watcher.next().await } => {
                let Some(frame) = frame else { return goodbye(socket).await };
                if matches!(frame, Frame::Changes { .. }) {
                    not_before = Instant::now() + watch.watcher.pause();
                }
                send(socket, Message::Text(text(&frame))).await?;
            }
            _ = heartbeat.tick() => {
                pings_unanswered += 1;
                if pings_unanswered > 3 {
                    return Ok(());
                }
                send(socket, Message::Ping(Bytes::new())).await?;
            }
        }
    }
}

/// Says that the watcher's access has ended: logged out, revoked, or changed.
async fn no_more(socket: &mut WebSocket) -> Result<(), axum::Error> {
    let close = CloseFrame { code: close_code::POLICY, reason: "access has ended; log in again".into() };
    send(socket, Message::Close(Some(close))).await
}

/// Says that the node goes away, so that the watcher comes back later.
async fn goodbye(socket: &mut WebSocket) -> Result<(), axum::Error> {
    let close = CloseFrame { code: close_code::AWAY, reason: "the node stops".into() };
    send(socket, Message::Close(Some(close))).await
}

fn bad_request(error: &serde_json::Error) -> Problem {
    Problem::new(
        ProblemKind::Malformed,
        "malformed",
        format!("not a request: {error}"),
        r#"send {"action":"subscribe"}, with kinds, assets, viewport or since where wanted"#,
    )
}

fn too_fast() -> Problem {
    let message = format!("more than {WISHES_PER_S} wishes a second; this one was not read");
    Problem::new(ProblemKind::TooMany, "rate_limited", message, "send fewer wishes").retry_after(1)
}

fn not_text() -> Problem {
    Problem::new(
        ProblemKind::Malformed,
        "malformed",
        "requests are text frames",
        r#"send {"action":"subscribe"} as text"#,
    )
}

fn events(
    state: WatchState,
    watcher: Watcher,
    watching: Watching,
    until: Until,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let first = Event::default().data(hello(&state));
    let whole = (Some(first), watcher, until.ended(), watching);
    futures_util::stream::unfold(whole, |(first, mut watcher, mut ended, watching)| async move {
        if let Some(event) = first {
            return Some((Ok(event), (None, watcher, ended, watching)));
        }
        let frame = tokio::select! {
            biased;
            () = &mut ended => return None,
            frame = watcher.next() => frame?,
        };
        if matches!(frame, Frame::Changes { .. }) {
            tokio::time::sleep(watcher.pause()).await;
        }
        Some((Ok(Event::default().data(text(&frame).as_str())), (None, watcher, ended, watching)))
    })
}
