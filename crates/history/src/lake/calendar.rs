//! Days and times as the lake has them: days since 1970 for partitions, texts for the catalogue. UTC, the proleptic
//! Gregorian calendar; the two conversions are those of Howard Hinnant's "chrono-compatible low-level date algorithms".

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// The day on which a time lies, days since 1970-01-01. Times that no calendar means stop at the ends of the range.
pub(crate) fn day_of(time_ms: i64) -> i32 {
    time_ms.div_euclid(DAY_MS).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// Year, month from 1, day from 1.
pub(crate) fn civil(day: i32) -> (i64, u32, u32) {
    let day = i64::from(day) + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month as u32, of_month as u32)
}

/// The inverse of [`civil`].
pub(crate) fn day_of_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A time as the catalogue writes it: `2026-05-28 10:00:00.25+00`.
pub(crate) fn time_text(time_ms: i64) -> String {
    let (year, month, day) = civil(day_of(time_ms));
    let ms = time_ms.rem_euclid(DAY_MS);
    let (seconds, fraction) = (ms / 1000, ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let whole = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    match fraction {
        0 => format!("{whole}+00"),
        fraction => format!("{whole}.{}+00", format!("{fraction:03}").trim_end_matches('0')),
    }
}

/// Reads what [`time_text`] writes, also with finer fractions, which are cut.
pub(crate) fn parse_time_text(text: &str) -> Option<i64> {
    let (date, clock) = text.strip_suffix("+00")?.split_once(' ')?;
    let (year_and_month, day) = date.rsplit_once('-')?;
    let (year, month) = year_and_month.rsplit_once('-')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let fraction: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let day = day_of_civil(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    Some(day * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_have_their_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(-1), (1969, 12, 31));
        assert_eq!(civil(20_601), (2026, 5, 28));
        assert_eq!(civil(11_016), (2000, 2, 29));
    }

    #[test]
    fn days_and_texts_return_what_went_in() {
        for day in (-800_000..800_000).step_by(37) {
            let (year, month, of_month) = civil(day);
            assert_eq!(day_of_civil(year, month, of_month), i64::from(day));
        }
        for time in [0, 1, 999, 1_779_962_400_250, 946_684_800_000, 1_779_962_400_000] {
            assert_eq!(parse_time_text(&time_text(time)), Some(time), "{}", time_text(time));
        }
        assert_eq!(time_text(1_779_962_400_250), "2026-05-28 10:00:00.25+00");
        assert_eq!(parse_time_text("2026-11-21 06:28:18.050288+00"), parse_time_text("2026-11-21 06:28:18.05+00"));
        assert_eq!(parse_time_text("yesterday"), None);
    }
}
