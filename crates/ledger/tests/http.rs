//! The HTTP door: filters, pages, who sees what, and how it says that something is wrong.

mod support;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use drover_access::{Caller, Principal, Reach, Role};
use drover_ledger::{Entry, Ledger, Outcome, routes, verify_export};
use serde_json::{Value, json};
use support::{file_in, new_ledger};
use tempfile::TempDir;
use tower::ServiceExt;

fn caller(role: Role, reach: Reach) -> Caller {
    Caller::new(Principal { role, may: role.permissions(), reach, ..(*Caller::dev()).clone() })
}

fn of_fleets(fleets: &[&str]) -> Caller {
    caller(Role::FleetManager, Reach::Fleets(fleets.iter().map(|fleet| (*fleet).into()).collect()))
}

async fn ask(ledger: &Ledger, caller: Caller, path: &str) -> (StatusCode, String) {
    let (router, _) = routes(ledger.clone()).split_for_parts();
    let request = Request::builder().uri(path).body(Body::empty()).unwrap();
    let answer = router.layer(Extension(caller)).oneshot(request).await.unwrap();
    let status = answer.status();
    let body = to_bytes(answer.into_body(), 64 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn get_as(ledger: &Ledger, caller: Caller, path: &str) -> Value {
    let (status, body) = ask(ledger, caller, path).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The numbers of the entries in an answer.
async fn seqs(ledger: &Ledger, query: &str) -> Vec<u64> {
    seqs_as(ledger, Caller::dev(), query).await
}

async fn seqs_as(ledger: &Ledger, caller: Caller, query: &str) -> Vec<u64> {
    let page = get_as(ledger, caller, &format!("/api/v1/audit?{query}")).await;
    page["data"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
}

/// Entries of two fleets and of none.
async fn some() -> (TempDir, Ledger) {
    let (folder, ledger) = new_ledger().await;
    for (actor, action, subject, fleet) in [
        ("user/u-1", "vehicles.update", "vehicles/v-1", Some("north")),
        ("user/u-1", "location.read", "drivers/d-1", Some("south")),
        ("user/u-2", "location.watch", "drivers/d-1", Some("north")),
        ("user/u-2", "locations", "drivers/d-2", None),
        ("key/k-1", "vehicles.update", "vehicles/v-1", Some("north")),
    ] {
        let fleet = fleet.map(str::to_owned);
        ledger.append(Entry { fleet, ..Entry::new(actor, action, subject) }).await.unwrap();
    }
    (folder, ledger)
}

#[tokio::test]
async fn an_entry_shows_all_that_is_known_of_it() {
    let (_folder, ledger) = new_ledger().await;
    let entry = Entry {
        fleet: Some("north".into()),
        address: Some("2001:db8::1".parse().unwrap()),
        before: Some(json!({"depot": "d-1"})),
        after: Some(json!({"depot": "d-2"})),
        outcome: Outcome::Refused,
        origin: Some(("registry", 12)),
        ..Entry::new("user/u-1", "vehicles.update", "vehicles/v-1")
    };
    ledger.append(entry).await.unwrap();
    let mut page = get_as(&ledger, Caller::dev(), "/api/v1/audit").await;
    assert_eq!((&page["status"], &page["code"]), (&json!("success"), &json!(200)));
    assert_eq!(page["meta"]["pagination"], json!({"limit": 100, "next": null}));
    assert_eq!(page["meta"]["version"], "1.0");
    let entry = page["data"][0].as_object_mut().unwrap();
    for taken in ["time_ms", "hash", "previous_hash"] {
        assert!(!entry.remove(taken).unwrap().is_null());
    }
    let expected = json!({
        "seq": 1, "actor": "user/u-1", "action": "vehicles.update", "subject": "vehicles/v-1", "fleet": "north",
        "address": "2001:db8::1", "before": {"depot": "d-1"}, "after": {"depot": "d-2"}, "outcome": "refused",
        "origin": {"source": "registry", "seq": 12}
    });
    assert_eq!(page["data"], json!([expected]));
}

#[tokio::test]
async fn filters_take_what_they_say() {
    let (_folder, ledger) = some().await;
    assert_eq!(seqs(&ledger, "").await, [5, 4, 3, 2, 1]);
    assert_eq!(seqs(&ledger, "actor=user/u-1").await, [2, 1]);
    assert_eq!(seqs(&ledger, "action=location.*").await, [3, 2], "a prefix ends where it ends");
    assert_eq!(seqs(&ledger, "action=location").await, [] as [u64; 0]);
    assert_eq!(seqs(&ledger, "action=vehicles.update&actor=key/k-1").await, [5]);
    assert_eq!(seqs(&ledger, "subject=drivers/d-1").await, [3, 2]);
    assert_eq!(seqs(&ledger, "fleet=south").await, [2]);
    assert_eq!(seqs(&ledger, "actor=%27%20OR%201=1%20--").await.len(), 0);
    let page = get_as(&ledger, Caller::dev(), "/api/v1/audit").await;
    let (first, last) = (&page["data"][4]["time_ms"], page["data"][0]["time_ms"].as_i64().unwrap());
    assert_eq!(seqs(&ledger, &format!("since={first}&until={}", last + 1)).await.len(), 5);
    assert_eq!(seqs(&ledger, &format!("until={first}")).await.len(), 0);
    assert_eq!(seqs(&ledger, "since=2100-01-01T00:00:00Z").await.len(), 0);
}

#[tokio::test]
async fn pages_follow_each_other_and_the_last_one_has_no_next() {
    let (_folder, ledger) = some().await;
    let page = get_as(&ledger, Caller::dev(), "/api/v1/audit?limit=3").await;
    assert_eq!(page["meta"]["pagination"], json!({"limit": 3, "next": 3}));
    ledger.append(Entry::new("user/u-3", "a", "b")).await.unwrap();
    let page = get_as(&ledger, Caller::dev(), "/api/v1/audit?limit=2&cursor=3").await;
    assert_eq!(page["meta"]["pagination"]["next"], json!(null));
    assert_eq!(seqs(&ledger, "limit=2&cursor=3").await, [2, 1], "what comes meanwhile is not on later pages");
    assert_eq!(seqs(&ledger, "limit=1").await, [6]);
    assert_eq!(seqs(&ledger, "limit=1000").await.len(), 6);
    assert_eq!(seqs(&ledger, &format!("cursor={}", u64::MAX)).await.len(), 6);
}

#[tokio::test]
async fn a_page_of_large_entries_ends_earlier_and_goes_on() {
    let (_folder, ledger) = new_ledger().await;
    let large = Value::from("x".repeat(60_000));
    let entries = (0..200).map(|n| Entry { after: Some(large.clone()), ..Entry::new("a", "b", format!("{n}")) });
    ledger.append_all(entries.collect()).await.unwrap();
    let page = get_as(&ledger, Caller::dev(), "/api/v1/audit?limit=1000").await;
    let first = page["data"].as_array().unwrap().len();
    let next = page["meta"]["pagination"]["next"].as_u64().unwrap();
    assert!((100..200).contains(&first) && next == 201 - first as u64, "{first} {next}");
    assert_eq!(seqs(&ledger, &format!("limit=1000&cursor={next}")).await.len(), 200 - first);
    assert!(ledger.verify().await.unwrap().sound);
}

#[tokio::test]
async fn who_reaches_some_fleets_sees_their_entries_only() {
    let (_folder, ledger) = some().await;
    assert_eq!(seqs_as(&ledger, of_fleets(&["north"]), "").await, [5, 3, 1]);
    assert_eq!(seqs_as(&ledger, of_fleets(&["north", "south"]), "").await, [5, 3, 2, 1]);
    assert_eq!(seqs_as(&ledger, of_fleets(&["north"]), "fleet=south").await, [] as [u64; 0]);
    assert_eq!(seqs_as(&ledger, of_fleets(&[]), "").await, [] as [u64; 0]);
    let own = Caller::new(Principal { reach: Reach::Own, ..(*Caller::dev()).clone() });
    assert_eq!(seqs_as(&ledger, own, "").await, [] as [u64; 0]);
    let (_, export) = ask(&ledger, of_fleets(&["south"]), "/api/v1/audit/export").await;
    let verdict = verify_export(export.as_bytes()).unwrap();
    assert_eq!((export.lines().count(), verdict.complete, verdict.entries), (2, false, 1));
    assert!(!export.contains("north"));
}

#[tokio::test]
async fn without_the_permission_every_route_is_forbidden() {
    let (_folder, ledger) = some().await;
    for path in ["/api/v1/audit", "/api/v1/audit/export", "/api/v1/audit/verify"] {
        let (status, body) = ask(&ledger, caller(Role::Dispatcher, Reach::All), path).await;
        assert_eq!(status, 403, "{body}");
        let (status, body) = ask(&ledger, caller(Role::Auditor, Reach::All), path).await;
        assert_eq!(status, 200, "{body}");
    }
}

#[tokio::test]
async fn a_query_that_is_wrong_is_refused_by_name() {
    let (_folder, ledger) = some().await;
    for (query, field) in [
        ("since=yesterday", "since"),
        ("until=x", "until"),
        ("limit=-1", "limit"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("who=me", "who"),
    ] {
        let (status, body) = ask(&ledger, Caller::dev(), &format!("/api/v1/audit?{query}")).await;
        assert_eq!(status, 422, "{body}");
        let error: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(error["error"]["details"]["field"], field, "{body}");
    }
}

#[tokio::test]
async fn the_export_is_the_ledger_and_the_verdict_names_what_does_not_fit() {
    let (folder, ledger) = some().await;
    let (status, export) = ask(&ledger, Caller::dev(), "/api/v1/audit/export").await;
    assert_eq!(status, 200);
    let verdict = verify_export(export.as_bytes()).unwrap();
    assert_eq!((verdict.sound, verdict.complete, verdict.entries), (true, true, 5));
    let answer = get_as(&ledger, Caller::dev(), "/api/v1/audit/verify").await;
    assert_eq!((&answer["data"]["sound"], &answer["data"]["entries"]), (&json!(true), &json!(5)));
    assert_eq!((&answer["data"]["hash"], &answer["data"]["fault"]), (&json!(verdict.hash), &json!(null)));
    support::tamper(&file_in(&folder), "UPDATE entries SET actor = 'user/u-9' WHERE seq = 3").await;
    let answer = get_as(&ledger, Caller::dev(), "/api/v1/audit/verify").await;
    let fault = &answer["data"]["fault"];
    assert_eq!(
        (&answer["data"]["sound"], &fault["seq"], &fault["kind"]),
        (&json!(false), &json!(3), &json!("changed"))
    );
}
