//! Bytes to packets and back, for both families of the protocol: the rest of the broker sees one set
//! of packets. The format itself is the codec library's business.

use crate::host::Protocol;
use crate::message::Message;
use bytes::{BufMut, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::error::{DecodeError, EncodeError};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::{
    Connect, ConnectAck, ConnectAckReason, Disconnect, DisconnectReasonCode, LastWill, PublishAck, PublishAck2,
    PublishAck2Reason, PublishAckReason, PublishProperties, RetainHandling, Subscribe, SubscribeAck,
    SubscribeAckReason, SubscriptionOptions, ToReasonCode, Unsubscribe, UnsubscribeAck, UnsubscribeAckReason,
};
use rmqtt_codec::version::{ProtocolVersion, VersionCodec};
use rmqtt_codec::{v3, v5};
use std::num::{NonZeroU16, NonZeroU32};
use tokio_util::codec::{Decoder, Encoder};

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

/// The first packet of an MQTT connection may not be longer, so that nobody holds buffers before it is
/// known who it is.
const CONNECT_MAX_BYTES: u32 = 64 * 1024;

/// Encodes and decodes for one connection.
#[derive(Debug)]
pub(crate) enum Wire {
    V3(v3::Codec),
    V5(v5::Codec),
}

/// Finds out the version from the first bytes; `None`: not enough of them yet.
pub(crate) fn greet(buffer: &mut BytesMut) -> Result<Option<Wire>, DecodeError> {
    if buffer.len() > CONNECT_MAX_BYTES as usize + 5 {
        return Err(DecodeError::MaxSizeExceeded { size: buffer.len() as u32, max: CONNECT_MAX_BYTES });
    }
    Ok(VersionCodec.decode(buffer)?.map(|version| match version {
        ProtocolVersion::MQTT3 => Wire::V3(v3::Codec::new(CONNECT_MAX_BYTES)),
        ProtocolVersion::MQTT5 => Wire::V5(v5::Codec::new(CONNECT_MAX_BYTES, 0)),
    }))
}

/// The codec takes an empty client id without a clean start for a mistake, as 3.1.1 does. MQTT 5 allows
/// it: the broker makes an id up, and with a new id there is nothing to resume. So the flag is set, and
/// the packet read again.
fn with_clean_start(packet: &[u8]) -> Option<BytesMut> {
    const FLAGS_AFTER_HEADER: usize = 7;
    let header = 1 + packet.iter().skip(1).position(|byte| byte & 0x80 == 0)? + 1;
    let mut packet = BytesMut::from(packet);
    *packet.get_mut(header + FLAGS_AFTER_HEADER)? |= 0x02;
    Some(packet)
}

impl Wire {
    /// The first packet.
    pub(crate) fn decode_first(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, DecodeError> {
        let copy = buffer.clone();
        match self.decode(buffer) {
            Err(DecodeError::InvalidClientId) if matches!(self, Wire::V5(_)) => {
                *self = Wire::V5(v5::Codec::new(CONNECT_MAX_BYTES, 0));
                *buffer = with_clean_start(&copy).ok_or(DecodeError::InvalidClientId)?;
                self.decode(buffer)
            }
            decoded => decoded,
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Wire::V3(_) => Protocol::V3,
            Wire::V5(_) => Protocol::V5,
        }
    }

    /// After CONNECT: larger packets are allowed, and the client's own limit is known.
    pub(crate) fn set_limits(&mut self, inbound: u32, outbound: Option<NonZeroU32>) {
        match self {
            Wire::V3(codec) => codec.set_max_size(inbound),
            Wire::V5(codec) => {
                codec.set_max_inbound_size(inbound);
                codec.set_max_outbound_size(outbound.map_or(0, NonZeroU32::get));
            }
        }
    }

    /// The next whole packet of the buffer.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, DecodeError> {
        let packet = match self {
            Wire::V3(codec) => codec.decode(buffer)?.map(|(packet, _)| from_v3(packet)),
            Wire::V5(codec) => codec.decode(buffer)?.map(|(packet, _)| from_v5(packet)),
        };
        packet.transpose()
    }

    /// CONNACK.
    pub(crate) fn connected(&mut self, answer: ConnectAck, out: &mut BytesMut) -> Result<(), EncodeError> {
        match self {
            Wire::V3(codec) => {
                let return_code = v3_connect_code(answer.reason_code);
                let session_present = answer.session_present;
                codec.encode(v3::Packet::ConnectAck(v3::ConnectAck { return_code, session_present }), out)
            }
            Wire::V5(codec) => codec.encode(v5::Packet::ConnectAck(Box::new(answer)), out),
        }
    }

    /// PUBLISH to the client.
    pub(crate) fn publish(&mut self, outgoing: &Outgoing<'_>, out: &mut BytesMut) -> Result<(), EncodeError> {
        let Outgoing { message, qos, retain, dup, id, subscription_ids, alias, topic_known } = outgoing;
        let is_v5 = matches!(self, Wire::V5(_));
        let properties = is_v5.then(|| properties(message, subscription_ids, *alias));
        let publish = Publish {
            dup: *dup,
            retain: *retain,
            qos: *qos,
            topic: if *topic_known { ByteString::new() } else { message.topic.clone() },
            packet_id: *id,
            payload: message.payload.clone(),
            properties,
        };
        match self {
            Wire::V3(codec) => codec.encode(v3::Packet::Publish(Box::new(publish)), out),
            Wire::V5(codec) => codec.encode(v5::Packet::Publish(Box::new(publish)), out),
        }
    }

    /// PUBACK or PUBREC that says yes.
    pub(crate) fn taken(&mut self, id: NonZeroU16, qos: QoS, nobody: bool, out: &mut BytesMut) {
        let first = if qos == QoS::ExactlyOnce { 0x50 } else { 0x40 };
        let [high, low] = id.get().to_be_bytes();
        // MQTT 5 tells a sender that nobody listens; without it both versions have the same four bytes.
        if nobody && matches!(self, Wire::V5(_)) {
            out.put_slice(&[first, 3, high, low, 0x10]);
        } else {
            out.put_slice(&[first, 2, high, low]);
        }
    }

    /// PUBACK or PUBREC that says no. Only MQTT 5 can.
    pub(crate) fn refused(&mut self, id: NonZeroU16, qos: QoS, code: u8, reason: &str, out: &mut BytesMut) {
        let Wire::V5(codec) = self else { unreachable!("older versions hang up instead") };
        let reason_code = PublishAckReason::try_from(code).unwrap_or(PublishAckReason::UnspecifiedError);
        let reason_string = Some(ByteString::from(shortened(reason)));
        let ack = PublishAck { packet_id: id, reason_code, properties: Vec::new(), reason_string };
        let packet = if qos == QoS::ExactlyOnce {
            v5::Packet::PublishReceived(ack)
        } else {
            v5::Packet::PublishAck(ack)
        };
        // The only failure is a client's limit that even this does not fit; it gets no answer then.
        if let Err(error) = codec.encode(packet, out) {
            tracing::debug!(%error, "a refusal does not fit the client's limit");
        }
    }

    /// PUBREL.
    pub(crate) fn release(&mut self, id: NonZeroU16, out: &mut BytesMut) {
        let [high, low] = id.get().to_be_bytes();
        out.put_slice(&[0x62, 2, high, low]);
    }

    /// PUBCOMP.
    pub(crate) fn complete(&mut self, id: NonZeroU16, known: bool, out: &mut BytesMut) {
        let [high, low] = id.get().to_be_bytes();
        match self {
            Wire::V5(codec) if !known => {
                let reason_code = PublishAck2Reason::PacketIdNotFound;
                let ack = PublishAck2 { packet_id: id, reason_code, ..PublishAck2::default() };
                if codec.encode(v5::Packet::PublishComplete(ack), out).is_err() {
                    out.put_slice(&[0x70, 2, high, low]);
                }
            }
            _ => out.put_slice(&[0x70, 2, high, low]),
        }
    }

    /// SUBACK.
    pub(crate) fn subscribed(
        &mut self,
        id: NonZeroU16,
        status: Vec<SubscribeAckReason>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        match self {
            Wire::V3(codec) => {
                let status = status.into_iter().map(v3_subscribe_code).collect();
                codec.encode(v3::Packet::SubscribeAck { packet_id: id, status }, out)
            }
            Wire::V5(codec) => {
                let ack = SubscribeAck { packet_id: id, properties: Vec::new(), reason_string: None, status };
                codec.encode(v5::Packet::SubscribeAck(ack), out)
            }
        }
    }

    /// UNSUBACK.
    pub(crate) fn unsubscribed(
        &mut self,
        id: NonZeroU16,
        status: Vec<UnsubscribeAckReason>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        match self {
            Wire::V3(codec) => codec.encode(v3::Packet::UnsubscribeAck { packet_id: id }, out),
            Wire::V5(codec) => {
                let ack = UnsubscribeAck { packet_id: id, properties: Vec::new(), reason_string: None, status };
                codec.encode(v5::Packet::UnsubscribeAck(ack), out)
            }
        }
    }

    /// PINGRESP.
    pub(crate) fn pong(out: &mut BytesMut) {
        out.put_slice(&[0xD0, 0]);
    }

    /// DISCONNECT with a reason. Older versions just lose the connection.
    pub(crate) fn goodbye(&mut self, code: DisconnectReasonCode, reason: &str, out: &mut BytesMut) {
        if let Wire::V5(codec) = self {
            let reason_string = (!reason.is_empty()).then(|| ByteString::from(shortened(reason)));
            let packet = Disconnect { reason_string, ..Disconnect::new(code) };
            if let Err(error) = codec.encode(v5::Packet::Disconnect(packet), out) {
                tracing::debug!(%error, "a goodbye does not fit the client's limit");
            }
        }
    }
}

/// A message as one client gets it.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) message: &'a Message,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) id: Option<NonZeroU16>,
    pub(crate) subscription_ids: &'a [NonZeroU32],
    pub(crate) alias: Option<NonZeroU16>,
    /// The client knows the topic by its alias.
    pub(crate) topic_known: bool,
}

fn properties(message: &Message, subscription_ids: &[NonZeroU32], alias: Option<NonZeroU16>) -> PublishProperties {
    let mut properties = message.properties.as_deref().cloned().unwrap_or_default();
    properties.topic_alias = alias;
    properties.subscription_ids = subscription_ids.to_vec();
    properties.message_expiry_interval = message.expires_ms.and_then(|at| {
        let left_s = at.saturating_sub(crate::message::now_ms()).div_ceil(1000);
        NonZeroU32::new(u32::try_from(left_s).unwrap_or(u32::MAX).max(1))
    });
    properties
}

/// Reason strings are for people; a long one would not fit small clients.
fn shortened(reason: &str) -> String {
    reason.chars().take(256).collect()
}

/// The MQTT 5 reason of a connection that ends because of what it sent.
pub(crate) fn reason_of(error: &DecodeError) -> DisconnectReasonCode {
    match error {
        DecodeError::Utf8Error | DecodeError::UnsupportedPacketType => DisconnectReasonCode::MalformedPacket,
        other => other.to_reason_code(),
    }
}

fn v3_connect_code(code: ConnectAckReason) -> v3::ConnectAckReason {
    match code {
        ConnectAckReason::Success => v3::ConnectAckReason::ConnectionAccepted,
        ConnectAckReason::UnsupportedProtocolVersion => v3::ConnectAckReason::UnacceptableProtocolVersion,
        ConnectAckReason::ClientIdentifierNotValid => v3::ConnectAckReason::IdentifierRejected,
        ConnectAckReason::BadUserNameOrPassword => v3::ConnectAckReason::BadUserNameOrPassword,
        ConnectAckReason::NotAuthorized | ConnectAckReason::Banned | ConnectAckReason::TopicNameInvalid => {
            v3::ConnectAckReason::NotAuthorized
        }
        _ => v3::ConnectAckReason::ServiceUnavailable,
    }
}

fn v3_subscribe_code(code: SubscribeAckReason) -> v3::SubscribeReturnCode {
    match code {
        SubscribeAckReason::GrantedQos0 => v3::SubscribeReturnCode::Success(QoS::AtMostOnce),
        SubscribeAckReason::GrantedQos1 => v3::SubscribeReturnCode::Success(QoS::AtLeastOnce),
        SubscribeAckReason::GrantedQos2 => v3::SubscribeReturnCode::Success(QoS::ExactlyOnce),
        _ => v3::SubscribeReturnCode::Failure,
    }
}

fn from_v3(packet: v3::Packet) -> Result<Incoming, DecodeError> {
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

fn from_v5(packet: v5::Packet) -> Result<Incoming, DecodeError> {
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
