//! Where the server is: `http://host[:port][/prefix]`, or the same with `ws`; both words mean the same server here.

use crate::error::{Error, Result};

/// A server's address, and who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or address, without the brackets of IPv6.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path before `/api/v1`, empty or with a leading slash; for servers behind a proxy.
    pub prefix: String,
    /// Sent as a bearer token, if the server asks for one.
    pub token: Option<String>,
}

impl Target {
    /// Understands an address.
    ///
    /// # Errors
    /// On anything that is not plain HTTP or WebSocket: this crate does not speak TLS.
    pub fn parse(url: &str, token: Option<String>) -> Result<Target> {
        let wrong = |reason| Error::Address { url: url.to_owned(), reason };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it must start with http:// or ws://"))?;
        match scheme {
            "http" | "ws" => {}
            "https" | "wss" => {
                return Err(wrong("TLS is not spoken here; use the server's plain door or a local proxy"));
            }
            _ => return Err(wrong("only http:// and ws:// are spoken here")),
        }
        if token.as_ref().is_some_and(|token| token.contains(['\r', '\n'])) {
            return Err(wrong("the token contains a line end"));
        }
        let (authority, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = split_port(authority, 80).ok_or_else(|| wrong("the port is not a number"))?;
        if host.is_empty() || host.contains(['@', ' ']) || prefix.contains(['?', '#', ' ']) {
            return Err(wrong("expected http://HOST:PORT"));
        }
        let prefix = prefix.trim_end_matches('/').to_owned();
        Ok(Target { host: host.to_owned(), port, prefix, token })
    }

    /// Understands the address of an MQTT server, `HOST:PORT` or `mqtt://HOST:PORT`. The token goes as password.
    ///
    /// # Errors
    /// On anything else.
    pub fn parse_mqtt(address: &str, token: Option<String>) -> Result<Target> {
        let plain = address.strip_prefix("mqtt://").unwrap_or(address).trim_end_matches('/');
        let wrong = |reason| Error::Address { url: address.to_owned(), reason };
        let parts = if plain.contains("://") { None } else { split_port(plain, 1883) };
        let (host, port) = parts.ok_or_else(|| wrong("expected HOST:PORT of a plain MQTT door"))?;
        Ok(Target { host: host.to_owned(), port, prefix: String::new(), token })
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
        let target = |url| Target::parse(url, None).map(|target| (target.authority(), target.prefix)).ok();
        let is = |authority: &str, prefix: &str| Some((authority.to_owned(), prefix.to_owned()));
        assert_eq!(target("http://127.0.0.1:8080"), is("127.0.0.1:8080", ""));
        assert_eq!(target("ws://localhost/eu/"), is("localhost:80", "/eu"));
        assert_eq!(target("http://[::1]:9"), is("[::1]:9", ""));
        assert_eq!(target("http://host:port"), None);
        assert_eq!(target("localhost:8080"), None);
    }

    #[test]
    fn tls_is_refused_with_a_way_out() {
        let error = Target::parse("https://example.org", None).unwrap_err().to_string();
        assert!(error.contains("TLS is not spoken") && error.contains("proxy"), "{error}");
    }
}
