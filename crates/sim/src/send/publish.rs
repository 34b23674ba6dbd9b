//! A batch over MQTT, where there are none: every line is a publish of its own with its own acknowledgement. How far
//! they have come outlives a lost connection, so that only what has no answer yet is said again.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::odd;
use crate::error::Result;
use crate::wire::answer::{Answer, Rejection, Trouble};
use crate::wire::mqtt::{Ack, Mqtt, Refusal};
use crate::wire::target::Target;

/// Pause before what was refused for now is said again; no MQTT server says how long it should be.
const LATER_S: f64 = 1.0;

/// How far the publishes of one batch have come.
#[derive(Default)]
pub(super) struct Publishing {
    /// Indices of lines to say, once the lines have been counted.
    waiting: Option<VecDeque<usize>>,
    /// Packet id and index of lines without an answer, oldest first.
    under_way: VecDeque<(u16, usize)>,
    answer: Answer,
}

impl Publishing {
    /// Lines that have their final answer.
    pub(super) fn settled(&self) -> u64 {
        self.answer.settled()
    }

    /// Says every line that has no answer yet and waits for all acknowledgements. The answer is about the whole batch;
    /// its `error` is set if something was put off and the rest has to be said later.
    ///
    /// # Errors
    /// When the connection breaks, after which this may be called again with another one, or the server is not
    /// understood.
    pub(super) async fn run(&mut self, mqtt: &mut Mqtt, batch: &[u8], target: &Target) -> Result<Answer> {
        let lines: Vec<&[u8]> = batch.split(|byte| *byte == b'\n').collect();
        self.requeue(lines.len());
        self.answer.error = None;
        loop {
            self.say(mqtt, &lines, target)?;
            mqtt.flush()?;
            if self.under_way.is_empty() {
                return Ok(self.answer.clone());
            }
            mqtt.receive().await?;
            while let Some(ack) = mqtt.ack()? {
                self.settle(ack, target)?;
            }
        }
    }

    /// What was under way on a lost connection comes first.
    fn requeue(&mut self, lines: usize) {
        let waiting = self.waiting.get_or_insert_with(|| (0..lines).collect());
        while let Some((_, index)) = self.under_way.pop_back() {
            waiting.push_front(index);
        }
    }

    /// Fills the window, unless the server has asked to come back later.
    fn say(&mut self, mqtt: &mut Mqtt, lines: &[&[u8]], target: &Target) -> Result<()> {
        while self.answer.error.is_none() && self.under_way.len() < mqtt.window() {
            let Some(index) = self.waiting.as_mut().and_then(VecDeque::pop_front) else { break };
            match topic_of(lines[index], target)? {
                Some(topic) => self.under_way.push_back((mqtt.publish(&topic, lines[index]), index)),
                None => self.answer.rejected.push(unsayable(index)),
            }
        }
        Ok(())
    }

    /// Acknowledgements come in the order of the publishes (MQTT-4.6.0-2).
    fn settle(&mut self, ack: Ack, target: &Target) -> Result<()> {
        match self.under_way.pop_front() {
            Some((id, index)) if id == ack.id => {
                if ack.refusal.as_ref().is_some_and(Refusal::is_for_now) {
                    self.waiting.get_or_insert_default().push_back(index);
                }
                book(&mut self.answer, index, ack.refusal);
                Ok(())
            }
            _ => Err(odd(target, format!("publish {} acknowledged out of turn", ack.id))),
        }
    }
}

/// Adds what one acknowledgement says to the answer about all.
pub(crate) fn book(answer: &mut Answer, index: usize, refusal: Option<Refusal>) {
    let Some(refusal) = refusal else {
        answer.accepted += 1;
        return;
    };
    let (code, message) = code_and_message(&refusal);
    if refusal.is_for_now() {
        answer.error = Some(Trouble { code, message, retry_after_s: Some(LATER_S) });
    } else {
        answer.rejected.push(Rejection { index, code, field: None, message });
    }
}

/// A reason string may begin with the word for programs; the reason code has only a rough one.
fn code_and_message(refusal: &Refusal) -> (String, String) {
    let reason = refusal.reason.as_deref().unwrap_or_default();
    match reason.split_once(": ") {
        Some((word, message)) if !word.contains(' ') => (word.to_owned(), message.to_owned()),
        _ => (refusal.word(), reason.to_owned()),
    }
}

/// A client id that no other connection of any generator on this machine has.
pub(crate) fn client_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("drover-sim-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The topic that a report goes to, from its own name; `None` if its id cannot be part of a topic.
fn topic_of(line: &[u8], target: &Target) -> Result<Option<String>> {
    #[derive(serde::Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    let Named { kind, id } = serde_json::from_slice(line).map_err(|error| odd(target, error.to_string()))?;
    Ok((!id.contains(['/', '+', '#', '\0'])).then(|| topic(&kind, &id)))
}

/// A server would hang up on it, or take it for a message that is no report.
fn unsayable(index: usize) -> Rejection {
    let message = "an id with / + # or NUL cannot be a level of an MQTT topic".into();
    Rejection { index, code: "not_a_topic".into(), field: Some("id".into()), message }
}

/// The topic of an asset's reports.
pub(crate) fn topic(kind: &str, id: &str) -> String {
    match kind {
        "station" => format!("ev/station/{id}/telemetry"),
        _ => format!("{kind}s/{id}/location"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::parse_mqtt("localhost", None, None).unwrap()
    }

    #[test]
    fn each_kind_has_its_topic() {
        for (kind, expected) in [
            ("driver", "drivers/7/location"),
            ("vehicle", "vehicles/7/location"),
            ("station", "ev/station/7/telemetry"),
            ("rider", "riders/7/location"),
            ("other", "others/7/location"),
        ] {
            let line = format!(r#"{{"kind":"{kind}","id":"7","latitude":1}}"#);
            assert_eq!(topic_of(line.as_bytes(), &target()).unwrap().as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_id_that_is_more_than_one_level_is_not_said() {
        for id in ["a/b", "a+b", "#", r"a\u0000b"] {
            let line = format!(r#"{{"kind":"vehicle","id":"{id}"}}"#);
            assert_eq!(topic_of(line.as_bytes(), &target()).unwrap(), None, "{id}");
        }
    }

    #[test]
    fn a_refusal_is_booked_by_the_servers_word_or_by_its_code() {
        let mut answer = Answer::default();
        let mut refuse = |code, reason: Option<&str>| {
            book(&mut answer, 3, Some(Refusal { code, reason: reason.map(Into::into) }));
        };
        refuse(0x99, Some("out_of_range: latitude is 91"));
        refuse(0x87, Some("not today: sorry"));
        refuse(0x99, None);
        refuse(0x97, Some("full"));
        let codes: Vec<&str> = answer.rejected.iter().map(|rejection| rejection.code.as_str()).collect();
        assert_eq!(codes, ["out_of_range", "not_authorized", "payload_format_invalid"]);
        assert_eq!(answer.rejected[0].message, "latitude is 91");
        assert!(answer.error.unwrap().wait().is_ok(), "what is refused for now is said again");
    }
}
