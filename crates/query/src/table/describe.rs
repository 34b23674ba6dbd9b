//! What `SHOW TABLES` and `DESCRIBE reports` answer: the names that a query can use, and what they mean.

use crate::session::TABLE;
use crate::shape::sql_type;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use std::sync::Arc;

/// What the columns hold, in the words of `docs/sql.md`.
const MEANINGS: [(&str, &str); 17] = [
    ("kind", "driver, vehicle, station, rider or other"),
    ("id", "the asset's id within its kind"),
    ("event_time", "when it happened, by the device's clock"),
    ("receive_time", "when Drover received it"),
    ("latitude", "degrees north, WGS 84"),
    ("longitude", "degrees east, WGS 84"),
    ("accuracy_m", "radius of the position's uncertainty, metres"),
    ("speed_kmh", "speed over ground, km/h"),
    ("heading_deg", "direction of travel, degrees from north, 0 up to 360"),
    ("battery_pct", "battery charge, percent"),
    ("status", "what the asset said of itself"),
    ("order_id", "the order being served"),
    ("city", "city label"),
    (
        "flags",
        "bits: 1 = sent without a time, 2 = late; the place is noise: 4 = jump, 8 = teleport, 16 = parked_drift, 32 = stuck_clock, 64 = no_fix",
    ),
    ("readings", "other values as JSON; see reading() and reading_number()"),
    ("region", "the region of the node that received it"),
    ("position", "the report's position on the log"),
];

/// One row: `reports`.
pub(crate) fn tables() -> RecordBatch {
    batch(&[("name", vec![TABLE.to_owned()]), ("meaning", vec!["every report that Drover admitted, once".to_owned()])])
}

/// One row for each column of `reports`.
pub(crate) fn columns(schema: &Schema) -> RecordBatch {
    let name = |field: &Arc<Field>| field.name().clone();
    let kind = |field: &Arc<Field>| sql_type(field.data_type());
    let fields = schema.fields();
    batch(&[
        ("column_name", fields.iter().map(name).collect()),
        ("column_type", fields.iter().map(kind).collect()),
        ("meaning", fields.iter().map(|field| meaning(field.name()).to_owned()).collect()),
    ])
}

fn meaning(column: &str) -> &'static str {
    MEANINGS.iter().find(|(name, _)| *name == column).map_or("a reading with a column of its own", |(_, text)| text)
}

fn batch(columns: &[(&str, Vec<String>)]) -> RecordBatch {
    let column = |(name, texts): &(&str, Vec<String>)| -> (String, ArrayRef) {
        ((*name).to_owned(), Arc::new(StringArray::from(texts.clone())))
    };
    RecordBatch::try_from_iter(columns.iter().map(column)).expect("columns of one length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_described() {
        let schema = drover_history::report_schema(&[]);
        assert_eq!(schema.fields().len(), MEANINGS.len());
        for (field, (name, _)) in schema.fields().iter().zip(MEANINGS) {
            assert_eq!(field.name(), name);
        }
    }
}
