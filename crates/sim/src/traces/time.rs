//! Times as trace files write them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Numbers from here on are milliseconds, smaller ones seconds: as milliseconds it is March 1973, as seconds the year
/// 5138.
const SMALLEST_MS: f64 = 1e11;

/// Milliseconds since 1970 UTC, or `None` for an empty cell. Understands epoch seconds or milliseconds, RFC 3339
/// (also with a space instead of `T`), and date and time without an offset, which are taken as UTC.
pub(super) fn parse(cell: &str) -> Result<Option<i64>, String> {
    let cell = cell.trim();
    if cell.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = cell.parse::<f64>() {
        return from_number(number).map(Some).ok_or_else(|| format!("time is out of range: '{cell}'"));
    }
    let with_offset = cell.parse::<Timestamp>().ok();
    let in_utc = || TimeZone::UTC.to_timestamp(cell.parse::<DateTime>().ok()?).ok();
    let time = with_offset.or_else(in_utc).ok_or_else(|| format!("time is not understood: '{cell}'"))?;
    Ok(Some(time.as_millisecond()))
}

/// Epoch seconds or milliseconds, told apart by size.
pub(super) fn from_number(number: f64) -> Option<i64> {
    let ms = if number.abs() >= SMALLEST_MS { number } else { number * 1000.0 };
    Timestamp::from_millisecond(ms.round() as i64).ok().filter(|_| ms.is_finite()).map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_is_understood_in_every_spelling() {
        for spelling in [
            "1425744214000",
            "1425744214",
            "1425744214.000",
            "2015-03-07T10:03:34-06:00",
            "2015-03-07T16:03:34Z",
            "2015-03-07 16:03:34.000+00:00",
            "2015-03-07 16:03:34",
        ] {
            assert_eq!(parse(spelling), Ok(Some(1_425_744_214_000)), "{spelling}");
        }
    }

    #[test]
    fn nonsense_is_an_error_and_nothing_is_none() {
        assert_eq!(parse(" "), Ok(None));
        assert!(parse("yesterday").is_err());
        assert!(parse("2015-02-30T00:00:00Z").is_err());
        assert!(parse("1e300").is_err());
        assert!(parse("NaN").is_err());
    }
}
