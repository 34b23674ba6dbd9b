//! What a provider says of itself (its discovery document and its keys), and what that means for us: which methods and
//! addresses are fit, and whether a token holds.

use crate::identity::{Groups, TokenClaims};
use crate::provider::misconfigured;
use crate::{Error, Settings, clean, http::Http};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm as Algorithm, CoreProviderMetadata,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AuthType, Client, ClientId, ClientSecret, DiscoveryError, EmptyExtraTokenFields, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, IdTokenFields, JsonWebKeySetUrl, Nonce, OAuth2TokenResponse, RedirectUrl,
    SignatureVerificationError, StandardErrorResponse, StandardTokenResponse, TokenResponse,
};
use openidconnect::{ClaimsVerificationError, IssuerUrl};
use std::time::Duration;
use tokio::time::Instant;

/// How long a discovery document is believed.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// Ways to sign that we accept: with a private key that only the provider has. Neither unsigned tokens nor those signed
/// with our own secret are among them.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

type Fields = IdTokenFields<
    Groups,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    openidconnect::core::CoreJwsSigningAlgorithm,
>;
pub(crate) type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
pub(crate) type TokenErrors = StandardErrorResponse<CoreErrorResponseType>;
pub(crate) type Relying = Client<
    Groups,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    TokenErrors,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A provider as it described itself, with its keys.
pub(crate) struct Known {
    pub(crate) relying: Relying,
    metadata: CoreProviderMetadata,
    algorithms: Vec<Algorithm>,
    client_id: ClientId,
    found: Instant,
}

/// Why a token does not hold, and whether other keys could change that.
pub(crate) struct Unfit {
    pub(crate) error: Error,
    pub(crate) keys_do_not_fit: bool,
}

impl Known {
    /// Asks the provider for its document and its keys.
    pub(crate) async fn discover(settings: &Settings, redirect: &RedirectUrl, http: &Http) -> Result<Known, Error> {
        let issuer = IssuerUrl::new(settings.issuer.clone()).map_err(misconfigured)?;
        let metadata = CoreProviderMetadata::discover_async(issuer, http).await.map_err(undiscovered)?;
        Known::new(metadata, settings, redirect, http)
    }

    fn new(
        metadata: CoreProviderMetadata,
        settings: &Settings,
        redirect: &RedirectUrl,
        http: &Http,
    ) -> Result<Known, Error> {
        let token = metadata.token_endpoint().ok_or_else(|| misconfigured("the provider names no token_endpoint"))?;
        http.check(metadata.authorization_endpoint())?;
        http.check(token)?;
        http.check(metadata.jwks_uri())?;
        metadata.userinfo_endpoint().map_or(Ok(()), |url| http.check(url))?;
        let offered = metadata.id_token_signing_alg_values_supported();
        let algorithms: Vec<_> = ALGORITHMS.into_iter().filter(|one| offered.contains(one)).collect();
        if algorithms.is_empty() {
            return Err(misconfigured(
                "the provider signs in no way that is accepted here (RS, PS, ES256, ES384, EdDSA)",
            ));
        }
        let client_id = ClientId::new(settings.client_id.clone());
        let secret = settings.client_secret.clone().map(ClientSecret::new);
        let relying = Client::from_provider_metadata(metadata.clone(), client_id.clone(), secret)
            .set_redirect_uri(redirect.clone())
            .set_auth_type(how_to_say_the_secret(&metadata));
        Ok(Known { relying, metadata, algorithms, client_id, found: Instant::now() })
    }

    /// The same with other keys; no younger by that.
    pub(crate) fn with_keys(
        &self,
        keys: CoreJsonWebKeySet,
        settings: &Settings,
        redirect: &RedirectUrl,
        http: &Http,
    ) -> Result<Known, Error> {
        let metadata = self.metadata.clone().set_jwks(keys);
        Ok(Known { found: self.found, ..Known::new(metadata, settings, redirect, http)? })
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.found.elapsed() < KEPT
    }

    pub(crate) fn keys_at(&self) -> &JsonWebKeySetUrl {
        self.metadata.jwks_uri()
    }

    pub(crate) fn has_information(&self) -> bool {
        self.metadata.userinfo_endpoint().is_some()
    }

    /// The token's claims, once issuer, audience, party, expiry, nonce, signature and the access token's hash hold.
    pub(crate) fn verified<'a>(&self, tokens: &'a Tokens, nonce: &Nonce) -> Result<&'a TokenClaims, Unfit> {
        let token = tokens.id_token().ok_or_else(|| Unfit::bad("the provider gave no id_token"))?;
        let verifier = self.relying.id_token_verifier().set_allowed_algs(self.algorithms.iter().cloned());
        let claims = token.claims(&verifier, nonce).map_err(Unfit::from)?;
        if claims.authorized_party().is_some_and(|party| *party != self.client_id) {
            return Err(Unfit::bad("it is for another party (azp)"));
        }
        if let Some(said) = claims.access_token_hash() {
            let (algorithm, key) = (token.signing_alg(), token.signing_key(&verifier));
            let (algorithm, key) = (algorithm.map_err(Unfit::bad)?, key.map_err(Unfit::bad)?);
            let hash = AccessTokenHash::from_token(tokens.access_token(), algorithm, key).map_err(Unfit::bad)?;
            if hash != *said {
                return Err(Unfit::bad("the access token is not the one it speaks of (at_hash)"));
            }
        }
        Ok(claims)
    }
}

impl Unfit {
    fn bad(why: impl ToString) -> Unfit {
        Unfit { error: Error::BadToken(clean(&why.to_string())), keys_do_not_fit: false }
    }
}

impl From<ClaimsVerificationError> for Unfit {
    fn from(error: ClaimsVerificationError) -> Unfit {
        let ClaimsVerificationError::SignatureVerification(error) = error else { return Unfit::bad(error) };
        let keys_do_not_fit =
            matches!(error, SignatureVerificationError::NoMatchingKey | SignatureVerificationError::AmbiguousKeyId(_));
        Unfit { keys_do_not_fit, ..Unfit::bad(format!("its signature: {error}")) }
    }
}

/// By the standard a secret goes into a header unless the provider wants it otherwise.
fn how_to_say_the_secret(metadata: &CoreProviderMetadata) -> AuthType {
    let Some(methods) = metadata.token_endpoint_auth_methods_supported() else { return AuthType::BasicAuth };
    let in_header = methods.contains(&CoreClientAuthMethod::ClientSecretBasic);
    let in_body = methods.contains(&CoreClientAuthMethod::ClientSecretPost);
    if in_body && !in_header { AuthType::RequestBody } else { AuthType::BasicAuth }
}

/// Why a document or keys could not be had.
pub(crate) fn undiscovered(error: DiscoveryError<Error>) -> Error {
    match error {
        DiscoveryError::Request(error) => error,
        DiscoveryError::Parse(error) => misconfigured(format!("the provider's description cannot be read: {error}")),
        other => misconfigured(other),
    }
}
