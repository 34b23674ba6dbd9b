//! Times as text: RFC 3339 with milliseconds, `Z` for those that have a zone. Written by hand because an answer may
//! have millions of them.

const MS_PER_DAY: i64 = 86_400_000;

/// Appends a date, `2026-05-28`.
pub(super) fn date(days: i64, out: &mut String) {
    let (year, month, day) = civil(days);
    if !(0..=9999).contains(&year) {
        // ISO 8601 wants a sign where a year has not four digits.
        out.push(if year < 0 { '-' } else { '+' });
    }
    digits(year.unsigned_abs(), 4, out);
    out.push('-');
    digits(month, 2, out);
    out.push('-');
    digits(day, 2, out);
}

/// Appends a moment of `units` since 1970 with `per_second` of them in a second; at least milliseconds, and more
/// digits only where they are not zero.
pub(super) fn moment(units: i64, per_second: i64, zoned: bool, out: &mut String) {
    let seconds = units.div_euclid(per_second);
    let nanos = units.rem_euclid(per_second) * (1_000_000_000 / per_second);
    date(seconds.div_euclid(MS_PER_DAY / 1000), out);
    out.push('T');
    clock(seconds.rem_euclid(MS_PER_DAY / 1000), nanos, out);
    if zoned {
        out.push('Z');
    }
}

/// Appends a time of day, `10:00:00.000`.
pub(super) fn clock(second_of_day: i64, nanos: i64, out: &mut String) {
    let second = second_of_day.unsigned_abs();
    digits(second / 3600, 2, out);
    out.push(':');
    digits(second / 60 % 60, 2, out);
    out.push(':');
    digits(second % 60, 2, out);
    out.push('.');
    let nanos = nanos.unsigned_abs();
    match nanos {
        _ if nanos.is_multiple_of(1_000_000) => digits(nanos / 1_000_000, 3, out),
        _ if nanos.is_multiple_of(1_000) => digits(nanos / 1_000, 6, out),
        _ => digits(nanos, 9, out),
    }
}

fn digits(number: u64, width: u32, out: &mut String) {
    let mut unit = 10_u64.pow(width - 1);
    while number / 10 >= unit {
        unit *= 10;
    }
    while unit > 0 {
        out.push((b'0' + (number / unit % 10) as u8) as char);
        unit /= 10;
    }
}

/// Year, month and day of a count of days since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u64, day as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ms(ms: i64) -> String {
        let mut out = String::new();
        moment(ms, 1000, true, &mut out);
        out
    }

    #[test]
    fn moments_are_rfc_3339() {
        assert_eq!(of_ms(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(of_ms(1_779_962_400_123), "2026-05-28T10:00:00.123Z");
        assert_eq!(of_ms(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(of_ms(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(of_ms(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn finer_digits_appear_only_when_there_are_any() {
        let mut out = String::new();
        moment(1_500, 1_000_000, false, &mut out);
        assert_eq!(out, "1970-01-01T00:00:00.001500");
    }

    proptest::proptest! {
        #[test]
        fn written_moments_read_back(ms in -62_135_596_800_000_i64..253_402_300_799_999) {
            proptest::prop_assert_eq!(drover_model::parse_time(&of_ms(ms)).unwrap(), ms);
        }
    }
}
