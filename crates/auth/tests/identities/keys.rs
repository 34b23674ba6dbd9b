//! API keys, device tokens, certificates, and how they come by MQTT.

use crate::house::{House, Place, request};
use axum::extract::ConnectInfo;
use drover_access::Reach;
use drover_auth::Refused;
use drover_certs::Peer;
use drover_model::Kind;
use serde_json::{Value, json};

pub async fn a_key_may_do_what_its_scopes_say_until_it_is_removed(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let new = json!({"name": "ERP", "scopes": ["fleet.read"], "fleets": ["north"], "expires_in_days": 30});
    let made = house.ask(&admin, "POST", "/api/v1/api-keys", new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let (id, secret) = (made.text("/data/key/id"), made.text("/data/secret"));
    assert!(secret.starts_with(&format!("dk_{id}_")));
    let read = house.get(&secret, "/api/v1/vehicles").await;
    assert_eq!((read.status.as_u16(), read.body.as_str()), (200, Some(format!("key/{id}").as_str())));
    let mut by_header = request("GET", "/api/v1/vehicles");
    by_header.headers_mut().insert("x-api-key", secret.parse().expect("a header"));
    assert_eq!(house.send(by_header).await.status, 200);
    let write = house.ask(&secret, "POST", "/api/v1/vehicles", Value::Null).await;
    assert_eq!((write.status.as_u16(), write.problem()), (403, "forbidden"));
    let mut wrong = secret.clone();
    wrong.replace_range(secret.len() - 4.., "AAAA");
    assert_eq!(house.get(&wrong, "/api/v1/vehicles").await.status, 401);
    let shown = house.get(&admin, &format!("/api/v1/api-keys/{id}")).await;
    assert!(shown.body["data"]["last_used_at"].is_string());
    assert!(!shown.body.to_string().contains(&secret[20..]), "a secret is shown once");
    let mut ended = house.auth.ended();
    assert_eq!(house.ask(&admin, "DELETE", &format!("/api/v1/api-keys/{id}"), Value::Null).await.status, 204);
    assert_eq!(ended.try_recv().expect("told").subject, format!("key/{id}"));
    assert_eq!(house.get(&secret, "/api/v1/vehicles").await.status, 401);
}

pub async fn a_rotated_key_has_a_new_secret_and_the_old_one_has_its_grace(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let new = json!({"name": "ERP", "scopes": ["fleet.read"], "all_fleets": true});
    let made = house.ask(&admin, "POST", "/api/v1/api-keys", new).await;
    let (path, first) = (format!("/api/v1/api-keys/{}/rotate", made.text("/data/key/id")), made.text("/data/secret"));
    let second = house.ask(&admin, "POST", &path, json!({"grace_s": 60})).await.text("/data/secret");
    assert_eq!(house.get(&first, "/api/v1/vehicles").await.status, 200, "its grace");
    assert_eq!(house.get(&second, "/api/v1/vehicles").await.status, 200);
    let third = house.ask(&admin, "POST", &path, json!({"grace_s": 0})).await.text("/data/secret");
    assert_eq!(house.get(&first, "/api/v1/vehicles").await.status, 401);
    assert_eq!(house.get(&second, "/api/v1/vehicles").await.status, 401);
    assert_eq!(house.get(&third, "/api/v1/vehicles").await.status, 200);
}

pub async fn a_key_that_has_expired_opens_nothing(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let new = json!({"name": "ERP", "scopes": ["fleet.read"], "all_fleets": true, "expires_in_days": 1});
    let made = house.ask(&admin, "POST", "/api/v1/api-keys", new).await;
    let mut on = house.registry.database().read().await.expect("a connection");
    let sql = "UPDATE api_keys SET expires_ms = created_ms";
    sqlx::query(sql).execute(&mut *on).await.expect("expired");
    drop(on);
    assert_eq!(house.another_node().await.get(&made.text("/data/secret"), "/api/v1/vehicles").await.status, 401);
    for days in [0, 3651] {
        let new = json!({"name": "ERP", "scopes": ["fleet.read"], "all_fleets": true, "expires_in_days": days});
        assert_eq!(house.ask(&admin, "POST", "/api/v1/api-keys", new).await.status, 422);
    }
}

pub async fn nobody_gives_a_key_more_than_he_has(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let (_, manager) =
        house.user(&admin, json!({"email": "mia@example.com", "role": "fleet_manager", "fleets": ["north"]})).await;
    let make = async |who: &str, body: Value| house.ask(who, "POST", "/api/v1/api-keys", body).await;
    for body in [
        json!({"name": "k", "scopes": ["node.read"], "fleets": ["north"]}),
        json!({"name": "k", "scopes": ["fleet.read"], "fleets": ["south"]}),
        json!({"name": "k", "scopes": ["fleet.read"], "all_fleets": true}),
        json!({"name": "k", "scopes": ["fleet.read"]}),
    ] {
        let refused = make(&manager, body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (403, "escalation"), "{body}");
    }
    assert_eq!(make(&manager, json!({"name": "k", "scopes": ["no.such"], "fleets": ["north"]})).await.status, 422);
    let strong = json!({"name": "strong", "scopes": ["keys.manage", "fleet.read", "node.read"], "fleets": ["north"]});
    let strong = make(&admin, strong).await.text("/data/key/id");
    let rotate = format!("/api/v1/api-keys/{strong}/rotate");
    assert_eq!(house.ask(&manager, "POST", &rotate, json!({})).await.status, 403, "he would see its secret");
    let key = make(&manager, json!({"name": "k", "scopes": ["keys.manage"], "fleets": ["north"]})).await;
    let more = json!({"name": "k2", "scopes": ["fleet.write"], "fleets": ["north"]});
    assert_eq!(make(&key.text("/data/secret"), more).await.status, 403, "a key gives no more than it has");
}

pub async fn a_device_token_is_good_for_its_own_asset_by_http_and_mqtt(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let made = house.ask(&admin, "POST", "/api/v1/device-tokens", json!({"kind": "driver", "id": "d-1"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let (id, token) = (made.text("/data/device_token/id"), made.text("/data/token"));
    let sent = house.ask(&token, "POST", "/api/v1/reports", Value::Null).await;
    assert_eq!((sent.status.as_u16(), sent.body.as_str()), (200, Some("device/driver/d-1")));
    assert_eq!(house.get(&token, "/api/v1/vehicles").await.status, 403);

    let caller = house.auth.connect(Some("driver/d-1"), Some(token.as_bytes()), None).expect("good");
    assert!(caller.may_report(&house.directory, Kind::Driver, "d-1"));
    assert!(!caller.may_report(&house.directory, Kind::Driver, "d-2"));
    assert_eq!(house.auth.connect(Some("driver/d-2"), Some(token.as_bytes()), None), Err(Refused::Bad));
    assert_eq!(house.auth.connect(Some("d-1"), Some(b"dt_x_y"), None), Err(Refused::Bad));
    assert_eq!(house.auth.connect(None, None, None), Err(Refused::None));

    assert!(house.auth.is_live(&caller));
    let mut ended = house.auth.ended();
    assert_eq!(house.ask(&admin, "DELETE", &format!("/api/v1/device-tokens/{id}"), Value::Null).await.status, 204);
    assert_eq!(ended.try_recv().expect("told").subject, "device/driver/d-1");
    assert!(!house.auth.is_live(&caller));
    assert_eq!(house.ask(&token, "POST", "/api/v1/reports", Value::Null).await.status, 401);
}

pub async fn a_managers_devices_are_those_of_his_fleets(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    house.directory.place(Kind::Vehicle, "v-north", Some("north"));
    house.directory.place(Kind::Vehicle, "v-south", Some("south"));
    let (_, manager) =
        house.user(&admin, json!({"email": "mia@example.com", "role": "fleet_manager", "fleets": ["north"]})).await;
    let make = async |who: &str, id: &str| {
        house.ask(who, "POST", "/api/v1/device-tokens", json!({"kind": "vehicle", "id": id})).await
    };
    assert_eq!(make(&manager, "v-north").await.status, 201);
    assert_eq!(make(&manager, "v-south").await.status, 404);
    let foreign = make(&admin, "v-south").await.text("/data/device_token/id");
    let listed = house.get(&manager, "/api/v1/device-tokens").await;
    assert_eq!(listed.body["meta"]["pagination"]["total"], 1);
    let path = format!("/api/v1/device-tokens/{foreign}");
    assert_eq!(house.ask(&manager, "DELETE", &path, Value::Null).await.status, 404);
    let certificate = json!({"kind": "vehicle", "id": "v-south"});
    assert_eq!(house.ask(&manager, "POST", "/api/v1/certificates", certificate).await.status, 404);
}

pub async fn a_certificate_opens_until_it_is_revoked(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let new = json!({"kind": "driver", "id": "d-1", "days": 30});
    let issued = house.ask(&admin, "POST", "/api/v1/certificates", new).await;
    assert_eq!(issued.status, 201, "{issued:?}");
    assert!(issued.text("/data/key").contains("PRIVATE KEY"));
    let der = der_of(&issued.text("/data/certificate"));
    let by_certificate = || {
        let mut request = request("POST", "/api/v1/reports");
        let address = "192.0.2.8:1".parse().expect("an address");
        let peer = Peer { address, certificate: Some(der.clone().into()), is_secured: true };
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    };
    let sent = house.send(by_certificate()).await;
    assert_eq!((sent.status.as_u16(), sent.body.as_str()), (200, Some("device/driver/d-1")));
    let caller = house.auth.connect(None, None, Some(&der)).expect("good");
    assert!(house.auth.is_live(&caller));
    let mut ended = house.auth.ended();
    let serial = issued.text("/data/serial");
    let path = format!("/api/v1/certificates/{serial}?reason=key_compromise");
    assert_eq!(house.ask(&admin, "DELETE", &path, Value::Null).await.status, 204);
    assert!(!house.auth.is_live(&caller));
    assert_eq!(house.send(by_certificate()).await.status, 401);
    assert_eq!(house.auth.connect(None, None, Some(&der)), Err(Refused::Bad));
    let told =
        tokio::time::timeout(std::time::Duration::from_secs(1), ended.recv()).await.expect("soon").expect("told");
    assert_eq!((told.subject.as_str(), told.session), ("device/driver/d-1", caller.session.clone()));
    let listed = house.get(&admin, "/api/v1/certificates?kind=driver&id=d-1").await;
    assert_eq!(listed.text("/data/0/reason"), "key_compromise");
    assert_eq!(house.audited("certificates.revoke", 1).await[0].subject, format!("certificates/{serial}"));
}

fn der_of(pem: &str) -> Vec<u8> {
    use base64::Engine;
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(text).expect("PEM")
}

pub async fn a_key_for_users_makes_and_resets_nobody_who_may_more(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let (driver, _) = house
        .user(&admin, json!({"email": "d@example.com", "role": "driver", "fleets": ["north"], "driver_id": "d"}))
        .await;
    let new = json!({"name": "HR", "scopes": ["users.read", "users.write"], "all_fleets": true});
    let key = house.ask(&admin, "POST", "/api/v1/api-keys", new).await.text("/data/secret");
    let another = json!({"email": "e@example.com", "role": "driver", "fleets": ["north"], "driver_id": "d"});
    assert_eq!(house.ask(&key, "POST", "/api/v1/users", another).await.problem(), "escalation");
    let reset = format!("/api/v1/users/{driver}/password");
    assert_eq!(house.ask(&key, "POST", &reset, Value::Null).await.problem(), "escalation");
    assert_eq!(house.get(&key, "/api/v1/users").await.status, 200);
}

pub async fn a_removed_asset_leaves_no_token_and_no_certificate_behind(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    house.directory.place(Kind::Vehicle, "v", Some("south"));
    let device = json!({"kind": "vehicle", "id": "v"});
    let token = house.ask(&admin, "POST", "/api/v1/device-tokens", device.clone()).await.text("/data/token");
    let issued = house.ask(&admin, "POST", "/api/v1/certificates", device.clone()).await;
    assert_eq!(issued.status, 201, "{issued:?}");
    let other = house.ask(&admin, "POST", "/api/v1/device-tokens", json!({"kind": "driver", "id": "v"})).await;
    let mut ended = house.auth.ended();
    let until = drover_answer::now_ms();
    house.auth.forget_device(Kind::Vehicle, "v", until).await.expect("forgotten");
    assert_eq!(ended.try_recv().expect("told").subject, "device/vehicle/v");
    assert_eq!(house.get(&token, "/api/v1/live").await.status, 401);
    assert_eq!(house.get(&other.text("/data/token"), "/api/v1/live").await.status, 200, "another kind's");
    let certificates = house.authority.list();
    assert!(certificates.iter().all(|listed| listed.revoked.is_some()) && !certificates.is_empty());
    // What the next owner of the name makes stays, however often the removal is worked off.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let next = house.ask(&admin, "POST", "/api/v1/device-tokens", device).await.text("/data/token");
    house.auth.forget_device(Kind::Vehicle, "v", until).await.expect("forgotten");
    assert_eq!(house.get(&next, "/api/v1/live").await.status, 200);
}

pub async fn a_key_has_never_more_than_its_maker_has_by_now(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let manager = json!({"email": "mia@example.com", "role": "fleet_manager", "fleets": ["north", "west"]});
    let (mia, manager) = house.user(&admin, manager).await;
    let make = async |who: &str, scopes: Value, fleets: Value| {
        let new = json!({"name": "k", "scopes": scopes, "fleets": fleets});
        let made = house.ask(who, "POST", "/api/v1/api-keys", new).await;
        assert_eq!(made.status, 201, "{made:?}");
        (made.text("/data/key/id"), made.text("/data/secret"))
    };
    let (id, key) = make(&manager, json!(["fleet.read", "keys.manage"]), json!(["north", "west"])).await;
    // By the key itself, for the part that the manager is going to lose, and for the one that she keeps.
    let (_, of_west) = make(&key, json!(["fleet.read"]), json!(["west"])).await;
    let (_, of_north) = make(&key, json!(["fleet.read", "keys.manage"]), json!(["north"])).await;
    let (_, admins) = make(&admin, json!(["fleet.read"]), json!(["west"])).await;
    let change = async |body: Value| {
        assert_eq!(house.ask(&admin, "PATCH", &format!("/api/v1/users/{mia}"), body).await.status, 200);
    };
    let open = async |secret: &str| house.get(secret, "/api/v1/vehicles").await.status.as_u16();
    let shown = async || {
        let shown = house.get(&admin, &format!("/api/v1/api-keys/{id}")).await;
        (shown.body["data"]["scopes"].clone(), shown.body["data"]["fleets"].clone())
    };
    let caller_of = |secret: &str| house.auth.connect(None, Some(secret.as_bytes()), None);
    let before = caller_of(&key).expect("good");
    assert_eq!(shown().await, (json!(["fleet.read", "keys.manage"]), json!(["north", "west"])));

    let mut ended = house.auth.ended();
    change(json!({"fleets": ["north"]})).await;
    let told = std::iter::from_fn(|| ended.try_recv().ok()).any(|ended| ended.subject == format!("key/{id}"));
    assert!(told && !house.auth.is_live(&before), "connections that it opened end");
    assert_eq!(caller_of(&key).expect("good").reach, Reach::Fleets(["north".into()].into()));
    assert_eq!(shown().await.1, json!(["north"]));
    assert_eq!([open(&of_west).await, open(&of_north).await, open(&admins).await], [401, 200, 200]);

    change(json!({"role": "dispatcher"})).await;
    assert_eq!(house.get(&key, "/api/v1/api-keys").await.status, 403, "she manages no keys any more");
    assert_eq!(house.get(&of_north, "/api/v1/api-keys").await.status, 403);
    assert_eq!([open(&key).await, open(&of_north).await], [200, 200]);
    change(json!({"role": "station_operator"})).await;
    assert_eq!(open(&key).await, 401, "a key is about assets of every kind");
    change(json!({"role": "fleet_manager", "disabled": true})).await;
    assert_eq!([open(&key).await, open(&of_north).await], [401, 401]);
    assert_eq!(house.another_node().await.get(&key, "/api/v1/vehicles").await.status, 401, "so does every node");
    change(json!({"disabled": false})).await;
    assert_eq!([open(&key).await, open(&of_north).await], [200, 200], "while she is disabled");

    let path = format!("/api/v1/api-keys/{id}");
    assert_eq!(house.ask(&admin, "DELETE", &format!("/api/v1/users/{mia}"), Value::Null).await.status, 204);
    assert_eq!([open(&key).await, open(&of_north).await, open(&admins).await], [401, 401, 200]);
    assert_eq!(shown().await, (json!([]), json!([])), "it is there until somebody removes it");
    assert_eq!(house.ask(&admin, "DELETE", &path, Value::Null).await.status, 204);
}
