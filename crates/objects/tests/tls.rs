//! A store behind TLS, with an authority that only the settings know.

mod support;

use drover_objects::{Error, Objects, S3};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use support::bucket;

/// Speaks TLS on one side and passes on to the server. Gives its port and its certificate.
fn encrypted(to: SocketAddr) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let session = ServerConnection::new(config.clone()).unwrap();
            let server = TcpStream::connect(to).unwrap();
            thread::spawn(move || pass(StreamOwned::new(session, client), server));
        }
    });
    (port, made.cert.pem())
}

/// Both ways in one thread, since a TLS session cannot be split.
fn pass(mut client: StreamOwned<ServerConnection, TcpStream>, mut server: TcpStream) {
    client.sock.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    while step(&mut client, &mut server).is_some() && step(&mut server, &mut client).is_some() {}
}

/// Passes on what is there. `None`: there will be nothing more.
fn step(from: &mut impl Read, to: &mut impl Write) -> Option<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return None,
            Ok(read) => to.write_all(&bytes[..read]).and_then(|()| to.flush()).ok()?,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Some(());
            }
            Err(_) => return None,
        }
    }
}

#[test]
fn a_store_is_trusted_by_the_authority_in_the_settings_and_not_without() {
    let world = bucket();
    let server = world.server.as_ref().unwrap();
    let (port, certificate) = encrypted(server.address());
    let ca = world.folder.path().join("ca.pem");
    fs::write(&ca, certificate).unwrap();
    let s3 = S3 { endpoint: Some(format!("https://localhost:{port}")), ..server.s3() };

    let trusting = Objects::open(world.objects.place(), &S3 { ca: Some(ca), ..s3.clone() }).unwrap();
    trusting.check().unwrap();
    let meta = trusting.put_file("big", &world.file(9 << 20)).unwrap();
    let mut bytes = Vec::new();
    trusting.get_to_file(&meta, &mut bytes).unwrap();
    assert!(bytes == support::content(9 << 20));

    let error = Objects::open(world.objects.place(), &s3).unwrap().check().unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    assert!(error.to_string().contains("certificate") && error.to_string().contains("authority"), "{error}");
}
