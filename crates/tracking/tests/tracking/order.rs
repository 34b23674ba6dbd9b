//! One order's driver, by plain GET and by WebSocket.

use crate::harness::{Got, Node, until};
use drover_access::Caller;
use drover_model::Kind;
use drover_registry::Transition;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATH: &str = "/api/v1/orders/order-1/driver-location";

fn subscribe(order: &str) -> Value {
    json!({"action": "subscribe", "order_id": order})
}

#[tokio::test]
async fn a_customer_sees_the_driver_only_while_his_order_is_out() {
    let node = Node::start().await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let code = |answer: (u16, Value)| (answer.0, answer.1["error"]["code"].as_str().unwrap_or_default().to_owned());
    assert_eq!(code(node.get(PATH, Some("carol")).await), (404, "not_out_for_delivery".into()));
    node.advance("order-1", &["assigned", "picked_up"]).await;
    assert_eq!(code(node.get(PATH, Some("carol")).await), (404, "not_out_for_delivery".into()));
    node.advance("order-1", &["out_for_delivery"]).await;
    assert_eq!(code(node.get(PATH, Some("carol")).await), (404, "no_location".into()), "that was before");
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let (status, place) = node.get(PATH, Some("carol")).await;
    assert_eq!((status, &place["driver_id"], &place["latitude"]), (200, &json!("d-1"), &json!(52.5)));
    assert_eq!((&place["status"], &place["speed"]), (&json!("out_for_delivery"), &json!(36.5)));
    assert!(place["timestamp"].as_str().unwrap().ends_with('Z'));
    node.advance("order-1", &["arrived"]).await;
    assert_eq!(node.get(PATH, Some("carol")).await.1["status"], "arrived");
    node.advance("order-1", &["delivered"]).await;
    assert_eq!(code(node.get(PATH, Some("carol")).await), (404, "not_out_for_delivery".into()));
}

#[tokio::test]
async fn where_the_driver_was_before_the_order_went_out_is_for_him_and_staff_only() {
    let node = Node::start().await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    node.send_out("order-1").await;
    let mut socket = node.socket(&format!("{PATH}?subscribe=1"), Some("carol")).await.unwrap();
    assert_eq!(socket.message().await["status"], "out_for_delivery");
    let latitude = async |who: &str| node.get(PATH, Some(who)).await.1["latitude"].clone();
    let mut before = async || {
        socket.silence().await;
        assert_eq!(node.get(PATH, Some("carol")).await.0, 404);
        for who in ["driver-1", "north", "admin"] {
            assert_eq!(latitude(who).await, 52.5, "{who}");
        }
    };
    before().await;
    // A report without a place makes the old one no newer.
    node.sign_of_life(Kind::Driver, "d-1", "active").await;
    before().await;
    node.report(Kind::Driver, "d-1", 52.6, 13.4).await;
    assert_eq!((socket.message().await["latitude"].clone(), latitude("carol").await), (json!(52.6), json!(52.6)));
    // It comes back and goes out once more: what was in between is not the customer's either.
    node.advance("order-1", &["arrived", "failed"]).await;
    node.report(Kind::Driver, "d-1", 52.7, 13.4).await;
    // Times are whole milliseconds: what is of the same one counts as after it.
    tokio::time::sleep(Duration::from_millis(5)).await;
    node.advance("order-1", &["out_for_delivery", "arrived"]).await;
    assert_eq!(node.get(PATH, Some("carol")).await.0, 404);
    assert_eq!(latitude("north").await, 52.7);
    node.report(Kind::Driver, "d-1", 52.8, 13.4).await;
    assert_eq!(latitude("carol").await, 52.8);
}

#[tokio::test]
async fn where_somebody_is_is_for_no_cache() {
    let node = Node::start().await;
    assert_eq!(node.get_unkept(PATH, Some("carol")).await.0, 404);
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    assert_eq!(node.get_unkept(PATH, Some("carol")).await.0, 200);
}

#[tokio::test]
async fn a_report_that_leaves_the_place_as_it_was_is_not_told() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut socket = node.socket(&format!("{PATH}?subscribe=1"), Some("carol")).await.unwrap();
    assert_eq!(socket.message().await["status"], "out_for_delivery");
    assert_eq!(socket.message().await["latitude"], 52.5);
    for status in ["idle", "active", "idle"] {
        node.sign_of_life(Kind::Driver, "d-1", status).await;
    }
    socket.silence().await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    assert_eq!(socket.message().await["latitude"], 52.5, "he is there later, too");
}

#[tokio::test]
async fn who_may_not_follow_an_order_gets_the_answer_for_one_that_does_not_exist() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let unknown = node.get("/api/v1/orders/order-9/driver-location", Some("otto")).await;
    assert_eq!((unknown.0, &unknown.1["error"]["code"]), (404, &json!("not_found")));
    for stranger in ["otto", "driver-2", "south"] {
        let (status, answer) = node.get(PATH, Some(stranger)).await;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")), "{stranger}");
        let message = answer["error"]["message"].as_str().unwrap().replace("order-1", "order-9");
        assert_eq!(json!(message), unknown.1["error"]["message"], "{stranger}");
        assert_eq!(node.socket(PATH, Some(stranger)).await.err(), Some(404), "{stranger}");
    }
    assert_eq!(node.get(PATH, None).await.0, 401);
    for one_who_may in ["carol", "driver-1", "north", "admin"] {
        assert_eq!(node.get(PATH, Some(one_who_may)).await.0, 200, "{one_who_may}");
    }
}

#[tokio::test]
async fn the_order_that_a_report_names_shows_nobody_anything() {
    let node = Node::start().await;
    node.order("order-2", "c-2", "d-2", "south").await;
    node.send_out("order-2").await;
    node.report(Kind::Driver, "d-2", 48.0, 11.0).await;
    // d-1 says that he serves order-2; it is d-2 who does.
    node.report_order(Kind::Driver, "d-1", 52.5, 13.4, Some("order-2")).await;
    let (status, place) = node.get("/api/v1/orders/order-2/driver-location", Some("otto")).await;
    assert_eq!((status, &place["driver_id"], &place["latitude"]), (200, &json!("d-2"), &json!(48.0)));
    assert_eq!(node.get(PATH, Some("otto")).await.0, 404);
}

#[tokio::test]
async fn a_follower_gets_status_and_positions_and_the_end_within_a_second() {
    let node = Node::start().await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut socket = node.socket(PATH, Some("carol")).await.unwrap();
    socket.silence().await;
    socket.send(subscribe("order-1")).await;
    assert_eq!(socket.message().await, json!({"type": "status", "status": "created"}));
    node.report(Kind::Driver, "d-1", 52.6, 13.4).await;
    socket.silence().await;
    node.send_out("order-1").await;
    let mut message = socket.message().await;
    while message != json!({"type": "status", "status": "out_for_delivery"}) {
        assert_eq!(message["type"], "status", "no position before it is out: {message}");
        message = socket.message().await;
    }
    socket.silence().await;
    node.report(Kind::Driver, "d-1", 52.65, 13.4).await;
    let place = socket.message().await;
    assert_eq!(
        (&place["driver_id"], &place["latitude"], &place["heading"]),
        (&json!("d-1"), &json!(52.65), &json!(90.0))
    );
    let before = Instant::now();
    node.report(Kind::Driver, "d-1", 52.7, 13.4).await;
    assert_eq!(socket.message().await["latitude"], 52.7);
    assert!(before.elapsed() < Duration::from_millis(500), "{:?}", before.elapsed());
    node.report(Kind::Driver, "d-2", 48.0, 11.0).await;
    socket.silence().await;
    node.advance("order-1", &["arrived"]).await;
    assert_eq!(socket.message().await, json!({"type": "status", "status": "arrived"}));
    let before = Instant::now();
    node.advance("order-1", &["delivered"]).await;
    node.report(Kind::Driver, "d-1", 52.8, 13.4).await;
    assert_eq!(socket.message().await, json!({"type": "ended", "status": "delivered"}));
    assert_eq!(socket.next().await, Got::Closed(1000));
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    until("the place of the connection is free again", async || node.tracking.connections() == 0).await;
}

#[tokio::test]
async fn another_order_in_the_message_is_an_error_and_closes() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut socket = node.socket(PATH, Some("carol")).await.unwrap();
    socket.send(subscribe("order-2")).await;
    assert_eq!(socket.message().await["error"]["code"], "order_mismatch");
    assert_eq!(socket.next().await, Got::Closed(1008));
    let mut socket = node.socket(PATH, Some("carol")).await.unwrap();
    socket.send(json!({"action": "dance"})).await;
    assert_eq!(socket.message().await["error"]["code"], "malformed");
    socket.send(subscribe("order-1")).await;
    assert_eq!(socket.message().await["type"], "status");
}

#[tokio::test]
async fn a_subscription_in_the_address_needs_no_message() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut socket = node.socket(&format!("{PATH}?subscribe=1"), Some("north")).await.unwrap();
    assert_eq!(socket.message().await["status"], "out_for_delivery");
    assert_eq!(socket.message().await["driver_id"], "d-1");
}

#[tokio::test]
async fn an_order_that_is_given_to_another_driver_is_followed_there() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.make("drivers", json!({"id": "d-3", "name": "Alan Turing", "fleet_id": "north"})).await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut customer = node.socket(&format!("{PATH}?subscribe=1"), Some("carol")).await.unwrap();
    let mut driver = node.socket(&format!("{PATH}?subscribe=1"), Some("driver-1")).await.unwrap();
    for socket in [&mut customer, &mut driver] {
        assert_eq!(socket.message().await["status"], "out_for_delivery");
        assert_eq!(socket.message().await["driver_id"], "d-1");
    }
    node.advance("order-1", &["failed"]).await;
    for socket in [&mut customer, &mut driver] {
        assert_eq!(socket.message().await["status"], "failed");
    }
    let given = Transition { to: "assigned".into(), driver_id: Some("d-3".into()), ..Transition::default() };
    node.registry.transition(&Caller::dev(), "del-order-1", &given, None).await.unwrap();
    assert_eq!(driver.message().await["type"], "ended", "it is not his any more");
    assert_eq!(driver.next().await, Got::Closed(1008));
    assert_eq!(customer.message().await["status"], "assigned");
    for status in ["picked_up", "out_for_delivery"] {
        node.advance("order-1", &[status]).await;
        assert_eq!(customer.message().await["status"], status);
    }
    node.report(Kind::Driver, "d-1", 52.9, 13.4).await;
    customer.silence().await;
    node.report(Kind::Driver, "d-3", 50.1, 10.0).await;
    let place = customer.message().await;
    assert_eq!((&place["driver_id"], &place["latitude"]), (&json!("d-3"), &json!(50.1)));
}

#[tokio::test]
async fn a_login_that_is_over_ends_its_followers_within_a_second() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut socket = node.socket(&format!("{PATH}?subscribe=1"), Some("carol")).await.unwrap();
    assert_eq!(socket.message().await["status"], "out_for_delivery");
    assert_eq!(socket.message().await["driver_id"], "d-1");
    let before = Instant::now();
    node.log_out("carol");
    assert_eq!(socket.message().await["type"], "ended");
    assert_eq!(socket.next().await, Got::Closed(1008));
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
}

#[tokio::test]
async fn places_in_quick_succession_travel_together_and_the_last_one_arrives() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.0, 13.4).await;
    let mut socket = node.socket(&format!("{PATH}?subscribe=1"), Some("carol")).await.unwrap();
    assert_eq!(socket.message().await["status"], "out_for_delivery");
    for step in 1..=2_000 {
        node.report(Kind::Driver, "d-1", 52.0 + f64::from(step) / 10_000.0, 13.4).await;
    }
    let mut messages = 0;
    loop {
        messages += 1;
        if socket.message().await["latitude"] == json!(52.2) {
            break;
        }
    }
    assert!(messages < 2_000, "{messages} messages of 2,000 reports");
}

#[tokio::test]
async fn a_node_that_stops_says_so() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    let mut socket = node.socket(&format!("{PATH}?subscribe=1"), Some("carol")).await.unwrap();
    assert_eq!(socket.message().await["status"], "out_for_delivery");
    node.live.end_watchers();
    assert_eq!(socket.next().await, Got::Closed(1001));
}

#[tokio::test]
async fn a_foreign_delivery_that_takes_the_name_of_an_order_hides_nothing() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    for (number, order) in ["order-1", "del-order-1"].into_iter().enumerate() {
        let thief =
            json!({"id": format!("thief-{number}"), "order_id": order, "fleet_id": "south", "driver_id": "d-2"});
        node.make("deliveries", thief).await;
    }
    for who in ["carol", "driver-1", "north"] {
        for name in ["order-1", "del-order-1"] {
            let (status, place) = node.get(&format!("/api/v1/orders/{name}/driver-location"), Some(who)).await;
            assert_eq!((status, &place["driver_id"]), (200, &json!("d-1")), "{who} {name}");
        }
    }
    let (status, answer) = node.get(PATH, Some("admin")).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("ambiguous_order")), "the admin reaches both");
}

#[tokio::test]
async fn a_driver_who_went_to_another_fleet_is_followed_by_his_customer_and_not_by_the_old_fleet() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut dispatcher = node.socket(&format!("{PATH}?subscribe=1"), Some("north")).await.unwrap();
    assert_eq!(dispatcher.message().await["status"], "out_for_delivery");
    assert_eq!(dispatcher.message().await["latitude"], 52.5);
    let Value::Object(patch) = json!({"fleet_id": "south"}) else { unreachable!() };
    let drivers = drover_registry::resource("drivers").unwrap();
    node.registry.update(&drover_access::Caller::dev(), drivers, "d-1", patch, None).await.unwrap();
    node.report(Kind::Driver, "d-1", 52.6, 13.4).await;
    dispatcher.silence().await;
    for (who, expected) in [("north", 404), ("south", 404), ("carol", 200), ("driver-1", 200), ("admin", 200)] {
        assert_eq!(node.get(PATH, Some(who)).await.0, expected, "{who}");
    }
    node.advance("order-1", &["arrived"]).await;
    assert_eq!(dispatcher.message().await, json!({"type": "status", "status": "arrived"}), "the order is still his");
}
