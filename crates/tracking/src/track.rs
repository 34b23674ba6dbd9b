//! The page of a parcel: what anybody who knows the tracking number may see. The number cannot be guessed; what it shows
//! is the status, its history in words, the driver's first name, and the position while the delivery is out.

use crate::delivery::{self, Delivery};
use crate::hub::{Listener, News, Topic};
use crate::order_http::shown;
use crate::place::{NO_STORE, time_text};
use crate::wire::PATIENCE;
use crate::{Tracking, problems};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use drover_access::Watching;
use drover_answer::{Problem, ReadProblems};
use drover_registry::resources::{DELIVERIES, DRIVERS};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use utoipa::ToSchema;

/// How often a quiet stream says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A stream ends after so long; browsers come back by themselves.
const STREAM_MAX: Duration = Duration::from_secs(3600);
/// What is known of a parcel by its number.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Track {
    /// The number.
    #[schema(example = "TRK-6X2WQ9D0M4F7ZB1K8N5T3R")]
    pub tracking_number: String,
    /// `created`, `assigned`, `picked_up`, `out_for_delivery`, `arrived`, `delivered`, `failed`, `returned` or `cancelled`.
    #[schema(example = "out_for_delivery")]
    pub status: String,
    /// The same in words.
    #[schema(example = "Out for delivery")]
    pub status_text: String,
    /// Who brings it, while it is out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<TrackDriver>,
    /// Where it is, while it is out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<TrackPosition>,
    /// What has happened, oldest first.
    pub timeline: Vec<TrackStep>,
}

/// Who brings a parcel.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TrackDriver {
    /// The first name; no more is told.
    #[schema(example = "Ada")]
    pub first_name: String,
}

/// Where a parcel is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TrackPosition {
    /// Degrees WGS 84.
    pub latitude: f64,
    /// Degrees WGS 84.
    pub longitude: f64,
    /// When it was there, RFC 3339.
    pub timestamp: String,
    /// Degrees from north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heading: Option<f32>,
}

impl TrackPosition {
    /// Where and when: what makes it another one than that before.
    fn fix(&self) -> (f64, f64, &str) {
        (self.latitude, self.longitude, &self.timestamp)
    }
}

/// One step of a parcel's way.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TrackStep {
    /// The status from then on.
    pub status: String,
    /// The same in words.
    pub text: String,
    /// When, RFC 3339.
    pub time: String,
}

/// Follow a parcel by its tracking number. Nobody has to log in.
#[utoipa::path(
    get, path = "/api/v1/track/{tracking_number}", tag = "following",
    params(("tracking_number" = String, Path, description = "as the customer was told")),
    responses((status = 200, body = Track, description = "what is known"), ReadProblems)
)]
pub(crate) async fn track(
    State(tracking): State<Tracking>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(number) = path?;
    let parcel = Parcel::find(&tracking, number).await?;
    let delivery = parcel.newest(&tracking).await?;
    let track = parcel.of(&tracking, &delivery).await?;
    let driver = delivery.driver.as_deref().filter(|_| track.position.is_some());
    let shown = driver.map(|driver| shown(&delivery, driver));
    let mut response = (NO_STORE, Json(track)).into_response();
    if let Some(shown) = shown {
        response.extensions_mut().insert(shown);
    }
    Ok(response)
}

/// The same as server-sent events: one now, one on each change of the status or the position. The stream ends with the
/// delivery, and after an hour.
#[utoipa::path(
    get, path = "/api/v1/track/{tracking_number}/live", tag = "following",
    params(("tracking_number" = String, Path, description = "as the customer was told")),
    responses((status = 200, body = Track, content_type = "text/event-stream", description = "events whose data are of this form"), ReadProblems)
)]
pub(crate) async fn track_live(
    State(tracking): State<Tracking>,
    watching: Watching,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(number) = path?;
    let parcel = Parcel::find(&tracking, number).await?;
    let mut listener = tracking.0.hub.join(None).map_err(problems::full)?;
    let driver = || tracking.under_way(&parcel.delivery).and_then(|delivery| delivery.driver);
    listener.listen(&Topic::Delivery(parcel.delivery.clone()), driver).map_err(problems::full)?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move { parcel.follow(&tracking, &listener, &sender, watching).await });
    let events = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|event| (Ok::<Event, Infallible>(event), receiver))
    });
    Ok((NO_STORE, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response())
}

/// What a stream has told.
#[derive(PartialEq)]
struct Told {
    track: Track,
    driver: Option<Arc<str>>,
}

/// A delivery, found by its number.
struct Parcel {
    number: String,
    delivery: Arc<str>,
}

impl Parcel {
    async fn find(tracking: &Tracking, number: String) -> Result<Parcel, Problem> {
        // Shorter ones are no numbers: looking for them would only cost.
        if !(8..=64).contains(&number.len()) {
            return Err(problems::not_found("parcel", &number));
        }
        let node = tracking.node();
        match tracking.0.registry.find_by(&node, &DELIVERIES, "tracking_number", &number).await {
            Ok(record) => Ok(Parcel { delivery: record.id.as_str().into(), number }),
            Err(error) => Err(missing(error, &number)),
        }
    }

    async fn newest(&self, tracking: &Tracking) -> Result<Delivery, Problem> {
        tracking.newest(&self.delivery).await.ok_or_else(|| problems::not_found("parcel", &self.number))
    }

    async fn of(&self, tracking: &Tracking, delivery: &Delivery) -> Result<Track, Problem> {
        let timeline = self.timeline(tracking).await?;
        let driver = self.first_name(tracking, delivery).await;
        Ok(Track {
            tracking_number: self.number.clone(),
            status: delivery.status.into(),
            status_text: delivery::words(delivery.status).into(),
            position: position(tracking, delivery),
            driver,
            timeline,
        })
    }

    async fn timeline(&self, tracking: &Tracking) -> Result<Vec<TrackStep>, Problem> {
        let events = tracking.0.registry.events_of(&tracking.node(), &self.delivery).await?;
        let step = |event: drover_registry::DeliveryEvent| {
            let status = delivery::known(&event.event_type);
            TrackStep { status: status.into(), text: delivery::words(status).into(), time: event.time }
        };
        Ok(events.into_iter().map(step).collect())
    }

    async fn first_name(&self, tracking: &Tracking, delivery: &Delivery) -> Option<TrackDriver> {
        let driver = delivery.driver.as_deref().filter(|_| delivery.is_out())?;
        let record = tracking.0.registry.get(&tracking.node(), &DRIVERS, driver).await.ok()?;
        let first_name = record.text("name")?.split_whitespace().next()?.to_owned();
        Some(TrackDriver { first_name })
    }

    /// Sends what is known whenever it has changed, as long as somebody takes it.
    async fn follow(
        &self,
        tracking: &Tracking,
        listener: &Listener,
        sender: &mpsc::Sender<Event>,
        mut watching: Watching,
    ) {
        let until = Instant::now() + STREAM_MAX;
        let mut told: Option<Told> = None;
        loop {
            let changed = tokio::select! {
                news = timeout_at(until, listener.news()) => matches!(news, Ok(News::Changed(_))),
                () = sender.closed() => false,
            };
            if !changed {
                return;
            }
            let Some(now) = self.again(tracking, told.as_ref()).await else { return };
            if told.as_ref() == Some(&now) {
                continue;
            }
            if let (Some(driver), Some(_)) = (&now.driver, &now.track.position) {
                watching.begin_delivery(&self.delivery, driver);
            }
            let Ok(event) = Event::default().json_data(&now.track) else { return };
            let over = delivery::is_end(&now.track.status);
            told = Some(now);
            if !matches!(timeout(PATIENCE, sender.send(event)).await, Ok(Ok(()))) || over {
                return;
            }
        }
    }

    /// What is known now. Where only the position may have changed, no database is asked.
    async fn again(&self, tracking: &Tracking, told: Option<&Told>) -> Option<Told> {
        let delivery = tracking.newest(&self.delivery).await?;
        let track = match told {
            Some(told) if told.track.status == delivery.status && told.driver == delivery.driver => {
                let mut track = told.track.clone();
                let newest = position(tracking, &delivery);
                // A report without a place says no heading either; what was told of that place stays true.
                if track.position.as_ref().map(TrackPosition::fix) != newest.as_ref().map(TrackPosition::fix) {
                    track.position = newest;
                }
                track
            }
            _ => self.of(tracking, &delivery).await.ok()?,
        };
        Some(Told { track, driver: delivery.driver })
    }
}

fn position(tracking: &Tracking, delivery: &Delivery) -> Option<TrackPosition> {
    let (_, place) = tracking.driver_place(delivery)?;
    Some(TrackPosition {
        latitude: place.fix.at.lat(),
        longitude: place.fix.at.lon(),
        timestamp: time_text(place.fix.time),
        heading: place.heading,
    })
}

fn missing(error: drover_registry::Error, number: &str) -> Problem {
    let problem = Problem::from(error);
    if problem.kind == drover_answer::ProblemKind::NotFound { problems::not_found("parcel", number) } else { problem }
}
