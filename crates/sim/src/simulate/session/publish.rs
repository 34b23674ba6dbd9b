//! A session over MQTT: each report is a publish and has its own acknowledgement.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::Session;
use crate::error::Result;
use crate::send::{book, client_id, odd};
use crate::wire::answer::Answer;
use crate::wire::mqtt::{Ack, Mqtt, Version};

/// A connection, and what the session keeps about it alone.
struct Line {
    mqtt: Mqtt,
    /// Ids of the publishes under way, oldest first; the session has their reports in the same order.
    ids: VecDeque<u16>,
    most_under_way: usize,
}

impl Session {
    /// Publishes until the run is over and everything has its answer.
    pub(super) async fn over_mqtt(&mut self, version: Version) -> Result<()> {
        let mqtt = Mqtt::connect(&self.target, &client_id(), version).await?;
        self.shared.begin().await;
        let most_under_way = self.shared.most_under_way.min(mqtt.window());
        let mut line = Line { mqtt, ids: VecDeque::new(), most_under_way };
        loop {
            self.publish_what_is_due(&mut line);
            line.mqtt.flush()?;
            if self.is_done() {
                line.mqtt.close();
                return Ok(());
            }
            let wake = self.wake(&line);
            tokio::select! {
                outcome = line.mqtt.receive() => outcome?,
                () = tokio::time::sleep_until(wake) => {}
            }
            while let Some(ack) = line.mqtt.ack()? {
                self.take_ack(&mut line, ack)?;
            }
        }
    }

    fn publish_what_is_due(&mut self, line: &mut Line) {
        while self.under_way.len() < line.most_under_way {
            let Some(frame) = self.next_frame() else { break };
            self.write(&frame);
            let topic = self.crowd.topic(frame[0].device);
            line.ids.push_back(line.mqtt.publish(&topic, self.lines.body()));
            self.under_way.push_back(frame);
        }
    }

    /// When there is something to do even if nothing arrives.
    fn wake(&self, line: &Line) -> Instant {
        let sign_of_life = line.mqtt.sign_of_life_due();
        let may_send = self.under_way.len() < line.most_under_way && self.has_more();
        if may_send { sign_of_life.min(self.next_send()) } else { sign_of_life }
    }

    /// Acknowledgements come in the order of the publishes (MQTT-4.6.0-2).
    fn take_ack(&mut self, line: &mut Line, ack: Ack) -> Result<()> {
        if line.ids.pop_front() != Some(ack.id) {
            return Err(odd(&self.target, format!("publish {} acknowledged out of turn", ack.id)));
        }
        let mut answer = Answer::default();
        book(&mut answer, 0, ack.refusal);
        self.settle(&answer)
    }
}
