//! `time_bucket(width, time)`: the start of the bucket that a time falls into, as TimescaleDB has it. Buckets of weeks
//! and less are counted from Monday 2000-01-03 UTC, buckets of months and years from 2000-01-01.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowTimestampType, DataType, FieldRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::types::{NativeType, logical_date, logical_string};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, internal_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    TypeSignatureClass, Volatility,
};
use std::sync::Arc;

const MS_PER_DAY: i64 = 86_400_000;
/// Monday 2000-01-03.
const FIRST_MONDAY_MS: i64 = 10_959 * MS_PER_DAY;
/// Months from year 0 to 2000-01.
const FIRST_MONTH: i64 = 2000 * 12;

pub(super) fn time_bucket() -> Arc<ScalarUDF> {
    let sources = vec![TypeSignatureClass::Native(logical_string()), TypeSignatureClass::Native(logical_date())];
    let nanoseconds = NativeType::Timestamp(TimeUnit::Nanosecond, None);
    let time = Coercion::new_implicit(TypeSignatureClass::Timestamp, sources, nanoseconds);
    let text = Coercion::new_exact(TypeSignatureClass::Native(logical_string()));
    let interval = Coercion::new_exact(TypeSignatureClass::Interval);
    let with = |width: Coercion| TypeSignature::Coercible(vec![width, time.clone()]);
    let signature = Signature::one_of(vec![with(text), with(interval)], Volatility::Immutable);
    Arc::new(ScalarUDF::from(TimeBucket { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucket {
    signature: Signature,
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        internal_err!("the type is told by the fields")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let time = args.arg_fields[1].as_ref().clone();
        Ok(Arc::new(time.with_name(self.name())))
    }

    /// Later times never fall into earlier buckets.
    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        let constant = inputs[0].sort_properties == SortProperties::Singleton;
        Ok(if constant { inputs[1].sort_properties } else { SortProperties::Unordered })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ColumnarValue::Scalar(width) = &args.args[0] else {
            return exec_err!("time_bucket: the width must be a constant, such as '15 minutes'");
        };
        let width = Width::of(width)?;
        let times = args.args[1].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(bucket(width, &times)?))
    }
}

fn bucket(width: Width, times: &ArrayRef) -> Result<ArrayRef> {
    match times.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => of_unit::<TimestampSecondType>(width, times, 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) => of_unit::<TimestampMillisecondType>(width, times, 1_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of_unit::<TimestampMicrosecondType>(width, times, 1_000_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => of_unit::<TimestampNanosecondType>(width, times, 1_000_000_000),
        other => exec_err!("time_bucket: {other} is no time"),
    }
}

fn of_unit<T: ArrowTimestampType>(width: Width, times: &ArrayRef, per_second: i64) -> Result<ArrayRef> {
    let times = times.as_primitive::<T>();
    let DataType::Timestamp(_, zone) = times.data_type() else { return internal_err!("a time") };
    let buckets: PrimitiveArray<T> = match width {
        Width::Ms(ms) => {
            let units = |ms: i64| ms as i128 * i128::from(per_second) / 1000;
            let width = i64::try_from(units(ms)).unwrap_or(i64::MAX);
            if width == 0 {
                return exec_err!("time_bucket: the width is finer than the times");
            }
            let origin = units(FIRST_MONDAY_MS) as i64;
            times.unary(|time| (time.wrapping_sub(origin)).div_euclid(width).wrapping_mul(width).wrapping_add(origin))
        }
        Width::Months(months) => {
            let per_day = per_second * 86_400;
            times.unary(|time| month_start(time.div_euclid(per_day), months) * per_day)
        }
    };
    Ok(Arc::new(buckets.with_timezone_opt(zone.clone())))
}

/// First day, as days since 1970, of the bucket of months that a day lies in.
fn month_start(day: i64, months: i64) -> i64 {
    let (year, month) = year_and_month(day);
    let since = year * 12 + month - 1 - FIRST_MONTH;
    let first = since.div_euclid(months) * months + FIRST_MONTH;
    first_day(first.div_euclid(12), first.rem_euclid(12) + 1)
}

/// Howard Hinnant's `civil_from_days`, without the day.
fn year_and_month(day: i64) -> (i64, i64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month)
}

/// Days from 1970 to the first of a month (`days_from_civil`).
fn first_day(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// How wide buckets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Ms(i64),
    Months(i64),
}

impl Width {
    fn of(value: &ScalarValue) -> Result<Width> {
        let (months, ms) = match value {
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
                parts(text).ok_or_else(|| {
                    exec_datafusion_err!(
                        "time_bucket: {text:?} is no width; write '15 minutes', '1 hour', '1 day' or '1 month'"
                    )
                })?
            }
            ScalarValue::IntervalMonthDayNano(Some(interval)) => {
                let days = i64::from(interval.days) * MS_PER_DAY;
                (i64::from(interval.months), days + interval.nanoseconds / 1_000_000)
            }
            ScalarValue::IntervalDayTime(Some(interval)) => {
                (0, i64::from(interval.days) * MS_PER_DAY + i64::from(interval.milliseconds))
            }
            ScalarValue::IntervalYearMonth(Some(months)) => (i64::from(*months), 0),
            _ => return exec_err!("time_bucket: the width is NULL"),
        };
        match (months, ms) {
            (0, 1..) => Ok(Width::Ms(ms)),
            (1.., 0) => Ok(Width::Months(months)),
            (0, _) | (_, 0) => exec_err!("time_bucket: the width must be more than nothing"),
            _ => exec_err!("time_bucket: months and days cannot be mixed, as months differ in length"),
        }
    }
}

/// Months and milliseconds of a text such as `1 day 6 hours`.
fn parts(text: &str) -> Option<(i64, i64)> {
    let spaced = text.trim().to_lowercase();
    let mut words = spaced.split_whitespace().peekable();
    let mut sum = (0_i64, 0_i64);
    words.peek()?;
    while let Some(word) = words.next() {
        let letters = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
        let (number, unit) = word.split_at(letters);
        let unit = if unit.is_empty() { words.next()? } else { unit };
        let (months, ms) = unit_of(unit).or_else(|| unit_of(unit.strip_suffix('s')?))?;
        let number: i64 = number.parse().ok()?;
        sum.0 = sum.0.checked_add(number.checked_mul(months)?)?;
        sum.1 = sum.1.checked_add(number.checked_mul(ms)?)?;
    }
    Some(sum)
}

fn unit_of(unit: &str) -> Option<(i64, i64)> {
    Some(match unit {
        "ms" | "millisecond" => (0, 1),
        "s" | "sec" | "second" => (0, 1_000),
        "m" | "min" | "minute" => (0, 60_000),
        "h" | "hour" => (0, 3_600_000),
        "d" | "day" => (0, MS_PER_DAY),
        "w" | "week" => (0, 7 * MS_PER_DAY),
        "month" => (1, 0),
        "quarter" => (3, 0),
        "y" | "year" => (12, 0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_read_in_words() {
        assert_eq!(parts("15 minutes"), Some((0, 900_000)));
        assert_eq!(parts("1 day 6 hours"), Some((0, 108_000_000)));
        assert_eq!(parts("90s"), Some((0, 90_000)));
        assert_eq!(parts("2 years"), Some((24, 0)));
        for nonsense in ["", "minutes", "1", "1 moon", "x minutes", "9999999999999999999 s", "99999999999999999 weeks"]
        {
            assert_eq!(parts(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn months_begin_on_their_first_day() {
        let day = |year, month, day| first_day(year, month) + day - 1;
        assert_eq!(first_day(1970, 1), 0);
        assert_eq!(month_start(day(2026, 5, 28), 1), first_day(2026, 5));
        assert_eq!(month_start(day(2026, 5, 28), 3), first_day(2026, 4));
        assert_eq!(month_start(day(1999, 12, 31), 12), first_day(1999, 1));
        assert_eq!(month_start(day(2024, 2, 29), 1), first_day(2024, 2));
    }

    #[test]
    fn weeks_begin_on_monday() {
        // 2026-05-28 is a Thursday.
        let thursday = first_day(2026, 5) + 27;
        let times: ArrayRef =
            Arc::new(PrimitiveArray::<TimestampMillisecondType>::from(vec![thursday * MS_PER_DAY + 5]));
        let weeks = bucket(Width::Ms(7 * MS_PER_DAY), &times).unwrap();
        assert_eq!(weeks.as_primitive::<TimestampMillisecondType>().value(0), (thursday - 3) * MS_PER_DAY);
    }
}
