//! `in_polygon(latitude, longitude, area)`: whether a place lies inside an area, which is WKT (`POLYGON((lon lat, …))`,
//! `MULTIPOLYGON`) or GeoJSON (a geometry or a feature). Edges are straight in degrees, as on the map.

use super::geo::{degrees, place};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::types::logical_string;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignatureClass, Volatility,
};
use drover_geo::{Point, Polygon};
use serde_json::Value;
use std::sync::Arc;

pub(super) fn in_polygon() -> Arc<ScalarUDF> {
    let text = Coercion::new_exact(TypeSignatureClass::Native(logical_string()));
    let signature = Signature::coercible(vec![degrees(), degrees(), text], Volatility::Immutable);
    Arc::new(ScalarUDF::from(InPolygon { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InPolygon {
    signature: Signature,
}

impl ScalarUDFImpl for InPolygon {
    fn name(&self) -> &str {
        "in_polygon"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // A long polygon is not repeated for every row.
        let places = ColumnarValue::values_to_arrays(&args.args[..2])?;
        let (lat, lon) = (places[0].as_primitive::<Float64Type>(), places[1].as_primitive::<Float64Type>());
        let rows = lat.len().max(if matches!(args.args[2], ColumnarValue::Array(_)) { args.number_rows } else { 1 });
        let (texts, constant) = match &args.args[2] {
            ColumnarValue::Scalar(text) => (text.to_array()?, true),
            ColumnarValue::Array(texts) => (texts.clone(), false),
        };
        let mut areas = Areas { texts: cast(&texts, &DataType::Utf8View)?, constant, known: None };
        let at = |numbers: &arrow::array::Float64Array, row: usize| {
            let row = if numbers.len() == 1 { 0 } else { row };
            numbers.is_valid(row).then(|| numbers.value(row))
        };
        let inside = (0..rows).map(|row| areas.contain(row, place((at(lat, row), at(lon, row)))));
        Ok(ColumnarValue::Array(Arc::new(inside.collect::<Result<BooleanArray>>()?)))
    }
}

/// The areas of a batch, each read once as long as it stays the same.
struct Areas {
    texts: ArrayRef,
    constant: bool,
    known: Option<(usize, Vec<Polygon>)>,
}

impl Areas {
    /// `None` where the place or the area is NULL.
    fn contain(&mut self, row: usize, place: Option<Point>) -> Result<Option<bool>> {
        let row = if self.constant { 0 } else { row };
        let (Some(place), false) = (place, self.texts.is_null(row)) else { return Ok(None) };
        let texts = self.texts.as_string_view();
        let same = |known: usize| known == row || texts.value(known) == texts.value(row);
        if !self.known.as_ref().is_some_and(|(known, _)| same(*known)) {
            self.known = Some((row, read(texts.value(row)).map_err(|problem| exec_datafusion_err!("{problem}"))?));
        }
        Ok(self.known.as_ref().map(|(_, areas)| areas.iter().any(|area| area.contains(place))))
    }
}

/// Rings of `[longitude, latitude]`, the outer one first.
type Rings = Vec<Vec<[f64; 2]>>;

/// Reads WKT or GeoJSON. On error the text says what was expected.
fn read(text: &str) -> Result<Vec<Polygon>, String> {
    let areas = if text.trim_start().starts_with('{') { geojson(text) } else { wkt(text) }?;
    let polygon = |rings: Rings| Polygon::from_lon_lat(&rings).map_err(|problem| format!("in_polygon: {problem}"));
    areas.into_iter().map(polygon).collect()
}

const EXPECTED: &str = "in_polygon expects 'POLYGON((lon lat, …))', 'MULTIPOLYGON(…)' or a GeoJSON polygon";

fn geojson(text: &str) -> Result<Vec<Rings>, String> {
    let value: Value = serde_json::from_str(text).map_err(|problem| format!("{EXPECTED}: {problem}"))?;
    let geometry = value.get("geometry").unwrap_or(&value);
    let coordinates = geometry.get("coordinates").cloned().unwrap_or_default();
    let areas = match geometry.get("type").and_then(Value::as_str) {
        Some("Polygon") => Value::Array(vec![coordinates]),
        Some("MultiPolygon") => coordinates,
        _ => return Err(EXPECTED.to_owned()),
    };
    // Positions may carry a height, which does not matter here.
    let areas: Vec<Vec<Vec<Vec<f64>>>> =
        serde_json::from_value(areas).map_err(|problem| format!("{EXPECTED}: {problem}"))?;
    let position = |p: Vec<f64>| match p[..] {
        [lon, lat, ..] => Ok([lon, lat]),
        _ => Err(EXPECTED.to_owned()),
    };
    let ring = |ring: Vec<Vec<f64>>| ring.into_iter().map(position).collect();
    areas.into_iter().map(|area| area.into_iter().map(ring).collect()).collect()
}

fn wkt(text: &str) -> Result<Vec<Rings>, String> {
    let (name, rest) = text.split_once('(').ok_or(EXPECTED)?;
    let body = rest.trim_end().strip_suffix(')').ok_or(EXPECTED)?;
    match name.trim().to_ascii_uppercase().as_str() {
        "POLYGON" => Ok(vec![rings(body)?]),
        "MULTIPOLYGON" => groups(body)?.into_iter().map(rings).collect(),
        _ => Err(EXPECTED.to_owned()),
    }
}

fn rings(text: &str) -> Result<Rings, String> {
    let ring = |ring: &str| ring.split(',').map(position).collect();
    groups(text)?.into_iter().map(ring).collect()
}

fn position(text: &str) -> Result<[f64; 2], String> {
    let mut numbers = text.split_whitespace().map(|number| number.parse::<f64>().map_err(|_| EXPECTED.to_owned()));
    let mut next = || numbers.next().unwrap_or_else(|| Err(EXPECTED.to_owned()));
    Ok([next()?, next()?])
}

/// What stands within the outermost parentheses, each pair by itself.
fn groups(text: &str) -> Result<Vec<&str>, String> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => {
                depth += 1;
                start = if depth == 1 { at + 1 } else { start };
            }
            ')' if depth == 1 => {
                depth = 0;
                found.push(&text[start..at]);
            }
            ')' => depth = depth.checked_sub(1).ok_or(EXPECTED)?,
            ',' | ' ' | '\n' | '\t' | '\r' => {}
            _ if depth == 0 => return Err(EXPECTED.to_owned()),
            _ => {}
        }
    }
    if depth == 0 && !found.is_empty() { Ok(found) } else { Err(EXPECTED.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(area: &str, lat: f64, lon: f64) -> bool {
        read(area).unwrap().iter().any(|area| area.contains(Point::new(lat, lon)))
    }

    #[test]
    fn wkt_and_geojson_mean_the_same() {
        let square = "POLYGON((0 0, 10 0, 10 10, 0 10, 0 0), (4 4, 6 4, 6 6, 4 6, 4 4))";
        let geojson = r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":
            [[[0,0],[10,0],[10,10],[0,10],[0,0]],[[4,4],[6,4],[6,6],[4,6],[4,4]]]}}"#;
        for (lat, lon, inside) in [(1.0, 2.0, true), (5.0, 5.0, false), (11.0, 1.0, false)] {
            assert_eq!(holds(square, lat, lon), inside);
            assert_eq!(holds(geojson, lat, lon), inside);
        }
    }

    #[test]
    fn a_multipolygon_holds_what_any_of_its_parts_holds() {
        let two = "multipolygon (((0 0, 1 0, 1 1, 0 1)), ((5 5, 6 5, 6 6, 5 6)))";
        assert!(holds(two, 0.5, 0.5) && holds(two, 5.5, 5.5) && !holds(two, 3.0, 3.0));
    }

    #[test]
    fn nonsense_says_what_was_expected() {
        for text in ["", "POLYGON", "POLYGON(1 2)", "POLYGON((1 2, x 3, 4 5))", "POINT(1 2)", "{}", "POLYGON((1 2)))("]
        {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("POLYGON((0 0, 1 1))").unwrap_err().contains("3 distinct points"));
    }
}
