//! Putting objects: small ones with one request, larger ones in parts. The caller's thread reads the parts while two at
//! most are on the way, and nothing appears before the last request. What a killed process leaves of an upload is not
//! an object, but it costs room: a store can be told to remove it after some days.

use super::client::Ask;
use super::{Bucket, answer, bare};
use crate::Meta;
use crate::error::Error;
use crate::runtime::{self, Started};
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use std::collections::VecDeque;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const DOING: &str = "write";
/// The size of a part, and the largest object that is put with one request, bytes.
const PART_BYTES: u64 = 8 << 20;
/// More parts no store takes: beyond 80 GiB they get larger.
const PARTS_MAX: u64 = 10_000;
/// With the one that is being read, three are in memory.
const ON_THE_WAY_MAX: usize = 2;

pub(super) fn put(bucket: &Arc<Bucket>, key: &str, bytes: Bytes) -> Result<Meta, Error> {
    let index = |at: u64| usize::try_from(at).expect("is in memory");
    upload(bucket, key, bytes.len() as u64, |range| Ok(bytes.slice(index(range.start)..index(range.end))))
}

pub(super) fn put_file(bucket: &Arc<Bucket>, key: &str, from: &Path) -> Result<Meta, Error> {
    let unreadable = |error: io::Error| Error::local("read", from.display().to_string(), error);
    let mut file = File::open(from).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    upload(bucket, key, bytes, |range| {
        let mut part = vec![0; usize::try_from(range.end - range.start).expect("a part fits into memory")];
        file.read_exact(&mut part).map_err(unreadable)?;
        Ok(part.into())
    })
}

/// Puts what `read` gives, range after range, in order.
fn upload(
    bucket: &Arc<Bucket>,
    key: &str,
    bytes: u64,
    mut read: impl FnMut(Range<u64>) -> Result<Bytes, Error>,
) -> Result<Meta, Error> {
    if bytes <= PART_BYTES {
        return runtime::wait(bucket.clone().put_whole(key.to_owned(), read(0..bytes)?));
    }
    let mut upload = Upload::start(bucket, key)?;
    match upload.send(bytes, read) {
        Ok((headers, etag)) => Ok(meta(key, bytes, etag, &headers)),
        Err(error) => {
            upload.abort();
            Err(error)
        }
    }
}

/// An upload in parts.
struct Upload {
    bucket: Arc<Bucket>,
    key: String,
    id: String,
    on_the_way: VecDeque<Started<Result<String, Error>>>,
    /// What the store calls the parts that it has.
    etags: Vec<String>,
}

impl Upload {
    fn start(bucket: &Arc<Bucket>, key: &str) -> Result<Upload, Error> {
        let id = runtime::wait(bucket.clone().start_upload(key.to_owned()))?;
        Ok(Upload { bucket: bucket.clone(), key: key.to_owned(), id, on_the_way: VecDeque::new(), etags: Vec::new() })
    }

    fn send(
        &mut self,
        bytes: u64,
        mut read: impl FnMut(Range<u64>) -> Result<Bytes, Error>,
    ) -> Result<(HeaderMap, Option<String>), Error> {
        for (number, range) in (1..).zip(parts(bytes)) {
            let part = read(range)?;
            if self.on_the_way.len() >= ON_THE_WAY_MAX {
                self.arrived()?;
            }
            let (bucket, key, id) = (self.bucket.clone(), self.key.clone(), self.id.clone());
            self.on_the_way.push_back(runtime::start(bucket.put_part(key, id, number, part)));
        }
        while !self.on_the_way.is_empty() {
            self.arrived()?;
        }
        let (bucket, key, id) = (self.bucket.clone(), self.key.clone(), self.id.clone());
        runtime::wait(bucket.finish_upload(key, id, std::mem::take(&mut self.etags)))
    }

    /// Waits for the oldest part that is on the way.
    fn arrived(&mut self) -> Result<(), Error> {
        if let Some(oldest) = self.on_the_way.pop_front() {
            self.etags.push(oldest.wait()?);
        }
        Ok(())
    }

    fn abort(mut self) {
        self.on_the_way.clear();
        let (bucket, key, id) = (self.bucket, self.key, self.id);
        let address = bucket.client.address(Some(&key));
        if let Err(error) = runtime::wait(bucket.abort_upload(key, id)) {
            tracing::debug!(%error, address, "parts of an upload stay at the store");
        }
    }
}

impl Bucket {
    async fn put_whole(self: Arc<Self>, key: String, bytes: Bytes) -> Result<Meta, Error> {
        let length = bytes.len() as u64;
        let response = self.client.answer(&Ask::of(DOING, Method::PUT, Some(&key)).body(bytes)).await?;
        Ok(meta(&key, length, etag(response.headers()), response.headers()))
    }

    async fn start_upload(self: Arc<Self>, key: String) -> Result<String, Error> {
        let ask = Ask::of(DOING, Method::POST, Some(&key)).query("uploads", "");
        let (_, document) = self.client.document(&ask).await?;
        answer::tag(&document, "UploadId").ok_or_else(|| self.client.nonsense(&ask, "the upload has no id"))
    }

    async fn put_part(self: Arc<Self>, key: String, id: String, number: u64, part: Bytes) -> Result<String, Error> {
        let ask = Ask::of(DOING, Method::PUT, Some(&key))
            .query("partNumber", number.to_string())
            .query("uploadId", id)
            .body(part);
        let response = self.client.answer(&ask).await?;
        etag(response.headers()).ok_or_else(|| self.client.nonsense(&ask, "the part has no ETag"))
    }

    async fn finish_upload(
        self: Arc<Self>,
        key: String,
        id: String,
        etags: Vec<String>,
    ) -> Result<(HeaderMap, Option<String>), Error> {
        let ask = Ask::of(DOING, Method::POST, Some(&key)).query("uploadId", id).body(finished(&etags).into());
        let (headers, document) = self.client.document(&ask).await?;
        Ok((headers, answer::tag(&document, "ETag").map(|etag| bare(&etag))))
    }

    async fn abort_upload(self: Arc<Self>, key: String, id: String) -> Result<(), Error> {
        self.client.answer(&Ask::of("give up writing", Method::DELETE, Some(&key)).query("uploadId", id)).await?;
        Ok(())
    }
}

/// The document that makes parts an object.
fn finished(etags: &[String]) -> String {
    let mut xml = "<CompleteMultipartUpload>".to_owned();
    for (number, etag) in (1..).zip(etags) {
        let _ = write!(xml, "<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag></Part>");
    }
    xml + "</CompleteMultipartUpload>"
}

/// The parts of so many bytes: all of one size but the last.
fn parts(bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let size = bytes.div_ceil(PARTS_MAX).next_multiple_of(1 << 20).max(PART_BYTES);
    (0..bytes.div_ceil(size)).map(move |part| part * size..bytes.min((part + 1) * size))
}

fn etag(headers: &HeaderMap) -> Option<String> {
    Some(bare(headers.get(header::ETAG)?.to_str().ok()?))
}

/// What is known of an object that was just put.
fn meta(key: &str, bytes: u64, etag: Option<String>, headers: &HeaderMap) -> Meta {
    let date = headers.get(header::DATE).and_then(|date| answer::http_date(date.to_str().ok()?));
    let here = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_secs() * 1000).unwrap_or(i64::MAX)
    };
    Meta { key: key.to_owned(), bytes, etag, modified_ms: date.unwrap_or_else(here) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_complete_equal_and_not_too_many() {
        for bytes in [PART_BYTES + 1, 3 * PART_BYTES, 80 << 30, (80 << 30) + 1, 5 << 40] {
            let all: Vec<_> = parts(bytes).collect();
            assert!(all.len() as u64 <= PARTS_MAX);
            assert_eq!((all[0].start, all[all.len() - 1].end), (0, bytes));
            assert!(all.windows(2).all(|two| two[0].end == two[1].start));
            assert!(all[..all.len() - 1].iter().all(|part| part.end - part.start == all[0].end));
        }
        assert_eq!(parts(3 * PART_BYTES).count(), 3);
    }

    #[test]
    fn the_document_names_every_part() {
        assert_eq!(
            finished(&["a".to_owned(), "b".to_owned()]),
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>\"b\"</ETag></Part></CompleteMultipartUpload>"
        );
    }
}
