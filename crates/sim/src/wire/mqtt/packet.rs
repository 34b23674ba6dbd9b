//! MQTT packets as bytes (OASIS MQTT 3.1.1 and 5.0): what a client says that only publishes, and what it hears. Knows
//! nothing of connections, so that every rule here can be tested on the byte strings of the standards.

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};

use super::property;

const CONNACK: u8 = 2;
const PUBACK: u8 = 4;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;
/// Publish with QoS 1, neither retained nor sent again on the same connection.
const PUBLISH_QOS_1: u8 = 0x32;
const CLEAN_SESSION: u8 = 0x02;
const WITH_USER_AND_PASSWORD: u8 = 0xc0;
/// Version 3.1.1 takes no password without a user name; whose password it is decides.
const USER: &str = "token";
/// Larger packets end the connection; a server has nothing that long to say here.
const MAX_PACKET_BYTES: usize = 1 << 20;

/// The bytes that ask whether the server is there.
pub(super) const PINGREQ: [u8; 2] = [0xc0, 0];
/// The bytes that say goodbye, the same in both versions.
pub(super) const GOODBYE: [u8; 2] = [0xe0, 0];

/// The version of the protocol that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 3.1.1: a server can acknowledge or hang up, but not say no.
    V3,
    /// 5.0: every acknowledgement may be a refusal with its reason.
    V5,
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Version::V3 => "3.1.1",
            Version::V5 => "5",
        })
    }
}

/// What the server says about one publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// As the publish had it.
    pub id: u16,
    /// Why it was refused, if it was.
    pub refusal: Option<Refusal>,
}

/// A no, which only version 5 can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Reason code, 0x80 or above.
    pub code: u8,
    /// The server's words, if it had any.
    pub reason: Option<String>,
}

impl Refusal {
    /// Reason codes from here on say no.
    const FAILURE: u8 = 0x80;

    /// True if the same may be taken later: server busy, quota exceeded.
    pub fn is_for_now(&self) -> bool {
        matches!(self.code, 0x89 | 0x97)
    }

    /// The reason code as a word, as the standard names it.
    pub fn word(&self) -> String {
        match self.code {
            0x80 => "unspecified_error".into(),
            0x83 => "implementation_specific_error".into(),
            0x87 => "not_authorized".into(),
            0x89 => "server_busy".into(),
            0x90 => "topic_name_invalid".into(),
            0x91 => "packet_identifier_in_use".into(),
            0x97 => "quota_exceeded".into(),
            0x99 => "payload_format_invalid".into(),
            other => format!("reason_{other:#04x}"),
        }
    }
}

/// The answer to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Welcome {
    /// 0 lets in.
    pub(super) code: u8,
    pub(super) reason: Option<String>,
    /// Publishes that the server takes before it has acknowledged the first of them.
    pub(super) receive_max: u16,
    /// Longest silence in seconds, if it is the server's and not the client's.
    pub(super) keep_alive_s: Option<u16>,
    /// False if the server takes nothing that it would have to acknowledge.
    pub(super) takes_qos_1: bool,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    Welcome(Welcome),
    Ack(Ack),
    Pong,
    /// Reason code and words; version 5 only.
    Goodbye(u8, Option<String>),
}

/// Appends CONNECT with a clean session and no will; a token goes as password.
pub(super) fn put_connect(
    out: &mut BytesMut,
    version: Version,
    client_id: &str,
    token: Option<&str>,
    keep_alive_s: u16,
) {
    let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    out.put_u8(0x10);
    let credentials = token.map_or(0, |token| 2 + USER.len() + 2 + token.len());
    put_length(out, 10 + properties.len() + 2 + client_id.len() + credentials);
    put_text(out, b"MQTT");
    out.put_u8(if version == Version::V5 { 5 } else { 4 });
    out.put_u8(if token.is_some() { CLEAN_SESSION | WITH_USER_AND_PASSWORD } else { CLEAN_SESSION });
    out.put_u16(keep_alive_s);
    out.put_slice(properties);
    put_text(out, client_id.as_bytes());
    if let Some(token) = token {
        put_text(out, USER.as_bytes());
        put_text(out, token.as_bytes());
    }
}

/// Appends PUBLISH with QoS 1.
pub(super) fn put_publish(out: &mut BytesMut, version: Version, id: u16, topic: &str, payload: &[u8]) {
    let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    out.put_u8(PUBLISH_QOS_1);
    put_length(out, 2 + topic.len() + 2 + properties.len() + payload.len());
    put_text(out, topic.as_bytes());
    out.put_u16(id);
    out.put_slice(properties);
    out.put_slice(payload);
}

/// Takes the next packet out of what has arrived; `None` until it is whole. An error says what broke the protocol.
pub(super) fn take(inbox: &mut BytesMut, version: Version) -> Result<Option<Packet>, String> {
    let Some((head, length)) = length(inbox)? else { return Ok(None) };
    if inbox.len() < head + length {
        return Ok(None);
    }
    let kind = inbox[0] >> 4;
    inbox.advance(head);
    let body = inbox.split_to(length);
    let packet = match kind {
        CONNACK => welcome(&body, version),
        PUBACK => ack(&body),
        PINGRESP => Some(Packet::Pong),
        DISCONNECT if version == Version::V5 => goodbye(&body),
        other => return Err(format!("a packet of type {other}, which no server says to a publisher")),
    };
    packet.map(Some).ok_or_else(|| format!("a packet of type {kind} that is not as it should be"))
}

/// Bytes of the fixed header and of what follows it.
fn length(inbox: &[u8]) -> Result<Option<(usize, usize)>, &'static str> {
    let mut length = 0;
    for (at, byte) in inbox.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return if length <= MAX_PACKET_BYTES {
                Ok(Some((at + 2, length)))
            } else {
                Err("a packet that is too long")
            };
        }
    }
    if inbox.len() < 5 { Ok(None) } else { Err("a packet whose length does not end") }
}

fn welcome(body: &[u8], version: Version) -> Option<Packet> {
    let mut welcome =
        Welcome { code: *body.get(1)?, reason: None, receive_max: u16::MAX, keep_alive_s: None, takes_qos_1: true };
    if version == Version::V5 && body.len() > 2 {
        for (name, value) in property::read(&body[2..])? {
            match name {
                property::SERVER_KEEP_ALIVE => welcome.keep_alive_s = Some(value.number()),
                // 0 is forbidden; taking it for 1 keeps a confused server usable.
                property::RECEIVE_MAXIMUM => welcome.receive_max = value.number().max(1),
                property::MAXIMUM_QOS => welcome.takes_qos_1 = value.number() > 0,
                property::REASON_STRING => welcome.reason = Some(value.text()),
                _ => {}
            }
        }
    }
    Some(Packet::Welcome(welcome))
}

/// Version 3.1.1 has the id only; version 5 may leave out a reason of 0 and empty properties.
fn ack(body: &[u8]) -> Option<Packet> {
    let (id, rest) = body.split_first_chunk::<2>()?;
    let refusal = match rest.split_first() {
        Some((&code, properties)) if code >= Refusal::FAILURE => Some(Refusal { code, reason: reason(properties)? }),
        _ => None,
    };
    Some(Packet::Ack(Ack { id: u16::from_be_bytes(*id), refusal }))
}

fn goodbye(body: &[u8]) -> Option<Packet> {
    let Some((&code, properties)) = body.split_first() else { return Some(Packet::Goodbye(0, None)) };
    Some(Packet::Goodbye(code, reason(properties)?))
}

/// The reason string among the properties; the outer `None` means that they cannot be read.
fn reason(properties: &[u8]) -> Option<Option<String>> {
    if properties.is_empty() {
        return Some(None);
    }
    let found = property::read(properties)?.into_iter().find(|(name, _)| *name == property::REASON_STRING);
    Some(found.map(|(_, value)| value.text()))
}

fn put_length(out: &mut BytesMut, mut length: usize) {
    while length > 0x7f {
        out.put_u8(length as u8 & 0x7f | 0x80);
        length >>= 7;
    }
    out.put_u8(length as u8);
}

fn put_text(out: &mut BytesMut, text: &[u8]) {
    out.put_u16(text.len() as u16);
    out.put_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(bytes: &[u8], version: Version) -> Result<Option<Packet>, String> {
        take(&mut BytesMut::from(bytes), version)
    }

    fn acknowledged(bytes: &[u8], version: Version) -> Ack {
        match heard(bytes, version) {
            Ok(Some(Packet::Ack(ack))) => ack,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_connection_is_asked_for_in_either_version() {
        let mut out = BytesMut::new();
        put_connect(&mut out, Version::V3, "ab", None, 60);
        assert_eq!(&out[..], b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02ab");
        out.clear();
        put_connect(&mut out, Version::V5, "ab", None, 60);
        assert_eq!(&out[..], b"\x10\x0f\0\x04MQTT\x05\x02\0\x3c\0\0\x02ab");
    }

    #[test]
    fn a_publish_has_topic_id_and_payload() {
        let mut out = BytesMut::new();
        put_publish(&mut out, Version::V3, 10, "a/b", b"{}");
        // Topic and id are the example of 3.1.1, table 3.12.
        assert_eq!(&out[..], b"\x32\x09\0\x03a/b\0\x0a{}");
        out.clear();
        put_publish(&mut out, Version::V5, 10, "a/b", b"{}");
        assert_eq!(&out[..], b"\x32\x0a\0\x03a/b\0\x0a\0{}");
    }

    #[test]
    fn lengths_have_one_to_four_bytes() {
        // The limits of table 2.4 of 3.1.1.
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xff, 0xff, 0x7f]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xff, 0xff, 0xff, 0x7f]),
        ] {
            let mut out = BytesMut::new();
            put_length(&mut out, value);
            assert_eq!(&out[..], bytes);
            let read = length(&[&[0x40], bytes].concat());
            let expected = if value > MAX_PACKET_BYTES { Err("a packet that is too long") } else { Ok(value) };
            assert_eq!(read.map(|found| found.unwrap()), expected.map(|value| (1 + bytes.len(), value)));
        }
        assert_eq!(length(&[0x40, 0x80]), Ok(None));
        assert!(length(&[0x40, 0x80, 0x80, 0x80, 0x80]).is_err());
    }

    #[test]
    fn a_server_lets_in_with_its_limits() {
        let Ok(Some(Packet::Welcome(old))) = heard(&[0x20, 2, 0, 0], Version::V3) else { panic!() };
        assert_eq!((old.code, old.receive_max, old.takes_qos_1), (0, u16::MAX, true));
        // Session expiry, receive maximum 20, user property, keep alive of 30 s, topic alias maximum.
        let bytes = b"\x20\x18\0\0\x15\x11\0\0\0\x07\x21\0\x14\x26\0\x01k\0\x01v\x13\0\x1e\x22\0\x0a";
        let Ok(Some(Packet::Welcome(new))) = heard(bytes, Version::V5) else { panic!() };
        assert_eq!((new.code, new.receive_max, new.keep_alive_s), (0, 20, Some(30)));
        let Ok(Some(Packet::Welcome(no))) = heard(&[0x20, 2, 0, 5], Version::V3) else { panic!() };
        assert_eq!(no.code, 5);
    }

    #[test]
    fn acknowledgements_say_yes_or_why_not() {
        assert_eq!(acknowledged(&[0x40, 2, 0, 7], Version::V3), Ack { id: 7, refusal: None });
        assert_eq!(acknowledged(&[0x40, 3, 1, 0, 0], Version::V5), Ack { id: 256, refusal: None });
        let nobody_listens = acknowledged(&[0x40, 4, 0, 7, 0x10, 0], Version::V5);
        assert_eq!(nobody_listens.refusal, None, "it was taken all the same");
        // A user property stands before the reason string.
        let bad = acknowledged(b"\x40\x11\0\x01\x99\x0d\x26\0\x01k\0\x01v\x1f\0\x03bad", Version::V5).refusal.unwrap();
        assert_eq!((bad.code, bad.reason.as_deref(), bad.is_for_now()), (0x99, Some("bad"), false));
        let busy = acknowledged(&[0x40, 3, 0, 1, 0x97], Version::V5).refusal.unwrap();
        assert_eq!((busy.word().as_str(), busy.reason.as_deref(), busy.is_for_now()), ("quota_exceeded", None, true));
    }

    #[test]
    fn a_server_says_goodbye_in_version_5_only() {
        assert_eq!(heard(&[0xe0, 0], Version::V5), Ok(Some(Packet::Goodbye(0, None))));
        let busy = heard(b"\xe0\x08\x93\x06\x1f\0\x03max", Version::V5);
        assert_eq!(busy, Ok(Some(Packet::Goodbye(0x93, Some("max".into())))));
        assert!(heard(&[0xe0, 0], Version::V3).is_err());
    }

    #[test]
    fn packets_are_found_wherever_reads_split_them() {
        let bytes = b"\x40\x03\0\x01\0\xd0\0\x40\x0a\0\x02\x87\x06\x1f\0\x03not\x40\x02\0\x03";
        let whole = |cut: usize| {
            let mut inbox = BytesMut::from(&bytes[..cut]);
            let mut packets = Vec::new();
            for rest in [&bytes[cut..], &[]] {
                while let Some(packet) = take(&mut inbox, Version::V5).unwrap() {
                    packets.push(packet);
                }
                inbox.extend_from_slice(rest);
            }
            assert!(inbox.is_empty());
            packets
        };
        let expected = whole(bytes.len());
        assert_eq!(expected.len(), 4);
        for cut in 0..bytes.len() {
            assert_eq!(whole(cut), expected, "split after {cut} bytes");
        }
    }

    #[test]
    fn broken_packets_are_named() {
        for bytes in [&[0x40, 1, 0][..], &[0x20, 1, 0], &[0x40, 5, 0, 1, 0x99, 9, 0x1f], &[0x30, 0]] {
            assert!(heard(bytes, Version::V5).is_err(), "{bytes:?}");
        }
    }
}
