//! Bytes to packets and back, for both families of the protocol: the rest of the broker sees one set
//! of packets. The format itself is the codec library's business.

mod incoming;

use crate::host::Protocol;
use crate::message::Message;
use bytes::{BufMut, BytesMut};
use bytestring::ByteString;
pub(crate) use incoming::Incoming;
use incoming::{from_v3, from_v5};
use rmqtt_codec::error::{DecodeError, EncodeError};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::{
    ConnectAck, ConnectAckReason, Disconnect, DisconnectReasonCode, PublishAck, PublishAckReason, PublishProperties,
    SubscribeAck, SubscribeAckReason, ToReasonCode, UnsubscribeAck, UnsubscribeAckReason,
};
use rmqtt_codec::version::{ProtocolVersion, VersionCodec};
use rmqtt_codec::{v3, v5};
use std::num::{NonZeroU16, NonZeroU32};
use tokio_util::codec::{Decoder, Encoder};

/// The first packet of an MQTT connection may not be longer, so that nobody holds buffers before it is
/// known who it is.
const CONNECT_MAX_BYTES: u32 = 64 * 1024;

/// Encodes and decodes for one connection.
#[derive(Debug)]
pub(crate) struct Wire {
    family: Family,
    max_inbound: u32,
    /// What the client takes; 0: anything.
    max_outbound: u32,
}

#[derive(Debug)]
enum Family {
    V3(v3::Codec),
    V5(v5::Codec),
}

/// Finds out the version from the first bytes; `None`: not enough of them yet.
pub(crate) fn greet(buffer: &mut BytesMut) -> Result<Option<Wire>, DecodeError> {
    if buffer.len() > CONNECT_MAX_BYTES as usize + 5 {
        return Err(DecodeError::MaxSizeExceeded { size: buffer.len() as u32, max: CONNECT_MAX_BYTES });
    }
    let family = |version| match version {
        ProtocolVersion::MQTT3 => Family::V3(v3::Codec::new(CONNECT_MAX_BYTES)),
        ProtocolVersion::MQTT5 => Family::V5(v5::Codec::new(CONNECT_MAX_BYTES, 0)),
    };
    let wire = |version| Wire { family: family(version), max_inbound: CONNECT_MAX_BYTES, max_outbound: 0 };
    Ok(VersionCodec.decode(buffer)?.map(wire))
}

/// Whether a packet is there as a whole. The codec would make room for what the first bytes promise; a
/// client has to send it first.
fn has_packet(buffer: &[u8], max: u32) -> Result<bool, DecodeError> {
    let mut size = 0;
    for (n, byte) in buffer.iter().skip(1).take(4).enumerate() {
        size |= u32::from(byte & 0x7F) << (7 * n);
        if byte & 0x80 == 0 {
            return match size > max {
                true => Err(DecodeError::MaxSizeExceeded { size, max }),
                false => Ok(buffer.len() >= 2 + n + size as usize),
            };
        }
    }
    if buffer.len() > 4 { Err(DecodeError::InvalidLength) } else { Ok(false) }
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
            Err(DecodeError::InvalidClientId) if self.is_v5() => {
                self.family = Family::V5(v5::Codec::new(CONNECT_MAX_BYTES, 0));
                *buffer = with_clean_start(&copy).ok_or(DecodeError::InvalidClientId)?;
                self.decode(buffer)
            }
            decoded => decoded,
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        if self.is_v5() { Protocol::V5 } else { Protocol::V3 }
    }

    fn is_v5(&self) -> bool {
        matches!(self.family, Family::V5(_))
    }

    /// After CONNECT: larger packets are allowed, and the client's own limit is known.
    pub(crate) fn set_limits(&mut self, inbound: u32, outbound: Option<NonZeroU32>) {
        self.max_inbound = inbound;
        self.max_outbound = outbound.map_or(0, NonZeroU32::get);
        match &mut self.family {
            Family::V3(codec) => codec.set_max_size(inbound),
            Family::V5(codec) => codec.set_max_inbound_size(inbound),
        }
    }

    /// Encodes for MQTT 5, within what the client takes: its limit counts the whole packet.
    fn encode_v5(&mut self, packet: v5::Packet, out: &mut BytesMut) -> Result<(), EncodeError> {
        let Family::V5(codec) = &mut self.family else { return Err(EncodeError::UnsupportedVersion) };
        let before = out.len();
        codec.encode(packet, out)?;
        let (size, max) = ((out.len() - before) as u32, self.max_outbound);
        if max != 0 && size > max {
            out.truncate(before);
            return Err(EncodeError::OverMaxPacketSize { size, max });
        }
        Ok(())
    }

    /// The next whole packet of the buffer.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, DecodeError> {
        if !has_packet(buffer, self.max_inbound)? {
            return Ok(None);
        }
        let packet = match &mut self.family {
            Family::V3(codec) => codec.decode(buffer)?.map(|(packet, _)| from_v3(packet)),
            Family::V5(codec) => codec.decode(buffer)?.map(|(packet, _)| from_v5(packet)),
        };
        packet.transpose()
    }

    /// CONNACK.
    pub(crate) fn connected(&mut self, answer: ConnectAck, out: &mut BytesMut) -> Result<(), EncodeError> {
        match &mut self.family {
            Family::V3(codec) => {
                let return_code = v3_connect_code(answer.reason_code);
                let session_present = answer.session_present;
                codec.encode(v3::Packet::ConnectAck(v3::ConnectAck { return_code, session_present }), out)
            }
            Family::V5(_) => self.encode_v5(v5::Packet::ConnectAck(Box::new(answer)), out),
        }
    }

    /// PUBLISH to the client.
    pub(crate) fn publish(&mut self, outgoing: &Outgoing<'_>, out: &mut BytesMut) -> Result<(), EncodeError> {
        let Outgoing { message, qos, retain, dup, id, subscription_ids, alias, topic_known } = outgoing;
        let properties = self.is_v5().then(|| properties(message, subscription_ids, *alias));
        let publish = Publish {
            dup: *dup,
            retain: *retain,
            qos: *qos,
            topic: if *topic_known { ByteString::new() } else { message.topic.clone() },
            packet_id: *id,
            payload: message.payload.clone(),
            properties,
        };
        match &mut self.family {
            Family::V3(codec) => codec.encode(v3::Packet::Publish(Box::new(publish)), out),
            Family::V5(_) => self.encode_v5(v5::Packet::Publish(Box::new(publish)), out),
        }
    }

    /// PUBACK or PUBREC that says yes.
    pub(crate) fn taken(&mut self, id: NonZeroU16, qos: QoS, nobody: bool, out: &mut BytesMut) {
        let first = if qos == QoS::ExactlyOnce { 0x50 } else { 0x40 };
        let [high, low] = id.get().to_be_bytes();
        // MQTT 5 tells a sender that nobody listens; without it both versions have the same four bytes.
        if nobody && self.is_v5() {
            out.put_slice(&[first, 3, high, low, 0x10]);
        } else {
            out.put_slice(&[first, 2, high, low]);
        }
    }

    /// PUBACK or PUBREC that says no. Only MQTT 5 can.
    pub(crate) fn refused(&mut self, id: NonZeroU16, qos: QoS, code: u8, reason: &str, out: &mut BytesMut) {
        debug_assert!(self.is_v5(), "older versions hang up instead");
        let reason_code = PublishAckReason::try_from(code).unwrap_or(PublishAckReason::UnspecifiedError);
        let code = u8::from(reason_code).max(u8::from(PublishAckReason::UnspecifiedError));
        let reason_string = Some(ByteString::from(shortened(reason)));
        let ack = PublishAck { packet_id: id, reason_code, properties: Vec::new(), reason_string };
        let is_exactly_once = qos == QoS::ExactlyOnce;
        let packet = if is_exactly_once { v5::Packet::PublishReceived(ack) } else { v5::Packet::PublishAck(ack) };
        let says_no = u8::from(reason_code) == code;
        if !says_no || self.encode_v5(packet, out).is_err() {
            // A client whose limit the sentence does not fit gets the code alone.
            let [high, low] = id.get().to_be_bytes();
            out.put_slice(&[if is_exactly_once { 0x50 } else { 0x40 }, 3, high, low, code]);
        }
    }

    /// PUBREL.
    pub(crate) fn release(&mut self, id: NonZeroU16, is_known: bool, out: &mut BytesMut) {
        self.settle(0x62, id, is_known, out);
    }

    /// PUBCOMP.
    pub(crate) fn complete(&mut self, id: NonZeroU16, is_known: bool, out: &mut BytesMut) {
        self.settle(0x70, id, is_known, out);
    }

    fn settle(&mut self, first: u8, id: NonZeroU16, is_known: bool, out: &mut BytesMut) {
        const NOT_FOUND: u8 = 0x92;
        let [high, low] = id.get().to_be_bytes();
        if is_known || !self.is_v5() {
            out.put_slice(&[first, 2, high, low]);
        } else {
            out.put_slice(&[first, 3, high, low, NOT_FOUND]);
        }
    }

    /// SUBACK.
    pub(crate) fn subscribed(
        &mut self,
        id: NonZeroU16,
        status: Vec<SubscribeAckReason>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        match &mut self.family {
            Family::V3(codec) => {
                let status = status.into_iter().map(v3_subscribe_code).collect();
                codec.encode(v3::Packet::SubscribeAck { packet_id: id, status }, out)
            }
            Family::V5(_) => {
                let ack = SubscribeAck { packet_id: id, properties: Vec::new(), reason_string: None, status };
                self.encode_v5(v5::Packet::SubscribeAck(ack), out)
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
        match &mut self.family {
            Family::V3(codec) => codec.encode(v3::Packet::UnsubscribeAck { packet_id: id }, out),
            Family::V5(_) => {
                let ack = UnsubscribeAck { packet_id: id, properties: Vec::new(), reason_string: None, status };
                self.encode_v5(v5::Packet::UnsubscribeAck(ack), out)
            }
        }
    }

    /// PINGRESP.
    pub(crate) fn pong(out: &mut BytesMut) {
        out.put_slice(&[0xD0, 0]);
    }

    /// DISCONNECT with a reason. Older versions just lose the connection.
    pub(crate) fn goodbye(&mut self, code: DisconnectReasonCode, reason: &str, out: &mut BytesMut) {
        if !self.is_v5() {
            return;
        }
        let reason_string = (!reason.is_empty()).then(|| ByteString::from(shortened(reason)));
        let packet = Disconnect { reason_string, ..Disconnect::new(code) };
        if self.encode_v5(v5::Packet::Disconnect(packet), out).is_err() {
            // A client whose limit the sentence does not fit gets the code alone.
            out.put_slice(&[0xE0, 1, code.into()]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rmqtt_codec::v5::{Connect, PublishAck2, UserProperties};

    /// Whatever comes: packets, not enough for one, or an error. Then the connection ends.
    fn read_all(bytes: &[u8], step: usize) -> usize {
        let mut buffer = BytesMut::new();
        let mut wire: Option<Wire> = None;
        let mut packets = 0;
        for part in bytes.chunks(step) {
            buffer.extend_from_slice(part);
            if wire.is_none() {
                match greet(&mut buffer) {
                    Ok(greeted) => wire = greeted,
                    Err(_) => return packets,
                }
            }
            let Some(wire) = &mut wire else { continue };
            loop {
                let first = packets == 0;
                match if first { wire.decode_first(&mut buffer) } else { wire.decode(&mut buffer) } {
                    Ok(Some(_)) => packets += 1,
                    Ok(None) => break,
                    Err(_) => return packets,
                }
            }
            assert!(buffer.capacity() <= 2 * CONNECT_MAX_BYTES as usize, "no room is made for what was only promised");
        }
        packets
    }

    /// A conversation that uses what the format has.
    fn conversation(is_v5: bool) -> BytesMut {
        let id = NonZeroU16::MIN;
        let user_properties: UserProperties = vec![("a".into(), "b".into())];
        let properties = PublishProperties {
            correlation_data: Some("x".into()),
            message_expiry_interval: NonZeroU32::new(9),
            user_properties: user_properties.clone(),
            ..PublishProperties::default()
        };
        let publish = Publish {
            dup: false,
            retain: true,
            qos: QoS::ExactlyOnce,
            topic: "a/b".into(),
            packet_id: Some(id),
            payload: "payload".into(),
            properties: is_v5.then_some(properties),
        };
        let mut out = BytesMut::new();
        if is_v5 {
            let topic_filters = vec![("a/#".into(), v5::SubscriptionOptions::default())];
            let subscribe = v5::Subscribe { packet_id: id, id: NonZeroU32::new(300), user_properties, topic_filters };
            let connect = Connect {
                username: Some("u".into()),
                client_id: "c".into(),
                receive_max: Some(id),
                ..Connect::default()
            };
            for packet in [
                v5::Packet::Connect(Box::new(connect)),
                v5::Packet::Publish(Box::new(publish)),
                v5::Packet::Subscribe(subscribe),
                v5::Packet::PublishRelease(PublishAck2 { packet_id: id, ..PublishAck2::default() }),
                v5::Packet::Disconnect(Disconnect::new(DisconnectReasonCode::DisconnectWithWillMessage)),
            ] {
                v5::Codec::new(0, 0).encode(packet, &mut out).unwrap();
            }
        } else {
            let connect = v3::Connect { client_id: "c".into(), password: Some("p".into()), ..v3::Connect::default() };
            for packet in [
                v3::Packet::Connect(Box::new(connect)),
                v3::Packet::Publish(Box::new(publish)),
                v3::Packet::Subscribe { packet_id: id, topic_filters: vec![("a/#".into(), QoS::AtLeastOnce)] },
                v3::Packet::Unsubscribe { packet_id: id, topic_filters: vec!["a/#".into()] },
                v3::Packet::PingRequest,
            ] {
                v3::Codec::new(0).encode(packet, &mut out).unwrap();
            }
        }
        out
    }

    #[test]
    fn packets_are_read_however_they_are_cut() {
        for is_v5 in [false, true] {
            let bytes = conversation(is_v5);
            for step in [1, 2, 3, 7, bytes.len()] {
                assert_eq!(read_all(&bytes, step), 5, "version 5: {is_v5}, {step} bytes at a time");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_bytes_are_packets_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64), step in 1_usize..20) {
            read_all(&bytes, step);
        }

        #[test]
        fn broken_packets_are_packets_or_an_error(
            is_v5: bool,
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            step in 1_usize..200,
        ) {
            let mut bytes = conversation(is_v5);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            read_all(&bytes, step);
        }
    }

    #[test]
    fn a_size_beyond_the_bound_is_an_error_before_its_bytes_come() {
        assert!(matches!(has_packet(&[0x30, 0xff, 0xff, 0x03], 1000), Err(DecodeError::MaxSizeExceeded { .. })));
        assert!(matches!(has_packet(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01], 1000), Err(DecodeError::InvalidLength)));
        assert!(matches!(has_packet(&[0x30, 0xff], 1000), Ok(false)));
        assert!(matches!(has_packet(&[0x30, 2, 0], 1000), Ok(false)));
        assert!(matches!(has_packet(&[0x30, 2, 0, 0], 1000), Ok(true)));
    }
}
