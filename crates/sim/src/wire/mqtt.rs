//! An MQTT 5 client that publishes with QoS 1 and hears acknowledgements; nothing else of the protocol. Version 5,
//! because only there a server can say no.

use bytes::{Buf, BufMut, BytesMut};

use super::Wire;
use super::target::Target;
use crate::error::{Error, Result};

const CONNACK: u8 = 2;
const PUBACK: u8 = 4;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;
/// Reason codes from here on say no.
const FAILURE: u8 = 0x80;
/// Reason codes that ask to come back later: server busy, quota exceeded.
const LATER: [u8; 2] = [0x89, 0x97];
const REASON_STRING: u8 = 0x1f;
/// Larger packets end the connection; a server has nothing that long to say here.
const MAX_PACKET_BYTES: usize = 1 << 20;
/// A publisher that reports once in minutes must not be taken for dead.
const KEEP_ALIVE_S: u16 = 600;

/// An open connection.
#[derive(Debug)]
pub struct Mqtt {
    wire: Wire,
    last_id: u16,
}

/// What the server says about one publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// As [`Mqtt::publish`] gave it.
    pub id: u16,
    /// Why it was refused, if it was.
    pub refusal: Option<Refusal>,
}

/// A no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The same may be taken later.
    pub later: bool,
    /// The server's reason string, or the number of its reason code.
    pub reason: String,
}

impl Mqtt {
    /// Connects with a clean session.
    ///
    /// # Errors
    /// When the connection breaks or the server does not let this client in.
    pub async fn connect(target: &Target, client_id: &str) -> Result<Mqtt> {
        let mut wire = Wire::connect(target).await?;
        let remaining = 10 + 1 + 2 + client_id.len();
        wire.outbox.put_u8(0x10);
        put_length(&mut wire.outbox, remaining);
        wire.outbox.put_slice(b"\0\x04MQTT\x05\x02");
        wire.outbox.put_u16(KEEP_ALIVE_S);
        wire.outbox.put_u8(0);
        put_text(&mut wire.outbox, client_id.as_bytes());
        let mut mqtt = Mqtt { wire, last_id: 0 };
        loop {
            mqtt.wire.receive().await?;
            if let Some((kind, body)) = mqtt.packet()? {
                return match (kind, body.get(1)) {
                    (CONNACK, Some(0)) => Ok(mqtt),
                    (CONNACK, Some(code)) => {
                        Err(Error::Refused { status: (*code).into(), message: "the server refused to connect".into() })
                    }
                    _ => Err(mqtt.wire.odd("the first packet is no CONNACK")),
                };
            }
        }
    }

    /// Puts a publish in line; [`Mqtt::flush`] or [`Mqtt::receive`] sends it. Gives its id. The caller keeps fewer
    /// than 65,535 unacknowledged.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        let out = &mut self.wire.outbox;
        out.put_u8(0x32);
        put_length(out, 2 + topic.len() + 2 + 1 + payload.len());
        put_text(out, topic.as_bytes());
        out.put_u16(self.last_id);
        out.put_u8(0);
        out.put_slice(payload);
        self.last_id
    }

    /// Sends what waits, as far as the operating system takes it at once. The rest goes with [`Mqtt::receive`].
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn flush(&mut self) -> Result<()> {
        self.wire.try_send().map_err(|error| self.wire.lost(error))
    }

    /// Waits until something has arrived, sending meanwhile. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn receive(&mut self) -> Result<()> {
        self.wire.receive().await
    }

    /// The next acknowledgement among what has arrived, or `None` until more arrives.
    ///
    /// # Errors
    /// When the server says goodbye or breaks the protocol.
    pub fn ack(&mut self) -> Result<Option<Ack>> {
        while let Some((kind, body)) = self.packet()? {
            match kind {
                PUBACK => return ack(&body).map(Some).ok_or_else(|| self.wire.odd("a PUBACK without an id")),
                PINGRESP => {}
                DISCONNECT => {
                    let code = body.first().copied().unwrap_or(0);
                    let source = std::io::Error::new(
                        std::io::ErrorKind::ConnectionAborted,
                        format!("the server said goodbye: reason {code:#x}"),
                    );
                    return Err(self.wire.lost(source));
                }
                other => return Err(self.wire.odd(format!("a packet of type {other}"))),
            }
        }
        Ok(None)
    }

    /// Says goodbye, as far as the operating system takes it at once.
    pub fn close(mut self) {
        self.wire.outbox.put_slice(&[0xe0, 0]);
        let _ = self.wire.try_send();
    }

    /// Type and content of the next whole packet.
    fn packet(&mut self) -> Result<Option<(u8, BytesMut)>> {
        let inbox = &mut self.wire.inbox;
        let Some((head, length)) = length(inbox).map_err(|reason| self.wire.odd(reason))? else { return Ok(None) };
        let inbox = &mut self.wire.inbox;
        if inbox.len() < head + length {
            return Ok(None);
        }
        let kind = inbox[0] >> 4;
        inbox.advance(head);
        Ok(Some((kind, inbox.split_to(length))))
    }
}

/// Bytes of the fixed header and of what follows it.
fn length(inbox: &[u8]) -> Result<Option<(usize, usize)>, &'static str> {
    let mut length = 0;
    for (at, byte) in inbox.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return if length <= MAX_PACKET_BYTES { Ok(Some((at + 2, length))) } else { Err("a packet that is too long") };
        }
    }
    if inbox.len() < 5 { Ok(None) } else { Err("a packet whose length does not end") }
}

fn ack(body: &[u8]) -> Option<Ack> {
    let (id, rest) = body.split_first_chunk::<2>()?;
    let refusal = rest.first().filter(|code| **code >= FAILURE).map(|code| Refusal {
        later: LATER.contains(code),
        reason: reason_string(&rest[1..]).unwrap_or_else(|| format!("reason {code:#x}")),
    });
    Some(Ack { id: u16::from_be_bytes(*id), refusal })
}

/// The reason string, which stands first among the properties of every server seen.
fn reason_string(properties: &[u8]) -> Option<String> {
    let (&bytes, rest) = properties.split_first()?;
    // Longer properties have a longer length, but then they do not fit one byte of it.
    let rest = if bytes & 0x80 == 0 { rest } else { rest.get(1..)? };
    let (&name, rest) = rest.split_first()?;
    let (length, text) = rest.split_first_chunk::<2>()?;
    let text = text.get(..u16::from_be_bytes(*length).into())?;
    (name == REASON_STRING).then(|| String::from_utf8_lossy(text).into_owned())
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

    #[test]
    fn lengths_have_one_to_four_bytes() {
        for (value, expected) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (1 << 20, 3)] {
            let mut out = BytesMut::from(&[0x30][..]);
            put_length(&mut out, value);
            assert_eq!(out.len(), 1 + expected);
            assert_eq!(length(&out), Ok(Some((1 + expected, value))));
        }
        assert_eq!(length(&[0x30, 0x80]), Ok(None));
        assert!(length(&[0x30, 0x80, 0x80, 0x80, 0x80]).is_err());
        assert!(length(&[0x30, 0xff, 0xff, 0xff, 0x7f]).is_err());
    }

    #[test]
    fn acknowledgements_say_yes_or_why_not() {
        assert_eq!(ack(&[0, 7]), Some(Ack { id: 7, refusal: None }));
        assert_eq!(ack(&[1, 0, 0x10]), Some(Ack { id: 256, refusal: None }), "nobody listens, but it was taken");
        let no = ack(&[0, 1, 0x99, 6, REASON_STRING, 0, 3, b'b', b'a', b'd']).unwrap().refusal.unwrap();
        assert_eq!((no.later, no.reason.as_str()), (false, "bad"));
        let later = ack(&[0, 1, 0x97]).unwrap().refusal.unwrap();
        assert_eq!((later.later, later.reason.as_str()), (true, "reason 0x97"));
        assert_eq!(ack(&[0]), None);
    }
}
