//! Who watches where one person is, is told to the audit: once when it begins, once when it ends, whichever way it goes.

use crate::harness::{NEVER, Node, until};
use drover_access::Look;
use drover_model::Kind;
use serde_json::{Value, json};

const ORDER: &str = "/api/v1/orders/order-1/driver-location";

/// Who did what to whom, and by which delivery.
fn said(look: &Look) -> (&str, &str, &str, Option<&str>) {
    assert_eq!(look.address, Some([192, 0, 2, 7].into()));
    (&look.actor, look.action, &look.subject, look.after["delivery_id"].as_str())
}

#[tokio::test]
async fn a_subscription_to_a_driver_is_noted_when_it_begins_and_when_it_ends_and_a_vehicles_is_not() {
    let node = Node::start().await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut socket = node.socket("/api/v1/events", Some("north")).await.unwrap();
    for event in ["subscribe:vehicle:v-1", "subscribe:driver:d-1", "subscribe:driver:d-1", "subscribe:driver:d-2"] {
        socket.send(json!({"event": event})).await;
    }
    let begun = node.noted().await;
    assert_eq!(said(&begun), ("user/dispatcher", "location.watch", "driver/d-1", None));
    assert_eq!((begun.fleet.as_deref(), begun.refused), (Some("north"), false));
    let refused = node.noted().await;
    assert_eq!((said(&refused).2, refused.refused), ("driver/d-2", true), "out of reach");
    socket.send(json!({"event": "unsubscribe:driver:d-1"})).await;
    let ended = node.noted().await;
    assert_eq!(said(&ended), ("user/dispatcher", "location.watch_end", "driver/d-1", None));
    assert!(ended.after["seconds"].is_u64());
    socket.send(json!({"event": "subscribe:driver:d-1"})).await;
    assert_eq!(node.noted().await.action, "location.watch");
    drop(socket);
    assert_eq!(node.noted().await.action, "location.watch_end", "whoever leaves watches no more");
    assert!(node.is_unnoted());
}

#[tokio::test]
async fn following_an_order_is_noted_as_watching_its_driver_once_his_place_is_told() {
    let node = Node::start().await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut socket = node.socket(&format!("{ORDER}?subscribe=1"), Some("carol")).await.unwrap();
    assert_eq!(socket.message().await["status"], "created");
    node.send_out("order-1").await;
    tokio::time::sleep(NEVER).await;
    assert!(node.is_unnoted(), "nobody's place was told");
    node.report(Kind::Driver, "d-1", 52.55, 13.4).await;
    assert_eq!(said(&node.noted().await), ("user/customer", "location.watch", "driver/d-1", Some("del-order-1")));
    node.report(Kind::Driver, "d-1", 52.6, 13.4).await;
    until("the second place", async || socket.message().await["latitude"] == 52.6).await;
    assert!(node.is_unnoted(), "once, however far he goes");
    node.advance("order-1", &["delivered"]).await;
    assert_eq!(said(&node.noted().await), ("user/customer", "location.watch_end", "driver/d-1", Some("del-order-1")));
}

#[tokio::test]
async fn following_a_delivery_by_events_is_noted_the_same_way() {
    let node = Node::start().await;
    node.send_out("order-1").await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let mut socket = node.socket("/api/v1/events", Some("carol")).await.unwrap();
    socket.send(json!({"event": "subscribe:delivery:order-1"})).await;
    assert_eq!(said(&node.noted().await), ("user/customer", "location.watch", "driver/d-1", Some("del-order-1")));
    node.advance("order-1", &["delivered"]).await;
    assert_eq!(said(&node.noted().await), ("user/customer", "location.watch_end", "driver/d-1", Some("del-order-1")));
    assert!(node.is_unnoted());
}

#[tokio::test]
async fn whose_place_an_answer_tells_goes_along_with_it() {
    let node = Node::start().await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let number = node.registry.underway().by_order("order-1").map(|passage| passage.delivery_id.clone()).unwrap();
    let caller = drover_access::Caller::dev();
    let deliveries = drover_registry::resource("deliveries").unwrap();
    let record = node.registry.get(&caller, deliveries, &number).await.unwrap();
    let track = format!("/api/v1/track/{}", record.text("tracking_number").unwrap());
    assert_eq!(node.get(ORDER, Some("carol")).await.0, 404);
    assert_eq!(node.get(&track, None).await.1["position"], Value::Null);
    node.send_out("order-1").await;
    assert_eq!(node.get(ORDER, Some("carol")).await.0, 404, "the driver was there before");
    assert_eq!(node.get(&track, None).await.1["position"], Value::Null);
    assert!(node.showed.lock().unwrap().is_empty());
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    assert_eq!(node.get(ORDER, Some("carol")).await.0, 200);
    assert_eq!(node.get(&track, None).await.1["position"]["latitude"], 52.5);
    let showed = std::mem::take(&mut *node.showed.lock().unwrap());
    for shown in &showed {
        assert_eq!(shown.persons.iter().map(ToString::to_string).collect::<Vec<_>>(), ["driver/d-1"]);
        assert_eq!(shown.asked, json!({"delivery_id": "del-order-1"}));
    }
    assert_eq!(showed.len(), 2);
    let stream = node.request(&format!("{track}/live"), None).await;
    assert_eq!(said(&node.noted().await), ("anonymous", "location.watch", "driver/d-1", Some("del-order-1")));
    drop(stream);
    node.report(Kind::Driver, "d-1", 52.7, 13.4).await;
    assert_eq!(node.noted().await.action, "location.watch_end");
}
