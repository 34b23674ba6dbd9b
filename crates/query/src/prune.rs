//! Which files a query needs, told from what the view knows of each file: the ranges of kind, id, event time and log
//! position. Conditions that a whole file meets are not checked again for each of its rows.

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringViewArray, TimestampMillisecondArray, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column as ColumnExpr, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use drover_history::LakeFile;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Most ways in which files are told apart by the conditions left to check.
const MAX_GROUPS: usize = 4;

/// Files for which the same conditions are still to be checked row by row.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) files: Vec<Arc<LakeFile>>,
    /// The conditions, all of which must hold.
    pub(crate) conditions: Vec<Arc<dyn PhysicalExpr>>,
}

/// Sorts out the files: without those where no row can meet all conditions, in groups by what is left to check.
pub(crate) fn select(files: &[Arc<LakeFile>], conditions: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef) -> Vec<Group> {
    let known = Known::of(files);
    let mut kept = vec![true; files.len()];
    let mut left = vec![Vec::new(); files.len()];
    for (number, condition) in conditions.iter().enumerate() {
        let possible = may_hold(condition, schema, &known);
        let certain = always_holds(condition, schema, &known);
        for file in 0..files.len() {
            kept[file] &= possible[file];
            if !certain[file] {
                left[file].push(number);
            }
        }
    }
    let mut groups: BTreeMap<Vec<usize>, Vec<Arc<LakeFile>>> = BTreeMap::new();
    for (file, left) in files.iter().zip(left).zip(kept).filter_map(|(found, kept)| kept.then_some(found)) {
        let known = groups.len() < MAX_GROUPS || groups.contains_key(&left);
        let left = if known { left } else { (0..conditions.len()).collect() };
        groups.entry(left).or_default().push(file.clone());
    }
    let conditions = |left: Vec<usize>| left.into_iter().map(|number| conditions[number].clone()).collect();
    groups.into_iter().map(|(left, files)| Group { files, conditions: conditions(left) }).collect()
}

/// For each file whether some row may meet the condition.
fn may_hold(condition: &Arc<dyn PhysicalExpr>, schema: &SchemaRef, known: &Known) -> Vec<bool> {
    let everywhere = vec![true; known.num_containers()];
    let predicate = PruningPredicateBuilder::new().with_file_schema(schema.clone()).build(condition.clone());
    predicate.and_then(|predicate| predicate.prune(known).ok()).unwrap_or(everywhere)
}

/// For each file whether surely every row meets the condition: none can meet its opposite. Only for comparisons of the
/// columns that are never NULL, as NULL meets neither a condition nor its opposite.
fn always_holds(condition: &Arc<dyn PhysicalExpr>, schema: &SchemaRef, known: &Known) -> Vec<bool> {
    let Some(opposite) = opposite(condition) else { return vec![false; known.num_containers()] };
    may_hold(&opposite, schema, known).into_iter().map(|possible| !possible).collect()
}

fn opposite(condition: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    let binary = condition.downcast_ref::<BinaryExpr>()?;
    let plain = |side: &Arc<dyn PhysicalExpr>| side.is::<ColumnExpr>() || is_value(side);
    let never_null = collect_columns(condition).iter().all(|column| Known::NEVER_NULL.contains(&column.name()));
    let opposite = match binary.op() {
        Operator::Lt => Operator::GtEq,
        Operator::LtEq => Operator::Gt,
        Operator::Gt => Operator::LtEq,
        Operator::GtEq => Operator::Lt,
        Operator::Eq => Operator::NotEq,
        _ => return None,
    };
    let suits = never_null && plain(binary.left()) && plain(binary.right());
    suits.then(|| Arc::new(BinaryExpr::new(binary.left().clone(), opposite, binary.right().clone())) as _)
}

fn is_value(side: &Arc<dyn PhysicalExpr>) -> bool {
    side.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null())
}

/// What the view knows of files, as columns with one row for each file.
struct Known {
    ranges: [(&'static str, ArrayRef, ArrayRef); 4],
    rows: Vec<u64>,
}

impl Known {
    const NEVER_NULL: [&str; 4] = ["kind", "id", "event_time", "position"];

    fn of(files: &[Arc<LakeFile>]) -> Known {
        let text = |of: &dyn Fn(&LakeFile) -> &str| -> ArrayRef {
            Arc::new(StringViewArray::from_iter_values(files.iter().map(|file| of(file))))
        };
        let time = |of: &dyn Fn(&LakeFile) -> i64| -> ArrayRef {
            let times = TimestampMillisecondArray::from_iter_values(files.iter().map(|file| of(file)));
            Arc::new(times.with_timezone("UTC"))
        };
        let position = |of: &dyn Fn(&LakeFile) -> u64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(files.iter().map(|file| of(file) as i64)))
        };
        Known {
            ranges: [
                ("kind", text(&|file| file.first.kind.name()), text(&|file| file.last.kind.name())),
                ("id", text(&|file| &file.first.id), text(&|file| &file.last.id)),
                ("event_time", time(&|file| *file.event_time.start()), time(&|file| *file.event_time.end())),
                ("position", position(&|file| *file.position.start()), position(&|file| *file.position.end())),
            ],
            rows: files.iter().map(|file| file.rows).collect(),
        }
    }

    fn range(&self, column: &Column) -> Option<&(&'static str, ArrayRef, ArrayRef)> {
        self.ranges.iter().find(|(name, ..)| *name == column.name)
    }
}

impl PruningStatistics for Known {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.range(column).map(|(_, min, _)| min.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.range(column).map(|(_, _, max)| max.clone())
    }

    fn num_containers(&self) -> usize {
        self.rows.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.range(column).map(|_| Arc::new(UInt64Array::from(vec![0; self.rows.len()])) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from(self.rows.clone())))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
