//! Sender, replay and simulate against a stub server that misbehaves on demand.

mod stub;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use drover_sim::error::Error;
use drover_sim::fleet::{DriveOptions, Fleet, FleetPlan, drive};
use drover_sim::replay::{ReplayOptions, replay};
use drover_sim::report::{Kind, Report};
use drover_sim::send::{Batch, Patience, Sender, Via};
use drover_sim::simulate::{SimulateOptions, simulate};
use drover_sim::wire::target::Target;
use stub::{Mood, Stub};

const DOORS: [Via; 2] = [Via::Http, Via::WebSocket];

fn sender(stub: &Stub, via: Via) -> Sender {
    Sender::new(Target::parse(&stub.url(), Some("secret".into()), None).unwrap(), via, Patience::default())
}

fn batch(latitudes: &[f64]) -> Batch {
    let mut batch = Batch::default();
    for (number, latitude) in latitudes.iter().enumerate() {
        let mut report = Report::new(Kind::Driver, format!("d{number}"));
        report.event_time_ms = Some(1_700_000_000_000);
        (report.latitude, report.longitude) = (Some(*latitude), Some(2.0));
        batch.push(&report);
    }
    batch
}

#[tokio::test]
async fn a_busy_server_is_waited_for_as_long_as_it_asks() {
    for via in DOORS {
        let stub = Stub::start(&[Mood::Busy(1)]);
        let started = Instant::now();
        let answer = sender(&stub, via).send(&batch(&[1.0, 91.0])).await.unwrap();
        assert_eq!((answer.accepted, answer.duplicates, answer.rejected.len()), (1, 0, 1));
        assert_eq!((answer.rejected[0].index, answer.rejected[0].code.as_str()), (1, "out_of_range"));
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert!(stub.state.lock().unwrap().authorizations.contains("Bearer secret"));
    }
}

#[tokio::test]
async fn a_lost_answer_makes_duplicates_and_loses_nothing() {
    for via in DOORS {
        let stub = Stub::start(&[Mood::HangUp, Mood::TakeAndHangUp]);
        let mut sender = sender(&stub, via);
        let answer = sender.send(&batch(&[1.0, 2.0])).await.unwrap();
        assert_eq!((answer.accepted, answer.duplicates), (0, 2));
        assert_eq!((sender.losses(), stub.state.lock().unwrap().taken.len()), (2, 2));
    }
}

#[tokio::test]
async fn a_batch_of_which_all_is_refused_is_an_answer() {
    for via in DOORS {
        let answer = sender(&Stub::start(&[]), via).send(&batch(&[99.0])).await.unwrap();
        assert_eq!((answer.accepted, answer.rejected.len()), (0, 1));
    }
}

#[tokio::test]
async fn patience_ends() {
    let stub = Stub::start(&[Mood::Busy(0); 5]);
    let patience =
        Patience { attempts: 3, first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(1) };
    let mut sender = Sender::new(Target::parse(&stub.url(), None, None).unwrap(), Via::Http, patience);
    let error = sender.send(&batch(&[1.0])).await.unwrap_err();
    assert!(matches!(error, Error::GivenUp { attempts: 3, .. }), "{error}");
}

fn trace(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("trace.csv");
    let rows = "vehicle_id,lat,lon,time\na,1,2,1000\na,1,2,1000\nb,95,2,1001\nb,1,2,1002\nb,north,2,1003\nc,1,2,\n";
    std::fs::write(&path, rows).unwrap();
    path
}

#[tokio::test]
async fn a_replay_settles_every_row() {
    let folder = tempfile::tempdir().unwrap();
    for via in DOORS {
        let stub = Stub::start(&[Mood::Busy(0), Mood::HangUp]);
        let options = ReplayOptions {
            via,
            speed: 0.0,
            keep_times: true,
            batch: 2,
            ..ReplayOptions::new(vec![trace(&folder)], stub.url())
        };
        let summary = replay(options).await.unwrap();
        assert_eq!((summary.rows, summary.sent, summary.row_errors), (6, 5, 1));
        assert_eq!((summary.accepted, summary.duplicates, summary.rejected["out_of_range"]), (3, Some(1), 1));
        let taken = &stub.state.lock().unwrap().taken;
        assert!(taken.contains("vehicle a 1000000") && taken.contains("vehicle c null"), "{taken:?}");
    }
}

#[tokio::test]
async fn a_replay_at_speed_starts_now_and_keeps_proportions() {
    let folder = tempfile::tempdir().unwrap();
    let stub = Stub::start(&[]);
    let before = jiff::Timestamp::now().as_millisecond();
    let started = Instant::now();
    let options = ReplayOptions { speed: 10.0, ..ReplayOptions::new(vec![trace(&folder)], stub.url()) };
    assert_eq!(replay(options).await.unwrap().accepted, 3);
    assert!(started.elapsed() >= Duration::from_millis(200), "2 s of trace at ten times the speed");
    let received = &stub.state.lock().unwrap().received;
    let times: Vec<i64> = received.iter().filter_map(|report| report["timestamp"].as_i64()).collect();
    assert!(times[0] >= before && times[0] <= jiff::Timestamp::now().as_millisecond());
    assert_eq!((times[2] - times[0], times[3] - times[0]), (100, 200));
}

fn load(stub: &Stub, via: Via) -> SimulateOptions {
    SimulateOptions {
        via,
        drivers: 40,
        stations: 2,
        interval: Duration::from_millis(100),
        duration: Duration::from_millis(500),
        connections: 3,
        ..SimulateOptions::new(stub.url())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paced_load_sends_what_is_due_and_the_ledger_holds_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    for via in DOORS {
        let stub = Stub::start(&[]);
        stub.state.lock().unwrap().moods.extend([Mood::TakeAndHangUp, Mood::Busy(0), Mood::HangUp]);
        let ledger = folder.path().join(format!("{via:?}"));
        let options = SimulateOptions { ledger: Some(ledger.clone()), watchers: 2, ..load(&stub, via) };
        let summary = simulate(options).await.unwrap();
        assert_eq!((summary.sent + summary.unsent, summary.unanswered), (42 * 5, 0), "{summary}");
        assert_eq!(summary.acknowledged, summary.sent);
        assert!(summary.errors >= 3 && summary.duplicates >= Some(1), "{summary}");
        let written: BTreeSet<String> = std::fs::read_to_string(&ledger).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(written, stub.state.lock().unwrap().taken);
        let watch = summary.watch.unwrap();
        assert_eq!(watch.updates, written.iter().filter(|line| line.starts_with("driver")).count() as u64 * 2);
        assert!(watch.latency.p50_ms < 400.0);
    }
}

/// All that was under way when a server began to refuse is refused: that is one wait, not one for each frame.
#[tokio::test(flavor = "multi_thread")]
async fn many_refusals_at_once_are_waited_for_once() {
    let stub = Stub::start(&[Mood::Busy(2); 8]);
    let duration = Duration::from_secs(3);
    let options = SimulateOptions { connections: 1, duration, ..load(&stub, Via::WebSocket) };
    let started = Instant::now();
    let summary = simulate(options).await.unwrap();
    assert_eq!((summary.unanswered, summary.acknowledged, summary.errors), (0, summary.sent, 8), "{summary}");
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_loop_sends_the_next_batch_after_each_acknowledgement() {
    for via in DOORS {
        let stub = Stub::start(&[]);
        let summary = simulate(SimulateOptions { closed_loop: true, batch: 10, ..load(&stub, via) }).await.unwrap();
        assert_eq!((summary.acknowledged, summary.unanswered, summary.duplicates), (summary.sent, 0, Some(0)));
        assert!(summary.sent > 42 * 5, "{summary}");
        assert_eq!(stub.state.lock().unwrap().taken.len() as u64, summary.sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_fleet_drives_until_it_is_stopped() {
    let stub = Stub::start(&[Mood::HangUp]);
    let state = stub.state.clone();
    let enough = async move {
        while state.lock().unwrap().taken.len() < 92 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // Of a fixed day it would have to drive all the days until now first.
    let fleet = Fleet::new(&FleetPlan::default(), jiff::Timestamp::now().as_millisecond() - 60_000);
    drive(fleet, DriveOptions::new(stub.url()), enough).await.unwrap();
    let kinds: BTreeSet<String> =
        stub.state.lock().unwrap().received.iter().map(|report| report["kind"].to_string()).collect();
    assert!(kinds.len() >= 2, "{kinds:?}");
}
