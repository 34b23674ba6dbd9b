//! Access tokens and refresh tokens, and what ends them.

use crate::house::{Answer, House, PASSWORD, Place, request};
use axum::routing::get;
use axum::{Router, middleware};
use drover_access::{Caller, Until};
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower::ServiceExt;

async fn refresh(house: &House, token: &str) -> Answer {
    house.ask("", "POST", "/api/v1/auth/refresh", json!({"refresh_token": token})).await
}

pub async fn a_refresh_token_is_good_once_and_its_reuse_ends_the_session(place: Place) {
    let house = House::open(place).await;
    house.admin().await;
    let login = house.log_in("admin@localhost", PASSWORD).await;
    let first = login.text("/refresh_token");
    let refreshed = refresh(&house, &first).await;
    let (second, access) = (refreshed.text("/refresh_token"), refreshed.text("/access_token"));
    assert_ne!(first, second);
    assert_eq!(house.get(&access, "/api/v1/auth/me").await.status, 200);
    assert_eq!(refresh(&house, &first).await.status, 401, "it was spent");
    assert_eq!(house.get(&access, "/api/v1/auth/me").await.status, 401, "the session has ended");
    assert_eq!(refresh(&house, &second).await.status, 401, "with all of its tokens");
    let entries = house.audited("token.reused", 1).await;
    assert!(entries[0].actor.starts_with("user/u-"));
}

pub async fn an_access_token_ends_by_itself_and_can_be_refreshed(place: Place) {
    let house =
        House::open_with(place, |settings| drover_auth::Settings { access_token: Duration::from_secs(1), ..settings })
            .await;
    house.admin().await;
    let login = house.log_in("admin@localhost", PASSWORD).await;
    let token = login.text("/access_token");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let ended = house.get(&token, "/api/v1/auth/me").await;
    assert_eq!((ended.status.as_u16(), ended.problem()), (401, "bad_credentials"));
    assert!(ended.header("www-authenticate").starts_with("Bearer"));
    assert_eq!(refresh(&house, &login.text("/refresh_token")).await.status, 200);
}

pub async fn a_changed_role_and_a_disabled_user_lose_their_tokens_at_once(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let body = json!({"email": "bob@example.com", "role": "dispatcher", "fleets": ["north"]});
    let (id, token) = house.user(&admin, body).await;
    assert_eq!(house.get(&token, "/api/v1/vehicles").await.status, 200);
    let path = format!("/api/v1/users/{id}");
    let changed = house.ask(&admin, "PATCH", &path, json!({"name": "Bob"})).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(house.get(&token, "/api/v1/vehicles").await.status, 200, "a name changes no rights");
    assert_eq!(house.ask(&admin, "PATCH", &path, json!({"role": "station_operator"})).await.status, 200);
    assert_eq!(house.get(&token, "/api/v1/vehicles").await.status, 401);
    let token = house.log_in("bob@example.com", PASSWORD).await.text("/access_token");
    assert_eq!(house.ask(&admin, "PATCH", &path, json!({"disabled": true})).await.status, 200);
    assert_eq!(house.get(&token, "/api/v1/vehicles").await.status, 401);
    assert_eq!(house.log_in("bob@example.com", PASSWORD).await.problem(), "wrong_credentials");
}

pub async fn what_one_node_changes_another_follows(place: Place) {
    let house = House::open(place).await;
    let admin = house.admin().await;
    let other = house.another_node().await;
    let login = house.log_in("admin@localhost", PASSWORD).await.text("/access_token");
    let until = async |status: u16| {
        for _ in 0..150 {
            if other.get(&login, "/api/v1/auth/me").await.status == status {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    };
    assert!(until(200).await, "a login is known on the other node");
    assert_eq!(house.ask(&login, "POST", "/api/v1/auth/logout", serde_json::Value::Null).await.status, 204);
    assert!(until(401).await, "and so is its end");
    assert_eq!(other.get(&admin, "/api/v1/auth/me").await.status, 200);
}

pub async fn a_new_signing_key_leaves_old_tokens_good(place: Place) {
    let house = House::open(place).await;
    let old = house.admin().await;
    house.auth.rotate_signing_key().expect("a new key");
    assert_eq!(house.get(&old, "/api/v1/auth/me").await.status, 200);
    let new = house.log_in("admin@localhost", PASSWORD).await.text("/access_token");
    assert_eq!(house.get(&new, "/api/v1/auth/me").await.status, 200);
}

type Opened = Arc<Mutex<Vec<(Caller, Until)>>>;

pub async fn what_was_opened_by_a_cookie_ends_with_it_and_what_a_token_opened_goes_on(place: Place) {
    const COOKIE: Duration = Duration::from_secs(3);
    let house = House::open_with(place, |settings| drover_auth::Settings { session: COOKIE, ..settings }).await;
    house.admin().await;
    let opened = Opened::default();
    let keep = {
        let opened = opened.clone();
        async move |caller: Caller, until: Until| opened.lock().push((caller, until))
    };
    let router = Router::new().route("/api/v1/live", get(keep));
    let router = router.layer(middleware::from_fn_with_state(house.auth.clone(), drover_auth::guard));
    let login = house.log_in("admin@localhost", PASSWORD).await;
    let began = Instant::now();
    let bearer = format!("Bearer {}", login.text("/access_token"));
    for (name, value) in [("cookie", login.cookie()), ("authorization", bearer)] {
        let mut request = request("GET", "/api/v1/live");
        request.headers_mut().insert(name, value.parse().expect("a header"));
        assert_eq!(router.clone().oneshot(request).await.expect("an answer").status(), 200, "{name}");
    }
    let [(by_cookie, cookies), (by_token, tokens)]: [_; 2] =
        opened.lock().drain(..).collect::<Vec<_>>().try_into().expect("two");
    assert!(house.auth.is_live(&by_cookie) && house.auth.is_live(&by_token));
    tokio::time::timeout(Duration::from_secs(20), cookies.ended()).await.expect("it ends with the cookie");
    assert!(began.elapsed() + Duration::from_millis(500) > COOKIE, "{:?}", began.elapsed());
    assert!(!house.auth.is_live(&by_cookie), "whoever asks is told the same");
    assert!(house.auth.is_live(&by_token), "the session goes on");
    let tokens = tokio::time::timeout(Duration::from_millis(200), tokens.ended()).await;
    assert!(tokens.is_err(), "and with it what the token opened");
}
