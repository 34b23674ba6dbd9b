//! `haversine_m(latitude, longitude, latitude, longitude)`: metres between two places on the sphere.

use arrow::array::{AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::common::types::{NativeType, logical_float64};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignatureClass, Volatility,
};
use drover_geo::{Point, distance_m};
use std::sync::Arc;

pub(super) fn haversine() -> Arc<ScalarUDF> {
    let signature = Signature::coercible(vec![degrees(); 4], Volatility::Immutable);
    Arc::new(ScalarUDF::from(Haversine { signature }))
}

/// Any number, as a double.
pub(super) fn degrees() -> Coercion {
    let double = TypeSignatureClass::Native(logical_float64());
    Coercion::new_implicit(double, vec![TypeSignatureClass::Numeric], NativeType::Float64)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Haversine {
    signature: Signature,
}

impl ScalarUDFImpl for Haversine {
    fn name(&self) -> &str {
        "haversine_m"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let numbers = ColumnarValue::values_to_arrays(&args.args)?;
        let [lat_a, lon_a, lat_b, lon_b] = [0, 1, 2, 3].map(|at| numbers[at].as_primitive::<Float64Type>());
        let a = lat_a.iter().zip(lon_a);
        let b = lat_b.iter().zip(lon_b);
        let metres = a.zip(b).map(|(a, b)| Some(distance_m(place(a)?, place(b)?)));
        Ok(ColumnarValue::Array(Arc::new(metres.collect::<Float64Array>())))
    }
}

/// A place, when both numbers are there.
pub(super) fn place((lat, lon): (Option<f64>, Option<f64>)) -> Option<Point> {
    Some(Point::new(lat?, lon?))
}
