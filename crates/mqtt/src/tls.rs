//! TLS for MQTT: certificate and key from PEM files, read again when they change, so that a renewed
//! certificate needs no restart. TLS 1.3 and 1.2: many devices in the field know no better.

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// A certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{path}: {error}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not go together, or are of a kind that is not known.
    #[error("certificate {path}: {error}")]
    Use {
        /// The certificate.
        path: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// A certificate for trying out cannot be made or written.
    #[error("a certificate for localhost cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The same.
    #[error("a certificate for localhost cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

/// The server's side of TLS. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Files>);

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    changed: [Option<SystemTime>; 2],
    looked: Instant,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.0.certificate).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files: a chain, the server's certificate first, and its key.
    pub fn open(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        let current =
            Current { acceptor: read(certificate, key)?, changed: changed(certificate, key), looked: Instant::now() };
        let files = Files { certificate: certificate.into(), key: key.into(), current: Mutex::new(current) };
        Ok(Tls(Arc::new(files)))
    }

    /// Shakes hands.
    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let acceptor = self.acceptor();
        acceptor.accept(stream).await
    }

    /// Reads the files again if they have changed, without waiting for the next look. `Err`: they cannot
    /// be used, and the certificate in use stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.look(&mut self.0.current.lock())
    }

    /// The acceptor for the files as they are now. Files that cannot be used are said and left aside:
    /// the certificate in use stays.
    fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.0.current.lock();
        if current.looked.elapsed() >= LOOK_INTERVAL
            && let Err(error) = self.look(&mut current)
        {
            tracing::error!(%error, "the new certificate cannot be used; the old one stays");
        }
        current.acceptor.clone()
    }

    fn look(&self, current: &mut Current) -> Result<(), TlsError> {
        let Files { certificate, key, .. } = &*self.0;
        current.looked = Instant::now();
        let now = changed(certificate, key);
        if now != current.changed {
            (current.acceptor, current.changed) = (read(certificate, key)?, now);
            tracing::info!(certificate = %certificate.display(), "a new certificate is in use");
        }
        Ok(())
    }
}

fn changed(certificate: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [certificate, key].map(|path| path.metadata().and_then(|metadata| metadata.modified()).ok())
}

fn read(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::Pem { path, error }
    };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(pem(certificate))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    let cannot = |error| TlsError::Use { path: certificate.to_owned(), error };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, private))
        .map_err(cannot)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Makes a certificate for `localhost` and its key in `folder`, for trying out, unless they are there.
/// Gives their paths.
pub fn make_for_localhost(folder: &Path) -> Result<(PathBuf, PathBuf), TlsError> {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    std::fs::create_dir_all(folder)?;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)?;
    write_private(&key, &made.signing_key.serialize_pem())?;
    std::fs::write(&certificate, made.cert.pem())?;
    Ok((certificate, key))
}

/// A file that only its owner may read, from the first moment on.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
