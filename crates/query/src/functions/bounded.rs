//! Keeps single values from growing beyond measure. The memory limit sees what sorting, grouping and joining hold, but
//! not what an expression makes for one batch: `x || x` in thirty nested queries would fill any memory. Functions that
//! can make more bytes than they are given refuse here before they begin.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};
use std::sync::Arc;

/// Most bytes that one call may be about to make for one batch.
pub(crate) const MAX_CALL_BYTES: usize = 64 << 20;

/// Functions whose result is as large as their arguments together.
const SUMS: [&str; 12] = [
    "concat",
    "concat_ws",
    "make_array",
    "struct",
    "named_struct",
    "map",
    "array_concat",
    "array_append",
    "array_prepend",
    "overlay",
    "to_char",
    "array_to_string",
];
/// Functions whose result may be as large as one argument times another.
const PRODUCTS: [&str; 3] = ["replace", "regexp_replace", "translate"];

/// The function, refusing to make too much, when it can.
pub(super) fn bounded(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let growth = match function.name() {
        name if SUMS.contains(&name) => Growth::Sum,
        name if PRODUCTS.contains(&name) => Growth::Product,
        _ => return function,
    };
    Arc::new(ScalarUDF::from(Bounded { inner: function, growth }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    Sum,
    Product,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.inner().return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.inner().return_field_from_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.inner().documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sizes = args.args.iter().map(|argument| Size::of(argument, args.number_rows));
        let total = sizes.clone().fold(0_usize, |sum, size| sum.saturating_add(size.bytes));
        let bytes = match self.growth {
            Growth::Sum => total,
            // At most each letter of the first argument becomes the longest of the others.
            Growth::Product => total.saturating_mul(sizes.skip(1).map(|size| size.longest).max().unwrap_or(0).max(1)),
        };
        if bytes > MAX_CALL_BYTES {
            return exec_err!("{} would make values of {} MiB at once", self.name(), bytes >> 20);
        }
        self.inner.inner().invoke_with_args(args)
    }
}

/// What an argument takes when it stands in every row.
#[derive(Debug, Clone, Copy)]
struct Size {
    bytes: usize,
    longest: usize,
}

impl Size {
    fn of(argument: &ColumnarValue, rows: usize) -> Size {
        match argument {
            ColumnarValue::Array(array) => Size::of_array(array.as_ref()),
            ColumnarValue::Scalar(value) => {
                let longest = scalar_bytes(value);
                Size { bytes: longest.saturating_mul(rows), longest }
            }
        }
    }

    fn of_array(array: &dyn Array) -> Size {
        let lengths = |lengths: &mut dyn Iterator<Item = usize>| {
            lengths.fold(Size { bytes: 0, longest: 0 }, |size, length| Size {
                bytes: size.bytes + length,
                longest: size.longest.max(length),
            })
        };
        match array.data_type() {
            DataType::Utf8View => lengths(&mut array.as_string_view().lengths().map(|length| length as usize)),
            DataType::Utf8 => lengths(&mut array.as_string::<i32>().offsets().lengths()),
            _ => {
                let bytes = array.get_array_memory_size();
                Size { bytes, longest: bytes / array.len().max(1) }
            }
        }
    }
}

fn scalar_bytes(value: &ScalarValue) -> usize {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => {
            text.len()
        }
        other => other.size(),
    }
}

/// Plans `a || b` as a call that is bounded: the engine's operator is not a function and would pass by.
#[derive(Debug)]
pub(super) struct ConcatPlanner {
    pub(super) texts: Arc<ScalarUDF>,
    pub(super) arrays: Option<Arc<ScalarUDF>>,
}

impl ExprPlanner for ConcatPlanner {
    fn plan_binary_op(&self, op: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use datafusion::sql::sqlparser::ast::BinaryOperator;
        if op.op != BinaryOperator::StringConcat {
            return Ok(PlannerResult::Original(op));
        }
        let is_list = |side: &Expr| side.get_type(schema).is_ok_and(|kind| kind.is_list());
        let function =
            if is_list(&op.left) || is_list(&op.right) { self.arrays.clone() } else { Some(self.texts.clone()) };
        Ok(match function {
            Some(function) => {
                let call = ScalarFunction::new_udf(function, vec![op.left, op.right]);
                PlannerResult::Planned(Expr::ScalarFunction(call))
            }
            None => PlannerResult::Original(op),
        })
    }
}

/// What `||` becomes: NULL with either side NULL, as SQL has it, where `concat` would pass over it.
pub(super) fn concat_texts(concat: &Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(ConcatTexts { concat: concat.clone() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ConcatTexts {
    concat: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for ConcatTexts {
    fn name(&self) -> &str {
        "text_concat"
    }

    fn signature(&self) -> &Signature {
        self.concat.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.concat.inner().coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.concat.inner().return_type(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sides = args.args.clone();
        let rows = args.number_rows;
        let joined = self.concat.inner().invoke_with_args(args)?.into_array(rows)?;
        let mut nulls = joined.nulls().cloned();
        for side in sides {
            nulls = arrow::buffer::NullBuffer::union(nulls.as_ref(), side.into_array(rows)?.logical_nulls().as_ref());
        }
        let joined = joined.to_data().into_builder().nulls(nulls).build()?;
        Ok(ColumnarValue::Array(arrow::array::make_array(joined)))
    }
}
