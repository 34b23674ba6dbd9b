//! Ways of logging in, on a node that asks for credentials: at an OpenID provider that is a process of its own, in a
//! browser that keeps cookies; and with a second factor, whose codes are computed here as an authenticator does.

mod harness;
#[path = "../crates/registry/tests/support/postgres.rs"]
mod postgres;

use aws_lc_rs::hmac;
use harness::{ADMIN_PASSWORD, Answer, Browser, Node, Page, Script, folder, free_port, next_of, now_ms, wait_for};
use postgres::Postgres;
use serde_json::{Value, json};
use std::fs;

const HOST: &str = "127.0.0.1";
/// What the provider knows as the node's secret.
const SECRET: &str = "a-secret-of-the-tests";
/// Keeps a login to the browser that began it.
const BINDING: &str = "drover_oidc";
/// The words that the page has for problems.
const WORDS: &str = include_str!("../web/src/strings.pages.ts");

/// A provider that vouches for Alice, Zoe and Eve, and a node where Alice is a dispatcher.
struct World {
    /// Runs for as long as it is here.
    provider: Option<Script>,
    node: Node,
    admin: String,
    alice: String,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(settings: &[(&str, &str)]) -> World {
        let folder = folder();
        let address = format!("{HOST}:{}", free_port());
        let url = format!("http://{address}");
        let callback = format!("{url}/api/v1/auth/oidc/callback");
        let args = ["0", "60", callback.as_str()];
        let provider = Script::start("crates/oidc/tests/provider", "oidc-provider", "provider.mjs", &args);
        let said = provider.next();
        let issuer = format!("http://{HOST}:{}", said.strip_prefix("ready ").expect("its port"));
        let secret = folder.path().join("oidc-secret");
        fs::write(&secret, format!("{SECRET}\n")).expect("a file");
        let of_provider = [
            ("DROVER_OIDC_ISSUER", issuer.as_str()),
            ("DROVER_OIDC_NAME", "Example ID"),
            ("DROVER_OIDC_CLIENT_ID", "drover"),
            ("DROVER_OIDC_CLIENT_SECRET_FILE", secret.to_str().expect("a path in UTF-8")),
            ("DROVER_PUBLIC_URL", url.as_str()),
        ];
        let settings: Vec<_> = of_provider.iter().chain(settings).copied().collect();
        let (node, admin) = Node::secured(&folder.path().join("data"), &[("--http", &address)], &settings);
        let by_admin = node.asked_by(&admin);
        by_admin.make("fleets", &json!({"id": "north", "name": "North"}));
        // She never learns the password that was made with her, and need not.
        let alice = json!({"email": "alice@example.com", "name": "Alice", "role": "dispatcher", "fleets": ["north"]});
        by_admin.make("users", &alice);
        let alice = id_of(&node, &admin, "alice@example.com");
        World { provider: Some(provider), node, admin, alice, _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        self.node.url() + path
    }

    /// Begins a login and lets the provider vouch for who sits there; the address that leads back is not asked for yet.
    fn vouched_for(&self, browser: &mut Browser) -> String {
        browser.follow_until(&self.url("/api/v1/auth/oidc?after=/docs"), &self.url("/api/v1/auth/oidc/callback?"))
    }

    fn log_in(&self, browser: &mut Browser) -> Page {
        let back = self.vouched_for(browser);
        browser.get(&back)
    }

    fn me(&self, browser: &mut Browser) -> Page {
        browser.get(&self.url("/api/v1/auth/me"))
    }

    fn set_disabled(&self, disabled: bool) {
        let path = format!("/api/v1/users/{}", self.alice);
        let change = json!({"disabled": disabled}).to_string();
        self.node.asked_by(&self.admin).ask("PATCH", &path, change).expect(200);
    }

    /// The browser is led to the login page with this problem, which the page has words for, and is logged in by nothing.
    #[track_caller]
    fn refuses(&self, browser: &mut Browser, refused: &Page, problem: &str) {
        assert_eq!((refused.status, refused.location.as_deref()), (303, Some(&*format!("/?problem={problem}"))));
        assert!(refused.cookie("drover_session").is_none(), "{:?}", refused.set_cookies);
        assert!(WORDS.contains(&format!(" {problem}: '")), "the page has no words for {problem}");
        let page = browser.get(&next_of(refused));
        assert_eq!(page.status, 200);
        assert!(page.content_type.starts_with("text/html"), "{}", page.content_type);
        assert_eq!(self.me(browser).status, 401);
    }
}

fn browser_of(person: &str) -> Browser {
    let mut browser = Browser::new();
    browser.set(HOST, "person", person);
    browser
}

fn id_of(node: &Node, admin: &str, email: &str) -> String {
    let found = node.asked_by(admin).get(&format!("/api/v1/users?q={email}")).expect(200);
    found["data"][0]["id"].as_str().unwrap_or_else(|| panic!("no {email} in {found}")).to_owned()
}

#[test]
fn somebody_logs_in_at_the_provider_and_his_session_lasts_until_he_is_disabled() {
    let world = World::new(&[]);
    let mut browser = browser_of("alice");
    let options = browser.get(&world.url("/api/v1/auth/options")).expect(200);
    assert_eq!(options["oidc"], "Example ID", "{options}");
    assert_eq!(world.me(&mut browser).status, 401);

    let here = world.log_in(&mut browser);
    assert_eq!((here.status, here.location.as_deref()), (303, Some("/docs")), "back where it began");
    let session = here.cookie("drover_session").expect("a session");
    assert!(session.contains("HttpOnly") && session.contains("SameSite=Lax"), "{session}");
    let me = world.me(&mut browser).expect(200);
    assert_eq!((&me["name"], &me["role"]), (&json!("alice@example.com"), &json!("dispatcher")), "{me}");
    assert_eq!((&me["fleets"], &me["must_change_password"]), (&json!(["north"]), &json!(false)));
    let fleets = browser.get(&world.url("/api/v1/fleets")).expect(200);
    assert_eq!(fleets["data"][0]["id"], "north", "{fleets}");
    assert_eq!(browser.get(&world.url("/api/v1/users")).status, 403, "she is no administrator");
    let audit = wait_for("the login in the audit", || {
        let audit = world.node.asked_by(&world.admin).get("/api/v1/audit?action=login.oidc").expect(200);
        (audit["data"].as_array().is_some_and(|rows| !rows.is_empty())).then_some(audit)
    });
    assert_eq!(audit["data"][0]["actor"], format!("user/{}", world.alice), "{audit}");

    world.set_disabled(true);
    assert_eq!(world.me(&mut browser).status, 401, "the session has ended");
    let refused = world.log_in(&mut browser);
    world.refuses(&mut browser, &refused, "unknown_user");
    world.set_disabled(false);
    assert_eq!(world.me(&mut browser).status, 401, "an ended session does not come back");
    assert_eq!(world.log_in(&mut browser).location.as_deref(), Some("/docs"));
    world.me(&mut browser).expect(200);
}

#[test]
fn who_is_unknown_here_is_told_so_on_the_login_page() {
    let world = World::new(&[]);
    for (person, why) in [("zoe", "nobody has her address"), ("eve", "her address is Alice's, but not verified")] {
        let mut browser = browser_of(person);
        let refused = world.log_in(&mut browser);
        assert_eq!(refused.location.as_deref(), Some("/?problem=unknown_user"), "{person}: {why}");
        world.refuses(&mut browser, &refused, "unknown_user");
    }
    let users = world.node.asked_by(&world.admin).get("/api/v1/users").expect(200);
    assert_eq!(users["data"].as_array().map(Vec::len), Some(2), "nobody was made a user: {users}");
}

#[test]
fn a_state_that_was_used_or_made_up_is_refused() {
    let world = World::new(&[]);
    let mut alice = browser_of("alice");
    let back = world.vouched_for(&mut alice);
    let mut with_same_cookies = alice.copy();
    let mut stranger = browser_of("zoe");
    let stolen = stranger.get(&back);
    world.refuses(&mut stranger, &stolen, "oidc_refused");
    let here = alice.get(&back);
    assert_eq!(here.location.as_deref(), Some("/docs"), "what a stranger tried has spoiled nothing");
    assert!(here.cookie(BINDING).is_some_and(|set| set.contains("Max-Age=0")), "{:?}", here.set_cookies);
    let again = with_same_cookies.get(&back);
    world.refuses(&mut with_same_cookies, &again, "oidc_refused");
    let made_up = ["?state=made-up&code=made-up", "?state=made-up&error=access_denied", "?state=a&state=b", ""];
    for query in made_up {
        let mut browser = browser_of("alice");
        let _begun = world.vouched_for(&mut browser);
        let refused = browser.get(&world.url(&format!("/api/v1/auth/oidc/callback{query}")));
        world.refuses(&mut browser, &refused, "oidc_refused");
    }
}

#[test]
fn a_provider_that_is_away_is_said_to_be() {
    let mut world = World::new(&[]);
    let mut browser = browser_of("alice");
    let back = world.vouched_for(&mut browser);
    world.provider = None;
    let refused = browser.get(&back);
    world.refuses(&mut browser, &refused, "provider_away");
}

#[test]
fn a_database_that_is_away_is_said_on_the_login_page_too() {
    let mut server = Postgres::start();
    let database = server.new_database();
    let world = World::new(&[("DROVER_REGISTRY", &database)]);
    let mut browser = browser_of("alice");
    let back = world.vouched_for(&mut browser);
    server.kill();
    let refused = browser.get(&back);
    world.refuses(&mut browser, &refused, "registry_away");
    server.start_again();
    wait_for("logins again", || (world.log_in(&mut browser).location.as_deref() == Some("/docs")).then_some(()));
    world.me(&mut browser).expect(200);
}

/// A code of an authenticator, as RFC 6238 says: SHA-1, six digits, steps of thirty seconds.
fn code(secret: &[u8], step: i64) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), &step.to_be_bytes());
    let tag = tag.as_ref();
    let from = usize::from(tag[tag.len() - 1] & 15);
    let number = u32::from_be_bytes(tag[from..from + 4].try_into().expect("four bytes")) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

fn step_now() -> i64 {
    now_ms() / 30_000
}

/// RFC 4648.
fn from_base32(text: &str) -> Vec<u8> {
    let value = |letter| "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(letter).expect("base32") as u8;
    let bits: Vec<u8> = text.chars().flat_map(|letter| (0..5).rev().map(move |bit| value(letter) >> bit & 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect()
}

#[test]
fn codes_are_computed_here_as_rfc_6238_says() {
    let secret = from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    assert_eq!(secret, b"12345678901234567890");
    for (seconds, right) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000_i64, "353130")] {
        assert_eq!(code(&secret, seconds / 30), right, "at {seconds}");
    }
}

/// Bob, who logs in with a password and something more.
struct Bob<'a>(&'a Node);

impl Bob<'_> {
    const EMAIL: &'static str = "bob@example.com";

    fn log_in(&self, more: Value) -> Answer {
        let mut proof = json!({"email": Bob::EMAIL, "password": ADMIN_PASSWORD});
        proof.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.0.post_with("/api/v1/auth/login", &[("content-type", "application/json")], proof.to_string())
    }

    #[track_caller]
    fn gets_in(&self, more: Value) -> String {
        self.log_in(more).expect(200)["access_token"].as_str().expect("a token").to_owned()
    }

    #[track_caller]
    fn is_refused(&self, more: Value, problem: &str) {
        let refused = self.log_in(more).expect(401);
        assert_eq!(refused["error"]["code"], problem, "{refused}");
    }
}

#[test]
fn a_second_factor_is_set_up_asked_for_and_taken_away_by_an_administrator() {
    let folder = folder();
    let data = folder.path().join("data");
    let (node, admin) = Node::secured(&data, &[], &[]);
    node.asked_by(&admin).make("fleets", &json!({"id": "north", "name": "North"}));
    let dispatcher = json!({"role": "dispatcher", "fleets": ["north"]});
    let token = node.asked_by(&admin).user(Bob::EMAIL, &dispatcher);
    let ann = node.asked_by(&admin).user("ann@example.com", &dispatcher);
    let (bob, by_bob) = (Bob(&node), node.asked_by(&token));

    by_bob.post("/api/v1/auth/totp", json!({"password": "not his password"}).to_string()).expect(401);
    let setup = by_bob.post("/api/v1/auth/totp", json!({"password": ADMIN_PASSWORD}).to_string()).expect(200);
    let secret = from_base32(setup["secret"].as_str().expect("a secret"));
    assert_eq!(secret.len(), 20);
    let elsewhere = bob.gets_in(json!({}));
    // Codes in the order of their steps: each is taken when it comes, and also if a step ends meanwhile.
    let step = step_now();
    let right: Vec<String> = (step - 2..step + 4).map(|step| code(&secret, step)).collect();
    let wrong = (0..).map(|n| format!("{n:06}")).find(|code| !right.contains(code)).expect("a wrong code");
    by_bob.post("/api/v1/auth/totp/confirm", json!({"code": wrong}).to_string()).expect(422);
    let now = code(&secret, step);
    let confirmed = by_bob.post("/api/v1/auth/totp/confirm", json!({"code": now}).to_string()).expect(200);
    let recovery = confirmed["recovery_codes"].as_array().expect("codes").clone();
    assert_eq!(recovery.len(), 10);
    by_bob.get("/api/v1/auth/me").expect(200);
    assert_eq!(node.asked_by(&elsewhere).get("/api/v1/auth/me").status, 401, "his other sessions have ended");

    bob.is_refused(json!({}), "totp_required");
    bob.is_refused(json!({"password": "not his password"}), "wrong_credentials");
    bob.is_refused(json!({"totp": wrong}), "wrong_credentials");
    bob.is_refused(json!({"totp": now}), "wrong_credentials");
    let next = code(&secret, step + 1);
    let with_code = bob.gets_in(json!({"totp": next}));
    assert_eq!(node.asked_by(&with_code).get("/api/v1/auth/me").expect(200)["user"]["totp"], true);
    bob.is_refused(json!({"totp": next}), "wrong_credentials");
    bob.gets_in(json!({"recovery_code": recovery[0]}));
    bob.is_refused(json!({"recovery_code": recovery[0]}), "wrong_credentials");

    node.stop();
    let (node, admin) = Node::secured_again(&data, &[], &[]);
    let bob = Bob(&node);
    bob.is_refused(json!({"totp": next}), "wrong_credentials");
    bob.is_refused(json!({"recovery_code": recovery[0]}), "wrong_credentials");
    let with_recovery = bob.gets_in(json!({"recovery_code": recovery[1]}));

    let path = format!("/api/v1/users/{}/totp", id_of(&node, &admin, Bob::EMAIL));
    assert_eq!(node.asked_by(&ann).delete(&path).status, 403, "nobody takes it away who may not change users");
    bob.is_refused(json!({}), "totp_required");
    assert_eq!(node.asked_by(&admin).delete(&path).status, 204);
    assert_eq!(node.asked_by(&with_recovery).get("/api/v1/auth/me").status, 401, "his sessions have ended");
    let alone = bob.gets_in(json!({}));
    assert_eq!(node.asked_by(&alone).get("/api/v1/auth/me").expect(200)["user"]["totp"], false);
}
