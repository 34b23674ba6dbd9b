//! What the catalogue says about a column of a file and of the table: how much there is and between which bounds, as
//! texts. DuckDB leaves files out by them, so bounds of the table must hold for every file: they are widened together
//! with every file that comes in.

use super::calendar::{parse_time_text, time_text};
use crate::schema::BASE_COLUMNS;
use arrow::datatypes::{DataType, Schema};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use std::cmp::Ordering;

/// A least or greatest value, comparable with others of the same column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bound {
    /// Whole numbers, times in ms and decimals in units of their last digit.
    Whole(i128),
    Double(f64),
    Text(String),
    Bool(bool),
}

/// What is known of a column within a file or the table.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ColumnStats {
    /// Compressed, bytes.
    pub(crate) bytes: u64,
    /// Rows in which it is not NULL.
    pub(crate) values: u64,
    pub(crate) nulls: u64,
    /// `None`: there are no values, or bounds are not kept for this column.
    pub(crate) bounds: Option<(Bound, Bound)>,
}

impl Bound {
    fn order(&self, other: &Bound) -> Ordering {
        match (self, other) {
            (Bound::Whole(a), Bound::Whole(b)) => a.cmp(b),
            (Bound::Double(a), Bound::Double(b)) => a.total_cmp(b),
            (Bound::Text(a), Bound::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Bound::Bool(a), Bound::Bool(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }

    /// The text of the catalogue for a column of this type.
    pub(crate) fn text(&self, kind: &DataType) -> String {
        match (self, kind) {
            (Bound::Whole(time), DataType::Timestamp(..)) => time_text(*time as i64),
            (Bound::Whole(units), DataType::Decimal128(_, scale)) => decimal_text(*units, *scale as u32),
            (Bound::Whole(number), _) => number.to_string(),
            (Bound::Double(number), _) => number.to_string(),
            (Bound::Text(text), _) => text.clone(),
            (Bound::Bool(yes), _) => yes.to_string(),
        }
    }

    /// Reads a text of the catalogue; `None` if it is none of this type.
    pub(crate) fn parse(text: &str, kind: &DataType) -> Option<Bound> {
        match kind {
            DataType::Timestamp(..) => parse_time_text(text).map(|time| Bound::Whole(time.into())),
            DataType::Decimal128(_, scale) => parse_decimal(text, *scale as u32).map(Bound::Whole),
            DataType::Int32 | DataType::Int64 => text.parse().ok().map(Bound::Whole),
            DataType::Float64 => text.parse().ok().map(Bound::Double),
            DataType::Boolean => text.parse().ok().map(Bound::Bool),
            _ => Some(Bound::Text(text.to_owned())),
        }
    }
}

fn decimal_text(units: i128, scale: u32) -> String {
    let one = 10_i128.pow(scale);
    let sign = if units < 0 { "-" } else { "" };
    let digits = units.unsigned_abs();
    let one = one.unsigned_abs();
    format!("{sign}{}.{:0width$}", digits / one, digits % one, width = scale as usize)
}

fn parse_decimal(text: &str, scale: u32) -> Option<i128> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > scale as usize {
        return None;
    }
    let fraction: i128 = format!("{fraction:0<width$}", width = scale as usize).parse().ok()?;
    let units = whole.parse::<i128>().ok()? * 10_i128.pow(scale) + fraction;
    Some(if negative { -units } else { units })
}

/// Both, as bounds of all that each covers.
pub(crate) fn widen(a: (Bound, Bound), b: (Bound, Bound)) -> (Bound, Bound) {
    let least = if b.0.order(&a.0) == Ordering::Less { b.0 } else { a.0 };
    let greatest = if b.1.order(&a.1) == Ordering::Greater { b.1 } else { a.1 };
    (least, greatest)
}

/// What a file's footer says, column by column in the schema's order.
pub(crate) fn of_file(footer: &ParquetMetaData, schema: &Schema) -> Vec<ColumnStats> {
    (0..schema.fields().len()).map(|column| of_column(footer, column)).collect()
}

fn of_column(footer: &ParquetMetaData, column: usize) -> ColumnStats {
    let mut all = ColumnStats::default();
    for group in footer.row_groups() {
        let chunk = group.column(column);
        let rows = group.num_rows() as u64;
        let nulls = chunk.statistics().and_then(Statistics::null_count_opt).unwrap_or(0).min(rows);
        all.bytes += chunk.compressed_size() as u64;
        all.nulls += nulls;
        all.values += rows - nulls;
        let bounds = chunk.statistics().and_then(bounds);
        all.bounds = match (all.bounds.take(), bounds) {
            (Some(a), Some(b)) => Some(widen(a, b)),
            (a, b) => a.or(b),
        };
    }
    all
}

fn bounds(statistics: &Statistics) -> Option<(Bound, Bound)> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| Bound::Text(text.to_owned()));
    match statistics {
        Statistics::Boolean(s) => Some((Bound::Bool(*s.min_opt()?), Bound::Bool(*s.max_opt()?))),
        Statistics::Int32(s) => Some((Bound::Whole((*s.min_opt()?).into()), Bound::Whole((*s.max_opt()?).into()))),
        Statistics::Int64(s) => Some((Bound::Whole((*s.min_opt()?).into()), Bound::Whole((*s.max_opt()?).into()))),
        Statistics::Double(s) => Some((Bound::Double(*s.min_opt()?), Bound::Double(*s.max_opt()?))),
        Statistics::ByteArray(s) => Some((text(s.min_opt()?.data())?, text(s.max_opt()?.data())?)),
        _ => None,
    }
}

/// Position of a column in the schema by what it is called there; base columns only.
pub(crate) mod at {
    pub(crate) const KIND: usize = 0;
    pub(crate) const ID: usize = 1;
    pub(crate) const EVENT_TIME: usize = 2;
    pub(crate) const READINGS: usize = 14;
    pub(crate) const POSITION: usize = super::BASE_COLUMNS - 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_come_back_from_their_texts() {
        let cases = [
            (Bound::Whole(-86_000_000), DataType::Decimal128(10, 7), "-8.6000000"),
            (Bound::Whole(5), DataType::Decimal128(6, 2), "0.05"),
            (Bound::Whole(-5), DataType::Decimal128(6, 2), "-0.05"),
            (Bound::Whole(17), DataType::Int64, "17"),
            (Bound::Double(12.5), DataType::Float64, "12.5"),
            (Bound::Text("d-1".into()), DataType::Utf8, "d-1"),
            (Bound::Bool(true), DataType::Boolean, "true"),
        ];
        for (bound, kind, text) in cases {
            assert_eq!(bound.text(&kind), text);
            assert_eq!(Bound::parse(text, &kind), Some(bound));
        }
    }

    #[test]
    fn widening_compares_numbers_as_numbers() {
        let nine_and_ten = widen((Bound::Whole(9), Bound::Whole(9)), (Bound::Whole(10), Bound::Whole(10)));
        assert_eq!(nine_and_ten, (Bound::Whole(9), Bound::Whole(10)));
    }
}
