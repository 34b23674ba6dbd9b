//! One signed request to the store: how long it may take, how often it is tried, and what its answer means.

use super::answer::{self, Asked};
use crate::S3;
use crate::error::{At, Error};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{self, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use http::{Method, Uri};
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpResponse, ReqwestConnector};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig, StaticCredentialProvider};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::env;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest wait for an answer, and for the next piece of one.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(15);
/// What is sent may take longer by this: slower than 64 KiB/s is an outage.
const SLOWEST_BYTES_PER_S: u64 = 64 << 10;
/// A request is tried this often ...
const TRIES_MAX: u32 = 5;
/// ... but not again once this is over. Whoever calls tries again too, and should soon know that there is trouble.
const TRIES_WINDOW: Duration = Duration::from_secs(10);
/// Longest document that a store may answer, bytes. A page of a list has 1,000 keys.
const DOCUMENT_MAX_BYTES: usize = 16 << 20;
/// Most of an error's document that is looked at, bytes.
const REFUSAL_MAX_BYTES: usize = 64 << 10;
/// Idle connections are closed before most stores and what is between do it.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// What may stand in an address as it is; in the path of one, the slash too.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// A request before it is signed.
pub(super) struct Ask<'a> {
    doing: &'static str,
    method: Method,
    /// Relative to the place. `None`: of the bucket.
    key: Option<&'a str>,
    query: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
}

impl<'a> Ask<'a> {
    pub(super) fn of(doing: &'static str, method: Method, key: Option<&'a str>) -> Ask<'a> {
        Ask { doing, method, key, query: Vec::new(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Ask<'a> {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Ask<'a> {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Ask<'a> {
        self.body = body;
        self
    }

    fn time_max(&self) -> Duration {
        ANSWER_MAX + Duration::from_secs(self.body.len() as u64 / SLOWEST_BYTES_PER_S)
    }
}

/// The connections to a store and what is needed to be let in.
pub(super) struct Client {
    http: HttpClient,
    credentials: AwsCredentialProvider,
    region: String,
    /// The bucket's address at the store.
    url: String,
    /// The place's address, for messages; without a slash at the end.
    place: String,
    prefix: String,
}

impl Client {
    /// No network is used yet. `prefix` is empty or ends with a slash.
    pub(super) fn new(bucket: &str, prefix: &str, s3: &S3) -> Result<Client, Error> {
        let place = format!("s3://{bucket}/{prefix}").trim_end_matches('/').to_owned();
        let url = bucket_url(bucket, s3)?;
        let options = options(&url, s3)?;
        let wrong = |error: object_store::Error| Error::Settings(format!("{place}: {error}"));
        Ok(Client {
            http: ReqwestConnector::default().connect(&options).map_err(wrong)?,
            credentials: credentials(bucket, s3, options)?,
            region: s3.region.clone(),
            url,
            place,
            prefix: prefix.to_owned(),
        })
    }

    /// The full address of an object, or of the place.
    pub(super) fn address(&self, key: Option<&str>) -> String {
        key.map_or_else(|| self.place.clone(), |key| format!("{}/{key}", self.place))
    }

    /// The error for an answer that cannot be understood, or is not what was asked for.
    pub(super) fn nonsense(&self, ask: &Ask<'_>, said: impl std::fmt::Display) -> Error {
        Error::Refused(At::new(ask.doing, self.address(ask.key), said))
    }

    /// A successful answer whose body is still to come.
    pub(super) async fn answer(&self, ask: &Ask<'_>) -> Result<HttpResponse, Error> {
        self.tried(ask, || self.once(ask)).await
    }

    /// A successful answer with all of its body, which is a document.
    pub(super) async fn document(&self, ask: &Ask<'_>) -> Result<(HeaderMap, String), Error> {
        self.tried(ask, || async {
            let response = self.once(ask).await?;
            let headers = response.headers().clone();
            let body = self.text(ask, response, DOCUMENT_MAX_BYTES).await?;
            match answer::is_error(&body) {
                // It began well and ended otherwise, as some answers that take long do: then the code tells.
                true => Err(answer::refusal(self.asked(ask, &self.address(ask.key)), None, &body)),
                false => Ok((headers, body)),
            }
        })
        .await
    }

    /// Tries for a while whatever may pass. All requests can be repeated: they say what shall be, not what to change.
    async fn tried<T, F: Future<Output = Result<T, Error>>>(
        &self,
        ask: &Ask<'_>,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let mut tries = 0;
        loop {
            let late = |_| {
                let said = format!("no answer within {} s", ask.time_max().as_secs());
                Err(Error::Unreachable(At::new(ask.doing, self.address(ask.key), said)))
            };
            let done = timeout(ask.time_max(), attempt()).await.unwrap_or_else(late);
            tries += 1;
            match done {
                Err(error) if error.is_passing() && tries < TRIES_MAX && start.elapsed() < TRIES_WINDOW => {
                    tracing::debug!(%error, tries, "trying again");
                    sleep(pause(tries)).await;
                }
                done => return done,
            }
        }
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<HttpResponse, Error> {
        let request = self.signed(ask).await?;
        let address = self.address(ask.key);
        let asked = self.asked(ask, &address);
        let response = self.http.execute(request).await.map_err(|error| answer::no_answer(asked, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        // What the store says matters more than that it did not finish saying it.
        let body = self.text(ask, response, REFUSAL_MAX_BYTES).await.unwrap_or_default();
        Err(answer::refusal(asked, Some(status), &body))
    }

    async fn signed(&self, ask: &Ask<'_>) -> Result<HttpRequest, Error> {
        let credential = self.credentials.get_credential().await.map_err(|error| {
            let said = format!("no access key is set, and the machine gives none: {error}");
            Error::Trouble(At::new(ask.doing, self.address(ask.key), said))
        })?;
        let mut request = HttpRequest::new(ask.body.clone().into());
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = self.uri(ask)?;
        *request.headers_mut() = headers(ask).map_err(|_| self.nonsense(ask, "a header cannot be sent"))?;
        AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, None);
        Ok(request)
    }

    fn uri(&self, ask: &Ask<'_>) -> Result<Uri, Error> {
        let mut uri = self.url.clone();
        if let Some(key) = ask.key {
            uri.push('/');
            uri.extend(utf8_percent_encode(&self.prefix, PATH));
            uri.extend(utf8_percent_encode(key, PATH));
        }
        for (at, (name, value)) in ask.query.iter().enumerate() {
            uri.push(if at == 0 { '?' } else { '&' });
            uri.push_str(name);
            uri.push('=');
            uri.extend(utf8_percent_encode(value, QUERY));
        }
        uri.parse().map_err(|error| self.nonsense(ask, error))
    }

    /// The body as text, up to so many bytes.
    async fn text(&self, ask: &Ask<'_>, response: HttpResponse, max_bytes: usize) -> Result<String, Error> {
        let address = self.address(ask.key);
        let mut body = response.into_body().bytes_stream();
        let mut bytes = BytesMut::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| answer::no_answer(self.asked(ask, &address), &error))?;
            if bytes.len() + piece.len() > max_bytes {
                return Err(self.nonsense(ask, "the answer is too long"));
            }
            bytes.extend_from_slice(&piece);
        }
        String::from_utf8(bytes.into()).map_err(|_| self.nonsense(ask, "the answer is no text"))
    }

    fn asked<'a>(&self, ask: &Ask<'_>, address: &'a str) -> Asked<'a> {
        Asked { doing: ask.doing, address, of_object: ask.key.is_some() }
    }
}

/// 0.1, 0.2, 0.4, ... s.
pub(super) fn pause(tries: u32) -> Duration {
    Duration::from_millis(50 << tries.min(6))
}

fn headers(ask: &Ask<'_>) -> Result<HeaderMap, InvalidHeaderValue> {
    let given = ask.headers.iter().map(|(name, value)| Ok((name.clone(), HeaderValue::from_str(value)?)));
    // Stores want to be told that there is nothing, too.
    let length = matches!(ask.method, Method::PUT | Method::POST)
        .then(|| Ok((header::CONTENT_LENGTH, HeaderValue::from(ask.body.len()))));
    given.chain(length).collect()
}

/// The address of the bucket at the store, without a slash at the end.
fn bucket_url(bucket: &str, s3: &S3) -> Result<String, Error> {
    let wrong = |why: &str| Error::Settings(format!("the endpoint of the S3 store {why}"));
    let in_path = s3.path_style.unwrap_or(s3.endpoint.is_some() || bucket.contains('.'));
    if !is_plain(&s3.region) {
        return Err(Error::Settings("the region of the S3 store is a word such as eu-central-1".to_owned()));
    }
    let amazon = || format!("https://s3.{}.amazonaws.com", s3.region);
    let endpoint = s3.endpoint.clone().unwrap_or_else(amazon);
    // The address is not repeated: if it is wrong, there may be a password in it.
    let uri: Uri = endpoint.parse().map_err(|_| wrong("is not an address such as https://minio.example.org:9000"))?;
    let (Some("http" | "https"), Some(host)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong("must begin with http:// or https://"));
    };
    if host.as_str().contains('@') {
        return Err(wrong("may not have a name and password in it: give the access key instead"));
    }
    if uri.query().is_some() {
        return Err(wrong("may not have a question mark in it"));
    }
    let (scheme, path) = (uri.scheme_str().unwrap_or_default(), uri.path().trim_end_matches('/'));
    Ok(match in_path {
        true => format!("{scheme}://{host}{path}/{bucket}"),
        false => format!("{scheme}://{bucket}.{host}{path}"),
    })
}

/// The whole time of a request is watched in [`Client::tried`] and by whoever reads a body, which go by progress.
fn options(url: &str, s3: &S3) -> Result<ClientOptions, Error> {
    let mut options = ClientOptions::new()
        .with_allow_http(url.starts_with("http://"))
        .with_connect_timeout(CONNECT_MAX)
        .with_timeout_disabled()
        .with_pool_idle_timeout(IDLE_MAX)
        .with_user_agent(HeaderValue::from_static("drover"));
    if let Some(path) = &s3.ca {
        let wrong = |why: String| Error::Settings(format!("authorities in {}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("there is no certificate in it".to_owned()));
        }
        options = certificates.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    Ok(options)
}

/// The keys of the settings, or of the environment, or whoever gives keys to this machine.
fn credentials(bucket: &str, s3: &S3, options: ClientOptions) -> Result<AwsCredentialProvider, Error> {
    let keys = match (&s3.access_key_id, &s3.secret_access_key) {
        (Some(id), Some(secret)) => Some((id.clone(), secret.clone(), s3.session_token.clone())),
        (None, None) => of_environment(),
        _ => return Err(Error::Settings("an S3 access key has two halves: its id and the secret".to_owned())),
    };
    let Some((key_id, secret_key, token)) = keys else { return of_machine(bucket, s3, options) };
    if ![&key_id, token.as_ref().unwrap_or(&key_id)].into_iter().all(|text| is_plain(text)) {
        return Err(Error::Settings("an S3 access key and its token are plain letters without blanks".to_owned()));
    }
    Ok(Arc::new(StaticCredentialProvider::new(AwsCredential { key_id, secret_key, token })))
}

/// What can be sent as it is.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn of_environment() -> Option<(String, String, Option<String>)> {
    let of = |name| env::var(name).ok().filter(|value| !value.is_empty());
    Some((of("AWS_ACCESS_KEY_ID")?, of("AWS_SECRET_ACCESS_KEY")?, of("AWS_SESSION_TOKEN")))
}

/// A web identity, the container's role, the machine's role.
fn of_machine(bucket: &str, s3: &S3, options: ClientOptions) -> Result<AwsCredentialProvider, Error> {
    // Soon, because a machine that is not Amazon's has nobody at that address.
    let retry =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: 2, retry_timeout: Duration::from_secs(3) };
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_region(&s3.region)
        .with_client_options(options.with_timeout(Duration::from_secs(3)))
        .with_retry(retry)
        .build()
        .map_err(|error| Error::Settings(format!("no S3 access key: {error}")))?;
    Ok(store.credentials().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(bucket: &str, endpoint: Option<&str>, path_style: Option<bool>) -> Result<String, Error> {
        let region = "eu-central-1".to_owned();
        bucket_url(bucket, &S3 { endpoint: endpoint.map(str::to_owned), region, path_style, ..S3::default() })
    }

    #[test]
    fn the_bucket_is_in_the_host_at_amazon_and_in_the_path_elsewhere() {
        assert_eq!(url("lake", None, None).unwrap(), "https://lake.s3.eu-central-1.amazonaws.com");
        assert_eq!(url("a.lake", None, None).unwrap(), "https://s3.eu-central-1.amazonaws.com/a.lake");
        assert_eq!(url("lake", Some("http://[::1]:9000/"), None).unwrap(), "http://[::1]:9000/lake");
        assert_eq!(url("lake", Some("https://s3.example.org"), Some(false)).unwrap(), "https://lake.s3.example.org");
        assert_eq!(url("lake", Some("https://example.org/s3/"), None).unwrap(), "https://example.org/s3/lake");
    }

    #[test]
    fn a_wrong_endpoint_is_refused_and_not_repeated() {
        for wrong in ["", "minio:9000", "ftp://s3cret", "http://me:s3cret@minio", "https://minio/?s3cret", "http://"] {
            let error = url("lake", Some(wrong), None).unwrap_err();
            assert!(matches!(error, Error::Settings(_)), "{wrong}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_wrong_region_is_refused() {
        for region in ["", "eu central", "eu\n"] {
            let s3 = S3 { region: region.into(), ..S3::default() };
            assert!(matches!(bucket_url("lake", &s3), Err(Error::Settings(_))), "{region:?}");
        }
    }

    #[test]
    fn half_a_key_and_keys_with_blanks_are_refused() {
        let half = S3 { access_key_id: Some("a".into()), ..S3::default() };
        assert!(matches!(Client::new("lake", "", &half), Err(Error::Settings(_))));
        let blank = S3 { secret_access_key: Some("s3cret".into()), access_key_id: Some("a\n".into()), ..S3::default() };
        let error = Client::new("lake", "", &blank).err().unwrap();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn a_client_for_tls_can_be_made() {
        let keys = S3 { access_key_id: Some("a".into()), secret_access_key: Some("b".into()), ..S3::default() };
        assert!(Client::new("lake", "cold/", &keys).is_ok());
    }

    #[test]
    fn pauses_grow() {
        assert_eq!([1, 2, 3].map(|tries| pause(tries).as_millis()), [100, 200, 400]);
    }
}
