//! The guard: stands before every route, finds out who asks, and lets through what the table of routes allows. What a
//! handler shows of it is the handler's matter.

use crate::Auth;
use crate::credentials::{Found, Via, now_us};
use crate::limits::Taken;
use crate::login::site_of;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use drover_access::{Audit, Caller, Needs, Permission, Role, Route, route, routes};
use drover_answer::{Problem, ProblemKind, now_ms};
use drover_certs::Peer;
use drover_ledger::{Entry, Outcome};
use drover_model::Kind;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// The cookie of a session.
pub(crate) const COOKIE: &str = "drover_session";
/// What our own page sends along; a foreign page cannot without being asked first.
const OUR_PAGE: &str = "x-drover-request";
const API_KEY: &str = "x-api-key";
/// Pages and their documentation: they hold nothing that is anybody's.
const PAGES: [&str; 6] = ["/", "/favicon.ico", "/docs", "/docs/", "/docs/{*rest}", "/api/v1/openapi.json"];
/// Asked by machines again and again, and cheap.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];
/// What is open to somebody who has to change his password first.
const BEFORE_CHANGE: [&str; 3] = ["/api/v1/auth/me", "/api/v1/auth/password", "/api/v1/auth/logout"];

/// Lets through what the table of routes allows, and says in the answer how fast one may go on. To be layered around a
/// whole router, so that the matched path is known; what matches no route (the page, and what is not there) is public.
pub async fn guard(State(auth): State<Auth>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let Some(path) = path.filter(|path| !PAGES.contains(&path.as_str())) else { return next.run(request).await };
    let template = path.as_str();
    let address = address_of(&request);
    let (method, concrete) = (request.method().clone(), request.uri().path().to_owned());
    let (passed, taken) = auth.admit(&mut request, template, address);
    let passed = match passed {
        Ok(passed) => passed,
        Err(refusal) => {
            auth.note_refused(&refusal, &method, template, address);
            return answer(refusal.problem, taken, template);
        }
    };
    let mut response = next.run(request).await;
    if let Some(taken) = taken {
        taken.write(response.headers_mut());
    }
    if let (Some(caller), Some(route)) = (&passed.caller, passed.route) {
        auth.note_read(caller, route, &concrete, address, response.status().as_u16());
    }
    response
}

/// Who passed, by which row.
struct Passed {
    caller: Option<Caller>,
    route: Option<&'static Route>,
}

/// What was refused, and to whom as far as that is known.
struct Refusal {
    problem: Problem,
    caller: Option<Caller>,
}

impl Auth {
    fn admit(
        &self,
        request: &mut Request,
        template: &str,
        address: Option<IpAddr>,
    ) -> (Result<Passed, Refusal>, Option<Taken>) {
        let Some(row) = route(request.method().as_str(), template) else {
            return (Err(nobodys(no_row(request.method(), template))), None);
        };
        let (found, had_credentials) = self.find(request);
        let found = found.filter(|found| row.needs != Needs::Public || is_our_page(found, request).is_ok());
        let taken = self.take(found.as_ref(), row, address);
        if let Some(seconds) = taken.and_then(|taken| taken.wait_s) {
            let caller = found.map(|found| found.caller);
            return (Err(Refusal { problem: too_fast(seconds), caller }), taken);
        }
        let passed = self.judge(found, had_credentials, row, request);
        if let Ok(Passed { caller: Some(caller), .. }) = &passed {
            request.extensions_mut().insert(caller.clone());
            request.extensions_mut().insert(self.until(caller));
        }
        request.extensions_mut().insert(self.0.directory.clone());
        (passed, taken)
    }

    fn judge(
        &self,
        found: Option<Found>,
        had_credentials: bool,
        row: &'static Route,
        request: &Request,
    ) -> Result<Passed, Refusal> {
        let Some(found) = found else {
            return match row.needs {
                Needs::Public => Ok(Passed { caller: None, route: Some(row) }),
                _ => Err(nobodys(unauthorized(had_credentials))),
            };
        };
        let refused = |problem| Refusal { problem, caller: Some(found.caller.clone()) };
        if row.needs == Needs::Public {
            return Ok(Passed { caller: Some(found.caller), route: Some(row) });
        }
        is_our_page(&found, request).map_err(refused)?;
        if found.must_change_password && !BEFORE_CHANGE.contains(&row.path.as_str()) {
            return Err(refused(change_password_first()));
        }
        if let Needs::May(permission) = row.needs {
            found.caller.require(permission).map_err(refused)?;
        }
        Ok(Passed { caller: Some(found.caller), route: Some(row) })
    }

    /// Who asks; and whether there was any credential.
    fn find(&self, request: &mut Request) -> (Option<Found>, bool) {
        let in_query = if opens_stream(request) { take_from_query(request) } else { None };
        if self.0.settings.dev {
            let caller = Caller::dev();
            return (Some(Found { caller, via: Via::Other, must_change_password: false }), true);
        }
        let headers = request.headers();
        if let Some(secret) = bearer(headers).or_else(|| text(headers, API_KEY)) {
            return (self.by_secret(secret), true);
        }
        if let Some(secret) = in_query {
            return (self.by_secret(&secret), true);
        }
        let certificate =
            request.extensions().get::<ConnectInfo<Peer>>().and_then(|peer| peer.0.certificate.as_deref());
        if let Some(found) = certificate.and_then(|der| self.by_certificate(der)) {
            return (Some(found), true);
        }
        match cookie(headers, COOKIE) {
            Some(secret) => (self.by_cookie(secret), true),
            None => (None, certificate.is_some()),
        }
    }

    fn take(&self, found: Option<&Found>, row: &Route, address: Option<IpAddr>) -> Option<Taken> {
        let limits = self.0.settings.limits?;
        if PROBES.contains(&row.path.as_str()) {
            return None;
        }
        let buckets = &self.0.buckets;
        let Some(Found { caller, .. }) = found else {
            return buckets.take(&("address", site_of(address?)), limits.address, now_us());
        };
        let subject = &*caller.subject;
        let reports = row.method == "POST" && row.needs == Needs::May(Permission::ReportsWrite);
        match caller.role == Role::Device && reports {
            true => buckets.take(&("device", subject), limits.device, now_us()),
            false => buckets.take(&("caller", subject), limits.caller, now_us()),
        }
    }

    /// Notes a refusal, once a minute for each who and where.
    fn note_refused(&self, refusal: &Refusal, method: &Method, template: &str, address: Option<IpAddr>) {
        if !matches!(refusal.problem.kind, ProblemKind::Unauthorized | ProblemKind::Forbidden) {
            return;
        }
        let actor = refusal.caller.as_ref().map_or("anonymous", |caller| &caller.subject);
        let action = match refusal.problem.kind {
            ProblemKind::Unauthorized => "access.unauthenticated",
            _ => "access.refused",
        };
        if self.0.refusals.is_due(&(actor, address, method.as_str(), template), now_ms()) {
            let subject = format!("{method} {template}");
            self.0.ledger.note(Entry { address, outcome: Outcome::Refused, ..Entry::new(actor, action, subject) });
        }
    }

    /// Notes a read that is about one person, and whatever else the table says. Nobody waits for it.
    fn note_read(&self, caller: &Caller, row: &Route, path: &str, address: Option<IpAddr>, status: u16) {
        let asset = asset_in(&row.path, path);
        let is_person = matches!(asset, Some((Kind::Driver | Kind::Rider, _)));
        let (action, subject) = match (row.audit, &asset) {
            (Audit::No, _) => return,
            (Audit::OfPersons, Some((kind, id))) if is_person => {
                ("location.read".into(), format!("{kind}/{}", decoded(id)))
            }
            (Audit::OfPersons, _) => return,
            (Audit::Always, _) => (action_of(row), path.trim_start_matches("/api/v1/").to_owned()),
        };
        let outcome = match status {
            ..=399 => Outcome::Ok,
            401 | 403 | 404 => Outcome::Refused,
            _ => Outcome::Failed,
        };
        let fleet = asset.and_then(|(kind, id)| self.0.directory.fleet_of(kind, &decoded(id)));
        let fleet = fleet.map(|fleet| fleet.to_string());
        self.0.ledger.note(Entry { fleet, address, outcome, ..Entry::new(caller.subject.clone(), action, subject) });
    }
}

/// From where a request comes.
pub(crate) fn address_of(request: &Request) -> Option<IpAddr> {
    address_in(request.extensions())
}

/// The same, of what came along with it.
pub(crate) fn address_in(extensions: &Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<ConnectInfo<Peer>>().map(|peer| peer.0.address.ip());
    let address = peer.or_else(|| extensions.get::<ConnectInfo<SocketAddr>>().map(|address| address.0.ip()));
    address.map(|address| address.to_canonical())
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn answer(problem: Problem, taken: Option<Taken>, template: &str) -> Response {
    let kind = problem.kind;
    let code = problem.code.clone();
    let mut response = problem.into_response();
    let headers = response.headers_mut();
    match kind {
        ProblemKind::Unauthorized => {
            let asked = if code == "bad_credentials" { "Bearer error=\"invalid_token\"" } else { "Bearer" };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(asked));
        }
        ProblemKind::MethodNotAllowed => {
            if let Ok(methods) = HeaderValue::try_from(methods_of(template)) {
                headers.insert(header::ALLOW, methods);
            }
        }
        _ => {}
    }
    if let Some(taken) = taken {
        taken.write(headers);
    }
    response
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = text(headers, header::AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// True for what a browser opens without headers of our choosing.
fn opens_stream(request: &Request) -> bool {
    let accepts_events = || text(request.headers(), "accept").is_some_and(|types| types.contains("text/event-stream"));
    request.method() == Method::GET && (is_upgrade(request) || accepts_events())
}

fn is_upgrade(request: &Request) -> bool {
    text(request.headers(), "upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
}

/// Takes `access_token` out of the query, so that neither a handler nor a log sees it.
fn take_from_query(request: &mut Request) -> Option<String> {
    const NAME: &str = "access_token=";
    let query = request.uri().query()?;
    let token = query.split('&').find_map(|pair| pair.strip_prefix(NAME))?.to_owned();
    let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with(NAME)).collect();
    let path = request.uri().path();
    let left = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(left).ok()?);
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    Some(token)
}

/// A cookie is sent by a browser whoever made it ask: a change must come from our own page, and so must a WebSocket.
fn is_our_page(found: &Found, request: &Request) -> Result<(), Problem> {
    if found.via != Via::Cookie {
        return Ok(());
    }
    let headers = request.headers();
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let is_marked = || text(headers, OUR_PAGE) == Some("1");
    let is_ours = match (is_upgrade(request), changes) {
        (true, _) => is_same_origin(headers),
        (false, true) => is_marked() || is_same_origin(headers),
        (false, false) => true,
    };
    let message = "with a cookie, this is for Drover's own page only";
    let help = "send the header X-Drover-Request: 1, or use a token in place of the cookie";
    is_ours.then_some(()).ok_or_else(|| Problem::new(ProblemKind::Forbidden, "cross_site", message, help))
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    let origin = text(headers, "origin").and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_some_and(|origin| text(headers, "host").is_some_and(|host| host.eq_ignore_ascii_case(origin)))
}

fn nobodys(problem: Problem) -> Refusal {
    Refusal { problem, caller: None }
}

fn unauthorized(had_credentials: bool) -> Problem {
    let (code, message) = match had_credentials {
        true => ("bad_credentials", "the credentials are not good, or not good any more"),
        false => ("unauthenticated", "this needs credentials"),
    };
    let help = "log in at POST /api/v1/auth/login, or send an API key or a device token as Authorization: Bearer";
    Problem::new(ProblemKind::Unauthorized, code, message, help)
}

fn change_password_first() -> Problem {
    let message = "the password was for one login: change it first";
    Problem::new(ProblemKind::Forbidden, "password_change_required", message, "POST /api/v1/auth/password")
}

fn too_fast(seconds: u32) -> Problem {
    let help = "wait as long as Retry-After says";
    Problem::new(ProblemKind::TooMany, "rate_limited", "too many requests", help).retry_after(seconds)
}

fn methods_of(template: &str) -> String {
    let methods: Vec<&str> = routes().iter().filter(|row| row.path == template).map(|row| row.method).collect();
    methods.join(", ")
}

fn no_row(method: &Method, template: &str) -> Problem {
    if routes().iter().any(|row| row.path == template) {
        let message = format!("{method} is not possible at {template}");
        return Problem::new(ProblemKind::MethodNotAllowed, "method_not_allowed", message, "see /docs");
    }
    tracing::error!(%method, path = template, "a route has no row in the table of routes: nobody gets through");
    Problem::new(ProblemKind::Forbidden, "forbidden", "nobody may do this", "report this as a fault")
}

/// Kind and id, where the path names an asset.
fn asset_in<'a>(template: &str, path: &'a str) -> Option<(Kind, &'a str)> {
    let (mut kind, mut id) = (None, None);
    for (wanted, part) in template.split('/').zip(path.split('/')) {
        match wanted {
            "{kinds}" => kind = Kind::ALL.into_iter().find(|kind| part == kind.plural()),
            "{id}" => id = Some(part),
            _ => {}
        }
    }
    Some((kind?, id?))
}

/// A part of a path in the clear: who reads of `d%2D1` reads of `d-1`.
fn decoded(part: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(part.len()), part.as_bytes());
    while let [first, others @ ..] = rest {
        let hex = others.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &others[2..] } else { others };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `sql.post`, `customers.export`, `orders.driver-location`.
fn action_of(row: &Route) -> Cow<'static, str> {
    let words: Vec<&str> = row.path.split('/').skip(3).filter(|word| !word.starts_with('{')).collect();
    match words[..] {
        ["orders", "driver-location"] => "location.read".into(),
        [noun] => format!("{noun}.{}", row.method.to_ascii_lowercase()).into(),
        [noun, .., verb] => format!("{noun}.{verb}").into(),
        [] => "request".into(),
    }
}
