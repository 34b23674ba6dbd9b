//! Request bodies: bounded, and unpacked from gzip or zstd within the same bound.

use crate::Intake;
use crate::rejects::Door;
use axum::extract::Request;
use axum::http::header;
use bytes::Bytes;
use drover_answer::{Problem, ProblemKind};
use drover_model::{Reject, RejectCode};
use std::io::Read;

/// Largest body, packed or unpacked.
pub const BODY_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Reads the whole body. A body that is too large or cannot be unpacked is counted and kept as a
/// reject, with its first bytes.
pub async fn read_body(intake: &Intake, request: Request) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    let packed = axum::body::to_bytes(body, BODY_MAX_BYTES).await.map_err(|error| body_problem(&error))?;
    let Some(coding) = parts.headers.get(header::CONTENT_ENCODING).filter(|coding| *coding != "identity") else {
        return Ok(packed);
    };
    let unpacked = match coding.as_bytes() {
        b"gzip" | b"x-gzip" => unpack(flate2::read::MultiGzDecoder::new(&packed[..])),
        b"zstd" => zstd::stream::read::Decoder::new(&packed[..]).map_err(Unpack::Broken).and_then(unpack),
        other => {
            let message = format!("content-encoding {:?} is not understood", String::from_utf8_lossy(other));
            return Err(Problem::new(
                ProblemKind::Unsupported,
                "unsupported_encoding",
                message,
                "send gzip, zstd or no content-encoding",
            ));
        }
    };
    match unpacked {
        Ok(bytes) => Ok(bytes),
        Err(error) => {
            let (reject, problem) = error.into_reject(String::from_utf8_lossy(coding.as_bytes()).as_ref());
            intake.keep(Door::Http, &reject, &packed).await;
            Err(problem)
        }
    }
}

fn body_problem(error: &axum::Error) -> Problem {
    // axum wraps the length error; its text is the only way to tell it from a broken connection.
    if format!("{error:?}").contains("LengthLimitError") {
        too_large()
    } else {
        Problem::new(
            ProblemKind::Malformed,
            "malformed",
            format!("the body could not be read: {error}"),
            "send the request again",
        )
    }
}

fn too_large() -> Problem {
    let message = format!("the body is larger than {} MiB", BODY_MAX_BYTES >> 20);
    Problem::new(ProblemKind::TooLarge, "too_large", message, "send several smaller requests")
}

enum Unpack {
    TooLarge,
    Broken(std::io::Error),
}

impl Unpack {
    fn into_reject(self, coding: &str) -> (Reject, Problem) {
        match self {
            Unpack::TooLarge => {
                let problem = too_large();
                (Reject::new(RejectCode::TooLong, "", problem.message.clone()), problem)
            }
            Unpack::Broken(error) => {
                let reject = Reject::new(RejectCode::Malformed, "", format!("the body is not whole {coding}: {error}"));
                (reject.clone(), reject.into())
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
