//! What keeps a node that asks for no credentials from the pages of others: a browser on the same machine reaches it, too,
//! and would carry there what any page says. It answers to names of this machine only, and to pages from it.

use axum::http::{HeaderMap, header};
use drover_answer::{Problem, ProblemKind};
use std::net::IpAddr;

/// Refuses a request that was made under a foreign name (a foreign name server may give any address for its own), or by
/// a page from elsewhere.
pub(crate) fn is_from_here(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).is_none_or(is_loopback);
    let origin = match (headers.get(header::ORIGIN).is_some(), text(header::ORIGIN)) {
        (false, _) => true,
        (true, origin) => origin.and_then(|origin| origin.split_once("://")).is_some_and(|(_, host)| is_loopback(host)),
    };
    match host && origin {
        true => Ok(()),
        false => Err(Problem::new(
            ProblemKind::Forbidden,
            "not_from_here",
            "a node with --dev asks for no credentials and serves this machine only, under the names of this machine",
            "open it as http://localhost:PORT, or start it without --dev and log in",
        )),
    }
}

/// True for `localhost`, names below it, and loopback addresses, with a port or without.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok_and(|at| at.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_pass_and_no_others() {
        for here in
            ["localhost", "localhost:8080", "LOCALHOST", "127.0.0.1:80", "127.3.2.1", "[::1]:8080", "a.localhost"]
        {
            assert!(is_loopback(here), "{here}");
        }
        for there in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[fe80::1]:80"]
        {
            assert!(!is_loopback(there), "{there}");
        }
    }

    #[test]
    fn a_page_from_elsewhere_is_refused_whatever_it_asks() {
        let asked = |pairs: &[(&'static str, &str)]| {
            let pair =
                |(name, value): &(&'static str, &str)| (name.parse().expect("a name"), value.parse().expect("text"));
            is_from_here(&pairs.iter().map(pair).collect())
        };
        assert!(asked(&[]).is_ok(), "no browser");
        assert!(asked(&[("host", "localhost:8080"), ("origin", "http://localhost:5173")]).is_ok());
        for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
            assert!(asked(&[("host", "localhost:8080"), ("origin", origin)]).is_err(), "{origin}");
        }
        assert!(asked(&[("host", "evil.example:8080")]).is_err(), "its name server says 127.0.0.1");
    }
}
