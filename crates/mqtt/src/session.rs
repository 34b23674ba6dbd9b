//! A session: what the broker remembers of a client between its connections. The connection that owns
//! it sends from its queue; everybody else only adds to the queue and wakes the owner.

use crate::message::Message;
use crate::routes::Wish;
use crate::settings::Settings;
use crate::store::{Kept, Store};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
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
const BEHIND: usize = 1_000;
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
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Counts connections; the one with the newest number owns the session.
    pub(crate) epoch: u64,
    /// Ends the owner's connection.
    pub(crate) owner: Option<oneshot::Sender<DisconnectReasonCode>>,
    /// How long the session outlives its connection; zero: not at all.
    pub(crate) expiry: Duration,
    pub(crate) subscriptions: HashMap<Box<str>, Wish>,
    pub(crate) queue: VecDeque<Queued>,
    queue_bytes: usize,
    pub(crate) in_flight: VecDeque<InFlight>,
    last_id: u16,
    /// Publishes of QoS 2 that are taken and not yet released by the client.
    pub(crate) received: HashSet<NonZeroU16>,
    next_stored: u64,
}

/// A message that waits for its turn.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) message: Arc<Message>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) ids: Vec<NonZeroU32>,
    /// Its number in the store, where it must outlive the broker.
    pub(crate) stored: Option<u64>,
}

/// A message that the client has not acknowledged.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) id: NonZeroU16,
    pub(crate) queued: Queued,
    /// QoS 2: the client has it, and is told to forget the id.
    pub(crate) released: bool,
}

/// What became of a message for one session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Queued,
    /// To be acknowledged when the store has this ticket.
    Stored(u64),
    Dropped,
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
        })
    }

    #[cfg(test)]
    pub(crate) fn for_tests(client_id: &str) -> Arc<Session> {
        Session::new(client_id)
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
        let persistent = !state.expiry.is_zero();
        if !is_connected && (queued.qos == QoS::AtMostOnce || !persistent) {
            return Delivery::Dropped;
        }
        let bytes = queued.message.bytes();
        if state.queue.len() >= settings.max_queued || state.queue_bytes + bytes > settings.max_queued_bytes {
            metrics::counter!("drover_mqtt_dropped_total", "reason" => "queue_full").increment(1);
            return Delivery::Dropped;
        }
        let mut delivery = Delivery::Queued;
        if persistent && queued.qos != QoS::AtMostOnce {
            let number = state.next_stored;
            state.next_stored += 1;
            queued.stored = Some(number);
            delivery = Delivery::Stored(store.keep_message(&self.client_id, number, &queued));
        }
        if !is_connected {
            // It may wait long: what it was cut from must not wait with it.
            queued.message = Arc::new(queued.message.detached());
        }
        state.queue_bytes += bytes;
        state.queue.push_back(queued);
        drop(state);
        if is_connected {
            self.wake.notify_one();
        }
        delivery
    }

    /// A connected client is behind: whoever publishes to it should wait for [`Session::drained`].
    pub(crate) fn is_behind(&self) -> bool {
        self.is_connected()
            && !self.stuck.load(Ordering::Relaxed)
            && self.state.lock().queue.len() > BEHIND
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

    /// Gives the session back what the store knew.
    pub(crate) fn restore(&self, kept: Kept) {
        let mut state = self.state.lock();
        state.expiry = Duration::from_secs(kept.session.expiry_s);
        state.received = kept.session.received.into_iter().filter_map(NonZeroU16::new).collect();
        for (number, queued) in kept.messages {
            state.next_stored = state.next_stored.max(number + 1);
            state.queue_bytes += queued.message.bytes();
            state.queue.push_back(queued);
        }
    }
}

impl State {
    pub(crate) fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queue_bytes -= queued.message.bytes();
        Some(queued)
    }

    /// Puts a message back to the front.
    pub(crate) fn put_back(&mut self, queued: Queued) {
        self.queue_bytes += queued.message.bytes();
        self.queue.push_front(queued);
    }

    /// An id that no message under way has. There are always fewer of those than ids.
    pub(crate) fn next_id(&mut self) -> NonZeroU16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            let id = NonZeroU16::new(self.last_id).expect("never zero");
            if !self.in_flight.iter().any(|in_flight| in_flight.id == id) {
                return id;
            }
        }
    }

    /// Forgets a message that the client has; gives its number in the store.
    pub(crate) fn acknowledge(&mut self, id: NonZeroU16) -> Option<Option<u64>> {
        let at = self.in_flight.iter().position(|in_flight| in_flight.id == id)?;
        self.in_flight.remove(at).map(|in_flight| in_flight.queued.stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(payload: &str, qos: QoS) -> Queued {
        let message = Arc::new(Message::new("t", payload.to_owned(), qos));
        Queued { message, qos, retain: false, ids: Vec::new(), stored: None }
    }

    #[test]
    fn a_queue_has_a_bound_in_number_and_in_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        let settings = Settings { max_queued: 2, max_queued_bytes: 100, ..Settings::default() };
        let session = Session::new("c");
        session.set_connected(true);
        let deliver = |payload: &str| session.deliver(queued(payload, QoS::AtLeastOnce), &settings, &store);
        assert_eq!(deliver(&"x".repeat(200)), Delivery::Dropped);
        assert_eq!(deliver("1"), Delivery::Queued);
        assert_eq!(deliver("2"), Delivery::Queued);
        assert_eq!(deliver("3"), Delivery::Dropped);
        session.state.lock().pop().unwrap();
        assert_eq!(deliver("4"), Delivery::Queued);
    }

    #[test]
    fn ids_under_way_are_not_given_again() {
        let mut state = State { last_id: u16::MAX - 1, ..State::default() };
        let first = state.next_id();
        state.in_flight.push_back(InFlight { id: first, queued: queued("1", QoS::AtLeastOnce), released: false });
        state.last_id = first.get() - 1;
        assert_eq!(state.next_id().get(), 1, "the id under way is passed over, and zero is none");
        assert_eq!(state.acknowledge(first), Some(None));
        assert_eq!(state.acknowledge(first), None);
    }
}
