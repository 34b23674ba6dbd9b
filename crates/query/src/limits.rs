//! What a query may use, and what all queries together may. Every limit has a default that suits a node on a small
//! machine, and a largest value that a caller may ask for.

use drover_model::Sight;
use std::sync::Arc;
use std::time::Duration;

/// Most rows that a query may answer with.
pub const MAX_ROWS: usize = 1_000_000;
/// Longest time that a query may be given.
pub const MAX_TIME: Duration = Duration::from_secs(600);
/// Longest SQL text, bytes.
pub const MAX_SQL_BYTES: usize = 100 * 1024;
/// Deepest nesting of parentheses, subqueries and expressions.
pub const MAX_NESTING: usize = 50;
/// Most operators and keywords in one query. A chain of operators nests as deep as it is long.
pub const MAX_OPERATORS: usize = 2_000;
/// Most tables, subqueries and set operations in one query.
pub const MAX_RELATIONS: usize = 64;

/// Who asks, and what he may see.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    /// Whose query it is, in the list of those that run.
    pub name: Arc<str>,
    /// Rows of all other assets are as if they were not there.
    pub sight: Sight,
    /// He has no more turns than [`Settings::queries_of_asker`] at once.
    pub is_bounded: bool,
}

/// What one query may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Rows of the answer; what lies beyond is left out and told. At most [`MAX_ROWS`].
    pub rows: usize,
    /// Time from the start of planning to the last row taken by the caller. At most [`MAX_TIME`].
    pub time: Duration,
    /// Memory that sorting, grouping and joining may hold, bytes. Nothing is spilled to disk.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { rows: 10_000, time: Duration::from_secs(30), memory_bytes: 256 << 20 }
    }
}

impl Limits {
    /// The same within the largest values; at least one row, so that an answer can tell that it was cut.
    pub(crate) fn bounded(self) -> Limits {
        Limits { rows: self.rows.clamp(1, MAX_ROWS), time: self.time.min(MAX_TIME), ..self }
    }
}

/// What all queries together may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Threads that queries run on, at low priority.
    pub threads: usize,
    /// Queries that run at once.
    pub queries: usize,
    /// Of these, queries of one asker who is bounded; at least one.
    pub queries_of_asker: usize,
    /// How long a further query waits for its turn before it is refused.
    pub queue_wait: Duration,
    /// Parsed footers of files that are kept in memory, bytes.
    pub footer_cache_bytes: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            queries: 2,
            queries_of_asker: 1,
            queue_wait: Duration::from_secs(5),
            footer_cache_bytes: 32 << 20,
        }
    }
}
