//! Measures the whole-day question over a day of 1,736 drivers who report every 5 s for 8 h (9,999,360 reports):
//! average speed by driver and hour. Makes the lake in a folder at the first run.
//!
//! `cargo run --release -p drover-query --example day -- folder=/tmp/day [drivers=1736] [runs=50] [sql="…"]`

#[path = "../tests/lake/mod.rs"]
mod lake;

use drover_history::{Rows, View, report_schema};
use drover_model::{Draft, Kind, Rules};
use drover_query::{Engine, Limits, Settings};
use lake::{Lake, MS_PER_DAY};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// 2026-01-05T00:00:00Z, ms.
const START: i64 = 1_767_571_200_000;
/// A driver's shift: 8 h, one report every 5 s.
const REPORTS: u32 = 5_760;
const QUESTION: &str = "SELECT id, date_trunc('hour', event_time) AS h, avg(speed_kmh) AS v FROM reports \
    WHERE event_time >= '2026-01-05T00:00:00Z' AND event_time < '2026-01-06T00:00:00Z' GROUP BY 1, 2";

fn argument(name: &str) -> Option<String> {
    std::env::args().find_map(|given| given.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

fn number(name: &str, otherwise: usize) -> usize {
    argument(name).map_or(otherwise, |given| given.parse().expect("a number"))
}

fn main() {
    let folder = PathBuf::from(argument("folder").expect("folder=…"));
    std::fs::create_dir_all(&folder).expect("the folder");
    let path = folder.join("day.parquet");
    if !path.exists() {
        let began = Instant::now();
        make(&path, number("drivers", 1736) as u32);
        println!("made {} in {:?}", path.display(), began.elapsed());
    }
    let view = view(&folder, &path);
    println!(
        "rows={} bytes={} bytes/row={:.2}",
        view.files[0].rows,
        view.files[0].bytes,
        view.files[0].bytes as f64 / view.files[0].rows as f64
    );
    let engine = Engine::over(move || view.clone(), Settings::default()).expect("the engine");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(measure(&engine));
}

async fn measure(engine: &Engine) {
    let sql = argument("sql").unwrap_or_else(|| QUESTION.to_owned());
    let limits = Limits { rows: 1_000_000, time: Duration::from_secs(120), ..Limits::default() };
    if argument("explain").is_some() {
        let mut answer = engine.run(&format!("EXPLAIN ANALYZE {sql}"), limits.clone()).await.expect("a plan");
        answer.write(drover_query::Shape::Csv, &mut std::io::stdout()).await.expect("printed");
    }
    let mut times = Vec::new();
    let mut line = String::new();
    for _ in 0..number("runs", 50) {
        let began = Instant::now();
        let mut answer = engine.run(&sql, limits.clone()).await.expect("an answer");
        let rows: usize = answer.collect().await.expect("rows").iter().map(|batch| batch.num_rows()).sum();
        times.push(began.elapsed());
        line = format!("rows={rows} {:?}", answer.progress());
    }
    times.sort();
    println!("{line}");
    println!("p50={:?} p99={:?} min={:?}", times[times.len() / 2], times[times.len() * 99 / 100], times[0]);
}

fn view(folder: &Path, path: &Path) -> Arc<View> {
    use parquet::file::reader::FileReader;
    let file = std::fs::File::open(path).expect("the file");
    let reader = parquet::file::serialized_reader::SerializedFileReader::new(file).expect("a Parquet file");
    let rows = reader.metadata().file_metadata().num_rows() as u64;
    let mut view = View::clone(&Lake::new().view());
    view.data_path = folder.into();
    view.files = vec![Arc::new(drover_history::LakeFile {
        id: 1,
        path: path.to_owned(),
        rows,
        bytes: std::fs::metadata(path).expect("there").len(),
        footer_bytes: 0,
        day: (START / MS_PER_DAY) as i32,
        first: drover_history::Key { kind: Kind::Driver, id: "1".into() },
        last: drover_history::Key { kind: Kind::Driver, id: "999".into() },
        event_time: START..=START + MS_PER_DAY - 1,
        position: 1..=rows,
    })]
    .into();
    Arc::new(view)
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn gauss(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

struct Driver {
    dice: Dice,
    start: u32,
    lat: f64,
    lon: f64,
    speed: f64,
    heading: f64,
    target: f64,
    order: u64,
    order_left: u32,
}

impl Driver {
    fn new(number: u32) -> Driver {
        let mut dice = Dice(u64::from(number) * 7919);
        let start = (dice.unit() * 11_520.0) as u32;
        let (lat, lon) = (41.0 + dice.unit() * 0.3, -8.7 + dice.unit() * 0.3);
        let heading = dice.unit() * 360.0;
        Driver { dice, start, lat, lon, speed: 0.0, heading, target: 8.0, order: 0, order_left: 60 }
    }

    /// Five seconds of driving.
    fn step(&mut self) {
        let dice = &mut self.dice;
        if dice.unit() < 0.05 {
            self.target = if dice.unit() < 0.25 { 0.0 } else { 3.0 + 14.0 * dice.unit() };
            self.heading += if dice.unit() < 0.5 { 90.0 } else { 0.0 };
        }
        self.speed = (self.speed + 0.4 * (self.target - self.speed) + 0.3 * dice.gauss()).clamp(0.0, 30.0);
        self.heading = (self.heading + 2.0 * dice.gauss()).rem_euclid(360.0);
        let step = 5.0 * self.speed / 111_320.0;
        self.lat += step * self.heading.to_radians().cos();
        self.lon += step * self.heading.to_radians().sin() / self.lat.to_radians().cos();
        if self.order_left == 0 {
            self.order = if self.order == 0 { (dice.unit() * 1e6) as u64 + 1 } else { 0 };
            self.order_left = 60 + (dice.unit() * 300.0) as u32;
        }
        self.order_left -= 1;
    }

    fn draft(&mut self, id: &str, tick: u32) -> (Draft<'static>, i64) {
        let noise = 3.0 / 111_320.0;
        let event_time = START + i64::from(tick) * 5_000 + (self.dice.unit() * 1_000.0) as i64;
        let hundredth = |value: f64, digits: f64| (value * digits).round() / digits;
        let draft = Draft {
            kind: Some(Kind::Driver),
            id: Some(id.to_owned().into()),
            event_time: Some(event_time),
            latitude: Some(hundredth(self.lat + noise * self.dice.gauss(), 1e6)),
            longitude: Some(hundredth(self.lon + noise * self.dice.gauss(), 1e6)),
            accuracy_m: Some(hundredth(3.0 + 4.0 * self.dice.unit() * self.dice.unit(), 10.0)),
            speed_kmh: Some(hundredth(self.speed * 3.6, 10.0)),
            heading_deg: Some(self.heading.floor()),
            order_id: (self.order > 0).then(|| self.order.to_string().into()),
            ..Draft::default()
        };
        (draft, event_time + (self.dice.unit() * 2_000.0) as i64)
    }
}

/// Writes the day, driver by driver in the order of their ids, as the lake sorts it.
fn make(path: &PathBuf, drivers: u32) {
    let schema = report_schema(&[]);
    let unfinished = path.with_extension("unfinished");
    let mut writer = lake::writer(&unfinished, &schema);
    let mut ids: Vec<String> = (1..=drivers).map(|number| number.to_string()).collect();
    ids.sort();
    for id in ids {
        let number: u32 = id.parse().expect("a number");
        let mut driver = Driver::new(number);
        let mut rows = Rows::new(schema.clone());
        for tick in driver.start..driver.start + REPORTS {
            driver.step();
            let (draft, received) = driver.draft(&id, tick);
            let report = draft.check(&Rules::default(), received).expect("a good report");
            // About the order of arrival: by time, then by driver.
            let position = u64::from(tick) * u64::from(drivers) + u64::from(number);
            rows.push(position, &report, "local");
        }
        writer.write(&rows.finish()).expect("written");
    }
    writer.close().expect("closed");
    std::fs::rename(unfinished, path).expect("named");
}
