//! `$SYS`: what the broker says about itself, under the names that Mosquitto made known.

use crate::broker::Broker;
use crate::message::Message;
use rmqtt_codec::types::QoS;
use std::sync::atomic::Ordering;

/// Publishes the broker's figures, if anybody listens.
pub(crate) fn publish(broker: &Broker) {
    if !broker.reaches("$SYS") {
        return;
    }
    for message in messages(broker) {
        // For those who listen now; nothing of it is kept.
        let _told = broker.publish(message);
    }
}

pub(crate) fn messages(broker: &Broker) -> [Message; 4] {
    let figure = |name: &str, value: String| Message::new(format!("$SYS/broker/{name}"), value, QoS::AtMostOnce);
    let shared = &broker.0;
    [
        figure("version", format!("Drover {}", env!("CARGO_PKG_VERSION"))),
        figure("uptime", format!("{} seconds", shared.started.elapsed().as_secs())),
        figure("clients/connected", shared.connections.load(Ordering::Relaxed).to_string()),
        figure("messages/received", shared.published.load(Ordering::Relaxed).to_string()),
    ]
}
