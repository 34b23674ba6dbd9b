//! Real traces, against what else is known of them: the speeds of a car's own wheels, the distances that other people
//! computed, and themselves in another window.

use drover_geo::{Point, PointE7};
use drover_history::trips::{TripFix, TripRules, segment};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const DAY_MS: i64 = 86_400_000;

/// `DROVER_SHARED`, or the folder beside the repository. Missing data fails the tests: they say nothing without it.
fn trace(name: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DROVER_SHARED").map_or(beside, PathBuf::from);
    let path = shared.join("data/traces").join(name);
    assert!(path.exists(), "{} is missing; set DROVER_SHARED to the shared folder", path.display());
    path
}

fn text(name: &str) -> String {
    let mut text = String::new();
    let mut file = File::open(trace(name)).unwrap();
    match name.ends_with(".gz") {
        true => MultiGzDecoder::new(file).read_to_string(&mut text).unwrap(),
        false => file.read_to_string(&mut text).unwrap(),
    };
    text
}

/// Days since 1970-01-01.
fn day(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469
}

/// The numbers in a text, such as the six of `2014-09-13 13:37:54`.
fn numbers(text: &str) -> Vec<i64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn moment_ms(date: &[i64; 3], clock: &[i64]) -> i64 {
    day(date[0], date[1], date[2]) * DAY_MS + (clock[0] * 3_600 + clock[1] * 60 + clock[2]) * 1_000
}

fn fix(time_ms: i64, lat: &str, lon: &str, speed_kmh: Option<f32>) -> TripFix {
    let at = Point::new(lat.parse().unwrap(), lon.parse().unwrap());
    TripFix { time_ms, at: at.into(), speed_kmh }
}

/// By asset, in order of time.
fn sorted(mut assets: BTreeMap<String, Vec<TripFix>>) -> BTreeMap<String, Vec<TripFix>> {
    assets.values_mut().for_each(|fixes| fixes.sort_by_key(|fix| fix.time_ms));
    assets
}

/// A day of Austin's buses, in local time without its zone.
fn buses(date: &str) -> BTreeMap<String, Vec<TripFix>> {
    let mut buses: BTreeMap<String, Vec<TripFix>> = BTreeMap::new();
    for line in text(&format!("austin-buses/{date}.csv.gz")).lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let time = numbers(cells[1]);
        let time_ms = moment_ms(&[time[0], time[1], time[2]], &time[3..6]);
        buses.entry(cells[0].into()).or_default().push(fix(time_ms, cells[5], cells[6], None));
    }
    sorted(buses)
}

/// A drive of the Twizy: its fixes, and the metres by its own speed.
fn twizy(name: &str) -> (Vec<TripFix>, f64) {
    let mut fixes = Vec::new();
    for line in text(&format!("twizy-ev/{name}.csv.gz")).lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (date, clock) = (numbers(cells[0]), numbers(cells[1]));
        // Some rows have no such day.
        if let (&[month @ 1..=12, day @ 1..=31, year], [_, _, _]) = (&date[..], &clock[..]) {
            let time_ms = moment_ms(&[year, month, day], &clock);
            fixes.push(fix(time_ms, cells[5], cells[6], cells[3].parse().ok()));
        }
    }
    fixes.sort_by_key(|fix| fix.time_ms);
    let metres = fixes.windows(2).map(|pair| {
        let mean_kmh = pair.iter().filter_map(|fix| fix.speed_kmh).sum::<f32>() / 2.0;
        (pair[1].time_ms - pair[0].time_ms) as f64 / 3_600.0 * f64::from(mean_kmh)
    });
    let metres = metres.sum();
    (fixes, metres)
}

#[test]
fn each_twizy_drive_is_about_as_long_as_its_wheels_say() {
    let names = [
        "T1_03_29_2021",
        "T1_06_30_2021_2",
        "T2_03_29_2021",
        "T2_04_26_2021",
        "T3_04_22_2021_2",
        "T3_04_26_2021_2",
        "T3_05_25_2021_1",
        "T3_05_25_2021_3",
        "T3_06_07_2021",
    ];
    for name in names {
        let (fixes, wheels_m) = twizy(name);
        let found = segment(fixes.iter().copied(), TripRules::default(), i64::MIN..=i64::MAX);
        let metres: f64 = found.trips.iter().map(|trip| trip.distance_m).sum();
        assert!((metres / wheels_m - 1.0).abs() < 0.08, "{name}: {metres:.0} m, by its wheels {wheels_m:.0} m");
        assert!(found.trips.len() <= found.stops.len() + 2, "{name}: {found:?}");
        assert!(found.trips.iter().all(|trip| trip.max_speed_kmh.is_some_and(|kmh| kmh < 90.0)), "{name}: {found:?}");
    }
}

/// The data set's own distances are of whole tracks, with what is driven within a stop; some tracks are of minutes.
#[test]
fn tracks_of_aracaju_are_about_as_long_as_their_authors_say() {
    let mut tracks: BTreeMap<String, Vec<TripFix>> = BTreeMap::new();
    for line in text("aracaju-car-bus/points.csv.gz").lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let time = numbers(cells[3]);
        let time_ms = moment_ms(&[time[0], time[1], time[2]], &time[3..6]);
        tracks.entry(cells[2].into()).or_default().push(fix(time_ms, cells[0], cells[1], None));
    }
    let tracks = sorted(tracks);
    let (mut found_km, mut said_km, mut compared, mut close) = (0.0, 0.0, 0, 0);
    for line in text("aracaju-car-bus/tracks.csv").lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (Some(fixes), Ok(said)) = (tracks.get(cells[0]), cells[4].parse::<f64>()) else { continue };
        if said < 1.0 {
            continue;
        }
        let found = segment(fixes.iter().copied(), TripRules::default(), i64::MIN..=i64::MAX);
        let km = found.trips.iter().map(|trip| trip.distance_m).sum::<f64>() / 1_000.0;
        (found_km, said_km, compared) = (found_km + km, said_km + said, compared + 1);
        close += usize::from((km - said).abs() < 0.1 * said + 0.1);
    }
    assert!(compared >= 40, "{compared}");
    assert!(close * 10 >= compared * 9, "{close} of {compared}");
    assert!((found_km / said_km - 1.0).abs() < 0.05, "{found_km:.1} km, said {said_km:.1} km");
}

#[test]
fn every_hour_of_every_bus_is_the_day_cut_to_it() {
    let rules = TripRules::default();
    let (mut trips, mut stops) = (0, 0);
    for fixes in buses("2016-02-07").values() {
        let (first, last) = (fixes[0].time_ms, fixes[fixes.len() - 1].time_ms);
        for start in (first - 1_800_000..last).step_by(3_600_000) {
            let hour = start..=start + 3_599_999;
            let around = rules.reading_range(&hour);
            let read = fixes.iter().copied().filter(|fix| around.contains(&fix.time_ms));
            let found = segment(read, rules, hour.clone());
            assert_eq!(found, segment(fixes.iter().copied(), rules, hour));
            trips += found.trips.len();
            stops += found.stops.len();
        }
    }
    assert!(trips > 1_000 && stops > 1_000, "{trips} trips, {stops} stops");
}

#[test]
fn absurd_fixes_of_buses_do_not_become_distance() {
    // Raw, one bus of this day goes 193,624 km.
    for (bus, fixes) in buses("2015-03-18") {
        let found = segment(fixes.iter().copied(), TripRules::default(), i64::MIN..=i64::MAX);
        let metres: f64 = found.trips.iter().map(|trip| trip.distance_m).sum();
        assert!(metres < 600_000.0, "{bus}: {metres}");
        // Some buses say for hours that they are at (0, 0); that is what they said.
        let places = [Point::new(30.27, -97.74), Point::new(0.0, 0.0)].map(PointE7::from);
        let is_known = |at: PointE7| places.iter().any(|place| place.distance_m(at) < 60_000.0);
        assert!(found.stops.iter().all(|stop| is_known(stop.at)), "{bus}: {:?}", found.stops);
    }
}
