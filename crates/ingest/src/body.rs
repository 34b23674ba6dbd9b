//! Request bodies: bounded, and unpacked from gzip or zstd within the same bound.

use crate::Intake;
use crate::rejects::Door;
use axum::extract::Request;
use axum::http::header;
use bytes::Bytes;
use drover_answer::{Problem, ProblemKind};
use drover_model::{Reject, RejectCode};
use http_body::Body as _;
use std::io::Read;
use std::time::Duration;
use tokio::time::timeout;

/// Largest body, packed or unpacked.
pub const BODY_MAX_BYTES: usize = 32 * 1024 * 1024;

/// A body that takes longer to arrive is given up, so that idle senders hold nothing.
const BODY_PATIENCE: Duration = Duration::from_secs(60);

/// Reads the whole body. A body that is too large or cannot be unpacked is counted and kept as a
/// reject, with its first bytes as far as there are any.
pub async fn read_body(intake: &Intake, request: Request) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    if body.size_hint().lower() > BODY_MAX_BYTES as u64 {
        return Err(refuse(intake, too_large(), &[]).await);
    }
    let packed = match timeout(BODY_PATIENCE, axum::body::to_bytes(body, BODY_MAX_BYTES)).await {
        Ok(Ok(packed)) => packed,
        Ok(Err(error)) => return Err(refuse(intake, body_error(&error), &[]).await),
        Err(_) => return Err(refuse(intake, too_slow(), &[]).await),
    };
    let Some(coding) = parts.headers.get(header::CONTENT_ENCODING) else { return Ok(packed) };
    let coding = String::from_utf8_lossy(coding.as_bytes()).trim().to_ascii_lowercase();
    let unpacked = match coding.as_str() {
        "identity" | "" => return Ok(packed),
        "gzip" | "x-gzip" => unpack(flate2::read::MultiGzDecoder::new(&packed[..])),
        "zstd" => zstd::stream::read::Decoder::new(&packed[..]).map_err(Unpack::Broken).and_then(unpack),
        _ => Err(Unpack::Unknown),
    };
    match unpacked {
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(refuse(intake, error.explain(&coding), &packed).await),
    }
}

async fn refuse(intake: &Intake, (reject, problem): (Reject, Problem), body: &[u8]) -> Problem {
    intake.keep(Door::Http, &reject, body).await;
    problem
}

fn body_error(error: &axum::Error) -> (Reject, Problem) {
    // axum wraps the length error; its text is the only way to tell it from a broken connection.
    if format!("{error:?}").contains("LengthLimitError") {
        return too_large();
    }
    let reject = Reject::new(RejectCode::Malformed, "", format!("the body could not be read: {error}"));
    (reject.clone(), reject.into())
}

fn too_slow() -> (Reject, Problem) {
    let message = format!("the body did not arrive within {} s", BODY_PATIENCE.as_secs());
    let reject = Reject::new(RejectCode::Malformed, "", message);
    (reject.clone(), reject.into())
}

fn too_large() -> (Reject, Problem) {
    let message = format!("the body is larger than {} MiB", BODY_MAX_BYTES >> 20);
    let problem = Problem::new(ProblemKind::TooLarge, "too_large", message.clone(), "send several smaller requests");
    (Reject::new(RejectCode::TooLong, "", message), problem)
}

enum Unpack {
    TooLarge,
    Broken(std::io::Error),
    Unknown,
}

impl Unpack {
    fn explain(self, coding: &str) -> (Reject, Problem) {
        match self {
            Unpack::TooLarge => too_large(),
            Unpack::Broken(error) => {
                let reject = Reject::new(RejectCode::Malformed, "", format!("the body is not whole {coding}: {error}"));
                (reject.clone(), reject.into())
            }
            Unpack::Unknown => {
                let message = format!("content-encoding {coding:?} is not understood");
                let help = "send gzip, zstd or no content-encoding";
                let problem = Problem::new(ProblemKind::Unsupported, "unsupported_encoding", message.clone(), help);
                (Reject::new(RejectCode::UnknownValue, "content-encoding", message), problem)
            }
        }
    }
}

fn unpack(reader: impl Read) -> Result<Bytes, Unpack> {
    let mut out = Vec::new();
    // One byte more than allowed tells "exactly full" from "too large".
    reader.take(BODY_MAX_BYTES as u64 + 1).read_to_end(&mut out).map_err(Unpack::Broken)?;
    if out.len() > BODY_MAX_BYTES { Err(Unpack::TooLarge) } else { Ok(out.into()) }
}
