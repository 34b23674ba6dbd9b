//! What outlives the broker: persistent sessions with their queues, and retained messages, in one redb
//! file. One thread writes; whatever was asked for since its last commit goes into the next one, so that
//! many publishes share a sync of the disk.

use crate::message::Message;
use crate::routes::Wish;
use crate::session::Queued;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use rmqtt_codec::types::QoS;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

const SESSIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sessions");
/// By client and number.
const MESSAGES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("messages");
const RETAINED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("retained");
const CACHE_BYTES: usize = 8 << 20;
/// Beyond so many bytes that wait for the disk, publishes are refused.
const WAITING_MAX_BYTES: usize = 64 << 20;
const RETRY: Duration = Duration::from_secs(1);

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
}

/// A session and what waits for it, by number.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) session: KeptSession,
    pub(crate) messages: Vec<(u64, Queued)>,
}

/// Everything that was kept.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) sessions: HashMap<String, Kept>,
    pub(crate) retained: Vec<Message>,
}

#[derive(Debug)]
enum Change {
    Session(Box<str>, Option<Vec<u8>>),
    Message(Box<str>, u64, Option<Vec<u8>>),
    AllMessages(Box<str>),
    Retained(Box<str>, Option<Vec<u8>>),
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Change::Session(_, Some(value)) | Change::Message(_, _, Some(value)) | Change::Retained(_, Some(value)) => {
                value.len()
            }
            _ => 0,
        }
    }
}

/// The way to the writing thread. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    done: watch::Receiver<Done>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: Vec<Change>,
    bytes: usize,
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
        let mut builder = redb::Builder::new();
        let path = folder.join("mqtt.redb");
        let database = builder.set_cache_size(CACHE_BYTES).create(path).map_err(redb::Error::from)?;
        let loaded = load(&database)?;
        let shared = Arc::new(Shared { waiting: Mutex::default(), ready: Condvar::new() });
        let (tell, done) = watch::channel(Done::default());
        let thread = std::thread::Builder::new().name("mqtt-store".into());
        let writer = Writer { database, shared: shared.clone(), tell };
        let writer = thread.spawn(move || writer.run()).map_err(redb::Error::from)?;
        Ok((Store { shared, done, writer: Arc::new(Mutex::new(Some(writer))) }, loaded))
    }

    /// Writes what waits, ends the thread and waits for that.
    pub(crate) fn close(&self) {
        self.shared.waiting.lock().stop = true;
        self.shared.ready.notify_one();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes MQTT sessions ended badly");
        }
    }

    /// More waits than may.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.waiting.lock().bytes > WAITING_MAX_BYTES
    }

    fn change(&self, change: Change) -> u64 {
        let mut waiting = self.shared.waiting.lock();
        waiting.bytes += change.bytes();
        waiting.changes.push(change);
        waiting.last += 1;
        self.shared.ready.notify_one();
        waiting.last
    }

    /// Keeps a session; gives the ticket to wait for.
    pub(crate) fn keep_session(&self, client_id: &str, session: &KeptSession) -> u64 {
        self.change(Change::Session(client_id.into(), Some(encode(session))))
    }

    /// Forgets a session and what waits for it.
    pub(crate) fn forget_session(&self, client_id: &str) {
        self.change(Change::Session(client_id.into(), None));
        self.change(Change::AllMessages(client_id.into()));
    }

    /// Keeps a message for a session; gives the ticket to wait for.
    pub(crate) fn keep_message(&self, client_id: &str, number: u64, queued: &Queued) -> u64 {
        let kept = KeptMessage {
            message: (*queued.message).clone(),
            qos: queued.qos,
            retain: queued.retain,
            ids: queued.ids.clone(),
        };
        self.change(Change::Message(client_id.into(), number, Some(encode(&kept))))
    }

    /// Forgets a message that the client has.
    pub(crate) fn forget_message(&self, client_id: &str, number: u64) {
        self.change(Change::Message(client_id.into(), number, None));
    }

    /// Keeps a retained message, or forgets the topic; gives the ticket to wait for.
    pub(crate) fn keep_retained(&self, message: &Message) -> u64 {
        let value = (!message.payload.is_empty()).then(|| encode(message));
        self.change(Change::Retained((&*message.topic).into(), value))
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

fn load(database: &Database) -> Result<Loaded, StoreError> {
    // The tables must exist to be read.
    let write = database.begin_write().map_err(redb::Error::from)?;
    for result in [
        write.open_table(SESSIONS).map(drop),
        write.open_table(MESSAGES).map(drop),
        write.open_table(RETAINED).map(drop),
    ] {
        result.map_err(redb::Error::from)?;
    }
    write.commit().map_err(redb::Error::from)?;
    let read = database.begin_read().map_err(redb::Error::from)?;
    let mut loaded = Loaded::default();
    for entry in read.open_table(SESSIONS).map_err(redb::Error::from)?.iter().map_err(redb::Error::from)? {
        let (client, value) = entry.map_err(redb::Error::from)?;
        let session = decode("sessions", value.value())?;
        loaded.sessions.insert(client.value().to_owned(), Kept { session, messages: Vec::new() });
    }
    for entry in read.open_table(MESSAGES).map_err(redb::Error::from)?.iter().map_err(redb::Error::from)? {
        let (key, value) = entry.map_err(redb::Error::from)?;
        let (client, number) = key.value();
        let KeptMessage { message, qos, retain, ids } = decode("messages", value.value())?;
        let queued = Queued { message: Arc::new(message), qos, retain, ids, stored: Some(number) };
        if let Some(kept) = loaded.sessions.get_mut(client) {
            kept.messages.push((number, queued));
        }
    }
    for entry in read.open_table(RETAINED).map_err(redb::Error::from)?.iter().map_err(redb::Error::from)? {
        let (_, value) = entry.map_err(redb::Error::from)?;
        loaded.retained.push(decode("retained", value.value())?);
    }
    Ok(loaded)
}

fn decode<'a, T: Deserialize<'a>>(table: &'static str, bytes: &'a [u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|error| StoreError::Entry(table, error))
}

struct Writer {
    database: Database,
    shared: Arc<Shared>,
    tell: watch::Sender<Done>,
}

impl Writer {
    fn run(self) {
        let mut again: Vec<Change> = Vec::new();
        let mut bytes = 0;
        loop {
            let (changes, last, stop) = self.take(!again.is_empty());
            bytes += changes.iter().map(Change::bytes).sum::<usize>();
            again.extend(changes);
            if !again.is_empty() {
                let written = self.write(&again);
                self.tell.send_modify(|done| {
                    done.tried = last;
                    if written.is_ok() {
                        done.durable = last;
                    }
                });
                match written {
                    Ok(()) => {
                        again.clear();
                        self.shared.waiting.lock().bytes -= std::mem::take(&mut bytes);
                    }
                    Err(error) => {
                        metrics::counter!("drover_mqtt_store_failures_total").increment(1);
                        tracing::error!(%error, "MQTT sessions cannot be written; check the disk. Trying again");
                        if !stop {
                            std::thread::sleep(RETRY);
                        }
                    }
                }
            }
            if stop {
                return;
            }
        }
    }

    /// Waits for changes. With some to be tried again it does not wait.
    fn take(&self, hurry: bool) -> (Vec<Change>, u64, bool) {
        let mut waiting = self.shared.waiting.lock();
        while waiting.changes.is_empty() && !waiting.stop && !hurry {
            self.shared.ready.wait(&mut waiting);
        }
        (std::mem::take(&mut waiting.changes), waiting.last, waiting.stop)
    }

    fn write(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut sessions = write.open_table(SESSIONS)?;
            let mut messages = write.open_table(MESSAGES)?;
            let mut retained = write.open_table(RETAINED)?;
            for change in changes {
                match change {
                    Change::Session(client, Some(value)) => drop(sessions.insert(&**client, &**value)?),
                    Change::Session(client, None) => drop(sessions.remove(&**client)?),
                    Change::Message(client, number, Some(value)) => {
                        drop(messages.insert((&**client, *number), &**value)?);
                    }
                    Change::Message(client, number, None) => drop(messages.remove((&**client, *number))?),
                    Change::AllMessages(client) => {
                        messages.retain_in((&**client, 0)..=(&**client, u64::MAX), |_, _| false)?;
                    }
                    Change::Retained(topic, Some(value)) => drop(retained.insert(&**topic, &**value)?),
                    Change::Retained(topic, None) => drop(retained.remove(&**topic)?),
                }
            }
        }
        write.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reopen(folder: &Path, store: &Store) -> (Store, Loaded) {
        store.close();
        Store::open(folder).unwrap()
    }

    #[tokio::test]
    async fn sessions_messages_and_retained_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        let message = Message::new("t", "payload", QoS::ExactlyOnce).retained();
        let queued =
            Queued { message: Arc::new(message.clone()), qos: QoS::AtLeastOnce, retain: true, ids: vec![], stored: None };
        store.keep_session("c", &KeptSession { expiry_s: 60, received: vec![7], ..KeptSession::default() });
        store.keep_session("gone", &KeptSession::default());
        store.keep_message("c", 3, &queued);
        store.keep_message("c", 4, &queued);
        store.keep_message("gone", 0, &queued);
        store.forget_message("c", 3);
        store.forget_session("gone");
        let ticket = store.keep_retained(&message);
        assert!(store.durable(ticket).await);

        let (_store, loaded) = reopen(folder.path(), &store);
        assert_eq!(loaded.sessions.len(), 1);
        let kept = &loaded.sessions["c"];
        assert_eq!((kept.session.expiry_s, &kept.session.received), (60, &vec![7]));
        assert_eq!(kept.messages.len(), 1);
        assert_eq!(kept.messages[0].0, 4);
        assert_eq!(kept.messages[0].1.message.payload, "payload");
        assert_eq!(loaded.retained[0].topic, "t");
    }
}
