//! Values as they come (JSON, CSV, an address) to cells as the tables hold them, and back. Every refusal names the field,
//! what was given and what is allowed.

use crate::error::Error;
use crate::record::time;
use crate::schema::{Field, FieldKind};
use drover_model::{check_id, parse_time};
use serde_json::{Map, Number, Value};

/// Latest time that is believed: the end of the year 9999.
const LATEST_MS: i64 = 253_402_300_799_999;
/// Characters of a refused value that are repeated.
const SHOWN_MAX: usize = 60;
/// Deepest nesting of a free object.
const DEPTH_MAX: usize = 16;

/// What one column of one row holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// Text, a word, an id, a day, JSON.
    Text(String),
    /// A whole number, a time, 0 or 1.
    Integer(i64),
    /// A number.
    Real(f64),
}

impl Cell {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Cell::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

impl Field {
    /// Checks a JSON value; null is nothing.
    pub fn cell(&self, value: &Value) -> Result<Cell, Error> {
        checked(self, self.name, value)
    }

    /// Checks a value written as text, as in CSV or in an address; the empty text is nothing.
    pub fn cell_from_text(&self, text: &str) -> Result<Cell, Error> {
        self.cell(&self.value_from_text(text)?)
    }

    /// The JSON value of a text, as in CSV: a number where the field holds numbers. The empty text is null. The value is not
    /// checked further.
    pub fn value_from_text(&self, text: &str) -> Result<Value, Error> {
        if text.is_empty() {
            return Ok(Value::Null);
        }
        Ok(match self.kind {
            FieldKind::Integer { .. } => text.trim().parse::<i64>().map_or_else(|_| text.into(), Value::from),
            FieldKind::Real { .. } => {
                let number = text.trim().parse::<f64>().ok().and_then(Number::from_f64);
                number.map_or_else(|| text.into(), Value::Number)
            }
            FieldKind::Flag => match text.trim() {
                "true" | "1" | "yes" => true.into(),
                "false" | "0" | "no" => false.into(),
                _ => text.into(),
            },
            FieldKind::Object { .. } | FieldKind::List { .. } => serde_json::from_str(text)
                .map_err(|error| Error::invalid(self.name, format!("{} is not JSON: {error}", self.name)))?,
            _ => text.into(),
        })
    }

    /// A cell as JSON shows it.
    pub fn json(&self, cell: &Cell) -> Value {
        match (self.kind, cell) {
            (_, Cell::Null) => Value::Null,
            (FieldKind::Time, Cell::Integer(ms)) => time(*ms),
            (FieldKind::Flag, Cell::Integer(flag)) => (*flag != 0).into(),
            (FieldKind::Object { .. } | FieldKind::List { .. }, Cell::Text(json)) => {
                serde_json::from_str(json).unwrap_or(Value::Null)
            }
            (_, Cell::Text(text)) => text.as_str().into(),
            (_, Cell::Integer(number)) => (*number).into(),
            (_, Cell::Real(number)) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        }
    }

    /// A cell as CSV shows it.
    pub fn text(&self, cell: &Cell) -> String {
        match self.json(cell) {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        }
    }
}

/// `name` is the field's, or its place in a list (`stops[3].latitude`).
fn checked(field: &Field, name: &str, value: &Value) -> Result<Cell, Error> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let wrong = |allowed: &str| Error::invalid(name.to_owned(), format!("{name} is {}; {allowed}", shown(value)));
    match field.kind {
        FieldKind::Text { max } => {
            let text = value.as_str().ok_or_else(|| wrong("text is needed"))?;
            check_text(name, text, max).map(|()| Cell::Text(text.to_owned()))
        }
        FieldKind::Word(words) => match value.as_str().filter(|word| words.contains(word)) {
            Some(word) => Ok(Cell::Text(word.to_owned())),
            None => Err(wrong(&format!("allowed are {}", words.join(", ")))),
        },
        FieldKind::Integer { min, max } => match whole(value).filter(|number| (min..=max).contains(number)) {
            Some(number) => Ok(Cell::Integer(number)),
            None => Err(wrong(&format!("a whole number from {min} to {max} is needed"))),
        },
        FieldKind::Real { min, max } => match value.as_f64().filter(|number| (min..=max).contains(number)) {
            Some(number) => Ok(Cell::Real(number)),
            None => Err(wrong(&format!("a number from {min} to {max} is needed"))),
        },
        FieldKind::Flag => match value.as_bool() {
            Some(flag) => Ok(Cell::Integer(i64::from(flag))),
            None => Err(wrong("true or false is needed")),
        },
        FieldKind::Time => match moment(value) {
            Some(ms) => Ok(Cell::Integer(ms)),
            None => {
                Err(wrong("a time from 1970 to 9999 is needed, as RFC 3339 with an offset or as epoch milliseconds"))
            }
        },
        FieldKind::Date => match value.as_str().filter(|text| is_date(text)) {
            Some(text) => Ok(Cell::Text(text.to_owned())),
            None => Err(wrong("a day such as 2026-01-31 is needed")),
        },
        FieldKind::Ref(_) | FieldKind::Id => id(name, value).map(Cell::Text),
        FieldKind::Object { max_bytes } => {
            let object = value.as_object().ok_or_else(|| wrong("a JSON object is needed"))?;
            free_object(name, object, max_bytes).map(Cell::Text)
        }
        FieldKind::List { max_items, item } => {
            let items = value.as_array().ok_or_else(|| wrong("a list is needed"))?;
            if items.len() > max_items {
                let message = format!("{name} has {} items; at most {max_items} are allowed", items.len());
                return Err(Error::invalid(name.to_owned(), message));
            }
            let items: Result<Vec<Value>, Error> =
                items.iter().enumerate().map(|(at, value)| list_item(&format!("{name}[{at}]"), item, value)).collect();
            Ok(Cell::Text(Value::Array(items?).to_string()))
        }
    }
}

/// One item of a list, in canonical form: times as RFC 3339, what is null left out.
fn list_item(name: &str, fields: &'static [Field], value: &Value) -> Result<Value, Error> {
    let wrong = || Error::invalid(name.to_owned(), format!("{name} is {}; an object is needed", shown(value)));
    let object = value.as_object().ok_or_else(wrong)?;
    known_only(name, object, |key| fields.iter().any(|field| field.name == key), fields)?;
    let mut out = Map::new();
    for field in fields {
        let place = format!("{name}.{}", field.name);
        let cell = checked(field, &place, object.get(field.name).unwrap_or(&Value::Null))?;
        if cell == Cell::Null && field.required && !(field.untold && was_emptied(object)) {
            return Err(Error::invalid(place.clone(), format!("{place} is missing; {}", field.doc)));
        }
        if cell != Cell::Null {
            out.insert(field.name.to_owned(), field.json(&cell));
        }
    }
    Ok(Value::Object(out))
}

/// True for what an erasure leaves of a stop: the delivery, and no place.
fn was_emptied(object: &Map<String, Value>) -> bool {
    let is_there = |name| object.get(name).is_some_and(|value| !value.is_null());
    is_there("delivery_id") && !is_there("latitude") && !is_there("longitude")
}

/// Refuses names that are no fields, saying which there are.
pub(crate) fn known_only(
    place: &str,
    object: &Map<String, Value>,
    known: impl Fn(&str) -> bool,
    fields: &[Field],
) -> Result<(), Error> {
    let Some(unknown) = object.keys().find(|key| !known(key)) else { return Ok(()) };
    let unknown: String = unknown.chars().take(SHOWN_MAX).collect();
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    let message = format!("{place} has no field {unknown:?}; its fields are {}", names.join(", "));
    Err(Error::invalid(unknown, message))
}

/// An id as text; a JSON number is taken for the digits it is written with.
pub(crate) fn id(name: &str, value: &Value) -> Result<String, Error> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => return Err(Error::invalid(name.to_owned(), format!("{name} is {}; an id is text", shown(value)))),
    };
    match check_id(&text) {
        Ok(()) => Ok(text),
        Err(reject) => Err(Error::invalid(name.to_owned(), format!("{name}: {}", reject.message))),
    }
}

fn check_text(name: &str, text: &str, max: usize) -> Result<(), Error> {
    let refused = |message: String| Err(Error::invalid(name.to_owned(), message));
    if text.trim().is_empty() {
        return refused(format!("{name} is empty; give 1 to {max} bytes, or leave it out"));
    }
    if text.len() > max {
        return refused(format!("{name} has {} bytes; at most {max} are allowed", text.len()));
    }
    match text.chars().find(|char| char.is_control() && !matches!(char, '\n' | '\r' | '\t')) {
        Some(char) => {
            refused(format!("{name} contains the control character {char:?}; none but line ends are allowed"))
        }
        None => Ok(()),
    }
}

/// A free object as JSON text, within its bounds.
pub(crate) fn free_object(name: &str, object: &Map<String, Value>, max_bytes: usize) -> Result<String, Error> {
    if object.values().any(|value| !shallower(value, DEPTH_MAX)) {
        return Err(Error::invalid(name.to_owned(), format!("{name} is nested deeper than {DEPTH_MAX} levels")));
    }
    let json = serde_json::to_string(object).map_err(|error| Error::damaged(name, error))?;
    if json.len() > max_bytes {
        let message = format!("{name} has {} bytes as JSON; at most {max_bytes} are allowed", json.len());
        return Err(Error::invalid(name.to_owned(), message));
    }
    Ok(json)
}

fn shallower(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(values) => levels > 0 && values.iter().all(|value| shallower(value, levels - 1)),
        Value::Object(values) => levels > 0 && values.values().all(|value| shallower(value, levels - 1)),
        _ => true,
    }
}

fn whole(value: &Value) -> Option<i64> {
    let exact = |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(exact))
}

fn moment(value: &Value) -> Option<i64> {
    let ms = match value {
        Value::String(text) => parse_time(text).ok(),
        _ => whole(value),
    };
    ms.filter(|ms| (0..=LATEST_MS).contains(ms))
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10 && bytes[0].is_ascii_digit() && bytes[4] == b'-' && bytes[7] == b'-' && {
        text.parse::<jiff::civil::Date>().is_ok()
    }
}

/// A refused value, cut.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{ROUTES, VEHICLES};
    use serde_json::json;

    fn said(field: &Field, value: Value) -> String {
        field.cell(&value).expect_err("must be refused").to_string()
    }

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
        let speed = VEHICLES.field("max_speed_kmh").expect("a field");
        assert_eq!(said(speed, json!(900)), "max_speed_kmh is 900; a number from 1 to 500 is needed");
        let class = VEHICLES.field("class").expect("a field");
        assert!(said(class, json!("ship")).starts_with("class is \"ship\"; allowed are car, van, truck"));
        let date = ROUTES.field("date").expect("a field");
        assert_eq!(said(date, json!("2026-02-30")), "date is \"2026-02-30\"; a day such as 2026-01-31 is needed");
        let number = VEHICLES.field("registration_number").expect("a field");
        assert!(said(number, json!("a\0b")).contains("control character"));
        assert!(said(number, json!("x".repeat(33))).contains("33 bytes; at most 32"));
        assert!(said(number, json!("  ")).contains("is empty"));
    }

    #[test]
    fn a_stop_is_refused_by_its_place_in_the_list() {
        let stops = ROUTES.field("stops").expect("a field");
        let wrong = json!([{"latitude": 1, "longitude": 2}, {"latitude": 91, "longitude": 2}]);
        assert_eq!(said(stops, wrong), "stops[1].latitude is 91; a number from -90 to 90 is needed");
        assert!(said(stops, json!([{"latitude": 1}])).starts_with("stops[0].longitude is missing"));
        assert!(said(stops, json!([{"latitude": 1, "longitude": 2, "lat": 3}])).contains("no field \"lat\""));
        assert!(said(stops, json!([{"delivery_id": "d", "latitude": 1}])).contains("longitude is missing"));
        assert!(stops.cell(&json!([{"delivery_id": "d"}])).is_ok(), "its customer was erased");
    }

    #[test]
    fn a_time_is_taken_as_text_and_as_milliseconds_and_shown_as_text() {
        let at = Field::new("at", FieldKind::Time, "");
        for value in [json!("2026-01-31T12:00:00Z"), json!(1769860800000_i64), json!("1769860800000")] {
            let cell = at.cell(&value).expect("a time");
            assert_eq!(at.json(&cell), json!("2026-01-31T12:00:00Z"), "{value}");
        }
        assert!(at.cell(&json!(-1)).is_err());
    }

    #[test]
    fn text_of_a_csv_cell_becomes_what_the_field_holds() {
        let odometer = VEHICLES.field("odometer_km").expect("a field");
        assert_eq!(odometer.cell_from_text("12.5").expect("a number"), Cell::Real(12.5));
        assert_eq!(odometer.cell_from_text("").expect("nothing"), Cell::Null);
        assert!(odometer.cell_from_text("many").is_err());
        assert!(odometer.cell_from_text("NaN").is_err());
    }
}
