//! Everything that arrives: doors decode, admission judges, the log keeps, and only then is anything
//! acknowledged. Knows JSON and HTTP; does not know what becomes of a report afterwards.

mod admit;
mod body;
mod enrich;
mod http;
mod intake;
mod lanes;
pub mod mqtt;
mod noise;
mod rejects;
mod seen;
mod websocket;

pub use admit::{Admission, Admitted, DeviceRate, Refusal};
pub use body::BODY_MAX_BYTES;
pub use http::routes;
pub use intake::{Addressed, Intake, IntakeError, Judged, Receipt, RejectedAt};
pub use noise::Tracks;
pub use rejects::{Door, RejectedItem, Rejects};
