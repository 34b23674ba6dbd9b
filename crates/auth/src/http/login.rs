//! Logging in and out, one's own account: password, sessions, second factor.

use super::shape::{Body, InPath, InQuery, Problems, Whence, header_text};
use crate::guard::{COOKIE, cookie};
use crate::login::{LoggedIn, Proof};
use crate::oidc::Returned;
use crate::people::UserView;
use crate::sessions::SessionView;
use crate::{Auth, TotpSetup};
use axum::Json;
use axum::extract::State as Here;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use drover_access::{Caller, Reach};
use drover_answer::{ErrorEnvelope, Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Keeps a login at a provider to the browser that began it.
const OIDC_COOKIE: &str = "drover_oidc";
const OIDC_PATH: &str = "/api/v1/auth/oidc";

pub(super) fn routes() -> OpenApiRouter<Auth> {
    OpenApiRouter::new()
        .routes(routes!(log_in))
        .routes(routes!(refresh))
        .routes(routes!(log_out))
        .routes(routes!(login_options))
        .routes(routes!(begin_oidc_login))
        .routes(routes!(finish_oidc_login))
        .routes(routes!(who_am_i))
        .routes(routes!(change_password))
        .routes(routes!(list_sessions))
        .routes(routes!(end_session))
        .routes(routes!(begin_totp, end_totp))
        .routes(routes!(confirm_totp))
}

/// What somebody shows to log in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "alice@example.com", "password": "correct horse battery"}))]
struct LoginRequest {
    /// The e-mail address.
    email: String,
    /// The password.
    password: String,
    /// The code of the authenticator, where a second factor is on.
    totp: Option<String>,
    /// A recovery code in its place. It is good once.
    recovery_code: Option<String>,
}

/// Tokens of a login. They are shown once.
#[derive(Serialize, ToSchema)]
struct Tokens {
    /// For the header `Authorization: Bearer`.
    access_token: String,
    /// For a new access token, once: `POST /api/v1/auth/refresh`.
    refresh_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// How long the access token is good, seconds.
    #[schema(example = 900)]
    expires_in: i64,
    /// Who logged in.
    user: UserView,
}

impl From<LoggedIn> for Tokens {
    fn from(login: LoggedIn) -> Tokens {
        let LoggedIn { user, access_token, refresh_token, expires_in, .. } = login;
        Tokens { access_token, refresh_token, token_type: "Bearer", expires_in, user }
    }
}

/// Log in. The answer sets the cookie of a session and holds the tokens of the same session; use either. Who has a second
/// factor is told `totp_required` after a right password, and sends the same with a code.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "login", request_body = LoginRequest,
    responses(
        (status = 200, body = Tokens, description = "logged in"),
        (status = 401, body = ErrorEnvelope, description = "`wrong_credentials`, or `totp_required`"), Problems
    )
)]
async fn log_in(
    Here(auth): Here<Auth>,
    whence: Whence,
    Body(request): Body<LoginRequest>,
) -> Result<Response, Problem> {
    let LoginRequest { email, password, totp, recovery_code } = request;
    let login = auth.log_in(Proof { email, password, totp, recovery_code }, &whence.client).await?;
    let cookie = session_cookie(&auth, &whence, &login);
    Ok((AppendHeaders([no_store(), cookie]), Json(Tokens::from(login))).into_response())
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    /// The refresh token of the last answer. It is spent by this.
    refresh_token: String,
}

/// A new access token. The refresh token is spent; the answer holds the next one. A token that comes twice ends its
/// session: somebody else may have it.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "login", request_body = RefreshRequest,
    responses(
        (status = 200, body = Tokens, description = "new tokens"),
        (status = 401, body = ErrorEnvelope, description = "the token is not good any more"), Problems
    )
)]
async fn refresh(
    Here(auth): Here<Auth>,
    whence: Whence,
    Body(request): Body<RefreshRequest>,
) -> Result<Response, Problem> {
    let login = auth.refresh(&request.refresh_token, &whence.client).await?;
    Ok((AppendHeaders([no_store()]), Json(Tokens::from(login))).into_response())
}

/// Log out: the session ends, with its cookie and its tokens.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "login",
    responses((status = 204, description = "logged out"), Problems)
)]
async fn log_out(Here(auth): Here<Auth>, caller: Caller, whence: Whence) -> Result<Response, Problem> {
    auth.log_out(&caller, &whence.client).await?;
    let cookie = cookie_header(&auth, &whence, COOKIE, "", "/", 0);
    Ok((StatusCode::NO_CONTENT, AppendHeaders([cookie])).into_response())
}

/// How one can log in.
#[derive(Serialize, ToSchema)]
struct LoginOptions {
    /// True if everybody may do everything without logging in.
    dev: bool,
    /// True if there are passwords.
    password: bool,
    /// What the other provider is called, where there is one: `GET /api/v1/auth/oidc`.
    oidc: Option<String>,
}

/// How one can log in, for the login page.
#[utoipa::path(
    get, path = "/api/v1/auth/options", tag = "login",
    responses((status = 200, body = LoginOptions, description = "the ways"))
)]
async fn login_options(Here(auth): Here<Auth>) -> Json<LoginOptions> {
    let oidc = auth.oidc_label().map(Into::into);
    Json(LoginOptions { dev: auth.0.settings.dev, password: true, oidc })
}

/// Where to go after logging in.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OidcQuery {
    /// A path of this site, as `/map`.
    after: Option<String>,
}

/// Log in at the other provider: sends the browser there.
#[utoipa::path(
    get, path = "/api/v1/auth/oidc", tag = "login", params(OidcQuery),
    responses(
        (status = 303, description = "to the provider, or to `/?problem=provider_away`"),
        (status = 404, body = ErrorEnvelope, description = "no provider is configured"),
        (status = 422, body = ErrorEnvelope, description = "a value is not allowed")
    )
)]
async fn begin_oidc_login(
    Here(auth): Here<Auth>,
    whence: Whence,
    InQuery(query): InQuery<OidcQuery>,
) -> Result<Response, Problem> {
    let none = || {
        let help = "log in with a password, or configure a provider";
        Problem::new(ProblemKind::NotFound, "not_found", "no OpenID provider is configured", help)
    };
    match auth.begin_oidc(query.after.as_deref()).await.ok_or_else(none)? {
        Ok(begun) => {
            let seconds = drover_oidc::LOGIN_LIFE.as_secs();
            let cookie = cookie_header(&auth, &whence, OIDC_COOKIE, &begun.binding, OIDC_PATH, seconds);
            Ok(see_other(&begun.redirect, vec![cookie]))
        }
        Err(error) => {
            tracing::warn!(%error, "a login at the provider cannot begin");
            Ok(see_other("/?problem=provider_away", Vec::new()))
        }
    }
}

/// What the provider sends back.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CallbackQuery {
    /// Which login it is.
    state: Option<String>,
    /// The provider's code.
    code: Option<String>,
    /// The provider's word for why not.
    error: Option<String>,
    /// The provider's explanation.
    error_description: Option<String>,
}

/// The provider sends the browser back here. Whatever comes of it, a person looks at the answer: it leads to a page.
#[utoipa::path(
    get, path = "/api/v1/auth/oidc/callback", tag = "login", params(CallbackQuery),
    responses(
        (status = 303, description = "logged in, to where the login began; or to `/?problem=` and one of `oidc_refused`, \
            `unknown_user`, `provider_away`, `registry_away`, `internal`")
    )
)]
async fn finish_oidc_login(
    Here(auth): Here<Auth>,
    whence: Whence,
    headers: HeaderMap,
    query: Result<InQuery<CallbackQuery>, Problem>,
) -> Response {
    // What no provider sends is refused as what the provider refuses.
    let query = query.map_or_else(|_| CallbackQuery::default(), |InQuery(query)| query);
    let binding = cookie(&headers, OIDC_COOKIE).unwrap_or_default();
    let state = query.state.as_deref().unwrap_or_default();
    let answer = match (&query.code, &query.error) {
        (_, Some(error)) => Err((error.as_str(), query.error_description.as_deref())),
        (Some(code), None) => Ok(code.as_str()),
        (None, None) => Err(("invalid_request", None)),
    };
    let spent = cookie_header(&auth, &whence, OIDC_COOKIE, "", OIDC_PATH, 0);
    match auth.finish_oidc(state, answer, binding, &whence.client).await {
        Ok(Returned::Here(login, after)) => {
            let session = session_cookie(&auth, &whence, &login);
            see_other(after.as_deref().unwrap_or("/"), vec![session, spent])
        }
        Ok(Returned::Problem(code)) => see_other(&format!("/?problem={code}"), vec![spent]),
        Err(error) => see_other(&format!("/?problem={}", Problem::from(error).code), vec![spent]),
    }
}

/// Who asks.
#[derive(Serialize, ToSchema)]
struct Me {
    /// For the audit: `user/u-…`, `key/k-…`, `device/driver/d-1`, `dev`.
    subject: String,
    /// An e-mail address, or the name of a key or a device.
    name: String,
    /// The role.
    role: String,
    /// What it allows.
    permissions: Vec<&'static str>,
    /// The fleets that it is about.
    fleets: Vec<String>,
    /// True if it is about all fleets.
    all_fleets: bool,
    /// One's own asset, as `driver/d-1`.
    asset: Option<String>,
    /// One's own record as a customer.
    customer_id: Option<String>,
    /// True if the password must be changed before anything else.
    must_change_password: bool,
    /// The user; not for keys and devices.
    user: Option<UserView>,
}

/// Who am I, and what may I do?
#[utoipa::path(
    get, path = "/api/v1/auth/me", tag = "login",
    responses((status = 200, body = Me, description = "who asks"))
)]
async fn who_am_i(Here(auth): Here<Auth>, caller: Caller) -> Json<Me> {
    let user = auth.self_of(&caller).ok().map(|user| UserView::from(&*user));
    let is_held_up = auth.is_held_up(&caller);
    let fleets = match &caller.reach {
        Reach::Fleets(fleets) => fleets.iter().map(|fleet| fleet.to_string()).collect(),
        _ => Vec::new(),
    };
    Json(Me {
        subject: caller.subject.clone(),
        name: caller.name.clone(),
        role: caller.role.name().into(),
        permissions: crate::rows::names_of(caller.may),
        fleets,
        all_fleets: caller.reach == Reach::All,
        asset: caller.asset.as_ref().map(|(kind, id)| format!("{kind}/{id}")),
        customer_id: caller.customer_id.as_ref().map(|id| id.to_string()),
        must_change_password: is_held_up,
        user,
    })
}

/// The old and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The one until now.
    current_password: String,
    /// The one from now on: 12 characters at least.
    #[schema(min_length = 12, max_length = 256)]
    new_password: String,
}

/// Change one's own password. All other sessions end.
#[utoipa::path(
    post, path = "/api/v1/auth/password", tag = "login", request_body = PasswordChange,
    responses((status = 204, description = "changed"), Problems)
)]
async fn change_password(
    Here(auth): Here<Auth>,
    caller: Caller,
    Body(change): Body<PasswordChange>,
) -> Result<StatusCode, Problem> {
    auth.change_password(&caller, change.current_password, change.new_password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where one is logged in.
#[derive(Serialize, ToSchema)]
struct Sessions {
    /// Newest first.
    sessions: Vec<SessionView>,
}

/// Where am I logged in?
#[utoipa::path(
    get, path = "/api/v1/auth/sessions", tag = "login",
    responses((status = 200, body = Sessions, description = "one's own sessions"))
)]
async fn list_sessions(Here(auth): Here<Auth>, caller: Caller) -> Result<Json<Sessions>, Problem> {
    Ok(Json(Sessions { sessions: auth.sessions(&caller)? }))
}

/// End one of one's own sessions.
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions/{id}", tag = "login",
    params(("id" = String, Path, description = "the session's id")),
    responses((status = 204, description = "it has ended"), Problems)
)]
async fn end_session(
    Here(auth): Here<Auth>,
    caller: Caller,
    InPath(id): InPath<String>,
) -> Result<StatusCode, Problem> {
    auth.end_session(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One's own password, once more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordAgain {
    /// The password.
    password: String,
}

/// Begin to set up a second factor. It counts once it is confirmed by a first code.
#[utoipa::path(
    post, path = "/api/v1/auth/totp", tag = "login", request_body = PasswordAgain,
    responses((status = 200, body = TotpSetup, description = "for the authenticator; shown once"), Problems)
)]
async fn begin_totp(
    Here(auth): Here<Auth>,
    caller: Caller,
    Body(again): Body<PasswordAgain>,
) -> Result<Response, Problem> {
    let setup = auth.begin_totp(&caller, again.password).await?;
    Ok((AppendHeaders([no_store()]), Json(setup)).into_response())
}

/// A first code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TotpCode {
    /// What the authenticator shows now.
    #[schema(example = "123456")]
    code: String,
}

/// Recovery codes. They are shown once.
#[derive(Serialize, ToSchema)]
struct RecoveryCodes {
    /// Each is good once in place of a code.
    recovery_codes: Vec<String>,
}

/// Turn the second factor on. All other sessions end.
#[utoipa::path(
    post, path = "/api/v1/auth/totp/confirm", tag = "login", request_body = TotpCode,
    responses((status = 200, body = RecoveryCodes, description = "it is on; the codes are shown once"), Problems)
)]
async fn confirm_totp(
    Here(auth): Here<Auth>,
    caller: Caller,
    Body(TotpCode { code }): Body<TotpCode>,
) -> Result<Response, Problem> {
    let recovery_codes = auth.confirm_totp(&caller, &code).await?;
    Ok((AppendHeaders([no_store()]), Json(RecoveryCodes { recovery_codes })).into_response())
}

/// Turn the second factor off.
#[utoipa::path(
    delete, path = "/api/v1/auth/totp", tag = "login", request_body = PasswordAgain,
    responses((status = 204, description = "it is off"), Problems)
)]
async fn end_totp(
    Here(auth): Here<Auth>,
    caller: Caller,
    Body(again): Body<PasswordAgain>,
) -> Result<StatusCode, Problem> {
    auth.end_totp(&caller, again.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Secrets are not for caches.
pub(super) fn no_store() -> (HeaderName, HeaderValue) {
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

fn session_cookie(auth: &Auth, whence: &Whence, login: &LoggedIn) -> (HeaderName, HeaderValue) {
    let secret = login.cookie.as_deref().unwrap_or_default();
    cookie_header(auth, whence, COOKIE, secret, "/", auth.0.settings.session.as_secs())
}

fn cookie_header(
    auth: &Auth,
    whence: &Whence,
    name: &str,
    value: &str,
    path: &str,
    seconds: u64,
) -> (HeaderName, HeaderValue) {
    let secure = if whence.is_secured || auth.0.settings.secure_cookies { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    // Letters, digits and `-_` only: always a header.
    (header::SET_COOKIE, HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("")))
}

fn see_other(to: &str, cookies: Vec<(HeaderName, HeaderValue)>) -> Response {
    let to = HeaderValue::try_from(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, to);
    response.headers_mut().extend([no_store()]);
    for (name, value) in cookies {
        response.headers_mut().append(name, value);
    }
    response
}

/// The version that a request means, by `If-Match: "3"`.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    match header_text(headers, header::IF_MATCH.as_str()) {
        None | Some("*") => Ok(None),
        Some(text) => {
            let number = text.trim().trim_matches('"').parse();
            number.map(Some).map_err(|_| Problem::invalid("If-Match", "If-Match is the ETag of an answer, as \"3\""))
        }
    }
}

/// True if `If-None-Match` names this version.
pub(super) fn is_known(headers: &HeaderMap, version: i64) -> bool {
    let own = format!("\"{version}\"");
    let lines = headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == own)
}
