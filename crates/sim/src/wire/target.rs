//! Where the server is: `http://host[:port][/prefix]`, or the same with `ws`; both words mean the same server here.
//! With `https` or `wss` it is asked over TLS.

use std::path::Path;

use super::tls::Trust;
use crate::error::{Error, Result};

/// A server's address, and who is calling.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name or address, without the brackets of IPv6.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path before `/api/v1`, empty or with a leading slash; for servers behind a proxy.
    pub prefix: String,
    /// Sent as a bearer token, if the server asks for one.
    pub token: Option<String>,
    /// Whom to take for the server, if it speaks TLS.
    pub(super) trust: Option<Trust>,
}

impl Target {
    /// Understands an address. `ca`: PEM file of who vouches for a server with TLS, besides the system's authorities.
    ///
    /// # Errors
    /// On anything that is not HTTP or WebSocket, and when there is no certificate in the file.
    pub fn parse(url: &str, token: Option<String>, ca: Option<&Path>) -> Result<Target> {
        let wrong = |reason| Error::Address { url: url.to_owned(), reason };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it must start with http:// or https://"))?;
        let (usual_port, has_tls) = match scheme {
            "http" | "ws" => (80, false),
            "https" | "wss" => (443, true),
            _ => return Err(wrong("only http://, https://, ws:// and wss:// are spoken here")),
        };
        if token.as_ref().is_some_and(|token| token.contains(['\r', '\n'])) {
            return Err(wrong("the token contains a line end"));
        }
        let (authority, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = split_port(authority, usual_port).ok_or_else(|| wrong("the port is not a number"))?;
        if host.is_empty() || host.contains(['@', ' ']) || prefix.contains(['?', '#', ' ']) {
            return Err(wrong("expected http://HOST:PORT"));
        }
        let prefix = prefix.trim_end_matches('/').to_owned();
        let trust = has_tls.then(|| Trust::of(ca)).transpose()?;
        Ok(Target { host: host.to_owned(), port, prefix, token, trust })
    }

    /// Understands the address of an MQTT server, `HOST:PORT` or `mqtt://HOST:PORT`, or `mqtts://HOST:PORT` for one with
    /// TLS. The token goes as password. `ca` as for [`Target::parse`].
    ///
    /// # Errors
    /// On anything else, and when there is no certificate in the file.
    pub fn parse_mqtt(address: &str, token: Option<String>, ca: Option<&Path>) -> Result<Target> {
        let (scheme, rest) = address.split_once("://").unwrap_or(("mqtt", address));
        let rest = rest.trim_end_matches('/');
        let parts = match scheme {
            "mqtt" => split_port(rest, 1883),
            "mqtts" => split_port(rest, 8883),
            _ => None,
        };
        let reason = "expected HOST:PORT, mqtt://HOST:PORT or mqtts://HOST:PORT";
        let (host, port) = parts.ok_or_else(|| Error::Address { url: address.to_owned(), reason })?;
        let trust = (scheme == "mqtts").then(|| Trust::of(ca)).transpose()?;
        Ok(Target { host: host.to_owned(), port, prefix: String::new(), token, trust })
    }

    /// The same server, with another credential.
    pub(crate) fn with_token(&self, token: &str) -> Target {
        Target { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Host and port as a request names them.
    pub(crate) fn authority(&self) -> String {
        let Target { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// The header lines that every request carries.
    pub(crate) fn headers(&self) -> String {
        let token = self.token.as_ref().map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        format!("host: {}\r\n{token}", self.authority())
    }
}

fn split_port(authority: &str, usual: u16) -> Option<(&str, u16)> {
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        let port = rest.strip_prefix(':').map_or(Some(usual), |port| port.parse().ok())?;
        return Some((host, port));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((authority, usual)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_port_and_prefix() {
        let target = |url| Target::parse(url, None, None).map(|target| (target.authority(), target.prefix)).ok();
        let is = |authority: &str, prefix: &str| Some((authority.to_owned(), prefix.to_owned()));
        assert_eq!(target("http://127.0.0.1:8080"), is("127.0.0.1:8080", ""));
        assert_eq!(target("ws://localhost/eu/"), is("localhost:80", "/eu"));
        assert_eq!(target("http://[::1]:9"), is("[::1]:9", ""));
        assert_eq!(target("https://localhost/eu"), is("localhost:443", "/eu"));
        assert_eq!(target("http://host:port"), None);
        assert_eq!(target("localhost:8080"), None);
    }

    #[test]
    fn an_mqtt_door_with_tls_has_its_own_word_and_port() {
        let target =
            |address| Target::parse_mqtt(address, None, None).map(|it| (it.authority(), it.trust.is_some())).ok();
        assert_eq!(target("localhost"), Some(("localhost:1883".into(), false)));
        assert_eq!(target("mqtt://localhost:5"), Some(("localhost:5".into(), false)));
        assert_eq!(target("mqtts://localhost"), Some(("localhost:8883".into(), true)));
        assert_eq!(target("http://localhost"), None);
    }

    #[test]
    fn a_file_without_certificates_vouches_for_nobody() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Target::parse("https://localhost", None, Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("no certificate in"), "{error}");
        Target::parse("http://localhost", None, Some(file.path())).expect("it is not asked for");
    }
}
