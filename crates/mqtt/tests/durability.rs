//! What an acknowledgement promises over restarts, `kill -9` and a disk that takes nothing: messages of
//! persistent sessions, both halves of QoS 2, retained messages, subscriptions.

mod client;

use client::{Client, PATIENCE, Served, persistent, publish, retained};
use drover_mqtt::{QoS, Settings};
use rmqtt_codec::types::Publish;
use rmqtt_codec::v5::{Connect, Packet, PublishAck2, SubscriptionOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The example broker in a process of its own, to be killed or starved.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(folder: &Path) -> Process {
        Process::start_with(Command::new(program()), folder)
    }

    /// No file of it may grow beyond `blocks` of 512 bytes; writing more fails, as on a full disk.
    fn start_on_small_disk(folder: &Path, blocks: u32) -> Process {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" \"$@\"");
        command.args(["-c", &script]).arg(program());
        Process::start_with(command, folder)
    }

    fn start_with(mut command: Command, folder: &Path) -> Process {
        let mut child = command.arg("127.0.0.1:0").arg(folder).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("ready mqtt=").expect(&line).parse().unwrap();
        Process { child, address }
    }

    fn give_it_a_large_disk(&self) {
        let status = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), "--fsize=unlimited"])
            .status()
            .expect("prlimit is part of util-linux");
        assert!(status.success());
    }

    fn join(&self, connect: Connect) -> (Client, bool) {
        let (client, ack) = Client::join(self.address, connect);
        (client, ack.session_present)
    }

    fn clean(&self, id: &str) -> Client {
        self.join(Connect { client_id: id.to_owned().into(), clean_start: true, ..Connect::default() }).0
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where the test killed it.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Cargo builds examples along with tests, beside the folder of the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples/plain")
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Process::start(folder.path());
    let (mut reader, _) = broker.join(persistent("reader"));
    reader.subscribe("t/#", QoS::AtLeastOnce);
    drop(reader);
    let mut writer = broker.clean("writer");
    for id in 1..=200 {
        writer.send(Packet::Publish(Box::new(publish(&format!("t/{id}"), "queued", QoS::AtLeastOnce, id))));
        writer.send(Packet::Publish(Box::new(retained(&format!("r/{id}"), "kept", id + 200))));
    }
    let mut acknowledged = 0;
    while acknowledged < 150 {
        assert!(matches!(writer.packet(), Packet::PublishAck(_)));
        acknowledged += 1;
    }
    broker.kill();

    let broker = Process::start(folder.path());
    let (mut reader, present) = broker.join(persistent("reader"));
    assert!(present);
    for id in 1..=acknowledged / 2 {
        let got = reader.expect_publish();
        assert_eq!(&got.topic as &str, format!("t/{id}"), "each once and in order");
        reader.acknowledge(&got);
    }
    let mut late = broker.clean("late");
    for id in 1..=acknowledged / 2 {
        late.subscribe(&format!("r/{id}"), QoS::AtLeastOnce);
        let got = late.expect_publish();
        assert_eq!((&got.payload[..], got.retain), (&b"kept"[..], true));
        late.acknowledge(&got);
    }
}

#[test]
fn a_subscription_that_was_acknowledged_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let broker = Process::start(folder.path());
        let (mut reader, present) = broker.join(persistent("reader"));
        assert_eq!(present, round > 0);
        let mut writer = broker.clean("writer");
        for known in 0..round {
            assert_eq!(writer.publish_and_wait(publish(&format!("s/{known}"), "x", QoS::AtLeastOnce, 1)), 0);
            let got = reader.expect_publish();
            reader.acknowledge(&got);
        }
        // The answer is the last that this broker says.
        reader.subscribe(&format!("s/{round}"), QoS::AtLeastOnce);
        broker.kill();
    }
}

#[test]
fn a_qos_2_publish_is_taken_once_over_a_kill_and_its_id_is_free_after_its_release() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Process::start(folder.path());
    let (mut reader, _) = broker.join(persistent("reader"));
    reader.subscribe("t", QoS::AtLeastOnce);
    drop(reader);
    let (mut writer, _) = broker.join(persistent("writer"));
    assert_eq!(writer.publish_and_wait(publish("t", "first", QoS::ExactlyOnce, 5)), 0);
    broker.kill();

    let broker = Process::start(folder.path());
    let (mut writer, present) = broker.join(persistent("writer"));
    assert!(present);
    let again = Publish { dup: true, ..publish("t", "first", QoS::ExactlyOnce, 5) };
    assert_eq!(writer.publish_and_wait(again), 0);
    assert_eq!(writer.release(5), 0);
    broker.kill();

    let broker = Process::start(folder.path());
    let (mut writer, _) = broker.join(persistent("writer"));
    assert_eq!(writer.release(5), 0x92, "the id is forgotten: packet identifier not found");
    assert_eq!(writer.publish_and_wait(publish("t", "second", QoS::ExactlyOnce, 5)), 0);
    let (mut reader, _) = broker.join(persistent("reader"));
    for expected in ["first", "second"] {
        let got = reader.expect_publish();
        assert_eq!(got.payload, expected);
        reader.acknowledge(&got);
    }
    reader.expect_silence();
}

#[test]
fn a_qos_2_delivery_goes_on_after_a_kill_with_the_ids_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Process::start(folder.path());
    let (mut reader, _) = broker.join(persistent("reader"));
    reader.subscribe("t", QoS::ExactlyOnce);
    let mut writer = broker.clean("writer");
    for (id, payload) in [(1, "done"), (2, "received"), (3, "only sent")] {
        writer.publish_and_wait(publish("t", payload, QoS::ExactlyOnce, id));
        writer.release(id);
    }
    let ids = [(); 3].map(|()| reader.expect_publish().packet_id.unwrap());
    for id in &ids[..2] {
        reader.receive(*id);
        assert_eq!(reader.expect_release(), *id);
    }
    reader.complete(ids[0]);
    // Answered after PUBCOMP was taken, so that the broker knows of it.
    reader.subscribe("other", QoS::AtMostOnce);
    broker.kill();

    let broker = Process::start(folder.path());
    let (mut reader, _) = broker.join(persistent("reader"));
    let mut next = reader.packet();
    if matches!(&next, Packet::PublishRelease(PublishAck2 { packet_id, .. }) if *packet_id == ids[0]) {
        // That PUBCOMP has come need not be on disk; the client is asked again, which harms nobody.
        reader.complete(ids[0]);
        next = reader.packet();
    }
    match next {
        Packet::PublishRelease(ack) => assert_eq!(ack.packet_id, ids[1], "received, so it is not sent again"),
        other => panic!("{other:?}"),
    }
    let again = reader.expect_publish();
    assert_eq!((again.dup, again.packet_id, &again.payload[..]), (true, Some(ids[2]), &b"only sent"[..]));
    reader.complete(ids[1]);
    reader.receive(ids[2]);
    assert_eq!(reader.expect_release(), ids[2]);
    reader.complete(ids[2]);
    let mut writer = broker.clean("writer");
    writer.publish_and_wait(publish("t", "new", QoS::ExactlyOnce, 1));
    let new = reader.expect_publish();
    assert!(!ids.contains(&new.packet_id.unwrap()) && !new.dup, "an id that was in use is not the next one");
}

#[test]
fn a_disk_that_takes_nothing_refuses_and_goes_on_when_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Process::start_on_small_disk(folder.path(), 8 * 1024);
    let (mut reader, _) = broker.join(persistent("reader"));
    reader.subscribe("t", QoS::AtLeastOnce);
    drop(reader);
    let mut writer = broker.clean("writer");
    let payload = "x".repeat(100_000);
    let mut taken = Vec::new();
    for n in 0..60_u16 {
        match writer.publish_and_wait(retained(&format!("r/{n}"), &format!("{n} {payload}"), n + 1)) {
            0 | 0x10 => taken.push(n),
            code => {
                assert_eq!(code, 0x97, "quota exceeded");
                break;
            }
        }
    }
    assert!((1..55).contains(&taken.len()), "{} fit into 4 MiB", taken.len());
    assert_eq!(writer.publish_and_wait(publish("t", "for the one who is away", QoS::AtLeastOnce, 99)), 0x97);
    assert_eq!(writer.publish_and_wait(publish("nobody", "x", QoS::AtLeastOnce, 100)), 0x10, "this needs no disk");
    let v3 = |topic: &str| {
        let mut old = Client::open(broker.address, false);
        let connect = rmqtt_codec::v3::Connect {
            client_id: "old".into(),
            clean_session: true,
            ..rmqtt_codec::v3::Connect::default()
        };
        old.send_v3(rmqtt_codec::v3::Packet::Connect(Box::new(connect)));
        old.packet_v3();
        old.publish(topic, "x", QoS::AtLeastOnce, 1);
        old.try_packet_v3()
    };
    assert!(v3("t").is_err(), "3.1.1 is not told yes: it loses the connection");
    assert!(v3("nobody").is_ok());

    broker.give_it_a_large_disk();
    let started = Instant::now();
    while writer.publish_and_wait(publish("t", "again", QoS::AtLeastOnce, 101)) != 0 {
        assert!(started.elapsed() < PATIENCE, "it tries again by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    broker.kill();
    let broker = Process::start(folder.path());
    let (mut reader, _) = broker.join(persistent("reader"));
    loop {
        let got = reader.expect_publish();
        reader.acknowledge(&got);
        if got.payload == "again" {
            break;
        }
    }
    let mut late = broker.clean("late");
    for n in taken {
        late.subscribe(&format!("r/{n}"), QoS::AtMostOnce);
        assert!(late.expect_publish().payload.starts_with(format!("{n} ").as_bytes()));
    }
}

#[test]
fn a_session_that_was_ended_does_not_come_back_with_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), Settings::default());
    let (mut reader, _) = served.v5_with(persistent("reader"));
    reader.subscribe("t", QoS::AtLeastOnce);
    drop(reader);
    // It comes back for a last time, and wants nothing kept.
    let (mut reader, ack) = served.v5_with(Connect { session_expiry_interval_secs: 0, ..persistent("reader") });
    assert!(ack.session_present);
    served.v5("writer").publish_and_wait(publish("t", "x", QoS::AtLeastOnce, 1));
    let got = reader.expect_publish();
    reader.acknowledge(&got);
    reader.subscribe_with("u", SubscriptionOptions::default(), None);
    served.stop();
    let served = Served::start(folder.path(), Settings::default());
    let (_, ack) = served.v5_with(persistent("reader"));
    assert!(!ack.session_present);
}

#[test]
fn clean_sessions_leave_nothing_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), Settings::default());
    let changed = |folder: &Path| std::fs::metadata(folder.join("mqtt.redb")).unwrap().modified().unwrap();
    let before = changed(folder.path());
    let mut reader = served.v5("reader");
    reader.subscribe("t", QoS::ExactlyOnce);
    let mut writer = served.v5("writer");
    for id in 1..100 {
        writer.publish_and_wait(publish("t", "x", QoS::ExactlyOnce, id));
        assert_eq!(writer.release(id), 0);
        let got = reader.expect_publish().packet_id.unwrap();
        reader.receive(got);
        assert_eq!(reader.expect_release(), got);
        reader.complete(got);
    }
    drop((reader, writer));
    assert_eq!(changed(folder.path()), before, "the file was not touched");
}
