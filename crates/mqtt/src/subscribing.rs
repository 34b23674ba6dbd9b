//! SUBSCRIBE and UNSUBSCRIBE: what is allowed, what is remembered, what is handed over. The answer waits
//! until a persistent session has it on disk.

use crate::connection::{Connection, Stream};
use crate::parting::Ending;
use crate::routes::Wish;
use crate::topic::{check_filter, split_shared};
use bytes::BytesMut;
use bytestring::ByteString;
use rmqtt_codec::types::QoS;
use rmqtt_codec::v5::{
    RetainHandling, Subscribe, SubscribeAckReason, SubscriptionOptions, Unsubscribe, UnsubscribeAckReason,
};
use std::num::NonZeroU32;

/// A subscription that was taken.
struct Taken {
    filter: ByteString,
    wish: Wish,
    /// What is retained shall be handed over.
    wants_retained: bool,
}

impl<S: Stream> Connection<S> {
    pub(crate) fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Ending> {
        let Subscribe { packet_id, id, topic_filters, .. } = subscribe;
        let outcomes: Vec<_> =
            topic_filters.into_iter().map(|(filter, options)| self.subscribe_one(filter, options, id)).collect();
        let code = |outcome: &Result<Taken, SubscribeAckReason>| match outcome {
            Ok(taken) => granted(taken.wish.qos),
            Err(code) => *code,
        };
        let mut answer = BytesMut::new();
        self.wire.subscribed(packet_id, outcomes.iter().map(code).collect(), &mut answer)?;
        let ticket = self.broker.keep(&self.session);
        let taken = outcomes.into_iter().flatten().filter(|taken| taken.wants_retained);
        self.push_packet(answer, ticket, taken.map(|taken| (taken.filter, taken.wish)).collect());
        Ok(())
    }

    fn subscribe_one(
        &mut self,
        filter: ByteString,
        options: SubscriptionOptions,
        id: Option<NonZeroU32>,
    ) -> Result<Taken, SubscribeAckReason> {
        let is_shared = self.check(&filter, &options)?;
        let SubscriptionOptions { qos, no_local, retain_as_published, retain_handling } = options;
        let wish = Wish { qos, no_local, retain_as_published, id };
        // It may stay for long: it must not keep the buffer that it came in.
        let filter = ByteString::from(filter.to_string());
        let is_new = self.broker.subscribe(&self.session, &filter, wish);
        self.broker.0.host.begins_to_hear(&self.client, plain(&filter));
        let wants_retained = !is_shared
            && match retain_handling {
                RetainHandling::AtSubscribe => true,
                RetainHandling::AtSubscribeNew => is_new,
                RetainHandling::NoAtSubscribe => false,
            };
        Ok(Taken { filter, wish, wants_retained })
    }

    /// Whether the subscription may be; gives whether it is a shared one.
    fn check(&self, filter: &ByteString, options: &SubscriptionOptions) -> Result<bool, SubscribeAckReason> {
        let settings = &self.broker.0.settings;
        let (group, plain) = split_shared(filter).map_err(|_| SubscribeAckReason::TopicFilterInvalid)?;
        check_filter(plain, settings).map_err(|_| SubscribeAckReason::TopicFilterInvalid)?;
        if group.is_some() && options.no_local {
            return Err(SubscribeAckReason::TopicFilterInvalid);
        }
        self.broker.0.host.may_subscribe(&self.client, plain).map_err(|refusal| {
            // A code that SUBACK does not know, or one that says yes, must not look granted.
            let known = SubscribeAckReason::try_from(refusal.code).ok().filter(|_| refusal.code >= 0x80);
            known.unwrap_or(SubscribeAckReason::NotAuthorized)
        })?;
        let state = self.session.state.lock();
        if state.subscriptions.len() >= settings.max_subscriptions && !state.subscriptions.contains_key(&**filter) {
            return Err(SubscribeAckReason::QuotaExceeded);
        }
        Ok(group.is_some())
    }

    pub(crate) fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Result<(), Ending> {
        let one = |filter: &ByteString| match self.broker.unsubscribe(&self.session, filter) {
            true => {
                self.broker.0.host.stops_hearing(&self.client, plain(filter));
                UnsubscribeAckReason::Success
            }
            false => UnsubscribeAckReason::NoSubscriptionExisted,
        };
        let status = unsubscribe.topic_filters.iter().map(one).collect();
        let mut answer = BytesMut::new();
        self.wire.unsubscribed(unsubscribe.packet_id, status, &mut answer)?;
        let ticket = self.broker.keep(&self.session);
        self.push_packet(answer, ticket, Vec::new());
        Ok(())
    }
}

/// A filter without the prefix of a shared subscription.
pub(crate) fn plain(filter: &str) -> &str {
    split_shared(filter).map_or(filter, |(_, plain)| plain)
}

/// What SUBACK says about a subscription that was taken.
fn granted(qos: QoS) -> SubscribeAckReason {
    match qos {
        QoS::AtMostOnce => SubscribeAckReason::GrantedQos0,
        QoS::AtLeastOnce => SubscribeAckReason::GrantedQos1,
        QoS::ExactlyOnce => SubscribeAckReason::GrantedQos2,
    }
}
