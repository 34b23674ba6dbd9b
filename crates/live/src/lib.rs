//! What is true now. Follows the log of reports and keeps, for every asset, its latest report and its
//! place; answers where and near-by questions; feeds watchers. Pure function of the log: the same
//! records give the same state, byte for byte, from the start or from any snapshot. Never reads the
//! disk to answer, knows no wire format (watchers' items are encoded by a function given to it).

mod follow;
mod interest;
mod live;
mod owners;
mod search;
mod snapshot;
mod state;
mod watch;

pub use follow::{FollowError, Running};
pub use live::{Encode, Freshness, Live, Settings};
pub use search::{Area, Filter, Found};
pub use snapshot::SnapshotError;
pub use state::{Fix, Seen};
pub use watch::{Frame, TooManyWatchers, Watcher, Wish};
