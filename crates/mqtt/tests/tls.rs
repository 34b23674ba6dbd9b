//! MQTT within TLS: the versions that the door is told to speak, certificates that change while the
//! broker runs, and clients whose certificate is revoked while they are connected.

mod client;

use client::{Gate, PATIENCE};
use drover_certs::{Authority, DeviceName, Issued, Oldest, Reason, ServerCertificate, ServerTls};
use drover_mqtt::{Broker, Settings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

type Stream = StreamOwned<ClientConnection, TcpStream>;

struct Secured {
    address: SocketAddr,
    broker: Broker,
    certificate: ServerCertificate,
    authority: Authority,
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Secured {
    fn start(oldest: Oldest) -> Secured {
        let folder = tempfile::tempdir().unwrap();
        let certificate = ServerCertificate::made(folder.path(), &[]).unwrap();
        let authority = Authority::open(&folder.path().join("ca"), None).unwrap();
        let tls = ServerTls::for_devices(&certificate, Some(&authority), oldest).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (address, broker) = runtime.block_on(async {
            let gate = Arc::new(Gate::default());
            let broker = Broker::open(&folder.path().join("mqtt"), Settings::default(), gate).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(broker.clone().serve(listener, Some(tls)));
            (address, broker)
        });
        Secured { address, broker, certificate, authority, folder, _runtime: runtime }
    }

    fn connect(&self, trusted: &[u8], version: &'static SupportedProtocolVersion) -> std::io::Result<[u8; 4]> {
        self.open(trusted, version, None).map(|(answer, _)| answer)
    }

    fn open(
        &self,
        trusted: &[u8],
        version: &'static SupportedProtocolVersion,
        identity: Option<&Issued>,
    ) -> std::io::Result<([u8; 4], Stream)> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let config = config.with_root_certificates(roots);
        let config = match identity {
            Some(issued) => {
                let chain = vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_ref().unwrap().as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let session = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        Ok((answer, stream))
    }
}

const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];

fn certificate(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("certificate.pem")).unwrap()
}

#[test]
fn devices_connect_with_tls_1_3_and_with_1_2_only_where_that_is_wished() {
    for (oldest, speaks_1_2) in [(Oldest::Tls12, true), (Oldest::Tls13, false)] {
        let broker = Secured::start(oldest);
        let trusted = certificate(broker.folder.path());
        assert_eq!(broker.connect(&trusted, &rustls::version::TLS13).unwrap(), ACCEPTED);
        let old = broker.connect(&trusted, &rustls::version::TLS12);
        assert_eq!(old.is_ok_and(|answer| answer == ACCEPTED), speaks_1_2, "{oldest:?}");
    }
}

#[test]
fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let broker = Secured::start(Oldest::Tls13);
    let old = certificate(broker.folder.path());
    let other = tempfile::tempdir().unwrap();
    ServerCertificate::made(other.path(), &[]).unwrap();
    let new = certificate(other.path());
    for name in ["certificate.pem", "key.pem"] {
        std::fs::copy(other.path().join(name), broker.folder.path().join(name)).unwrap();
    }
    broker.certificate.reload().unwrap();
    assert_eq!(broker.connect(&new, &rustls::version::TLS13).unwrap(), ACCEPTED);
    broker.connect(&old, &rustls::version::TLS13).expect_err("the old one is shown no more");

    std::fs::write(broker.folder.path().join("certificate.pem"), "-----BEGIN CERTIFICATE-----\nnone\n").unwrap();
    broker.certificate.reload().expect_err("this is no certificate");
    assert_eq!(broker.connect(&new, &rustls::version::TLS13).unwrap(), ACCEPTED, "what worked goes on");
}

#[test]
fn plain_bytes_on_a_tls_door_harm_nobody() {
    let broker = Secured::start(Oldest::Tls13);
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

#[test]
fn a_client_whose_certificate_is_revoked_is_cut_off_and_comes_in_no_more() {
    let broker = Secured::start(Oldest::Tls13);
    let trusted = certificate(broker.folder.path());
    let issued = broker.authority.issue(&DeviceName::parse("driver/d-1").unwrap(), 30).unwrap();
    let open = || broker.open(&trusted, &rustls::version::TLS13, Some(&issued));
    let (answer, mut stream) = open().unwrap();
    assert_eq!((answer, broker.broker.stats().connections), (ACCEPTED, 1));

    broker.authority.revoke(&issued.serial, Reason::KeyCompromise).unwrap();
    let began = Instant::now();
    let mut rest = Vec::new();
    let _cut = stream.read_to_end(&mut rest);
    assert!(began.elapsed() < Duration::from_secs(1), "cut at once, not after {:?}", began.elapsed());
    assert_eq!(rest, b"", "3.1.1 has no word for it");
    open().expect_err("it is revoked");
    while broker.broker.stats().connections > 0 {
        assert!(began.elapsed() < PATIENCE, "the connection is still counted");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(broker.connect(&trusted, &rustls::version::TLS13).unwrap(), ACCEPTED, "others still come in");
}
