//! A recorded day of Austin's buses, played into a node through each door, against a recount that
//! shares nothing with Drover but the file.

mod harness;

use flate2::read::GzDecoder;
use harness::{Node, folder, read_log, shared, summary};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::OnceLock;

const ROWS: u64 = 44_564;
const KMH_PER_MPH: f64 = 1.609_344;
const MAX_SPEED_KMH: f64 = 200.0;

/// How many reports a bus has and where it was last, in units of 1e-7 degree.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Bus {
    reports: u64,
    last_ms: i64,
    latitude_e7: i64,
    longitude_e7: i64,
}

type Buses = BTreeMap<String, Bus>;

/// What the file itself says must come out.
#[derive(Debug, Default)]
struct Recount {
    accepted: u64,
    duplicates: u64,
    out_of_range: u64,
    conflicts: u64,
    buses: Buses,
}

/// One row, with numbers as they are compared: places in 1e-7 degree.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    bus: String,
    time_ms: i64,
    speed_kmh: f64,
    latitude_e7: i64,
    longitude_e7: i64,
    words: [String; 3],
}

fn trace() -> PathBuf {
    shared("data/traces/austin-buses/2015-03-07.csv.gz")
}

fn rows() -> Vec<Row> {
    let mut text = String::new();
    GzDecoder::new(File::open(trace()).expect("the trace opens"))
        .read_to_string(&mut text)
        .expect("whole gzip of UTF-8");
    text.lines().skip(1).map(row).collect()
}

/// vehicle_id,timestamp,speed,route_id,trip_id,latitude,longitude,trip_headsign
fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.split(',').collect();
    assert_eq!(cells.len(), 8, "{line}");
    let number = |at: usize| -> f64 { cells[at].parse().unwrap_or_else(|_| panic!("cell {at} of {line}")) };
    Row {
        bus: cells[0].into(),
        time_ms: time_ms(cells[1]),
        speed_kmh: number(2) * KMH_PER_MPH,
        latitude_e7: (number(5) * 1e7).round() as i64,
        longitude_e7: (number(6) * 1e7).round() as i64,
        words: [3, 4, 7].map(|at| cells[at].into()),
    }
}

/// `2015-03-07T10:03:34-06:00`, by the calendar rather than by a library that Drover may use as well.
fn time_ms(text: &str) -> i64 {
    let number = |from: usize, to: usize| -> i64 { text[from..to].parse().expect("digits of a time") };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let sign = if &text[19..20] == "-" { -1 } else { 1 };
    let offset_s = sign * (number(20, 22) * 3600 + number(23, 25) * 60);
    let days = days_since_1970(year, month, day);
    ((days * 24 + number(11, 13)) * 3600 + number(14, 16) * 60 + number(17, 19) - offset_s) * 1000
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let leap = |year: i64| i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let of_years: i64 = (1970..year).map(|year| 365 + leap(year)).sum();
    let lengths = [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    of_years + lengths[..month as usize - 1].iter().sum::<i64>() + day - 1
}

fn is_in_range(row: &Row) -> bool {
    (-900_000_000..=900_000_000).contains(&row.latitude_e7)
        && (-1_800_000_000..=1_800_000_000).contains(&row.longitude_e7)
        && (0.0..=MAX_SPEED_KMH).contains(&row.speed_kmh)
}

/// Of two rows of one bus and one moment the first stays: the second is its duplicate or in conflict with it.
fn recount(rows: Vec<Row>) -> Recount {
    let mut recount = Recount::default();
    let mut first: HashMap<(String, i64), Row> = HashMap::new();
    for row in rows {
        if !is_in_range(&row) {
            recount.out_of_range += 1;
            continue;
        }
        match first.get(&(row.bus.clone(), row.time_ms)) {
            Some(known) if *known == row => recount.duplicates += 1,
            Some(_) => recount.conflicts += 1,
            None => {
                recount.accepted += 1;
                recount.buses.entry(row.bus.clone()).or_default().count(row.time_ms, row.latitude_e7, row.longitude_e7);
                first.insert((row.bus.clone(), row.time_ms), row);
            }
        }
    }
    recount
}

impl Bus {
    fn count(&mut self, time_ms: i64, latitude_e7: i64, longitude_e7: i64) {
        self.reports += 1;
        if time_ms > self.last_ms {
            (self.last_ms, self.latitude_e7, self.longitude_e7) = (time_ms, latitude_e7, longitude_e7);
        }
    }
}

impl Recount {
    /// What a client must print after the first or after a later playing.
    fn check(&self, summary: &Value, again: bool) {
        let (accepted, duplicates) =
            if again { (0, self.accepted + self.duplicates) } else { (self.accepted, self.duplicates) };
        let expected: BTreeMap<&str, u64> = [("out_of_range", self.out_of_range), ("conflict", self.conflicts)]
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .collect();
        assert_eq!(summary["rows"], ROWS, "{summary}");
        assert_eq!(summary["accepted"], accepted, "{summary}");
        assert_eq!(summary["duplicates"], duplicates, "{summary}");
        assert_eq!(summary["rejected"], json!(expected), "{summary}");
        assert_eq!(summary["row_errors"], 0, "{summary}");
        let rejected: u64 = expected.values().sum();
        assert_eq!(accepted + duplicates + rejected, ROWS, "every row is in one count");
    }
}

fn play(node: &Node, door: &str) -> Value {
    let trace = trace();
    let file = trace.to_str().expect("a path in UTF-8");
    let before = taken(node, door);
    let mqtt = node.door("mqtt").to_string();
    let addresses = ["--url", &node.url(), "--mqtt", &mqtt, "--via", door];
    let rest = ["--keep-times", "--speed", "0", "--json"];
    let mut summary = summary(&[&["replay", file], &addresses[..], &rest[..]].concat());
    if door == "mqtt" {
        // An acknowledgement there says taken, new or not: the node's own count tells them apart.
        let after = taken(node, door);
        let [accepted, duplicates] = [0, 1].map(|at| after[at] - before[at]);
        assert_eq!(summary["accepted"], accepted + duplicates, "{summary}");
        (summary["accepted"], summary["duplicates"]) = (json!(accepted), json!(duplicates));
    }
    summary
}

/// Accepted reports and duplicates of a door, as the node counts them.
fn taken(node: &Node, door: &str) -> [u64; 2] {
    ["accepted", "duplicate"].map(|what| node.metric(&format!("drover_reports_{what}_total{{door=\"{door}\"}}")) as u64)
}

/// Where the node says that each bus is.
fn shown(node: &Node, buses: &Buses) -> BTreeMap<String, (i64, i64, i64)> {
    let position = node.log_position();
    let place = |bus: &String| {
        let answer = node.get(&format!("/api/v1/vehicles/{bus}/location?at_least={position}")).expect(200);
        let e7 = |field: &str| (answer[field].as_f64().expect("degrees") * 1e7).round() as i64;
        let utc = answer["timestamp"].as_str().expect("a time").replace('Z', "+00:00");
        (bus.clone(), (time_ms(&utc), e7("latitude"), e7("longitude")))
    };
    buses.keys().map(place).collect()
}

fn last_places(buses: &Buses) -> BTreeMap<String, (i64, i64, i64)> {
    buses.iter().map(|(id, bus)| (id.clone(), (bus.last_ms, bus.latitude_e7, bus.longitude_e7))).collect()
}

fn logged_buses(data: &std::path::Path) -> Buses {
    let mut buses = Buses::new();
    for logged in read_log(data) {
        let place = logged.place.expect("every row has a place");
        buses.entry(logged.id).or_default().count(logged.time_ms, place.lat_e7.into(), place.lon_e7.into());
    }
    buses
}

/// Plays the day three times, once after a restart, checking on the way; gives what the log holds in the end.
fn live_through_the_day(door: &str) -> Buses {
    let expected = recount(rows());
    let folder = folder();
    let data = folder.path().join("data");

    let node = Node::start(&data);
    expected.check(&play(&node, door), false);
    assert_eq!(node.log_position(), expected.accepted, "the log holds what was accepted");
    assert_eq!(shown(&node, &expected.buses), last_places(&expected.buses));
    expected.check(&play(&node, door), true);
    assert_eq!(node.log_position(), expected.accepted, "sending twice adds nothing");
    let before = node.checksum();
    node.stop();

    let node = Node::start(&data);
    assert_eq!(node.checksum(), before, "a restart changes nothing");
    expected.check(&play(&node, door), true);
    assert_eq!(node.log_position(), expected.accepted, "nor does sending again after a restart");
    assert_eq!(node.checksum(), before);
    assert_eq!(shown(&node, &expected.buses), last_places(&expected.buses));
    node.stop();

    let logged = logged_buses(&data);
    assert_eq!(logged, expected.buses, "per bus: number of reports and last place");
    logged
}

/// Each door's day is played once, whichever tests ask for it.
fn day_through(door: &str) -> &'static Buses {
    static HTTP: OnceLock<Buses> = OnceLock::new();
    static WEBSOCKET: OnceLock<Buses> = OnceLock::new();
    static MQTT: OnceLock<Buses> = OnceLock::new();
    let day = match door {
        "http" => &HTTP,
        "websocket" => &WEBSOCKET,
        _ => &MQTT,
    };
    day.get_or_init(|| live_through_the_day(door))
}

#[test]
fn the_file_holds_what_this_scenario_is_about() {
    let rows = rows();
    assert_eq!(rows.len() as u64, ROWS);
    let Recount { accepted, duplicates, buses, .. } = recount(rows);
    assert!(accepted > 40_000 && duplicates > 0 && buses.len() > 100, "{accepted} {duplicates} {}", buses.len());
}

#[test]
fn over_http_every_row_is_in_one_count_and_sending_again_adds_nothing() {
    day_through("http");
}

#[test]
fn over_websocket_every_row_is_in_one_count_and_sending_again_adds_nothing() {
    day_through("websocket");
}

#[test]
fn over_mqtt_every_row_is_in_one_count_and_sending_again_adds_nothing() {
    day_through("mqtt");
}

#[test]
fn all_doors_leave_the_same_day() {
    assert_eq!(day_through("http"), day_through("websocket"));
    assert_eq!(day_through("http"), day_through("mqtt"));
}
