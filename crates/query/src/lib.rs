//! SQL over history: the files of the lake and the newest reports in memory as one table, `reports`. Only reading;
//! every query is limited in rows, time and memory, runs at low priority on threads of its own, and ends when its
//! [`Answer`] is dropped.
//!
//! What always holds:
//! - A query sees one [`drover_history::View`]: every report up to a position of the log, once.
//! - No statement changes anything, and no function reads files or the environment.
//! - A file that cannot be read fails the queries that need it, by name, and no others.

mod answer;
mod current;
mod damage;
mod engine;
mod error;
mod functions;
mod limits;
mod nearest;
mod progress;
mod prune;
mod reader;
mod runs;
mod runtime;
mod sees;
mod session;
mod shape;
mod statement;
mod table;
mod turns;
mod yielding;

pub use answer::Answer;
pub use arrow::array::RecordBatch;
pub use current::RunningQuery;
pub use engine::Engine;
pub use error::{SqlError, TextPosition};
pub use limits::{
    Asker, Limits, MAX_NESTING, MAX_OPERATORS, MAX_RELATIONS, MAX_ROWS, MAX_SQL_BYTES, MAX_TIME, Settings,
};
pub use progress::Progress;
pub use shape::{Encoder, Shape, sql_type};
