//! A session: what the broker remembers of a client between its connections. The connection that owns
//! it sends from its queue; everybody else only adds to the queue and wakes the owner.

use crate::host::{Client, Host};
use crate::message::Message;
use crate::routes::Wish;
use crate::settings::Settings;
use crate::store::{Kept, Store};
use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};
use rmqtt_codec::types::QoS;
use rmqtt_codec::v5::DisconnectReasonCode;
use std::collections::VecDeque;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Publishers wait for a connected client while more than this waits in its queue, so that a fast
/// publisher does not overrun it.
pub(crate) const BEHIND: usize = 1_000;
/// But no longer than this: one client that does not read must not hold up the others.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: Box<str>,
    pub(crate) state: Mutex<State>,
    /// Told when there is something to send.
    pub(crate) wake: Notify,
    /// Told when the queue has room again.
    drained: Notify,
    /// The client took nothing for a while: nobody waits for it any more.
    stuck: AtomicBool,
    connected: AtomicBool,
    /// The client who is connected, where not everything is his to get. For one who is away nobody can say yet what
    /// that will be: what waits for him is looked at when it is sent.
    reader: RwLock<Option<Arc<Client>>>,
    /// There is one, to be asked without the lock.
    is_filtered: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Counts connections; the one with the newest number owns the session.
    pub(crate) epoch: u64,
    /// Ends the owner's connection.
    pub(crate) owner: Option<oneshot::Sender<DisconnectReasonCode>>,
    /// How long the session outlives its connection; zero: not at all.
    pub(crate) expiry: Duration,
    /// The store knows the session.
    pub(crate) is_kept: bool,
    /// Forgotten: nothing may be added any more.
    pub(crate) has_ended: bool,
    /// A last will that waits for its delay.
    pub(crate) will: Option<Will>,
    /// When the session is forgotten unless its client comes back, ms UTC.
    pub(crate) ends_ms: Option<u64>,
    pub(crate) subscriptions: HashMap<Box<str>, Wish>,
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    /// Of QoS 0 in the queue: what is dropped first.
    queued_lossy: usize,
    in_flight: VecDeque<Queued>,
    /// Publishes of QoS 2 that are taken and not yet released by the client.
    pub(crate) received: HashSet<NonZeroU16>,
    next_number: u64,
}

/// A last will, to be published in the client's name.
#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) client: Arc<Client>,
    pub(crate) message: Message,
    /// When, ms UTC.
    pub(crate) due_ms: u64,
}

/// A message for one session: waiting for its turn, or sent and not acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) message: Arc<Message>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) ids: Vec<NonZeroU32>,
    /// The shared subscription that it came by, as the client wrote it.
    pub(crate) share: Option<Arc<str>>,
    /// Counts the session's messages. The packet id follows from it, so that a message keeps its id
    /// over a restart: a client tells a QoS 2 message that it has from a new one by nothing else.
    pub(crate) number: u64,
    pub(crate) stored: bool,
    /// The client may have it already.
    pub(crate) sent: bool,
    /// QoS 2: the client has it, and is told to forget the id.
    pub(crate) released: bool,
}

impl Queued {
    pub(crate) fn new(message: Arc<Message>, qos: QoS, retain: bool, ids: Vec<NonZeroU32>) -> Queued {
        Queued { message, qos, retain, ids, share: None, number: 0, stored: false, sent: false, released: false }
    }

    /// The packet id.
    pub(crate) fn id(&self) -> NonZeroU16 {
        let id = (self.number % u64::from(u16::MAX)) as u16;
        NonZeroU16::MIN.saturating_add(id)
    }

    /// What is left of a QoS 2 message that the client has.
    pub(crate) fn release(&mut self) {
        self.released = true;
        self.message = Arc::new(Message::new(self.message.topic.clone(), Bytes::new(), self.qos));
    }
}

/// What became of a message for one session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Queued,
    /// To be acknowledged when the store has this ticket.
    Stored(u64),
    /// Nobody waits for it, or there was no room, which is counted.
    Dropped,
    /// The session persists, and the store cannot take it.
    Refused,
}

impl Session {
    pub(crate) fn new(client_id: &str) -> Arc<Session> {
        Arc::new(Session {
            client_id: client_id.into(),
            state: Mutex::default(),
            wake: Notify::new(),
            drained: Notify::new(),
            stuck: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            reader: RwLock::default(),
            is_filtered: AtomicBool::new(false),
        })
    }

    /// Sets the client whom the host is asked about before anything is queued; none: nobody is asked.
    pub(crate) fn set_reader(&self, reader: Option<Arc<Client>>) {
        let is_filtered = reader.is_some();
        *self.reader.write() = reader;
        self.is_filtered.store(is_filtered, Ordering::Relaxed);
    }

    /// Whether a message on `topic` may be queued.
    pub(crate) fn may_queue(&self, host: &dyn Host, topic: &str) -> bool {
        if !self.is_filtered.load(Ordering::Relaxed) {
            return true;
        }
        let reader = self.reader.read().clone();
        reader.is_none_or(|client| host.may_receive(&client, topic))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
        self.drained.notify_waiters();
    }

    /// Queues a message. One that nobody waits for is dropped without a count; one that finds no room is
    /// counted.
    pub(crate) fn deliver(&self, mut queued: Queued, settings: &Settings, store: &Store) -> Delivery {
        let mut state = self.state.lock();
        let is_connected = self.is_connected();
        let is_lossy = queued.qos == QoS::AtMostOnce;
        let persists = !state.expiry.is_zero();
        if state.has_ended || (!is_connected && (is_lossy || !persists)) {
            return Delivery::Dropped;
        }
        if persists && !is_lossy && !store.can_take() {
            return Delivery::Refused;
        }
        if !state.make_room(queued.message.bytes(), settings) {
            metrics::counter!("drover_mqtt_dropped_total", "reason" => "queue_full").increment(1);
            return Delivery::Dropped;
        }
        let mut delivery = Delivery::Queued;
        if !is_lossy {
            queued.number = state.next_number;
            state.next_number += 1;
            queued.stored = persists;
            if persists {
                delivery = Delivery::Stored(store.keep_message(&self.client_id, &queued));
            }
        }
        if !is_connected {
            // It may wait long: what it was cut from must not wait with it.
            queued.message = Arc::new(queued.message.detached());
        }
        state.push(queued);
        drop(state);
        if is_connected {
            self.wake.notify_one();
        }
        delivery
    }

    /// A connected client is behind: whoever publishes to it should wait for [`Session::drained`].
    pub(crate) fn is_behind(&self) -> bool {
        self.is_connected() && !self.stuck.load(Ordering::Relaxed) && self.state.lock().queue.len() > BEHIND
    }

    /// Resolves when the client has caught up, left, or taken nothing for so long that it is given up.
    pub(crate) async fn drained(self: Arc<Session>) {
        let caught_up = async {
            loop {
                let told = self.drained.notified();
                if !self.is_behind() {
                    return;
                }
                told.await;
            }
        };
        if tokio::time::timeout(DRAIN_PATIENCE, caught_up).await.is_err() {
            self.stuck.store(true, Ordering::Relaxed);
        }
    }

    /// The client has taken messages.
    pub(crate) fn note_progress(&self, left: usize) {
        self.stuck.store(false, Ordering::Relaxed);
        if left <= BEHIND {
            self.drained.notify_waiters();
        }
    }

    /// Gives the session back what the store knew. `may_be_sent`: so many messages could have been under
    /// way when the broker ended.
    pub(crate) fn restore(&self, kept: Kept, may_be_sent: usize) {
        let mut state = self.state.lock();
        state.expiry = Duration::from_secs(kept.session.expiry_s);
        state.is_kept = true;
        state.received = kept.session.received.into_iter().filter_map(NonZeroU16::new).collect();
        for (n, mut queued) in kept.messages.into_iter().enumerate() {
            state.next_number = state.next_number.max(queued.number + 1);
            queued.sent |= n < may_be_sent;
            state.push(queued);
        }
    }
}

impl State {
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn push(&mut self, queued: Queued) {
        self.queue_bytes += queued.message.bytes();
        self.queued_lossy += usize::from(queued.qos == QoS::AtMostOnce);
        self.queue.push_back(queued);
    }

    /// Puts a message back among the others of its kind: the queue stays in the order of numbers.
    pub(crate) fn put_behind(&mut self, queued: Queued) {
        let at = self.queue.iter().position(|known| known.number > queued.number && known.qos != QoS::AtMostOnce);
        self.queue_bytes += queued.message.bytes();
        self.queued_lossy += usize::from(queued.qos == QoS::AtMostOnce);
        self.queue.insert(at.unwrap_or(self.queue.len()), queued);
    }

    pub(crate) fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.note_gone(&queued);
        Some(queued)
    }

    /// Puts a message back to the front.
    pub(crate) fn put_back(&mut self, queued: Queued) {
        self.queue_bytes += queued.message.bytes();
        self.queued_lossy += usize::from(queued.qos == QoS::AtMostOnce);
        self.queue.push_front(queued);
    }

    fn note_gone(&mut self, queued: &Queued) {
        self.queue_bytes -= queued.message.bytes();
        self.queued_lossy -= usize::from(queued.qos == QoS::AtMostOnce);
    }

    /// Whether so many more bytes may wait; the oldest messages of QoS 0 go for it, and are counted.
    fn make_room(&mut self, bytes: usize, settings: &Settings) -> bool {
        let fits = |state: &State| {
            state.queue.len() < settings.max_queued && state.queue_bytes + bytes <= settings.max_queued_bytes
        };
        while !fits(self) && self.queued_lossy > 0 {
            let oldest = self.queue.iter().position(|queued| queued.qos == QoS::AtMostOnce);
            let Some(gone) = oldest.and_then(|at| self.queue.remove(at)) else { break };
            self.note_gone(&gone);
            metrics::counter!("drover_mqtt_dropped_total", "reason" => "queue_full").increment(1);
        }
        fits(self)
    }

    /// Whether the message may go out now: the window has room and its id is free.
    pub(crate) fn may_send(&self, queued: &Queued, window: usize) -> bool {
        // Ids come in order, so that a clash needs a client that leaves one unanswered for 65,535 others.
        self.in_flight.len() < window && self.find(queued.id()).is_none()
    }

    pub(crate) fn note_sent(&mut self, mut queued: Queued) {
        queued.sent = true;
        self.in_flight.push_back(queued);
    }

    fn find(&self, id: NonZeroU16) -> Option<usize> {
        // Clients answer in order: it is nearly always the first.
        self.in_flight.iter().position(|queued| queued.id() == id)
    }

    /// Takes back what is under way: on the next connection it is sent again, first and in order.
    pub(crate) fn take_back(&mut self) {
        while let Some(queued) = self.in_flight.pop_back() {
            self.put_back(queued);
        }
    }

    /// Forgets a message that the client is done with.
    pub(crate) fn acknowledge(&mut self, id: NonZeroU16) -> Option<Queued> {
        self.find(id).and_then(|at| self.in_flight.remove(at))
    }

    /// The client has a QoS 2 message; gives what is left of it.
    pub(crate) fn release(&mut self, id: NonZeroU16) -> Option<Queued> {
        let at = self.find(id).filter(|at| self.in_flight[*at].qos == QoS::ExactlyOnce)?;
        self.in_flight[at].release();
        Some(self.in_flight[at].clone())
    }

    /// Takes out what came by shared subscriptions and may still go to another member: everything but
    /// QoS 2 that the client may have.
    pub(crate) fn take_shared(&mut self) -> Vec<Queued> {
        if self.queue.iter().all(|queued| queued.share.is_none()) {
            return Vec::new();
        }
        let is_free = |queued: &Queued| {
            queued.share.is_some() && !(queued.qos == QoS::ExactlyOnce && queued.sent) && !queued.released
        };
        let (taken, left): (Vec<_>, Vec<_>) = self.queue.drain(..).partition(is_free);
        self.queue = left.into();
        taken.iter().for_each(|queued| self.note_gone(queued));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(payload: &str, qos: QoS) -> Queued {
        Queued::new(Arc::new(Message::new("t", payload.to_owned(), qos)), qos, false, Vec::new())
    }

    fn connected() -> (Arc<Session>, Store, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        let session = Session::new("c");
        session.set_connected(true);
        (session, store, folder)
    }

    #[test]
    fn a_queue_has_a_bound_in_number_and_in_bytes() {
        let (session, store, _folder) = connected();
        let settings = Settings { max_queued: 2, max_queued_bytes: 100, ..Settings::default() };
        let deliver = |payload: &str| session.deliver(queued(payload, QoS::AtLeastOnce), &settings, &store);
        assert_eq!(deliver(&"x".repeat(200)), Delivery::Dropped);
        assert_eq!(deliver("1"), Delivery::Queued);
        assert_eq!(deliver("2"), Delivery::Queued);
        assert_eq!(deliver("3"), Delivery::Dropped);
        session.state.lock().pop().unwrap();
        assert_eq!(deliver("4"), Delivery::Queued);
    }

    #[test]
    fn the_oldest_of_qos_0_makes_room() {
        let (session, store, _folder) = connected();
        let settings = Settings { max_queued: 3, ..Settings::default() };
        for (payload, qos) in [("1", QoS::AtLeastOnce), ("2", QoS::AtMostOnce), ("3", QoS::AtMostOnce)] {
            assert_eq!(session.deliver(queued(payload, qos), &settings, &store), Delivery::Queued);
        }
        assert_eq!(session.deliver(queued("4", QoS::AtLeastOnce), &settings, &store), Delivery::Queued);
        let mut state = session.state.lock();
        let left: Vec<_> = std::iter::from_fn(|| state.pop()).map(|queued| queued.message.payload.clone()).collect();
        assert_eq!(left, ["1", "3", "4"]);
        assert_eq!((state.queue_bytes, state.queued_lossy), (0, 0));
    }

    #[test]
    fn an_id_follows_from_the_number_and_is_not_given_while_it_is_under_way() {
        let mut state = State::default();
        let first = Queued { number: 65_534, ..queued("1", QoS::AtLeastOnce) };
        assert_eq!(first.id().get(), 65_535);
        let next = Queued { number: 65_535, ..queued("2", QoS::AtLeastOnce) };
        assert_eq!(next.id().get(), 1, "zero is no id");
        state.note_sent(first.clone());
        assert!(state.may_send(&next, 2));
        assert!(!state.may_send(&next, 1), "the window is full");
        let round = Queued { number: 65_534 + 65_535, ..next };
        assert!(!state.may_send(&round, 2), "the id is under way");
        assert!(state.acknowledge(first.id()).is_some());
        assert!(state.acknowledge(first.id()).is_none());
        assert!(state.may_send(&round, 2));
    }

    #[test]
    fn what_is_under_way_comes_first_again_and_in_order() {
        let mut state = State::default();
        for number in 0..3 {
            state.note_sent(Queued { number, ..queued("x", QoS::ExactlyOnce) });
        }
        state.release(NonZeroU16::new(2).unwrap()).unwrap();
        state.push(Queued { number: 3, ..queued("x", QoS::AtLeastOnce) });
        state.take_back();
        let all: Vec<_> = std::iter::from_fn(|| state.pop()).map(|q| (q.number, q.sent, q.released)).collect();
        assert_eq!(all, [(0, true, false), (1, true, true), (2, true, false), (3, false, false)]);
    }

    #[test]
    fn only_what_the_client_cannot_have_goes_to_another_member() {
        let mut state = State::default();
        let shared =
            |payload: &str, qos, sent| Queued { share: Some("$share/g/t".into()), sent, ..queued(payload, qos) };
        state.push(shared("sent 1", QoS::AtLeastOnce, true));
        state.push(shared("sent 2", QoS::ExactlyOnce, true));
        state.push(shared("new 2", QoS::ExactlyOnce, false));
        state.push(queued("own", QoS::AtLeastOnce));
        let taken: Vec<_> = state.take_shared().into_iter().map(|queued| queued.message.payload.clone()).collect();
        assert_eq!(taken, ["sent 1", "new 2"]);
        assert_eq!(state.waiting(), 2);
    }
}
