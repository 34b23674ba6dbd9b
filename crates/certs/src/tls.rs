//! What a door asks of those who come: versions, protocols, client certificates. What it shows is the
//! [`ServerCertificate`]'s business.

use crate::authority::Authority;
use crate::certificate::{ACME_TLS, ServerCertificate};
use crate::error::Error;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// The oldest version that a door speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oldest {
    /// 1.3 and nothing else.
    Tls13,
    /// 1.2 as well, for devices in the field that know no better.
    Tls12,
}

static ONLY_TLS13: [&SupportedProtocolVersion; 1] = [&TLS13];
static FROM_TLS12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

impl Oldest {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Oldest::Tls13 => &ONLY_TLS13,
            Oldest::Tls12 => &FROM_TLS12,
        }
    }
}

/// The TLS side of a door. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    pub(crate) acceptor: TlsAcceptor,
    /// Whose revocations cut its connections.
    pub(crate) authority: Option<Authority>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// For people and programs: TLS 1.3, HTTP/1.1, no client certificates (browsers would ask their
    /// users for one). Answers ACME's challenges as well.
    pub fn for_http(certificate: &ServerCertificate) -> Result<ServerTls, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&ONLY_TLS13);
        let config = config.map_err(|error| Error::Tls(error.to_string()))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(certificate.resolver());
        config.alpn_protocols = vec![b"http/1.1".to_vec(), ACME_TLS.to_vec()];
        Ok(ServerTls { acceptor: TlsAcceptor::from(Arc::new(config)), authority: None })
    }

    /// For devices. With an authority a client may show a certificate, which must then be one of its, or
    /// of an authority that it trusts, not expired and not revoked.
    pub fn for_devices(
        certificate: &ServerCertificate,
        authority: Option<&Authority>,
        oldest: Oldest,
    ) -> Result<ServerTls, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(oldest.versions());
        let config = config.map_err(|error| Error::Tls(error.to_string()))?;
        let config = match authority {
            Some(authority) => config.with_client_cert_verifier(Arc::new(Verifier::new(authority)?)),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(certificate.resolver());
        // Nobody takes up an earlier session: every connection's certificate is looked at.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(ServerTls { acceptor: TlsAcceptor::from(Arc::new(config)), authority: authority.cloned() })
    }
}

/// Asks rustls about the chain and the authority about revocation.
#[derive(Debug)]
struct Verifier {
    chains: Arc<dyn ClientCertVerifier>,
    authority: Authority,
}

impl Verifier {
    fn new(authority: &Authority) -> Result<Verifier, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chains = WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()?), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| Error::Tls(error.to_string()))?;
        Ok(Verifier { chains, authority: authority.clone() })
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.chains.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chains.verify_client_cert(end_entity, intermediates, now)?;
        match self.authority.revoked_der(end_entity) {
            false => Ok(verified),
            true => Err(rustls::Error::InvalidCertificate(CertificateError::Revoked)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}
