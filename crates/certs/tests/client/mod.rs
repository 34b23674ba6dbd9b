//! A TLS client for the tests, with exactly the certificate and versions that a test wants, and a door
//! whose server says whom it sees.

// Every test file is a crate of its own and uses some of this.
#![allow(dead_code, missing_docs)]

use drover_certs::{Authority, DeviceName, Door, Issued, Oldest, Peer, ServerCertificate, ServerTls, Socket};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub const PATIENCE: Duration = Duration::from_secs(5);
pub const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
pub const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

pub fn name(text: &str) -> DeviceName {
    DeviceName::parse(text).unwrap()
}

/// Everything a device needs to connect.
pub struct Device<'a> {
    pub trusted: Vec<u8>,
    pub identity: Option<&'a Issued>,
    pub versions: &'static [&'static SupportedProtocolVersion],
    pub protocols: &'static [&'static [u8]],
}

impl<'a> Device<'a> {
    pub fn new(certificate: &ServerCertificate, identity: Option<&'a Issued>) -> Device<'a> {
        Device { trusted: std::fs::read(certificate.path()).unwrap(), identity, versions: TLS13, protocols: &[] }
    }

    pub async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&self.trusted) {
            roots.add(root.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(self.versions).unwrap();
        let config = config.with_root_certificates(roots);
        let mut config = match self.identity {
            Some(issued) => {
                let chain = vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_ref().unwrap().as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        let socket = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), socket).await
    }

    /// Connects and hears what the door's server says: the server has the last word on a certificate,
    /// after the client's part of the handshake is done.
    pub async fn greet(&self, address: SocketAddr) -> std::io::Result<(String, TlsStream<TcpStream>)> {
        timeout(PATIENCE, async {
            let mut stream = self.connect(address).await?;
            stream.write_all(b"x").await?;
            let heard = hear(&mut stream).await?;
            Ok((heard, stream))
        })
        .await
        .expect("an answer or an end")
    }
}

/// A line.
pub async fn hear(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(text),
            byte => text.push(byte.into()),
        }
    }
}

/// A door at which every byte is answered with a line: who is there.
pub struct Place {
    pub address: SocketAddr,
    pub certificate: ServerCertificate,
    pub authority: Authority,
    pub folder: tempfile::TempDir,
}

impl Place {
    pub async fn open(oldest: Oldest) -> Place {
        Place::with_other(oldest, None).await
    }

    pub async fn with_other(oldest: Oldest, other: Option<&Path>) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let certificate = ServerCertificate::made(&folder.path().join("tls"), &[]).unwrap();
        let authority = Authority::open(&folder.path().join("ca"), other).unwrap();
        let tls = ServerTls::for_devices(&certificate, Some(&authority), oldest).unwrap();
        let address = serve(Some(tls), authority.clone()).await;
        Place { address, certificate, authority, folder }
    }

    pub async fn greet(&self, identity: Option<&Issued>) -> std::io::Result<String> {
        Device::new(&self.certificate, identity).greet(self.address).await.map(|(heard, _)| heard)
    }
}

pub async fn serve(tls: Option<ServerTls>, authority: Authority) -> SocketAddr {
    let mut door = Door::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), tls);
    let address = door.address().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, peer) = door.accept().await;
            tokio::spawn(answer(socket, peer, authority.clone()));
        }
    });
    address
}

async fn answer(mut socket: Socket, peer: Peer, authority: Authority) -> std::io::Result<()> {
    loop {
        socket.read_u8().await?;
        let who = match &peer.certificate {
            Some(certificate) => {
                authority.identify(certificate).map_or_else(|no| no.to_string(), |d| d.name.to_string())
            }
            None => "nobody".into(),
        };
        socket.write_all(format!("{who}\n").as_bytes()).await?;
        socket.flush().await?;
    }
}
