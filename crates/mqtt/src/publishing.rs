//! Publishes of a client on their way: asked about, waited for, passed on, acknowledged or refused. An
//! acknowledgement that says yes is only ever written by `say_taken`, and only after everything that the
//! publish waited for came out well.

use crate::broker::{Routed, note_refused};
use crate::connection::{Connection, Stream};
use crate::host::{Protocol, Refusal, Verdict};
use crate::inbound::{Decided, Packet, Turn, UnderWay, Wait, not_stored};
use crate::message::Message;
use crate::parting::Ending;
use crate::topic::check_name;
use crate::wire::Wire;
use bytes::BytesMut;
use bytestring::ByteString;
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::DisconnectReasonCode as Reason;
use std::num::NonZeroU16;
use std::sync::Arc;

impl<S: Stream> Connection<S> {
    pub(crate) fn take_publish(&mut self, mut publish: Publish) -> Result<(), Ending> {
        let topic = self.topic(&mut publish)?;
        let (id, qos) = (publish.packet_id, publish.qos);
        self.broker.0.publishes[usize::from(qos.value())].increment(1);
        if qos == QoS::ExactlyOnce && self.is_repeated(&publish) {
            return Ok(());
        }
        if id.is_some() {
            self.check_receive_maximum()?;
        }
        let message = Message::from_publish(publish, topic);
        let mut under_way = UnderWay::new(id, qos);
        match self.broker.0.host.publish(&self.client, &message) {
            Verdict::Route => self.pass_on(&mut under_way, message),
            Verdict::Taken(promise) => {
                // Kept only where somebody might listen: reports are many, and hardly anybody does.
                let is_wanted = message.retain || self.broker.has_routes();
                under_way.message = is_wanted.then(|| Arc::new(message));
                under_way.wait = Wait::Host(promise);
            }
            Verdict::Refused(refusal) => under_way.refused = Some(refusal),
        }
        self.inbound.push(Turn::Publish(under_way));
        Ok(())
    }

    /// A QoS 2 publish that was sent again, because its answer was lost or is still to come: it was taken
    /// the first time. What waits will be answered; what was answered is answered again.
    fn is_repeated(&mut self, publish: &Publish) -> bool {
        let Some(id) = publish.packet_id else { return false };
        if publish.dup && self.inbound.has(id) {
            return true;
        }
        let is_known = self.session.state.lock().received.contains(&id);
        if is_known {
            let mut under_way = UnderWay::new(Some(id), QoS::ExactlyOnce);
            // The connection that took it may have ended before the disk had it.
            let ticket = self.broker.keep(&self.session);
            self.wait_for(&mut under_way, Routed::default(), ticket);
            self.inbound.push(Turn::Publish(under_way));
        }
        is_known
    }

    /// MQTT 5, 3.3.4: a client that sends more than it was allowed is at fault. Older versions know no
    /// such bound; there it is only about what the broker has to remember.
    fn check_receive_maximum(&self) -> Result<(), Ending> {
        let unreleased = self.session.state.lock().received.len();
        let unanswered = self.inbound.unanswered();
        let allowed = usize::from(self.broker.0.settings.max_under_way);
        let open = if self.wire.protocol() == Protocol::V5 { unreleased + unanswered } else { unreleased };
        if open < allowed {
            return Ok(());
        }
        let why = format!("{open} publishes are unanswered or unreleased; Receive Maximum is {allowed}");
        Err(Ending::Fault(Reason::ReceiveMaximumExceeded, why))
    }

    fn pass_on(&mut self, under_way: &mut UnderWay, message: Message) {
        match self.broker.route(&self.session.client_id, Arc::new(message)) {
            Ok(routed) => {
                under_way.is_for_nobody = routed.subscribers == 0;
                // Remembered together with what subscribers get: after a crash either both are known or
                // neither.
                let remembered = if routed.is_refused { None } else { self.remember(under_way) };
                self.wait_for(under_way, routed, remembered);
            }
            Err(refusal) => under_way.refused = Some(refusal),
        }
    }

    /// From here on the same id is the same message. Gives the ticket to wait for.
    fn remember(&mut self, under_way: &UnderWay) -> Option<u64> {
        let id = under_way.id.filter(|_| under_way.qos == QoS::ExactlyOnce)?;
        let is_new = self.session.state.lock().received.insert(id);
        if is_new { self.broker.keep(&self.session) } else { None }
    }

    fn wait_for(&self, under_way: &mut UnderWay, routed: Routed, remembered: Option<u64>) {
        let Routed { behind, ticket, is_refused, .. } = routed;
        if is_refused {
            under_way.refused = Some(not_stored());
        }
        let ticket = ticket.max(remembered);
        if ticket.is_none() && behind.is_none() {
            return;
        }
        let store = self.broker.0.store.clone();
        under_way.wait = Wait::Store(Box::pin(async move {
            if let Some(session) = behind {
                session.drained().await;
            }
            match ticket {
                Some(ticket) => store.durable(ticket).await,
                None => true,
            }
        }));
    }

    /// The topic of a publish, by name or by number.
    fn topic(&mut self, publish: &mut Publish) -> Result<ByteString, Ending> {
        let topic = std::mem::take(&mut publish.topic);
        let properties = publish.properties.as_ref();
        if properties.is_some_and(|properties| !properties.subscription_ids.is_empty()) {
            return Err(Ending::fault("a client does not send subscription identifiers"));
        }
        let alias = properties.and_then(|properties| properties.topic_alias);
        let settings = &self.broker.0.settings;
        let check =
            |topic: &str| check_name(topic, settings).map_err(|why| Ending::Fault(Reason::TopicNameInvalid, why));
        let Some(alias) = alias else {
            return check(&topic).map(|()| topic);
        };
        let allowed = settings.max_topic_aliases;
        let wrong = |why: String| Ending::Fault(Reason::TopicAliasInvalid, why);
        if alias.get() > allowed {
            return Err(wrong(format!("topic alias {alias}; allowed is 1 to {allowed}")));
        }
        if topic.is_empty() {
            let known = self.aliases.get(&alias).cloned();
            return known.ok_or_else(|| wrong(format!("topic alias {alias} has no topic yet")));
        }
        check(&topic)?;
        // The name must not keep a whole read buffer alive.
        self.aliases.insert(alias, ByteString::from(topic.to_string()));
        Ok(topic)
    }

    pub(crate) fn decide(&mut self, decided: Decided) -> Result<(), Ending> {
        match decided {
            Decided::Taken(under_way) => self.pass_on_taken(under_way),
            Decided::Done(under_way) => self.say_taken(&under_way),
            Decided::Refused(under_way, refusal) => return self.say_refused(&under_way, &refusal),
            Decided::Packet(packet) => self.send(packet),
            Decided::NotStored => return Err(Ending::Fault(Reason::QuotaExceeded, not_stored().reason)),
        }
        Ok(())
    }

    /// The node has it, and that is what the acknowledgement says: it waits for no subscriber that is
    /// slow, and a message that could not be passed on is no refusal.
    fn pass_on_taken(&mut self, mut under_way: UnderWay) {
        let routed = match under_way.message.take() {
            Some(message) => self.broker.route(&self.session.client_id, message),
            None => Ok(Routed::default()),
        };
        let routed = routed.unwrap_or_else(|refusal| {
            tracing::debug!(reason = %refusal.reason, "a message that the node took was not passed on");
            Routed::default()
        });
        let remembered = self.remember(&under_way);
        self.wait_for(&mut under_way, Routed { behind: None, is_refused: false, ..routed }, remembered);
        match under_way.wait {
            Wait::Nothing => self.say_taken(&under_way),
            _ => self.inbound.put_back(under_way),
        }
    }

    fn say_taken(&mut self, under_way: &UnderWay) {
        if let Some(id) = under_way.id {
            self.wire.taken(id, under_way.qos, under_way.is_for_nobody, &mut self.out);
        }
    }

    fn say_refused(&mut self, under_way: &UnderWay, refusal: &Refusal) -> Result<(), Ending> {
        note_refused(&self.client, refusal);
        let Some(id) = under_way.id else { return Ok(()) };
        if self.session.state.lock().received.remove(&id) {
            self.broker.keep(&self.session);
        }
        if self.wire.protocol() == Protocol::V3 {
            // There is no word for no, and a yes would be a lie.
            return Err(Ending::Fault(Reason::ImplementationSpecificError, refusal.reason.clone()));
        }
        self.wire.refused(id, under_way.qos, refusal.code, &refusal.reason, &mut self.out);
        Ok(())
    }

    /// PUBREL: the client sends the message no more, so that its id may be forgotten. The answer waits
    /// for that to be written: with an old id still on disk, a new message could look like a repeated one.
    pub(crate) fn take_release(&mut self, id: NonZeroU16) {
        let is_known = self.session.state.lock().received.remove(&id);
        let ticket = if is_known { self.broker.keep(&self.session) } else { None };
        self.send_when_kept(ticket, |wire, out| wire.complete(id, is_known, out));
    }

    /// PUBREC: the client has a message.
    pub(crate) fn take_received(&mut self, id: NonZeroU16) {
        let (is_known, ticket) = self.outbound.received(id);
        self.send_when_kept(ticket, |wire, out| wire.release(id, is_known, out));
    }

    fn send_when_kept(&mut self, ticket: Option<u64>, packet: impl FnOnce(&mut Wire, &mut BytesMut)) {
        let Some(ticket) = ticket else { return packet(&mut self.wire, &mut self.out) };
        let mut bytes = BytesMut::new();
        packet(&mut self.wire, &mut bytes);
        self.push_packet(bytes, Some(ticket), Vec::new());
    }

    /// Puts a packet in line; it goes when the store has the ticket.
    pub(crate) fn push_packet(
        &mut self,
        bytes: BytesMut,
        ticket: Option<u64>,
        hand_over: Vec<(ByteString, crate::routes::Wish)>,
    ) {
        let store = self.broker.0.store.clone();
        let wait = match ticket {
            Some(ticket) => Wait::Store(Box::pin(async move { store.durable(ticket).await })),
            None => Wait::Nothing,
        };
        self.inbound.push(Turn::Packet(Packet { bytes: bytes.freeze(), wait, hand_over }));
    }

    fn send(&mut self, packet: Packet) {
        self.out.extend_from_slice(&packet.bytes);
        for (filter, wish) in packet.hand_over {
            self.outbound.hand_over(&filter, wish);
        }
    }
}
