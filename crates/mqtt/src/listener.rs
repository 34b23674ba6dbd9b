//! Accepting connections, plain and TLS, up to the bound.

use crate::broker::Broker;
use crate::greeting::serve;
use crate::tls::Tls;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A connection that is counted as long as it lives.
struct Counted(Broker);

impl Counted {
    fn new(broker: &Broker) -> Option<Counted> {
        let max = broker.0.settings.max_connections;
        let counted =
            broker.0.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1));
        counted.ok()?;
        metrics::gauge!("drover_mqtt_connections").increment(1.0);
        Some(Counted(broker.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.connections.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("drover_mqtt_connections").decrement(1.0);
    }
}

impl Broker {
    /// Serves connections until the task is aborted. Connections beyond the bound are closed and
    /// counted.
    pub async fn serve(self, listener: TcpListener, tls: Option<Tls>) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => match Counted::new(&self) {
                    Some(counted) => drop(tokio::spawn(one(self.clone(), stream, address, tls.clone(), counted))),
                    None => metrics::counter!("drover_mqtt_connects_refused_total").increment(1),
                },
                Err(error) => {
                    // Too many open files, for one: it gets better when somebody leaves.
                    tracing::warn!(%error, "an MQTT connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn one(broker: Broker, stream: TcpStream, address: SocketAddr, tls: Option<Tls>, _counted: Counted) {
    // Acknowledgements must not wait for more bytes to share a packet with.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY refused");
    }
    match tls {
        Some(tls) => Box::pin(secured(broker, stream, address, tls)).await,
        None => serve(broker, stream, Some(address), None).await,
    }
}

async fn secured(broker: Broker, stream: TcpStream, address: SocketAddr, tls: Tls) {
    match timeout(HANDSHAKE, Box::pin(tls.accept(stream))).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let certificate = shown.map(|certificate| certificate.to_vec());
            Box::pin(serve(broker, stream, Some(address), certificate)).await;
        }
        Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
    }
}
