//! Grouping that uses how history is sorted. Rows of one asset lie together in the order of time, so that rows of one
//! group (an asset and an hour, a city, a day) come in long runs. Each run is aggregated to one row without hashing;
//! the engine's own grouping then only sees runs. Right for any order of rows; fast for this one.
//!
//! Worth it for the average speed by driver and hour of 10 M reports: `bench/history` measures that question.

mod stream;

use self::stream::RunStream;
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Constraints, Result, internal_err};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream,
};
use std::fmt;
use std::sync::Arc;

/// Puts a [`RunsExec`] before the first stage of grouping where rows come straight from history.
#[derive(Debug)]
pub(crate) struct RunsRule;

impl PhysicalOptimizerRule for RunsRule {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewrite = |node: Arc<dyn ExecutionPlan>| match node.downcast_ref::<AggregateExec>() {
            Some(grouping) if suits(grouping) => Ok(Transformed::yes(by_runs(grouping)?)),
            _ => Ok(Transformed::no(node)),
        };
        plan.transform_up(rewrite).data()
    }

    fn name(&self) -> &str {
        "runs"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn suits(grouping: &AggregateExec) -> bool {
    let vectorized = |aggregate: &Arc<AggregateFunctionExpr>| {
        aggregate.groups_accumulator_supported() && aggregate.order_bys().is_empty()
    };
    *grouping.mode() == AggregateMode::Partial
        && grouping.group_expr().is_single()
        && !grouping.group_expr().is_empty()
        && !grouping.aggr_expr().is_empty()
        && grouping.limit_options().is_none()
        && grouping.aggr_expr().iter().all(vectorized)
        && comes_sorted(grouping.input())
}

/// Whether rows come from history without being mixed on the way.
fn comes_sorted(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.is::<DataSourceExec>() {
        return true;
    }
    let keeps_order = plan.is::<ProjectionExec>()
        || plan.is::<FilterExec>()
        || plan.is::<UnionExec>()
        || plan.is::<CooperativeExec>();
    keeps_order && plan.children().into_iter().all(comes_sorted)
}

/// Raw rows → one state per run → one state per group, in place of raw rows → one state per group.
fn by_runs(grouping: &AggregateExec) -> Result<Arc<dyn ExecutionPlan>> {
    let runs = Arc::new(RunsExec::of(grouping));
    let aggregates = grouping.aggr_expr().to_vec();
    let unfiltered = vec![None; aggregates.len()];
    let groups = grouping.group_expr().as_final();
    let input_schema = grouping.input_schema();
    let merged =
        AggregateExec::try_new(AggregateMode::PartialReduce, groups, aggregates, unfiltered, runs, input_schema)?;
    Ok(Arc::new(merged))
}

/// Aggregates runs of equal group values. The output is what the first stage of grouping gives, except that a group
/// may come several times.
#[derive(Debug, Clone)]
pub(crate) struct RunsExec {
    input: Arc<dyn ExecutionPlan>,
    groups: Arc<[Arc<dyn PhysicalExpr>]>,
    aggregates: Arc<[Arc<AggregateFunctionExpr>]>,
    filters: Arc<[Option<Arc<dyn PhysicalExpr>>]>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RunsExec {
    fn of(grouping: &AggregateExec) -> RunsExec {
        // The same order and partitions; but that a group comes once does not hold.
        let mut properties = grouping.properties().as_ref().clone();
        properties.eq_properties = properties.eq_properties.with_constraints(Constraints::default());
        RunsExec {
            input: grouping.input().clone(),
            groups: grouping.group_expr().input_exprs().into(),
            aggregates: grouping.aggr_expr().into(),
            filters: grouping.filter_expr().into(),
            schema: grouping.schema(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for RunsExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.groups.iter().map(ToString::to_string).collect();
        let aggregates: Vec<&str> = self.aggregates.iter().map(|aggregate| aggregate.name()).collect();
        write!(f, "RunsExec: gby=[{}], aggr=[{}]", groups.join(", "), aggregates.join(", "))
    }
}

impl ExecutionPlan for RunsExec {
    fn name(&self) -> &str {
        "RunsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("RunsExec has one child");
        };
        Ok(Arc::new(RunsExec { input, metrics: ExecutionPlanMetricsSet::new(), ..self.as_ref().clone() }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let keep = datafusion::physical_plan::ChildrenPropertiesMode::Keep;
        self.replace_children(children, ReplaceChildrenOptions::new(keep))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let arguments: Vec<_> = self.aggregates.iter().flat_map(|aggregate| aggregate.expressions()).collect();
        for expression in self.groups.iter().chain(&arguments).chain(self.filters.iter().flatten()) {
            if f(expression)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        RunStream::start(self, partition, &context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
