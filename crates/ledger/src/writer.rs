//! The one writer: takes what waits into one transaction, gives each entry its place in the chain, and answers after the
//! commit. Notes whose transaction failed are tried again; whoever waits for an answer is told.

use crate::chain::Hash;
use crate::entry::{Entry, Outcome, Recorded};
use crate::head::{self, Head};
use crate::store::{self, Leaving, Store};
use crate::{Error, NOTES_MAX, NOTES_MAX_BYTES};
use metrics::counter;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// So many messages share a transaction at most.
const BATCH_MAX: usize = 1000;
/// `audit.head` is written no more often; what failed is tried again so much later.
const PAUSE: Duration = Duration::from_secs(1);
/// So many entries leave in one transaction at most: others wait meanwhile.
const LEAVING_MAX: u64 = 10_000;

/// The action of the entry that tells of a ledger that was cut.
pub(crate) const CUT: &str = "audit.cut";
/// The action of the entry that tells which entries left by age.
pub(crate) const LEFT: &str = "audit.left";
const LOST: &str = "audit.lost";
const ITSELF: &str = "audit";

const ENTRIES_TOTAL: &str = "drover_audit_entries_total";
const LOST_TOTAL: &str = "drover_audit_lost_total";
const LEFT_TOTAL: &str = "drover_audit_left_total";
const FAILED_TOTAL: &str = "drover_audit_failed_writes_total";

/// Tells the recorder what each metric is. Once per process, after the recorder is installed.
pub fn describe() {
    use metrics::describe_counter as counter;
    counter!(ENTRIES_TOTAL, "Entries of the audit that were written");
    counter!(LOST_TOTAL, "Entries of the audit that found no room in the queue and are lost");
    counter!(LEFT_TOTAL, "Entries of the audit that left by age");
    counter!(FAILED_TOTAL, "Transactions of the audit that failed");
}

/// The number of each entry of a page, and whether it is new.
pub(crate) type Appended = Vec<(u64, bool)>;

pub(crate) enum Message {
    Append(Vec<Recorded>, oneshot::Sender<Result<Appended, Error>>),
    Note(Box<Recorded>),
    /// Entries from before that moment may leave; says how many did.
    Leave(i64, oneshot::Sender<Result<u64, Error>>),
    Close(oneshot::Sender<()>),
}

/// What waits, counted, and how far the writer is.
pub(crate) struct Room {
    notes: AtomicUsize,
    bytes: AtomicUsize,
    /// Notes that found no room and are in no entry yet.
    lost: AtomicU64,
    head: Mutex<Head>,
}

impl Room {
    fn take(&self, bytes: usize) -> bool {
        let notes = self.notes.fetch_add(1, Relaxed);
        let before = self.bytes.fetch_add(bytes, Relaxed);
        let there_is = notes < NOTES_MAX && before + bytes <= NOTES_MAX_BYTES;
        if !there_is {
            self.give_back(bytes);
        }
        there_is
    }

    fn give_back(&self, bytes: usize) {
        self.notes.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    fn lost(&self, notes: u64) {
        self.lost.fetch_add(notes, Relaxed);
        counter!(LOST_TOTAL).increment(notes);
    }
}

/// Where entries wait for the writer. Whoever waits for an answer is bounded by himself; notes are bounded here.
pub(crate) struct Queue {
    sender: mpsc::UnboundedSender<Message>,
    room: Arc<Room>,
}

impl Queue {
    pub(crate) fn send(&self, message: Message) -> Result<(), Error> {
        self.sender.send(message).map_err(|_| Error::Closed)
    }

    pub(crate) fn note(&self, entry: Recorded) {
        let bytes = entry.bytes();
        if !self.room.take(bytes) {
            self.room.lost(1);
        } else if self.send(Message::Note(Box::new(entry))).is_err() {
            self.room.give_back(bytes);
            self.room.lost(1);
        }
    }

    pub(crate) fn head(&self) -> Head {
        self.room.head.lock().clone()
    }
}

pub(crate) struct Writer {
    path: PathBuf,
    store: Store,
    room: Arc<Room>,
    receiver: mpsc::UnboundedReceiver<Message>,
    /// Notes whose transaction failed.
    owed: Vec<Recorded>,
    /// What is committed is known: the last transaction did not fail.
    sure: bool,
    /// The number in `audit.head`, and when it was last written.
    head_written: (u64, Instant),
    /// Who is told that the writer has ended.
    closing: Vec<oneshot::Sender<()>>,
    lock: File,
}

impl Writer {
    /// A writer after `head`, and the queue before it.
    pub(crate) fn new(path: &Path, store: Store, head: Head, lock: File) -> (Writer, Queue) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let head_written = (head.seq, Instant::now());
        let room = Room { notes: 0.into(), bytes: 0.into(), lost: 0.into(), head: Mutex::new(head) };
        let room = Arc::new(room);
        let queue = Queue { sender, room: room.clone() };
        let path = path.to_owned();
        let (owed, closing) = (Vec::new(), Vec::new());
        (Writer { path, store, room, receiver, owed, sure: true, head_written, closing, lock }, queue)
    }

    /// Compares the ledger with `audit.head`. Where they do not fit, an entry says so before anything else is written.
    pub(crate) async fn compare_with_file(&mut self) -> Result<(), Error> {
        let head = self.room.head.lock().clone();
        let Some(written) = self.what_does_not_fit(&head).await? else {
            return Ok(());
        };
        tracing::error!(%written, found = %json!(head.written()), "the audit lost entries at its end");
        let (before, after) = (Some(written), Some(json!(head.written())));
        let entry = Entry { before, after, outcome: Outcome::Failed, ..Entry::new(ITSELF, CUT, ITSELF) };
        let (head, _) = self.commit([[entry.draft()].as_slice()].into_iter(), 0).await?;
        head.write(&self.path)?;
        self.head_written.0 = head.seq;
        *self.room.head.lock() = head;
        Ok(())
    }

    /// What `audit.head` says, if it is not about this end of the ledger or one before.
    async fn what_does_not_fit(&self, head: &Head) -> Result<Option<Value>, Error> {
        let written = match head::read(&self.path)? {
            Some(Ok(written)) => written,
            Some(Err(why)) => return Ok(Some(json!({"damaged": why}))),
            None if head.seq == 0 => return head.write(&self.path).map(|()| None),
            None => return Ok(Some(Value::from("missing"))),
        };
        let there = match written.seq {
            0 => Some(Hash::before_the_first(&head.ledger).to_string()),
            seq => self.store.hash_of(seq).await?,
        };
        let fits = written.ledger == head.ledger && there == Some(written.hash.to_string());
        Ok((!fits).then(|| json!(written.written())))
    }

    /// Until the queue is closed and empty.
    pub(crate) async fn run(mut self) {
        let mut messages = Vec::new();
        loop {
            let pause_ends = self.head_written.1 + PAUSE;
            tokio::select! {
                got = self.receiver.recv_many(&mut messages, BATCH_MAX) => match got {
                    0 => break,
                    _ => self.take(&mut messages).await,
                },
                () = tokio::time::sleep_until(pause_ends), if self.has_work_after_a_pause() => self.after_a_pause().await,
            }
        }
        self.end().await;
    }

    fn has_work_after_a_pause(&self) -> bool {
        self.has_something_to_say() || self.head_is_behind()
    }

    /// Without anybody sending anything.
    fn has_something_to_say(&self) -> bool {
        !self.owed.is_empty() || self.room.lost.load(Relaxed) > 0
    }

    fn head_is_behind(&self) -> bool {
        self.room.head.lock().seq != self.head_written.0
    }

    async fn after_a_pause(&mut self) {
        if self.has_something_to_say() {
            self.write(Vec::new()).await;
        }
        self.write_head().await;
    }

    async fn take(&mut self, messages: &mut Vec<Message>) {
        let (mut waiting, mut leaving) = (Vec::new(), Vec::new());
        for message in messages.drain(..) {
            match message {
                Message::Append(entries, reply) => waiting.push((entries, Some(reply))),
                Message::Note(entry) => waiting.push((vec![*entry], None)),
                Message::Leave(before_ms, reply) => leaving.push((before_ms, reply)),
                Message::Close(reply) => {
                    self.receiver.close();
                    self.closing.push(reply);
                }
            }
        }
        self.write(waiting).await;
        for (before_ms, reply) in leaving {
            // An error is that nobody waits any more.
            let _told = reply.send(self.let_leave(before_ms).await);
        }
        if self.head_written.1.elapsed() >= PAUSE && self.head_is_behind() {
            self.write_head().await;
        }
    }

    /// One transaction with what is owed and what waits.
    async fn write(&mut self, waiting: Vec<(Vec<Recorded>, Option<Reply>)>) {
        let owed = std::mem::take(&mut self.owed);
        let pages: Vec<_> = owed.into_iter().map(|note| (vec![note], None)).chain(waiting).collect();
        let lost = self.room.lost.swap(0, Relaxed);
        match self.commit(pages.iter().map(|(entries, _)| entries.as_slice()), lost).await {
            Ok((head, appended)) => {
                counter!(ENTRIES_TOTAL).increment(head.seq - self.room.head.lock().seq);
                *self.room.head.lock() = head;
                self.sure = true;
                for ((entries, reply), appended) in pages.into_iter().zip(appended) {
                    match reply {
                        // An error is that nobody waits any more.
                        Some(reply) => drop(reply.send(Ok(appended))),
                        None => entries.iter().for_each(|note| self.room.give_back(note.bytes())),
                    }
                }
            }
            Err(error) => {
                counter!(FAILED_TOTAL).increment(1);
                tracing::error!(%error, entries = pages.len(), "the audit could not be written");
                self.sure = false;
                self.room.lost.fetch_add(lost, Relaxed);
                let error = Arc::new(error);
                for (entries, reply) in pages {
                    match reply {
                        Some(reply) => drop(reply.send(Err(Error::NotWritten(error.clone())))),
                        None => self.owed.extend(entries),
                    }
                }
            }
        }
    }

    /// On `Ok` all entries are durable; says the new end of the chain, and the numbers of each page.
    async fn commit<'a>(
        &self,
        pages: impl Iterator<Item = &'a [Recorded]>,
        lost: u64,
    ) -> Result<(Head, Vec<Appended>), Error> {
        // After a failed commit nobody knows whether it was done.
        let mut head = match self.sure {
            true => self.room.head.lock().clone(),
            false => self.store.head().await?,
        };
        let mut transaction = self.store.database.begin().await?;
        let mut appended = Vec::new();
        for entries in pages {
            let mut numbers = Vec::with_capacity(entries.len());
            for entry in entries {
                numbers.push(append(&mut transaction, &mut head, entry).await?);
            }
            appended.push(numbers);
        }
        if lost > 0 {
            let after = Some(json!({"entries": lost}));
            let entry = Entry { after, outcome: Outcome::Failed, ..Entry::new(ITSELF, LOST, ITSELF) };
            append(&mut transaction, &mut head, &entry.draft()).await?;
        }
        transaction.commit().await?;
        Ok((head, appended))
    }

    /// The oldest entries leave, and an entry says so, in one transaction. The file with the head is brought up to date
    /// before: what it names must not leave.
    async fn let_leave(&mut self, before_ms: i64) -> Result<u64, Error> {
        if !self.sure {
            return Ok(0);
        }
        self.write_head().await;
        if self.head_is_behind() {
            return Ok(0);
        }
        let mut head = self.room.head.lock().clone();
        let mut transaction = self.store.database.begin().await?;
        let Some(leaving) = store::leaving(&mut transaction, before_ms, LEAVING_MAX).await? else { return Ok(0) };
        let Leaving { through, entries, hash } = leaving;
        let after = Some(json!({"through": through, "hash": hash, "entries": entries}));
        append(&mut transaction, &mut head, &Entry { after, ..Entry::new(ITSELF, LEFT, ITSELF) }.draft()).await?;
        store::leave(&mut transaction, through).await?;
        self.sure = false;
        transaction.commit().await?;
        self.sure = true;
        counter!(ENTRIES_TOTAL).increment(1);
        counter!(LEFT_TOTAL).increment(entries);
        *self.room.head.lock() = head;
        self.write_head().await;
        tracing::info!(through, entries, "entries of the audit left by age");
        Ok(entries)
    }

    async fn write_head(&mut self) {
        let head = self.room.head.lock().clone();
        let (seq, path) = (head.seq, self.path.clone());
        let written = tokio::task::spawn_blocking(move || head.write(&path)).await;
        let now = Instant::now();
        match written {
            Ok(Ok(())) => self.head_written = (seq, now),
            Ok(Err(error)) => {
                tracing::error!(%error, "audit.head could not be written");
                self.head_written.1 = now;
            }
            // The runtime ends.
            Err(_) => self.head_written.1 = now,
        }
    }

    async fn end(mut self) {
        if self.has_something_to_say() {
            self.write(Vec::new()).await;
        }
        if !self.owed.is_empty() {
            tracing::error!(entries = self.owed.len(), "notes of the audit are lost: the ledger could not be written");
            self.room.lost(self.owed.len() as u64);
        }
        self.write_head().await;
        self.store.database.close().await;
        drop(self.lock);
        for reply in self.closing {
            // An error is that nobody waits any more.
            let _told = reply.send(());
        }
    }
}

type Reply = oneshot::Sender<Result<Appended, Error>>;

/// The number of the entry, and whether it is new.
async fn append(
    transaction: &mut drover_database::Transaction,
    head: &mut Head,
    entry: &Recorded,
) -> Result<(u64, bool), Error> {
    if let Some(origin) = &entry.origin
        && let Some(seq) = store::seq_of_origin(transaction, origin).await?
    {
        return Ok((seq, false));
    }
    let seq = head.seq + 1;
    let (entry, hash) = entry.clone().chained(seq, head.hash);
    store::insert(transaction, &entry).await?;
    (head.seq, head.hash) = (seq, hash);
    Ok((seq, true))
}
