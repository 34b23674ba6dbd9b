//! A provider that lies, fails and dawdles: nothing of it is believed, and nobody waits long for it.

mod support;

use drover_oidc::{Error, Identity, Provider, Settings};
use std::fs;
use std::time::{Duration, Instant};
use support::{Process, begin, parameters, settings};

fn start() -> (Process, Provider) {
    let process = Process::start("fake.mjs", &[]);
    let provider = Provider::new(settings(format!("http://localhost:{}", process.port))).expect("good settings");
    (process, provider)
}

/// A login whose token has this fault.
async fn log_in(provider: &Provider, fault: &str) -> Result<Identity, Error> {
    let begun = begin(provider).await;
    let nonce = &parameters(&begun.redirect)["nonce"];
    let code = format!(r#"{{"fault":"{fault}","nonce":"{nonce}"}}"#);
    provider.finish(&begun.state, &code, &begun.binding).await
}

#[tokio::test]
async fn a_token_without_fault_is_believed_without_asking_further() {
    let (process, provider) = start();
    let bob = log_in(&provider, "").await.expect("a good token");
    assert_eq!((&*bob.subject, bob.email.as_deref(), bob.email_verified), ("bob", Some("bob@example.com"), true));
    assert_eq!((bob.name.as_deref(), bob.groups), (Some("Bob"), vec!["drivers".to_owned()]));
    assert_eq!(process.asked_for("/me"), 0);
}

#[tokio::test]
async fn a_token_with_any_fault_is_not_believed() {
    let (_process, provider) = start();
    let faults = [
        ("audience", "audience"),
        ("audiences", "audience"),
        ("party", "azp"),
        ("issuer", "issuer"),
        ("nonce", "nonce"),
        ("no-nonce", "nonce"),
        ("expired", "expired"),
        ("at_hash", "at_hash"),
        ("foreign", "signature"),
        ("unsigned", "signature"),
        ("symmetric", "signature"),
        ("no-token", "id_token"),
        ("access-token", "access token"),
        ("other-subject", "subject"),
    ];
    for (fault, word) in faults {
        let finished = log_in(&provider, fault).await;
        let Err(Error::BadToken(why)) = &finished else { panic!("{fault}: {finished:?}") };
        assert!(why.to_lowercase().contains(word), "{fault}: {why}");
    }
    assert!(log_in(&provider, "").await.is_ok(), "lies about some do not harm others");
}

#[tokio::test]
async fn keys_that_nobody_published_do_not_make_us_ask_at_every_login() {
    let (process, provider) = start();
    for _ in 0..5 {
        let finished = log_in(&provider, "unpublished").await;
        assert!(matches!(finished, Err(Error::BadToken(_))), "{finished:?}");
    }
    assert_eq!(process.asked_for("/jwks"), 2, "at discovery, and once for the unknown key");
}

#[tokio::test]
async fn discovery_is_believed_for_an_hour() {
    let (process, provider) = start();
    for _ in 0..3 {
        begin(&provider).await;
    }
    assert_eq!(process.asked_for("/.well-known/openid-configuration"), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3601)).await;
    tokio::time::resume();
    begin(&provider).await;
    assert_eq!(process.asked_for("/.well-known/openid-configuration"), 1);
}

#[tokio::test]
async fn many_who_begin_at_once_ask_once() {
    let (process, provider) = start();
    let all: Vec<_> = (0..50).map(|_| provider.clone()).collect();
    let all: Vec<_> = all.into_iter().map(|one| tokio::spawn(async move { begin(&one).await })).collect();
    for one in all {
        one.await.expect("begins");
    }
    assert_eq!(process.asked_for("/.well-known/openid-configuration"), 1);
}

#[tokio::test]
async fn a_provider_that_fails_or_never_ends_is_away() {
    let (_process, provider) = start();
    for fault in ["failing", "long"] {
        let finished = log_in(&provider, fault).await;
        assert!(matches!(finished, Err(Error::Away(_))), "{fault}: {finished:?}");
    }
}

#[tokio::test]
async fn nobody_waits_longer_than_ten_seconds() {
    let (_process, provider) = start();
    let begun = Instant::now();
    let finished = log_in(&provider, "silent").await;
    assert!(matches!(finished, Err(Error::Away(_))), "{finished:?}");
    assert!((9..12).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_provider_with_an_own_authority_is_trusted_by_that_authority_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(&certificate, own.cert.pem()).expect("written");
    fs::write(&key, own.signing_key.serialize_pem()).expect("written");
    let files = [&certificate, &key].map(|path| path.to_str().expect("a path"));
    let process = Process::start("fake.mjs", &["0", files[0], files[1]]);
    let settings = settings(format!("https://localhost:{}", process.port));
    let trusting = Settings { ca: Some(certificate), allow_http: false, ..settings.clone() };
    let trusted = Provider::new(trusting).expect("good settings");
    assert!(log_in(&trusted, "").await.is_ok());
    let stranger = Provider::new(settings).expect("good settings").begin(None).await;
    assert!(matches!(stranger, Err(Error::Away(_))), "{stranger:?}");
}
