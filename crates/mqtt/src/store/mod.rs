//! What outlives the broker: persistent sessions with their queues, and retained messages, in one redb
//! file. Changes are gathered here; one thread writes whatever has gathered since its last commit in the
//! next one, so that many publishes share a sync of the disk.

mod writer;

use crate::message::Message;
use crate::routes::Wish;
use crate::session::Queued;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use rmqtt_codec::types::QoS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// Beyond so many bytes that wait for the disk, publishes are refused.
const WAITING_MAX_BYTES: usize = 64 << 20;

/// The store cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database says so.
    #[error("MQTT store: {0}")]
    Database(#[from] redb::Error),
    /// An entry of another version, or damaged.
    #[error("MQTT store: an entry of {0} cannot be read: {1}")]
    Entry(&'static str, postcard::Error),
}

/// A session as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct KeptSession {
    pub(crate) expiry_s: u64,
    /// When its client left, ms UTC; 0 while it is connected.
    pub(crate) left_ms: u64,
    /// Filter with its prefix; QoS; no local, retain as published; id.
    pub(crate) subscriptions: Vec<(String, u8, bool, bool, Option<NonZeroU32>)>,
    pub(crate) received: Vec<u16>,
}

impl KeptSession {
    pub(crate) fn wishes(&self) -> impl Iterator<Item = (&str, Wish)> {
        self.subscriptions.iter().map(|(filter, qos, no_local, retain_as_published, id)| {
            let qos = QoS::try_from(*qos).unwrap_or(QoS::AtLeastOnce);
            let (no_local, retain_as_published) = (*no_local, *retain_as_published);
            (filter.as_str(), Wish { qos, no_local, retain_as_published, id: *id })
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptMessage {
    message: Message,
    qos: QoS,
    retain: bool,
    ids: Vec<NonZeroU32>,
    share: Option<String>,
    released: bool,
}

impl KeptMessage {
    fn of(queued: &Queued) -> KeptMessage {
        KeptMessage {
            message: (*queued.message).clone(),
            qos: queued.qos,
            retain: queued.retain,
            ids: queued.ids.clone(),
            share: queued.share.as_deref().map(str::to_owned),
            released: queued.released,
        }
    }

    fn queued(self, number: u64) -> Queued {
        let KeptMessage { message, qos, retain, ids, share, released } = self;
        let share = share.map(Arc::from);
        Queued {
            share,
            number,
            stored: true,
            sent: released,
            released,
            ..Queued::new(Arc::new(message), qos, retain, ids)
        }
    }
}

/// A session and what waits for it, in order.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) session: KeptSession,
    pub(crate) messages: Vec<Queued>,
}

/// Everything that was kept.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) sessions: HashMap<String, Kept>,
    pub(crate) retained: Vec<Message>,
}

/// What a change is about. Of two changes about the same only the later is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    /// All messages of a client; always a removal, and written before single messages.
    AllMessages(Box<str>),
    Session(Box<str>),
    /// By client and number.
    Message(Box<str>, u64),
    Retained(Box<str>),
}

/// New values; none: to be removed.
#[derive(Debug, Default)]
struct Changes {
    by_subject: BTreeMap<About, Option<Vec<u8>>>,
    bytes: usize,
}

impl Changes {
    fn put(&mut self, about: About, value: Option<Vec<u8>>) {
        if let About::AllMessages(client) = &about {
            self.drop_messages(client);
        }
        self.bytes += value.as_ref().map_or(0, Vec::len);
        let replaced = self.by_subject.insert(about, value).flatten();
        self.bytes -= replaced.map_or(0, |value| value.len());
    }

    fn drop_messages(&mut self, client: &str) {
        let (first, last) = (About::Message(client.into(), 0), About::Message(client.into(), u64::MAX));
        let known: Vec<_> = self.by_subject.range(first..=last).map(|(about, _)| about.clone()).collect();
        for about in known {
            let removed = self.by_subject.remove(&about).flatten();
            self.bytes -= removed.map_or(0, |value| value.len());
        }
    }

    /// Adds changes that came later.
    fn add(&mut self, later: Changes) {
        // In their order: the removal of all messages of a client comes before its new ones.
        for (about, value) in later.by_subject {
            self.put(about, value);
        }
    }
}

/// The way to the writing thread. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    done: watch::Receiver<Done>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    ready: Condvar,
    is_failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: Changes,
    /// Ticket of the newest change.
    last: u64,
    stop: bool,
}

/// How far the disk is. A change that failed is tried again with the next ones.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    durable: u64,
    tried: u64,
}

impl Store {
    /// Opens or creates the store in `folder` and reads what is there.
    pub(crate) fn open(folder: &Path) -> Result<(Store, Loaded), StoreError> {
        let path = folder.join("mqtt.redb");
        let database = writer::open(&path)?;
        let loaded = writer::load(&database)?;
        let is_failing = AtomicBool::new(false);
        let shared = Arc::new(Shared { waiting: Mutex::default(), ready: Condvar::new(), is_failing });
        let done = writer::start(path, database, shared.clone())?;
        Ok((Store { shared, done }, loaded))
    }

    /// Writes what waits, ends the thread and resolves when the file is closed.
    pub(crate) async fn close(&self) {
        self.shared.waiting.lock().stop = true;
        self.shared.ready.notify_one();
        let mut done = self.done.clone();
        // The thread lets go of its end when it ends.
        while done.changed().await.is_ok() {}
    }

    /// False while the disk fails or is too far behind: then publishes that must be kept are refused.
    pub(crate) fn can_take(&self) -> bool {
        !self.shared.is_failing.load(Ordering::Relaxed) && self.shared.waiting.lock().changes.bytes <= WAITING_MAX_BYTES
    }

    fn change(&self, about: About, value: Option<Vec<u8>>) -> u64 {
        let mut waiting = self.shared.waiting.lock();
        waiting.changes.put(about, value);
        waiting.last += 1;
        self.shared.ready.notify_one();
        waiting.last
    }

    /// Keeps a session; gives the ticket to wait for.
    pub(crate) fn keep_session(&self, client_id: &str, session: &KeptSession) -> u64 {
        self.change(About::Session(client_id.into()), Some(encode(session)))
    }

    /// Forgets a session and what waits for it.
    pub(crate) fn forget_session(&self, client_id: &str) {
        self.change(About::Session(client_id.into()), None);
        self.change(About::AllMessages(client_id.into()), None);
    }

    /// Keeps a message for a session as it is now; gives the ticket to wait for.
    pub(crate) fn keep_message(&self, client_id: &str, queued: &Queued) -> u64 {
        let value = encode(&KeptMessage::of(queued));
        self.change(About::Message(client_id.into(), queued.number), Some(value))
    }

    /// Forgets a message that the client has.
    pub(crate) fn forget_message(&self, client_id: &str, number: u64) {
        self.change(About::Message(client_id.into(), number), None);
    }

    /// Keeps a retained message, or forgets the topic; gives the ticket to wait for.
    pub(crate) fn keep_retained(&self, message: &Message) -> u64 {
        let value = (!message.payload.is_empty()).then(|| encode(message));
        self.change(About::Retained((&*message.topic).into()), value)
    }

    /// Resolves when the ticket's change is on disk (true), or the try that was to write it failed.
    pub(crate) async fn durable(&self, ticket: u64) -> bool {
        let mut done = self.done.clone();
        let reached = done.wait_for(|done| done.tried >= ticket).await;
        reached.is_ok_and(|done| done.durable >= ticket)
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data")
}

fn decode<'a, T: Deserialize<'a>>(table: &'static str, bytes: &'a [u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|error| StoreError::Entry(table, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(number: u64) -> Queued {
        let message = Arc::new(Message::new("t", "payload", QoS::ExactlyOnce).retained());
        Queued { number, share: Some("$share/g/t".into()), ..Queued::new(message, QoS::AtLeastOnce, true, vec![]) }
    }

    #[tokio::test]
    async fn sessions_messages_and_retained_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        store.keep_session("c", &KeptSession { expiry_s: 60, received: vec![7], ..KeptSession::default() });
        store.keep_session("gone", &KeptSession::default());
        store.keep_message("c", &queued(3));
        store.keep_message("c", &queued(4));
        store.keep_message("gone", &queued(0));
        store.forget_message("c", 3);
        let ticket = store.keep_retained(&queued(0).message);
        assert!(store.durable(ticket).await);
        store.keep_message("gone", &queued(1));
        store.forget_session("gone");
        store.close().await;

        let (_store, loaded) = Store::open(folder.path()).unwrap();
        assert_eq!(loaded.sessions.len(), 1);
        let kept = &loaded.sessions["c"];
        assert_eq!((kept.session.expiry_s, &kept.session.received), (60, &vec![7]));
        assert_eq!(kept.messages.len(), 1);
        let message = &kept.messages[0];
        assert_eq!((message.number, &*message.message.payload, message.sent), (4, &b"payload"[..], false));
        assert_eq!(message.share.as_deref(), Some("$share/g/t"));
        assert_eq!(loaded.retained[0].topic, "t");
    }

    #[test]
    fn of_changes_about_the_same_the_last_one_counts() {
        let mut changes = Changes::default();
        changes.put(About::Message("a".into(), 1), Some(vec![0; 10]));
        changes.put(About::Message("b".into(), 1), Some(vec![0; 5]));
        let mut later = Changes::default();
        later.put(About::Message("a".into(), 2), Some(vec![0; 3]));
        later.put(About::AllMessages("a".into()), None);
        later.put(About::Message("a".into(), 3), Some(vec![0; 2]));
        changes.add(later);
        let left: Vec<_> = changes.by_subject.keys().cloned().collect();
        assert_eq!(
            left,
            [About::AllMessages("a".into()), About::Message("a".into(), 3), About::Message("b".into(), 1)]
        );
        assert_eq!(changes.bytes, 7);
    }
}
