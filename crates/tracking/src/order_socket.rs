//! The WebSocket of one order: the driver's position while the order is out for delivery, and the delivery's status.
//! Holds no queue: the newest state is read when the socket can take it.

use crate::delivery::Delivery;
use crate::hub::{End, Listener, News, Topic};
use crate::pace::Pace;
use crate::wire;
use crate::{Tracking, problems};
use axum::extract::ws::{Message, WebSocket, close_code};
use drover_access::{Caller, Watching};
use drover_answer::Problem;
use drover_live::Fix;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What a follower sends.
#[derive(Debug, Deserialize)]
struct Request {
    action: String,
    order_id: String,
}

/// One follower of one order.
pub(crate) struct Follower {
    tracking: Tracking,
    caller: Caller,
    /// As the path names it.
    order_id: String,
    delivery: Delivery,
    listener: Listener,
    told_status: Option<&'static str>,
    told_place: Option<(Arc<str>, Fix)>,
    watching: Watching,
}

/// What happens to the connection after a message.
enum Then {
    GoOn,
    Close(u16, &'static str),
}

impl Follower {
    /// For a caller who may follow the delivery.
    pub fn new(
        tracking: Tracking,
        caller: Caller,
        order_id: String,
        delivery: Delivery,
        listener: Listener,
        watching: Watching,
    ) -> Follower {
        Follower { tracking, caller, order_id, delivery, listener, told_status: None, told_place: None, watching }
    }

    /// Serves until either side leaves.
    pub async fn serve(mut self, mut socket: WebSocket, subscribed: bool) {
        match self.run(&mut socket, subscribed).await {
            Ok(Then::GoOn) => {}
            Ok(Then::Close(code, reason)) => wire::close(socket, code, reason).await,
            Err(error) => tracing::debug!(%error, "a follower's WebSocket ended"),
        }
    }

    async fn run(&mut self, socket: &mut WebSocket, subscribed: bool) -> Result<Then, axum::Error> {
        if subscribed && let Err(problem) = self.subscribe() {
            wire::send_json(socket, &error(&problem)).await?;
            return Ok(Then::Close(close_code::POLICY, "cannot subscribe"));
        }
        let mut heartbeat = wire::heartbeat();
        let mut pings_unanswered = 0;
        let mut pace = Pace::new();
        loop {
            let then = tokio::select! {
                biased;
                received = socket.recv() => {
                    pings_unanswered = 0;
                    match received.transpose()? {
                        Some(Message::Text(text)) => self.hear(socket, &mut pace, &text).await?,
                        Some(Message::Binary(_)) => self.hear(socket, &mut pace, "").await?,
                        Some(Message::Ping(_) | Message::Pong(_)) => Then::GoOn,
                        Some(Message::Close(_)) | None => return Ok(Then::GoOn),
                    }
                }
                news = self.listener.news() => self.tell(socket, news).await?,
                _ = heartbeat.tick() => {
                    pings_unanswered += 1;
                    if pings_unanswered > 3 {
                        return Ok(Then::GoOn);
                    }
                    wire::ping(socket).await?;
                    Then::GoOn
                }
            };
            if let Then::Close(..) = then {
                return Ok(then);
            }
        }
    }

    async fn hear(&mut self, socket: &mut WebSocket, pace: &mut Pace, text: &str) -> Result<Then, axum::Error> {
        let wrong = match self.request(pace, text) {
            Ok(()) => return Ok(Then::GoOn),
            Err(problem) => problem,
        };
        wire::send_json(socket, &error(&wrong)).await?;
        // What cannot be read may be a client's slip; asking for another order, or too fast, is not.
        let goes_on = wrong.code == "malformed";
        Ok(if goes_on { Then::GoOn } else { Then::Close(close_code::POLICY, "see the error before") })
    }

    fn request(&mut self, pace: &mut Pace, text: &str) -> Result<(), Problem> {
        const HELP: &str = r#"send {"action":"subscribe","order_id":…} as text"#;
        if !pace.take() {
            return Err(problems::too_fast());
        }
        let request: Request =
            serde_json::from_str(text).map_err(|error| problems::malformed(format!("not a request: {error}"), HELP))?;
        if request.action != "subscribe" {
            return Err(problems::malformed("the only action is subscribe", HELP));
        }
        if request.order_id != self.order_id {
            let message = "order_id is another than that of the path";
            return Err(Problem { code: "order_mismatch".into(), ..problems::malformed(message, HELP) });
        }
        self.subscribe()
    }

    fn subscribe(&mut self) -> Result<(), Problem> {
        let (tracking, id) = (&self.tracking, self.delivery.id.clone());
        let driver = || tracking.under_way(&id).and_then(|delivery| delivery.driver);
        self.listener.listen(&Topic::Delivery(id.clone()), driver).map_err(problems::full)
    }

    async fn tell(&mut self, socket: &mut WebSocket, news: News) -> Result<Then, axum::Error> {
        match news {
            News::Changed(_) => self.tell_delivery(socket).await,
            News::End(End::NodeStops) => Ok(Then::Close(close_code::AWAY, "the node stops")),
            News::End(End::Left) => Ok(Then::GoOn),
            News::End(End::LoginOver) => self.ended(socket, close_code::POLICY, "the login is over").await,
        }
    }

    async fn tell_delivery(&mut self, socket: &mut WebSocket) -> Result<Then, axum::Error> {
        match self.tracking.newest(&self.delivery.id).await {
            Some(delivery) => self.delivery = delivery,
            // It is gone, or nobody can say what became of it: nothing more is told.
            None => return self.ended(socket, close_code::NORMAL, "the delivery is over").await,
        }
        if !self.tracking.may_follow(&self.caller, &self.delivery) {
            return self.ended(socket, close_code::POLICY, "the delivery is not yours any more").await;
        }
        if self.delivery.is_over() {
            return self.ended(socket, close_code::NORMAL, "the delivery is over").await;
        }
        if self.told_status != Some(self.delivery.status) {
            self.told_status = Some(self.delivery.status);
            wire::send_json(socket, &json!({"type": "status", "status": self.delivery.status})).await?;
        }
        self.tell_place(socket).await?;
        Ok(Then::GoOn)
    }

    async fn tell_place(&mut self, socket: &mut WebSocket) -> Result<(), axum::Error> {
        // Read again: telling the status may have had to wait for the client.
        let newest = self.tracking.under_way(&self.delivery.id);
        let newest = newest.filter(|delivery| self.tracking.may_follow(&self.caller, delivery));
        let Some((driver, place)) = newest.and_then(|delivery| self.tracking.driver_place_for(&self.caller, &delivery))
        else {
            return Ok(());
        };
        let told = Some((driver, place.fix));
        if self.told_place == told {
            return Ok(());
        }
        if let Some((driver, _)) = &told {
            self.watching.begin_delivery(&self.delivery.id, driver);
        }
        let mut fields = place.fields();
        fields.insert("driver_id".into(), told.as_ref().map_or(Value::Null, |(driver, _)| (**driver).into()));
        self.told_place = told;
        wire::send_json(socket, &Value::Object(fields)).await
    }

    async fn ended(&mut self, socket: &mut WebSocket, code: u16, reason: &'static str) -> Result<Then, axum::Error> {
        wire::send_json(socket, &json!({"type": "ended", "status": self.delivery.status})).await?;
        Ok(Then::Close(code, reason))
    }
}

fn error(problem: &Problem) -> Value {
    json!({"error": {"code": problem.code, "message": problem.message, "help": problem.help}})
}
