//! Tables of any origin: columns are found by the names that such files use, or by the profile. What is no known column
//! becomes a reading.

use crate::Parsed;
use crate::profile::{Plan, SpeedUnit};
use crate::time::shortened;
use drover_model::{Draft, Kind, Reading, Readings, Reject, RejectCode};
use std::borrow::Cow;

/// Columns whose name also says what the asset is, in order of preference.
const IDS: [(&str, Option<Kind>); 19] = [
    ("vehicle_id", Some(Kind::Vehicle)),
    ("vehicleid", Some(Kind::Vehicle)),
    ("driver_id", Some(Kind::Driver)),
    ("driverid", Some(Kind::Driver)),
    ("station_id", Some(Kind::Station)),
    ("stationid", Some(Kind::Station)),
    ("rider_id", Some(Kind::Rider)),
    ("bus_id", Some(Kind::Vehicle)),
    ("car_id", Some(Kind::Vehicle)),
    ("truck_id", Some(Kind::Vehicle)),
    ("asset_id", None),
    ("device_id", None),
    ("deviceid", None),
    ("unit_id", None),
    ("imei", None),
    ("id", None),
    ("track_id", None),
    ("trackid", None),
    ("trip_id", None),
];
/// Other names of fields, in order of preference.
const ALIASES: [(&str, &[&str]); 12] = [
    ("kind", &["kind", "asset_kind"]),
    (
        "time",
        &[
            "timestamp",
            "time",
            "event_time",
            "eventtime",
            "datetime",
            "date_time",
            "recorded_at",
            "gps_time",
            "fix_time",
            "fixtime",
            "devicetime",
            "device_time",
            "time_utc",
            "utc_time",
            "ts",
            "utc",
        ],
    ),
    ("date", &["date", "day"]),
    ("latitude", &["latitude", "lat", "position_lat", "gps_lat", "gps_latitude", "y"]),
    (
        "longitude",
        &["longitude", "lng", "lon", "long", "position_long", "position_lon", "gps_lon", "gps_longitude", "x"],
    ),
    ("point", &["geometry", "wkt", "geom"]),
    ("heading", &["heading", "heading_deg", "bearing", "course", "azimuth"]),
    ("accuracy", &["accuracy", "accuracy_m", "horizontal_accuracy"]),
    ("battery", &["battery_pct", "battery", "battery_level", "soc"]),
    ("status", &["engine_status", "status"]),
    ("order_id", &["order_id", "orderid"]),
    ("city", &["city"]),
];

/// One row, cut into cells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells<'a> {
    pub(crate) text: &'a str,
    pub(crate) ends: &'a [usize],
}

impl<'a> Cells<'a> {
    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    /// The cell as text; missing and empty are the same.
    fn get(&self, column: usize) -> Option<&'a str> {
        let end = *self.ends.get(column)?;
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        // The state machine cuts at ASCII bytes, so the ends lie between characters.
        Some(self.text[start..end].trim()).filter(|cell| !cell.is_empty())
    }
}

/// Where the columns of one file are, and how to read them.
pub(crate) struct Table {
    plan: Plan,
    kind: Kind,
    width: usize,
    kind_column: Option<usize>,
    id: Option<usize>,
    time: Option<usize>,
    date: Option<usize>,
    latitude: Option<usize>,
    longitude: Option<usize>,
    point: Option<usize>,
    speed: Option<usize>,
    speed_unit: SpeedUnit,
    heading: Option<usize>,
    accuracy: Option<usize>,
    battery: Option<usize>,
    status: Option<usize>,
    order: Option<usize>,
    city: Option<usize>,
    readings: Vec<(usize, String, Meaning)>,
}

/// What a column's cells may be read as.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meaning {
    /// Numbers, yes or no, else text.
    Any,
    /// Names that happen to be digits: ids stay text.
    Text,
}

impl Table {
    /// Finds the columns, or says why these names are no header of telemetry.
    pub(crate) fn new(header: &Cells<'_>, plan: Plan) -> Result<Table, String> {
        let names = (0..header.count()).map(|column| header.get(column).unwrap_or_default().to_owned()).collect();
        Table::of_names(names, plan)
    }

    /// As [`Table::new`], of columns whose names are known otherwise.
    pub(crate) fn of_names(names: Vec<String>, plan: Plan) -> Result<Table, String> {
        let plan = with_known_header(&names, plan);
        let mut columns = Columns::new(names, &plan)?;
        let id = columns.id()?;
        let (speed, named_unit) = columns.speed()?;
        let table = Table {
            kind: plan.kind.or(id.and_then(|(_, kind)| kind)).unwrap_or(Kind::Vehicle),
            width: columns.names.len(),
            kind_column: columns.take("kind")?,
            id: id.map(|(column, _)| column),
            time: columns.take("time")?,
            date: columns.take("date")?,
            latitude: columns.take("latitude")?,
            longitude: columns.take("longitude")?,
            point: columns.take("point")?,
            speed,
            speed_unit: plan.speed_unit.or(named_unit).unwrap_or(SpeedUnit::Kmh),
            heading: columns.take("heading")?,
            accuracy: columns.take("accuracy")?,
            battery: columns.take("battery")?,
            status: columns.take("status")?,
            order: columns.take("order_id")?,
            city: columns.take("city")?,
            readings: columns.rest(),
            plan,
        };
        if table.id.is_none() && table.point.is_none() && (table.latitude.is_none() || table.longitude.is_none()) {
            return Err("the header names no position (latitude, longitude) and no id (vehicle_id, driver_id, id); \
                        say which columns they are"
                .into());
        }
        Ok(table)
    }

    /// Reads the readings of a row.
    pub(crate) fn readings(&self, cells: &Cells<'_>, out: &mut Readings<'_>) -> Result<(), Reject> {
        for (column, name, meaning) in &self.readings {
            if let Some(cell) = cells.get(*column) {
                out.push(name, reading(cell, *meaning))?;
            }
        }
        Ok(())
    }

    /// Understands a row, its readings aside.
    pub(crate) fn draft<'a>(&'a self, cells: Cells<'a>) -> Parsed<'a> {
        if cells.count() != self.width {
            let message = format!("the row has {} cells; the header has {}", cells.count(), self.width);
            return Err(Reject::new(RejectCode::Malformed, "", message));
        }
        let text = |column: Option<usize>| column.and_then(|column| cells.get(column)).map(Cow::Borrowed);
        let value = |column: Option<usize>, field| {
            column.and_then(|column| cells.get(column)).map(|cell| number(cell, field)).transpose()
        };
        let id = if self.id.is_some() { text(self.id) } else { Some(Cow::Borrowed(&*self.plan.id)) };
        let event_time = self.event_time(&cells)?;
        let (latitude, longitude) = match self.point.and_then(|column| cells.get(column)) {
            Some(point) => wkt_point(point)?,
            None => (value(self.latitude, "latitude")?, value(self.longitude, "longitude")?),
        };
        Ok(Draft {
            kind: Some(self.row_kind(&cells)?),
            id,
            event_time,
            latitude,
            longitude,
            accuracy_m: value(self.accuracy, "accuracy")?,
            speed_kmh: value(self.speed, "speed")?.map(|speed| speed * self.unit_at(event_time).kmh()),
            heading_deg: value(self.heading, "heading")?,
            battery_pct: value(self.battery, "battery_pct")?,
            status: text(self.status),
            order_id: text(self.order),
            city: text(self.city),
            readings: Readings::default(),
        })
    }

    fn row_kind(&self, cells: &Cells<'_>) -> Result<Kind, Reject> {
        match self.kind_column.and_then(|column| cells.get(column)) {
            Some(word) => Kind::parse(word).ok_or_else(|| Reject::unknown_kind(word)),
            None => Ok(self.kind),
        }
    }

    fn event_time(&self, cells: &Cells<'_>) -> Result<Option<i64>, Reject> {
        let cell = |column: Option<usize>| column.and_then(|column| cells.get(column));
        let read = |text: &str| {
            let wrong = |message| Reject::new(RejectCode::WrongType, "timestamp", message).with_value(shortened(text));
            self.plan.clock.read(text).map_err(wrong)
        };
        match (cell(self.date), cell(self.time)) {
            (Some(date), Some(time)) => read(&format!("{date} {time}")).map(Some),
            (None, Some(time)) if self.date.is_none() => read(time).map(Some),
            (Some(date), None) if self.time.is_none() => read(date).map(Some),
            _ => Ok(None),
        }
    }

    fn unit_at(&self, event_time: Option<i64>) -> SpeedUnit {
        match (self.plan.earlier_unit, event_time) {
            (Some((until, unit)), Some(time)) if time < until => unit,
            _ => self.speed_unit,
        }
    }
}

/// Data sets that many know are recognised by their headers.
fn with_known_header(names: &[String], plan: Plan) -> Plan {
    let starts = |known: &[&str]| names.len() >= known.len() && known.iter().zip(names).all(|(a, b)| a == b);
    if plan.profile.is_some() {
        plan
    } else if starts(&[
        "vehicle_id",
        "timestamp",
        "speed",
        "route_id",
        "trip_id",
        "latitude",
        "longitude",
        "trip_headsign",
    ]) {
        plan.capmetro()
    } else if starts(&["Date", "Time", "Soc", "Speed", "Mode", "LAT", "LON", "ALT", "GpsSpeed"]) {
        let name = plan.id.clone();
        plan.twizy(&name)
    } else {
        plan
    }
}

/// The columns of a header that nobody has taken yet.
struct Columns {
    names: Vec<String>,
    taken: Vec<bool>,
    said: Vec<(String, usize)>,
    left_out: Vec<String>,
}

impl Columns {
    /// Looks up first what the profile says of the columns.
    fn new(names: Vec<String>, plan: &Plan) -> Result<Columns, String> {
        let mut columns =
            Columns { taken: vec![false; names.len()], names: Vec::new(), said: Vec::new(), left_out: Vec::new() };
        for (field, name) in &plan.columns {
            if name.is_empty() {
                columns.left_out.push(field.clone());
                continue;
            }
            let found =
                names.iter().position(|n| n == name).or_else(|| names.iter().position(|n| plain(n) == plain(name)));
            let column = found.ok_or_else(|| {
                format!("there is no column {name:?} for {field}; the header has {}", names.join(", "))
            })?;
            columns.taken[column] = true;
            columns.said.push((field.clone(), column));
        }
        columns.names = names.iter().map(|name| plain(name)).collect();
        Ok(columns)
    }

    fn said(&self, field: &str) -> Option<usize> {
        self.said.iter().find(|(said, _)| said == field).map(|(_, column)| *column)
    }

    fn find(&mut self, wanted: &str) -> Option<usize> {
        let column = self.names.iter().zip(&self.taken).position(|(name, taken)| !taken && name == wanted)?;
        self.taken[column] = true;
        Some(column)
    }

    fn take(&mut self, field: &str) -> Result<Option<usize>, String> {
        if let Some(column) = self.said(field) {
            return Ok(Some(column));
        }
        if self.left_out.iter().any(|left| left == field) {
            return Ok(None);
        }
        let aliases = ALIASES.iter().find(|(name, _)| *name == field).map_or(&[][..], |(_, aliases)| aliases);
        Ok(aliases.iter().find_map(|name| self.find(name)))
    }

    fn id(&mut self) -> Result<Option<(usize, Option<Kind>)>, String> {
        if let Some(column) = self.said("id") {
            return Ok(Some((column, None)));
        }
        if self.left_out.iter().any(|left| left == "id") {
            return Ok(None);
        }
        Ok(IDS.iter().find_map(|(name, kind)| Some((self.find(name)?, *kind))))
    }

    /// The column of speeds, with the unit that its name tells.
    fn speed(&mut self) -> Result<(Option<usize>, Option<SpeedUnit>), String> {
        let unit_of = |name: &str| name.strip_prefix("speed_").and_then(SpeedUnit::parse);
        if let Some(column) = self.said("speed") {
            return Ok((Some(column), unit_of(&self.names[column])));
        }
        if self.left_out.iter().any(|left| left == "speed") {
            return Ok((None, None));
        }
        if let Some(column) = self.find("speed") {
            return Ok((Some(column), None));
        }
        let named = self.names.iter().zip(&self.taken).position(|(name, taken)| !taken && unit_of(name).is_some());
        if let Some(column) = named {
            self.taken[column] = true;
        }
        Ok((named, named.and_then(|column| unit_of(&self.names[column]))))
    }

    /// What is left becomes readings.
    fn rest(&self) -> Vec<(usize, String, Meaning)> {
        let free = self.names.iter().zip(&self.taken).enumerate();
        let left = free.filter(|(_, (name, taken))| !**taken && !name.is_empty());
        left.map(|(column, (name, _))| (column, name.chars().take(64).collect(), meaning(name))).collect()
    }
}

fn meaning(name: &str) -> Meaning {
    if name == "id" || name.ends_with("_id") { Meaning::Text } else { Meaning::Any }
}

/// Header names in lower case with one `_` for whatever separates words: `Speed (km/h)` is `speed_km_h`.
fn plain(name: &str) -> String {
    let name = name.trim_start_matches('\u{feff}').trim().to_lowercase();
    let mut plain = String::with_capacity(name.len());
    for c in name.chars() {
        let separates = matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '[' | ']' | '_');
        match separates {
            true if plain.ends_with('_') || plain.is_empty() => {}
            true => plain.push('_'),
            false => plain.push(c),
        }
    }
    plain.truncate(plain.trim_end_matches('_').len());
    plain
}

/// The reading a cell stands for: a finite number, true or false, else text.
fn reading(cell: &str, meaning: Meaning) -> Reading<'_> {
    let numeric = cell.as_bytes()[0].is_ascii_digit() || matches!(cell.as_bytes()[0], b'-' | b'+' | b'.');
    match cell {
        _ if meaning == Meaning::Text => Reading::Text(cell),
        "true" | "TRUE" | "True" => Reading::Bool(true),
        "false" | "FALSE" | "False" => Reading::Bool(false),
        _ if numeric => match cell.parse::<f64>() {
            Ok(number) if number.is_finite() => Reading::Number(number),
            _ => Reading::Text(cell),
        },
        _ => Reading::Text(cell),
    }
}

/// A number, with a point or a comma before the fraction.
fn number(cell: &str, field: &'static str) -> Result<f64, Reject> {
    let parsed = cell.parse::<f64>().ok().or_else(|| cell.replacen(',', ".", 1).parse().ok());
    parsed.filter(|number| number.is_finite()).ok_or_else(|| {
        let message = format!("{field} is the text {:?}; a number is expected", shortened(cell));
        Reject::new(RejectCode::WrongType, field, message).with_value(shortened(cell))
    })
}

/// `POINT (11.9 50.3)`: longitude, latitude. Gives latitude, longitude.
fn wkt_point(text: &str) -> Result<(Option<f64>, Option<f64>), Reject> {
    let inside = |text: &str| {
        let inside = text.trim().strip_prefix("POINT")?.trim().strip_prefix('(')?.strip_suffix(')')?.to_owned();
        let (longitude, latitude) = inside.trim().split_once(' ')?;
        Some((latitude.trim().parse().ok()?, longitude.trim().parse().ok()?))
    };
    let (latitude, longitude) = inside(text).ok_or_else(|| {
        let message = format!("the geometry is {:?}; POINT (longitude latitude) is expected", shortened(text));
        Reject::new(RejectCode::WrongType, "latitude", message).with_value(shortened(text))
    })?;
    Ok((Some(latitude), Some(longitude)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    /// Reads one row under a header, and gives the draft to `look`.
    fn read<T>(header: &str, row: &str, profile: Profile, look: impl Fn(Draft<'_>) -> T) -> Result<T, String> {
        let cut = |line: &str| {
            let ends: Vec<usize> = line
                .split('|')
                .scan(0, |end, cell| {
                    *end += cell.len();
                    Some(*end)
                })
                .collect();
            (line.replace('|', ""), ends)
        };
        let (header, row) = (cut(header), cut(row));
        let cells = |(text, ends): &'_ (String, Vec<usize>)| -> (String, Vec<usize>) { (text.clone(), ends.clone()) };
        let (header, row) = (cells(&header), cells(&row));
        let plan = Plan::of(&profile, "file.csv").map_err(|error| error.to_string())?;
        let table = Table::new(&Cells { text: &header.0, ends: &header.1 }, plan)?;
        let cells = Cells { text: &row.0, ends: &row.1 };
        let mut readings = Readings::default();
        table.readings(&cells, &mut readings).map_err(|reject| reject.message)?;
        let mut draft = table.draft(cells).map_err(|reject| reject.message)?;
        draft.readings = readings;
        Ok(look(draft))
    }

    fn said(columns: &[(&str, &str)]) -> Profile {
        let columns = columns.iter().map(|(field, column)| ((*field).into(), (*column).into())).collect();
        Profile { columns, ..Profile::default() }
    }

    #[test]
    fn columns_are_found_under_any_of_their_names() {
        let row = "7|1.5|2.5|1425744214|true|0042";
        read("Driver-ID|LAT|lng|time|doors|Route ID", row, Profile::default(), |draft| {
            assert_eq!((draft.kind, draft.id.as_deref()), (Some(Kind::Driver), Some("7")));
            assert_eq!(draft.event_time, Some(1_425_744_214_000));
            assert_eq!((draft.latitude, draft.longitude), (Some(1.5), Some(2.5)));
            let readings: Vec<_> = draft.readings.iter().collect();
            assert_eq!(readings, [("doors", Reading::Bool(true)), ("route_id", Reading::Text("0042"))]);
        })
        .unwrap();
    }

    #[test]
    fn speeds_are_read_in_the_unit_that_the_header_or_the_profile_says() {
        let kmh = |header: &str, unit| {
            let profile = Profile { speed_unit: unit, ..Profile::default() };
            let header = format!("id|{header}");
            read(&header, "a|10", profile, |draft| draft.speed_kmh.unwrap()).unwrap()
        };
        for (header, unit, wanted) in [
            ("speed", None, 10.0),
            ("Speed (mph)", None, 16.09344),
            ("speed_ms", None, 36.0),
            ("speed [m/s]", None, 36.0),
            ("Speed.knots", None, 18.52),
            ("speed_kph", None, 10.0),
            ("speed_kmh", Some(SpeedUnit::Mph), 16.09344),
            ("speed", Some(SpeedUnit::Knots), 18.52),
        ] {
            assert!((kmh(header, unit) - wanted).abs() < 1e-9, "{header} {unit:?}");
        }
    }

    #[test]
    fn a_file_without_ids_is_one_vehicle_of_its_own_name() {
        read("geometry", "POINT (11.9 50.3)", Profile::default(), |draft| {
            assert_eq!((draft.kind, draft.id.as_deref()), (Some(Kind::Vehicle), Some("file")));
            assert_eq!((draft.latitude, draft.longitude), (Some(50.3), Some(11.9)));
        })
        .unwrap();
    }

    #[test]
    fn a_profile_says_which_column_is_what() {
        let profile =
            said(&[("id", "Wagen"), ("speed", "v"), ("latitude", "Breite"), ("longitude", "Länge"), ("status", "")]);
        read("Wagen|v|Breite|Länge|status", "a|7,5|50|11|x", profile, |draft| {
            assert_eq!((draft.id.as_deref(), draft.speed_kmh), (Some("a"), Some(7.5)));
            assert_eq!((draft.latitude, draft.status.as_deref()), (Some(50.0), None));
            assert_eq!(draft.readings.iter().next(), Some(("status", Reading::Text("x"))));
        })
        .unwrap();
        let missing = read("id|lat|lon", "1|2|3", said(&[("speed", "v")]), |_| ()).unwrap_err();
        assert_eq!(missing, "there is no column \"v\" for speed; the header has id, lat, lon");
    }

    #[test]
    fn speed_of_austins_buses_is_miles_per_hour_in_2015_and_metres_per_second_later() {
        let speed = |time: &str, speed: &str| {
            let header = "vehicle_id|timestamp|speed|route_id|trip_id|latitude|longitude|trip_headsign";
            let row = format!("2010|{time}|{speed}|320|1388007|30.2|-97.7|");
            read(header, &row, Profile::default(), |draft| draft.speed_kmh.unwrap()).unwrap()
        };
        assert!((speed("2015-06-07T08:15:59-05:00", "30") - 48.28032).abs() < 1e-9);
        assert!((speed("2016-02-07T00:02:23-06:00", "12.96416") - 46.670976).abs() < 1e-9);
    }

    #[test]
    fn local_time_of_morocco_is_an_hour_ahead_except_in_ramadan() {
        let time = |date: &str, time: &str| {
            let header = "Date|Time|Soc|Speed|Mode|LAT|LON|ALT|GpsSpeed";
            let row = format!("{date}|{time}|80|1|N|33.9|-6.7|86|0");
            read(header, &row, Profile::default(), |draft| draft.event_time.unwrap())
        };
        assert_eq!(time("03/29/2021", "11:13:45"), Ok(1_617_012_825_000)); // 10:13:45 UTC
        assert_eq!(time("04/22/2021", "09:02:42"), Ok(1_619_082_162_000)); // 09:02:42 UTC
        assert_eq!(time("6/7/2021", "16:06:28"), Ok(1_623_078_388_000)); // 15:06:28 UTC
        assert!(time("02/00/2060", "11:13:45").is_err());
    }

    #[test]
    fn a_row_that_cannot_be_understood_says_why() {
        let wrong = |header: &str, row: &str| read(header, row, Profile::default(), |_| ()).unwrap_err();
        assert_eq!(wrong("id|lat|lon", "1|north|2"), "latitude is the text \"north\"; a number is expected");
        assert_eq!(wrong("id|lat|lon", "1|2"), "the row has 2 cells; the header has 3");
        assert!(wrong("name|colour", "a|b").contains("names no position"));
        assert!(wrong("id|time", "a|soon").contains("time is not understood: \"soon\""));
    }
}
