//! `reading(readings, name)` and `reading_number(readings, name)`: one value out of the JSON of a report's readings.

use arrow::array::{ArrayRef, AsArray, Float64Array, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::types::logical_string;
use datafusion::logical_expr::{
    Coercion, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignatureClass, Volatility,
};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// The value as text: texts without quotes, numbers and booleans as they are written.
pub(super) fn reading() -> Arc<ScalarUDF> {
    function("reading", DataType::Utf8View)
}

/// The value as a number; NULL when it is none.
pub(super) fn reading_number() -> Arc<ScalarUDF> {
    function("reading_number", DataType::Float64)
}

fn function(name: &'static str, gives: DataType) -> Arc<ScalarUDF> {
    let text = Coercion::new_exact(TypeSignatureClass::Native(logical_string()));
    let signature = Signature::coercible(vec![text.clone(), text], Volatility::Immutable);
    Arc::new(ScalarUDF::from(ReadingOf { name, gives, signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ReadingOf {
    name: &'static str,
    gives: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for ReadingOf {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.gives.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (json, names) = (cast(&arrays[0], &DataType::Utf8View)?, cast(&arrays[1], &DataType::Utf8View)?);
        let rows = json.as_string_view().iter().zip(names.as_string_view());
        let values = rows.map(|(json, name)| find(json?, name?));
        let found: ArrayRef = match self.gives {
            DataType::Float64 => Arc::new(values.map(|value| value?.as_f64()).collect::<Float64Array>()),
            _ => Arc::new(values.map(|value| value.and_then(text)).collect::<StringViewArray>()),
        };
        Ok(ColumnarValue::Array(found))
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// The member of a JSON object; `None` when it has no such member or is no object.
fn find(json: &str, name: &str) -> Option<Value> {
    serde_json::Deserializer::from_str(json).deserialize_map(Member(name)).ok().flatten()
}

/// Keeps the one member and passes over the others without building them.
struct Member<'a>(&'a str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Option<Value>, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<std::borrow::Cow<'_, str>>()? {
            if found.is_none() && name == self.0 {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_is_found_among_others() {
        let json = r#"{"doors":2,"soc_pct":81.5,"door":"rear \"left\"","open":true}"#;
        assert_eq!(find(json, "soc_pct").unwrap().as_f64(), Some(81.5));
        assert_eq!(text(find(json, "door").unwrap()).unwrap(), "rear \"left\"");
        assert_eq!(text(find(json, "open").unwrap()).unwrap(), "true");
        assert_eq!(text(find(json, "doors").unwrap()).unwrap(), "2");
        assert_eq!(find(json, "missing"), None);
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for json in ["", "[1]", "{\"a\":", "null"] {
            assert_eq!(find(json, "a"), None, "{json}");
        }
    }
}
