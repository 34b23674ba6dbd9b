//! Drover's own authority for devices: issues certificates, takes them back, and says whose one is.
//! Everything that writes waits for the disk: call it where blocking is allowed.

use crate::error::{Error, Refused};
use crate::files::{For, now_ms, read_if_there, write};
use crate::held::{Connections, Held};
use crate::index::{Index, Known, Line, Listed, Reason};
use crate::name::DeviceName;
use crate::read::{self, Device};
use parking_lot::{Mutex, RwLock};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData, RevocationReason, RevokedCertParams, SanType, SerialNumber,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::future::poll_fn;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::broadcast;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

const DAY_MS: i64 = 86_400_000;
/// How long the authority's own certificate is valid.
const AUTHORITY_DAYS: i64 = 20 * 365 + 5;
/// Clocks that go after this one must not find a new certificate to be of the future.
const BACKDATED_MS: i64 = 5 * 60_000;
/// The longest common name that the standard allows; the whole name is in the URN.
const COMMON_NAME_MAX_BYTES: usize = 64;
/// How often the index is looked at for what another process added.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Until when a list of revoked certificates should be asked for again.
const LIST_VALID_MS: i64 = DAY_MS;
/// Revocations that a subscriber may be behind by.
const REVOCATIONS_WAITING: usize = 1024;

/// The authority. Cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    pem: String,
    der: CertificateDer<'static>,
    expires_ms: i64,
    issuer: Issuer<'static, KeyPair>,
    /// The operator's own authorities, trusted beside this one.
    others: Vec<CertificateDer<'static>>,
    index: Mutex<Index>,
    known: RwLock<Known>,
    revocations: broadcast::Sender<Arc<str>>,
    connections: Connections,
}

/// A certificate that was just issued.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its key, which is kept nowhere else; none where the device made its own.
    pub key_pem: Option<String>,
    /// Serial number, hexadecimal.
    pub serial: Arc<str>,
    /// Until when it is valid, ms UTC.
    pub expires_ms: i64,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("expires_ms", &self.0.expires_ms).finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the authority in `folder` (`ca.key`, `ca.pem`, `index.jsonl`), or makes it there. `other`:
    /// a file with the operator's own authorities, whose certificates are taken as well.
    pub fn open(folder: &Path, other: Option<&Path>) -> Result<Authority, Error> {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        let index = Index::open(&folder.join("index.jsonl"))?;
        let (key, pem) = index.alone(|| files(folder))?;
        let wrong = |why: String| Error::Authority { path: folder.join("ca.pem"), why };
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let parsed = read::parse(&der).ok_or_else(|| wrong("this is no certificate".into()))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(wrong("it is not of the key in ca.key".into()));
        }
        let (_, expires_ms) = read::validity_ms(&parsed);
        let authority = Authority(Arc::new(Inner {
            issuer: Issuer::from_ca_cert_der(&der, key)?,
            pem,
            der,
            expires_ms,
            others: other.map(authorities).transpose()?.unwrap_or_default(),
            index: Mutex::new(index),
            known: RwLock::default(),
            revocations: broadcast::channel(REVOCATIONS_WAITING).0,
            connections: Connections::default(),
        }));
        authority.look()?;
        Ok(authority)
    }

    /// Issues a certificate with a new key. On return it is in the index, on disk.
    pub fn issue(&self, name: &DeviceName, days: u32) -> Result<Issued, Error> {
        let now = now_ms();
        self.issue_between(name, now - BACKDATED_MS, now + i64::from(days) * DAY_MS)
    }

    /// The same for a time of one's own choosing, both ends ms UTC.
    pub fn issue_between(&self, name: &DeviceName, from_ms: i64, until_ms: i64) -> Result<Issued, Error> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let issued = self.sign(&key, name, from_ms, until_ms)?;
        Ok(Issued { key_pem: Some(key.serialize_pem()), ..issued })
    }

    /// Signs the key of a request that a device made itself. Only the key is taken from it: the name is
    /// the one given here, whatever the request asks for.
    pub fn sign_csr(&self, csr_pem: &str, name: &DeviceName, days: u32) -> Result<Issued, Error> {
        let request =
            CertificateSigningRequestParams::from_pem(csr_pem).map_err(|error| Error::Request(error.to_string()))?;
        if !is_of_its_kind(csr_pem, &request.public_key) {
            return Err(Error::Request("its key is of another kind than its signature says".into()));
        }
        let now = now_ms();
        self.sign(&request.public_key, name, now - BACKDATED_MS, now + i64::from(days) * DAY_MS)
    }

    fn sign(&self, key: &impl PublicKeyData, name: &DeviceName, from_ms: i64, until_ms: i64) -> Result<Issued, Error> {
        // Nobody would take it after the authority's own end.
        let expires_ms = until_ms.min(self.0.expires_ms) / 1000 * 1000;
        let number = serial_number()?;
        let mut params = device_params(name)?;
        (params.not_before, params.not_after) = (time_of(from_ms)?, time_of(expires_ms)?);
        params.serial_number = Some(SerialNumber::from_slice(&number));
        let certificate = params.signed_by(key, &self.0.issuer)?;
        let serial = read::hexadecimal(&number);
        self.add(Line::Issued {
            serial: (*serial).into(),
            name: name.to_string().into(),
            at_ms: now_ms(),
            expires_ms,
        })?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: None, serial, expires_ms })
    }

    /// Takes a certificate back. On return that is on disk, the certificate opens no door any more, and
    /// its connections are cut. Once more does no harm; the first reason stays.
    pub fn revoke(&self, serial: &str, reason: Reason) -> Result<(), Error> {
        let serial = serial.to_ascii_lowercase().replace(':', "");
        let serial = serial.trim_start_matches('0');
        self.look()?;
        let is_hexadecimal = !serial.is_empty() && serial.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_known = self.0.known.read().0.contains_key(serial);
        // What the operator's own authority issued is not in the index before it is revoked.
        if !is_known && (self.0.others.is_empty() || !is_hexadecimal) {
            return Err(Error::UnknownSerial(serial.into()));
        }
        if self.revoked(serial) {
            return Ok(());
        }
        self.add(Line::Revoked { serial: serial.into(), reason, at_ms: now_ms() })
    }

    /// Everything in the index, oldest first.
    pub fn list(&self) -> Vec<Listed> {
        let mut all: Vec<Listed> = self.0.known.read().0.values().cloned().collect();
        all.sort_by(|a, b| (a.issued_ms, &a.serial).cmp(&(b.issued_ms, &b.serial)));
        all
    }

    /// Whether the certificate with this serial number (small hexadecimal letters) was taken back.
    pub fn revoked(&self, serial: &str) -> bool {
        self.0.known.read().revoked(serial)
    }

    /// Serial numbers from now on as they are revoked. Connections through a [`crate::Door`] are cut
    /// without it; it is for whatever else a device has open. Who is told that it missed some (more than
    /// 1,024 at once) asks [`Authority::revoked`] about what it has.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.revocations.subscribe()
    }

    /// Is over when the certificate with this serial number is revoked, at once if it was before. It is
    /// cheap to be asked again and again, beside whatever else a connection waits for.
    pub fn until_revoked(&self, serial: &str) -> impl Future<Output = ()> + Send + use<> {
        let held = self.hold_serial(serial.into());
        poll_fn(move |cx| match held.may_read(cx.waker()) {
            Ok(()) => Poll::Pending,
            Err(_) => Poll::Ready(()),
        })
    }

    /// Whose certificate this is. The chain up to an authority must have been verified, as rustls does
    /// in the handshake.
    pub fn identify(&self, der: &[u8]) -> Result<Device, Refused> {
        let certificate = read::parse(der).ok_or(Refused::NoName)?;
        // With other authorities there may be one between, which the handshake has seen and this has not.
        if self.0.others.is_empty() && !self.has_signed(&certificate) {
            return Err(Refused::WrongAuthority);
        }
        read::check_validity(&certificate, now_ms())?;
        let serial = read::serial(&certificate);
        if self.revoked(&serial) {
            return Err(Refused::Revoked);
        }
        let name = read::device_name(&certificate).ok_or(Refused::NoName)?;
        let (_, expires_ms) = read::validity_ms(&certificate);
        Ok(Device { name, serial, expires_ms })
    }

    fn has_signed(&self, certificate: &x509_parser::certificate::X509Certificate<'_>) -> bool {
        read::parse(&self.0.der).is_some_and(|own| {
            certificate.issuer().as_raw() == own.subject().as_raw()
                && certificate.verify_signature(Some(own.public_key())).is_ok()
        })
    }

    /// The authority's certificate, for devices and proxies that want to know whom Drover trusts.
    pub fn certificate_pem(&self) -> &str {
        &self.0.pem
    }

    /// The list of revoked certificates that have not expired, signed, for whoever else checks them.
    pub fn crl_pem(&self) -> Result<String, Error> {
        let now = now_ms();
        let revoked = self.list().into_iter().filter(|listed| listed.name.is_some() && listed.expires_ms > now);
        let revoked_certs = revoked.filter_map(|listed| revoked_params(&listed)).collect::<Result<_, _>>()?;
        let params = CertificateRevocationListParams {
            this_update: time_of(now)?,
            next_update: time_of(now + LIST_VALID_MS)?,
            crl_number: SerialNumber::from(now as u64),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&self.0.issuer)?.pem()?)
    }

    /// Takes up what another process added to the index, and cuts connections accordingly.
    pub fn look(&self) -> Result<(), Error> {
        let mut index = self.0.index.lock();
        let lines = index.catch_up()?;
        self.take_up(lines);
        Ok(())
    }

    /// Looks for what other processes add, every two seconds, for as long as the authority is in use.
    pub fn follow(&self) -> tokio::task::JoinHandle<()> {
        let weak = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                let weak: Weak<Inner> = weak.clone();
                let looked = tokio::task::spawn_blocking(move || {
                    let authority = weak.upgrade().map(Authority)?;
                    let has_grown = authority.0.index.lock().has_grown();
                    Some(if has_grown { authority.look() } else { Ok(()) })
                });
                match looked.await {
                    Ok(Some(Ok(()))) => {}
                    Ok(Some(Err(error))) => tracing::error!(%error, "the index of certificates cannot be read"),
                    Ok(None) | Err(_) => return,
                }
            }
        })
    }

    fn add(&self, line: Line) -> Result<(), Error> {
        let mut index = self.0.index.lock();
        let lines = index.add(line)?;
        self.take_up(lines);
        Ok(())
    }

    fn take_up(&self, lines: Vec<Line>) {
        for line in lines {
            let revoked = self.0.known.write().take_up(line);
            if let Some(serial) = revoked {
                self.0.connections.cut(&serial);
                // Nobody may be listening.
                let _told = self.0.revocations.send(serial);
            }
        }
    }

    /// Counts a connection as standing on this certificate. One that is revoked by now is cut at once.
    pub(crate) fn hold(&self, der: &[u8]) -> Option<Held> {
        Some(self.hold_serial(read::serial(&read::parse(der)?)))
    }

    fn hold_serial(&self, serial: Arc<str>) -> Held {
        let held = self.0.connections.hold(serial.clone());
        // After, not before: a revocation between the two is seen by one of them.
        if self.revoked(&serial) {
            held.cut();
        }
        held
    }

    pub(crate) fn revoked_der(&self, der: &[u8]) -> bool {
        read::parse(der).is_none_or(|certificate| self.revoked(&read::serial(&certificate)))
    }

    /// Everybody whose certificates are taken.
    pub(crate) fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        for der in std::iter::once(&self.0.der).chain(&self.0.others) {
            roots.add(der.clone()).map_err(|error| Error::Tls(format!("an authority cannot be used: {error}")))?;
        }
        Ok(roots)
    }
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let all = all.map_err(|error| Error::Pem { path: path.into(), error })?;
    match all.is_empty() {
        false => Ok(all),
        true => Err(Error::Authority { path: path.into(), why: "there is no certificate in it".into() }),
    }
}

/// Key and certificate, made where they are not there. A crash between the two leaves the key, for which
/// the certificate is made the next time.
fn files(folder: &Path) -> Result<(KeyPair, String), Error> {
    let (key_path, path) = (folder.join("ca.key"), folder.join("ca.pem"));
    let wrong = |path: &Path, why: String| Error::Authority { path: path.into(), why };
    let pem = read_if_there(&path)?;
    let key = match read_if_there(&key_path)? {
        Some(text) => KeyPair::from_pem(&text).map_err(|error| wrong(&key_path, error.to_string()))?,
        None if pem.is_some() => return Err(wrong(&path, "its key, ca.key, is missing".into())),
        None => {
            let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
            write(&key_path, &key.serialize_pem(), For::Owner)?;
            key
        }
    };
    let pem = match pem {
        Some(pem) => pem,
        None => {
            let pem = authority_params()?.self_signed(&key)?.pem();
            write(&path, &pem, For::Everybody)?;
            pem
        }
    };
    Ok((key, pem))
}

fn authority_params() -> Result<CertificateParams, Error> {
    let now = now_ms();
    let number = serial_number()?;
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (time_of(now - BACKDATED_MS)?, time_of(now + AUTHORITY_DAYS * DAY_MS)?);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from_slice(&number));
    // Two installations must not have authorities of one name.
    let name = format!("Drover devices {}", &read::hexadecimal(&number)[..8]);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn device_params(name: &DeviceName) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    let mut common = name.to_string();
    common.truncate(COMMON_NAME_MAX_BYTES);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    params.subject_alt_names = vec![SanType::URI(name.urn().try_into()?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Random, 16 bytes however it is written: the first bits make it positive and keep its length.
fn serial_number() -> Result<[u8; 16], Error> {
    let mut number = [0; 16];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut number).map_err(|_| Error::Random)?;
    number[0] = number[0] & 0x3f | 0x40;
    Ok(number)
}

pub(crate) fn time_of(ms: i64) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp(ms / 1000).map_err(|_| Error::Time)
}

/// The kind of a key is guessed from the request's signature when it is signed: a guess that is wrong
/// would make a certificate that nobody can use.
fn is_of_its_kind(csr_pem: &str, key: &impl PublicKeyData) -> bool {
    let Ok(der) = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(csr_pem.as_bytes()) else {
        return false;
    };
    X509CertificationRequest::from_der(&der)
        .is_ok_and(|(_, request)| request.certification_request_info.subject_pki.raw == key.subject_public_key_info())
}

fn revoked_params(listed: &Listed) -> Option<Result<RevokedCertParams, Error>> {
    let (at_ms, reason) = listed.revoked?;
    let number =
        (0..listed.serial.len()).step_by(2).map(|at| u8::from_str_radix(listed.serial.get(at..at + 2)?, 16).ok());
    let number: Vec<u8> = number.collect::<Option<_>>()?;
    let reason_code = match reason {
        Reason::Unspecified => None,
        Reason::KeyCompromise => Some(RevocationReason::KeyCompromise),
        Reason::Superseded => Some(RevocationReason::Superseded),
        Reason::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
        Reason::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
    };
    Some(time_of(at_ms).map(|revocation_time| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&number),
        revocation_time,
        reason_code,
        invalidity_date: None,
    }))
}
