//! Guests at the HTTP door, over real sockets: half a request is not waited for, an upload that comes and an answer
//! that takes long are, a WebSocket is left alone, and nobody takes all places.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{get, post};
use drover_certs::{Door, HttpDoor, Patience, Peer, Places, Visit, in_time};
use futures_util::StreamExt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// What a guest may take in these tests.
const PATIENCE: Patience =
    Patience { head: Duration::from_millis(300), idle: Duration::from_millis(900), body: Duration::from_millis(300) };
/// Longer than any patience of the door.
const LONG: Duration = Duration::from_millis(1_500);
/// How long these tests wait for what must come.
const DEADLINE: Duration = Duration::from_secs(10);

/// Says who asks and how long the body is.
async fn weigh(
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> String {
    match body {
        Ok(body) => format!("{} {}", peer.address.ip(), body.len()),
        Err(error) => format!("broken: {error:?}"),
    }
}

async fn drip() -> Response {
    let drops = futures_util::stream::iter(0..5).then(|n| async move {
        sleep(LONG / 4).await;
        Ok::<_, std::io::Error>(format!("{n}"))
    });
    Response::new(Body::from_stream(drops))
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Text(_)) && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

async fn served_with(max: usize, max_of_address: usize, is_bounded: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let places = Places::new(max, max_of_address, Box::new(move |_| !is_bounded));
    let door = HttpDoor::new(Door::new(listener, None).with_room(places), PATIENCE);
    let slow = || async {
        sleep(LONG).await;
        "at last"
    };
    let router = Router::new()
        .route("/weigh", post(weigh))
        .route("/slow", get(slow))
        .route("/drip", get(drip))
        .route("/socket", get(echo))
        .layer(from_fn(in_time));
    tokio::spawn(async move { axum::serve(door, router.into_make_service_with_connect_info::<Visit>()).await });
    address
}

async fn served() -> SocketAddr {
    served_with(1_000, 1_000, false).await
}

struct Guest(TcpStream);

impl Guest {
    async fn at(door: SocketAddr) -> Guest {
        Guest(TcpStream::connect(door).await.expect("the door is open"))
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("it is heard");
    }

    /// What comes up to and including `end`.
    async fn hear(&mut self, end: &str) -> String {
        let mut heard = String::new();
        while !heard.ends_with(end) {
            let byte = timeout(DEADLINE, self.0.read_u8()).await.expect("in time");
            let byte = byte.unwrap_or_else(|error| panic!("{error} after {heard:?}"));
            heard.push(char::from(byte));
        }
        heard
    }

    /// How long it takes until the door cuts the connection.
    async fn until_cut(mut self) -> Duration {
        let since = Instant::now();
        let mut rest = [0; 1024];
        loop {
            match timeout(DEADLINE, self.0.read(&mut rest)).await.expect("it is cut in time") {
                Ok(0) | Err(_) => return since.elapsed(),
                Ok(_) => {}
            }
        }
    }
}

const WHOLE: &str = "POST /weigh HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_half_a_head_is_cut_also_when_he_goes_on_byte_by_byte() {
    let door = served().await;
    let silent = Guest::at(door).await;
    let mut half = Guest::at(door).await;
    half.say("GET /slow HTTP/1.1\r\nHo").await;
    let mut dripping = Guest::at(door).await;
    let (mut reading, mut writing) = {
        dripping.say("GET /slow HTTP/1.1\r\nX: ").await;
        dripping.0.into_split()
    };
    let drip = tokio::spawn(async move {
        while writing.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await
        }
    });
    for cut in [silent.until_cut().await, half.until_cut().await] {
        assert!(cut < LONG, "{cut:?}");
    }
    let end = timeout(LONG, reading.read(&mut [0; 64])).await.expect("this one is cut as well");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    timeout(DEADLINE, drip).await.expect("nobody hears it any more").expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_requests_there_is_more_time_but_not_for_half_of_the_next() {
    let door = served().await;
    let mut guest = Guest::at(door).await;
    for _ in 0..3 {
        guest.say(WHOLE).await;
        guest.hear("127.0.0.1 2").await;
        // Longer than a head may take.
        sleep(PATIENCE.head * 2).await;
    }
    guest.say("POST /weigh HTTP/1.1\r\n").await;
    let cut = guest.until_cut().await;
    assert!(cut > PATIENCE.head / 2 && cut < PATIENCE.idle, "{cut:?}");
    let mut idle = Guest::at(door).await;
    idle.say(WHOLE).await;
    idle.hear("127.0.0.1 2").await;
    let cut = idle.until_cut().await;
    assert!(cut > PATIENCE.idle / 2, "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_goes_on_coming_is_taken_however_long_it_takes_and_one_that_does_not_is_given_up() {
    let door = served().await;
    let mut guest = Guest::at(door).await;
    guest.say("POST /weigh HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\n").await;
    for _ in 0..15 {
        sleep(PATIENCE.body / 2).await;
        guest.say("x").await;
    }
    guest.hear("127.0.0.1 15").await;
    guest.say("POST /weigh HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\nxxxx").await;
    let answer = guest.hear("came for 0.3 s").await;
    assert!(answer.contains("broken"), "{answer}");
    assert!(guest.until_cut().await < LONG, "what would follow cannot be told from the body");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_take_long_and_come_slowly_and_a_websocket_may_be_silent() {
    let door = served().await;
    let mut slow = Guest::at(door).await;
    slow.say("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut dripping = Guest::at(door).await;
    dripping.say("GET /drip HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut socket = Guest::at(door).await;
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    socket
        .say(&format!("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n"))
        .await;
    socket.hear("\r\n\r\n").await;
    slow.hear("at last").await;
    dripping.hear("0\r\n\r\n").await;
    sleep(PATIENCE.idle).await;
    // "hi", masked with zeros.
    socket.0.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.expect("it is open");
    socket.hear("hi").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_more_than_allowed_is_closed_until_another_leaves() {
    for (door, most) in [(served_with(3, 1_000, true).await, 3), (served_with(1_000, 2, true).await, 2)] {
        let mut inside = Vec::new();
        for _ in 0..most {
            let mut guest = Guest::at(door).await;
            guest.say(WHOLE).await;
            guest.hear("127.0.0.1 2").await;
            inside.push(guest);
        }
        assert!(Guest::at(door).await.until_cut().await < PATIENCE.head, "at once");
        inside.pop();
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut guest = Guest::at(door).await;
            // A refused one may be closed before it is heard.
            let _refused = guest.0.write_all(WHOLE.as_bytes()).await;
            if matches!(guest.0.read_u8().await, Ok(b'H')) {
                break;
            }
            assert!(Instant::now() < deadline, "the place is not given back");
        }
    }
}
