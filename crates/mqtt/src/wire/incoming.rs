//! What clients send, as the rest of the broker sees it: one set of packets for both families.

use rmqtt_codec::error::DecodeError;
use rmqtt_codec::types::Publish;
use rmqtt_codec::v5::{
    Connect, Disconnect, DisconnectReasonCode, LastWill, RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe,
};
use rmqtt_codec::{v3, v5};
use std::num::NonZeroU16;

/// What a client sends after it has connected.
#[derive(Debug)]
pub(crate) enum Incoming {
    Connect(Box<Connect>),
    Publish(Box<Publish>),
    /// PUBACK; refused or not makes no difference to the sender.
    Acknowledged(NonZeroU16),
    /// PUBREC.
    Received {
        id: NonZeroU16,
        refused: bool,
    },
    /// PUBREL.
    Released(NonZeroU16),
    /// PUBCOMP.
    Completed(NonZeroU16),
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    Ping,
    Disconnect {
        send_will: bool,
        session_expiry_s: Option<u32>,
    },
    /// Something that only a broker may send, or authentication that nobody offered.
    Unexpected,
}

pub(super) fn from_v3(packet: v3::Packet) -> Result<Incoming, DecodeError> {
    Ok(match packet {
        v3::Packet::Connect(connect) => Incoming::Connect(Box::new(connect_from_v3(*connect))),
        v3::Packet::Publish(publish) => Incoming::Publish(publish),
        v3::Packet::PublishAck { packet_id } => Incoming::Acknowledged(packet_id),
        v3::Packet::PublishReceived { packet_id } => Incoming::Received { id: packet_id, refused: false },
        v3::Packet::PublishRelease { packet_id } => Incoming::Released(packet_id),
        v3::Packet::PublishComplete { packet_id } => Incoming::Completed(packet_id),
        v3::Packet::Subscribe { packet_id, topic_filters } => {
            let options = |qos| SubscriptionOptions {
                qos,
                no_local: false,
                retain_as_published: false,
                retain_handling: RetainHandling::AtSubscribe,
            };
            let topic_filters = topic_filters.into_iter().map(|(filter, qos)| (filter, options(qos))).collect();
            Incoming::Subscribe(Subscribe { packet_id, id: None, user_properties: Vec::new(), topic_filters })
        }
        v3::Packet::Unsubscribe { packet_id, topic_filters } => {
            Incoming::Unsubscribe(Unsubscribe { packet_id, user_properties: Vec::new(), topic_filters })
        }
        v3::Packet::PingRequest => Incoming::Ping,
        v3::Packet::Disconnect => Incoming::Disconnect { send_will: false, session_expiry_s: None },
        _ => Incoming::Unexpected,
    })
}

/// A session of the older versions lives until it is cleaned, as far as the broker allows.
fn connect_from_v3(connect: v3::Connect) -> Connect {
    let will = connect.last_will.map(|will| LastWill {
        qos: will.qos,
        retain: will.retain,
        topic: will.topic,
        message: will.message,
        will_delay_interval_sec: None,
        correlation_data: None,
        message_expiry_interval: None,
        content_type: None,
        user_properties: Vec::new(),
        is_utf8_payload: None,
        response_topic: None,
    });
    Connect {
        clean_start: connect.clean_session,
        keep_alive: connect.keep_alive,
        session_expiry_interval_secs: if connect.clean_session { 0 } else { u32::MAX },
        last_will: will,
        client_id: connect.client_id,
        username: connect.username,
        password: connect.password,
        ..Connect::default()
    }
}

pub(super) fn from_v5(packet: v5::Packet) -> Result<Incoming, DecodeError> {
    Ok(match packet {
        v5::Packet::Connect(connect) => Incoming::Connect(connect),
        v5::Packet::Publish(publish) => Incoming::Publish(publish),
        v5::Packet::PublishAck(ack) => Incoming::Acknowledged(ack.packet_id),
        v5::Packet::PublishReceived(ack) => {
            Incoming::Received { id: ack.packet_id, refused: u8::from(ack.reason_code) >= 0x80 }
        }
        v5::Packet::PublishRelease(ack) => Incoming::Released(ack.packet_id),
        v5::Packet::PublishComplete(ack) => Incoming::Completed(ack.packet_id),
        v5::Packet::Subscribe(subscribe) => Incoming::Subscribe(subscribe),
        v5::Packet::Unsubscribe(unsubscribe) => Incoming::Unsubscribe(unsubscribe),
        v5::Packet::PingRequest => Incoming::Ping,
        v5::Packet::Disconnect(Disconnect { reason_code, session_expiry_interval_secs, .. }) => Incoming::Disconnect {
            send_will: reason_code == DisconnectReasonCode::DisconnectWithWillMessage,
            session_expiry_s: session_expiry_interval_secs,
        },
        _ => Incoming::Unexpected,
    })
}
