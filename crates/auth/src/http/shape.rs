//! The shape of requests and answers that the routes of this door share.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use drover_access::ClientOrigin;
use drover_answer::{ErrorEnvelope, INTERFACE_VERSION, Problem, ProblemKind, now_ms};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::{IntoResponses, ToSchema};

use crate::login::Client;
use crate::people::time_text;

/// Records on a page.
const LIMIT_USUAL: usize = 25;
const LIMIT_MAX: usize = 1000;

/// One record, or a page of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IdentityEnvelope<T> {
    /// Always `success`.
    status: &'static str,
    /// The HTTP status code.
    code: u16,
    /// What was asked for.
    data: T,
    /// Facts about the answer.
    meta: IdentityMeta,
}

/// Facts about an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IdentityMeta {
    /// Time of the answer, RFC 3339.
    timestamp: String,
    /// Version of the interface.
    version: &'static str,
    /// Where the page stands; for lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<IdentityPage>,
}

/// Where a page stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IdentityPage {
    /// Its number, from 1.
    page: usize,
    /// Records on a page.
    limit: usize,
    /// Records in all.
    total: usize,
}

/// Which page.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Page {
    pub(super) page: Option<usize>,
    pub(super) limit: Option<usize>,
}

/// An answer with one record.
pub(super) fn one<T>(code: u16, data: T) -> Json<IdentityEnvelope<T>> {
    Json(IdentityEnvelope { status: "success", code, data, meta: meta(None) })
}

/// An answer with a page of records.
pub(super) fn page_of<T>(all: Vec<T>, page: Page) -> Result<Json<IdentityEnvelope<Vec<T>>>, Problem> {
    let (number, limit) = (page.page.unwrap_or(1), Problem::page_limit(page.limit, LIMIT_USUAL, LIMIT_MAX)?);
    if number == 0 {
        return Err(Problem::invalid("page", "page is 0; pages are counted from 1"));
    }
    let pagination = IdentityPage { page: number, limit, total: all.len() };
    let data = all.into_iter().skip((number - 1).saturating_mul(limit)).take(limit).collect();
    Ok(Json(IdentityEnvelope { status: "success", code: 200, data, meta: meta(Some(pagination)) }))
}

fn meta(pagination: Option<IdentityPage>) -> IdentityMeta {
    IdentityMeta { timestamp: time_text(now_ms()), version: INTERFACE_VERSION, pagination }
}

/// A JSON body, read strictly.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let read = Json::<T>::from_request(request, state).await;
        read.map(|Json(body)| Body(body)).map_err(|rejection| wrong_body(&rejection))
    }
}

fn wrong_body(rejection: &JsonRejection) -> Problem {
    let (message, help) = (rejection.body_text(), "send a JSON object as /docs says");
    match rejection {
        JsonRejection::JsonDataError(_) => {
            let field = field_named(&message);
            Problem { field, ..Problem::new(ProblemKind::Invalid, "invalid", message, help) }
        }
        JsonRejection::MissingJsonContentType(_) => {
            let help = "send Content-Type: application/json";
            Problem::new(ProblemKind::Unsupported, "unsupported", message, help)
        }
        JsonRejection::BytesRejection(_) if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(ProblemKind::TooLarge, "too_large", message, "send less")
        }
        _ => Problem::new(ProblemKind::Malformed, "malformed", message, help),
    }
}

/// The field that a message of the JSON reader names between backquotes.
fn field_named(message: &str) -> Option<std::borrow::Cow<'static, str>> {
    let is_named = message.contains("unknown field") || message.contains("missing field");
    message.split('`').nth(1).filter(|_| is_named).map(|field| field.to_owned().into())
}

/// A part of the path.
pub(super) struct InPath<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath<T>, Problem> {
        let read: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        Ok(InPath(read?.0))
    }
}

/// The query.
pub(super) struct InQuery<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InQuery<T>, Problem> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        Ok(InQuery(read?.0))
    }
}

/// From where a request comes, and whether nobody can read along.
pub(super) struct Whence {
    pub(super) client: Client,
    pub(super) is_secured: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Whence {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Whence, Problem> {
        let ClientOrigin { address, is_secured } = parts.extensions.get().copied().unwrap_or_default();
        let agent = header_text(&parts.headers, header::USER_AGENT.as_str()).unwrap_or_default().to_owned();
        Ok(Whence { client: Client { address, agent }, is_secured })
    }
}

/// A header as text.
pub(super) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What may be wrong with a request about identities, for the documentation.
#[derive(Debug, IntoResponses)]
#[expect(dead_code, reason = "it is read by the documentation only")]
pub(super) enum Problems {
    /// The request cannot be read.
    #[response(status = 400)]
    Malformed(#[to_schema] ErrorEnvelope),
    /// There is no such thing within reach.
    #[response(status = 404)]
    NotFound(#[to_schema] ErrorEnvelope),
    /// It contradicts what is there.
    #[response(status = 409)]
    Conflict(#[to_schema] ErrorEnvelope),
    /// The body is larger than allowed.
    #[response(status = 413)]
    TooLarge(#[to_schema] ErrorEnvelope),
    /// The body is not JSON.
    #[response(status = 415)]
    Unsupported(#[to_schema] ErrorEnvelope),
    /// A value is not allowed.
    #[response(status = 422)]
    Invalid(#[to_schema] ErrorEnvelope),
    /// The database is away; `Retry-After` says when to try again.
    #[response(status = 503)]
    Unavailable(#[to_schema] ErrorEnvelope),
}
