//! What one connection still has to answer: publishes on their way to their acknowledgement, and packets
//! that wait for the disk. Many at a time, answered in the order in which they came, as soon as the
//! first of them may be.

use crate::host::{Promise, Refusal};
use crate::message::Message;
use crate::routes::Wish;
use bytes::Bytes;
use bytestring::ByteString;
use rmqtt_codec::types::QoS;
use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What an answer waits for.
pub(crate) enum Wait {
    /// The node took it; then subscribers get it.
    Host(Promise),
    /// Subscribers must have caught up, and the store written what they need; gives whether it did.
    Store(Pin<Box<dyn Future<Output = bool> + Send>>),
    /// Nothing.
    Nothing,
}

/// A publish that is not acknowledged yet.
pub(crate) struct UnderWay {
    /// None for QoS 0, which nobody waits for.
    pub(crate) id: Option<NonZeroU16>,
    pub(crate) qos: QoS,
    /// To be passed on when the node has taken it.
    pub(crate) message: Option<Arc<Message>>,
    pub(crate) wait: Wait,
    /// No session gets it, and the node does not care either.
    pub(crate) is_for_nobody: bool,
    /// A refusal that has its turn.
    pub(crate) refused: Option<Refusal>,
}

impl UnderWay {
    pub(crate) fn new(id: Option<NonZeroU16>, qos: QoS) -> UnderWay {
        UnderWay { id, qos, message: None, wait: Wait::Nothing, is_for_nobody: false, refused: None }
    }
}

/// A packet that goes out when the store has what it promises.
pub(crate) struct Packet {
    pub(crate) bytes: Bytes,
    pub(crate) wait: Wait,
    /// Subscriptions that are handed over what is retained afterwards.
    pub(crate) hand_over: Vec<(ByteString, Wish)>,
}

pub(crate) enum Turn {
    Publish(UnderWay),
    Packet(Packet),
}

/// The first in the queue, decided.
pub(crate) enum Decided {
    /// The node took it; it is not passed on yet.
    Taken(UnderWay),
    /// Everything is done.
    Done(UnderWay),
    Refused(UnderWay, Refusal),
    /// The packet may go.
    Packet(Packet),
    /// The store did not take what the packet says.
    NotStored,
}

/// Answers in the order in which they came due.
#[derive(Default)]
pub(crate) struct Inbound {
    turns: VecDeque<Turn>,
    /// Publishes of QoS 1 and 2 among them.
    unanswered: usize,
}

impl Inbound {
    pub(crate) fn len(&self) -> usize {
        self.turns.len()
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    pub(crate) fn push(&mut self, turn: Turn) {
        self.unanswered += is_unanswered(&turn);
        self.turns.push_back(turn);
    }

    /// Puts back the first one, which now waits for something else.
    pub(crate) fn put_back(&mut self, under_way: UnderWay) {
        let turn = Turn::Publish(under_way);
        self.unanswered += is_unanswered(&turn);
        self.turns.push_front(turn);
    }

    /// Whether a publish with this id waits.
    pub(crate) fn has(&self, id: NonZeroU16) -> bool {
        self.turns.iter().any(|turn| matches!(turn, Turn::Publish(under_way) if under_way.id == Some(id)))
    }

    /// The first one, once it is decided. Pending while it waits, and when there is none.
    pub(crate) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Decided> {
        let Some(first) = self.turns.front_mut() else { return Poll::Pending };
        let wait = match first {
            Turn::Publish(under_way) => &mut under_way.wait,
            Turn::Packet(packet) => &mut packet.wait,
        };
        let outcome = match wait {
            Wait::Nothing => Poll::Ready(Ok(())),
            Wait::Host(promise) => promise.as_mut().poll(cx),
            Wait::Store(written) => {
                written.as_mut().poll(cx).map(|is_written| if is_written { Ok(()) } else { Err(not_stored()) })
            }
        };
        outcome.map(|outcome| {
            let first = self.turns.pop_front().expect("it was there");
            self.unanswered -= is_unanswered(&first);
            decide(first, outcome)
        })
    }
}

fn is_unanswered(turn: &Turn) -> usize {
    usize::from(matches!(turn, Turn::Publish(under_way) if under_way.id.is_some()))
}

fn decide(first: Turn, outcome: Result<(), Refusal>) -> Decided {
    let mut under_way = match (first, &outcome) {
        (Turn::Publish(under_way), _) => under_way,
        (Turn::Packet(packet), Ok(())) => return Decided::Packet(packet),
        (Turn::Packet(_), Err(_)) => return Decided::NotStored,
    };
    let by_host = matches!(under_way.wait, Wait::Host(_));
    under_way.wait = Wait::Nothing;
    match (outcome, under_way.refused.take()) {
        (Err(refusal), _) | (Ok(()), Some(refusal)) => Decided::Refused(under_way, refusal),
        (Ok(()), None) if by_host => Decided::Taken(under_way),
        (Ok(()), None) => Decided::Done(under_way),
    }
}

pub(crate) fn not_stored() -> Refusal {
    Refusal::new(Refusal::QUOTA_EXCEEDED, "the disk did not take it; send again later")
}
