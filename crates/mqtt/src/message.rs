//! A message on its way through the broker.

use bytes::Bytes;
use bytestring::ByteString;
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::PublishProperties;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Topic, payload, and what MQTT 5 adds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// Where to.
    pub topic: ByteString,
    /// What.
    pub payload: Bytes,
    /// As it was published.
    pub qos: QoS,
    /// As it was published.
    pub retain: bool,
    pub(crate) properties: Option<Box<PublishProperties>>,
    /// When it is no longer worth delivering, ms UTC.
    pub(crate) expires_ms: Option<u64>,
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}

impl Message {
    /// A message of the node itself.
    pub fn new(topic: impl Into<ByteString>, payload: impl Into<Bytes>, qos: QoS) -> Message {
        Message { topic: topic.into(), payload: payload.into(), qos, retain: false, properties: None, expires_ms: None }
    }

    /// The same, to be retained or handed over as retained.
    pub fn retained(mut self) -> Message {
        self.retain = true;
        self
    }

    /// What a client published. `topic` is the whole one where the packet had only an alias.
    pub(crate) fn from_publish(publish: Publish, topic: ByteString) -> Message {
        let properties = publish.properties.filter(|properties| *properties != PublishProperties::default());
        let expiry = properties.as_ref().and_then(|properties| properties.message_expiry_interval);
        Message {
            topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: properties.map(|mut properties| {
                properties.topic_alias = None;
                properties.subscription_ids.clear();
                Box::new(properties)
            }),
            expires_ms: expiry.map(|seconds| now_ms() + u64::from(seconds.get()) * 1000),
        }
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expires_ms.is_some_and(|at| at <= now_ms())
    }

    /// A copy that keeps no larger buffer alive, for messages that stay.
    pub(crate) fn detached(&self) -> Message {
        let topic = ByteString::from(self.topic.to_string());
        Message { topic, payload: Bytes::copy_from_slice(&self.payload), ..self.clone() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}
