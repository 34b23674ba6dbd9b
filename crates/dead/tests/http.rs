//! The HTTP door: what each route answers, and how it says that something is wrong.

mod support;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use drover_dead::{Dead, routes};
use serde_json::{Value, json};
use std::sync::mpsc::channel;
use std::time::Duration;
use support::{HISTORY, IMPORT, NOON, failure, open, put, put_at, retried_by};
use tempfile::{TempDir, tempdir};
use tower::ServiceExt;

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    fn json(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        serde_json::from_str(&text).expect("the answer is JSON")
    }

    /// Whether it is an error of this status, code and field that says what to do.
    #[track_caller]
    fn is_problem(&self, status: u16, code: &str, field: Option<&str>) {
        let envelope = self.json(status);
        let error = &envelope["error"];
        assert_eq!((&envelope["status"], &error["code"]), (&json!("error"), &json!(code)), "{envelope}");
        assert_eq!(error["details"]["field"].as_str(), field, "{envelope}");
        assert!(!error["help"].as_str().unwrap().is_empty() && !error["message"].as_str().unwrap().is_empty());
    }
}

async fn ask(dead: &Dead, method: Method, path: &str) -> Answer {
    let (router, _) = routes(dead.clone()).split_for_parts();
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    Answer { status, headers, body: to_bytes(answer.into_body(), 64 << 20).await.unwrap().to_vec() }
}

async fn get(dead: &Dead, path: &str) -> Answer {
    ask(dead, Method::GET, path).await
}

async fn post(dead: &Dead, path: &str) -> Answer {
    ask(dead, Method::POST, path).await
}

async fn delete(dead: &Dead, path: &str) -> Answer {
    ask(dead, Method::DELETE, path).await
}

fn some(imports: usize, of_history: usize) -> (TempDir, Dead) {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    for n in 0..imports {
        put(&dead, &IMPORT, &format!("job {n}"));
    }
    for n in 0..of_history {
        put(&dead, &HISTORY, &format!("position {n}"));
    }
    (folder, dead)
}

fn ids(page: &Value) -> Vec<u64> {
    page["dead_letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_letter_shows_all_that_is_known_of_it() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    put_at(&dead, "job 12", NOON);
    let letter = json!({
        "id": 1, "source": "import", "key": "job 12", "stage": "read file", "error": "job 12 cannot be read",
        "context": {"file": "day.csv", "row": 17}, "attempts": 4, "first_failed_ms": NOON, "last_failed_ms": NOON,
        "original_bytes": 6, "original_kept": true, "state": "waiting"
    });
    assert_eq!(get(&dead, "/api/v1/dead-letters/1").await.json(200), letter);
    let page = get(&dead, "/api/v1/dead-letters").await.json(200);
    assert_eq!(page, json!({"dead_letters": [letter], "next": null}));
}

#[tokio::test]
async fn pages_follow_each_other_by_next_and_the_last_one_has_none() {
    let (_folder, dead) = some(5, 1);
    let page = get(&dead, "/api/v1/dead-letters?source=import&limit=3").await.json(200);
    assert_eq!((ids(&page), &page["next"]), (vec![5, 4, 3], &json!(3)));
    let page = get(&dead, "/api/v1/dead-letters?source=import&limit=2&before=3").await.json(200);
    assert_eq!((ids(&page), &page["next"]), (vec![2, 1], &Value::Null));
    let page = get(&dead, "/api/v1/dead-letters?source=nobody").await.json(200);
    assert_eq!((ids(&page), &page["next"]), (vec![], &Value::Null));
    get(&dead, "/api/v1/dead-letters?limit=0").await.is_problem(422, "out_of_range", Some("limit"));
}

#[tokio::test]
async fn a_page_has_at_most_a_thousand_letters() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    std::thread::scope(|scope| {
        scope.spawn(|| (0..1001).for_each(|n| drop(dead.put(failure(&IMPORT, &n.to_string(), b"")))));
    });
    get(&dead, "/api/v1/dead-letters?limit=1001").await.is_problem(422, "out_of_range", Some("limit"));
    let page = get(&dead, "/api/v1/dead-letters?limit=1000").await.json(200);
    assert_eq!((ids(&page).len(), &page["next"]), (1000, &json!(2)));
    assert_eq!(ids(&get(&dead, "/api/v1/dead-letters").await.json(200)).len(), 100);
}

#[tokio::test]
async fn an_original_comes_as_it_was_and_as_a_file() {
    let folder = tempdir().unwrap();
    let dead = open(folder.path());
    let bytes: Vec<u8> = (0..=255).collect();
    dead.put(failure(&HISTORY, "position 881", &bytes)).unwrap();
    let answer = get(&dead, "/api/v1/dead-letters/1/original").await;
    assert_eq!((answer.status, &answer.body), (StatusCode::OK, &bytes));
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/octet-stream");
    assert_eq!(answer.headers[header::CONTENT_DISPOSITION], "attachment; filename=\"dead-letter-1.bin\"");
}

#[tokio::test]
async fn an_original_that_was_not_kept_is_told_from_a_letter_that_is_not_there() {
    let folder = tempdir().unwrap();
    let settings = drover_dead::Settings { max_bytes: 3, ..Default::default() };
    let dead = Dead::open(folder.path(), settings).unwrap();
    put(&dead, &IMPORT, "job 1");
    get(&dead, "/api/v1/dead-letters/1/original").await.is_problem(404, "original_not_kept", None);
    get(&dead, "/api/v1/dead-letters/2/original").await.is_problem(404, "not_found", None);
}

#[tokio::test]
async fn a_retry_answers_what_came_of_it() {
    let (_folder, dead) = some(1, 0);
    retried_by(&dead, &IMPORT, |_, _| Err("the disk is broken".into()));
    let answer = post(&dead, "/api/v1/dead-letters/1/retry").await.json(200);
    assert_eq!(answer, json!({"done": false, "error": "the disk is broken", "attempts": 5}));
    retried_by(&dead, &IMPORT, |_, _| Ok("job 0 goes on from row 17".into()));
    let answer = post(&dead, "/api/v1/dead-letters/1/retry").await.json(200);
    assert_eq!(answer, json!({"done": true, "what": "job 0 goes on from row 17", "attempts": 6}));
    post(&dead, "/api/v1/dead-letters/1/retry").await.is_problem(404, "not_found", None);
    get(&dead, "/api/v1/dead-letters/1").await.is_problem(404, "not_found", None);
}

#[tokio::test]
async fn what_is_being_retried_cannot_be_retried_and_says_so() {
    let (_folder, dead) = some(1, 1);
    let (began, has_begun) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let may_go_on = parking_lot::Mutex::new(may_go_on);
    retried_by(&dead, &IMPORT, move |_, _| {
        began.send(()).unwrap();
        may_go_on.lock().recv_timeout(Duration::from_secs(10)).unwrap();
        Ok("done".into())
    });
    let first = tokio::spawn({
        let dead = dead.clone();
        async move { post(&dead, "/api/v1/dead-letters/1/retry").await.json(200) }
    });
    tokio::task::spawn_blocking(move || has_begun.recv_timeout(Duration::from_secs(10)).unwrap()).await.unwrap();
    post(&dead, "/api/v1/dead-letters/1/retry").await.is_problem(409, "busy", None);
    assert_eq!(get(&dead, "/api/v1/dead-letters/1").await.json(200)["state"], "retrying");
    go_on.send(()).unwrap();
    assert_eq!(first.await.unwrap()["done"], true);
    post(&dead, "/api/v1/dead-letters/2/retry").await.is_problem(409, "no_handler", None);
}

#[tokio::test]
async fn all_letters_are_retried_in_batches() {
    let (_folder, dead) = some(4, 2);
    retried_by(&dead, &IMPORT, |letter, _| match letter.key.as_str() {
        "job 1" => Err("poison".into()),
        _ => Ok("taken".into()),
    });
    let answer = post(&dead, "/api/v1/dead-letters/retry?source=import&limit=2").await.json(200);
    assert_eq!(answer, json!({"tried": 2, "done": 1, "failed": 1, "skipped": 0, "next": 2}));
    let answer = post(&dead, "/api/v1/dead-letters/retry?source=import&after=2&before=4").await.json(200);
    assert_eq!(answer, json!({"tried": 1, "done": 1, "failed": 0, "skipped": 0, "next": null}));
    let answer = post(&dead, "/api/v1/dead-letters/retry").await.json(200);
    assert_eq!(answer, json!({"tried": 2, "done": 1, "failed": 1, "skipped": 2, "next": null}));
}

#[tokio::test]
async fn letters_are_dropped_one_by_one_or_by_source() {
    let (_folder, dead) = some(3, 2);
    let answer = delete(&dead, "/api/v1/dead-letters/1").await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0));
    delete(&dead, "/api/v1/dead-letters/1").await.is_problem(404, "not_found", None);
    assert_eq!(delete(&dead, "/api/v1/dead-letters?source=import").await.json(200), json!({"dropped": 2}));
    assert_eq!(dead.status().letters, 2);
}

#[tokio::test]
async fn nothing_is_dropped_without_a_source() {
    let (_folder, dead) = some(1, 1);
    delete(&dead, "/api/v1/dead-letters").await.is_problem(422, "out_of_range", Some("source"));
    delete(&dead, "/api/v1/dead-letters?source=").await.is_problem(422, "out_of_range", Some("source"));
    delete(&dead, "/api/v1/dead-letters?source=import&limit=1").await.is_problem(422, "unknown_field", Some("limit"));
    assert_eq!(dead.status().letters, 2);
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_with_its_place() {
    let (_folder, dead) = some(1, 0);
    get(&dead, "/api/v1/dead-letters?source=Im%20port").await.is_problem(422, "out_of_range", Some("source"));
    get(&dead, "/api/v1/dead-letters?limit=many").await.is_problem(422, "wrong_type", Some("limit"));
    get(&dead, "/api/v1/dead-letters?form=1").await.is_problem(422, "unknown_field", Some("form"));
    post(&dead, "/api/v1/dead-letters/retry?source=A").await.is_problem(422, "out_of_range", Some("source"));
    for path in ["/api/v1/dead-letters/first", "/api/v1/dead-letters/-1", "/api/v1/dead-letters/2"] {
        get(&dead, path).await.is_problem(404, "not_found", None);
        delete(&dead, path).await.is_problem(404, "not_found", None);
        post(&dead, &format!("{path}/retry")).await.is_problem(404, "not_found", None);
    }
}

#[test]
fn every_route_is_documented_with_its_examples() {
    let folder = tempdir().unwrap();
    let (_, document) = routes(open(folder.path())).split_for_parts();
    let document = serde_json::to_value(document).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations: Vec<String> = paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    assert_eq!(operations.len(), 7, "{operations:?}");
    for item in paths.values() {
        for operation in item.as_object().unwrap().values() {
            assert_eq!(operation["tags"], json!(["dead letters"]));
            assert!(operation["summary"].is_string() && operation["responses"].as_object().unwrap().len() > 1);
        }
    }
    let schemas = &document["components"]["schemas"];
    for name in ["DeadLetter", "DeadLettersPage", "RetryResult", "RetrySummary", "DroppedLetters"] {
        assert!(schemas[name].is_object(), "{name} is described: {schemas}");
    }
    assert!(schemas["DeadLetter"]["example"].is_object());
    let drop = &paths["/api/v1/dead-letters"]["delete"]["parameters"][0];
    assert_eq!((&drop["name"], &drop["required"]), (&json!("source"), &json!(true)));
}
