//! Reports from somebody else's broker (Mosquitto, EMQX, HiveMQ, AWS IoT Core): Drover as its client.
//! Several connections share one subscription, so that the broker deals the messages out; each message
//! is acknowledged by hand, after its report is durable. A connection that is lost, or that must not
//! acknowledge because the disk is full, comes back with growing pauses, and the broker sends again
//! what was not acknowledged: admission knows the repeats.

use super::{NotTaken, REPORT_FILTERS, take};
use crate::intake::Intake;
use anyhow::{Context, bail, ensure};
use drover_model::Sight;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Filter, Packet, Publish, SubAck, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Messages of one connection that may wait for the disk; the broker sends no more than that.
const UNDER_WAY_MAX: u16 = 1024;
/// Largest message taken from the broker.
const PACKET_MAX_BYTES: u32 = 1024 * 1024;
/// How long the broker keeps what was not acknowledged while Drover is away.
const SESSION_EXPIRY_S: u32 = 24 * 3600;
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LONGEST: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Which broker, and as whom. The broker must speak MQTT 5.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// `mqtt://HOST:PORT` or `mqtts://HOST:PORT`.
    pub url: String,
    /// Start of the client ids; every connection adds its number. Other nodes need another one.
    pub client_id: String,
    /// Name and password, where the broker asks for them.
    pub login: Option<(String, String)>,
    /// PEM file of the authorities that the broker's certificate may come from; none: the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of Drover's own certificate and key, where the broker asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Connections that share the messages.
    pub connections: u16,
    /// Name of the shared subscription.
    pub group: String,
    /// What to subscribe to; empty: every topic of reports.
    pub filters: Vec<String>,
}

/// Connects and takes reports until the returned tasks are aborted. Fails at once where the settings
/// make no sense; a broker that is away is waited for.
pub fn follow(upstream: &Upstream, intake: &Intake) -> anyhow::Result<Vec<tokio::task::JoinHandle<()>>> {
    ensure!((1..=64).contains(&upstream.connections), "connections is {}; allowed is 1 to 64", upstream.connections);
    let filters = filters(upstream);
    let start = |number| {
        let connection = Connection::new(upstream, number, filters.clone(), intake.clone())?;
        Ok(tokio::spawn(connection.run()))
    };
    (0..upstream.connections).map(start).collect()
}

fn filters(upstream: &Upstream) -> Vec<Filter> {
    let default = REPORT_FILTERS.map(str::to_owned).to_vec();
    let wanted = if upstream.filters.is_empty() { &default } else { &upstream.filters };
    wanted.iter().map(|filter| Filter::new(format!("$share/{}/{filter}", upstream.group), QoS::AtLeastOnce)).collect()
}

fn options(upstream: &Upstream, number: u16) -> anyhow::Result<MqttOptions> {
    let (tls, rest) = match upstream.url.split_once("://") {
        Some(("mqtt", rest)) => (false, rest),
        Some(("mqtts", rest)) => (true, rest),
        _ => bail!("{:?} is no broker's address; mqtt://HOST:PORT or mqtts://HOST:PORT is expected", upstream.url),
    };
    let (host, port) = match rest.trim_end_matches('/').rsplit_once(':') {
        Some((host, port)) => (host, port.parse().with_context(|| format!("port {port:?} of {}", upstream.url))?),
        None => (rest, if tls { 8883 } else { 1883 }),
    };
    let mut options = MqttOptions::new(format!("{}-{number}", upstream.client_id), host, port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_start(false).set_manual_acks(true);
    options.set_session_expiry_interval(Some(SESSION_EXPIRY_S));
    options.set_receive_maximum(Some(UNDER_WAY_MAX));
    options.set_max_packet_size(Some(PACKET_MAX_BYTES));
    if let Some((name, password)) = &upstream.login {
        options.set_credentials(name, password);
    }
    if tls {
        options.set_transport(Transport::tls_with_config(tls_settings(upstream)?));
    }
    Ok(options)
}

fn tls_settings(upstream: &Upstream) -> anyhow::Result<TlsConfiguration> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let read = |path: &PathBuf| -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .with_context(|| format!("certificates in {}", path.display()))?;
        Ok(certificates)
    };
    let mut roots = rustls::RootCertStore::empty();
    match &upstream.ca {
        Some(path) => {
            for certificate in read(path)? {
                roots.add(certificate).with_context(|| format!("certificate in {}", path.display()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let settings = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let settings = match &upstream.identity {
        None => settings.with_no_client_auth(),
        Some((certificate, key)) => {
            let private = PrivateKeyDer::from_pem_file(key).with_context(|| format!("key in {}", key.display()))?;
            settings.with_client_auth_cert(read(certificate)?, private)?
        }
    };
    Ok(TlsConfiguration::Rustls(Arc::new(settings)))
}

type Taking = Pin<Box<dyn Future<Output = Result<(), NotTaken>> + Send>>;

/// One connection to the broker.
struct Connection {
    client: AsyncClient,
    broker: EventLoop,
    filters: Vec<Filter>,
    intake: Intake,
    /// Messages that are not acknowledged yet, in the order in which they came.
    under_way: VecDeque<(Publish, Taking)>,
    pause: Duration,
    connected: metrics::Gauge,
}

impl Connection {
    fn new(upstream: &Upstream, number: u16, filters: Vec<Filter>, intake: Intake) -> anyhow::Result<Connection> {
        let (client, broker) = AsyncClient::new(options(upstream, number)?, usize::from(UNDER_WAY_MAX) + 16);
        let connected = metrics::gauge!("drover_mqtt_upstream_connected");
        Ok(Connection { client, broker, filters, intake, under_way: VecDeque::new(), pause: PAUSE_FIRST, connected })
    }

    async fn run(mut self) {
        loop {
            let ended = self.session().await;
            // Acknowledgements of a lost connection mean nothing to the next one.
            self.under_way.clear();
            tracing::warn!(error = %ended, again_in = ?self.pause, "the connection to the other broker ended");
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSE_LONGEST);
        }
    }

    /// Connects and takes messages until something goes wrong; says what.
    async fn session(&mut self) -> anyhow::Error {
        let mut counted = Counted { gauge: self.connected.clone(), is_up: false };
        loop {
            let turn = tokio::select! {
                biased;
                taken = front(&mut self.under_way) => self.acknowledge(taken),
                event = self.broker.poll() => self.hear(event, &mut counted),
            };
            if let Err(error) = turn {
                self.broker.clean();
                return error;
            }
        }
    }

    /// The first message under way is decided. What cannot be taken now must come again, and MQTT has
    /// no word for "later": the connection ends, and the broker keeps the rest.
    fn acknowledge(&mut self, taken: Result<(), NotTaken>) -> anyhow::Result<()> {
        let (publish, _) = self.under_way.pop_front().expect("only called for a message under way");
        match taken {
            Err(NotTaken { later: true, reason, .. }) => bail!("reports cannot be taken now: {reason}"),
            // A report that is at fault is kept among the rejects; sending it again would help nobody.
            Ok(()) | Err(_) => self.client.try_ack(&publish).context("acknowledging"),
        }
    }

    fn hear(&mut self, event: Result<Event, ConnectionError>, counted: &mut Counted) -> anyhow::Result<()> {
        match event? {
            Event::Incoming(Packet::ConnAck(ConnAck { session_present, .. })) => {
                counted.up();
                tracing::info!(session_present, "connected to the other broker");
                self.client.try_subscribe_many(self.filters.clone()).context("subscribing")?;
            }
            Event::Incoming(Packet::SubAck(SubAck { return_codes, .. })) => self.subscribed(&return_codes)?,
            Event::Incoming(Packet::Publish(publish)) => self.receive(publish)?,
            _ => {}
        }
        Ok(())
    }

    fn subscribed(&mut self, codes: &[SubscribeReasonCode]) -> anyhow::Result<()> {
        for (code, filter) in codes.iter().zip(&self.filters) {
            ensure!(
                matches!(code, SubscribeReasonCode::Success(_)),
                "the broker refused the subscription {:?}: {code:?}; check its rights and that it allows shared \
                 subscriptions",
                filter.path
            );
        }
        self.pause = PAUSE_FIRST;
        Ok(())
    }

    fn receive(&mut self, publish: Publish) -> anyhow::Result<()> {
        let topic = std::str::from_utf8(&publish.topic).context("the broker sent a topic that is not UTF-8")?;
        match take(&self.intake, &Sight::All, topic, &publish.payload) {
            Some(taking) => self.under_way.push_back((publish, Box::pin(taking))),
            None => {
                metrics::counter!("drover_mqtt_upstream_ignored_total").increment(1);
                self.under_way.push_back((publish, Box::pin(std::future::ready(Ok(())))));
            }
        }
        Ok(())
    }
}

/// Resolves when the first message under way is decided; never, when none is.
async fn front(under_way: &mut VecDeque<(Publish, Taking)>) -> Result<(), NotTaken> {
    match under_way.front_mut() {
        Some((_, taking)) => taking.await,
        None => std::future::pending().await,
    }
}

/// Keeps the gauge of connections right however a session ends.
struct Counted {
    gauge: metrics::Gauge,
    is_up: bool,
}

impl Counted {
    fn up(&mut self) {
        if !std::mem::replace(&mut self.is_up, true) {
            self.gauge.increment(1.0);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.is_up {
            self.gauge.decrement(1.0);
        }
    }
}
