//! The HTTP door through which others say that an object is there: their own words, or the notification that a store
//! sends of itself. It only makes the watched place be looked at sooner: what is lost here is found by the next look.

use crate::{Imports, Wake};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Here;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use drover_answer::{Problem, ProblemKind, SendProblems};
use drover_objects::Place;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Announced objects that may wait. Further ones are refused; the next look finds them.
const ANNOUNCED_MAX: usize = 10_000;

/// Why an object cannot be announced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// There is nowhere to look for it.
    #[error("no place of objects is watched")]
    NotWatched,
    /// It is elsewhere.
    #[error("{key:?} is not under the watched place {place}")]
    Elsewhere {
        /// What was announced.
        key: String,
        /// What is watched.
        place: String,
    },
    /// Others come first.
    #[error("{ANNOUNCED_MAX} announced objects wait already")]
    Busy,
}

impl Imports {
    /// Has the object of this key looked at at once. The key is the whole one: that in the bucket, or the path below the
    /// watched folder. On `Ok` it is only remembered in memory; the next look at the whole place finds it in any case.
    ///
    /// # Errors
    /// It is not under the watched place, or too many wait.
    pub fn announce(&self, key: &str) -> Result<(), AnnounceError> {
        let key = self.key_below(None, key)?;
        self.announce_below(vec![key])
    }

    /// The key relative to the watched place.
    fn key_below(&self, bucket: Option<&str>, key: &str) -> Result<String, AnnounceError> {
        let watched = self.0.settings.watched_store.as_ref().ok_or(AnnounceError::NotWatched)?;
        let below = match &watched.place {
            Place::Folder(_) => bucket.is_none().then_some(key),
            Place::Bucket { bucket: own, .. } if bucket.is_some_and(|bucket| bucket != own) => None,
            Place::Bucket { prefix, .. } if prefix.is_empty() => Some(key),
            Place::Bucket { prefix, .. } => key.strip_prefix(prefix.as_str()).and_then(|key| key.strip_prefix('/')),
        };
        let elsewhere = || AnnounceError::Elsewhere { key: key.to_owned(), place: watched.place.to_string() };
        below.filter(|key| !key.is_empty()).map(str::to_owned).ok_or_else(elsewhere)
    }

    fn announce_below(&self, keys: Vec<String>) -> Result<(), AnnounceError> {
        let mut jobs = self.0.jobs.lock();
        if jobs.announced.len() + keys.len() > ANNOUNCED_MAX {
            return Err(AnnounceError::Busy);
        }
        jobs.announced.extend(keys);
        drop(jobs);
        self.0.news.notify_all();
        Ok(())
    }
}

impl crate::Shared {
    /// Waits for an announced object, or until the next look is due.
    pub(crate) fn wait_announced(&self, due: std::time::Instant) -> Wake {
        let mut jobs = self.jobs.lock();
        loop {
            if jobs.closing {
                return Wake::Closing;
            }
            if let Some(key) = jobs.announced.pop_first() {
                return Wake::Announced(key);
            }
            if self.news.wait_until(&mut jobs, due).timed_out() {
                return if jobs.closing { Wake::Closing } else { Wake::Due };
            }
        }
    }

    pub(crate) fn pop_announced(&self) -> Option<String> {
        self.jobs.lock().announced.pop_first()
    }
}

/// Objects that are there: a key, or what S3-compatible stores send when something was put.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"key": "incoming/2026-11-21.csv"}))]
pub(crate) struct Announcement {
    /// The whole key in the bucket.
    key: Option<String>,
    /// Of a notification: what happened.
    #[serde(default, rename = "Records")]
    records: Vec<EventRecord>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct EventRecord {
    s3: EventEntity,
}

#[derive(Debug, Deserialize, ToSchema)]
struct EventEntity {
    #[serde(default)]
    bucket: Option<EventBucket>,
    object: EventObject,
}

#[derive(Debug, Deserialize, ToSchema)]
struct EventBucket {
    #[serde(default)]
    name: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct EventObject {
    /// The whole key in the bucket, encoded as in the query of an address.
    key: String,
}

impl Announcement {
    /// Every bucket, as far as it is named, with its key.
    fn keys(self) -> Result<Vec<(Option<String>, String)>, Problem> {
        let mut keys: Vec<_> = self.key.map(|key| (None, key)).into_iter().collect();
        for EventRecord { s3: EventEntity { bucket, object } } in self.records {
            let spaced = object.key.replace('+', " ");
            let key = percent_decode_str(&spaced).decode_utf8().map_err(|_| malformed("a key is not UTF-8".into()))?;
            keys.push((bucket.and_then(|bucket| bucket.name), key.into_owned()));
        }
        if keys.is_empty() { Err(malformed("there is neither a key nor a record with one".into())) } else { Ok(keys) }
    }
}

/// What was announced.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Announced {
    /// Objects that will be looked at now.
    announced: usize,
}

/// Announce an object in the watched store, so that it is imported at once and not with the next look. Takes a key, or
/// the notification of an S3-compatible store.
#[utoipa::path(
    post, path = "/api/v1/imports/announced", tag = "imports", request_body = Announcement,
    responses((status = 202, body = Announced, description = "the object will be looked at now"), SendProblems)
)]
pub(crate) async fn announce_object(
    Here(imports): Here<Imports>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Announced>), Problem> {
    let body = body.map_err(|rejection| malformed(rejection.body_text()))?;
    let announcement: Announcement = serde_json::from_slice(&body).map_err(|error| malformed(error.to_string()))?;
    let keys: Vec<String> = announcement
        .keys()?
        .into_iter()
        .map(|(bucket, key)| imports.key_below(bucket.as_deref(), &key))
        .collect::<Result<_, _>>()?;
    let announced = keys.len();
    imports.announce_below(keys)?;
    Ok((StatusCode::ACCEPTED, Json(Announced { announced })))
}

impl From<AnnounceError> for Problem {
    fn from(error: AnnounceError) -> Problem {
        let message = error.to_string();
        match error {
            AnnounceError::NotWatched => {
                Problem::new(ProblemKind::NotFound, "not_found", message, "set import_store, or send the file itself")
            }
            AnnounceError::Elsewhere { .. } => Problem::invalid("key", message),
            AnnounceError::Busy => {
                let help = "nothing needs to be done: the next look at the watched store finds the object";
                Problem::new(ProblemKind::Unavailable, "overloaded", message, help).retry_after(30)
            }
        }
    }
}

fn malformed(message: String) -> Problem {
    let help = r#"send {"key": "…"} with the whole key, or the notification of an S3-compatible store"#;
    Problem::new(ProblemKind::Malformed, "malformed", message, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(json: &str) -> Option<Vec<(Option<String>, String)>> {
        serde_json::from_str::<Announcement>(json).unwrap().keys().ok()
    }

    #[test]
    fn a_key_and_a_stores_notification_are_understood() {
        assert_eq!(keys(r#"{"key": "in/a+b%20.csv"}"#), Some(vec![(None, "in/a+b%20.csv".into())]));
        let minio = r#"{"EventName": "s3:ObjectCreated:Put", "Key": "lake/in/a b.csv", "Records": [{"eventVersion":
            "2.0", "s3": {"bucket": {"name": "lake", "arn": "arn:aws:s3:::lake"}, "object": {"key":
            "in%2Fa+b%2B%C3%BC.csv", "size": 5, "eTag": "x"}}}]}"#;
        assert_eq!(keys(minio), Some(vec![(Some("lake".into()), "in/a b+ü.csv".into())]));
        assert_eq!(keys("{}"), None);
        assert_eq!(keys(r#"{"Records": [{"s3": {"object": {"key": "%ff"}}}]}"#), None);
    }
}
