//! The word by which a caller names a request that may come again. What it made is remembered by the store.

use axum::http::HeaderMap;
use drover_answer::Problem;

/// Name of the header, as HTTP libraries write it.
pub const HEADER: &str = "idempotency-key";
/// Says in an answer that the request had come before.
pub const REPLAYED: &str = "idempotency-replayed";
/// Longest key.
const KEY_MAX_BYTES: usize = 200;

/// The key that came with a request.
pub fn key_in(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get(HEADER) else { return Ok(None) };
    let key = key.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > KEY_MAX_BYTES {
        let message = format!("Idempotency-Key has 1 to {KEY_MAX_BYTES} visible ASCII characters");
        return Err(Problem::invalid("Idempotency-Key", message));
    }
    Ok(Some(key.to_owned()))
}
