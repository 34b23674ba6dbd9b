//! From a session's queue to its client: packet ids, the window of unacknowledged messages, topic
//! aliases, and what a client that comes back gets again.

use crate::broker::Broker;
use crate::host::Protocol;
use crate::message::Message;
use crate::routes::Wish;
use crate::session::{InFlight, Queued, Session, State};
use crate::wire::{Outgoing, Wire};
use bytes::BytesMut;
use bytestring::ByteString;
use hashbrown::HashMap;
use rmqtt_codec::types::QoS;
use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::sync::Arc;

/// So many bytes go to the socket at once; the rest waits in the queue.
const WRITE_BYTES: usize = 64 * 1024;
/// A new page of messages that exist by nature is asked for when fewer than this wait.
const PAGE_BELOW: usize = 256;

/// The sending half of one connection.
pub(crate) struct Outbound {
    session: Arc<Session>,
    broker: Broker,
    /// Messages that the client takes unacknowledged.
    window: usize,
    /// Topics that the client knows by number (MQTT 5).
    aliases: HashMap<ByteString, NonZeroU16>,
    max_aliases: u16,
    /// Subscriptions whose present state is still being handed over.
    pages: VecDeque<(Box<str>, Wish, u64)>,
}

impl Outbound {
    pub(crate) fn new(session: Arc<Session>, broker: Broker, window: u16, max_aliases: u16) -> Outbound {
        let window = usize::from(window.min(broker.0.settings.max_in_flight));
        let max_aliases = max_aliases.min(broker.0.settings.max_topic_aliases);
        Outbound { session, broker, window, aliases: HashMap::new(), max_aliases, pages: VecDeque::new() }
    }

    /// Hands over what is retained for a new subscription, and begins with what exists by nature.
    pub(crate) fn hand_over(&mut self, filter: &str, wish: Wish) {
        for message in self.broker.retained(filter) {
            self.queue(message, wish);
        }
        self.pages.push_back((filter.into(), wish, 0));
    }

    fn queue(&self, message: Arc<Message>, wish: Wish) {
        let qos = message.qos.min(wish.qos);
        let queued = Queued { message, qos, retain: true, ids: wish.id.into_iter().collect(), stored: None };
        // Without room it is dropped and counted there.
        self.session.deliver(queued, &self.broker.0.settings, &self.broker.0.store);
    }

    fn next_page(&mut self) {
        let Some((filter, wish, cursor)) = self.pages.pop_front() else { return };
        let host = self.broker.0.host.clone();
        let next = host.retained(&filter, cursor, &mut |message| self.queue(Arc::new(message), wish));
        if let Some(next) = next {
            self.pages.push_front((filter, wish, next));
        }
    }

    /// Sends again what the client did not acknowledge on its last connection.
    pub(crate) fn resume(&mut self, wire: &mut Wire, out: &mut BytesMut) {
        let session = self.session.clone();
        let state = session.state.lock();
        for in_flight in &state.in_flight {
            if in_flight.released {
                wire.release(in_flight.id, out);
            } else {
                self.encode(&in_flight.queued, Some(in_flight.id), true, wire, out);
            }
        }
    }

    /// Takes from the queue what the client may get now. True when more waits.
    pub(crate) fn fill(&mut self, wire: &mut Wire, out: &mut BytesMut) -> bool {
        let session = self.session.clone();
        while !self.pages.is_empty() && session.state.lock().queue.len() < PAGE_BELOW {
            self.next_page();
        }
        let mut state = session.state.lock();
        let waited = state.queue.len();
        let more = self.take_from(&mut state, wire, out);
        let left = state.queue.len();
        drop(state);
        if left < waited {
            session.note_progress(left);
        }
        more
    }

    fn take_from(&mut self, state: &mut State, wire: &mut Wire, out: &mut BytesMut) -> bool {
        while out.len() < WRITE_BYTES {
            let Some(queued) = state.pop() else { return false };
            if queued.message.is_expired() {
                self.forget(&queued);
            } else if queued.qos == QoS::AtMostOnce {
                self.encode(&queued, None, false, wire, out);
            } else if state.in_flight.len() >= self.window {
                state.put_back(queued);
                return false;
            } else {
                let id = state.next_id();
                if self.encode(&queued, Some(id), false, wire, out) {
                    state.in_flight.push_back(InFlight { id, queued, released: false });
                } else {
                    self.forget(&queued);
                }
            }
        }
        true
    }

    fn forget(&self, queued: &Queued) {
        if let Some(number) = queued.stored {
            self.broker.0.store.forget_message(&self.session.client_id, number);
        }
    }

    /// False where the message is larger than the client takes: then it counts as delivered
    /// (MQTT 5.0, 3.1.2.11.4).
    fn encode(
        &mut self,
        queued: &Queued,
        id: Option<NonZeroU16>,
        dup: bool,
        wire: &mut Wire,
        out: &mut BytesMut,
    ) -> bool {
        let (alias, topic_known) = self.alias(&queued.message.topic, wire.protocol());
        let Queued { message, qos, retain, ids, .. } = queued;
        let outgoing =
            Outgoing { message, qos: *qos, retain: *retain, dup, id, subscription_ids: ids, alias, topic_known };
        match wire.publish(&outgoing, out) {
            Ok(()) => true,
            Err(error) => {
                if !topic_known && alias.is_some() {
                    self.aliases.remove(&message.topic);
                }
                metrics::counter!("drover_mqtt_dropped_total", "reason" => "too_large").increment(1);
                tracing::debug!(%error, client = %self.session.client_id, "a message does not fit the client's limit");
                false
            }
        }
    }

    /// The topic's alias, and whether the client knows it already.
    fn alias(&mut self, topic: &ByteString, protocol: Protocol) -> (Option<NonZeroU16>, bool) {
        if protocol == Protocol::V3 || self.max_aliases == 0 {
            return (None, false);
        }
        if let Some(alias) = self.aliases.get(topic) {
            return (Some(*alias), true);
        }
        if self.aliases.len() >= usize::from(self.max_aliases) {
            return (None, false);
        }
        let alias = NonZeroU16::new(self.aliases.len() as u16 + 1);
        self.aliases.extend(alias.map(|alias| (topic.clone(), alias)));
        (alias, false)
    }

    /// PUBACK, PUBCOMP, or a PUBREC that says no: the client is done with the message.
    pub(crate) fn acknowledged(&self, id: NonZeroU16) {
        let stored = self.session.state.lock().acknowledge(id);
        if let Some(Some(number)) = stored {
            self.broker.0.store.forget_message(&self.session.client_id, number);
        }
    }

    /// PUBREC: the client has it. The id stays until PUBCOMP, the message need not.
    pub(crate) fn received(&self, id: NonZeroU16, wire: &mut Wire, out: &mut BytesMut) {
        let mut state = self.session.state.lock();
        let known = state.in_flight.iter_mut().find(|in_flight| in_flight.id == id);
        let stored = known.and_then(|in_flight| {
            in_flight.released = true;
            in_flight.queued.stored.take()
        });
        drop(state);
        if let Some(number) = stored {
            self.broker.0.store.forget_message(&self.session.client_id, number);
        }
        wire.release(id, out);
    }
}
