//! The seam between the broker and the node: who may connect, what a message means.

use crate::message::Message;
use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

/// Version of the protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// 3.1 or 3.1.1.
    V3,
    /// 5.0.
    V5,
}

/// A client, once it is connected.
#[derive(Debug)]
pub struct Client {
    /// Its client id; made up by the broker where it gave none.
    pub id: Box<str>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it comes from; none for what the node itself publishes.
    pub address: Option<SocketAddr>,
    /// User name that it gave.
    pub username: Option<Box<str>>,
    /// What the host gave it when it let it in.
    pub(crate) rights: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Client {
    /// The host's own word on the client, from its [`Pass`].
    pub fn rights<T: 'static>(&self) -> Option<&T> {
        self.rights.get()?.downcast_ref()
    }
}

/// Resolves when a client may not stay any longer.
pub type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What lets a client in.
#[derive(Default)]
pub struct Pass {
    /// Whatever the host wants to find again with [`Client::rights`].
    pub rights: Option<Arc<dyn Any + Send + Sync>>,
    /// Whose sessions these are: client ids of different owners never meet, so that nobody takes over another's
    /// session. Empty: everybody's.
    pub owner: Box<str>,
    /// Sessions that the owner may have, connected or not; none: as many as the broker has room for. One more takes the
    /// place of the one that would end first of those that are away; where all are connected it is refused.
    pub max_sessions: Option<usize>,
    /// When it is over, the client is told "not authorized" and disconnected.
    pub until: Option<Ended>,
    /// Not everything that its filters match is the client's to get: [`Host::may_receive`] is asked about each message.
    pub is_filtered: bool,
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// Everything that a client says when it connects.
#[derive(Debug)]
pub struct Hello<'a> {
    /// The client as it will be known.
    pub client: &'a Client,
    /// The password, where one was given.
    pub password: Option<&'a [u8]>,
    /// The certificate that it showed, DER, where it came by TLS and showed one.
    pub certificate: Option<&'a [u8]>,
}

/// A no, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// MQTT 5 reason code, 0x80 or above.
    pub code: u8,
    /// One sentence for the client.
    pub reason: String,
}

impl Refusal {
    /// MQTT 5: not authorized.
    pub const NOT_AUTHORIZED: u8 = 0x87;
    /// MQTT 5: quota exceeded.
    pub const QUOTA_EXCEEDED: u8 = 0x97;
    /// MQTT 5: connection rate exceeded.
    pub const TOO_FAST: u8 = 0x9F;

    /// A refusal. A code below 0x80 would say yes; it becomes 0x80, unspecified.
    pub fn new(code: u8, reason: impl Into<String>) -> Refusal {
        Refusal { code: code.max(0x80), reason: reason.into() }
    }

    /// The reason as a word for metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self.code {
            0x83 => "implementation_specific",
            0x87 => "not_authorized",
            0x90 => "topic_name_invalid",
            0x97 => "quota_exceeded",
            0x99 => "payload_format_invalid",
            _ => "unspecified",
        }
    }
}

/// Resolves when a publish may be acknowledged, or may not.
pub type Promise = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// What the node makes of a publish.
pub enum Verdict {
    /// An ordinary message: passed on to subscribers, retained if it says so.
    Route,
    /// The node takes it. Acknowledged, and passed on to subscribers, when the promise is kept.
    Taken(Promise),
    /// Never acknowledged as taken.
    Refused(Refusal),
}

/// What the broker asks the node. Calls are made on the tasks of connections and must be quick.
pub trait Host: Send + Sync + 'static {
    /// May this client connect?
    fn connect(&self, hello: &Hello<'_>) -> Result<Pass, Refusal>;

    /// May it subscribe to `filter` (without the prefix of a shared subscription)?
    fn may_subscribe(&self, client: &Client, filter: &str) -> Result<(), Refusal>;

    /// May it get a message on `topic` now? Only asked about clients whose [`Pass`] says so: about each message that
    /// one of their filters matches when it is queued, and again when it is sent, which may be much later. Asked while
    /// the broker holds locks: the answer must come from memory, and without calling the broker.
    fn may_receive(&self, client: &Client, topic: &str) -> bool;

    /// May it leave a last will on `topic`?
    fn may_publish(&self, client: &Client, topic: &str) -> Result<(), Refusal>;

    /// It listens to `filter` from now on (again, where it takes up a session). Nothing depends on it.
    fn begins_to_hear(&self, _client: &Client, _filter: &str) {}

    /// It listens to `filter` no longer.
    fn stops_hearing(&self, _client: &Client, _filter: &str) {}

    /// Its connection has ended, and with it whatever it listened to.
    fn has_left(&self, _client: &Client) {}

    /// Asked about every publish, and about every last will that is due.
    fn publish(&self, client: &Arc<Client>, message: &Message) -> Verdict;

    /// Messages that exist by their nature rather than because somebody retained them, and whose topic
    /// matches `filter`, as far as the client may see them: one page, from a cursor that begins with 0. Gives the next cursor, or none at
    /// the end.
    fn retained(&self, client: &Client, filter: &str, cursor: u64, sink: &mut dyn FnMut(Message)) -> Option<u64>;
}
