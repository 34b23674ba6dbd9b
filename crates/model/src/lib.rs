//! Words and rules that every other part of Drover shares: what an asset is, what a draft and a
//! report are, which values are allowed, how a report is written down. Plain values and functions:
//! no I/O, no async, and no JSON (only the adapters at the edges know wire formats).

mod asset;
mod draft;
mod erasures;
mod readings;
mod record;
mod reject;
mod report;
mod rules;
mod sight;
mod status;
mod time;

pub use asset::{AssetRef, ID_MAX_BYTES, Kind, check_id};
pub use draft::Draft;
pub use erasures::{Erased, Erasures};
pub use readings::{DISTANCE_FROM_DEPOT, READINGS_MAX_BYTES, Reading, Readings};
pub use record::{DecodeError, RECORD_VERSION, RecordMut, RecordRef};
pub use reject::{Reject, RejectCode};
pub use report::{Flags, Position, Report};
pub use rules::Rules;
pub use sight::{Sees, Sight};
pub use status::Status;
pub use time::{TimeError, format_time, parse_time};
