//! A door: accepts connections, plain or TLS, for `axum::serve` and the MQTT broker alike. Handshakes run
//! beside each other, with a bound on their number and on their time; whoever stalls holds up nobody.

use crate::certificate::ACME_TLS;
use crate::held::Held;
use crate::places::{Place, Places};
use crate::tls::ServerTls;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io::{IoSlice, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes under way; with more, sockets wait with the system.
const HANDSHAKES_MAX: usize = 1024;
/// How long to wait when nothing can be accepted: too many open files, for one, gets better when somebody
/// leaves.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// The certificate that it showed, DER, verified up to a trusted authority.
    pub certificate: Option<Arc<[u8]>>,
    /// Nobody on the way can read along.
    pub is_secured: bool,
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Peer {
        stream.remote_addr().clone()
    }
}

/// A listening socket with or without TLS.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    tls: Option<ServerTls>,
    places: Option<Places>,
    handshakes: JoinSet<Option<Arrival>>,
}

/// A connection that is ready for use, with the place that it takes where those are counted.
pub(crate) type Arrival = (Socket, Peer, Option<Place>);

impl Door {
    /// A door at this socket; without TLS everything goes in the clear.
    pub fn new(listener: TcpListener, tls: Option<ServerTls>) -> Door {
        Door { listener, tls, places: None, handshakes: JoinSet::new() }
    }

    /// The same with room for so many connections, handshakes among them. For a [`crate::HttpDoor`]: its connections hold
    /// their places as long as they live.
    pub fn with_room(self, places: Places) -> Door {
        Door { places: Some(places), ..self }
    }

    /// Where it is.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection that is ready for use. May be dropped and called again: nothing is lost.
    pub async fn accept(&mut self) -> (Socket, Peer) {
        let (socket, peer, _) = self.arrival().await;
        (socket, peer)
    }

    /// The same with its place.
    pub(crate) async fn arrival(&mut self) -> Arrival {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(ready)) = done {
                        return ready;
                    }
                }
                accepted = self.listener.accept(), if self.handshakes.len() < HANDSHAKES_MAX => match accepted {
                    Ok((stream, address)) => {
                        if let Some(ready) = self.take(stream, address) {
                            return ready;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    fn take(&mut self, stream: TcpStream, address: SocketAddr) -> Option<Arrival> {
        let place = match &self.places {
            Some(places) => Some(places.enter(address.ip())?),
            None => None,
        };
        // Small answers must not wait for more bytes to share a packet with.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY refused");
        }
        let Some(tls) = &self.tls else {
            return Some((Socket::Plain(stream), Peer { address, certificate: None, is_secured: false }, place));
        };
        self.handshakes.spawn(shake_hands(tls.clone(), stream, address, place));
        None
    }
}

async fn shake_hands(tls: ServerTls, stream: TcpStream, address: SocketAddr, place: Option<Place>) -> Option<Arrival> {
    match timeout(HANDSHAKE, tls.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => secured(&tls, stream, address).map(|(socket, peer)| (socket, peer, place)),
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%address, "a TLS handshake took too long");
            None
        }
    }
}

fn secured(tls: &ServerTls, stream: TlsStream<TcpStream>, address: SocketAddr) -> Option<(Socket, Peer)> {
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() == Some(ACME_TLS) {
        // The directory has seen what it wanted to see.
        return None;
    }
    let shown = session.peer_certificates().and_then(|chain| chain.first());
    let certificate: Option<Arc<[u8]>> = shown.map(|certificate| Arc::from(&**certificate));
    let held = match (&certificate, &tls.authority) {
        (Some(certificate), Some(authority)) => Some(authority.hold(certificate)?),
        _ => None,
    };
    let socket = Socket::Secured(Box::new(Secured { stream, held }));
    Some((socket, Peer { address, certificate, is_secured: true }))
}

impl Listener for Door {
    type Io = Socket;
    type Addr = Peer;

    async fn accept(&mut self) -> (Socket, Peer) {
        Door::accept(self).await
    }

    fn local_addr(&self) -> Result<Peer> {
        Ok(Peer { address: self.address()?, certificate: None, is_secured: self.tls.is_some() })
    }
}

/// A connection, plain or TLS. One that stands on a certificate ends when that is revoked.
#[derive(Debug)]
pub enum Socket {
    /// In the clear.
    Plain(TcpStream),
    /// Within TLS.
    Secured(Box<Secured>),
}

/// A connection within TLS.
#[derive(Debug)]
pub struct Secured {
    stream: TlsStream<TcpStream>,
    held: Option<Held>,
}

impl Secured {
    fn may_write(&self) -> Result<()> {
        self.held.as_ref().map_or(Ok(()), Held::may_write)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Secured(secured) => {
                if let Some(held) = &secured.held {
                    held.may_read(cx.waker())?;
                }
                Pin::new(&mut secured.stream).poll_read(cx, buffer)
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Secured(secured) => {
                secured.may_write()?;
                Pin::new(&mut secured.stream).poll_write(cx, bytes)
            }
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Socket::Secured(secured) => {
                secured.may_write()?;
                Pin::new(&mut secured.stream).poll_write_vectored(cx, parts)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Secured(secured) => secured.stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Secured(secured) => Pin::new(&mut secured.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Secured(secured) => Pin::new(&mut secured.stream).poll_shutdown(cx),
        }
    }
}
