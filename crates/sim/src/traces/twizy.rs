//! The Renault Twizy data set of Rabat (2021, about one row a second). The file name is `CAR_DATE[_NUMBER]`, so the
//! asset is its first word. Date and time are taken as the local time of Morocco: drives start between nine and five
//! by that reading, and the set names no zone. Morocco keeps UTC+1 but UTC+0 in Ramadan, which the zone database
//! knows.

use csv::StringRecord;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use super::csv_rows::{number, text};
use crate::report::{Kind, Reading, Report};

static MOROCCO: TimeZone = jiff::tz::get!("Africa/Casablanca");

/// Columns after the position, with the names under which they are sent.
const READINGS: [(usize, &str); 9] = [
    (4, "mode"),
    (7, "altitude_m"),
    (8, "gps_speed"),
    (9, "temperature"),
    (10, "humidity"),
    (11, "weather"),
    (12, "wind_speed"),
    (13, "traffic"),
    (14, "speed_limit"),
];

/// `T1_03_29_2021` is a day of car `twizy-T1`.
pub(super) fn vehicle_id(file: &str) -> String {
    format!("twizy-{}", file.split('_').next().unwrap_or(file))
}

/// Columns: Date, Time, Soc (%), Speed (km/h), Mode, LAT, LON, ALT, GpsSpeed, weather, Traffic, SpeedLimit (km/h).
pub(super) fn report(id: &str, cells: &StringRecord) -> Result<Report, String> {
    if cells.len() != 15 {
        return Err(format!("{} fields instead of 15", cells.len()));
    }
    let mut report = Report::new(Kind::Vehicle, id.to_owned());
    report.event_time_ms = Some(event_time_ms(&cells[0], &cells[1])?);
    report.battery_pct = number(cells, 2, "Soc")?;
    report.speed_kmh = number(cells, 3, "Speed")?;
    report.latitude = number(cells, 5, "LAT")?;
    report.longitude = number(cells, 6, "LON")?;
    let reading =
        |&(column, name): &(usize, &'static str)| Some((name.into(), Reading::from_cell(text(cells, column)?)));
    report.readings = READINGS.iter().filter_map(reading).collect();
    Ok(report)
}

/// `MM/DD/YYYY` (leading zeros optional) and `HH:MM:SS`, local.
fn event_time_ms(date: &str, time: &str) -> Result<i64, String> {
    let wrong = |what: &str, found: &str| format!("{what} is not valid: '{found}'");
    let numbers: Option<Vec<i16>> = date.split('/').map(|part| part.parse().ok()).collect();
    let day = match numbers.as_deref() {
        Some(&[month, day, year]) => i8::try_from(month)
            .ok()
            .zip(i8::try_from(day).ok())
            .and_then(|(month, day)| Date::new(year, month, day).ok()),
        _ => None,
    };
    let day = day.ok_or_else(|| wrong("date", date))?;
    let time: Time = time.parse().map_err(|_| wrong("time", time))?;
    let local = MOROCCO.to_timestamp(day.to_datetime(time)).map_err(|_| wrong("date", date))?;
    Ok(local.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_of_morocco_is_an_hour_ahead_except_in_ramadan() {
        assert_eq!(event_time_ms("03/29/2021", "11:13:45"), Ok(1_617_012_825_000)); // 10:13:45 UTC
        assert_eq!(event_time_ms("04/22/2021", "09:02:42"), Ok(1_619_082_162_000)); // 09:02:42 UTC
        assert_eq!(event_time_ms("6/7/2021", "16:06:28"), Ok(1_623_078_388_000)); // 15:06:28 UTC
    }

    #[test]
    fn a_date_that_never_was_is_an_error() {
        assert_eq!(event_time_ms("02/00/2060", "11:13:45"), Err("date is not valid: '02/00/2060'".into()));
        assert!(event_time_ms("258/1/2021", "11:13:45").is_err());
    }
}
