//! An asset as JSON, written by hand because this is the busiest encoder of the node: every watcher's
//! item and every search result passes here.

use drover_live::{Freshness, Seen};
use drover_model::{Reading, Readings, format_time};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An asset as every read and every watcher gets it. This type only documents the form;
/// [`write_asset`] writes it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Asset {
    /// `driver`, `vehicle`, `station`, `rider` or `other`.
    pub kind: String,
    /// Id within the kind.
    pub id: String,
    /// Degrees WGS 84; absent while no place is known.
    pub latitude: Option<f64>,
    /// Degrees WGS 84.
    pub longitude: Option<f64>,
    /// Event time of the report that gave the place, where the latest report gave none.
    pub located_at: Option<String>,
    /// Radius of uncertainty, metres.
    pub accuracy: Option<f32>,
    /// km/h.
    pub speed: Option<f32>,
    /// Degrees from north.
    pub heading: Option<f32>,
    /// Percent.
    pub battery_pct: Option<f32>,
    /// What the asset says of itself.
    pub status: Option<String>,
    /// Order being served.
    pub order_id: Option<String>,
    /// City label.
    pub city: Option<String>,
    /// Event time of the latest report, RFC 3339.
    pub timestamp: String,
    /// When Drover received it, RFC 3339.
    pub received_at: String,
    /// Log position of the latest report.
    pub position: u64,
    /// `no_event_time`: the receive time stands in for the event time.
    pub flags: Option<Vec<String>>,
    /// Extra values.
    pub readings: Option<BTreeMap<String, serde_json::Value>>,
    /// `live`, `stale` or `offline` at the time of the answer; not in live streams, where the watcher
    /// derives it from `received_at`.
    pub freshness: Option<String>,
    /// Metres from the centre of a search.
    pub distance_m: Option<f64>,
}

/// Facts that an answer adds to the asset itself.
#[derive(Debug, Default, Clone, Copy)]
pub struct Extra {
    /// How fresh at the time of the answer.
    pub freshness: Option<Freshness>,
    /// Metres from the centre of a search.
    pub distance_m: Option<f64>,
    /// Repeat the id as `driver_id`, `vehicle_id` … as the source documents' answers do.
    pub named_id: bool,
}

/// Appends the asset as a JSON object.
pub fn write_asset(seen: &Seen<'_>, extra: Extra, out: &mut Vec<u8>) {
    let report = &seen.report;
    out.extend_from_slice(b"{\"kind\":\"");
    out.extend_from_slice(report.kind.name().as_bytes());
    out.extend_from_slice(b"\",\"id\":");
    write_text(&report.id, out);
    if extra.named_id {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(report.kind.name().as_bytes());
        out.extend_from_slice(b"_id\":");
        write_text(&report.id, out);
    }
    if let Some(fix) = seen.fix {
        write_f64("latitude", fix.at.lat(), out);
        write_f64("longitude", fix.at.lon(), out);
        if fix.time != report.event_time {
            write_time("located_at", fix.time, out);
        }
    }
    for (name, value) in [
        ("accuracy", report.accuracy_m),
        ("speed", report.speed_kmh),
        ("heading", report.heading_deg),
        ("battery_pct", report.battery_pct),
    ] {
        if let Some(value) = value {
            write_name(name, out);
            out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
        }
    }
    let texts = [
        ("status", report.status.map(drover_model::Status::name)),
        ("order_id", report.order_id.as_deref()),
        ("city", report.city.as_deref()),
        ("freshness", extra.freshness.map(Freshness::name)),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            write_name(name, out);
            write_text(text, out);
        }
    }
    write_time("timestamp", report.event_time, out);
    write_time("received_at", report.receive_time, out);
    write_name("position", out);
    out.extend_from_slice(itoa::Buffer::new().format(seen.position).as_bytes());
    if report.flags.names().next().is_some() {
        write_name("flags", out);
        let flags: Vec<&str> = report.flags.names().collect();
        write_json(&flags, out);
    }
    if !report.readings.is_empty() {
        write_readings(&report.readings, out);
    }
    if let Some(distance) = extra.distance_m {
        // Centimetres are as fine as positions are kept.
        write_f64("distance_m", (distance * 100.0).round() / 100.0, out);
    }
    out.push(b'}');
}

/// Kind and id of what [`write_asset`] wrote: they come first, and ids need no escapes.
pub(crate) fn name_in(asset: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(asset).ok()?.strip_prefix("{\"kind\":\"")?;
    let (kind, rest) = text.split_once('"')?;
    let (id, _) = rest.strip_prefix(",\"id\":\"")?.split_once('"')?;
    Some((kind, id))
}

fn write_readings(readings: &Readings<'_>, out: &mut Vec<u8>) {
    write_name("readings", out);
    let mut separator = b'{';
    for (name, value) in readings.iter() {
        out.push(std::mem::replace(&mut separator, b','));
        write_text(name, out);
        out.push(b':');
        match value {
            Reading::Number(number) => out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes()),
            Reading::Text(text) => write_text(text, out),
            Reading::Bool(yes) => out.extend_from_slice(if yes { b"true" } else { b"false" }),
        }
    }
    out.push(b'}');
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn write_f64(name: &str, value: f64, out: &mut Vec<u8>) {
    write_name(name, out);
    out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
}

fn write_time(name: &str, ms: i64, out: &mut Vec<u8>) {
    write_name(name, out);
    let mut text = String::with_capacity(32);
    format_time(ms, &mut text);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    let plain = text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        write_json(text, out);
    }
}

fn write_json(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("text and lists always have a JSON form");
}
