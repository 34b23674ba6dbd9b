//! Who owns a session, what becomes of wills and shared messages when somebody leaves, and what a broker
//! does about clients that do not behave.

mod client;

use client::{Client, PATIENCE, Served, id16, persistent, publish};
use drover_mqtt::{Message, QoS, Settings};
use rmqtt_codec::types::Publish;
use rmqtt_codec::v3;
use rmqtt_codec::v5::{Connect, Disconnect, DisconnectReasonCode as Reason, LastWill, Packet, PublishAckReason};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::{Duration, Instant};

fn served() -> (tempfile::TempDir, Served) {
    served_with(Settings::default())
}

fn served_with(settings: Settings) -> (tempfile::TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), settings);
    (folder, served)
}

fn clean(id: &str) -> Connect {
    Connect { client_id: id.to_owned().into(), clean_start: true, ..Connect::default() }
}

fn with_will(connect: Connect, topic: &str, delay_s: u32) -> Connect {
    let last_will = LastWill {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: topic.to_owned().into(),
        message: "gone".into(),
        will_delay_interval_sec: Some(delay_s),
        correlation_data: None,
        message_expiry_interval: None,
        content_type: None,
        user_properties: vec![],
        is_utf8_payload: None,
        response_topic: None,
    };
    Connect { last_will: Some(last_will), ..connect }
}

#[track_caller]
fn expect_on(reader: &mut Client, topic: &str) {
    let got = reader.expect_publish();
    assert_eq!(&got.topic as &str, topic);
    reader.acknowledge(&got);
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_take_over_sends_the_will_unless_its_delay_lets_the_client_return() {
    let (_folder, served) = served();
    let mut reader = served.v5("reader");
    reader.subscribe("wills/#", QoS::AtLeastOnce);

    let (_first, _) = served.v5_with(with_will(persistent("a"), "wills/at-once", 0));
    let (_second, _) = served.v5_with(persistent("a"));
    expect_on(&mut reader, "wills/at-once");

    let (_first, _) = served.v5_with(with_will(persistent("b"), "wills/delayed", 1));
    let (_second, _) = served.v5_with(persistent("b"));
    let (_first, _) = served.v5_with(with_will(persistent("c"), "wills/ended", 3600));
    let (_second, _) = served.v5_with(Connect { clean_start: true, ..persistent("c") });
    expect_on(&mut reader, "wills/ended");

    let (vanished, _) = served.v5_with(with_will(persistent("d"), "wills/forgotten", 3600));
    drop(vanished);
    wait_until("the end of the connection", || served.broker.stats().connections == 4);
    let (_again, _) = served.v5_with(Connect { clean_start: true, ..persistent("d") });
    expect_on(&mut reader, "wills/forgotten");

    let short = Connect { session_expiry_interval_secs: 1, ..persistent("e") };
    drop(served.v5_with(with_will(short, "wills/with-the-session", 3600)));
    expect_on(&mut reader, "wills/with-the-session");
    reader.expect_silence();
}

#[test]
fn a_forbidden_will_is_refused_in_the_words_of_3_1_1() {
    let (_folder, served) = served();
    let mut client = Client::open(served.address, false);
    let last_will =
        v3::LastWill { qos: QoS::AtLeastOnce, retain: false, topic: "forbidden/x".into(), message: "gone".into() };
    let connect = v3::Connect {
        client_id: "c".into(),
        clean_session: true,
        last_will: Some(last_will),
        ..v3::Connect::default()
    };
    client.send_v3(v3::Packet::Connect(Box::new(connect)));
    match client.packet_v3() {
        v3::Packet::ConnectAck(ack) => assert_eq!(ack.return_code, v3::ConnectAckReason::NotAuthorized),
        other => panic!("{other:?}"),
    }
    assert!(client.try_packet_v3().is_err());
}

#[test]
fn a_will_that_the_node_refuses_is_not_passed_on() {
    let (_folder, served) = served();
    let mut reader = served.v5("reader");
    reader.subscribe("#", QoS::AtLeastOnce);
    drop(served.v5_with(with_will(clean("a"), "refused/x", 0)));
    drop(served.v5_with(with_will(clean("b"), "refused-later/x", 0)));
    drop(served.v5_with(with_will(clean("c"), "fine", 0)));
    expect_on(&mut reader, "fine");
    reader.expect_silence();
}

#[test]
fn what_a_leaving_member_did_not_acknowledge_goes_to_another_one() {
    let (_folder, served) = served();
    let mut leaving = served.v5("leaving");
    let mut staying = served.v5("staying");
    for member in [&mut leaving, &mut staying] {
        member.subscribe("$share/g/jobs/#", QoS::AtLeastOnce);
    }
    let mut writer = served.v5("writer");
    for id in 1..=10 {
        writer.publish_and_wait(publish(&format!("jobs/{id}"), "x", QoS::AtLeastOnce, id));
    }
    let mut got = Vec::new();
    for _ in 0..5 {
        got.push(leaving.expect_publish());
        let publish = staying.expect_publish();
        staying.acknowledge(&publish);
        got.push(publish);
    }
    leaving.acknowledge(&got[0]);
    // Answered after the acknowledgement was taken.
    leaving.send(Packet::PingRequest);
    assert!(matches!(leaving.packet(), Packet::PingResponse));
    drop(leaving);
    let mut passed_on = Vec::new();
    for _ in 0..4 {
        let publish = staying.expect_publish();
        staying.acknowledge(&publish);
        passed_on.push(publish.topic);
    }
    let unacknowledged: Vec<_> = [2, 4, 6, 8].iter().map(|n| got[*n].topic.clone()).collect();
    assert_eq!(passed_on, unacknowledged);
    staying.expect_silence();
}

#[test]
fn a_shared_message_waits_with_a_lasting_member_while_nobody_else_is_there() {
    let (_folder, served) = served();
    let (mut member, _) = served.v5_with(persistent("member"));
    member.subscribe("$share/g/jobs/#", QoS::AtLeastOnce);
    drop(member);
    wait_until("the end of the connection", || served.broker.stats().connections == 0);
    let mut writer = served.v5("writer");
    for id in 1..=3 {
        assert_eq!(writer.publish_and_wait(publish(&format!("jobs/{id}"), "x", QoS::AtLeastOnce, id)), 0);
    }
    let (mut member, _) = served.v5_with(persistent("member"));
    for id in 1..=3 {
        expect_on(&mut member, &format!("jobs/{id}"));
    }
}

#[test]
fn a_code_that_says_yes_is_no_refusal_that_a_client_could_misread() {
    let (_folder, served) = served();
    let mut client = served.v5("c");
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let code = client.publish_and_wait(publish("refused-badly/x", "x", qos, 3));
        assert!(code >= 0x80, "{code:#x}");
    }
}

#[test]
fn a_refusal_reaches_clients_that_want_no_words_or_take_only_small_packets() {
    let (_folder, served) = served();
    let quiet = Connect { request_problem_info: false, ..clean("quiet") };
    let small = Connect { max_packet_size: NonZeroU32::new(100), ..clean("small") };
    // CONNACK must fit; the reason string must not.
    let tiny = Connect { max_packet_size: NonZeroU32::new(40), ..clean("tiny") };
    for (connect, has_words) in [(quiet, false), (small, true), (tiny, true)] {
        let (mut client, _) = served.v5_with(connect);
        client.publish("refused/x", "x", QoS::AtLeastOnce, 3);
        match client.packet() {
            Packet::PublishAck(ack) => {
                assert_eq!(ack.reason_code, PublishAckReason::PayloadFormatInvalid);
                assert_eq!(ack.reason_string.is_some(), has_words);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_report_that_the_node_took_has_found_somebody() {
    let (_folder, served) = served();
    served.gate.open.add_permits(2);
    let mut client = served.v5("c");
    assert_eq!(client.publish_and_wait(publish("taken/x", "x", QoS::AtLeastOnce, 1)), 0);
    assert_eq!(client.publish_and_wait(publish("other", "x", QoS::AtLeastOnce, 2)), 0x10, "no matching subscribers");
}

#[test]
fn a_connection_that_ends_before_its_promises_leaves_no_false_answer_behind() {
    let (_folder, served) = served();
    let (mut first, _) = served.v5_with(persistent("c"));
    first.publish("taken/x", "x", QoS::ExactlyOnce, 9);
    first.expect_silence();
    drop(first);
    let (mut second, _) = served.v5_with(persistent("c"));
    second.send(Packet::Publish(Box::new(Publish { dup: true, ..publish("taken/x", "x", QoS::ExactlyOnce, 9) })));
    second.expect_silence();
    served.gate.open.add_permits(2);
    assert!(matches!(second.packet(), Packet::PublishReceived(ack) if ack.packet_id == id16(9)));
}

#[test]
fn version_3_1_is_spoken() {
    let (_folder, served) = served();
    let mut stream = TcpStream::connect(served.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for (said, answer) in [
        (&b"\x10\x11\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x03old"[..], &[0x20, 2, 0, 0][..]),
        (b"\x32\x06\x00\x01t\x00\x07x", &[0x40, 2, 0, 7]),
        (b"\xc0\x00", &[0xd0, 0]),
    ] {
        // One byte at a time: packets do not keep to the bounds of writes.
        for byte in said {
            stream.write_all(&[*byte]).unwrap();
        }
        let mut got = vec![0; answer.len()];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got, answer);
    }
}

#[test]
fn a_client_may_write_much_before_it_reads() {
    const COUNT: u32 = 50_000;
    let (_folder, served) = served();
    let mut client = served.v3("c", true);
    for n in 0..COUNT {
        client.publish("t", "x", QoS::AtLeastOnce, (n % 60_000) as u16 + 1);
    }
    for n in 0..COUNT {
        match client.packet_v3() {
            v3::Packet::PublishAck { packet_id } => assert_eq!(u32::from(packet_id.get()), n % 60_000 + 1),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_reader_that_takes_nothing_is_disconnected() {
    let (_folder, served) = served_with(Settings { slow_reader: Duration::from_millis(300), ..Settings::default() });
    let mut deaf = served.v5("deaf");
    deaf.subscribe("flood", QoS::AtMostOnce);
    // This one reads, and acknowledges nothing.
    let mut mute = served.v5("mute");
    mute.subscribe("flood", QoS::AtLeastOnce);
    let payload = "x".repeat(4000);
    let mut writer = served.v5("writer");
    let started = Instant::now();
    let mut id = 0;
    while served.broker.stats().connections > 1 {
        id = id % 60_000 + 1;
        writer.publish_and_wait(publish("flood", &payload, QoS::AtLeastOnce, id));
        assert!(started.elapsed() < PATIENCE, "both are gone after a while");
    }
    while mute.try_packet().is_ok() {}
}

#[test]
fn a_slow_reader_that_goes_on_reading_stays() {
    let (_folder, served) = served_with(Settings { slow_reader: Duration::from_millis(200), ..Settings::default() });
    let mut slow = served.v5("slow");
    slow.subscribe("much", QoS::AtLeastOnce);
    let mut writer = served.v5("writer");
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let payload = "x".repeat(1000);
            for id in 1..=1500 {
                writer.publish_and_wait(publish("much", &payload, QoS::AtLeastOnce, id));
            }
        });
        for _ in 1..=1500 {
            let got = slow.expect_publish();
            // Time that the client needs for its work, not time that the test waits for the broker.
            std::thread::sleep(Duration::from_micros(700));
            slow.acknowledge(&got);
        }
    });
    assert!(started.elapsed() > Duration::from_millis(900), "longer than the patience with one that does not read");
}

#[test]
fn too_many_connections_sessions_and_subscriptions_are_refused() {
    let settings = Settings { max_connections: 3, max_sessions: 2, max_subscriptions: 2, ..Settings::default() };
    let (_folder, served) = served_with(settings);
    let mut first = served.v5("1");
    first.subscribe("a", QoS::AtMostOnce);
    first.subscribe("b", QoS::AtMostOnce);
    assert_eq!(first.subscribe_with("c", rmqtt_codec::v5::SubscriptionOptions::default(), None), 0x97);
    first.subscribe("a", QoS::AtLeastOnce);
    let second = served.v5("2");
    let (mut third, ack) = served.v5_with(clean("3"));
    assert_eq!(u8::from(ack.reason_code), 0x97, "quota exceeded");
    assert!(third.try_packet().is_err());
    wait_until("the end of the refused one", || served.broker.stats().connections == 2);
    let _waiting = TcpStream::connect(served.address).unwrap();
    wait_until("a third connection", || served.broker.stats().connections == 3);
    let mut fourth = TcpStream::connect(served.address).unwrap();
    assert_eq!(fourth.read(&mut [0; 8]).unwrap(), 0, "closed");
    drop(second);
    wait_until("the end of the second", || served.broker.stats().connections == 2);
    served.v5("3");
}

#[test]
fn a_storm_of_connections_leaves_nothing_behind() {
    let (_folder, served) = served();
    let served = &served;
    let mut witness = served.v5("witness");
    witness.subscribe("t", QoS::AtLeastOnce);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for n in 0..250 {
                    // Half of them fight for the same few ids.
                    let id = if n % 2 == 0 { format!("c{}", n % 10) } else { format!("c{thread}-{n}") };
                    let mut client = Client::open(served.address, true);
                    client.send(Packet::Connect(Box::new(clean(&id))));
                    if n % 3 == 0 {
                        client.send(Packet::Disconnect(Disconnect::new(Reason::NormalDisconnection)));
                    }
                }
            });
        }
    });
    witness.publish("t", "x", QoS::AtLeastOnce, 1);
    let mut packets = [witness.packet(), witness.packet()];
    packets.sort_by_key(|packet| packet.packet_type());
    assert!(matches!(&packets[..], [Packet::Publish(_), Packet::PublishAck(_)]));
    wait_until("the end of all others", || {
        served.broker.stats().connections == 1 && served.broker.stats().sessions == 1
    });
    assert_eq!(served.broker.stats().subscriptions, 1);
}

#[test]
fn the_node_publishes_from_any_thread() {
    let (_folder, served) = served();
    let mut reader = served.v5("reader");
    reader.subscribe("commands/#", QoS::AtLeastOnce);
    let broker = served.broker.clone();
    std::thread::spawn(move || {
        let (subscribers, _written) = broker.publish(Message::new("commands/1", "stop", QoS::AtLeastOnce));
        assert_eq!(subscribers, 1);
    })
    .join()
    .unwrap();
    expect_on(&mut reader, "commands/1");
}

#[test]
fn the_broker_says_how_it_is_and_wildcards_do_not_reach_that() {
    let (_folder, served) = served();
    let mut all = served.v5("all");
    all.subscribe("#", QoS::AtMostOnce);
    let mut curious = served.v5("curious");
    curious.subscribe("$SYS/broker/clients/connected", QoS::AtMostOnce);
    assert_eq!(curious.expect_publish().payload, "2");
    all.expect_silence();
}

#[test]
fn a_client_of_version_5_is_told_how_long_it_may_be_silent() {
    let (_folder, served) = served_with(Settings { max_keep_alive: Duration::from_secs(1), ..Settings::default() });
    for keep_alive in [0, 60] {
        let (mut client, ack) = served.v5_with(Connect { keep_alive, ..clean("c") });
        assert_eq!(ack.server_keepalive_sec, Some(1));
        client.expect_goodbye(Reason::KeepAliveTimeout);
    }
}

#[test]
fn a_client_that_may_have_little_in_flight_gets_no_more_when_it_comes_back() {
    let (_folder, served) = served();
    let (mut reader, _) = served.v5_with(persistent("reader"));
    reader.subscribe("t", QoS::AtLeastOnce);
    let mut writer = served.v5("writer");
    for id in 1..=10 {
        writer.publish_and_wait(publish("t", "x", QoS::AtLeastOnce, id));
        reader.expect_publish();
    }
    drop(reader);
    let (mut reader, _) = served.v5_with(Connect { receive_max: NonZeroU16::new(2), ..persistent("reader") });
    let both = [reader.expect_publish(), reader.expect_publish()];
    reader.expect_silence();
    assert!(both.iter().all(|publish| publish.dup));
    reader.acknowledge(&both[0]);
    assert!(reader.expect_publish().dup);
    reader.expect_silence();
}

#[test]
fn everybody_is_told_when_the_broker_stops() {
    let (_folder, served) = served();
    let mut reader = served.v5("reader");
    reader.subscribe("wills/#", QoS::AtLeastOnce);
    let (mut client, _) = served.v5_with(with_will(clean("c"), "wills/c", 0));
    served.stop();
    client.expect_goodbye(Reason::ServerShuttingDown);
    reader.expect_goodbye(Reason::ServerShuttingDown);
}
