//! The guard: stands before every route, finds out who asks, and lets through what the table of routes allows. What a
//! handler shows of it is the handler's matter.

use crate::Auth;
use crate::credentials::{Found, Via};
use crate::limits::Taken;
use crate::login::site_of;
use crate::loopback::is_from_here;
use crate::proxies;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use drover_access::{
    Audit, Caller, ClientOrigin, Look, Needs, Noter, Permission, ReportLimit, Role, Route, Shown, coming_from,
    is_person, route, routes,
};
use drover_answer::{Problem, ProblemKind, now_ms};
use drover_certs::Peer;
use drover_ledger::{Entry, Ledger, Outcome};
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
    if auth.0.settings.dev
        && let Err(problem) = is_from_here(request.headers())
    {
        return problem.into_response();
    }
    let address = auth.see_origin(&mut request);
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        return match is_socket_io(request.uri().path()) {
            true => auth.guard_socket_io(request, next, address).await,
            false => next.run(request).await,
        };
    };
    let template = path.as_str();
    if PAGES.contains(&template) {
        return next.run(request).await;
    }
    let (method, concrete) = (request.method().clone(), request.uri().path().to_owned());
    let (passed, taken) = auth.admit(&mut request, template, address);
    let passed = match passed {
        Ok(passed) => passed,
        Err(refusal) => {
            auth.note_refused(&refusal, &method, template, address);
            return answer(*refusal.problem, taken, template);
        }
    };
    let mut response = coming_from(address, next.run(request)).await;
    if let Some(taken) = taken {
        taken.write(response.headers_mut());
    }
    let shown = response.extensions_mut().remove::<Shown>();
    if let Some(route) = passed.route {
        let read = Read { route, path: &concrete, address, status: response.status(), shown };
        if read.is_of_a_person() {
            // Where somebody is belongs into no cache on the way.
            let headers = response.headers_mut();
            headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        }
        auth.note_read(passed.caller.as_ref(), read);
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
    problem: Box<Problem>,
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
            return (Err(Refusal { problem: Box::new(too_fast(seconds)), caller }), taken);
        }
        let passed = self.judge(found, had_credentials, row, request);
        if let Ok(Passed { caller: Some(caller), .. }) = &passed {
            self.goes_with(caller, request);
            if row.needs == Needs::May(Permission::ReportsWrite) && is_upgrade(request) {
                request.extensions_mut().insert(self.report_limit(caller));
            }
        }
        if row.method == "GET" {
            // It may be a stream, whatever it says that it accepts.
            request.extensions_mut().insert(self.noter());
        }
        request.extensions_mut().insert(self.0.directory.clone());
        (passed, taken)
    }

    fn goes_with(&self, caller: &Caller, request: &mut Request) {
        request.extensions_mut().insert(caller.clone());
        request.extensions_mut().insert(self.until(caller));
    }

    /// How fast a device may report over a connection; whoever else it is has no limit there.
    fn report_limit(&self, caller: &Caller) -> ReportLimit {
        if caller.role != Role::Device || self.0.settings.limits.is_none() {
            return ReportLimit::default();
        }
        let (auth, caller) = (self.clone(), caller.clone());
        ReportLimit::new(move || auth.take_report(&caller))
    }

    /// From where the request comes, seen past trusted proxies; puts it beside the request.
    fn see_origin(&self, request: &mut Request) -> Option<IpAddr> {
        let peer = peer_in(request.extensions());
        let origin = proxies::origin(peer, request.headers(), &self.0.settings.trusted_proxies);
        request.extensions_mut().insert(origin);
        origin.address
    }

    /// Socket.IO has no row in the table: who connects may say later who he is. What is said before is taken along; the
    /// request that opens a connection has its limits, those that go on with one have those of the connection.
    async fn guard_socket_io(&self, mut request: Request, next: Next, address: Option<IpAddr>) -> Response {
        let (found, _) = self.find(&mut request);
        let found = found.filter(|found| !found.must_change_password && is_our_page(found, &request).is_ok());
        let mut taken = None;
        if opens_session(&request) {
            taken = self.take_request(found.as_ref().map(|found| &found.caller), address);
            if let Some(seconds) = taken.and_then(|taken| taken.wait_s) {
                return answer(too_fast(seconds), taken, "");
            }
            if let (None, Some(address), Some(_)) = (&found, address, self.0.settings.limits) {
                let Some(stranger) = self.0.strangers.enter(site_of(address)) else {
                    return answer(too_many_strangers(), taken, "");
                };
                request.extensions_mut().insert(stranger);
            }
        }
        if let Some(found) = found {
            self.goes_with(&found.caller, &mut request);
        }
        request.extensions_mut().insert(self.noter());
        request.extensions_mut().insert(self.0.directory.clone());
        let mut response = next.run(request).await;
        if let Some(taken) = taken {
            taken.write(response.headers_mut());
        }
        response
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
        let refused = |problem| Refusal { problem: Box::new(problem), caller: Some(found.caller.clone()) };
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
        if PROBES.contains(&row.path.as_str()) {
            return None;
        }
        let caller = found.map(|found| &found.caller);
        let reports = row.method == "POST" && row.needs == Needs::May(Permission::ReportsWrite);
        match caller.filter(|caller| caller.role == Role::Device && reports) {
            Some(device) => self.0.buckets.turn("device", &*device.subject, self.0.settings.limits?.device),
            None => self.take_request(caller, address),
        }
    }

    /// A turn of a caller, or of an address without credentials.
    fn take_request(&self, caller: Option<&Caller>, address: Option<IpAddr>) -> Option<Taken> {
        let limits = self.0.settings.limits?;
        match caller {
            Some(caller) => self.0.buckets.turn("caller", &*caller.subject, limits.caller),
            None => self.0.buckets.turn("address", &site_of(address?), limits.address),
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
    fn note_read(&self, caller: Option<&Caller>, read: Read<'_>) {
        let Read { route, path, address, status, shown } = read;
        let outcome = match status.as_u16() {
            ..=399 => Outcome::Ok,
            401 | 403 | 404 => Outcome::Refused,
            _ => Outcome::Failed,
        };
        let (persons, asked) = shown.map_or_else(Default::default, |shown| (shown.persons, shown.asked));
        let actor = caller.map_or("anonymous", |caller| &caller.subject);
        let note = |action: Cow<'static, str>, subject: String, asset: Option<(Kind, &str)>| {
            let fleet = asset.and_then(|(kind, id)| self.0.directory.fleet_of(kind, id)).map(|fleet| fleet.to_string());
            let after = Some(asked.clone()).filter(|asked| !asked.is_null());
            self.0.ledger.note(Entry { fleet, address, outcome, after, ..Entry::new(actor, action, subject) });
        };
        if !persons.is_empty() {
            for person in persons.iter().filter(|person| is_person(person.kind)) {
                // Who did not have to say who he is asks again and again: once a minute will do.
                let who = (actor, address, person, "location.read");
                if caller.is_some() || self.0.refusals.is_due(&who, now_ms()) {
                    note("location.read".into(), person.to_string(), Some((person.kind, &person.id)));
                }
            }
            return;
        }
        // What a WebSocket shows, it notes by itself.
        if caller.is_none() || status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let asset = asset_in(&route.path, path).map(|(kind, id)| (kind, decoded(id)));
        let asset = asset.as_ref().map(|(kind, id)| (*kind, id.as_str()));
        match (route.audit, asset) {
            (Audit::OfPersons, Some((kind, id))) if is_person(kind) => {
                note("location.read".into(), format!("{kind}/{id}"), asset);
            }
            (Audit::Always, _) => note(action_of(route), path.trim_start_matches("/api/v1/").to_owned(), asset),
            _ => {}
        }
    }

    /// What connections that stay open tell the audit by. Nobody waits for it.
    pub fn noter(&self) -> Noter {
        self.0.noter.get_or_init(|| noter(self.0.ledger.clone())).clone()
    }
}

fn noter(ledger: Ledger) -> Noter {
    Noter::new(move |look| {
        let Look { actor, action, subject, fleet, address, refused, after } = look;
        let outcome = if refused { Outcome::Refused } else { Outcome::Ok };
        let (fleet, after) = (fleet.map(|fleet| fleet.to_string()), Some(after).filter(|after| !after.is_null()));
        ledger.note(Entry { fleet, address, outcome, after, ..Entry::new(actor, action, subject) });
    })
}

/// A request that was answered.
struct Read<'a> {
    route: &'static Route,
    path: &'a str,
    address: Option<IpAddr>,
    status: StatusCode,
    shown: Option<Shown>,
}

impl Read<'_> {
    /// True if the answer tells where a driver or rider is, or was: its address says so, or its handler.
    fn is_of_a_person(&self) -> bool {
        let asset = asset_in(&self.route.path, self.path).filter(|_| self.route.audit == Audit::OfPersons);
        let shown = self.shown.iter().flat_map(|shown| &shown.persons);
        asset.is_some_and(|(kind, _)| is_person(kind)) || shown.into_iter().any(|person| is_person(person.kind))
    }
}

/// Who connected, whoever stands behind.
fn peer_in(extensions: &Extensions) -> ClientOrigin {
    let peer = extensions.get::<ConnectInfo<Peer>>().map(|peer| (peer.0.address.ip(), peer.0.is_secured));
    let peer = peer.or_else(|| extensions.get::<ConnectInfo<SocketAddr>>().map(|address| (address.0.ip(), false)));
    match peer {
        Some((address, is_secured)) => ClientOrigin { address: Some(address.to_canonical()), is_secured },
        None => ClientOrigin::default(),
    }
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

/// Where the layer of Socket.IO answers.
fn is_socket_io(path: &str) -> bool {
    path.strip_prefix("/socket.io").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// True of a request that goes on with no connection that is there already. One that names a connection which is not
/// there is refused for that, and costs no more than a page that is not there.
fn opens_session(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    !query.split('&').any(|pair| pair.strip_prefix("sid=").is_some_and(|sid| !sid.is_empty()))
}

fn nobodys(problem: Problem) -> Refusal {
    Refusal { problem: Box::new(problem), caller: None }
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

fn too_many_strangers() -> Problem {
    let message = "too many connections of this address have not said yet who they are";
    let help = "wait as long as Retry-After says, or connect with an Authorization header";
    Problem::new(ProblemKind::TooMany, "too_many_connections", message, help).retry_after(10)
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
