//! HTTP/1.1, WebSocket and MQTT clients written by hand over one TCP stream, as load tools do: no task, no lock and no copy
//! between a report and its bytes. (Measured against tokio-tungstenite: see README.md.) All speak plain TCP only.

pub mod answer;
pub mod http;
pub mod mqtt;
pub mod target;
pub mod websocket;

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::error::{Error, Result};
use target::Target;

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
}

impl Wire {
    async fn connect(target: &Target) -> Result<Wire> {
        let peer = target.authority();
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(|source| Error::Connection { peer: peer.clone(), source })?;
        Ok(Wire { stream, peer, inbox: BytesMut::new(), outbox: BytesMut::new() })
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
        let writing = if self.outbox.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        let ready = self.stream.ready(writing).await?;
        if ready.is_writable() && !self.outbox.is_empty() {
            self.try_send()?;
        }
        if !ready.is_readable() {
            return Ok(false);
        }
        self.inbox.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.inbox) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends as much as the operating system takes without waiting.
    fn try_send(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.try_write(&self.outbox) {
                Ok(sent) => self.outbox.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn lost(&self, source: io::Error) -> Error {
        Error::Connection { peer: self.peer.clone(), source }
    }

    fn odd(&self, reason: impl Into<String>) -> Error {
        Error::Protocol { peer: self.peer.clone(), reason: reason.into() }
    }
}
