//! One connection: reads packets, hands them to who deals with them, answers, and sends what waits in
//! the client's session. One task, one read and one write for many packets. It goes on reading while the
//! client is slow to take its answers, up to a bound: then it is slow to read as well.

use crate::broker::Broker;
use crate::greeting::Greeted;
use crate::host::{Client, Ended};
use crate::inbound::{Decided, Inbound};
use crate::outbound::{Outbound, WRITE_BYTES};
use crate::parting::Ending;
use crate::session::Session;
use crate::wire::{Incoming, Wire};
use bytes::{Buf, BytesMut};
use bytestring::ByteString;
use hashbrown::HashMap;
use rmqtt_codec::v5::{DisconnectReasonCode as Reason, LastWill};
use std::convert::Infallible;
use std::future::poll_fn;
use std::num::NonZeroU16;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use tokio_util::io::poll_read_buf;

/// Read buffer of a connection at rest.
pub(crate) const READ_BYTES: usize = 1024;
/// A buffer that is always full grows up to this.
const READ_MAX_BYTES: usize = 16 * 1024;
/// A connection that has nothing to do gives back a buffer that has grown beyond this.
const KEPT_BYTES: usize = 4 * 1024;
/// With so many bytes of answers that the client does not take, it is not read from.
const ANSWERS_BYTES: usize = 4 * WRITE_BYTES;

/// A socket, plain or TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

pub(crate) struct Connection<S> {
    pub(crate) broker: Broker,
    pub(crate) stream: S,
    read: BytesMut,
    pub(crate) out: BytesMut,
    /// Bytes are with the socket's TLS layer that are not on their way.
    must_flush: bool,
    pub(crate) wire: Wire,
    pub(crate) client: Arc<Client>,
    pub(crate) session: Arc<Session>,
    pub(crate) epoch: u64,
    ended_by: oneshot::Receiver<Reason>,
    until: Option<Ended>,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    /// Topics that the client has given numbers (MQTT 5).
    pub(crate) aliases: HashMap<NonZeroU16, ByteString>,
    pub(crate) will: Option<LastWill>,
    /// One and a half times the keep-alive time; none: silence is no fault.
    patience: Option<Duration>,
    heard: Instant,
    /// Counts what the client takes: bytes and acknowledgements.
    progress: u64,
    /// Since when the client takes nothing of what is there for it, and how far it was.
    held_up: Option<(Instant, u64)>,
    look: Pin<Box<Sleep>>,
    /// Whole packets may still be in `read`.
    has_read: bool,
}

/// What a connection waited for.
enum Event {
    Told(Reason),
    Decided(Decided),
    Woken,
    Read(std::io::Result<usize>),
    Written(std::io::Result<()>),
    TimeToLook,
}

impl<S: Stream> Connection<S> {
    pub(crate) fn new(broker: Broker, stream: S, read: BytesMut, greeted: Greeted) -> Connection<S> {
        let Greeted { wire, out, client, attached, is_filtered, until, window, max_aliases, will, patience } = greeted;
        let (session, epoch) = (attached.session, attached.epoch);
        let slow_reader = broker.0.settings.slow_reader;
        let look = Box::pin(tokio::time::sleep(patience.map_or(slow_reader, |patience| patience.min(slow_reader))));
        Connection {
            outbound: Outbound::new(&broker, client.clone(), session.clone(), epoch, is_filtered)
                .within(window, max_aliases),
            broker,
            stream,
            has_read: !read.is_empty(),
            read,
            out,
            must_flush: false,
            wire,
            client,
            session,
            epoch,
            ended_by: attached.ended_by,
            until,
            inbound: Inbound::default(),
            aliases: HashMap::new(),
            will,
            patience,
            heard: Instant::now(),
            progress: 0,
            held_up: None,
            look,
        }
    }

    /// Serves the connection to its end.
    pub(crate) async fn run(mut self: Box<Self>) {
        self.broker.keep(&self.session);
        let ending = match self.exchange().await {
            Ok(never) => match never {},
            Err(ending) => ending,
        };
        tracing::debug!(client = %self.client.id, %ending, "an MQTT connection ended");
        Box::pin(self.end(ending)).await;
    }

    async fn exchange(&mut self) -> Result<Infallible, Ending> {
        loop {
            self.take_packets()?;
            self.answer()?;
            let more = self.outbound.fill(&mut self.wire, &mut self.out);
            let more = (more && self.out.len() < WRITE_BYTES) || self.may_take();
            match self.wait(more).await {
                Some(event) => self.heed(event)?,
                // Others get their turn between two rounds of a busy connection.
                None => tokio::task::yield_now().await,
            }
        }
    }

    /// The next thing to do; none when there is more at hand and nothing new.
    async fn wait(&mut self, more: bool) -> Option<Event> {
        let may_read = self.has_room();
        let was_full = self.out.len() >= WRITE_BYTES;
        let Self { session, stream, read, out, must_flush, progress, inbound, ended_by, until, look, .. } = self;
        let mut woken = pin!(session.wake.notified());
        poll_fn(|cx| {
            if let Poll::Ready(reason) = Pin::new(&mut *ended_by).poll(cx) {
                return Poll::Ready(Some(Event::Told(reason.unwrap_or(Reason::UnspecifiedError))));
            }
            if until.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready()) {
                *until = None;
                return Poll::Ready(Some(Event::Told(Reason::NotAuthorized)));
            }
            match poll_write(stream, out, must_flush, progress, cx) {
                Poll::Ready(Ok(())) if !was_full => {}
                Poll::Ready(written) => return Poll::Ready(Some(Event::Written(written))),
                Poll::Pending => {}
            }
            if may_read && let Poll::Ready(got) = poll_read_buf(Pin::new(&mut *stream), cx, read) {
                return Poll::Ready(Some(Event::Read(got)));
            }
            if let Poll::Ready(decided) = inbound.poll_first(cx) {
                return Poll::Ready(Some(Event::Decided(decided)));
            }
            if woken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Event::Woken));
            }
            if look.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Event::TimeToLook));
            }
            if more { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    fn heed(&mut self, event: Event) -> Result<(), Ending> {
        match event {
            Event::Told(reason) => return Err(Ending::Told(reason)),
            Event::Decided(decided) => self.decide(decided)?,
            Event::Read(got) => {
                if got? == 0 {
                    return Err(Ending::Closed);
                }
                self.heard = Instant::now();
                self.has_read = true;
                if self.read.len() == self.read.capacity() {
                    self.read.reserve(self.read.len().min(READ_MAX_BYTES));
                }
            }
            Event::Written(written) => written?,
            Event::Woken => {}
            Event::TimeToLook => self.look_after()?,
        }
        Ok(())
    }

    /// A burst must not leave its buffers with an idle connection.
    fn shrink(&mut self) {
        if self.out.is_empty() && self.out.capacity() > KEPT_BYTES {
            self.out = BytesMut::new();
        }
        if self.read.is_empty() && self.read.capacity() > KEPT_BYTES {
            self.read = BytesMut::with_capacity(READ_BYTES);
        }
    }

    /// Ends a client that is silent for too long or takes nothing, and sets the next time to look.
    fn look_after(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        let slow_reader = self.broker.0.settings.slow_reader;
        let has_waiting = !self.out.is_empty() || self.outbound.is_held_up();
        self.held_up = self.held_up.filter(|(_, progress)| has_waiting && *progress == self.progress);
        match self.held_up {
            Some((since, _)) if now >= since + slow_reader => return Err(Ending::SlowReader),
            None if has_waiting => self.held_up = Some((now, self.progress)),
            _ => {}
        }
        self.shrink();
        let silent_at = self.patience.map(|patience| self.heard + patience);
        if silent_at.is_some_and(|at| at <= now) {
            return Err(Ending::Silent);
        }
        let slow_at = self.held_up.map_or(now, |(since, _)| since) + slow_reader;
        self.look.as_mut().reset(silent_at.map_or(slow_at, |at| at.min(slow_at)));
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.inbound.len() < usize::from(self.broker.0.settings.max_under_way) && self.out.len() < ANSWERS_BYTES
    }

    fn may_take(&self) -> bool {
        self.has_read && self.has_room()
    }

    /// Handles whole packets until there is none, or too many answers wait.
    fn take_packets(&mut self) -> Result<(), Ending> {
        while self.may_take() {
            match self.wire.decode(&mut self.read)? {
                Some(packet) => self.take(packet)?,
                None => {
                    self.has_read = false;
                    self.read.reserve(READ_BYTES / 2);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, packet: Incoming) -> Result<(), Ending> {
        match packet {
            Incoming::Publish(publish) => self.take_publish(*publish)?,
            Incoming::Acknowledged(id) | Incoming::Completed(id) | Incoming::Received { id, refused: true } => {
                self.progress += 1;
                self.outbound.acknowledged(id);
            }
            Incoming::Received { id, refused: false } => self.take_received(id),
            Incoming::Released(id) => self.take_release(id),
            Incoming::Subscribe(subscribe) => self.subscribe(subscribe)?,
            Incoming::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe)?,
            Incoming::Ping => Wire::pong(&mut self.out),
            Incoming::Disconnect { send_will, session_expiry_s } => {
                self.change_expiry(session_expiry_s)?;
                return Err(Ending::Goodbye { send_will });
            }
            Incoming::Connect(_) => return Err(Ending::fault("CONNECT came a second time")),
            Incoming::Unexpected => return Err(Ending::fault("a client does not send this packet")),
        }
        Ok(())
    }

    /// Answers everything that is decided by now, up to the first that waits.
    fn answer(&mut self) -> Result<(), Ending> {
        // Whatever is still pending is polled again, with the task's own waker, before the task waits.
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(decided) = self.inbound.poll_first(&mut cx) {
            self.decide(decided)?;
        }
        Ok(())
    }
}

/// Ready when everything is on its way, or something went wrong; pending with some of it written.
fn poll_write<S: Stream>(
    stream: &mut S,
    out: &mut BytesMut,
    must_flush: &mut bool,
    progress: &mut u64,
    cx: &mut Context<'_>,
) -> Poll<std::io::Result<()>> {
    let mut stream = Pin::new(stream);
    if out.is_empty() && !*must_flush {
        return Poll::Ready(Ok(()));
    }
    while !out.is_empty() {
        match stream.as_mut().poll_write(cx, out) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(n)) => {
                out.advance(n);
                *progress += n as u64;
                *must_flush = true;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    }
    stream.poll_flush(cx).map_ok(|()| *must_flush = false)
}
