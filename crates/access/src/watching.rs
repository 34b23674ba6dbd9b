//! Who watches where one person is: each subscription to a driver or rider is told to the audit when it begins and when it
//! ends. Watching the whole map, or everything of a kind, names nobody and is not told.

use crate::beside::ClientOrigin;
use crate::caller::Caller;
use crate::directory::Directory;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use drover_model::{AssetRef, Kind};
use hashbrown::HashMap;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// So many persons of one wish are told each by itself; of more, lists are.
const SINGLE_MAX: usize = 20;
/// Beyond so many of one connection, those that were refused are forgotten. Subscriptions have bounds of their own.
const REMEMBERED_MAX: usize = 5_000;
/// Persons of one list: it has room in an entry of the audit.
const LIST_MAX: usize = 500;
/// The subject of what is about more than [`SINGLE_MAX`] persons.
const PERSONS: &str = "persons";

/// What the audit is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Who.
    pub actor: String,
    /// `location.watch`, `location.watch_end`.
    pub action: &'static str,
    /// Whom: `driver/d-1`, or `persons`.
    pub subject: String,
    /// The person's fleet.
    pub fleet: Option<Arc<str>>,
    /// From where.
    pub address: Option<IpAddr>,
    /// Nothing is shown: the person is out of reach, or nobody knows him.
    pub refused: bool,
    /// Particulars.
    pub after: Value,
}

/// Tells the audit, without waiting.
#[derive(Clone, Default)]
pub struct Noter(Option<Arc<dyn Fn(Look) + Send + Sync>>);

impl Noter {
    /// One that hands everything to `note`, which must not wait.
    pub fn new(note: impl Fn(Look) + Send + Sync + 'static) -> Noter {
        Noter(Some(Arc::new(note)))
    }

    fn note(&self, look: Look) {
        if let Some(note) = &self.0 {
            note(look);
        }
    }
}

impl fmt::Debug for Noter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Noter")
    }
}

/// True of what is a person.
pub fn is_person(kind: Kind) -> bool {
    matches!(kind, Kind::Driver | Kind::Rider)
}

/// The persons that one connection watches. What is still watched when it is dropped ends then.
#[derive(Debug, Default)]
pub struct Watching {
    noter: Noter,
    directory: Directory,
    actor: String,
    address: Option<IpAddr>,
    singles: HashMap<Single, Since>,
    list: Option<List>,
}

/// A person, and the delivery by which he is watched, if not by his name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Single {
    person: AssetRef,
    delivery: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy)]
struct Since {
    at: Instant,
    refused: bool,
}

#[derive(Debug)]
struct List {
    fingerprint: u64,
    seed: RandomState,
    persons: usize,
    since: Instant,
}

impl Watching {
    /// Nothing is watched yet. Without a caller it is somebody who did not have to say who he is.
    pub fn new(noter: Noter, directory: Directory, caller: Option<&Caller>, address: Option<IpAddr>) -> Watching {
        let actor = caller.map_or_else(|| "anonymous".to_owned(), |caller| caller.subject.clone());
        Watching { noter, directory, actor, address, singles: HashMap::new(), list: None }
    }

    /// What a connection has with it, for a caller who may have come to be known later.
    pub fn of(parts: &Parts, caller: Option<&Caller>) -> Watching {
        let noter = parts.extensions.get::<Noter>().cloned().unwrap_or_default();
        let directory = parts.extensions.get::<Directory>().cloned().unwrap_or_default();
        let origin = parts.extensions.get::<ClientOrigin>().copied().unwrap_or_default();
        Watching::new(noter, directory, caller, origin.address)
    }

    /// A subscription begins, if it is to a person and did not before.
    pub fn begin(&mut self, kind: Kind, id: &str) {
        self.add(named(kind, id), false);
    }

    /// A subscription to a person was asked for, and nothing of him is shown. Told once, and has no end.
    pub fn refuse(&mut self, kind: Kind, id: &str) {
        self.add(named(kind, id), true);
    }

    /// A subscription ends.
    pub fn end(&mut self, kind: Kind, id: &str) {
        let single = named(kind, id);
        if let Some(since) = self.singles.remove(&single) {
            self.note_end(&single, since);
        }
    }

    /// The place of this driver is shown to whoever follows the delivery; of another one of that delivery, not any more.
    pub fn begin_delivery(&mut self, delivery: &str, driver: &str) {
        let single = Single { delivery: Some(delivery.into()), ..named(Kind::Driver, driver) };
        if !self.singles.contains_key(&single) {
            self.end_delivery(delivery);
            self.add(single, false);
        }
    }

    /// The delivery is followed no longer.
    pub fn end_delivery(&mut self, delivery: &str) {
        self.end_singles(|single| single.delivery.as_deref() == Some(delivery));
    }

    fn add(&mut self, single: Single, refused: bool) {
        let is_told = self.singles.get(&single).is_some_and(|since| since.refused == refused);
        if is_told || !is_person(single.person.kind) {
            return;
        }
        if self.singles.len() >= REMEMBERED_MAX {
            self.singles.retain(|_, since| !since.refused);
        }
        let after = single.delivery.as_deref().map_or(Value::Null, |delivery| json!({"delivery_id": delivery}));
        self.note("location.watch", &single.person, refused, after);
        self.singles.insert(single, Since { at: Instant::now(), refused });
    }

    /// These persons are watched from now on, and no others. Of each, `is_seen` says whether anything of him is shown.
    pub fn change<'a>(&mut self, assets: impl Iterator<Item = &'a AssetRef>, is_seen: impl Fn(&AssetRef) -> bool) {
        let persons: Vec<&AssetRef> = assets.filter(|asset| is_person(asset.kind)).collect();
        if persons.len() > SINGLE_MAX {
            self.end_singles(|_| true);
            return self.change_list(persons);
        }
        self.end_list();
        self.end_singles(|single| !persons.contains(&&single.person));
        for person in persons {
            self.add(named(person.kind, &person.id), !is_seen(person));
        }
    }

    fn change_list(&mut self, mut persons: Vec<&AssetRef>) {
        persons.sort_unstable_by_key(|person| (person.kind.name(), &person.id));
        let seed = self.list.as_ref().map_or_else(RandomState::new, |list| list.seed.clone());
        let fingerprint = seed.hash_one(&persons);
        if self.list.as_ref().is_some_and(|list| list.fingerprint == fingerprint) {
            return;
        }
        self.end_list();
        for part in persons.chunks(LIST_MAX) {
            let names: Vec<String> = part.iter().map(ToString::to_string).collect();
            self.look("location.watch", PERSONS.to_owned(), None, false, json!({"assets": names}));
        }
        self.list = Some(List { fingerprint, seed, persons: persons.len(), since: Instant::now() });
    }

    fn end_singles(&mut self, ends: impl Fn(&Single) -> bool) {
        let ended: Vec<_> = self.singles.extract_if(|single, _| ends(single)).collect();
        for (single, since) in ended {
            self.note_end(&single, since);
        }
    }

    fn end_list(&mut self) {
        if let Some(list) = self.list.take() {
            let after = json!({"assets": list.persons, "seconds": list.since.elapsed().as_secs()});
            self.look("location.watch_end", PERSONS.to_owned(), None, false, after);
        }
    }

    fn note_end(&self, single: &Single, since: Since) {
        if since.refused {
            return;
        }
        let seconds = since.at.elapsed().as_secs();
        let after = match &single.delivery {
            Some(delivery) => json!({"delivery_id": delivery, "seconds": seconds}),
            None => json!({"seconds": seconds}),
        };
        self.note("location.watch_end", &single.person, false, after);
    }

    fn note(&self, action: &'static str, person: &AssetRef, refused: bool, after: Value) {
        let fleet = self.directory.fleet_of(person.kind, &person.id);
        self.look(action, person.to_string(), fleet, refused, after);
    }

    fn look(&self, action: &'static str, subject: String, fleet: Option<Arc<str>>, refused: bool, after: Value) {
        let (actor, address) = (self.actor.clone(), self.address);
        self.noter.note(Look { actor, action, subject, fleet, address, refused, after });
    }
}

fn named(kind: Kind, id: &str) -> Single {
    Single { person: AssetRef { kind, id: id.into() }, delivery: None }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.end_singles(|_| true);
        self.end_list();
    }
}

impl<S: Sync> FromRequestParts<S> for Watching {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Watching, Infallible> {
        Ok(Watching::of(parts, parts.extensions.get::<Caller>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    type Told = Arc<Mutex<Vec<Look>>>;

    fn watching() -> (Watching, Told) {
        let told = Told::default();
        let noter = {
            let told = told.clone();
            Noter::new(move |look| told.lock().push(look))
        };
        let directory = Directory::default();
        directory.place(Kind::Driver, "d-1", Some("north"));
        (Watching::new(noter, directory, Some(&Caller::dev()), None), told)
    }

    fn assets(names: &[&str]) -> Vec<AssetRef> {
        names.iter().map(|name| AssetRef::parse(name).expect("an asset")).collect()
    }

    fn said(told: &Told) -> Vec<String> {
        told.lock().drain(..).map(|look| format!("{} {}", look.action, look.subject)).collect()
    }

    #[test]
    fn a_persons_subscription_is_told_once_and_its_end_once_and_a_vehicles_never() {
        let (mut watching, told) = watching();
        let wish = assets(&["driver/d-1", "vehicle/v-1", "rider/r-1"]);
        watching.change(wish.iter(), |_| true);
        watching.change(wish.iter(), |_| true);
        let fleets: Vec<_> = told.lock().iter().filter_map(|look| look.fleet.clone()).collect();
        assert_eq!(fleets, ["north".into()]);
        let mut begun = said(&told);
        begun.sort();
        assert_eq!(begun, ["location.watch driver/d-1", "location.watch rider/r-1"]);
        watching.change(assets(&["rider/r-1"]).iter(), |_| true);
        assert_eq!(said(&told), ["location.watch_end driver/d-1"]);
        drop(watching);
        assert_eq!(said(&told), ["location.watch_end rider/r-1"]);
    }

    #[test]
    fn who_is_out_of_reach_is_told_as_refused_and_has_no_end() {
        let (mut watching, told) = watching();
        watching.change(assets(&["driver/d-2"]).iter(), |_| false);
        assert!(told.lock()[0].refused);
        drop(watching);
        assert_eq!(said(&told), ["location.watch driver/d-2"]);
    }

    #[test]
    fn a_delivery_is_followed_by_one_driver_after_the_other_and_takes_no_other_subscription_with_it() {
        let (mut watching, told) = watching();
        watching.begin(Kind::Driver, "d-1");
        watching.begin_delivery("del-1", "d-1");
        watching.begin_delivery("del-1", "d-1");
        let after: Vec<Value> = told.lock().iter().map(|look| look.after.clone()).collect();
        assert_eq!(after, [Value::Null, json!({"delivery_id": "del-1"})]);
        said(&told);
        watching.begin_delivery("del-1", "d-2");
        assert_eq!(said(&told), ["location.watch_end driver/d-1", "location.watch driver/d-2"]);
        watching.end_delivery("del-1");
        assert_eq!(said(&told), ["location.watch_end driver/d-2"]);
        drop(watching);
        assert_eq!(said(&told), ["location.watch_end driver/d-1"], "by his name he was watched to the end");
    }

    #[test]
    fn many_persons_of_one_wish_are_told_in_whole_lists() {
        let (mut watching, told) = watching();
        let names: Vec<String> = (0..1_200).map(|n| format!("driver/d-{n}")).collect();
        let wish = assets(&names.iter().map(String::as_str).collect::<Vec<_>>());
        watching.change(wish.iter(), |_| true);
        watching.change(wish.iter().rev(), |_| true);
        let mut listed: Vec<String> = Vec::new();
        for look in told.lock().drain(..) {
            assert_eq!((look.action, look.subject.as_str()), ("location.watch", "persons"));
            assert!(look.after.to_string().len() < 60_000);
            listed.extend(
                look.after["assets"]
                    .as_array()
                    .expect("names")
                    .iter()
                    .map(|name| name.as_str().expect("a name").to_owned()),
            );
        }
        listed.sort();
        let mut wanted = names;
        wanted.sort();
        assert_eq!(listed, wanted, "each once, though the wish came twice");
        watching.change(assets(&["driver/d-1"]).iter(), |_| true);
        assert_eq!(said(&told), ["location.watch_end persons", "location.watch driver/d-1"]);
    }
}
