//! Certificates from an ACME directory (RFC 8555), by the TLS-ALPN-01 challenge on the HTTP door itself:
//! asked for when there is none, renewed in the background when two thirds of its time are over. The
//! account and the certificate are kept in a folder.

use crate::certificate::ServerCertificate;
use crate::error::Error;
use crate::files::{For, now_ms, read_if_there, write};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The directory of Let's Encrypt, for whoever names no other.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// How often it is asked whether the certificate is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);
/// How long to wait after the first failure; doubled after each, up to the longest.
const FIRST_PATIENCE: Duration = Duration::from_secs(60);
const LONGEST_PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// How long the directory may take for each of its two steps.
const ORDER_PATIENCE: Duration = Duration::from_secs(120);

/// What an ACME directory is asked for.
#[derive(Debug, Clone)]
pub struct Acme {
    /// Address of the directory.
    pub directory: String,
    /// Whom it may write to, as `mailto:…`.
    pub contact: Vec<String>,
    /// Host names, under which the HTTP door can be reached at port 443.
    pub names: Vec<String>,
    /// Where the account is kept, `account.json`.
    pub folder: PathBuf,
    /// A PEM file with the authority of the directory itself, where the system does not know it.
    pub root: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct KeptAccount {
    directory: String,
    credentials: AccountCredentials,
}

fn acme(error: instant_acme::Error) -> Error {
    Error::Acme(error.to_string())
}

impl Acme {
    /// Keeps `certificate` one of the directory's until the task is aborted. The certificate must be one
    /// that was made ([`ServerCertificate::made`]): it opens the door until the directory has looked.
    pub fn follow(self, certificate: ServerCertificate) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut patience = FIRST_PATIENCE;
            let mut is_first = true;
            loop {
                match self.renew_if_due(&certificate).await {
                    Ok(is_new) => {
                        if is_new || std::mem::take(&mut is_first) {
                            let days = (certificate.expires_ms() - now_ms()) / 86_400_000;
                            tracing::info!(names = ?self.names, is_new, days, "the certificate of the directory is in use");
                        }
                        patience = FIRST_PATIENCE;
                        tokio::time::sleep(LOOK_INTERVAL).await;
                    }
                    Err(error) => {
                        self.say_that_there_is_none(&certificate, &error, patience);
                        tokio::time::sleep(patience).await;
                        patience = (patience * 2).min(LONGEST_PATIENCE);
                    }
                }
            }
        })
    }

    /// The doors stay open, with what they have.
    fn say_that_there_is_none(&self, certificate: &ServerCertificate, error: &Error, patience: Duration) {
        let shown = match certificate.is_self_signed() {
            true => "one that the node made itself, which browsers warn of",
            false => "the one from before, until it expires",
        };
        let seconds = patience.as_secs();
        tracing::warn!(%error, directory = self.directory, shown, asked_again_in_s = seconds,
            "the ACME directory gave no certificate");
    }

    /// Asks for a certificate if it is time. True: a new one is shown and on disk.
    pub async fn renew_if_due(&self, certificate: &ServerCertificate) -> Result<bool, Error> {
        let (from, until) = certificate.validity_ms();
        let is_fresh = until - now_ms() > (until - from) / 3;
        if is_fresh && !certificate.is_self_signed() && certificate.names_all(&self.names) {
            return Ok(false);
        }
        let ordered = self.order(certificate).await;
        certificate.end_challenges();
        let (chain, key) = ordered?;
        certificate.replace(&chain, &key)?;
        Ok(true)
    }

    async fn order(&self, certificate: &ServerCertificate) -> Result<(String, String), Error> {
        let identifiers: Vec<Identifier> = self.names.iter().cloned().map(Identifier::Dns).collect();
        let account = self.account().await?;
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await.map_err(acme)?;
        answer_challenges(&mut order, certificate).await?;
        let retries = RetryPolicy::new().timeout(ORDER_PATIENCE);
        let status = order.poll_ready(&retries).await.map_err(acme)?;
        if status != OrderStatus::Ready {
            return Err(Error::Acme(format!("the order is {status:?}: {}", why(&mut order).await)));
        }
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(self.names.clone())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        order.finalize_csr(params.serialize_request(&key)?.der()).await.map_err(acme)?;
        let chain = order.poll_certificate(&retries).await.map_err(acme)?;
        Ok((chain, key.serialize_pem()))
    }

    async fn account(&self) -> Result<Account, Error> {
        // The client asks rustls for the process's provider; whoever was first has chosen it.
        let _chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = match &self.root {
            Some(root) => Account::builder_with_root(root),
            None => Account::builder(),
        };
        let builder = builder.map_err(acme)?;
        let path = self.folder.join("account.json");
        let kept = read_if_there(&path)?.and_then(|text| serde_json::from_str::<KeptAccount>(&text).ok());
        if let Some(kept) = kept.filter(|kept| kept.directory == self.directory) {
            return builder.from_credentials(kept.credentials).await.map_err(acme);
        }
        let contact: Vec<&str> = self.contact.iter().map(String::as_str).collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&new, self.directory.clone(), None).await.map_err(acme)?;
        let kept = KeptAccount { directory: self.directory.clone(), credentials };
        let text = serde_json::to_string(&kept).map_err(|error| Error::Acme(error.to_string()))?;
        std::fs::create_dir_all(&self.folder).map_err(Error::file(&self.folder))?;
        write(&path, &text, For::Owner)?;
        Ok(account)
    }
}

async fn answer_challenges(order: &mut Order, certificate: &ServerCertificate) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(acme)?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization
            .challenge(ChallengeType::TlsAlpn01)
            .ok_or_else(|| Error::Acme("the directory offers no TLS-ALPN-01 challenge".into()))?;
        let name = challenge.identifier().to_string();
        certificate.challenge(&name, challenge_key(&name, challenge.key_authorization().digest().as_ref())?);
        challenge.set_ready().await.map_err(acme)?;
    }
    Ok(())
}

/// What the directory says against the first name that did not pass.
async fn why(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            return problem.to_string();
        }
    }
    "the directory does not say why".into()
}

/// The certificate that shows the directory that whoever asked holds the door (RFC 8737).
fn challenge_key(name: &str, digest: &[u8]) -> Result<CertifiedKey, Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let signer = provider.key_provider.load_private_key(private).map_err(|error| Error::Tls(error.to_string()))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
}
