//! JSON in, drafts out. One visitor walks a report object once, knows every field name of the source
//! documents, and remembers the first field whose type is wrong instead of giving up, so that the
//! answer can name it. Unknown fields are skipped without being stored.

use drover_model::{Draft, Kind, Reading, Reject, RejectCode, parse_time};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A draft, or the first thing that is wrong with it.
pub type Parsed<'a> = Result<Draft<'a>, Reject>;

/// Reads a body that holds one report, a JSON array of reports, or one report per line.
///
/// `Err` means that nothing in the body can be told apart (400); otherwise every item stands for
/// itself and a bad one does not touch its neighbours.
pub fn parse_reports(body: &[u8]) -> Result<Vec<Parsed<'_>>, Reject> {
    let text = utf8(body)?.trim();
    match text.as_bytes().first() {
        None => Err(malformed("the body is empty; send one report, an array, or one report per line")),
        Some(b'[') => parse_array(text),
        Some(_) => parse_one_or_lines(text),
    }
}

/// Reads a body that holds exactly one report object.
pub fn parse_report(body: &[u8]) -> Parsed<'_> {
    parse_text(utf8(body)?)
}

fn parse_text(text: &str) -> Parsed<'_> {
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = ReportSeed.deserialize(&mut json).map_err(|error| broken(&error))?;
    json.end().map_err(|error| broken(&error))?;
    parsed
}

fn utf8(body: &[u8]) -> Result<&str, Reject> {
    std::str::from_utf8(body)
        .map_err(|error| malformed(&format!("the body is not UTF-8 at byte {}", error.valid_up_to())))
}

fn parse_array(text: &str) -> Result<Vec<Parsed<'_>>, Reject> {
    let mut json = serde_json::Deserializer::from_str(text);
    let items = json.deserialize_seq(ArrayVisitor).and_then(|items| json.end().map(|()| items));
    items.or_else(|_| parse_items(text))
}

/// Slower: first finds where the items begin and end, so that one that cannot be read (a number that
/// no float holds) does not take the others with it.
fn parse_items(text: &str) -> Result<Vec<Parsed<'_>>, Reject> {
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| broken(&error))?;
    Ok(items.into_iter().map(|item| parse_text(item.get())).collect())
}

fn parse_one_or_lines(text: &str) -> Result<Vec<Parsed<'_>>, Reject> {
    match parse_text(text) {
        // More than one line may be one report, several reports, or a file with a broken line.
        Err(reject) if reject.code == RejectCode::Malformed && text.contains('\n') => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let reports: Vec<_> = lines.map(parse_text).collect();
            let all_malformed = reports.iter().all(|r| r.as_ref().is_err_and(|r| r.code == RejectCode::Malformed));
            if all_malformed { Err(reject) } else { Ok(reports) }
        }
        Err(reject) if reject.code == RejectCode::Malformed => Err(reject),
        parsed => Ok(vec![parsed]),
    }
}

fn malformed(message: &str) -> Reject {
    Reject::new(RejectCode::Malformed, "", message.to_owned())
}

fn broken(error: &serde_json::Error) -> Reject {
    malformed(&format!("not valid JSON: {error}"))
}

struct ArrayVisitor;

impl<'de> Visitor<'de> for ArrayVisitor {
    type Value = Vec<Parsed<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of reports")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(ReportSeed)? {
            items.push(item);
        }
        Ok(items)
    }
}

/// Reads one report object wherever serde meets it.
#[derive(Clone, Copy)]
struct ReportSeed;

impl<'de> DeserializeSeed<'de> for ReportSeed {
    type Value = Parsed<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let mut builder = Builder::default();
        match deserializer.deserialize_any(ValueVisitor(Some((Place::Report, &mut builder))))? {
            Value::Object => Ok(builder.finish()),
            other => Ok(Err(wrong_type("report", "an object", &other))),
        }
    }
}

/// Objects (and one array) whose fields belong to the report.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// The report itself.
    Report,
    /// The object or `[longitude, latitude]` behind `location`.
    Location,
    /// The object behind `readings`.
    Readings,
}

/// A JSON value as far as a report needs it. What stood inside an object is already in the builder.
enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(Cow<'a, str>),
    List,
    Object,
}

impl Value<'_> {
    fn what(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) | Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List => "an array",
            Value::Object => "an object",
        }
    }
}

fn wrong_type(field: &'static str, expected: &str, got: &Value<'_>) -> Reject {
    let shown = match got {
        Value::Text(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
        other => other.what().to_owned(),
    };
    Reject::new(RejectCode::WrongType, field, format!("{field} is {shown}; {expected} is expected"))
}

/// Reads any value. With a builder, fields of the object are read into it; without, objects and
/// arrays are skipped.
struct ValueVisitor<'b, 'a>(Option<(Place, &'b mut Builder<'a>)>);

impl<'de> DeserializeSeed<'de> for ValueVisitor<'_, 'de> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueVisitor<'_, 'de> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(value).map_or(Value::Number(value as f64), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        if let Some((Place::Location, builder)) = self.0 {
            builder.coordinates(&mut seq)?;
            return Ok(Value::Object);
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let Some((place, builder)) = self.0 else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Object);
        };
        while let Some(name) = map.next_key_seed(NameSeed)? {
            builder.field(place, &name, &mut map)?;
        }
        Ok(Value::Object)
    }
}

/// Reads an object's key without copying it where JSON allows.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

/// A draft in the making.
#[derive(Default)]
struct Builder<'a> {
    draft: Draft<'a>,
    /// Kind and id that a name such as `driver_id` implies; `kind` and `id` go before it.
    implied: Option<(Option<Kind>, Cow<'a, str>)>,
    error: Option<Reject>,
}

impl<'a> Builder<'a> {
    fn finish(mut self) -> Parsed<'a> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if let Some((kind, id)) = self.implied {
            self.draft.kind = self.draft.kind.or(kind);
            self.draft.id.get_or_insert(id);
        }
        Ok(self.draft)
    }

    fn fail(&mut self, reject: Reject) {
        self.error.get_or_insert(reject);
    }

    /// Reads the value of the field `name` of the object at `place`.
    fn field<A: MapAccess<'a>>(&mut self, place: Place, name: &str, map: &mut A) -> Result<(), A::Error> {
        match (place, name) {
            (Place::Report, "location" | "position" | "geometry")
            | (Place::Report | Place::Location, "coordinates") => {
                let value = map.next_value_seed(ValueVisitor(Some((Place::Location, self))))?;
                self.expect_object("location", "an object or [longitude, latitude]", &value);
            }
            (Place::Report, "readings" | "metadata" | "data" | "attributes") => {
                let value = map.next_value_seed(ValueVisitor(Some((Place::Readings, self))))?;
                self.expect_object("readings", "an object", &value);
            }
            (Place::Readings, _) => {
                let value = map.next_value_seed(ValueVisitor(None))?;
                self.reading(name, &value);
            }
            (Place::Report | Place::Location, _) if is_known(name) => {
                let value = map.next_value_seed(ValueVisitor(None))?;
                self.scalar(name, value);
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn expect_object(&mut self, field: &'static str, expected: &str, value: &Value<'_>) {
        if !matches!(value, Value::Object | Value::Null) {
            self.fail(wrong_type(field, expected, value));
        }
    }

    /// GeoJSON order: longitude first.
    fn coordinates<A: SeqAccess<'a>>(&mut self, seq: &mut A) -> Result<(), A::Error> {
        let names = ["longitude", "latitude"];
        let mut at = 0;
        while let Some(value) = seq.next_element_seed(ValueVisitor(None))? {
            if let Some(name) = names.get(at) {
                self.scalar(name, value);
            }
            at += 1;
        }
        Ok(())
    }

    fn reading(&mut self, name: &str, value: &Value<'_>) {
        let pushed = match value {
            Value::Integer(number) => self.draft.readings.push(name, Reading::Number(*number as f64)),
            Value::Number(number) => self.draft.readings.push(name, Reading::Number(*number)),
            Value::Text(text) => self.draft.readings.push(name, Reading::Text(text)),
            Value::Bool(yes) => self.draft.readings.push(name, Reading::Bool(*yes)),
            Value::Null | Value::List | Value::Object => Ok(()), // not a reading: skipped
        };
        if let Err(reject) = pushed {
            self.fail(reject);
        }
    }

    fn scalar(&mut self, name: &str, value: Value<'a>) {
        if matches!(value, Value::Null) {
            return; // null says "not known", the same as leaving the field out
        }
        let draft = &mut self.draft;
        let result = match name {
            "latitude" | "lat" => set_number("latitude", &value, &mut draft.latitude),
            "longitude" | "lng" | "lon" | "long" => set_number("longitude", &value, &mut draft.longitude),
            "accuracy" | "accuracy_m" | "horizontal_accuracy" => set_number("accuracy", &value, &mut draft.accuracy_m),
            "speed" | "speed_kmh" => set_number("speed", &value, &mut draft.speed_kmh),
            "speed_mps" => set_scaled("speed_mps", &value, 3.6, &mut draft.speed_kmh),
            "speed_mph" => set_scaled("speed_mph", &value, 1.609_344, &mut draft.speed_kmh),
            "speed_knots" => set_scaled("speed_knots", &value, 1.852, &mut draft.speed_kmh),
            "heading" | "heading_deg" | "bearing" | "course" => set_number("heading", &value, &mut draft.heading_deg),
            "battery_pct" | "battery" | "battery_level" | "batteryLevel" => {
                set_number("battery_pct", &value, &mut draft.battery_pct)
            }
            "timestamp" | "time" | "event_time" | "eventTime" => set_time(&value, &mut draft.event_time),
            "kind" => set_kind(&value, &mut draft.kind),
            "id" => set_id("id", value).map(|id| draft.id = Some(id)),
            "status" | "engine_status" => set_text("status", value, &mut draft.status),
            "order_id" | "orderId" => set_id("order_id", value).map(|id| draft.order_id = Some(id)),
            "city" => set_text("city", value, &mut draft.city),
            "battery_available" | "battery_charging" | "temperature" | "humidity" => {
                self.reading(name, &value);
                Ok(())
            }
            _ => set_id("id", value).map(|id| self.implied = self.implied.take().or(Some((implied_kind(name), id)))),
        };
        if let Err(reject) = result {
            self.fail(reject);
        }
    }
}

fn implied_kind(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| name.starts_with(kind.name()))
}

/// The field names that [`Builder::scalar`] reads. Kept beside it: a name here must be matched there.
fn is_known(name: &str) -> bool {
    matches!(
        name,
        "latitude"
            | "lat"
            | "longitude"
            | "lng"
            | "lon"
            | "long"
            | "accuracy"
            | "accuracy_m"
            | "horizontal_accuracy"
            | "speed"
            | "speed_kmh"
            | "speed_mps"
            | "speed_mph"
            | "speed_knots"
            | "heading"
            | "heading_deg"
            | "bearing"
            | "course"
            | "battery_pct"
            | "battery"
            | "battery_level"
            | "batteryLevel"
            | "timestamp"
            | "time"
            | "event_time"
            | "eventTime"
            | "kind"
            | "id"
            | "status"
            | "engine_status"
            | "order_id"
            | "orderId"
            | "city"
            | "battery_available"
            | "battery_charging"
            | "temperature"
            | "humidity"
            | "driver_id"
            | "driverId"
            | "vehicle_id"
            | "vehicleId"
            | "station_id"
            | "stationId"
            | "rider_id"
            | "riderId"
            | "asset_id"
            | "assetId"
            | "device_id"
            | "deviceId"
    )
}

fn set_number(field: &'static str, value: &Value<'_>, slot: &mut Option<f64>) -> Result<(), Reject> {
    set_scaled(field, value, 1.0, slot)
}

fn set_scaled(field: &'static str, value: &Value<'_>, factor: f64, slot: &mut Option<f64>) -> Result<(), Reject> {
    let number = match value {
        Value::Integer(number) => *number as f64,
        Value::Number(number) => *number,
        other => return Err(wrong_type(field, "a number", other)),
    };
    *slot = Some(number * factor);
    Ok(())
}

fn set_time(value: &Value<'_>, slot: &mut Option<i64>) -> Result<(), Reject> {
    *slot = Some(match value {
        Value::Integer(ms) => *ms,
        Value::Number(ms) if ms.abs() < 9e15 => *ms as i64,
        Value::Text(text) => {
            parse_time(text).map_err(|error| Reject::new(RejectCode::WrongType, "timestamp", error.to_string()))?
        }
        other => return Err(wrong_type("timestamp", "RFC 3339 or epoch milliseconds", other)),
    });
    Ok(())
}

fn set_kind(value: &Value<'_>, slot: &mut Option<Kind>) -> Result<(), Reject> {
    match value {
        Value::Text(word) => *slot = Some(Kind::parse(word).ok_or_else(|| Reject::unknown_kind(word))?),
        other => return Err(wrong_type("kind", "a text", other)),
    }
    Ok(())
}

fn set_id<'a>(field: &'static str, value: Value<'a>) -> Result<Cow<'a, str>, Reject> {
    match value {
        Value::Text(id) => Ok(id),
        Value::Integer(id) => Ok(Cow::Owned(id.to_string())),
        other => Err(wrong_type(field, "a text or an integer", &other)),
    }
}

fn set_text<'a>(field: &'static str, value: Value<'a>, slot: &mut Option<Cow<'a, str>>) -> Result<(), Reject> {
    match value {
        Value::Text(text) => *slot = Some(text),
        other => return Err(wrong_type(field, "a text", &other)),
    }
    Ok(())
}
