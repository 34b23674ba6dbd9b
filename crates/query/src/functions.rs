//! The functions of Drover's SQL beside the engine's own, and those of the engine's own that are left out: they could
//! make values of any size out of nothing, which no limit would see.

mod bounded;
mod date_trunc;
mod geo;
mod polygon;
mod readings;
mod time_bucket;
mod trips;

use datafusion::catalog::TableFunction;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;
use drover_history::View;
use drover_history::read::Footers;
use drover_model::Sight;
use std::collections::HashMap;
use std::sync::Arc;
use trips::{TripsFunction, Which};

/// Left out, under every name: each multiplies its input by a number.
const LEFT_OUT: [&str; 9] = [
    "repeat",
    "lpad",
    "rpad",
    "range",
    "generate_series",
    "gen_series",
    "array_repeat",
    "array_resize",
    "arrow_metadata",
];

/// Adds, bounds and takes away.
pub(crate) fn install(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    let functions = builder.scalar_functions().get_or_insert_default();
    functions.retain(|function| !names(function).any(|name| LEFT_OUT.contains(&name)));
    functions.iter_mut().for_each(|function| *function = bounded::bounded(function.clone()));
    let named = |name: &str| functions.iter().find(|function| function.name() == name).cloned();
    let (date_trunc, concat, arrays) = (named("date_trunc"), named("concat"), named("array_concat"));
    functions.extend(date_trunc.map(date_trunc::in_utc));
    if let Some(concat) = concat {
        let planner = bounded::ConcatPlanner { texts: bounded::concat_texts(&concat), arrays };
        builder.expr_planners().get_or_insert_default().insert(0, Arc::new(planner));
    }
    let functions = builder.scalar_functions().get_or_insert_default();
    functions.extend([
        geo::haversine(),
        polygon::in_polygon(),
        time_bucket::time_bucket(),
        readings::reading(),
        readings::reading_number(),
    ]);
    builder
}

fn names(function: &ScalarUDF) -> impl Iterator<Item = &str> {
    std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str))
}

/// Most rows of a batch: fewer when the query holds long texts, each of which may come to stand in every row.
pub(crate) fn batch_rows(longest_text: usize) -> usize {
    const ROWS: usize = 8_192;
    (bounded::MAX_CALL_BYTES / longest_text.max(1)).clamp(64, ROWS)
}

/// Functions that stand for a table.
pub(crate) fn table_functions(
    view: &Arc<View>,
    sight: &Sight,
    footers: &Arc<Footers>,
) -> HashMap<String, Arc<TableFunction>> {
    let function = |which: Which| {
        let function = TripsFunction { which, view: view.clone(), sight: sight.clone(), footers: footers.clone() };
        (which.name().to_owned(), Arc::new(TableFunction::new(which.name().to_owned(), Arc::new(function))))
    };
    HashMap::from([Which::Trips, Which::Stops].map(function))
}
