//! The same events, with the real Socket.IO client.

use crate::harness::{NEVER, Node, PATIENCE, until};
use drover_model::Kind;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The client's process.
struct Client {
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Client {
    fn start(node: &Node, options: Value) -> Client {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client");
        assert!(
            folder.join("node_modules/socket.io-client").is_dir(),
            "the Socket.IO client is not installed; run scripts/test-tools, or `npm install` in {}",
            folder.display()
        );
        let mut process = Command::new("node")
            .arg(folder.join("client.mjs"))
            .arg(format!("http://{}", node.address))
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts; these tests need Node 20 or newer");
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Client { input: process.stdin.take().unwrap(), lines, _process: process }
    }

    async fn next(&mut self) -> (String, Value) {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("an event in time").unwrap();
        let mut event: Value = serde_json::from_str(&line.expect("the client runs")).unwrap();
        (event["event"].as_str().unwrap().to_owned(), event["data"].take())
    }

    async fn expect(&mut self, event: &str) -> Value {
        let (got, data) = self.next().await;
        assert_eq!(got, event, "{data}");
        data
    }

    async fn say(&mut self, line: Value) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn emit(&mut self, event: &str, data: Value) {
        self.say(json!({"emit": event, "data": data})).await;
    }

    /// Emits an event with a callback; what the callback gets comes as `#callback`.
    async fn ask(&mut self, event: &str, data: Value) {
        self.say(json!({"emit": event, "data": data, "callback": true})).await;
    }

    async fn silence(&mut self) {
        if let Ok(line) = tokio::time::timeout(NEVER, self.lines.next_line()).await {
            panic!("{line:?} where nothing was expected");
        }
    }
}

fn with_token(token: &str) -> Value {
    json!({"auth": {"token": token}})
}

#[tokio::test]
async fn a_customer_follows_his_delivery_only_while_it_is_out() {
    let node = Node::start().await;
    node.advance("order-1", &["assigned", "picked_up"]).await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut client = Client::start(&node, with_token("carol"));
    client.expect("#connect").await;
    assert_eq!(client.expect("authenticated").await["role"], "customer");
    client.emit("subscribe:delivery:order-1", Value::Null).await;
    client.expect("subscribed").await;
    assert_eq!(client.expect("delivery:status:updated").await["status"], "picked_up");
    client.silence().await;
    node.advance("order-1", &["out_for_delivery"]).await;
    assert_eq!(client.expect("delivery:status:updated").await["status"], "out_for_delivery");
    client.silence().await;
    node.report(Kind::Driver, "d-1", 52.6, 13.4).await;
    assert_eq!(client.expect("driver:location:updated").await["latitude"], 52.6);
    node.advance("order-1", &["arrived"]).await;
    assert_eq!(client.expect("delivery:status:updated").await["status"], "arrived");
    node.advance("order-1", &["delivered"]).await;
    node.report(Kind::Driver, "d-1", 52.7, 13.4).await;
    assert_eq!(client.expect("delivery:status:updated").await["status"], "delivered");
    assert_eq!(client.expect("unsubscribed").await["reason"], "ended");
    client.silence().await;
}

#[tokio::test]
async fn a_callback_gets_the_answer_that_the_event_gets() {
    let node = Node::start().await;
    node.advance("order-1", &["assigned"]).await;
    for transport in ["polling", "websocket"] {
        let mut client = Client::start(&node, json!({"auth": {"token": "driver-1"}, "transports": [transport]}));
        client.expect("#connect").await;
        client.expect("authenticated").await;
        let subscribed = json!({"channel": "order:order-1"});
        client.ask("subscribe:order:order-1", Value::Null).await;
        assert_eq!(client.expect("subscribed").await, subscribed);
        // The first news may come in between.
        let mut told = vec![client.next().await, client.next().await];
        told.retain(|(event, _)| event == "#callback");
        assert_eq!(told, [("#callback".into(), json!({"event": "subscribed", "data": subscribed}))]);
        client.ask("subscribe:order:order-9", Value::Null).await;
        let error = client.expect("error").await;
        assert_eq!((&error["code"], &error["channel"]), (&json!("not_found"), &json!("order:order-9")));
        assert_eq!(client.expect("#callback").await, json!({"event": "error", "data": error}));
        client.ask("delivery:status:update", json!({"delivery_id": "del-order-9", "status": "picked_up"})).await;
        assert_eq!(client.expect("error").await["delivery_id"], "del-order-9");
        assert_eq!(client.expect("#callback").await["data"]["code"], "not_found");
        client.emit("unsubscribe:order:order-1", Value::Null).await;
        client.expect("unsubscribed").await;
        client.silence().await;
    }
}

#[tokio::test]
async fn a_stranger_follows_nothing_of_it() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut client = Client::start(&node, with_token("otto"));
    client.expect("#connect").await;
    client.expect("authenticated").await;
    for (event, code) in [("subscribe:delivery:order-1", "not_found"), ("subscribe:driver:d-1", "forbidden")] {
        client.emit(event, Value::Null).await;
        assert_eq!(client.expect("error").await["code"], code);
    }
    node.report(Kind::Driver, "d-1", 52.6, 13.4).await;
    client.silence().await;
}

#[tokio::test]
async fn nobody_gets_in_without_credentials() {
    let node = Node::start().await;
    for options in [json!({}), with_token("wrong")] {
        let mut client = Client::start(&node, options);
        client.expect("#connect").await;
        assert_eq!(client.expect("error").await["code"], "unauthenticated");
        assert_eq!(client.expect("#disconnect").await, "io server disconnect");
    }
    assert_eq!(node.tracking.connections(), 0);
}

#[tokio::test]
async fn the_guard_s_caller_is_taken_and_both_transports_work() {
    let node = Node::start().await;
    node.report(Kind::Vehicle, "v-1", 52.5, 13.4).await;
    for transport in ["polling", "websocket"] {
        let headers = json!({"authorization": "Bearer north"});
        let mut client = Client::start(&node, json!({"transports": [transport], "extraHeaders": headers}));
        assert_eq!(client.expect("#connect").await, transport);
        assert_eq!(client.expect("authenticated").await["user"]["name"], "dispatcher@example.com");
        // Sent at once, one after the other: they are heard in this order.
        client.emit("subscribe:vehicle:v-1", Value::Null).await;
        client.emit("unsubscribe:vehicle:v-1", Value::Null).await;
        client.emit("subscribe:vehicle:v-1", Value::Null).await;
        let mut events = Vec::new();
        while events.iter().filter(|event| *event == "subscribed").count() < 2 {
            events.push(client.next().await.0);
        }
        events.retain(|event| event != "vehicle:location:updated");
        assert_eq!(events, ["subscribed", "unsubscribed", "subscribed"]);
        let place = client.expect("vehicle:location:updated").await;
        assert_eq!((&place["vehicle_id"], &place["speed"]), (&json!("v-1"), &json!(36.5)));
        client.say(json!({"close": true})).await;
        client.expect("#disconnect").await;
        until("the place of the connection is free again", async || node.tracking.connections() == 0).await;
    }
}

#[tokio::test]
async fn a_driver_moves_his_own_delivery_on_and_nobody_else_s() {
    let node = Node::start().await;
    node.advance("order-1", &["assigned"]).await;
    let update = json!({"delivery_id": "del-order-1", "status": "picked_up"});
    let mut stranger = Client::start(&node, with_token("driver-2"));
    stranger.expect("#connect").await;
    stranger.expect("authenticated").await;
    stranger.emit("delivery:status:update", update.clone()).await;
    assert_eq!(stranger.expect("error").await["code"], "not_found");
    let mut driver = Client::start(&node, with_token("driver-1"));
    driver.expect("#connect").await;
    driver.expect("authenticated").await;
    driver.emit("delivery:status:update", update).await;
    let answer = driver.expect("delivery:status:updated").await;
    assert_eq!((&answer["delivery_id"], &answer["status"]), (&json!("del-order-1"), &json!("picked_up")));
}

#[tokio::test]
async fn a_login_that_is_over_ends_its_connection_only() {
    let node = Node::start().await;
    let mut one = Client::start(&node, with_token("north"));
    let mut other = Client::start(&node, with_token("south"));
    for client in [&mut one, &mut other] {
        client.expect("#connect").await;
        client.expect("authenticated").await;
    }
    node.log_out("north");
    assert_eq!(one.expect("error").await["code"], "unauthenticated");
    one.expect("#disconnect").await;
    other.silence().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_kept_no_queue_of_places_and_gets_the_newest_in_the_end() {
    let node = Node::start().await;
    node.report(Kind::Vehicle, "v-1", 50.0, 13.4).await;
    // By hand, so that nothing is read in between.
    let poll = "/socket.io/?EIO=4&transport=polling";
    let open: Value = serde_json::from_str(&node.text(poll).await[1..]).unwrap();
    let session = format!("{poll}&sid={}", open["sid"].as_str().unwrap());
    node.post(&session, r#"40{"token":"north"}"#).await;
    until("the client is connected", async || node.tracking.connections() == 1).await;
    node.post(&session, r#"42["subscribe:vehicle:v-1"]"#).await;
    for step in 1..=300 {
        node.report(Kind::Vehicle, "v-1", 50.0 + f64::from(step) / 1_000.0, 13.4).await;
        tokio::time::sleep(std::time::Duration::from_millis(6)).await;
    }
    let mut places = 0;
    loop {
        let packets = tokio::time::timeout(PATIENCE, node.text(&session)).await.expect("packets in time");
        places += packets.matches("vehicle:location:updated").count();
        if packets.contains(r#""latitude":50.3,"#) {
            break;
        }
    }
    assert!(places < 40, "{places} places of 300 were kept");
}

#[tokio::test]
async fn who_watches_a_driver_is_noted_whichever_way_he_said_who_he_is() {
    let node = Node::start().await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    for options in [with_token("north"), json!({"extraHeaders": {"authorization": "Bearer north"}})] {
        let mut client = Client::start(&node, options);
        client.expect("#connect").await;
        client.expect("authenticated").await;
        client.emit("subscribe:driver:d-1", Value::Null).await;
        let look = node.noted().await;
        assert_eq!((&*look.actor, look.action, &*look.subject), ("user/dispatcher", "location.watch", "driver/d-1"));
        drop(client);
        assert_eq!(node.noted().await.action, "location.watch_end");
    }
}
