//! OwnTracks messages (https://owntracks.org/booklet/tech/json/): a location has `_type: location`,
//! `tst` in epoch seconds, `vel` in km/h, `cog` in degrees, `acc` in metres, `batt` in percent. Its
//! other messages (`lwt`, `transition`, `waypoint`, `status` …) are not reports.

use drover_formats::Parsed;
use drover_model::{Draft, Reading, Reject, RejectCode};
use serde::Deserialize;

#[derive(Deserialize)]
struct Location {
    lat: Option<f64>,
    lon: Option<f64>,
    tst: Option<i64>,
    acc: Option<f64>,
    vel: Option<f64>,
    cog: Option<f64>,
    batt: Option<f64>,
    alt: Option<f64>,
    vac: Option<f64>,
    tid: Option<String>,
    t: Option<String>,
    conn: Option<String>,
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "_type", borrow)]
    word: Option<std::borrow::Cow<'a, str>>,
}

/// True for a location, and for what cannot be read at all: that is refused with a reason. An empty
/// payload clears a retained message and is no report.
pub fn is_location(payload: &[u8]) -> bool {
    let typed: Option<Typed<'_>> = serde_json::from_slice(payload).ok();
    !payload.is_empty() && typed.is_none_or(|typed| typed.word.is_none_or(|word| word == "location"))
}

/// Reads a location. Who sent it stands in the topic.
pub fn parse(payload: &[u8]) -> Parsed<'static> {
    let location: Location = serde_json::from_slice(payload)
        .map_err(|error| Reject::new(RejectCode::Malformed, "", format!("not an OwnTracks location: {error}")))?;
    let mut draft = Draft {
        latitude: location.lat,
        longitude: location.lon,
        event_time: location.tst.map(|seconds| seconds.saturating_mul(1000)),
        accuracy_m: location.acc,
        // A phone that stands still reports -1 where it knows no speed or course.
        speed_kmh: location.vel.filter(|speed| *speed >= 0.0),
        heading_deg: location.cog.filter(|heading| *heading >= 0.0),
        battery_pct: location.batt,
        ..Draft::default()
    };
    for (name, value) in [("altitude_m", location.alt), ("vertical_accuracy_m", location.vac)] {
        if let Some(value) = value {
            draft.readings.push(name, Reading::Number(value))?;
        }
    }
    for (name, value) in [("tid", location.tid), ("trigger", location.t), ("connection", location.conn)] {
        if let Some(value) = value {
            draft.readings.push(name, Reading::Text(&value))?;
        }
    }
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_its_fields_in_our_units() {
        let payload = br#"{"cog":271,"lon":2.29513,"acc":5,"vel":61,"vac":21,"lat":48.85833,"tst":1497349316,
            "alt":167,"_type":"location","tid":"JJ","t":"u","batt":67}"#;
        assert!(is_location(payload));
        let draft = parse(payload).unwrap();
        assert_eq!(draft.event_time, Some(1_497_349_316_000));
        assert_eq!((draft.latitude, draft.longitude), (Some(48.85833), Some(2.29513)));
        assert_eq!((draft.speed_kmh, draft.heading_deg), (Some(61.0), Some(271.0)));
        assert_eq!((draft.accuracy_m, draft.battery_pct), (Some(5.0), Some(67.0)));
        let readings: Vec<_> = draft.readings.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(readings, ["altitude_m", "vertical_accuracy_m", "tid", "trigger"]);
    }

    #[test]
    fn other_messages_are_no_locations_and_broken_ones_are_refused() {
        assert!(!is_location(br#"{"_type":"lwt","tst":1497349316}"#));
        assert!(!is_location(b""));
        assert!(is_location(b"{broken"));
        assert_eq!(parse(b"{broken").unwrap_err().code, RejectCode::Malformed);
    }
}
