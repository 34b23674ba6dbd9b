//! The beginning of a connection: the first packet within its time and size, who it is, whether the host
//! and the bounds let it in, and what it is told about this broker.

use crate::broker::Broker;
use crate::connection::{Connection, READ_BYTES, Stream};
use crate::host::{Client, Ended, Hello, Protocol, Refusal};
use crate::parting::{Ending, last_words};
use crate::sessions::{Attached, Name};
use crate::subscribing::plain;
use crate::topic::check_name;
use crate::wire::{Incoming, Wire, greet};
use bytes::BytesMut;
use bytestring::ByteString;
use rmqtt_codec::error::DecodeError;
use rmqtt_codec::v5::{Connect, ConnectAck, ConnectAckReason, LastWill};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// What CONNECT brought, for the connection that begins.
pub(crate) struct Greeted {
    pub(crate) wire: Wire,
    /// CONNACK.
    pub(crate) out: BytesMut,
    pub(crate) client: Arc<Client>,
    pub(crate) attached: Attached,
    /// The host is asked about each message to it.
    pub(crate) is_filtered: bool,
    /// Over when the client may not stay.
    pub(crate) until: Option<Ended>,
    /// Messages that the client takes unacknowledged.
    pub(crate) window: u16,
    pub(crate) max_aliases: u16,
    pub(crate) will: Option<LastWill>,
    /// How long it may be silent.
    pub(crate) patience: Option<Duration>,
}

/// Serves one connection to its end. What is only needed to begin and to end it does not lie around in
/// between: there may be thousands that just wait.
pub(crate) async fn serve<S: Stream>(
    broker: Broker,
    stream: S,
    address: Option<SocketAddr>,
    certificate: Option<Vec<u8>>,
) {
    if let Some(connection) = Box::pin(begin(broker, stream, address, certificate)).await {
        connection.run().await;
    }
}

async fn begin<S: Stream>(
    broker: Broker,
    mut stream: S,
    address: Option<SocketAddr>,
    certificate: Option<Vec<u8>>,
) -> Option<Box<Connection<S>>> {
    let limit = broker.0.settings.connect_timeout;
    let mut read = BytesMut::with_capacity(READ_BYTES);
    let Ok(first) = timeout(limit, first_packet(&mut stream, &mut read)).await else {
        tracing::debug!(?address, "a connection sent no CONNECT in time");
        return None;
    };
    let (mut wire, connect) =
        first.inspect_err(|error| tracing::debug!(?address, %error, "a connection ended before CONNECT")).ok()?;
    let client = Arc::new(known_as(&connect, wire.protocol(), address));
    match admit(&broker, &client, &connect, certificate.as_deref()) {
        Ok(admitted) => {
            let greeted = welcome(&broker, wire, *connect, client, admitted)?;
            Some(Box::new(Connection::new(broker, stream, read, greeted)))
        }
        Err(refusal) => {
            tracing::debug!(client = %client.id, ?address, reason = %refusal.reason, "a client was refused");
            metrics::counter!("drover_mqtt_connects_refused_total").increment(1);
            let mut out = BytesMut::new();
            if wire.connected(refused(refusal), &mut out).is_ok() {
                last_words(&mut stream, &out).await;
            }
            None
        }
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
            Ok(Some(_)) => return Err(Ending::fault("the first packet is not CONNECT")),
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

fn known_as(connect: &Connect, protocol: Protocol, address: Option<SocketAddr>) -> Client {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = match connect.client_id.as_ref() as &str {
        "" => {
            let started = std::process::id();
            format!("auto-{started:x}-{:x}-{}", crate::message::now_ms(), NEXT.fetch_add(1, Ordering::Relaxed)).into()
        }
        given => given.into(),
    };
    let username = connect.username.as_ref().map(|name| name.to_string().into());
    Client { id, protocol, address, username, rights: OnceLock::new() }
}

/// A client that was let in.
struct Admitted {
    attached: Attached,
    until: Option<Ended>,
    is_filtered: bool,
}

fn admit(
    broker: &Broker,
    client: &Arc<Client>,
    connect: &Connect,
    certificate: Option<&[u8]>,
) -> Result<Admitted, Refusal> {
    let settings = &broker.0.settings;
    if client.id.len() > settings.max_topic_bytes || client.id.starts_with('$') || client.id.contains('\0') {
        let reason = format!("client id: up to {} bytes, not beginning with $", settings.max_topic_bytes);
        return Err(Refusal::new(0x85, reason));
    }
    if connect.auth_method.is_some() {
        return Err(Refusal::new(0x8C, "no extended authentication is offered; use user name and password"));
    }
    let hello = Hello { client, password: connect.password.as_deref(), certificate };
    let pass = broker.0.host.connect(&hello)?;
    if let Some(rights) = pass.rights {
        client.rights.get_or_init(|| rights);
    }
    if let Some(will) = &connect.last_will {
        check_name(&will.topic, settings).map_err(|reason| Refusal::new(0x90, format!("last will: {reason}")))?;
        broker.0.host.may_publish(client, &will.topic)?;
    }
    let expiry = Duration::from_secs(connect.session_expiry_interval_secs.into()).min(settings.max_session_expiry);
    let bound = pass.max_sessions.unwrap_or(usize::MAX);
    let attached = broker.attach(&Name::new(&pass.owner, &client.id), bound, connect.clean_start, expiry);
    let attached = attached.map_err(|full| Refusal::new(Refusal::QUOTA_EXCEEDED, full.to_string()))?;
    attached.session.set_reader(pass.is_filtered.then(|| client.clone()));
    take_up_subscriptions(broker, client, &attached);
    Ok(Admitted { attached, until: pass.until, is_filtered: pass.is_filtered })
}

/// Subscriptions of a session that is taken up again go on, and are given up where its owner's rights have shrunk.
fn take_up_subscriptions(broker: &Broker, client: &Client, attached: &Attached) {
    let filters: Vec<_> = attached.session.state.lock().subscriptions.keys().map(|filter| filter.to_string()).collect();
    for filter in filters {
        match broker.0.host.may_subscribe(client, plain(&filter)) {
            Ok(()) => broker.0.host.begins_to_hear(client, plain(&filter)),
            Err(_) => drop(broker.unsubscribe(&attached.session, &filter)),
        }
    }
}

fn refused(refusal: Refusal) -> ConnectAck {
    // A code that CONNACK does not know, or one that says yes, must not let anybody in.
    let known = ConnectAckReason::try_from(refusal.code).ok().filter(|_| refusal.code >= 0x80);
    let reason_code = known.unwrap_or(ConnectAckReason::NotAuthorized);
    ConnectAck { reason_code, reason_string: Some(ByteString::from(refusal.reason)), ..ConnectAck::default() }
}

/// None where the client's limit is so small that it cannot be greeted.
fn welcome(
    broker: &Broker,
    mut wire: Wire,
    connect: Connect,
    client: Arc<Client>,
    admitted: Admitted,
) -> Option<Greeted> {
    let Admitted { attached, until, is_filtered } = admitted;
    let keep_alive = keep_alive(broker, &connect, wire.protocol());
    let answer = accepted(broker, &connect, &client, &attached, keep_alive);
    wire.set_limits(broker.0.settings.max_packet_bytes, connect.max_packet_size);
    let mut out = BytesMut::new();
    if wire.connected(answer, &mut out).is_err() {
        // Nobody has it; as if the connection had ended at once.
        let _no_will = broker.detach(&attached.session, attached.epoch, None);
        return None;
    }
    Some(Greeted {
        wire,
        out,
        client,
        attached,
        is_filtered,
        until,
        window: connect.receive_max.map_or(u16::MAX, NonZeroU16::get),
        max_aliases: connect.topic_alias_max,
        will: connect.last_will,
        patience: (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500)),
    })
}

/// In seconds; 0: silence is no fault. Only MQTT 5 can be told another one than it wants.
fn keep_alive(broker: &Broker, connect: &Connect, protocol: Protocol) -> u16 {
    let longest = u16::try_from(broker.0.settings.max_keep_alive.as_secs()).unwrap_or(u16::MAX);
    match (protocol, connect.keep_alive) {
        (Protocol::V5, 0) => longest,
        (Protocol::V5, wanted) => wanted.min(longest),
        (Protocol::V3, wanted) => wanted,
    }
}

fn accepted(broker: &Broker, connect: &Connect, client: &Client, attached: &Attached, keep_alive: u16) -> ConnectAck {
    let settings = &broker.0.settings;
    let wished = connect.session_expiry_interval_secs;
    let expiry_s = u32::try_from(settings.max_session_expiry.as_secs()).unwrap_or(u32::MAX);
    ConnectAck {
        session_present: attached.present,
        session_expiry_interval_secs: (wished > expiry_s).then_some(expiry_s),
        server_keepalive_sec: (keep_alive != connect.keep_alive).then_some(keep_alive),
        receive_max: NonZeroU16::new(settings.max_under_way).unwrap_or(NonZeroU16::MIN),
        max_packet_size: Some(settings.max_packet_bytes),
        assigned_client_id: connect.client_id.is_empty().then(|| ByteString::from(&*client.id)),
        topic_alias_max: settings.max_topic_aliases,
        ..ConnectAck::default()
    }
}
