//! The answer as its reader holds it: columns first, then rows as they come. Dropping it stops the query.

use crate::error::SqlError;
use crate::limits::Limits;
use crate::progress::{Progress, Watch};
use crate::shape::{Encoder, Shape, ShapeError};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

/// How long after its time limit a query that is deep in computing is waited for before its reader is told.
const GRACE: Duration = Duration::from_millis(500);

pub(crate) type Sender = mpsc::Sender<Result<Step, SqlError>>;

/// What the query hands to its reader, in this order: head, rows, end.
#[derive(Debug)]
pub(crate) enum Step {
    Head(Head),
    Rows(RecordBatch),
    End { truncated: bool },
}

#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) schema: SchemaRef,
}

/// The rows of one query. Dropping it stops the query.
#[derive(Debug)]
pub struct Answer {
    schema: SchemaRef,
    running: Running,
    rows: u64,
    truncated: bool,
}

#[derive(Debug)]
struct Running {
    steps: mpsc::Receiver<Result<Step, SqlError>>,
    task: JoinHandle<()>,
    watch: Arc<Watch>,
    limits: Limits,
    started: Instant,
    ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    async fn step(&mut self) -> Result<Step, SqlError> {
        let deadline = self.started + self.limits.time;
        match timeout_at((deadline + GRACE).into(), self.steps.recv()).await {
            Ok(Some(step)) => step,
            Ok(None) if Instant::now() < deadline => {
                Err(SqlError::Internal { message: "the query ended without an answer".into() })
            }
            _ => Err(SqlError::OutOfTime { limit: self.limits.time }),
        }
    }
}

impl Answer {
    pub(crate) async fn begin(
        steps: mpsc::Receiver<Result<Step, SqlError>>,
        task: JoinHandle<()>,
        watch: Arc<Watch>,
        limits: Limits,
        started: Instant,
    ) -> Result<Answer, SqlError> {
        let mut running = Running { steps, task, watch, limits, started, ended: false };
        match running.step().await? {
            Step::Head(Head { schema }) => Ok(Answer { schema, running, rows: 0, truncated: false }),
            _ => Err(SqlError::Internal { message: "rows came before their columns".into() }),
        }
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows, or `None` at the end. After an error the query has stopped, and what came before is only a part
    /// of the answer.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        if self.running.ended {
            return None;
        }
        match self.running.step().await {
            Ok(Step::Rows(batch)) => {
                self.rows += batch.num_rows() as u64;
                return Some(Ok(batch));
            }
            Ok(Step::End { truncated }) => self.truncated = truncated,
            Ok(Step::Head(_)) => {}
            Err(error) => {
                self.running.ended = true;
                return Some(Err(error));
            }
        }
        self.running.ended = true;
        None
    }

    /// Rows given so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether there were more rows than the row limit. Known at the end.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Time since the query got its turn.
    pub fn elapsed(&self) -> Duration {
        self.running.started.elapsed()
    }

    /// Work so far.
    pub fn progress(&self) -> Progress {
        self.running.watch.progress()
    }

    /// All rows at once, for callers that know that they are few. On error nothing is given.
    pub async fn collect(&mut self) -> Result<Vec<RecordBatch>, SqlError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }

    /// Writes the whole answer in a shape, batch by batch. On a query's error the output ends as the shape allows
    /// (see [`Encoder::fail`]), and the error is returned.
    pub async fn write(&mut self, shape: Shape, out: &mut (impl Write + Send)) -> Result<(), ShapeError> {
        let mut encoder = Encoder::new(shape, &self.schema)?;
        while let Some(batch) = self.next().await {
            match batch {
                Ok(batch) => encoder.rows(&batch)?,
                Err(error) => {
                    encoder.fail(&error);
                    encoder.drain(out)?;
                    return Err(error.into());
                }
            }
            encoder.drain(out)?;
        }
        encoder.end(self)?;
        encoder.drain(out)
    }

    /// [`Answer::write`] as the JSON that the API answers with.
    pub async fn to_json(&mut self, out: &mut (impl Write + Send)) -> Result<(), ShapeError> {
        self.write(Shape::Json, out).await
    }
}
