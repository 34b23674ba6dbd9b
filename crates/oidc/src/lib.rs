//! Login at somebody else's OpenID provider: the authorization code flow with PKCE, from the redirect to a checked
//! identity. Who that is here, and what they may do, is the caller's matter, and so are routes and cookies.
//!
//! A login goes: [`Provider::begin`], the caller redirects and keeps [`Begun::binding`] in a cookie, the provider sends
//! the browser back with `state` and `code` (or an error), [`Provider::finish`] (or [`Provider::refused`]).

mod http;
mod identity;
mod known;
mod provider;
mod waiting;

pub use identity::Identity;
pub use provider::{Begun, Provider};
pub use waiting::{LOGIN_LIFE, LOGINS_MAX};

use std::path::PathBuf;

/// Longest text of a provider that is passed on, characters.
const TEXT_MAX_CHARS: usize = 200;

/// How to reach a provider, and as whom.
#[derive(Clone)]
pub struct Settings {
    /// The provider's address, exactly as its discovery document names itself.
    pub issuer: String,
    /// Our name at the provider.
    pub client_id: String,
    /// Our secret there; none for a public client.
    pub client_secret: Option<String>,
    /// Where the provider sends the browser back to, as registered there: https, or http on this machine.
    pub redirect_url: String,
    /// What to ask for beside `openid`, as `email`, `profile`, `groups`.
    pub scopes: Vec<String>,
    /// Authorities to trust for the provider instead of the system's: a file with PEM certificates.
    pub ca: Option<PathBuf>,
    /// Whether a provider on this machine may be spoken to without TLS; for trying out.
    pub allow_http: bool,
}

impl std::fmt::Debug for Settings {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret.as_ref().map(|_| "…"))
            .field("redirect_url", &self.redirect_url)
            .field("scopes", &self.scopes)
            .field("ca", &self.ca)
            .field("allow_http", &self.allow_http)
            .finish()
    }
}

/// Why a login came to nothing. No variant holds a code, a token or a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The state was never given out, was used before, is too old, or belongs to another browser.
    #[error("this login is not known: it was used before, took too long, or began in another browser")]
    UnknownState,
    /// The provider cannot be reached, fails, or takes too long. To begin anew later is right.
    #[error("the OpenID provider is away: {0}")]
    Away(String),
    /// The provider said no.
    #[error("the OpenID provider refuses: {error}{}", after_colon(.description))]
    Refused {
        /// The provider's word for it, as `access_denied`.
        error: String,
        /// The provider's explanation.
        description: Option<String>,
    },
    /// What the provider vouches for does not hold.
    #[error("the OpenID provider's token is not good: {0}")]
    BadToken(String),
    /// Only an operator can help.
    #[error("login at the OpenID provider is not set up well: {0}")]
    Misconfigured(String),
}

impl Error {
    /// The word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::UnknownState => "unknown_state",
            Error::Away(_) => "provider_away",
            Error::Refused { .. } => "oidc_refused",
            Error::BadToken(_) => "bad_token",
            Error::Misconfigured(_) => "misconfigured",
        }
    }
}

fn after_colon(description: &Option<String>) -> String {
    description.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}

/// Somebody else's text, fit for a log and a page: one line, not endless.
fn clean(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(TEXT_MAX_CHARS).collect()
}
