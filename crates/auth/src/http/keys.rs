//! API keys, for those who manage them.

use super::login::no_store;
use super::shape::{Body, IdentityEnvelope, InPath, InQuery, Page, Problems, one, page_of};
use crate::Auth;
use crate::keys::{KeyView, MadeKey, NewKey};
use axum::Json;
use axum::extract::State as Here;
use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse, Response};
use drover_access::Caller;
use drover_answer::{ErrorEnvelope, Problem};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long the old secret is good after a rotation, where the request does not say.
const GRACE_S: u32 = 3_600;

pub(super) fn routes() -> OpenApiRouter<Auth> {
    OpenApiRouter::new()
        .routes(routes!(list_keys, create_key))
        .routes(routes!(show_key, remove_key))
        .routes(routes!(rotate_key))
}

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct KeysQuery {
    /// Which page, from 1.
    #[param(minimum = 1)]
    page: Option<usize>,
    /// Records on a page, up to 1,000; default 25.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The API keys within reach, newest first.
#[utoipa::path(
    get, path = "/api/v1/api-keys", tag = "API keys", params(KeysQuery),
    responses(
        (status = 200, body = IdentityEnvelope<Vec<KeyView>>, description = "a page of keys"),
        (status = 422, body = ErrorEnvelope, description = "a value is not allowed")
    )
)]
async fn list_keys(
    Here(auth): Here<Auth>,
    caller: Caller,
    InQuery(query): InQuery<KeysQuery>,
) -> Result<Json<IdentityEnvelope<Vec<KeyView>>>, Problem> {
    page_of(auth.keys(&caller), Page { page: query.page, limit: query.limit })
}

/// Make an API key. Its secret is shown once. Nobody gives scopes or fleets that he does not have himself.
#[utoipa::path(
    post, path = "/api/v1/api-keys", tag = "API keys", request_body = NewKey,
    responses((status = 201, body = IdentityEnvelope<MadeKey>, description = "made"), Problems)
)]
async fn create_key(Here(auth): Here<Auth>, caller: Caller, Body(new): Body<NewKey>) -> Result<Response, Problem> {
    let made = auth.create_key(&caller, new).await?;
    Ok((StatusCode::CREATED, AppendHeaders([no_store()]), one(201, made)).into_response())
}

/// An API key, without its secret.
#[utoipa::path(
    get, path = "/api/v1/api-keys/{id}", tag = "API keys",
    params(("id" = String, Path, description = "the key's id")),
    responses(
        (status = 200, body = IdentityEnvelope<KeyView>, description = "the key"),
        (status = 400, body = ErrorEnvelope, description = "the address cannot be read"),
        (status = 404, body = ErrorEnvelope, description = "there is no such key within reach")
    )
)]
async fn show_key(
    Here(auth): Here<Auth>,
    caller: Caller,
    InPath(id): InPath<String>,
) -> Result<Json<IdentityEnvelope<KeyView>>, Problem> {
    Ok(one(200, auth.key(&caller, &id)?))
}

/// Remove an API key: from now on it opens nothing.
#[utoipa::path(
    delete, path = "/api/v1/api-keys/{id}", tag = "API keys",
    params(("id" = String, Path, description = "the key's id")),
    responses((status = 204, description = "removed"), Problems)
)]
async fn remove_key(Here(auth): Here<Auth>, caller: Caller, InPath(id): InPath<String>) -> Result<StatusCode, Problem> {
    auth.remove_key(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How to rotate.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// For so many seconds more the old secret is good; default 3,600, at most 30 days, 0 for not at all.
    #[schema(minimum = 0, maximum = 2592000)]
    grace_s: Option<u32>,
}

/// Give an API key a new secret, shown once. The old one stays good for a while.
#[utoipa::path(
    post, path = "/api/v1/api-keys/{id}/rotate", tag = "API keys", request_body = Rotation,
    params(("id" = String, Path, description = "the key's id")),
    responses((status = 200, body = IdentityEnvelope<MadeKey>, description = "rotated"), Problems)
)]
async fn rotate_key(
    Here(auth): Here<Auth>,
    caller: Caller,
    InPath(id): InPath<String>,
    Body(rotation): Body<Rotation>,
) -> Result<Response, Problem> {
    let made = auth.rotate_key(&caller, &id, rotation.grace_s.unwrap_or(GRACE_S)).await?;
    Ok((AppendHeaders([no_store()]), one(200, made)).into_response())
}
