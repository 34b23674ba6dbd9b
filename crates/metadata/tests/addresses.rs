//! Sources that are addresses: slow, wrong, down and back. Every test has a real server on a free port.

mod support;

use drover_metadata::{Metadata, Settings};
use drover_model::Kind;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{ONE_BUS, Stub, TWO_BUSES, max_speed, send, send_json, settings, start, wait};

/// A good answer, and after it only `wrong` ones: tells what the status says then. The good table must stay.
fn after_a_good_answer(change: impl Fn(&mut Settings), wrong: fn(&mut TcpStream)) -> String {
    let is_wrong = Arc::new(AtomicBool::new(false));
    let wrong_now = is_wrong.clone();
    let stub = Stub::start(move |_, _, stream| match wrong_now.load(Ordering::SeqCst) {
        false => send_json(stream, ONE_BUS),
        true => wrong(stream),
    });
    let mut settings = stub.settings();
    change(&mut settings);
    let (metadata, running) = start(settings);
    let failures = wait(&metadata, |status| status.entries == 1).failures;
    is_wrong.store(true, Ordering::SeqCst);
    let status = wait(&metadata, |status| status.failures > failures + 1);
    assert_eq!((status.entries, max_speed(&metadata, "BUS-1")), (1, Some(80.0)), "the good table is served");
    running.stop();
    status.last_error.unwrap()
}

fn error_after(wrong: fn(&mut TcpStream)) -> String {
    after_a_good_answer(|_| {}, wrong)
}

#[test]
fn a_good_answer_is_taken_and_asked_for_again_before_the_ttl_ends() {
    let stub = Stub::start(|number, _, stream| send_json(stream, if number < 3 { ONE_BUS } else { TWO_BUSES }));
    let (metadata, running) = start(stub.settings());
    let status = wait(&metadata, |status| status.entries == 2);
    assert!(status.fresh && status.last_error.is_none() && status.failures == 0, "{status:?}");
    assert!(stub.requests() >= 4);
    running.stop();
}

#[test]
fn user_and_password_are_sent_as_they_are_meant_and_shown_nowhere() {
    let stub = Stub::start(|_, head, stream| match head.contains("Basic bWU6cEBzcw==") {
        true => send_json(stream, ONE_BUS),
        false => send(stream, "401 Unauthorized", "", ""),
    });
    let with_password = stub.url.replace("http://", "http://me:p%40ss@") + "?key=p%40ss";
    let (metadata, running) = start(settings(&with_password));
    let status = wait(&metadata, |status| status.entries == 1);
    assert!(!format!("{status:?}").contains("p%40ss") && !format!("{status:?}").contains("p@ss"), "{status:?}");
    running.stop();
    let (metadata, running) = start(settings(&with_password.replace("p%40ss", "other")));
    let status = wait(&metadata, |status| status.failures > 0);
    assert_eq!(status.last_error.as_deref(), Some("the source answers 401; 200 is expected"));
    running.stop();
}

#[test]
fn a_source_that_drips_is_given_up_after_the_timeout() {
    let drip = |stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n[");
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let error = after_a_good_answer(|settings| settings.timeout = Duration::from_millis(400), drip);
    assert_eq!(error, "no whole answer within 400ms");
}

#[test]
fn a_source_that_says_nothing_is_given_up_after_the_timeout() {
    let silence = |_: &mut TcpStream| std::thread::sleep(Duration::from_secs(3));
    let error = after_a_good_answer(|settings| settings.timeout = Duration::from_millis(400), silence);
    assert_eq!(error, "no whole answer within 400ms");
}

#[test]
fn an_error_page_never_replaces_a_good_table() {
    let error = error_after(|stream| send(stream, "500 Internal Server Error", "", "[]"));
    assert_eq!(error, "the source answers 500; 200 is expected");
    let error = error_after(|stream| send(stream, "200 OK", "Content-Type: text/html\r\n", "<html>down</html>"));
    assert_eq!(error, "not a JSON list of vehicles: expected value at line 1 column 1 (text/html)");
    let error = error_after(|stream| send(stream, "204 No Content", "", ""));
    assert_eq!(error, "the source answers 204; 200 is expected");
    let error = error_after(|stream| send_json(stream, r#"{"error": "no access"}"#));
    assert!(error.starts_with("none of 1 entries can be used"), "{error}");
}

#[test]
fn an_empty_body_never_replaces_a_good_table() {
    let error = error_after(|stream| send_json(stream, ""));
    assert!(error.contains("EOF"), "{error}");
}

#[test]
fn half_a_document_never_replaces_a_good_table() {
    let error = error_after(|stream| send_json(stream, &TWO_BUSES[..50]));
    assert!(error.starts_with("not a JSON list of vehicles"), "{error}");
}

#[test]
fn an_answer_shorter_than_it_says_never_replaces_a_good_table() {
    let error = error_after(|stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{TWO_BUSES}");
    });
    assert!(!error.is_empty());
}

#[test]
fn an_answer_longer_than_it_says_never_replaces_a_good_table() {
    let error = error_after(|stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{TWO_BUSES}");
    });
    assert!(error.starts_with("not a JSON list of vehicles"), "{error}");
}

#[test]
fn what_is_no_http_at_all_never_replaces_a_good_table() {
    assert!(!error_after(|stream| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n"))).is_empty());
    assert!(!error_after(|_| {}).is_empty());
}

#[test]
fn a_packed_answer_is_refused_by_name() {
    let error = error_after(|stream| send(stream, "200 OK", "Content-Encoding: gzip\r\n", "\u{1f}"));
    assert_eq!(error, "the answer is packed (gzip); send it as it is");
}

#[test]
fn redirects_are_followed_but_not_in_a_circle() {
    let stub = Stub::start(|number, _, stream| match number {
        0 => send(stream, "302 Found", "Location: /elsewhere\r\n", ""),
        _ => send_json(stream, ONE_BUS),
    });
    let (metadata, running) = start(stub.settings());
    wait(&metadata, |status| status.entries == 1);
    running.stop();
    let error = error_after(|stream| send(stream, "302 Found", "Location: /metadata_api.json\r\n", ""));
    assert_eq!(error, "more than 5 redirects");
}

#[test]
fn an_endless_answer_ends_at_the_bound() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let stub = Stub::start(move |_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n[");
        let piece = [b' '; 65_536];
        while count.fetch_add(piece.len(), Ordering::SeqCst) < 200 << 20 && stream.write_all(&piece).is_ok() {}
    });
    let bounds = Settings { max_bytes: 4 << 20, retry_first: Duration::from_secs(60), ..stub.settings() };
    let bounds = Settings { retry_longest: Duration::from_secs(60), timeout: Duration::from_secs(10), ..bounds };
    let (metadata, running) = start(bounds);
    let status = wait(&metadata, |status| status.failures == 1);
    assert_eq!(status.last_error.as_deref(), Some("more than 4194304 bytes"));
    assert!(sent.load(Ordering::SeqCst) < 40 << 20, "the rest is not even fetched");
    running.stop();
}

#[test]
fn an_answer_that_says_to_be_too_long_is_not_read() {
    let error = after_a_good_answer(
        |settings| settings.max_bytes = 1000,
        |stream| drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n[")),
    );
    assert_eq!(error, "more than 1000 bytes");
}

#[test]
fn more_entries_than_allowed_are_refused_together() {
    let error = after_a_good_answer(|settings| settings.max_entries = 1, |stream| send_json(stream, TWO_BUSES));
    assert_eq!(error, "more than 1 entries");
}

#[test]
fn an_empty_list_and_a_shrunken_one_are_taken() {
    let stub = Stub::start(|number, _, stream| send_json(stream, if number == 0 { TWO_BUSES } else { "[]" }));
    let (metadata, running) = start(stub.settings());
    wait(&metadata, |status| status.entries == 2);
    let status = wait(&metadata, |status| status.entries == 0);
    assert!(status.fresh);
    running.stop();
}

#[test]
fn a_source_that_goes_down_is_served_stale_and_fresh_again_when_it_is_back() {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = is_down.clone();
    let stub = Stub::start(move |number, _, stream| match down.load(Ordering::SeqCst) {
        true => {} // hangs up
        false => send_json(stream, if number == 0 { ONE_BUS } else { TWO_BUSES }),
    });
    let (metadata, running) = start(Settings { ttl: Duration::from_millis(900), ..stub.settings() });
    assert!(wait(&metadata, |status| status.entries == 1).fresh);
    is_down.store(true, Ordering::SeqCst);
    let stale = wait(&metadata, |status| !status.fresh && status.age_s >= Some(1));
    assert_eq!((stale.entries, max_speed(&metadata, "BUS-1")), (1, Some(80.0)));
    assert!(stale.failures > 0 && stale.last_error.is_some());
    is_down.store(false, Ordering::SeqCst);
    let fresh = wait(&metadata, |status| status.entries == 2);
    assert!(fresh.fresh && fresh.age_s == Some(0) && fresh.last_error.is_none(), "{fresh:?}");
    running.stop();
}

#[test]
fn not_modified_confirms_the_table_and_is_only_asked_for_after_a_whole_answer() {
    let stub = Stub::start(|number, head, stream| {
        let is_conditional = head.contains("if-none-match: \"v1\"") && head.contains("if-modified-since: Mon");
        match (number, is_conditional) {
            // Wrong, with a validator that must not be believed.
            (0, false) => send(stream, "200 OK", "ETag: \"v0\"\r\n", "[{"),
            (1, false) if !head.contains("v0") => {
                let headers = "ETag: \"v1\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n";
                send(stream, "200 OK", headers, ONE_BUS);
            }
            (2.., true) => send(stream, "304 Not Modified", "", ""),
            _ => send(stream, "400 Bad Request", "", ""),
        }
    });
    let (metadata, running) = start(stub.settings());
    let first = wait(&metadata, |status| status.entries == 1);
    assert_eq!(first.failures, 1);
    wait(&metadata, |_| stub.requests() > 5);
    let status = wait(&metadata, |status| status.fresh);
    assert_eq!((status.failures, status.loaded_ms), (1, first.loaded_ms), "{status:?}");
    running.stop();
}

#[test]
fn not_modified_without_having_asked_is_an_error() {
    let stub = Stub::start(|_, _, stream| send(stream, "304 Not Modified", "", ""));
    let (metadata, running) = start(stub.settings());
    let status = wait(&metadata, |status| status.failures > 0);
    assert_eq!(status.last_error.as_deref(), Some("the source answers 304; 200 is expected"));
    running.stop();
}

#[test]
fn lookups_and_stopping_never_wait_for_a_source_that_hangs() {
    let stub = Stub::start(|number, _, stream| match number {
        0 => send_json(stream, ONE_BUS),
        _ => std::thread::sleep(Duration::from_secs(20)),
    });
    let (metadata, running) = start(Settings { timeout: Duration::from_secs(30), ..stub.settings() });
    wait(&metadata, |_| stub.requests() == 2);
    let began = Instant::now();
    for _ in 0..10_000 {
        assert!(metadata.get(Kind::Vehicle, "BUS-1").is_some());
    }
    let status = metadata.status();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((status.hits, status.next_try_ms), (10_000, None), "it is being asked");
    running.stop();
    assert!(began.elapsed() < Duration::from_secs(10), "stopping waits a second at most");
}

#[test]
fn a_start_with_a_source_that_is_down_does_not_wait_and_says_so() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (metadata, running) = start(settings(&format!("http://{nobody}/")));
    assert_eq!(metadata.get(Kind::Vehicle, "BUS-1"), None);
    let status = wait(&metadata, |status| status.failures > 0 && status.next_try_ms.is_some());
    assert!((status.age_s, status.loaded_ms, status.fresh) == (None, None, false), "{status:?}");
    running.stop();
}

#[test]
fn a_restart_while_the_source_is_down_knows_the_vehicles() {
    let folder = tempfile::tempdir().unwrap();
    let keep = Some(folder.path().join("state/metadata.kept"));
    let is_down = Arc::new(AtomicBool::new(false));
    let down = is_down.clone();
    let body = r#"{"BUS-1": {"max_speed": 80.5, "class": "bus \"x\"", "depot": {"name": "N", "lat": 52.1234567, "lng": -1}},
        "S": {"kind": "station", "depot_lat": -33.3, "depot_lon": 151.2}, "odd": {"max_speed": 0}}"#;
    let stub = Stub::start(move |_, _, stream| match down.load(Ordering::SeqCst) {
        true => {}
        false => send_json(stream, body),
    });
    let known = |metadata: &Metadata| (metadata.get(Kind::Vehicle, "BUS-1"), metadata.get(Kind::Station, "S"));

    let long = Settings { keep, ttl: Duration::from_secs(3600), ..stub.settings() };
    let (metadata, running) = start(long.clone());
    wait(&metadata, |status| status.entries == 2);
    let before = known(&metadata);
    running.stop();

    is_down.store(true, Ordering::SeqCst);
    let (metadata, running) = start(long.clone());
    assert_eq!(known(&metadata), before, "known at once");
    let status = wait(&metadata, |status| status.failures > 0);
    assert!(status.kept && status.fresh && status.entries == 2 && status.loaded_ms.is_some(), "{status:?}");
    running.stop();

    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (metadata, running) = start(Settings { keep: long.keep, ..settings(&format!("http://{other}/")) });
    assert_eq!(metadata.status().entries, 0, "another source's table is not taken");
    running.stop();
}

#[test]
fn a_torn_kept_table_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.kept");
    let stub = Stub::start(|_, _, stream| send_json(stream, TWO_BUSES));
    let nobody = Settings { keep: Some(path.clone()), ttl: Duration::from_secs(3600), ..stub.settings() };
    let (metadata, running) = start(nobody.clone());
    wait(&metadata, |_| path.exists());
    running.stop();
    let whole = std::fs::read(&path).unwrap();

    // The same file, with a source that never answers in the test's time.
    let silent = Stub::start(|_, _, _| std::thread::sleep(Duration::from_secs(3)));
    let text = String::from_utf8(whole).unwrap().replace(&stub.url, &silent.url);
    let asked = Settings { timeout: Duration::from_millis(1), ..silent.settings() };
    let entries = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let (metadata, running) = start(Settings { keep: Some(path.clone()), ..asked.clone() });
        let entries = metadata.status().entries;
        running.stop();
        entries
    };
    assert_eq!(entries(text.as_bytes()), 2);
    for bytes in 0..text.trim_end().len() {
        assert_eq!(entries(&text.as_bytes()[..bytes]), 0, "{bytes} bytes of it");
    }
    let less = text
        .replace(
            r#",
{"kind":"vehicle","id":"BUS-2"}"#,
            "",
        )
        .replace(
            r#"{"kind":"vehicle","id":"BUS-2"},
"#,
            "",
        );
    assert_eq!(entries(less.as_bytes()), 0, "an entry is missing");
}
