//! One telemetry message as the public interface takes it. Field names on the wire are those of the HTTP and WebSocket
//! doors; units stand in the Rust names. Values are carried as found: judging them is the server's work.

use std::borrow::Cow;

use drover_model::Draft;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// What is tracked; an id is unique within its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person with a phone.
    Driver,
    /// A machine with a tracker.
    Vehicle,
    /// A place that reports, such as a battery-swap station.
    Station,
    /// A person who waits for a driver.
    Rider,
    /// Anything else.
    Other,
}

impl Kind {
    /// The kind of this name, if there is one; upper and lower case are the same.
    pub fn from_name(name: &str) -> Option<Kind> {
        let kinds = [Kind::Driver, Kind::Vehicle, Kind::Station, Kind::Rider, Kind::Other];
        kinds.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name.trim()))
    }

    /// The name used on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Driver => "driver",
            Kind::Vehicle => "vehicle",
            Kind::Station => "station",
            Kind::Rider => "rider",
            Kind::Other => "other",
        }
    }
}

/// The value of a reading.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reading {
    /// A number in the unit that the reading's name says.
    Number(f64),
    /// A word.
    Text(String),
    /// Yes or no.
    Bool(bool),
}

/// Named readings in the order in which the source gave them.
pub type Readings = Vec<(Cow<'static, str>, Reading)>;

/// One report of one asset. What is `None` or empty is not sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What reports.
    pub kind: Kind,
    /// Its id, unique within the kind.
    pub id: Cow<'static, str>,
    /// Milliseconds since 1970 UTC; without it the server decides what the report is worth.
    #[serde(rename = "timestamp", skip_serializing_if = "Option::is_none")]
    pub event_time_ms: Option<i64>,
    /// Degrees north, WGS 84.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east, WGS 84.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Kilometres per hour.
    #[serde(rename = "speed", skip_serializing_if = "Option::is_none")]
    pub speed_kmh: Option<f64>,
    /// Degrees clockwise from north.
    #[serde(rename = "heading", skip_serializing_if = "Option::is_none")]
    pub heading_deg: Option<f64>,
    /// Radius of the position's uncertainty in metres.
    #[serde(rename = "accuracy", skip_serializing_if = "Option::is_none")]
    pub accuracy_m: Option<f64>,
    /// State of charge, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery_pct: Option<f64>,
    /// A word of the kind's own list, such as `active`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Cow<'static, str>>,
    /// The order being served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Cow<'static, str>>,
    /// The city of operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<Cow<'static, str>>,
    /// Anything else that was measured.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    pub readings: Readings,
}

impl Report {
    /// A report that says nothing yet.
    pub fn new(kind: Kind, id: impl Into<Cow<'static, str>>) -> Report {
        Report {
            kind,
            id: id.into(),
            event_time_ms: None,
            latitude: None,
            longitude: None,
            speed_kmh: None,
            heading_deg: None,
            accuracy_m: None,
            battery_pct: None,
            status: None,
            order_id: None,
            city: None,
            readings: Readings::new(),
        }
    }

    /// What a row of a file says. A row that names no kind is of an asset of another kind.
    pub fn of(draft: &Draft<'_>) -> Report {
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(|text| Cow::Owned(text.to_owned()));
        let reading = |(name, value): (&str, drover_model::Reading<'_>)| {
            let value = match value {
                drover_model::Reading::Number(number) => Reading::Number(number),
                drover_model::Reading::Text(text) => Reading::Text(text.to_owned()),
                drover_model::Reading::Bool(yes) => Reading::Bool(yes),
            };
            (Cow::Owned(name.to_owned()), value)
        };
        let kind = draft.kind.and_then(|kind| Kind::from_name(kind.name())).unwrap_or(Kind::Other);
        Report {
            event_time_ms: draft.event_time,
            latitude: draft.latitude,
            longitude: draft.longitude,
            speed_kmh: draft.speed_kmh,
            heading_deg: draft.heading_deg,
            accuracy_m: draft.accuracy_m,
            battery_pct: draft.battery_pct,
            status: owned(&draft.status),
            order_id: owned(&draft.order_id),
            city: owned(&draft.city),
            readings: draft.readings.iter().map(reading).collect(),
            ..Report::new(kind, owned(&draft.id).unwrap_or_default())
        }
    }

    /// Appends the report as one JSON object without a line end.
    pub fn append_json(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect("a report has only string keys and memory takes every byte");
    }
}

fn as_map<S: Serializer>(readings: &Readings, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(readings.len()))?;
    for (name, value) in readings {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_only_what_it_knows() {
        let mut report = Report::new(Kind::Vehicle, "2010");
        report.latitude = Some(30.231535);
        report.readings.push(("doors".into(), Reading::Bool(true)));
        report.readings.push(("load_kg".into(), Reading::Number(12.5)));
        report.readings.push(("note".into(), Reading::Text("say \"hi\"".into())));
        let mut json = Vec::new();
        report.append_json(&mut json);
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"kind":"vehicle","id":"2010","latitude":30.231535,"readings":{"doors":true,"load_kg":12.5,"note":"say \"hi\""}}"#
        );
    }

    #[test]
    fn kinds_are_found_by_name_in_any_case() {
        assert_eq!(Kind::from_name(" Station"), Some(Kind::Station));
        assert_eq!(Kind::from_name("boat"), None);
    }
}
