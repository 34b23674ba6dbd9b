//! Sources behind TLS. Whom the system trusts comes from the environment, which a process must not change once it has
//! threads: the test starts itself again with another one.

mod support;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use support::{ONE_BUS, settings, start, wait};

/// Where the child finds the server.
const URL: &str = "DROVER_METADATA_TEST_URL";

/// Serves one good document after the other; `redirect` sends to plain HTTP instead.
fn serve(redirect: bool) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://me:s3cret@localhost:{}/", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(session, stream.unwrap());
            let mut head = [0; 4096];
            if stream.read(&mut head).is_err() {
                continue;
            }
            let (length, status) = (ONE_BUS.len(), if redirect { "302 Found" } else { "200 OK" });
            let location = "Location: http://localhost:1/?s3cret";
            let _ = write!(stream, "HTTP/1.1 {status}\r\n{location}\r\nContent-Length: {length}\r\n\r\n{ONE_BUS}");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (url, made.cert.pem())
}

/// What a child says that trusts `trusted` and asks `url`.
fn child(url: &str, trusted: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trusted.pem");
    std::fs::write(&path, trusted).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_child_asks_and_prints", "--ignored", "--nocapture"]);
    command.env("SSL_CERT_FILE", &path).env_remove("SSL_CERT_DIR").env(URL, url);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
#[ignore = "only as a child of the others"]
fn the_child_asks_and_prints() {
    let (metadata, running) = start(settings(&std::env::var(URL).unwrap()));
    let status = wait(&metadata, |status| status.entries > 0 || status.failures > 0);
    println!("{status:?}");
    running.stop();
}

#[test]
fn a_server_that_the_system_trusts_is_asked_and_no_other() {
    let (url, certificate) = serve(false);
    let said = child(&url, &certificate);
    assert!(said.contains("entries: 1") && said.contains("last_error: None"), "{said}");
    let (_, other) = serve(false);
    let said = child(&url, &other);
    assert!(said.contains("entries: 0") && said.contains("certificate"), "{said}");
    let said = child(&url, "");
    assert!(said.contains("entries: 0") && said.contains("certificate"), "{said}");
}

#[test]
fn a_redirect_to_plain_http_is_refused_without_showing_where_to() {
    let (url, certificate) = serve(true);
    let said = child(&url, &certificate);
    assert!(said.contains("redirected from https to http") && !said.contains("s3cret"), "{said}");
}

#[test]
fn a_server_that_speaks_no_tls_is_an_error() {
    let stub = support::Stub::start(|_, _, stream| support::send_json(stream, ONE_BUS));
    let (metadata, running) = start(settings(&stub.url.replace("http:", "https:")));
    let status = wait(&metadata, |status| status.failures > 0);
    assert_eq!(status.entries, 0);
    running.stop();
}
