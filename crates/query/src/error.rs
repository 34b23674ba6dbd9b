//! What can be wrong with a query, in words for the one who wrote it. The engine's own errors are turned into these in
//! one place, here.

use crate::limits::{MAX_NESTING, MAX_OPERATORS, MAX_RELATIONS, MAX_SQL_BYTES};
use crate::nearest::nearest;
use datafusion::common::{DataFusionError, SchemaError};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A place in the SQL text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPosition {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

/// Why a query has no answer, or only the part that was given before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SqlError {
    /// The text is not SQL.
    #[error("{message}{}", At(position))]
    Syntax {
        /// What was expected.
        message: String,
        /// Where.
        position: Option<TextPosition>,
    },
    /// No table has the column.
    #[error("there is no column {name:?}{}{}", DidYouMean(nearest), At(position))]
    UnknownColumn {
        /// As written.
        name: String,
        /// The column that was probably meant.
        nearest: Option<String>,
        /// Where.
        position: Option<TextPosition>,
    },
    /// There is no such table.
    #[error("there is no table {name:?}{}; `SHOW TABLES` lists them", DidYouMean(nearest))]
    UnknownTable {
        /// As written.
        name: String,
        /// The table that was probably meant.
        nearest: Option<String>,
    },
    /// The query makes no sense as written: types, functions, grouping.
    #[error("{message}{}", At(position))]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where.
        position: Option<TextPosition>,
    },
    /// The statement does something else than reading.
    #[error("{what} is not allowed: only SELECT, WITH, EXPLAIN, SHOW TABLES and DESCRIBE are, one statement at a time")]
    Refused {
        /// What was refused, such as `DELETE`.
        what: String,
    },
    /// The text is too long or too deeply nested to be planned safely.
    #[error("{0}")]
    TooComplex(TooComplex),
    /// Too many queries run already.
    #[error("{running} queries run already and none ended within {} s; try again", waited.as_secs_f32())]
    Busy {
        /// How many run at once; of one asker, where it is his own turn that was waited for.
        running: usize,
        /// How long it was waited.
        waited: Duration,
    },
    /// The time limit was reached; the query was stopped.
    #[error("stopped after {} s: narrow the time range (event_time >= … AND event_time < …) or raise the time limit", limit.as_secs_f32())]
    OutOfTime {
        /// The limit.
        limit: Duration,
    },
    /// Somebody stopped it.
    #[error("the query was stopped by request")]
    Stopped,
    /// The memory limit was reached; the query was stopped.
    #[error("needs more than {} MiB of memory: group by fewer values, sort fewer rows (LIMIT), or narrow the time range", limit_bytes >> 20)]
    OutOfMemory {
        /// The limit, bytes.
        limit_bytes: usize,
    },
    /// A file of the lake cannot be read.
    #[error("file {} cannot be read ({why}); run `drover doctor`", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The values do not allow it: a division by zero, a text that is no number.
    #[error("{message}")]
    Failed {
        /// What happened.
        message: String,
    },
    /// A fault of Drover.
    #[error("the query failed inside Drover: {message}")]
    Internal {
        /// What happened.
        message: String,
    },
}

/// Which limit of the text was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooComplex {
    /// Longer than [`MAX_SQL_BYTES`].
    Long,
    /// Nested deeper than [`MAX_NESTING`].
    Deep,
    /// More operators than [`MAX_OPERATORS`].
    Operators,
    /// More tables and set operations than [`MAX_RELATIONS`].
    Relations,
}

impl fmt::Display for TooComplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TooComplex::Long => write!(f, "the query is longer than {} KiB", MAX_SQL_BYTES >> 10),
            TooComplex::Deep => write!(f, "the query is nested deeper than {MAX_NESTING} levels"),
            TooComplex::Operators => {
                write!(f, "the query has more than {MAX_OPERATORS} operators; use IN (…) for lists of values")
            }
            TooComplex::Relations => write!(f, "the query has more than {MAX_RELATIONS} tables and set operations"),
        }
    }
}

impl SqlError {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            SqlError::Syntax { .. } => "sql_syntax",
            SqlError::UnknownColumn { .. } => "unknown_column",
            SqlError::UnknownTable { .. } => "unknown_table",
            SqlError::Invalid { .. } => "sql_invalid",
            SqlError::Refused { .. } => "only_reading",
            SqlError::TooComplex(_) => "sql_too_complex",
            SqlError::Busy { .. } => "queries_busy",
            SqlError::OutOfTime { .. } => "query_time",
            SqlError::Stopped => "query_stopped",
            SqlError::OutOfMemory { .. } => "query_memory",
            SqlError::Damaged { .. } => "file_damaged",
            SqlError::Failed { .. } => "query_failed",
            SqlError::Internal { .. } => "internal",
        }
    }
}

struct At<'a>(&'a Option<TextPosition>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(TextPosition { line, column }) => write!(f, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

struct DidYouMean<'a>(&'a Option<String>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "; did you mean {name:?}?"),
            None => Ok(()),
        }
    }
}

/// What the engine said while it planned or ran a query.
pub(crate) fn explain(error: DataFusionError, memory_bytes: usize) -> SqlError {
    let position = position(&error);
    if let Some(file) = damaged(&error) {
        return file.clone();
    }
    match root(error) {
        DataFusionError::SQL(error, _) => syntax(&error.to_string()),
        DataFusionError::SchemaError(error, _) => schema(*error, position),
        DataFusionError::Plan(message) => plan(message, position),
        DataFusionError::NotImplemented(message) => {
            SqlError::Invalid { message: format!("not supported: {message}"), position }
        }
        DataFusionError::ResourcesExhausted(_) => SqlError::OutOfMemory { limit_bytes: memory_bytes },
        DataFusionError::Internal(message) => SqlError::Internal { message },
        DataFusionError::ExecutionJoin(error) => SqlError::Internal { message: error.to_string() },
        other => SqlError::Failed { message: plain(&other.strip_backtrace()) },
    }
}

/// The error within its context.
fn root(error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(*inner),
        DataFusionError::Collection(mut errors) if !errors.is_empty() => root(errors.swap_remove(0)),
        DataFusionError::Shared(shared) => match shared.find_root() {
            DataFusionError::ResourcesExhausted(message) => DataFusionError::ResourcesExhausted(message.clone()),
            other => DataFusionError::Execution(other.strip_backtrace()),
        },
        other => other,
    }
}

/// A file's own error, however deep it lies.
fn damaged(error: &DataFusionError) -> Option<&SqlError> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found @ SqlError::Damaged { .. }) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn position(error: &DataFusionError) -> Option<TextPosition> {
    let start = error.diagnostic()?.span?.start;
    (start.line > 0).then_some(TextPosition { line: start.line, column: start.column })
}

fn schema(error: SchemaError, position: Option<TextPosition>) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let near = nearest(&field.name, valid_fields.iter().map(|field| field.name.as_str())).map(str::to_owned);
            SqlError::UnknownColumn { name: field.name, nearest: near, position }
        }
        other => SqlError::Invalid { message: other.to_string(), position },
    }
}

fn plan(message: String, position: Option<TextPosition>) -> SqlError {
    let table = message.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found"));
    let Some(table) = table else { return SqlError::Invalid { message: plain(&message), position } };
    let name = table.rsplit('.').next().unwrap_or(table);
    SqlError::UnknownTable { name: name.to_owned(), nearest: nearest(name, ["reports"]).map(str::to_owned) }
}

/// The parser's message ends with ` at Line: 1, Column: 8` where it knows the place.
fn syntax(message: &str) -> SqlError {
    let message = message.trim_start_matches("sql parser error: ");
    if message.contains("recursion limit exceeded") {
        return SqlError::TooComplex(TooComplex::Deep);
    }
    let (text, place) = message.split_once(" at Line: ").map_or((message, None), |(text, place)| (text, Some(place)));
    let position = place.and_then(|place| {
        let (line, column) = place.split_once(", Column: ")?;
        let digits = column.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(TextPosition { line: line.parse().ok()?, column: digits.parse().ok()? })
    });
    SqlError::Syntax { message: text.to_owned(), position }
}

/// Without the engine's own prefixes, which say nothing to who wrote the query.
fn plain(message: &str) -> String {
    let mut rest = message;
    for prefix in
        ["Execution error: ", "Arrow error: ", "Error during planning: ", "Optimizer rule ", "Compute error: "]
    {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    rest.to_owned()
}
