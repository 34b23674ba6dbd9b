//! A certificate by ACME. The directory here is small and believes everything but one thing: it looks at
//! the challenge on the door itself, with another program's TLS.

mod client;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use client::{Device, PATIENCE};
use drover_certs::{Acme, Door, ServerCertificate, ServerTls};
use rcgen::{CertificateParams, CertificateSigningRequestParams, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::Mutex;
use tokio::net::TcpListener;

struct Directory {
    address: String,
    /// Where the names of the orders are.
    door: SocketAddr,
    issuer: Issuer<'static, KeyPair>,
    state: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    accounts: usize,
    orders: usize,
    thumbprint: String,
    names: Vec<String>,
    proven: Option<bool>,
    chain: Option<String>,
}

type At = State<Arc<Directory>>;

fn digest(text: &str) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

fn part(body: &[u8], name: &str) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap();
    let bytes = BASE64.decode(body[name].as_str().unwrap()).unwrap();
    if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() }
}

fn answer(status: StatusCode, location: String, body: Value) -> Response {
    (status, [("replay-nonce", "n".to_owned()), ("location", location)], axum::Json(body)).into_response()
}

impl Directory {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    fn order(&self) -> Value {
        let state = self.state.lock().unwrap();
        let status = match (state.proven, &state.chain) {
            (_, Some(_)) => "valid",
            (Some(true), None) => "ready",
            (Some(false), None) => "invalid",
            (None, None) => "pending",
        };
        json!({"status": status, "authorizations": [self.at("/authz")], "finalize": self.at("/finalize"),
               "certificate": state.chain.as_ref().map(|_| self.at("/chain"))})
    }
}

async fn directory(State(at): At) -> Response {
    let body = json!({"newNonce": at.at("/nonce"), "newAccount": at.at("/account"), "newOrder": at.at("/order")});
    answer(StatusCode::OK, String::new(), body)
}

async fn account(State(at): At, body: Bytes) -> Response {
    let jwk = part(&body, "protected")["jwk"].clone();
    let canonical = json!({"crv": jwk["crv"], "kty": jwk["kty"], "x": jwk["x"], "y": jwk["y"]}).to_string();
    let mut state = at.state.lock().unwrap();
    state.accounts += 1;
    state.thumbprint = BASE64.encode(digest(&canonical));
    answer(StatusCode::CREATED, at.at("/account/1"), json!({"status": "valid"}))
}

async fn order(State(at): At, body: Bytes) -> Response {
    let names = part(&body, "payload")["identifiers"].as_array().unwrap().clone();
    {
        let mut state = at.state.lock().unwrap();
        state.orders += 1;
        state.names = names.iter().map(|name| name["value"].as_str().unwrap().to_owned()).collect();
        (state.proven, state.chain) = (None, None);
    }
    answer(StatusCode::CREATED, at.at("/order/1"), at.order())
}

async fn order_again(State(at): At) -> Response {
    answer(StatusCode::OK, String::new(), at.order())
}

async fn authorization(State(at): At) -> Response {
    let state = at.state.lock().unwrap();
    let status = match state.proven {
        None => "pending",
        Some(true) => "valid",
        Some(false) => "invalid",
    };
    let error = (state.proven == Some(false)).then(|| json!({"type": "urn:x", "detail": "the door shows another"}));
    let challenge = json!({"type": "tls-alpn-01", "url": at.at("/challenge/x"), "token": "token", "status": status,
                           "error": error});
    let name = json!({"type": "dns", "value": state.names[0]});
    answer(StatusCode::OK, String::new(), json!({"status": status, "identifier": name, "challenges": [challenge]}))
}

/// The certificate, DER, that the door shows to the challenge's protocol.
fn looked_at(door: SocketAddr, name: &str) -> Vec<u8> {
    let shown = Command::new("openssl")
        .args(["s_client", "-connect", &door.to_string(), "-servername", name, "-alpn", "acme-tls/1"])
        .stdin(Stdio::null())
        .output()
        .expect("openssl is installed");
    let shown = CertificateDer::from_pem_slice(&shown.stdout);
    shown.map(|certificate| certificate.to_vec()).unwrap_or_default()
}

async fn challenge(State(at): At, Path(_): Path<String>) -> Response {
    let (thumbprint, name) = {
        let state = at.state.lock().unwrap();
        (state.thumbprint.clone(), state.names[0].clone())
    };
    let door = at.door;
    let asked = name.clone();
    let seen = tokio::task::spawn_blocking(move || looked_at(door, &asked)).await.unwrap();
    // The extension acmeIdentifier, critical, with the digest in it (RFC 8737, 3), and the name.
    let mut wanted = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x1f\x01\x01\xff\x04\x22\x04\x20".to_vec();
    wanted.extend(digest(&format!("token.{thumbprint}")));
    let has = |wanted: &[u8]| seen.windows(wanted.len()).any(|window| window == wanted);
    at.state.lock().unwrap().proven = Some(has(&wanted) && has(name.as_bytes()));
    let body = json!({"type": "tls-alpn-01", "url": at.at("/challenge/x"), "token": "token", "status": "processing"});
    answer(StatusCode::OK, String::new(), body)
}

async fn finalize(State(at): At, body: Bytes) -> Response {
    let csr = BASE64.decode(part(&body, "payload")["csr"].as_str().unwrap()).unwrap();
    let mut request = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
    request.params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(90);
    request.params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(1);
    let chain = request.signed_by(&at.issuer).unwrap().pem();
    at.state.lock().unwrap().chain = Some(chain);
    answer(StatusCode::OK, at.at("/order/1"), at.order())
}

async fn chain(State(at): At) -> Response {
    let chain = at.state.lock().unwrap().chain.clone().unwrap();
    ([("replay-nonce", "n")], chain).into_response()
}

struct World {
    directory: Arc<Directory>,
    acme: Acme,
    certificate: ServerCertificate,
    /// The directory's own authority, PEM.
    authority: String,
    door: SocketAddr,
    _folder: tempfile::TempDir,
}

/// A door with a certificate of its own making, and a directory that looks at `looked_at` instead, if given.
async fn world(elsewhere: Option<SocketAddr>) -> World {
    let folder = tempfile::tempdir().unwrap();
    let certificate = ServerCertificate::made(&folder.path().join("tls"), &[]).unwrap();
    let tls = ServerTls::for_http(&certificate).unwrap();
    let door = Door::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), Some(tls));
    let door_address = door.address().unwrap();
    tokio::spawn(async move { axum::serve(door, axum::Router::new()).await });

    let of_directory = ServerCertificate::made(&folder.path().join("directory"), &[]).unwrap();
    let tls = ServerTls::for_http(&of_directory).unwrap();
    let directory_door = Door::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), Some(tls));
    let address = format!("https://localhost:{}", directory_door.address().unwrap().port());
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let made = Arc::new(Directory {
        address: address.clone(),
        door: elsewhere.unwrap_or(door_address),
        issuer: Issuer::new(params, key),
        state: Mutex::default(),
    });
    let router = axum::Router::new()
        .route("/directory", get(directory))
        .route("/nonce", get(async || [("replay-nonce", "n")]))
        .route("/account", post(account))
        .route("/order", post(order))
        .route("/order/1", post(order_again))
        .route("/authz", post(authorization))
        .route("/challenge/{name}", post(challenge))
        .route("/finalize", post(finalize))
        .route("/chain", post(chain))
        .with_state(made.clone());
    tokio::spawn(async move { axum::serve(directory_door, router).await });
    let acme = Acme {
        directory: format!("{address}/directory"),
        contact: vec!["mailto:fleet@drover.example".into()],
        names: vec!["localhost".into()],
        folder: folder.path().join("acme"),
        root: Some(of_directory.path().into()),
    };
    World { directory: made, acme, certificate, authority, door: door_address, _folder: folder }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_asked_for_shown_and_not_asked_for_again() {
    let world = world(None).await;
    let asked = world.acme.renew_if_due(&world.certificate).await;
    assert!(asked.as_ref().is_ok_and(|is_new| *is_new), "{asked:?}");
    assert!(!world.certificate.is_self_signed());
    let trusting = Device { trusted: world.authority.clone().into_bytes(), ..Device::new(&world.certificate, None) };
    tokio::time::timeout(PATIENCE, trusting.connect(world.door)).await.unwrap().expect("the new one is shown");

    assert!(!world.acme.renew_if_due(&world.certificate).await.unwrap(), "it is fresh");
    let again = ServerCertificate::made(world.certificate.path().parent().unwrap(), &["x.example".into()]).unwrap();
    assert!(!again.is_self_signed(), "a restart keeps it");

    let more = Acme { names: vec!["localhost".into(), "drover.example".into()], ..world.acme.clone() };
    assert!(more.renew_if_due(&world.certificate).await.unwrap(), "it lacks a name");
    let state = world.directory.state.lock().unwrap();
    assert_eq!((state.accounts, state.orders), (1, 2), "the account is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_directory_refuses_changes_nothing_and_is_said() {
    // Looks at a door that knows nothing of the challenge.
    let other = world(None).await;
    let world = world(Some(other.door)).await;
    let error = world.acme.renew_if_due(&world.certificate).await.expect_err("that door does not answer");
    assert!(error.to_string().contains("the door shows another"), "{error}");
    assert!(world.certificate.is_self_signed());
    let device = Device::new(&world.certificate, None);
    tokio::time::timeout(PATIENCE, device.connect(world.door)).await.unwrap().expect("what was shown still is");
}
