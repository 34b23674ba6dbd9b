//! A node as far as following needs one: a guard that knows some tokens, the routes, the Socket.IO layer, a live state
//! and a registry; and clients.

use axum::Router;
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use drover_access::{Caller, ClientOrigin, Directory, Look, Noter, Principal, Reach, Role, Shown};
use drover_answer::{Problem, ProblemKind};
use drover_database::Database;
use drover_live::{Live, Running, Seen, Settings};
use drover_log::{Log, MemoryEngine};
use drover_model::{Draft, Kind, RecordMut, Rules};
use drover_registry::{Record, Registry, Transition, resource};
use drover_tracking::{Tracking, routes, socket_io};
use drover_vault::Vault;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Long enough for a machine with much to do; nothing here should take long.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// A position or an event that must not come is waited for so long.
pub const NEVER: Duration = Duration::from_millis(400);

/// Tokens and whom they belong to.
type Tokens = Arc<Mutex<HashMap<String, Caller>>>;
/// What the audit would have been told.
type Told = Arc<Mutex<Vec<Look>>>;
/// What answers said that they show.
type Showed = Arc<Mutex<Vec<Shown>>>;

/// What the guard needs.
#[derive(Clone)]
struct Door {
    tokens: Tokens,
    directory: Directory,
    told: Told,
    showed: Showed,
}

/// A node.
pub struct Node {
    pub address: SocketAddr,
    pub registry: Registry,
    pub tracking: Tracking,
    pub live: Live,
    log: Log,
    told: Told,
    pub showed: Showed,
    tokens: Tokens,
    clock: Mutex<i64>,
    _follower: Running,
    _folder: tempfile::TempDir,
}

fn encode(seen: &Seen<'_>, out: &mut Vec<u8>) {
    let (kind, id) = (seen.report.kind.name(), &seen.report.id);
    out.extend_from_slice(format!(r#"{{"kind":"{kind}","id":"{id}"}}"#).as_bytes());
}

/// Somebody with a role.
pub fn caller(role: Role, reach: Reach) -> Principal {
    let subject = format!("user/{}", role.name());
    let name = format!("{}@example.com", role.name());
    Principal { subject, name, role, may: role.permissions(), reach, asset: None, customer_id: None, session: None }
}

fn people() -> HashMap<String, Caller> {
    let customer = |id: &str| Principal { customer_id: Some(id.into()), ..caller(Role::Customer, Reach::Own) };
    let driver = |id: &str| Principal { asset: Some((Kind::Driver, id.into())), ..caller(Role::Driver, Reach::Own) };
    let fleet = |fleet: &str| Reach::Fleets([fleet.into()].into());
    let people = [
        ("carol", customer("c-1")),
        ("otto", customer("c-2")),
        ("driver-1", driver("d-1")),
        ("driver-2", driver("d-2")),
        ("north", caller(Role::Dispatcher, fleet("north"))),
        ("south", caller(Role::Dispatcher, fleet("south"))),
        ("admin", caller(Role::SystemAdmin, Reach::All)),
    ];
    people.into_iter().map(|(token, principal)| (token.to_owned(), Caller::new(principal))).collect()
}

/// What the real guard does, as far as it matters here: a good token's caller goes into the extensions; without one only
/// the public page and Socket.IO are reached.
async fn guard(door: Door, mut request: Request, next: Next) -> Response {
    let Door { tokens, directory, told, showed } = door;
    let address = Some([192, 0, 2, 7].into());
    request.extensions_mut().insert(ClientOrigin { address, is_secured: false });
    request.extensions_mut().insert(directory);
    request.extensions_mut().insert(Noter::new(move |look| told.lock().unwrap().push(look)));
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let caller = token.and_then(|token| tokens.lock().unwrap().get(token).cloned());
    let public = ["/api/v1/track/", "/socket.io/"].iter().any(|open| request.uri().path().starts_with(open));
    match caller {
        Some(caller) => drop(request.extensions_mut().insert(caller)),
        None if public => {}
        None => {
            return Problem::new(ProblemKind::Unauthorized, "unauthenticated", "who is it?", "log in").into_response();
        }
    }
    let mut response = next.run(request).await;
    showed.lock().unwrap().extend(response.extensions_mut().remove::<Shown>());
    response
}

impl Node {
    /// Starts with two drivers, two vehicles and two customers in two fleets, and one order of `c-1` that `d-1` brings.
    pub async fn start() -> Node {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(MemoryEngine::new(1 << 30), drover_log::Settings::default());
        let (live, follower) = Live::follow(&log, folder.path(), Settings::default(), Box::new(encode)).unwrap();
        let directory = Directory::default();
        let address = format!("sqlite://{}", folder.path().join("registry.db").display());
        let database = Database::open(&address).await.unwrap();
        let vault = Vault::open(&folder.path().join("vault")).unwrap();
        let registry = Registry::open(database, vault, directory.clone()).await.unwrap();
        let tokens: Tokens = Arc::new(Mutex::new(people()));
        let tracking = {
            let known = tokens.clone();
            let ended = tokens.clone();
            Tracking::new(
                registry.clone(),
                live.clone(),
                directory.clone(),
                Arc::new(move |token| known.lock().unwrap().get(token).cloned()),
                Arc::new(move |caller| !ended.lock().unwrap().values().any(|known| known == caller)),
            )
        };
        let (told, showed) = (Told::default(), Showed::default());
        let door = Door { tokens: tokens.clone(), directory, told: told.clone(), showed: showed.clone() };
        let address = serve(&tracking, door).await;
        let clock = Mutex::new(0);
        let node = Node {
            address,
            registry,
            tracking,
            live,
            log,
            told,
            showed,
            tokens,
            clock,
            _follower: follower,
            _folder: folder,
        };
        node.fill().await;
        node
    }

    async fn fill(&self) {
        for fleet in ["north", "south"] {
            self.make("fleets", json!({"id": fleet, "name": fleet})).await;
        }
        for (number, fleet) in [("1", "north"), ("2", "south")] {
            let name = ["Ada Lovelace", "Bob Marley"][usize::from(number == "2")];
            self.make("drivers", json!({"id": format!("d-{number}"), "name": name, "fleet_id": fleet})).await;
            let plate = format!("PLATE-{number}");
            let id = format!("v-{number}");
            self.make("vehicles", json!({"id": id, "registration_number": plate, "fleet_id": fleet})).await;
            self.make("customers", json!({"id": format!("c-{number}"), "name": "Grace Hopper", "fleet_id": fleet}))
                .await;
        }
        self.order("order-1", "c-1", "d-1", "north").await;
    }

    /// Makes a record.
    pub async fn make(&self, name: &str, body: Value) -> Record {
        let Value::Object(body) = body else { panic!("an object") };
        self.registry.create(&Caller::dev(), resource(name).unwrap(), body).await.unwrap()
    }

    /// Makes a delivery `del-<order>`.
    pub async fn order(&self, order: &str, customer: &str, driver: &str, fleet: &str) -> Record {
        let body = json!({"id": format!("del-{order}"), "order_id": order, "customer_id": customer, "driver_id": driver, "fleet_id": fleet});
        self.make("deliveries", body).await
    }

    /// Moves the delivery of an order on, step by step.
    pub async fn advance(&self, order: &str, steps: &[&str]) {
        for step in steps {
            let transition = Transition { to: (*step).to_owned(), ..Transition::default() };
            self.registry.transition(&Caller::dev(), &format!("del-{order}"), &transition, None).await.unwrap();
        }
    }

    /// The delivery goes out.
    pub async fn send_out(&self, order: &str) {
        self.advance(order, &["assigned", "picked_up", "out_for_delivery"]).await;
    }

    /// An asset reports a place; each report is newer than the one before. Returns when it can be read.
    pub async fn report(&self, kind: Kind, id: &str, latitude: f64, longitude: f64) {
        self.report_order(kind, id, latitude, longitude, None).await;
    }

    /// As [`Node::report`], naming an order.
    pub async fn report_order(&self, kind: Kind, id: &str, latitude: f64, longitude: f64, order: Option<&str>) {
        self.said(Draft {
            kind: Some(kind),
            id: Some(id.to_owned().into()),
            event_time: Some(self.now()),
            latitude: Some(latitude),
            longitude: Some(longitude),
            speed_kmh: Some(36.5),
            heading_deg: Some(90.0),
            order_id: order.map(|order| order.to_owned().into()),
            ..Draft::default()
        })
        .await;
    }

    /// An asset says how it is, and not where.
    pub async fn sign_of_life(&self, kind: Kind, id: &str, status: &str) {
        self.said(Draft {
            kind: Some(kind),
            id: Some(id.to_owned().into()),
            event_time: Some(self.now()),
            status: Some(status.to_owned().into()),
            ..Draft::default()
        })
        .await;
    }

    /// The present, and a moment later each time.
    fn now(&self) -> i64 {
        let mut last = self.clock.lock().unwrap();
        *last = (*last + 1).max(drover_answer::now_ms());
        *last
    }

    async fn said(&self, draft: Draft<'_>) {
        let report = draft.check(&Rules::default(), drover_answer::now_ms()).unwrap();
        let mut record = Vec::new();
        report.encode(&mut record);
        let position = self.log.append(RecordMut::new(&mut record).bytes()).unwrap();
        assert!(self.live.wait_applied(position, PATIENCE).await, "live did not reach {position}");
    }

    /// What the audit was told next: who did what to whom, once there is something.
    pub async fn noted(&self) -> Look {
        until("a note for the audit", async || !self.told.lock().unwrap().is_empty()).await;
        self.told.lock().unwrap().remove(0)
    }

    /// Whether the audit was told anything that was not looked at.
    pub fn is_unnoted(&self) -> bool {
        self.told.lock().unwrap().is_empty()
    }

    /// Ends a login.
    pub fn log_out(&self, token: &str) {
        self.tokens.lock().unwrap().remove(token);
    }

    /// A GET: the status and the body.
    pub async fn get(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        let mut stream = self.request(path, token).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {answer}")))
    }

    /// A GET whose answer nobody may keep; the status and the body.
    pub async fn get_unkept(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        let mut answer = String::new();
        self.request(path, token).await.read_to_string(&mut answer).await.unwrap();
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_ascii_lowercase().lines().any(|line| line == "cache-control: no-store"), "{head}");
        self.get(path, token).await
    }

    /// A request with a body; the answer's body.
    pub async fn post(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        body_of(stream).await
    }

    /// A GET without credentials; the answer's body.
    pub async fn text(&self, path: &str) -> String {
        body_of(self.request(path, None).await).await
    }

    /// A GET whose answer is still to be read.
    pub async fn request(&self, path: &str, token: Option<&str>) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let credentials = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{credentials}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// A WebSocket, or the status with which it was refused.
    pub async fn socket(&self, path: &str, token: Option<&str>) -> Result<Socket, u16> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

async fn serve(tracking: &Tracking, door: Door) -> SocketAddr {
    let (router, _) = routes(tracking.clone()).split_for_parts();
    let router: Router = router
        .layer(socket_io(tracking.clone()))
        .layer(axum::middleware::from_fn(move |request, next| guard(door.clone(), request, next)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

async fn body_of(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{answer}");
    body.to_owned()
}

/// A WebSocket client.
pub struct Socket(pub WebSocketStream<TcpStream>);

/// What a WebSocket client gets.
#[derive(Debug, PartialEq)]
pub enum Got {
    Message(Value),
    Closed(u16),
}

impl Socket {
    pub async fn send(&mut self, value: Value) {
        self.0.send(Message::text(value.to_string())).await.unwrap();
    }

    /// The next message, or how it was closed.
    pub async fn next(&mut self) -> Got {
        tokio::time::timeout(PATIENCE, self.next_ever()).await.expect("a message in time")
    }

    async fn next_ever(&mut self) -> Got {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Got::Message(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(close)))) => return Got::Closed(close.code.into()),
                Some(Ok(_)) => {}
                other => panic!("the connection ended without a close: {other:?}"),
            }
        }
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        match self.next().await {
            Got::Message(value) => value,
            Got::Closed(code) => panic!("closed with {code} where a message was expected"),
        }
    }

    /// Nothing comes for a while.
    pub async fn silence(&mut self) {
        if let Ok(got) = tokio::time::timeout(NEVER, self.next_ever()).await {
            panic!("{got:?} where nothing was expected");
        }
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let done = AtomicBool::new(false);
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let _over = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(done.load(Ordering::Relaxed), "{what} did not happen");
}
