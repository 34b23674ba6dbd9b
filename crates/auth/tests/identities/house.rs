//! What every test stands on: identities in a folder of their own, and a small router behind the guard.

use crate::postgres::Postgres;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use axum::{Router, middleware};
use drover_access::{Caller, Directory};
use drover_auth::{Auth, FirstAdmin, Settings};
use drover_certs::{Authority, Peer};
use drover_database::Database;
use drover_ledger::{Filter, Ledger, Recorded};
use drover_registry::Registry;
use drover_vault::Vault;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tower::ServiceExt;

pub const PASSWORD: &str = "correct pony battery";

/// Where the tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a file of the test.
    Sqlite,
    /// In a new database of a real server, which the tests share.
    Postgres,
}

/// Identities that were opened, and what they stand on.
pub struct House {
    pub auth: Auth,
    pub first: Option<FirstAdmin>,
    pub registry: Registry,
    pub directory: Directory,
    pub ledger: Ledger,
    pub authority: Authority,
    pub vault: Vault,
    router: Router,
    url: String,
    folder: Arc<TempDir>,
    server: Option<Arc<Postgres>>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The problem's word for programs.
    pub fn problem(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// `drover_session=…` of the answer.
    pub fn cookie(&self) -> String {
        let set = self.header("set-cookie");
        set.split(';').next().expect("a cookie").to_owned()
    }

    pub fn text(&self, pointer: &str) -> String {
        let value = self.body.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("no {pointer} in {self:?}")).to_owned()
    }
}

/// What identities stand on.
struct Under {
    url: String,
    folder: Arc<TempDir>,
    server: Option<Arc<Postgres>>,
    vault: Vault,
    ledger: Ledger,
    authority: Authority,
}

pub fn settings(folder: &Path) -> Settings {
    Settings { limits: None, ..Settings::new(folder.join("keys")) }
}

impl House {
    pub async fn open(place: Place) -> House {
        House::open_with(place, |settings| settings).await
    }

    pub async fn open_with(place: Place, change: impl FnOnce(Settings) -> Settings) -> House {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let server = match place {
            Place::Sqlite => None,
            Place::Postgres => Some(tokio::task::spawn_blocking(Postgres::shared).await.expect("a server")),
        };
        let in_file = || format!("sqlite://{}", folder.path().join("registry.db").display());
        let url = server.as_ref().map_or_else(in_file, |server| server.new_database());
        let vault = Vault::open(&folder.path().join("vault")).expect("a vault");
        let ledger = Ledger::open(&folder.path().join("audit.db")).await.expect("a ledger");
        let authority = Authority::open(&folder.path().join("ca"), None).expect("an authority");
        let settings = change(settings(folder.path()));
        let database = Database::open(&url).await.expect("a database");
        let house = House::on(settings, database, Under { url, folder, server, vault, ledger, authority }).await;
        for fleet in ["north", "south", "west"] {
            house.row(&format!("INSERT INTO fleets (id, version, created_at, updated_at, name) VALUES ('{fleet}', 1, 0, 0, '{fleet}')")).await;
        }
        house
    }

    /// Writes to the registry's tables, past its rules.
    pub async fn row(&self, sql: &str) {
        let mut transaction = self.registry.database().begin().await.expect("a transaction");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *transaction).await.expect("written");
        transaction.commit().await.expect("committed");
    }

    async fn on(settings: Settings, database: Database, under: Under) -> House {
        let Under { url, folder, server, vault, ledger, authority } = under;
        let directory = Directory::default();
        let registry = Registry::open(database.clone(), vault.clone(), directory.clone()).await.expect("a registry");
        let opened =
            Auth::open(settings, database, vault.clone(), ledger.clone(), authority.clone(), directory.clone());
        let (auth, first) = opened.await.expect("identities");
        let router = router(&auth);
        House { auth, first, registry, directory, ledger, authority, vault, router, url, folder, server }
    }

    /// Another node on the same tables, with connections of its own to a server.
    pub async fn another_node(&self) -> House {
        let database = match self.server {
            Some(_) => Database::open(&self.url).await.expect("the database"),
            None => self.registry.database().clone(),
        };
        let under = Under {
            url: self.url.clone(),
            folder: self.folder.clone(),
            server: self.server.clone(),
            vault: self.vault.clone(),
            ledger: self.ledger.clone(),
            authority: self.authority.clone(),
        };
        House::on(settings(self.folder.path()), database, under).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status, headers, body }
    }

    /// A request with a bearer's secret, and a JSON body unless it is null.
    pub async fn ask(&self, secret: &str, method: &str, path: &str, body: Value) -> Answer {
        let mut request = request(method, path);
        if !secret.is_empty() {
            let value = format!("Bearer {secret}").try_into().expect("a header");
            request.headers_mut().insert("authorization", value);
        }
        self.send(with_body(request, body)).await
    }

    pub async fn get(&self, secret: &str, path: &str) -> Answer {
        self.ask(secret, "GET", path, Value::Null).await
    }

    pub async fn log_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({"email": email, "password": password});
        self.ask("", "POST", "/api/v1/auth/login", body).await
    }

    /// Logs the first administrator in, with a password of his own; gives his access token.
    pub async fn admin(&self) -> String {
        let FirstAdmin { email, password } = self.first.clone().expect("a first administrator");
        self.settle(&email, &password).await
    }

    /// Changes a password for one login to [`PASSWORD`], and gives an access token.
    pub async fn settle(&self, email: &str, one_time: &str) -> String {
        let login = self.log_in(email, one_time).await;
        assert_eq!(login.status, 200, "{login:?}");
        let token = login.text("/access_token");
        let change = json!({"current_password": one_time, "new_password": PASSWORD});
        let changed = self.ask(&token, "POST", "/api/v1/auth/password", change).await;
        assert_eq!(changed.status, 204, "{changed:?}");
        token
    }

    /// Makes a user and logs him in; gives his id and an access token.
    pub async fn user(&self, admin: &str, body: Value) -> (String, String) {
        let email = body["email"].as_str().expect("an address").to_owned();
        let made = self.ask(admin, "POST", "/api/v1/users", body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let token = self.settle(&email, &made.text("/data/one_time_password")).await;
        (made.text("/data/user/id"), token)
    }

    /// The audit's entries of an action, once there are `count` of them at least.
    pub async fn audited(&self, action: &str, count: usize) -> Vec<Recorded> {
        let filter = Filter { action: Some(action.into()), ..Filter::default() };
        for _ in 0..100 {
            let entries = self.ledger.query(&filter).await.expect("the audit answers").entries;
            if entries.len() >= count {
                return entries;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the audit has fewer than {count} entries of {action}");
    }
}

pub fn request(method: &str, path: &str) -> Request<Body> {
    let address: SocketAddr = "192.0.2.7:4711".parse().expect("an address");
    let peer = Peer { address, certificate: None, is_secured: false };
    let request = Request::builder().method(method).uri(path).header("host", "drover.example");
    request.extension(ConnectInfo(peer)).body(Body::empty()).expect("a request")
}

pub fn with_body(mut request: Request<Body>, body: Value) -> Request<Body> {
    if !body.is_null() {
        request.headers_mut().insert("content-type", "application/json".parse().expect("a header"));
        *request.body_mut() = Body::from(body.to_string());
    }
    request
}

/// The routes of identities, and some that say who asks, behind the guard.
fn router(auth: &Auth) -> Router {
    async fn who(caller: Caller) -> String {
        caller.subject.clone()
    }
    async fn query(axum::extract::RawQuery(query): axum::extract::RawQuery) -> String {
        query.unwrap_or_default()
    }
    let (routes, _) = auth.routes().split_for_parts();
    routes
        .route("/api/v1/reports", post(who))
        .route("/api/v1/live", get(query))
        .route("/api/v1/{kinds}/{id}/location", get(who).post(who))
        .route("/api/v1/vehicles", get(who).post(who))
        .route("/api/v1/audit", get(who))
        .route("/api/v1/metadata", get(who))
        .route("/api/v1/secrets", get(who))
        .route("/healthz", get(|| async { "ok" }))
        .fallback(|| async { "the page" })
        .layer(middleware::from_fn_with_state(auth.clone(), drover_auth::guard))
}

/// A code as an authenticator shows it, `steps` from now.
pub fn totp(secret: &str, steps: i64) -> String {
    use aws_lc_rs::hmac;
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let values = secret.chars().map(|letter| letters.find(letter).expect("base32") as u8);
    let bits: Vec<u8> = values.flat_map(|value| (0..5).rev().map(move |bit| value >> bit & 1)).collect();
    let key: Vec<u8> = bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect();
    let step = drover_answer::now_ms() / 30_000 + steps;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key), &step.to_be_bytes());
    let tag = tag.as_ref();
    let from = usize::from(tag[tag.len() - 1] & 15);
    let number = u32::from_be_bytes(tag[from..from + 4].try_into().expect("four bytes")) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}
