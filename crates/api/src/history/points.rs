//! A point of the past as JSON, and whole tracks as GeoJSON and GPX.

use super::text_of;
use drover_history::read::Fix;
use drover_model::{Kind, Status};
use serde::Serialize;
use serde_json::json;
use std::fmt::Write;
use utoipa::ToSchema;

/// A longer time without a report begins a new segment of a GPX track, ms.
const GAP_MS: i64 = 900_000;

/// One report of the past. What was not reported is left out.
#[derive(Debug, Serialize, ToSchema)]
pub struct Point {
    /// Degrees WGS 84.
    #[serde(skip_serializing_if = "Option::is_none")]
    latitude: Option<f64>,
    /// Degrees WGS 84.
    #[serde(skip_serializing_if = "Option::is_none")]
    longitude: Option<f64>,
    /// Event time, RFC 3339.
    timestamp: String,
    /// When Drover received it, RFC 3339.
    received_at: String,
    /// km/h.
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<f32>,
    /// Degrees from north.
    #[serde(skip_serializing_if = "Option::is_none")]
    heading: Option<f32>,
    /// Radius of uncertainty, metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f32>,
    /// Percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    battery_pct: Option<f32>,
    /// What the asset said of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// Order being served.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    /// `late`, `no_event_time`; why the place is noise: `jump`, `teleport`, `parked_drift`, `stuck_clock`, `no_fix`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<&'static str>,
    /// Log position of the report.
    position: u64,
}

impl Point {
    /// Of a row of history.
    pub fn of(fix: &Fix) -> Point {
        Point {
            latitude: fix.at.map(|at| at.lat()),
            longitude: fix.at.map(|at| at.lon()),
            timestamp: text_of(fix.event_time),
            received_at: text_of(fix.receive_time),
            speed: fix.speed_kmh,
            heading: fix.heading_deg,
            accuracy: fix.accuracy_m,
            battery_pct: fix.battery_pct,
            status: fix.status.map(Status::name),
            order_id: fix.order_id.as_deref().map(str::to_owned),
            flags: fix.flags.names().collect(),
            position: fix.position,
        }
    }
}

/// Whose track, and its fixes, oldest first.
pub struct Track<'a> {
    /// Kind of the asset.
    pub kind: Kind,
    /// Its id.
    pub id: &'a str,
    /// The fixes; those without a place are left out of a line.
    pub fixes: &'a [Fix],
}

/// A FeatureCollection (RFC 7946) with one line, and times and speeds beside it.
pub fn write_geojson(track: &Track<'_>) -> String {
    let placed = || track.fixes.iter().filter_map(|fix| Some((fix, fix.at?)));
    let line: Vec<_> = placed().map(|(_, at)| [at.lon(), at.lat()]).collect();
    let geometry = match line.as_slice() {
        [] => serde_json::Value::Null,
        [point] => json!({"type": "Point", "coordinates": point}),
        line => json!({"type": "LineString", "coordinates": line}),
    };
    let times: Vec<_> = placed().map(|(fix, _)| fix.event_time).collect();
    let speeds: Vec<_> = placed().map(|(fix, _)| fix.speed_kmh).collect();
    let properties = json!({"kind": track.kind.name(), "id": track.id, "times": times, "speeds": speeds});
    let feature = json!({"type": "Feature", "geometry": geometry, "properties": properties});
    json!({"type": "FeatureCollection", "features": [feature]}).to_string()
}

/// A GPX 1.1 track; a longer silence begins a new segment.
pub fn write_gpx(track: &Track<'_>) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <gpx version=\"1.1\" creator=\"Drover\" xmlns=\"http://www.topografix.com/GPX/1/1\">\n<trk>",
    );
    // Ids hold no characters that XML minds.
    write!(out, "<name>{}/{}</name>", track.kind.name(), track.id).expect("memory takes every byte");
    let mut last = None;
    for (fix, at) in track.fixes.iter().filter_map(|fix| Some((fix, fix.at?))) {
        match last {
            None => out.push_str("<trkseg>\n"),
            Some(before) if fix.event_time - before > GAP_MS => out.push_str("</trkseg><trkseg>\n"),
            Some(_) => {}
        }
        last = Some(fix.event_time);
        let (lat, lon, time) = (at.lat(), at.lon(), text_of(fix.event_time));
        writeln!(out, "<trkpt lat=\"{lat}\" lon=\"{lon}\"><time>{time}</time></trkpt>")
            .expect("memory takes every byte");
    }
    out.push_str(if last.is_some() { "</trkseg></trk>\n</gpx>\n" } else { "</trk>\n</gpx>\n" });
    out
}
