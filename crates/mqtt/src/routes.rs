//! Who gets a message: a tree of the levels of all filters. Looking is concurrent; subscribing takes
//! the lock for a moment. Nothing is kept about topics that are only published to.

use crate::session::Session;
use hashbrown::HashMap;
use rmqtt_codec::types::QoS;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a session wants the messages of one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) id: Option<NonZeroU32>,
}

#[derive(Debug, Clone)]
struct Subscriber {
    session: Arc<Session>,
    wish: Wish,
}

#[derive(Debug)]
struct Group {
    /// The subscription as its members wrote it.
    share: Arc<str>,
    members: Vec<Subscriber>,
    turn: AtomicUsize,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    here: Subscribers,
    /// Filters that end in `#` at this level.
    below: Subscribers,
}

#[derive(Debug, Default)]
struct Subscribers {
    single: Vec<Subscriber>,
    groups: HashMap<Box<str>, Group>,
}

/// One session that gets a message, with what its matching filters say together.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    pub(crate) session: Arc<Session>,
    pub(crate) qos: QoS,
    pub(crate) retain_as_published: bool,
    pub(crate) ids: Vec<NonZeroU32>,
    /// The shared subscription that it came by.
    pub(crate) share: Option<Arc<str>>,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    root: Node,
    count: usize,
}

/// Beyond so many matches, sessions are looked up instead of walked through.
const WALKED: usize = 16;

impl Routes {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds or replaces a subscription; true when it is new.
    pub(crate) fn add(&mut self, filter: &str, group: Option<&str>, session: &Arc<Session>, wish: Wish) -> bool {
        let subscribers = self.root.place(filter);
        let list = match group {
            None => &mut subscribers.single,
            Some(name) => &mut subscribers.group(name, filter).members,
        };
        let subscriber = Subscriber { session: session.clone(), wish };
        match list.iter_mut().find(|known| Arc::ptr_eq(&known.session, session)) {
            Some(known) => {
                *known = subscriber;
                false
            }
            None => {
                list.push(subscriber);
                self.count += 1;
                true
            }
        }
    }

    /// Takes a subscription away; true when it was there.
    pub(crate) fn remove(&mut self, filter: &str, group: Option<&str>, session: &Arc<Session>) -> bool {
        let levels: Vec<&str> = filter.split('/').collect();
        let removed = self.root.remove(&levels, group, session);
        self.count -= usize::from(removed);
        removed
    }

    /// Everyone who gets a message on `topic` that `from` published. A session with several matching
    /// filters is named once. Of the members of a shared subscription one is named who `may_get` it; about the others
    /// nobody is asked here.
    pub(crate) fn find(&self, topic: &str, from: &str, may_get: &dyn Fn(&Session) -> bool) -> Vec<Match> {
        let mut found = Found { from, may_get, matches: Vec::new(), places: HashMap::new() };
        let from_wildcard = !topic.starts_with('$');
        self.root.find(&mut topic.split('/'), from_wildcard, &mut found);
        found.matches
    }

    /// Another member of a shared subscription, one that is connected and may get the message.
    pub(crate) fn other_member(
        &self,
        filter: &str,
        group: &str,
        not: &Arc<Session>,
        may_get: &dyn Fn(&Session) -> bool,
    ) -> Option<Match> {
        let group = self.root.get(filter)?.groups.get(group)?;
        group
            .turns()
            .find(|m| m.session.is_connected() && !Arc::ptr_eq(&m.session, not) && may_get(&m.session))
            .map(|m| group.say(m))
    }

    /// Whether any filter could match a topic that begins with this level.
    pub(crate) fn reaches(&self, first_level: &str) -> bool {
        let root = &self.root;
        !root.below.is_empty() || root.children.contains_key("+") || root.children.contains_key(first_level)
    }
}

impl Subscribers {
    fn is_empty(&self) -> bool {
        self.single.is_empty() && self.groups.is_empty()
    }

    fn group(&mut self, name: &str, filter: &str) -> &mut Group {
        self.groups.entry(name.into()).or_insert_with(|| Group {
            share: format!("$share/{name}/{filter}").into(),
            members: Vec::new(),
            turn: AtomicUsize::new(0),
        })
    }

    fn remove(&mut self, group: Option<&str>, session: &Arc<Session>) -> bool {
        let list = match group {
            None => &mut self.single,
            Some(name) => match self.groups.get_mut(name) {
                Some(group) => &mut group.members,
                None => return false,
            },
        };
        let at = list.iter().position(|known| Arc::ptr_eq(&known.session, session));
        if let Some(at) = at {
            list.swap_remove(at);
        }
        if let Some(name) = group
            && self.groups.get(name).is_some_and(|group| group.members.is_empty())
        {
            self.groups.remove(name);
        }
        at.is_some()
    }
}

impl Node {
    fn place(&mut self, filter: &str) -> &mut Subscribers {
        let mut node = self;
        for level in filter.split('/') {
            if level == "#" {
                return &mut node.below;
            }
            node = node.children.entry(level.into()).or_default();
        }
        &mut node.here
    }

    fn get(&self, filter: &str) -> Option<&Subscribers> {
        let mut node = self;
        for level in filter.split('/') {
            if level == "#" {
                return Some(&node.below);
            }
            node = node.children.get(level)?;
        }
        Some(&node.here)
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.here.is_empty() && self.below.is_empty()
    }

    fn remove(&mut self, levels: &[&str], group: Option<&str>, session: &Arc<Session>) -> bool {
        match levels.split_first() {
            None => self.here.remove(group, session),
            Some((&"#", _)) => self.below.remove(group, session),
            Some((level, rest)) => {
                let Some(child) = self.children.get_mut(*level) else { return false };
                let removed = child.remove(rest, group, session);
                if child.is_empty() {
                    self.children.remove(*level);
                }
                removed
            }
        }
    }

    fn find<'t>(
        &self,
        levels: &mut (impl Iterator<Item = &'t str> + Clone),
        from_wildcard: bool,
        found: &mut Found<'_>,
    ) {
        if from_wildcard {
            found.add(&self.below);
        }
        let Some(level) = levels.next() else {
            found.add(&self.here);
            return;
        };
        if let Some(child) = self.children.get(level) {
            child.find(&mut levels.clone(), true, found);
        }
        if from_wildcard && let Some(child) = self.children.get("+") {
            child.find(levels, true, found);
        }
    }
}

struct Found<'a> {
    from: &'a str,
    may_get: &'a dyn Fn(&Session) -> bool,
    matches: Vec<Match>,
    /// Where a session stands in `matches`, once there are many.
    places: HashMap<*const Session, usize>,
}

impl Found<'_> {
    fn add(&mut self, subscribers: &Subscribers) {
        for subscriber in &subscribers.single {
            if !(subscriber.wish.no_local && *subscriber.session.client_id == *self.from) {
                self.merge(subscriber);
            }
        }
        for group in subscribers.groups.values() {
            // A shared subscription stands for itself even where the same session has another. Members
            // that are away are passed over while somebody is there who may get it; whoever may not takes no turn.
            let turns = group.turns();
            let may_get = |member: &&Subscriber| (self.may_get)(&member.session);
            let there = turns.clone().find(|member| member.session.is_connected() && may_get(member));
            let chosen = there.or_else(|| turns.clone().find(may_get));
            self.matches.extend(chosen.map(|member| group.say(member)));
        }
    }

    fn merge(&mut self, subscriber: &Subscriber) {
        match self.place(&subscriber.session) {
            Some(at) => self.matches[at].merge(&subscriber.wish),
            None => {
                if self.matches.len() >= WALKED {
                    self.places.insert(Arc::as_ptr(&subscriber.session), self.matches.len());
                }
                self.matches.push(Match::of(subscriber));
            }
        }
    }

    fn place(&self, session: &Arc<Session>) -> Option<usize> {
        let walked = self.matches.iter().take(WALKED).position(|known| Arc::ptr_eq(&known.session, session));
        walked.or_else(|| self.places.get(&Arc::as_ptr(session)).copied())
    }
}

impl Match {
    fn of(subscriber: &Subscriber) -> Match {
        Match {
            session: subscriber.session.clone(),
            qos: subscriber.wish.qos,
            retain_as_published: subscriber.wish.retain_as_published,
            ids: subscriber.wish.id.into_iter().collect(),
            share: None,
        }
    }

    fn merge(&mut self, wish: &Wish) {
        self.qos = self.qos.max(wish.qos);
        self.retain_as_published |= wish.retain_as_published;
        self.ids.extend(wish.id);
    }
}

impl Group {
    /// All members, beginning with another one each time.
    fn turns(&self) -> impl Iterator<Item = &Subscriber> + Clone {
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.members.len();
        (0..count).map(move |n| &self.members[start.wrapping_add(n) % count])
    }

    fn say(&self, member: &Subscriber) -> Match {
        Match { share: Some(self.share.clone()), ..Match::of(member) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::matches;
    use proptest::prelude::*;

    fn wish() -> Wish {
        Wish { qos: QoS::AtLeastOnce, no_local: false, retain_as_published: false, id: None }
    }

    fn everybody(_: &Session) -> bool {
        true
    }

    fn names(found: Vec<Match>) -> Vec<String> {
        let mut names: Vec<_> = found.into_iter().map(|found| found.session.client_id.to_string()).collect();
        names.sort();
        names
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_comparing_every_filter_finds(
            filters in proptest::collection::vec("(a|b|\\+|\\$x|)(/(a|b|\\+|)){0,3}(/#)?", 1..40),
            topics in proptest::collection::vec("(a|b|\\$x|)(/(a|b|)){0,4}", 1..20),
            removed in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let mut routes = Routes::default();
            let mut kept = Vec::new();
            for (n, filter) in filters.iter().enumerate() {
                let session = Session::new(&format!("c{n}"));
                prop_assert!(routes.add(filter, None, &session, wish()));
                if removed[n] {
                    prop_assert!(routes.remove(filter, None, &session));
                } else {
                    kept.push((filter, session));
                }
            }
            prop_assert_eq!(routes.len(), kept.len());
            for topic in &topics {
                let mut expected: Vec<_> = kept.iter().filter(|(filter, _)| matches(filter, topic))
                    .map(|(_, session)| session.client_id.to_string()).collect();
                expected.sort();
                prop_assert_eq!(names(routes.find(topic, "", &everybody)), expected, "{}", topic);
            }
            for (filter, session) in kept {
                prop_assert!(routes.remove(filter, None, &session));
            }
            prop_assert!(routes.root.is_empty(), "no empty levels stay behind");
        }
    }

    #[test]
    fn a_session_with_several_matching_filters_gets_a_message_once() {
        let mut routes = Routes::default();
        let session = Session::new("c");
        routes.add("a/#", None, &session, Wish { qos: QoS::AtMostOnce, id: NonZeroU32::new(1), ..wish() });
        routes.add("a/+", None, &session, Wish { qos: QoS::ExactlyOnce, id: NonZeroU32::new(2), ..wish() });
        let found = routes.find("a/b", "", &everybody);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].qos, QoS::ExactlyOnce);
        assert_eq!(found[0].ids.len(), 2);
    }

    #[test]
    fn members_of_a_group_take_turns() {
        let mut routes = Routes::default();
        let sessions: Vec<_> = (0..3).map(|n| Session::new(&format!("c{n}"))).collect();
        for session in &sessions {
            routes.add("a/#", Some("g"), session, wish());
        }
        let turns: Vec<_> = (0..6).flat_map(|_| names(routes.find("a/b", "", &everybody))).collect();
        assert_eq!(turns, ["c0", "c1", "c2", "c0", "c1", "c2"]);
        for session in &sessions {
            assert!(routes.remove("a/#", Some("g"), session));
        }
        assert!(routes.root.is_empty());
    }
}
