//! Clients who get only what is theirs at the moment of each message: by wildcards and by names, from what is retained,
//! out of a session that waited, by shared subscriptions; and that whoever gets everything is asked nothing.

mod client;

use client::{Client, PATIENCE, Served, persistent, publish, retained};
use drover_mqtt::{Message, QoS, Settings};
use rmqtt_codec::types::Publish;
use rmqtt_codec::v5::{Connect, ConnectAck, Disconnect, DisconnectReasonCode as Reason, Packet, SubscriptionOptions};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

fn served() -> (tempfile::TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), Settings::default());
    (folder, served)
}

/// A client of somebody, with a session that waits for it.
fn of(served: &Served, owner: &str, id: &str) -> (Client, ConnectAck) {
    served.v5_with(Connect { username: Some(owner.to_owned().into()), ..persistent(id) })
}

/// Says goodbye and waits for the end.
fn leave(mut client: Client) {
    client.send(Packet::Disconnect(Disconnect::new(Reason::NormalDisconnection)));
    while client.try_packet().is_ok() {}
}

/// The node publishes; how many sessions get it.
fn tell(served: &Served, topic: &str, payload: &str, qos: QoS) -> usize {
    served.broker.publish(Message::new(topic.to_owned(), payload.to_owned(), qos)).0
}

#[track_caller]
fn hears(client: &mut Client, payload: &str) -> Publish {
    let heard = client.expect_publish();
    assert_eq!(String::from_utf8_lossy(&heard.payload), payload);
    heard
}

#[test]
fn an_owner_has_so_many_sessions_and_the_one_that_is_longest_away_makes_room() {
    let (folder, served) = served();
    served.gate.bound.store(2, Ordering::Relaxed);
    leave(of(&served, "north", "first").0);
    // Of milliseconds, the order of two that end in the same one is anybody's.
    std::thread::sleep(std::time::Duration::from_millis(20));
    leave(of(&served, "north", "second").0);
    let (third, ack) = of(&served, "north", "third");
    assert_eq!(u8::from(ack.reason_code), 0, "the first has made room");
    assert_eq!(served.broker.stats().sessions, 2);
    let (second, ack) = of(&served, "north", "second");
    assert!(ack.session_present, "the second is as it was");
    let (mut fourth, ack) = of(&served, "north", "fourth");
    assert_eq!(u8::from(ack.reason_code), 0x97, "both are connected");
    assert!(ack.reason_string.is_some_and(|reason| reason.contains("2 clients")));
    assert!(fourth.try_packet().is_err());
    // Who is known needs no room, others have their own, and who has no name has no such bound.
    assert!(of(&served, "north", "third").1.session_present);
    assert_eq!(u8::from(of(&served, "nort", "h#third").1.reason_code), 0);
    assert_eq!(u8::from(of(&served, "northern", "a").1.reason_code), 0);
    let strangers: Vec<Client> = (0..5).map(|n| served.v5(&format!("stranger-{n}"))).collect();
    drop((strangers, second, third));
    served.stop();

    // What was kept counts after a restart, and a smaller bound ends nothing that is there.
    let served = Served::start(folder.path(), Settings::default());
    served.gate.bound.store(1, Ordering::Relaxed);
    let (second, ack) = of(&served, "north", "second");
    assert!(ack.session_present);
    assert!(of(&served, "north", "third").1.session_present);
    drop(second);
    served.stop();
}

#[test]
fn a_wildcard_and_a_whole_name_bring_what_is_ones_own_at_the_moment() {
    let (_folder, served) = served();
    served.gate.place("d-1", "north");
    served.gate.place("d-2", "south");
    let (mut wild, _) = of(&served, "north", "wild");
    wild.subscribe("live/#", QoS::AtMostOnce);
    let (mut named, _) = of(&served, "north", "named");
    named.subscribe("live/driver/d-1", QoS::AtMostOnce);
    let (mut south, _) = of(&served, "south", "wild");
    south.subscribe("live/+/+", QoS::AtMostOnce);

    assert_eq!(tell(&served, "live/driver/d-1", "1", QoS::AtMostOnce), 2);
    assert_eq!(tell(&served, "live/driver/d-2", "2", QoS::AtMostOnce), 1);
    assert_eq!(tell(&served, "live/driver/d-3", "nobody's", QoS::AtMostOnce), 0);
    hears(&mut wild, "1");
    hears(&mut named, "1");
    hears(&mut south, "2");

    served.gate.place("d-1", "south");
    assert_eq!(tell(&served, "live/driver/d-1", "moved", QoS::AtMostOnce), 1);
    hears(&mut south, "moved");
    served.gate.place("d-1", "north");
    assert_eq!(tell(&served, "live/driver/d-1", "back", QoS::AtMostOnce), 2);
    hears(&mut wild, "back");
    hears(&mut named, "back");
    south.expect_silence();
}

#[test]
fn what_is_retained_is_handed_over_as_far_as_it_is_ones_own() {
    let (_folder, served) = served();
    let mut writer = served.v5("writer");
    for n in 0..40u16 {
        served.gate.place(&n.to_string(), if n % 4 == 0 { "north" } else { "south" });
        assert_eq!(writer.publish_and_wait(retained(&format!("live/{n}"), "x", n + 1)), 0x10);
    }
    let (mut north, _) = of(&served, "north", "c");
    north.subscribe("live/#", QoS::AtMostOnce);
    let topics: BTreeSet<String> = (0..10).map(|_| north.expect_publish().topic.to_string()).collect();
    let own: BTreeSet<String> = (0..40).step_by(4).map(|n| format!("live/{n}")).collect();
    assert_eq!(topics, own);
    north.expect_silence();
    // What exists by its nature comes through another gate, and passes the same look.
    served.gate.place("7", "north");
    north.subscribe("natural/#", QoS::AtLeastOnce);
    let natural: BTreeSet<String> = (0..11)
        .map(|_| {
            let publish = north.expect_publish();
            north.acknowledge(&publish);
            publish.topic.to_string()
        })
        .collect();
    let own: BTreeSet<String> = (0..40).step_by(4).chain([7]).map(|n| format!("natural/{n}")).collect();
    assert_eq!(natural, own);
    north.expect_silence();
}

#[test]
fn what_waited_in_a_session_is_looked_at_again_when_it_is_sent() {
    let (folder, served) = served();
    served.gate.place("stays", "north");
    served.gate.place("goes", "north");
    served.gate.place("comes", "south");
    let (mut north, _) = of(&served, "north", "c");
    north.subscribe("live/#", QoS::AtLeastOnce);
    let unanswered = {
        tell(&served, "live/goes", "sent", QoS::AtLeastOnce);
        hears(&mut north, "sent")
    };
    leave(north);
    for thing in ["goes", "comes", "stays"] {
        assert_eq!(tell(&served, &format!("live/{thing}"), "waits", QoS::AtLeastOnce), 1);
    }
    served.gate.place("goes", "south");
    served.gate.place("comes", "north");
    let (mut north, ack) = of(&served, "north", "c");
    assert!(ack.session_present);
    let first = north.expect_publish();
    assert_eq!((&*first.topic, first.dup), ("live/comes", false), "neither what was sent nor what waited: it has gone");
    assert_ne!(first.packet_id, unanswered.packet_id);
    let second = north.expect_publish();
    assert_eq!(&*second.topic, "live/stays");
    north.expect_silence();
    leave(north);
    served.stop();

    // The same after a restart, of which nobody's sight is known.
    let served = Served::start(folder.path(), Settings::default());
    served.gate.place("comes", "north");
    let (mut north, ack) = of(&served, "north", "c");
    assert!(ack.session_present);
    let left = north.expect_publish();
    assert_eq!((&*left.topic, left.dup), ("live/comes", true));
    north.acknowledge(&left);
    north.expect_silence();
    served.gate.place("stays", "north");
    leave(north);
    let (mut north, _) = of(&served, "north", "c");
    // What may not be sent is forgotten, not kept for another time.
    north.expect_silence();
}

#[test]
fn of_an_exactly_once_message_that_may_be_with_the_client_only_the_id_is_released() {
    let (_folder, served) = served();
    served.gate.place("d-1", "north");
    let (mut north, _) = of(&served, "north", "c");
    north.subscribe("live/#", QoS::ExactlyOnce);
    tell(&served, "live/d-1", "secret", QoS::ExactlyOnce);
    let sent = hears(&mut north, "secret");
    leave(north);
    served.gate.place("d-1", "south");
    let (mut north, _) = of(&served, "north", "c");
    assert_eq!(Some(north.expect_release()), sent.packet_id, "no content, and the client forgets the id");
    north.complete(sent.packet_id.unwrap());
    north.expect_silence();
}

#[test]
fn a_shared_subscription_goes_to_a_member_whose_it_is() {
    let (_folder, served) = served();
    served.gate.place("n", "north");
    served.gate.place("s", "south");
    let (mut north, _) = of(&served, "north", "c");
    let (mut south, _) = of(&served, "south", "c");
    for client in [&mut north, &mut south] {
        client.subscribe("$share/g/live/#", QoS::AtMostOnce);
    }
    for round in 0..6 {
        assert_eq!(
            tell(&served, "live/n", &round.to_string(), QoS::AtMostOnce),
            1,
            "none is lost to a stranger's turn"
        );
        assert_eq!(tell(&served, "live/s", &round.to_string(), QoS::AtMostOnce), 1);
        assert_eq!(tell(&served, "live/nobodys", "x", QoS::AtMostOnce), 0);
    }
    for (client, own) in [(&mut north, "live/n"), (&mut south, "live/s")] {
        for round in 0..6 {
            let heard = hears(client, &round.to_string());
            assert_eq!(&*heard.topic, own);
        }
        client.expect_silence();
    }
}

#[test]
fn what_a_member_leaves_behind_does_not_go_to_a_stranger() {
    let (_folder, served) = served();
    served.gate.place("n", "north");
    let (mut north, _) = of(&served, "north", "c");
    north.subscribe("$share/g/live/#", QoS::AtLeastOnce);
    leave(north);
    // Waits for the one member who is there, if away.
    assert_eq!(tell(&served, "live/n", "own", QoS::AtLeastOnce), 1);
    let (mut south, _) = of(&served, "south", "c");
    south.subscribe("$share/g/live/#", QoS::AtLeastOnce);
    let (north, _) = of(&served, "north", "c");
    leave(north);
    south.expect_silence();
    let (mut other, _) = of(&served, "north", "other");
    other.subscribe("$share/g/live/#", QoS::AtLeastOnce);
    let (mut north, _) = of(&served, "north", "c");
    let first = north.expect_publish();
    assert_eq!(&first.payload[..], b"own");
    leave(north);
    // Unacknowledged: it goes to the colleague.
    let passed = hears(&mut other, "own");
    other.acknowledge(&passed);
    south.expect_silence();
}

#[test]
fn who_gets_everything_is_asked_nothing() {
    let (_folder, served) = served();
    let mut all = served.v5("all");
    all.subscribe("#", QoS::AtMostOnce);
    for n in 0..100 {
        tell(&served, "live/d-1", &n.to_string(), QoS::AtMostOnce);
        hears(&mut all, &n.to_string());
    }
    assert_eq!(served.gate.asked.load(Ordering::Relaxed), 0);
}

#[test]
fn a_client_with_an_owner_can_still_wish_not_to_hear_itself() {
    let (_folder, served) = served();
    served.gate.place("d-1", "north");
    let (mut north, _) = of(&served, "north", "c");
    let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::default() };
    north.subscribe_with("live/#", options, None);
    assert_eq!(north.publish_and_wait(publish("live/d-1", "own", QoS::AtLeastOnce, 1)), 0x10, "nobody gets it");
    tell(&served, "live/d-1", "the node's", QoS::AtMostOnce);
    hears(&mut north, "the node's");
}

/// SplitMix64: the same numbers in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// Somebody's client: what it should have heard, and has.
struct Listener {
    owner: usize,
    is_shared: bool,
    client: Client,
    expected: Vec<String>,
    heard: Vec<String>,
}

impl Listener {
    /// Hears what is there by now; nothing of it may be another owner's.
    fn listen(&mut self) {
        self.client.send(Packet::PingRequest);
        while let Packet::Publish(publish) = self.client.packet() {
            let payload = String::from_utf8_lossy(&publish.payload).into_owned();
            assert!(payload.starts_with(&format!("{} ", self.owner)), "owner {} got {payload:?}", self.owner);
            self.heard.push(payload);
        }
    }
}

/// Waits until everybody has what he should have. Of a shared subscription it is the members together.
fn settle(listeners: &mut [Listener]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        listeners.iter_mut().for_each(Listener::listen);
        let singles = listeners.iter().filter(|it| !it.is_shared).all(|it| it.heard.len() >= it.expected.len());
        let shared =
            |part: fn(&Listener) -> usize| -> usize { listeners.iter().filter(|l| l.is_shared).map(part).sum() };
        if singles && shared(|it| it.heard.len()) >= shared(|it| it.expected.len()) {
            return;
        }
        assert!(Instant::now() < deadline, "somebody did not get what is his");
    }
}

#[test]
fn however_things_move_everybody_gets_what_is_his_and_nothing_else() {
    const OWNERS: usize = 4;
    const THINGS: usize = 12;
    let (_folder, served) = served();
    let mut numbers = Numbers(7);
    let filters = ["live/#", "#", "live/+", "+/+", "$share/g/live/#"];
    let owner_name = |owner: usize| format!("owner-{owner}");
    let mut listeners: Vec<Listener> = (0..16)
        .map(|n| {
            let (owner, filter) = (n % OWNERS, filters[numbers.below(filters.len())]);
            let (mut client, _) = of(&served, &owner_name(owner), &format!("c{n}"));
            client.subscribe(filter, QoS::AtMostOnce);
            let is_shared = filter.starts_with('$');
            Listener { owner, is_shared, client, expected: Vec::new(), heard: Vec::new() }
        })
        .collect();
    let mut places = [OWNERS; THINGS];
    for n in 0..3_000 {
        let thing = numbers.below(THINGS);
        if numbers.below(20) == 0 {
            // What is on its way arrives first: nobody could say otherwise who should have it.
            settle(&mut listeners);
            places[thing] = numbers.below(OWNERS + 1);
            served.gate.place(&thing.to_string(), &owner_name(places[thing]));
        }
        let owner = places[thing];
        let payload = format!("{owner} {n}");
        tell(&served, &format!("live/{thing}"), &payload, QoS::AtMostOnce);
        let singles = listeners.iter_mut().filter(|it| it.owner == owner && !it.is_shared);
        singles.for_each(|it| it.expected.push(payload.clone()));
        if let Some(member) = listeners.iter_mut().find(|it| it.owner == owner && it.is_shared) {
            member.expected.push(payload);
        }
    }
    settle(&mut listeners);
    for listener in listeners.iter_mut().filter(|it| !it.is_shared) {
        assert_eq!(listener.heard, listener.expected);
    }
    for owner in 0..OWNERS {
        let of = |part: fn(&Listener) -> usize| -> usize {
            listeners.iter().filter(|it| it.is_shared && it.owner == owner).map(part).sum()
        };
        assert_eq!(of(|it| it.heard.len()), of(|it| it.expected.len()), "each shared message once, with a member");
    }
    // And while things move at any time, what arrives may be less, and is never another's.
    for n in 0..3_000 {
        let thing = numbers.below(THINGS);
        places[thing] = numbers.below(OWNERS + 1);
        served.gate.place(&thing.to_string(), &owner_name(places[thing]));
        tell(&served, &format!("live/{thing}"), &format!("{} {n}", places[thing]), QoS::AtMostOnce);
    }
    listeners.iter_mut().for_each(Listener::listen);
}
