//! What clients of both families see of the broker, packet by packet.

mod client;

use bytes::Bytes;
use client::{Client, PATIENCE, Served, id16, publish};
use drover_mqtt::{QoS, Settings};
use proptest::prelude::*;
use rmqtt_codec::types::Publish;
use rmqtt_codec::v3;
use rmqtt_codec::v5::{
    Connect, ConnectAckReason, Disconnect, DisconnectReasonCode as Reason, LastWill, Packet, PublishAck, PublishAck2,
    PublishAckReason, PublishProperties, RetainHandling, SubscriptionOptions,
};
use std::io::Write;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn served() -> (tempfile::TempDir, Served) {
    served_with(Settings::default())
}

fn served_with(settings: Settings) -> (tempfile::TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), settings);
    (folder, served)
}

fn persistent(id: &str) -> Connect {
    Connect { client_id: id.to_owned().into(), session_expiry_interval_secs: 3600, ..Connect::default() }
}

fn will(topic: &str, delay_s: u32) -> LastWill {
    LastWill {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: topic.to_owned().into(),
        message: Bytes::from_static(b"gone"),
        will_delay_interval_sec: Some(delay_s),
        correlation_data: None,
        message_expiry_interval: None,
        content_type: None,
        user_properties: vec![],
        is_utf8_payload: None,
        response_topic: None,
    }
}

fn acknowledge(client: &mut Client, publish: &Publish) {
    let packet_id = publish.packet_id.expect("QoS 1");
    client.send(Packet::PublishAck(PublishAck { packet_id, ..PublishAck::default() }));
}

#[track_caller]
fn expect_refusal(packet: Packet, qos: QoS) {
    let (Packet::PublishAck(ack) | Packet::PublishReceived(ack)) = &packet else { panic!("{packet:?}") };
    assert_eq!(matches!(packet, Packet::PublishReceived(_)), qos == QoS::ExactlyOnce);
    assert_eq!(ack.reason_code, PublishAckReason::PayloadFormatInvalid);
    assert_eq!(ack.reason_string.as_deref(), Some("no good"));
}

#[test]
fn a_refused_publish_is_never_acknowledged_as_taken() {
    let (_folder, served) = served();
    for topic in ["refused/a", "refused-later/a"] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut new = served.v5("new");
            new.publish(topic, "x", qos, 7);
            expect_refusal(new.packet(), qos);
            new.publish("fine", "x", QoS::AtLeastOnce, 8);
            assert!(matches!(new.packet(), Packet::PublishAck(_)), "the connection goes on");

            let mut old = served.v3("old", true);
            old.publish(topic, "x", qos, 7);
            assert!(old.try_packet_v3().is_err(), "older versions hang up without a word");
        }
        let mut quiet = served.v5("quiet");
        quiet.publish(topic, "x", QoS::AtMostOnce, 0);
        quiet.expect_silence();
    }
}

#[test]
fn many_publishes_wait_together_and_are_acknowledged_in_order() {
    let (_folder, served) = served();
    let mut client = served.v5("c");
    for id in 1..=20 {
        client.publish("taken/a", "x", QoS::AtLeastOnce, id);
    }
    client.publish("other", "x", QoS::AtLeastOnce, 21);
    client.expect_silence();
    assert_eq!(served.gate.taken.load(Ordering::Relaxed), 20, "none waits for the one before it");
    served.gate.open.add_permits(20);
    for id in 1..=21 {
        match client.packet() {
            Packet::PublishAck(ack) => assert_eq!(ack.packet_id, id16(id)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn more_than_the_bound_are_not_read_until_some_are_acknowledged() {
    let (_folder, served) = served_with(Settings { max_under_way: 4, ..Settings::default() });
    let (mut client, ack) = served.v5_with(Connect { client_id: "c".into(), clean_start: true, ..Connect::default() });
    assert_eq!(ack.receive_max, id16(4));
    for id in 1..=10 {
        client.publish("taken/a", "x", QoS::AtLeastOnce, id);
    }
    client.expect_silence();
    assert_eq!(served.gate.taken.load(Ordering::Relaxed), 4);
    served.gate.open.add_permits(10);
    for _ in 1..=10 {
        assert!(matches!(client.packet(), Packet::PublishAck(_)));
    }
}

#[test]
fn qos_2_is_delivered_once_however_often_it_is_sent() {
    let (_folder, served) = served();
    let mut reader = served.v5("reader");
    reader.subscribe("t", QoS::ExactlyOnce);
    let mut writer = served.v5("writer");
    for dup in [false, true, true] {
        writer.send(Packet::Publish(Box::new(Publish { dup, ..publish("t", "once", QoS::ExactlyOnce, 5) })));
        assert!(matches!(writer.packet(), Packet::PublishReceived(_)));
    }
    writer.send(Packet::PublishRelease(PublishAck2 { packet_id: id16(5), ..PublishAck2::default() }));
    assert!(matches!(writer.packet(), Packet::PublishComplete(_)));

    let got = reader.expect_publish();
    assert_eq!((got.qos, &got.payload[..]), (QoS::ExactlyOnce, &b"once"[..]));
    let packet_id = got.packet_id.unwrap();
    reader.send(Packet::PublishReceived(PublishAck { packet_id, ..PublishAck::default() }));
    assert!(matches!(reader.packet(), Packet::PublishRelease(ack) if ack.packet_id == packet_id));
    reader.send(Packet::PublishComplete(PublishAck2 { packet_id, ..PublishAck2::default() }));
    reader.expect_silence();
}

#[test]
fn more_unreleased_publishes_than_allowed_end_the_connection() {
    let (_folder, served) = served_with(Settings { max_under_way: 2, ..Settings::default() });
    let mut client = served.v5("c");
    for id in 1..=2 {
        client.publish("t", "x", QoS::ExactlyOnce, id);
        assert!(matches!(client.packet(), Packet::PublishReceived(_)));
    }
    client.publish("t", "x", QoS::ExactlyOnce, 3);
    client.expect_goodbye(Reason::ReceiveMaximumExceeded);
}

#[test]
fn a_client_that_goes_on_sending_still_hears_why_it_has_to_go() {
    let (_folder, served) = served_with(Settings { max_under_way: 2, ..Settings::default() });
    let mut client = served.v5("c");
    for id in 1..=300 {
        client.publish("t", "x", QoS::ExactlyOnce, id);
        // Slowly enough that the broker has long made up its mind before the last of them.
        std::thread::sleep(Duration::from_millis(1));
    }
    for _ in 1..=2 {
        assert!(matches!(client.packet(), Packet::PublishReceived(_)));
    }
    client.expect_goodbye(Reason::ReceiveMaximumExceeded);
}

#[test]
fn a_session_waits_for_its_client_and_sends_again_what_was_not_acknowledged() {
    let (folder, served) = served();
    let (mut reader, ack) = served.v5_with(persistent("reader"));
    assert!(!ack.session_present);
    reader.subscribe("t/#", QoS::AtLeastOnce);
    let mut writer = served.v5("writer");
    writer.publish("t/1", "seen", QoS::AtLeastOnce, 1);
    let first = reader.expect_publish();
    reader.send(Packet::Disconnect(Disconnect::new(Reason::NormalDisconnection)));
    assert!(reader.try_packet().is_err());
    writer.publish("t/2", "waiting", QoS::AtLeastOnce, 2);
    writer.publish("t/3", "nobody stores this", QoS::AtMostOnce, 0);
    for _ in 0..2 {
        assert!(matches!(writer.packet(), Packet::PublishAck(_)));
    }

    let (mut reader, ack) = served.v5_with(persistent("reader"));
    assert!(ack.session_present);
    let again = reader.expect_publish();
    assert_eq!((again.dup, again.packet_id, again.payload), (true, first.packet_id, first.payload));
    let second = reader.expect_publish();
    assert_eq!((second.dup, &second.payload[..]), (false, &b"waiting"[..]));
    acknowledge(&mut reader, &second);
    reader.expect_silence();
    served.stop();

    let served = Served::start(folder.path(), Settings::default());
    let (mut reader, ack) = served.v5_with(persistent("reader"));
    assert!(ack.session_present, "sessions outlive the broker");
    assert_eq!(&reader.expect_publish().payload[..], b"seen", "what was acknowledged does not come again");
    reader.expect_silence();
    let (_, ack) = served.v5_with(Connect { clean_start: true, ..persistent("reader") });
    assert!(!ack.session_present, "a clean start forgets it");
}

#[test]
fn a_second_connection_takes_the_session_over() {
    let (_folder, served) = served();
    let (mut first, _) = served.v5_with(persistent("c"));
    let (_second, ack) = served.v5_with(persistent("c"));
    assert!(ack.session_present);
    first.expect_goodbye(Reason::SessionTakenOver);
}

#[test]
fn a_session_ends_when_its_time_is_over() {
    let (_folder, served) = served();
    let short = || Connect { session_expiry_interval_secs: 1, ..persistent("c") };
    let (client, _) = served.v5_with(short());
    drop(client);
    std::thread::sleep(Duration::from_millis(1500));
    let (mut client, ack) = served.v5_with(persistent("c"));
    assert!(!ack.session_present);
    // And a goodbye may end it at once.
    let goodbye = Disconnect { session_expiry_interval_secs: Some(0), ..Disconnect::new(Reason::NormalDisconnection) };
    client.send(Packet::Disconnect(goodbye));
    assert!(client.try_packet().is_err());
    let (_, ack) = served.v5_with(persistent("c"));
    assert!(!ack.session_present);
}

#[test]
fn retained_messages_come_with_the_subscription_as_it_asks() {
    let (_folder, served) = served();
    let mut writer = served.v5("writer");
    writer.send(Packet::Publish(Box::new(Publish { retain: true, ..publish("r/1", "kept", QoS::AtLeastOnce, 1) })));
    assert!(matches!(writer.packet(), Packet::PublishAck(_)));
    let options = |retain_handling, retain_as_published| SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        retain_handling,
        retain_as_published,
        no_local: false,
    };
    let mut reader = served.v5("reader");
    for (handling, expected) in [
        (RetainHandling::NoAtSubscribe, false),
        (RetainHandling::AtSubscribe, true),
        (RetainHandling::AtSubscribeNew, false),
    ] {
        reader.subscribe_with("r/+", options(handling, true), None);
        if expected {
            let got = reader.expect_publish();
            assert!(got.retain);
            acknowledge(&mut reader, &got);
        } else {
            reader.expect_silence();
        }
    }
    writer.send(Packet::Publish(Box::new(Publish { retain: true, ..publish("r/1", "", QoS::AtLeastOnce, 2) })));
    assert!(reader.expect_publish().retain, "as published");
    let mut late = served.v5("late");
    late.subscribe("r/#", QoS::AtLeastOnce);
    late.expect_silence();
}

#[test]
fn what_exists_by_nature_is_handed_over_page_by_page() {
    let (_folder, served) = served();
    let mut reader = served.v5("reader");
    reader.subscribe("natural/#", QoS::AtMostOnce);
    for n in 0..1000 {
        let got = reader.expect_publish();
        assert_eq!((got.topic.as_ref() as &str, got.retain), (&*format!("natural/{n}"), true));
    }
    reader.expect_silence();
}

#[test]
fn a_last_will_is_sent_when_a_client_vanishes_and_not_when_it_says_goodbye() {
    let (_folder, served) = served();
    let mut reader = served.v5("reader");
    reader.subscribe("wills/#", QoS::AtLeastOnce);
    let with = |id: &str, last_will| Connect { last_will: Some(last_will), ..persistent(id) };

    let (client, _) = served.v5_with(with("vanishes", will("wills/1", 0)));
    drop(client);
    assert_eq!(&reader.expect_publish().topic as &str, "wills/1");

    let (mut client, _) = served.v5_with(with("polite", will("wills/2", 0)));
    client.send(Packet::Disconnect(Disconnect::new(Reason::NormalDisconnection)));
    reader.expect_silence();

    let (mut client, _) = served.v5_with(with("polite", will("wills/3", 0)));
    client.send(Packet::Disconnect(Disconnect::new(Reason::DisconnectWithWillMessage)));
    assert_eq!(&reader.expect_publish().topic as &str, "wills/3");

    let (client, _) = served.v5_with(with("returns", will("wills/4", 1)));
    drop(client);
    let (_client, _) = served.v5_with(persistent("returns"));
    std::thread::sleep(Duration::from_millis(1200));
    reader.expect_silence();

    let started = Instant::now();
    let (client, _) = served.v5_with(with("late", will("wills/5", 1)));
    drop(client);
    assert_eq!(&reader.expect_publish().topic as &str, "wills/5");
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_forbidden_last_will_or_a_wrong_password_is_refused_at_connect() {
    let (_folder, served) = served();
    let (_, ack) = served.v5_with(Connect { last_will: Some(will("forbidden/1", 0)), ..persistent("c") });
    assert_eq!(ack.reason_code, ConnectAckReason::NotAuthorized);
    let (_, ack) = served.v5_with(Connect { password: Some("wrong".into()), ..persistent("c") });
    assert_eq!(ack.reason_code, ConnectAckReason::BadUserNameOrPassword);
    let (_, ack) = served.v5_with(Connect { last_will: Some(will("a/#", 0)), ..persistent("c") });
    assert_eq!(ack.reason_code, ConnectAckReason::TopicNameInvalid);
    let mut client = served.v5("c");
    assert_eq!(client.subscribe_with("forbidden/x", SubscriptionOptions::default(), None), 0x87);
    assert_eq!(client.subscribe_with("a/#/b", SubscriptionOptions::default(), None), 0x8f);
}

#[test]
fn an_empty_client_id_gets_one_unless_3_1_1_wants_to_keep_a_session() {
    let (_folder, served) = served();
    for clean_start in [true, false] {
        let (_, ack) = served.v5_with(Connect { clean_start, ..Connect::default() });
        assert_eq!(ack.reason_code, ConnectAckReason::Success);
        assert!(ack.assigned_client_id.is_some_and(|id| !id.is_empty()));
    }
    let mut client = Client::open(served.address, false);
    client.send_v3(v3::Packet::Connect(Box::new(v3::Connect { clean_session: false, ..v3::Connect::default() })));
    let refused = v3::ConnectAck { return_code: v3::ConnectAckReason::IdentifierRejected, session_present: false };
    assert_eq!(client.packet_v3(), v3::Packet::ConnectAck(refused));
}

#[test]
fn members_of_a_shared_subscription_take_turns() {
    let (_folder, served) = served();
    let mut members: Vec<_> = ["a", "b"].map(|id| served.v5(id)).into();
    for member in &mut members {
        member.subscribe("$share/g/t", QoS::AtMostOnce);
    }
    let mut writer = served.v5("writer");
    for n in 0..10 {
        writer.publish("t", &n.to_string(), QoS::AtMostOnce, 0);
    }
    for member in &mut members {
        for _ in 0..5 {
            member.expect_publish();
        }
        member.expect_silence();
    }
}

#[test]
fn topics_may_be_given_numbers_in_both_directions() {
    let (_folder, served) = served();
    let (mut reader, ack) = served.v5_with(Connect {
        client_id: "reader".into(),
        clean_start: true,
        topic_alias_max: 5,
        ..Connect::default()
    });
    assert!(ack.topic_alias_max > 0);
    reader.subscribe("t/#", QoS::AtMostOnce);
    let mut writer = served.v5("writer");
    let alias = |topic: &str, alias| {
        let properties = PublishProperties { topic_alias: NonZeroU16::new(alias), ..PublishProperties::default() };
        Packet::Publish(Box::new(Publish { properties: Some(properties), ..publish(topic, "x", QoS::AtMostOnce, 0) }))
    };
    writer.send(alias("t/1", 3));
    writer.send(alias("", 3));
    let first = reader.expect_publish();
    let second = reader.expect_publish();
    let number = |publish: &Publish| publish.properties.as_ref().unwrap().topic_alias;
    assert_eq!((&first.topic as &str, &second.topic as &str), ("t/1", ""));
    assert!(number(&first).is_some() && number(&first) == number(&second));
    writer.send(alias("", 4));
    writer.expect_goodbye(Reason::TopicAliasInvalid);
}

#[test]
fn a_client_gets_no_more_unacknowledged_than_it_wants() {
    let (_folder, served) = served();
    let connect =
        Connect { client_id: "r".into(), clean_start: true, receive_max: NonZeroU16::new(2), ..Connect::default() };
    let (mut reader, _) = served.v5_with(connect);
    reader.subscribe("t", QoS::AtLeastOnce);
    let mut writer = served.v5("writer");
    for id in 1..=5 {
        writer.publish("t", "x", QoS::AtLeastOnce, id);
    }
    let two = [reader.expect_publish(), reader.expect_publish()];
    reader.expect_silence();
    acknowledge(&mut reader, &two[0]);
    reader.expect_publish();
    reader.expect_silence();
}

#[test]
fn what_is_past_its_time_or_too_large_is_not_delivered() {
    let (_folder, served) = served();
    let (mut reader, _) = served.v5_with(persistent("r"));
    reader.subscribe("t", QoS::AtLeastOnce);
    reader.send(Packet::Disconnect(Disconnect::new(Reason::NormalDisconnection)));
    assert!(reader.try_packet().is_err());
    let mut writer = served.v5("writer");
    let expiring = |seconds, id| {
        let properties =
            PublishProperties { message_expiry_interval: NonZeroU32::new(seconds), ..PublishProperties::default() };
        Packet::Publish(Box::new(Publish { properties: Some(properties), ..publish("t", "x", QoS::AtLeastOnce, id) }))
    };
    writer.send(expiring(1, 1));
    writer.send(expiring(60, 2));
    writer.publish("t", &"y".repeat(500), QoS::AtLeastOnce, 3);
    for _ in 0..3 {
        assert!(matches!(writer.packet(), Packet::PublishAck(_)));
    }
    std::thread::sleep(Duration::from_millis(1500));
    let (mut reader, _) = served.v5_with(Connect { max_packet_size: NonZeroU32::new(200), ..persistent("r") });
    let left = reader.expect_publish().properties.unwrap().message_expiry_interval.unwrap().get();
    assert!((57..60).contains(&left), "{left} s are left");
    reader.expect_silence();
}

#[test]
fn subscriptions_are_told_apart_by_their_numbers_and_own_messages_left_out() {
    let (_folder, served) = served();
    let mut client = served.v5("c");
    let options = |no_local| SubscriptionOptions { qos: QoS::AtMostOnce, no_local, ..SubscriptionOptions::default() };
    client.subscribe_with("own/#", options(true), Some(1));
    client.subscribe_with("t/#", options(false), Some(2));
    client.subscribe_with("t/+", options(false), Some(3));
    client.publish("own/1", "x", QoS::AtMostOnce, 0);
    client.publish("t/1", "x", QoS::AtMostOnce, 0);
    let got = client.expect_publish();
    let mut ids: Vec<u32> = got.properties.unwrap().subscription_ids.iter().map(|id| id.get()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [2, 3]);
    client.expect_silence();
}

#[test]
fn a_silent_client_is_taken_for_gone() {
    let (_folder, served) = served();
    let started = Instant::now();
    let (mut client, _) =
        served.v5_with(Connect { client_id: "c".into(), clean_start: true, keep_alive: 1, ..Connect::default() });
    client.expect_goodbye(Reason::KeepAliveTimeout);
    assert!((1400..4000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[test]
fn junk_half_packets_and_giants_end_their_own_connection_only() {
    let settings =
        Settings { connect_timeout: Duration::from_millis(300), max_packet_bytes: 10_000, ..Settings::default() };
    let (_folder, served) = served_with(settings);
    let mut good = served.v5("good");
    good.subscribe("t", QoS::AtLeastOnce);
    for junk in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 100], &[0x10, 0xff, 0xff, 0xff, 0x7f], &[0x10, 0x0c, 0, 4], &[]]
    {
        let mut client = Client::open(served.address, true);
        client.stream.write_all(junk).unwrap();
        // Either an answer for another version and the end, or the end.
        let mut rest = Vec::new();
        let _reset = std::io::Read::read_to_end(&mut client.stream, &mut rest);
    }
    let mut giant = served.v5("giant");
    giant.publish("t", &"x".repeat(20_000), QoS::AtLeastOnce, 1);
    giant.expect_goodbye(Reason::PacketTooLarge);
    let mut twice = served.v5("twice");
    twice.send(Packet::Connect(Box::new(persistent("twice"))));
    twice.expect_goodbye(Reason::ProtocolError);
    let mut wild = served.v5("wild");
    wild.publish("a/#", "x", QoS::AtLeastOnce, 1);
    wild.expect_goodbye(Reason::TopicNameInvalid);

    good.publish("t", "still here", QoS::AtLeastOnce, 1);
    let mut packets = [good.packet(), good.packet()];
    packets.sort_by_key(|packet| packet.packet_type());
    assert!(matches!(&packets[0], Packet::Publish(publish) if &publish.payload[..] == b"still here"));
    assert!(matches!(&packets[1], Packet::PublishAck(_)));
}

#[test]
fn a_reader_that_does_not_read_holds_nobody_up_for_long() {
    let (_folder, served) = served_with(Settings { slow_reader: Duration::from_millis(500), ..Settings::default() });
    let mut lazy = served.v5("lazy");
    lazy.subscribe("flood", QoS::AtLeastOnce);
    let mut writer = served.v5("writer");
    let payload = "x".repeat(4000);
    let started = Instant::now();
    for n in 0..5000_u32 {
        writer.publish("flood", &payload, QoS::AtLeastOnce, (n % 60_000) as u16 + 1);
        assert!(matches!(writer.packet(), Packet::PublishAck(_)));
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

#[test]
fn a_hundred_thousand_topics_leave_nothing_behind() {
    let (_folder, served) = served();
    let mut reader = served.v5("reader");
    reader.subscribe("other", QoS::AtMostOnce);
    let mut writer = served.v5("writer");
    let before = memory_kib();
    for n in 0..100_000 {
        writer.publish(&format!("topic/{n}/{}", "x".repeat(100)), "x", QoS::AtMostOnce, 0);
    }
    writer.publish("other", "x", QoS::AtLeastOnce, 1);
    assert!(matches!(writer.packet(), Packet::PublishAck(_)));
    reader.expect_publish();
    let grown = memory_kib().saturating_sub(before);
    assert!(grown < 20_000, "{grown} KiB more");
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_bring_the_broker_down(junk in proptest::collection::vec(any::<u8>(), 0..200), first in 0_u8..16, is_v5: bool) {
        // One broker for all cases: whatever broke it would show in the next ones.
        static SERVED: std::sync::OnceLock<(tempfile::TempDir, Served)> = std::sync::OnceLock::new();
        let (_, served) = SERVED.get_or_init(|| {
            served_with(Settings { connect_timeout: Duration::from_millis(200), ..Settings::default() })
        });
        let mut client = if is_v5 { served.v5("junk") } else { served.v3("junk", true) };
        let mut bytes = vec![first << 4 | junk.len() as u8 & 0xf, junk.len() as u8];
        bytes.extend(junk);
        // It may be closed before everything is sent.
        let _closed = client.stream.write_all(&bytes);
        let mut alive = served.v5("alive");
        alive.publish("t", "x", QoS::AtLeastOnce, 1);
        let alive = matches!(alive.packet(), Packet::PublishAck(_));
        prop_assert!(alive);
    }
}
