//! The flow itself: begin, and finish with a checked identity. Discovery happens at first use, so that a node starts
//! while its provider is away.

use crate::http::{ANSWER_MAX, Http, is_on_this_machine};
use crate::identity::{Information, Person};
use crate::known::{Known, TokenErrors, Tokens, undiscovered};
use crate::waiting::{Login, Waiting};
use crate::{Error, Identity, Settings, clean};
use openidconnect::core::{CoreErrorResponseType, CoreJsonWebKeySet, CoreResponseType};
use openidconnect::url::Url;
use openidconnect::{
    AuthenticationFlow, AuthorizationCode, CsrfToken, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    RedirectUrl, RequestTokenError, Scope, SubjectIdentifier, UserInfoError,
};
use parking_lot::Mutex;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Shortest time between two looks for new keys: a provider that signs with keys it does not publish must not make us
/// ask at every login.
const KEYS_PAUSE: Duration = Duration::from_secs(60);
/// Random bytes of a state, a nonce and a binding.
const SECRET_BYTES: u32 = 32;
/// Longest `after`, bytes.
const AFTER_MAX_BYTES: usize = 2048;

/// A provider to log in at. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    settings: Settings,
    redirect: RedirectUrl,
    http: Http,
    waiting: Mutex<Waiting>,
    known: Mutex<Option<Arc<Known>>>,
    /// Held by whoever asks the provider about itself, so that one asks for all; when keys were last looked for.
    asking: tokio::sync::Mutex<Option<Instant>>,
}

/// A login that was begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Where to send the browser.
    pub redirect: String,
    /// What the provider will send back.
    pub state: String,
    /// For a cookie of this browser (HttpOnly, Secure, SameSite=Lax, for [`crate::LOGIN_LIFE`]): only with it the login
    /// can be finished, so that nobody is logged in by somebody else's link.
    pub binding: String,
}

impl Provider {
    /// Checks the settings. Does not speak to the provider.
    pub fn new(settings: Settings) -> Result<Provider, Error> {
        IssuerUrl::new(settings.issuer.clone()).map_err(|error| misconfigured(format!("issuer: {error}")))?;
        let redirect = redirect_of(&settings.redirect_url)?;
        if settings.client_id.is_empty() {
            return Err(misconfigured("client_id is empty"));
        }
        let http = Http::new(&settings)?;
        http.check(&settings.issuer)?;
        let (waiting, known, asking) = Default::default();
        Ok(Provider(Arc::new(Inner { settings, redirect, http, waiting, known, asking })))
    }

    /// Begins a login. `after` is where to go when it is done: a path on this site, of at most 2,048 bytes; anything
    /// else is forgotten, so that no link can lead people from our login to a foreign page.
    pub async fn begin(&self, after: Option<&str>) -> Result<Begun, Error> {
        let known = in_time(self.known()).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = CsrfToken::new_random_len(SECRET_BYTES);
        let nonce = Nonce::new_random_len(SECRET_BYTES);
        let binding = CsrfToken::new_random_len(SECRET_BYTES);
        let (given_state, given_nonce) = (state.clone(), nonce.clone());
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let request = known.relying.authorize_url(flow, move || given_state, move || given_nonce);
        let scopes = self.0.settings.scopes.iter().filter(|scope| *scope != "openid");
        let request = request.add_scopes(scopes.cloned().map(Scope::new)).set_pkce_challenge(challenge);
        let redirect = request.url().0.to_string();
        let begun = Begun { redirect, state: state.into_secret(), binding: binding.secret().clone() };
        let after = after.filter(|after| is_path_here(after)).map(str::to_owned);
        self.0.waiting.lock().add(begun.state.clone(), Login { binding, nonce, verifier, after });
        Ok(begun)
    }

    /// Finishes a login with what the provider sent back and what the browser's cookie says. On success the identity
    /// holds: the token is for us, of this provider, of this login, unexpired, and signed by the provider's keys.
    /// Whatever comes out, the state is spent, except that a wrong binding spends nothing.
    pub async fn finish(&self, state: &str, code: &str, binding: &str) -> Result<Identity, Error> {
        let login = self.0.waiting.lock().take(state, binding).ok_or(Error::UnknownState)?;
        in_time(self.redeem(login, code)).await
    }

    /// For when the provider sent the browser back with `error` in place of `code`: spends the state, and gives the
    /// error to answer with. It is the provider's only if state and binding are.
    pub fn refused(&self, state: &str, binding: &str, error: &str, description: Option<&str>) -> Error {
        match self.0.waiting.lock().take(state, binding) {
            Some(_) => Error::Refused { error: clean(error), description: description.map(clean) },
            None => Error::UnknownState,
        }
    }

    async fn redeem(&self, login: Login, code: &str) -> Result<Identity, Error> {
        let known = self.known().await?;
        let request = known.relying.exchange_code(AuthorizationCode::new(code.to_owned())).map_err(misconfigured)?;
        let request = request.set_pkce_verifier(login.verifier);
        let tokens: Tokens = request.request_async(&self.0.http).await.map_err(no_tokens)?;
        // The library takes for granted that this goes into a header.
        if !tokens.access_token().secret().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::BadToken("the access token holds what no token may".into()));
        }
        let (known, claims) = match known.verified(&tokens, &login.nonce) {
            Ok(claims) => (known, claims),
            Err(unfit) if unfit.keys_do_not_fit => {
                let known = self.with_new_keys(&known).await?.ok_or(unfit.error)?;
                let claims = known.verified(&tokens, &login.nonce).map_err(|unfit| unfit.error)?;
                (known, claims)
            }
            Err(unfit) => return Err(unfit.error),
        };
        let mut person = Person::by_token(claims);
        if !person.is_whole() && known.has_information() {
            person = person.or(self.information(&known, &tokens, claims.subject()).await?);
        }
        Ok(person.identity(claims, login.after))
    }

    /// What the token left out, about the same subject.
    async fn information(&self, known: &Known, tokens: &Tokens, subject: &SubjectIdentifier) -> Result<Person, Error> {
        let request = known.relying.user_info(tokens.access_token().clone(), Some(subject.clone()));
        let request = request.map_err(misconfigured)?;
        let claims: Information = request.request_async(&self.0.http).await.map_err(no_information)?;
        Ok(Person::by_information(&claims))
    }

    /// The provider as it described itself within the last hour.
    async fn known(&self) -> Result<Arc<Known>, Error> {
        if let Some(known) = self.fresh() {
            return Ok(known);
        }
        let _one_asks = self.0.asking.lock().await;
        if let Some(known) = self.fresh() {
            return Ok(known);
        }
        let known = Arc::new(Known::discover(&self.0.settings, &self.0.redirect, &self.0.http).await?);
        *self.0.known.lock() = Some(Arc::clone(&known));
        Ok(known)
    }

    fn fresh(&self) -> Option<Arc<Known>> {
        self.0.known.lock().clone().filter(|known| known.is_fresh())
    }

    /// The provider with the keys that it has now; none if somebody looked a moment ago and that is what `old` is.
    async fn with_new_keys(&self, old: &Arc<Known>) -> Result<Option<Arc<Known>>, Error> {
        let mut looked = self.0.asking.lock().await;
        if let Some(newer) = self.fresh().filter(|known| !Arc::ptr_eq(known, old)) {
            return Ok(Some(newer));
        }
        if looked.is_some_and(|at| at.elapsed() < KEYS_PAUSE) {
            return Ok(None);
        }
        *looked = Some(Instant::now());
        let keys = CoreJsonWebKeySet::fetch_async(old.keys_at(), &self.0.http).await.map_err(undiscovered)?;
        let known = Arc::new(old.with_keys(keys, &self.0.settings, &self.0.redirect, &self.0.http)?);
        *self.0.known.lock() = Some(Arc::clone(&known));
        tracing::info!(issuer = %self.0.settings.issuer, "the OpenID provider has other keys");
        Ok(Some(known))
    }
}

/// However many requests a step takes, people do not wait longer.
async fn in_time<T>(step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = || Error::Away(format!("no answer within {} seconds", ANSWER_MAX.as_secs()));
    timeout(ANSWER_MAX, step).await.unwrap_or_else(|_| Err(late()))
}

pub(crate) fn misconfigured(why: impl ToString) -> Error {
    Error::Misconfigured(clean(&why.to_string()))
}

/// A code must come back to us over TLS, or not leave this machine.
fn redirect_of(text: &str) -> Result<RedirectUrl, Error> {
    let wrong = |why: &str| misconfigured(format!("redirect_url: {why}"));
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    match url.scheme() {
        _ if url.fragment().is_some() => Err(wrong("a part after # is not allowed")),
        "https" => Ok(RedirectUrl::from_url(url)),
        "http" if is_on_this_machine(text) => Ok(RedirectUrl::from_url(url)),
        _ => Err(wrong("https is needed, or http on this machine")),
    }
}

/// A path on this site and nothing that a browser takes for another site.
fn is_path_here(after: &str) -> bool {
    let mut bytes = after.bytes();
    bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && after.len() <= AFTER_MAX_BYTES
        && after.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

fn no_tokens(error: RequestTokenError<Error, TokenErrors>) -> Error {
    match error {
        RequestTokenError::Request(error) => error,
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            CoreErrorResponseType::InvalidClient | CoreErrorResponseType::UnauthorizedClient => {
                misconfigured(format!("the provider does not take our client_id and client_secret: {answer}"))
            }
            word => Error::Refused {
                error: clean(word.as_ref()),
                description: answer.error_description().map(|text| clean(text)),
            },
        },
        RequestTokenError::Parse(error, _) => Error::BadToken(clean(&format!("the answer cannot be read: {error}"))),
        RequestTokenError::Other(why) => Error::BadToken(clean(&why)),
    }
}

fn no_information(error: UserInfoError<Error>) -> Error {
    match error {
        UserInfoError::Request(error) => error,
        UserInfoError::Response(status, ..) => Error::Refused {
            error: "no_user_information".into(),
            description: Some(format!("the provider's userinfo_endpoint answers {status}")),
        },
        UserInfoError::ClaimsVerification(error) => Error::BadToken(clean(&format!("user information: {error}"))),
        other => Error::BadToken(clean(&format!("user information: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            issuer: "https://login.example.org".into(),
            client_id: "drover".into(),
            client_secret: Some("hidden".into()),
            redirect_url: "https://drover.example.org/api/v1/login/return".into(),
            scopes: vec!["email".into()],
            ca: None,
            allow_http: false,
        }
    }

    fn refusal(settings: Settings) -> String {
        Provider::new(settings).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn settings_that_cannot_be_safe_are_refused_at_once() {
        assert_eq!(refusal(settings()), "");
        for issuer in ["http://login.example.org", "login.example.org", "", "ftp://login.example.org"] {
            assert_ne!(refusal(Settings { issuer: issuer.into(), ..settings() }), "", "{issuer}");
            assert_ne!(refusal(Settings { issuer: issuer.into(), allow_http: true, ..settings() }), "", "{issuer}");
        }
        assert_ne!(refusal(Settings { issuer: "http://127.0.0.1:9".into(), ..settings() }), "");
        assert_eq!(refusal(Settings { issuer: "http://127.0.0.1:9".into(), allow_http: true, ..settings() }), "");
        for url in ["http://drover.example.org/return", "/return", "https://drover.example.org/#return", "javascript:a"]
        {
            assert!(refusal(Settings { redirect_url: url.into(), ..settings() }).contains("redirect_url"), "{url}");
        }
        assert_eq!(refusal(Settings { redirect_url: "http://localhost:8080/return".into(), ..settings() }), "");
        assert!(refusal(Settings { client_id: String::new(), ..settings() }).contains("client_id"));
        assert!(refusal(Settings { ca: Some("/nowhere.pem".into()), ..settings() }).contains("/nowhere.pem"));
    }

    #[test]
    fn settings_do_not_show_the_secret() {
        assert!(!format!("{:?}", settings()).contains("hidden"));
    }

    #[test]
    fn only_paths_of_this_site_are_gone_to_after_a_login() {
        for after in ["/", "/map", "/vehicles/v-1?tab=trips#x", "/a//b"] {
            assert!(is_path_here(after), "{after}");
        }
        let long = format!("/{}", "a".repeat(AFTER_MAX_BYTES));
        for after in ["", "map", "//evil.example", "/\\evil.example", "https://evil.example", "/\n/evil", "/a b", &long]
        {
            assert!(!is_path_here(after), "{after}");
        }
    }
}
