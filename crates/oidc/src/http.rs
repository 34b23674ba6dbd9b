//! Asking the provider over HTTP: https only (http on this machine where allowed), no redirects, and a bound on time,
//! on bytes and on how many ask at once. What the answers mean is left to others.

use crate::{Error, Settings};
use openidconnect::http::{Request, Response, StatusCode, Uri};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Longest wait for what one step of a login needs of the provider.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Longest answer, bytes.
const BODY_MAX_BYTES: u64 = 1024 * 1024;
/// Requests at once; each holds a thread.
const AT_ONCE_MAX: usize = 16;

/// The way to one provider.
pub(crate) struct Http {
    agent: Agent,
    allow_http: bool,
    at_once: Arc<Semaphore>,
}

impl Http {
    pub(crate) fn new(settings: &Settings) -> Result<Http, Error> {
        let is_secret = !settings.issuer.starts_with("http:");
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("drover/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(ANSWER_MAX))
            .max_idle_connections(0); // logins are rare: a kept connection would be stale by the next one
        let agent = if is_on_this_machine(&settings.issuer) { agent.proxy(None) } else { agent };
        let agent = if is_secret { agent.tls_config(tls(settings.ca.as_deref())?) } else { agent };
        let at_once = Arc::new(Semaphore::new(AT_ONCE_MAX));
        Ok(Http { agent: agent.build().new_agent(), allow_http: settings.allow_http, at_once })
    }

    /// Refuses addresses that nobody should send a code or a secret to.
    pub(crate) fn check(&self, url: &str) -> Result<(), Error> {
        let uri = url.parse::<Uri>().ok();
        match uri.as_ref().and_then(Uri::scheme_str) {
            Some("https") => Ok(()),
            Some("http") if self.allow_http && is_on_this_machine(url) => Ok(()),
            Some("http") if self.allow_http => Err(misconfigured(url, "http is only for providers on this machine")),
            _ => Err(misconfigured(url, "an address that begins with https:// is needed")),
        }
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        self.check(&request.uri().to_string())?;
        let permit = Arc::clone(&self.at_once).acquire_owned().await;
        let agent = self.agent.clone();
        let call = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            call(&agent, request)
        });
        call.await.unwrap_or_else(|_| Err(Error::Away("the request was broken off".into())))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

/// Whether an address names this machine.
pub(crate) fn is_on_this_machine(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn call(agent: &Agent, request: HttpRequest) -> Result<HttpResponse, Error> {
    let (head, body) = request.into_parts();
    let answer = match body.is_empty() {
        true => agent.run(Request::from_parts(head, ())),
        false => agent.run(Request::from_parts(head, body)),
    };
    let (head, body) = judged(answer.map_err(failed)?)?.into_parts();
    let body = body.into_with_config().limit(BODY_MAX_BYTES).read_to_vec().map_err(failed)?;
    Ok(Response::from_parts(head, body))
}

/// Passes on only what the provider itself means to say.
fn judged(answer: Response<Body>) -> Result<Response<Body>, Error> {
    let status = answer.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Error::Away(format!("it answers {status}")));
    }
    if status.is_redirection() {
        return Err(Error::Misconfigured(format!("the provider redirects ({status}): is the issuer's address right?")));
    }
    Ok(answer)
}

fn tls(ca: Option<&Path>) -> Result<TlsConfig, Error> {
    let authorities = match ca {
        Some(path) => certificates(path)?,
        None => {
            let system = rustls_native_certs::load_native_certs().certs;
            system.iter().map(|one| Certificate::from_der(one).to_owned()).collect()
        }
    };
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(authorities)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let wrong = |why: String| Error::Misconfigured(format!("ca: {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let items: Result<Vec<_>, _> = ureq::tls::parse_pem(&pem).collect();
    let items = items.map_err(|error| wrong(error.to_string()))?;
    let certificates = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() { Err(wrong("holds no PEM certificate".into())) } else { Ok(certificates) }
}

/// In our words.
fn failed(error: ureq::Error) -> Error {
    Error::Away(match error {
        ureq::Error::Timeout(_) => format!("no answer within {} seconds", ANSWER_MAX.as_secs()),
        ureq::Error::HostNotFound => "the host's name is not known".into(),
        ureq::Error::BodyExceedsLimit(_) => format!("its answer is longer than {BODY_MAX_BYTES} bytes"),
        other => crate::clean(&other.to_string()),
    })
}

fn misconfigured(url: &str, why: &str) -> Error {
    Error::Misconfigured(format!("{}: {why}", crate::clean(url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_this_machine() {
        for url in ["http://localhost:1/a", "http://127.0.0.1", "http://127.8.9.1:80/", "http://[::1]:9/x"] {
            assert!(is_on_this_machine(url), "{url}");
        }
        for url in ["http://127.0.0.1.example.org/", "http://localhost.example.org", "http://10.0.0.1", "http://[::2]/"]
        {
            assert!(!is_on_this_machine(url), "{url}");
        }
        assert!(!is_on_this_machine("http://localhost@example.org/"));
    }
}
