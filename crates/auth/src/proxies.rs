//! From where a request comes when it comes through a proxy. Headers that say so are believed from the proxies that the
//! operator names, and from nobody else: whoever connects by himself could write anything into them.

use axum::http::HeaderMap;
use drover_access::ClientOrigin;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED: &str = "forwarded";

/// An address, or all that begin like it: `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u32,
}

/// A text is no address and no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address such as 10.0.0.7 nor a network such as 10.0.0.0/8")]
pub struct NotANetwork(String);

impl Network {
    /// True if the address is one of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (base, width) = number(self.base);
        let (address, other) = number(address.to_canonical());
        width == other && (self.bits == 0 || (base ^ address) >> (width - self.bits) == 0)
    }
}

/// An address as a number, and how many bits it has.
fn number(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => (address.into(), 128),
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Network, NotANetwork> {
        let wrong = || NotANetwork(text.to_owned());
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits.parse::<u32>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let written: IpAddr = base.trim().parse().map_err(|_| wrong())?;
        let base = written.to_canonical();
        let (widest, width) = (number(written).1, number(base).1);
        // An IPv4 address that is written as IPv6: its first 96 bits are no part of it.
        let bits = bits.unwrap_or(widest).checked_sub(widest - width).ok_or_else(wrong)?;
        if bits > width { Err(wrong()) } else { Ok(Network { base, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// From where a request comes: who connected, or, if that is a trusted proxy, whom it names.
pub(crate) fn origin(peer: ClientOrigin, headers: &HeaderMap, trusted: &[Network]) -> ClientOrigin {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let Some(proxy) = peer.address.filter(|address| is_trusted(*address)) else { return peer };
    let address = match (headers.contains_key(X_FORWARDED_FOR), headers.contains_key(FORWARDED)) {
        (true, false) => named(proxy, x_forwarded_for(headers), is_trusted),
        (false, true) => named(proxy, forwarded(headers, "for"), is_trusted),
        (false, false) => proxy,
        (true, true) => {
            // A proxy writes one of them, and may let through what a client wrote into the other: which one is not known.
            let one = named(proxy, x_forwarded_for(headers), is_trusted);
            let other = named(proxy, forwarded(headers, "for"), is_trusted);
            if one == other { one } else { proxy }
        }
    };
    ClientOrigin { address: Some(address), is_secured: peer.is_secured || is_https(headers) }
}

/// The last one that is no trusted proxy: what stands before it, anybody may have written.
fn named(proxy: IpAddr, hops: Vec<&str>, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = proxy;
    for hop in hops.into_iter().rev() {
        // Who is not named by an address stays unknown: the last known one stands for him.
        let Some(address) = address_in(hop) else { break };
        client = address;
        if !is_trusted(address) {
            break;
        }
    }
    client
}

fn x_forwarded_for(headers: &HeaderMap) -> Vec<&str> {
    values(headers, X_FORWARDED_FOR).collect()
}

/// What each element of `Forwarded` says of `name`; nothing, where it does not say it.
fn forwarded<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let of_element = |element: &'a str| {
        let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.trim().trim_matches('"'))
    };
    values(headers, FORWARDED).map(of_element).collect()
}

/// The parts of a header that may come in several lines. One that is no text counts as empty.
fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().map(|line| line.to_str().unwrap_or_default());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7`, `[2001:db8::7]`, `[2001:db8::7]:4711`.
fn address_in(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => match text.split_once(':') {
            Some((address, port)) if !port.contains(':') => address,
            _ => text,
        },
    };
    Some(bare.parse::<IpAddr>().ok()?.to_canonical())
}

fn is_https(headers: &HeaderMap) -> bool {
    let proto = values(headers, X_FORWARDED_PROTO).next();
    let proto = proto.or_else(|| forwarded(headers, "proto").first().copied());
    proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(list: &[&str]) -> Vec<Network> {
        list.iter().map(|text| text.parse().expect("a network")).collect()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// Where a request of this peer with these headers comes from; the proxies are 10.0.0.0/8 and fd00::1.
    fn from(peer: &str, headers: &[(&str, &str)]) -> ClientOrigin {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<axum::http::HeaderName>().expect("a name"), value.parse().expect("a value"));
        }
        let peer = ClientOrigin { address: Some(address(peer)), is_secured: false };
        origin(peer, &map, &networks(&["10.0.0.0/8", "fd00::1"]))
    }

    #[test]
    fn a_network_holds_what_begins_like_it() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.128/25", "192.0.2.200", "192.0.2.127"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("fd00::/8", "fdff::1", "fc00::1"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::10.1.1.1"),
        ] {
            let network: Network = network.parse().expect("a network");
            assert!(network.contains(address(inside)), "{inside} in {network}");
            assert!(!network.contains(address(outside)), "{outside} not in {network}");
        }
        for wrong in
            ["", "10", "10.0.0.0/33", "fd00::/129", "::ffff:10.0.0.0/95", "10.0.0.0/", "localhost", "10.0.0.0/-1"]
        {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn who_connects_by_himself_is_believed_nothing() {
        for headers in [
            [("x-forwarded-for", "8.8.8.8"), ("x-forwarded-proto", "https")],
            [("forwarded", "for=8.8.8.8;proto=https"), ("x-forwarded-proto", "https")],
        ] {
            assert_eq!(
                from("192.0.2.7", &headers),
                ClientOrigin { address: Some(address("192.0.2.7")), is_secured: false }
            );
        }
    }

    #[test]
    fn behind_a_trusted_proxy_the_last_address_that_is_no_proxy_counts() {
        for (header, value, client) in [
            ("x-forwarded-for", "203.0.113.9", "203.0.113.9"),
            // The first is what the client wrote himself.
            ("x-forwarded-for", "8.8.8.8, 203.0.113.9", "203.0.113.9"),
            ("x-forwarded-for", "8.8.8.8, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
            ("x-forwarded-for", "203.0.113.9:4711", "203.0.113.9"),
            ("x-forwarded-for", "[2001:db8::7]:4711", "2001:db8::7"),
            ("x-forwarded-for", "2001:db8::7", "2001:db8::7"),
            ("x-forwarded-for", "::ffff:203.0.113.9", "203.0.113.9"),
            // All are proxies: the one that is furthest away.
            ("x-forwarded-for", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // Somebody whom the proxy does not name is the proxy's.
            ("x-forwarded-for", "8.8.8.8, unknown", "10.0.0.1"),
            ("x-forwarded-for", "", "10.0.0.1"),
            ("forwarded", "for=203.0.113.9;proto=http;by=10.0.0.1", "203.0.113.9"),
            ("forwarded", "for=8.8.8.8, For=\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("forwarded", "for=\"8.8.8.8, for=203.0.113.9", "203.0.113.9"),
            ("forwarded", "for=8.8.8.8, for=_hidden", "10.0.0.1"),
            ("forwarded", "for=8.8.8.8, proto=https", "10.0.0.1"),
        ] {
            assert_eq!(from("10.0.0.1", &[(header, value)]).address, Some(address(client)), "{header}: {value}");
        }
        let lines = [("x-forwarded-for", "8.8.8.8"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(from("fd00::1", &lines).address, Some(address("203.0.113.9")));
    }

    #[test]
    fn two_headers_that_contradict_each_other_are_not_believed() {
        let both = |one, other| from("10.0.0.1", &[("x-forwarded-for", one), ("forwarded", other)]).address;
        assert_eq!(both("203.0.113.9", "for=8.8.8.8"), Some(address("10.0.0.1")));
        assert_eq!(both("203.0.113.9", "for=203.0.113.9"), Some(address("203.0.113.9")));
    }

    #[test]
    fn a_trusted_proxy_says_whether_the_client_came_by_tls() {
        let secured = |headers: &[(&str, &str)]| from("10.0.0.1", headers).is_secured;
        assert!(secured(&[("x-forwarded-proto", "https")]));
        assert!(secured(&[("forwarded", "for=203.0.113.9;proto=HTTPS")]));
        assert!(!secured(&[("x-forwarded-proto", "http"), ("forwarded", "proto=https")]));
        assert!(!secured(&[]));
    }
}
