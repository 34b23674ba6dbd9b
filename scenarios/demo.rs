//! The demo, started as anybody starts it: its printed users see what their roles may see, its city moves, and it stops
//! and starts again on the same folder.

mod harness;

use harness::{As, Node, folder, texts, wait_for};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

/// The fleet of the demo's dispatcher, by what the demo prints.
const FLEET: &str = "boavista";

/// A demo, with what it printed.
struct Demo {
    node: Node,
    users: Vec<User>,
    /// The line to paste, and the key in it.
    curl: String,
    key: String,
}

#[derive(Clone)]
struct User {
    role: String,
    email: String,
    password: String,
}

impl Demo {
    fn start(data: &Path) -> Demo {
        let before = std::fs::metadata(data.with_extension("messages")).map_or(0, |file| file.len() as usize);
        let node = Node::demo(data);
        // It is printed after the line that says that the node is ready.
        let said = wait_for("the end of what the demo prints", || {
            Some(node.messages().split_off(before)).filter(|said| said.contains("Ctrl-C stops it"))
        });
        let users: Vec<User> = said.lines().filter_map(user).collect();
        let line = |start: &str| said.lines().map(str::trim).find(|line| line.starts_with(start)).map(str::to_owned);
        let curl = line("curl ").expect("a line to paste");
        let told = said.split_once("export DROVER_TOKEN=").expect("a key").1;
        let key = told.lines().next().expect("a line").to_owned();
        Demo { node, users, curl, key }
    }

    /// An access token of the user with this role.
    fn log_in(&self, role: &str) -> String {
        let user = self.users.iter().find(|user| user.role == role);
        let user = user.unwrap_or_else(|| panic!("no {role} is printed"));
        self.node.log_in(&user.email, &user.password)
    }
}

/// A line of the table: role, e-mail, password, what to look at.
fn user(line: &str) -> Option<User> {
    let mut words = line.split_whitespace().map(str::to_owned);
    let (role, email, password) = (words.next()?, words.next()?, words.next()?);
    email.contains('@').then_some(User { role, email, password })
}

/// The ids in an answer to a search.
fn found(answer: &Value) -> BTreeSet<String> {
    texts(&answer["assets"], "id").into_iter().collect()
}

/// As often as the limit of requests lets one ask.
fn wait_politely<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    wait_for(what, || {
        std::thread::sleep(Duration::from_millis(200));
        look()
    })
}

/// Everything within the city that somebody is shown of a kind.
fn seen(somebody: As<'_>, kind: &str) -> BTreeSet<String> {
    let box_of_city = json!({"box": [-8.8, 41.0, -8.4, 41.3], "kinds": [kind], "limit": 1000});
    found(&somebody.post("/api/v1/search", box_of_city.to_string()).expect(200))
}

fn data(answer: &Value) -> Vec<Value> {
    answer["data"].as_array().expect("a list").clone()
}

#[test]
fn every_printed_user_sees_what_his_role_may_see_of_a_city_that_moves() {
    let folder = folder();
    let demo = Demo::start(&folder.path().join("data"));
    let node = &demo.node;
    assert_eq!(node.get("/api/v1/info").expect(200)["mode"], "secured");
    assert_eq!(node.get("/api/v1/vehicles").status, 401, "nobody is let in without a login");
    let token = |role: &str| demo.log_in(role);
    let admin = token("system_admin");
    let admin = node.asked_by(&admin);

    // Everybody reports: the vans, the couriers, the stations.
    wait_politely("the whole city", || {
        let counts = ["vehicle", "driver", "station"].map(|kind| seen(admin, kind).len());
        (counts == [60, 20, 12]).then_some(())
    });
    assert_eq!(data(&admin.get("/api/v1/fleets").expect(200)).len(), 2);
    assert_eq!(node_users(admin), 7, "one of each role");

    let dispatcher_token = token("dispatcher");
    let dispatcher = node.asked_by(&dispatcher_token);
    let own: BTreeSet<String> =
        texts(&admin.get(&format!("/api/v1/drivers?fleet_id={FLEET}&limit=100")).expect(200)["data"], "id")
            .into_iter()
            .collect();
    assert_eq!((seen(dispatcher, "driver"), own.len()), (own.clone(), 10));
    let foreign = seen(admin, "driver").into_iter().find(|id| !own.contains(id)).expect("the other fleet drives too");
    assert_eq!(dispatcher.get(&format!("/api/v1/drivers/{foreign}/location")).status, 404);
    assert_eq!(dispatcher.get("/api/v1/audit").status, 403);
    moves(&demo, &dispatcher_token, &own);

    let customer = token("customer");
    let customer = node.asked_by(&customer);
    let orders = data(&customer.get("/api/v1/deliveries?status=out_for_delivery").expect(200));
    let order = orders.first().expect("one is on its way to him");
    let order_id = order["order_id"].as_str().expect("a number");
    // From the first report on that the courier makes on his way with it.
    let place = wait_politely("place on the way", || {
        let answer = customer.get(&format!("/api/v1/orders/{order_id}/driver-location"));
        (answer.status == 200).then(|| answer.expect(200))
    });
    assert_eq!(place["driver_id"], order["driver_id"], "{place}");
    assert!(place["latitude"].as_f64().is_some_and(|latitude| (41.0..41.3).contains(&latitude)), "{place}");
    assert_eq!(customer.get("/api/v1/live").status, 403);
    let all = data(&admin.get("/api/v1/deliveries?status=out_for_delivery&limit=100").expect(200));
    let other = all.iter().find(|it| it["customer_id"] != order["customer_id"]).expect("others wait too");
    let other = other["order_id"].as_str().expect("a number");
    assert_eq!(customer.get(&format!("/api/v1/orders/{other}/driver-location")).status, 404);

    let driver = token("driver");
    let driver = node.asked_by(&driver);
    assert_eq!(seen(driver, "driver"), BTreeSet::from(["courier-01".to_owned()]));
    let operator = token("station_operator");
    let operator = node.asked_by(&operator);
    assert_eq!(seen(operator, "station").len(), 6, "those of his fleet");
    let manager = token("fleet_manager");
    assert_eq!(seen(node.asked_by(&manager), "vehicle").len(), 30);

    let auditor = token("auditor");
    let auditor = node.asked_by(&auditor);
    assert_eq!(seen(auditor, "driver").len(), 20);
    let entries = data(&auditor.get("/api/v1/audit?limit=10").expect(200));
    assert!(!entries.is_empty());
    assert_eq!(auditor.post("/api/v1/fleets", json!({"id": "x", "name": "X"}).to_string()).status, 403);

    // The line to paste.
    let report = json!({"latitude": 41.15, "longitude": -8.61, "speed": 32}).to_string();
    assert!(demo.curl.contains("/api/v1/vehicles/van-7/location"), "{}", demo.curl);
    node.asked_by(&demo.key).post("/api/v1/vehicles/van-7/location", report).expect(202);
    assert!(demo.curl.contains(&demo.key) && demo.curl.starts_with("curl -H 'Authorization: Bearer dk_"));
}

fn node_users(admin: As<'_>) -> usize {
    let users = data(&admin.get("/api/v1/users").expect(200));
    users.iter().map(|user| user["role"].as_str().expect("a role")).collect::<BTreeSet<_>>().len()
}

/// Watches the map until somebody has moved: nothing is shown but these.
fn moves(demo: &Demo, dispatcher: &str, drivers: &BTreeSet<String>) {
    let mut socket = demo.node.socket(&format!("/api/v1/live?access_token={dispatcher}&kinds=driver"));
    let mut places: HashMap<String, (Option<f64>, Option<f64>)> = HashMap::new();
    wait_for("a courier that moves", || {
        let message = socket.next();
        let assets = message["assets"].as_array().cloned().unwrap_or_default();
        let mut is_moving = false;
        for asset in assets.iter().filter(|asset| asset["kind"] == "driver") {
            let id = asset["id"].as_str().expect("an id").to_owned();
            assert!(drivers.contains(&id), "{id} is of the other fleet");
            let now = (asset["latitude"].as_f64(), asset["longitude"].as_f64());
            let before = places.insert(id, now);
            let is_elsewhere = before.is_some_and(|before| before != now);
            is_moving |= is_elsewhere && asset["speed"].as_f64().is_some_and(|speed| speed > 5.0);
        }
        is_moving.then_some(())
    });
}

#[test]
fn orders_move_on_by_themselves_and_reports_name_them() {
    let folder = folder();
    let demo = Demo::start(&folder.path().join("data"));
    let admin = demo.log_in("system_admin");
    let admin = demo.node.asked_by(&admin);
    let statuses = || -> Vec<(String, String)> {
        let all = data(&admin.get("/api/v1/deliveries?limit=1000").expect(200));
        let text = |it: &Value, field: &str| it[field].as_str().expect("a text").to_owned();
        all.iter().map(|it| (text(it, "id"), text(it, "status"))).collect()
    };
    let before = statuses();
    for status in ["created", "out_for_delivery", "delivered", "failed", "returned", "cancelled"] {
        assert!(before.iter().any(|(_, is)| is == status), "none is {status}: {before:?}");
    }
    wait_politely("an order that gets further", || {
        let now = statuses();
        let has_changed = |(id, status): &&(String, String)| now.iter().any(|(other, is)| other == id && is != status);
        before.iter().any(|one| has_changed(&one)).then_some(())
    });
    let out = data(&admin.get("/api/v1/deliveries?status=out_for_delivery&limit=100").expect(200));
    assert!(!out.is_empty());
    let named = out.iter().any(|delivery| {
        let driver = delivery["driver_id"].as_str().expect("a driver");
        let at = admin.get(&format!("/api/v1/drivers/{driver}/location"));
        at.status == 200 && at.json()["order_id"] == delivery["order_id"]
    });
    assert!(named, "no report names the order of its driver: {out:?}");
}

#[test]
fn the_same_folder_again_has_the_same_users_with_new_passwords() {
    let folder = folder();
    let data_folder = folder.path().join("data");
    let demo = Demo::start(&data_folder);
    let admin = demo.log_in("system_admin");
    let ids =
        |demo: &Demo, token: &str| texts(&demo.node.asked_by(token).get("/api/v1/users").expect(200)["data"], "id");
    let (users, before) = (ids(&demo, &admin), demo.users.clone());
    let (key, told) = (demo.key.clone(), Instant::now());
    demo.node.interrupt();
    assert!(told.elapsed() < Duration::from_secs(8), "it took {:?}", told.elapsed());

    let demo = Demo::start(&data_folder);
    for (old, new) in before.iter().zip(&demo.users) {
        assert_eq!((&old.role, &old.email), (&new.role, &new.email));
        assert_ne!(old.password, new.password, "{}", old.email);
    }
    let proof = json!({"email": before[0].email, "password": before[0].password}).to_string();
    let refused = demo.node.post_with("/api/v1/auth/login", &[("content-type", "application/json")], proof);
    assert_eq!(refused.status, 401, "the old password is good no more");
    assert_eq!(demo.node.asked_by(&key).get("/api/v1/vehicles").status, 401, "nor is the old key");
    let admin = demo.log_in("system_admin");
    assert_eq!(ids(&demo, &admin), users, "the users are kept");
    let admin = demo.node.asked_by(&admin);
    let out = data(&admin.get("/api/v1/deliveries?status=out_for_delivery&limit=100").expect(200));
    let drivers: BTreeSet<_> = out.iter().map(|delivery| delivery["driver_id"].to_string()).collect();
    assert!(!out.is_empty() && drivers.len() == out.len(), "each courier has one: {out:?}");
}

#[test]
fn the_folder_of_a_real_node_is_left_alone() {
    let folder = folder();
    let data_folder = folder.path().join("data");
    let (node, _) = harness::Node::secured(&data_folder, &[], &[]);
    node.stop();
    let path = data_folder.to_str().expect("UTF-8");
    let output = harness::drover(&["demo", "--data", path, "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]).output();
    let output = output.expect("drover starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("users of its own"), "{said}");
    let (node, admin) = harness::Node::secured_again(&data_folder, &[], &[]);
    assert_eq!(node_users(node.asked_by(&admin)), 1, "nobody came in");
}
