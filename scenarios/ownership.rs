//! Two fleets on one node that asks for credentials: nobody gets at what is the other's by naming it, by claiming its id, by
//! taking its order's number, or by keeping an order whose driver has gone; and nothing that fails tells what the other has.

mod harness;

use harness::{Answer, Node, folder, now_ms, report, wait_for};
use serde_json::{Value, json};

const QUICK: [(&str, &str); 3] = [
    ("DROVER_CALLER_REQUESTS_PER_S", "0"),
    ("DROVER_DEVICE_REQUESTS_PER_S", "0"),
    ("DROVER_ADDRESS_REQUESTS_PER_S", "0"),
];

struct World {
    node: Node,
    admin: String,
    /// Managers of the two fleets.
    north: String,
    south: String,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let folder = folder();
        let (node, admin) = Node::secured(&folder.path().join("data"), &[], &QUICK);
        let by_admin = node.asked_by(&admin);
        let manager = |fleet: &str| {
            by_admin.make("fleets", &json!({"id": fleet, "name": fleet}));
            by_admin.user(&format!("{fleet}@example.com"), &json!({"role": "fleet_manager", "fleets": [fleet]}))
        };
        let (north, south) = (manager("north"), manager("south"));
        World { node, admin, north, south, _folder: folder }
    }

    fn reports(&self, kind: &str, id: &str) {
        let body = json!([report(kind, id, now_ms(), 41.15, -8.61)]).to_string();
        assert_eq!(self.node.asked_by(&self.admin).post("/api/v1/reports", body).expect(202)["accepted"], 1);
        let place = format!("/api/v1/{kind}s/{id}/location");
        wait_for("the report", || (self.node.asked_by(&self.admin).get(&place).status == 200).then_some(()));
    }

    /// Makes a record that must be refused as one with a past.
    #[track_caller]
    fn is_refused(&self, token: &str, resource: &str, record: &Value) {
        let answer = self.node.asked_by(token).post(&format!("/api/v1/{resource}"), record.to_string()).expect(409);
        assert_eq!(answer["error"]["code"], "id_has_a_past", "{answer}");
        assert!(answer["error"]["help"].to_string().contains("administrator of all fleets"), "{answer}");
    }

    fn moves(&self, token: &str, delivery: &str, statuses: &[&str]) {
        for status in statuses {
            let path = format!("/api/v1/deliveries/{delivery}/status");
            self.node.asked_by(token).ask("PUT", &path, json!({"status": status}).to_string()).expect(200);
        }
    }

    fn driver_of(&self, token: &str, order: &str) -> Answer {
        self.node.asked_by(token).get(&format!("/api/v1/orders/{order}/driver-location"))
    }
}

fn rows(node: &Node, token: &str, id: &str) -> u64 {
    let sql = json!({"sql": format!("SELECT count(*) FROM reports WHERE id = '{id}'")}).to_string();
    node.asked_by(token).post("/api/v1/sql", sql).expect(200)["rows"][0][0].as_u64().expect("a count")
}

#[test]
fn erasing_a_customer_leaves_the_rider_of_that_id_of_another_fleet() {
    let world = World::new();
    let (node, admin) = (&world.node, &world.admin);
    let rider = json!({"asset_kind": "rider", "asset_id": "rider-88"});
    node.asked_by(&world.south).make("devices", &rider);
    world.reports("rider", "rider-88");
    wait_for("history", || (rows(node, admin, "rider-88") == 1).then_some(()));
    node.asked_by(&world.north).make("customers", &json!({"id": "rider-88", "name": "Nobody"}));
    let erased = node.asked_by(&world.north).post("/api/v1/customers/rider-88/erase", "{}").expect(200);
    assert_eq!(erased["data"]["erased"]["elsewhere"]["live"], "out of reach", "{erased}");
    assert_eq!(node.asked_by(&world.south).get("/api/v1/riders/rider-88/location").status, 200, "live");
    assert_eq!(rows(node, admin, "rider-88"), 1, "history");
    // A rider of his own fleet goes with the customer.
    node.asked_by(&world.north).make("devices", &json!({"asset_kind": "rider", "asset_id": "rider-89"}));
    node.asked_by(&world.north).make("customers", &json!({"id": "rider-89", "name": "Somebody"}));
    world.reports("rider", "rider-89");
    let erased = node.asked_by(&world.north).post("/api/v1/customers/rider-89/erase", "{}").expect(200);
    assert_eq!(erased["data"]["erased"]["elsewhere"]["live"], "erased", "{erased}");
    assert_eq!(node.asked_by(&world.north).get("/api/v1/riders/rider-89/location").status, 404);
}

#[test]
fn an_id_with_a_past_is_claimed_by_nobody_but_an_administrator() {
    let world = World::new();
    let (node, north) = (&world.node, &world.north);
    for (kind, id) in [("vehicle", "v-9"), ("driver", "d-9"), ("station", "s-9"), ("rider", "r-9")] {
        world.reports(kind, id);
    }
    let station = json!({"id": "s-9", "name": "S", "latitude": 41, "longitude": -8});
    world.is_refused(north, "vehicles", &json!({"id": "v-9", "registration_number": "P-9"}));
    world.is_refused(north, "drivers", &json!({"id": "d-9", "name": "D"}));
    world.is_refused(north, "stations", &station);
    world.is_refused(north, "devices", &json!({"asset_kind": "rider", "asset_id": "r-9"}));
    for dry_run in [true, false] {
        let path = format!("/api/v1/vehicles/import?dry_run={dry_run}");
        let said = node.asked_by(north).post(&path, "id,registration_number\nv-9,P-9\nv-10,P-10\n").expect(200);
        assert_eq!((&said["data"]["refused"], &said["data"]["created"]), (&json!(1), &json!(1)), "{said}");
        assert_eq!(said["data"]["outcomes"][0]["code"], "id_has_a_past", "{said}");
    }
    assert_eq!(node.asked_by(north).get("/api/v1/vehicles/v-9/location").status, 404);

    let by_admin = node.asked_by(&world.admin);
    by_admin.make("vehicles", &json!({"id": "v-9", "registration_number": "P-9", "fleet_id": "north"}));
    assert_eq!(node.asked_by(north).get("/api/v1/vehicles/v-9/location").status, 200);
    // Registered and removed: its past stays south's.
    node.asked_by(&world.south).make("vehicles", &json!({"id": "v-11", "registration_number": "P-11"}));
    assert_eq!(node.asked_by(&world.south).delete("/api/v1/vehicles/v-11").status, 204);
    world.is_refused(north, "vehicles", &json!({"id": "v-11", "registration_number": "P-11"}));
}

#[test]
fn the_login_of_a_removed_person_is_not_that_of_who_gets_his_id_next() {
    let world = World::new();
    let (node, north, south) = (&world.node, &world.north, &world.south);
    let by_admin = node.asked_by(&world.admin);
    let is_in = |token: &str| node.asked_by(token).get("/api/v1/auth/me").status == 200;
    for (resource, role, id) in [("customers", "customer", "c-9"), ("drivers", "driver", "d-9")] {
        let person = json!({"id": id, "name": "Cleo"});
        node.asked_by(north).make(resource, &person);
        let user = json!({"role": role, "customer_id": id, "driver_id": id});
        let login = by_admin.user(&format!("{role}@example.com"), &user);
        assert!(is_in(&login));
        assert_eq!(node.asked_by(north).delete(&format!("/api/v1/{resource}/{id}")).status, 204);
        wait_for("the end of the login", || (!is_in(&login)).then_some(()));
        // The other fleet gets that id by an administrator only; the one that had it takes it again by itself.
        world.is_refused(south, resource, &person);
        by_admin.make(resource, &json!({"id": id, "name": "Somebody else", "fleet_id": "south"}));
        let next = by_admin.user(&format!("{role}-2@example.com"), &user);
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert!(is_in(&next) && !is_in(&login), "his own login goes on");
    }
    node.asked_by(north).make("customers", &json!({"id": "c-10", "name": "Ann"}));
    assert_eq!(node.asked_by(north).delete("/api/v1/customers/c-10").status, 204);
    node.asked_by(north).make("customers", &json!({"id": "c-10", "name": "Ann"}));
}

#[test]
fn an_order_is_followed_by_its_own_fleet_whatever_names_another_one_takes() {
    let world = World::new();
    let (node, north, south) = (&world.node, &world.north, &world.south);
    for (token, fleet) in [(north, "north"), (south, "south")] {
        let his = node.asked_by(token);
        his.make("drivers", &json!({"id": format!("d-{fleet}"), "name": "Ada"}));
        let order = json!({"id": format!("del-{fleet}"), "order_id": "1001", "driver_id": format!("d-{fleet}")});
        his.make("deliveries", &order);
        world.reports("driver", &format!("d-{fleet}"));
    }
    node.asked_by(north).make("deliveries", &json!({"id": "thief", "order_id": "del-south"}));
    world.moves(south, "del-south", &["assigned", "picked_up", "out_for_delivery"]);
    world.moves(north, "del-north", &["assigned", "picked_up", "out_for_delivery"]);
    for (token, fleet) in [(north, "north"), (south, "south")] {
        for name in ["1001".to_owned(), format!("del-{fleet}")] {
            assert_eq!(world.driver_of(token, &name).expect(200)["driver_id"], format!("d-{fleet}"), "{name}");
            let order = node.asked_by(token).get(&format!("/api/v1/orders/{name}")).expect(200);
            assert_eq!(order["data"]["id"], format!("del-{fleet}"), "the same names as of the driver's place");
        }
    }
    for path in ["/api/v1/orders/1001", "/api/v1/orders/1001/driver-location"] {
        assert_eq!(node.asked_by(&world.admin).get(path).expect(409)["error"]["code"], "ambiguous_order", "{path}");
    }
    // The driver goes to the other fleet while the order is out.
    let to_south = json!({"fleet_id": "south"}).to_string();
    node.asked_by(&world.admin).ask("PATCH", "/api/v1/drivers/d-north", to_south).expect(200);
    assert_eq!(world.driver_of(north, "1001").status, 404, "the driver is not within reach any more");
    assert_eq!(node.asked_by(north).get("/api/v1/orders/1001").expect(200)["data"]["status"], "out_for_delivery");
    assert_eq!(world.driver_of(&world.admin, "del-north").expect(200)["driver_id"], "d-north");
}

#[test]
fn what_a_file_may_not_say_is_refused_row_by_row_and_a_dry_run_says_the_same() {
    let world = World::new();
    let north = world.node.asked_by(&world.north);
    world.node.asked_by(&world.south).make("deliveries", &json!({"id": "del-south"}));
    let file = "id,order_id,status\ndel-1,A-1,delivered\ndel-2,A-2,created\ndel-south,A-3,\n";
    for dry_run in [true, false] {
        let said = north.post(&format!("/api/v1/deliveries/import?dry_run={dry_run}"), file).expect(200);
        let outcomes = said["data"]["outcomes"].as_array().expect("outcomes");
        let told: Vec<_> = outcomes.iter().map(|row| (&row["outcome"], &row["code"], &row["field"])).collect();
        let none = Value::Null;
        let (refused, created) = (json!("refused"), json!("created"));
        let (invalid, exists) = (json!("invalid_field"), json!("already_exists"));
        let (status, id) = (json!("status"), json!("id"));
        let expected = [(&refused, &invalid, &status), (&created, &none, &none), (&refused, &exists, &id)];
        assert_eq!(told, expected, "dry run {dry_run}");
        assert_eq!(outcomes[0]["value"], "delivered");
    }
}

#[test]
fn a_request_that_comes_again_makes_no_second_user_and_no_second_move() {
    let world = World::new();
    let node = &world.node;
    let authorization = format!("Bearer {}", world.north);
    let headers =
        [("authorization", authorization.as_str()), ("content-type", "application/json"), ("idempotency-key", "once")];
    let user =
        json!({"email": "ann@example.com", "name": "Ann", "role": "dispatcher", "fleets": ["north"]}).to_string();
    let first = node.post_with("/api/v1/users", &headers, &user).expect(201);
    assert!(first["data"]["one_time_password"].is_string());
    let again = node.post_with("/api/v1/users", &headers, &user).expect(200);
    assert_eq!(again["data"]["user"]["id"], first["data"]["user"]["id"]);
    assert!(again["data"].get("one_time_password").is_none(), "kept as a hash only: {again}");
    let other = user.replace("ann@", "bob@");
    let reused = node.post_with("/api/v1/users", &headers, other).expect(422);
    assert_eq!(reused["error"]["code"], "idempotency_key_reused");

    let north = node.asked_by(&world.north);
    north.make("drivers", &json!({"id": "d-1", "name": "Ada"}));
    north.make("deliveries", &json!({"id": "del-1", "driver_id": "d-1"}));
    let path = "/api/v1/deliveries/del-1/status";
    let body = json!({"status": "assigned"}).to_string();
    let with = [("idempotency-key", "move"), ("if-match", "\"1\"")];
    let first = north.ask_with("PUT", path, &with, &body).expect(200);
    assert_eq!(north.ask_with("PUT", path, &with, &body).expect(200)["data"], first["data"]);
    assert_eq!(north.ask("PUT", path, &body).status, 409, "without the key it is another request");
    assert_eq!(north.get("/api/v1/deliveries/del-1/events").expect(200)["data"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_page_larger_than_allowed_is_refused_by_every_list() {
    let world = World::new();
    let by_admin = world.node.asked_by(&world.admin);
    let lists = ["vehicles", "users", "api-keys", "device-tokens", "certificates", "audit", "dead-letters", "imports"];
    for list in lists {
        for limit in ["0", "1001"] {
            let answer = by_admin.get(&format!("/api/v1/{list}?limit={limit}")).expect(422);
            let error = &answer["error"];
            assert_eq!(error["code"], "out_of_range", "{list}: {answer}");
            assert!(error["message"].to_string().contains("from 1 to 1000"), "{list}: {answer}");
        }
        by_admin.get(&format!("/api/v1/{list}?limit=1000")).expect(200);
    }
}
