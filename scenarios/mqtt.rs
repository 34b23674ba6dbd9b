//! Devices and applications over MQTT, with the clients that people use: Mosquitto's tools, Eclipse
//! Paho for Python, and MQTT.js. A refused report must never look taken to any of them.

mod harness;

use harness::{Node, clients, folder, free_port, parse, python, tool, wait_for};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const GOOD: &str = r#"{"latitude":41.15,"longitude":-8.61,"speed":32.5}"#;
const BAD: &str = r#"{"latitude":91,"longitude":-8.61}"#;

fn host_and_port(node: &Node, door: &str) -> (String, String) {
    let address = node.door(door);
    (address.ip().to_string(), address.port().to_string())
}

/// `mosquitto_pub` with these arguments; what it wrote to standard error when it failed.
fn mosquitto_pub(node: &Node, args: &[&str]) -> Result<(), String> {
    let (host, port) = host_and_port(node, "mqtt");
    let at = ["-h", &host, "-p", &port];
    tool("mosquitto_pub", &[&at, args].concat()).map(drop)
}

/// `mosquitto_sub` that ends after `count` messages.
fn mosquitto_sub(node: &Node, count: usize, args: &[&str]) -> Child {
    let (host, port) = host_and_port(node, "mqtt");
    let mut command = Command::new("mosquitto_sub");
    command.args(["-h", &host, "-p", &port, "-W", "20", "-C", &count.to_string()]).args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mosquitto_sub is installed")
}

fn lines(child: Child) -> Vec<String> {
    let output = child.wait_with_output().expect("our child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

fn paho(args: &[&str]) -> Value {
    let script = clients().join("paho_client.py");
    let output = Command::new(python()).arg(script).args(args).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parse(&output.stdout)
}

fn paho_publish(node: &Node, version: &str, qos: &str, topic: &str, payload: &str) -> Value {
    paho(&["publish", &node.door("mqtt").to_string(), version, qos, topic, payload])
}

fn latitude(node: &Node, path: &str) -> Value {
    wait_for("position", || {
        let answer = node.get(path);
        (answer.status == 200).then(|| answer.json()["latitude"].clone())
    })
}

#[test]
fn mosquittos_tools_report_and_watch() {
    let folder = folder();
    let node = Node::start(&folder.path().join("data"));
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let id = format!("{version}-{qos}");
            let topic = format!("drivers/{id}/location");
            mosquitto_pub(&node, &["-V", version, "-q", qos, "-t", &topic, "-m", GOOD]).unwrap();
            assert_eq!(latitude(&node, &format!("/api/v1/drivers/{id}/location")), 41.15);
        }
    }
    mosquitto_pub(&node, &["-q", "1", "-t", "ev/station/s-1/telemetry", "-m", r#"{"battery_available":7}"#]).unwrap();
    assert_eq!(node.get("/api/v1/stations/s-1/location").expect(200)["readings"]["battery_available"], 7.0);

    let retained = lines(mosquitto_sub(&node, 9, &["-q", "1", "-t", "live/driver/+", "-F", "%t %r %p"]));
    assert_eq!(retained.len(), 9, "the present state comes with the subscription");
    assert!(retained.iter().all(|line| line.starts_with("live/driver/mqttv") && line.contains(" 1 {\"kind\"")));
}

#[test]
fn owntracks_phones_are_drivers() {
    let folder = folder();
    let node = Node::start(&folder.path().join("data"));
    let location = r#"{"_type":"location","acc":15,"alt":440,"batt":46,"conn":"w","lat":46.0681247,"lon":11.1512805,
        "t":"u","tid":"5t","tst":1751874878,"vac":2,"vel":12,"cog":90}"#;
    mosquitto_pub(&node, &["-q", "1", "-t", "owntracks/jane/phone", "-m", location]).unwrap();
    mosquitto_pub(&node, &["-q", "1", "-t", "owntracks/jane/phone", "-m", r#"{"_type":"lwt","tst":1751874900}"#])
        .unwrap();
    let shown = node.get("/api/v1/drivers/jane-phone/location").expect(200);
    assert_eq!(shown["latitude"], 46.068_124_7);
    assert_eq!(shown["speed"], 12.0);
    assert_eq!(shown["battery_pct"], 46.0);
    assert_eq!(shown["timestamp"], "2025-07-07T07:54:38Z");
    assert_eq!(node.metric(r#"drover_reports_accepted_total{door="mqtt"}"#), 1.0, "a last will is no report");
}

#[test]
fn a_refused_report_is_never_acknowledged_as_taken() {
    let folder = folder();
    let node = Node::start(&folder.path().join("data"));
    for qos in ["1", "2"] {
        let answer = paho_publish(&node, "5", qos, "drivers/d-1/location", BAD);
        assert!(answer["acknowledged"].as_u64() >= Some(0x80), "{answer}");
        if qos == "1" {
            assert_eq!(answer["acknowledged"], 0x99, "payload format invalid: {answer}");
            let text = answer["text"].as_str().expect("a reason string");
            assert!(text.contains("latitude is 91") && text.contains("-90 to 90"), "{text}");
        } // Paho for Python passes over a PUBREC that says no, and shows the PUBCOMP of its own PUBREL.
        let answer = paho_publish(&node, "3", qos, "drivers/d-1/location", BAD);
        assert_eq!(answer["acknowledged"], Value::Null, "version 3.1.1 has no word for no: {answer}");
        assert!(answer["hung_up"].is_string(), "so the broker hangs up: {answer}");
        let answer = paho_publish(&node, "3", qos, "drivers/d-1/location", GOOD);
        assert_eq!(answer["acknowledged"], 0, "a good report is taken: {answer}");
    }
    let rejects = node.get("/api/v1/rejects").expect(200);
    let rejects = rejects["rejects"].as_array().expect("a list");
    assert_eq!(rejects.len(), 4, "every refusal is kept: {rejects:?}");
    assert!(rejects.iter().all(|reject| reject["source"] == "mqtt" && reject["payload"] == BAD));
    mosquitto_pub(&node, &["-q", "1", "-t", "drivers/d-2/location", "-m", BAD]).unwrap_err();
}

#[test]
fn wrong_topics_are_refused_with_a_reason() {
    let folder = folder();
    let node = Node::start(&folder.path().join("data"));
    let answer = paho_publish(&node, "5", "1", "drivers/no spaces/location", GOOD);
    assert_eq!(answer["acknowledged"], 0x99, "{answer}");
    assert!(answer["text"].as_str().expect("a reason").contains(": id "), "{answer}");
    let answer = paho_publish(&node, "5", "1", "live/driver/d-1", GOOD);
    assert_eq!(answer["acknowledged"], 0x87, "what is live is said by the node alone: {answer}");
}

#[test]
fn a_web_application_with_mqttjs_watches_what_a_device_reports() {
    let folder = folder();
    let node = Node::start(&folder.path().join("data"));
    for version in ["4", "5"] {
        let script = clients().join("mqttjs_client.mjs");
        let script = script.to_str().expect("UTF-8");
        let id = format!("van-{version}");
        let output = tool("node", &[script, &node.door("mqtt").to_string(), version, &id, "5"]).unwrap();
        let seen = parse(&output.stdout);
        assert_eq!(seen["sent"].as_array().map(Vec::len), Some(5), "{seen}");
        let last = seen["seen"].as_array().and_then(|list| list.last()).expect("changes");
        assert_eq!((&last["topic"], &last["latitude"]), (&json!(format!("live/vehicle/{id}")), &json!(41.04)));
    }
}

#[test]
fn commands_reach_a_device_and_wait_for_one_that_is_away() {
    let folder = folder();
    let data = folder.path().join("data");
    let http = format!("127.0.0.1:{}", free_port());
    let mqtt = format!("127.0.0.1:{}", free_port());
    let start = || Node::start_at(&data, &[("--http", &http), ("--mqtt", &mqtt)], &[]);
    let ready = folder.path().join("ready");
    let listen = |count: usize| {
        let ready = ready.to_str().expect("UTF-8");
        let count = count.to_string();
        let args = ["receive", &mqtt, "5", "1", "commands/driver/d-1", "device-1", "3600", ready, &count];
        let script = clients().join("paho_client.py");
        Command::new(python()).arg(script).args(args).stdout(Stdio::piped()).spawn().expect("Python runs")
    };
    let command = |node: &Node, text: &str| {
        let sent = node.post("/api/v1/drivers/d-1/commands", json!({ "say": text }).to_string()).expect(202);
        assert_eq!(sent["topic"], "commands/driver/d-1");
        sent
    };
    let heard = |child: Child| {
        let heard: Value = parse(lines(child).concat().as_bytes());
        let payloads = heard["messages"].as_array().expect("a list").iter();
        let say = |message: &Value| parse(message["payload"].as_str().expect("text").as_bytes())["say"].clone();
        (heard["session_present"] == true, payloads.map(say).collect::<Vec<_>>())
    };

    let node = start();
    let device = listen(1);
    wait_for("subscription", || ready.exists().then_some(()));
    assert_eq!(command(&node, "hello")["subscribers"], 1);
    assert_eq!(heard(device), (false, vec![json!("hello")]));

    assert_eq!(command(&node, "while away")["subscribers"], 1, "the session waits for its device");
    node.kill();
    let node = start();
    command(&node, "after the kill");
    assert_eq!(heard(listen(2)), (true, vec![json!("while away"), json!("after the kill")]));
    node.stop();
}

#[test]
fn retained_messages_outlive_a_kill() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = Node::start(&data);
    mosquitto_pub(&node, &["-q", "1", "-r", "-t", "depot/north/opening", "-m", "06:00"]).unwrap();
    node.kill();
    let node = Node::start(&data);
    assert_eq!(
        lines(mosquitto_sub(&node, 1, &["-t", "depot/+/opening", "-F", "%t %r %p"])),
        ["depot/north/opening 1 06:00"]
    );
}

#[test]
fn the_same_over_tls_with_a_certificate_made_for_trying_out() {
    let folder = folder();
    let data = folder.path().join("data");
    let node =
        Node::start_at(&data, &[("--http", "127.0.0.1:0"), ("--mqtt", "127.0.0.1:0"), ("--mqtts", "127.0.0.1:0")], &[]);
    let (_, port) = host_and_port(&node, "mqtts");
    let authority = data.join("tls/certificate.pem");
    let authority = authority.to_str().expect("UTF-8");
    let publish = |cafile: &str| {
        let at = ["-h", "localhost", "-p", &port, "--cafile", cafile];
        tool("mosquitto_pub", &[&at[..], &["-q", "1", "-t", "drivers/tls/location", "-m", GOOD]].concat())
    };
    publish(authority).unwrap();
    assert_eq!(latitude(&node, "/api/v1/drivers/tls/location"), 41.15);
    publish("/etc/ssl/certs/ca-certificates.crt").expect_err("a certificate that nobody vouches for is not accepted");
}

/// Mosquitto, as somebody's existing broker.
struct Mosquitto(Child);

impl Mosquitto {
    fn start(port: u16, folder: &Path) -> Mosquitto {
        let settings = folder.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
             user root\nmax_queued_messages 0\nlog_type error\n",
            folder.display()
        );
        std::fs::write(&settings, text).expect("a file");
        let child = Command::new("mosquitto").arg("-c").arg(settings).spawn().expect("mosquitto is installed");
        wait_for("mosquitto", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Mosquitto(child)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn reports_come_from_an_existing_broker_and_none_is_lost_while_the_node_is_away() {
    let folder = folder();
    let data = folder.path().join("data");
    let port = free_port();
    let broker = Mosquitto::start(port, folder.path());
    let upstream = format!("mqtt://127.0.0.1:{port}");
    let start = || {
        Node::start_at(
            &data,
            &[("--http", "127.0.0.1:0"), ("--mqtt", "127.0.0.1:0")],
            &[("DROVER_MQTT_UPSTREAM", &upstream)],
        )
    };
    let port = port.to_string();
    let send = |from: usize, to: usize| {
        let lines: String = (from..to)
            .map(|n| format!("{{\"latitude\":41,\"longitude\":-8,\"timestamp\":{}}}\n", 1_751_874_878_000 + n))
            .collect();
        let file = folder.path().join("lines");
        std::fs::write(&file, lines).expect("a file");
        let command =
            format!("mosquitto_pub -h 127.0.0.1 -p {port} -q 1 -l -t drivers/far/location < {}", file.display());
        tool("sh", &["-c", &command]).unwrap();
    };
    let node = start();
    wait_for("connections to the other broker", || {
        (node.metric("drover_mqtt_upstream_connected") == 2.0).then_some(())
    });
    send(0, 500);
    wait_for("some reports", || (node.log_position() > 100).then_some(()));
    node.kill();
    send(500, 1000);
    let node = start();
    wait_for("all reports, once", || (node.log_position() >= 1000).then_some(()));
    mosquitto_pub(&node, &["-q", "1", "-t", "drivers/near/location", "-m", GOOD]).unwrap();
    assert_eq!(node.log_position(), 1001, "nothing came twice");
    drop(broker);
}
