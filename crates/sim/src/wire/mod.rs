//! HTTP/1.1, WebSocket and MQTT clients written by hand over one TCP stream, as load tools do: no task, no lock and no copy
//! between a report and its bytes. (Measured against tokio-tungstenite: see README.md.) All speak TLS as well.

pub mod answer;
pub mod http;
pub mod mqtt;
pub mod target;
mod tls;
pub mod websocket;

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::error::{Error, Result};
use target::Target;
use tls::Tls;

/// Free room offered to each read, in bytes.
const READ_BYTES: usize = 16 << 10;

/// A stream with the bytes that wait on either side of it.
///
/// Reading and writing go on together in [`Wire::receive`]: a peer that stops reading until we read cannot block us.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    peer: String,
    /// Received and not yet understood.
    inbox: BytesMut,
    /// Said and not yet sent.
    outbox: BytesMut,
    /// Where the target asks for it.
    tls: Option<Box<Tls>>,
}

impl Wire {
    async fn connect(target: &Target) -> Result<Wire> {
        let peer = target.authority();
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(|source| Error::Connection { peer: peer.clone(), source })?;
        let mut wire = Wire { stream, peer, inbox: BytesMut::new(), outbox: BytesMut::new(), tls: None };
        if let Some(trust) = &target.trust {
            wire.shake_hands(Tls::new(trust, &target.host)).await.map_err(|source| wire.unsafe_or_lost(source))?;
        }
        Ok(wire)
    }

    async fn shake_hands(&mut self, tls: io::Result<Tls>) -> io::Result<()> {
        self.tls = Some(Box::new(tls?));
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            self.exchange().await?;
        }
        Ok(())
    }

    /// Sends what waits to be sent until something new has arrived. Dropping the future loses nothing.
    async fn receive(&mut self) -> Result<()> {
        while !self.exchange().await.map_err(|source| self.lost(source))? {}
        Ok(())
    }

    /// Sends everything that waits, unless something arrives first.
    async fn send_all(&mut self) -> Result<()> {
        while !self.outbox.is_empty() && self.inbox.is_empty() {
            self.exchange().await.map_err(|source| self.lost(source))?;
        }
        Ok(())
    }

    /// Moves what can be moved now; true if something arrived.
    async fn exchange(&mut self) -> io::Result<bool> {
        let waiting = self.has_to_send();
        let writing = if waiting { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let ready = self.stream.ready(writing).await?;
        if ready.is_writable() && waiting {
            self.try_send()?;
        }
        if !ready.is_readable() {
            return Ok(false);
        }
        match self.try_receive() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            arrived => arrived,
        }
    }

    fn has_to_send(&self) -> bool {
        !self.outbox.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.has_to_send())
    }

    /// Takes what is there without waiting; true if something has arrived by it.
    fn try_receive(&mut self) -> io::Result<bool> {
        if let Some(tls) = &mut self.tls {
            return tls.try_receive(&self.stream, &mut self.inbox);
        }
        self.inbox.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.inbox)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(true),
        }
    }

    /// Sends as much as the operating system takes without waiting.
    fn try_send(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            return tls.try_send(&self.stream, &mut self.outbox);
        }
        while !self.outbox.is_empty() {
            match self.stream.try_write(&self.outbox) {
                Ok(sent) => self.outbox.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Why there is no connection. Whom we do not trust now, we will not trust at the next attempt.
    fn unsafe_or_lost(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::InvalidData => Error::Tls { peer: self.peer.clone(), source },
            _ => self.lost(source),
        }
    }

    fn lost(&self, source: io::Error) -> Error {
        Error::Connection { peer: self.peer.clone(), source }
    }

    fn odd(&self, reason: impl Into<String>) -> Error {
        Error::Protocol { peer: self.peer.clone(), reason: reason.into() }
    }
}
