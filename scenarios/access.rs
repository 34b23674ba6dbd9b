//! Who may do what, on a node that asks for credentials: every route of the served description against every role, in
//! its own fleet and in a foreign one; and random roles and reaches, none of which ever gets a foreign asset.

mod harness;

use harness::{Answer, Node, Numbers, folder, now_ms, report, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Roles that people have, with what `Node` needs to make such a user.
const ROLES: [(&str, Reaches); 8] = [
    ("system_admin", Reaches::All),
    ("fleet_manager", Reaches::North),
    ("dispatcher", Reaches::North),
    ("driver", Reaches::Driver),
    ("customer", Reaches::Customer),
    ("station_operator", Reaches::North),
    ("auditor", Reaches::All),
    ("integration", Reaches::North),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reaches {
    All,
    North,
    Driver,
    Customer,
}

/// No limits on requests: this walks a thousand of them.
const QUICK: [(&str, &str); 3] = [
    ("DROVER_CALLER_REQUESTS_PER_S", "0"),
    ("DROVER_DEVICE_REQUESTS_PER_S", "0"),
    ("DROVER_ADDRESS_REQUESTS_PER_S", "0"),
];

/// Two fleets with a vehicle, a driver, a station, a customer and a delivery each, and somebody of every role.
fn world(node: &Node, admin: &str) -> Vec<(&'static str, Reaches, String)> {
    let admin = node.asked_by(admin);
    for fleet in ["north", "south"] {
        admin.make("fleets", &json!({"id": fleet, "name": fleet}));
        admin.make("vehicles", &json!({"id": format!("v-{fleet}"), "fleet_id": fleet, "registration_number": fleet}));
        admin.make("drivers", &json!({"id": format!("d-{fleet}"), "fleet_id": fleet, "name": format!("Ada {fleet}")}));
        admin.make(
            "stations",
            &json!({"id": format!("s-{fleet}"), "fleet_id": fleet, "name": fleet,
                   "latitude": 41.0, "longitude": -8.0}),
        );
        admin.make("customers", &json!({"id": format!("c-{fleet}"), "fleet_id": fleet, "name": format!("Bo {fleet}")}));
        admin.make(
            "deliveries",
            &json!({"id": format!("del-{fleet}"), "order_id": format!("o-{fleet}"),
                   "fleet_id": fleet, "customer_id": format!("c-{fleet}"), "driver_id": format!("d-{fleet}")}),
        );
    }
    let now = now_ms();
    let reports: Vec<Value> = ["north", "south"]
        .iter()
        .flat_map(|fleet| {
            [("vehicle", "v"), ("driver", "d"), ("station", "s")]
                .map(|(kind, letter)| report(kind, &format!("{letter}-{fleet}"), now, 41.0, -8.0))
        })
        .chain([report("vehicle", "v-nobodys", now, 41.0, -8.0)])
        .collect();
    let sent = admin.post("/api/v1/reports", Value::from(reports).to_string()).expect(202);
    assert_eq!(sent["accepted"], 7, "{sent}");
    let user = |(role, reaches): (&'static str, Reaches)| {
        let more = match reaches {
            Reaches::All => json!({"role": role, "all_fleets": true}),
            Reaches::North => json!({"role": role, "fleets": ["north"]}),
            Reaches::Driver => json!({"role": role, "driver_id": "d-north"}),
            Reaches::Customer => json!({"role": role, "customer_id": "c-north"}),
        };
        if role == "integration" {
            let key = json!({"name": "other system", "fleets": ["north"], "scopes": ["live.read", "history.read",
                "reports.write", "fleet.read", "fleet.write", "orders.read", "orders.write", "customers.read"]});
            let token = admin.make("api-keys", &key)["secret"].as_str().expect("a token").to_owned();
            return (role, reaches, token);
        }
        (role, reaches, admin.user(&format!("{}@example.com", role.replace('_', "-")), &more))
    };
    ROLES.map(user).into()
}

/// The table of the documentation, which is made from the one in code: method, path, roles.
fn table() -> Vec<(String, String, BTreeSet<String>, bool)> {
    let text = include_str!("../docs/access.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    rows.filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let (method, path) = cell(cells[0]).split_once(' ').map(|(m, p)| (m.to_owned(), p.to_owned()))?;
        let roles: BTreeSet<String> = cells[2].split(',').map(cell).filter(|role| !role.is_empty()).collect();
        Some((method, path, roles, cells[1].contains("public")))
    })
    .collect()
}

/// A path with everything in braces filled in for one fleet.
fn filled(path: &str, fleet: &str) -> String {
    let resource_id = |resource: &str| match resource {
        "vehicles" => format!("v-{fleet}"),
        "drivers" => format!("d-{fleet}"),
        "stations" => format!("s-{fleet}"),
        "customers" => format!("c-{fleet}"),
        "deliveries" => format!("del-{fleet}"),
        "fleets" => fleet.to_owned(),
        _ => "1".to_owned(),
    };
    let path = path.replace("{kinds}", "vehicles");
    let resource = path.trim_start_matches("/api/v1/").split('/').next().unwrap_or_default().to_owned();
    let path = path.replace("{id}", &resource_id(&resource)).replace("{order_id}", &format!("o-{fleet}"));
    let path = path.replace("{station_id}", &format!("s-{fleet}"));
    let path = path.replace("{tracking_number}", "nobody-knows-it").replace("{serial}", "00");
    let query = match path.as_str() {
        path if path.ends_with("/route") || path.ends_with("/trips") => "?start_time=2026-01-01T00:00:00Z",
        path if path.ends_with("/nearby") => "?lat=41&lng=-8",
        path if path.ends_with("/history/at") => "?time=2026-01-01T00:00:00Z",
        path if path.ends_with("/distance") => "?from=driver/d-north&to=driver/d-south",
        _ => "",
    };
    path + query
}

/// Status and text of an answer, without the name that was asked for and the moment.
fn nameless(answer: &Answer) -> (u16, String) {
    let text = answer.text().replace("unknown", "?").replace("south", "?");
    let text = match serde_json::from_str::<Value>(&text) {
        Ok(mut json) => {
            json["meta"] = Value::Null;
            json["end_time"] = Value::Null;
            json.to_string()
        }
        Err(_) => text,
    };
    (answer.status, text)
}

#[test]
fn every_route_asks_every_role_for_what_the_table_says() {
    let folder = folder();
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &QUICK);
    let people = world(&node, &admin);
    let table = table();
    let described: Value = node.get("/api/v1/openapi.json").expect(200);
    let paths = described["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods");
        methods.keys().filter(|key| *key != "parameters").map(move |method| (method.to_uppercase(), path.clone()))
    });
    let mut walked = 0;
    for (method, path) in operations {
        let row = table.iter().find(|(m, p, ..)| *m == method && *p == path);
        let (_, _, roles, is_public) = row.unwrap_or_else(|| panic!("docs/access.md has no row for {method} {path}"));
        // A body that no handler takes: whoever gets past the guard is told so, and nothing changes.
        let body = if method == "GET" || method == "DELETE" { "" } else { "\u{1}" };
        if method == "DELETE" && !path.contains('{') {
            continue;
        }
        let own = filled(&path, "north");
        let nobody = match method.as_str() {
            "GET" => node.get(&own),
            "DELETE" => node.delete(&own),
            "POST" => node.post(&own, body),
            _ => node.asked_by("").ask(&method, &own, body),
        };
        assert_eq!(nobody.status == 401 && !*is_public, !*is_public, "{method} {own} without: {}", nobody.text());
        for (role, reaches, token) in &people {
            if method == "DELETE" || path.contains("/auth/") || path.ends_with("/erase") {
                // Their doing is for the tests of each; here is only who may not.
                if roles.contains(*role) || *is_public || path.contains("/auth/") {
                    continue;
                }
            }
            // What is watched has no end to wait for; here is only who may not.
            if path == "/api/v1/live" && roles.contains(*role) {
                continue;
            }
            let answer = node.asked_by(token).ask(&method, &own, body);
            let scoped_key = *role == "integration";
            let may = *is_public || roles.contains(*role) || roles.contains("everybody");
            match (may, answer.status) {
                (_, 401) => panic!("{role}: {method} {own}: {}", answer.text()),
                (true, 403) if !scoped_key => {
                    // What is about the whole node is for who reaches all of it.
                    assert!(*reaches != Reaches::All, "{role}: {method} {own}: {}", answer.text());
                    assert!(answer.text().contains("all fleets"), "{role}: {method} {own}: {}", answer.text());
                }
                (false, status) => assert_eq!(status, 403, "{role}: {method} {own}: {}", answer.text()),
                _ => {}
            }
            assert!(answer.status < 500, "{role}: {method} {own}: {}", answer.text());
            walked += 1;
            // The other fleet's record is as one that does not exist.
            let foreign = filled(&path, "south");
            if method == "GET" && foreign != own && may && *reaches != Reaches::All && path.contains("{id}") {
                let foreign_answer = node.asked_by(token).get(&foreign);
                let unknown = foreign.replace("-south", "-unknown").replace("/south", "/unknown");
                let unknown = node.asked_by(token).get(&unknown);
                assert_eq!(nameless(&foreign_answer), nameless(&unknown), "{role}: {foreign}");
            }
        }
    }
    assert!(walked > 600, "{walked}");
}

/// Every asset id in an answer, wherever it stands.
fn ids(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| ids(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| ids(field, found)),
        Value::String(text) if text.starts_with("a-") => {
            found.insert(text.clone());
        }
        _ => {}
    }
}

#[test]
fn whatever_the_role_and_the_fleets_no_door_shows_a_foreign_asset() {
    const FLEETS: usize = 5;
    let folder = folder();
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &QUICK);
    let by_admin = node.asked_by(&admin);
    let mut numbers = Numbers(20_261_122);
    let fleets: Vec<String> = (0..FLEETS).map(|n| format!("f-{n}")).collect();
    fleets.iter().for_each(|fleet| drop(by_admin.make("fleets", &json!({"id": fleet, "name": fleet}))));
    let now = now_ms();
    let mut owned: Vec<(String, Option<usize>)> = Vec::new();
    let mut reports = Vec::new();
    for n in 0..40 {
        let id = format!("a-{n}");
        let fleet = Some(numbers.below(FLEETS + 1)).filter(|fleet| *fleet < FLEETS);
        let mut record = json!({"id": id, "registration_number": id});
        if let Some(fleet) = fleet {
            record["fleet_id"] = fleets[fleet].clone().into();
        }
        by_admin.make("vehicles", &record);
        reports.push(report("vehicle", &id, now, 41.0 + n as f64 / 1e3, -8.0));
        owned.push((id, fleet));
    }
    by_admin.post("/api/v1/reports", Value::from(reports).to_string()).expect(202);
    for round in 0..40 {
        let role = ["fleet_manager", "dispatcher", "auditor"][numbers.below(3)];
        let reached: BTreeSet<usize> = (0..FLEETS).filter(|_| numbers.below(2) == 0).collect();
        if reached.is_empty() {
            continue;
        }
        let names: Vec<&String> = reached.iter().map(|fleet| &fleets[*fleet]).collect();
        let token = by_admin.user(&format!("u{round}@example.com"), &json!({"role": role, "fleets": names}));
        let somebody = node.asked_by(&token);
        let allowed: BTreeSet<String> = owned
            .iter()
            .filter(|(_, fleet)| fleet.is_some_and(|fleet| reached.contains(&fleet)))
            .map(|(id, _)| id.clone())
            .collect();
        let sql = json!({"sql": "SELECT DISTINCT id FROM reports", "limit": 1000}).to_string();
        let searched = json!({"box": [-9.0, 40.0, -7.0, 43.0], "limit": 1000}).to_string();
        let near = json!({"near": {"latitude": 41.0, "longitude": -8.0}, "limit": 1000}).to_string();
        let at = format!("/api/v1/history/at?time={}", now + 1000);
        for (what, answer) in [
            ("sql", somebody.post("/api/v1/sql", sql)),
            ("search", somebody.post("/api/v1/search", searched)),
            ("near", somebody.post("/api/v1/search", near)),
            ("nearby", somebody.get("/api/v1/vehicles/nearby?lat=41&lng=-8&radius=1000000&limit=1000")),
            ("map of a moment", somebody.get(&at)),
            ("records", somebody.get("/api/v1/vehicles?limit=1000")),
        ] {
            let mut found = BTreeSet::new();
            ids(&answer.expect(200), &mut found);
            assert_eq!(found, allowed, "{what} for {role} of {names:?}");
        }
        let mut socket = node.socket(&format!("/api/v1/live?access_token={token}"));
        let mut found = BTreeSet::new();
        wait_for("the whole state", || {
            let message = socket.next();
            ids(&message["assets"], &mut found);
            (message["type"] == "snapshot" && message["last"] == true).then_some(())
        });
        assert_eq!(found, allowed, "watch for {role} of {names:?}");
        let foreign = owned.iter().find(|(id, _)| !allowed.contains(id)).map(|(id, _)| id);
        if let Some(foreign) = foreign {
            let unknown = somebody.get("/api/v1/vehicles/a-none/location");
            let hidden = somebody.get(&format!("/api/v1/vehicles/{foreign}/location"));
            assert_eq!((unknown.status, hidden.status), (404, 404), "{}", hidden.text());
            let report = report("vehicle", foreign, now + 5000, 1.0, 1.0);
            if role == "fleet_manager" {
                let refused = somebody.post("/api/v1/reports", json!([report]).to_string()).expect(422);
                assert_eq!(refused["rejected"][0]["code"], "not_allowed", "{refused}");
            }
        }
    }
}

#[test]
fn the_command_line_makes_people_keys_and_devices() {
    let folder = folder();
    let (node, admin) = Node::secured(&folder.path().join("data"), &[], &QUICK);
    let out = folder.path().to_str().expect("UTF-8").to_owned();
    let url = node.url();
    let run = |args: &[&str]| {
        let output = harness::drover(args).args(["--url", &url]).env("DROVER_TOKEN", &admin).output().expect("it runs");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), said)
    };
    assert_eq!(run(&["fleet", "add", "North", "--id", "north"]), (true, "north\n".into()));
    let (made, said) = run(&["user", "add", "ada@example.com", "--role", "dispatcher", "--fleet", "north"]);
    let once = said.lines().find_map(|line| line.strip_prefix("password, good once: ")).expect("a password");
    assert!(made, "{said}");
    node.log_in("ada@example.com", once);
    let (listed, said) = run(&["user", "list"]);
    assert!(listed && said.contains("ada@example.com") && said.contains("dispatcher"), "{said}");
    let (issued, said) = run(&["cert", "issue", "station/s-1", "--out", &out]);
    assert!(issued && folder.path().join("station-s-1.key").is_file(), "{said}");
    let (issued, token) = run(&["token", "issue", "vehicle/v-1"]);
    assert!(issued, "{token}");
    let report = json!({"latitude": 1, "longitude": 1}).to_string();
    node.asked_by(token.trim()).post("/api/v1/vehicles/v-1/location", report).expect(202);
    let (added, key) = run(&["key", "add", "warehouse", "--scope", "live.read", "--fleet", "north"]);
    assert!(added, "{key}");
    assert_eq!(node.asked_by(key.trim()).get("/api/v1/vehicles/nearby?lat=1&lng=1").status, 200);
    assert_eq!(node.asked_by(key.trim()).get("/api/v1/users").status, 403);
    let (made, said) = run(&["user", "add", "x@example.com", "--role", "king"]);
    assert!(!made && said.contains("role"), "{said}");
}
