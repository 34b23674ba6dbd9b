//! Who listens to what. One task follows the changes of the live state and of deliveries and rings the bells of those
//! connections that listen to what changed; each connection then reads what is true by then. So a change costs its
//! listeners and nobody else, and nothing is queued for anybody: a topic that changed twice is one mark.
//!
//! Must always hold: a mark is made after the change can be read, so that whoever is marked reads it or something newer.

use drover_access::Caller;
use drover_model::Kind;
use hashbrown::{Equivalent, HashMap, HashSet};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Most connections at once, of all doors of this crate.
pub(crate) const CONNECTIONS_MAX: usize = 10_000;
/// Of them, those that nobody had to log in for.
pub(crate) const PUBLIC_MAX: usize = 2_000;
/// Most of those that follow one delivery: whoever knows its number must not take all the places.
pub(crate) const PUBLIC_OF_ONE_MAX: usize = 50;
/// Most subscriptions of one connection.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 1_000;
/// Most subscriptions of all connections together.
pub(crate) const ALL_SUBSCRIPTIONS_MAX: usize = 500_000;

/// What can be listened to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    /// An asset's newest report.
    Asset(Kind, Arc<str>),
    /// A delivery: its status, and the position of whoever drives for it.
    Delivery(Arc<str>),
}

/// A topic by name, looked up without copying the id. Hashes like [`Topic`].
#[derive(Hash)]
enum Named<'a> {
    Asset(Kind, &'a str),
    Delivery(&'a str),
}

impl Equivalent<Topic> for Named<'_> {
    fn equivalent(&self, topic: &Topic) -> bool {
        match (self, topic) {
            (Named::Asset(kind, id), Topic::Asset(other_kind, other)) => kind == other_kind && **id == **other,
            (Named::Delivery(id), Topic::Delivery(other)) => **id == **other,
            _ => false,
        }
    }
}

/// Why a connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The caller's login is over.
    LoginOver,
    /// The node stops.
    NodeStops,
    /// The other side has left.
    Left,
}

/// What a connection hears.
#[derive(Debug)]
pub(crate) enum News {
    /// These changed since it last heard of them.
    Changed(HashSet<Topic>),
    /// It has to end.
    End(End),
}

/// A bound was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Connections,
    Subscriptions,
}

/// Where marks for one connection are put.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Nobody for the public page.
    caller: Option<Caller>,
    marks: Mutex<Marks>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Marks {
    changed: HashSet<Topic>,
    end: Option<End>,
}

impl Mailbox {
    /// Marks a topic as changed.
    pub fn mark(&self, topic: Topic) {
        if self.marks.lock().changed.insert(topic) {
            self.bell.notify_one();
        }
    }

    /// Ends the connection; the first reason stays.
    pub fn end(&self, end: End) {
        self.marks.lock().end.get_or_insert(end);
        self.bell.notify_one();
    }
}

/// The listeners of a node. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    desk: Mutex<Desk>,
    /// Read without the lock: while nobody listens, changes are not followed.
    listened: AtomicBool,
}

#[derive(Debug, Default)]
struct Desk {
    boxes: Vec<Arc<Mailbox>>,
    public: usize,
    listeners: HashMap<Topic, Vec<Arc<Mailbox>>>,
    subscriptions: usize,
    /// Drivers of the deliveries that somebody listens to.
    driving: HashMap<Arc<str>, Vec<Arc<str>>>,
    driver_of: HashMap<Arc<str>, Arc<str>>,
    closed: bool,
}

impl Hub {
    /// A place for one more connection.
    pub fn join(&self, caller: Option<Caller>) -> Result<Listener, Full> {
        let public = caller.is_none();
        let mailbox = Arc::new(Mailbox { caller, marks: Mutex::default(), bell: Notify::new() });
        let mut desk = self.0.desk.lock();
        if desk.boxes.len() >= CONNECTIONS_MAX || (public && desk.public >= PUBLIC_MAX) {
            return Err(Full::Connections);
        }
        if desk.closed {
            mailbox.end(End::NodeStops);
        }
        desk.public += usize::from(public);
        desk.boxes.push(mailbox.clone());
        metrics::gauge!("drover_tracking_connections").set(desk.boxes.len() as f64);
        Ok(Listener { hub: self.clone(), mailbox, topics: HashSet::new() })
    }

    /// Connections at the moment.
    pub fn connections(&self) -> usize {
        self.0.desk.lock().boxes.len()
    }

    /// True while nobody listens to anything.
    pub fn is_idle(&self) -> bool {
        !self.0.listened.load(Ordering::Relaxed)
    }

    /// Marks assets, and the deliveries that they drive for.
    pub fn assets_changed<'a>(&self, assets: impl Iterator<Item = (Kind, &'a str)>) {
        let desk = self.0.desk.lock();
        for (kind, id) in assets {
            desk.mark(&Named::Asset(kind, id));
            let deliveries = (kind == Kind::Driver).then(|| desk.driving.get(id)).flatten();
            for delivery in deliveries.into_iter().flatten() {
                desk.mark(&Named::Delivery(delivery));
            }
        }
    }

    /// Marks a delivery, which `driver` drives for now.
    pub fn delivery_changed(&self, id: &str, driver: Option<&Arc<str>>) {
        let mut desk = self.0.desk.lock();
        if let Some((topic, _)) = desk.listeners.get_key_value(&Named::Delivery(id)) {
            let Topic::Delivery(id) = topic.clone() else { return };
            desk.set_driver(&id, driver);
            desk.mark(&Named::Delivery(&id));
        }
    }

    /// Ids of all deliveries that somebody listens to.
    pub fn deliveries(&self) -> Vec<Arc<str>> {
        let desk = self.0.desk.lock();
        let ids = desk.listeners.keys().filter_map(|topic| match topic {
            Topic::Delivery(id) => Some(id.clone()),
            Topic::Asset(..) => None,
        });
        ids.collect()
    }

    /// Ends the connections of callers whose login is over.
    pub fn sweep(&self, ended: &dyn Fn(&Caller) -> bool) {
        let boxes = self.0.desk.lock().boxes.clone();
        for mailbox in boxes {
            if mailbox.caller.as_ref().is_some_and(ended) {
                mailbox.end(End::LoginOver);
            }
        }
    }

    /// Ends every connection, those that are still to come too.
    pub fn close(&self) {
        let mut desk = self.0.desk.lock();
        desk.closed = true;
        desk.boxes.iter().for_each(|mailbox| mailbox.end(End::NodeStops));
    }
}

impl Desk {
    fn mark(&self, topic: &Named<'_>) {
        if let Some((topic, listeners)) = self.listeners.get_key_value(topic) {
            listeners.iter().for_each(|mailbox| mailbox.mark(topic.clone()));
        }
    }

    fn set_driver(&mut self, delivery: &Arc<str>, driver: Option<&Arc<str>>) {
        if self.driver_of.get(delivery) == driver {
            return;
        }
        if let Some(before) = self.driver_of.remove(delivery)
            && let Some(deliveries) = self.driving.get_mut(&before)
        {
            deliveries.retain(|other| other != delivery);
            if deliveries.is_empty() {
                self.driving.remove(&before);
            }
        }
        if let Some(driver) = driver {
            self.driver_of.insert(delivery.clone(), driver.clone());
            self.driving.entry(driver.clone()).or_default().push(delivery.clone());
        }
    }

    fn remove(&mut self, topic: &Topic, mailbox: &Arc<Mailbox>) {
        let Some(listeners) = self.listeners.get_mut(topic) else { return };
        if let Some(at) = listeners.iter().position(|other| Arc::ptr_eq(other, mailbox)) {
            listeners.swap_remove(at);
            self.subscriptions -= 1;
        }
        if listeners.is_empty() {
            self.listeners.remove(topic);
            if let Topic::Delivery(id) = topic {
                self.set_driver(id, None);
            }
        }
    }
}

/// One connection's place; leaves everything when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    hub: Hub,
    mailbox: Arc<Mailbox>,
    topics: HashSet<Topic>,
}

impl Listener {
    /// Listens to a topic too, and marks it, so that its present state is told first. For a delivery, `driver` says who
    /// drives for it; it is asked while nothing else can change that.
    pub fn listen(&mut self, topic: &Topic, driver: impl FnOnce() -> Option<Arc<str>>) -> Result<(), Full> {
        if self.topics.contains(topic) {
            self.mailbox.mark(topic.clone());
            return Ok(());
        }
        let mut desk = self.hub.0.desk.lock();
        if self.topics.len() >= SUBSCRIPTIONS_MAX || desk.subscriptions >= ALL_SUBSCRIPTIONS_MAX {
            return Err(Full::Subscriptions);
        }
        let listeners = desk.listeners.entry(topic.clone()).or_default();
        if self.mailbox.caller.is_none() && listeners.len() >= PUBLIC_OF_ONE_MAX {
            return Err(Full::Connections);
        }
        listeners.push(self.mailbox.clone());
        desk.subscriptions += 1;
        self.hub.0.listened.store(true, Ordering::Relaxed);
        if let Topic::Delivery(id) = topic {
            desk.set_driver(id, driver().as_ref());
        }
        drop(desk);
        self.topics.insert(topic.clone());
        self.mailbox.mark(topic.clone());
        Ok(())
    }

    /// Stops listening to a topic; false where it did not listen.
    pub fn leave(&mut self, topic: &Topic) -> bool {
        if !self.topics.remove(topic) {
            return false;
        }
        let mut desk = self.hub.0.desk.lock();
        desk.remove(topic, &self.mailbox);
        self.hub.0.listened.store(desk.subscriptions > 0, Ordering::Relaxed);
        true
    }

    /// True if it listens to the topic.
    pub fn listens(&self, topic: &Topic) -> bool {
        self.topics.contains(topic)
    }

    /// The place where marks for this connection are put.
    pub fn mailbox(&self) -> Arc<Mailbox> {
        self.mailbox.clone()
    }

    /// Waits for news. Cancel-safe: what was not returned is still there.
    pub async fn news(&self) -> News {
        loop {
            {
                let mut marks = self.mailbox.marks.lock();
                if let Some(end) = marks.end {
                    return News::End(end);
                }
                if !marks.changed.is_empty() {
                    return News::Changed(std::mem::take(&mut marks.changed));
                }
            }
            self.mailbox.bell.notified().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut desk = self.hub.0.desk.lock();
        for topic in &self.topics {
            desk.remove(topic, &self.mailbox);
        }
        self.hub.0.listened.store(desk.subscriptions > 0, Ordering::Relaxed);
        if let Some(at) = desk.boxes.iter().position(|other| Arc::ptr_eq(other, &self.mailbox)) {
            desk.boxes.swap_remove(at);
        }
        desk.public -= usize::from(self.mailbox.caller.is_none());
        metrics::gauge!("drover_tracking_connections").set(desk.boxes.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub_with(topics: &[Topic]) -> (Hub, Listener) {
        let hub = Hub::default();
        let mut listener = hub.join(Some(Caller::dev())).unwrap();
        for topic in topics {
            listener.listen(topic, || None).unwrap();
        }
        (hub, listener)
    }

    fn changed(listener: &Listener) -> HashSet<Topic> {
        std::mem::take(&mut listener.mailbox.marks.lock().changed)
    }

    fn vehicle(id: &str) -> Topic {
        Topic::Asset(Kind::Vehicle, id.into())
    }

    #[test]
    fn only_listeners_of_what_changed_are_marked_and_a_second_change_is_the_same_mark() {
        let (hub, one) = hub_with(&[vehicle("v-1")]);
        let mut two = hub.join(None).unwrap();
        two.listen(&vehicle("v-2"), || None).unwrap();
        assert_eq!((changed(&one).len(), changed(&two).len()), (1, 1), "the present state is told first");
        hub.assets_changed([(Kind::Vehicle, "v-1"), (Kind::Vehicle, "v-1"), (Kind::Driver, "v-2")].into_iter());
        assert_eq!(changed(&one), [vehicle("v-1")].into_iter().collect());
        assert!(changed(&two).is_empty());
    }

    #[test]
    fn a_delivery_is_marked_when_whoever_drives_for_it_now_moves() {
        let hub = Hub::default();
        let mut listener = hub.join(Some(Caller::dev())).unwrap();
        let delivery = Topic::Delivery("o-1".into());
        listener.listen(&delivery, || Some("d-1".into())).unwrap();
        changed(&listener);
        hub.assets_changed([(Kind::Driver, "d-1")].into_iter());
        assert_eq!(changed(&listener).len(), 1);
        hub.delivery_changed("o-1", Some(&"d-2".into()));
        assert_eq!(changed(&listener).len(), 1, "another driver is a change by itself");
        hub.assets_changed([(Kind::Driver, "d-1")].into_iter());
        assert!(changed(&listener).is_empty(), "the driver before is nobody's business any more");
        hub.assets_changed([(Kind::Driver, "d-2")].into_iter());
        assert_eq!(changed(&listener).len(), 1);
    }

    #[test]
    fn whoever_leaves_takes_everything_along() {
        let (hub, listener) = hub_with(&[vehicle("v-1"), Topic::Delivery("o-1".into())]);
        assert!(!hub.is_idle());
        drop(listener);
        assert!(hub.is_idle());
        let desk = hub.0.desk.lock();
        assert!(desk.boxes.is_empty() && desk.listeners.is_empty() && desk.driving.is_empty());
        assert_eq!((desk.subscriptions, desk.public), (0, 0));
    }

    #[test]
    fn a_connection_has_at_most_so_many_subscriptions_and_there_are_at_most_so_many_connections() {
        let (hub, mut listener) = hub_with(&[]);
        for i in 0..SUBSCRIPTIONS_MAX {
            listener.listen(&vehicle(&i.to_string()), || None).unwrap();
        }
        assert_eq!(listener.listen(&vehicle("more"), || None), Err(Full::Subscriptions));
        assert_eq!(listener.listen(&vehicle("7"), || None), Ok(()), "one that it has already is no further one");
        let public: Vec<Listener> = (0..PUBLIC_MAX).map(|_| hub.join(None).unwrap()).collect();
        assert_eq!(hub.join(None).unwrap_err(), Full::Connections);
        let rest = CONNECTIONS_MAX - PUBLIC_MAX - 1;
        let others: Vec<Listener> = (0..rest).map(|_| hub.join(Some(Caller::dev())).unwrap()).collect();
        assert_eq!(hub.join(Some(Caller::dev())).unwrap_err(), Full::Connections);
        drop((public, others));
        assert!(hub.join(None).is_ok());
    }

    #[test]
    fn who_knows_a_number_cannot_take_all_places() {
        let (hub, mut owner) = hub_with(&[]);
        let topic = Topic::Delivery("o-1".into());
        let mut public: Vec<Listener> = (0..=PUBLIC_OF_ONE_MAX).map(|_| hub.join(None).unwrap()).collect();
        let refused = public.iter_mut().filter_map(|one| one.listen(&topic, || None).err()).count();
        assert_eq!(refused, 1);
        assert_eq!(owner.listen(&topic, || None), Ok(()));
    }

    #[test]
    fn a_login_that_is_over_ends_its_connections_only() {
        let (hub, listener) = hub_with(&[]);
        let public = hub.join(None).unwrap();
        hub.sweep(&|_| true);
        assert_eq!(listener.mailbox.marks.lock().end, Some(End::LoginOver));
        assert_eq!(public.mailbox.marks.lock().end, None);
        hub.close();
        assert_eq!(public.mailbox.marks.lock().end, Some(End::NodeStops));
        assert_eq!(listener.mailbox.marks.lock().end, Some(End::LoginOver), "the first reason stays");
    }
}
