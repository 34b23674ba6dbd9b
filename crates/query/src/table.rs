//! The table `reports` of one query: the files of a view and the reports in memory after them. It chooses the files,
//! says how they are sorted, and leaves the rest to the engine.

pub(crate) mod describe;

use crate::progress::Watch;
use crate::prune::{self, Group};
use crate::reader::{Files, Source};
use crate::sees;
use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileGroupPartitioner, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr, conjunction, expressions};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::union::UnionExec;
use drover_history::{LakeFile, View};
use drover_model::Sight;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The store that plans name. It is empty: files are opened by [`Files`] alone.
pub(crate) const STORE: &str = "lake://";
/// Files that are read side by side to keep their order; more are read one after another, in no order.
const MAX_SORTED_FILES: usize = 16;
/// Parts of files smaller than this are not worth a thread.
const MIN_PART_BYTES: usize = 1 << 20;
/// The order of rows within a file.
const SORTED_BY: [&str; 4] = ["kind", "id", "event_time", "position"];

/// History as the engine sees it, for one query.
#[derive(Debug)]
pub(crate) struct ReportsTable {
    view: Arc<View>,
    sight: Sight,
    schema: SchemaRef,
    files: Arc<Files>,
    watch: Arc<Watch>,
}

impl ReportsTable {
    pub(crate) fn new(view: Arc<View>, sight: Sight, files: Arc<Files>, watch: Arc<Watch>) -> ReportsTable {
        ReportsTable { schema: table_schema(&view.schema), view, sight, files, watch }
    }

    fn scan_files(&self, group: Group, partitions: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let source = ParquetSource::new(self.schema.clone())
            .with_parquet_file_reader_factory(self.files.clone())
            .with_pushdown_filters(true)
            .with_enable_page_index(true);
        let sorted = group.files.len() <= MAX_SORTED_FILES;
        let statistics = self.sum_statistics(&group.files);
        let builder = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE)?, Arc::new(source))
            .with_statistics(statistics)
            .with_file_groups(self.divide(&group.files, partitions, sorted))
            .with_output_ordering(if sorted { self.ordering() } else { Vec::new() });
        Ok(DataSourceExec::from_data_source(builder.build()))
    }

    /// The files in parts of like size, one for each thread; a sorted file is a part of its own.
    fn divide(&self, files: &[Arc<LakeFile>], partitions: usize, sorted: bool) -> Vec<FileGroup> {
        let parts = files.iter().map(|file| self.part(file));
        let groups = match sorted {
            true => parts.map(|part| FileGroup::new(vec![part])).collect(),
            false => vec![FileGroup::new(parts.collect())],
        };
        FileGroupPartitioner::new()
            .with_target_partitions(partitions)
            .with_repartition_file_min_size(MIN_PART_BYTES)
            .with_preserve_order_within_groups(sorted)
            .repartition_file_groups(&groups)
            .unwrap_or(groups)
    }

    fn part(&self, file: &Arc<LakeFile>) -> PartitionedFile {
        let path = file.path.strip_prefix(&self.view.data_path).unwrap_or(&file.path);
        PartitionedFile::new(path.to_string_lossy(), file.bytes)
            .with_statistics(Arc::new(self.statistics(file)))
            .with_extension(Source(file.clone()))
    }

    fn statistics(&self, file: &LakeFile) -> Statistics {
        let columns = self.schema.fields().iter().map(|field| column_statistics(field, file)).collect();
        Statistics {
            num_rows: Precision::Exact(file.rows as usize),
            total_byte_size: Precision::Inexact(file.bytes as usize),
            column_statistics: columns,
        }
    }

    fn sum_statistics(&self, files: &[Arc<LakeFile>]) -> Statistics {
        let rows = files.iter().map(|file| file.rows as usize).sum();
        Statistics { num_rows: Precision::Exact(rows), ..Statistics::new_unknown(&self.schema) }
    }

    fn ordering(&self) -> Vec<LexOrdering> {
        let column = |name: &&str| expressions::col(name, &self.schema).ok().map(PhysicalSortExpr::new_default);
        LexOrdering::new(SORTED_BY.iter().filter_map(column)).into_iter().collect()
    }

    /// The reports in memory. Only the columns that the query needs are brought into the engine's form; the others
    /// are left empty, so that all sources have the same columns.
    fn scan_tail(&self, needed: &BTreeSet<usize>, partitions: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let needed: Vec<usize> = needed.iter().copied().collect();
        let schema = Arc::new(self.schema.project(&needed)?);
        let mut parts = vec![Vec::new(); partitions];
        for (number, batch) in self.view.tail.batches().into_iter().enumerate() {
            let batch = if self.sight.is_all() { batch } else { sees::only_seen(&self.sight, &batch)? };
            parts[number % partitions].push(in_form(&batch, &needed, &schema)?);
        }
        Ok(MemorySourceConfig::try_new_exec(&parts, schema, None)?)
    }
}

#[async_trait]
impl TableProvider for ReportsTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let partitions = state.config().target_partitions();
        let conditions = physical(state, filters, &self.schema)?;
        let seen: Vec<Expr> = sees::condition(&self.sight).into_iter().collect();
        let mut of_files = physical(state, &seen, &self.schema)?;
        of_files.extend(conditions.iter().cloned());
        let groups = prune::select(&self.view.files, &of_files, &self.schema);
        self.tell(&groups);
        let mut sources = Vec::new();
        for mut group in groups {
            let left = std::mem::take(&mut group.conditions);
            sources.push(narrow(self.scan_files(group, partitions)?, left, wanted, &self.schema)?);
        }
        if self.view.tail.rows() > 0 {
            let needed = columns_of(wanted, &conditions);
            sources.push(narrow(self.scan_tail(&needed, partitions)?, conditions, wanted, &self.schema)?);
        }
        if sources.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(wanted)?))));
        }
        UnionExec::try_new(sources)
    }
}

impl ReportsTable {
    fn tell(&self, groups: &[Group]) {
        let files = groups.iter().flat_map(|group| &group.files);
        let rows = files.clone().map(|file| file.rows).sum::<u64>() + self.view.tail.rows() as u64;
        self.watch.files_total.store(self.view.files.len() as u64, Relaxed);
        self.watch.files_selected.fetch_add(files.count() as u64, Relaxed);
        self.watch.rows_total.fetch_add(rows, Relaxed);
    }
}

/// The lake's schema in the engine's form: texts as views, which compare and copy faster.
fn table_schema(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Field::new(field.name(), DataType::Utf8View, nullable(field)),
        other => Field::new(field.name(), other.clone(), nullable(field)),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// Files call every column nullable; these never hold NULL, and the engine plans better when it knows.
fn nullable(field: &Field) -> bool {
    !matches!(field.name().as_str(), "kind" | "id" | "event_time" | "receive_time" | "flags" | "region" | "position")
}

fn column_statistics(field: &Field, file: &LakeFile) -> ColumnStatistics {
    let text = |text: &str| ScalarValue::Utf8View(Some(text.to_owned()));
    let time = |ms: i64| ScalarValue::TimestampMillisecond(Some(ms), Some("UTC".into()));
    let number = |position: u64| ScalarValue::Int64(Some(position as i64));
    match field.name().as_str() {
        "kind" => range(text(file.first.kind.name()), text(file.last.kind.name())),
        "id" => range(text(&file.first.id), text(&file.last.id)),
        "event_time" => range(time(*file.event_time.start()), time(*file.event_time.end())),
        "position" => range(number(*file.position.start()), number(*file.position.end())),
        _ => ColumnStatistics::new_unknown(),
    }
}

/// Bounds need not be values of rows, unless they leave only one value.
fn range(min: ScalarValue, max: ScalarValue) -> ColumnStatistics {
    let known = if min == max { Precision::Exact } else { Precision::Inexact };
    ColumnStatistics::new_unknown()
        .with_min_value(known(min))
        .with_max_value(known(max))
        .with_null_count(Precision::Exact(0))
}

/// The filters as conditions that must all hold, over the table's columns.
fn physical(state: &dyn Session, filters: &[Expr], schema: &SchemaRef) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    let columns = DFSchema::try_from(schema.clone())?;
    let conditions = filters.iter().flat_map(split_conjunction);
    conditions.map(|condition| state.create_physical_expr(condition.clone(), &columns)).collect()
}

fn columns_of(wanted: &[usize], conditions: &[Arc<dyn PhysicalExpr>]) -> BTreeSet<usize> {
    let conditions = conditions.iter().flat_map(collect_columns).map(|column| column.index());
    wanted.iter().copied().chain(conditions).collect()
}

/// Those rows of a source that meet the conditions, with the wanted columns of the table only.
fn narrow(
    source: Arc<dyn ExecutionPlan>,
    conditions: Vec<Arc<dyn PhysicalExpr>>,
    wanted: &[usize],
    table: &SchemaRef,
) -> Result<Arc<dyn ExecutionPlan>> {
    let found = source.schema();
    let wanted: Vec<usize> =
        wanted.iter().map(|at| found.index_of(table.field(*at).name())).collect::<Result<_, _>>()?;
    let conditions =
        conditions.into_iter().map(|condition| reassign_expr_columns(condition, &found)).collect::<Result<Vec<_>>>()?;
    if conditions.is_empty() {
        return project(source, &wanted);
    }
    let filter = FilterExecBuilder::new(conjunction(conditions), source).apply_projection(Some(wanted))?;
    Ok(Arc::new(filter.build()?))
}

fn project(source: Arc<dyn ExecutionPlan>, wanted: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = source.schema();
    let columns = wanted.iter().map(|at| {
        let name = schema.field(*at).name();
        ProjectionExpr::new(Arc::new(expressions::Column::new(name, *at)), name.clone())
    });
    let projection = ProjectionExec::try_new(columns.collect::<Vec<_>>(), source.clone())?;
    Ok(source.try_swapping_with_projection(&projection)?.unwrap_or_else(|| Arc::new(projection)))
}

/// The needed columns of a batch of the lake in the engine's form.
fn in_form(batch: &RecordBatch, needed: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = needed.iter().zip(schema.fields()).map(|(at, field)| match batch.columns().get(*at) {
        Some(column) => cast(column, field.data_type()),
        // Made before the column was added.
        None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &rows)?)
}
