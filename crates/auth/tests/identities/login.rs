//! Logging in: passwords, failures, the second factor, sessions and their cookie.

use crate::house::{House, PASSWORD, Place, request, totp, with_body};
use axum::extract::ConnectInfo;
use drover_certs::Peer;
use serde_json::{Value, json};

pub async fn the_first_administrator_may_only_change_his_password_at_first(place: Place) {
    let house = House::open(place).await;
    let first = house.first.clone().expect("made at the first start");
    assert_eq!(first.email, "admin@localhost");
    let token = house.log_in(&first.email, &first.password).await.text("/access_token");
    let refused = house.get(&token, "/api/v1/users").await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (403, "password_change_required"));
    let me = house.get(&token, "/api/v1/auth/me").await;
    assert_eq!((me.status.as_u16(), &me.body["must_change_password"]), (200, &json!(true)));
    let same = json!({"current_password": first.password, "new_password": first.password});
    assert_eq!(house.ask(&token, "POST", "/api/v1/auth/password", same).await.status, 422);
    let change = json!({"current_password": first.password, "new_password": PASSWORD});
    assert_eq!(house.ask(&token, "POST", "/api/v1/auth/password", change).await.status, 204);
    assert_eq!(house.get(&token, "/api/v1/users").await.status, 200);
    assert_eq!(house.log_in(&first.email, &first.password).await.problem(), "wrong_credentials");
    assert!(house.another_node().await.first.is_none(), "there is one first start");
}

pub async fn a_wrong_password_and_an_unknown_address_are_answered_alike_and_audited(place: Place) {
    let house = House::open(place).await;
    house.admin().await;
    let wrong = house.log_in("admin@localhost", "not the password").await;
    let unknown = house.log_in("nobody@example.com", PASSWORD).await;
    assert_eq!((wrong.status.as_u16(), wrong.problem()), (401, "wrong_credentials"));
    assert_eq!((unknown.status, &unknown.body["error"]), (wrong.status, &wrong.body["error"]));
    assert_eq!(
        house.log_in(" ADMIN@localhost ", PASSWORD).await.status,
        200,
        "how an address is written does not matter"
    );
    let entries = house.audited("login", 4).await;
    assert!(entries.iter().any(|entry| entry.outcome == "refused" && entry.address.as_deref() == Some("192.0.2.7")));
    assert!(entries.iter().any(|entry| entry.outcome == "ok" && entry.actor.starts_with("user/u-")));
}

pub async fn after_five_failures_even_the_right_password_has_to_wait(place: Place) {
    let house = House::open(place).await;
    house.admin().await;
    for _ in 0..5 {
        assert_eq!(house.log_in("admin@localhost", "not the password").await.status, 401);
    }
    let throttled = house.log_in("admin@localhost", PASSWORD).await;
    assert_eq!((throttled.status.as_u16(), throttled.problem()), (429, "too_many_failures"));
    let seconds: u32 = throttled.header("retry-after").parse().expect("seconds");
    assert!((1..=5).contains(&seconds), "{seconds}");
}

pub async fn the_second_factor_is_asked_for_after_a_right_password_only_and_each_code_is_good_once(place: Place) {
    let house = House::open(place).await;
    let token = house.admin().await;
    let wrong = house.ask(&token, "POST", "/api/v1/auth/totp", json!({"password": "not the password"})).await;
    assert_eq!(wrong.problem(), "wrong_credentials");
    let setup = house.ask(&token, "POST", "/api/v1/auth/totp", json!({"password": PASSWORD})).await;
    let secret = setup.text("/secret");
    assert!(setup.text("/url").starts_with("otpauth://totp/Drover:admin%40localhost?"));
    assert_eq!(house.log_in("admin@localhost", PASSWORD).await.status, 200, "it counts once it is confirmed");
    let bad = house.ask(&token, "POST", "/api/v1/auth/totp/confirm", json!({"code": "12345x"})).await;
    assert_eq!(bad.status, 422);
    let confirmed = house.ask(&token, "POST", "/api/v1/auth/totp/confirm", json!({"code": totp(&secret, -1)})).await;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    let recovery = confirmed.text("/recovery_codes/0");

    assert_eq!(house.log_in("admin@localhost", PASSWORD).await.problem(), "totp_required");
    assert_eq!(house.log_in("admin@localhost", "not the password").await.problem(), "wrong_credentials");
    let with = async |extra: Value| {
        let mut body = json!({"email": "admin@localhost", "password": PASSWORD});
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        house.ask("", "POST", "/api/v1/auth/login", body).await
    };
    assert_eq!(with(json!({"totp": "12345x"})).await.problem(), "wrong_credentials");
    let code = totp(&secret, 0);
    assert_eq!(with(json!({"totp": code})).await.status, 200);
    assert_eq!(with(json!({"totp": code})).await.problem(), "wrong_credentials", "a code is good once");
    let written = recovery.to_uppercase().replace('-', " ");
    assert_eq!(with(json!({"recovery_code": written})).await.status, 200);
    assert_eq!(with(json!({"recovery_code": recovery})).await.problem(), "wrong_credentials", "so is a recovery code");
    let me = house.get(&token, "/api/v1/auth/me").await;
    assert_eq!(me.body["user"]["recovery_codes_left"], 9);

    let off = house.ask(&token, "DELETE", "/api/v1/auth/totp", json!({"password": PASSWORD})).await;
    assert_eq!(off.status, 204, "{off:?}");
    assert_eq!(house.log_in("admin@localhost", PASSWORD).await.status, 200);
}

pub async fn a_cookie_works_for_our_own_page_only(place: Place) {
    let house = House::open(place).await;
    house.admin().await;
    let login = house.log_in("admin@localhost", PASSWORD).await;
    let set = login.header("set-cookie").to_owned();
    for part in ["drover_session=", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"] {
        assert!(set.contains(part), "{part} in {set}");
    }
    let with_cookie = |method: &str, path: &str, headers: &[(&'static str, &str)]| {
        let mut request = request(method, path);
        request.headers_mut().insert("cookie", format!("other=1; {}", login.cookie()).parse().expect("a header"));
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        request
    };
    let upgrade = [("upgrade", "websocket"), ("connection", "upgrade")];
    assert_eq!(house.send(with_cookie("GET", "/api/v1/vehicles", &[])).await.status, 200);
    let bare = house.send(with_cookie("POST", "/api/v1/vehicles", &[])).await;
    assert_eq!((bare.status.as_u16(), bare.problem()), (403, "cross_site"));
    let foreign = [("origin", "https://evil.example")];
    assert_eq!(house.send(with_cookie("POST", "/api/v1/vehicles", &foreign)).await.status, 403);
    let own = [("origin", "https://drover.example")];
    assert_eq!(house.send(with_cookie("POST", "/api/v1/vehicles", &own)).await.status, 200);
    let marked = [("x-drover-request", "1")];
    assert_eq!(house.send(with_cookie("POST", "/api/v1/vehicles", &marked)).await.status, 200);
    assert_eq!(house.send(with_cookie("GET", "/api/v1/live", &upgrade)).await.status, 403, "no Origin at all");
    let [one, two] = upgrade;
    assert_eq!(house.send(with_cookie("GET", "/api/v1/live", &[one, two, foreign[0]])).await.status, 403);
    assert_eq!(house.send(with_cookie("GET", "/api/v1/live", &[one, two, own[0]])).await.status, 200);
}

pub async fn logging_out_kills_cookie_access_token_and_refresh_token_at_once(place: Place) {
    let house = House::open(place).await;
    house.admin().await;
    let login = house.log_in("admin@localhost", PASSWORD).await;
    let (token, refresh) = (login.text("/access_token"), login.text("/refresh_token"));
    let mut ended = house.auth.ended();
    assert_eq!(house.ask(&token, "POST", "/api/v1/auth/logout", Value::Null).await.status, 204);
    let told = ended.try_recv().expect("whoever keeps connections is told");
    assert!(told.subject.starts_with("user/u-") && told.session.is_some());
    assert_eq!(house.get(&token, "/api/v1/users").await.status, 401);
    let mut with_cookie = request("GET", "/api/v1/vehicles");
    with_cookie.headers_mut().insert("cookie", login.cookie().parse().expect("a header"));
    assert_eq!(house.send(with_cookie).await.status, 401);
    let body = json!({"refresh_token": refresh});
    assert_eq!(house.send(with_body(request("POST", "/api/v1/auth/refresh"), body)).await.status, 401);
}

pub async fn sessions_are_listed_and_ended_by_their_user_only(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let other = house.log_in("admin@localhost", PASSWORD).await.text("/access_token");
    let listed = house.get(&admin, "/api/v1/auth/sessions").await;
    let sessions = listed.body["sessions"].as_array().expect("a list").clone();
    assert_eq!(sessions.len(), 2);
    let others = sessions.iter().find(|session| session["current"] == false).expect("the other");
    let path = format!("/api/v1/auth/sessions/{}", others["id"].as_str().expect("an id"));
    let (_, stranger) =
        house.user(&admin, json!({"email": "bob@example.com", "role": "dispatcher", "fleets": ["north"]})).await;
    assert_eq!(house.ask(&stranger, "DELETE", &path, Value::Null).await.status, 404);
    assert_eq!(house.ask(&admin, "DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(house.get(&other, "/api/v1/auth/me").await.status, 401);
    assert_eq!(house.get(&admin, "/api/v1/auth/me").await.status, 200);
}

pub async fn who_tries_from_an_address_that_is_held_up_locks_nobodys_account(place: Place) {
    let house = House::open(place).await;
    house.admin().await;
    let from = async |host: &str, email: &str, password: &str| {
        let mut request = request("POST", "/api/v1/auth/login");
        let address = format!("{host}:4711").parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(Peer { address, certificate: None, is_secured: false }));
        house.send(with_body(request, json!({"email": email, "password": password}))).await.status.as_u16()
    };
    for n in 0..20 {
        assert_eq!(from("192.0.2.9", &format!("nobody-{n}@example.com"), "a wrong password").await, 401);
    }
    for _ in 0..6 {
        assert_eq!(from("192.0.2.9", "admin@localhost", PASSWORD).await, 429, "the address has to wait");
    }
    assert_eq!(from("192.0.2.10", "admin@localhost", PASSWORD).await, 200, "the account has not");

    // The other way round: an account that has to wait costs an address nothing.
    for _ in 0..5 {
        assert_eq!(from("192.0.2.11", "nobody@example.com", "a wrong password").await, 401);
    }
    for _ in 0..25 {
        assert_eq!(from("192.0.2.12", "nobody@example.com", "a wrong password").await, 429);
    }
    assert_eq!(from("192.0.2.12", "admin@localhost", PASSWORD).await, 200);
}
