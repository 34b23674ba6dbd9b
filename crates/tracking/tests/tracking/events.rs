//! The fleet document's events over a plain WebSocket.

use crate::harness::{Got, Node, Socket, until};
use drover_model::Kind;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn connect(node: &Node, token: &str) -> Socket {
    let mut socket = node.socket("/api/v1/events", Some(token)).await.unwrap();
    let greeting = socket.message().await;
    assert_eq!(greeting["event"], "authenticated", "{greeting}");
    socket
}

async fn ask(socket: &mut Socket, event: &str, data: Value) -> (String, Value) {
    socket.send(json!({"event": event, "data": data})).await;
    next(socket).await
}

async fn next(socket: &mut Socket) -> (String, Value) {
    let mut message = socket.message().await;
    (message["event"].as_str().unwrap().to_owned(), message["data"].take())
}

fn named(event: &str, code: &str) -> impl Fn((String, Value)) -> bool {
    move |(got, data)| got == event && data["code"] == code
}

#[tokio::test]
async fn the_greeting_says_who_and_what_one_is() {
    let node = Node::start().await;
    assert_eq!(node.socket("/api/v1/events", None).await.err(), Some(401));
    let mut socket = node.socket("/api/v1/events", Some("north")).await.unwrap();
    let user = json!({"id": "user/dispatcher", "name": "dispatcher@example.com"});
    assert_eq!(socket.message().await, json!({"event": "authenticated", "data": {"user": user, "role": "dispatcher"}}));
}

#[tokio::test]
async fn a_subscription_tells_the_present_place_and_each_change_until_it_ends() {
    let node = Node::start().await;
    node.report(Kind::Vehicle, "v-1", 52.5, 13.4).await;
    let mut socket = connect(&node, "north").await;
    let subscribed = ask(&mut socket, "subscribe:vehicle:v-1", Value::Null).await;
    assert_eq!(subscribed, ("subscribed".into(), json!({"channel": "vehicle:v-1"})));
    let (event, place) = next(&mut socket).await;
    assert_eq!(
        (event.as_str(), &place["vehicle_id"], &place["latitude"]),
        ("vehicle:location:updated", &json!("v-1"), &json!(52.5))
    );
    assert!(["longitude", "speed", "heading", "timestamp", "status"].iter().all(|field| place.get(field).is_some()));
    node.report(Kind::Vehicle, "v-2", 48.0, 11.0).await;
    node.report(Kind::Vehicle, "v-1", 52.6, 13.4).await;
    assert_eq!(next(&mut socket).await.1["latitude"], 52.6);
    let left = ask(&mut socket, "unsubscribe:vehicle:v-1", Value::Null).await;
    assert_eq!(left, ("unsubscribed".into(), json!({"channel": "vehicle:v-1"})));
    node.report(Kind::Vehicle, "v-1", 52.7, 13.4).await;
    socket.silence().await;
}

#[tokio::test]
async fn what_is_out_of_reach_is_subscribed_to_like_what_does_not_exist() {
    let node = Node::start().await;
    node.report(Kind::Vehicle, "v-2", 52.5, 13.4).await;
    let mut socket = connect(&node, "north").await;
    let (_, hidden) = ask(&mut socket, "subscribe:vehicle:v-2", Value::Null).await;
    let (_, unknown) = ask(&mut socket, "subscribe:vehicle:v-9", Value::Null).await;
    assert_eq!(hidden["code"], "not_found");
    assert_eq!(hidden.to_string().replace("v-2", "v-9"), unknown.to_string());
    assert!(named("error", "not_found")(ask(&mut socket, "subscribe:delivery:order-9", Value::Null).await));
    let mut customer = connect(&node, "carol").await;
    assert!(named("error", "forbidden")(ask(&mut customer, "subscribe:driver:d-1", Value::Null).await));
    let mut other = connect(&node, "otto").await;
    assert!(named("error", "not_found")(ask(&mut other, "subscribe:delivery:order-1", Value::Null).await));
}

#[tokio::test]
async fn a_vehicle_that_moves_to_another_fleet_is_told_of_no_more() {
    let node = Node::start().await;
    node.report(Kind::Vehicle, "v-1", 52.5, 13.4).await;
    let mut socket = connect(&node, "north").await;
    ask(&mut socket, "subscribe:vehicle:v-1", Value::Null).await;
    assert_eq!(next(&mut socket).await.0, "vehicle:location:updated");
    let Value::Object(patch) = json!({"fleet_id": "south"}) else { unreachable!() };
    let vehicles = drover_registry::resource("vehicles").unwrap();
    node.registry.update(&drover_access::Caller::dev(), vehicles, "v-1", patch, None).await.unwrap();
    node.report(Kind::Vehicle, "v-1", 52.6, 13.4).await;
    let (event, data) = next(&mut socket).await;
    assert_eq!((event.as_str(), &data["reason"]), ("unsubscribed", &json!("not_found")));
}

#[tokio::test]
async fn a_driver_moves_his_own_delivery_on_and_its_followers_are_told() {
    let node = Node::start().await;
    node.advance("order-1", &["assigned", "picked_up"]).await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut customer = connect(&node, "carol").await;
    ask(&mut customer, "subscribe:delivery:order-1", Value::Null).await;
    assert_eq!(next(&mut customer).await.1["status"], "picked_up");
    customer.silence().await;
    let mut driver = connect(&node, "driver-1").await;
    let update =
        json!({"delivery_id": "del-order-1", "status": "out_for_delivery", "latitude": 52.5, "longitude": 13.4});
    let (event, answer) = ask(&mut driver, "delivery:status:update", update).await;
    assert_eq!((event.as_str(), &answer["status"]), ("delivery:status:updated", &json!("out_for_delivery")));
    assert!(answer["updated_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(answer["delivery_id"], "del-order-1");
    let (event, told) = next(&mut customer).await;
    assert_eq!((event.as_str(), &told["status"]), ("delivery:status:updated", &json!("out_for_delivery")));
    customer.silence().await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let (event, place) = next(&mut customer).await;
    assert_eq!(
        (event.as_str(), &place["driver_id"], &place["latitude"]),
        ("driver:location:updated", &json!("d-1"), &json!(52.5))
    );
    for status in ["arrived", "delivered"] {
        let update = json!({"delivery_id": "del-order-1", "status": status});
        assert_eq!(ask(&mut driver, "delivery:status:update", update).await.1["status"], status);
        assert_eq!(next(&mut customer).await.1["status"], status);
    }
    assert_eq!(
        next(&mut customer).await,
        ("unsubscribed".into(), json!({"channel": "delivery:order-1", "reason": "ended"}))
    );
    node.report(Kind::Driver, "d-1", 52.9, 13.4).await;
    customer.silence().await;
}

#[tokio::test]
async fn nobody_else_moves_a_delivery_and_no_step_is_left_out() {
    let node = Node::start().await;
    node.advance("order-1", &["assigned"]).await;
    let update = |status: &str| json!({"delivery_id": "del-order-1", "status": status});
    let mut stranger = connect(&node, "driver-2").await;
    assert!(named("error", "not_found")(ask(&mut stranger, "delivery:status:update", update("picked_up")).await));
    let mut customer = connect(&node, "carol").await;
    assert!(named("error", "forbidden")(ask(&mut customer, "delivery:status:update", update("picked_up")).await));
    let mut driver = connect(&node, "driver-1").await;
    let (event, refused) = ask(&mut driver, "delivery:status:update", update("delivered")).await;
    assert_eq!(event, "error", "{refused}");
    assert_eq!(ask(&mut driver, "delivery:status:update", json!({"status": "picked_up"})).await.1["code"], "malformed");
    let (_, moved) = ask(&mut driver, "delivery:status:update", update("picked_up")).await;
    assert_eq!(moved["status"], "picked_up");
}

#[tokio::test]
async fn what_means_nothing_is_said_to_mean_nothing() {
    let node = Node::start().await;
    let mut socket = connect(&node, "north").await;
    for event in ["hello", "subscribe:vehicle", "subscribe:fleet:north", "", "dance:vehicle:v-1"] {
        let answer = ask(&mut socket, event, Value::Null).await;
        assert!(named("error", "malformed")(answer.clone()), "{event}: {answer:?}");
    }
    socket.send(json!(["not", "an", "event"])).await;
    assert!(named("error", "malformed")(next(&mut socket).await));
    assert_eq!(ask(&mut socket, "subscribe:vehicle:a b", Value::Null).await.0, "error");
}

#[tokio::test]
async fn who_says_connect_is_told_again_who_he_is() {
    let node = Node::start().await;
    let mut socket = connect(&node, "north").await;
    let (event, data) = ask(&mut socket, "connect", Value::Null).await;
    assert_eq!((event.as_str(), &data["user"]["id"]), ("authenticated", &json!("user/dispatcher")));
    assert_eq!(ask(&mut socket, "connect", json!({"token": "of no use here"})).await.0, "authenticated");
    assert_eq!(ask(&mut socket, "subscribe:vehicle:v-1", Value::Null).await.0, "subscribed");
}

#[tokio::test]
async fn an_error_says_which_channel_or_delivery_it_is_about() {
    let node = Node::start().await;
    let mut socket = connect(&node, "driver-1").await;
    let (_, error) = ask(&mut socket, "subscribe:order:order-9", Value::Null).await;
    assert_eq!((&error["event"], &error["channel"]), (&json!("subscribe:order:order-9"), &json!("order:order-9")));
    let (_, error) = ask(&mut socket, "unsubscribe:order:order-9", Value::Null).await;
    assert_eq!(error["channel"], "order:order-9");
    let update = json!({"delivery_id": "del-order-9", "status": "picked_up"});
    let (event, error) = ask(&mut socket, "delivery:status:update", update).await;
    assert_eq!((event.as_str(), &error["delivery_id"]), ("error", &json!("del-order-9")));
    assert_eq!(error.get("channel"), None);
    let update = json!({"delivery_id": "d".repeat(5_000), "status": "picked_up"});
    let (_, error) = ask(&mut socket, "delivery:status:update", update).await;
    assert_eq!(error["delivery_id"].as_str().unwrap().len(), 100, "no more of it is said back");
}

#[tokio::test]
async fn a_subscription_ends_by_the_name_that_it_was_given() {
    let node = Node::start().await;
    let mut socket = connect(&node, "carol").await;
    for channel in ["delivery:del-order-1", "order:order-1"] {
        let subscribed = ask(&mut socket, &format!("subscribe:{channel}"), Value::Null).await;
        assert_eq!(subscribed, ("subscribed".into(), json!({"channel": channel})));
        assert_eq!(next(&mut socket).await.1["status"], "created");
    }
    node.advance("order-1", &["cancelled"]).await;
    assert_eq!(next(&mut socket).await.1["status"], "cancelled");
    let ended = next(&mut socket).await;
    assert_eq!(ended, ("unsubscribed".into(), json!({"channel": "order:order-1", "reason": "ended"})));
}

#[tokio::test]
async fn a_report_that_changes_neither_place_nor_status_is_not_told() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut customer = connect(&node, "carol").await;
    ask(&mut customer, "subscribe:order:order-1", Value::Null).await;
    assert_eq!(next(&mut customer).await.1["status"], "out_for_delivery");
    assert_eq!(next(&mut customer).await.0, "driver:location:updated");
    let mut staff = connect(&node, "north").await;
    ask(&mut staff, "subscribe:driver:d-1", Value::Null).await;
    assert_eq!(next(&mut staff).await.1["status"], Value::Null);
    for _ in 0..3 {
        node.sign_of_life(Kind::Driver, "d-1", "idle").await;
    }
    let (event, told) = next(&mut staff).await;
    assert_eq!((event.as_str(), &told["status"]), ("driver:location:updated", &json!("idle")), "what he says is new");
    staff.silence().await;
    customer.silence().await;
}

#[tokio::test]
async fn a_connection_that_sends_too_fast_is_told_so_and_not_heard() {
    let node = Node::start().await;
    let mut socket = connect(&node, "north").await;
    for _ in 0..1_100 {
        socket.send(json!({"event": "hello"})).await;
    }
    let mut refused = 0;
    for _ in 0..1_100 {
        refused += usize::from(next(&mut socket).await.1["code"] == "rate_limited");
    }
    assert!((1..=100).contains(&refused), "{refused} of 1,100");
}

#[tokio::test]
async fn a_frame_of_more_than_64_kib_ends_the_connection() {
    let node = Node::start().await;
    let mut socket = connect(&node, "north").await;
    socket.send(json!({"event": "x".repeat(60 * 1024)})).await;
    assert_eq!(next(&mut socket).await.0, "error");
    socket.send(json!({"event": "x".repeat(65 * 1024)})).await;
    until("the connection ends", async || node.tracking.connections() == 0).await;
}

#[tokio::test]
async fn a_login_that_is_over_ends_its_events() {
    let node = Node::start().await;
    let mut socket = connect(&node, "north").await;
    let before = Instant::now();
    node.log_out("north");
    assert!(named("error", "unauthenticated")(next(&mut socket).await));
    assert_eq!(socket.next().await, Got::Closed(1008));
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
}
