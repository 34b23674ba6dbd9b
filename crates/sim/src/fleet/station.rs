//! A battery-swap station: hands out charged batteries, charges the empty ones, and reports its stock and its air.

use std::borrow::Cow;

use super::streets::Node;
use super::{CITY, TICK_MS};
use crate::ground::{Place, seven_decimals};
use crate::random::Random;
use crate::report::{Kind, Reading, Report};

/// Time between two reports.
const REPORT_INTERVAL_MS: i64 = 5000;
/// How long one battery charges.
const CHARGE_MS: i64 = 25 * 60_000;
const DAY_MS: f64 = 86_400_000.0;

/// One station.
pub(super) struct Station {
    id: String,
    node: Node,
    place: Place,
    random: Random,
    available: u32,
    /// When each charging battery will be full.
    full_at_ms: Vec<i64>,
    report_phase_ms: i64,
}

impl Station {
    pub(super) fn new(number: usize, node: Node, place: Place, seed: u64, now_ms: i64) -> Station {
        // Members from the far end, so that more vehicles do not change the stations.
        let mut random = Random::member(seed, u64::MAX - number as u64);
        let available = 6 + random.below(9) as u32;
        let full_at_ms = (0..2 + random.below(5)).map(|_| now_ms + random.below(CHARGE_MS as usize) as i64).collect();
        let report_phase_ms = random.below((REPORT_INTERVAL_MS / TICK_MS) as usize) as i64 * TICK_MS;
        Station { id: format!("station-{number:02}"), node, place, random, available, full_at_ms, report_phase_ms }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn node(&self) -> Node {
        self.node
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Gives a full battery for an empty one; false if there is none.
    pub(super) fn swap(&mut self, now_ms: i64) -> bool {
        let Some(rest) = self.available.checked_sub(1) else { return false };
        self.available = rest;
        self.full_at_ms.push(now_ms + CHARGE_MS);
        true
    }

    /// One step of the world.
    pub(super) fn tick(&mut self, now_ms: i64) {
        let charging = self.full_at_ms.len();
        self.full_at_ms.retain(|&full_at_ms| full_at_ms > now_ms);
        self.available += (charging - self.full_at_ms.len()) as u32;
    }

    /// What it says at this moment, if it is its turn.
    pub(super) fn report(&mut self, now_ms: i64) -> Option<Report> {
        if (now_ms - self.report_phase_ms).rem_euclid(REPORT_INTERVAL_MS) != 0 {
            return None;
        }
        let mut report = Report::new(Kind::Station, self.id.clone());
        report.event_time_ms = Some(now_ms);
        report.latitude = Some(seven_decimals(self.place.latitude));
        report.longitude = Some(seven_decimals(self.place.longitude));
        report.status = Some(Cow::Borrowed("operational"));
        report.city = Some(Cow::Borrowed(CITY));
        // Warmest at three in the afternoon, and drier then; charging batteries add their own.
        let warmth = ((now_ms as f64 / DAY_MS - 0.375) * std::f64::consts::TAU).sin();
        let temperature = 19.0 + 6.0 * warmth + 0.4 * self.full_at_ms.len() as f64 + 0.2 * self.random.normal();
        let humidity = 64.0 - 15.0 * warmth + 0.5 * self.random.normal();
        report.readings = vec![
            ("battery_available".into(), Reading::Number(f64::from(self.available))),
            ("battery_charging".into(), Reading::Number(self.full_at_ms.len() as f64)),
            ("temperature".into(), Reading::Number((temperature * 10.0).round() / 10.0)),
            ("humidity".into(), Reading::Number((humidity * 10.0).round() / 10.0)),
        ];
        Some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_battery_is_lost_or_made() {
        let place = Place { latitude: 41.15, longitude: -8.62 };
        let mut station = Station::new(1, 0, place, 1, 0);
        let stock = |station: &Station| station.available as usize + station.full_at_ms.len();
        let all = stock(&station);
        let mut swaps = 0;
        while station.swap(0) {
            swaps += 1;
            assert_eq!(stock(&station), all);
        }
        assert!(swaps >= 6);
        station.tick(CHARGE_MS);
        assert_eq!((station.available as usize, station.full_at_ms.len()), (all, 0));
    }
}
