//! Who may do what: roles and their permissions, the table of routes, callers and what they reach, and which
//! fleet an asset belongs to. Plain words and rules: how somebody proves who he is, is not known here.

mod beside;
mod caller;
mod directory;
mod origin;
mod permissions;
mod roles;
mod routes;
mod until;
mod watching;

pub use beside::{ClientOrigin, ReportLimit, Shown, Stranger};
pub use caller::{Caller, Principal, Reach, Seeing};
pub use directory::Directory;
pub use origin::{coming_from, request_address};
pub use permissions::{Permission, Permissions};
pub use roles::Role;
pub use routes::{Audit, Needs, Route, route, routes};
pub use until::Until;
pub use watching::{Look, Noter, Watching, is_person};
