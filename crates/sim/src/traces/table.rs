//! CSV of any origin: columns are found by the names that such files use. What is no known column becomes a reading.
//! Speeds are taken as km/h and times without an offset as UTC, since a header says neither.

use std::borrow::Cow;

use csv::StringRecord;

use super::csv_rows::{number, text};
use super::time;
use crate::report::{Kind, Reading, Report};

/// Columns whose name also says what the asset is, in order of preference.
const IDS: [(&str, Option<Kind>); 12] = [
    ("vehicle_id", Some(Kind::Vehicle)),
    ("vehicleid", Some(Kind::Vehicle)),
    ("driver_id", Some(Kind::Driver)),
    ("driverid", Some(Kind::Driver)),
    ("station_id", Some(Kind::Station)),
    ("rider_id", Some(Kind::Rider)),
    ("asset_id", None),
    ("device_id", None),
    ("id", None),
    ("track_id", None),
    ("trackid", None),
    ("trip_id", None),
];
const LATITUDES: [&str; 3] = ["latitude", "lat", "position_lat"];
const LONGITUDES: [&str; 5] = ["longitude", "lng", "lon", "long", "position_long"];
const TIMES: [&str; 5] = ["timestamp", "time", "event_time", "datetime", "date_time"];

/// Where the columns of one file are.
pub(super) struct Table {
    kind: Option<Kind>,
    name: String,
    width: usize,
    kind_column: Option<usize>,
    id: Option<usize>,
    time: Option<usize>,
    latitude: Option<usize>,
    longitude: Option<usize>,
    point: Option<usize>,
    speed: Option<usize>,
    heading: Option<usize>,
    accuracy: Option<usize>,
    battery: Option<usize>,
    status: Option<usize>,
    order: Option<usize>,
    city: Option<usize>,
    readings: Vec<(usize, String)>,
}

impl Table {
    /// Finds the columns. `name` is the id of the asset if no column holds one.
    ///
    /// # Errors
    /// When the header names neither a position nor an id: then it is no header of reports.
    pub(super) fn new(header: &StringRecord, name: &str) -> Result<Table, String> {
        let mut names: Vec<String> = header.iter().map(plain).collect();
        let width = names.len();
        let mut take = |wanted: &[&str]| {
            let column = wanted.iter().find_map(|wanted| names.iter().position(|name| name == wanted))?;
            names[column].clear();
            Some(column)
        };
        let id = IDS.iter().find_map(|&(name, kind)| Some((take(&[name])?, kind)));
        let mut table = Table {
            kind: id.and_then(|(_, kind)| kind),
            name: name.to_owned(),
            width,
            kind_column: take(&["kind"]),
            id: id.map(|(column, _)| column),
            time: take(&TIMES),
            latitude: take(&LATITUDES),
            longitude: take(&LONGITUDES),
            point: take(&["geometry", "wkt"]),
            speed: take(&["speed", "speed_kmh"]),
            heading: take(&["heading", "heading_deg", "bearing", "course"]),
            accuracy: take(&["accuracy", "accuracy_m"]),
            battery: take(&["battery_pct", "soc"]),
            status: take(&["status"]),
            order: take(&["order_id"]),
            city: take(&["city"]),
            readings: Vec::new(),
        };
        if table.id.is_none() && table.point.is_none() && (table.latitude.is_none() || table.longitude.is_none()) {
            return Err(
                "the header names no position (latitude, longitude) and no id (vehicle_id, driver_id, id)".into()
            );
        }
        table.readings = names.into_iter().enumerate().filter(|(_, name)| !name.is_empty()).collect();
        Ok(table)
    }

    /// Understands one row.
    pub(super) fn report(&self, cells: &StringRecord) -> Result<Report, String> {
        if cells.len() != self.width {
            return Err(format!("{} fields instead of {}", cells.len(), self.width));
        }
        let cell = |column: Option<usize>| column.and_then(|column| text(cells, column));
        let value = |column: Option<usize>, name| column.map_or(Ok(None), |column| number(cells, column, name));
        let owned = |column| cell(column).map(|text: &str| Cow::Owned(text.to_owned()));
        let id = if self.id.is_some() { cell(self.id).unwrap_or_default() } else { &self.name };
        let mut report = Report::new(self.kind(cell(self.kind_column))?, id.to_owned());
        report.event_time_ms = time::parse(cell(self.time).unwrap_or_default())?;
        report.latitude = value(self.latitude, "latitude")?;
        report.longitude = value(self.longitude, "longitude")?;
        if let Some(point) = cell(self.point) {
            let (longitude, latitude) = wkt_point(point).ok_or_else(|| format!("not a point: '{point}'"))?;
            (report.latitude, report.longitude) = (Some(latitude), Some(longitude));
        }
        report.speed_kmh = value(self.speed, "speed")?;
        report.heading_deg = value(self.heading, "heading")?;
        report.accuracy_m = value(self.accuracy, "accuracy")?;
        report.battery_pct = value(self.battery, "battery")?;
        report.status = owned(self.status);
        report.order_id = owned(self.order);
        report.city = owned(self.city);
        let reading =
            |(column, name): &(usize, String)| Some((name.clone().into(), Reading::from_cell(text(cells, *column)?)));
        report.readings = self.readings.iter().filter_map(reading).collect();
        Ok(report)
    }

    fn kind(&self, named: Option<&str>) -> Result<Kind, String> {
        match named {
            Some(name) => Kind::from_name(name).ok_or_else(|| format!("unknown kind: '{name}'")),
            None => Ok(self.kind.unwrap_or(Kind::Vehicle)),
        }
    }
}

/// Header names in lower case with `_` for whatever separates words.
fn plain(name: &str) -> String {
    let name = name.trim_start_matches('\u{feff}').trim().to_ascii_lowercase();
    name.replace([' ', '-', '.'], "_")
}

/// `POINT (11.9 50.3)`: longitude, latitude.
fn wkt_point(text: &str) -> Option<(f64, f64)> {
    let inside = text.trim().strip_prefix("POINT")?.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (longitude, latitude) = inside.trim().split_once(' ')?;
    Some((longitude.trim().parse().ok()?, latitude.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &[&str], row: &[&str]) -> Result<Report, String> {
        Table::new(&StringRecord::from(header), "file")?.report(&StringRecord::from(row))
    }

    #[test]
    fn columns_are_found_under_any_of_their_names() {
        let report =
            read(&["Driver-ID", "LAT", "lng", "time", "doors"], &["7", "1.5", "2.5", "1425744214", "true"]).unwrap();
        assert_eq!((report.kind, &*report.id, report.event_time_ms), (Kind::Driver, "7", Some(1_425_744_214_000)));
        assert_eq!((report.latitude, report.longitude), (Some(1.5), Some(2.5)));
        assert_eq!(report.readings, [("doors".into(), Reading::Bool(true))]);
    }

    #[test]
    fn a_file_without_ids_is_one_vehicle_of_its_own_name() {
        let report = read(&["geometry"], &["POINT (11.9 50.3)"]).unwrap();
        assert_eq!((report.kind, &*report.id), (Kind::Vehicle, "file"));
        assert_eq!((report.latitude, report.longitude), (Some(50.3), Some(11.9)));
    }

    #[test]
    fn a_row_that_cannot_be_understood_says_why() {
        let header = ["id", "lat", "lon"];
        assert_eq!(read(&header, &["1", "north", "2"]), Err("latitude is not a number: 'north'".into()));
        assert_eq!(read(&header, &["1", "2"]), Err("2 fields instead of 3".into()));
        assert!(read(&["name", "colour"], &["a", "b"]).unwrap_err().contains("names no position"));
    }
}
