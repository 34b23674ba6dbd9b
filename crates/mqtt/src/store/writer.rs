//! The thread that owns the database: one transaction for all changes that have gathered, tried again
//! with the next ones when it fails.

use super::{About, Changes, Done, Kept, KeptMessage, Loaded, Shared, StoreError, decode};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const SESSIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sessions");
/// By client and number.
const MESSAGES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("messages");
const RETAINED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("retained");
const CACHE_BYTES: usize = 8 << 20;
const RETRY: Duration = Duration::from_secs(1);

pub(super) fn open(path: &Path) -> Result<Database, redb::Error> {
    drover_files::open_database(path, CACHE_BYTES)
}

/// Reads everything that is kept.
pub(super) fn load(database: &Database) -> Result<Loaded, StoreError> {
    make_tables(database)?;
    read(database)
}

/// The tables must exist to be read.
fn make_tables(database: &Database) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    write.open_table(SESSIONS)?;
    write.open_table(MESSAGES)?;
    write.open_table(RETAINED)?;
    Ok(write.commit()?)
}

fn read(database: &Database) -> Result<Loaded, StoreError> {
    let read = database.begin_read().map_err(redb::Error::from)?;
    let mut loaded = Loaded::default();
    let sessions = read.open_table(SESSIONS).map_err(redb::Error::from)?;
    for entry in sessions.iter().map_err(redb::Error::from)? {
        let (client, value) = entry.map_err(redb::Error::from)?;
        let session = decode("sessions", value.value())?;
        loaded.sessions.insert(client.value().to_owned(), Kept { session, messages: Vec::new() });
    }
    let messages = read.open_table(MESSAGES).map_err(redb::Error::from)?;
    for entry in messages.iter().map_err(redb::Error::from)? {
        let (key, value) = entry.map_err(redb::Error::from)?;
        let (client, number) = key.value();
        let message: KeptMessage = decode("messages", value.value())?;
        if let Some(kept) = loaded.sessions.get_mut(client) {
            kept.messages.push(message.queued(number));
        }
    }
    let retained = read.open_table(RETAINED).map_err(redb::Error::from)?;
    for entry in retained.iter().map_err(redb::Error::from)? {
        let (_, value) = entry.map_err(redb::Error::from)?;
        loaded.retained.push(decode("retained", value.value())?);
    }
    Ok(loaded)
}

struct Writer {
    path: PathBuf,
    /// None after a failure, until it could be opened again: a database that saw one takes no more.
    database: Option<Database>,
    shared: Arc<Shared>,
    tell: watch::Sender<Done>,
}

/// Starts the thread; gives how far it is.
pub(super) fn start(
    path: PathBuf,
    database: Database,
    shared: Arc<Shared>,
) -> Result<watch::Receiver<Done>, redb::Error> {
    let (tell, done) = watch::channel(Done::default());
    let writer = Writer { path, database: Some(database), shared, tell };
    std::thread::Builder::new().name("mqtt-store".into()).spawn(move || writer.run())?;
    Ok(done)
}

impl Writer {
    fn run(mut self) {
        let mut changes = Changes::default();
        loop {
            let (new, last, stop) = self.take(changes.by_subject.is_empty());
            changes.add(new);
            if !changes.by_subject.is_empty() {
                let written = self.write(&changes);
                self.note(&written, last);
                match written {
                    Ok(()) => changes = Changes::default(),
                    Err(_) if !stop => self.rest(),
                    Err(_) => {}
                }
            }
            if stop {
                return;
            }
        }
    }

    /// Waits for changes, unless there are some to be tried again.
    fn take(&self, may_wait: bool) -> (Changes, u64, bool) {
        let mut waiting = self.shared.waiting.lock();
        while waiting.changes.by_subject.is_empty() && !waiting.stop && may_wait {
            self.shared.ready.wait(&mut waiting);
        }
        (std::mem::take(&mut waiting.changes), waiting.last, waiting.stop)
    }

    fn note(&self, written: &Result<(), redb::Error>, last: u64) {
        self.shared.is_failing.store(written.is_err(), Ordering::Relaxed);
        if let Err(error) = written {
            metrics::counter!("drover_mqtt_store_failures_total").increment(1);
            tracing::error!(%error, "MQTT sessions cannot be written; check the disk. Trying again");
        }
        self.tell.send_modify(|done| {
            done.tried = last;
            if written.is_ok() {
                done.durable = last;
            }
        });
    }

    /// A pause between two tries, which the broker's end cuts short.
    fn rest(&self) {
        let until = Instant::now() + RETRY;
        let mut waiting = self.shared.waiting.lock();
        while !waiting.stop && !self.shared.ready.wait_until(&mut waiting, until).timed_out() {}
    }

    fn write(&mut self, changes: &Changes) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        commit(&database, changes)?;
        self.database = Some(database);
        Ok(())
    }
}

fn commit(database: &Database, changes: &Changes) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut sessions = write.open_table(SESSIONS)?;
        let mut messages = write.open_table(MESSAGES)?;
        let mut retained = write.open_table(RETAINED)?;
        for (about, value) in &changes.by_subject {
            match (about, value) {
                (About::AllMessages(client), _) => {
                    messages.retain_in((&**client, 0)..=(&**client, u64::MAX), |_, _| false)?
                }
                (About::Session(client), Some(value)) => drop(sessions.insert(&**client, &**value)?),
                (About::Session(client), None) => drop(sessions.remove(&**client)?),
                (About::Message(client, number), Some(value)) => {
                    drop(messages.insert((&**client, *number), &**value)?);
                }
                (About::Message(client, number), None) => drop(messages.remove((&**client, *number))?),
                (About::Retained(topic), Some(value)) => drop(retained.insert(&**topic, &**value)?),
                (About::Retained(topic), None) => drop(retained.remove(&**topic)?),
            }
        }
    }
    Ok(write.commit()?)
}
