//! Reading an object, or a part of it, as a sequence of pieces: never of two objects, never less than was asked for,
//! and from where it broke off when a connection does.

use super::answer::{self, Asked};
use super::client::{ANSWER_MAX, Ask, pause};
use super::{Bucket, meta};
use crate::Meta;
use crate::error::{At, Error};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode, header};
use object_store::client::{HttpError, HttpResponse};
use std::ops::Range;
use std::sync::Arc;
use tokio::time::{sleep, timeout};

const DOING: &str = "read";
/// How often a body may break off, with little read in between, until that is an error.
const BREAKS_MAX: u32 = 4;
/// So much read makes the breaks before it not matter, bytes.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Where a reading is.
pub(super) struct Reading {
    bucket: Arc<Bucket>,
    key: String,
    /// What a list or a head showed, or else the first answer.
    expected: Option<Meta>,
    /// Whether the object is read from its first byte to its last.
    all: bool,
    /// What is still to come. Of a whole object that nobody has seen yet, nothing is known.
    left: Option<Range<u64>>,
    body: Option<BoxStream<'static, Result<Bytes, HttpError>>>,
    breaks: u32,
    since_break: u64,
}

impl Reading {
    fn new(bucket: Arc<Bucket>, key: String, expected: Option<Meta>, left: Option<Range<u64>>, all: bool) -> Reading {
        Reading { bucket, key, expected, all, left, body: None, breaks: 0, since_break: 0 }
    }

    /// Of whatever object is there.
    pub(super) fn of_all(bucket: Arc<Bucket>, key: String) -> Reading {
        Reading::new(bucket, key, None, None, true)
    }

    /// Of a part of whatever object is there. The range is not empty.
    pub(super) fn of_range(bucket: Arc<Bucket>, key: String, range: Range<u64>) -> Reading {
        Reading::new(bucket, key, None, Some(range), false)
    }

    /// Of this very object.
    pub(super) fn of_object(bucket: Arc<Bucket>, meta: Meta) -> Reading {
        let all = 0..meta.bytes;
        Reading::new(bucket, meta.key.clone(), Some(meta), Some(all), true)
    }

    /// How much is still to come.
    pub(super) async fn bytes(&mut self) -> Result<u64, Error> {
        if self.left.is_none() {
            self.open().await?;
        }
        Ok(self.left.as_ref().map_or(0, |left| left.end - left.start))
    }

    /// All that is still to come.
    pub(super) async fn rest(&mut self) -> Result<Bytes, Error> {
        let mut step = self.step(usize::MAX).await?;
        if step.len() == 1 {
            return Ok(step.remove(0));
        }
        let mut rest = BytesMut::with_capacity(step.iter().map(Bytes::len).sum());
        step.iter().for_each(|piece| rest.extend_from_slice(piece));
        Ok(rest.freeze())
    }

    /// The next pieces, so many bytes or a little more. Nothing: this was all.
    pub(super) async fn step(&mut self, bytes: usize) -> Result<Vec<Bytes>, Error> {
        let mut step = Vec::new();
        let mut have = 0;
        while have < bytes
            && let Some(piece) = self.next().await?
        {
            have += piece.len();
            step.push(piece);
        }
        Ok(step)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            // An empty object is opened once too: it may be missing, or another one by now.
            let done = self.left.as_ref().is_some_and(Range::is_empty) && self.body.is_some();
            if done {
                return Ok(None);
            }
            if self.body.is_none() {
                self.open().await?;
                continue;
            }
            let body = self.body.as_mut().expect("was opened above");
            let broke = match timeout(ANSWER_MAX, body.next()).await {
                Ok(Some(Ok(piece))) if piece.is_empty() => continue,
                Ok(Some(Ok(piece))) => return self.take(piece).map(Some),
                Ok(Some(Err(error))) => answer::no_answer(self.asked(&self.address()), &error),
                Ok(None) => Error::Unreachable(self.at("the answer ended too soon")),
                Err(_) => Error::Unreachable(self.at(format!("nothing more came within {} s", ANSWER_MAX.as_secs()))),
            };
            self.broke(broke).await?;
        }
    }

    fn take(&mut self, piece: Bytes) -> Result<Bytes, Error> {
        let left = self.left.as_mut().expect("is known since it was opened");
        let bytes = piece.len() as u64;
        if bytes > left.end - left.start {
            return Err(Error::Refused(self.at("the store sent more than was asked for")));
        }
        left.start += bytes;
        self.since_break += bytes;
        Ok(piece)
    }

    /// Forgets the connection; an error if that happened too often.
    async fn broke(&mut self, error: Error) -> Result<(), Error> {
        self.body = None;
        self.breaks = if self.since_break >= PROGRESS_BYTES { 1 } else { self.breaks + 1 };
        self.since_break = 0;
        if self.breaks > BREAKS_MAX {
            return Err(error);
        }
        tracing::debug!(%error, "going on from where it broke off");
        sleep(pause(self.breaks)).await;
        Ok(())
    }

    /// Asks for what is still to come, and makes sure that it is of the same object.
    async fn open(&mut self) -> Result<(), Error> {
        let range = self.left.clone().filter(|left| !self.all || left.start > 0);
        let mut ask = Ask::of(DOING, Method::GET, Some(&self.key));
        if let Some(range) = &range {
            ask = ask.header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        }
        if let Some(etag) = self.expected.as_ref().and_then(|meta| meta.etag.as_ref()) {
            ask = ask.header(header::IF_MATCH, format!("\"{etag}\""));
        }
        let response = self.bucket.client.answer(&ask).await?;
        let found = self.found(&response, range.as_ref())?;
        // Not every store knows the condition.
        if self.expected.as_ref().is_some_and(|expected| !found.is_same_as(expected)) {
            return Err(Error::Replaced(self.at("it was replaced by another object")));
        }
        self.left.get_or_insert(0..found.bytes);
        self.expected = Some(found);
        self.body = Some(response.into_body().bytes_stream());
        Ok(())
    }

    /// The object that the answer is of.
    fn found(&self, response: &HttpResponse, asked: Option<&Range<u64>>) -> Result<Meta, Error> {
        let mut found = meta(self.key.clone(), response.headers());
        let Some(asked) = asked else {
            if response.headers().get(header::CONTENT_LENGTH).is_none() {
                return Err(Error::Refused(self.at("the store does not say how long it is")));
            }
            return Ok(found);
        };
        let (got, bytes) = match content_range(response.headers()) {
            Some(range) if response.status() == StatusCode::PARTIAL_CONTENT => range,
            _ => return Err(Error::Refused(self.at("the store does not give parts of objects"))),
        };
        if got != *asked {
            let said = format!("it has {bytes} bytes, not the {} that were asked for", asked.end);
            return Err(Error::Short(self.at(said)));
        }
        found.bytes = bytes;
        Ok(found)
    }

    fn address(&self) -> String {
        self.bucket.client.address(Some(&self.key))
    }

    fn at(&self, said: impl std::fmt::Display) -> At {
        At::new(DOING, self.address(), said)
    }

    fn asked<'a>(&self, address: &'a str) -> Asked<'a> {
        Asked { doing: DOING, address, of_object: true }
    }
}

/// `bytes 0-99/1234`: the part, and the length of the whole.
fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes ")?;
    let (range, bytes) = text.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?, bytes.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_understood_or_refused() {
        let of = |text: &str| content_range(&HeaderMap::from_iter([(header::CONTENT_RANGE, text.parse().unwrap())]));
        assert_eq!(of("bytes 5-9/1234"), Some((5..10, 1234)));
        assert_eq!(of("bytes 5-9/*"), None);
        assert_eq!(of("bytes */1234"), None);
        assert_eq!(of("lines 5-9/1234"), None);
    }
}
