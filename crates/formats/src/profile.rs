//! What a person says of a file that the file does not say itself: whose it is, in which units and zone, and which
//! column is what. Named profiles come with Drover for data sets that many know; an operator adds own ones.

use crate::time::Clock;
use drover_model::{Kind, check_id};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A unit of speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpeedUnit {
    /// Kilometres per hour.
    #[serde(rename = "km/h", alias = "kmh", alias = "kph")]
    Kmh,
    /// Miles per hour.
    #[serde(rename = "mph")]
    Mph,
    /// Metres per second.
    #[serde(rename = "m/s", alias = "mps")]
    Mps,
    /// Knots.
    #[serde(rename = "knots", alias = "kn", alias = "kt")]
    Knots,
}

impl SpeedUnit {
    /// What one of it is in km/h. A mile is 1,609.344 m, a nautical mile 1,852 m, both by definition.
    pub const fn kmh(self) -> f64 {
        match self {
            SpeedUnit::Kmh => 1.0,
            SpeedUnit::Mph => 1.609_344,
            SpeedUnit::Mps => 3.6,
            SpeedUnit::Knots => 1.852,
        }
    }

    /// Reads a unit as people and column names write it.
    pub fn parse(word: &str) -> Option<SpeedUnit> {
        Some(match word.to_ascii_lowercase().as_str() {
            "kmh" | "km_h" | "km/h" | "kph" => SpeedUnit::Kmh,
            "mph" | "mi_h" | "mi/h" => SpeedUnit::Mph,
            "mps" | "m_s" | "m/s" | "ms" => SpeedUnit::Mps,
            "knots" | "knot" | "kn" | "kt" | "kts" => SpeedUnit::Knots,
            _ => return None,
        })
    }
}

/// What is said of a file. Everything may be left out: then headers are read by the names that such files use, speeds
/// are km/h unless the column's name says more, and times without an offset are UTC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// A profile to start from: one of the operator's, `capmetro` or `twizy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What reports: driver, vehicle, station, rider, other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The id of the one asset that the file is about, where no column names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Unit of the speed column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_unit: Option<SpeedUnit>,
    /// Zone of times without an offset, as `Europe/Lisbon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How times are written, as `%d.%m.%Y %H:%M:%S`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_format: Option<String>,
    /// Field → column, for columns that are not found by their names. Fields: kind, id, time, date (in front of the
    /// time), latitude, longitude, point, speed, heading, accuracy, battery, status, order_id, city. An empty column
    /// means that the file has none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
}

/// What is wrong with a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ProfileError {
    /// Its field.
    pub field: &'static str,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Fields that a column may be named for.
pub(crate) const FIELDS: [&str; 14] = [
    "kind",
    "id",
    "time",
    "date",
    "latitude",
    "longitude",
    "point",
    "speed",
    "heading",
    "accuracy",
    "battery",
    "status",
    "order_id",
    "city",
];

impl Profile {
    /// The profiles that come with Drover.
    pub const KNOWN: [&'static str; 2] = ["capmetro", "twizy"];

    /// Whether everything in it can be understood, names of other profiles aside.
    pub fn check(&self) -> Result<(), ProfileError> {
        Plan::of(self, "").map(drop)
    }

    /// This profile with what `base` says where it says nothing itself.
    pub fn over(self, base: &Profile) -> Profile {
        let mut columns = base.columns.clone();
        columns.extend(self.columns);
        Profile {
            profile: self.profile,
            kind: self.kind.or_else(|| base.kind.clone()),
            id: self.id.or_else(|| base.id.clone()),
            speed_unit: self.speed_unit.or(base.speed_unit),
            time_zone: self.time_zone.or_else(|| base.time_zone.clone()),
            time_format: self.time_format.or_else(|| base.time_format.clone()),
            columns,
        }
    }
}

/// A profile that was understood, for one file.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) profile: Option<String>,
    pub(crate) kind: Option<Kind>,
    /// Id of the assets of rows that name none.
    pub(crate) id: String,
    pub(crate) speed_unit: Option<SpeedUnit>,
    /// Until then the speed column had another unit.
    pub(crate) earlier_unit: Option<(i64, SpeedUnit)>,
    pub(crate) clock: Clock,
    pub(crate) columns: BTreeMap<String, String>,
}

impl Plan {
    /// Understands a profile for the file of this name.
    pub(crate) fn of(profile: &Profile, name: &str) -> Result<Plan, ProfileError> {
        let wrong = |field, message| ProfileError { field, message };
        let kind = match profile.kind.as_deref() {
            Some(word) => Some(Kind::parse(word).ok_or_else(|| {
                wrong("kind", format!("{word:?} is none; allowed are driver, vehicle, station, rider, other"))
            })?),
            None => None,
        };
        if let Some(id) = &profile.id {
            check_id(id).map_err(|reject| wrong("id", reject.message))?;
        }
        let zone = match profile.time_zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name)
                .map_err(|_| wrong("time_zone", format!("{name:?} is no zone; write one as Europe/Lisbon")))?,
        };
        if let Some(field) = profile.columns.keys().find(|field| !FIELDS.contains(&field.as_str())) {
            return Err(wrong("columns", format!("there is no field {field:?}; allowed are {}", FIELDS.join(", "))));
        }
        let plan = Plan {
            profile: profile.profile.clone(),
            kind,
            id: profile.id.clone().unwrap_or_else(|| file_id(name)),
            speed_unit: profile.speed_unit,
            earlier_unit: None,
            clock: Clock { zone, format: profile.time_format.clone() },
            columns: profile.columns.clone(),
        };
        Ok(plan.with_known_data_set(name))
    }

    /// Fills in what is known of a data set that comes with Drover, where its name is given.
    fn with_known_data_set(self, name: &str) -> Plan {
        match self.profile.as_deref() {
            Some("capmetro") => self.capmetro(),
            Some("twizy") => self.twizy(name),
            _ => self,
        }
    }

    /// City buses as Capital Metro of Austin published them, one file per service day. The speed column changed its
    /// unit without notice: from 2016 on it holds metres per second (every value is a multiple of 0.44704, one mile
    /// per hour), in 2015 miles per hour (two decimals, 98 of 100 rows below 38; only so are the buses of both years
    /// equally fast). The time of the row decides.
    pub(crate) fn capmetro(mut self) -> Plan {
        const YEAR_2016_MS: i64 = 1_451_606_400_000;
        if self.speed_unit.is_none() {
            self.earlier_unit = Some((YEAR_2016_MS, SpeedUnit::Mph));
        }
        self.speed_unit.get_or_insert(SpeedUnit::Mps);
        self.kind.get_or_insert(Kind::Vehicle);
        self
    }

    /// The Renault Twizy data set of Rabat (2021, about one row a second). The file name is `CAR_DATE[_NUMBER]`, so the
    /// asset is its first word. Date and time are taken as the local time of Morocco: drives start between nine and
    /// five by that reading, and the set names no zone. Morocco keeps UTC+1 but UTC+0 in Ramadan, which the zone
    /// database knows.
    pub(crate) fn twizy(mut self, name: &str) -> Plan {
        if self.id == file_id(name) {
            self.id = format!("twizy-{}", self.id.split('_').next().unwrap_or_default());
        }
        if self.clock.zone == TimeZone::UTC {
            self.clock.zone = TimeZone::get("Africa/Casablanca").unwrap_or(TimeZone::UTC);
        }
        self.clock.format.get_or_insert_with(|| "%m/%d/%Y %H:%M:%S".to_owned());
        self.kind.get_or_insert(Kind::Vehicle);
        self
    }
}

/// The id for assets of a file that names none: the file's name up to its first dot, in the letters of ids.
pub(crate) fn file_id(name: &str) -> String {
    let stem = name.split('.').next().unwrap_or_default();
    let id: String = stem.chars().map(|c| if check_id(&c.to_string()).is_ok() { c } else { '_' }).take(64).collect();
    if id.is_empty() { "file".to_owned() } else { id }
}
