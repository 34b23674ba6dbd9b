//! Times are 64-bit milliseconds since 1970 UTC inside, RFC 3339 or epoch milliseconds outside.

use jiff::Timestamp;

/// Why a time could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time; send RFC 3339 with an offset (2026-01-31T12:00:00Z) or epoch milliseconds")]
pub struct TimeError(String);

/// Reads RFC 3339 with an offset, or epoch milliseconds written as digits. Returns ms UTC;
/// fractions below a millisecond are cut.
pub fn parse_time(text: &str) -> Result<i64, TimeError> {
    let text = text.trim();
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    // The date-time parser also reads durations of years that no clock means; bound the length first.
    let short = text.len() <= 40;
    let time = short.then(|| text.parse::<Timestamp>().ok()).flatten();
    time.map(|t| t.as_millisecond()).ok_or_else(|| TimeError(text.chars().take(40).collect()))
}

/// Appends `ms` as RFC 3339 in UTC, with three digits of milliseconds, or none where they are zero.
/// Times that no calendar reaches are written as the number.
pub fn format_time(ms: i64, out: &mut String) {
    use std::fmt::Write;
    let written = match Timestamp::from_millisecond(ms) {
        Ok(time) if ms % 1000 == 0 => write!(out, "{time}"),
        Ok(time) => write!(out, "{time:.3}"),
        Err(_) => write!(out, "{ms}"),
    };
    written.expect("writing to a String cannot fail");
}
