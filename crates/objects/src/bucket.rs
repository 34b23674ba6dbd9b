//! Objects in a bucket. The requests are made here and not by `object_store`'s own client, which lends its connections,
//! credentials and signatures: that one hides what status the store answered, shows keys of others in another form,
//! fails on a whole page of a list for one of them, and goes on with a broken download without looking at what it gets.

mod answer;
mod client;
mod list;
mod read;
mod upload;

use crate::error::{At, Error};
use crate::{Meta, S3, runtime};
use bytes::Bytes;
use client::{Ask, Client};
use http::{HeaderMap, Method, header};
use read::Reading;
use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// How much of a download is handed over at a time, bytes: seldom enough to not matter, and little memory.
const STEP_BYTES: usize = 1 << 20;
/// Parts of an object that are nearer than this come with one request, bytes.
const GAP_MAX_BYTES: u64 = 256 << 10;

/// A prefix in a bucket.
pub(crate) struct Bucket {
    client: Client,
    /// Empty, or ends with a slash.
    prefix: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("address", &self.client.address(None)).finish_non_exhaustive()
    }
}

impl Bucket {
    pub(crate) fn open(bucket: &str, prefix: &str, s3: &S3) -> Result<Bucket, Error> {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Bucket { client: Client::new(bucket, &prefix, s3)?, prefix })
    }

    pub(crate) fn put(self: &Arc<Self>, key: &str, bytes: Bytes) -> Result<Meta, Error> {
        upload::put(self, key, bytes)
    }

    pub(crate) fn put_file(self: &Arc<Self>, key: &str, from: &Path) -> Result<Meta, Error> {
        upload::put_file(self, key, from)
    }

    pub(crate) async fn get(self: Arc<Self>, key: String, max_bytes: u64) -> Result<Bytes, Error> {
        let mut reading = Reading::of_all(self.clone(), key.clone());
        let bytes = reading.bytes().await?;
        if bytes > max_bytes {
            let said = format!("it has {bytes} bytes, more than the {max_bytes} that are taken");
            return Err(Error::TooLarge(At::new("read", self.client.address(Some(&key)), said)));
        }
        reading.rest().await
    }

    pub(crate) async fn read_at(self: Arc<Self>, key: String, range: Range<u64>) -> Result<Bytes, Error> {
        Reading::of_range(self, key, range).rest().await
    }

    pub(crate) async fn read_ranges(
        self: Arc<Self>,
        key: String,
        ranges: Vec<Range<u64>>,
    ) -> Result<Vec<Bytes>, Error> {
        let read = |range: Range<u64>| {
            let (bucket, key) = (self.clone(), key.clone());
            async move {
                match range.is_empty() {
                    true => Ok(Bytes::new()),
                    false => bucket.read_at(key, range).await,
                }
            }
        };
        object_store::coalesce_ranges(&ranges, read, GAP_MAX_BYTES).await
    }

    pub(crate) fn get_to(self: &Arc<Self>, meta: &Meta, to: &mut dyn Write) -> Result<u64, Error> {
        let mut reading = Reading::of_object(self.clone(), meta.clone());
        let mut done = 0;
        loop {
            // The reading goes to the runtime and comes back, so that the caller's thread writes in peace.
            let (back, step) = runtime::wait(async move {
                let step = reading.step(STEP_BYTES).await;
                (reading, step)
            });
            reading = back;
            let step = step?;
            if step.is_empty() {
                return Ok(done);
            }
            for piece in step {
                let address = || self.client.address(Some(&meta.key));
                to.write_all(&piece).map_err(|error| Error::local("keep what was read of", address(), error))?;
                done += piece.len() as u64;
            }
        }
    }

    pub(crate) async fn head(self: Arc<Self>, key: String) -> Result<Option<Meta>, Error> {
        match self.client.answer(&Ask::of("look for", Method::HEAD, Some(&key))).await {
            Ok(response) => Ok(Some(meta(key, response.headers()))),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn list(
        self: Arc<Self>,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<Meta>, Error> {
        list::list(&self, &prefix, after.as_deref(), limit).await
    }

    pub(crate) async fn delete(self: Arc<Self>, key: String) -> Result<(), Error> {
        match self.client.answer(&Ask::of("delete", Method::DELETE, Some(&key))).await {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }
}

/// What the headers of an answer say of the object. A partial answer's length is the part's.
fn meta(key: String, headers: &HeaderMap) -> Meta {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Meta {
        key,
        bytes: text(header::CONTENT_LENGTH).and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
        etag: text(header::ETAG).map(bare),
        modified_ms: text(header::LAST_MODIFIED).and_then(answer::http_date).unwrap_or(0),
    }
}

/// A mark without its quotes. Some stores leave them away here and there.
fn bare(etag: &str) -> String {
    etag.trim_start_matches("W/").trim_matches('"').to_owned()
}
