//! Which fixes are noise: the filter of [`drover_geo`], asset by asset, in the order in which reports come. It decides
//! nothing but a flag; the report is kept as it came.

use drover_geo::{Fix, Limits, Noise, PointE7, Track};
use drover_model::{Flags, Report, Rules};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The tracks of the assets of one source: of a file, or of reports that come late. A source may go back in time, from
/// one trip to another; an asset's track begins anew then.
#[derive(Debug)]
pub struct Tracks {
    by_asset: HashTable<(u64, Track)>,
    most: usize,
}

impl Tracks {
    /// None yet. With more than `most` assets all are forgotten and begin anew.
    pub fn new(most: usize) -> Tracks {
        Tracks { by_asset: HashTable::new(), most }
    }

    pub(crate) fn of(&mut self, asset: u64) -> &mut Track {
        if self.by_asset.len() >= self.most {
            self.by_asset.clear();
        }
        match self.by_asset.entry(asset, |(hash, _)| *hash == asset, |(hash, _)| *hash) {
            Entry::Occupied(entry) => &mut entry.into_mut().1,
            Entry::Vacant(entry) => &mut entry.insert((asset, Track::default())).into_mut().1,
        }
    }
}

/// What a track says of a report.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Judged {
    /// The track after the report.
    pub(crate) track: Track,
    pub(crate) noise: Option<Noise>,
    /// The good fix before it: its time, ms UTC, and its place.
    pub(crate) before: Option<(i64, PointE7)>,
}

/// Judges the report by a track, which may be that of another time.
pub(crate) fn judge(mut track: Track, report: &Report<'_>, limits: &Limits) -> Judged {
    let Some(fix) = fix_of(report) else { return Judged { track, ..Judged::default() } };
    if track.head().is_some_and(|(time_ms, _)| fix.time_ms < time_ms) {
        track = Track::default();
    }
    let before = track.head();
    let noise = track.judge(fix, limits);
    Judged { track, noise, before }
}

pub(crate) fn fix_of(report: &Report<'_>) -> Option<Fix> {
    let at = report.position?;
    // The time of a report that came without one is when it came: what admission makes of it only keeps the order.
    let time_ms = if report.flags.has(Flags::NO_EVENT_TIME) { report.receive_time } else { report.event_time };
    let at = PointE7 { lat: at.lat_e7, lon: at.lon_e7 };
    Some(Fix { time_ms, at, accuracy_m: report.accuracy_m, speed_kmh: report.speed_kmh })
}

/// The filter's numbers with the top speed of these rules.
pub(crate) fn limits(limits: &Limits, rules: &Rules) -> Limits {
    Limits { max_speed_kmh: rules.max_speed_kmh, ..*limits }
}

/// The flag of a rule.
pub(crate) const fn flag(noise: Noise) -> u16 {
    match noise {
        Noise::Jump => Flags::JUMP,
        Noise::Teleport => Flags::TELEPORT,
        Noise::ParkedDrift => Flags::PARKED_DRIFT,
        Noise::StuckClock => Flags::STUCK_CLOCK,
        Noise::NoFix => Flags::NO_FIX,
    }
}
