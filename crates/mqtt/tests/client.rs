//! A client for the tests: packets of the codec library over a blocking socket, so that a test can send
//! and see exactly what it wants.

// Every test file is a crate of its own and uses some of this.
#![allow(dead_code, missing_docs)]

use bytes::BytesMut;
use drover_mqtt::{Broker, Client as Known, Hello, Host, Message, Pass, Refusal, Settings, Verdict};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::{
    Connect, ConnectAck, Disconnect, DisconnectReasonCode, Packet, PublishAck, PublishAck2, PublishProperties,
    Subscribe, SubscriptionOptions,
};
use rmqtt_codec::{v3, v5};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::codec::{Decoder, Encoder};

pub const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for a packet that must not come to have come.
pub const SILENCE: Duration = Duration::from_millis(150);

/// Takes `taken/…` when the gate lets it, refuses `refused/…` at once, `refused-later/…` by its
/// promise and `refused-badly/…` with a code that is none, forbids `forbidden/…`, routes the rest. Who gives
/// a user name has sessions of his own, and gets only what is `placed` with him: by the last level of its topic.
pub struct Gate {
    pub open: Arc<Semaphore>,
    pub taken: AtomicUsize,
    /// Whose things are, by their names.
    pub placed: Mutex<HashMap<String, String>>,
    /// How often somebody's sight was asked for.
    pub asked: AtomicUsize,
    /// Sessions that who gives a user name may have.
    pub bound: AtomicUsize,
}

impl Default for Gate {
    fn default() -> Gate {
        let (taken, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let bound = AtomicUsize::new(usize::MAX);
        Gate { open: Arc::new(Semaphore::new(0)), taken, placed: Mutex::default(), asked, bound }
    }
}

impl Host for Gate {
    fn connect(&self, hello: &Hello<'_>) -> Result<Pass, Refusal> {
        match hello.password {
            Some(b"wrong") => Err(Refusal::new(0x86, "wrong password")),
            _ => {
                let owner = hello.client.username.clone().unwrap_or_default();
                let max_sessions = Some(self.bound.load(Ordering::Relaxed));
                Ok(Pass { is_filtered: !owner.is_empty(), owner, max_sessions, ..Pass::default() })
            }
        }
    }

    fn may_subscribe(&self, _: &Known, filter: &str) -> Result<(), Refusal> {
        self.may_publish_to(filter)
    }

    fn may_receive(&self, client: &Known, topic: &str) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let thing = topic.rsplit('/').next().unwrap_or_default();
        let placed = self.placed.lock().expect("nobody panics here");
        placed.get(thing).map(String::as_str) == client.username.as_deref()
    }

    fn may_publish(&self, _: &Known, topic: &str) -> Result<(), Refusal> {
        self.may_publish_to(topic)
    }

    fn publish(&self, _: &Arc<Known>, message: &Message) -> Verdict {
        let no = || Refusal::new(0x99, "no good");
        match message.topic.split('/').next() {
            Some("taken") => {
                self.taken.fetch_add(1, Ordering::Relaxed);
                let open = self.open.clone();
                Verdict::Taken(Box::pin(async move {
                    open.acquire().await.expect("never closed").forget();
                    Ok(())
                }))
            }
            Some("refused-badly") => Verdict::Refused(Refusal { code: 0, reason: "a code that says yes".into() }),
            Some("refused") => Verdict::Refused(no()),
            Some("refused-later") => Verdict::Taken(Box::pin(async move {
                tokio::task::yield_now().await;
                Err(no())
            })),
            _ => Verdict::Route,
        }
    }

    fn retained(&self, _: &Known, filter: &str, cursor: u64, sink: &mut dyn FnMut(Message)) -> Option<u64> {
        if filter != "natural/#" {
            return None;
        }
        for n in cursor..cursor + 100 {
            sink(Message::new(format!("natural/{n}"), "now", QoS::AtLeastOnce).retained());
        }
        (cursor + 100 < 1000).then_some(cursor + 100)
    }
}

impl Gate {
    pub fn place(&self, thing: &str, whose: &str) {
        self.placed.lock().expect("nobody panics here").insert(thing.to_owned(), whose.to_owned());
    }

    fn may_publish_to(&self, topic: &str) -> Result<(), Refusal> {
        if topic.starts_with("forbidden") { Err(Refusal::new(Refusal::NOT_AUTHORIZED, "forbidden")) } else { Ok(()) }
    }
}

/// A broker on a port of its own.
pub struct Served {
    pub address: SocketAddr,
    pub gate: Arc<Gate>,
    pub broker: Broker,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Served {
    pub fn start(folder: &Path, settings: Settings) -> Served {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let gate = Arc::new(Gate::default());
        let (broker, address) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let broker = Broker::open(folder, settings, gate.clone()).unwrap();
            tokio::spawn(broker.clone().serve(listener, None));
            (broker, address)
        });
        Served { address, gate, broker, runtime: Some(runtime) }
    }

    /// Ends as a node does that is told to stop.
    pub fn stop(mut self) {
        let runtime = self.runtime.take().unwrap();
        runtime.block_on(self.broker.stop());
        runtime.shutdown_timeout(PATIENCE);
    }

    pub fn v5(&self, id: &str) -> Client {
        self.v5_with(Connect { client_id: id.to_owned().into(), clean_start: true, ..Connect::default() }).0
    }

    pub fn v5_with(&self, connect: Connect) -> (Client, ConnectAck) {
        Client::join(self.address, connect)
    }

    pub fn v3(&self, id: &str, clean_session: bool) -> Client {
        let mut client = Client::open(self.address, false);
        let connect = v3::Connect { client_id: id.to_owned().into(), clean_session, ..v3::Connect::default() };
        client.send_v3(v3::Packet::Connect(Box::new(connect)));
        assert!(matches!(client.packet_v3(), v3::Packet::ConnectAck(_)));
        client
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection.
pub struct Client {
    pub stream: TcpStream,
    v3: v3::Codec,
    v5: v5::Codec,
    inbox: BytesMut,
    is_v5: bool,
}

/// The connection is closed.
#[derive(Debug)]
pub struct Closed;

impl Client {
    pub fn open(address: SocketAddr, is_v5: bool) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, v3: v3::Codec::new(0), v5: v5::Codec::new(0, 0), inbox: BytesMut::new(), is_v5 }
    }

    /// Opens a connection and introduces itself, MQTT 5.
    pub fn join(address: SocketAddr, connect: Connect) -> (Client, ConnectAck) {
        let mut client = Client::open(address, true);
        client.send(Packet::Connect(Box::new(connect)));
        match client.packet() {
            Packet::ConnectAck(ack) => (client, *ack),
            other => panic!("{other:?}"),
        }
    }

    /// Publishes and waits for the answer; its reason code.
    #[track_caller]
    pub fn publish_and_wait(&mut self, publish: Publish) -> u8 {
        self.send(Packet::Publish(Box::new(publish)));
        match self.packet() {
            Packet::PublishAck(ack) | Packet::PublishReceived(ack) => ack.reason_code.into(),
            other => panic!("{other:?}"),
        }
    }

    /// PUBREL, and waits for PUBCOMP; its reason code.
    #[track_caller]
    pub fn release(&mut self, id: u16) -> u8 {
        self.send(Packet::PublishRelease(PublishAck2 { packet_id: id16(id), ..PublishAck2::default() }));
        match self.packet() {
            Packet::PublishComplete(ack) => ack.reason_code.into(),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn expect_release(&mut self) -> NonZeroU16 {
        match self.packet() {
            Packet::PublishRelease(ack) => ack.packet_id,
            other => panic!("{other:?}"),
        }
    }

    /// PUBACK.
    pub fn acknowledge(&mut self, publish: &Publish) {
        let packet_id = publish.packet_id.expect("QoS 1");
        self.send(Packet::PublishAck(PublishAck { packet_id, ..PublishAck::default() }));
    }

    /// PUBREC.
    pub fn receive(&mut self, packet_id: NonZeroU16) {
        self.send(Packet::PublishReceived(PublishAck { packet_id, ..PublishAck::default() }));
    }

    /// PUBCOMP.
    pub fn complete(&mut self, packet_id: NonZeroU16) {
        self.send(Packet::PublishComplete(PublishAck2 { packet_id, ..PublishAck2::default() }));
    }

    pub fn send(&mut self, packet: Packet) {
        let mut out = BytesMut::new();
        self.v5.encode(packet, &mut out).unwrap();
        self.stream.write_all(&out).unwrap();
    }

    pub fn send_v3(&mut self, packet: v3::Packet) {
        let mut out = BytesMut::new();
        self.v3.encode(packet, &mut out).unwrap();
        self.stream.write_all(&out).unwrap();
    }

    pub fn try_packet(&mut self) -> Result<Packet, Closed> {
        loop {
            if let Some((packet, _)) = self.v5.decode(&mut self.inbox).unwrap() {
                return Ok(packet);
            }
            self.hear()?;
        }
    }

    fn hear(&mut self) -> Result<(), Closed> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(Closed),
            Ok(n) => {
                self.inbox.extend_from_slice(&bytes[..n]);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Err(Closed),
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    #[track_caller]
    pub fn packet(&mut self) -> Packet {
        self.try_packet().expect("the connection is open")
    }

    #[track_caller]
    pub fn packet_v3(&mut self) -> v3::Packet {
        self.try_packet_v3().expect("the connection is open")
    }

    pub fn try_packet_v3(&mut self) -> Result<v3::Packet, Closed> {
        loop {
            if let Some((packet, _)) = self.v3.decode(&mut self.inbox).unwrap() {
                return Ok(packet);
            }
            self.hear()?;
        }
    }

    /// Nothing comes for a while, and the connection stays.
    #[track_caller]
    pub fn expect_silence(&mut self) {
        assert!(self.inbox.is_empty(), "something has come already");
        self.stream.set_read_timeout(Some(SILENCE)).unwrap();
        let mut bytes = [0; 64];
        match self.stream.read(&mut bytes) {
            Ok(n) => panic!("{:?} came", &bytes[..n]),
            Err(error) => {
                assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
            }
        }
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// The broker says goodbye with this reason and closes.
    #[track_caller]
    pub fn expect_goodbye(&mut self, reason: DisconnectReasonCode) {
        match self.packet() {
            Packet::Disconnect(Disconnect { reason_code, .. }) => assert_eq!(reason_code, reason),
            other => panic!("{other:?}"),
        }
        assert!(self.try_packet().is_err(), "closed after the goodbye");
    }

    #[track_caller]
    pub fn expect_publish(&mut self) -> Publish {
        match self.packet() {
            Packet::Publish(publish) => *publish,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.subscribe_with(filter, SubscriptionOptions { qos, ..SubscriptionOptions::default() }, None);
    }

    #[track_caller]
    pub fn subscribe_with(&mut self, filter: &str, options: SubscriptionOptions, number: Option<u32>) -> u8 {
        let id = number.and_then(std::num::NonZeroU32::new);
        let topic_filters = vec![(filter.to_owned().into(), options)];
        self.send(Packet::Subscribe(Subscribe { packet_id: id16(99), id, user_properties: vec![], topic_filters }));
        match self.packet() {
            Packet::SubscribeAck(ack) => ack.status[0].into(),
            other => panic!("{other:?}"),
        }
    }

    pub fn publish(&mut self, topic: &str, payload: &str, qos: QoS, id: u16) {
        let publish = publish(topic, payload, qos, id);
        if self.is_v5 {
            self.send(Packet::Publish(Box::new(publish)));
        } else {
            self.send_v3(v3::Packet::Publish(Box::new(Publish { properties: None, ..publish })));
        }
    }
}

pub fn id16(id: u16) -> NonZeroU16 {
    NonZeroU16::new(id).unwrap()
}

pub fn publish(topic: &str, payload: &str, qos: QoS, id: u16) -> Publish {
    Publish {
        dup: false,
        retain: false,
        qos,
        topic: topic.to_owned().into(),
        packet_id: NonZeroU16::new(id).filter(|_| qos != QoS::AtMostOnce),
        payload: payload.to_owned().into(),
        properties: Some(PublishProperties::default()),
    }
}

/// Asks for a session that outlives the connection.
pub fn persistent(id: &str) -> Connect {
    Connect { client_id: id.to_owned().into(), session_expiry_interval_secs: 3600, ..Connect::default() }
}

pub fn retained(topic: &str, payload: &str, id: u16) -> Publish {
    Publish { retain: true, ..publish(topic, payload, QoS::AtLeastOnce, id) }
}
