//! What Drover adds to a report that its device left out: speed and heading from the fix before, and how far the asset is
//! from its depot. It is flagged, so that nobody takes it for the device's own word.

use crate::noise::{Judged, fix_of};
use drover_geo::{Point, PointE7, distance_m, heading_deg};
use drover_metadata::Vehicle;
use drover_model::{DISTANCE_FROM_DEPOT, Position, RecordMut, Report, Rules};

/// Times between two fixes from which a speed is told, ms. Below, jitter is faster than any vehicle; above, the asset may
/// have been anywhere between.
const STEP_MS: std::ops::RangeInclusive<i64> = 1_000..=300_000;
/// A shorter way has no direction that means anything, metres.
const HEADING_MIN_M: f64 = 10.0;

/// Adds to the record of `report` what can be told about it.
pub(crate) fn add(record: &mut RecordMut<'_>, report: &Report<'_>, judged: &Judged, known: &Known) {
    if judged.noise.is_none() && report.speed_kmh.is_none() && report.heading_deg.is_none() {
        add_motion(record, report, judged, known.rules.max_speed_kmh);
    }
    let depot = known.vehicle.as_ref().zip(report.place());
    let distance = depot.and_then(|(vehicle, place)| vehicle.distance_from_depot_m(point(place)));
    if let Some(metres) = distance
        && !report.readings.sent().any(|(name, _)| name == DISTANCE_FROM_DEPOT)
    {
        record.derive_distance_from_depot(metres as f32);
    }
}

fn add_motion(record: &mut RecordMut<'_>, report: &Report<'_>, judged: &Judged, max_speed_kmh: f64) {
    let Some((fix, (before_ms, before))) = fix_of(report).zip(judged.before) else { return };
    let passed_ms = fix.time_ms.saturating_sub(before_ms);
    if !STEP_MS.contains(&passed_ms) {
        return;
    }
    let (from, to) = (degrees(before), degrees(fix.at));
    let way_m = distance_m(from, to);
    let kmh = way_m / passed_ms as f64 * 3_600.0;
    if kmh > max_speed_kmh {
        return;
    }
    record.derive_speed(kmh as f32);
    if way_m >= HEADING_MIN_M {
        record.derive_heading(heading_deg(from, to) as f32 % 360.0);
    }
}

/// What is known of an asset before it reports.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) vehicle: Option<Vehicle>,
    /// The node's rules, with the vehicle's own top speed.
    pub(crate) rules: Rules,
}

impl Known {
    pub(crate) fn new(vehicle: Option<Vehicle>, rules: &Rules) -> Known {
        let own = vehicle.as_ref().and_then(|vehicle| vehicle.max_speed_kmh);
        let max_speed_kmh = own.map_or(rules.max_speed_kmh, f64::from);
        Known { vehicle, rules: Rules { max_speed_kmh, ..*rules } }
    }
}

fn point(place: Position) -> Point {
    Point::new(place.lat(), place.lon())
}

fn degrees(at: PointE7) -> Point {
    point(Position { lat_e7: at.lat, lon_e7: at.lon })
}
