//! Pages of other origins that may ask this node from a browser: the Fetch standard's CORS protocol, for the origins that
//! the configuration names. Cookies never go along (no `Access-Control-Allow-Credentials`), so such a page has the rights of
//! the token that it sends, and of nothing that the browser holds.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// What a page may send beside what it always may.
const REQUEST_HEADERS: &str = "Authorization, X-API-Key, Content-Type, Content-Encoding, If-Match, If-None-Match, \
                               Idempotency-Key, Last-Event-ID";
/// What a page may read beside what it always may.
const ANSWER_HEADERS: &str = "ETag, Location, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, \
                              Content-Disposition, Idempotency-Replayed";
/// How long a browser may keep the answer to a preflight, s.
const PREFLIGHT_KEPT_S: &str = "3600";

/// Origins that may ask, `https://shop.example.com`; `*` is any.
#[derive(Debug)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Origins as browsers name them: scheme, host, and a port that is not the scheme's own. Anything else is an error that
    /// says so.
    pub fn parse(texts: &[String]) -> anyhow::Result<Origins> {
        for text in texts.iter().filter(|text| *text != "*") {
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
            let is_origin = !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ' ']);
            anyhow::ensure!(
                is_origin && *text == text.to_ascii_lowercase(),
                "cors_origins has {text:?}; origins are needed as browsers name them, like https://shop.example.com, or *"
            );
        }
        Ok(Origins(texts.to_vec()))
    }

    /// True if nobody else may ask.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn allows(&self, origin: &str) -> bool {
        self.0.iter().any(|known| known == "*" || known == origin)
    }
}

/// Answers preflights of pages that may ask, and lets these pages read what is answered. Others get answers as before,
/// which their browsers keep from them.
pub async fn let_pages_ask(State(origins): State<Arc<Origins>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let Some(origin) = origin.filter(|origin| origin.to_str().is_ok_and(|text| origins.allows(text))) else {
        let mut response = next.run(request).await;
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        return response;
    };
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match is_preflight {
        true => StatusCode::NO_CONTENT.into_response(),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if is_preflight {
        say(headers, header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE");
        say(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        say(headers, header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_KEPT_S);
    } else {
        say(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    }
    response
}

fn say(headers: &mut HeaderMap, name: HeaderName, words: &'static str) {
    headers.insert(name, HeaderValue::from_static(words));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_named_as_a_browser_does() {
        let parse = |text: &str| Origins::parse(&[text.to_owned()]);
        for text in ["https://shop.example.com", "http://localhost:5173", "*"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in
            ["shop.example.com", "https://shop.example.com/", "https://*.example.com", "https://Shop.example", ""]
        {
            let said = parse(text).expect_err(text).to_string();
            assert!(said.contains("cors_origins"), "{said}");
        }
        let origins = parse("https://shop.example.com").expect("an origin");
        assert!(origins.allows("https://shop.example.com") && !origins.allows("https://shop.example.com.evil.example"));
    }
}
