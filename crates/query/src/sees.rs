//! Rows that the asker may not see are not there: a condition that every scan begins with, so that nothing else of a
//! query ever looks at another's row (an error message about its value would be a look).

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use datafusion::logical_expr::{Volatility, col};
use drover_model::{Kind, Sight};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// `kind` and `id` of a row to whether it may be seen.
#[derive(Debug)]
struct Sees {
    sight: Sight,
    signature: Signature,
}

/// A query has one sight: whatever stands for it there is the same.
impl PartialEq for Sees {
    fn eq(&self, other: &Sees) -> bool {
        match (&self.sight, &other.sight) {
            (Sight::All, Sight::All) => true,
            (Sight::Some(one), Sight::Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Sees {}

impl Hash for Sees {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.sight.is_all().hash(hasher);
    }
}

impl ScalarUDFImpl for Sees {
    fn name(&self) -> &str {
        "drover_sees"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [kinds, ids] = [0, 1].map(|at: usize| args.args[at].to_array(args.number_rows));
        Ok(ColumnarValue::Array(Arc::new(seen(&self.sight, &kinds?, &ids?)?)))
    }
}

/// The condition on a row of `reports`; none where everything is seen.
pub(crate) fn condition(sight: &Sight) -> Option<Expr> {
    let function = || Sees { sight: sight.clone(), signature: Signature::any(2, Volatility::Stable) };
    (!sight.is_all()).then(|| ScalarUDF::from(function()).call(vec![col("kind"), col("id")]))
}

/// The rows of a batch of the lake that are seen.
pub(crate) fn only_seen(sight: &Sight, batch: &RecordBatch) -> Result<RecordBatch> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| exec_datafusion_err!("no column {name}"));
    Ok(filter_record_batch(batch, &seen(sight, column("kind")?, column("id")?)?)?)
}

/// Rows of one asset follow each other, so that each is asked about once.
fn seen(sight: &Sight, kinds: &ArrayRef, ids: &ArrayRef) -> Result<BooleanArray> {
    let (kinds, ids) = (cast(kinds, &DataType::Utf8View)?, cast(ids, &DataType::Utf8View)?);
    let (kinds, ids) = (kinds.as_string_view(), ids.as_string_view());
    let mut last: Option<(&str, &str, bool)> = None;
    let mut one = |row: usize| {
        if kinds.is_null(row) || ids.is_null(row) {
            return false;
        }
        let (kind, id) = (kinds.value(row), ids.value(row));
        match last {
            Some((last_kind, last_id, sees)) if last_kind == kind && last_id == id => sees,
            _ => {
                let sees = Kind::parse(kind).is_some_and(|kind| sight.sees(kind, id));
                last = Some((kind, id, sees));
                sees
            }
        }
    };
    Ok((0..kinds.len()).map(|row| Some(one(row))).collect())
}
