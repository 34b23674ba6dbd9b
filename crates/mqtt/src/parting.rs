//! The end of a connection: why, what the client is told, what becomes of its session and its last will.

use crate::connection::{Connection, Stream};
use crate::message::Message;
use crate::session::Will;
use crate::wire::reason_of;
use bytes::Bytes;
use bytestring::ByteString;
use rmqtt_codec::error::{DecodeError, EncodeError};
use rmqtt_codec::types::Publish;
use rmqtt_codec::v5::{DisconnectReasonCode as Reason, LastWill, PublishProperties};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// How long a client may take its goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// What a client may still send while it hears why.
const UNHEARD_BYTES: usize = 1 << 20;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ending {
    /// DISCONNECT.
    #[error("the client said goodbye")]
    Goodbye {
        /// It wants its last will sent all the same.
        send_will: bool,
    },
    #[error("the client closed the connection")]
    Closed,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Decode(#[from] DecodeError),
    #[error("{0}")]
    Encode(#[from] EncodeError),
    #[error("nothing was heard for one and a half times the keep-alive time")]
    Silent,
    #[error("the client takes nothing of what is there for it")]
    SlowReader,
    #[error("{1}")]
    Fault(Reason, String),
    #[error("ended by the broker: {0:?}")]
    Told(Reason),
}

impl Ending {
    pub(crate) fn fault(why: &str) -> Ending {
        Ending::Fault(Reason::ProtocolError, why.into())
    }

    /// What a client is told that is still there.
    fn parting(&self) -> Option<(Reason, String)> {
        let reason = match self {
            Ending::Goodbye { .. } | Ending::Closed | Ending::Io(_) | Ending::SlowReader => return None,
            Ending::Decode(error) => reason_of(error),
            Ending::Encode(_) => Reason::UnspecifiedError,
            Ending::Silent => Reason::KeepAliveTimeout,
            Ending::Fault(reason, _) | Ending::Told(reason) => *reason,
        };
        Some((reason, self.to_string()))
    }

    fn wants_will(&self) -> bool {
        !matches!(self, Ending::Goodbye { send_will: false } | Ending::Told(Reason::ServerShuttingDown))
    }
}

impl<S: Stream> Connection<S> {
    /// Lets the session go, sees to the last will, and says goodbye as far as the version has words for
    /// it. What was acknowledged before is sent before.
    pub(crate) async fn end(mut self: Box<Self>, ending: Ending) {
        let will = self.will.take().filter(|_| ending.wants_will()).map(|will| self.as_will(will));
        let parting = ending.parting();
        if let Some((reason, text)) = &parting {
            self.wire.goodbye(*reason, text, &mut self.out);
        }
        let due = self.broker.detach(&self.session, self.epoch, will);
        self.broker.0.host.has_left(&self.client);
        if let Some(will) = due {
            self.broker.publish_will(&will.client, will.message);
        }
        match (parting, ending) {
            (Some(_), _) => last_words(&mut self.stream, &self.out).await,
            (None, Ending::Goodbye { .. }) => drop(timeout(GOODBYE, self.stream.write_all(&self.out)).await),
            // Whoever is gone already, or takes nothing, does not hear it.
            (None, _) => {}
        }
        let _gone = timeout(GOODBYE, self.stream.shutdown()).await;
    }

    fn as_will(&self, will: LastWill) -> (Will, Duration) {
        let delay = Duration::from_secs(will.will_delay_interval_sec.unwrap_or(0).into());
        (Will { client: self.client.clone(), message: message(will), due_ms: 0 }, delay)
    }

    /// MQTT 5: a client may say at the end how long its session shall live, but not make one that had
    /// none live on (3.14.2.2.2).
    pub(crate) fn change_expiry(&mut self, expiry_s: Option<u32>) -> Result<(), Ending> {
        let Some(expiry_s) = expiry_s else { return Ok(()) };
        let mut state = self.session.state.lock();
        if state.expiry.is_zero() && expiry_s > 0 {
            return Err(Ending::fault("a session that ends with its connection cannot be prolonged"));
        }
        state.expiry = Duration::from_secs(expiry_s.into()).min(self.broker.0.settings.max_session_expiry);
        Ok(())
    }
}

/// The last that a client hears, within [`GOODBYE`] each for saying and hearing.
pub(crate) async fn last_words<S: Stream>(stream: &mut S, words: &[u8]) {
    let said = timeout(GOODBYE, async { stream.write_all(words).await.and(stream.shutdown().await) }).await;
    if matches!(said, Ok(Ok(()))) {
        let _gone = timeout(GOODBYE, hear_out(stream)).await;
    }
}

/// Reads on without listening until the client closes. Closing a socket with unread bytes resets it, and a client that
/// is still sending would lose what it was told last.
async fn hear_out<S: Stream>(stream: &mut S) -> std::io::Result<()> {
    let mut unheard = [0; 1024];
    let mut left = UNHEARD_BYTES;
    while left > 0 {
        match stream.read(&mut unheard).await? {
            0 => break,
            bytes => left = left.saturating_sub(bytes),
        }
    }
    Ok(())
}

fn message(will: LastWill) -> Message {
    let properties = PublishProperties {
        topic_alias: None,
        correlation_data: will.correlation_data,
        message_expiry_interval: will.message_expiry_interval,
        content_type: will.content_type,
        user_properties: will.user_properties,
        is_utf8_payload: will.is_utf8_payload.unwrap_or(false),
        response_topic: will.response_topic,
        subscription_ids: Vec::new(),
    };
    let publish = Publish {
        dup: false,
        retain: will.retain,
        qos: will.qos,
        topic: ByteString::new(),
        packet_id: None,
        // It may wait for long: it must not keep the buffer that it came in.
        payload: Bytes::copy_from_slice(&will.message),
        properties: Some(properties),
    };
    Message::from_publish(publish, ByteString::from(will.topic.to_string()))
}
