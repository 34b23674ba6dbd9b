//! GTFS-Realtime: one feed message, of which every vehicle position is one row. Trip updates and alerts are no reports
//! and no rows. Fields and numbers are those of gtfs-realtime.proto 2.0; only what a report can use is declared, the
//! rest is passed over.

use crate::detect::invalid;
use crate::source::Source;
use crate::{Parsed, Rows};
use drover_model::{Draft, Kind, Reading, Readings, Reject, check_id};
use prost::Message;
use std::borrow::Cow;
use std::io::{self, Read};

/// A feed message is one piece; larger ones are refused. The largest agencies' are below 5 MB.
const FEED_MAX_BYTES: u64 = 64 << 20;

#[derive(Clone, PartialEq, Message)]
struct Feed {
    #[prost(message, required, tag = "1")]
    header: FeedHeader,
    #[prost(message, repeated, tag = "2")]
    entity: Vec<Entity>,
}

#[derive(Clone, PartialEq, Message)]
struct FeedHeader {
    #[prost(string, required, tag = "1")]
    version: String,
    #[prost(uint64, optional, tag = "3")]
    timestamp: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Entity {
    #[prost(string, required, tag = "1")]
    id: String,
    #[prost(bool, optional, tag = "2")]
    is_deleted: Option<bool>,
    #[prost(message, optional, tag = "4")]
    vehicle: Option<VehiclePosition>,
}

#[derive(Clone, PartialEq, Message)]
struct VehiclePosition {
    #[prost(message, optional, tag = "1")]
    trip: Option<Trip>,
    #[prost(message, optional, tag = "2")]
    position: Option<Position>,
    #[prost(uint32, optional, tag = "3")]
    current_stop_sequence: Option<u32>,
    #[prost(int32, optional, tag = "4")]
    current_status: Option<i32>,
    #[prost(uint64, optional, tag = "5")]
    timestamp: Option<u64>,
    #[prost(string, optional, tag = "7")]
    stop_id: Option<String>,
    #[prost(message, optional, tag = "8")]
    vehicle: Option<Vehicle>,
    #[prost(int32, optional, tag = "9")]
    occupancy_status: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Trip {
    #[prost(string, optional, tag = "1")]
    trip_id: Option<String>,
    #[prost(string, optional, tag = "5")]
    route_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Position {
    #[prost(float, required, tag = "1")]
    latitude: f32,
    #[prost(float, required, tag = "2")]
    longitude: f32,
    #[prost(float, optional, tag = "3")]
    bearing: Option<f32>,
    /// Metres.
    #[prost(double, optional, tag = "4")]
    odometer: Option<f64>,
    /// Metres per second.
    #[prost(float, optional, tag = "5")]
    speed: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct Vehicle {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(string, optional, tag = "2")]
    label: Option<String>,
    #[prost(string, optional, tag = "3")]
    license_plate: Option<String>,
}

/// Whether a file begins as a feed message does: with a header whose first field is the version `1.0` or `2.0`.
pub(crate) fn is_feed(start: &[u8]) -> bool {
    matches!(start, [0x0a, length, 0x0a, 3, b'1' | b'2', b'.', b'0', ..] if *length >= 5 && *length < 0x80)
}

/// The vehicle positions of one feed message.
pub(crate) struct FeedRows {
    published_ms: Option<i64>,
    rest: std::vec::IntoIter<Entity>,
    id: String,
    vehicle: VehiclePosition,
}

impl FeedRows {
    pub(crate) fn new(source: Source) -> io::Result<FeedRows> {
        let mut bytes = Vec::new();
        source.take(FEED_MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FEED_MAX_BYTES {
            return Err(invalid(format!("a feed message of more than {} MiB", FEED_MAX_BYTES >> 20)));
        }
        let feed = Feed::decode(&*bytes).map_err(|error| invalid(format!("not a whole feed message: {error}")))?;
        Ok(FeedRows {
            published_ms: feed.header.timestamp.map(ms),
            rest: feed.entity.into_iter(),
            id: String::new(),
            vehicle: VehiclePosition::default(),
        })
    }
}

fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)
}

impl Rows for FeedRows {
    fn advance(&mut self) -> io::Result<bool> {
        for entity in self.rest.by_ref() {
            if let (Some(vehicle), false) = (entity.vehicle, entity.is_deleted.unwrap_or(false)) {
                (self.id, self.vehicle) = (entity.id, vehicle);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn draft(&self) -> Parsed<'_> {
        let VehiclePosition { position, vehicle, timestamp, .. } = &self.vehicle;
        // A number of exactly 0 is how feeds say "not known".
        let event_time = timestamp.filter(|seconds| *seconds > 0).map(ms).or(self.published_ms);
        let known = |value: Option<f32>| value.map(f64::from);
        Ok(Draft {
            kind: Some(Kind::Vehicle),
            id: Some(asset_id(vehicle.as_ref(), &self.id)),
            event_time,
            latitude: position.as_ref().map(|position| degrees(position.latitude)),
            longitude: position.as_ref().map(|position| degrees(position.longitude)),
            speed_kmh: position.as_ref().and_then(|position| known(position.speed)).map(|speed| speed * 3.6),
            heading_deg: position.as_ref().and_then(|position| known(position.bearing)),
            readings: readings(&self.vehicle)?,
            ..Draft::default()
        })
    }
}

/// The number that was meant: a float's shortest decimal form, not the binary digits behind it.
fn degrees(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// The vehicle's id; feeds without one name it by its label, its plate or the entity.
fn asset_id<'a>(vehicle: Option<&'a Vehicle>, entity: &'a str) -> Cow<'a, str> {
    let named = vehicle.and_then(|vehicle| {
        let names = [&vehicle.id, &vehicle.label, &vehicle.license_plate];
        names.into_iter().flatten().find(|name| !name.trim().is_empty())
    });
    let id = named.map_or(entity, |name| name.trim());
    if check_id(id).is_ok() {
        return Cow::Borrowed(id);
    }
    // Labels are written for people: spaces and slashes in them are no reason to refuse a bus.
    Cow::Owned(id.chars().map(|c| if check_id(&c.to_string()).is_ok() { c } else { '_' }).collect())
}

fn readings(vehicle: &VehiclePosition) -> Result<Readings<'static>, Reject> {
    let mut readings = Readings::default();
    let trip = vehicle.trip.as_ref();
    let texts = [
        ("route_id", trip.and_then(|trip| trip.route_id.as_deref())),
        ("trip_id", trip.and_then(|trip| trip.trip_id.as_deref())),
        ("stop_id", vehicle.stop_id.as_deref()),
        ("label", vehicle.vehicle.as_ref().and_then(|vehicle| vehicle.label.as_deref())),
        ("current_status", vehicle.current_status.and_then(|number| word(&STOP_STATUS, number))),
        ("occupancy_status", vehicle.occupancy_status.and_then(|number| word(&OCCUPANCY, number))),
    ];
    for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text.filter(|t| !t.is_empty())?))) {
        readings.push(name, Reading::Text(text))?;
    }
    if let Some(sequence) = vehicle.current_stop_sequence {
        readings.push("current_stop_sequence", Reading::Number(sequence.into()))?;
    }
    if let Some(odometer) = vehicle.position.as_ref().and_then(|position| position.odometer) {
        readings.push("odometer_m", Reading::Number(odometer))?;
    }
    Ok(readings)
}

const STOP_STATUS: [&str; 3] = ["incoming_at", "stopped_at", "in_transit_to"];
const OCCUPANCY: [&str; 9] = [
    "empty",
    "many_seats_available",
    "few_seats_available",
    "standing_room_only",
    "crushed_standing_room_only",
    "full",
    "not_accepting_passengers",
    "no_data_available",
    "not_boardable",
];

fn word(words: &'static [&'static str], number: i32) -> Option<&'static str> {
    words.get(usize::try_from(number).ok()?).copied()
}
