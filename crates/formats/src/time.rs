//! Times as files write them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

/// Numbers from here on are milliseconds, smaller ones seconds: as milliseconds it is March 1973, as seconds the year
/// 5138. The same step leads to microseconds and to nanoseconds.
const SMALLEST_MS: f64 = 1e11;
const SMALLEST_US: f64 = 1e14;
const SMALLEST_NS: f64 = 1e17;
/// Longer texts are no times. The parser also reads durations of years that no clock means.
const MAX_BYTES: usize = 64;

/// How the times of one file are to be read.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// Where times without an offset are local.
    pub(crate) zone: TimeZone,
    /// `strptime` format where times are in none of the usual forms.
    pub(crate) format: Option<String>,
}

impl Clock {
    /// Milliseconds since 1970 UTC. Understands the given format, else epoch seconds, milliseconds, microseconds or
    /// nanoseconds, RFC 3339 (also with a space instead of `T`), and date and time without an offset.
    pub(crate) fn read(&self, cell: &str) -> Result<i64, String> {
        let unclear = || format!("time is not understood: {:?}", shortened(cell));
        if cell.len() > MAX_BYTES {
            return Err(unclear());
        }
        if let Some(format) = &self.format {
            return self.read_as(format, cell).ok_or_else(|| format!("{} by the format {format:?}", unclear()));
        }
        if cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && let Ok(number) = cell.parse()
        {
            return from_number(number).ok_or_else(|| format!("time is out of range: {cell:?}"));
        }
        let with_offset = cell.parse::<Timestamp>().ok();
        let local = || self.zone.to_timestamp(cell.parse::<DateTime>().ok()?).ok();
        with_offset.or_else(local).map(Timestamp::as_millisecond).ok_or_else(unclear)
    }

    fn read_as(&self, format: &str, cell: &str) -> Option<i64> {
        let time = BrokenDownTime::parse(format, cell).ok()?;
        let exact = time.to_timestamp().ok();
        let local = || self.zone.to_timestamp(time.to_datetime().ok()?).ok();
        exact.or_else(local).map(Timestamp::as_millisecond)
    }
}

/// Epoch seconds, milliseconds, microseconds or nanoseconds, told apart by size.
pub(crate) fn from_number(number: f64) -> Option<i64> {
    let ms = match number.abs() {
        size if size >= SMALLEST_NS => number / 1e6,
        size if size >= SMALLEST_US => number / 1e3,
        size if size >= SMALLEST_MS => number,
        _ => number * 1e3,
    };
    Timestamp::from_millisecond(ms.round() as i64).ok().filter(|_| ms.is_finite()).map(Timestamp::as_millisecond)
}

/// Enough of a cell to be found again.
pub(crate) fn shortened(cell: &str) -> String {
    cell.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc() -> Clock {
        Clock { zone: TimeZone::UTC, format: None }
    }

    #[test]
    fn one_moment_is_understood_in_every_spelling() {
        for spelling in [
            "1425744214000",
            "1425744214",
            "1425744214.000",
            "1425744214000000",
            "1425744214000000000",
            "2015-03-07T10:03:34-06:00",
            "2015-03-07T16:03:34Z",
            "2015-03-07 16:03:34.000+00:00",
            "2015-03-07 16:03:34",
        ] {
            assert_eq!(utc().read(spelling), Ok(1_425_744_214_000), "{spelling}");
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        for nonsense in ["yesterday", "2015-02-30T00:00:00Z", "1e300", "NaN", "", "2015", &"9".repeat(300)] {
            assert!(utc().read(nonsense).is_err() || nonsense == "2015", "{nonsense}");
        }
    }

    #[test]
    fn a_time_without_an_offset_is_local() {
        let maceio = Clock { zone: TimeZone::get("America/Maceio").unwrap(), format: None };
        assert_eq!(maceio.read("2014-09-13 13:37:54"), Ok(1_410_626_274_000)); // 16:37:54 UTC
        assert_eq!(maceio.read("2014-09-13T13:37:54Z"), Ok(1_410_615_474_000));
    }

    #[test]
    fn a_given_format_goes_before_guessing() {
        let format = Some("%d.%m.%Y %H:%M:%S".to_owned());
        let berlin = Clock { zone: TimeZone::get("Europe/Berlin").unwrap(), format };
        assert_eq!(berlin.read("07.03.2015 17:03:34"), Ok(1_425_744_214_000));
        assert!(berlin.read("2015-03-07T16:03:34Z").unwrap_err().contains("by the format"));
    }
}
