//! Joins make many batches out of few, without ever waiting for a file. Here they learn to pause now and then, so that a
//! time limit or a dropped answer is heard in between. What one join does between two batches of its output still runs
//! to its end.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use std::sync::Arc;

/// Lets every plan with several inputs pause.
#[derive(Debug)]
pub(crate) struct YieldRule;

impl PhysicalOptimizerRule for YieldRule {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewrite = |node: Arc<dyn ExecutionPlan>| match node.children().len() {
            0 | 1 => Ok(Transformed::no(node)),
            _ => Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)),
        };
        plan.transform_up(rewrite).data()
    }

    fn name(&self) -> &str {
        "yield"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
