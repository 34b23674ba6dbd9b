//! Users, for those who manage them.

use super::login::{if_match, is_known, no_store};
use super::shape::{Body, IdentityEnvelope, InPath, InQuery, Page, Problems, one, page_of};
use crate::Auth;
use crate::people::{Created, KnownUser, MadeUser, NewUser, UserChange, UserView};
use axum::Json;
use axum::extract::State as Here;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use drover_access::Caller;
use drover_answer::{ErrorEnvelope, Problem};
use drover_registry::idempotency;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Auth> {
    OpenApiRouter::new()
        .routes(routes!(list_users, create_user))
        .routes(routes!(show_user, change_user, remove_user))
        .routes(routes!(reset_password))
        .routes(routes!(remove_totp))
}

/// Which users.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UsersQuery {
    /// Only those of this role.
    #[param(example = "dispatcher")]
    role: Option<String>,
    /// Only those whose address or name holds this, in any case.
    q: Option<String>,
    /// Which page, from 1.
    #[param(minimum = 1)]
    page: Option<usize>,
    /// Records on a page, up to 1,000; default 25.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The users within reach, by e-mail address.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", params(UsersQuery),
    responses(
        (status = 200, body = IdentityEnvelope<Vec<UserView>>, description = "a page of users"),
        (status = 422, body = ErrorEnvelope, description = "a value is not allowed")
    )
)]
async fn list_users(
    Here(auth): Here<Auth>,
    caller: Caller,
    InQuery(query): InQuery<UsersQuery>,
) -> Result<Json<IdentityEnvelope<Vec<UserView>>>, Problem> {
    let mut users = auth.users(&caller);
    if let Some(role) = &query.role {
        users.retain(|user| user.role == *role);
    }
    if let Some(text) = query.q.as_ref().map(|text| text.to_lowercase()) {
        users.retain(|user| user.email.to_lowercase().contains(&text) || user.name.to_lowercase().contains(&text));
    }
    page_of(users, Page { page: query.page, limit: query.limit })
}

/// Make a user. The answer holds a password that he can log in by once; it is shown once. Nobody gives a role or fleets
/// that he does not have himself. With an `Idempotency-Key`, the same request makes nobody twice for 24 hours: it is answered
/// with the user, without the password, of which only a hash is kept; `POST /api/v1/users/{id}/password` gives a new one.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users", request_body = NewUser,
    params(("Idempotency-Key" = Option<String>, Header, description = "a word of the caller's for this request: 1 to 200 characters")),
    responses(
        (status = 201, body = IdentityEnvelope<MadeUser>, description = "made"),
        (status = 200, body = IdentityEnvelope<KnownUser>, description = "an earlier request of this Idempotency-Key made him"),
        Problems
    )
)]
async fn create_user(
    Here(auth): Here<Auth>,
    caller: Caller,
    headers: HeaderMap,
    Body(new): Body<NewUser>,
) -> Result<Response, Problem> {
    let word = idempotency::key_in(&headers)?;
    let made = match auth.create_user_once(&caller, new, word.as_deref()).await? {
        Created::Now(made) => made,
        Created::Before(user) => {
            let replayed = HeaderName::from_static(idempotency::REPLAYED);
            let headers = AppendHeaders([no_store(), (replayed, HeaderValue::from_static("true")), etag(&user)]);
            return Ok((headers, one(200, KnownUser { user })).into_response());
        }
    };
    let place = HeaderValue::try_from(format!("/api/v1/users/{}", made.user.id));
    let place = place.unwrap_or_else(|_| HeaderValue::from_static("/api/v1/users"));
    let headers = AppendHeaders([no_store(), (header::LOCATION, place), etag(&made.user)]);
    Ok((StatusCode::CREATED, headers, one(201, made)).into_response())
}

/// A user.
#[utoipa::path(
    get, path = "/api/v1/users/{id}", tag = "users",
    params(
        ("id" = String, Path, description = "the user's id"),
        ("If-None-Match" = Option<String>, Header, description = "answer 304 if he still has this ETag")
    ),
    responses(
        (status = 200, body = IdentityEnvelope<UserView>, description = "the user"),
        (status = 304, description = "he still has the ETag that the caller knows"),
        (status = 400, body = ErrorEnvelope, description = "the address cannot be read"),
        (status = 404, body = ErrorEnvelope, description = "there is no such user within reach")
    )
)]
async fn show_user(
    Here(auth): Here<Auth>,
    caller: Caller,
    InPath(id): InPath<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = auth.user(&caller, &id)?;
    if is_known(&headers, user.version) {
        return Ok((StatusCode::NOT_MODIFIED, AppendHeaders([etag(&user)])).into_response());
    }
    Ok((AppendHeaders([etag(&user)]), one(200, user)).into_response())
}

/// Change a user; what is left out stays. Where his role, what it is about, or whether he may log in changes, his sessions
/// end, and the API keys that he made keep what he has himself. Naming `fleets` alone makes it these, not all; who is no
/// System Admin any more is told his fleets.
#[utoipa::path(
    patch, path = "/api/v1/users/{id}", tag = "users", request_body = UserChange,
    params(
        ("id" = String, Path, description = "the user's id"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the user as the caller knows him")
    ),
    responses(
        (status = 200, body = IdentityEnvelope<UserView>, description = "changed"),
        (status = 412, body = ErrorEnvelope, description = "somebody else has changed him since"), Problems
    )
)]
async fn change_user(
    Here(auth): Here<Auth>,
    caller: Caller,
    InPath(id): InPath<String>,
    headers: HeaderMap,
    Body(change): Body<UserChange>,
) -> Result<Response, Problem> {
    let user = auth.change_user(&caller, &id, change, if_match(&headers)?).await?;
    Ok((AppendHeaders([etag(&user)]), one(200, user)).into_response())
}

/// Remove a user. His sessions end, and the API keys that he made open nothing any more.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}", tag = "users",
    params(
        ("id" = String, Path, description = "the user's id"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the user as the caller knows him")
    ),
    responses(
        (status = 204, description = "removed"),
        (status = 412, body = ErrorEnvelope, description = "somebody else has changed him since"), Problems
    )
)]
async fn remove_user(
    Here(auth): Here<Auth>,
    caller: Caller,
    InPath(id): InPath<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    auth.remove_user(&caller, &id, if_match(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a user a new password that he can log in by once; it is shown once. His sessions end.
#[utoipa::path(
    post, path = "/api/v1/users/{id}/password", tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    responses((status = 200, body = IdentityEnvelope<MadeUser>, description = "the new password"), Problems)
)]
async fn reset_password(
    Here(auth): Here<Auth>,
    caller: Caller,
    InPath(id): InPath<String>,
) -> Result<Response, Problem> {
    let made = auth.reset_password(&caller, &id).await?;
    Ok((AppendHeaders([no_store()]), one(200, made)).into_response())
}

/// Take a user's second factor away, for who lost it. His sessions end.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/totp", tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    responses((status = 204, description = "taken away"), Problems)
)]
async fn remove_totp(
    Here(auth): Here<Auth>,
    caller: Caller,
    InPath(id): InPath<String>,
) -> Result<StatusCode, Problem> {
    auth.remove_totp(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn etag(user: &UserView) -> (HeaderName, HeaderValue) {
    let text = HeaderValue::try_from(format!("\"{}\"", user.version));
    (header::ETAG, text.unwrap_or_else(|_| HeaderValue::from_static("\"0\"")))
}
