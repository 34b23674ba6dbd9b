//! The HTTP door of identities.

mod devices;
mod keys;
mod login;
mod own_keys;
mod shape;
mod users;

use crate::Auth;
use utoipa_axum::router::OpenApiRouter;

/// The routes of this door.
pub(crate) fn routes(auth: Auth) -> OpenApiRouter {
    OpenApiRouter::new()
        .merge(login::routes())
        .merge(users::routes())
        .merge(keys::routes())
        .merge(devices::routes())
        .merge(own_keys::routes())
        .with_state(auth)
}
