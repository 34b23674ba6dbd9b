//! Publishes of one connection on their way to their acknowledgement: many at a time, answered in the
//! order in which they came, as soon as the first of them may be.

use crate::host::{Promise, Refusal};
use crate::message::Message;
use rmqtt_codec::types::QoS;
use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What a publish waits for.
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
    /// Sessions that got it.
    pub(crate) subscribers: usize,
    /// A refusal that has its turn.
    pub(crate) refused: Option<Refusal>,
}

/// The first publish, decided.
pub(crate) enum Decided {
    /// The node took it; it is not passed on yet.
    Taken(UnderWay),
    /// Everything is done.
    Done(UnderWay),
    Refused(UnderWay, Refusal),
}

/// Publishes in the order in which they came.
#[derive(Default)]
pub(crate) struct Inbound(VecDeque<UnderWay>);

impl Inbound {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, under_way: UnderWay) {
        self.0.push_back(under_way);
    }

    /// Puts back the first one, which now waits for something else.
    pub(crate) fn put_back(&mut self, under_way: UnderWay) {
        self.0.push_front(under_way);
    }

    /// The first one, once it is decided. Pending while it waits, and when there is none.
    pub(crate) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Decided> {
        let Some(first) = self.0.front_mut() else { return Poll::Pending };
        let outcome = match &mut first.wait {
            Wait::Nothing => Poll::Ready(Ok(())),
            Wait::Host(promise) => promise.as_mut().poll(cx),
            Wait::Store(written) => written.as_mut().poll(cx).map(|written| {
                let not = || Refusal::new(Refusal::QUOTA_EXCEEDED, "the disk did not take it; send again later");
                if written { Ok(()) } else { Err(not()) }
            }),
        };
        outcome.map(|outcome| {
            let mut first = self.0.pop_front().expect("it was there");
            let by_host = matches!(first.wait, Wait::Host(_));
            first.wait = Wait::Nothing;
            match (outcome, first.refused.take()) {
                (Err(refusal), _) | (Ok(()), Some(refusal)) => Decided::Refused(first, refusal),
                (Ok(()), None) if by_host && first.message.is_some() => Decided::Taken(first),
                (Ok(()), None) => Decided::Done(first),
            }
        })
    }
}
