//! How fast somebody may go, from where, and what is noted of it, on the real binary: frames of devices, strangers at
//! Socket.IO, addresses behind proxies, who watches one person, by MQTT too, and requests that come again after a crash.

mod harness;

use harness::{Answer, Node, drover, folder, now_ms, report, wait_for};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn device(node: &Node, admin: &str, kind: &str, id: &str) -> String {
    let made = node.asked_by(admin).make("device-tokens", &json!({"kind": kind, "id": id}));
    made["token"].as_str().expect("a token").to_owned()
}

/// The audit's entries of an action, newest first, once there are so many.
fn audited(node: &Node, admin: &str, action: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} entries of {action}"), || {
        let page = node.asked_by(admin).get(&format!("/api/v1/audit?action={action}")).expect(200);
        let entries = page["data"].as_array().expect("entries").clone();
        (entries.len() >= count).then_some(entries)
    })
}

#[test]
fn a_devices_frames_have_the_limit_of_its_requests_and_a_refused_one_closes_nothing() {
    let folder = folder();
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &[]);
    let token = device(&node, &admin, "driver", "d-1");
    let mut socket = node.socket(&format!("/api/v1/ingest?access_token={token}"));
    let now = now_ms();
    let frame = |n: i64| report("driver", "d-1", now - 60_000 + n * 1000, 41.15, -8.61);
    // A frame is one request, however many reports it holds.
    let batch: Vec<Value> = (0..30).map(|n| frame(-n)).collect();
    assert_eq!(socket.ask(Value::from(batch))["accepted"], 30);
    (1..=24).for_each(|n| socket.send(frame(n)));
    let acks: Vec<Value> = (1..=24).map(|_| socket.next()).collect();
    let refused: Vec<&Value> = acks.iter().filter(|ack| ack["error"].is_object()).collect();
    assert!((12..=15).contains(&refused.len()), "nine of the burst were left, and two come back a second: {acks:?}");
    for (ack, wanted) in acks.iter().zip(2..) {
        assert_eq!(ack["ack"], wanted, "in order");
    }
    for ack in &refused {
        assert_eq!((&ack["error"]["code"], &ack["error"]["retry_after_s"]), (&json!("rate_limited"), &json!(1)));
    }
    let other =
        node.post_with("/api/v1/reports", &[("authorization", &format!("Bearer {token}"))], frame(30).to_string());
    assert_eq!((other.status, other.retry_after_s), (429, Some(1)), "by HTTP it is the same bucket");
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(socket.ask(frame(31))["accepted"], 1, "the connection goes on");

    let asked = node.asked_by(&admin);
    let kept = asked.get("/api/v1/rejects").expect(200);
    let kept = kept["rejects"].as_array().expect("kept ones");
    assert_eq!(kept.len(), refused.len());
    for item in kept {
        assert_eq!((&item["code"], &item["source"]), (&json!("rate_limited"), &json!("websocket")));
        assert!(item["payload"].as_str().expect("as it came").contains("d-1"));
    }
    let metrics = asked.get("/metrics").text();
    let counted =
        metrics.lines().find(|line| line.starts_with("drover_reports_rejected_total{reason=\"rate_limited\"}"));
    assert_eq!(counted.and_then(|line| line.rsplit(' ').next()), Some(refused.len().to_string().as_str()));

    // Whoever is no device has the limit of his requests only.
    let mut manager = node.socket(&format!("/api/v1/ingest?access_token={admin}"));
    (0..40).for_each(|n| manager.send(report("vehicle", "v-1", now - n, 41.15, -8.61)));
    assert!((0..40).all(|_| manager.next()["accepted"] == 1));
}

#[test]
fn an_address_has_fifty_socket_io_connections_of_strangers_and_gets_them_back_when_they_are_closed() {
    let folder = folder();
    let fast = [("DROVER_ADDRESS_BURST_REQUESTS", "100000")];
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &fast);
    let open = || node.get("/socket.io/?EIO=4&transport=polling");
    for n in 0..50 {
        assert_eq!(open().status, 200, "connection {n}");
    }
    let refused = open();
    assert_eq!((refused.status, refused.retry_after_s), (429, Some(10)));
    assert_eq!(refused.json()["error"]["code"], "too_many_connections");
    assert_eq!(node.asked_by(&admin).get("/socket.io/?EIO=4&transport=polling").status, 200);
    // Whoever says nothing is closed after ten seconds.
    wait_for("a free place", || (open().status == 200).then_some(()));
}

#[test]
fn strangers_at_socket_io_are_as_fast_as_their_address_may_be() {
    let folder = folder();
    let slow = [("DROVER_ADDRESS_REQUESTS_PER_S", "1"), ("DROVER_ADDRESS_BURST_REQUESTS", "8")];
    let (node, _) = Node::secured(&folder.path().join("data"), &[], &slow);
    let answers: Vec<Answer> = (0..12).map(|_| node.get("/socket.io/?EIO=4&transport=polling")).collect();
    let refused = answers.iter().find(|answer| answer.status == 429).expect("one too many");
    assert_eq!((&refused.json()["error"]["code"], refused.retry_after_s), (&json!("rate_limited"), Some(1)));
}

#[test]
fn only_a_trusted_proxy_says_from_where_somebody_comes() {
    let folder = folder();
    let come = |node: &Node| {
        let headers = [("x-forwarded-for", "8.8.8.8, 203.0.113.9")];
        assert_eq!(node.post_with("/api/v1/search", &headers, "{}").status, 401);
    };
    let data = folder.path().join("data");
    let (node, admin) = Node::secured(&data, &[], &[]);
    come(&node);
    assert_eq!(audited(&node, &admin, "access.unauthenticated", 1)[0]["address"], "127.0.0.1");
    node.stop();
    let trusting = [("DROVER_TRUSTED_PROXIES", r#"["127.0.0.0/8", "::1"]"#)];
    let (node, admin) = Node::secured_again(&data, &[], &trusting);
    come(&node);
    assert_eq!(audited(&node, &admin, "access.unauthenticated", 2)[0]["address"], "203.0.113.9");
    node.stop();
    let mut wrong = drover(&["serve", "--data"]);
    wrong.arg(&data).env("DROVER_TRUSTED_PROXIES", r#"["the proxy"]"#).stdout(Stdio::null());
    let output = wrong.output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("trusted_proxies"), "{said}");
}

#[test]
fn watching_one_person_is_noted_when_it_begins_and_ends_and_watching_the_map_is_not() {
    let folder = folder();
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &[]);
    let asked = node.asked_by(&admin);
    asked.make("fleets", &json!({"id": "north", "name": "North"}));
    asked.make("drivers", &json!({"id": "d-1", "name": "Ada", "fleet_id": "north"}));
    let mut map = node.socket(&format!("/api/v1/live?kinds=driver&access_token={admin}"));
    map.next();
    let mut one = node.socket(&format!("/api/v1/live?assets=vehicle/v-1,driver/d-1&access_token={admin}"));
    one.next();
    let begun = &audited(&node, &admin, "location.watch", 1)[0];
    assert_eq!(
        (&begun["subject"], &begun["fleet"], &begun["outcome"]),
        (&json!("driver/d-1"), &json!("north"), &json!("ok"))
    );
    one.send(json!({"action": "subscribe", "assets": ["driver/d-1", "rider/r-1"]}));
    let begun = audited(&node, &admin, "location.watch", 2);
    assert_eq!(begun[0]["subject"], "rider/r-1", "the other one goes on");
    one.send(json!({"action": "subscribe"}));
    assert_eq!(audited(&node, &admin, "location.watch_end", 2).len(), 2);
    map.send(json!({"action": "subscribe", "kinds": ["rider"]}));
    drop(one);
    let sql = "SELECT latitude FROM reports WHERE kind = 'driver' AND id = 'd-1'";
    asked.post("/api/v1/sql", json!({"sql": sql}).to_string()).expect(200);
    let query = &audited(&node, &admin, "sql.post", 1)[0];
    assert_eq!(query["after"]["sql"], sql, "whom it is about cannot be told from it, so it is kept itself");
    assert_eq!(audited(&node, &admin, "location.watch", 2).len(), 2);
    assert_eq!(audited(&node, &admin, "location.watch_end", 2).len(), 2);
}

/// A client of MQTT that listens to these topics until it is dropped.
struct Listener(Child);

impl Listener {
    fn to(node: &Node, token: &str, filters: &[&str]) -> Listener {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &node.door("mqtt").port().to_string(), "-u", "", "-P", token]);
        command.args(filters.iter().flat_map(|filter| ["-t", filter])).stdout(Stdio::null()).stderr(Stdio::null());
        Listener(command.spawn().expect("mosquitto_sub is installed"))
    }

    /// One that listens to a person, once the audit says so.
    fn until_noted(node: &Node, token: &str, person: &str) -> Listener {
        let listener = Listener::to(node, token, &[&format!("live/{person}")]);
        wait_for("the note", || {
            let entries = audited(node, token, "location.watch", 1);
            (entries[0]["subject"] == person).then_some(())
        });
        listener
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn listening_to_one_person_by_mqtt_is_noted_when_it_begins_and_ends_and_to_the_map_is_not() {
    let folder = folder();
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &[]);
    let asked = node.asked_by(&admin);
    asked.make("fleets", &json!({"id": "north", "name": "North"}));
    asked.make("drivers", &json!({"id": "d-1", "name": "Ada", "fleet_id": "north"}));
    let device = device(&node, &admin, "vehicle", "v-1");
    let everything = Listener::to(&node, &admin, &["live/#", "drivers/+/location", "live/vehicle/v-1"]);
    let foreign = Listener::to(&node, &device, &["live/driver/d-1"]);
    let refused = audited(&node, &admin, "location.watch", 1);
    assert_eq!((&refused[0]["subject"], &refused[0]["outcome"]), (&json!("driver/d-1"), &json!("refused")));
    let one = Listener::to(&node, &admin, &["live/driver/d-1", "drivers/d-1/location"]);
    let begun = audited(&node, &admin, "location.watch", 2);
    assert_eq!(
        (&begun[0]["subject"], &begun[0]["fleet"], &begun[0]["outcome"], &begun[0]["address"]),
        (&json!("driver/d-1"), &json!("north"), &json!("ok"), &json!("127.0.0.1"))
    );
    drop(one);
    let ended = audited(&node, &admin, "location.watch_end", 1);
    assert!(ended[0]["after"]["seconds"].is_number(), "{ended:?}");
    drop((everything, foreign));
    let is_quiet = || asked.get("/metrics").text().lines().any(|line| line == "drover_mqtt_connections 0");
    wait_for("the end of all connections", || is_quiet().then_some(()));
    // What is noted is noted in order: after one more, all that came before it is there.
    drop(Listener::until_noted(&node, &admin, "rider/r-1"));
    let ended = audited(&node, &admin, "location.watch_end", 2);
    let subjects = |entries: &[Value]| entries.iter().map(|entry| entry["subject"].clone()).collect::<Vec<_>>();
    assert_eq!(subjects(&ended), ["rider/r-1", "driver/d-1"], "twice by name is once, and the map is nobody");
    let begun = audited(&node, &admin, "location.watch", 3);
    assert_eq!(subjects(&begun), ["rider/r-1", "driver/d-1", "driver/d-1"]);
}

#[test]
fn a_request_that_comes_again_after_a_crash_makes_nothing_twice() {
    let folder = folder();
    let data = folder.path().join("data");
    let (node, admin) = Node::secured(&data, &[], &[]);
    let make = |node: &Node, admin: &str, name: &str| {
        let bearer = format!("Bearer {admin}");
        let headers =
            [("authorization", bearer.as_str()), ("idempotency-key", "k-1"), ("content-type", "application/json")];
        node.post_with("/api/v1/fleets", &headers, json!({"name": name}).to_string())
    };
    let first = make(&node, &admin, "North").expect(201);
    node.kill();
    let (node, admin) = Node::secured_again(&data, &[], &[]);
    assert_eq!(make(&node, &admin, "North").expect(201)["data"], first["data"]);
    assert_eq!(make(&node, &admin, "South").expect(422)["error"]["code"], "idempotency_key_reused");
    let fleets = node.asked_by(&admin).get("/api/v1/fleets").expect(200);
    assert_eq!(fleets["meta"]["pagination"]["total"], 1);
}
