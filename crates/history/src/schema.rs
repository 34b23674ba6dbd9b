//! The columns of the table `reports`. The order of columns and their field ids
//! are written to disk: ids 1 to 17 are the columns below, 18 and on are promoted readings in the order in which they
//! were added. Rows are built in `rows`.

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
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

/// The rows in the order in which files hold them: kind, id, event_time, position.
pub fn sort_by_key(batch: &RecordBatch) -> RecordBatch {
    let column = |at: usize| SortColumn { values: batch.column(at).clone(), options: None };
    let order = [column(0), column(1), column(2), column(BASE_COLUMNS - 1)];
    let order = lexsort_to_indices(&order, None).expect("these column types have an order");
    take_record_batch(batch, &order).expect("indices lie within the batch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promoted_readings_stand_behind_the_base_columns_with_the_next_ids() {
        let wanted = ["soc_pct:number", "note:text", "charging:bool"].map(|text| ReadingColumn::parse(text).unwrap());
        let schema = report_schema(&wanted);
        assert_eq!(reading_columns(&schema), wanted);
        let id = |name: &str| schema.field_with_name(name).unwrap().metadata()[FIELD_ID].clone();
        assert_eq!(
            (id("kind"), id("position"), id("soc_pct"), id("charging")),
            ("1".into(), "17".into(), "18".into(), "20".into())
        );
    }

    #[test]
    fn a_promoted_reading_that_cannot_be_a_column_is_refused() {
        for (text, why) in [
            ("soc_pct", "write name:number"),
            ("soc_pct:float", "number, text or bool"),
            ("Soc:number", "lower-case"),
            (":number", "1 to 64"),
            ("speed_kmh:number", "has a column"),
        ] {
            let refused = ReadingColumn::parse(text).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
