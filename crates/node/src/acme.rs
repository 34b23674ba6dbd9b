//! The node's certificate by ACME: what the settings say of it, and how long the one in use is still good.

use crate::Config;
use anyhow::bail;
use drover_certs::{Acme, LETS_ENCRYPT, ServerCertificate};
use std::sync::Arc;

/// Renders all metrics.
pub(crate) type Render = Arc<dyn Fn() -> String + Send + Sync>;

impl Config {
    /// What an ACME directory is asked for; none where certificates come from elsewhere.
    pub(crate) fn acme(&self) -> Option<Acme> {
        if self.acme_names.is_empty() {
            return None;
        }
        Some(Acme {
            directory: self.acme_directory.clone().unwrap_or_else(|| LETS_ENCRYPT.into()),
            contact: self.acme_contact.iter().map(|address| format!("mailto:{address}")).collect(),
            names: self.acme_names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            folder: self.data.join("acme"),
            root: self.acme_ca.clone(),
        })
    }

    pub(crate) fn check_acme(&self) -> anyhow::Result<()> {
        let others = [
            ("acme_directory", self.acme_directory.is_some()),
            ("acme_contact", self.acme_contact.is_some()),
            ("acme_ca", self.acme_ca.is_some()),
        ];
        if self.acme_names.is_empty() {
            return match others.into_iter().find(|(_, is_set)| *is_set) {
                Some((key, _)) => bail!("{key} needs acme_names beside it: the host names that the certificate is for"),
                None => Ok(()),
            };
        }
        if self.tls_certificate.is_some() {
            bail!("acme_names and tls_certificate contradict each other; set the one or the other");
        }
        if let Some(name) = self.acme_names.iter().find(|name| !is_host_name(name)) {
            bail!("acme_names has {name:?}; host names are needed, without port, address or wildcard");
        }
        if let Some(directory) = self.acme_directory.as_deref().filter(|address| !address.starts_with("https://")) {
            bail!("acme_directory is {directory:?}; it must begin with https://");
        }
        match self.acme_contact.as_deref().filter(|address| !address.contains('@') || address.contains(':')) {
            Some(address) => bail!("acme_contact is {address:?}; an e-mail address is needed"),
            None => Ok(()),
        }
    }
}

/// A name that the challenge on the door itself can prove.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_word = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && is_word && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_address = name.split('.').next_back().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && !is_address && name.split('.').all(is_label)
}

/// Metrics, with the time at which the certificate of the doors expires.
pub(crate) fn with_expiry(render: Render, certificate: Option<&ServerCertificate>) -> Render {
    let Some(certificate) = certificate.cloned() else { return render };
    metrics::describe_gauge!(
        "drover_certificate_expires_timestamp_seconds",
        "When the certificate of the doors expires"
    );
    Arc::new(move || {
        let seconds = certificate.expires_ms() as f64 / 1000.0;
        metrics::gauge!("drover_certificate_expires_timestamp_seconds").set(seconds);
        render()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Config)) -> Option<String> {
        let mut config = Config { acme_names: vec!["fleet.example.com".into()], ..Config::default() };
        change(&mut config);
        config.check_acme().err().map(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_got_by_acme_is_refused_and_names_the_key() {
        assert_eq!(refusal(|_| {}), None);
        assert_eq!(refusal(|config| config.acme_contact = Some("ops@example.com".into())), None);
        for name in ["*.example.com", "192.0.2.1", "fleet.example.com:443", "", "a b", "-a.example.com", "::1"] {
            let said = refusal(|config| config.acme_names = vec![name.into()]).expect(name);
            assert!(said.contains("acme_names"), "{said}");
        }
        let both = refusal(|config| config.tls_certificate = Some("chain.pem".into())).expect("refused");
        assert!(both.contains("acme_names") && both.contains("tls_certificate"), "{both}");
        let plain = refusal(|config| config.acme_directory = Some("http://ca.example.com".into())).expect("refused");
        assert!(plain.contains("https://"), "{plain}");
        let contact = refusal(|config| config.acme_contact = Some("mailto:ops@example.com".into())).expect("refused");
        assert!(contact.contains("acme_contact"), "{contact}");
        let alone = refusal(|config| {
            config.acme_names.clear();
            config.acme_ca = Some("ca.pem".into());
        });
        assert!(alone.is_some_and(|said| said.contains("acme_ca needs acme_names")));
    }

    #[test]
    fn lets_encrypt_is_asked_where_no_directory_is_named() {
        let config = Config { acme_names: vec!["Fleet.Example.com".into()], ..Config::default() };
        let acme = config.acme().expect("set");
        assert_eq!((acme.directory.as_str(), acme.names), (LETS_ENCRYPT, vec!["fleet.example.com".to_owned()]));
        assert!(config.http_tls(), "the challenge is answered on the HTTP door");
        assert!(Config::default().acme().is_none());
    }
}
