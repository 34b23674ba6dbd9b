//! MQTT within TLS: both versions of it that devices in the field speak, and certificates that change
//! while the broker runs.

mod client;

use client::{Gate, PATIENCE};
use drover_mqtt::{Broker, Settings, Tls, make_for_localhost};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

struct Secured {
    address: SocketAddr,
    tls: Tls,
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Secured {
    fn start() -> Secured {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = make_for_localhost(folder.path()).unwrap();
        let tls = Tls::open(&certificate, &key).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = runtime.block_on(async {
            let gate = Arc::new(Gate { open: Arc::new(Semaphore::new(0)), taken: AtomicUsize::new(0) });
            let broker = Broker::open(&folder.path().join("mqtt"), Settings::default(), gate).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(broker.serve(listener, Some(tls.clone())));
            address
        });
        Secured { address, tls, folder, _runtime: runtime }
    }

    fn connect(&self, trusted: &[u8], version: &'static SupportedProtocolVersion) -> std::io::Result<[u8; 4]> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let session = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];

fn certificate(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("certificate.pem")).unwrap()
}

#[test]
fn devices_connect_with_tls_1_3_and_1_2() {
    let broker = Secured::start();
    let trusted = certificate(broker.folder.path());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        assert_eq!(broker.connect(&trusted, version).unwrap(), ACCEPTED);
    }
}

#[test]
fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let broker = Secured::start();
    let old = certificate(broker.folder.path());
    let other = tempfile::tempdir().unwrap();
    make_for_localhost(other.path()).unwrap();
    let new = certificate(other.path());
    for name in ["certificate.pem", "key.pem"] {
        std::fs::copy(other.path().join(name), broker.folder.path().join(name)).unwrap();
    }
    broker.tls.reload().unwrap();
    assert_eq!(broker.connect(&new, &rustls::version::TLS13).unwrap(), ACCEPTED);
    broker.connect(&old, &rustls::version::TLS13).expect_err("the old one is shown no more");

    std::fs::write(broker.folder.path().join("certificate.pem"), "-----BEGIN CERTIFICATE-----\nnone\n").unwrap();
    broker.tls.reload().expect_err("this is no certificate");
    assert_eq!(broker.connect(&new, &rustls::version::TLS13).unwrap(), ACCEPTED, "what worked goes on");
}

#[test]
fn plain_bytes_on_a_tls_door_harm_nobody() {
    let broker = Secured::start();
    let trusted = certificate(broker.folder.path());
    let mut plain = TcpStream::connect(broker.address).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c").unwrap();
    let mut answer = Vec::new();
    // An alert or a reset; no CONNACK.
    let _reset = plain.read_to_end(&mut answer);
    assert_ne!(answer.first(), Some(&0x20));
    assert_eq!(broker.connect(&trusted, &rustls::version::TLS13).unwrap(), ACCEPTED);
}
