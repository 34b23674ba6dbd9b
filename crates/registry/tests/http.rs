//! The HTTP door of the registry: what each route answers, over SQLite. Every answer is checked against the served
//! description too: its status must be documented there.

#[path = "http/deliveries.rs"]
mod deliveries;
#[path = "http/site.rs"]
mod site;
#[path = "http/stations.rs"]
mod stations;

use axum::routing::get;
use drover_access::{Reach, Role};
use drover_registry::{FieldKind, RESOURCES, resource};
use serde_json::{Value, json};
use site::{Answer, Site, caller, collect_refs, dev, minimal};

#[tokio::test]
async fn every_resource_is_made_read_listed_changed_exported_and_removed() {
    let site = Site::open().await;
    for (number, resource) in RESOURCES.into_iter().enumerate() {
        let all = format!("/api/v1/{}", resource.name);
        let body = minimal(&site, resource, number).await;
        let answer = site.post(&all, &body).await;
        let made = answer.data(201);
        let one = format!("{all}/{}", made["id"].as_str().unwrap());
        assert_eq!((answer.header("location"), answer.header("etag")), (&*one, "\"1\""));
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(&made[name], value, "{} {name}", resource.name);
        }
        assert_eq!(site.get(&one).await.data(200), made);
        let listed = site.get(&format!("{all}?id={}", made["id"].as_str().unwrap())).await.json(200);
        assert_eq!(listed["data"], json!([made]));
        assert_eq!(listed["meta"]["pagination"], json!({"page": 1, "limit": 25, "total": 1}));

        let text = |field: &&&drover_registry::Field| matches!(field.kind, FieldKind::Text { .. }) && !field.read_only;
        let field = resource.fields.iter().collect::<Vec<_>>().iter().find(text).map(|field| field.name).unwrap();
        let changed = site.patch(&one, &json!({field: "changed"})).await.data(200);
        assert_eq!((&changed[field], &changed["version"]), (&json!("changed"), &json!(2)), "{}", resource.name);
        let mut replaced = body.clone();
        replaced[field] = json!("replaced");
        assert_eq!(site.put(&one, &replaced).await.data(200)[field], "replaced");

        let file = site.get(&format!("{all}/export")).await.text(200);
        assert!(file.starts_with("id,") && file.contains("replaced"), "{file}");
        assert_eq!(site.delete(&one).await.status, 204);
        site.get(&one).await.is_problem(404, "not_found", None);
    }
}

#[tokio::test]
async fn a_list_has_pages_an_order_and_filters() {
    let site = Site::open().await;
    site.post("/api/v1/fleets", &json!({"id": "f-1", "name": "North"})).await.data(201);
    for n in 1..=5 {
        let status = if n % 2 == 0 { "idle" } else { "active" };
        let body = json!({
            "id": format!("v-{n}"), "registration_number": format!("P-{n}"), "capacity_kg": n * 100, "status": status,
            "fleet_id": if n == 5 { Value::Null } else { json!("f-1") }
        });
        site.post("/api/v1/vehicles", &body).await.data(201);
    }
    for (asked, ids, total) in [
        ("sort=-capacity_kg&limit=2", vec!["v-5", "v-4"], 5),
        ("sort=status,-id&limit=2&page=2", vec!["v-1", "v-4"], 5),
        ("page=4&limit=2", vec![], 5),
        ("status=idle&sort=id", vec!["v-2", "v-4"], 2),
        ("fleet_id=f-1&status=active&sort=id", vec!["v-1", "v-3"], 2),
        ("capacity_kg[gte]=200&capacity_kg[lte]=300&sort=id", vec!["v-2", "v-3"], 2),
        ("registration_number[in]=P-1,P-5&sort=id", vec!["v-1", "v-5"], 2),
        ("q=p-3", vec!["v-3"], 1),
        ("created_at[lte]=2020-01-01T00:00:00Z", vec![], 0),
    ] {
        let answer = site.get(&format!("/api/v1/vehicles?{asked}")).await.json(200);
        let found: Vec<_> = answer["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!((found, &answer["meta"]["pagination"]["total"]), (ids, &json!(total)), "{asked}");
        assert_eq!(
            (&answer["status"], &answer["code"], &answer["meta"]["version"]),
            (&json!("success"), &json!(200), &json!("1.0"))
        );
    }
}

#[tokio::test]
async fn a_list_that_is_asked_wrongly_says_what_can_be_asked() {
    let site = Site::open().await;
    let unknown = site.get("/api/v1/vehicles?stauts=active").await;
    unknown.is_problem(422, "unknown_field", Some("stauts"));
    assert!(unknown.message().contains("status") && unknown.message().contains("capacity_kg[gte]"));
    for (asked, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("page=x", "page"),
        ("sort=attributes", "sort"),
        ("capacity_kg[gte]=many", "capacity_kg"),
        ("status[gte]=active", "status[gte]"),
        ("status=active&status=idle", "status"),
        ("attributes=x", "attributes"),
        ("status=gone", "status"),
        ("make=%00", "make"),
    ] {
        let answer = site.get(&format!("/api/v1/vehicles?{asked}")).await;
        assert_eq!((answer.status, answer.field()), (422, Some(field.to_owned())), "{asked}: {}", answer.body());
    }
    site.get("/api/v1/drivers?name=Ana").await.is_problem(422, "unknown_field", Some("name"));
    site.get("/api/v1/drivers?sort=email").await.is_problem(422, "out_of_range", Some("sort"));
}

#[tokio::test]
async fn a_personal_field_is_found_by_its_whole_value() {
    let site = Site::open().await;
    let body = json!({"id": "c-1", "name": "Ana", "email": "Ana@example.com"});
    site.post("/api/v1/customers", &body).await.data(201);
    let found = site.get("/api/v1/customers?email=ana@example.com").await.json(200);
    assert_eq!(found["data"][0]["name"], "Ana");
    assert_eq!(site.get("/api/v1/customers?email=ana").await.json(200)["data"], json!([]));
}

#[tokio::test]
async fn a_record_that_the_caller_has_is_not_sent_again() {
    let site = Site::open().await;
    site.post("/api/v1/fleets", &json!({"id": "f-1", "name": "North"})).await.data(201);
    let answer = site.with("GET", "/api/v1/fleets/f-1", &[("if-none-match", "W/\"1\"")], "").await;
    assert_eq!((answer.status, answer.header("etag"), answer.body().len()), (304, "\"1\"", 0));
    site.patch("/api/v1/fleets/f-1", &json!({"region": "Porto"})).await.data(200);
    let answer = site.with("GET", "/api/v1/fleets/f-1", &[("if-none-match", "\"1\"")], "").await;
    assert_eq!((answer.header("etag"), &answer.data(200)["region"]), ("\"2\"", &json!("Porto")));
}

#[tokio::test]
async fn a_change_waits_for_the_version_that_the_caller_read() {
    let site = Site::open().await;
    site.post("/api/v1/fleets", &json!({"id": "f-1", "name": "North"})).await.data(201);
    let one = "/api/v1/fleets/f-1";
    for method in ["PATCH", "PUT", "DELETE"] {
        let answer = site.with(method, one, &[("if-match", "\"7\"")], r#"{"name":"South"}"#).await;
        answer.is_problem(412, "changed", None);
        assert!(answer.message().contains("\"1\""), "{}", answer.message());
    }
    site.with("PUT", one, &[("if-none-match", "*")], r#"{"name":"South"}"#).await.is_problem(412, "changed", None);
    let answer = site.with("PATCH", one, &[("if-match", "\"7\", \"1\"")], r#"{"name":"South"}"#).await;
    assert_eq!(answer.data(200)["version"], 2);
    assert_eq!(site.with("DELETE", one, &[("if-match", "*")], "").await.status, 204);
    site.with("DELETE", one, &[("if-match", "*")], "").await.is_problem(404, "not_found", None);
}

#[tokio::test]
async fn a_patch_empties_with_null_and_a_replacement_empties_what_it_leaves_out() {
    let site = Site::open().await;
    let body =
        json!({"id": "v-1", "registration_number": "P-1", "make": "Renault", "model": "Kangoo", "status": "idle"});
    site.post("/api/v1/vehicles", &body).await.data(201);
    let one = "/api/v1/vehicles/v-1";
    let changed = site.patch(one, &json!({"make": null})).await.data(200);
    assert_eq!((&changed["make"], &changed["model"]), (&Value::Null, &json!("Kangoo")));
    let same = site.patch(one, &json!({"make": null})).await.data(200);
    assert_eq!(same["version"], 2, "a patch that changes nothing leaves the version");
    let replaced = site.put(one, &json!({"id": "v-1", "registration_number": "P-2"})).await.data(200);
    assert_eq!((&replaced["model"], &replaced["status"]), (&Value::Null, &json!("active")));
    site.put(one, &replaced).await.data(200);
    site.patch(one, &json!({"id": "v-2"})).await.is_problem(422, "out_of_range", Some("id"));
    site.patch(one, &json!({"registration_number": null})).await.is_problem(
        422,
        "invalid_field",
        Some("registration_number"),
    );
    site.put("/api/v1/vehicles/v-9", &json!({"registration_number": "P-9"})).await.is_problem(404, "not_found", None);
}

#[tokio::test]
async fn what_others_refer_to_stays_and_what_is_unique_is_so() {
    let site = Site::open().await;
    site.post("/api/v1/fleets", &json!({"id": "f-1", "name": "North"})).await.data(201);
    let vehicle = json!({"registration_number": "P-1", "fleet_id": "f-1"});
    site.post("/api/v1/vehicles", &vehicle).await.data(201);
    site.delete("/api/v1/fleets/f-1").await.is_problem(409, "in_use", None);
    site.post("/api/v1/vehicles", &vehicle).await.is_problem(409, "already_exists", Some("registration_number"));
    let nowhere = json!({"registration_number": "P-2", "fleet_id": "f-2"});
    site.post("/api/v1/vehicles", &nowhere).await.is_problem(422, "invalid_field", Some("fleet_id"));
}

#[tokio::test]
async fn a_request_sent_again_with_its_key_makes_nothing_twice() {
    let site = Site::open().await;
    let key = [("idempotency-key", "k-1")];
    let first = site.with("POST", "/api/v1/fleets", &key, r#"{"name":"North"}"#).await;
    let again = site.with("POST", "/api/v1/fleets", &key, r#"{"name":"North"}"#).await;
    assert_eq!((first.data(201), first.header("location")), (again.data(201), again.header("location")));
    assert_eq!((first.headers.get("idempotency-replayed"), again.header("idempotency-replayed")), (None, "true"));
    let other = site.with("POST", "/api/v1/fleets", &key, r#"{"name":"South"}"#).await;
    other.is_problem(422, "idempotency_key_reused", Some("Idempotency-Key"));
    let elsewhere = site.with("POST", "/api/v1/organisations", &key, r#"{"name":"North"}"#).await;
    elsewhere.data(201);
    assert_eq!(site.get("/api/v1/fleets").await.json(200)["meta"]["pagination"]["total"], 1);
    let refused = [("idempotency-key", "k-2")];
    site.with("POST", "/api/v1/fleets", &refused, r#"{"name":""}"#).await.is_problem(
        422,
        "invalid_field",
        Some("name"),
    );
    site.with("POST", "/api/v1/fleets", &refused, r#"{"name":"East"}"#).await.data(201);
    let long = "k".repeat(201);
    site.with("POST", "/api/v1/fleets", &[("idempotency-key", &long)], r#"{"name":"x"}"#).await.is_problem(
        422,
        "out_of_range",
        Some("Idempotency-Key"),
    );
}

#[tokio::test]
async fn a_body_that_cannot_be_taken_is_refused_by_what_is_wrong_with_it() {
    let site = Site::open().await;
    let post = async |body: &str| site.with("POST", "/api/v1/vehicles", &[], body).await;
    let broken = post("{\n  \"make\": oops}").await;
    broken.is_problem(400, "malformed", None);
    assert!(broken.message().contains("line 2, column"), "{}", broken.message());
    post("").await.is_problem(400, "malformed", None);
    post("[1]").await.is_problem(422, "wrong_type", None);
    let deep = format!("{{\"attributes\":{}1{}}}", "[".repeat(32), "]".repeat(32));
    post(&deep).await.is_problem(422, "too_deep", None);
    post(&format!("{{\"make\":\"{}\"}}", "x".repeat(1 << 20))).await.is_problem(413, "too_large", None);
    let unknown = post(r#"{"registration_nmber":"P-1"}"#).await;
    unknown.is_problem(422, "unknown_field", Some("registration_nmber"));
    assert!(unknown.message().contains("nearest is \"registration_number\""), "{}", unknown.message());
    post(r#"{"registration_number":"P-1","make":"a\u0000"}"#).await.is_problem(422, "out_of_range", Some("make"));
    post(r#"{"make":"Renault"}"#).await.is_problem(422, "invalid_field", Some("registration_number"));
    post(r#"{"registration_number":"P-1","status":"flying"}"#).await.is_problem(422, "invalid_field", Some("status"));
    let headers = [("content-type", "text/plain")];
    site.with("POST", "/api/v1/vehicles", &headers, r#"{"registration_number":"P-1"}"#).await.data(201);
}

#[tokio::test]
async fn an_id_that_cannot_be_one_names_nothing() {
    let site = Site::open().await;
    for id in ["a%20b", "%00", "nobody", &"x".repeat(65)] {
        site.get(&format!("/api/v1/vehicles/{id}")).await.is_problem(404, "not_found", None);
    }
    site.get("/api/v1/vehicles/%ff").await.is_problem(400, "malformed", None);
    for id in ["export", "import", "nearby"] {
        site.post("/api/v1/fleets", &json!({"id": id, "name": "x"})).await.is_problem(422, "out_of_range", Some("id"));
        let report = site.with("POST", "/api/v1/fleets/import", &[], &format!("id,name\n{id},x\n")).await.data(200);
        assert_eq!((&report["outcomes"][0]["field"], &report["created"]), (&json!("id"), &json!(0)), "{report}");
    }
}

#[tokio::test]
async fn a_file_comes_back_as_it_went() {
    let site = Site::open().await;
    site.post("/api/v1/fleets", &json!({"id": "f-1", "name": "=cmd()"})).await.data(201);
    let driver =
        json!({"id": "d-1", "name": "Ana, \"A\"", "phone": "+351 21", "fleet_id": "f-1", "attributes": {"a": [1]}});
    let driver = site.post("/api/v1/drivers", &driver).await.data(201);
    let answer = site.get("/api/v1/fleets/export").await;
    assert!(answer.header("content-type").starts_with("text/csv"));
    assert!(answer.text(200).contains("f-1,'=cmd()"), "{}", answer.body());
    let file = site.get("/api/v1/drivers/export?fleet_id=f-1").await.text(200);
    assert!(file.contains("'+351 21"), "{file}");
    assert_eq!(site.get("/api/v1/drivers/export?status=left").await.text(200).lines().count(), 1);
    site.get("/api/v1/drivers/export?page=2").await.is_problem(422, "unknown_field", Some("page"));

    let report = site.with("POST", "/api/v1/drivers/import", &[], &file).await.data(200);
    assert_eq!((&report["unchanged"], &report["rows"]), (&json!(1), &json!(1)), "{report}");
    let elsewhere = Site::open().await;
    elsewhere.post("/api/v1/fleets", &json!({"id": "f-1", "name": "North"})).await.data(201);
    let report = elsewhere.with("POST", "/api/v1/drivers/import", &[], &file).await.data(200);
    assert_eq!(report["created"], 1, "{report}");
    let there = elsewhere.get("/api/v1/drivers/d-1").await.data(200);
    for name in ["name", "phone", "fleet_id", "attributes", "status"] {
        assert_eq!(there[name], driver[name], "{name}");
    }
}

#[tokio::test]
async fn an_export_goes_over_all_pages() {
    let site = Site::open().await;
    let rows: String = (0..1001).map(|n| format!("f-{n:04},Fleet {n}\n")).collect();
    let report = site.with("POST", "/api/v1/fleets/import", &[], &format!("id,name\n{rows}")).await.data(200);
    assert_eq!(report["created"], 1001);
    let file = site.get("/api/v1/fleets/export").await.text(200);
    let ids: Vec<_> = file.lines().skip(1).map(|line| line[..6].to_owned()).collect();
    assert_eq!(ids, (0..1001).map(|n| format!("f-{n:04}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn each_row_of_a_file_says_what_became_of_it_and_a_dry_run_writes_nothing() {
    let site = Site::open().await;
    let old = json!({"id": "v-1", "registration_number": "P-1", "make": "Renault", "capacity_kg": 100});
    site.post("/api/v1/vehicles", &old).await.data(201);
    let file = "\u{feff}id;registration_number;make;capacity_kg\r\n\
        v-1;P-1;;250.5\r\n\
        v-2;P-2;Fiat;\r\n\
        ;P-3;;\r\n\
        v-4;P-4;;heavy\r\n\
        v-5;P-1;;\r\n\
        v 6;P-6;;\r\n\
        v-7;P-7\r\n";
    let expected = [
        (2, "updated", Some("v-1"), None, None),
        (3, "created", Some("v-2"), None, None),
        (4, "created", None, None, None),
        (5, "refused", None, Some("capacity_kg"), Some("heavy")),
        (6, "refused", None, Some("registration_number"), Some("P-1")),
        (7, "refused", None, Some("id"), Some("v 6")),
        (8, "refused", None, None, None),
    ];
    for dry_run in [true, false] {
        let report =
            site.with("POST", &format!("/api/v1/vehicles/import?dry_run={dry_run}"), &[], file).await.data(200);
        assert_eq!(report["dry_run"], dry_run);
        for (name, count) in [("rows", 7), ("created", 2), ("updated", 1), ("unchanged", 0), ("refused", 4)] {
            assert_eq!(report[name], count, "{name} {report}");
        }
        for (outcome, (row, became, id, field, value)) in report["outcomes"].as_array().unwrap().iter().zip(&expected) {
            assert_eq!((&outcome["row"], &outcome["outcome"]), (&json!(row), &json!(became)), "{outcome}");
            assert_eq!((outcome["field"].as_str(), outcome["value"].as_str()), (*field, *value), "{outcome}");
            assert_eq!(outcome["message"].is_string(), *became == "refused", "{outcome}");
            if id.is_some() && !dry_run {
                assert_eq!(outcome["id"].as_str(), *id);
            }
        }
        let total = &site.get("/api/v1/vehicles").await.json(200)["meta"]["pagination"]["total"];
        assert_eq!(total, if dry_run { 1 } else { 3 });
    }
    let changed = site.get("/api/v1/vehicles/v-1").await.data(200);
    assert_eq!((&changed["make"], &changed["capacity_kg"]), (&Value::Null, &json!(250.5)));
}

#[tokio::test]
async fn a_file_with_a_strange_header_or_too_many_bytes_is_refused_whole() {
    let site = Site::open().await;
    let import = async |path: &str, file: &str| site.with("POST", path, &[], file).await;
    let strange = import("/api/v1/vehicles/import", "id,registration\nv-1,P-1\n").await;
    strange.is_problem(422, "unknown_field", Some("registration"));
    assert!(strange.message().contains("registration_number"), "{}", strange.message());
    import("/api/v1/vehicles/import", "").await.is_problem(400, "malformed", None);
    import("/api/v1/vehicles/import?dry=true", "id\n").await.is_problem(422, "unknown_field", Some("dry"));
    import("/api/v1/vehicles/import?dry_run=1", "id\n").await.is_problem(422, "out_of_range", Some("dry_run"));
    import("/api/v1/vehicles/import", &"x".repeat((16 << 20) + 1)).await.is_problem(413, "too_large", None);
}

#[tokio::test]
async fn the_current_assignment_of_a_driver_comes_first() {
    let site = Site::open().await;
    site.post("/api/v1/drivers", &json!({"id": "d-1", "name": "Ana"})).await.data(201);
    site.post("/api/v1/vehicles", &json!({"id": "v-1", "registration_number": "P-1"})).await.data(201);
    for (id, from, until) in [
        ("as-1", "2020-01-01T00:00:00Z", json!("2021-01-01T00:00:00Z")),
        ("as-2", "2022-01-01T00:00:00Z", json!("2100-01-01T00:00:00Z")),
        ("as-3", "2200-01-01T00:00:00Z", Value::Null),
    ] {
        let body = json!({"id": id, "driver_id": "d-1", "vehicle_id": "v-1", "starts_at": from, "ends_at": until});
        site.post("/api/v1/assignments", &body).await.data(201);
    }
    let found = site.get("/api/v1/drivers/d-1/assignments").await.data(200);
    let ids: Vec<_> = found.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["as-2", "as-3", "as-1"]);
    site.get("/api/v1/drivers/d-2/assignments").await.is_problem(404, "not_found", None);
    site.get("/api/v1/drivers/d-1/assignments?page=1").await.is_problem(422, "unknown_field", Some("page"));
}

#[tokio::test]
async fn a_route_is_made_with_its_stops() {
    let site = Site::open().await;
    let stops = json!([{"latitude": 38.7, "longitude": -9.1, "kind": "pickup"}, {"latitude": 38.8, "longitude": -9.2}]);
    let made = site.post("/api/v1/routes", &json!({"date": "2026-01-31", "stops": stops})).await.data(201);
    assert_eq!((&made["status"], made["stops"].as_array().unwrap().len()), (&json!("planned"), 2));
    let wrong = json!({"date": "2026-01-31", "stops": [{"latitude": 95, "longitude": 0}]});
    site.post("/api/v1/routes", &wrong).await.is_problem(422, "invalid_field", Some("stops[0].latitude"));
}

#[tokio::test]
async fn a_person_gets_everything_and_is_erased_everywhere() {
    let site = Site::open().await;
    for (path, id) in [("customers", "c-1"), ("drivers", "d-1")] {
        let body = json!({"id": id, "name": "Ana", "email": "ana@example.com"});
        site.post(&format!("/api/v1/{path}"), &body).await.data(201);
        let export = site.get(&format!("/api/v1/{path}/{id}/export")).await;
        assert!(export.data(200).to_string().contains("ana@example.com"), "{}", export.body());
        let report = site.post(&format!("/api/v1/{path}/{id}/erase"), &json!({})).await.data(200);
        assert_eq!((&report["id"], &report["resource"]), (&json!(id), &json!(path)));
        assert!(report["erased"]["fields"].as_array().unwrap().contains(&json!("email")));
        assert_eq!(report["erased"]["elsewhere"], json!({"history": format!("{path}/{id}")}));
        assert!(!report["remains"].as_array().unwrap().is_empty());
        let left = site.get(&format!("/api/v1/{path}/{id}")).await.data(200);
        assert_eq!((&left["email"], &left["erased"]), (&Value::Null, &json!(true)));
        site.post(&format!("/api/v1/{path}/{id}/erase"), &json!({})).await.data(200);
        site.post(&format!("/api/v1/{path}/nobody/erase"), &json!({})).await.is_problem(404, "not_found", None);
        site.get(&format!("/api/v1/{path}/nobody/export")).await.is_problem(404, "not_found", None);
    }
}

#[tokio::test]
async fn changes_are_read_in_order_and_only_within_reach() {
    let site = Site::open().await;
    for fleet in ["f-1", "f-2"] {
        site.post("/api/v1/fleets", &json!({"id": fleet, "name": fleet})).await.data(201);
    }
    site.post("/api/v1/customers", &json!({"id": "c-1", "name": "Ana", "fleet_id": "f-1"})).await.data(201);
    site.patch("/api/v1/fleets/f-2", &json!({"region": "Porto"})).await.data(200);
    let first = site.get("/api/v1/changes?limit=3").await.data(200);
    assert_eq!((first["changes"].as_array().unwrap().len(), &first["more"]), (3, &json!(true)));
    assert!(!first.to_string().contains("Ana"), "nothing personal: {first}");
    let rest = site.get(&format!("/api/v1/changes?since={}", first["next"])).await.data(200);
    let last = &rest["changes"][0];
    assert_eq!(
        (&last["op"], &last["after"]["region"], &rest["more"]),
        (&json!("update"), &json!("Porto"), &json!(false))
    );
    assert_eq!(rest["forgotten_through"], 0);

    let lines = site.with("GET", "/api/v1/changes", &[("accept", "application/x-ndjson")], "").await;
    let last = serde_json::from_str::<Value>(lines.text(200).lines().last().unwrap()).unwrap();
    assert_eq!(lines.header("drover-next-since"), last["seq"].to_string());

    let reader = caller(Role::Driver, Reach::Fleets(["f-1".into()].into()));
    let seen = site.by(&reader, "GET", "/api/v1/changes", "").await.data(200);
    let ids: Vec<_> = seen["changes"].as_array().unwrap().iter().map(|change| change["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["f-1"], "not another fleet, not a customer");
    assert_eq!(seen["next"], rest["next"]);
    for (asked, field) in [("since=-1", "since"), ("limit=5000", "limit"), ("from=1", "from")] {
        assert_eq!(site.get(&format!("/api/v1/changes?{asked}")).await.field().as_deref(), Some(field));
    }
}

#[tokio::test]
async fn the_description_has_every_route_and_leads_nowhere_it_does_not_have() {
    let site = Site::open().await;
    let document = &site.document;
    // Those of live positions stand under the same words.
    let others = ["/driver-location", "/nearby", "/location"];
    let ours = |path: &str| {
        let rest = path.strip_prefix("/api/v1/").unwrap_or_default();
        let first = rest.split('/').next().unwrap_or_default();
        (resource(first).is_some() || matches!(first, "orders" | "changes") || path.starts_with("/stations"))
            && !others.iter().any(|other| path.ends_with(other))
    };
    let mut rows = 0;
    for row in drover_access::routes().iter().filter(|row| ours(&row.path)) {
        let operation = &document["paths"][&row.path][row.method.to_lowercase()];
        assert!(operation.is_object(), "{} {} is not described", row.method, row.path);
        rows += 1;
    }
    let mut ids = std::collections::BTreeSet::new();
    let mut described = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let row = drover_access::route(&method.to_uppercase(), path);
            assert!(row.is_some(), "{method} {path} is not in the table of routes");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path} {method}: twice");
            assert!(operation["tags"][0].is_string() && operation["summary"].is_string(), "{path} {method}");
            assert!(operation["responses"]["503"].is_object(), "{path} {method}");
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(parameters.iter().any(|one| one["name"] == part && one["in"] == "path"), "{path} {part}");
            }
            described += 1;
        }
    }
    assert_eq!(rows, described);
    let mut refs = Vec::new();
    collect_refs(document, &mut refs);
    assert!(refs.len() > 100);
    for place in refs {
        assert!(document.pointer(place.trim_start_matches('#')).is_some(), "{place} leads nowhere");
    }
    let vehicle = &document["components"]["schemas"]["VehicleNew"];
    assert_eq!(
        (&vehicle["additionalProperties"], &vehicle["required"]),
        (&json!(false), &json!(["registration_number"]))
    );
    assert_eq!(vehicle["properties"]["max_speed_kmh"]["maximum"], json!(500));
    assert_eq!(vehicle["properties"]["registration_number"]["maxLength"], json!(32));
    assert_eq!(vehicle["properties"]["status"]["enum"].as_array().unwrap()[0], "active");
}

#[tokio::test]
async fn the_examples_of_the_description_are_taken() {
    let site = Site::open().await;
    let document = site.document.clone();
    for resource in RESOURCES {
        let path = format!("/api/v1/{}", resource.name);
        let body = &document["paths"][&path]["post"]["requestBody"]["content"]["application/json"]["example"];
        let mut body = body.clone();
        if resource.name == "devices" {
            // What it reports for is no reference that a definition shows.
            body["asset_id"] = json!("d-1");
        }
        site.post(&path, &body).await.data(201);
        let one = format!("{path}/{}", body["id"].as_str().unwrap());
        let change = document["paths"][format!("{path}/{{id}}")]["patch"]["requestBody"]["content"]["application/json"]
            ["example"]
            .clone();
        site.patch(&one, &change).await.data(200);
    }
}

#[tokio::test]
async fn without_a_guard_nobody_gets_through() {
    let site = Site::open().await;
    let answer: Answer = site.nobody("/api/v1/vehicles").await;
    answer.is_problem(500, "internal", None);
    site.by(&dev(), "GET", "/api/v1/vehicles", "").await.is(200);
}

#[tokio::test]
async fn an_asset_has_its_location_beside_its_record() {
    let site = Site::open().await;
    let location = axum::Router::new().route("/api/v1/{kinds}/{id}/location", get(async || "here"));
    let site = site.beside(location);
    site.post("/api/v1/drivers", &json!({"id": "d-1", "name": "Ana"})).await.data(201);
    assert_eq!(site.undescribed("/api/v1/drivers/d-1/location").await.text(200), "here");
    assert_eq!(site.get("/api/v1/drivers/d-1").await.data(200)["name"], "Ana");
    site.get("/api/v1/drivers/d-1/assignments").await.data(200);
}
