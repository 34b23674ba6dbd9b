//! One connection: reads packets, hands publishes to the host, answers, and sends what waits in the
//! client's session. One task, one read and one write for many packets.

use crate::broker::{Attached, Broker, Routed, granted, note_refused};
use crate::host::{Client, Hello, Protocol, Refusal, Verdict};
use crate::inbound::{Decided, Inbound, UnderWay, Wait};
use crate::message::Message;
use crate::outbound::Outbound;
use crate::routes::Wish;
use crate::topic::{check_filter, check_name, split_shared};
use crate::wire::{Incoming, Wire, greet, reason_of};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use hashbrown::HashMap;
use rmqtt_codec::error::{DecodeError, EncodeError};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::{
    Connect, ConnectAck, ConnectAckReason, DisconnectReasonCode as Reason, LastWill, PublishProperties,
    RetainHandling, Subscribe, SubscribeAckReason, SubscriptionOptions, Unsubscribe, UnsubscribeAckReason,
};
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, timeout};

/// Read buffer of a connection at rest.
const READ_BYTES: usize = 1024;
/// An idle connection gives back a buffer that has grown beyond this.
const READ_KEPT_BYTES: usize = 16 * 1024;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ending {
    /// DISCONNECT.
    #[error("the client said goodbye")]
    Goodbye {
        /// It wants its last will sent all the same.
        send_will: bool,
    },
    #[error("the client closed the connection")]
    Closed,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Decode(#[from] DecodeError),
    #[error("{0}")]
    Encode(#[from] EncodeError),
    #[error("nothing was heard for one and a half times the keep-alive time")]
    Silent,
    #[error("the client takes no bytes")]
    SlowReader,
    #[error("{1}")]
    Fault(Reason, String),
    #[error("ended by the broker: {0:?}")]
    Told(Reason),
}

/// A socket, plain or TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Serves one connection to its end.
pub(crate) async fn serve<S: Stream>(
    broker: Broker,
    mut stream: S,
    address: Option<SocketAddr>,
    certificate: Option<Vec<u8>>,
) {
    let limit = broker.0.settings.connect_timeout;
    let mut read = BytesMut::with_capacity(READ_BYTES);
    match timeout(limit, first_packet(&mut stream, &mut read)).await {
        Ok(Ok((wire, connect))) => {
            welcome(broker, stream, read, wire, *connect, address, certificate).await;
        }
        Ok(Err(error)) => tracing::debug!(?address, %error, "a connection ended before CONNECT"),
        Err(_) => tracing::debug!(?address, "a connection sent no CONNECT in time"),
    }
}

async fn first_packet<S: Stream>(stream: &mut S, read: &mut BytesMut) -> Result<(Wire, Box<Connect>), Ending> {
    let mut wire = loop {
        match greet(read) {
            Ok(Some(wire)) => break wire,
            Ok(None) => hear(stream, read).await?,
            Err(error) => {
                // 3.1.1 has an answer for a version that is not spoken; it does no harm to others.
                stream.write_all(&[0x20, 2, 0, 1]).await?;
                return Err(error.into());
            }
        }
    };
    loop {
        match wire.decode_first(read) {
            Ok(Some(Incoming::Connect(connect))) => return Ok((wire, connect)),
            Ok(Some(_)) => return Err(fault("the first packet is not CONNECT")),
            Ok(None) => hear(stream, read).await?,
            Err(error) => {
                let identifier = matches!(error, DecodeError::InvalidClientId);
                if identifier && wire.protocol() == Protocol::V3 {
                    stream.write_all(&[0x20, 2, 0, 2]).await?;
                }
                return Err(error.into());
            }
        }
    }
}

async fn hear<S: Stream>(stream: &mut S, read: &mut BytesMut) -> Result<(), Ending> {
    match stream.read_buf(read).await? {
        0 => Err(Ending::Closed),
        _ => Ok(()),
    }
}

async fn welcome<S: Stream>(
    broker: Broker,
    mut stream: S,
    read: BytesMut,
    mut wire: Wire,
    connect: Connect,
    address: Option<SocketAddr>,
    certificate: Option<Vec<u8>>,
) {
    let mut out = BytesMut::new();
    let client = Arc::new(known_as(&connect, wire.protocol(), address));
    match admit(&broker, &client, &connect, certificate.as_deref()) {
        Ok(attached) => {
            let answer = accepted(&broker, &connect, &client, &attached);
            wire.set_limits(broker.0.settings.max_packet_bytes, connect.max_packet_size);
            let greeted = wire.connected(answer, &mut out);
            let connection = Connection::new(broker, stream, read, out, wire, client, connect, attached);
            connection.run(greeted.err().map(Ending::from)).await;
        }
        Err(refusal) => {
            tracing::debug!(client = %client.id, ?address, reason = %refusal.reason, "a client was refused");
            metrics::counter!("drover_mqtt_connects_refused_total").increment(1);
            let reason_code = ConnectAckReason::try_from(refusal.code).unwrap_or(ConnectAckReason::NotAuthorized);
            let reason_string = Some(ByteString::from(refusal.reason));
            let answer = ConnectAck { reason_code, reason_string, ..ConnectAck::default() };
            if wire.connected(answer, &mut out).is_ok() {
                // A client that does not wait for the answer does not get it.
                let _gone = stream.write_all(&out).await.and(stream.shutdown().await);
            }
        }
    }
}

fn known_as(connect: &Connect, protocol: Protocol, address: Option<SocketAddr>) -> Client {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = match connect.client_id.as_ref() as &str {
        "" => {
            let started = std::process::id();
            format!("auto-{started:x}-{:x}-{}", crate::message::now_ms(), NEXT.fetch_add(1, Ordering::Relaxed)).into()
        }
        given => given.into(),
    };
    Client { id, protocol, address, username: connect.username.as_ref().map(|name| name.to_string().into()) }
}

fn admit(
    broker: &Broker,
    client: &Arc<Client>,
    connect: &Connect,
    certificate: Option<&[u8]>,
) -> Result<Attached, Refusal> {
    let settings = &broker.0.settings;
    if client.id.len() > settings.max_topic_bytes || client.id.starts_with('$') {
        let reason = format!("client id: up to {} bytes, not beginning with $", settings.max_topic_bytes);
        return Err(Refusal::new(0x85, reason));
    }
    if connect.auth_method.is_some() {
        return Err(Refusal::new(0x8C, "no extended authentication is offered; use user name and password"));
    }
    let hello = Hello { client, password: connect.password.as_deref(), certificate };
    broker.0.host.connect(&hello)?;
    if let Some(will) = &connect.last_will {
        check_name(&will.topic, settings).map_err(|reason| Refusal::new(0x90, format!("last will: {reason}")))?;
        broker.0.host.may_publish(client, &will.topic)?;
    }
    let expiry = Duration::from_secs(connect.session_expiry_interval_secs.into()).min(settings.max_session_expiry);
    let attached = broker.attach(&client.id, connect.clean_start, expiry);
    attached.ok_or_else(|| Refusal::new(Refusal::QUOTA_EXCEEDED, "there are as many sessions as allowed"))
}

fn accepted(broker: &Broker, connect: &Connect, client: &Client, attached: &Attached) -> ConnectAck {
    let settings = &broker.0.settings;
    let wished = connect.session_expiry_interval_secs;
    let expiry_s = settings.max_session_expiry.as_secs() as u32;
    ConnectAck {
        session_present: attached.present,
        session_expiry_interval_secs: (wished > expiry_s).then_some(expiry_s),
        receive_max: NonZeroU16::new(settings.max_under_way).unwrap_or(NonZeroU16::MIN),
        max_packet_size: Some(settings.max_packet_bytes),
        assigned_client_id: connect.client_id.is_empty().then(|| ByteString::from(&*client.id)),
        topic_alias_max: settings.max_topic_aliases,
        ..ConnectAck::default()
    }
}

struct Connection<S> {
    broker: Broker,
    stream: S,
    read: BytesMut,
    out: BytesMut,
    wire: Wire,
    client: Arc<Client>,
    session: Arc<crate::session::Session>,
    epoch: u64,
    ended_by: oneshot::Receiver<Reason>,
    inbound: Inbound,
    outbound: Outbound,
    /// Topics that the client has given numbers (MQTT 5).
    aliases: HashMap<NonZeroU16, ByteString>,
    will: Option<LastWill>,
    /// One and a half times the keep-alive time; none: silence is no fault.
    patience: Option<Duration>,
    heard: Instant,
    silence: Pin<Box<Sleep>>,
    /// Whole packets may still be in `read`.
    has_read: bool,
}

impl<S: Stream> Connection<S> {
    #[expect(clippy::too_many_arguments, reason = "called once, with what CONNECT brought together")]
    fn new(
        broker: Broker,
        stream: S,
        read: BytesMut,
        out: BytesMut,
        wire: Wire,
        client: Arc<Client>,
        connect: Connect,
        attached: Attached,
    ) -> Connection<S> {
        let Attached { session, epoch, ended_by, .. } = attached;
        let patience = (connect.keep_alive > 0).then(|| Duration::from_millis(u64::from(connect.keep_alive) * 1500));
        let window = connect.receive_max.map_or(u16::MAX, NonZeroU16::get);
        let outbound = Outbound::new(session.clone(), broker.clone(), window, connect.topic_alias_max);
        Connection {
            broker,
            stream,
            has_read: !read.is_empty(),
            read,
            out,
            wire,
            client,
            session,
            epoch,
            ended_by,
            inbound: Inbound::default(),
            outbound,
            aliases: HashMap::new(),
            will: connect.last_will,
            patience,
            heard: Instant::now(),
            silence: Box::pin(tokio::time::sleep(patience.unwrap_or(Duration::from_secs(3600)))),
        }
    }

    async fn run(mut self, broken: Option<Ending>) {
        self.broker.keep(&self.session);
        self.outbound.resume(&mut self.wire, &mut self.out);
        let ending = match broken {
            Some(ending) => ending,
            None => match self.exchange().await {
                Ok(never) => match never {},
                Err(ending) => ending,
            },
        };
        tracing::debug!(client = %self.client.id, %ending, "an MQTT connection ended");
        self.end(ending).await;
    }

    async fn exchange(&mut self) -> Result<std::convert::Infallible, Ending> {
        loop {
            self.take_packets()?;
            let more = self.outbound.fill(&mut self.wire, &mut self.out);
            self.flush().await?;
            if more || self.can_take() {
                // Others get their turn between two rounds of a busy connection.
                tokio::task::yield_now().await;
                if !more {
                    continue;
                }
            }
            self.wait(more).await?;
        }
    }

    fn can_take(&self) -> bool {
        self.has_read && self.inbound.len() < usize::from(self.broker.0.settings.max_under_way)
    }

    /// Waits for the next thing to do, and does what takes no writing.
    async fn wait(&mut self, more: bool) -> Result<(), Ending> {
        let may_read = self.inbound.len() < usize::from(self.broker.0.settings.max_under_way);
        let inbound = &mut self.inbound;
        tokio::select! {
            biased;
            reason = &mut self.ended_by => return Err(Ending::Told(reason.unwrap_or(Reason::UnspecifiedError))),
            decided = std::future::poll_fn(|cx| inbound.poll_first(cx)) => self.decide_all(decided)?,
            () = self.session.wake.notified() => {}
            got = self.stream.read_buf(&mut self.read), if may_read => {
                if got? == 0 {
                    return Err(Ending::Closed);
                }
                self.heard = Instant::now();
                self.has_read = true;
            }
            () = &mut self.silence => self.check_silence()?,
            () = std::future::ready(()), if more => {}
        }
        Ok(())
    }

    fn check_silence(&mut self) -> Result<(), Ending> {
        let Some(patience) = self.patience else {
            self.silence.as_mut().reset(Instant::now() + Duration::from_secs(3600));
            return Ok(());
        };
        let until = self.heard + patience;
        if until <= Instant::now() {
            return Err(Ending::Silent);
        }
        self.silence.as_mut().reset(until);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Ending> {
        if self.out.is_empty() {
            return Ok(());
        }
        let write = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        timeout(self.broker.0.settings.slow_reader, write).await.map_err(|_| Ending::SlowReader)??;
        // A burst must not leave its buffer with an idle connection.
        if self.out.capacity() > READ_KEPT_BYTES { self.out = BytesMut::new() } else { self.out.clear() }
        Ok(())
    }

    /// Handles whole packets until there is none or too many publishes wait.
    fn take_packets(&mut self) -> Result<(), Ending> {
        while self.can_take() {
            match self.wire.decode(&mut self.read)? {
                Some(packet) => self.take(packet)?,
                None => {
                    self.has_read = false;
                    if self.read.is_empty() && self.read.capacity() < READ_BYTES / 2 {
                        self.read = BytesMut::with_capacity(READ_BYTES);
                    }
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
                self.outbound.acknowledged(id);
            }
            Incoming::Received { id, refused: false } => self.outbound.received(id, &mut self.wire, &mut self.out),
            Incoming::Released(id) => {
                let known = self.session.state.lock().received.remove(&id);
                if known {
                    self.broker.keep(&self.session);
                }
                self.wire.complete(id, known, &mut self.out);
            }
            Incoming::Subscribe(subscribe) => self.subscribe(subscribe)?,
            Incoming::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe)?,
            Incoming::Ping => Wire::pong(&mut self.out),
            Incoming::Disconnect { send_will, session_expiry_s } => {
                self.change_expiry(session_expiry_s)?;
                return Err(Ending::Goodbye { send_will });
            }
            Incoming::Connect(_) => return Err(fault("CONNECT came a second time")),
            Incoming::Unexpected => return Err(fault("a client does not send this packet")),
        }
        Ok(())
    }

    /// MQTT 5: a client may say at the end how long its session shall live, but not make one that had
    /// none live on (3.14.2.2.2).
    fn change_expiry(&mut self, expiry_s: Option<u32>) -> Result<(), Ending> {
        let Some(expiry_s) = expiry_s else { return Ok(()) };
        let mut state = self.session.state.lock();
        if state.expiry.is_zero() && expiry_s > 0 {
            return Err(fault("a session that ends with its connection cannot be prolonged"));
        }
        let expiry = Duration::from_secs(expiry_s.into()).min(self.broker.0.settings.max_session_expiry);
        if expiry.is_zero() && !state.expiry.is_zero() {
            self.broker.0.store.forget_session(&self.session.client_id);
        }
        state.expiry = expiry;
        Ok(())
    }

    fn take_publish(&mut self, mut publish: Publish) -> Result<(), Ending> {
        let topic = self.topic(&mut publish)?;
        let (id, qos) = (publish.packet_id, publish.qos);
        self.broker.0.publishes.increment(1);
        if let Some(id) = id.filter(|_| qos == QoS::ExactlyOnce)
            && self.session.state.lock().received.contains(&id)
        {
            // Sent again, because the answer was lost: it was taken the first time.
            self.inbound.push(UnderWay { id: Some(id), qos, message: None, wait: Wait::Nothing, subscribers: 1, refused: None });
            return Ok(());
        }
        if qos == QoS::ExactlyOnce && self.unreleased() >= usize::from(self.broker.0.settings.max_under_way) {
            let why = "more publishes of QoS 2 are unreleased than Receive Maximum allows";
            return Err(Ending::Fault(Reason::ReceiveMaximumExceeded, why.into()));
        }
        let message = Message::from_publish(publish, topic);
        let mut under_way = UnderWay { id, qos, message: None, wait: Wait::Nothing, subscribers: 0, refused: None };
        match self.broker.0.host.publish(&self.client, &message) {
            Verdict::Route => match self.broker.route(&self.client.id, Arc::new(message)) {
                Ok(routed) => self.wait_for(&mut under_way, routed),
                Err(refusal) => under_way.refused = Some(refusal),
            },
            Verdict::Taken(promise) => {
                // Kept only where somebody might listen: reports are many, and hardly anybody does.
                let is_wanted = message.retain || self.broker.has_routes();
                under_way.message = is_wanted.then(|| Arc::new(message));
                under_way.wait = Wait::Host(promise);
            }
            Verdict::Refused(refusal) => {
                note_refused(&self.client, &message, &refusal);
                under_way.refused = Some(refusal);
            }
        }
        self.inbound.push(under_way);
        Ok(())
    }

    fn unreleased(&self) -> usize {
        self.session.state.lock().received.len()
    }

    fn wait_for(&self, under_way: &mut UnderWay, routed: Routed) {
        under_way.subscribers = routed.subscribers;
        if routed.ticket.is_none() && routed.behind.is_none() {
            return;
        }
        let store = self.broker.0.store.clone();
        under_way.wait = Wait::Store(Box::pin(async move {
            if let Some(session) = routed.behind {
                session.drained().await;
            }
            match routed.ticket {
                Some(ticket) => store.durable(ticket).await,
                None => true,
            }
        }));
    }

    /// The topic of a publish, by name or by number.
    fn topic(&mut self, publish: &mut Publish) -> Result<ByteString, Ending> {
        let topic = std::mem::take(&mut publish.topic);
        let alias = publish.properties.as_ref().and_then(|properties| properties.topic_alias);
        if let Some(properties) = &publish.properties
            && !properties.subscription_ids.is_empty()
        {
            return Err(fault("a client does not send subscription identifiers"));
        }
        let Some(alias) = alias else {
            check_name(&topic, &self.broker.0.settings).map_err(|why| Ending::Fault(Reason::TopicNameInvalid, why))?;
            return Ok(topic);
        };
        let allowed = self.broker.0.settings.max_topic_aliases;
        let wrong = |why: String| Ending::Fault(Reason::TopicAliasInvalid, why);
        if alias.get() > allowed {
            return Err(wrong(format!("topic alias {alias}; allowed is 1 to {allowed}")));
        }
        if topic.is_empty() {
            let known = self.aliases.get(&alias).cloned();
            return known.ok_or_else(|| wrong(format!("topic alias {alias} has no topic yet")));
        }
        check_name(&topic, &self.broker.0.settings).map_err(|why| Ending::Fault(Reason::TopicNameInvalid, why))?;
        // The name must not keep a whole read buffer alive.
        self.aliases.insert(alias, ByteString::from(topic.to_string()));
        Ok(topic)
    }

    /// Answers the first publish, and all others that are decided by now.
    fn decide_all(&mut self, first: Decided) -> Result<(), Ending> {
        self.decide(first)?;
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(decided) = self.inbound.poll_first(&mut cx) {
            self.decide(decided)?;
        }
        Ok(())
    }

    fn decide(&mut self, decided: Decided) -> Result<(), Ending> {
        match decided {
            Decided::Taken(mut under_way) => {
                let message = under_way.message.take().expect("kept to be passed on");
                match self.broker.route(&self.client.id, message) {
                    // Nor does a report wait for subscribers: they are a courtesy.
                    Ok(routed) => self.wait_for(&mut under_way, Routed { behind: None, ..routed }),
                    // The node has it, and that is what the acknowledgement says.
                    Err(refusal) => tracing::debug!(reason = %refusal.reason, "a report was not passed on"),
                }
                under_way.subscribers = under_way.subscribers.max(1);
                self.inbound.put_back(under_way);
                Ok(())
            }
            Decided::Done(under_way) => {
                self.say_taken(&under_way);
                Ok(())
            }
            Decided::Refused(under_way, refusal) => self.say_refused(&under_way, refusal),
        }
    }

    fn say_taken(&mut self, under_way: &UnderWay) {
        let Some(id) = under_way.id else { return };
        if under_way.qos == QoS::ExactlyOnce {
            let is_new = self.session.state.lock().received.insert(id);
            if is_new {
                self.broker.keep(&self.session);
            }
        }
        let nobody = under_way.subscribers == 0;
        self.wire.taken(id, under_way.qos, nobody, &mut self.out);
    }

    fn say_refused(&mut self, under_way: &UnderWay, refusal: Refusal) -> Result<(), Ending> {
        metrics::counter!("drover_mqtt_refused_total").increment(1);
        let Some(id) = under_way.id else { return Ok(()) };
        if self.wire.protocol() == Protocol::V3 {
            // There is no word for no, and a yes would be a lie.
            return Err(Ending::Fault(Reason::ImplementationSpecificError, refusal.reason));
        }
        self.wire.refused(id, under_way.qos, refusal.code, &refusal.reason, &mut self.out);
        Ok(())
    }

    fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Ending> {
        let wishes: Vec<_> = subscribe
            .topic_filters
            .into_iter()
            .map(|(filter, options)| self.subscribe_one(filter, options, subscribe.id))
            .collect();
        let status = wishes.iter().map(|wish| wish.as_ref().map_or_else(|code| *code, |(_, wish, _)| granted(wish.qos)));
        self.wire.subscribed(subscribe.packet_id, status.collect(), &mut self.out)?;
        self.broker.keep(&self.session);
        for (filter, wish, wants_retained) in wishes.into_iter().flatten() {
            if wants_retained {
                self.outbound.hand_over(&filter, wish);
            }
        }
        Ok(())
    }

    /// Gives the filter, the wish, and whether what is retained shall be handed over.
    fn subscribe_one(
        &mut self,
        filter: ByteString,
        options: SubscriptionOptions,
        id: Option<NonZeroU32>,
    ) -> Result<(ByteString, Wish, bool), SubscribeAckReason> {
        let settings = &self.broker.0.settings;
        let (group, plain) = split_shared(&filter).map_err(|_| SubscribeAckReason::TopicFilterInvalid)?;
        check_filter(plain, settings).map_err(|_| SubscribeAckReason::TopicFilterInvalid)?;
        if group.is_some() && options.no_local {
            return Err(SubscribeAckReason::TopicFilterInvalid);
        }
        let allowed = self.broker.0.host.may_subscribe(&self.client, plain);
        allowed.map_err(|refusal| SubscribeAckReason::try_from(refusal.code).unwrap_or(SubscribeAckReason::NotAuthorized))?;
        let is_full = {
            let state = self.session.state.lock();
            state.subscriptions.len() >= settings.max_subscriptions && !state.subscriptions.contains_key(&*filter)
        };
        if is_full {
            return Err(SubscribeAckReason::QuotaExceeded);
        }
        let SubscriptionOptions { qos, no_local, retain_as_published, retain_handling } = options;
        let wish = Wish { qos, no_local, retain_as_published, id };
        let is_shared = group.is_some();
        let is_new = self.broker.subscribe(&self.session, &filter, wish);
        let wants_retained = !is_shared
            && match retain_handling {
                RetainHandling::AtSubscribe => true,
                RetainHandling::AtSubscribeNew => is_new,
                RetainHandling::NoAtSubscribe => false,
            };
        Ok((filter, wish, wants_retained))
    }

    fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Result<(), Ending> {
        let one = |filter: &ByteString| match self.broker.unsubscribe(&self.session, filter) {
            true => UnsubscribeAckReason::Success,
            false => UnsubscribeAckReason::NoSubscriptionExisted,
        };
        let status = unsubscribe.topic_filters.iter().map(one).collect();
        self.wire.unsubscribed(unsubscribe.packet_id, status, &mut self.out)?;
        self.broker.keep(&self.session);
        Ok(())
    }

    /// Says goodbye as far as the version has words for it, lets the session go, sees to the last will.
    async fn end(mut self, ending: Ending) {
        if let Some((reason, text)) = ending.parting() {
            self.wire.goodbye(reason, &text, &mut self.out);
            // Whoever is gone already does not hear it.
            let _gone = timeout(Duration::from_secs(1), self.stream.write_all(&self.out)).await;
        }
        let _gone = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
        let is_goodbye = matches!(ending, Ending::Goodbye { send_will: false });
        let is_stopping = matches!(ending, Ending::Told(Reason::ServerShuttingDown));
        self.broker.detach(&self.session, self.epoch);
        if let Some(will) = self.will.take().filter(|_| !is_goodbye && !is_stopping) {
            send_will(&self.broker, &self.session, self.epoch, self.client, will);
        }
    }
}

/// At once, or after the delay that the client asked for, unless it comes back before or its session
/// ends earlier (MQTT 5.0, 3.1.3.2.2).
fn send_will(
    broker: &Broker,
    session: &Arc<crate::session::Session>,
    epoch: u64,
    client: Arc<Client>,
    will: LastWill,
) {
    let expiry = session.state.lock().expiry;
    let delay = Duration::from_secs(will.will_delay_interval_sec.unwrap_or(0).into()).min(expiry);
    let message = will_message(will);
    if delay.is_zero() {
        return broker.publish_will(&client, message);
    }
    let (broker, session) = (broker.clone(), session.clone());
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        if session.state.lock().epoch == epoch {
            broker.publish_will(&client, message);
        }
    });
}

fn will_message(will: LastWill) -> Message {
    let properties = PublishProperties {
        topic_alias: None,
        correlation_data: will.correlation_data,
        message_expiry_interval: will.message_expiry_interval,
        content_type: will.content_type,
        user_properties: will.user_properties,
        is_utf8_payload: will.is_utf8_payload.unwrap_or(false),
        response_topic: will.response_topic,
        subscription_ids: Vec::new(),
    };
    let publish = Publish {
        dup: false,
        retain: will.retain,
        qos: will.qos,
        topic: ByteString::new(),
        packet_id: None,
        // It may wait for long: it must not keep the buffer that it came in.
        payload: Bytes::copy_from_slice(&will.message),
        properties: Some(properties),
    };
    Message::from_publish(publish, ByteString::from(will.topic.to_string()))
}

fn fault(why: &str) -> Ending {
    Ending::Fault(Reason::ProtocolError, why.into())
}

impl Ending {
    /// What a client is told that is still there.
    fn parting(&self) -> Option<(Reason, String)> {
        let reason = match self {
            Ending::Goodbye { .. } | Ending::Closed | Ending::Io(_) | Ending::SlowReader => return None,
            Ending::Decode(error) => reason_of(error),
            Ending::Encode(_) => Reason::UnspecifiedError,
            Ending::Silent => Reason::KeepAliveTimeout,
            Ending::Fault(reason, _) | Ending::Told(reason) => *reason,
        };
        Some((reason, self.to_string()))
    }
}
