//! Devices on a node that asks for credentials: certificates and tokens with Mosquitto's tools, tokens over HTTP, and what
//! ends when they are revoked. Each device reports for itself and hears its own commands, and nothing else.

mod harness;

use drover_certs::{Authority, DeviceName};
use harness::{Node, folder, now_ms, tool, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const GOOD: &str = r#"{"latitude":41.15,"longitude":-8.61,"speed":32.5}"#;

/// A node with the device door open, and the file of the authority that vouches for the node.
struct Field {
    node: Node,
    admin: String,
    folder: tempfile::TempDir,
}

impl Field {
    fn new() -> Field {
        let folder = folder();
        let (node, admin) = Node::secured(&folder.path().join("data"), &[("--mqtts", "127.0.0.1:0")], &[]);
        node.asked_by(&admin).make("fleets", &json!({"id": "north", "name": "North"}));
        Field { node, admin, folder }
    }

    fn trusted(&self) -> PathBuf {
        self.folder.path().join("data/tls/certificate.pem")
    }

    /// Certificate and key of a device, in files; and the serial number.
    fn certificate(&self, kind: &str, id: &str) -> (PathBuf, PathBuf, String) {
        let made = self.node.asked_by(&self.admin).make("certificates", &json!({"kind": kind, "id": id, "days": 30}));
        let file = |name: &str, field: &str| {
            let path = self.folder.path().join(format!("{id}.{name}"));
            fs::write(&path, made[field].as_str().expect("PEM")).expect("a file");
            path
        };
        let serial = made["serial"].as_str().expect("a serial number").to_owned();
        (file("pem", "certificate"), file("key", "key"), serial)
    }

    fn token(&self, kind: &str, id: &str) -> String {
        let body = json!({"kind": kind, "id": id});
        let made = self.node.asked_by(&self.admin).make("device-tokens", &body);
        made["token"].as_str().expect("a token").to_owned()
    }

    /// The device door, with a certificate where one is given.
    fn at_mqtts(&self, shown: Option<(&Path, &Path)>) -> Vec<String> {
        let port = self.node.door("mqtts").port().to_string();
        let mut args: Vec<String> = ["-h", "localhost", "-p", &port, "--cafile"].map(str::to_owned).into();
        args.push(self.trusted().to_string_lossy().into_owned());
        if let Some((certificate, key)) = shown {
            args.extend(["--cert".to_owned(), certificate.to_string_lossy().into_owned()]);
            args.extend(["--key".to_owned(), key.to_string_lossy().into_owned()]);
        }
        args
    }

    fn publish(&self, at: &[String], topic: &str) -> Result<(), String> {
        let mut args: Vec<&str> = at.iter().map(String::as_str).collect();
        args.extend(["-V", "mqttv5", "-q", "1", "-t", topic, "-m", GOOD]);
        let output = tool("mosquitto_pub", &args)?;
        // A refused publish is only told; the tool ends well all the same.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.is_empty() { Ok(()) } else { Err(said) }
    }

    /// MQTT connections that are open.
    fn connections(&self) -> f64 {
        // Asked again and again, this would be too fast for an administrator (50 requests a second).
        std::thread::sleep(Duration::from_millis(25));
        let metrics = self.node.asked_by(&self.admin).get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("drover_mqtt_connections "));
        line.and_then(|value| value.parse().ok()).expect("the metric of connections")
    }

    fn is_known(&self, path: &str) -> bool {
        self.node.asked_by(&self.admin).get(path).status == 200
    }
}

#[test]
fn a_device_with_a_certificate_reports_for_itself_and_nobody_else() {
    let field = Field::new();
    let (certificate, key, _) = field.certificate("station", "s-1");
    let at = field.at_mqtts(Some((&certificate, &key)));
    field.publish(&at, "ev/station/s-1/telemetry").expect("its own topic");
    wait_for("the station", || field.is_known("/api/v1/stations/s-1/location").then_some(()));
    let refused = field.publish(&at, "ev/station/s-2/telemetry").expect_err("a foreign topic");
    assert!(refused.to_lowercase().contains("not auth"), "{refused}");
    assert!(!field.is_known("/api/v1/stations/s-2/location"));
    field.publish(&at, "depot/door").expect_err("a topic that is no report");
    let nobody = field.at_mqtts(None);
    field.publish(&nobody, "ev/station/s-1/telemetry").expect_err("without a certificate and without a password");
}

#[test]
fn a_certificate_of_another_authority_opens_no_door() {
    let field = Field::new();
    let folder = field.folder.path();
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (key, pem) = (path("other.key"), path("other.pem"));
    let made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let named = ["-subj", "/CN=station\\/s-1", "-keyout", &key, "-out", &pem];
    tool("openssl", &[&made[..], &named[..]].concat()).expect("openssl makes a certificate");
    let at = field.at_mqtts(Some((Path::new(&pem), Path::new(&key))));
    field.publish(&at, "ev/station/s-1/telemetry").expect_err("nobody here knows that authority");
    assert!(!field.is_known("/api/v1/stations/s-1/location"));
}

#[test]
fn a_revoked_certificate_ends_its_connection_within_a_second_and_opens_none() {
    let field = Field::new();
    let (certificate, key, serial) = field.certificate("driver", "d-1");
    let at = field.at_mqtts(Some((&certificate, &key)));
    let mut listener = listen(&at, "commands/driver/d-1");
    command_heard(&field, &mut listener);
    let revoked = Instant::now();
    let answer = field.node.asked_by(&field.admin).delete(&format!("/api/v1/certificates/{serial}"));
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    // The tool itself notices later, and tries again in vain.
    wait_for("the end of the connection", || (field.connections() == 0.0).then_some(()));
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    field.publish(&at, "drivers/d-1/location").expect_err("a revoked certificate");
}

#[test]
fn a_connection_ends_with_its_certificate() {
    let field = Field::new();
    // The node's own authority, asked for less than a day.
    let authority = Authority::open(&field.folder.path().join("data/authority"), None).expect("the node's authority");
    let name = DeviceName::new("driver", "d-1").expect("a name");
    let issued = authority.issue_between(&name, now_ms() - 60_000, now_ms() + 8_000).expect("a certificate");
    let file = |name: &str, text: &str| {
        let path = field.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let (certificate, key) =
        (file("short.pem", &issued.certificate_pem), file("short.key", issued.key_pem.as_deref().expect("a key")));
    let at = field.at_mqtts(Some((&certificate, &key)));
    let mut listener = listen(&at, "commands/driver/d-1");
    command_heard(&field, &mut listener);
    assert!(now_ms() < issued.expires_ms && field.connections() == 1.0, "it stays until then");
    wait_for("the end of the connection", || (field.connections() == 0.0).then_some(()));
    let late_ms = now_ms() - issued.expires_ms;
    assert!((0..2_000).contains(&late_ms), "{late_ms} ms after the certificate's end");
    field.publish(&at, "drivers/d-1/location").expect_err("a certificate that has run out");
}

#[test]
fn a_token_is_a_password_for_mqtt_and_a_bearer_for_http_until_it_is_revoked() {
    let field = Field::new();
    let token = field.token("vehicle", "v-1");
    let port = field.node.door("mqtt").port().to_string();
    let at = ["-h", "127.0.0.1", "-p", &port, "-u", "vehicle/v-1", "-P", &token].map(str::to_owned);
    field.publish(&at, "vehicles/v-1/location").expect("its own topic");
    field.publish(&at, "vehicles/v-2/location").expect_err("a foreign topic");
    let device = field.node.asked_by(&token);
    device.post("/api/v1/vehicles/v-1/location", GOOD).expect(202);
    let refused = device.post("/api/v1/vehicles/v-2/location", GOOD).expect(403);
    assert_eq!(refused["error"]["code"], "not_allowed", "{refused}");
    assert_eq!(device.get("/api/v1/vehicles/v-1/location").status, 200);
    assert_eq!(device.get("/api/v1/users").status, 403);
    let own = "commands/vehicle/v-1";
    let mut listener = listen(&at, own);
    let listed = field.node.asked_by(&field.admin).get("/api/v1/device-tokens").expect(200);
    let id = listed["data"][0]["id"].as_str().expect("an id").to_owned();
    field.node.asked_by(&field.admin).delete(&format!("/api/v1/device-tokens/{id}"));
    wait_for("the end of the connection", || listener.process.try_wait().expect("our child"));
    assert_eq!(device.post("/api/v1/vehicles/v-1/location", GOOD).status, 401);
    field.publish(&at, "vehicles/v-1/location").expect_err("a revoked token");
}

#[test]
fn nobody_hears_another_devices_commands_nor_takes_up_its_session() {
    let field = Field::new();
    let (one, other) = (field.token("vehicle", "v-1"), field.token("vehicle", "v-2"));
    let port = field.node.door("mqtt").port().to_string();
    let at = |token: &str| ["-h", "127.0.0.1", "-p", &port, "-u", "", "-P", token].map(str::to_owned);
    for filter in ["commands/vehicle/v-1", "commands/vehicle/+", "commands/#", "#", "live/#", "live/vehicle/v-1"] {
        let mut args = at(&other).to_vec();
        args.extend(["-V", "mqttv5", "-q", "1", "-W", "2", "-t", filter].map(str::to_owned));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let said = tool("mosquitto_sub", &args).map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        let refused = said.unwrap_or_else(|error| error);
        assert!(
            refused.to_lowercase().contains("denied")
                || refused.to_lowercase().contains("not auth")
                || refused.contains("rejected"),
            "{filter}: {refused}"
        );
    }
    // A session that waits for its device is not there for another device with the same client id.
    let subscribe = |token: &str, more: &[&str]| {
        let mut args = at(token).to_vec();
        args.extend(["-q", "1", "-i", "shared-id", "-c", "-t", "commands/vehicle/v-1"].map(str::to_owned));
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        tool("mosquitto_sub", &args)
    };
    subscribe(&one, &["-E"]).expect("subscribes and leaves");
    let told = field.node.asked_by(&field.admin).post("/api/v1/vehicles/v-1/commands", r#"{"unlock":true}"#);
    assert_eq!(told.expect(202)["subscribers"], 1);
    let stolen = subscribe(&other, &["-W", "2", "-C", "1"]);
    let stolen = stolen.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    assert!(!stolen.contains("unlock"), "{stolen}");
    let own = subscribe(&one, &["-W", "10", "-C", "1"]).expect("its own session");
    assert!(String::from_utf8_lossy(&own.stdout).contains("unlock"));
}

#[test]
fn old_versions_of_tls_are_refused() {
    let field = Field::new();
    let at = format!("localhost:{}", field.node.door("mqtts").port());
    let speaks = |version: &str| {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &at, version, "-brief"]).stdin(Stdio::null());
        let output = client.output().expect("openssl is installed");
        output.status.success()
    };
    assert!(speaks("-tls1_3"));
    for old in ["-tls1_2", "-tls1_1", "-tls1"] {
        assert!(!speaks(old), "{old}");
    }
}

/// `mosquitto_sub` that goes on until its connection ends.
struct Listener {
    process: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

fn listen(at: &[String], topic: &str) -> Listener {
    let mut command = Command::new("mosquitto_sub");
    // Paho and Mosquitto's tool come back by themselves; one that is not let in again ends.
    command.args(at).args(["-V", "mqttv5", "-q", "1", "-t", topic]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().expect("mosquitto_sub is installed");
    let (tell, lines) = std::sync::mpsc::channel();
    let stdout = process.stdout.take().expect("piped");
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _nobody_listens = tell.send(line);
        }
    });
    Listener { process, lines }
}

/// Sends commands until the listener hears one: it is subscribed by then.
fn command_heard(field: &Field, listener: &mut Listener) {
    wait_for("a command", || {
        let sent = field.node.asked_by(&field.admin).post("/api/v1/drivers/d-1/commands", r#"{"ping":1}"#);
        let _receipt: Value = sent.expect(202);
        listener.lines.recv_timeout(Duration::from_millis(100)).ok()
    });
}
