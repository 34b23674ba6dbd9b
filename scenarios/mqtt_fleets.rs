//! MQTT for people and systems of single fleets, on a node that asks for credentials: wildcards that bring what is
//! theirs at the moment, assets that move, sessions that waited; what devices may send, how fast, and what keys may do at all.

mod harness;

use harness::{Node, Numbers, PATIENCE, folder, now_ms, packet, parse, report, text, wait_for};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// No limits on what the tests ask for by HTTP.
const QUICK: [(&str, &str); 2] = [("DROVER_CALLER_REQUESTS_PER_S", "0"), ("DROVER_ADDRESS_REQUESTS_PER_S", "0")];

struct Site {
    node: Node,
    admin: String,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let folder = folder();
        let (node, admin) = Node::secured(&folder.path().join("data"), &[], &QUICK);
        Site { node, admin, _folder: folder }
    }

    fn fleets(&self, ids: &[&str]) {
        ids.iter().for_each(|id| drop(self.by_admin().make("fleets", &json!({"id": id, "name": id}))));
    }

    fn by_admin(&self) -> harness::As<'_> {
        self.node.asked_by(&self.admin)
    }

    fn vehicle(&self, id: &str, fleet: Option<&str>) {
        let mut record = json!({"id": id, "registration_number": id});
        if let Some(fleet) = fleet {
            record["fleet_id"] = fleet.into();
        }
        self.by_admin().make("vehicles", &record);
    }

    fn move_to(&self, id: &str, fleet: Option<&str>) {
        self.by_admin()
            .ask("PATCH", &format!("/api/v1/vehicles/{id}"), json!({"fleet_id": fleet}).to_string())
            .expect(200);
    }

    fn key(&self, name: &str, scopes: &[&str], fleets: Option<&[String]>) -> String {
        let mut key = json!({"name": name, "scopes": scopes});
        match fleets {
            Some(fleets) => key["fleets"] = json!(fleets),
            None => key["all_fleets"] = true.into(),
        }
        self.by_admin().make("api-keys", &key)["secret"].as_str().expect("a secret").to_owned()
    }

    fn device(&self, kind: &str, id: &str) -> String {
        self.by_admin().make("device-tokens", &json!({"kind": kind, "id": id}))["token"]
            .as_str()
            .expect("one")
            .to_owned()
    }

    /// Reports of vehicles at this latitude.
    fn report(&self, ids: &[&str], time_ms: i64, latitude: f64) {
        let reports: Vec<Value> = ids.iter().map(|id| report("vehicle", id, time_ms, latitude, -8.0)).collect();
        let sent = self.by_admin().post("/api/v1/reports", Value::from(reports).to_string()).expect(202);
        assert_eq!(sent["accepted"], ids.len(), "{sent}");
        let last = format!("/api/v1/vehicles/{}/location?at_least={}", ids[ids.len() - 1], sent["position"]);
        self.by_admin().get(&last).expect(200);
    }

    fn metric(&self, name: &str) -> f64 {
        let metrics = self.by_admin().get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    fn watch(&self, token: &str, filter: &str) -> Watcher {
        let port = self.node.door("mqtt").port().to_string();
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &port, "-u", "", "-P", token, "-V", "mqttv5", "-t", filter]);
        command.args(["-F", "%t %r %p"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("mosquitto_sub is installed");
        let (tell, lines) = channel();
        let stdout = process.stdout.take().expect("piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _nobody_listens = tell.send(line);
            }
        });
        Watcher { process, lines, heard: Vec::new() }
    }
}

/// What `mosquitto_sub` printed.
#[derive(Debug, Clone)]
struct Heard {
    id: String,
    is_retained: bool,
    latitude: f64,
}

struct Watcher {
    process: Child,
    lines: Receiver<String>,
    heard: Vec<Heard>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

impl Watcher {
    fn listen(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            let mut parts = line.splitn(3, ' ');
            let (topic, retained, payload) = (parts.next(), parts.next(), parts.next().expect("topic, flag, payload"));
            let id = topic.and_then(|topic| topic.rsplit('/').next()).expect("a topic").to_owned();
            let latitude = parse(payload.as_bytes())["latitude"].as_f64().expect("a latitude");
            self.heard.push(Heard { id, is_retained: retained == Some("1"), latitude });
        }
    }

    /// Waits until this was heard of an asset.
    #[track_caller]
    fn hears(&mut self, id: &str, latitude: f64) -> Heard {
        wait_for(&format!("{id} at {latitude}"), || {
            self.listen();
            self.heard.iter().find(|heard| heard.id == id && (heard.latitude - latitude).abs() < 1e-6).cloned()
        })
    }

    /// Every id that was heard of so far.
    fn ids(&mut self) -> BTreeSet<String> {
        self.listen();
        self.heard.iter().map(|heard| heard.id.clone()).collect()
    }
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn each_fleet_watches_its_own_with_wildcards_and_what_moves_changes_hands() {
    let site = Site::new();
    site.fleets(&["north", "south"]);
    for (id, fleet) in [("v-n", Some("north")), ("v-n2", Some("north")), ("v-s", Some("south")), ("v-0", None)] {
        site.vehicle(id, fleet);
    }
    let everything = ["v-n", "v-n2", "v-s", "v-0"];
    let start = now_ms() - 3_600_000;
    site.report(&everything, start, 41.0);
    let user = site.by_admin().user("ada@example.com", &json!({"role": "dispatcher", "fleets": ["north"]}));
    let key = site.key("other system", &["live.read"], Some(&["south".to_owned()]));
    let auditor = site.by_admin().user("eve@example.com", &json!({"role": "auditor", "all_fleets": true}));
    let mut north = site.watch(&user, "live/#");
    let mut named = site.watch(&user, "live/vehicle/v-n");
    let mut south = site.watch(&key, "live/vehicle/+");
    let mut all = site.watch(&auditor, "live/+/#");
    for (watcher, own) in [(&mut north, &["v-n", "v-n2"][..]), (&mut south, &["v-s"]), (&mut all, &everything)] {
        for id in own {
            assert!(watcher.hears(id, 41.0).is_retained, "the present state comes with the subscription");
        }
    }
    named.hears("v-n", 41.0);
    site.report(&everything, start + 60_000, 41.001);
    for (watcher, own) in [(&mut north, &["v-n", "v-n2"][..]), (&mut south, &["v-s"]), (&mut all, &everything)] {
        own.iter().for_each(|id| drop(watcher.hears(id, 41.001)));
        assert_eq!(watcher.ids(), set(own));
    }
    named.hears("v-n", 41.001);

    site.move_to("v-n", Some("south"));
    site.report(&everything, start + 120_000, 41.002);
    south.hears("v-n", 41.002);
    all.hears("v-n", 41.002);
    north.hears("v-n2", 41.002);
    site.move_to("v-n", Some("north"));
    site.report(&everything, start + 180_000, 41.003);
    north.hears("v-n", 41.003);
    named.hears("v-n", 41.003);
    all.hears("v-s", 41.003);
    south.hears("v-s", 41.003);
    let away = |watcher: &Watcher| watcher.heard.iter().any(|heard| heard.id == "v-n" && heard.latitude == 41.002);
    assert!(!away(&north) && !away(&named), "what moved away was not heard of, by whatever name");
    assert_eq!(south.ids(), set(&["v-n", "v-s"]));
    assert!(!south.heard.iter().any(|heard| heard.id == "v-n" && heard.latitude != 41.002));
    assert_eq!(north.ids(), set(&["v-n", "v-n2"]));

    // A caller whose fleets change is sent away, and comes back with his new ones.
    let users = site.by_admin().get("/api/v1/users?limit=100").expect(200);
    let ada = users["data"].as_array().expect("a list").iter().find(|user| user["email"] == "ada@example.com");
    let path = format!("/api/v1/users/{}", ada.expect("she is there")["id"].as_str().expect("an id"));
    site.by_admin().ask("PATCH", &path, json!({"fleets": ["south"]}).to_string()).expect(200);
    wait_for("the end of her connections", || north.process.try_wait().expect("our child"));
}

#[test]
fn whatever_the_fleets_and_however_assets_move_nobody_hears_of_a_foreign_one() {
    const FLEETS: usize = 4;
    const ROUNDS: usize = 12;
    let site = Site::new();
    let mut numbers = Numbers(20_261_123);
    let fleets: Vec<String> = (0..FLEETS).map(|n| format!("f-{n}")).collect();
    site.fleets(&fleets.iter().map(String::as_str).collect::<Vec<_>>());
    let ids: Vec<String> = (0..24).map(|n| format!("a-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut places: Vec<usize> = ids.iter().map(|_| numbers.below(FLEETS + 1)).collect();
    for (id, place) in ids.iter().zip(&places) {
        site.vehicle(id, fleets.get(*place).map(String::as_str));
    }
    let start = now_ms() - 3_600_000;
    site.report(&ids, start, 41.0);
    let filters = ["live/#", "live/vehicle/+", "live/+/+", "live/vehicle/#", "$share/g/live/#"];
    // Hears everything: what it has heard is no longer on its way to anybody.
    let mut all = site.watch(&site.admin, "live/#");
    ids.iter().for_each(|id| drop(all.hears(id, 41.0)));
    let mut watchers: Vec<(BTreeSet<usize>, bool, Watcher)> = (0..10)
        .map(|n| {
            let first = numbers.below(FLEETS);
            let reached: BTreeSet<usize> = (0..FLEETS).filter(|f| *f == first || numbers.below(3) == 0).collect();
            let names: Vec<String> = reached.iter().map(|fleet| fleets[*fleet].clone()).collect();
            let token = match n % 2 {
                0 => site.key(&format!("k{n}"), &["live.read"], Some(&names)),
                _ => {
                    let role = ["dispatcher", "fleet_manager", "auditor"][numbers.below(3)];
                    site.by_admin().user(&format!("u{n}@example.com"), &json!({"role": role, "fleets": names}))
                }
            };
            // Each filter twice: the shared one has two members, of different people.
            let filter = filters[n / 2];
            (reached, filter.starts_with('$'), site.watch(&token, filter))
        })
        .collect();
    for (reached, is_shared, watcher) in &mut watchers {
        let own = ids.iter().zip(&places).filter(|(_, place)| reached.contains(place)).map(|(id, _)| *id);
        for id in own.filter(|_| !*is_shared) {
            watcher.hears(id, 41.0);
        }
    }
    // By round: who is where while its reports come.
    let mut history: Vec<Vec<usize>> = vec![places.clone()];
    for round in 1..=ROUNDS {
        for _ in 0..6 {
            let moved = numbers.below(ids.len());
            places[moved] = numbers.below(FLEETS + 1);
            site.move_to(ids[moved], fleets.get(places[moved]).map(String::as_str));
        }
        history.push(places.clone());
        let latitude = 41.0 + round as f64 / 1e3;
        site.report(&ids, start + round as i64 * 60_000, latitude);
        ids.iter().for_each(|id| drop(all.hears(id, latitude)));
        for (reached, is_shared, watcher) in &mut watchers {
            let own = ids.iter().zip(&places).filter(|(_, place)| reached.contains(place)).map(|(id, _)| *id);
            for id in own.filter(|_| !*is_shared) {
                watcher.hears(id, latitude);
            }
        }
    }
    let mut shared: BTreeMap<(String, usize), usize> = BTreeMap::new();
    for (reached, is_shared, watcher) in &mut watchers {
        watcher.listen();
        assert!(!watcher.heard.is_empty(), "somebody who reaches {reached:?} heard nothing");
        for heard in &watcher.heard {
            let round = ((heard.latitude - 41.0) * 1e3).round() as usize;
            let at = ids.iter().position(|id| *id == heard.id).expect("one of ours");
            let place = history[round][at];
            assert!(reached.contains(&place), "who reaches {reached:?} heard of {} of {place}: {heard:?}", heard.id);
            if *is_shared {
                *shared.entry((heard.id.clone(), round)).or_default() += 1;
            }
        }
    }
    assert!(shared.values().all(|times| *times == 1), "each shared message once: {shared:?}");
}

/// A client of 3.1.1 or 5, packet by packet.
struct Raw {
    stream: TcpStream,
    is_v5: bool,
}

impl Raw {
    /// Connects with a session that stays, or a new one; must be let in.
    fn join(node: &Node, is_v5: bool, id: &str, token: &str, is_clean: bool) -> Raw {
        let stream = TcpStream::connect(node.door("mqtt")).expect("the node accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut raw = Raw { stream, is_v5 };
        let (version, properties) = if is_v5 { (5, &[0][..]) } else { (4, &[][..]) };
        let flags = 0xC0 | if is_clean { 2 } else { 0 };
        let head = [&b"\0\x04MQTT"[..], &[version, flags, 0, 0], properties].concat();
        raw.send(&packet(0x10, &[head, text(id), text(""), text(token)].concat()));
        let (kind, body) = raw.packet().expect("an answer");
        assert_eq!((kind, body[1]), (0x20, 0), "let in");
        raw
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// First byte and body of the next packet; none when the connection is closed.
    fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut first = [0];
        match self.stream.read(&mut first) {
            Ok(0) => return None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            other => other.expect("an answer in time"),
        };
        let mut length = 0;
        for shift in 0.. {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("a length");
            length |= usize::from(byte[0] & 0x7F) << (7 * shift);
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the rest");
        Some((first[0], body))
    }

    /// What SUBACK says; what else comes meanwhile is passed over.
    fn subscribe(&mut self, filter: &str) -> u8 {
        let properties: &[u8] = if self.is_v5 { &[0] } else { &[] };
        self.send(&packet(0x82, &[&[0, 1][..], properties, &text(filter), &[1]].concat()));
        loop {
            let (kind, body) = self.packet().expect("the connection stays");
            if kind == 0x90 {
                return *body.last().expect("a code");
            }
        }
    }

    fn publish(&mut self, topic: &str, id: u16, payload: &str) {
        let properties: &[u8] = if self.is_v5 { &[0] } else { &[] };
        self.send(&packet(0x32, &[&text(topic)[..], &id.to_be_bytes(), properties, payload.as_bytes()].concat()));
    }

    /// The answer to a publish: id and reason; none when the connection is closed.
    fn answer(&mut self) -> Option<(u16, u8)> {
        loop {
            match self.packet()? {
                (0x40, body) => {
                    return Some((u16::from_be_bytes([body[0], body[1]]), body.get(2).copied().unwrap_or(0)));
                }
                (0xE0, _) => {}
                (kind, body) => panic!("{kind:x} {body:?}"),
            }
        }
    }

    /// Publishes of QoS 1 until a pause: topic, packet id, and whether it was sent before.
    fn publishes(&mut self) -> Vec<(String, u16, bool)> {
        let mut heard = Vec::new();
        self.send(&[0xC0, 0]);
        // A ping is answered after what stood before it; what a session kept is sent right after CONNACK.
        let pause = Instant::now() + Duration::from_millis(500);
        loop {
            match self.packet().expect("the connection stays") {
                (0xD0, _) if Instant::now() > pause => return heard,
                (0xD0, _) => {
                    std::thread::sleep(Duration::from_millis(50));
                    self.send(&[0xC0, 0]);
                }
                (kind, body) if kind & 0xF0 == 0x30 => {
                    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let topic = String::from_utf8_lossy(&body[2..2 + length]).into_owned();
                    let id = u16::from_be_bytes([body[2 + length], body[3 + length]]);
                    let is_again = kind & 8 != 0;
                    heard.push((topic, if kind & 6 == 0 { 0 } else { id }, is_again));
                }
                (kind, body) => panic!("{kind:x} {body:?}"),
            }
        }
    }
}

#[test]
fn what_waited_in_a_session_while_its_asset_moved_is_not_sent() {
    let site = Site::new();
    site.fleets(&["north", "south"]);
    let ids = ["v-1", "v-2", "v-3"];
    ids.iter().for_each(|id| site.vehicle(id, Some("north")));
    site.report(&ids, now_ms() - 60_000, 41.0);
    let key = site.key("north's", &["live.read"], Some(&["north".to_owned()]));
    let mut first = Raw::join(&site.node, false, "map", &key, false);
    assert_eq!(first.subscribe("live/#"), 1);
    let mut topics: Vec<String> = first.publishes().into_iter().map(|(topic, ..)| topic).collect();
    // The present state, and for who subscribes while it comes about, the change to it as well.
    topics.sort();
    topics.dedup();
    assert_eq!(topics, ids.map(|id| format!("live/vehicle/{id}")));
    // None of it is acknowledged: all of it waits in the session.
    drop(first);
    site.move_to("v-2", Some("south"));
    let mut second = Raw::join(&site.node, false, "map", &key, false);
    let again = second.publishes();
    let mut topics: Vec<&str> = again.iter().map(|(topic, ..)| &**topic).collect();
    topics.sort_unstable();
    topics.dedup();
    assert_eq!(topics, ["live/vehicle/v-1", "live/vehicle/v-3"], "{again:?}");
    assert!(again.iter().all(|(_, id, is_again)| *id > 0 && *is_again));
    // The subscription is there, and what it brings is what is in sight now.
    site.report(&ids, now_ms(), 41.0);
    let mut heard = BTreeSet::new();
    wait_for("changes", || {
        heard.extend(second.publishes().into_iter().filter(|(_, id, _)| *id == 0).map(|(topic, ..)| topic));
        (heard.len() >= 2).then_some(())
    });
    assert_eq!(heard, set(&["live/vehicle/v-1", "live/vehicle/v-3"]));
}

#[test]
fn what_is_closed_stays_closed_to_wildcards() {
    let site = Site::new();
    site.fleets(&["north"]);
    site.vehicle("v-1", Some("north"));
    let admin = site.by_admin();
    admin.make("drivers", &json!({"id": "d-1", "fleet_id": "north", "name": "Ada"}));
    admin.make("customers", &json!({"id": "c-1", "fleet_id": "north", "name": "Bo"}));
    let north = &["north".to_owned()][..];
    let dispatcher = admin.user("ada@example.com", &json!({"role": "dispatcher", "fleets": ["north"]}));
    let seen = ["live/#", "live/+/v-1", "live/vehicle/+", "live/vehicle/v-1", "live/driver/d-1", "$share/g/live/#"];
    let people = [
        (dispatcher, &seen[..]),
        (admin.user("c@example.com", &json!({"role": "customer", "customer_id": "c-1"})), &[]),
        (admin.user("d@example.com", &json!({"role": "driver", "driver_id": "d-1"})), &["live/driver/d-1"]),
        (site.device("vehicle", "v-1"), &["live/vehicle/v-1", "commands/vehicle/v-1"]),
        (site.key("sends", &["reports.write"], Some(north)), &[]),
        (site.key("sends everywhere", &["reports.write"], None), &[]),
    ];
    let filters = [
        "#",
        "+/#",
        "+/+/+",
        "live/#",
        "live/+/v-1",
        "live/vehicle/+",
        "live/vehicle/v-1",
        "live/driver/d-1",
        "live/vehicle/none",
        "$share/g/live/#",
        "$share/g/#",
        "$SYS/#",
        "commands/#",
        "commands/vehicle/+",
        "commands/vehicle/v-1",
        "vehicles/+/location",
        "vehicles/v-1/location",
        "live",
        "+",
    ];
    for (token, open) in people {
        let mut raw = Raw::join(&site.node, false, "c", &token, true);
        for filter in filters {
            assert_eq!(raw.subscribe(filter) < 0x80, open.contains(&filter), "{filter} for {open:?}");
        }
    }
    let mut reads = Raw::join(&site.node, true, "r", &site.key("reads everywhere", &["live.read"], None), true);
    assert!(reads.subscribe("#") < 0x80);
    for topic in ["vehicles/v-1/location", "commands/vehicle/v-1", "depot/door"] {
        reads.publish(topic, 7, r#"{"latitude":41,"longitude":-8}"#);
        assert_eq!(reads.answer(), Some((7, 0x87)), "a key that reads does not write: {topic}");
    }
}

#[test]
fn a_device_that_sends_more_than_it_may_is_told_and_nothing_acknowledged_is_lost() {
    const SENT: u16 = 40;
    let site = Site::new();
    site.fleets(&["north"]);
    site.vehicle("v-9", Some("north"));
    let start = now_ms() - 600_000;
    let body =
        |n: u16| json!({"latitude": 41.0, "longitude": -8.0, "timestamp": start + i64::from(n) * 1000}).to_string();
    let accepted = || site.metric(r#"drover_reports_accepted_total{door="mqtt"}"#);
    let refused = || site.metric(r#"drover_mqtt_refused_total{reason="quota_exceeded"}"#);
    let kept = |id: &str| {
        let rejects = site.by_admin().get("/api/v1/rejects?limit=1000").expect(200);
        let list = rejects["rejects"].as_array().expect("a list").clone();
        list.iter()
            .filter(|r| r["code"] == "rate_limited" && r["message"].as_str().is_some_and(|m| m.contains(id)))
            .count()
    };

    // MQTT 5: each is answered, and the connection stays.
    let token = site.device("vehicle", "v-5");
    let mut new = Raw::join(&site.node, true, "new", &token, true);
    (1..=SENT).for_each(|n| new.publish("vehicles/v-5/location", n, &body(n)));
    let answers: Vec<(u16, u8)> = (1..=SENT).map(|_| new.answer().expect("an answer to each")).collect();
    assert!(answers.iter().enumerate().all(|(n, (id, _))| usize::from(*id) == n + 1), "in their order: {answers:?}");
    let (taken, too_many): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, code)| *code < 0x80);
    assert!((10..30).contains(&taken.len()), "a burst of 10, and 2 a second: {taken:?}");
    assert!(too_many.iter().all(|(_, code)| *code == 0x97), "{too_many:?}");
    assert_eq!(accepted(), taken.len() as f64, "what was acknowledged is there, and nothing else");
    assert_eq!((refused(), kept("v-5")), (too_many.len() as f64, too_many.len()));
    // A bucket of its own would let ten through.
    let http = site.node.asked_by(&token);
    let by_http: Vec<u16> =
        (1..=5).map(|n| http.post("/api/v1/vehicles/v-5/location", body(SENT + n)).status).collect();
    assert!(by_http.contains(&429), "by HTTP it is the same bucket: {by_http:?}");
    std::thread::sleep(Duration::from_millis(1_100));
    new.publish("vehicles/v-5/location", 99, &body(SENT + 20));
    assert_eq!(new.answer(), Some((99, 0)), "after a while it goes on");

    // 3.1.1 has no word for no: what came before is acknowledged, then the connection ends.
    let before = accepted();
    let mut old = Raw::join(&site.node, false, "old", &site.device("vehicle", "v-3"), true);
    (1..=SENT).for_each(|n| old.publish("vehicles/v-3/location", n, &body(n)));
    let acknowledged: Vec<u16> = std::iter::from_fn(|| old.answer()).map(|(id, _)| id).collect();
    assert!((10..30).contains(&acknowledged.len()), "{acknowledged:?}");
    assert!(acknowledged.iter().enumerate().all(|(n, id)| usize::from(*id) == n + 1), "{acknowledged:?}");
    assert!(accepted() - before >= acknowledged.len() as f64, "every acknowledged report is there");
    assert!(kept("v-3") >= 1);
    let sql = json!({"sql": "SELECT count(*) FROM reports WHERE id = 'v-3'"}).to_string();
    wait_for("every acknowledged report in history", || {
        let counted = site.by_admin().post("/api/v1/sql", &sql).expect(200)["rows"][0][0].as_u64();
        (counted? >= acknowledged.len() as u64).then_some(())
    });

    // The limit is a device's: a fleet's own system sends for many.
    let key = site.key("gateway", &["reports.write"], Some(&["north".to_owned()]));
    let mut gateway = Raw::join(&site.node, true, "gateway", &key, true);
    for n in 1..=SENT {
        gateway.publish("vehicles/v-9/location", n, &body(n));
        assert_eq!(gateway.answer(), Some((n, 0)));
    }
}
