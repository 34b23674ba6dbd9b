//! A draft is a report as it was received: fields read, nothing believed. [`Draft::check`] is the
//! only way from a draft to a [`Report`].

use crate::rules::EARLIEST_EVENT_MS;
use crate::{Flags, Kind, Position, Readings, Reject, RejectCode, Report, Rules, Status, check_id};
use std::borrow::Cow;

/// Longest order id, in bytes.
const ORDER_ID_MAX_BYTES: usize = 100;
/// Longest city name, in bytes.
const CITY_MAX_BYTES: usize = 100;
/// Worst accuracy that is still a position, metres: half the globe's circumference is nonsense.
const ACCURACY_MAX_M: f64 = 1_000_000.0;

/// One telemetry message as received. Units: degrees WGS 84, metres, km/h, degrees from north,
/// percent, ms UTC.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draft<'a> {
    /// What reports.
    pub kind: Option<Kind>,
    /// Its id within the kind.
    pub id: Option<Cow<'a, str>>,
    /// When it happened; absent means: when it was received.
    pub event_time: Option<i64>,
    /// Latitude, −90 to 90.
    pub latitude: Option<f64>,
    /// Longitude, −180 to 180.
    pub longitude: Option<f64>,
    /// Radius of the position's uncertainty, metres.
    pub accuracy_m: Option<f64>,
    /// Speed over ground, km/h.
    pub speed_kmh: Option<f64>,
    /// Direction of travel, 0 to 360 from north.
    pub heading_deg: Option<f64>,
    /// Charge of the device's or the vehicle's battery, 0 to 100.
    pub battery_pct: Option<f64>,
    /// A status word.
    pub status: Option<Cow<'a, str>>,
    /// The order being served, a hint.
    pub order_id: Option<Cow<'a, str>>,
    /// City label.
    pub city: Option<Cow<'a, str>>,
    /// Named extra values.
    pub readings: Readings<'a>,
}

impl<'a> Draft<'a> {
    /// Checks every rule that needs only the draft itself. The first broken rule is the reject; its
    /// message names field, value and range.
    pub fn check(self, rules: &Rules, receive_time: i64) -> Result<Report<'a>, Reject> {
        let kind = self.kind.ok_or_else(|| Reject::missing("kind"))?;
        let id = self.id.ok_or_else(|| Reject::missing("id"))?;
        check_id(&id)?;
        let event_time = self.event_time.map(|time| check_time(time, rules, receive_time)).transpose()?;
        let status = self.status.map(|word| Status::parse(kind, &word)).transpose()?;
        let mut flags = Flags::default();
        flags.set(Flags::NO_EVENT_TIME, event_time.is_none());
        Ok(Report {
            kind,
            id,
            event_time: event_time.unwrap_or(receive_time),
            receive_time,
            position: check_position(self.latitude, self.longitude)?,
            accuracy_m: within("accuracy", self.accuracy_m, 0.0, ACCURACY_MAX_M)?,
            speed_kmh: within("speed", self.speed_kmh, 0.0, rules.max_speed_kmh)?,
            heading_deg: within("heading", self.heading_deg, 0.0, 360.0)?.map(|h| h % 360.0),
            battery_pct: within("battery_pct", self.battery_pct, 0.0, 100.0)?,
            status,
            order_id: text("order_id", self.order_id, ORDER_ID_MAX_BYTES)?,
            city: text("city", self.city, CITY_MAX_BYTES)?,
            flags,
            readings: self.readings,
        })
    }
}

fn check_position(latitude: Option<f64>, longitude: Option<f64>) -> Result<Option<Position>, Reject> {
    match (latitude, longitude) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Reject::missing("latitude")),
        (Some(_), None) => Err(Reject::missing("longitude")),
        (Some(lat), Some(lon)) => {
            let lat = in_range("latitude", lat, -90.0, 90.0)?;
            let lon = in_range("longitude", lon, -180.0, 180.0)?;
            Ok(Some(Position::from_degrees(lat, lon)))
        }
    }
}

fn check_time(time: i64, rules: &Rules, receive_time: i64) -> Result<i64, Reject> {
    let ahead = time.saturating_sub(receive_time);
    if ahead > rules.max_clock_ahead_ms {
        let message = format!(
            "timestamp {time} is {} s ahead of the server's clock; at most {} s are allowed",
            ahead / 1000,
            rules.max_clock_ahead_ms / 1000
        );
        return Err(Reject::new(RejectCode::ClockAhead, "timestamp", message).with_value(time.to_string()));
    }
    if time < EARLIEST_EVENT_MS {
        let hint = if time > EARLIEST_EVENT_MS / 1000 { "; it looks like seconds, send milliseconds" } else { "" };
        let message = format!("timestamp {time} lies before 2000-01-01 ({EARLIEST_EVENT_MS} ms){hint}");
        return Err(Reject::new(RejectCode::ClockBehind, "timestamp", message).with_value(time.to_string()));
    }
    Ok(time)
}

fn in_range(field: &'static str, value: f64, min: f64, max: f64) -> Result<f64, Reject> {
    // NaN is in no range, so the test is written to fail on it.
    if value >= min && value <= max {
        Ok(value)
    } else {
        Err(Reject::out_of_range(field, value, format_args!("{min} to {max}")))
    }
}

fn within(field: &'static str, value: Option<f64>, min: f64, max: f64) -> Result<Option<f32>, Reject> {
    value.map(|v| in_range(field, v, min, max).map(|v| v as f32)).transpose()
}

fn text<'a>(field: &'static str, value: Option<Cow<'a, str>>, max: usize) -> Result<Option<Cow<'a, str>>, Reject> {
    match value {
        Some(text) if text.len() > max => Err(Reject::new(
            RejectCode::TooLong,
            field,
            format!("{field} has {} bytes; at most {max} are allowed", text.len()),
        )),
        Some(text) if text.is_empty() => Ok(None),
        other => Ok(other),
    }
}
