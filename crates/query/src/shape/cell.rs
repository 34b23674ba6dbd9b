//! One value as text. A column's type is looked at once per batch, not once per value.

use super::time;
use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{
    DataType, Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, DecimalType, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::fmt::{Display, Write};

/// What a value is in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Quoted and escaped.
    Text,
    /// Digits, or `true` and `false`: as they are.
    Bare,
    /// Digits, except for NaN and the infinities, which JSON does not have.
    Float,
}

/// A column of a batch, ready to be written.
pub(super) struct Cells<'a> {
    column: &'a ArrayRef,
    pub(super) kind: Kind,
    write: Writer<'a>,
}

/// Appends the value of a row that is not NULL.
type Writer<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

impl<'a> Cells<'a> {
    pub(super) fn of(column: &'a ArrayRef) -> Cells<'a> {
        let (kind, write) = writer(column);
        Cells { column, kind, write }
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.column.is_null(row) || self.column.data_type() == &DataType::Null
    }

    /// Appends the value; nothing for NULL.
    pub(super) fn write(&self, row: usize, out: &mut String) {
        if !self.is_null(row) {
            (self.write)(row, out);
        }
    }

    pub(super) fn is_finite(&self, row: usize) -> bool {
        match self.column.data_type() {
            DataType::Float64 => self.column.as_primitive::<Float64Type>().value(row).is_finite(),
            DataType::Float32 => self.column.as_primitive::<Float32Type>().value(row).is_finite(),
            _ => true,
        }
    }
}

fn writer(column: &ArrayRef) -> (Kind, Writer<'_>) {
    match column.data_type() {
        DataType::Utf8View => text(column.as_string_view().len(), |row| column.as_string_view().value(row)),
        DataType::Utf8 => text(column.len(), |row| column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text(column.len(), |row| column.as_string::<i64>().value(row)),
        DataType::Boolean => (Kind::Bare, Box::new(|row, out| put(out, column.as_boolean().value(row)))),
        DataType::Int8 => number::<Int8Type>(column, Kind::Bare),
        DataType::Int16 => number::<Int16Type>(column, Kind::Bare),
        DataType::Int32 => number::<Int32Type>(column, Kind::Bare),
        DataType::Int64 => number::<Int64Type>(column, Kind::Bare),
        DataType::UInt8 => number::<UInt8Type>(column, Kind::Bare),
        DataType::UInt16 => number::<UInt16Type>(column, Kind::Bare),
        DataType::UInt32 => number::<UInt32Type>(column, Kind::Bare),
        DataType::UInt64 => number::<UInt64Type>(column, Kind::Bare),
        DataType::Float32 => number::<Float32Type>(column, Kind::Float),
        DataType::Float64 => number::<Float64Type>(column, Kind::Float),
        DataType::Decimal32(_, scale) => decimal::<Decimal32Type>(column, *scale),
        DataType::Decimal64(_, scale) => decimal::<Decimal64Type>(column, *scale),
        DataType::Decimal128(_, scale) => decimal::<Decimal128Type>(column, *scale),
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>();
            (Kind::Text, Box::new(|row, out| time::date(days.value(row).into(), out)))
        }
        DataType::Timestamp(unit, zone) => moment(column, *unit, zone.is_some()),
        _ => other(column),
    }
}

fn text<'a>(_rows: usize, value: impl Fn(usize) -> &'a str + 'a) -> (Kind, Writer<'a>) {
    (Kind::Text, Box::new(move |row, out| out.push_str(value(row))))
}

fn put(out: &mut String, value: impl Display) {
    write!(out, "{value}").expect("writing to a String cannot fail");
}

fn number<T: ArrowPrimitiveType>(column: &ArrayRef, kind: Kind) -> (Kind, Writer<'_>)
where
    T::Native: Display,
{
    let values = column.as_primitive::<T>();
    (kind, Box::new(|row, out| put(out, values.value(row))))
}

/// All digits: `41.1500000`, not what a double makes of it.
fn decimal<T: DecimalType>(column: &ArrayRef, scale: i8) -> (Kind, Writer<'_>)
where
    T::Native: Into<i128>,
{
    let values = column.as_primitive::<T>();
    (Kind::Bare, Box::new(move |row, out| decimal_text(values.value(row).into(), scale, out)))
}

fn decimal_text(value: i128, scale: i8, out: &mut String) {
    let Ok(places @ 1..) = u32::try_from(scale) else {
        // A negative scale stands for zeros behind the digits.
        put(out, value);
        (scale..0).filter(|_| value != 0).for_each(|_| out.push('0'));
        return;
    };
    let unit = 10_u128.pow(places);
    let (whole, part) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    let sign = if value < 0 { "-" } else { "" };
    put(out, format_args!("{sign}{whole}.{part:0width$}", width = places as usize));
}

fn moment(column: &ArrayRef, unit: TimeUnit, zoned: bool) -> (Kind, Writer<'_>) {
    match unit {
        TimeUnit::Second => moments::<TimestampSecondType>(column, 1, zoned),
        TimeUnit::Millisecond => moments::<TimestampMillisecondType>(column, 1_000, zoned),
        TimeUnit::Microsecond => moments::<TimestampMicrosecondType>(column, 1_000_000, zoned),
        TimeUnit::Nanosecond => moments::<TimestampNanosecondType>(column, 1_000_000_000, zoned),
    }
}

fn moments<T: ArrowPrimitiveType<Native = i64>>(column: &ArrayRef, per_second: i64, zoned: bool) -> (Kind, Writer<'_>) {
    let values = column.as_primitive::<T>();
    (Kind::Text, Box::new(move |row, out| time::moment(values.value(row), per_second, zoned, out)))
}

/// Lists, intervals and whatever else, as arrow shows them.
fn other(column: &ArrayRef) -> (Kind, Writer<'_>) {
    const SHOWN: FormatOptions<'static> = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &SHOWN).ok();
    let write: Writer<'_> = Box::new(move |row, out| match &formatter {
        Some(formatter) => put(out, formatter.value(row)),
        None => put(out, format_args!("({})", column.data_type())),
    });
    (Kind::Text, write)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal_of(value: i128, scale: i8) -> String {
        let mut out = String::new();
        decimal_text(value, scale, &mut out);
        out
    }

    #[test]
    fn decimals_keep_every_digit() {
        assert_eq!(decimal_of(411_500_000, 7), "41.1500000");
        assert_eq!(decimal_of(-5, 2), "-0.05");
        assert_eq!(decimal_of(7, 0), "7");
        assert_eq!(decimal_of(7, -3), "7000");
        assert_eq!(decimal_of(i128::MIN, 2), "-1701411834604692317316873037158841057.28");
    }
}
