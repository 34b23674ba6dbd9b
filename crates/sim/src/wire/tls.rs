//! TLS under a wire, without a task and without a copy more than sealing needs: what has arrived is opened on its way
//! to the inbox, what is said is sealed on its way out of the outbox. A plain connection has none of it and costs nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::net::TcpStream;

use crate::error::{Error, Result};

/// Whom a client takes for the server: who has a certificate of one of these authorities.
#[derive(Debug, Clone)]
pub(super) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The system's authorities, and those in this PEM file. A server's own certificate may stand there too.
    pub(super) fn of(ca: Option<&Path>) -> Result<Trust> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in ca.map_or(Ok(Vec::new()), certificates)? {
            roots.add(certificate).map_err(|error| Error::Unfit(format!("a certificate to trust: {error}")))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let settings = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let settings = settings.map_err(|error| Error::Unfit(format!("TLS: {error}")))?;
        Ok(Trust(Arc::new(settings.with_root_certificates(roots).with_no_client_auth())))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(Error::Unfit(format!("there is no certificate in {}", path.display()))),
        Ok(all) => Ok(all),
        Err(error) => Err(Error::Unfit(format!("certificates in {}: {error}", path.display()))),
    }
}

/// One end of a TLS connection.
#[derive(Debug)]
pub(super) struct Tls(ClientConnection);

impl Tls {
    /// Begins; nothing is sent yet.
    pub(super) fn new(trust: &Trust, host: &str) -> io::Result<Tls> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        ClientConnection::new(trust.0.clone(), name).map(Tls).map_err(invalid)
    }

    /// True until both sides know each other; nothing is said before.
    pub(super) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// True if something sealed waits to be sent.
    pub(super) fn has_to_send(&self) -> bool {
        self.0.wants_write()
    }

    /// Seals and sends as much as the operating system takes without waiting.
    pub(super) fn try_send(&mut self, stream: &TcpStream, outbox: &mut BytesMut) -> io::Result<()> {
        while self.has_to_send() || !(outbox.is_empty() || self.is_handshaking()) {
            if !self.is_handshaking() {
                // It takes a part where much is sealed already.
                let taken = self.0.writer().write(outbox)?;
                outbox.advance(taken);
            }
            match self.0.write_tls(&mut Socket(stream)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens what has arrived; true if the server has said something by it.
    pub(super) fn try_receive(&mut self, stream: &TcpStream, inbox: &mut BytesMut) -> io::Result<bool> {
        if self.0.read_tls(&mut Socket(stream))? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let state = match self.0.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // The server is told why, as far as the operating system takes it at once.
                let _told = self.0.write_tls(&mut Socket(stream));
                return Err(invalid(error));
            }
        };
        let (start, length) = (inbox.len(), state.plaintext_bytes_to_read());
        inbox.resize(start + length, 0);
        self.0.reader().read_exact(&mut inbox[start..])?;
        match length == 0 && state.peer_has_closed() {
            true => Err(ErrorKind::UnexpectedEof.into()),
            false => Ok(length > 0),
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Reads and writes what can be read and written at once.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(room)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
