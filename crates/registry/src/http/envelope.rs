//! How records are answered: one envelope, entity tags from versions, and what `If-Match` and `If-None-Match` ask.

use crate::error::changed;
use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use drover_answer::{INTERFACE_VERSION, Problem, now_ms};
use drover_model::format_time;
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
struct Envelope<T: Serialize> {
    status: &'static str,
    code: u16,
    data: T,
    meta: Meta,
}

#[derive(Serialize)]
struct Meta {
    timestamp: String,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<Pagination>,
}

/// Which part of a list it is.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Pagination {
    /// From 1.
    pub page: u64,
    /// Records on a page.
    pub limit: u64,
    /// Records on all pages.
    pub total: u64,
}

/// A success with `data`.
pub(super) fn success(status: StatusCode, data: impl Serialize) -> Response {
    envelope(status, data, None)
}

/// One page of a list.
pub(super) fn page(data: Vec<Value>, pagination: Pagination) -> Response {
    envelope(StatusCode::OK, data, Some(pagination))
}

/// One record, with its version as entity tag.
pub(super) fn record(status: StatusCode, data: Value, version: i64) -> Response {
    let mut response = success(status, data);
    response.headers_mut().insert(header::ETAG, etag(version));
    response
}

/// What the client has is what there is.
pub(super) fn not_modified(version: i64) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, etag(version))]).into_response()
}

fn envelope(status: StatusCode, data: impl Serialize, pagination: Option<Pagination>) -> Response {
    let mut timestamp = String::new();
    format_time(now_ms(), &mut timestamp);
    let meta = Meta { timestamp, version: INTERFACE_VERSION, pagination };
    (status, Json(Envelope { status: "success", code: status.as_u16(), data, meta })).into_response()
}

/// The entity tag of a version: `"7"`.
pub(super) fn etag(version: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// True if `If-None-Match` names this version.
pub(super) fn is_known(headers: &HeaderMap, version: i64) -> bool {
    is_tag_known(headers, &format!("\"{version}\""))
}

/// True if `If-None-Match` names this tag, strong or weak.
pub(super) fn is_tag_known(headers: &HeaderMap, own: &str) -> bool {
    tags(headers, header::IF_NONE_MATCH)
        .is_some_and(|tags| tags.iter().any(|tag| tag == "*" || tag.trim_start_matches("W/") == own))
}

/// Whether the request asks for a certain version.
pub(super) fn has_condition(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_NONE_MATCH)
}

/// 412 unless `If-Match` names this version, and if `If-None-Match` does. Weak tags match nothing in the first, as RFC 9110
/// has it.
pub(super) fn check_condition(headers: &HeaderMap, version: i64) -> Result<(), Problem> {
    let own = format!("\"{version}\"");
    match tags(headers, header::IF_MATCH) {
        Some(tags) if !tags.iter().any(|tag| tag == "*" || *tag == own) => Err(changed(version)),
        _ if is_known(headers, version) => Err(changed(version)),
        _ => Ok(()),
    }
}

fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    let words = |line: &HeaderValue| -> Vec<String> {
        let text = line.to_str().unwrap_or_default();
        text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect()
    };
    Some(lines.flat_map(words).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_condition_holds_for_its_own_tag_a_list_with_it_and_a_star() {
        for (said, holds) in
            [("\"7\"", true), ("\"6\", \"7\"", true), ("*", true), ("\"6\"", false), ("W/\"7\"", false), ("", false)]
        {
            assert_eq!(check_condition(&with(header::IF_MATCH, said), 7).is_ok(), holds, "{said}");
        }
        assert!(check_condition(&HeaderMap::new(), 7).is_ok());
    }

    #[test]
    fn what_is_known_is_told_by_weak_tags_too() {
        for (said, known) in [("\"7\"", true), ("W/\"7\"", true), ("*", true), ("\"8\"", false)] {
            assert_eq!(is_known(&with(header::IF_NONE_MATCH, said), 7), known, "{said}");
        }
        assert!(!is_known(&HeaderMap::new(), 7));
    }
}
