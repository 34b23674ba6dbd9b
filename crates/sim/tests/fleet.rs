//! The demo fleet as an outsider sees it: only its reports are looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use drover_sim::fleet::{Fleet, FleetPlan, Job, Stage, Streets};
use drover_sim::ground::{Place, turn_deg};
use drover_sim::report::{Kind, Report};

const START_MS: i64 = 1_790_000_000_000;

fn plan(seed: u64) -> FleetPlan {
    FleetPlan { seed, ..FleetPlan::default() }
}

fn drive(seed: u64, seconds: i64) -> Vec<Report> {
    Fleet::new(&plan(seed), START_MS).step(START_MS + seconds * 1000)
}

fn place(report: &Report) -> Place {
    Place { latitude: report.latitude.unwrap(), longitude: report.longitude.unwrap() }
}

/// The moving assets' reports, each asset's in the order of time.
fn ways(reports: &[Report]) -> BTreeMap<&str, Vec<&Report>> {
    let mut ways = BTreeMap::<&str, Vec<&Report>>::new();
    for report in reports.iter().filter(|report| report.kind != Kind::Station) {
        ways.entry(&*report.id).or_default().push(report);
    }
    ways
}

#[test]
fn one_seed_gives_one_fleet_however_often_it_is_asked() {
    let mut fleet = Fleet::new(&plan(7), START_MS);
    let in_steps: Vec<Report> = (1..=300).flat_map(|second| fleet.step(START_MS + second * 1000)).collect();
    assert_eq!(in_steps, drive(7, 300));
    assert_ne!(in_steps, drive(8, 300));
}

#[test]
fn everyone_reports_at_its_own_pace() {
    let reports = drive(1, 60);
    let mut counts = BTreeMap::<(&str, &str), usize>::new();
    for report in &reports {
        *counts.entry((report.kind.name(), &*report.id)).or_default() += 1;
    }
    assert_eq!(counts.len(), 92);
    for ((kind, id), count) in counts {
        let expected = if kind == "station" {
            12
        } else if kind == "driver" {
            60
        } else {
            30
        };
        assert_eq!(count, expected, "{id}");
    }
    assert!(reports.is_sorted_by_key(|report| report.event_time_ms));
}

/// Stretches by cell of about 200 m, to find the nearest one.
struct Nearby(HashMap<(i64, i64), Vec<(Place, Place)>>);

impl Nearby {
    fn new(streets: &Streets) -> Nearby {
        let mut cells = HashMap::<_, Vec<_>>::new();
        for (from, to) in streets.stretches() {
            for part in 0..=(from.distance_m(to) / 100.0) as usize + 1 {
                let on_the_way = from.towards(to, (part as f64 * 100.0 / from.distance_m(to).max(1.0)).min(1.0));
                cells.entry(cell(on_the_way)).or_default().push((from, to));
            }
        }
        Nearby(cells)
    }

    fn distance_m(&self, place: Place) -> f64 {
        let (row, column) = cell(place);
        let around = (row - 1..=row + 1).flat_map(|row| (column - 1..=column + 1).map(move |column| (row, column)));
        let stretches = around.filter_map(|cell| self.0.get(&cell)).flatten();
        stretches.map(|&(from, to)| place.distance_to_line_m(from, to)).fold(f64::INFINITY, f64::min)
    }
}

fn cell(place: Place) -> (i64, i64) {
    ((place.latitude * 500.0).floor() as i64, (place.longitude * 400.0).floor() as i64)
}

#[test]
fn vehicles_stay_on_the_streets() {
    let nearby = Nearby::new(&Streets::porto());
    for report in drive(2, 600) {
        let distance = nearby.distance_m(place(&report));
        assert!(distance < 15.0, "{} is {distance:.1} m from the nearest street", report.id);
    }
}

#[test]
fn speeds_are_those_of_town_and_agree_with_the_way_made() {
    let reports = drive(3, 1200);
    for (id, way) in ways(&reports) {
        let (mut said_m, mut made_m) = (0.0, 0.0);
        for pair in way.windows(2) {
            let (before, after) = (pair[0], pair[1]);
            let seconds = (after.event_time_ms.unwrap() - before.event_time_ms.unwrap()) as f64 / 1000.0;
            let (slow, fast) = (before.speed_kmh.unwrap(), after.speed_kmh.unwrap());
            assert!((0.0..=125.0).contains(&fast), "{id} {fast}");
            assert!(
                (fast - slow) / 3.6 <= 1.5 * seconds + 0.3,
                "{id} accelerates from {slow} to {fast} in {seconds} s"
            );
            said_m += (slow + fast) / 2.0 / 3.6 * seconds;
            if slow + fast > 0.0 {
                made_m += place(before).distance_m(place(after));
            }
        }
        // Bends are cut between reports, and noise adds a little.
        assert!((0.85..1.12).contains(&(made_m / said_m)), "{id} says {said_m:.0} m and makes {made_m:.0} m");
    }
    let moving: Vec<f64> = reports.iter().filter_map(|report| report.speed_kmh).filter(|speed| *speed > 1.0).collect();
    let mean = moving.iter().sum::<f64>() / moving.len() as f64;
    assert!((18.0..50.0).contains(&mean), "{mean}");
}

#[test]
fn headings_point_along_the_way() {
    let reports = drive(4, 600);
    let mut differences: Vec<f64> = Vec::new();
    for (_, way) in ways(&reports) {
        let fast = |pair: &&[&Report]| pair.iter().all(|report| report.speed_kmh.unwrap() > 20.0);
        for pair in way.windows(2).filter(fast) {
            differences.push(turn_deg(pair[0].heading_deg.unwrap(), place(pair[0]).bearing_deg(place(pair[1]))));
        }
    }
    differences.sort_by(f64::total_cmp);
    assert!(differences.len() > 5000, "{}", differences.len());
    let at = |part: f64| differences[(differences.len() as f64 * part) as usize];
    assert!(at(0.5) < 6.0 && at(0.95) < 40.0, "{} {}", at(0.5), at(0.95));
}

#[test]
fn a_day_has_orders_stops_and_swapped_batteries() {
    let reports = drive(5, 2 * 3600);
    let orders: BTreeSet<&str> = reports.iter().filter_map(|report| report.order_id.as_deref()).collect();
    assert!(orders.len() > 150, "{}", orders.len());
    let mut swaps = 0;
    for (id, way) in ways(&reports) {
        let statuses: BTreeSet<&str> = way.iter().filter_map(|report| report.status.as_deref()).collect();
        assert_eq!(statuses, BTreeSet::from(["active", "idle"]), "{id}");
        for pair in way.windows(2) {
            let (before, after) = (pair[0].battery_pct.unwrap(), pair[1].battery_pct.unwrap());
            assert!(after > 2.0, "{id} ran empty");
            swaps += usize::from(after > before + 10.0);
            assert!(after <= before || after > 99.0, "{id} charges while driving");
        }
    }
    assert!(swaps > 3, "{swaps}");
    let stock: BTreeSet<String> = reports
        .iter()
        .filter(|report| report.kind == Kind::Station)
        .map(|report| format!("{:?}", report.readings[0]))
        .collect();
    assert!(stock.len() > 4, "{stock:?}");
}

#[test]
fn an_order_is_collected_then_delivered_and_reports_name_it_from_then_on() {
    let mut fleet = Fleet::new(&plan(6), START_MS);
    fleet.count_orders_from(100);
    let mut stages = BTreeMap::<String, Vec<Stage>>::new();
    for second in 1..=3600 {
        let reports = fleet.step(START_MS + second * 1000);
        let jobs: HashMap<String, Job> = fleet.jobs().into_iter().map(|job| (job.id.clone(), job)).collect();
        for job in jobs.values() {
            let seen = stages.entry(job.order_id.clone()).or_default();
            if seen.last() != Some(&job.stage) {
                seen.push(job.stage);
            }
            let is_there = job.place.distance_m(job.goal) < 1.0;
            let stands = matches!(job.stage, Stage::PickedUp | Stage::Arrived);
            assert!(!stands || is_there, "{job:?}");
        }
        let last_of_each: HashMap<&str, &Report> = reports.iter().map(|report| (&*report.id, report)).collect();
        for report in last_of_each.values().filter(|report| report.event_time_ms == Some(START_MS + second * 1000)) {
            let job = jobs.get(&*report.id).filter(|job| job.stage >= Stage::Delivering);
            assert_eq!(report.order_id.as_deref(), job.map(|job| &*job.order_id), "{}", report.id);
        }
    }
    let whole = [Stage::Collecting, Stage::PickedUp, Stage::Delivering, Stage::Arrived];
    assert!(stages.values().filter(|seen| **seen == whole).count() > 80, "{}", stages.len());
    assert!(stages.values().all(|seen| whole.starts_with(seen)), "{stages:?}");
    assert!(stages.contains_key("C01-0100") && stages.contains_key("V60-0100"));
}
