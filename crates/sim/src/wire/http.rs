//! HTTP/1.1 with keep-alive, one request at a time: as much of it as a JSON API needs. Answers have a Content-Length or
//! come in pieces.

use bytes::{Buf, Bytes, BytesMut};
use std::io::Read;

use super::Wire;
use super::answer::Trouble;
use super::target::Target;
use crate::error::Result;

/// Longer heads are no answer of a JSON API.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// Longer bodies are refused, so that a confused peer cannot fill the memory.
const MAX_BODY_BYTES: usize = 64 << 20;

/// A body that is read piece by piece has so many bytes in memory.
const PIECE_BYTES: usize = 256 << 10;

/// A kept-alive connection.
#[derive(Debug)]
pub struct HttpConnection {
    wire: Wire,
    target: Target,
    headers: String,
    /// The peer said that it closes after the last answer.
    closing: bool,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Seconds after which to try again, from `Retry-After`.
    pub retry_after_s: Option<u64>,
    /// The body.
    pub body: Bytes,
}

impl HttpAnswer {
    /// What the server says is wrong: the sentence of its envelope, else as much of the body as fits a message.
    pub(crate) fn said(&self) -> String {
        said(&self.body).unwrap_or_else(|| String::from_utf8_lossy(&self.body[..self.body.len().min(500)]).into_owned())
    }
}

/// The sentence in an error envelope.
pub(super) fn said(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        error: Trouble,
    }
    let Envelope { error } = serde_json::from_slice(body).ok()?;
    Some(error.message).filter(|message| !message.is_empty())
}

struct Head {
    status: u16,
    retry_after_s: Option<u64>,
    length: usize,
    chunked: bool,
    closing: bool,
}

impl HttpConnection {
    /// Connects; nothing is said yet.
    pub async fn connect(target: &Target) -> Result<HttpConnection> {
        let wire = Wire::connect(target).await?;
        Ok(HttpConnection { wire, target: target.clone(), headers: target.headers(), closing: false })
    }

    /// Sends one request and waits for its answer. After an error the connection is of no use any more, and whether the
    /// server took the request is unknown.
    ///
    /// # Errors
    /// When the connection breaks or the answer is not HTTP as understood here. Any status is an answer, not an error.
    pub async fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Result<HttpAnswer> {
        let length = body.len();
        self.ask("POST", path, &format!("content-type: {content_type}\r\ncontent-length: {length}\r\n"), body).await
    }

    /// As [`HttpConnection::post`], and says which type of answer is wanted.
    ///
    /// # Errors
    /// As for [`HttpConnection::post`].
    pub async fn post_for(&mut self, path: &str, accept: &str, content_type: &str, body: &[u8]) -> Result<HttpAnswer> {
        let length = body.len();
        let headers = format!("accept: {accept}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n");
        self.ask("POST", path, &headers, body).await
    }

    /// Changes a resource; errors as for [`HttpConnection::post`].
    pub async fn patch(&mut self, path: &str, content_type: &str, body: &[u8]) -> Result<HttpAnswer> {
        let length = body.len();
        self.ask("PATCH", path, &format!("content-type: {content_type}\r\ncontent-length: {length}\r\n"), body).await
    }

    /// Asks for a resource and waits for the answer; errors as for [`HttpConnection::post`].
    pub async fn get(&mut self, path: &str) -> Result<HttpAnswer> {
        self.ask("GET", path, "", &[]).await
    }

    /// Removes a resource; errors as for [`HttpConnection::post`].
    pub async fn delete(&mut self, path: &str) -> Result<HttpAnswer> {
        self.ask("DELETE", path, "", &[]).await
    }

    /// As [`HttpConnection::post`], with a body that is read piece by piece; `sent` is told how many bytes have left.
    /// A server that answers before it has the whole body is heard.
    ///
    /// # Errors
    /// As for [`HttpConnection::post`], and when the body cannot be read or ends before `length` bytes.
    pub async fn post_from(
        &mut self,
        path: &str,
        body: &mut (impl Read + Send),
        length: u64,
        mut sent: impl FnMut(u64),
    ) -> Result<HttpAnswer> {
        let (prefix, headers) = (&self.target.prefix, &self.headers);
        let head = format!(
            "POST {prefix}{path} HTTP/1.1\r\n{headers}content-type: application/octet-stream\r\ncontent-length: {length}\r\n\r\n"
        );
        self.wire.outbox.extend_from_slice(head.as_bytes());
        let mut left = length;
        while left > 0 && self.wire.inbox.is_empty() {
            let piece = PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES));
            let start = self.wire.outbox.len();
            self.wire.outbox.resize(start + piece, 0);
            body.read_exact(&mut self.wire.outbox[start..]).map_err(|error| self.wire.lost(error))?;
            left -= piece as u64;
            if self.wire.send_all().await.is_err() {
                // The server may have said why before it hung up.
                self.wire.outbox.clear();
                break;
            }
            sent(length - left);
        }
        let whole = left == 0;
        let answer = self.answer().await;
        self.closing |= !whole;
        answer
    }

    async fn ask(&mut self, method: &str, path: &str, more_headers: &str, body: &[u8]) -> Result<HttpAnswer> {
        if self.closing {
            self.wire = Wire::connect(&self.target).await?;
        }
        let (prefix, headers) = (&self.target.prefix, &self.headers);
        let head = format!("{method} {prefix}{path} HTTP/1.1\r\n{headers}{more_headers}\r\n");
        self.wire.outbox.extend_from_slice(head.as_bytes());
        self.wire.outbox.extend_from_slice(body);
        self.wire.try_send().map_err(|error| self.wire.lost(error))?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<HttpAnswer> {
        loop {
            let head = self.head().await?;
            let body = match head.chunked {
                true => self.chunks().await?,
                false => self.take(head.length).await?,
            };
            // 1xx only announces the answer.
            if head.status >= 200 {
                self.closing = head.closing;
                return Ok(HttpAnswer { status: head.status, retry_after_s: head.retry_after_s, body });
            }
        }
    }

    async fn take(&mut self, length: usize) -> Result<Bytes> {
        while self.wire.inbox.len() < length {
            self.wire.receive().await?;
        }
        Ok(self.wire.inbox.split_to(length).freeze())
    }

    /// A body of unknown length: pieces behind their lengths in hexadecimal, until an empty one. Nobody here sends
    /// trailers.
    async fn chunks(&mut self) -> Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let line = loop {
                if let Some(end) = memchr::memmem::find(&self.wire.inbox, b"\r\n") {
                    break self.wire.inbox.split_to(end + 2);
                }
                self.wire.receive().await?;
            };
            let digits = std::str::from_utf8(&line).unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16).map_err(|_| self.wire.odd("a piece without a length"))?;
            if body.len() + length > MAX_BODY_BYTES {
                return Err(self.wire.odd(format!("an answer of more than {MAX_BODY_BYTES} bytes")));
            }
            let piece = self.take(length + 2).await?;
            body.extend_from_slice(&piece[..length]);
            if length == 0 {
                return Ok(body.freeze());
            }
        }
    }

    async fn head(&mut self) -> Result<Head> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.wire.inbox, b"\r\n\r\n") {
                let head = parse_head(&self.wire.inbox[..end]).map_err(|reason| self.wire.odd(reason))?;
                self.wire.inbox.advance(end + 4);
                return Ok(head);
            }
            if self.wire.inbox.len() > MAX_HEAD_BYTES {
                return Err(self.wire.odd("the head of the answer does not end"));
            }
            self.wire.receive().await?;
        }
    }
}

fn parse_head(head: &[u8]) -> Result<Head, String> {
    let head = std::str::from_utf8(head).map_err(|_| "the head of the answer is not text")?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let status = status.ok_or_else(|| format!("not an HTTP/1.1 status line: '{status_line}'"))?;
    let mut head =
        Head { status, retry_after_s: None, length: 0, chunked: false, closing: status_line.starts_with("HTTP/1.0") };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse().map_err(|_| format!("content-length '{value}'"))?,
            // A date is allowed too, but no server of ours sends one.
            "retry-after" => head.retry_after_s = value.parse().ok(),
            "connection" => head.closing |= value.eq_ignore_ascii_case("close"),
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => head.chunked = true,
            "transfer-encoding" => return Err(format!("transfer-encoding '{value}' is not understood here")),
            _ => {}
        }
    }
    if head.length > MAX_BODY_BYTES {
        return Err(format!("an answer of {} bytes, at most {MAX_BODY_BYTES} are taken", head.length));
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_gives_status_length_and_when_to_retry() {
        let head = parse_head(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\ncontent-length: 17").unwrap();
        assert_eq!((head.status, head.retry_after_s, head.length, head.closing), (503, Some(2), 17, false));
        assert!(parse_head(b"SSH-2.0-OpenSSH_9.2").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").unwrap().chunked);
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip").is_err());
    }
}
