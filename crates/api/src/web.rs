//! Serves the web page from the binary. Files under `assets/` carry a hash in their name and may be
//! kept for ever; everything else is asked for again. Map archives are read by byte ranges.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use drover_answer::{Problem, ProblemKind};
use std::ops::Range;

struct File {
    address: &'static str,
    bytes: &'static [u8],
    gzip: Option<&'static [u8]>,
}

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/web_files.rs"));

const NOT_BUILT: &str = include_str!("not_built.html");

/// Only our own scripts, styles, images and connections; map workers come as blobs.
const CONTENT_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; \
    worker-src 'self' blob:; connect-src 'self' blob: data:; font-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";

/// What every page has with it.
const GUARDS: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
];

/// Answers whatever no other route took.
pub async fn fallback(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let is_page = path.is_empty() || path == "index.html";
    if method != Method::GET && method != Method::HEAD {
        return no_such_address(&method, &uri).into_response();
    }
    match FILES.iter().find(|file| file.address == if is_page { "index.html" } else { path }) {
        Some(file) => serve(file, &headers),
        None if is_page => Html(NOT_BUILT).into_response(),
        None => no_such_address(&method, &uri).into_response(),
    }
}

/// Answers a known path asked with a method that it does not have.
pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let message = format!("{} does not take {method}", uri.path());
    Problem::new(
        ProblemKind::MethodNotAllowed,
        "method_not_allowed",
        message,
        "see /docs for the methods of each address",
    )
}

fn no_such_address(method: &Method, uri: &Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(
        ProblemKind::NotFound,
        "not_found",
        format!("there is nothing at {method} {path}"),
        "see /docs for the addresses",
    )
}

/// Says what a page of ours may load, and that no other may show it in a frame.
pub async fn guard_page(mut response: Response) -> Response {
    for (name, value) in GUARDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn serve(file: &File, headers: &HeaderMap) -> Response {
    let mut response = match range(headers, file.bytes.len()) {
        Wanted::All => whole(file, headers),
        Wanted::Part(range) => part(file, range),
        Wanted::Impossible => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            let size = format!("bytes */{}", file.bytes.len());
            response.headers_mut().insert(header::CONTENT_RANGE, HeaderValue::from_str(&size).expect("digits"));
            response
        }
    };
    let cache = if file.address.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    for (name, value) in [
        (header::CONTENT_TYPE, content_type(file.address)),
        (header::CACHE_CONTROL, cache),
        (header::ACCEPT_RANGES, "bytes"),
    ]
    .into_iter()
    .chain(GUARDS)
    {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn whole(file: &File, headers: &HeaderMap) -> Response {
    let takes_gzip =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(|v| v.contains("gzip"));
    match file.gzip.filter(|_| takes_gzip) {
        Some(packed) => (
            [(header::CONTENT_ENCODING, "gzip"), (header::VARY, "accept-encoding")],
            Body::from(Bytes::from_static(packed)),
        )
            .into_response(),
        None => Body::from(Bytes::from_static(file.bytes)).into_response(),
    }
}

fn part(file: &File, range: Range<usize>) -> Response {
    let size = format!("bytes {}-{}/{}", range.start, range.end - 1, file.bytes.len());
    let body = Body::from(Bytes::from_static(&file.bytes[range]));
    (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, size)], body).into_response()
}

enum Wanted {
    All,
    Part(Range<usize>),
    Impossible,
}

/// A single byte range; anything more refined gets the whole file, as the standard allows.
fn range(headers: &HeaderMap, size: usize) -> Wanted {
    let text = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(|v| v.strip_prefix("bytes="));
    let Some((first, last)) = text.filter(|t| !t.contains(',')).and_then(|t| t.split_once('-')) else {
        return Wanted::All;
    };
    let range = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(tail)) if first.is_empty() => size.saturating_sub(tail)..size,
        _ => return Wanted::All,
    };
    if range.is_empty() { Wanted::Impossible } else { Wanted::Part(range) }
}

fn content_type(address: &str) -> &'static str {
    match address.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("json" | "geojson" | "webmanifest") => "application/json",
        Some("woff2") => "font/woff2",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
