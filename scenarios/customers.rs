//! A customer and his order, on a node that asks for credentials: he sees the driver while the order is out for
//! delivery and at no other time, nor where he was before, by HTTP, by WebSocket and by Socket.IO; nobody else does;
//! and it ends with the delivery.

mod harness;

use harness::{Node, Script, folder, now_ms, wait_for};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

struct World {
    node: Node,
    admin: String,
    _folder: tempfile::TempDir,
}

impl World {
    /// Two customers with an order each, both with the driver d-1, who has reported.
    fn new() -> World {
        let folder = folder();
        let (node, admin) = Node::secured(&folder.path().join("data"), &[], &[("DROVER_DEVICE_REQUESTS_PER_S", "0")]);
        let by_admin = node.asked_by(&admin);
        by_admin.make("fleets", &json!({"id": "north", "name": "North"}));
        by_admin.make("drivers", &json!({"id": "d-1", "fleet_id": "north", "name": "Ada Byron"}));
        for n in 1..=2 {
            by_admin
                .make("customers", &json!({"id": format!("c-{n}"), "fleet_id": "north", "name": format!("Bo {n}")}));
            by_admin.make(
                "deliveries",
                &json!({"id": format!("del-{n}"), "order_id": format!("o-{n}"),
                "fleet_id": "north", "customer_id": format!("c-{n}"), "driver_id": "d-1"}),
            );
        }
        let world = World { node, admin, _folder: folder };
        world.drives(41.15);
        world
    }

    fn customer(&self, n: u32) -> String {
        let more = json!({"role": "customer", "customer_id": format!("c-{n}")});
        self.node.asked_by(&self.admin).user(&format!("bo{n}@example.com"), &more)
    }

    fn drives(&self, latitude: f64) {
        let body = json!({"latitude": latitude, "longitude": -8.61, "order_id": "o-2", "timestamp": now_ms()});
        self.node.asked_by(&self.admin).post("/api/v1/drivers/d-1/location", body.to_string()).expect(202);
    }

    fn becomes(&self, delivery: &str, status: &str) {
        let path = format!("/api/v1/deliveries/{delivery}/status");
        let body = json!({"status": status}).to_string();
        let answer = self.node.asked_by(&self.admin).ask("PUT", &path, body);
        assert_eq!(answer.status, 200, "{status}: {}", answer.text());
    }

    fn out_for_delivery(&self, delivery: &str) {
        ["assigned", "picked_up", "out_for_delivery"].iter().for_each(|status| self.becomes(delivery, status));
    }

    fn driver_of(&self, order: &str, token: &str) -> harness::Answer {
        self.node.asked_by(token).get(&format!("/api/v1/orders/{order}/driver-location"))
    }

    /// The driver's place, once the report that gives it is seen.
    fn place_of(&self, order: &str, token: &str) -> Value {
        wait_for("the driver's place", || {
            let answer = self.driver_of(order, token);
            (answer.status == 200).then(|| answer.expect(200))
        })
    }
}

#[test]
fn a_customer_sees_his_driver_only_while_his_order_is_out() {
    let world = World::new();
    let (one, two) = (world.customer(1), world.customer(2));
    assert_eq!(world.driver_of("o-1", &one).status, 404, "it is not out yet");
    world.out_for_delivery("del-1");
    assert_eq!(world.driver_of("o-1", &one).status, 404, "where the driver was before is not his to know");
    assert_eq!(world.place_of("o-1", &world.admin)["latitude"], 41.15, "staff may see it");
    world.drives(41.16);
    let seen = world.place_of("o-1", &one);
    assert_eq!((&seen["driver_id"], &seen["latitude"]), (&json!("d-1"), &json!(41.16)), "{seen}");
    // It comes back, and goes out once more.
    world.becomes("del-1", "failed");
    world.drives(41.18);
    world.becomes("del-1", "out_for_delivery");
    assert_eq!(world.driver_of("o-1", &one).status, 404, "where the driver was in between neither");
    world.drives(41.20);
    assert_eq!(world.place_of("o-1", &one)["latitude"], 41.20);
    // What the driver's phone says of an order opens nothing: o-2 is not out.
    assert_eq!(world.driver_of("o-2", &two).status, 404);
    assert_eq!(world.driver_of("o-1", &two).status, 404, "somebody else's order");
    assert_eq!(world.driver_of("o-none", &two).status, 404);
    assert_eq!(world.node.get("/api/v1/orders/o-1/driver-location").status, 401);
    for path in ["/api/v1/drivers/d-1/location", "/api/v1/drivers/nearby?lat=41&lng=-8", "/api/v1/live"] {
        assert_eq!(world.node.asked_by(&one).get(path).status, 403, "{path}");
    }
    world.becomes("del-1", "arrived");
    world.becomes("del-1", "delivered");
    assert_eq!(world.driver_of("o-1", &one).status, 404, "it is over");
}

#[test]
fn the_socket_of_an_order_ends_within_a_second_of_its_delivery() {
    let world = World::new();
    let (one, two) = (world.customer(1), world.customer(2));
    world.out_for_delivery("del-1");
    let mut socket = world.node.socket(&format!("/api/v1/orders/o-1/driver-location?access_token={one}"));
    socket.send(json!({"action": "subscribe", "order_id": "o-1"}));
    let place = |message: &Value| message["latitude"].as_f64();
    world.drives(41.17);
    let first = next_place(&mut socket);
    assert_eq!(place(&first), Some(41.17), "not where he was before it went out: {first}");
    let moved = Instant::now();
    world.drives(41.20);
    let next = next_place(&mut socket);
    assert_eq!((place(&next), &next["driver_id"]), (Some(41.20), &json!("d-1")), "{next}");
    assert!(moved.elapsed() < Duration::from_secs(2), "{:?}", moved.elapsed());
    assert_eq!(world.driver_of("o-1", &two).status, 404, "nobody else gets as far as a socket");
    world.becomes("del-1", "arrived");
    world.becomes("del-1", "delivered");
    let delivered = Instant::now();
    world.drives(41.25);
    let mut heard = Vec::new();
    while let Some(message) = socket.next_within(Duration::from_secs(1)) {
        assert_ne!(place(&message), Some(41.25), "the position after the delivery");
        let is_end = message["type"] == "ended";
        heard.push(message);
        if is_end {
            break;
        }
    }
    assert!(heard.iter().any(|message| message["type"] == "ended"), "{heard:?}");
    assert!(delivered.elapsed() < Duration::from_secs(1), "{:?}", delivered.elapsed());
}

fn next_place(socket: &mut harness::Socket) -> Value {
    loop {
        let message = socket.next();
        if message["latitude"].is_number() {
            return message;
        }
    }
}

#[test]
fn whoever_has_the_number_of_a_parcel_sees_its_status_and_no_more_than_that() {
    let world = World::new();
    let made = world.node.asked_by(&world.admin).get("/api/v1/deliveries/del-1").expect(200);
    let number = made["data"]["tracking_number"].as_str().expect("a number").to_owned();
    assert!(number.len() >= 16, "{number}");
    let track = |number: &str| world.node.get(&format!("/api/v1/track/{number}"));
    let before = track(&number).expect(200).to_string();
    assert!(before.contains("created") && !before.contains("41.15"), "{before}");
    world.out_for_delivery("del-1");
    let out = track(&number).expect(200).to_string();
    assert!(!out.contains("41.15") && out.contains("Ada"), "where he was before: {out}");
    world.drives(41.16);
    let out = wait_for("the driver's place", || {
        Some(track(&number).expect(200).to_string()).filter(|out| out.contains("position"))
    });
    assert!(out.contains("41.16") && out.contains("Ada"), "{out}");
    for personal in ["Byron", "Bo 1", "c-1", "d-1"] {
        assert!(!out.contains(personal), "{personal} in {out}");
    }
    assert_eq!(track("0123456789abcdef").status, 404);
}

#[test]
fn a_driver_is_told_whom_to_call_and_a_customer_only_how_far_it_came() {
    let world = World::new();
    let (one, two) = (world.customer(1), world.customer(2));
    let driver = json!({"role": "driver", "driver_id": "d-1"});
    let driver = world.node.asked_by(&world.admin).user("ada@example.com", &driver);
    let by = |token: &str, method: &str, rest: &str, body: &str| {
        world.node.asked_by(token).ask(method, &format!("/api/v1/deliveries/del-1{rest}"), body)
    };
    let how = r#"{"instructions":"Ring twice."}"#;
    by(&one, "PUT", "/instructions", how).expect(200);
    for (token, status) in [(&two, 404), (&driver, 403)] {
        assert_eq!(by(token, "PUT", "/instructions", how).status, status);
    }
    world.becomes("del-1", "assigned");
    let contact = by(&driver, "GET", "/customer", "").expect(200);
    assert_eq!((&contact["data"]["name"], &contact["data"]["customer_id"]), (&json!("Bo 1"), &json!("c-1")));
    assert_eq!(by(&two, "GET", "/customer", "").status, 404);
    assert_eq!(by(&driver, "GET", "", "").expect(200)["data"]["instructions"], "Ring twice.");
    let moved = json!({"status": "picked_up", "latitude": 41.15, "longitude": -8.61, "note": "grumpy"}).to_string();
    by(&driver, "PUT", "/status", &moved).expect(200);
    assert_eq!(by(&one, "PUT", "/instructions", how).status, 409, "it was picked up");
    let events = by(&one, "GET", "/events", "").expect(200)["data"].clone();
    let names = |event: &Value| event.as_object().expect("an event").keys().cloned().collect::<Vec<_>>();
    assert_eq!(events.as_array().expect("events").len(), 3);
    assert!(events.as_array().expect("events").iter().all(|event| names(event).len() == 4), "{events}");
    assert!(by(&driver, "GET", "/events", "").text().contains("grumpy"));
    world.becomes("del-1", "failed");
    world.becomes("del-1", "returned");
    assert_eq!(by(&driver, "GET", "/customer", "").status, 403, "it is over");
}

#[test]
fn logging_out_ends_what_was_open() {
    let world = World::new();
    let dispatcher = json!({"role": "dispatcher", "fleets": ["north"]});
    let token = world.node.asked_by(&world.admin).user("ann@example.com", &dispatcher);
    let mut watching = world.node.socket(&format!("/api/v1/live?access_token={token}"));
    while watching.next()["type"] != "snapshot" {}
    let out = world.node.asked_by(&token).post("/api/v1/auth/logout", "");
    assert!((200..300).contains(&out.status), "{}", out.text());
    let left = Instant::now();
    assert_eq!(watching.await_end(), Some(1008));
    assert!(left.elapsed() < Duration::from_secs(1), "{:?}", left.elapsed());
    assert_eq!(world.node.asked_by(&token).get("/api/v1/auth/me").status, 401);
}

/// How long something that must not come is waited for.
const NEVER: Duration = Duration::from_millis(500);

/// The real Socket.IO client, connected to a node.
struct Client(Script);

impl Client {
    fn connect(node: &Node, options: &Value) -> Client {
        let args = [node.url(), options.to_string()];
        let args = args.each_ref().map(String::as_str);
        Client(Script::start("crates/tracking/tests/client", "socket.io-client", "client.mjs", &args))
    }

    /// Somebody who has logged in, as far as the greeting.
    #[track_caller]
    fn of(node: &Node, token: &str, more: Value) -> Client {
        let mut options = json!({"auth": {"token": token}});
        options.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let client = Client::connect(node, &options);
        client.expect("#connect");
        assert_eq!(client.expect("authenticated")["role"], "customer");
        client
    }

    fn emit(&mut self, event: &str) {
        self.0.say(json!({"emit": event}));
    }

    /// The next event within this time, with its data.
    fn next_within(&self, time: Duration) -> Option<(String, Value)> {
        let mut said: Value = serde_json::from_str(&self.0.next_within(time)?).expect("JSON");
        Some((said["event"].as_str().expect("a name").to_owned(), said["data"].take()))
    }

    #[track_caller]
    fn expect(&self, event: &str) -> Value {
        let (got, data) = self.next_within(harness::PATIENCE).expect("an event in time");
        assert_eq!(got, event, "{data}");
        data
    }

    #[track_caller]
    fn is_refused(&mut self, event: &str) -> Value {
        self.emit(event);
        let mut error = self.expect("error");
        assert_eq!(error["event"], event, "{error}");
        error["event"].take();
        error
    }

    #[track_caller]
    fn hears_nothing(&self) {
        assert_eq!(self.next_within(NEVER), None);
    }
}

#[test]
fn socket_io_shows_the_driver_only_while_the_order_is_out() {
    let world = World::new();
    let one = world.customer(1);
    let mut client = Client::of(&world.node, &one, json!({}));
    client.emit("subscribe:order:o-1");
    assert_eq!(client.expect("subscribed")["channel"], "order:o-1");
    let status = |client: &Client| client.expect("delivery:status:updated")["status"].clone();
    assert_eq!(status(&client), "created");
    for (before, latitude) in [("assigned", 41.16), ("picked_up", 41.17)] {
        world.becomes("del-1", before);
        assert_eq!(status(&client), before);
        world.drives(latitude);
        client.hears_nothing();
    }
    world.becomes("del-1", "out_for_delivery");
    assert_eq!(status(&client), "out_for_delivery");
    client.hears_nothing();
    let moved = Instant::now();
    world.drives(41.20);
    let place = client.expect("driver:location:updated");
    assert_eq!((&place["latitude"], &place["driver_id"]), (&json!(41.20), &json!("d-1")), "{place}");
    assert!(moved.elapsed() < Duration::from_secs(2), "{:?}", moved.elapsed());
    world.becomes("del-1", "arrived");
    assert_eq!(status(&client), "arrived");
    world.becomes("del-1", "delivered");
    ends_without_a_place(&world, &client);
    client.emit("subscribe:order:o-1");
    client.expect("subscribed");
    ends_without_a_place(&world, &client);
}

/// Nothing is told of where the driver goes now, and within a second the client hears that it is over.
#[track_caller]
fn ends_without_a_place(world: &World, client: &Client) {
    let delivered = Instant::now();
    let mut events: Vec<(String, Value, Duration)> = Vec::new();
    for step in 0..15 {
        world.drives(41.30 + f64::from(step) / 1_000.0);
        while let Some((event, data)) = client.next_within(Duration::from_millis(100)) {
            events.push((event, data, delivered.elapsed()));
        }
    }
    let names: Vec<&str> = events.iter().map(|(event, ..)| event.as_str()).collect();
    assert_eq!(names, ["delivery:status:updated", "unsubscribed"], "{events:?}");
    assert_eq!((&events[0].1["status"], &events[1].1["reason"]), (&json!("delivered"), &json!("ended")));
    assert_eq!(events[1].1["channel"], "order:o-1", "as it was subscribed");
    assert!(events[1].2 < Duration::from_secs(1), "{events:?}");
}

#[test]
fn socket_io_refuses_a_foreign_order_as_one_that_does_not_exist() {
    let world = World::new();
    let two = world.customer(2);
    let mut client = Client::of(&world.node, &two, json!({"transports": ["websocket"]}));
    world.out_for_delivery("del-1");
    let foreign = client.is_refused("subscribe:order:o-1");
    assert_eq!(foreign["code"], "not_found", "{foreign}");
    let none = client.is_refused("subscribe:order:o-9").to_string();
    assert_eq!(foreign.to_string(), none.replace("o-9", "o-1"), "they look the same");
    assert_eq!(client.is_refused("subscribe:delivery:del-1")["code"], "not_found");
    assert_eq!(client.is_refused("subscribe:driver:d-1")["code"], "forbidden");
    world.drives(41.20);
    client.hears_nothing();
    // Her own: what the driver's phone says of it opens nothing.
    client.emit("subscribe:order:o-2");
    client.expect("subscribed");
    assert_eq!(client.expect("delivery:status:updated")["status"], "created");
    world.drives(41.21);
    client.hears_nothing();
}

#[test]
fn socket_io_refuses_a_wrong_token_and_ends_with_the_login() {
    let world = World::new();
    let one = world.customer(1);
    world.out_for_delivery("del-1");
    let wrong = format!("{one}x");
    for options in [json!({}), json!({"auth": {"token": wrong}}), json!({"auth": {"token": ""}})] {
        let mut client = Client::connect(&world.node, &options);
        client.emit("subscribe:order:o-1");
        client.expect("#connect");
        assert_eq!(client.expect("error")["code"], "unauthenticated", "{options}");
        assert_eq!(client.expect("#disconnect"), "io server disconnect", "{options}");
        world.drives(41.20);
        client.hears_nothing();
    }
    let mut client = Client::of(&world.node, &one, json!({}));
    client.emit("subscribe:order:o-1");
    client.expect("subscribed");
    client.expect("delivery:status:updated");
    client.expect("driver:location:updated");
    let out = world.node.asked_by(&one).post("/api/v1/auth/logout", "");
    assert_eq!(out.status, 204, "{}", out.text());
    let left = Instant::now();
    assert_eq!(client.expect("error")["code"], "unauthenticated");
    client.expect("#disconnect");
    assert!(left.elapsed() < Duration::from_secs(1), "{:?}", left.elapsed());
    world.drives(41.21);
    client.hears_nothing();
}
