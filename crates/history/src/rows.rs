//! Rows of the table `reports` built from reports, column by column.

use crate::ReadingType;
use crate::schema::{UTC, reading_columns};
use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::SchemaRef;
use drover_model::{Position, Reading, Report};
use std::sync::Arc;

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
    /// No rows yet of a schema that [`report_schema`](crate::report_schema) made.
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
