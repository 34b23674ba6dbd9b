//! The MQTT doors: the broker with what its messages mean here, TLS, the publisher of live changes, and
//! the connections to somebody else's broker.

use crate::config::Config;
use anyhow::Context;
use drover_api::mqtt::{LIVE, live_page, publish_changes};
use drover_ingest::Intake;
use drover_ingest::mqtt::{NotTaken, Upstream, follow, take};
use drover_live::Live;
use drover_mqtt::{Broker, Client, Hello, Host, Message, Refusal, Settings, Tls, Verdict, make_for_localhost};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Where MQTT is expected, if nobody says otherwise and nobody else listens there.
const USUAL: ([u8; 4], u16) = ([127, 0, 0, 1], 1883);

/// The broker and everything that runs for it.
pub struct Mqtt {
    /// The broker.
    pub broker: Broker,
    listeners: Vec<(&'static str, TcpListener, Option<Tls>)>,
    intake: Intake,
    live: Live,
    upstream: Option<Upstream>,
    tasks: Vec<JoinHandle<()>>,
}

impl Mqtt {
    /// Opens the broker and binds its doors; nothing is taken before [`Mqtt::serve`].
    pub async fn open(config: &Config, intake: &Intake, live: &Live) -> anyhow::Result<Mqtt> {
        let settings = Settings { max_connections: config.mqtt_max_connections, ..Settings::default() };
        let host = Arc::new(Devices { intake: intake.clone(), live: live.clone() });
        let broker = Broker::open(&config.data.join("mqtt"), settings, host)?;
        let mut listeners = Vec::new();
        if let Some(listener) = plain(config).await? {
            listeners.push(("mqtt", listener, None));
        }
        if let Some(address) = config.mqtts {
            listeners.push(("mqtts", bind(address).await?, Some(tls(config)?)));
        }
        let (intake, live) = (intake.clone(), live.clone());
        Ok(Mqtt { broker, listeners, intake, live, upstream: upstream(config)?, tasks: Vec::new() })
    }

    /// The open doors.
    pub fn doors(&self) -> std::io::Result<Vec<(&'static str, SocketAddr)>> {
        self.listeners.iter().map(|(name, listener, _)| Ok((*name, listener.local_addr()?))).collect()
    }

    /// Begins to take connections.
    pub fn serve(&mut self) -> anyhow::Result<()> {
        for (_, listener, tls) in self.listeners.drain(..) {
            self.tasks.push(tokio::spawn(self.broker.clone().serve(listener, tls)));
        }
        self.tasks.push(tokio::spawn(publish_changes(self.live.clone(), self.broker.clone())));
        if let Some(upstream) = &self.upstream {
            self.tasks.extend(follow(upstream, &self.intake)?);
        }
        Ok(())
    }

    /// Takes no more connections and says goodbye to those that are there.
    pub async fn stop(self) {
        for task in &self.tasks {
            task.abort();
        }
        self.broker.stop().await;
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// The usual address is nobody's wish: a node does without it where another broker has it.
async fn plain(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    if let Some(address) = config.mqtt {
        return bind(address).await.map(Some);
    }
    match TcpListener::bind(SocketAddr::from(USUAL)).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) => {
            tracing::warn!(%error, "MQTT stays closed: port 1883 is taken. Choose another with --mqtt");
            Ok(None)
        }
    }
}

fn tls(config: &Config) -> anyhow::Result<Tls> {
    let (certificate, key) = match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => make_for_localhost(&config.data.join("tls"))?,
    };
    Ok(Tls::open(&certificate, &key)?)
}

fn upstream(config: &Config) -> anyhow::Result<Option<Upstream>> {
    let Some(url) = config.mqtt_upstream.clone() else { return Ok(None) };
    let password = |path: &PathBuf| -> anyhow::Result<String> {
        let text = std::fs::read_to_string(path).with_context(|| format!("password in {}", path.display()))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    };
    let password = config.mqtt_upstream_password_file.as_ref().map(password).transpose()?;
    let login = config.mqtt_upstream_user.clone().map(|user| (user, password.unwrap_or_default()));
    let identity = config.mqtt_upstream_certificate.clone().zip(config.mqtt_upstream_key.clone());
    Ok(Some(Upstream {
        url,
        client_id: config.mqtt_upstream_client.clone(),
        login,
        ca: config.mqtt_upstream_ca.clone(),
        identity,
        connections: config.mqtt_upstream_connections,
        group: config.mqtt_upstream_group.clone(),
        filters: config.mqtt_upstream_filters.clone(),
    }))
}

/// What messages mean to this node. Without identities everybody may do everything that is not the
/// node's own.
struct Devices {
    intake: Intake,
    live: Live,
}

/// Topics that only the node publishes.
fn is_own(topic: &str) -> bool {
    matches!(topic.split('/').next(), Some(LIVE | "$SYS"))
}

fn own() -> Refusal {
    Refusal::new(Refusal::NOT_AUTHORIZED, "only the node itself publishes here; send reports to drivers/{id}/location")
}

impl Host for Devices {
    fn connect(&self, _: &Hello<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn may_subscribe(&self, _: &Client, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn may_publish(&self, _: &Client, topic: &str) -> Result<(), Refusal> {
        if is_own(topic) { Err(own()) } else { Ok(()) }
    }

    fn publish(&self, _: &Arc<Client>, message: &Message) -> Verdict {
        if is_own(&message.topic) {
            return Verdict::Refused(own());
        }
        let refusal = |NotTaken { code, reason, .. }| Refusal::new(code, reason);
        match take(&self.intake, &message.topic, &message.payload) {
            Some(taking) => Verdict::Taken(Box::pin(async move { taking.await.map_err(refusal) })),
            None => Verdict::Route,
        }
    }

    fn retained(&self, filter: &str, cursor: u64, sink: &mut dyn FnMut(Message)) -> Option<u64> {
        live_page(&self.live, filter, cursor, sink)
    }
}
