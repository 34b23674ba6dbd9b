//! The fleet document's events, whichever way they travel: what a client's event means, and what it is told of what it
//! subscribed to. The native WebSocket and Socket.IO bring events here and take the answers away.

use crate::delivery::Delivery;
use crate::hub::{Listener, Topic};
use crate::pace::Pace;
use crate::place::place;
use crate::{Tracking, problems};
use drover_access::{Caller, Permission, Watching};
use drover_answer::{Problem, ProblemKind};
use drover_live::Fix;
use drover_model::{Kind, Sight, check_id};
use drover_registry::Transition;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// The event by which a client moves a delivery on.
const MOVE_ON: &str = "delivery:status:update";
const EVENTS: &str = "send subscribe:vehicle:{id}, unsubscribe:vehicle:{id} (also driver, station, delivery) or \
                      delivery:status:update";

/// One event to the client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Out {
    pub event: String,
    pub data: Value,
    /// It tells a place: too old to be sent later, so that it is made anew instead.
    pub is_place: bool,
}

impl Out {
    fn new(event: impl Into<String>, data: Value) -> Out {
        Out { event: event.into(), data, is_place: false }
    }

    /// As one object: a frame of the WebSocket, what a callback gets.
    pub fn frame(&self) -> Value {
        json!({"event": self.event, "data": self.data})
    }

    /// What is wrong, and with which of the client's events.
    pub fn error(problem: &Problem, about: Map<String, Value>) -> Out {
        let mut data = Map::new();
        data.insert("code".into(), (*problem.code).into());
        data.insert("message".into(), problem.message.clone().into());
        data.extend(about);
        Out::new("error", Value::Object(data))
    }

    /// Nobody has proven who he is.
    pub fn unauthenticated() -> Out {
        let message = "no credentials, or none that are good";
        let help = "connect with auth: {token}, an Authorization header or a session cookie";
        Out::error(&Problem::new(ProblemKind::Unauthorized, "unauthenticated", message, help), Map::new())
    }
}

/// What an answer that says no is about: the client's event, and the channel or the delivery that it names.
fn about(event: &str, data: &Value) -> Map<String, Value> {
    const MOST: usize = 100;
    let short = |text: &str| Value::from(text.chars().take(MOST).collect::<String>());
    let mut about = Map::new();
    about.insert("event".into(), short(event));
    if let Some(("subscribe" | "unsubscribe", channel)) = event.split_once(':') {
        about.insert("channel".into(), short(channel));
    } else if let (MOVE_ON, Some(id)) = (event, data["delivery_id"].as_str()) {
        about.insert("delivery_id".into(), short(id));
    }
    about
}

/// What a client has been told of a topic, so that it is told nothing twice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// As the client named it: a delivery goes by its order's number too.
    channel: Arc<str>,
    status: Option<&'static str>,
    place: Option<ToldPlace>,
}

/// A place that was told. Another report of the same is not told again.
#[derive(Debug, Clone, PartialEq)]
struct ToldPlace {
    /// Of a delivery.
    driver: Option<Arc<str>>,
    fix: Fix,
    /// What an asset says of itself; of a delivery's driver it is no news.
    status: Option<&'static str>,
}

/// What a client asks for with a change of status.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusUpdate {
    delivery_id: String,
    status: String,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

/// One connection of a fleet client.
pub(crate) struct Session {
    tracking: Tracking,
    caller: Caller,
    sight: Sight,
    pub listener: Listener,
    told: HashMap<Topic, Told>,
    pace: Pace,
    watching: Watching,
}

impl Session {
    /// Takes a place for the connection. The audit is told by `watching`.
    pub fn open(tracking: &Tracking, caller: Caller, watching: Watching) -> Result<Session, Problem> {
        let listener = tracking.0.hub.join(Some(caller.clone())).map_err(problems::full)?;
        let sight = caller.sight(&tracking.0.directory);
        let tracking = tracking.clone();
        Ok(Session { tracking, caller, sight, listener, told: HashMap::new(), pace: Pace::new(), watching })
    }

    /// The first event: who the client is to Drover.
    pub fn greeting(&self) -> Out {
        let user = json!({"id": self.caller.subject, "name": self.caller.name});
        Out::new("authenticated", json!({"user": user, "role": self.caller.role.name()}))
    }

    /// Does what a client's event asks for; gives the answer to it.
    pub async fn handle(&mut self, event: &str, data: Value) -> Out {
        let about = about(event, &data);
        let answer = if self.pace.take() { self.answer(event, data).await } else { Err(problems::too_fast()) };
        answer.unwrap_or_else(|problem| Out::error(&problem, about))
    }

    async fn answer(&mut self, event: &str, data: Value) -> Result<Out, Problem> {
        match event {
            // He is connected already, or would not be heard; the fleet document's clients say it nevertheless.
            "connect" => return Ok(self.greeting()),
            MOVE_ON => return self.move_on(data).await,
            _ => {}
        }
        let unknown = || {
            problems::malformed(format!("there is no event {:?}", event.chars().take(40).collect::<String>()), EVENTS)
        };
        let (verb, channel) = event.split_once(':').ok_or_else(unknown)?;
        let (word, id) = channel.split_once(':').ok_or_else(unknown)?;
        match verb {
            "subscribe" => self.subscribe(word, id).await,
            "unsubscribe" => self.unsubscribe(word, id).await,
            _ => Err(unknown()),
        }
    }

    async fn subscribe(&mut self, word: &str, id: &str) -> Result<Out, Problem> {
        let topic = self.topic(word, id).await?;
        let tracking = &self.tracking;
        let driver = || match &topic {
            Topic::Delivery(id) => tracking.under_way(id).and_then(|delivery| delivery.driver),
            Topic::Asset(..) => None,
        };
        self.listener.listen(&topic, driver).map_err(problems::full)?;
        if let Topic::Asset(kind, id) = &topic {
            self.watching.begin(*kind, id);
        }
        // Told anew, even where it was subscribed already: the client may have forgotten.
        let channel: Arc<str> = format!("{word}:{id}").into();
        self.told.insert(topic, Told { channel: channel.clone(), ..Told::default() });
        Ok(Out::new("subscribed", json!({"channel": *channel})))
    }

    async fn unsubscribe(&mut self, word: &str, id: &str) -> Result<Out, Problem> {
        let channel = format!("{word}:{id}");
        let named = self.told.iter().find(|(_, told)| *told.channel == channel).map(|(topic, _)| topic.clone());
        let topic = match (named, kind_of(word)) {
            // What he was given by this name is his to leave, whoever it belongs to by now.
            (Some(topic), _) => topic,
            (None, Some(kind)) => Topic::Asset(kind, id.into()),
            (None, None) => self.topic(word, id).await?,
        };
        self.leave(&topic);
        Ok(Out::new("unsubscribed", json!({"channel": channel})))
    }

    fn leave(&mut self, topic: &Topic) {
        self.listener.leave(topic);
        match topic {
            Topic::Asset(kind, id) => self.watching.end(*kind, id),
            Topic::Delivery(id) => self.watching.end_delivery(id),
        }
        self.told.remove(topic);
    }

    /// What a client may subscribe to by this name.
    async fn topic(&mut self, word: &str, id: &str) -> Result<Topic, Problem> {
        check_id(id)?;
        if let Some(kind) = kind_of(word) {
            self.caller.require(Permission::LiveRead)?;
            // What is known to nobody and what is hidden from the caller look the same.
            let known = || {
                self.tracking.0.live.get(kind, id, |_| ()).is_some()
                    || self.tracking.0.directory.fleet_of(kind, id).is_some()
            };
            let seen = self.sight.sees(kind, id) && known();
            if !seen {
                self.watching.refuse(kind, id);
                return Err(problems::not_found(kind.name(), id));
            }
            return Ok(Topic::Asset(kind, id.into()));
        }
        if word != "delivery" && word != "order" {
            let message = format!("there are no channels {:?}", word.chars().take(40).collect::<String>());
            return Err(problems::malformed(message, EVENTS));
        }
        self.caller.require(Permission::OrdersWatch)?;
        Ok(Topic::Delivery(self.tracking.delivery_for(&self.caller, id).await?.id))
    }

    async fn move_on(&mut self, data: Value) -> Result<Out, Problem> {
        const HELP: &str = r#"send {"delivery_id":…,"status":…} and, where known, latitude and longitude"#;
        self.caller.require(Permission::OrdersStatus)?;
        let update: StatusUpdate =
            serde_json::from_value(data).map_err(|error| problems::malformed(error.to_string(), HELP))?;
        let place = match (update.latitude, update.longitude) {
            (Some(latitude), Some(longitude)) => Some((latitude, longitude)),
            (None, None) => None,
            _ => return Err(Problem::invalid("latitude", "latitude and longitude come together or not at all")),
        };
        let transition = Transition { to: update.status, place, ..Transition::default() };
        let record = self.tracking.0.registry.transition(&self.caller, &update.delivery_id, &transition, None).await?;
        let status = crate::delivery::known(record.text("status").unwrap_or_default());
        // The answer tells it; the sender needs it no second time where he has subscribed to the delivery too.
        if let Some(told) = self.told.get_mut(&Topic::Delivery(record.id.as_str().into())) {
            told.status = Some(status);
        }
        Ok(status_updated(&record.id, status, record.updated_at))
    }

    /// The next thing to tell of a topic; none when the client knows everything. What it gives counts as told: where it
    /// could not be sent, [`Session::untell`] takes that back.
    pub async fn next_of(&mut self, topic: &Topic) -> Option<Out> {
        if !self.listener.listens(topic) {
            return None;
        }
        match topic {
            Topic::Asset(kind, id) => self.next_of_asset(topic, *kind, id),
            Topic::Delivery(id) => self.next_of_delivery(topic, id).await,
        }
    }

    /// What was told of a topic, to come back to it.
    pub fn told(&self, topic: &Topic) -> Told {
        self.told.get(topic).cloned().unwrap_or_default()
    }

    /// Something was not told after all.
    pub fn untell(&mut self, topic: &Topic, before: Told) {
        self.told.insert(topic.clone(), before);
        self.listener.mailbox().mark(topic.clone());
    }

    fn next_of_asset(&mut self, topic: &Topic, kind: Kind, id: &str) -> Option<Out> {
        if !self.sight.sees(kind, id) {
            return Some(self.no_longer(topic, "not_found"));
        }
        let place = place(&self.tracking.0.live, kind, id)?;
        if !self.is_news(topic, ToldPlace { driver: None, fix: place.fix, status: place.status }) {
            return None;
        }
        let mut fields = place.fields();
        fields.insert(format!("{}_id", kind.name()), id.into());
        fields.insert("status".into(), place.status.into());
        let event = format!("{}:location:updated", kind.name());
        Some(Out { is_place: true, ..Out::new(event, Value::Object(fields)) })
    }

    async fn next_of_delivery(&mut self, topic: &Topic, id: &Arc<str>) -> Option<Out> {
        let delivery = self.tracking.newest(id).await;
        let visible = delivery.as_ref().is_some_and(|delivery| self.tracking.may_follow(&self.caller, delivery));
        let Some(delivery) = delivery.filter(|_| visible) else {
            return Some(self.no_longer(topic, "not_found"));
        };
        let told = self.told.entry(topic.clone()).or_default();
        if told.status != Some(delivery.status) {
            told.status = Some(delivery.status);
            let at = self.tracking.changed_at(&delivery).await;
            return Some(status_updated(id, delivery.status, at));
        }
        if delivery.is_over() {
            return Some(self.no_longer(topic, "ended"));
        }
        self.place_of_delivery(topic, &delivery)
    }

    fn place_of_delivery(&mut self, topic: &Topic, delivery: &Delivery) -> Option<Out> {
        let (driver, place) = self.tracking.driver_place_for(&self.caller, delivery)?;
        if !self.is_news(topic, ToldPlace { driver: Some(driver.clone()), fix: place.fix, status: None }) {
            return None;
        }
        self.watching.begin_delivery(&delivery.id, &driver);
        let mut fields = place.fields();
        fields.insert("driver_id".into(), (*driver).into());
        fields.insert("delivery_id".into(), (*delivery.id).into());
        fields.insert("status".into(), place.status.into());
        Some(Out { is_place: true, ..Out::new("driver:location:updated", Value::Object(fields)) })
    }

    /// True for a place that the client was not told; from then on it counts as told.
    fn is_news(&mut self, topic: &Topic, place: ToldPlace) -> bool {
        let told = self.told.entry(topic.clone()).or_default();
        let before = told.place.replace(place);
        before != told.place
    }

    /// The end of a subscription, by the name that the client gave it.
    fn no_longer(&mut self, topic: &Topic, reason: &str) -> Out {
        let channel = self.told(topic).channel;
        self.leave(topic);
        Out::new("unsubscribed", json!({"channel": *channel, "reason": reason}))
    }
}

fn status_updated(delivery: &str, status: &str, at_ms: i64) -> Out {
    let data = json!({"delivery_id": delivery, "status": status, "updated_at": crate::place::time_text(at_ms)});
    Out::new("delivery:status:updated", data)
}

fn kind_of(word: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.name() == word)
}
