//! From a session's queue to its client: packet ids, the window of unacknowledged messages, topic
//! aliases, and what a new subscription is handed over.

use crate::broker::Broker;
use crate::host::Client;
use crate::host::Protocol;
use crate::message::Message;
use crate::routes::Wish;
use crate::session::{Queued, Session, State};
use crate::wire::{Outgoing, Wire};
use bytes::BytesMut;
use bytestring::ByteString;
use hashbrown::HashMap;
use rmqtt_codec::types::QoS;
use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::sync::Arc;

/// So many bytes go to the socket at once; the rest waits in the queue.
pub(crate) const WRITE_BYTES: usize = 64 * 1024;
/// More is handed over to a new subscription when fewer than this wait.
const PAGE_BELOW: usize = 256;
/// Pages may hold nothing for the filter: other tasks get their turn after so many.
const PAGES_AT_ONCE: usize = 4;

/// What a new subscription still has to get.
struct HandOver {
    filter: Box<str>,
    wish: Wish,
    retained: std::vec::IntoIter<Arc<Message>>,
    /// The host's next page; none at its end.
    cursor: Option<u64>,
}

/// The sending half of one connection.
pub(crate) struct Outbound {
    client: Arc<Client>,
    session: Arc<Session>,
    broker: Broker,
    epoch: u64,
    /// The host is asked about each message.
    is_filtered: bool,
    /// Messages that the client takes unacknowledged.
    window: usize,
    /// Topics that the client knows by number (MQTT 5).
    aliases: HashMap<ByteString, NonZeroU16>,
    max_aliases: u16,
    hand_overs: VecDeque<HandOver>,
}

impl Outbound {
    pub(crate) fn new(
        broker: &Broker,
        client: Arc<Client>,
        session: Arc<Session>,
        epoch: u64,
        is_filtered: bool,
    ) -> Outbound {
        Outbound {
            client,
            session,
            broker: broker.clone(),
            epoch,
            is_filtered,
            window: broker.0.settings.max_in_flight.into(),
            aliases: HashMap::new(),
            max_aliases: broker.0.settings.max_topic_aliases,
            hand_overs: VecDeque::new(),
        }
    }

    /// The same within the client's own limits: unacknowledged messages and topic aliases.
    pub(crate) fn within(self, window: u16, max_aliases: u16) -> Outbound {
        Outbound { window: self.window.min(window.into()), max_aliases: self.max_aliases.min(max_aliases), ..self }
    }

    /// Whether a message on `topic` is the client's to get now.
    fn may_send(&self, topic: &str) -> bool {
        !self.is_filtered || self.broker.0.host.may_receive(&self.client, topic)
    }

    /// Hands over what is retained for a new subscription and what exists by nature, as fast as the
    /// client takes it.
    pub(crate) fn hand_over(&mut self, filter: &str, wish: Wish) {
        let retained = self.broker.retained(filter).into_iter();
        self.hand_overs.push_back(HandOver { filter: filter.into(), wish, retained, cursor: Some(0) });
    }

    fn queue(&self, message: Arc<Message>, wish: Wish) {
        let qos = message.qos.min(wish.qos);
        let queued = Queued::new(message, qos, true, wish.id.into_iter().collect());
        // Without room it is dropped and counted there.
        self.session.deliver(queued, &self.broker.0.settings, &self.broker.0.store);
    }

    fn next_page(&mut self) {
        let Some(mut hand_over) = self.hand_overs.pop_front() else { return };
        let wish = hand_over.wish;
        let mut page = hand_over.retained.by_ref().take(PAGE_BELOW).peekable();
        if page.peek().is_some() {
            page.filter(|message| self.may_send(&message.topic)).for_each(|message| self.queue(message, wish));
        } else if let Some(cursor) = hand_over.cursor {
            let host = &self.broker.0.host;
            let mut sink = |message| self.queue(Arc::new(message), wish);
            hand_over.cursor = host.retained(&self.client, &hand_over.filter, cursor, &mut sink);
        }
        if hand_over.retained.len() > 0 || hand_over.cursor.is_some() {
            self.hand_overs.push_front(hand_over);
        }
    }

    /// Takes from the queue what the client may get now. True when more waits.
    pub(crate) fn fill(&mut self, wire: &mut Wire, out: &mut BytesMut) -> bool {
        let session = self.session.clone();
        for _ in 0..PAGES_AT_ONCE {
            if self.hand_overs.is_empty() || session.state.lock().waiting() >= PAGE_BELOW {
                break;
            }
            self.next_page();
        }
        let mut state = session.state.lock();
        if state.epoch != self.epoch {
            // Another connection owns the session by now.
            return false;
        }
        let waited = state.waiting();
        let more = self.take_from(&mut state, wire, out);
        let left = state.waiting();
        drop(state);
        if left < waited {
            session.note_progress(left);
        }
        more || (!self.hand_overs.is_empty() && left < PAGE_BELOW)
    }

    fn take_from(&mut self, state: &mut State, wire: &mut Wire, out: &mut BytesMut) -> bool {
        while out.len() < WRITE_BYTES {
            let Some(mut queued) = state.pop() else { return false };
            if !queued.released && !self.may_send(&queued.message.topic) {
                metrics::counter!("drover_mqtt_dropped_total", "reason" => "out_of_sight").increment(1);
                if !(queued.qos == QoS::ExactlyOnce && queued.sent) {
                    self.forget(&queued);
                    continue;
                }
                // The client may have it, and would take another message with its id for the same: it shall forget it.
                queued.release();
            }
            if queued.qos == QoS::AtMostOnce {
                if !queued.message.is_expired() {
                    self.encode(&queued, None, wire, out);
                }
            } else if !state.may_send(&queued, self.window) {
                state.put_back(queued);
                return false;
            } else if queued.released {
                wire.release(queued.id(), true, out);
                state.note_sent(queued);
            } else if !queued.message.is_expired() && self.encode(&queued, Some(queued.id()), wire, out) {
                state.note_sent(queued);
            } else {
                self.forget(&queued);
            }
        }
        true
    }

    fn forget(&self, queued: &Queued) {
        if queued.stored {
            self.broker.0.store.forget_message(&self.session.client_id, queued.number);
        }
    }

    /// False where the message is larger than the client takes: then it counts as delivered
    /// (MQTT 5.0, 3.1.2.11.4).
    fn encode(&mut self, queued: &Queued, id: Option<NonZeroU16>, wire: &mut Wire, out: &mut BytesMut) -> bool {
        let (alias, topic_known) = self.alias(&queued.message.topic, wire.protocol());
        let Queued { message, qos, retain, ids, sent, .. } = queued;
        let outgoing =
            Outgoing { message, qos: *qos, retain: *retain, dup: *sent, id, subscription_ids: ids, alias, topic_known };
        let before = out.len();
        match wire.publish(&outgoing, out) {
            Ok(()) => true,
            Err(error) => {
                out.truncate(before);
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
        // The name must not keep a whole read buffer alive.
        self.aliases.extend(alias.map(|alias| (ByteString::from(topic.to_string()), alias)));
        (alias, false)
    }

    /// PUBACK, PUBCOMP, or a PUBREC that says no: the client is done with the message.
    pub(crate) fn acknowledged(&self, id: NonZeroU16) {
        let done = self.session.state.lock().acknowledge(id);
        if let Some(queued) = done {
            self.forget(&queued);
        }
    }

    /// PUBREC: the client has it. The id stays until PUBCOMP, the message need not. Gives whether the id
    /// is known, and the ticket to wait for before the client may be told to forget it: if the broker
    /// ended in between, it would send the message again, to a client that takes it for a new one.
    pub(crate) fn received(&self, id: NonZeroU16) -> (bool, Option<u64>) {
        let left = self.session.state.lock().release(id);
        let keep = |queued: &Queued| self.broker.0.store.keep_message(&self.session.client_id, queued);
        (left.is_some(), left.filter(|queued| queued.stored).as_ref().map(keep))
    }

    /// Messages wait, and none of them may go because the client acknowledges nothing.
    pub(crate) fn is_held_up(&self) -> bool {
        let state = self.session.state.lock();
        state.waiting() > crate::session::BEHIND && state.in_flight() >= self.window
    }
}
