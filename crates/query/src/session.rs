//! What the planner knows: the one table, the functions, the options. Built once; each query gets a copy with its own
//! view and its own memory.

use crate::functions;
use crate::progress::Watch;
use crate::reader::{Files, Footers};
use crate::runs::RunsRule;
use crate::table::{ReportsTable, STORE};
use crate::yielding::YieldRule;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider};
use datafusion::catalog::{CatalogProviderList, SchemaProvider};
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, PeakRecordingPool};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionConfig;
use drover_history::View;
use drover_history::read::Footers as FixFooters;
use drover_model::Sight;
use object_store::memory::InMemory;
use std::sync::Arc;

/// Name of the table.
pub(crate) const TABLE: &str = "reports";
const CATALOG: &str = "drover";
const SCHEMA: &str = "main";

/// What all queries share.
pub(crate) struct Sessions {
    template: SessionStateBuilder,
    threads: usize,
    footers: Arc<Footers>,
    /// For reading single assets, which needs other parts of the footers.
    fix_footers: Arc<FixFooters>,
}

/// What one query has for itself.
pub(crate) struct Session {
    pub(crate) state: SessionState,
    pub(crate) files: Arc<Files>,
    pub(crate) memory: Arc<PeakRecordingPool>,
}

impl Sessions {
    pub(crate) fn new(threads: usize, footer_cache_bytes: usize, fix_footers: Arc<FixFooters>) -> Sessions {
        let builder = SessionStateBuilder::new().with_default_features();
        let template = functions::install(builder)
            .with_physical_optimizer_rule(Arc::new(RunsRule))
            .with_physical_optimizer_rule(Arc::new(YieldRule));
        Sessions { template, threads, footers: Arc::new(Footers::new(footer_cache_bytes)), fix_footers }
    }

    /// A session over one view. Nothing is read yet.
    pub(crate) fn over(
        &self,
        view: &Arc<View>,
        sight: &Sight,
        memory_bytes: usize,
        batch_rows: usize,
        watch: &Arc<Watch>,
    ) -> Result<Session> {
        let memory = Arc::new(PeakRecordingPool::new(Arc::new(GreedyMemoryPool::new(memory_bytes))));
        let files = Arc::new(Files::of(view.clone(), self.footers.clone(), watch.clone()));
        let table = ReportsTable::new(view.clone(), sight.clone(), files.clone(), watch.clone());
        let mut state = self
            .template
            .clone()
            .with_runtime_env(environment(memory.clone())?)
            .with_catalog_list(catalog(table)?)
            .with_table_functions(functions::table_functions(view, sight, &self.fix_footers))
            .with_config(config(self.threads, batch_rows, sight))
            .build();
        // The moment that `now()` stands for.
        state.mark_start_execution();
        Ok(Session { state, files, memory })
    }
}

fn config(threads: usize, batch_rows: usize, sight: &Sight) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_batch_size(batch_rows)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".into());
    options.execution.parquet.pushdown_filters = true;
    // What somebody may not see is left out before anything else looks at it.
    options.execution.parquet.reorder_filters = sight.is_all();
    options.execution.parquet.bloom_filter_on_read = false;
    // A thread with nothing to do would take files of another's part, and so mix two sorted parts into one.
    options.execution.enable_file_stream_work_stealing = false;
    options.sql_parser.collect_spans = true;
    // A recursion that never ends would only end at a limit, and can double a value at every step.
    options.execution.enable_recursive_ctes = false;
    config
}

/// Memory as granted, no spilling, and no store to read from: the table opens its files itself.
fn environment(memory: Arc<PeakRecordingPool>) -> Result<Arc<RuntimeEnv>> {
    let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let env = RuntimeEnvBuilder::new().with_memory_pool(memory).with_disk_manager_builder(no_disk).build()?;
    env.deregister_object_store(ObjectStoreUrl::local_filesystem().as_ref())?;
    env.register_object_store(ObjectStoreUrl::parse(STORE)?.as_ref(), Arc::new(InMemory::new()));
    Ok(Arc::new(env))
}

fn catalog(table: ReportsTable) -> Result<Arc<dyn CatalogProviderList>> {
    let schema = Arc::new(MemorySchemaProvider::new());
    schema.register_table(TABLE.into(), Arc::new(table))?;
    let catalog = Arc::new(MemoryCatalogProvider::new());
    catalog.register_schema(SCHEMA, schema)?;
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(CATALOG.into(), catalog);
    Ok(Arc::new(list))
}
