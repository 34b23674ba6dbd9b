//! Retained messages: the last of each topic that asked for it, bounded in number and bytes.

use crate::message::Message;
use crate::settings::Settings;
use crate::topic::matches;
use hashbrown::HashMap;
use std::sync::Arc;

/// There is no room for another retained message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

#[derive(Debug, Default)]
pub(crate) struct Retained {
    messages: HashMap<Box<str>, Arc<Message>>,
    bytes: usize,
}

impl Retained {
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Keeps the message, or forgets the topic where the payload is empty.
    pub(crate) fn keep(&mut self, message: &Arc<Message>, settings: &Settings) -> Result<(), Full> {
        let topic: &str = &message.topic;
        let replaced = self.messages.get(topic).map_or(0, |known| known.bytes());
        if message.payload.is_empty() {
            self.messages.remove(topic);
            self.bytes -= replaced;
            return Ok(());
        }
        let is_new = replaced == 0;
        let bytes = self.bytes - replaced + message.bytes();
        if bytes > settings.max_retained_bytes || (is_new && self.messages.len() >= settings.max_retained) {
            return Err(Full);
        }
        self.bytes = bytes;
        self.messages.insert(topic.into(), message.clone());
        Ok(())
    }

    /// Those that match and are still worth something.
    pub(crate) fn find(&self, filter: &str) -> Vec<Arc<Message>> {
        if !filter.contains(['+', '#']) {
            return self.messages.get(filter).filter(|message| !message.is_expired()).cloned().into_iter().collect();
        }
        let wanted = |message: &&Arc<Message>| matches(filter, &message.topic) && !message.is_expired();
        self.messages.values().filter(wanted).cloned().collect()
    }

    /// Forgets what is past its time; gives the topics.
    pub(crate) fn expire(&mut self) -> Vec<Arc<Message>> {
        let expired: Vec<_> = self.messages.extract_if(|_, message| message.is_expired()).map(|(_, m)| m).collect();
        self.bytes -= expired.iter().map(|message| message.bytes()).sum::<usize>();
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmqtt_codec::types::QoS;

    fn message(topic: &str, payload: &str) -> Arc<Message> {
        Arc::new(Message::new(topic.to_owned(), payload.to_owned(), QoS::AtMostOnce).retained())
    }

    #[test]
    fn the_last_message_of_a_topic_stays_until_an_empty_one() {
        let mut retained = Retained::default();
        let settings = Settings::default();
        retained.keep(&message("a", "1"), &settings).unwrap();
        retained.keep(&message("a", "22"), &settings).unwrap();
        retained.keep(&message("b", "3"), &settings).unwrap();
        assert_eq!(retained.find("a")[0].payload, "22");
        assert_eq!(retained.find("#").len(), 2);
        retained.keep(&message("a", ""), &settings).unwrap();
        retained.keep(&message("b", ""), &settings).unwrap();
        assert_eq!((retained.len(), retained.bytes), (0, 0));
    }

    #[test]
    fn there_is_a_bound_in_number_and_in_bytes() {
        let mut retained = Retained::default();
        let settings = Settings { max_retained: 2, max_retained_bytes: 10, ..Settings::default() };
        retained.keep(&message("a", "1"), &settings).unwrap();
        retained.keep(&message("b", "1"), &settings).unwrap();
        assert_eq!(retained.keep(&message("c", "1"), &settings), Err(Full));
        assert_eq!(retained.keep(&message("a", "123456789"), &settings), Err(Full));
        assert_eq!(retained.find("a")[0].payload, "1", "what was there stays");
        retained.keep(&message("a", "2"), &settings).unwrap();
    }
}
