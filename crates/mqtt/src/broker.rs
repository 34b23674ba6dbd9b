//! The broker: which sessions there are, and how a message finds them. Connections call in from their
//! own tasks; the node publishes through [`Broker::publish`].

use crate::host::{Client, Host, Promise, Protocol, Refusal, Verdict};
use crate::message::{Message, now_ms};
use crate::retained::Retained;
use crate::routes::Routes;
use crate::session::{Delivery, Queued, Session};
use crate::settings::Settings;
use crate::store::{Kept, KeptSession, Loaded, Store, StoreError};
use crate::topic::split_shared;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use rmqtt_codec::types::QoS;
use rmqtt_codec::v5::DisconnectReasonCode;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often what is past its time is looked for.
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
    routes: RwLock<Routes>,
    /// The number of routes, to be asked without the lock.
    routes_len: AtomicUsize,
    sessions: Mutex<HashMap<Box<str>, Arc<Session>>>,
    retained: RwLock<Retained>,
    pub(crate) store: Store,
    pub(crate) connections: AtomicUsize,
    pub(crate) published: AtomicU64,
    pub(crate) publishes: metrics::Counter,
    pub(crate) started: Instant,
    /// Who publishes what the node itself says.
    node: Arc<Client>,
}

/// A session that a connection now owns.
pub(crate) struct Attached {
    pub(crate) session: Arc<Session>,
    pub(crate) present: bool,
    pub(crate) epoch: u64,
    pub(crate) ended_by: oneshot::Receiver<DisconnectReasonCode>,
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
}

impl Broker {
    /// Opens the broker's folder and takes up the sessions that were there. Must be called within a
    /// runtime.
    pub fn open(folder: &Path, settings: Settings, host: Arc<dyn Host>) -> Result<Broker, BrokerError> {
        std::fs::create_dir_all(folder)?;
        let (store, loaded) = Store::open(folder)?;
        let node = Client { id: "$node".into(), protocol: Protocol::V5, address: None, username: None };
        let broker = Broker(Arc::new(Shared {
            settings,
            host,
            routes: RwLock::default(),
            routes_len: AtomicUsize::new(0),
            sessions: Mutex::default(),
            retained: RwLock::default(),
            store,
            connections: AtomicUsize::new(0),
            published: AtomicU64::new(0),
            publishes: metrics::counter!("drover_mqtt_publishes_total"),
            started: Instant::now(),
            node: Arc::new(node),
        }));
        broker.take_up(loaded);
        broker.keep_tidy();
        Ok(broker)
    }

    fn take_up(&self, loaded: Loaded) {
        for message in loaded.retained {
            // What was within the bound when it was kept may be beyond a smaller one now.
            if self.0.retained.write().keep(&Arc::new(message), &self.0.settings).is_err() {
                metrics::counter!("drover_mqtt_dropped_total", "reason" => "retained_full").increment(1);
            }
        }
        for (client_id, kept) in loaded.sessions {
            self.take_up_session(&client_id, kept);
        }
    }

    fn take_up_session(&self, client_id: &str, kept: Kept) {
        let session = Session::new(client_id);
        for (filter, wish) in kept.session.wishes() {
            self.subscribe(&session, filter, wish);
        }
        let away_since = if kept.session.left_ms == 0 { now_ms() } else { kept.session.left_ms };
        session.restore(kept);
        let expiry = session.state.lock().expiry;
        let left = expiry.saturating_sub(Duration::from_millis(now_ms().saturating_sub(away_since)));
        self.0.sessions.lock().insert(client_id.into(), session.clone());
        self.expire_later(&session, 0, left);
    }

    /// Publishes in the node's own name, to subscribers and, if it says so, to be retained. Returns how
    /// many sessions get it; durable for those that persist once the future resolves to true.
    pub fn publish(&self, message: Message) -> (usize, impl Future<Output = bool> + Send + use<>) {
        let routed = self.route(&self.0.node.id, Arc::new(message)).unwrap_or_default();
        let store = self.0.store.clone();
        let written = async move {
            match routed.ticket {
                Some(ticket) => store.durable(ticket).await,
                None => true,
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
            Verdict::Taken(promise) => drop(tokio::spawn(self.clone().route_when_kept(client.clone(), message, promise))),
            Verdict::Refused(refusal) => note_refused(client, &message, &refusal),
        }
    }

    async fn route_when_kept(self, client: Arc<Client>, message: Arc<Message>, promise: Promise) {
        match promise.await {
            Ok(()) => drop(self.route(&client.id, message)),
            Err(refusal) => note_refused(&client, &message, &refusal),
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
        let matches = self.0.routes.read().find(&message.topic, from);
        let mut routed = Routed { ticket, ..Routed::default() };
        for found in matches {
            let queued = Queued {
                message: message.clone(),
                qos: message.qos.min(found.qos),
                retain: message.retain && found.retain_as_published,
                ids: found.ids,
                stored: None,
            };
            match found.session.deliver(queued, &self.0.settings, &self.0.store) {
                Delivery::Dropped => {}
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
        if self.0.store.is_full() {
            return Err(Refusal::new(Refusal::QUOTA_EXCEEDED, "the store is behind; send again later"));
        }
        let kept = Arc::new(message.detached());
        self.0.retained.write().keep(&kept, &self.0.settings).map_err(|_full| {
            let settings = &self.0.settings;
            let reason = format!(
                "at most {} messages and {} bytes are retained; clear some by empty messages",
                settings.max_retained, settings.max_retained_bytes
            );
            Refusal::new(Refusal::QUOTA_EXCEEDED, reason)
        })?;
        Ok(self.0.store.keep_retained(&kept))
    }

    pub(crate) fn retained(&self, filter: &str) -> Vec<Arc<Message>> {
        self.0.retained.read().find(filter)
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

    fn remove_route(&self, session: &Arc<Session>, filter: &str) {
        let Ok((group, plain)) = split_shared(filter) else { return };
        let mut routes = self.0.routes.write();
        routes.remove(plain, group, session);
        self.0.routes_len.store(routes.len(), Ordering::Relaxed);
    }

    /// Gives the client's session to a new connection. An older connection of the same client is ended;
    /// a clean start forgets what the old session had. `None`: there are as many sessions as allowed.
    pub(crate) fn attach(&self, client_id: &str, clean_start: bool, expiry: Duration) -> Option<Attached> {
        let mut sessions = self.0.sessions.lock();
        let old = sessions.get(client_id).cloned();
        if let Some(old) = &old {
            let mut state = old.state.lock();
            if let Some(owner) = state.owner.take() {
                // It may have ended by itself meanwhile.
                let _gone = owner.send(DisconnectReasonCode::SessionTakenOver);
            }
            // A connection that is on its way out must not touch the session any more.
            state.epoch += 1;
        }
        let (session, present) = match old {
            Some(session) if !clean_start => (session, true),
            old => {
                if old.is_none() && sessions.len() >= self.0.settings.max_sessions {
                    return None;
                }
                if let Some(old) = old {
                    self.clear(&old);
                }
                let session = Session::new(client_id);
                sessions.insert(client_id.into(), session.clone());
                (session, false)
            }
        };
        drop(sessions);
        let (owner, ended_by) = oneshot::channel();
        let mut state = session.state.lock();
        state.owner = Some(owner);
        state.epoch += 1;
        state.expiry = expiry;
        let epoch = state.epoch;
        drop(state);
        session.set_connected(true);
        Some(Attached { session, present, epoch, ended_by })
    }

    /// A connection has ended. Unless another one owns the session by now, the session is kept for as
    /// long as it may, or forgotten.
    pub(crate) fn detach(&self, session: &Arc<Session>, epoch: u64) {
        let mut state = session.state.lock();
        if state.epoch != epoch {
            return;
        }
        state.owner = None;
        session.set_connected(false);
        let expiry = state.expiry;
        // Messages under way go first when the client comes back; it may have them already.
        drop(state);
        if expiry.is_zero() {
            self.forget(session, epoch);
        } else {
            self.keep(session);
            self.expire_later(session, epoch, expiry);
        }
    }

    /// Writes the session down as it is, if it outlives its connection; gives the ticket to wait for.
    pub(crate) fn keep(&self, session: &Arc<Session>) -> Option<u64> {
        let state = session.state.lock();
        if state.expiry.is_zero() {
            return None;
        }
        let subscriptions = state.subscriptions.iter().map(|(filter, wish)| {
            (filter.to_string(), wish.qos.value(), wish.no_local, wish.retain_as_published, wish.id)
        });
        let kept = KeptSession {
            expiry_s: state.expiry.as_secs(),
            left_ms: if session.is_connected() { 0 } else { now_ms() },
            subscriptions: subscriptions.collect(),
            received: state.received.iter().map(|id| id.get()).collect(),
        };
        Some(self.0.store.keep_session(&session.client_id, &kept))
    }

    fn expire_later(&self, session: &Arc<Session>, epoch: u64, after: Duration) {
        let (broker, session) = (self.clone(), session.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            broker.forget(&session, epoch);
        });
    }

    /// Forgets the session, if no other connection has taken it since.
    fn forget(&self, session: &Arc<Session>, epoch: u64) {
        let mut sessions = self.0.sessions.lock();
        if session.state.lock().epoch == epoch && !session.is_connected() {
            sessions.remove(&session.client_id);
            self.clear(session);
        }
    }

    fn clear(&self, session: &Arc<Session>) {
        let (subscriptions, persistent) = {
            let mut state = session.state.lock();
            (std::mem::take(&mut state.subscriptions), !state.expiry.is_zero())
        };
        for filter in subscriptions.keys() {
            self.remove_route(session, filter);
        }
        if persistent {
            self.0.store.forget_session(&session.client_id);
        }
    }

    fn keep_tidy(&self) {
        let weak = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TIDY_INTERVAL).await;
                let Some(shared) = weak.upgrade() else { return };
                Broker(shared).tidy();
            }
        });
    }

    fn tidy(&self) {
        for expired in self.0.retained.write().expire() {
            let cleared = Message { payload: Default::default(), ..(*expired).clone() };
            self.0.store.keep_retained(&cleared);
        }
        metrics::gauge!("drover_mqtt_sessions").set(self.0.sessions.lock().len() as f64);
        metrics::gauge!("drover_mqtt_retained").set(self.0.retained.read().len() as f64);
        metrics::gauge!("drover_mqtt_subscriptions").set(self.0.routes_len.load(Ordering::Relaxed) as f64);
        crate::sys::publish(self);
    }

    /// Tells every client that the broker stops, and writes down what must be kept.
    pub async fn stop(&self) {
        let sessions: Vec<_> = self.0.sessions.lock().values().cloned().collect();
        for session in sessions {
            if let Some(owner) = session.state.lock().owner.take() {
                // It may have ended by itself meanwhile.
                let _gone = owner.send(DisconnectReasonCode::ServerShuttingDown);
            }
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.0.connections.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let store = self.0.store.clone();
        if tokio::task::spawn_blocking(move || store.close()).await.is_err() {
            tracing::error!("MQTT sessions were not closed");
        }
    }
}

/// Nobody can be told, so it is counted and said.
pub(crate) fn note_refused(client: &Client, message: &Message, refusal: &Refusal) {
    metrics::counter!("drover_mqtt_refused_total").increment(1);
    tracing::debug!(client = %client.id, topic = %message.topic, reason = %refusal.reason, "a publish was refused");
}

/// What SUBACK says about a subscription that was taken.
pub(crate) fn granted(qos: QoS) -> rmqtt_codec::v5::SubscribeAckReason {
    use rmqtt_codec::v5::SubscribeAckReason;
    match qos {
        QoS::AtMostOnce => SubscribeAckReason::GrantedQos0,
        QoS::AtLeastOnce => SubscribeAckReason::GrantedQos1,
        QoS::ExactlyOnce => SubscribeAckReason::GrantedQos2,
    }
}
