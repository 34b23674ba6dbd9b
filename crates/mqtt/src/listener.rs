//! Taking connections from a door, plain or TLS, up to the bound.

use crate::broker::Broker;
use crate::greeting::serve;
use drover_certs::{Door, Peer, ServerTls, Socket};
use std::sync::atomic::Ordering;
use tokio::net::TcpListener;

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
    pub async fn serve(self, listener: TcpListener, tls: Option<ServerTls>) {
        let mut door = Door::new(listener, tls);
        loop {
            let (socket, peer) = door.accept().await;
            match Counted::new(&self) {
                Some(counted) => drop(tokio::spawn(one(self.clone(), socket, peer, counted))),
                None => metrics::counter!("drover_mqtt_connects_refused_total").increment(1),
            }
        }
    }
}

async fn one(broker: Broker, socket: Socket, peer: Peer, _counted: Counted) {
    let certificate = peer.certificate.map(|certificate| certificate.to_vec());
    serve(broker, socket, Some(peer.address), certificate).await;
}
