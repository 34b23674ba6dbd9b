//! What can go wrong with certificates, and why one that was shown is refused.

use crate::name::NotAName;
use std::path::PathBuf;

/// Certificates cannot be made, read or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be used.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is not PEM, or not of what it should be.
    #[error("{}: {error}", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not go together, or are of a kind that is not known.
    #[error("certificate {}: {why}", path.display())]
    Use {
        /// The certificate.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The authority's files do not go together.
    #[error("the authority in {}: {why}", path.display())]
    Authority {
        /// Its folder, or the file at fault.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// A time that no certificate can bear.
    #[error("a certificate cannot be valid from or until this time")]
    Time,
    /// A certificate signing request that cannot be signed.
    #[error("the signing request cannot be signed: {0}")]
    Request(String),
    /// A serial number that was never issued here.
    #[error("no certificate with the serial number {0} was issued here")]
    UnknownSerial(String),
    /// A name that a device cannot have.
    #[error(transparent)]
    Name(#[from] NotAName),
    /// Settings that do not go together.
    #[error("TLS: {0}")]
    Tls(String),
    /// The ACME directory did not give a certificate.
    #[error("ACME: {0}")]
    Acme(String),
}

impl Error {
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
        let path = path.to_owned();
        move |error| Error::File { path, error }
    }
}

/// Why a client's certificate is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Issued by nobody who is trusted here.
    #[error("the certificate is of another authority")]
    WrongAuthority,
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
    /// Its time has not come.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// It was taken back.
    #[error("the certificate was revoked")]
    Revoked,
    /// It names no device, or cannot be read.
    #[error("the certificate names no device")]
    NoName,
}
