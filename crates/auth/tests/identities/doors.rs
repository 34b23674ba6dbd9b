//! From where somebody comes, how fast open connections may go on, and what they tell the audit.

use crate::house::{House, Place, request, with_body};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::routing::get;
use axum::{Router, middleware};
use drover_access::{Caller, ReportLimit, Shown, Stranger, Watching};
use drover_auth::{Limits, Rate, Settings};
use drover_model::{AssetRef, Kind};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

/// The address that requests of the house come from.
const PEER: &str = "192.0.2.7";

fn slow(settings: Settings) -> Settings {
    let address = Rate { per_second: 1, burst: 3 };
    Settings { limits: Some(Limits { address, ..Limits::default() }), ..settings }
}

fn behind_a_proxy(settings: Settings) -> Settings {
    Settings { trusted_proxies: vec![PEER.parse().expect("an address")], ..slow(settings) }
}

fn forwarded(path: &str, value: &str) -> Request<Body> {
    let mut request = request("GET", path);
    request.headers_mut().insert("x-forwarded-for", value.parse().expect("a header"));
    request
}

/// How many of five requests with this header pass.
async fn passing(house: &House, header: &str) -> usize {
    let mut passed = 0;
    for _ in 0..5 {
        let status = house.send(forwarded("/api/v1/vehicles", header)).await.status;
        passed += usize::from(status != 429);
    }
    passed
}

pub async fn headers_of_who_is_no_trusted_proxy_mean_nothing(place: Place) {
    let house = House::open_with(place, slow).await;
    let passed = passing(&house, "203.0.113.1").await + passing(&house, "203.0.113.2").await;
    assert!((3..=5).contains(&passed), "{passed} passed: another word in a header is no other address");
    let refused = house.audited("access.unauthenticated", 1).await;
    assert_eq!(refused[0].address.as_deref(), Some(PEER));
}

pub async fn behind_a_trusted_proxy_each_client_counts_and_nobody_gets_another_address_by_writing_it(place: Place) {
    let house = House::open_with(place, behind_a_proxy).await;
    let one = passing(&house, "203.0.113.1").await;
    assert!((3..5).contains(&one), "{one} passed");
    let spoofed = passing(&house, "8.8.8.8, 203.0.113.1").await + passing(&house, "9.9.9.9,203.0.113.1").await;
    assert!(spoofed <= 3, "{spoofed} passed: what the client wrote stands before what the proxy says");
    assert!(passing(&house, "203.0.113.2").await >= 3, "another client has a bucket of his own");
    for entry in house.audited("access.unauthenticated", 2).await {
        assert!(["203.0.113.1", "203.0.113.2"].contains(&entry.address.as_deref().expect("an address")), "{entry:?}");
    }
}

pub async fn failed_logins_are_counted_by_the_client_behind_a_trusted_proxy(place: Place) {
    let house = House::open_with(place, |settings| Settings { limits: None, ..behind_a_proxy(settings) }).await;
    let mut attempt = 0;
    let mut log_in = async |from: &str| {
        attempt += 1;
        let body = json!({"email": format!("nobody-{attempt}@example.com"), "password": "a wrong password"});
        let mut request = request("POST", "/api/v1/auth/login");
        request.headers_mut().insert("x-forwarded-for", from.parse().expect("a header"));
        house.send(with_body(request, body)).await.status
    };
    for n in 0..20 {
        assert_eq!(log_in(&format!("10.9.8.{n}, 203.0.113.1")).await, 401);
    }
    assert_eq!(log_in("7.7.7.7, 203.0.113.1").await, 429, "twenty failures of one address");
    assert_eq!(log_in("203.0.113.2").await, 401);
}

pub async fn a_cookie_is_for_tls_where_a_trusted_proxy_says_that_the_client_came_by_it(place: Place) {
    for (change, is_believed) in [(behind_a_proxy as fn(Settings) -> Settings, true), (slow, false)] {
        let house = House::open_with(place, change).await;
        let first = house.first.clone().expect("an administrator");
        let body = json!({"email": first.email, "password": first.password});
        let mut request = request("POST", "/api/v1/auth/login");
        request.headers_mut().insert("x-forwarded-for", "203.0.113.1".parse().expect("a header"));
        request.headers_mut().insert("x-forwarded-proto", "https".parse().expect("a header"));
        let login = house.send(with_body(request, body)).await;
        assert_eq!(login.status, 200, "{login:?}");
        assert_eq!(login.header("set-cookie").contains("Secure"), is_believed);
    }
}

/// The guard around one route that says what it wants.
fn guarded(house: &House, router: Router) -> Router {
    router.layer(middleware::from_fn_with_state(house.auth.clone(), drover_auth::guard))
}

async fn answer(
    router: &Router,
    mut request: Request<Body>,
    secret: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Value) {
    if !secret.is_empty() {
        request.headers_mut().insert("authorization", format!("Bearer {secret}").parse().expect("a header"));
    }
    for (name, value) in headers {
        let name: axum::http::HeaderName = name.parse().expect("a name");
        request.headers_mut().insert(name, value.parse().expect("a header"));
    }
    let answer: Response<Body> = router.clone().oneshot(request).await.expect("an answer");
    let (parts, body) = answer.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
    (parts.status, parts.headers, body)
}

pub async fn the_reports_of_an_open_connection_have_the_bucket_of_their_device_and_nobody_elses(place: Place) {
    let house = House::open_with(place, |settings| Settings { limits: Some(Limits::default()), ..settings }).await;
    let admin = house.admin().await;
    let made = house.ask(&admin, "POST", "/api/v1/device-tokens", json!({"kind": "driver", "id": "d-1"})).await;
    let device = made.text("/data/token");
    /// How many of forty reports pass.
    async fn forty(limit: ReportLimit) -> String {
        (0..40).filter(|_| limit.take().is_none()).count().to_string()
    }
    let router = guarded(&house, Router::new().route("/api/v1/ingest", get(forty)));
    let upgrade = [("upgrade", "websocket")];
    let passed = async |secret: &str| {
        let (status, _, body) = answer(&router, request("GET", "/api/v1/ingest"), secret, &upgrade).await;
        assert_eq!(status, 200);
        body.as_u64().expect("a number")
    };
    let of_device = passed(&device).await;
    assert!((10..=12).contains(&of_device), "{of_device} passed");
    let more = passed(&device).await;
    assert!(more <= 2, "{more} passed: another connection has the same bucket");
    assert_eq!(house.ask(&device, "POST", "/api/v1/reports", Value::Null).await.status, 429, "and so has HTTP");
    assert_eq!(passed(&admin).await, 40, "who is no device has the limit of his requests");
}

type Held = Arc<Mutex<Vec<Option<Stranger>>>>;

/// What stands behind the guard where Socket.IO answers: it keeps the places of who connects, and says who that is.
fn socket_io(house: &House) -> (Router, Held) {
    let held = Held::default();
    let keep = {
        let held = held.clone();
        async move |request: Request| {
            held.lock().push(request.extensions().get::<Stranger>().cloned());
            request.extensions().get::<Caller>().map_or_else(|| "nobody".to_owned(), |caller| caller.subject.clone())
        }
    };
    (guarded(house, Router::new().fallback(keep)), held)
}

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

pub async fn who_opens_socket_io_without_credentials_has_the_limit_of_his_address(place: Place) {
    let house = House::open_with(place, slow).await;
    let admin = house.admin().await;
    let (router, _) = socket_io(&house);
    let open = async |secret: &str, path: &str| answer(&router, request("GET", path), secret, &[]).await;
    let (status, headers, who) = open(&admin, OPEN).await;
    assert_eq!((status.as_u16(), headers["ratelimit-limit"].to_str().expect("text")), (200, "200"));
    assert!(who.as_str().expect("somebody").starts_with("user/"), "the handler hears who it is: {who}");
    let refused = loop {
        let (status, headers, body) = open("", OPEN).await;
        if status != 200 {
            break (status.as_u16(), headers["retry-after"].clone(), body["error"]["code"].clone());
        }
    };
    assert_eq!(refused, (429, HeaderValue::from_static("1"), json!("rate_limited")));
    let bad = open("not a token", OPEN).await;
    assert_eq!(bad.0, 429, "bad credentials are none");
    assert_eq!(open("", "/socket.io/?EIO=4&transport=polling&sid=abc").await.0, 200, "it goes on with what is open");
    assert_eq!(open("", "/socket.io/?EIO=4&sid=&transport=polling").await.0, 429, "an empty one goes on with nothing");
    assert_eq!(open("", "/socket.iota").await.0, 200, "that is another place");
    assert_eq!(open(&admin, OPEN).await.0, 200, "who says who he is has a bucket of his own");
}

pub async fn an_address_has_so_many_connections_that_have_not_said_who_they_are(place: Place) {
    let fast = Rate { per_second: 1_000, burst: 1_000 };
    let limits = Some(Limits { address: fast, ..Limits::default() });
    let house = House::open_with(place, |settings| Settings { limits, ..settings }).await;
    let admin = house.admin().await;
    let (router, held) = socket_io(&house);
    let open = async |secret: &str| answer(&router, request("GET", OPEN), secret, &[]).await;
    for _ in 0..50 {
        assert_eq!(open("").await.0, 200);
    }
    let (status, headers, body) = open("").await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (429, &json!("too_many_connections")));
    assert_eq!(headers["retry-after"], "10");
    assert_eq!(open(&admin).await.0, 200, "who says it at once needs no place");
    held.lock()[0].as_ref().expect("a place").is_known();
    assert_eq!(open("").await.0, 200, "one has said it");
    held.lock()[1] = None;
    assert_eq!(open("").await.0, 200, "one has left");
    assert_eq!(open("").await.0, 429);
}

pub async fn whose_place_an_answer_or_a_connection_tells_is_audited(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    house.directory.place(Kind::Driver, "d-1", Some("north"));
    async fn shown() -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let persons = vec![AssetRef { kind: Kind::Driver, id: "d-1".into() }];
        response.extensions_mut().insert(Shown { persons, asked: json!({"delivery_id": "del-1"}) });
        response
    }
    async fn asked() -> Response<Body> {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(Shown { persons: Vec::new(), asked: json!({"sql": "SELECT 1"}) });
        response
    }
    async fn watch(mut watching: Watching) {
        watching.begin(Kind::Driver, "d-1");
    }
    async fn nothing() {}
    let router = Router::new()
        .route("/api/v1/{kinds}/{id}/location", get(nothing))
        .route("/api/v1/orders/{order_id}/driver-location", get(shown))
        .route("/api/v1/track/{tracking_number}", get(shown))
        .route("/api/v1/sql", axum::routing::post(asked))
        .route("/api/v1/live", get(watch));
    let router = guarded(&house, router);
    let get = async |secret: &str, path: &str| {
        let (status, headers, _) = answer(&router, request("GET", path), secret, &[]).await;
        assert_eq!(status, 200);
        headers.get("cache-control").and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let no_store = Some("no-store".to_owned());
    assert_eq!(get(&admin, "/api/v1/orders/o-1/driver-location").await, no_store, "caches keep nobody's place");
    for _ in 0..3 {
        assert_eq!(get("", "/api/v1/track/TRK-1").await, no_store);
    }
    let reads = house.audited("location.read", 2).await;
    assert_eq!(reads.len(), 2, "who asks for a parcel again and again is noted once a minute");
    for read in &reads {
        assert_eq!((&*read.subject, read.fleet.as_deref()), ("driver/d-1", Some("north")));
        assert_eq!(read.after.as_ref().expect("by what").get(), r#"{"delivery_id":"del-1"}"#);
        assert_eq!(read.address.as_deref(), Some(PEER));
    }
    assert_eq!(reads[0].actor, "anonymous");
    assert_eq!(get(&admin, "/api/v1/vehicles/v-1/location").await, None, "a vehicle is nobody");
    assert_eq!(get(&admin, "/api/v1/drivers/d-2/location").await, no_store);
    house.audited("location.read", 3).await;
    get(&admin, "/api/v1/live").await;
    for action in ["location.watch", "location.watch_end"] {
        let entry = &house.audited(action, 1).await[0];
        assert_eq!((&*entry.subject, entry.fleet.as_deref()), ("driver/d-1", Some("north")));
        assert!(entry.actor.starts_with("user/"), "{}", entry.actor);
    }
    assert_eq!(answer(&router, request("POST", "/api/v1/sql"), &admin, &[]).await.0, 200);
    let query = &house.audited("sql.post", 1).await[0];
    assert_eq!(
        (&*query.subject, query.after.as_ref().map(|after| after.get())),
        ("sql", Some(r#"{"sql":"SELECT 1"}"#))
    );
}
