//! The devices of one connection: drivers who wander about a city and stations that stand in it. A walk is plausible,
//! not true to streets (see `fleet` for that): cheap enough to feed far more reports than a server takes.

use std::io::Write;

use super::SimulateOptions;
use super::tokens::Tokens;
use crate::ground::{Place, turn_deg};
use crate::random::Random;

/// Farthest that a driver strays from the centre, metres.
const STRAY_M: f64 = 8000.0;
const CITIES: &str = include_str!("../../assets/cities.csv");

/// One report before it is text: enough to say exactly the same again after a lost connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Index among all devices, drivers first.
    pub(super) device: usize,
    /// When it was meant to be sent.
    pub(super) due_us: u64,
    /// Its event time, strictly increasing per device.
    pub(super) time_ms: u64,
    place: Place,
    speed_kmh: f64,
    heading_deg: f64,
    charge_pct: f64,
}

struct Device {
    index: usize,
    city: usize,
    place: Place,
    speed_kmh: f64,
    heading_deg: f64,
    last_ms: u64,
}

/// The devices of one connection.
pub(super) struct Crowd {
    devices: Vec<Device>,
    cities: Vec<(&'static str, Place)>,
    drivers: usize,
    /// Seconds between two reports of a device.
    interval_s: f64,
    random: Random,
    pub(super) connection: usize,
    pub(super) connections: usize,
}

impl Crowd {
    pub(super) fn new(options: &SimulateOptions, connection: usize, connections: usize) -> Crowd {
        let all = options.drivers + options.stations;
        let cities = cities();
        let mut random = Random::member(options.seed, connection as u64);
        let devices =
            (connection..all).step_by(connections).map(|index| Device::new(index, &cities, &mut random)).collect();
        let interval_s = options.interval.as_secs_f64();
        Crowd { devices, cities, drivers: options.drivers, interval_s, random, connection, connections }
    }

    pub(super) fn len(&self) -> usize {
        self.devices.len()
    }

    /// The credential of the first device here: where devices have their own, it is the only one.
    pub(super) fn token<'a>(&self, tokens: &'a Tokens) -> Option<&'a str> {
        let (kind, id) = self.name(self.devices.first()?.index);
        tokens.of_device(kind, &id)
    }

    /// Moves a device on and gives its report.
    pub(super) fn sample(&mut self, own: usize, due_us: u64) -> Sample {
        let device = &mut self.devices[own];
        let time_ms = (due_us / 1000).max(device.last_ms + 1);
        device.last_ms = time_ms;
        if device.index < self.drivers {
            device.wander(self.cities[device.city].1, self.interval_s, &mut self.random);
        }
        Sample {
            device: device.index,
            due_us,
            time_ms,
            place: device.place,
            speed_kmh: device.speed_kmh,
            heading_deg: device.heading_deg,
            charge_pct: 100.0 - (time_ms / 60_000 % 80) as f64,
        }
    }

    /// Appends the report as JSON. Written by hand: this is what the sender spends its time on.
    pub(super) fn append(&self, sample: &Sample, out: &mut Vec<u8>) {
        let Sample { time_ms, place: Place { latitude, longitude }, charge_pct, .. } = sample;
        let (kind, id) = self.name(sample.device);
        let city = self.cities[sample.device % self.cities.len()].0;
        let common = format_args!(
            r#"{{"kind":"{kind}","id":"{id}","timestamp":{time_ms},"latitude":{latitude:.6},"longitude":{longitude:.6},"city":"{city}","#
        );
        let written = if sample.device < self.drivers {
            let (speed, heading) = (sample.speed_kmh, sample.heading_deg);
            write!(
                out,
                r#"{common}"speed":{speed:.1},"heading":{heading:.1},"accuracy":5,"battery_pct":{charge_pct},"status":"active"}}"#
            )
        } else {
            let available = *time_ms / 60_000 % 13;
            let charging = 16 - available;
            write!(
                out,
                r#"{common}"status":"operational","readings":{{"battery_available":{available},"battery_charging":{charging},"temperature":25.5,"humidity":42}}}}"#
            )
        };
        written.expect("memory takes every byte");
    }

    /// Appends the report as a line of the ledger.
    pub(super) fn append_ledger(&self, sample: &Sample, out: &mut Vec<u8>) {
        let (kind, id) = self.name(sample.device);
        writeln!(out, "{kind} {id} {}", sample.time_ms).expect("memory takes every byte");
    }

    /// The address for single reports of this device.
    pub(super) fn path(&self, device: usize) -> String {
        let (_, id) = self.name(device);
        if device < self.drivers {
            format!("/api/v1/drivers/{id}/location")
        } else {
            format!("/api/v1/stations/{id}/telemetry")
        }
    }

    /// The MQTT topic for reports of this device.
    pub(super) fn topic(&self, device: usize) -> String {
        let (kind, id) = self.name(device);
        crate::send::topic(kind, &id)
    }

    fn name(&self, device: usize) -> (&'static str, String) {
        match device.checked_sub(self.drivers) {
            None => ("driver", format!("d{:06}", device + 1)),
            Some(station) => ("station", format!("s{:04}", station + 1)),
        }
    }
}

impl Device {
    fn new(index: usize, cities: &[(&'static str, Place)], random: &mut Random) -> Device {
        let city = index % cities.len();
        let place = cities[city].1.moved(random.normal() * STRAY_M / 4.0, random.normal() * STRAY_M / 4.0);
        let (speed_kmh, heading_deg) = (random.between(10.0, 50.0), random.between(0.0, 360.0));
        Device { index, city, place, speed_kmh, heading_deg, last_ms: 0 }
    }

    /// A step of a walk that slowly changes speed and heading and turns home when it is far out.
    fn wander(&mut self, centre: Place, seconds: f64, random: &mut Random) {
        self.speed_kmh = (self.speed_kmh + random.between(-4.0, 4.0)).clamp(5.0, 60.0);
        self.heading_deg = (self.heading_deg + random.between(-15.0, 15.0)).rem_euclid(360.0);
        let home = self.place.bearing_deg(centre);
        if self.place.distance_m(centre) > STRAY_M && turn_deg(self.heading_deg, home) > 90.0 {
            self.heading_deg = home;
        }
        let metres = self.speed_kmh / 3.6 * seconds;
        let (east, north) = self.heading_deg.to_radians().sin_cos();
        self.place = self.place.moved(east * metres, north * metres);
    }
}

/// Name and centre of the cities; the file ships with the crate.
fn cities() -> Vec<(&'static str, Place)> {
    let city = |line: &'static str| {
        let mut cells = line.split(',');
        let name = cells.next()?;
        Some((name, Place { latitude: cells.next()?.parse().ok()?, longitude: cells.next()?.parse().ok()? }))
    };
    CITIES.lines().skip(1).filter_map(city).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd() -> Crowd {
        let options = SimulateOptions { drivers: 50, stations: 2, ..SimulateOptions::new("") };
        Crowd::new(&options, 0, 1)
    }

    #[test]
    fn the_cities_are_spread_over_the_world() {
        assert_eq!(cities().len(), 45);
        assert!(cities().iter().any(|(name, place)| *name == "Lima" && place.latitude < -12.0));
    }

    #[test]
    fn reports_are_valid_json_with_increasing_times() {
        let mut crowd = crowd();
        let mut last_ms = 0;
        for own in [0, 0, 51] {
            let sample = crowd.sample(own, 1_000_000_000);
            let mut json = Vec::new();
            crowd.append(&sample, &mut json);
            let report: serde_json::Value = serde_json::from_slice(&json).unwrap();
            if own == 0 {
                assert_eq!((&report["kind"], &report["id"]), (&"driver".into(), &"d000001".into()));
                assert!(sample.time_ms > last_ms);
                last_ms = sample.time_ms;
            } else {
                assert_eq!((&report["kind"], &report["id"]), (&"station".into(), &"s0002".into()));
                assert!(report["readings"]["battery_available"].is_u64());
            }
        }
    }

    #[test]
    fn drivers_stay_about_their_city_at_town_speed() {
        let mut crowd = crowd();
        for second in 0..7200_u64 {
            let before = crowd.devices[7].place;
            let sample = crowd.sample(7, second * 1_000_000);
            assert!(before.distance_m(sample.place) <= 60.0 / 3.6 + 0.5);
            assert!(sample.place.distance_m(crowd.cities[7].1) < STRAY_M * 1.8);
        }
    }
}
