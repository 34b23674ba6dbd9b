//! A guest at the HTTP door: a connection that has to say in time what it wants. Whoever begins a request has to bring
//! its head to an end, who is answered may be silent only so long, and a body has to go on coming. While a request is
//! answered nothing is cut, however long that takes: uploads that come, SQL, server-sent events, WebSockets.

use crate::door::{Door, Peer, Socket};
use crate::places::Place;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use http_body::{Body as _, Frame, SizeHint};
use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a guest may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the first byte of a request, or from the opening of the connection, to the end of its head.
    pub head: Duration,
    /// Between an answer and the next request.
    pub idle: Duration,
    /// Between two pieces of a body that is waited for.
    pub body: Duration,
}

/// A [`Door`] for `axum::serve` whose guests have to be in time. Its router needs [`in_time`] as the outermost layer.
#[derive(Debug)]
pub struct HttpDoor {
    door: Door,
    patience: Patience,
}

impl HttpDoor {
    /// The door with patience.
    pub fn new(door: Door, patience: Patience) -> HttpDoor {
        HttpDoor { door, patience }
    }

    /// Where it is.
    pub fn address(&self) -> Result<std::net::SocketAddr> {
        self.door.address()
    }
}

impl Listener for HttpDoor {
    type Io = Guest;
    type Addr = Peer;

    async fn accept(&mut self) -> (Guest, Peer) {
        let (socket, peer, place) = self.door.arrival().await;
        (Guest::new(socket, place, self.patience), peer)
    }

    fn local_addr(&self) -> Result<Peer> {
        self.door.local_addr()
    }
}

/// The requests of one connection.
#[derive(Debug)]
struct Asking {
    patience: Patience,
    /// Asked and not answered to the end.
    under_way: AtomicU32,
    /// Asked since the connection was opened.
    begun: AtomicU32,
}

/// A connection whose time is looked at.
#[derive(Debug)]
pub struct Guest {
    socket: Socket,
    asking: Arc<Asking>,
    /// When it is cut; set while nothing comes.
    until: Option<Pin<Box<Sleep>>>,
    /// How many requests had begun when it was read from last.
    seen: u32,
    /// A head has begun and is not at its end. At first it counts as begun.
    is_speaking: bool,
    _place: Option<Place>,
}

impl Guest {
    fn new(socket: Socket, place: Option<Place>, patience: Patience) -> Guest {
        let asking = Asking { patience, under_way: AtomicU32::new(0), begun: AtomicU32::new(0) };
        Guest { socket, asking: Arc::new(asking), until: None, seen: 0, is_speaking: true, _place: place }
    }

    /// Between two requests: how long the next one is waited for follows from what was heard of it.
    fn mind_time(&mut self, heard: bool, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let begun = self.asking.begun.load(Ordering::Relaxed);
        if begun != self.seen {
            (self.seen, self.is_speaking, self.until) = (begun, false, None);
        }
        if heard {
            if !self.is_speaking {
                (self.is_speaking, self.until) = (true, None);
            }
            return Poll::Ready(Ok(()));
        }
        let Patience { head, idle, .. } = self.asking.patience;
        let time = if self.is_speaking { head } else { idle };
        ready!(self.until.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(cx));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "no request came in time")))
    }

    /// Who still takes an answer is not silent.
    fn took(&mut self, written: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if !self.is_speaking && matches!(written, Poll::Ready(Ok(1..))) {
            self.until = None;
        }
        written
    }
}

impl AsyncRead for Guest {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let guest = self.get_mut();
        let polled = Pin::new(&mut guest.socket).poll_read(cx, buffer);
        if guest.asking.under_way.load(Ordering::Relaxed) > 0 {
            guest.until = None;
            return polled;
        }
        if let Poll::Ready(Err(_)) = polled {
            return polled;
        }
        guest.mind_time(polled.is_ready(), cx)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let guest = self.get_mut();
        let written = Pin::new(&mut guest.socket).poll_write(cx, bytes);
        guest.took(written)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        let guest = self.get_mut();
        let written = Pin::new(&mut guest.socket).poll_write_vectored(cx, parts);
        guest.took(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

/// What a connection tells its requests; [`in_time`] takes it, and leaves the [`Peer`].
#[derive(Debug, Clone)]
pub struct Visit {
    peer: Peer,
    asking: Arc<Asking>,
}

impl Connected<IncomingStream<'_, HttpDoor>> for Visit {
    fn connect_info(stream: IncomingStream<'_, HttpDoor>) -> Visit {
        Visit { peer: stream.remote_addr().clone(), asking: stream.io().asking.clone() }
    }
}

/// The outermost layer of a router behind an [`HttpDoor`]: tells the connection when a request is under way, and gives
/// up a body of which nothing comes.
pub async fn in_time(mut request: Request, next: Next) -> Response {
    let Some(ConnectInfo(visit)) = request.extensions_mut().remove::<ConnectInfo<Visit>>() else {
        return next.run(request).await;
    };
    request.extensions_mut().insert(ConnectInfo(visit.peer));
    let patience = visit.asking.patience.body;
    let turn = Turn::begin(visit.asking);
    if !request.body().is_end_stream() {
        request = request.map(|body| Body::new(Coming { body, patience, until: None, _turn: turn.again() }));
    }
    let response = next.run(request).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // What follows is no HTTP, and has its own bounds.
        turn.keep();
        return response;
    }
    if response.body().is_end_stream() {
        return response;
    }
    response.map(|body| Body::new(Answer { body, _turn: turn }))
}

/// A request that is under way as long as this lives.
struct Turn(Arc<Asking>);

impl Turn {
    fn begin(asking: Arc<Asking>) -> Turn {
        asking.under_way.fetch_add(1, Ordering::Relaxed);
        asking.begun.fetch_add(1, Ordering::Relaxed);
        Turn(asking)
    }

    /// The same request, for something else that belongs to it.
    fn again(&self) -> Turn {
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
        Turn(self.0.clone())
    }

    /// It stays under way for good.
    fn keep(self) {
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer.
struct Answer {
    body: Body,
    _turn: Turn,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request, which has to go on coming while it is read.
struct Coming {
    body: Body,
    patience: Duration,
    /// Set while nothing comes.
    until: Option<Pin<Box<Sleep>>>,
    /// What is answered before it has all come may be read, and thrown away, for a while.
    _turn: Turn,
}

impl http_body::Body for Coming {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.until = None;
            return polled;
        }
        let patience = self.patience;
        ready!(self.until.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
        // It is over: who asks again gets nothing.
        self.body = Body::empty();
        let message = format!("nothing of the body came for {} s", patience.as_secs_f32());
        Poll::Ready(Some(Err(axum::Error::new(Error::new(ErrorKind::TimedOut, message)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
