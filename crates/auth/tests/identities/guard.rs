//! The guard: the table of routes, credentials in all their places, limits, what is audited, the documentation.

use crate::house::{House, Place, request};
use drover_access::{Needs, routes};
use drover_auth::{Limits, Rate, Settings};
use serde_json::{Value, json};
use std::time::Duration;

pub async fn what_a_route_needs_is_asked_for_and_a_route_without_a_row_is_closed(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let nobody = house.get("", "/api/v1/vehicles").await;
    assert_eq!((nobody.status.as_u16(), nobody.problem()), (401, "unauthenticated"));
    assert_eq!(nobody.header("www-authenticate"), "Bearer");
    let bad = house.get("not a token", "/api/v1/vehicles").await;
    assert_eq!((bad.status.as_u16(), bad.problem()), (401, "bad_credentials"));
    assert_eq!(house.get("", "/healthz").await.status, 200);
    assert_eq!(house.get("not a token", "/healthz").await.status, 200, "public is public");
    assert_eq!(house.get("", "/some/page").await.body, "the page");
    assert_eq!(house.get(&admin, "/api/v1/secrets").await.status, 403, "it has no row in the table");
    let wrong = house.ask(&admin, "PUT", "/api/v1/reports", Value::Null).await;
    assert_eq!((wrong.status.as_u16(), wrong.header("allow")), (405, "POST"));
    let body = json!({"email": "bob@example.com", "role": "dispatcher", "fleets": ["north"]});
    let (_, dispatcher) = house.user(&admin, body).await;
    assert_eq!(house.get(&dispatcher, "/api/v1/vehicles").await.status, 200);
    assert_eq!(house.get(&dispatcher, "/api/v1/audit").await.status, 403);
    assert_eq!(house.get(&dispatcher, "/api/v1/users").await.status, 403);
    let auditor = json!({"email": "ann@example.com", "role": "auditor", "fleets": ["north"]});
    let (_, auditor) = house.user(&admin, auditor).await;
    assert_eq!(house.get(&auditor, "/api/v1/metadata").await.status, 403, "it is about the whole node");
    house.audited("access.refused", 1).await;
    let refused = house.audited("access.unauthenticated", 1).await;
    assert_eq!(refused[0].subject, "GET /api/v1/vehicles");
    assert_eq!(refused.len(), 1, "the second within the minute is not noted");
}

pub async fn a_token_in_the_query_counts_for_streams_only_and_no_handler_sees_it(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let path = format!("/api/v1/live?since=1&access_token={admin}&bbox=2");
    assert_eq!(house.get("", &path).await.status, 401, "a plain request");
    for (name, value) in [("accept", "text/event-stream"), ("upgrade", "websocket")] {
        let mut stream = request("GET", &path);
        stream.headers_mut().insert(name, value.parse().expect("a header"));
        let answer = house.send(stream).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, Some("since=1&bbox=2")));
    }
}

pub async fn a_device_reports_twice_a_second_and_is_told_when_to_go_on(place: Place) {
    let house = House::open_with(place, |settings| Settings { limits: Some(Limits::default()), ..settings }).await;
    let admin = house.admin().await;
    let made = house.ask(&admin, "POST", "/api/v1/device-tokens", json!({"kind": "driver", "id": "d-1"})).await;
    let token = made.text("/data/token");
    let send = async || house.ask(&token, "POST", "/api/v1/reports", Value::Null).await;
    for left in (0..10).rev() {
        let sent = send().await;
        assert_eq!(sent.status, 200);
        let remaining: u32 = sent.header("ratelimit-remaining").parse().expect("a number");
        assert!(remaining >= left, "{remaining} left, at least {left} expected");
        assert_eq!(sent.header("ratelimit-limit"), "10");
    }
    let refused = loop {
        // On a slow machine a turn may have come back meanwhile.
        let sent = send().await;
        if sent.status != 200 {
            break sent;
        }
    };
    assert_eq!((refused.status.as_u16(), refused.problem()), (429, "rate_limited"));
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit-remaining")), ("1", "0"));
    assert_eq!(house.get(&token, "/api/v1/drivers/d-1/location").await.status, 200, "reading has its own bucket");
    let caller = house.auth.connect(None, Some(token.as_bytes()), None).expect("good");
    assert_eq!(house.auth.take_report(&caller), Some(1), "by MQTT it is the same bucket");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(send().await.status, 200);
}

pub async fn who_shows_no_credentials_is_counted_by_his_address(place: Place) {
    let address = Rate { per_second: 1, burst: 3 };
    let limits = Limits { address, ..Limits::default() };
    let house = House::open_with(place, |settings| Settings { limits: Some(limits), ..settings }).await;
    for _ in 0..3 {
        assert_eq!(house.get("", "/api/v1/vehicles").await.status, 401);
    }
    let refused = house.get("guessed", "/api/v1/vehicles").await;
    assert_eq!(refused.status, 429, "guessing is no way around");
    assert_eq!(house.get("", "/healthz").await.status, 200, "probes are not counted");
}

pub async fn reading_where_a_person_is_is_audited_and_a_vehicle_is_not(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    house.get(&admin, "/api/v1/vehicles/v-1/location").await;
    house.get(&admin, "/api/v1/drivers/d%2D1/location").await;
    let entries = house.audited("location.read", 1).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].subject, "driver/d-1", "however it is written");
    assert_eq!((entries[0].address.as_deref(), entries[0].outcome.as_str()), (Some("192.0.2.7"), "ok"));
}

pub async fn without_credentials_a_node_for_trying_out_lets_everybody_do_everything(place: Place) {
    let house = House::open_with(place, |settings| Settings { dev: true, ..settings }).await;
    let asked_as = async |host: &str, origin: Option<&str>| {
        let mut request = request("POST", "/api/v1/vehicles");
        request.headers_mut().insert("host", host.parse().expect("a header"));
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().expect("a header"));
        }
        house.send(request).await
    };
    assert_eq!(asked_as("localhost:8080", None).await.body, "dev");
    assert_eq!(asked_as("127.0.0.1:8080", Some("http://localhost:5173")).await.body, "dev");
    assert_eq!(asked_as("localhost:8080", Some("https://evil.example")).await.problem(), "not_from_here");
    assert_eq!(asked_as("evil.example", None).await.problem(), "not_from_here");
    let caller = house.auth.connect(None, None, None).expect("everybody");
    assert!(house.auth.is_live(&caller));
    let mut secrets = request("GET", "/api/v1/secrets");
    secrets.headers_mut().insert("host", "localhost".parse().expect("a header"));
    assert_eq!(house.send(secrets).await.problem(), "forbidden", "the table counts all the same");
}

pub async fn every_route_of_identities_has_a_row_and_says_what_it_needs(place: Place) {
    let house = House::open(place).await;
    let mut openapi = house.auth.routes().into_openapi();
    drover_auth::document(&mut openapi);
    let document = serde_json::to_value(&openapi).expect("JSON");
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let row = routes().iter().find(|row| row.path == *path && row.method.eq_ignore_ascii_case(method));
            let row = row.unwrap_or_else(|| panic!("{method} {path} has no row"));
            let responses = &operation["responses"];
            assert!(responses["429"].is_object(), "{method} {path}");
            match row.needs {
                Needs::Public => assert_eq!(operation["security"], json!([]), "{method} {path}"),
                _ => {
                    assert_eq!(operation["security"].as_array().map(Vec::len), Some(3), "{method} {path}");
                    assert!(responses["401"].is_object() && responses["403"].is_object(), "{method} {path}");
                }
            }
            seen += 1;
        }
    }
    let rows = routes().iter().filter(|row| {
        let of = ["/auth/", "/users", "/api-keys", "/device-tokens", "/certificates", "/vault"];
        of.iter().any(|part| row.path.starts_with(&format!("/api/v1{part}")))
    });
    assert_eq!(seen, rows.count(), "every row has its route");
    assert!(document["components"]["securitySchemes"]["bearerAuth"].is_object());
    assert!(document["components"]["schemas"]["ErrorEnvelope"].is_object());
}

pub async fn while_the_database_is_away_who_is_logged_in_goes_on_and_nobody_else_gets_in(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let made = house.ask(&admin, "POST", "/api/v1/device-tokens", json!({"kind": "driver", "id": "d-1"})).await;
    let token = made.text("/data/token");
    house.registry.database().close().await;
    assert_eq!(house.get(&admin, "/api/v1/vehicles").await.status, 200);
    assert_eq!(house.get(&admin, "/api/v1/users").await.status, 200);
    assert_eq!(house.ask(&token, "POST", "/api/v1/reports", Value::Null).await.status, 200);
    assert_eq!(house.log_in("admin@localhost", "not the password").await.status, 401);
    let away = house.log_in("admin@localhost", crate::house::PASSWORD).await;
    assert_eq!((away.status.as_u16(), away.problem()), (503, "registry_away"));
    assert_eq!(away.header("retry-after"), "5");
    assert_eq!(
        house.ask(&admin, "POST", "/api/v1/auth/logout", Value::Null).await.status,
        503,
        "not done, and says so"
    );
    assert_eq!(house.get(&admin, "/api/v1/vehicles").await.status, 200);
}
