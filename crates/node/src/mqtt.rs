//! The MQTT doors: the broker with what its messages mean here, TLS, the publisher of live changes, and
//! the connections to somebody else's broker.

use crate::config::Config;
use crate::identity::{Access, Admitted, Identity};
use anyhow::Context;
use drover_access::{Caller, Permission, Reach, Watching, is_person};
use drover_api::mqtt::{LIVE, live_page, publish_changes};
use drover_certs::{Oldest, ServerCertificate, ServerTls};
use drover_ingest::mqtt::{NotTaken, Upstream, follow, reporting, take};
use drover_ingest::{Door, Intake, IntakeError};
use drover_live::Live;
use drover_model::{Kind, Reject, RejectCode, Sight};
use drover_mqtt::{Broker, Client, Hello, Host, Message, Pass, Refusal, Settings, Verdict};
use parking_lot::Mutex;
use std::borrow::Cow;
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
    listeners: Vec<(&'static str, TcpListener, Option<ServerTls>)>,
    intake: Intake,
    live: Live,
    upstream: Option<Upstream>,
    tasks: Vec<JoinHandle<()>>,
}

impl Mqtt {
    /// Opens the broker and binds its doors; nothing is taken before [`Mqtt::serve`].
    pub async fn open(
        config: &Config,
        intake: &Intake,
        live: &Live,
        identity: &Identity,
        certificate: Option<&ServerCertificate>,
    ) -> anyhow::Result<Mqtt> {
        let settings = Settings { max_connections: config.mqtt_max_connections, ..Settings::default() };
        let host = Arc::new(Devices {
            intake: intake.clone(),
            live: live.clone(),
            access: identity.access.clone(),
            sessions: Sessions {
                of_device: config.mqtt_sessions_per_device,
                of_caller: config.mqtt_sessions_per_caller,
            },
        });
        let broker = Broker::open(&config.data.join("mqtt"), settings, host)?;
        let mut listeners = Vec::new();
        if let Some(listener) = plain(config).await? {
            listeners.push(("mqtt", listener, None));
        }
        if let (Some(address), Some(certificate)) = (config.mqtts, certificate) {
            listeners.push(("mqtts", bind(address).await?, Some(tls(config, identity, certificate)?)));
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

/// Devices may show a certificate of Drover's own authority, or of the operator's.
fn tls(config: &Config, identity: &Identity, certificate: &ServerCertificate) -> anyhow::Result<ServerTls> {
    let oldest = if config.mqtts_tls12 { Oldest::Tls12 } else { Oldest::Tls13 };
    Ok(ServerTls::for_devices(certificate, Some(&identity.authority), oldest)?)
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

/// First level of the topics on which devices hear what they shall do.
const COMMANDS: &str = "commands";

/// What messages mean to this node, and who may send and see which.
struct Devices {
    intake: Intake,
    live: Live,
    access: Access,
    sessions: Sessions,
}

/// How many sessions one caller may have.
struct Sessions {
    of_device: usize,
    of_caller: usize,
}

impl Sessions {
    /// None: as many as there are.
    fn of(&self, caller: &Caller) -> Option<usize> {
        match &caller.reach {
            _ if caller.reaches_whole_node() => None,
            Reach::Own => Some(self.of_device),
            Reach::All | Reach::Fleets(_) => Some(self.of_caller),
        }
    }
}

/// What a client may do, found again with each of its messages.
struct Rights {
    caller: Caller,
    sight: Sight,
    /// Whom he listens to by name, for the audit.
    watching: Mutex<Watching>,
}

impl Rights {
    fn of(client: &Client) -> Option<&Rights> {
        client.rights()
    }

    /// True if any topic of the broker is the client's to use: whoever reaches the whole node and is no device.
    fn is_whole(&self) -> bool {
        self.caller.reaches_whole_node()
    }

    /// True if every topic of the broker is the client's to hear, so that nobody needs to ask about single messages.
    fn hears_all(&self) -> bool {
        self.is_whole() && self.caller.may(Permission::LiveRead)
    }

    /// Reports of what is seen; any other topic only for who reaches the whole node. A key needs the scope as well.
    fn may_publish(&self, topic: &str) -> bool {
        let needed = match topic.split('/').next() {
            Some(COMMANDS) => Permission::CommandsSend,
            _ => Permission::ReportsWrite,
        };
        let is_within = match reporting(topic) {
            Some((kind, id)) => self.sight.sees(kind, &id),
            None => self.is_whole(),
        };
        is_within && self.caller.may(needed)
    }

    /// What stands there by its name is the client's to hear now; or it is the live state with wildcards, of which he
    /// gets what he sees. A device and a driver have but one name to hear of.
    fn may_subscribe(&self, filter: &str) -> bool {
        let is_live = filter.split('/').next() == Some(LIVE);
        let may_follow = self.caller.may(Permission::LiveRead) && self.caller.reach != Reach::Own;
        self.may_hear(filter) || (is_live && may_follow && filter.contains(['+', '#']))
    }

    /// Whether a message on `topic` is the client's to hear now: his own commands, the live state of what he sees.
    fn may_hear(&self, topic: &str) -> bool {
        let mut levels = topic.splitn(3, '/');
        let (Some(first), Some(kind), Some(id)) = (levels.next(), levels.next(), levels.next()) else { return false };
        let Some(kind) = Kind::ALL.into_iter().find(|known| known.name() == kind) else { return false };
        let is_name = !id.contains(['+', '#', '/']);
        let may = match first {
            LIVE => self.caller.may(Permission::LiveRead) && self.sight.sees(kind, id),
            COMMANDS => self.caller.owns(kind, id),
            _ => false,
        };
        is_name && may
    }
}

/// Persons whose places a filter asks for by their names, wildcards beside the name or not: `live/driver/d-1`,
/// `drivers/d-1/location`, `owntracks/ada/phone`. A filter without a name asks for many, and names nobody.
fn named_persons(filter: &str) -> Vec<(Kind, Cow<'_, str>)> {
    let mut levels = filter.split('/');
    let (Some(first), Some(second), Some(third)) = (levels.next(), levels.next(), levels.next()) else {
        return Vec::new();
    };
    let is_wild = |level: &str| matches!(level, "+" | "#");
    let is = |level: &str, word: &str| level == word || level == "+";
    let persons = || Kind::ALL.into_iter().filter(|kind| is_person(*kind));
    let mut named = Vec::new();
    if is(first, LIVE) && !is_wild(third) {
        named.extend(persons().filter(|kind| is(second, kind.name())).map(|kind| (kind, Cow::Borrowed(third))));
    }
    if !is_wild(second) && matches!(third, "location" | "telemetry" | "+" | "#") {
        named.extend(persons().filter(|kind| is(first, kind.plural())).map(|kind| (kind, Cow::Borrowed(second))));
    }
    if let ("owntracks", Some((kind, id))) = (first, reporting(filter)) {
        named.extend((!is_wild(second) && !is_wild(third)).then_some((kind, id)));
    }
    named
}

/// Topics that only the node publishes.
fn is_own(topic: &str) -> bool {
    matches!(topic.split('/').next(), Some(LIVE | "$SYS"))
}

fn own() -> Refusal {
    Refusal::new(Refusal::NOT_AUTHORIZED, "only the node itself publishes here; send reports to drivers/{id}/location")
}

fn foreign() -> Refusal {
    Refusal::new(Refusal::NOT_AUTHORIZED, "this topic is not within the reach of these credentials")
}

impl Devices {
    /// Counts and keeps what comes beyond a device's limit, and refuses it when that is on disk.
    fn too_fast(&self, caller: &Caller, wait_s: u32, payload: &[u8]) -> Verdict {
        let message = format!("{} sends more than it may; send again in {wait_s} s", caller.name);
        let reject = Reject::new(RejectCode::RateLimited, "id", message);
        let reason = format!("{}: {}", reject.code.name(), reject.message);
        let kept = self.intake.keep_refused(Door::Mqtt, &IntakeError::Reject(reject), payload);
        let intake = self.intake.clone();
        Verdict::Taken(Box::pin(async move {
            if let Some(kept) = kept {
                intake.rejects_durable(kept).await;
            }
            Err(Refusal::new(Refusal::QUOTA_EXCEEDED, reason))
        }))
    }
}

impl Host for Devices {
    fn connect(&self, hello: &Hello<'_>) -> Result<Pass, Refusal> {
        let admitted = self.access.mqtt(hello)?;
        let sight = admitted.caller.sight(self.access.directory());
        let max_sessions = self.sessions.of(&admitted.caller);
        let rights = Rights { caller: admitted.caller, sight, watching: Mutex::new(admitted.watching) };
        let is_filtered = !rights.hears_all();
        let Admitted { owner, until, .. } = admitted;
        Ok(Pass { rights: Some(Arc::new(rights)), owner, max_sessions, until, is_filtered })
    }

    fn may_subscribe(&self, client: &Client, filter: &str) -> Result<(), Refusal> {
        let Some(rights) = Rights::of(client) else { return Err(foreign()) };
        if rights.hears_all() || rights.may_subscribe(filter) {
            return Ok(());
        }
        for (kind, id) in named_persons(filter) {
            rights.watching.lock().refuse(kind, &id);
        }
        Err(foreign())
    }

    fn begins_to_hear(&self, client: &Client, filter: &str) {
        let Some(rights) = Rights::of(client) else { return };
        for (kind, id) in named_persons(filter) {
            rights.watching.lock().begin(kind, &id);
        }
    }

    fn stops_hearing(&self, client: &Client, filter: &str) {
        let Some(rights) = Rights::of(client) else { return };
        for (kind, id) in named_persons(filter) {
            rights.watching.lock().end(kind, &id);
        }
    }

    fn has_left(&self, client: &Client) {
        if let Some(rights) = Rights::of(client) {
            drop(std::mem::take(&mut *rights.watching.lock()));
        }
    }

    fn may_receive(&self, client: &Client, topic: &str) -> bool {
        Rights::of(client).is_some_and(|rights| rights.hears_all() || rights.may_hear(topic))
    }

    fn may_publish(&self, client: &Client, topic: &str) -> Result<(), Refusal> {
        if is_own(topic) {
            return Err(own());
        }
        let may = Rights::of(client).is_some_and(|rights| rights.may_publish(topic));
        if may { Ok(()) } else { Err(foreign()) }
    }

    fn publish(&self, client: &Arc<Client>, message: &Message) -> Verdict {
        if let Err(refusal) = self.may_publish(client, &message.topic) {
            return Verdict::Refused(refusal);
        }
        let Some(rights) = Rights::of(client) else { return Verdict::Refused(foreign()) };
        if let Some(wait_s) = self.access.take_report(&rights.caller) {
            return self.too_fast(&rights.caller, wait_s, &message.payload);
        }
        let refusal = |NotTaken { code, reason, .. }| Refusal::new(code, reason);
        match take(&self.intake, &rights.sight, &message.topic, &message.payload) {
            Some(taking) => Verdict::Taken(Box::pin(async move { taking.await.map_err(refusal) })),
            None => Verdict::Route,
        }
    }

    fn retained(&self, client: &Client, filter: &str, cursor: u64, sink: &mut dyn FnMut(Message)) -> Option<u64> {
        let sight = &Rights::of(client)?.sight;
        live_page(&self.live, sight, filter, cursor, sink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_persons_by_their_ids_and_nobody_by_wildcards() {
        let named = |filter: &str| {
            let persons = named_persons(filter).into_iter().map(|(kind, id)| format!("{kind}/{id}"));
            persons.collect::<Vec<_>>().join(" ")
        };
        for (filter, wanted) in [
            ("live/driver/d-1", "driver/d-1"),
            ("live/driver/d-1/#", "driver/d-1"),
            ("live/+/d-1", "driver/d-1 rider/d-1"),
            ("+/driver/d-1", "driver/d-1"),
            ("drivers/d-1/location", "driver/d-1"),
            ("riders/r-1/+", "rider/r-1"),
            ("drivers/d-1/#", "driver/d-1"),
            ("+/d-1/location", "driver/d-1 rider/d-1"),
            ("owntracks/ada/phone", "driver/ada-phone"),
            ("live/vehicle/v-1", ""),
            ("vehicles/v-1/location", ""),
            ("commands/driver/d-1", ""),
            ("live/driver/+", ""),
            ("drivers/+/location", ""),
            ("live/#", ""),
            ("#", ""),
        ] {
            assert_eq!(named(filter), wanted, "{filter}");
        }
    }
}
