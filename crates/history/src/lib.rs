//! What was true: every admitted report, once, in an open lake of Parquet files with a DuckLake catalogue that other
//! programs read in place. A follower of the log: it keeps the newest reports in memory ([`Tail`]), writes them to
//! files of one day each ([`LakeFile`]), merges the files, and forgets old days. The durable way of a report does not
//! pass here, and nothing here can hold it up.
//!
//! What always holds:
//! - A [`View`] holds every report of the log up to its position exactly once: in a file up to its cursor, in its tail
//!   after that. Positions that the log had lost are counted in [`Status::gap`], never passed over in silence.
//! - Files, statistics and the cursor change in one transaction of the catalogue, or not at all. A crash at any moment
//!   leaves at most files that nobody knows, which the next start removes.
//! - A file is deleted only after no view holds it and no snapshot that may still be read names it.
//! - The tail is bounded; at the bound the follower waits and the log keeps the rest.

mod chunk;
mod erasing;
mod file_bytes;
mod flushing;
mod follow;
mod history;
mod lake;
pub mod read;
mod rows;
mod schema;
mod tail;
pub mod trips;
mod upkeep;
mod view;

pub use chunk::Chunk;
pub use file_bytes::{FileBytes, Stored};
pub use follow::{Running, follow};
pub use history::{History, Refused, RefusedFn, Settings, Status};
pub use lake::Error;
pub use lake::doctor::{Finding, check};
pub use lake::stores::Tier;
pub use lake::tiers::Due;
pub use lake::writer::{FileWriter, Layout, Written};
pub use rows::Rows;
pub use schema::{
    BASE_COLUMNS, FIELD_ID, READING_COLUMNS_MAX, ReadingColumn, ReadingColumnError, ReadingType, reading_columns,
    report_schema, sort_by_key,
};
pub use tail::Tail;
pub use view::{Key, LakeFile, View};
