//! The certificate that doors show. From the operator's files, which are read again when they change, or
//! made for trying out and made anew before it expires. A file that cannot be used never replaces one
//! that can; it is said once and tried again until it can.

use crate::authority::time_of;
use crate::error::{Error, Refused};
use crate::files::{For, now_ms, write};
use crate::read;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// How long a certificate for trying out is valid; browsers take no longer ones.
const MADE_DAYS: i64 = 397;
/// With less than this remaining it is made anew.
const RENEWED_DAYS: i64 = 30;
const DAY_MS: i64 = 86_400_000;
/// Clocks that go after this one must not find a new certificate to be of the future.
const BACKDATED_MS: i64 = 5 * 60_000;
/// The protocol by which an ACME directory looks at a challenge (RFC 8737).
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";

/// The certificate that doors show, as it is now. Cheap to clone; what is replaced is replaced for all.
#[derive(Clone)]
pub struct ServerCertificate(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    /// For these it is made here where there is none.
    names: Option<Vec<String>>,
    shown: RwLock<Shown>,
    files: Mutex<Files>,
    /// Certificates that answer an ACME directory's challenge, by name.
    challenges: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

#[derive(Clone)]
struct Shown {
    key: Arc<CertifiedKey>,
    from_ms: i64,
    expires_ms: i64,
    is_self_signed: bool,
}

/// What the files were when they were last read.
struct Files {
    stamps: Stamps,
    /// Why they cannot be used, once that was said.
    said: Option<String>,
}

type Stamps = [Option<(SystemTime, u64, u64)>; 2];

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificate").field("certificate", &self.0.certificate).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl ServerCertificate {
    /// From the operator's files: a chain, the server's certificate first, and its key.
    pub fn open(certificate: &Path, key: &Path) -> Result<ServerCertificate, Error> {
        ServerCertificate::read(certificate.into(), key.into(), None)
    }

    /// For trying out, and until ACME gives one: `certificate.pem` and `key.pem` in `folder`, made there
    /// for `localhost` and `names` (host names and addresses) unless they are there and will do.
    pub fn made(folder: &Path, names: &[String]) -> Result<ServerCertificate, Error> {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
        all.extend(names.iter().filter(|name| !name.is_empty()).cloned());
        if !will_do(&certificate, &key, &all) {
            make(&certificate, &key, &all)?;
        }
        ServerCertificate::read(certificate, key, Some(all))
    }

    fn read(certificate: PathBuf, key: PathBuf, names: Option<Vec<String>>) -> Result<ServerCertificate, Error> {
        let stamps = stamps(&certificate, &key);
        let shown = read_files(&certificate, &key)?;
        if shown.expires_ms < now_ms() {
            // Who trusts it is theirs to decide; closed doors would help nobody.
            tracing::error!(certificate = %certificate.display(), "the certificate has expired");
        }
        Ok(ServerCertificate(Arc::new(Inner {
            certificate,
            key,
            names,
            shown: RwLock::new(shown),
            files: Mutex::new(Files { stamps, said: None }),
            challenges: RwLock::default(),
        })))
    }

    /// Reads the files again, changed or not. `Err`: they cannot be used, and what was shown stays.
    pub fn reload(&self) -> Result<(), Error> {
        self.take_up(&mut self.0.files.lock())
    }

    /// Looks at the files now: reads them if they changed, and makes one for trying out anew when it is
    /// time. What cannot be used is said, once.
    pub fn look(&self) {
        let mut files = self.0.files.lock();
        let Inner { certificate, key, names, .. } = &*self.0;
        let must_read = files.said.is_some() || stamps(certificate, key) != files.stamps;
        let looked = match (must_read, names) {
            (true, _) => self.take_up(&mut files),
            (false, Some(names)) if self.is_due() => {
                make(certificate, key, names).and_then(|()| self.take_up(&mut files))
            }
            (false, _) => return,
        };
        let error = looked.err().map(|error| error.to_string());
        if let Some(error) = error.as_deref().filter(|error| files.said.as_deref() != Some(error)) {
            tracing::error!(%error, "the new certificate cannot be used; the old one stays");
        }
        files.said = error;
    }

    /// Looks at the files every few seconds, for as long as the certificate is in use.
    pub fn follow(&self) -> JoinHandle<()> {
        let weak = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                let Some(certificate) = weak.upgrade().map(ServerCertificate) else { return };
                if tokio::task::spawn_blocking(move || certificate.look()).await.is_err() {
                    return;
                }
            }
        })
    }

    /// Until when it is valid, ms UTC.
    pub fn expires_ms(&self) -> i64 {
        self.0.shown.read().expires_ms
    }

    /// Whether it was signed by nobody else: browsers will ask.
    pub fn is_self_signed(&self) -> bool {
        self.0.shown.read().is_self_signed
    }

    /// The chain's file, which clients may be told to trust while trying out.
    pub fn path(&self) -> &Path {
        &self.0.certificate
    }

    /// From when until when it is valid, ms UTC.
    pub(crate) fn validity_ms(&self) -> (i64, i64) {
        let shown = self.0.shown.read();
        (shown.from_ms, shown.expires_ms)
    }

    pub(crate) fn names_all(&self, names: &[String]) -> bool {
        let key = self.0.shown.read().key.clone();
        key.cert.first().and_then(|der| read::parse(der)).is_some_and(|parsed| read::names_all(&parsed, names))
    }

    /// Puts another certificate into the files and shows it.
    pub(crate) fn replace(&self, chain_pem: &str, key_pem: &str) -> Result<(), Error> {
        let mut files = self.0.files.lock();
        write(&self.0.key, key_pem, For::Owner)?;
        write(&self.0.certificate, chain_pem, For::Everybody)?;
        self.take_up(&mut files)
    }

    pub(crate) fn challenge(&self, name: &str, key: CertifiedKey) {
        self.0.challenges.write().insert(name.to_ascii_lowercase(), Arc::new(key));
    }

    pub(crate) fn end_challenges(&self) {
        self.0.challenges.write().clear();
    }

    pub(crate) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        self.0.clone()
    }

    fn is_due(&self) -> bool {
        let shown = self.0.shown.read();
        shown.is_self_signed && shown.expires_ms - now_ms() < RENEWED_DAYS * DAY_MS
    }

    fn take_up(&self, files: &mut Files) -> Result<(), Error> {
        let Inner { certificate, key, .. } = &*self.0;
        // Before reading: a change while reading is seen the next time.
        files.stamps = stamps(certificate, key);
        let new = read_files(certificate, key)?;
        let old = self.0.shown.read().clone();
        if new.expires_ms < now_ms() && old.expires_ms > new.expires_ms {
            return Err(Error::Use { path: certificate.clone(), why: Refused::Expired.to_string() });
        }
        let is_new = new.key.cert != old.key.cert;
        *self.0.shown.write() = new;
        files.said = None;
        if is_new {
            tracing::info!(certificate = %certificate.display(), "a new certificate is in use");
        }
        Ok(())
    }
}

impl ResolvesServerCert for Inner {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_challenge = hello.alpn().is_some_and(|mut names| names.next() == Some(ACME_TLS));
        if is_challenge {
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.challenges.read().get(&name).cloned();
        }
        Some(self.shown.read().key.clone())
    }
}

fn stamps(certificate: &Path, key: &Path) -> Stamps {
    [certificate, key].map(|path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    })
}

fn read_files(certificate: &Path, key: &Path) -> Result<Shown, Error> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |error| Error::Pem { path, error }
    };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(pem(certificate))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    let cannot = |why: String| Error::Use { path: certificate.into(), why };
    let first = chain.first().cloned().ok_or_else(|| cannot("there is none in it".into()))?;
    let parsed = read::parse(&first).ok_or_else(|| cannot("it cannot be read".into()))?;
    let (from_ms, expires_ms) = read::validity_ms(&parsed);
    let key = CertifiedKey::from_der(chain, private, &rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|error| cannot(error.to_string()))?;
    Ok(Shown { key: Arc::new(key), from_ms, expires_ms, is_self_signed: read::is_self_signed(&parsed) })
}

/// Whether what is there can be shown. What somebody else signed is not touched, whatever it names.
fn will_do(certificate: &Path, key: &Path, names: &[String]) -> bool {
    let Ok(shown) = read_files(certificate, key) else { return false };
    let names_all = shown.key.cert.first().and_then(|der| read::parse(der)).is_some_and(|c| read::names_all(&c, names));
    !shown.is_self_signed || (names_all && shown.expires_ms - now_ms() >= RENEWED_DAYS * DAY_MS)
}

fn make(certificate: &Path, key_path: &Path, names: &[String]) -> Result<(), Error> {
    let now = now_ms();
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names)?;
    (params.not_before, params.not_after) = (time_of(now - BACKDATED_MS)?, time_of(now + MADE_DAYS * DAY_MS)?);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Drover, for trying out");
    let made = params.self_signed(&key)?;
    write(key_path, &key.serialize_pem(), For::Owner)?;
    write(certificate, &made.pem(), For::Everybody)?;
    tracing::info!(certificate = %certificate.display(), "a certificate for trying out was made");
    Ok(())
}
