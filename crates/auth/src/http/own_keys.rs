//! The node's own keys, for system administrators.

use super::shape::{Body, IdentityEnvelope, Problems, Whence, one};
use crate::Auth;
use crate::own_keys::{OwnKey, OwnKeys, RetiredKeys};
use axum::Json;
use axum::extract::State as Here;
use drover_access::Caller;
use drover_answer::{ErrorEnvelope, Problem};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Auth> {
    OpenApiRouter::new()
        .routes(routes!(show_own_keys))
        .routes(routes!(rotate_own_key))
        .routes(routes!(retire_data_keys))
}

/// The node's own keys, without their secrets, and how far sealing anew is.
#[utoipa::path(
    get, path = "/api/v1/vault", tag = "vault",
    responses((status = 200, body = IdentityEnvelope<OwnKeys>, description = "the keys"))
)]
async fn show_own_keys(Here(auth): Here<Auth>) -> Json<IdentityEnvelope<OwnKeys>> {
    one(200, auth.own_keys())
}

/// Which key to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "data"}))]
struct OwnRotation {
    /// The key.
    key: OwnKey,
}

/// Change one of the node's own keys; nothing stops meanwhile. A root key that the operator holds is taken from the file
/// of its name with `.new` after it; he then puts it in the place of the old one.
#[utoipa::path(
    post, path = "/api/v1/vault/rotate", tag = "vault", request_body = OwnRotation,
    responses((status = 200, body = IdentityEnvelope<OwnKeys>, description = "the keys, as they are now"), Problems)
)]
async fn rotate_own_key(
    Here(auth): Here<Auth>,
    caller: Caller,
    whence: Whence,
    Body(rotation): Body<OwnRotation>,
) -> Result<Json<IdentityEnvelope<OwnKeys>>, Problem> {
    Ok(one(200, auth.rotate_own_key(&caller, whence.client.address, rotation.key).await?))
}

/// Forget the data keys that nothing is sealed by any more. What a backup holds that they sealed cannot be read again.
#[utoipa::path(
    post, path = "/api/v1/vault/retire", tag = "vault",
    responses(
        (status = 200, body = IdentityEnvelope<RetiredKeys>, description = "which were forgotten, and which stay"),
        (status = 409, body = ErrorEnvelope, description = "fields are being sealed anew, or a root key is pending"),
        (status = 503, body = ErrorEnvelope, description = "the database is away")
    )
)]
async fn retire_data_keys(
    Here(auth): Here<Auth>,
    caller: Caller,
    whence: Whence,
) -> Result<Json<IdentityEnvelope<RetiredKeys>>, Problem> {
    Ok(one(200, auth.retire_data_keys(&caller, whence.client.address).await?))
}
