//! One partition of a [`RunsExec`] at work.

use super::RunsExec;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat, partition, take};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures_util::{StreamExt, stream};
use std::iter::repeat_n;
use std::sync::Arc;

/// States are handed on when there are so many, or when they take so many bytes.
const MAX_RUNS: usize = 4_096;
const MAX_STATE_BYTES: usize = 1 << 20;

pub(super) struct RunStream {
    input: SendableRecordBatchStream,
    runs: Runs,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
    ended: bool,
}

/// The runs that were not handed on yet.
struct Runs {
    groups: Arc<[Arc<dyn PhysicalExpr>]>,
    aggregates: Vec<Aggregate>,
    schema: SchemaRef,
    /// For each group column the values of the runs, a piece for each batch.
    values: Vec<Vec<ArrayRef>>,
    count: usize,
    /// The run of each row of the current batch.
    run_of_row: Vec<usize>,
}

struct Aggregate {
    accumulator: Box<dyn GroupsAccumulator>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

impl RunStream {
    pub(super) fn start(
        plan: &RunsExec,
        number: usize,
        context: &Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let runs = RunStream {
            input: plan.input.execute(number, context.clone())?,
            runs: Runs::of(plan)?,
            reservation: MemoryConsumer::new(format!("RunsExec[{number}]")).register(context.memory_pool()),
            metrics: BaselineMetrics::new(&plan.metrics, number),
            ended: false,
        };
        let batches =
            stream::try_unfold(runs, |mut runs| async move { Ok(runs.next().await?.map(|batch| (batch, runs))) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(plan.schema.clone(), batches)))
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while !self.ended {
            let batch = self.input.next().await.transpose()?;
            let time = self.metrics.elapsed_compute().clone();
            let _timer = time.timer();
            match batch {
                Some(batch) => self.runs.push(&batch)?,
                None => self.ended = true,
            }
            let bytes = self.runs.bytes();
            self.reservation.try_resize(bytes)?;
            if self.runs.count >= MAX_RUNS || bytes >= MAX_STATE_BYTES {
                return self.emit().map(Some);
            }
        }
        if self.runs.count > 0 { self.emit().map(Some) } else { Ok(None) }
    }

    fn emit(&mut self) -> Result<RecordBatch> {
        let batch = self.runs.emit()?;
        self.metrics.record_output(batch.num_rows());
        Ok(batch)
    }
}

impl Runs {
    fn of(plan: &RunsExec) -> Result<Runs> {
        let aggregates = plan.aggregates.iter().zip(plan.filters.iter()).map(|(aggregate, filter)| {
            Ok(Aggregate {
                accumulator: aggregate.create_groups_accumulator()?,
                arguments: aggregate.expressions(),
                filter: filter.clone(),
            })
        });
        Ok(Runs {
            aggregates: aggregates.collect::<Result<_>>()?,
            values: vec![Vec::new(); plan.groups.len()],
            groups: plan.groups.clone(),
            schema: plan.schema.clone(),
            count: 0,
            run_of_row: Vec::new(),
        })
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let groups = evaluate(&self.groups, batch)?;
        let ranges = partition(&groups)?.ranges();
        self.run_of_row.clear();
        for (number, range) in ranges.iter().enumerate() {
            self.run_of_row.extend(repeat_n(self.count + number, range.len()));
        }
        let starts = UInt32Array::from_iter_values(ranges.iter().map(|range| range.start as u32));
        for (values, group) in self.values.iter_mut().zip(&groups) {
            values.push(take(group, &starts, None)?);
        }
        self.count += ranges.len();
        self.aggregates.iter_mut().try_for_each(|aggregate| aggregate.push(batch, &self.run_of_row, self.count))
    }

    /// All states, after which there are no runs.
    fn emit(&mut self) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for values in &mut self.values {
            let pieces: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
            columns.push(concat(&pieces)?);
            values.clear();
        }
        for aggregate in &mut self.aggregates {
            columns.extend(aggregate.accumulator.state(EmitTo::All)?);
        }
        self.count = 0;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    fn bytes(&self) -> usize {
        let states: usize = self.aggregates.iter().map(|aggregate| aggregate.accumulator.size()).sum();
        states + self.run_of_row.capacity() * size_of::<usize>()
    }
}

impl Aggregate {
    fn push(&mut self, batch: &RecordBatch, run_of_row: &[usize], runs: usize) -> Result<()> {
        let values = evaluate(&self.arguments, batch)?;
        let filter = self.filter.as_ref().map(|filter| evaluate_one(filter, batch)).transpose()?;
        let filter: Option<&BooleanArray> = filter.as_ref().map(|filter| filter.as_boolean());
        self.accumulator.update_batch(&values, run_of_row, filter, runs)
    }
}

fn evaluate(expressions: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    expressions.iter().map(|expression| evaluate_one(expression, batch)).collect()
}

fn evaluate_one(expression: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    expression.evaluate(batch)?.into_array(batch.num_rows())
}
