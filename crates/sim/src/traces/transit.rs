//! City buses as Capital Metro of Austin published them, one CSV per service day. Times are RFC 3339 with offset. The
//! speed column changed its unit without notice: from 2016 on it holds metres per second (every value is a multiple
//! of 0.44704, one mile per hour), in 2015 miles per hour (two decimals, 98 of 100 rows below 38; only so are the
//! buses of both years equally fast). The year of the row decides.

use csv::StringRecord;

use super::csv_rows::{number, text};
use super::time;
use crate::report::{Kind, Reading, Readings, Report};

const KMH_PER_MPH: f64 = 1.609_344;
const KMH_PER_METRE_PER_SECOND: f64 = 3.6;

/// Columns: vehicle_id, timestamp, speed, route_id, trip_id, latitude, longitude, trip_headsign.
pub(super) fn report(cells: &StringRecord) -> Result<Report, String> {
    if cells.len() != 8 {
        return Err(format!("{} fields instead of 8", cells.len()));
    }
    let mut report = Report::new(Kind::Vehicle, cells[0].to_owned());
    report.event_time_ms = time::parse(&cells[1])?;
    report.speed_kmh = number(cells, 2, "speed")?.map(|speed| speed * speed_unit_kmh(&cells[1]));
    report.latitude = number(cells, 5, "latitude")?;
    report.longitude = number(cells, 6, "longitude")?;
    report.readings = readings(cells);
    Ok(report)
}

fn speed_unit_kmh(timestamp: &str) -> f64 {
    if timestamp < "2016" { KMH_PER_MPH } else { KMH_PER_METRE_PER_SECOND }
}

/// Routes and trips are names that happen to be digits, so they stay text.
fn readings(cells: &StringRecord) -> Readings {
    let named = [("route_id", 3), ("trip_id", 4), ("trip_headsign", 7)];
    let reading =
        |(name, column): (&'static str, usize)| Some((name.into(), Reading::Text(text(cells, column)?.into())));
    named.into_iter().filter_map(reading).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(timestamp: &str, speed: &str) -> f64 {
        let row = ["2010", timestamp, speed, "320", "1388007", "30.2", "-97.7", ""];
        report(&StringRecord::from(row.as_slice())).unwrap().speed_kmh.unwrap()
    }

    #[test]
    fn speed_is_miles_per_hour_in_2015_and_metres_per_second_later() {
        assert!((speed("2015-06-07T08:15:59-05:00", "30") - 48.28032).abs() < 1e-9);
        assert!((speed("2016-02-07T00:02:23-06:00", "12.96416") - 46.670976).abs() < 1e-9);
    }
}
