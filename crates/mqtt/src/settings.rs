//! The bounds of a broker, each with its unit and what happens at it.

use std::time::Duration;

/// How much of everything a broker allows.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections at once; more are closed before they say anything.
    pub max_connections: usize,
    /// Largest packet in either direction. A larger one ends the connection.
    pub max_packet_bytes: u32,
    /// Publishes of one connection that wait for the disk; then the socket is not read.
    pub max_under_way: u16,
    /// Publishes to one client that wait for its acknowledgement, if it does not want fewer.
    pub max_in_flight: u16,
    /// Messages that wait for one session. Beyond: QoS 0 is dropped; a client that is connected and
    /// does not read is disconnected after `slow_reader`; one that is away loses the newest.
    pub max_queued: usize,
    /// Bytes of payloads that wait for one session.
    pub max_queued_bytes: usize,
    /// Subscriptions of one session; more are refused.
    pub max_subscriptions: usize,
    /// Sessions that are known, connected or not; more are refused.
    pub max_sessions: usize,
    /// Retained messages; more are refused.
    pub max_retained: usize,
    /// Bytes of retained topics and payloads.
    pub max_retained_bytes: usize,
    /// Longest topic.
    pub max_topic_bytes: usize,
    /// Levels of a topic or filter.
    pub max_topic_levels: usize,
    /// Topic aliases per connection and direction (MQTT 5).
    pub max_topic_aliases: u16,
    /// Longest keep-alive time that a client of MQTT 5 may have; one that wants none or a longer one is
    /// told this.
    pub max_keep_alive: Duration,
    /// How long the first packet may take.
    pub connect_timeout: Duration,
    /// How long a client may take no bytes, or acknowledge nothing while much waits for it, before it is
    /// disconnected.
    pub slow_reader: Duration,
    /// Longest life of a session without a connection; longer wishes are cut.
    pub max_session_expiry: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_connections: 20_000,
            max_packet_bytes: 1 << 20,
            max_under_way: 256,
            max_in_flight: 100,
            max_queued: 10_000,
            max_queued_bytes: 8 << 20,
            max_subscriptions: 1_000,
            max_sessions: 200_000,
            max_retained: 100_000,
            max_retained_bytes: 64 << 20,
            max_topic_bytes: 1_024,
            max_topic_levels: 32,
            max_topic_aliases: 16,
            max_keep_alive: Duration::from_secs(20 * 60),
            connect_timeout: Duration::from_secs(10),
            slow_reader: Duration::from_secs(30),
            max_session_expiry: Duration::from_secs(7 * 24 * 3600),
        }
    }
}
