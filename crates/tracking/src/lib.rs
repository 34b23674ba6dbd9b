//! What customers and fleet clients follow: the driver of an order while it is out for delivery, a parcel by its tracking
//! number, and the fleet document's events, over HTTP, WebSocket, server-sent events and Socket.IO.
//!
//! Must always hold:
//! - a driver's position is told only to those who may follow the delivery, and only while it is out for delivery;
//! - a customer, and who has only a tracking number, is told no place from before the delivery went out;
//! - who drives for a delivery is what the registry says, never what a driver's report says;
//! - what is hidden from somebody answers exactly as what does not exist;
//! - rights are looked at again before everything that is told, and nothing is queued for later.

mod delivery;
mod events;
mod hub;
mod mismatch;
mod order_http;
mod order_socket;
mod outlet;
mod pace;
mod place;
mod problems;
mod session;
mod socket_io;
mod track;
mod watch;
mod wire;

pub use place::DriverLocation;
pub use socketioxide::layer::SocketIoLayer;
pub use track::{Track, TrackDriver, TrackPosition, TrackStep};

use drover_access::{Caller, Directory};
use drover_live::Live;
use drover_registry::Registry;
use hub::Hub;
use mismatch::Mismatches;
use std::fmt;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Who a token belongs to, if it is good. Asked once for a connection that brings its token by Socket.IO.
pub type Authenticate = Arc<dyn Fn(&str) -> Option<Caller> + Send + Sync>;
/// True once the caller's login is over (logged out, revoked, expired). Asked for every connection twice a second, so it
/// must be quick and never wait.
pub type Ended = Arc<dyn Fn(&Caller) -> bool + Send + Sync>;

/// What following needs. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Tracking(Arc<Shared>);

/// Behind every clone.
pub(crate) struct Shared {
    pub registry: Registry,
    pub live: Live,
    pub directory: Directory,
    pub authenticate: Authenticate,
    pub ended: Ended,
    pub hub: Hub,
    pub mismatches: Mismatches,
    /// In whose name the registry is read where the caller is nobody, or his rights were looked at already.
    node: Caller,
}

impl Tracking {
    /// Begins to follow the live state and the deliveries under way; that ends with the last clone, or when the live state
    /// ends its watchers. Must be called within a Tokio runtime.
    pub fn new(
        registry: Registry,
        live: Live,
        directory: Directory,
        authenticate: Authenticate,
        ended: Ended,
    ) -> Tracking {
        let (hub, mismatches, node) = (Hub::default(), Mismatches::default(), Caller::dev());
        let shared = Shared { registry, live, directory, authenticate, ended, hub, mismatches, node };
        let tracking = Tracking(Arc::new(shared));
        watch::start(&tracking);
        tracking
    }

    /// Connections that follow something at the moment.
    pub fn connections(&self) -> usize {
        self.0.hub.connections()
    }

    pub(crate) fn node(&self) -> Caller {
        self.0.node.clone()
    }
}

impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracking").field("connections", &self.connections()).finish_non_exhaustive()
    }
}

/// The routes that follow. All but those under `/api/v1/track/` take the caller from the request's extensions.
pub fn routes(tracking: Tracking) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(order_http::driver_location))
        .routes(routes!(track::track))
        .routes(routes!(track::track_live))
        .routes(routes!(events::events))
        .with_state(tracking)
}

/// The layer that answers Socket.IO at `/socket.io/`; everything else passes through it. Put it inside of the guard: a
/// caller that the guard found is taken, and whoever has none may still bring a token.
pub fn socket_io(tracking: Tracking) -> SocketIoLayer {
    socket_io::layer(tracking)
}
