//! Whole logins at a real provider, which runs as a process of its own.

mod support;

use drover_oidc::{Error, Identity, Provider, Settings};
use std::time::{Duration, Instant};
use support::{Process, begin, browse, parameters, settings};

fn start(arguments: &[&str]) -> (Process, Provider) {
    let process = Process::start("provider.mjs", arguments);
    let provider = Provider::new(settings(issuer(&process))).expect("good settings");
    (process, provider)
}

fn restart(process: Process) -> Process {
    let port = process.port.to_string();
    drop(process);
    Process::start("provider.mjs", &[&port])
}

fn issuer(process: &Process) -> String {
    format!("http://127.0.0.1:{}", process.port)
}

async fn log_in(provider: &Provider) -> Result<Identity, Error> {
    let begun = begin(provider).await;
    let back = browse(&begun).await;
    assert_eq!(back["state"], begun.state);
    provider.finish(&back["state"], &back["code"], &begun.binding).await
}

fn alice(issuer: String) -> Identity {
    Identity {
        issuer,
        subject: "alice".into(),
        email: Some("alice@example.com".into()),
        email_verified: true,
        name: Some("Alice Example".into()),
        groups: vec!["dispatch".into(), "night".into()],
        after: Some("/map".into()),
    }
}

#[tokio::test]
async fn a_person_logs_in_and_is_who_the_provider_says() {
    let (process, provider) = start(&[]);
    assert_eq!(log_in(&provider).await, Ok(alice(issuer(&process))));
}

#[tokio::test]
async fn a_client_without_a_secret_logs_in_with_another_kind_of_signature() {
    let process = Process::start("provider.mjs", &[]);
    let settings = settings(issuer(&process));
    let public = Settings { client_id: "drover-public".into(), client_secret: None, ..settings };
    let provider = Provider::new(public).expect("good settings");
    assert_eq!(log_in(&provider).await, Ok(alice(issuer(&process))));
}

#[tokio::test]
async fn each_login_has_its_own_secrets() {
    let (_process, provider) = start(&[]);
    let (one, other) = (begin(&provider).await, begin(&provider).await);
    let (asked, asked_other) = (parameters(&one.redirect), parameters(&other.redirect));
    assert_eq!((&*asked["code_challenge_method"], &*asked["response_type"]), ("S256", "code"));
    assert_eq!(asked["scope"], "openid email profile groups");
    for name in ["state", "nonce", "code_challenge"] {
        assert_ne!(asked[name], asked_other[name], "{name}");
        assert!(asked[name].len() >= 43, "{name}: {}", asked[name]);
    }
    assert_ne!(one.binding, other.binding);
    assert!(!one.redirect.contains(&one.binding), "what binds a browser stays out of addresses");
}

#[tokio::test]
async fn a_state_is_good_once() {
    let (_process, provider) = start(&[]);
    let begun = begin(&provider).await;
    let back = browse(&begun).await;
    let first = provider.finish(&begun.state, &back["code"], &begun.binding).await;
    assert!(first.is_ok(), "{first:?}");
    let again = provider.finish(&begun.state, &back["code"], &begun.binding).await;
    assert_eq!(again, Err(Error::UnknownState));
    assert_eq!(provider.finish("made-up", &back["code"], &begun.binding).await, Err(Error::UnknownState));
}

#[tokio::test]
async fn another_browser_cannot_finish_a_login_nor_spoil_it() {
    let (_process, provider) = start(&[]);
    let (begun, other) = (begin(&provider).await, begin(&provider).await);
    let back = browse(&begun).await;
    for binding in [&*other.binding, ""] {
        let taken = provider.finish(&begun.state, &back["code"], binding).await;
        assert_eq!(taken, Err(Error::UnknownState));
    }
    let own = provider.finish(&begun.state, &back["code"], &begun.binding).await;
    assert!(own.is_ok(), "{own:?}");
}

#[tokio::test]
async fn a_code_that_came_too_late_is_refused_by_the_provider() {
    let (_process, provider) = start(&["0", "1"]);
    let begun = begin(&provider).await;
    let back = browse(&begun).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let late = provider.finish(&begun.state, &back["code"], &begun.binding).await;
    assert!(matches!(&late, Err(Error::Refused { error, .. }) if error == "invalid_grant"), "{late:?}");
}

#[tokio::test]
async fn a_code_of_another_login_is_refused_by_the_provider() {
    let (_process, provider) = start(&[]);
    let (begun, other) = (begin(&provider).await, begin(&provider).await);
    let back = browse(&other).await;
    let mixed = provider.finish(&begun.state, &back["code"], &begun.binding).await;
    assert!(matches!(&mixed, Err(Error::Refused { error, .. }) if error == "invalid_grant"), "{mixed:?}");
}

#[tokio::test]
async fn a_person_who_refuses_is_heard_once() {
    let process = Process::start("provider.mjs", &[]);
    let asking = Settings { scopes: vec!["refusal".into()], ..settings(issuer(&process)) };
    let provider = Provider::new(asking).expect("good settings");
    let begun = begin(&provider).await;
    let back = browse(&begun).await;
    let told = |binding: &str| {
        provider.refused(&back["state"], binding, &back["error"], back.get("error_description").map(String::as_str))
    };
    assert_eq!(told("another browser"), Error::UnknownState);
    let description = Some("she does not want to".into());
    assert_eq!(told(&begun.binding), Error::Refused { error: "access_denied".into(), description });
    assert_eq!(told(&begun.binding), Error::UnknownState);
}

#[tokio::test]
async fn a_provider_that_was_killed_is_away_at_once_and_good_again_after_its_restart() {
    let (process, provider) = start(&[]);
    let begun = begin(&provider).await;
    let back = browse(&begun).await;
    let (address, port) = (issuer(&process), process.port.to_string());
    drop(process);
    let killed = Instant::now();
    let finished = provider.finish(&begun.state, &back["code"], &begun.binding).await;
    assert!(matches!(finished, Err(Error::Away(_))), "{finished:?}");
    let new = Provider::new(settings(address.clone())).expect("a node starts while its provider is away");
    let began = new.begin(None).await;
    assert!(matches!(began, Err(Error::Away(_))), "{began:?}");
    assert!(killed.elapsed() < Duration::from_secs(11), "{:?}", killed.elapsed());
    let _process = Process::start("provider.mjs", &[&port]);
    assert_eq!(log_in(&new).await, Ok(alice(address.clone())));
    assert_eq!(log_in(&provider).await, Ok(alice(address)));
}

#[tokio::test]
async fn keys_that_the_provider_changed_are_looked_for_once_a_minute() {
    let (process, provider) = start(&[]);
    assert!(log_in(&provider).await.is_ok());
    let process = restart(process); // with other keys
    assert_eq!(log_in(&provider).await, Ok(alice(issuer(&process))));
    let process = restart(process);
    let too_soon = log_in(&provider).await;
    assert!(matches!(too_soon, Err(Error::BadToken(_))), "{too_soon:?}");
    pass(Duration::from_secs(61)).await;
    assert_eq!(log_in(&provider).await, Ok(alice(issuer(&process))));
}

#[tokio::test]
async fn a_wrong_secret_is_the_operators_matter() {
    let process = Process::start("provider.mjs", &[]);
    let wrong = Settings { client_secret: Some("guessed".into()), ..settings(issuer(&process)) };
    let provider = Provider::new(wrong).expect("good settings");
    let finished = log_in(&provider).await;
    assert!(matches!(finished, Err(Error::Misconfigured(_))), "{finished:?}");
}

#[tokio::test]
async fn an_issuer_that_calls_itself_otherwise_is_the_operators_matter() {
    let process = Process::start("provider.mjs", &[]);
    for address in [format!("http://localhost:{}", process.port), format!("{}/elsewhere", issuer(&process))] {
        let provider = Provider::new(settings(address.clone())).expect("good settings");
        let began = provider.begin(None).await;
        assert!(matches!(began, Err(Error::Misconfigured(_))), "{address}: {began:?}");
    }
}

/// Lets time go by for the library, and for nobody else.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
