//! The broker: which sessions there are, and how a message finds them. Connections call in from their
//! own tasks; the node publishes through [`Broker::publish`].

use crate::host::{Client, Host, Promise, Protocol, Refusal, Verdict};
use crate::message::Message;
use crate::retained::Retained;
use crate::routes::Routes;
use crate::session::{Delivery, Queued, Session};
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::store::{Store, StoreError};
use crate::topic::{matches, split_shared};
use parking_lot::RwLock;
use rmqtt_codec::v5::DisconnectReasonCode;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How exact delays of last wills and ends of sessions are.
const AGENDA_INTERVAL: Duration = Duration::from_millis(100);
/// How often retained messages that are past their time are looked for, and figures are told.
const TIDY_INTERVAL: Duration = Duration::from_secs(10);
/// How long clients may take to be told that the broker stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A broker cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Its folder cannot be made.
    #[error("MQTT folder: {0}")]
    Folder(#[from] std::io::Error),
    /// Its store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Figures of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Connections, before and after CONNECT.
    pub connections: usize,
    /// Sessions, connected or not.
    pub sessions: usize,
    /// Subscriptions of all sessions.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained: usize,
    /// Messages passed on since the start, by clients and by the node.
    pub published: u64,
}

/// A running broker. Cheap to clone.
#[derive(Clone)]
pub struct Broker(pub(crate) Arc<Shared>);

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) routes: RwLock<Routes>,
    /// The number of routes, to be asked without the lock.
    routes_len: AtomicUsize,
    pub(crate) sessions: Sessions,
    pub(crate) retained: RwLock<Retained>,
    pub(crate) store: Store,
    pub(crate) connections: AtomicUsize,
    pub(crate) published: AtomicU64,
    /// By QoS.
    pub(crate) publishes: [metrics::Counter; 3],
    pub(crate) started: Instant,
    /// Who publishes what the node itself says.
    node: Arc<Client>,
}

/// What a routed message waits for before it may be acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Routed {
    /// Sessions that get it.
    pub(crate) subscribers: usize,
    /// What the store must have written.
    pub(crate) ticket: Option<u64>,
    /// A connected client that is behind.
    pub(crate) behind: Option<Arc<Session>>,
    /// A session that persists did not get it, because the store takes nothing.
    pub(crate) is_refused: bool,
}

impl Broker {
    /// Opens the broker's folder and takes up the sessions that were there. Must be called within a
    /// runtime.
    pub fn open(folder: &Path, settings: Settings, host: Arc<dyn Host>) -> Result<Broker, BrokerError> {
        std::fs::create_dir_all(folder)?;
        let (store, loaded) = Store::open(folder)?;
        let node = Client {
            id: "$node".into(),
            protocol: Protocol::V5,
            address: None,
            username: None,
            rights: OnceLock::new(),
        };
        let broker = Broker(Arc::new(Shared {
            settings,
            host,
            routes: RwLock::default(),
            routes_len: AtomicUsize::new(0),
            sessions: Sessions::default(),
            retained: RwLock::default(),
            store,
            connections: AtomicUsize::new(0),
            published: AtomicU64::new(0),
            publishes: ["0", "1", "2"].map(|qos| metrics::counter!("drover_mqtt_publishes_total", "qos" => qos)),
            started: Instant::now(),
            node: Arc::new(node),
        }));
        broker.take_up(loaded);
        broker.keep_tidy();
        Ok(broker)
    }

    /// What the broker does at the moment.
    pub fn stats(&self) -> Stats {
        Stats {
            connections: self.0.connections.load(Ordering::Relaxed),
            sessions: self.0.sessions.len(),
            subscriptions: self.0.routes_len.load(Ordering::Relaxed),
            retained: self.0.retained.read().len(),
            published: self.0.published.load(Ordering::Relaxed),
        }
    }

    /// Publishes in the node's own name, to subscribers and, if it says so, to be retained. Returns how
    /// many sessions get it; durable for those that persist once the future resolves to true.
    pub fn publish(&self, message: Message) -> (usize, impl Future<Output = bool> + Send + use<>) {
        let routed = self.route(&self.0.node.id, Arc::new(message));
        let is_refused = routed.as_ref().map_or(true, |routed| routed.is_refused);
        let routed = routed.unwrap_or_default();
        let store = self.0.store.clone();
        let written = async move {
            match routed.ticket {
                Some(ticket) => store.durable(ticket).await && !is_refused,
                None => !is_refused,
            }
        };
        (routed.subscribers, written)
    }

    /// Whether anybody could get a message whose topic begins with this level.
    pub fn reaches(&self, first_level: &str) -> bool {
        self.has_routes() && self.0.routes.read().reaches(first_level)
    }

    pub(crate) fn has_routes(&self) -> bool {
        self.0.routes_len.load(Ordering::Relaxed) > 0
    }

    /// Asks the host about a message that no connection waits for (a last will), and passes it on.
    pub(crate) fn publish_will(&self, client: &Arc<Client>, message: Message) {
        let message = Arc::new(message);
        match self.0.host.publish(client, &message) {
            Verdict::Route => drop(self.route(&client.id, message)),
            Verdict::Taken(promise) => {
                drop(tokio::spawn(self.clone().route_when_kept(client.clone(), message, promise)))
            }
            Verdict::Refused(refusal) => note_refused(client, &refusal),
        }
    }

    async fn route_when_kept(self, client: Arc<Client>, message: Arc<Message>, promise: Promise) {
        match promise.await {
            Ok(()) => drop(self.route(&client.id, message)),
            Err(refusal) => note_refused(&client, &refusal),
        }
    }

    /// Retains the message if it says so, and queues it for every session with a matching filter. On
    /// `Err` nothing was done.
    pub(crate) fn route(&self, from: &str, message: Arc<Message>) -> Result<Routed, Refusal> {
        self.0.published.fetch_add(1, Ordering::Relaxed);
        let mut ticket = None;
        if message.retain {
            ticket = Some(self.retain(&message)?);
        }
        if !self.has_routes() {
            return Ok(Routed { ticket, ..Routed::default() });
        }
        let may_get = |session: &Session| session.may_queue(&*self.0.host, &message.topic);
        let found = self.0.routes.read().find(&message.topic, from, &may_get);
        let mut routed = Routed { ticket, ..Routed::default() };
        for found in found {
            // Who gets it by a shared subscription was asked about already.
            if found.share.is_none() && !may_get(&found.session) {
                continue;
            }
            let qos = message.qos.min(found.qos);
            let retain = message.retain && found.retain_as_published;
            let queued = Queued { share: found.share, ..Queued::new(message.clone(), qos, retain, found.ids) };
            match found.session.deliver(queued, &self.0.settings, &self.0.store) {
                Delivery::Dropped => {}
                Delivery::Refused => routed.is_refused = true,
                Delivery::Queued => routed.subscribers += 1,
                Delivery::Stored(written) => {
                    routed.subscribers += 1;
                    routed.ticket = routed.ticket.max(Some(written));
                }
            }
            if routed.behind.is_none() && found.session.is_behind() {
                routed.behind = Some(found.session);
            }
        }
        Ok(routed)
    }

    fn retain(&self, message: &Arc<Message>) -> Result<u64, Refusal> {
        if !self.0.store.can_take() {
            return Err(crate::inbound::not_stored());
        }
        let kept = Arc::new(message.detached());
        // Under the lock as long as the store has not its copy: both must see the same order.
        let mut retained = self.0.retained.write();
        retained.keep(&kept, &self.0.settings).map_err(|_full| {
            let settings = &self.0.settings;
            let reason = format!(
                "at most {} messages and {} bytes are retained; clear some by empty messages",
                settings.max_retained, settings.max_retained_bytes
            );
            Refusal::new(Refusal::QUOTA_EXCEEDED, reason)
        })?;
        Ok(self.0.store.keep_retained(&kept))
    }

    /// What a new subscription is handed over; the broker's own figures among it.
    pub(crate) fn retained(&self, filter: &str) -> Vec<Arc<Message>> {
        let mut found = self.0.retained.read().find(filter);
        if filter.starts_with('$') {
            found.extend(crate::sys::messages(self).into_iter().filter(|it| matches(filter, &it.topic)).map(Arc::new));
        }
        found
    }

    /// Adds a subscription; true when the session did not have it. The filter is checked already.
    pub(crate) fn subscribe(&self, session: &Arc<Session>, filter: &str, wish: crate::routes::Wish) -> bool {
        let Ok((group, plain)) = split_shared(filter) else { return false };
        session.state.lock().subscriptions.insert(filter.into(), wish);
        let mut routes = self.0.routes.write();
        let is_new = routes.add(plain, group, session, wish);
        self.0.routes_len.store(routes.len(), Ordering::Relaxed);
        is_new
    }

    pub(crate) fn unsubscribe(&self, session: &Arc<Session>, filter: &str) -> bool {
        if session.state.lock().subscriptions.remove(filter).is_none() {
            return false;
        }
        self.remove_route(session, filter);
        true
    }

    pub(crate) fn remove_route(&self, session: &Arc<Session>, filter: &str) {
        let Ok((group, plain)) = split_shared(filter) else { return };
        let mut routes = self.0.routes.write();
        routes.remove(plain, group, session);
        self.0.routes_len.store(routes.len(), Ordering::Relaxed);
    }

    fn keep_tidy(&self) {
        let weak = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let mut tidied = Instant::now();
            loop {
                tokio::time::sleep(AGENDA_INTERVAL).await;
                let Some(shared) = weak.upgrade() else { return };
                let broker = Broker(shared);
                broker.keep_agenda();
                if tidied.elapsed() >= TIDY_INTERVAL {
                    tidied = Instant::now();
                    broker.tidy();
                }
            }
        });
    }

    fn tidy(&self) {
        for expired in self.0.retained.write().expire() {
            let cleared = Message { payload: Default::default(), ..(*expired).clone() };
            self.0.store.keep_retained(&cleared);
        }
        metrics::gauge!("drover_mqtt_sessions").set(self.0.sessions.len() as f64);
        metrics::gauge!("drover_mqtt_retained").set(self.0.retained.read().len() as f64);
        metrics::gauge!("drover_mqtt_subscriptions").set(self.0.routes_len.load(Ordering::Relaxed) as f64);
        crate::sys::publish(self);
    }

    /// Tells every client that the broker stops, and writes down what must be kept.
    pub async fn stop(&self) {
        for session in self.0.sessions.all() {
            if let Some(owner) = session.state.lock().owner.take() {
                // It may have ended by itself meanwhile.
                let _gone = owner.send(DisconnectReasonCode::ServerShuttingDown);
            }
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.0.connections.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.0.store.close().await;
    }
}

/// Counts and says a refused publish.
pub(crate) fn note_refused(client: &Client, refusal: &Refusal) {
    metrics::counter!("drover_mqtt_refused_total", "reason" => refusal.name()).increment(1);
    tracing::debug!(client = %client.id, reason = %refusal.reason, "a publish was refused");
}
