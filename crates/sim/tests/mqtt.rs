//! Sender, replay and simulate over MQTT, against a stub broker that refuses, hangs up and acknowledges in pieces.

mod stub;

use std::collections::BTreeSet;
use std::time::Duration;

use drover_sim::error::Error;
use drover_sim::replay::{ReplayOptions, replay};
use drover_sim::report::{Kind, Report};
use drover_sim::send::{Batch, Patience, Sender, Via};
use drover_sim::simulate::{SimulateOptions, simulate};
use drover_sim::wire::mqtt::{Mqtt, Version};
use drover_sim::wire::target::Target;
use stub::{Mood, Stub};
use tokio::time::Instant;

const VERSIONS: [Version; 2] = [Version::V3, Version::V5];
const QUICK: Patience =
    Patience { attempts: 3, first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(1) };

fn target(stub: &Stub) -> Target {
    Target::parse_mqtt(&format!("mqtt://{}", stub.address), None, None).unwrap()
}

fn sender(stub: &Stub, version: Version) -> Sender {
    Sender::new(target(stub), Via::Mqtt(version), QUICK)
}

fn report(kind: Kind, id: String, latitude: f64) -> Report {
    let mut report = Report::new(kind, id);
    report.event_time_ms = Some(1_700_000_000_000);
    (report.latitude, report.longitude) = (Some(latitude), Some(2.0));
    report
}

fn drivers(latitudes: &[f64]) -> Batch {
    let mut batch = Batch::default();
    for (number, latitude) in latitudes.iter().enumerate() {
        batch.push(&report(Kind::Driver, format!("d{number}"), *latitude));
    }
    batch
}

#[tokio::test]
async fn each_report_is_a_publish_on_its_own_topic() {
    let mut batch = Batch::default();
    for kind in ["driver", "rider", "vehicle", "station", "other"] {
        batch.push(&report(Kind::from_name(kind).unwrap(), "7".into(), 1.0));
    }
    for version in VERSIONS {
        let stub = Stub::start(&[]);
        let answer = sender(&stub, version).send(&batch).await.unwrap();
        assert_eq!((answer.accepted, answer.rejected.len()), (5, 0));
        let state = stub.state.lock().unwrap();
        let topics: Vec<&str> = state.broker.topics.iter().map(String::as_str).collect();
        let expected = [
            "drivers/7/location",
            "ev/station/7/telemetry",
            "others/7/location",
            "riders/7/location",
            "vehicles/7/location",
        ];
        assert_eq!(topics, expected);
        assert!(state.broker.client_ids.iter().all(|id| id.starts_with("drover-sim-")));
    }
}

#[tokio::test]
async fn a_refusal_has_its_reason_and_the_rest_is_taken() {
    let stub = Stub::start(&[]);
    let answer = sender(&stub, Version::V5).send(&drivers(&[1.0, 91.0, 2.0])).await.unwrap();
    assert_eq!((answer.accepted, answer.rejected.len()), (2, 1));
    let refused = &answer.rejected[0];
    assert_eq!((refused.index, refused.code.as_str(), refused.message.as_str()), (1, "out_of_range", "above 90"));
}

#[tokio::test]
async fn a_report_whose_id_is_no_topic_level_is_counted_and_not_sent() {
    let stub = Stub::start(&[]);
    let mut batch = drivers(&[1.0]);
    batch.push(&report(Kind::Vehicle, "a/b".into(), 1.0));
    let answer = sender(&stub, Version::V5).send(&batch).await.unwrap();
    assert_eq!((answer.accepted, answer.rejected[0].index, answer.rejected[0].code.as_str()), (1, 1, "not_a_topic"));
    assert_eq!(stub.state.lock().unwrap().received.len(), 1);
}

#[tokio::test]
async fn a_lost_connection_makes_only_what_had_no_answer_go_again() {
    for version in VERSIONS {
        let stub = Stub::start(&[]);
        let mut sender = sender(&stub, version);
        assert_eq!(sender.send(&drivers(&[1.0; 4])).await.unwrap().accepted, 4);
        stub.state.lock().unwrap().moods.extend([Mood::TakeAndHangUp, Mood::HangUp]);
        assert_eq!(sender.send(&drivers(&[2.0; 3])).await.unwrap().accepted, 3);
        let state = stub.state.lock().unwrap();
        assert_eq!((sender.losses(), state.connections), (2, 3));
        // Four of the first batch, one that was taken without an answer, three of the second batch.
        assert_eq!((state.received.len(), state.taken.len()), (8, 4));
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_a_loss_is_not_sent_again() {
    let stub = Stub::start(&[]);
    stub.state.lock().unwrap().broker.receive_max = 1;
    let mut sender = sender(&stub, Version::V5);
    assert_eq!(sender.send(&drivers(&[1.0])).await.unwrap().accepted, 1);
    stub.state.lock().unwrap().received.clear();
    let batch = drivers(&[1.0, 91.0, 2.0, 3.0]);
    let loss = [Mood::Take, Mood::Take, Mood::HangUp];
    stub.state.lock().unwrap().moods.extend(loss);
    let answer = sender.send(&batch).await.unwrap();
    assert_eq!((answer.accepted, answer.rejected.len(), sender.losses()), (3, 1, 1));
    assert_eq!(stub.state.lock().unwrap().received.len(), 4, "one at a time, none came twice");
}

#[tokio::test]
async fn a_refusal_for_now_is_said_again() {
    let stub = Stub::start(&[Mood::Take, Mood::Busy(0)]);
    let answer = sender(&stub, Version::V5).send(&drivers(&[1.0, 2.0, 3.0])).await.unwrap();
    assert_eq!((answer.accepted, answer.rejected.len(), answer.error), (3, 0, None));
    assert_eq!(stub.state.lock().unwrap().received.len(), 3);
}

#[tokio::test]
async fn a_window_is_filled_and_never_overrun() {
    let stub = Stub::start(&[]);
    stub.state.lock().unwrap().broker.receive_max = 7;
    let answer = sender(&stub, Version::V5).send(&drivers(&[1.0; 200])).await.unwrap();
    assert_eq!((answer.accepted, stub.state.lock().unwrap().broker.widest), (200, 7));
}

#[tokio::test]
async fn a_report_that_3_1_1_cannot_refuse_ends_patience_with_advice() {
    let stub = Stub::start(&[]);
    let error = sender(&stub, Version::V3).send(&drivers(&[91.0, 1.0])).await.unwrap_err();
    assert!(matches!(error, Error::GivenUp { attempts: 3, .. }), "{error}");
    assert!(error.to_string().contains("version 5 would say why"), "{error}");
}

#[tokio::test]
async fn a_broker_that_lets_nobody_in_is_waited_for_or_believed() {
    let stub = Stub::start(&[]);
    stub.state.lock().unwrap().broker.welcomes.extend([0x88, 0, 0x87]);
    let mut first = sender(&stub, Version::V5);
    assert_eq!((first.send(&drivers(&[1.0])).await.unwrap().accepted, first.losses()), (1, 1));
    let error = sender(&stub, Version::V5).send(&drivers(&[1.0])).await.unwrap_err();
    assert!(matches!(error, Error::Refused { status: 0x87, .. }), "{error}");
}

#[tokio::test]
async fn a_quiet_connection_shows_that_it_lives() {
    let stub = Stub::start(&[]);
    let pinged = {
        let mut state = stub.state.lock().unwrap();
        state.broker.keep_alive_s = 1;
        state.broker.pinged.clone()
    };
    let mut mqtt = Mqtt::connect(&target(&stub), "quiet", Version::V5).await.unwrap();
    let long = Duration::from_secs(60);
    let twice = async {
        pinged.notified().await;
        pinged.notified().await;
    };
    tokio::select! {
        outcome = mqtt.idle_until(Instant::now() + long) => panic!("{outcome:?} before two signs of life"),
        () = twice => {}
    }
}

#[tokio::test]
async fn a_replay_settles_every_row_and_claims_no_duplicates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.csv");
    let rows = "vehicle_id,lat,lon,time\na,1,2,1000\na,1,2,1000\nb,95,2,1001\nb,1,2,1002\nb,north,2,1003\nc,1,2,\n";
    std::fs::write(&path, rows).unwrap();
    let stub = Stub::start(&[Mood::HangUp]);
    let options = ReplayOptions {
        via: Via::Mqtt(Version::V5),
        mqtt: stub.address.to_string(),
        speed: 0.0,
        keep_times: true,
        ..ReplayOptions::new(vec![path], "")
    };
    let summary = replay(options).await.unwrap();
    assert_eq!((summary.rows, summary.sent, summary.row_errors), (6, 5, 1));
    assert_eq!((summary.accepted, summary.duplicates, summary.late), (4, None, None));
    assert_eq!((summary.rejected["out_of_range"], summary.connection_losses), (1, 1));
    assert!(summary.to_string().contains("4 acknowledged"), "{summary}");
    assert!(serde_json::to_value(&summary).unwrap()["duplicates"].is_null());
}

fn load(stub: &Stub, version: Version) -> SimulateOptions {
    SimulateOptions {
        via: Via::Mqtt(version),
        mqtt: stub.address.to_string(),
        watch_url: Some(stub.url()),
        drivers: 40,
        stations: 2,
        interval: Duration::from_millis(100),
        duration: Duration::from_millis(500),
        connections: 3,
        ..SimulateOptions::new("http://127.0.0.1:9")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paced_load_survives_losses_and_the_ledger_holds_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    for version in VERSIONS {
        let stub = Stub::start(&[Mood::Take, Mood::TakeAndHangUp, Mood::Busy(0), Mood::HangUp]);
        let ledger = folder.path().join(version.to_string());
        let options = SimulateOptions { ledger: Some(ledger.clone()), watchers: 2, ..load(&stub, version) };
        let summary = simulate(options).await.unwrap();
        assert_eq!((summary.sent + summary.unsent, summary.unanswered), (42 * 5, 0), "{summary}");
        assert_eq!((summary.acknowledged, summary.duplicates), (summary.sent, None));
        assert!(summary.errors >= 3, "{summary}");
        let written: BTreeSet<String> = std::fs::read_to_string(&ledger).unwrap().lines().map(str::to_owned).collect();
        let state = stub.state.lock().unwrap();
        assert_eq!(written, state.taken);
        assert_eq!(state.broker.goodbyes, 3, "each connection ends with a DISCONNECT");
        let drivers = written.iter().filter(|line| line.starts_with("driver")).count() as u64;
        assert_eq!(summary.watch.unwrap().updates, drivers * 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_loop_keeps_its_window_full_and_each_publish_is_one_report() {
    for (version, receive_max, widest) in [(Version::V3, 0, 8), (Version::V5, 0, 8), (Version::V5, 5, 5)] {
        let stub = Stub::start(&[]);
        stub.state.lock().unwrap().broker.receive_max = receive_max;
        let options = SimulateOptions { closed_loop: true, in_flight: Some(8), batch: 10, ..load(&stub, version) };
        let summary = simulate(options).await.unwrap();
        assert_eq!((summary.acknowledged, summary.unanswered, summary.batch), (summary.sent, 0, 1));
        let state = stub.state.lock().unwrap();
        assert_eq!((state.taken.len() as u64, state.broker.widest), (summary.sent, widest), "{summary}");
    }
}
