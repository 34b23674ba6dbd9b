//! An MQTT client that publishes with QoS 1 and hears acknowledgements; nothing else of the protocol. Both versions are
//! spoken; version 5 is the usual one, because only there a server can say no.

mod packet;
mod property;

use std::io;
use std::time::Duration;

use bytes::BufMut;
use tokio::time::Instant;

use super::Wire;
use super::target::Target;
use crate::error::{Error, Result};
pub use packet::{Ack, Refusal, Version};
use packet::{GOODBYE, PINGREQ, Packet, Welcome};

/// Longest silence that is promised, in seconds; a server may ask for less.
const KEEP_ALIVE_S: u16 = 60;
/// Where a server does not want any sign of life, one comes this rarely.
const RARELY: Duration = Duration::from_secs(86_400);

/// An open connection.
#[derive(Debug)]
pub struct Mqtt {
    wire: Wire,
    version: Version,
    last_id: u16,
    window: usize,
    /// Half of the silence that was promised.
    ping_after: Duration,
    last_said: Instant,
}

impl Mqtt {
    /// Connects with a clean session, with the target's token as password. On success the server has let the client in.
    ///
    /// # Errors
    /// When the connection breaks, or the server does not let this client in: for now, which is a connection loss, or
    /// for good.
    pub async fn connect(target: &Target, client_id: &str, version: Version) -> Result<Mqtt> {
        let mut wire = Wire::connect(target).await?;
        packet::put_connect(&mut wire.outbox, version, client_id, target.token.as_deref(), KEEP_ALIVE_S);
        let first = loop {
            wire.receive().await?;
            if let Some(packet) = packet::take(&mut wire.inbox, version).map_err(|reason| wire.odd(reason))? {
                break packet;
            }
        };
        let Packet::Welcome(welcome) = first else { return Err(wire.odd("the first packet is no CONNACK")) };
        check_welcome(&wire, &welcome)?;
        let keep_alive_s = welcome.keep_alive_s.unwrap_or(KEEP_ALIVE_S);
        let ping_after = if keep_alive_s == 0 { RARELY } else { Duration::from_secs(keep_alive_s.into()) / 2 };
        let window = welcome.receive_max.into();
        Ok(Mqtt { wire, version, last_id: 0, window, ping_after, last_said: Instant::now() })
    }

    /// Publishes that the server takes before it has acknowledged the first of them, 1 to 65,535. The caller keeps to
    /// it; a server hangs up on more.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Puts a publish in line; [`Mqtt::flush`] or [`Mqtt::receive`] sends it. Gives its id.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        packet::put_publish(&mut self.wire.outbox, self.version, self.last_id, topic, payload);
        self.last_id
    }

    /// When to call [`Mqtt::flush`] at the latest, so that the server does not take this client for dead.
    pub fn sign_of_life_due(&self) -> Instant {
        self.last_said + self.ping_after
    }

    /// Sends what waits, as far as the operating system takes it at once, or a sign of life if that is due. The rest
    /// goes with [`Mqtt::receive`].
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn flush(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.wire.outbox.is_empty() {
            if now < self.sign_of_life_due() {
                return Ok(());
            }
            self.wire.outbox.put_slice(&PINGREQ);
        }
        self.last_said = now;
        self.wire.try_send().map_err(|error| self.wire.lost(error))
    }

    /// Waits until something has arrived, sending meanwhile. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn receive(&mut self) -> Result<()> {
        self.wire.receive().await
    }

    /// The next acknowledgement among what has arrived, or `None` until more arrives.
    ///
    /// # Errors
    /// When the server says goodbye (a connection loss) or breaks the protocol.
    pub fn ack(&mut self) -> Result<Option<Ack>> {
        while let Some(packet) = packet::take(&mut self.wire.inbox, self.version).map_err(|why| self.wire.odd(why))? {
            match packet {
                Packet::Ack(ack) => return Ok(Some(ack)),
                Packet::Pong => {}
                Packet::Welcome(_) => return Err(self.wire.odd("a second CONNACK")),
                Packet::Goodbye(code, reason) => {
                    let words = reason.unwrap_or_default();
                    let said = format!("the server said goodbye: reason {code:#04x} {words}");
                    return Err(self.wire.lost(io::Error::new(io::ErrorKind::ConnectionAborted, said)));
                }
            }
        }
        Ok(None)
    }

    /// Keeps the connection alive until then, when nothing is under way. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn idle_until(&mut self, end: Instant) -> Result<()> {
        while Instant::now() < end {
            let wake = end.min(self.sign_of_life_due());
            tokio::select! {
                outcome = self.receive() => outcome?,
                () = tokio::time::sleep_until(wake) => {}
            }
            if self.ack()?.is_some() {
                return Err(self.wire.odd("an acknowledgement for nothing"));
            }
            self.flush()?;
        }
        Ok(())
    }

    /// Says goodbye, as far as the operating system takes it at once.
    pub fn close(mut self) {
        self.wire.outbox.put_slice(&GOODBYE);
        let _ = self.wire.try_send();
    }
}

/// Codes below 0x80 are those of 3.1.1.
fn check_welcome(wire: &Wire, welcome: &Welcome) -> Result<()> {
    let Welcome { code, reason, takes_qos_1, .. } = welcome;
    let name = match code {
        0 if *takes_qos_1 => return Ok(()),
        0 => "this MQTT server takes no QoS 1",
        1 | 0x84 => "it does not speak this version of MQTT",
        2 | 0x85 => "it does not like the client id",
        3 | 0x88 | 0x89 | 0x97 | 0x9f => {
            let busy = format!("the server lets nobody in now: reason {code:#04x}");
            return Err(wire.lost(io::Error::new(io::ErrorKind::ConnectionRefused, busy)));
        }
        4 | 5 | 0x86 | 0x87 => "not authorized",
        _ => "it does not let this client in",
    };
    Err(Error::Refused { status: u16::from(*code), message: reason.clone().unwrap_or_else(|| name.into()) })
}
