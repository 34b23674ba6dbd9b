//! The node's own keys: who may change them, and that nothing stops when they do.

use crate::house::{Answer, House, PASSWORD, Place};
use drover_registry::resources::{DRIVERS, FLEETS};
use drover_vault::Vault;
use serde_json::{Value, json};
use sqlx::Row;
use std::time::Duration;

async fn rotate(house: &House, secret: &str, key: &str) -> Answer {
    house.ask(secret, "POST", "/api/v1/vault/rotate", json!({"key": key})).await
}

/// The sealed texts of users and drivers.
async fn sealed(house: &House) -> Vec<String> {
    let sql = "SELECT email FROM users UNION ALL SELECT name FROM users UNION ALL SELECT totp_secret FROM users \
               UNION ALL SELECT name FROM drivers";
    let rows = sqlx::query(sql).fetch_all(house.registry.database().pool()).await.expect("rows");
    rows.iter().map(|row| row.get::<String, _>(0)).filter(|text| !text.is_empty()).collect()
}

/// Everything of users but the sealed columns, and how many changes other nodes are told of.
async fn others(house: &House) -> Vec<(String, String, i64, i64, i64)> {
    let sql = "SELECT id, email_blind, version, updated_ms, (SELECT count(*) FROM auth_changes) FROM users ORDER BY id";
    let rows = sqlx::query(sql).fetch_all(house.registry.database().pool()).await.expect("rows");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect()
}

/// Waits until everything is sealed by the newest data key; says what the node says then.
async fn resealed(house: &House, admin: &str) -> Value {
    for _ in 0..500 {
        let shown = house.get(admin, "/api/v1/vault").await;
        assert_eq!(shown.status, 200, "{shown:?}");
        let data = shown.body["data"]["data"].as_array().expect("data keys").clone();
        let (last, older) = data.split_last().expect("a key");
        let rests = |key: &Value| key["texts"] == 0;
        if last["texts"].as_u64() > Some(0)
            && older.iter().all(rests)
            && shown.body["data"]["resealing"]["running"] == false
        {
            return shown.body["data"].clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it is not sealed anew: {:?}", house.get(admin, "/api/v1/vault").await);
}

pub async fn a_new_data_key_seals_everything_anew_and_the_old_one_can_be_retired(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let (_, ada) = house.user(&admin, json!({"email": "ada@example.com", "name": "Ada", "role": "auditor"})).await;
    let dev = drover_access::Caller::dev();
    let object = |value: Value| value.as_object().expect("an object").clone();
    house.registry.create(&dev, &FLEETS, object(json!({"id": "f", "name": "F"}))).await.expect("a fleet");
    let driver = object(json!({"id": "d-1", "name": "Dana", "fleet_id": "f"}));
    house.registry.create(&dev, &DRIVERS, driver).await.expect("a driver");
    let (before, count) = (others(&house).await, sealed(&house).await.len());
    assert!(count >= 4, "{count}");

    let rotated = rotate(&house, &admin, "data").await;
    assert_eq!((rotated.status.as_u16(), &rotated.body["data"]["data"][1]["number"]), (200, &json!(2)), "{rotated:?}");
    let shown = resealed(&house, &admin).await;
    assert_eq!(shown["data"][1]["texts"], count, "{shown}");
    assert_eq!((&shown["resealing"]["unreadable"], &shown["resealing"]["error"]), (&json!(0), &Value::Null));
    let texts = sealed(&house).await;
    assert!(texts.iter().all(|text| Vault::key_of(text) == Some(2)), "{texts:?}");
    assert_eq!(others(&house).await, before, "no version, no time, no index, no change to be followed");

    let retired = house.ask(&admin, "POST", "/api/v1/vault/retire", Value::Null).await;
    assert_eq!((retired.status.as_u16(), &retired.body["data"]), (200, &json!({"retired": [1], "in_use": [2]})));
    let again = house.ask(&admin, "POST", "/api/v1/vault/retire", Value::Null).await;
    assert_eq!(again.body["data"], json!({"retired": [], "in_use": [2]}));
    assert_eq!(house.get(&ada, "/api/v1/auth/me").await.text("/user/email"), "ada@example.com");
    let another = house.another_node().await;
    assert_eq!(another.log_in("ada@example.com", PASSWORD).await.status, 200);
    let driver = another.registry.get(&dev, &DRIVERS, "d-1").await.expect("read");
    assert_eq!(driver.fields["name"], "Dana");

    let entry = house.audited("vault.rotate", 1).await.remove(0);
    let text = serde_json::to_string(&entry).expect("an entry");
    assert!(text.contains("vault/data") && text.contains("192.0.2.7"), "who, what and from where: {text}");
    house.audited("vault.retire", 2).await;
}

pub async fn a_data_key_that_seals_something_stays(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    // A text that no key opens: it names the first one, which may not go before somebody has looked at it.
    let foreign = "v1.1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    rotate(&house, &admin, "data").await;
    resealed(&house, &admin).await;
    let put = sqlx::query("UPDATE users SET name = $1").bind(foreign).execute(house.registry.database().pool()).await;
    put.expect("put there");
    let retired = house.ask(&admin, "POST", "/api/v1/vault/retire", Value::Null).await;
    assert_eq!((retired.status.as_u16(), &retired.body["data"]), (200, &json!({"retired": [], "in_use": [1, 2]})));
    let shown = house.get(&admin, "/api/v1/vault").await;
    assert_eq!(
        (&shown.body["data"]["resealing"]["unreadable"], &shown.body["data"]["data"][0]["texts"]),
        (&json!(1), &json!(1))
    );
}

pub async fn new_signing_and_root_keys_stop_nobody(place: Place) {
    let house = House::open(place).await;
    let old = house.admin().await;
    let first = house.get(&old, "/api/v1/vault").await;
    assert_eq!(
        (&first.body["data"]["root"]["file"], &first.body["data"]["tokens"]["older"]),
        (&Value::Null, &json!(0))
    );
    let rotated = rotate(&house, &old, "tokens").await;
    assert_eq!((rotated.status.as_u16(), &rotated.body["data"]["tokens"]["older"]), (200, &json!(1)), "{rotated:?}");
    assert_ne!(rotated.text("/data/tokens/id"), first.text("/data/tokens/id"));
    assert_eq!(house.get(&old, "/api/v1/auth/me").await.status, 200, "the old token is good until it ends");
    let new = house.log_in("admin@localhost", PASSWORD).await.text("/access_token");
    assert_ne!(new.split('.').next(), old.split('.').next());

    let rotated = rotate(&house, &new, "root").await;
    assert_eq!(
        (rotated.status.as_u16(), &rotated.body["data"]["root"]["pending"]),
        (200, &json!(false)),
        "{rotated:?}"
    );
    assert_eq!(house.log_in("admin@localhost", PASSWORD).await.status, 200);
    assert!(!rotated.body.to_string().contains("secret"), "{rotated:?}");
    for wrong in [json!({"key": "all"}), json!({}), json!({"key": "data", "more": 1})] {
        assert_eq!(house.ask(&new, "POST", "/api/v1/vault/rotate", wrong).await.status, 422);
    }
}

pub async fn only_system_administrators_reach_the_nodes_own_keys(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    for role in ["fleet_manager", "auditor", "dispatcher"] {
        let user = json!({"email": format!("{role}@example.com"), "role": role, "all_fleets": true});
        let (_, token) = house.user(&admin, user).await;
        assert_eq!(house.get(&token, "/api/v1/vault").await.status, 403, "{role}");
        assert_eq!(rotate(&house, &token, "data").await.status, 403, "{role}");
        assert_eq!(house.ask(&token, "POST", "/api/v1/vault/retire", Value::Null).await.status, 403, "{role}");
    }
    assert_eq!(rotate(&house, "", "data").await.status, 401);
    assert_eq!(house.get(&admin, "/api/v1/vault").await.body["data"]["data"].as_array().expect("keys").len(), 1);
}
