//! Deliveries at the door: how they move, what is told of them to whom, and what a driver and a customer reach.

use super::site::{Site, caller, customer, dev, driver};
use drover_access::{Reach, Role};
use serde_json::json;

#[tokio::test]
async fn a_delivery_moves_along_its_ways_and_keeps_its_history() {
    let site = Site::open().await;
    site.post("/api/v1/drivers", &json!({"id": "d-1", "name": "Ana"})).await.data(201);
    let made = site.post("/api/v1/deliveries", &json!({"id": "del-1", "order_id": "A-1"})).await.data(201);
    assert_eq!(made["status"], "created");
    let path = "/api/v1/deliveries/del-1/status";
    site.put(path, &json!({"status": "delivered"})).await.is(409);
    let assigned = site.put(path, &json!({"status": "assigned", "driver_id": "d-1"})).await.data(200);
    assert_eq!(
        (&assigned["delivery_id"], &assigned["status"], &assigned["driver_id"]),
        (&json!("del-1"), &json!("assigned"), &json!("d-1"))
    );
    assert!(assigned["updated_at"].is_string() && assigned["order_id"] == "A-1");
    let place =
        json!({"status": "picked_up", "latitude": 38.7, "longitude": -9.1, "note": "two boxes", "data": {"boxes": 2}});
    let answer = site.put(path, &place).await;
    assert_eq!((&answer.data(200)["status"], answer.header("etag")), (&json!("picked_up"), "\"3\""));
    let stale = site.with("PUT", path, &[("if-match", "\"2\"")], r#"{"status":"out_for_delivery"}"#).await;
    stale.is_problem(412, "changed", None);
    for (body, field) in [
        (json!({}), "status"),
        (json!({"status": "flying"}), "status"),
        (json!({"status": "out_for_delivery", "latitude": 1}), "longitude"),
        (json!({"status": "out_for_delivery", "latitude": 91, "longitude": 1}), "latitude"),
        (json!({"status": "out_for_delivery", "note": 5}), "note"),
        (json!({"status": "out_for_delivery", "data": "x"}), "data"),
        (json!({"status": "out_for_delivery", "stat": "x"}), "stat"),
    ] {
        let answer = site.put(path, &body).await;
        assert_eq!((answer.status, answer.field().as_deref()), (422, Some(field)), "{body}");
    }
    let events = site.get("/api/v1/deliveries/del-1/events").await.data(200);
    let kinds: Vec<_> = events.as_array().unwrap().iter().map(|event| event["event_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["created", "assigned", "picked_up"]);
    assert_eq!(events[2]["data"], json!({"boxes": 2, "note": "two boxes"}));
    assert_eq!((&events[2]["latitude"], &events[2]["delivery_id"]), (&json!(38.7), &json!("del-1")));
    assert_eq!(site.get("/api/v1/orders/A-1").await.data(200)["id"], "del-1");
    site.get("/api/v1/orders/A-2").await.is_problem(404, "not_found", None);
    site.get("/api/v1/deliveries/del-2/events").await.is_problem(404, "not_found", None);
    site.put("/api/v1/deliveries/del-2/status", &json!({"status": "assigned"})).await.is_problem(
        404,
        "not_found",
        None,
    );
}

#[tokio::test]
async fn the_two_ends_of_a_delivery_are_told_what_they_need_and_no_more() {
    let site = Site::open().await;
    site.post("/api/v1/drivers", &json!({"id": "d-1", "name": "Ana"})).await.data(201);
    let cleo = json!({"id": "c-1", "name": "Cleo", "phone": "+351 21", "email": "c@example.com", "address": "Rua 1"});
    site.post("/api/v1/customers", &cleo).await.data(201);
    let body = json!({"id": "del-1", "customer_id": "c-1", "driver_id": "d-1"});
    site.post("/api/v1/deliveries", &body).await.data(201);
    let (status, how) = ("/api/v1/deliveries/del-1/status", "/api/v1/deliveries/del-1/instructions");
    let (ana, cleo) = (driver("d-1"), customer("c-1"));

    let said = site.by(&cleo, "PUT", how, r#"{"instructions":"Ring twice."}"#).await;
    assert_eq!((&said.data(200)["instructions"], said.header("etag")), (&json!("Ring twice."), "\"2\""));
    assert_eq!(said.data(200).as_object().unwrap().len(), 4, "{}", said.body());
    for (body, field) in [("{}", "instructions"), (r#"{"instructions":"x","name":"y"}"#, "name")] {
        assert_eq!(site.by(&cleo, "PUT", how, body).await.field().as_deref(), Some(field));
    }
    let stale = site.with("PUT", how, &[("if-match", "\"1\"")], r#"{"instructions":null}"#).await;
    stale.is_problem(412, "changed", None);
    assert_eq!(site.by(&ana, "GET", "/api/v1/deliveries/del-1", "").await.data(200)["instructions"], "Ring twice.");

    let place = json!({"status": "assigned", "latitude": 38.7, "longitude": -9.1, "note": "grumpy"});
    site.put(status, &place).await.data(200);
    let contact = site.by(&ana, "GET", "/api/v1/deliveries/del-1/customer", "").await;
    assert_eq!(contact.header("cache-control"), "no-store");
    assert_eq!(
        contact.data(200),
        json!({"delivery_id": "del-1", "customer_id": "c-1", "name": "Cleo", "phone": "+351 21"})
    );
    let mut key = (*dev()).clone();
    key.may = drover_access::Permissions::of(&[drover_access::Permission::OrdersRead]);
    let key = drover_access::Caller::new(key);
    site.by(&key, "GET", "/api/v1/deliveries/del-1/customer", "").await.is_problem(403, "forbidden", None);

    site.put(status, &json!({"status": "picked_up"})).await.data(200);
    let late = site.by(&cleo, "PUT", how, r#"{"instructions":"Wait."}"#).await;
    late.is_problem(409, "too_late", Some("instructions"));
    let events = site.by(&cleo, "GET", "/api/v1/deliveries/del-1/events", "").await.data(200);
    assert_eq!(events.as_array().unwrap().len(), 3);
    for event in events.as_array().unwrap() {
        let told: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(told, ["delivery_id", "event_type", "id", "time"]);
    }
    let whole = site.by(&ana, "GET", "/api/v1/deliveries/del-1/events", "").await.data(200);
    assert_eq!((&whole[1]["latitude"], &whole[1]["data"]["note"]), (&json!(38.7), &json!("grumpy")));
    assert_eq!((&whole[1]["id"], &whole[1]["actor"]), (&events[1]["id"], &json!("dev")));
}

#[tokio::test]
async fn a_driver_and_a_customer_reach_only_their_own() {
    let site = Site::open().await;
    for id in ["d-1", "d-2"] {
        site.post("/api/v1/drivers", &json!({"id": id, "name": id})).await.data(201);
        let customer = id.replace('d', "c");
        site.post("/api/v1/customers", &json!({"id": customer, "name": customer})).await.data(201);
        let delivery = id.replace('d', "del");
        let body = json!({"id": delivery, "customer_id": customer, "driver_id": id, "order_id": format!("A-{id}")});
        site.post("/api/v1/deliveries", &body).await.data(201);
        site.put(&format!("/api/v1/deliveries/{delivery}/status"), &json!({"status": "assigned"})).await.data(200);
    }
    let moved = r#"{"status":"picked_up"}"#;
    let ana = driver("d-1");
    assert_eq!(site.by(&ana, "PUT", "/api/v1/deliveries/del-1/status", moved).await.data(200)["status"], "picked_up");
    site.by(&ana, "PUT", "/api/v1/deliveries/del-2/status", moved).await.is_problem(404, "not_found", None);
    let handed_on = r#"{"status":"out_for_delivery","driver_id":"d-2"}"#;
    site.by(&ana, "PUT", "/api/v1/deliveries/del-1/status", handed_on).await.is_problem(403, "forbidden", None);
    site.by(&ana, "GET", "/api/v1/drivers/d-1/assignments", "").await.data(200);
    site.by(&ana, "GET", "/api/v1/drivers/d-2/assignments", "").await.is_problem(404, "not_found", None);
    let mut waiting = (*caller(Role::Customer, Reach::Own)).clone();
    waiting.customer_id = Some("c-1".into());
    let waiting = drover_access::Caller::new(waiting);
    for who in [&ana, &waiting] {
        let found = site.by(who, "GET", "/api/v1/deliveries", "").await.json(200);
        assert_eq!((&found["data"][0]["id"], &found["meta"]["pagination"]["total"]), (&json!("del-1"), &json!(1)));
        for path in ["deliveries/del-2", "deliveries/del-2/events", "orders/A-d-2"] {
            site.by(who, "GET", &format!("/api/v1/{path}"), "").await.is_problem(404, "not_found", None);
        }
        assert_eq!(site.by(who, "GET", "/api/v1/orders/A-d-1", "").await.data(200)["id"], "del-1");
        assert_eq!(site.by(who, "GET", "/api/v1/deliveries/export", "").await.text(200).lines().count(), 2);
    }
}
