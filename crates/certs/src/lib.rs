//! Certificates: Drover's own authority for devices ([`Authority`]), the certificate that its doors show
//! ([`ServerCertificate`]: own files, made for trying out, or from an ACME directory), and the doors
//! themselves ([`Door`]: plain or TLS, for HTTP and MQTT alike; [`HttpDoor`]: with bounds of time and number). Who may
//! do what is not its business.
//!
//! What always holds:
//! - a certificate is in the index, on disk, before anybody gets it; a revocation is on disk before it is
//!   said to be done, and from then on the certificate opens no door and its connections are cut;
//! - a file that cannot be used never replaces one that can;
//! - a handshake that stalls holds up nobody else, and ends after ten seconds.

mod acme;
mod authority;
mod certificate;
mod door;
mod error;
mod files;
mod guest;
mod held;
mod index;
mod name;
mod places;
mod read;
mod tls;

pub use acme::{Acme, LETS_ENCRYPT};
pub use authority::{Authority, Issued};
pub use certificate::ServerCertificate;
pub use door::{Door, Peer, Socket};
pub use error::{Error, Refused};
pub use guest::{Guest, HttpDoor, Patience, Visit, in_time};
pub use index::{Listed, Reason};
pub use name::{DeviceName, NotAName};
pub use places::{Excepted, Places};
pub use read::Device;
pub use tls::{Oldest, ServerTls};
