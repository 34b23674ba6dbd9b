//! An MQTT broker, 3.1, 3.1.1 and 5.0: connections, sessions, subscriptions, retained messages, last
//! wills. What a message means is not its business: it asks its [`Host`] about every publish, and
//! acknowledges when the host's promise is kept. Knows nothing of reports, the log or HTTP.
//!
//! What always holds:
//! - a publish that the host refuses is never acknowledged as taken: MQTT 5 gets the reason, older
//!   versions, which have no word for no, lose the connection;
//! - publishes of one connection are acknowledged in the order in which they came, many at a time;
//! - what a persistent session or a retained message needs is on disk before the publish is
//!   acknowledged;
//! - a client whose pass says so gets a message only if the host says yes at the moment of sending, by whichever way
//!   the message came to it: subscribed, shared, retained, or waiting in its session;
//! - every queue has a bound ([`Settings`]); a client that does not read is disconnected or, where it is
//!   away, loses the newest messages, which are counted.

mod broker;
mod connection;
mod greeting;
mod host;
mod inbound;
mod listener;
mod message;
mod outbound;
mod parting;
mod publishing;
mod retained;
mod routes;
mod session;
mod sessions;
mod settings;
mod store;
mod subscribing;
mod sys;
mod topic;
mod wire;

pub use broker::{Broker, BrokerError, Stats};
pub use host::{Client, Ended, Hello, Host, Pass, Protocol, Refusal, Verdict};
pub use message::Message;
pub use rmqtt_codec::types::QoS;
pub use settings::Settings;
pub use topic::matches;
