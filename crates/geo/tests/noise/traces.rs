//! The real traces, as fixes by asset in the order of their times: what admission would hand to the filter.

use drover_geo::{Fix, Point};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Assets and their fixes.
pub type Fleet = BTreeMap<String, Vec<Fix>>;

const DAY_MS: i64 = 86_400_000;
const KMH_PER_MPH: f32 = 1.609_344;

/// Days of Austin's buses.
pub const BUS_DAYS: [&str; 9] = [
    "2015-03-07",
    "2015-03-18",
    "2015-06-07",
    "2016-02-07",
    "2016-11-24",
    "2016-11-26",
    "2016-12-16",
    "2017-03-16",
    "2017-03-21",
];

/// `DROVER_SHARED`, or the folder beside the repository. Missing data fails the tests: they say nothing without it.
fn trace(name: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DROVER_SHARED").map_or(beside, PathBuf::from);
    let path = shared.join("data/traces").join(name);
    assert!(path.exists(), "{} is missing; set DROVER_SHARED to the shared folder", path.display());
    path
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// Files below a folder of the traces whose names end so, by name.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let mut open = vec![trace(folder)];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else if path.to_str().unwrap().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {end} in {folder}");
    found
}

/// Days since 1970-01-01.
fn day(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469
}

/// Year, month, day, hour, minute and second of `2014-09-13 13:37:54` and its like; the zone is left out.
fn moment_ms(text: &str) -> Option<i64> {
    let numbers = |text: &str| -> Vec<i64> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
    };
    match numbers(text)[..] {
        [year, month @ 1..=12, date @ 1..=31, hour, minute, second, ..] => {
            Some(day(year, month, date) * DAY_MS + (hour * 3_600 + minute * 60 + second) * 1_000)
        }
        _ => None,
    }
}

fn fix(time_ms: i64, lat: &str, lon: &str, speed_kmh: Option<f32>) -> Option<Fix> {
    let at = Point::new(lat.parse().ok()?, lon.parse().ok()?);
    Some(Fix { time_ms, at: at.into(), accuracy_m: None, speed_kmh })
}

/// By time, and each time once: admission takes a second report of one time for a duplicate or a conflict.
fn in_order(mut fleet: Fleet) -> Fleet {
    for fixes in fleet.values_mut() {
        fixes.sort_by_key(|fix| fix.time_ms);
        fixes.dedup_by_key(|fix| fix.time_ms);
    }
    fleet
}

/// Rows of CSV files; `understand` gets the name of the file and the cells.
fn read(files: &[PathBuf], understand: impl Fn(&str, &[&str]) -> Option<(String, Fix)>) -> Fleet {
    let mut fleet = Fleet::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        for line in text(path).lines() {
            let cells: Vec<&str> = line.split([',', '\t']).collect();
            if let Some((asset, fix)) = understand(name, &cells) {
                fleet.entry(asset).or_default().push(fix);
            }
        }
    }
    in_order(fleet)
}

/// A day of Austin's buses: a fix every one to ten minutes. Speeds were miles per hour before 2016, then metres per
/// second.
pub fn austin(date: &str) -> Fleet {
    read(&[trace(&format!("austin-buses/{date}.csv.gz"))], |_, cells| {
        let unit_kmh = if date < "2016" { KMH_PER_MPH } else { 3.6 };
        let speed_kmh = cells[2].parse::<f32>().ok().map(|speed| speed * unit_kmh);
        Some((cells[0].into(), fix(moment_ms(cells[1])?, cells[5], cells[6], speed_kmh)?))
    })
}

/// An electric car at 1 Hz with the speed of its wheels.
pub fn twizy() -> Fleet {
    read(&files("twizy-ev", ".csv.gz"), |name, cells| {
        let (month, rest) = cells[0].split_once('/')?;
        let (date, year) = rest.split_once('/')?;
        let time_ms = moment_ms(&format!("{year}-{month}-{date} {}", cells[1]))?;
        Some((name.into(), fix(time_ms, cells[5], cells[6], cells[3].parse().ok())?))
    })
}

/// Electric bikes at 1 Hz with speeds.
pub fn e_bike() -> Fleet {
    read(&files("e-bike", ".csv.gz"), |name, cells| {
        Some((name.into(), fix(moment_ms(cells[0])?, cells[1], cells[2], cells[5].parse().ok())?))
    })
}

/// Electric scooters, a fix every few seconds, with speeds.
pub fn e_scooter() -> Fleet {
    read(&files("e-scooter", ".csv.gz"), |name, cells| {
        Some((name.into(), fix(moment_ms(cells[0])?, cells[1], cells[2], cells[3].parse().ok())?))
    })
}

/// Phones in cars and buses, without speeds.
pub fn aracaju() -> Fleet {
    read(&files("aracaju-car-bus", "points.csv.gz"), |_, cells| {
        Some((cells[2].into(), fix(moment_ms(cells[3])?, cells[0], cells[1], None)?))
    })
}

/// Floating cars near Hof, without speeds.
pub fn hof() -> Fleet {
    read(&files("hof-floating-car", "points.csv.gz"), |_, cells| {
        let (lon, lat) = cells[2].strip_prefix("POINT (")?.strip_suffix(')')?.split_once(' ')?;
        Some((cells[0].into(), fix(moment_ms(cells[1])?, lat, lon, None)?))
    })
}

/// Cars all over the world at about 1 Hz, without speeds.
pub fn map_matching() -> Fleet {
    read(&files("map-matching-100", ".track.gz"), |name, cells| {
        let time_ms = (cells[2].trim().parse::<f64>().ok()? * 1_000.0) as i64;
        Some((name.into(), fix(time_ms, cells[1].trim(), cells[0].trim(), None)?))
    })
}

/// Tracks of the public round Berlin. They have no times: they are given those of a ride at 36 km/h.
pub fn berlin() -> Fleet {
    let mut fleet = Fleet::new();
    for line in text(&trace("osm-gps-berlin/berlin_gps_traces.csv.gz")).lines() {
        let cells: Vec<&str> = line.split(',').collect();
        let Some(mut next) = fix(0, cells[1], cells[2], None) else { continue };
        let fixes: &mut Vec<Fix> = fleet.entry(cells[0].into()).or_default();
        if let Some(last) = fixes.last() {
            next.time_ms = last.time_ms + 1_000.max((last.at.distance_m(next.at) * 100.0) as i64);
        }
        fixes.push(next);
    }
    fleet
}

/// Every clean set with its name.
pub fn clean() -> Vec<(&'static str, Fleet)> {
    vec![
        ("twizy-ev", twizy()),
        ("e-bike", e_bike()),
        ("e-scooter", e_scooter()),
        ("aracaju-car-bus", aracaju()),
        ("hof-floating-car", hof()),
        ("map-matching-100", map_matching()),
    ]
}
