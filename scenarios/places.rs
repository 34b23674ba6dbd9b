//! What is there for everybody, on the real binary: turns of SQL, watchers, sessions of MQTT and connections. One caller,
//! or somebody who says half of what he wants, takes his own part of it and leaves the rest to others.

mod harness;

use harness::{Node, PATIENCE, folder, now_ms, packet, report, text, wait_for};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A query that goes on until it is stopped.
const ENDLESS: &str =
    "SELECT count(*) FROM reports a, reports b, reports c WHERE a.position + b.position < c.position * 2";

fn fleet_of_reports(node: &Node, admin: &str) {
    let asked = node.asked_by(admin);
    asked.make("fleets", &json!({"id": "north", "name": "North"}));
    asked.make("vehicles", &json!({"id": "v-1", "registration_number": "v-1", "fleet_id": "north"}));
    let now = now_ms();
    let reports: Vec<Value> = (0..2_000).map(|n| report("vehicle", "v-1", now - n * 1_000, 41.15, -8.61)).collect();
    asked.post("/api/v1/reports", Value::from(reports).to_string()).expect(202);
}

fn dispatcher(node: &Node, admin: &str, name: &str) -> String {
    node.asked_by(admin).user(&format!("{name}@example.com"), &json!({"role": "dispatcher", "fleets": ["north"]}))
}

#[test]
fn a_caller_with_long_queries_leaves_a_turn_to_others() {
    let folder = folder();
    let settings = [("DROVER_SQL_TIMEOUT_S", "12")];
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &settings);
    fleet_of_reports(&node, &admin);
    let (greedy, other) = (dispatcher(&node, &admin, "greedy"), dispatcher(&node, &admin, "other"));
    let ask = |token: &str, sql: &str| node.asked_by(token).post("/api/v1/sql", json!({"sql": sql}).to_string());
    let statuses = std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..4).map(|_| scope.spawn(|| ask(&greedy, ENDLESS).status)).collect();
        wait_for("a query that runs", || {
            let running = node.asked_by(&admin).get("/api/v1/sql").expect(200);
            running["queries"].as_array().is_some_and(|queries| !queries.is_empty()).then_some(())
        });
        for _ in 0..5 {
            let answer = ask(&other, "SELECT count(*) FROM reports").expect(200);
            assert_eq!(answer["rows"], json!([[2_000]]));
            std::thread::sleep(Duration::from_millis(500));
        }
        crowd.into_iter().map(|query| query.join().expect("an answer")).collect::<Vec<u16>>()
    });
    assert!(statuses.iter().all(|status| *status >= 400), "none of them had the time: {statuses:?}");
    assert!(statuses.contains(&503), "and some had no turn: {statuses:?}");
}

#[test]
fn a_caller_has_so_many_watchers_and_others_have_theirs() {
    let folder = folder();
    let settings = [("DROVER_MAX_WATCHERS_PER_CALLER", "2")];
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &settings);
    fleet_of_reports(&node, &admin);
    let (greedy, other) = (dispatcher(&node, &admin, "greedy"), dispatcher(&node, &admin, "other"));
    let watch = |token: &str| node.socket(&format!("/api/v1/live?access_token={token}"));
    let first = watch(&greedy);
    let _second = watch(&greedy);
    let refused = node.asked_by(&greedy).get("/api/v1/live");
    assert_eq!(refused.expect(429)["error"]["code"], "too_many_watchers");
    assert!(refused.retry_after_s.is_some());
    assert_eq!(watch(&other).next()["type"], "hello");
    let _administrators: Vec<_> = (0..5).map(|_| watch(&admin)).collect();
    drop(first);
    wait_for("the place that was left", || {
        let mut stream = node.connect();
        let ask =
            format!("GET /api/v1/live HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {greedy}\r\n\r\n", node.address());
        stream.write_all(ask.as_bytes()).expect("sent");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("an answer");
        (&head[9..] == b"200").then_some(())
    });
}

/// Connects by MQTT 3.1.1 with a token, to keep the session; gives the code of the answer.
fn knock(node: &Node, token: &str, client: &str) -> (TcpStream, u8) {
    let mut stream = TcpStream::connect(node.door("mqtt")).expect("the node accepts connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let said = [b"\0\x04MQTT\x04\xC0\0\0".as_slice(), &text(client), &text(""), &text(token)].concat();
    stream.write_all(&packet(0x10, &said)).expect("sent");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).expect("CONNACK");
    assert_eq!(answer[0], 0x20);
    (stream, answer[3])
}

fn device(node: &Node, admin: &str, id: &str) -> String {
    let made = node.asked_by(admin).make("device-tokens", &json!({"kind": "driver", "id": id}));
    made["token"].as_str().expect("a token").to_owned()
}

/// "Server unavailable" of MQTT 3.1.1.
const UNAVAILABLE: u8 = 3;

#[test]
fn a_device_has_so_many_mqtt_sessions_and_one_that_is_away_makes_room() {
    let folder = folder();
    let settings = [("DROVER_MQTT_SESSIONS_PER_DEVICE", "3")];
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &settings);
    let token = device(&node, &admin, "d-1");
    let mut inside: Vec<TcpStream> = (0..3).map(|n| knock(&node, &token, &format!("c-{n}")).0).collect();
    assert_eq!(knock(&node, &token, "c-3").1, UNAVAILABLE);
    assert_eq!(knock(&node, &device(&node, &admin, "d-2"), "c-3").1, 0, "another device has its own");
    inside.pop();
    wait_for("the session whose client has gone to make room", || (knock(&node, &token, "c-4").1 == 0).then_some(()));
    assert_eq!(knock(&node, &token, "c-0").1, 0, "who takes up a session needs no room");
}

#[test]
fn a_device_that_connects_again_and_again_is_told_to_wait() {
    let folder = folder();
    let settings = [("DROVER_CALLER_REQUESTS_PER_S", "1"), ("DROVER_CALLER_BURST_REQUESTS", "20")];
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &settings);
    let token = device(&node, &admin, "d-1");
    let codes: Vec<u8> = (0..40).map(|_| knock(&node, &token, "again").1).collect();
    assert!(codes[..20].iter().all(|code| *code == 0), "{codes:?}");
    assert!(codes[20..].contains(&UNAVAILABLE), "{codes:?}");
    assert_eq!(knock(&node, &device(&node, &admin, "d-2"), "again").1, 0);
}

/// True once the node has closed the connection, whatever it says before.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = [0; 4_096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn half_a_request_is_not_waited_for() {
    let folder = folder();
    let settings = [("DROVER_HTTP_HEAD_TIMEOUT_S", "1"), ("DROVER_HTTP_BODY_TIMEOUT_S", "1")];
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &settings);
    let mut watcher = node.socket(&format!("/api/v1/live?access_token={admin}"));
    for half in ["", "POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-"] {
        let since = Instant::now();
        let mut stream = node.connect();
        stream.write_all(half.as_bytes()).expect("sent");
        assert!(is_closed(&mut stream), "{half:?}");
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    }
    let mut stream = node.connect();
    let head =
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer[9..10], b"4", "{}", String::from_utf8_lossy(&answer));
    assert!(is_closed(&mut stream));
    // Whoever has said all may be silent, and a WebSocket is left alone.
    assert_eq!(watcher.next()["type"], "hello");
    node.asked_by(&admin)
        .post("/api/v1/reports", report("vehicle", "v-1", now_ms(), 41.15, -8.61).to_string())
        .expect(202);
    wait_for("the change", || {
        let message = watcher.next();
        (message["type"] == "changes").then_some(())
    });
}

#[test]
fn connections_beyond_the_bound_are_closed_and_the_silent_ones_do_not_stay() {
    let folder = folder();
    let settings = [("DROVER_HTTP_MAX_CONNECTIONS", "20"), ("DROVER_HTTP_HEAD_TIMEOUT_S", "2")];
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &settings);
    let mut crowd: Vec<TcpStream> = (0..30).map(|_| node.connect()).collect();
    for stream in &mut crowd {
        assert!(is_closed(stream), "silent, or beyond the bound");
    }
    let metrics = node.asked_by(&admin).get("/metrics").text();
    let refused = metrics.lines().find(|line| line.starts_with("drover_http_connections_refused_total{bound=\"all\"}"));
    assert!(refused.is_some(), "{metrics}");
}
