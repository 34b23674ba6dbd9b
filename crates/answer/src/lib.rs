//! How every HTTP door says that something is wrong: a kind of problem decides the status code here
//! and nowhere else, and the body says what is wrong, where, and what to do.

mod unread;

pub use unread::mind_unread_bodies;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use drover_model::{Kind, Reject, RejectCode, format_time};
use serde::Serialize;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};
use utoipa::{IntoResponses, ToSchema};

/// What sort of problem it is; decides the status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request cannot be read.
    Malformed,
    /// No credentials, or none that are good.
    Unauthorized,
    /// The role does not allow it.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// It contradicts what is already there.
    Conflict,
    /// It has changed since the caller read it.
    Changed,
    /// The body is larger than allowed.
    TooLarge,
    /// A coding of the body that is not understood.
    Unsupported,
    /// A value is not allowed.
    Invalid,
    /// The sender is too fast.
    TooMany,
    /// Not now; the same request may pass later.
    Unavailable,
    /// A fault in Drover.
    Internal,
}

impl ProblemKind {
    /// The HTTP status code.
    pub const fn status(self) -> StatusCode {
        match self {
            ProblemKind::Malformed => StatusCode::BAD_REQUEST,
            ProblemKind::Unauthorized => StatusCode::UNAUTHORIZED,
            ProblemKind::Forbidden => StatusCode::FORBIDDEN,
            ProblemKind::NotFound => StatusCode::NOT_FOUND,
            ProblemKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ProblemKind::Conflict => StatusCode::CONFLICT,
            ProblemKind::Changed => StatusCode::PRECONDITION_FAILED,
            ProblemKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ProblemKind::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ProblemKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            ProblemKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
            ProblemKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ProblemKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// One problem, ready to be answered.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Decides the status code.
    pub kind: ProblemKind,
    /// A word for programs.
    pub code: Cow<'static, str>,
    /// A sentence for people.
    pub message: String,
    /// The offending field, where there is one.
    pub field: Option<Cow<'static, str>>,
    /// What to do about it.
    pub help: &'static str,
    /// When to try again, seconds.
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem without a field.
    pub fn new(kind: ProblemKind, code: &'static str, message: impl Into<String>, help: &'static str) -> Problem {
        Problem { kind, code: code.into(), message: message.into(), field: None, help, retry_after_s: None }
    }

    /// A value of `field` that is not allowed.
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Problem {
        let help = "correct the field and send the request again";
        Problem { field: Some(field.into()), ..Problem::new(ProblemKind::Invalid, "out_of_range", message, help) }
    }

    /// What a reader of queries or bodies (of serde's) could not make sense of: the code says how, the field is the one that
    /// its text names, or `whole`.
    pub fn unread(whole: &'static str, text: &str) -> Problem {
        let (code, field, message) = asked_wrongly(whole, text);
        Problem { code: code.into(), field: Some(field.to_owned().into()), ..Problem::invalid(whole, message) }
    }

    /// How many a page holds: `usual` where nothing is asked. Refuses none, and more than `most`: who asks for more than he
    /// gets would take the page for all there is.
    pub fn page_limit(asked: Option<usize>, usual: usize, most: usize) -> Result<usize, Problem> {
        let limit = asked.unwrap_or(usual);
        if (1..=most).contains(&limit) {
            return Ok(limit);
        }
        Err(Problem::invalid("limit", format!("limit is {limit}; allowed are whole numbers from 1 to {most}")))
    }

    /// Says when the same request may pass.
    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl From<Reject> for Problem {
    fn from(reject: Reject) -> Problem {
        let (kind, help) = match reject.code {
            RejectCode::Malformed => {
                (ProblemKind::Malformed, "send a JSON object, a JSON array, or one object per line; see /docs")
            }
            RejectCode::Conflict => (ProblemKind::Conflict, "give each report of an asset its own timestamp"),
            RejectCode::RateLimited => (ProblemKind::TooMany, "wait, then send the report again"),
            RejectCode::NotAllowed => {
                (ProblemKind::Forbidden, "send with the credentials of the asset, or of somebody who may report for it")
            }
            RejectCode::ClockAhead | RejectCode::ClockBehind => {
                (ProblemKind::Invalid, "set the device's clock, or leave the timestamp out")
            }
            _ => (ProblemKind::Invalid, "correct the field and send the report again; see /docs"),
        };
        let retry_after_s = (kind == ProblemKind::TooMany).then_some(1);
        let field = Some(reject.field).filter(|field| !field.is_empty());
        Problem { kind, code: reject.code.name().into(), message: reject.message, field, help, retry_after_s }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Problem {
        let help = "percent-encode the address as UTF-8";
        Problem::new(ProblemKind::Malformed, "malformed", rejection.body_text(), help)
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        let text = rejection.body_text();
        let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        Problem::unread("query", text)
    }
}

/// What a reader of queries or bodies says, as a code, the field it is about (`whole`, if it names none), and a sentence.
fn asked_wrongly<'a>(whole: &'static str, text: &'a str) -> (&'static str, &'a str, String) {
    let quoted = |before: &str| {
        let (_, rest) = text.split_once(before)?;
        rest.split_once('`')
    };
    if let Some((name, _)) = quoted("missing field `") {
        return ("missing_field", name, format!("{name} is missing"));
    }
    if let Some((name, allowed)) = quoted("unknown field `") {
        let allowed = allowed.trim_start_matches(", ").replace('`', "");
        return ("unknown_field", name, format!("there is no field {name:?} here; {allowed}"));
    }
    if let Some((name, _)) = quoted("duplicate field `") {
        return ("out_of_range", name, format!("{name} is given twice"));
    }
    match text.split_once(": ") {
        Some((name, problem)) if name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') => {
            ("wrong_type", name, format!("{name}: {problem}"))
        }
        _ => ("out_of_range", whole, text.to_owned()),
    }
}

/// What may be wrong with a request that sends, for the documentation.
#[derive(Debug, IntoResponses)]
pub enum SendProblems {
    /// The request cannot be read.
    #[response(status = 400)]
    Malformed(#[to_schema] ErrorEnvelope),
    /// There is no such kind.
    #[response(status = 404)]
    NotFound(#[to_schema] ErrorEnvelope),
    /// Another report of this asset has the same timestamp.
    #[response(status = 409)]
    Conflict(#[to_schema] ErrorEnvelope),
    /// The body is larger than allowed.
    #[response(status = 413)]
    TooLarge(#[to_schema] ErrorEnvelope),
    /// The content-encoding is not understood.
    #[response(status = 415)]
    Unsupported(#[to_schema] ErrorEnvelope),
    /// A value is not allowed.
    #[response(status = 422)]
    Invalid(#[to_schema] ErrorEnvelope),
    /// The device sends too fast.
    #[response(status = 429)]
    TooMany(#[to_schema] ErrorEnvelope),
    /// Reports are not taken now; `Retry-After` says when to try again.
    #[response(status = 503)]
    Unavailable(#[to_schema] ErrorEnvelope),
}

/// What may be wrong with a request that reads, for the documentation.
#[derive(Debug, IntoResponses)]
pub enum ReadProblems {
    /// The request cannot be read.
    #[response(status = 400)]
    Malformed(#[to_schema] ErrorEnvelope),
    /// There is no such thing.
    #[response(status = 404)]
    NotFound(#[to_schema] ErrorEnvelope),
    /// The body is larger than allowed.
    #[response(status = 413)]
    TooLarge(#[to_schema] ErrorEnvelope),
    /// A value is not allowed.
    #[response(status = 422)]
    Invalid(#[to_schema] ErrorEnvelope),
    /// Not now; `Retry-After` says when to try again.
    #[response(status = 503)]
    Unavailable(#[to_schema] ErrorEnvelope),
}

/// The body of every error answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorEnvelope {
    /// Always `error`.
    pub status: &'static str,
    /// The HTTP status code.
    pub code: u16,
    /// When and by what it was answered.
    pub meta: Meta,
    /// What is wrong.
    pub error: ErrorBody,
}

/// Facts about the answer itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct Meta {
    /// Time of the answer, RFC 3339.
    pub timestamp: String,
    /// Version of the interface.
    pub version: &'static str,
}

/// The version of the interface that every envelope names; it changes when what is there already means something else.
pub const INTERFACE_VERSION: &str = "1.0";

impl Meta {
    /// For an answer given now.
    pub fn now() -> Meta {
        let mut timestamp = String::new();
        format_time(now_ms(), &mut timestamp);
        Meta { timestamp, version: INTERFACE_VERSION }
    }
}

/// What is wrong, where, and what to do.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// A word for programs.
    pub code: Cow<'static, str>,
    /// A sentence for people.
    pub message: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<ErrorDetails>,
    /// What to do.
    pub help: &'static str,
}

/// Where the problem is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetails {
    /// The offending field.
    pub field: Cow<'static, str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let envelope = ErrorEnvelope {
            status: "error",
            code: status.as_u16(),
            meta: Meta::now(),
            error: ErrorBody {
                code: self.code,
                message: self.message,
                details: self.field.map(|field| ErrorDetails { field }),
                help: self.help,
            },
        };
        let mut response = (status, axum::Json(envelope)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The kind that a path such as `/api/v1/drivers/…` names.
pub fn kind_in_path(word: &str) -> Result<Kind, Problem> {
    Kind::ALL.into_iter().find(|kind| word == kind.plural()).ok_or_else(|| {
        let message = format!("there is nothing at {:?}", word.chars().take(40).collect::<String>());
        let help = "use drivers, vehicles, stations, riders or others; see /docs";
        Problem::new(ProblemKind::NotFound, "not_found", message, help)
    })
}

/// The wall clock, ms UTC.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::Query;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what cannot be read is looked at")]
    struct Asked {
        from: String,
        limit: Option<u32>,
    }

    #[test]
    fn a_query_that_cannot_be_read_is_answered_with_the_parameter_and_why() {
        for (query, code, field) in [
            ("", "missing_field", "from"),
            ("from=a&limit=many", "wrong_type", "limit"),
            ("from=a&to=b", "unknown_field", "to"),
            ("from=a&from=b", "out_of_range", "from"),
        ] {
            let uri = format!("http://x/?{query}").parse().expect("an address");
            let problem = Problem::from(Query::<Asked>::try_from_uri(&uri).expect_err(query));
            assert_eq!((&*problem.code, problem.field.as_deref()), (code, Some(field)), "{problem:?}");
            assert!(problem.message.contains(field) && !problem.message.contains("deserialize"), "{problem:?}");
        }
    }

    #[test]
    fn a_body_that_cannot_be_read_is_answered_with_the_field_that_is_named() {
        let unread = |text: &str| {
            let error = serde_json::from_str::<Asked>(text).expect_err(text);
            let problem = Problem::unread("body", &error.to_string());
            (problem.code.into_owned(), problem.field.map(Cow::into_owned).unwrap_or_default())
        };
        assert_eq!(unread("{}"), ("missing_field".into(), "from".into()));
        assert_eq!(unread(r#"{"from":"a","to":1}"#), ("unknown_field".into(), "to".into()));
        assert_eq!(unread(r#"{"from":1}"#), ("out_of_range".into(), "body".into()));
    }
}
