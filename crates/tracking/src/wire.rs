//! Sending on a WebSocket: patience, pings, closing. A client that does not take what it is sent is given up.

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use bytes::Bytes;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Interval, timeout};

/// A client that takes no bytes for so long is dead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often a client is pinged; after three pings without a sound it is gone.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(30);
/// Largest message that a client may send.
pub(crate) const MESSAGE_MAX_BYTES: usize = 64 * 1024;
/// The library's own is 128 KiB, for each connection.
const READ_BUFFER_BYTES: usize = 1024;

/// Keeps a connection's memory and messages small.
pub(crate) fn small(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(MESSAGE_MAX_BYTES)
        .max_frame_size(MESSAGE_MAX_BYTES)
}

/// Ticks when it is time for a ping.
pub(crate) fn heartbeat() -> Interval {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.reset();
    heartbeat
}

pub(crate) async fn send(socket: &mut WebSocket, message: Message) -> Result<(), axum::Error> {
    timeout(PATIENCE, socket.send(message)).await.map_err(axum::Error::new)?
}

pub(crate) async fn send_json(socket: &mut WebSocket, value: &Value) -> Result<(), axum::Error> {
    send(socket, Message::Text(Utf8Bytes::from(value.to_string()))).await
}

pub(crate) async fn ping(socket: &mut WebSocket) -> Result<(), axum::Error> {
    send(socket, Message::Ping(Bytes::new())).await
}

/// Says why, and closes.
pub(crate) async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let close = CloseFrame { code, reason: reason.into() };
    if send(&mut socket, Message::Close(Some(close))).await.is_err() {
        return;
    }
    // The other side's answer, or its end: otherwise what it has not read yet may be lost with the connection.
    let answered = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _late = timeout(Duration::from_secs(2), answered).await;
}
