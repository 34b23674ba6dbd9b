//! Users: who may make and change whom.

use crate::house::{House, PASSWORD, Place};
use drover_auth::PersonKind;
use drover_model::Kind;
use serde_json::{Value, json};

pub async fn the_last_system_admin_stays(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let me = house.get(&admin, "/api/v1/auth/me").await.text("/user/id");
    let path = format!("/api/v1/users/{me}");
    for (method, body) in [
        ("DELETE", Value::Null),
        ("PATCH", json!({"disabled": true})),
        ("PATCH", json!({"role": "dispatcher", "fleets": ["north"], "all_fleets": false})),
    ] {
        let refused = house.ask(&admin, method, &path, body).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (409, "last_admin"), "{refused:?}");
    }
    house.user(&admin, json!({"email": "second@example.com", "role": "system_admin"})).await;
    assert_eq!(house.ask(&admin, "DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(house.get(&admin, "/api/v1/auth/me").await.status, 401, "who is removed is logged out");
}

pub async fn nobody_gives_a_role_or_fleets_that_he_does_not_have(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let manager = json!({"email": "mia@example.com", "role": "fleet_manager", "fleets": ["north", "west"]});
    let (mia, manager) = house.user(&admin, manager).await;
    let foreign = json!({"email": "sam@example.com", "role": "dispatcher", "fleets": ["south"]});
    let (sam, _) = house.user(&admin, foreign).await;
    let (auditor, _) =
        house.user(&admin, json!({"email": "ann@example.com", "role": "auditor", "fleets": ["north"]})).await;
    house.directory.place(Kind::Driver, "d-north", Some("north"));
    house.directory.place(Kind::Driver, "d-south", Some("south"));

    let make = async |body: Value| {
        let mut new = json!({"email": "new@example.com"});
        new.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
        house.ask(&manager, "POST", "/api/v1/users", new).await
    };
    for body in [
        json!({"role": "system_admin"}),
        json!({"role": "auditor", "fleets": ["north"]}),
        json!({"role": "dispatcher", "fleets": ["south"]}),
        json!({"role": "dispatcher", "fleets": ["north", "south"]}),
        json!({"role": "dispatcher", "fleets": []}),
        json!({"role": "dispatcher", "all_fleets": true}),
        json!({"role": "driver", "fleets": ["north"], "driver_id": "d-south"}),
        json!({"role": "customer", "fleets": ["north"], "customer_id": "c-unknown"}),
    ] {
        let refused = make(body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (403, "escalation"), "{body}");
    }
    let made = make(json!({"role": "driver", "fleets": ["north"], "driver_id": "d-north"})).await;
    assert_eq!(made.status, 201, "{made:?}");

    let change = async |id: &str, body: Value| house.ask(&manager, "PATCH", &format!("/api/v1/users/{id}"), body).await;
    assert_eq!(change(&mia, json!({"role": "system_admin"})).await.status, 403);
    assert_eq!(change(&mia, json!({"fleets": ["north", "south"]})).await.status, 403);
    assert_eq!(change(&sam, json!({"name": "mine"})).await.status, 404, "a foreign fleet's user is not there");
    assert_eq!(change(&auditor, json!({"name": "mine"})).await.status, 403, "seen, but more than she is");
    let reset = format!("/api/v1/users/{auditor}/password");
    assert_eq!(house.ask(&manager, "POST", &reset, Value::Null).await.status, 403);
    let listed = house.get(&manager, "/api/v1/users").await;
    let emails: Vec<&str> =
        listed.body["data"].as_array().expect("a list").iter().filter_map(|user| user["email"].as_str()).collect();
    assert_eq!(emails, ["ann@example.com", "mia@example.com", "new@example.com"]);
    assert_eq!(listed.body["meta"]["pagination"]["total"], 3);
}

pub async fn a_reset_password_ends_sessions_and_must_be_changed(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let body = json!({"email": "bob@example.com", "role": "dispatcher", "fleets": ["north"]});
    let (id, token) = house.user(&admin, body).await;
    let reset = house.ask(&admin, "POST", &format!("/api/v1/users/{id}/password"), Value::Null).await;
    assert_eq!(house.get(&token, "/api/v1/vehicles").await.status, 401);
    assert_eq!(house.log_in("bob@example.com", PASSWORD).await.problem(), "wrong_credentials");
    let token = house.log_in("bob@example.com", &reset.text("/data/one_time_password")).await.text("/access_token");
    assert_eq!(house.get(&token, "/api/v1/vehicles").await.problem(), "password_change_required");
}

pub async fn two_users_cannot_have_one_address_and_an_old_version_changes_nothing(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let body = json!({"email": "bob@example.com", "role": "dispatcher", "fleets": ["north"]});
    let (id, _) = house.user(&admin, body.clone()).await;
    let again = json!({"email": "BOB@example.com", "role": "dispatcher", "fleets": ["north"]});
    assert_eq!(house.ask(&admin, "POST", "/api/v1/users", again).await.problem(), "email_taken");
    let unknown = json!({"email": "x@example.com", "role": "dispatcher", "password": "chosen by me"});
    let refused = house.ask(&admin, "POST", "/api/v1/users", unknown).await;
    assert_eq!((refused.status.as_u16(), refused.body["error"]["details"]["field"].as_str()), (422, Some("password")));
    let path = format!("/api/v1/users/{id}");
    let etag = house.get(&admin, &path).await.header("etag").to_owned();
    let patch = async |etag: &str, name: &str| {
        let mut request = crate::house::request("PATCH", &path);
        request.headers_mut().insert("authorization", format!("Bearer {admin}").parse().expect("a header"));
        request.headers_mut().insert("if-match", etag.parse().expect("a header"));
        house.send(crate::house::with_body(request, json!({"name": name}))).await
    };
    assert_eq!(patch(&etag, "Bob").await.status, 200);
    assert_eq!(patch(&etag, "Robert").await.status, 412);
    assert_eq!(house.get(&admin, &path).await.text("/data/name"), "Bob");
}

pub async fn changes_go_to_the_outbox_without_secrets_and_personal_data(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let body = json!({"email": "bob@example.com", "name": "Bob Builder", "role": "dispatcher", "fleets": ["north"]});
    let (id, _) = house.user(&admin, body).await;
    assert_eq!(house.ask(&admin, "DELETE", &format!("/api/v1/users/{id}"), Value::Null).await.status, 204);
    let changes = house.registry.changes_since(0, 100).await.expect("the outbox");
    let his: Vec<_> = changes.iter().filter(|change| change.id == id).collect();
    let ops: Vec<(&str, i64)> = his.iter().map(|change| (change.op.as_str(), change.version)).collect();
    assert_eq!(ops, [("create", 1), ("update", 2), ("remove", 3)]);
    assert!(his.iter().all(|change| change.resource == "users" && change.fleet_id.as_deref() == Some("north")));
    assert_eq!(his[0].after.as_ref().expect("a record")["role"], "dispatcher");
    let text = format!("{changes:?}");
    for secret in ["bob@example.com", "Bob Builder", "argon2", "admin@localhost"] {
        assert!(!text.contains(secret), "{secret} is in the outbox");
    }
}

pub async fn who_is_erased_cannot_come_back_with_a_backup(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    house.directory.place(Kind::Driver, "d-1", Some("north"));
    let body = json!({"email": "dan@example.com", "role": "driver", "driver_id": "d-1", "fleets": ["north"]});
    let (id, token) = house.user(&admin, body).await;
    let mut on = house.registry.database().read().await.expect("a connection");
    // The backup: the row as it was.
    for sql in ["CREATE TABLE backup AS SELECT * FROM users"] {
        sqlx::query(sql).execute(&mut *on).await.expect("a copy");
    }
    drop(on);
    assert_eq!(house.auth.forget_person("user/u-admin", PersonKind::Driver, "d-1").await.expect("erased"), 1);
    assert_eq!(house.get(&token, "/api/v1/auth/me").await.status, 401);
    let mut on = house.registry.database().read().await.expect("a connection");
    sqlx::query("INSERT INTO users SELECT * FROM backup WHERE role = 'driver'")
        .execute(&mut *on)
        .await
        .expect("restored");
    drop(on);
    let restored = house.another_node().await;
    let user = restored.get(&admin, &format!("/api/v1/users/{id}")).await;
    assert_eq!((user.text("/data/email"), &user.body["data"]["disabled"]), (String::new(), &json!(true)));
    assert_eq!(restored.log_in("dan@example.com", PASSWORD).await.problem(), "wrong_credentials");
}

pub async fn a_customer_who_moved_to_another_fleet_is_beyond_his_former_manager(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let manager = json!({"email": "mia@example.com", "role": "fleet_manager", "fleets": ["north"]});
    let (_, manager) = house.user(&admin, manager).await;
    house.row("INSERT INTO customers (id, version, created_at, updated_at, name, fleet_id) VALUES ('c', 1, 0, 0, '', 'north')").await;
    let new = json!({"email": "cleo@example.com", "role": "customer", "fleets": ["north"], "customer_id": "c"});
    let (cleo, _) = house.user(&manager, new).await;
    let (path, reset) = (format!("/api/v1/users/{cleo}"), format!("/api/v1/users/{cleo}/password"));
    assert_eq!(house.ask(&manager, "POST", &reset, Value::Null).await.status, 200);
    house.row("UPDATE customers SET fleet_id = 'south' WHERE id = 'c'").await;
    for (method, path, body) in [
        ("POST", reset.clone(), Value::Null),
        ("PATCH", path.clone(), json!({"name": "mine"})),
        ("DELETE", format!("{path}/totp"), Value::Null),
        ("DELETE", path.clone(), Value::Null),
    ] {
        assert_eq!(house.ask(&manager, method, &path, body).await.status, 403, "{method} {path}");
    }
    assert_eq!(house.ask(&admin, "POST", &reset, Value::Null).await.status, 200);
}

pub async fn a_fleet_that_is_gone_comes_back_for_nobody(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let unknown = json!({"email": "x@example.com", "role": "dispatcher", "fleets": ["nrth"]});
    let refused = house.ask(&admin, "POST", "/api/v1/users", unknown).await;
    assert_eq!(refused.body["error"]["details"]["field"], "fleets", "{refused:?}");
    let (id, token) = house
        .user(&admin, json!({"email": "dan@example.com", "role": "dispatcher", "fleets": ["north", "west"]}))
        .await;
    let key = async |fleets: Value| {
        let new = json!({"name": "ERP", "scopes": ["fleet.read"], "fleets": fleets});
        let made = house.ask(&admin, "POST", "/api/v1/api-keys", new).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.text("/data/secret")
    };
    let (of_both, of_west) = (key(json!(["north", "west"])).await, key(json!(["west"])).await);
    house.auth.forget_fleet("west").await.expect("forgotten");
    assert_eq!(house.get(&token, "/api/v1/vehicles").await.status, 401, "what he reaches has changed");
    assert_eq!(house.get(&admin, &format!("/api/v1/users/{id}")).await.body["data"]["fleets"], json!(["north"]));
    assert_eq!(house.get(&of_both, "/api/v1/vehicles").await.status, 200);
    assert_eq!(house.get(&of_west, "/api/v1/vehicles").await.status, 401, "it was for that fleet only");
    let keys = house.get(&admin, "/api/v1/api-keys").await;
    assert_eq!(
        (keys.body["data"].as_array().map(Vec::len), &keys.body["data"][0]["fleets"]),
        (Some(1), &json!(["north"]))
    );
}
