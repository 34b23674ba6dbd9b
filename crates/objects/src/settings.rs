//! How a bucket's store is reached: whose it is, with which keys, whom to trust.

use std::fmt;
use std::path::PathBuf;

/// The region of a store that has none, which is most that are not Amazon's.
pub const REGION: &str = "us-east-1";

/// An S3-compatible store. Printing it shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct S3 {
    /// The store's address, such as `https://minio.example.org:9000`. `None`: Amazon's, of the region. It is reached
    /// through the proxy that the environment names, as by most programs (`HTTPS_PROXY`, `NO_PROXY`).
    pub endpoint: Option<String>,
    /// The store's region. Must be right with Amazon.
    pub region: String,
    /// The name of the key. `None`: what the machine has, in the order in which Amazon's own programs look for it:
    /// `AWS_ACCESS_KEY_ID`, a web identity, the container's role, the machine's role.
    pub access_key_id: Option<String>,
    /// The key itself.
    pub secret_access_key: Option<String>,
    /// Goes with keys that are lent for a time.
    pub session_token: Option<String>,
    /// A PEM file of authorities to trust besides those that the system trusts.
    pub ca: Option<PathBuf>,
    /// Whether the bucket's name comes in the path (`https://endpoint/bucket`) and not in the host's name
    /// (`https://bucket.endpoint`). `None`: in the path if there is an endpoint, or if the name would not fit a
    /// certificate.
    pub path_style: Option<bool>,
}

impl Default for S3 {
    fn default() -> S3 {
        S3 {
            endpoint: None,
            region: REGION.to_owned(),
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            ca: None,
            path_style: None,
        }
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "hidden");
        // An address may carry a password, by mistake: it is refused when it is used, and not shown before.
        let endpoint = self.endpoint.as_ref().map(|address| if address.contains('@') { "hidden" } else { address });
        f.debug_struct("S3")
            .field("endpoint", &endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &hidden(&self.secret_access_key))
            .field("session_token", &hidden(&self.session_token))
            .field("ca", &self.ca)
            .field("path_style", &self.path_style)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_shows_no_secret() {
        let settings = S3 {
            endpoint: Some("http://me:s3cret@localhost".into()),
            access_key_id: Some("AKIA".into()),
            secret_access_key: Some("s3cret".into()),
            session_token: Some("s3cret".into()),
            ..S3::default()
        };
        let shown = format!("{settings:?} {settings:#?}");
        assert!(shown.contains("AKIA") && !shown.contains("s3cret"), "{shown}");
    }
}
