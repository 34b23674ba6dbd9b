//! Where a driver, or any asset, is: what is read from the live state and how it is written.

use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use drover_live::{Fix, Live, Seen};
use drover_model::{Kind, format_time};
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// Nothing with a position belongs into a cache.
pub(crate) const NO_STORE: [(HeaderName, HeaderValue); 1] = [(CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// A place as followers get it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// Where the asset was, and when. A newer report may leave it as it is; then there is nothing to tell.
    pub fix: Fix,
    pub speed: Option<f32>,
    pub heading: Option<f32>,
    /// What the asset says of itself.
    pub status: Option<&'static str>,
    /// The order that the asset says it serves: a hint, never a right.
    pub order_hint: Option<Arc<str>>,
}

/// The newest place of an asset, if one is known.
pub(crate) fn place(live: &Live, kind: Kind, id: &str) -> Option<Place> {
    live.get(kind, id, of).flatten()
}

fn of(seen: &Seen<'_>) -> Option<Place> {
    let fix = seen.fix?;
    let report = &seen.report;
    // A report without a place of its own says nothing of the speed at the place before.
    let there = report.event_time == fix.time;
    Some(Place {
        fix,
        speed: report.speed_kmh.filter(|_| there),
        heading: report.heading_deg.filter(|_| there),
        status: report.status.map(drover_model::Status::name),
        order_hint: report.order_id.as_deref().map(Arc::from),
    })
}

/// A time, RFC 3339.
pub(crate) fn time_text(ms: i64) -> String {
    let mut text = String::with_capacity(24);
    format_time(ms, &mut text);
    text
}

impl Place {
    /// The fields that every message about a place has.
    pub fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("latitude".into(), self.fix.at.lat().into());
        fields.insert("longitude".into(), self.fix.at.lon().into());
        fields.insert("timestamp".into(), time_text(self.fix.time).into());
        if let Some(speed) = self.speed {
            fields.insert("speed".into(), short(speed));
        }
        if let Some(heading) = self.heading {
            fields.insert("heading".into(), short(heading));
        }
        fields
    }
}

/// As many digits as the value has, not as many as its double.
fn short(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// Where the driver of an order is.
#[derive(Debug, Serialize, ToSchema)]
pub struct DriverLocation {
    /// The driver, by the delivery's assignment.
    #[schema(example = "d-1")]
    pub driver_id: String,
    /// Degrees WGS 84.
    #[schema(example = 52.5163)]
    pub latitude: f64,
    /// Degrees WGS 84.
    #[schema(example = 13.3777)]
    pub longitude: f64,
    /// When the driver was there, RFC 3339.
    #[schema(example = "2026-01-31T12:00:00Z")]
    pub timestamp: String,
    /// km/h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f32>,
    /// Degrees from north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heading: Option<f32>,
    /// The delivery's status: `out_for_delivery` or `arrived`.
    #[schema(example = "out_for_delivery")]
    pub status: String,
}

impl DriverLocation {
    pub(crate) fn new(driver: &str, place: &Place, status: &str) -> DriverLocation {
        DriverLocation {
            driver_id: driver.into(),
            latitude: place.fix.at.lat(),
            longitude: place.fix.at.lon(),
            timestamp: time_text(place.fix.time),
            speed: place.speed,
            heading: place.heading,
            status: status.into(),
        }
    }
}
