//! `date_trunc` for UTC. The engine's own walks the calendar for every value that has a time zone, even for UTC, where
//! hours and days are plain arithmetic; history's times all are in UTC.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, FieldRef, TimeUnit, TimestampMillisecondType};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use std::sync::Arc;

/// The given `date_trunc`, with a short way for milliseconds in UTC.
pub(super) fn in_utc(inner: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(DateTrunc { inner }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateTrunc {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        internal_err!("the type is told by the fields")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.inner().return_field_from_args(args)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.inner().output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.inner().documentation()
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(zone) = args.args.get_mut(1).and_then(take_utc) else {
            return self.inner.inner().invoke_with_args(args);
        };
        match self.inner.inner().invoke_with_args(args)? {
            ColumnarValue::Array(times) => {
                let times = times.as_primitive::<TimestampMillisecondType>().clone();
                Ok(ColumnarValue::Array(Arc::new(times.with_timezone(zone))))
            }
            scalar => Ok(scalar),
        }
    }
}

/// Takes the zone off an array of milliseconds in UTC, whose values mean the same without it.
fn take_utc(times: &mut ColumnarValue) -> Option<Arc<str>> {
    let ColumnarValue::Array(array) = times else { return None };
    let DataType::Timestamp(TimeUnit::Millisecond, Some(zone)) = array.data_type() else { return None };
    let zone = matches!(zone.as_ref(), "UTC" | "+00:00" | "Z").then(|| zone.clone())?;
    *array = Arc::new(array.as_primitive::<TimestampMillisecondType>().clone().with_timezone_opt(None::<Arc<str>>));
    Some(zone)
}
