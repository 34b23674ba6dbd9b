//! The columns of the table `reports`, and rows of it built from reports. The order of columns and their field ids
//! are written to disk: ids 1 to 17 are the columns below, 18 and on are promoted readings in the order in which they
//! were added. Where the rows go (files, memory) is for others.

use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMillisecondBuilder,
};
use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use drover_model::{Position, Reading, Report};
use std::collections::HashMap;
use std::sync::Arc;

/// Key of a field's metadata under which its Parquet field id stands, which is its column id in the catalogue.
pub const FIELD_ID: &str = "PARQUET:field_id";
/// Columns that every table has; promoted readings follow.
pub const BASE_COLUMNS: usize = 17;
/// Most promoted readings: each costs a column in every file.
pub const READING_COLUMNS_MAX: usize = 64;
/// Time zone of the timestamps.
pub(crate) const UTC: &str = "UTC";

/// A reading that has a column of its own, beside its place in `readings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadingColumn {
    /// Name of the reading and of the column.
    pub name: String,
    /// What the column holds. A reading of another type leaves it NULL.
    pub kind: ReadingType,
}

/// Type of a promoted reading's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadingType {
    /// DOUBLE.
    Number,
    /// VARCHAR.
    Text,
    /// BOOLEAN.
    Bool,
}

/// Why a text does not name a promoted reading.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("promoted reading {given:?}: {problem}")]
pub struct ReadingColumnError {
    given: String,
    problem: String,
}

impl ReadingColumn {
    /// Reads `name:number`, `name:text` or `name:bool`. The name is 1 to 64 lower-case letters, digits and `_`, and
    /// no column of the table.
    pub fn parse(text: &str) -> Result<ReadingColumn, ReadingColumnError> {
        let refuse = |problem: &str| ReadingColumnError { given: text.to_owned(), problem: problem.to_owned() };
        let (name, kind) = text.split_once(':').ok_or_else(|| refuse("write name:number, name:text or name:bool"))?;
        let kind = match kind {
            "number" => ReadingType::Number,
            "text" => ReadingType::Text,
            "bool" => ReadingType::Bool,
            _ => return Err(refuse("the type is number, text or bool")),
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(refuse("the name is 1 to 64 lower-case letters, digits and _"));
        }
        if BASE.iter().any(|(column, _)| *column == name) {
            return Err(refuse("the table has a column of this name"));
        }
        Ok(ReadingColumn { name: name.to_owned(), kind })
    }
}

impl ReadingType {
    fn data_type(self) -> DataType {
        match self {
            ReadingType::Number => DataType::Float64,
            ReadingType::Text => DataType::Utf8,
            ReadingType::Bool => DataType::Boolean,
        }
    }
}

const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// Names and types of the columns. Times are ms UTC, degrees are WGS 84, `flags` is the number of
/// [`drover_model::Flags`] (1: no event time was sent, 2: late), `readings` is a JSON object or NULL, `position` is the
/// report's place on the log. What was not said is NULL; kind, id, times, flags, region and position never are. A time gets
/// its zone in [`report_schema`], as a constant cannot hold it.
const BASE: [(&str, DataType); BASE_COLUMNS] = [
    ("kind", DataType::Utf8),
    ("id", DataType::Utf8),
    ("event_time", TIME),
    ("receive_time", TIME),
    ("latitude", DataType::Decimal128(9, 7)),
    ("longitude", DataType::Decimal128(10, 7)),
    ("accuracy_m", DataType::Decimal128(9, 2)),
    ("speed_kmh", DataType::Decimal128(6, 2)),
    ("heading_deg", DataType::Decimal128(5, 2)),
    ("battery_pct", DataType::Decimal128(5, 2)),
    ("status", DataType::Utf8),
    ("order_id", DataType::Utf8),
    ("city", DataType::Utf8),
    ("flags", DataType::Int32),
    ("readings", DataType::Utf8),
    ("region", DataType::Utf8),
    ("position", DataType::Int64),
];

/// The table's schema: the base columns, then one for each of `extra`. Every field is nullable (as DuckLake has it) and
/// carries its id under [`FIELD_ID`].
pub fn report_schema(extra: &[ReadingColumn]) -> SchemaRef {
    let base = BASE.iter().map(|(name, kind)| (*name, zoned(kind)));
    let extra = extra.iter().map(|column| (column.name.as_str(), column.kind.data_type()));
    let fields = base.chain(extra).enumerate().map(|(at, (name, kind))| {
        Field::new(name, kind, true).with_metadata(HashMap::from([(FIELD_ID.into(), (at + 1).to_string())]))
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn zoned(kind: &DataType) -> DataType {
    match kind {
        DataType::Timestamp(unit, None) => DataType::Timestamp(*unit, Some(UTC.into())),
        other => other.clone(),
    }
}

/// The promoted readings of a schema that [`report_schema`] made.
pub fn reading_columns(schema: &Schema) -> Vec<ReadingColumn> {
    let kind = |field: &Field| match field.data_type() {
        DataType::Float64 => ReadingType::Number,
        DataType::Boolean => ReadingType::Bool,
        _ => ReadingType::Text,
    };
    let extra = schema.fields().iter().skip(BASE_COLUMNS);
    extra.map(|field| ReadingColumn { name: field.name().clone(), kind: kind(field) }).collect()
}

/// Rows of the table under construction, in the order in which they are pushed.
#[derive(Debug)]
pub struct Rows {
    schema: SchemaRef,
    kind: StringBuilder,
    id: StringBuilder,
    event_time: TimestampMillisecondBuilder,
    receive_time: TimestampMillisecondBuilder,
    latitude: Decimal128Builder,
    longitude: Decimal128Builder,
    accuracy_m: Decimal128Builder,
    speed_kmh: Decimal128Builder,
    heading_deg: Decimal128Builder,
    battery_pct: Decimal128Builder,
    status: StringBuilder,
    order_id: StringBuilder,
    city: StringBuilder,
    flags: Int32Builder,
    readings: StringBuilder,
    region: StringBuilder,
    position: Int64Builder,
    extra: Vec<(String, ReadingBuilder)>,
    json: String,
}

#[derive(Debug)]
enum ReadingBuilder {
    Number(Float64Builder),
    Text(StringBuilder),
    Bool(BooleanBuilder),
}

impl Rows {
    /// No rows yet of a schema that [`report_schema`] made.
    pub fn new(schema: SchemaRef) -> Rows {
        let decimal = |at: usize| Decimal128Builder::new().with_data_type(schema.field(at).data_type().clone());
        let time = || TimestampMillisecondBuilder::new().with_timezone(UTC);
        let extra = reading_columns(&schema).into_iter().map(|c| (c.name, ReadingBuilder::new(c.kind))).collect();
        Rows {
            kind: StringBuilder::new(),
            id: StringBuilder::new(),
            event_time: time(),
            receive_time: time(),
            latitude: decimal(4),
            longitude: decimal(5),
            accuracy_m: decimal(6),
            speed_kmh: decimal(7),
            heading_deg: decimal(8),
            battery_pct: decimal(9),
            status: StringBuilder::new(),
            order_id: StringBuilder::new(),
            city: StringBuilder::new(),
            flags: Int32Builder::new(),
            readings: StringBuilder::new(),
            region: StringBuilder::new(),
            position: Int64Builder::new(),
            extra,
            json: String::new(),
            schema,
        }
    }

    /// Adds one row. Decimals are rounded to the digits of their column; a speed beyond 9,999.99 km/h becomes that.
    pub fn push(&mut self, position: u64, report: &Report<'_>, region: &str) {
        self.kind.append_value(report.kind.name());
        self.id.append_value(&report.id);
        self.event_time.append_value(report.event_time);
        self.receive_time.append_value(report.receive_time);
        self.latitude.append_option(report.position.map(|Position { lat_e7, .. }| lat_e7.into()));
        self.longitude.append_option(report.position.map(|Position { lon_e7, .. }| lon_e7.into()));
        self.accuracy_m.append_option(hundredths(report.accuracy_m, 999_999_999));
        self.speed_kmh.append_option(hundredths(report.speed_kmh, 999_999));
        self.heading_deg.append_option(hundredths(report.heading_deg, 99_999).map(|heading| heading % 36_000));
        self.battery_pct.append_option(hundredths(report.battery_pct, 99_999));
        self.status.append_option(report.status.map(|status| status.name()));
        self.order_id.append_option(report.order_id.as_deref());
        self.city.append_option(report.city.as_deref());
        self.flags.append_value(report.flags.0.into());
        self.push_readings(report);
        self.region.append_value(region);
        self.position.append_value(position as i64);
    }

    fn push_readings(&mut self, report: &Report<'_>) {
        for (name, column) in &mut self.extra {
            // Names are few: a walk per column is cheaper than a table per row.
            column.push(report.readings.iter().find(|(found, _)| found == name).map(|(_, value)| value));
        }
        if report.readings.is_empty() {
            return self.readings.append_null();
        }
        self.json.clear();
        write_json(report, &mut self.json);
        self.readings.append_value(&self.json);
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.position.values_slice().len()
    }

    /// True without any row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, after which this is empty again and can take others.
    pub fn finish(&mut self) -> RecordBatch {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.kind.finish()),
            Arc::new(self.id.finish()),
            Arc::new(self.event_time.finish()),
            Arc::new(self.receive_time.finish()),
            Arc::new(self.latitude.finish()),
            Arc::new(self.longitude.finish()),
            Arc::new(self.accuracy_m.finish()),
            Arc::new(self.speed_kmh.finish()),
            Arc::new(self.heading_deg.finish()),
            Arc::new(self.battery_pct.finish()),
            Arc::new(self.status.finish()),
            Arc::new(self.order_id.finish()),
            Arc::new(self.city.finish()),
            Arc::new(self.flags.finish()),
            Arc::new(self.readings.finish()),
            Arc::new(self.region.finish()),
            Arc::new(self.position.finish()),
        ];
        columns.extend(self.extra.iter_mut().map(|(_, column)| column.finish()));
        RecordBatch::try_new(self.schema.clone(), columns).expect("every push adds to each column")
    }
}

impl ReadingBuilder {
    fn new(kind: ReadingType) -> ReadingBuilder {
        match kind {
            ReadingType::Number => ReadingBuilder::Number(Float64Builder::new()),
            ReadingType::Text => ReadingBuilder::Text(StringBuilder::new()),
            ReadingType::Bool => ReadingBuilder::Bool(BooleanBuilder::new()),
        }
    }

    fn push(&mut self, value: Option<Reading<'_>>) {
        match (self, value) {
            (ReadingBuilder::Number(column), Some(Reading::Number(number))) => column.append_value(number),
            (ReadingBuilder::Text(column), Some(Reading::Text(text))) => column.append_value(text),
            (ReadingBuilder::Bool(column), Some(Reading::Bool(yes))) => column.append_value(yes),
            (ReadingBuilder::Number(column), _) => column.append_null(),
            (ReadingBuilder::Text(column), _) => column.append_null(),
            (ReadingBuilder::Bool(column), _) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            ReadingBuilder::Number(column) => Arc::new(column.finish()),
            ReadingBuilder::Text(column) => Arc::new(column.finish()),
            ReadingBuilder::Bool(column) => Arc::new(column.finish()),
        }
    }
}

fn hundredths(value: Option<f32>, max: i128) -> Option<i128> {
    value.map(|value| ((f64::from(value) * 100.0).round() as i128).clamp(-max, max))
}

/// Appends the readings as a JSON object. Whole numbers have no fraction: `{"doors":2}`.
fn write_json(report: &Report<'_>, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in report.readings.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { "," });
        out.push_str(&json_text(name));
        out.push(':');
        match value {
            Reading::Number(number) => out.push_str(&json_number(number)),
            Reading::Text(text) => out.push_str(&json_text(text)),
            Reading::Bool(yes) => out.push_str(if yes { "true" } else { "false" }),
        }
    }
    out.push('}');
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn json_number(number: f64) -> String {
    /// Whole numbers up to 2^53 are exact in a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number {
        whole if whole.fract() == 0.0 && whole.abs() <= EXACT => (whole as i64).to_string(),
        other => serde_json::Value::from(other).to_string(),
    }
}

/// The rows in the order in which files hold them: kind, id, event_time, position.
pub fn sort_by_key(batch: &RecordBatch) -> RecordBatch {
    let column = |at: usize| SortColumn { values: batch.column(at).clone(), options: None };
    let order = [column(0), column(1), column(2), column(BASE_COLUMNS - 1)];
    let order = lexsort_to_indices(&order, None).expect("these column types have an order");
    take_record_batch(batch, &order).expect("indices lie within the batch")
}
