//! Runs queries: takes turns, plans, streams, and stops at the limits. A query lives on the query threads; the caller
//! holds an [`Answer`] and pulls.

use crate::answer::{Answer, Head, Sender, Step};
use crate::current::{Current, Entry, RunningQuery};
use crate::damage;
use crate::error::{SqlError, explain};
use crate::functions::batch_rows;
use crate::limits::{Asker, Limits, Settings};
use crate::progress::Watch;
use crate::runtime;
use crate::session::{Session, Sessions};
use crate::statement::{self, Question};
use crate::table::describe;
use crate::turns::{Turn, Turns};
use arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement;
use drover_history::read::Footers;
use drover_history::{History, View};
use futures_util::{FutureExt, StreamExt};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

/// Batches that wait between the query and its reader.
const STEPS_AHEAD: usize = 2;

/// Answers SQL over history. Clones are cheap and share threads and limits.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    /// Taken only when dropped: a runtime must not be dropped where others wait.
    runtime: Option<Runtime>,
    sessions: Sessions,
    turns: Turns,
    current: Arc<Current>,
    views: Box<dyn Fn() -> Arc<View> + Send + Sync>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    /// Starts the query threads over a running history. On error nothing was started.
    pub fn new(history: History, settings: Settings) -> std::io::Result<Engine> {
        let footers = history.footers();
        Engine::start(Box::new(move || history.view()), footers, settings)
    }

    /// Starts the query threads over views from anywhere, such as a lake without a follower.
    pub fn over(views: impl Fn() -> Arc<View> + Send + Sync + 'static, settings: Settings) -> std::io::Result<Engine> {
        Engine::start(Box::new(views), Arc::default(), settings)
    }

    fn start(
        views: Box<dyn Fn() -> Arc<View> + Send + Sync>,
        footers: Arc<Footers>,
        settings: Settings,
    ) -> std::io::Result<Engine> {
        Ok(Engine(Arc::new(Inner {
            runtime: Some(runtime::start(settings.threads)?),
            sessions: Sessions::new(settings.threads.max(1), settings.footer_cache_bytes, footers),
            turns: Turns::new(&settings),
            current: Arc::default(),
            views,
        })))
    }

    /// Starts a query and returns when its columns are known; rows come with [`Answer::next`]. Everything stops when the
    /// answer, or the future of this call, is dropped. On error nothing runs any more (planning that is under way ends
    /// by itself and is not used).
    ///
    /// Needs to be called within a tokio runtime that has time.
    pub async fn run(&self, sql: &str, asker: Asker, limits: Limits) -> Result<Answer, SqlError> {
        let limits = limits.bounded();
        let turn = self.0.turns.take(&asker).await?;
        let started = Instant::now();
        // Conditions skip files and rows by what lies in them, and so would tell of what somebody may not see.
        let watch = Arc::new(Watch::new(!asker.sight.is_all()));
        let (steps, answer) = mpsc::channel(STEPS_AHEAD);
        let entry = self.0.current.enter(sql, &asker.name, started, &watch);
        let job = Job {
            engine: self.clone(),
            sql: sql.to_owned(),
            asker,
            limits: limits.clone(),
            watch: watch.clone(),
            started,
        };
        let runtime = self.0.runtime.as_ref().expect("there until the engine is dropped");
        let task = runtime.spawn(job.run(steps, turn, entry));
        Answer::begin(answer, task, watch, limits, started).await
    }

    /// The queries that run now, the oldest first.
    pub fn running(&self) -> Vec<RunningQuery> {
        self.0.current.list()
    }

    /// Stops a running query, which ends with [`SqlError::Stopped`]. False when no query has this number.
    pub fn stop(&self, id: u64) -> bool {
        self.0.current.stop(id)
    }
}

/// One query on its way through the query threads.
struct Job {
    engine: Engine,
    sql: String,
    asker: Asker,
    limits: Limits,
    watch: Arc<Watch>,
    started: Instant,
}

impl Job {
    /// Runs to the end or to a limit. The turn is given back when this is really over.
    async fn run(self, steps: Sender, turn: Turn, entry: Entry) {
        let deadline = (self.started + self.limits.time).into();
        let answered = timeout_at(deadline, AssertUnwindSafe(self.answer(&steps)).catch_unwind());
        let error = tokio::select! {
            outcome = answered => match outcome {
                Ok(Ok(Ok(()))) => return,
                Ok(Ok(Err(error))) => error,
                Ok(Err(panic)) => SqlError::Internal { message: panic_message(panic.as_ref()) },
                Err(_) => SqlError::OutOfTime { limit: self.limits.time },
            },
            () = entry.stopped() => SqlError::Stopped,
        };
        drop((turn, entry));
        // Nobody may be there any more to hear it.
        let _ = steps.send(Err(error)).await;
    }

    async fn answer(&self, steps: &Sender) -> Result<(), SqlError> {
        let question = statement::read(&self.sql)?;
        if matches!(question, Question::Plan(_)) && !self.asker.sight.is_all() {
            return Err(SqlError::Refused { what: "EXPLAIN, for somebody who does not reach all assets,".into() });
        }
        let view = (self.engine.0.views)();
        let memory = self.limits.memory_bytes;
        let batch_rows = batch_rows(statement::longest_text(&self.sql));
        let session = self.engine.0.sessions.over(&view, &self.asker.sight, memory, batch_rows, &self.watch);
        let session = session.map_err(|error| explain(error, memory))?;
        match question {
            Question::Tables => give(describe::tables(), steps).await,
            Question::Columns => give(describe::columns(&view.schema), steps).await,
            Question::Rows(statement) => self.stream(&session, statement, true, steps).await,
            Question::Plan(statement) => self.stream(&session, statement, false, steps).await,
        }
    }

    async fn stream(&self, session: &Session, statement: Statement, cut: bool, steps: &Sender) -> Result<(), SqlError> {
        let planned = self.plan(session, statement, cut).await;
        let (plan, mut rows) = planned.map_err(|error| explain(error, self.limits.memory_bytes))?;
        self.watch.runs(plan, session.memory.clone());
        hand(steps, Step::Head(Head { schema: rows.schema() })).await?;
        let mut left = self.limits.rows;
        let fetched = AssertUnwindSafe(async {
            while let Some(batch) = rows.next().await {
                let batch = batch.map_err(|error| explain(error, self.limits.memory_bytes))?;
                let fits = batch.num_rows() <= left;
                let batch = if fits { batch } else { batch.slice(0, left) };
                left -= batch.num_rows();
                hand(steps, Step::Rows(batch)).await?;
                if !fits {
                    return Ok(true);
                }
            }
            Ok(false)
        });
        let truncated = match fetched.catch_unwind().await {
            Ok(Ok(truncated)) => truncated,
            Ok(Err(error)) => return Err(self.find_damage(session, error).await),
            Err(panic) => {
                let error = SqlError::Internal { message: panic_message(panic.as_ref()) };
                return Err(self.find_damage(session, error).await);
            }
        };
        hand(steps, Step::End { truncated }).await
    }

    async fn plan(
        &self,
        session: &Session,
        statement: Statement,
        cut: bool,
    ) -> Result<(Arc<dyn ExecutionPlan>, SendableRecordBatchStream), DataFusionError> {
        let plan = session.state.statement_to_plan(statement).await?;
        let plan = if cut { limited(plan, self.limits.rows)? } else { plan };
        let plan = session.state.create_physical_plan(&plan).await?;
        let rows = execute_stream(plan.clone(), session.state.task_ctx())?;
        Ok((plan, rows))
    }

    /// The file behind an error that may come from a damaged file, when there is one; else the error.
    async fn find_damage(&self, session: &Session, error: SqlError) -> SqlError {
        if matches!(error, SqlError::Damaged { .. } | SqlError::OutOfMemory { .. }) {
            return error;
        }
        let files = session.files.opened();
        let deadline = self.started + self.limits.time;
        let found = tokio::task::spawn_blocking(move || damage::find(&files, deadline)).await;
        found.ok().flatten().unwrap_or(error)
    }
}

/// One row more than is given, to know whether there are more.
fn limited(plan: LogicalPlan, rows: usize) -> Result<LogicalPlan, DataFusionError> {
    LogicalPlanBuilder::from(plan).limit(0, Some(rows + 1))?.build()
}

async fn give(batch: RecordBatch, steps: &Sender) -> Result<(), SqlError> {
    hand(steps, Step::Head(Head { schema: batch.schema() })).await?;
    hand(steps, Step::Rows(batch)).await?;
    hand(steps, Step::End { truncated: false }).await
}

/// Gives a step to the reader; waits while the reader has enough. Without a reader the query is over.
async fn hand(steps: &Sender, step: Step) -> Result<(), SqlError> {
    let gone = |_| SqlError::Internal { message: "nobody reads the answer".into() };
    steps.send(Ok(step)).await.map_err(gone)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
