//! What a store answers, in this crate's words: its errors and its dates.

use crate::error::{At, Error};
use http::StatusCode;
use object_store::client::{HttpError, HttpErrorKind};

/// Longest explanation of a store that is passed on, characters.
const SAID_MAX: usize = 300;

/// Who failed, for [`refusal`] and [`no_answer`].
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub doing: &'static str,
    pub address: &'a str,
    /// Whether an object was asked for, or the bucket.
    pub of_object: bool,
}

impl Asked<'_> {
    fn at(self, said: impl std::fmt::Display) -> At {
        At::new(self.doing, self.address, said)
    }
}

/// The error for an answer that is no success. Without a status, the document came with one that said success.
pub(super) fn refusal(asked: Asked<'_>, status: Option<StatusCode>, body: &str) -> Error {
    let code = tag(body, "Code").unwrap_or_default();
    let kind = by_code(&code).or_else(|| by_status(status?, asked.of_object)).unwrap_or(match status {
        Some(status) if !status.is_server_error() => Error::Refused,
        _ => Error::Trouble,
    });
    kind(asked.at(said(status, &code, body)))
}

type Kind = fn(At) -> Error;

/// The codes that say more than their status does. Stores that are not Amazon's use the same ones.
fn by_code(code: &str) -> Option<Kind> {
    Some(match code {
        "NoSuchKey" => Error::Missing,
        "NoSuchBucket" => Error::NoPlace,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => Error::Denied,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "ExpiredToken"
        | "TokenRefreshRequired"
        | "InvalidClientTokenId"
        | "NotSignedUp" => Error::Credentials,
        "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "IncorrectEndpoint" => {
            Error::Region
        }
        "PreconditionFailed" => Error::Replaced,
        "InvalidRange" => Error::Short,
        // The upload was given up by somebody, damaged on the way, came too slowly, or this machine's clock is not set
        // yet: the next try makes a new one.
        "NoSuchUpload"
        | "BadDigest"
        | "IncompleteBody"
        | "RequestTimeout"
        | "RequestTimeTooSkewed"
        | "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "ServiceUnavailable"
        | "InternalError"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "QuotaExceeded" => Error::Trouble,
        _ => return None,
    })
}

fn by_status(status: StatusCode, of_object: bool) -> Option<Kind> {
    Some(match status.as_u16() {
        301 | 302 | 307 | 308 => Error::Region,
        401 => Error::Credentials,
        403 => Error::Denied,
        404 if of_object => Error::Missing,
        404 => Error::NoPlace,
        408 | 409 | 425 | 429 => Error::Trouble,
        412 => Error::Replaced,
        416 => Error::Short,
        // What the store cannot do at all.
        501 | 505 => Error::Refused,
        _ => return None,
    })
}

fn said(status: Option<StatusCode>, code: &str, body: &str) -> String {
    let number = status.map(|status| format!(" {}", status.as_u16())).unwrap_or_default();
    let reason = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
    let code = if code.is_empty() { reason } else { code };
    let message = tag(body, "Message").map(|message| format!(": {}", message.trim_end_matches('.')));
    let said = format!("the store says{number} {code}{}", message.unwrap_or_default());
    said.chars().filter(|character| !character.is_control()).take(SAID_MAX).collect()
}

/// The text of the first such element, for documents that are flat and small.
pub(super) fn tag(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(quick_xml::escape::unescape(text).map_or_else(|_| text.to_owned(), |text| text.into_owned()))
}

/// Whether a document that came with a success is an error all the same, as some answers that take long are.
pub(super) fn is_error(body: &str) -> bool {
    body.contains("<Error>") || body.contains("<Error ")
}

/// The error for a request that got no answer.
pub(super) fn no_answer(asked: Asked<'_>, error: &HttpError) -> Error {
    let said = root(error);
    if said.contains("certificate") {
        return Error::Unreachable(asked.at(format!("{said} (a private authority has to be named in the settings)")));
    }
    match error.kind() {
        HttpErrorKind::Connect => Error::Unreachable(asked.at(format!("no connection: {said}"))),
        _ => Error::Unreachable(asked.at(format!("the connection broke: {said}"))),
    }
}

/// What is at the bottom of an error, where those above only say that there is one.
fn root(error: &HttpError) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Milliseconds of a date in a header.
pub(super) fn http_date(text: &str) -> Option<i64> {
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond())
}

/// Milliseconds, of whole seconds, of a date in a list: headers have no more.
pub(super) fn list_date(text: &str) -> Option<i64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(at.as_second() * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked<'_> = Asked { doing: "read", address: "s3://lake/x", of_object: true };

    fn error(status: u16, code: &str) -> Error {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>So &amp; so.</Message></Error>");
        refusal(ASKED, Some(StatusCode::from_u16(status).unwrap()), &body)
    }

    #[test]
    fn an_answer_is_told_with_where_and_what_the_store_said() {
        assert_eq!(
            error(404, "NoSuchBucket").to_string(),
            "cannot read s3://lake/x: the store says 404 NoSuchBucket: So & so; create it, or name another place"
        );
        let plain = refusal(ASKED, Some(StatusCode::BAD_GATEWAY), "<html>nginx</html>");
        assert_eq!(plain.to_string(), "cannot read s3://lake/x: the store says 502 Bad Gateway");
    }

    #[test]
    fn what_passes_is_told_from_what_needs_somebody() {
        for (status, code) in [(503, "SlowDown"), (500, "InternalError"), (400, "RequestTimeout"), (429, ""), (502, "")]
        {
            assert!(error(status, code).is_passing(), "{status} {code}");
        }
        for (status, code) in
            [(404, "NoSuchKey"), (403, "AccessDenied"), (400, "InvalidArgument"), (501, "NotImplemented")]
        {
            assert!(!error(status, code).is_passing(), "{status} {code}");
        }
    }

    #[test]
    fn codes_and_bare_statuses_have_their_kinds() {
        assert!(matches!(error(403, "SignatureDoesNotMatch"), Error::Credentials(_)));
        assert!(matches!(error(403, "InvalidAccessKeyId"), Error::Credentials(_)));
        assert!(matches!(error(403, ""), Error::Denied(_)));
        assert!(matches!(error(301, "PermanentRedirect"), Error::Region(_)));
        assert!(matches!(error(404, ""), Error::Missing(_)));
        let bucket = Asked { of_object: false, ..ASKED };
        assert!(matches!(refusal(bucket, Some(StatusCode::NOT_FOUND), ""), Error::NoPlace(_)));
        assert!(error(412, "").is_replaced());
        assert!(matches!(error(416, ""), Error::Short(_)));
    }

    #[test]
    fn dates_are_whole_seconds_everywhere() {
        assert_eq!(http_date("Wed, 21 Oct 2015 07:28:00 GMT"), Some(1_445_412_480_000));
        assert_eq!(list_date("2015-10-21T07:28:00.789Z"), Some(1_445_412_480_000));
        assert_eq!(http_date("yesterday"), None);
    }
}
