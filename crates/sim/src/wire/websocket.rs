//! A WebSocket client (RFC 6455) for text messages, without extensions.

use bytes::{Buf, Bytes, BytesMut};

use super::Wire;
use super::http::said;
use super::target::Target;
use crate::error::{Error, Result};
use crate::random::Random;

/// Larger messages end the connection, so that a confused peer cannot fill the memory.
const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// The nonce only shows that the peer answers this handshake and is no cache; a constant one (the standard's own
/// example) does that as well and saves a SHA-1.
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    wire: Wire,
    masks: Random,
    /// The parts so far of a message that comes in several frames.
    parts: BytesMut,
}

struct Frame {
    last: bool,
    code: u8,
    payload: Bytes,
}

impl WebSocket {
    /// Connects and upgrades at this path.
    ///
    /// # Errors
    /// When the connection breaks, or the server does not upgrade (its status is named).
    pub async fn connect(target: &Target, path: &str) -> Result<WebSocket> {
        let mut wire = Wire::connect(target).await?;
        let request = format!(
            "GET {prefix}{path} HTTP/1.1\r\n{headers}connection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {NONCE}\r\n\r\n",
            prefix = target.prefix,
            headers = target.headers(),
        );
        wire.outbox.extend_from_slice(request.as_bytes());
        let end = loop {
            wire.receive().await?;
            if let Some(end) = memchr::memmem::find(&wire.inbox, b"\r\n\r\n") {
                break end;
            }
        };
        let head = wire.inbox.split_to(end + 4);
        check_upgrade(&head).map_err(|reason| refusal(&wire, &head, reason))?;
        let seed = std::process::id().into();
        Ok(WebSocket { wire, masks: Random::new(seed), parts: BytesMut::new() })
    }

    /// Puts a text message in line; [`WebSocket::flush`] or [`WebSocket::receive`] sends it.
    pub fn say(&mut self, text: &[u8]) {
        self.put(TEXT, text);
    }

    /// Sends what waits, as far as the operating system takes it at once. The rest goes with [`WebSocket::receive`].
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn flush(&mut self) -> Result<()> {
        self.wire.try_send().map_err(|error| self.wire.lost(error))
    }

    /// Bytes that wait to be sent.
    pub fn waiting_bytes(&self) -> usize {
        self.wire.outbox.len()
    }

    /// Waits until something has arrived, sending meanwhile. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn receive(&mut self) -> Result<()> {
        self.wire.receive().await
    }

    /// The next message among what has arrived, or `None` until more arrives.
    ///
    /// # Errors
    /// When the server closes or breaks the protocol.
    pub fn message(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = take_frame(&mut self.wire.inbox).map_err(|reason| self.wire.odd(reason))? {
            match frame.code {
                TEXT | BINARY if frame.last => return Ok(Some(frame.payload)),
                TEXT | BINARY | CONTINUATION => {
                    self.parts.extend_from_slice(&frame.payload);
                    if self.parts.len() > MAX_MESSAGE_BYTES {
                        return Err(self.wire.odd("a message that does not end"));
                    }
                    if frame.last {
                        return Ok(Some(self.parts.split().freeze()));
                    }
                }
                PING => self.put(PONG, &frame.payload),
                CLOSE => return Err(self.closed(&frame.payload)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// When the connection is broken or closed.
    pub async fn next_message(&mut self) -> Result<Bytes> {
        loop {
            if let Some(message) = self.message()? {
                return Ok(message);
            }
            self.receive().await?;
        }
    }

    /// Says goodbye, as far as the operating system takes it at once.
    pub fn close(mut self) {
        self.put(CLOSE, &1000_u16.to_be_bytes());
        let _ = self.wire.try_send();
    }

    /// Clients must mask, so that no text can pass for another protocol's.
    fn put(&mut self, code: u8, payload: &[u8]) {
        let out = &mut self.wire.outbox;
        out.reserve(payload.len() + 14);
        out.extend_from_slice(&[0x80 | code]);
        match payload.len() {
            length @ ..126 => out.extend_from_slice(&[0x80 | length as u8]),
            length @ ..=0xffff => {
                out.extend_from_slice(&[0x80 | 126]);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.extend_from_slice(&[0x80 | 127]);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mask = (self.masks.next_u64() as u32).to_ne_bytes();
        out.extend_from_slice(&mask);
        let start = out.len();
        out.extend_from_slice(payload);
        apply_mask(&mut out[start..], mask);
    }

    /// A close is a lost connection (a new one may do) unless the server says that this client is at fault.
    fn closed(&self, payload: &[u8]) -> Error {
        let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
        let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
        if matches!(code, 1002 | 1003 | 1007 | 1008 | 1009) {
            return Error::Refused { status: 0, message: format!("close {code} {reason}") };
        }
        self.wire.lost(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, format!("closed: {code} {reason}")))
    }
}

fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask, mask].concat().try_into().expect("two masks of four bytes"));
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Takes one whole frame out of what has arrived, if there is one.
fn take_frame(inbox: &mut BytesMut) -> Result<Option<Frame>, String> {
    let [first, second, ..] = inbox[..] else { return Ok(None) };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err("a frame with unknown bits or a mask".into());
    }
    let (head, length) = match second {
        126 => (4, inbox.get(2..4).map(|bytes| u64::from(u16::from_be_bytes([bytes[0], bytes[1]])))),
        127 => (10, inbox.get(2..10).map(|bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))),
        short => (2, Some(u64::from(short))),
    };
    let Some(length) = length else { return Ok(None) };
    if length > MAX_MESSAGE_BYTES as u64 {
        return Err(format!("a frame of {length} bytes, at most {MAX_MESSAGE_BYTES} are taken"));
    }
    let length = length as usize;
    if inbox.len() < head + length {
        inbox.reserve(head + length - inbox.len());
        return Ok(None);
    }
    inbox.advance(head);
    Ok(Some(Frame { last: first & 0x80 != 0, code: first & 0x0f, payload: inbox.split_to(length).freeze() }))
}

fn check_upgrade(head: &[u8]) -> Result<(), &'static str> {
    let head = String::from_utf8_lossy(head);
    let accepted = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or_default();
        name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT
    };
    match head.split(' ').nth(1) {
        Some("101") if head.lines().any(accepted) => Ok(()),
        Some("101") => Err("the upgrade does not answer this handshake"),
        _ => Err("no upgrade to WebSocket"),
    }
}

/// 429 and 503 ask to come back and count as a lost connection; other statuses are final.
fn refusal(wire: &Wire, head: &[u8], reason: &str) -> Error {
    let line = String::from_utf8_lossy(head).lines().next().unwrap_or_default().to_owned();
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    match status {
        429 | 502..=504 => wire.lost(std::io::Error::new(std::io::ErrorKind::ConnectionRefused, line)),
        400..=599 => {
            // What the server says of it stands behind the head, if it has arrived with it.
            let message = said(&wire.inbox).unwrap_or_else(|| format!("{reason}: '{line}'"));
            Error::Refused { status, message }
        }
        _ => wire.odd(format!("{reason}: '{line}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_only_when_it_is_whole() {
        let mut frame = vec![0x81, 126, 0, 200];
        frame.extend([b'x'; 200]);
        for cut in 0..frame.len() {
            let mut inbox = BytesMut::from(&frame[..cut]);
            assert!(take_frame(&mut inbox).unwrap().is_none());
            assert_eq!(inbox.len(), cut);
        }
        let mut inbox = BytesMut::from(&frame[..]);
        assert_eq!(take_frame(&mut inbox).unwrap().unwrap().payload.len(), 200);
    }

    #[test]
    fn masking_twice_gives_the_text_back() {
        let text: Vec<u8> = (0..=40).collect();
        let mut masked = text.clone();
        apply_mask(&mut masked, [1, 2, 3, 4]);
        assert_eq!((masked[4], masked[37]), (text[4] ^ 1, text[37] ^ 2));
        apply_mask(&mut masked, [1, 2, 3, 4]);
        assert_eq!(masked, text);
    }

    #[test]
    fn only_an_answer_to_this_handshake_is_an_upgrade() {
        let answer = |accept| format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
        assert!(check_upgrade(answer(ACCEPT).as_bytes()).is_ok());
        assert!(check_upgrade(answer("x").as_bytes()).is_err());
        assert!(check_upgrade(b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
    }
}
