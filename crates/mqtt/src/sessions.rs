//! Which sessions there are: a connection takes its client's session and gives it back; what is not
//! taken again ends in time. Wills that wait and sessions that end are in one agenda.

use crate::broker::Broker;
use crate::message::now_ms;
use crate::session::{Queued, Session, State, Will};
use crate::store::{Kept, KeptSession, Loaded};
use crate::topic::split_shared;
use parking_lot::Mutex;
use rmqtt_codec::v5::DisconnectReasonCode;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// All sessions by name, those of one owner beside each other, and when which of them is to be looked at.
///
/// Locks are taken in this order: sessions, one session's state, agenda or store. None is held across a
/// call of the host, but for [`crate::Host::may_receive`], which only looks something up.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_client: Mutex<ByClient>,
    /// Time in ms UTC, and the client.
    agenda: Mutex<BTreeSet<(u64, Box<str>)>>,
}

type ByClient = BTreeMap<Box<str>, Arc<Session>>;

/// What a session is known by.
pub(crate) struct Name {
    /// The client id, after its owner where it has one.
    whole: Box<str>,
    /// What the names of its owner's sessions begin with; empty where it has none.
    of_owner: Box<str>,
}

impl Name {
    /// An owner has no `#` in his name.
    pub(crate) fn new(owner: &str, client_id: &str) -> Name {
        let of_owner = if owner.is_empty() { String::new() } else { format!("{owner}#") };
        Name { whole: format!("{of_owner}{client_id}").into(), of_owner: of_owner.into() }
    }
}

/// Why there is no session for a client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("there are as many sessions as allowed")]
    Everybody,
    #[error("{0} clients are connected with these credentials, as many as allowed; end one of them")]
    Owner(usize),
}

/// A session that a connection now owns.
pub(crate) struct Attached {
    pub(crate) session: Arc<Session>,
    pub(crate) present: bool,
    pub(crate) epoch: u64,
    pub(crate) ended_by: oneshot::Receiver<DisconnectReasonCode>,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.by_client.lock().len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.by_client.lock().values().cloned().collect()
    }

    fn remind(&self, session: &Session, at_ms: u64) {
        self.agenda.lock().insert((at_ms, session.client_id.clone()));
    }

    fn strike(&self, session: &Session, state: &State) {
        let times = [state.ends_ms, state.will.as_ref().map(|will| will.due_ms)];
        let mut agenda = self.agenda.lock();
        for at_ms in times.into_iter().flatten() {
            agenda.remove(&(at_ms, session.client_id.clone()));
        }
    }

    /// Clients whose time has come.
    fn due(&self, now_ms: u64) -> Vec<Box<str>> {
        let mut agenda = self.agenda.lock();
        let later = agenda.split_off(&(now_ms + 1, Box::default()));
        std::mem::replace(&mut *agenda, later).into_iter().map(|(_, client)| client).collect()
    }
}

impl Broker {
    /// Takes up what was kept when the broker ended.
    pub(crate) fn take_up(&self, loaded: Loaded) {
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
        session.restore(kept, self.0.settings.max_in_flight.into());
        let mut state = session.state.lock();
        let ends_ms = away_since.saturating_add(state.expiry.as_millis() as u64);
        state.ends_ms = Some(ends_ms);
        drop(state);
        self.0.sessions.remind(&session, ends_ms);
        self.0.sessions.by_client.lock().insert(client_id.into(), session);
    }

    /// Gives the client's session to a new connection. An older connection of the same client is ended;
    /// a clean start forgets what the old session had. The owner has at most `bound` sessions. On `Err` nothing was done.
    pub(crate) fn attach(
        &self,
        name: &Name,
        bound: usize,
        clean_start: bool,
        expiry: Duration,
    ) -> Result<Attached, Full> {
        let mut sessions = self.0.sessions.by_client.lock();
        let old = sessions.get(&name.whole).cloned();
        let displaced = if old.is_none() { self.make_room(&mut sessions, name, bound)? } else { None };
        let lasting = old.as_ref().filter(|old| self.release(old) && !clean_start).cloned();
        let present = lasting.is_some();
        let ended = old.filter(|_| !present).inspect(|old| self.close(old));
        let session = lasting.unwrap_or_else(|| Session::new(&name.whole));
        let (epoch, ended_by) = self.own(&session, expiry);
        if !present {
            sessions.insert(name.whole.clone(), session.clone());
        }
        drop(sessions);
        for ended in ended.iter().chain(&displaced) {
            self.clear(ended);
        }
        Ok(Attached { session, present, epoch, ended_by })
    }

    /// Room for one more session of an owner. Where he has as many as he may, the one that would end first of those
    /// that are away is closed and given back: a device that makes up a new client id at each start locks itself
    /// out no more than others.
    fn make_room(&self, sessions: &mut ByClient, name: &Name, bound: usize) -> Result<Option<Arc<Session>>, Full> {
        let own = || {
            let own = sessions.range::<str, _>((Bound::Included(&*name.of_owner), Bound::Unbounded));
            own.take_while(|(known, _)| known.starts_with(&*name.of_owner)).map(|(_, session)| session)
        };
        let is_full = !name.of_owner.is_empty() && bound < usize::MAX && own().take(bound).count() >= bound;
        if !is_full {
            let has_room = sessions.len() < self.0.settings.max_sessions;
            return if has_room { Ok(None) } else { Err(Full::Everybody) };
        }
        let away = own().filter(|session| !session.is_connected());
        let first = away.min_by_key(|session| session.state.lock().ends_ms).cloned().ok_or(Full::Owner(bound))?;
        // A connection that is on its way out must not forget whoever has its name by then.
        first.state.lock().epoch += 1;
        self.close(&first);
        sessions.remove(&first.client_id);
        metrics::counter!("drover_mqtt_sessions_displaced_total").increment(1);
        Ok(Some(first))
    }

    /// Takes the session from its connection, if it has one. False when its time is over.
    fn release(&self, session: &Arc<Session>) -> bool {
        let mut state = session.state.lock();
        if let Some(owner) = state.owner.take() {
            // It may have ended by itself meanwhile.
            let _gone = owner.send(DisconnectReasonCode::SessionTakenOver);
        }
        // A connection that is on its way out must not touch the session any more.
        state.epoch += 1;
        state.ends_ms.is_none_or(|ends_ms| ends_ms > now_ms())
    }

    fn own(&self, session: &Arc<Session>, expiry: Duration) -> (u64, oneshot::Receiver<DisconnectReasonCode>) {
        let (owner, ended_by) = oneshot::channel();
        let mut state = session.state.lock();
        self.0.sessions.strike(session, &state);
        // Its client is back in time: the last will is void (MQTT 5.0, 3.1.3.2.2).
        state.will = None;
        state.ends_ms = None;
        state.owner = Some(owner);
        state.epoch += 1;
        state.expiry = expiry;
        state.take_back();
        if expiry.is_zero() && std::mem::take(&mut state.is_kept) {
            self.0.store.forget_session(&session.client_id);
        }
        session.set_connected(true);
        (state.epoch, ended_by)
    }

    /// A connection has ended. Unless another one owns the session by now, the session is kept for as
    /// long as it may, or forgotten. A will whose time has not come waits with it; one that shall go now
    /// is given back.
    #[must_use]
    pub(crate) fn detach(&self, session: &Arc<Session>, epoch: u64, will: Option<(Will, Duration)>) -> Option<Will> {
        let mut state = session.state.lock();
        if state.epoch != epoch {
            // Taken over: a will with a delay goes only where the session itself has ended.
            let has_ended = state.has_ended;
            return will.filter(|(_, delay)| delay.is_zero() || has_ended).map(|(will, _)| will);
        }
        state.owner = None;
        session.set_connected(false);
        session.set_reader(None);
        let expiry = state.expiry;
        if expiry.is_zero() {
            drop(state);
            self.forget(session, epoch);
            return will.map(|(will, _)| will);
        }
        state.take_back();
        let ends_ms = now_ms() + expiry.as_millis() as u64;
        state.ends_ms = Some(ends_ms);
        self.0.sessions.remind(session, ends_ms);
        let now = will.and_then(|(will, delay)| self.postpone(session, &mut state, will, delay.min(expiry)));
        drop(state);
        self.keep(session);
        self.pass_on_shared(session, false);
        now
    }

    fn postpone(&self, session: &Session, state: &mut State, mut will: Will, delay: Duration) -> Option<Will> {
        if delay.is_zero() {
            return Some(will);
        }
        will.due_ms = now_ms() + delay.as_millis() as u64;
        self.0.sessions.remind(session, will.due_ms);
        state.will = Some(will);
        None
    }

    /// Writes the session down as it is, if it outlives its connection; gives the ticket to wait for.
    pub(crate) fn keep(&self, session: &Arc<Session>) -> Option<u64> {
        let mut state = session.state.lock();
        if state.expiry.is_zero() || state.has_ended {
            return None;
        }
        state.is_kept = true;
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

    /// Publishes the wills and ends the sessions whose time has come.
    pub(crate) fn keep_agenda(&self) {
        let now = now_ms();
        for client_id in self.0.sessions.due(now) {
            let session = self.0.sessions.by_client.lock().get(&client_id).cloned();
            if let Some(session) = session {
                self.look_at(&session, now);
            }
        }
    }

    fn look_at(&self, session: &Arc<Session>, now: u64) {
        let mut state = session.state.lock();
        let will = state.will.take_if(|will| will.due_ms <= now);
        let is_over = state.ends_ms.is_some_and(|ends_ms| ends_ms <= now);
        let epoch = state.epoch;
        drop(state);
        if let Some(will) = will {
            self.publish_will(&will.client, will.message);
        }
        if is_over {
            self.forget(session, epoch);
        }
    }

    /// Forgets the session, if no other connection has taken it since.
    fn forget(&self, session: &Arc<Session>, epoch: u64) {
        let mut sessions = self.0.sessions.by_client.lock();
        if session.state.lock().epoch != epoch || session.is_connected() {
            return;
        }
        self.close(session);
        sessions.remove(&session.client_id);
        drop(sessions);
        self.clear(session);
    }

    /// From here on the session takes nothing, and the store forgets it: before another session of the
    /// same client may write there.
    fn close(&self, session: &Session) {
        let mut state = session.state.lock();
        state.has_ended = true;
        self.0.sessions.strike(session, &state);
        state.take_back();
        if std::mem::take(&mut state.is_kept) {
            self.0.store.forget_session(&session.client_id);
        }
    }

    /// Takes a closed session out of everything that points to it.
    fn clear(&self, session: &Arc<Session>) {
        session.set_connected(false);
        let mut state = session.state.lock();
        let subscriptions = std::mem::take(&mut state.subscriptions);
        let will = state.will.take();
        drop(state);
        for filter in subscriptions.keys() {
            self.remove_route(session, filter);
        }
        self.pass_on_shared(session, true);
        if let Some(will) = will {
            self.publish_will(&will.client, will.message);
        }
    }

    /// What a leaving member of a shared subscription has not got goes to another one that is connected.
    /// Where there is none, a session that lasts keeps it.
    fn pass_on_shared(&self, session: &Arc<Session>, has_ended: bool) {
        let taken = session.state.lock().take_shared();
        for queued in taken {
            let topic = &queued.message.topic;
            let other = queued.share.as_deref().and_then(|share| self.other_member(session, share, topic));
            match other {
                Some(found) => {
                    let qos = queued.message.qos.min(found.qos);
                    let passed =
                        Queued { share: found.share, ..Queued::new(queued.message.clone(), qos, false, found.ids) };
                    found.session.deliver(passed, &self.0.settings, &self.0.store);
                    if queued.stored && !has_ended {
                        self.0.store.forget_message(&session.client_id, queued.number);
                    }
                }
                None if has_ended => {}
                None => session.state.lock().put_behind(queued),
            }
        }
    }

    fn other_member(&self, session: &Arc<Session>, share: &str, topic: &str) -> Option<crate::routes::Match> {
        let (group, plain) = split_shared(share).ok()?;
        let may_get = |member: &Session| member.may_queue(&*self.0.host, topic);
        self.0.routes.read().other_member(plain, group?, session, &may_get)
    }
}
