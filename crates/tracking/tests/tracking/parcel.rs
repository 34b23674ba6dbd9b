//! A parcel by its tracking number, for anybody.

use crate::harness::{NEVER, Node, PATIENCE};
use drover_model::Kind;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

async fn number(node: &Node) -> String {
    let deliveries = drover_registry::resource("deliveries").unwrap();
    let record = node.registry.get(&drover_access::Caller::dev(), deliveries, "del-order-1").await.unwrap();
    record.text("tracking_number").unwrap().to_owned()
}

/// Reads server-sent events until one is as wished.
async fn event(stream: &mut TcpStream, text: &mut String, wished: impl Fn(&Value) -> bool) -> Value {
    let reading = async {
        loop {
            while let Some((line, rest)) = text.split_once('\n') {
                let event = line.trim_end().strip_prefix("data:").map(|data| serde_json::from_str(data).unwrap());
                *text = rest.to_owned();
                if let Some(event) = event.filter(|event| wished(event)) {
                    return event;
                }
            }
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "the stream ended");
            text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an event in time")
}

#[tokio::test]
async fn the_number_shows_status_and_history_and_the_position_only_while_it_is_out() {
    let node = Node::start().await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let path = format!("/api/v1/track/{}", number(&node).await);
    let (status, track) = node.get(&path, None).await;
    assert_eq!((status, &track["status"], &track["status_text"]), (200, &json!("created"), &json!("Order received")));
    assert!(track.get("position").is_none() && track.get("driver").is_none(), "{track}");
    node.send_out("order-1").await;
    let (_, track) = node.get_unkept(&path, None).await;
    assert!(track.get("position").is_none(), "he was there before: {track}");
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let (_, track) = node.get_unkept(&path, None).await;
    assert_eq!((&track["position"]["latitude"], &track["driver"]), (&json!(52.5), &json!({"first_name": "Ada"})));
    let steps: Vec<&str> =
        track["timeline"].as_array().unwrap().iter().map(|step| step["status"].as_str().unwrap()).collect();
    assert_eq!(steps, ["created", "assigned", "picked_up", "out_for_delivery"]);
    let text = track.to_string();
    assert!(
        ["d-1", "Lovelace", "c-1", "Hopper", "order-1", "north"].iter().all(|personal| !text.contains(personal)),
        "{text}"
    );
    node.advance("order-1", &["arrived", "delivered"]).await;
    let (_, track) = node.get(&path, None).await;
    assert_eq!(track["status"], "delivered");
    assert!(track.get("position").is_none() && track.get("driver").is_none(), "{track}");
}

#[tokio::test]
async fn neither_an_order_nor_a_delivery_is_a_tracking_number() {
    let node = Node::start().await;
    for guess in ["order-1", "del-order-1", "AAAAAAAAAAAAAAAA", "x"] {
        let (status, answer) = node.get(&format!("/api/v1/track/{guess}"), None).await;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")), "{guess}");
    }
}

#[tokio::test]
async fn the_live_page_is_told_of_each_change_and_ends_with_the_delivery() {
    let node = Node::start().await;
    node.report(Kind::Driver, "d-1", 52.5, 13.4).await;
    let path = format!("/api/v1/track/{}/live", number(&node).await);
    let (mut stream, mut text) = (node.request(&path, None).await, String::new());
    let first = event(&mut stream, &mut text, |_| true).await;
    assert_eq!((&first["status"], first.get("position")), (&json!("created"), None));
    node.send_out("order-1").await;
    let out = event(&mut stream, &mut text, |event| event["status"] == "out_for_delivery").await;
    assert_eq!((out.get("position"), &out["driver"]["first_name"]), (None, &json!("Ada")));
    node.report(Kind::Driver, "d-1", 52.6, 13.4).await;
    event(&mut stream, &mut text, |event| event["position"]["latitude"] == 52.6).await;
    node.sign_of_life(Kind::Driver, "d-1", "idle").await;
    let quiet = event(&mut stream, &mut text, |_| true);
    tokio::time::timeout(NEVER, quiet).await.expect_err("nothing new to tell");
    node.advance("order-1", &["arrived", "delivered"]).await;
    let last = event(&mut stream, &mut text, |event| event["status"] == "delivered").await;
    assert_eq!(last.get("position"), None);
    let mut rest = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut rest)).await.expect("the stream ends").unwrap();
    assert!(!rest.contains("data:"), "{rest}");
}
